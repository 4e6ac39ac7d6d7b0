# SPDX-License-Identifier: Apache-2.0
"""The certificate contract of the management API, and every bad upload."""
import base64
import datetime

import pytest
from lab import pki, service


def put(postern, name, **properties):
    return postern.arm("PUT", f"/certificates/{name}", {"properties": properties})


@pytest.mark.parametrize("kind", pki.KEY_TYPES)
def test_an_uploaded_pfx_is_described_as_in_the_contract(postern, ca, kind):
    identity = ca.client(service.unique("contract"), kind)
    name = service.unique("c")
    answer = put(postern, name, data=identity.pfx_base64("p w"), password="p w")
    assert answer.status == 201, answer
    body = answer.json()
    assert body["id"] == f"{postern.service_id}/certificates/{name}"
    assert body["name"] == name
    assert body["type"] == "Microsoft.ApiManagement/service/certificates"
    properties = body["properties"]
    assert properties["thumbprint"] == identity.sha1
    assert properties["subject"] == f"CN={identity.common_name}, O=Postern tests, C=DE"
    expires = datetime.datetime.strptime(properties["expirationDate"][:19], "%Y-%m-%dT%H:%M:%S")
    assert expires == identity.certificate.not_valid_after
    assert "data" not in properties and "password" not in properties
    assert answer.headers["ETag"] == postern.arm("GET", f"/certificates/{name}").headers["ETag"]
    assert postern.arm("HEAD", f"/certificates/{name}").status == 200
    assert put(postern, name, data=identity.pfx_base64("p w"), password="p w").status == 200


@pytest.mark.parametrize("password", ["", "ä€𝄞", "x" * 100, "with \"quotes\" \\ and \t tab"],
                         ids=["empty", "unicode", "long", "special"])
def test_any_password_opens_its_pfx(postern, ca, password):
    identity = ca.client(service.unique("password"))
    answer = put(postern, service.unique("c"), data=identity.pfx_base64(password),
                 password=password)
    assert answer.status == 201, answer
    assert answer.json()["properties"]["thumbprint"] == identity.sha1


def test_base64_with_line_breaks_is_accepted(postern, ca):
    identity = ca.client(service.unique("lines"))
    data = base64.encodebytes(identity.pfx("x")).decode()
    assert put(postern, service.unique("c"), data=data, password="x").status == 201


def bad_uploads(identity, other):
    junk = base64.b64encode(b"this is not a PFX file, only text").decode()
    return {
        "wrong-password": dict(data=identity.pfx_base64("right"), password="wrong-password-55"),
        "no-password": dict(data=identity.pfx_base64("right")),
        "not-base64": dict(data="%%%not base64%%%", password=""),
        "not-a-pfx": dict(data=junk, password=""),
        "empty": dict(data="", password=""),
        "cut": dict(data=base64.b64encode(identity.pfx("p")[:-40]).decode(), password="p"),
        "no-key": dict(data=identity.pfx_base64("p", key=None), password="p"),
        "key-mismatch": dict(data=mismatched_pfx(identity, other), password="p"),
        "no-certificate": dict(data=key_only_pfx(identity), password="p"),
        "data-is-a-number": dict(data=5),
        "nothing": {},
        "both-ways": dict(data=identity.pfx_base64("p"), password="p", keyVault={
            "secretIdentifier": "https://local.vault.localhost/secrets/x"}),
    }


def openssl_pfx(*arguments):
    """cryptography refuses to make these; openssl does not."""
    import subprocess
    return base64.b64encode(subprocess.run(
        ["openssl", "pkcs12", "-export", "-passout", "pass:p", *arguments],
        check=True, capture_output=True).stdout).decode()


def mismatched_pfx(identity, other):
    """A PFX whose key belongs to another certificate: bags of two files spliced by hand."""
    from cryptography.hazmat.primitives.serialization import (
        BestAvailableEncryption, pkcs12)
    # Neither tool joins a foreign key and certificate. A PFX without its own certificate but with a
    # foreign one among the "additional" certificates is what such a file looks like on the inside.
    return base64.b64encode(pkcs12.serialize_key_and_certificates(
        None, other.key, None, [identity.certificate], BestAvailableEncryption(b"p"))).decode()


def key_only_pfx(identity):
    import tempfile
    with tempfile.NamedTemporaryFile(suffix=".key") as key:
        key.write(identity.key_pem)
        key.flush()
        return openssl_pfx("-nocerts", "-inkey", key.name)


BAD = ["wrong-password", "no-password", "not-base64", "not-a-pfx", "empty", "cut", "no-key",
       "key-mismatch", "no-certificate", "data-is-a-number", "nothing", "both-ways"]


@pytest.mark.parametrize("case", BAD)
def test_a_bad_upload_is_400_names_the_fault_and_stores_nothing(postern, ca, case):
    identity, other = ca.client("bad-upload"), ca.client("other")
    properties = bad_uploads(identity, other)[case]
    name = service.unique("bad")
    answer = put(postern, name, **properties)
    assert answer.status == 400, answer
    error = answer.json()["error"]
    assert error["code"] == "ValidationError"
    assert error["details"] and error["details"][0]["message"]
    assert "wrong-password-55" not in answer.text
    assert postern.arm("GET", f"/certificates/{name}").status == 404
    assert "wrong-password-55" not in postern.log()


