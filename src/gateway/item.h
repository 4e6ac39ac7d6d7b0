/* SPDX-License-Identifier: Apache-2.0
 *
 * One resource of the feed, read and checked: what the gateway needs of its JSON (docs/feed.md).
 * Immutable after it is made. Reference-counted by the main thread only; workers read items as long
 * as their snapshot lives and never count.
 *
 * An item that cannot be used (a certificate without a key, a policy with an unknown element) is
 * refused with its reason. When a whole configuration is replayed, such an item may be kept as
 * "broken" instead: whatever needs it then fails closed, and everything else is served.
 */
#pragma once

#include "base/json.h"
#include "certs/certificate.h"
#include "gateway/backend.h"
#include "gateway/keys.h"
#include "ipc/keyholder.h"
#include "policy/policy.h"
#include "tls/server.h"
#include "upstream/target.h"

#define PN_EMBEDDED_KEY_PREFIX  "/posternembedded/" /* certificates taken out of policies */
#define PN_EMBEDDED_NAME_PREFIX "embedded:"

enum pn_item_kind {
    PN_ITEM_SERVICE,
    PN_ITEM_API,
    PN_ITEM_OPERATION,
    PN_ITEM_POLICY,
    PN_ITEM_BACKEND,
    PN_ITEM_CERTIFICATE,
    PN_ITEM_SUBSCRIPTION,
    PN_ITEM_HOSTNAME, /* of our TLS listener */
    PN_ITEM_KINDS
};

/** A certificate generation, or a certificate of our own TLS listener. */
struct pn_client_certificate {
    struct pn_key_id key;
    const char *thumbprint; /* SHA-1, upper-case hex, of the leaf */
    struct pn_tls_certificate *tls;
};

struct pn_subscription_keys {
    struct pn_subscription subscription;
    uint8_t sha256[2][PN_SHA256_BYTES];
    size_t count;
};

struct pn_item {
    unsigned refs;
    enum pn_item_kind kind;
    char *key;        /* "/apis/echo" */
    char *type;       /* "api" */
    const char *name; /* last part of the key */
    char *text;       /* the whole document, as the feed gave it */
    size_t text_bytes;
    json_t *json;                  /* what is still read of it; NULL: nothing */
    json_t *properties, *internal; /* borrowed from `json`; may be NULL */
    struct pn_signer *signer;      /* borrowed */
    bool is_broken;
    char *broken_reason;
    union {
        struct pn_policy_document *policy;
        struct pn_backend backend;
        struct pn_client_certificate certificate; /* also of kinds service and hostname: what the
                                                     listener shows */
        struct pn_subscription_keys subscription;
    } as;
};

/** PN_INVALID or PN_MALFORMED with a reason that names `key`; with `keep_broken` such an item is
 * made nevertheless, marked. PN_UNSUPPORTED: a type this gateway does not know. PN_NOMEM. */
enum pn_rc pn_item_create(struct pn_signer *signer, struct pn_slice key, struct pn_slice type,
                          struct pn_slice json, bool keep_broken, struct pn_item **item,
                          struct pn_error *err) PN_MUST_USE;
struct pn_item *pn_item_ref(struct pn_item *item);
void pn_item_unref(struct pn_item *item);
/** Same key, type and document, byte by byte: control writes the same thing the same way. */
bool pn_item_eq(const struct pn_item *a, const struct pn_item *b);
