// SPDX-License-Identifier: Apache-2.0
// Who may reach the data of a vault: each way of saying it is clicked, looked at by the REST API,
// and then tried by the one whom it is about.
import { chooseDeleted, expect, expectAccessible, pki, test, unique } from "./fixtures.mjs";
import { send } from "./lab/postern.mjs";

const KV = { version: "2023-07-01" };
const ROLES = { version: "2022-04-01" };
const panelOf = (page, name) => page.getByRole("dialog", { name });

/** An application of the directory with a secret: somebody else than who clicks. */
function makeApplication(postern, name) {
  const made = JSON.parse(postern.cli(["identity", "create", name, "--output", "json"]));
  return { name, objectId: made.id ?? made.objectId, clientId: made.appId ?? made.clientId, secret: made.secretText ?? made.clientSecret ?? made.passwordCredentials?.[0]?.secretText };
}
/** The status of a call of the vault's data plane as that application. */
async function tries(postern, application, vault, method, path, body) {
  const token = await send(new URL(`${postern.ready.controlUrl}/${postern.ready.tenantId}/oauth2/v2.0/token`), { method: "POST", ca: postern.ca, headers: { "Content-Type": "application/x-www-form-urlencoded" } },
    new URLSearchParams({ grant_type: "client_credentials", client_id: application.clientId, client_secret: application.secret, scope: "https://vault.azure.net/.default" }).toString());
  const answer = await send(new URL(`${postern.ready.controlUrl}/vault/${vault}${path}?api-version=7.4`), { method, ca: postern.ca,
    headers: { Authorization: `Bearer ${JSON.parse(token.body).access_token}`, "Content-Type": "application/json" } }, body && JSON.stringify(body));
  return answer.status;
}
async function makeVault(postern, page, name) {
  await page.goto(`${postern.page}/key-vaults`);
  await page.getByRole("button", { name: "Create" }).first().click();
  const panel = panelOf(page, "Create key vault");
  await panel.getByLabel("Key vault name").fill(name);
  await panel.getByRole("button", { name: "Create" }).click();
  await expect(page.getByRole("heading", { level: 1, name })).toBeVisible();
  return `/subscriptions/${postern.ready.subscriptionId}/resourceGroups/postern/providers/Microsoft.KeyVault/vaults/${name}`;
}
const pick = async (page, panel, field, option) => {
  await panel.getByRole("combobox", { name: field }).click();
  await page.getByRole("option", { name: option }).click();
};

test("an access policy by the wizard, then the permission model, then roles: each decides from the next call on", async ({ portal: page, postern }) => {
  const vault = unique("access").slice(0, 24);
  const who = makeApplication(postern, vault);
  const id = await makeVault(postern, page, vault);
  const set = (value) => tries(postern, who, vault, "PUT", "/secrets/word", { value });
  const get = () => tries(postern, who, vault, "GET", "/secrets/word");
  expect(await set("x")).toBe(403);

  // + Create: no step before the one in front of it is done.
  await page.getByRole("tab", { name: "Access policies" }).click();
  await page.getByRole("button", { name: "Create" }).click();
  const wizard = panelOf(page, "Create an access policy");
  await expect(wizard.getByRole("tab", { name: "Principal" })).toBeDisabled();
  await expect(wizard.getByRole("button", { name: "Next" })).toHaveAttribute("aria-disabled", "true");
  const secrets = wizard.getByRole("group", { name: "Secrets permissions" });
  await secrets.getByRole("checkbox", { name: "Select all" }).click();
  await secrets.getByRole("checkbox", { name: "purge", exact: true }).click();
  await wizard.getByRole("button", { name: "Next" }).click();
  await expect(wizard.getByRole("tab", { name: "Review + create" })).toBeDisabled();
  await pick(page, wizard, "Principal", `${vault}, application`);
  await wizard.getByRole("button", { name: "Next" }).click();
  await expect(wizard).toContainText(`${vault} ${who.objectId}`);
  await expect(wizard).toContainText("get, list, set, delete, recover, backup, restore");
  await wizard.getByRole("button", { name: "Create" }).click();
  await expect(wizard).toHaveCount(0);
  const saved = (await postern.arm("GET", id, undefined, KV)).properties.accessPolicies;
  expect(saved).toHaveLength(1);
  expect(saved[0]).toMatchObject({ objectId: who.objectId, permissions: { secrets: ["get", "list", "set", "delete", "recover", "backup", "restore"] } });
  expect(await set("sesame")).toBe(200);
  await expect(page.getByRole("listitem").filter({ hasText: who.objectId })).toContainText("get, list, set");

  // Roles instead: what the policy says is not looked at any more.
  await page.getByRole("tab", { name: "Access configuration" }).click();
  await page.getByRole("radio", { name: "Azure role-based access control" }).click();
  await page.getByRole("button", { name: "Apply" }).click();
  await expect(page.getByText("Permission model changed").first()).toBeVisible();
  expect((await postern.arm("GET", id, undefined, KV)).properties.enableRbacAuthorization).toBe(true);
  expect(await get()).toBe(403);
  await page.getByRole("tab", { name: "Access policies" }).click();
  await expect(page.getByText("these policies are not looked at")).toBeVisible();

  await page.getByRole("tab", { name: "Access control (IAM)" }).click();
  await page.getByRole("button", { name: "Add role assignment" }).click();
  const assign = panelOf(page, "Add role assignment");
  await expect(assign.getByRole("button", { name: "Assign" })).toHaveAttribute("aria-disabled", "true");
  await pick(page, assign, "Role", "Key Vault Secrets User");
  await pick(page, assign, "Principal", `${vault}, application`);
  await expectAccessible(page, "Add role assignment");
  await assign.getByRole("button", { name: "Assign" }).click();
  await expect(assign).toHaveCount(0);
  const row = page.getByRole("listitem").filter({ hasText: `Key Vault Secrets User ${vault}` });
  await expect(row).toContainText("this vault");
  const here = async () => (await postern.arm("GET", `${id}/providers/Microsoft.Authorization/roleAssignments`, undefined, ROLES)).value.filter((a) => a.properties.scope.toLowerCase() === id.toLowerCase());
  expect((await here()).map((a) => a.properties.principalId)).toEqual([who.objectId]);
  expect(await get()).toBe(200);
  expect(await set("y")).toBe(403); // that role reads only
  await page.getByRole("button", { name: `Remove Key Vault Secrets User of ${vault}` }).click();
  await expect(row).toHaveCount(0);
  expect(await here()).toEqual([]);
  expect(await get()).toBe(403);

  // And back: the policy was kept, until it is removed.
  await page.getByRole("tab", { name: "Access configuration" }).click();
  await page.getByRole("radio", { name: "Vault access policy" }).click();
  await page.getByRole("button", { name: "Apply" }).click();
  await expect.poll(get).toBe(200);
  await page.getByRole("tab", { name: "Access policies" }).click();
  await page.getByRole("button", { name: `Remove the policy of ${vault}` }).click();
  await expect(page.getByRole("heading", { name: "No access policies" })).toBeVisible();
  expect((await postern.arm("GET", id, undefined, KV)).properties.accessPolicies).toEqual([]);
  expect(await get()).toBe(403);
});

