# SPDX-License-Identifier: Apache-2.0
"""The gateway and backends that do what backends do: close, refuse late, answer early, dribble."""
import contextlib
import json
import pathlib
import re
import socket
import ssl
import struct
import threading
import time
import urllib.parse

import pytest
from lab import service, web
from lab.raw import OK, Script, connect, head_of, read_all, request, request_of
from lab.service import policy, with_certificate

MB = 1 << 20


def cause_of(postern, answer):
    """The code that the log gives for an answer of 500."""
    assert answer.status == 500, answer
    activity = answer.json()["activityId"]

    def line():
        return next((x for x in postern.log().splitlines() if activity in x), None)

    return re.search(r"code=\"?(\w+)", service.wait_for("the log line", line, 5))[1]


def memory(postern):
    status = pathlib.Path(f"/proc/{postern.pid('gateway')}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) * 1024


# --- connections that end


@pytest.mark.parametrize("method, body, expect", [
    ("GET", None, 200), ("DELETE", None, 200), ("POST", b"pay", 500), ("POST", b"", 500)])
def test_only_an_idempotent_request_is_sent_again_on_a_new_connection(postern, method, body, expect):
    """The pooled connection dies when the second request is already on it."""
    seen = []

    def serve(sock, number):
        request_of(sock)
        sock.sendall(OK)
        head, _ = request_of(sock)
        seen.append(head)
        if number > 0 and head:
            sock.sendall(OK)

    with Script(serve) as backend:
        name = service.unique("stale")
        postern.make_api(name, backend.url)
        assert postern.call(f"/{name}/first").status == 200
        answer = postern.call(f"/{name}/second", method, body)
        assert answer.status == expect, answer
        if expect == 500:
            assert cause_of(postern, answer) == "connection_closed"
        assert backend.connections == (2 if expect == 200 else 1)


@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_a_body_is_not_sent_on_a_connection_that_the_backend_has_closed(postern, method):
    closed = threading.Event()

    def serve(sock, _):
        request_of(sock)
        sock.sendall(OK)
        sock.close()
        closed.set()

    with Script(serve) as backend:
        name = service.unique("closed")
        postern.make_api(name, backend.url)
        for _ in range(30):
            assert postern.call(f"/{name}/x", method, b"x" * 100).status == 200
            assert closed.wait(20)  # else the close may come when the request has just left
            closed.clear()


def test_connection_close_of_the_backend_is_obeyed_and_not_passed_on(postern):
    def serve(sock, _):
        request_of(sock)
        sock.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok")
        sock.recv(1000)  # it stays open: who sends another request here gets nothing

    with Script(serve) as backend, connect(postern) as sock:
        name = service.unique("close")
        postern.make_api(name, backend.url)
        for _ in range(3):
            sock.sendall(request("GET", f"/{name}/x"))
            head, body = request_of(sock)
            assert body == b"ok" and b"close" not in head
        assert backend.connections == 3


def test_connection_close_of_the_client_is_obeyed_and_not_passed_on(postern, echo):
    name = service.unique("close")
    postern.make_api(name, echo.url)
    with connect(postern) as sock:
        sock.sendall(request("GET", f"/{name}/x", "Connection: close"))
        received = read_all(sock)
    assert b"Connection: close" in received.split(b"\r\n\r\n")[0]
    fields = dict(json.loads(received.split(b"\r\n\r\n", 1)[1])["headers"])
    assert fields.get("connection", "keep-alive") != "close"


def test_an_answer_of_our_own_to_a_small_body_keeps_the_connection(postern, echo):
    name = service.unique("keeps")
    postern.make_api(name, echo.url)
    with connect(postern) as sock:
        for path in ("/nowhere", f"/{name}/x") * 3:
            sock.sendall(request("POST", path, "Content-Length: 5", body=b"hello"))
            head, _ = request_of(sock)
            assert head.startswith(b"HTTP/1.1 " + (b"404" if path == "/nowhere" else b"200"))
        sock.sendall(request("POST", "/nowhere", "Content-Length: 9999999", body=b"hello"))
        assert b"Connection: close" in sock.recv(65536), "it waits for no large body"


# --- refusals of our certificate


def context_of(ca, trusted, folder, version):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*map(str, ca.server().write(folder, "server")))
    (folder / "trusted.crt").write_bytes(trusted.certificate_pem)
    context.load_verify_locations(str(folder / "trusted.crt"))
    context.verify_mode = ssl.CERT_REQUIRED
    context.minimum_version = context.maximum_version = version
    return context


VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]


