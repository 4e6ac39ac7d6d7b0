# SPDX-License-Identifier: Apache-2.0
"""Every PFX that exists: a table of files by the programs that make them, and what becomes of each."""
import base64
import pathlib

import pytest
from lab import keyfiles, pki, service

VECTORS = pathlib.Path("/usr/lib/python3/dist-packages/cryptography_vectors/pkcs12")


def upload(postern, data, password=None):
    properties = {"data": base64.b64encode(data).decode()}
    if password is not None:
        properties["password"] = password
    return postern.arm("PUT", f"/certificates/{service.unique('k')}", {"properties": properties})


def opens(postern, bench, data, password="p w"):
    answer = upload(postern, data, password)
    assert answer.status == 201, (answer.status, answer.body)
    assert answer.json()["properties"]["thumbprint"] == bench.identity.sha1


def refused(postern, data, password, code, *words):
    answer = upload(postern, data, password)
    assert answer.status == 400, (answer.status, answer.body)
    text = answer.body.decode()
    assert code in text, text
    for word in words:
        assert word in text, text
    assert not password or password not in text


@pytest.fixture(scope="module")
def bench(tmp_path_factory, ca):
    return keyfiles.Bench(tmp_path_factory.mktemp("rsa"), ca.client(service.unique("rsa"), "rsa2048"), ca)


@pytest.fixture(scope="module")
def ec_bench(tmp_path_factory, ca):
    return keyfiles.Bench(tmp_path_factory.mktemp("ec"), ca.client(service.unique("ec"), "p256"), ca)


OPENSSL = {
    "default": (),
    "legacy": ("-legacy",),
    "3des": ("-legacy", "-certpbe", "PBE-SHA1-3DES", "-keypbe", "PBE-SHA1-3DES"),
    "rc2-128": ("-legacy", "-certpbe", "PBE-SHA1-RC2-128", "-keypbe", "PBE-SHA1-RC2-128"),
    "rc4": ("-legacy", "-certpbe", "PBE-SHA1-RC4-128", "-keypbe", "PBE-SHA1-RC4-128"),
    "aes-128": ("-certpbe", "AES-128-CBC", "-keypbe", "AES-128-CBC"),
    "aes-192": ("-certpbe", "AES-192-CBC", "-keypbe", "AES-192-CBC"),
    "camellia": ("-certpbe", "CAMELLIA-256-CBC", "-keypbe", "CAMELLIA-256-CBC"),
    "mac-sha1": ("-macalg", "sha1"),
    "mac-sha384": ("-macalg", "sha384"),
    "mac-sha512": ("-macalg", "sha512"),
    "one-round": ("-noiter", "-nomaciter"),
    "many-rounds": ("-iter", "600000"),
    "no-mac": ("-nomac",),
    "not-encrypted": ("-certpbe", "NONE", "-keypbe", "NONE"),
    "only-key-encrypted": ("-certpbe", "NONE"),
    "nothing": ("-certpbe", "NONE", "-keypbe", "NONE", "-nomac"),
}


@pytest.mark.parametrize("options", OPENSSL.values(), ids=OPENSSL.keys())
def test_files_of_openssl_open(postern, bench, ec_bench, options):
    opens(postern, bench, bench.openssl(*options))
    opens(postern, ec_bench, ec_bench.openssl(*options))


@pytest.mark.parametrize("options", [k for k in OPENSSL if k not in ("not-encrypted", "only-key-encrypted", "nothing")])
def test_a_wrong_password_is_called_a_wrong_password(postern, bench, options):
    refused(postern, bench.openssl(*OPENSSL[options]), "not the password 71", "wrong_password")


@pytest.mark.parametrize("options", [(), ("-c", "AES-256-CBC", "-C", "AES-256-CBC", "-M", "SHA-512"),
                                     ("-c", "PKCS #12 V2 PBE With SHA-1 And 3KEY Triple DES-CBC", "-C",
                                      "PKCS #12 V2 PBE With SHA-1 And 40 Bit RC2 CBC", "-M", "SHA-1")],
                         ids=["default", "aes", "legacy"])
def test_files_of_nss_open(postern, bench, options):
    opens(postern, bench, bench.nss(*options))


def test_files_of_nss_with_other_characters_open(postern, bench):
    opens(postern, bench, bench.nss(password="pässwörd"), "pässwörd")


@pytest.mark.parametrize("options", [(), ("-J-Dkeystore.pkcs12.legacy",)], ids=["default", "legacy"])
def test_files_of_java_open(postern, bench, options):
    opens(postern, bench, bench.keytool(*options), "p word")


@pytest.mark.parametrize("options", [(), ("--pkcs-cipher", "3des-pkcs12"), ("--pkcs-cipher", "rc2-40"),
                                     ("--pkcs-cipher", "aes-128", "--hash", "sha512"), ("--pkcs-cipher", "aes-192")],
                         ids=lambda options: "-".join(options[1::2]) or "default")
def test_files_of_gnutls_open(postern, bench, options):
    opens(postern, bench, bench.certtool(*options))


