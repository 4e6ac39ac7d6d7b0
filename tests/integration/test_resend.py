# SPDX-License-Identifier: Apache-2.0
"""Bodies that are kept: sent again when the first try was surely not processed, taken whole before
they are sent (buffer-request-body), and redirects that the gateway follows (follow-redirects)."""
import contextlib
import re
import ssl
import struct
import threading

import pytest
from lab import h2frames, h2peer, raw, service
from lab.h2frames import END_HEADERS, END_STREAM, HEADERS, PREFACE, frame
from lab.service import policy

VERSION_2 = policy("", '<forward-request http-version="2" />')
BUFFERS = policy("", '<forward-request buffer-request-body="true" />')
FOLLOWS = policy("", '<forward-request follow-redirects="true" />')


@pytest.fixture(scope="module")
def narrow(tmp_path_factory, trust):
    instance = service.Postern(tmp_path_factory.mktemp("resend"), [
        "--threads", "1", "--limit", "request-replay-bytes=5000", "--limit",
        "request-buffer-bytes=50000", "--limit", "redirects=3"], trust)
    instance.start()
    yield instance
    instance.stop()


def hits(postern, limit):
    text = postern.session(postern.control).get("/metrics").text
    found = re.search(r'postern_limit_hits_total\{limit="%s"\} (\d+)' % limit, text)
    return int(found[1]) if found else 0


class H2(raw.Script):
    """A backend of HTTP/2 without TLS. The first `refused` connections refuse the request with
    GOAWAY that says it was not processed, when its body is whole; the others answer 200."""

    def __init__(self, refused):
        self.bodies = []
        self.refused = refused
        super().__init__(self._serve)

    def _serve(self, sock, number):
        received, at = b"", len(PREFACE)
        bodies = {}
        sock.sendall(h2frames.settings())
        while piece := sock.recv(65536):
            received += piece
            while len(received) >= at + 9 + int.from_bytes(received[at:at + 3], "big"):
                end = at + 9 + int.from_bytes(received[at:at + 3], "big")
                kind, flags = received[at + 3], received[at + 4]
                stream, payload = struct.unpack(">I", received[at + 5:at + 9])[0], received[at + 9:end]
                at = end
                if kind == h2frames.DATA:
                    bodies[stream] = bodies.get(stream, b"") + payload
                    if len(payload):
                        sock.sendall(h2frames.window(0, len(payload)))
                if kind in (h2frames.DATA, HEADERS) and flags & END_STREAM:
                    self.bodies.append(bodies.get(stream, b""))
                    if number < self.refused:
                        sock.sendall(frame(h2frames.GOAWAY, 0, 0, struct.pack(">II", 0, 0)))
                        sock.recv(65536)
                        return
                    sock.sendall(frame(HEADERS, END_HEADERS | END_STREAM, stream, b"\x88"))


# --- sent again ---


@pytest.mark.parametrize("method", ["POST", "PUT"])
@pytest.mark.parametrize("front", [1, 2])
def test_a_body_that_was_surely_not_processed_is_sent_again(narrow, method, front):
    body = bytes(range(256)) * 19
    with H2(1) as backend:
        name = service.unique("again")
        narrow.make_api(name, backend.url, VERSION_2)
        if front == 1:
            assert narrow.call(f"/{name}/x", method, body).status == 200
        else:
            with h2peer.Peer(narrow.gateway) as peer:
                number = peer.request(method, f"/{name}/x", body=body)
                assert peer.answer(number).status == 200
        assert backend.bodies == [body, body]


def test_it_is_sent_again_once_and_only_if_it_is_kept(narrow):
    with H2(9) as backend:
        name = service.unique("once")
        narrow.make_api(name, backend.url, VERSION_2)
        assert narrow.call(f"/{name}/x", "POST", b"x" * 100).status == 500
        assert len(backend.bodies) == 2 and "code=stream_refused" in narrow.log()
        before = hits(narrow, "request-replay-bytes")
        assert narrow.call(f"/{name}/x", "POST", b"x" * 5001).status == 500
        assert len(backend.bodies) == 3
        assert hits(narrow, "request-replay-bytes") == before + 1


