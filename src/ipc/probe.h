/* SPDX-License-Identifier: Apache-2.0
 *
 * Probes: control asks the gateway to shake hands with a backend as a request would, without
 * sending one (but see "ask"), and to tell all about it. One question on a connection (service
 * "gateway.probe"), one answer; both are a JSON object.
 *
 *   question  host, port · tls? (of a backend) · http "1" | "2or1" | "2" · certificates?
 *             [{name, generation, keyId, chain [base64 DER]}] · timeoutMs · lateMs · ask (true: one
 *             harmless request may be sent, whose answer ends the probe; the answer has no
 * serverChain, acceptableIssuers and signatureSchemes then) · plain (true: TCP alone) or
 * lastFailureOf (a backend's name in lower case, or "/apis/echo"): nothing is tried answer outcome
 * "accepted" | "failed" · cause (upstream/failure.h), detail, sentence · stage · addresses
 * [{address, cause}] · dnsMs, connectMs, handshakeMs · tlsVersion, cipher, alpn · alert? {number,
 * name, late} · answerStatus?, answerBlames? (what was asked was answered with that status; an
 * error that speaks of a certificate) · endedEarly (it hung up by itself) · certificateRequested,
 * certificateSent · acceptableIssuers, acceptableIssuerCount, signatureSchemes · serverChain
 * [{subject, issuer, thumbprint, notBefore, notAfter, spkiSha256, der}] · verifyError, verifyDepth
 *
 * The same connection carries the question of what is used (gateway/uses_answer.h).
 */
#pragma once

#include "base/buf.h"
#include "ipc/broker.h"

#define PN_SERVICE_PROBE "gateway.probe"

enum pn_probe_frame {
    PN_PROBE_ASK = 0x380, /* bytes json */
    PN_PROBE_ANSWER,      /* bytes json */
};

#define PN_PROBE_BYTES_MAX      (1024u * 1024) /* of a question or an answer */
#define PN_PROBES_MAX           32             /* at a time, of one gateway */
#define PN_PROBE_TIMEOUT_MS     10000          /* default of timeoutMs: the whole probe */
#define PN_PROBE_TIMEOUT_MAX_MS 60000
#define PN_PROBE_LATE_MS        300 /* default of lateMs: a refusal of TLS 1.3 comes so late */
#define PN_PROBE_LATE_MAX_MS    5000

/** Asks the gateway: `question` is the JSON; the answer's is appended to `answer`. Blocks up to
 * `timeout_ms`, which should be longer than the question's. PN_UNAVAILABLE: the gateway is away.
 * PN_TIMEOUT. Any thread. */
enum pn_rc pn_probe_ask(struct pn_broker *broker, struct pn_slice question, int timeout_ms,
                        struct pn_buf *answer, struct pn_error *err) PN_MUST_USE;
