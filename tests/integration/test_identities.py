# SPDX-License-Identifier: Apache-2.0
"""Managed identities: user-assigned ones, the service's identity block, certificates fetched as one."""
import uuid

import pytest
from lab import people, service

VERSION = "2022-01-31-preview"
MANAGED = "/providers/Microsoft.ManagedIdentity"


def identity_id(postern, name):
    return f"{postern.group}{MANAGED}/userAssignedIdentities/{name}"


def make_identity(postern, name=None, **more):
    name = name or service.unique("id")
    answer = postern.arm("PUT", identity_id(postern, name), dict({"location": "local"}, **more),
                         version=VERSION)
    assert answer.status in (200, 201), answer
    return answer.json()


def set_identity(postern, identity, method="PATCH", expect=200, **more):
    answer = postern.arm(method, "", {"identity": identity}, **more)
    assert answer.status == expect, answer
    return answer.json()


@pytest.fixture
def clean(postern):
    yield
    set_identity(postern, {"type": "None"})
    set_identity(postern, {"type": "SystemAssigned"})


def test_an_identity_has_ids_that_stay(postern):
    made = make_identity(postern, tags={"a": "b"})
    properties = made["properties"]
    assert properties["tenantId"] == postern.tenant
    assert len({uuid.UUID(properties[m]) for m in ("tenantId", "principalId", "clientId")}) == 3
    assert made["type"] == "Microsoft.ManagedIdentity/userAssignedIdentities"
    again = postern.arm("PUT", made["id"], {"location": "local"}, version="2024-11-30")
    assert again.status == 200 and again.json()["properties"] == properties
    patched = postern.arm("PATCH", made["id"], {"tags": {"c": "d"}}, version=VERSION)
    assert patched.json()["tags"] == {"c": "d"} and patched.json()["properties"] == properties
    assert postern.arm("GET", made["id"], version=VERSION).json() == patched.json()
    for scope in (postern.subscription, postern.group):
        listed = postern.arm("GET", f"{scope}{MANAGED}/userAssignedIdentities",
                             version=VERSION).json()["value"]
        assert made["id"] in [i["id"] for i in listed]
    resources = postern.arm("GET", f"{postern.subscription}/resources?$filter=resourceType eq "
                            "'Microsoft.ManagedIdentity/userAssignedIdentities'".replace(
                                " ", "%20"), version="2021-04-01").json()["value"]
    assert made["id"] in [r["id"] for r in resources]
    assert postern.arm("DELETE", made["id"], version=VERSION).status == 200
    assert postern.arm("DELETE", made["id"], version=VERSION).status == 204
    assert postern.arm("GET", made["id"], version=VERSION).status == 404


@pytest.mark.parametrize("name, body, status", [
    ("x", {"location": "local"}, 400), ("-abc", {"location": "local"}, 400),
    ("a.bc", {"location": "local"}, 400), ("good", {}, 400),
    ("good", {"location": "local", "tags": {"a": 5}}, 400)])
def test_bad_identities_are_refused(postern, name, body, status):
    assert postern.arm("PUT", identity_id(postern, name), body, version=VERSION).status == status


def test_federated_credentials(postern):
    made = make_identity(postern)
    path = made["id"] + "/federatedIdentityCredentials/"
    good = {"issuer": "https://issuer.test", "subject": "system:serviceaccount:a:b",
            "audiences": ["api://AzureADTokenExchange"]}
    first = postern.arm("PUT", path + "first", {"properties": good}, version=VERSION)
    assert first.status == 201, first
    assert first.json()["properties"] == good
    assert first.json()["type"].endswith("userAssignedIdentities/federatedIdentityCredentials")
    twin = postern.arm("PUT", path + "twin", {"properties": good}, version=VERSION)
    assert twin.status == 409, twin
    for spoil in ({"issuer": "http://x"}, {"subject": ""}, {"audiences": []}, {"audiences": [1]}):
        answer = postern.arm("PUT", path + "bad", {"properties": dict(good, **spoil)},
                             version=VERSION)
        assert answer.status == 400, (spoil, answer)
    listed = postern.arm("GET", path.rstrip("/"), version=VERSION).json()["value"]
    assert [c["name"] for c in listed] == ["first"]
    for number in range(19):
        assert postern.arm("PUT", f"{path}more{number}", {"properties": dict(
            good, subject=str(number))}, version=VERSION).status == 201
    assert postern.arm("PUT", path + "toomany", {"properties": dict(good, subject="x")},
                       version=VERSION).status == 400
    assert postern.arm("DELETE", path + "first", version=VERSION).status == 200
    assert postern.arm("PUT", identity_id(postern, "nowhere") + "/federatedIdentityCredentials/abc",
                       {"properties": good}, version=VERSION).status == 404


