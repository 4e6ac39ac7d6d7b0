# SPDX-License-Identifier: Apache-2.0
"""The HTTP proxy of a backend: tunnels through a real one, and every way in which one can refuse."""
import contextlib
import socket
import threading

import pytest
from lab import h2server, raw, service
from lab.backends import free_port
from lab.h2frames import END_HEADERS, END_STREAM, HEADERS, block, frame
from lab.members import Member
from lab.nodes import Node
from lab.proxies import ScriptedProxy, Tinyproxy
from lab.service import policy

SECRET = "proxy-pass-Zu7"


@pytest.fixture
def behind(postern):
    """An API in front of a backend behind a proxy; returns its name."""
    def make(url, proxy, certificate=None, name=None, **more):
        name = name or service.unique("proxied")
        entity = {"url": url, "protocol": "http", "proxy": proxy, **more}
        if certificate:
            entity["credentials"] = {
                "certificateIds": [f"{postern.service_id}/certificates/{certificate}"]}
        postern.put(f"/backends/{name}", entity)
        postern.make_api(name, "http://127.0.0.1:1",
                         policy(f'<set-backend-service backend-id="{name}" />'))
        return name
    return make


def failure(postern, name):
    """The log line of the API's last failure."""
    lines = [line for line in postern.log().splitlines()
             if "request_failed" in line and f"api={name} " in line]
    return lines[-1] if lines else ""


def test_mutual_tls_goes_through_a_real_proxy_end_to_end(postern, nginx, uploaded, clients, behind,
                                                         tmp_path):
    with Tinyproxy(tmp_path / "proxy", "user", SECRET) as proxy:
        name = behind(nginx.url("good"), {"url": proxy.url, "username": "user",
                                          "password": SECRET}, uploaded["p256"])
        seen = [postern.call(f"/{name}/x").json() for _ in range(3)]
        assert {s["sha1"].upper() for s in seen} == {clients["p256"].sha1}
        assert len({s["connection"] for s in seen}) == 1, "the tunnel is kept"
        assert "CONNECT" in proxy.log()
        assert postern.metric("postern_identity_mismatch_total") == 0


def test_a_plain_backend_is_reached_by_a_tunnel_too(postern, behind, tmp_path):
    with Tinyproxy(tmp_path / "proxy") as proxy, Member("a") as a:
        name = behind(a.url, {"url": proxy.url})
        answer = postern.call(f"/{name}/x", method="POST", body=b"through")
        assert answer.status == 200 and a.requests[-1][3] == b"through"


def test_identities_never_share_a_tunnel(postern, nginx, uploaded, clients, behind):
    with ScriptedProxy() as proxy:
        names = {kind: behind(nginx.url("good"), {"url": proxy.url}, uploaded[kind])
                 for kind in ("p256", "rsa2048")}
        for _ in range(3):
            for kind, name in names.items():
                seen = postern.call(f"/{name}/x")
                assert seen.json()["sha1"].upper() == clients[kind].sha1, seen
        assert len(proxy.heads) == 2
        assert postern.metric("postern_identity_mismatch_total") == 0


def test_the_proxy_and_its_credentials_tell_connections_apart(postern, nginx, uploaded, behind):
    with ScriptedProxy() as first, ScriptedProxy() as second:
        for proxy in ({"url": first.url}, {"url": second.url},
                      {"url": first.url, "username": "u", "password": "one"},
                      {"url": first.url, "username": "u", "password": "two"}):
            name = behind(nginx.url("good"), proxy, uploaded["p256"])
            assert postern.call(f"/{name}/x").status == 200
        assert len(second.heads) == 1
        assert [first.credentials(i) for i in range(len(first.heads))] == [None, "u:one", "u:two"]
        port = nginx.ports["good"]
        assert first.heads[0].startswith(f"CONNECT localhost:{port} HTTP/1.1\r\nHost: localhost:{port}\r\n")


def test_the_password_is_never_shown(postern, behind):
    with ScriptedProxy(lambda _: b"HTTP/1.1 407 Who?\r\nContent-Length: 0\r\n\r\n") as proxy:
        name = behind("http://backend.test", {"url": proxy.url, "username": "u",
                                              "password": SECRET})
        assert SECRET not in postern.arm("GET", f"/backends/{name}").text
        assert SECRET not in postern.arm("GET", "/backends").text
        answer = postern.call(f"/{name}/x")
        assert answer.status == 500 and SECRET not in answer.text
        assert proxy.credentials() == f"u:{SECRET}"
        patched = postern.arm("PATCH", f"/backends/{name}", {"properties": {"description": "d"}},
                              headers={"If-Match": "*"})
        assert patched.status == 200 and SECRET not in patched.text
        postern.call(f"/{name}/x")
        assert proxy.credentials(-1) == f"u:{SECRET}", "PATCH keeps it"
    log = postern.log()
    assert SECRET not in log and "Basic " not in log


