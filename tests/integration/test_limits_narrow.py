# SPDX-License-Identifier: Apache-2.0
"""Limits that shape what is done more than what is refused, made so narrow that they are seen from
outside."""
import concurrent.futures
import contextlib
import os
import re
import signal
import socket
import ssl
import struct
import subprocess
import time
import urllib.parse

import pytest
from lab import h2frames, node, raw, service, web
from lab.h2frames import ACK, END_HEADERS, END_STREAM, PREFACE, block, frame, settings
from lab.limits import Counted
from lab.proxies import ScriptedProxy
from lab.service import policy

VALUES = {"call-memory": "131072", "h2-backend-streams": "2", "h2-stream-window": "20000",
          "h2-connection-window": "100000", "h2-backend-connection-window": "200000",
          "h2-head-bytes": "65536", "h2-continuations": "6", "h2-queued-frames": "16",
          "tls-ticket-lifetime": "60s", "tls-ticket-rotation": "1s",
          "tls-client-chain-bytes": "4096", "tls-verified-chains": "2", "tls-verified-lifetime": "1s", "tls-sessions": "1",
          "tls-sessions-per-identity": "1", "backend-age": "1s", "proxy-answer-bytes": "1024",
          "backend-continue-timeout": "100ms", "backend-ping-interval": "200ms",
          "overload-lag": "40ms", "signature-timeout": "600ms"}
VERSION_2 = policy("", '<forward-request http-version="2" />')


@pytest.fixture(scope="module")
def narrow(tmp_path_factory, trust):
    options = ["--threads", "1"] + [word for name, value in VALUES.items()
                                    for word in ("--limit", f"{name}={value}")]
    instance = service.Postern(tmp_path_factory.mktemp("narrow"), options, trust)
    instance.start()
    yield instance
    instance.stop()


@pytest.fixture(scope="module")
def api(narrow):
    def serve(sock, _):
        while raw.request_of(sock)[0]:
            sock.sendall(raw.OK)

    with raw.Script(serve) as backend:
        narrow.make_api("e", backend.url)
        yield "e"


@pytest.fixture(scope="module")
def node_backend(tmp_path_factory, ca):
    backend = node.Backend(tmp_path_factory.mktemp("node"), ca.server(), ca)
    yield backend
    backend.stop()


# --- memory ---


def test_a_request_has_so_much_memory_and_no_more(narrow):
    def serve(sock, _):
        while raw.head_of(sock)[0]:
            sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n" +
                         b"X-Large: " + b"y" * 60000 + b"\r\n\r\n")

    with raw.Script(serve) as backend:
        name = service.unique("memory")
        narrow.make_api(name, backend.url)
        with Counted(narrow, "call-memory"), raw.connect(narrow) as sock:
            sock.sendall(raw.request("GET", f"/{name}/x", *[f"X-{i}: {'z' * 1000}"
                                                            for i in range(60)]))
            assert b" 500 " in raw.head_of(sock)[0]
        assert "code=out_of_memory" in narrow.log()
        assert narrow.call(f"/{name}/x").status == 200, "a smaller one fits"


# --- HTTP/2 of clients ---


