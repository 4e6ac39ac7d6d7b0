// SPDX-License-Identifier: Apache-2.0
// APIs > Design, Settings, Test, click by click; the backend's view decides.
import { startEcho } from "./lab/postern.mjs";
import { expect, expectAccessible, makeApi, pki, seen, test, trustBackend, unique, upload } from "./fixtures.mjs";

const editor = (page) => page.getByRole("textbox", { name: /^Policy of/ });
async function type(page, text) {
  await editor(page).click();
  await page.keyboard.press("Control+a");
  await page.keyboard.press("Delete"); // else Chromium itself makes a styled span, which the policy refuses
  await page.keyboard.insertText(text);
}

test("the pencil of Gateway credentials: client certificate, effective at once, then none", async ({ portal: page, postern, backend }) => {
  const name = unique("design");
  const client = await upload(postern, pki.makeClient(name));
  await trustBackend(postern, backend, name);
  await makeApi(postern, backend, name, `<set-backend-service backend-id="${name}" />`);
  expect((await postern.gateway(`/${name}/whoami`)).status).not.toBe(200); // it demands a certificate

  await page.getByRole("navigation", { name: "Service menu" }).getByRole("link", { name: "APIs" }).click();
  await page.getByLabel("Filter the APIs").fill(name);
  await page.getByRole("link", { name: `The ${name} API` }).click();
  await expect(page.getByRole("region", { name: "Backend" })).toContainText("None at this scope");
  await expectAccessible(page, "Design");
  await page.getByRole("button", { name: "Gateway credentials" }).click();
  const panel = page.getByRole("dialog", { name: "Gateway credentials" });
  await panel.getByRole("radio", { name: "Client cert" }).click();
  await panel.getByRole("combobox", { name: "Client certificate" }).click();
  await page.getByRole("menuitemcheckbox", { name: `${name} (` }).click();
  await page.keyboard.press("Escape");
  await expectAccessible(page, "Gateway credentials");
  await panel.getByRole("button", { name: "Save" }).click();
  await expect(page.getByRole("region", { name: "Backend" })).toContainText(`Client cert: ${name}`);
  expect(await seen(postern, `/${name}/whoami`)).toBe(client.thumbprint);

  // It is written by its id, and the rest of the document is as it was.
  const { properties } = await postern.arm("GET", `/apis/${name}/policies/policy?format=rawxml`);
  expect(properties.value).toContain(`<authentication-certificate certificate-id="${name}" />`);
  expect(properties.value).toContain(`<set-backend-service backend-id="${name}" />`);

  // One operation, with its own policy: credentials of the outer scope stay by base.
  await page.getByRole("navigation", { name: "Operations" }).getByRole("link", { name: /Who am I/ }).click();
  await expect(page.getByRole("region", { name: "Frontend" })).toContainText("/whoami");
  await page.goto(`${postern.page}/apis/${name}/design`);
  await page.getByRole("button", { name: "Gateway credentials" }).click();
  await panel.getByRole("radio", { name: "None" }).click();
  await panel.getByRole("button", { name: "Save" }).click();
  await expect(page.getByRole("region", { name: "Backend" })).toContainText("None at this scope");
  expect((await postern.gateway(`/${name}/whoami`)).status).not.toBe(200);
});

test("the pencil of Gateway credentials: Basic and Managed identity, each effective at once", async ({ portal: page, postern }) => {
  const name = unique("authorization");
  const echo = await startEcho();
  const sent = async () => JSON.parse((await postern.gateway(`/${name}/whoami`)).body).authorization;
  try {
    await makeApi(postern, echo, name);
    expect(await sent()).toBeUndefined();
    await page.goto(`${postern.page}/apis/${name}/design`);
    const backendCard = page.getByRole("region", { name: "Backend" });
    const panel = page.getByRole("dialog", { name: "Gateway credentials" });
    await page.getByRole("button", { name: "Gateway credentials" }).click();
    await panel.getByRole("radio", { name: "Basic" }).click();
    await panel.getByLabel("User name").fill("jo:e");
    await panel.getByLabel("Password").fill("p&<w\u00e4");
    await panel.getByRole("button", { name: "Save" }).click();
    await expect(panel.getByRole("alert")).toContainText("'username' must have"); // the server's words
    await panel.getByLabel("User name").fill("jo");
    await expectAccessible(page, "Gateway credentials, Basic");
    await panel.getByRole("button", { name: "Save" }).click();
    await expect(backendCard).toContainText("Basic, as jo");
    expect(await sent()).toBe(`Basic ${Buffer.from("jo:p&<w\u00e4").toString("base64")}`);

    await page.getByRole("button", { name: "Gateway credentials" }).click();
    await panel.getByRole("radio", { name: "Managed identity" }).click();
    await panel.getByLabel("Resource").fill("api://orders");
    await expectAccessible(page, "Gateway credentials, Managed identity");
    await panel.getByRole("button", { name: "Save" }).click();
    await expect(backendCard).toContainText("Managed identity");
    const claims = JSON.parse(Buffer.from((await sent()).split(".")[1], "base64url"));
    const { identity } = await postern.arm("GET", "");
    expect(claims.aud).toBe("api://orders");
    expect(claims.oid).toBe(identity.principalId);

    await page.getByRole("button", { name: "Gateway credentials" }).click();
    await panel.getByRole("radio", { name: "None" }).click();
    await panel.getByRole("button", { name: "Save" }).click();
    await expect(backendCard).toContainText("None at this scope");
    expect(await sent()).toBeUndefined();
  } finally {
    echo.stop();
  }
});