@pytest.mark.parametrize("size", [0, 4 * MB], ids=["get", "upload"])
@pytest.mark.parametrize("version", VERSIONS, ids=["tls12", "tls13"])
def test_a_refused_client_certificate_is_named_as_the_cause(postern, ca, other_ca, uploaded,
                                                            tmp_path, version, size):
    """TLS 1.3 tells it only after our side has finished, when the request is under way."""
    with Script(lambda sock, _: None, context_of(ca, other_ca, tmp_path, version)) as backend:
        name = service.unique("late")
        postern.make_api(name, backend.url, with_certificate(uploaded["p256"]))
        for _ in range(5):
            answer = postern.call(f"/{name}/x", "POST" if size else "GET", b"x" * size or None)
            assert cause_of(postern, answer) == "tls_client_certificate_refused"


@pytest.mark.parametrize("version", VERSIONS, ids=["tls12", "tls13"])
def test_a_missing_client_certificate_is_named_as_the_cause(postern, ca, tmp_path, version):
    with Script(lambda sock, _: None, context_of(ca, ca, tmp_path, version)) as backend:
        name = service.unique("bare")
        postern.make_api(name, backend.url, policy())
        assert cause_of(postern, postern.call(f"/{name}/x")).startswith("tls_client_certificate_re")


def test_an_expired_client_certificate_is_never_presented(postern, ca, clients, tmp_path):
    """Promise 2: 500 before there is a connection."""
    context = context_of(ca, ca, tmp_path, VERSIONS[1])
    with Script(lambda sock, _: None, context) as backend:
        name = service.unique("expired")
        answer = postern.arm("PUT", f"/certificates/{name}", {"properties": {
            "data": ca.client(name, begins=-20, days=10).pfx_base64("x"), "password": "x"}})
        assert answer.status in (200, 201), answer  # as Azure: it is a warning
        postern.make_api(name, backend.url, with_certificate(name))
        assert cause_of(postern, postern.call(f"/{name}/x")) == "client_certificate_expired"
        assert backend.connections == 0


def test_a_rotation_loses_no_request_though_each_needs_a_new_connection(postern, ca, tmp_path):
    """Promise 4 without a pool: a request that began before the change opens its connection after
    it, when the former key is gone."""
    def serve(sock, _):
        request_of(sock)
        sock.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok")

    with Script(serve, context_of(ca, ca, tmp_path, VERSIONS[1])) as backend:
        name = service.unique("rotating")
        postern.upload(name, ca.client(name))
        postern.make_api(name, backend.url, with_certificate(name))
        over, bad, good = threading.Event(), [], [0]

        def traffic():
            session = web.Session(postern.gateway, keep=True)
            while not over.is_set():
                answer = session.get(f"/{name}/x")
                if answer.status == 200:
                    good[0] += 1
                else:
                    bad.append(cause_of(postern, answer))
            session.close()

        threads = [threading.Thread(target=traffic) for _ in range(4)]
        for thread in threads:
            thread.start()
        for _ in range(10):
            postern.upload(name, ca.client(name))
        over.set()
        for thread in threads:
            thread.join()
        assert not bad and good[0] > 30, (bad, good)


# --- what travels beside the body


def test_interim_answers_reach_the_client(postern):
    def serve(sock, _):
        while request_of(sock)[0]:
            sock.sendall(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
                         b"HTTP/1.1 100 Continue\r\n\r\n" + OK)

    with Script(serve) as backend, connect(postern) as sock:
        name = service.unique("interim")
        postern.make_api(name, backend.url)
        sock.sendall(request("GET", f"/{name}/x", "Connection: close"))
        received = read_all(sock)
        assert received.startswith(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200")
        with connect(postern) as old:
            old.sendall(f"GET /{name}/x HTTP/1.0\r\nHost: x\r\n\r\n".encode())
            assert b" 200 " in read_all(old).split(b"\r\n")[0], "HTTP/1.0 knows no interim answers"


def test_trailers_travel_both_ways(postern):
    heads = []

    def serve(sock, _):
        head, rest = head_of(sock)
        while not rest.endswith(b"\r\n\r\n"):
            rest += sock.recv(65536)
        heads.append(rest)
        sock.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n"
                     b"2\r\nok\r\n0\r\nX-Sum: 42\r\n\r\n")

    with Script(serve) as backend, connect(postern) as sock:
        name = service.unique("trailers")
        postern.make_api(name, backend.url)
        sock.sendall(request("POST", f"/{name}/x", "Transfer-Encoding: chunked",
                             "Connection: close",
                             body=b"3\r\nabc\r\n0\r\nX-Up: 7\r\n\r\n"))
        received = read_all(sock)
    assert heads[0].lower().endswith(b"0\r\nx-up: 7\r\n\r\n"), heads
    assert received.lower().endswith(b"0\r\nx-sum: 42\r\n\r\n"), received


