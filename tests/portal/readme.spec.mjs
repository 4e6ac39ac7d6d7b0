// SPDX-License-Identifier: Apache-2.0
// README.md, "Your own certificate at your own backend", by portal: the list there is read and
// followed word by word. **Bold** is clicked; *a field* `gets this`.
import { mkdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { expect, pki, seen, test } from "./fixtures.mjs";

const readme = readFileSync(resolve(import.meta.dirname, "../../README.md"), "utf8");
const steps = readme.split("By [portal](docs/portal.md), beside `make run`")[1].split("\n![")[0].split("\n").filter((line) => /^\d+\. /.test(line));
const token = /\*\*(?<click>[^*]+)\*\*|\*(?<field>[^*]+)\* `(?<value>[^`]+)`/g;

/** The first of these that there is in what is open in front: a panel comes a moment after its button. */
async function inFront(page, candidates, what) {
  let found = null;
  await expect.poll(async () => {
    const dialog = page.getByRole("dialog");
    const scope = (await dialog.count()) > 0 ? dialog.last() : page;
    for (const candidate of candidates(scope)) if ((await candidate.count()) > 0) return (found = candidate.first()) !== null;
    return false;
  }, { message: what }).toBe(true);
  return found;
}

async function click(page, name) {
  const target = await inFront(page, (scope) => [...["button", "link"].map((role) => scope.getByRole(role, { name, exact: true })), scope.getByRole("tab", { name, exact: true, selected: false })], `something to click named ${name}`);
  await expect(target).not.toHaveAttribute("aria-disabled", "true");
  await target.click();
}

async function fill(page, name, value) {
  if (name.startsWith("Choose ")) {
    const button = await inFront(page, (scope) => [scope.getByRole("button", { name, exact: true })], `a button ${name}`);
    const [chooser] = await Promise.all([page.waitForEvent("filechooser"), button.click()]);
    await chooser.setFiles(value);
    return;
  }
  const target = await inFront(page, (scope) => [...["switch", "combobox", "textbox"].map((role) => scope.getByRole(role, { name, exact: true })), scope.getByLabel(name, { exact: true })], `a field named ${name}`);
  const role = await target.evaluate((element) => element.getAttribute("role") ?? element.tagName.toLowerCase());
  if (role === "switch") {
    await target.setChecked(value === "on");
  } else if (role === "combobox") {
    await target.click();
    if (await target.evaluate((element) => element instanceof HTMLInputElement)) await target.fill(value); // finds it among many
    await page.getByRole("option").or(page.getByRole("menuitemcheckbox")).filter({ hasText: new RegExp(`(^|\\s)${value}(\\s|$)`) }).first().click();
    if ((await target.getAttribute("aria-expanded")) === "true") await page.keyboard.press("Escape");
  } else {
    await target.fill(value);
  }
}

test("the README's way by portal alone ends with one's own certificate at one's own backend", async ({ portal: page, postern, backend }) => {
  expect(steps).toHaveLength(5);
  const folder = process.env.PN_PORTAL_PICTURES ?? join(test.info().outputDir, "pictures");
  mkdirSync(folder, { recursive: true });
  await page.setViewportSize({ width: 960, height: 640 });
  const client = pki.makeClient("partner");
  const ours = { "…": client.password, "partner.pfx": client.pfx, "https://partner.example": backend.url, "partner-ca.pem": join(pki.folder, "ca.pem"), orders: "whoami" };
  for (const [number, step] of steps.entries()) {
    for (const { groups } of step.matchAll(token)) {
      if (groups.field) await fill(page, groups.field, ours[groups.value] ?? groups.value);
      else await click(page, groups.click);
      if (groups.field === "Password") {
        await expect(page.getByRole("region", { name: "What is in the file" })).toContainText(client.thumbprint);
        await page.getByRole("region", { name: "What is in the file" }).evaluate((region) => region.scrollIntoView({ block: "end" }));
        await page.screenshot({ path: join(folder, "readme-add.png") });
      }
    }
    if (number === 2) await expect(page.getByRole("region", { name: "Result of the probe" })).toContainText("The backend accepts the connection");
    else if (number < 4) await expect(page.getByRole("dialog")).toHaveCount(0);
    await expect(page.getByRole("region", { name: "Not saved yet" })).toHaveCount(0);
  }
  const answer = page.getByRole("region", { name: "HTTP response" });
  await expect(answer).toContainText("partner, generation 1");
  await expect(answer).toContainText(client.thumbprint);
  await answer.scrollIntoViewIfNeeded();
  await page.screenshot({ path: join(folder, "readme-test.png") });
  // As the README's last command does it.
  expect(await seen(postern, "/partner/whoami")).toBe(client.thumbprint);
  const made = await postern.arm("GET", "/backends/partner");
  expect(made.properties.tls.validateCertificateChain).toBe(true);
  expect(made.properties.tls.postern.caCertificates).toHaveLength(1);
  for (const path of ["/apis/partner", "/backends/partner", "/certificates/partner"]) // other tests take that name, too
    await postern.arm("DELETE", path, undefined, { headers: { "If-Match": "*" } });
});
