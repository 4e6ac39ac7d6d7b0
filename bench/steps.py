#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Where the time of one changed certificate goes: each step, in which process, from the call of the
management API to the first request that shows it. Needs root and perf (uprobes; nothing is built in).

With --quartiles: of many changes the shortest, the lower quartile and the median, of each step too;
beside those of another build, in turns (--beside); and what a handshake and a sync take alone.
"""
import argparse
import collections
import os
import pathlib
import re
import signal
import socket
import ssl
import statistics
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
import stage as stages  # noqa: E402 (first: it finds the test lab)
import measure  # noqa: E402
import peers  # noqa: E402
import scale  # noqa: E402
from lab import service, web  # noqa: E402

STEPS = {
    "postern": ("pn_child_start_import",),
    "postern-control": ("arm_certificate_put", "pn_keyholder_ask", "pn_store_commit",
                        "pn_arm_preflight", "pn_probe_ask"),
    "postern-keyholder": ("pn_importer_open", "pn_bundle_make", "pn_keys_add"),
    "postern-import": ("pn_pfx_open",),
    "postern-gateway": ("pn_tls_certificate_create", "pn_tls_client_create_of", "pn_catalog_upsert",
                        "pn_catalog_commit", "pn_feed_log_append"),
}
END = "__end__return"
SETTLE_S = 2
QUIET_S = 0.2


def set_probes():
    remove_probes()
    for program, functions in STEPS.items():
        for function in functions:
            for text in (function, f"{function}__end={function}%return"):
                done = subprocess.run(["perf", "probe", "-q", "-x", str(service.BIN / program),
                                       "--add", text], capture_output=True, text=True)
                if done.returncode != 0:
                    print(f"no probe at {function} of {program}: {done.stderr.strip()}")


def remove_probes():
    subprocess.run(["perf", "probe", "-q", "-d", "probe_postern:*"], capture_output=True)


def read_steps(data):
    """[(begin, end, process, function)] in seconds."""
    text = subprocess.run(["perf", "script", "-i", str(data), "-F", "comm,tid,time,event"],
                          capture_output=True, text=True).stdout
    open_steps, steps = collections.defaultdict(list), []
    for line in text.splitlines():
        found = re.match(r"\s*(\S+)\s+(\d+)\s+([\d.]+):\s+probe_postern:(\w+)", line)
        if not found:
            continue
        process, thread, at, event = found[1], found[2], float(found[3]), found[4]
        if not event.endswith(END):
            open_steps[thread, event].append(at)
        elif open_steps[thread, event.removesuffix(END)]:
            function = event.removesuffix(END)
            steps.append((open_steps[thread, function].pop(), at, process, function))
    return sorted(steps)


def change(stage, postern, number, data):
    """One change, traced; milliseconds until it was accepted, and until a request had shown it."""
    body = {"data": stage.ca.client(f"route {number}, new").pfx_base64(), "password": ""}
    probe = web.Session(postern.plain, keep=True)
    probe.get("/r0/who")
    perf = subprocess.Popen(["perf", "record", "-a", "-o", str(data), "-e", "probe_postern:*"],
                            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(SETTLE_S)
    began = time.monotonic()
    postern.put(f"/certificates/r{number}", body)
    accepted = time.monotonic()
    probe.get(f"/r{number}/who")
    shown = time.monotonic()
    time.sleep(SETTLE_S)
    perf.send_signal(signal.SIGINT)
    perf.wait()
    return (accepted - began) * 1000, (shown - began) * 1000


# --- many changes ---

def quartiles(values):
    values = sorted(values)
    return (f"least {values[0]:6.2f}  lower quartile {values[len(values) // 4]:6.2f}  "
            f"median {statistics.median(values):6.2f} ms")


def time_change(stage, postern, number, identity):
    """When it began and was accepted: seconds of the monotonic clock."""
    body = {"data": identity.pfx_base64(), "password": ""}
    postern.before_change(number)
    time.sleep(QUIET_S)
    began = time.monotonic()
    postern.put(f"/certificates/r{number}", body)
    return began, time.monotonic()


def time_changes(stage, sides, chosen, data):
    """One after the other, the sides in turns. Returns the times of each side."""
    times = [[] for _ in sides]
    perf = subprocess.Popen(["perf", "record", "-a", "-k", "CLOCK_MONOTONIC", "-o", str(data), "-e",
                             "probe_postern:*"], stdout=subprocess.DEVNULL,
                            stderr=subprocess.DEVNULL)
    time.sleep(SETTLE_S)
    for i in range(chosen.changes):
        identity = stage.ca.client(f"change {i}")
        turn = list(zip(sides, times))
        for side, its in turn if i % 2 == 0 else reversed(turn):
            its.append(time_change(stage, side, i % chosen.routes, identity))
    perf.send_signal(signal.SIGINT)
    perf.wait()
    return times


def print_steps(times, data):
    """Of each step the time it took in one change, all together."""
    taken = collections.defaultdict(list)
    steps = read_steps(data)
    for began, accepted in times:
        sums = collections.Counter()
        for begin, end, process, function in steps:
            if began <= begin <= accepted:
                sums[process, function] += (end - begin) * 1000
        for name, took in sums.items():
            taken[name].append(took)
    for (process, function), values in sorted(taken.items()):
        print(f"    {process:<18} {function:<26} {quartiles(values)}")


def handshake(stage, context):
    """Connects, shows the certificate, asks, and has the first bytes of the answer."""
    began = time.monotonic()
    with socket.create_connection(("127.0.0.1", stage.ports["routes"])) as plain:
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with context.wrap_socket(plain, server_hostname="localhost") as session:
            session.sendall(b"OPTIONS / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            session.recv(100)
            return (time.monotonic() - began) * 1000


def commit(folder, number):
    """100 KB appended, as a write-ahead log is, and synced."""
    with (folder / "log").open("ab") as log:
        log.write(os.urandom(100000))
        log.flush()
        began = time.monotonic()
        os.fdatasync(log.fileno())
        return (time.monotonic() - began) * 1000


def keep_file(folder, number):
    """A file, its new name, and its folder, as for a key."""
    began = time.monotonic()
    with (folder / "new").open("wb") as file:
        file.write(bytes(200))
        file.flush()
        os.fsync(file.fileno())
    (folder / "new").rename(folder / f"key{number}")
    handle = os.open(folder, os.O_RDONLY)
    os.fsync(handle)
    os.close(handle)
    return (time.monotonic() - began) * 1000


def print_floor(stage, count):
    context = ssl.create_default_context(cafile=stage.ca_file)
    context.load_cert_chain(stage.client_crt, stage.client_key)
    folder = stage.folder / "synced"
    folder.mkdir()
    for name, measure_one in (("handshake, question, answer", lambda i: handshake(stage, context)),
                              ("sync of a log", lambda i: commit(folder, i)),
                              ("a file of its own", lambda i: keep_file(folder, i))):
        values = []
        for i in range(count):
            time.sleep(QUIET_S / 4)
            values.append(measure_one(i))
        print(f"{name:<50} {quartiles(values)}")


def compare(stage, chosen):
    programs = [service.BIN, *([pathlib.Path(chosen.beside)] if chosen.beside else [])]
    scratch, sides = stage.folder, []
    try:
        for number, folder in enumerate(programs):
            service.BIN = folder
            stage.folder = scratch / f"side{number}"
            stage.folder.mkdir()
            sides.append(peers.Postern())
            sides[-1].start_scale(stage, scale.make_identities(stage.ca, chosen.routes))
            scale.until_last_route_answers(sides[-1], chosen.routes)
        service.BIN, stage.folder = programs[0], scratch
        set_probes()
        data = scratch / "perf.data"
        times = time_changes(stage, sides, chosen, data)
        for folder, its in zip(programs, times):
            print(f"{str(folder):<50} {quartiles([(b - a) * 1000 for a, b in its])}")
        print_steps(times[0], data)
        print_floor(stage, chosen.changes)
    finally:
        remove_probes()
        for side in sides:
            side.stop()


def main():
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--routes", type=int, default=10)
    options.add_argument("--changes", type=int, default=3)
    options.add_argument("--quartiles", action="store_true")
    options.add_argument("--beside", metavar="FOLDER", help="another build's executables")
    chosen = options.parse_args()
    if os.geteuid() != 0 or not measure.has("perf"):
        sys.exit("this needs root and perf")
    with tempfile.TemporaryDirectory(prefix="postern-steps-") as scratch:
        stage = stages.Stage(scratch)
        stage.start_backend()
        if chosen.quartiles:
            try:
                compare(stage, chosen)
            finally:
                stage.stop_backend()
            return
        postern = peers.Postern()
        try:
            postern.start_scale(stage, scale.make_identities(stage.ca, chosen.routes))
            scale.until_last_route_answers(postern, chosen.routes)
            set_probes()
            for i in range(chosen.changes):
                data = stage.folder / "perf.data"
                accepted, shown = change(stage, postern, i % chosen.routes, data)
                print(f"accepted after {accepted:.1f} ms, shown by a request after {shown:.1f} ms")
                steps = read_steps(data)
                zero = min((s[0] for s in steps), default=0)
                for begin, end, process, function in steps:
                    print(f"    {(begin - zero) * 1000:7.2f} ms  took {(end - begin) * 1000:6.2f}  "
                          f"{process:<18} {function}")
        finally:
            remove_probes()
            if postern.postern:
                postern.stop()
            stage.stop_backend()


if __name__ == "__main__":
    main()