@pytest.mark.parametrize("algorithm", ["3des", "aes128", "aes256"])
def test_files_of_node_forge_open(postern, bench, algorithm):
    answer = upload(postern, bench.forge(algorithm), "p w")
    assert answer.status == 201, answer.body
    assert answer.json()["properties"]["subject"] == "CN=forge"


@pytest.mark.parametrize("digest,prf,key_len", [("sha256", "sha256", 32), ("sha512", "sha512", 64),
                                                ("sha384", "sha256", 48), ("sha1", "sha1", 20)])
def test_files_with_pbmac1_open(postern, bench, digest, prf, key_len):
    data = keyfiles.with_pbmac1(bench.openssl("-nomac"), "p w", digest, prf, key_len=key_len)
    opens(postern, bench, data)
    refused(postern, data, "wrong 17", "wrong_password")


def test_a_forged_or_costly_pbmac1_is_refused(postern, bench):
    plain = bench.openssl("-nomac")
    refused(postern, keyfiles.with_pbmac1(plain, "p w", right=False), "p w 1", "wrong_password")
    refused(postern, keyfiles.with_pbmac1(plain, "p w", key_len=8), "p w", "not_pfx")
    refused(postern, keyfiles.with_pbmac1(plain, "p w", rounds=2**31 - 1), "p w", "too_many_iterations")


def test_ber_opens(postern, bench):
    opens(postern, bench, keyfiles.as_ber(bench.openssl()))
    opens(postern, bench, keyfiles.as_ber(bench.openssl("-legacy")))


@pytest.mark.parametrize("password", ["pässwörd", "пароль", "密码", "🔑 clé", "a" * 200])
def test_passwords_of_all_alphabets_open(postern, bench, password):
    for options in [(), ("-legacy",)]:
        opens(postern, bench, bench.openssl(*options, password=password), password)


def test_passwords_in_the_bytes_of_old_programs_open(postern, bench):
    """OpenSSL before 1.1 took each byte for a character; a terminal may have been of Latin-1."""
    widened = "pässwörd".encode().decode("latin-1")
    opens(postern, bench, bench.openssl("-legacy", password=widened), "pässwörd")
    latin = bench.folder / "latin.txt"
    latin.write_bytes("pässwörd\n".encode("latin-1"))
    out = bench.folder / "latin.p12"
    keyfiles.run("openssl", "pkcs12", "-export", "-inkey", "key.pem", "-in", "leaf.pem", "-passout",
                 f"file:{latin}", "-out", str(out), cwd=bench.folder)
    opens(postern, bench, out.read_bytes(), "pässwörd")


@pytest.mark.parametrize("options", [("-v2prf", prf) for prf in ("hmacWithSHA1", "hmacWithSHA224", "hmacWithSHA256",
                                                                 "hmacWithSHA384", "hmacWithSHA512")]
                         + [("-v2", "aes-128-cbc"), ("-v2", "aes-192-cbc"), ("-v2", "des3"), ("-scrypt",),
                            ("-v1", "PBE-SHA1-3DES"), ("-v1", "PBE-SHA1-RC2-40")],
                         ids="-".join)
def test_pem_keys_in_every_encryption_open(postern, ec_bench, options):
    more = ("-provider", "default", "-provider", "legacy") if options[-1] == "PBE-SHA1-RC2-40" else ()
    opens(postern, ec_bench, ec_bench.pem(*options, *more))
    refused(postern, ec_bench.pem(*options, *more), "wrong 93", "wrong_password")


@pytest.mark.parametrize("kind", pki.KEY_TYPES)
def test_keys_of_every_kind_open(postern, ca, tmp_path, kind):
    bench = keyfiles.Bench(tmp_path, ca.client(service.unique("kind"), kind), ca)
    opens(postern, bench, bench.openssl())
    opens(postern, bench, bench.pem("-nocrypt"), None)


@pytest.mark.parametrize("bits", [3072, 4096, 8192])
def test_large_rsa_keys_open(postern, bench, tmp_path, bits):
    keyfiles.run("openssl", "req", "-x509", "-newkey", f"rsa:{bits}", "-nodes", "-keyout", "key.pem", "-out",
                 "leaf.pem", "-subj", "/CN=large", "-days", "3", cwd=tmp_path)
    data = (tmp_path / "key.pem").read_bytes() + (tmp_path / "leaf.pem").read_bytes()
    assert upload(postern, data).status == 201


# --- what is wrong with a file is said ---

def warnings(postern, data, password=None):
    answer = upload(postern, data, password)
    assert answer.status == 201, answer.body
    return {warning["code"]: warning["message"] for warning in answer.json()["properties"]["warnings"]}


def test_several_keys_are_said_and_the_client_certificate_is_taken(postern, bench, ec_bench):
    data = keyfiles.spliced(bench.openssl("-nomac", name="first"), ec_bench.openssl("-nomac", name="second"))
    found = warnings(postern, data, "p w")
    assert "'first'" in found["several_keys"]
    assert "no_integrity" in found


def test_a_chain_out_of_order_is_repaired_and_said(postern, bench, ca):
    key = (bench.folder / "key.pem").read_bytes()
    data = ca.certificate_pem + key + bench.identity.certificate_pem
    assert "chain_reordered" in warnings(postern, data)


