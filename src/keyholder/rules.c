/* SPDX-License-Identifier: Apache-2.0
 *
 * The signing rules. No message fits two of them: TLS 1.3 begins with 0x20, a TLS 1.2 transcript
 * with 0x01, a JWS has only base64url characters and a dot; a certificate would begin with 0x30 and
 * fits none.
 */
#include "keyholder/rules.h"

#include <string.h>

#include "base/encode.h"
#include "base/json.h"
#include "ipc/protocol.h"

#define TLS13_PADDING    64u
#define JWS_HEADER_MAX   4096u
#define RANDOMS_LEN      64u /* client_random + server_random */
#define CURVE_TYPE_NAMED 3   /* RFC 8422 §5.4 */

static enum pn_rc denied(struct pn_error *err, enum pn_key_use use, const char *why)
{
    static const char *const what[] = {
        [PN_USE_CLIENT] = "a client's TLS handshake",
        [PN_USE_SERVER] = "a server's TLS handshake",
        [PN_USE_MANAGEMENT] = "a server's TLS handshake",
        [PN_USE_TOKEN] = "a token",
        [PN_USE_CA] = "certificates that the keyholder makes",
    };

    return pn_error_set(err, PN_DENIED, "use", "this key signs only %s: %s", what[use], why);
}

/* RFC 8446 §4.4.3: 64 spaces, the context string, NUL, the transcript's hash. */
static bool is_tls13(struct pn_slice message, struct pn_slice context)
{
    size_t head = TLS13_PADDING + context.len + 1;
    size_t hash_len;

    if (message.len <= head)
        return false;
    hash_len = message.len - head;
    if (hash_len != 32 && hash_len != 48 && hash_len != 64)
        return false;
    for (size_t i = 0; i < TLS13_PADDING; i++) {
        if (message.ptr[i] != ' ')
            return false;
    }
    return memcmp(message.ptr + TLS13_PADDING, context.ptr, context.len) == 0 &&
           message.ptr[head - 1] == '\0';
}

/* RFC 8446 §4.2.3: no PKCS#1 v1.5 and no SHA-1 in a TLS 1.3 handshake. */
static bool is_tls13_algorithm(enum pn_sign_algorithm algorithm)
{
    switch (algorithm) {
    case PN_SIGN_RSA_PSS_SHA256:
    case PN_SIGN_RSA_PSS_SHA384:
    case PN_SIGN_RSA_PSS_SHA512:
    case PN_SIGN_ECDSA_SHA256:
    case PN_SIGN_ECDSA_SHA384:
    case PN_SIGN_ECDSA_SHA512:
    case PN_SIGN_ED25519:
        return true;
    case PN_SIGN_RSA_PKCS1_SHA256:
    case PN_SIGN_RSA_PKCS1_SHA384:
    case PN_SIGN_RSA_PKCS1_SHA512:
    case PN_SIGN_RSA_PKCS1_SHA1:
    case PN_SIGN_ECDSA_SHA1:
        return false;
    }
    return false;
}

enum handshake {
    CLIENT_HELLO = 1,
    SERVER_HELLO = 2,
    CERTIFICATE = 11,
    SERVER_KEY_EXCHANGE = 12,
    CERTIFICATE_REQUEST = 13,
    SERVER_HELLO_DONE = 14,
    CLIENT_KEY_EXCHANGE = 16,
    CERTIFICATE_STATUS = 22,
};

/* RFC 5246 §7.3, as far as a client's CertificateVerify (§7.4.8): every message from ClientHello to
 * ClientKeyExchange, in this order. */
static const struct {
    enum handshake type;
    bool is_optional;
} tls12_order[] = {
    {CLIENT_HELLO, false},      {SERVER_HELLO, false},       {CERTIFICATE, true},
    {CERTIFICATE_STATUS, true}, {SERVER_KEY_EXCHANGE, true}, {CERTIFICATE_REQUEST, false},
    {SERVER_HELLO_DONE, false}, {CERTIFICATE, false},        {CLIENT_KEY_EXCHANGE, false},
};
#define TLS12_STEPS (sizeof(tls12_order) / sizeof(tls12_order[0]))

/* Takes one handshake message: type, u24 length, body. */
static bool take_handshake(struct pn_slice *rest, uint8_t *type, struct pn_slice *body)
{
    const uint8_t *at = (const uint8_t *)rest->ptr;
    size_t len;

    if (rest->len < 4)
        return false;
    len = (size_t)at[1] << 16 | (size_t)at[2] << 8 | at[3];
    if (rest->len - 4 < len)
        return false;
    *type = at[0];
    *body = pn_slice(at + 4, len);
    *rest = pn_slice_sub(*rest, 4 + len, rest->len);
    return true;
}

/* Both hellos begin with version (3.x), 32 random bytes, and a session id of at most 32. */
static bool is_hello(struct pn_slice body)
{
    return body.len > 2 + 32 + 1 && body.ptr[0] == 3 && (uint8_t)body.ptr[34] <= 32 &&
           body.len > (size_t)35 + (uint8_t)body.ptr[34];
}

static bool is_tls12_transcript(struct pn_slice message)
{
    size_t step = 0;

    while (message.len > 0) {
        struct pn_slice body;
        uint8_t type;

        if (!take_handshake(&message, &type, &body))
            return false;
        while (step < TLS12_STEPS && tls12_order[step].type != type &&
               tls12_order[step].is_optional)
            step++;
        if (step == TLS12_STEPS || tls12_order[step].type != type)
            return false;
        if ((type == CLIENT_HELLO || type == SERVER_HELLO) && !is_hello(body))
            return false;
        step++;
    }
    return step == TLS12_STEPS;
}

