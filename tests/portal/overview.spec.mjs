// SPDX-License-Identifier: Apache-2.0
// What Overview and Network show is what is so: calls move the numbers, what cannot be reached is
// named with the layer at which it fails.
import { createServer } from "node:net";
import { administrates, expect, expectAccessible, makeApi, makeVault, pki, test, trustBackend, unique, upload } from "./fixtures.mjs";
import { until } from "./lab/postern.mjs";

/** A port that nobody listens at. */
const closedPort = () => new Promise((done) => {
  const server = createServer();
  server.listen(0, "127.0.0.1", () => {
    const { port } = server.address();
    server.close(() => done(port));
  });
});

/** What the page shows is of the status that it asks for now. Every backend there is gets tried for it, which may take long; to ask again begins anew. */
async function withStatus(page, act) {
  const [asked] = await Promise.all([page.waitForRequest(/\/networkstatus\?/), act()]);
  expect((await asked.response()).status()).toBe(200);
}

test("requests and errors per second rise with calls through the gateway", async ({ portal: page, postern, backend }) => {
  const name = unique("rate");
  await upload(postern, pki.makeClient(name));
  await trustBackend(postern, backend, name, name);
  await makeApi(postern, backend, name, `<set-backend-service backend-id="${name}" />`);
  await postern.arm("PUT", `/backends/${name}-gone`, { properties: { url: `http://127.0.0.1:${await closedPort()}`, protocol: "http" } });
  await makeApi(postern, backend, `${name}-gone`, `<set-backend-service backend-id="${name}-gone" />`);
  await page.goto(`${postern.page}/overview`);
  const rate = async (card) => Number(/(\d+\.\d) per second/.exec(await page.getByRole("region", { name: card }).innerText())?.[1] ?? -1);
  await expect(page.getByRole("region", { name: "Requests" })).toContainText("per second");
  let calling = true;
  const calls = (async () => {
    while (calling) {
      await postern.gateway(`/${name}/whoami`);
      await postern.gateway(`/${name}-gone/whoami`);
      await new Promise((done) => setTimeout(done, 20));
    }
  })();
  try {
    await until("requests per second", async () => (await rate("Requests")) > 1, 30000);
    await until("errors per second", async () => (await rate("Errors")) > 1, 30000);
    // Elsewhere and back: what was seen is still there, and nothing new has come.
    await page.route("**/metrics", () => undefined);
    await page.getByRole("navigation", { name: "Service menu" }).getByRole("link", { name: "Network" }).click();
    await page.getByRole("navigation", { name: "Service menu" }).getByRole("link", { name: "Overview" }).click();
    await expect(page.getByRole("region", { name: "Requests" })).toBeVisible();
    await expect.poll(() => rate("Requests")).toBeGreaterThan(1);
  } finally {
    calling = false;
    await calls;
    await page.unrouteAll({ behavior: "ignoreErrors" });
  }
});

test("the Network page shows each dependency, and of what fails the layer, the words and since when", async ({ portal: page, postern, backend }) => {
  const name = unique("net");
  const port = await closedPort();
  await upload(postern, pki.makeClient(name));
  await trustBackend(postern, backend, `${name}-good`, name);
  await postern.arm("PUT", `/backends/${name}-tcp`, { properties: { url: `https://localhost:${port}`, protocol: "http" } });
  await postern.arm("PUT", `/backends/${name}-tls`, { properties: { url: backend.url, protocol: "http" } });
  await postern.arm("PUT", `/apis/${name}-api`, { properties: { displayName: name, path: name, protocols: ["http"], serviceUrl: `http://localhost:${port}` } });
  // A certificate of a vault that cannot be reached.
  await postern.arm("PUT", `/certificates/${name}-vault`, { properties: { keyVault: { secretIdentifier: `https://localhost:${port}/secrets/some` } } }).catch(() => undefined);
  const known = (await postern.arm("GET", "/networkstatus"))[0].networkStatus.connectivityStatus;
  await withStatus(page, () => page.goto(`${postern.page}/network`));
  const entry = (label) => page.getByRole("listitem", { name: label });

  await expect(entry(`Backend ${name}-good`)).toContainText("answers");
  await expect(entry(`Backend ${name}-good`).getByRole("list")).toContainText("TLS went well");
  const tcp = entry(`Backend ${name}-tcp`);
  await expect(tcp).toContainText("fails");
  await expect(tcp.getByRole("list")).toContainText("Name went well");
  await expect(tcp.getByRole("list")).toContainText("TCP fails");
  await expect(tcp.getByRole("list")).toContainText("TLS not known");
  const told = known.find((d) => d.postern?.backend === `${name}-tcp`);
  expect(told.postern.layer).toBe("tcp");
  await expect(tcp).toContainText(told.error);
  await expect(tcp).toContainText(/Fails since .*connect_refused/);
  await expect(entry(`Backend ${name}-tls`).getByRole("list")).toContainText("TLS fails");
  await expect(entry(`API http://localhost:${port}`).getByRole("list")).toContainText("TCP fails");
  await expect(entry(`API http://localhost:${port}`).getByRole("link", { name: `${name}-api` })).toBeVisible();
  await expect(page.getByRole("listitem", { name: /^Token authority/ })).toContainText("answers");
  await expect(page.getByRole("region", { name: "Network connectivity status" })).toContainText(/\d+ of \d+ fail/);
  await expectAccessible(page, "Network with failures");
  await tcp.getByRole("link", { name: `${name}-tcp` }).click();
  await expect(page.getByRole("heading", { level: 1, name: `${name}-tcp` })).toBeVisible();
});

