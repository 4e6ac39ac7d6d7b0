# SPDX-License-Identifier: Apache-2.0
"""Managed identities for applications beside the gateway: the protocols of IMDS and App Service."""
import base64
import http.client
import json
import os
import shutil
import socket
import subprocess
import time
import urllib.parse

import pytest
from lab import service
from test_identities import make_identity, set_identity
from test_sdks import JS

TOKEN = "/metadata/identity/oauth2/token"
USER = ("one", "two")


class House:
    """A Postern with an endpoint; it gives the system-assigned identity and the user-assigned "one",
    but not "two", which the service has, too."""

    def __init__(self, folder, trust):
        self.socket = folder / "identity.sock"
        first = service.Postern(folder, environment=trust).start()
        self.users = {name: make_identity(first, name="user-" + name) for name in USER}
        set_identity(first, {"type": "SystemAssigned, UserAssigned", "userAssignedIdentities": {
            i["id"]: {} for i in self.users.values()}})
        first.stop()
        self.postern = service.Postern(folder, environment=trust, options=[
            "--identity-endpoint", f"localhost:0,unix:{self.socket},mode=0600",
            "--endpoint-identity", "system",
            "--endpoint-identity", self.users["one"]["properties"]["clientId"]]).start()
        self.url = self.postern.ready["identityEndpointUrl"]
        self.header = (self.postern.data / "identity.header").read_text().strip()
        self.system = self.postern.arm("GET", "").json()["identity"]["principalId"]
        self.postern.vault("PUT", "/secrets/beside", {"value": "for neighbours"})
        self.grant(self.users["one"]["properties"]["principalId"])

    def grant(self, principal):
        answer = self.postern.arm(
            "PUT", f"{self.postern.group}/providers/Microsoft.KeyVault/vaults/local/"
            "accessPolicies/add", {"properties": {"accessPolicies": [{
                "tenantId": self.postern.tenant, "objectId": principal,
                "permissions": {"secrets": ["get", "list"]}}]}}, version="2022-07-01")
        assert answer.status in (200, 201), answer

    def ask(self, path=TOKEN, headers=None, method="GET", body=None, connection=None, **query):
        where = urllib.parse.urlsplit(self.url)
        connection = connection or http.client.HTTPConnection(where.hostname, where.port,
                                                              timeout=20)
        query = {k.rstrip("_"): v for k, v in dict({
            "api_version": "2018-02-01", "resource": self.postern.vault_audience},
            **query).items() if v is not None}
        text = urllib.parse.urlencode({k.replace("api_version", "api-version"): v
                                       for k, v in query.items()})
        connection.request(method, path + ("?" + text if method == "GET" else ""),
                           body or (text if method == "POST" else None),
                           dict({"Metadata": "true"}, **(headers or {})))
        answer = connection.getresponse()
        data = answer.read()
        connection.close()
        return answer.status, json.loads(data), answer.headers

    def client_of(self, name):
        return self.users[name]["properties"]["clientId"]


@pytest.fixture(scope="module")
def house(tmp_path_factory, trust):
    made = House(tmp_path_factory.mktemp("endpoint"), trust)
    yield made
    made.postern.stop()


def claims_of(token):
    part = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))