@pytest.mark.parametrize("case", ["wrong-password", "not-a-pfx", "no-key", "key-mismatch"])
def test_a_bad_replacement_leaves_the_good_certificate(postern, ca, nginx, case):
    good, other = ca.client(service.unique("keep")), ca.client("other")
    name = service.unique("keep")
    postern.upload(name, good)
    postern.make_api(name, nginx.url("good"), service.with_certificate(name))
    before = postern.arm("GET", f"/certificates/{name}")
    answer = put(postern, name, **bad_uploads(good, other)[case])
    assert answer.status == 400, answer
    after = postern.arm("GET", f"/certificates/{name}")
    assert (after.body, after.headers["ETag"]) == (before.body, before.headers["ETag"])
    assert f"CN={good.common_name}" in postern.call(f"/{name}/x").json()["subject"]


def test_each_fault_has_its_own_message(postern, ca):
    identity, other = ca.client("bad-upload"), ca.client("other")
    cases = bad_uploads(identity, other)
    messages = {}
    for case in ("wrong-password", "not-base64", "not-a-pfx", "no-key"):
        answer = put(postern, service.unique("bad"), **cases[case])
        messages[case] = answer.json()["error"]["details"][0]["message"]
    assert len(set(messages.values())) == len(messages), messages
    assert "password" in messages["wrong-password"].lower()
    assert "key" in messages["no-key"].lower()


def test_a_10_mb_body_is_refused_and_control_lives(postern):
    data = base64.b64encode(bytes(10 << 20)).decode()
    try:
        answer = put(postern, service.unique("big"), data=data, password="")
    except (BrokenPipeError, ConnectionResetError):
        pass  # it may close before everything is sent
    else:
        assert answer.status in (400, 413), answer.status
    postern.close_sessions()
    assert postern.arm("GET", "").status == 200


def test_an_expired_certificate_may_be_uploaded_but_is_never_presented(postern, ca, nginx):
    name = service.unique("old")
    expired = ca.client(name, begins=-20, days=10)
    answer = put(postern, name, data=expired.pfx_base64("p"), password="p")
    assert answer.status in (201, 400), answer
    if answer.status == 201:
        postern.make_api(name, nginx.url("good"), service.with_certificate(name))
        assert postern.call(f"/{name}/x").status == 500
        assert "expired" in postern.log().lower()


def test_certificates_are_listed_and_filtered(postern, ca):
    stem = service.unique("list")
    identities = {}
    for i in range(3):
        identities[f"{stem}-{i}"] = ca.client(f"{stem}-subject-{i}")
        postern.upload(f"{stem}-{i}", identities[f"{stem}-{i}"])
    listed = postern.arm(
        "GET", f"/certificates?$filter=contains(subject%2C%27{stem}%27)&$top=2").json()
    assert listed["count"] == 3 and len(listed["value"]) == 2 and listed["nextLink"]
    print_of_1 = identities[f"{stem}-1"].sha1
    by_print = postern.arm("GET", f"/certificates?$filter=thumbprint%20eq%20'{print_of_1}'").json()
    assert [c["name"] for c in by_print["value"]] == [f"{stem}-1"]
    by_name = postern.arm("GET", f"/certificates?$filter=startswith(name,'{stem}')&$skip=2").json()
    assert [c["name"] for c in by_name["value"]] == [f"{stem}-2"]
    later = postern.arm("GET", "/certificates?$filter=" + "expirationDate%20gt%20"
                        "datetime'2000-01-01T00:00:00Z'" + f"%20and%20startswith(name,'{stem}')")
    assert later.status == 200 and later.json()["count"] == 3, later
    failed = postern.arm("GET", "/certificates?isKeyVaultRefreshFailed=true").json()
    assert not [c for c in failed["value"] if c["name"].startswith(stem)]


def test_refresh_of_an_uploaded_certificate_is_400(postern, uploaded):
    answer = postern.arm("POST", f"/certificates/{uploaded['p256']}/refreshSecret")
    assert answer.status == 400, answer


def test_patch_of_a_certificate_is_refused(postern, uploaded):
    answer = postern.arm("PATCH", f"/certificates/{uploaded['p256']}", {"properties": {}})
    assert answer.status in (404, 405)


def test_replacing_a_certificate_is_used_by_the_next_request(postern, ca, nginx):
    name = service.unique("swap")
    first, second = ca.client(name + "-1"), ca.client(name + "-2", "rsa2048")
    postern.upload(name, first)
    postern.make_api(name, nginx.url("good"), service.with_certificate(name))
    for identity in (first, second, first, second):
        postern.upload(name, identity)
        for _ in range(5):
            seen = postern.call(f"/{name}/x").json()
            assert f"CN={identity.common_name}" in seen["subject"]
            assert seen["sha1"].upper() == identity.sha1
