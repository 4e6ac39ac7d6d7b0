// SPDX-License-Identifier: Apache-2.0
// A backend of WebSocket over HTTP/2 (RFC 8441):
//     node h2_websocket.mjs '{"cert":…,"key":…,"clientCa":…,"offers":true,"allowHTTP1":false}'
// The frames are those of `ws`. It says first who the client is and how it came, then echoes. It
// prints its port, and ends with its standard input.
import fs from 'node:fs';
import http2 from 'node:http2';
import { WebSocket, WebSocketServer } from 'ws';

const options = JSON.parse(process.argv[2] ?? '{}');
const settings = {enableConnectProtocol: options.offers ?? true};
const seen = {connects: 0, upgrades: 0, sessions: 0, requests: 0, resets: [], ended: 0, headers: {}};
const tls = options.cert && {
    cert: fs.readFileSync(options.cert),
    key: fs.readFileSync(options.key),
    ca: options.clientCa && fs.readFileSync(options.clientCa),
    requestCert: Boolean(options.clientCa),
    rejectUnauthorized: Boolean(options.clientCa),
    allowHTTP1: options.allowHTTP1 ?? false,
};
const server = tls ? http2.createSecureServer({...tls, settings}) : http2.createServer({settings});

function serve(socket, subject, way) {
    socket.send(JSON.stringify({subject, way}));
    socket.on('message', (data, isBinary) => socket.send(data, {binary: isBinary}));
    socket.on('error', () => {});
}

const subjectOf = (socket) => (tls && socket.getPeerCertificate().subject?.CN) || '';

server.on('session', (session) => {
    seen.sessions++;
    session.on('error', () => {});
});
server.on('stream', (stream, headers) => {
    stream.on('error', () => {});
    stream.on('close', () => { if (stream.rstCode) seen.resets.push(stream.rstCode); });
    if (headers[':method'] !== 'CONNECT') {
        if (headers[':path'].endsWith('/seen')) {
            stream.respond({':status': 200, 'content-type': 'application/json'});
            stream.end(JSON.stringify(seen));
            return;
        }
        seen.requests++;
        stream.respond({':status': 200});
        stream.end('not a socket');
        return;
    }
    seen.connects++;
    seen.headers = headers;
    if (headers[':path'].endsWith('/no')) {
        stream.respond({':status': 403, 'x-why': 'no'});
        stream.end('not you');
        return;
    }
    const fields = {':status': 200};
    if (headers['sec-websocket-protocol'])
        fields['sec-websocket-protocol'] = headers['sec-websocket-protocol'].split(',')[0].trim();
    stream.respond(fields);
    stream.on('end', () => { seen.ended++; });
    if (headers[':path'].endsWith('/raw')) {
        stream.on('data', (piece) => stream.write(piece));
        stream.on('end', () => stream.end('<end>'));
        return;
    }
    if (headers[':path'].endsWith('/cut')) {
        stream.write('some', () => stream.close(http2.constants.NGHTTP2_CANCEL));
        return;
    }
    if (headers[':path'].endsWith('/flood')) {
        const block = Buffer.alloc(65536, 'f');
        const more = () => { while (!stream.destroyed && stream.write(block)); };
        stream.on('drain', more);
        more();
        return;
    }
    stream.setNoDelay = () => {};
    const socket = new WebSocket(null, undefined, {autoPong: true, closeTimeout: 5000});
    socket._isServer = true;
    socket.setSocket(stream, Buffer.alloc(0), {
        allowSynchronousEvents: true, maxPayload: 1 << 26, skipUTF8Validation: false});
    serve(socket, subjectOf(stream.session.socket), 'connect');
});
if (tls?.allowHTTP1) {
    const sockets = new WebSocketServer({noServer: true});
    server.on('upgrade', (request, socket, head) => {
        seen.upgrades++;
        sockets.handleUpgrade(request, socket, head,
            (ws) => serve(ws, subjectOf(request.socket), 'upgrade'));
    });
}
server.listen(0, '127.0.0.1', () => console.log(server.address().port));
process.stdin.resume();
process.stdin.on('end', () => process.exit(0));
