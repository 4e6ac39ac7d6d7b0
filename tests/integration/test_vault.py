# SPDX-License-Identifier: Apache-2.0
"""The embedded Key Vault by hand: challenge, secrets, certificates, access policies, sealing."""
import base64
import re
import time
import uuid

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import pkcs12
from lab import service, web


def test_first_request_without_a_token_is_challenged_before_anything_else(postern):
    for method, path in (("GET", "/secrets/none/"), ("PUT", "/secrets/x"),
                         ("POST", "/certificates/x/import"), ("GET", "/no/such/thing")):
        answer = postern.vault(method, path, token="")
        assert answer.status == 401, (method, path, answer)
        challenge = answer.headers["WWW-Authenticate"]
        match = re.fullmatch(r'Bearer authorization="([^"]+)", resource="([^"]+)"', challenge)
        assert match, challenge
        assert match.group(1) == f"{postern.control}/{postern.tenant}"
        assert match.group(2) == postern.vault_audience
        assert answer.json()["error"]["code"] == "Unauthorized"


def test_a_nonsense_token_is_challenged_again(postern):
    answer = postern.vault("GET", "/secrets", token="nonsense")
    assert answer.status == 401 and "Bearer " in answer.headers["WWW-Authenticate"]


def test_secrets_have_values_versions_and_lists(postern):
    name = service.unique("s")
    first = postern.vault("PUT", f"/secrets/{name}", {"value": "one", "contentType": "text/plain",
                                                      "tags": {"a": "b"}, "attributes": {}})
    assert first.status == 200, first
    body = first.json()
    assert re.fullmatch(re.escape(f"{postern.vault_url}/secrets/{name}/") + "[0-9a-f]{32}",
                        body["id"])
    assert (body["value"], body["contentType"], body["tags"]) == ("one", "text/plain", {"a": "b"})
    assert body["attributes"]["enabled"] is True
    second = postern.vault("PUT", f"/secrets/{name}", {"value": "two"}).json()
    assert second["id"] != body["id"]
    for path in (f"/secrets/{name}", f"/secrets/{name}/", f"//secrets/{name}/"):
        assert postern.vault("GET", path).json()["value"] == "two", path
    version = body["id"].rsplit("/", 1)[1]
    assert postern.vault("GET", f"/secrets/{name}/{version}").json()["value"] == "one"
    versions = postern.vault("GET", f"/secrets/{name}/versions").json()["value"]
    assert {v["id"] for v in versions} == {body["id"], second["id"]}
    assert all("value" not in v for v in versions)
    listed, path = [], "/secrets?maxresults=25"
    while path:
        page = postern.vault("GET", path).json()
        listed += [s["id"] for s in page["value"]]
        link = page.get("nextLink")
        path = re.sub(r"[?&]api-version=[^&]*", "", link[len(postern.vault_url):]) if link else None
        path = path.replace("/secrets&", "/secrets?") if path else None
    assert f"{postern.vault_url}/secrets/{name}" in listed


def test_unknown_secret_is_404(postern):
    answer = postern.vault("GET", "/secrets/nowhere-at-all/")
    assert answer.status == 404
    assert answer.json()["error"]["code"] == "SecretNotFound"


@pytest.mark.parametrize("name, body", [
    ("bad_name", {"value": "x"}), ("x" * 128, {"value": "x"}), ("ok", {"value": 5}), ("ok", {}),
    ("ok", {"value": "x" * (25 * 1024 + 1)}), ("ok", b"{broken")],
    ids=["name", "long-name", "number", "no-value", "too-long", "json"])
def test_a_bad_secret_is_400(postern, name, body):
    answer = postern.vault("PUT", f"/secrets/{name}", body)
    assert answer.status == 400, answer
    assert answer.json()["error"]["code"] == "BadParameter"


def test_bare_localhost_is_the_vault_named_local(postern):
    name = service.unique("bare")
    postern.vault("PUT", f"/secrets/{name}", {"value": "v"})
    origin = postern.vault_audience.replace("vault.localhost", "localhost")
    answer = postern.vault("GET", f"/secrets/{name}/", origin=origin)
    assert answer.status == 200, answer
    assert answer.json()["id"].startswith(origin + "/"), "ids start with the caller's origin"


def test_unknown_vault_is_refused(postern):
    origin = postern.vault_audience.replace("vault.localhost", "nowhere.vault.localhost")
    answer = postern.vault("GET", "/secrets", origin=origin)
    assert answer.status in (400, 404), answer


