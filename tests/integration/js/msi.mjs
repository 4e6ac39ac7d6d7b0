// SPDX-License-Identifier: Apache-2.0
// @azure/arm-msi: user-assigned identities and their federated credentials, every operation.
import { ManagedServiceIdentityClient } from "@azure/arm-msi";
import { collect, credential, group, refused, report, setting } from "./clients.mjs";

const { ready, name } = setting;
const client = new ManagedServiceIdentityClient(credential(), ready.subscriptionId, { endpoint: ready.controlUrl });
const identities = client.userAssignedIdentities, federated = client.federatedIdentityCredentials;
const facts = {};

const made = await identities.createOrUpdate(group, name, { location: "local", tags: { a: "b" } });
facts.made = [made.name, made.location, made.tags, made.tenantId, made.type];
const again = await identities.createOrUpdate(group, name, { location: "local" });
facts.stays = again.principalId === made.principalId && again.clientId === made.clientId;
facts.updated = (await identities.update(group, name, { tags: { c: "d" } })).tags;
facts.got = (await identities.get(group, name)).id === made.id;
const names = (list) => list.map((i) => i.name).includes(name);
facts.listed = [names(await collect(identities.listByResourceGroup(group))), names(await collect(identities.listBySubscription()))];
const parameters = { issuer: "https://issuer.test", subject: "repo:org/app", audiences: ["api://AzureADTokenExchange"] };
const first = await federated.createOrUpdate(group, name, "first", parameters);
facts.federated = [first.name, first.issuer, first.subject, first.audiences];
facts.changed = (await federated.createOrUpdate(group, name, "first", { ...parameters, subject: "other" })).subject;
await federated.createOrUpdate(group, name, "second", parameters);
facts.twin = (await refused(federated.createOrUpdate(group, name, "third", parameters))).statusCode;
facts.bad = (await refused(federated.createOrUpdate(group, name, "third", { ...parameters, issuer: "http://x" }))).statusCode;
facts.credentials = (await collect(federated.list(group, name))).map((c) => c.name);
facts.page = (await collect(federated.list(group, name, { top: 1 }))).length;
facts.read = (await federated.get(group, name, "second")).subject;
await federated.delete(group, name, "first");
facts.missing = (await refused(federated.get(group, name, "first"))).statusCode;
const scope = `/subscriptions/${ready.subscriptionId}/resourceGroups/${group}/providers/Microsoft.ApiManagement/service/${ready.serviceName}`;
facts.system = (await client.systemAssignedIdentities.getByScope(scope)).tenantId;
await identities.delete(group, name);
facts.gone = [(await refused(identities.get(group, name))).statusCode, (await refused(federated.get(group, name, "second"))).statusCode];
facts.operations = (await collect(client.operations.list()).catch(() => [])).length >= 0;
report(facts);
