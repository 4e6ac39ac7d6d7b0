# SPDX-License-Identifier: Apache-2.0
"""The soak: random clients and backends that are slow, leave and reset, a certificate swapped every
second; at the end every counter is balanced. PN_SOAK_SECONDS (`make soak SECONDS=180`) says how
long; `make test` runs a short one."""
import os
import pathlib
import random
import time

import pytest
from lab import node, service
from lab.service import policy

SECONDS = float(os.environ.get("PN_SOAK_SECONDS", "12"))
CLIENTS = int(os.environ.get("PN_SOAK_CLIENTS", "24"))
SEED = int(os.environ.get("PN_SOAK_SEED", "0")) or random.randrange(1 << 31)
PROTOCOLS = os.environ.get("PN_SOAK_PROTOCOLS", "h1 h1s h2 h2c ws wss fragment").split()
MB = 1 << 20
GAUGES = ("postern_client_connections", "postern_calls", "postern_backend_connections",
          "postern_backend_streams", "postern_tunnels")


def descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def resident(pid):
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) * 1024


def is_sanitized(pid):
    return "san.so" in pathlib.Path(f"/proc/{pid}/maps").read_text()


@pytest.fixture
def soaked(tmp_path, trust, ca):
    """A Postern of its own with short idle limits, and the backend."""
    postern = service.Postern(tmp_path, environment=trust, options=[
        "--limit", "backend-idle-timeout=500ms", "--limit", "client-idle-timeout=20s"])
    backend = node.Backend(tmp_path / "node", ca.server(), ca)
    postern.start()
    yield postern, backend
    if postern.process:
        postern.stop()
    backend.stop()


def all_back(postern):
    return {name: postern.metric(name) for name in GAUGES}


def test_the_soak_ends_with_every_counter_balanced(soaked, ca):
    postern, backend = soaked
    apis = []
    for name, where in (("swapped", "https"), ("swapped2", "h2"), ("steady", "https"),
                        ("steady2", "h2"), ("plain", "http")):
        if where == "http":
            postern.make_api(name, backend.url(where))
        else:
            postern.upload(name, ca.client(f"{name}.0"))
            version = '<forward-request http-version="2" />' if where == "h2" else ""
            postern.make_api(name, backend.url(where), policy(
                f'<authentication-certificate certificate-id="{name}" />', version))
        apis.append({"path": f"/{name}", "subject": "" if where == "http" else f"{name}.",
                     "sockets": True})
    for api in apis:
        assert postern.call(api["path"] + "/echo").status == 200
    postern.close_sessions()
    service.wait_for("an idle start", lambda: not any(all_back(postern).values()), 10)
    gateway = postern.pid("gateway")
    before = descriptors(gateway)
    clients = node.start("soak.mjs", {
        "url": postern.gateway, "tls": postern.gateway_tls, "ca": postern.ca_file,
        "seconds": SECONDS, "clients": CLIENTS, "seed": SEED, "protocols": PROTOCOLS,
        "apis": apis})
    began, memory, swaps = time.monotonic(), [], 0
    while time.monotonic() - began < SECONDS:
        swaps += 1
        for name in ("swapped", "swapped2"):
            postern.upload(name, ca.client(f"{name}.{swaps}"))
            answer = postern.call(f"/{name}/echo")
            assert backend.process.poll() is None, "the Node backend has died"
            assert answer.status == 200, answer
            assert answer.headers["x-subject"] == f"{name}.{swaps}", "read your writes"
        memory.append(resident(gateway))
        time.sleep(max(0.0, 1 - (time.monotonic() - began) % 1))
    outcome = node.result(clients, 60)
    print(f"seed {SEED}, {swaps} swaps, {outcome['done']}, "
          f"{[m // MB for m in memory[:: max(1, len(memory) // 10)]]} MB")
    assert not outcome["wrong"], f"seed {SEED}: {outcome}"
    done = outcome["done"]
    assert sum(done.values()) > SECONDS
    assert done.get("crossed", 0) <= 2 + sum(done.values()) / 200, f"seed {SEED}: {outcome}"
    for activity in outcome["crossed"]:
        line = next((x for x in postern.log().splitlines() if activity and activity in x), "")
        assert "operation=post" in line, f"seed {SEED}: {activity}: {line}"
        assert "code=connection_closed" in line or "code=stream_re" in line, f"seed {SEED}: {line}"
    postern.close_sessions()
    with_values = {}

    def balanced():
        with_values.update(all_back(postern))
        return not any(with_values.values())

    try:
        service.wait_for("every gauge at 0", balanced, 30)
    except AssertionError:
        raise AssertionError(f"seed {SEED}: not 0: {with_values}") from None
    assert postern.pid("gateway") == gateway, "the gateway was restarted"
    assert postern.metric("postern_identity_mismatch_total") == 0
    service.wait_for("its descriptors", lambda: descriptors(gateway) <= before, 10)
    if SECONDS >= 60 and not is_sanitized(gateway):
        third = len(memory) // 3
        assert max(memory[-third:]) < max(memory[third:2 * third]) * 1.1 + 8 * MB, memory
    postern.stop()  # a clean exit: on a sanitized build this is where leaks are reported
    assert "Sanitizer" not in postern.log()