test("a deleted certificate and a deleted key are recovered as they were, and purged for good", async ({ portal: page, postern }) => {
  const name = unique("gone");
  const client = pki.makeClient(name);
  await postern.vault("POST", `/certificates/${name}/import`, { value: client.base64, pwd: client.password });
  await postern.vault("POST", `/keys/${name}k/create`, { kty: "EC", crv: "P-256" });
  const kid = (await postern.vault("GET", `/keys/${name}k/`)).key.kid;
  for (const [kind, tab, object] of [["certificates", "Certificates", name], ["keys", "Keys", `${name}k`]]) {
    await page.goto(`${postern.page}/key-vaults/local/${kind}`);
    await page.getByLabel(`Filter the ${kind}`).fill(name);
    await page.getByRole("button", { name: object, exact: true }).click();
    await panelOf(page, object).getByRole("button", { name: "Delete" }).click();
    await expect(page.getByRole("alertdialog")).toContainText("It can be recovered for 90 days");
    await page.getByRole("alertdialog").getByRole("button", { name: "Delete" }).click();
    await expect(page.getByRole("alertdialog").or(panelOf(page, object))).toHaveCount(0); // behind them the list is not seen
    await expect(page.getByRole("button", { name: object, exact: true })).toHaveCount(0);
    await expect(postern.vault("GET", `/${kind}/${object}/`)).rejects.toThrow("404");
    await page.getByRole("tab", { name: "Deleted objects" }).click();
    await chooseDeleted(page, tab);
    await page.getByRole("button", { name: `Recover ${object}` }).click();
    await expect(page.getByText("Recovered").first()).toBeVisible();
    await expect(page.getByRole("button", { name: `Recover ${object}` })).toHaveCount(0);
    await postern.vault("GET", `/${kind}/${object}/`);
  }
  const secret = Buffer.from((await postern.vault("GET", `/certificates/${name}/`)).x5t, "base64url").toString("hex").toUpperCase();
  expect(secret).toBe(client.thumbprint);
  expect((await postern.vault("GET", `/keys/${name}k/`)).key.kid).toBe(kid);
  await postern.vault("DELETE", `/certificates/${name}`);
  await page.goto(`${postern.page}/key-vaults/local/deleted`);
  await page.getByRole("button", { name: `Purge ${name}` }).click();
  await expect(page.getByRole("alertdialog")).toContainText("It is gone for good");
  await page.getByRole("alertdialog").getByRole("button", { name: "Purge" }).click();
  await expect(page.getByRole("alertdialog")).toHaveCount(0);
  await expect(page.getByRole("button", { name: `Purge ${name}` })).toHaveCount(0);
  for (const kind of ["certificates", "secrets", "keys"]) // a certificate takes its secret and its key along
    await expect(postern.vault("GET", `/deleted${kind}/${name}`)).rejects.toThrow("404");
});