@pytest.mark.parametrize("form", ["pfx", "pem", "base64-of-pem", "pfx-with-newline"])
def test_import_sniffs_the_format(postern, ca, form):
    name = service.unique("imp")
    identity = ca.client(name, "rsa2048")
    body = {"pfx": {"value": identity.pfx_base64("p"), "pwd": "p"},
            "pem": {"value": identity.pem.decode(),
                    "policy": {"secret_props": {"contentType": "application/x-pem-file"}}},
            "base64-of-pem": {"value": base64.b64encode(identity.pem).decode()},
            "pfx-with-newline": {"value": base64.encodebytes(identity.pfx("p")).decode(),
                                 "pwd": "p"}}[form]
    answer = postern.vault("POST", f"/certificates/{name}/import", body)
    assert answer.status == 200, answer
    bundle = answer.json()
    der = base64.b64decode(bundle["cer"])
    assert x509.load_der_x509_certificate(der) == identity.certificate
    versions = {bundle[m].rsplit("/", 1)[1] for m in ("id", "kid", "sid")}
    assert len(versions) == 1
    assert base64.urlsafe_b64decode(bundle["x5t"] + "=").hex().upper() == identity.sha1
    secret = postern.vault("GET", f"/secrets/{name}/").json()
    assert secret["managed"] is True
    if "pem" in form:
        assert secret["contentType"] == "application/x-pem-file"
        assert "BEGIN PRIVATE KEY" in secret["value"] and "BEGIN CERTIFICATE" in secret["value"]
    else:
        assert secret["contentType"] == "application/x-pkcs12"
        key, leaf, _ = pkcs12.load_key_and_certificates(base64.b64decode(secret["value"]), None)
        assert leaf == identity.certificate
        assert key.private_numbers() == identity.key.private_numbers()


@pytest.mark.parametrize("value, password", [
    ("right", "wrong"), ("bm90IGEgcGZ4", ""), ("%%%", ""), ("-----BEGIN CERTIFICATE-----\nx", "")],
    ids=["password", "not-a-pfx", "not-base64", "broken-pem"])
def test_a_bad_import_is_400_and_leaves_no_certificate(postern, ca, value, password):
    name = service.unique("bad")
    if value == "right":
        value = ca.client("x").pfx_base64("right")
    answer = postern.vault("POST", f"/certificates/{name}/import",
                           {"value": value, "pwd": password})
    assert answer.status == 400, answer
    assert answer.json()["error"]["code"] == "BadParameter"
    assert postern.vault("GET", f"/certificates/{name}/").status == 404


def create(postern, name, **policy):
    policy = dict({"x509_props": {"subject": f"CN={name}", "sans": {}, "validity_months": 6},
                   "issuer": {"name": "Self"}, "key_props": {}, "secret_props": {},
                   "attributes": {}}, **policy)
    answer = postern.vault("POST", f"/certificates/{name}/create", {"policy": policy,
                                                                    "attributes": {}})
    assert answer.status == 202, answer
    service.wait_for("certificate", lambda: postern.vault(
        "GET", f"/certificates/{name}/pending").json()["status"] == "completed")
    return postern.vault("GET", f"/certificates/{name}/").json()


@pytest.mark.parametrize("key, expect", [({}, 2048), ({"kty": "RSA", "key_size": 4096}, 4096),
                                         ({"kty": "EC", "crv": "P-256"}, 256),
                                         ({"kty": "EC", "crv": "P-384"}, 384)],
                         ids=["default", "rsa4096", "p256", "p384"])
def test_a_self_signed_certificate_is_created(postern, key, expect):
    name = service.unique("self")
    bundle = create(postern, name, key_props=key)
    certificate = x509.load_der_x509_certificate(base64.b64decode(bundle["cer"]))
    assert certificate.public_key().key_size == expect
    assert certificate.issuer == certificate.subject
    assert f"CN={name}" in certificate.subject.rfc4514_string()
    assert bundle["policy"]["issuer"]["name"] == "Self"


def test_versions_and_lists_of_certificates(postern, ca):
    name = service.unique("ver")
    for i in range(2):
        identity = ca.client(f"{name}-{i}")
        answer = postern.vault("POST", f"/certificates/{name}/import",
                               {"value": identity.pfx_base64()})
        assert answer.status == 200, answer
    versions = postern.vault("GET", f"/certificates/{name}/versions").json()["value"]
    assert len(versions) == 2
    latest = postern.vault("GET", f"/certificates/{name}/").json()
    assert base64.urlsafe_b64decode(latest["x5t"] + "=").hex().upper() == identity.sha1


