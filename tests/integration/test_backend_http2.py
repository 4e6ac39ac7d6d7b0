# SPDX-License-Identifier: Apache-2.0
"""HTTP/2 to backends: multiplexed within one identity, never across two; what ends a stream or a
connection; rotation."""
import concurrent.futures
import contextlib
import hashlib
import os
import shutil
import socket
import subprocess
import threading
import time
import urllib.parse

import pytest
from lab import backends, raw, service, web
from lab.nodes import Node
from lab.service import policy, wait_for

VERSION_2 = '<forward-request http-version="2" />'


def over_http2(certificate=None, forward=VERSION_2):
    inbound = f'<authentication-certificate certificate-id="{certificate}" />' if certificate else ""
    return policy(inbound, forward)


@pytest.fixture(scope="module")
def files(ca, tmp_path_factory):
    """Paths of a server certificate, its key, and the CA that clients must come from."""
    folder = tmp_path_factory.mktemp("h2")
    crt, key = ca.server().write(folder, "server")
    ca_file = folder / "client-ca.crt"
    ca_file.write_bytes(ca.certificate_pem)
    return {"cert": str(crt), "key": str(key), "clientCa": str(ca_file)}


@pytest.fixture
def backend(files):
    server = Node("h2_backend.mjs", **files)
    yield server
    server.stop()


def stats(postern, api):
    return postern.call(f"/{api}/stats").json()


def fan_out(postern, paths, method="GET", body=None):
    """All at once, each on a connection of its own; the answers in order."""
    def one(path):
        with contextlib.closing(web.Session(postern.gateway, timeout=60)) as session:
            return session.call(method, path, body)
    with concurrent.futures.ThreadPoolExecutor(len(paths)) as pool:
        return list(pool.map(one, paths))


def test_the_backend_sees_the_client_certificate_over_http2(postern, backend, uploaded, clients):
    name = service.unique("h2")
    postern.make_api(name, backend.url, over_http2(uploaded["p256"]))
    seen = postern.call(f"/{name}/echo?a=b").json()
    assert seen["sha1"].replace(":", "") == clients["p256"].sha1
    assert seen["subject"] == clients["p256"].common_name
    assert seen["headers"][":authority"] == f"localhost:{backend.port}"
    assert seen["headers"][":path"] == "/echo?a=b"
    assert seen["headers"][":scheme"] == "https"
    assert postern.metric("postern_identity_mismatch_total") == 0


def test_many_requests_share_few_connections(postern, backend, uploaded):
    name = service.unique("multiplex")
    postern.make_api(name, backend.url, over_http2(uploaded["p256"]))
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        answers = pool.submit(fan_out, postern, [f"/{name}/hold"] * 40)
        wait_for("40 requests at the backend",
                 lambda: sum(c["open"] for c in stats(postern, name)) >= 41, 30)
        assert postern.call(f"/{name}/release").json() == 40
        answers = answers.result()
    assert all(a.status == 200 for a in answers), answers
    connections = stats(postern, name)
    # One for each worker thread at most: the others waited for its handshake.
    assert len(connections) <= threads(), connections
    assert max(c["most"] for c in connections) > 1


def threads():
    """Of the gateway."""
    return len(os.sched_getaffinity(0))


def test_another_connection_is_opened_when_the_streams_are_used_up(postern, files, uploaded):
    server = Node("h2_backend.mjs", **files, streams=5)
    try:
        name = service.unique("streams")
        postern.make_api(name, server.url, over_http2(uploaded["p256"]))
        assert postern.call(f"/{name}/echo").status == 200  # SETTINGS are known
        answers = []
        thread = threading.Thread(
            target=lambda: answers.extend(fan_out(postern, [f"/{name}/hold"] * 20)))
        thread.start()
        wait_for("20 requests at the backend", lambda: int(sum(
            c["open"] for c in stats(postern, name))) >= 21, 30)
        assert max(c["most"] for c in stats(postern, name)) <= 6
        assert len(stats(postern, name)) >= 4
        postern.call(f"/{name}/release")
        thread.join(30)
        assert [a.status for a in answers] == [200] * 20
    finally:
        server.stop()


