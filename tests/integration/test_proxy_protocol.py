# SPDX-License-Identifier: Apache-2.0
"""PROXY headers on listeners: sent by hand, by curl and by haproxy; and what happens without one."""
import json
import socket
import struct
import subprocess
import time

import pytest
from lab import backends, service
from lab.h2peer import Peer
from lab.service import policy, wait_for

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
REQUEST = b"GET /who/x HTTP/1.1\r\nHost: gw\r\nConnection: close\r\n\r\n"


def v2(command, kind, body=b""):
    return SIGNATURE + bytes([0x20 | command, kind]) + struct.pack("!H", len(body)) + body


def v4(source, port, tlv=b""):
    return v2(1, 0x11, socket.inet_aton(source) + socket.inet_aton("127.0.0.1") +
              struct.pack("!HH", port, 80) + tlv)


def v6(source, port):
    return v2(1, 0x21, socket.inet_pton(socket.AF_INET6, source) +
              socket.inet_pton(socket.AF_INET6, "::1") + struct.pack("!HH", port, 80))


@pytest.fixture(scope="module")
def proxied(tmp_path_factory, trust, echo):
    """Listeners that want a header: one believes this machine, one somebody else, one is a Unix
    socket."""
    folder = tmp_path_factory.mktemp("proxied")
    ports = [backends.free_port() for _ in range(3)]
    instance = service.Postern(folder, environment=trust, options=[
        "--gateway", f"127.0.0.1:{ports[0]},[::1]:{ports[0]},proxy",
        "--gateway", f"127.0.0.1:{ports[1]},proxy,trusted=192.0.2.0/24",
        "--gateway", f"unix:{folder}/http.sock,proxy",
        "--gateway-tls", f"127.0.0.1:{ports[2]},proxy,trusted=127.0.0.1",
        "--limit", "proxy-header-timeout=2s", "--limit", "proxy-header-bytes=300",
        "--limit", "client-connections-per-address=2"])
    instance.start()
    instance.make_api("who", echo.url, policy())
    instance.ports = ports
    instance.socket_path = str(folder / "http.sock")
    yield instance
    instance.stop()


def exchange(address, data, pieces=False, half_close=False, timeout=5):
    """Sends `data`, by single bytes if so wished; everything that comes back."""
    family = socket.AF_UNIX if isinstance(address, str) else \
        socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    with socket.socket(family) as sock:
        sock.settimeout(timeout)
        sock.connect(address)
        got = b""
        try:
            for i in range(0, len(data), 1 if pieces else max(len(data), 1)):
                sock.sendall(data[i:i + 1] if pieces else data)
                if pieces:
                    time.sleep(0.001)
            if half_close:
                sock.shutdown(socket.SHUT_WR)
            while True:
                more = sock.recv(65536)
                if not more:
                    break
                got += more
        except (ConnectionResetError, BrokenPipeError):
            pass
        return got


def source_of(answer):
    """The X-Forwarded-For that the backend saw."""
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b" 200 " in head.split(b"\r\n")[0], answer
    if b"chunked" in head.lower():
        body = body.split(b"\r\n", 1)[1].rsplit(b"\r\n0\r\n", 1)[0]
    return dict(json.loads(body)["headers"]).get("x-forwarded-for")


@pytest.mark.parametrize("pieces", [False, True], ids=["whole", "byte by byte"])
@pytest.mark.parametrize("header, source", [
    (b"PROXY TCP4 203.0.113.9 127.0.0.1 4711 80\r\n", "203.0.113.9"),
    (b"PROXY TCP6 2001:db8::9 ::1 4711 80\r\n", "2001:db8::9"),
    (b"PROXY UNKNOWN\r\n", "127.0.0.1"),
    (v4("203.0.113.10", 4711), "203.0.113.10"),
    (v4("203.0.113.11", 4711, b"\x20\x00\x03abc\x04\x00\x00"), "203.0.113.11"),
    (v6("2001:db8::10", 4711), "2001:db8::10"),
    (v6("::ffff:203.0.113.13", 4711), "203.0.113.13"),
    (b"PROXY TCP6 ::ffff:203.0.113.14 ::ffff:127.0.0.1 4711 80\r\n", "203.0.113.14"),
    (v2(1, 0), "127.0.0.1"),
    (v2(1, 0, b"whatever"), "127.0.0.1"),
    (v2(0, 0), "127.0.0.1"),
    (v2(0, 0x11, socket.inet_aton("203.0.113.12") * 2 + b"\0\1\0\1"), "127.0.0.1"),
], ids=["v1 TCP4", "v1 TCP6", "v1 UNKNOWN", "v2 TCP4", "v2 with TLVs", "v2 TCP6", "v2 IPv4 as IPv6",
        "v1 IPv4 as IPv6", "v2 UNSPEC", "v2 UNSPEC with something", "v2 LOCAL",
        "v2 LOCAL with addresses"])
