# SPDX-License-Identifier: Apache-2.0
"""Promise 5: a bad new certificate never takes over. Generations, pre-flight, canary, by hand."""
import collections
import concurrent.futures
import contextlib
import os
import shutil
import signal
import socket
import ssl
import subprocess
import threading
import time

import pytest
from lab import backends, raw, service, web
from lab.backends import free_port
from lab.service import policy, with_certificate


class Picky:
    """openssl s_server that ends the handshake unless the client's certificate is of its CA. One that changes its
    mind is a new one on the same port."""

    def __init__(self, folder, server):
        self.folder, self.port, self.process = folder, free_port(), None
        self.crt, self.key = server.write(folder, "picky")

    def accept(self, *authorities):
        self.stop()
        (self.folder / "accepted").write_bytes(b"".join(ca.certificate_pem for ca in authorities))
        self.process = subprocess.Popen(
            ["openssl", "s_server", "-accept", f"127.0.0.1:{self.port}", "-cert", self.crt, "-key", self.key,
             "-CAfile", self.folder / "accepted", "-Verify", "1", "-verify_return_error", "-www", "-quiet"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

        def listening():
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return True
        service.wait_for("s_server", listening)
        return self

    @property
    def url(self):
        return f"https://localhost:{self.port}"

    def stop(self):
        if self.process:
            self.process.terminate()
            self.process.wait()
            self.process = None


@pytest.fixture
def picky(tmp_path, ca):
    backend = Picky(tmp_path, ca.server()).accept(ca)
    yield backend
    backend.stop()


def put(postern, name, identity, query=""):
    return postern.arm("PUT", f"/certificates/{name}{query}",
                       {"properties": {"data": identity.pfx_base64("p"), "password": "p"}})


def generations(postern, name):
    answer = postern.arm("GET", f"/certificates/{name}/generations")
    assert answer.status == 200, answer.body
    return {entry["number"]: entry for entry in answer.json()["value"]}


def thumbprint(postern, name):
    return postern.arm("GET", f"/certificates/{name}").json()["properties"]["thumbprint"]


def use(postern, name, picky, how):
    """The certificate at the backend: by a backend entity, or by an API's policy."""
    if how == "backend":
        postern.put(f"/backends/{name}", {"url": picky.url, "protocol": "http", "credentials": {
            "certificateIds": [f"{postern.service_id}/certificates/{name}"]}})
        postern.make_api(name, picky.url, policy(f'<set-backend-service backend-id="{name}" />'))
    elif how == "product":
        postern.make_api(name, picky.url)
        postern.put(f"/products/{name}", {"displayName": name, "subscriptionRequired": False})
        assert postern.arm("PUT", f"/products/{name}/apis/{name}").status == 201
        postern.set_policy(f"/products/{name}", with_certificate(name))
    elif how == "products backend":
        postern.put(f"/backends/{name}", {"url": picky.url, "protocol": "http"})
        postern.make_api(name, "http://localhost:1", policy(f'<set-backend-service backend-id="{name}" />'))
        postern.put(f"/products/{name}", {"displayName": name, "subscriptionRequired": False})
        assert postern.arm("PUT", f"/products/{name}/apis/{name}").status == 201
        postern.set_policy(f"/products/{name}", with_certificate(name))
    else:
        postern.make_api(name, picky.url, with_certificate(name))


@pytest.mark.parametrize("how", ["backend", "policy", "product", "products backend"])
def test_a_bad_new_certificate_never_takes_over(postern, ca, other_ca, picky, how):
    name = service.unique("gen")
    good, bad, better = ca.client(name), other_ca.client(name), ca.client(name)
    assert put(postern, name, good).status == 201
    use(postern, name, picky, how)
    assert postern.call(f"/{name}/x").status == 200
    refused = put(postern, name, bad)
    assert refused.status == 409, refused.body
    error = refused.json()["error"]
    assert error["code"] == "CertificateRefused" and f"localhost:{picky.port}" in error["message"]
    assert thumbprint(postern, name) == good.sha1
    assert postern.call(f"/{name}/x").status == 200
    known = generations(postern, name)
    assert {number: entry["state"] for number, entry in known.items()} == {1: "current", 2: "staged"}
    assert known[2]["thumbprint"] == bad.sha1 and "refuses it" in known[2]["refusal"]
    assert known[2]["verdicts"][0]["outcome"] == "refused" and known[2]["verdicts"][0]["port"] == picky.port
    assert "chain" not in known[2] and "keyId" not in known[2]
    assert put(postern, name, better).status == 200
    assert thumbprint(postern, name) == better.sha1
    known = generations(postern, name)
    assert {number: entry["state"] for number, entry in known.items()} == {
        1: "draining", 2: "retired", 3: "current"}
    assert known[3]["promotedAt"] and known[3]["verdicts"][0]["outcome"] == "accepted"
    assert postern.call(f"/{name}/x").status == 200


class Asked:
    """A TLS 1.3 backend: `behave(head, is_bad)` says what becomes of a request, None for no answer and
    no end. Remembers the request lines."""

    def __init__(self, folder, ca, bad, behave, protocols=("http/1.1",)):
        crt, key = ca.server().write(folder, "asked")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(crt, key)
        (folder / "clients").write_bytes(ca.certificate_pem)
        context.load_verify_locations(folder / "clients")
        context.verify_mode = ssl.CERT_REQUIRED
        context.set_alpn_protocols(list(protocols))
        self.lines, self.bad, self.behave = [], bad, behave
        self.script = raw.Script(self.serve, context)

    def serve(self, sock, _):
        shown = ssl.DER_cert_to_PEM_cert(sock.getpeercert(True)).encode()
        is_bad = self.bad.certificate_pem.startswith(shown)
        try:
            head = raw.head_of(sock)[0]
        except (OSError, AssertionError):
            head = b""
        if head:
            self.lines.append(head.split(b"\r\n")[0].decode())
        answer = self.behave(head, is_bad)
        if answer is None:
            time.sleep(1)
        elif answer:
            sock.sendall(answer)


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
NO = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


def is_question(head):
    return head.startswith(b"OPTIONS / ")


@pytest.mark.parametrize("behave, status", [
    (lambda head, is_bad: NO if is_question(head) else OK, 200),
    (lambda head, is_bad: b"" if is_question(head) else OK, 200),  # hangs up on what it does not know
    (lambda head, is_bad: None if is_question(head) else OK, 200),
    (lambda head, is_bad: time.sleep(0.03) or b"" if is_bad else OK, 409),  # looks late, and says nothing
], ids=["answers", "hangs up on the question", "is silent", "hangs up on the certificate, late"])
def test_a_backend_that_is_asked_may_answer_as_it_likes(postern, ca, tmp_path, behave, status):
    name = service.unique("asked")
    good, new = ca.client(name), ca.client(name)
    backend = Asked(tmp_path, ca, new, behave)
    with backend.script:
        put(postern, name, good)
        postern.make_api(name, backend.script.url, with_certificate(name))
        assert postern.call(f"/{name}/x").status == 200
        answer = put(postern, name, new)
        assert answer.status == status, answer
        assert thumbprint(postern, name) == (new if status == 200 else good).sha1
        assert postern.call(f"/{name}/x").status == 200
    assert set(backend.lines) <= {"OPTIONS / HTTP/1.1", "GET /x HTTP/1.1"}, backend.lines
    if behave(b"OPTIONS / ", False):
        assert "OPTIONS / HTTP/1.1" in backend.lines


@pytest.fixture(scope="module")
def answering(tmp_path_factory, ca, other_ca):
    """nginx completes the handshake with any certificate, and refuses by a response."""
    server = backends.Nginx(tmp_path_factory.mktemp("answering"))
    h2_port = free_port()
    server.add("own", ca.server(), ca, "TLSv1.2", f"listen 127.0.0.1:{h2_port} ssl http2;")
    server.add("forbidden", ca.server(), ca, extra="location = / { return 403; }")
    server.ports["h2"] = h2_port
    server.start()
    yield server
    server.stop()


@pytest.mark.parametrize("stem", ["own", "h2"])
def test_a_certificate_that_nginx_answers_400_to_stays_staged(postern, ca, other_ca, answering, stem):
    name = service.unique("answered")
    good, bad = ca.client(name), other_ca.client(name)
    put(postern, name, good)
    postern.make_api(name, answering.url(stem), with_certificate(name))
    assert postern.call(f"/{name}/").status == 200
    refused = put(postern, name, bad)
    assert refused.status == 409, refused
    assert "It answers 400 to this certificate, and 200 to the one that serves now" in refused.text
    assert thumbprint(postern, name) == good.sha1 and postern.call(f"/{name}/").status == 200
    verdict = generations(postern, name)[2]["verdicts"][0]
    assert verdict["outcome"] == "refused" and verdict["cause"] == "tls_client_certificate_refused"
    better = ca.client(name)
    assert put(postern, name, better).status == 200 and thumbprint(postern, name) == better.sha1


def test_a_backend_that_answers_every_certificate_so_refuses_none(postern, ca, answering):
    name = service.unique("forbids")
    put(postern, name, ca.client(name))
    postern.make_api(name, answering.url("forbidden"), with_certificate(name))
    better = ca.client(name)
    assert put(postern, name, better).status == 200 and thumbprint(postern, name) == better.sha1


HAPROXY = """
defaults
    mode http
    timeout client 20s
    timeout connect 20s
    timeout server 20s
frontend h2
    bind 127.0.0.1:{port} ssl crt {pem} ca-file {ca} verify optional crt-ignore-err all ca-ignore-err all alpn h2 proto h2
    http-request deny deny_status {status} if {{ ssl_c_verify gt 0 }}{always}
    http-request return status 200 content-type text/plain string ok
"""


@pytest.fixture
def only_http2(tmp_path, ca):
    """haproxy that speaks HTTP/2 alone, takes any certificate, and refuses a foreign one by a response."""
    port = free_port()
    pem, authority = tmp_path / "server.pem", tmp_path / "clients.crt"
    pem.write_bytes(ca.server().pem)
    authority.write_bytes(ca.certificate_pem)
    started = []

    def start(status=403, always=""):
        config = tmp_path / "haproxy.cfg"
        config.write_text(HAPROXY.format(port=port, pem=pem, ca=authority, status=status,
                                         always=f"\n    {always}" if always else ""))
        started.append(subprocess.Popen([shutil.which("haproxy") or "/usr/sbin/haproxy", "-db", "-f",
                                         str(config)], stdout=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL))

        def listening():
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", port), 1).close()
                return True
        service.wait_for("haproxy", listening)
        return f"https://localhost:{port}"
    yield start
    for process in started:
        process.terminate()
        process.wait(10)


@pytest.mark.parametrize("status", [400, 403])
def test_a_backend_of_http2_alone_that_refuses_by_a_response_keeps_a_generation_staged(
        postern, ca, other_ca, only_http2, status):
    name = service.unique("only2")
    good, bad, better = ca.client(name), other_ca.client(name), ca.client(name)
    put(postern, name, good)
    postern.make_api(name, only_http2(status), policy(
        f'<authentication-certificate certificate-id="{name}" />',
        '<forward-request http-version="2" />'))
    assert postern.call(f"/{name}/x").status == 200
    refused = put(postern, name, bad)
    assert refused.status == 409 and "refuses it" in refused.text, refused
    assert generations(postern, name)[2]["verdicts"][0]["outcome"] == "refused"
    assert thumbprint(postern, name) == good.sha1 and postern.call(f"/{name}/x").status == 200
    assert put(postern, name, better).status == 200
    assert postern.call(f"/{name}/x").status == 200


def test_a_backend_of_http2_alone_that_refuses_the_question_refuses_no_certificate(
        postern, ca, only_http2):
    name = service.unique("only2")
    put(postern, name, ca.client(name))
    postern.make_api(name, only_http2(403, "http-request deny deny_status 403 if METH_OPTIONS"), policy(
        f'<authentication-certificate certificate-id="{name}" />',
        '<forward-request http-version="2" />'))
    assert put(postern, name, ca.client(name)).status == 200
    assert postern.call(f"/{name}/x").status == 200


def test_settings_of_http2_are_no_answer_before_ours_are_acknowledged(postern, ca, tmp_path):
    name = service.unique("asked2")
    good, bad = ca.client(name), ca.client(name)
    settings, acknowledged = b"\0\0\0\4\0\0\0\0\0", b"\0\0\0\4\1\0\0\0\0"
    seen = []

    def serve(sock, number):
        sock.sendall(settings)
        if backend.bad.certificate_pem.startswith(ssl.DER_cert_to_PEM_cert(sock.getpeercert(True)).encode()):
            time.sleep(0.03)
            return
        seen.append(sock.recv(1000))
        sock.sendall(acknowledged)
        time.sleep(1)
    backend = Asked(tmp_path, ca, bad, None, ("h2",))
    backend.script.serve = serve
    with backend.script:
        put(postern, name, good)
        postern.make_api(name, backend.script.url, with_certificate(name))
        assert put(postern, name, ca.client(name)).status == 200
        assert seen[0].startswith(b"PRI * HTTP/2.0")
        assert put(postern, name, bad).status == 409
        assert generations(postern, name)[2]["verdicts"][0]["outcome"] == "accepted"


def test_a_staged_generation_takes_over_when_the_backend_is_ready_or_by_force(postern, ca, other_ca, picky):
    name = service.unique("staged")
    good, bad = ca.client(name), other_ca.client(name)
    put(postern, name, good)
    use(postern, name, picky, "backend")
    assert put(postern, name, bad).status == 409
    promote = f"/certificates/{name}/generations/2/promote"
    assert postern.arm("POST", promote).status == 409
    picky.accept(ca, other_ca)
    assert postern.arm("POST", promote).status == 200
    assert thumbprint(postern, name) == bad.sha1 and postern.call(f"/{name}/x").status == 200
    # and back again: the former one still drains, its key is still there
    assert postern.arm("POST", f"/certificates/{name}/generations/1/promote").status == 200
    assert thumbprint(postern, name) == good.sha1 and postern.call(f"/{name}/x").status == 200
    assert postern.arm("POST", f"/certificates/{name}/generations/1/promote").status == 409
    assert postern.arm("POST", f"/certificates/{name}/generations/77/promote").status == 404
    picky.accept(ca)
    forced = postern.arm("POST", promote, {"properties": {"force": True}})
    assert forced.status == 200 and thumbprint(postern, name) == bad.sha1


@pytest.mark.parametrize("is_refused", [False, True], ids=["taken", "refused"])
def test_a_generation_and_its_key_survive_a_kill_after_the_answer(own_postern, ca, other_ca, picky, is_refused):
    """Its key is written, and its first state synced, while the backends are asked: before the answer."""
    postern, before, after = own_postern, ca.client("life"), (other_ca if is_refused else ca).client("after")
    put(postern, "life", before)
    use(postern, "life", picky, "backend")
    answer = put(postern, "life", after)
    pids = postern.family()
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    postern.kill()
    assert answer.status == (409 if is_refused else 200), answer
    service.wait_for("the end of the children", lambda: not any(
        service.executable_of(pid).startswith("postern") for pid in pids))
    postern.start(ports=postern.ready)
    known = {number: (entry["state"], entry["thumbprint"]) for number, entry in generations(postern, "life").items()}
    if is_refused:
        assert known == {1: ("current", before.sha1), 2: ("staged", after.sha1)}
        picky.accept(ca, other_ca)
        promote = postern.arm("POST", "/certificates/life/generations/2/promote")
        assert promote.status == 200, promote  # with its key
    else:
        assert known == {1: ("draining", before.sha1), 2: ("current", after.sha1)}
    service.wait_for("the gateway", lambda: postern.call("/life/x").status == 200)
    assert thumbprint(postern, "life") == after.sha1


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a small file system")
def test_a_refusal_does_not_hide_that_the_key_cannot_be_kept(tmp_path, trust, ca, other_ca, picky):
    """The keyholder's folder is a small disk of its own, and full."""
    house = service.Postern(tmp_path / "small", environment=trust)
    disk = house.data / "keyholder"
    house.start()
    house.stop()
    kept = {file.name: file.read_bytes() for file in disk.iterdir()}
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k,mode=700", "tmpfs", str(disk)], check=True)
    try:
        for file, content in kept.items():
            (disk / file).write_bytes(content)
            (disk / file).chmod(0o600)
        house.start()
        good = ca.client("small")
        put(house, "small", good)
        use(house, "small", picky, "backend")
        ballast = disk / "ballast"
        with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while file.write(bytes(1024)):
                pass
        refused = put(house, "small", other_ca.client("small"))
        message = refused.json()["error"]["message"]
        assert refused.status == 409 and "refuses it" in message, refused
        assert "Besides, its key could not be kept" in message, message
        assert thumbprint(house, "small") == good.sha1
        ballast.unlink()
        promoted = house.arm("POST", "/certificates/small/generations/2/promote",
                             {"properties": {"force": True}})
        assert promoted.status == 503 and "upload the file again" in promoted.text, promoted
        better = ca.client("small")
        assert put(house, "small", better).status == 200 and thumbprint(house, "small") == better.sha1
    finally:
        if house.process:
            house.stop()
        service.wait_for("unmount", lambda: subprocess.run(["umount", str(disk)],
                                                           capture_output=True).returncode == 0)


def test_a_put_with_force_asks_nobody(postern, ca, other_ca, picky):
    name = service.unique("force")
    put(postern, name, ca.client(name))
    use(postern, name, picky, "backend")
    bad = other_ca.client(name)
    assert put(postern, name, bad, "?force=true").status == 200
    assert thumbprint(postern, name) == bad.sha1


def test_a_backend_that_is_away_refuses_nothing(postern, ca, picky):
    name = service.unique("away")
    put(postern, name, ca.client(name))
    use(postern, name, picky, "backend")
    picky.stop()
    after = ca.client(name)
    assert put(postern, name, after).status == 200
    assert generations(postern, name)[2]["verdicts"][0]["outcome"] == "notReached"


def test_a_rotation_tells_what_uses_the_certificate(postern, ca, other_ca, picky):
    """In the generation, the log, the audit log and the command; also when a backend refuses it."""
    name = service.unique("blast")
    put(postern, name, ca.client(name))
    use(postern, name, picky, "backend")
    put(postern, name, ca.client(name))
    put(postern, name, other_ca.client(name))
    users = [f"/backends/{name}", f"/apis/{name}/policies/policy", f"/apis/{name}"]
    known = generations(postern, name)
    assert [known[number]["state"] for number in (2, 3)] == ["current", "staged"]
    for number in (2, 3):
        assert known[number]["usedBy"] == {"count": 3, "names": users}
    log = [line for line in postern.log().splitlines() if f"/certificates/{name} " in line]
    for event in ("certificate_rotated", "generation_staged"):
        line = next(line for line in log if f"event={event} " in line)
        assert "users=3" in line and f'used_by="{" ".join(users)}"' in line, line
    audit = [e["entry"] for e in postern.arm("GET", f"/audit?certificate={name}&$top=1000").json()["value"]]
    told = {(e["generation"], e["state"]): e.get("usedBy") for e in audit if e["kind"] == "generation"}
    assert told[2, "current"] == told[3, "staged"] == {"count": 3, "names": users}
    shown = subprocess.run([service.BIN / "postern", "certificate", "generations", name, "--data", str(postern.data)],
                           capture_output=True, text=True, timeout=30)
    assert [line.split().count("3") for line in shown.stdout.splitlines() if " current " in line] == [1], shown
    assert "USERS" in shown.stdout


def test_the_same_file_again_makes_no_generation(postern, ca):
    name = service.unique("same")
    identity = ca.client(name)
    data = identity.pfx_base64("p")
    body = {"properties": {"data": data, "password": "p"}}
    assert postern.arm("PUT", f"/certificates/{name}", body).status == 201
    assert postern.arm("PUT", f"/certificates/{name}", body).status == 200
    assert list(generations(postern, name)) == [1]


def test_the_same_file_again_asks_nobody_and_another_is_staged_while_it_is_asked(postern, ca):
    name = service.unique("asked")
    identity = ca.client(name)
    assert put(postern, name, identity).status == 201
    with socket.create_server(("127.0.0.1", 0)) as silent:
        postern.put(f"/backends/{name}", {
            "url": f"https://localhost:{silent.getsockname()[1]}", "protocol": "http", "credentials": {
                "certificateIds": [f"{postern.service_id}/certificates/{name}"]}})
        assert put(postern, name, identity).status == 200
        silent.setblocking(False)
        with pytest.raises(BlockingIOError):
            silent.accept()
        silent.settimeout(10)
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            answer = pool.submit(
                postern.arm, "PUT", f"/certificates/{name}",
                {"properties": {"data": ca.client(name).pfx_base64("p"), "password": "p"}},
                session=web.Session(postern.control, postern.ca_file, timeout=60))
            connection, _ = silent.accept()
            with connection:
                staged = service.wait_for("generation 2", lambda: generations(postern, name).get(2))
                assert staged["state"] == "staged" and not answer.done()
                assert thumbprint(postern, name) == identity.sha1
            assert answer.result().status == 200
    assert generations(postern, name)[2]["state"] == "current"


@contextlib.contextmanager
def silent_backend(postern, name):
    """A backend of the certificate that accepts, and says nothing until the connection is closed."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        postern.put(f"/backends/{name}", {
            "url": f"https://localhost:{silent.getsockname()[1]}", "protocol": "http", "credentials": {
                "certificateIds": [f"{postern.service_id}/certificates/{name}"]}})
        silent.settimeout(10)
        yield silent


def put_at_once(pool, postern, name, identity, headers=None):
    return pool.submit(
        postern.arm, "PUT", f"/certificates/{name}",
        {"properties": {"data": identity.pfx_base64("p"), "password": "p"}}, headers, token=postern.token(),
        session=web.Session(postern.control, postern.ca_file, timeout=60))


def test_two_callers_with_one_file_make_one_generation_and_both_are_answered(postern, ca):
    name = service.unique("twice")
    first, second = ca.client(name), ca.client(name)
    assert put(postern, name, first).status == 201
    with silent_backend(postern, name) as silent, concurrent.futures.ThreadPoolExecutor(2) as pool:
        answers = [put_at_once(pool, postern, name, second) for _ in range(2)]
        held = [silent.accept()[0] for _ in answers]
        assert service.wait_for("generation 2", lambda: generations(postern, name).get(2))["state"] == "staged"
        assert thumbprint(postern, name) == first.sha1
        for connection in held:
            connection.close()
        told = [answer.result() for answer in answers]
    assert [answer.status for answer in told] == [200, 200], [answer.body for answer in told]
    assert {answer.json()["properties"]["thumbprint"] for answer in told} == {second.sha1}
    known = generations(postern, name)
    assert {number: entry["state"] for number, entry in known.items()} == {1: "draining", 2: "current"}


def test_of_two_who_have_read_the_same_certificate_only_one_writes(postern, ca):
    name = service.unique("etag")
    assert put(postern, name, ca.client(name)).status == 201
    etag = postern.arm("GET", f"/certificates/{name}").headers["etag"]
    files = [ca.client(name), ca.client(name)]
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        answers = [put_at_once(pool, postern, name, identity, {"If-Match": etag}) for identity in files]
        told = [answer.result() for answer in answers]
    assert sorted(answer.status for answer in told) == [200, 412], [answer.body for answer in told]
    winner = next(i for i, answer in enumerate(told) if answer.status == 200)
    assert thumbprint(postern, name) == files[winner].sha1
    assert sorted(generations(postern, name)) == [1, 2]


def test_a_certificate_that_is_deleted_while_its_backend_is_asked_stays_deleted(own_postern, ca):
    postern, name = own_postern, service.unique("gone")
    assert put(postern, name, ca.client(name)).status == 201
    with silent_backend(postern, name) as silent, concurrent.futures.ThreadPoolExecutor(1) as pool:
        answer = put_at_once(pool, postern, name, ca.client(name))
        with silent.accept()[0]:
            service.wait_for("generation 2", lambda: generations(postern, name).get(2))
            assert list(postern.data.rglob("client-*.key.sealed"))
            for what in (f"/backends/{name}", f"/certificates/{name}"):
                assert postern.arm("DELETE", what, headers={"If-Match": "*"}).status == 200
        told = answer.result()
    assert told.status == 409 and "deleted by another request" in told.json()["error"]["message"], told.body
    assert postern.arm("GET", f"/certificates/{name}").status == 404
    # Nothing of either generation is left: the keyholder has forgotten both keys.
    assert not list(postern.data.rglob("client-*.key.sealed"))


def test_puts_and_deletions_at_the_same_moment_leave_no_key(own_postern, ca):
    """Whatever the order: each is answered, and in the end the keyholder has the keys of nothing that was deleted."""
    postern, files, until = own_postern, [ca.client(f"key{i}") for i in range(3)], time.monotonic() + 4
    seen, token = collections.Counter(), postern.token()

    def work(identity):
        session = web.Session(postern.control, postern.ca_file, timeout=60)
        while time.monotonic() < until:
            if identity:
                body = {"properties": {"data": identity.pfx_base64("p"), "password": "p"}}
                answer = postern.arm("PUT", "/certificates/churn", body, token=token, session=session)
            else:
                answer = postern.arm("DELETE", "/certificates/churn", headers={"If-Match": "*"}, token=token,
                                     session=session)
            seen[answer.status] += 1
            assert answer.status in (200, 201, 204, 404, 409, 503), answer.body
    with concurrent.futures.ThreadPoolExecutor(len(files) + 1) as pool:
        for done in [pool.submit(work, identity) for identity in [*files, None]]:
            done.result()
    assert seen[200] and seen[201], seen
    assert put(postern, "churn", files[0]).status in (200, 201)
    assert list(postern.data.rglob("client-*.key.sealed"))
    assert postern.arm("DELETE", "/certificates/churn", headers={"If-Match": "*"}).status == 200
    left = list(postern.data.rglob("client-*.key.sealed"))
    assert not left, (left, seen)


def test_a_new_generation_that_is_refused_later_is_rolled_back(postern, ca, other_ca, picky):
    """The canary: accepted at first, then the backend changes its mind, while the former one still works."""
    name = service.unique("canary")
    good, bad = ca.client(name), other_ca.client(name)
    put(postern, name, good)
    use(postern, name, picky, "backend")
    picky.accept(ca, other_ca)
    assert put(postern, name, bad).status == 200
    picky.accept(ca)

    service.wait_for("the roll-back", lambda: "refusal" in generations(postern, name)[2], 20, 0.2)
    assert postern.call(f"/{name}/x").status == 200  # it was live before it was noted
    assert thumbprint(postern, name) == good.sha1
    known = generations(postern, name)
    assert known[1]["state"] == "current" and known[1]["cause"] == "rolled back"
    assert known[2]["state"] == "draining" and "refuses it" in known[2]["refusal"]


def test_no_request_fails_while_generations_change(postern, ca, nginx):
    name = service.unique("flow")
    put(postern, name, ca.client(name))
    postern.make_api(name, nginx.url("good"), with_certificate(name))
    failures, stop = [], threading.Event()

    def call():
        session = web.Session(postern.gateway)
        while not stop.is_set():
            try:
                answer = session.get(f"/{name}/x")
                if answer.status != 200:
                    failures.append(answer)
            except Exception as error:  # a thread's own would be lost
                failures.append(repr(error))
    threads = [threading.Thread(target=call) for _ in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(10):
        assert put(postern, name, ca.client(name)).status == 200
        time.sleep(0.05)
    stop.set()
    for thread in threads:
        thread.join()
    assert not failures, failures[:3]
    states = [entry["state"] for entry in generations(postern, name).values()]
    assert states.count("current") == 1 and states.count("draining") == 10


def test_the_commands_show_and_promote(postern, ca, other_ca, picky):
    name = service.unique("cmd")
    put(postern, name, ca.client(name))
    use(postern, name, picky, "backend")
    put(postern, name, other_ca.client(name))

    def run(*arguments):
        return subprocess.run([service.BIN / "postern", "certificate", *arguments, "--data", str(postern.data)],
                              capture_output=True, text=True, timeout=30)
    shown = run("generations", name)
    assert "staged" in shown.stdout and "refuses it" in shown.stdout, shown
    refused = run("promote", name, "2")
    assert refused.returncode == 1 and "CertificateRefused" in refused.stderr + refused.stdout, refused
    assert run("promote", name, "2", "--force").returncode == 0


def test_rotations_are_listed_newest_first_below_what_they_belong_to(postern, ca, other_ca, picky):
    name, other, team = service.unique("turn"), service.unique("turn"), service.unique("team")
    assert postern.put(f"/workspaces/{team}", {"displayName": team})

    def rotations(scope="", top=100):
        answer = postern.arm("GET", f"{scope}/rotations?$top={top}")
        assert answer.status == 200, answer
        return [(item["name"], item["generation"]) for item in answer.json()["value"]]
    before = rotations()
    put(postern, name, ca.client(name))
    assert rotations() == before  # the first one is no rotation
    put(postern, name, ca.client(name))
    put(postern, other, ca.client(other))
    put(postern, other, ca.client(other))
    put(postern, name, ca.client(name))
    assert rotations()[:3] == [(name, 3), (other, 2), (name, 2)]
    assert rotations(top=1) == [(name, 3)]
    newest = postern.arm("GET", "/rotations").json()["value"][0]
    assert newest["cause"] == "upload" and newest["thumbprint"] == thumbprint(postern, name)
    assert newest["id"].lower() == f"{postern.service_id}/certificates/{name}".lower()

    use(postern, name, picky, "backend")
    put(postern, name, other_ca.client(name))  # refused: it stays staged
    assert rotations()[0] == (name, 3)

    for _ in range(2):
        body = {"properties": {"data": ca.client("w").pfx_base64("p"), "password": "p"}}
        assert postern.arm("PUT", f"/workspaces/{team}/certificates/own", body).status in (200, 201)
    assert rotations()[0] == (name, 3) and rotations(f"/workspaces/{team}") == [("own", 2)]
    for wrong in ("0", "101", "x"):
        assert postern.arm("GET", f"/rotations?$top={wrong}").status == 400
    assert postern.arm("GET", "/workspaces/nobody/rotations").status == 404
