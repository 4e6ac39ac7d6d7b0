# SPDX-License-Identifier: Apache-2.0
"""Circuit breakers of backends: what counts, how long they are open, what closes them."""
import concurrent.futures
import select
import threading
import time

import pytest
from lab import raw, service, web
from lab.backends import free_port
from lab.members import Member
from lab.service import policy, wait_for


@pytest.fixture
def guarded(postern):
    """An API in front of a backend with a circuit breaker; returns its name."""
    def make(url, condition, trip="PT30S", name=None, **more):
        name = name or service.unique("breaker")
        entity = {"url": url, "protocol": "http", "circuitBreaker": {"rules": [dict(
            name="rule", failureCondition=condition, tripDuration=trip, **more)]}}
        postern.put(f"/backends/{name}", entity)
        postern.make_api(name, "http://127.0.0.1:1",
                         policy(f'<set-backend-service backend-id="{name}" />'))
        return name
    return make


FIVE_HUNDREDS = {"statusCodeRanges": [{"min": 500, "max": 599}], "interval": "PT1M"}


def test_the_third_failure_trips_and_503_says_when_to_come_back(postern, guarded):
    with Member("a") as a:
        a.status = 500
        name = guarded(a.url, dict(FIVE_HUNDREDS, count=3))
        assert [postern.call(f"/{name}/x").status for _ in range(3)] == [500] * 3
        answer = postern.call(f"/{name}/x")
        assert answer.status == 503 and 28 <= int(answer.headers["retry-after"]) <= 30
        assert answer.json() == {"statusCode": 503, "message": "Service unavailable"}
        assert len(a.requests) == 3
        assert postern.metric("postern_backends_tripped") >= 1
        assert f"backend_tripped" in postern.log() and f"backend={name} cause=status_500" in postern.log()


def test_three_means_three_in_the_whole_gateway(postern, guarded):
    """Many connections, so many threads of the gateway: they count into one breaker."""
    with Member("a") as a:
        a.status = 500
        name = guarded(a.url, dict(FIVE_HUNDREDS, count=8))
        for _ in range(8):  # each on a connection of its own
            assert web.Session(postern.gateway).call("GET", f"/{name}/x").status == 500
        with concurrent.futures.ThreadPoolExecutor(8) as threads:
            answers = list(threads.map(
                lambda _: web.Session(postern.gateway).call("GET", f"/{name}/x").status, range(16)))
        assert answers == [503] * 16 and len(a.requests) == 8


def test_after_the_trip_one_trial_decides(postern, guarded):
    with Member("a") as a:
        a.status = 500
        name = guarded(a.url, dict(FIVE_HUNDREDS, count=1), trip="PT1S")
        assert postern.call(f"/{name}/x").status == 500
        assert postern.call(f"/{name}/x").status == 503
        time.sleep(1.1)
        assert postern.call(f"/{name}/x").status == 500, "the trial"
        assert postern.call(f"/{name}/x").status == 503, "it failed"
        a.status = 200
        time.sleep(1.1)
        assert [postern.call(f"/{name}/x").status for _ in range(3)] == [200] * 3
        assert f"backend_recovered" in postern.log()


def test_statuses_outside_the_ranges_do_not_count(postern, guarded):
    with Member("a") as a:
        a.status = 404
        name = guarded(a.url, {"count": 2, "interval": "PT1M", "errorReasons": ["Timeout"],
                               "statusCodeRanges": [{"min": 429, "max": 429}]})
        assert [postern.call(f"/{name}/x").status for _ in range(4)] == [404] * 4
        a.status = 429
        assert [postern.call(f"/{name}/x").status for _ in range(3)] == [429, 429, 503]


@pytest.mark.parametrize("reasons, trips", [
    ([], True), (["BackendConnectionFailure"], True), (["backendconnectionfailure"], True),
    (["connect_refused"], True), (["Server errors"], True), (["Timeout"], False)])
def test_no_connection_counts_by_its_reason(postern, guarded, reasons, trips):
    name = guarded(f"http://127.0.0.1:{free_port()}",
                   {"count": 2, "interval": "PT1M", "errorReasons": reasons})
    expected = [500, 500, 503 if trips else 500]
    assert [postern.call(f"/{name}/x").status for _ in range(3)] == expected


def test_a_refused_client_certificate_trips_and_the_log_says_why(postern, nginx, guarded, uploaded):
    name = service.unique("breaker")
    for reasons, expected in ((["Timeout"], [500] * 3),
                              (["tls_client_certificate_refused", "connection_closed",
                                "tls_client_certificate_required", "tls_alert"], [500, 503, 503])):
        postern.put(f"/backends/{name}", {
            "url": nginx.url("strangers"), "protocol": "http",
            "credentials": {"certificateIds":
                            [f"{postern.service_id}/certificates/{uploaded['p256']}"]},
            "circuitBreaker": {"rules": [{"failureCondition": {
                "count": 1, "interval": "PT1M", "errorReasons": reasons,
                "statusCodeRanges": [{"min": 400, "max": 400}] if "Timeout" not in reasons else []},
                "tripDuration": "PT30S"}]}})
        if reasons == ["Timeout"]:
            postern.make_api(name, "http://127.0.0.1:1",
                             policy(f'<set-backend-service backend-id="{name}" />'))
        statuses = [postern.call(f"/{name}/x").status for _ in range(3)]
        assert statuses[1:] == expected[1:] or statuses[0] == 400, statuses
    assert f"backend={name} cause=" in postern.log()


