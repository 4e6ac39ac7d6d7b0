// SPDX-License-Identifier: Apache-2.0
// @azure/arm-keyvault: vaults from their names to their purge.
import { KeyVaultManagementClient } from "@azure/arm-keyvault";
import { collect, credential, group, refused, report, setting } from "./clients.mjs";

const { ready, name } = setting;
const client = new KeyVaultManagementClient(credential(), ready.subscriptionId, { endpoint: ready.controlUrl });
const vaults = client.vaults;
const facts = {};
const ask = { name, type: "Microsoft.KeyVault/vaults" };
const someone = "11111111-2222-3333-4444-555555555555";
const policy = (secrets) => ({ properties: { accessPolicies: [{ tenantId: ready.tenantId, objectId: someone, permissions: { secrets } }] } });

facts.free = (await vaults.checkNameAvailability(ask)).nameAvailable;
const made = await vaults.createOrUpdate(group, name, { location: "local", tags: { a: "b" },
  properties: { tenantId: ready.tenantId, sku: { family: "A", name: "standard" }, accessPolicies: [], softDeleteRetentionInDays: 7 } });
facts.made = [made.name, made.properties.vaultUri, made.properties.softDeleteRetentionInDays, made.properties.provisioningState];
const taken = await vaults.checkNameAvailability(ask);
facts.taken = [taken.nameAvailable, taken.reason];
facts.updated = (await vaults.update(group, name, { tags: { c: "d" }, properties: { enabledForDeployment: true } })).tags;
facts.added = (await vaults.updateAccessPolicy(group, name, "add", policy(["get"]))).properties.accessPolicies[0].permissions.secrets;
facts.more = (await vaults.updateAccessPolicy(group, name, "add", policy(["list"]))).properties.accessPolicies[0].permissions.secrets.slice().sort();
facts.replaced = (await vaults.updateAccessPolicy(group, name, "replace", policy(["set"]))).properties.accessPolicies[0].permissions.secrets;
await vaults.updateAccessPolicy(group, name, "remove", policy(["set"]));
facts.removed = (await vaults.get(group, name)).properties.accessPolicies.length;
const has = (list) => list.map((v) => v.name).includes(name);
facts.listed = [has(await collect(vaults.listByResourceGroup(group))), has(await collect(vaults.listBySubscription())), has(await collect(vaults.list()))];
await vaults.delete(group, name);
facts.deleted = [(await refused(vaults.get(group, name))).statusCode, has(await collect(vaults.listDeleted())), (await vaults.getDeleted(name, "local")).properties.vaultId.endsWith(name)];
facts.held = (await vaults.checkNameAvailability(ask)).nameAvailable;
await vaults.createOrUpdate(group, name, { location: "local", properties: { tenantId: ready.tenantId, sku: { family: "A", name: "standard" }, createMode: "recover" } });
facts.recovered = (await vaults.get(group, name)).tags;
await vaults.delete(group, name);
const purge = vaults.purgeDeleted ? vaults.purgeDeleted(name, "local") : vaults.beginPurgeDeletedAndWait(name, "local");
await purge;
facts.purged = [(await refused(vaults.getDeleted(name, "local"))).statusCode, (await vaults.checkNameAvailability(ask)).nameAvailable];
facts.unknown = (await refused(vaults.get(group, "no-such-vault-here"))).code;
report(facts);
