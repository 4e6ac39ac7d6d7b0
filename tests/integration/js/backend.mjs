// SPDX-License-Identifier: Apache-2.0
//
// A backend that does what backends do, well and badly, on three listeners: HTTPS (HTTP/1.1),
// HTTPS (HTTP/2 and HTTP/1.1 by ALPN) and plain HTTP. The HTTPS ones demand a client certificate.
//     node backend.mjs '{"cert": "...pem", "key": "...pem", "ca": "...pem"}'
// prints {"https": port, "h2": port, "http": port} and ends when its standard input does.
import fs from "node:fs";
import http from "node:http";
import http2 from "node:http2";
import https from "node:https";
import { WebSocket, WebSocketServer } from "ws";

const options = JSON.parse(process.argv[2]);
const tls = {
  cert: fs.readFileSync(options.cert), key: fs.readFileSync(options.key),
  ca: fs.readFileSync(options.ca), requestCert: true, rejectUnauthorized: true,
};
const MB = 1 << 20;
const block = Buffer.alloc(65536, "0123456789abcdef");

// The CN of the client's certificate.
function subject(request) {
  const socket = request.stream?.session?.socket ?? request.socket;
  return socket.getPeerCertificate?.()?.subject?.CN ?? "";
}

function write(response, piece) {
  return response.write(piece)
    ? undefined : new Promise((done) => {
      const go = () => { response.off("drain", go); response.off("close", go); done(); };
      response.on("drain", go).on("close", go);
    });
}

async function bytes(response, count) {
  for (let left = count; left > 0 && !response.destroyed && !response.writableEnded;
    left -= block.length)
    await write(response, left < block.length ? block.subarray(0, left) : block);
  response.end();
}

// Not within the parser's own call: Node has been seen to corrupt its heap there.
function abort(request) {
  setImmediate(() => {
    if (request.stream) request.stream.close(http2.constants.NGHTTP2_INTERNAL_ERROR);
    else if (request.socket.encrypted) request.socket.destroy(); // without a close_notify
    else if (!request.socket.destroyed) request.socket.resetAndDestroy();
  });
}

const later = (ms) => new Promise((done) => setTimeout(done, ms).unref());

const routes = {
  // What arrived: method, length, subject, version, headers.
  "/echo": async (request, response) => {
    let count = 0;
    for await (const piece of request) count += piece.length;
    const body = JSON.stringify({
      method: request.method, url: request.url, bytes: count, subject: subject(request),
      version: request.httpVersion, headers: request.headers, trailers: request.trailers });
    response.writeHead(200, { "content-type": "application/json", "x-version": request.httpVersion,
      "x-subject": subject(request) });
    response.end(request.method === "HEAD" ? undefined : body);
  },
  // The body back as it comes, with its trailers.
  "/mirror": async (request, response) => {
    response.writeHead(200, { "x-subject": subject(request), trailer: "x-sum" });
    let count = 0;
    for await (const piece of request) { count += piece.length; await write(response, piece); }
    response.addTrailers({ "x-sum": `${count}` });
    response.end();
  },
  "/bytes": (request, response, query) => {
    const count = Number(query.get("n") ?? MB);
    request.resume();
    const headers = { "x-subject": subject(request) };
    if (!query.has("chunked")) headers["content-length"] = count;
    response.writeHead(200, headers);
    return bytes(response, count);
  },
  "/status": (request, response, query) => {
    request.resume();
    response.writeHead(Number(query.get("code")), { "x-subject": subject(request) });
    response.end();
  },
  "/trailers": (request, response) => {
    request.resume();
    response.writeHead(200, { "x-subject": subject(request), trailer: "x-sum" });
    response.write("body");
    response.addTrailers({ "x-sum": "4" });
    response.end();
  },
  "/hints": (request, response) => {
    request.resume();
    response.writeEarlyHints({ link: "</style.css>; rel=preload" });
    setTimeout(() => { response.writeHead(200, { "x-subject": subject(request) });
      response.end("hints"); }, 5);
  },
  // An answer while the body is still coming.
  "/early": (request, response) => {
    response.writeHead(413, { "x-subject": subject(request), "content-type": "text/plain" });
    response.end("too large");
    request.resume();
  },
  "/slow": async (request, response) => {
    request.resume();
    response.writeHead(200, { "x-subject": subject(request) });
    for (let i = 0; i < 10 && !response.destroyed; i++) {
      await write(response, `${i}`);
      await later(20);
    }
    response.end();
  },
  "/late": async (request, response, query) => {
    request.resume();
    await later(Number(query.get("ms") ?? 100));
    if (response.destroyed) return;
    response.writeHead(200, { "x-subject": subject(request) });
    response.end("late");
  },
  "/reset": abort,
  "/reset-late": async (request, response) => {
    request.resume();
    await later(20);
    abort(request);
  },
  "/reset-body": async (request, response) => {
    request.resume();
    response.writeHead(200, { "content-length": MB });
    response.write(block);
    await later(5);
    abort(request);
  },
  "/close": (request, response) => {
    request.resume();
    if (!request.stream) response.setHeader("connection", "close");
    response.writeHead(200, { "x-subject": subject(request) });
    response.end("closed");
  },
  "/goaway": (request, response) => {
    request.resume();
    if (!request.stream) response.setHeader("connection", "close"); // unsaid, it may cross a POST
    response.writeHead(200, { "x-subject": subject(request) });
    response.end("going");
    // Node resets streams that cross its GOAWAY, instead of leaving them unprocessed: a POST is lost.
    if (!request.stream) request.socket.end();
  },
};

