# SPDX-License-Identifier: Apache-2.0
"""Workload identity federation: tokens of other issuers as client assertions."""
import json
import subprocess

import pytest
from lab import issuer as issuers
from lab import people, service
from test_identities import make_identity
from test_sdks import run

AUDIENCE = "api://AzureADTokenExchange"
ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
VERSION = "2024-11-30"


@pytest.fixture(scope="module")
def issuer(tmp_path_factory, ca):
    made = issuers.Issuer(tmp_path_factory.mktemp("issuer"), ca)
    yield made
    made.stop()


@pytest.fixture(scope="module")
def es256_issuer(tmp_path_factory, ca):
    made = issuers.Issuer(tmp_path_factory.mktemp("issuer-es256"), ca, alg="ES256")
    yield made
    made.stop()


@pytest.fixture
def forger(tmp_path, ca):
    made = issuers.Forger(tmp_path / "forger", ca)
    yield made
    made.stop()


def federate(postern, issuer_url, subject="workload", audiences=(AUDIENCE,)):
    """A user-assigned identity for the issuer's subject."""
    identity = make_identity(postern)
    answer = postern.arm("PUT", identity["id"] + "/federatedIdentityCredentials/pipeline", {
        "properties": {"issuer": issuer_url, "subject": subject, "audiences": list(audiences)}},
        version=VERSION)
    assert answer.status == 201, answer
    return identity["properties"]


def login(postern, client_id, assertion, audience=None):
    return postern.ask_token(audience or postern.control, client_id, client_assertion=assertion,
                             client_assertion_type=ASSERTION)


def claims_of(answer):
    assert answer.status == 200, answer
    part = answer.json()["access_token"].split(".")[1]
    return json.loads(issuers.base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))


def refusal(answer):
    body = answer.json()
    return answer.status, body["error"], body["error_codes"][0]


@pytest.mark.parametrize("which", ["issuer", "es256_issuer"])
def test_azure_identity_reads_a_secret_as_a_workload(postern, request, tmp_path, which):
    issuer = request.getfixturevalue(which)
    workload = federate(postern, issuer.url)
    name = service.unique("workload")
    assert postern.vault("PUT", f"/secrets/{name}", {"value": "for workloads"}).status == 200
    token_file = tmp_path / "token"
    token_file.write_text(issuer.token(AUDIENCE))
    policies = {"properties": {"accessPolicies": [{
        "tenantId": postern.tenant, "objectId": workload["principalId"],
        "permissions": {"secrets": ["get"]}}]}}
    granted = postern.arm("PUT", f"{postern.group}/providers/Microsoft.KeyVault/vaults/local/"
                          "accessPolicies/add", policies, version="2022-07-01")
    assert granted.status in (200, 201), granted
    facts = run(postern, "workload.mjs", clientId=workload["clientId"],
                tokenFile=str(token_file), secretName=name)
    assert facts == {"value": "for workloads"}


def test_the_token_names_the_identity_and_not_the_service(postern, issuer):
    workload = federate(postern, issuer.url)
    claims = claims_of(login(postern, workload["clientId"], issuer.token(AUDIENCE)))
    assert (claims["oid"], claims["appid" if "appid" in claims else "azp"]) == \
        (workload["principalId"], workload["clientId"])
    assert "/userAssignedIdentities/" in claims["xms_mirid"]


def test_an_application_has_federated_credentials_too(postern, issuer):
    app = people.Application(postern)
    path = f"(appId='{app.client_id}')/federatedIdentityCredentials"
    good = {"name": "pipeline", "issuer": issuer.url, "subject": "workload",
            "audiences": [AUDIENCE]}
    assert refusal(login(postern, app.client_id, issuer.token(AUDIENCE)))[2] == 700027
    made = people.graph(postern, "POST", path, good)
    assert made.status == 201 and dict(made.json(), id=None) == dict(good, id=None), made
    claims = claims_of(login(postern, app.client_id, issuer.token(AUDIENCE)))
    assert claims["oid"] == app.object_id and "xms_mirid" not in claims
    assert claims_of(postern.ask_token(postern.control, app.client_id, app.secret))
    assert people.graph(postern, "POST", path, good).status == 409
    assert people.graph(postern, "POST", path, dict(good, name="twin")).status == 409
    for spoil in ({"issuer": "http://x"}, {"subject": ""}, {"audiences": []}, {"name": "x"}):
        assert people.graph(postern, "POST", path, dict(good, **spoil)).status == 400, spoil
    assert people.graph(postern, "GET", path).json()["value"] == [made.json()]
    assert people.graph(postern, "PATCH", path + "/pipeline", {"subject": "other"}).status == 204
    assert people.graph(postern, "GET", path + "/" + made.json()["id"]).json()["subject"] == "other"
    assert refusal(login(postern, app.client_id, issuer.token(AUDIENCE)))[2] == 70021
    assert people.graph(postern, "DELETE", path + "/pipeline").status == 204
    assert people.graph(postern, "DELETE", path + "/pipeline").status == 404


