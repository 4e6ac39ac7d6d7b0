# SPDX-License-Identifier: Apache-2.0
"""Streams of one HTTP/2 connection whose bodies nobody takes hold no other stream up, on either side of the
gateway, and what waits of them has a limit."""
import struct
import subprocess
import time

import pytest
from lab import backends, h2peer, raw, service
from lab.h2frames import (ACK, DATA, END_STREAM, ENHANCE_YOUR_CALM, HEADERS, SETTINGS, WINDOW_UPDATE, Connection,
                          frame, settings)
from lab.limits import Counted
from lab.service import policy, wait_for

MB = 1 << 20
KB = 1 << 10
VERSION_2 = policy("", '<forward-request http-version="2" />')


class Reluctant(raw.Script):
    """An HTTP/2 backend that takes so many bytes of each request, then no more, and never answers."""

    def __init__(self, takes):
        self.takes = takes
        self.known = 0  # connections on which the gateway keeps to our windows
        super().__init__(self._serve)

    def _serve(self, sock, _):
        sock.sendall(settings((4, self.takes)) + frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", 1 << 30)))
        while piece := sock.recv(MB):
            self.known += frame(SETTINGS, ACK) in piece


class Uploads(Connection):
    """Keeps count of the windows that the gateway gives, and keeps to them."""

    def __init__(self, origin):
        super().__init__(origin)
        self.seen = 0
        self.room = {0: 65535}
        self.settle()
        self.send(frame(SETTINGS, ACK))
        self.first = dict(struct.iter_unpack(">HI", self.find(SETTINGS).payload))
        self.next = 1
        self.account()

    def account(self):
        for got in self.frames[self.seen:]:
            if got.kind == WINDOW_UPDATE and got.stream in self.room:
                self.room[got.stream] += int.from_bytes(got.payload, "big")
        self.seen = len(self.frames)

    def begin(self, path):
        stream, self.next = self.next, self.next + 2
        self.room[stream] = self.first[4]
        self.send(self.request(stream, 0, method="POST", path=path))
        return stream

    def open_for(self, stream, limit_s=10):
        """So many bytes may be sent; 0: none came in time."""
        def has_room():
            self.account()
            return min(self.room[0], self.room[stream]) > 0

        self.read(has_room, limit_s)
        return max(0, min(self.room[0], self.room[stream]))

    def put(self, stream, size, end=False, limit_s=10):
        """Sends what it may of `size` bytes; how many."""
        sent = 0
        while sent < size:
            part = min(size - sent, 16384, self.open_for(stream, limit_s))
            if part == 0:
                break
            self.send(frame(DATA, END_STREAM if end and sent + part == size else 0, stream, b"x" * part))
            self.room[0] -= part
            self.room[stream] -= part
            sent += part
        return sent

    def stall(self, streams, takes):
        """Sends all that the windows of these take, of a backend that takes so much of each; how much that was."""
        sent = dict.fromkeys(streams, 0)
        more = True
        end = time.monotonic() + 20
        while more or (min(sent.values()) < takes and time.monotonic() < end):
            self.settle()
            self.account()
            more = False
            for stream in streams:
                if min(self.room[0], self.room[stream]) > 0:
                    sent[stream] += self.put(stream, min(self.room[0], self.room[stream]))
                    more = True
        return sent

    def upload(self, path, size):
        stream = self.begin(path)
        assert self.put(stream, size, end=True) == size, f"held up: {self.room[0]} of the connection, {self.room[stream]}"
        self.expect_answer(stream, 200)


@pytest.fixture(scope="module")
def reader(postern):
    """An API whose backend takes everything."""
    def serve(sock, _):
        while True:
            head, more = raw.head_of(sock)
            if not head:
                return
            while not more.endswith(b"0\r\n\r\n"):
                more = (more[-8:] + sock.recv(MB)) if len(more) > 8 else more + sock.recv(MB)
            sock.sendall(raw.OK)

    with raw.Script(serve) as backend:
        name = service.unique("reads")
        postern.make_api(name, backend.url)
        yield f"/{name}/x"


@pytest.mark.parametrize("takes, streams", [(1, 1), (1, 100), (300 * KB, 8), (300 * KB, 60)])
def test_uploads_that_nobody_takes_hold_up_no_others(postern, reader, takes, streams):
    with Reluctant(takes) as backend, Uploads(postern.gateway) as c:
        api = service.unique("stalls")
        postern.make_api(api, backend.url, VERSION_2)
        stalled = [c.begin(f"/{api}/x") for _ in range(streams)]
        sent = c.stall(stalled, takes)
        assert all(c.room[s] <= 0 for s in stalled), "it is the windows of the streams that are used up"
        assert all(s >= takes for s in sent.values()), sent
        for _ in range(3):
            c.upload(reader, 10)
        c.upload(reader, 20 * MB)  # far more than any window
        assert c.goaway is None


def test_what_waits_of_a_connection_is_less_than_its_limit(postern, reader):
    with Reluctant(300 * KB) as backend, Uploads(postern.gateway) as c:
        api = service.unique("stalls")
        postern.make_api(api, backend.url, VERSION_2)
        sent = c.stall([c.begin(f"/{api}/x") for _ in range(c.first[3])], 300 * KB)
        assert len(sent) == 128 and sum(sent.values()) - 128 * 300 * KB <= 8 * MB


def test_one_upload_alone_gets_a_wide_window(postern, reader):
    """More than what each has from the beginning, so that it is fast far away."""
    with Uploads(postern.gateway) as c:
        stream = c.begin(reader)
        assert c.put(stream, c.first[4] * 3) == c.first[4] * 3
        c.settle()
        c.account()
        assert c.room[stream] > 100 * KB > c.first[4]


@pytest.fixture(scope="module")
def small(tmp_path_factory, trust):
    options = ["--threads", "1", "--limit", "h2-connection-window=200000", "--limit", "h2-backend-connection-window=1MiB"]
    instance = service.Postern(tmp_path_factory.mktemp("small"), options, trust)
    instance.start()
    yield instance
    instance.stop()


def test_a_small_limit_means_fewer_streams_and_none_is_held_up(small):
    backend = backends.Python()
    try:
        with Reluctant(1) as reluctant, Uploads(small.gateway) as c:
            small.make_api("takes", backend.url)
            small.make_api("stalls", reluctant.url, VERSION_2)
            assert c.first[3] * c.first[4] <= 200000 and c.first[3] > 20
            c.stall([c.begin("/stalls/x") for _ in range(c.first[3] - 1)], 1)
            c.upload("/takes/x", 1 * MB)
    finally:
        backend.stop()


def test_who_does_not_keep_to_our_settings_meets_the_limit(small):
    """A client that never acknowledges SETTINGS has streams of the default window; they may not fill memory."""
    with Counted(small, "h2-connection-window"), Reluctant(1) as reluctant, Connection(small.gateway) as c:
        api = service.unique("stalls")
        small.make_api(api, reluctant.url, VERSION_2)
        for stream in (13, 15, 17, 19, 21, 23):
            c.send(c.request(stream, 0, method="POST", path=f"/{api}/x"))
        wait_for("the backend's windows", lambda: reluctant.known == 2)  # a connection has room for four streams
        for stream in (13, 15, 17, 19, 21, 23):
            c.send(frame(DATA, 0, stream, b"x" * 16384) * 3)
        c.send(b"".join(frame(DATA, 0, stream, b"x" * 16383) for stream in (13, 15, 17, 19, 21, 23)))
        c.expect_goaway(ENHANCE_YOUR_CALM)


def test_answers_that_nobody_takes_hold_up_no_others_of_the_backends_connection(small, tmp_path):
    """Three of the four streams for which the backend's connection has room hold all that may wait of theirs."""
    (tmp_path / "large").write_bytes(b"x" * (4 * MB))
    port = backends.free_port()
    server = subprocess.Popen(["nghttpd", "--no-tls", "-a", "127.0.0.1", "-d", str(tmp_path), str(port)],
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        small.make_api("large", f"http://127.0.0.1:{port}", VERSION_2)
        wait_for("nghttpd", lambda: small.call("/large/large").status == 200)
        with Connection(small.gateway) as slow, h2peer.Peer(small.gateway) as quick:
            slow.send(settings((4, 0)) + b"".join(slow.request(s, path="/large/large") for s in (1, 3, 5)))
            for stream in (1, 3, 5):
                slow.expect_answer(stream, 200)
            for _ in range(2):
                assert len(quick.call("GET", "/large/large").body) == 4 * MB
            assert not slow.find(DATA) and slow.find(HEADERS, 5)
    finally:
        server.terminate()
        server.wait(10)
