# SPDX-License-Identifier: Apache-2.0
"""Backend entities of type Pool, and reconnect."""
import collections
import concurrent.futures
import contextlib
import json
import socket
import time

import pytest
from lab import h2server, raw, service, web
from lab.backends import free_port
from lab.h2frames import END_HEADERS, END_STREAM, HEADERS, block, frame, settings
from lab.members import Member
from lab.nodes import Node
from lab.service import policy

pytestmark = pytest.mark.usefixtures("postern")


@pytest.fixture
def pool(postern):
    """Makes single backends of the members and a pool of them behind an API; returns its name."""
    def make(members, **more):
        name = service.unique("pool")
        services = []
        for i, (url, place) in enumerate(members):
            entity = dict(url=url, protocol="http", **place.pop("entity", {}))
            postern.put(f"/backends/{name}-{i}", entity)
            services.append(dict(id=f"/backends/{name}-{i}", **place))
        postern.put(f"/backends/{name}", {"type": "Pool", "pool": {"services": services}})
        postern.make_api(name, "http://127.0.0.1:1",
                         policy(f'<set-backend-service backend-id="{name}" />'), **more)
        return name
    return make


def who(postern, name, times):
    answers = [postern.call(f"/{name}/x") for _ in range(times)]
    assert {a.status for a in answers} == {200}, answers
    return collections.Counter(a.json()["member"] for a in answers)


def test_weights_are_shares_of_one_priority_and_the_next_one_is_a_reserve(postern, pool):
    with Member("a") as a, Member("b") as b, Member("c") as c:
        name = pool([(a.url, {"weight": 3, "priority": 1}), (b.url, {"weight": 1, "priority": 1}),
                     (c.url, {"priority": 2})])
        seen = who(postern, name, 40)
        assert seen["c"] == 0 and 28 <= seen["a"] <= 32 and 8 <= seen["b"] <= 12, seen


def test_what_cannot_be_reached_is_left_for_another_member(postern, pool):
    with Member("b") as b:
        name = pool([(f"http://127.0.0.1:{free_port()}", {"weight": 1}), (b.url, {"weight": 1})])
        before = postern.metric("postern_backend_rerouted_total")
        assert who(postern, name, 10) == {"b": 10}
        answer = postern.call(f"/{name}/x", method="POST", body=b"kept")
        assert answer.status == 200 and b.requests[-1][3] == b"kept"
        assert postern.metric("postern_backend_rerouted_total") > before


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_member_that_cannot_be_connected_to_in_the_requests_time_is_left_for_another(postern, pool, method):
    """Nothing has left, so any request may go elsewhere, and has its time there."""
    with Member("b") as b, contextlib.ExitStack() as stack:
        hole = stack.enter_context(socket.socket())
        hole.bind(("127.0.0.1", 0))
        hole.listen(0)
        for _ in range(4):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(hole.getsockname())
        name = pool([(f"http://127.0.0.1:{hole.getsockname()[1]}", {"priority": 0}), (b.url, {"priority": 1})])
        postern.set_policy(f"/apis/{name}", policy(f'<set-backend-service backend-id="{name}" />',
                                                   '<forward-request timeout="1" />'))
        answer = postern.call(f"/{name}/x", method=method)
        assert answer.status == 200 and answer.json()["member"] == "b" and len(b.requests) == 1


def test_a_websocket_that_waits_for_a_members_settings_in_vain_goes_to_another(postern, pool):
    """Over HTTP/2 nothing of it is sent before they say that it may be (RFC 8441 section 3)."""
    def serve(sock, stream, _):
        sock.sendall(frame(HEADERS, END_HEADERS | END_STREAM, stream, block((":status", "403"))))

    with raw.Script(lambda sock, _: raw.read_all(sock)) as silent, \
            h2server.Answers(serve, first=settings((8, 1))) as other:
        name = pool([(silent.url, {"priority": 0}), (other.url, {"priority": 1})])
        postern.set_policy(f"/apis/{name}", policy(f'<set-backend-service backend-id="{name}" />',
                                                   '<forward-request http-version="2" timeout="1" />'))
        with raw.connect(postern) as sock:
            sock.sendall(raw.request("GET", f"/{name}/x", "Connection: Upgrade", "Upgrade: websocket",
                                     "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="))
            assert b" 403 " in raw.head_of(sock)[0]
        assert silent.connections == 1


