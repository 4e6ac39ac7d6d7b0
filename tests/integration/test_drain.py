# SPDX-License-Identifier: Apache-2.0
"""The orderly end: balancers are told, requests are finished, connections say that they close."""
import signal
import socket
import ssl
import subprocess
import threading
import time
import urllib.parse

import pytest
from lab import raw, service, web
from lab.h2load import Http2Load
from lab.h2peer import Peer
from lab.service import policy

HEALTH = b"GET /readyz HTTP/1.1\r\nHost: gw\r\n\r\n"


@pytest.fixture
def draining(tmp_path, trust):
    """Starts one with these limits."""
    started = []

    def begin(*limits):
        options = [word for limit in limits for word in ("--limit", limit)]
        instance = service.Postern(tmp_path / "postern", environment=trust, options=options)
        instance.start()
        started.append(instance)
        return instance

    yield begin
    for instance in started:
        instance.kill()


def connect(postern):
    where = urllib.parse.urlsplit(postern.gateway)
    sock = socket.create_connection((where.hostname, where.port), timeout=10)
    return sock


def head_of(sock):
    got = b""
    while b"\r\n\r\n" not in got:
        more = sock.recv(4096)
        if not more:
            break
        got += more
    return got


def test_readyz_tells_balancers_first_while_everything_is_served(draining, echo):
    postern = draining("drain-delay=2s", "drain-idle=100ms")
    postern.make_api("delay", echo.url, policy())
    postern.process.send_signal(signal.SIGTERM)
    service.wait_for("503 of /readyz", lambda: web.Session(postern.gateway)
                     .get("/readyz").status == 503, 5)
    kept = web.Session(postern.gateway, keep=True)
    for _ in range(3):
        assert kept.get("/delay/x").status == 200
        assert web.Session(postern.gateway).get("/healthz").status == 200
    assert postern.process.wait(20) == 0
    kept.close()


def test_kept_connection_gets_one_more_answer_that_says_close(draining, echo):
    postern = draining("drain-idle=3s")
    postern.make_api("idle", echo.url, policy())
    with connect(postern) as first, connect(postern) as second:
        for sock in (first, second):
            sock.sendall(b"GET /idle/x HTTP/1.1\r\nHost: gw\r\n\r\n")
            head = head_of(sock)
            assert b" 200 " in head and b"close" not in head.lower()
        postern.process.send_signal(signal.SIGTERM)
        service.wait_for("the drain", lambda: "event=draining" in postern.log(), 5)
        first.sendall(HEALTH)
        head = head_of(first)
        assert b" 503 " in head and b"connection: close" in head.lower()
        begun = time.monotonic()
        second.settimeout(10)
        while second.recv(4096):
            pass
        assert time.monotonic() - begun < 6, "an idle one is closed"
    assert postern.process.wait(20) == 0


def test_request_that_takes_too_long_is_ended_at_the_limit(draining, echo):
    release = threading.Event()
    echo.route("/never", lambda handler: (release.wait(20), handler.answer(200)))
    postern = draining("drain-timeout=1s")
    postern.make_api("never", echo.url, policy())
    with connect(postern) as sock:
        sock.sendall(b"GET /never/never HTTP/1.1\r\nHost: gw\r\n\r\n")
        time.sleep(0.5)
        begun = time.monotonic()
        postern.process.send_signal(signal.SIGTERM)
        assert postern.process.wait(20) == 0
        assert 0.5 < time.monotonic() - begun < 8
    release.set()
    assert "event=drain_timeout connections=1" in postern.log()


def test_connection_that_opens_late_waits_no_longer_than_others(draining):
    """Its handshake began before the drain: it gets one answer, or drain-idle, not the time of a new
    connection."""
    postern = draining("drain-idle=1s", "drain-timeout=60s")
    where = urllib.parse.urlsplit(postern.gateway_tls)
    context = ssl._create_unverified_context()
    socks = [socket.create_connection((where.hostname, where.port), 10) for _ in range(3)]
    service.wait_for("its turn", lambda: postern.metric("postern_client_connections") == 3)
    postern.close_sessions()
    postern.process.send_signal(signal.SIGTERM)
    service.wait_for("the drain", lambda: "event=draining" in postern.log(), 5)
    silent, asks = (context.wrap_socket(sock) for sock in socks[:2])
    context.set_alpn_protocols(["h2"])
    http2 = context.wrap_socket(socks[2])
    with silent, asks, http2:
        asks.sendall(HEALTH.replace(b"/readyz", b"/healthz"))
        head = head_of(asks)
        assert b" 200 " in head and b"connection: close" in head.lower()
        begun = time.monotonic()
        assert silent.recv(1) == b""
        http2.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0]))
        while http2.recv(4096):
            pass
        assert time.monotonic() - begun < 6
        assert postern.process.wait(10) == 0


