// SPDX-License-Identifier: Apache-2.0
// A client's extended CONNECT over HTTP/2: says something, ends its half, prints what came.
import fs from 'node:fs';
import http2 from 'node:http2';

const options = JSON.parse(process.argv[2]);
const session = http2.connect(options.url, {ca: fs.readFileSync(options.ca)});
session.once('remoteSettings', () => {
    const stream = session.request({':method': 'CONNECT', ':protocol': 'websocket',
        ':path': options.path, 'sec-websocket-version': '13'}, {endStream: false});
    const pieces = [];
    let told;
    stream.on('response', (headers) => {
        told = headers;
        stream.end('over both');
    });
    stream.on('data', (piece) => pieces.push(piece));
    stream.on('end', () => {
        console.log(JSON.stringify({status: told[':status'], headers: told,
            text: Buffer.concat(pieces).toString()}));
        session.close();
    });
    stream.on('error', (error) => { console.error(error); process.exit(1); });
});
