# SPDX-License-Identifier: Apache-2.0
"""HTTP/2 frame by frame, right or wrong: nothing is checked or acknowledged by itself."""
import contextlib
import socket
import ssl
import struct
import time
import urllib.parse

import hpack

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
(DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE,
 CONTINUATION) = range(10)
END_STREAM, ACK, END_HEADERS, PADDED, WITH_PRIORITY = 1, 1, 4, 8, 32
(NO_ERROR, PROTOCOL_ERROR, INTERNAL_ERROR, FLOW_CONTROL_ERROR, SETTINGS_TIMEOUT, STREAM_CLOSED,
 FRAME_SIZE_ERROR, REFUSED_STREAM, CANCEL, COMPRESSION_ERROR, CONNECT_ERROR, ENHANCE_YOUR_CALM,
 INADEQUATE_SECURITY, HTTP_1_1_REQUIRED) = range(14)


def frame(kind, flags=0, stream=0, payload=b"", length=None):
    length = len(payload) if length is None else length
    head = struct.pack(">I", length)[1:] + bytes([kind, flags]) + struct.pack(">I", stream)
    return head + payload


def integer(value, bits, first=0):
    """RFC 7541 section 5.1."""
    top = (1 << bits) - 1
    if value < top:
        return bytes([first | value])
    out = bytes([first | top])
    value -= top
    while value >= 128:
        out += bytes([value % 128 + 128])
        value //= 128
    return out + bytes([value])


def text(value):
    value = value if isinstance(value, bytes) else value.encode("latin-1")
    return integer(len(value), 7) + value


def block(*fields):
    """Literals without indexing."""
    return b"".join(b"\0" + text(name) + text(value) for name, value in fields)


def settings(*pairs):
    return frame(SETTINGS, payload=b"".join(struct.pack(">HI", *pair) for pair in pairs))


def window(stream, increment):
    return frame(WINDOW_UPDATE, 0, stream, struct.pack(">I", increment))


def reset(stream, code=CANCEL):
    return frame(RST_STREAM, 0, stream, struct.pack(">I", code))


class Frame:
    def __init__(self, kind, flags, stream, payload):
        self.kind, self.flags, self.stream, self.payload = kind, flags, stream, payload
        self.status = None
        self.fields = None  # of HEADERS

    @property
    def code(self):
        """Of RST_STREAM, GOAWAY."""
        at = 4 if self.kind == GOAWAY else 0
        return struct.unpack(">I", self.payload[at:at + 4])[0]

    def __repr__(self):
        return (f"<{self.kind} flags {self.flags:#x} stream {self.stream} status {self.status} "
                f"{self.payload[:60]!r}>")


class Connection:
    """`greets`: sends the preface and an empty SETTINGS. `piecewise`: one byte for each packet."""

    def __init__(self, origin, ca_file=None, greets=True, piecewise=False, timeout=20):
        url = urllib.parse.urlsplit(origin)
        self.scheme, self.authority = url.scheme, url.netloc
        self.sock = socket.create_connection((url.hostname, url.port), timeout)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if url.scheme == "https":
            context = ssl.create_default_context(cafile=str(ca_file))
            context.set_alpn_protocols(["h2"])
            self.sock = context.wrap_socket(self.sock, server_hostname=url.hostname)
        self.decoder = hpack.Decoder()
        self.decoder.max_allowed_table_size = 4096
        self.piecewise = piecewise
        self.received = b""
        self.frames = []
        self.eof = False
        self.pings = 0
        self.slow_path = "/healthz"  # of an answer that waits for the end of the request
        self.silent_path = None  # of one that never comes
        if greets:
            self.send(PREFACE + settings())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()

    def send(self, data):
        with contextlib.suppress(BrokenPipeError, ConnectionResetError, ssl.SSLError):
            if self.piecewise:
                for i in range(len(data)):
                    self.sock.sendall(data[i:i + 1])
            else:
                self.sock.sendall(data)

    def head(self, method="GET", path="/healthz"):
        return [(":method", method), (":scheme", self.scheme), (":path", path),
                (":authority", self.authority)]

    def request(self, stream=1, flags=END_STREAM, fields=(), method="GET", path=None):
        path = path or ("/healthz" if flags & END_STREAM else self.slow_path)
        return frame(HEADERS, flags | END_HEADERS, stream,
                     block(*self.head(method, path), *fields))

    def _take(self):
        while len(self.received) >= 9:
            end = 9 + int.from_bytes(self.received[:3], "big")
            if len(self.received) < end:
                return
            raw, self.received = self.received[:end], self.received[end:]
            got = Frame(raw[3], raw[4], struct.unpack(">I", raw[5:9])[0], raw[9:])
            if got.kind == HEADERS:
                got.fields = [(n, v) for n, v in self.decoder.decode(got.payload)]
                got.status = next((int(v) for n, v in got.fields if n == ":status"), None)
            self.frames.append(got)

    def read(self, condition, limit_s=10):
        """Reads until condition() or the end of the connection. False: time is up."""
        end = time.monotonic() + limit_s
        while not condition() and not self.eof:
            left = end - time.monotonic()
            if left <= 0:
                return False
            self.sock.settimeout(left)
            try:
                data = self.sock.recv(65536)
            except (ConnectionResetError, BrokenPipeError, ssl.SSLEOFError):
                data = b""
            except (TimeoutError, socket.timeout, ssl.SSLWantReadError):
                return False
            self.eof = not data
            self.received += data
            self._take()
        return True

    def find(self, kind, stream=None, flags=0):
        return next((f for f in self.frames if f.kind == kind and f.flags & flags == flags and
                     (stream is None or f.stream == stream)), None)

    def settle(self):
        """Waits until all that was sent has been seen by the peer: its answer to a PING, or the
        end."""
        self.pings += 1
        mark = struct.pack(">Q", self.pings)
        self.send(frame(PING, payload=mark))
        assert self.read(lambda: any(f.kind == PING and f.flags & ACK and f.payload == mark
                                     for f in self.frames)), self.frames

    @property
    def goaway(self):
        found = [f for f in self.frames if f.kind == GOAWAY]
        return found[-1] if found else None

    def expect_answer(self, stream, status):
        assert self.read(lambda: self.find(HEADERS, stream) or self.find(RST_STREAM, stream)), \
            self.frames
        found = self.find(HEADERS, stream)
        assert found and found.status == status, self.frames

    def expect_reset(self, stream, *codes):
        """RST_STREAM, and the connection goes on."""
        assert self.read(lambda: self.find(RST_STREAM, stream)), self.frames
        found = self.find(RST_STREAM, stream)
        assert found and found.code in codes, (found, self.frames)
        self.settle()
        assert not self.eof and not self.goaway, self.frames

    def expect_goaway(self, *codes):
        """GOAWAY, and then the end of the connection."""
        assert self.read(lambda: False) and self.eof, f"the connection goes on: {self.frames}"
        assert self.goaway and self.goaway.code in codes, (self.goaway, self.frames)

    def expect_alive(self, stream=101):
        """It still answers a request."""
        self.send(self.request(stream))
        self.expect_answer(stream, 200)
        assert not self.goaway, self.frames
