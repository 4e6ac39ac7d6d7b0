# SPDX-License-Identifier: Apache-2.0
"""Role definitions and assignments at every scope, and that the management APIs obey them."""
import json
import subprocess
import urllib.parse
import uuid

import pytest
from lab import people, service

AUTHORIZATION = "/providers/Microsoft.Authorization"


def listed(postern, scope, flt=None, token=None):
    path = f"{scope}{AUTHORIZATION}/roleAssignments"
    if flt:
        path += "?$filter=" + urllib.parse.quote(flt)
    answer = postern.arm("GET", path, version="2022-04-01", token=token)
    assert answer.status == 200, answer
    return answer.json()["value"]


@pytest.fixture(scope="module")
def vault_id(postern):
    return f"{postern.group}/providers/Microsoft.KeyVault/vaults/local"


# definitions

@pytest.mark.parametrize("role", sorted(people.ROLES))
def test_built_in_roles_are_found_by_name_and_by_id(postern, vault_id, role):
    flt = urllib.parse.quote(f"roleName eq '{role}'")
    found = postern.arm("GET", f"{vault_id}{AUTHORIZATION}/roleDefinitions?$filter={flt}",
                        version="2018-01-01-preview").json()["value"]
    assert [r["name"] for r in found] == [people.ROLES[role]]
    assert found[0]["properties"]["roleName"] == role
    assert found[0]["properties"]["type"] == "BuiltInRole"
    permission = found[0]["properties"]["permissions"][0]
    assert set(permission) == {"actions", "notActions", "dataActions", "notDataActions"}
    one = postern.arm("GET", found[0]["id"], version="2022-04-01")
    assert one.status == 200 and one.json() == found[0]


def test_unknown_roles_and_filters_are_refused(postern):
    path = f"{postern.subscription}{AUTHORIZATION}/roleDefinitions"
    assert postern.arm("GET", f"{path}/{uuid.uuid4()}").status == 404
    assert postern.arm("GET", f"{path}?$filter=color%20eq%20%27red%27").status == 400
    assert postern.arm("PUT", f"{path}/{uuid.uuid4()}", {"properties": {}}).status == 400
    assert len(postern.arm("GET", path).json()["value"]) > 20


# assignments

def scopes(postern, vault_id):
    api = f"{postern.service_id}/apis/roles-api"
    return {"subscription": postern.subscription, "group": postern.group,
            "service": postern.service_id, "child": api, "grandchild": f"{api}/operations/get",
            "vault": vault_id, "secret": f"{vault_id}/secrets/s1"}


@pytest.mark.parametrize("name", ["subscription", "group", "service", "child", "grandchild",
                                  "vault", "secret"])
def test_an_assignment_lives_at_its_scope(postern, vault_id, name):
    app = people.Application(postern)
    scope = scopes(postern, vault_id)[name]
    made = people.assign(postern, app.object_id, "Reader", scope)
    assert made.status == 201, made
    body = made.json()
    assert body["type"] == "Microsoft.Authorization/roleAssignments"
    assert body["properties"]["scope"] == scope
    assert body["properties"]["principalId"] == app.object_id
    assert body["properties"]["principalType"] == "ServicePrincipal"
    assert body["properties"]["roleDefinitionId"].endswith(people.ROLES["Reader"])
    assert postern.arm("GET", body["id"], version="2022-04-01").json() == body
    again = people.assign(postern, app.object_id, "Reader", scope, name=body["name"])
    assert again.status == 200, again
    gone = postern.arm("DELETE", body["id"], version="2022-04-01")
    assert gone.status == 200 and gone.json()["id"] == body["id"]
    assert postern.arm("DELETE", body["id"], version="2022-04-01").status == 204
    assert postern.arm("GET", body["id"], version="2022-04-01").status == 404


@pytest.mark.parametrize("spoil, code", [
    ({"roleDefinitionId": "nothing"}, "RoleDefinitionDoesNotExist"),
    ({"principalId": "nobody"}, "InvalidPrincipalId"),
    ({"principalId": str(uuid.uuid4())}, "PrincipalNotFound"),
    ({"principalType": "Robot"}, "InvalidPrincipalType"),
    ({"condition": "@Resource[x] StringEquals 'y'"}, "InvalidRoleAssignmentCondition")],
    ids=["role", "principal-form", "unknown-principal", "type", "condition"])
def test_a_bad_assignment_is_400(postern, spoil, code):
    app = people.Application(postern)
    body = {"roleDefinitionId": f"{postern.subscription}{AUTHORIZATION}/roleDefinitions/"
            + people.ROLES["Reader"], "principalId": app.object_id}
    body.update(spoil)
    answer = postern.arm("PUT", people.assignment_path(postern.group), {"properties": body})
    assert answer.status == 400, answer
    assert answer.json()["error"]["code"] == code


