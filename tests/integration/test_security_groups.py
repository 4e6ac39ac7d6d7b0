# SPDX-License-Identifier: Apache-2.0
"""Network security groups: their REST API, and how they govern the connections that the service in a
subnet opens, with real addresses of a namespace of the test's own."""
import http.server
import os
import socket
import subprocess
import threading
import urllib.parse

import pytest
from lab import dns, netns, people, service

NETWORK = "2023-04-01"
A, B = "10.214.88.2", "10.214.88.3"
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="makes a network namespace")


def rule(name, priority, access="Deny", to="*", ports="*", direction="Outbound", **more):
    lists = isinstance(to, list)
    return {"name": name, "properties": dict({
        "priority": priority, "access": access, "direction": direction, "protocol": "Tcp",
        "sourceAddressPrefix": "*", "sourcePortRange": "*", "destinationPortRange": str(ports),
        **({"destinationAddressPrefixes": to} if lists else {"destinationAddressPrefix": to})}, **more)}


class Group:
    def __init__(self, house, name=None):
        self.house = house
        self.id = f"{house.group}/providers/Microsoft.Network/networkSecurityGroups/" \
                  f"{name or service.unique('nsg')}"

    def set(self, *rules, expect=(200, 201)):
        answer = self.house.arm("PUT", self.id, {"location": "local", "properties": {
            "securityRules": list(rules)}}, version=NETWORK)
        assert answer.status in expect, answer
        return answer

    def arm(self, method, path="", body=None):
        return self.house.arm(method, self.id + path, body, version=NETWORK)


# --- the REST API ---

def test_a_group_and_its_rules(postern):
    group = Group(postern)
    made = group.set(rule("one", 100, to=["10.0.0.0/8", "192.168.1.1"], ports="80-90"))
    assert made.status == 201 and made.json()["type"] == "Microsoft.Network/networkSecurityGroups"
    shown = made.json()["properties"]
    assert [(r["name"], r["properties"]["priority"], r["properties"]["access"])
            for r in shown["defaultSecurityRules"]] == [
        ("AllowVnetInBound", 65000, "Allow"), ("AllowAzureLoadBalancerInBound", 65001, "Allow"),
        ("DenyAllInBound", 65500, "Deny"), ("AllowVnetOutBound", 65000, "Allow"),
        ("AllowInternetOutBound", 65001, "Allow"), ("DenyAllOutBound", 65500, "Deny")]
    first = shown["securityRules"][0]
    assert first["id"] == group.id + "/securityRules/one"
    assert first["properties"]["destinationAddressPrefixes"] == ["10.0.0.0/8", "192.168.1.1"]
    assert group.arm("GET", "/securityRules/one").json() == first
    two = rule("two", 101, "allow", to="AzureKeyVault", ports=443, description="the vault")
    assert group.arm("PUT", "/securityRules/two", two).status == 201
    assert group.arm("PUT", "/securityRules/two", two).status == 200
    listed = group.arm("GET", "/securityRules").json()["value"]
    assert [(r["name"], r["properties"]["access"]) for r in listed] == [
        ("one", "Deny"), ("two", "Allow")]
    assert group.arm("GET", "/defaultSecurityRules/DenyAllOutBound").json() == \
        shown["defaultSecurityRules"][5]
    assert len(group.arm("GET", "/defaultSecurityRules").json()["value"]) == 6
    assert group.arm("DELETE", "/securityRules/two").status == 200
    assert group.arm("DELETE", "/securityRules/two").status == 204
    assert group.arm("GET", "/securityRules/two").status == 404
    assert group.arm("DELETE").status == 200
    assert group.arm("DELETE").status == 204
    assert group.arm("GET").status == 404


