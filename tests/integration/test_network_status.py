# SPDX-License-Identifier: Apache-2.0
"""…/networkstatus tells for each vault whether it can be reached, and which layer fails."""
import uuid

import pytest
from lab import people, service


@pytest.fixture(scope="module")
def vault(postern, ca):
    class Vault:
        name = "kv" + uuid.uuid4().hex[:10]
        id = f"{postern.group}/providers/Microsoft.KeyVault/vaults/{name}"
        origin = postern.vault_audience.replace("//vault.", f"//{name}.vault.")
        certificate = service.unique("net")

        def set(self, permissions, **properties):
            admin = people.graph(postern, "GET", f"(appId='{postern.client_id}')").json()["id"]
            system = postern.arm("GET", "").json()["identity"].get("principalId") or self.system
            self.system = system
            answer = postern.arm("PUT", self.id, {"location": "local", "properties": dict({
                "tenantId": postern.tenant, "sku": {"family": "A", "name": "standard"},
                "accessPolicies": [{"tenantId": postern.tenant, "objectId": admin,
                                    "permissions": {"certificates": ["all"]}},
                                   {"tenantId": postern.tenant, "objectId": system,
                                    "permissions": {"secrets": permissions}}]},
                **properties)}, version="2022-07-01")
            assert answer.status in (200, 201), answer

        def entry(self):
            shown = postern.arm("GET", "/networkstatus")
            assert shown.status == 200, shown
            assert len(shown.json()) == 1 and shown.json()[0]["location"] == "local"
            found = [e for e in shown.json()[0]["networkStatus"]["connectivityStatus"]
                     if e["name"] == self.origin]
            assert len(found) == 1
            return found[0]

        def wait_for(self, status):
            """A fetch that was under way may still end as before: look until it is so."""
            def look():
                self.refresh()
                entry = self.entry()
                return entry if entry["status"] == status else None
            return service.wait_for(status, look, pause_s=0.1)

        def refresh(self):
            postern.arm("POST", f"/certificates/{self.certificate}/refreshSecret")
            return postern.arm("GET", f"/certificates/{self.certificate}").json()[
                "properties"]["keyVault"]["lastStatus"]

    made = Vault()
    made.set(["get", "list"])
    assert postern.vault("POST", "/certificates/c/import", {
        "value": ca.client("net").pfx_base64("p"), "pwd": "p"}, origin=made.origin).status == 200
    postern.put(f"/certificates/{made.certificate}", {
        "keyVault": {"secretIdentifier": f"{made.origin}/secrets/c"}})
    yield made
    postern.delete(f"/certificates/{made.certificate}")


def test_a_vault_that_answers(vault):
    entry = vault.entry()
    assert entry["status"] == "success" and entry["error"] == ""
    assert entry["isOptional"] is False and entry["lastUpdated"].endswith("Z")
    assert "postern" not in entry


@pytest.mark.parametrize("layer, code", [("role", "VaultForbidden"),
                                         ("firewall", "VaultForbidden")])
def test_the_failing_layer_is_named(vault, layer, code):
    if layer == "role":
        vault.set([])
    else:
        vault.set(["get", "list"], networkAcls={"defaultAction": "Deny", "bypass": "None"})
    entry = vault.wait_for("failure")
    last = vault.refresh()
    assert last["code"] == code and entry["error"] == last["message"]
    assert entry["postern"] == {"layer": layer, "code": code, "certificate": vault.certificate}
    vault.set(["get", "list"])
    vault.wait_for("success")


def test_a_service_without_its_identity(postern, vault):
    postern.arm("PATCH", "", {"identity": {"type": "None"}})
    try:
        assert vault.wait_for("failure")["postern"] == {
            "layer": "identity", "code": "IdentityNotEnabled", "certificate": vault.certificate}
    finally:
        postern.arm("PATCH", "", {"identity": {"type": "SystemAssigned"}})
    vault.wait_for("success")


def test_the_status_of_one_location(postern, vault):
    whole = postern.arm("GET", "/networkstatus").json()[0]["networkStatus"]
    assert postern.arm("GET", "/locations/local/networkstatus").json() == whole
    assert postern.arm("GET", "/locations/mars/networkstatus").status == 404