def test_a_principal_of_another_directory_needs_its_type(postern):
    stranger = str(uuid.uuid4())
    made = people.assign(postern, stranger, "Reader", postern.group, principalType="User")
    assert made.status == 201 and made.json()["properties"]["principalType"] == "User"
    postern.arm("DELETE", made.json()["id"])


@pytest.mark.parametrize("scope, status, code", [
    ("/subscriptions/00000000-0000-0000-0000-000000000001", 403, "AuthorizationFailed"),
    ("{sub}/resourceGroups/nowhere", 404, "ResourceGroupNotFound"),
    ("{sub}/odd/thing", 400, "InvalidScope"),
    ("{group}/providers/Microsoft.KeyVault/vaults/nowhere", 404, "ResourceNotFound")])
def test_a_scope_that_is_not_there_is_refused(postern, scope, status, code):
    scope = scope.format(sub=postern.subscription, group=postern.group)
    answer = people.assign(postern, people.Application(postern).object_id, "Reader", scope)
    assert (answer.status, answer.json()["error"]["code"]) == (status, code), answer


def test_names_and_twins(postern):
    app = people.Application(postern)
    answer = people.assign(postern, app.object_id, "Reader", postern.group, name="not-a-guid")
    assert answer.status == 400 and answer.json()["error"]["code"] == "InvalidRoleAssignmentId"
    first = people.assign(postern, app.object_id, "Reader", postern.group)
    twin = people.assign(postern, app.object_id, "Reader", postern.group)
    assert twin.status == 409 and twin.json()["error"]["code"] == "RoleAssignmentExists"
    assert first.json()["name"] in twin.json()["error"]["message"]
    other = people.assign(postern, app.object_id, "Contributor", postern.group,
                          name=first.json()["name"])
    assert other.status == 409
    assert other.json()["error"]["code"] == "RoleAssignmentUpdateNotPermitted"


def test_lists_show_what_is_at_above_and_below(postern, vault_id):
    app, other = people.Application(postern), people.Application(postern)
    above = app.assign("Reader", postern.subscription)
    at = app.assign("Reader", postern.group)
    below = app.assign("Reader", vault_id)
    others = other.assign("Reader", postern.group)

    def ids(scope, flt):
        return {a["id"] for a in listed(postern, scope, flt)}

    everything = ids(postern.group, None)
    assert {above, at, below, others} <= everything
    at_scope = ids(postern.group, "atScope()")
    assert {above, at, others} <= at_scope and below not in at_scope
    assert ids(postern.group, f"principalId eq '{app.object_id}'") == {above, at, below}
    assert ids(postern.group, f"atScope() and assignedTo('{app.object_id}')") == {above, at}
    assert ids(vault_id, f"assignedTo('{app.object_id}')") == {above, at, below}
    assert postern.arm("GET", f"{postern.group}{AUTHORIZATION}/roleAssignments?$filter=x"
                       ).status == 400


# what roles do

def test_without_a_role_nothing_is_shown(postern):
    app = people.Application(postern)
    answer = app.arm("GET", "")
    assert answer.status == 403
    error = answer.json()["error"]
    assert error["code"] == "AuthorizationFailed"
    assert error["message"] == (
        f"The client '{app.client_id}' with object id '{app.object_id}' does not have "
        "authorization to perform action 'Microsoft.ApiManagement/service/read' over scope "
        f"'{postern.service_id}' or the scope is invalid. If access was recently granted, please "
        "refresh your credentials.")
    subscriptions = app.arm("GET", "/subscriptions", version="2022-12-01").json()["value"]
    assert subscriptions == []


# role, then calls (method, path, body) that it allows, and that it does not
APIM_READS = [("GET", ""), ("GET", "/apis"), ("GET", "/certificates"), ("GET", "/backends")]
APIM_WRITES = [("PUT", "/backends/roles-{n}", {"properties": {"url": "http://x", "protocol":
                                                             "http"}}),
               ("DELETE", "/backends/roles-{n}")]
VAULT_READS = [("GET", "{vault}")]
VAULT_WRITES = [("PATCH", "{vault}", {"tags": {"roles": "x"}})]
ROLE_READS = [("GET", "{group}/providers/Microsoft.Authorization/roleAssignments")]


