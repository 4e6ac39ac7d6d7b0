// SPDX-License-Identifier: Apache-2.0
// What goes wrong in the middle of something: nothing that was typed is lost, and the way on is told.
import { expect, makeApi, test, unique } from "./fixtures.mjs";
import { startEcho, until } from "./lab/postern.mjs";

const PASSWORD = "correct horse battery";

async function signIn(page, postern, name, password) {
  await page.getByLabel("User name").fill(name);
  await page.getByLabel("Password").fill(password);
  await page.getByRole("button", { name: "Sign in" }).click();
}

test("the session ends while a form is filled: one signs in over it, and saves it", async ({ page, postern }) => {
  const name = unique("over");
  postern.addUser(name, PASSWORD, "Owner");
  await page.goto(`${postern.ready.controlUrl}/signin`);
  await signIn(page, postern, name, PASSWORD);
  await expect(page.getByRole("heading", { level: 1, name: "postern" })).toBeVisible();
  await page.getByRole("navigation", { name: "Service menu" }).getByRole("link", { name: "Backends" }).click();
  await page.getByRole("button", { name: "Create new backend" }).first().click();
  const panel = page.getByRole("dialog", { name: "Create new backend" });
  await panel.getByRole("textbox", { name: "Name", exact: true }).fill(name);
  await panel.getByLabel("Runtime URL").fill("https://kept.example");
  postern.cli(["identity", "set-password", name, "--password-file", "-"], "another long password");
  await page.clock.setSystemTime(Date.now() + 11 * 60 * 1000); // the access token in memory has had its ten minutes
  await panel.getByRole("button", { name: "Create" }).click();
  const over = page.getByRole("alertdialog").filter({ hasText: "Sign in again to go on here" });
  await expect(over).toBeVisible();
  await signIn(over, postern, name, PASSWORD);
  await expect(over.getByRole("alert")).toContainText("The user name or the password is wrong.");
  await signIn(over, postern, name, "another long password");
  await expect(over).toHaveCount(0);
  await expect(panel.getByLabel("Runtime URL")).toHaveValue("https://kept.example");
  await panel.getByRole("button", { name: "Create" }).click();
  await expect(page.getByRole("heading", { level: 1, name })).toBeVisible();
  expect((await postern.arm("GET", `/backends/${name}`)).properties.url).toBe("https://kept.example");
});

test("too many wrong passwords: the page says so, in the server's words, and the right one waits as well", async ({ page, postern }) => {
  const name = unique("limited");
  postern.addUser(name, PASSWORD, "Reader");
  await page.goto(`${postern.ready.controlUrl}/signin`);
  const statusOf = async (password) => {
    const [answer] = await Promise.all([page.waitForResponse((response) => response.url().endsWith("/signin/session") && response.request().method() === "POST"), signIn(page, postern, name, password)]);
    return answer.status();
  };
  expect(await statusOf("wrong 0 wrong")).toBe(401);
  await expect(page.getByRole("alert")).toContainText("The user name or the password is wrong.");
  // The others at once, from the same browser: they count for a minute only, which so many clicks may take.
  const wrong = await page.evaluate((userName) => Promise.all(Array.from({ length: 9 }, (_, i) => fetch("/signin/session",
    { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ userName, password: `wrong ${i + 1} wrong` }) }).then((answer) => answer.status))), name);
  expect(wrong).toEqual(Array(9).fill(401));
  expect(await statusOf("wrong 10 wrong")).toBe(429);
  await expect(page.getByRole("alert")).toContainText(/too many/i);
  expect(await statusOf(PASSWORD)).toBe(429);
  await expect(page.getByRole("alert")).toContainText(/too many/i);
});

test("an API's settings: two tabs, control away for a moment, and an address that is taken out", async ({ portal: page, postern }) => {
  const name = unique("settings");
  const echo = await startEcho();
  try {
    await makeApi(postern, echo, name);
    await page.goto(`${postern.page}/apis/${name}/settings`);
    await page.getByLabel("Display name").fill("Mine");
    await postern.arm("PATCH", `/apis/${name}`, { properties: { description: "theirs" } }, { headers: { "If-Match": "*" } });
    await page.getByRole("button", { name: "Save" }).click();
    await expect(page.getByRole("alert")).toContainText("Somebody else has changed this API meanwhile");
    expect((await postern.arm("GET", `/apis/${name}`)).properties.displayName).toBe(`The ${name} API`);
    await page.getByRole("button", { name: "Keep mine, over theirs" }).click();
    await expect(page.getByRole("alert")).toHaveCount(0);
    // Control goes in the middle: the page says that it cannot be reached, and the next try works.
    const old = postern.pid("control");
    process.kill(old, "SIGKILL");
    await page.getByRole("button", { name: "Save" }).click();
    await until("another control", () => ![0, old].includes(postern.pid("control")));
    await expect(async () => {
      if ((await postern.arm("GET", `/apis/${name}`)).properties.displayName !== "Mine") await page.getByRole("button", { name: "Save" }).click();
      expect((await postern.arm("GET", `/apis/${name}`)).properties.displayName).toBe("Mine");
    }).toPass({ timeout: 45000 });
    await expect(page.getByLabel("Display name")).toHaveValue("Mine");
    expect((await postern.gateway(`/${name}/whoami`)).status).toBe(200);

    await page.getByLabel("Web service URL").fill("");
    await page.getByRole("button", { name: "Save" }).click();
    await expect.poll(async () => (await postern.arm("GET", `/apis/${name}`)).properties.serviceUrl ?? null).toBeNull();
    await expect.poll(async () => (await postern.gateway(`/${name}/whoami`)).status).not.toBe(200);
    await page.getByLabel("API URL suffix").fill("what // ever");
    await page.getByRole("button", { name: "Save" }).click();
    await expect(page.getByRole("alert").first()).toContainText("Not saved");
    expect((await postern.arm("GET", `/apis/${name}`)).properties.path).toBe(name);
  } finally {
    echo.stop();
  }
});

test("what was typed into the code view is not lost on the way to the form and back", async ({ portal: page, postern, backend }) => {
  const name = unique("unsaved");
  await makeApi(postern, backend, name);
  await page.goto(`${postern.page}/apis/${name}/design?view=code`);
  const editor = page.getByRole("textbox", { name: /^Policy of/ });
  await editor.click();
  await page.keyboard.press("Control+Home");
  await page.keyboard.insertText("<!-- not saved yet -->");
  const asked = [];
  page.on("dialog", (dialog) => { asked.push(dialog.type()); void dialog.dismiss(); });
  await page.getByRole("button", { name: "Form" }).click();
  const question = page.getByRole("alertdialog");
  await expect(question).toContainText("not saved");
  await question.getByRole("button", { name: "Cancel" }).click();
  await expect(editor).toContainText("not saved yet");
  await page.getByRole("navigation", { name: "Service menu" }).getByRole("link", { name: "Backends" }).click();
  await question.getByRole("button", { name: "Cancel" }).click();
  await expect(editor).toContainText("not saved yet");
  await page.getByRole("button", { name: "Form" }).click();
  await question.getByRole("button", { name: "Discard" }).click();
  await expect(page.getByRole("region", { name: "Frontend" })).toBeVisible();
  expect(asked).toEqual([]);
});
