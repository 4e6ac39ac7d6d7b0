# SPDX-License-Identifier: Apache-2.0
"""S7: many routes, each with its own backend and client certificate. For each peer: the time from its
start until the last route answers, memory, the CPU time of a request against that with 10 routes, and
one certificate that changes under load: how long until it is presented, and how many calls fail.
"""
import os
import statistics
import subprocess
import time

import measure
import peers
import stage as stages
from lab import service, web

HOT = 10  # routes that get the load
START_LIMIT_S = 180
CHANGE_LIMIT_S = 120
TARGETS = (("start", "s", 2), ("memory", "MB", 100), ("CPU against 10 routes", "", 1.05),
           ("changed certificate is live", "ms", 5), ("failed calls", "", 0))


def make_identities(ca, count, cache=[]):  # shared by all peers; the list is kept on purpose
    while len(cache) < count:
        cache.append(ca.client(f"route {len(cache)}"))
    return cache[:count]


class Hot(measure.Wrk):
    """Load on HOT of the routes, as far apart as they can be."""

    def __init__(self, stage, routes):
        super().__init__(32, "routes.lua")
        stage.load_environment = {"ROUTES": str(HOT), "STEP": str(routes // HOT)}


def measure_load(stage, peer, routes, seconds):
    return measure.run(stage, peer.pids, Hot(stage, routes), peer.plain + "/", seconds)


def until_last_route_answers(peer, routes):
    began = time.monotonic()
    url = f"{peer.plain}/r{routes - 1}/x"
    service.wait_for(f"{peer.name} with {routes} routes", lambda: peers.answers(url, stages.BODY),
                     START_LIMIT_S, 0.005)
    return time.monotonic() - began


def start(stage, kind, identities):
    """The peer, and its start time in seconds. One that was filled while it ran is started again."""
    peer = kind()
    began = time.monotonic()
    peer.start_scale(stage, identities)
    until_last_route_answers(peer, len(identities))
    took = time.monotonic() - began
    if hasattr(peer, "restart"):
        print(f"    filled by {peer.changes} calls of its API, {peer.changes / took:.0f} calls/s",
              flush=True)
        took = peer.restart(stage, lambda: until_last_route_answers(peer, len(identities)))
    return peer, took


def change_under_load(stage, peer, routes, number, identity):
    """Milliseconds until the backend sees the new certificate, and how many calls failed."""
    expected = f"{identity.certificate.serial_number:X}"
    probe = web.Session(peer.plain, keep=True, timeout=30)
    failed, load_s = 0, 4
    load = subprocess.Popen(
        ["taskset", "-c", str(stage.load_core), *Hot(stage, routes).command(peer.plain + "/", 60)],
        env=dict(os.environ, **stage.load_environment), stdout=subprocess.PIPE, text=True)
    try:
        if hasattr(peer, "before_change"):
            peer.before_change(number)
        time.sleep(load_s / 2)
        began = time.monotonic()
        peer.change(number, identity)
        accepted = time.monotonic()
        while True:
            answer = probe.get(f"/r{number}/who")
            if answer.status != 200:
                failed += 1
            elif answer.text.lstrip("0") == expected:
                break
            if time.monotonic() - began > CHANGE_LIMIT_S:
                raise measure.Failed(f"{peer.name}: the new certificate is not live")
        live = time.monotonic()
        time.sleep(load_s / 2)
    finally:
        load.send_signal(2)  # wrk prints what it has
        output = load.communicate(timeout=measure.GRACE_S)[0]
    return (live - began) * 1000, (accepted - began) * 1000, failed + failures(output)


def failures(output):
    count = 0
    for line in output.split("\n"):
        words = line.replace(",", "").split()
        if line.strip().startswith("Socket errors:"):
            count += sum(int(w) for w in words if w.isdigit())
        elif "Non-2xx" in line:
            count += int(words[-1])
    return count


def run_peer(stage, kind, routes, repetitions, seconds):
    identities = make_identities(stage.ca, routes)
    print(f"  {kind.name}:", flush=True)
    few, _ = start(stage, kind, identities[:HOT])
    try:
        many, took = start(stage, kind, identities)
        try:
            print(f"    start {took:.2f} s", flush=True)
            memory = measure.memory_kib(many.pids()) / 1024
            print(f"    memory {memory:.0f} MB after the start", flush=True)
            ratios = []
            for peer, count in ((few, HOT), (many, routes)):
                measure_load(stage, peer, count, 1)
            for _ in range(repetitions):
                costs = [measure_load(stage, peer, count, seconds)["value"]
                         for peer, count in ((few, HOT), (many, routes))]
                ratios.append(costs[1] / costs[0])
            ratio = statistics.median(ratios)
            print(f"    CPU per request against {HOT} routes: {ratio:.2f} "
                  f"({' '.join(f'{r:.2f}' for r in ratios)})", flush=True)
            lives, fails = [], 0
            for i in range(3 if hasattr(many, "restart") else 1):
                number = routes // 2 + i
                live, accepted, failed = change_under_load(
                    stage, many, routes, number, stage.ca.client(f"route {number}, new"))
                print(f"    changed certificate live after {live:.1f} ms (accepted after "
                      f"{accepted:.1f} ms, shown by the request after that {live - accepted:.1f} "
                      f"ms later), {failed} failed calls", flush=True)
                lives.append(live)
                fails += failed
            return dict(zip((t[0] for t in TARGETS),
                            (took, memory, ratio, statistics.median(lives), fails)))
        finally:
            many.stop()
    finally:
        few.stop()


def run(stage, kinds, routes, repetitions, seconds):
    """Prints as it goes; returns rows for the summary."""
    print(f"S7: {routes} routes, each with its own backend, pool and client certificate; "
          f"load on {HOT} of them", flush=True)
    found = {}
    for kind in kinds:
        if getattr(kind, "has_scale", False):
            found[kind.name] = run_peer(stage, kind, routes, repetitions, seconds)
    print()
    rows = []
    for name, unit, target in TARGETS:
        values = {peer: values[name] for peer, values in found.items()}
        shown = "  ".join(f"{peer} {value:.2f}" for peer, value in values.items())
        rows.append((f"S7 {name} [{unit}]" if unit else f"S7 {name}", shown,
                     values.get("postern"), target))
    return rows
