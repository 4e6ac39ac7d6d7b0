# SPDX-License-Identifier: Apache-2.0
"""Proxies of backends that are themselves reached by TLS: haproxy in front of tinyproxy, and apache2.
Inside is the backend's own TLS, with its certificate."""
import base64
import contextlib
import os
import signal
import socket
import ssl
import threading

import pytest
from lab import backends, raw, service, web
from lab.members import Member
from lab.nodes import Node
from lab.proxies import ApacheProxy, HaproxyBefore, ScriptedProxy, Tinyproxy
from lab.service import policy

SECRET = "proxy-pass-Tq4"


@pytest.fixture
def behind(postern):
    def make(url, proxy, certificate=None, http=None, **more):
        name = service.unique("proxied")
        entity = {"url": url, "protocol": "http", "proxy": proxy, **more}
        if certificate:
            entity["credentials"] = {
                "certificateIds": [f"{postern.service_id}/certificates/{certificate}"]}
        postern.put(f"/backends/{name}", entity)
        postern.make_api(name, "http://127.0.0.1:1", policy(
            f'<set-backend-service backend-id="{name}" />',
            f'<forward-request http-version="{http}" />' if http else ""))
        return name
    return make


def failure(postern, name):
    lines = [line for line in postern.log().splitlines()
             if "request_failed" in line and f"api={name} " in line]
    return lines[-1] if lines else ""


@pytest.fixture
def haproxy(ca, tmp_path):
    """haproxy's TLS before tinyproxy, which wants a password."""
    with Tinyproxy(tmp_path / "inner", "user", SECRET) as inner, \
            HaproxyBefore(tmp_path / "outer", ca.server(), inner.port) as outer:
        outer.inner = inner
        outer.entity = {"url": outer.url, "username": "user", "password": SECRET}
        yield outer


@pytest.mark.parametrize("server", ["tls12", "tls13"])
def test_mutual_tls_runs_within_the_tls_of_haproxy(postern, nginx, uploaded, clients, behind,
                                                   haproxy, server):
    name = behind(nginx.url(server), haproxy.entity, uploaded["p256"])
    seen = [postern.call(f"/{name}/x").json() for _ in range(5)]
    assert {s["sha1"].upper() for s in seen} == {clients["p256"].sha1}
    assert len({s["connection"] for s in seen}) == 1, "the tunnel is kept"
    assert "CONNECT" in haproxy.inner.log()
    assert postern.metric("postern_identity_mismatch_total") == 0
    assert SECRET not in postern.log()


def test_apache_as_proxy_with_long_bodies_both_ways(postern, ca, echo, nginx, uploaded, behind,
                                                    tmp_path):
    port = nginx.ports["good"]
    with Member("a") as a, ApacheProxy(tmp_path / "apache", ca.server(),
                                       [port, a.url.rsplit(":", 1)[1]]) as proxy:
        name = behind(nginx.url("good"), {"url": proxy.url}, uploaded["p256"])
        (nginx.folder / "files" / "large").write_bytes(bytes(range(256)) * 8000)
        for _ in range(2):
            answer = postern.call(f"/{name}/files/large")
            assert answer.status == 200 and answer.body == bytes(range(256)) * 8000
        plain = behind(a.url, {"url": proxy.url})
        body = b"up" * 500_000
        assert postern.call(f"/{plain}/x", method="POST", body=body).status == 200
        assert a.requests[-1][3] == body, "a plain backend is in the tunnel's TLS alone"
        other = behind(nginx.url("second"), {"url": proxy.url})
        assert postern.call(f"/{other}/x").status == 500
        line = failure(postern, other)
        assert "code=proxy_refused " in line and "status 403" in line, line


def test_http2_and_many_at_once_within_it(postern, ca, uploaded, clients, behind, haproxy, tmp_path):
    crt, key = ca.server().write(tmp_path, "server")
    (tmp_path / "ca.crt").write_bytes(ca.certificate_pem)
    backend = Node("h2_backend.mjs", cert=str(crt), key=str(key), clientCa=str(tmp_path / "ca.crt"))
    try:
        name = behind(backend.url, haproxy.entity, uploaded["p256"], http="2")
        wrong, threads, calls = [], [], []

        def call():
            session = web.Session(postern.gateway, keep=True)
            for _ in range(20):
                seen = session.call("GET", f"/{name}/echo").json()
                if seen["sha1"].replace(":", "") != clients["p256"].sha1:
                    wrong.append(seen)
            calls.append(20)
            session.close()

        for _ in range(6):
            threads.append(threading.Thread(target=call))
            threads[-1].start()
        for thread in threads:
            thread.join(60)
        assert not wrong and sum(calls) == 120
    finally:
        backend.stop()


