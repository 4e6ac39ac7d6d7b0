# SPDX-License-Identifier: Apache-2.0
"""What docs/operating.md promises of az: login, rest, resource, group, identity, keyvault."""
import json
import uuid

import pytest
from conftest import Az


def name(stem):
    return stem + uuid.uuid4().hex[:8]


# --- login ---

def test_a_cloud_is_registered_by_its_address_alone(postern, tmp_path):
    alone = Az(postern, tmp_path)
    alone("cloud", "register", "-n", "Local", "--endpoint-resource-manager", postern.control)
    shown = alone("cloud", "show", "-n", "Local")["endpoints"]
    assert shown["activeDirectory"].rstrip("/") == postern.control + "/adfs"
    alone("cloud", "set", "-n", "Local")
    account = alone("login", "--service-principal", "-u", postern.client_id, "-p",
                    postern.client_secret, "--tenant", postern.tenant)[0]
    assert account["id"] == postern.subscription.rsplit("/", 1)[-1]


def test_login_shows_the_subscription(az, postern):
    account = az("account", "show")
    assert account["id"] == postern.subscription.rsplit("/", 1)[-1]
    assert account["environmentName"] == "Postern"
    assert account["user"] == {"name": postern.client_id, "type": "servicePrincipal"}
    assert len(az("account", "get-access-token")["accessToken"].split(".")) == 3


def test_a_wrong_secret_is_refused(fresh, postern):
    words = fresh.refused("login", "--service-principal", "-u", postern.client_id, "-p", "wrong",
                          "--tenant", postern.tenant)
    assert "AADSTS7000215" in words and "wrong" not in words.replace("went wrong", ""), words


# --- rest and resource ---

def test_rest(az, postern):
    service = postern.service_id
    shown = az("rest", "--method", "get", "--url", f"{service}?api-version=2022-08-01")
    assert shown["type"] == "Microsoft.ApiManagement/service"
    url = f"{postern.control}{service}/backends/{name('az')}?api-version=2022-08-01"
    made = az("rest", "--method", "put", "--url", url, "--body", json.dumps(
        {"properties": {"url": "https://backend.test", "protocol": "http"}}))
    assert made["properties"]["url"] == "https://backend.test"
    az("rest", "--method", "delete", "--url", url, "--headers", "If-Match=*")
    words = az.refused("rest", "--method", "get", "--url", url)
    assert "ResourceNotFound" in words


def test_rest_of_the_vault(az, postern):
    url = f"{postern.vault_url}/secrets/{name('az')}?api-version=7.4"
    made = az("rest", "--method", "put", "--url", url, "--resource", postern.vault_audience, "--body",
              '{"value": "s3cret"}')
    assert made["value"] == "s3cret"
    assert az("rest", "--method", "get", "--url", url, "--resource",
              postern.vault_audience)["id"] == made["id"]


def test_resource(az, postern):
    group = f"{postern.group}/providers/Microsoft.Network/networkSecurityGroups/{name('az')}"
    rule = {"name": "vault", "properties": {
        "priority": 100, "direction": "Outbound", "access": "Allow", "protocol": "Tcp",
        "sourceAddressPrefix": "*", "sourcePortRange": "*",
        "destinationAddressPrefix": "AzureKeyVault", "destinationPortRange": "443"}}
    made = az("resource", "create", "--id", group, "--api-version", "2023-04-01", "--properties",
              json.dumps({"securityRules": [rule]}))
    assert made["properties"]["securityRules"][0]["name"] == "vault"
    assert az("resource", "show", "--ids", group, "--api-version", "2023-04-01")["id"] == group
    az("resource", "delete", "--ids", group, "--api-version", "2023-04-01")
    assert "NotFound" in az.refused("resource", "show", "--ids", group, "--api-version",
                                    "2023-04-01")
    listed = az("resource", "list", "--resource-type", "Microsoft.KeyVault/vaults")
    assert "local" in [r["name"] for r in listed]


def test_groups(az, postern):
    group = name("rg")
    assert az("group", "create", "-n", group, "-l", "local")["properties"][
        "provisioningState"] == "Succeeded"
    assert {g["name"] for g in az("group", "list")} >= {group, "postern"}
    assert az("group", "show", "-n", group)["name"] == group


# --- identities ---

def test_identity(az):
    identity = name("id")
    made = az("identity", "create", "-g", "postern", "-n", identity, "-l", "local")
    shown = az("identity", "show", "-g", "postern", "-n", identity)
    assert shown["clientId"] == made["clientId"] and uuid.UUID(shown["principalId"])
    assert identity in [i["name"] for i in az("identity", "list", "-g", "postern")]
    credential = az("identity", "federated-credential", "create", "-g", "postern", "--identity-name",
                    identity, "-n", "github", "--issuer", "https://issuer.test", "--subject", "repo:a",
                    "--audiences", "api://AzureADTokenExchange")
    assert credential["subject"] == "repo:a"
    assert len(az("identity", "federated-credential", "list", "-g", "postern", "--identity-name",
                  identity)) == 1
    az("identity", "delete", "-g", "postern", "-n", identity)
    assert "NotFound" in az.refused("identity", "show", "-g", "postern", "-n", identity)


# --- key vaults ---

@pytest.fixture(scope="module")
def vault(az):
    made = az("keyvault", "create", "-g", "postern", "-n", name("az"), "-l", "local")
    yield made
    az.run("keyvault", "delete", "-g", "postern", "-n", made["name"])


