# SPDX-License-Identifier: Apache-2.0
"""HTTP as a security boundary (RFC 9110, RFC 9112): what is ambiguous is refused, whole and byte by
byte; what goes on to a backend has one reading, that of the strictest reader; and no spelling of a
path leaves its API or goes around an operation's policy. test_smuggling.py has more requests."""
import contextlib
import re
import socket
import time
import urllib.parse

import pytest
from lab import raw, service
from lab.raw import Recorder, Script, connect, receive, request, request_of, send
from lab.service import policy

ANSWER = re.compile(rb"HTTP/1\.1 ([0-9]{3}) ")
POST = b"POST /%s/x HTTP/1.1\r\nHost: gateway.test\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
NEXT = b"GET /%s/smuggled HTTP/1.1\r\nHost: gateway.test\r\n\r\n"


@pytest.fixture(scope="module")
def recorder():
    with Recorder() as backend:
        yield backend


@pytest.fixture(scope="module")
def api(postern, recorder):
    name = service.unique("strict")
    postern.make_api(name, recorder.url)
    return name


def ask(postern, data, piecewise=False, half_close=False):
    """Sends `data` and reads until the gateway ends the connection."""
    with connect(postern, 10) as sock:
        send(sock, data, piecewise)
        if half_close:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_WR)
        return receive(sock, 5)


def last(method, path, *fields, body=b""):
    return request(method, path, "Connection: close", *fields, body=body)


def statuses(received):
    return [int(s) for s in ANSWER.findall(received)]


both_ways = pytest.mark.parametrize("piecewise", [False, True], ids=["whole", "bytes"])

# --- heads that are refused: nothing of them reaches a backend