@pytest.mark.parametrize("change, code", [
    ({"priority": 99}, "SecurityRuleInvalidPriority"),
    ({"priority": 4097}, "SecurityRuleInvalidPriority"),
    ({"priority": "100"}, "SecurityRuleInvalidPriority"),
    ({"access": "Maybe"}, "InvalidRequestFormat"),
    ({"direction": "Up"}, "InvalidRequestFormat"),
    ({"protocol": "Sctp"}, "InvalidRequestFormat"),
    ({"destinationPortRange": "90-80"}, "SecurityRuleInvalidPortRange"),
    ({"destinationPortRange": "65536"}, "SecurityRuleInvalidPortRange"),
    ({"destinationPortRange": "80,81"}, "SecurityRuleInvalidPortRange"),
    ({"destinationPortRange": ""}, "SecurityRuleInvalidPortRange"),
    ({"sourcePortRange": "http"}, "SecurityRuleInvalidPortRange"),
    ({"destinationAddressPrefix": "10.0.0.0/33"}, "SecurityRuleInvalidAddressPrefix"),
    ({"destinationAddressPrefix": "10.0.0.1/8"}, "SecurityRuleInvalidAddressPrefix"),
    ({"destinationAddressPrefix": ""}, "SecurityRuleInvalidAddressPrefix"),
    ({"destinationAddressPrefix": "Storage.WestEurope"}, "SecurityRuleInvalidServiceTag"),
    ({"destinationAddressPrefix": "AzureLoadBalancer"}, "SecurityRuleInvalidServiceTag"),
    ({"destinationAddressPrefix": "AzureCloud"}, "SecurityRuleInvalidServiceTag"),
    ({"destinationAddressPrefix": "AzureFrontDoor.Backend"}, "SecurityRuleInvalidServiceTag"),
    ({"destinationAddressPrefixes": ["10.0.0.0/8", "Storag"]}, "SecurityRuleInvalidServiceTag"),
    ({"sourceAddressPrefix": "Internet"}, "SecurityRuleInvalidServiceTag"),
    ({"sourceAddressPrefix": "AzureKeyVault"}, "SecurityRuleInvalidServiceTag"),
    ({"sourceAddressPrefix": "AzureLoadBalancer"}, "SecurityRuleInvalidServiceTag"),
    ({"destinationAddressPrefixes": "10.0.0.0/8"}, "SecurityRuleInvalidAddressPrefix"),
    ({"description": "d" * 141}, "InvalidRequestFormat"),
    ({"destinationApplicationSecurityGroups": [{"id": "/x"}]},
     "SecurityRuleParameterNotSupported"),
])
def test_what_a_rule_must_not_have(postern, change, code):
    group = Group(postern)
    bad = rule("bad", 200)
    bad["properties"].update(change)
    answer = group.set(bad, expect=(400,))
    assert answer.json()["error"]["code"] == code, answer
    assert group.arm("GET").status == 404, "nothing was made"


def test_a_priority_is_of_one_rule_in_each_direction(postern):
    group = Group(postern)
    assert group.set(rule("one", 100), rule("in", 100, direction="Inbound", to="VirtualNetwork")
                     ).status == 201
    answer = group.arm("PUT", "/securityRules/other", rule("other", 100))
    assert answer.status == 400 and answer.json()["error"]["code"] == "SecurityRuleConflict"
    assert "conflicts with rule one" in answer.text
    assert len(group.arm("GET", "/securityRules").json()["value"]) == 2
    assert group.arm("DELETE").status == 200


def test_borders_of_a_group(postern):
    group = Group(postern)
    assert group.set(*(rule(f"r{i}", 100 + i) for i in range(1000))).status == 201
    answer = group.set(*(rule(f"r{i}", 100 + i) for i in range(1001)), expect=(400,))
    assert answer.json()["error"]["code"] == "MaxSecurityRulesPerNetworkSecurityGroupLimitReached"
    assert group.set(rule("edge", 4096, ports="0-65535"), rule("low", 100)).status == 200
    assert group.arm("DELETE").status == 200


# --- what it governs ---

class Remote(http.server.ThreadingHTTPServer):
    """A server inside the namespace that knows its open connections."""
    daemon_threads = True

    def __init__(self, space, address):
        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self):
                super().setup()
                self.server.open.add(self)

            def finish(self):
                self.server.open.discard(self)
                super().finish()

            def do_GET(self):
                self.server.seen += 1
                self.send_response(200)
                if self.path.endswith("/slow"):
                    self.send_header("Content-Length", "100000")
                    self.end_headers()
                    try:
                        for _ in range(600):
                            self.wfile.write(b".")
                            self.wfile.flush()
                            if self.server.ended.wait(0.05):
                                break
                    except OSError:
                        pass
                    self.close_connection = True
                    return
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"ok")

            def log_message(self, *_):
                pass

        self.open, self.seen, self.ended = set(), 0, threading.Event()
        with space.entered():
            super().__init__((address, 0), Handler)
        self.port = self.server_address[1]
        self.url = f"http://{address}:{self.port}"
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()

    def handle_error(self, request, client_address):
        pass


