// SPDX-License-Identifier: Apache-2.0
// Where there is nothing, a page says what belongs there and offers to make it. A service of its own:
// in the others' there is much.
import { expect, expectAccessible, hasFocus, test } from "./fixtures.mjs";
import { Postern } from "./lab/postern.mjs";

test("every list that is empty says what to do, and does it", async ({ page }) => {
  const postern = await new Postern().start();
  try {
    await postern.arm("PUT", "/workspaces/bare", { properties: { displayName: "Bare" } });
    await postern.arm("PUT", "/apis/bare", { properties: { displayName: "Bare", path: "bare", protocols: ["http"], serviceUrl: "http://localhost:1" } });
    const vault = { version: "2023-07-01" };
    const local = (await postern.arm("GET", `/subscriptions/${postern.ready.subscriptionId}/providers/Microsoft.KeyVault/vaults`, undefined, vault)).value[0];
    const bare = local.id.replace(/[^/]*$/, "bare-vault");
    await postern.arm("PUT", bare, { location: "local", properties: { tenantId: local.properties.tenantId, sku: { family: "A", name: "standard" }, accessPolicies: [] } }, vault);
    await page.goto(postern.link());
    await expect(page.getByRole("heading", { level: 1 })).toBeVisible();
    // path, heading, the offer, and what it opens
    const pages = [
      ["certificates", "No certificates yet", "Add certificate", "Add certificate"],
      ["backends", "No backends yet", "Create new backend", "Create new backend"],
      ["managed-identities?tab=user", "No user-assigned identities", "Add user-assigned identity", "Add user assigned managed identity"],
      ["workspaces/bare/apis", "No APIs yet", "Add API", "Create an HTTP API"],
      ["workspaces/bare/backends", "No backends yet", "Create new backend", "Create new backend"],
      ["workspaces/bare/subscriptions", "No subscriptions yet", "Add subscription", "New subscription"],
      ["workspaces/bare/certificates", "No certificates yet", "Add certificate", "Add certificate"],
      ["key-vaults/bare-vault/access-policies", "No access policies", "Add access policy", "Create an access policy"],
      ["key-vaults/local/certificates", "No certificates yet", "Generate/Import", "Create a certificate"],
      ["key-vaults/local/secrets", "No secrets yet", "Generate/Import", "Create a secret"],
      ["key-vaults/local/keys", "No keys yet", "Generate/Import", "Create a key"],
    ];
    for (const [path, title, offer, opens] of pages) {
      await page.goto(`${postern.page}/${path}`);
      const heading = page.getByRole("heading", { name: title });
      await expect(heading, path).toBeVisible();
      await expectAccessible(page, path);
      await heading.locator("..").getByRole("button", { name: offer }).click();
      await expect(page.getByRole("dialog"), path).toContainText(opens);
      await hasFocus(page);
      await page.keyboard.press("Escape");
      await expect(page.getByRole("dialog")).toHaveCount(0);
    }
    for (const [path, title] of [["key-vaults/local/deleted", "No deleted certificates"], ["nothing", "There is no such page"], ["key-vaults/nobody", "There is no such vault"]]) {
      await page.goto(`${postern.page}/${path}`);
      await expect(page.getByRole("heading", { name: title }), path).toBeVisible();
      await expectAccessible(page, path);
    }
    // Within pages: operations, what can be called, rotations, what expires, who uses.
    await page.goto(`${postern.page}/apis/bare/design`);
    await expect(page.getByText("No operations yet: the gateway answers 404.")).toBeVisible();
    await page.getByRole("button", { name: "Add operation" }).click();
    await expect(page.getByRole("dialog")).toContainText("Add operation");
    await page.goto(`${postern.page}/apis/bare/test`);
    await expect(page.getByRole("heading", { name: "Nothing to call yet" })).toBeVisible();
    await page.getByRole("link", { name: "Add an operation in Design" }).click();
    await expect(page.getByRole("button", { name: "Add operation" })).toBeVisible();
    await page.goto(`${postern.page}/overview`);
    await expect(page.getByRole("region", { name: "Last rotations" })).toContainText("No certificate has got another generation yet.");
    await expect(page.getByRole("region", { name: "Expiring certificates" })).toContainText("None within 90 days.");
    await page.goto(`${postern.page}/certificates?filter=zzz`);
    await expect(page.getByRole("heading", { name: "No certificate matches" })).toBeVisible();
    // Workspaces and APIs last: one of each had to be there.
    await postern.arm("DELETE", "/apis/bare", undefined, { headers: { "If-Match": "*" } });
    await postern.arm("DELETE", "/workspaces/bare", undefined, { headers: { "If-Match": "*" } });
    for (const api of (await postern.arm("GET", "/apis")).value) await postern.arm("DELETE", `/apis/${api.name}`, undefined, { headers: { "If-Match": "*" } });
    for (const [path, title, offer] of [["apis", "No APIs yet", "Add API"], ["workspaces", "No workspaces yet", "Create workspace"]]) {
      await page.goto(`${postern.page}/${path}`);
      await page.getByRole("heading", { name: title }).locator("..").getByRole("button", { name: offer }).click();
      await expect(page.getByRole("dialog")).toBeVisible();
    }
  } finally {
    await postern.stop();
  }
});
