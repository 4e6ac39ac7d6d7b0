// SPDX-License-Identifier: Apache-2.0
// No mouse: lists are one stop of the Tab key with arrows inside, and the flows with certificates, APIs
// and backends can be walked to their ends.
import { expect, expectAccessible, hasFocus, makeApi, pki, seen, test, trustBackend, unique, upload } from "./fixtures.mjs";

const labelOfFocus = (page) => page.evaluate(() => {
  const at = document.activeElement;
  const label = at?.labels?.[0]?.textContent ?? at?.getAttribute("aria-label") ?? at?.textContent ?? "";
  return label.replace(/\*$/, "").trim();
});

/** What the last key has changed is drawn: in a grid the focus follows then. */
const drawn = (page) => page.evaluate(() => new Promise((done) => { requestAnimationFrame(() => requestAnimationFrame(done)); }));

function keysOf(page) {
  page.on("filechooser", () => undefined); // from now on they are ours
  /** A key until the focus is on something of this role and name; then it is the test's to press another. */
  const tabTo = async (what, key = "Tab", limit = 120) => {
    for (let i = 0; i <= limit; i++) {
      if (key.startsWith("Arrow")) await drawn(page);
      const found = await labelOfFocus(page);
      if (what instanceof RegExp ? what.test(found) : found === what) return;
      if (i === limit) break;
      // A notice keeps the focus that has come to it until it is closed.
      const isNotice = await page.evaluate(() => document.activeElement?.closest(".fui-Toast, .fui-Toaster") !== null);
      await page.keyboard.press(isNotice ? "Escape" : key);
    }
    await expect.poll(() => labelOfFocus(page), { message: `${key} comes to ${what}` }).toEqual(typeof what === "string" ? what : expect.stringMatching(what));
  };
  const choose = async (file) => {
    await tabTo(/^Choose (a|another) file$/);
    const [chooser] = await Promise.all([page.waitForEvent("filechooser"), page.keyboard.press("Enter")]);
    await chooser.setFiles(file); // the system's own dialog
    await tabTo("Password");
  };
  const menu = async (item) => {
    await page.keyboard.press("Enter");
    await expect(page.getByRole("menu")).toBeVisible();
    await hasFocus(page, "menu");
    for (let i = 0; i < 10 && !(await page.getByRole("menuitem", { name: item }).evaluate((e) => e === document.activeElement)); i++) await page.keyboard.press("ArrowDown");
    await page.keyboard.press("Enter");
  };
  /** The command bar is one stop; arrows go along it. */
  const command = async (name) => {
    await tabTo(/^(Refresh|Replace|Download .cer|Edit|Reconnect|Delete)$/, "Shift+Tab");
    await tabTo(name, "ArrowRight", 5);
  };
  /** Something of a picker that asks the server, by what is typed. */
  const pick = async (label, text) => {
    await tabTo(label);
    await page.keyboard.press("ArrowDown");
    await page.keyboard.type(text);
    const option = page.getByRole("option", { name: new RegExp(`^${text} `) }).or(page.getByRole("menuitemcheckbox", { name: new RegExp(`^${text} `) }));
    await expect(option).toHaveCount(1);
    await expect(page.getByRole("option").or(page.getByRole("menuitemcheckbox"))).toHaveCount(1); // the others have gone
    await page.keyboard.press("Enter");
  };
  return { tabTo, choose, menu, command, pick };
}

