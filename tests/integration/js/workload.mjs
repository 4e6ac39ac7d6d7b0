// SPDX-License-Identifier: Apache-2.0
// @azure/identity's WorkloadIdentityCredential, with a token file: reads a secret of the vault.
import { WorkloadIdentityCredential } from "@azure/identity";
import { SecretClient } from "@azure/keyvault-secrets";
import { report, setting } from "./clients.mjs";

const { ready } = setting;
const credential = new WorkloadIdentityCredential({
  tenantId: ready.tenantId, clientId: setting.clientId, tokenFilePath: setting.tokenFile,
  authorityHost: ready.controlUrl, disableInstanceDiscovery: true,
});
const secret = await new SecretClient(ready.vaultUrl, credential).getSecret(setting.secretName);
report({ value: secret.value });