@pytest.fixture(scope="module")
def space():
    made = netns.Namespace("10.214.88.1", [A, B])
    yield made
    made.remove()


@pytest.fixture(scope="module")
def remotes(space):
    made = [Remote(space, A), Remote(space, B)]
    yield made
    for remote in made:
        remote.ended.set()
        remote.shutdown()
        remote.server_close()


@pytest.fixture(scope="module")
def names():
    server = dns.NameServer()
    server.names["both.test"] = [A, B]
    return server


@pytest.fixture(scope="module")
def house(names, tmp_path_factory, trust):
    instance = service.Postern(tmp_path_factory.mktemp("groups"), environment=trust,
                               options=["--dns-servers", names.address, "--limit",
                                        "backend-drain-timeout=1s"])
    instance.start()
    yield instance
    instance.stop()


@pytest.fixture(scope="module")
def group(house):
    """The group of the service's subnet."""
    made = Group(house, "nsg1")
    network = f"{house.group}/providers/Microsoft.Network/virtualNetworks/net1"
    made.subnet, made.network = network + "/subnets/apim", network
    made.set()
    answer = house.arm("PUT", network, {"location": "local", "properties": {
        "addressSpace": {"addressPrefixes": ["10.214.0.0/16"]},
        "subnets": [{"name": "apim", "properties": {"addressPrefix": "10.214.1.0/24",
                                                    "networkSecurityGroup": {"id": made.id}}}]}},
        version=NETWORK)
    assert answer.status == 201, answer
    answer = house.arm("PATCH", "", {"properties": {
        "virtualNetworkType": "External",
        "virtualNetworkConfiguration": {"subnetResourceId": made.subnet}}})
    assert answer.status == 200, answer
    assert answer.json()["properties"]["virtualNetworkConfiguration"] == {
        "subnetResourceId": made.subnet}
    return made


@pytest.fixture(autouse=True)
def open_again(request):
    yield
    if "group" in request.fixturenames:
        request.getfixturevalue("group").set()


@pytest.fixture(scope="module")
def api(house, remotes):
    class Apis:
        a, b = service.unique("a"), service.unique("b")
    house.make_api(Apis.a, remotes[0].url)
    house.make_api(Apis.b, remotes[1].url)
    return Apis


@needs_root
def test_the_next_request_obeys_a_rule(house, group, remotes, api):
    assert house.call(f"/{api.a}/x").text == house.call(f"/{api.b}/x").text == "ok"
    told = house.log().count("code=network_rule")
    group.set(rule("no-a", 200, to=A + "/32"))
    seen = remotes[0].seen
    answer = house.call(f"/{api.a}/x")
    assert answer.status == 500 and remotes[0].seen == seen
    service.wait_for("log", lambda: house.log().count("code=network_rule") > told)
    line = [l for l in house.log().splitlines() if "code=network_rule" in l][-1]
    assert "the rule 'no-a' (priority 200) of the network security group 'nsg1' denies connections " \
        f"to {A}:{remotes[0].port}" in line, line
    assert house.call(f"/{api.b}/x").text == "ok"
    group.set(rule("no-a", 200, to=A + "/32"),
              rule("but-this", 150, "Allow", to=A, ports=remotes[0].port))
    assert house.call(f"/{api.a}/x").text == "ok", "a lower number comes first"
    assert group.arm("DELETE", "/securityRules/but-this").status == 200
    assert house.call(f"/{api.a}/x").status == 500
    assert group.arm("DELETE", "/securityRules/no-a").status == 200
    assert house.call(f"/{api.a}/x").text == "ok"


@needs_root
def test_kept_connections_are_closed(house, group, remotes, api):
    assert house.call(f"/{api.a}/x").text == "ok"
    service.wait_for("a kept connection", lambda: remotes[0].open)
    group.set(rule("no-a", 200, to=A))
    service.wait_for("its end", lambda: not remotes[0].open)
    assert house.call(f"/{api.b}/x").text == "ok"


