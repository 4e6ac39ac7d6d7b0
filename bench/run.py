#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What a request costs in each proxy, and how that compares, measured in one run on one machine.

The proxy alone has one core; the load generator and the backend share another. The peers take turns,
in another order each repetition, and a ratio is always that of neighbours in time: a shared machine
drifts by tens of percent in minutes, so bare numbers of different runs say nothing.
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
import stage as stages  # noqa: E402 (first: it finds the test lab)
import measure  # noqa: E402
import peers  # noqa: E402
import scale  # noqa: E402
import scenarios  # noqa: E402
import vaults  # noqa: E402
from lab import service  # noqa: E402

DEFAULT = "S1 S2 S3 S4 S5 P99"
NAMES = [*scenarios.SCENARIOS, "S7", "V1"]
TRIES = 2  # of one run: a tool that stumbles once is no reason to throw the others away


def parse_options():
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("-s", "--scenarios", default=os.environ.get("SCENARIOS") or DEFAULT,
                         help=f"of: {' '.join(NAMES)}; default: {DEFAULT}")
    options.add_argument("-r", "--repetitions", type=int, default=5)
    options.add_argument("-d", "--seconds", type=int, default=2, help="of one run")
    options.add_argument("-p", "--peers", help="names, comma-separated; default: all")
    options.add_argument("--routes", type=int, default=10000, help="of S7")
    options.add_argument("--vaults", type=int, default=1000, help="of V1")
    options.add_argument("--secrets", type=int, default=100000, help="of V1, in all vaults")
    options.add_argument("-o", "--output", help="file for the single results, JSON lines")
    chosen = options.parse_args()
    chosen.scenarios = chosen.scenarios.replace(",", " ").split()
    every = {p.name: p for p in peers.PEERS}
    names = chosen.peers.split(",") if chosen.peers else list(every)
    for what, given, known in (("scenario", chosen.scenarios, NAMES), ("peer", names, every)):
        for name in given:
            if name not in known:
                sys.exit(f"no {what} {name}; there are: {', '.join(known)}")
    chosen.peers = [every[n] for n in names]
    return chosen


def machine():
    model = platform.machine()
    with contextlib.suppress(OSError):
        found = re.search(r"model name\s*:\s*(.*)", pathlib.Path("/proc/cpuinfo").read_text())
        model = found.group(1) if found else model
    openssl = subprocess.run(["openssl", "version"], capture_output=True, text=True).stdout.strip()
    return (f"{model}, {os.cpu_count()} cores, Linux {platform.release()}, {openssl}, "
            f"load average {os.getloadavg()[0]:.1f} at the start")


def command_line(pid):
    return pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode().strip()


def take(figure, bench, peer):
    for attempt in range(TRIES):
        try:
            return figure.take(bench, peer)
        except measure.Failed as failure:
            reason = failure
    sys.exit(f"{figure.name}: {peer.name}: the load did not go well:\n{reason}")


def warm(name, bench):
    """Each figure once, unmeasured: connections to backends are made, pools and caches filled."""
    seconds, bench.seconds = bench.seconds, 1
    for figure in scenarios.SCENARIOS[name]:
        for peer in bench.peers:
            take(figure, bench, peer)
    bench.seconds = seconds


def run_scenario(name, bench, repetitions, output):
    """All samples: {(figure, peer): [one per repetition]}."""
    samples = {}
    if name not in scenarios.OWN_PEERS:
        warm(name, bench)
    for repetition in range(repetitions):
        turn = repetition % len(bench.peers)
        for figure in scenarios.SCENARIOS[name]:
            for peer in bench.peers[turn:] + bench.peers[:turn]:
                sample = take(figure, bench, peer)
                if sample is None:
                    continue
                samples.setdefault((figure.name, peer.name), []).append(sample)
                if output:
                    print(json.dumps(dict(sample, figure=figure.name, peer=peer.name,
                                          repetition=repetition)), file=output, flush=True)
    return samples


def least(figure, samples, repetition):
    """What a sample of `figure` is compared with in this repetition; None: nothing to compare with."""
    name, names = figure.name, figure.against
    if isinstance(names[-1], tuple):
        name, names = names
    values = [samples[name, peer][repetition]["value"] for peer in names
              if (name, peer) in samples and repetition < len(samples[name, peer])]
    return min(values) if values else None


