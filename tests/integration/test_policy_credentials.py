# SPDX-License-Identifier: Apache-2.0
"""authentication-basic and authentication-managed-identity: what the backend gets, and what happens
when there is no token."""
import base64
import json
import os
import signal
import time

import pytest
from lab import service
from lab.service import policy

VERSION = "2022-01-31-preview"
MANAGED = "/providers/Microsoft.ManagedIdentity"
PASSWORD = "Zw1schen-Räume & <Punkte>"


@pytest.fixture(scope="module")
def api(postern, echo):
    name = service.unique("credentials")
    postern.make_api(name, echo.url + "/base")
    return name


def authorization(postern, api, **more):
    answer = postern.call(f"/{api}/x", **more)
    assert answer.status == 200, answer
    return [v for n, v in answer.json()["headers"] if n == "authorization"]


def claims(header):
    kind, text = header.split(" ")
    assert kind == "Bearer"
    middle = text.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(middle + "=" * (-len(middle) % 4)))


def identity(resource="api://orders", more=""):
    return policy(f'<authentication-managed-identity resource="{resource}" {more} />')


def escaped(text):
    return text.replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;")


# basic


def test_basic_replaces_what_the_caller_sent(postern, api):
    document = policy(f'<authentication-basic username="jo" password="{escaped(PASSWORD)}" />')
    postern.set_policy(f"/apis/{api}", document)
    expect = "Basic " + base64.b64encode(f"jo:{PASSWORD}".encode()).decode()
    assert authorization(postern, api, headers={"Authorization": "Bearer x"}) == [expect]


@pytest.mark.parametrize("attributes, reason", [
    ('username="a"', "'password' is required"), ('password="a"', "'username' is required"),
    ('username="a:b" password="c"', "'username' must have"),
    ('username="a" password="b" realm="x"', "'realm' is not known"),
    ('username="a" password="@(x)"', "policy expression: the name 'x' is not known")])
def test_what_is_wrong_with_basic_is_said(postern, api, attributes, reason):
    answer = postern.set_policy(f"/apis/{api}", policy(f"<authentication-basic {attributes} />"),
                                expect=(400,))
    assert reason in json.dumps(answer.json()), answer
    assert "authentication-basic" in json.dumps(answer.json())


def test_a_password_is_nowhere_in_clear(own_postern, echo):
    """Not at rest, not in the log, not in an error; but who may read the policy reads it."""
    secret = "s3cretive-and-long-enough"
    own_postern.make_api("quiet", echo.url)
    own_postern.set_policy("/apis/quiet", policy(
        f'<authentication-basic username="jo" password="{secret}" />'))
    refused = own_postern.set_policy("/apis/quiet", policy(
        f'<authentication-basic username="jo" password="{secret}" realm="x" />'), expect=(400,))
    assert secret not in json.dumps(refused.json())
    value = own_postern.arm("GET", "/apis/quiet/policies/policy?format=rawxml").json()
    assert secret in value["properties"]["value"]
    listed = own_postern.arm("GET", "/apis/quiet/policies").json()["value"]
    assert secret in listed[0]["properties"]["value"]
    assert authorization(own_postern, "quiet") == [
        "Basic " + base64.b64encode(f"jo:{secret}".encode()).decode()]
    trace = own_postern.arm("GET", "/posternAudit", version=None)
    assert secret not in json.dumps(trace.json()) if trace.status == 200 else True
    own_postern.stop()
    hidden = [secret.encode(), base64.b64encode(f"jo:{secret}".encode())]
    for path in own_postern.data.rglob("*"):
        if path.is_file():
            assert not any(h in path.read_bytes() for h in hidden), path
    assert secret not in own_postern.log()
    own_postern.start()
    assert authorization(own_postern, "quiet"), "it is unsealed after a restart"


# managed identity


def test_the_system_assigned_identity_sends_its_token(postern, api):
    postern.set_policy(f"/apis/{api}", identity())
    seen = authorization(postern, api, headers={"Authorization": "Basic abc"})
    assert len(seen) == 1
    token = claims(seen[0])
    assert token["aud"] == "api://orders" and token["exp"] > time.time() + 60
    me = postern.arm("GET", "").json()["identity"]["principalId"]
    assert token["oid"] == me and token["xms_mirid"].endswith(postern.service_id)
    assert authorization(postern, api) == seen, "no token is made for a request"


