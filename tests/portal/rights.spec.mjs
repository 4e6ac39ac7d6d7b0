// SPDX-License-Identifier: Apache-2.0
// What one's roles and access policies forbid is shown disabled, with what is missing, on every page.
import { administrates, chooseDeleted, expect, expectAccessible, makeApi, makeVault, pki, test, trustBackend, unique, upload } from "./fixtures.mjs";

const PASSWORD = "a long enough password";
const KV = { version: "2023-07-01" };

async function signIn(page, postern, name) {
  await page.goto(`${postern.page}/overview`);
  await page.getByLabel("User name").fill(name);
  await page.getByLabel("Password").fill(PASSWORD);
  await page.getByRole("button", { name: "Sign in" }).click();
  await expect(page.getByRole("heading", { level: 1, name: "postern" })).toBeVisible();
}

/** The button is there and disabled, can be reached by the keyboard, and its description names what is missing. */
async function expectForbidden(page, name, action, within = page) {
  const button = within.getByRole("button", { name, exact: typeof name === "string" }).first();
  await expect(button, `${page.url()}: ${name}`).toHaveAttribute("aria-disabled", "true");
  await page.mouse.move(0, 0);
  await page.keyboard.press("Shift"); // until a key is used, a panel that opens keeps the focus in its first field
  await expect(async () => {
    await button.blur();
    await button.focus();
    await expect(page.getByRole("tooltip").filter({ hasText: action }), `${page.url()}: ${name}`).toBeVisible({ timeout: 2000 });
  }).toPass({ timeout: 15000 });
  await page.keyboard.press("Escape");
}

