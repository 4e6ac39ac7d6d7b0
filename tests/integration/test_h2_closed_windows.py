# SPDX-License-Identifier: Apache-2.0
"""An answer, or a request, that is as long as the window of its reader: the end needs no window (RFC 9113
section 6.9.1), so who waits for it before he gives window back gets it."""
import struct
import subprocess
import threading

import pytest
from lab import h2server, raw, service, strict
from lab.h2frames import (DATA, END_HEADERS, END_STREAM, HEADERS, RST_STREAM, SETTINGS, ACK, Connection,
                          block, frame, settings, window)
from lab.service import policy, wait_for

VERSION_2 = policy("", '<forward-request http-version="2" />')
STREAM, CONNECTION = "stream", "connection"
SIZE = {STREAM: 1000, CONNECTION: 65535}


class Held:
    """The end of a body, which comes when the test says so."""

    def __init__(self):
        self.may_end = threading.Event()


def chunk(data):
    return b"%x\r\n%s\r\n" % (len(data), data)


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
# What an HTTP/1.1 backend sends of a body, and what behind it, later.
HTTP_1 = {
    "length": lambda body: (b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body, b""),
    "chunked": lambda body: (CHUNKED + chunk(body), b"0\r\n\r\n"),
    "chunked at once": lambda body: (CHUNKED + chunk(body) + b"0\r\n\r\n", b""),
    "trailers": lambda body: (CHUNKED + chunk(body), b"0\r\nX-Sum: 7\r\n\r\n"),
    "until close": lambda body: (b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + body, None),
}


@pytest.fixture
def backend_1():
    """Serves HTTP_1[name] of `size` bytes for /name/size."""
    held = Held()

    def serve(sock, _):
        while head := raw.head_of(sock)[0]:
            _, name, size = head.split()[1].decode().replace("%20", " ").split("/")
            first, last = HTTP_1[name](b"x" * int(size))
            sock.sendall(first)
            if last != b"":
                held.may_end.wait(20)
            if last is None:
                return
            sock.sendall(last)

    with raw.Script(serve) as backend:
        held.url = backend.url
        yield held


def windows(closed, size):
    """The SETTINGS of a client whose window of `closed` is as large as the answer."""
    return settings((4, size if closed == STREAM else 1 << 20))


def received(c, stream=1):
    return sum(len(f.payload) for f in c.frames if f.kind == DATA and f.stream == stream)


def has_ended(c, stream=1):
    return any(f.stream == stream and f.kind in (DATA, HEADERS) and f.flags & END_STREAM for f in c.frames)


def expect_end(c, size):
    assert c.read(lambda: has_ended(c)), f"no end without window: {c.frames[-3:]}"
    assert received(c) == size and not any(f.kind == RST_STREAM and f.code for f in c.frames)


@pytest.mark.parametrize("closed", [STREAM, CONNECTION])
@pytest.mark.parametrize("name", HTTP_1)
def test_an_answer_as_long_as_the_window_ends(postern, backend_1, name, closed):
    size = SIZE[closed]
    api = service.unique("closed")
    postern.make_api(api, backend_1.url)
    with Connection(postern.gateway) as c:
        c.send(windows(closed, size) + c.request(1, path=f"/{api}/{name}/{size}".replace(" ", "%20")))
        assert c.read(lambda: received(c) == size), (received(c), c.frames[-3:])
        backend_1.may_end.set()
        expect_end(c, size)
        trailers = [f for f in c.frames if f.kind == HEADERS][1:]
        assert [t.fields for t in trailers] == ([[("x-sum", "7")]] if name == "trailers" else [])
        c.send(window(0, 1 << 20) + window(1, 1000))  # too late, and welcome
        c.expect_alive()


@pytest.mark.parametrize("closed", [STREAM, CONNECTION])
@pytest.mark.parametrize("fields", [[], [("content-length", None)]], ids=["plain", "length"])
@pytest.mark.parametrize("last", ["data", "trailers"])
def test_the_answer_of_an_http2_backend_as_long_as_the_window_ends(postern, closed, fields, last):
    size = SIZE[closed]
    fields = [(n, str(size)) for n, _ in fields]
    pieces = [b"x" * min(16384, size - i) for i in range(0, size, 16384)]

    def data(stream):
        streams.append(stream)
        return frame(HEADERS, END_HEADERS, stream, block((":status", "200"), *fields)) + b"".join(
            frame(DATA, 0, stream, p) for p in pieces)

    streams = []
    with h2server.Server(data) as server:
        api = service.unique("closed")
        postern.make_api(api, server.url, VERSION_2)
        with Connection(postern.gateway) as c:
            c.send(windows(closed, size) + c.request(1, path=f"/{api}/x"))
            assert c.read(lambda: received(c) == size), (received(c), c.frames[-3:])
            server.sock.sendall(frame(DATA, END_STREAM, streams[0]) if last == "data" else
                                frame(HEADERS, END_HEADERS | END_STREAM, streams[0], block(("x-sum", "7"))))
            expect_end(c, size)
            trailers = [f for f in c.frames if f.kind == HEADERS][1:]
            assert [t.fields for t in trailers if t.fields] == ([[("x-sum", "7")]] if last == "trailers" else [])
            c.send(window(0, 1 << 20))
            c.expect_alive()


