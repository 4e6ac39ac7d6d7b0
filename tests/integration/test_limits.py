# SPDX-License-Identifier: Apache-2.0
"""Every limit of the gateway has a case, from outside: here, or in another file of these tests. One
that is in neither list fails."""
import os
import pathlib
import signal
import socket
import struct
import subprocess
import time
import urllib.parse

import pytest
from lab import h2frames, h2server, raw, service
from lab.raw import Script, connect, receive, request, request_of, send

HERE = pathlib.Path(__file__).resolve().parent
SMALL = {"header-bytes": "4096", "header-count": "20", "target-bytes": "1000",
         "trailer-bytes": "200", "trailer-count": "3", "chunk-extension-bytes": "100",
         "client-tls-timeout": "400ms", "client-idle-timeout": "400ms",
         "client-header-timeout": "400ms", "client-body-timeout": "400ms",
         "backend-informational": "4", "client-requests": "5", "request-body-bytes": "5000",
         "client-write-timeout": "600ms", "signature-timeout": "250ms",
         "h2-hpack-table-bytes": "0",
         "backend-body-timeout": "400ms"}
CHUNKED = ("Transfer-Encoding: chunked",)

# limit -> (what a client sends to /NAME, the status that comes, or None where only the end does)
HEADS = {
    "header-bytes": (lambda n: request("GET", f"/{n}/x", "A: " + "b" * 5000), 431),
    "header-count": (lambda n: request("GET", f"/{n}/x", *["A: b"] * 30), 431),
    "target-bytes": (lambda n: request("GET", f"/{n}/" + "x" * 1500), 414),
    "trailer-bytes": (lambda n: request("POST", f"/{n}/x", *CHUNKED, body=b"0\r\nA: " + b"b" * 300 +
                                        b"\r\n\r\n"), 431),
    "trailer-count": (lambda n: request("POST", f"/{n}/x", *CHUNKED, body=b"0\r\n" +
                                        b"A: b\r\n" * 5 + b"\r\n"), 431),
    "chunk-extension-bytes": (lambda n: request("POST", f"/{n}/x", *CHUNKED, body=b"1;" +
                                                b"a" * 200 + b"\r\nx\r\n0\r\n\r\n"), 413),
    "request-body-bytes": (lambda n: request("POST", f"/{n}/x", "Content-Length: 6000"), 413),
    "client-header-timeout": (lambda n: b"GET / HTTP/1.1\r\nHo", 408),
    "client-body-timeout": (lambda n: request("POST", f"/{n}/x", "Content-Length: 10", body=b"x"),
                            408),
    "backend-informational": (lambda n: request("GET", f"/{n}/hints"), 500),
    "backend-body-timeout": (lambda n: request("GET", f"/{n}/stuck"), 200),
}

# Hit by the tests of these files, which name them.
ELSEWHERE = {
    "client-idle-timeout": "test_limits.py",
    "client-connections": "test_listeners.py", "client-connections-per-address": "test_listeners.py",
    "proxy-header-bytes": "test_proxy_protocol.py", "proxy-header-timeout": "test_proxy_protocol.py",
    "tunnel-idle-timeout": "test_websocket.py", "request-skip-bytes": "test_limit_counters.py",
    "client-half-closed-timeout": "test_aborts.py", "h2-streams": "test_limit_counters.py",
    "client-linger-timeout": "test_limit_counters.py", "open-requests": "test_limit_counters.py",
    "h2-stall-timeout": "test_http2.py", "h2-connection-window": "test_h2_stalled_streams.py", "h2-resets": "test_h2_conformance.py",
    "h2-pings": "test_h2_conformance.py", "h2-settings": "test_h2_conformance.py",
    "h2-priorities": "test_h2_conformance.py", "h2-empty-data": "test_h2_conformance.py",
    "h2-window-updates": "test_h2_conformance.py", "backend-connections": "test_backend_limits.py",
    "backend-host-connections": "test_backend_limits.py", "backend-queue": "test_backend_limits.py",
    "expression-steps": "test_expressions.py", "expression-bytes": "test_expressions.py",
    "expression-regex-steps": "test_expressions.py",
    "backend-idle-connections": "test_limit_counters.py", "last-failures": "test_last_failure.py",
    "backend-connect-timeout": "test_limit_counters.py",
    "backend-response-timeout": "test_backend_limits.py",
    "backend-ping-timeout": "test_backend_limits.py", "backend-idle-timeout": "test_limit_counters.py",
    "backend-drain-timeout": "test_backend_limits.py", "drain-delay": "test_drain.py",
    "busy-rest": "test_rest.py", "tls-key-records": "test_tls_records.py", "tls-empty-records": "test_tls_records.py",
    "drain-idle": "test_drain.py", "drain-timeout": "test_drain.py",
    "hand-over-timeout": "test_upgrade.py",
    **dict.fromkeys(("request-replay-bytes", "request-buffer-bytes", "redirects"), "test_resend.py"),
    **dict.fromkeys((
        "call-memory", "h2-backend-streams", "h2-stream-window",
        "h2-backend-connection-window", "h2-head-bytes", "h2-continuations", "h2-queued-frames",
        "tls-ticket-lifetime", "tls-ticket-rotation", "tls-verified-lifetime", "tls-client-chain-bytes", "tls-verified-chains", "tls-sessions",
        "tls-sessions-per-identity", "backend-age", "proxy-answer-bytes",
        "backend-continue-timeout", "backend-ping-interval", "overload-lag"),
        "test_limits_narrow.py"),
}