def date(layout, after_s=300):
    return time.strftime(layout, time.gmtime(time.time() + after_s))


@pytest.mark.parametrize("value", [
    lambda: "300", lambda: date("%a, %d %b %Y %H:%M:%S GMT"), lambda: date("%A, %d-%b-%y %H:%M:%S GMT"),
    lambda: date("%a %b %e %H:%M:%S %Y")], ids=["seconds", "date", "rfc850", "asctime"])
def test_retry_after_of_the_backend_sets_the_time(postern, guarded, value):
    with Member("a") as a:
        a.status = 429
        a.headers = {"Retry-After": value()}
        condition = {"count": 1, "interval": "PT1M", "statusCodeRanges": [{"min": 429, "max": 429}]}
        name = guarded(a.url, condition, trip="PT10S", acceptRetryAfter=True)
        assert postern.call(f"/{name}/x").status == 429
        assert 290 <= int(postern.call(f"/{name}/x").headers["retry-after"]) <= 300
        other = guarded(a.url, condition, trip="PT10S")
        assert postern.call(f"/{other}/x").status == 429
        assert int(postern.call(f"/{other}/x").headers["retry-after"]) <= 10


@pytest.mark.parametrize("value, seconds", [
    ("86401", 86400), ("9" * 40, 86400), ("Wed, 07 Aug 2058 05:08:14 GMT", 86400), ("0", 10), ("-5", 10),
    ("1.5", 10), ("soon", 10), ("5, 6", 10), ("Sun, 06 Nov 1994 08:49:37 GMT", 10), ("x" * 100, 10)])
def test_retry_after_beyond_reason_is_bounded_and_what_is_none_is_left(postern, guarded, value, seconds):
    with Member("a") as a:
        a.status = 429
        a.headers = {"Retry-After": value}
        name = guarded(a.url, {"count": 1, "interval": "PT1M", "statusCodeRanges": [{"min": 429, "max": 429}]},
                       trip="PT10S", acceptRetryAfter=True)
        assert postern.call(f"/{name}/x").status == 429
        assert seconds - 2 <= int(postern.call(f"/{name}/x").headers["retry-after"]) <= seconds


def test_a_trial_that_decides_nothing_makes_room_for_the_next_at_once(postern, guarded):
    """Its client leaves, or what fails is none of the rule's reasons."""
    answers = threading.Event()

    def serve(sock, number):
        while raw.request_of(sock)[0]:
            if number == 1:
                answers.wait(20)
                return
            sock.sendall(raw.OK if number else b"HTTP/1.1 500 Broken\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")

    for leaves in (True, False):
        answers.clear()
        with raw.Script(serve) as backend:
            name = guarded(backend.url, dict(FIVE_HUNDREDS, count=1, errorReasons=["tls_unknown_ca"]), trip="PT1S")
            assert postern.call(f"/{name}/x").status == 500
            tripped = time.monotonic()
            with raw.connect(postern) as sock:
                while backend.connections < 2:
                    sock.sendall(raw.request("GET", f"/{name}/x"))
                    wait_for("the trial, or 503", lambda: backend.connections == 2 or select.select([sock], [], [], 0)[0])
                    if backend.connections < 2:
                        assert b" 503 " in raw.request_of(sock)[0]
                        time.sleep(0.1)
                assert postern.call(f"/{name}/x").status == 503, "the trial is under way"
                if not leaves:
                    answers.set()
                    assert b" 500 " in raw.request_of(sock)[0]
            wait_for("the next one", lambda: postern.call(f"/{name}/x").status == 200, 5)
            assert time.monotonic() - tripped < 8
            answers.set()


def test_percentage_is_of_all_requests(postern, guarded):
    with Member("a") as a:
        name = guarded(a.url, dict(FIVE_HUNDREDS, percentage=50))
        assert [postern.call(f"/{name}/x").status for _ in range(6)] == [200] * 6
        a.status = 500
        assert [postern.call(f"/{name}/x").status for _ in range(7)] == [500] * 6 + [503]


def test_state_outlives_other_changes_and_ends_with_its_rule(postern, guarded):
    with Member("a") as a:
        a.status = 500
        condition = dict(FIVE_HUNDREDS, count=2)
        name = guarded(a.url, condition)
        assert postern.call(f"/{name}/x").status == 500
        postern.put(f"/backends/{name}-other", {"url": a.url, "protocol": "http"})
        assert postern.arm("PATCH", f"/backends/{name}", {"properties": {"description": "d"}},
                           headers={"If-Match": "*"}).status == 200
        assert postern.call(f"/{name}/x").status == 500, "the second one, not the first again"
        assert postern.call(f"/{name}/x").status == 503
        guarded(a.url, dict(condition, count=3), name=name)
        assert postern.call(f"/{name}/x").status == 500, "another rule begins anew"
