# SPDX-License-Identifier: Apache-2.0
"""Real clients: the npm packages of Azure, run by node against this Postern, unchanged."""
import base64
import json
import os
import pathlib
import shutil
import subprocess

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import pkcs12
from lab import service

JS = pathlib.Path(__file__).parent / "js"


def run(postern, program, **settings):
    """Runs one of js/*.mjs; settings go to its standard input, facts come from its output."""
    settings = dict(settings, ready=postern.ready, clientSecret=postern.client_secret)
    done = subprocess.run([shutil.which("node") or "node", program], cwd=JS,
                          input=json.dumps(settings), capture_output=True, text=True, timeout=120,
                          env=dict(os.environ, NODE_EXTRA_CA_CERTS=postern.ca_file))
    assert done.returncode == 0, done.stderr[-6000:] + done.stdout[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_azure_identity_logs_in_by_secret_in_the_tenant_and_under_adfs(postern):
    facts = run(postern, "identity.mjs")
    for tenant in (postern.tenant, "adfs"):
        assert facts[f"secret {tenant}"] == 3
        assert facts[f"get {tenant}"] == postern.ready["serviceName"]


@pytest.mark.parametrize("kind", ["rsa2048"])
def test_azure_identity_logs_in_by_certificate(postern, ca, tmp_path, kind):
    identity = ca.client(service.unique("login"), kind)
    (tmp_path / "login.pem").write_bytes(identity.pem)
    (tmp_path / "login.crt").write_bytes(identity.certificate_pem)
    done = subprocess.run([str(service.BIN / "postern"), "identity", "add-certificate",
                           postern.client_id, str(tmp_path / "login.crt"), "--data",
                           str(postern.data)], capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    facts = run(postern, "identity.mjs", certificateFile=str(tmp_path / "login.pem"),
                certificateClientId=postern.client_id)
    assert facts[f"certificate {postern.tenant}"] == 3
    assert facts["certificate adfs"] == 3


def test_azure_arm_apimanagement_does_the_main_job(postern, ca, nginx):
    name = service.unique("sdk")
    identity = ca.client(name, "rsa2048")
    vault = postern.vault("POST", f"/certificates/{name}/import",
                          {"value": identity.pfx_base64()})
    assert vault.status == 200, vault
    facts = run(postern, "management.mjs", name=name, pfx=identity.pfx_base64("p"), password="p",
                backendUrl=nginx.url("good"),
                secretIdentifier=f"{postern.vault_url}/secrets/{name}")
    assert facts["service"] and postern.ready["serviceName"] in facts["services"]
    assert facts["thumbprint"] == identity.sha1 and facts["refreshed"] == identity.sha1
    assert facts["subject"] == f"CN={name}, O=Postern tests, C=DE"
    assert facts["expires"][:19] == identity.certificate.not_valid_after.isoformat()[:19]
    assert facts["eTagOfHead"] == facts["eTagOfGet"] and facts["eTagOfHead"].startswith('"')
    assert facts["filtered"] == [name] and name not in facts["refreshFailed"]
    assert (facts["missing"]["statusCode"], facts["missing"]["code"]) == (404, "ResourceNotFound")
    assert facts["missingTag"]["statusCode"] == 404
    assert facts["wrongPassword"]["code"] == "ValidationError"
    assert facts["lastStatus"] == "Success"
    assert facts["backend"] == [f"{postern.service_id}/certificates/{name}"]
    assert facts["patched"] == "patched" and facts["api"] == name and facts["policy"] is True
    assert facts["pool"] == [[{"id": f"{postern.service_id}/backends/{name}", "weight": 3,
                               "priority": 1}], "Pool"]
    assert facts["memberInUse"]["statusCode"] == 400
    assert facts["badPolicy"]["code"] == "ValidationError" and facts["global"] == "xml"
    assert facts["keyLength"] == 32
    assert facts["operationPolicy"] is True and facts["seen"]["forwarded"] == "by sdk"
    assert facts["seen"]["sha1"].upper() == identity.sha1
    assert (facts["inUse"]["statusCode"], facts["inUse"]["code"]) == (400, "ValidationError")
    assert f"/backends/{name}" in facts["inUse"]["message"]
    assert facts["deleted"]["statusCode"] == 404


def test_azure_keyvault_secrets_and_certificates(postern, ca):
    name = service.unique("js")
    identity, pem = ca.client(name, "rsa2048"), ca.client(name + "-pem", "rsa2048")
    facts = run(postern, "keyvault.mjs", name=name, pfx=identity.pfx_base64("p"), password="p",
                pem=pem.pem.decode())
    assert facts["setId"].startswith(f"{postern.vault_url}/secrets/{name}-s/")
    assert (facts["latest"], facts["first"], facts["versions"]) == ("value two", "value one", 2)
    assert facts["listed"] is True
    assert (facts["missing"]["statusCode"], facts["missing"]["code"]) == (404, "SecretNotFound")
    assert facts["imported"] == identity.sha1 and facts["pem"] == pem.sha1
    assert facts["importedSecret"] == "application/x-pkcs12"
    assert (facts["badImport"]["statusCode"], facts["badImport"]["code"]) == (400, "BadParameter")
    assert facts["created"] == "Self" and facts["certificateVersions"] == 2
    assert facts["certificates"] == [f"{name}-c", f"{name}-i", f"{name}-p"]
    assert facts["policySubject"] == f"CN={name}"
    assert facts["bare"] == "value two"


def test_azure_arm_apimanagement_sets_host_names(own_postern, ca):
    name = service.unique("listener")
    uploaded, in_vault = ca.server("u", names=("sdk.test",)), ca.server("v", names=("vault.test",))
    vault = own_postern.vault("POST", f"/certificates/{name}/import",
                              {"value": in_vault.pfx_base64()})
    assert vault.status == 200, vault
    facts = run(own_postern, "hostnames.mjs", pfx=uploaded.pfx_base64("p"), password="p",
                secretIdentifier=f"{own_postern.vault_url}/secrets/{name}")
    assert facts["updated"] == [["sdk.test", uploaded.sha1, "Custom", "Completed", True, None]]
    assert facts["expiry"][:19] == uploaded.certificate.not_valid_after.isoformat()[:19]
    assert facts["put"] == [["sdk.test", uploaded.sha1, "Custom", False],
                            ["vault.test", in_vault.sha1, "KeyVault", True]]
    assert facts["refused"]["code"] == "ValidationError"
    assert facts["gone"] == 0


def test_every_operation_of_the_key_vault_packages(postern):
    name = service.unique("all")
    facts = run(postern, "keyvault_all.mjs", name=name)
    assert facts["secretLevel"] == ["Recoverable+Purgeable", 90]
    assert facts["secretChanged"] == [False, {"c": "d"}, True]
    assert facts["secretDisabled"] == "Forbidden" and facts["secretPages"] is True
    assert facts["secretBackup"] == ["Conflict", True, 90, True, 404, True, "two", 2, 409]
    assert facts["secretRecovered"] == [True, "two"]
    assert facts["foreignBlob"]["code"] == "BadParameter"
    assert (facts["certificateTags"], facts["operation"], facts["operationGone"]) == \
        ({"t": "1"}, "completed", 404)
    assert facts["policy"] == [3, [{"action": "AutoRenew", "daysBeforeExpiry": 10}]]
    assert facts["certificateUpdated"] == [False, {"u": "2"}] and facts["versionGot"] is True
    assert facts["contacts"] == [[{"email": "a@example.com", "phone": "1", "name": "A"}], 404]
    assert facts["issuers"] == ["Test", "acc", True, "other", True, "BadParameter",
                                "IssuerNotFound"]
    leaf = x509.load_der_x509_certificate(base64.b64decode(facts["ca"]["leaf"]))
    _, own, chain = pkcs12.load_key_and_certificates(base64.b64decode(facts["ca"]["secret"]), None)
    assert own == leaf and [c.subject for c in chain] == [leaf.issuer]
    chain[0].public_key().verify(leaf.signature, leaf.tbs_certificate_bytes,
                                 ec.ECDSA(leaf.signature_hash_algorithm))
    assert leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value._usages == \
        [x509.oid.ExtendedKeyUsageOID.CLIENT_AUTH]
    assert facts["ca"]["ekus"] == ["1.3.6.1.5.5.7.3.2"] and facts["ca"]["inUse"] == 409
    assert facts["merge"] == ["inProgress", 409, False, True, 400, "Unknown", f"{name}-m",
                              "completed", "application/x-pkcs12"]
    assert facts["cancelled"] == [True, "cancelled", 409, "CertificateNotFound"]
    assert facts["certificateBackup"] == ["SecretNotFound", "KeyNotFound", "Conflict", "Conflict",
                                          True, True, 403, True, True, True]
    assert facts["certificateRecovered"] is True and facts["private"] == [True, True, 64]
    signatures = {k: v for k, v in facts["keys"].items() if not k.startswith("RSA1")
                  and not k.startswith("RSA-")}
    assert len(signatures) == 10 and all(v == [True, False] for v in signatures.values()), facts
    for algorithm in ("RSA1_5", "RSA-OAEP", "RSA-OAEP-256"):
        assert facts["keys"][algorithm] == ["plain", "0123456789abcdef"]
    assert facts["verifiedByNode"] is True
    assert "not supported" in facts["keyOps"]["message"]
    assert facts["keyUpdated"] == [["sign", "verify"], {"a": "b"}, False]
    assert "disabled key" in facts["keyDisabled"]
    assert "before" in facts["keyNotYet"] and "expired" in facts["keyExpired"]
    assert facts["refusedTypes"] == ["BadParameter"] * 4 and facts["release"] == 400
    assert facts["random"] == 32 and facts["imported"] == [True, "BadParameter", True]
    assert facts["rotation"] == ["Notify", "P90D",
                                 [{"action": "Rotate", "timeBeforeExpiry": "P30D"}],
                                 "BadParameter", True, 90, 2]
    assert facts["keyBackup"] == ["Conflict", True, True, True, 256]
    assert facts["keyRecovered"] is True and facts["keysListed"] == [True, True, True]
    assert "needle" not in postern.log()


def test_azure_arm_apimanagement_does_named_values_and_fragments(postern, echo):
    name, api = service.unique("nv"), service.unique("nv-api")
    postern.make_api(api, echo.url)
    facts = run(postern, "named_values.mjs", name=name, api=api)
    assert facts["made"] == [name, "one", False, ["t"], "Succeeded"] and facts["tags"] is True
    assert facts["updated"] == [None, True, ["t"]] and facts["value"] == "two"
    assert facts["listed"] == [name] and facts["missing"] == 404
    assert facts["twin"]["code"] == "ValidationError" and facts["twin"]["statusCode"] == 400
    assert facts["vaulted"] == [None, True, "Success"] and facts["refreshed"] == "Success"
    assert facts["fragment"] == ["rawxml", "d", "Succeeded", True]
    assert facts["fragmentTag"] is True and facts["xml"] == "xml" and facts["fragments"] is True
    assert facts["seen"] == ["four"] and facts["then"] == ["five"]
    assert facts["references"] == [f"{postern.service_id}/apis/{api}/policies/policy"]
    assert f"The Policy Fragment '{name}' is used by" in facts["used"]["message"]
    assert facts["usedValue"]["statusCode"] == 400 and facts["gone"] == [404, 404]
    assert facts["inner"] == ["Microsoft.ApiManagement/service/workspaces/namedValues", "x"]
    assert facts["innerFragment"] == "Microsoft.ApiManagement/service/workspaces/policyFragments"
    assert facts["innerUsed"] == 400


def test_azure_arm_apimanagement_does_products(postern, ca, nginx):
    name, api = service.unique("gold"), service.unique("api")
    identity = ca.client(name)
    postern.upload(name, identity)
    postern.make_api(api, nginx.url("good"), subscription_required=True)
    facts = run(postern, "products.mjs", name=name, api=api, certificate=name, serviceId=postern.service_id)
    assert facts["made"] == ["Gold", "published", True, 5] and facts["tags"] is True
    assert facts["updated"] == ["changed", None, "t"]
    assert facts["listed"] == [name] == facts["products"] and facts["missing"] == facts["notIn"] == 404
    assert facts["added"] == api and facts["apis"] == [api] and facts["none"] == []
    whole = f"{postern.service_id}/apis/{api}"
    assert facts["link"] == ["mine", whole, whole] and facts["links"] == ["mine"]
    assert facts["policy"] is True and facts["policyTag"].startswith('"') and facts["policies"] == ["policy"]
    assert (facts["submitted"], facts["before"], facts["without"]) == ("submitted", 401, 401)
    assert facts["called"] == identity.sha1 and facts["plain"] == 400 and facts["out"] == 401
    assert facts["subscriptions"] == [name]
    assert (facts["inUse"]["statusCode"], facts["inUse"]["code"]) == (400, "ValidationError")
    assert facts["gone"] == [404, 404]
    assert facts["inner"] == "Microsoft.ApiManagement/service/workspaces/products"
    assert facts["innerLinks"] == ["l1"] and facts["innerPolicy"] == "policy" and facts["innerList"] == []