REFUSED = {
    "te-two-fields": POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n"
                     b"0\r\n\r\n",
    "te-two-fields-identity": POST + b"Transfer-Encoding: identity\r\n"
                              b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "te-gzip": POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "te-parameter": POST + b"Transfer-Encoding: chunked;q=1\r\n\r\n0\r\n\r\n",
    "te-quoted": POST + b"Transfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n",
    "te-empty": POST + b"Transfer-Encoding:\r\n\r\n",
    "te-nul": POST + b"Transfer-Encoding: \x00chunked\r\n\r\n0\r\n\r\n",
    "te-nul-behind": POST + b"Transfer-Encoding: chunked\x00\r\n\r\n0\r\n\r\n",
    "te-high-byte": POST + b"Transfer-Encoding: chunked\xff\r\n\r\n0\r\n\r\n",
    "te-blank-before-colon": POST + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    "te-tab-before-colon": POST + b"Transfer-Encoding\t: chunked\r\n\r\n0\r\n\r\n",
    "te-folded": POST + b"Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
    "te-folded-tab": POST + b"Transfer-Encoding:\r\n\tchunked\r\n\r\n0\r\n\r\n",
    "te-behind-bare-cr": POST + b"X: y\rTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "te-behind-bare-lf": POST + b"X: y\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "te-and-length-0": POST + b"Content-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n"
                       b"0\r\n\r\n",
    "te-unknown-and-length": POST + b"Content-Length: 3\r\nTransfer-Encoding: x\r\n\r\nabc",
    "te-in-1.0-with-length": b"POST /%s/x HTTP/1.0\r\nHost: gateway.test\r\nContent-Length: 3\r\n"
                             b"Transfer-Encoding: chunked\r\n\r\nabc",
    "length-comma": POST + b"Content-Length: 5,\r\n\r\nhello",
    "length-comma-before": POST + b"Content-Length: ,5\r\n\r\nhello",
    "length-semicolon": POST + b"Content-Length: 5;\r\n\r\nhello",
    "length-fraction": POST + b"Content-Length: 5.0\r\n\r\nhello",
    "length-exponent": POST + b"Content-Length: 5e0\r\n\r\nhello",
    "length-nul": POST + b"Content-Length: 5\x00\r\n\r\nhello",
    "length-minus-zero": POST + b"Content-Length: -0\r\n\r\n",
    "length-high-digits": POST + b"Content-Length: \xd9\xa5\r\n\r\nhello",
    "length-underscored": POST + b"Content-Length: 0_5\r\n\r\nhello",
    "length-two-to-the-64": POST + b"Content-Length: 18446744073709551621\r\n\r\nhello",
    "length-three-fields": POST + b"Content-Length: 5\r\n" * 3 + b"\r\nhello",
    "length-in-1.0-twice": b"POST /%s/x HTTP/1.0\r\nContent-Length: 5\r\nContent-Length: 0\r\n\r\n"
                           b"hello",
    "name-empty": POST + b": 5\r\n\r\n",
    "name-blank": POST + b" : 5\r\n\r\n",
    "name-quoted": POST + b"\"X\": 5\r\n\r\n",
    "name-slash": POST + b"X/Y: 5\r\n\r\n",
    "name-high": POST + b"X\xe4: 5\r\n\r\n",
    "name-nul": POST + b"X\x00Y: 5\r\n\r\n",
    "name-cr": POST + b"X\rY: 5\r\n\r\n",
    "name-at": POST + b"X@Y: 5\r\n\r\n",
    "name-bracket": POST + b"X[0]: 5\r\n\r\n",
    "name-alone-and-long": POST + b"X" * 1000 + b"\r\n\r\n",
    "value-escape": POST + b"X: \x1b[2J\r\n\r\n",
    "value-backspace": POST + b"X: a\x08\r\n\r\n",
    "value-cr-before-crlf": POST + b"X: a\r\r\n\r\n",
    "line-lf-only": POST + b"X: a\nY: b\r\n\r\n",
    "end-lf-only": b"GET /%s/x HTTP/1.1\r\nHost: gateway.test\r\n\n",
    "end-cr-only": b"GET /%s/x HTTP/1.1\r\nHost: gateway.test\r\n\r\r\n\r\n",
    "line-tab": b"GET\t/%s/x\tHTTP/1.1\r\nHost: gateway.test\r\n\r\n",
    "line-cr": b"GET /%s/x\rHTTP/1.1\r\nHost: gateway.test\r\n\r\n",
    "line-ends-with-blank": b"GET /%s/x HTTP/1.1 \r\nHost: gateway.test\r\n\r\n",
    "line-lower-case": b"GET /%s/x http/1.1\r\nHost: gateway.test\r\n\r\n",
    "line-version-long": b"GET /%s/x HTTP/1.10\r\nHost: gateway.test\r\n\r\n",
    "line-version-zero": b"GET /%s/x HTTP/01.1\r\nHost: gateway.test\r\n\r\n",
    "line-vertical-tab": b"GET\x0b/%s/x HTTP/1.1\r\nHost: gateway.test\r\n\r\n",
    "target-nul": b"GET /%s/a\x00b HTTP/1.1\r\nHost: gateway.test\r\n\r\n",
    "target-escape-nul": b"GET /%s/a%%00b HTTP/1.1\r\nHost: gateway.test\r\n\r\n",
    "target-escape-broken": b"GET /%s/a%%zz HTTP/1.1\r\nHost: gateway.test\r\n\r\n",
    "target-escape-short": b"GET /%s/a%%2 HTTP/1.1\r\nHost: gateway.test\r\n\r\n",
    "target-utf16-escape": b"GET /%s/%%u002e%%u002e/x HTTP/1.1\r\nHost: gateway.test\r\n\r\n",
    "target-control": b"GET /%s/a\x01b HTTP/1.1\r\nHost: gateway.test\r\n\r\n",
    "target-tab": b"GET /%s/a\tb HTTP/1.1\r\nHost: gateway.test\r\n\r\n",
    "target-delete": b"GET /%s/a\x7fb HTTP/1.1\r\nHost: gateway.test\r\n\r\n",
    "target-star": b"GET * HTTP/1.1\r\nHost: gateway.test\r\n\r\n",
    "target-relative": b"GET %s/x HTTP/1.1\r\nHost: gateway.test\r\n\r\n",
    "target-authority": b"GET gateway.test:80 HTTP/1.1\r\nHost: gateway.test\r\n\r\n",
    "target-absolute-empty": b"GET http:///%s/x HTTP/1.1\r\nHost: gateway.test\r\n\r\n",
    "target-absolute-port": b"GET http://a:99999/%s/x HTTP/1.1\r\nHost: gateway.test\r\n\r\n",
    "connect": b"CONNECT gateway.test:443 HTTP/1.1\r\nHost: gateway.test:443\r\n\r\n",
    "host-nul": b"GET /%s/x HTTP/1.1\r\nHost: a\x00b\r\n\r\n",
    "host-comma": b"GET /%s/x HTTP/1.1\r\nHost: a, b\r\n\r\n",
    "host-query": b"GET /%s/x HTTP/1.1\r\nHost: a?b\r\n\r\n",
    "host-fragment": b"GET /%s/x HTTP/1.1\r\nHost: a#b\r\n\r\n",
    "host-backslash": b"GET /%s/x HTTP/1.1\r\nHost: a\\b\r\n\r\n",
    "host-escape": b"GET /%s/x HTTP/1.1\r\nHost: a%%2fb\r\n\r\n",
    "host-twice-as-list": b"GET /%s/x HTTP/1.1\r\nHost: a\r\nhost: a\r\n\r\n",
    "host-bracket": b"GET /%s/x HTTP/1.1\r\nHost: [::1\r\n\r\n",
    "host-port-letters": b"GET /%s/x HTTP/1.1\r\nHost: a:b\r\n\r\n",
    "host-port-signed": b"GET /%s/x HTTP/1.1\r\nHost: a:+80\r\n\r\n",
    "expect-unknown": POST + b"Expect: 200-ok\r\nContent-Length: 0\r\n\r\n",
}
REFUSALS = {"te-gzip": {400, 501}, "te-unknown-and-length": {400, 501}, "connect": {400, 405, 501},
            "te-two-fields-identity": {400, 501}, "te-parameter": {400, 501},
            "te-quoted": {400, 501}, "line-version-long": {400, 505},
            "line-version-zero": {400, 505}, "line-lower-case": {400, 505},
            "expect-unknown": {417}, "target-star": {400, 404}, "target-authority": {400, 404}}


@both_ways
@pytest.mark.parametrize("case", REFUSED)
def test_an_ambiguous_head_is_refused_and_ends_the_connection(postern, recorder, api, case,
                                                               piecewise):
    data = (REFUSED[case].replace(b"%s", api.encode()).replace(b"%%", b"%") +
            NEXT.replace(b"%s", api.encode()))
    before = len(recorder.requests)
    received = ask(postern, data, piecewise)
    assert len(statuses(received)) == 1, received
    assert statuses(received)[0] in REFUSALS.get(case, {400}), received
    assert len(recorder.requests) == before and not recorder.doubts


# --- bodies that are refused: the head may be on its way, the request is never whole, no 200

