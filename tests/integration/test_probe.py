# SPDX-License-Identifier: Apache-2.0
"""Explain: what a backend does with our certificate, and why, without sending a request."""
import contextlib
import json
import socket
import subprocess

import pytest
from lab import service
from lab.backends import free_port


@pytest.fixture
def s_server(ca, tmp_path):
    """openssl s_server with options of one's own; gives its port."""
    running = []

    def start(*options, server=None):
        crt, key = (server or ca.server()).write(tmp_path, service.unique("server"))
        port = free_port()
        running.append(subprocess.Popen(
            ["openssl", "s_server", "-accept", f"127.0.0.1:{port}", "-cert", crt, "-key", key, "-www", "-quiet",
             *map(str, options)], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))

        def listening():
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", port), 1).close()
                return True
        service.wait_for("s_server", listening)
        return port
    yield start
    for process in running:
        process.terminate()
        process.wait()


def make(postern, url, certificate=None, **more):
    name = service.unique("probe")
    properties = {"url": url, "protocol": "http", **more}
    if certificate:
        properties["credentials"] = {"certificateIds": [f"{postern.service_id}/certificates/{certificate}"]}
    postern.put(f"/backends/{name}", properties)
    return name


def probe(postern, name, **wish):
    answer = postern.arm("POST", f"/backends/{name}/probe", {"properties": wish} if wish else None)
    assert answer.status == 200, answer.body
    return answer.json()


@pytest.mark.parametrize("server", ["tls12", "tls13"])
def test_an_accepted_certificate_is_told_with_the_whole_story(postern, ca, nginx, uploaded, clients, server):
    name = make(postern, nginx.url(server), uploaded["p256"])
    before = postern.metric("postern_requests_total")
    story = probe(postern, name)
    assert story["outcome"] == "accepted" and story["cause"] == "" and story["fix"] == ""
    assert story["tlsVersion"] == {"tls12": "TLSv1.2", "tls13": "TLSv1.3"}[server] and story["cipher"]
    assert story["certificateRequested"] and story["certificateSent"]
    assert any(ca.common_name in issuer for issuer in story["acceptableIssuers"])
    assert "ecdsa_secp256r1_sha256" in story["signatureSchemes"]
    assert "CN=localhost" in story["serverChain"][0]["subject"] and len(story["serverChain"][0]["spkiSha256"]) == 64
    assert story["certificate"]["thumbprint"] == clients["p256"].sha1
    assert story["certificate"]["id"] == f"{postern.service_id}/certificates/{uploaded['p256']}"
    assert postern.metric("postern_requests_total") == before


@pytest.mark.parametrize("version, late", [("-tls1_2", False), ("-tls1_3", True)])
def test_a_refused_certificate_is_explained_by_whom_the_backend_accepts(postern, ca, other_ca, tmp_path, s_server,
                                                                        version, late):
    (tmp_path / "ca").write_bytes(other_ca.certificate_pem)
    port = s_server("-CAfile", tmp_path / "ca", "-Verify", "1", "-verify_return_error", version)
    mine = service.unique("mine")
    postern.upload(mine, ca.client(mine))
    story = probe(postern, make(postern, f"https://localhost:{port}", mine))
    assert story["outcome"] == "failed" and story["cause"] == "tls_client_certificate_refused", story
    assert story["alert"]["late"] is late and story["alert"]["name"] in ("unknown_ca", "certificate_unknown")
    assert ca.common_name in story["fix"] and other_ca.common_name in story["acceptableIssuers"][0]


def test_a_certificate_that_is_missing_is_named(postern, ca, tmp_path, s_server):
    (tmp_path / "ca").write_bytes(ca.certificate_pem)
    port = s_server("-CAfile", tmp_path / "ca", "-Verify", "1", "-verify_return_error")
    story = probe(postern, make(postern, f"https://localhost:{port}"))
    assert story["cause"] == "tls_client_certificate_required" and "credentials.certificateIds" in story["fix"]
    assert story["certificateRequested"] and not story["certificateSent"] and story["certificate"] is None


def test_another_certificate_can_be_tried_without_changing_the_backend(postern, ca, other_ca, tmp_path, s_server):
    (tmp_path / "ca").write_bytes(ca.certificate_pem)
    port = s_server("-CAfile", tmp_path / "ca", "-Verify", "1", "-verify_return_error")
    wrong, right = service.unique("wrong"), service.unique("right")
    postern.upload(wrong, other_ca.client(wrong))
    postern.upload(right, ca.client(right))
    name = make(postern, f"https://localhost:{port}", wrong)
    assert probe(postern, name)["outcome"] == "failed"
    assert probe(postern, name, certificateId=right)["outcome"] == "accepted"
    answer = postern.arm("POST", f"/backends/{name}/probe", {"properties": {"certificateId": "nobody"}})
    assert answer.status == 400 and "nobody" in answer.text


def test_a_key_that_the_backend_cannot_take_is_named(postern, ca, tmp_path, s_server):
    (tmp_path / "ca").write_bytes(ca.certificate_pem)
    port = s_server("-CAfile", tmp_path / "ca", "-Verify", "1", "-client_sigalgs", "RSA-PSS+SHA256")
    mine = service.unique("ec")
    postern.upload(mine, ca.client(mine, "p256"))
    story = probe(postern, make(postern, f"https://localhost:{port}", mine))
    assert story["cause"] == "client_certificate_unusable" and "signatureSchemes" in story["fix"]
    assert story["signatureSchemes"] == ["rsa_pss_rsae_sha256"]


@pytest.mark.parametrize("server, cause", [("unknownca", "tls_unknown_ca"), ("wrongname", "tls_name_mismatch"),
                                           ("expired", "tls_certificate_expired")])
def test_our_own_verdict_on_the_backend_is_told_and_nothing_is_shown_to_it(postern, nginx, uploaded, server, cause):
    story = probe(postern, make(postern, nginx.url(server), uploaded["p256"]))
    assert story["outcome"] == "failed" and story["cause"] == cause and story["fix"]
    assert story["verifyError"] > 0 and story["serverChain"], story
    assert not story["certificateSent"]


def test_what_cannot_be_reached_is_named(postern, echo):
    assert probe(postern, make(postern, "https://localhost:1"))["cause"] == "connect_refused"
    assert probe(postern, make(postern, "https://nowhere.invalid"))["cause"] == "dns_failed"
    assert probe(postern, make(postern, echo.url.replace("http:", "https:")))["cause"] == "tls_not_tls"
    plain = postern.arm("POST", f"/backends/{make(postern, echo.url)}/probe")
    assert plain.status == 400 and "https://" in plain.text
    assert postern.arm("POST", "/backends/nobody/probe").status == 404


def test_the_command_prints_the_story_and_says_by_its_exit_code(postern, nginx, uploaded):
    good, bad = make(postern, nginx.url("good"), uploaded["p256"]), make(postern, "https://localhost:1")

    def run(*arguments):
        return subprocess.run([service.BIN / "postern", *arguments, "--data", str(postern.data)],
                              capture_output=True, text=True, timeout=30)
    done = run("backend", "probe", good)
    assert done.returncode == 0 and "accepted" in done.stdout and "CN=localhost" in done.stdout, done
    done = run("backend", "probe", bad)
    assert done.returncode == 1 and "connect_refused" in done.stdout, done
    assert json.loads(run("backend", "probe", good, "--output", "json").stdout)["outcome"] == "accepted"
