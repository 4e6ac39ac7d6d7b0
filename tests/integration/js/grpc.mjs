// SPDX-License-Identifier: Apache-2.0
// gRPC by @grpc/grpc-js, with a codec of its own (bytes as they are), so that no .proto is needed.
//   node grpc.mjs '{"serve":true,"cert":…,"key":…,"clientCa":…}'   a server; prints its port
//   node grpc.mjs '{"target":"localhost:1","ca":…,"path":"/api/test.Echo","calls":[…]}'   a client
import fs from 'node:fs';
import grpc from '@grpc/grpc-js';

const options = JSON.parse(process.argv[2]);
const prefix = options.path ?? '/test.Echo';
const codec = (name, requestStream, responseStream) => ({
    path: `${prefix}/${name}`, requestStream, responseStream,
    requestSerialize: (bytes) => bytes, requestDeserialize: (bytes) => bytes,
    responseSerialize: (bytes) => bytes, responseDeserialize: (bytes) => bytes,
});
const service = {
    Unary: codec('Unary', false, false),
    Fail: codec('Fail', false, false),
    Hang: codec('Hang', false, false),
    Collect: codec('Collect', true, false),
    Burst: codec('Burst', false, true),
    Chat: codec('Chat', true, true),
};

function peerName(call) {
    return call.getAuthContext?.()?.sslPeerCertificate?.subject?.CN ?? '';
}

const cancelled = [];
const handlers = {
    Unary(call, done) {
        const trailers = new grpc.Metadata();
        trailers.set('x-subject', peerName(call));
        trailers.set('x-cancelled', String(cancelled.length));
        call.sendMetadata(new grpc.Metadata());
        done(null, call.request, trailers);
    },
    Fail(call, done) { // trailers only: no message was sent
        const trailers = new grpc.Metadata();
        trailers.set('x-why', 'on purpose');
        done({code: grpc.status.FAILED_PRECONDITION, details: 'not now', metadata: trailers});
    },
    Hang(call) { call.on('cancelled', () => cancelled.push('Hang')); },
    Collect(call, done) {
        let bytes = 0;
        call.on('data', (piece) => { bytes += piece.length; });
        call.on('end', () => done(null, Buffer.from(String(bytes))));
    },
    Burst(call) {
        const [count, size] = call.request.toString().split(' ').map(Number);
        let sent = 0;
        const more = () => {
            while (sent < count) {
                sent++;
                if (!call.write(Buffer.alloc(size, sent % 251))) {
                    call.once('drain', more);
                    return;
                }
            }
            call.end();
        };
        call.on('cancelled', () => cancelled.push('Burst'));
        more();
    },
    Chat(call) {
        call.on('data', (piece) => call.write(piece));
        call.on('end', () => call.end());
        call.on('cancelled', () => cancelled.push('Chat'));
    },
};

function serve() {
    const server = new grpc.Server();
    server.addService(service, handlers);
    const credentials = options.cert
        ? grpc.ServerCredentials.createSsl(
            fs.readFileSync(options.clientCa),
            [{cert_chain: fs.readFileSync(options.cert), private_key: fs.readFileSync(options.key)}],
            true)
        : grpc.ServerCredentials.createInsecure();
    server.bindAsync('127.0.0.1:0', credentials, (error, port) => {
        if (error)
            throw error;
        console.log(port);
    });
    process.stdin.resume();
    process.stdin.on('end', () => process.exit(0));
}

// --- the client: each call resolves to what it saw ---

const make = {
    unary(client, call, resolve) {
        const metadata = new grpc.Metadata();
        if (call.metadataBytes)
            metadata.set('x-large', 'm'.repeat(call.metadataBytes));
        const extra = call.deadlineMs ? {deadline: Date.now() + call.deadlineMs} : {};
        const seen = {};
        const body = Buffer.from(call.body ?? 'b'.repeat(call.size ?? 0));
        const running = client[call.method](body, metadata, extra,
            (error, value) => {
                seen.code = error ? error.code : 0;
                seen.details = error?.details;
                seen.body = value?.toString();
                seen.why = error?.metadata?.get('x-why')[0];
            });
        running.on('status', (status) => {
            seen.trailers = status.metadata.getMap();
            resolve(seen);
        });
        if (call.cancelMs)
            setTimeout(() => running.cancel(), call.cancelMs);
    },
    collect(client, call, resolve) {
        const running = client.Collect((error, value) => {
            resolve({code: error ? error.code : 0, details: error?.details,
                body: value?.toString()});
        });
        const block = Buffer.alloc(call.size, 'c');
        let sent = 0;
        const more = () => {
            while (sent < call.count) {
                sent++;
                if (!running.write(block)) {
                    running.once('drain', more);
                    return;
                }
            }
            running.end();
        };
        more();
    },
    open(client, call, resolve) { // one message, and no end
        const running = client.Collect((error) => resolve({code: error?.code, details: error?.details}));
        running.write(Buffer.from('one'));
    },
    burst(client, call, resolve) {
        const running = client.Burst(Buffer.from(`${call.count} ${call.size}`));
        const seen = {messages: 0, bytes: 0};
        running.on('data', (piece) => {
            seen.messages++;
            seen.bytes += piece.length;
            if (call.cancelAfter === seen.messages)
                running.cancel();
        });
        running.on('error', () => {});
        running.on('status', (status) => resolve({...seen, code: status.code}));
    },
    chat(client, call, resolve) { // each message waits for the echo of the one before
        const running = client.Chat();
        let turn = 0;
        const next = () => running.write(Buffer.from(`message ${turn}`));
        running.on('data', (piece) => {
            if (piece.toString() !== `message ${turn}`)
                throw new Error(`out of order: ${piece}`);
            turn++;
            if (turn === call.count)
                running.end();
            else
                next();
        });
        running.on('error', () => {});
        running.on('status', (status) => resolve({turns: turn, code: status.code}));
        next();
    },
};

async function ask() {
    const Client = grpc.makeGenericClientConstructor(service, 'Echo');
    const credentials = options.ca ? grpc.credentials.createSsl(fs.readFileSync(options.ca))
        : grpc.credentials.createInsecure();
    const client = new Client(options.target, credentials,
        {'grpc.max_receive_message_length': -1});
    const seen = await Promise.all(options.calls.map(
        (call) => new Promise((resolve) => { make[call.kind](client, call, resolve); })));
    client.close();
    console.log(JSON.stringify(seen));
}

if (options.serve)
    serve();
else
    await ask();