test("a list is one stop of the Tab key, and arrows, Home, End and pages move in it", async ({ portal: page, postern }) => {
  const { tabTo } = keysOf(page);
  const stem = unique("grid");
  const one = pki.makeClient(stem);
  await postern.putMany(230, (i) => `/certificates/${stem}-${String(i).padStart(3, "0")}`, { properties: { data: one.base64, password: one.password } });
  await page.setViewportSize({ width: 1400, height: 800 });
  await page.goto(`${postern.page}/certificates?filter=${stem}`);
  await expect(page.getByText("230 items", { exact: true })).toBeVisible();
  const name = (i) => `${stem}-${String(i).padStart(3, "0")}`;
  await expect(page.getByRole("link", { name: name(0), exact: true })).toBeVisible();
  const grid = page.getByRole("grid", { name: "Certificates" });
  const stops = () => grid.evaluate((g) => [g, ...g.querySelectorAll("*")].filter((e) => e.tabIndex >= 0 && e.matches("a[href], button, input, [tabindex]")).length);
  await expect.poll(stops).toBe(1);
  await expectAccessible(page, "a list");

  await page.getByLabel("Filter the certificates").focus();
  await tabTo(name(0), "Tab", 3);
  await page.keyboard.press("Tab");
  await expect.poll(() => grid.evaluate((g) => g.contains(document.activeElement))).toBe(false);
  await page.keyboard.press("Shift+Tab");
  await expect.poll(() => labelOfFocus(page)).toBe(name(0));

  const at = async (key, label) => {
    await page.keyboard.press(key);
    await expect.poll(() => labelOfFocus(page)).toBe(label);
  };
  await at("ArrowDown", name(1));
  await at("ArrowRight", (await grid.locator("[data-row='1'] [role=gridcell]").nth(1).innerText()).trim()); // the subject: no link, so the cell itself
  await at("ArrowRight", `Copy thumbprint of ${name(1)}`);
  await at("ArrowDown", `Copy thumbprint of ${name(2)}`);
  await at("End", `More actions for ${name(2)}`);
  await at("ArrowDown", `More actions for ${name(3)}`);
  await expect(page.getByRole("menu")).toHaveCount(0); // an arrow moves; Enter opens it
  await at("Home", name(3));
  await page.keyboard.press("PageDown");
  await expect.poll(async () => Number((await labelOfFocus(page)).slice(-3))).toBeGreaterThan(7);
  await at("Control+End", `More actions for ${name(229)}`);
  await at("Home", name(229));
  await at("ArrowDown", name(229)); // there is nothing below
  await page.keyboard.press("PageUp");
  await expect.poll(async () => Number((await labelOfFocus(page)).slice(-3))).toBeLessThan(225);
  await expect.poll(stops).toBe(1);
  await at("Control+Home", name(0));
  await at("ArrowUp", "Id");
  await at("ArrowRight", "Subject");
  await at("ArrowLeft", "Id");
  await page.keyboard.press("Enter");
  await expect(page.getByRole("columnheader", { name: "Id" })).toHaveAttribute("aria-sort", "descending");
  await at("ArrowDown", name(229));
  // What is scrolled away keeps the focus, and is come back to.
  await page.getByTestId("rows").evaluate((rows) => { rows.scrollTop = rows.scrollHeight; });
  await expect(page.getByRole("link", { name: name(0), exact: true })).toBeVisible();
  await at("ArrowDown", name(228));
  await page.keyboard.press(" ");
  await expect(page.getByRole("heading", { level: 1, name: name(228) })).toBeVisible();
});

