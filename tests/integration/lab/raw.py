# SPDX-License-Identifier: Apache-2.0
"""Bytes as they are: backends that run a script for each connection, requests written by hand."""
import contextlib
import re
import socket
import threading
import urllib.parse

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Script:
    """A backend that runs `serve(sock, number)` for each connection, number from 0."""

    def __init__(self, serve, context=None, host="127.0.0.1"):
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.serve = serve
        self.context = context
        self.connections = 0
        self.listener = socket.create_server((host, 0), family=family, backlog=128)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self):
        return f"{'https' if self.context else 'http'}://localhost:{self.port}"

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                sock, _ = self.listener.accept()
                number, self.connections = self.connections, self.connections + 1
                threading.Thread(target=self._run, args=(sock, number), daemon=True).start()

    def _run(self, sock, number):
        with contextlib.suppress(OSError, ValueError):
            if self.context:
                sock = self.context.wrap_socket(sock, server_side=True)
            with sock:
                self.serve(sock, number)
        sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.listener.close()


def head_of(sock, more=b""):
    """One request's head and what came behind it; b"" at the end."""
    while b"\r\n\r\n" not in more:
        piece = sock.recv(65536)
        if not piece:
            return b"", b""
        more += piece
    end = more.index(b"\r\n\r\n") + 4
    return more[:end], more[end:]


def request_of(sock):
    """A head and its Content-Length body; of an answer too."""
    head, body = head_of(sock)
    length = re.search(rb"(?i)content-length: (\d+)", head)
    while length and len(body) < int(length[1]):
        body += sock.recv(65536)
    return head, body


def connect(postern, timeout=20):
    url = urllib.parse.urlsplit(postern.gateway)
    return socket.create_connection((url.hostname, url.port), timeout)


def request(method, path, *fields, body=b""):
    lines = [f"{method} {path} HTTP/1.1", "Host: x", *fields]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def read_all(sock):
    received = b""
    with contextlib.suppress(ConnectionResetError):
        while piece := sock.recv(65536):
            received += piece
    return received


def receive(sock, limit_s=10):
    """All that comes until the peer ends the connection or is silent for so long."""
    received = b""
    sock.settimeout(limit_s)
    with contextlib.suppress(ConnectionResetError, socket.timeout):
        while piece := sock.recv(65536):
            received += piece
    return received


def send(sock, data, piecewise=False):
    """Sends `data`, byte by byte if `piecewise`; a peer that has closed is part of many tests."""
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        if not piecewise:
            sock.sendall(data)
            return
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for i in range(len(data)):
            sock.sendall(data[i:i + 1])


FIELD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+): ?([\t\x20-\x7e\x80-\xff]*)\Z")
REQUEST_LINE = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+) ([\x21-\x7e]+) HTTP/1\.1\Z")
CHUNK = re.compile(rb"([0-9a-fA-F]+)\r\n")


class Request:
    """One request as the strictest reader of RFC 9112 sees it; ValueError where it is doubtful."""

    def __init__(self, head):
        lines = head[:-4].split(b"\r\n")
        match = REQUEST_LINE.match(lines[0])
        if not match:
            raise ValueError(f"request line {lines[0]!r}")
        self.method, self.target = match[1].decode(), match[2].decode()
        self.fields = []
        for line in lines[1:]:
            match = FIELD.match(line)
            if not match:
                raise ValueError(f"field {line!r}")
            self.fields.append((match[1].decode().lower(), match[2].decode("latin-1").strip()))
        self.body = b""
        self.trailers = []
        self.is_whole = False
        lengths, codings = self.all("content-length"), self.all("transfer-encoding")
        if len(lengths) > 1 or len(codings) > 1 or (lengths and codings):
            raise ValueError(f"framing is ambiguous: {self.fields}")
        if lengths and not re.fullmatch("0|[1-9][0-9]*", lengths[0]):
            raise ValueError(f"Content-Length {lengths[0]!r}")
        if codings and codings[0] != "chunked":
            raise ValueError(f"Transfer-Encoding {codings[0]!r}")
        if len(self.all("host")) != 1:
            raise ValueError(f"Host {self.all('host')}")
        self.is_chunked = bool(codings)
        self.length = int(lengths[0]) if lengths else 0

    def all(self, name):
        return [v for n, v in self.fields if n == name]

    def get(self, name):
        return next(iter(self.all(name)), None)


class Recorder(Script):
    """A backend that keeps every request as bytes and as the strictest reader sees it, and answers
    200 to each. `doubts`: what such a reader refused."""

    def __init__(self, answer=OK):
        self.requests = []
        self.doubts = []
        self.answer = answer
        super().__init__(self._serve)

    def of(self, text):
        """The requests that have `text` in their target."""
        return [r for r in self.requests if text in r.target]

    def _serve(self, sock, _):
        more = b""
        while True:
            while b"\r\n\r\n" not in more:
                piece = sock.recv(65536)
                if not piece:
                    if more:
                        self.doubts.append(("ends within a head", more))
                    return
                more += piece
            end = more.index(b"\r\n\r\n") + 4
            try:
                request = Request(more[:end])
                self.requests.append(request)
                more = self._body(sock, request, more[end:])
            except ValueError as error:
                self.doubts.append((str(error), more[:end]))
                return
            if more is None:
                return
            sock.sendall(self.answer)

    def _body(self, sock, request, more):
        """Reads the body; returns what is behind it, or None at the end of the connection."""
        def need(condition):
            nonlocal more
            while not condition():
                piece = sock.recv(65536)
                if not piece:
                    return False
                more += piece
            return True

        if not request.is_chunked:
            if not need(lambda: len(more) >= request.length):
                return None
            request.body, more = more[:request.length], more[request.length:]
            request.is_whole = True
            return more
        while True:
            if not need(lambda: b"\r\n" in more):
                return None
            match = CHUNK.match(more)
            if not match:
                raise ValueError(f"chunk {more[:40]!r}")
            size, more = int(match[1], 16), more[match.end():]
            if size == 0:
                break
            if not need(lambda: len(more) >= size + 2):
                return None
            if more[size:size + 2] != b"\r\n":
                raise ValueError(f"end of chunk {more[size:size + 2]!r}")
            request.body, more = request.body + more[:size], more[size + 2:]
        while True:
            if not need(lambda: b"\r\n" in more):
                return None
            line, more = more.split(b"\r\n", 1)
            if not line:
                request.is_whole = True
                return more
            match = FIELD.match(line)
            if not match:
                raise ValueError(f"trailer {line!r}")
            request.trailers.append((match[1].decode().lower(), match[2].decode()))
