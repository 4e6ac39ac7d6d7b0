// SPDX-License-Identifier: Apache-2.0
//
// Random clients of a gateway: HTTP/1.1 and HTTP/2, plain and TLS, WebSockets; patient, slow and
// leaving in the middle. In front of backend.mjs.
//     node soak.mjs '{"url", "tls", "ca", "seconds", "clients", "seed", "protocols": [...],
//                     "apis": [{"path": "/a", "subject": "prefix of the CN that must be seen"}]}'
// prints one JSON line: how often each thing was done, and "wrong": what must not have happened.
import fs from "node:fs";
import http from "node:http";
import http2 from "node:http2";
import https from "node:https";
import net from "node:net";
import WebSocket from "ws";

const options = JSON.parse(process.argv[2]);
const ca = fs.readFileSync(options.ca);
const plain = new URL(options.url);
const secure = new URL(options.tls);
const end = Date.now() + options.seconds * 1000;
const done = {};
const wrong = [];
const crossed = []; // activity ids of what the gateway says it could not send again
let seed = options.seed;

// Mulberry32: the same choices for the same seed, as far as the interleaving allows.
function random(n) {
  seed = (seed + 0x6d2b79f5) | 0;
  let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
  return ((t ^ (t >>> 14)) >>> 0) % n;
}
const pick = (list) => list[random(list.length)];
const pending = new Set();
const later = (ms) => new Promise((go) => setTimeout(go, ms));
const count = (what) => { done[what] = (done[what] ?? 0) + 1; };

function fault(what, detail) {
  count("wrong");
  if (wrong.length < 20) wrong.push(`${what}: ${detail}`);
}

// What is asked for: `is_good` must succeed with that status and length, whatever else goes on.
const KB = 1024;
const questions = [
  { path: "/echo", status: 200, good: true },
  { path: "/echo", status: 200, good: true },
  { path: "/echo", status: 200, good: true },
  { path: "/mirror", status: 200, good: true, body: 100 },
  { path: "/mirror", status: 200, good: true, body: 70 * KB },
  { path: "/mirror", status: 200, good: true, body: 300 * KB },
  { path: "/bytes?n=100", status: 200, good: true, length: 100 },
  { path: "/bytes?n=100000", status: 200, good: true, length: 100000 },
  { path: "/bytes?n=1000000&chunked", status: 200, good: true, length: 1000000 },
  { path: "/status?code=204", status: 204, good: true, length: 0 },
  { path: "/status?code=404", status: 404, good: true, length: 0 },
  { path: "/trailers", status: 200, good: true, length: 4 },
  { path: "/hints", status: 200, good: true, length: 5 },
  { path: "/slow", status: 200, good: true, length: 10 },
  { path: "/late?ms=50", status: 200, good: true, length: 4 },
  { path: "/close", status: 200, good: true, length: 6 },
  { path: "/goaway", status: 200 }, // what else was on its way may have to be refused
  { path: "/early", body: 200 * KB },
  { path: "/reset" }, { path: "/reset-late" }, { path: "/reset-body" },
  { path: "/late?ms=3000", leaves: true },
  { path: "/bytes?n=50000000", leaves: true },
  { path: "/mirror", body: 50000 * KB, leaves: true },
];

// A POST may cross the end of its backend connection and is then not sent again: seldom. The gateway
// says so, and the test looks up its reason; an answer that breaks off it bounds.
function check(kind, api, question, answer) {
  if (question.good && question.body && (answer.error || answer.status === 500)) {
    count("crossed");
    if (!answer.error) crossed.push(/"activityId": "([^"]*)"/.exec(answer.text ?? "")?.[1] ?? "");
    return;
  }
  if (answer.error) {
    count(question.good ? `${kind} failed` : `${kind} failed as it may`);
    if (question.good) fault(`${kind} ${api.path}${question.path}`, answer.error);
    return;
  }
  count(`${kind} answered`);
  const subject = answer.headers["x-subject"];
  if (subject !== undefined && !subject.startsWith(api.subject))
    fault("IDENTITY", `${kind} ${api.path}${question.path} was seen as ${subject}`);
  if (!question.good) return;
  if (answer.status !== question.status)
    fault(`${kind} ${api.path}${question.path}`, `status ${answer.status} ${answer.text ?? ""}`);
  else if (subject === undefined)
    fault(`${kind} ${api.path}${question.path}`, "the answer is not the backend's");
  const length = question.length ?? (question.body && question.path === "/mirror"
    ? question.body : undefined);
  if (length !== undefined && answer.length !== length)
    fault(`${kind} ${api.path}${question.path}`, `${answer.length} bytes instead of ${length}`);
}

