# SPDX-License-Identifier: Apache-2.0
"""Host names of the service: certificates by server name, from uploads and vaults, live."""
import contextlib
import http.client
import re
import socket
import ssl
import subprocess
import threading
import urllib.parse

import pytest
from cryptography import x509
from lab import service

FOLLOW_LIMIT_S = 10


@pytest.fixture(scope="module")
def home(tmp_path_factory, trust):
    """A Postern of its own: host names are of the whole service."""
    instance = service.Postern(tmp_path_factory.mktemp("hostnames"), environment=trust)
    instance.start()
    yield instance
    instance.stop()


@pytest.fixture(autouse=True)
def no_names(home):
    yield
    set_names(home, [])


def set_names(postern, configurations, expect=200):
    answer = postern.arm("PATCH", "", {"properties": {"hostnameConfigurations": configurations}})
    assert answer.status == expect, answer
    return answer


def upload(identity, name, **more):
    return dict({"type": "Proxy", "hostName": name, "encodedCertificate": identity.pfx_base64("pw"),
                 "certificatePassword": "pw"}, **more)


def names_of(postern):
    found = postern.arm("GET", "").json()["properties"]["hostnameConfigurations"]
    return {f["hostName"]: f for f in found if f["certificateSource"] != "BuiltIn"}


def address(postern):
    url = urllib.parse.urlsplit(postern.gateway_tls)
    return "127.0.0.1", url.port


@contextlib.contextmanager
def connected(postern, name):
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection(address(postern), 10) as plain, \
            context.wrap_socket(plain, server_hostname=name) as sock:
        yield sock


def shown(postern, name):
    """The thumbprint that a client sees that asks for `name`."""
    with connected(postern, name) as sock:
        return sha1_of(sock)


def sha1_of(sock):
    from cryptography.hazmat.primitives import hashes
    der = sock.getpeercert(binary_form=True)
    return x509.load_der_x509_certificate(der).fingerprint(hashes.SHA1()).hex().upper()


def s_client(postern, name, *more):
    done = subprocess.run(["openssl", "s_client", "-connect", "%s:%d" % address(postern),
                           "-servername", name, *map(str, more)], input="", capture_output=True,
                          text=True, timeout=30)
    return done.stdout + done.stderr


def test_each_name_gets_its_certificate_at_once(home, ca):
    exact = ca.server("api", names=("api.example.test",))
    wild = ca.server("wild", "rsa2048", names=("*.example.test",))
    own = shown(home, None)
    set_names(home, [upload(wild, "*.example.test"), upload(exact, "api.example.test")])
    assert shown(home, "api.example.test") == exact.sha1
    assert shown(home, "API.Example.Test") == exact.sha1
    assert shown(home, "other.example.test") == wild.sha1
    assert shown(home, "a.other.example.test") == own
    assert shown(home, "localhost") == own and shown(home, None) == own
    set_names(home, [upload(wild, "*.example.test", defaultSslBinding=True)])
    assert shown(home, "api.example.test") == wild.sha1
    assert shown(home, "elsewhere.test") == wild.sha1 and shown(home, None) == wild.sha1
    set_names(home, [])
    assert shown(home, "api.example.test") == own


