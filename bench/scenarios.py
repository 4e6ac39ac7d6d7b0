# SPDX-License-Identifier: Apache-2.0
"""The scenarios S1-S6 and P99: what is measured, against whom, and what is to be reached.

A figure is one number of one peer in one repetition, less is better. It is compared with the least of
`against` in the same repetition: names of peers, or (figure, names) for another figure's. S7 is in scale.py.
"""
import dataclasses
import urllib.parse

import measure
import peers
import stage as stages

EVERYBODY = ("nginx", "haproxy")


@dataclasses.dataclass
class Figure:
    name: str
    what: str
    target: float  # ratio to the least of `against`, or with `is_absolute` the number itself
    take: object  # (bench, peer) -> dict with `value`, or None if the peer does not do this
    against: object = EVERYBODY
    unit: str = "us"
    is_absolute: bool = False


class Bench:
    """The peers that run side by side while S1-S5 and P99 are measured."""

    def __init__(self, stage, seconds):
        self.stage, self.seconds = stage, seconds
        self.http2 = {}
        self.capacity = None

    def load(self, peer, tool, origin, path, seconds=None):
        return measure.run(self.stage, peer.pids, tool, origin + path, seconds or self.seconds)

    def has_http2(self, peer):
        if peer.name not in self.http2:
            self.http2[peer.name] = peers.speaks_http2(peer.tls, "/keep/x")
        return self.http2[peer.name]


def closed_loop(path, connections=64, tls=False):
    """wrk, as fast as it goes."""
    def take(bench, peer):
        if path.split("/")[1] not in peer.routes:
            return None
        return bench.load(peer, measure.Wrk(connections), peer.tls if tls else peer.plain, path)
    return take


def http2(path):
    def take(bench, peer):
        if path.split("/")[1] not in peer.routes or not bench.has_http2(peer):
            return None
        return bench.load(peer, measure.H2load(bench.stage.folder), peer.tls, path)
    return take


def handshakes(name):
    """Every request is a new connection to the backend; says how many resumed a session."""
    def take(bench, peer):
        bench.stage.resumed_share(name)  # forgets what was before
        result = bench.load(peer, measure.Wrk(16), peer.plain, f"/{name}/x")
        return dict(result, resumed=bench.stage.resumed_share(name))
    return take


def paced(bench, peer):
    """The 99th percentile at 70 % of what we can do at most. The rate in the table tells whether the
    peer kept up; where it did not, its percentile flatters it."""
    tool = measure.H2load(bench.stage.folder, 64, 1, h1=True)
    if bench.capacity is None:
        ours = ([p for p in bench.peers if p.name == "postern"] or [peer])[0]
        bench.capacity = bench.load(ours, tool, ours.plain, "/keep/x")["rate"]
    tool.rate = 0.7 * bench.capacity
    result = bench.load(peer, tool, peer.plain, "/keep/x")
    return dict(result, cpu_us=result["value"], value=result["p99_us"])


def idle(tls, count):
    """A peer of its own: what a process once needed it does not give back."""
    def take(bench, peer):
        fresh = type(peer)()
        fresh.start(bench.stage)
        try:
            stages.service.wait_for(peer.name, lambda: peers.answers(fresh.plain + "/keep/x",
                                                                     stages.BODY))
            url = urllib.parse.urlsplit(fresh.tls if tls else fresh.plain)
            return measure.idle_memory(bench.stage, fresh.pids, url.hostname, url.port, tls,
                                       "/keep/x", count)
        finally:
            fresh.stop()
    return take


SCENARIOS = {
    "S1": [Figure("S1", "HTTP/1.1 in, kept connections to a mutual TLS backend, 100 bytes", 0.80,
                  closed_loop("/keep/x"))],
    "S2": [Figure("S2", "HTTPS HTTP/1.1 in, otherwise as S1", 0.85, closed_loop("/keep/x", tls=True))],
    "S3": [Figure("S3", "HTTPS HTTP/2 in, 16 connections of 16 streams, otherwise as S1", 0.75,
                  http2("/keep/x"), ("haproxy",)),
           Figure("S3b", "HTTP/2 in, HTTP/2 to the mutual TLS backend; against their best S3", 0.50,
                  http2("/two/x"), ("S3", ("nginx", "haproxy")))],
    "S4": [Figure("S4-10k", "10 KB bodies", 1.0, closed_loop("/keep/10k")),
           Figure("S4-1m", "1 MB bodies", 1.0, closed_loop("/keep/1m", 16)),
           Figure("S4-10k-tls", "10 KB bodies, HTTPS in", 1.0, closed_loop("/keep/10k", tls=True)),
           Figure("S4-1m-tls", "1 MB bodies, HTTPS in", 1.0, closed_loop("/keep/1m", 16, True))],
    "S5": [Figure("S5-full", "a new backend connection for each request: full handshake, P-256", 0.85,
                  handshakes("full"), ("nginx",)),
           Figure("S5-resumed", "the same with a resumed session", 0.75, handshakes("resumed"),
                  ("nginx",))],
    "S6": [Figure("S6-plain", "memory of one of 10,000 idle connections, HTTP", 1024,
                  idle(False, 10000), unit="bytes", is_absolute=True),
           Figure("S6-tls", "memory of one of 10,000 idle connections, HTTPS", 6 * 1024,
                  idle(True, 10000), unit="bytes", is_absolute=True)],
    "P99": [Figure("P99", "99th percentile of S1 at 70 % of Postern's capacity", 1.0, paced)],
}
OWN_PEERS = ("S6",)  # these start their peers themselves