def test_client_address_is_that_of_the_header(proxied, header, source, pieces):
    assert source_of(exchange(("127.0.0.1", proxied.ports[0]), header + REQUEST, pieces)) == source


@pytest.mark.parametrize("former, same, other", [
    ("203.0.113.20", "203.0.113.20", "203.0.113.21"),
    ("2001:db8:0:1::1", "2001:db8:0:1:ffff::2", "2001:db8:0:2::1"),
    ("::ffff:203.0.113.30", "203.0.113.30", "::ffff:203.0.113.31"),
], ids=["IPv4", "a /64 of IPv6", "IPv4 as IPv6"])
def test_share_of_an_address_is_that_of_the_header(proxied, former, same, other):
    """Not the proxy's, who has as many as he needs."""
    def begin(source):
        sock = socket.create_connection(("127.0.0.1", proxied.ports[0]), 10)
        sock.sendall((v6 if ":" in source else v4)(source, 1) +
                     b"GET /healthz HTTP/1.1\r\nHost: gw\r\n\r\n")
        try:
            return sock, sock.recv(4096)
        except ConnectionResetError:
            return sock, b""

    def served(source):
        sock, answer = begin(source)
        sock.close()
        return b"200 OK" in answer

    refused = proxied.metric("postern_limit_hits_total", limit="client-connections-per-address")
    kept = [begin(former) for _ in range(2)]
    assert all(b"200 OK" in answer for _, answer in kept)
    assert not served(same)
    assert served(other) and served("198.51.100.1")
    assert proxied.metric("postern_limit_hits_total",
                          limit="client-connections-per-address") == refused + 1
    kept[0][0].close()
    wait_for("a place", lambda: served(same))
    kept[1][0].close()


@pytest.mark.parametrize("pieces", [False, True], ids=["whole", "byte by byte"])
@pytest.mark.parametrize("where", ["TCP", "Unix"])
def test_http2_with_prior_knowledge_may_follow_the_header(proxied, where, pieces):
    header = v4("203.0.113.15", 4711, b"\x20\x00\x03abc")
    sock = socket.socket(socket.AF_INET if where == "TCP" else socket.AF_UNIX)
    sock.settimeout(20)
    sock.connect(("127.0.0.1", proxied.ports[0]) if where == "TCP" else proxied.socket_path)
    for at in range(0, len(header), 1 if pieces else len(header)):
        sock.sendall(header[at:at + 1] if pieces else header)
    with Peer("http://gw", sock=sock) as peer:
        answer = peer.call("GET", "/who/x")
        assert answer.status == 200
        assert dict(json.loads(answer.body)["headers"])["x-forwarded-for"] == "203.0.113.15"


def test_client_that_half_closes_behind_the_header_is_answered(proxied):
    header = b"PROXY TCP4 203.0.113.9 127.0.0.1 4711 80\r\n"
    health = REQUEST.replace(b"/who/x", b"/healthz")
    assert b"200 OK" in exchange(("::1", proxied.ports[0]), header + health, half_close=True)


def test_peer_of_a_unix_socket_is_trusted_by_the_mode_of_the_socket(proxied):
    header = b"PROXY TCP4 203.0.113.9 127.0.0.1 4711 80\r\n"
    assert source_of(exchange(proxied.socket_path, header + REQUEST)) == "203.0.113.9"


