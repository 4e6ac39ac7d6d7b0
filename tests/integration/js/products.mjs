// SPDX-License-Identifier: Apache-2.0
// @azure/arm-apimanagement: products, their APIs, policies and subscriptions, at the service and in a workspace.
import { collect, group, management, refused, report, service, setting } from "./clients.mjs";

const client = management();
const facts = {};
const { name, api } = setting;
const at = [group, service, name];
const names = async (pages) => (await collect(pages)).map((one) => one.name);
const document = (inner) => ({ format: "rawxml", value:
  `<policies><inbound><base />${inner}</inbound><backend><base /></backend><outbound><base /></outbound>` +
  "<on-error><base /></on-error></policies>" });
const call = async (key) => {
  const answer = await fetch(`${setting.ready.gatewayUrl}/${api}/x`, key ? { headers: { "Ocp-Apim-Subscription-Key": key } } : {});
  return answer.ok ? (await answer.json()).sha1.toUpperCase() : answer.status;
};

const made = await client.product.createOrUpdate(...at, {
  displayName: "Gold", description: "d", terms: "t", subscriptionRequired: true, approvalRequired: true,
  subscriptionsLimit: 5, state: "published" });
facts.made = [made.displayName, made.state, made.approvalRequired, made.subscriptionsLimit];
facts.tags = (await client.product.getEntityTag(...at)).eTag === (await client.product.get(...at)).eTag;
const updated = await client.product.update(...at, "*", { description: "changed", subscriptionsLimit: null });
facts.updated = [updated.description, updated.subscriptionsLimit ?? null, updated.terms];
facts.listed = await names(client.product.listByService(group, service, { filter: `name eq '${name}'`, top: 1 }));
facts.missing = (await refused(client.product.get(group, service, "nowhere"))).statusCode;

facts.notIn = (await refused(client.productApi.checkEntityExists(...at, api))).statusCode;
facts.added = (await client.productApi.createOrUpdate(...at, api)).path;
await client.productApi.checkEntityExists(...at, api);
facts.apis = await names(client.productApi.listByProduct(...at));
facts.products = await names(client.apiProduct.listByApis(group, service, api));
await client.productApi.delete(...at, api);
facts.none = await names(client.productApi.listByProduct(...at));
const link = await client.productApiLink.createOrUpdate(...at, "mine", {
  apiId: `${setting.serviceId}/apis/${api}` });
facts.link = [link.name, link.apiId, (await client.productApiLink.get(...at, "mine")).apiId];
facts.links = await names(client.productApiLink.listByProduct(...at));

await client.productPolicy.createOrUpdate(...at, "policy", document(
  `<authentication-certificate certificate-id="${setting.certificate}" />`));
facts.policy = (await client.productPolicy.get(...at, "policy", { format: "rawxml" })).value.includes(setting.certificate);
facts.policyTag = (await client.productPolicy.getEntityTag(...at, "policy")).eTag;
facts.policies = await names(client.productPolicy.listByProduct(...at));

const subscription = await client.subscription.createOrUpdate(group, service, name, {
  scope: `/products/${name}`, displayName: name });
facts.submitted = subscription.state;
const { primaryKey } = await client.subscription.listSecrets(group, service, name);
facts.before = await call(primaryKey);
await client.subscription.update(group, service, name, "*", { state: "active" });
facts.called = await call(primaryKey);
facts.without = await call();
facts.subscriptions = await names(client.productSubscriptions.list(...at));
await client.productPolicy.delete(...at, "policy", "*");
facts.plain = await call(primaryKey);
await client.productApiLink.delete(...at, "mine");
facts.out = await call(primaryKey);
facts.inUse = await refused(client.product.delete(...at, "*"));
await client.product.delete(...at, "*", { deleteSubscriptions: true });
facts.gone = [(await refused(client.product.get(...at))).statusCode,
  (await refused(client.subscription.get(group, service, name))).statusCode];

const team = [group, service, name];
await client.workspace.createOrUpdate(...team, { displayName: name });
await client.workspaceApi.beginCreateOrUpdateAndWait(...team, "inner", {
  path: name, displayName: "inner", serviceUrl: "http://localhost:1", protocols: ["http"] });
facts.inner = (await client.workspaceProduct.createOrUpdate(...team, "gold", { displayName: "Inner" })).type;
await client.workspaceProductApiLink.createOrUpdate(...team, "gold", "l1", {
  apiId: `${setting.serviceId}/workspaces/${name}/apis/inner` });
facts.innerLinks = await names(client.workspaceProductApiLink.listByProduct(...team, "gold"));
await client.workspaceProductPolicy.createOrUpdate(...team, "gold", "policy", document(""));
facts.innerPolicy = (await client.workspaceProductPolicy.get(...team, "gold", "policy")).name;
await client.workspaceProductApiLink.delete(...team, "gold", "l1");
await client.workspaceProduct.delete(...team, "gold", "*");
facts.innerList = await names(client.workspaceProduct.listByService(...team));
await client.workspace.delete(...team, "*");
report(facts);