test("the Network page shows a key vault that refuses, and when it gives again", async ({ portal: page, postern }) => {
  // A vault of its own: at its address the page tells of no other test's certificates.
  const name = unique("vaulted"), vault = unique("gives");
  const client = pki.makeClient(name);
  const service = await postern.arm("GET", "");
  await makeVault(postern, vault, [await administrates(postern), { tenantId: postern.ready.tenantId, objectId: service.identity.principalId, permissions: { secrets: ["get"] } }]);
  await postern.vault("POST", `/certificates/${name}/import`, { value: client.base64, pwd: client.password }, vault);
  const secret = (await postern.vault("GET", `/certificates/${name}`, undefined, vault)).sid.replace(/\/[^/]*$/, "");
  await postern.arm("PUT", `/certificates/${name}`, { properties: { keyVault: { secretIdentifier: secret } } });
  const refresh = () => postern.arm("POST", `/certificates/${name}/refreshSecret`).catch(() => undefined);
  const told = async () => (await postern.arm("GET", `/certificates/${name}`)).properties.keyVault.lastStatus;
  const entry = page.getByRole("listitem", { name: `Key vault ${new URL(secret).origin}` });
  expect((await told()).code).toBe("Success");
  await withStatus(page, () => page.goto(`${postern.page}/network`));
  await expect(entry).toContainText("answers");
  await expect(entry).toContainText("Answers since");
  try {
    await postern.arm("PATCH", "", { identity: { type: "None" } });
    await expect.poll(async () => { await refresh(); return (await told()).code; }, { timeout: 30000 }).toBe("IdentityNotEnabled");
    await withStatus(page, () => page.getByRole("button", { name: "Refresh" }).click());
    await expect(entry).toContainText("fails");
    await expect(entry.getByRole("list")).toContainText("Identity fails");
    await expect(entry).toContainText("IdentityNotEnabled");
    await expect(entry).toContainText((await told()).message);
    await expect(entry.getByRole("link", { name, exact: true })).toBeVisible();
  } finally {
    await postern.arm("PATCH", "", { identity: { type: service.identity.type } });
  }
  await expect.poll(async () => { await refresh(); return (await told()).code; }, { timeout: 30000 }).toBe("Success");
  await withStatus(page, () => page.getByRole("button", { name: "Refresh" }).click());
  await expect(entry).toContainText("answers");
  await expect(entry).toContainText("Answers since");
  // Certificates of other tests that were fetched meanwhile are as they were.
  for (const each of (await postern.arm("GET", "/certificates")).value.filter((c) => c.properties.keyVault))
    await postern.arm("POST", `/certificates/${each.name}/refreshSecret`).catch(() => undefined);
});

