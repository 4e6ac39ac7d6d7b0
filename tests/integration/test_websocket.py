# SPDX-License-Identifier: Apache-2.0
"""WebSocket and other upgrades: the handshake is a request like any other, then bytes both ways."""
import base64
import contextlib
import hashlib
import json
import pathlib
import re
import socket
import ssl
import subprocess
import threading
import urllib.parse

import pytest
from lab import raw, service

JS = pathlib.Path(__file__).parent / "js"
GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
KEY = b"dGhlIHNhbXBsZSBub25jZQ=="
MB = 1 << 20


def accept_of(head):
    key = re.search(rb"(?i)\r\nsec-websocket-key: *([^\r]*)", head)[1]
    return base64.b64encode(hashlib.sha1(key + GUID).digest())


def switch(head, protocol=b"websocket", *fields):
    lines = [b"HTTP/1.1 101 Switching Protocols", b"Connection: Upgrade", b"Upgrade: " + protocol]
    if protocol == b"websocket":
        lines.append(b"Sec-WebSocket-Accept: " + accept_of(head))
    return b"\r\n".join([*lines, *fields, b"", b""])


class Tunnel(raw.Script):
    """Answers each handshake with 101 and gives back what it gets, until the other side ends."""

    def __init__(self, context=None, answer=None):
        self.heads = []
        self.peers = []
        self.ended = threading.Event()
        self.answer = answer
        super().__init__(self._serve, context)

    def _serve(self, sock, _):
        head, more = raw.head_of(sock)
        if not head:
            return
        self.heads.append(head)
        if self.context:
            self.peers.append(dict(x[0] for x in sock.getpeercert()["subject"])["commonName"])
        if self.answer:
            sock.sendall(self.answer)
            if b" 101 " not in self.answer:
                return
        else:
            protocol = re.search(rb"(?i)\r\nupgrade: *([^\r]*)", head)[1]
            sock.sendall(switch(head, protocol))
        sock.sendall(more)
        while piece := sock.recv(65536):
            sock.sendall(piece)
        sock.sendall(b"<end>")
        self.ended.set()


