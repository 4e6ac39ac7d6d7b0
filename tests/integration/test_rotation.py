# SPDX-License-Identifier: Apache-2.0
"""A rotation nobody notices: constant load over HTTP/1.1 and HTTP/2 while a vault certificate is renewed 50
times, some of the new ones refused by the backend."""
import concurrent.futures
import datetime
import json
import re
import signal
import ssl
import statistics
import subprocess
import threading
import time
import urllib.request

import pytest
from lab import people, service, web
from lab.node import JS
from lab.service import policy, with_certificate

ROTATIONS = 50
BAD_EVERY = 7
DRAIN_S = 3
SLACK_S = 3  # a busy machine; the drain's clock itself ticks once a second


class Book:
    """js/rotation_backend.mjs."""

    def __init__(self, folder, server, client_ca):
        crt, key = server.write(folder, "book")
        ca = folder / "book-ca.crt"
        ca.write_bytes(client_ca.certificate_pem)
        self.ca = client_ca
        self.process = subprocess.Popen(
            ["node", str(JS / "rotation_backend.mjs"),
             json.dumps({"cert": str(crt), "key": str(key), "ca": str(ca)})],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.port = json.loads(self.process.stdout.readline())["port"]
        self.url = f"https://localhost:{self.port}"
        self.context = ssl.create_default_context(cafile=str(ca))
        self.reader = client_ca.client("reader")
        self.context.load_cert_chain(*map(str, self.reader.write(folder, "reader")))

    def read(self):
        with urllib.request.urlopen(self.url + "/book", context=self.context, timeout=20) as answer:
            return json.load(answer)

    def of(self, sha1):
        return [entry for entry in self.read() if entry["sha1"] == sha1]

    def stop(self):
        self.process.stdin.close()
        self.process.wait(10)
        self.process.stdout.close()


@pytest.fixture
def book(tmp_path, ca):
    backend = Book(tmp_path, ca.server(), ca)
    yield backend
    backend.stop()


@pytest.fixture
def rotating(tmp_path, trust):
    """A Postern that follows by its vault's word, not by its poll, and drains within seconds."""
    postern = service.Postern(tmp_path / "postern", environment=trust, options=[
        "--limit", f"backend-drain-timeout={DRAIN_S}s", "--rotation-interval", "3600"])
    postern.start()
    yield postern
    postern.stop()


@pytest.fixture
def short_lived(tmp_path, trust):
    """Its connections to backends carry requests for a second: then new ones are opened, with sessions resumed."""
    postern = service.Postern(tmp_path / "postern", environment=trust, options=[
        "--limit", "backend-age=1s", "--threads", "1"])
    postern.start()
    yield postern
    postern.stop()


class Load:
    """wrk, h2load and clients that look at every answer."""

    def __init__(self, postern, path, folder, known):
        script = folder / "gentle.lua"
        script.write_text("function delay() return 4 end\n")
        self.postern, self.path, self.known = postern, path, known
        self.failures, self.seen, self.rounds = [], [], 0
        self.is_over = threading.Event()
        self.wrk = subprocess.Popen(
            ["wrk", "-t", "1", "-c", "8", "-d", "600", "--timeout", "30s", "-s", str(script), postern.gateway + path],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.threads = [threading.Thread(target=run) for run in
                        (self._h2load, self._watch, self._watch, self._slow)]
        for thread in self.threads:
            thread.start()

    def _h2load(self):
        """Rounds of about a second, each of which must be whole."""
        while not self.is_over.is_set():
            done = subprocess.run(["h2load", "-n", "600", "-c", "4", "-m", "8", "--rps", "150",
                                   self.postern.gateway_tls + self.path], capture_output=True, text=True)
            counts = re.search(r"requests: (\d+) total.* (\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) "
                               r"timeout\nstatus codes: (\d+) 2xx", done.stdout)
            self.rounds += 1
            if done.returncode or not counts or counts.groups() != ("600", "600", "0", "0", "0", "600"):
                self.failures.append(done.stdout + done.stderr)

    def _watch(self):
        session = web.Session(self.postern.gateway, keep=True)
        while not self.is_over.is_set():
            self._one(session, self.path)
            time.sleep(0.005)

    def _slow(self):
        """Always one request at work when the certificate changes."""
        session = web.Session(self.postern.gateway, keep=True)
        while not self.is_over.is_set():
            self._one(session, self.path.rsplit("/", 1)[0] + "/slow?ms=700")

    def _one(self, session, path):
        try:
            answer = session.call("GET", path)
            if answer.status != 200 or answer.json()["sha1"] not in self.known:
                self.failures.append(answer)
            else:
                self.seen.append(answer.json()["sha1"])
        except Exception as error:  # a thread's own would be lost
            self.failures.append(repr(error))

    def end(self):
        self.is_over.set()
        for thread in self.threads:
            thread.join()
        self.wrk.send_signal(signal.SIGINT)
        out = self.wrk.communicate(timeout=20)[0]
        assert not self.failures, f"{len(self.failures)}: {self.failures[:3]}"
        assert "Socket errors" not in out and "Non-2xx" not in out, out
        done = int(re.search(r"(\d+) requests in", out)[1])
        assert done > 100 and self.rounds > 0 and self.seen, out
        return done


def put_into_vault(postern, name, identity):
    answer = postern.vault("POST", f"/certificates/{name}/import", {"value": identity.pfx_base64("p"), "pwd": "p"})
    assert answer.status == 200, answer


def status_of(postern, name):
    return postern.arm("GET", f"/certificates/{name}").json()["properties"]["keyVault"]["lastStatus"]


def test_fifty_rotations_under_load_lose_no_request(rotating, ca, other_ca, book, tmp_path):
    name = "rotated"
    identities = [ca.client(f"{name}.{i}") for i in range(ROTATIONS + 1)]
    for i in range(BAD_EVERY, ROTATIONS, BAD_EVERY):
        identities[i] = other_ca.client(f"{name}.{i}")
    good = [i for i, identity in enumerate(identities) if i % BAD_EVERY or i == 0]
    put_into_vault(rotating, name, identities[0])
    rotating.put(f"/certificates/{name}", {
        "keyVault": {"secretIdentifier": f"{rotating.vault_url}/secrets/{name}"}})
    rotating.make_api(name, book.url, with_certificate(name))
    assert rotating.call(f"/{name}/x").json()["sha1"] == identities[0].sha1
    load = Load(rotating, f"/{name}/x", tmp_path, {identities[i].sha1 for i in good})
    waits, written = [], {}
    try:
        for i in range(1, ROTATIONS + 1):
            written[i] = time.time()
            put_into_vault(rotating, name, identities[i])
            if i in good:
                used = service.wait_for(f"version {i} at the backend", lambda sha1=identities[i].sha1: next(
                    (e["first"] for e in book.of(sha1) if e["first"]), 0), 20, 0.02)
                waits.append(used / 1000 - written[i])
            else:
                told = service.wait_for(f"the refusal of version {i}", lambda: (
                    lambda s: s["code"] != "Success" and s)(status_of(rotating, name)), 20, 0.02)
                assert told["code"] == "CertificateRefused" and "refuses it" in told["message"], told
    finally:
        done = load.end()
    print(f"{done} requests by wrk, {load.rounds} rounds of h2load, {len(load.seen)} looked at; from the write into "
          f"the vault to the first use: p50 {statistics.median(waits) * 1000:.0f} ms, longest {max(waits) * 1000:.0f} ms")
    assert rotating.metric("postern_identity_mismatch_total") == 0
    assert statistics.median(waits) < 1, waits

    # No connection with a generation that is retired outlives the drain limit.
    first = {i: min(e["first"] for e in book.of(identities[i].sha1) if e["first"]) for i in good}
    service.wait_for("the end of the old ones", lambda: all(
        e["closed"] for i in good[:-1] for e in book.of(identities[i].sha1)), DRAIN_S + SLACK_S)
    entries = book.read()
    for now, following in zip(good, good[1:]):
        for entry in (e for e in entries if e["sha1"] == identities[now].sha1):
            assert entry["closed"] <= first[following] + (DRAIN_S + SLACK_S) * 1000, (now, entry)
            assert entry["last"] <= first[following] + 1000, "a request on a retired generation"
    # No session of TLS crosses from one certificate to another, though sessions are resumed.
    assert {e["sha1"] for e in entries if e["requests"]} >= {identities[i].sha1 for i in good}
    refused = {identities[i].sha1 for i in range(1, ROTATIONS) if i not in good}
    assert not refused & {e["sha1"] for e in entries}


class Quiet:
    """A vault by roles. While the service has none its push finds nothing; a role that is given later is told to
    nobody, so what is fetched then was fetched by the source that is tried."""

    def __init__(self, postern, ca, name):
        self.postern, self.ca, self.name = postern, ca, name
        self.id = f"{postern.group}/providers/Microsoft.KeyVault/vaults/{name}"
        self.origin = postern.vault_audience.replace("//vault.", f"//{name}.vault.")
        self.service = postern.arm("GET", "").json()["identity"]["principalId"]
        made = postern.arm("PUT", self.id, {"location": "local", "properties": {
            "tenantId": postern.tenant, "sku": {"family": "A", "name": "standard"},
            "enableRbacAuthorization": True}}, version="2022-07-01")
        assert made.status == 201, made
        admin = people.graph(postern, "GET", f"(appId='{postern.client_id}')").json()["id"]
        people.assign(postern, admin, "Key Vault Certificates Officer", self.id)
        self.version = 0
        self.let()
        self.put()
        postern.put(f"/certificates/{name}", {"keyVault": {"secretIdentifier": f"{self.origin}/secrets/c"}})

    def put(self):
        self.version += 1
        identity = self.ca.client(f"{self.name}.{self.version}")
        answer = self.postern.vault("POST", "/certificates/c/import", {
            "value": identity.pfx_base64("p"), "pwd": "p"}, origin=self.origin)
        assert answer.status == 200, answer
        return identity

    def let(self):
        answer = people.assign(self.postern, self.service, "Key Vault Secrets User", self.id)
        assert answer.status == 201, answer
        self.grant = answer.json()["id"]

    def put_unseen(self):
        """A new version that the service cannot fetch, which it tried to; then it could."""
        assert self.postern.arm("DELETE", self.grant, version="2022-04-01").status == 200
        identity = self.put()
        service.wait_for("the push that finds nothing", lambda: status_of(
            self.postern, self.name)["code"] == "VaultForbidden", 20)
        self.let()
        return identity


def tell_by_event(postern, origin):
    secret = (postern.data / "eventgrid.secret").read_text().strip()
    told = {"id": "1", "topic": "/t", "subject": "c", "eventType": "Microsoft.KeyVault.SecretNewVersionCreated",
            "dataVersion": "1", "metadataVersion": "1", "eventTime": "2026-11-01T10:00:00Z",
            "data": {"Id": f"{origin}/secrets/c/{'0' * 32}", "VaultName": "v", "ObjectType": "Secret",
                     "ObjectName": "c", "Version": "0" * 32}}
    answer = web.Session(postern.control, postern.ca_file).call(
        "POST", f"/postern/eventgrid?code={secret}", json.dumps([told]), {"aeg-event-type": "Notification"})
    assert answer.status == 200, answer


@pytest.mark.parametrize("interval", ["3600", "1"], ids=["told", "polled"])
def test_each_source_of_a_rotation_loses_no_request(tmp_path, trust, ca, book, interval):
    """Told: re-upload by PUT, refreshSecret, an event of Event Grid. Polled: the poll alone."""
    postern = service.Postern(tmp_path / "postern", environment=trust, options=["--rotation-interval", interval])
    postern.start()
    try:
        vault = Quiet(postern, ca, "kv" + service.unique("q").replace("-", ""))
        postern.make_api("own", book.url, with_certificate(vault.name))
        first = postern.call("/own/x").json()["sha1"]
        known = {first}
        load = Load(postern, "/own/x", tmp_path, known)
        try:
            for source in ("refresh", "event", "put", "refresh", "event") if interval == "3600" else ("poll",) * 3:
                identity = ca.client("uploaded") if source == "put" else vault.put_unseen()
                known.add(identity.sha1)
                if source == "refresh":
                    assert postern.arm("POST", f"/certificates/{vault.name}/refreshSecret").status == 200
                elif source == "event":
                    tell_by_event(postern, vault.origin)
                elif source == "put":
                    postern.put(f"/certificates/{vault.name}", {"data": identity.pfx_base64("p"), "password": "p"})
                service.wait_for(f"the certificate by {source}", lambda sha1=identity.sha1: any(
                    e["first"] for e in book.of(sha1)), 60)
                if source == "put":  # and back to the vault
                    postern.put(f"/certificates/{vault.name}", {
                        "keyVault": {"secretIdentifier": f"{vault.origin}/secrets/c"}})
        finally:
            load.end()
        assert postern.metric("postern_identity_mismatch_total") == 0
    finally:
        postern.stop()


@pytest.mark.parametrize("version", ["1", "2"])
def test_nothing_outlives_not_after(postern, ca, book, version):
    """Neither an idle connection nor one at work: a certificate ends at its notAfter (which still counts)."""
    name = service.unique("ending")
    lives_s = 4 / 86400
    identity = ca.client(name, begins=-1, days=1 + lives_s)
    postern.upload(name, identity)
    postern.make_api(name, book.url, policy(f'<authentication-certificate certificate-id="{name}" />',
                                            f'<forward-request http-version="{version}" />'))
    assert postern.call(f"/{name}/x").status == 200
    session = web.Session(postern.gateway, timeout=40)
    answer = session.call("GET", f"/{name}/slow?ms=30000")
    assert answer.status == 500
    end_ms = identity.certificate.not_valid_after.replace(tzinfo=datetime.timezone.utc).timestamp() * 1000
    entries = service.wait_for("the end of its connections", lambda: (
        lambda found: all(e["closed"] for e in found) and found)(book.of(identity.sha1)), 10)
    assert max(e["closed"] for e in entries) > end_ms
    # the second that counts, and what a busy machine needs
    assert max(e["closed"] for e in entries) < end_ms + 1000 + SLACK_S * 1000, entries
    assert "code=client_certificate_expired" in postern.log()
    assert postern.call(f"/{name}/x").status == 500
    assert len(book.of(identity.sha1)) == len(entries), "a connection with an expired certificate"


def test_of_several_each_connection_ends_with_the_certificate_that_it_shows(postern, ca, book):
    """The list lives on with the one that lasts; what showed the other one does not."""
    short, lasting = service.unique("short"), service.unique("lasting")
    identity, other = ca.client(short, begins=-1, days=1 + 4 / 86400), ca.client(lasting)
    postern.upload(short, identity)
    postern.upload(lasting, other)
    postern.make_api(short, book.url, policy(
        f'<authentication-certificate certificate-ids="{short}, {lasting}" />'))
    assert postern.call(f"/{short}/x").status == 200
    assert web.Session(postern.gateway, timeout=40).call("GET", f"/{short}/slow?ms=30000").status == 500
    end_ms = identity.certificate.not_valid_after.replace(tzinfo=datetime.timezone.utc).timestamp() * 1000
    entries = service.wait_for("the end of its connections", lambda: (
        lambda found: all(e["closed"] for e in found) and found)(book.of(identity.sha1)), 10)
    assert end_ms < max(e["closed"] for e in entries) < end_ms + 1000 + SLACK_S * 1000, entries
    assert postern.call(f"/{short}/x").status == 200
    assert book.of(other.sha1) and len(book.of(identity.sha1)) == len(entries)


def test_resumed_sessions_die_with_their_generation(short_lived, ca, book):
    """TLS sessions with the backend are resumed within a generation and never across."""
    short_lived.upload("c", ca.client("c.0"))
    short_lived.make_api("c", book.url, with_certificate("c"))
    for i in range(3):
        identity = ca.client(f"c.{i + 1}")
        short_lived.upload("c", identity)
        service.wait_for("a resumed connection", lambda: one_more(short_lived) and any(
            e["resumed"] for e in book.of(identity.sha1)))
        mine = book.of(identity.sha1)
        assert not mine[0]["resumed"], "a session of another generation"
        assert {e["sha1"] for e in book.read() if e["requests"] and e["opened"] >= mine[0]["opened"]} <= {
            identity.sha1, book.reader.sha1}


def one_more(postern):
    """A request over a new connection to the backend: several at once need more than one."""
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: web.Session(postern.gateway).get("/c/slow?ms=50"), range(4)))
    assert {a.status for a in answers} == {200}
    return True