@pytest.mark.parametrize("answer, code", [
    (b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n",
     "proxy_auth_required"),
    (b"HTTP/1.1 403 Filtered\r\nContent-Length: 3\r\n\r\nno.", "proxy_refused"),
    (b"HTTP/1.1 502 Bad Gateway\r\n\r\n", "proxy_refused"),
    (b"SSH-2.0-OpenSSH\r\n", "proxy_malformed"),
    (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 9000, "proxy_malformed"),
    (b"HTTP/1.1 200 OK\r\n\r\nunasked", "proxy_malformed"),
    (b"", "proxy_closed"),
])
def test_a_proxy_that_does_not_open_a_tunnel_is_explained(postern, behind, answer, code):
    with ScriptedProxy(lambda _: answer) as proxy:
        name = behind("https://backend.test", {"url": proxy.url})
        seen = postern.call(f"/{name}/x")
        assert seen.status == 500
        line = failure(postern, name)
        assert f"code={code} " in line and f"127.0.0.1:{proxy.port}" in line, line


def test_a_proxy_that_is_not_there_or_never_answers_is_explained(tmp_path, trust):
    own = service.Postern(tmp_path / "own", ["--limit", "backend-connect-timeout=400ms"],
                          environment=trust)
    own.start()
    try:
        with ScriptedProxy(lambda _: b"HTTP/1.1 2", hangs=True) as silent:
            for name, url, code in (("away", f"http://127.0.0.1:{free_port()}", "connect_refused"),
                                    ("silent", silent.url, "proxy_timeout")):
                own.put(f"/backends/{name}", {"url": "https://backend.test", "protocol": "http",
                                              "proxy": {"url": url}})
                own.make_api(name, "http://127.0.0.1:1",
                             policy(f'<set-backend-service backend-id="{name}" />'))
                assert own.call(f"/{name}/x").status == 500
                assert f"code={code} " in failure(own, name)
    finally:
        own.stop()


def test_http2_runs_inside_the_tunnel(postern, ca, uploaded, clients, behind, tmp_path):
    crt, key = ca.server().write(tmp_path, "server")
    (tmp_path / "ca.crt").write_bytes(ca.certificate_pem)
    backend = Node("h2_backend.mjs", cert=str(crt), key=str(key), clientCa=str(tmp_path / "ca.crt"))
    try:
        with ScriptedProxy() as proxy:
            name = behind(backend.url, {"url": proxy.url}, uploaded["p256"])
            postern.set_policy(f"/apis/{name}", policy(
                f'<set-backend-service backend-id="{name}" />',
                '<forward-request http-version="2" />'))
            for _ in range(4):
                seen = postern.call(f"/{name}/echo").json()
                assert seen["sha1"].replace(":", "") == clients["p256"].sha1
            assert len(proxy.heads) == 1
    finally:
        backend.stop()


def test_the_backends_certificate_is_checked_through_the_tunnel(postern, nginx, uploaded, behind):
    with ScriptedProxy() as proxy:
        name = behind(nginx.url("wrongname"), {"url": proxy.url}, uploaded["p256"])
        assert postern.call(f"/{name}/x").status == 500
        assert "code=tls_name_mismatch " in failure(postern, name)


def test_a_proxy_that_refuses_is_left_for_another_member_of_the_pool(postern, behind):
    with ScriptedProxy(lambda _: b"HTTP/1.1 503 Busy\r\n\r\n") as proxy, Member("b") as b:
        name = behind("http://backend.test", {"url": proxy.url})
        pool = behind(b.url, {"url": proxy.url}, name=f"{name}-b")
        postern.put(f"/backends/{pool}", {"url": b.url, "protocol": "http"})
        postern.put(f"/backends/{name}-pool", {"type": "Pool", "pool": {"services": [
            {"id": f"/backends/{name}", "priority": 0}, {"id": f"/backends/{pool}", "priority": 1}]}})
        postern.set_policy(f"/apis/{name}",
                           policy(f'<set-backend-service backend-id="{name}-pool" />'))
        assert postern.call(f"/{name}/x", method="POST", body=b"x").json()["member"] == "b"


def test_a_proxy_of_another_scheme_is_refused_when_it_is_put(postern):
    answer = postern.arm("PUT", f"/backends/{service.unique('p')}", {"properties": {
        "url": "https://b", "protocol": "http", "proxy": {"url": "socks5://proxy.test:1080"}}})
    assert answer.status == 400
    detail = answer.json()["error"]["details"][0]
    assert detail["target"] == "proxy.url" and "http or https URL" in detail["message"]


class Eager(ScriptedProxy):
    """Sends what the backend says first together with its own answer."""

    def _serve(self, sock):
        with contextlib.suppress(OSError), sock:
            head, _ = raw.head_of(sock)
            host, port = head.split()[1].decode().rsplit(":", 1)
            with socket.create_connection((host, int(port)), 5) as backend:
                sock.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n" + backend.recv(65536))
                threading.Thread(target=self._pump, args=(sock, backend), daemon=True).start()
                self._pump(backend, sock)


def test_a_backend_that_speaks_first_may_do_so_with_the_proxys_answer(postern):
    """A server of HTTP/2 sends its SETTINGS as soon as it is connected to (RFC 9113 section 3.4)."""
    def answer(sock, stream, _):
        sock.sendall(frame(HEADERS, END_HEADERS | END_STREAM, stream, block((":status", "204"))))

    with h2server.Answers(answer) as backend, Eager() as proxy:
        name = service.unique("eager")
        postern.put(f"/backends/{name}", {"url": backend.url, "protocol": "http", "proxy": {"url": proxy.url}})
        postern.make_api(name, "http://127.0.0.1:1", policy(f'<set-backend-service backend-id="{name}" />',
                                                            '<forward-request http-version="2" />'))
        assert [postern.call(f"/{name}/x").status for _ in range(2)] == [204, 204]
