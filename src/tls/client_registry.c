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
    bool use_own_records;
};

/* A plain value without pointers: trust, ALPN, and of each certificate name, generation and chain,
 * in their order, as one digest. */
struct registry_key {
    char bytes[PN_SHA256_BYTES + 2 + PN_SHA256_BYTES];
    size_t len;
};

static void key_add(struct registry_key *key, const void *bytes, size_t len)
{
    memcpy(key->bytes + key->len, bytes, len);
    key->len += len;
}

static struct pn_slice registry_key(struct registry_key *key, const struct pn_trust *trust,
                                    struct pn_tls_certificate *const *certificates, size_t count,
                                    enum pn_alpn alpn)
{
    char kind[2] = {(char)alpn, (char)count};
    struct pn_tls_identity several;

    key->len = 0;
    key_add(key, pn_trust_id(trust)->sha256, PN_SHA256_BYTES);
    key_add(key, kind, sizeof(kind));
    if (count > 0) {
        memset(&several, 0, sizeof(several));
        pn_tls_identity_set_several(&several, certificates, count);
        key_add(key, several.chain_id, PN_SHA256_BYTES);
    }
    return pn_slice(key->bytes, key->len);
}

static struct pn_slice key_of(struct registry_key *key, const struct pn_tls_client *client)
{
    size_t count;
    struct pn_tls_certificate *const *certificates = pn_tls_client_certificates(client, &count);

    return registry_key(key, pn_tls_client_trust(client), certificates, count,
                        pn_tls_client_alpn(client));
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

void pn_tls_clients_use_own_records(struct pn_tls_clients *clients)
{
    clients->use_own_records = true;
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

enum pn_rc pn_tls_clients_get_of(struct pn_tls_clients *clients, struct pn_trust *trust,
                                 struct pn_tls_certificate *const *certificates, size_t count,
                                 enum pn_alpn alpn, struct pn_tls_client **out,
                                 struct pn_error *err)
{
    enum pn_rc rc;
    struct registry_key key;
    struct pn_slice slice = registry_key(&key, trust, certificates, count, alpn);
    struct pn_tls_client *client = pn_map_get(clients->map, slice);

    if (client) {
        *out = pn_tls_client_ref(client);
        return PN_OK;
    }
    rc = pn_tls_client_create_of(clients->signer, trust, certificates, count, alpn, &client, err);
    if (rc != PN_OK)
        return rc;
    if (clients->use_own_records)
        pn_tls_client_use_own_records(client);
    rc = pn_map_set(clients->map, slice, client, NULL);
    if (rc != PN_OK) {
        pn_tls_client_unref(client);
        return pn_error_set(err, rc, "no_memory", "No memory to keep a TLS context.");
    }
    *out = pn_tls_client_ref(client);
    return PN_OK;
}

enum pn_rc pn_tls_clients_get(struct pn_tls_clients *clients, struct pn_trust *trust,
                              struct pn_tls_certificate *certificate, enum pn_alpn alpn,
                              struct pn_tls_client **out, struct pn_error *err)
{
    return pn_tls_clients_get_of(clients, trust, &certificate, certificate ? 1 : 0, alpn, out, err);
}

void pn_tls_clients_forget(struct pn_tls_clients *clients, const struct pn_tls_client *client)
{
    struct registry_key key;
    struct pn_slice slice = key_of(&key, client);

    if (pn_map_get(clients->map, slice) == client)
        pn_tls_client_unref(pn_map_remove(clients->map, slice));
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

            (void)pn_map_remove(clients->map, key_of(&key, unused[i]));
            pn_tls_client_unref(unused[i]);
        }
        swept += found;
    } while (found == SWEEP_BATCH);
    return swept;
}
