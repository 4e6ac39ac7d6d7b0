// SPDX-License-Identifier: Apache-2.0
// One Postern and one backend for all tests; a page that is signed in; nothing may be wrong on it.
import { expect, test as base } from "@playwright/test";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import * as pki from "./lab/pki.mjs";
import { Postern, startBackend } from "./lab/postern.mjs";

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
export { expect, pki };

/** axe-core finds nothing, but for Fluent's invisible focus sentinels and a toast that is going. It is evaluated by the debugger, which the page's policy does not bind. */
export async function expectAccessible(page, what) {
  await page.evaluate(axe);
  const found = await page.evaluate(() => window.axe.run({ exclude: [["[data-tabster-dummy]"], [".fui-Toast"], ["[aria-labelledby^=toast-title]"]] }, { resultTypes: ["violations"] }));
  const violations = found.violations.map((v) => `${v.id} (${v.impact}): ${v.help}\n    ${v.nodes.slice(0, 4).map((n) => n.html.slice(0, 200)).join("\n    ")}`);
  expect(violations, `axe on ${what ?? page.url()}`).toEqual([]);
}

export const test = base.extend({
  postern: [async ({}, use) => {
    pki.makeAuthority();
    const postern = await new Postern().start();
    await use(postern);
    await postern.stop();
  }, { scope: "worker" }],
  backend: [async ({}, use) => {
    const backend = await startBackend(pki.makeServer());
    await use(backend);
    backend.stop();
  }, { scope: "worker" }],
  /** Nothing on any page throws, and nothing breaks the content security policy. */
  page: async ({ page }, use) => {
    const problems = [];
    page.on("pageerror", (error) => problems.push(String(error)));
    page.on("console", (message) => {
      if (/Content Security Policy|Refused to/.test(message.text())) problems.push(message.text());
    });
    await use(page);
    expect(problems).toEqual([]);
  },
  /** The page, signed in as the administrator. */
  portal: async ({ page, postern }, use) => {
    await page.goto(postern.link());
    await expect(page.getByRole("heading", { level: 1 })).toBeVisible();
    await use(page);
  },
});

/** A setting that most flows need: an API with a backend that demands a certificate. */
export async function makeApi(postern, backend, name, inbound = "") {
  await postern.arm("PUT", `/apis/${name}`, { properties: { displayName: `The ${name} API`, path: name, protocols: ["http"], serviceUrl: backend.url, subscriptionRequired: false } });
  await postern.arm("PUT", `/apis/${name}/operations/whoami`, { properties: { displayName: "Who am I", method: "GET", urlTemplate: "/whoami" } });
  await postern.arm("PUT", `/apis/${name}/policies/policy`, { properties: { format: "rawxml", value: policyOf(inbound) } });
}
export async function trustBackend(postern, backend, name, certificate) {
  await postern.arm("PUT", `/backends/${name}`, { properties: { url: backend.url, protocol: "http", tls: { validateCertificateChain: false, validateCertificateName: true },
    ...(certificate ? { credentials: { certificateIds: [`${postern.service}/certificates/${certificate}`] } } : {}) } });
}
export const policyOf = (inbound) =>
  `<policies><inbound><base />${inbound}</inbound><backend><base /></backend><outbound><base /></outbound><on-error><base /></on-error></policies>`;
export async function upload(postern, client) {
  await postern.arm("PUT", `/certificates/${client.name}`, { properties: { data: client.base64, password: client.password } });
  return client;
}
/** A key vault with these access policies; its id. */
export async function makeVault(postern, name, policies = []) {
  const id = `/subscriptions/${postern.ready.subscriptionId}/resourceGroups/postern/providers/Microsoft.KeyVault/vaults/${name}`;
  await postern.arm("PUT", id, { location: "local", properties: { tenantId: postern.ready.tenantId, sku: { family: "A", name: "standard" }, accessPolicies: policies } }, { version: "2023-07-01" });
  return id;
}
/** The access policy with which `postern.vault` may do everything in a vault. */
export async function administrates(postern) {
  const { value } = await postern.arm("GET", "/msgraph/v1.0/applications");
  return { tenantId: postern.ready.tenantId, objectId: value.find((application) => application.appId === postern.ready.clientId).id, permissions: { certificates: ["all"], secrets: ["all"], keys: ["all"] } };
}
/** Add puts the certificate down at the foot of the page, Save does it. */
export async function addAndSave(page) {
  await page.getByRole("dialog").getByRole("button", { name: "Add" }).click();
  await page.getByRole("region", { name: "Not saved yet" }).getByRole("button", { name: "Save" }).click();
}
/** What the backend saw of us. */
export async function seen(postern, path) {
  const answer = await postern.gateway(path);
  expect(answer.status, answer.body).toBe(200);
  return JSON.parse(answer.body).thumbprint;
}
/** What is open in front has the focus: a moment after it can be seen, and keys are its own from then on. */
export async function hasFocus(page, role = "dialog") {
  await page.waitForFunction((name) => document.activeElement?.closest(`[role=${name}]`), role);
}
/** Deleted objects of one kind: the vault's page has a tab of that name itself, and is there sooner. */
export async function chooseDeleted(page, kind) {
  const tabs = page.getByRole("tab", { name: kind, exact: true });
  await expect(tabs).toHaveCount(2);
  await tabs.last().click();
}
let counter = 0;
/** A name that is no part of another one. */
export const unique = (stem) => `${stem}-${process.pid % 1000}-${String(++counter).padStart(3, "0")}`;