def test_windows_are_announced_as_configured(narrow):
    with h2frames.Connection(narrow.gateway) as c:
        c.settle()
        values = dict(struct.iter_unpack(">HI", c.find(h2frames.SETTINGS).payload))
        assert (values[4], values[3]) == (4096, 100000 // 4096), "the least, for as many as there is room for"
        update = c.find(h2frames.WINDOW_UPDATE, 0)
        assert struct.unpack(">I", update.payload)[0] + 65535 == 2 * 100000, "streams' windows are what stops them"


def test_a_head_that_is_too_much_to_read_over_ends_the_connection(narrow):
    with Counted(narrow, "h2-head-bytes"), h2frames.Connection(narrow.gateway) as c:
        large = block(*c.head(), *[(f"x-{i}", "v" * 1000) for i in range(80)])
        pieces = [large[i:i + 16000] for i in range(0, len(large), 16000)]
        c.send(frame(h2frames.HEADERS, END_STREAM, 1, pieces[0]) +
               b"".join(frame(h2frames.CONTINUATION, 0, 1, piece) for piece in pieces[1:]))
        c.expect_goaway(h2frames.ENHANCE_YOUR_CALM)


def test_a_head_in_too_many_pieces_ends_the_connection(narrow):
    with Counted(narrow, "h2-continuations"), h2frames.Connection(narrow.gateway) as c:
        c.send(frame(h2frames.HEADERS, END_STREAM, 1, block(*c.head())) +
               frame(h2frames.CONTINUATION, 0, 1, b"") * 7)
        c.expect_goaway(h2frames.ENHANCE_YOUR_CALM)


def test_answers_that_nobody_reads_do_not_pile_up(narrow):
    def serve(sock, _):
        raw.head_of(sock)
        raw.send(sock, b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n" + b"x" * 100000000)

    with raw.Script(serve) as backend:
        name = service.unique("unread")
        narrow.make_api(name, backend.url)
        with Counted(narrow, "h2-queued-frames"), \
                h2frames.Connection(narrow.gateway, greets=False) as c:
            c.send(PREFACE + settings((4, 0x7fffffff)) + h2frames.window(0, 0x7fff0000) +
                   c.request(1, path=f"/{name}/x"))
            service.wait_for("the socket is full",
                             lambda: narrow.metric("postern_client_streams") >= 1)
            time.sleep(0.3)
            c.send(b"".join(frame(h2frames.PING, payload=struct.pack(">Q", i)) for i in range(60)))


# --- HTTP/2 to backends ---


def test_a_second_connection_carries_what_the_first_must_not(narrow, node_backend, ca):
    name = service.unique("streams")
    narrow.upload(name, ca.client(name))
    narrow.make_api(name, node_backend.url("h2"), policy(
        f'<authentication-certificate certificate-id="{name}" />',
        '<forward-request http-version="2" />'))
    assert narrow.call(f"/{name}/echo").status == 200
    before = narrow.metric("postern_backend_connected_total")
    with Counted(narrow, "h2-backend-streams"), concurrent.futures.ThreadPoolExecutor(6) as pool:
        calls = [pool.submit(lambda: web.Session(narrow.gateway).get(f"/{name}/late?ms=700").status)
                 for _ in range(6)]
        assert [c.result(20) for c in calls] == [200] * 6
    assert narrow.metric("postern_backend_connected_total") >= before + 2


def test_a_backend_is_told_of_our_window_and_asked_whether_it_lives(narrow):
    got = []

    def serve(sock, _):
        received = b""
        sock.sendall(settings())
        while piece := sock.recv(65536):
            received += piece
            frames, at = [], len(PREFACE)
            while len(received) >= at + 9:
                length = int.from_bytes(received[at:at + 3], "big")
                frames.append((received[at + 3], received[at + 4],
                               received[at + 9:at + 9 + length]))
                at += 9 + length
            got[:] = frames
            if any(kind == h2frames.PING for kind, _, _ in frames):
                sock.sendall(frame(h2frames.HEADERS, END_HEADERS | END_STREAM, 1, b"\x88"))
                received = received[:len(PREFACE)]
                time.sleep(0.1)
                return

    with raw.Script(serve) as backend:
        name = service.unique("window")
        narrow.make_api(name, backend.url, VERSION_2)
        assert narrow.call(f"/{name}/x").status == 200, "answered after the PING"
    updates = [struct.unpack(">I", p)[0] for kind, _, p in got if kind == h2frames.WINDOW_UPDATE]
    assert updates and updates[0] + 65535 == 2 * 200000
    told = next(p for kind, _, p in got if kind == h2frames.SETTINGS)
    assert dict(struct.iter_unpack(">HI", told))[4] == 20000
    assert any(kind == h2frames.PING and not flags & ACK for kind, flags, _ in got)


# --- TLS ---


def test_tickets_say_how_long_they_are_good_for(narrow):
    port = urllib.parse.urlsplit(narrow.gateway_tls).port
    told = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-servername",
                           "localhost", "-tls1_2"], input="", capture_output=True, text=True,
                          timeout=20).stdout
    assert "session ticket lifetime hint: 60 (seconds)" in told


