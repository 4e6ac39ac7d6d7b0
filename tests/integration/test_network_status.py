# SPDX-License-Identifier: Apache-2.0
"""…/networkstatus tells for each vault whether it can be reached, and which layer fails."""
import json
import os
import uuid

import pytest
from lab import backends, dns, people, service

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="makes a mount namespace")


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
    assert {"role": "ForbiddenBy", "firewall": "ForbiddenByFirewall"}[layer] in last["message"]
    assert ("ForbiddenByFirewall" in last["message"]) == (layer == "firewall")
    assert entry["postern"] == {"layer": layer, "code": code, "certificate": vault.certificate}
    vault.set(["get", "list"])
    vault.wait_for("success")


def test_a_service_without_its_identity(postern, vault):
    postern.arm("PATCH", "", {"identity": {"type": "None"}})
    try:
        entry, last = vault.wait_for("failure"), vault.refresh()
        assert entry["postern"] == {
            "layer": "identity", "code": "IdentityNotEnabled", "certificate": vault.certificate}
        assert last["code"] == "IdentityNotEnabled" and entry["error"] == last["message"]
        assert "Identity (system-assigned) is not enabled" in last["message"]
    finally:
        postern.arm("PATCH", "", {"identity": {"type": "SystemAssigned"}})
    vault.wait_for("success")


def test_the_status_of_one_location(postern, vault):
    def without_times(status):
        for entry in status["connectivityStatus"]:  # backends are tried at each call
            del entry["lastUpdated"], entry["lastStatusChange"]
        for source in status["postern"]["tokenSources"]:
            source.pop("lastUpdated", None)
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


def test_since_when(house, echo):
    """As long as nothing has changed, lastStatusChange is the time of the first look."""
    port = backends.free_port()
    house.put("/backends/since", {"protocol": "http", "url": f"http://there.test:{port}"})

    def later(than):
        def look():
            entry = of_backend(house, "since")
            return entry if entry["lastUpdated"] > than else None
        return service.wait_for("another second", look, pause_s=0.2)
    try:
        first = of_backend(house, "since")
        assert first["status"] == "failure" and first["lastStatusChange"] == first["lastUpdated"]
        second = later(first["lastUpdated"])
        assert second["lastStatusChange"] == first["lastStatusChange"]
        house.put("/backends/since", {
            "protocol": "http", "url": f"http://there.test:{echo.httpd.server_address[1]}"})
        good = later(second["lastUpdated"])
        assert good["status"] == "success" and good["lastStatusChange"] > first["lastStatusChange"]
        assert later(good["lastUpdated"])["lastStatusChange"] == good["lastStatusChange"]
    finally:
        house.delete("/backends/since")


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


# --- APIs that send to a URL by themselves ---

def of_api(house, name):
    return next(e for e in entries(house)
                if f"apis/{name}" in e.get("postern", {}).get("apis", []))


@pytest.fixture
def mutual(ca, tmp_path):
    """A server that demands a certificate; its URL."""
    bundle = tmp_path / "clients.pem"
    bundle.write_bytes(ca.certificate_pem)
    server = _server(tmp_path, ca, client_ca=bundle)
    yield f"https://there.test:{server.httpd.server_address[1]}"
    server.stop()


def test_an_api_without_a_backend_entity_is_tried_as_its_policies_say(house, ca, mutual):
    house.upload("bare-1", ca.client("bare-1"))
    thumbprint = house.upload("bare-2", ca.client("bare-2")).json()["properties"]["thumbprint"]
    policies = {
        "none": (None, [], "no policy names one"),
        "by-id": (service.with_certificate("bare-1"), ["bare-1"], "the policy of the API"),
        "by-thumbprint": (service.policy(
            f'<authentication-certificate thumbprint="{thumbprint}" />'), ["bare-2"],
            "the policy of the API"),
        "several": (service.policy('<authentication-certificate certificate-ids="bare-2, bare-1" />'),
                    ["bare-2", "bare-1"], "the policy of the API"),
        "the-last": (service.policy('<authentication-certificate certificate-id="bare-1" />'
                                    '<authentication-certificate certificate-id="bare-2" />'),
                     ["bare-2"], "the policy of the API"),
    }
    try:
        for name, (document, _, _) in policies.items():
            house.make_api(name, mutual, document, operations=False)
        for name, (_, certificates, source) in policies.items():
            entry = of_api(house, name)
            assert (entry["name"], entry["resourceType"]) == (mutual, "Api")
            assert entry["postern"]["certificates"] == certificates, entry
            assert entry["postern"]["certificateFrom"] == source, entry
            if certificates:
                assert entry["status"] == "success" and entry["error"] == "", entry
            else:
                assert entry["status"] == "failure", entry
                assert entry["postern"]["layer"] == "identity", entry
                assert entry["postern"]["code"] == "tls_client_certificate_required", entry
    finally:
        for name in policies:
            house.delete(f"/apis/{name}")


def test_a_backend_whose_certificate_policies_name_does_not_fail(house, mutual):
    """Nobody can say here whom the policies show it; a request that has none tells its own failure."""
    house.put("/backends/for-policies", {"url": mutual, "protocol": "http"})
    try:
        assert of_backend(house, "for-policies")["postern"]["layer"] == "identity"  # nobody names one
        house.make_api("sender", "https://there.test", service.policy(
            '<set-backend-service backend-id="for-policies" />'), operations=False)
        entry = of_backend(house, "for-policies")
        assert (entry["status"], entry["error"]) == ("success", ""), entry
        assert entry["postern"]["certificateFrom"].startswith("the policies that send to it"), entry
        assert "layer" not in entry["postern"], entry
    finally:
        house.delete("/apis/sender", expect=(200, 204))
        house.delete("/backends/for-policies")