def run(house, environment, **settings):
    settings = dict(settings, ready=house.postern.ready, secretName="beside")
    done = subprocess.run(
        [shutil.which("node") or "node", "managed_identity.mjs"], cwd=JS,
        input=json.dumps(settings), capture_output=True, text=True, timeout=120,
        env=dict(os.environ, NODE_EXTRA_CA_CERTS=house.postern.ca_file, **environment))
    assert done.returncode == 0, done.stderr[-6000:] + done.stdout[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_azure_identity_reads_a_secret_by_both_protocols(house):
    credentials = {"system": {}, "one": {"clientId": house.client_of("one")},
                   "by id": {"resourceId": house.users["one"]["id"]},
                   "two": {"clientId": house.client_of("two")}}
    for environment in ({"AZURE_POD_IDENTITY_AUTHORITY_HOST": house.url},
                        {"IDENTITY_ENDPOINT": house.url + "/msi/token",
                         "IDENTITY_HEADER": house.header}):
        facts = run(house, environment, credentials=credentials, refused=["two"])
        assert "two" in facts and facts.pop("two"), "an identity that is not the endpoint's"
        assert facts == dict.fromkeys(("system", "one", "by id"), "for neighbours")


def test_the_answer_has_azures_members_and_the_tokens_claims(house):
    before = int(time.time())
    status, answer, headers = house.ask()
    assert status == 200 and headers["Cache-Control"] == "no-store"
    assert set(answer) == {"access_token", "client_id", "expires_in", "expires_on",
                           "ext_expires_in", "not_before", "resource", "token_type"}
    assert all(isinstance(v, str) for v in answer.values())
    assert int(answer["expires_on"]) - before > 3000 and answer["token_type"] == "Bearer"
    claims = claims_of(answer["access_token"])
    assert (claims["oid"], claims["aud"]) == (house.system, house.postern.vault_audience)
    status, answer, _ = house.ask(client_id=house.client_of("one"))
    assert claims_of(answer["access_token"])["xms_mirid"] == house.users["one"]["id"]
    one = house.users["one"]
    for name, value in (("clientid", house.client_of("one")),
                        ("object_id", one["properties"]["principalId"]),
                        ("principal_id", one["properties"]["principalId"]),
                        ("msi_res_id", one["id"].upper()), ("mi_res_id", one["id"])):
        status, answer, _ = house.ask(path=TOKEN + "/", **{name: value})
        assert (status, answer["client_id"]) == (200, house.client_of("one")), name


def test_a_neighbour_is_not_the_trusted_service(house):
    """The service passes a vault's firewall by bypass AzureServices; who asks here does not."""
    _, answer, _ = house.ask()
    token = answer["access_token"]
    assert "xms_mirid" not in claims_of(token)
    vault = f"{house.postern.group}/providers/Microsoft.KeyVault/vaults/local"
    assert house.postern.vault("GET", "/secrets/beside", token=token).status == 200
    closed = house.postern.arm("PATCH", vault, {"properties": {"networkAcls": {
        "defaultAction": "Deny", "bypass": "AzureServices"}}}, version="2022-07-01")
    assert closed.status == 200, closed
    refused = house.postern.vault("GET", "/secrets/beside", token=token)
    opened = house.postern.arm("PATCH", vault, {"properties": {"networkAcls": {
        "defaultAction": "Allow"}}}, version="2022-07-01")
    assert opened.status == 200
    assert refused.status == 403 and "ForbiddenByFirewall" in refused.text, refused


@pytest.mark.parametrize("change, description", [
    ({"headers": {"Metadata": "false"}}, "Required metadata header not specified"),
    ({"headers": {"X-Forwarded-For": "1.2.3.4"}}, "X-Forwarded-For"),
    ({"headers": {"Via": "1.1 proxy"}}, "X-Forwarded-For"),
    ({"headers": {"Origin": "http://evil.test"}}, "Browsers"),
    ({"headers": {"Sec-Fetch-Site": "same-origin"}}, "Browsers"),
    ({"headers": {"Host": "rebound.evil.test"}}, "Host"),
    ({"headers": {"Host": "127.0.0.1.evil.test"}}, "Host"),
    ({"headers": {"Host": "localhost.evil.test"}}, "Host"),
    ({"resource": None}, "'resource' is missing"),
    ({"api_version": None}, "'api-version' is missing"),
    ({"api_version": "2017-12-01"}, "not supported"),
    ({"client_id": "11111111-2222-3333-4444-555555555555"}, "Identity not found"),
    ({"client_id": "two"}, "Identity not found"), ({"msi_res_id": "two"}, "Identity not found"),
    ({"client_id": "x", "object_id": "y"}, "more than one"),
    ({"resource": "https://evil.test"}, "AADSTS500011"),
], ids=str)
def test_what_is_refused_with_400_as_imds_says_it(house, change, description):
    change = dict(change)
    if change.get("client_id") == "two":
        change["client_id"] = house.client_of("two")
    if change.get("msi_res_id") == "two":
        change["msi_res_id"] = house.users["two"]["id"]
    status, answer, _ = house.ask(**change)
    assert status == 400 and set(answer) == {"error", "error_description"}, answer
    assert answer["error"] in ("invalid_request", "invalid_resource")
    assert description in answer["error_description"]


def test_app_service_wants_its_header(house):
    good = {"X-IDENTITY-HEADER": house.header}
    ask = {"path": "/msi/token", "api_version": "2019-08-01"}
    status, answer, _ = house.ask(headers=good, **ask)
    assert status == 200 and set(answer) == {"access_token", "client_id", "expires_on", "resource",
                                             "token_type"}
    for headers in ({}, {"X-IDENTITY-HEADER": "wrong"}, {"X-IDENTITY-HEADER": ""},
                    {"secret": house.header}):
        status, answer, _ = house.ask(headers=headers, **ask)
        assert status == 401 and answer["statusCode"] == 401, answer
    assert house.ask(headers=dict(good, **{"X-Forwarded-For": "1.1.1.1"}), **ask)[0] == 400
    assert house.ask(headers=good, path="/msi/token", api_version="2020-01-01")[0] == 400
    old = house.ask(headers={"secret": house.header}, path="/msi/token", api_version="2017-09-01")
    assert old[0] == 200
    unknown = house.ask(headers=good, client_id=house.client_of("two"), **ask)
    assert unknown[0] == 400 and unknown[1]["message"] == "Identity not found"
    assert oct((house.postern.data / "identity.header").stat().st_mode)[-3:] == "600"


def test_cloud_shell_posts_a_form(house):
    status, answer, _ = house.ask(method="POST", headers={
        "Content-Type": "application/x-www-form-urlencoded"}, api_version=None)
    assert status == 200 and answer["expires_on"], answer
    assert house.ask(method="POST", headers={"Content-Type": "text/plain"})[0] == 400
    assert house.ask(method="PUT")[0] == 405 and house.ask(path="/metadata")[0] == 404


def test_a_unix_socket_serves_too(house):
    class Unix(http.client.HTTPConnection):
        def connect(self):
            self.sock = socket.socket(socket.AF_UNIX)
            self.sock.connect(str(house.socket))

    assert oct(house.socket.stat().st_mode)[-3:] == "600"
    assert house.ask(connection=Unix("anything"))[0] == 200
    assert house.ask(connection=Unix("anything"), headers={"Metadata": "no"})[0] == 400


def test_an_identity_that_is_taken_away_gets_no_more_tokens(house):
    postern = house.postern
    assert house.ask(client_id=house.client_of("one"))[0] == 200
    set_identity(postern, {"type": "UserAssigned", "userAssignedIdentities": {
        house.users["one"]["id"]: None}})
    try:
        assert house.ask(client_id=house.client_of("one"))[1]["error_description"] == \
            "Identity not found"
        assert house.ask()[1]["error_description"] == "Identity not found"
    finally:
        set_identity(postern, {"type": "SystemAssigned, UserAssigned", "userAssignedIdentities": {
            house.users["one"]["id"]: {}}})
    assert house.ask(client_id=house.client_of("one"))[0] == 200


def test_it_is_off_and_local_by_default(postern, tmp_path):
    assert "identityEndpointUrl" not in postern.ready
    assert postern.session(postern.control).call("GET", TOKEN, None, {
        "Metadata": "true"}).status == 404
    for arguments, words in (
            (["--identity-endpoint", "0.0.0.0:0", "--endpoint-identity", "system"], "loopback"),
            (["--identity-endpoint", ":0", "--endpoint-identity", "system"], "loopback"),
            (["--identity-endpoint", "127.0.0.1:0,proxy", "--endpoint-identity", "system"],
             "without proxy"),
            (["--identity-endpoint", "127.0.0.1:0"], "--endpoint-identity")):
        done = subprocess.run([str(service.BIN / "postern"), "serve", "--check", "--data",
                               str(tmp_path), *arguments], capture_output=True, text=True)
        assert done.returncode == 2 and words in done.stderr, done


def test_tokens_have_a_limit_and_a_counter(house):
    given = house.postern.metric("postern_identity_endpoint_tokens_total")
    assert house.ask()[0] == 200
    assert house.postern.metric("postern_identity_endpoint_tokens_total") == given + 1
    assert house.postern.metric("postern_identity_endpoint_refused_total") > 0
    log = house.postern.log()
    assert "event=identity_endpoint_token" in log and "eyJ" not in log
    assert house.header not in log
