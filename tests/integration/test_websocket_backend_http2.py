# SPDX-License-Identifier: Apache-2.0
"""WebSocket to backends that speak HTTP/2 (RFC 8441): a real one in Node, whose frames are those of
`ws`, and which demands a client certificate."""
import base64
import hashlib
import json
import os
import pathlib
import socket
import ssl
import subprocess
import urllib.parse

import pytest
from lab import raw, service
from lab.nodes import Node, run
from lab.service import policy

JS = pathlib.Path(__file__).parent / "js"
KEY = base64.b64encode(os.urandom(16)).decode()
MB = 1 << 20


@pytest.fixture(scope="module")
def start(ca, tmp_path_factory):
    running = []

    def make(**options):
        folder = tmp_path_factory.mktemp("h2ws")
        crt, key = ca.server("localhost").write(folder, "backend")
        (folder / "ca.crt").write_bytes(ca.certificate_pem)
        running.append(Node("h2_websocket.mjs", cert=str(crt), key=str(key),
                            clientCa=str(folder / "ca.crt"), **options))
        return running[-1]
    yield make
    for node in running:
        node.stop()


@pytest.fixture(scope="module")
def offering(start):
    return start()


@pytest.fixture(scope="module")
def identity(postern, clients):
    name = service.unique("h2ws")
    postern.upload(name, clients["p256"])
    return name


@pytest.fixture
def api(postern, identity):
    def make(url, http, certificate=None, name=None):
        name = name or service.unique("sock")
        postern.make_api(name, url, policy(
            f'<authentication-certificate certificate-id="{certificate or identity}" />',
            f'<forward-request http-version="{http}" />' if http else ""))
        return name
    return make


def shake(postern, path, *fields):
    sock = raw.connect(postern)
    sock.sendall(raw.request("GET", path, "Connection: Upgrade", "Upgrade: websocket",
                             "Sec-WebSocket-Version: 13", f"Sec-WebSocket-Key: {KEY}", *fields))
    head, rest = raw.head_of(sock)
    return sock, head, rest


def seen(postern, name):
    return postern.call(f"/{name}/seen").json()


def talk(postern, path, is_tls):
    origin = urllib.parse.urlsplit(postern.gateway_tls if is_tls else postern.gateway)
    client = subprocess.run(
        ["node", str(JS / "websocket.mjs"), "talk", json.dumps({
            "url": f"{'wss' if is_tls else 'ws'}://localhost:{origin.port}{path}",
            "ca": str(postern.ca_file)})], capture_output=True, text=True, timeout=15)
    assert client.returncode == 0, client.stderr
    return json.loads(client.stdout)


@pytest.mark.parametrize("http", ["2", "2or1"])
@pytest.mark.parametrize("is_tls", [False, True])
def test_ws_talks_over_http2_with_the_certificate(postern, offering, api, clients, http, is_tls):
    name = api(offering.url, http)
    before = seen(postern, name)
    told = talk(postern, f"/{name}/x?a=b", is_tls)
    assert json.loads(told["subject"]) == {"subject": clients["p256"].common_name, "way": "connect"}
    assert told["echoed"] == 3 * MB and told["protocol"] == "chat"
    assert told["pong"] and told["code"] == 4001
    after = seen(postern, name)
    assert after["connects"] == before["connects"] + 1
    assert after["sessions"] == before["sessions"], "a stream of the connection that was there"
    headers = after["headers"]
    assert headers[":protocol"] == "websocket" and headers[":path"].endswith("/x?a=b")
    assert headers["sec-websocket-version"] == "13" and "sec-websocket-key" not in headers
    assert "upgrade" not in headers and "connection" not in headers
    assert postern.metric("postern_identity_mismatch_total") == 0
    service.wait_for("no tunnel", lambda: postern.metric("postern_tunnels") == 0)


def test_a_client_of_http2_reaches_it_too(postern, offering, api):
    name = api(offering.url, "2")
    found = run("h2_socket_client.mjs", url=postern.gateway_tls, ca=str(postern.ca_file),
                path=f"/{name}/raw")
    assert found["status"] == 200 and found["text"] == "over both<end>", found
    assert "sec-websocket-accept" not in found["headers"]


def test_the_first_of_all_waits_for_the_backends_settings(postern, start, api, clients):
    fresh = start()
    name = api(fresh.url, "2")
    told = talk(postern, f"/{name}/x", False)
    assert json.loads(told["subject"])["way"] == "connect"


