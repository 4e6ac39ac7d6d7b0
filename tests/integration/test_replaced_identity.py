# SPDX-License-Identifier: Apache-2.0
"""A certificate is replaced while requests wait for a connection, or lose the one they had: what is opened
from then on shows the new one, though a session of the former could be resumed."""
import concurrent.futures
import contextlib
import socket
import ssl
import threading

import pytest
from lab import h2server, limits, raw, service, web
from lab.h2frames import DATA, END_HEADERS, END_STREAM, HEADERS, block, frame
from lab.service import policy, wait_for

OPTIONS = ["--threads", "1", "--limit", "backend-drain-timeout=500ms", "--limit", "backend-connections=1"]


@pytest.fixture(scope="module")
def rotating(tmp_path_factory, trust):
    instance = service.Postern(tmp_path_factory.mktemp("replaced"), OPTIONS, trust)
    instance.start()
    yield instance
    assert instance.metric("postern_identity_mismatch_total") == 0
    instance.stop()


def shown(sock):
    return dict(field[0] for field in sock.getpeercert()["subject"])["commonName"]


class Mutual:
    """Demands a certificate and keeps, of each connection, whose it was and what was asked on it. A path
    with /hold is answered when the test says so, one with /lost not at all: the connection ends."""

    def __init__(self, ca, folder, version):
        crt, key = ca.server().write(folder, "server")
        (folder / "ca.crt").write_bytes(ca.certificate_pem)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(crt, key)
        context.load_verify_locations(folder / "ca.crt")
        context.verify_mode = ssl.CERT_REQUIRED
        context.set_alpn_protocols(["h2"] if version == 2 else ["http/1.1"])
        self.go = threading.Event()
        self.seen = []  # (certificate, path)
        self.opened = []  # certificates
        if version == 2:
            self.server = h2server.Answers(self._on_request, self._on_open, context)
        else:
            self.server = raw.Script(self._serve, context)

    def _on_open(self, sock):
        self.opened.append(shown(sock))

    def _is_answered(self, sock, path):
        self.seen.append((shown(sock), path))
        if "/lost" in path and self.count("/lost") == 1:
            self.go.wait(20)
            return False
        if "/hold" in path:
            self.go.wait(20)
        return True

    def _on_request(self, sock, stream, path):
        def answer():
            with contextlib.suppress(OSError):  # the connection may be over
                if self._is_answered(sock, path):
                    sock.sendall(frame(HEADERS, END_HEADERS, stream, block((":status", "200"))) +
                                 frame(DATA, END_STREAM, stream, b"ok"))
                else:
                    sock.shutdown(socket.SHUT_RDWR)
        threading.Thread(target=answer, daemon=True).start()

    def _serve(self, sock, _):
        self._on_open(sock)
        while head := raw.request_of(sock)[0]:
            if not self._is_answered(sock, head.split()[1].decode()):
                return
            sock.sendall(raw.OK)

    def count(self, text):
        return sum(1 for _, path in self.seen if text in path)

    def __enter__(self):
        self.server.__enter__()
        return self

    def __exit__(self, *_):
        self.go.set()
        self.server.__exit__()


def in_background(pool, postern, path, method="GET"):
    return pool.submit(lambda: web.Session(postern.gateway, timeout=30).call(method, path))


@pytest.fixture
def api(rotating, ca):
    """Makes an API with a certificate `before`; returns its name, which is also the certificate's."""
    def make(server, version):
        name = service.unique("replaced")
        rotating.upload(name, ca.client("before"))
        rotating.make_api(name, server.url, policy(f'<authentication-certificate certificate-id="{name}" />',
                                                   f'<forward-request http-version="{version}" />'))
        return name
    return make


@pytest.mark.parametrize("version", [1, 2])
def test_a_request_that_loses_its_connection_goes_on_with_the_new_certificate(rotating, ca, api, tmp_path, version):
    with Mutual(ca, tmp_path, version) as backend, concurrent.futures.ThreadPoolExecutor(2) as pool:
        name = api(backend.server, version)
        assert rotating.call(f"/{name}/x").status == 200
        lost = in_background(pool, rotating, f"/{name}/lost")
        wait_for("it is there", lambda: backend.count("/lost") == 1)
        rotating.upload(name, ca.client("after"))
        backend.go.set()
        assert lost.result(20).status == 200
        assert [who for who, path in backend.seen if "/lost" in path] == ["before", "after"]
        assert backend.opened[1:] and set(backend.opened[1:]) == {"after"}


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_who_waits_for_a_connection_gets_one_of_the_new_certificate(rotating, ca, api, tmp_path, method):
    with Mutual(ca, tmp_path, 1) as backend, concurrent.futures.ThreadPoolExecutor(2) as pool:
        name = api(backend.server, 1)
        assert rotating.call(f"/{name}/x").status == 200
        hold = in_background(pool, rotating, f"/{name}/hold")
        wait_for("the only connection is busy", lambda: backend.count("/hold") == 1)
        before = limits.hits(rotating, "backend-connections")
        waits = in_background(pool, rotating, f"/{name}/waits", method)
        wait_for("the other waits", lambda: limits.hits(rotating, "backend-connections") > before)
        rotating.upload(name, ca.client("after"))
        backend.go.set()
        assert (hold.result(20).status, waits.result(20).status) == (200, 200)
        assert [who for who, path in backend.seen if "/waits" in path] == ["after"]
        assert set(backend.opened[1:]) == {"after"}  # the pre-flight's is one


@pytest.mark.parametrize("version", [1, 2])
def test_what_the_drain_limit_ends_is_not_sent_again(rotating, ca, api, tmp_path, version):
    with Mutual(ca, tmp_path, version) as backend, concurrent.futures.ThreadPoolExecutor(1) as pool:
        name = api(backend.server, version)
        assert rotating.call(f"/{name}/x").status == 200
        hold = in_background(pool, rotating, f"/{name}/hold")
        wait_for("it is there", lambda: backend.count("/hold") == 1)
        rotating.upload(name, ca.client("after"))
        assert hold.result(20).status == 500 and "code=drain_timeout" in rotating.log()
        assert rotating.call(f"/{name}/x").status == 200
        assert backend.count("/hold") == 1 and set(backend.opened[1:]) == {"after"}


def test_who_waits_for_a_certificate_that_is_deleted_is_not_sent(rotating, ca, api, tmp_path):
    """Fail closed: not with the deleted one, and not without."""
    with Mutual(ca, tmp_path, 1) as backend, concurrent.futures.ThreadPoolExecutor(2) as pool:
        name = api(backend.server, 1)
        hold = in_background(pool, rotating, f"/{name}/hold")
        wait_for("the only connection is busy", lambda: backend.count("/hold") == 1)
        before = limits.hits(rotating, "backend-connections")
        waits = in_background(pool, rotating, f"/{name}/waits")
        wait_for("the other waits", lambda: limits.hits(rotating, "backend-connections") > before)
        rotating.set_policy(f"/apis/{name}", policy())
        rotating.delete(f"/certificates/{name}")
        assert waits.result(20).status == 500 and "code=certificate_unknown" in rotating.log()
        backend.go.set()
        assert hold.result(20).status == 200
        assert backend.count("/waits") == 0 and backend.opened == ["before"]