def test_a_key_makes_tickets_for_a_while_and_opens_them_longer(narrow, tmp_path):
    port = urllib.parse.urlsplit(narrow.gateway_tls).port

    def talk(*options):
        return subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-servername",
                               "localhost", "-tls1_2", *map(str, options)], input="",
                              capture_output=True, text=True, timeout=20).stdout

    def key_name(told):
        return re.search(r"TLS session ticket:\n\s+0000 - ((?:[0-9a-f]{2}[ -]){16})", told)[1]

    first = talk("-sess_out", tmp_path / "session")
    time.sleep(1.1)
    assert key_name(talk()) != key_name(first), "another key makes them now"
    again = talk("-sess_in", tmp_path / "session")
    assert "Reused, TLSv1.2" in again, "the former one still opens what it made"


def test_a_client_that_sends_too_many_certificates_is_ended(narrow, ca, clients, tmp_path):
    identity = ca.server("long", names=("long.test",))
    answer = narrow.arm("PATCH", "", {"properties": {"hostnameConfigurations": [
        {"type": "Proxy", "hostName": "long.test", "negotiateClientCertificate": True,
         "encodedCertificate": identity.pfx_base64("pw"), "certificatePassword": "pw"}]}})
    assert answer.status == 200, answer
    crt, key = clients["p256"].write(tmp_path, "client")
    crt.write_bytes(crt.read_bytes() + ca.certificate_pem * 12)
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.load_cert_chain(str(crt), str(key))
    port = urllib.parse.urlsplit(narrow.gateway_tls).port
    with Counted(narrow, "tls-client-chain-bytes"), pytest.raises((OSError, ssl.SSLError)), \
            socket.create_connection(("127.0.0.1", port), 10) as plain, \
            context.wrap_socket(plain, server_hostname="long.test") as sock:
        sock.sendall(b"GET /healthz HTTP/1.1\r\nHost: long.test\r\n\r\n")
        assert sock.recv(1000), "the end"
        raise ConnectionResetError("it was served")


def test_what_is_remembered_of_backends_is_bounded(narrow, nginx, ca):
    """Identities with sessions, and sessions of one identity."""
    name = service.unique("tls")
    narrow.upload(name, ca.client(name))
    for server in ("good", "second"):
        narrow.make_api(f"{name}-{server}", nginx.url(server), service.with_certificate(name))
    with Counted(narrow, "tls-sessions"), Counted(narrow, "tls-sessions-per-identity"):
        for server in ("good", "second"):
            assert narrow.call(f"/{name}-{server}/x").status == 200


def test_chains_that_were_verified_are_remembered_up_to_a_number(narrow, ca, tmp_path):
    def serve(sock, _):
        raw.head_of(sock)
        sock.sendall(raw.OK)

    with contextlib.ExitStack() as stack, Counted(narrow, "tls-verified-chains"):
        for i in range(5):
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*map(str, ca.server().write(tmp_path, f"chain{i}")))
            name = service.unique("chain")
            narrow.make_api(name, stack.enter_context(raw.Script(serve, context)).url)
            assert narrow.call(f"/{name}/x").status == 200


def test_a_verified_chain_is_remembered_for_a_while(narrow, ca, tmp_path):
    def serve(sock, _):
        raw.head_of(sock)
        sock.sendall(raw.OK)

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*map(str, ca.server().write(tmp_path, "chain")))
    context.num_tickets = 0  # each handshake is a full one
    with raw.Script(serve, context) as backend:
        name = service.unique("chain")
        narrow.make_api(name, backend.url)

        def is_known():
            before = narrow.metric("postern_backend_tls_chains_known_total")
            assert narrow.call(f"/{name}/x").status == 200
            return narrow.metric("postern_backend_tls_chains_known_total") - before

        known = [is_known() for _ in range(2)]
        time.sleep(2.1)  # whole seconds count
        assert [*known, is_known()] == [0, 1, 0]


