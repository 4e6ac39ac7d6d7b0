# SPDX-License-Identifier: Apache-2.0
"""HTTP/2 from clients: what they send and get, by hand and with the tools of the world."""
import contextlib
import hashlib
import json
import re
import socket
import ssl
import subprocess
import threading
import time
import urllib.parse

import pytest
from lab import backends, h2peer, raw, service

MB = 1 << 20


@pytest.fixture(scope="module")
def echo():
    backend = backends.Python()
    yield backend
    backend.stop()


@pytest.fixture(scope="module")
def api(postern, echo):
    name = service.unique("h2")
    postern.make_api(name, echo.url)
    return name


@contextlib.contextmanager
def scripted(postern, serve, **more):
    """An API in front of a backend that runs `serve`; gives its name."""
    with raw.Script(serve) as backend:
        name = service.unique("h2")
        postern.make_api(name, backend.url, **more)
        yield name


def limited(tmp_path, trust, *limits):
    options = [word for limit in limits for word in ("--limit", limit)]
    return service.Postern(tmp_path, options=options, environment=trust)


def hits(postern, limit):
    text = postern.session(postern.control).get("/metrics").text
    found = re.search(r'postern_limit_hits_total\{limit="%s"\} (\d+)' % limit, text)
    return int(found[1]) if found else 0


# --- how a connection comes to speak it ---


def test_tls_clients_choose_by_alpn(postern, api):
    with h2peer.Peer(postern.gateway_tls, postern.ca_file) as peer:
        answer = peer.call("GET", f"/{api}/x")
        assert answer.status == 200
        assert ["x-forwarded-proto", "https"] in json.loads(answer.body)["headers"]
    assert postern.session(postern.gateway_tls).get(f"/{api}/x").status == 200


def test_without_tls_the_preface_chooses(postern, api):
    with h2peer.Peer(postern.gateway) as peer:
        assert peer.call("GET", f"/{api}/x").status == 200


def test_a_preface_may_come_byte_by_byte(postern, api):
    with raw.connect(postern) as sock:
        raw.send(sock, h2peer.PREFACE + b"\0\0\0\4\0\0\0\0\0", piecewise=True)
        assert sock.recv(9)[3] == 4  # SETTINGS


def test_http_1_clients_are_not_disturbed(postern, api):
    for method in (b"POST", b"PUT", b"PROPFIND", b"PRI"):
        with raw.connect(postern) as sock:
            sock.sendall(method[:2])
            time.sleep(0.05)
            sock.sendall(method[2:] + b" /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            assert re.match(rb"HTTP/1\.1 [245]", sock.recv(4096))


# --- messages ---


def test_methods_bodies_and_heads_are_the_same_as_ever(postern, api):
    with h2peer.Peer(postern.gateway) as peer:
        for method, body in (("GET", None), ("POST", b"x" * 1000), ("PUT", b""), ("DELETE", None)):
            told = json.loads(peer.call(method, f"/{api}/a%20b?q=1", [("x-a", "1")], body).body)
            assert told["method"] == method and told["path"] == "/a%20b?q=1"
            assert told["body"] == (body or b"").decode()
            assert ["x-a", "1"] in told["headers"]
            assert ["x-forwarded-host", peer.authority] in told["headers"]


def test_head_has_a_length_and_no_body(postern, api):
    with h2peer.Peer(postern.gateway) as peer:
        answer = peer.call("HEAD", f"/{api}/x")
        assert answer.status == 200 and answer.body == b"" and int(answer.head["content-length"]) > 0


@pytest.mark.parametrize("status", [204, 304])
def test_answers_without_a_body(postern, status):
    def serve(sock, _):
        while raw.head_of(sock)[0]:
            sock.sendall(b"HTTP/1.1 %d X\r\nETag: \"a\"\r\n\r\n" % status)

    with scripted(postern, serve) as api, h2peer.Peer(postern.gateway) as peer:
        for _ in range(2):
            answer = peer.call("GET", f"/{api}/x")
            assert answer.status == status and answer.body == b""
            assert answer.head["etag"] == '"a"'


def test_cookie_crumbs_are_one_field_for_the_backend(postern, api):
    with h2peer.Peer(postern.gateway) as peer:
        told = json.loads(peer.call("GET", f"/{api}/x", [("cookie", "a=1"), ("cookie", "b=2")]).body)
    assert [v for n, v in told["headers"] if n == "cookie"] == ["a=1; b=2"]


def test_trailers_pass_both_ways(postern):
    seen = []

    def serve(sock, _):
        _, body = raw.head_of(sock)
        while b"\r\n\r\n" not in body:
            body += sock.recv(4096)
        seen.append(body)
        sock.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                     b"3\r\nabc\r\n0\r\nX-Check: 7\r\n\r\n")

    with scripted(postern, serve) as api, h2peer.Peer(postern.gateway) as peer:
        number = peer.request("POST", f"/{api}/x", [("te", "trailers")], end=False)
        peer.data(number, b"hello")
        peer.h2.send_headers(number, [("x-sum", "42")], end_stream=True)
        peer.flush()
        answer = peer.answer(number)
    assert answer.body == b"abc" and answer.trailers == {"x-check": "7"}
    assert seen and b"0\r\nx-sum: 42\r\n\r\n" in seen[0].lower()


