# SPDX-License-Identifier: Apache-2.0
"""Certificates that live in a vault: fetched as the service's identity, followed, pinned, kept."""
import pytest
from lab import service

FOLLOW_LIMIT_S = 10


def put_into_vault(postern, name, identity):
    answer = postern.vault("POST", f"/certificates/{name}/import",
                           {"value": identity.pfx_base64("p"), "pwd": "p"})
    assert answer.status == 200, answer
    return answer.json()["sid"]


def refer(postern, name, secret_id, expect=(200, 201)):
    return postern.put(f"/certificates/{name}", {
        "keyVault": {"secretIdentifier": secret_id, "identityClientId": None}}, expect)


def seen_by(postern, api):
    answer = postern.call(f"/{api}/x")
    return answer.json()["sha1"].upper() if answer.status == 200 else answer.text


@pytest.mark.parametrize("kind", ["rsa2048", "p256"])
def test_a_vault_certificate_reaches_the_backend(postern, ca, nginx, kind):
    name = service.unique("kv")
    identity = ca.client(name, kind)
    put_into_vault(postern, name, identity)
    body = refer(postern, name, f"{postern.vault_url}/secrets/{name}").json()
    assert body["properties"]["thumbprint"] == identity.sha1
    status = body["properties"]["keyVault"]["lastStatus"]
    assert status["code"] == "Success" and status["timeStampUtc"]
    postern.make_api(name, nginx.url("good"), service.with_certificate(name))
    assert seen_by(postern, name) == identity.sha1


def test_a_pem_secret_reaches_the_backend(postern, ca, nginx):
    name = service.unique("kvpem")
    identity = ca.client(name)
    answer = postern.vault("PUT", f"/secrets/{name}", {
        "value": identity.pem.decode(), "contentType": "application/x-pem-file"})
    assert answer.status == 200, answer
    refer(postern, name, f"{postern.vault_url}/secrets/{name}")
    postern.make_api(name, nginx.url("good"), service.with_certificate(name))
    assert seen_by(postern, name) == identity.sha1


def test_a_new_version_is_followed_within_seconds_and_no_request_fails(postern, ca, nginx):
    name = service.unique("follow")
    old, new = ca.client(name + "-1"), ca.client(name + "-2", "rsa2048")
    put_into_vault(postern, name, old)
    refer(postern, name, f"{postern.vault_url}/secrets/{name}")
    postern.make_api(name, nginx.url("good"), service.with_certificate(name))
    assert seen_by(postern, name) == old.sha1
    put_into_vault(postern, name, new)
    seen = []

    def rotated():
        seen.append(seen_by(postern, name))
        return seen[-1] == new.sha1

    service.wait_for("the new version at the backend", rotated, FOLLOW_LIMIT_S)
    assert set(seen) <= {old.sha1, new.sha1}, "a request was lost during the rotation"
    for _ in range(50):
        assert seen_by(postern, name) == new.sha1, "the old certificate came back"
    properties = postern.arm("GET", f"/certificates/{name}").json()["properties"]
    assert properties["thumbprint"] == new.sha1


def test_a_versioned_identifier_is_pinned(postern, ca, nginx):
    name, control = service.unique("pinned"), service.unique("control")
    old, new = ca.client(name + "-1"), ca.client(name + "-2")
    secret_id = put_into_vault(postern, name, old)
    refer(postern, name, secret_id)
    refer(postern, control, f"{postern.vault_url}/secrets/{name}")
    postern.make_api(name, nginx.url("good"), service.with_certificate(name))
    postern.make_api(control, nginx.url("good"), service.with_certificate(control))
    put_into_vault(postern, name, new)
    service.wait_for("the follower", lambda: seen_by(postern, control) == new.sha1, FOLLOW_LIMIT_S)
    assert seen_by(postern, name) == old.sha1
    answer = postern.arm("POST", f"/certificates/{name}/refreshSecret")
    assert answer.status == 200, answer
    assert seen_by(postern, name) == old.sha1


def test_refresh_secret_answers_200_with_the_entity(postern, ca):
    name = service.unique("refresh")
    put_into_vault(postern, name, ca.client(name))
    refer(postern, name, f"{postern.vault_url}/secrets/{name}")
    answer = postern.arm("POST", f"/certificates/{name}/refreshSecret")
    assert answer.status == 200 and answer.headers["ETag"]
    assert answer.json()["properties"]["keyVault"]["lastStatus"]["code"] == "Success"


def test_a_failing_fetch_keeps_the_last_good_certificate_and_says_why(postern, ca, nginx):
    name = service.unique("keep")
    identity = ca.client(name)
    postern.vault("PUT", f"/secrets/{name}", {"value": identity.pfx_base64(),
                                              "contentType": "application/x-pkcs12"})
    refer(postern, name, f"{postern.vault_url}/secrets/{name}")
    postern.make_api(name, nginx.url("good"), service.with_certificate(name))
    assert seen_by(postern, name) == identity.sha1
    postern.vault("PUT", f"/secrets/{name}", {"value": "not a certificate any more",
                                              "contentType": "application/x-pkcs12"})

    def failed():
        keyvault = postern.arm("GET", f"/certificates/{name}").json()["properties"]["keyVault"]
        return keyvault["lastStatus"]["code"] != "Success" and keyvault["lastStatus"]

    status = service.wait_for("lastStatus", failed, FOLLOW_LIMIT_S)
    assert status["message"]
    assert seen_by(postern, name) == identity.sha1
    listed = postern.arm("GET", "/certificates?isKeyVaultRefreshFailed=true").json()["value"]
    assert name in [c["name"] for c in listed]
    postern.vault("PUT", f"/secrets/{name}", {"value": identity.pfx_base64(),
                                              "contentType": "application/x-pkcs12"})
    service.wait_for("recovery", lambda: not failed(), FOLLOW_LIMIT_S)


