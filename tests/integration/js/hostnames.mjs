// SPDX-License-Identifier: Apache-2.0
// @azure/arm-apimanagement: host names of the service, by update and by createOrUpdate.
import { group, management, refused, report, service, setting } from "./clients.mjs";

const client = management();
const facts = {};
const at = [group, service];
const names = (made) => made.hostnameConfigurations.filter((h) => h.certificateSource !== "BuiltIn");

const updated = names(await client.apiManagementService.beginUpdateAndWait(...at, {
  hostnameConfigurations: [{ type: "Proxy", hostName: "sdk.test", encodedCertificate: setting.pfx,
    certificatePassword: setting.password, negotiateClientCertificate: true }] }));
facts.updated = updated.map((h) => [h.hostName, h.certificate.thumbprint, h.certificateSource,
  h.certificateStatus, h.negotiateClientCertificate, h.encodedCertificate ?? null]);
facts.expiry = updated[0].certificate.expiry.toISOString();

const whole = await client.apiManagementService.get(...at);
whole.hostnameConfigurations.push({ type: "Proxy", hostName: "vault.test", defaultSslBinding: true,
  keyVaultId: setting.secretIdentifier });
const put = names(await client.apiManagementService.beginCreateOrUpdateAndWait(...at, whole));
facts.put = put.map((h) => [h.hostName, h.certificate.thumbprint, h.certificateSource, h.defaultSslBinding]);

facts.refused = await refused(client.apiManagementService.beginUpdateAndWait(...at, {
  hostnameConfigurations: [{ type: "Proxy", hostName: "sdk.test", encodedCertificate: setting.pfx,
    certificatePassword: "wrong" }] }));
facts.gone = names(await client.apiManagementService.beginUpdateAndWait(...at, { hostnameConfigurations: [] })).length;
report(facts);