@needs_root
def test_a_request_at_work_ends_within_the_drain_limit(house, group, remotes, api):
    answers = []
    caller = threading.Thread(target=lambda: answers.append(_try(house, f"/{api.a}/slow")))
    seen = remotes[0].seen
    caller.start()
    service.wait_for("the request", lambda: remotes[0].seen > seen)
    group.set(rule("no-a", 200, to=A))
    caller.join(10)
    assert not caller.is_alive() and answers == ["cut"]
    service.wait_for("the connection's end", lambda: not remotes[0].open)


@pytest.fixture
def http2(space, tmp_path):
    """nghttpd inside the namespace, by prior knowledge; its port."""
    (tmp_path / "x").write_text("ok")
    with space.entered(), socket.socket() as free:
        free.bind((A, 0))
        port = free.getsockname()[1]
    process = subprocess.Popen(["ip", "netns", "exec", space.name, "nghttpd", "--no-tls", "-a", A,
                                "-d", str(tmp_path), str(port)], stderr=subprocess.DEVNULL)
    yield port
    process.terminate()
    process.wait(10)


@needs_root
def test_kept_http2_connections_are_closed(house, group, http2, space):
    name = service.unique("h2")
    house.make_api(name, f"http://{A}:{http2}", service.policy(
        backend='<forward-request http-version="2" />', base=False))
    service.wait_for("nghttpd", lambda: house.call(f"/{name}/x").status == 200)

    def established():
        listed = subprocess.run(["ip", "netns", "exec", space.name, "ss", "-Htn", "state",
                                 "established", f"( sport = :{http2} )"], capture_output=True,
                                text=True, check=True, timeout=20)
        return listed.stdout.strip()
    assert established()
    group.set(rule("no-a", 200, to=A))
    service.wait_for("the connection's end", lambda: not established())
    assert house.call(f"/{name}/x").status == 500


def _try(house, path):
    try:
        answer = house.call(path)
    except Exception:  # noqa: BLE001 (the body ends too early: however the client puts that)
        return "cut"
    return "cut" if answer.status == 500 else answer


@needs_root
def test_every_address_of_a_name_is_judged(house, group, remotes):
    name = service.unique("both")
    house.make_api(name, f"http://both.test:{remotes[1].port}")
    group.set(rule("no-a", 200, to=A))
    for _ in range(3):
        assert house.call(f"/{name}/x").text == "ok"
    group.set(rule("none", 200, to=[A, B]))
    assert house.call(f"/{name}/x").status == 500


@needs_root
@pytest.mark.parametrize("denied, ports", [(True, "{}"), (True, "1-65535"), (False, "1-1023"),
                                           (True, "*")])
def test_ports(house, group, remotes, api, denied, ports):
    group.set(rule("ports", 300, to="VirtualNetwork", ports=ports.format(remotes[0].port)))
    assert house.call(f"/{api.a}/x").status == (500 if denied else 200)


@pytest.mark.parametrize("tag, host", [
    ("AzureKeyVault", "kv.vault.azure.net"), ("AzureActiveDirectory", "login.microsoftonline.com"),
    ("Storage", "a.blob.core.windows.net"), ("Sql", "a.database.windows.net"),
    ("EventHub", "a.servicebus.windows.net"), ("ServiceBus", "a.servicebus.windows.net"),
    ("AzureMonitor", "dc.services.visualstudio.com"), ("AzureCosmosDB", "a.documents.azure.com"),
    ("AzureContainerRegistry", "a.azurecr.io"), ("AppService", "a.azurewebsites.net"),
    ("AzureResourceManager", "management.azure.com"), ("VirtualNetwork", "here.test"), ("*", "here.test"),
    ("Internet", "public.test")])
