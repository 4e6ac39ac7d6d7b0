/* SPDX-License-Identifier: Apache-2.0
 *
 * All client contexts of a process, found by what they stand for.
 */
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/map.h"
#include "tls/client.h"
#include "tls/tls_internal.h"

struct pn_tls_clients {
    struct pn_signer *signer;
    struct pn_map *map;
};

/* A plain value without pointers: trust, ALPN, certificate's name, generation and chain. */
struct registry_key {
    char bytes[PN_SHA256_BYTES + 2 + sizeof(uint64_t) + PN_SHA256_BYTES + PN_CERTIFICATE_NAME_MAX];
    size_t len;
};

static void key_add(struct registry_key *key, const void *bytes, size_t len)
{
    memcpy(key->bytes + key->len, bytes, len);
    key->len += len;
}

static struct pn_slice registry_key(struct registry_key *key, const struct pn_trust *trust,
                                    const struct pn_tls_certificate *certificate, enum pn_alpn alpn)
{
    char kind[2] = {(char)alpn, certificate != NULL};

    key->len = 0;
    key_add(key, pn_trust_id(trust)->sha256, PN_SHA256_BYTES);
    key_add(key, kind, sizeof(kind));
    if (certificate) {
        uint64_t generation = pn_tls_certificate_generation(certificate);
        const char *name = pn_tls_certificate_name(certificate);

        key_add(key, &generation, sizeof(generation));
        key_add(key, pn_tls_certificate_chain_id(certificate), PN_SHA256_BYTES);
        key_add(key, name, strlen(name));
    }
    return pn_slice(key->bytes, key->len);
}

enum pn_rc pn_tls_clients_create(struct pn_signer *signer, struct pn_tls_clients **out)
{
    struct pn_tls_clients *clients = calloc(1, sizeof(*clients));

    if (!clients)
        return PN_NOMEM;
    clients->signer = signer;
    clients->map = pn_map_create(false);
    if (!clients->map) {
        free(clients);
        return PN_NOMEM;
    }
    *out = clients;
    return PN_OK;
}

static void unref_value(void *value)
{
    pn_tls_client_unref(value);
}

void pn_tls_clients_destroy(struct pn_tls_clients *clients)
{
    if (!clients)
        return;
    pn_map_destroy(clients->map, unref_value);
    free(clients);
}

enum pn_rc pn_tls_clients_get(struct pn_tls_clients *clients, struct pn_trust *trust,
                              struct pn_tls_certificate *certificate, enum pn_alpn alpn,
                              struct pn_tls_client **out, struct pn_error *err)
{
    enum pn_rc rc;
    struct registry_key key;
    struct pn_slice slice = registry_key(&key, trust, certificate, alpn);
    struct pn_tls_client *client = pn_map_get(clients->map, slice);

    if (client) {
        *out = pn_tls_client_ref(client);
        return PN_OK;
    }
    rc = pn_tls_client_create(clients->signer, trust, certificate, alpn, &client, err);
    if (rc != PN_OK)
        return rc;
    rc = pn_map_set(clients->map, slice, client, NULL);
    if (rc != PN_OK) {
        pn_tls_client_unref(client);
        return pn_error_set(err, rc, "no_memory", "No memory to keep a TLS context.");
    }
    *out = pn_tls_client_ref(client);
    return PN_OK;
}

#define SWEEP_BATCH 64

size_t pn_tls_clients_sweep(struct pn_tls_clients *clients)
{
    size_t swept = 0, found;

    /* The map must not change during a walk: find some, take them out, walk again. */
    do {
        struct pn_tls_client *unused[SWEEP_BATCH];
        size_t position = 0;
        struct pn_slice slice;
        void *value;

        found = 0;
        while (found < SWEEP_BATCH && pn_map_next(clients->map, &position, &slice, &value)) {
            if (!pn_tls_client_is_shared(value))
                unused[found++] = value;
        }
        for (size_t i = 0; i < found; i++) {
            struct registry_key key;

            slice =
                registry_key(&key, pn_tls_client_trust(unused[i]),
                             pn_tls_client_certificate(unused[i]), pn_tls_client_alpn(unused[i]));
            (void)pn_map_remove(clients->map, slice);
            pn_tls_client_unref(unused[i]);
        }
        swept += found;
    } while (found == SWEEP_BATCH);
    return swept;
}
