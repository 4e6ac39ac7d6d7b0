# SPDX-License-Identifier: Apache-2.0
"""The token authority: client credentials by secret and by certificate, metadata, keys, refusals."""
import base64
import json
import pathlib
import subprocess
import time
import uuid

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from lab import people


def claims_of(token):
    part = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))


def header_of(token):
    part = token.split(".")[0]
    return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))


def number(text):
    return int.from_bytes(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)), "big")


@pytest.mark.parametrize("path", ["/{tenant}/oauth2/v2.0/token", "/{tenant}/oauth2/token",
                                  "/adfs/oauth2/token"])
def test_client_secret_gets_a_bearer_token_at(postern, path):
    fields = {}
    if path == "/{tenant}/oauth2/token":
        fields = {"resource": postern.control, "scope": None}
    answer = postern.ask_token(postern.control, path=path.format(tenant=postern.tenant), **fields)
    assert answer.status == 200, answer
    body = answer.json()
    assert body["token_type"] == "Bearer"
    assert 0 < int(body["expires_in"]) <= 3600
    # Azure's v1 writes texts; az, which signs in at /adfs, adds it to a number.
    assert isinstance(body["expires_in"], str if path == "/{tenant}/oauth2/token" else int)
    claims = claims_of(body["access_token"])
    assert claims["aud"] == postern.control
    assert claims["tid"] == postern.tenant
    assert claims["oid"] and claims["exp"] > time.time()
    assert postern.arm("GET", "", token=body["access_token"]).status == 200


def test_client_request_id_in_the_query_is_ignored(postern):
    answer = postern.ask_token(
        postern.control, path=f"/{postern.tenant}/oauth2/v2.0/token?client-request-id=abc")
    assert answer.status == 200, answer


def test_double_slash_before_default_keeps_the_slash_in_the_audience(postern):
    answer = postern.ask_token(postern.control + "/arm/")
    assert answer.status == 200, answer
    assert claims_of(answer.json()["access_token"])["aud"] == postern.control + "/arm/"


@pytest.mark.parametrize("base, metadata", [
    ("/{tenant}", "/{tenant}/v2.0/.well-known/openid-configuration"),
    ("/{tenant}", "/{tenant}/.well-known/openid-configuration"),
    ("/adfs", "/adfs/.well-known/openid-configuration")])
def test_metadata_leads_to_keys_that_verify_the_token(postern, base, metadata):
    session = postern.session(postern.control)
    answer = session.get(metadata.format(tenant=postern.tenant))
    assert answer.status == 200, answer
    document = answer.json()
    for member in ("authorization_endpoint", "token_endpoint", "issuer", "jwks_uri"):
        assert document[member].startswith(postern.control + "/"), (member, document)
    path = document["token_endpoint"][len(postern.control):]
    assert path.startswith(base.format(tenant=postern.tenant))
    fields = {}
    if path.endswith("/oauth2/token") and "adfs" not in path:
        fields = {"resource": postern.control, "scope": None}
    token = postern.ask_token(postern.control, path=path, **fields).json()["access_token"]
    keys = session.get(document["jwks_uri"][len(postern.control):]).json()["keys"]
    header = header_of(token)
    assert header["alg"] == "RS256"
    key = next(k for k in keys if k["kid"] == header["kid"])
    public = rsa.RSAPublicNumbers(number(key["e"]), number(key["n"])).public_key()
    signed, _, signature = token.rpartition(".")
    public.verify(base64.urlsafe_b64decode(signature + "=="), signed.encode(),
                  padding.PKCS1v15(), hashes.SHA256())
    if "x5c" in key:
        certificate = x509.load_der_x509_certificate(base64.b64decode(key["x5c"][0]))
        assert certificate.public_key().public_numbers() == public.public_numbers()


