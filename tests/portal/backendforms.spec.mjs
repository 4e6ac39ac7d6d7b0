// SPDX-License-Identifier: Apache-2.0
// The form of a backend never loses what it does not show: made by REST with all there is, one thing
// is changed by hand, and everything else is there as it was.
import { expect, pki, test, unique, upload } from "./fixtures.mjs";

const edit = async (page, postern, name) => {
  await page.goto(`${postern.page}/backends/${name}`);
  await page.getByRole("button", { name: "Edit" }).click();
  return page.getByRole("dialog");
};
const save = async (panel) => {
  await panel.getByRole("button", { name: "Save" }).click();
  await expect(panel).toHaveCount(0);
};
const read = async (postern, name) => (await postern.arm("GET", `/backends/${name}`)).properties;

/** All that the REST API knows of a single backend. */
const whole = (postern, name, proxy) => ({
  url: "https://orders.example:8443/v1", protocol: "http", type: "Single", title: "Orders", description: "of the shop", resourceId: "https://management.azure.com/logic/orders",
  credentials: {
    certificateIds: [`${postern.service}/certificates/${name}`], header: { "X-A": ["1", "2"], "X-B": ["3"] }, query: { key: ["k"] },
    authorization: { scheme: "Bearer", parameter: "token-of-orders" },
  },
  proxy: { url: proxy, username: "me", password: "of-the-proxy" },
  tls: { validateCertificateChain: true, validateCertificateName: false, postern: { pins: ["r/mIkG3eEpVdm+u/ko/cwxzOMo1bk4TyHIlByibiA5E="], serverName: "orders.internal", minimumTlsVersion: "1.3", lateAuthentication: true } },
  circuitBreaker: { rules: [
    { name: "share", failureCondition: { percentage: 40, interval: "PT1M30S", statusCodeRanges: [{ min: 429, max: 429 }, { min: 500, max: 599 }], errorReasons: ["BackendConnectionFailure"] }, tripDuration: "PT2M", acceptRetryAfter: false },
    { name: "number", failureCondition: { count: 7, interval: "PT10S", statusCodeRanges: [{ min: 500, max: 503 }] }, tripDuration: "PT5S", acceptRetryAfter: true },
  ] },
  properties: { serviceFabricCluster: { managementEndpoints: ["https://fabric.example:19080"], maxPartitionResolutionRetries: 5, serverX509Names: [{ name: "fabric", issuerCertificateThumbprint: "AB" }] } },
});

test("a backend made by REST with everything goes through the form, and only what was changed has changed", async ({ portal: page, postern }) => {
  const name = unique("whole");
  await upload(postern, pki.makeClient(name));
  await postern.arm("PUT", `/backends/${name}`, { properties: whole(postern, name, "http://proxy.example:3128") });
  const before = await read(postern, name);
  expect(before.circuitBreaker.rules).toHaveLength(2); // or this test shows nothing
  expect(before.properties.serviceFabricCluster.maxPartitionResolutionRetries).toBe(5);

  // Opened and saved.
  let panel = await edit(page, postern, name);
  await save(panel);
  expect(await read(postern, name)).toEqual(before);

  // One text is changed; then it is taken away.
  panel = await edit(page, postern, name);
  await panel.getByRole("button", { name: "Title and description" }).click();
  await panel.getByRole("textbox", { name: "Title" }).fill("Orders, new");
  await panel.getByRole("textbox", { name: "Description" }).fill("");
  await save(panel);
  const { description, ...rest } = before;
  expect(description).toBe("of the shop");
  expect(await read(postern, name)).toEqual({ ...rest, title: "Orders, new" });

  // The rule shows its percentage, and says that there is another one; the other one stays.
  panel = await edit(page, postern, name);
  await panel.getByRole("button", { name: "Circuit breaker" }).click();
  await expect(panel.getByRole("spinbutton", { name: "Percentage" })).toHaveValue("40");
  await expect(panel.getByText("1 more rule")).toBeVisible();
  await panel.getByRole("spinbutton", { name: "Percentage" }).fill("55");
  await save(panel);
  const [first, second] = before.circuitBreaker.rules;
  const changed = { ...first, failureCondition: { ...first.failureCondition, percentage: 55 } };
  expect((await read(postern, name)).circuitBreaker).toEqual({ rules: [changed, second] });

  // From a share to a number: one of both is there, never both.
  panel = await edit(page, postern, name);
  await panel.getByRole("button", { name: "Circuit breaker" }).click();
  await panel.getByRole("radio", { name: "A number of failures" }).click();
  await panel.getByRole("spinbutton", { name: "Failures" }).fill("4");
  await save(panel);
  const { percentage, ...condition } = changed.failureCondition;
  expect(percentage).toBe(55);
  expect((await read(postern, name)).circuitBreaker).toEqual({ rules: [{ ...first, failureCondition: { ...condition, count: 4 } }, second] });
  await expect(page.getByText(/^4 failures within 90 s/)).toBeVisible();

  // Off is off, whatever there was.
  panel = await edit(page, postern, name);
  await panel.getByRole("button", { name: "Circuit breaker" }).click();
  await panel.getByRole("switch", { name: "Let the backend rest when it fails" }).click();
  await save(panel);
  const { circuitBreaker, ...still } = await read(postern, name);
  expect(circuitBreaker).toBeUndefined();
  const { circuitBreaker: _, ...was } = rest;
  expect(still).toEqual({ ...was, title: "Orders, new" });
});

