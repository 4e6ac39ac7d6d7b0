# SPDX-License-Identifier: Apache-2.0
"""npm's arm-msi and arm-keyvault: the resources of identities and vaults, unchanged clients."""
from lab import service
from test_sdks import run


def test_azure_arm_msi(postern):
    name = service.unique("msi")
    facts = run(postern, "msi.mjs", name=name)
    assert facts["made"] == [name, "local", {"a": "b"}, postern.tenant,
                             "Microsoft.ManagedIdentity/userAssignedIdentities"]
    assert facts["stays"] and facts["got"] and facts["listed"] == [True, True]
    assert facts["updated"] == {"c": "d"}
    assert facts["federated"] == ["first", "https://issuer.test", "repo:org/app",
                                  ["api://AzureADTokenExchange"]]
    assert (facts["changed"], facts["read"]) == ("other", "repo:org/app")
    assert (facts["twin"], facts["bad"]) == (409, 400)
    assert facts["credentials"] == ["first", "second"] and facts["page"] in (1, 2)
    assert facts["missing"] == 404 and facts["gone"] == [404, 404]
    assert facts["system"] == postern.tenant


def test_azure_arm_keyvault(postern):
    name = service.unique("kv")
    facts = run(postern, "vaults.mjs", name=name)
    assert facts["free"] is True and facts["taken"] == [False, "AlreadyExists"]
    assert facts["made"][0] == name and facts["made"][1].startswith(f"https://{name}.vault.")
    assert facts["made"][2:] == [7, "Succeeded"] and facts["updated"] == {"c": "d"}
    assert facts["added"] == ["get"] and facts["more"] == ["get", "list"]
    assert facts["replaced"] == ["set"] and facts["removed"] == 0
    assert facts["listed"] == [True, True, True] and facts["deleted"] == [404, True, True]
    assert facts["held"] is False and facts["recovered"] == {"c": "d"}
    assert facts["purged"] == [404, True] and facts["unknown"] == "ResourceNotFound"
