# SPDX-License-Identifier: Apache-2.0
"""Promise 10 and the life of the processes: kill -9, restart, drain. Each test has its own Postern."""
import contextlib
import os
import signal
import threading

import pytest
from lab import service, web
from lab.service import policy, with_certificate


def prepare(postern, ca, nginx, name="life"):
    identity = ca.client(name)
    postern.upload(name, identity)
    postern.make_api(name, nginx.url("good"), with_certificate(name))
    assert sha1_of(postern, name) == identity.sha1
    return identity


def sha1_of(postern, name="life"):
    """What the backend saw, or None when the call did not succeed just now."""
    with contextlib.suppress(OSError, web.http.client.HTTPException):
        answer = web.Session(postern.gateway, timeout=10).get(f"/{name}/x")
        return answer.json()["sha1"].upper() if answer.status == 200 else None
    return None


def management_works(postern):
    postern.close_sessions()
    with contextlib.suppress(OSError, web.http.client.HTTPException, AssertionError):
        return postern.arm("GET", "").status == 200
    return False


@pytest.mark.parametrize("role", ["gateway", "control", "keyholder"])
def test_a_killed_process_comes_back_and_nothing_is_lost(own_postern, ca, nginx, role):
    identity = prepare(own_postern, ca, nginx)
    before = own_postern.pid(role)
    os.kill(before, signal.SIGKILL)
    service.wait_for(f"a new {role}",
                     lambda: own_postern.pid(role) not in (0, before) and own_postern.pid(role))
    service.wait_for("the gateway", lambda: sha1_of(own_postern) == identity.sha1)
    service.wait_for("management", lambda: management_works(own_postern))
    assert own_postern.arm("GET", "/certificates/life").status == 200
    # a new certificate goes the whole way again
    second = ca.client("second")
    own_postern.upload("life", second)
    assert sha1_of(own_postern) == second.sha1
    own_postern.vault("PUT", "/secrets/after", {"value": "x"})
    assert own_postern.vault("GET", "/secrets/after/").json()["value"] == "x"


def test_all_processes_killed_at_once_come_back(own_postern, ca, nginx):
    identity = prepare(own_postern, ca, nginx)
    for role in ("gateway", "control", "keyholder"):
        os.kill(own_postern.pid(role), signal.SIGKILL)
    service.wait_for("the gateway", lambda: sha1_of(own_postern) == identity.sha1, 30)
    service.wait_for("management", lambda: management_works(own_postern), 30)


def test_the_gateway_serves_while_control_is_stopped(own_postern, ca, nginx):
    identity = prepare(own_postern, ca, nginx)
    control = own_postern.pid("control")
    os.kill(control, signal.SIGSTOP)
    try:
        for _ in range(50):
            assert sha1_of(own_postern) == identity.sha1
    finally:
        os.kill(control, signal.SIGCONT)
    service.wait_for("management", lambda: management_works(own_postern))


def test_the_gateway_serves_while_control_is_killed_again_and_again(own_postern, ca, nginx):
    identity = prepare(own_postern, ca, nginx)
    for _ in range(3):
        pid = service.wait_for("control", lambda: own_postern.pid("control"), 60)
        os.kill(pid, signal.SIGKILL)
        for _ in range(20):
            assert sha1_of(own_postern) == identity.sha1
    service.wait_for("management", lambda: management_works(own_postern), 60)


def test_a_restarted_gateway_serves_its_last_configuration_without_control(own_postern, ca, nginx):
    identity = prepare(own_postern, ca, nginx)
    control, gateway = own_postern.pid("control"), own_postern.pid("gateway")
    os.kill(control, signal.SIGSTOP)
    try:
        os.kill(gateway, signal.SIGKILL)
        service.wait_for("the gateway alone", lambda: sha1_of(own_postern) == identity.sha1)
    finally:
        os.kill(control, signal.SIGCONT)
    service.wait_for("management", lambda: management_works(own_postern))


