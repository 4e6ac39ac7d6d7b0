# SPDX-License-Identifier: Apache-2.0
"""Whom backends are trusted by: CA certificates of the service, and what one backend has of its own."""
import base64
import json
import os
import pty
import re
import subprocess

import pytest
from lab import backends, pki, service
from lab.proxies import Tinyproxy
from lab.service import policy, with_certificate


@pytest.fixture(scope="module")
def world(tmp_path_factory, ca):
    """Authorities that this system does not know, and a server of each; nginx sends the leaf alone."""
    class World:
        root = pki.Authority("Company root")
        middle = root.authority("Company issuing CA")
        stranger = pki.Authority("Stranger")
        leaf = root.server()
        below = middle.server()
        selfsigned = pki.Authority("localhost")
        elsewhere = root.server("elsewhere", names=("elsewhere.test",), addresses=())
        expired = root.server(begins=-20, days=10)
        nginx = backends.Nginx(tmp_path_factory.mktemp("trust-nginx"))
    for stem in ("leaf", "below", "elsewhere", "expired"):
        World.nginx.add(stem, getattr(World, stem))
    World.nginx.add("old", World.leaf, protocols="TLSv1.2")
    World.nginx.add("guarded", World.leaf, ca)
    World.nginx.start()
    yield World
    World.nginx.stop()


@pytest.fixture
def mine(tmp_path, trust):
    """A Postern whose service may be changed."""
    instance = service.Postern(tmp_path, environment=trust)
    instance.start()
    yield instance
    instance.stop()


def make(postern, url, tls=None, **more):
    """An API on a backend entity; returns their common name."""
    name = service.unique("trust")
    properties = {"url": url, "protocol": "http", **more}
    if tls is not None:
        properties["tls"] = tls
    postern.put(f"/backends/{name}", properties)
    postern.make_api(name, url, policy(f'<set-backend-service backend-id="{name}" />'))
    return name


def set_tls(postern, name, tls):
    answer = postern.arm("PATCH", f"/backends/{name}", {"properties": {"tls": tls}}, headers={"If-Match": "*"})
    assert answer.status == 200, answer.text


def status(postern, name):
    return postern.call(f"/{name}/x").status


def cas(postern, *entries):
    """PATCHes the service's certificates: (authority, store)."""
    return postern.arm("PATCH", "", {"properties": {"certificates": [
        {"storeName": store, "encodedCertificate": authority.der_base64} for authority, store in entries]}})


# ---- the service's


def test_a_root_of_the_service_is_an_anchor_for_every_backend_at_once_and_no_longer(mine, world):
    name = make(mine, world.nginx.url("leaf"))
    mine.make_api(name + "-direct", world.nginx.url("leaf"), policy())
    assert status(mine, name) == 500
    for _ in range(3):  # read your writes: the very next request obeys, also on pooled connections
        answer = cas(mine, (world.root, "Root"))
        assert answer.status == 200, answer.text
        assert status(mine, name) == 200 and status(mine, name + "-direct") == 200
        assert mine.arm("PATCH", "", {"properties": {"certificates": []}}).status == 200
        assert status(mine, name) == 500 and status(mine, name + "-direct") == 500
    assert mine.metric("postern_identity_mismatch_total") == 0


def test_an_intermediate_completes_chains_and_is_no_anchor(mine, world):
    name = make(mine, world.nginx.url("below"))
    assert cas(mine, (world.root, "Root")).status == 200
    assert status(mine, name) == 500, "the server does not send the intermediate"
    assert cas(mine, (world.middle, "CertificateAuthority")).status == 200
    assert status(mine, name) == 500, "an intermediate alone proves nothing"
    assert cas(mine, (world.root, "Root"), (world.middle, "CertificateAuthority")).status == 200
    assert status(mine, name) == 200
    assert cas(mine, (world.middle, "Root")).status == 200
    assert status(mine, name) == 200, "what is put among the roots is an anchor"
    assert cas(mine, (world.stranger, "Root")).status == 200
    assert status(mine, name) == 500


def test_the_systems_cas_stay_trusted(mine, world, ca, nginx):
    name = make(mine, nginx.url("open"))
    assert cas(mine, (world.root, "Root")).status == 200
    assert status(mine, name) == 200