def vault_resource(postern, name="local"):
    return f"{postern.group}/providers/Microsoft.KeyVault/vaults/{name}"


def test_access_policies_are_enforced(own_postern):
    """The service's identity may get and list secrets; taken away, nothing is fetched any more."""
    postern = own_postern
    principal = postern.arm("GET", "").json()["identity"]["principalId"]
    vault = postern.arm("GET", vault_resource(postern), version="2022-07-01")
    assert vault.status == 200, vault
    policies = vault.json()["properties"]["accessPolicies"]
    mine = [p for p in policies if p["objectId"] == principal]
    assert mine and {"get", "list"} <= {x.lower() for x in mine[0]["permissions"]["secrets"]}
    postern.vault("PUT", "/secrets/held", {"value": "v"})
    admin = next(p for p in policies if p["objectId"] != principal)
    less = dict(admin, permissions=dict(admin["permissions"], secrets=["list", "set"]))
    answer = postern.arm("PUT", vault_resource(postern) + "/accessPolicies/replace",
                         {"properties": {"accessPolicies": [less]}}, version="2022-07-01")
    assert answer.status in (200, 201), answer
    refused = postern.vault("GET", "/secrets/held/")
    assert refused.status == 403, refused
    assert refused.json()["error"]["code"] == "Forbidden"
    assert refused.json()["error"]["innererror"]["code"] in ("ForbiddenByPolicy", "AccessDenied")
    assert "secrets get" in refused.json()["error"]["message"]
    assert postern.vault("GET", "/secrets").status == 200


def test_vaults_are_made_by_the_management_api(postern):
    name = "kv" + uuid.uuid4().hex[:8]
    principal = None
    for policy in postern.arm("GET", vault_resource(postern), version="2022-07-01").json()[
            "properties"]["accessPolicies"]:
        if "all" in policy["permissions"].get("secrets", []) or \
                "set" in [p.lower() for p in policy["permissions"].get("secrets", [])]:
            principal = policy["objectId"]
    answer = postern.arm("PUT", vault_resource(postern, name), {
        "location": "local", "properties": {
            "tenantId": postern.tenant, "sku": {"family": "A", "name": "standard"},
            "accessPolicies": [{"tenantId": postern.tenant, "objectId": principal,
                                "permissions": {"secrets": ["all"], "certificates": ["all"]}}]}},
        version="2022-07-01")
    assert answer.status in (200, 201), answer
    uri = answer.json()["properties"]["vaultUri"].rstrip("/")
    assert uri == postern.vault_audience.replace("//vault.", f"//{name}.vault.")
    made = postern.vault("PUT", "/secrets/x", {"value": "v"}, origin=uri)
    assert made.status == 200, made
    assert made.json()["id"].startswith(uri + "/secrets/x/")


def test_plain_http_on_the_vault_listener_is_refused(postern):
    received = web.raw(postern.vault_url, b"GET /secrets HTTP/1.1\r\nHost: localhost\r\n\r\n", 5)
    assert b" 200 " not in received.split(b"\r\n")[0]


def test_a_vault_with_purge_protection_keeps_what_is_deleted(postern):
    name = service.unique("kept")[:24].rstrip("-")
    path = f"{postern.group}/providers/Microsoft.KeyVault/vaults/"
    owner = postern.arm("GET", path + "local", version="2022-07-01").json()["properties"][
        "accessPolicies"][0]["objectId"]
    made = postern.arm("PUT", path + name, {"location": "local", "properties": {
        "tenantId": postern.tenant, "sku": {"family": "A", "name": "standard"},
        "softDeleteRetentionInDays": 7, "enablePurgeProtection": True,
        "accessPolicies": [{"tenantId": postern.tenant, "objectId": owner, "permissions": {
            "secrets": ["all"]}}]}}, version="2022-07-01")
    assert made.status == 201, made
    origin = postern.vault_audience.replace("vault.localhost", f"{name}.vault.localhost")
    secret = postern.vault("PUT", "/secrets/s", {"value": "x"}, origin=origin).json()
    assert secret["attributes"]["recoveryLevel"] == "CustomizedRecoverable"
    assert secret["attributes"]["recoverableDays"] == 7
    deleted = postern.vault("DELETE", "/secrets/s", origin=origin).json()
    assert deleted["scheduledPurgeDate"] - deleted["deletedDate"] == 7 * 86400
    answer = postern.vault("DELETE", "/deletedsecrets/s", origin=origin)
    assert answer.status == 403, answer
    assert answer.json()["error"]["innererror"]["code"] == "ForbiddenByPolicy"
    answer = postern.vault("PUT", "/secrets/s", {"value": "y"}, origin=origin)
    assert answer.status == 409
    assert answer.json()["error"]["innererror"]["code"] == "ObjectIsDeletedButRecoverable"
    assert postern.vault("POST", "/deletedsecrets/s/recover", origin=origin).status == 200
    assert postern.vault("GET", "/secrets/s/", origin=origin).json()["value"] == "x"
    keys = postern.vault("POST", "/keys/k/create", {"kty": "EC"}, origin=origin)
    assert keys.status == 403 and "keys create permission" in keys.text