def test_every_tag_that_is_taken_governs(house, group, names, echo, tag, host):
    """The tags that can be written are these; the names lead to this machine, and Internet to an address
    that nobody has (TEST-NET-1)."""
    port = echo.httpd.server_address[1]
    names.names[host] = ["192.0.2.1"] if tag == "Internet" else ["127.0.0.1"]
    api = service.unique("tag")
    house.make_api(api, f"http://{host}:{port}", service.policy(
        backend='<forward-request timeout="1" />', base=False), operations=False)
    house.put(f"/apis/{api}/operations/get", {"displayName": "g", "method": "GET", "urlTemplate": "/*"})
    word = service.unique("tag")

    def is_named():
        return f"the rule '{word}'" in house.log()
    other = "AppService" if tag == "Storage" else "Storage"
    group.set(rule(word, 100, to=other))
    if tag != "Internet":
        assert house.call(f"/{api}/x").status == 200, "another tag"
    assert not is_named()
    group.set(rule(word, 100, to=tag.upper() if tag != "*" else tag))
    assert house.call(f"/{api}/x").status == 500
    service.wait_for("the log", is_named)
    house.delete(f"/apis/{api}")


def test_the_tags_are_told_when_one_is_wrong(postern):
    answer = Group(postern).set(rule("bad", 200, to="AzureCloud"), expect=(400,))
    for tag in ("AzureKeyVault", "AzureActiveDirectory", "Storage", "Sql", "EventHub", "ServiceBus",
                "AzureMonitor", "AzureCosmosDB", "AzureContainerRegistry", "AppService",
                "AzureResourceManager", "Internet", "VirtualNetwork"):
        assert tag in answer.text, (tag, answer)


@needs_root
def test_default_rules(house, group, api, echo):
    """What is outside of the network and not on the internet is denied; this machine is not."""
    name = service.unique("far")
    house.make_api(name, "http://10.99.1.1:9")
    assert house.call(f"/{name}/x").status == 500
    service.wait_for("log", lambda: "'DenyAllOutBound' (priority 65500)" in house.log())
    near = service.unique("near")
    house.make_api(near, echo.url)
    assert house.call(f"/{near}/x").status == 200
    group.set(rule("nothing", 4096))
    assert house.call(f"/{near}/x").status == 500


@needs_root
def test_rules_for_what_comes_in_or_is_not_tcp_deny_nothing(house, group, api):
    group.set(rule("in", 100, direction="Inbound"), rule("udp", 101, protocol="Udp"))
    assert house.call(f"/{api.a}/x").text == "ok"


def test_rules_for_what_comes_in_are_said_to_govern_nothing(house, group):
    def everywhere():
        shown = group.arm("GET").json()["properties"].get("postern", {}).get("warnings", [])
        status = house.arm("GET", "/networkstatus").json()[0]["networkStatus"]["postern"]["warnings"]
        told = subprocess.run([str(service.BIN / "postern"), "status", "--data", str(house.data)],
                              capture_output=True, text=True, timeout=60)
        assert told.returncode == 0, told.stderr
        return shown, status, told.stdout
    shown, status, told = everywhere()
    assert shown == status == [] and "warning" not in told
    answer = group.set(rule("in", 100, direction="Inbound"), rule("in2", 101, direction="Inbound"),
                       rule("out", 100, "Allow"))
    assert answer.json()["properties"]["postern"]["warnings"], "said when it is written"
    shown, status, told = everywhere()
    assert len(shown) == 1 and "2 inbound rules are kept and govern nothing" in shown[0], shown
    assert status == [f"network security group 'nsg1': {shown[0]}"], status
    assert status[0] in told, told
    kept = group.arm("GET").json()
    written = group.arm("PUT", body={k: kept[k] for k in ("location", "properties")})
    assert written.status == 200, "what is read can be written back"


@needs_root
def test_a_source_that_is_not_the_subnet(house, group, api):
    group.set(rule("others", 100, sourceAddressPrefix="10.214.2.0/24"))
    assert house.call(f"/{api.a}/x").text == "ok"
    group.set(rule("ours", 100, sourceAddressPrefix="10.214.1.0/24"))
    assert house.call(f"/{api.a}/x").status == 500
    group.set(rule("some", 100, sourceAddressPrefix="10.214.1.0/25"))
    assert house.call(f"/{api.a}/x").status == 500, "a part of the subnet is denied: so are we"
    group.set(rule("some", 100, "Allow", sourceAddressPrefix="10.214.1.0/25"), rule("all", 101))
    assert house.call(f"/{api.a}/x").status == 500