@pytest.mark.parametrize("start", [
    REQUEST,
    b"PROXY TCP4 203.0.113.9 127.0.0.1 4711\r\n" + REQUEST,
    b"PROXY TCP4 203.0.113.9 127.0.0.1 4711 80\n" + REQUEST,
    b"\r\nPROXY TCP4 203.0.113.9 127.0.0.1 4711 80\r\n" + REQUEST,
    v2(1, 0x12, b"\0" * 12) + REQUEST,
    v2(1, 0x11, b"\0" * 11) + REQUEST,
    v2(3, 0x11, b"\0" * 12) + REQUEST,
    v4("203.0.113.9", 1, b"\x20\x00\x09abc") + REQUEST,
    v4("203.0.113.9", 1, b"\x20\x01\x40" + b"x" * 320) + REQUEST,
], ids=["no header", "a word too few", "bare LF", "something before", "UDP", "cut off",
        "unknown command", "TLV too long", "above proxy-header-bytes"])
def test_without_a_proper_header_nothing_is_answered(proxied, start):
    before = proxied.metric("postern_proxy_header_refused_total")
    assert exchange(("127.0.0.1", proxied.ports[0]), start) == b""
    assert proxied.metric("postern_proxy_header_refused_total") == before + 1


def test_header_that_does_not_come_in_time_ends_the_connection(proxied):
    begun = time.monotonic()
    assert exchange(("127.0.0.1", proxied.ports[0]), b"PROXY TCP4 203.0") == b""
    assert 1.5 < time.monotonic() - begun < 10
    hits = [line for line in proxied.session(proxied.control).get("/metrics").text.splitlines()
            if line.startswith('postern_limit_hits_total{limit="proxy-header-timeout"}')]
    assert int(hits[0].split()[-1]) >= 1


def test_header_from_an_address_that_is_not_trusted_is_not_believed(proxied):
    header = b"PROXY TCP4 203.0.113.9 127.0.0.1 4711 80\r\n"
    assert exchange(("127.0.0.1", proxied.ports[1]), header + REQUEST) == b""
    assert "is not among those that the listener trusts" in proxied.log()


def test_curl_sends_version_1(proxied):
    done = subprocess.run(
        ["curl", "-sS", "--haproxy-protocol", "--resolve",
         f"gw.test:{proxied.ports[0]}:127.0.0.1", f"http://gw.test:{proxied.ports[0]}/who/x"],
        capture_output=True, text=True, timeout=20)
    assert dict(json.loads(done.stdout)["headers"])["x-forwarded-for"] == "127.0.0.1", done.stderr


@pytest.mark.parametrize("version", ["send-proxy", "send-proxy-v2", "send-proxy-v2 proxy-v2-options "
                                     "unique-id,crc32c"])
@pytest.mark.parametrize("is_tls", [False, True], ids=["plain", "TLS"])
def test_haproxy_in_front_tells_the_address(proxied, tmp_path, version, is_tls):
    front = backends.free_port()
    target = f"127.0.0.1:{proxied.ports[2 if is_tls else 0]}"
    extra = "ssl verify none sni str(localhost)" if is_tls else ""
    config = tmp_path / "haproxy.cfg"
    config.write_text(
        "defaults\n mode http\n timeout connect 5s\n timeout client 10s\n timeout server 10s\n"
        f"frontend f\n bind 127.0.0.2:{front}\n unique-id-format %{{+X}}o%ci\n default_backend b\n"
        f"backend b\n server s {target} {version} {extra}\n")
    haproxy = subprocess.Popen(["haproxy", "-db", "-f", str(config)], stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL)
    try:
        def is_up():
            with socket.socket() as sock:
                return sock.connect_ex(("127.0.0.2", front)) == 0
        wait_for("haproxy", is_up)
        with socket.socket() as sock:
            sock.bind(("127.0.0.9", 0))
            sock.settimeout(10)
            sock.connect(("127.0.0.2", front))
            sock.sendall(REQUEST)
            got = b""
            while True:
                more = sock.recv(65536)
                if not more:
                    break
                got += more
        assert source_of(got) == "127.0.0.9"
    finally:
        haproxy.terminate()
        haproxy.wait()
