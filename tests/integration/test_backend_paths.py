# SPDX-License-Identifier: Apache-2.0
"""gRPC and WebSocket on every way that a backend entity can say: a pool whose first member is not there,
a proxy, and both at once with circuit breakers. The client certificate is the entity's."""
import contextlib
import json
import subprocess
import urllib.parse

import pytest
from lab import nodes, service
from lab.backends import free_port
from lab.proxies import ScriptedProxy
from lab.service import policy

OK, CANCELLED, DEADLINE_EXCEEDED, UNAVAILABLE = 0, 1, 4, 14
WAYS = ["pool", "proxy", "all"]
BREAKER = {"rules": [{"name": "r", "failureCondition": {"count": 3, "interval": "PT1M", "errorReasons": [
    "BackendConnectionFailure", "Timeout"]}, "tripDuration": "PT1M"}]}


@pytest.fixture
def reach(postern, uploaded):
    """Makes an API of `kind` that reaches `url` by `way`; returns its name and the proxy, or None."""
    with contextlib.ExitStack() as stack:
        def make(kind, url, way):
            name = service.unique(kind)
            certificate = {"credentials": {
                "certificateIds": [f"{postern.service_id}/certificates/{uploaded['p256']}"]}}
            entity = dict({"url": url, "protocol": "http"}, **certificate)
            proxy = stack.enter_context(ScriptedProxy()) if way in ("proxy", "all") else None
            if proxy:
                entity["proxy"] = {"url": proxy.url}
            if way == "all":
                entity["circuitBreaker"] = BREAKER
            if way in ("pool", "all"):
                dead = dict(entity, url=f"https://127.0.0.1:{free_port()}")
                postern.put(f"/backends/{name}-0", dead)
                postern.put(f"/backends/{name}-1", entity)
                entity = {"type": "Pool", "pool": {"services": [
                    {"id": f"/backends/{name}-{i}", "priority": i} for i in (0, 1)]}}
            postern.put(f"/backends/{name}", entity)
            more = {"protocols": ["ws", "wss"]} if kind == "websocket" else {}
            postern.make_api(name, "wss://127.0.0.1:1" if kind == "websocket" else "https://127.0.0.1:1",
                             operations=kind == "grpc", type=kind, **more)
            postern.set_policy(f"/apis/{name}", policy(f'<set-backend-service backend-id="{name}" />'))
            return name, proxy
        yield make
    assert postern.metric("postern_identity_mismatch_total") == 0


@pytest.fixture(scope="module")
def grpc(ca, tmp_path_factory):
    folder = tmp_path_factory.mktemp("grpc")
    crt, key = ca.server().write(folder, "server")
    (folder / "ca.crt").write_bytes(ca.certificate_pem)
    server = nodes.Node("grpc.mjs", serve=True, cert=str(crt), key=str(key), clientCa=str(folder / "ca.crt"))
    yield server
    server.stop()


def ask(postern, api, *calls):
    return nodes.run("grpc.mjs", target=urllib.parse.urlsplit(postern.gateway_tls).netloc, ca=postern.ca_file,
                     path=f"/{api}/test.Echo", calls=calls)


@pytest.mark.parametrize("way", WAYS)
def test_grpc(postern, grpc, reach, way):
    api, proxy = reach("grpc", grpc.url, way)
    seen = ask(postern, api, {"kind": "unary", "method": "Unary", "body": "hello"},
               {"kind": "unary", "method": "Fail", "body": "x"},
               {"kind": "unary", "method": "Hang", "body": "x", "deadlineMs": 500},
               {"kind": "chat", "count": 20})
    assert seen[0]["code"] == OK and seen[0]["trailers"]["x-subject"] == "client-p256", seen
    assert seen[1]["code"] == 9 and seen[2]["code"] == DEADLINE_EXCEEDED
    assert seen[3] == {"turns": 20, "code": OK}
    if proxy:
        assert proxy.heads and all(h.startswith("CONNECT ") for h in proxy.heads)
    if way == "all":  # what clients end is no failure of the backend
        for _ in range(3):
            assert ask(postern, api, {"kind": "unary", "method": "Hang", "body": "x", "deadlineMs": 200}
                       )[0]["code"] == DEADLINE_EXCEEDED
        assert ask(postern, api, {"kind": "unary", "method": "Unary", "body": "hello"})[0]["code"] == OK


@pytest.fixture(scope="module")
def sockets(ca, tmp_path_factory):
    folder = tmp_path_factory.mktemp("ws")
    crt, key = ca.server().write(folder, "server")
    (folder / "ca.crt").write_bytes(ca.certificate_pem)
    options = {"cert": str(crt), "key": str(key), "ca": str(folder / "ca.crt")}
    process = subprocess.Popen(["node", str(nodes.JS / "websocket.mjs"), "serve", json.dumps(options)],
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    yield f"https://localhost:{json.loads(process.stdout.readline())['port']}"
    process.stdin.close()
    process.wait(10)
    process.stdout.close()


@pytest.mark.parametrize("way", WAYS)
def test_websocket(postern, sockets, reach, way):
    api, proxy = reach("websocket", sockets, way)
    url = postern.gateway_tls.replace("https:", "wss:") + f"/{api}/"
    done = subprocess.run(["node", str(nodes.JS / "websocket.mjs"), "talk", json.dumps({
        "url": url, "ca": postern.ca_file})], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["subject"] == "client-p256" and told["pong"] and told["code"] == 4001
    assert bool(proxy and proxy.heads) == (way in ("proxy", "all"))
