// SPDX-License-Identifier: Apache-2.0
// APIs > Named values and Policy fragments: made, changed, used by a policy, refused, deleted.
import { expect, expectAccessible, makeApi, pki, seen, test, unique, upload } from "./fixtures.mjs";

const menu = (page, name) => page.getByRole("navigation", { name: "Service menu" }).getByRole("link", { name, exact: true });
const row = (page, name) => page.getByRole("row").filter({ hasText: name });
const value = async (postern, name) => (await postern.arm("POST", `/namedValues/${name}/listValue`)).value;

test("a named value: plain, then secret, then from a key vault", async ({ portal: page, postern, backend }) => {
  const name = unique("nv");
  await menu(page, "Named values").click();
  await expect(page.getByRole("heading", { level: 1, name: "Named values" })).toBeVisible();
  await page.getByRole("button", { name: "Add", exact: true }).click();
  let panel = page.getByRole("dialog", { name: "Add named value" });
  await panel.getByRole("textbox", { name: "Name", exact: true }).fill(name);
  await expect(panel).toContainText(`{{${name}}}`);
  await panel.getByRole("textbox", { name: "Value" }).fill("15");
  await panel.getByRole("textbox", { name: "Tags" }).fill("one, two");
  await expectAccessible(page, "Add named value");
  await panel.getByRole("button", { name: "Add", exact: true }).click();
  await expect(panel).toBeHidden();
  await expect(row(page, name)).toContainText("15");
  expect((await postern.arm("GET", `/namedValues/${name}`)).properties.tags).toEqual(["one", "two"]);
  await expectAccessible(page, "the named values");

  // What would break a policy is refused, and says which.
  await makeApi(postern, backend, name, `<set-header name="x"><value>{{${name}}}</value></set-header>`);
  await postern.arm("PUT", `/apis/${name}/policies/policy`, { properties: { format: "rawxml", value:
    `<policies><inbound><base /></inbound><backend><forward-request timeout="{{${name}}}" /></backend><outbound><base /></outbound><on-error><base /></on-error></policies>` } });
  await page.getByRole("button", { name: `Edit ${name}` }).click();
  panel = page.getByRole("dialog", { name: `Edit ${name}` });
  await panel.getByRole("textbox", { name: "Value" }).fill("a while");
  await panel.getByRole("button", { name: "Save" }).click();
  await expect(panel.getByRole("alert")).toContainText(`'/apis/${name}/policies/policy' would no longer be valid`);
  await expectAccessible(page, "a refused change");

  // A secret is not shown, unless it is asked for.
  await panel.getByRole("radio", { name: "Secret" }).click();
  await panel.getByLabel("Value").fill("21");
  await panel.getByRole("button", { name: "Save" }).click();
  await expect(panel).toBeHidden();
  expect((await postern.arm("GET", `/namedValues/${name}`)).properties).toMatchObject({ secret: true, tags: ["one", "two"] });
  await page.getByRole("button", { name: `Show value of ${name}` }).click();
  await expect(page.getByRole("alertdialog")).toContainText("21");
  await page.getByRole("alertdialog").getByRole("button", { name: "Close" }).click();

  // From a vault, chosen there.
  await postern.vault("PUT", `/secrets/${name}`, { value: "22" });
  await page.goto(`${postern.page}/named-values?edit=${name}`);
  panel = page.getByRole("dialog", { name: `Edit ${name}` });
  await panel.getByRole("radio", { name: "Key vault" }).click();
  await panel.getByRole("button", { name: "Select" }).click();
  const picker = page.getByRole("dialog", { name: "Select a secret" });
  await picker.getByRole("combobox", { name: "Key vault" }).click();
  await page.getByRole("option", { name: "local", exact: true }).click();
  await picker.getByRole("combobox", { name: "Secret" }).click();
  await page.getByRole("option", { name, exact: true }).click();
  await picker.getByRole("button", { name: "Select" }).click();
  await expectAccessible(page, "a named value from a vault");
  await panel.getByRole("button", { name: "Save" }).click();
  await expect(panel).toBeHidden();
  expect(await value(postern, name)).toBe("22");
  await postern.vault("PUT", `/secrets/${name}`, { value: "23" });
  await page.getByRole("button", { name: `Refresh ${name} from the vault` }).click();
  await expect.poll(() => value(postern, name)).toBe("23");

  // Named, it is not deleted; then it is.
  await page.getByRole("button", { name: `Delete ${name}` }).click();
  await page.getByRole("alertdialog").getByRole("button", { name: "Delete" }).click();
  await expect(page.getByRole("alertdialog").getByRole("alert")).toContainText(`/apis/${name}/policies/policy`);
  await postern.arm("DELETE", `/apis/${name}`, undefined, { headers: { "If-Match": "*" } });
  await page.getByRole("alertdialog").getByRole("button", { name: "Delete" }).click();
  await expect(page.getByRole("alertdialog")).toBeHidden();
  await expect(postern.arm("GET", `/namedValues/${name}`)).rejects.toThrow("404");
});