def test_identities_have_tunnels_of_their_own(postern, nginx, uploaded, clients, behind, haproxy):
    names = {kind: behind(nginx.url("good"), haproxy.entity, uploaded[kind])
             for kind in ("p256", "rsa2048")}
    for _ in range(3):
        for kind, name in names.items():
            assert postern.call(f"/{name}/x").json()["sha1"].upper() == clients[kind].sha1
    assert postern.metric("postern_identity_mismatch_total") == 0


@pytest.mark.parametrize("kind, words", [
    ("stranger", "CA that is not trusted"), ("misnamed", "for another name"),
    ("plain", "does not speak TLS")])
def test_a_proxy_that_does_not_prove_itself_gets_nothing(postern, ca, other_ca, nginx, uploaded,
                                                         behind, tmp_path, kind, words):
    with contextlib.ExitStack() as stack:
        inner = stack.enter_context(ScriptedProxy())
        if kind == "plain":
            answers = stack.enter_context(raw.Script(lambda sock, _: (
                sock.recv(4096), sock.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n"))))
            url = f"https://localhost:{answers.port}"
        else:
            server = other_ca.server() if kind == "stranger" else ca.server(
                "elsewhere", names=("elsewhere.test",), addresses=())
            url = stack.enter_context(HaproxyBefore(tmp_path / "outer", server, inner.port)).url
        # What the backend's own tls says does not make the proxy any better.
        name = behind(nginx.url("good"), {"url": url, "username": "u", "password": SECRET},
                      uploaded["p256"], tls={"validateCertificateChain": False,
                                             "validateCertificateName": False})
        assert postern.call(f"/{name}/x").status == 500
        line = failure(postern, name)
        assert "code=proxy_tls " in line and words in line, line
        assert not [h for h in inner.heads if h.startswith("CONNECT")], "nothing was said to it"
        for story in (postern.arm("GET", f"/backends/{name}/lastFailure").json(),
                      postern.arm("POST", f"/backends/{name}/probe").json()):
            assert story["outcome"] == "failed" and story["cause"] == "proxy_tls", story
            assert story["stage"] == "proxy TLS" and words in story["sentence"]
            assert "properties.certificates" in story["fix"] and not story.get("trust")
            if kind == "stranger":
                assert other_ca.common_name in story["serverChain"][0]["issuer"]


def test_a_probe_looks_at_the_backend_through_it(postern, ca, nginx, uploaded, clients, behind,
                                                 haproxy):
    name = behind(nginx.url("tls13"), haproxy.entity, uploaded["p256"])
    story = postern.arm("POST", f"/backends/{name}/probe").json()
    assert story["outcome"] == "accepted" and story["certificateSent"], story
    assert story["tlsVersion"] == "TLSv1.3" and story["certificateRequested"]
    assert len(story["serverChain"]) >= 1
    bad = behind(nginx.url("wrongname"), haproxy.entity, uploaded["p256"])
    story = postern.arm("POST", f"/backends/{bad}/probe").json()
    assert story["cause"] == "tls_name_mismatch" and story["stage"] == "verify", story
    assert "elsewhere" in story["serverChain"][0]["subject"]


@pytest.mark.parametrize("server, code", [
    ("unknownca", "tls_unknown_ca"), ("expired", "tls_certificate_expired")])
def test_what_fails_inside_is_told_as_without_a_proxy(postern, nginx, uploaded, behind, haproxy,
                                                      server, code):
    name = behind(nginx.url(server), haproxy.entity, uploaded["p256"])
    assert postern.call(f"/{name}/x").status == 500
    assert f"code={code} " in failure(postern, name), failure(postern, name)
    story = postern.arm("POST", f"/backends/{name}/probe").json()
    assert story["outcome"] == "failed" and story["cause"] == code


def test_a_certificate_that_is_refused_inside_is_told(postern, ca, other_ca, uploaded, behind,
                                                      haproxy, tmp_path):
    (tmp_path / "other.crt").write_bytes(other_ca.certificate_pem)
    backend = backends.Python(ca.server().write(tmp_path, "picky"), tmp_path / "other.crt")
    try:
        name = behind(backend.url, haproxy.entity, uploaded["p256"])
        assert postern.call(f"/{name}/x").status == 500
        line = failure(postern, name)
        assert "code=tls_client_certificate_refused " in line, line
    finally:
        backend.stop()


def test_a_keyholder_that_is_away_is_told_though_the_alert_goes_through_the_proxy(
        postern, nginx, uploaded, behind, haproxy):
    """The proxy's TLS sends the alert of the backend's, and must not wipe out why."""
    name = behind(nginx.url("good"), haproxy.entity, uploaded["rsa2048"])
    keyholder = postern.pid("keyholder")
    os.kill(keyholder, signal.SIGSTOP)
    try:
        assert postern.call(f"/{name}/x").status == 500
    finally:
        os.kill(keyholder, signal.SIGCONT)
    assert "code=keyholder_unavailable " in failure(postern, name), failure(postern, name)
    assert postern.call(f"/{name}/x").status == 200


def test_a_wrong_password_within_tls_is_explained(postern, nginx, behind, haproxy):
    name = behind(nginx.url("good"), {**haproxy.entity, "password": "other"})
    assert postern.call(f"/{name}/x").status == 500
    assert "code=proxy_auth_required " in failure(postern, name) or \
        "code=proxy_refused " in failure(postern, name)


class CutProxy:
    """TLS of Python's; opens the tunnel, then plays the backend: a head, half a body that ends with
    the connection, and an end without close_notify (or with it)."""

    def __init__(self, server, folder, politely):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*map(str, server.write(folder, "cut")))
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"https://localhost:{self.listener.getsockname()[1]}"
        threading.Thread(target=self._serve, args=(context, politely), daemon=True).start()

    def _serve(self, context, politely):
        with contextlib.suppress(OSError):
            while True:
                raw, _ = self.listener.accept()
                with contextlib.suppress(OSError), context.wrap_socket(raw, server_side=True) as sock:
                    for answer in (b"HTTP/1.1 200 OK\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\nhalf a bo"):
                        head = b""
                        while b"\r\n\r\n" not in head:
                            piece = sock.recv(4096)
                            if not piece:
                                break
                            head += piece
                        sock.sendall(answer)
                    if politely:
                        sock.unwrap()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.listener.close()


@pytest.mark.parametrize("politely", [True, False])
def test_half_an_answer_never_looks_whole(postern, ca, behind, tmp_path, politely):
    with CutProxy(ca.server(), tmp_path, politely) as proxy:
        name = behind("http://backend.test", {"url": proxy.url})
        if politely:
            assert postern.call(f"/{name}/x").body == b"half a bo"
            return
        with pytest.raises(Exception) as caught:
            answer = postern.call(f"/{name}/x")
            assert answer.status == 500, answer
            raise ConnectionError("refused whole")
        assert not isinstance(caught.value, AssertionError), caught.value


def test_the_services_ca_decides_and_its_change_is_obeyed(tmp_path, trust, ca, other_ca, nginx):
    """A proxy of a CA that only the service knows; when the service knows it no longer, the tunnels
    that are open carry nothing more."""
    own = service.Postern(tmp_path / "own", environment=trust)
    own.start()
    try:
        with Tinyproxy(tmp_path / "inner") as inner, \
                HaproxyBefore(tmp_path / "outer", other_ca.server(), inner.port) as proxy:
            own.put("/backends/b", {"url": nginx.url("open"), "protocol": "http",
                                    "proxy": {"url": proxy.url}})
            own.make_api("b", "http://127.0.0.1:1",
                         policy('<set-backend-service backend-id="b" />'))
            assert own.call("/b/x").status == 500
            wanted = {"properties": {"certificates": [{
                "storeName": "Root",
                "encodedCertificate": base64.b64encode(other_ca.certificate_pem).decode()}]}}
            answer = own.arm("PATCH", "", wanted)
            assert answer.status in (200, 202), answer.text
            service.wait_for("trust", lambda: own.call("/b/x").status == 200, 10)
            assert own.arm("PATCH", "", {"properties": {"certificates": []}}).status in (200, 202)
            service.wait_for("no trust", lambda: own.call("/b/x").status == 500, 10)
    finally:
        own.stop()