def test_two_identities_never_share_a_connection(postern, backend, uploaded, clients):
    names = {}
    for kind in ("p256", "rsa2048"):
        names[kind] = service.unique(kind)
        postern.make_api(names[kind], backend.url, over_http2(uploaded[kind]))
    paths = [f"/{names[kind]}/echo?{i}" for i in range(30) for kind in names]
    answers = fan_out(postern, paths)
    for path, answer in zip(paths, answers):
        kind = "p256" if names["p256"] in path else "rsa2048"
        assert answer.json()["subject"] == clients[kind].common_name
    connections = {}
    for answer in answers:
        seen = answer.json()
        connections.setdefault(seen["connection"], set()).add(seen["sha1"])
    assert all(len(identities) == 1 for identities in connections.values()), connections
    assert postern.metric("postern_identity_mismatch_total") == 0


def test_2or1_takes_what_the_backend_offers(postern, backend, nginx, uploaded):
    forward = '<forward-request http-version="2or1" />'
    name = service.unique("both")
    postern.make_api(name, backend.url, over_http2(uploaded["p256"], forward))
    assert postern.call(f"/{name}/echo").json()["stream"] > 0
    name = service.unique("old")
    postern.make_api(name, nginx.url("good"), over_http2(uploaded["p256"], forward))
    answers = fan_out(postern, [f"/{name}/x"] * 8)
    assert [a.status for a in answers] == [200] * 8


def test_a_backend_without_http2_fails_a_request_that_demands_it(postern, nginx, uploaded):
    name = service.unique("demand")
    postern.make_api(name, nginx.url("good"), over_http2(uploaded["p256"]))
    answer = postern.call(f"/{name}/x")
    assert answer.status == 500
    assert "code=tls_no_application_protocol" in postern.log()


def test_http2_without_tls_by_prior_knowledge(postern):
    server = Node("h2_backend.mjs", scheme="http")
    try:
        name = service.unique("h2c")
        postern.make_api(name, server.url, over_http2())
        seen = postern.call(f"/{name}/echo", "POST", b"x" * 1000).json()
        assert seen["headers"][":scheme"] == "http" and seen["body"] == 1000
    finally:
        server.stop()


