# SPDX-License-Identifier: Apache-2.0
"""RFC 9113 and RFC 7541 held against us as a client: a backend that says, frame by frame, what no server
may say, or what few say. A case is what it sends to the first request. What comes of it: `whole` (the
answer is taken), `broken` (the request fails, or its answer is cut; the connection goes on), or the code
of the GOAWAY with which the gateway ends the connection; a tuple: one of them, a set: all of them. The next
request is always answered."""
import re
import struct

import pytest
from lab import h2frames, h2peer, h2server, raw, service
from lab.h2frames import (ACK, COMPRESSION_ERROR, CONTINUATION, DATA, END_HEADERS, END_STREAM,
                          ENHANCE_YOUR_CALM, FLOW_CONTROL_ERROR, FRAME_SIZE_ERROR, GOAWAY, HEADERS, PADDED,
                          PING, PRIORITY, PROTOCOL_ERROR, PUSH_PROMISE, RST_STREAM, SETTINGS, STREAM_CLOSED,
                          WITH_PRIORITY, block, frame, reset, settings, window)
from lab.service import policy

VERSION_2 = '<forward-request http-version="2" />'
WHOLE, BROKEN = "whole", "broken"
LAST = END_HEADERS | END_STREAM
OK = [(":status", "200")]


def head(stream, fields=OK, flags=END_HEADERS):
    return frame(HEADERS, flags, stream, block(*fields))


def answer(stream, *fields, body=b"ok"):
    return head(stream, [*OK, *fields]) + frame(DATA, END_STREAM, stream, body)


def with_status(*values):
    return lambda s: head(s, [(":status", v) for v in values], LAST)


def with_field(*field):
    return lambda s: answer(s, field)


