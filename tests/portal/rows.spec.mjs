// SPDX-License-Identifier: Apache-2.0
// Thousands of certificates. In a file that runs behind those that walk through the whole list.
import { expect, pki, test, unique } from "./fixtures.mjs";

const row = (page, name) => page.getByRole("row").filter({ has: page.getByRole("link", { name, exact: true }) });

// The same file under many ids. More of them: PN_PORTAL_ROWS=10000 (CONTRIBUTING.md).
test("sorted and filtered by the server, page by page", async ({ portal: page, postern }) => {
  const stem = unique("many");
  const one = pki.makeClient(stem);
  const count = Number(process.env.PN_PORTAL_ROWS ?? 2000);
  test.setTimeout(120000 + count * 60);
  await postern.putMany(count, (i) => `/certificates/${stem}-${String(i).padStart(5, "0")}`, { properties: { data: one.base64, password: one.password } });
  let fetched = 0;
  const asked = [];
  const items = (n) => `${n.toLocaleString("en-US")} items`;
  page.on("request", (request) => { if (/contains/.test(request.url())) asked.push(new URL(request.url()).searchParams.get("$filter")); });
  page.on("request", (request) => { fetched += /\/certificates\?/.test(request.url()); });
  await page.clock.install();
  await page.goto(`${postern.page}/certificates`);
  await page.getByLabel("Filter the certificates").fill(stem);
  await expect(page.getByText(items(count), { exact: true })).toBeVisible();
  await expect(row(page, `${stem}-00000`)).toBeVisible();
  expect(await page.getByRole("row").count()).toBeLessThan(60); // only what is in view
  expect(fetched).toBeLessThan(10); // and only its pages
  // The server is asked for a word, not for every letter; the clock stands while one types, however slow the machine.
  const filter = page.getByLabel("Filter the certificates");
  await filter.fill("");
  await page.clock.pauseAt(Date.now() + 60000);
  asked.length = 0;
  await filter.pressSequentially(`${stem}-0004`);
  expect(asked).toEqual([]);
  await page.clock.resume();
  await expect(page.getByText(items(Math.min(10, count)), { exact: true })).toBeVisible();
  expect([...new Set(asked.map((text) => /'([^']*)'/.exec(text)[1]))]).toEqual([`${stem}-0004`]);
  // What nobody waits for any more is given up: the question is held until it is.
  const isSlow = (url) => /\/certificates$/.test(url.pathname) && (url.searchParams.get("$filter") ?? "").includes("'slow'");
  let goOn;
  const held = new Promise((done) => { goOn = done; });
  await page.route(isSlow, async (route) => {
    await held;
    await route.abort().catch(() => undefined); // it is gone already
  });
  const [slow] = await Promise.all([page.waitForRequest((request) => isSlow(new URL(request.url()))), filter.fill("slow")]);
  await filter.fill(stem);
  await expect(page.getByText(items(count), { exact: true })).toBeVisible();
  await expect.poll(() => slow.failure()?.errorText).toBe("net::ERR_ABORTED");
  goOn();
  await page.unrouteAll({ behavior: "ignoreErrors" });
  await page.getByRole("button", { name: "Id" }).click();
  await expect(row(page, `${stem}-${String(count - 1).padStart(5, "0")}`)).toBeVisible();
  await page.getByTestId("rows").evaluate((rows) => { rows.scrollTop = rows.scrollHeight; });
  await expect(row(page, `${stem}-00000`)).toBeVisible();
  await page.getByTestId("rows").evaluate((rows) => { rows.scrollTop = rows.scrollHeight / 2; });
  await expect(page.getByRole("link", { name: new RegExp(`^${stem}-`) }).first()).toBeVisible();
  expect(fetched).toBeLessThan(40);
  expect(await page.getByRole("row").count()).toBeLessThan(60);
  await page.getByLabel("Filter the certificates").fill(`${stem}-00042`);
  await expect(page.getByText("1 item", { exact: true })).toBeVisible();
  await page.getByLabel("Filter the certificates").fill(`${stem}-nothing`);
  await expect(page.getByRole("heading", { name: "No certificate matches" })).toBeVisible();
  // Where one is chosen, the server finds it by what is typed.
  await page.goto(`${postern.page}/backends?add=`);
  const picker = page.getByRole("combobox", { name: "Client certificate" });
  await picker.click();
  await expect(page.getByText(/more: type what the id or subject has/)).toBeVisible();
  await picker.fill(`${stem}-00042`);
  await page.getByRole("menuitemcheckbox", { name: new RegExp(`^${stem}-00042 `) }).click();
  await page.keyboard.press("Escape");
  await expect(picker).toHaveValue(`${stem}-00042`);
  await picker.click();
  await picker.fill("nobody has this");
  await expect(page.getByText("No certificate has “nobody has this”")).toBeVisible();
});
