// SPDX-License-Identifier: Apache-2.0
// Signing in by another identity provider: npm's oidc-provider, with its own pages.
import { spawn } from "node:child_process";
import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";
import { expect, expectAccessible, test as base } from "./fixtures.mjs";
import * as pki from "./lab/pki.mjs";
import { Postern, send } from "./lab/postern.mjs";

const JS = resolve(import.meta.dirname, "../integration/js");

/** A free port that stays ours by being given to Postern again. */
async function startIssuer(redirectUri) {
  const { cert, key } = pki.makeServer("issuer");
  const child = spawn("node", [join(JS, "issuer.mjs"), JSON.stringify({ cert, key, redirectUris: [redirectUri] })], { cwd: JS, stdio: ["pipe", "pipe", "inherit"] });
  const line = await new Promise((done) => createInterface({ input: child.stdout }).once("line", done));
  return { url: JSON.parse(line).issuer, stop: () => child.stdin.end() };
}

const test = base.extend({
  house: [async ({}, use) => {
    pki.makeAuthority();
    const first = await new Postern().start(); // to learn a port for the redirect URI
    const ports = first.ready;
    const issuer = await startIssuer(`${ports.controlUrl}/signin-oidc/callback`);
    const secret = join(mkdtempSync(join(tmpdir(), "postern-portal-secret-")), "secret");
    writeFileSync(secret, "portal-secret-of-the-tests\n", { mode: 0o600 });
    await first.restart([`--trusted-issuer=${issuer.url},client-id=portal,client-secret-file=${secret},name=Test ID`], { SSL_CERT_FILE: join(pki.folder, "ca.pem") });
    await use({ postern: first, issuer });
    issuer.stop();
    await first.stop();
  }, { scope: "worker" }],
});

/** At the issuer, before its question for consent; `name`: who logs in there, if nobody is. */
async function atIssuer(page, house, name) {
  await page.goto(`${house.postern.ready.controlUrl}/signin`);
  await page.getByRole("link", { name: "Sign in with Test ID" }).or(page.getByRole("button", { name: "Sign in with Test ID" })).click();
  if (name) {
    await page.locator("input[name=login]").fill(name);
    await page.locator("input[name=password]").fill("any");
    await page.locator("button[type=submit]").click();
  }
  await expect(page.getByText("Authorize")).toBeVisible();
}

/** The session that the page has got, when it has got it. */
async function sessionOf(page) {
  await page.waitForFunction(() => localStorage.getItem("postern.session-key"));
  return page.evaluate(async () => (await (await fetch("/signin/session", { headers: { Accept: "application/json", "X-Postern-Session-Key": localStorage.getItem("postern.session-key") } })).json()).session);
}

test("a person signs in by the issuer, and has the roles that the principal was given", async ({ page, house }) => {
  const { postern } = house;
  await page.goto(`${postern.ready.controlUrl}/signin`);
  await expect(page.getByText("Sign in with Test ID")).toBeVisible();
  await expectAccessible(page, "the sign-in page with an issuer");
  await atIssuer(page, house, "carol");
  await page.locator("button[type=submit]").click();
  await expect(page).toHaveURL(/\/(portal|$)/);
  const session = await sessionOf(page);
  expect(session.displayName).toBe("carol of the issuer");
  await expect(page).not.toHaveURL(/code=/);
  expect((await page.context().cookies()).map((c) => c.name).filter((n) => n.startsWith("__Host-postern"))).toEqual(["__Host-postern-session"]);
  postern.cli(["role", "assign", session.objectId, "Reader", "--principal-type", "User"]);
  await page.goto(`${postern.page}/certificates`);
  await expect(page.getByRole("heading", { level: 1, name: "Certificates" })).toBeVisible();
  await expect(page.getByRole("button", { name: "Add", exact: true })).toHaveAttribute("aria-disabled", "true");
  await page.getByRole("button", { name: /Account/ }).click();
  await page.getByRole("menuitem", { name: "Sign out" }).click();
  await expect(page.getByRole("heading", { name: "Sign in" })).toBeVisible();
});