def test_uploads_and_tunnels_are_finished(draining):
    """Of both versions, with and without TLS; each begins before SIGTERM and ends behind it."""
    def serve(sock, _):
        head, body = raw.head_of(sock)
        if b"websocket" in head.lower():
            raw.send(sock, b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                     b"Connection: Upgrade\r\nSec-WebSocket-Accept: x\r\n\r\n")
            while piece := sock.recv(4096):
                sock.sendall(piece)
            return
        while len(body) < 30:
            piece = sock.recv(4096)
            if not piece:
                return
            body += piece
        raw.send(sock, raw.OK)

    postern = draining("drain-idle=200ms", "drain-timeout=30s")
    with raw.Script(serve) as backend:
        postern.make_api("last", backend.url, policy())
        tunnel, upload = connect(postern), connect(postern)
        tunnel.sendall(raw.request("GET", "/last/x", "Upgrade: websocket", "Connection: Upgrade",
                                   "Sec-WebSocket-Key: MDAwMDAwMDAwMDAwMDAwMA==",
                                   "Sec-WebSocket-Version: 13"))
        assert b" 101 " in head_of(tunnel)
        upload.sendall(raw.request("POST", "/last/x", "Content-Length: 30", body=b"x" * 10))
        length = [("content-length", "30")]
        peers = [Peer(postern.gateway), Peer(postern.gateway_tls, postern.ca_file)]
        for peer in peers:
            peer.request("POST", "/last/x", length, b"x" * 10, end=False)
        service.wait_for("the uploads", lambda: backend.connections == 4)
        postern.close_sessions()
        postern.process.send_signal(signal.SIGTERM)
        for peer in peers:
            assert peer.until(lambda p=peer: len(p.goaways) == 2, 10), "no further stream is taken"
        tunnel.sendall(b"hello")
        assert tunnel.recv(100) == b"hello"
        upload.sendall(b"x" * 20)
        answer = raw.read_all(upload)
        assert answer.startswith(b"HTTP/1.1 200") and b"connection: close" in answer.lower()
        for peer in peers:
            peer.data(1, b"x" * 20, end=True)
            assert peer.answer(1).status == 200
            assert peer.until(lambda p=peer: p.eof, 10)
        assert postern.process.poll() is None, "the tunnel is open"
        tunnel.close()
        assert postern.process.wait(10) == 0


def test_second_sigterm_does_not_wait(draining, echo):
    release = threading.Event()
    echo.route("/hang", lambda handler: (release.wait(20), handler.answer(200)))
    postern = draining("drain-timeout=60s")
    postern.make_api("hang", echo.url, policy())
    with connect(postern) as sock:
        sock.sendall(b"GET /hang/hang HTTP/1.1\r\nHost: gw\r\n\r\n")
        time.sleep(0.5)
        postern.process.send_signal(signal.SIGTERM)
        time.sleep(0.5)
        assert postern.process.poll() is None
        postern.process.send_signal(signal.SIGTERM)
        postern.process.wait(10)
    release.set()


def test_no_request_is_lost_by_a_stop_under_load(draining, echo):
    """Whoever is connected is answered; who comes later is refused, never cut off."""
    postern = draining("drain-idle=1s")
    postern.make_api("load", echo.url, policy())
    where = urllib.parse.urlsplit(postern.gateway)
    problems, counts = [], [0, 0]
    over = threading.Event()

    def run(keep):
        sock = None
        while not over.is_set():
            try:
                if sock is None:
                    sock = socket.create_connection((where.hostname, where.port), timeout=10)
            except ConnectionRefusedError:
                counts[1] += 1
                return
            try:
                sock.sendall(b"GET /load/x HTTP/1.1\r\nHost: gw\r\nContent-Length: 0\r\n\r\n")
                head = head_of(sock)
                if b" 200 " not in head.split(b"\r\n")[0]:
                    problems.append(head)
                    return
                length = int(next(line for line in head.lower().split(b"\r\n")
                                  if line.startswith(b"content-length")).split(b":")[1])
                rest = len(head.split(b"\r\n\r\n", 1)[1])
                while rest < length:
                    rest += len(sock.recv(65536))
                counts[0] += 1
                if not keep or b"connection: close" in head.lower():
                    sock.close()
                    sock = None
            except OSError as error:
                problems.append(repr(error))
                return

    threads = [threading.Thread(target=run, args=(i % 2 == 0,)) for i in range(8)]
    for thread in threads:
        thread.start()
    time.sleep(1)
    postern.process.send_signal(signal.SIGTERM)
    assert postern.process.wait(30) == 0
    over.set()
    for thread in threads:
        thread.join()
    assert not problems, problems[:3]
    assert counts[0] > 20 and counts[1] == 8


def test_no_request_of_http2_is_lost_by_a_stop_under_load(draining, echo):
    """Streams that come between the two GOAWAYs are served as well."""
    postern = draining("drain-idle=1s")
    postern.make_api("load", echo.url, policy())
    load = Http2Load(postern, "/load/x")
    time.sleep(1)
    postern.process.send_signal(signal.SIGTERM)
    assert postern.process.wait(30) == 0
    assert load.end() > 20
    assert load.refused == len(load.threads) and load.goaways >= len(load.threads)


def test_http2_stays_open_for_a_last_request(draining, echo):
    """As kept connections of HTTP/1.1 do: what was on its way at the first GOAWAY is answered."""
    postern = draining("drain-idle=2s")
    postern.make_api("last", echo.url, policy())
    with Peer(postern.gateway) as peer:
        assert peer.call("GET", "/last/x").status == 200
        postern.process.send_signal(signal.SIGTERM)
        assert peer.until(lambda: peer.goaways, 5)
        time.sleep(0.5)
        assert peer.call("GET", "/last/x").status == 200
        assert peer.until(lambda: peer.eof, 10)
        assert peer.goaways[0] == (2**31 - 1, 0) and peer.goaways[-1] == (3, 0)
    assert postern.process.wait(20) == 0


def test_service_manager_is_told(tmp_path, trust):
    """sd_notify's protocol: READY=1 when all serve, STOPPING=1 at the end."""
    path = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(path)
        manager.settimeout(60)
        postern = service.Postern(tmp_path / "postern",
                                  environment=dict(trust, NOTIFY_SOCKET=path))
        postern.start()
        assert manager.recv(4096) == b"READY=1"
        postern.process.send_signal(signal.SIGUSR2)
        assert manager.recv(4096).startswith(b"RELOADING=1\nMONOTONIC_USEC=")
        assert manager.recv(4096) == b"READY=1"
        postern.stop()
        assert manager.recv(4096) == b"STOPPING=1"
