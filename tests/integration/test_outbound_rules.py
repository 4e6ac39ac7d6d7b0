# SPDX-License-Identifier: Apache-2.0
"""What network rules do to requests that are at work when they come, over every kind of connection,
and how denied connections are counted."""
import contextlib
import http.client
import json
import re
import threading
import time
import urllib.parse

import pytest
from lab import backends, h2peer, raw, service
from lab.nodes import Node
from test_expiry import Receiver
from test_security_groups import Group, NETWORK, rule
from test_websocket import Tunnel, read_some, shake, websocket_api

DRAIN_S = 2


@pytest.fixture(scope="module")
def receiver():
    hook = Receiver()
    yield hook
    hook.stop()


@pytest.fixture(scope="module")
def house(tmp_path_factory, trust, receiver):
    instance = service.Postern(
        tmp_path_factory.mktemp("rules"), environment=trust,
        options=["--limit", f"backend-drain-timeout={DRAIN_S}s", "--event-webhook", receiver.url])
    instance.start()
    yield instance
    instance.stop()


@pytest.fixture(scope="module")
def group(house):
    made = Group(house, "nsg1")
    network = f"{house.group}/providers/Microsoft.Network/virtualNetworks/net1"
    made.set()
    answer = house.arm("PUT", network, {"location": "local", "properties": {
        "addressSpace": {"addressPrefixes": ["10.215.0.0/16"]},
        "subnets": [{"name": "apim", "properties": {"addressPrefix": "10.215.1.0/24",
                                                    "networkSecurityGroup": {"id": made.id}}}]}},
        version=NETWORK)
    assert answer.status == 201, answer
    answer = house.arm("PATCH", "", {"properties": {
        "virtualNetworkType": "External",
        "virtualNetworkConfiguration": {"subnetResourceId": network + "/subnets/apim"}}})
    assert answer.status == 200, answer
    return made


@pytest.fixture(autouse=True)
def open_again(group):
    yield
    group.set()


# --- requests at work ---

class Http1:
    """A backend that keeps requests to …/hold until it is told to let go."""
    forward = "<forward-request />"

    def __init__(self):
        self.server, self.go, self.begun = backends.Python(), threading.Event(), threading.Event()
        self.port = self.server.httpd.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"

        def hold(request):
            self.begun.set()
            self.go.wait(30)
            request.answer(200, b"held")
        self.server.route("/hold", hold)

    def is_begun(self):
        return self.begun.is_set()

    def release(self):
        self.go.set()

    def stop(self):
        self.release()
        self.server.stop()


class Http2:
    forward = '<forward-request http-version="2" />'

    def __init__(self):
        self.node = Node("h2_backend.mjs", scheme="http")
        self.port, self.url = self.node.port, f"http://127.0.0.1:{self.node.port}"
        self.peer = h2peer.Peer(self.url)

    def is_begun(self):
        sessions = json.loads(self.peer.call("GET", "/stats").body)
        return any(e["open"] for e in sessions if e["id"] > 0)  # 0 is our own

    def release(self):
        self.peer.call("GET", "/release")

    def stop(self):
        self.node.stop()


@pytest.fixture(params=[Http1, Http2])
def backend(request):
    made = request.param()
    yield made
    made.stop()


class Caller:
    """One request to …/hold in a thread; `result`: its status and body, or "cut"."""

    def __init__(self, house, api, front):
        self.house, self.path, self.front, self.result = house, f"/{api}/hold", front, None
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self):
        try:
            if self.front == "h2":
                with h2peer.Peer(self.house.gateway) as peer:
                    stream = peer.call("GET", self.path)
                    self.result = "cut" if stream.reset is not None else (stream.status, stream.body)
            else:
                url = urllib.parse.urlsplit(self.house.gateway)
                with contextlib.closing(http.client.HTTPConnection(url.netloc, timeout=30)) as one:
                    one.request("GET", self.path)
                    answer = one.getresponse()
                    self.result = answer.status, answer.read()
        except (OSError, http.client.HTTPException):
            self.result = "cut"

    def end(self):
        self.thread.join(30)
        assert not self.thread.is_alive()
        return self.result


def denied(house, **labels):
    return house.metric("postern_outbound_denied_total", **labels)


@pytest.mark.parametrize("front", ["h1", "h2"])
def test_what_is_at_work_may_finish_and_what_is_new_is_refused_at_once(house, group, backend, front):
    api = service.unique("work")
    house.make_api(api, backend.url, service.policy(backend=backend.forward, base=False))
    caller = Caller(house, api, front)
    service.wait_for("the request", backend.is_begun)
    group.set(rule("no-backend", 200, ports=backend.port))
    before, told = denied(house, kind="backend", rule="no-backend"), house.log().count("'no-backend'")
    began = time.monotonic()
    assert house.call(f"/{api}/x").status == 500
    assert time.monotonic() - began < DRAIN_S, "it does not wait for the other's end"
    service.wait_for("the log", lambda: house.log().count("'no-backend'") > told)
    assert denied(house, kind="backend", rule="no-backend") == before + 1
    backend.release()
    status, body = caller.end()
    assert status == 200 and (body == b"held" or b'"connection"' in body), (status, body)
    assert house.call(f"/{api}/x").status == 500, "its connection is not used again"


