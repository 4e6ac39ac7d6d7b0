// SPDX-License-Identifier: Apache-2.0
// Postern as a process on free ports, a backend that demands client certificates, and calls of the
// REST API to prepare and to look after what a person clicked.
import { execFileSync, spawn } from "node:child_process";
import { existsSync, mkdtempSync, openSync, readdirSync, readFileSync, readlinkSync, rmSync, writeFileSync } from "node:fs";
import { Agent, request as httpsRequest } from "node:https";
import { createServer, request as httpRequest } from "node:http";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

const ROOT = resolve(import.meta.dirname, "../../..");
export const BIN = process.env.PN_BIN ?? join(ROOT, "build/bin");

export async function until(what, condition, limitMs = 30000) {
  const end = Date.now() + limitMs;
  for (;;) {
    const found = await condition();
    if (found) return found;
    if (Date.now() > end) throw new Error(`${what}: not within ${limitMs} ms`);
    await new Promise((done) => setTimeout(done, 50));
  }
}

export class Postern {
  constructor() {
    this.folder = mkdtempSync(join(tmpdir(), "postern-portal-"));
    this.data = join(this.folder, "data");
  }
  async start(ports = {}, options = [], environment = {}) {
    const log = openSync(join(this.folder, "log"), "a");
    const at = (option, url) => [`--${option}`, `localhost:${url ? new URL(url).port : 0}`];
    this.process = spawn(join(BIN, "postern"), ["serve", "--data", this.data, "--threads", "1", ...at("gateway", ports.gatewayUrl),
      ...at("gateway-tls", ports.gatewayTlsUrl), ...at("control", ports.controlUrl), ...at("vault", ports.vaultUrl),
      ...options], { stdio: ["ignore", log, log], env: { ...process.env, ...environment } });
    const file = join(this.data, "ready.json");
    await until("ready.json", () => {
      if (this.process.exitCode !== null) throw new Error(`postern ended:\n${this.log()}`);
      return existsSync(file);
    }, 60000);
    this.ready = JSON.parse(readFileSync(file, "utf8"));
    this.ca = readFileSync(this.ready.caFile);
    this.service = `/subscriptions/${this.ready.subscriptionId}/resourceGroups/${this.ready.resourceGroup}/providers/Microsoft.ApiManagement/service/${this.ready.serviceName}`;
    this.page = `${this.ready.controlUrl}/portal/${this.ready.resourceGroup}/${this.ready.serviceName}`;
    return this;
  }
  log() {
    return readFileSync(join(this.folder, "log"), "utf8");
  }
  /** Again at the same addresses, with more options. */
  async restart(options, environment) {
    const ended = new Promise((done) => this.process.once("exit", done));
    this.process.kill("SIGTERM");
    await ended;
    return this.start(this.ready, options, environment);
  }
  async stop() {
    if (!this.process) return;
    const ended = new Promise((done) => this.process.once("exit", done));
    this.process.kill("SIGTERM");
    await ended;
    this.process = null;
    rmSync(this.folder, { recursive: true, force: true });
  }
  cli(args, input) {
    return execFileSync(join(BIN, "postern"), [...args, "--data", this.data], { input: input ?? "", encoding: "utf8" });
  }
  link() {
    return this.cli(["portal"]).trim();
  }
  addUser(name, password, role) {
    return this.cli(["identity", "add-user", name, "--display-name", name[0].toUpperCase() + name.slice(1), "--password-file", "-", ...(role ? ["--role", role] : [])], password);
  }
  /** The pid of a child, "control"; it is one that we started. 0: there is none now. */
  pid(role) {
    const gone = (error) => { if (!["ENOENT", "ESRCH"].includes(error.code)) throw error; }; // it ends while we look
    const executable = (pid) => { try { return readlinkSync(`/proc/${pid}/exe`); } catch (error) { gone(error); return ""; } };
    for (const task of readdirSync(`/proc/${this.process.pid}/task`))
      for (const pid of readFileSync(`/proc/${this.process.pid}/task/${task}/children`, "utf8").trim().split(" ").filter(Boolean))
        if (executable(pid).includes(`postern-${role}`)) return Number(pid);
    return 0;
  }
  token(...options) {
    return this.cli(["token", ...options]).trim();
  }
  /** A call of the management API below the service; an absolute path is taken as it is. */
  async arm(method, path, body, { version = "2024-05-01", headers = {} } = {}) {
    this.kept ??= this.token();
    const base = path.startsWith("/msgraph/") || path.startsWith("/subscriptions/5") || path.startsWith("/subscriptions/") && path.includes("/providers/") ? "" : this.service;
    const url = new URL(`${this.ready.controlUrl}${base}${path}`);
    url.searchParams.set("api-version", version);
    const answer = await send(url, { method, ca: this.ca, headers: { Authorization: `Bearer ${this.kept}`, "Content-Type": "application/json", ...headers } }, body && JSON.stringify(body));
    const json = answer.body ? JSON.parse(answer.body) : undefined;
    if (answer.status >= 400 && !answer.tolerated) throw Object.assign(new Error(`${method} ${path}: ${answer.status} ${answer.body}`), { status: answer.status, json });
    return json;
  }
  /** Many PUTs of the same body, on kept connections: `name(i)` for each. */
  async putMany(count, name, body) {
    this.kept ??= this.token();
    const agent = new Agent({ keepAlive: true, maxSockets: 16, ca: this.ca });
    const text = JSON.stringify(body);
    let next = 0;
    const work = async () => {
      while (next < count) {
        const url = new URL(`${this.ready.controlUrl}${this.service}${name(next++)}?api-version=2024-05-01`);
        const put = () => send(url, { method: "PUT", agent, headers: { Authorization: `Bearer ${this.kept}`, "Content-Type": "application/json", "Content-Length": Buffer.byteLength(text) } }, text);
        let answer = await put();
        for (let again = 0; answer.status === 503 && again < 5; again++) answer = await put(); // a busy disk: it says so, and a client tries again
        if (answer.status >= 300) throw new Error(`PUT ${url.pathname}: ${answer.status} ${answer.body}`);
      }
    };
    await Promise.all(Array.from({ length: 16 }, work));
    agent.destroy();
  }
  async vault(method, path, body, vault = "local") {
    this.keptVault ??= this.token("--vault");
    const url = new URL(`${this.ready.controlUrl}/vault/${vault}${path}`);
    url.searchParams.set("api-version", "7.4");
    const answer = await send(url, { method, ca: this.ca, headers: { Authorization: `Bearer ${this.keptVault}`, "Content-Type": "application/json" } }, body && JSON.stringify(body));
    if (answer.status >= 400) throw new Error(`${method} ${path}: ${answer.status} ${answer.body}`);
    return answer.body ? JSON.parse(answer.body) : undefined;
  }
  /** A call through the gateway, as an API client makes it. */
  gateway(path, headers = {}) {
    return send(new URL(`${this.ready.gatewayUrl}${path}`), { method: "GET", headers });
  }
}

