# SPDX-License-Identifier: Apache-2.0
"""Mutual TLS to backends: each key type, both TLS versions, and every way a backend can be wrong."""
import re

import pytest
from lab import pki, service
from lab.service import policy, with_certificate

ERROR_ID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


@pytest.mark.parametrize("server", ["tls12", "tls13", "rsa"])
@pytest.mark.parametrize("kind", pki.KEY_TYPES)
def test_each_key_type_reaches_the_backend_over(postern, nginx, uploaded, clients, kind, server):
    name = service.unique(f"{kind}-{server}")
    postern.make_api(name, nginx.url(server), with_certificate(uploaded[kind]))
    answer = postern.call(f"/{name}/x")
    assert answer.status == 200, answer
    seen = answer.json()
    assert seen["sha1"].upper() == clients[kind].sha1
    assert f"CN={clients[kind].common_name}" in seen["subject"]
    if server != "rsa":
        assert seen["protocol"] == {"tls12": "TLSv1.2", "tls13": "TLSv1.3"}[server]


def failed(postern, name, *causes, path="/x"):
    """The reference's 500 body, and a log line that names the cause under the same id."""
    answer = postern.call(f"/{name}{path}")
    assert answer.status == 500, answer
    body = answer.json()
    assert body["statusCode"] == 500 and body["message"] == "Internal server error"
    assert ERROR_ID.fullmatch(body["activityId"])

    def line():
        return [x for x in postern.log().splitlines() if body["activityId"] in x]

    text = "\n".join(service.wait_for("a log line with the activity id", line, 5)).lower()
    assert "event=request_failed" in text, text
    assert any(c in text for c in causes), f"none of {causes} in: {text}"
    for word in ("certificate", "handshake", "chain"):
        assert word not in answer.text.lower(), "the caller learns too much"
    return text


def test_a_backend_that_refuses_the_certificate_is_500(postern, ca, other_ca, nginx):
    """nginx answers 400 after the handshake; a server that refuses in the handshake gives 500."""
    name = service.unique("refused")
    postern.upload(name, ca.client(name))
    postern.make_api(name, nginx.url("strangers"), with_certificate(name))
    assert postern.call(f"/{name}/x").status == 400


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_a_backend_that_ends_the_handshake_over_the_certificate_is_500(postern, ca, other_ca,
                                                                      tmp_path, version):
    import contextlib
    import socket
    import subprocess
    from lab.backends import free_port
    crt, key = ca.server().write(tmp_path, "server")
    (tmp_path / "ca").write_bytes(other_ca.certificate_pem)
    port = free_port()
    server = subprocess.Popen(
        ["openssl", "s_server", "-accept", f"127.0.0.1:{port}", "-cert", crt, "-key", key,
         "-CAfile", tmp_path / "ca", "-Verify", "1", "-verify_return_error", "-www", version,
         "-quiet"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL)
    try:
        def listening():
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", port), 1).close()
                return True
        service.wait_for("s_server", listening)
        name = service.unique("alert")
        postern.upload(name, ca.client(name))
        postern.make_api(name, f"https://localhost:{port}", with_certificate(name))
        failed(postern, name, "alert", "unknown ca", "unknown_ca", "refused")
    finally:
        server.terminate()
        server.wait()


def test_no_certificate_where_one_is_demanded_is_never_answered_by_another(postern, nginx):
    name = service.unique("bare")
    postern.make_api(name, nginx.url("good"), policy())
    answer = postern.call(f"/{name}/x")
    assert answer.status == 400 and "No required SSL certificate" in answer.text


@pytest.mark.parametrize("server, causes", [
    ("unknownca", ("unable to get local issuer", "self-signed", "self signed", "unknown ca",
                   "not trusted", "untrusted")),
    ("wrongname", ("hostname mismatch", "name")),
    ("expired", ("expired",))])
def test_a_backend_with_a_bad_certificate_is_500(postern, nginx, uploaded, server, causes):
    name = service.unique(server)
    postern.make_api(name, nginx.url(server), with_certificate(uploaded["p256"]))
    failed(postern, name, *causes)


def test_a_backend_that_is_not_there_is_500(postern):
    name = service.unique("away")
    postern.make_api(name, "https://localhost:1", policy())
    failed(postern, name, "refused")


def test_a_backend_whose_name_is_unknown_is_500(postern):
    name = service.unique("noname")
    postern.make_api(name, "https://nowhere.invalid", policy())
    failed(postern, name, "resolve", "dns", "name", "not found")


def test_a_backend_that_speaks_plain_http_is_500(postern, echo):
    name = service.unique("plain")
    postern.make_api(name, echo.url.replace("http:", "https:"), policy())
    failed(postern, name, "ssl", "tls", "wrong version", "record")


@pytest.mark.parametrize("server, switched_off", [
    ("unknownca", "validateCertificateChain"), ("wrongname", "validateCertificateName"),
    ("expired", "validateCertificateChain")])
def test_checks_are_switched_off_only_by_the_backend_entity(postern, nginx, uploaded, clients,
                                                           server, switched_off):
    name = service.unique("skip")
    other = {"validateCertificateChain": "validateCertificateName",
             "validateCertificateName": "validateCertificateChain"}[switched_off]
    use = policy(f'<set-backend-service backend-id="{name}" />'
                 f'<authentication-certificate certificate-id="{uploaded["p256"]}" />')
    entity = {"url": nginx.url(server), "protocol": "http"}
    postern.put(f"/backends/{name}", entity)
    postern.make_api(name, nginx.url(server), use)
    assert postern.call(f"/{name}/x").status == 500, "both checks are on by default"
    postern.put(f"/backends/{name}", dict(entity, tls={switched_off: False}))
    answer = postern.call(f"/{name}/x")
    assert answer.status == 200, answer
    assert answer.json()["sha1"].upper() == clients["p256"].sha1
    postern.put(f"/backends/{name}", dict(entity, tls={other: False}))
    assert postern.call(f"/{name}/x").status == 500, "the other switch must not help"
    postern.put(f"/backends/{name}", dict(entity, tls={switched_off: True}))
    assert postern.call(f"/{name}/x").status == 500, "a pooled connection outlived its trust"


def test_an_unknown_certificate_chosen_at_run_time_fails_closed(postern, ca, nginx):
    """Promise 2: a certificate that a policy names is there, or there is no connection."""
    name = service.unique("closed")
    postern.upload(name, ca.client(name))
    postern.make_api(name, nginx.url("open"), with_certificate(name))
    assert postern.call(f"/{name}/x").status == 200
    answer = postern.arm("DELETE", f"/certificates/{name}", headers={"If-Match": "*"})
    assert answer.status == 400
    assert postern.call(f"/{name}/x").status == 200


def test_connections_are_pooled(postern, nginx, uploaded):
    name = service.unique("pool")
    postern.make_api(name, nginx.url("second"), with_certificate(uploaded["p256"]))
    connections = {postern.call(f"/{name}/{i}").json()["connection"] for i in range(100)}
    assert len(connections) <= 4, f"{len(connections)} connections for 100 requests"