test("the code view tells an error at its line, completes, and saves", async ({ portal: page, postern, backend }) => {
  const name = unique("code");
  await makeApi(postern, backend, name);
  await page.goto(`${postern.page}/apis/${name}/design?view=code`);
  await expect(editor(page)).toBeVisible();
  await type(page, "<policies>\n<inbound>\n<base />\n<nonsense a=\"1\"/>\n</inbound>\n</policies>");
  await page.getByRole("button", { name: "Save" }).click();
  await expect(page.getByRole("alert")).toContainText("on line 4");
  await expect(page.locator(".cm-lint-marker-error")).toBeVisible();
  await expectAccessible(page, "the code view with an error");
  await type(page, "<policies>\n<inbound>\n<base />\n<return-resp");
  await page.keyboard.press("Control+Space");
  await expect(page.locator(".cm-tooltip-autocomplete")).toContainText("return-response");
  await page.keyboard.press("Escape");
  await type(page, "<policies><inbound><return-response><set-status code=\"202\" reason=\"By policy\" /></return-response></inbound></policies>");
  await page.getByRole("button", { name: "Save" }).click();
  await expect(page.getByText("Policy saved").first()).toBeVisible();
  expect((await postern.gateway(`/${name}/whoami`)).status).toBe(202);
  // Somebody else changes it meanwhile: nothing of either is lost.
  await type(page, "<policies><inbound><return-response><set-status code=\"203\" reason=\"Mine\" /></return-response></inbound></policies>");
  await postern.arm("PUT", `/apis/${name}/policies/policy`, { properties: { format: "rawxml", value: "<policies><inbound><return-response><set-status code=\"204\" reason=\"Theirs\" /></return-response></inbound></policies>" } });
  await page.getByRole("button", { name: "Save" }).click();
  await expect(page.getByRole("alert")).toContainText("Somebody else has changed this policy meanwhile");
  expect((await postern.gateway(`/${name}/whoami`)).status).toBe(204);
  await expect(editor(page)).toContainText("203");
  await page.getByRole("button", { name: "Keep mine, over theirs" }).click();
  await expect(page.getByRole("alert")).toHaveCount(0);
  await page.getByRole("button", { name: "Save" }).click();
  await expect.poll(async () => (await postern.gateway(`/${name}/whoami`)).status).toBe(203);
});