@pytest.fixture(scope="module")
def mutual(ca, tmp_path_factory):
    """A TLS context of a backend that demands a certificate."""
    folder = tmp_path_factory.mktemp("backend")
    crt, key = ca.server("localhost").write(folder, "backend")
    bundle = folder / "ca.crt"
    bundle.write_bytes(ca.certificate_pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(str(crt), str(key))
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(str(bundle))
    return context


@pytest.fixture(scope="module")
def identity(postern, clients):
    name = service.unique("ws")
    postern.upload(name, clients["p256"])
    return name


def handshake(path, *fields, protocol="websocket"):
    return raw.request("GET", path, "Connection: keep-alive, Upgrade", f"Upgrade: {protocol}",
                       "Sec-WebSocket-Version: 13", f"Sec-WebSocket-Key: {KEY.decode()}", *fields)


def shake(postern, path, *fields, **more):
    sock = raw.connect(postern)
    sock.sendall(handshake(path, *fields, **more))
    head, rest = raw.head_of(sock)
    return sock, head, rest


def websocket_api(postern, url, policy=None, **more):
    name = service.unique("sock")
    postern.put(f"/apis/{name}", dict({
        "displayName": name, "path": name, "type": "websocket", "protocols": ["ws", "wss"],
        "serviceUrl": url.replace("http", "ws", 1), "subscriptionRequired": False}, **more))
    if policy:
        postern.set_policy(f"/apis/{name}/operations/onHandshake", policy)
    return name


def read_some(sock, count):
    received = b""
    while len(received) < count:
        piece = sock.recv(65536)
        assert piece, received
        received += piece
    return received


# --- the handshake ---


def test_an_upgraded_connection_carries_bytes_both_ways_with_the_certificate(
        postern, mutual, identity, clients):
    with Tunnel(mutual) as backend:
        api = websocket_api(postern, backend.url, service.with_certificate(identity))
        sock, head, rest = shake(postern, f"/{api}")
        with sock:
            assert head.startswith(b"HTTP/1.1 101 "), head
            assert b"\r\nSec-WebSocket-Accept: " + accept_of(
                b"\r\nSec-WebSocket-Key: " + KEY) in head
            assert re.search(rb"(?i)\r\nconnection: upgrade\r\n", head), head
            assert re.search(rb"(?i)\r\nupgrade: websocket\r\n", head), head
            assert rest == b""
            sock.sendall(b"hello")
            assert read_some(sock, 5) == b"hello"
        assert backend.ended.wait(10), "the backend was not told of the end"
        assert backend.peers == [clients["p256"].common_name]
        text = backend.heads[0].lower()
        assert b"\r\nconnection: upgrade\r\n" in text and b"\r\nupgrade: websocket\r\n" in text
        assert b"sec-websocket-key: " + KEY.lower() in text


def test_bytes_right_behind_the_handshake_are_not_lost(postern):
    with Tunnel() as backend:
        api = websocket_api(postern, backend.url)
        with raw.connect(postern) as sock:
            sock.sendall(handshake(f"/{api}") + b"early")
            head, rest = raw.head_of(sock)
            assert b" 101 " in head
            assert rest + read_some(sock, 5 - len(rest)) == b"early"


def test_an_http_api_takes_upgrades_too(postern):
    with Tunnel() as backend:
        api = service.unique("http")
        postern.make_api(api, backend.url)
        for protocol in ("websocket", "spdy/3.1"):
            sock, head, _ = shake(postern, f"/{api}/exec", protocol=protocol)
            with sock:
                assert b" 101 " in head, head
                sock.sendall(b"x" * 1000)
                assert read_some(sock, 1000) == b"x" * 1000


@pytest.mark.parametrize("protocol", ["h2c", "TLS/1.0", "HTTP/2.0", "websocket, foo"])
def test_what_is_not_offered_is_left_out_and_the_request_goes_on(postern, protocol):
    with raw.Script(lambda sock, _: (seen.append(raw.head_of(sock)[0]),
                                     sock.sendall(raw.OK))) as backend:
        seen = []
        api = service.unique("http")
        postern.make_api(api, backend.url)
        sock, head, _ = shake(postern, f"/{api}/x", "HTTP2-Settings: AAMAAABk", protocol=protocol)
        sock.close()
        assert b" 200 " in head, head
        assert b"\r\nupgrade:" not in seen[0].lower(), seen
        assert b"\r\nhttp2-settings:" not in seen[0].lower(), seen


def test_a_refusal_of_the_backend_is_an_answer_and_the_connection_goes_on(postern):
    refusal = b"HTTP/1.1 403 No\r\nContent-Length: 2\r\nX-Why: because\r\n\r\nno"
    with Tunnel(answer=refusal) as backend:
        api = websocket_api(postern, backend.url)
        sock, head, rest = shake(postern, f"/{api}")
        with sock:
            assert b" 403 " in head and b"X-Why: because" in head
            assert rest + read_some(sock, 2 - len(rest)) == b"no"
            sock.sendall(handshake(f"/{api}"))
            assert b" 403 " in raw.head_of(sock)[0]


def test_a_backend_cannot_switch_a_plain_request(postern):
    with raw.Script(lambda sock, _: (raw.head_of(sock), sock.sendall(
            b"HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\nboo"))) as backend:
        api = service.unique("http")
        postern.make_api(api, backend.url)
        assert postern.call(f"/{api}/x").status == 500


def test_policies_run_on_the_handshake(postern):
    document = service.policy(
        '<set-header name="X-Tenant" exists-action="override"><value>t1</value></set-header>',
        outbound='<set-header name="X-Out" exists-action="override"><value>o1</value></set-header>')
    with Tunnel() as backend:
        api = websocket_api(postern, backend.url, document)
        sock, head, _ = shake(postern, f"/{api}")
        sock.close()
        assert b"X-Out: o1" in head
        assert b"X-Tenant: t1" in backend.heads[0]


def test_a_policy_that_answers_is_no_handshake(postern):
    document = service.policy('<return-response><set-status code="429" reason="Slow" />'
                              "</return-response>")
    with Tunnel() as backend:
        api = websocket_api(postern, backend.url, document)
        sock, head, _ = shake(postern, f"/{api}")
        sock.close()
        assert b" 429 " in head and backend.heads == []


def test_a_missing_certificate_fails_closed(postern, mutual):
    with Tunnel(mutual) as backend:
        api = websocket_api(postern, backend.url)
        sock, head, _ = shake(postern, f"/{api}")
        sock.close()
        assert b" 500 " in head and backend.heads == []


# --- APIs of type websocket ---


def test_subscription_keys_in_header_or_query(postern):
    with Tunnel() as backend:
        api = websocket_api(postern, backend.url, subscriptionRequired=True)
        key = service.unique("subscription-key")
        postern.put(f"{postern.service_id}/subscriptions/{key}", {"scope": f"/apis/{api}", "displayName": key,
                                               "primaryKey": key})
        for path, fields, status in ((f"/{api}", (), 401),
                                     (f"/{api}", ("Ocp-Apim-Subscription-Key: wrong",), 401),
                                     (f"/{api}", (f"Ocp-Apim-Subscription-Key: {key}",), 101),
                                     (f"/{api}?subscription-key={key}", (), 101)):
            sock, head, _ = shake(postern, path, *fields)
            sock.close()
            assert b" %d " % status in head, (path, fields, head)


def test_a_websocket_api_takes_nothing_but_handshakes(postern):
    with Tunnel() as backend:
        api = websocket_api(postern, backend.url)
        assert postern.call(f"/{api}").status == 404
        assert postern.call(f"/{api}", "POST", b"x").status == 404
        sock, head, _ = shake(postern, f"/{api}/deeper")
        sock.close()
        assert b" 404 " in head and backend.heads == []


def test_protocols_decide_about_tls(postern):
    with Tunnel() as backend:
        api = websocket_api(postern, backend.url, protocols=["wss"])
        sock, head, _ = shake(postern, f"/{api}")
        sock.close()
        assert b" 404 " in head and backend.heads == []


def test_the_handshake_operation_is_there_and_stays(postern):
    api = websocket_api(postern, "http://localhost:9")
    listed = postern.arm("GET", f"/apis/{api}/operations").json()["value"]
    assert [o["name"] for o in listed] == ["onHandshake"]
    assert listed[0]["properties"]["method"] == "GET"
    assert postern.arm("GET", f"/apis/{api}").json()["properties"]["type"] == "websocket"
    postern.put(f"/apis/{api}/operations/mine", {
        "displayName": "x", "method": "GET", "urlTemplate": "/x"}, expect=(400,))
    postern.delete(f"/apis/{api}/operations/onHandshake", expect=(400,))
    postern.delete(f"/apis/{api}")


@pytest.mark.parametrize("change", [
    {"serviceUrl": "https://localhost:9"}, {"serviceUrl": None}, {"protocols": ["https"]}])
def test_what_is_no_websocket_api_is_refused(postern, change):
    body = {"displayName": "x", "path": service.unique("p"), "type": "websocket",
            "protocols": ["wss"], "serviceUrl": "wss://localhost:9", **change}
    body = {k: v for k, v in body.items() if v is not None}
    answer = postern.put(f"/apis/{service.unique('x')}", body, expect=(400,))
    assert answer.json()["error"]["code"] == "ValidationError"


# --- the tunnel ---


def test_much_goes_both_ways_at_once(postern, mutual, identity):
    with Tunnel(mutual) as backend:
        api = websocket_api(postern, backend.url, service.with_certificate(identity))
        sock, head, _ = shake(postern, f"/{api}")
        data = bytes(range(256)) * (8 * MB // 256)
        with sock:
            assert b" 101 " in head
            writer = threading.Thread(target=sock.sendall, args=(data,), daemon=True)
            writer.start()
            assert read_some(sock, len(data)) == data
            writer.join(10)


def test_the_client_may_end_its_half_first(postern):
    with Tunnel() as backend:
        api = websocket_api(postern, backend.url)
        sock, head, _ = shake(postern, f"/{api}")
        with sock:
            sock.sendall(b"last words")
            sock.shutdown(socket.SHUT_WR)
            assert raw.read_all(sock) == b"last words<end>"


def test_the_backend_may_end_its_half_first(postern):
    got = []
    done = threading.Event()

    def serve(sock, _):
        head, _ = raw.head_of(sock)
        sock.sendall(switch(head) + b"bye")
        sock.shutdown(socket.SHUT_WR)
        got.append(raw.read_all(sock))
        done.set()

    with raw.Script(serve) as backend:
        api = websocket_api(postern, backend.url)
        sock, head, rest = shake(postern, f"/{api}")
        with sock:
            assert rest + raw.read_all(sock) == b"bye"
            sock.sendall(b"still here")
            sock.shutdown(socket.SHUT_WR)
            assert done.wait(10)
            assert got == [b"still here"]


def test_a_reset_on_one_side_ends_the_other(postern):
    ended = threading.Event()

    def serve(sock, _):
        head, _ = raw.head_of(sock)
        sock.sendall(switch(head))
        with contextlib.suppress(OSError):
            sock.recv(1)
        ended.set()

    with raw.Script(serve) as backend:
        api = websocket_api(postern, backend.url)
        sock, _, _ = shake(postern, f"/{api}")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        sock.close()
        assert ended.wait(10)


def test_a_reader_that_does_not_read_stops_the_backend(postern):
    sent = []

    def serve(sock, _):
        head, _ = raw.head_of(sock)
        sock.sendall(switch(head))
        sock.settimeout(2)
        with contextlib.suppress(socket.timeout):
            while sum(sent) < 256 * MB:
                sent.append(sock.send(b"x" * 65536))

    with raw.Script(serve) as backend:
        api = websocket_api(postern, backend.url)
        sock, head, _ = shake(postern, f"/{api}")
        with sock:
            assert b" 101 " in head
            threading.Event().wait(1.5)
            assert sum(sent) < 32 * MB


def test_an_idle_tunnel_ends(tmp_path, trust):
    instance = service.Postern(tmp_path, environment=trust,
                               options=["--limit", "tunnel-idle-timeout=400ms"])
    instance.start()
    try:
        with Tunnel() as backend:
            api = websocket_api(instance, backend.url)
            sock, head, _ = shake(instance, f"/{api}")
            with sock:
                for _ in range(4):  # bytes keep it alive
                    threading.Event().wait(0.2)
                    sock.sendall(b"x")
                    assert sock.recv(1) == b"x"
                sock.settimeout(10)
                with contextlib.suppress(ConnectionResetError):
                    assert sock.recv(1) == b""
            text = instance.session(instance.control).get("/metrics").text
            assert 'postern_limit_hits_total{limit="tunnel-idle-timeout"} 1' in text
    finally:
        instance.stop()


# --- a client and a server of the world ---


@pytest.mark.skipif(not (JS / "node_modules" / "ws").exists(), reason="npm ci was not run")
@pytest.mark.parametrize("is_tls", [False, True])
def test_ws_talks_to_ws(postern, ca, mutual, identity, tmp_path, is_tls):
    crt, key = ca.server("localhost").write(tmp_path, "backend")
    (tmp_path / "ca.crt").write_bytes(ca.certificate_pem)
    server = subprocess.Popen(
        ["node", str(JS / "websocket.mjs"), "serve",
         json.dumps({"cert": str(crt), "key": str(key), "ca": str(tmp_path / "ca.crt")})],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        port = json.loads(server.stdout.readline())["port"]
        api = websocket_api(postern, f"https://localhost:{port}",
                            service.with_certificate(identity))
        origin = urllib.parse.urlsplit(postern.gateway_tls if is_tls else postern.gateway)
        client = subprocess.run(
            ["node", str(JS / "websocket.mjs"), "talk", json.dumps({
                "url": f"{'wss' if is_tls else 'ws'}://localhost:{origin.port}/{api}",
                "ca": str(postern.ca_file)})],
            capture_output=True, text=True, timeout=60)
        assert client.returncode == 0, client.stderr
        told = json.loads(client.stdout)
        assert told["subject"].startswith("client-p256") and told["echoed"] == 3 * MB
        assert told["protocol"] == "chat" and told["pong"] and told["code"] == 4001
    finally:
        server.stdin.close()
        server.wait(10)
