// SPDX-License-Identifier: Apache-2.0
// Signing in and out, what a session is worth, and how the files are served.
import { expect, expectAccessible, test, unique } from "./fixtures.mjs";
import { send } from "./lab/postern.mjs";

const PASSWORD = "correct horse battery";

async function signIn(page, postern, name, password = PASSWORD) {
  await page.goto(`${postern.ready.controlUrl}/signin`);
  await page.getByLabel("User name").fill(name);
  await page.getByLabel("Password").fill(password);
  await page.getByRole("button", { name: "Sign in" }).click();
}

test("a link signs in once", async ({ page, postern, browser }) => {
  const link = postern.link();
  await page.goto(link);
  await expect(page.getByRole("heading", { level: 1, name: "postern" })).toBeVisible();
  await expect(page).not.toHaveURL(/code=/);
  expect(await page.evaluate(() => JSON.stringify({ ...localStorage }))).not.toContain("eyJ"); // no token at rest
  const second = await browser.newPage({ ignoreHTTPSErrors: true });
  await second.goto(link);
  await expect(second.getByRole("alert")).toContainText("has been used already");
  await expectAccessible(second, "the sign-in page with an error");
  await second.close();
});

test("an account signs in, a wrong password does not", async ({ page, postern }) => {
  const name = unique("alice");
  postern.addUser(name, PASSWORD, "Owner");
  await signIn(page, postern, name, "not the password");
  await expect(page.getByRole("alert")).toContainText("The user name or the password is wrong.");
  await signIn(page, postern, unique("nobody"));
  await expect(page.getByRole("alert")).toContainText("The user name or the password is wrong.");
  await signIn(page, postern, name);
  await expect(page.getByRole("heading", { level: 1, name: "postern" })).toBeVisible();
  await page.getByRole("button", { name: /Account/ }).click();
  await page.getByRole("menuitem", { name: "Sign out" }).click();
  await expect(page.getByRole("heading", { name: "Sign in" })).toBeVisible();
  await page.goto(`${postern.page}/overview`);
  await expect(page.getByRole("heading", { name: "Sign in" })).toBeVisible();
});

test("wrong passwords are limited", async ({ postern }) => {
  const name = unique("mallory");
  const tries = () => send(new URL(`${postern.ready.controlUrl}/signin/session`), { method: "POST", ca: postern.ca, headers: { "Content-Type": "application/json" } }, JSON.stringify({ userName: name, password: "wrong wrong wrong" }));
  const wrong = await Promise.all(Array.from({ length: 10 }, tries)); // at once: they count for a minute only
  expect(wrong.map((answer) => answer.status)).toEqual(Array(10).fill(401));
  const last = await tries();
  expect(last.status).toBe(429);
  expect(last.headers["retry-after"]).toBe("60");
});

test("what a role forbids is shown disabled, and says why", async ({ page, postern }) => {
  const name = unique("reader");
  postern.addUser(name, PASSWORD, "Reader");
  await signIn(page, postern, name);
  await expect(page.getByRole("heading", { level: 1, name: "postern" })).toBeVisible();
  await page.goto(`${postern.page}/certificates`);
  const add = page.getByRole("button", { name: "Add", exact: true });
  await expect(add).toHaveAttribute("aria-disabled", "true");
  await expect(async () => { // what still moves under the pointer takes the tooltip away
    await page.mouse.move(0, 0);
    await add.hover();
    await expect(page.getByRole("tooltip")).toContainText("Microsoft.ApiManagement/service/certificates/write", { timeout: 5000 });
  }).toPass({ timeout: 30000 });
  // The server would not take it either, and its words are shown.
  await page.goto(`${postern.page}/certificates?add=`);
  await expect(page.getByRole("heading", { name: "Add certificate" })).toBeVisible();
});

test("a session that is lost asks for another over the page, which stays", async ({ page, postern }) => {
  const name = unique("bob");
  postern.addUser(name, PASSWORD, "Owner");
  await signIn(page, postern, name);
  await expect(page.getByRole("heading", { level: 1, name: "postern" })).toBeVisible();
  await page.goto(`${postern.page}/certificates?add=`);
  await page.getByLabel("Id", { exact: false }).first().fill("kept-in-mind");
  postern.cli(["identity", "set-password", name, "--password-file", "-"], "another long password");
  await page.evaluate(() => window.dispatchEvent(new StorageEvent("storage", { key: "postern.session-key" }))); // as from another tab: looks again
  await page.goto(`${postern.page}/certificates?add=`);
  await expect(page.getByRole("heading", { name: "Sign in" })).toBeVisible();
  await page.getByLabel("User name").fill(name);
  await page.getByLabel("Password").fill("another long password");
  await page.getByRole("button", { name: "Sign in" }).click();
  await expect(page.getByRole("heading", { name: "Add certificate" })).toBeVisible(); // the deep link is followed
});

