// SPDX-License-Identifier: Apache-2.0
// @azure/keyvault-secrets and -certificates against the embedded vault, with default verification.
import { certificates, collect, refused, report, secrets, setting } from "./clients.mjs";

const facts = {};
const { name } = setting;

const secretClient = secrets();
const set = await secretClient.setSecret(name + "-s", "value one", { contentType: "text/plain", tags: { a: "b" } });
facts.setId = set.properties.id;
await secretClient.setSecret(name + "-s", "value two");
facts.latest = (await secretClient.getSecret(name + "-s")).value;
facts.first = (await secretClient.getSecret(name + "-s", { version: set.properties.version })).value;
facts.versions = (await collect(secretClient.listPropertiesOfSecretVersions(name + "-s"))).length;
facts.listed = (await collect(secretClient.listPropertiesOfSecrets())).some((s) => s.name === name + "-s");
facts.missing = await refused(secretClient.getSecret("nowhere-at-all"));

const client = certificates();
const imported = await client.importCertificate(name + "-i", Buffer.from(setting.pfx, "base64"), { password: setting.password });
facts.imported = Buffer.from(imported.properties.x509Thumbprint).toString("hex").toUpperCase();
facts.importedSecret = (await secretClient.getSecret(name + "-i")).properties.contentType;
const pem = await client.importCertificate(name + "-p", Buffer.from(setting.pem), {
  policy: { contentType: "application/x-pem-file", issuerName: "Unknown", subject: "CN=x" } });
facts.pem = Buffer.from(pem.properties.x509Thumbprint).toString("hex").toUpperCase();
facts.badImport = await refused(client.importCertificate(name + "-b", Buffer.from("not a pfx")));

const poller = await client.beginCreateCertificate(name + "-c", { issuerName: "Self", subject: "CN=" + name },
  { intervalInMs: 50 });
const created = await poller.pollUntilDone();
facts.created = created.policy.issuerName;
const again = await client.beginCreateCertificate(name + "-c", { issuerName: "Self", subject: "CN=" + name },
  { intervalInMs: 50 });
await again.pollUntilDone();
facts.certificateVersions = (await collect(client.listPropertiesOfCertificateVersions(name + "-c"))).length;
facts.certificates = (await collect(client.listPropertiesOfCertificates()))
  .map((c) => c.name).filter((n) => n.startsWith(name)).sort();
facts.policySubject = (await client.getCertificate(name + "-c")).policy.subject;

const bare = secrets(setting.ready.vaultUrl.replace("local.vault.localhost", "localhost"),
  { disableChallengeResourceVerification: true });
facts.bare = (await bare.getSecret(name + "-s")).value;
report(facts);