def test_an_empty_answer_ends_without_any_window(postern, backend_1):
    api = service.unique("closed")
    postern.make_api(api, backend_1.url)
    with Connection(postern.gateway) as c:
        c.send(settings((4, 0)) + c.request(1, path=f"/{api}/until%20close/0"))
        c.expect_answer(1, 200)
        backend_1.may_end.set()
        expect_end(c, 0)


def test_a_body_is_not_read_ahead_of_the_window(postern, backend_1):
    """The end is looked for, and more is found: it waits, and the backend with it."""
    size = 8 << 20
    api = service.unique("closed")
    postern.make_api(api, backend_1.url)
    with Connection(postern.gateway) as c:
        c.send(windows(STREAM, 1000) + c.request(1, path=f"/{api}/length/{size}"))
        assert c.read(lambda: received(c) == 1000)
        c.settle()
        assert received(c) == 1000 and not has_ended(c)
        c.send(window(1, 500))
        assert c.read(lambda: received(c) == 1500)


PAUSED = """
const [url, path] = process.argv.slice(1);
const session = require('http2').connect(url, {settings: {initialWindowSize: 1000}});
session.on('error', e => console.log('session', e.message));
const stream = session.request({':path': path});
let bytes = 0;
stream.on('response', () => { stream.pause(); console.log('paused'); });
stream.on('data', piece => bytes += piece.length);
stream.on('error', e => console.log('error', e.message));
stream.on('close', () => { console.log('closed', stream.rstCode, bytes); session.close(); });
process.stdin.once('data', () => { stream.resume(); process.stdin.destroy(); });
"""


