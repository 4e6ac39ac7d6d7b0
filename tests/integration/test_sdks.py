# SPDX-License-Identifier: Apache-2.0
"""Real clients: the npm packages of Azure, run by node against this Postern, unchanged."""
import json
import os
import pathlib
import shutil
import subprocess

import pytest
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
