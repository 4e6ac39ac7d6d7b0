# SPDX-License-Identifier: Apache-2.0
"""Tokens of other identity providers at the management API and the vault: whom they are, and what
they never are."""
import re
import subprocess
import uuid

import pytest
from lab import issuer as issuers
from lab import people, service

AUDIENCE = "api://postern"
TENANT_USER = "aaaaaaaa-1111-2222-3333-444444444444"
READER = people.ROLES["Reader"]


@pytest.fixture(scope="module")
def real(tmp_path_factory, ca):
    made = issuers.Issuer(tmp_path_factory.mktemp("real"), ca)
    yield made
    made.stop()


@pytest.fixture(scope="module")
def plain(tmp_path_factory, ca):
    """People by `sub`: their ids are derived."""
    made = issuers.Forger(tmp_path_factory.mktemp("plain"), ca)
    yield made
    made.stop()


@pytest.fixture(scope="module")
def entra(tmp_path_factory, ca):
    """People by `oid`, as Entra ID has them."""
    made = issuers.Forger(tmp_path_factory.mktemp("entra"), ca)
    yield made
    made.stop()


@pytest.fixture(scope="module")
def house(tmp_path_factory, trust, real, plain, entra):
    made = service.Postern(tmp_path_factory.mktemp("trusting"), environment=trust, options=[
        "--trusted-issuer", f"{real.url},audience={AUDIENCE}",
        "--trusted-issuer", f"{plain.url},audience={AUDIENCE},audience=api://other,groups=roles",
        "--trusted-issuer", f"{entra.url},audience={AUDIENCE},principal=oid"])
    made.start()
    yield made
    made.stop()


@pytest.fixture(autouse=True)
def mended(plain, entra):
    for forger in (plain, entra):
        forger.status = 200
        forger.keys = {"k1": forger.keys["k1"]}
    yield


def assign(house, principal, kind="User", role=READER, scope=None):
    answer = house.arm("PUT", f"{scope or house.service_id}/providers/Microsoft.Authorization/"
                       f"roleAssignments/{uuid.uuid4()}", {"properties": {
                           "roleDefinitionId": f"{house.subscription}/providers/"
                           f"Microsoft.Authorization/roleDefinitions/{role}",
                           "principalId": principal, "principalType": kind}}, version="2022-04-01")
    assert answer.status == 201, answer


def get(house, token, path=""):
    return house.arm("GET", path, token=token)


def id_of(answer):
    """The 403 names the principal: how an operator learns whom to give a role to."""
    assert answer.status == 403, answer
    return re.search(r"object id '([0-9a-f-]{36})'", answer.text).group(1)


def test_a_real_issuers_token_has_the_roles_of_its_subject(house, real):
    token = real.token(AUDIENCE)
    principal = id_of(get(house, token))
    assert uuid.UUID(principal).version == 8
    assign(house, principal)
    assert get(house, token).status == 200
    assert house.arm("PUT", "/apis/x", {"properties": {
        "displayName": "x", "path": "x", "protocols": ["https"]}},
                     token=token).status == 403
    other = house.arm("GET", "", token=real.token("api://not-postern"))
    assert other.status == 401 and other.json()["error"]["code"] == \
        "InvalidAuthenticationTokenAudience"


def test_keys_that_rotate_are_followed(house, plain):
    assert get(house, plain.token(sub="r", aud=AUDIENCE)).status == 403
    plain.keys = dict(plain.keys, k2=issuers.new_key("ES256"))
    assert get(house, plain.token("k2", "ES256", sub="r", aud=AUDIENCE)).status == 403
    assert get(house, plain.token(sub="r", aud=AUDIENCE)).status == 403


def test_the_vault_takes_it_too(house, plain):
    token = plain.token(sub="vault-user", aud=AUDIENCE)
    refused = house.vault("GET", "/secrets", token=token)
    assert refused.status == 403
    principal = re.search(r"oid=([0-9a-f-]{36})", refused.text).group(1)
    granted = house.arm("PUT", f"{house.group}/providers/Microsoft.KeyVault/vaults/local/"
                        "accessPolicies/add", {"properties": {"accessPolicies": [{
                            "tenantId": house.tenant, "objectId": principal,
                            "permissions": {"secrets": ["list"]}}]}}, version="2022-07-01")
    assert granted.status in (200, 201), granted
    assert house.vault("GET", "/secrets", token=token).status == 200
    assert house.vault("GET", "/certificates", token=token).status == 403


