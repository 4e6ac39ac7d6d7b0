# SPDX-License-Identifier: Apache-2.0
"""RFC 9113 and RFC 7541 against the running gateway, section by section, frame by frame.

Each case runs on plain TCP (prior knowledge), on TLS (ALPN), and on plain TCP byte by byte. A case
sends what it must and says what comes of it: GOAWAY and the end of the connection (`ends`),
RST_STREAM on a connection that goes on (`resets`), an answer (`answers`), or nothing at all
(`lives`). Where the RFC lets the receiver choose between an error of the stream and one of the
connection (section 5.4.1), the case says what we choose.
"""
import re
import struct
import time

import hpack
import pytest
from lab import backends, raw, service
from lab.h2frames import (ACK, CANCEL, COMPRESSION_ERROR, CONTINUATION, DATA, END_HEADERS,
                          END_STREAM, ENHANCE_YOUR_CALM, FLOW_CONTROL_ERROR, FRAME_SIZE_ERROR,
                          GOAWAY, HEADERS, NO_ERROR, PADDED, PING, PREFACE, PRIORITY,
                          PROTOCOL_ERROR, PUSH_PROMISE, REFUSED_STREAM, RST_STREAM, SETTINGS,
                          STREAM_CLOSED, WINDOW_UPDATE, WITH_PRIORITY, Connection, block, frame,
                          integer, reset, settings, text, window)

CASES = {}


def case(section):
    def keep(function):
        name = f"{section} {function.__name__.replace('_', ' ')}"
        assert name not in CASES
        CASES[name] = function
        return function
    return keep


def ends(*codes):
    return lambda c: c.expect_goaway(*codes)


def resets(stream, *codes):
    return lambda c: c.expect_reset(stream, *codes)


def answers(stream, status):
    def check(c):
        c.expect_answer(stream, status)
        c.expect_alive()
    return check


def refuses(stream, status=400):
    """An answer that says so, then RST_STREAM: RFC 9113 section 8.1.1."""
    def check(c):
        c.expect_answer(stream, status)
        c.expect_reset(stream, PROTOCOL_ERROR)
        c.expect_alive()
    return check


def lives(c):
    c.settle()
    c.expect_alive()


@pytest.fixture(scope="module")
def api(postern):
    backend = backends.Python()
    name = service.unique("conform")
    postern.make_api(name, backend.url)
    with raw.Script(lambda sock, _: raw.read_all(sock)) as silent:
        postern.make_api(f"{name}-silent", silent.url)
        yield name
    backend.stop()


# --- 3.4: the preface; 6.5: SETTINGS comes first ---


def begun(postern, first):
    connection = Connection(postern.gateway, greets=False)
    connection.send(first)
    return connection


def test_3_4_the_servers_preface_is_settings(postern):
    with Connection(postern.gateway) as c:
        c.settle()
        assert c.frames[0].kind == SETTINGS and not c.frames[0].flags & ACK
        values = dict(struct.iter_unpack(">HI", c.frames[0].payload))
        assert values.get(5, 16384) == 16384 and values[3] >= 100 and values.get(8, 0) in (0, 1)
        assert 2 not in values, "a server has no ENABLE_PUSH to say"
        assert c.find(SETTINGS, flags=ACK)