def test_the_services_policy_counts_where_the_apis_lets_it(house, ca, mutual):
    house.upload("outer", ca.client("outer"))
    house.upload("inner", ca.client("inner"))
    inner = '<authentication-certificate certificate-id="inner" />'
    cases = {
        "inherits": (None, ["outer"], "the policy of the service"),
        "overrides": (service.policy(inner), ["inner"], "the policy of the API"),
        "before-base": (f"<policies><inbound>{inner}<base /></inbound></policies>", ["outer"],
                        "the policy of the service"),
        "no-base": ("<policies><inbound /></policies>", [], "no policy names one"),
    }
    house.set_policy("", '<policies><inbound><authentication-certificate certificate-id="outer" />'
                         "</inbound><backend><forward-request /></backend></policies>")
    try:
        for name, (document, _, _) in cases.items():
            house.make_api(name, mutual, document, operations=False)
        for name, (_, certificates, source) in cases.items():
            entry = of_api(house, name)
            assert (entry["postern"]["certificates"], entry["postern"]["certificateFrom"]) == \
                (certificates, source), (name, entry)
            assert entry["status"] == ("success" if certificates else "failure"), entry
    finally:
        for name in cases:
            house.delete(f"/apis/{name}")
        house.delete("/policies/policy")


def test_apis_that_are_alike_are_tried_once(house, ca, mutual, echo):
    closed = backends.free_port()
    house.upload("plain", ca.client("plain"))
    apis = {"twin-1": (f"http://there.test:{closed}/a", None),
            "twin-2": (f"http://there.test:{closed}/b", None),
            "plain": (echo.url, service.with_certificate("plain")),
            "based": (f"http://there.test:{closed}", service.policy(
                f'<set-backend-service base-url="{echo.url}" />')),
            "answers": (f"http://there.test:{closed}", service.policy(
                '<return-response><set-status code="204" reason="No Content" /></return-response>'))}
    try:
        for name, (url, document) in apis.items():
            house.make_api(name, url, document, operations=False)
        twins = of_api(house, "twin-1")
        assert twins["postern"]["apis"] == ["apis/twin-1", "apis/twin-2"]
        assert (twins["postern"]["layer"], twins["postern"]["code"]) == ("tcp", "connect_refused")
        assert of_api(house, "plain")["postern"]["code"] == "certificate_needs_tls"
        assert of_api(house, "plain")["postern"]["layer"] == "identity"
        assert of_api(house, "based")["status"] == "success"
        assert not any("apis/answers" in e.get("postern", {}).get("apis", [])
                       for e in entries(house)), "it sends nothing"
    finally:
        for name in apis:
            house.delete(f"/apis/{name}")


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
        assert {"VaultConnectError": "connect", "VaultTlsError": "SSL"}.get(last["code"], "") in \
            last.get("message", ""), last
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


@needs_root
def test_a_vault_whose_name_is_gone(ca, tmp_path, trust):
    """Its name is in a hosts file of this Postern's own, and is taken out of it. The vault is one that
    knows a challenge and one secret: ours has no name that a resolver would be asked for."""
    server = _server(tmp_path, ca, "kv.vault.test")
    port = server.httpd.server_address[1]
    tokens = backends.Python()
    tokens.route("/token", lambda request: request.answer(200, json.dumps({
        "access_token": "a.token", "expires_on": "4102444800", "token_type": "Bearer"}).encode()))

    def secret(request):
        if request.headers.get("Authorization") != "Bearer a.token":
            request.answer(401, headers={"WWW-Authenticate": 'Bearer authorization="https://login.test",'
                                         f' resource="https://vault.test:{port}"'})
            return
        request.answer(200, json.dumps({
            "id": f"https://kv.vault.test:{port}/secrets/c/0123456789abcdef0123456789abcdef",
            "contentType": "application/x-pkcs12", "attributes": {"enabled": True},
            "value": ca.client("named").pfx_base64()}).encode())
    server.route("/secrets/c", secret)
    server.route("/secrets/c/", secret)
    hosts = tmp_path / "hosts"
    hosts.write_text("127.0.0.1 localhost kv.vault.test\n")
    house = service.Postern(tmp_path / "house", environment=dict(
        trust, IDENTITY_ENDPOINT=tokens.url + "/token", IDENTITY_HEADER="header"),
        options=["--token-source", "app-service"])
    house.prefix = ["unshare", "-m", "sh", "-c", 'mount --bind "$0" /etc/hosts && exec "$@"',
                    str(hosts)]
    house.start()
    try:
        origin = f"https://kv.vault.test:{port}"
        house.put("/certificates/named", {"keyVault": {"secretIdentifier": f"{origin}/secrets/c"}})
        hosts.write_text("127.0.0.1 localhost\n")
        house.arm("POST", "/certificates/named/refreshSecret")
        last = house.arm("GET", "/certificates/named").json()["properties"]["keyVault"]["lastStatus"]
        assert last["code"] == "VaultDnsError" and "resolve host" in last["message"], last
        entry = next(e for e in entries(house) if e["name"] == origin)
        assert entry["postern"] == {"layer": "dns", "code": "VaultDnsError", "certificate": "named"}
        assert entry["error"] == last["message"]
    finally:
        house.stop()
        server.stop()
        tokens.stop()
