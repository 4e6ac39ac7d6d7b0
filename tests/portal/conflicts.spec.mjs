// SPDX-License-Identifier: Apache-2.0
// Two change the same thing. The later one is told, and the way on begins with what is there now: until that
// has come nothing can be saved, for it would meet the same conflict, or go over what nobody has seen.
import { expect, makeApi, pki, policyOf, test, unique, upload } from "./fixtures.mjs";

const ANY = { headers: { "If-Match": "*" } };
const answer = (status, reason) => policyOf(`<return-response><set-status code="${status}" reason="${reason}" /></return-response>`);
const policy = (value) => ({ properties: { format: "rawxml", value } });

/** An editor of code: over what is there. */
async function write(page, name, text) {
  await page.getByRole("textbox", { name, exact: true }).click();
  await page.keyboard.press("Control+a");
  await page.keyboard.press("Delete");
  await page.keyboard.insertText(text);
}

/** what: how it is made, where it is changed by hand, what the other one changes at `path`, the way on, and what is there in the end. */
const forms = {
  "a backend": {
    make: (postern, name) => postern.arm("PUT", `/backends/${name}`, { properties: { url: "https://orders.example", protocol: "http", title: "First" } }),
    path: (name) => `/backends/${name}`, page: (name) => `backends/${name}`,
    mine: async (page) => { await page.getByRole("button", { name: "Edit" }).click(); await page.getByLabel("Runtime URL").fill("https://mine.example"); },
    theirs: (postern, path) => postern.arm("PATCH", path, { properties: { title: "Theirs" } }, ANY),
    way: "Keep mine, over theirs", end: { url: "https://mine.example", title: "Theirs" },
  },
  "an API": {
    make: (postern, name, backend) => makeApi(postern, backend, name),
    path: (name) => `/apis/${name}`, page: (name) => `apis/${name}/settings`,
    mine: (page) => page.getByLabel("Display name").fill("Mine"),
    theirs: (postern, path) => postern.arm("PATCH", path, { properties: { displayName: "Theirs" } }, ANY),
    way: "Keep mine, over theirs", end: { displayName: "Mine" },
  },
  "a product": {
    make: (postern, name) => postern.arm("PUT", `/products/${name}`, { properties: { displayName: name } }),
    path: (name) => `/products/${name}`, page: (name) => `products/${name}/settings`,
    mine: (page) => page.getByLabel("Display name").fill("Mine"),
    theirs: (postern, path) => postern.arm("PATCH", path, { properties: { displayName: "Theirs" } }, ANY),
    way: "Keep mine, over theirs", end: { displayName: "Mine" },
  },
  "a workspace": {
    make: (postern, name) => postern.arm("PUT", `/workspaces/${name}`, { properties: { displayName: name } }),
    path: (name) => `/workspaces/${name}`, page: (name) => `workspaces/${name}/overview`,
    mine: async (page) => { await page.getByRole("button", { name: "Edit" }).click(); await page.getByLabel("Display name").fill("Mine"); },
    theirs: (postern, path) => postern.arm("PUT", path, { properties: { displayName: "Theirs" } }),
    way: "Save mine nevertheless", end: { displayName: "Mine" },
  },
  "a policy": {
    make: (postern, name, backend) => makeApi(postern, backend, name),
    path: (name) => `/apis/${name}/policies/policy`, page: (name) => `apis/${name}/design?view=code`,
    mine: (page) => write(page, /^Policy of/, answer(203, "Mine")),
    theirs: (postern, path) => postern.arm("PUT", path, policy(answer(204, "Theirs"))),
    way: "Keep mine, over theirs", end: { value: expect.stringContaining("Mine") },
  },
  "a pencil": {
    make: (postern, name, backend) => makeApi(postern, backend, name),
    path: (name) => `/apis/${name}/policies/policy`, page: (name) => `apis/${name}/design`,
    mine: async (page) => {
      await page.getByRole("button", { name: "Gateway credentials" }).click();
      await page.getByRole("radio", { name: "Managed identity" }).click();
      await page.getByLabel("Resource").fill("api://mine");
    },
    theirs: (postern, path) => postern.arm("PUT", path, policy(policyOf(`<set-header name="X-Theirs"><value>1</value></set-header>`))),
    way: "Look again", end: { value: expect.stringMatching(/api:\/\/mine[^]*X-Theirs|X-Theirs[^]*api:\/\/mine/) },
  },
  "a certificate": {
    make: (postern, name) => upload(postern, pki.makeClient(name)),
    path: (name) => `/certificates/${name}`, page: (name) => `certificates?replace=${name}`,
    mine: async (page, name) => {
      const mine = pki.makeClient(`${name}-mine`);
      await page.getByLabel("Certificate file").setInputFiles(mine.pfx);
      await page.getByLabel("Password").fill(mine.password);
      await expect(page.getByRole("region", { name: "What is in the file" })).toContainText(mine.thumbprint);
    },
    theirs: (postern, path, name) => { const { base64, password } = pki.makeClient(`${name}-theirs`); return postern.arm("PUT", path, { properties: { data: base64, password } }); },
    way: "Look again", end: { subject: expect.stringContaining("-mine") },
  },
  // These two show theirs; what was typed is not to go over it unseen.
  "a named value": {
    make: (postern, name) => postern.arm("PUT", `/namedValues/${name}`, { properties: { displayName: name, value: "first" } }),
    path: (name) => `/namedValues/${name}`, page: (name) => `named-values?edit=${name}`,
    mine: (page) => page.getByRole("textbox", { name: "Value" }).fill("mine"),
    theirs: (postern, path) => postern.arm("PATCH", path, { properties: { value: "theirs" } }, ANY),
    way: "Look again", shown: (page) => expect(page.getByRole("textbox", { name: "Value" })).toHaveValue("theirs"), end: { value: "theirs" },
  },
  "a fragment": {
    make: (postern, name) => postern.arm("PUT", `/policyFragments/${name}`, policy("<fragment><set-header name=\"X-First\"><value>1</value></set-header></fragment>")),
    path: (name) => `/policyFragments/${name}`, page: (name) => `policy-fragments?edit=${name}`,
    mine: (page) => write(page, "Policy fragment", "<fragment><set-header name=\"X-Mine\"><value>1</value></set-header></fragment>"),
    theirs: (postern, path) => postern.arm("PUT", path, policy("<fragment><set-header name=\"X-Theirs\"><value>1</value></set-header></fragment>")),
    way: "Take theirs", shown: (page) => expect(page.getByRole("textbox", { name: "Policy fragment" })).toContainText("X-Theirs"), end: { value: expect.stringContaining("X-Theirs") },
  },
};

