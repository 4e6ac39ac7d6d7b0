# SPDX-License-Identifier: Apache-2.0
"""Names of backends: several addresses, families, changes, time to live, name servers that fail."""
import collections
import contextlib
import os
import socket
import subprocess
import threading
import time

import pytest
from lab import service
from lab.dns import A, AAAA, CNAME, NameServer, encoded, record, response
from lab.members import Member
from lab.proxies import ScriptedProxy
from lab.service import policy


@pytest.fixture(scope="module")
def names():
    server = NameServer()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def resolving(names, tmp_path_factory, trust):
    """A Postern that asks that name server; it keeps no idle connection, so that each request opens
    one."""
    instance = service.Postern(tmp_path_factory.mktemp("resolving"),
                               ["--dns-servers", names.address, "--limit",
                                "backend-idle-connections=0", "--threads", "1"],
                               environment=trust)
    instance.start()
    yield instance
    instance.stop()


def open_files(postern):
    return len(os.listdir(f"/proc/{postern.pid('gateway')}/fd"))


@contextlib.contextmanager
def black_hole(address, port):
    """A listener whose queue is full: a SYN gets no answer."""
    listener = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((address, port))
    listener.listen(0)
    fillers = []
    for _ in range(4):
        filler = socket.socket(listener.family)
        filler.setblocking(False)
        filler.connect_ex((address, port))
        fillers.append(filler)
    time.sleep(0.1)
    try:
        yield
    finally:
        for sock in fillers + [listener]:
            sock.close()


def test_requests_are_shared_among_the_addresses_of_a_name(resolving, names):
    with Member("one", "127.0.0.11") as one, Member("two", "127.0.0.12", one.port):
        host = f"{service.unique('shared')}.test"
        names.names[host] = ["127.0.0.11", "127.0.0.12"]
        resolving.make_api(host, f"http://{host}:{one.port}")
        seen = collections.Counter(resolving.call(f"/{host}/x").json()["member"]
                                   for _ in range(20))
        assert min(seen["one"], seen["two"]) >= 6, seen


def test_an_address_that_refuses_costs_no_request(resolving, names):
    with Member("two", "127.0.0.12") as two:
        host = f"{service.unique('half')}.test"
        names.names[host] = ["127.0.0.11", "127.0.0.12", "127.0.0.13"]
        resolving.make_api(host, f"http://{host}:{two.port}")
        begin = time.monotonic()
        assert {resolving.call(f"/{host}/x").status for _ in range(10)} == {200}
        assert time.monotonic() - begin < 5


@pytest.mark.parametrize("addresses", [["127.0.0.14", "127.0.0.12"], ["::1", "127.0.0.12"]])
def test_an_address_that_does_not_answer_costs_a_quarter_of_a_second(resolving, names, addresses):
    """Happy Eyeballs: the connect timeout is ten seconds, the next address starts after 250 ms."""
    with Member("two", "127.0.0.12") as two, black_hole(addresses[0], two.port):
        host = f"{service.unique('slow')}.test"
        names.names[host] = addresses
        resolving.make_api(host, f"http://{host}:{two.port}")
        assert resolving.call(f"/{host}/x").status == 200
        before = open_files(resolving)
        for _ in range(4):
            begin = time.monotonic()
            answer = resolving.call(f"/{host}/x")
            assert answer.status == 200 and answer.json()["member"] == "two"
            assert time.monotonic() - begin < 2.5
        service.wait_for("the losers are closed", lambda: open_files(resolving) <= before, 5)
    assert resolving.metric("postern_backend_connections") == 0


def test_an_address_of_a_proxy_that_closes_costs_no_request(resolving, names):
    """It takes the connection and hangs up instead of an answer: another one is asked."""
    with Member("behind") as behind, ScriptedProxy() as proxy:
        hangs_up = socket.create_server(("127.0.0.21", proxy.port))
        taken = []

        def serve():
            with contextlib.suppress(OSError):
                while True:
                    sock, _ = hangs_up.accept()
                    taken.append(sock.recv(4096))
                    sock.close()

        threading.Thread(target=serve, daemon=True).start()
        try:
            host = f"{service.unique('proxy')}.test"
            names.names[host] = ["127.0.0.21", "127.0.0.1"]
            resolving.put(f"/backends/{host}", {"url": behind.url, "protocol": "http",
                                                "proxy": {"url": f"http://{host}:{proxy.port}"}})
            resolving.make_api(host, "http://127.0.0.1:1", policy(f'<set-backend-service backend-id="{host}" />'))
            assert [resolving.call(f"/{host}/x", method="POST").status for _ in range(6)] == [200] * 6
            assert taken and len(behind.requests) == 6
        finally:
            hangs_up.close()


