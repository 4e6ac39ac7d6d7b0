# SPDX-License-Identifier: Apache-2.0
"""Limits of the client side: what is refused, with which answer, and what goes on after it."""
import re

import pytest
from lab import backends, h2peer, h2server, raw, service
from lab.h2frames import END_HEADERS, END_STREAM, HEADERS, block, frame
from lab.service import policy

KB = 1 << 10


@pytest.fixture(scope="module")
def limited(tmp_path_factory, trust):
    instance = service.Postern(tmp_path_factory.mktemp("limits"), environment=trust, options=[
        "--limit", "request-body-bytes=100KiB", "--limit", "request-skip-bytes=50KiB",
        "--limit", "target-bytes=1KiB", "--limit", "header-count=20",
        "--limit", "client-body-timeout=500ms", "--limit", "client-header-timeout=500ms"])
    instance.start()
    yield instance
    instance.stop()


@pytest.fixture(scope="module")
def api(limited):
    backend = backends.Python()
    limited.make_api("e", backend.url)
    limited.make_api("locked", backend.url, subscription_required=True)
    yield "e"
    backend.stop()


def hits(postern, limit):
    text = postern.session(postern.control).get("/metrics").text
    found = re.search(r'postern_limit_hits_total\{limit="%s"\} (\d+)' % limit, text)
    return int(found[1]) if found else 0


def chunks(size, piece=4096):
    body = b"".join(b"%x\r\n%s\r\n" % (piece, b"x" * piece) for _ in range(size // piece))
    return body + b"0\r\n\r\n"


def answer_to(postern, data):
    with raw.connect(postern) as sock:
        raw.send(sock, data)
        return raw.receive(sock, 5)


def test_a_body_at_the_limit_passes(limited, api):
    assert limited.call(f"/{api}/x", "POST", b"x" * 100 * KB).status == 200
    with h2peer.Peer(limited.gateway) as peer:
        number = peer.request("POST", f"/{api}/x", end=False)
        peer.data(number, b"x" * 100 * KB, end=True)
        assert peer.answer(number).status == 200


def test_a_larger_body_is_413(limited, api):
    before = hits(limited, "request-body-bytes")
    size = 100 * KB + 1
    received = answer_to(limited, raw.request("POST", f"/{api}/x", f"Content-Length: {size}"))
    assert b" 413 " in received and b"request-body-bytes" in received
    received = answer_to(limited, raw.request("POST", f"/{api}/x", "Transfer-Encoding: chunked")
                         + chunks(104 * KB))
    assert b" 413 " in received and b"Connection: close" in received
    with h2peer.Peer(limited.gateway) as peer:
        number = peer.request("POST", f"/{api}/x", [("content-length", str(size))], end=False)
        assert peer.answer(number).status == 413
        number = peer.request("POST", f"/{api}/x", end=False)
        peer.data(number, b"x" * size)
        assert peer.answer(number).status == 413
        assert peer.call("GET", f"/{api}/x").status == 200
    assert hits(limited, "request-body-bytes") == before + 4


def test_a_small_chunked_body_is_counted_too(limited, api):
    """Also when it came whole with its head, in one piece."""
    data = raw.request("POST", f"/{api}/x", "Transfer-Encoding: chunked", "Connection: close")
    assert b" 200 " in answer_to(limited, data + chunks(40 * KB))


def test_targets_and_fields(limited, api):
    assert b" 414 " in answer_to(limited, raw.request("GET", f"/{api}/" + "x" * KB))
    assert b" 431 " in answer_to(limited, raw.request(
        "GET", f"/{api}/x", *[f"X-{i}: 1" for i in range(21)]))
    assert hits(limited, "target-bytes") >= 1 and hits(limited, "header-count") >= 1


def test_what_an_answer_did_not_wait_for_is_read_over(limited, api):
    """An answer of our own to a request whose body is still to come: the next request is served."""
    with raw.connect(limited) as sock:
        sock.sendall(raw.request("POST", "/locked/x", "Content-Length: 40000"))
        head, _ = raw.request_of(sock)
        assert b" 401 " in head and b"Connection: close" not in head
        sock.sendall(b"x" * 40000 + raw.request("GET", f"/{api}/x"))
        assert b" 200 " in raw.request_of(sock)[0]


@pytest.mark.parametrize("fields", [["Content-Length: 60000"], ["Transfer-Encoding: chunked"],
                                    ["Content-Length: 10", "Expect: 100-continue"]])
def test_an_answer_says_when_the_connection_ends_with_it(limited, fields, api):
    with raw.connect(limited) as sock:
        sock.sendall(raw.request("POST", "/locked/x", *fields))
        head, _ = raw.request_of(sock)
        assert b" 401 " in head and b"Connection: close" in head
        assert raw.receive(sock, 5) == b""


def test_a_client_that_does_not_send_the_rest_is_ended(limited, api):
    before = hits(limited, "client-body-timeout")
    with raw.connect(limited) as sock:
        sock.sendall(raw.request("POST", "/locked/x", "Content-Length: 40000"))
        assert b" 401 " in raw.request_of(sock)[0]
        assert raw.receive(sock, 5) == b""
    assert hits(limited, "client-body-timeout") == before + 1


@pytest.mark.parametrize("kind, status", [("application/grpc+proto", 200), ("text/plain", 408)])
def test_a_call_of_grpc_may_be_silent_before_its_server_speaks(limited, kind, status):
    """A stream of messages, of which the first comes late; a body that stops is another thing."""
    streams = []

    def serve(sock, stream, _):
        streams.append((sock, stream))

    with h2server.Answers(serve) as backend:
        name = service.unique("silent")
        limited.make_api(name, backend.url, policy("", '<forward-request http-version="2" />'))
        with h2peer.Peer(limited.gateway) as peer:
            number = peer.request("POST", f"/{name}/x", [("content-type", kind), ("te", "trailers")], end=False)
            stream = peer.streams[number]
            assert bool(peer.until(lambda: stream.head, 1.5)) == (status == 408)
            if status == 200:
                sock, there = streams[0]
                sock.sendall(frame(HEADERS, END_HEADERS, there, block((":status", "200"))))
                peer.data(number, b"late", end=True)
                sock.sendall(frame(HEADERS, END_HEADERS | END_STREAM, there, block(("grpc-status", "0"))))
                assert peer.answer(number).trailers == {"grpc-status": "0"}
            assert stream.status == status


def test_slow_heads_are_408(limited):
    before = hits(limited, "client-header-timeout")
    assert b" 408 " in answer_to(limited, b"GET / HTTP/1.1\r\nHost:")
    assert hits(limited, "client-header-timeout") == before + 1
