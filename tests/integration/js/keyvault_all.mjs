// SPDX-License-Identifier: Apache-2.0
// Every operation of the Key Vault SDKs against the embedded vault: secrets, certificates, keys.
import { createHash, createPublicKey, generateKeyPairSync, verify as verifySignature } from "node:crypto";
import forge from "node-forge";
import { CryptographyClient } from "@azure/keyvault-keys";
import { certificates, collect, credential, keys, refused, report, secrets, setting } from "./clients.mjs";

const facts = {};
const { name } = setting;
const fast = { intervalInMs: 20 };
const text = (bytes) => Buffer.from(bytes).toString();

async function allSecrets() {
  const client = secrets();
  const at = (suffix) => `${name}-${suffix}`;
  const soon = new Date(Date.now() + 86400_000);
  const set = await client.setSecret(at("s"), "one", { tags: { a: "b" }, expiresOn: soon, contentType: "text/plain" });
  facts.secretLevel = [set.properties.recoveryLevel, set.properties.recoverableDays];
  await client.setSecret(at("s"), "two");
  const changed = await client.updateSecretProperties(at("s"), set.properties.version, { enabled: false, tags: { c: "d" } });
  facts.secretChanged = [changed.enabled, changed.tags, changed.expiresOn.getTime() === Math.floor(soon / 1000) * 1000];
  facts.secretDisabled = (await refused(client.getSecret(at("s"), { version: set.properties.version }))).code;
  for (let i = 0; i < 5; i++) await client.setSecret(at(`page${i}`), "x");
  const pages = [];
  for await (const page of client.listPropertiesOfSecrets().byPage({ maxPageSize: 2 })) pages.push(page.length);
  facts.secretPages = pages.slice(0, -1).every((n) => n === 2) && pages.length > 2;
  facts.secretBackup = await (async () => {
    const blob = await client.backupSecret(at("s"));
    await (await client.beginDeleteSecret(at("s"), fast)).pollUntilDone();
    const conflict = await refused(client.setSecret(at("s"), "three"));
    const deleted = await client.getDeletedSecret(at("s"));
    const listed = (await collect(client.listDeletedSecrets())).map((s) => s.name).includes(at("s"));
    await client.purgeDeletedSecret(at("s"));
    const gone = (await refused(client.getDeletedSecret(at("s")))).statusCode;
    const restored = await client.restoreSecretBackup(blob);
    const again = (await refused(client.restoreSecretBackup(blob))).statusCode;
    return [conflict.code, deleted.recoveryId.endsWith("/deletedsecrets/" + at("s")),
      Math.round((deleted.scheduledPurgeDate - deleted.deletedOn) / 86400_000), listed, gone, restored.name === at("s"),
      (await client.getSecret(at("s"))).value,
      (await collect(client.listPropertiesOfSecretVersions(at("s")))).length, again];
  })();
  await (await client.beginDeleteSecret(at("s"), fast)).pollUntilDone();
  const recovered = await (await client.beginRecoverDeletedSecret(at("s"), fast)).pollUntilDone();
  facts.secretRecovered = [recovered.name === at("s"), (await client.getSecret(at("s"))).value];
  facts.foreignBlob = await refused(client.restoreSecretBackup(Buffer.from("nonsense")));
}

function signRequest(csr, caKey, caSubject) {
  const request = forge.pki.certificationRequestFromAsn1(forge.asn1.fromDer(Buffer.from(csr).toString("binary")));
  if (!request.verify()) throw new Error("the request is not signed by its key");
  const certificate = forge.pki.createCertificate();
  certificate.serialNumber = "01";
  certificate.validity.notBefore = new Date(Date.now() - 60_000);
  certificate.validity.notAfter = new Date(Date.now() + 30 * 86400_000);
  certificate.setSubject(request.subject.attributes);
  certificate.setIssuer([{ name: "commonName", value: caSubject }]);
  certificate.publicKey = request.publicKey;
  certificate.sign(caKey, forge.md.sha256.create());
  return Buffer.from(forge.asn1.toDer(forge.pki.certificateToAsn1(certificate)).getBytes(), "binary");
}