test("flow 1 by keyboard alone: add, replace, usage, generations, refused and then done deletion", async ({ portal: page, postern, backend }) => {
  const name = unique("keys");
  const [one, two] = [pki.makeClient(name), pki.makeClient(`${name}-2`)];
  const { tabTo, choose, menu, command } = keysOf(page);
  await expect(page.getByRole("heading", { level: 1, name: "postern" })).toBeVisible();
  await tabTo("Certificates");
  await page.keyboard.press("Enter");
  await expect(page.getByRole("heading", { level: 1, name: "Certificates" })).toBeFocused();
  await tabTo("Add");
  await page.keyboard.press("Enter");
  await expect(page.getByRole("dialog").getByLabel("Id")).toBeFocused();
  await page.keyboard.type(name);
  await expect(page.getByRole("dialog").getByLabel("Id")).toHaveValue(name);
  await choose(one.pfx);
  await page.keyboard.type("wrong");
  await expect(page.getByRole("dialog").getByRole("alert")).toContainText("password");
  await page.keyboard.press("Control+a");
  await page.keyboard.type(one.password);
  await expect(page.getByRole("region", { name: "What is in the file" })).toContainText(one.thumbprint);
  await tabTo("Add");
  await page.keyboard.press("Enter");
  await expect(page.getByRole("dialog")).toHaveCount(0);
  await tabTo("Save");
  await page.keyboard.press("Enter");
  await expect(page.getByRole("region", { name: "Not saved yet" })).toHaveCount(0);
  await trustBackend(postern, backend, name, name);
  await makeApi(postern, backend, name, `<set-backend-service backend-id="${name}" />`);
  expect(await seen(postern, `/${name}/whoami`)).toBe(one.thumbprint);

  // Filter, sort, then the row's menu.
  await tabTo("Filter the certificates");
  await page.keyboard.type(name);
  await expect(page.getByText("1 item", { exact: true })).toBeVisible();
  await tabTo(name);
  await page.keyboard.press("ArrowUp");
  await tabTo("Id", "ArrowLeft", 10);
  await page.keyboard.press("Enter");
  await expect(page.getByRole("columnheader", { name: "Id" })).toHaveAttribute("aria-sort", "descending");
  await page.keyboard.press("ArrowDown");
  await tabTo(name, "ArrowLeft", 1);
  await page.keyboard.press("End");
  await tabTo(`More actions for ${name}`, "ArrowRight", 1);
  await menu("Replace");
  await expect(page.getByRole("dialog")).toBeVisible();
  await hasFocus(page);
  await choose(two.pfx);
  await page.keyboard.type(two.password);
  await expect(page.getByRole("region", { name: "What is in the file" })).toContainText(two.thumbprint);
  await tabTo("Save");
  await page.keyboard.press("Enter");
  await expect(page.getByRole("dialog")).toHaveCount(0);
  expect(await seen(postern, `/${name}/whoami`)).toBe(two.thumbprint);

  await tabTo(`More actions for ${name}`);
  await menu("Generations");
  await expect(page.getByRole("heading", { level: 1, name })).toBeFocused();
  await tabTo("Generations");
  await page.keyboard.press("ArrowLeft");
  await page.keyboard.press("Enter");
  await tabTo(`Backend ${name}`);
  await command("Delete");
  await page.keyboard.press("Enter");
  await expect(page.getByRole("alertdialog")).toContainText(`${name} is in use`);
  await hasFocus(page, "alertdialog");
  await tabTo("Close");
  await page.keyboard.press("Enter");
  await expect(page.getByRole("alertdialog")).toHaveCount(0);
  await postern.arm("DELETE", `/apis/${name}`, undefined, { headers: { "If-Match": "*" } });
  await postern.arm("DELETE", `/backends/${name}`, undefined, { headers: { "If-Match": "*" } });
  await command("Delete");
  await page.keyboard.press("Enter");
  await expect(page.getByRole("alertdialog")).toContainText("Nothing uses this certificate");
  await hasFocus(page, "alertdialog");
  await tabTo("Delete");
  await page.keyboard.press("Enter");
  await expect(page.getByRole("heading", { level: 1, name: "Certificates" })).toBeFocused();
  await expect(postern.arm("GET", `/certificates/${name}`)).rejects.toThrow("404");
});

test("flow 2 by keyboard alone: the pencil of Gateway credentials, and the test console", async ({ portal: page, postern, backend }) => {
  const { tabTo, pick } = keysOf(page);
  const name = unique("pencil");
  const client = await upload(postern, pki.makeClient(name));
  await trustBackend(postern, backend, name);
  await makeApi(postern, backend, name, `<set-backend-service backend-id="${name}" />`);
  await expect(page.getByRole("heading", { level: 1, name: "postern" })).toBeVisible();
  await tabTo("APIs");
  await page.keyboard.press("Enter");
  await expect(page.getByRole("heading", { level: 1, name: "APIs" })).toBeFocused();
  await tabTo("Filter the APIs");
  await page.keyboard.type(name);
  await expect(page.getByText("1 item", { exact: true })).toBeVisible();
  await tabTo(`The ${name} API`);
  await page.keyboard.press("Enter");
  await expect(page.getByRole("heading", { level: 1, name: `The ${name} API` })).toBeFocused();
  await tabTo("Gateway credentials");
  await page.keyboard.press("Enter");
  await expect(page.getByRole("dialog")).toBeVisible();
  await hasFocus(page);
  await tabTo("None");
  await page.keyboard.press("ArrowDown");
  await page.keyboard.press("ArrowDown");
  await expect(page.getByRole("radio", { name: "Client cert" })).toBeChecked();
  await pick("Client certificate", name);
  await page.keyboard.press("Escape");
  await tabTo("Save");
  await page.keyboard.press("Enter");
  await expect(page.getByRole("dialog")).toHaveCount(0);
  await expect(page.getByText("Client cert:")).toBeVisible();
  expect(await seen(postern, `/${name}/whoami`)).toBe(client.thumbprint);

  await tabTo("Design", "Shift+Tab");
  await page.keyboard.press("ArrowRight");
  await page.keyboard.press("ArrowRight");
  await page.keyboard.press("Enter");
  await expect(page.getByRole("tab", { name: "Test", exact: true })).toHaveAttribute("aria-selected", "true");
  await tabTo("Send");
  await page.keyboard.press("Enter");
  await expect(page.getByText(client.thumbprint).first()).toBeVisible();
});