def test_a_body_goes_to_another_member_of_a_pool(narrow):
    def refuse(sock, _):
        raw.head_of(sock)
        sock.sendall(b"")

    with raw.Script(refuse) as dead, raw.Recorder() as good:
        name = service.unique("pool")
        members = []
        for i, backend in enumerate((dead, good)):
            narrow.put(f"/backends/{name}-{i}", {"url": backend.url, "protocol": "http"})
            members.append({"id": f"/backends/{name}-{i}", "priority": i})
        narrow.put(f"/backends/{name}", {"type": "Pool", "pool": {"services": members}})
        narrow.make_api(name, "http://127.0.0.1:1",
                        policy(f'<set-backend-service backend-id="{name}" />'))
        body = b"z" * 4000
        assert narrow.call(f"/{name}/x", "PUT", body).status == 200
        assert good.requests[-1].body == body
        assert narrow.call(f"/{name}/x", "POST", body).status == 500, "it may have been processed"


def test_streaming_goes_on_beyond_what_is_kept(narrow):
    """Byte for byte, also when what was kept is let go in the middle."""
    with raw.Recorder() as backend:
        name = service.unique("stream")
        narrow.make_api(name, backend.url)
        body = bytes(range(256)) * 3000
        with raw.connect(narrow) as sock:
            sock.sendall(raw.request("POST", f"/{name}/x", "Transfer-Encoding: chunked"))
            at = 0
            for size in (1, 4998, 1, 1, 100, 70000, 3):
                piece, at = body[at:at + size], at + size
                sock.sendall(b"%x\r\n" % len(piece) + piece + b"\r\n")
            sock.sendall(b"%x\r\n" % len(body[at:]) + body[at:] + b"\r\n0\r\nX-Sum: 1\r\n\r\n")
            assert b" 200 " in raw.head_of(sock)[0]
        assert backend.requests[-1].body == body
        assert ("x-sum", "1") in backend.requests[-1].trailers


# --- buffer-request-body ---


def test_a_buffered_body_reaches_the_backend_whole_and_with_its_length(narrow):
    with raw.Recorder() as backend:
        name = service.unique("whole")
        narrow.make_api(name, backend.url, BUFFERS)
        with raw.connect(narrow) as sock:
            sock.sendall(raw.request("POST", f"/{name}/x", "Transfer-Encoding: chunked",
                                     "Expect: 100-continue"))
            assert b" 100 " in raw.head_of(sock)[0], "the gateway itself asks for it"
            sock.sendall(b"5\r\nhello\r\n")
            sock.sendall(b"7\r\n, world\r\n")
            assert not backend.connections, "no connection while the body is on its way"
            sock.sendall(b"0\r\n\r\n")
            assert b" 200 " in raw.head_of(sock)[0]
        seen = backend.requests[-1]
        assert seen.body == b"hello, world" and seen.get("content-length") == "12"
        assert not seen.is_chunked and seen.get("expect") is None
        with h2peer.Peer(narrow.gateway) as peer:
            number = peer.request("POST", f"/{name}/x", end=False)
            peer.data(number, b"a" * 40000)
            peer.data(number, b"b" * 10000, end=True)
            assert peer.answer(number).status == 200
        assert backend.requests[-1].body == b"a" * 40000 + b"b" * 10000
        assert narrow.call(f"/{name}/x").status == 200, "without a body"


def test_trailers_of_a_buffered_body_stay(narrow):
    with raw.Recorder() as backend:
        name = service.unique("trail")
        narrow.make_api(name, backend.url, BUFFERS)
        with raw.connect(narrow) as sock:
            sock.sendall(raw.request("POST", f"/{name}/x", "Transfer-Encoding: chunked",
                                     body=b"2\r\nhi\r\n0\r\nX-Sum: 2\r\n\r\n"))
            assert b" 200 " in raw.head_of(sock)[0]
        assert backend.requests[-1].trailers == [("x-sum", "2")]