BROKEN_BODIES = {
    "size-empty": b"\r\nhello\r\n0\r\n\r\n",
    "size-blank-before": b" 5\r\nhello\r\n0\r\n\r\n",
    "size-signed": b"-5\r\nhello\r\n0\r\n\r\n",
    "size-plus": b"+5\r\nhello\r\n0\r\n\r\n",
    "size-hex-prefix": b"0x5\r\nhello\r\n0\r\n\r\n",
    "size-letter": b"g\r\nhello\r\n0\r\n\r\n",
    "size-tab": b"5\t\r\nhello\r\n0\r\n\r\n",
    "size-17-digits": b"10000000000000005\r\nhello\r\n0\r\n\r\n",
    "size-2-to-the-63": b"8000000000000000\r\nhello\r\n0\r\n\r\n",
    "size-all-ones": b"ffffffffffffffff\r\nhello\r\n0\r\n\r\n",
    "size-nul": b"5\x00\r\nhello\r\n0\r\n\r\n",
    "size-cr-alone": b"5\rhello\r\n0\r\n\r\n",
    "size-lf-alone": b"5\nhello\r\n0\r\n\r\n",
    "size-cr-cr-lf": b"5\r\r\nhello\r\n0\r\n\r\n",
    "size-underscore": b"0_5\r\nhello\r\n0\r\n\r\n",
    "extension-lf": b"5;a\nb\r\nhello\r\n0\r\n\r\n",
    "extension-cr": b"5;a\rb\r\nhello\r\n0\r\n\r\n",
    "extension-nul": b"5;a\x00\r\nhello\r\n0\r\n\r\n",
    "extension-quoted-lf": b"5;a=\"\n\"\r\nhello\r\n0\r\n\r\n",
    "extension-endless": b"5;" + b"a" * 20000 + b"\r\nhello\r\n0\r\n\r\n",
    "data-too-long": b"5\r\nhello!\r\n0\r\n\r\n",
    "data-too-short": b"5\r\nhell\r\n0\r\n\r\n",
    "data-lf-alone": b"5\r\nhello\n0\r\n\r\n",
    "data-cr-alone": b"5\r\nhello\r0\r\n\r\n",
    "data-no-end": b"5\r\nhello0\r\n\r\n",
    "last-lf-alone": b"5\r\nhello\r\n0\n\n",
    "last-lf-end": b"5\r\nhello\r\n0\r\n\n",
    "trailer-folded": b"5\r\nhello\r\n0\r\nA: b\r\n c\r\n\r\n",
    "trailer-blank-name": b"5\r\nhello\r\n0\r\nA : b\r\n\r\n",
    "trailer-nul": b"5\r\nhello\r\n0\r\nA: \x00\r\n\r\n",
    "trailer-cr": b"5\r\nhello\r\n0\r\nA: b\rc\r\n\r\n",
    "trailer-no-colon": b"5\r\nhello\r\n0\r\nGET / HTTP/1.1\r\n\r\n",
    "trailer-endless": b"5\r\nhello\r\n0\r\n" + b"A: b\r\n" * 20000 + b"\r\n",
}


@both_ways
@pytest.mark.parametrize("case", BROKEN_BODIES)
def test_a_broken_body_is_never_whole(postern, recorder, api, case, piecewise):
    if piecewise and len(BROKEN_BODIES[case]) > 5000:
        piecewise = False  # 20,000 segments prove nothing more
    marker = service.unique(case)
    head = CHUNKED.replace(b"/%s/x", f"/{api}/{marker}".encode())
    received = ask(postern, head + BROKEN_BODIES[case] + NEXT.replace(b"%s", api.encode()),
                   piecewise)
    assert statuses(received) in ([400], [413], [431], []), received
    assert not [r for r in recorder.of(marker) if r.is_whole]
    assert not recorder.of("smuggled") and not recorder.doubts


@pytest.mark.parametrize("data", [
    b"5\r\nhel", b"5\r\nhello", b"5\r\nhello\r\n", b"5\r\nhello\r\n0", b"5\r\nhello\r\n0\r\n"])
def test_a_chunked_body_that_ends_early_is_never_whole(postern, recorder, api, data):
    marker = service.unique("early")
    received = ask(postern, CHUNKED.replace(b"/%s/x", f"/{api}/{marker}".encode()) + data,
                   half_close=True)
    assert statuses(received) in ([400], []), received
    assert not [r for r in recorder.of(marker) if r.is_whole] and not recorder.doubts


def test_a_body_shorter_than_its_length_is_never_whole(postern, recorder, api):
    marker = service.unique("short")
    received = ask(postern, f"POST /{api}/{marker} HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n"
                            "hello".encode(), half_close=True)
    assert statuses(received) in ([400], []), received
    assert not [r for r in recorder.of(marker) if r.is_whole] and not recorder.doubts


# --- what is unusual but right, and what the backend sees of it

