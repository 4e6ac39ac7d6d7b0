# SPDX-License-Identifier: Apache-2.0
"""One message too many, at the border of two connections: bytes that wait where no event tells of
them, fields that only a trailer brings, streams that hold what others need."""
import os
import random
import ssl
import time

import pytest
from h2.errors import ErrorCodes
from h2.settings import SettingCodes
from lab import h2peer, raw, service, web
from lab.nodes import Node
from lab.raw import connect, request
from lab.service import policy
from test_smuggling import CASES

VERSION_2 = '<forward-request http-version="2" />'
POISON = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison"


class Records:
    """The server's half of a TLS connection, whose records leave when flush() says so."""

    def __init__(self, sock, context):
        self.sock = sock
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_side=True)
        self._until(self.tls.do_handshake)

    def _until(self, step):
        while True:
            try:
                return step()
            except ssl.SSLWantReadError:
                self.flush()
                data = self.sock.recv(65536)
                if not data:
                    raise ConnectionResetError from None
                self.incoming.write(data)

    def flush(self):
        data = self.outgoing.read()
        if data:
            self.sock.sendall(data)

    def recv(self, size):
        return self._until(lambda: self.tls.read(size))

    def write(self, data):
        """One record."""
        self.tls.write(data)


@pytest.mark.parametrize("at", [0, 1, 2])
@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
def test_a_record_behind_an_answer_never_becomes_the_next_answer(postern, ca, tmp_path, version, at):
    """As over plain TCP, but the second answer is a record of its own that came with the first one:
    it waits in the TLS of the connection, and no event of the socket tells of it."""
    certificate, key = ca.server().write(tmp_path, "server")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    context.minimum_version = context.maximum_version = ssl.TLSVersion[version]

    def serve(sock, number):
        records = Records(sock, context)
        asked = 0
        while raw.head_of(records)[0]:
            records.write(raw.OK)
            if number == 0 and asked == at:
                records.write(POISON)
            records.flush()
            asked += 1

    with raw.Script(serve) as backend, connect(postern) as sock:
        name = service.unique("poison")
        postern.make_api(name, f"https://localhost:{backend.port}")
        for i in range(6):
            sock.sendall(request("GET", f"/{name}/{i}"))
            answer = sock.recv(65536)
            assert answer.startswith(b"HTTP/1.1 200") and answer.endswith(b"ok"), answer
            time.sleep(0.02)
        assert backend.connections == 2, "the poisoned connection carries no further request"


# --- fields of the connection that come behind the body

CHUNKED = "Transfer-Encoding: chunked"
BEHIND = b"3\r\nabc\r\n0\r\nX-Hop: 1\r\nX-SECRET: 2\r\nX-Sum: 3\r\n\r\n"


def test_trailers_that_connection_names_end_at_the_gateway(postern):
    name = service.unique("hop")
    with raw.Recorder() as backend, connect(postern) as sock:
        postern.make_api(name, backend.url)
        sock.sendall(request("POST", f"/{name}/x", CHUNKED, "Connection: keep-alive, x-hop",
                             "Connection: X-Secret", body=BEHIND))
        assert sock.recv(65536).startswith(b"HTTP/1.1 200")
    (seen,) = backend.requests
    assert (seen.body, seen.trailers) == (b"abc", [("x-sum", "3")])


def test_trailers_that_an_answers_connection_names_end_at_the_gateway(postern):
    def serve(sock, _):
        raw.head_of(sock)
        sock.sendall(b"HTTP/1.1 200 OK\r\nConnection: X-Hop\r\nConnection: close, x-secret\r\n"
                     b"Transfer-Encoding: chunked\r\n\r\n" + BEHIND)

    name = service.unique("hop")
    with raw.Script(serve) as backend:
        postern.make_api(name, backend.url)
        with connect(postern) as sock:
            sock.sendall(request("GET", f"/{name}/x", "TE: trailers", "Connection: TE, close"))
            received = raw.read_all(sock)
        assert received.endswith(b"3\r\nabc\r\n0\r\nX-Sum: 3\r\n\r\n"), received
        with h2peer.Peer(postern.gateway) as peer:
            answer = peer.call("GET", f"/{name}/x", [("te", "trailers")])
        assert (answer.body, answer.trailers) == (b"abc", {"x-sum": "3"})