/* RFC 8422 §5.4: client_random, server_random, named curve, point. */
static bool is_ecdh_params(struct pn_slice message)
{
    const uint8_t *params = (const uint8_t *)message.ptr + RANDOMS_LEN;
    unsigned group;
    size_t point_len;

    if (message.len < RANDOMS_LEN + 4 || params[0] != CURVE_TYPE_NAMED)
        return false;
    group = (unsigned)params[1] << 8 | params[2];
    point_len = params[3];
    if (message.len != RANDOMS_LEN + 4 + point_len)
        return false;
    switch (group) {
    case 23: /* secp256r1 */
        return point_len == 65;
    case 24: /* secp384r1 */
        return point_len == 97;
    case 25: /* secp521r1 */
        return point_len == 133;
    case 29: /* x25519 */
        return point_len == 32;
    case 30: /* x448 */
        return point_len == 56;
    default:
        return false;
    }
}

static bool is_base64url(struct pn_slice text)
{
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];

        if (!((c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
              c == '-' || c == '_'))
            return false;
    }
    return text.len > 0;
}

/* RFC 7518 §3.1 */
static bool is_alg(const char *name, enum pn_sign_algorithm algorithm)
{
    static const struct {
        const char *name;
        enum pn_sign_algorithm algorithm;
    } algs[] = {
        {"RS256", PN_SIGN_RSA_PKCS1_SHA256}, {"RS384", PN_SIGN_RSA_PKCS1_SHA384},
        {"RS512", PN_SIGN_RSA_PKCS1_SHA512}, {"PS256", PN_SIGN_RSA_PSS_SHA256},
        {"PS384", PN_SIGN_RSA_PSS_SHA384},   {"PS512", PN_SIGN_RSA_PSS_SHA512},
        {"ES256", PN_SIGN_ECDSA_SHA256},     {"ES384", PN_SIGN_ECDSA_SHA384},
        {"ES512", PN_SIGN_ECDSA_SHA512},     {"EdDSA", PN_SIGN_ED25519},
    };

    for (size_t i = 0; i < sizeof(algs) / sizeof(algs[0]); i++) {
        if (name && strcmp(name, algs[i].name) == 0)
            return algorithm == algs[i].algorithm;
    }
    return false;
}

/* RFC 7515 §5.1: BASE64URL(header) '.' BASE64URL(payload), and the header names the algorithm. */
static enum pn_rc check_token(struct pn_slice message, enum pn_sign_algorithm algorithm,
                              struct pn_error *err)
{
    size_t dot = pn_slice_find(message, '.');
    struct pn_slice head = pn_slice_sub(message, 0, dot);
    struct pn_buf text;
    json_t *json = NULL;
    bool is_fine;

    if (dot >= message.len || !is_base64url(head) ||
        !is_base64url(pn_slice_sub(message, dot + 1, message.len)))
        return denied(err, PN_USE_TOKEN, "the message is not a JWS signing input");
    pn_buf_init(&text, JWS_HEADER_MAX);
    is_fine = pn_base64url_decode(head, &text) == PN_OK &&
              pn_json_parse(pn_buf_slice(&text), &json, NULL) == PN_OK && json_is_object(json) &&
              is_alg(pn_json_str(json, "alg"), algorithm);
    json_decref(json);
    pn_buf_fini(&text);
    if (!is_fine)
        return denied(err, PN_USE_TOKEN,
                      "the header is not JSON with the \"alg\" that is asked for");
    return PN_OK;
}

static enum pn_rc check_client(struct pn_slice message, enum pn_sign_algorithm algorithm,
                               struct pn_error *err)
{
    if (is_tls13(message, PN_LIT("TLS 1.3, client CertificateVerify"))) {
        if (is_tls13_algorithm(algorithm))
            return PN_OK;
        return denied(err, PN_USE_CLIENT, "TLS 1.3 does not use this algorithm");
    }
    if (is_tls12_transcript(message))
        return PN_OK;
    return denied(err, PN_USE_CLIENT, "the message is neither a TLS 1.3 nor a TLS 1.2 one");
}

static enum pn_rc check_server(struct pn_slice message, enum pn_sign_algorithm algorithm,
                               struct pn_error *err)
{
    if (is_tls13(message, PN_LIT("TLS 1.3, server CertificateVerify"))) {
        if (is_tls13_algorithm(algorithm))
            return PN_OK;
        return denied(err, PN_USE_SERVER, "TLS 1.3 does not use this algorithm");
    }
    if (is_ecdh_params(message))
        return PN_OK;
    return denied(err, PN_USE_SERVER, "the message is neither a TLS 1.3 nor a TLS 1.2 one");
}

enum pn_rc pn_rules_check(enum pn_key_use use, enum pn_sign_algorithm algorithm,
                          struct pn_slice message, struct pn_error *err)
{
    if (message.len > PN_SIGN_MESSAGE_BYTES_MAX)
        return pn_error_set(err, PN_LIMIT, "too_large", "a message to sign has at most %u bytes",
                            PN_SIGN_MESSAGE_BYTES_MAX);
    switch (use) {
    case PN_USE_CLIENT:
        return check_client(message, algorithm, err);
    case PN_USE_SERVER:
    case PN_USE_MANAGEMENT:
        return check_server(message, algorithm, err);
    case PN_USE_TOKEN:
        return check_token(message, algorithm, err);
    case PN_USE_CA:
        return denied(err, use, "use pn_keyholder_issue");
    }
    return pn_error_set(err, PN_DENIED, "use", "no such use of a key");
}
