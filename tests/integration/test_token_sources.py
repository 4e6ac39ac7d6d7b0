# SPDX-License-Identifier: Apache-2.0
"""Where tokens for Azure's vaults come from. A second Postern is "Azure": its authority, its
managed-identity endpoint and its vault, over real HTTP."""
import os
import subprocess

import pytest
from lab import issuer as issuers
from lab import people, service
from test_federation import federate
from test_identity_endpoint import House

AUDIENCE = "api://AzureADTokenExchange"


@pytest.fixture(scope="module")
def azure(tmp_path_factory, trust):
    made = House(tmp_path_factory.mktemp("azure"), trust)
    made.grant(made.system)
    yield made
    made.postern.stop()


@pytest.fixture(scope="module")
def bundle(tmp_path_factory, azure, ca):
    """What a Postern trusts that has Azure's vaults elsewhere."""
    path = tmp_path_factory.mktemp("bundle") / "ca.crt"
    path.write_bytes(ca.certificate_pem + open(azure.postern.ca_file, "rb").read())
    return {"SSL_CERT_FILE": str(path), "SSL_CERT_DIR": str(path.parent)}


@pytest.fixture
def stored(azure, ca):
    """A certificate in Azure's vault: its secret's identifier, and it."""
    name = service.unique("far")
    identity = ca.client(name, "rsa2048")
    answer = azure.postern.vault("POST", f"/certificates/{name}/import",
                                 {"value": identity.pfx_base64()})
    assert answer.status == 200, answer
    return f"{azure.postern.vault_url}/secrets/{name}", identity


@pytest.fixture
def serve(tmp_path, bundle):
    started = []

    def start(*sources, **environment):
        options = [o for s in sources for o in ("--token-source", s)]
        made = service.Postern(tmp_path / f"p{len(started)}", options=options,
                               environment=dict(bundle, **environment))
        started.append(made)
        return made.start()

    yield start
    for made in started:
        if made.process:
            made.stop()


def fetch(postern, stored, **more):
    name = service.unique("c")
    answer = postern.arm("PUT", f"/certificates/{name}", {"properties": {
        "keyVault": dict({"secretIdentifier": stored[0]}, **more)}})
    return answer


def sources_of(postern):
    found = postern.arm("GET", "/networkstatus").json()[0]["networkStatus"]
    return {s["name"]: s for s in found["postern"]["tokenSources"]}


def expect_by(postern, stored, source):
    answer = fetch(postern, stored)
    assert answer.status == 201, answer
    assert answer.json()["properties"]["thumbprint"] == stored[1].sha1
    told = sources_of(postern)
    assert told[source]["status"] == "success" and told[source]["lastUpdated"]
    assert f"event=token_taken source={source}" in postern.log()
    assert "eyJ" not in postern.log()
    taken = postern.log().count("event=token_taken")
    assert fetch(postern, stored).status == 201
    assert postern.log().count("event=token_taken") == taken, "the token is kept"


def application(azure, folder, secret=True):
    app = people.Application(azure.postern)
    azure.grant(app.object_id)
    folder.mkdir()
    if secret:
        (folder / "secret").write_text(app.secret + "\n")
    return app, f"authority={azure.postern.control},tenant={azure.postern.tenant}," \
                f"client-id={app.client_id}"


def test_a_secret_from_a_file_that_may_be_replaced(azure, serve, stored, tmp_path):
    app, place = application(azure, tmp_path / "app")
    file = tmp_path / "app" / "secret"
    good = file.read_text()
    file.write_text("not-the-secret-of-this-application")
    postern = serve("embedded", f"secret,{place},secret-file={file}")
    refused = fetch(postern, stored)
    assert refused.status == 400 and "secret: it answered 401: invalid_client: AADSTS7000215" in \
        refused.text, refused
    assert sources_of(postern)["secret"]["status"] == "failure"
    file.with_suffix(".new").write_text(good)
    os.rename(file.with_suffix(".new"), file)
    expect_by(postern, stored, "secret")
    for secret in ("not-the-secret-of-this-application", app.secret):
        assert secret not in postern.log()
        assert secret not in subprocess.run(["ps", "-eo", "args"], capture_output=True,
                                            text=True).stdout
    other = fetch(postern, stored, identityClientId="11111111-2222-3333-4444-555555555555")
    assert other.status == 400 and f"it is {app.client_id}" in other.text, other


