# SPDX-License-Identifier: Apache-2.0
"""Where the gateway listens: several addresses, IPv6, Unix sockets, none; and its connection limits."""
import json
import os
import pathlib
import re
import socket
import stat
import subprocess
import threading
import urllib.parse

import pytest
from lab import backends, service, web
from lab.raw import OK, Script, connect, request_of, send
from lab.service import policy

HEALTH = b"GET /healthz HTTP/1.1\r\nHost: gw\r\nConnection: close\r\n\r\n"
POSTERN = service.BIN / "postern"


def ask(address, data=HEALTH):
    family = socket.AF_UNIX if isinstance(address, str) else \
        socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    with socket.socket(family) as sock:
        sock.settimeout(10)
        sock.connect(address)
        sock.sendall(data)
        got = b""
        while True:
            try:
                more = sock.recv(65536)
            except ConnectionResetError:
                break
            if not more:
                break
            got += more
        return got


def start(tmp_path, trust, *options):
    return service.Postern(tmp_path / "postern", environment=trust, options=options)


def test_several_addresses_and_a_unix_socket_serve_the_same(tmp_path, trust, echo):
    ports = [backends.free_port() for _ in range(3)]
    path = str(tmp_path / "http.sock")
    postern = start(tmp_path, trust, "--gateway", f"127.0.0.1:{ports[0]},[::1]:{ports[1]}",
                    "--gateway", f"127.0.0.2:{ports[2]}", "--gateway", f"unix:{path},mode=0600")
    postern.start()
    try:
        for address in (("127.0.0.1", ports[0]), ("::1", ports[1]), ("127.0.0.2", ports[2]), path):
            assert b"200 OK" in ask(address), address
        with socket.socket() as sock:
            assert sock.connect_ex(("127.0.0.1", ports[1])) != 0, "an IPv6 address is IPv6 only"
        shown = postern.ready["gatewayAddresses"]
        assert {f"127.0.0.1:{ports[0]}", f"[::1]:{ports[1]}", f"127.0.0.2:{ports[2]}",
                f"unix:{path}"} <= set(shown)
        service.wait_for("the line of addresses", lambda: f"unix:{path}" in postern.log(), 10)
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
        postern.make_api("unix", echo.url, policy())
        assert b" 200 " in ask(path, HEALTH.replace(b"/healthz", b"/unix/x"))
    finally:
        postern.stop()
    assert not pathlib.Path(path).exists(), "the socket's file is removed at the end"


def test_socket_file_of_a_killed_postern_is_replaced(tmp_path, trust):
    path = str(tmp_path / "http.sock")
    postern = start(tmp_path, trust, "--gateway", f"unix:{path}")
    postern.start()
    family = postern.family()
    postern.kill()
    service.wait_for("its children's end", lambda: not any(
        service.executable_of(p).startswith("postern") for p in family), 30)
    assert pathlib.Path(path).exists()
    postern.start()
    try:
        assert b"200 OK" in ask(path)
        second = subprocess.run([POSTERN, "serve", "--data", tmp_path / "other", "--gateway",
                                 f"unix:{path}", "--gateway-tls", "none", "--control",
                                 "localhost:0", "--vault", "localhost:0"], capture_output=True,
                                text=True, timeout=30)
        assert second.returncode == 1 and "another program listens" in second.stderr
        assert b"200 OK" in ask(path)
    finally:
        postern.stop()


def test_listener_can_be_switched_off(tmp_path, trust):
    data = tmp_path / "data"
    path = tmp_path / "tls.sock"
    process = subprocess.Popen(
        [POSTERN, "serve", "--data", data, "--gateway", "none", "--gateway-tls", f"unix:{path}",
         "--control", "localhost:0", "--vault", "localhost:0"],
        stdout=(tmp_path / "log").open("wb"), stderr=subprocess.STDOUT, env=dict(os.environ, **trust))
    try:
        service.wait_for("ready.json", (data / "ready.json").exists, 60)
        ready = json.loads((data / "ready.json").read_text())
        assert "gatewayUrl" not in ready and "gatewayTlsUrl" not in ready
        assert ready["gatewayAddresses"] == [] and ready["gatewayTlsAddresses"] == [f"unix:{path}"]
        done = subprocess.run(["curl", "-sS", "--unix-socket", path, "--cacert", ready["caFile"],
                               "https://localhost/healthz"], capture_output=True, text=True,
                              timeout=20)
        assert done.stdout == "ok\n", done
    finally:
        process.terminate()
        assert process.wait(40) == 0


@pytest.mark.parametrize("flags, part", [
    (["--gateway", "8080"], "neither an address"),
    (["--gateway", "127.0.0.1:80,trusted=10.0.0.0/8"], "needs 'proxy'"),
    (["--control", "unix:/tmp/x"], "for the gateway's listeners only"),
    (["--limit", "client-conections=5"], "did you mean 'client-connections'?"),
    (["--limit", "client-connections=0"], "wants a number from 1 to"),
    (["--limit", "client-connections"], "NAME=VALUE"),
])
def test_wrong_setting_is_told_before_anything_starts(tmp_path, flags, part):
    done = subprocess.run([POSTERN, "serve", "--data", tmp_path / "d", "--check", *flags],
                          capture_output=True, text=True, timeout=30)
    assert done.returncode == 2 and part in done.stderr, done
    assert not (tmp_path / "d").exists()


