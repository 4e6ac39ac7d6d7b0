# SPDX-License-Identifier: Apache-2.0
"""The limits of backend connections: each refuses with its own words and counts."""
import concurrent.futures
import contextlib
import threading

import pytest
from lab import backends, service, web
from lab.nodes import Node
from lab.service import policy, wait_for

VERSION_2 = '<forward-request http-version="2" />'


@pytest.fixture
def limited(tmp_path, trust):
    """Starts a Postern with these limits."""
    with contextlib.ExitStack() as stack:
        def start(threads=1, **limits):
            options = ["--threads", str(threads)]
            for name, value in limits.items():
                options += ["--limit", f"{name.replace('_', '-')}={value}"]
            instance = service.Postern(tmp_path, options, trust)
            instance.start()
            stack.callback(instance.stop)
            return instance
        yield start


def hits(postern, limit):
    text = postern.session(postern.control).get("/metrics").text
    for line in text.splitlines():
        if line.startswith(f'postern_limit_hits_total{{') and f'limit="{limit}"' in line:
            return float(line.rsplit(" ", 1)[1])
    return 0


def in_background(pool, postern, path):
    def one():
        with contextlib.closing(web.Session(postern.gateway, timeout=60)) as session:
            return session.call("GET", path)
    return pool.submit(one)


@pytest.fixture
def slow():
    """A plain backend whose /slow answers when told to."""
    server = backends.Python()
    server.go = threading.Event()

    def hold(handler):
        server.go.wait(30)
        handler.answer(200, b"done")
    server.route("/slow", hold)
    yield server
    server.go.set()
    server.stop()


def test_a_full_queue_answers_503_with_retry_after(limited, slow):
    postern = limited(backend_connections=1, backend_queue=1)
    postern.make_api("a", slow.url)
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        first = in_background(pool, postern, "/a/slow")
        wait_for("the first is at the backend", lambda: len(slow.seen) == 1)
        second = in_background(pool, postern, "/a/slow")
        wait_for("the second waits", lambda: hits(postern, "backend-connections") == 1)
        third = postern.call("/a/slow")
        assert third.status == 503, third
        assert third.headers["Retry-After"] == "1"
        assert hits(postern, "backend-queue") == 1
        assert "the limit backend-queue" in postern.log()
        slow.go.set()
        assert first.result().status == 200 and second.result().status == 200


def test_one_host_is_bounded_over_its_identities(limited, slow, ca):
    postern = limited(backend_host_connections=1)
    postern.make_api("a", slow.url)
    postern.make_api("b", slow.url, policy("", VERSION_2))  # another identity: h2c
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        first = in_background(pool, postern, "/a/slow")
        wait_for("the first is at the backend", lambda: len(slow.seen) == 1)
        second = in_background(pool, postern, "/b/slow")
        wait_for("the second waits", lambda: hits(postern, "backend-host-connections") == 1)
        slow.go.set()
        assert first.result().status == 200
        # It got the place of the first one's idle connection; the backend speaks HTTP/1.1 only.
        assert second.result().status == 500
    assert postern.metric("postern_identity_mismatch_total") == 0


class Crowd(backends.Python):
    """Counts who is there at the same time, by connection."""

    def __init__(self, hold_s):
        super().__init__()
        self.lock, self.now, self.most, self.ports = threading.Lock(), 0, 0, set()

        def hold(handler):
            with self.lock:
                self.now += 1
                self.most = max(self.most, self.now)
                self.ports.add(handler.client_address[1])
            threading.Event().wait(hold_s)
            with self.lock:
                self.now -= 1
            handler.answer(200, b"done")
        self.route("/hold", hold)


def crowd(postern, path, count):
    """Statuses of so many requests at once, each on a connection of its own."""
    with concurrent.futures.ThreadPoolExecutor(count) as pool:
        return [f.result(60).status for f in [in_background(pool, postern, path)
                                              for _ in range(count)]]


@pytest.fixture
def threaded(limited):
    return lambda **limits: limited(threads=4, **limits)


@pytest.mark.parametrize("limit", ["backend_connections", "backend_host_connections"])
@pytest.mark.parametrize("places", [1, 2, 6])
def test_connections_are_bounded_over_all_threads(threaded, limit, places):
    """Never more than the limit, whichever threads have the requests; everybody is served."""
    server = Crowd(0.02)
    postern = threaded(**{limit: places})
    try:
        postern.make_api("a", server.url)
        assert crowd(postern, "/a/hold", 40) == [200] * 40
        assert 1 <= server.most <= places
        assert hits(postern, limit.replace("_", "-")) > 0
        assert postern.metric("postern_backend_connections") <= places
        assert crowd(postern, "/a/hold", 20) == [200] * 20, "and again"
        assert server.most <= places
    finally:
        server.stop()