def test_federated_credentials_by_command(postern, issuer):
    def postern_identity(*arguments):
        done = subprocess.run([str(service.BIN / "postern"), "identity", *arguments, "--data",
                               str(postern.data), "--output", "json"], capture_output=True,
                              text=True, timeout=30)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout) if done.stdout.strip() else None

    app = people.Application(postern)
    made = postern_identity("add-federated", app.client_id, "main", "--issuer", issuer.url,
                            "--subject", "workload")
    assert made["audiences"] == [AUDIENCE]
    assert claims_of(login(postern, app.client_id, issuer.token(AUDIENCE)))
    listed = postern_identity("list-federated", app.client_id)
    assert [c["name"] for c in listed] == ["main"]
    postern_identity("remove-federated", app.client_id, "main")
    assert postern_identity("list-federated", app.client_id) == []


@pytest.mark.parametrize("spoil, code", [
    ({"aud": "api://other"}, 70021), ({"sub": "Workload"}, 70021), ({"sub": None}, 70021),
    ({"iss": "https://localhost:1"}, 70021), ({"exp": 1000}, 700024), ({"exp": None}, 700024),
    ({"nbf": 4000000000}, 700024), ({"exp": 4000000000}, 700024),
    ({"alg": "none"}, 50027), ({"alg": "HS256"}, 700027), ({"alg": "ES256"}, 700027),
    ({"kid": None}, None), ({"header": {"crit": ["x"]}}, 700027),
    ({"header": {"jku": "https://evil.test/keys"}}, None),
], ids=str)
def test_what_does_not_match_is_refused(postern, forger, spoil, code):
    workload = federate(postern, forger.url)
    spoil = dict(spoil)
    key = forger.keys["k1"]
    if spoil.get("alg") == "ES256":
        key = issuers.new_key("ES256")
    answer = login(postern, workload["clientId"], forger.token(
        **dict({"kid": "k1", "key": key}, **spoil)))
    if code:
        assert refusal(answer) == (401, "invalid_client", code), answer
    else:
        assert answer.status == 200, answer
    if code == 70021:
        assert forger.requests == [], "nobody is asked for keys before the token matches"


def test_keys_that_rotate_are_followed(postern, forger):
    workload = federate(postern, forger.url)
    assert login(postern, workload["clientId"], forger.token()).status == 200
    first = len(forger.requests)
    assert login(postern, workload["clientId"], forger.token()).status == 200
    assert len(forger.requests) == first, "keys are kept"
    old = forger.token()
    forger.keys = {"k2": issuers.new_key("ES256")}
    assert login(postern, workload["clientId"], forger.token("k2", "ES256")).status == 200
    assert refusal(login(postern, workload["clientId"], old))[2] == 700027
    fetched = len(forger.requests)
    stranger = issuers.new_key("RS256")
    for number in range(5):
        answer = login(postern, workload["clientId"], forger.token(f"x{number}", key=stranger))
        assert refusal(answer)[2] == 700027
    assert len(forger.requests) == fetched, "unknown kids do not make us ask again and again"


@pytest.mark.parametrize("fault", [
    {"status": 500}, {"status": 302}, {"discovery": {"issuer": "https://other.test"}},
    {"discovery": {"jwks_uri": "http://localhost/keys"}}, {"keys": {}},
    {"discovery": {"jwks_uri": "https://169.254.169.254/keys"}}], ids=str)
def test_an_issuer_that_is_away_or_wrong_is_not_believed(postern, forger, fault):
    token = forger.token()
    for name, value in fault.items():
        setattr(forger, name, value)
    workload = federate(postern, forger.url)
    answer = login(postern, workload["clientId"], token)
    assert (answer.status, answer.json()["error"]) == (503, "temporarily_unavailable"), answer
    asked = len(forger.requests)
    assert login(postern, workload["clientId"], token).status == 503
    assert len(forger.requests) == asked and "/elsewhere" not in forger.requests


def test_an_issuer_whose_certificate_is_not_trusted_is_not_believed(postern, tmp_path, other_ca):
    forger = issuers.Forger(tmp_path / "forger", other_ca)
    workload = federate(postern, forger.url)
    assert login(postern, workload["clientId"], forger.token()).status == 503
    assert forger.requests == []
    forger.stop()