# --- slow, early, gone


def test_the_forward_timeout_ends_in_500(postern):
    with Script(lambda sock, _: time.sleep(3)) as backend:
        name = service.unique("slow")
        postern.make_api(name, backend.url, policy(
            backend='<forward-request timeout="1" />',
            on_error='<set-header name="X-Seen" exists-action="override"><value>on-error</value>'
                     '</set-header>'))
        begin = time.monotonic()
        answer = postern.call(f"/{name}/x")
        assert cause_of(postern, answer) == "timeout"
        assert 0.9 < time.monotonic() - begin < 2.5
        assert answer.headers["X-Seen"] == "on-error"


def test_an_error_status_goes_to_on_error_only_when_the_policy_says_so(postern):
    def serve(sock, _):
        while request_of(sock)[0]:
            sock.sendall(b"HTTP/1.1 418 Teapot\r\nContent-Length: 3\r\n\r\npot")

    handler = ('<return-response><set-status code="299" reason="Handled" /><set-body>handled</set-body>'
               '</return-response>')
    with Script(serve) as backend:
        name = service.unique("status")
        postern.make_api(name, backend.url, policy(
            backend='<forward-request fail-on-error-status-code="true" />', on_error=handler))
        answer = postern.call(f"/{name}/x")
        assert (answer.status, answer.text) == (299, "handled")
        postern.set_policy(f"/apis/{name}", policy(
            backend='<forward-request fail-on-error-status-code="false" />', on_error=handler))
        answer = postern.call(f"/{name}/x")
        assert (answer.status, answer.text) == (418, "pot")


@pytest.mark.parametrize("close", [False, True], ids=["stays", "closes"])
def test_an_answer_before_the_upload_is_over_reaches_the_client(postern, close):
    def serve(sock, _):
        head_of(sock)
        sock.sendall(b"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nbig")
        if close:
            sock.shutdown(socket.SHUT_WR)
        time.sleep(0.3)

    with Script(serve) as backend:
        name = service.unique("early")
        postern.make_api(name, backend.url)
        for _ in range(5):
            with connect(postern) as sock:
                sock.sendall(request("POST", f"/{name}/x", f"Content-Length: {64 * MB}"))
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                    sock.settimeout(2)
                    for _ in range(8):
                        sock.sendall(b"x" * 65536)
                assert sock.recv(65536).startswith(b"HTTP/1.1 413"), "the answer is lost"
        assert postern.call(f"/{name}/y", "POST", b"x").status == 413


def test_an_answer_of_a_backend_that_closes_while_we_write_is_not_lost(postern):
    """The write fails first; what the backend said before is still to be read."""
    def serve(sock, _):
        head_of(sock)
        sock.sendall(b"HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nno")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    with Script(serve) as backend:
        name = service.unique("reset")
        postern.make_api(name, backend.url)
        got = [postern.call(f"/{name}/x", "POST", b"x" * 65536).status for _ in range(20)]
        assert set(got) <= {403, 500}, got
        assert postern.call(f"/{name}/after").status in (403, 500)


def test_an_upload_to_a_backend_that_does_not_read_fills_no_memory(postern):
    stop = threading.Event()

    def serve(sock, _):
        head_of(sock)
        stop.wait(10)

    with Script(serve) as backend, connect(postern) as sock:
        name = service.unique("stuck")
        postern.make_api(name, backend.url)
        before = memory(postern)
        sock.sendall(request("POST", f"/{name}/x", f"Content-Length: {256 * MB}"))
        sock.settimeout(0.5)
        sent = 0
        with contextlib.suppress(TimeoutError):
            while sent < 128 * MB:
                sent += sock.send(b"x" * MB)
        assert sent < 64 * MB, "nobody held the client back"
        assert memory(postern) - before < 8 * MB
        stop.set()