async function allCertificates() {
  const client = certificates();
  const at = (suffix) => `${name}-${suffix}`;
  const self = { issuerName: "Self", subject: "CN=" + name, keyType: "EC", keyCurveName: "P-256" };
  const made = await (await client.beginCreateCertificate(at("c"), self, { ...fast, tags: { t: "1" } })).pollUntilDone();
  facts.certificateTags = made.properties.tags;
  const operation = await client.getCertificateOperation(at("c"), fast);
  facts.operation = operation.getOperationState().certificateOperation.status;
  await client.deleteCertificateOperation(at("c"));
  facts.operationGone = (await refused(client.deleteCertificateOperation(at("c")))).statusCode;
  facts.policy = await (async () => {
    await client.updateCertificatePolicy(at("c"), { ...self, validityInMonths: 3,
      lifetimeActions: [{ action: "AutoRenew", daysBeforeExpiry: 10 }] });
    const policy = await client.getCertificatePolicy(at("c"));
    return [policy.validityInMonths, policy.lifetimeActions];
  })();
  const version = made.properties.version;
  const updated = await client.updateCertificateProperties(at("c"), version, { enabled: false, tags: { u: "2" } });
  facts.certificateUpdated = [updated.properties.enabled, updated.properties.tags];
  facts.versionGot = (await client.getCertificateVersion(at("c"), version)).properties.version === version;

  facts.contacts = await (async () => {
    await client.setContacts([{ email: "a@example.com", name: "A", phone: "1" }]);
    const got = await client.getContacts();
    await client.deleteContacts();
    return [got, (await refused(client.getContacts())).statusCode];
  })();

  facts.issuers = await (async () => {
    await client.createIssuer(at("other"), "Test", { accountId: "acc", password: "needle", organizationId: "org",
      administratorContacts: [{ firstName: "A", lastName: "B", email: "a@example.com", phone: "1" }] });
    const got = await client.getIssuer(at("other"));
    const changed = await client.updateIssuer(at("other"), { provider: "Test", accountId: "other" });
    const listed = (await collect(client.listPropertiesOfIssuers())).some((i) => i.id.endsWith("/" + at("other")));
    const unreachable = await refused(client.beginCreateCertificate(at("x"), { ...self, issuerName: at("other") }, fast));
    await client.deleteIssuer(at("other"));
    return [got.provider, got.accountId, got.password === undefined, changed.accountId, listed, unreachable.code,
      (await refused(client.getIssuer(at("other")))).code];
  })();

  facts.ca = await (async () => {
    await client.createIssuer(at("ca"), "PosternCA");
    const leaf = await (await client.beginCreateCertificate(at("client"), {
      issuerName: at("ca"), subject: "CN=client", keyType: "EC", keyCurveName: "P-256" }, fast)).pollUntilDone();
    const inUse = await refused(client.deleteIssuer(at("ca")));
    return { leaf: Buffer.from(leaf.cer).toString("base64"), ekus: leaf.policy.enhancedKeyUsage, inUse: inUse.statusCode,
      secret: (await secrets().getSecret(at("client"))).value };
  })();

  facts.merge = await (async () => {
    const pair = forge.pki.rsa.generateKeyPair(2048);
    await client.beginCreateCertificate(at("m"),
      { issuerName: "Unknown", subject: "CN=merged", keyType: "RSA" }, fast);
    const pending = (await client.getCertificateOperation(at("m"), fast)).getOperationState().certificateOperation;
    const busy = await refused(client.beginCreateCertificate(at("m"), { issuerName: "Unknown", subject: "CN=merged" }, fast));
    const unlisted = (await collect(client.listPropertiesOfCertificates())).map((c) => c.name).includes(at("m"));
    const listed = (await collect(client.listPropertiesOfCertificates({ includePending: true })))
      .map((c) => c.name).includes(at("m"));
    const foreign = await refused(client.mergeCertificate(at("m"), [made.cer]));
    const der = signRequest(pending.csr, pair.privateKey, "Somebody");
    const merged = await client.mergeCertificate(at("m"), [der]);
    const done = await client.getCertificateOperation(at("m"), fast);
    return [pending.status, busy.statusCode, unlisted, listed, foreign.statusCode, merged.policy.issuerName,
      merged.properties.name, done.getOperationState().certificateOperation.status,
      (await secrets().getSecret(at("m"))).properties.contentType];
  })();

  facts.cancelled = await (async () => {
    const poller = await client.beginCreateCertificate(at("n"), { issuerName: "Unknown", subject: "CN=n" }, fast);
    await poller.cancelOperation();
    const state = (await client.getCertificateOperation(at("n"), fast)).getOperationState().certificateOperation;
    const merging = await refused(client.mergeCertificate(at("n"), [made.cer]));
    await client.deleteCertificateOperation(at("n"));
    return [state.cancellationRequested, state.status, merging.statusCode, (await refused(client.getCertificate(at("n")))).code];
  })();

  facts.certificateBackup = await (async () => {
    const blob = await client.backupCertificate(at("client"));
    await (await client.beginDeleteCertificate(at("client"), fast)).pollUntilDone();
    const secretGone = (await refused(secrets().getSecret(at("client")))).code;
    const keyGone = (await refused(keys().getKey(at("client")))).code;
    const conflict = (await refused(client.beginCreateCertificate(at("client"), self, fast))).code;
    const keyConflict = (await refused(keys().createKey(at("client"), "EC"))).code;
    const deleted = await client.getDeletedCertificate(at("client"));
    const listed = (await collect(client.listDeletedCertificates())).map((c) => c.name).includes(at("client"));
    const managed = (await refused(secrets().purgeDeletedSecret(at("client")))).statusCode;
    await client.purgeDeletedCertificate(at("client"));
    const restored = await client.restoreCertificateBackup(blob);
    return [secretGone, keyGone, conflict, keyConflict, deleted.recoveryId.includes("/deletedcertificates/"), listed, managed,
      restored.name === at("client"), Buffer.from(restored.cer).toString("base64") === facts.ca.leaf,
      (await secrets().getSecret(at("client"))).value.length > 1000];
  })();
  await (await client.beginDeleteCertificate(at("c"), fast)).pollUntilDone();
  const recovered = await (await client.beginRecoverDeletedCertificate(at("c"), fast)).pollUntilDone();
  facts.certificateRecovered = recovered.properties.version === version;

  facts.private = await (async () => {
    const policy = { ...self, exportable: false };
    await (await client.beginCreateCertificate(at("private"), policy, fast)).pollUntilDone();
    const value = (await secrets().getSecret(at("private"))).value;
    const key = await keys().getKey(at("private"));
    const signed = await new CryptographyClient(key, credential()).signData("ES256", Buffer.from("message"));
    return [value.length < 1500, key.properties.managed, signed.result.length];
  })();
}