for (const [what, form] of Object.entries(forms))
  test(`${what} that another one has changed is read before it is saved again`, async ({ portal: page, postern, backend }) => {
    const name = unique("both");
    const path = form.path(name);
    await form.make(postern, name, backend);
    await page.goto(`${postern.page}/${form.page(name)}`);
    await form.mine(page, name);
    await form.theirs(postern, path, name);
    const save = page.getByRole("button", { name: "Save", exact: true }), alert = page.getByRole("alert");
    await save.click();
    await expect(alert).toContainText("Somebody else has changed");
    let goOn;
    const held = new Promise((done) => { goOn = done; });
    const isIt = (url) => url.pathname.endsWith(path);
    await page.route(isIt, async (route) => {
      if (route.request().method() === "GET") await held;
      await route.continue().catch(() => undefined);
    });
    const [asked] = await Promise.all([
      page.waitForRequest((request) => request.method() === "GET" && isIt(new URL(request.url()))),
      page.getByRole("button", { name: form.way }).click()]);
    await expect(save).toHaveAttribute("aria-disabled", "true");
    await expect(alert).toContainText("Somebody else has changed");
    goOn();
    expect((await asked.response()).status()).toBe(200);
    await expect(alert).toHaveCount(0);
    await page.unroute(isIt);
    await form.shown?.(page);
    if (!form.shown) await save.click();
    await expect.poll(async () => (await postern.arm("GET", `${path}${/polic/.test(path) ? "?format=rawxml" : ""}`)).properties).toMatchObject(form.end);
  });

test("what is there now cannot be read: it is said, and the next try goes on", async ({ portal: page, postern, backend }) => {
  const name = unique("unread");
  await makeApi(postern, backend, name);
  await page.goto(`${postern.page}/apis/${name}/settings`);
  await page.getByLabel("Display name").fill("Mine");
  await postern.arm("PATCH", `/apis/${name}`, { properties: { description: "theirs" } }, ANY);
  await page.getByRole("button", { name: "Save" }).click();
  const again = page.getByRole("button", { name: "Keep mine, over theirs" });
  const isIt = (url) => url.pathname.endsWith(`/apis/${name}`);
  await page.route(isIt, (route) => route.abort());
  await again.click();
  await expect(page.getByRole("alert")).toContainText("The server cannot be reached");
  await page.unroute(isIt);
  await again.click();
  await expect(page.getByRole("alert")).toHaveCount(0);
  await page.getByRole("button", { name: "Save" }).click();
  await expect.poll(async () => (await postern.arm("GET", `/apis/${name}`)).properties.displayName).toBe("Mine");
});
