# SPDX-License-Identifier: Apache-2.0
"""The vault's firewall and the subnets it may name, with real addresses of a namespace of the test's own."""
import http.client
import json
import os
import socket
import ssl
import subprocess
import urllib.parse
import uuid

import pytest
from lab import netns, people, service

VERSION = "2022-07-01"
NETWORK = "2023-04-01"

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="makes a network namespace")


@pytest.fixture(scope="module")
def space():
    made = netns.Namespace("10.213.77.1", ["10.213.77.2", "10.213.77.3"])
    yield made
    made.remove()


@pytest.fixture(scope="module")
def house(space, tmp_path_factory, trust):
    """A Postern whose vault listens on the link too."""
    instance = service.Postern(tmp_path_factory.mktemp("firewall"), environment=trust,
                               options=["--vault", f"{space.host}:0"])
    instance.start()
    yield instance
    instance.stop()


class Vault:
    def __init__(self, postern):
        self.postern = postern
        self.name = "kv" + uuid.uuid4().hex[:10]
        self.id = f"{postern.group}/providers/Microsoft.KeyVault/vaults/{self.name}"
        self.admin = people.graph(postern, "GET", f"(appId='{postern.client_id}')").json()["id"]
        self.policies = [self.policy(self.admin)]
        self.set(expect=201)
        self.host = f"{self.name}.vault.localhost"

    def policy(self, object_id):
        return {"tenantId": self.postern.tenant, "objectId": object_id,
                "permissions": {"secrets": ["all"], "certificates": ["all"]}}

    def set(self, expect=200, **properties):
        answer = self.postern.arm("PUT", self.id, {"location": "local", "properties": dict({
            "tenantId": self.postern.tenant, "sku": {"family": "A", "name": "standard"},
            "accessPolicies": self.policies}, **properties)}, version=VERSION)
        assert answer.status == expect, answer
        return answer

    def deny(self, *addresses, expect=200, **more):
        return self.set(expect=expect, networkAcls=dict({
            "defaultAction": "Deny", "bypass": "AzureServices",
            "ipRules": [{"value": a} for a in addresses]}, **more))

    def local(self, path="/secrets", **more):
        origin = f"https://{self.host}:{urllib.parse.urlsplit(self.postern.vault_url).port}"
        return self.postern.vault("GET", path, origin=origin, **more)


class Caller:
    """A kept connection from an address of the namespace."""

    def __init__(self, house, vault, space, source):
        self.vault, self.house = vault, house
        port = next(p for p in self._ports(house, space))
        context = ssl.create_default_context(cafile=house.ca_file)
        raw = space.connect(port, source)
        self.connection = http.client.HTTPSConnection(vault.host, port, timeout=20)
        self.connection.sock = context.wrap_socket(raw, server_hostname=vault.host)
        self.port = port

    @staticmethod
    def _ports(house, space):
        for line in open(f"/proc/{house.pid('supervisor')}/net/tcp").read().splitlines()[1:]:
            local, state = line.split()[1], line.split()[3]
            address = bytes.fromhex(local.split(":")[0])[::-1]
            if state == "0A" and ".".join(map(str, address)) == space.host:
                yield int(local.split(":")[1], 16)

    def get(self, path="/secrets"):
        token = self.house.token(self.house.vault_audience)
        self.connection.request("GET", path + "?api-version=7.4", headers={
            "Host": f"{self.vault.host}:{self.port}", "Authorization": "Bearer " + token})
        answer = self.connection.getresponse()
        return answer.status, json.loads(answer.read() or b"{}")


