// SPDX-License-Identifier: Apache-2.0
//
// An HTTPS backend over TLS 1.2 that asks for a client certificate when it has seen the request, by
// renegotiation, as IIS does.
//     node late_backend.mjs '{"cert": "...pem", "key": "...pem", "ca": "...pem"}'
// prints {"port": number} and ends when its standard input does. /open answers at once; all else
// renegotiates first and answers the certificate's common name and how often it has asked.
import { constants } from "node:crypto";
import fs from "node:fs";
import https from "node:https";

const options = JSON.parse(process.argv[2]);
const server = https.createServer({
  cert: fs.readFileSync(options.cert), key: fs.readFileSync(options.key), ca: fs.readFileSync(options.ca),
  maxVersion: "TLSv1.2", requestCert: false, rejectUnauthorized: false,
  secureOptions: constants.SSL_OP_NO_SESSION_RESUMPTION_ON_RENEGOTIATION, // else nothing is asked for
}, (request, response) => {
  const socket = request.socket;
  const answer = () => {
    response.setHeader("content-type", "application/json");
    response.end(JSON.stringify({
      subject: socket.getPeerCertificate()?.subject?.CN ?? "", asked: socket.asked ?? 0,
      port: socket.remotePort }));
  };
  if (request.url.endsWith("/open")) return answer();
  socket.asked = (socket.asked ?? 0) + 1;
  socket.renegotiate({ requestCert: true, rejectUnauthorized: false }, (error) => {
    if (!error) answer();
  });
});
server.on("connection", (socket) => socket.on("error", () => {}));
server.on("secureConnection", (socket) => socket.on("error", () => {}));
server.on("tlsClientError", () => {});
server.listen(0, "127.0.0.1", () => console.log(JSON.stringify({ port: server.address().port })));
process.stdin.on("end", () => process.exit(0)).resume();
