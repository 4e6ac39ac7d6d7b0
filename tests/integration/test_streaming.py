# SPDX-License-Identifier: Apache-2.0
"""Bodies: large ones both ways with back-pressure, chunked, HEAD, 100-continue, early answers."""
import hashlib
import pathlib
import socket
import threading
import urllib.parse

import pytest
from lab import backends, service
from lab.service import policy, with_certificate

MB = 1 << 20


@pytest.fixture(scope="module")
def mutual(ca, tmp_path_factory):
    """A Python backend that demands a client certificate."""
    folder = tmp_path_factory.mktemp("mutual")
    ca_file = folder / "ca.crt"
    ca_file.write_bytes(ca.certificate_pem)
    server = backends.Python(ca.server().write(folder, "server"), ca_file)

    def digest(handler):
        sha, count = hashlib.sha256(), 0
        for piece in handler._body():
            sha.update(piece)
            count += len(piece)
        handler.answer(200, f"{count} {sha.hexdigest()} {handler.subject()}".encode())

    def download(handler):
        handler.send_response(200)
        handler.send_header("Content-Length", str(64 * MB))
        handler.end_headers()
        block = bytes(range(256)) * 256
        for _ in range(64 * MB // len(block)):
            handler.wfile.write(block)

    def chunks(handler):
        handler.send_response(200)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        for i in range(200):
            piece = f"piece {i}\n".encode()
            handler.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
        handler.wfile.write(b"0\r\n\r\n")

    server.route("/digest", digest)
    server.route("/download", download)
    server.route("/chunks", chunks)
    yield server
    server.stop()


@pytest.fixture(scope="module")
def api(postern, mutual, uploaded):
    name = service.unique("streams")
    postern.make_api(name, mutual.url, with_certificate(uploaded["p256"]))
    return name


def gateway_memory(postern):
    status = pathlib.Path(f"/proc/{postern.pid('gateway')}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) * 1024


def test_64_mb_go_up_and_the_gateway_keeps_none_of_it(postern, api, clients):
    body = bytes(range(256)) * (64 * MB // 256)
    before = gateway_memory(postern)
    answer = postern.call(f"/{api}/digest", "POST", body)
    assert answer.status == 200, answer
    count, sha, subject = answer.text.split(" ", 2)
    assert (int(count), sha) == (len(body), hashlib.sha256(body).hexdigest())
    assert clients["p256"].common_name in subject
    assert gateway_memory(postern) - before < 16 * MB


def test_64_mb_come_down_and_the_gateway_keeps_none_of_it(postern, api):
    before = gateway_memory(postern)
    answer = postern.call(f"/{api}/download")
    assert len(answer.body) == 64 * MB
    assert hashlib.sha256(answer.body).digest() == hashlib.sha256(
        bytes(range(256)) * (64 * MB // 256)).digest()
    assert gateway_memory(postern) - before < 16 * MB


def test_a_slow_reader_stops_the_backend(postern, api):
    """Back-pressure: of an answer nobody reads, the gateway takes only what fits its buffers."""
    url = urllib.parse.urlsplit(postern.gateway)
    before = gateway_memory(postern)
    sock = socket.socket()
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        sock.settimeout(20)
        sock.connect((url.hostname, url.port))
        sock.sendall(f"GET /{api}/download HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        received = len(sock.recv(1000))
        threading.Event().wait(1.0)  # time in which a gateway without a brake would read it all
        assert gateway_memory(postern) - before < 16 * MB
        while received < 64 * MB:
            received += len(sock.recv(MB))
    finally:
        sock.close()


def test_chunked_request_bodies_arrive_whole(postern, api):
    pieces = [b"x" * n for n in (1, 2, 1000, 70000, 5)]
    answer = postern.call(f"/{api}/digest", "POST", iter(pieces),
                          {"Transfer-Encoding": "chunked"}, chunked=True)
    whole = b"".join(pieces)
    assert answer.text.startswith(f"{len(whole)} {hashlib.sha256(whole).hexdigest()}")


def test_chunked_answers_arrive_whole(postern, api):
    answer = postern.call(f"/{api}/chunks")
    assert answer.text == "".join(f"piece {i}\n" for i in range(200))


def test_an_empty_body_and_a_zero_content_length_pass(postern, api):
    answer = postern.call(f"/{api}/digest", "POST", b"")
    assert answer.text.startswith("0 ")


def test_head_has_no_body_and_the_connection_goes_on(postern, api, mutual):
    head = postern.call(f"/{api}/head-test", "HEAD")
    assert head.status == 200 and head.body == b""
    assert int(head.headers["Content-Length"]) > 0
    assert postern.call(f"/{api}/after").status == 200


def test_100_continue_is_answered_before_the_body(postern, api):
    url = urllib.parse.urlsplit(postern.gateway)
    with socket.create_connection((url.hostname, url.port), 10) as sock:
        sock.sendall(f"POST /{api}/digest HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n"
                     "Expect: 100-continue\r\nConnection: close\r\n\r\n".encode())
        first = sock.recv(4096)
        assert first.startswith(b"HTTP/1.1 100"), first
        sock.sendall(b"hello")
        rest = first[first.index(b"\r\n\r\n") + 4:]
        while piece := sock.recv(4096):
            rest += piece
    assert rest.startswith(b"HTTP/1.1 200"), rest
    assert b"5 " + hashlib.sha256(b"hello").hexdigest().encode() in rest


def test_a_refused_request_with_expect_gets_no_100(postern):
    url = urllib.parse.urlsplit(postern.gateway)
    with socket.create_connection((url.hostname, url.port), 10) as sock:
        sock.sendall(b"POST /nowhere HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n"
                     b"Expect: 100-continue\r\n\r\n")
        assert sock.recv(4096).startswith(b"HTTP/1.1 404")


def test_pipelined_requests_are_answered_in_order(postern, echo):
    name = service.unique("pipe")
    postern.make_api(name, echo.url)
    url = urllib.parse.urlsplit(postern.gateway)
    with socket.create_connection((url.hostname, url.port), 10) as sock:
        sock.sendall("".join(
            f"GET /{name}/p{i} HTTP/1.1\r\nHost: x\r\n"
            f"{'Connection: close' if i == 9 else 'X-A: b'}\r\n\r\n" for i in range(10)).encode())
        received = b""
        while piece := sock.recv(65536):
            received += piece
    places = [received.find(f'"/p{i}"'.encode()) for i in range(10)]
    assert -1 not in places and places == sorted(places)


def test_a_client_that_goes_away_does_not_disturb_others(postern, api):
    url = urllib.parse.urlsplit(postern.gateway)
    for _ in range(20):
        with socket.create_connection((url.hostname, url.port), 10) as sock:
            sock.sendall(f"GET /{api}/download HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            sock.recv(1000)
        with socket.create_connection((url.hostname, url.port), 10) as sock:
            sock.sendall(f"POST /{api}/digest HTTP/1.1\r\nHost: x\r\nContent-Length: 9000\r\n\r\n"
                         .encode() + b"x" * 100)
    assert postern.call(f"/{api}/after").status == 200
    assert postern.metric("postern_identity_mismatch_total") == 0


@pytest.mark.parametrize("answer", [
    b"", b"garbage\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort",
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"HTTP/1.1 99 X\r\nContent-Length: 2\r\n\r\nok", b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok",
    b"HTTP/1.1 200 OK\r\nA: b\r\n c\r\nContent-Length: 2\r\n\r\nok",
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", b"HTTP/1.1 101 Switching\r\n\r\n"],
    ids=["nothing", "garbage", "short", "two-lengths", "bad-chunk", "status", "bare-lf", "folded",
         "length-and-chunked", "negative", "unasked-101"])
def test_a_broken_answer_never_looks_whole(postern, answer):
    import socketserver

    class Broken(socketserver.BaseRequestHandler):
        def handle(self):
            self.request.recv(65536)
            self.request.sendall(answer)

    server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Broken)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        name = service.unique("broken")
        postern.make_api(name, f"http://localhost:{server.server_address[1]}", policy())
        import http.client
        try:
            got = postern.call(f"/{name}/x")
        except (http.client.IncompleteRead, http.client.RemoteDisconnected, ValueError,
                ConnectionResetError, http.client.HTTPException):
            postern.close_sessions()
        else:
            assert got.status == 500, got
    finally:
        server.shutdown()
        server.server_close()