@needs_root
def test_an_address_is_let_in_and_locked_out_on_a_kept_connection(house, space):
    vault = Vault(house)
    first, second = (Caller(house, vault, space, a) for a in space.inside)
    assert first.get()[0] == 200 and second.get()[0] == 200
    vault.deny("10.213.77.2")
    assert first.get()[0] == 200
    status, body = second.get()
    assert status == 403
    assert body["error"]["code"] == "Forbidden"
    assert body["error"]["innererror"]["code"] == "ForbiddenByFirewall"
    assert body["error"]["message"].startswith(
        "Client address is not authorized and caller is not a trusted service.\r\n"
        "Client address: 10.213.77.3\r\nCaller: appid=" + house.client_id)
    vault.deny("10.213.77.0/24")
    assert first.get()[0] == 200 and second.get()[0] == 200
    vault.deny("10.213.78.0/24")
    assert first.get()[0] == 403 and second.get()[0] == 403, "the same connections, at once"
    assert vault.local().status == 403, "this machine has no privilege"
    vault.set()
    assert first.get()[0] == 200
    vault.set(publicNetworkAccess="Disabled", networkAcls={
        "defaultAction": "Deny", "ipRules": [{"value": "10.213.77.0/24"}]})
    assert first.get()[0] == 403, "rules do not count when public access is disabled"


@needs_root
def test_a_subnet_counts_while_it_has_the_service_endpoint(house, space):
    vault = Vault(house)
    network = f"{house.group}/providers/Microsoft.Network/virtualNetworks/" \
              + service.unique("vnet")
    endpoint = {"serviceEndpoints": [{"service": "Microsoft.KeyVault"}]}

    def subnet(**properties):
        return house.arm("PUT", network + "/subnets/apps", {"properties": dict(
            {"addressPrefix": "10.213.77.2/32"}, **properties)}, version=NETWORK)

    made = house.arm("PUT", network, {"location": "local", "properties": {
        "addressSpace": {"addressPrefixes": ["10.213.77.0/24"]}}}, version=NETWORK)
    assert made.status == 201, made
    assert subnet().status == 201
    rule = {"virtualNetworkRules": [{"id": network + "/subnets/apps"}]}
    refused = vault.deny(expect=400, **rule)
    assert "ServiceEndpoints for Microsoft.KeyVault" in refused.json()["error"]["message"]
    rule["virtualNetworkRules"][0]["ignoreMissingVnetServiceEndpoint"] = True
    vault.deny(**rule)
    first, second = (Caller(house, vault, space, a) for a in space.inside)
    assert first.get()[0] == 403, "a subnet without the service endpoint"
    assert subnet(**endpoint).status == 200
    assert first.get()[0] == 200 and second.get()[0] == 403
    in_use = house.arm("DELETE", network + "/subnets/apps", version=NETWORK)
    assert in_use.status == 409 and vault.id in in_use.json()["error"]["message"]
    assert house.arm("DELETE", network, version=NETWORK).status == 409
    assert subnet().status == 200
    assert first.get()[0] == 403, "obeyed at once"
    vault.set()
    assert house.arm("DELETE", network + "/subnets/apps", version=NETWORK).status == 200
    assert house.arm("DELETE", network, version=NETWORK).status == 200
    unknown = vault.deny(expect=400, **rule)
    assert "was not found" in unknown.json()["error"]["message"]


class Loopback:
    """A kept connection to the shared vault's listener over IPv4 or IPv6."""

    def __init__(self, postern, vault, address, first=b""):
        self.vault, self.postern = vault, postern
        self.port = urllib.parse.urlsplit(postern.vault_url).port
        raw = socket.create_connection((address, self.port), 20)
        raw.sendall(first)
        self.connection = http.client.HTTPSConnection(vault.host, self.port, timeout=20)
        self.connection.sock = ssl.create_default_context(cafile=postern.ca_file).wrap_socket(
            raw, server_hostname=vault.host)

    def status(self, **headers):
        token = self.postern.token(self.postern.vault_audience)
        self.connection.request("GET", "/secrets?api-version=7.4", headers=dict(
            {n.replace("_", "-"): v for n, v in headers.items()},
            Host=f"{self.vault.host}:{self.port}", Authorization="Bearer " + token))
        answer = self.connection.getresponse()
        answer.read()
        return answer.status