def test_what_is_answered_are_public_facts_and_can_be_written_back(mine, world):
    pfx = world.middle.pfx_base64("pa$$word")
    answer = mine.arm("PATCH", "", {"properties": {"certificates": [
        {"storeName": "root", "encodedCertificate": base64.b64encode(world.root.certificate_pem).decode()},
        {"storeName": "CertificateAuthority", "encodedCertificate": pfx, "certificatePassword": "pa$$word"}]}})
    assert answer.status == 200, answer.text
    whole = mine.arm("GET", "").json()
    listed = whole["properties"]["certificates"]
    assert [set(entry) for entry in listed] == [{"storeName", "certificate"}] * 2
    assert listed[0]["storeName"] == "Root" and listed[0]["certificate"]["thumbprint"] == world.root.sha1
    assert set(listed[0]["certificate"]) == {"expiry", "thumbprint", "subject"}
    assert "CN=Company root" in listed[0]["certificate"]["subject"]
    assert listed[1]["certificate"]["thumbprint"] == world.middle.sha1
    assert pfx not in json.dumps(whole) and "pa$$word" not in json.dumps(whole)
    name = make(mine, world.nginx.url("below"))
    assert status(mine, name) == 200
    # az apim update: read, change, write back, without the files
    whole["tags"] = {"a": "b"}
    assert mine.arm("PUT", "", {k: whole[k] for k in ("location", "sku", "tags", "properties")}).status == 200
    assert mine.arm("GET", "").json()["properties"]["certificates"] == listed
    assert mine.arm("PATCH", "", {"tags": {}}).json()["properties"]["certificates"] == listed
    assert status(mine, name) == 200
    mine.stop()
    mine.start()
    assert mine.arm("GET", "").json()["properties"]["certificates"] == listed
    assert status(mine, name) == 200
    assert "pa$$word" not in mine.log()


@pytest.mark.parametrize("entry, target, word", [
    ({"storeName": "My"}, "certificates[0].storeName", "Root"),
    ({}, "certificates[0].storeName", "required"),
    ({"storeName": "Root"}, "certificates[0].encodedCertificate", "required"),
    ({"storeName": "Root", "certificate": {"thumbprint": "00" * 20}}, "certificates[0].encodedCertificate",
     "no such certificate"),
    ({"storeName": "Root", "encodedCertificate": "%%%"}, "certificates[0].encodedCertificate", "base64"),
    ({"storeName": "Root", "encodedCertificate": base64.b64encode(b"hello").decode()},
     "certificates[0].encodedCertificate", "PFX"),
])
def test_what_cannot_be_a_ca_is_refused_and_changes_nothing(postern, entry, target, word):
    before = postern.arm("GET", "").json()
    answer = postern.arm("PATCH", "", {"properties": {"certificates": [entry]}})
    assert answer.status == 400, answer.text
    detail = answer.json()["error"]["details"][0]
    assert detail["target"] == target and word in detail["message"], detail
    assert postern.arm("GET", "").json() == before


def test_a_wrong_password_a_private_key_and_an_eleventh_are_refused(postern, world):
    def refused(*entries):
        answer = postern.arm("PATCH", "", {"properties": {"certificates": list(entries)}})
        assert answer.status == 400, answer.text
        return answer.json()["error"]["details"][0]
    detail = refused({"storeName": "Root", "encodedCertificate": world.root.pfx_base64("right"),
                      "certificatePassword": "wrong"})
    assert detail["target"] == "certificates[0].certificatePassword"
    detail = refused({"storeName": "Root", "encodedCertificate": base64.b64encode(world.root.pem).decode()})
    assert "private key" in detail["message"]
    detail = refused(*[{"storeName": "Root", "encodedCertificate": world.root.der_base64}] * 11)
    assert "10" in detail["message"]


# ---- of one backend


def test_a_backends_own_cas_are_the_only_ones_it_is_trusted_by(postern, world, ca, nginx):
    own = {"postern": {"caCertificates": [world.root.certificate_pem.decode()]}}
    name, other = make(postern, world.nginx.url("leaf"), own), make(postern, world.nginx.url("leaf"))
    assert status(postern, name) == 200 and status(postern, other) == 500
    systems = make(postern, nginx.url("open"), own)
    assert status(postern, systems) == 500, "the system's CAs are not for a backend with its own"
    stored = postern.arm("GET", f"/backends/{name}").json()["properties"]["tls"]["postern"]
    assert stored == {"caCertificates": [world.root.der_base64]}
    set_tls(postern, name, {"postern": {"caCertificates": [world.stranger.der_base64]}})
    assert status(postern, name) == 500, "a pooled connection outlived its trust"
    set_tls(postern, name, {"postern": {"caCertificates": [world.leaf.der_base64]}})
    assert status(postern, name) == 200, "the server's certificate itself is an anchor too"
    set_tls(postern, name, {})
    assert status(postern, name) == 500