RIGHT = {
    "chunked-upper-case": (b"Transfer-Encoding: CHUNKED\r\n\r\n5\r\nhello\r\n0\r\n\r\n", b"hello"),
    "chunked-tab": (b"Transfer-Encoding:\tchunked\t\r\n\r\n5\r\nhello\r\n0\r\n\r\n", b"hello"),
    "chunked-empty": (b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", b""),
    "chunk-zeros": (b"Transfer-Encoding: chunked\r\n\r\n0005\r\nhello\r\n000\r\n\r\n", b"hello"),
    "chunk-hex": (b"Transfer-Encoding: chunked\r\n\r\nA\r\n0123456789\r\na\r\n0123456789\r\n0\r\n"
                  b"\r\n", b"0123456789" * 2),
    "chunk-extensions": (b"Transfer-Encoding: chunked\r\n\r\n1;a\r\nh\r\n1;a=b;c=\"d;\\\"e\"\r\ne"
                         b"\r\n3;x=\"y\"\r\nllo\r\n0;z\r\n\r\n", b"hello"),
    "chunk-of-crlf": (b"Transfer-Encoding: chunked\r\n\r\n4\r\n\r\n\r\n\r\n0\r\n\r\n",
                      b"\r\n\r\n"),
    "length-blanks": (b"Content-Length: \t 5 \t\r\n\r\nhello", b"hello"),
    "length-zeros": (b"Content-Length: 0005\r\n\r\nhello", b"hello"),
    "length-no-blank": (b"Content-Length:5\r\n\r\nhello", b"hello"),
    "body-like-a-request": (b"Content-Length: 23\r\n\r\nGET /smuggled HTTP/1.1\r",
                            b"GET /smuggled HTTP/1.1\r"),
    "body-of-nul": (b"Content-Length: 3\r\n\r\n\x00\x01\xff", b"\x00\x01\xff"),
    "latin-1-value": (b"X-Name: J\xf6rg\r\nContent-Length: 0\r\n\r\n", b""),
    "empty-value": (b"X-Name:\r\nContent-Length: 0\r\n\r\n", b""),
}


@both_ways
@pytest.mark.parametrize("case", RIGHT)
def test_what_is_right_goes_on_with_one_reading(postern, recorder, api, case, piecewise):
    fields, body = RIGHT[case]
    marker = service.unique(case)
    received = ask(postern, f"POST /{api}/{marker} HTTP/1.1\r\nHost: gateway.test\r\n".encode() +
                   fields + last("GET", f"/{api}/{marker}-after"), piecewise)
    assert statuses(received) == [200, 200], received
    first, second = recorder.of(marker)
    assert (first.body, first.is_whole) == (body, True) and second.method == "GET"
    assert first.get("host") == f"localhost:{recorder.port}" and not recorder.doubts


LED_ASTRAY = ("X-Forwarded-For", "x-forwarded-proto", "X_Forwarded_Host", "X-FORWARDED-CLIENT-CERT", "Forwarded",
              "X-Real-IP", "Via", "Client-Cert", "X-Original-URL", "X-HTTP-Method-Override",
              "Proxy-Authorization", "Sec-WebSocket-Key", "Ocp-Apim-Subscription-Key", "Origin",
              "Set-Cookie", "TE", "Expect", "Upgrade", "Content-Location", "Access-Control-Allow-Origin")


def test_trailers_do_not_say_from_whom_a_request_came_nor_where_it_goes(postern, recorder, api):
    marker = service.unique("trailers")
    fields = "".join(f"{name}: evil\r\n" for name in LED_ASTRAY).encode()
    received = ask(postern, CHUNKED.replace(b"/%s/x", f"/{api}/{marker}".encode()) + (
        b"5\r\nhello\r\n0\r\n" + fields + b"X-Sum: 1\r\n\r\n") + last("GET", f"/{api}/x"))
    assert statuses(received) == [200, 200], received
    assert [seen.trailers for seen in recorder.of(marker)] == [[("x-sum", "1")]]


def test_answers_trailers_are_as_harmless(postern):
    fields = "".join(f"{name}: evil\r\n" for name in LED_ASTRAY).encode()

    def serve(sock, _):
        raw.head_of(sock)
        sock.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n" +
                     fields + b"X-Check: 7\r\n\r\n")

    with raw.Script(serve) as backend:
        name = service.unique("trailers")
        postern.make_api(name, backend.url)
        received = ask(postern, last("GET", f"/{name}/x", "TE: trailers"))
    assert received.endswith(b"3\r\nabc\r\n0\r\nX-Check: 7\r\n\r\n"), received


def test_trailers_never_become_fields_that_frame_route_or_authorise(postern, recorder, api):
    marker = service.unique("trailers")
    received = ask(postern, CHUNKED.replace(b"/%s/x", f"/{api}/{marker}".encode()) + (
        b"5\r\nhello\r\n0\r\nContent-Length: 100\r\nTransfer-Encoding: chunked\r\nHost: evil\r\n"
        b"Connection: close\r\nAuthorization: stolen\r\nX-Sum: 1\r\n\r\n") +
        last("GET", f"/{api}/x"))
    assert statuses(received) in ([200, 200], [400]), received
    for seen in recorder.of(marker):
        names = {n for n, _ in seen.trailers}
        assert not names & {"content-length", "transfer-encoding", "host", "connection",
                            "authorization"}, seen.trailers
        assert seen.get("authorization") is None
    assert not recorder.doubts


# --- hop-by-hop

def test_hop_by_hop_fields_and_what_connection_names_end_here(postern, recorder, api):
    marker = service.unique("hop")
    received = ask(postern, last(
        "GET", f"/{api}/{marker}", "Connection: keep-alive, X-One, HTTP2-Settings",
        "Connection: x-two,,\tX-THREE",
        "X-One: 1", "X-Two: 2", "x-three: 3", "X-Four: 4", "Keep-Alive: timeout=5", "TE: gzip",
        "Proxy-Connection: keep-alive", "Proxy-Authorization: Basic eDp5", "Trailer: X-Sum",
        "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAAP__"))
    assert statuses(received) == [200], received
    (seen,) = recorder.of(marker)
    names = {n for n, _ in seen.fields}
    assert "x-four" in names
    assert not names & {"x-one", "x-two", "x-three", "keep-alive", "proxy-connection", "te",
                        "proxy-authorization", "upgrade", "http2-settings"}, names
    assert seen.get("connection") in (None, "keep-alive")


@pytest.mark.parametrize("named", ["Content-Length", "Transfer-Encoding", "Host", "Authorization",
                                   "X-Forwarded-For", "Content-Type", "Cookie"])