@pytest.mark.parametrize("role, allowed, denied", [
    ("Owner", APIM_READS + APIM_WRITES + VAULT_READS + VAULT_WRITES + ROLE_READS, []),
    ("Contributor", APIM_READS + APIM_WRITES + VAULT_READS + VAULT_WRITES + ROLE_READS, []),
    ("Reader", APIM_READS + VAULT_READS + ROLE_READS, APIM_WRITES + VAULT_WRITES),
    ("API Management Service Contributor", APIM_READS + APIM_WRITES + ROLE_READS,
     VAULT_READS + VAULT_WRITES),
    ("API Management Service Reader Role", APIM_READS + ROLE_READS, APIM_WRITES + VAULT_READS),
    ("Key Vault Contributor", VAULT_READS + VAULT_WRITES + ROLE_READS, APIM_READS + APIM_WRITES),
    ("Key Vault Reader", VAULT_READS + ROLE_READS, APIM_READS + VAULT_WRITES),
    ("Key Vault Secrets User", [], APIM_READS + VAULT_READS + VAULT_WRITES + ROLE_READS)])
@pytest.mark.parametrize("inherited", [True, False], ids=["subscription", "group"])
def test_management_obeys_the_role(postern, vault_id, role, allowed, denied, inherited):
    app = people.Application(postern)
    app.assign(role, postern.subscription if inherited else postern.group)
    number = service.unique("b")

    def run(call):
        path = call[1].format(n=number, vault=vault_id, group=postern.group)
        return app.arm(call[0], path, call[2] if len(call) > 2 else None)

    for call in allowed:
        answer = run(call)
        assert answer.status in (200, 201, 204), (role, call, answer)
    for call in denied:
        answer = run(call)
        assert answer.status == 403, (role, call, answer)
        assert answer.json()["error"]["code"] == "AuthorizationFailed"


def test_a_role_at_a_child_reaches_no_further(postern):
    name = service.unique("child")
    postern.make_api(name, "http://127.0.0.1:1")
    postern.make_api(name + "-other", "http://127.0.0.1:1")
    app = people.Application(postern)
    given = app.assign("API Management Service Contributor", f"{postern.service_id}/apis/{name}")
    assert app.arm("GET", f"/apis/{name}").status == 200
    assert app.arm("GET", f"/apis/{name}/operations/get").status == 200
    assert app.arm("PATCH", f"/apis/{name}", {"properties": {"displayName": "x"}},
                   headers={"If-Match": "*"}).status == 200
    for path in (f"/apis/{name}-other", "/apis", "", "/certificates"):
        assert app.arm("GET", path).status == 403, path
    assert postern.arm("DELETE", given).status == 200
    assert app.arm("GET", f"/apis/{name}").status == 403, "taken away, and obeyed at once"


def test_only_who_may_write_roles_gives_them(postern, vault_id):
    app, friend = people.Application(postern), people.Application(postern)

    def gives(role, scope):
        return people.assign(postern, friend.object_id, role, scope, token=app.token()).status

    app.assign("Contributor", postern.group)
    assert gives("Reader", postern.group) == 403
    given = app.assign("User Access Administrator", postern.group)
    assert gives("Reader", postern.group) == 201
    assert gives("Reader", postern.subscription) == 403, "above one's own scope"
    postern.arm("DELETE", given)
    app.assign("Key Vault Data Access Administrator", vault_id)
    assert gives("Key Vault Secrets User", vault_id) == 201
    assert gives("Owner", vault_id) == 403, "only roles of the data plane"
    mine = listed(postern, vault_id, f"principalId eq '{friend.object_id}'")
    ours = [a for a in mine if a["properties"]["scope"] == vault_id]
    assert app.arm("DELETE", ours[0]["id"], version="2022-04-01").status == 200
    owners = friend.assign("Owner", vault_id)
    assert app.arm("DELETE", owners, version="2022-04-01").status == 403


def test_permissions_tell_what_the_caller_may(postern):
    app = people.Application(postern)
    path = f"{postern.group}{AUTHORIZATION}/permissions"
    assert app.arm("GET", path).json()["value"] == []
    app.assign("Reader", postern.subscription)
    assert app.arm("GET", path).json()["value"][0]["actions"] == ["*/read"]


def test_the_last_owner_stays(own_postern):
    postern = own_postern
    owners = [a for a in listed(postern, postern.subscription, "atScope()")
              if a["properties"]["roleDefinitionId"].endswith(people.ROLES["Owner"])]
    assert len(owners) == 1
    gone = people.Application(postern)
    gone.assign("Owner", postern.subscription)
    assert people.graph(postern, "DELETE", f"(appId='{gone.client_id}')").status == 204
    refused = postern.arm("DELETE", owners[0]["id"])
    assert refused.status == 409, "an owner that does not exist any more does not count"
    assert refused.json()["error"]["code"] == "CannotDeleteLastRbacAdminAssignment"
    assert "last RBAC admin assignment" in refused.json()["error"]["message"]
    admin = people.graph(postern, "GET", f"(appId='{postern.client_id}')").json()
    only = admin["passwordCredentials"][0]["keyId"]
    for method, path, body in (("DELETE", "", None), ("POST", "/removePassword", {"keyId": only})):
        answer = people.graph(postern, method, f"(appId='{postern.client_id}'){path}", body)
        assert answer.status == 409, answer
    second = people.Application(postern)
    second.assign("Owner", postern.subscription)
    assert postern.arm("DELETE", owners[0]["id"]).status == 200
    assert postern.arm("GET", "").status == 403
    assert second.arm("GET", "").status == 200
    postern.stop()
    postern.start()
    assert second.arm("GET", "").status == 200, "roles survive a restart"