@pytest.mark.parametrize("name", ["chunked", "trailers"])
def test_a_client_that_does_not_read_gets_the_end(postern, backend_1, name):
    """Node gives window back for what was read only; here nothing is, till all has come."""
    api = service.unique("closed")
    postern.make_api(api, backend_1.url)
    before = postern.metric("postern_client_streams")
    client = subprocess.Popen(["node", "-e", PAUSED, postern.gateway, f"/{api}/{name}/1000"],
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert client.stdout.readline() == "paused\n"
        backend_1.may_end.set()
        wait_for("the end, without window", lambda: postern.metric("postern_client_streams") <= before)
        out, _ = client.communicate("go on\n", timeout=20)
        assert out == "closed 0 1000\n"
    finally:
        client.kill()
        client.wait()


class Narrow(raw.Script):
    """An HTTP/2 backend whose windows are as large as the request, and that gives none back: it answers
    when the request has ended."""

    def __init__(self, closed, size):
        self.closed, self.size = closed, size
        self.got = 0
        self.ends = []  # the kinds of the frames with END_STREAM
        self.all_came = threading.Event()
        self.has_ended = threading.Event()
        super().__init__(self._serve)

    def _serve(self, sock, _):
        sock.sendall(windows(self.closed, self.size))
        more = b""
        while len(more) < 24:
            more += sock.recv(65536)
        more = more[24:]
        while True:
            while len(more) < 9 or len(more) < 9 + int.from_bytes(more[:3], "big"):
                piece = sock.recv(65536)
                if not piece:
                    return
                more += piece
            end = 9 + int.from_bytes(more[:3], "big")
            kind, flags, stream = more[3], more[4], struct.unpack(">I", more[5:9])[0]
            self.got += end - 9 if kind == DATA else 0
            more = more[end:]
            if self.got == self.size:
                self.all_came.set()
            if kind == SETTINGS and not flags & ACK:
                sock.sendall(frame(SETTINGS, ACK))
            if kind in (DATA, HEADERS) and flags & END_STREAM:
                self.ends.append(kind)
                self.has_ended.set()
                sock.sendall(frame(HEADERS, END_HEADERS | END_STREAM, stream, block((":status", "200"))))


@pytest.mark.parametrize("closed", [STREAM, CONNECTION])
def test_a_request_as_long_as_the_backends_window_ends(postern, closed):
    """Whose end is known with its last byte: a length, or the end of chunks that has come with it."""
    size = SIZE[closed]
    for head, body in (("Content-Length: %d" % size, b"x" * size),
                       ("Transfer-Encoding: chunked", chunk(b"x" * size) + b"0\r\n\r\n")):
        with Narrow(closed, size) as backend:
            api = service.unique("closed")
            postern.make_api(api, backend.url, VERSION_2)
            with raw.connect(postern, 10) as sock:
                sock.sendall(raw.request("POST", f"/{api}/x", head, "Connection: close", body=body))
                assert raw.read_all(sock).startswith(b"HTTP/1.1 200"), (backend.got, size)
            assert backend.got == size


@pytest.mark.parametrize("closed", [STREAM, CONNECTION])
def test_a_request_over_http2_as_long_as_the_backends_window_ends(postern, closed):
    size = SIZE[closed]
    with Narrow(closed, size) as backend:
        api = service.unique("closed")
        postern.make_api(api, backend.url, VERSION_2)
        with Connection(postern.gateway) as c:
            pieces = [b"x" * min(16384, size - i) for i in range(0, size, 16384)]
            c.send(c.request(1, 0, method="POST", path=f"/{api}/x") +
                   b"".join(frame(DATA, END_STREAM if i == len(pieces) - 1 else 0, 1, p) for i, p in enumerate(pieces)))
            c.expect_answer(1, 200)
            assert backend.got == size


@pytest.mark.parametrize("closed", [STREAM, CONNECTION])
@pytest.mark.parametrize("last, kind", [(b"0\r\n\r\n", DATA), (b"0\r\nX-Sum: 7\r\n\r\n", HEADERS)],
                         ids=["plain", "trailers"])
def test_the_end_of_a_request_that_comes_later_needs_no_window(postern, closed, last, kind):
    """The backend has got as much as it gave window for, and answers when it hears of the end."""
    size = SIZE[closed]
    with Narrow(closed, size) as backend:
        api = service.unique("closed")
        postern.make_api(api, backend.url, VERSION_2)
        with raw.connect(postern, 10) as sock:
            sock.sendall(raw.request("POST", f"/{api}/x", "Transfer-Encoding: chunked", body=chunk(b"x" * size)))
            assert backend.all_came.wait(10) and not backend.has_ended.is_set()
            sock.sendall(last)
            assert b" 200 " in raw.head_of(sock)[0]
            assert backend.ends == [kind]
            sock.sendall(raw.request("GET", f"/{api}/x"))
            assert b" 200 " in raw.head_of(sock)[0], "the connection to the backend goes on"
        assert backend.connections == 1


@pytest.mark.parametrize("size", [0, 1000])
def test_an_empty_frame_of_the_client_ends_the_request_without_window(postern, size):
    with Narrow(STREAM, size) as backend:
        api = service.unique("closed")
        postern.make_api(api, backend.url, VERSION_2)
        with Connection(postern.gateway) as c:
            c.send(c.request(1, 0, method="POST", path=f"/{api}/x"))
            if size:
                c.send(frame(DATA, 0, 1, b"x" * size))
                assert backend.all_came.wait(10)
            else:
                wait_for("the head", lambda: backend.connections)
            c.settle()
            assert not backend.has_ended.is_set()
            c.send(frame(DATA, END_STREAM, 1))
            c.expect_answer(1, 200)
            assert backend.got == size and backend.ends == [DATA]


NO_BODY = {
    "http1": lambda c, path: raw.request("POST", path, "Transfer-Encoding: chunked", body=b"0\r\n\r\n"),
    "http1 trailers": lambda c, path: raw.request("POST", path, "Transfer-Encoding: chunked",
                                                  body=b"0\r\nX-Sum: 7\r\n\r\n"),
    "http2": lambda c, path: c.request(1, 0, method="POST", path=path) + frame(DATA, END_STREAM, 1),
    "http2 trailers": lambda c, path: c.request(1, 0, method="POST", path=path) + frame(
        HEADERS, END_STREAM | END_HEADERS, 1, block(("x-sum", "7"))),
}


@pytest.mark.parametrize("way", NO_BODY)
def test_an_end_that_is_there_before_the_head_has_left_is_sent(postern, way):
    """Head and end of the request come in one piece, and the connection to the backend is there: nghttp2
    knows no window of a stream that is not open yet."""
    with strict.H2Backend() as backend:
        api = service.unique("early")
        postern.make_api(api, backend.url, VERSION_2)
        for _ in range(6):  # on either thread
            if way.startswith("http1"):
                with raw.connect(postern, 10) as sock:
                    sock.sendall(NO_BODY[way](None, f"/{api}/x"))
                    assert b" 200 " in raw.head_of(sock)[0]
            else:
                with Connection(postern.gateway) as c:
                    c.send(NO_BODY[way](c, f"/{api}/x"))
                    c.expect_answer(1, 200)
        assert not backend.doubts
        sums = [(b"x-sum", b"7")] if "trailers" in way else []
        assert [(r.body, r.trailers) for r in backend.requests] == [(b"", sums)] * 6
