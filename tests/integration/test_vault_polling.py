# SPDX-License-Identifier: Apache-2.0
"""How often a vault is asked: once for each object, however many certificates follow it, and not before
it said when it is throttling. The vault notes the time of each question."""
import json
import time

import pytest
from lab import backends, service

INTERVAL_S, RETRY_AFTER_S = 1, 3


class Vault:
    def __init__(self, folder, ca):
        self.tokens = backends.Python()
        self.tokens.route("/token", lambda request: request.answer(200, json.dumps({
            "access_token": "a.token", "expires_on": "4102444800", "token_type": "Bearer"}).encode()))
        self.server = backends.Python(ca.server().write(folder, "vault"))
        self.port = self.server.httpd.server_address[1]
        self.origin = f"https://localhost:{self.port}"
        self.identity, self.asked, self.is_throttling = ca.client("polled"), [], False
        self.version = "0123456789abcdef0123456789abcdef"
        for path, what in (("/secrets/c", self.secret), ("/secrets/c/", self.secret),
                           ("/secrets/c/versions", self.versions)):
            self.server.route(path, lambda request, what=what: self.answer(request, what))

    def answer(self, request, what):
        if request.headers.get("Authorization") != "Bearer a.token":
            request.answer(401, headers={"WWW-Authenticate": 'Bearer authorization="https://login.test", '
                                         f'resource="{self.origin}"'})
            return
        self.asked.append(time.monotonic())
        if self.is_throttling:
            request.answer(429, b'{"error":{"code":"Throttled","message":"slowly"}}',
                           {"Retry-After": str(RETRY_AFTER_S)})
        else:
            request.answer(200, json.dumps(what()).encode())

    def secret(self):
        return {"id": f"{self.origin}/secrets/c/{self.version}", "contentType": "application/x-pkcs12",
                "attributes": {"enabled": True}, "value": self.identity.pfx_base64()}

    def versions(self):
        return {"value": [{"id": f"{self.origin}/secrets/c/{self.version}",
                           "attributes": {"enabled": True, "created": 1}}]}

    def stop(self):
        self.server.stop()
        self.tokens.stop()


@pytest.fixture
def vault(tmp_path, ca):
    made = Vault(tmp_path, ca)
    yield made
    made.stop()


@pytest.fixture
def house(tmp_path, trust, vault):
    instance = service.Postern(tmp_path / "house", environment=dict(
        trust, IDENTITY_ENDPOINT=vault.tokens.url + "/token", IDENTITY_HEADER="header"),
        options=["--token-source", "app-service", "--rotation-interval", str(INTERVAL_S)])
    instance.start()
    yield instance
    instance.stop()


def gaps(times):
    return [later - earlier for earlier, later in zip(times, times[1:])]


def test_an_object_is_asked_for_once_and_not_while_the_vault_throttles(house, vault):
    for number in range(3):
        house.put(f"/certificates/polled-{number}", {
            "keyVault": {"secretIdentifier": f"{vault.origin}/secrets/c"}})
    begin = len(vault.asked)
    service.wait_for("four looks", lambda: len(vault.asked) >= begin + 4, 30)
    assert min(gaps(vault.asked[begin:])) > INTERVAL_S / 2, "three certificates, one look at a time"
    vault.is_throttling = True
    begin = len(vault.asked)
    service.wait_for("three refusals", lambda: len(vault.asked) >= begin + 3, 40)
    assert min(gaps(vault.asked[begin:begin + 3])) > RETRY_AFTER_S - 0.01, gaps(vault.asked[begin:])
    last = house.arm("GET", "/certificates/polled-0").json()["properties"]["keyVault"]["lastStatus"]
    assert last["code"] == "VaultThrottled", last
    vault.is_throttling = False
    service.wait_for("a look that goes well", lambda: house.arm("GET", "/certificates/polled-0").json()[
        "properties"]["keyVault"]["lastStatus"]["code"] == "Success", 30)