@pytest.mark.parametrize("fields,body", [
    (("Content-Length: 50001",), b""),
    (("Transfer-Encoding: chunked",), b"c351\r\n" + b"x" * 50001 + b"\r\n0\r\n\r\n")])
def test_a_body_that_is_too_large_to_buffer_is_413(narrow, fields, body):
    with raw.Recorder() as backend:
        name = service.unique("large")
        narrow.make_api(name, backend.url, BUFFERS)
        before = hits(narrow, "request-buffer-bytes")
        with raw.connect(narrow) as sock:
            raw.send(sock, raw.request("POST", f"/{name}/x", *fields, body=body))
            received = raw.receive(sock, 10)
        assert b" 413 " in received and b"request-buffer-bytes" in received
        assert not backend.requests and hits(narrow, "request-buffer-bytes") == before + 1


def test_a_client_that_leaves_while_its_body_is_buffered_leaves_nothing(narrow):
    with raw.Recorder() as backend:
        name = service.unique("leaves")
        narrow.make_api(name, backend.url, BUFFERS)
        for fields in (("Content-Length: 100",), ("Transfer-Encoding: chunked",)):
            with raw.connect(narrow) as sock:
                sock.sendall(raw.request("POST", f"/{name}/x", *fields, body=b"5\r\nhello"))
                service.wait_for("the call", lambda: narrow.metric("postern_calls") >= 1)
            service.wait_for("its end", lambda: narrow.metric("postern_calls") == 0)
        assert not backend.connections


# --- follow-redirects ---


class Redirects(raw.Script):
    """Answers /to/STATUS/LOCATION by that redirect (| is /), everything else by 200."""

    def __init__(self, context=None):
        self.once = False  # a second request to the same target is answered
        self.seen = []
        self.subjects = []
        super().__init__(self._serve, context)

    def _serve(self, sock, _):
        while True:
            head, body = raw.request_of(sock)
            if not head:
                return
            self.seen.append((head.split(b"\r\n")[0].decode(), head.decode("latin-1").lower(), body))
            if self.context:
                peer = sock.getpeercert()
                self.subjects.append(peer and dict(x[0] for x in peer["subject"])["commonName"])
            match = re.match(rb"\w+ /to/(\d+)/(\S*) ", head)
            if match and not (self.once and len(self.seen) > 1):
                location = match[2].replace(b"|", b"/").replace(b"!", b"?").replace(b"@", b"#")
                sock.sendall(b"HTTP/1.1 %s Moved\r\nLocation: %s\r\nContent-Length: 5\r\n\r\nmoved"
                             % (match[1], location))
            else:
                sock.sendall(raw.OK)

    def lines(self):
        return [line for line, _, _ in self.seen]


@pytest.fixture
def site(narrow):
    with Redirects() as backend:
        backend.api = service.unique("site")
        narrow.make_api(backend.api, backend.url, FOLLOWS)
        yield backend


@pytest.mark.parametrize("location,then", [
    ("|b|c", "/b/c"), ("|b!q=1@f", "/b?q=1"), ("c", "/to/302/c"), ("!q=2", "/to/302/!q=2?q=2"),
    ("..|..|x", "/x"), ("|a|..|b", "/b")])
def test_a_redirect_is_followed_where_it_says(narrow, site, location, then):
    site.once = True
    answer = narrow.call(f"/{site.api}/to/302/{location}")
    assert answer.status == 200 and answer.text == "ok"
    assert site.lines()[1] == f"GET {then} HTTP/1.1", site.lines()
    assert site.connections == 1, "the connection is kept"


@pytest.mark.parametrize("method,status,then", [
    ("POST", 301, "GET"), ("POST", 302, "GET"), ("POST", 303, "GET"), ("PUT", 303, "GET"),
    ("PUT", 302, "PUT"), ("POST", 307, "POST"), ("POST", 308, "POST"), ("DELETE", 307, "DELETE")])