test("the password of a backend's proxy, which no GET shows, outlives the form", async ({ portal: page, postern }) => {
  const seen = [];
  const { createServer } = await import("node:http");
  const proxy = createServer((request, answer) => { seen.push(request.headers["proxy-authorization"]); answer.end("by proxy"); });
  proxy.on("connect", (request, socket) => { seen.push(request.headers["proxy-authorization"]); socket.end("HTTP/1.1 502 no\r\n\r\n"); });
  await new Promise((done) => proxy.listen(0, "127.0.0.1", done));
  const name = unique("proxied");
  try {
    await postern.arm("PUT", `/backends/${name}`, { properties: { url: "http://orders.example", protocol: "http", proxy: { url: `http://127.0.0.1:${proxy.address().port}`, username: "me", password: "of-the-proxy" } } });
    await postern.arm("PUT", `/apis/${name}`, { properties: { displayName: name, path: name, protocols: ["http"], subscriptionRequired: false } });
    await postern.arm("PUT", `/apis/${name}/operations/all`, { properties: { displayName: "All", method: "GET", urlTemplate: "/x" } });
    await postern.arm("PUT", `/apis/${name}/policies/policy`, { properties: { format: "rawxml", value: `<policies><inbound><set-backend-service backend-id="${name}" /></inbound></policies>` } });
    const panel = await edit(page, postern, name);
    await panel.getByRole("button", { name: "Title and description" }).click();
    await panel.getByRole("textbox", { name: "Title" }).fill("By a proxy");
    await save(panel);
    expect((await read(postern, name)).title).toBe("By a proxy");
    await postern.gateway(`/${name}/x`);
    expect(seen.pop()).toBe(`Basic ${Buffer.from("me:of-the-proxy").toString("base64")}`);
  } finally {
    proxy.closeAllConnections();
    proxy.close();
  }
});