OPERATIONS = {"encrypt": "RSA-OAEP", "wrapkey": "RSA-OAEP", "sign": "RS256", "decrypt": "RSA-OAEP",
              "unwrapkey": "RSA-OAEP", "verify": "RS256"}
OPENING = {"decrypt", "unwrapkey", "verify"}  # what was closed before can still be opened
HOUR = 3600


@pytest.fixture(scope="module")
def rsa_key(postern):
    """A key, and for each operation a body that it takes."""
    name = service.unique("gated")
    answer = postern.vault("POST", f"/keys/{name}/create", {"kty": "RSA"})
    assert answer.status == 200, answer
    digest = base64.urlsafe_b64encode(bytes(32)).decode().rstrip("=")
    bodies = {o: {"alg": alg, "value": digest} for o, alg in OPERATIONS.items()}

    def value(operation):
        return postern.vault("POST", f"/keys/{name}/{operation}", bodies[operation]).json()["value"]

    bodies["decrypt"]["value"] = bodies["unwrapkey"]["value"] = value("encrypt")
    bodies["verify"].update(digest=digest, value=value("sign"))
    return name, bodies


@pytest.mark.parametrize("change, code, goes_on", [
    (lambda now: {"attributes": {"enabled": False}}, "KeyDisabled", set()),
    (lambda now: {"attributes": {"exp": now - HOUR}}, "KeyExpired", OPENING),
    (lambda now: {"attributes": {"nbf": now + HOUR}}, "KeyNotYetValid", OPENING),
    (lambda now: {"key_ops": []}, "KeyOperationForbidden", set()),
    (lambda now: {"key_ops": ["sign"]}, "KeyOperationForbidden", {"sign"}),
    (lambda now: {"key_ops": ["wrapKey", "verify"]}, "KeyOperationForbidden",
     {"wrapkey", "verify"})],
    ids=["disabled", "expired", "not-yet", "no-ops", "sign-only", "two-ops"])
def test_a_key_does_what_its_state_and_its_key_ops_let_it(postern, rsa_key, change, code, goes_on):
    name, bodies = rsa_key
    now = int(time.time())
    free = {"attributes": {"enabled": True, "nbf": now - 2 * HOUR, "exp": now + 2 * HOUR},
            "key_ops": ["encrypt", "decrypt", "sign", "verify", "wrapKey", "unwrapKey"]}

    def run(operation):
        answer = postern.vault("POST", f"/keys/{name}/{operation}", bodies[operation])
        return answer.status if answer.status == 200 else answer.json()["error"]["innererror"]["code"]

    assert postern.vault("PATCH", f"/keys/{name}", free).status == 200
    assert {o: run(o) for o in OPERATIONS} == dict.fromkeys(OPERATIONS, 200)
    assert postern.vault("PATCH", f"/keys/{name}", change(now)).status == 200
    assert {o: run(o) for o in OPERATIONS} == {
        o: 200 if o in goes_on else code for o in OPERATIONS}
    version = postern.vault("GET", f"/keys/{name}").json()["key"]["kid"].rsplit("/", 1)[1]
    refused = next(o for o in OPERATIONS if o not in goes_on)
    by_version = postern.vault("POST", f"/keys/{name}/{version}/{refused}", bodies[refused])
    assert by_version.status == 403, "its version says the same"
    assert postern.vault("PATCH", f"/keys/{name}", free).status == 200