def test_forbidden_trailers_do_not_pass_out_of_a_stream(postern):
    seen = []

    def serve(sock, _):
        _, body = raw.head_of(sock)
        while b"\r\n\r\n" not in body:
            body += sock.recv(4096)
        seen.append(body)
        sock.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n"
                     b"X-Forwarded-For: evil\r\nSet-Cookie: a=b\r\nX-Check: 7\r\n\r\n")

    with scripted(postern, serve) as api, h2peer.Peer(postern.gateway) as peer:
        number = peer.request("POST", f"/{api}/x", [("te", "trailers")], end=False)
        peer.data(number, b"hello")
        peer.h2.send_headers(number, [("x-forwarded-for", "evil"), ("forwarded", "for=evil"),
                                      ("x_forwarded_proto", "https"), ("via", "evil"),
                                      ("ocp-apim-subscription-key", "evil"), ("x-sum", "42")],
                             end_stream=True)
        peer.flush()
        answer = peer.answer(number)
    assert answer.body == b"abc" and answer.trailers == {"x-check": "7"}
    assert b"0\r\nx-sum: 42\r\n\r\n" in seen[0].lower() and b"evil" not in seen[0], seen


def test_informational_answers_come_first(postern):
    def serve(sock, _):
        raw.head_of(sock)
        sock.sendall(b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n" + raw.OK)

    with scripted(postern, serve) as api, h2peer.Peer(postern.gateway) as peer:
        answer = peer.call("GET", f"/{api}/x")
        assert [i[":status"] for i in answer.informational] == ["103"]
        assert answer.informational[0]["link"] == "</a.css>"
        assert answer.body == b"ok"


def test_expect_100_continue_is_answered_when_the_backend_wants_the_body(postern, api):
    with h2peer.Peer(postern.gateway) as peer:
        number = peer.request("POST", f"/{api}/x", [("expect", "100-continue"),
                                                   ("content-length", "5")], end=False)
        stream = peer.streams[number]
        assert peer.until(lambda: stream.informational, 10)
        assert stream.informational[0][":status"] == "100"
        peer.data(number, b"hello", end=True)
        assert json.loads(peer.answer(number).body)["body"] == "hello"


def test_an_answer_may_come_before_the_request_has_ended(postern):
    def serve(sock, _):
        raw.head_of(sock)
        sock.sendall(b"HTTP/1.1 413 No\r\nContent-Length: 3\r\nConnection: close\r\n\r\nbig")

    with scripted(postern, serve) as api, h2peer.Peer(postern.gateway) as peer:
        number = peer.request("POST", f"/{api}/x", end=False)
        peer.data(number, b"x" * 1000)
        stream = peer.answer(number)
        assert stream.status == 413 and stream.body == b"big"
        assert peer.until(lambda: stream.reset is not None)
        assert stream.reset == 0
        assert peer.call("GET", "/healthz").status == 200, "the connection goes on"


def test_refusals_are_answers_on_their_stream(postern, api):
    with h2peer.Peer(postern.gateway) as peer:
        assert peer.call("GET", "/nowhere/at/all").status == 404
        assert peer.call("GET", f"/{api}/a%00b").status == 400
        assert peer.call("GET", f"/{api}/x", [("x-big", "x" * 70000)]).status == 431
        assert peer.call("GET", f"/{api}/x").status == 200


def test_a_broken_backend_answer_resets_the_stream_only(postern, api):
    def serve(sock, _):
        raw.head_of(sock)
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")

    with scripted(postern, serve) as broken, h2peer.Peer(postern.gateway) as peer:
        stream = peer.answer(peer.request("GET", f"/{broken}/x"))
        assert stream.status == 200 and stream.reset not in (None, 0)
        assert peer.call("GET", f"/{api}/x").status == 200


# --- many at once ---


def test_streams_run_side_by_side(postern):
    gate = threading.Event()

    def serve(sock, _):
        while True:
            head, _ = raw.head_of(sock)
            if not head:
                return
            if b"/slow" in head:
                gate.wait(20)
            sock.sendall(raw.OK)

    with scripted(postern, serve) as api, h2peer.Peer(postern.gateway) as peer:
        slow = [peer.request("GET", f"/{api}/slow") for _ in range(20)]
        for _ in range(5):
            assert peer.call("GET", f"/{api}/fast").status == 200
        assert not any(peer.streams[n].ended for n in slow)
        gate.set()
        assert all(peer.answer(n).status == 200 for n in slow)


def test_a_reset_ends_its_own_exchange_only(postern):
    ended = threading.Event()

    def serve(sock, _):
        while True:
            head, _ = raw.head_of(sock)
            if not head:
                return
            if b"/hang" in head:
                assert sock.recv(1) == b""
                ended.set()
                return
            sock.sendall(raw.OK)

    with scripted(postern, serve) as api, h2peer.Peer(postern.gateway) as peer:
        number = peer.request("GET", f"/{api}/hang")
        assert peer.call("GET", f"/{api}/x").status == 200
        peer.h2.reset_stream(number, 8)
        peer.flush()
        assert ended.wait(10), "the backend was not told"
        assert peer.call("GET", f"/{api}/x").status == 200


def test_more_streams_than_allowed_are_refused(postern, api):
    with h2peer.Peer(postern.gateway) as peer:
        peer.until(lambda: peer.h2.remote_settings.max_concurrent_streams < 1000)
        assert peer.h2.remote_settings.max_concurrent_streams == 128


# --- bodies ---


@pytest.mark.parametrize("tls", [False, True])
def test_large_bodies_arrive_whole_both_ways(postern, tls):
    data = bytes(range(256)) * (4 * MB // 256)

    def serve(sock, _):
        head, body = raw.request_of(sock)
        sock.sendall(b"HTTP/1.1 200 OK\r\nX-Sum: %s\r\nContent-Length: %d\r\n\r\n" % (
            hashlib.sha256(body).hexdigest().encode(), len(body)) + body)

    with scripted(postern, serve) as api, h2peer.Peer(
            postern.gateway_tls if tls else postern.gateway, postern.ca_file) as peer:
        number = peer.request("POST", f"/{api}/x", [("content-length", str(len(data)))], end=False)
        peer.data(number, data, end=True)
        answer = peer.answer(number)
    assert answer.head["x-sum"] == hashlib.sha256(data).hexdigest() and answer.body == data


def test_a_backend_that_does_not_read_stops_the_client(postern):
    gate = threading.Event()
    total = []

    def serve(sock, _):
        count = len(raw.head_of(sock)[1])
        gate.wait(20)
        sock.settimeout(1)
        with contextlib.suppress(socket.timeout):
            while piece := sock.recv(MB):
                count += len(piece)
        total.append(count)
        sock.sendall(raw.OK)

    with scripted(postern, serve) as api, h2peer.Peer(postern.gateway) as peer:
        number = peer.request("POST", f"/{api}/x", end=False)
        sent = 0
        quiet = 0
        while sent < 64 * MB and quiet < 3:
            room = min(peer.h2.local_flow_control_window(number), 16384)
            if room > 0:
                peer.h2.send_data(number, b"x" * room)
                peer.flush()
                sent += room
                quiet = 0
            elif not peer.turn(0.3):
                quiet += 1
        assert sent < 16 * MB, "window was given though nobody took the bytes"
        gate.set()
        peer.h2.end_stream(number)
        peer.flush()
        assert peer.answer(number).status == 200
        assert total[0] > sent  # chunked: with its lines


def test_a_client_that_gives_no_window_stops_the_backend(postern):
    sent = []

    def serve(sock, _):
        raw.head_of(sock)
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (64 * MB))
        sock.settimeout(1)
        with contextlib.suppress(socket.timeout):
            while sum(sent) < 64 * MB:
                sent.append(sock.send(b"x" * 65536))

    with scripted(postern, serve) as api, \
            h2peer.Peer(postern.gateway, acknowledge=False) as peer:
        number = peer.request("GET", f"/{api}/x")
        peer.until(lambda: len(peer.streams[number].body) >= 65535, 5)
        assert not peer.turn(1)
        assert len(peer.streams[number].body) == 65535
        assert sum(sent) < 16 * MB
        assert peer.h2.inbound_flow_control_window == 0


# --- time ---


def test_a_body_that_does_not_come_is_408(tmp_path, trust, echo):
    instance = limited(tmp_path, trust, "client-body-timeout=300ms", "client-idle-timeout=1500ms",
                       "client-header-timeout=1500ms", "client-write-timeout=500ms",
                       "h2-stall-timeout=500ms")
    instance.start()
    try:
        instance.make_api("e", echo.url)
        with h2peer.Peer(instance.gateway) as peer:
            number = peer.request("POST", "/e/x", [("content-length", "10")], end=False)
            assert peer.answer(number).status == 408
            assert peer.call("GET", "/e/x").status == 200
            # ... and a connection without streams ends after its time
            assert peer.until(lambda: peer.eof, 6)
            assert peer.goaways and peer.goaways[-1][1] == 0
        assert hits(instance, "client-body-timeout") == 1
        # a head that does not end
        with h2peer.Peer(instance.gateway) as peer:
            assert peer.turn() and peer.turn(0.3) in (True, False)  # SETTINGS are acknowledged
            peer.send(b"\0\0\1\1\0\0\0\0\1\x82")  # HEADERS without END_HEADERS
            assert peer.until(lambda: peer.eof, 6)
            assert peer.goaways[-1][1] == 11
        assert hits(instance, "client-header-timeout") == 1
        # a client that takes nothing
        with scripted(instance, lambda sock, _: (raw.head_of(sock), sock.sendall(
                b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % MB + b"x" * MB))) as api:
            with h2peer.Peer(instance.gateway, acknowledge=False) as peer:
                stream = peer.answer(peer.request("GET", f"/{api}/x"), 10)
                assert stream.reset is not None and not stream.ended
                assert peer.call("GET", "/healthz").status == 200
        assert hits(instance, "h2-stall-timeout") >= 1
        check_socket_stall(instance)
    finally:
        instance.stop()


def check_socket_stall(instance):
    """A client with a wide window whose socket takes nothing."""
    block = b"x" * (8 * MB)
    with scripted(instance, lambda sock, _: (raw.head_of(sock), sock.sendall(
            b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(block) + block))) as api:
        with h2peer.Peer(instance.gateway, settings={4: 1 << 30}) as peer:
            peer.h2.increment_flow_control_window(1 << 29)
            peer.request("GET", f"/{api}/x")
            time.sleep(3)
            assert peer.until(lambda: peer.eof, 10)
        assert hits(instance, "client-write-timeout") == 1


def test_a_connection_ends_after_its_requests(tmp_path, trust, echo):
    instance = limited(tmp_path, trust, "client-requests=3")
    instance.start()
    try:
        instance.make_api("e", echo.url)
        with h2peer.Peer(instance.gateway) as peer:
            assert [peer.call("GET", "/e/x").status for _ in range(3)] == [200] * 3
            assert peer.until(lambda: peer.eof, 10)
            assert peer.goaways[-1] == (5, 0)
        with raw.connect(instance) as sock:
            for expected in (b"", b"", b"Connection: close"):
                sock.sendall(raw.request("GET", "/e/x"))
                head, _ = raw.request_of(sock)
                assert b" 200 " in head and expected in head
        assert hits(instance, "client-requests") == 2
    finally:
        instance.stop()


def test_a_drain_finishes_what_is_under_way(own_postern):
    gate = threading.Event()

    def serve(sock, _):
        raw.head_of(sock)
        gate.wait(20)
        sock.sendall(raw.OK)

    with scripted(own_postern, serve) as api, h2peer.Peer(own_postern.gateway) as peer:
        number = peer.request("GET", f"/{api}/x")
        idle = h2peer.Peer(own_postern.gateway)
        idle.turn()
        time.sleep(0.3)
        own_postern.process.terminate()
        assert peer.until(lambda: len(peer.goaways) == 2, 10), peer.goaways
        assert [g[1] for g in peer.goaways] == [0, 0]
        assert peer.goaways[0][0] == 2**31 - 1 and peer.goaways[1][0] == number
        assert idle.until(lambda: idle.eof, 10)
        gate.set()
        assert peer.answer(number).body == b"ok"
        assert peer.until(lambda: peer.eof, 10)
        assert own_postern.process.wait(20) == 0
        idle.sock.close()


# --- WebSocket over HTTP/2 (RFC 8441) ---


def test_an_extended_connect_becomes_a_handshake(postern, api):
    heads = []

    def serve(sock, _):
        head, _ = raw.head_of(sock)
        heads.append(head)
        sock.sendall(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n"
                     b"Upgrade: websocket\r\nSec-WebSocket-Accept: x\r\n"
                     b"Sec-WebSocket-Protocol: chat\r\n\r\n")
        while piece := sock.recv(65536):
            sock.sendall(piece)
        sock.sendall(b"<end>")

    with scripted(postern, serve) as ws, h2peer.Peer(postern.gateway) as peer:
        peer.until(lambda: peer.h2.remote_settings.enable_connect_protocol == 1, 5)
        assert peer.h2.remote_settings.enable_connect_protocol == 1
        number = peer.h2.get_next_available_stream_id()
        stream = peer.streams[number] = h2peer.Stream()
        peer.h2.send_headers(number, [
            (":method", "CONNECT"), (":protocol", "websocket"), (":scheme", "http"),
            (":authority", peer.authority), (":path", f"/{ws}/chat"),
            ("sec-websocket-version", "13"), ("sec-websocket-protocol", "chat")])
        peer.flush()
        assert peer.until(lambda: stream.head, 10)
        assert stream.status == 200 and stream.head["sec-websocket-protocol"] == "chat"
        assert not {"sec-websocket-accept", "upgrade", "connection"} & set(stream.head)
        data = bytes(range(256)) * 4000
        peer.data(number, data)
        assert peer.until(lambda: stream.body == data, 10)
        assert peer.call("GET", f"/{api}/x").status == 200, "other streams go on"
        peer.h2.end_stream(number)
        peer.flush()
        assert peer.answer(number).body == data + b"<end>"
    text = heads[0].lower()
    assert text.startswith(b"get /chat http/1.1\r\n")
    assert b"\r\nconnection: upgrade\r\n" in text and b"\r\nupgrade: websocket\r\n" in text
    assert re.search(rb"\r\nsec-websocket-key: [a-z0-9+/]{22}==\r\n", text), text


@pytest.mark.parametrize("protocol", ["h2c", "h2", "HTTP/2.0", "TLS/1.0"])
def test_an_extended_connect_does_not_smuggle_http(postern, protocol):
    """What would let requests past routes, keys and policies is no tunnel."""
    heads = []

    def serve(sock, _):
        head, _ = raw.head_of(sock)
        heads.append(head)
        sock.sendall(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n"
                     b"Upgrade: %s\r\n\r\n" % protocol.encode())
        sock.recv(65536)

    with scripted(postern, serve) as name, h2peer.Peer(postern.gateway) as peer:
        peer.until(lambda: peer.h2.remote_settings.enable_connect_protocol == 1, 5)
        number = peer.h2.get_next_available_stream_id()
        stream = peer.streams[number] = h2peer.Stream()
        peer.h2.send_headers(number, [
            (":method", "CONNECT"), (":protocol", protocol), (":scheme", "http"),
            (":authority", peer.authority), (":path", f"/{name}/x"),
            ("http2-settings", "AAMAAABk")])
        peer.flush()
        assert peer.until(lambda: stream.head, 10)
        assert stream.status in (400, 501) and not heads


# --- the tools of the world ---


def test_curl_and_nghttp_and_h2load(postern, api):
    for options in (["--http2-prior-knowledge", postern.gateway],
                    ["--http2", "--cacert", str(postern.ca_file), postern.gateway_tls]):
        done = subprocess.run(
            ["curl", "-sS", *options[:-1], "-w", "\n%{http_version} %{http_code}", "-d", "body",
             f"{options[-1]}/{api}/x"], capture_output=True, text=True, timeout=30)
        assert done.stdout.endswith("\n2 200"), done
        assert json.loads(done.stdout.split("\n")[0])["body"] == "body"
    done = subprocess.run(["nghttp", "-n", "-s", *[f"{postern.gateway}/{api}/{i}"
                                                   for i in range(5)]],
                          capture_output=True, text=True, timeout=30)
    assert done.stdout.count(" 200 ") == 5, done
    done = subprocess.run(["h2load", "-n", "400", "-c", "4", "-m", "25",
                           f"{postern.gateway_tls}/{api}/x"],
                          capture_output=True, text=True, timeout=60)
    assert "400 succeeded, 0 failed" in done.stdout, done


def test_node_pushes_many_requests_over_one_session(postern, api):
    script = """
import http2 from "node:http2"; import fs from "node:fs";
const [origin, path, ca] = process.argv.slice(1);
const session = http2.connect(origin, { ca: fs.readFileSync(ca) });
const one = (i) => new Promise((done, failed) => {
  const stream = session.request({ ":method": "POST", ":path": path });
  let text = "", status;
  stream.on("response", (head) => { status = head[":status"]; });
  stream.on("data", (piece) => { text += piece; });
  stream.on("end", () => done([status, JSON.parse(text).body]));
  stream.on("error", failed);
  stream.end("n" + i);
});
const all = await Promise.all(Array.from({ length: 60 }, (_, i) => one(i)));
console.log(all.every(([status, body], i) => status === 200 && body === "n" + i));
session.close();
"""
    done = subprocess.run(["node", "--input-type=module", "-e", script, postern.gateway_tls,
                           f"/{api}/x", str(postern.ca_file)],
                          capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "true", done


def test_a_tls_client_that_wants_http_1_gets_it(postern, api):
    url = urllib.parse.urlsplit(postern.gateway_tls)
    context = ssl.create_default_context(cafile=str(postern.ca_file))
    context.set_alpn_protocols(["http/1.1"])
    with socket.create_connection((url.hostname, url.port), 10) as sock, \
            context.wrap_socket(sock, server_hostname=url.hostname) as tls:
        assert tls.selected_alpn_protocol() == "http/1.1"
        tls.sendall(raw.request("GET", f"/{api}/x", "Connection: close"))
        assert tls.recv(4096).startswith(b"HTTP/1.1 200 ")
