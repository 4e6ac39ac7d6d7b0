# SPDX-License-Identifier: Apache-2.0
"""A key vault certificate whose vault refuses the service: the answer says what is lacking, and the
command line gives exactly that on consent."""
import json
import os
import pty
import subprocess
import uuid

import pytest
from lab import people, service


class Vault:
    def __init__(self, postern, ca, by_role):
        self.postern, self.by_role = postern, by_role
        self.name = "kv" + uuid.uuid4().hex[:10]
        self.id = f"{postern.group}/providers/Microsoft.KeyVault/vaults/{self.name}"
        self.origin = postern.vault_audience.replace("//vault.", f"//{self.name}.vault.")
        admin = people.graph(postern, "GET", f"(appId='{postern.client_id}')").json()["id"]
        self.service = postern.arm("GET", "").json()["identity"]["principalId"]
        policies = [] if by_role else [{"tenantId": postern.tenant, "objectId": admin,
                                        "permissions": {"certificates": ["all"]}}]
        made = postern.arm("PUT", self.id, {"location": "local", "properties": {
            "tenantId": postern.tenant, "sku": {"family": "A", "name": "standard"},
            "enableRbacAuthorization": by_role, "accessPolicies": policies}}, version="2022-07-01")
        assert made.status == 201, made
        if by_role:
            people.assign(postern, admin, "Key Vault Certificates Officer", self.id)
        imported = postern.vault("POST", "/certificates/c/import", {
            "value": ca.client(self.name).pfx_base64("p"), "pwd": "p"}, origin=self.origin)
        assert imported.status == 200, imported
        self.secret = f"{self.origin}/secrets/c"

    def granted(self):
        """What the service's identity has in the vault now."""
        if self.by_role:
            found = self.postern.arm(
                "GET", f"{self.id}/providers/Microsoft.Authorization/roleAssignments?$filter="
                f"principalId%20eq%20%27{self.service}%27", version="2022-04-01").json()["value"]
            return [a["properties"]["roleDefinitionId"].rsplit("/", 1)[1] for a in found
                    if a["properties"]["scope"] == self.id]
        policies = self.postern.arm("GET", self.id, version="2022-07-01").json()[
            "properties"]["accessPolicies"]
        return [p["permissions"] for p in policies if p["objectId"] == self.service]

    def expected(self):
        return [people.ROLES["Key Vault Secrets User"]] if self.by_role else [
            {"secrets": ["get", "list"]}]


@pytest.fixture(params=[False, True], ids=["policies", "roles"])
def vault(request, postern, ca):
    return Vault(postern, ca, request.param)


def cli(postern, *arguments, expect=0):
    done = subprocess.run([service.BIN / "postern", *map(str, arguments), "--data", postern.data],
                          capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL)
    assert done.returncode == expect, (arguments, done.stdout, done.stderr)
    return done


def test_the_answer_says_what_is_lacking(postern, vault):
    answer = postern.arm("PUT", "/certificates/" + service.unique("grant"), {
        "properties": {"keyVault": {"secretIdentifier": vault.secret}}})
    assert answer.status == 400, answer
    inner = answer.json()["error"]["details"][0]["innererror"]
    assert inner == {"code": "VaultForbidden", "principalId": vault.service, "vaultId": vault.id,
                     "tenantId": postern.tenant,
                     "permissionModel": "Rbac" if vault.by_role else "AccessPolicy",
                     "reason": "ForbiddenByRbac" if vault.by_role else "ForbiddenByPolicy"}


def test_without_consent_nothing_is_given(postern, vault):
    done = cli(postern, "certificate", "add", service.unique("grant"), "--vault-secret",
               vault.secret, expect=1)
    assert vault.service in done.stderr and "--grant" in done.stderr
    assert vault.granted() == []


def test_grant_gives_exactly_what_is_needed(postern, vault):
    name = service.unique("grant")
    done = cli(postern, "certificate", "add", name, "--vault-secret", vault.secret, "--grant",
               "--output", "json")
    assert json.loads(done.stdout)["properties"]["keyVault"]["lastStatus"]["code"] == "Success"
    assert vault.granted() == vault.expected()
    postern.delete(f"/certificates/{name}")


@pytest.mark.parametrize("word, code", [("n", 1), ("y", 0)])
def test_a_person_is_asked(postern, vault, word, code):
    name = service.unique("grant")
    ours, theirs = pty.openpty()
    process = subprocess.Popen([service.BIN / "postern", "certificate", "add", name,
                                "--vault-secret", vault.secret, "--data", postern.data],
                               stdin=theirs, stderr=theirs, stdout=subprocess.PIPE)
    os.close(theirs)
    seen = b""
    while b"[y/N]" not in seen:
        seen += os.read(ours, 4096)
    assert vault.granted() == []
    os.write(ours, word.encode() + b"\n")
    process.communicate(timeout=60)
    os.close(ours)
    assert process.returncode == code
    assert vault.granted() == (vault.expected() if code == 0 else [])


def test_a_firewall_is_not_met_with_a_grant(postern, vault):
    postern.arm("PATCH", vault.id, {"properties": {
        "networkAcls": {"bypass": "None", "defaultAction": "Deny"}}}, version="2022-07-01")
    done = cli(postern, "certificate", "add", service.unique("grant"), "--vault-secret",
               vault.secret, "--grant", expect=1)
    assert "ForbiddenByFirewall" in done.stderr
    assert vault.granted() == []