def test_a_request_that_was_sent_is_repeated_only_if_it_may_be(postern, pool):
    with Member("a") as a, Member("b") as b:
        a.drop = True
        name = pool([(a.url, {"priority": 0}), (b.url, {"priority": 1})])
        assert who(postern, name, 3) == {"b": 3}
        seen = len(b.requests)
        assert postern.call(f"/{name}/x", method="POST", body=b"once").status == 500
        assert len(b.requests) == seen, "a POST that may have been acted on is not repeated"


def test_a_tripped_member_is_passed_over_until_its_time_is_over(postern, pool):
    rule = {"circuitBreaker": {"rules": [{
        "name": "r", "failureCondition": {"count": 2, "interval": "PT1M",
                                          "statusCodeRanges": [{"min": 500, "max": 599}]},
        "tripDuration": "PT2S"}]}}
    with Member("a") as a, Member("b") as b:
        a.status = 503
        name = pool([(a.url, {"priority": 0, "entity": rule}), (b.url, {"priority": 1})])
        assert [postern.call(f"/{name}/x").status for _ in range(2)] == [503, 503]
        assert who(postern, name, 5) == {"b": 5}
        a.status = 200
        service.wait_for("the first member is back",
                         lambda: postern.call(f"/{name}/x").json()["member"] == "a", 10)


def test_all_tripped_is_503_with_the_time_to_wait(postern, pool):
    rule = {"circuitBreaker": {"rules": [{"failureCondition": {"count": 1, "interval": "PT1M"},
                                          "tripDuration": "PT20S"}]}}
    with Member("a") as a, Member("b") as b:
        a.status = b.status = 500
        name = pool([(a.url, {"entity": rule}), (b.url, {"entity": json.loads(json.dumps(rule))})])
        assert [postern.call(f"/{name}/x").status for _ in range(2)] == [500, 500]
        answer = postern.call(f"/{name}/x")
        assert answer.status == 503 and 1 <= int(answer.headers["retry-after"]) <= 20


def test_each_member_has_its_own_credentials(postern, pool):
    def entity(key):
        return {"credentials": {"header": {f"x-key-{key}": [key], "x-key": [key]},
                                "query": {f"q{key}": [key]}}}
    with Member("b") as b:
        name = pool([(f"http://127.0.0.1:{free_port()}", {"entity": entity("a")}),
                     (b.url, {"entity": entity("b")})])
        for _ in range(4):
            seen = postern.call(f"/{name}/x?z=1").json()
            headers = {k.lower(): v for k, v in seen["headers"].items()}
            assert headers["x-key"] == "b" and "x-key-a" not in headers
            assert seen["path"] == "/x?z=1&qb=b"


def test_each_member_is_shown_its_own_certificate(postern, nginx, uploaded, clients):
    name = service.unique("pool")
    kinds = {"good": "p256", "second": "rsa2048"}
    for server, kind in kinds.items():
        postern.put(f"/backends/{name}-{server}", {
            "url": nginx.url(server), "protocol": "http",
            "credentials": {"certificateIds": [f"{postern.service_id}/certificates/{uploaded[kind]}"]}})
    postern.put(f"/backends/{name}", {"type": "Pool", "pool": {"services": [
        {"id": f"/backends/{name}-{server}"} for server in kinds]}})
    postern.make_api(name, "http://127.0.0.1:1",
                     policy(f'<set-backend-service backend-id="{name}" />'))
    seen = set()
    for _ in range(12):
        answer = postern.call(f"/{name}/x")
        assert answer.status == 200, answer
        seen.add((answer.json()["host"], answer.json()["sha1"].upper()))
    assert {sha1 for _, sha1 in seen} == {clients[kind].sha1 for kind in kinds.values()}
    assert postern.metric("postern_identity_mismatch_total") == 0


def test_a_member_can_be_changed_and_is_used_as_it_is_now(postern, pool):
    with Member("a") as a, Member("b") as b:
        name = pool([(a.url, {})])
        assert who(postern, name, 2) == {"a": 2}
        postern.put(f"/backends/{name}-0", {"url": b.url, "protocol": "http"})
        assert who(postern, name, 2) == {"b": 2}


