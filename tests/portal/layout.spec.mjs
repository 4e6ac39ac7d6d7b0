// SPDX-License-Identifier: Apache-2.0
// On a telephone (360 px) no page is wider than the screen, and nothing that can be used lies beside it;
// pictures of it and of a desk, for the manual.
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { expect, expectAccessible, makeApi, pki, test, trustBackend, unique, upload } from "./fixtures.mjs";

/** What sticks out: the page itself, or something to click that no scrolling brings into view. */
const sticksOut = (page) => page.evaluate(() => {
  const width = window.innerWidth + 1;
  const found = document.documentElement.scrollWidth > width ? [`the page: ${document.documentElement.scrollWidth} px`] : [];
  for (const element of document.querySelectorAll("a, button, input, textarea, [role=tab], [role=combobox], [role=switch], h1, h2")) {
    const box = element.getBoundingClientRect();
    if (box.width === 0 || box.height === 0 || (box.right <= width && box.left >= -1) || element.closest("[data-tabster-dummy], .skip, [hidden]")) continue;
    let scroller = element.parentElement;
    while (scroller && !["auto", "scroll"].includes(getComputedStyle(scroller).overflowX)) scroller = scroller.parentElement;
    if (scroller && scroller.scrollWidth > scroller.clientWidth && scroller.getBoundingClientRect().right <= width) continue;
    found.push(`${element.tagName} "${(element.getAttribute("aria-label") ?? element.textContent ?? "").slice(0, 40)}" from ${Math.round(box.left)} to ${Math.round(box.right)}`);
  }
  return found;
});

test("at 360 px every page fits, and everything on it can be reached", async ({ portal: page, postern, backend }) => {
  test.setTimeout(300000);
  const name = unique("a-rather-long-name-of-something");
  await upload(postern, pki.makeClient(name));
  await trustBackend(postern, backend, name, name);
  await makeApi(postern, backend, name, `<set-backend-service backend-id="${name}" /><authentication-certificate certificate-id="${name}" />`);
  await postern.arm("PUT", `/workspaces/${name}`, { properties: { displayName: `The team of ${name}`, description: "d".repeat(200) } });
  await postern.arm("PUT", `/products/${name}`, { properties: { displayName: `The product ${name}`, description: "d".repeat(200) } });
  await postern.arm("PUT", `/products/${name}/apis/${name}`);
  await postern.arm("PUT", `${postern.service}/subscriptions/${name}`, { properties: { displayName: name, scope: `/products/${name}`, state: "submitted" } });
  await postern.arm("PUT", `/workspaces/${name}/certificates/${name}`, { properties: { data: pki.makeClient(`${name}-w`).base64, password: "secret" } });
  const pages = ["overview", "apis", "apis?add=", "apis?policies=", `apis/${name}/design`, `apis/${name}/design/whoami`, `apis/${name}/design?view=code`, `apis/${name}/settings`, `apis/${name}/test`,
    "products", "products?add=", `products/${name}`, `products/${name}/apis?add=`, `products/${name}/policies`, `products/${name}/subscriptions`, `products/${name}/settings`,
    "subscriptions", "backends", "backends?add=", `backends/${name}`, `backends/${name}/probe`, "certificates", "certificates?add=", `certificates?replace=${name}`,
    `certificates/${name}`, `certificates/${name}?tab=usage`, `certificates/${name}?tab=generations`, "workspaces", "workspaces?add=", `workspaces/${name}/overview`, `workspaces/${name}/certificates`,
    `workspaces/${name}/certificates?add=`, `workspaces/${name}/certificates/${name}`, "managed-identities", "network", "key-vaults", "key-vaults/local/certificates", "key-vaults/local/secrets",
    "key-vaults/local/access-policies", "key-vaults/local/access-control", "key-vaults/local/keys", "key-vaults/local/networking", "key-vaults/local/deleted"];
  await page.setViewportSize({ width: 360, height: 640 });
  const problems = [];
  for (const path of pages) {
    await page.goto(`${postern.page}/${path}`);
    await expect(page.getByRole("heading", { level: 1 }).or(page.getByRole("dialog")).first()).toBeVisible();
    await expect(page.getByText("Loading…")).toHaveCount(0);
    let found = [];
    await expect.poll(async () => (found = await sticksOut(page)).length).toBe(0).catch(() => undefined); // of all pages, what stays so when all is drawn
    for (const problem of found) problems.push(`${path}: ${problem}`);
  }
  expect(problems).toEqual([]);
  await page.goto(`${postern.page}/workspaces/${name}/certificates?add=`);
  await expect(page.getByRole("dialog")).toContainText("Key vault is not available in a workspace");
  await expectAccessible(page, "Add certificate at 360 px");
});

test("pictures for the manual: a telephone, a desk, light and dark, a workspace", async ({ portal: page, postern, backend }) => {
  const folder = process.env.PN_PORTAL_PICTURES ?? join(test.info().outputDir, "pictures");
  mkdirSync(folder, { recursive: true });
  const shot = async (path, file, width, height) => {
    await page.setViewportSize({ width, height });
    await page.goto(`${postern.page}/${path}`);
    await expect(page.getByRole("heading", { level: 1 }).first()).toBeVisible();
    await expect(page.getByText("Loading…")).toHaveCount(0);
    await page.screenshot({ path: join(folder, file) });
  };
  const stem = "shown";
  for (const [i, days] of [[1, 12], [2, 80], [3, 200], [4, 360]]) await upload(postern, pki.makeClient(`${stem}-${i}`, { days }));
  await trustBackend(postern, backend, `${stem}-backend`, `${stem}-1`);
  await postern.arm("PUT", "/workspaces/payments", { properties: { displayName: "Payments team", description: "cards and transfers" } });
  await postern.arm("PUT", "/workspaces/payments/certificates/partner", { properties: { data: pki.makeClient("partner-of-payments").base64, password: "secret" } });
  await shot(`certificates?filter=${stem}`, "telephone.png", 360, 560);
  await shot("workspaces/payments/certificates?add=", "workspace.png", 960, 560);
  await page.setViewportSize({ width: 1280, height: 800 });
  await page.goto(`${postern.page}/overview`);
  await page.getByRole("button", { name: "Settings" }).click();
  await page.getByRole("menuitemradio", { name: "Dark" }).click();
  await shot("overview", "overview-dark.png", 1280, 720);
});