def test_a_pin_is_asked_for_besides_or_instead_of_a_ca(postern, world):
    name = make(postern, world.nginx.url("leaf"), {"validateCertificateChain": False, "postern": {
        "pins": [world.stranger.pin, world.leaf.pin]}})
    assert status(postern, name) == 200
    set_tls(postern, name, {"validateCertificateChain": False, "postern": {"pins": [world.stranger.pin]}})
    assert status(postern, name) == 500
    assert "tls_pin_mismatch" in postern.log()
    roots = [world.root.der_base64]
    set_tls(postern, name, {"postern": {"caCertificates": roots, "pins": [world.root.pin]}})
    assert status(postern, name) == 200, "any key of a verified chain"
    set_tls(postern, name, {"postern": {"caCertificates": roots, "pins": [world.stranger.pin]}})
    assert status(postern, name) == 500
    set_tls(postern, name, {"postern": {"pins": [world.leaf.pin]}})
    assert status(postern, name) == 500, "a pin does not replace the CA that is asked for"


def test_the_name_can_be_another_than_the_hosts(postern, world):
    roots = [world.root.der_base64]
    name = make(postern, world.nginx.url("elsewhere"), {"postern": {"caCertificates": roots}})
    assert status(postern, name) == 500
    set_tls(postern, name, {"postern": {"caCertificates": roots, "serverName": "elsewhere.test"}})
    assert status(postern, name) == 200
    assert postern.call(f"/{name}/x").json()["host"] == "localhost", "Host stays the URL's"
    set_tls(postern, name, {"postern": {"caCertificates": roots, "serverName": "other.test"}})
    assert status(postern, name) == 500


def test_a_lowest_version_is_kept(postern, world):
    roots = [world.root.der_base64]
    name = make(postern, world.nginx.url("old"), {"postern": {"caCertificates": roots}})
    assert status(postern, name) == 200
    set_tls(postern, name, {"postern": {"caCertificates": roots, "minimumTlsVersion": "1.3"}})
    assert status(postern, name) == 500
    assert status(postern, make(postern, world.nginx.url("leaf"), {
        "postern": {"caCertificates": roots, "minimumTlsVersion": "1.3"}})) == 200


def test_connections_and_sessions_of_one_policy_are_never_used_by_another(postern, world, uploaded):
    """Promise 1: the same server, certificate and name, and nothing but the policy differs."""
    def entity(postern_tls):
        name = service.unique("policy")
        postern.put(f"/backends/{name}", {"url": world.nginx.url("guarded"), "protocol": "http",
                                          "tls": {"validateCertificateChain": False, "postern": postern_tls}})
        postern.make_api(name, world.nginx.url("guarded"), with_certificate(
            uploaded["p256"], f'<set-backend-service backend-id="{name}" />'))
        return name
    one = entity({"pins": [world.leaf.pin]})
    two = entity({"pins": [world.leaf.pin, world.root.pin]})
    same = entity({"pins": [world.leaf.pin]})
    seen = {n: {postern.call(f"/{n}/{i}").json()["connection"] for i in range(20)} for n in (one, two, same)}
    assert seen[one] and not seen[one] & seen[two] and not seen[two] & seen[same]
    before = postern.metric("postern_backend_resumed_total")
    three = entity({"pins": [world.leaf.pin, world.middle.pin]})
    assert postern.call(f"/{three}/x").json()["reused"] == ".", "a session of another policy was resumed"
    assert postern.metric("postern_backend_resumed_total") == before
    assert postern.metric("postern_identity_mismatch_total") == 0