def test_connection_cannot_take_away_what_frames_or_proves(postern, recorder, api, named):
    """A client must not make us forget a field that the backend's decision rests on: the framing,
    the host, and the fields that we add ourselves."""
    marker = service.unique("named")
    body = (b"5\r\nhello\r\n0\r\n\r\n" if named == "Transfer-Encoding" else b"hello")
    received = ask(postern, request(
        "POST", f"/{api}/{marker}", f"Connection: {named}", "Authorization: Bearer x",
        "Transfer-Encoding: chunked" if named == "Transfer-Encoding" else "Content-Length: 5",
        body=body) + last("GET", f"/{api}/{marker}-after"))
    assert statuses(received) in ([200, 200], [400]), received
    seen = recorder.of(marker)
    if seen:
        assert seen[0].body == b"hello" and seen[0].get("host")
        assert seen[0].get("x-forwarded-for"), "ours must be there"
    assert not recorder.doubts


# --- which host

def test_the_absolute_form_wins_over_host_and_the_backend_sees_its_own(postern, recorder, api):
    marker = service.unique("absolute")
    received = ask(postern, f"GET http://one.test:81/{api}/{marker}?q=1 HTTP/1.1\r\n"
                            "Host: two.test\r\nConnection: close\r\n\r\n".encode())
    assert statuses(received) == [200], received
    (seen,) = recorder.of(marker)
    assert seen.target == f"/{marker}?q=1" and seen.get("host") == f"localhost:{recorder.port}"
    assert "two.test" not in str(seen.fields)


# --- paths

@pytest.fixture(scope="module")
def guarded(postern, recorder):
    """One API: /open/* is free, /admin/* answers 403, and another API below it at /NAME/secret that
    answers 403 to everything. Both behind one backend, at /base."""
    name = service.unique("guard")
    postern.make_api(name, recorder.url + "/base", operations=False)
    forbid = '<return-response><set-status code="403" reason="No" /></return-response>'
    for operation, template in (("open", "/open/*"), ("admin", "/admin/*"), ("any", "/*")):
        postern.put(f"/apis/{name}/operations/{operation}", {
            "displayName": operation, "method": "GET", "urlTemplate": template})
    postern.set_policy(f"/apis/{name}/operations/admin", policy(forbid))
    postern.put(f"/apis/{name}-secret", {
        "displayName": "s", "path": f"{name}/secret", "serviceUrl": recorder.url + "/base/secret",
        "protocols": ["http"], "subscriptionRequired": False})
    postern.put(f"/apis/{name}-secret/operations/any", {
        "displayName": "any", "method": "GET", "urlTemplate": "/*"})
    postern.set_policy(f"/apis/{name}-secret", policy(forbid))
    return name


def readings(target):
    """Every path that a backend of this world makes of a target: escapes of slashes decoded or not,
    backslashes taken for slashes or not, path parameters cut or not, empty segments merged or not,
    and dot segments resolved behind all of it."""
    path = target.split("?")[0]
    found = set()
    for slashes in (False, True):
        for parameters in (False, True):
            for merge in (False, True):
                text = path
                if slashes:
                    text = re.sub(r"(?i)%2f|%5c|\\", "/", text)
                text = urllib.parse.unquote(text) if slashes else re.sub(
                    r"(?i)%(?!2f|5c)([0-9a-f]{2})", lambda m: chr(int(m[1], 16)), text)
                segments = []
                for segment in text.split("/")[1:]:
                    if parameters:
                        segment = segment.split(";")[0]
                    if segment == "..":
                        segments = segments[:-1]
                    elif segment != "." and not (merge and not segment):
                        segments.append(segment)
                found.add("/" + "/".join(segments))
    return found


SPELLINGS = [
    "/open/../admin/x", "/open/./../admin/x", "/open/%2e%2e/admin/x", "/open/.%2e/admin/x",
    "/open/%2E./admin/x", "/open/..%2fadmin/x", "/open/..%2Fadmin%2Fx", "/open/%2e%2e%2fadmin/x",
    "/open/..%5cadmin/x", "/open/..%5Cadmin%5cx", "/open/..\\admin\\x", "/open\\..\\admin\\x",
    "/open/%2e%2e%5cadmin/x", "/open%2f..%2fadmin%2fx", "/open%2f..%2f..%2f..%2fetc",
    "/open/x/..%2f..%2fadmin/x", "/open/..;/admin/x", "/open/..;a=b/admin/x",
    "/open/%2e%2e;/admin/x", "/open/.;/../admin/x", "/open/..%3b/admin/x", "//admin/x",
    "///admin/x", "/./admin/x", "/.//admin/x", "/open/..//admin/x", "/open/%2e%2e//admin/x",
    "/ADMIN/x", "/%61dmin/x", "/%41dmin/x", "/adm%69n/x", "/admin/../admin/x", "/admin%2fx",
    "/admin%2Fx", "/admin%5cx", "/admin\\x", "//secret/x", "/secret/x", "/open/../secret/x",
    "/open/..%2fsecret/x", "/SECRET/x", "/%73ecret/x", "/secret%2fx", "/secret\\x",
    "/open/..%2f..%2fother", "/../other", "/..%2fother", "/%2e%2e/other", "/..\\other",
    "/..%5c..%5cother", "/open/../../other", "/open/../../../other", "/open/..;/..;/other",
    "/.../admin/x", "/open/...//../../admin/x", "/open/%252e%252e/admin/x",
    "/open/%252e%252e%252fadmin/x", "/open/%25%32%65/admin", "/admin;x/y", "/admin;/x",
    "/open/%2e%2e%2e/x", "/open/x%2fy", "/open//x", "/open/a;b/c",
]


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_no_spelling_of_a_path_leaves_the_api_or_goes_around_a_policy(postern, recorder, guarded,
                                                                      spelling):
    before = len(recorder.requests)
    received = ask(postern, last("GET", f"/{guarded}{spelling}"))
    status = statuses(received)
    seen = recorder.requests[before:]
    assert len(status) == 1 and status[0] in (200, 400, 403, 404), received
    assert (status[0] == 200) == bool(seen), (received, [r.target for r in seen])
    for one in seen:
        for path in readings(one.target):
            lower = path.lower()
            assert lower == "/base" or lower.startswith("/base/"), f"{one.target} may be {path}"
            assert not re.match(r"/base/(admin|secret)(/|$)", lower), f"{one.target} may be {path}"
    assert not recorder.doubts