@pytest.fixture(scope="module")
def small(tmp_path_factory, trust):
    options = [o for name, value in SMALL.items() for o in ("--limit", f"{name}={value}")]
    postern = service.Postern(tmp_path_factory.mktemp("limits"), options, trust)
    postern.start()
    yield postern
    postern.stop()


@pytest.fixture(scope="module")
def api(small):
    def serve(sock, _):
        while True:
            head, _ = request_of(sock)
            if not head:
                return
            if b"/hints" in head:
                send(sock, b"HTTP/1.1 103 Early Hints\r\n\r\n" * 10)
            if b"/stuck" in head:
                send(sock, b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nx")
                sock.recv(1)
                return
            if b"/flood" in head:
                send(sock, b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n" + b"x" * 50000000)
                return
            send(sock, raw.OK)

    with Script(serve) as backend:
        name = service.unique("limits")
        small.make_api(name, backend.url)
        yield name


def hits(postern, name):
    for line in postern.session(postern.control).get("/metrics").text.splitlines():
        if line.startswith(f'postern_limit_hits_total{{limit="{name}"}}'):
            return int(float(line.rsplit(" ", 1)[1]))
    return 0


@pytest.mark.parametrize("name", HEADS)
def test_a_limit_answers_ends_and_counts(small, api, name):
    make, status = HEADS[name]
    before = hits(small, name)
    with connect(small) as sock:
        send(sock, make(api))
        received = receive(sock, 6).rpartition(b"103 Early Hints\r\n\r\n")[2]
    if status is None:
        assert received == b""
    else:
        assert received.split(b"\r\n")[0].startswith(b"HTTP/1.1 %d" % status), received[:300]
        if 400 <= status < 500:
            assert f"limit {name}".encode() in received, "the answer says which limit it is"
    assert hits(small, name) > before
    assert small.call(f"/{api}/after").status == 200


def test_each_head_that_is_too_large_counts_for_its_own_limit(small):
    """Of backends too, over both versions; and a method too long is nobody's limit of the table."""
    names = ("header-bytes", "header-count", "target-bytes")
    many = [(f"x-{i}", "y") for i in range(30)]
    long = [("x", "y" * 5000)]

    def serve(sock, _):
        head, _ = request_of(sock)
        fields = many if b"/many" in head else long
        send(sock, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n" + b"".join(
            b"%s: %s\r\n" % (n.encode(), v.encode()) for n, v in fields) + b"\r\n")

    def head_of_http2(path):
        fields = b"\x20" + h2frames.block((":status", "200"), *(many if path == "many" else long))
        return lambda stream: h2frames.frame(
            h2frames.HEADERS, h2frames.END_HEADERS | h2frames.END_STREAM, stream, fields)

    for is_http2 in (False, True):
        for path, expected in (("many", "header-count"), ("long", "header-bytes")):
            with h2server.Server(head_of_http2(path)) if is_http2 else Script(serve) as backend:
                name = service.unique("heads")
                small.make_api(name, backend.url, service.policy(
                    "", '<forward-request http-version="2" />') if is_http2 else None)
                before = {n: hits(small, n) for n in names}
                assert small.call(f"/{name}/{path}").status == 500
            assert {n: hits(small, n) - before[n] for n in names} == {n: int(n == expected) for n in names}
    before = {n: hits(small, n) for n in names}
    with connect(small) as sock:
        send(sock, b"G" * 33 + b" / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert receive(sock, 6).startswith(b"HTTP/1.1 501")
    assert before == {n: hits(small, n) for n in names}


def test_a_tls_client_that_says_nothing_is_ended_and_counted(small):
    before = hits(small, "client-tls-timeout")
    port = urllib.parse.urlsplit(small.gateway_tls).port
    with socket.create_connection(("localhost", port), 10) as sock:
        sock.sendall(b"\x16\x03\x01")
        assert receive(sock, 6) == b""
    assert hits(small, "client-tls-timeout") > before


def test_a_silent_client_is_ended_by_the_limit_of_where_it_is(small):
    """client-header-timeout before its first request, client-idle-timeout behind one."""
    names = ("client-header-timeout", "client-idle-timeout")
    head = request("GET", "/healthz")
    small.close_sessions()
    for data, expected in ((b"", "client-header-timeout"), (head, "client-idle-timeout")):
        service.wait_for("silence", lambda: small.metric("postern_client_connections") == 0)
        before = {name: hits(small, name) for name in names}
        with connect(small) as sock:
            send(sock, data)
            answer = receive(sock, 6)
        assert answer.startswith(b"HTTP/1.1 200") == bool(data)
        assert {n: hits(small, n) - before[n] for n in names} == {
            n: int(n == expected) for n in names}


def test_a_client_that_does_not_read_is_ended_and_counted(small, api):
    before = hits(small, "client-write-timeout")
    with connect(small) as sock:
        send(sock, request("GET", f"/{api}/flood"))
        time.sleep(0.1)
        service.wait_for("the count", lambda: hits(small, "client-write-timeout") > before, 10)


def test_a_keyholder_that_does_not_answer_fails_closed_and_is_counted(small, ca, nginx):
    name = service.unique("signs")
    small.upload(name, ca.client(name))
    small.make_api(name, nginx.url("good"), service.with_certificate(name))
    before = hits(small, "signature-timeout")
    keyholder = small.pid("keyholder")
    os.kill(keyholder, signal.SIGSTOP)
    try:
        answer = small.call(f"/{name}/x")
    finally:
        os.kill(keyholder, signal.SIGCONT)
    assert answer.status == 500, answer
    assert hits(small, "signature-timeout") == before + 1
    assert "code=keyholder_unavailable" in small.log()
    assert small.call(f"/{name}/x").status == 200, "it answers again"


def test_hpack_tables_are_as_large_as_configured(small, api):
    """None here: SETTINGS say so, a client that uses one all the same is ended, and our answers
    use none though the client offers 64 KiB."""
    ack = h2frames.frame(h2frames.SETTINGS, h2frames.ACK)

    def get(c, stream, update=b""):
        c.send(h2frames.frame(h2frames.HEADERS, h2frames.END_HEADERS | h2frames.END_STREAM, stream,
                              update + h2frames.block(*c.head(path=f"/{api}/x"))))
        c.expect_answer(stream, 200)
        return c.find(h2frames.HEADERS, stream).payload

    with h2frames.Connection(small.gateway, greets=False) as c:
        c.send(h2frames.PREFACE + h2frames.settings((1, 65536)))
        c.read(lambda: c.find(h2frames.SETTINGS))
        announced = dict(struct.iter_unpack(">HI", c.find(h2frames.SETTINGS).payload))
        assert announced[1] == 0
        c.send(ack)
        first, second = get(c, 1, b"\x20"), get(c, 3)
        assert first.lstrip(b"\x20") == second, "nothing of the first answer was indexed"
        c.send(h2frames.frame(h2frames.HEADERS, h2frames.END_HEADERS | h2frames.END_STREAM, 5,
                              h2frames.integer(4096, 5, 0x20) + h2frames.block(*c.head())))
        c.expect_goaway(h2frames.COMPRESSION_ERROR)


def test_a_connection_carries_so_many_requests(small, api):
    before = hits(small, "client-requests")
    with connect(small) as sock:
        for _ in range(5):
            send(sock, request("GET", f"/{api}/x"))
            head, _ = request_of(sock)
        assert b"\r\nConnection: close" in head
    assert hits(small, "client-requests") > before


def test_every_limit_of_the_gateway_has_a_case():
    out = subprocess.run([service.BIN / "postern", "serve", "--list-limits"], capture_output=True,
                         text=True, check=True).stdout
    names = {line.split()[0] for line in out.splitlines()
             if " gateway: " in line}
    assert "header-bytes" in names, out
    here = set(HEADS) | {"client-tls-timeout", "client-write-timeout", "client-requests",
                         "signature-timeout", "h2-hpack-table-bytes"}
    missing = names - here - set(ELSEWHERE)
    assert not missing, f"limits without a case: {sorted(missing)}"
    for name, file in ELSEWHERE.items():
        assert name in (HERE / file).read_text(), f"{file} does not speak of {name}"