def test_wrong_secret_is_refused_without_echo(postern):
    answer = postern.ask_token(postern.control, secret="not-the-secret-7c1")
    assert answer.status in (400, 401)
    assert answer.json()["error"] == "invalid_client"
    assert "AADSTS7000215" in answer.json()["error_description"]
    assert "not-the-secret-7c1" not in answer.text
    assert "not-the-secret-7c1" not in postern.log()


def test_unknown_application_is_refused(postern):
    answer = postern.ask_token(postern.control, client_id="6e2d1c52-7f0e-4a4e-9d4b-0f5c1e6a0001")
    assert answer.status in (400, 401)
    assert "AADSTS700016" in answer.json()["error_description"]


def test_unknown_tenant_is_refused(postern):
    answer = postern.ask_token(
        postern.control, path="/00000000-1111-2222-3333-444444444444/oauth2/v2.0/token")
    assert answer.status == 400
    assert "AADSTS90002" in answer.json()["error_description"]


def test_other_grant_types_are_refused(postern):
    answer = postern.ask_token(postern.control, grant_type="password")
    assert answer.status == 400
    assert answer.json()["error"] == "unsupported_grant_type"


def test_get_of_the_token_endpoint_is_refused(postern):
    answer = postern.session(postern.control).get(f"/{postern.tenant}/oauth2/v2.0/token")
    assert answer.status in (400, 405)


def test_curl_logs_in_with_the_administrators_secret(postern, curl):
    text = curl(f"{postern.control}/{postern.tenant}/oauth2/v2.0/token",
                "-d", "grant_type=client_credentials", "-d", f"client_id={postern.client_id}",
                "--data-urlencode", f"client_secret@{postern.ready['clientSecretFile']}",
                "-d", f"scope={postern.control}/.default")
    assert json.loads(text)["access_token"].count(".") == 2


def test_the_administrators_secret_is_for_its_owner_only(postern):
    assert pathlib.Path(postern.ready["clientSecretFile"]).stat().st_mode & 0o077 == 0


def test_control_listener_speaks_tls_1_2_and_1_3_with_its_own_ca(postern):
    port = postern.control.rsplit(":", 1)[1]
    for option, version in (("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")):
        done = subprocess.run(
            ["openssl", "s_client", "-connect", f"localhost:{port}", "-servername", "localhost",
             "-CAfile", postern.ca_file, "-verify_return_error", "-verify_hostname", "localhost",
             option], input="", capture_output=True, text=True, timeout=20)
        assert done.returncode == 0, done.stderr + done.stdout
        assert version in done.stdout


def _principals(postern, query, token):
    return postern.session(postern.control).call(
        "GET", "/msgraph/v1.0/servicePrincipals" + query, headers={"Authorization": "Bearer " + token})


def test_a_service_principal_is_found_by_its_client_id(postern):
    """az keyvault create asks for its own object id, set-policy --spn for another's."""
    token = postern.token(postern.control + "/msgraph/")
    filters = [f"?$filter=servicePrincipalNames/any(c:c%20eq%20'{postern.client_id}')",
               f"?%24filter=appId%20eq%20'{postern.client_id}'"]
    for query in filters:
        answer = _principals(postern, query, token)
        assert answer.status == 200, answer
        found = answer.json()["value"]
        assert [f["appId"] for f in found] == [postern.client_id]
        assert found[0]["id"] == claims_of(token)["oid"]
    nobody = _principals(postern, "?$filter=appId%20eq%20'" + str(uuid.uuid4()) + "'", token)
    assert nobody.json() == {"value": []}
    assert _principals(postern, "", token).status == 400
    assert _principals(postern, filters[1], "x").status == 401
    other = people.Application(postern)
    theirs = other.token(postern.control + "/msgraph/")
    assert _principals(postern, filters[1], theirs).status == 403
    itself = _principals(postern, f"?$filter=appId%20eq%20'{other.client_id}'", theirs)
    assert itself.json()["value"][0]["id"] == claims_of(theirs)["oid"]