@pytest.mark.parametrize("identifier", [
    "{vault}/secrets/nowhere-to-be-found", "https://nowhere.invalid/secrets/x",
    "https://localhost:1/secrets/x", "{vault}/certificates/x", "{vault}/secrets/", "not a url",
    "http://localhost:1/secrets/x", ""],
    ids=["secret", "vault", "port", "collection", "no-name", "no-url", "plain-http", "empty"])
def test_an_identifier_that_cannot_be_fetched_is_400_and_stores_nothing(postern, identifier):
    name = service.unique("bad")
    answer = postern.arm("PUT", f"/certificates/{name}", {"properties": {"keyVault": {
        "secretIdentifier": identifier.format(vault=postern.vault_url)}}})
    assert answer.status == 400, answer
    assert answer.json()["error"]["message"]
    assert postern.arm("GET", f"/certificates/{name}").status == 404


def test_an_unknown_vault_of_ours_is_400(postern):
    origin = postern.vault_audience.replace("//vault.", "//nobody.vault.")
    name = service.unique("bad")
    answer = postern.arm("PUT", f"/certificates/{name}", {"properties": {"keyVault": {
        "secretIdentifier": origin + "/secrets/x"}}})
    assert answer.status == 400, answer


def test_a_vault_that_refuses_is_400_on_put_and_last_status_later(own_postern, ca, nginx):
    postern = own_postern
    identity = ca.client("refused")
    put_into_vault(postern, "refused", identity)
    refer(postern, "refused", f"{postern.vault_url}/secrets/refused")
    postern.make_api("refused", nginx.url("good"), service.with_certificate("refused"))
    principal = postern.arm("GET", "").json()["identity"]["principalId"]
    vault = f"{postern.group}/providers/Microsoft.KeyVault/vaults/local"
    policies = postern.arm("GET", vault, version="2022-07-01").json()["properties"][
        "accessPolicies"]
    kept = [p for p in policies if p["objectId"] != principal]
    answer = postern.arm("PUT", vault + "/accessPolicies/replace",
                         {"properties": {"accessPolicies": kept}}, version="2022-07-01")
    removed = [p for p in answer.json()["properties"]["accessPolicies"]
               if p["objectId"] == principal]
    if removed:  # "replace" leaves the policies of others alone
        postern.arm("PUT", vault + "/accessPolicies/remove",
                    {"properties": {"accessPolicies": removed}}, version="2022-07-01")
    fresh = postern.arm("PUT", "/certificates/other", {"properties": {"keyVault": {
        "secretIdentifier": f"{postern.vault_url}/secrets/refused"}}})
    assert fresh.status == 400, fresh
    assert "forbidden" in fresh.text.lower() or "permission" in fresh.text.lower()
    postern.arm("POST", "/certificates/refused/refreshSecret")
    status = postern.arm("GET", "/certificates/refused").json()["properties"]["keyVault"][
        "lastStatus"]
    assert status["code"] != "Success" and status["message"]
    assert seen_by(postern, "refused") == identity.sha1


def test_without_an_identity_a_vault_reference_is_refused(own_postern, ca):
    put_into_vault(own_postern, "anon", ca.client("anon"))
    own_postern.arm("PATCH", "", {"identity": {"type": "None"}}, {"If-Match": "*"})
    answer = own_postern.arm("PUT", "/certificates/anon", {"properties": {"keyVault": {
        "secretIdentifier": f"{own_postern.vault_url}/secrets/anon"}}})
    assert answer.status == 400, answer
    assert "not enabled on the service" in answer.text


def test_an_unattached_identity_client_id_is_refused(postern, ca):
    name = service.unique("who")
    put_into_vault(postern, name, ca.client(name))
    answer = postern.arm("PUT", f"/certificates/{name}", {"properties": {"keyVault": {
        "secretIdentifier": f"{postern.vault_url}/secrets/{name}",
        "identityClientId": "11111111-2222-3333-4444-555555555555"}}})
    assert answer.status == 400, answer


def test_a_thumbprint_of_a_vault_certificate_is_refused_in_policies(postern, ca, nginx):
    name = service.unique("print")
    identity = ca.client(name)
    put_into_vault(postern, name, identity)
    refer(postern, name, f"{postern.vault_url}/secrets/{name}")
    postern.make_api(name, nginx.url("good"))
    answer = postern.set_policy(f"/apis/{name}", service.policy(
        f'<authentication-certificate thumbprint="{identity.sha1}" />'), (400,))
    assert "certificate-id" in answer.text
