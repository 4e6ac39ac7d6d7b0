# SPDX-License-Identifier: Apache-2.0
"""How often a vault is asked: once for each object, however many certificates follow it, and not before
it said when it is throttling. And what comes of an answer that others have overtaken. The vault notes
the time of each question."""
import concurrent.futures
import json
import threading
import time

import pytest
from lab import backends, service, web

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
        self.text = self.identity.pfx_base64()
        self.held = None  # an event: the next secret is made at once, and sent when it is set
        self.version = "0123456789abcdef0123456789abcdef"
        for path, what in (("/secrets/c", self.secret), ("/secrets/c/", self.secret),
                           ("/secrets/c/versions", self.versions),
                           (f"/secrets/c/{self.version}", self.secret)):
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
            answer = json.dumps(what()).encode()
            if what == self.secret and self.held:
                held, self.held = self.held, None
                held.wait(20)
            request.answer(200, answer)

    def secret(self):
        return {"id": f"{self.origin}/secrets/c/{self.version}", "contentType": "application/x-pkcs12",
                "attributes": {"enabled": True}, "value": self.text}

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


@pytest.fixture
def value(house, vault):
    """A named value that follows the vault, and how to refresh it while its vault's answer is held."""
    vault.text = "one"
    house.put("/namedValues/v", {"displayName": "v", "keyVault": {
        "secretIdentifier": f"{vault.origin}/secrets/c"}})

    def refresh_during(change):
        vault.held = held = threading.Event()
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            refreshed = pool.submit(house.arm, "POST", "/namedValues/v/refreshSecret",
                                    session=web.Session(house.control, house.ca_file))
            service.wait_for("the vault is asked", lambda: vault.held is None)
            try:
                change()
            finally:
                held.set()
            return refreshed.result()
    return refresh_during


@pytest.mark.parametrize("other", [{"value": "mine"}, {"keyVault": None}])
def test_a_refresh_whose_value_got_another_source_is_a_conflict(house, vault, value, other):
    if "keyVault" in other:
        other = {"keyVault": {"secretIdentifier": f"{vault.origin}/secrets/c/{vault.version}"}}

    def change():
        vault.text = "two"
        assert house.arm("PATCH", "/namedValues/v", {"properties": other}).status == 200
    answer = value(change)
    assert answer.status == 409, answer
    assert "another source" in answer.json()["error"]["message"], answer
    kept = house.arm("POST", "/namedValues/v/listValue").json()["value"]
    assert kept == other.get("value", "two")


def test_a_refresh_whose_value_was_deleted_finds_none(house, value):
    answer = value(lambda: house.delete("/namedValues/v"))
    assert answer.status == 404, answer


def test_a_late_answer_does_not_replace_a_newer_one(house, vault, value):
    former = vault.version

    def change():
        vault.text, vault.version = "two", "fedcba9876543210fedcba9876543210"
        assert house.arm("POST", "/namedValues/v/refreshSecret").status == 200
    assert value(change).status == 200
    assert house.arm("POST", "/namedValues/v/listValue").json()["value"] == "two"
    rotated = [line for line in house.log().splitlines() if "event=named_value_rotated" in line]
    assert rotated and not [line for line in rotated if f"version={former}" in line], rotated