def test_weak_and_missing_protection_is_said(postern, bench):
    assert "weak_encryption" in warnings(postern, bench.openssl("-legacy"), "p w")
    assert "not_encrypted" in warnings(postern, bench.openssl(*OPENSSL["nothing"]), "p w")
    assert "weak_encryption" not in warnings(postern, bench.openssl(), "p w")


def test_hostile_files_are_refused_in_time(postern, bench):
    refused(postern, keyfiles.with_pbmac1(bench.openssl("-nomac"), "p w", rounds=10**9), "p w",
            "too_many_iterations")
    refused(postern, keyfiles.nested(6), "", "too_deep")
    refused(postern, keyfiles.nested(500), "", "not_pfx")
    refused(postern, bench.openssl()[:-1], "p w", "not_pfx")


def test_a_key_that_tls_cannot_use_is_unsupported(postern, tmp_path):
    keyfiles.run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:secp256k1", "-nodes",
                 "-keyout", "key.pem", "-out", "leaf.pem", "-subj", "/CN=curve", cwd=tmp_path)
    data = (tmp_path / "key.pem").read_bytes() + (tmp_path / "leaf.pem").read_bytes()
    refused(postern, data, None, "unsupported_algorithm", "P-256")


# --- the doctor: what a file is, before it is saved ---

def check(postern, data, password=None):
    properties = {"data": base64.b64encode(data).decode()}
    if password is not None:
        properties["password"] = password
    return postern.arm("POST", "/checkCertificate", {"properties": properties})


def test_the_doctor_tells_what_a_file_is_and_keeps_nothing(postern, bench, ca):
    before = {item["id"] for item in postern.arm("GET", "/certificates").json()["value"]}
    report = check(postern, bench.openssl("-macalg", "sha384", name="mein Schlüssel"), "p w").json()
    assert report["thumbprint"] == bench.identity.sha1
    assert report["file"]["format"] == "PKCS#12" and "384" in report["file"]["integrity"].replace("-", "")
    assert "PBES2" in report["file"]["encryption"] and report["file"]["friendlyName"] == "mein Schlüssel"
    assert [entry["subject"].split(",")[0] for entry in report["chain"]] == [
        f"CN={bench.identity.common_name}", f"CN={ca.common_name}"]
    assert report["chainComplete"] is True and report["warnings"] == []
    assert {item["id"] for item in postern.arm("GET", "/certificates").json()["value"]} == before


def test_the_doctor_names_what_is_wrong_with_a_certificate(postern, ca, tmp_path):
    """Each by its code; none of these keeps Azure from accepting the file."""
    cases = {
        "expired": dict(client=True, begins=-5, days=2), "not_yet_valid": dict(client=True, begins=3),
        "missing_client_auth_eku": dict(server=True), "chain_incomplete": dict(client=True),
    }
    for code, how in cases.items():
        identity = ca.issue(service.unique("sick"), **how)
        data = identity.key_pem + identity.certificate_pem
        report = check(postern, data)
        assert report.status == 200, report.body
        assert code in [warning["code"] for warning in report.json()["warnings"]], (code, report.json())
    keyfiles.run("openssl", "req", "-x509", "-newkey", "rsa:1024", "-sha1", "-nodes", "-keyout", "key.pem", "-out",
                 "leaf.pem", "-subj", "/CN=weak", "-days", "3", cwd=tmp_path)
    data = (tmp_path / "key.pem").read_bytes() + (tmp_path / "leaf.pem").read_bytes()
    codes = [warning["code"] for warning in check(postern, data).json()["warnings"]]
    assert {"weak_key", "self_signed", "ca_as_leaf"} <= set(codes), codes


def test_the_doctor_refuses_with_the_same_codes(postern, bench):
    answer = check(postern, bench.openssl(), "wrong 5")
    assert answer.status == 400
    assert answer.json()["error"]["details"][0]["innererror"]["code"] == "wrong_password"
    assert check(postern, b"", "").status == 400


# --- python3-cryptography-vectors ---

EXPECTED = {"cert-none-key-none.p12": "cryptography", "cert-rc2-key-3des.p12": "cryptography",
            "cert-key-aes256cbc.p12": "cryptography", "no-password.p12": None}


def vectors():
    return sorted(path.name for path in VECTORS.glob("*.p12"))


def test_the_vectors_are_there():
    assert len(vectors()) > 20


@pytest.mark.parametrize("name", vectors())
def test_vectors_of_cryptography(postern, name):
    data = (VECTORS / name).read_bytes()
    password = "password" if name.endswith("-pwd.p12") and "no-pwd" not in name else EXPECTED.get(name, "")
    if name in ("cert-aes256cbc-no-key.p12", "no-cert-key-aes256cbc.p12"):
        password = "cryptography"
    if name == "no-cert-key-aes256cbc.p12":
        refused(postern, data, password, "no_certificate")
    elif name == "cert-aes256cbc-no-key.p12" or name.startswith("no-cert"):
        refused(postern, data, password, "no_key")  # certificates of others only
    else:
        assert upload(postern, data, password).status == 201
