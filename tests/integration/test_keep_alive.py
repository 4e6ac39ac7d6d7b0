# SPDX-License-Identifier: Apache-2.0
"""How long a backend keeps a connection, as its Keep-Alive field says: none is used up to its end."""
import concurrent.futures
import contextlib
import time

import pytest
from lab import backends, raw, servers, service, web
from lab.nodes import Node
from lab.service import policy, wait_for


class Keeper(raw.Script):
    """Keeps every connection, whatever it says: `say(count)` is the Keep-Alive field of a
    connection's answer number `count`, from 1. The body is the connection's number."""

    def __init__(self, say):
        self.say = say
        self.ended = 0
        super().__init__(self._serve)

    def _serve(self, sock, number):
        count = 0
        while raw.request_of(sock)[0]:
            count += 1
            body = b"%d" % number
            sock.sendall(b"HTTP/1.1 200 OK\r\nKeep-Alive: %s\r\nContent-Length: %d\r\n\r\n%s" % (
                self.say(count).encode(), len(body), body))
        self.ended += 1


@pytest.fixture
def ask(postern):
    """Starts to ask a URL through one connection, so that it is one thread and one pool."""
    with contextlib.ExitStack() as stack:
        def start(url, instance=postern, document=None):
            name = service.unique("keep")
            instance.make_api(name, url, document)
            session = stack.enter_context(contextlib.closing(
                web.Session(instance.gateway, keep=True)))

            def one(method="POST"):
                answer = session.call(method, f"/{name}/x")
                assert answer.status == 200, answer
                return answer.text
            return one
        yield start


def test_a_connection_is_not_used_up_to_the_end_its_backend_says(ask):
    with Keeper(lambda _: "timeout=1") as backend:
        one = ask(backend.url)
        first = one()
        time.sleep(0.8)  # a quarter of the second is left
        assert (first, one()) == ("0", "1")
        wait_for("both are closed before their end", lambda: backend.ended == 2, limit_s=5)


@pytest.mark.parametrize("said", ["timeout=0", "max=0", "Timeout=0, max=100", "x=y, timeout = 0",
                                  "timeout=9, timeout=0"])
def test_one_that_is_over_at_once_is_not_used_again(ask, said):
    with Keeper(lambda _: said) as backend:
        one = ask(backend.url)
        assert [one() for _ in range(3)] == ["0", "1", "2"]


@pytest.mark.parametrize("said", ["timeout=60", "timeout=60, max=1", "x", "x=0, timeout=60"])
def test_one_that_is_not_over_is(ask, said):
    with Keeper(lambda _: said) as backend:
        one = ask(backend.url)
        assert [one() for _ in range(3)] == ["0"] * 3


def test_no_more_requests_than_its_backend_says(ask):
    """As apache2 says it: how many may still follow."""
    with Keeper(lambda count: f"timeout=60, max={3 - count}") as backend:
        one = ask(backend.url)
        assert [one() for _ in range(7)] == ["0", "0", "0", "1", "1", "1", "2"]


@pytest.mark.parametrize("said", ["timeout=x", "timeout=", "timeout", "timeout=-0", "max=0x", "max=+0",
                                  "timeout=0;max=0", "=0", ",,", "", "timeout=0, max=none",
                                  "timeout=99999999999999999999", "timeout=\"0\""])
def test_a_malformed_field_is_ignored(ask, said):
    with Keeper(lambda _: said) as backend:
        one = ask(backend.url)
        assert [one() for _ in range(3)] == ["0"] * 3


def test_it_is_not_kept_longer_than_the_gateway_would(ask, tmp_path, trust):
    instance = service.Postern(tmp_path, ["--threads", "1", "--limit", "backend-idle-timeout=100ms"],
                               trust)
    instance.start()
    try:
        with Keeper(lambda _: "timeout=600, max=600") as backend:
            one = ask(backend.url, instance)
            first = one()
            time.sleep(0.3)
            assert (first, one()) == ("0", "1")
    finally:
        instance.stop()


def test_no_post_is_lost_where_node_ends_its_connections(postern):
    """Each moment around the end, many times: what is on its way then would be lost."""
    node = Node("keep_alive.mjs", scheme="http", timeoutMs=1000)
    name = service.unique("keep-node")
    postern.make_api(name, node.url)

    def one(session):
        return session.call("POST", f"/{name}/x").status

    try:
        with contextlib.ExitStack() as stack, concurrent.futures.ThreadPoolExecutor(24) as pool:
            sessions = [stack.enter_context(contextlib.closing(web.Session(postern.gateway, keep=True)))
                        for _ in range(24)]
            for wait in (0.8, 0.992, 0.996, 0.999, 1.001):
                assert set(pool.map(one, sessions)) == {200}, wait
                time.sleep(wait)
            assert set(pool.map(one, sessions)) == {200}
    finally:
        node.stop()


def test_what_apache_says_is_taken_at_its_word(ask, postern, uploaded, ca, tmp_path):
    plain = backends.Python()
    plain.route("/x", lambda handler: handler.answer(200, b"ok"))
    server = servers.Server("apache2", tmp_path / "apache2", ca.server(), ca, plain.httpd.server_address[1],
                            more="KeepAliveTimeout 1")
    try:
        one = ask(server.url("h1"), document=policy(
            f'<authentication-certificate certificate-id="{uploaded["p256"]}" />'))
        one()
        before = postern.metric("postern_backend_connected_total")
        time.sleep(0.8)
        one()
        assert postern.metric("postern_backend_connected_total") == before + 1
        one()
        assert postern.metric("postern_backend_connected_total") == before + 1
    finally:
        server.stop()
        plain.stop()