const piece = Buffer.alloc(16 * KB, "x");

// Writes `count` bytes with back-pressure, also behind an early answer, until the stream has gone.
async function upload(stream, bytes) {
  for (let left = bytes; left > 0 && !stream.destroyed; left -= piece.length) {
    if (!stream.write(left < piece.length ? piece.subarray(0, left) : piece))
      await new Promise((done) => {
        const go = () => { stream.off("drain", go); stream.off("close", go); done(); };
        stream.on("drain", go).on("close", go);
      });
  }
  if (!stream.destroyed) stream.end();
}

function read(stream, question, result, finish) {
  const slow = random(20) === 0;
  result.length = 0;
  stream.on("data", (data) => {
    result.length += data.length;
    if (result.length < 2000 && result.status >= 500) result.text = data.toString();
    if (slow && random(10) === 0) { stream.pause(); setTimeout(() => stream.resume(), 20); }
  });
  stream.on("end", () => finish());
}

function h1(kind, agent, base, api, question) {
  return new Promise((go) => {
    const result = {};
    let open = true;
    const finish = (error) => {
      if (!open) return;
      open = false;
      if (error) result.error = error;
      go(result);
    };
    const client = base.protocol === "https:" ? https : http;
    const request = client.request({
      host: base.hostname, port: base.port, agent, ca, path: api.path + question.path,
      method: question.body ? "POST" : "GET", servername: "localhost" }, (response) => {
      result.status = response.statusCode;
      result.headers = response.headers;
      response.on("error", (error) => finish(error.message));
      response.on("aborted", () => finish("cut"));
      read(response, question, result, finish);
    });
    request.on("error", (error) => finish(error.message));
    // With an answer, its own end tells: Node closes the request before a paused answer is read.
    request.on("close", () => setImmediate(() => {
      if (result.status === undefined) finish("closed without an answer");
    }));
    if (question.leaves)
      setTimeout(() => { request.destroy(); finish("left"); }, random(100));
    if (question.body) upload(request, question.body);
    else request.end();
  });
}

class Sessions { // one kept HTTP/2 connection; a new one when it has gone
  constructor(base) { this.base = base; }

  get() {
    if (!this.session || this.session.closed || this.session.destroyed) {
      this.session = http2.connect(this.base, { ca, servername: "localhost" });
      this.session.on("error", () => {});
      this.session.on("goaway", () => count("goaway seen"));
    }
    return this.session;
  }

  close() { this.session?.close(); }
}

function h2(kind, sessions, base, api, question) {
  return new Promise((go) => {
    const result = { headers: {} };
    let open = true;
    let over = false;
    const finish = (error) => {
      if (!open) return;
      open = false;
      if (error) result.error = error;
      go(result);
    };
    let stream;
    try {
      stream = sessions.get().request({ ":path": api.path + question.path,
        ":method": question.body ? "POST" : "GET" }, { endStream: !question.body });
    } catch (error) { finish(error.message); return; }
    stream.on("response", (headers) => {
      result.status = headers[":status"];
      result.headers = headers;
    });
    read(stream, question, result, () => { over = true; });
    stream.on("error", (error) => finish(error.message));
    stream.on("close", () => finish(over && stream.rstCode === 0 && result.status
      ? undefined : `stream closed with ${stream.rstCode}`));
    if (question.leaves)
      setTimeout(() => { stream.close(http2.constants.NGHTTP2_CANCEL); finish("left"); },
        random(100));
    if (question.body) upload(stream, question.body);
  });
}

