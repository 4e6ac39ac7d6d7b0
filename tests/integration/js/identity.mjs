// SPDX-License-Identifier: Apache-2.0
// @azure/identity: by secret and by certificate, in the tenant and under adfs.
import { certificateCredential, credential, management, report, service, group, setting } from "./clients.mjs";

const scope = setting.ready.controlUrl + "/.default";
const facts = {};
for (const tenant of [setting.ready.tenantId, "adfs"]) {
  const token = await credential(tenant).getToken(scope);
  facts[`secret ${tenant}`] = token.token.split(".").length;
  facts[`get ${tenant}`] = (await management(credential(tenant)).apiManagementService.get(group, service)).name;
  if (setting.certificateFile) {
    const byCertificate = certificateCredential(tenant, setting.certificateClientId, setting.certificateFile);
    facts[`certificate ${tenant}`] = (await byCertificate.getToken(scope)).token.split(".").length;
  }
}
report(facts);