@pytest.mark.parametrize("tls, target, word", [
    ({"postern": {"pinned": []}}, "tls.postern", "pinned"),
    ({"postern": "on"}, "tls.postern", "object"),
    ({"postern": {"pins": ["sha256/AAAA"]}}, "tls.postern.pins[0]", "base64"),
    ({"postern": {"pins": ["AAAA"]}}, "tls.postern.pins[0]", "44"),
    ({"postern": {"pins": ["A" * 43 + "="] * 2}}, "tls.postern.pins", "twice"),
    ({"postern": {"caCertificates": ["AAAA"]}}, "tls.postern.caCertificates[0]", "X.509"),
    ({"postern": {"minimumTlsVersion": "1.1"}}, "tls.postern.minimumTlsVersion", "1.2"),
    ({"postern": {"serverName": "*.example.com"}}, "tls.postern.serverName", "host name"),
    ({"postern": {"serverName": "a b"}}, "tls.postern.serverName", "host name"),
    ({"postern": {"lateAuthentication": "sometimes"}}, "tls.postern.lateAuthentication", "true or false"),
])
def test_what_a_backend_cannot_mean_is_refused(postern, tls, target, word):
    answer = postern.arm("PUT", f"/backends/{service.unique('bad')}",
                         {"properties": {"url": "https://b", "protocol": "http", "tls": tls}})
    assert answer.status == 400, answer.text
    detail = answer.json()["error"]["details"][0]
    assert detail["target"] == target and word in detail["message"], detail


def test_contradictions_are_refused(postern, world):
    def refused(properties):
        answer = postern.arm("PUT", f"/backends/{service.unique('bad')}", {"properties": properties})
        assert answer.status == 400, answer.text
        return answer.json()["error"]["details"][0]["message"]
    roots = {"caCertificates": [world.root.der_base64]}
    assert "validateCertificateChain" in refused({"url": "https://b", "protocol": "http", "tls": {
        "validateCertificateChain": False, "postern": roots}})
    assert "https://" in refused({"url": "http://b", "protocol": "http", "tls": {"postern": roots}})
    key = world.root.key_pem.decode()
    message = refused({"url": "https://b", "protocol": "http", "tls": {"postern": {
        "caCertificates": [key + world.root.certificate_pem.decode()]}}})
    assert "private key" in message and key[40:80] not in message


# ---- the command, and trust in what a backend shows


@pytest.fixture
def run(postern):
    def start(*arguments):
        return subprocess.run([service.BIN / "postern", *map(str, arguments), "--data", str(postern.data)],
                              capture_output=True, text=True, timeout=30, stdin=subprocess.DEVNULL)
    return start


def entity(postern, name):
    return postern.arm("GET", f"/backends/{name}").json()["properties"]


def test_the_command_sets_and_keeps_what_one_backend_needs(postern, world, run, tmp_path):
    pem = tmp_path / "cas.pem"
    pem.write_bytes(world.root.certificate_pem + world.stranger.certificate_pem)
    name = service.unique("cli")
    done = run("backend", "add", name, "--url", world.nginx.url("elsewhere"), "--ca-file", pem,
               "--pin", world.elsewhere.pin, "--server-name", "elsewhere.test", "--minimum-tls", "1.3",
               "--late-authentication", "on")
    assert done.returncode == 0, done.stderr
    expected = {"caCertificates": [world.root.der_base64, world.stranger.der_base64], "pins": [world.elsewhere.pin],
                "serverName": "elsewhere.test", "minimumTlsVersion": "1.3", "lateAuthentication": True}
    assert entity(postern, name)["tls"]["postern"] == expected
    assert run("backend", "probe", name).returncode == 0
    postern.arm("PATCH", f"/backends/{name}", {"properties": {"credentials": {"header": {"x-a": ["b"]}}}},
                headers={"If-Match": "*"})
    assert run("backend", "update", name, "--name-check", "off", "--pin", "none").returncode == 0
    del expected["pins"]
    after = entity(postern, name)
    assert after["tls"] == {"validateCertificateName": False, "postern": expected}
    assert after["credentials"] == {"header": {"x-a": ["b"]}}, "what was not named has gone"
    for option in ("--ca-file", "--server-name", "--minimum-tls"):
        assert run("backend", "update", name, option, "none").returncode == 0
    assert entity(postern, name)["tls"]["postern"] == {"lateAuthentication": True}
    assert re.search("late authentication +true", run("backend", "show", name).stdout)
    refused = run("backend", "update", name, "--pin", "AAAA")
    assert refused.returncode == 1 and "44" in refused.stderr, refused