def test_a_vault_is_made_for_its_maker(az, vault):
    policies = vault["properties"]["accessPolicies"]
    assert len(policies) == 1 and policies[0]["permissions"]["secrets"] == ["all"]
    assert az("keyvault", "show", "-n", vault["name"])["id"] == vault["id"], "found without a group"
    assert vault["name"] in [v["name"] for v in az("keyvault", "list")]


def test_set_policy_and_delete_policy(az, postern, vault):
    identity = az("identity", "create", "-g", "postern", "-n", name("id"), "-l", "local")
    changed = az("keyvault", "set-policy", "-g", "postern", "-n", vault["name"], "--object-id",
                 identity["principalId"], "--secret-permissions", "get", "list")
    mine = [p for p in changed["properties"]["accessPolicies"]
            if p["objectId"] == identity["principalId"]]
    assert [sorted(p.lower() for p in q["permissions"]["secrets"]) for q in mine] == [["get", "list"]]
    by_name = az("keyvault", "set-policy", "-n", vault["name"], "--spn", postern.client_id,
                 "--certificate-permissions", "get", "import")
    assert len(by_name["properties"]["accessPolicies"]) == 2, "the maker's own policy was changed"
    changed = az("keyvault", "delete-policy", "-g", "postern", "-n", vault["name"], "--object-id",
                 identity["principalId"])
    assert len(changed["properties"]["accessPolicies"]) == 1


def test_network_rules(az, postern, vault):
    az("keyvault", "network-rule", "add", "-g", "postern", "-n", vault["name"], "--ip-address",
       "192.0.2.0/24")
    az("keyvault", "update", "-g", "postern", "-n", vault["name"], "--default-action", "Deny",
       "--bypass", "None")
    rules = az("keyvault", "network-rule", "list", "-g", "postern", "-n", vault["name"])
    assert [r["value"] for r in rules["ipRules"]] == ["192.0.2.0/24"]
    origin = postern.vault_audience.replace("//vault.", f"//{vault['name']}.vault.")
    words = az.refused("rest", "--method", "get", "--url", origin + "/secrets?api-version=7.4",
                       "--resource", postern.vault_audience)
    assert "ForbiddenByFirewall" in words
    az("keyvault", "network-rule", "remove", "-g", "postern", "-n", vault["name"], "--ip-address",
       "192.0.2.0/24")
    az("keyvault", "update", "-g", "postern", "-n", vault["name"], "--default-action", "Allow")
    assert az("rest", "--method", "get", "--url", origin + "/secrets?api-version=7.4", "--resource",
              postern.vault_audience)["value"] == []


def test_a_vault_with_roles(az):
    made = az("keyvault", "create", "-g", "postern", "-n", name("az"), "-l", "local",
              "--enable-rbac-authorization", "true", "--retention-days", "7")
    assert made["properties"]["enableRbacAuthorization"] is True
    assert made["properties"]["softDeleteRetentionInDays"] == 7
    az("keyvault", "delete", "-n", made["name"])


def test_delete_recover_purge(az):
    made = az("keyvault", "create", "-g", "postern", "-n", name("az"), "-l", "local",
              "--no-self-perms")
    assert made["properties"]["accessPolicies"] == []
    az("keyvault", "delete", "-g", "postern", "-n", made["name"])
    deleted = az("keyvault", "show-deleted", "-n", made["name"])
    assert deleted["properties"]["vaultId"] == made["id"]
    assert made["name"] in [v["name"] for v in az("keyvault", "list-deleted")]
    az("keyvault", "recover", "-n", made["name"])
    assert az("keyvault", "show", "-n", made["name"])["id"] == made["id"]
    az("keyvault", "delete", "-n", made["name"])
    az("keyvault", "purge", "-n", made["name"])
    az.refused("keyvault", "show-deleted", "-n", made["name"])


# --- API Management ---

def test_apim(az, postern):
    shown = az("apim", "show", "-g", "postern", "-n", "postern")
    assert shown["id"] == postern.service_id
    assert az("apim", "check-name", "-n", "postern")["nameAvailable"] is False
    api = name("api")
    made = az("apim", "api", "create", "-g", "postern", "-n", "postern", "--api-id", api, "--path",
              api, "--display-name", api, "--service-url", "https://backend.test", "--protocols",
              "https")
    assert made["path"] == api
    assert api in [a["name"] for a in az("apim", "api", "list", "-g", "postern", "-n", "postern")]
    az("apim", "api", "delete", "-g", "postern", "-n", "postern", "--api-id", api, "-y")


def test_apim_products(az, postern):
    """`az apim product create` and `update` of this version cannot send anything; these can."""
    product, api = name("azp"), name("aza")
    at = ("-g", "postern", "-n", "postern")
    of = (*at, "--product-id", product)
    postern.put(f"/products/{product}", {"displayName": product})
    postern.make_api(api, "https://localhost:1", operations=False)
    assert az("apim", "product", "show", *of)["displayName"] == product
    assert product in [p["name"] for p in az("apim", "product", "list", *at)]
    az("apim", "product", "api", "add", *of, "--api-id", api)
    az("apim", "product", "api", "check", *of, "--api-id", api)
    assert [a["name"] for a in az("apim", "product", "api", "list", *of)] == [api]
    az("apim", "product", "api", "delete", *of, "--api-id", api)
    assert az("apim", "product", "api", "list", *of) == []
    postern.delete(f"/products/{product}")
