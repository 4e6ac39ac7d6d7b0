# SPDX-License-Identifier: Apache-2.0
"""Vaults as resources: life, retention, purge protection, model of permissions."""
import concurrent.futures
import uuid

import pytest
from lab import people, service, web

VERSION = "2022-07-01"


def vault_id(postern, name):
    return f"{postern.group}/providers/Microsoft.KeyVault/vaults/{name}"


def body(postern, location="local", **properties):
    return {"location": location, "properties": dict({
        "tenantId": postern.tenant, "sku": {"family": "A", "name": "standard"},
        "accessPolicies": []}, **properties)}


def arm(postern, method, path, *more, version=VERSION, **named):
    return postern.arm(method, path, *more, version=version, **named)


def policy(postern, object_id, **permissions):
    return {"tenantId": postern.tenant, "objectId": object_id, "permissions": permissions}


def admin_id(postern):
    return people.graph(postern, "GET", f"(appId='{postern.client_id}')").json()["id"]


def make(postern, name=None, expect=201, version=VERSION, **properties):
    name = name or "kv" + uuid.uuid4().hex[:10]
    properties.setdefault("accessPolicies", [policy(postern, admin_id(postern), secrets=["all"])])
    answer = arm(postern, "PUT", vault_id(postern, name), body(postern, **properties),
                 version=version)
    assert answer.status == expect, answer
    return name


def origin(postern, name):
    return postern.vault_audience.replace("//vault.", f"//{name}.vault.")


def deleted(postern, name, suffix=""):
    return f"{postern.subscription}/providers/Microsoft.KeyVault/locations/local/deletedVaults/" \
           f"{name}{suffix}"


def check_name(postern, name):
    return arm(postern, "POST",
               f"{postern.subscription}/providers/Microsoft.KeyVault/checkNameAvailability",
               {"name": name, "type": "Microsoft.KeyVault/vaults"}).json()


def test_a_deleted_vault_comes_back_with_everything(postern):
    name = make(postern, softDeleteRetentionInDays=7)
    where = origin(postern, name)
    assert postern.vault("PUT", "/secrets/kept", {"value": "v"}, origin=where).status == 200
    app = people.Application(postern)
    app.assign("Reader", vault_id(postern, name))
    assert arm(postern, "DELETE", vault_id(postern, name)).status == 200
    assert arm(postern, "DELETE", vault_id(postern, name)).status == 204
    assert arm(postern, "GET", vault_id(postern, name)).status == 404
    assert postern.vault("GET", "/secrets/kept/", origin=where).status == 404
    shown = arm(postern, "GET", deleted(postern, name))
    assert shown.status == 200, shown
    properties = shown.json()["properties"]
    assert properties["vaultId"] == vault_id(postern, name)
    assert properties["scheduledPurgeDate"][:4] >= properties["deletionDate"][:4]
    listed = arm(postern, "GET",
                 f"{postern.subscription}/providers/Microsoft.KeyVault/deletedVaults").json()
    assert name in [v["name"] for v in listed["value"]]
    taken = arm(postern, "PUT", vault_id(postern, name), body(postern))
    assert taken.status == 409 and taken.json()["error"]["code"] == "ConflictError"
    assert check_name(postern, name)["reason"] == "AlreadyExists"
    back = arm(postern, "PUT", vault_id(postern, name), body(postern, createMode="recover"))
    assert back.status in (200, 201), back
    assert back.json()["properties"]["softDeleteRetentionInDays"] == 7
    assert postern.vault("GET", "/secrets/kept/", origin=where).json()["value"] == "v"
    assert app.arm("GET", vault_id(postern, name), version=VERSION).status == 200
    assert arm(postern, "GET", deleted(postern, name)).status == 404
    assert arm(postern, "PUT", vault_id(postern, "kv" + uuid.uuid4().hex[:8]),
               body(postern, createMode="recover")).status == 400


