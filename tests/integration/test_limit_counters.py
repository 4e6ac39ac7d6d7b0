# SPDX-License-Identifier: Apache-2.0
"""Limits of the gateway that no other module reaches: each says what it must and is counted under its
name; and a gateway that has enough to do refuses what is new and finishes what it has."""
import re
import socket
import threading
import time

import pytest
from lab import backends, h2peer, raw, service, web
from lab.limits import Counted, hits


@pytest.fixture(scope="module")
def limited(tmp_path_factory, trust):
    values = ("client-idle-timeout=300ms", "client-linger-timeout=300ms", "trailer-bytes=100",
              "trailer-count=3", "chunk-extension-bytes=50", "backend-connect-timeout=300ms",
              "open-requests=4", "backend-idle-timeout=300ms", "request-skip-bytes=1000",
              "h2-streams=3", "backend-idle-connections=1")
    options = ["--threads", "1"] + [word for value in values for word in ("--limit", value)]
    instance = service.Postern(tmp_path_factory.mktemp("counters"), options, trust)
    instance.start()
    yield instance
    instance.stop()


@pytest.fixture(scope="module")
def api(limited):
    backend = backends.Python()
    limited.make_api("e", backend.url)
    yield "e"
    backend.stop()


def answer_to(postern, data):
    with raw.connect(postern) as sock:
        raw.send(sock, data)
        return raw.receive(sock, 5)


def chunked(api, rest):
    return raw.request("POST", f"/{api}/x", "Transfer-Encoding: chunked") + rest


def test_an_idle_connection_of_http_2_is_ended(limited, api):
    with Counted(limited, "client-idle-timeout"), h2peer.Peer(limited.gateway) as peer:
        assert peer.call("GET", f"/{api}/x").status == 200
        assert peer.until(lambda: peer.eof, 5) and peer.goaways[-1][1] == 0


def test_a_refused_client_that_does_not_close_is_closed(limited):
    with Counted(limited, "client-linger-timeout"), raw.connect(limited) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert b" 400 " in raw.receive(sock, 5)
        time.sleep(0.5)


@pytest.mark.parametrize("limit,rest,status", [
    ("trailer-bytes", b"0\r\nX-T: " + b"x" * 200 + b"\r\n\r\n", 431),
    ("trailer-count", b"0\r\n" + b"X: 1\r\n" * 4 + b"\r\n", 431),
    ("chunk-extension-bytes", b"1;" + b"x" * 60 + b"\r\na\r\n0\r\n\r\n", 413)])
def test_what_frames_a_body_is_bounded_and_not_taken_for_its_size(limited, api, limit, rest, status):
    before = hits(limited, "request-body-bytes")
    with Counted(limited, limit):
        received = answer_to(limited, chunked(api, rest))
        assert b" %d " % status in received and limit.encode() in received, received
    assert hits(limited, "request-body-bytes") == before


def test_a_backend_that_does_not_take_connections_is_given_up(limited):
    with socket.create_server(("127.0.0.1", 0), backlog=16) as silent:  # TCP, then no TLS
        name = service.unique("mute")
        limited.make_api(name, f"https://127.0.0.1:{silent.getsockname()[1]}")
        with Counted(limited, "backend-connect-timeout"):
            assert limited.call(f"/{name}/x").status == 500