def test_the_queue_is_bounded_over_all_threads(threaded, slow):
    postern = threaded(backend_connections=1, backend_queue=3)
    postern.make_api("a", slow.url)
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        first = in_background(pool, postern, "/a/slow")
        wait_for("the first is at the backend", lambda: len(slow.seen) == 1)
        others = [in_background(pool, postern, "/a/slow") for _ in range(15)]
        wait_for("the refused", lambda: hits(postern, "backend-queue") == 12)
        slow.go.set()
        assert first.result(30).status == 200
        assert sorted(f.result(30).status for f in others) == [200] * 3 + [503] * 12


def test_idle_connections_of_another_thread_make_room(threaded):
    """Two APIs of one host: what idles for one is in the way of the other, wherever it idles."""
    server = Crowd(0.01)
    postern = threaded(backend_host_connections=4)
    try:
        postern.make_api("a", server.url)
        postern.make_api("b", server.url.replace("localhost", "LOCALHOST"))
        for _ in range(3):
            for name in ("a", "b"):
                assert crowd(postern, f"/{name}/hold", 12) == [200] * 12
        assert server.most <= 4
    finally:
        server.stop()


@pytest.mark.parametrize("places", [1, 3])
def test_http2_connections_are_bounded_over_all_threads(threaded, places):
    server = Node("h2_backend.mjs", scheme="http")
    postern = threaded(backend_connections=places)
    try:
        postern.make_api("a", server.url, policy("", VERSION_2))
        for _ in range(3):
            assert crowd(postern, "/a/echo", 24) == [200] * 24
            assert postern.metric("postern_backend_connections") <= places
    finally:
        server.stop()


def test_the_response_timeout_holds_where_the_policy_says_nothing(limited, slow):
    postern = limited(backend_response_timeout="300ms")
    postern.make_api("a", slow.url)
    assert postern.call("/a/slow").status == 500
    assert hits(postern, "backend-response-timeout") == 1


def test_a_body_that_stops_is_cut_off(limited, slow):
    def half(handler):
        handler.send_response(200)
        handler.send_header("Content-Length", "10")
        handler.end_headers()
        handler.wfile.write(b"12345")
        handler.wfile.flush()
        slow.go.wait(30)
    slow.route("/half", half)
    postern = limited(backend_body_timeout="300ms")
    postern.make_api("a", slow.url)
    with pytest.raises(Exception):
        postern.call("/a/half")
    assert hits(postern, "backend-body-timeout") == 1


@pytest.mark.parametrize("version", ["1", "2"])
def test_the_drain_limit_ends_what_a_replaced_certificate_still_carries(limited, ca, tmp_path,
                                                                        version):
    crt, key = ca.server().write(tmp_path, "server")
    ca_file = tmp_path / "client-ca.crt"
    ca_file.write_bytes(ca.certificate_pem)
    postern = limited(backend_drain_timeout="500ms")
    postern.upload("c", ca.client("before"))
    if version == "2":
        server = Node("h2_backend.mjs", cert=str(crt), key=str(key), clientCa=str(ca_file))
        url = server.url
    else:
        server = backends.Python((crt, key), ca_file)
        server.route("/hold", lambda handler: threading.Event().wait(20))
        url = server.url
    try:
        postern.make_api("a", url, policy(
            '<authentication-certificate certificate-id="c" />',
            f'<forward-request http-version="{version}" />'))
        assert postern.call("/a/echo").status == 200
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            held = in_background(pool, postern, "/a/hold")
            wait_for("a request is at work", lambda: postern.metric("postern_calls") >= 1)
            postern.upload("c", ca.client("after"))
            assert postern.call("/a/echo").status == 200
            assert held.result(15).status == 500
        assert "code=drain_timeout" in postern.log()
        assert hits(postern, "backend-drain-timeout") >= 1
        wait_for("no stream is left", lambda: postern.metric("postern_backend_streams") == 0)
    finally:
        server.stop()


def test_ping_finds_a_backend_that_is_gone(limited, tmp_path):
    server = Node("h2_backend.mjs", scheme="http")
    postern = limited(backend_ping_interval="300ms", backend_ping_timeout="300ms")
    postern.make_api("a", server.url, policy("", VERSION_2))
    try:
        assert postern.call("/a/echo").status == 200
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            held = in_background(pool, postern, "/a/hold")
            wait_for("it is at the backend", lambda: postern.metric("postern_backend_streams") >= 1)
            server.process.send_signal(19)  # SIGSTOP: it is there, and says nothing
            try:
                assert held.result(15).status == 500
            finally:
                server.process.send_signal(18)
        # Once more on a new connection: the request is idempotent, and the lost one was a reused one.
        assert hits(postern, "backend-ping-timeout") == 2
        assert "code=ping_timeout" in postern.log()
    finally:
        server.stop()