export function send(url, options, body) {
  return new Promise((resolveAnswer, reject) => {
    const make = url.protocol === "https:" ? httpsRequest : httpRequest;
    const request = make(url, { agent: false, ...options }, (answer) => {
      let text = "";
      answer.setEncoding("utf8").on("data", (part) => { text += part; }).on("end", () => resolveAnswer({ status: answer.statusCode, headers: answer.headers, body: text }));
    });
    request.on("error", reject);
    request.end(body);
  });
}

/** A backend without TLS that answers with the headers it got; `urls` are those that were asked for. */
export async function startEcho() {
  const urls = [];
  const server = createServer((request, answer) => {
    urls.push(request.url);
    answer.end(JSON.stringify(request.headers));
  });
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  return { url: `http://127.0.0.1:${server.address().port}`, urls, stop: () => server.close() };
}

/** postern-sample-backend: demands a client certificate of the tests' authority and says what it saw. */
export async function startBackend({ cert, key, ca }) {
  const folder = mkdtempSync(join(tmpdir(), "postern-portal-backend-"));
  const portFile = join(folder, "port");
  const child = spawn(join(BIN, "postern-sample-backend"), ["--cert", cert, "--key", key, "--ca", ca, "--listen", "localhost:0", "--port-file", portFile], { stdio: "ignore" });
  const port = await until("the backend's port", () => existsSync(portFile) && readFileSync(portFile, "utf8").trim());
  return { url: `https://localhost:${port}`, stop: () => child.kill("SIGTERM") };
}

export const policy = (inbound) =>
  `<policies><inbound><base />${inbound}</inbound><backend><base /></backend><outbound><base /></outbound><on-error><base /></on-error></policies>`;
export const saveText = (path, text) => writeFileSync(path, text);
