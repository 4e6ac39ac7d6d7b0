// SPDX-License-Identifier: Apache-2.0
// The code view helps: it offers elements where they may stand, attributes and their values, tells
// what each is for, and knows every statement that the manual has.
import { readdirSync, readFileSync } from "node:fs";
import { resolve } from "node:path";
import { expect, expectAccessible, makeApi, test, unique } from "./fixtures.mjs";

const editor = (page) => page.getByRole("textbox", { name: /^Policy of/ });
const offered = (page) => page.locator(".cm-tooltip-autocomplete");
const info = (page) => page.locator(".cm-completionInfo");

async function type(page, text) {
  await editor(page).click();
  await page.keyboard.press("Control+a");
  await page.keyboard.press("Delete");
  await expect(offered(page)).toHaveCount(0); // what was offered for the text before
  await page.keyboard.insertText(text);
}
/** What is offered behind `text`. */
async function complete(page, text) {
  await type(page, text);
  await page.keyboard.press("Control+Space");
  await expect(offered(page)).toBeVisible();
  return (await offered(page).getByRole("option").allTextContents()).map((option) => option.trim());
}

test("elements, attributes and values are offered where they may stand, each with what it is for", async ({ portal: page, postern, backend }) => {
  const name = unique("help");
  await makeApi(postern, backend, name);
  await page.goto(`${postern.page}/apis/${name}/design?view=code`);
  await expect(editor(page)).toBeVisible();

  // Elements: those of the section only.
  const inbound = await complete(page, "<policies>\n<inbound>\n<");
  expect(inbound).toEqual(expect.arrayContaining(["base", "authentication-certificate", "rewrite-uri"]));
  expect(inbound).not.toContain("forward-request");
  expect(await complete(page, "<policies>\n<backend>\n<")).toContain("forward-request");
  expect(await complete(page, "<policies>\n<inbound>\n<authentication-c")).toContain("authentication-certificate");
  await expect(info(page)).toContainText("Presents this client certificate to the backend");
  await expectAccessible(page, "the completion");
  await page.keyboard.press("Enter");
  await expect(editor(page)).toContainText("<authentication-certificate");

  // Attributes, with what they are for; then the values of one.
  const attributes = await complete(page, "<policies>\n<inbound>\n<authentication-certificate ");
  expect(attributes).toEqual(expect.arrayContaining(["certificate-id", "certificate-ids", "thumbprint", "body", "password"]));
  await complete(page, "<policies>\n<inbound>\n<authentication-certificate thu");
  await expect(info(page)).toContainText("does not follow a rotation");
  await offered(page).getByRole("option", { name: "thumbprint" }).click();
  await expect(editor(page)).toContainText("<authentication-certificate thumbprint");
  expect((await complete(page, "<policies>\n<inbound>\n<set-header name=\"A\" exists-action=\"")).map((value) => value.replace(/"/g, ""))).toEqual(expect.arrayContaining(["override", "skip", "append", "delete"]));
  await page.keyboard.press("Escape");

  // At the pointer.
  await type(page, "<policies>\n<inbound>\n<rewrite-uri template=\"/v2\" />\n</inbound>\n</policies>");
  const line = page.locator(".cm-line").nth(2);
  const word = async (text) => {
    const box = await line.locator("span", { hasText: text }).first().boundingBox();
    await page.mouse.move(box.x + box.width / 2 - 1, box.y + box.height / 2);
    await page.mouse.move(box.x + box.width / 2, box.y + box.height / 2);
  };
  // The text may be coloured or moved under a pointer that has come early: then it comes again.
  const explains = (text, words) => expect(async () => {
    await word(text);
    await expect(page.locator(".cm-tooltip-hover")).toContainText(words, { timeout: 5000 });
  }).toPass({ timeout: 30000 });
  await explains("rewrite-uri", "Changes the path that the backend sees");
  await explains("template", "New path, with {parameters} of the operation");
  await page.mouse.move(0, 0);
  await expect(page.locator(".cm-tooltip-hover")).toHaveCount(0);

  // What the server refuses is marked at its line, in its words.
  await type(page, "<policies>\n<inbound>\n<base />\n<rewrite-uri tempate=\"/v2\" />\n</inbound>\n</policies>");
  await page.getByRole("button", { name: "Save" }).click();
  await expect(page.getByRole("alert")).toContainText("on line 4");
  const marked = page.locator(".cm-line").nth(3).locator(".cm-lintRange-error");
  await expect(marked).toBeVisible();
  await marked.hover();
  await expect(page.locator(".cm-tooltip-lint")).toContainText("rewrite-uri");
});

test("the code view knows what the policy engine knows, section by section", async () => {
  const read = (...path) => readFileSync(resolve(import.meta.dirname, "../..", ...path), "utf8");
  const source = read("web/portal/src/pages/api/elements.ts").replace(/^export interface .*$/m, "").replace(/^(export )?const (\w+)(: [\w[\]]+)? =/gm, "const $2 =");
  const elements = new Map(new Function(`${source}; return elements;`)().map((e) => [e.name, e]));
  const files = readdirSync(resolve(import.meta.dirname, "../../src/policy")).filter((file) => file.endsWith(".c") && file !== "check.c");
  const checks = ["check.c", ...files].map((file) => read("src/policy", file));
  const known = new Set(checks.flatMap((text) => [...text.matchAll(/known\[\] = \{([^}]*)\}/g)]).flatMap((m) => [...m[1].matchAll(/"([\w-]+)"/g)]).map((m) => m[1]));
  const rows = [...checks[0].matchAll(/\{"([\w-]+)",\s+PN_STATEMENT_\w+,\s+([A-Z_| ]+),/g)].map((m) => ({ name: m[1], sections: m[2] }));
  expect(rows.length).toBeGreaterThan(9);
  for (const { name, sections } of rows) {
    expect(elements.get(name)?.help, name).toBeTruthy();
    for (const section of ["inbound", "backend", "outbound", "on-error"])
      expect(elements.get(section).children.includes(name), `${name} in ${section}`).toBe(/ANYWHERE/.test(sections) || sections.includes(section.toUpperCase().replace("-", "_")));
  }
  const told = new Set([...elements.values()].flatMap((e) => Object.keys(e.attributes ?? {})));
  expect([...known].filter((name) => !told.has(name)), "not told").toEqual([]);
  expect([...told].filter((name) => !known.has(name) && name !== "id"), "told, but there is none").toEqual([]);
});
