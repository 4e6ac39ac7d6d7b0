# SPDX-License-Identifier: Apache-2.0
"""Clients and backends that leave, stop or dawdle, in each phase of a request; afterwards nothing of
it is left: no call, no connection, and the next request is served."""
import contextlib
import socket
import struct
import threading
import time

import pytest
from lab import raw, service
from lab.raw import Script, connect, head_of, receive, request, request_of, send

MB = 1 << 20
RESET = struct.pack("ii", 1, 0)


def leave(sock, how):
    """Ends a connection: "close" (FIN), "reset" (RST)."""
    if how == "reset":
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    sock.close()


@pytest.fixture(scope="module")
def own(tmp_path_factory, trust):
    """A Postern whose idle backend connections go quickly, so that counters can be compared."""
    postern = service.Postern(tmp_path_factory.mktemp("aborts"), environment=trust, options=[
        "--limit", "backend-idle-timeout=300ms", "--limit", "client-idle-timeout=60s"])
    postern.start()
    yield postern
    postern.stop()


def all_gone(postern):
    """Every gauge is back at nothing; what is not is in the message."""
    names = ("postern_calls", "postern_client_connections", "postern_backend_connections")
    postern.session(postern.gateway).close()
    values = {}

    def gone():
        values.update({n: postern.metric(n) for n in names})
        return not any(values.values())

    try:
        service.wait_for("the counters", gone, 10)
    except AssertionError:
        raise AssertionError(f"left behind: {values}") from None


# --- the client leaves

CLIENT_PHASES = {
    "connected": b"",
    "within-the-line": b"GET /%s/wa",
    "within-the-head": b"GET /%s/wait HTTP/1.1\r\nHost: x\r\nX-A: b",
    "before-the-body": b"POST /%s/wait HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n",
    "within-the-body": b"POST /%s/wait HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhalf",
    "within-a-chunk": b"POST /%s/wait HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
                      b"10\r\nhalf",
    "between-chunks": b"POST /%s/wait HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
                      b"4\r\nhalf\r\n",
    "waiting-for-100": b"POST /%s/wait HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n"
                       b"Expect: 100-continue\r\n\r\n",
    "waiting": b"GET /%s/wait HTTP/1.1\r\nHost: x\r\n\r\n",
    "within-the-answer": b"GET /%s/dribble HTTP/1.1\r\nHost: x\r\n\r\n",
    "behind-the-answer": b"GET /%s/at-once HTTP/1.1\r\nHost: x\r\n\r\n",
    "pipelined": b"GET /%s/wait HTTP/1.1\r\nHost: x\r\n\r\n" * 3,
}


def patient(sock, _):
    """/wait: never answers; /dribble: a body without an end; else: answers."""
    while True:
        head, _ = head_of(sock)
        if not head:
            return
        if b"/wait" in head:
            while sock.recv(65536):
                pass
            return
        if b"/dribble" in head:
            sock.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            while True:
                sock.sendall(b"4\r\nbody\r\n")
                time.sleep(0.01)
        sock.sendall(raw.OK)


@pytest.mark.parametrize("how", ["close", "reset"])
def test_a_client_that_leaves_in_any_phase_leaves_nothing_behind(own, how):
    with Script(patient) as backend:
        name = service.unique("leaves")
        own.make_api(name, backend.url)
        for phase, data in CLIENT_PHASES.items():
            sock = connect(own)
            send(sock, data.replace(b"%s", name.encode()))
            if "answer" in phase:
                assert sock.recv(1000).startswith(b"HTTP/1.1 200"), phase
            else:
                time.sleep(0.03)
            leave(sock, how)
        assert own.call(f"/{name}/at-once").status == 200
        all_gone(own)


def test_a_client_that_stops_reading_and_leaves_leaves_nothing_behind(own):
    def flood(sock, _):
        head_of(sock)
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n")
        while True:
            sock.sendall(b"x" * MB)

    with Script(flood) as backend:
        name = service.unique("stops")
        own.make_api(name, backend.url)
        for how in ("close", "reset"):
            sock = connect(own)
            sock.sendall(request("GET", f"/{name}/x"))
            assert sock.recv(100)
            time.sleep(0.3)
            leave(sock, how)
        all_gone(own)


# --- the backend leaves

def ends(data, how, before=b""):
    """A backend that reads a request's head (and `before`), sends `data` and leaves."""
    def serve(sock, _):
        head_of(sock)
        for _ in range(len(before)):
            sock.recv(1)
        send(sock, data)
        if how == "half":
            sock.shutdown(socket.SHUT_WR)
            with contextlib.suppress(OSError):
                while sock.recv(65536):
                    pass
        leave(sock, how)
    return serve


BACKEND_PHASES = {
    "at-once": b"", "within-the-line": b"HTTP/1.1 2", "within-the-head": b"HTTP/1.1 200 OK\r\nA: b",
    "behind-100": b"HTTP/1.1 100 Continue\r\n\r\n",
    "behind-the-head": b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n",
    "within-the-body": b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf",
    "within-a-chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10\r\nhalf",
    "before-the-last-chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
    "within-the-trailers": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nA: b",
}


