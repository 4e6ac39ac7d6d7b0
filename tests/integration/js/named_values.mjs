// SPDX-License-Identifier: Apache-2.0
// @azure/arm-apimanagement: namedValue.* and policyFragment.*, at the service and in a workspace.
import { collect, group, management, refused, report, secrets, service, setting } from "./clients.mjs";

const client = management();
const facts = {};
const { name, api } = setting;
const at = [group, service, name];
const names = async (pages) => (await collect(pages)).map((one) => one.name);
const seen = async () => (await (await fetch(`${setting.ready.gatewayUrl}/${api}/x`)).json()).headers
  .filter(([n]) => n === "x-seen").map(([, v]) => v);

const made = await client.namedValue.beginCreateOrUpdateAndWait(...at, {
  displayName: name, value: "one", tags: ["t"], secret: false });
facts.made = [made.displayName, made.value, made.secret, made.tags, made.provisioningState];
facts.tags = (await client.namedValue.getEntityTag(...at)).eTag === (await client.namedValue.get(...at)).eTag;
const updated = await client.namedValue.beginUpdateAndWait(...at, "*", { value: "two", secret: true });
facts.updated = [updated.value ?? null, updated.secret, updated.tags];
facts.value = (await client.namedValue.listValue(...at)).value;
facts.listed = await names(client.namedValue.listByService(group, service, {
  filter: `displayName eq '${name}'`, top: 1, isKeyVaultRefreshFailed: false }));
facts.twin = await refused(client.namedValue.beginCreateOrUpdateAndWait(group, service, name + "-2", {
  displayName: name, value: "x" }));
facts.missing = (await refused(client.namedValue.get(group, service, "nowhere"))).statusCode;

await secrets().setSecret(name, "three");
const vaulted = await client.namedValue.beginCreateOrUpdateAndWait(...at, {
  displayName: name, keyVault: { secretIdentifier: `${setting.ready.vaultUrl}/secrets/${name}`, identityClientId: null } });
facts.vaulted = [vaulted.value ?? null, vaulted.secret, vaulted.keyVault.lastStatus.code];
await secrets().setSecret(name, "four");
facts.refreshed = (await client.namedValue.beginRefreshSecretAndWait(...at)).keyVault.lastStatus.code;

const fragment = (inner) => ({ format: "rawxml", description: "d", value: `<fragment>${inner}</fragment>` });
const header = `<set-header name="x-seen"><value>{{${name}}}</value></set-header>`;
const put = await client.policyFragment.beginCreateOrUpdateAndWait(...at, fragment(header));
facts.fragment = [put.format, put.description, put.provisioningState, put.value.includes("<fragment>")];
facts.fragmentTag = !!(await client.policyFragment.getEntityTag(...at)).eTag;
facts.xml = (await client.policyFragment.get(...at, { format: "xml" })).format;
await client.apiPolicy.createOrUpdate(group, service, api, "policy", { format: "rawxml", value:
  `<policies><inbound><base /><include-fragment fragment-id="${name}" /></inbound><backend><base /></backend>` +
  "<outbound><base /></outbound><on-error><base /></on-error></policies>" });
facts.seen = await seen();
await client.namedValue.beginCreateOrUpdateAndWait(...at, { displayName: name, value: "five" });
facts.then = await seen();
facts.references = (await client.policyFragment.listReferences(...at, { top: 5 })).value.map((r) => r.id);
facts.fragments = (await names(client.policyFragment.listByService(group, service, { orderby: "name" }))).includes(name);
facts.used = await refused(client.policyFragment.delete(...at, "*"));
facts.usedValue = await refused(client.namedValue.delete(...at, "*"));
await client.apiPolicy.delete(group, service, api, "policy", "*");
await client.policyFragment.delete(...at, "*");
await client.namedValue.delete(...at, "*");
facts.gone = [(await refused(client.policyFragment.get(...at))).statusCode,
  (await refused(client.namedValue.get(...at))).statusCode];

await client.workspace.createOrUpdate(...at, { displayName: name });
const inner = await client.workspaceNamedValue.beginCreateOrUpdateAndWait(...at, "v1", { displayName: "v1", value: "x" });
facts.inner = [inner.type, (await client.workspaceNamedValue.listValue(...at, "v1")).value];
const innerFragment = await client.workspacePolicyFragment.beginCreateOrUpdateAndWait(...at, "f1", fragment(
  '<set-header name="x-seen"><value>{{v1}}</value></set-header>'));
facts.innerFragment = innerFragment.type;
facts.innerUsed = (await refused(client.workspaceNamedValue.delete(...at, "v1", "*"))).statusCode;
await client.workspacePolicyFragment.delete(...at, "f1", "*");
await client.workspaceNamedValue.delete(...at, "v1", "*");
await client.workspace.delete(...at, "*");
report(facts);