test("a policy fragment, and the way to it from the certificate that it names", async ({ portal: page, postern, backend }) => {
  const name = unique("frag").replace(/-/g, "_");
  const client = await upload(postern, pki.makeClient(name));
  await menu(page, "Policy fragments").click();
  await expect(page.getByRole("heading", { level: 1, name: "Policy fragments" })).toBeVisible();
  await page.getByRole("button", { name: "Create", exact: true }).click();
  let panel = page.getByRole("dialog", { name: "Add policy fragment" });
  await panel.getByRole("textbox", { name: "Name", exact: true }).fill(name);
  await panel.getByRole("textbox", { name: "Description" }).fill("shows the certificate");
  const write = async (text) => {
    await panel.getByRole("textbox", { name: "Policy fragment" }).click();
    await page.keyboard.press("Control+a");
    await page.keyboard.press("Delete");
    await page.keyboard.insertText(text);
  };
  await write("<fragment>\n<base />\n</fragment>");
  await panel.getByRole("button", { name: "Create" }).click();
  await expect(panel.getByRole("alert")).toContainText("may not contain <base />");
  await expect(panel.locator(".cm-lint-marker-error")).toBeVisible();
  await expectAccessible(page, "a refused fragment");
  await write(`<fragment>\n<authentication-certificate certificate-id="${name}" />\n</fragment>`);
  await panel.getByRole("button", { name: "Create" }).click();
  await expect(panel).toBeHidden();
  await expect(row(page, name)).toContainText("shows the certificate");
  await expectAccessible(page, "the policy fragments");

  await postern.arm("PUT", `/backends/${name}`, { properties: { url: backend.url, protocol: "http", tls: { validateCertificateChain: false, validateCertificateName: true } } });
  await makeApi(postern, backend, name, `<set-backend-service backend-id="${name}" /><include-fragment fragment-id="${name}" />`);
  expect(await seen(postern, `/${name}/whoami`)).toBe(client.thumbprint);

  // The certificate's usage leads to the fragment, the fragment to the API.
  await page.goto(`${postern.page}/certificates/${name}?tab=usage`);
  await page.getByRole("link", { name: `Policy fragment ${name}` }).click();
  panel = page.getByRole("dialog", { name: `Policy fragment ${name}` });
  await expect(panel.getByRole("region", { name: "Included by" })).toContainText(`Policy of API ${name}`);
  await expect(panel.getByRole("textbox", { name: "Policy fragment" })).toContainText("certificate-id");
  await expectAccessible(page, "a policy fragment");
  await panel.getByRole("button", { name: "Close" }).click();

  await page.getByRole("button", { name: `Delete ${name}` }).click();
  await page.getByRole("alertdialog").getByRole("button", { name: "Delete" }).click();
  await expect(page.getByRole("alertdialog").getByRole("alert")).toContainText(`/apis/${name}/policies/policy`);
  await postern.arm("DELETE", `/apis/${name}`, undefined, { headers: { "If-Match": "*" } });
  await page.getByRole("alertdialog").getByRole("button", { name: "Delete" }).click();
  await expect(page.getByRole("alertdialog")).toBeHidden();
  await expect(postern.arm("GET", `/policyFragments/${name}`)).rejects.toThrow("404");
});

test("a workspace begins without named values and fragments, and has its own", async ({ portal: page, postern }) => {
  const team = unique("nvteam");
  await postern.arm("PUT", `/workspaces/${team}`, { properties: { displayName: team } });
  await page.goto(`${postern.page}/workspaces/${team}/named-values`);
  await expect(page.getByRole("heading", { name: "No named values yet" })).toBeVisible();
  await expectAccessible(page, "no named values");
  await page.getByRole("button", { name: "Add named value" }).click();
  const panel = page.getByRole("dialog", { name: "Add named value" });
  await expect(panel.getByRole("radio", { name: "Key vault" })).toBeDisabled();
  await panel.getByRole("textbox", { name: "Name", exact: true }).fill("mine");
  await panel.getByRole("textbox", { name: "Value" }).fill("x");
  await panel.getByRole("button", { name: "Add", exact: true }).click();
  await expect(panel).toBeHidden();
  expect((await postern.arm("GET", `/workspaces/${team}/namedValues/mine`)).properties.value).toBe("x");
  await menu(page, "Policy fragments").click();
  await expect(page.getByRole("heading", { name: "No policy fragments yet" })).toBeVisible();
  await expectAccessible(page, "no policy fragments");
  await postern.arm("DELETE", `/workspaces/${team}`, undefined, { headers: { "If-Match": "*" } });
});
