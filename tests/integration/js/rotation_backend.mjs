// SPDX-License-Identifier: Apache-2.0
//
// An HTTPS backend (HTTP/1.1 and HTTP/2) that demands a client certificate and keeps a book of every
// connection: which certificate, when it was opened, when its first and last request came, when it
// was closed, and whether its TLS session was resumed.
//     node rotation_backend.mjs '{"cert": "...pem", "key": "...pem", "ca": "...pem"}'
// prints {"port": number} and ends when its standard input does. GET /book answers the book (it needs
// a certificate as everything does); GET /slow takes "ms" milliseconds; all else answers the SHA-1 of
// the certificate.
import fs from "node:fs";
import http2 from "node:http2";

const options = JSON.parse(process.argv[2]);
const server = http2.createSecureServer({
  cert: fs.readFileSync(options.cert), key: fs.readFileSync(options.key),
  ca: fs.readFileSync(options.ca), requestCert: true, rejectUnauthorized: true, allowHTTP1: true,
});
const book = [];

const sha1 = (socket) => socket.getPeerCertificate().fingerprint?.replaceAll(":", "") ?? "";

server.on("secureConnection", (socket) => {
  const entry = { sha1: sha1(socket), opened: Date.now(), resumed: socket.isSessionReused(),
    first: 0, last: 0, requests: 0, closed: 0 };
  book.push(entry);
  socket.entry = entry;
  socket.on("error", () => {});
  socket.on("close", () => { entry.closed = Date.now(); });
});
server.on("request", (request, response) => {
  const entry = (request.stream?.session?.socket ?? request.socket).entry;
  const url = new URL(request.url, "https://localhost");
  entry.last = Date.now();
  entry.first ||= entry.last;
  entry.requests++;
  request.resume();
  const answer = () => {
    if (response.destroyed) return;
    response.setHeader("content-type", "application/json");
    response.end(JSON.stringify(url.pathname === "/book" ? book : { sha1: entry.sha1 }));
  };
  if (url.pathname === "/slow") setTimeout(answer, Number(url.searchParams.get("ms")));
  else answer();
});
server.on("tlsClientError", () => {});
server.keepAliveTimeout = 120000;
server.listen(0, "127.0.0.1", () => console.log(JSON.stringify({ port: server.address().port })));
process.stdin.on("end", () => process.exit(0)).resume();