def test_ids_are_the_issuers_own(house, plain, entra, real):
    """The same subject at two issuers is two people; a group is a group of its issuer."""
    one = id_of(get(house, plain.token(sub="workload", aud=AUDIENCE)))
    assert one != id_of(get(house, plain.token(sub="workload2", aud=AUDIENCE)))
    assert one == id_of(get(house, plain.token(sub="workload", aud=["x", "api://other"])))
    spelled = plain.token(sub=f"\n{one}", aud=AUDIENCE)
    assert id_of(get(house, spelled)) != one
    assert id_of(get(house, entra.token(oid=TENANT_USER, aud=AUDIENCE))) == TENANT_USER


def test_oid_and_groups_of_entra_have_roles(house, entra):
    group = str(uuid.uuid4())
    assign(house, group, "Group")
    user = str(uuid.uuid4())
    assert get(house, entra.token(oid=user, aud=AUDIENCE)).status == 403
    assert get(house, entra.token(oid=user, aud=AUDIENCE, groups=["x", group])).status == 200


@pytest.mark.parametrize("claims", [
    {"oid": "admin"}, {"oid": "service"}, {"oid": "not-a-uuid"}, {"oid": None}], ids=str)
def test_nobody_of_ours_can_be_claimed(house, entra, claims):
    service_principal = house.arm("GET", "").json()["identity"]["principalId"]
    ours = {"admin": people.graph(house, "GET", f"(appId='{house.client_id}')").json()["id"],
            "service": service_principal}
    claims = {k: ours.get(v, v) for k, v in claims.items()}
    answer = get(house, entra.token(aud=AUDIENCE, **claims))
    assert answer.status == 401 and answer.json()["error"]["code"] == \
        "InvalidAuthenticationToken", answer
    grouped = get(house, entra.token(aud=AUDIENCE, oid=str(uuid.uuid4()),
                                     groups=list(ours.values())))
    assert grouped.status == 403, "an own principal's id is no group"


def test_a_foreign_token_is_never_the_service(house, entra, plain):
    """xms_mirid of another authority would pass the vault's firewall, appid an access policy."""
    user = str(uuid.uuid4())
    vault = f"{house.group}/providers/Microsoft.KeyVault/vaults/local"
    house.arm("PUT", f"{vault}/accessPolicies/add", {"properties": {"accessPolicies": [{
        "tenantId": house.tenant, "objectId": user, "permissions": {"secrets": ["list"]}}]}},
        version="2022-07-01")
    token = entra.token(oid=user, aud=AUDIENCE, xms_mirid=house.service_id, idtyp="app",
                        appid=house.client_id, tid=house.tenant)
    assert house.vault("GET", "/secrets", token=token).status == 200
    assert house.arm("PATCH", vault, {"properties": {"networkAcls": {
        "defaultAction": "Deny", "bypass": "AzureServices"}}}, version="2022-07-01").status == 200
    refused = house.vault("GET", "/secrets", token=token)
    assert house.arm("PATCH", vault, {"properties": {"networkAcls": {"defaultAction": "Allow"}}},
                     version="2022-07-01").status == 200
    assert refused.status == 403 and "ForbiddenByFirewall" in refused.text
    link = house.session(house.control).call("POST", "/signin/link", None, {
        "Authorization": "Bearer " + token})
    assert link.status in (401, 403)


@pytest.mark.parametrize("spoil", [
    {"alg": "none"}, {"alg": "HS256"}, {"key": "stranger"}, {"kid": "k9"}, {"exp": 1000},
    {"exp": None}, {"nbf": 4000000000}, {"aud": "api://postern/"}, {"aud": "https://vault.azure.net"},
    {"aud": None}, {"aud": []}, {"header": {"crit": ["b64"]}}, {"iss": "https://localhost:1"},
    {"iss": None}], ids=str)
def test_what_is_wrong_is_refused(house, plain, spoil):
    good = {"sub": "victim", "aud": AUDIENCE, "kid": "k1", "key": plain.keys["k1"]}
    if get(house, plain.token(**good)).status == 403:
        assign(house, id_of(get(house, plain.token(**good))))
    assert get(house, plain.token(**good)).status == 200
    spoil = dict(spoil)
    if spoil.get("key") == "stranger":
        spoil["key"] = issuers.new_key("RS256")
    answer = get(house, plain.token(**dict(good, **spoil)))
    assert answer.status == 401 and "WWW-Authenticate" in answer.headers, answer
    token = plain.token(**good)
    for changed in (token[:-6] + "AAAAAA", token.rsplit(".", 1)[0] + ".", token + "A"):
        assert get(house, changed).status == 401