test("a Reader sees every page, and what would change something is disabled with the missing action", async ({ page, postern, backend }) => {
  test.slow();
  const name = unique("rights");
  await upload(postern, pki.makeClient(name));
  await trustBackend(postern, backend, name, name);
  await makeApi(postern, backend, name);
  await postern.arm("PUT", `/products/${name}`, { properties: { displayName: name } });
  await makeVault(postern, name.slice(0, 24));
  await postern.arm("PUT", `/namedValues/${name}`, { properties: { displayName: name, value: "x" } });
  postern.addUser(name, PASSWORD, "Reader");
  await signIn(page, postern, name);
  const service = "Microsoft.ApiManagement/service/";
  const pages = [
    ["certificates", [["Add", "certificates/write"]]],
    [`certificates/${name}`, [["Replace", "certificates/write"], ["Delete", "certificates/delete"], ["Refresh", "certificates/refreshSecret/action"]]],
    ["apis", [["Add API", "apis/write"]]],
    [`apis/${name}/design`, [["Delete", "apis/delete"], ["Add operation", "apis/operations/write"], ["Gateway credentials", "apis/policies/write"]]],
    [`apis/${name}/design?view=code`, [["Save", "apis/policies/write"]]],
    [`apis/${name}/settings`, [["Save", "apis/write"]]],
    [`apis/${name}/test`, [["Send", "apis/test/action"]]],
    ["backends", [["Create new backend", "backends/write"]]],
    [`backends/${name}`, [["Edit", "backends/write"], ["Reconnect", "backends/reconnect/action"], ["Delete", "backends/delete"]]],
    [`backends/${name}/probe`, [["Probe", "backends/probe/action"]]],
    ["named-values", [["Add", "namedValues/write"], [`Show value of ${name}`, "namedValues/listValue/action"], [`Delete ${name}`, "namedValues/delete"]]],
    ["policy-fragments", [["Create", "policyFragments/write"]]],
    ["subscriptions", [["Add subscription", "subscriptions/write"], ["Show keys of master", "subscriptions/listSecrets/action"]]],
    ["products", [["Add", "products/write"]]],
    [`products/${name}`, [["Add APIs", "products/apis/write"], ["Delete", "products/delete"]]],
    [`products/${name}/policies`, [["Save", "products/policies/write"]]],
    [`products/${name}/subscriptions`, [["Add subscription", "subscriptions/write"]]],
    [`products/${name}/settings`, [["Save", "products/write"]]],
    ["workspaces", [["Add", "workspaces/write"]]],
    ["managed-identities?tab=user", [["Add", "write"]]],
  ];
  for (const [path, buttons] of pages) {
    await page.goto(`${postern.page}/${path}`);
    for (const [button, action] of buttons) await expectForbidden(page, button, `${service}${action}`);
  }
  await page.goto(`${postern.page}/managed-identities`);
  await expect(page.getByRole("switch", { name: /Status: On/ })).toBeDisabled();
  await expect(page.getByText(`Your roles do not allow ${service}write.`, { exact: false }).first()).toBeVisible();

  const vault = `${postern.page}/key-vaults/${name.slice(0, 24)}`;
  await page.goto(`${postern.page}/key-vaults`);
  await expectForbidden(page, "Create", "Microsoft.KeyVault/vaults/write");
  for (const [tab, button, action] of [["access-configuration", "Apply", "Microsoft.KeyVault/vaults/write"], ["access-policies", "Create", "Microsoft.KeyVault/vaults/accessPolicies/write"],
    ["access-control", "Add role assignment", "Microsoft.Authorization/roleAssignments/write"], ["networking", "Save", "Microsoft.KeyVault/vaults/write"]]) {
    await page.goto(`${vault}/${tab}`);
    await expectForbidden(page, button, action);
  }
  await expectAccessible(page, "a page with disabled commands");
  // No policy names this person: the server's words stand where the list would be.
  await page.goto(`${vault}/secrets`);
  await expect(page.getByRole("alert")).toContainText("does not have secrets list permission");
  // The menu of a row, too.
  await page.goto(`${postern.page}/certificates?filter=${name}`);
  await page.getByRole("button", { name: `More actions for ${name}` }).click();
  for (const item of ["Replace", "Delete"]) {
    await expect(page.getByRole("menuitem", { name: item })).toBeDisabled();
    await expect(page.getByRole("menuitem", { name: item })).toHaveAttribute("title", /Microsoft\.ApiManagement\/service\/certificates\//);
  }
  await expect(page.getByRole("menuitem", { name: "Usage" })).toBeEnabled();
});

for (const model of ["access policies", "roles"])
  test(`a vault user with Get and List only, by ${model}: looks, and changes nothing`, async ({ page, postern }) => {
    const name = unique("looker");
    postern.addUser(name, PASSWORD, "Reader");
    const { value: users } = await postern.arm("GET", `/msgraph/v1.0/users`);
    const objectId = users.find((u) => u.displayName.toLowerCase() === name.toLowerCase()).id;
    const some = { certificates: ["Get", "List"], secrets: ["get", "list"], keys: ["get", "list"] };
    const vault = unique("looked").slice(0, 24);
    const byRoles = model === "roles";
    const id = await makeVault(postern, vault, [await administrates(postern),
      ...(byRoles ? [] : [{ tenantId: postern.ready.tenantId, objectId, permissions: some }])]);
    await postern.vault("PUT", "/secrets/word", { value: "sesame" }, vault);
    await postern.vault("POST", "/certificates/leaf/create", { policy: { issuer: { name: "Self" }, x509_props: { subject: "CN=leaf", validity_months: 12 }, key_props: { kty: "EC", crv: "P-256" } } }, vault);
    await postern.vault("PUT", "/secrets/gone", { value: "x" }, vault);
    await postern.vault("DELETE", "/secrets/gone", undefined, vault);
    if (byRoles) {
      await postern.arm("PATCH", id, { properties: { enableRbacAuthorization: true } }, KV);
      const roles = (await postern.arm("GET", `/subscriptions/${postern.ready.subscriptionId}/providers/Microsoft.Authorization/roleDefinitions`, undefined, { version: "2022-04-01" })).value;
      for (const role of ["Key Vault Reader", "Key Vault Secrets User"])
        await postern.arm("PUT", `${id}/providers/Microsoft.Authorization/roleAssignments/${crypto.randomUUID()}`,
          { properties: { roleDefinitionId: roles.find((r) => r.properties.roleName === role).id, principalId: objectId } }, { version: "2022-04-01" });
    }
    await signIn(page, postern, name);
    const missing = (policy, role) => (byRoles ? `Microsoft.KeyVault/vaults/${role}` : policy);

    await page.goto(`${postern.page}/key-vaults/${vault}/secrets`);
    await expectForbidden(page, "Generate/Import", missing("secrets/set", "secrets/setSecret/action"));
    await page.getByRole("button", { name: "word", exact: true }).click();
    const panel = page.getByRole("dialog", { name: "word" });
    await expectForbidden(page, "New version", missing("secrets/set", "secrets/setSecret/action"), panel);
    await expectForbidden(page, "Delete", missing("secrets/delete", "secrets/delete"), panel);
    await expectForbidden(page, "Disable", missing("secrets/set", "secrets/setSecret/action"), panel);
    await panel.getByRole("button", { name: "Show secret value" }).click();
    await expect(panel).toContainText("sesame");

    await page.goto(`${postern.page}/key-vaults/${vault}/certificates`);
    await expectForbidden(page, "Generate/Import", missing("certificates/import", "certificates/import/action"));
    await page.getByRole("button", { name: "leaf", exact: true }).click();
    await page.getByRole("dialog", { name: "leaf" }).getByRole("button", { name: "Issuance policy" }).click();
    const policy = page.getByRole("dialog", { name: "Issuance policy of leaf" });
    await expect(policy.getByLabel("Subject")).toHaveValue("CN=leaf");
    await expectForbidden(page, "Save", missing("certificates/update", "certificates/update/action"), policy);

    await page.goto(`${postern.page}/key-vaults/${vault}/keys`);
    await expectForbidden(page, "Generate/Import", missing("keys/import", "keys/import/action"));
    await page.goto(`${postern.page}/key-vaults/${vault}/deleted`);
    await chooseDeleted(page, "Secrets");
    await expectForbidden(page, "Recover gone", missing("secrets/recover", "secrets/recover/action"));
    await expectForbidden(page, "Purge gone", missing("secrets/purge", "secrets/purge/action"));
  });