@needs_root
def test_a_probe_names_the_rule(house, group, remotes):
    name = service.unique("p")
    house.put(f"/backends/{name}", {"url": remotes[0].url.replace("http:", "https:"),
                                    "protocol": "http"})
    group.set(rule("no-a", 200, to=A))
    answer = house.arm("POST", f"/backends/{name}/probe")
    assert "network_rule" in answer.text and "no-a" in answer.text, answer


@needs_root
def test_the_gateway_alone_goes_on_obeying(house, group, api):
    group.set(rule("no-a", 200, to=A))
    former = house.pid("gateway")
    os.kill(former, 9)
    service.wait_for("another gateway", lambda: house.pid("gateway") not in (None, former))
    service.wait_for("its answers", lambda: _try(house, f"/{api.b}/x") != "cut")
    assert house.call(f"/{api.a}/x").status == 500
    assert house.call(f"/{api.b}/x").text == "ok"


# --- control's own connections ---

@pytest.fixture(scope="module")
def certificate(house, ca):
    local = house.vault_audience.replace("//vault.", "//local.vault.")
    assert house.vault("POST", "/certificates/nsg/import", {
        "value": ca.client("nsg").pfx_base64("p"), "pwd": "p"}, origin=local).status == 200
    house.put("/certificates/nsg", {"keyVault": {"secretIdentifier": f"{local}/secrets/nsg"}})

    def refresh():
        house.arm("POST", "/certificates/nsg/refreshSecret")
        last = house.arm("GET", "/certificates/nsg").json()["properties"]["keyVault"]["lastStatus"]
        status = house.arm("GET", "/networkstatus").json()[0]["networkStatus"]["connectivityStatus"]
        return last, next(e for e in status if e["name"] == local)
    return refresh


@needs_root
@pytest.mark.parametrize("tag", ["AzureKeyVault", "azurekeyvault"])
def test_a_vault_that_is_denied(house, group, certificate, tag):
    assert certificate()[0]["code"] == "Success"
    group.set(rule("no-vault", 110, to=tag, ports=urllib.parse.urlsplit(house.vault_url).port))
    last, entry = certificate()
    assert last["code"] == "NetworkRuleDenied"
    assert "the rule 'no-vault' (priority 110) of the network security group 'nsg1'" in last["message"]
    assert entry["status"] == "failure" and entry["error"] == last["message"]
    assert entry["postern"]["layer"] == "rule"
    group.set(rule("vault", 110, "Allow", to="AzureKeyVault"),
              rule("login", 111, "Allow", to="AzureActiveDirectory"), rule("nothing", 4096))
    assert certificate()[0]["code"] == "Success"


@needs_root
def test_a_policy_does_not_reach_the_vault_either(house, group):
    name = service.unique("v")
    house.make_api(name, house.vault_url)
    group.set(rule("no-vault", 110, to="AzureKeyVault"))
    told = house.log().count("'no-vault'")
    assert house.call(f"/{name}/x").status == 500
    service.wait_for("log", lambda: house.log().count("'no-vault'") > told)


@needs_root
def test_an_authority_that_is_denied(house, group, ca, certificate):
    group.set(rule("no-login", 120, to="AzureActiveDirectory"))
    # Another identity has no token yet that could be used still.
    identity = house.arm("PUT", f"{house.group}/providers/Microsoft.ManagedIdentity/"
                         "userAssignedIdentities/nsg", {"location": "local"}, version="2023-01-31")
    assert identity.status == 201, identity
    house.arm("PATCH", "", {"identity": {"type": "SystemAssigned, UserAssigned",
                                         "userAssignedIdentities": {identity.json()["id"]: {}}}})
    local = house.vault_audience.replace("//vault.", "//local.vault.")
    answer = house.arm("PUT", "/certificates/login", {"properties": {"keyVault": {
        "secretIdentifier": f"{local}/secrets/nsg",
        "identityClientId": identity.json()["properties"]["clientId"]}}})
    assert "'no-login'" in answer.text, answer
    assert answer.status >= 400
    house.arm("PATCH", "", {"identity": {"type": "SystemAssigned"}})


# --- nothing in use is deleted ---