def test_an_issuer_that_is_away_is_503_and_known_keys_go_on(house, tmp_path, ca, trust):
    away = issuers.Forger(tmp_path / "away", ca)
    away.status = 503
    own = service.Postern(tmp_path / "own", environment=trust, options=[
        "--trusted-issuer", f"{away.url},audience={AUDIENCE}"]).start()
    token = away.token(sub="x", aud=AUDIENCE)
    answer = own.arm("GET", "", token=token)
    assert answer.status == 503 and answer.headers["Retry-After"], answer
    assert own.vault("GET", "/secrets", token=token).status == 503
    assert own.arm("GET", "").status == 200, "our own tokens do not wait for it"
    away.status = 200
    service.wait_for("the issuer is asked again", lambda: own.arm(
        "GET", "", token=token).status == 403, 30)
    away.stop()
    assert own.arm("GET", "", token=token).status == 403, "its keys are kept"
    assert own.metric("postern_issuer_fetches_total") == 1
    assert own.metric("postern_issuer_fetches_failed_total") >= 1
    own.stop()


def test_an_issuer_of_many_tenants_lets_in_those_that_are_named(tmp_path, ca, trust):
    """Entra ID's /organizations: one document, whose issuer is a template; each tenant's tokens say
    their own."""
    many = issuers.Forger(tmp_path / "many", ca)
    origin, ours, theirs = many.url, str(uuid.uuid4()), str(uuid.uuid4())
    many.path = "/organizations/v2.0"
    many.discovery = {"issuer": origin + "/{tenantid}/v2.0"}
    many.keys["k2"], many.keys["k3"] = (issuers.new_key("RS256") for _ in range(2))
    many.key_issuers = {"k1": origin + "/{tenantid}/v2.0", "k2": f"{origin}/{theirs}/v2.0",
                        "k3": f"{origin}/{ours}/v2.0"}
    own = service.Postern(tmp_path / "own", environment=trust, options=[
        "--trusted-issuer", f"{many.url}/organizations/v2.0,audience={AUDIENCE},principal=oid,"
        f"tenant={ours.upper()},tenant={uuid.uuid4()}"]).start()

    def status(tenant, oid, kid="k1", **more):
        return get(own, many.token(kid=kid, oid=oid, aud=AUDIENCE, tid=tenant, **dict(
            {"iss": f"{origin}/{tenant}/v2.0"}, **more))).status

    person = str(uuid.uuid4())
    assign(own, person)
    assert status(ours, person) == 200
    assert status(ours, person, kid="k3") == 200, "a key of this tenant alone"
    assert status(ours, person, kid="k2") == 401, "a key that signs for another tenant"
    assert status(theirs, person) == 401, "a tenant that is not named"
    for iss in (f"{origin}/organizations/v2.0", origin + "/{tenantid}/v2.0", f"{origin}//v2.0",
                f"{origin}/{ours}/v2.0/", f"{origin}/{ours.upper()}/v2.0", f"{origin}/{ours}"):
        assert status(ours, person, iss=iss) == 401, iss
    own.stop()
    single = service.Postern(tmp_path / "single", environment=trust, options=[
        "--trusted-issuer", f"{many.url},audience={AUDIENCE}"]).start()
    many.path = ""
    answer = get(single, many.token(aud=AUDIENCE))
    assert answer.status == 503
    assert "tenant=UUID" in single.log(), "an issuer that speaks for many is told what it wants"
    single.stop()
    many.stop()


@pytest.mark.parametrize("value, words", [
    ("https://login.test/common/v2.0,audience=a", "'common' stands for every tenant"),
    ("https://login.test/organizations/v2.0,audience=a,tenant=x", "UUID"),
    ("https://login.test/v2.0,audience=a,tenant=11111111-2222-3333-4444-555555555555",
     "tenant=… goes with"),
    ("http://issuer.test,audience=a", "does not fit"), ("https://issuer.test", "does not fit"),
    ("https://issuer.test,audience=a,colour=red", "none of audience"),
    ("https://issuer.test,audience=a,principal=name", "oid or sub"),
    ("https://issuer.test,audience=a,client-secret-file=/nowhere", "/nowhere"),
    ("https://issuer.test?x=1,audience=a", "begins with"),
])
def test_what_does_not_fit_is_told_at_the_start(tmp_path, value, words):
    done = subprocess.run([str(service.BIN / "postern"), "serve", "--data", str(tmp_path / "data"),
                           "--control", "localhost:0", "--vault", "localhost:0", "--gateway",
                           "localhost:0", "--gateway-tls", "localhost:0", "--trusted-issuer",
                           value], capture_output=True, text=True, timeout=60)
    assert done.returncode != 0 and words in done.stderr, done.stderr