def test_new_connections_follow_a_name_that_moves(resolving, names):
    with Member("one", "127.0.0.11") as one, Member("two", "127.0.0.12", one.port):
        host = f"{service.unique('moving')}.test"
        names.names[host] = ["127.0.0.11"]
        resolving.make_api(host, f"http://{host}:{one.port}")
        assert resolving.call(f"/{host}/x").json()["member"] == "one"
        names.names[host] = ["127.0.0.12"]
        service.wait_for("the new address", lambda: resolving.call(
            f"/{host}/x").json()["member"] == "two", 5, 0.2)


def test_the_time_to_live_is_kept_and_a_failure_is_remembered_briefly(resolving, names):
    with Member("one", "127.0.0.11") as one:
        host = f"{service.unique('ttl')}.test"
        names.names[host], names.ttl = ["127.0.0.11"], 60
        try:
            resolving.make_api(host, f"http://{host}:{one.port}")
            for _ in range(5):
                assert resolving.call(f"/{host}/x").status == 200
            assert names.asked(host) == 1
        finally:
            names.ttl = 1
        missing = f"{service.unique('missing')}.test"
        resolving.make_api(missing, f"http://{missing}:{one.port}")
        begin = time.monotonic()
        while time.monotonic() - begin < 0.5:
            assert resolving.call(f"/{missing}/x").status == 500
        assert names.asked(missing) <= 2
        names.names[missing] = ["127.0.0.11"]
        service.wait_for("it is there now",
                         lambda: resolving.call(f"/{missing}/x").status == 200, 5, 0.2)


def test_addresses_outlast_their_name_server(resolving, names):
    with Member("one", "127.0.0.11") as one:
        host = f"{service.unique('stale')}.test"
        names.names[host] = ["127.0.0.11"]
        resolving.make_api(host, f"http://{host}:{one.port}")
        assert resolving.call(f"/{host}/x").status == 200
        time.sleep(1.2)
        names.is_silent = True
        try:
            assert resolving.call(f"/{host}/x").status == 200
            names.names[host] = ["127.0.0.12"]
            for _ in range(2):  # the first has found out; no other waits for an answer that does not come
                begin = time.monotonic()
                assert resolving.call(f"/{host}/x").status == 200
                assert time.monotonic() - begin < 1
                time.sleep(1.1)
        finally:
            names.is_silent = False
        assert "dns_stale" in resolving.log()
        # asked again meanwhile: it is noticed when one answers
        with Member("two", "127.0.0.12", one.port):
            service.wait_for("the new address",
                             lambda: resolving.call(f"/{host}/x").json()["member"] == "two", 15, 0.2)


def loopback(last):
    return bytes([127, 0, 0, last])


def test_an_answer_too_long_for_a_datagram_comes_over_tcp(resolving, names):
    with Member("one", "127.0.0.11") as one:
        host = f"{service.unique('long')}.test"
        names.names[host] = ["127.0.0.11"] * 60
        names.truncated.add(host)
        before = names.streams
        resolving.make_api(host, f"http://{host}:{one.port}")
        assert resolving.call(f"/{host}/x").status == 200
        assert names.streams > before


def test_a_name_of_many_addresses_and_of_no_time_to_live(resolving, names):
    """More than are kept, some for no time at all: asked again, but not for each request at once."""
    with Member("one", "127.0.0.11") as one:
        host = f"{service.unique('many')}.test"
        names.replies[host] = lambda query, kind: [response(query, [
            record(b"\xc0\x0c", A, loopback(11), 0) for _ in range(25)] if kind == A else [])]
        resolving.make_api(host, f"http://{host}:{one.port}")
        for _ in range(5):
            assert resolving.call(f"/{host}/x").status == 200
        assert names.asked(host) <= 2


def test_names_that_lead_to_each_other_lead_nowhere(resolving, names):
    a, b = (f"{service.unique('loop')}.test" for _ in range(2))
    loop = [record(a, CNAME, encoded(b)), record(b, CNAME, encoded(a))]
    names.replies[a] = names.replies[b] = lambda query, kind: [response(query, loop)]
    resolving.make_api(a, f"http://{a}:1")
    begin = time.monotonic()
    assert resolving.call(f"/{a}/x").status == 500
    assert time.monotonic() - begin < 5 and resolving.call("/healthz").status == 200


def test_an_alias_leads_to_the_addresses_of_its_target(resolving, names):
    with Member("one", "127.0.0.11") as one:
        alias, target = (f"{service.unique('alias')}.test" for _ in range(2))
        names.replies[alias] = lambda query, kind: [response(query, [
            record(alias, CNAME, encoded(target))] + ([record(target, A, loopback(11))] if kind == A else []))]
        resolving.make_api(alias, f"http://{alias}:{one.port}")
        assert resolving.call(f"/{alias}/x").json()["member"] == "one"


