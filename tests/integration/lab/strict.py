# SPDX-License-Identifier: Apache-2.0
"""Readers that share nothing with Postern: what a client's bytes are to the strictest reader of RFC 9112,
what a gateway's answers are, and backends that read as strictly, of HTTP/1.1 and HTTP/2."""
import re
import socket
import struct

import hpack

from . import h2frames, raw

TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+\Z")
VALUE = re.compile(rb"[\t\x20-\x7e\x80-\xff]*\Z")
TRIMMED = re.compile(rb"(?:[\x21-\x7e\x80-\xff](?:[\t\x20-\x7e\x80-\xff]*[\x21-\x7e\x80-\xff])?)?\Z")
LINE = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+) ([!-\"$-~]+) (HTTP/1\.[01])\Z")
CHUNK = re.compile(rb"([0-9a-fA-F]{1,16})(?:[ \t]*;[\t\x20-\x7e\x80-\xff]*)?\r\n")
HOST = re.compile(rb"(?:[A-Za-z0-9_-]{1,63}(?:\.[A-Za-z0-9_-]{1,63})*\.?|\[[0-9a-fA-F:.]+\])(?::[0-9]{1,5})?\Z")
OF_CONNECTION = (b"connection", b"transfer-encoding", b"upgrade", b"keep-alive", b"proxy-connection")
LOOKALIKES = (b"content_length", b"transfer_encoding", b"x_forwarded_for", b"x_forwarded_host", b"x_forwarded_proto")
METHOD_MAX = 32


class Bad(ValueError):
    """No strict reader takes it."""


class More(ValueError):
    """It goes on."""


class Message:
    def __init__(self, fields, **more):
        self.fields, self.body, self.trailers = fields, b"", []
        self.__dict__.update(more)

    def all(self, name):
        return [v for n, v in self.fields if n == name]

    def get(self, name):
        return next(iter(self.all(name)), None)


def _line(data, at):
    end = data.find(b"\n", at)
    if end < 0:
        raise More
    if end == at or data[end - 1:end] != b"\r":
        raise Bad("a line ends with LF alone")
    return data[at:end - 1], end + 1


def _fields(data, at):
    found = []
    while True:
        line, at = _line(data, at)
        if not line:
            return found, at
        name, colon, value = line.partition(b":")
        value = value.strip(b" \t")
        if not colon or not TOKEN.match(name) or not VALUE.match(value):
            raise Bad(f"field {line!r}")
        found.append((name.lower(), value))


def _chunks(data, at):
    body = b""
    while True:
        match = CHUNK.match(data, at)
        if not match:
            raise Bad("chunk size") if data.find(b"\n", at) >= 0 else More
        size, at = int(match[1], 16), match.end()
        if size == 0:
            trailers, at = _fields(data, at)
            return body, trailers, at
        if len(data) < at + size + 2:
            raise More
        if data[at + size:at + size + 2] != b"\r\n":
            raise Bad("end of a chunk")
        body, at = body + data[at:at + size], at + size + 2


def _body(data, at, message):
    lengths, codings = message.all(b"content-length"), message.all(b"transfer-encoding")
    if len(lengths) > 1 or len(codings) > 1 or (lengths and codings):
        raise Bad("two framings")
    if codings:
        if codings[0].lower() != b"chunked":
            raise Bad("coding")
        message.body, message.trailers, at = _chunks(data, at)
    elif lengths:
        if not re.fullmatch(rb"[0-9]+", lengths[0]) or int(lengths[0]) >= 1 << 63:
            raise Bad("length")
        if len(data) < at + int(lengths[0]):
            raise More
        message.body, at = data[at:at + int(lengths[0])], at + int(lengths[0])
    return at


def read_request(data, at=0):
    """The request at `at`, and where the next one begins. Bad; More."""
    if data[at:at + 2] == b"\r\n":
        at += 2
    line, at = _line(data, at)
    match = LINE.match(line)
    if not match or len(match[1]) > METHOD_MAX:
        raise Bad("request line")
    fields, at = _fields(data, at)
    one = Message(fields, method=match[1], target=match[2], version=match[3])
    hosts = one.all(b"host")
    if len(hosts) > 1 or (not hosts and one.version == b"HTTP/1.1") or (hosts and not HOST.match(hosts[0])):
        raise Bad("host")
    if one.all(b"transfer-encoding") and one.version == b"HTTP/1.0":
        raise Bad("coding in HTTP/1.0")
    if any(e.lower() != b"100-continue" for e in one.all(b"expect")):
        raise Bad("expectation")
    at = _body(data, at, one)
    words = [w.strip(b" \t").lower() for v in one.all(b"connection") for w in v.split(b",")]
    one.keeps = b"close" not in words and (one.version == b"HTTP/1.1" or b"keep-alive" in words)
    return one, at


def read_requests(data):
    """All requests until one is bad or the last, and how it ended: "end", "close", "more", "bad"."""
    found, at = [], 0
    while at < len(data) and data[at:] != b"\r\n":
        try:
            one, at = read_request(data, at)
        except Bad:
            return found, "bad"
        except More:
            return found, "more"
        found.append(one)
        if not one.keeps:
            return found, "close"
    return found, "end"


def read_answers(data, methods):
    """The final answers to requests of these methods; Bad: what no client may be sent. A body that is cut
    is None."""
    found, at = [], 0
    while at < len(data):
        match = re.compile(rb"HTTP/1\.1 ([0-9]{3}) [\t\x20-\x7e\x80-\xff]*\r\n").match(data, at)
        if not match:
            raise Bad(f"no answer: {data[at:at + 80]!r}")
        fields, at = _fields(data, match.end())
        one = Message(fields, status=int(match[1]))
        if one.status < 200:
            continue
        method = methods[len(found)] if len(found) < len(methods) else b"GET"
        found.append(one)
        framed = one.all(b"content-length") + one.all(b"transfer-encoding")
        if one.status == 204 and framed:
            raise Bad("204 with a length")
        if method == b"HEAD" or one.status in (204, 304):
            continue
        if not framed:
            one.body, at = data[at:], len(data)
            continue
        try:
            at = _body(data, at, one)
        except More:
            one.body, at = None, len(data)
    return found


def answer_to(request):
    """In several framings, by the target; each says which target it answers."""
    mark, body = request.target, b"<" + request.target + b">"
    head = b"HTTP/1.1 200 OK\r\nX-Mark: " + mark + b"\r\n"
    kind = sum(mark) % 6
    if kind == 3:
        return b"HTTP/1.1 204 No Content\r\nX-Mark: " + mark + b"\r\n\r\n"
    if kind == 4:
        return (b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 304 Not Modified\r\nX-Mark: " + mark +
                b"\r\nContent-Length: 99\r\n\r\n")
    head, body = {
        2: (b"Transfer-Encoding: chunked\r\n\r\n", b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)),
        5: (b"Connection: close\r\n\r\n", body),
    }.get(kind, (b"Content-Length: %d\r\n\r\n" % len(body), body))
    head = b"HTTP/1.1 200 OK\r\nX-Mark: " + mark + b"\r\n" + head
    return head if request.method == b"HEAD" else head + body