def test_a_resumed_session_lasts_no_longer_than_what_was_verified(narrow, ca, tmp_path):
    """A backend whose every answer brings new tickets: its certificate is looked at again nevertheless."""
    reused = []

    def serve(sock, _):
        reused.append(sock.session_reused)
        raw.head_of(sock)
        sock.sendall(raw.OK)

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*map(str, ca.server().write(tmp_path, "resumed")))
    with raw.Script(serve, context) as backend:
        name = service.unique("resumed")
        narrow.make_api(name, backend.url)
        begin = time.monotonic()
        while time.monotonic() - begin < 4:
            assert narrow.call(f"/{name}/x").status == 200
            time.sleep(0.05)
    fulls = len(reused) - sum(reused)
    assert 3 <= fulls <= 6 and sum(reused) > fulls, reused


# --- backends ---


def test_an_old_connection_carries_no_new_request(narrow):
    def serve(sock, number):
        while raw.head_of(sock)[0]:
            sock.sendall(b"HTTP/1.1 200 OK\r\nX-Number: %d\r\nContent-Length: 0\r\n\r\n" % number)

    with raw.Script(serve) as backend:
        name = service.unique("age")
        narrow.make_api(name, backend.url)
        with Counted(narrow, "backend-age"):
            assert narrow.call(f"/{name}/x").headers["x-number"] == "0"
            time.sleep(1.1)
            assert narrow.call(f"/{name}/x").headers["x-number"] == "1"


def test_a_proxy_that_talks_too_much_is_given_up(narrow):
    with ScriptedProxy(lambda _: b"HTTP/1.1 200 OK\r\nX: " + b"y" * 3000) as proxy:
        name = service.unique("proxy")
        narrow.put(f"/backends/{name}", {"url": "http://127.0.0.1:9", "protocol": "http",
                                         "proxy": {"url": proxy.url}})
        narrow.make_api(name, "http://127.0.0.1:1",
                        policy(f'<set-backend-service backend-id="{name}" />'))
        with Counted(narrow, "proxy-answer-bytes"):
            assert narrow.call(f"/{name}/x").status == 500
        assert "code=proxy_malformed" in narrow.log()


def test_a_backend_that_does_not_say_continue_gets_the_body_all_the_same(narrow, api):
    with Counted(narrow, "backend-continue-timeout"), raw.connect(narrow) as sock:
        sock.sendall(raw.request("POST", f"/{api}/x", "Expect: 100-continue", "Content-Length: 2"))
        head, _ = raw.head_of(sock)
        assert head.startswith(b"HTTP/1.1 100 ")
        sock.sendall(b"hi")
        assert b" 200 " in raw.head_of(sock)[0]


# --- the gateway ---


def test_a_thread_that_lags_sheds_new_requests(narrow, api):
    """Its turns last: handshakes wait for a keyholder that is stopped."""
    keyholder = narrow.pid("keyholder")
    port = urllib.parse.urlsplit(narrow.gateway_tls).port
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE

    def shake(_):
        try:
            with socket.create_connection(("127.0.0.1", port), 20) as plain, \
                    context.wrap_socket(plain, server_hostname="localhost"):
                return True
        except OSError:
            return False

    with Counted(narrow, "overload-lag"), concurrent.futures.ThreadPoolExecutor(4) as pool:
        os.kill(keyholder, signal.SIGSTOP)
        try:
            shakes = [pool.submit(shake, i) for i in range(4)]
            answers = [web.Session(narrow.gateway, timeout=30).get(f"/{api}/x") for _ in range(4)]
        finally:
            os.kill(keyholder, signal.SIGCONT)
        for done in shakes:
            done.result(30)
    shed = [a for a in answers if a.status == 503]
    assert shed and int(shed[0].headers["retry-after"]) >= 1, answers
    service.wait_for("room again", lambda: narrow.call(f"/{api}/x").status == 200, 10)