def test_idle_connections_to_backends_are_few_and_end(limited):
    together = threading.Barrier(2)

    def serve(sock, _):
        while raw.head_of(sock)[0]:
            together.wait(10)
            sock.sendall(raw.OK)

    with raw.Script(serve) as backend:
        name = service.unique("idle")
        limited.make_api(name, backend.url)
        with Counted(limited, "backend-idle-connections"), Counted(limited, "backend-idle-timeout"):
            threads = [threading.Thread(target=lambda: web.Session(limited.gateway)
                                        .get(f"/{name}/x")) for _ in range(2)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()


def test_a_body_that_is_too_much_to_read_over_ends_the_connection(limited):
    limited.make_api("locked", "http://localhost:9", subscription_required=True)
    with Counted(limited, "request-skip-bytes"), raw.connect(limited) as sock:
        sock.sendall(raw.request("POST", "/locked/x", "Content-Length: 2000"))
        head, _ = raw.request_of(sock)
        assert b" 401 " in head and b"Connection: close" in head


def test_a_stream_too_many_is_not_served(limited):
    seen = []
    release = threading.Event()

    def serve(sock, _):
        seen.append(raw.head_of(sock)[0])
        release.wait(10)
        sock.sendall(raw.OK)

    with raw.Script(serve) as backend, h2peer.Peer(limited.gateway) as peer:
        name = service.unique("many")
        limited.make_api(name, backend.url)
        with Counted(limited, "h2-streams"):
            numbers = [peer.request("GET", f"/{name}/x") for _ in range(4)]
            peer.until(lambda: peer.goaways or peer.streams[numbers[3]].reset is not None, 5)
            assert peer.goaways or peer.streams[numbers[3]].reset == 7
        release.set()
        assert len(seen) <= 3


@pytest.mark.parametrize("version", [1, 2])
def test_overload_refuses_what_is_new_and_finishes_what_it_has(limited, version):
    """From outside: 503 with Retry-After, health still answered, every accepted request too."""
    release = threading.Event()

    def serve(sock, _):
        raw.head_of(sock)
        release.wait(20)
        sock.sendall(raw.OK)

    with raw.Script(serve) as backend:
        name = service.unique("busy")
        limited.make_api(name, backend.url)
        statuses = []
        threads = [threading.Thread(target=lambda: statuses.append(web.Session(
            limited.gateway, timeout=30).get(f"/{name}/x").status)) for _ in range(4)]
        for thread in threads:
            thread.start()
        service.wait_for("the requests", lambda: limited.metric("postern_calls") == 4, 10)
        with Counted(limited, "open-requests"):
            if version == 1:
                answer = web.Session(limited.gateway).get(f"/{name}/x")
                fields = {k.lower(): v for k, v in dict(answer.headers).items()}
            else:
                with h2peer.Peer(limited.gateway) as peer:
                    answer = peer.call("GET", f"/{name}/x")
                    fields = dict(answer.fields)
            assert answer.status == 503 and int(fields["retry-after"]) >= 1
        assert web.Session(limited.gateway).get("/healthz").status == 200
        release.set()
        for thread in threads:
            thread.join()
        assert statuses == [200] * 4
        service.wait_for("room again",
                         lambda: web.Session(limited.gateway).get(f"/{name}/x").status == 200, 5)


# Those that refuse, end or drop nothing: sizes, lifetimes of what is remembered, and pauses.
UNCOUNTED = {"h2-stream-window", "h2-backend-connection-window",
             "h2-hpack-table-bytes", "tls-ticket-lifetime", "tls-ticket-rotation", "tls-verified-lifetime",
             "identity-token-lifetime", "issuer-lifetime-min", "issuer-lifetime-max",
             "backend-ping-interval", "busy-rest", "drain-delay", "control-response-bytes", "vault-purge-delay"}


def test_a_new_limit_is_counted_somewhere():
    rows = re.findall(r'^    X\((\w+),\s*"([a-z0-9-]+)"',
                      (service.ROOT / "src/base/limits.h").read_text(), re.M)
    code = "".join(path.read_text() for path in (service.ROOT / "src").rglob("*.c")
                   if path.name != "h2_config.c")
    counted = {name for symbol, name in rows
               if any("pn_limit_value" not in line and "DEFAULT(" not in line for line in
                      re.findall(rf"[^\n]*PN_LIMIT_{symbol}\b[^\n]*", code))}
    assert {name for _, name in rows} - counted == UNCOUNTED