class Backend(raw.Script):
    """Of HTTP/1.1: `requests`, and `doubts`: what a strict reader refused, or what is not ours to send."""

    def __init__(self):
        self.requests, self.doubts = [], []
        super().__init__(self._serve)

    def _serve(self, sock, _):
        got, at = b"", 0
        while True:
            try:
                request, end = read_request(got, at)
            except Bad as error:
                self.doubts.append((str(error), got[at:at + 1000]))
                return
            except More:
                piece = sock.recv(65536)
                if not piece:
                    return
                got += piece
                continue
            self._check(request, got[at:end])
            self.requests.append(request)
            sock.sendall(answer := answer_to(request))
            if b"\r\nConnection: close" in answer:
                return
            got, at = got[end:], 0

    def _check(self, request, text):
        """One spelling: that of whoever writes anew what he has understood."""
        lines = text[:text.index(b"\r\n\r\n")].split(b"\r\n")[1:]
        wrong = [line for line in lines if not re.fullmatch(
            rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+: (?:\S|\S.*\S)?", line, re.S)]
        wrong += [n for n, _ in request.fields if n in (b"trailer", *LOOKALIKES) or n.replace(b"_", b"-") in (
            b"http2-settings", b"keep-alive", b"proxy-connection")]
        wrong += [n for n, _ in request.trailers
                  if n in (b"content-length", b"transfer-encoding", b"host", b"connection")]
        wrong += [v for v in request.all(b"content-length") if not re.fullmatch(b"0|[1-9][0-9]*", v)]
        if wrong or request.version != b"HTTP/1.1" or request.target[:1] != b"/":
            self.doubts.append((wrong, text[:1000]))


class H2Backend(raw.Script):
    """The same of HTTP/2, without TLS."""

    def __init__(self):
        self.requests, self.doubts = [], []
        super().__init__(self._serve)

    def _serve(self, sock, _):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.sendall(h2frames.settings((4, 1 << 24)) + h2frames.window(0, 1 << 24))
        decoder, streams, block = hpack.Decoder(), {}, b""
        got = b""
        while True:
            while len(got) < 33 or len(got) < 33 + int.from_bytes(got[24:27], "big"):
                piece = sock.recv(65536)
                if not piece:
                    return
                got += piece
            end = 33 + int.from_bytes(got[24:27], "big")  # behind the preface, which stays in front
            kind, flags, stream = got[27], got[28], struct.unpack(">I", got[29:33])[0]
            payload, got = got[33:end], got[:24] + got[end:]
            if kind == h2frames.SETTINGS and not flags & h2frames.ACK:
                sock.sendall(h2frames.frame(kind, h2frames.ACK))
            elif kind == h2frames.PING and not flags & h2frames.ACK:
                sock.sendall(h2frames.frame(kind, h2frames.ACK, 0, payload))
            elif kind in (h2frames.HEADERS, h2frames.CONTINUATION):
                ends = flags & h2frames.END_STREAM if kind == h2frames.HEADERS else ends
                block = payload if kind == h2frames.HEADERS else block + payload
                if flags & h2frames.END_HEADERS:
                    self._head(streams, stream, [(bytes(n), bytes(v)) for n, v in decoder.decode(block, raw=True)])
                    if ends:
                        self._answer(sock, stream, streams.pop(stream))
            elif kind == h2frames.DATA and stream in streams:
                streams[stream].body += payload
                if payload:
                    sock.sendall(h2frames.window(0, len(payload)) + h2frames.window(stream, len(payload)))
                if flags & h2frames.END_STREAM:
                    self._answer(sock, stream, streams.pop(stream))
            elif kind == h2frames.RST_STREAM:
                streams.pop(stream, None)

    def _head(self, streams, stream, fields):
        names = [n for n, _ in fields]
        pseudo = [n for n in names if n[:1] == b":"]
        wrong = [(n, v) for n, v in fields if n.lower() != n or not TOKEN.match(n.lstrip(b":")) or
                 not TRIMMED.match(v) or n in (*OF_CONNECTION, b"http2-settings", b"host", *LOOKALIKES) or
                 (n == b"te" and v != b"trailers") or
                 (n == b"content-length" and not re.fullmatch(b"0|[1-9][0-9]*", v))]
        if stream in streams:
            streams[stream].trailers = fields
            wrong += [n for n in names if n[:1] == b":" or n in (b"content-length", b"host")]
        else:
            streams[stream] = Message(fields)
            if sorted(pseudo) != [b":authority", b":method", b":path", b":scheme"] or names[:4] != pseudo:
                wrong.append(names)
        if wrong or names.count(b"content-length") > 1:
            self.doubts.append((wrong, fields))

    def _answer(self, sock, stream, request):
        request.method, request.target = request.get(b":method"), request.get(b":path")
        length = request.get(b"content-length")
        if length is not None and int(length) != len(request.body):
            self.doubts.append(("length", request.fields, request.body))
        self.requests.append(request)
        body = b"<" + request.target + b">"
        head = h2frames.block((":status", "200"), ("x-mark", request.target))
        if request.method == b"HEAD":
            sock.sendall(h2frames.frame(h2frames.HEADERS, h2frames.END_HEADERS | h2frames.END_STREAM, stream, head))
        else:
            sock.sendall(h2frames.frame(h2frames.HEADERS, h2frames.END_HEADERS, stream, head) +
                         h2frames.frame(h2frames.DATA, h2frames.END_STREAM, stream, body))