def test_bodies_go_both_ways_and_wait_for_each_other(postern, backend, uploaded):
    name = service.unique("bodies")
    postern.make_api(name, backend.url, over_http2(uploaded["p256"]))
    size = 24 << 20
    body = bytes(range(256)) * (size // 256)
    assert postern.call(f"/{name}/digest", "POST", body).json() == hashlib.sha256(body).hexdigest()
    answer = postern.call(f"/{name}/big?bytes={size}")
    assert answer.body == b"x" * size
    pieces = [os.urandom(n) for n in (1, 70000, 3, 16384) * 5]
    digest = hashlib.sha256(b"".join(pieces)).hexdigest()
    assert postern.call(f"/{name}/digest", "POST", iter(pieces), {"Transfer-Encoding": "chunked"},
                        chunked=True).json() == digest


def test_one_slow_reader_does_not_hold_the_others(postern, backend, uploaded):
    name = service.unique("slow")
    postern.make_api(name, backend.url, over_http2(uploaded["p256"]))
    url = urllib.parse.urlsplit(postern.gateway)
    readers = []
    try:
        for _ in range(3):
            sock = socket.socket()
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16384)
            sock.connect((url.hostname, url.port))
            sock.sendall(f"GET /{name}/big?bytes={64 << 20} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            sock.recv(1000)
            readers.append(sock)
        for _ in range(20):
            answer = postern.call(f"/{name}/big?bytes=1000000")
            assert len(answer.body) == 1000000
    finally:
        for sock in readers:
            sock.close()
    wait_for("no stream is left", lambda: postern.metric("postern_backend_streams") == 0)


def test_trailers_and_te_pass(postern, backend, uploaded, curl):
    name = service.unique("trailers")
    postern.make_api(name, backend.url, over_http2(uploaded["p256"]))
    shown = curl("-i", "--raw", "-H", "TE: trailers", f"{postern.gateway}/{name}/trailers")
    assert shown.rstrip().endswith("x-sum: trailers"), shown
    shown = curl("-i", "--raw", f"{postern.gateway}/{name}/trailers")
    assert shown.rstrip().endswith("x-sum: no te"), shown


def test_informational_answers_pass(postern, backend, uploaded, curl):
    name = service.unique("hints")
    postern.make_api(name, backend.url, over_http2(uploaded["p256"]))
    shown = curl("-i", f"{postern.gateway}/{name}/hints")
    assert "HTTP/1.1 103" in shown and "after hints" in shown


def test_an_early_answer_ends_the_upload(postern, backend, uploaded):
    name = service.unique("early")
    postern.make_api(name, backend.url, over_http2(uploaded["p256"]))
    answer = postern.call(f"/{name}/early", "POST", b"y" * (4 << 20))
    assert answer.status == 403 and answer.json() == "early"
    assert postern.call(f"/{name}/echo").status == 200


def test_a_refused_stream_is_sent_once_more(postern, backend, uploaded):
    name = service.unique("refused")
    postern.make_api(name, backend.url, over_http2(uploaded["p256"]))
    answer = postern.call(f"/{name}/refuse?id=1", "POST")
    assert answer.status == 200, answer  # not idempotent, but surely not processed


def test_a_reset_stream_fails_its_request_alone(postern, backend, uploaded):
    name = service.unique("reset")
    postern.make_api(name, backend.url, over_http2(uploaded["p256"]))
    assert postern.call(f"/{name}/echo").status == 200
    assert postern.call(f"/{name}/reset?code=2").status == 500
    assert "ended the request's stream with INTERNAL_ERROR" in postern.log()
    assert len(stats(postern, name)) <= threads()


def test_goaway_lets_the_request_end_and_the_next_one_takes_another_connection(
        postern, backend, uploaded):
    name = service.unique("goaway")
    postern.make_api(name, backend.url, over_http2(uploaded["p256"]))
    first = postern.call(f"/{name}/goaway")
    assert first.status == 200, first
    second = postern.call(f"/{name}/echo")
    assert second.status == 200
    assert second.json()["connection"] != first.json()["connection"]


def test_a_lost_connection_fails_what_was_sent_and_no_more(postern, backend, uploaded):
    name = service.unique("lost")
    postern.make_api(name, backend.url, over_http2(uploaded["p256"]))
    assert postern.call(f"/{name}/echo").status == 200
    assert postern.call(f"/{name}/die", "POST").status == 500  # not idempotent: not sent again
    assert postern.call(f"/{name}/echo").status == 200


def test_a_client_that_goes_away_cancels_its_stream(postern, backend, uploaded):
    name = service.unique("cancel")
    postern.make_api(name, backend.url, over_http2(uploaded["p256"]))
    url = urllib.parse.urlsplit(postern.gateway)
    with socket.create_connection((url.hostname, url.port)) as sock:
        sock.sendall(f"GET /{name}/hold HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        wait_for("the request is there",
                 lambda: sum(c["open"] for c in stats(postern, name)) == 2)
    wait_for("RST_STREAM with CANCEL",
             lambda: any(8 in c["resets"] for c in stats(postern, name)))


def test_the_timeout_of_the_policy_ends_the_stream(postern, backend, uploaded):
    name = service.unique("timeout")
    postern.make_api(name, backend.url, over_http2(
        uploaded["p256"], '<forward-request http-version="2" timeout-ms="300" />'))
    begin = time.monotonic()
    assert postern.call(f"/{name}/hold").status == 500
    assert time.monotonic() - begin < 5
    wait_for("RST_STREAM with CANCEL",
             lambda: any(8 in c["resets"] for c in stats(postern, name)))


def test_a_rotation_under_http2_load_loses_no_request(postern, ca, backend):
    name = service.unique("rotating")
    old, new = ca.client("before-" + name), ca.client("after-" + name)
    postern.upload(name, old)
    postern.make_api(name, backend.url, over_http2(name))
    answers, ends = [], threading.Event()

    def load():
        with contextlib.closing(web.Session(postern.gateway, keep=True, timeout=60)) as session:
            while not ends.is_set():
                answers.append(session.call("GET", f"/{name}/echo"))

    threads = [threading.Thread(target=load) for _ in range(8)]
    for thread in threads:
        thread.start()
    held = threading.Thread(target=lambda: answers.append(postern_hold(postern, name)))
    held.start()
    wait_for("the held request is there", lambda: any(
        c["open"] > 0 for c in stats(postern, name)))
    time.sleep(0.3)
    postern.upload(name, new)
    after = [postern.call(f"/{name}/echo").json() for _ in range(20)]
    assert {seen["subject"] for seen in after} == {new.common_name}
    time.sleep(0.3)
    ends.set()
    postern.call(f"/{name}/release")
    for thread in threads + [held]:
        thread.join(30)
    assert [a for a in answers if a.status != 200] == []
    assert {a.json()["subject"] for a in answers} == {old.common_name, new.common_name}
    wait_for("the old identity's connections are closed", lambda: all(
        c["ended"] for c in stats(postern, name) if c["subject"] == old.common_name))
    assert postern.metric("postern_identity_mismatch_total") == 0


def postern_hold(postern, name):
    with contextlib.closing(web.Session(postern.gateway, timeout=60)) as session:
        return session.call("GET", f"/{name}/hold")


def test_nghttpd_as_a_backend_that_demands_a_certificate(postern, files, uploaded, tmp_path):
    program = shutil.which("nghttpd")
    assert program, "nghttpd is missing: see tools/setup"
    (tmp_path / "page").write_bytes(b"q" * 300000)
    port = backends.free_port()
    server = subprocess.Popen(
        [program, "-a", "127.0.0.1", "-d", str(tmp_path), "--verify-client",
         str(port), files["key"], files["cert"]],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        env={"SSL_CERT_FILE": files["clientCa"], "PATH": "/usr/bin"})
    try:
        name = service.unique("nghttpd")
        postern.make_api(name, f"https://localhost:{port}", over_http2(uploaded["p256"]))
        wait_for("nghttpd", lambda: postern.call(f"/{name}/page").status == 200)
        answers = fan_out(postern, [f"/{name}/page"] * 20)
        assert {len(a.body) for a in answers} == {300000}
    finally:
        server.terminate()
        server.wait(10)


def test_nginx_as_an_http2_backend(postern, ca, uploaded, clients, tmp_path):
    server = backends.Nginx(tmp_path)
    server.add("h2", ca.server(), ca)
    server.servers = [s.replace(" ssl;", " ssl http2;") for s in server.servers]
    server.start()
    try:
        name = service.unique("nginx")
        postern.make_api(name, server.url("h2"), over_http2(uploaded["p256"]))
        answers = fan_out(postern, [f"/{name}/x?{i}" for i in range(30)])
        for i, answer in enumerate(answers):
            assert answer.json()["uri"] == f"/x?{i}"
            assert answer.json()["sha1"].upper() == clients["p256"].sha1
    finally:
        server.stop()


def with_trailers(postern, path, method="POST"):
    with raw.connect(postern) as sock:
        sock.sendall(raw.request(method, path, "Transfer-Encoding: chunked", "Connection: close",
                                 body=b"2\r\nhi\r\n0\r\nX-Sum: 7\r\n\r\n"))
        return raw.read_all(sock)


def test_nginx_which_takes_trailers_for_an_error_does_so_once(postern, ca, tmp_path):
    """They end its connection, with everybody's requests on it: from then on they are left out."""
    port = backends.free_port()
    with raw.Recorder() as upstream:
        server = backends.Nginx(tmp_path)
        server.add("plain", ca.server(), extra=f"""
            listen 127.0.0.1:{port} http2;
            location = /up {{ proxy_pass http://127.0.0.1:{upstream.port}/; proxy_http_version 1.1; }}""")
        server.start()
        try:
            name = service.unique("nginx")
            postern.make_api(name, f"http://localhost:{port}", policy("", VERSION_2))
            with_trailers(postern, f"/{name}/up")
            wait_for("it is noticed",
                     lambda: f"event=backend_refuses_trailers host=localhost port={port}" in postern.log())
            for _ in range(3):
                assert with_trailers(postern, f"/{name}/up").startswith(b"HTTP/1.1 200")
            assert upstream.requests[-1].body == b"hi"
            assert postern.log().count(f"event=backend_refuses_trailers host=localhost port={port}") == 1
        finally:
            server.stop()


def test_a_backend_that_takes_trailers_keeps_getting_them(postern, tmp_path):
    server = Node("h2_backend.mjs", scheme="http")
    try:
        name = service.unique("trailers")
        postern.make_api(name, server.url, policy("", '<forward-request http-version="2" />'))
        for _ in range(3):
            assert b'"x-sum":"7"' in with_trailers(postern, f"/{name}/sent-trailers")
    finally:
        server.stop()