test("a session that is lost is renewed by the issuer in another tab, and the page stays", async ({ page, house }) => {
  const { postern } = house;
  await atIssuer(page, house, "erin");
  await page.locator("button[type=submit]").click();
  await expect(page).toHaveURL(/\/(portal|$)/);
  const session = await sessionOf(page);
  postern.cli(["role", "assign", session.objectId, "Reader", "--principal-type", "User"]);
  await page.goto(`${postern.page}/certificates`);
  const filter = page.getByRole("textbox", { name: "Search the menu" });
  await filter.fill("Back");
  // Ended at the server, and the token that this tab keeps for ten minutes has ended, too.
  await page.evaluate(async () => fetch("/signin/session", { method: "DELETE", headers: { "X-Postern-Session-Key": localStorage.getItem("postern.session-key") } }));
  await page.route("**/backends?**", (route) => route.fulfill({ status: 401, contentType: "application/json", body: "{}" }), { times: 1 });
  await page.getByRole("link", { name: "Backends" }).click();
  const dialog = page.getByRole("alertdialog", { name: "Your session has ended" });
  await expect(dialog).toBeVisible();
  await expectAccessible(page, "the dialog of a lost session");
  const [tab] = await Promise.all([page.context().waitForEvent("page"), dialog.getByText("Sign in with Test ID").click()]);
  await expect(tab.getByRole("button", { name: /Account: erin/ })).toBeVisible(); // the issuer still knows who it is
  await expect(dialog).toBeHidden();
  await expect(filter).toHaveValue("Back");
  await expect(page.getByRole("heading", { level: 1, name: "Backends" })).toBeVisible();
  await tab.close();
});

test("a sign-in that is cancelled, forged or from another browser does not sign in", async ({ page, house, browser }) => {
  const { postern } = house;
  await atIssuer(page, house, "mallory");
  await page.getByText("[ Cancel ]").click();
  await expect(page.getByRole("alert")).toContainText("was cancelled");
  // A callback without the browser's cookie, or with a state of another attempt, is nothing.
  await page.goto(`${postern.ready.controlUrl}/signin-oidc/callback?code=abc&state=0.${"A".repeat(43)}`);
  await expect(page.getByRole("alert")).toContainText("begun in another browser");
  // The address that the issuer leads back to, opened in another browser: login CSRF.
  await atIssuer(page, house);
  let stolen;
  page.on("request", (request) => { if (request.url().includes("/signin-oidc/callback")) stolen = request.url(); });
  await page.locator("button[type=submit]").click();
  await expect.poll(() => stolen ?? "").toContain("code=");
  const victim = await browser.newPage({ ignoreHTTPSErrors: true });
  await victim.goto(stolen);
  await expect(victim.getByRole("alert")).toContainText("begun in another browser");
  expect(await victim.evaluate(() => localStorage.getItem("postern.session-key"))).toBeNull();
  await victim.close();
});

test("another site cannot begin a sign-in, and the redirect goes to the issuer alone", async ({ house }) => {
  const { postern, issuer } = house;
  const begin = (headers) => send(new URL(`${postern.ready.controlUrl}/signin-oidc/0`), { method: "GET", ca: postern.ca, headers });
  const led = await begin({});
  expect(led.status).toBe(302);
  const where = new URL(led.headers.location);
  expect(where.origin).toBe(issuer.url);
  for (const name of ["state", "nonce", "code_challenge"]) expect(where.searchParams.get(name).length).toBeGreaterThanOrEqual(43);
  expect(where.searchParams.get("redirect_uri")).toBe(`${postern.ready.controlUrl}/signin-oidc/callback`);
  expect(where.searchParams.get("code_challenge_method")).toBe("S256");
  expect(led.headers["set-cookie"][0]).toMatch(/^__Host-postern-oidc=[\w-]{43}\.\d+; Path=\/; Max-Age=600; Secure; HttpOnly; SameSite=Lax$/);
  expect((await begin({ "Sec-Fetch-Site": "cross-site" })).status).toBe(403);
  expect((await send(new URL(`${postern.ready.controlUrl}/signin-oidc/7`), { method: "GET", ca: postern.ca })).headers.location).toBe("/signin#problem=unknown");
  expect(postern.log()).not.toContain("portal-secret-of-the-tests");
});
