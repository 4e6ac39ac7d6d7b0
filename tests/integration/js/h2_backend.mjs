// SPDX-License-Identifier: Apache-2.0
// An HTTP/2 backend: node h2_backend.mjs '{"cert":…,"key":…,"clientCa":…,"streams":N}'
// Without a certificate it speaks h2c. It prints its port, and ends with its standard input.
import crypto from 'node:crypto';
import fs from 'node:fs';
import http2 from 'node:http2';

const options = JSON.parse(process.argv[2] ?? '{}');
const sessions = [];
const refused = new Set();
let held = [];

const tls = options.cert && {
    cert: fs.readFileSync(options.cert),
    key: fs.readFileSync(options.key),
    ca: options.clientCa && fs.readFileSync(options.clientCa),
    requestCert: Boolean(options.clientCa),
    rejectUnauthorized: Boolean(options.clientCa),
};
// Many streams that nobody reads: Node would end them by its own bound of 10 MB.
const settings = {maxSessionMemory: 1000,
    ...(options.streams && {settings: {maxConcurrentStreams: options.streams}})};
const server = tls ? http2.createSecureServer({...tls, ...settings})
    : http2.createServer(settings);

server.on('session', (session) => {
    const socket = session.socket;
    const peer = tls ? socket.getPeerCertificate() : {};
    const entry = {
        id: sessions.length, subject: peer.subject?.CN ?? '', sha1: peer.fingerprint ?? '',
        streams: 0, open: 0, most: 0, resets: [], ended: false};
    sessions.push(entry);
    session.entry = entry;
    session.on('close', () => { entry.ended = true; });
    session.on('error', () => {});
});

function json(stream, value, status = 200) {
    const body = JSON.stringify(value);
    stream.respond({':status': status, 'content-type': 'application/json',
        'content-length': Buffer.byteLength(body)});
    stream.end(body);
}

function echo(stream, headers, entry) {
    const pieces = [];
    stream.on('data', (piece) => pieces.push(piece));
    stream.on('end', () => {
        json(stream, {connection: entry.id, subject: entry.subject, sha1: entry.sha1,
            stream: stream.id, body: Buffer.concat(pieces).length, headers});
    });
}

const routes = {
    hold(stream, headers, entry) { held.push(() => echo(stream, headers, entry)); },
    release(stream) {
        const count = held.length;
        for (const go of held) go();
        held = [];
        json(stream, count);
    },
    stats(stream) { json(stream, sessions.map(({...entry}) => entry)); },
    trailers(stream, headers) {
        stream.respond({':status': 200}, {waitForTrailers: true});
        stream.on('wantTrailers', () => stream.sendTrailers({'x-sum': headers.te ?? 'no te'}));
        stream.end('body');
    },
    'sent-trailers'(stream) {
        let seen = {};
        stream.on('trailers', (fields) => { seen = {...fields}; });
        stream.on('end', () => json(stream, seen));
        stream.resume();
    },
    hints(stream) {
        stream.additionalHeaders({':status': 103, link: '</a>'});
        json(stream, 'after hints');
    },
    big(stream, headers, entry, query) {
        let left = Number(query.get('bytes'));
        const block = Buffer.alloc(65536, 'x');
        stream.respond({':status': 200, 'content-length': left});
        const more = () => {
            while (left > 0) {
                const piece = left < block.length ? block.subarray(0, left) : block;
                left -= piece.length;
                if (!stream.write(piece)) {
                    stream.once('drain', more);
                    return;
                }
            }
            stream.end();
        };
        more();
    },
    digest(stream) {
        const sha = crypto.createHash('sha256');
        stream.on('data', (piece) => sha.update(piece));
        stream.on('end', () => json(stream, sha.digest('hex')));
    },
    early(stream) { json(stream, 'early', 403); },
    reset(stream, headers, entry, query) { stream.close(Number(query.get('code'))); },
    cut(stream, headers, entry, query) {
        stream.respond({':status': 200});
        stream.write('some', () => stream.close(Number(query.get('code'))));
    },
    refuse(stream, headers, entry, query) {
        const id = query.get('id');
        if (refused.has(id)) {
            echo(stream, headers, entry);
            return;
        }
        refused.add(id);
        stream.close(http2.constants.NGHTTP2_REFUSED_STREAM);
    },
    goaway(stream, headers, entry) {
        stream.session.goaway(0, stream.id);
        setTimeout(() => echo(stream, headers, entry), 200);
    },
    die(stream) { stream.session.destroy(); },
    ping(stream) { stream.session.ping(() => json(stream, 'pong')); },
    bidi(stream) { // each piece comes back at once, and the sum as a trailer
        let bytes = 0;
        stream.respond({':status': 200}, {waitForTrailers: true});
        stream.on('data', (piece) => { bytes += piece.length; stream.write(piece); });
        stream.on('end', () => stream.end());
        stream.on('wantTrailers', () => stream.sendTrailers({'x-bytes': String(bytes)}));
    },
};

server.on('stream', (stream, headers) => {
    const entry = stream.session.entry;
    const url = new URL(headers[':path'], 'http://x');
    const route = routes[url.pathname.split('/').pop()] ?? echo;
    entry.streams++;
    entry.open++;
    entry.most = Math.max(entry.most, entry.open);
    stream.on('error', () => {});
    stream.on('close', () => {
        entry.open--;
        if (stream.rstCode) entry.resets.push(stream.rstCode);
    });
    route(stream, headers, entry, url.searchParams);
});
server.listen(0, '127.0.0.1', () => console.log(server.address().port));
process.stdin.resume();
process.stdin.on('end', () => process.exit(0));