def test_a_purged_vault_is_gone_with_everything(postern):
    name = make(postern)
    where = origin(postern, name)
    postern.vault("PUT", "/secrets/lost", {"value": "v"}, origin=where)
    arm(postern, "DELETE", vault_id(postern, name))
    contributor = people.Application(postern)
    contributor.assign("Key Vault Contributor", postern.subscription)
    assert contributor.arm("POST", deleted(postern, name, "/purge"),
                           version=VERSION).status == 403, "a notAction of the role"
    assert arm(postern, "POST", deleted(postern, name, "/purge")).status in (200, 202)
    assert arm(postern, "GET", deleted(postern, name)).status == 404
    assert check_name(postern, name)["nameAvailable"] is True
    make(postern, name)
    assert postern.vault("GET", "/secrets/lost/", origin=where).status == 404


def test_purge_protection_cannot_be_taken_back(postern):
    name = make(postern, enablePurgeProtection=True)
    off = arm(postern, "PATCH", vault_id(postern, name),
              {"properties": {"enablePurgeProtection": False}})
    assert off.status == 400 and "irreversible" in off.json()["error"]["message"]
    replaced = arm(postern, "PUT", vault_id(postern, name), body(postern))
    assert replaced.json()["properties"]["enablePurgeProtection"] is True
    arm(postern, "DELETE", vault_id(postern, name))
    refused = arm(postern, "POST", deleted(postern, name, "/purge"))
    assert refused.status == 405 and refused.json()["error"]["code"] == "MethodNotAllowed"
    assert arm(postern, "GET", deleted(postern, name)).json()["properties"][
        "purgeProtectionEnabled"] is True


@pytest.mark.parametrize("properties, word", [
    ({"softDeleteRetentionInDays": 6}, "softDeleteRetentionInDays"),
    ({"softDeleteRetentionInDays": 91}, "softDeleteRetentionInDays"),
    ({"enableSoftDelete": False}, "enableSoftDelete"),
    ({"enablePurgeProtection": False}, "enablePurgeProtection"),
    ({"enableRbacAuthorization": "maybe"}, "enableRbacAuthorization"),
    ({"sku": {"family": "B", "name": "standard"}}, "sku"),
    ({"tenantId": str(uuid.uuid4())}, "tenantId"),
    ({"accessPolicies": [{"objectId": "x"}]}, "accessPolicies")])
def test_bad_properties_are_refused(postern, properties, word):
    name = "kv" + uuid.uuid4().hex[:10]
    answer = arm(postern, "PUT", vault_id(postern, name), body(postern, **properties))
    assert answer.status == 400 and word in answer.json()["error"]["message"], answer
    assert arm(postern, "GET", vault_id(postern, name)).status == 404


def test_retention_is_set_once(postern):
    name = make(postern, softDeleteRetentionInDays=30)
    same = arm(postern, "PATCH", vault_id(postern, name),
               {"properties": {"softDeleteRetentionInDays": 30}})
    assert same.status == 200
    other = arm(postern, "PATCH", vault_id(postern, name),
                {"properties": {"softDeleteRetentionInDays": 31}})
    assert other.status == 400 and "can't be modified" in other.json()["error"]["message"]
    replaced = arm(postern, "PUT", vault_id(postern, name), body(postern))
    assert replaced.json()["properties"]["softDeleteRetentionInDays"] == 30


def test_lists_come_in_pages_by_group_and_by_subscription(postern):
    names = {make(postern) for _ in range(3)}
    for scope in (postern.group, postern.subscription):
        path, found = f"{scope}/providers/Microsoft.KeyVault/vaults?$top=2", []
        while path:
            page = arm(postern, "GET", path, version=None if "api-version" in path else VERSION)
            assert page.status == 200, page
            assert len(page.json()["value"]) <= 2
            found += [v["name"] for v in page.json()["value"]]
            link = page.json().get("nextLink")
            path = link[len(postern.control):] if link else None
        assert names <= set(found) and len(found) == len(set(found))


def test_names_are_checked(postern):
    assert check_name(postern, "local")["reason"] == "AlreadyExists"
    assert check_name(postern, "1bad")["reason"] == "AccountNameInvalid"
    assert check_name(postern, "kv" + uuid.uuid4().hex[:8]) == {"nameAvailable": True}


