#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""CPU time per request of each peer (peers.py), and its ratio to nginx, measured in one run.

The proxy alone has one core; the load generator and the backend share another. The peers take turns,
in another order each repetition, and a ratio is always that of two neighbours in time: a shared
machine drifts by tens of percent in minutes, so bare numbers of different runs say nothing.
"""
import argparse
import contextlib
import json
import os
import pathlib
import platform
import re
import statistics
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
import peers  # noqa: E402
from lab import backends, pki, service, web  # noqa: E402

BODY = "x" * 100
WRK_GRACE_S = 15  # wrk hangs on when answers stay away


class Job:
    def __init__(self, folder):
        cores = sorted(os.sched_getaffinity(0))
        self.all_cores = set(cores)
        self.core, self.load_core = cores[0], cores[-1]
        self.folder = folder
        self.ca = pki.Authority()
        self.ca_file = folder / "ca.crt"
        self.ca_file.write_bytes(self.ca.certificate_pem)
        self.client = self.ca.client("bench client")
        self.nginx = backends.Nginx(folder / "backend")
        self.nginx.add("bench", self.ca.server(), self.ca,
                       extra=f"location = /x {{ return 200 '{BODY}'; }}")
        self.backend = f"localhost:{self.nginx.ports['bench']}"

    def on_core(self, command):
        return ["taskset", "-c", str(self.core), *command]

    def start_backend(self):
        os.sched_setaffinity(0, {self.load_core})
        try:
            self.nginx.start()
        finally:
            os.sched_setaffinity(0, self.all_cores)


def cpu_ns(pids):
    """What the scheduler gave to all threads of these processes so far."""
    total = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            for task in os.listdir(f"/proc/{pid}/task"):
                with contextlib.suppress(OSError):
                    text = pathlib.Path(f"/proc/{pid}/task/{task}/schedstat").read_text()
                    total += int(text.split()[0])
    return total


def wrk_command(job, url, connections, seconds):
    return ["taskset", "-c", str(job.load_core), peers.WRK, "-t1", f"-c{connections}",
            f"-d{seconds}s", "--latency", url]


def measure(job, peer, connections, seconds):
    """One run: requests, requests per second, microseconds of CPU per request, latency lines."""
    before = cpu_ns(peer.pids())
    done = subprocess.run(wrk_command(job, peer.url, connections, seconds), capture_output=True,
                          text=True, check=True, timeout=seconds + WRK_GRACE_S)
    used = cpu_ns(peer.pids()) - before
    requests = int(re.search(r"(\d+) requests in", done.stdout).group(1))
    bad = re.search(r"Non-2xx or 3xx responses: (\d+)", done.stdout)
    errors = re.search(r"Socket errors: (.*)", done.stdout)
    if bad or errors or requests == 0:
        sys.exit(f"{peer.name}: the load did not go well:\n{done.stdout}")
    return {"peer": peer.name, "requests": requests, "cpu_us": used / requests / 1000,
            "rate": float(re.search(r"Requests/sec:\s+([\d.]+)", done.stdout).group(1)),
            "p50": re.search(r"\n\s+50%\s+(\S+)", done.stdout).group(1),
            "p99": re.search(r"\n\s+99%\s+(\S+)", done.stdout).group(1)}


def machine():
    model = ""
    with contextlib.suppress(OSError):
        found = re.search(r"model name\s*:\s*(.*)", pathlib.Path("/proc/cpuinfo").read_text())
        model = found.group(1) if found else platform.machine()
    openssl = subprocess.run(["openssl", "version"], capture_output=True, text=True).stdout.strip()
    return (f"{model}, {os.cpu_count()} cores, Linux {platform.release()}, {openssl}, "
            f"load average {os.getloadavg()[0]:.1f} at the start")


def command_line(pid):
    return pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode().strip()


def main():
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("-r", "--repetitions", type=int, default=7)
    options.add_argument("-d", "--seconds", type=int, default=3, help="of one run")
    options.add_argument("-c", "--connections", type=int, default=64)
    options.add_argument("-p", "--peers", help="names, comma-separated; default: all")
    options.add_argument("-o", "--output", help="file for the single results, JSON lines")
    chosen = options.parse_args()
    if len(os.sched_getaffinity(0)) < 2:
        sys.exit("the benchmark needs two cores")
    every = {p.name: p for p in peers.PEERS}
    names = chosen.peers.split(",") if chosen.peers else list(every)
    unknown = [n for n in names if n not in every]
    if unknown:
        sys.exit(f"no peer {unknown[0]}; there are: {', '.join(every)}")

    with tempfile.TemporaryDirectory(prefix="postern-bench-") as scratch, \
            contextlib.ExitStack() as stack:
        job = Job(pathlib.Path(scratch))
        job.start_backend()
        stack.callback(job.nginx.stop)
        running = []
        for name in names:
            peer = every[name]()
            peer.start(job)
            stack.callback(peer.stop)
            running.append(peer)
        print("machine:", machine())
        for peer in running:
            service.wait_for(peer.name, lambda: answers(peer.url))
            print(f"peer: {peer.name}: {peer.version()}: {command_line(peer.pids()[0])}")
        print("load:", " ".join(wrk_command(job, "URL", chosen.connections, chosen.seconds)))
        print(f"core {job.core}: the proxy; core {job.load_core}: wrk and the backend (nginx, "
              f"mutual TLS 1.3, P-256, {len(BODY)} bytes)\n", flush=True)
        for peer in running:
            measure(job, peer, chosen.connections, 1)  # warm: pools are filled
        results = []
        for repetition in range(chosen.repetitions):
            turn = repetition % len(running)
            for peer in running[turn:] + running[:turn]:
                results.append(dict(measure(job, peer, chosen.connections, chosen.seconds),
                                    repetition=repetition))
    if chosen.output:
        with open(chosen.output, "a") as file:
            file.writelines(json.dumps(r) + "\n" for r in results)
    summarise(names, results, chosen.repetitions)


def answers(url):
    origin, _, path = url.partition("/bench")
    with contextlib.suppress(OSError):
        answer = web.Session(origin).get("/bench" + path)
        return answer.status == 200 and answer.text == BODY
    return False


def summarise(names, results, repetitions):
    def of(name, member):
        return [r[member] for r in results if r["peer"] == name]

    base = "nginx" if "nginx" in names else names[0]
    print(f"{'peer':<10} {'CPU/request':>12} {'requests/s':>11} {'p50':>8} {'p99':>8}   "
          f"CPU ratio to {base} (median; each)")
    for name in names:
        ratios = [mine / theirs for mine, theirs in zip(of(name, "cpu_us"), of(base, "cpu_us"))]
        print(f"{name:<10} {statistics.median(of(name, 'cpu_us')):>9.1f} us "
              f"{statistics.median(of(name, 'rate')):>11.0f} {of(name, 'p50')[-1]:>8} "
              f"{of(name, 'p99')[-1]:>8}   {statistics.median(ratios):.2f}  ("
              + " ".join(f"{r:.2f}" for r in ratios) + ")")
    print(f"\nmedians of {repetitions} repetitions, peers taking turns; a ratio is that of one "
          "repetition. Below 1.00 is less CPU than " + base + ".")


if __name__ == "__main__":
    main()