def test_a_client_that_leaves_ends_its_request_at_the_backend(postern):
    """During an upload, while waiting, and during a download."""
    ended = {k: threading.Event() for k in ("up", "wait", "down")}

    def serve(sock, _):
        head, _ = head_of(sock)
        kind = head.split(b" ")[1].decode().strip("/")
        sock.settimeout(10)
        if kind == "down":
            sock.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            with contextlib.suppress(OSError):
                while True:
                    sock.sendall(b"1000\r\n" + b"x" * 4096 + b"\r\n")
            ended[kind].set()
            return
        while sock.recv(65536):
            pass
        ended[kind].set()

    with Script(serve) as backend:
        name = service.unique("leave")
        postern.make_api(name, backend.url)
        for kind in ended:
            with connect(postern) as sock:
                if kind == "up":
                    sock.sendall(request("POST", f"/{name}/up", "Content-Length: 1000", body=b"x"))
                else:
                    sock.sendall(request("GET", f"/{name}/{kind}"))
                if kind == "down":
                    sock.recv(100)
                else:
                    service.wait_for("the backend", lambda: backend.connections, 5)
                    time.sleep(0.05)
            # a FIN alone may be a half-close: it counts after client-half-closed-timeout, 5 s
            assert ended[kind].wait(9), kind


def test_a_client_that_resets_during_a_silent_answer_ends_it_at_the_backend(postern):
    ended = threading.Event()

    def serve(sock, _):
        head_of(sock)
        sock.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n")
        sock.settimeout(10)
        sock.recv(1)
        ended.set()

    with Script(serve) as backend:
        name = service.unique("silent")
        postern.make_api(name, backend.url)
        sock = connect(postern)
        sock.sendall(request("GET", f"/{name}/x"))
        sock.recv(1000)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.close()
        assert ended.wait(3), "the backend still believes that someone listens"


# --- where and with what


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_each_address_of_a_name_is_tried(postern, host):
    def serve(sock, _):
        while request_of(sock)[0]:
            sock.sendall(OK)

    with Script(serve, host=host) as backend:
        name = service.unique("address")
        postern.make_api(name, backend.url)
        assert postern.call(f"/{name}/x").text == "ok"
        literal = f"[{host}]" if ":" in host else host
        postern.make_api(name + "-literal", f"http://{literal}:{backend.port}")
        assert postern.call(f"/{name}-literal/x").text == "ok"


def test_the_backend_entity_s_credentials_are_sent(postern, echo):
    name = service.unique("creds")
    postern.put(f"/backends/{name}", {
        "url": echo.url + "/base", "protocol": "http", "credentials": {
            "header": {"X-Key": ["one", "two"]}, "query": {"code": ["a b&c"]},
            "authorization": {"scheme": "Basic", "parameter": "dXNlcjpwdw=="}}})
    postern.make_api(name, echo.url, policy(f'<set-backend-service backend-id="{name}" />'))
    answer = postern.call(f"/{name}/x?code=mine&q=1", headers={
        "Authorization": "Bearer mine", "X-Key": "mine"})
    assert answer.status == 200, answer
    seen = answer.json()
    values = [v for n, v in seen["headers"] if n == "x-key"]
    assert ", ".join(values) == "one, two"
    assert [v for n, v in seen["headers"] if n == "authorization"] == ["Basic dXNlcjpwdw=="]
    url = urllib.parse.urlsplit(seen["path"])
    assert url.path == "/base/x"
    assert urllib.parse.parse_qs(url.query) == {"code": ["a b&c"], "q": ["1"]}


# --- the end


def test_sigterm_lets_a_request_that_is_under_way_end(own_postern):
    began = threading.Event()

    def serve(sock, _):
        request_of(sock)
        began.set()
        time.sleep(1)
        sock.sendall(OK)

    with Script(serve) as backend:
        own_postern.make_api("drain", backend.url)
        with connect(own_postern) as sock, connect(own_postern) as idle:
            sock.sendall(request("GET", "/drain/x"))
            assert began.wait(10)
            stopping = threading.Thread(target=own_postern.stop)
            begin = time.monotonic()
            stopping.start()
            received = read_all(sock)
            assert received.endswith(b"ok") and b"Connection: close" in received, received
            assert read_all(idle) == b""
            stopping.join(20)
            assert own_postern.process is None and time.monotonic() - begin < 10


def test_every_connection_that_was_opened_is_counted_out_again(postern, echo):
    name = service.unique("count")
    postern.make_api(name, echo.url)
    postern.close_sessions()
    before = postern.metric("postern_client_connections")
    sockets = [connect(postern) for _ in range(50)]
    for i, sock in enumerate(sockets):
        sock.sendall(request("GET", f"/{name}/x") if i % 3 else b"nonsense\r\n\r\n")
    for sock in sockets:
        sock.recv(100)
    assert postern.metric("postern_client_connections") >= before
    for sock in sockets:
        sock.close()
    service.wait_for("the counter", lambda: postern.metric("postern_client_connections") <= before)
    assert postern.metric("postern_identity_mismatch_total") == 0
    assert web.Session(postern.gateway).get(f"/{name}/x").status == 200