@pytest.mark.parametrize("how", ["close", "reset", "half"])
@pytest.mark.parametrize("phase", BACKEND_PHASES)
def test_a_backend_that_leaves_in_any_phase_is_an_error_or_a_cut_answer(own, phase, how):
    for method, fields, body in (("GET", (), b""), ("POST", ("Content-Length: 4",), b"body"),
                                 ("POST", ("Content-Length: 100000",), b"a part of it")):
        with Script(ends(BACKEND_PHASES[phase], how)) as backend:
            name = service.unique("gone")
            own.make_api(name, backend.url)
            with connect(own, 10) as sock:
                began = time.monotonic()
                sock.sendall(request(method, f"/{name}/x", "Connection: close", *fields, body=body))
                received = receive(sock, 5)
                assert time.monotonic() - began < 4.5, f"{method}: nothing happens"
            final = received.split(b"100 Continue\r\n\r\n")[-1]
            if final.startswith(b"HTTP/1.1 200"):
                assert b"Content-Length: 100\r\n" in final or not final.endswith(b"0\r\n\r\n")
            else:
                assert final == b"" or final.startswith(b"HTTP/1.1 50"), received
    all_gone(own)


@pytest.mark.parametrize("method", ["GET", "PUT", "POST"])
def test_a_backend_that_half_closes_behind_its_answer_gets_no_other_request(own, method):
    """It goes on reading and answers nothing: who is given this connection waits for ever."""
    closed = []

    def serve(sock, number):
        request_of(sock)
        sock.sendall(raw.OK)
        sock.shutdown(socket.SHUT_WR)
        while sock.recv(65536):
            pass
        closed.append(number)

    with Script(serve) as backend:
        name = service.unique("half")
        own.make_api(name, backend.url)
        with connect(own, 5) as sock:
            for i in range(60):
                fields = () if method == "GET" else ("Content-Length: 4",)
                sock.sendall(request(method, f"/{name}/{i}", *fields,
                                     body=b"" if method == "GET" else b"body"))
                head, _ = request_of(sock)
                assert head.startswith(b"HTTP/1.1 200"), (i, head)
                if method != "GET":  # a FIN that crosses a POST is the POST's end
                    service.wait_for("the FIN to be seen", lambda: len(closed) == i + 1)
        all_gone(own)


# --- answers before the request is over

@pytest.mark.parametrize("framing", ["length", "chunked"])
@pytest.mark.parametrize("size", [2000, 200000, 5 * MB])
def test_an_early_answer_either_keeps_the_connection_or_says_that_it_closes(own, size, framing):
    """A client that finishes its upload and asks again on the same connection, as it may when it was
    not told otherwise, gets its answer."""
    def serve(sock, _):
        head_of(sock)
        sock.sendall(b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno")
        with contextlib.suppress(OSError):
            while sock.recv(65536):
                pass

    with Script(serve) as backend:
        name = service.unique("early")
        own.make_api(name, backend.url)
        with connect(own, 5) as sock:
            field = "Transfer-Encoding: chunked" if framing == "chunked" else (
                f"Content-Length: {size}")

            def piece(n):
                return b"%x\r\n%s\r\n" % (n, b"x" * n) if framing == "chunked" else b"x" * n

            sock.sendall(request("POST", f"/{name}/x", field) + piece(1000))
            head, _ = request_of(sock)
            assert head.startswith(b"HTTP/1.1 413"), head
            if b"\r\nconnection: close\r\n" in head.lower():
                return
            left = size - 1000
            while left:
                n = min(left, 65536)
                sock.sendall(piece(n))
                left -= n
            sock.sendall(b"0\r\n\r\n" if framing == "chunked" else b"")
            sock.sendall(request("GET", f"/{name}/again"))
            assert request_of(sock)[0].startswith(b"HTTP/1.1 413")
    all_gone(own)


def test_a_client_that_half_closes_behind_its_request_is_answered(own):
    def serve(sock, _):
        while head_of(sock)[0]:
            time.sleep(0.3)
            sock.sendall(raw.OK)

    with Script(serve) as backend:
        name = service.unique("fin")
        own.make_api(name, backend.url)
        for data, count in ((request("GET", f"/{name}/x"), 1),
                            (request("POST", f"/{name}/x", "Content-Length: 2", body=b"hi"), 1),
                            (request("GET", f"/{name}/x") * 2, 2)):
            for pause in (0, 0.1):
                with connect(own) as sock:
                    sock.sendall(data)
                    time.sleep(pause)
                    sock.shutdown(socket.SHUT_WR)
                    assert receive(sock, 5).count(b"HTTP/1.1 200") == count, (data, pause)
    all_gone(own)


def test_a_client_that_half_closes_and_is_not_answered_in_time_counts_as_gone(tmp_path, trust):
    over = threading.Event()

    def serve(sock, _):
        head_of(sock)
        sock.recv(1)
        over.set()

    own = service.Postern(tmp_path / "half", environment=trust, options=[
        "--limit", "client-half-closed-timeout=200ms"])
    own.start()
    try:
        with Script(serve) as backend:
            own.make_api("fin", backend.url)
            with connect(own) as sock:
                sock.sendall(request("GET", "/fin/x"))
                time.sleep(0.1)
                sock.shutdown(socket.SHUT_WR)
                assert over.wait(5)
                assert receive(sock, 5) == b""
        text = own.session(own.control).get("/metrics").text
        assert 'postern_limit_hits_total{limit="client-half-closed-timeout"} 1\n' in text
    finally:
        own.stop()