def test_method_and_body_are_those_that_the_status_wants(narrow, site, method, status, then):
    body = b"" if method == "DELETE" else b"x" * 3000
    answer = narrow.call(f"/{site.api}/to/{status}/|end", method, body or None,
                         {"Content-Type": "text/plain"})
    assert answer.status == 200, answer
    line, head, sent = site.seen[-1]
    assert line == f"{then} /end HTTP/1.1"
    assert sent == (b"" if then == "GET" else body)
    assert ("content-type" in head) == (then != "GET")


def test_without_the_policy_the_client_is_redirected(narrow, site):
    narrow.set_policy(f"/apis/{site.api}", policy())
    answer = narrow.call(f"/{site.api}/to/302/|b")
    assert answer.status == 302 and answer.headers["location"] == "/b" and answer.text == "moved"


def test_a_body_that_is_not_kept_is_not_redirected(narrow, site):
    answer = narrow.call(f"/{site.api}/to/307/|b", "POST", b"x" * 6000)
    assert answer.status == 307 and len(site.seen) == 1
    assert "event=redirect_not_followed" in narrow.log()
    narrow.set_policy(f"/apis/{site.api}", policy(
        "", '<forward-request follow-redirects="true" buffer-request-body="true" />'))
    assert narrow.call(f"/{site.api}/to/307/|b", "POST", b"x" * 6000).status == 200
    assert site.seen[-1][2] == b"x" * 6000


def test_too_many_redirects_fail_the_request(narrow):
    def serve(sock, _):
        while raw.head_of(sock)[0]:
            sock.sendall(b"HTTP/1.1 302 Found\r\nLocation: /again\r\nContent-Length: 0\r\n\r\n")

    with raw.Script(serve) as backend:
        name = service.unique("loop")
        narrow.make_api(name, backend.url, FOLLOWS)
        before = hits(narrow, "redirects")
        assert narrow.call(f"/{name}/x").status == 500
        assert hits(narrow, "redirects") == before + 1
        assert "code=too_many_redirects" in narrow.log()


def test_another_origin_gets_nothing_that_is_meant_for_the_first(narrow, site):
    with Redirects() as other:
        target = other.url.replace("/", "|") + "|landed"
        answer = narrow.call(f"/{site.api}/to/302/{target}", headers={
            "Authorization": "Bearer secret", "Cookie": "a=b", "X-Own": "stays"})
        assert answer.status == 200
        line, head, _ = other.seen[-1]
        assert line == "GET /landed HTTP/1.1" and f"host: localhost:{other.port}" in head
        assert "x-own: stays" in head and "secret" not in head and "cookie" not in head
        narrow.put(f"/backends/{site.api}", {
            "url": site.url, "protocol": "http",
            "credentials": {"header": {"X-Key": ["of the entity"]}}})
        narrow.set_policy(f"/apis/{site.api}", policy(
            f'<set-backend-service backend-id="{site.api}" />',
            '<forward-request follow-redirects="true" />'))
        answer = narrow.call(f"/{site.api}/to/302/{target}")
        assert answer.status == 302 and len(other.seen) == 1
        assert narrow.call(f"/{site.api}/to/302/|own").status == 200
        assert "x-key: of the entity" in site.seen[-1][1], "within its origin they go along"


def test_another_origin_does_not_get_the_subscription_key(narrow):
    with Redirects() as first, Redirects() as other:
        name = service.unique("keyed")
        narrow.make_api(name, first.url, FOLLOWS, subscription_required=True,
                        subscriptionKeyParameterNames={"header": "X-House-Key", "query": "house"})
        at = f"{narrow.service_id}/subscriptions/{name}"
        narrow.put(at, {"scope": f"/apis/{name}", "displayName": name, "state": "active"}, (201,))
        key = narrow.arm("POST", f"{at}/listSecrets").json()["primaryKey"]
        target = other.url.replace("/", "|") + "|landed"
        answer = narrow.call(f"/{name}/to/302/{target}", headers={"X-House-Key": key})
        assert answer.status == 200 and other.seen
        assert f"x-house-key: {key.lower()}" in first.seen[0][1]
        assert "x-house-key" not in other.seen[0][1]


