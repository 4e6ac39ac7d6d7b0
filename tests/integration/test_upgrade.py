# SPDX-License-Identifier: Apache-2.0
"""An upgrade under load: another version's executables take over, no connection is refused or reset,
no request lost; and what cannot take over leaves everything as it was."""
import contextlib
import json
import os
import pathlib
import shutil
import signal
import socket
import ssl
import subprocess
import threading
import time
import urllib.parse

import pytest
from lab import service, web
from lab.h2load import Http2Load
from lab.h2peer import Peer
from lab.raw import OK, Script, connect, receive, request_of, send
from lab.service import policy, wait_for

PROGRAMS = ("postern", "postern-gateway", "postern-control", "postern-keyholder", "postern-import")


def copy_programs(folder):
    folder.mkdir()
    for name in PROGRAMS:
        shutil.copy2(service.BIN / name, folder / name)
    return folder


class Versions:
    """A folder with a link `current` to one of several copies of the executables."""

    def __init__(self, folder):
        self.folder = folder
        folder.mkdir()
        self.link = folder / "current"
        self.copies = {name: copy_programs(folder / name) for name in ("old", "new")}
        self.use("old")

    def use(self, name):
        fresh = self.folder / "fresh"
        fresh.symlink_to(self.copies[name])
        fresh.replace(self.link)

    def of(self, pid):
        return pathlib.Path(os.readlink(f"/proc/{pid}/exe").split(" ")[0]).parent.name


@pytest.fixture
def versions(tmp_path):
    return Versions(tmp_path / "versions")


@pytest.fixture
def upgraded(tmp_path, trust, versions, monkeypatch):
    monkeypatch.setattr(service, "BIN", versions.link)
    instance = service.Postern(tmp_path / "postern", environment=trust,
                               options=["--limit", "drain-timeout=20s",
                                        "--limit", "hand-over-timeout=20s"])
    instance.start()
    yield instance
    if instance.process:
        instance.stop()


class Load:
    """Requests without a pause on several connections, some kept and some new for each; every one
    must be answered 200."""

    def __init__(self, postern, path, kept=3, fresh=3, origin=None, ca_file=None):
        self.failures, self.count, self.is_over = [], 0, False
        self.lock = threading.Lock()
        self.origin, self.ca_file = origin or postern.gateway, ca_file
        self.threads = [threading.Thread(target=self._run, args=(path, i < kept), daemon=True)
                        for i in range(kept + fresh)]
        for thread in self.threads:
            thread.start()

    def _run(self, path, keep):
        session = web.Session(self.origin, self.ca_file, keep=keep, timeout=20)
        while not self.is_over:
            try:
                answer = session.get(path)
                problem = None if answer.status == 200 else repr(answer)
            except OSError as error:
                problem = repr(error)
            with self.lock:
                self.count += 1
                if problem:
                    self.failures.append(problem)
        session.close()

    def end(self):
        self.is_over = True
        for thread in self.threads:
            thread.join()
        assert not self.failures, f"{len(self.failures)} of {self.count}: {self.failures[:5]}"
        return self.count


class UnixLoad(Load):
    """Over what `open_one` makes, one new connection for each request."""

    def __init__(self, open_one, path):
        self.open_one = open_one
        super().__init__(None, path, 0, 1, "unix")

    def _run(self, path, _):
        while not self.is_over:
            try:
                with self.open_one() as sock:
                    sock.sendall(f"GET {path} HTTP/1.1\r\nHost: gw\r\nConnection: close\r\n\r\n"
                                 .encode())
                    answer = b""
                    while piece := sock.recv(65536):
                        answer += piece
                    problem = None if answer.startswith(b"HTTP/1.1 200") else repr(answer)
            except OSError as error:
                problem = repr(error)
            self.count += 1
            if problem:
                self.failures.append(problem)


def until(sock, end):
    """What comes, to `end` or the peer's last word."""
    got = b""
    while end not in got:
        piece = sock.recv(65536)
        if not piece:
            break
        got += piece
    return got


def report(postern):
    try:
        return json.loads((postern.data / "upgrade.json").read_text())
    except (OSError, ValueError):
        return {}


def ask(postern, former=None):
    """SIGUSR2; the final report."""
    before = report(postern)
    postern.process.send_signal(signal.SIGUSR2)
    return wait_for("the upgrade's report", lambda: report(postern) != before and
                    report(postern).get("state") != "running" and report(postern), 60)