def report(name, bench, samples, repetitions):
    """Prints a table for each figure; returns rows for the summary."""
    rows = []
    for figure in scenarios.SCENARIOS[name]:
        print(f"{figure.name}: {figure.what}")
        for peer in bench.peers:
            taken = samples.get((figure.name, peer.name))
            if not taken:
                print(f"    {peer.name:<8} does not do this")
                continue
            value = statistics.median(s["value"] for s in taken)
            line = f"    {peer.name:<8} {value:>9.1f} {figure.unit}"
            if "rate" in taken[0]:
                line += (f"  {statistics.median(s['rate'] for s in taken):>7.0f}/s  p50 "
                         f"{statistics.median(s['p50_us'] for s in taken) / 1000:.2f} ms  p99 "
                         f"{statistics.median(s['p99_us'] for s in taken) / 1000:.2f} ms  core "
                         f"{statistics.median(s['busy'] for s in taken):.0%}  others "
                         f"{statistics.median(s['others'] for s in taken):.0%}")
            if "cpu_us" in taken[0]:
                line += f"  CPU {statistics.median(s['cpu_us'] for s in taken):.1f} us"
            if "resumed" in taken[0]:
                line += f"  resumed {statistics.median(s['resumed'] for s in taken):.0%}"
            if not figure.is_absolute:
                bases = [least(figure, samples, i) for i in range(len(taken))]
                ratios = [s["value"] / b for s, b in zip(taken, bases) if b]
                value = statistics.median(ratios) if ratios else None
                if ratios:
                    line += f"  ratio {value:.2f} ({' '.join(f'{r:.2f}' for r in ratios)})"
            print(line)
            if peer.name == "postern":
                rows.append((figure.name, figure.what, value, figure.target))
        print(flush=True)
    return rows


@contextlib.contextmanager
def standing(stage, chosen):
    """The bench with its peers: running, warm, and taking turns; or not running, for OWN_PEERS."""
    bench = scenarios.Bench(stage, chosen.seconds)
    bench.peers = [kind() for kind in chosen.peers]
    with contextlib.ExitStack() as stack:
        if any(s in scenarios.SCENARIOS and s not in scenarios.OWN_PEERS for s in chosen.scenarios):
            for peer in bench.peers:
                peer.start(stage)
                stack.callback(peer.stop)
                service.wait_for(peer.name, lambda: peers.answers(peer.plain + "/keep/x",
                                                                  stages.BODY))
                print(f"peer: {peer.name}: {peer.version()}: {command_line(peer.pids()[0])}")
        yield bench


def describe(stage, chosen):
    print(f"machine: {machine()}")
    print(f"core {stage.core}: the proxy; core {stage.load_core}: the load and the backend (nginx, one "
          "worker, mutual TLS 1.3, P-256)")
    print("load: HTTP/1.1:", " ".join(measure.Wrk().command("URL", chosen.seconds)))
    print("load: HTTP/2:", " ".join(measure.H2load(stage.folder).command("URL", chosen.seconds)))


def main():
    chosen = parse_options()
    if len(os.sched_getaffinity(0)) < 2:
        sys.exit("the benchmark needs two cores")
    rows = []
    with tempfile.TemporaryDirectory(prefix="postern-bench-") as scratch, \
            contextlib.ExitStack() as stack:
        stage = stages.Stage(scratch)
        stage.start_backend()
        stack.callback(stage.stop_backend)
        output = stack.enter_context(open(chosen.output, "a")) if chosen.output else None
        describe(stage, chosen)
        with standing(stage, chosen) as bench:
            print(f"{chosen.repetitions} repetitions of {chosen.seconds} s, peers in turn; values are "
                  "medians (CPU time per request unless another unit stands there), ratios are to the "
                  "least of the others in the same repetition\n", flush=True)
            for name in chosen.scenarios:
                if name in scenarios.SCENARIOS:
                    # Memory does not drift: one run tells.
                    times = 1 if name in scenarios.OWN_PEERS else chosen.repetitions
                    samples = run_scenario(name, bench, times, output)
                    rows += report(name, bench, samples, times)
        if "S7" in chosen.scenarios:
            rows += scale.run(stage, chosen.peers, chosen.routes, chosen.repetitions, chosen.seconds)
        if "V1" in chosen.scenarios:
            rows += vaults.run(stage, chosen.vaults, chosen.secrets, chosen.repetitions)
    print("postern: reached, target")
    for name, what, value, target in rows:
        if value is not None:
            print(f"    {'yes' if value <= target else 'no ':<4} {value:>9.2f} <= {target:<7g} "
                  f"{name}: {what}")


if __name__ == "__main__":
    main()
