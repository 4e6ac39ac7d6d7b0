#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Where the time of one changed certificate goes: each step, in which process, from the call of the
management API to the first request that shows it. Needs root and perf (uprobes; nothing is built in).
"""
import argparse
import collections
import os
import re
import signal
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


def main():
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--routes", type=int, default=10)
    options.add_argument("--changes", type=int, default=3)
    chosen = options.parse_args()
    if os.geteuid() != 0 or not measure.has("perf"):
        sys.exit("this needs root and perf")
    with tempfile.TemporaryDirectory(prefix="postern-steps-") as scratch:
        stage = stages.Stage(scratch)
        stage.start_backend()
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
