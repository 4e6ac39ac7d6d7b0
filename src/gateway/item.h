/* SPDX-License-Identifier: Apache-2.0
 *
 * One resource of the feed: its text, and what the gateway makes of it (docs/feed.md). Of thousands
 * of resources few are in use at a time, so an item is *opened* (parsed, read, checked) when it is
 * first needed, and its text is all that is kept otherwise (ADR 160). A change that comes alone is
 * opened at once, so that it is refused with its reason.
 *
 * Threads: made, counted and freed by the main thread only. Any thread may open one; what opening
 * makes is immutable, and read without a lock as long as the reader's snapshot lives.
 *
 * An item that cannot be used (a certificate without a key, a policy with an unknown element) is
 * refused with its reason. When a whole configuration is replayed, such an item may be kept as
 * "broken" instead: whatever needs it then fails closed, and everything else is served.
 */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "base/json.h"
#include "certs/certificate.h"
#include "gateway/backend.h"
#include "gateway/keys.h"
#include "ipc/keyholder.h"
#include "network/outbound.h"
#include "policy/policy.h"
#include "tls/server.h"
#include "upstream/target.h"

#define PN_EMBEDDED_KEY_PREFIX  "posternembedded/" /* certificates taken out of policies */
#define PN_EMBEDDED_NAME_PREFIX "embedded:"
#define PN_WORKSPACE_PREFIX     "workspaces/"
#define PN_PRODUCT_PREFIX       "products/"
#define PN_ITEM_KEY_MAX         4096 /* bytes */

enum pn_item_kind {
    PN_ITEM_SERVICE,
    PN_ITEM_API,
    PN_ITEM_OPERATION,
    PN_ITEM_POLICY,
    PN_ITEM_BACKEND,
    PN_ITEM_CERTIFICATE,
    PN_ITEM_SUBSCRIPTION,
    PN_ITEM_HOSTNAME, /* of our TLS listener */
    PN_ITEM_OUTBOUND, /* network rules of connections to backends */
    PN_ITEM_TOKEN,    /* of a managed identity, for a policy */
    PN_ITEM_PRODUCT,
    PN_ITEM_PRODUCT_API, /* that an API is in a product: nothing but its key */
    PN_ITEM_KINDS
};

/** A certificate generation, or a certificate of our own TLS listener. */
struct pn_client_certificate {
    char print_key[1 + PN_THUMBPRINT_TEXT]; /* "#" and the thumbprint: what tables know it by */
    const char *thumbprint;                 /* SHA-1, upper-case hex, of the leaf */
    char *embedded_key;                     /* "embedded:<id>" of one taken out of a policy */
    char *scoped_print_key;                 /* of a workspace's: print_key, '/' and its scope */
    struct pn_tls_certificate *tls;         /* once it is open */
};

struct pn_subscription_keys {
    struct pn_subscription subscription;
    uint8_t sha256[2][PN_SHA256_BYTES];
    size_t count;
};

/** A token of a managed identity, or why there is none (ADR 235). */
struct pn_identity_token {
    struct pn_slice text; /* borrowed from the item's json; empty: there is none */
    const char *problem;  /* then: why; else NULL */
    int64_t expires_s;    /* Unix time */
};

/** What the items of one catalog share. */
struct pn_item_house {
    struct pn_signer *signer;
    pthread_mutex_t lock; /* of everything that is opened or closed; never on an open one's path */
};

struct pn_item {
    unsigned refs;
    unsigned users;        /* that had it opened and did not close it; under the house's lock */
    atomic_bool is_open;   /* set last */
    atomic_bool is_broken; /* set before is_open */
    uint8_t kind;          /* enum pn_item_kind */
    uint32_t text_bytes;
    const char *key;  /* "/apis/echo" */
    const char *name; /* the key's last part; what is of a workspace and is looked up by name has
                         the whole key without its first '/': names of no two scopes are equal */
    char *text;       /* the whole document, as the feed gave it */
    json_t *json;     /* while open; NULL: nothing is borrowed from it */
    json_t *properties, *internal; /* borrowed from `json`; may be NULL */
    struct pn_item_house *house;   /* borrowed */
    char *broken_reason;
    union {
        struct pn_policy_document *policy;
        struct pn_backend *backend;
        struct pn_client_certificate *certificate; /* also of kinds service and hostname: what the
                                                      listener shows */
        struct pn_subscription_keys *subscription;
        struct pn_outbound *outbound;
        struct pn_identity_token *token;
    } as; /* but for a certificate's names: while open */
};

/** The scope in which an item's names are meant, of its key or name: "workspaces/w1" of
 * "/workspaces/w1/apis/echo"; empty of what is the service's own. No name has a '/'. */
struct pn_slice pn_item_scope(const char *key);

/** Opened, unless `is_lazy`. PN_INVALID or PN_MALFORMED with a reason that names `key`; with
 *  `is_lazy` such an item is made nevertheless, and found broken when it is opened. PN_UNSUPPORTED:
 *  a type this gateway does not know. PN_LIMIT: too long. PN_NOMEM. */
enum pn_rc pn_item_create(struct pn_item_house *house, struct pn_slice key, struct pn_slice type,
                          struct pn_slice json, bool is_lazy, struct pn_item **item,
                          struct pn_error *err) PN_MUST_USE;
struct pn_item *pn_item_ref(struct pn_item *item);
void pn_item_unref(struct pn_item *item);
/** The name of the type in the feed: "api". */
const char *pn_item_type(const struct pn_item *item);
/** Same key, type and document, byte by byte: control writes the same thing the same way. */
bool pn_item_eq(const struct pn_item *a, const struct pn_item *b);

/** Counts a user, and makes what users need of the item if nobody has yet. PN_OK also when it turns
 *  out to be broken: that is marked and logged. PN_NOMEM: as before. Any thread; the house's lock
 * is held. */
enum pn_rc pn_item_open_locked(struct pn_item *item) PN_MUST_USE;
/** One user less; the last one's memory goes. No thread may read what was made. */
void pn_item_close_locked(struct pn_item *item);
/** For items that stay open once they are: true when it is, and is not broken. Any thread. */
bool pn_item_use(struct pn_item *item);
