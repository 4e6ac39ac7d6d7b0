// SPDX-License-Identifier: Apache-2.0
// APIs > Products: a product is made, gets an API, a policy with a certificate and a subscription; its key
// calls the API through the gateway, and the backend tells which certificate came. Then who uses it, and how it goes.
import { expect, expectAccessible, makeApi, pki, test, unique, upload } from "./fixtures.mjs";

const menu = (page, name) => page.getByRole("navigation", { name: "Service menu" }).getByRole("link", { name, exact: true });
const editor = (page) => page.locator(".cm-content");

/** The text of the code view, as one types it: over what is there. */
async function type(page, text) {
  await editor(page).click();
  await page.keyboard.press("Control+a");
  await page.keyboard.press("Delete"); // else Chromium itself makes a styled span, which the policy refuses
  await page.keyboard.insertText(text);
}

test("the key of a product, not that of another one, shows the backend the certificate of the product's policy", async ({ portal: page, postern, backend }) => {
  const [gold, api, other] = [unique("gold"), unique("prod"), unique("outside")];
  const client = await upload(postern, pki.makeClient(gold));
  for (const name of [api, other]) {
    await makeApi(postern, backend, name);
    await postern.arm("PATCH", `/apis/${name}`, { properties: { subscriptionRequired: true } }, { headers: { "If-Match": "*" } });
    await postern.arm("PUT", `/backends/${name}`, { properties: { url: backend.url, protocol: "http", tls: { validateCertificateChain: false } } });
    await postern.arm("PUT", `/apis/${name}/policies/policy`, { properties: { format: "rawxml", value: `<policies><inbound><base /><set-backend-service backend-id="${name}" /></inbound></policies>` } });
  }
  for (const { name } of (await postern.arm("GET", "/products")).value) await postern.arm("DELETE", `/products/${name}?deleteSubscriptions=true`, undefined, { headers: { "If-Match": "*" } });

  await menu(page, "Products").click();
  await expect(page.getByRole("heading", { name: "No products yet" })).toBeVisible();
  await expectAccessible(page, "no products");
  await page.getByRole("button", { name: "Add product" }).click();
  const panel = page.getByRole("dialog", { name: "Add product" });
  await panel.getByLabel("Display name").fill(gold);
  await panel.getByLabel("Description").fill("For those who pay");
  await expectAccessible(page, "Add product");
  await panel.getByRole("button", { name: "Create" }).click();
  await expect(page.getByRole("heading", { level: 1, name: gold })).toBeVisible();

  await expect(page.getByRole("heading", { name: "No APIs in this product yet" })).toBeVisible();
  await page.getByRole("button", { name: "Choose APIs" }).click();
  const choose = page.getByRole("dialog", { name: "Add APIs" });
  await choose.getByLabel("Filter").fill(api);
  await choose.getByRole("checkbox", { name: new RegExp(api) }).check();
  await expectAccessible(page, "Add APIs");
  await choose.getByRole("button", { name: "Add", exact: true }).click();
  await expect(page.getByRole("row").filter({ hasText: `/${api}` })).toBeVisible();
  await expectAccessible(page, "APIs of a product");

  await page.getByRole("tab", { name: "Policies" }).click();
  await expect(page.getByText("There is no policy at this scope yet")).toBeVisible();
  await type(page, `<policies><inbound><base /><authentication-certificate certificate-id="${gold}" /></inbound></policies>`);
  await page.getByRole("button", { name: "Save" }).click();
  await expect(page.getByText("Policy saved").first()).toBeVisible();
  await expectAccessible(page, "Policies of a product");

  // Approval: what is made waits, and opens when it is approved.
  await page.getByRole("tab", { name: "Settings" }).click();
  await page.getByRole("switch", { name: "Requires approval" }).click();
  await page.getByLabel("Subscription count limit").fill("0");
  await expect(page.getByText("A number from 1.")).toBeVisible();
  await page.getByLabel("Subscription count limit").fill("1");
  await expectAccessible(page, "Settings of a product");
  await page.getByRole("button", { name: "Save" }).click();
  await expect(page.getByText("Settings saved").first()).toBeVisible();
  await page.getByRole("tab", { name: "Subscriptions" }).click();
  await page.getByRole("button", { name: "Make one" }).click();
  await page.getByRole("dialog").getByLabel("Display name").fill(gold);
  await page.getByRole("dialog").getByRole("button", { name: "Create" }).click();
  const row = page.getByRole("row").filter({ hasText: gold });
  await expect(row).toContainText("submitted");
  await page.getByRole("button", { name: "Add subscription" }).click();
  await page.getByRole("dialog").getByLabel("Display name").fill(`${gold} again`);
  await page.getByRole("dialog").getByRole("button", { name: "Create" }).click();
  await expect(page.getByRole("dialog").getByRole("alert")).toContainText("1 subscriptions of one owner");
  await page.getByRole("dialog").getByRole("button", { name: "Cancel" }).click();
  const { primaryKey } = await postern.arm("POST", `${postern.service}/subscriptions/${gold}/listSecrets`);
  const call = async (path, key = primaryKey) => {
    const answer = await postern.gateway(`/${path}/whoami`, key ? { "Ocp-Apim-Subscription-Key": key } : {});
    return answer.status === 200 ? JSON.parse(answer.body).thumbprint : answer.status;
  };
  expect(await call(api)).toBe(401);
  await row.getByRole("button", { name: `Approve ${gold}` }).click();
  await expect(row).toContainText("active");
  await row.getByRole("button", { name: `Show keys of ${gold}` }).click();
  await expect(page.getByRole("alertdialog")).toContainText(primaryKey);
  await expectAccessible(page, "keys of a product");
  await page.getByRole("alertdialog").getByRole("button", { name: "Close" }).click();
  expect(await call(api)).toBe(client.thumbprint);
  expect([await call(other), await call(api, null)]).toEqual([401, 401]);

  // The subscriptions page makes one to the product, too; here the limit is in the way.
  await menu(page, "Subscriptions").click();
  await expect(page.getByRole("row").filter({ hasText: `Product ${gold}` })).toBeVisible();
  await page.getByRole("button", { name: "Add subscription" }).first().click();
  const add = page.getByRole("dialog", { name: "New subscription" });
  await add.getByLabel("Display name").fill(`${gold} third`);
  await add.getByRole("combobox", { name: "Product" }).click();
  await page.getByRole("option", { name: gold }).click();
  await add.getByRole("button", { name: "Create" }).click();
  await expect(add.getByRole("alert")).toContainText("1 subscriptions of one owner");
  await add.getByRole("button", { name: "Cancel" }).click();

  // The certificate's users: the policy, the product, the API, each a link.
  await page.goto(`${postern.page}/certificates/${gold}?tab=usage`);
  await expect(page.getByRole("listitem").filter({ hasText: `API ${api} (is in product ${gold}` })).toBeVisible();
  await expectAccessible(page, "usage by a product");
  await page.getByRole("link", { name: `Policy of product ${gold}` }).click();
  await expect(editor(page)).toContainText("authentication-certificate");
  await page.getByRole("tab", { name: "APIs" }).click();
  await page.getByRole("button", { name: `Remove ${api} from the product` }).click();
  await expect(page.getByRole("heading", { name: "No APIs in this product yet" })).toBeVisible();
  expect(await call(api)).toBe(401);

  await page.getByRole("button", { name: "Delete", exact: true }).click();
  const confirm = page.getByRole("alertdialog");
  await expect(confirm.getByRole("button", { name: "Delete" })).toHaveCount(0);
  await expectAccessible(page, "deletion of a product with a subscription");
  await confirm.getByRole("checkbox", { name: /Delete its subscription, too/ }).check();
  await confirm.getByRole("button", { name: "Delete" }).click();
  await expect(page.getByRole("heading", { level: 1, name: "Products" })).toBeVisible();
  await expect(postern.arm("GET", `${postern.service}/subscriptions/${gold}`)).rejects.toThrow("404");
});