def gone(*pids):
    return lambda: not any(service.executable_of(pid).startswith("postern") for pid in pids)


def test_new_version_takes_over_under_load_without_a_lost_request(upgraded, versions, echo):
    upgraded.make_api("load", echo.url, policy())
    pid = upgraded.process.pid
    former = {role: upgraded.pid(role) for role in ("gateway", "control", "keyholder")}
    load = Load(upgraded, "/load/x")
    time.sleep(0.5)
    versions.use("new")
    assert ask(upgraded)["state"] == "done"
    wait_for("the former parts' end", gone(*former.values()), 30)
    time.sleep(0.3)
    assert load.end() > 50
    assert upgraded.process.pid == pid and upgraded.process.poll() is None
    for role in ("supervisor", "gateway", "control", "keyholder"):
        assert versions.of(upgraded.pid(role)) == "new", role
        assert upgraded.pid(role) not in former.values()
    upgraded.close_sessions()
    upgraded.put("/apis/load", {"displayName": "load", "path": "renamed", "serviceUrl": echo.url,
                                "protocols": ["http"], "subscriptionRequired": False})
    assert upgraded.call("/renamed/x").status == 200
    assert upgraded.call("/load/x").status == 404


@pytest.mark.skipif(not shutil.which("wrk"), reason="wrk is not installed")
def test_wrk_sees_no_error_over_two_upgrades(upgraded, versions, echo):
    upgraded.make_api("wrk", echo.url, policy('<return-response><set-status code="200" reason="OK" />'
                                              '</return-response>'))
    wrk = subprocess.Popen(["wrk", "-t1", "-c16", "-d12s", upgraded.gateway + "/wrk/x"],
                           stdout=subprocess.PIPE, text=True)
    for name in ("new", "old"):
        time.sleep(1)
        gateway = upgraded.pid("gateway")
        versions.use(name)
        assert ask(upgraded)["state"] == "done"
        wait_for("the former gateway's end", gone(gateway), 30)
    out, _ = wrk.communicate(timeout=30)
    assert "Socket errors" not in out and "Non-2xx" not in out, out
    assert versions.of(upgraded.pid("gateway")) == "old"


def test_http2_clients_lose_no_request_over_two_upgrades(upgraded, versions, echo):
    upgraded.make_api("two", echo.url, policy())
    load = Http2Load(upgraded, "/two/x")
    for name in ("new", "old"):
        time.sleep(0.5)
        gateway = upgraded.pid("gateway")
        versions.use(name)
        assert ask(upgraded)["state"] == "done"
        wait_for("the former gateway's end", gone(gateway), 30)
    time.sleep(0.3)
    assert load.end() > 50
    assert load.refused == 0
    assert load.goaways >= 4, "each connection was told, twice"


def test_no_kind_of_client_loses_a_request_over_two_upgrades(tmp_path, trust, versions, monkeypatch,
                                                             echo):
    """TLS and Unix sockets, both versions of HTTP, behind PROXY headers; kept and new connections."""
    monkeypatch.setattr(service, "BIN", versions.link)
    unix, proxied = str(tmp_path / "http.sock"), str(tmp_path / "proxied.sock")
    postern = service.Postern(tmp_path / "postern", environment=trust, options=[
        "--gateway", f"unix:{unix}", "--gateway", f"unix:{proxied},proxy",
        "--limit", "drain-timeout=20s"])
    postern.start()
    header = b"PROXY TCP4 203.0.113.9 127.0.0.1 4711 80\r\n"

    def over(path, first=b""):
        sock = socket.socket(socket.AF_UNIX)
        sock.settimeout(20)
        sock.connect(path)
        sock.sendall(first)
        return sock

    try:
        postern.make_api("kinds", echo.url, policy())
        loads = [Load(postern, "/kinds/x", 1, 1, postern.gateway_tls, postern.ca_file),
                 UnixLoad(lambda: over(unix), "/kinds/x"),
                 UnixLoad(lambda: over(proxied, header), "/kinds/x"),
                 Http2Load(postern, "/kinds/x", 1, lambda: Peer(postern.gateway_tls, postern.ca_file)),
                 Http2Load(postern, "/kinds/x", 1, lambda: Peer("http://gw", sock=over(unix))),
                 Http2Load(postern, "/kinds/x", 1,
                           lambda: Peer("http://gw", sock=over(proxied, header)))]
        for name in ("new", "old"):
            time.sleep(0.5)
            gateway = postern.pid("gateway")
            versions.use(name)
            assert ask(postern)["state"] == "done"
            wait_for("the former gateway's end", gone(gateway), 30)
        time.sleep(0.3)
        for load in loads:
            assert load.end() > 20
        assert all(load.refused == 0 for load in loads[3:])
    finally:
        postern.stop()


