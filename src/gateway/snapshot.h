/* SPDX-License-Identifier: Apache-2.0
 *
 * What the gateway serves by: one immutable configuration. A snapshot is four tables (routes,
 * backends, certificates, keys) over APIs and items; the next one shares every table and every API
 * that did not change with its predecessor. What a request asks for is compiled or opened when it
 * is asked for the first time (ADR 160), and is then found without a lock.
 *
 * Thread: made, counted and freed by the main thread only (gateway/catalog.h). A worker reads the
 * one it was given until it has told the main thread that it uses it no more: no counter is shared
 * between threads.
 */
#pragma once

#include "gateway/item.h"
#include "gateway/route.h"

#define PN_SUBSCRIPTION_HEADER "Ocp-Apim-Subscription-Key"
#define PN_SUBSCRIPTION_QUERY  "subscription-key"

/** The documents that an API's policies stand on: the global one, and its workspace's. */
#define PN_API_BASES 2

struct pn_operation {
    const char *id;
    const char *name; /* its display name */
    const char *method;
    const char *url_template;
    const struct pn_policy_program *program;   /* the API's, or of its own */
    const struct pn_policy_document *document; /* of its own; NULL: there is none */
    size_t index;                              /* among the API's operations */
    bool is_broken;                            /* its policy cannot be used: answer 500 */
};

struct pn_product_program {
    _Atomic(struct pn_policy_program *) made; /* NULL: not yet */
};

/** A product that an API is in, as the API's calls see it. */
struct pn_product {
    const char *key;  /* "/products/gold" */
    const char *id;   /* "gold" */
    const char *name; /* its display name */
    bool is_open;     /* calls need no key */
    bool is_broken;   /* its policy cannot be used: its calls are answered 500 */
    const struct pn_policy_document
        *policy; /* NULL: it has none, and calls run the API's programs */
    /* With a policy: the programs of calls of this product, made when the first of them comes. The
     * API's own first, then those of operations with a document of their own, by their index. */
    struct pn_product_program *programs;
};

/** An API with its operations and policies, compiled when the first request comes to it. */
struct pn_api {
    const char *key;                /* "/apis/echo" */
    const char *id;                 /* "echo"; of a workspace's API the key without its first '/' */
    const char *name;               /* its display name */
    const char *revision, *version; /* NULL: it has none */
    struct pn_slice scope;          /* in which its policies name things (gateway/item.h) */
    const char *path;               /* without slashes at its ends */
    bool allows_http, allows_https;
    bool is_websocket; /* takes WebSocket handshakes only */
    bool subscription_required;
    bool is_grpc; /* of type grpc: its backend speaks HTTP/2 */
    const char *key_header, *key_query;
    bool has_target;         /* serviceUrl is set and usable */
    struct pn_target target; /* of serviceUrl */
    bool is_broken;          /* it, or a policy above or at it, cannot be used: answer 500 */
    const char *broken_reason;

    struct pn_operation *operations;
    size_t operation_count;
    struct pn_route_tree *tree;
    struct pn_policy_program *program; /* global, workspace and API scope */
    const struct pn_policy_document *documents[PN_API_BASES + 1]; /* what it is made of */
    struct pn_product *products;                                  /* that it is in */
    const char **product_keys;                                    /* of each */
    size_t product_count;
    const struct pn_product *open_product; /* of those the one that needs no key, or NULL */
    struct pn_item_house *house;
    struct pn_policy_program **own_programs;
    size_t own_program_count;
};

struct pn_route_list;
struct pn_item_table;

struct pn_snapshot {
    unsigned refs;
    uint64_t number;   /* counts up in this process */
    uint64_t revision; /* of the feed */
    struct pn_route_list *routes;
    struct pn_item_table *backends; /* by name */
    struct pn_item_table
        *certificates;              /* by name, by thumbprint, embedded ones by "embedded:<id>" */
    struct pn_item_table *tokens;   /* of managed identities, by name */
    struct pn_item_table *keys;     /* subscription keys */
    struct pn_item *service;        /* may be NULL */
    struct pn_tls_server *listener; /* NULL: no certificate for it yet */
    struct pn_trust_base *trusts;   /* of backends without a policy of their own */
    struct pn_outbound *outbound;   /* network rules of connections to backends; NULL: none */
};

/** The API with the longest matching path, or NULL. Out of memory: one that is broken. */
const struct pn_api *pn_snapshot_route(const struct pn_snapshot *snapshot, struct pn_slice path,
                                       struct pn_slice *rest);
/** By an item's name, without case. NULL: no such thing (or it cannot be used, which is logged).
 * Names that callers, policies and resources give are looked up by the functions with a scope:
 * never does one scope reach into another. */
const struct pn_backend *pn_snapshot_backend(const struct pn_snapshot *snapshot,
                                             struct pn_slice name);
const struct pn_backend *pn_snapshot_backend_in(const struct pn_snapshot *snapshot,
                                                struct pn_slice scope, struct pn_slice name);
/** Whether there is one, usable or not. */
bool pn_snapshot_has_backend(const struct pn_snapshot *snapshot, struct pn_slice name);
const struct pn_client_certificate *pn_snapshot_certificate(const struct pn_snapshot *snapshot,
                                                            struct pn_slice name);
const struct pn_client_certificate *pn_snapshot_certificate_in(const struct pn_snapshot *snapshot,
                                                               struct pn_slice scope,
                                                               struct pn_slice name);
/** By thumbprint as a person writes it. Of several with the same one, any: they are equal. */
const struct pn_client_certificate *
pn_snapshot_certificate_by_thumbprint(const struct pn_snapshot *snapshot, struct pn_slice scope,
                                      struct pn_slice thumbprint);
/** One taken out of a policy's body=. */
const struct pn_client_certificate *
pn_snapshot_certificate_embedded(const struct pn_snapshot *snapshot, struct pn_slice scope,
                                 struct pn_slice id);
/** The same by its item's name. */
const struct pn_client_certificate *
pn_snapshot_certificate_embedded_named(const struct pn_snapshot *snapshot, struct pn_slice name);
/** A managed identity's token by pn_policy_token_name(). NULL: no such thing. */
const struct pn_identity_token *pn_snapshot_token(const struct pn_snapshot *snapshot,
                                                  struct pn_slice name);
/** The product of the API by its key, without case, or NULL. */
const struct pn_product *pn_api_product(const struct pn_api *api, const char *key);
/** What a call of this operation runs, made when it was not: the operation's program with the
 * product's policy in its place. `product` NULL: without. NULL: there is no memory. Any thread. */
const struct pn_policy_program *pn_api_program(const struct pn_api *api,
                                               const struct pn_operation *operation,
                                               const struct pn_product *product);
/** PN_DENIED. `who` may be NULL. */
enum pn_rc pn_snapshot_check_key(const struct pn_snapshot *snapshot, const struct pn_api *api,
                                 struct pn_slice key,
                                 const struct pn_subscription **who) PN_MUST_USE;
/** For our own TLS listener; NULL when there is none. */
struct pn_tls_server *pn_snapshot_listener(const struct pn_snapshot *snapshot);
