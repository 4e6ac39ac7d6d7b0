# SPDX-License-Identifier: Apache-2.0
"""The clients and the servers of the world on both sides of the gateway, all backends demanding a
client certificate: each does the same tour of methods, bodies and endings."""
import contextlib
import hashlib
import json
import re
import socket
import ssl
import subprocess
import urllib.parse

import pytest
from lab import node, service, servers
from lab.raw import connect, read_all, receive, request, request_of
from lab.service import policy

MB = 1 << 20
BODY = bytes(range(256)) * (MB // 256)


@pytest.fixture(scope="module")
def world(ca, tmp_path_factory):
    """(server, version) -> its URL."""
    folder = tmp_path_factory.mktemp("world")
    backend = node.Backend(folder / "node", ca.server(), ca)
    running, urls = [backend], {("node", "h1"): backend.url("https"),
                                ("node", "h2"): backend.url("h2")}
    try:
        for kind in ("apache2", "haproxy", "nginx"):
            server = servers.Server(kind, folder / kind, ca.server(), ca, backend.ports["http"])
            running.append(server)
            for version in ("h1", "h2"):
                urls[kind, version] = server.url(version)
        yield urls
    finally:
        for server in running:
            server.stop()


PEERS = [(kind, version) for kind in ("node", "apache2", "haproxy", "nginx")
         for version in ("h1", "h2")]


@pytest.fixture(scope="module", params=PEERS, ids=["-".join(p) for p in PEERS])
def peer(request, postern, world, uploaded, clients):
    """(API, kind, version, the CN that must be seen)."""
    kind, version = request.param
    name = service.unique(f"{kind}-{version}")
    postern.make_api(name, world[kind, version], policy(
        f'<authentication-certificate certificate-id="{uploaded["p256"]}" />',
        f'<forward-request http-version="{"2" if version == "h2" else "1"}" />'))
    return name, kind, version, clients["p256"].common_name


def cn_of(answer):
    return answer.headers.get("x-client-cn") or answer.headers.get("x-subject")


def test_get_carries_the_certificate_over_that_version(postern, peer):
    name, kind, version, cn = peer
    answer = postern.call(f"/{name}/echo?q=1")
    assert (answer.status, cn_of(answer)) == (200, cn), answer
    assert answer.json()["url"] == "/echo?q=1"
    if kind == "node":
        assert answer.json()["version"] == ("2.0" if version == "h2" else "1.1")


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_1_mb_goes_up_and_comes_back(postern, peer, framing):
    name, _, _, cn = peer
    body = BODY if framing == "length" else iter([BODY[i:i + 60000]
                                                  for i in range(0, MB, 60000)])
    headers = {} if framing == "length" else {"Transfer-Encoding": "chunked"}
    answer = postern.call(f"/{name}/mirror", "POST", body, headers, chunked=framing == "chunked")
    assert (answer.status, cn_of(answer)) == (200, cn), answer
    assert hashlib.sha256(answer.body).digest() == hashlib.sha256(BODY).digest()


@pytest.mark.parametrize("query", ["n=1048576", "n=1048576&chunked", "n=0", "n=1&chunked"])
def test_downloads_arrive_whole(postern, peer, query):
    answer = postern.call(f"/{peer[0]}/bytes?{query}")
    assert answer.status == 200 and len(answer.body) == int(re.findall(r"\d+", query)[0])


def test_head_204_and_304_have_no_body_and_keep_the_connection(postern, peer):
    name, _, _, cn = peer
    with connect(postern) as sock:
        for method, path, status in (("HEAD", "/echo", 200), ("GET", "/status?code=204", 204),
                                     ("GET", "/status?code=304", 304), ("GET", "/status?code=404", 404),
                                     ("HEAD", "/bytes?n=5000", 200), ("GET", "/echo", 200)):
            sock.sendall(request(method, f"/{name}{path}"))
            if method == "HEAD" or status in (204, 304):
                head = b""
                while not head.endswith(b"\r\n\r\n"):
                    head += sock.recv(1)
            else:
                head = read_answer(sock)
            assert head.startswith(b"HTTP/1.1 %d" % status), (path, head)


def read_answer(sock):
    """The head of an answer whose body is read too, in either framing."""
    received = b""
    while b"\r\n\r\n" not in received:
        received += sock.recv(65536)
    head, _, body = received.partition(b"\r\n\r\n")
    length = re.search(rb"(?i)content-length: (\d+)", head)
    while (len(body) < int(length[1])) if length else not body.endswith(b"0\r\n\r\n"):
        body += sock.recv(65536)
    return head


def test_expect_100_continue(postern, peer):
    name, _, _, _ = peer
    with connect(postern) as sock:
        sock.sendall(request("POST", f"/{name}/mirror", "Content-Length: 5", "Connection: close",
                             "Expect: 100-continue"))
        first = sock.recv(4096)
        assert first.startswith(b"HTTP/1.1 100 "), first
        sock.sendall(b"hello")
        assert b"hello" in read_all(sock)


def test_an_early_refusal_during_an_upload_arrives(postern, peer):
    name, kind, _, _ = peer
    with connect(postern, 10) as sock:
        sock.sendall(request("POST", f"/{name}/early", "Content-Length: 5000000",
                             body=b"x" * 100000))
        if kind == "apache2":  # it hands a refusal on when it has read the whole body only
            sock.sendall(b"x" * 4900000)
        assert request_of(sock)[0].startswith(b"HTTP/1.1 413")


def test_trailers_come_through_where_the_backend_sends_them(postern, peer):
    name, kind, _, _ = peer
    with connect(postern) as sock:
        sock.sendall(request("GET", f"/{name}/trailers", "TE: trailers", "Connection: close, TE"))
        received = read_all(sock)
    assert received.startswith(b"HTTP/1.1 200") and b"body" in received
    if kind in ("node", "haproxy"):  # the others drop those of their own backend
        assert b"\r\nx-sum: 4\r\n" in received.lower(), received


def test_a_backend_that_breaks_off_is_never_a_whole_answer(postern, peer):
    name, _, _, _ = peer
    for path in ("/reset", "/reset-late", "/reset-body"):
        with connect(postern, 10) as sock:
            sock.sendall(request("GET", f"/{name}{path}", "Connection: close"))
            received = receive(sock, 8)
        head, _, body = received.partition(b"\r\n\r\n")
        if head.startswith(b"HTTP/1.1 200"):
            assert len(body) < MB, path
        else:
            assert head.startswith(b"HTTP/1.1 50"), (path, received)
    assert postern.call(f"/{name}/echo").status == 200
    assert postern.metric("postern_identity_mismatch_total") == 0


# --- clients

@pytest.fixture(scope="module")
def api(postern, world, uploaded):
    name = service.unique("front")
    postern.make_api(name, world["node", "h1"], policy(
        f'<authentication-certificate certificate-id="{uploaded["p256"]}" />'))
    return name


def run(*command, data=None):
    done = subprocess.run([*map(str, command)], input=data, capture_output=True, timeout=60)
    assert done.returncode == 0, (done.stdout[-2000:], done.stderr[-2000:])
    return done.stdout


CURL = {"http1.1": ("gateway", "--http1.1"), "h2c": ("gateway", "--http2-prior-knowledge"),
        "https1.1": ("gateway_tls", "--http1.1"), "h2": ("gateway_tls", "--http2"),
        "tls1.2-h2": ("gateway_tls", "--http2", "--tls-max", "1.2")}


@pytest.mark.parametrize("how", CURL)
def test_curl(postern, api, how, tmp_path):
    where, *options = CURL[how]
    url = f"{getattr(postern, where)}/{api}"
    curl = ["curl", "-sS", "--max-time", "30", "--cacert", postern.ca_file, *options]
    body = tmp_path / "body"
    body.write_bytes(BODY)
    assert hashlib.sha256(run(*curl, "--data-binary", f"@{body}", f"{url}/mirror")).digest() == \
        hashlib.sha256(BODY).digest()
    assert run(*curl, "-T", "-", "-X", "POST", f"{url}/mirror", data=BODY) == BODY  # no length
    assert len(run(*curl, f"{url}/bytes?n=1000000")) == 1000000
    assert run(*curl, "-H", "Expect: 100-continue", "-d", "hello", f"{url}/mirror") == b"hello"
    for code in (204, 304, 404):  # one by one: this curl sends a second preface on a kept h2c
        assert run(*curl, "-o", "/dev/null", "-w", "%{http_code}",
                   f"{url}/status?code={code}") == b"%d" % code
    assert run(*curl, "-I", f"{url}/echo").split(b"\r\n")[0].split()[1] == b"200"
    version = run(*curl, "-o", "/dev/null", "-w", "%{http_version}", f"{url}/echo")
    assert version == (b"2" if "h2" in how else b"1.1")


@pytest.mark.parametrize("where", ["gateway", "gateway_tls"])
def test_nghttp(postern, api, where, tmp_path):
    body = tmp_path / "body"
    body.write_bytes(BODY)
    url = f"{getattr(postern, where)}/{api}"
    assert run("nghttp", "-y", "-d", body, f"{url}/mirror") == BODY
    out = run("nghttp", "-nsvy", *[f"{url}/bytes?n=100000&i={i}" for i in range(5)])
    assert out.count(b":status: 200") == 5


@pytest.mark.parametrize("where, options", [
    ("gateway", ()), ("gateway", ("--h1",)), ("gateway_tls", ()),
    ("gateway_tls", ("--npn-list=http/1.1",))],
    ids=["h2c", "h1", "h2", "h1-tls"])
def test_h2load(postern, api, where, options):
    out = run("h2load", "-n400", "-c8", "-m10", *options,
              f"{getattr(postern, where)}/{api}/echo").decode()
    assert "400 succeeded, 0 failed, 0 errored, 0 timeout" in out, out
    assert "status codes: 400 2xx" in out, out


@pytest.mark.parametrize("where", ["gateway", "gateway_tls"])
def test_wrk(postern, api, where):
    out = run("wrk", "-t1", "-c8", "-d1s", f"{getattr(postern, where)}/{api}/echo").decode()
    assert int(re.search(r"(\d+) requests in", out)[1]) > 0
    assert "Non-2xx" not in out and "Socket errors" not in out, out


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_openssl_s_client(postern, api, version):
    port = urllib.parse.urlsplit(postern.gateway_tls).port
    out = run("openssl", "s_client", "-quiet", "-verify_return_error", "-CAfile", postern.ca_file,
              "-servername", "localhost", "-verify_hostname", "localhost", version,
              "-connect", f"localhost:{port}", data=request(
                  "GET", f"/{api}/bytes?n=10", "Connection: close"))
    assert out.startswith(b"HTTP/1.1 200") and out.endswith(b"0123456789")


@pytest.mark.parametrize("protocol", ["h1", "h1s", "h2", "h2c", "ws", "wss"])
def test_node(postern, api, protocol, clients):
    """js/soak.mjs: node's http, https and http2 clients, and ws."""
    outcome = node.result(node.start("soak.mjs", {
        "url": postern.gateway, "tls": postern.gateway_tls, "ca": postern.ca_file, "seconds": 1,
        "clients": 4, "seed": 7, "protocols": [protocol],
        "apis": [{"path": f"/{api}", "subject": clients["p256"].common_name, "sockets": True}]}), 60)
    assert not outcome["wrong"], outcome
    assert sum(outcome["done"].values()) > 4, outcome


def test_a_tls_client_in_python_resumes_its_session(postern, api):
    context = ssl.create_default_context(cafile=postern.ca_file)
    port = urllib.parse.urlsplit(postern.gateway_tls).port
    session, reused = None, []
    for _ in range(3):
        with contextlib.closing(context.wrap_socket(
                socket.create_connection(("localhost", port), 10), server_hostname="localhost",
                session=session)) as sock:
            sock.sendall(request("GET", f"/{api}/echo", "Connection: close"))
            answer = read_all(sock)
            assert answer.startswith(b"HTTP/1.1 200")
            assert json.loads(answer.split(b"\r\n\r\n", 1)[1].split(b"\r\n")[-1] or b"{}") is not None
            session, reused = sock.session, reused + [sock.session_reused]
    assert reused[0] is False and any(reused[1:]), reused