def put(path, data):
    path.with_suffix(".new").write_bytes(data)
    os.rename(path.with_suffix(".new"), path)


def register(azure, app, identity, folder):
    (folder / "login.crt").write_bytes(identity.certificate_pem)
    done = subprocess.run([str(service.BIN / "postern"), "identity", "add-certificate",
                           app.client_id, str(folder / "login.crt"), "--data",
                           str(azure.postern.data)], capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr


def test_a_certificate_whose_key_only_the_keyholder_has(azure, serve, stored, ca, tmp_path):
    app, place = application(azure, tmp_path / "app", secret=False)
    identity = ca.client(service.unique("login"), "rsa2048")
    register(azure, app, identity, tmp_path)
    put(tmp_path / "app" / "login.pfx", identity.pfx("the password"))
    (tmp_path / "password").mkdir()
    put(tmp_path / "password" / "password", b"the password\n")
    postern = serve("embedded", f"certificate,{place},file={tmp_path}/app/login.pfx,"
                    f"password-file={tmp_path}/password/password")
    expect_by(postern, stored, "certificate")
    pid = postern.pid("control")
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", 0) as memory:
        numbers = identity.secret_numbers()[:3]
        for line in maps:
            span, rights = line.split()[:2]
            if not rights.startswith("rw"):
                continue
            begin, end = (int(x, 16) for x in span.split("-"))
            if end - begin > 1 << 30:
                continue  # a sanitizer's shadow
            memory.seek(begin)
            try:
                data = memory.read(end - begin)
            except OSError:
                continue
            assert not any(n in data or n[::-1] in data for n in numbers), line


def test_a_certificates_file_may_be_replaced(azure, serve, stored, ca, tmp_path):
    app, place = application(azure, tmp_path / "app", secret=False)
    first, second = (ca.client(service.unique("login"), "rsa2048") for _ in range(2))
    file, password = tmp_path / "app" / "login.pfx", tmp_path / "app" / "password"
    put(file, first.pfx("one"))
    put(password, b"one")
    register(azure, app, second, tmp_path)  # the first is not known at the authority
    postern = serve("embedded", f"certificate,{place},file={file},password-file={password}")
    assert "AADSTS700027" in fetch(postern, stored).text
    kept = "event=token_source_certificate_kept"
    for bad in (second.pfx("one")[:900], b"", second.pfx("another"),
                ca.client("login", "p256").pfx("one"), ca.client(
                    "login", "rsa2048", begins=-10, days=5).pfx("one")):
        before = postern.log().count(kept)
        put(file, bad)
        answer = fetch(postern, stored)
        assert answer.status == 400 and "AADSTS700027" in answer.text, answer
        assert postern.log().count(kept) == before + 1
        fetch(postern, stored)
        assert postern.log().count(kept) == before + 1, "it is not read again and again"
    keys = postern.data / "keys"
    count = len(list(keys.rglob("*")))
    put(file, second.pfx("two"))
    assert "AADSTS700027" in fetch(postern, stored).text, "the password is still the former one"
    put(password, b"two")
    expect_by(postern, stored, "certificate")
    assert "event=token_source_certificate_taken" in postern.log()
    assert len(list(keys.rglob("*"))) == count, "the former key is forgotten"


def test_a_workloads_token_file(azure, serve, stored, ca, tmp_path):
    forger = issuers.Forger(tmp_path / "forger", ca)
    workload = federate(azure.postern, forger.url)
    azure.grant(workload["principalId"])
    folder = tmp_path / "tokens"
    folder.mkdir()
    (folder / "token").write_text(forger.token())
    postern = serve(AZURE_FEDERATED_TOKEN_FILE=str(folder / "token"),
                    AZURE_CLIENT_ID=workload["clientId"], AZURE_TENANT_ID=azure.postern.tenant,
                    AZURE_AUTHORITY_HOST=azure.postern.control + "/")
    expect_by(postern, stored, "workload")
    forger.stop()


def test_the_metadata_service_and_identities_by_client_id(azure, serve, stored):
    postern = serve("imds,url=" + azure.url)
    expect_by(postern, stored, "imds")
    assert fetch(postern, stored, identityClientId=azure.client_of("one")).status == 201
    refused = fetch(postern, stored, identityClientId=azure.client_of("two"))
    assert refused.status == 400 and "Identity not found" in refused.text
    assert f"identity={azure.client_of('one')}" in postern.log()


def test_app_service_by_its_environment(azure, serve, stored):
    postern = serve(IDENTITY_ENDPOINT=azure.url + "/msi/token", IDENTITY_HEADER=azure.header)
    expect_by(postern, stored, "app-service")
    assert azure.header not in postern.log()
    local = postern.vault("PUT", "/secrets/own", {"value": "x"})
    assert local.status == 200 and \
        list(sources_of(postern)) == ["embedded authority", "app-service"]


def test_sources_are_asked_in_their_order(azure, serve, stored, tmp_path):
    _, place = application(azure, tmp_path / "app")
    postern = serve("imds,url=http://127.0.0.1:1", f"secret,{place},"
                    f"secret-file={tmp_path}/app/secret", "imds,url=" + azure.url)
    expect_by(postern, stored, "secret")
    told = postern.arm("GET", "/networkstatus").json()[0]["networkStatus"]["postern"]
    assert [(s["name"], s["status"]) for s in told["tokenSources"]] == [
        ("imds", "failure"), ("secret", "success"), ("imds", "initializing")]
    assert "127.0.0.1:1" in told["tokenSources"][0]["error"]


def test_a_vault_gets_no_token_for_another_domain(azure, serve, stored, tmp_path, ca):
    """And no authority but the configured one is ever given the secret."""
    app, place = application(azure, tmp_path / "app")
    postern = serve(f"secret,{place},secret-file={tmp_path}/app/secret")
    forger = issuers.Forger(tmp_path / "vault", ca)
    forger.status = 401
    forger.challenge = f'Bearer authorization="{forger.url}/t", ' \
                       f'resource="{azure.postern.vault_audience}"'
    answer = fetch(postern, (forger.url + "/secrets/x", None))
    assert answer.status == 400 and "vault" in answer.text
    assert len(forger.requests) == 1 and not forger.posts
    assert "event=token_taken" not in postern.log()
    forger.stop()


@pytest.mark.parametrize("source, words", [
    ("nonsense", "'nonsense' is none of"), ("secret", "secret-file"),
    ("secret,secret-file=/nowhere/secret", "tenant"), ("imds,port=1", "no part 'port'"),
    ("secret,secret-file=relative,tenant=t,client-id=c", "absolute path"),
    ("secret,secret-file=/tmp/x/y,tenant=t,client-id=c,authority=http://x", "https"),
    ("certificate,file=/nowhere/key,tenant=t,client-id=c", "/nowhere/key"),
    ("certificate,file=key.pfx,tenant=t,client-id=c", "absolute path"),
    ("certificate,file=/x/y,password-file=p,tenant=t,client-id=c", "absolute path"),
    ("app-service,url=http://127.0.0.1:1", "header-file"), ("workload", "token-file"),
])
def test_what_does_not_fit_is_told_at_the_start(tmp_path, source, words):
    done = subprocess.run([str(service.BIN / "postern"), "serve", "--data", str(tmp_path / "data"),
                           "--control", "localhost:0", "--vault", "localhost:0", "--gateway",
                           "localhost:0", "--gateway-tls", "localhost:0", "--token-source", source],
                          capture_output=True, text=True, timeout=60)
    assert done.returncode == 1 and words in done.stderr, done.stderr