test("the Network page says that inbound rules govern nothing", async ({ portal: page, postern }) => {
  const name = unique("nsg");
  const group = `/subscriptions/${postern.ready.subscriptionId}/resourceGroups/postern/providers/Microsoft.Network`;
  const nsg = `${group}/networkSecurityGroups/${name}`;
  const subnet = `${group}/virtualNetworks/${name}/subnets/apim`;
  await postern.arm("PUT", nsg, { location: "local", properties: { securityRules: [{ name: "web", properties: { priority: 100, direction: "Inbound", access: "Allow", protocol: "Tcp",
    sourceAddressPrefix: "*", sourcePortRange: "*", destinationAddressPrefix: "*", destinationPortRange: "443" } }] } }, { version: "2023-04-01" });
  await postern.arm("PUT", `${group}/virtualNetworks/${name}`, { location: "local", properties: { addressSpace: { addressPrefixes: ["10.30.0.0/16"] },
    subnets: [{ name: "apim", properties: { addressPrefix: "10.30.0.0/24", networkSecurityGroup: { id: nsg } } }] } }, { version: "2023-04-01" });
  const words = page.getByText(`Network security group '${name}': 1 inbound rule is kept and governs nothing`);
  try {
    await postern.arm("PATCH", "", { properties: { virtualNetworkType: "External", virtualNetworkConfiguration: { subnetResourceId: subnet } } });
    await withStatus(page, () => page.goto(`${postern.page}/network`));
    await expect(words).toBeVisible();
  } finally {
    await postern.arm("PATCH", "", { properties: { virtualNetworkType: "None" } });
  }
  await withStatus(page, () => page.getByRole("button", { name: "Refresh" }).click());
  await expect(words).toHaveCount(0);
});

test("the last rotations are those of the server, newest first: an upload, a vault's, and what could not be fetched", async ({ portal: page, postern }) => {
  const stem = unique("turned");
  const [one, two] = [pki.makeClient(stem), pki.makeClient(`${stem}-2`)];
  // More certificates than one page has, and the one that turns is the last of them.
  await postern.putMany(120, (i) => `/certificates/${stem}-${String(i).padStart(3, "0")}`, { properties: { data: one.base64, password: one.password } });
  const last = `${stem}-zz`;
  await postern.arm("PUT", `/certificates/${last}`, { properties: { data: one.base64, password: one.password } });
  await page.goto(`${postern.page}/overview`);
  const card = page.getByRole("region", { name: "Last rotations" });
  await expect(card.getByRole("listitem").first()).toBeVisible();
  await expect(card).not.toContainText(stem); // what was made has not been rotated
  await postern.arm("PUT", `/certificates/${last}`, { properties: { data: two.base64, password: two.password } });
  await page.reload();
  const [newest] = (await postern.arm("GET", "/rotations")).value;
  expect(newest).toMatchObject({ name: last, generation: 2, cause: "upload", thumbprint: two.thumbprint });
  const first = card.getByRole("listitem").filter({ hasText: "generation" }).first(); // behind what could not be refreshed
  await expect(card.getByRole("link", { name: last })).toBeVisible();
  await expect(card.getByRole("listitem").filter({ hasText: last })).toContainText("generation 2 replaced");

  const vaulted = `${stem}-v`;
  const put = (client) => postern.vault("POST", `/certificates/${vaulted}/import`, { value: client.base64, pwd: client.password });
  await put(one);
  const { id } = await postern.vault("GET", `/certificates/${vaulted}`);
  await postern.arm("PUT", `/certificates/${vaulted}`, { properties: { keyVault: { secretIdentifier: id.replace("/certificates/", "/secrets/").replace(/\/[^/]*$/, "") } } });
  await put(two);
  await postern.arm("POST", `/certificates/${vaulted}/refreshSecret`);
  await page.reload();
  await expect(first).toContainText(vaulted);
  await expect(first).toContainText("generation 2");
  await expectAccessible(page, "Overview with rotations");
  await postern.vault("DELETE", `/certificates/${vaulted}`);
  await postern.arm("POST", `/certificates/${vaulted}/refreshSecret`).catch(() => undefined);
  await page.reload();
  await expect(card).toContainText(`${vaulted} not refreshed: VaultNotFound`);
  await postern.arm("DELETE", `/certificates/${vaulted}`, undefined, { headers: { "If-Match": "*" } });
  await card.getByRole("link", { name: last }).click();
  await expect(page.getByRole("tab", { name: "Generations" })).toHaveAttribute("aria-selected", "true");
});