function socket(kind, base, api) {
  return new Promise((go) => {
    const messages = 1 + random(10);
    const leaves = random(5) === 0;
    const ends = pick(["close", "terminate", "ours", "ours"]);
    const url = `${base.protocol === "https:" ? "wss" : "ws"}://${base.host}${api.path}/socket`;
    const ws = new WebSocket(url, { ca, servername: "localhost", handshakeTimeout: 20000 });
    let received = 0;
    const text = "m".repeat(1 + random(20000));
    ws.on("error", (error) => fault(`${kind} ${api.path}`, error.message));
    ws.on("message", (data) => {
      if (received === 0) {
        const subject = JSON.parse(data.toString()).subject;
        if (!subject.startsWith(api.subject))
          fault("IDENTITY", `${kind} ${api.path} was seen as ${subject}`);
      } else if (data.toString() !== text) fault(`${kind} ${api.path}`, "another message");
      received++;
      if (received <= messages) ws.send(text);
      else if (leaves) ws._socket.destroy();
      else if (ends === "ours") ws.close(1000);
      else ws.send(ends);
    });
    ws.on("close", () => {
      if (received <= messages) fault(`${kind} ${api.path}`, `closed after ${received} messages`);
      count(`${kind} ${leaves ? "left" : ends}`);
      go();
    });
  });
}

// Bytes that end anywhere, and heads that never do.
function fragment(base, api) {
  return new Promise((go) => {
    const whole = `POST ${api.path}/mirror HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello`;
    const client = net.connect(base.port, base.hostname);
    client.on("error", () => {});
    client.on("close", go);
    client.on("data", () => {});
    client.write(whole.slice(0, random(whole.length + 1)));
    setTimeout(() => (random(2) ? client.destroy() : client.resetAndDestroy()), random(50));
    count("fragment");
  });
}

async function worker() {
  const agents = { h1: new http.Agent({ keepAlive: true, maxSockets: 4 }),
    h1s: new https.Agent({ keepAlive: true, maxSockets: 4 }) };
  const h2c = new Sessions(plain.origin);
  const h2s = new Sessions(secure.origin);
  while (Date.now() < end) {
    const kind = pick(options.protocols);
    const api = pick(options.apis);
    const question = pick(questions);
    if (kind === "ws" || kind === "wss") {
      if (api.sockets) await socket(kind, kind === "ws" ? plain : secure, api);
    } else if (kind === "fragment") {
      await fragment(plain, api);
    } else {
      const many = kind.startsWith("h2") ? 1 + random(6) : 1;
      const base = kind === "h1" || kind === "h2c" ? plain : secure;
      await Promise.all(Array.from({ length: many }, async () => {
        const mine = many > 1 ? pick(questions) : question;
        const to = many > 1 ? pick(options.apis) : api;
        const what = `${kind} ${to.path}${mine.path}`;
        pending.add(what);
        const answer = kind.startsWith("h2")
          ? await h2(kind, kind === "h2" ? h2s : h2c, base, to, mine)
          : await h1(kind, random(10) ? agents[kind] : false, base, to, mine);
        pending.delete(what);
        check(kind, to, mine, answer);
      }));
    }
    if (random(50) === 0) await later(random(200));
  }
  agents.h1.destroy();
  agents.h1s.destroy();
  h2c.close();
  h2s.close();
}

process.on("uncaughtException", (error) => fault("exception", error.stack));
await Promise.race([
  Promise.all(Array.from({ length: options.clients }, worker)),
  later(options.seconds * 1000 + 30000).then(
    () => fault("end", `clients that never ended: ${[...pending].join(", ")}`)),
]);
console.log(JSON.stringify({ done, wrong, crossed }));
process.exit(0);