function handle(request, response) {
  const url = new URL(request.url, "http://x");
  const route = routes[url.pathname];
  request.on("error", () => {});
  response.on("error", () => {});
  if (route) {
    Promise.resolve(route(request, response, url.searchParams)).catch(() => {});
  } else {
    request.resume();
    response.writeHead(404, { "x-subject": subject(request) });
    response.end("no such thing");
  }
}

// WebSocket: the first message out names the certificate; then what comes goes back.
function talk(socket, request) {
  socket.on("error", () => {});
  socket.send(JSON.stringify({ subject: subject(request), url: request.url }));
  socket.on("message", (data, isBinary) => {
    const text = isBinary ? "" : data.toString();
    if (text === "terminate") socket.terminate();
    else if (text === "close") socket.close(4000, "asked for");
    else socket.send(data, { binary: isBinary });
  });
}

function withWebSockets(server) {
  new WebSocketServer({ server, maxPayload: 16 * MB }).on("connection", talk);
}

// Over HTTP/2 (RFC 8441) a stream is the socket.
function connect(request, response) {
  const { stream } = request;
  if (request.headers[":protocol"] !== "websocket") {
    response.writeHead(405).end();
    return;
  }
  stream.on("error", () => {});
  stream.respond({ ":status": 200 });
  stream.setNoDelay = () => {};
  const socket = new WebSocket(null, undefined, { autoPong: true, closeTimeout: 5000 });
  socket._isServer = true;
  socket.setSocket(stream, Buffer.alloc(0), {
    allowSynchronousEvents: true, maxPayload: 16 * MB, skipUTF8Validation: false });
  talk(socket, request);
}

const servers = {
  https: https.createServer(tls, handle),
  h2: http2.createSecureServer(
    { ...tls, allowHTTP1: true, settings: { enableConnectProtocol: true } }, handle),
  http: http.createServer(handle),
  h2c: http2.createServer(handle),
};
for (const name of ["https", "http"]) withWebSockets(servers[name]);
servers.h2.on("connect", connect);
const ports = {};
for (const [name, server] of Object.entries(servers)) {
  server.keepAliveTimeout = 60000;
  server.requestTimeout = 0;
  server.on("clientError", (_, socket) => socket.destroy());
  server.on("sessionError", () => {});
  server.on("tlsClientError", () => {});
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  ports[name] = server.address().port;
}
process.on("uncaughtException", (error) => process.stderr.write(`backend: ${error.stack}\n`));
console.log(JSON.stringify(ports));
process.stdin.resume();
process.stdin.on("end", () => process.exit(0));
