# SPDX-License-Identifier: Apache-2.0
"""Requests by chance, right and wrong, of HTTP/1.1 and HTTP/2. Everything comes from `chance`, a
random.Random: the same seed, the same bytes."""
import re
import struct

from . import h2frames

INNER = b"GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"
METHODS = [b"GET", b"POST", b"PUT", b"DELETE", b"HEAD"]
FIELDS = [
    (b"X-A", b"b"), (b"Accept", b"*/*"), (b"Cookie", b"a=b; c=d"), (b"X-Forwarded-For", b"1.2.3.4"),
    (b"Forwarded", b"for=evil"), (b"Connection", b"keep-alive"), (b"Connection", b"te"),
    (b"Connection", b"X-A, Upgrade, HTTP2-Settings"), (b"Connection", b"content-length"),
    (b"Connection", b"Transfer-Encoding"), (b"Upgrade", b"h2c"), (b"HTTP2-Settings", b"AAMAAABkAAQAAP__"),
    (b"Upgrade", b"websocket"), (b"TE", b"trailers"), (b"TE", b"chunked, gzip"), (b"Trailer", b"X-T"),
    (b"Keep-Alive", b"timeout=5"), (b"Proxy-Connection", b"close"), (b"X-Latin", b"\xe4\xff\x80"),
    (b"X-Empty", b""), (b"X-Long", b"y" * 3000), (b"Content_Length", b"5"), (b"Transfer_Encoding", b"chunked"),
    (b"X_Forwarded_Proto", b"https"), (b"X", b"GET /smuggled HTTP/1.1"), (b"Content-Lengthx", b"7"),
    (b"!#$%&'*+-.^_`|~", b"t"), (b"Max-Forwards", b"0"), (b"Expect", b"100-continue"), (b"Range", b"bytes=0-1"),
    (b"Sec-WebSocket-Key", b"dGhlIHNhbXBsZSBub25jZQ=="), (b"Sec-WebSocket-Version", b"13")]
TRAILERS = [(b"X-T", b"1"), (b"Content-Length", b"9"), (b"Host", b"evil"), (b"Transfer-Encoding", b"chunked"),
            (b"X-U", b"\xe4"), (b"X-A", b"t")]
