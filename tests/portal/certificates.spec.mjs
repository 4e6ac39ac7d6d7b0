// SPDX-License-Identifier: Apache-2.0
// Security > Certificates, click by click; what the backend sees afterwards decides.
import { readFileSync } from "node:fs";
import { addAndSave, expect, expectAccessible, makeApi, pki, seen, test, trustBackend, unique, upload } from "./fixtures.mjs";

const open = async (page) => {
  await page.getByRole("navigation", { name: "Service menu" }).getByRole("link", { name: "Certificates" }).click();
  await expect(page.getByRole("heading", { level: 1, name: "Certificates" })).toBeVisible();
};
const row = (page, name) => page.getByRole("row").filter({ has: page.getByRole("link", { name, exact: true }) });
const more = async (page, name, item) => {
  await page.getByRole("button", { name: `More actions for ${name}` }).click();
  await page.getByRole("menuitem", { name: item }).click();
};

test("a .pfx is looked at, added, presented, replaced, and deleted when nothing uses it", async ({ portal: page, postern, backend }) => {
  const name = unique("custom");
  const first = pki.makeClient(name);
  await open(page);
  await page.getByRole("button", { name: "Add", exact: true }).click();
  const panel = page.getByRole("dialog");
  await panel.getByLabel("Id").fill(name);
  await panel.getByLabel("Certificate file").setInputFiles(first.pfx);
  await panel.getByLabel("Password").fill("wrong");
  await expect(panel.getByRole("alert")).toContainText("password");
  await expect(panel.getByRole("button", { name: "Add" })).toHaveAttribute("aria-disabled", "true");
  await panel.getByLabel("Password").fill(first.password);
  await expect(panel.getByRole("region", { name: "What is in the file" })).toContainText(first.thumbprint);
  await expectAccessible(page, "the panel Add");
  await panel.getByRole("button", { name: "Add" }).click(); // as in the article: Add on the panel, Save on the page
  const waiting = page.getByRole("region", { name: "Not saved yet" });
  await expect(waiting).toContainText(`${name} is to be added`);
  await expectAccessible(page, "what waits for Save");
  await expect(row(page, name)).toHaveCount(0);
  await waiting.getByRole("button", { name: "Edit" }).click();
  await expect(panel.getByLabel("Password")).toHaveValue(first.password);
  await addAndSave(page);
  await expect(row(page, name)).toContainText("89 days left");
  await expectAccessible(page, "the list of certificates");

  await trustBackend(postern, backend, name, name);
  await makeApi(postern, backend, name, `<set-backend-service backend-id="${name}" />`);
  expect(await seen(postern, `/${name}/whoami`)).toBe(first.thumbprint);

  const second = pki.makeClient(name);
  await more(page, name, "Replace");
  await panel.getByLabel("Certificate file").setInputFiles(second.pfx);
  await panel.getByLabel("Password").fill(second.password);
  await expect(panel.getByRole("region", { name: "What is in the file" })).toContainText(second.thumbprint);
  await panel.getByRole("button", { name: "Save" }).click();
  await expect(panel).toHaveCount(0);
  expect(await seen(postern, `/${name}/whoami`)).toBe(second.thumbprint);

  await more(page, name, "Delete");
  await expect(page.getByRole("alertdialog")).toContainText(`${name} is in use`);
  await expectAccessible(page, "the refusal to delete");
  await page.getByRole("alertdialog").getByRole("link", { name: `Backend ${name}` }).waitFor();
  await page.getByRole("alertdialog").getByRole("button", { name: "Close" }).click();
  expect(await seen(postern, `/${name}/whoami`)).toBe(second.thumbprint);

  await more(page, name, "Generations");
  const generations = page.getByRole("list", { name: "Generations, newest first" });
  await expect(generations.getByRole("listitem").first()).toContainText("current");
  await expect(generations).toContainText(first.thumbprint);
  await expectAccessible(page, "the generations");
  const [download] = await Promise.all([page.waitForEvent("download"), page.getByRole("button", { name: "Download .cer" }).click()]);
  expect(download.suggestedFilename()).toBe(`${name}.cer`);
  expect(readFileSync(await download.path())[0]).toBe(0x30);
  await page.getByRole("tab", { name: "Usage" }).click();
  await expect(page.getByRole("link", { name: `Backend ${name}` })).toBeVisible();

  await postern.arm("DELETE", `/apis/${name}`, undefined, { headers: { "If-Match": "*" } });
  await postern.arm("DELETE", `/backends/${name}`, undefined, { headers: { "If-Match": "*" } });
  await page.getByRole("button", { name: "Delete" }).click();
  await page.getByRole("alertdialog").getByRole("button", { name: "Delete" }).click();
  await expect(page.getByRole("heading", { level: 1, name: "Certificates" })).toBeVisible();
  await expect(row(page, name)).toHaveCount(0);
});

