// SPDX-License-Identifier: Apache-2.0
// Overview, Managed identities, Network, Subscriptions, Key vaults; and what holds for every page:
// it has an address, works by keyboard alone, from 360 px to 4K, in the dark, and over a restart.
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { expect, expectAccessible, hasFocus, makeApi, pki, test, trustBackend, unique, upload } from "./fixtures.mjs";
import { until } from "./lab/postern.mjs";

const pages = ["overview", "apis", "subscriptions", "backends", "certificates", "managed-identities", "network", "key-vaults",
  "key-vaults/local/certificates", "key-vaults/local/secrets", "key-vaults/local/access-policies", "key-vaults/local/access-control", "key-vaults/local/keys", "key-vaults/local/networking", "key-vaults/local/deleted"];

test("every page opens by its address, and axe finds nothing, light and dark", async ({ portal: page, postern }) => {
  for (const path of pages) {
    await page.goto(`${postern.page}/${path}`);
    await expect(page.getByRole("heading", { level: 1 })).toBeVisible();
    await expect(page.getByText("Loading…")).toHaveCount(0);
    await expect(page.getByRole("alert")).toHaveCount(0);
    await expectAccessible(page, path);
  }
  await page.getByRole("button", { name: "Settings" }).click();
  await page.getByRole("menuitemradio", { name: "Dark" }).click();
  for (const path of ["overview", "certificates", "key-vaults/local/access-policies"]) {
    await page.goto(`${postern.page}/${path}`);
    await expect(page.getByRole("heading", { level: 1 })).toBeVisible();
    await expect(page.getByText("Loading…")).toHaveCount(0);
    await expectAccessible(page, `${path}, dark`);
  }
  await page.goto(`${postern.page}/nothing/here`);
  await expect(page.getByRole("heading", { name: "There is no such page" })).toBeVisible();
});

test("from 360 px to 4K nothing is cut off", async ({ portal: page, postern }) => {
  for (const [width, height] of [[360, 640], [768, 1024], [3840, 2160]]) {
    await page.setViewportSize({ width, height });
    for (const path of ["overview", "certificates", "certificates?add=", "apis", "key-vaults/local/access-policies"]) {
      await page.goto(`${postern.page}/${path}`);
      await expect(page.getByRole("heading").first()).toBeVisible();
      await expect.poll(() => page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth), { message: `${path} at ${width}` }).toBeLessThanOrEqual(0);
    }
  }
  await page.setViewportSize({ width: 360, height: 640 });
  await page.goto(`${postern.page}/overview`);
  await page.getByRole("button", { name: "Service menu" }).click();
  await page.getByRole("dialog").getByRole("link", { name: "Certificates" }).click();
  await expect(page.getByRole("heading", { level: 1, name: "Certificates" })).toBeVisible();
});

test("by keyboard alone: to the certificates, into the panel, and out", async ({ portal: page }) => {
  const press = async (key, until_, limit = 60) => {
    for (let i = 0; i < limit; i++) {
      if (await page.evaluate(until_)) return;
      await page.keyboard.press(key);
    }
    throw new Error(`${key} never got there`);
  };
  await expect(page.getByRole("heading", { level: 1, name: "postern" })).toBeVisible();
  await page.evaluate(() => document.activeElement?.blur());
  await press("Tab", () => document.activeElement?.textContent === "Skip to the content");
  await press("Tab", () => document.activeElement?.textContent?.trim() === "Certificates");
  await page.keyboard.press("Enter");
  await expect(page.getByRole("heading", { level: 1, name: "Certificates" })).toBeFocused();
  await press("Tab", () => document.activeElement?.textContent?.trim() === "Add");
  await page.keyboard.press("Enter");
  await hasFocus(page);
  await press("Tab", () => document.activeElement?.getAttribute("placeholder") === "orders-client", 10);
  await page.keyboard.type("by-keyboard");
  await page.keyboard.press("Escape");
  await expect(page.getByRole("dialog")).toHaveCount(0);
});

test("the overview counts requests and tells what expires", async ({ portal: page, postern, backend }) => {
  const name = unique("overview");
  await upload(postern, pki.makeClient(name, { days: 10 }));
  await trustBackend(postern, backend, name, name);
  await makeApi(postern, backend, name, `<set-backend-service backend-id="${name}" />`);
  for (let i = 0; i < 5; i++) await postern.gateway(`/${name}/whoami`);
  await page.goto(`${postern.page}/overview`);
  await expect(page.getByRole("region", { name: "Health" })).toContainText("ready");
  await expect(page.getByRole("region", { name: "Health" })).toContainText("up");
  await expect(page.getByRole("region", { name: "Expiring certificates" }).getByRole("link", { name, exact: true })).toBeVisible();
  await expect(page.getByRole("region", { name: "Requests" })).toContainText(/[1-9]\d* since the gateway was started/);
});