def test_the_service_takes_and_loses_identities(postern, clean):
    one, two = make_identity(postern), make_identity(postern)
    system = postern.arm("GET", "").json()["identity"]["principalId"]
    both = set_identity(postern, {"type": "SystemAssigned, UserAssigned",
                                  "userAssignedIdentities": {one["id"]: {}}})["identity"]
    assert both["type"] == "SystemAssigned, UserAssigned" and both["principalId"] == system
    assert both["userAssignedIdentities"] == {one["id"]: {
        "principalId": one["properties"]["principalId"],
        "clientId": one["properties"]["clientId"]}}
    more = set_identity(postern, {"type": "SystemAssigned,UserAssigned", "userAssignedIdentities":
                                  {two["id"].lower(): {}}})["identity"]
    assert set(more["userAssignedIdentities"]) == {one["id"], two["id"]}
    in_use = postern.arm("DELETE", one["id"], version=VERSION)
    assert in_use.status == 409 and postern.service_id in in_use.json()["error"]["message"]
    less = set_identity(postern, {"type": "SystemAssigned, UserAssigned",
                                  "userAssignedIdentities": {one["id"].upper(): None}})["identity"]
    assert set(less["userAssignedIdentities"]) == {two["id"]}
    whole = postern.arm("GET", "").json()
    kept = dict(whole)
    del kept["identity"]
    assert postern.arm("PUT", "", kept).json()["identity"] == whole["identity"]
    user = set_identity(postern, {"type": "UserAssigned"})["identity"]
    assert "principalId" not in user and set(user["userAssignedIdentities"]) == {two["id"]}
    alone = set_identity(postern, {"type": "SystemAssigned"})["identity"]
    assert alone["principalId"] == system and "userAssignedIdentities" not in alone
    for identity in (one, two):
        assert postern.arm("DELETE", identity["id"], version=VERSION).status == 200
    none = set_identity(postern, {"type": "None"})
    assert "identity" not in none


@pytest.mark.parametrize("identity", [
    {"type": "UserAssigned"}, {"type": "UserAssigned", "userAssignedIdentities": {}},
    {"type": "Robot"},
    {"type": "SystemAssigned", "userAssignedIdentities": {"/subscriptions/x": {}}},
    {"type": "UserAssigned", "userAssignedIdentities": {"/subscriptions/x/nothing": {}}}],
    ids=["none-given", "empty", "type", "not-wanted", "unknown"])
def test_bad_identity_blocks_change_nothing(postern, identity):
    before = postern.arm("GET", "").json()
    answer = postern.arm("PATCH", "", {"identity": identity})
    assert answer.status == 400, answer
    assert postern.arm("GET", "").json() == before


def test_assigning_needs_a_right_at_the_identity(postern, clean):
    made = make_identity(postern)
    app = people.Application(postern)
    app.assign("API Management Service Contributor", postern.service_id)
    block = {"identity": {"type": "UserAssigned", "userAssignedIdentities": {made["id"]: {}}}}
    refused = app.arm("PATCH", "", block)
    assert refused.status == 403 and "assign/action" in refused.json()["error"]["message"]
    app.assign("Managed Identity Operator", made["id"])
    assert app.arm("PATCH", "", block).status == 200


def test_the_default_identity_is_shown(postern):
    answer = postern.arm("GET", f"{postern.service_id}{MANAGED}/identities/default",
                         version="2023-01-31")
    assert answer.status == 200, answer
    assert answer.json()["properties"]["principalId"] == postern.arm(
        "GET", "").json()["identity"]["principalId"]


def test_a_certificate_is_fetched_as_the_identity_it_names(postern, ca, clean):
    """The user-assigned identity has a right that the system-assigned one has not, and reverse."""
    name = service.unique("kvid")
    vault = f"{postern.group}/providers/Microsoft.KeyVault/vaults/v{uuid.uuid4().hex[:8]}"
    admin = people.graph(postern, "GET", f"(appId='{postern.client_id}')").json()["id"]
    user = make_identity(postern)

    def policies(*ids):
        answer = postern.arm("PUT", vault, {"location": "local", "properties": {
            "tenantId": postern.tenant, "sku": {"family": "A", "name": "standard"},
            "accessPolicies": [{"tenantId": postern.tenant, "objectId": i, "permissions": {
                "secrets": ["all"], "certificates": ["all"]}} for i in (admin, *ids)]}},
            version="2022-07-01")
        assert answer.status in (200, 201), answer

    policies()
    origin = postern.vault_audience.replace("//vault.", f"//{vault.rsplit('/', 1)[1]}.vault.")
    imported = postern.vault("POST", f"/certificates/{name}/import",
                             {"value": ca.client(name).pfx_base64("p"), "pwd": "p"}, origin=origin)
    assert imported.status == 200, imported
    body = {"properties": {"keyVault": {"secretIdentifier": f"{origin}/secrets/{name}",
                                        "identityClientId": user["properties"]["clientId"]}}}
    unassigned = postern.arm("PUT", f"/certificates/{name}", body)
    assert unassigned.status == 400, unassigned
    assert "is not assigned to the service" in unassigned.text
    set_identity(postern, {"type": "SystemAssigned, UserAssigned",
                           "userAssignedIdentities": {user["id"]: {}}})
    forbidden = postern.arm("PUT", f"/certificates/{name}", body)
    assert forbidden.status == 400 and user["properties"]["principalId"] in forbidden.text
    policies(user["properties"]["principalId"])
    added = postern.arm("PUT", f"/certificates/{name}", body)
    assert added.status == 201, added
    assert added.json()["properties"]["keyVault"]["lastStatus"]["code"] == "Success"
    as_system = postern.arm("PUT", f"/certificates/{name}-2", {"properties": {"keyVault": {
        "secretIdentifier": f"{origin}/secrets/{name}"}}})
    assert as_system.status == 400, "the system-assigned identity has no right there"
    set_identity(postern, {"type": "SystemAssigned"})
    refreshed = postern.arm("POST", f"/certificates/{name}/refreshSecret")
    status = postern.arm("GET", f"/certificates/{name}").json()["properties"]["keyVault"][
        "lastStatus"]
    assert status["code"] == "IdentityNotEnabled", (refreshed, status)
    assert "is not assigned" in status["message"]
    postern.delete(f"/certificates/{name}")
