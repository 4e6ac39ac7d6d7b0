// SPDX-License-Identifier: Apache-2.0
//
// Both ends of a WebSocket.
//     node websocket.mjs serve '{"cert": "...pem", "key": "...pem", "ca": "...pem"}'
// demands a client certificate, prints {"port": N}, echoes, and ends with its standard input;
//     node websocket.mjs talk '{"url": "wss://...", "ca": "...pem"}'
// prints what it found.
import fs from "node:fs";
import https from "node:https";
import { WebSocket, WebSocketServer } from "ws";

const options = JSON.parse(process.argv[3]);
const once = (emitter, event) => new Promise((done, failed) => {
  emitter.once(event, (...values) => done(values));
  emitter.once("error", failed);
});

async function serve() {
  const server = https.createServer({
    cert: fs.readFileSync(options.cert), key: fs.readFileSync(options.key),
    ca: fs.readFileSync(options.ca), requestCert: true, rejectUnauthorized: true });
  const sockets = new WebSocketServer({ server, perMessageDeflate: true });
  sockets.on("connection", (socket, request) => {
    socket.send(request.socket.getPeerCertificate().subject.CN);
    socket.on("message", (data, isBinary) => socket.send(data, { binary: isBinary }));
  });
  server.listen(0, "127.0.0.1", () => console.log(JSON.stringify({ port: server.address().port })));
  process.stdin.on("end", () => process.exit(0)).resume();
}

async function talk() {
  const socket = new WebSocket(options.url, ["chat"], {
    ca: fs.readFileSync(options.ca), perMessageDeflate: true });
  const messages = [];
  let wake = () => {};
  socket.on("message", (data) => { messages.push(data); wake(); });
  const next = async () => {
    while (messages.length === 0) await new Promise((done) => { wake = done; });
    return messages.shift();
  };
  await once(socket, "open");
  const told = { protocol: socket.protocol, subject: (await next()).toString(), echoed: 0 };
  const block = Buffer.alloc(1 << 20);
  for (let i = 0; i < block.length; i += 4) block.writeUInt32LE((i * 2654435761) >>> 0, i);
  for (let i = 0; i < 3; i++) socket.send(block);
  for (let i = 0; i < 3; i++) {
    const echoed = await next();
    if (!block.equals(echoed)) throw new Error("another message came back");
    told.echoed += echoed.length;
  }
  const pong = once(socket, "pong");
  socket.ping("are you there");
  told.pong = (await pong)[0].toString() === "are you there";
  const closed = once(socket, "close");
  socket.close(4001, "enough");
  told.code = (await closed)[0];
  console.log(JSON.stringify(told));
}

await (process.argv[2] === "serve" ? serve() : talk());