test("half a session is worth nothing, and no other site can use it", async ({ page, portal, postern }) => {
  const [cookie] = await page.context().cookies();
  expect(cookie).toMatchObject({ name: "__Host-postern-session", httpOnly: true, secure: true, sameSite: "Strict" });
  const key = await page.evaluate(() => localStorage.getItem("postern.session-key"));
  const ask = async (headers) => JSON.parse((await send(new URL(`${postern.ready.controlUrl}/signin/session`), { method: "GET", ca: postern.ca, headers })).body).session;
  expect(await ask({ Cookie: `${cookie.name}=${cookie.value}` })).toBeUndefined();
  expect(await ask({ "X-Postern-Session-Key": key })).toBeUndefined();
  expect(await ask({ Cookie: `${cookie.name}=${cookie.value}`, "X-Postern-Session-Key": key })).toMatchObject({ displayName: "Postern administrator" });
  const foreign = await send(new URL(`${postern.ready.controlUrl}/signin/session`), { method: "DELETE", ca: postern.ca,
    headers: { Cookie: `${cookie.name}=${cookie.value}`, "X-Postern-Session-Key": key, Origin: "https://evil.example" } });
  expect(foreign.status).toBe(403);
  // Codes: only for the portal's own address, only with PKCE, only once.
  const { tenantId, clientId } = await page.evaluate(async () => (await fetch("/signin/session", { headers: { Accept: "application/json" } })).json());
  const authorize = (change) => {
    const url = new URL(`${postern.ready.controlUrl}/${tenantId}/oauth2/v2.0/authorize`);
    url.search = new URLSearchParams({ client_id: clientId, redirect_uri: `${postern.ready.controlUrl}/signin/callback`, response_type: "code", prompt: "none", state: "s",
      scope: "https://management.azure.com/.default", code_challenge: "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM", code_challenge_method: "S256", ...change }).toString();
    return send(url, { method: "GET", ca: postern.ca, headers: { Cookie: `${cookie.name}=${cookie.value}`, "X-Postern-Session-Key": key } });
  };
  expect((await authorize({ redirect_uri: "https://evil.example/signin/callback" })).status).toBe(400);
  expect((await authorize({ client_id: postern.ready.clientId })).status).toBe(400);
  expect((await authorize({ code_challenge_method: "plain" })).headers.location).toContain("error=invalid_request");
  const code = new URL((await authorize({})).headers.location).searchParams.get("code");
  const redeem = (verifier) => send(new URL(`${postern.ready.controlUrl}/${tenantId}/oauth2/v2.0/token`), { method: "POST", ca: postern.ca, headers: { "Content-Type": "application/x-www-form-urlencoded" } },
    new URLSearchParams({ grant_type: "authorization_code", client_id: clientId, redirect_uri: `${postern.ready.controlUrl}/signin/callback`, code, code_verifier: verifier }).toString());
  expect((await redeem("wrong".repeat(10))).status).toBe(400);
  expect((await redeem("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk")).status).toBe(400); // the wrong guess has used it up
});

test("the portal's files are served strictly", async ({ postern }) => {
  const get = (path, headers = {}) => send(new URL(`${postern.ready.controlUrl}${path}`), { method: "GET", ca: postern.ca, headers });
  const page = await get("/portal/any/deep/link", { Accept: "text/html" });
  expect(page.status).toBe(200);
  const policy = page.headers["content-security-policy"];
  expect(policy).toContain("default-src 'none'");
  expect(policy).toMatch(/style-src 'self' 'nonce-[\w-]{24}'/);
  expect(policy).not.toContain("unsafe");
  expect(page.headers["cache-control"]).toBe("no-store");
  expect(page.headers["x-frame-options"]).toBe("DENY");
  expect(page.body).not.toContain("__CSP_NONCE__");
  expect(page.body.match(/nonce="([^"]+)"/)[1]).not.toBe((await get("/", { Accept: "text/html" })).body.match(/nonce="([^"]+)"/)[1]);
  const script = page.body.match(/src="(\/assets\/[^"]+\.js)"/)[1];
  for (const coding of ["br", "gzip"]) {
    const asset = await get(script, { "Accept-Encoding": coding });
    expect(asset.status).toBe(200);
    expect(asset.headers["content-encoding"]).toBe(coding);
    expect(asset.headers["cache-control"]).toBe("public, max-age=31536000, immutable");
    expect(asset.headers.pragma).toBeUndefined();
    expect((await get(script, { "Accept-Encoding": coding, "If-None-Match": asset.headers.etag })).status).toBe(304);
  }
  expect((await get(script)).headers["content-encoding"]).toBeUndefined();
  for (const bad of ["/assets/../../etc/passwd", "/assets/%2e%2e/index.html", "/assets/none.js", "/assets/"])
    expect((await get(bad, { Accept: "text/html" })).status, bad).toBeGreaterThanOrEqual(400);
  // Who is no browser gets what it got before.
  expect((await get("/")).body).toContain("Management REST API");
});
