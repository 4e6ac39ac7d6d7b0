// SPDX-License-Identifier: Apache-2.0
// APIs > Workspaces: a workspace is made, gets a certificate by upload, a backend and an API, and the
// backend sees that certificate; another workspace's is another one; then all of it goes.
import { addAndSave, expect, expectAccessible, pki, seen, test, unique } from "./fixtures.mjs";

const menu = (page, name) => page.getByRole("navigation", { name: "Service menu" }).getByRole("link", { name, exact: true });

async function addCertificate(page, name, client) {
  await menu(page, "Certificates").click();
  await expect(page.getByRole("heading", { level: 1, name: "Certificates" })).toBeVisible();
  await page.getByRole("button", { name: "Add", exact: true }).click();
  const panel = page.getByRole("dialog", { name: "Add certificate" });
  await panel.getByLabel("Id").fill(name);
  await expect(panel.getByRole("radio", { name: "Key vault" })).toBeDisabled();
  await expect(panel).toContainText("Key vault is not available in a workspace");
  await expectAccessible(page, "Add certificate in a workspace");
  await panel.getByLabel("Certificate file").setInputFiles(client.pfx);
  await panel.getByLabel("Password").fill(client.password);
  await expect(panel.getByRole("region", { name: "What is in the file" })).toContainText(client.thumbprint);
  await addAndSave(page);
  await expect(page.getByRole("row").filter({ has: page.getByRole("link", { name, exact: true }) })).toContainText("Custom");
}

async function addBackend(page, name, url, certificate) {
  await menu(page, "Backends").click();
  await page.getByRole("button", { name: "Create new backend" }).first().click();
  const panel = page.getByRole("dialog");
  await panel.getByRole("textbox", { name: "Name" }).fill(name);
  await panel.getByLabel("Runtime URL").fill(url);
  await panel.getByRole("switch", { name: "Validate certificate chain" }).click();
  await panel.getByRole("combobox", { name: "Client certificate" }).click();
  await page.getByRole("menuitemcheckbox", { name: new RegExp(`^${certificate} `) }).click();
  await page.keyboard.press("Escape");
  await panel.getByRole("button", { name: "Create" }).click();
  await expect(page.getByRole("heading", { level: 1, name })).toBeVisible();
}

async function addApi(page, name, backend) {
  await menu(page, "APIs").click();
  await page.getByRole("button", { name: "Add API" }).first().click();
  const panel = page.getByRole("dialog");
  await panel.getByLabel("Display name").fill(name);
  await panel.getByRole("combobox", { name: "Sends to" }).click();
  await page.getByRole("option", { name: backend }).click();
  await panel.getByLabel("API URL suffix").fill(name);
  await panel.getByRole("switch", { name: "Subscription required" }).click();
  await panel.getByRole("button", { name: "Create" }).click();
  await expect(page.getByRole("heading", { level: 1, name })).toBeVisible();
}

test("a workspace's certificate, by upload only, is what its backend sees", async ({ portal: page, postern, backend }) => {
  const [team, api] = [unique("team"), unique("ws")];
  const client = pki.makeClient(api);
  // What other tests have left, so that the list begins empty.
  for (const { name } of (await postern.arm("GET", "/workspaces")).value) await postern.arm("DELETE", `/workspaces/${name}`, undefined, { headers: { "If-Match": "*" } });
  await menu(page, "Workspaces").click();
  await expect(page.getByRole("heading", { name: "No workspaces yet" })).toBeVisible();
  await expectAccessible(page, "no workspaces");
  await page.getByRole("button", { name: "Create workspace" }).click();
  const panel = page.getByRole("dialog", { name: "Create workspace" });
  await panel.getByLabel("Display name").fill(team);
  await panel.getByLabel("Description").fill("What this team has");
  await expectAccessible(page, "Create workspace");
  await panel.getByRole("button", { name: "Create" }).click();
  await expect(page.getByRole("heading", { level: 1, name: team })).toBeVisible();
  await expect(page.getByRole("navigation", { name: "Breadcrumb" })).toContainText(team);
  await expectAccessible(page, "a workspace");

  await addCertificate(page, "partner", client);
  await addBackend(page, "partner", backend.url, "partner");
  await page.getByRole("tab", { name: "Probe" }).click();
  await page.getByRole("button", { name: "Probe" }).click();
  await expect(page.getByRole("region", { name: "Result of the probe" })).toContainText("The backend accepts the connection");
  await addApi(page, api, "partner");
  expect(await seen(postern, `/${api}/whoami`)).toBe(client.thumbprint);
  // It is the workspace's: the service has none of that name.
  expect((await postern.arm("GET", `/workspaces/${team}/certificates/partner`)).properties.thumbprint).toBe(client.thumbprint);
  await expect(postern.arm("GET", "/certificates/partner")).rejects.toThrow("404");

  await page.getByRole("tab", { name: "Test" }).click();
  await page.getByLabel("path", { exact: true }).fill("whoami");
  await page.getByRole("button", { name: "Send" }).click();
  await expect(page.getByRole("region", { name: "HTTP response" })).toContainText("partner, generation 1");

  // In use: not deleted, with links that stay in the workspace.
  await menu(page, "Certificates").click();
  await page.getByRole("button", { name: "More actions for partner" }).click();
  await page.getByRole("menuitem", { name: "Delete" }).click();
  await expect(page.getByRole("alertdialog")).toContainText("partner is in use");
  await page.getByRole("alertdialog").getByRole("link", { name: "Backend partner" }).click();
  await expect(page).toHaveURL(new RegExp(`/workspaces/${team}/backends/partner`));

  // The whole workspace goes when its name is typed.
  await menu(page, "Overview").click();
  await expect(page.getByRole("region", { name: "In this workspace" })).toContainText("Certificates1");
  await page.getByRole("button", { name: "Delete" }).click();
  const ask = page.getByRole("alertdialog");
  await expect(ask).toContainText("1 API, 1 backend, 1 certificate");
  await expect(ask.getByRole("button", { name: "Delete" })).toHaveCount(0);
  await expectAccessible(page, "Delete workspace");
  await ask.getByLabel(`Type ${team} to confirm`).fill(team);
  await ask.getByRole("button", { name: "Delete" }).click();
  await expect(page.getByRole("heading", { level: 1, name: "Workspaces" })).toBeVisible();
  expect((await postern.gateway(`/${api}/whoami`)).status).toBe(404);
});

test("two tabs: a changed workspace is told, and nothing is lost", async ({ portal: page, postern }) => {
  const team = unique("tabs");
  await postern.arm("PUT", `/workspaces/${team}`, { properties: { displayName: "First" } });
  await page.goto(`${postern.page}/workspaces/${team}/overview`);
  await page.getByRole("button", { name: "Edit" }).click();
  const panel = page.getByRole("dialog");
  await panel.getByLabel("Display name").fill("Mine");
  await postern.arm("PUT", `/workspaces/${team}`, { properties: { displayName: "Theirs" } });
  await panel.getByRole("button", { name: "Save" }).click();
  await expect(panel.getByRole("alert")).toContainText("Somebody else has changed this workspace meanwhile");
  expect((await postern.arm("GET", `/workspaces/${team}`)).properties.displayName).toBe("Theirs");
  await panel.getByRole("button", { name: "Save mine nevertheless" }).click();
  await panel.getByRole("button", { name: "Save", exact: true }).click();
  await expect(page.getByRole("heading", { level: 1, name: "Mine" })).toBeVisible();
});