@pytest.mark.parametrize("family, address", [(A, "127.0.0.11"), (AAAA, "::1")])
def test_a_family_of_which_the_name_server_says_nothing_costs_no_seconds(resolving, names, family, address):
    """Each time the name is looked up: the question for both is still open when the time to live of the one
    that was answered is over."""
    with Member("one", address) as one:
        host = f"{service.unique('half')}.test"
        packed = socket.inet_pton(socket.AF_INET6 if ":" in address else socket.AF_INET, address)
        names.replies[host] = lambda query, kind: [
            response(query, [record(b"\xc0\x0c", kind, packed, 1)])] if kind == family else []
        resolving.make_api(host, f"http://{host}:{one.port}")
        for _ in range(3):
            begin = time.monotonic()
            assert resolving.call(f"/{host}/x").status == 200
            assert time.monotonic() - begin < 1.5
            time.sleep(1.1)
        names.replies.pop(host)  # now both are answered, and there are others
        names.names[host] = ["127.0.0.12"]
        with Member("two", "127.0.0.12", one.port):
            service.wait_for("the new address", lambda: resolving.call(f"/{host}/x").json()["member"] == "two", 12, 0.2)


def test_a_slow_answer_for_both_families_is_taken_whole(resolving, names):
    with Member("one", "127.0.0.11") as one:
        host = f"{service.unique('late')}.test"

        def reply(query, kind):
            time.sleep(0.4)
            packed = socket.inet_aton("127.0.0.11") if kind == A else socket.inet_pton(socket.AF_INET6, "::1")
            return [response(query, [record(b"\xc0\x0c", kind, packed, 1)])]

        names.replies[host] = reply
        resolving.make_api(host, f"http://{host}:{one.port}")
        for _ in range(3):
            assert resolving.call(f"/{host}/x").status == 200
            time.sleep(0.6)


def test_an_alias_is_followed_when_its_own_time_is_over(resolving, names):
    """The address behind it may be known for longer: who moves the alias moves the name."""
    with Member("old") as old, Member("new", host="127.0.0.2", port=old.port) as _:
        target = ["old.test", "127.0.0.1"]

        def reply(query, kind):
            records = [record(b"\xc0\x0c", CNAME, encoded(target[0]), 1)]
            if kind == A:
                records.append(record(target[0], A, socket.inet_aton(target[1]), 300))
            return [response(query, records)]

        names.replies["alias.test"] = reply
        name = service.unique("alias")
        resolving.make_api(name, f"http://alias.test:{old.port}")
        assert resolving.call(f"/{name}/x").json()["member"] == "old"
        target[:] = ["new.test", "127.0.0.2"]
        service.wait_for("the alias moves", lambda: resolving.call(f"/{name}/x").json()["member"] == "new", 5)


def test_what_is_said_of_other_names_counts_for_none_of_them(resolving, names):
    """An answer that brings records of another name along: that one is asked for by itself."""
    with Member("one", "127.0.0.11") as one, Member("evil", "127.0.0.66", one.port):
        asked, victim = (f"{service.unique('poison')}.test" for _ in range(2))
        names.names[victim] = ["127.0.0.11"]
        names.replies[asked] = lambda query, kind: [response(query, ([
            record(asked, A, loopback(11), 300), record(victim, A, loopback(66), 300)] if kind == A else []))]
        resolving.make_api(asked, f"http://{asked}:{one.port}")
        resolving.make_api(victim, f"http://{victim}:{one.port}")
        assert {resolving.call(f"/{asked}/x").json()["member"] for _ in range(8)} == {"one"}
        assert {resolving.call(f"/{victim}/x").json()["member"] for _ in range(8)} == {"one"}


def test_answers_to_other_questions_are_none(resolving, names):
    """Another id, another name, or no answer at all by its flags; the right one comes last."""
    with Member("one", "127.0.0.11") as one, Member("evil", "127.0.0.66", one.port):
        host = f"{service.unique('forged')}.test"

        def reply(query, kind):
            evil = [record(b"\xc0\x0c", A, loopback(66), 300)] if kind == A else []
            good = [record(b"\xc0\x0c", A, loopback(11))] if kind == A else []
            other = bytes([query[0] ^ 1, query[1]])
            return [response(query, evil, id_=other), response(query, evil, name="other.test"),
                    response(query, evil)[:20], b"", query[:2], response(query, good)]

        names.replies[host] = reply
        resolving.make_api(host, f"http://{host}:{one.port}")
        assert {resolving.call(f"/{host}/x").json()["member"] for _ in range(5)} == {"one"}



def test_ipv6_literals_are_backends(resolving):
    with Member("six", "::1") as six:
        name = service.unique("six")
        resolving.make_api(name, f"http://[::1]:{six.port}")
        answer = resolving.call(f"/{name}/x")
        assert answer.status == 200 and answer.json()["headers"]["Host"] == f"[::1]:{six.port}"


@pytest.mark.parametrize("servers", ["localhost", "127.0.0.1:0", "127.0.0.1,", "[::1", "::1:x", ""])
def test_name_servers_that_are_none_are_refused_at_the_start(tmp_path, servers):
    done = subprocess.run([str(service.BIN / "postern"), "serve", "--data", str(tmp_path / "d"),
                           "--dns-servers", servers], capture_output=True, text=True, timeout=30)
    assert done.returncode == 2 and "dns-servers" in done.stderr