def test_two_groups_never_get_vaults_of_one_name(postern):
    """What is in a vault is kept by its name: whoever had the second would be in the first."""
    other = f"{postern.subscription}/resourceGroups/" + service.unique("other")
    assert arm(postern, "PUT", other, {"location": "local"}, version="2021-04-01").status == 201
    scopes = [postern.group, other]
    sessions = [web.Session(postern.control, postern.ca_file, keep=True) for _ in range(4)]
    token = postern.token()

    def make_one(i, name):
        return arm(postern, "PUT", f"{scopes[i % 2]}/providers/Microsoft.KeyVault/vaults/{name}",
                   body(postern), session=sessions[i], token=token)

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        for _ in range(15):
            name = "kv" + uuid.uuid4().hex[:10]
            answers = list(pool.map(lambda i, n=name: make_one(i, n), range(4)))
            found = [s for s in scopes if arm(
                postern, "GET", f"{s}/providers/Microsoft.KeyVault/vaults/{name}").status == 200]
            assert len(found) == 1, answers
            assert sorted({a.status for a in answers})[0] in (200, 201)
            assert {a.status for i, a in enumerate(answers) if scopes[i % 2] != found[0]} == {409}
    for session in sessions:
        session.close()


def test_the_model_of_permissions_is_one_or_the_other(postern):
    """Policies and roles never add up, and a change of the model is obeyed at once."""
    name = make(postern)
    where, scope = origin(postern, name), vault_id(postern, name)
    postern.vault("PUT", "/secrets/s", {"value": "v"}, origin=where)
    by_policy, by_role = people.Application(postern), people.Application(postern)
    arm(postern, "PUT", scope + "/accessPolicies/add", {"properties": {"accessPolicies": [
        policy(postern, by_policy.object_id, secrets=["Get"])]}})
    by_role.assign("Key Vault Secrets User", scope)

    def statuses():
        return [app.vault("GET", "/secrets/s/", origin=where).status
                for app in (by_policy, by_role)]

    assert statuses() == [200, 403]
    manager = people.Application(postern)
    manager.assign("Key Vault Contributor", postern.group)
    change = {"properties": {"enableRbacAuthorization": True}}
    assert manager.arm("PATCH", scope, change, version=VERSION).status == 403, \
        "who changes the model gives rights"
    assert arm(postern, "PATCH", scope, change).status == 200
    assert statuses() == [403, 200]
    refused = by_policy.vault("GET", "/secrets/s/", origin=where).json()["error"]
    assert refused["innererror"]["code"] == "ForbiddenByRbac"
    assert f"oid={by_policy.object_id}" in refused["message"]
    arm(postern, "PATCH", scope, {"properties": {"enableRbacAuthorization": False}})
    assert statuses() == [200, 403]


def test_new_vaults_ask_for_roles_from_the_newest_version_on(postern):
    old, new = make(postern), make(postern, version="2026-02-01")
    explicit = make(postern, version="2026-02-01", enableRbacAuthorization=False)
    models = [arm(postern, "GET", vault_id(postern, n)).json()["properties"][
        "enableRbacAuthorization"] for n in (old, new, explicit)]
    assert models == [False, True, False]


def test_a_vault_survives_a_kill_in_its_middle_of_life(own_postern):
    postern = own_postern
    name = make(postern)
    postern.vault("PUT", "/secrets/s", {"value": "v"}, origin=origin(postern, name))
    arm(postern, "DELETE", vault_id(postern, name))
    postern.kill()
    postern.start()
    assert arm(postern, "GET", deleted(postern, name)).status == 200
    assert arm(postern, "PUT", vault_id(postern, name),
               body(postern, createMode="recover")).status in (200, 201)
    postern.kill()
    postern.start()
    answer = service.wait_for("vault", lambda: postern.vault("GET", "/secrets/s/",
                                                             origin=origin(postern, name)))
    assert answer.json()["value"] == "v"