BODIES = [b"", b"a", b"hello", b"0\r\n\r\n", b"0\r\n\r\n" + INNER, INNER, bytes(range(256)), b"z" * 17000]
PIECES = [
    b"\r\n", b"\n", b"\r", b" ", b"\t", b"\0", b"\x0b", b"\x0c", b"\x7f", b"\x80", b"\xff", b"\x85", b"\xa0", b";",
    b",", b":", b"+", b"-", b"_", b"0x", b"chunked", b"gzip, ", b"identity", b"0\r\n\r\n", b"5\r\nhello\r\n",
    b"Transfer-Encoding: chunked\r\n", b"Transfer-Encoding : chunked\r\n", b"Transfer-Encoding: xchunked\r\n",
    b" Transfer-Encoding: chunked\r\n", b"Content-Length: 5\r\n", b"Content-Length: 0\r\n",
    b"Content-Length: 5, 5\r\n", b"Content-Length : 5\r\n", b"Connection: close\r\n",
    b"Connection: Transfer-Encoding\r\n", b"Expect: 100-continue\r\n", b"Expect: x\r\n", b"HTTP/1.0", b"HTTP/1.1",
    b"Upgrade: websocket\r\nConnection: Upgrade\r\n", b"Host: evil\r\n", b"#", b"%0d%0a", b"\\", b"@", b"http://",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", INNER]
SPOTS = re.compile(rb"(?i)\r\n|:|,|;|chunked|content-length|transfer-encoding|http/1|host")


def _spelt(chance, name):
    how = chance.random()
    return name if how < 0.5 else name.lower() if how < 0.7 else name.upper() if how < 0.8 else bytes(
        c ^ 32 if 65 <= (c & ~32) <= 90 and chance.random() < 0.3 else c for c in name)


def _field(chance, name, value):
    return (_spelt(chance, name) + b":" + chance.choice([b" ", b" ", b"", b"  ", b"\t", b" \t "]) + value +
            chance.choice([b"", b"", b" ", b"\t", b"   "]) + b"\r\n")


def _chunked(chance, body):
    out, at = b"", 0
    while at < len(body):
        piece = body[at:at + chance.choice([1, 2, 5, 15, 16, 17, 255, 4096, 20000])]
        at += len(piece)
        size = b"0" * chance.choice([0, 0, 0, 1, 6]) + chance.choice([b"%x", b"%X"]) % len(piece)
        out += size + chance.choice([b"", b"", b"", b";a", b' ;a="b;c"', b";\xff", b"\t;x=y"]) + b"\r\n"
        out += piece + b"\r\n"
    out += chance.choice([b"0", b"0", b"000", b"0;x"]) + b"\r\n"
    for _ in range(chance.choice([0, 0, 0, 1, 3])):
        out += _field(chance, *chance.choice(TRAILERS))
    return out + b"\r\n"


def request(chance, path, is_last):
    """A lawful one, in one of the many spellings that are."""
    method = chance.choice(METHODS)
    version = b"HTTP/1.0" if chance.random() < 0.04 else b"HTTP/1.1"
    body, how = chance.choice(BODIES), chance.random()
    fields = [_field(chance, b"Host", chance.choice([b"x", b"gateway.test", b"a:80", b"[::1]:8"]))]
    fields += [_field(chance, *chance.choice(FIELDS)) for _ in range(chance.choice([0, 0, 1, 2, 3, 8]))]
    if how < 0.35 and version == b"HTTP/1.1":
        fields.append(_field(chance, b"Transfer-Encoding", chance.choice([b"chunked", b"Chunked", b"CHUNKED"])))
        body = _chunked(chance, body)
    elif how < 0.65:
        fields.append(_field(chance, b"Content-Length", chance.choice([b"%d", b"0%d", b"0000%d"]) % len(body)))
    else:
        body = b""
    if is_last:
        fields.append(b"Connection: close\r\n")
    chance.shuffle(fields)
    path = chance.choice([b"", b"", b"", b"http://a.b:8"]) + path + chance.choice(
        [b"", b"", b"?q=a%0d%0ab", b"?/..", b"%2fx", b"/a;b", b"/" + b"a" * chance.choice([15, 16, 17, 2000])])
    return (chance.choice([b""] * 30 + [b"\r\n"]) + method + b" " + path + b" " + version + b"\r\n" +
            b"".join(fields) + b"\r\n" + body)


def mutated(chance, data):
    """Changed in one to three places, mostly where something begins or ends."""
    for _ in range(chance.randint(1, 3)):
        spots = [m.start() for m in SPOTS.finditer(data)]
        at = chance.choice(spots) + chance.randint(-2, 3) if spots and chance.random() < 0.6 else \
            chance.randint(0, len(data))
        at, how = max(0, min(len(data), at)), chance.random()
        if how < 0.45:
            data = data[:at] + chance.choice(PIECES) + data[at:]
        elif how < 0.65:
            data = data[:at] + data[at + chance.randint(1, 4):]
        elif how < 0.85:
            data = data[:at] + bytes([chance.randrange(256)]) + data[at + 1:]
        elif how < 0.92:
            end = min(len(data), at + chance.randint(0, 40))
            data = data[:end] + data[at:end] + data[end:]
        else:
            data = data[:at] + bytes([chance.choice(b"\n\r\0 \t:,")]) + data[at + 1:]
    return data


def pieces(chance, data):
    """As it may arrive: whole, byte by byte, or cut anywhere."""
    if chance.random() < 0.5:
        return [data]
    if chance.random() < 0.2 and len(data) < 1500:
        return [data[i:i + 1] for i in range(len(data))]
    cuts = sorted({0, len(data), *(chance.randint(0, len(data)) for _ in range(chance.choice([1, 2, 5, 20])))})
    return [data[a:b] for a, b in zip(cuts, cuts[1:])]


# --- HTTP/2

H2_EVIL = [b"\r\n", b"\n", b"\r", b"\0", b" ", b"\t", b":", b"A", b"\x7f", b"\x80", b"\x0b", b" HTTP/1.1\r\n", b"#", b"?",
           b"@", b"/", b"\\", b",", b";", b"\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + INNER]
H2_FIELDS = [
    (b"content-length", b"0"), (b"content-length", b"5"), (b"content-length", b"05"), (b"content-length", b"+5"),
    (b"content-length", b"5,5"), (b"transfer-encoding", b"chunked"), (b"connection", b"x-a"), (b"upgrade", b"h2c"),
    (b"te", b"trailers"), (b"te", b"gzip"), (b"te", b"trailers, deflate"), (b"host", b"evil"), (b"cookie", b"a=b"),
    (b"cookie", b"c=d; e"), (b"cookie", b""), (b"x-a", b"b"), (b"x-empty", b""), (b"x-space", b" x"),
    (b"x-latin", b"\xe4\xff"), (b"expect", b"100-continue"), (b"expect", b"x"), (b"keep-alive", b"1"),
    (b"proxy-connection", b"x"), (b"http2-settings", b"AA"), (b"X-Upper", b"a"), (b"", b"x"), (b"trailer", b"x-t"),
    (b"x-y", b"GET /smuggled HTTP/1.1"), (b"content_length", b"9"), (b":path", b"/second"), (b":authority", b"evil"),
    (b":foo", b"x"), (b":status", b"200"), (b":protocol", b"websocket"), (b"x-long", b"z" * 20000), (b"priority", b"u=1")]
H2_TRAILERS = [(b"x-t", b"1"), (b"content-length", b"5"), (b"host", b"evil"), (b"transfer-encoding", b"chunked"),
               (b":path", b"/x"), (b"x-T", b"1"), (b"x\r\n", b"1"), (b"x", b"a\r\nb"), (b"te", b"trailers")]


def h2_fields(chance, path, authority):
    fields = [(b":method", chance.choice(METHODS)), (b":scheme", b"http"), (b":authority", authority),
              (b":path", path + chance.choice([b"", b"", b"?q=a", b"/a%2fb", b"/a;b", b"?"]))]
    chance.shuffle(fields)
    fields += [chance.choice(H2_FIELDS) for _ in range(chance.choice([0, 0, 1, 2]))]
    for _ in range(chance.choice([0, 0, 1, 2])):
        at, how = chance.randrange(len(fields)), chance.random()
        name, value = fields[at]
        evil = chance.choice(H2_EVIL)
        if how < 0.3:
            cut = chance.randint(0, len(value))
            fields[at] = name, value[:cut] + evil + value[cut:]
        elif how < 0.5:
            cut = chance.randint(0, len(name))
            fields[at] = name[:cut] + evil + name[cut:], value
        elif how < 0.6:
            del fields[at]
        elif how < 0.7:
            fields.insert(chance.randint(0, len(fields)), fields[at])
        elif how < 0.85:
            fields.insert(chance.randint(0, len(fields)), chance.choice(H2_FIELDS))
        else:
            fields[at] = name, bytes([chance.randrange(256)]) + value[1:]
    return fields


def h2_headers(chance, stream, flags, fields):
    """HEADERS, perhaps padded and with a priority, and CONTINUATION, cut anywhere."""
    data = b"".join(chance.choice([b"\0", b"\0", b"\x10"]) + h2frames.text(n) + h2frames.text(v) for n, v in fields)
    cuts = {0, len(data), *range(0, len(data), 16000), *(chance.randint(0, len(data)) for _ in range(chance.choice([0, 0, 2])))}
    cuts = sorted(cuts)
    parts = [data[a:b] for a, b in zip(cuts, cuts[1:])] or [b""]
    first = parts[0]
    if chance.random() < 0.2:
        first = struct.pack(">IB", chance.choice([0, stream + 2, 0x80000000]), 15) + first
        flags |= h2frames.WITH_PRIORITY
    if chance.random() < 0.2:
        padding = chance.choice([0, 1, 50, 255])
        first = bytes([padding]) + first + b"\0" * padding
        flags |= h2frames.PADDED
    frames = [(h2frames.HEADERS, flags, first)] + [(h2frames.CONTINUATION, 0, part) for part in parts[1:]]
    kind, last, payload = frames[-1]
    frames[-1] = kind, last | h2frames.END_HEADERS, payload
    return b"".join(h2frames.frame(kind, flags, stream, payload) for kind, flags, payload in frames)


def h2_request(chance, stream, path, authority):
    """(frames, fields, body, trailers); frames of HEADERS and CONTINUATION are one piece."""
    fields = h2_fields(chance, path, authority)
    if chance.random() < 0.5:
        return [h2_headers(chance, stream, h2frames.END_STREAM, fields)], fields, b"", []
    body = chance.choice([b"", b"hello", b"hello", b"0\r\n\r\n" + INNER, b"z" * 3000])
    frames, trailers = [h2_headers(chance, stream, 0, fields)], []
    for at in range(0, len(body), step := chance.choice([3, 5, 1000])):
        piece = body[at:at + step]
        if chance.random() < 0.2:
            padding = chance.choice([0, 3, 200])
            frames.append(h2frames.frame(h2frames.DATA, h2frames.PADDED, stream,
                                         bytes([padding]) + piece + b"\0" * padding))
        else:
            frames.append(h2frames.frame(h2frames.DATA, 0, stream, piece))
    if chance.random() < 0.7:
        frames.append(h2frames.frame(h2frames.DATA, h2frames.END_STREAM, stream, b""))
    else:
        trailers = [chance.choice(H2_TRAILERS)]
        frames.append(h2_headers(chance, stream, h2frames.END_STREAM, trailers))
    return frames, fields, body, trailers