@pytest.mark.parametrize("front", ["h1", "h2"])
def test_what_does_not_finish_is_cut_at_the_drain_limit(house, group, backend, front):
    api = service.unique("work")
    house.make_api(api, backend.url, service.policy(backend=backend.forward, base=False))
    caller = Caller(house, api, front)
    service.wait_for("the request", backend.is_begun)
    began = time.monotonic()
    group.set(rule("no-backend", 200, ports=backend.port))
    result = caller.end()
    assert result == "cut" or result[0] == 500, result
    assert time.monotonic() - began > DRAIN_S - 0.5, "it had its time"
    assert re.search(r"code=network_rule .*did not end within the drain limit", house.log())


@pytest.mark.parametrize("ends", ["by itself", "at the limit"])
def test_a_websocket_lives_on_until_the_drain_limit(house, group, ends):
    with Tunnel() as backend:
        api = websocket_api(house, backend.url)
        port = urllib.parse.urlsplit(backend.url).port
        sock, head, _ = shake(house, f"/{api}")
        with sock:
            assert head.startswith(b"HTTP/1.1 101 "), head
            group.set(rule("no-socket", 200, ports=port))
            sock.sendall(b"still here")
            assert read_some(sock, 10) == b"still here"
            other, head, _ = shake(house, f"/{api}")
            other.close()
            assert head.startswith(b"HTTP/1.1 500 "), "a new one is refused at once"
            assert "'no-socket'" in house.log()
            if ends == "at the limit":
                sock.settimeout(DRAIN_S + 10)
                with contextlib.suppress(ConnectionResetError):
                    assert sock.recv(100) == b"", "cut"
        assert backend.ended.wait(10)


def test_kept_connections_of_both_versions_are_closed(house, group, backend):
    api = service.unique("idle")
    house.make_api(api, backend.url, service.policy(backend=backend.forward, base=False))
    assert house.call(f"/{api}/stats").status == 200
    kept = house.metric("postern_backend_connections")
    assert kept >= 1
    group.set(rule("no-backend", 200, ports=backend.port))
    service.wait_for("its end", lambda: house.metric("postern_backend_connections") < kept)


# --- counted by kind and rule ---

def test_each_denial_is_counted_and_told(house, group, ca):
    closed = backends.free_port()
    api = service.unique("count")
    house.make_api(api, f"http://127.0.0.1:{closed}")
    house.put(f"/backends/{api}", {"protocol": "http", "url": f"https://127.0.0.1:{closed}"})
    group.set(rule("no-count", 200, ports=closed))
    for _ in range(5):
        assert house.call(f"/{api}/x").status == 500
    assert house.arm("POST", f"/backends/{api}/probe").status == 200
    assert denied(house, kind="backend", rule="no-count") == 5
    assert denied(house, kind="probe", rule="no-count") == 1
    lines = [line for line in house.log().splitlines()
             if "event=outbound_denied kind=backend rule=no-count" in line]
    assert len(lines) == 1 and "count=1" in lines[0] and f"127.0.0.1:{closed}" in lines[0], lines
    house.delete(f"/apis/{api}")
    house.delete(f"/backends/{api}")


def test_vault_and_authority_are_counted_by_their_kind(house, group, ca):
    local = house.vault_audience.replace("//vault.", "//local.vault.")
    assert house.vault("POST", "/certificates/kinds/import", {
        "value": ca.client("kinds").pfx_base64("p"), "pwd": "p"}, origin=local).status == 200
    group.set(rule("no-vault", 110, to="AzureKeyVault"))
    body = {"properties": {"keyVault": {"secretIdentifier": f"{local}/secrets/kinds"}}}
    assert house.arm("PUT", "/certificates/kinds", body).status >= 400
    assert denied(house, kind="vault", rule="no-vault") >= 1
    group.set(rule("no-login", 120, to="AzureActiveDirectory"))
    assert house.arm("PUT", "/certificates/kinds", body).status >= 400
    assert denied(house, kind="authority", rule="no-login") >= 1
    before = denied(house, kind="authority")
    assert house.arm("GET", "/networkstatus").status == 200
    assert denied(house, kind="authority") == before, "a question of networkstatus is no connection"


def test_an_event_webhook_is_denied_until_the_rule_goes(house, group, receiver, ca):
    port = receiver.server.server_address[1]
    group.set(rule("no-hook", 130, ports=port))
    name = service.unique("ends")
    house.upload(name, ca.client(name, begins=-1, days=4))
    service.wait_for("the denial", lambda: denied(house, kind="webhook", rule="no-hook") >= 1)
    assert not receiver.of(name)
    service.wait_for("the log", lambda: re.search(r"event=webhook_failed .*'no-hook'", house.log()))
    group.set()
    service.wait_for("the event", lambda: receiver.of(name), 30)


def test_a_vault_at_a_guarded_address_is_not_asked(house):
    for host in ("169.254.169.254", "[::ffff:169.254.169.254]", "[2002:a9fe:a9fe::1]", "2852039166",
                 "168.63.129.16"):
        answer = house.arm("PUT", "/certificates/guarded", {"properties": {"keyVault": {
            "secretIdentifier": f"https://{host}/secrets/x"}}})
        assert answer.status == 400 and "no connection is made on behalf of others" in answer.text, \
            (host, answer)
    assert denied(house, kind="vault", rule="guarded-address") >= 5