def test_a_member_in_use_is_not_deleted_and_pools_are_not_nested(postern, pool):
    with Member("a") as a:
        name = pool([(a.url, {})])
        answer = postern.arm("DELETE", f"/backends/{name}-0", headers={"If-Match": "*"})
        assert answer.status == 400 and f"/backends/{name}" in answer.text
        for member in (name, f"{name}-9"):
            answer = postern.arm("PUT", f"/backends/{name}-outer", {"properties": {
                "type": "Pool", "pool": {"services": [{"id": f"/backends/{member}"}]}}})
            assert answer.status == 400 and answer.json()["error"]["code"] == "ValidationError"


# reconnect

def test_reconnect_makes_new_connections_and_lets_busy_ones_finish(postern):
    with Member("a") as a:
        name = service.unique("reconnect")
        postern.put(f"/backends/{name}", {"url": a.url, "protocol": "http"})
        postern.make_api(name, "http://127.0.0.1:1",
                         policy(f'<set-backend-service backend-id="{name}" />'))
        for _ in range(3):
            assert postern.call(f"/{name}/x").status == 200
        assert a.connections == 1
        answer = postern.arm("POST", f"/backends/{name}/reconnect")
        assert answer.status == 202 and not answer.text
        assert postern.call(f"/{name}/x").status == 200
        assert a.connections == 2
        assert postern.call(f"/{name}/x").status == 200
        assert a.connections == 2, "only once"


def test_reconnect_waits_for_its_time(postern):
    with Member("a") as a:
        name = service.unique("reconnect")
        postern.put(f"/backends/{name}", {"url": a.url, "protocol": "http"})
        postern.make_api(name, "http://127.0.0.1:1",
                         policy(f'<set-backend-service backend-id="{name}" />'))
        assert postern.call(f"/{name}/x").status == 200
        begin = time.monotonic()
        answer = postern.arm("POST", f"/backends/{name}/reconnect",
                             {"properties": {"after": "PT2S"}})
        assert answer.status == 202
        assert postern.call(f"/{name}/x").status == 200
        if time.monotonic() - begin < 1.5:
            assert a.connections == 1
        time.sleep(max(0, begin + 2.3 - time.monotonic()))
        assert postern.call(f"/{name}/x").status == 200
        assert a.connections == 2


def test_reconnect_of_a_pool_is_of_its_members(postern, pool):
    with Member("a") as a, Member("b") as b:
        name = pool([(a.url, {}), (b.url, {})])
        who(postern, name, 4)
        assert (a.connections, b.connections) == (1, 1)
        assert postern.arm("POST", f"/backends/{name}/reconnect").status == 202
        who(postern, name, 4)
        assert (a.connections, b.connections) == (2, 2)


def test_reconnect_lets_http2_streams_end_and_opens_another_connection(postern, ca, uploaded,
                                                                       tmp_path):
    crt, key = ca.server().write(tmp_path, "server")
    (tmp_path / "ca.crt").write_bytes(ca.certificate_pem)
    backend = Node("h2_backend.mjs", cert=str(crt), key=str(key), clientCa=str(tmp_path / "ca.crt"))
    try:
        name = service.unique("reconnect")
        postern.put(f"/backends/{name}", {
            "url": backend.url, "protocol": "http", "credentials": {"certificateIds": [
                f"{postern.service_id}/certificates/{uploaded['p256']}"]}})
        postern.make_api(name, "http://127.0.0.1:1", policy(
            f'<set-backend-service backend-id="{name}" />', '<forward-request http-version="2" />'))

        def held():
            with contextlib.closing(web.Session(postern.gateway, timeout=60)) as session:
                return session.call("GET", f"/{name}/hold")

        def connections():
            return postern.call(f"/{name}/stats").json()
        with concurrent.futures.ThreadPoolExecutor(1) as threads:
            answer = threads.submit(held)
            service.wait_for("the held request",
                             lambda: sum(c["open"] for c in connections()) >= 2, 20)
            before = postern.metric("postern_backend_connected_total")
            assert postern.arm("POST", f"/backends/{name}/reconnect").status == 202
            assert postern.call(f"/{name}/echo").status == 200
            assert postern.metric("postern_backend_connected_total") > before
            assert not answer.done(), "the stream under way is not cut"
            assert postern.call(f"/{name}/release").json() == 1
            assert answer.result().status == 200
    finally:
        backend.stop()
