/* SPDX-License-Identifier: Apache-2.0
 *
 * The service's hostnameConfigurations. Each is stored as a resource of its own
 * ({service}/posternHostnames/{type}.{host name}), formed as a certificate is, so that the rotation
 * follows the ones from a vault and the gateway gets each change as one line of the feed. The
 * service's answer puts them together again.
 */
#pragma once

#include "arm/arm_internal.h"

/** One configuration that a caller wants. Texts are in the arena or in arm_hostnames.checked. */
struct arm_hostname {
    const char *id;   /* of the stored resource */
    const char *type; /* "Proxy" */
    const char *host_name;
    const char *key_vault_id;       /* NULL: uploaded, or kept as it is */
    const char *identity_client_id; /* NULL: system-assigned */
    bool is_default, negotiates;
    bool has_upload;
    json_t *properties, *internal; /* the new generation; NULL: the stored one stays */
};

struct arm_hostnames {
    const char *service_id;  /* as it is stored */
    bool is_given;           /* false: they stay as they are */
    bool builtin_negotiates; /* of the name that the gateway has by itself */
    struct arm_hostname items[PN_HOSTNAMES_MAX];
    size_t count;
    json_t *checked; /* the body's member, as the schema left it */
    json_t *dropped; /* internals of generations that were replaced or removed */
};

/** Before the transaction: checks what the body has, imports and fetches. `service_id`: as it is
 * stored, in the arena. `is_whole`: what the body does not have is not wanted (PUT). False:
 * answered. */
bool arm_hostnames_prepare(struct arm_call *call, const char *service_id, bool is_whole,
                           struct arm_hostnames *hostnames);
/** In the transaction: makes the stored ones what is wanted. False: answered; the caller rolls
 * back. */
bool arm_hostnames_store(struct arm_call *call, struct pn_store_txn *txn,
                         struct arm_hostnames *hostnames);
/** Puts what was said of the gateway's own name into the service's document. False: no memory. */
bool arm_hostnames_set_built_in(const struct arm_hostnames *hostnames, json_t *service_body);
/** Lets the keyholder forget keys that nothing uses, and frees. After the transaction, however it
 * ended. */
void arm_hostnames_end(struct arm_call *call, struct arm_hostnames *hostnames);
/** The hostnameConfigurations of a GET: new reference; NULL with err filled. `txn` NULL: of what is
 * committed. */
json_t *arm_hostnames_view(struct arm_call *call, struct pn_store_txn *txn,
                           const struct pn_store_item *service, struct pn_error *err);