def test_both_families_are_told_apart_on_kept_connections(postern):
    vault = Vault(postern)
    four, six = Loopback(postern, vault, "127.0.0.1"), Loopback(postern, vault, "::1")
    for rules, expected in [(["::1"], (403, 200)), (["127.0.0.0/8"], (200, 403)),
                            (["::/0"], (403, 200)), (["0.0.0.0/0"], (200, 403)),
                            (["::ffff:127.0.0.1"], (200, 403)), (["::ffff:0:0/96"], (200, 403)),
                            (["::1", "127.0.0.1"], (200, 200)), (["::2"], (403, 403))]:
        vault.deny(*rules)
        assert (four.status(), six.status()) == expected, rules
    for wrong in ("64:ff9b::127.0.0.1", "::127.0.0.1"):
        answer = vault.deny(wrong, expect=400)
        assert "write the IPv4 range" in answer.text, answer


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_no_header_makes_another_address(postern, address):
    vault = Vault(postern)
    caller = Loopback(postern, vault, address)
    vault.deny("192.0.2.7", "2001:db8::7")
    assert caller.status() == 403
    for spoofed in ("192.0.2.7", "2001:db8::7"):
        assert caller.status(
            X_Forwarded_For=spoofed, X_Real_IP=spoofed, X_Client_IP=spoofed, True_Client_IP=spoofed,
            CF_Connecting_IP=spoofed, X_Azure_ClientIP=spoofed, X_Cluster_Client_IP=spoofed,
            Forwarded=f'for="{spoofed}"', X_Forwarded_Host=spoofed) == 403
    assert caller.connection.sock, "all on one connection"