def test_everything_acknowledged_survives_kill_of_the_whole_group(own_postern, ca, nginx):
    """Writes go on until the moment of the kill; each one that was answered is there afterwards."""
    identity = prepare(own_postern, ca, nginx)
    acknowledged, stop = [], threading.Event()

    def write():
        i = 0
        while not stop.is_set():
            with contextlib.suppress(OSError, web.http.client.HTTPException):
                session = web.Session(own_postern.control, own_postern.ca_file)
                answer = own_postern.arm("PUT", f"/backends/b{i}", {"properties": {
                    "url": "http://localhost:1", "protocol": "http", "title": f"t{i}"}},
                    token=token, session=session)
                if answer.status in (200, 201):
                    acknowledged.append(i)
            i += 1

    token = own_postern.token()
    writer = threading.Thread(target=write)
    writer.start()
    service.wait_for("some writes", lambda: len(acknowledged) > 20)
    own_postern.kill()
    stop.set()
    writer.join()
    for _ in range(200):  # children end by themselves when the supervisor is gone
        if not any(service.executable_of(int(p)).startswith("postern-") and
                   str(own_postern.data) in _command_of(p)
                   for p in os.listdir("/proc") if p.isdigit()):
            break
        threading.Event().wait(0.05)
    own_postern.start(ports=own_postern.ready)
    for i in acknowledged:
        answer = own_postern.arm("GET", f"/backends/b{i}")
        assert answer.status == 200 and answer.json()["properties"]["title"] == f"t{i}"
    service.wait_for("the gateway", lambda: sha1_of(own_postern) == identity.sha1)


def _command_of(pid):
    with contextlib.suppress(OSError):
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return file.read().decode(errors="replace")
    return ""


def test_children_end_when_the_supervisor_is_killed(own_postern):
    children = [p for p in own_postern.family() if p != own_postern.process.pid]
    assert len(children) >= 3
    os.kill(own_postern.process.pid, signal.SIGKILL)
    own_postern.process.wait()
    own_postern.process = None
    service.wait_for("the end of the children", lambda: not any(
        service.executable_of(p).startswith("postern") for p in children), 10)


def test_a_restart_keeps_everything(own_postern, ca, nginx):
    identity = prepare(own_postern, ca, nginx)
    own_postern.vault("PUT", "/secrets/kept", {"value": "sealed"})
    ready = own_postern.ready
    own_postern.stop()
    own_postern.start(ports=ready)
    for member in ("tenantId", "subscriptionId", "clientId", "controlUrl"):
        assert own_postern.ready[member] == ready[member], member
    assert own_postern.vault("GET", "/secrets/kept/").json()["value"] == "sealed"
    assert sha1_of(own_postern) == identity.sha1


def test_sigterm_lets_a_running_request_finish(own_postern, echo):
    started, release = threading.Event(), threading.Event()

    def slow(handler):
        started.set()
        release.wait(20)
        handler.answer(200, b"finished")

    echo.route("/slow-drain", slow)
    own_postern.make_api("drain", echo.url, policy())
    result = []
    client = threading.Thread(target=lambda: result.append(
        web.Session(own_postern.gateway, timeout=30).get("/drain/slow-drain")))
    client.start()
    assert started.wait(10)
    own_postern.process.send_signal(signal.SIGTERM)

    def refused():
        try:
            return web.Session(own_postern.gateway, timeout=2).get("/drain/x").status == 503
        except (OSError, web.http.client.HTTPException):
            return True

    service.wait_for("the listener's end", refused)
    release.set()
    client.join()
    assert result and (result[0].status, result[0].text) == (200, "finished")
    assert own_postern.process.wait(service.STOP_LIMIT_S) == 0
    own_postern.process = None


def test_sigterm_with_idle_connections_ends_at_once(own_postern, echo):
    own_postern.make_api("idle", echo.url, policy())
    sessions = [web.Session(own_postern.gateway, keep=True) for _ in range(20)]
    for session in sessions:
        assert session.get("/idle/x").status == 200
    own_postern.process.send_signal(signal.SIGTERM)
    assert own_postern.process.wait(10) == 0
    own_postern.process = None