test("flow 3 by keyboard alone: a backend is made, probed, edited, and used", async ({ portal: page, postern, backend }) => {
  const { tabTo, command, pick } = keysOf(page);
  const name = unique("typed");
  const client = await upload(postern, pki.makeClient(name));
  await expect(page.getByRole("heading", { level: 1, name: "postern" })).toBeVisible();
  await tabTo("Backends");
  await page.keyboard.press("Enter");
  await expect(page.getByRole("heading", { level: 1, name: "Backends" })).toBeFocused();
  await tabTo("Create new backend");
  await page.keyboard.press("Enter");
  await expect(page.getByRole("dialog").getByRole("textbox", { name: "Name" })).toBeFocused();
  await page.keyboard.type(name);
  await tabTo("Runtime URL");
  await page.keyboard.type(backend.url);
  await tabTo("Validate certificate chain");
  await page.keyboard.press(" ");
  await tabTo("Create");
  await page.keyboard.press("Enter");
  await expect(page.getByRole("heading", { level: 1, name })).toBeFocused();

  await expect(page.getByRole("tab", { name: "Overview" })).toBeVisible(); // the menu has an Overview, too
  await tabTo("Overview");
  await page.keyboard.press("ArrowRight");
  await page.keyboard.press("Enter");
  await tabTo("Probe");
  await expect(page.getByRole("tab", { name: "Probe" })).toHaveAttribute("aria-selected", "true");
  await page.keyboard.press("Tab");
  await expect(page.getByRole("button", { name: "Probe" })).toBeVisible();
  await tabTo("Probe");
  const story = page.getByRole("region", { name: "Result of the probe" });
  await expect(async () => { // see backends.spec.mjs
    await page.keyboard.press("Enter");
    await expect(story).toContainText("The backend does not accept the connection", { timeout: 10000 });
  }).toPass({ timeout: 60000 });

  await command("Edit");
  await page.keyboard.press("Enter");
  await expect(page.getByRole("dialog")).toBeVisible();
  await hasFocus(page);
  await pick("Client certificate", name);
  await page.keyboard.press("Escape");
  await tabTo("Save");
  await page.keyboard.press("Enter");
  await expect(page.getByRole("dialog")).toHaveCount(0);
  expect((await postern.arm("GET", `/backends/${name}`)).properties).toMatchObject({ url: backend.url, credentials: { certificateIds: [`${postern.service}/certificates/${name}`] } });
  await makeApi(postern, backend, name, `<set-backend-service backend-id="${name}" />`);
  expect(await seen(postern, `/${name}/whoami`)).toBe(client.thumbprint);
});

test("what is in a vault is one stop of the Tab key, too", async ({ portal: page, postern }) => {
  const { tabTo } = keysOf(page);
  const stem = unique("s");
  for (const i of [1, 2, 3]) await postern.vault("PUT", `/secrets/${stem}-${i}`, { value: "v" });
  await page.goto(`${postern.page}/key-vaults/local/secrets`);
  const grid = page.getByRole("grid", { name: "Secrets" });
  await expect(grid.getByRole("button", { name: `${stem}-3` })).toBeVisible();
  await page.getByLabel("Filter the secrets").fill(stem);
  await expect(grid.getByRole("row")).toHaveCount(4);
  await page.keyboard.press("Tab");
  await expect.poll(() => labelOfFocus(page)).toBe(`${stem}-1`);
  await tabTo(`${stem}-3`, "ArrowDown", 2);
  await page.keyboard.press("Tab");
  await expect.poll(() => grid.evaluate((g) => g.contains(document.activeElement))).toBe(false);
  await page.keyboard.press("Shift+Tab");
  await tabTo(`${stem}-3`, "Tab", 0);
  await page.keyboard.press("Enter");
  await expect(page.getByRole("dialog")).toContainText(`${stem}-3`);
});
