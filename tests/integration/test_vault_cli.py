# SPDX-License-Identifier: Apache-2.0
"""postern vault …: the whole life of secrets, certificates and keys from the command line."""
import base64
import datetime
import json
import subprocess

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from lab import service


@pytest.fixture
def vault(postern):
    def run(*words, expect=0, output="json"):
        done = subprocess.run([str(service.BIN / "postern"), "vault", *map(str, words), "--data",
                               str(postern.data), "--output", output], capture_output=True,
                              text=True, timeout=60, stdin=subprocess.DEVNULL)
        assert done.returncode == expect, (words, done.stdout, done.stderr)
        if expect:
            return done.stderr
        return json.loads(done.stdout) if output == "json" and done.stdout.strip() else done.stdout
    return run


@pytest.mark.parametrize("kind", ["secret", "certificate", "key"])
def test_life_of_an_object(vault, tmp_path, kind):
    name = service.unique("cli")
    (tmp_path / "value").write_text("the value")
    make = {"secret": ("secret", "set", name, "--value-file", tmp_path / "value"),
            "certificate": ("certificate", "create", name, "--subject", f"CN={name}"),
            "key": ("key", "create", name, "--type", "EC")}[kind]
    vault(*make)
    vault(*make)
    assert len(vault(kind, "versions", name)) == 2
    member = "kid" if kind == "key" else "id"
    assert any(i[member].endswith("/" + name) for i in vault(kind, "list"))
    assert name in vault(kind, "list", output="table")
    assert vault(kind, "update", name, "--enabled", "false")["attributes"]["enabled"] is False
    assert vault(kind, "update", name, "--enabled", "true")["attributes"]["enabled"] is True
    assert "--enabled" in vault(kind, "update", name, "--enabled", "maybe", expect=2)
    backup = tmp_path / "backup"
    vault(kind, "backup", name, "--file", backup)
    assert backup.stat().st_mode & 0o077 == 0 and b"the value" not in backup.read_bytes()
    assert "recoveryId" in vault(kind, "delete", name)
    assert vault(kind, "versions", name) == []
    assert any(i["recoveryId"].endswith("/" + name) for i in vault(kind, "deleted"))
    assert "recoverable" in vault(kind, "restore", backup, expect=1)
    vault(kind, "recover", name)
    vault(kind, "delete", name)
    vault(kind, "purge", name)
    assert not any(i["recoveryId"].endswith("/" + name) for i in vault(kind, "deleted"))
    vault(kind, "restore", backup)
    assert len(vault(kind, "versions", name)) == 2
    assert "exists already" in vault(kind, "restore", backup, expect=1)
    if kind == "secret":
        assert vault("secret", "get", name)["value"] == "the value"


def test_keys_and_their_versions(vault, tmp_path):
    name = service.unique("cli")
    key = ec.generate_private_key(ec.SECP256R1()).private_numbers()

    def number(value):
        return base64.urlsafe_b64encode(value.to_bytes(32, "big")).decode().rstrip("=")
    jwk = tmp_path / "key.jwk"
    jwk.write_text(json.dumps({"kty": "EC", "crv": "P-256", "x": number(key.public_numbers.x),
                               "y": number(key.public_numbers.y), "d": number(key.private_value)}))
    imported = vault("key", "import", name, "--file", jwk)["key"]
    assert imported["x"] == number(key.public_numbers.x) and "d" not in imported
    rotated = vault("key", "rotate", name)["key"]
    assert rotated["crv"] == "P-256" and rotated["x"] != imported["x"]
    assert vault("key", "show", name)["key"]["kid"] == rotated["kid"]
    assert "RSA and EC" in vault("key", "create", name, "--type", "oct", expect=1)


def test_requests_issuers_and_contacts(vault, tmp_path):
    name, ca_name = service.unique("cli"), service.unique("ca")
    vault("certificate", "create", name, "--subject", "CN=elsewhere", "--issuer", "Unknown")
    text = vault("certificate", "request", name, output="table")
    request = x509.load_pem_x509_csr(text.encode())
    assert request.is_signature_valid
    ca = ec.generate_private_key(ec.SECP256R1())
    now = datetime.datetime.utcnow()
    signed = x509.CertificateBuilder(
        x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Elsewhere")]), request.subject,
        request.public_key(), 5, now - datetime.timedelta(1), now + datetime.timedelta(30)).sign(
            ca, hashes.SHA256())
    (tmp_path / "signed.crt").write_bytes(signed.public_bytes(Encoding.PEM))
    vault("certificate", "merge", name, "--file", tmp_path / "signed.crt")
    assert base64.b64decode(vault("certificate", "show", name)["cer"]) == \
        signed.public_bytes(Encoding.DER)

    vault("issuer", "add", ca_name)
    pem = vault("issuer", "show", ca_name, "--certificate", output="table")
    authority = x509.load_pem_x509_certificate(pem.encode())
    vault("certificate", "create", name + "-ours", "--subject", "CN=ours", "--issuer", ca_name)
    leaf = x509.load_der_x509_certificate(base64.b64decode(
        vault("certificate", "show", name + "-ours")["cer"]))
    assert leaf.issuer == authority.subject
    assert any(i["id"].endswith(ca_name) for i in vault("issuer", "list"))
    assert name + "-ours" in vault("issuer", "delete", ca_name, expect=1)

    vault("contact", "add", "ops@example.com", "--name", "Operations")
    vault("contact", "add", "boss@example.com")
    assert [c["email"] for c in vault("contact", "list")] == ["ops@example.com", "boss@example.com"]
    vault("contact", "clear")
    assert vault("contact", "list") == []
