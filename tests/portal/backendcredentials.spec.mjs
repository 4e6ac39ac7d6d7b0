// SPDX-License-Identifier: Apache-2.0
// What a backend's form says about credentials and checks: looked at by the REST API, and at the backend.
import { expect, expectAccessible, makeApi, pki, seen, test, unique, upload } from "./fixtures.mjs";
import { startEcho } from "./lab/postern.mjs";

const whole = (postern, name) => postern.arm("GET", `/backends/${name}`).then(({ properties }) => properties);

test("header, query and authorization are sent; what is taken out is sent no more", async ({ portal: page, postern }) => {
  const name = unique("sends");
  const echo = await startEcho();
  try {
    await page.goto(`${postern.page}/backends?add=`);
    const panel = page.getByRole("dialog");
    await panel.getByRole("textbox", { name: "Name", exact: true }).fill(name);
    await panel.getByLabel("Runtime URL").fill(echo.url);
    await panel.getByRole("button", { name: "Authorization credentials" }).click();
    for (const [at, header, value] of [[1, "X-Team", "blue"], [2, "X-Team", "green"], [3, "X-Zone", "ä & \"b\""]]) {
      await panel.getByRole("button", { name: "Add header" }).click();
      await panel.getByLabel(`Header: name ${at}`).fill(header);
      await panel.getByLabel(`Header: value ${at}`).fill(value);
    }
    await panel.getByRole("button", { name: "Add query parameter" }).click();
    await panel.getByLabel("Query parameter: name 1").fill("code");
    await panel.getByLabel("Query parameter: value 1").fill("a b&c");
    await panel.getByLabel("Authorization scheme").fill("Bearer");
    await panel.getByLabel("Parameter", { exact: true }).fill("a.b.c");
    await expectAccessible(page, "Authorization credentials");
    await panel.getByRole("button", { name: "Create" }).click();
    await expect(page.getByRole("heading", { level: 1, name })).toBeVisible();
    const { credentials } = await whole(postern, name);
    expect(credentials).toMatchObject({ header: { "X-Team": ["blue", "green"], "X-Zone": ["ä & \"b\""] }, query: { code: ["a b&c"] }, authorization: { scheme: "Bearer", parameter: "a.b.c" } });
    await makeApi(postern, echo, name, `<set-backend-service backend-id="${name}" />`);
    const got = JSON.parse((await postern.gateway(`/${name}/whoami`)).body);
    expect(got.authorization).toBe("Bearer a.b.c");
    expect(got["x-team"]).toMatch(/blue,\s*green/);
    expect(echo.urls.at(-1)).toBe("/whoami?code=a%20b%26c");

    // Edit: one of each goes; the one that stays is as it was.
    await page.getByRole("button", { name: "Edit" }).click();
    await panel.getByRole("button", { name: "Authorization credentials" }).click();
    await panel.getByRole("button", { name: "Remove header 1" }).click();
    await panel.getByRole("button", { name: "Remove query parameter 1" }).click();
    await panel.getByLabel("Authorization scheme").fill("");
    await panel.getByLabel("Parameter", { exact: true }).fill("");
    await panel.getByRole("button", { name: "Save" }).click();
    await expect(panel).toHaveCount(0);
    const after = await whole(postern, name);
    expect(after.credentials.header).toEqual({ "X-Team": ["green"], "X-Zone": ["ä & \"b\""] });
    expect(after.credentials.authorization).toBeUndefined();
    expect(Object.keys(after.credentials.query ?? {})).toEqual([]);
    const now = JSON.parse((await postern.gateway(`/${name}/whoami`)).body);
    expect(now.authorization).toBeUndefined();
    expect(now["x-team"]).toBe("green");
    expect(echo.urls.at(-1)).toBe("/whoami");
  } finally {
    echo.stop();
  }
});