def test_3_4_a_wrong_preface_is_no_http2(postern):
    with begun(postern, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\rX" + settings()) as c:
        assert c.read(lambda: False) and c.eof


def test_3_4_a_preface_without_settings(postern):
    with begun(postern, PREFACE + frame(PING, payload=b"12345678")) as c:
        c.expect_goaway(PROTOCOL_ERROR)


def test_3_4_an_acknowledgement_is_not_the_first_settings(postern):
    with begun(postern, PREFACE + frame(SETTINGS, ACK)) as c:
        c.expect_goaway(PROTOCOL_ERROR)


def test_3_4_http_1_on_a_connection_of_alpn_h2(postern):
    with Connection(postern.gateway_tls, postern.ca_file, greets=False) as c:
        c.send(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n" + b"\r\n" * 20)
        assert c.read(lambda: False) and c.eof
        assert not c.goaway or c.goaway.code == PROTOCOL_ERROR


# --- 4: frames ---


@case("4.1")
def a_frame_of_unknown_type_is_ignored(c):
    c.send(frame(0x16, 0xff, 0, b"x" * 8) + frame(0xff, 0, 7, b""))
    lives(c)


@case("4.1")
def flags_without_a_meaning_are_ignored(c):
    c.send(frame(PING, 0xfe, 0, b"flagsset"))
    assert c.read(lambda: c.find(PING, flags=ACK))
    c.send(frame(HEADERS, END_HEADERS | END_STREAM | 0xd2, 1, block(*c.head())))
    answers(1, 200)(c)


@case("4.1")
def the_reserved_bit_is_ignored(c):
    c.send(frame(PING, 0, 0x80000000, b"reserved"))
    c.send(frame(HEADERS, END_HEADERS | END_STREAM, 0x80000001, block(*c.head())))
    answers(1, 200)(c)


@case("4.2")
def data_of_the_greatest_size(c):
    c.send(c.request(1, 0, method="POST") + frame(DATA, END_STREAM, 1, b"x" * 16384))
    answers(1, 200)(c)


@case("4.2")
def data_above_the_greatest_size(c):
    c.send(c.request(1, 0, method="POST") + frame(DATA, END_STREAM, 1, b"x" * 16385))
    ends(FRAME_SIZE_ERROR)(c)


@case("4.2")
def headers_above_the_greatest_size(c):
    c.send(frame(HEADERS, END_HEADERS | END_STREAM, 1, b"\0" * 16385))
    ends(FRAME_SIZE_ERROR)(c)


@case("4.2")
def settings_above_the_greatest_size(c):
    c.send(frame(SETTINGS, 0, 0, b"\0" * 16386))
    ends(FRAME_SIZE_ERROR)(c)


@case("4.2")
def an_unknown_frame_above_the_greatest_size(c):
    c.send(frame(0x20, 0, 0, b"\0" * 16385))
    ends(FRAME_SIZE_ERROR)(c)


@case("4.3")
def a_field_block_that_cannot_be_decoded(c):
    c.send(frame(HEADERS, END_HEADERS | END_STREAM, 1, b"\x40"))
    ends(COMPRESSION_ERROR)(c)


@case("4.3")
def another_frame_within_a_field_block(c):
    c.send(frame(HEADERS, END_STREAM, 1, block(*c.head())) + frame(PRIORITY, 0, 1, b"\0" * 5))
    ends(PROTOCOL_ERROR)(c)


@case("4.3")
def an_unknown_frame_within_a_field_block(c):
    c.send(frame(HEADERS, END_STREAM, 1, block(*c.head())) + frame(0x16, 0, 1, b"x"))
    ends(PROTOCOL_ERROR)(c)


@case("4.3")
def another_streams_headers_within_a_field_block(c):
    c.send(frame(HEADERS, END_STREAM, 1, block(*c.head())) + c.request(3))
    ends(PROTOCOL_ERROR)(c)


@case("4.3")
def a_field_block_in_many_pieces(c):
    data = block(*c.head())
    c.send(frame(HEADERS, END_STREAM, 1, data[:1]) + frame(CONTINUATION, 0, 1, b"") +
           frame(CONTINUATION, 0, 1, data[1:7]) + frame(CONTINUATION, END_HEADERS, 1, data[7:]))
    answers(1, 200)(c)


# --- 5.1: states ---

IDLE = {"data": frame(DATA, END_STREAM, 1, b"x"), "reset": reset(1), "window": window(1, 1),
        "continuation": frame(CONTINUATION, END_HEADERS, 1, b"\x82")}
for kind, sent in IDLE.items():
    def idle(c, sent=sent):
        c.send(sent)
        ends(PROTOCOL_ERROR)(c)
    idle.__name__ = f"{kind} on an idle stream"
    case("5.1")(idle)


@case("5.1")
def data_on_a_half_closed_stream(c):
    c.send(c.request(1, path=c.silent_path) + frame(DATA, END_STREAM, 1, b"x"))
    ends(STREAM_CLOSED)(c)


@case("5.1")
def headers_on_a_half_closed_stream(c):
    c.send(c.request(1, path=c.silent_path) * 2)
    ends(STREAM_CLOSED)(c)


@case("5.1")
def continuation_on_a_half_closed_stream(c):
    c.send(c.request(1, path=c.silent_path) + frame(CONTINUATION, END_HEADERS, 1, b"\x82"))
    ends(STREAM_CLOSED, PROTOCOL_ERROR)(c)


@case("5.1")
def window_priority_and_reset_on_a_half_closed_stream(c):
    c.send(c.request(1, path=c.silent_path) + window(1, 10) +
           frame(PRIORITY, 0, 1, b"\0\0\0\0\x10") + reset(1))
    lives(c)


@case("5.1")
def window_priority_and_reset_on_a_closed_stream(c):
    c.send(c.request(1))
    c.expect_answer(1, 200)
    c.settle()
    c.send(window(1, 10) + frame(PRIORITY, 0, 1, b"\0\0\0\0\x10") + reset(1))
    lives(c)


@case("5.1")
def data_on_a_stream_that_the_client_has_reset(c):
    c.send(c.request(1, 0, method="POST") + reset(1) + frame(DATA, END_STREAM, 1, b"x"))
    ends(STREAM_CLOSED)(c)


@case("5.1")
def headers_on_a_stream_that_the_client_has_reset(c):
    c.send(c.request(1, 0, method="POST") + reset(1) + c.request(1))
    ends(STREAM_CLOSED)(c)


@case("5.1")
def continuation_on_a_stream_that_the_client_has_reset(c):
    c.send(c.request(1, 0, method="POST") + reset(1) + frame(CONTINUATION, END_HEADERS, 1, b"\x82"))
    ends(STREAM_CLOSED, PROTOCOL_ERROR)(c)


def over(c):
    """Stream 1 has ended on both sides, and others have come since."""
    c.send(c.request(1))
    c.expect_answer(1, 200)
    c.settle()
    c.send(c.request(3))
    c.expect_answer(3, 200)


@case("5.1")
def data_on_a_stream_that_is_over(c):
    over(c)
    c.send(frame(DATA, 0, 1, b"x"))
    ends(STREAM_CLOSED)(c)


@case("5.1")
def empty_data_on_a_stream_that_is_over(c):
    over(c)
    c.send(frame(DATA, END_STREAM, 1))
    ends(STREAM_CLOSED)(c)


@case("5.1")
def trailers_on_a_stream_that_is_over(c):
    over(c)
    c.send(frame(HEADERS, END_HEADERS | END_STREAM, 1, block(("x", "y"))))
    ends(STREAM_CLOSED)(c)


@case("5.1")
def what_came_in_front_of_such_a_frame_is_answered(c):
    over(c)
    c.send(c.request(5) + frame(DATA, 0, 1, b"x") + c.request(7))
    ends(STREAM_CLOSED)(c)
    assert struct.unpack(">I", c.goaway.payload[:4])[0] == 5 and not c.find(HEADERS, 7)


def we_reset(c, stream=1):
    """The body is longer than it was to be: the gateway resets the stream, and does not know its end."""
    c.send(c.request(stream, 0, method="POST", fields=[("content-length", "1")]) + frame(DATA, 0, stream, b"more"))
    c.expect_reset(stream, PROTOCOL_ERROR)


@case("5.1")
def frames_under_way_on_a_stream_that_we_reset(c):
    we_reset(c)
    c.send(frame(DATA, 0, 1, b"x" * 3000) + frame(DATA, PADDED, 1, b"\x05ab\0\0\0\0\0") +
           frame(HEADERS, END_HEADERS | END_STREAM, 1, b"\x40" + text("x-late") + text("z")))
    c.send(frame(HEADERS, END_HEADERS | END_STREAM, 3, block(*c.head()) + b"\xbe"))  # the table has it
    answers(3, 200)(c)


@case("5.1")
def frames_behind_the_end_of_a_stream_that_we_reset(c):
    we_reset(c)
    c.send(frame(DATA, END_STREAM, 1, b"x"))
    lives(c)
    c.send(frame(DATA, 0, 1, b"x"))
    ends(STREAM_CLOSED)(c)


@case("5.1.1")
def data_on_a_stream_that_was_passed_over(c):
    c.send(c.request(5) + frame(DATA, END_STREAM, 3, b"x"))
    ends(PROTOCOL_ERROR)(c)


@case("5.1")
def continuation_on_a_stream_that_is_over(c):
    c.send(c.request(1))
    c.expect_answer(1, 200)
    c.settle()
    c.send(frame(CONTINUATION, END_HEADERS, 1, b"\x82"))
    ends(PROTOCOL_ERROR)(c)


@case("5.3")
def a_stream_that_depends_on_itself(c):
    """Of RFC 7540; nghttp2 still ends the connection for it."""
    c.send(frame(HEADERS, END_HEADERS | END_STREAM | WITH_PRIORITY, 1, b"\0\0\0\1\x10" + block(*c.head())))
    ends(PROTOCOL_ERROR)(c)


@case("5.3")
def a_priority_of_a_stream_that_depends_on_itself(c):
    c.send(frame(PRIORITY, 0, 1, b"\0\0\0\1\x10"))
    lives(c)


@case("7")
def goaway_with_an_unknown_code(c):
    c.send(c.request(1, 0, method="POST") + frame(GOAWAY, 0, 0, b"\0" * 4 + b"\xff" * 4) +
           frame(DATA, END_STREAM, 1, b"x"))
    c.expect_answer(1, 200)


@case("8.1")
def head_has_no_body(c):
    c.send(c.request(1, method="HEAD"))
    c.expect_answer(1, 200)
    c.settle()
    assert c.find(HEADERS, 1, END_STREAM) and not c.find(DATA, 1)
    lives(c)


@case("5.1.1")
def an_even_stream(c):
    c.send(c.request(2))
    ends(PROTOCOL_ERROR)(c)


@case("5.1.1")
def a_stream_below_another(c):
    c.send(c.request(5) + c.request(3))
    ends(PROTOCOL_ERROR)(c)


@case("5.1.1")
def the_greatest_stream(c):
    c.send(c.request(0x7fffffff))
    c.expect_answer(0x7fffffff, 200)
    c.settle()
    assert not c.goaway or c.goaway.code == NO_ERROR


@case("5.1.2")
def more_streams_than_are_allowed(c):
    c.settle()
    values = dict(struct.iter_unpack(">HI", c.find(SETTINGS).payload))
    c.send(frame(SETTINGS, ACK))
    c.send(b"".join(c.request(1 + 2 * i, 0, method="POST") for i in range(values[3] + 1)))
    c.read(lambda: c.goaway or c.find(RST_STREAM, 1 + 2 * values[3]))
    last = c.find(RST_STREAM, 1 + 2 * values[3])
    assert (last and last.code in (PROTOCOL_ERROR, REFUSED_STREAM)) or \
        (c.goaway and c.goaway.code == PROTOCOL_ERROR), c.frames[-3:]


@case("5.5")
def an_unknown_setting_is_ignored(c):
    c.send(settings((0xfafa, 1), (0, 2)))
    lives(c)


# --- 6.1: DATA ---


@case("6.1")
def data_on_stream_0(c):
    c.send(frame(DATA, 0, 0, b"x"))
    ends(PROTOCOL_ERROR)(c)


@case("6.1")
def padding_as_long_as_the_payload(c):
    c.send(c.request(1, 0, method="POST") + frame(DATA, PADDED | END_STREAM, 1, b"\x05test\0"[:5]))
    ends(PROTOCOL_ERROR)(c)


@case("6.1")
def padding_without_its_length(c):
    c.send(c.request(1, 0, method="POST") + frame(DATA, PADDED | END_STREAM, 1, b""))
    ends(PROTOCOL_ERROR, FRAME_SIZE_ERROR)(c)


@case("6.1")
def padded_data(c):
    c.send(c.request(1, 0, method="POST", fields=[("content-length", "4")]) +
           frame(DATA, PADDED, 1, b"\x03te\0\0\0") + frame(DATA, PADDED | END_STREAM, 1, b"\x00st"))
    answers(1, 200)(c)


# --- 6.2: HEADERS ---


@case("6.2")
def headers_on_stream_0(c):
    c.send(c.request(0))
    ends(PROTOCOL_ERROR)(c)


@case("6.2")
def headers_with_too_much_padding(c):
    c.send(frame(HEADERS, END_HEADERS | END_STREAM | PADDED, 1, b"\x1f" + block(*c.head())[:20]))
    ends(PROTOCOL_ERROR)(c)


@case("6.2")
def headers_with_padding_and_priority(c):
    c.send(frame(HEADERS, END_HEADERS | END_STREAM | PADDED | WITH_PRIORITY, 1,
                 b"\x04\0\0\0\0\x20" + block(*c.head()) + b"\0" * 4))
    answers(1, 200)(c)


@case("6.2")
def headers_too_short_for_their_priority(c):
    c.send(frame(HEADERS, END_HEADERS | END_STREAM | WITH_PRIORITY, 1, b"\0\0\0"))
    ends(FRAME_SIZE_ERROR, PROTOCOL_ERROR)(c)


# --- 6.3: PRIORITY ---


@case("6.3")
def priority_on_stream_0(c):
    c.send(frame(PRIORITY, 0, 0, b"\0\0\0\1\x10"))
    ends(PROTOCOL_ERROR)(c)


@case("6.3")
def priority_of_another_length(c):
    c.send(c.request(1, 0, method="POST") + frame(PRIORITY, 0, 1, b"\0\0\0\0"))
    ends(FRAME_SIZE_ERROR)(c)


@case("6.3")
def priority_of_an_idle_stream(c):
    c.send(frame(PRIORITY, 0, 7, b"\x80\0\0\x09\xff"))
    lives(c)


# --- 6.4: RST_STREAM ---


@case("6.4")
def reset_of_stream_0(c):
    c.send(reset(0))
    ends(PROTOCOL_ERROR)(c)


@case("6.4")
def reset_of_another_length(c):
    c.send(c.request(1, 0, method="POST") + frame(RST_STREAM, 0, 1, b"\0\0\0"))
    ends(FRAME_SIZE_ERROR)(c)


@case("6.4")
def reset_with_an_unknown_code(c):
    c.send(c.request(1, 0, method="POST") + reset(1, 0xff))
    lives(c)


# --- 6.5: SETTINGS ---


@case("6.5")
def an_acknowledgement_with_a_payload(c):
    c.send(frame(SETTINGS, ACK, 0, b"\0\3\0\0\0\1"))
    ends(FRAME_SIZE_ERROR)(c)


@case("6.5")
def settings_on_a_stream(c):
    c.send(frame(SETTINGS, 0, 1, b"\0\3\0\0\0\1"))
    ends(PROTOCOL_ERROR)(c)


@case("6.5")
def settings_of_another_length(c):
    c.send(frame(SETTINGS, 0, 0, b"\0\3\0\0\0"))
    ends(FRAME_SIZE_ERROR)(c)


for number, value, code in ((2, 2, PROTOCOL_ERROR), (4, 0x80000000, FLOW_CONTROL_ERROR),
                            (5, 16383, PROTOCOL_ERROR), (5, 1 << 24, PROTOCOL_ERROR),
                            (8, 2, PROTOCOL_ERROR)):
    def bad_setting(c, number=number, value=value, code=code):
        c.send(settings((number, value)))
        ends(code)(c)
    bad_setting.__name__ = f"setting {number} is {value}"
    case("6.5.2")(bad_setting)


@case("6.5.3")
def settings_are_acknowledged_in_order(c):
    c.send(settings((4, 1), (4, 2)) + settings())
    c.settle()
    acks = [f for f in c.frames if f.kind == SETTINGS and f.flags & ACK]
    assert len(acks) == 3 and all(f.payload == b"" for f in acks)
    c.send(c.request(1))
    assert c.read(lambda: c.find(DATA, 1))
    assert len(c.find(DATA, 1).payload) == 2, "the last value counts"


@case("6.5.2")
def settings_without_a_dynamic_table(c):
    c.send(settings((1, 0)))
    for stream in (1, 3, 5):
        c.send(c.request(stream))
        c.expect_answer(stream, 200)


# --- 6.6: PUSH_PROMISE ---


@case("6.6")
def a_client_promises(c):
    c.send(c.request(1, 0, method="POST") +
           frame(PUSH_PROMISE, END_HEADERS, 1, struct.pack(">I", 2) + block(*c.head())))
    ends(PROTOCOL_ERROR)(c)


# --- 6.7: PING ---


@case("6.7")
def a_ping_is_answered_with_its_bytes(c):
    c.send(frame(PING, payload=b"\x00\x01\xfe\xffpong"))
    assert c.read(lambda: c.find(PING, 0, ACK))
    assert c.find(PING, 0, ACK).payload == b"\x00\x01\xfe\xffpong"


@case("6.7")
def an_answer_to_no_ping_is_ignored(c):
    c.send(frame(PING, ACK, 0, b"notasked"))
    c.settle()
    assert not [f for f in c.frames if f.kind == PING and f.payload == b"notasked"]


@case("6.7")
def ping_on_a_stream(c):
    c.send(frame(PING, 0, 1, b"12345678"))
    ends(PROTOCOL_ERROR)(c)


@case("6.7")
def ping_of_another_length(c):
    c.send(frame(PING, 0, 0, b"123456"))
    ends(FRAME_SIZE_ERROR)(c)


# --- 6.8: GOAWAY ---


@case("6.8")
def goaway_on_a_stream(c):
    c.send(frame(GOAWAY, 0, 1, b"\0" * 8))
    ends(PROTOCOL_ERROR)(c)


@case("6.8")
def goaway_too_short(c):
    c.send(frame(GOAWAY, 0, 0, b"\0" * 7))
    ends(FRAME_SIZE_ERROR)(c)


@case("6.8")
def a_client_that_goes_gets_its_answers(c):
    c.send(c.request(1, 0, method="POST") + frame(GOAWAY, 0, 0, b"\0" * 8 + b"bye") +
           frame(DATA, END_STREAM, 1, b"x"))
    assert c.read(lambda: c.find(HEADERS, 1)), c.frames
    assert c.find(HEADERS, 1)
    assert c.read(lambda: False) and c.eof, "then the connection ends"


# --- 6.9: WINDOW_UPDATE ---


@case("6.9")
def a_window_of_the_connection_by_zero(c):
    c.send(window(0, 0))
    ends(PROTOCOL_ERROR)(c)


@case("6.9")
def a_window_of_a_stream_by_zero(c):
    c.send(c.request(1, 0, method="POST") + window(1, 0))
    # An error of the stream; nghttp2 makes one of the connection out of it.
    c.read(lambda: c.goaway or c.find(RST_STREAM, 1))
    found = c.find(RST_STREAM, 1) or c.goaway
    assert found and found.code == PROTOCOL_ERROR


@case("6.9")
def a_window_of_another_length(c):
    c.send(frame(WINDOW_UPDATE, 0, 0, b"\0\0\1"))
    ends(FRAME_SIZE_ERROR)(c)


@case("6.9.1")
def the_connections_window_overflows(c):
    c.send(window(0, 0x7fffffff) + window(0, 0x7fffffff))
    ends(FLOW_CONTROL_ERROR)(c)


@case("6.9.1")
def a_streams_window_overflows(c):
    c.send(c.request(1, 0, method="POST") + window(1, 0x7fffffff))
    resets(1, FLOW_CONTROL_ERROR)(c)


@case("6.9.1")
def no_byte_is_sent_without_window(c):
    c.send(settings((4, 0)) + c.request(1))
    c.expect_answer(1, 200)
    c.settle()
    assert not c.find(DATA, 1)
    c.send(window(1, 1))
    assert c.read(lambda: c.find(DATA, 1))
    c.settle()
    assert sum(len(f.payload) for f in c.frames if f.kind == DATA) == 1
    c.send(window(1, 1000))
    assert c.read(lambda: c.find(DATA, 1, END_STREAM))


@case("6.9.2")
def a_later_setting_opens_the_window(c):
    c.send(settings((4, 0)) + c.request(1))
    c.expect_answer(1, 200)
    c.send(settings((4, 1)))
    assert c.read(lambda: c.find(DATA, 1))
    assert len(c.find(DATA, 1).payload) == 1


@case("6.9.2")
def a_window_may_become_negative(c):
    c.send(settings((4, 1)) + c.request(1))
    assert c.read(lambda: c.find(DATA, 1))
    c.send(settings((4, 0)) + window(1, 1))  # -1 + 1
    c.settle()
    assert sum(len(f.payload) for f in c.frames if f.kind == DATA) == 1
    c.send(window(1, 1))
    assert c.read(lambda: sum(len(f.payload) for f in c.frames if f.kind == DATA) == 2)


# --- 6.10: CONTINUATION ---


@case("6.10")
def continuation_on_stream_0(c):
    c.send(frame(HEADERS, END_STREAM, 1, block(*c.head())) +
           frame(CONTINUATION, END_HEADERS, 0, b""))
    ends(PROTOCOL_ERROR)(c)


@case("6.10")
def continuation_after_the_end_of_the_block(c):
    c.send(c.request(1, 0, method="POST") + frame(CONTINUATION, END_HEADERS, 1, b""))
    ends(PROTOCOL_ERROR)(c)


@case("6.10")
def continuation_after_a_continuation_with_the_end(c):
    c.send(frame(HEADERS, 0, 1, block(*c.head())) + frame(CONTINUATION, END_HEADERS, 1, b"") +
           frame(CONTINUATION, END_HEADERS, 1, b""))
    ends(PROTOCOL_ERROR)(c)


@case("6.10")
def continuation_after_data(c):
    c.send(c.request(1, 0, method="POST") + frame(DATA, 0, 1, b"x") +
           frame(CONTINUATION, END_HEADERS, 1, b""))
    ends(PROTOCOL_ERROR)(c)


# --- 8: messages ---


@case("8.1")
def trailers_that_do_not_end_the_stream(c):
    c.send(c.request(1, 0, method="POST") + frame(HEADERS, END_HEADERS, 1, block(("x", "y"))))
    resets(1, PROTOCOL_ERROR)(c)


BAD_FIELDS = {
    "8.2.1 upper case": ("X-Upper", "x"), "8.2.1 space in a name": ("x y", "z"),
    "8.2.1 colon in a name": ("x:", "z"), "8.2.1 empty name": ("", "z"),
    "8.2.1 control in a name": ("x\x01", "z"), "8.2.1 line in a name": ("x\r\ny", "z"),
    "8.2.1 NUL in a value": ("x", "a\0b"), "8.2.1 LF in a value": ("x", "a\nb"),
    "8.2.1 CR in a value": ("x", "a\rb"), "8.2.1 leading space": ("x", " a"),
    "8.2.1 trailing tab": ("x", "a\t"), "8.2.1 delete in a value": ("x", "a\x7f"),
    "8.2.2 connection": ("connection", "keep-alive"), "8.2.2 keep-alive": ("keep-alive", "1"),
    "8.2.2 proxy-connection": ("proxy-connection", "keep-alive"),
    "8.2.2 transfer-encoding": ("transfer-encoding", "chunked"),
    "8.2.2 upgrade": ("upgrade", "h2c"),
    "8.2.2 te": ("te", "trailers, deflate"), "8.3 unknown pseudo-header": (":test", "x"),
    "8.3 pseudo-header of answers": (":status", "200"), "8.3.1 method again": (":method", "GET"),
    "8.3.1 path again": (":path", "/"), "8.3.1 scheme again": (":scheme", "http"),
    "8.3.1 authority again": (":authority", "x"), "8.3.1 host differs": ("host", "other.test"),
    "8.1.1 length without a body": ("content-length", "1"),
    "8.1.1 signed length": ("content-length", "+0"),
    "8.1.1 listed length": ("content-length", "0, 0"),
}
for name, field in BAD_FIELDS.items():
    def bad_field(c, field=field):
        c.send(c.request(1, fields=[field]))
        refuses(1)(c)
    CASES[name] = bad_field

for missing in (":method", ":scheme", ":path", ":authority"):
    def without(c, missing=missing):
        c.send(frame(HEADERS, END_HEADERS | END_STREAM, 1,
                     block(*(f for f in c.head() if f[0] != missing))))
        refuses(1)(c)
    CASES[f"8.3.1 {missing} is missing"] = without

BAD_VALUES = {
    ":path": ("", "healthz", "*", "/a b", "/a\r\nX: y", "/#a", "http://x/", "/\xe4", "/\x00"),
    ":scheme": ("", "ftp", "javascript"), ":method": ("", "G T", "GET / HTTP/1.1\r\nX:", "G\0T"),
    ":authority": ("", "u@x", "a b", "x/y", "x:70000", "x\r\nX: y"),
}
for target, values in BAD_VALUES.items():
    for value in values:
        def bad_value(c, target=target, value=value):
            c.send(frame(HEADERS, END_HEADERS | END_STREAM, 1, block(
                *((n, value if n == target else v) for n, v in c.head()))))
            refuses(1)(c)
        CASES[f"8.3.1 {target} is {value!r}"] = bad_value


@case("8.3")
def a_pseudo_header_behind_others(c):
    c.send(frame(HEADERS, END_HEADERS | END_STREAM, 1,
                 block(*c.head()[:3], ("x", "y"), c.head()[3])))
    refuses(1)(c)


@case("8.3")
def a_pseudo_header_among_trailers(c):
    c.send(c.request(1, 0, method="POST") +
           frame(HEADERS, END_HEADERS | END_STREAM, 1, block((":method", "GET"))))
    resets(1, PROTOCOL_ERROR)(c)


@case("8.1.1")
def a_body_shorter_than_its_length(c):
    c.send(c.request(1, 0, method="POST", fields=[("content-length", "5")]) +
           frame(DATA, END_STREAM, 1, b"four"))
    resets(1, PROTOCOL_ERROR)(c)


@case("8.1.1")
def a_body_longer_than_its_length(c):
    c.send(c.request(1, 0, method="POST", fields=[("content-length", "5")]) +
           frame(DATA, 0, 1, b"two") + frame(DATA, END_STREAM, 1, b"more"))
    resets(1, PROTOCOL_ERROR)(c)


@case("8.1")
def a_body_with_trailers(c):
    c.send(c.request(1, 0, method="POST") + frame(DATA, 0, 1, b"abc") +
           frame(HEADERS, END_HEADERS | END_STREAM, 1, block(("x-sum", "7"))))
    answers(1, 200)(c)


@case("8.3.1")
def options_of_everything(c):
    c.send(c.request(1, method="OPTIONS", path="*"))
    assert c.read(lambda: c.find(HEADERS, 1))
    assert not c.find(RST_STREAM, 1)
    lives(c)


@case("8.3.1")
def host_in_place_of_authority(c):
    c.send(frame(HEADERS, END_HEADERS | END_STREAM, 1, block(*c.head()[:3], ("host", "x.test"))))
    answers(1, 200)(c)


@case("8.5")
def connect_is_not_served(c):
    c.send(frame(HEADERS, END_HEADERS | END_STREAM, 1,
                 block((":method", "CONNECT"), (":authority", "x:443"))))
    c.expect_answer(1, 501)
    lives(c)


@case("8.1")
def te_trailers_is_allowed(c):
    c.send(c.request(1, fields=[("te", "trailers"), ("priority", "u=1"), ("x", "")]))
    answers(1, 200)(c)


@case("8.2.3")
def cookies_in_crumbs(c):
    c.send(c.request(1, fields=[("cookie", "a=b"), ("x", "y"), ("cookie", "c=d")]))
    answers(1, 200)(c)


@case("10.5")
def an_empty_value_and_name_flood_of_continuations(c):
    c.send(frame(HEADERS, END_STREAM, 1, block(*c.head())) +
           b"".join(frame(CONTINUATION, 0, 1, block((f"x{i}", "y"))) for i in range(60)))
    ends(ENHANCE_YOUR_CALM)(c)


@case("10.5.1")
def a_head_above_the_limit_is_refused_on_its_stream(c):
    big = block(*c.head(), *((f"x-{i}", "y" * 4000) for i in range(18)))
    pieces = [big[i:i + 16384] for i in range(0, len(big), 16384)]
    c.send(frame(HEADERS, END_STREAM, 1, pieces[0]) +
           b"".join(frame(CONTINUATION, 0, 1, p) for p in pieces[1:-1]) +
           frame(CONTINUATION, END_HEADERS, 1, pieces[-1]))
    c.expect_answer(1, 431)
    lives(c)


@case("10.5.1")
def a_path_above_the_limit_is_refused_on_its_stream(c):
    big = block(*c.head(path="/" + "y" * 16384))
    c.send(frame(HEADERS, END_STREAM, 1, big[:16000]) +
           frame(CONTINUATION, END_HEADERS, 1, big[16000:]))
    c.expect_answer(1, 414)
    lives(c)


# --- RFC 7541 ---


def hpack_case(name, payload, code=COMPRESSION_ERROR):
    def broken(c):
        c.send(frame(HEADERS, END_HEADERS | END_STREAM, 1, payload))
        ends(code)(c)
    CASES[f"HPACK {name}"] = broken


hpack_case("2.3.3 an index beyond both tables", b"\x82\xc6")
hpack_case("2.3.3 a name's index beyond both tables", b"\x82\x7f\x20\x01x")
hpack_case("4.2 a size update after a field", b"\x82\x20")
hpack_case("5.1 an integer without an end", b"\x82" + b"\xff" * 12)
hpack_case("5.2 Huffman padding of 8 bits and more",
           b"\x82\x00\x85\xf2\xb2\x4a\x84\xff\x84\x49\x50\x9f\xff")
hpack_case("5.2 Huffman padding with zeros", b"\x82\x00\x85\xf2\xb2\x4a\x84\xff\x83\x49\x50\x90")
hpack_case("5.2 Huffman code with EOS",
           b"\x82\x00\x85\xf2\xb2\x4a\x84\xff\x87\x49\x51\xff\xff\xff\xfa\x7f")
hpack_case("6.1 index 0", b"\x80")
hpack_case("6.3 a table above the limit", integer(4097, 5, 0x20) + b"\x82")
hpack_case("5.2 a string longer than its block", b"\x82\x00\x7f\xff\x7fab")


@case("HPACK")
def what_was_indexed_is_known_later(c):
    fields = b"".join(b"\x40" + text(n) + text(v) for n, v in c.head())
    c.send(frame(HEADERS, END_HEADERS | END_STREAM, 1, fields))
    c.expect_answer(1, 200)
    c.send(frame(HEADERS, END_HEADERS | END_STREAM, 3, b"\xc1\xc0\xbf\xbe"))
    answers(3, 200)(c)


@case("HPACK")
def a_field_that_is_never_indexed(c):
    c.send(frame(HEADERS, END_HEADERS | END_STREAM, 1, block(*c.head()) + b"\x10" + text("x") + text("y")))
    answers(1, 200)(c)


@case("HPACK")
def strings_in_huffman_code(c):
    c.send(frame(HEADERS, END_HEADERS | END_STREAM, 1, hpack.Encoder().encode(c.head(), huffman=True)))
    answers(1, 200)(c)


@case("HPACK")
def a_refused_head_leaves_the_table_right(c):
    indexed = b"".join(b"\x40" + text(n) + text(v) for n, v in c.head())
    c.send(frame(HEADERS, END_HEADERS | END_STREAM, 1, block(("X-Bad", "x")) + indexed))
    c.expect_answer(1, 400)
    c.send(frame(HEADERS, END_HEADERS | END_STREAM, 3, b"\xc1\xc0\xbf\xbe"))
    answers(3, 200)(c)


@case("HPACK")
def a_reset_stream_leaves_the_table_right(c):
    indexed = b"".join(b"\x40" + text(n) + text(v) for n, v in c.head("POST"))
    c.send(frame(HEADERS, END_HEADERS, 1, indexed) + reset(1, CANCEL))
    c.send(frame(HEADERS, END_HEADERS | END_STREAM, 3, b"\x82\xc0\xbf\xbe"))
    answers(3, 200)(c)


@case("HPACK")
def the_table_may_shrink_and_grow(c):
    c.send(frame(HEADERS, END_HEADERS | END_STREAM, 1,
                 b"\x20" + integer(4096, 5, 0x20) + block(*c.head())))
    answers(1, 200)(c)


@pytest.mark.parametrize("way", ["plain", "tls", "bytes"])
@pytest.mark.parametrize("name", CASES)
def test_conformance(postern, api, name, way):
    origin = postern.gateway_tls if way == "tls" else postern.gateway
    with Connection(origin, postern.ca_file, piecewise=way == "bytes") as connection:
        connection.slow_path = f"/{api}/x"
        connection.silent_path = f"/{api}-silent/x"
        CASES[name](connection)


# --- 5.1, 6.9: what comes late of streams that were reset counts for the connection's window, and comes back ---


def sent_window(c):
    """Of the connection, as a client knows it."""
    given = sum(int.from_bytes(f.payload, "big") for f in c.frames if f.kind == WINDOW_UPDATE and f.stream == 0)
    return 65535 + given - c.used


def send_data(c, stream, size, flags=0):
    assert c.read(lambda: c.eof or sent_window(c) >= size), "the connection's window leaks"
    c.used += size
    c.send(frame(DATA, flags, stream, b"x" * size))


@pytest.fixture
def counted(postern, api):
    with Connection(postern.gateway) as c:
        c.slow_path = f"/{api}/x"
        c.used = 0
        c.settle()
        c.most = sent_window(c)
        yield c


def test_the_window_of_what_comes_late_comes_back(counted):
    sent, stream = 0, 1
    while sent < counted.most * 3 // 2:
        counted.send(counted.request(stream, 0, method="POST", fields=[("content-length", "1")]))
        send_data(counted, stream, 5)
        assert counted.read(lambda: counted.find(RST_STREAM, stream))
        send_data(counted, stream, 16384)
        send_data(counted, stream, 16000, END_STREAM)
        sent, stream = sent + 32389, stream + 2
    counted.settle()
    assert sent_window(counted) > counted.most // 2, "half of it may be kept back"
    counted.send(counted.request(stream, 0, method="POST"))
    send_data(counted, stream, 10, END_STREAM)
    counted.expect_answer(stream, 200)


def test_more_than_can_have_been_under_way_ends_the_connection(counted):
    counted.send(counted.request(1, 0, method="POST", fields=[("content-length", "1")]))
    send_data(counted, 1, 5)
    counted.expect_reset(1, PROTOCOL_ERROR)
    for _ in range(2 * counted.most // 16384):
        send_data(counted, 1, 16384)
    counted.expect_goaway(FLOW_CONTROL_ERROR)


def test_empty_frames_under_way_are_counted_too(counted):
    counted.send(counted.request(1, 0, method="POST", fields=[("content-length", "1")]))
    send_data(counted, 1, 5)
    counted.expect_reset(1, PROTOCOL_ERROR)
    counted.send(frame(DATA, 0, 1) * 1200)
    counted.expect_goaway(ENHANCE_YOUR_CALM)


# --- 10.5: floods end the connection that makes them, and are counted ---

FLOODS = {
    "h2-pings": lambda c, i: frame(PING, payload=b"12345678"),
    "h2-settings": lambda c, i: settings(),
    "h2-priorities": lambda c, i: frame(PRIORITY, 0, 3, b"\0\0\0\0\x10"),
    "h2-empty-data": lambda c, i: frame(DATA, 0, 1),
    "h2-window-updates": lambda c, i: window(0, 1),
    "h2-resets": lambda c, i: c.request(3 + 2 * i, 0, method="POST") + reset(3 + 2 * i),
}


@pytest.fixture(scope="module")
def strict_postern(tmp_path_factory, trust):
    options = [word for name in FLOODS for word in ("--limit", f"{name}=20")]
    instance = service.Postern(tmp_path_factory.mktemp("floods"), options=options,
                               environment=trust)
    instance.start()
    backend = backends.Python()
    instance.make_api("flooded", backend.url)
    yield instance
    instance.stop()
    backend.stop()


def hits(postern, limit):
    metrics = postern.session(postern.control).get("/metrics").text
    found = re.search(r'postern_limit_hits_total\{limit="%s"\} (\d+)' % limit, metrics)
    return int(found[1]) if found else 0


@pytest.mark.parametrize("limit", FLOODS)
def test_a_flood_ends_its_connection_and_is_counted(strict_postern, limit):
    before = hits(strict_postern, limit)
    with Connection(strict_postern.gateway) as c, Connection(strict_postern.gateway) as other:
        c.slow_path = "/flooded/x"
        c.send(c.request(1, 0, method="POST"))
        c.send(b"".join(FLOODS[limit](c, i) for i in range(40)))
        c.expect_goaway(ENHANCE_YOUR_CALM)
        other.expect_alive()
    deadline = time.monotonic() + 10
    while hits(strict_postern, limit) == before and time.monotonic() < deadline:
        time.sleep(0.1)
    assert hits(strict_postern, limit) == before + 1