def test_what_is_in_use_stays(house, group):
    answer = group.arm("DELETE")
    assert answer.status == 409
    assert answer.json()["error"]["code"] == "InUseNetworkSecurityGroupCannotBeDeleted"
    assert "net1" in answer.text
    answer = house.arm("DELETE", group.subnet, version=NETWORK)
    assert answer.status == 409 and answer.json()["error"]["code"] == "InUseSubnetCannotBeDeleted"
    assert house.arm("DELETE", group.network, version=NETWORK).status == 409
    shown = group.arm("GET").json()["properties"]
    assert shown["subnets"] == [{"id": group.subnet}]


@pytest.mark.parametrize("properties, words", [
    ({"virtualNetworkType": "External", "virtualNetworkConfiguration": None}, "required"),
    ({"virtualNetworkType": "Internal",
      "virtualNetworkConfiguration": {"subnetResourceId": "/subscriptions/x/subnets/y"}},
     "not the id of a subnet"),
])
def test_a_service_needs_a_subnet_that_is_there(house, properties, words):
    answer = house.arm("PATCH", "", {"properties": properties})
    assert answer.status == 400 and words in answer.text, answer


@needs_root
def test_a_service_that_leaves_the_network_is_free(house, group, api):
    group.set(rule("nothing", 100))
    assert house.call(f"/{api.a}/x").status == 500
    left = house.arm("PATCH", "", {"properties": {"virtualNetworkType": "None"}})
    assert left.status == 200 and "virtualNetworkConfiguration" not in left.json()["properties"]
    assert house.call(f"/{api.a}/x").text == "ok"
    back = house.arm("PATCH", "", {"properties": {
        "virtualNetworkType": "Internal",
        "virtualNetworkConfiguration": {"subnetResourceId": group.subnet}}})
    assert back.status == 200, back
    assert house.call(f"/{api.a}/x").status == 500
    subnet = {"properties": {"addressPrefix": "10.214.1.0/24"}}
    assert house.arm("PUT", group.subnet, subnet, version=NETWORK).status == 200
    assert house.call(f"/{api.a}/x").text == "ok", "no group, no rules"
    subnet["properties"]["networkSecurityGroup"] = {"id": group.id}
    assert house.arm("PUT", group.subnet, subnet, version=NETWORK).status == 200
    assert house.call(f"/{api.a}/x").status == 500


# --- who may ---

def test_joining_needs_a_right_on_what_is_joined(postern):
    group, name = Group(postern), service.unique("net")
    group.set()
    network = f"{postern.group}/providers/Microsoft.Network/virtualNetworks/{name}"
    subnet = {"addressPrefix": "10.9.1.0/24"}
    body = {"location": "local", "properties": {
        "addressSpace": {"addressPrefixes": ["10.9.0.0/16"]},
        "subnets": [{"name": "s", "properties": subnet}]}}
    assert postern.arm("PUT", network, body, version=NETWORK).status == 201
    person = people.Application(postern)
    person.assign("Contributor", postern.service_id)
    person.assign("Contributor", network)
    joined = {"properties": {"virtualNetworkType": "External", "virtualNetworkConfiguration": {
        "subnetResourceId": network + "/subnets/s"}}}
    other = people.Application(postern)
    other.assign("Contributor", postern.service_id)
    for who, path, change, right in (
            (other, postern.service_id, joined, "subnets/join/action"),
            (person, network + "/subnets/s", {"properties": dict(
                subnet, networkSecurityGroup={"id": group.id})}, "SecurityGroups/join/action")):
        is_service = path == postern.service_id
        answer = who.arm("PATCH" if is_service else "PUT", path, change,
                         **({} if is_service else {"version": NETWORK}))
        assert answer.status == 403, answer
        assert answer.json()["error"]["code"] == "LinkedAuthorizationFailed" and right in answer.text
    person.assign("Contributor", group.id)
    subnet["networkSecurityGroup"] = {"id": group.id}
    assert person.arm("PUT", network + "/subnets/s", {"properties": subnet},
                      version=NETWORK).status == 200
    assert group.arm("DELETE").status == 409
    assert postern.arm("DELETE", network, version=NETWORK).status == 200
    assert group.arm("DELETE").status == 200