test("a pool keeps what its form does not show, and finds its members on the server", async ({ portal: page, postern }) => {
  const name = unique("pool");
  const member = (i) => `${name}-member-${i}`;
  await postern.putMany(4, (i) => `/backends/${member(i)}`, { properties: { url: "https://orders.example", protocol: "http" } });
  const services = [
    { id: `${postern.service}/backends/${member(0)}`, weight: 3, priority: 1 },
    { id: `${postern.service}/backends/${member(1)}` },
    { id: `${postern.service}/backends/${member(2)}`, weight: 0 },
  ];
  await postern.arm("PUT", `/backends/${name}`, { properties: { type: "Pool", title: "All", resourceId: "https://management.azure.com/x", url: "https://of-a-pool.example", protocol: "http", pool: { services } } });
  const before = await read(postern, name);
  let panel = await edit(page, postern, name);
  await save(panel);
  expect(await read(postern, name)).toEqual(before);

  panel = await edit(page, postern, name);
  await expect(panel.getByRole("spinbutton", { name: "Weight of member 1" })).toHaveValue("3");
  await panel.getByRole("spinbutton", { name: "Weight of member 1" }).fill("9");
  await panel.getByRole("button", { name: "Add member" }).click();
  const picker = panel.getByRole("combobox", { name: "Member 4" });
  await picker.click();
  await picker.fill(member(3));
  await page.getByRole("option", { name: new RegExp(`^${member(3)}`) }).click();
  await expect(picker).toHaveValue(member(3));
  await save(panel);
  const after = await read(postern, name);
  expect(after.pool.services.slice(0, 3)).toEqual([{ ...before.pool.services[0], weight: 9 }, ...before.pool.services.slice(1)]);
  expect(after.pool.services[3]).toMatchObject({ id: `${postern.service}/backends/${member(3)}`, priority: 1, weight: 1 });
  expect({ ...after, pool: null }).toEqual({ ...before, pool: null });

  // Wrong numbers are told in the server's words.
  panel = await edit(page, postern, name);
  await panel.getByRole("spinbutton", { name: "Weight of member 1" }).fill("900");
  await panel.getByRole("button", { name: "Save" }).click();
  await expect(panel.getByRole("alert")).toContainText("weight");
  expect(await read(postern, name)).toEqual(after);
});

test("a backend that becomes a pool, and one again, says what goes with it", async ({ portal: page, postern }) => {
  const name = unique("turns");
  await upload(postern, pki.makeClient(name));
  await postern.arm("PUT", `/backends/${name}-other`, { properties: { url: "https://orders.example", protocol: "http" } });
  await postern.arm("PUT", `/backends/${name}`, { properties: { url: "https://orders.example", protocol: "http", title: "Stays", credentials: { certificateIds: [`${postern.service}/certificates/${name}`] } } });
  let panel = await edit(page, postern, name);
  await panel.getByRole("radio", { name: "Load-balanced pool" }).click();
  await expect(panel).toContainText("As a pool it has no URL, credentials, checks and circuit breaker of its own");
  await panel.getByRole("button", { name: "Add member" }).click();
  await panel.getByRole("combobox", { name: "Member 1" }).click();
  await panel.getByRole("combobox", { name: "Member 1" }).fill(`${name}-other`);
  await page.getByRole("option", { name: new RegExp(`^${name}-other `) }).click();
  await save(panel);
  const pool = await read(postern, name);
  expect(pool).toMatchObject({ type: "Pool", title: "Stays" });
  expect(pool.url ?? pool.credentials ?? pool.circuitBreaker).toBeUndefined();
  await postern.arm("DELETE", `/certificates/${name}`, undefined, { headers: { "If-Match": "*" } }); // no longer in use
  panel = await edit(page, postern, name);
  await panel.getByRole("radio", { name: "Single" }).click();
  await expect(panel).toContainText("As a single backend it has no members");
  await panel.getByLabel("Runtime URL").fill("https://orders.example");
  await save(panel);
  expect(await read(postern, name)).toMatchObject({ type: "Single", url: "https://orders.example", title: "Stays" });
  expect((await read(postern, name)).pool).toBeUndefined();
});

test("what another one changed meanwhile stays, but for what this form changes, too", async ({ portal: page, postern }) => {
  const name = unique("both");
  await postern.arm("PUT", `/backends/${name}`, { properties: { url: "https://orders.example", protocol: "http", title: "Mine" } });
  const panel = await edit(page, postern, name);
  await panel.getByLabel("Runtime URL").fill("https://orders.example/v2");
  await postern.arm("PUT", `/backends/${name}`, { properties: { url: "https://orders.example", protocol: "http", title: "Theirs", credentials: { header: { "X-Theirs": ["1"] } } } }, { headers: { "If-Match": "*" } });
  await panel.getByRole("button", { name: "Save" }).click();
  await panel.getByRole("button", { name: "Keep mine, over theirs" }).click();
  await save(panel);
  expect(await read(postern, name)).toMatchObject({ url: "https://orders.example/v2", title: "Theirs", credentials: { header: { "X-Theirs": ["1"] } } });
});
