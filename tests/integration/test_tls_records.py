# SPDX-License-Identifier: Apache-2.0
"""TLS 1.3 connections that the gateway reads and writes by itself once they are open (--tls-records own),
and the same with OpenSSL's record layer: the world's TLS at both sides, which asks for new keys, gets
ours every few records, and sends large and small records."""
import hashlib
import re
import socket
import ssl
import subprocess
import threading

import pytest
from lab import backends, node, servers, service, web
from lab.service import policy

MB = 1 << 20
BODY = bytes(range(256)) * (2 * MB // 256)
KEY_RECORDS = 8  # of one key: the peers see a KeyUpdate every 128 KB


@pytest.fixture(scope="module", params=["own", "openssl"])
def mode(request):
    return request.param


@pytest.fixture(scope="module")
def gateway(mode, tmp_path_factory, trust):
    instance = service.Postern(tmp_path_factory.mktemp(mode), [
        "--threads", "1", "--tls-records", mode, "--limit", f"tls-key-records={KEY_RECORDS}",
        "--limit", "tls-empty-records=4"], trust)
    instance.start()
    yield instance
    instance.stop()


@pytest.fixture(scope="module")
def client_cn(gateway, clients):
    gateway.upload("client", clients["p256"])
    return clients["p256"].common_name


@pytest.fixture(scope="module")
def world(ca, tmp_path_factory):
    """(kind, version) -> URL of a TLS backend that demands a certificate."""
    folder = tmp_path_factory.mktemp("records")
    backend = node.Backend(folder / "node", ca.server(), ca)
    running, urls = [backend], {("node", "1"): backend.url("https"),
                                ("node", "2"): backend.url("h2")}
    try:
        for kind in ("apache2", "haproxy", "nginx"):
            server = servers.Server(kind, folder / kind, ca.server(), ca, backend.ports["http"],
                                    "TLSv1.3")
            running.append(server)
            urls[kind, "1"], urls[kind, "2"] = server.url("h1"), server.url("h2")
        yield urls
    finally:
        for server in running:
            server.stop()


@pytest.fixture(scope="module")
def mirror(gateway, world, client_cn):
    """An API that answers a body with the same, by nginx."""
    gateway.make_api("mirror", world["nginx", "1"], with_client("1"))
    return "/mirror/mirror"


def with_client(version):
    return policy('<authentication-certificate certificate-id="client" />',
                  f'<forward-request http-version="{version}" />')


def taken_over(gateway):
    return gateway.metric("postern_tls_taken_over_total")


def limit_hits(gateway, limit):
    text = gateway.session(gateway.control).get("/metrics").text
    found = re.search(r'postern_limit_hits_total\{limit="%s"\} (\d+)' % limit, text)
    return int(found[1]) if found else 0


def cn_of(answer):
    return answer.headers.get("x-client-cn") or answer.headers.get("x-subject")


# ---- backends

@pytest.mark.parametrize("kind", ["node", "apache2", "haproxy", "nginx"])
@pytest.mark.parametrize("version", ["1", "2"])
def test_backends_take_bodies_with_new_keys_every_few_records(gateway, mode, world, client_cn, kind,
                                                              version):
    # apache2 2.4 reads no further in HTTP/2 when a KeyUpdate and data come together, by whatever client:
    # it gets a body without one.
    takes_updates = (kind, version) != ("apache2", "2")
    body = BODY if takes_updates else BODY[:20000]
    name = service.unique(f"{kind}{version}")
    gateway.make_api(name, world[kind, version], with_client(version))
    before = taken_over(gateway)
    for _ in range(2):  # on the first connection, and on it again
        assert gateway.call(f"/{name}/echo").status == 200
    if mode == "own":
        service.wait_for("a connection that is taken over", lambda: taken_over(gateway) > before, 5)
    hits = limit_hits(gateway, "tls-key-records")
    answer = gateway.call(f"/{name}/mirror", "POST", body)
    assert (answer.status, cn_of(answer)) == (200, client_cn)
    assert hashlib.sha256(answer.body).digest() == hashlib.sha256(body).digest()
    if mode == "own" and takes_updates:
        service.wait_for("a hit", lambda: limit_hits(gateway, "tls-key-records") > hits, 5)
    assert gateway.metric("postern_identity_mismatch_total") == 0


class Talker:
    """openssl s_server or s_client, whose commands come by its standard input."""

    def __init__(self, *command):
        self.process = subprocess.Popen(["stdbuf", "-o0", "openssl", *map(str, command)], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.seen = b""
        self.changed = threading.Condition()
        self.thread = threading.Thread(target=self._read)
        self.thread.start()

    def _read(self):
        while True:
            data = self.process.stdout.read1(65536)
            with self.changed:
                self.seen += data
                self.changed.notify_all()
            if not data:
                return

    def until(self, text, count=1):
        with self.changed:
            assert self.changed.wait_for(lambda: self.seen.count(text) >= count, 20), self.seen

    def say(self, text):
        self.process.stdin.write(text)
        self.process.stdin.flush()

    def end(self):
        self.process.terminate()
        self.process.stdin.close()
        self.process.wait()
        self.thread.join()
        self.process.stdout.close()


@pytest.mark.parametrize("command", ["K", "k"])  # asks for the peer's next key, too; only its own
def test_a_backend_replaces_its_keys(gateway, ca, client_cn, tmp_path, command):
    crt, key = ca.server().write(tmp_path, "server")
    (tmp_path / "ca").write_bytes(ca.certificate_pem)
    port = backends.free_port()
    server = Talker("s_server", "-accept", f"127.0.0.1:{port}", "-cert", crt, "-key", key,
                    "-CAfile", tmp_path / "ca", "-Verify", "1", "-tls1_3", "-naccept", "1", "-crlf")
    try:
        server.until(b"ACCEPT")
        name = service.unique("keys")
        gateway.make_api(name, f"https://localhost:{port}", with_client("1"))
        for i in range(1, 7):
            answers = []
            thread = threading.Thread(target=lambda out=answers: out.append(
                web.Session(gateway.gateway).get(f"/{name}/x")))
            thread.start()
            server.until(b"GET /x", i)
            if i in (1, 3, 4):
                server.say(command.encode() + b"\n")
                server.until(b"SSL_do_handshake -> 1", [1, 3, 4].index(i) + 1)
            server.say(b"HTTP/1.1 200 OK\nContent-Length: 6\n\nnew%d\n" % i)
            thread.join()
            assert (answers[0].status, answers[0].body[:4]) == (200, b"new%d" % i)
    finally:
        server.end()


def test_a_backend_that_is_cut_off_is_told_from_one_that_ends(gateway, ca, client_cn, tmp_path):
    """A body that ends with the connection is whole only after close_notify."""
    crt, key = ca.server().write(tmp_path, "server")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(crt, key)
    listener = socket.create_server(("127.0.0.1", 0))
    name = service.unique("cut")
    gateway.make_api(name, f"https://localhost:{listener.getsockname()[1]}", with_client("1"))

    def head(sock):
        received = b""
        while b"\r\n\r\n" not in received:
            received += sock.recv(4096)

    def serve():
        for cut in (False, True):
            with listener.accept()[0] as plain, context.wrap_socket(plain, server_side=True) as sock:
                head(sock)
                sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
                head(sock)  # the second one finds it taken over
                sock.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nto the end")
                if cut:
                    sock.shutdown(socket.SHUT_RDWR)
                else:
                    sock.unwrap()

    thread = threading.Thread(target=serve)
    thread.start()
    for cut in (False, True):
        assert gateway.call(f"/{name}/x").text == "ok"
        with socket.create_connection(("127.0.0.1", int(gateway.gateway.rsplit(":", 1)[1]))) as sock:
            sock.sendall(f"GET /{name}/x HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            received = b""
            sock.settimeout(10)
            while b"0\r\n\r\n" not in received:
                try:
                    data = sock.recv(4096)
                except ConnectionResetError:
                    data = b""
                if not data:
                    break
                received += data
            assert b"to the end" in received
            assert received.endswith(b"0\r\n\r\n") != cut
    thread.join()
    listener.close()


def test_backend_sessions_are_resumed(gateway, world, client_cn):
    """Tickets come when the handshake is over: they reach the identity's sessions before the connection
    is taken over."""
    name = service.unique("resumed")
    gateway.make_api(name, world["nginx", "1"], with_client("1"))
    before = gateway.metric("postern_backend_tls_resumed_total")
    opened = gateway.metric("postern_backend_connected_total")
    blocked = [threading.Thread(target=web.Session(gateway.gateway).get, args=(f"/{name}/bytes?n=300000",))
               for _ in range(8)]
    assert gateway.call(f"/{name}/echo").status == 200
    for thread in blocked:
        thread.start()
    for thread in blocked:
        thread.join()
    if gateway.metric("postern_backend_connected_total") > opened + 1:
        assert gateway.metric("postern_backend_tls_resumed_total") > before


# ---- clients

def port_of(gateway):
    return gateway.gateway_tls.rsplit(":", 1)[1]


@pytest.mark.parametrize("suite", ["TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384",
                                   "TLS_CHACHA20_POLY1305_SHA256"])
def test_a_client_replaces_its_keys(gateway, mode, mirror, suite):
    before = taken_over(gateway)
    client = Talker("s_client", "-connect", f"localhost:{port_of(gateway)}", "-servername",
                    "localhost", "-CAfile", gateway.ca_file, "-verify_return_error", "-tls1_3",
                    "-ciphersuites", suite, "-crlf")
    try:
        client.until(b"Post-Handshake New Session Ticket")
        for i in range(1, 7):
            if i in (2, 3, 5):
                client.say(b"K\n" if i % 2 else b"k\n")
                client.until(b"KEYUPDATE", [2, 3, 5].index(i) + 1)
            client.say(b"POST /mirror/mirror HTTP/1.1\nHost: x\nContent-Length: 6\n\nxyz%d\n" % i)
            client.until(b"HTTP/1.1 200", i)
            client.until(b"xyz%d" % i)
    finally:
        client.end()
    assert (taken_over(gateway) > before) == (mode == "own")


def test_a_client_of_tls_1_2_stays_with_openssl(gateway, mirror):
    before = taken_over(gateway)
    done = subprocess.run(["curl", "-sS", "--max-time", "20", "--cacert", gateway.ca_file,
                           "--tls-max", "1.2", "-d", "old", f"{gateway.gateway_tls}{mirror}"],
                          capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "old"), done.stderr
    assert taken_over(gateway) - before <= 1  # the backend's


@pytest.mark.parametrize("version", ["--http1.1", "--http2"])
def test_curl_sends_and_gets_large_bodies(gateway, mode, mirror, tmp_path, version):
    (tmp_path / "body").write_bytes(BODY)
    before = taken_over(gateway)
    done = subprocess.run(["curl", "-sS", "--max-time", "60", "--cacert", gateway.ca_file, version,
                           "--data-binary", f"@{tmp_path}/body", "-o", tmp_path / "got", "-w",
                           "%{http_code} %{http_version}", f"{gateway.gateway_tls}{mirror}"],
                          capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.startswith("200"), done.stderr
    assert (tmp_path / "got").read_bytes() == BODY
    assert (taken_over(gateway) > before) == (mode == "own")


@pytest.mark.parametrize("tool", ["wrk", "h2load"])
def test_many_requests_at_once(gateway, mirror, tool):
    url = f"{gateway.gateway_tls}{mirror}"
    if tool == "h2load":
        done = subprocess.run(["h2load", "-n", "2000", "-c", "8", "-m", "10", url],
                              capture_output=True, text=True, timeout=60)
        assert "2000 succeeded, 0 failed, 0 errored" in done.stdout, done.stdout
    else:
        done = subprocess.run(["wrk", "-t1", "-c16", "-d1s", url], capture_output=True, text=True,
                              timeout=60)
        assert "Socket errors" not in done.stdout and "Non-2xx" not in done.stdout, done.stdout
    assert gateway.metric("postern_identity_mismatch_total") == 0


def test_a_slow_client_gets_all_of_a_large_answer(gateway, mirror, world, client_cn):
    gateway.make_api("slow", world["nginx", "1"], with_client("1"))
    context = ssl.create_default_context(cafile=gateway.ca_file)
    with socket.socket() as plain:
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        plain.connect(("127.0.0.1", int(port_of(gateway))))
        with context.wrap_socket(plain, server_hostname="localhost") as sock:
            sock.sendall(b"GET /slow/bytes?n=3000000 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            received = bytearray()
            while True:
                data = sock.recv(3000 if len(received) < 300000 else 65536)
                if not data:
                    break
                received += data
    assert len(received.partition(b"\r\n\r\n")[2]) == 3000000


@pytest.mark.parametrize("mode", ["own"], indirect=True)  # OpenSSL has no such limit
def test_a_client_that_floods_with_key_updates_is_ended(gateway, mirror):
    hits = limit_hits(gateway, "tls-empty-records")
    client = Talker("s_client", "-connect", f"localhost:{port_of(gateway)}", "-servername",
                    "localhost", "-CAfile", gateway.ca_file, "-tls1_3")
    try:
        client.until(b"Post-Handshake New Session Ticket")
        for i in range(1, 6):
            client.say(b"k\n")
            client.until(b"KEYUPDATE", i)
        service.wait_for("a hit", lambda: limit_hits(gateway, "tls-empty-records") > hits, 10)
        client.process.wait(10)
        client.until(b"unexpected message")
    finally:
        client.end()


def test_a_session_of_a_client_is_resumed(gateway, mirror, tmp_path):
    path = tmp_path / "session"
    command = ["openssl", "s_client", "-connect", f"localhost:{port_of(gateway)}", "-servername",
               "localhost", "-CAfile", gateway.ca_file, "-tls1_3", "-ign_eof"]
    ask = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    first = subprocess.run([*command, "-sess_out", path], input=ask, capture_output=True, timeout=20)
    again = subprocess.run([*command, "-sess_in", path], input=ask, capture_output=True, timeout=20)
    assert b"HTTP/1.1 200" in first.stdout and b"New, TLSv1.3" in first.stdout
    assert b"HTTP/1.1 200" in again.stdout and b"Reused, TLSv1.3" in again.stdout


def test_an_unknown_value_is_refused(tmp_path):
    done = subprocess.run([service.BIN / "postern", "serve", "--data", tmp_path / "d", "--check",
                           "--tls-records", "mine"], capture_output=True, text=True)
    assert done.returncode == 2 and "--tls-records: 'mine' does not fit" in done.stderr