def test_former_gateway_begins_no_request_after_a_change_is_confirmed(upgraded, versions):
    """Promise 3 where its connections still live: one whose answer goes on, one whose TLS handshake is
    not over, one of HTTP/2 that does not stop at the first GOAWAY. Each obeys the change, or ends."""
    release = threading.Event()

    def serve(sock, _):
        while head := request_of(sock)[0]:
            if b"/long" not in head:
                send(sock, OK)
                continue
            send(sock, b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nlong")
            release.wait(30)
            send(sock, b"done")

    def begin(path):
        return f"GET /after{path} HTTP/1.1\r\nHost: gw\r\n\r\n".encode()

    with Script(serve) as backend:
        upgraded.make_api("after", backend.url, policy())
        where = urllib.parse.urlsplit(upgraded.gateway_tls)
        late = socket.create_connection((where.hostname, where.port), 20)
        with connect(upgraded) as long, late, Peer(upgraded.gateway) as peer:
            long.sendall(begin("/long"))
            assert until(long, b"long").startswith(b"HTTP/1.1 200")
            assert peer.call("GET", "/after/x").status == 200
            gateway = upgraded.pid("gateway")
            versions.use("new")
            upgraded.process.send_signal(signal.SIGUSR2)
            assert peer.until(lambda: peer.goaways, 60)
            upgraded.close_sessions()
            upgraded.set_policy("/apis/after", policy(
                '<return-response><set-status code="299" reason="New" /></return-response>'))
            assert service.executable_of(gateway) == "postern-gateway", "it has an answer to finish"
            number = peer.request("GET", "/after/x")
            release.set()
            assert until(long, b"done").endswith(b"done")
            send(long, begin("/x"))
            assert b"HTTP/1.1 200" not in receive(long, 5)
            with contextlib.suppress(OSError):
                secure = ssl._create_unverified_context().wrap_socket(late)
                secure.sendall(begin("/x"))
                assert b"HTTP/1.1 200" not in receive(secure, 5)
            stream = peer.streams[number]
            peer.until(lambda: stream.ended or stream.reset is not None or peer.eof, 10)
            assert stream.head.get(":status") in (None, "299"), stream.head
            wait_for("the former gateway's end", gone(gateway), 15)


def test_change_confirmed_during_an_upgrade_is_obeyed_by_the_next_request(upgraded, versions, echo):
    """Promise 3, also on connections that the former gateway still holds."""
    upgraded.make_api("ryw", echo.url, policy())
    kept = web.Session(upgraded.gateway, keep=True)
    assert kept.get("/ryw/x").status == 200
    versions.use("new")
    upgraded.process.send_signal(signal.SIGUSR2)
    upgraded.close_sessions()
    for i in range(20):
        value = f"v{i}"
        upgraded.set_policy("/apis/ryw", policy(
            f'<set-header name="X-Value"><value>{value}</value></set-header>'))
        for session in (kept, web.Session(upgraded.gateway)):
            answer = session.get("/ryw/x")
            assert dict(answer.json()["headers"]).get("x-value") == value, f"round {i}"
    wait_for("the upgrade", lambda: report(upgraded).get("state") == "done", 30)


def test_long_request_is_finished_by_the_former_gateway(upgraded, versions, echo):
    release = threading.Event()

    def slow(handler):
        release.wait(20)
        handler.answer(200, b"late")

    echo.route("/slow-upgrade", slow)
    upgraded.make_api("slow", echo.url, policy())
    answers = []
    caller = threading.Thread(target=lambda: answers.append(
        web.Session(upgraded.gateway, timeout=30).get("/slow/slow-upgrade")))
    caller.start()
    time.sleep(0.5)
    gateway = upgraded.pid("gateway")
    versions.use("new")
    assert ask(upgraded)["state"] == "done"
    time.sleep(1.5)
    assert service.executable_of(gateway) == "postern-gateway", "it has a request to finish"
    assert web.Session(upgraded.gateway).get("/slow/x").status == 200
    release.set()
    caller.join()
    assert answers[0].status == 200 and answers[0].body == b"late"
    wait_for("the former gateway's end", gone(gateway), 10)


def test_former_version_has_longer_for_its_requests_than_a_stop(tmp_path, trust, versions,
                                                                monkeypatch):
    """hand-over-timeout, until somebody asks for another upgrade or for the end; then drain-timeout."""
    def serve(sock, _):
        if request_of(sock)[0]:
            send(sock, b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nlong")
            sock.recv(1)

    monkeypatch.setattr(service, "BIN", versions.link)
    postern = service.Postern(tmp_path / "postern", environment=trust, options=[
        "--limit", "drain-timeout=1s", "--limit", "hand-over-timeout=40s"])
    postern.start()

    def begin(sock):
        gateway = postern.pid("gateway")
        sock.sendall(b"GET /long/x HTTP/1.1\r\nHost: gw\r\n\r\n")
        assert until(sock, b"long").endswith(b"long")
        assert ask(postern)["state"] == "done"
        time.sleep(2.5)
        assert service.executable_of(gateway) == "postern-gateway", "it has an answer to finish"
        return gateway

    with Script(serve) as backend:
        postern.make_api("long", backend.url, policy())
        with connect(postern) as sock:
            gateway = begin(sock)
            assert "still finishes" in ask(postern)["message"]
            wait_for("its end", gone(gateway), 10)
            assert "event=drain_timeout connections=1" in postern.log()
        wait_for("the keyholder's end", lambda: "former version gone" in postern.log(), 10)
        with connect(postern) as sock:
            gateway, begun = begin(sock), time.monotonic()
            postern.stop()
            assert time.monotonic() - begun < 20 and gone(gateway)()


def test_answer_that_takes_too_long_is_cut_after_an_upgrade(tmp_path, trust, versions, monkeypatch,
                                                            echo):
    release = threading.Event()
    echo.route("/too-long", lambda handler: (release.wait(20), handler.answer(200)))
    monkeypatch.setattr(service, "BIN", versions.link)
    postern = service.Postern(tmp_path / "postern", environment=trust, options=[
        "--limit", "hand-over-timeout=1s"])
    postern.start()
    try:
        postern.make_api("cut", echo.url, policy())
        with connect(postern) as sock:
            sock.sendall(b"GET /cut/too-long HTTP/1.1\r\nHost: gw\r\n\r\n")
            time.sleep(0.5)
            assert ask(postern)["state"] == "done"
            assert receive(sock, 10) == b""
        assert "event=drain_timeout connections=1" in postern.log()
    finally:
        release.set()
        postern.stop()


def test_new_configuration_is_in_force_after_an_upgrade(tmp_path, trust, versions, monkeypatch, echo):
    config = tmp_path / "postern.yaml"
    config.write_text("limits:\n  header-count: 20\n")
    monkeypatch.setattr(service, "BIN", versions.link)
    postern = service.Postern(tmp_path / "postern", environment=trust,
                              options=["--config", str(config)])
    postern.start()
    try:
        many = {f"X-{i}": "1" for i in range(30)}
        assert web.Session(postern.gateway).get("/healthz", headers=many).status == 431
        config.write_text("limits:\n  header-count: 100\n")
        assert ask(postern)["state"] == "done"
        assert web.Session(postern.gateway).get("/healthz", headers=many).status == 200
        wait_for("the former version's end", lambda: "former version gone" in postern.log(), 30)
        config.write_text("limits:\n  header-cont: 100\n")
        failed = ask(postern)
        assert failed["state"] == "failed" and "--check" in failed["message"]
        assert "did you mean 'header-count'?" in postern.log()
        assert web.Session(postern.gateway).get("/healthz", headers=many).status == 200
    finally:
        postern.stop()


BROKEN = "#!/bin/sh\nexit 3\n"


@pytest.mark.parametrize("program", ["postern", "postern-keyholder", "postern-gateway",
                                     "postern-control"])
def test_version_that_cannot_start_leaves_the_former_one_serving(upgraded, versions, echo, program):
    upgraded.make_api("back", echo.url, policy())
    gateway, keyholder = upgraded.pid("gateway"), upgraded.pid("keyholder")
    load = Load(upgraded, "/back/x", kept=2, fresh=2)
    broken = versions.copies["new"] / program
    broken.unlink()
    broken.write_text(BROKEN)
    broken.chmod(0o755)
    versions.use("new")
    shutil.rmtree(versions.copies["old"])  # as a package does
    outcome = ask(upgraded)
    assert outcome["state"] == "failed", outcome
    time.sleep(0.5)
    load.end()
    assert gateway in upgraded.family() and keyholder in upgraded.family()
    assert upgraded.process.poll() is None
    upgraded.close_sessions()
    wait_for("control", lambda: web.Session(upgraded.control, upgraded.ca_file)
             .get("/readyz").status == 200, 30)
    upgraded.put("/apis/back", {"displayName": "back", "path": "renamed", "serviceUrl": echo.url,
                                "protocols": ["http"], "subscriptionRequired": False})
    assert web.Session(upgraded.gateway).get("/renamed/x").status == 200
    assert json.loads((upgraded.data / "ready.json").read_text())["gatewayUrl"] == upgraded.gateway


def test_version_that_fails_late_finishes_what_it_has_begun(upgraded, versions):
    """Its gateway serves already, beside the former one, when its control cannot start."""
    def slowly(sock, _):
        while request_of(sock)[0]:
            time.sleep(0.3)
            sock.sendall(OK)

    with Script(slowly) as backend:
        upgraded.make_api("late", backend.url, policy())
        load = Load(upgraded, "/late/x", kept=4, fresh=12)
        control = versions.copies["new"] / "postern-control"
        control.unlink()
        control.write_text("#!/bin/sh\nsleep 2\nexit 3\n")
        control.chmod(0o755)
        versions.use("new")
        assert ask(upgraded)["state"] == "failed"
        time.sleep(0.5)
        load.end()
    assert upgraded.log().count("event=serving") == 2
    assert versions.of(upgraded.pid("gateway")) == "old"


@pytest.mark.parametrize("role", ["gateway", "control"])
def test_part_of_the_new_version_that_is_killed_changes_nothing(upgraded, versions, echo, role):
    """While it starts, so that there is a middle: the first one never gets ready."""
    upgraded.make_api("killed", echo.url, policy())
    load = Load(upgraded, "/killed/x", kept=2, fresh=2)
    program = versions.copies["new"] / f"postern-{role}"
    real = program.read_bytes()
    program.unlink()
    program.write_text("#!/bin/sh\nexec sleep 60\n")
    program.chmod(0o755)
    versions.use("new")
    upgraded.process.send_signal(signal.SIGUSR2)
    started = wait_for("the new one", lambda: [
        pid for pid in upgraded.family() if service.executable_of(pid) == "sleep"], 30)
    os.kill(started[0], signal.SIGKILL)
    wait_for("the report", lambda: report(upgraded).get("state") == "failed", 60)
    assert versions.of(upgraded.pid("gateway")) == "old"
    program.unlink()
    program.write_bytes(real)
    program.chmod(0o755)
    wait_for("the former control", lambda: web.Session(upgraded.control, upgraded.ca_file)
             .get("/readyz").status == 200, 30)
    assert ask(upgraded)["state"] == "done"
    assert versions.of(upgraded.pid("gateway")) == "new"
    time.sleep(0.3)
    load.end()


def test_postern_upgrade_waits_and_tells(upgraded, versions):
    command = [str(versions.link / "postern"), "upgrade", "--data", str(upgraded.data)]
    versions.use("new")
    done = subprocess.run(command, capture_output=True, text=True, timeout=90)
    assert done.returncode == 0, done
    assert "the new version serves" in done.stdout
    (versions.copies["new"] / "postern-control").unlink()
    failed = subprocess.run(command, capture_output=True, text=True, timeout=90)
    assert failed.returncode == 1 and "nothing was changed" in failed.stderr, failed
    nobody = subprocess.run(command[:-1] + ["/nonexistent"], capture_output=True, text=True,
                            timeout=30)
    assert nobody.returncode == 3, nobody


def test_stop_during_an_upgrade_leaves_nothing_behind(upgraded, versions):
    versions.use("new")
    upgraded.process.send_signal(signal.SIGUSR2)
    wait_for("the hand-over", lambda: "taken over" in upgraded.log(), 30)
    upgraded.stop()
