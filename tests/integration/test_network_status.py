# SPDX-License-Identifier: Apache-2.0
"""…/networkstatus tells for each vault whether it can be reached, and which layer fails."""
import uuid

import pytest
from lab import backends, dns, people, service


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
    def without_times(status):
        for entry in status["connectivityStatus"]:  # backends are tried at each call
            del entry["lastUpdated"], entry["lastStatusChange"]
        return status

    whole = without_times(postern.arm("GET", "/networkstatus").json()[0]["networkStatus"])
    answer = postern.arm("GET", "/locations/local/networkstatus")
    assert without_times(answer.json()) == whole
    assert postern.arm("GET", "/locations/mars/networkstatus").status == 404


# --- the layers below, by servers that really fail ---

@pytest.fixture(scope="module")
def names():
    server = dns.NameServer()
    server.names["there.test"] = ["127.0.0.1"]
    return server


@pytest.fixture(scope="module")
def house(names, tmp_path_factory, trust):
    instance = service.Postern(tmp_path_factory.mktemp("layers"), environment=trust,
                               options=["--dns-servers", names.address])
    instance.start()
    yield instance
    instance.stop()


def entries(house):
    shown = house.arm("GET", "/networkstatus")
    assert shown.status == 200, shown
    return shown.json()[0]["networkStatus"]["connectivityStatus"]


def of_backend(house, name):
    return next(e for e in entries(house) if e.get("postern", {}).get("backend") == name)


def _server(folder, authority, name="there.test", port=0, client_ca=None):
    """TLS with a certificate of that authority, for that name."""
    files = authority.server(name, names=(name,)).write(folder, name + uuid.uuid4().hex[:4])
    return backends.Python(files, client_ca, port=port)


def test_each_layer_of_a_backend(house, ca, other_ca, echo, tmp_path):
    servers = {
        "good": _server(tmp_path, ca),
        "unknown-ca": _server(tmp_path, other_ca),
    }
    closed = backends.free_port()
    urls = {
        "dns": (f"https://nowhere.test:{closed}", "dns", "dns_failed"),
        "tcp": (f"https://there.test:{closed}", "tcp", "connect_refused"),
        "plain": (f"https://there.test:{echo.httpd.server_address[1]}", "tls", "tls_not_tls"),
        "unknown-ca": (None, "tls", "tls_unknown_ca"),
        "good": (None, None, None),
        "http": (f"http://there.test:{echo.httpd.server_address[1]}", None, None),
        "http-tcp": (f"http://there.test:{closed}", "tcp", "connect_refused"),
    }
    try:
        for name, (url, _, _) in urls.items():
            house.put(f"/backends/{name}", {"protocol": "http", "url": url or (
                f"https://there.test:{servers[name].httpd.server_address[1]}")})
        for name, (url, layer, code) in urls.items():
            entry = of_backend(house, name)
            assert entry["resourceType"] == "Backend"
            if url:
                assert entry["name"] == url
            if layer:
                assert (entry["status"], entry["postern"]["layer"], entry["postern"]["code"]) == \
                    ("failure", layer, code), entry
                assert entry["error"]
            else:
                assert entry["status"] == "success" and entry["error"] == "", entry
    finally:
        for name in urls:
            house.delete(f"/backends/{name}")
        for server in servers.values():
            server.stop()


def test_a_backend_that_wants_a_certificate(house, ca, tmp_path):
    bundle = tmp_path / "ca.pem"
    bundle.write_bytes(ca.certificate_pem)
    server = _server(tmp_path, ca, client_ca=bundle)
    house.upload("shown", ca.client("shown"))
    try:
        url = f"https://there.test:{server.httpd.server_address[1]}"
        house.put("/backends/without", {"protocol": "http", "url": url})
        house.put("/backends/with", {"protocol": "http", "url": url, "credentials": {
            "certificateIds": [f"{house.service_id}/certificates/shown"]}})
        entry = of_backend(house, "without")
        assert entry["postern"]["layer"] == "identity", entry
        assert of_backend(house, "with")["status"] == "success"
    finally:
        house.delete("/backends/without")
        house.delete("/backends/with")
        server.stop()


def test_the_authority(house):
    entry = next(e for e in entries(house) if e["resourceType"] == "AzureActiveDirectory")
    assert entry["name"] == house.control and entry["status"] == "success"


def test_each_layer_of_a_vault(own_postern, ca, other_ca, tmp_path):
    """The vault moves to another port, and others come to where it was."""
    house = own_postern
    origin = house.vault_audience.replace("//vault.", "//local.vault.")
    port = int(origin.rsplit(":", 1)[1])
    assert house.vault("POST", "/certificates/net/import", {
        "value": ca.client("net").pfx_base64("p"), "pwd": "p"}).status == 200
    house.put("/certificates/net", {"keyVault": {"secretIdentifier": f"{origin}/secrets/net"}})

    def look():
        house.arm("POST", "/certificates/net/refreshSecret")
        last = house.arm("GET", "/certificates/net").json()["properties"]["keyVault"]["lastStatus"]
        entry = next(e for e in entries(house) if e["name"] == origin)
        assert entry["error"] == ("" if last["code"] == "Success" else last["message"])
        return last["code"], entry.get("postern", {}).get("layer")
    assert look() == ("Success", None)
    house.stop()
    house.options = ["--vault", f"localhost:{backends.free_port()}"]
    house.start()
    assert look() == ("VaultConnectError", "tcp")
    for make in (lambda: _server(tmp_path, other_ca, "local.vault.localhost", port),
                 lambda: backends.Python(port=port)):
        server = make()
        try:
            assert look() == ("VaultTlsError", "tls")
        finally:
            server.stop()


def test_a_vault_without_a_name(house):
    answer = house.arm("PUT", "/certificates/nowhere", {"properties": {"keyVault": {
        "secretIdentifier": "https://nowhere.invalid/secrets/x"}}})
    assert answer.status >= 400 and "resolve host" in answer.text, answer