def test_a_backend_that_does_not_offer_it_gets_http1_where_both_are_allowed(
        postern, start, api, clients):
    backend = start(offers=False, allowHTTP1=True)
    name = api(backend.url, "2or1")
    for _ in range(2):
        told = talk(postern, f"/{name}/x", False)
        assert json.loads(told["subject"]) == {
            "subject": clients["p256"].common_name, "way": "upgrade"}
    assert seen(postern, name)["connects"] == 0
    strict = api(backend.url, "2")
    sock, head, _ = shake(postern, f"/{strict}/x")
    with sock:
        assert head.startswith(b"HTTP/1.1 500 "), head
    line = [x for x in postern.log().splitlines() if f"api={strict} " in x][-1]
    assert "code=connect_not_offered " in line and "RFC 8441" in line, line
    assert postern.call(f"/{strict}/x").text == "not a socket", "other requests are served"


def test_other_upgrades_and_silence_go_by_http1(postern, start, api):
    backend = start(allowHTTP1=True)
    name = api(backend.url, None)
    told = talk(postern, f"/{name}/x", False)
    assert json.loads(told["subject"])["way"] == "upgrade"


def test_a_refusal_is_an_ordinary_answer(postern, offering, api):
    name = api(offering.url, "2")
    sock, head, rest = shake(postern, f"/{name}/no")
    with sock:
        assert head.startswith(b"HTTP/1.1 403 ") and b"x-why: no" in head.lower(), head
        assert b"101" not in head


def test_the_accept_of_the_clients_key_is_made(postern, offering, api):
    name = api(offering.url, "2")
    sock, head, _ = shake(postern, f"/{name}/raw")
    with sock:
        expected = base64.b64encode(hashlib.sha1(
            KEY.encode() + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
        assert head.startswith(b"HTTP/1.1 101 ")
        assert b"\r\nsec-websocket-accept: " + expected.lower() in head.lower()


def test_each_half_ends_by_itself(postern, offering, api):
    name = api(offering.url, "2")
    sock, head, rest = shake(postern, f"/{name}/raw")
    with sock:
        sock.sendall(b"last words")
        sock.shutdown(socket.SHUT_WR)
        assert rest + raw.read_all(sock) == b"last words<end>"
    service.wait_for("no tunnel", lambda: postern.metric("postern_tunnels") == 0)


def test_a_stream_that_is_cut_ends_the_client(postern, offering, api):
    name = api(offering.url, "2")
    sock, head, rest = shake(postern, f"/{name}/cut")
    with sock:
        sock.settimeout(10)
        try:
            received = rest + raw.read_all(sock)
        except ConnectionResetError:
            received = b"some"
        assert received in (b"", b"some")
    service.wait_for("no tunnel", lambda: postern.metric("postern_tunnels") == 0)
    assert postern.call(f"/{name}/x").text == "not a socket"


def test_a_client_that_leaves_resets_its_stream_alone(postern, offering, api):
    name = api(offering.url, "2")
    before = seen(postern, name)
    stay = [shake(postern, f"/{name}/raw")[0] for _ in range(6)]  # each thread has its connection
    sock, head, _ = shake(postern, f"/{name}/flood")
    assert b" 101 " in head
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    sock.close()
    service.wait_for("the reset", lambda: len(seen(postern, name)["resets"]) >
                     len(before["resets"]), 10)
    for stays in stay:
        with stays:
            stays.sendall(b"still here")
            assert stays.recv(10) == b"still here"
    service.wait_for("no tunnel", lambda: postern.metric("postern_tunnels") == 0)


def test_identities_have_connections_of_their_own(postern, ca, offering, api):
    name = service.unique("swap")
    postern.upload(name, ca.client(f"{name}.0"))
    one = api(offering.url, "2", certificate=name)
    old, head, rest = shake(postern, f"/{one}/raw")
    with old:
        assert b" 101 " in head
        assert json.loads(talk(postern, f"/{one}/x", False)["subject"])["subject"] == f"{name}.0"
        postern.upload(name, ca.client(f"{name}.1"))
        assert json.loads(talk(postern, f"/{one}/x", False)["subject"])["subject"] == f"{name}.1"
        old.sendall(b"the former goes on")
        assert old.recv(100) == b"the former goes on"
    assert postern.metric("postern_identity_mismatch_total") == 0


def test_a_backend_that_ends_before_its_settings_is_tried_again_once(postern, ca, api, tmp_path):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*map(str, ca.server("localhost").write(tmp_path, "backend")))
    context.set_alpn_protocols(["h2"])

    with raw.Script(lambda sock, _: sock.recv(24), context) as backend:
        name = api(backend.url, "2")
        sock, head, _ = shake(postern, f"/{name}/x")
        with sock:
            assert head.startswith(b"HTTP/1.1 500 "), head
        line = [x for x in postern.log().splitlines() if f"api={name} " in x][-1]
        assert "code=connection_closed " in line, line
        assert backend.connections == 2