def test_a_certificate_stays_with_its_origin(narrow, ca, clients, tmp_path):
    """Redirected within it the same identity is shown; elsewhere, and to http, nothing goes."""
    def context():
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        made.load_cert_chain(*map(str, ca.server().write(tmp_path, "server")))
        made.load_verify_locations(cadata=ca.certificate_pem.decode())
        made.verify_mode = ssl.CERT_OPTIONAL
        return made

    with Redirects(context()) as first, Redirects(context()) as other, Redirects() as plain:
        name = service.unique("cert")
        narrow.upload(name, clients["p256"])
        narrow.make_api(name, first.url, policy(
            f'<authentication-certificate certificate-id="{name}" />',
            '<forward-request follow-redirects="true" />'))
        assert narrow.call(f"/{name}/to/307/|b").status == 200
        assert first.subjects == [clients["p256"].common_name] * 2
        for url in (other.url, plain.url):
            target = url.replace("/", "|") + "|x"
            assert narrow.call(f"/{name}/to/307/{target}").status == 307
        narrow.upload(f"{name}-2", clients["rsa2048"])
        narrow.put(f"/backends/{name}", {"url": first.url, "protocol": "http", "credentials": {
            "certificateIds": [f"{narrow.service_id}/certificates/{name}",
                               f"{narrow.service_id}/certificates/{name}-2"]}})
        narrow.set_policy(f"/apis/{name}", policy(
            f'<set-backend-service backend-id="{name}" />',
            '<forward-request follow-redirects="true" />'))
        target = other.url.replace("/", "|") + "|x"
        assert narrow.call(f"/{name}/to/307/{target}").status == 307, "one of several is one too"
        narrow.set_policy(f"/apis/{name}", FOLLOWS)
        assert narrow.call(f"/{name}/to/307/{other.url.replace('/', '|')}|x").status == 200
        assert other.subjects == [None]
        assert narrow.call(f"/{name}/to/307/{plain.url.replace('/', '|')}|x").status == 307
        assert not plain.seen
        assert narrow.metric("postern_identity_mismatch_total") == 0


@pytest.mark.parametrize("location", [b"http://", b"/a b", b"ftp://x/", b"http://u:p@h/", b"\xc3\xa9"])
def test_a_location_that_cannot_be_asked_is_the_clients(narrow, location):
    def serve(sock, _):
        while raw.head_of(sock)[0]:
            sock.sendall(b"HTTP/1.1 302 Found\r\nLocation: " + location +
                         b"\r\nContent-Length: 0\r\n\r\n")

    with raw.Script(serve) as backend:
        name = service.unique("odd")
        narrow.make_api(name, backend.url, FOLLOWS)
        assert narrow.call(f"/{name}/x").status == 302


def test_a_redirect_over_http2_is_followed_too(narrow):
    heads = threading.Event()

    def serve(sock, _):
        received, at, answered = b"", len(PREFACE), 0
        sock.sendall(h2frames.settings())
        while piece := sock.recv(65536):
            received += piece
            while len(received) >= at + 9 + int.from_bytes(received[at:at + 3], "big"):
                kind, stream = received[at + 3], struct.unpack(">I", received[at + 5:at + 9])[0]
                at += 9 + int.from_bytes(received[at:at + 3], "big")
                if kind == HEADERS:
                    answered += 1
                    block = b"\x88" if answered > 1 else h2frames.block(
                        (":status", "302"), ("location", "/b"))
                    sock.sendall(frame(HEADERS, END_HEADERS | END_STREAM, stream, block))
                    if answered == 2:
                        heads.set()

    with raw.Script(serve) as backend, contextlib.ExitStack():
        name = service.unique("h2")
        narrow.make_api(name, backend.url, policy(
            "", '<forward-request http-version="2" follow-redirects="true" />'))
        assert narrow.call(f"/{name}/a").status == 200
        assert heads.wait(10) and backend.connections == 1