test("identities: off and on, and a user-assigned one", async ({ portal: page, postern }) => {
  const name = unique("identity");
  const objectId = async () => (await postern.arm("GET", "")).identity.principalId;
  await page.goto(`${postern.page}/managed-identities`);
  await expect(page.getByText(await objectId())).toBeVisible();
  await page.getByRole("switch").click();
  await page.getByRole("alertdialog").getByRole("button", { name: "Switch off" }).click();
  await expect(page.getByText("Status: Off")).toBeVisible();
  expect((await postern.arm("GET", "")).identity?.type ?? "None").not.toContain("SystemAssigned");
  await page.getByRole("switch").click();
  await expect(page.getByText("Status: On")).toBeVisible();
  await expect(page.getByText(await objectId())).toBeVisible();
  await page.getByRole("tab", { name: "User assigned" }).click();
  await page.getByRole("button", { name: "Add", exact: true }).click();
  const panel = page.getByRole("dialog");
  await panel.getByRole("combobox").click();
  await page.getByRole("option", { name: "Create a new one" }).click();
  await panel.getByLabel("Name").fill(name);
  await panel.getByRole("button", { name: "Add" }).click();
  await expect(page.getByRole("button", { name: `Remove ${name}` })).toBeVisible();
  expect(Object.keys((await postern.arm("GET", "")).identity.userAssignedIdentities).join()).toContain(name);
  await page.getByRole("button", { name: `Remove ${name}` }).click();
  await expect(page.getByRole("heading", { name: "No user-assigned identities" })).toBeVisible();
});

test("access to a vault is given step by step", async ({ portal: page, postern }) => {
  const panel = page.getByRole("dialog");
  await page.goto(`${postern.page}/key-vaults/local/overview`);
  const principal = "11111111-2222-3333-4444-555555555555";
  await page.getByRole("tab", { name: "Access policies" }).click();
  await page.getByRole("button", { name: "Create" }).click();
  await panel.getByRole("group", { name: "Secrets permissions" }).getByRole("checkbox", { name: "get", exact: true }).click();
  await panel.getByRole("button", { name: "Next" }).click();
  await panel.getByLabel("or its object id").fill(principal);
  await panel.getByRole("button", { name: "Next" }).click();
  await expect(panel.getByText(principal)).toBeVisible();
  await expectAccessible(page, "Review + create");
  await panel.getByRole("button", { name: "Create" }).click();
  await expect(page.getByText(principal).first()).toBeVisible();
  await page.getByRole("button", { name: `Remove the policy of ${principal}` }).click();
  await expect(page.getByText(principal)).toHaveCount(0);
});

test("control is started again in the middle: the page waits, the form stays, the next try works", async ({ portal: page, postern }) => {
  const name = unique("restart");
  const client = pki.makeClient(name);
  await page.goto(`${postern.page}/certificates?add=&filter=${name}`); // other tests leave many rows
  const panel = page.getByRole("dialog");
  await panel.getByLabel("Id").fill(name);
  await panel.getByLabel("Certificate file").setInputFiles(client.pfx);
  await panel.getByLabel("Password").fill(client.password);
  await expect(panel.getByRole("region", { name: "What is in the file" })).toBeVisible();
  await panel.getByRole("button", { name: "Add" }).click();
  const waiting = page.getByRole("region", { name: "Not saved yet" });
  const old = postern.pid("control");
  process.kill(old, "SIGKILL");
  await waiting.getByRole("button", { name: "Save" }).click();
  await until("another control", () => ![0, old].includes(postern.pid("control")));
  await expect(async () => { // the first try may have met nobody: it says so, and the form is as it was
    if (await waiting.count()) {
      await expect(waiting).toContainText(name);
      await waiting.getByRole("button", { name: "Save" }).click();
    }
    await expect(waiting).toHaveCount(0, { timeout: 3000 });
  }).toPass({ timeout: 45000 });
  await expect(page.getByRole("link", { name, exact: true })).toBeVisible(); // still signed in
  expect((await postern.arm("GET", `/certificates/${name}`)).properties.thumbprint).toBe(client.thumbprint);
});

test("pictures for the manual", async ({ portal: page, postern, backend }) => {
  const folder = process.env.PN_PORTAL_PICTURES ?? join(test.info().outputDir, "pictures");
  mkdirSync(folder, { recursive: true });
  await page.setViewportSize({ width: 900, height: 540 });
  const shot = async (path, file) => {
    await page.goto(`${postern.page}/${path}`);
    await expect(page.getByRole("heading", { level: 1 })).toBeVisible();
    await expect(page.getByText("Loading…")).toHaveCount(0);
    await page.screenshot({ path: join(folder, file) });
  };
  const name = "orders";
  await upload(postern, pki.makeClient(`${name}-client`, { days: 200 }));
  await trustBackend(postern, backend, name, `${name}-client`);
  await makeApi(postern, backend, name, `<set-backend-service backend-id="${name}" /><authentication-certificate certificate-id="${name}-client" />`);
  await shot(`certificates?filter=${name}`, "certificates.png");
  await shot(`apis/${name}/design`, "design.png");
  await page.goto(`${postern.page}/backends/${name}/probe`);
  await page.getByRole("button", { name: "Probe" }).click();
  await expect(page.getByText("The backend accepts the connection")).toBeVisible();
  await page.screenshot({ path: join(folder, "probe.png") });
});