test("an API and an operation are made, set and called; the console tells what the backend was shown", async ({ portal: page, postern, backend }) => {
  const name = unique("console");
  const first = await upload(postern, pki.makeClient(name));
  await trustBackend(postern, backend, name, name);
  await page.goto(`${postern.page}/apis?add=`);
  const panel = page.getByRole("dialog");
  await panel.getByLabel("Display name").fill(name);
  await panel.getByLabel("Web service URL").fill(backend.url);
  await panel.getByLabel("API URL suffix").fill(name);
  await panel.getByRole("button", { name: "Create" }).click();
  await expect(page.getByRole("heading", { level: 1, name })).toBeVisible();
  await page.getByRole("button", { name: "Add operation" }).click();
  await panel.getByLabel("Display name").fill("Get item");
  await panel.getByLabel("URL", { exact: false }).last().fill("/items/{id}");
  await panel.getByRole("button", { name: "Save" }).click();
  await expect(page.getByRole("region", { name: "Frontend" })).toContainText("/items/{id}");
  await postern.arm("PUT", `/apis/${name}/policies/policy`, { properties: { format: "rawxml", value: `<policies><inbound><base /><set-backend-service backend-id="${name}" /></inbound></policies>` } });

  await page.getByRole("tab", { name: "Test" }).click();
  await page.getByRole("navigation", { name: "Operations" }).getByRole("link", { name: /Get item/ }).click();
  await page.getByRole("textbox", { name: "id" }).fill("a b");
  await page.getByRole("button", { name: "Send" }).click(); // a key is demanded, and sent
  const response = page.getByRole("region", { name: "HTTP response" });
  await expect(response.getByText("200", { exact: true })).toBeVisible();
  await expect(response).toContainText(`${name}, generation 1`);
  await expect(response).toContainText(first.thumbprint);
  await expect(response).toContainText(`/items/a%20b`);
  const [, total, firstByte] = /Time([\d.]+) ms, first byte after ([\d.]+) ms/.exec(await response.textContent());
  expect(Number(total)).toBeGreaterThan(0);
  expect(Number(total)).toBeGreaterThanOrEqual(Number(firstByte));
  expect(Number(total)).toBeLessThan(30000);
  await response.getByRole("tab", { name: "Headers" }).click();
  await expect(response).toContainText(/content-type: application\/json/i);
  await response.getByRole("tab", { name: "Request" }).click();
  await expect(response).toContainText(`GET /${name}/items/a%20b HTTP/1.1`);
  await expect(response).toContainText("Ocp-Apim-Subscription-Key: ••••"); // the key itself is not shown
  await expectAccessible(page, "the test console");
  await page.getByRole("checkbox", { name: /all-access/ }).click();
  await page.getByRole("button", { name: "Send" }).click();
  await expect(response.getByText("401", { exact: true })).toBeVisible();
  const second = await upload(postern, pki.makeClient(name));
  await page.getByRole("checkbox", { name: /all-access/ }).click();
  await page.getByRole("button", { name: "Send" }).click();
  await expect(response).toContainText(`${name}, generation 2`);
  await expect(response).toContainText(second.thumbprint);
  // An API client cannot ask for that.
  const spied = await postern.gateway(`/${name}/items/1`, { "X-Postern-Trace": "guess" });
  expect(spied.headers["x-postern-client-certificate"]).toBeUndefined();

  await page.getByRole("tab", { name: "Settings" }).click();
  await page.getByRole("switch", { name: "Subscription required" }).click();
  await page.getByRole("button", { name: "Save" }).click();
  await expect(page.getByText("Settings saved").first()).toBeVisible();
  expect((await postern.gateway(`/${name}/items/1`)).status).toBe(200);
  await expectAccessible(page, "Settings");
});

test("the pencil keeps what it does not show, chooses among several certificates, and warns before it takes one out", async ({ portal: page, postern, backend }) => {
  const name = unique("keeps");
  const [one, two] = [await upload(postern, pki.makeClient(name)), await upload(postern, pki.makeClient(`${name}-two`))];
  await trustBackend(postern, backend, name);
  await makeApi(postern, backend, name, `<set-backend-service backend-id="${name}" /><authentication-managed-identity id="told" resource="api://kept" output-token-variable-name="kept" ignore-error="true" />` +
    `<authentication-basic username="jo" password="p" /><authentication-certificate id="mine" certificate-id="${name}" /><set-header name="X-After"><value>1</value></set-header>`);
  const panel = page.getByRole("dialog", { name: "Gateway credentials" });
  const document = async () => (await postern.arm("GET", `/apis/${name}/policies/policy?format=rawxml`)).properties.value;
  const choose = async (certificate) => {
    await panel.getByRole("combobox", { name: "Client certificate" }).click();
    await page.getByRole("menuitemcheckbox", { name: `${certificate} (` }).click();
    await page.keyboard.press("Escape");
  };
  await page.goto(`${postern.page}/apis/${name}/design`);
  await expect(page.getByRole("region", { name: "Backend" })).toContainText(`Client cert: ${name}`);
  await page.getByRole("button", { name: "Gateway credentials" }).click();
  await expect(panel).toContainText("This policy has 2 of them: authentication-basic, authentication-certificate.");
  await choose(`${name}-two`);
  await panel.getByRole("button", { name: "Save" }).click();
  await expect(page.getByRole("region", { name: "Backend" })).toContainText(`Client cert: ${name}, ${name}-two`);
  const after = await document();
  expect(after).toMatch(new RegExp(`<authentication-certificate [^>]*certificate-ids="${name}, ${name}-two"`));
  expect(after).toMatch(/<authentication-certificate [^>]*id="mine"/);
  expect(after).toContain(`output-token-variable-name="kept"`);
  expect(after).not.toContain("authentication-basic");
  expect(after.indexOf("authentication-certificate")).toBeLessThan(after.indexOf("X-After")); // in its place
  expect([one.thumbprint, two.thumbprint]).toContain(await seen(postern, `/${name}/whoami`));

  await page.getByRole("button", { name: "Gateway credentials" }).click();
  await expect(panel.getByRole("radio", { name: "Client cert" })).toBeChecked();
  await expect(panel.getByText("This policy has")).toHaveCount(0);
  await choose(name);
  await panel.getByRole("button", { name: "Save" }).click();
  await expect(page.getByRole("region", { name: "Backend" })).toContainText(`Client cert: ${name}-two`);
  expect(await document()).toMatch(new RegExp(`<authentication-certificate [^>]*certificate-id="${name}-two"`));
  expect(await seen(postern, `/${name}/whoami`)).toBe(two.thumbprint);
});