def test_application_secrets_are_added_rotated_and_end(postern):
    app = people.Application(postern, "rotating")
    where = f"(appId='{app.client_id}')"
    second = people.graph(postern, "POST", where + "/addPassword", {
        "passwordCredential": {"displayName": "new", "endDateTime": "2099-01-01T00:00:00Z"}})
    assert second.status == 200, second
    assert second.json()["endDateTime"].startswith("2099-01-01")
    shown = people.graph(postern, "GET", where).json()["passwordCredentials"]
    assert len(shown) == 2 and all("secretText" not in p for p in shown)
    assert second.json()["secretText"] not in str(shown)
    assert postern.ask_token(postern.control, app.client_id,
                             second.json()["secretText"]).status == 200
    assert people.graph(postern, "POST", where + "/removePassword",
                        {"keyId": shown[0]["keyId"]}).status == 204
    assert postern.ask_token(postern.control, app.client_id, app.secret).status == 401
    assert people.graph(postern, "POST", where + "/addPassword", {
        "passwordCredential": {"endDateTime": "2001-01-01T00:00:00Z"}}).status == 400
    everybody = people.graph(postern, "GET").json()["value"]
    assert app.client_id in {a["appId"] for a in everybody}
    assert people.graph(postern, "DELETE", where).status == 204
    assert people.graph(postern, "GET", where).status == 404
    assert postern.ask_token(postern.control, app.client_id,
                             second.json()["secretText"]).status == 400


def test_the_directory_is_for_owners(postern):
    app = people.Application(postern)
    app.assign("Contributor", postern.subscription)
    for method, path in (("GET", ""), ("POST", ""), ("GET", f"(appId='{app.client_id}')"),
                         ("POST", f"(appId='{postern.client_id}')/addPassword")):
        answer = people.graph(postern, method, path, {"displayName": "x"}, token=app.token())
        assert answer.status == 403, answer


def test_the_command_line_registers_applications_and_gives_roles(postern, tmp_path):
    def cli(*arguments, expect=0):
        done = subprocess.run([service.BIN / "postern", *map(str, arguments), "--data",
                               postern.data], capture_output=True, text=True, timeout=60,
                              stdin=subprocess.DEVNULL)
        assert done.returncode == expect, (arguments, done.stdout, done.stderr)
        return done.stdout

    made = json.loads(cli("identity", "create", "deploy", "--role", "Reader", "--scope", "service",
                          "--valid-days", "90", "--output", "json"))
    client = made["appId"]
    token = postern.ask_token(postern.control, client, made["secretText"]).json()["access_token"]
    assert postern.arm("GET", "", token=token).status == 200
    assert postern.arm("PATCH", "", {"tags": {"x": "y"}}, token=token).status == 403
    assert client in cli("identity", "list")
    assert made["keyId"] in cli("identity", "show", client)
    rotated = json.loads(cli("identity", "rotate-secret", client, "--output", "json"))
    assert postern.ask_token(postern.control, client, made["secretText"]).status == 401
    assert postern.ask_token(postern.control, client, rotated["secretText"]).status == 200
    more = json.loads(cli("identity", "add-secret", client, "--name", "ci", "--output", "json"))
    cli("identity", "remove-credential", client, rotated["keyId"])
    assert postern.ask_token(postern.control, client, rotated["secretText"]).status == 401
    assert postern.ask_token(postern.control, client, more["secretText"]).status == 200
    given = json.loads(cli("role", "assign", made["id"], "Contributor", "--output", "json"))
    listed = cli("role", "list", "--principal", made["id"])
    assert "Contributor" in listed and "Reader" in listed
    assert postern.arm("PATCH", "", {"tags": {"x": "y"}}, token=token).status == 200
    cli("role", "remove", given["id"])
    assert postern.arm("PATCH", "", {"tags": {"x": "z"}}, token=token).status == 403
    assert "Key Vault Secrets User" in cli("role", "definitions")
    cli("role", "assign", made["id"], "King", expect=2)
    cli("identity", "create", "x", "--valid-days", "0", expect=2)
    cli("identity", "delete", client)
    cli("identity", "show", client, expect=1)