CASES = {
    # frames that a server may send
    "4.1 unknown frame": (lambda s: frame(0x16, 255, 0, b"xx") + frame(0xff, 0, s) + answer(s), WHOLE),
    "4.1 flags without meaning": (lambda s: frame(HEADERS, END_HEADERS | 0xd2, s, block(*OK)) + frame(
        DATA, END_STREAM | 0xf6, s, b"ok"), WHOLE),
    "4.2 the greatest frame": (lambda s: answer(s, body=b"x" * 16384), WHOLE),
    "5.1 WINDOW_UPDATE and RST_STREAM behind the end": (
        lambda s: answer(s) + window(s, 5) + frame(PRIORITY, 0, s, b"\0\0\0\0\x10") + reset(s, 0), WHOLE),
    "6.1 padding": (lambda s: head(s, [*OK, ("content-length", "2")]) + frame(
        DATA, PADDED, s, b"\x03o\0\0\0") + frame(DATA, PADDED | END_STREAM, s, b"\0k"), WHOLE),
    "6.1 empty DATA": (lambda s: head(s) + frame(DATA, 0, s) * 3 + frame(DATA, 0, s, b"ok") + frame(
        DATA, END_STREAM, s), WHOLE),
    "6.2 padding and priority": (lambda s: frame(
        HEADERS, END_HEADERS | PADDED | WITH_PRIORITY, s, b"\x02\0\0\0\0\x20" + block(*OK) + b"\0\0") + frame(
            DATA, END_STREAM, s, b"ok"), WHOLE),
    "6.5 SETTINGS in between": (lambda s: head(s) + settings((4, 1 << 20), (0xfafa, 1)) + frame(
        DATA, END_STREAM, s, b"ok"), WHOLE),
    "6.7 PING in between": (lambda s: head(s) + frame(PING, payload=b"12345678") + frame(
        DATA, END_STREAM, s, b"ok"), WHOLE),
    "6.8 GOAWAY that names the stream": (lambda s: frame(GOAWAY, payload=struct.pack(">II", s, 0)) + answer(s),
                                         WHOLE),
    "6.10 a head in pieces": (lambda s: frame(HEADERS, 0, s, b"") + frame(
        CONTINUATION, 0, s, block(*OK)[:3]) + frame(CONTINUATION, END_HEADERS, s, block(*OK)[3:]) + frame(
            DATA, END_STREAM, s, b"ok"), WHOLE),
    "7 unknown code": (lambda s: answer(s) + frame(GOAWAY, payload=struct.pack(">II", s, 0xfafa)), WHOLE),
    "8.1 informational answers": (lambda s: head(s, [(":status", "103"), ("link", "</x>")]) * 2 + answer(s), WHOLE),
    "8.1 trailers": (lambda s: head(s) + frame(DATA, 0, s, b"ok") + head(s, [("x-sum", "1")], LAST), WHOLE),
    "8.1 the end before the request's": (lambda s: answer(s) + reset(s, 0), WHOLE),
    "8.1 a reset without an error in place of the end": (lambda s: head(s, [*OK, ("content-length", "2")]) + frame(
        DATA, 0, s, b"ok") + reset(s, 0), WHOLE),
    "8.1 a reset without an error, and no length": (lambda s: head(s) + frame(DATA, 0, s, b"ok") + reset(s, 0), BROKEN),
    "8.1 a reset without an error before all has come": (lambda s: head(s, [*OK, ("content-length", "3")]) + frame(
        DATA, 0, s, b"ok") + reset(s, 0), BROKEN),
    "8.1.1 length of no body": (lambda s: head(s, [*OK, ("content-length", "0")], LAST), WHOLE),
    "HPACK a table of no bytes": (lambda s: frame(HEADERS, END_HEADERS, s, b"\x20\x88") + frame(
        DATA, END_STREAM, s, b"ok"), WHOLE),
    "HPACK never indexed": (lambda s: frame(HEADERS, END_HEADERS, s, b"\x88\x10\x01x\x01y") + frame(
        DATA, END_STREAM, s, b"ok"), WHOLE),
    "HPACK Huffman": (lambda s: frame(HEADERS, END_HEADERS, s, b"\x88\x00\x83\xf2\xb1\x0f\x83\xf2\xb1\x0f") + frame(
        DATA, END_STREAM, s, b"ok"), WHOLE),
    # errors of the connection
    "4.2 a frame above the greatest": (lambda s: frame(DATA, 0, s, b"x" * 16385), FRAME_SIZE_ERROR),
    "4.3 a block that cannot be decoded": (lambda s: frame(HEADERS, LAST, s, b"\x40"), COMPRESSION_ERROR),
    "4.3 another frame within a block": (lambda s: frame(HEADERS, 0, s, block(*OK)) + frame(
        DATA, END_STREAM, s, b"ok"), PROTOCOL_ERROR),
    "5.1 DATA of an idle stream": (lambda s: frame(DATA, 0, s + 100, b"x"), PROTOCOL_ERROR),
    "5.1 RST_STREAM of an idle stream": (lambda s: reset(s + 100), PROTOCOL_ERROR),
    "5.1 HEADERS of an idle stream": (lambda s: head(s + 100), PROTOCOL_ERROR),
    "5.1 HEADERS of a stream of the server": (lambda s: head(2), PROTOCOL_ERROR),
    "5.1 DATA behind the end": (lambda s: head(s) + frame(DATA, 0, s, b"o") + frame(
        DATA, END_STREAM, s, b"k") + frame(DATA, 0, s, b"!"), {WHOLE, STREAM_CLOSED}),
    "5.1 HEADERS behind the end": (lambda s: answer(s) + head(s, [("x", "y")], LAST), {WHOLE, STREAM_CLOSED}),
    "5.1 DATA behind a reset": (lambda s: head(s) + reset(s) + frame(DATA, END_STREAM, s, b"!"), STREAM_CLOSED),
    "6.1 DATA of stream 0": (lambda s: frame(DATA, 0, 0, b"x"), PROTOCOL_ERROR),
    "6.1 padding as long as the payload": (lambda s: head(s) + frame(DATA, PADDED, s, b"\x05ok\0\0"), PROTOCOL_ERROR),
    "6.2 HEADERS of stream 0": (lambda s: head(0), PROTOCOL_ERROR),
    "6.3 PRIORITY of another length": (lambda s: frame(PRIORITY, 0, s, b"\0\0\0\0"), FRAME_SIZE_ERROR),
    "6.4 RST_STREAM of stream 0": (lambda s: reset(0), PROTOCOL_ERROR),
    "6.4 RST_STREAM of another length": (lambda s: frame(RST_STREAM, 0, s, b"\0\0\0"), FRAME_SIZE_ERROR),
    "6.5 SETTINGS of a stream": (lambda s: frame(SETTINGS, 0, s), PROTOCOL_ERROR),
    "6.5 SETTINGS of another length": (lambda s: frame(SETTINGS, 0, 0, b"\0\3\0"), FRAME_SIZE_ERROR),
    "6.5 an acknowledgement with a payload": (lambda s: frame(SETTINGS, ACK, 0, b"\0\3\0\0\0\1"), FRAME_SIZE_ERROR),
    "6.5.2 a server that would be pushed to": (lambda s: settings((2, 1)), PROTOCOL_ERROR),
    "6.5.2 a window too large": (lambda s: settings((4, 0x80000000)), FLOW_CONTROL_ERROR),
    "6.5.2 frames too small": (lambda s: settings((5, 16383)), PROTOCOL_ERROR),
    "6.6 a promise": (lambda s: frame(PUSH_PROMISE, END_HEADERS, s, struct.pack(">I", 2) + block(
        (":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "x"))), PROTOCOL_ERROR),
    "6.7 PING of a stream": (lambda s: frame(PING, 0, s, b"12345678"), PROTOCOL_ERROR),
    "6.7 PING of another length": (lambda s: frame(PING, 0, 0, b"1234"), FRAME_SIZE_ERROR),
    "6.8 GOAWAY of a stream": (lambda s: frame(GOAWAY, 0, s, b"\0" * 8), PROTOCOL_ERROR),
    "6.8 GOAWAY too short": (lambda s: frame(GOAWAY, 0, 0, b"\0" * 4), FRAME_SIZE_ERROR),
    "6.9 a window by zero": (lambda s: window(0, 0), PROTOCOL_ERROR),
    "6.9.1 more than the window": (lambda s: head(s) + frame(DATA, 0, s, b"x" * 16384) * 1000,
                                   (FLOW_CONTROL_ERROR, BROKEN)),
    "6.9.1 a window that overflows": (lambda s: window(0, 0x7fffffff), FLOW_CONTROL_ERROR),
    "6.10 CONTINUATION without a head": (lambda s: frame(CONTINUATION, END_HEADERS, s, block(*OK)), PROTOCOL_ERROR),
    "10.5 CONTINUATION without an end": (lambda s: frame(HEADERS, 0, s, block(*OK)) + frame(
        CONTINUATION, 0, s, block(("x", "y"))) * 100, ENHANCE_YOUR_CALM),
    "10.5 PING without an end": (lambda s: frame(PING, payload=b"12345678") * 400, ENHANCE_YOUR_CALM),
    "10.5 SETTINGS without an end": (lambda s: settings() * 100, ENHANCE_YOUR_CALM),
    "10.5 empty DATA without an end": (lambda s: head(s) + frame(DATA, 0, s) * 1200, ENHANCE_YOUR_CALM),
    "HPACK an index beyond the tables": (lambda s: frame(HEADERS, LAST, s, b"\x88\xfe"), COMPRESSION_ERROR),
    "HPACK a table above the limit": (lambda s: frame(HEADERS, LAST, s, b"\x3f\xe2\x1f\x88"), COMPRESSION_ERROR),
    # errors of the stream
    "6.9 a stream's window by zero": (lambda s: window(s, 0), (BROKEN, PROTOCOL_ERROR)),
    "6.9.1 a stream's window that overflows": (lambda s: window(s, 0x7fffffff), BROKEN),
    "8.1 a body before the head": (lambda s: frame(DATA, END_STREAM, s, b"ok"), PROTOCOL_ERROR),
    "8.1 an end without a head": (lambda s: frame(DATA, END_STREAM, s), PROTOCOL_ERROR),
    "8.1 an informational answer ends it": (lambda s: head(s, [(":status", "103")], LAST), BROKEN),
    "8.1 informational answers without an end": (lambda s: head(s, [(":status", "103")]) * 100 + answer(s), BROKEN),
    "8.1 trailers that do not end it": (lambda s: head(s) + head(s, [("x", "y")]), BROKEN),
    "8.1.1 a body too short": (lambda s: answer(s, ("content-length", "3")), BROKEN),
    # byte by byte, all that was announced has gone on before the rest comes
    "8.1.1 a body too long": (lambda s: answer(s, ("content-length", "1")), (BROKEN, WHOLE)),
    "8.1.1 no body at all": (lambda s: head(s, [*OK, ("content-length", "2")], LAST), BROKEN),
    "8.1.1 a body of 204": (lambda s: head(s, [(":status", "204")]) + frame(DATA, END_STREAM, s, b"ok"), BROKEN),
    "8.1.1 two lengths": (lambda s: answer(s, ("content-length", "2"), ("content-length", "2")), BROKEN),
    "8.1.1 a signed length": (with_field("content-length", "+2"), BROKEN),
    "8.1.1 a list of lengths": (with_field("content-length", "2, 2"), BROKEN),
    "8.2.1 upper case": (with_field("X-Upper", "x"), BROKEN),
    "8.2.1 a space in a name": (with_field("x y", "z"), BROKEN),
    "8.2.1 a line in a name": (with_field("x\r\ny", "z"), BROKEN),
    "8.2.1 a line in a value": (with_field("x", "y\r\nset-cookie: a=b"), BROKEN),
    "8.2.1 NUL in a value": (with_field("x", "y\0z"), BROKEN),
    "8.2.1 a space in front": (with_field("x", " y"), BROKEN),
    "8.2.2 connection": (with_field("connection", "close"), BROKEN),
    "8.2.2 transfer-encoding": (with_field("transfer-encoding", "chunked"), BROKEN),
    "8.2.2 upgrade": (with_field("upgrade", "websocket"), BROKEN),
    "8.3 a pseudo-header of requests": (with_field(":path", "/"), BROKEN),
    "8.3 an unknown pseudo-header": (with_field(":x", "y"), BROKEN),
    "8.3 a pseudo-header behind others": (lambda s: head(s, [("x", "y"), *OK], LAST), BROKEN),
    "8.3 a pseudo-header among trailers": (lambda s: head(s) + head(s, OK, LAST), BROKEN),
    "8.3.2 no status": (lambda s: head(s, [("x", "y")], LAST), BROKEN),
    "8.3.2 two statuses": (with_status("200", "200"), BROKEN),
    "8.3.2 a status of two digits": (with_status("20"), BROKEN),
    "8.3.2 a status of four digits": (with_status("2000"), BROKEN),
    "8.3.2 a status of letters": (with_status("ok "), BROKEN),
    "8.3.2 status 099": (with_status("099"), BROKEN),
    "8.3.2 status 600": (with_status("600"), BROKEN),
    "8.6 status 101": (with_status("101"), BROKEN),
    "a head above the limit": (lambda s: frame(HEADERS, 0, s, block(*OK)) + b"".join(
        frame(CONTINUATION, END_HEADERS if i == 5 else 0, s, block(("x", "y" * 16000))) for i in range(6)), BROKEN),
}


def ask(gateway, path):
    """The answer without what is informational in front of it."""
    with raw.connect(gateway, 10) as sock:
        sock.sendall(raw.request("GET", path, "Connection: close"))
        received = raw.read_all(sock)
    return re.sub(rb"HTTP/1\.1 1\d\d .*?\r\n\r\n", b"", received, flags=re.S)


def is_complete(answer):
    head, _, body = answer.partition(b"\r\n\r\n")
    length = re.search(rb"Content-Length: (\d+)", head)
    return len(body) == int(length[1]) if length else re.search(rb"\r\n0\r\n(.+\r\n)*\r\n\Z", body)


@pytest.fixture(scope="module")
def gateway(tmp_path_factory, trust):
    """Of one thread, so that connections can be counted."""
    instance = service.Postern(tmp_path_factory.mktemp("conform"), ["--threads", "1"], trust)
    instance.start()
    yield instance
    instance.stop()


@pytest.mark.parametrize("piecewise", [False, True], ids=["whole", "bytes"])
@pytest.mark.parametrize("name", CASES)
def test_what_a_backend_says_in_http2(gateway, name, piecewise):
    data, expected = CASES[name]
    if piecewise and len(data(1)) > 20000:
        piecewise = False
    expected = expected if isinstance(expected, (tuple, set)) else (expected,)
    with h2server.Server(data, piecewise) as server:
        api = service.unique("says")
        gateway.make_api(api, server.url, policy("", VERSION_2))
        got = ask(gateway, f"/{api}/x")
        assert ask(gateway, f"/{api}/after").endswith(b"ok\r\n0\r\n\r\n")
        is_whole = bool(got.startswith(b"HTTP/1.1 200") and is_complete(got))
        if isinstance(expected, set) or (not is_whole and BROKEN not in expected):
            service.wait_for("GOAWAY", lambda: any(server.goaways))
        ended = [code for code in server.goaways if code]
        outcome = ended[0] if ended else WHOLE if is_whole else BROKEN
        assert outcome in expected, (outcome, got, server.goaways)
        assert is_whole or not isinstance(expected, set)
        assert not is_whole or WHOLE in expected, "an answer that is none was taken for one"
        if outcome == BROKEN:
            assert server.connections == 1, "the connection goes on"


@pytest.mark.parametrize("code, ended", [(0, True), (8, False)])
def test_an_answer_of_full_length_ends_with_a_reset_that_is_no_error(gateway, code, ended):
    """Node's servers end so, where the last byte has used up the window."""
    def data(stream):
        return head(stream, [*OK, ("content-length", "2")]) + frame(DATA, 0, stream, b"ok") + reset(stream, code)

    with h2server.Server(data, False) as server:
        api = service.unique("ends")
        gateway.make_api(api, server.url, policy("", VERSION_2))
        with h2peer.Peer(gateway.gateway) as peer:
            answer = peer.call("GET", f"/{api}/x")
            assert (answer.status, answer.body if ended else b"ok", answer.ended) == (200, b"ok", ended)
            assert (answer.reset is None) == ended
        assert server.connections == 1


def test_what_was_under_way_when_the_client_left_is_passed_over(gateway):
    """The gateway resets the stream of a client that leaves; what the backend sent meanwhile is no fault of
    it, and its window comes back. What it sends behind its own end is."""
    streams = []

    def data(stream):
        streams.append(stream)
        return head(stream) + frame(DATA, 0, stream, b"begins")

    with h2server.Server(data) as server:
        api = service.unique("leaves")
        gateway.make_api(api, server.url, policy("", VERSION_2))
        with h2frames.Connection(gateway.gateway) as client:
            client.send(client.request(1, path=f"/{api}/x"))
            assert client.read(lambda: client.find(DATA, 1))
            client.send(reset(1))
        service.wait_for("RST_STREAM", lambda: streams[0] in server.resets)
        server.sock.sendall(frame(DATA, 0, streams[0], b"x" * 16000) * 4 + head(streams[0], [("x", "y")], LAST))
        assert ask(gateway, f"/{api}/after").endswith(b"ok\r\n0\r\n\r\n")
        assert server.connections == 1 and not server.goaways
        server.sock.sendall(frame(DATA, 0, streams[0], b"x"))
        service.wait_for("GOAWAY", lambda: server.goaways)
        assert server.goaways == [STREAM_CLOSED]
