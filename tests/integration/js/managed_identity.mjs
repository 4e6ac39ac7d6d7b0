// SPDX-License-Identifier: Apache-2.0
// @azure/identity's ManagedIdentityCredential; the environment says which endpoint it asks.
import { ManagedIdentityCredential } from "@azure/identity";
import { SecretClient } from "@azure/keyvault-secrets";
import { refused, report, setting } from "./clients.mjs";

const { ready } = setting;
const facts = {};
for (const [name, options] of Object.entries(setting.credentials)) {
  const credential = new ManagedIdentityCredential(options);
  const secret = new SecretClient(ready.vaultUrl, credential).getSecret(setting.secretName);
  facts[name] = setting.refused?.includes(name) ? (await refused(secret)).message : (await secret).value;
}
report(facts);