test("a key vault's certificate is selected, the identity gets its rights, and a renewal is followed", async ({ portal: page, postern, backend }) => {
  const name = unique("vaulted");
  const first = pki.makeClient(name, { password: "" });
  await postern.vault("POST", `/certificates/${name}/import`, { value: first.base64, pwd: "" });
  // Take the identity's rights away first.
  const vaultId = `/subscriptions/${postern.ready.subscriptionId}/resourceGroups/postern/providers/Microsoft.KeyVault/vaults/local`;
  const service = await postern.arm("GET", "");
  await postern.arm("PUT", `${vaultId}/accessPolicies/remove`, { properties: { accessPolicies: [{ tenantId: postern.ready.tenantId, objectId: service.identity.principalId, permissions: { secrets: ["get", "list"] } }] } }, { version: "2023-07-01" });

  await open(page);
  await page.getByRole("button", { name: "Add", exact: true }).click();
  const panel = page.getByRole("dialog", { name: "Add certificate" });
  await panel.getByLabel("Id").fill(name);
  await panel.getByRole("radio", { name: "Key vault" }).click();
  await panel.getByLabel("Secret identifier").fill(`https://local.vault.localhost/secrets/${name}/0123456789abcdef0123456789abcdef`);
  await expect(panel).toContainText("It will not rotate");
  await panel.getByRole("button", { name: "Follow new versions instead" }).click();
  await expect(panel.getByLabel("Secret identifier")).toHaveValue(`https://local.vault.localhost/secrets/${name}`);
  await expect(panel).not.toContainText("It will not rotate");
  await panel.getByRole("button", { name: "Select" }).click();
  const picker = page.getByRole("dialog", { name: "Select a certificate" });
  await picker.getByRole("combobox", { name: "Key vault" }).click();
  await page.getByRole("option", { name: "local" }).click();
  await picker.getByRole("combobox", { name: "Certificate" }).click();
  await page.getByRole("option", { name, exact: true }).click();
  await expectAccessible(page, "the picker");
  await picker.getByRole("button", { name: "Select", exact: true }).click();
  await expect(panel.getByLabel("Secret identifier")).toHaveValue(new RegExp(`/secrets/${name}$`));
  await expect(panel).toContainText("The identity may not read this vault.");
  await addAndSave(page);
  const waiting = page.getByRole("region", { name: "Not saved yet" });
  await expect(waiting.getByRole("alert")).toContainText("Not saved");
  await waiting.getByRole("button", { name: "Edit" }).click();
  await panel.getByRole("button", { name: "Grant Get and List" }).click();
  await expect(panel).not.toContainText("The identity may not read this vault.");
  await addAndSave(page);
  await expect(row(page, name)).toContainText("Key vault");

  await trustBackend(postern, backend, name, name);
  await makeApi(postern, backend, name, `<set-backend-service backend-id="${name}" />`);
  expect(await seen(postern, `/${name}/whoami`)).toBe(first.thumbprint);
  const second = pki.makeClient(name, { password: "" });
  await postern.vault("POST", `/certificates/${name}/import`, { value: second.base64, pwd: "" });
  await more(page, name, "Refresh");
  await expect(page.getByText("Refreshed from the key vault").first()).toBeVisible();
  await expect.poll(() => seen(postern, `/${name}/whoami`)).toBe(second.thumbprint);
});

test("an unreachable vault, an expired file and a bad identifier are told in words", async ({ portal: page }) => {
  const name = unique("bad");
  await open(page);
  await page.getByRole("button", { name: "Add", exact: true }).click();
  const panel = page.getByRole("dialog");
  await panel.getByLabel("Id").fill("no good name!");
  await expect(panel).toContainText("letters, digits");
  await panel.getByLabel("Id").fill(name);
  await panel.getByLabel("Certificate file").setInputFiles({ name: "x.pfx", mimeType: "application/x-pkcs12", buffer: Buffer.from("this is no pfx") });
  await expect(panel.getByRole("alert")).toContainText("This file cannot be used");
  const expired = pki.makeClient(name, { days: -1 });
  await panel.getByLabel("Certificate file").setInputFiles(expired.pfx);
  await panel.getByLabel("Password").fill(expired.password);
  await expect(panel.getByText(/expired/).first()).toBeVisible();
  await panel.getByRole("radio", { name: "Key vault" }).click();
  await panel.getByLabel("Secret identifier").fill("http://not.a/vault");
  await expect(panel).toContainText("This is no identifier");
  await panel.getByLabel("Secret identifier").fill("https://127.0.0.1:1/secrets/none");
  await addAndSave(page);
  const waiting = page.getByRole("region", { name: "Not saved yet" });
  await expect(waiting.getByRole("alert")).toContainText("Not saved");
  await waiting.getByRole("button", { name: "Discard" }).click();
  await expect(waiting).toHaveCount(0);
});

test("two tabs: the later one is told, and loses nothing", async ({ portal: page, postern, context }) => {
  const name = unique("tabs");
  await upload(postern, pki.makeClient(name));
  await open(page);
  const other = await context.newPage();
  await other.goto(`${postern.page}/certificates?replace=${name}`);
  const theirs = other.getByRole("dialog");
  const [mine, newer] = [pki.makeClient(`${name}-a`), pki.makeClient(`${name}-b`)];
  await theirs.getByLabel("Certificate file").setInputFiles(mine.pfx);
  await theirs.getByLabel("Password").fill(mine.password);
  await expect(theirs.getByRole("region", { name: "What is in the file" })).toBeVisible();
  await postern.arm("PUT", `/certificates/${name}`, { properties: { data: newer.base64, password: newer.password } });
  await theirs.getByRole("button", { name: "Save" }).click();
  await expect(theirs.getByRole("alert")).toContainText("Somebody else has changed this certificate meanwhile");
  expect((await postern.arm("GET", `/certificates/${name}`)).properties.thumbprint).toBe(newer.thumbprint);
  await theirs.getByRole("button", { name: "Look again" }).click();
  await theirs.getByRole("button", { name: "Save" }).click();
  await expect(theirs).toHaveCount(0);
  expect((await postern.arm("GET", `/certificates/${name}`)).properties.thumbprint).toBe(mine.thumbprint);
  await other.close();
});