@pytest.mark.parametrize("spelling, expect", [
    ("/open/x%2fy", "/base/open/x%2Fy"), ("/open/a%20b", "/base/open/a%20b"),
    ("/open/%7euser", "/base/open/~user"), ("/open/a;b=c/d", "/base/open/a;b=c/d"),
    ("/open/x?..%2f..%2f", "/base/open/x?..%2f..%2f"), ("/open/100%25", "/base/open/100%25"),
    ("/open/a+b", "/base/open/a+b"), ("/open/%C3%A4", "/base/open/%C3%A4"),
    ("/open/a:b@c!$&'()*,=", "/base/open/a:b@c!$&'()*,="), ("/open/.hidden", "/base/open/.hidden"),
    ("/open/a..b/c.", "/base/open/a..b/c."), ("/open/?a=b", "/base/open/?a=b")])
def test_paths_of_honest_clients_arrive_as_they_are(postern, recorder, guarded, spelling, expect):
    before = len(recorder.requests)
    assert statuses(ask(postern, last("GET", f"/{guarded}{spelling}"))) == [200]
    assert [r.target for r in recorder.requests[before:]] == [expect]


# --- pipelining

@both_ways
def test_pipelined_requests_keep_their_bodies_and_their_order(postern, recorder, api, piecewise):
    marker = service.unique("pipe")
    data = b"".join(
        request("POST", f"/{api}/{marker}/{i}", "Transfer-Encoding: chunked",
                body=b"%x\r\n%s\r\n0\r\n\r\n" % (i + 1, b"a" * (i + 1))) if i % 2 else
        request("POST", f"/{api}/{marker}/{i}", f"Content-Length: {i}", body=b"a" * i) +
        b"\r\n" * (i % 4 == 0)
        for i in range(8))
    assert statuses(ask(postern, data + last("GET", f"/{api}/x"), piecewise)) == [200] * 9
    assert [(r.target, len(r.body)) for r in recorder.of(marker)] == [
        (f"/{marker}/{i}", i + i % 2) for i in range(8)]
    assert not recorder.doubts


def test_a_bad_request_in_a_pipeline_ends_it_behind_the_answers_before(postern, recorder, api):
    marker = service.unique("pipe")
    received = ask(postern, request("GET", f"/{api}/{marker}/0") + request(
        "POST", f"/{api}/{marker}/1", "Content-Length: 5", "Content-Length: 6", body=b"hello!") +
        request("GET", f"/{api}/{marker}/2"))
    assert statuses(received) == [200, 400], received
    assert [r.target for r in recorder.of(marker)] == [f"/{marker}/0"]


# --- answers of backends: what the client gets, and what the next request on the same connection gets

def chunked(*pieces, trailers=b""):
    return b"".join(b"%x\r\n%s\r\n" % (len(p), p) for p in pieces) + b"0\r\n" + trailers + b"\r\n"


