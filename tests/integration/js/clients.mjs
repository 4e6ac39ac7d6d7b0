// SPDX-License-Identifier: Apache-2.0
// What the programs here share: the clients of the SDKs, made from the environment that pytest sets.
import { webcrypto } from "node:crypto";
import { readFileSync } from "node:fs";
import { ApiManagementClient } from "@azure/arm-apimanagement";
import { ClientCertificateCredential, ClientSecretCredential } from "@azure/identity";
import { CertificateClient } from "@azure/keyvault-certificates";
import { KeyClient } from "@azure/keyvault-keys";
import { SecretClient } from "@azure/keyvault-secrets";

globalThis.crypto ??= webcrypto; // Node 18, Debian's, has it under another name

export const setting = JSON.parse(readFileSync(0, "utf8"));
const { ready } = setting;
const options = { authorityHost: ready.controlUrl, disableInstanceDiscovery: true };

export const credential = (tenant = ready.tenantId) =>
  new ClientSecretCredential(tenant, ready.clientId, setting.clientSecret, options);
export const certificateCredential = (tenant, clientId, path, more = {}) =>
  new ClientCertificateCredential(tenant, clientId, path, { ...options, ...more });
export const management = (cred = credential()) =>
  new ApiManagementClient(cred, ready.subscriptionId, { endpoint: ready.controlUrl });
export const certificates = (url = ready.vaultUrl, more = {}) =>
  new CertificateClient(url, credential(), more);
export const secrets = (url = ready.vaultUrl, more = {}) =>
  new SecretClient(url, credential(), more);
export const keys = (url = ready.vaultUrl, more = {}) =>
  new KeyClient(url, credential(), more);
export const group = ready.resourceGroup;
export const service = ready.serviceName;

export async function collect(pages) {
  const all = [];
  for await (const item of pages) all.push(item);
  return all;
}

export async function refused(promise) {
  try {
    await promise;
  } catch (error) {
    return { statusCode: error.statusCode, code: error.code, message: error.message };
  }
  throw new Error("it was not refused");
}

export const report = (facts) => process.stdout.write(JSON.stringify(facts) + "\n");