test("half of an authorization, and a header that is none, are told at their field", async ({ portal: page, postern }) => {
  const name = unique("half");
  await page.goto(`${postern.page}/backends?add=`);
  const panel = page.getByRole("dialog");
  await panel.getByRole("textbox", { name: "Name", exact: true }).fill(name);
  await panel.getByLabel("Runtime URL").fill("http://127.0.0.1:1");
  await panel.getByRole("button", { name: "Authorization credentials" }).click();
  await panel.getByLabel("Authorization scheme").fill("Bearer");
  await expect(panel).toContainText("Scheme and parameter belong together");
  await expect(panel.getByRole("button", { name: "Create" })).toHaveAttribute("aria-disabled", "true");
  await panel.getByLabel("Parameter", { exact: true }).fill("x");
  await panel.getByRole("button", { name: "Add header" }).click();
  await panel.getByLabel("Header: name 1").fill("no header");
  await panel.getByRole("button", { name: "Create" }).click();
  await expect(panel.getByRole("alert")).toContainText("Not saved");
  await expect(panel.getByRole("alert")).toContainText("no header");
  await expect(panel.getByLabel("Header: name 1")).toHaveValue("no header");
});

test("certificate, chain and name: what is checked and what is presented follows the form", async ({ portal: page, postern, backend }) => {
  const name = unique("checks");
  const client = await upload(postern, pki.makeClient(name));
  const url = backend.url.replace("localhost", "127.0.0.1"); // in the certificate, too
  await page.goto(`${postern.page}/backends?add=`);
  const panel = page.getByRole("dialog");
  await panel.getByRole("textbox", { name: "Name", exact: true }).fill(name);
  await panel.getByLabel("Runtime URL").fill(url);
  await panel.getByRole("combobox", { name: "Client certificate" }).click();
  await page.getByRole("menuitemcheckbox", { name: new RegExp(`^${name} `) }).click();
  await page.keyboard.press("Escape");
  await panel.getByRole("button", { name: "Create" }).click();
  await expect(page.getByRole("heading", { level: 1, name })).toBeVisible();
  await makeApi(postern, backend, name, `<set-backend-service backend-id="${name}" />`);
  const status = async () => (await postern.gateway(`/${name}/whoami`)).status;
  expect((await whole(postern, name)).tls).toMatchObject({ validateCertificateChain: true, validateCertificateName: true });
  expect(await status()).toBeGreaterThanOrEqual(500); // nobody trusts the tests' authority
  const edit = async (change) => {
    await page.getByRole("button", { name: "Edit" }).click();
    await change();
    await panel.getByRole("button", { name: "Save" }).click();
    await expect(panel).toHaveCount(0);
  };
  await edit(() => panel.getByRole("switch", { name: "Validate certificate chain" }).click());
  expect((await whole(postern, name)).tls).toMatchObject({ validateCertificateChain: false, validateCertificateName: true });
  expect(await seen(postern, `/${name}/whoami`)).toBe(client.thumbprint);
  // Another name than the certificate has: refused, until names are not looked at.
  await edit(() => panel.getByLabel("Runtime URL").fill(backend.url.replace("localhost", "other.localhost")));
  expect(await status()).toBeGreaterThanOrEqual(500);
  await edit(async () => {
    await panel.getByRole("switch", { name: "Validate certificate name" }).click();
    await expect(panel).toContainText("anybody on the way may pose as this backend");
  });
  expect(await seen(postern, `/${name}/whoami`)).toBe(client.thumbprint);
  await expect(page.getByText("Validate certificate name").first()).toBeVisible();
  // Without the certificate the backend does not let us in.
  await edit(async () => {
    await panel.getByRole("combobox", { name: "Client certificate" }).click();
    await page.getByRole("menuitemcheckbox", { name: new RegExp(`^${name} `) }).click();
    await page.keyboard.press("Escape");
  });
  expect((await whole(postern, name)).credentials?.certificateIds ?? []).toEqual([]);
  expect(await status()).toBeGreaterThanOrEqual(400);
});