def test_curl_verifies_both_names(home, ca, tmp_path):
    bundle = tmp_path / "ca.crt"
    bundle.write_bytes(ca.certificate_pem)
    one, two = ca.server("one", names=("one.test",)), ca.server("two", names=("two.test",))
    set_names(home, [upload(one, "one.test"), upload(two, "two.test")])
    host, port = address(home)
    for name in ("one.test", "two.test"):
        done = subprocess.run(["curl", "-sS", "--max-time", "20", "--cacert", str(bundle),
                               "--resolve", f"{name}:{port}:{host}",
                               f"https://{name}:{port}/healthz"], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr


def test_what_is_answered_has_facts_and_no_secret(home, ca):
    identity = ca.server("facts", names=("facts.test",))
    answer = set_names(home, [upload(identity, "facts.test", negotiateClientCertificate=True)])
    found = {c["hostName"]: c for c in answer.json()["properties"]["hostnameConfigurations"]}
    facts = found["facts.test"]
    assert facts["certificate"]["thumbprint"] == identity.sha1
    assert facts["certificate"]["expiry"][:19] == identity.certificate.not_valid_after.isoformat()
    assert facts["certificate"]["subject"] == "CN=facts, O=Postern tests, C=DE"
    assert (facts["certificateSource"], facts["certificateStatus"]) == ("Custom", "Completed")
    assert facts["negotiateClientCertificate"] is True
    for text in (answer.text, home.arm("GET", "").text, home.log()):
        assert identity.pfx_base64("pw")[:40] not in text and '"pw"' not in text
    assert "encodedCertificate" not in answer.text and "certificatePassword" not in answer.text


def test_what_was_read_can_be_put_back(home, ca):
    identity = ca.server("back", names=("back.test",))
    set_names(home, [upload(identity, "back.test")])
    body = home.arm("GET", "").json()
    answer = home.arm("PUT", "", body)
    assert answer.status == 200, answer
    assert shown(home, "back.test") == identity.sha1


@pytest.mark.parametrize("what, words", [
    ("password", "password"), ("name", "not for the host name"), ("expired", "expired"),
    ("client", "serverAuth")])
def test_a_certificate_that_no_client_would_accept_is_refused(home, ca, what, words):
    good = ca.server("good", names=("good.test",))
    set_names(home, [upload(good, "good.test")])
    bad = {"password": good, "name": ca.server("x", names=("x.test",)),
           "expired": ca.server("good", names=("good.test",), begins=-20, days=10),
           "client": ca.client("good", names=("good.test",))}[what]
    wanted = upload(bad, "good.test")
    if what == "password":
        wanted["certificatePassword"] = "wrong"
    answer = set_names(home, [wanted], 400)
    assert answer.json()["error"]["details"][0]["target"].startswith("hostnameConfigurations[0].")
    assert words in answer.text
    assert shown(home, "good.test") == good.sha1


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_a_client_certificate_is_asked_for_where_it_was_wanted(home, ca, clients, tmp_path, version):
    asking, plain = ca.server("a", names=("a.test",)), ca.server("b", names=("b.test",))
    set_names(home, [upload(asking, "a.test", negotiateClientCertificate=True),
                     upload(plain, "b.test")])
    crt, key = clients["p256"].write(tmp_path, "client")
    asked = s_client(home, "a.test", version)
    assert "Requested Signature Algorithms" in asked and "Verify return code" in asked
    assert "Requested Signature Algorithms" not in s_client(home, "b.test", version)
    with_one = s_client(home, "a.test", version, "-cert", crt, "-key", key)
    assert "Requested Signature Algorithms" in with_one and "alert" not in with_one
    expired_crt, expired_key = ca.client("old", begins=-20, days=10).write(tmp_path, "old")
    assert "alert" not in s_client(home, "a.test", version, "-cert", expired_crt, "-key",
                                   expired_key)


def test_nothing_of_the_clients_certificate_is_forwarded(home, ca, clients, echo, tmp_path):
    identity = ca.server("fwd", names=("fwd.test",))
    set_names(home, [upload(identity, "fwd.test", negotiateClientCertificate=True)])
    name = service.unique("fwd")
    home.make_api(name, echo.url)
    crt, key = clients["p256"].write(tmp_path, "client")
    host, port = address(home)
    done = subprocess.run(["curl", "-sS", "-k", "--max-time", "20", "--cert", str(crt), "--key",
                           str(key), "--resolve", f"fwd.test:{port}:{host}",
                           f"https://fwd.test:{port}/{name}/x"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert clients["p256"].common_name not in done.stdout
    assert clients["p256"].sha1.lower() not in done.stdout.lower()


def reused(postern, name, version, *more):
    return re.search(r"^Reused, ", s_client(postern, name, version, *more), re.MULTILINE) is not None


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_a_session_is_resumed_until_the_requirement_changes(home, ca, tmp_path, version):
    identity = ca.server("t", names=("t.test", "u.test"))
    names = [upload(identity, "t.test"), upload(identity, "u.test")]
    set_names(home, names)
    ticket = tmp_path / "session"
    # -ign_eof would wait; a request makes s_client read the ticket of TLS 1.3.
    done = subprocess.run(["openssl", "s_client", "-connect", "%s:%d" % address(home),
                           "-servername", "t.test", version, "-sess_out", str(ticket), "-ign_eof"],
                          input="GET /healthz HTTP/1.1\r\nHost: t.test\r\nConnection: close\r\n\r\n",
                          capture_output=True, text=True, timeout=30)
    assert ticket.exists(), done.stderr
    assert reused(home, "t.test", version, "-sess_in", ticket)
    assert not reused(home, "u.test", version, "-sess_in", ticket), "another name"
    set_names(home, names + [upload(ca.server("v", names=("v.test",)), "v.test")])
    assert reused(home, "t.test", version, "-sess_in", ticket), "another listener, the same keys"
    set_names(home, [dict(names[0], negotiateClientCertificate=True)])
    assert not reused(home, "t.test", version, "-sess_in", ticket)


def test_a_host_that_asks_for_certificates_is_not_reached_by_the_connection_of_another(
        home, ca, clients, tmp_path):
    """A client that uses one connection for all names of its certificate (RFC 9113 section 9.1.1) is
    told to make another one: on this one nobody has asked for what the host wants."""
    both, asking = ca.server("a", names=("a.test", "b.test")), ca.server("b", names=("b.test",))
    names = [upload(both, "a.test"), upload(asking, "b.test", negotiateClientCertificate=True),
             upload(ca.server("w", names=("*.w.test",)), "*.w.test")]
    set_names(home, names)
    name = service.unique("asks")
    home.make_api(name, "http://127.0.0.1:9", service.policy(
        "<choose><when condition='@(context.Request.Certificate != null)'><return-response>"
        "<set-status code='299' reason='Shown' /></return-response></when><otherwise>"
        "<return-response><set-status code='200' reason='None' /></return-response></otherwise>"
        "</choose>"))
    crt, key = clients["p256"].write(tmp_path, "client")
    _, port = address(home)

    def status(sni, host, version):
        done = subprocess.run(
            ["curl", "-sS", "-k", version, "--max-time", "20", "--cert", str(crt), "--key", str(key),
             "--resolve", f"{sni}:{port}:127.0.0.1", "-H", f"Host: {host}", "-w", " %{http_code}",
             f"https://{sni}:{port}/{name}/x"], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return int(done.stdout.rsplit(" ", 1)[1]), done.stdout

    for version in ("--http1.1", "--http2"):
        for host in ("b.test", f"B.test.:{port}"):
            code, text = status("a.test", host, version)
            assert code == 421 and "asks clients for a certificate" in text
        assert status("x.w.test", "b.test", version)[0] == 421
        assert status("b.test", "b.test", version)[0] == 299
        assert status("b.test", "a.test", version)[0] == 299, "there it was asked"
        for host in ("a.test", "x.w.test", "elsewhere.test", "[::1]"):
            assert status("a.test", host, version)[0] == 200
    with connected(home, "a.test") as sock:
        def ask(host):
            sock.sendall(f"GET /{name}/x HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
            return int(sock.recv(65536).split(b" ")[1])

        assert ask("a.test") == 200
        set_names(home, [dict(names[0], negotiateClientCertificate=True), *names[1:]])
        assert ask("a.test") == 200, "the requirement came later: policies say what that means"
        assert ask("b.test") == 421


def import_into_vault(postern, name, identity):
    answer = postern.vault("POST", f"/certificates/{name}/import",
                           {"value": identity.pfx_base64("p"), "pwd": "p"})
    assert answer.status == 200, answer


def from_vault(postern, secret, name):
    return {"type": "Proxy", "hostName": name, "keyVaultId": f"{postern.vault_url}/secrets/{secret}"}


class Load:
    """New connections one after the other, and one that stays, until the block ends."""

    def __init__(self, postern, name):
        self.postern, self.name = postern, name
        self.seen, self.failures = [], []
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self._run)

    def _run(self):
        while not self.stop.is_set():
            try:
                with connected(self.postern, self.name) as sock:
                    self.seen.append(sha1_of(sock))
                    sock.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                    if b" 200 " not in sock.recv(4096):
                        self.failures.append("no answer")
            except OSError as error:
                self.failures.append(repr(error))

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        self.thread.join()


def test_a_rotation_in_the_vault_reaches_the_listener_and_drops_no_connection(home, ca):
    secret = service.unique("listener")
    old, new = (ca.server(f"v{i}", names=("v.example.test",)) for i in (1, 2))
    import_into_vault(home, secret, old)
    set_names(home, [from_vault(home, secret, "v.example.test")])
    assert shown(home, "v.example.test") == old.sha1
    context = ssl._create_unverified_context()
    kept = http.client.HTTPSConnection(*address(home), context=context, timeout=20)
    kept.request("GET", "/healthz")
    assert kept.getresponse().read() is not None
    sock = kept.sock
    with Load(home, "v.example.test") as load:
        import_into_vault(home, secret, new)
        service.wait_for("the new certificate", lambda: new.sha1 in load.seen, FOLLOW_LIMIT_S)
        service.wait_for("more of it", lambda: load.seen.count(new.sha1) > 20)
    assert not load.failures
    first_new = load.seen.index(new.sha1)
    assert set(load.seen[:first_new]) <= {old.sha1} and set(load.seen[first_new:]) == {new.sha1}
    kept.request("GET", "/healthz")
    assert kept.getresponse().status == 200 and kept.sock is sock, "the connection was dropped"
    kept.close()
    facts = names_of(home)["v.example.test"]
    assert facts["certificate"]["thumbprint"] == new.sha1
    assert (facts["certificateSource"], facts["certificateStatus"]) == ("KeyVault", "Completed")


def test_a_bad_new_version_never_takes_over(home, ca):
    secret = service.unique("listener")
    good = ca.server("g", names=("g.example.test",))
    import_into_vault(home, secret, good)
    set_names(home, [from_vault(home, secret, "g.example.test")])
    import_into_vault(home, secret, ca.server("h", names=("h.example.test",)))

    def failed():
        facts = names_of(home)["g.example.test"]
        return facts["certificateStatus"] == "Failed" and facts

    facts = service.wait_for("certificateStatus", failed, FOLLOW_LIMIT_S)
    assert facts["lastStatus"]["code"] == "CertificateRefused"
    assert "g.example.test" in facts["lastStatus"]["message"]
    assert facts["certificate"]["thumbprint"] == good.sha1
    assert shown(home, "g.example.test") == good.sha1
    better = ca.server("g2", names=("g.example.test",))
    import_into_vault(home, secret, better)
    service.wait_for("the better one", lambda: shown(home, "g.example.test") == better.sha1,
                     FOLLOW_LIMIT_S)


def test_host_names_survive_a_restart(home, ca):
    identity = ca.server("stay", names=("stay.test",))
    set_names(home, [upload(identity, "stay.test")])
    ports = dict(home.ready)
    home.stop()
    home.start(ports)
    assert shown(home, "stay.test") == identity.sha1
    assert names_of(home)["stay.test"]["certificate"]["thumbprint"] == identity.sha1


def alpn(postern, *offered):
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(list(offered))
    with socket.create_connection(address(postern), 10) as plain, \
            context.wrap_socket(plain, server_hostname="localhost") as sock:
        return sock.selected_alpn_protocol()


def test_http2_is_offered_until_it_is_switched_off(home):
    switch = "Microsoft.WindowsAzure.ApiManagement.Gateway.Protocols.Server.Http2"
    assert alpn(home, "h2", "http/1.1") == "h2"
    assert alpn(home, "http/1.1") == "http/1.1" and alpn(home, "http/1.0") is None
    for other in ("acme", "ftp", "h3"):
        with pytest.raises(ssl.SSLError, match="no application protocol"):
            alpn(home, other)
    for value, expected in (("false", "http/1.1"), ("True", "h2"), ("False", "http/1.1")):
        answer = home.arm("PATCH", "", {"properties": {"customProperties": {switch: value}}})
        assert answer.status == 200, answer
        assert alpn(home, "h2", "http/1.1") == expected
    home.arm("PATCH", "", {"properties": {"customProperties": None}})
    assert alpn(home, "h2", "http/1.1") == "h2"


def test_usage_of_a_certificate_has_the_listeners_that_show_the_same_one(home, ca):
    """By the same secret of a vault, or the same file; it is deletable all the same: they have keys of their own."""
    name, uploaded = service.unique("both"), service.unique("file")
    shown = ca.server("both.example.com", names=["both.example.com"])
    imported = home.vault("POST", f"/certificates/{name}/import", {"value": shown.pfx_base64("p"), "pwd": "p"})
    assert imported.status == 200, imported
    follow = {"secretIdentifier": f"{home.vault_url}/secrets/{name}"}
    home.put(f"/certificates/{name}", {"keyVault": follow})
    identity = ca.server("file.example.com", names=["file.example.com"])
    home.upload(uploaded, identity)
    set_names(home, [{"type": "Proxy", "hostName": "both.example.com", "keyVaultId": follow["secretIdentifier"]},
                     upload(identity, "file.example.com")])
    for certificate, host, by in ((name, "both.example.com", "sameSecret"),
                                  (uploaded, "file.example.com", "sameCertificate")):
        usage = home.arm("GET", f"/certificates/{certificate}/usage").json()
        assert [(u["type"], u["by"]) for u in usage["value"]] == [("postern/hostname", by)], usage
        assert usage["value"][0]["id"].endswith(f"/posternHostnames/proxy.{host}"), usage
        assert home.arm("DELETE", f"/certificates/{certificate}", headers={"If-Match": "*"}).status == 200