HEAD200 = b"HTTP/1.1 200 OK\r\n"
# bytes -> the body a client must get, or None: an error or a cut answer, never a whole one
ANSWERS = {
    "length-and-chunked": (HEAD200 + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n" +
                           chunked(b"ok"), None),
    "two-lengths": (HEAD200 + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\nok!", None),
    "two-equal-lengths": (HEAD200 + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\nok", None),
    "length-list": (HEAD200 + b"Content-Length: 2, 2\r\n\r\nok", None),
    "length-signed": (HEAD200 + b"Content-Length: +2\r\n\r\nok", None),
    "length-letters": (HEAD200 + b"Content-Length: two\r\n\r\nok", None),
    "length-huge": (HEAD200 + b"Content-Length: 99999999999999999999\r\n\r\nok", None),
    "chunked-twice": (HEAD200 + b"Transfer-Encoding: chunked, chunked\r\n\r\n" + chunked(b"ok"),
                      None),
    "chunked-two-fields": (HEAD200 + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked"
                           b"\r\n\r\n" + chunked(b"ok"), None),
    "chunked-not-last": (HEAD200 + b"Transfer-Encoding: chunked, gzip\r\n\r\n" + chunked(b"ok"),
                         None),
    "chunked-in-1.0": (b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(b"ok"),
                       None),
    "chunk-size": (HEAD200 + b"Transfer-Encoding: chunked\r\n\r\n0x2\r\nok\r\n0\r\n\r\n", None),
    "chunk-end": (HEAD200 + b"Transfer-Encoding: chunked\r\n\r\n2\r\nokXX0\r\n\r\n", None),
    "chunk-missing": (HEAD200 + b"Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n", None),
    "folded": (HEAD200 + b"A: b\r\n c\r\nContent-Length: 2\r\n\r\nok", None),
    "cr-in-value": (HEAD200 + b"A: b\rSet-Cookie: x\r\nContent-Length: 2\r\n\r\nok", None),
    "lf-in-value": (HEAD200 + b"A: b\nSet-Cookie: x\r\nContent-Length: 2\r\n\r\nok", None),
    "nul-in-value": (HEAD200 + b"A: b\x00\r\nContent-Length: 2\r\n\r\nok", None),
    "blank-before-colon": (HEAD200 + b"Content-Length : 2\r\n\r\nok", None),
    "bad-name": (HEAD200 + b"A B: c\r\nContent-Length: 2\r\n\r\nok", None),
    "no-colon": (HEAD200 + b"nonsense\r\nContent-Length: 2\r\n\r\nok", None),
    "bare-lf": (b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok", None),
    "status-two-digits": (b"HTTP/1.1 20 OK\r\nContent-Length: 2\r\n\r\nok", None),
    "status-four-digits": (b"HTTP/1.1 2000 OK\r\nContent-Length: 2\r\n\r\nok", None),
    "status-000": (b"HTTP/1.1 000 OK\r\nContent-Length: 2\r\n\r\nok", None),
    "status-600": (b"HTTP/1.1 600 OK\r\nContent-Length: 2\r\n\r\nok", None),
    "status-letters": (b"HTTP/1.1 2xx OK\r\nContent-Length: 2\r\n\r\nok", None),
    "version-2": (b"HTTP/2.0 200 OK\r\nContent-Length: 2\r\n\r\nok", None),
    "version-1.9": (b"HTTP/1.9 200 OK\r\nContent-Length: 2\r\n\r\nok", None),
    "reason-control": (b"HTTP/1.1 200 O\x00K\r\nContent-Length: 2\r\n\r\nok", None),
    "not-http": (b"SSH-2.0-OpenSSH_9.2\r\n", None),
    "nothing": (b"", None),
    "half-a-head": (HEAD200 + b"Content-Le", None),
    "short": (HEAD200 + b"Content-Length: 10\r\n\r\nok", None),
    "switching-unasked": (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n"
                          b"Connection: upgrade\r\n\r\n", None),
    "head-of-200-kB": (HEAD200 + b"A: " + b"b" * 200000 + b"\r\nContent-Length: 2\r\n\r\nok", None),
    "2000-fields": (HEAD200 + b"A: b\r\n" * 2000 + b"Content-Length: 2\r\n\r\nok", None),
    "interim-flood": (b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" * 5000 + raw.OK, None),
    "interim-huge": (b"HTTP/1.1 103 Early Hints\r\nLink: " + b"x" * 200000 + b"\r\n\r\n" + raw.OK,
                     None),
    "interim-alone": (b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n", None),
    "ok": (raw.OK, b"ok"),
    "no-reason": (b"HTTP/1.1 200 \r\nContent-Length: 2\r\n\r\nok", b"ok"),
    "chunked": (HEAD200 + b"Transfer-Encoding: chunked\r\n\r\n" + chunked(b"o", b"k"), b"ok"),
    "chunked-upper-case": (HEAD200 + b"Transfer-Encoding: Chunked\r\n\r\n" + chunked(b"ok"), b"ok"),
    "chunk-extension": (HEAD200 + b"Transfer-Encoding: chunked\r\n\r\n2;a=\"b\"\r\nok\r\n0\r\n\r\n",
                        b"ok"),
    "to-the-end": (HEAD200 + b"\r\nok", b"ok"),
    "http-1.0": (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", b"ok"),
    "interim-then-ok": (b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" * 3 + raw.OK, b"ok"),
    "continue-unasked": (b"HTTP/1.1 100 Continue\r\n\r\n" + raw.OK, b"ok"),
    "trailers": (HEAD200 + b"Transfer-Encoding: chunked\r\n\r\n" +
                 chunked(b"ok", trailers=b"X-Sum: 1\r\n"), b"ok"),
}


@both_ways
@pytest.mark.parametrize("case", ANSWERS)
def test_an_answer_is_passed_on_whole_or_not_at_all(postern, case, piecewise):
    data, body = ANSWERS[case]
    if piecewise and len(data) > 5000:
        piecewise = False

    def serve(sock, _):
        request_of(sock)
        send(sock, data, piecewise)

    with Script(serve) as backend:
        name = service.unique("answer")
        postern.make_api(name, backend.url)
        received = ask(postern, request("GET", f"/{name}/x", "Connection: close"))
        final = re.sub(rb"HTTP/1\.1 1\d\d .*?\r\n\r\n", b"", received, flags=re.S)
        head, _, rest = final.partition(b"\r\n\r\n")
        if body is not None:
            assert statuses(head) == [200], received[:2000]
            if b"chunked" in head:
                assert b"".join(re.findall(rb"\r\n([a-z]+)", b"\r\n" + rest)) == body, received
            else:
                assert rest == body
            return
        assert statuses(head) in ([], [500], [502]) or is_cut(head, rest), received[:2000]
        assert b"Set-Cookie" not in received
        assert len(statuses(final)) <= 1


def is_cut(head, rest):
    length = re.search(rb"(?i)content-length: (\d+)", head)
    if length:
        return len(rest) < int(length[1])
    return b"chunked" in head.lower() and not rest.endswith(b"0\r\n\r\n")


POISON = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison"


@pytest.mark.parametrize("pause_ms", [0, 50], ids=["at-once", "later"])
@pytest.mark.parametrize("first", [
    raw.OK, HEAD200 + b"Transfer-Encoding: chunked\r\n\r\n" + chunked(b"ok"),
    b"HTTP/1.1 204 No Content\r\n\r\n", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\n\r\n"],
    ids=["length", "chunked", "204", "304"])
def test_bytes_behind_an_answer_never_become_the_next_answer(postern, first, pause_ms):
    """Response-queue poisoning: a second, unasked answer on a connection that would be reused."""
    def serve(sock, number):
        request_of(sock)
        send(sock, first + (POISON if number == 0 and not pause_ms else b""))
        if number == 0 and pause_ms:
            time.sleep(pause_ms / 1000)
            send(sock, POISON)
        while request_of(sock)[0]:
            send(sock, first)

    with Script(serve) as backend, connect(postern) as sock:
        name = service.unique("poison")
        postern.make_api(name, backend.url)
        for i in range(4):
            sock.sendall(request("GET", f"/{name}/{i}"))
            time.sleep((2 * pause_ms + 20) / 1000)
            answer = sock.recv(65536)
            assert b"poison" not in answer and statuses(answer) == statuses(first), answer
        assert backend.connections == 2, "the poisoned connection carries no second request"


@pytest.mark.parametrize("status, fields", [
    (204, b""), (304, b"Content-Length: 5\r\n"), (304, b""), (205, b"Content-Length: 0\r\n")])
def test_answers_without_a_body_leave_the_connection_in_step(postern, status, fields):
    def serve(sock, _):
        while request_of(sock)[0]:
            send(sock, b"HTTP/1.1 %d X\r\n" % status + fields + b"\r\n")

    with Script(serve) as backend:
        name = service.unique("bodyless")
        postern.make_api(name, backend.url)
        received = ask(postern, request("GET", f"/{name}/1") * 2 + last("GET", f"/{name}/2"))
        assert statuses(received) == [status] * 3, received
        assert backend.connections == 1


def test_a_head_request_has_no_body_even_if_the_backend_sends_one(postern):
    """RFC 9110 §9.3.2: the bytes behind it are no answer; the connection is not used again."""
    def serve(sock, _):
        while request_of(sock)[0]:
            send(sock, raw.OK)

    with Script(serve) as backend:
        name = service.unique("head")
        postern.make_api(name, backend.url)
        received = ask(postern, request("HEAD", f"/{name}/1") + last("GET", f"/{name}/2"))
        assert statuses(received) == [200, 200], received
        assert received.endswith(b"ok") and received.count(b"\r\nok") == 1


def test_a_chunked_answer_reaches_a_client_of_http_1_0_plain(postern):
    def serve(sock, _):
        while request_of(sock)[0]:
            send(sock, HEAD200 + b"Transfer-Encoding: chunked\r\n\r\n" +
                 chunked(b"a" * 10, b"b" * 10, trailers=b"X-Sum: 1\r\n"))

    with Script(serve) as backend:
        name = service.unique("old")
        postern.make_api(name, backend.url)
        with connect(postern) as sock:
            sock.sendall(f"GET /{name}/x HTTP/1.0\r\nConnection: keep-alive\r\n\r\n".encode())
            received = receive(sock, 5)
        head, _, body = received.partition(b"\r\n\r\n")
        assert body == b"a" * 10 + b"b" * 10, received
        assert b"transfer-encoding" not in head.lower() and b"trailer" not in head.lower()


def test_interim_answers_are_not_sent_to_a_client_of_http_1_0(postern):
    def serve(sock, _):
        request_of(sock)
        send(sock, b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + raw.OK)

    with Script(serve) as backend:
        name = service.unique("old")
        postern.make_api(name, backend.url)
        with connect(postern) as sock:
            sock.sendall(f"GET /{name}/x HTTP/1.0\r\n\r\n".encode())
            assert statuses(receive(sock, 5)) == [200]


def test_hop_by_hop_fields_of_an_answer_end_here(postern):
    def serve(sock, _):
        request_of(sock)
        send(sock, HEAD200 + b"Connection: keep-alive, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=9\r\n"
             b"Proxy-Authenticate: Basic\r\nProxy-Connection: close\r\nUpgrade: h2c\r\nX-End: 2\r\n"
             b"Content-Length: 2\r\n\r\nok")

    with Script(serve) as backend:
        name = service.unique("hop")
        postern.make_api(name, backend.url)
        received = ask(postern, last("GET", f"/{name}/x")).lower()
        assert b"\r\nx-end: 2\r\n" in received
        for field in (b"x-hop", b"keep-alive", b"proxy-", b"upgrade:"):
            assert field not in received, received


@pytest.mark.parametrize("path", [
    "/from/a%0d%0aX-Evil:%201?q=y", "/from/a%0aX-Evil:%201?q=y", "/from/a%3fadmin%3d1?q=y",
    "/from/a%23b?q=y", "/from/x?q=a%0d%0aX-Evil:%201", "/from/x?q=..", "/from/x?q=../..",
    "/from/x?q=..%2f..%2fadmin", "/from/x?q=..;a", "/from/x?q=a%3fb%23c", "/from/x?q=%2e%2e",
    "/from/x?q=..%5cadmin", "/from/x?q=a%00b", "/from/%c0%ae%c0%ae?q=y"])
def test_what_a_client_sends_cannot_reshape_the_url_of_a_policy(postern, recorder, path):
    """Values of the path and of the query, put into the backend's path and query by a policy."""
    name = service.unique("reshape")
    postern.make_api(name, recorder.url + "/base", operations=False)
    postern.put(f"/apis/{name}/operations/from", {
        "displayName": "from", "method": "GET", "urlTemplate": "/from/{id}?q={q}",
        "templateParameters": [{"name": n, "type": "string", "required": True}
                               for n in ("id", "q")]})
    postern.set_policy(f"/apis/{name}/operations/from", policy(
        '<rewrite-uri template="/to/{id}/at/{q}/end?v={q}" />'))
    before = len(recorder.requests)
    received = ask(postern, last("GET", f"/{name}{path}"))
    assert len(statuses(received)) == 1, received
    for seen in recorder.requests[before:]:
        where, _, query = seen.target.partition("?")
        assert re.fullmatch("/base/to/[^/]+/at/[^/]*/end", where), seen.target
        assert query.startswith("v=") and "&" not in query and "#" not in seen.target
        for reading in readings(seen.target):
            assert reading.startswith("/base/to/") and reading.endswith("/end"), seen.target
        assert seen.get("x-evil") is None
    assert not recorder.doubts


def test_the_gateway_is_in_step_after_all_of_this(postern, api):
    answer = postern.call(f"/{api}/after")
    assert (answer.status, answer.text) == (200, "ok")
    assert postern.metric("postern_identity_mismatch_total") == 0