def test_an_informational_answer_has_no_length(postern):
    """RFC 9110 section 8.6: who believes it takes the beginning of the final answer for a body."""
    def serve(sock, _):
        while raw.head_of(sock)[0]:
            sock.sendall(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\nContent-Length: 17\r\n\r\n" + raw.OK)

    name = service.unique("early")
    with raw.Script(serve) as backend:
        postern.make_api(name, backend.url)
        with connect(postern) as sock:
            sock.sendall(request("GET", f"/{name}/x", "Connection: close"))
            interim, _, final = raw.read_all(sock).partition(b"\r\n\r\n")
        assert interim == b"HTTP/1.1 103 Early Hints\r\nLink: </x>" and final.endswith(b"ok"), interim
        with h2peer.Peer(postern.gateway) as peer:
            answer = peer.call("GET", f"/{name}/x")
        assert answer.informational == [{":status": "103", "link": "</x>"}] and answer.body == b"ok"


# --- streams that are not read

def test_streams_that_a_client_does_not_read_stop_nobody_else(postern):
    """All clients share a backend's HTTP/2 connection: who asks for much and gives no window must not
    use up the window of the connection, which is everybody's."""
    backend = Node("h2_backend.mjs", "http")
    name = service.unique("stalled")
    try:
        postern.make_api(name, backend.url, policy("", VERSION_2))
        assert postern.call(f"/{name}/echo").status == 200  # SETTINGS are known
        with h2peer.Peer(postern.gateway, acknowledge=False,
                         settings={SettingCodes.INITIAL_WINDOW_SIZE: 0}) as greedy:
            asked = [greedy.request("GET", f"/{name}/big?bytes=1000000") for _ in range(95)]
            assert greedy.until(lambda: all(greedy.streams[n].head for n in asked)), "all have begun"
            time.sleep(1)  # the windows fill up
            for _ in range(6):  # on either thread
                answer = web.Session(postern.gateway, timeout=10).call("GET", f"/{name}/big?bytes=70000")
                assert (answer.status, len(answer.body)) == (200, 70000)
    finally:
        backend.stop()


def test_uploads_that_are_reset_give_their_window_back(postern):
    """Each leaves bytes that nobody will read; all together are many windows of the connection."""
    def serve(sock, _):
        raw.head_of(sock)
        time.sleep(30)  # reads nothing more

    name = service.unique("reset")
    with raw.Script(serve) as backend, h2peer.Peer(postern.gateway) as peer:
        postern.make_api(name, backend.url)
        for _ in range(60):
            number = peer.request("POST", f"/{name}/x", [("content-length", "500000")], end=False)
            peer.data(number, b"u" * 60000)
            peer.h2.reset_stream(number, ErrorCodes.CANCEL)
            peer.flush()
        assert peer.until(lambda: peer.h2.outbound_flow_control_window >= 500000, 10), \
            peer.h2.outbound_flow_control_window
        assert peer.call("GET", "/healthz").status == 200


def test_answers_that_are_reset_give_their_window_back(postern):
    """The same at a backend: a hundred of a quarter MiB are its connection's whole window."""
    backend = Node("h2_backend.mjs", "http")
    name = service.unique("reset")
    try:
        postern.make_api(name, backend.url, policy("", VERSION_2))
        with h2peer.Peer(postern.gateway, acknowledge=False,
                         settings={SettingCodes.INITIAL_WINDOW_SIZE: 0}) as greedy:
            for _ in range(6):
                asked = [greedy.request("GET", f"/{name}/big?bytes=1000000") for _ in range(40)]
                assert greedy.until(lambda: all(greedy.streams[n].head for n in asked))
                time.sleep(0.3)
                for number in asked:
                    greedy.h2.reset_stream(number, ErrorCodes.CANCEL)
                greedy.flush()
            number = greedy.request("GET", f"/{name}/big?bytes=300000")
            greedy.h2.increment_flow_control_window(400000, number)
            greedy.h2.increment_flow_control_window(400000)
            greedy.flush()
            assert len(greedy.answer(number).body) == 300000
            assert len(postern.call(f"/{name}/stats").json()) <= 2, "the connections are the first ones"
    finally:
        backend.stop()


# --- requests by chance

PIECES = [b"\r\n", b"\n", b"\r", b" ", b"\t", b"\0", b"\x0b", b";", b",", b"chunked", b"0\r\n\r\n",
          b"5\r\nhello\r\n", b"Transfer-Encoding: chunked\r\n", b"Content-Length: 5\r\n",
          b"Content-Length: 0\r\n", b"Connection: close\r\n", b"Connection: Transfer-Encoding\r\n",
          b"Expect: 100-continue\r\n", b"HTTP/1.0", b"Upgrade: websocket\r\nConnection: Upgrade\r\n",
          b"GET /%s/second HTTP/1.1\r\nHost: x\r\n\r\n"]


def mutated(chance, data):
    for _ in range(chance.randint(1, 3)):
        at, what = chance.randint(0, len(data)), chance.random()
        if what < 0.5:
            data = data[:at] + chance.choice(PIECES) + data[at:]
        elif what < 0.75:
            data = data[:at] + data[at + chance.randint(1, 4):]
        else:
            data = data[:at] + bytes([chance.randrange(256)]) + data[at + 1:]
    return data


def test_what_reaches_a_backend_has_one_reading_whatever_is_sent(postern):
    """Requests that test_smuggling.py knows, changed by chance, each with another behind it. The backend
    reads as strictly as can be. PN_MUTATIONS and PN_MUTATIONS_SEED for more, and for others."""
    seed = int(os.environ.get("PN_MUTATIONS_SEED", "1"))
    chance, name = random.Random(seed), service.unique("chance")
    last = request("GET", f"/{name}/last", "Connection: close")
    with raw.Recorder() as backend:
        postern.make_api(name, backend.url)
        for i in range(int(os.environ.get("PN_MUTATIONS", "1500"))):
            data = mutated(chance, chance.choice(list(CASES.values()))).replace(b"%s", name.encode())
            with connect(postern) as sock:
                raw.send(sock, data + last)
                raw.receive(sock, 0.1)
            # one that breaks off here has broken off there
            doubts = [d for d in backend.doubts if d[0] != "ends within a head"]
            assert not doubts, f"seed {seed}, number {i}: {data} became {doubts}"
        assert postern.call(f"/{name}/after").status == 200
        assert len(backend.requests) > 10
