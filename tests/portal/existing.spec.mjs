// SPDX-License-Identifier: Apache-2.0
// What is made by a form with a name that is taken: the one that is there stays as it is, in every list.
import { expect, makeApi, pki, test, trustBackend, unique, upload } from "./fixtures.mjs";

test("a name that is taken: nothing is overwritten, and the form stays", async ({ portal: page, postern, backend }) => {
  const name = unique("taken").slice(0, 24);
  const client = await upload(postern, pki.makeClient(name));
  await trustBackend(postern, backend, name, name);
  await makeApi(postern, backend, name);
  await postern.arm("PUT", `/workspaces/${name}`, { properties: { displayName: "Theirs", description: "theirs" } });
  await postern.arm("PUT", `/subscriptions/${name}`, { properties: { displayName: name, scope: `${postern.service}/apis/${name}` } });
  const vault = `/subscriptions/${postern.ready.subscriptionId}/resourceGroups/postern/providers/Microsoft.KeyVault/vaults/${name}`;
  const policies = [{ tenantId: postern.ready.tenantId, objectId: "11111111-2222-3333-4444-555555555555", permissions: { secrets: ["get"] } }];
  await postern.arm("PUT", vault, { location: "local", properties: { tenantId: postern.ready.tenantId, sku: { family: "A", name: "standard" }, accessPolicies: policies } }, { version: "2023-07-01" });

  const panel = page.getByRole("dialog");
  const refused = async (where = panel) => expect(where.getByRole("alert")).toContainText(new RegExp(`There is a (key vault )?\\S+ already, and it stays as it is`));
  const other = pki.makeClient(`${name}-other`);
  await page.goto(`${postern.page}/certificates?add=`);
  await panel.getByLabel("Id").fill(name);
  await panel.getByLabel("Certificate file").setInputFiles(other.pfx);
  await panel.getByLabel("Password").fill(other.password);
  await panel.getByRole("button", { name: "Add" }).click();
  const waiting = page.getByRole("region", { name: "Not saved yet" });
  await waiting.getByRole("button", { name: "Save" }).click();
  await refused(waiting);
  await waiting.getByRole("button", { name: "Edit" }).click();
  await panel.getByLabel("Id").fill(`${name}-2`);
  await panel.getByRole("button", { name: "Add" }).click();
  await waiting.getByRole("button", { name: "Save" }).click();
  await expect(waiting).toHaveCount(0);
  expect((await postern.arm("GET", `/certificates/${name}`)).properties.thumbprint).toBe(client.thumbprint);
  expect((await postern.arm("GET", `/certificates/${name}-2`)).properties.thumbprint).toBe(other.thumbprint);

  await page.goto(`${postern.page}/backends?add=`);
  await panel.getByRole("textbox", { name: "Name", exact: true }).fill(name);
  await panel.getByLabel("Runtime URL").fill("https://elsewhere.example");
  await panel.getByRole("button", { name: "Create" }).click();
  await refused();
  await expect(panel.getByLabel("Runtime URL")).toHaveValue("https://elsewhere.example");
  expect((await postern.arm("GET", `/backends/${name}`)).properties.url).toBe(backend.url);

  await page.goto(`${postern.page}/apis?add=`);
  await panel.getByLabel("Display name").fill(name);
  await panel.getByLabel("API URL suffix").fill(`${name}-2`);
  await panel.getByRole("button", { name: "Create" }).click();
  await refused();
  expect((await postern.arm("GET", `/apis/${name}`)).properties.path).toBe(name);
  await page.goto(`${postern.page}/apis/${name}/design`);
  await page.getByRole("button", { name: "Add operation" }).click();
  await panel.getByLabel("Display name").fill("Whoami");
  await panel.getByLabel("URL", { exact: false }).last().fill("/another");
  await panel.getByRole("button", { name: "Save" }).click();
  await refused();
  expect((await postern.arm("GET", `/apis/${name}/operations/whoami`)).properties.urlTemplate).toBe("/whoami");

  await page.goto(`${postern.page}/subscriptions`);
  await page.getByRole("button", { name: "Add subscription" }).click();
  await panel.getByLabel("Display name").fill(name);
  await panel.getByRole("button", { name: "Create" }).click();
  await refused();
  expect((await postern.arm("GET", `/subscriptions/${name}`)).properties.scope).toBe(`${postern.service}/apis/${name}`);

  await page.goto(`${postern.page}/workspaces?add=`);
  await panel.getByLabel("Display name").fill(name);
  await panel.getByRole("button", { name: "Create" }).click();
  await refused();
  expect((await postern.arm("GET", `/workspaces/${name}`)).properties.description).toBe("theirs");

  await page.goto(`${postern.page}/key-vaults`);
  await page.getByRole("button", { name: "Create" }).first().click();
  await panel.getByLabel("Key vault name").fill(name);
  await panel.getByRole("button", { name: "Create" }).click();
  await refused();
  expect((await postern.arm("GET", vault, undefined, { version: "2023-07-01" })).properties.accessPolicies).toHaveLength(1);
});

test("two make the first policy of a scope: the later one is told", async ({ portal: page, postern, backend }) => {
  const name = unique("first");
  await makeApi(postern, backend, name);
  await page.goto(`${postern.page}/apis/${name}/design/whoami?view=code`);
  const editor = page.getByRole("textbox", { name: /^Policy of/ });
  await editor.click();
  await page.keyboard.press("Control+Home");
  await page.keyboard.insertText("<!-- mine -->");
  const theirs = "<policies><inbound><return-response><set-status code=\"204\" reason=\"Theirs\" /></return-response></inbound></policies>";
  await postern.arm("PUT", `/apis/${name}/operations/whoami/policies/policy`, { properties: { format: "rawxml", value: theirs } });
  await page.getByRole("button", { name: "Save" }).click();
  await expect(page.getByRole("alert")).toContainText("Somebody else has changed this policy meanwhile");
  expect((await postern.gateway(`/${name}/whoami`)).status).toBe(204);
  await expect(editor).toContainText("mine");
  await page.getByRole("button", { name: "Take theirs" }).click();
  await expect(editor).toContainText("Theirs");
});
