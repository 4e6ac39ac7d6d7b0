// SPDX-License-Identifier: Apache-2.0
//
// A plain HTTP backend that ends idle connections after `timeoutMs`, as Node says in Keep-Alive.
//     node keep_alive.mjs '{"timeoutMs": 1000}'
// prints its port and ends when its standard input does. It answers the client's port.
import http from "node:http";

const options = JSON.parse(process.argv[2]);
const server = http.createServer((request, response) => {
  request.resume();
  request.on("end", () => response.end(`${request.socket.remotePort}`));
});
server.keepAliveTimeout = options.timeoutMs;
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
process.stdin.on("end", () => process.exit(0)).resume();