async function allKeys() {
  const client = keys();
  const at = (suffix) => `${name}-${suffix}`;
  facts.keys = {};
  const digestOf = (algorithm, message) =>
    createHash({ 256: "sha256", 384: "sha384", 512: "sha512" }[algorithm.match(/\d+/)[0]]).update(message).digest();
  const message = Buffer.from("what is signed");
  const matrix = [["RSA", { keySize: 2048 }, ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"]],
    ["EC", { curve: "P-256" }, ["ES256"]], ["EC", { curve: "P-384" }, ["ES384"]], ["EC", { curve: "P-521" }, ["ES512"]],
    ["EC", { curve: "P-256K" }, ["ES256K"]]];
  for (const [type, options, algorithms] of matrix) {
    const label = type + (options.keySize ?? options.curve);
    const key = await client.createKey(at(label), type, options);
    const crypto = new CryptographyClient(key, credential());
    for (const algorithm of algorithms) {
      const digest = digestOf(algorithm, message);
      const { result } = await crypto.sign(algorithm, digest);
      const remote = new CryptographyClient(key.id, credential());
      const good = await remote.verify(algorithm, digest, result);
      const bad = await remote.verify(algorithm, digestOf(algorithm, "another"), result);
      facts.keys[`${label} ${algorithm}`] = [good.result, bad.result];
    }
  }
  const rsa = await client.getKey(at("RSA2048"));
  const publicKey = createPublicKey({ format: "jwk", key: { kty: "RSA", n: Buffer.from(rsa.key.n).toString("base64url"),
    e: Buffer.from(rsa.key.e).toString("base64url") } });
  const crypto = new CryptographyClient(rsa.id, credential());
  facts.verifiedByNode = verifySignature("sha256", message, publicKey,
    (await crypto.sign("RS256", digestOf("RS256", message))).result);
  for (const algorithm of ["RSA1_5", "RSA-OAEP", "RSA-OAEP-256"]) {
    const encrypted = await crypto.encrypt({ algorithm, plaintext: Buffer.from("plain") });
    const wrapped = await crypto.wrapKey(algorithm, Buffer.from("0123456789abcdef"));
    facts.keys[algorithm] = [text((await crypto.decrypt({ algorithm, ciphertext: encrypted.result })).result),
      text((await crypto.unwrapKey(algorithm, wrapped.result)).result)];
  }
  await client.createEcKey(at("ec"), { curve: "P-256", keyOps: ["verify"] });
  facts.keyOps = await refused(new CryptographyClient((await client.getKey(at("ec"))).id, credential())
    .sign("ES256", digestOf("ES256", message)));
  const updated = await client.updateKeyProperties(at("ec"), { keyOps: ["sign", "verify"], tags: { a: "b" }, enabled: false });
  facts.keyUpdated = [updated.keyOperations, updated.properties.tags, updated.properties.enabled];
  const remote = () => new CryptographyClient(updated.id, credential());
  facts.keyDisabled = (await refused(remote().sign("ES256", digestOf("ES256", message)))).message;
  await client.updateKeyProperties(at("ec"), { enabled: true, notBefore: new Date(Date.now() + 3600_000) });
  facts.keyNotYet = (await refused(remote().sign("ES256", digestOf("ES256", message)))).message;
  await client.updateKeyProperties(at("ec"), { notBefore: new Date(1), expiresOn: new Date(Date.now() - 3600_000) });
  facts.keyExpired = (await refused(remote().sign("ES256", digestOf("ES256", message)))).message;
  facts.refusedTypes = [];
  for (const type of ["RSA-HSM", "EC-HSM", "oct", "oct-HSM"])
    facts.refusedTypes.push((await refused(client.createKey(at("hsm"), type))).code);
  facts.release = (await refused(client.releaseKey(at("RSA2048"), "attestation"))).statusCode;
  facts.random = (await client.getRandomBytes(32)).length;

  facts.imported = await (async () => {
    const pair = generateKeyPairSync("rsa", { modulusLength: 2048 });
    const jwk = pair.privateKey.export({ format: "jwk" });
    const parts = Object.fromEntries(["n", "e", "d", "p", "q", "dp", "dq", "qi"].map((m) => [m, Buffer.from(jwk[m], "base64url")]));
    const key = await client.importKey(at("imported"), { kty: "RSA", keyOps: ["sign", "verify"], ...parts });
    const { result } = await new CryptographyClient(key.id, credential()).sign("PS256", digestOf("PS256", message));
    const broken = await refused(client.importKey(at("broken"), { kty: "RSA", ...parts, d: Buffer.from(jwk.n, "base64url") }));
    return [verifySignature("sha256", message, { key: pair.publicKey, padding: 6, saltLength: 32 }, result), broken.code,
      key.key.d === undefined];
  })();

  facts.rotation = await (async () => {
    const first = (await client.getKey(at("RSA2048"))).properties.version;
    const initial = await client.getKeyRotationPolicy(at("RSA2048"));
    const policy = await client.updateKeyRotationPolicy(at("RSA2048"), { expiresIn: "P90D",
      lifetimeActions: [{ action: "Rotate", timeBeforeExpiry: "P30D" }] });
    const got = await client.getKeyRotationPolicy(at("RSA2048"));
    const bad = await refused(client.updateKeyRotationPolicy(at("RSA2048"), { expiresIn: "P3D", lifetimeActions: [] }));
    const rotated = await client.rotateKey(at("RSA2048"));
    const days = Math.round((rotated.properties.expiresOn - rotated.properties.createdOn) / 86400_000);
    return [initial.lifetimeActions[0].action, policy.expiresIn, got.lifetimeActions, bad.code,
      rotated.properties.version !== first, days, (await collect(client.listPropertiesOfKeyVersions(at("RSA2048")))).length];
  })();

  facts.keyBackup = await (async () => {
    const blob = await client.backupKey(at("imported"));
    await (await client.beginDeleteKey(at("imported"), fast)).pollUntilDone();
    const conflict = (await refused(client.createKey(at("imported"), "RSA"))).code;
    const deleted = await client.getDeletedKey(at("imported"));
    const listed = (await collect(client.listDeletedKeys())).map((k) => k.name).includes(at("imported"));
    await client.purgeDeletedKey(at("imported"));
    const restored = await client.restoreKeyBackup(blob);
    const { result } = await new CryptographyClient(restored.id, credential()).sign("RS256", digestOf("RS256", message));
    return [conflict, deleted.properties.recoveryId.includes("/deletedkeys/"), listed, restored.name === at("imported"),
      result.length];
  })();
  await (await client.beginDeleteKey(at("ec"), fast)).pollUntilDone();
  facts.keyRecovered = (await (await client.beginRecoverDeletedKey(at("ec"), fast)).pollUntilDone()).name === at("ec");
  const names = (await collect(client.listPropertiesOfKeys())).map((k) => k.name);
  facts.keysListed = [names.includes(at("ec")), names.includes(at("client")), names.map((n) => n.toLowerCase()).sort().join() === names.map((n) => n.toLowerCase()).join()];
}

await allSecrets();
await allCertificates();
await allKeys();
report(facts);