def test_check_says_nothing_when_all_is_well(tmp_path):
    done = subprocess.run([POSTERN, "serve", "--data", tmp_path / "d", "--check", "--limit",
                           "drain-timeout=1m"], capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def hits(postern, name):
    text = postern.session(postern.control).get("/metrics").text
    return int(re.search(rf'^postern_limit_hits_total\{{limit="{name}"\}} (\d+)$', text,
                         re.M).group(1))


def test_client_above_the_connection_limit_is_told_503(tmp_path, trust):
    postern = start(tmp_path, trust, "--threads", "1", "--limit", "client-connections=4")
    postern.start()
    try:
        where = urllib.parse.urlsplit(postern.gateway)
        kept = [web.Session(postern.gateway, keep=True) for _ in range(4)]
        for session in kept:
            assert session.get("/healthz").status == 200
        answer = ask((where.hostname, where.port))
        assert answer.startswith(b"HTTP/1.1 503 ") and b"Retry-After: 1" in answer
        assert hits(postern, "client-connections") == 1
        for session in kept:
            assert session.get("/healthz").status == 200, "those who are in stay in"
            session.close()
        service.wait_for("a place", lambda: b"200 OK" in ask((where.hostname, where.port)))
    finally:
        postern.stop()


def test_connection_limit_is_of_all_threads_together(tmp_path, trust):
    """A kernel that is not busy wakes the same thread for every connection: it has no share of its
    own that is full before the others have any."""
    postern = start(tmp_path, trust, "--threads", "4", "--limit", "client-connections=24")
    postern.start()
    try:
        where = urllib.parse.urlsplit(postern.gateway)
        kept = [web.Session(postern.gateway, keep=True) for _ in range(24)]
        for session in kept:
            assert session.get("/healthz").status == 200
        assert hits(postern, "client-connections") == 0
        assert ask((where.hostname, where.port)).startswith(b"HTTP/1.1 503 ")
        assert hits(postern, "client-connections") == 1
        for session in kept:
            session.close()
        service.wait_for("a place", lambda: b"200 OK" in ask((where.hostname, where.port)))
        service.wait_for("the others' end", lambda: postern.metric("postern_client_connections") == 0)
    finally:
        postern.stop()


def test_connections_that_stay_are_spread_over_the_threads(tmp_path, trust):
    """Else one thread sheds at its share of open-requests while the others have nothing to do."""
    def slow(sock, _):
        if request_of(sock)[0]:
            release.wait(30)
            send(sock, OK)

    release = threading.Event()
    postern = start(tmp_path, trust, "--threads", "4", "--limit", "open-requests=80")
    postern.start()
    with Script(slow) as backend:
        try:
            postern.make_api("slow", backend.url, policy())
            socks = []
            for i in range(32):
                socks.append(connect(postern))
                socks[-1].sendall(b"GET /slow/x HTTP/1.1\r\nHost: gw\r\n\r\n")
                service.wait_for("the backend", lambda: backend.connections > i)
            release.set()
            assert all(b" 200 " in sock.recv(4096) for sock in socks)
            assert hits(postern, "open-requests") == 0
            for sock in socks:
                sock.close()
        finally:
            release.set()
            postern.stop()


def test_one_address_gets_its_share_and_no_more(tmp_path, trust):
    postern = start(tmp_path, trust, "--limit", "client-connections-per-address=3")
    postern.start()
    try:
        where = urllib.parse.urlsplit(postern.gateway)
        kept = [web.Session(postern.gateway, keep=True) for _ in range(3)]
        for session in kept:
            assert session.get("/healthz").status == 200
        assert b"200 OK" not in ask((where.hostname, where.port))
        assert hits(postern, "client-connections-per-address") == 1
        with socket.socket() as sock:
            sock.bind(("127.0.0.7", 0))
            sock.settimeout(10)
            sock.connect((where.hostname, where.port))
            sock.sendall(HEALTH)
            assert b"200 OK" in sock.recv(4096), "another address has a share of its own"
        kept[0].close()
        service.wait_for("a place", lambda: b"200 OK" in ask((where.hostname, where.port)))
        for session in kept[1:]:
            session.close()
    finally:
        postern.stop()


def test_manual_has_the_table_of_limits():
    """docs/operating.md lists each limit with its default; nothing is missing and nothing is made
    up."""
    listed = subprocess.run([POSTERN, "serve", "--list-limits"], capture_output=True, text=True,
                            check=True, timeout=20).stdout.splitlines()[1:]
    table = {line.split()[0]: line.split()[1] for line in listed}
    manual = (service.ROOT / "docs/operating.md").read_text()
    rows = dict(re.findall(r"^\| `([a-z0-9-]+)` \| ([0-9a-zA-Z]+) \|", manual, re.M))
    assert {k: v for k, v in rows.items() if k in table} == table
    page = (service.ROOT / "docs/man/postern.1").read_text()
    assert not [name for name in table if name.replace("-", "\\-") not in page and
                name not in page], "the manual page names every limit"


def test_open_files_are_raised_to_the_hard_limit(own_postern):
    limits = pathlib.Path(f"/proc/{own_postern.pid('gateway')}/limits").read_text()
    soft, hard = re.search(r"^Max open files\s+(\S+)\s+(\S+)", limits, re.M).groups()
    assert soft == hard