@pytest.mark.parametrize("header", [
    b"PROXY TCP4 192.0.2.7 127.0.0.1 1111 443\r\n",
    b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c" + bytes([192, 0, 2, 7, 127, 0, 0, 1, 4, 87, 1, 187])])
def test_no_proxy_header_makes_another_address(postern, header):
    """The vault's listener takes none: the connection ends before anything is asked."""
    vault = Vault(postern)
    vault.deny("192.0.2.7")
    with pytest.raises((ssl.SSLError, ConnectionError)):
        Loopback(postern, vault, "127.0.0.1", header)


def test_the_vaults_listener_cannot_be_told_to_take_one(tmp_path):
    done = subprocess.run([str(service.BIN / "postern"), "serve", "--data", str(tmp_path / "d"),
                           "--vault", "localhost:0,proxy", "--check"], capture_output=True, text=True,
                          timeout=30)
    assert done.returncode != 0 and "vault" in done.stderr, done


def test_only_the_system_assigned_identity_is_a_trusted_service(postern, ca):
    vault = Vault(postern)
    name = service.unique("fw")
    system = postern.arm("GET", "").json()["identity"]["principalId"]
    user = postern.arm("PUT", f"{postern.group}/providers/Microsoft.ManagedIdentity/"
                       f"userAssignedIdentities/{name}", {"location": "local"},
                       version="2023-01-31").json()
    postern.arm("PATCH", "", {"identity": {"type": "SystemAssigned, UserAssigned",
                                           "userAssignedIdentities": {user["id"]: {}}}})
    vault.policies += [vault.policy(system), vault.policy(user["properties"]["principalId"])]
    vault.set()
    port = urllib.parse.urlsplit(postern.vault_url).port
    origin = f"https://{vault.host}:{port}"
    assert postern.vault("POST", f"/certificates/{name}/import", {
        "value": ca.client(name).pfx_base64("p"), "pwd": "p"}, origin=origin).status == 200

    def add(number, **more):
        return postern.arm("PUT", f"/certificates/{name}-{number}", {"properties": {"keyVault": dict(
            {"secretIdentifier": f"{origin}/secrets/{name}"}, **more)}})

    as_user = {"identityClientId": user["properties"]["clientId"]}
    assert add(1).status == 201 and add(2, **as_user).status == 201
    vault.deny()
    assert add(3).status == 201, "the trusted service passes"
    refused = add(4, **as_user)
    assert refused.status == 400 and "ForbiddenByFirewall" in refused.text
    vault.set(publicNetworkAccess="Disabled", networkAcls={"bypass": "AzureServices",
                                                           "defaultAction": "Deny"})
    assert add(5).status == 201 and add(6, **as_user).status == 400
    vault.deny(bypass="None")
    assert add(7).status == 400, "no bypass, no trusted service"
    postern.arm("PATCH", "", {"identity": {"type": "SystemAssigned"}})


@pytest.mark.parametrize("properties, word", [
    ({"networkAcls": {"defaultAction": "Maybe"}}, "defaultAction"),
    ({"networkAcls": {"bypass": "Everybody"}}, "bypass"),
    ({"networkAcls": {"ipRules": [{"value": "10.0.0.1/8"}]}}, "ipRules[0]"),
    ({"networkAcls": {"ipRules": [{"value": "everywhere"}]}}, "ipRules[0]"),
    ({"networkAcls": {"ipRules": "x"}}, "ipRules"),
    ({"networkAcls": {"virtualNetworkRules": [{"id": "/x"}]}}, "virtualNetworkRules"),
    ({"publicNetworkAccess": "Sometimes"}, "publicNetworkAccess")])
def test_bad_rules_are_refused(postern, properties, word):
    vault = Vault(postern)
    assert word in vault.set(expect=400, **properties).json()["error"]["message"]


@pytest.mark.parametrize("properties, code", [
    ({}, "InvalidRequestFormat"),
    ({"addressSpace": {"addressPrefixes": ["10.0.0.0/33"]}}, "InvalidAddressPrefixFormat"),
    ({"addressSpace": {"addressPrefixes": ["10.0.0.0/16"]}, "subnets": [
        {"name": "a", "properties": {"addressPrefix": "10.1.0.0/24"}}]}, "NetcfgInvalidSubnet"),
    ({"addressSpace": {"addressPrefixes": ["10.0.0.0/16"]}, "subnets": [
        {"name": "a", "properties": {"addressPrefix": "10.0.0.0/24"}},
        {"name": "b", "properties": {"addressPrefix": "10.0.0.128/25"}}]},
     "NetcfgSubnetRangesOverlap"),
    ({"addressSpace": {"addressPrefixes": ["10.0.0.0/16"]}, "subnets": [
        {"name": "a", "properties": {"addressPrefix": "10.0.0.0/24",
                                     "networkSecurityGroup": {"id": "/none"}}}]},
     "InvalidResourceReference")])
def test_bad_networks_are_refused(postern, properties, code):
    network = f"{postern.group}/providers/Microsoft.Network/virtualNetworks/{service.unique('n')}"
    answer = postern.arm("PUT", network, {"location": "local", "properties": properties},
                         version=NETWORK)
    assert (answer.status, answer.json()["error"]["code"]) == (400, code), answer
    assert postern.arm("GET", network, version=NETWORK).status == 404


def test_networks_and_their_subnets(postern):
    app = people.Application(postern)
    app.assign("Network Contributor", postern.group)
    network = f"{postern.group}/providers/Microsoft.Network/virtualNetworks/{service.unique('n')}"
    body = {"location": "local", "tags": {"a": "b"}, "properties": {
        "addressSpace": {"addressPrefixes": ["10.0.0.0/16", "fd00::/48"]},
        "subnets": [{"name": "one", "properties": {"addressPrefixes": ["10.0.0.0/24",
                                                                       "fd00::/64"]}}]}}
    made = app.arm("PUT", network, body, version=NETWORK)
    assert made.status == 201, made
    subnet = made.json()["properties"]["subnets"][0]
    assert subnet["id"] == network + "/subnets/one"
    assert app.arm("GET", subnet["id"], version=NETWORK).json() == subnet
    assert app.arm("PUT", network + "/subnets/two", {"properties": {
        "addressPrefix": "10.0.1.0/24"}}, version=NETWORK).status == 201
    assert app.arm("PUT", network + "/subnets/three", {"properties": {
        "addressPrefix": "10.0.1.0/25"}}, version=NETWORK).status == 400
    listed = app.arm("GET", network + "/subnets", version=NETWORK).json()["value"]
    assert [s["name"] for s in listed] == ["one", "two"]
    assert app.arm("DELETE", network + "/subnets/two", version=NETWORK).status == 200
    assert app.arm("DELETE", network + "/subnets/two", version=NETWORK).status == 204
    shown = app.arm("GET", network, version=NETWORK).json()
    assert [s["name"] for s in shown["properties"]["subnets"]] == ["one"]
    assert app.arm("PUT", network, shown, version=NETWORK).status == 200, "read, change, write back"
    assert app.arm("DELETE", network, version=NETWORK).status == 200