@pytest.mark.parametrize("stem, way, expected", [
    ("leaf", "ca", {"validateCertificateChain": True}),
    ("leaf", "key", {"validateCertificateChain": False, "validateCertificateName": False}),
    ("expired", "key", {"validateCertificateChain": False, "validateCertificateName": False}),
])
def test_a_probe_trusts_what_was_shown_for_this_backend_only(postern, world, run, stem, way, expected):
    name, other = make(postern, world.nginx.url(stem)), make(postern, world.nginx.url(stem))
    told = run("backend", "probe", name)
    assert told.returncode == 1 and "--trust" in told.stdout
    assert re.search(r"SHA-256 +([0-9A-F]{2}:){31}[0-9A-F]{2}", told.stdout), told.stdout
    assert "tls" not in entity(postern, name), "nothing is trusted without consent"
    done = run("backend", "probe", name, "--trust", way)
    assert done.returncode == 0 and "accepted" in done.stdout, (done.stdout, done.stderr)
    tls = entity(postern, name)["tls"]
    assert expected.items() <= tls.items()
    shown = getattr(world, stem)
    assert tls["postern"] == ({"caCertificates": [shown.der_base64]} if way == "ca" else {"pins": [shown.pin]})
    assert status(postern, name) == 200
    assert "tls" not in entity(postern, other) and status(postern, other) == 500


def test_a_name_that_the_certificate_has_can_be_expected(postern, world, run):
    name = make(postern, world.nginx.url("elsewhere"), {"postern": {"caCertificates": [world.root.der_base64]}})
    assert run("backend", "probe", name).returncode == 1
    done = run("backend", "probe", name, "--trust", "ca")
    assert done.returncode == 1 and "would not help" in done.stderr
    assert run("backend", "probe", name, "--trust", "name").returncode == 0
    assert entity(postern, name)["tls"]["postern"]["serverName"] == "elsewhere.test"
    assert status(postern, name) == 200


def test_nothing_is_offered_where_trust_is_not_the_cause(postern, run):
    name = make(postern, "https://localhost:1")
    done = run("backend", "probe", name, "--trust", "ca")
    assert done.returncode == 1 and "nothing that could be trusted" in done.stderr
    assert run("backend", "probe", name, "--trust", "all").returncode == 2
    assert "tls" not in entity(postern, name)


@pytest.mark.parametrize("answer, trusted", [("y", True), ("n", False), ("", False)])
def test_at_a_terminal_a_probe_asks(postern, world, answer, trusted):
    name = make(postern, world.nginx.url("leaf"))
    ours, theirs = pty.openpty()
    process = subprocess.Popen([service.BIN / "postern", "backend", "probe", name, "--data", str(postern.data)],
                               stdin=theirs, stdout=subprocess.PIPE, stderr=theirs)
    os.close(theirs)
    seen = b""
    while b"[y/N]" not in seen:
        seen += os.read(ours, 4096)
    os.write(ours, answer.encode() + b"\n")
    out = process.communicate(timeout=30)[0].decode()
    os.close(ours)
    assert b"fingerprint" in seen and "SHA-256" in out
    assert (process.returncode == 0) is trusted
    assert ("tls" in entity(postern, name)) is trusted


def test_a_probe_goes_through_the_backends_proxy(postern, world, tmp_path):
    with Tinyproxy(tmp_path / "p", "user", "secret") as proxy:
        name = make(postern, world.nginx.url("leaf"), {"postern": {"caCertificates": [world.root.der_base64]}},
                    proxy={"url": proxy.url, "username": "user", "password": "secret"})
        story = postern.arm("POST", f"/backends/{name}/probe").json()
        assert story["outcome"] == "accepted", story
        assert "CONNECT localhost" in proxy.log()
        assert str(proxy.port) in story["addresses"][0]["address"]
        wrong = make(postern, world.nginx.url("leaf"), proxy={"url": proxy.url, "username": "user",
                                                              "password": "wrong"})
        story = postern.arm("POST", f"/backends/{wrong}/probe").json()
        assert story["cause"] in ("proxy_auth_required", "proxy_refused") and "proxy" in story["fix"], story
    assert postern.arm("POST", f"/backends/{name}/probe").json()["cause"] == "connect_refused"
