# SPDX-License-Identifier: Apache-2.0
"""What a proxy used, and how it is loaded: CPU time, memory, wrk, h2load, idle connections."""
import contextlib
import os
import pathlib
import re
import resource
import select
import shutil
import socket
import ssl
import subprocess
import time

GRACE_S = 20  # a load tool hangs on when answers stay away
HEADERS = ("User-Agent: bench/1.0", "Accept: application/json",
           "Authorization: Bearer 0123456789abcdef0123456789abcdef")
HERE = pathlib.Path(__file__).resolve().parent
UNITS_US = {"us": 1.0, "ms": 1e3, "s": 1e6, "m": 6e7}


class Failed(Exception):
    """A run that does not count: an error, an answer that is not 2xx, no answer at all."""


def cpu_us(pids):
    """What the scheduler gave to all threads of these processes so far."""
    total = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            for task in os.listdir(f"/proc/{pid}/task"):
                with contextlib.suppress(OSError):
                    text = pathlib.Path(f"/proc/{pid}/task/{task}/schedstat").read_text()
                    total += int(text.split()[0])
    return total / 1000


def memory_kib(pids):
    """Proportional set size: what is shared between processes counts once."""
    total = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            text = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
            total += int(re.search(r"^Pss:\s+(\d+)", text, re.M).group(1))
    return total


def machine_busy_us():
    fields = [int(f) for f in pathlib.Path("/proc/stat").read_text().split("\n")[0].split()[1:8]]
    return (sum(fields) - fields[3] - fields[4]) * 1e6 / os.sysconf("SC_CLK_TCK")


def children_us():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (used.ru_utime + used.ru_stime) * 1e6


def duration_us(text):
    number, unit = re.match(r"([\d.]+)(us|ms|s|m)$", text).groups()
    return float(number) * UNITS_US[unit]


# --- load tools: a command, and how to read what it says ---

class Wrk:
    def __init__(self, connections=64, script=None):
        self.connections, self.script = connections, script

    def command(self, url, seconds):
        script = ["-s", str(HERE / self.script)] if self.script else []
        headers = [a for h in HEADERS for a in ("-H", h)]
        return ["wrk", "-t1", f"-c{self.connections}", f"-d{seconds}s", "--latency", *script,
                *headers, url]

    def read(self, output):
        found = re.search(r"(\d+) requests in ([\d.]+\w+)", output)
        errors = re.search(r"Socket errors: (.*)", output)
        bad = re.search(r"Non-2xx or 3xx responses: (\d+)", output)
        if errors or bad or not found or found.group(1) == "0":
            raise Failed(output)
        return {"requests": int(found.group(1)),
                "rate": int(found.group(1)) / duration_us(found.group(2)) * 1e6,
                "p50_us": duration_us(re.search(r"\n\s+50%\s+(\S+)", output).group(1)),
                "p99_us": duration_us(re.search(r"\n\s+99%\s+(\S+)", output).group(1))}


class H2load:
    """`rate`: requests per second in all, evenly paced; None: as fast as it goes."""

    def __init__(self, folder, clients=16, streams=16, rate=None, h1=False):
        self.log = folder / "h2load.log"
        self.clients, self.streams, self.rate, self.h1 = clients, streams, rate, h1

    def command(self, url, seconds):
        more = ["--h1"] if self.h1 else []
        if self.rate:
            more.append(f"--rps={self.rate / self.clients:.2f}")
        headers = [a for h in HEADERS for a in ("-H", h)]
        return ["h2load", "-t1", f"-c{self.clients}", f"-m{self.streams}", "-D", str(seconds),
                f"--log-file={self.log}", *more, *headers, url]

    def read(self, output):
        rows = []
        if self.log.exists():
            rows = [line.split() for line in self.log.read_text().splitlines()]
            self.log.unlink()
        bad = [row for row in rows if len(row) != 3 or not row[1].startswith("2")]
        took = re.search(r"finished in ([\d.]+\w+),", output)
        if not rows or bad or not took:
            raise Failed(output + f"\n{len(bad)} of {len(rows)} answers are not 2xx")
        times = sorted(int(row[2]) for row in rows)
        return {"requests": len(rows), "rate": len(rows) / duration_us(took.group(1)) * 1e6,
                "p50_us": times[len(times) // 2], "p99_us": times[len(times) * 99 // 100]}


def run(stage, pids, tool, url, seconds):
    """One run of `tool`; `pids`: a function, for processes come and go."""
    command = ["taskset", "-c", str(stage.load_core), *tool.command(url, seconds)]
    before, backend = cpu_us(pids()), cpu_us(stage.backend_pids())
    busy, load, began = machine_busy_us(), children_us(), time.monotonic()
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + GRACE_S,
                              env=dict(os.environ, **stage.load_environment))
    except subprocess.TimeoutExpired:
        raise Failed("no end: " + " ".join(command)) from None
    took = (time.monotonic() - began) * 1e6
    used, load = cpu_us(pids()) - before, children_us() - load
    backend = cpu_us(stage.backend_pids()) - backend
    result = tool.read(done.stdout + done.stderr)
    others = max(0.0, machine_busy_us() - busy - used - backend - load)
    return dict(result, value=used / result["requests"], busy=used / took, others=others / took)


def has(program):
    return shutil.which(program) is not None


# --- idle connections ---

def front_context():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def connect_and_ask(host, port, context, path):
    """A connection that got one whole answer and is kept."""
    sock = socket.create_connection((host, port), 10)
    if context:
        sock = context.wrap_socket(sock, server_hostname="localhost")
    sock.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    answer = b""
    while not answer.endswith(b"x" * 100):
        piece = sock.recv(4096)
        if not piece or len(answer) > 10000:
            raise Failed(f"{host}:{port}{path}: closed, or no answer: {answer[:200]!r}")
        answer += piece
    return sock


def idle_memory(stage, pids, host, port, is_tls, path, count):
    """Bytes that the proxy needs for one more idle connection, at `count` of them."""
    context = front_context() if is_tls else None
    os.sched_setaffinity(0, {stage.load_core})
    kept = []
    try:
        for _ in range(50):  # pools and buffers that any request needs
            kept.append(connect_and_ask(host, port, context, path))
        for sock in kept:
            sock.close()
        kept.clear()
        time.sleep(3)
        before = memory_kib(pids())
        for _ in range(count):
            kept.append(connect_and_ask(host, port, context, path))
        time.sleep(3)
        after = memory_kib(pids())
        if not is_tls:  # over TLS a late ticket makes a socket readable, too
            poll = select.poll()
            for sock in kept:
                poll.register(sock, select.POLLIN)
            closed = len(poll.poll(0))
            if closed:
                raise Failed(f"{closed} of {count} idle connections were closed")
    finally:
        for sock in kept:
            sock.close()
        os.sched_setaffinity(0, stage.all_cores)
    return {"value": (after - before) * 1024 / count, "before_kib": before, "after_kib": after}
