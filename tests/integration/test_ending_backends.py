# SPDX-License-Identifier: Apache-2.0
"""HTTP/2 backends that end their connections, as when they are deployed: what was lost on one of them
does not go to another old one, as long as a new one can be had."""
import concurrent.futures
import contextlib
import socket
import struct
import threading

import pytest
from lab import h2frames, h2server, service, web
from lab.h2frames import END_HEADERS, END_STREAM, GOAWAY, HEADERS, frame
from lab.service import policy, wait_for

VERSION_2 = policy("", '<forward-request http-version="2" />')
ONE_STREAM = frame(h2frames.SETTINGS, 0, 0, struct.pack(">HI", 3, 1))
TWO_STREAMS = frame(h2frames.SETTINGS, 0, 0, struct.pack(">HI", 3, 2))


class Backend:
    """Answers its connections' numbers. `ending`: those up to this number end at their next request,
    which they have not processed. /hold
    waits for its event in `holds`."""

    def __init__(self, first):
        self.ending, self.holds, self.numbers = -1, [], {}
        self.server = h2server.Answers(self._answer, self._opened, first=first)
        self.url = self.server.url

    def _opened(self, sock):
        self.numbers[sock] = len(self.numbers)

    def _answer(self, sock, stream, path):
        number = self.numbers[sock]
        if path.endswith("/hold"):
            self.holds.append(threading.Event())
            threading.Thread(target=self._hold, args=(self.holds[-1], sock, stream), daemon=True).start()
        elif number <= self.ending:
            sock.sendall(frame(GOAWAY, 0, 0, struct.pack(">II", stream - 2 if stream > 1 else 0, 0)))
        else:
            self._say(sock, stream)

    def _say(self, sock, stream):
        sock.sendall(frame(HEADERS, END_HEADERS, stream, b"\x88") +
                     frame(h2frames.DATA, END_STREAM, stream, b"%d" % self.numbers[sock]))

    def _hold(self, event, sock, stream):
        event.wait(30)
        with contextlib.suppress(OSError):
            self._say(sock, stream)

    def free(self):
        for event in self.holds:
            event.set()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.free()
        self.server.__exit__()


@pytest.fixture(scope="module")
def house(tmp_path_factory, trust):
    instance = service.Postern(tmp_path_factory.mktemp("ending"), [
        "--threads", "1", "--limit", "backend-connections=2"], trust)
    instance.start()
    yield instance
    instance.stop()


@contextlib.contextmanager
def held(postern, backend, name, count):
    """So many requests on their way, one after the other; backend.holds[i] lets number i end."""
    def one():
        with contextlib.closing(web.Session(postern.gateway, timeout=40)) as session:
            return session.call("GET", f"/{name}/hold").text

    with concurrent.futures.ThreadPoolExecutor(count) as pool:
        waiting = []
        try:
            for i in range(count):
                waiting.append(pool.submit(one))
                wait_for("it is at the backend", lambda i=i: len(backend.holds) == i + 1)
            yield waiting
        finally:
            backend.free()


def two_connections(postern, backend, name):
    with held(postern, backend, name, 2) as waiting:
        backend.free()
        assert {w.result() for w in waiting} == {"0", "1"}


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_what_one_old_connection_lost_goes_to_a_new_one(house, method):
    with Backend(ONE_STREAM) as backend:
        name = service.unique("ending")
        house.make_api(name, backend.url, VERSION_2)
        two_connections(house, backend, name)
        backend.ending = 1
        answer = house.call(f"/{name}/x", method)
        assert (answer.status, answer.text) == (200, "2"), answer
        assert house.metric("postern_identity_mismatch_total") == 0


def test_many_that_were_lost_share_a_new_one(house):
    with Backend(h2frames.settings()) as backend:
        name = service.unique("ending")
        house.make_api(name, backend.url, VERSION_2)
        assert house.call(f"/{name}/x").text == "0"
        backend.ending = 0
        with concurrent.futures.ThreadPoolExecutor(16) as pool:
            seen = list(pool.map(lambda _: web.Session(house.gateway).call("GET", f"/{name}/x").text,
                                 range(16)))
        assert set(seen) == {"1"}, seen


def test_without_a_place_for_a_new_one_an_old_one_serves(house):
    with Backend(TWO_STREAMS) as backend:
        name = service.unique("ending")
        house.make_api(name, backend.url, VERSION_2)
        with held(house, backend, name, 3) as waiting:
            assert len(backend.numbers) == 2
            backend.holds[1].set()
            assert waiting[1].result() == "0"
            backend.ending = 0  # it ends, but for what is held: there is no place for a third one
            answer = house.call(f"/{name}/x")
            assert (answer.status, answer.text) == (200, "1"), answer
            backend.free()
            assert [w.result() for w in waiting] == ["0", "0", "1"]


def test_where_none_can_be_opened_an_old_one_serves(house):
    with Backend(ONE_STREAM) as backend:
        name = service.unique("ending")
        house.make_api(name, backend.url, VERSION_2)
        two_connections(house, backend, name)
        backend.server.listener.shutdown(socket.SHUT_RDWR)
        backend.ending = 0
        answer = house.call(f"/{name}/x")
        assert (answer.status, answer.text) == (200, "1"), answer