def test_a_user_assigned_identity_by_its_client_id(postern, api):
    made = postern.arm("PUT", f"{postern.group}{MANAGED}/userAssignedIdentities/"
                       f"{service.unique('id')}", {"location": "local"}, version=VERSION).json()
    client_id = made["properties"]["clientId"]
    document = identity("https://api.example.test", f'client-id="{client_id}"')
    try:
        postern.set_policy(f"/apis/{api}", document)
        assert postern.call(f"/{api}/x").status == 500, "it is not assigned"
        answer = postern.arm("PATCH", "", {"identity": {
            "type": "SystemAssigned, UserAssigned", "userAssignedIdentities": {made["id"]: {}}}})
        assert answer.status == 200, answer
        token = claims(authorization(postern, api)[0])
        assert token["oid"] == made["properties"]["principalId"]
        assert token["aud"] == "https://api.example.test"
    finally:
        postern.arm("PATCH", "", {"identity": {"type": "SystemAssigned"}})
    assert postern.call(f"/{api}/x").status == 500, "its token is taken back"
    cause = [line for line in postern.log().splitlines() if "identity_token_missing" in line][-1]
    assert client_id in cause and "is not assigned" in cause


def test_the_identity_is_switched_off_and_on(postern, api):
    postern.set_policy(f"/apis/{api}", identity())
    try:
        assert postern.arm("PATCH", "", {"identity": {"type": "None"}}).status == 200
        answer = postern.call(f"/{api}/x", headers={"Authorization": "Basic abc"})
        assert answer.status == 500 and b"Basic" not in answer.body
        line = [x for x in postern.log().splitlines() if "code=identity_token_missing" in x][-1]
        assert "system-assigned" in line and "api://orders" in line
        postern.set_policy(f"/apis/{api}", identity(more='ignore-error="true"'))
        assert authorization(postern, api, headers={"Authorization": "Basic abc"}) == ["Basic abc"]
    finally:
        assert postern.arm("PATCH", "", {"identity": {"type": "SystemAssigned"}}).status == 200
    assert authorization(postern, api)[0].startswith("Bearer ")


def test_into_a_variable_sets_no_header(postern, api):
    postern.set_policy(f"/apis/{api}", identity(more='output-token-variable-name="t"'))
    assert authorization(postern, api) == []


@pytest.mark.parametrize("attributes, reason", [
    ("", "'resource' is required"), ('resource="a b"', "'resource' is required"),
    ('resource="a" client-id="x"', "'client-id' must be"),
    ('resource="a" ignore-error="maybe"', "'ignore-error' must be"),
    ('resource="a" output-token-variable-name=""', "'output-token-variable-name' must have")])
def test_what_is_wrong_with_managed_identity_is_said(postern, api, attributes, reason):
    answer = postern.set_policy(f"/apis/{api}", policy(
        f"<authentication-managed-identity {attributes} />"), expect=(400,))
    assert reason in json.dumps(answer.json()), answer


def test_a_token_is_renewed_before_it_expires_and_survives_restarts(tmp_path, trust, echo):
    own = service.Postern(tmp_path, ["--limit", "identity-token-lifetime=6s"], environment=trust)
    own.start()
    try:
        own.make_api("renewed", echo.url)
        own.set_policy("/apis/renewed", identity())
        first = authorization(own, "renewed")[0]
        service.wait_for("a new token", lambda: authorization(own, "renewed")[0] != first, 6)
        assert claims(authorization(own, "renewed")[0])["exp"] > claims(first)["exp"]
        control = own.pid("control")
        os.kill(control, signal.SIGSTOP)
        try:
            before = authorization(own, "renewed")[0]
            os.kill(own.pid("gateway"), signal.SIGKILL)
            service.wait_for("the gateway with the token that it had",
                             lambda: authorization(own, "renewed") == [before], 5)
            service.wait_for("an end of an expired token",
                             lambda: own.call("/renewed/x").status == 500, 12)
            assert "it has expired" in own.log()
        finally:
            os.kill(control, signal.SIGCONT)
        service.wait_for("a token again", lambda: own.call("/renewed/x").status == 200, 10)
        os.kill(own.pid("control"), signal.SIGKILL)
        again = authorization(own, "renewed")[0]
        service.wait_for("renewed by the new control", lambda: own.call("/renewed/x").status == 200
                         and authorization(own, "renewed")[0] != again, 12)
        kept = [p for p in own.data.rglob("*") if p.is_file() and p.parent.name in ("store", "gateway")]
        assert kept
        assert again.startswith("Bearer eyJ")
        header = again[7:27].encode()  # any token's first bytes; three alone come about by chance
        for path in kept:
            assert header not in path.read_bytes(), f"{path}: tokens are sealed at rest"
    finally:
        own.stop()


def test_the_last_policy_takes_its_token_along(own_postern, echo):
    own_postern.make_api("gone", echo.url)
    own_postern.set_policy("/apis/gone", identity("api://gone"))
    assert authorization(own_postern, "gone")
    assert own_postern.arm("DELETE", "/apis/gone/policies/policy",
                           headers={"If-Match": "*"}).status == 200
    assert authorization(own_postern, "gone") == []
    listed = own_postern.arm("GET", f"{own_postern.service_id}/posternTokens", version=None)
    assert listed.status == 404, "they are nobody's to read"
