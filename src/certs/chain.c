/* SPDX-License-Identifier: Apache-2.0
 *
 * See chain.h.
 */
#include "certs/chain.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "certs/certificate_internal.h"

struct pn_chain {
    atomic_uint references;
    bool is_complete;
    size_t count;
    struct pn_certificate *certificates[PN_CHAIN_MAX];
};

static enum pn_rc check_count(size_t count, struct pn_error *err)
{
    if (count == 0)
        return pn_error_set(err, PN_NOT_FOUND, "no_certificate", "there is no certificate");
    if (count > PN_CHAIN_MAX)
        return pn_error_set(err, PN_LIMIT, "chain_too_long",
                            "%zu certificates; a chain has at most %d", count, PN_CHAIN_MAX);
    return PN_OK;
}

static struct pn_chain *create(void)
{
    struct pn_chain *chain = calloc(1, sizeof *chain);

    if (chain)
        atomic_init(&chain->references, 1);
    return chain;
}

/* Takes a reference of its own. */
static void append(struct pn_chain *chain, struct pn_certificate *certificate)
{
    chain->certificates[chain->count++] = pn_certificate_ref(certificate);
}

static void find_completeness(struct pn_chain *chain)
{
    chain->is_complete = pn_certificate_is_self_signed(chain->certificates[chain->count - 1]);
    for (size_t i = 0; i + 1 < chain->count; i++)
        if (!pn_certificate_is_issued_by(chain->certificates[i], chain->certificates[i + 1]))
            chain->is_complete = false;
}

static bool issued_another(struct pn_certificate *const *certificates, size_t count, size_t index)
{
    for (size_t i = 0; i < count; i++)
        if (i != index && !pn_certificate_eq(certificates[i], certificates[index]) &&
            pn_certificate_is_issued_by(certificates[i], certificates[index]))
            return true;
    return false;
}

static size_t find_leaf(struct pn_certificate *const *certificates, size_t count,
                        const uint8_t *leaf_spki_sha256)
{
    size_t best = count;

    for (size_t i = 0; i < count; i++) {
        if (leaf_spki_sha256) {
            if (memcmp(pn_certificate_spki_sha256(certificates[i]), leaf_spki_sha256,
                       PN_SHA256_BYTES) == 0)
                return i;
            continue;
        }
        if (issued_another(certificates, count, i))
            continue;
        if (!pn_certificate_is_ca(certificates[i]))
            return i;
        if (best == count)
            best = i;
    }
    if (best == count && !leaf_spki_sha256)
        best = 0; /* a ring of cross-signed CAs: any is as good */
    return best;
}

enum pn_rc pn_chain_from_certificates(struct pn_certificate *const *certificates, size_t count,
                                      const uint8_t *leaf_spki_sha256, struct pn_chain **result,
                                      struct pn_error *err)
{
    bool is_used[PN_CHAIN_MAX] = {false};
    struct pn_chain *chain;
    size_t at;
    enum pn_rc rc = check_count(count, err);

    if (rc != PN_OK)
        return rc;
    at = find_leaf(certificates, count, leaf_spki_sha256);
    if (at == count)
        return pn_error_set(err, PN_INVALID, "key_mismatch",
                            "none of the %zu certificates belongs to the private key", count);
    chain = create();
    if (!chain)
        return pn_error_set(err, PN_NOMEM, "out_of_memory", "out of memory");
    while (at < count) {
        struct pn_certificate *last = certificates[at];

        append(chain, last);
        is_used[at] = true;
        at = count;
        for (size_t i = 0; i < count && !pn_certificate_is_self_signed(last); i++) {
            if (!is_used[i] && !pn_certificate_eq(certificates[i], last) &&
                pn_certificate_is_issued_by(last, certificates[i])) {
                at = i;
                break;
            }
        }
    }
    find_completeness(chain);
    *result = chain;
    return PN_OK;
}

enum pn_rc pn_chain_from_ders(const struct pn_slice *ders, size_t count, struct pn_chain **result,
                              struct pn_error *err)
{
    struct pn_chain *chain = NULL;
    enum pn_rc rc = check_count(count, err);

    if (rc != PN_OK)
        return rc;
    chain = create();
    if (!chain)
        return pn_error_set(err, PN_NOMEM, "out_of_memory", "out of memory");
    for (size_t i = 0; i < count; i++) {
        rc = pn_certificate_from_der(ders[i], &chain->certificates[i], err);
        if (rc != PN_OK) {
            pn_error_prefix(err, "certificate %zu of the chain", i);
            goto out;
        }
        chain->count++;
    }
    find_completeness(chain);
    *result = chain;
    chain = NULL; /* now the caller's */
out:
    pn_chain_unref(chain);
    return rc;
}

enum pn_rc pn_chain_from_pem(struct pn_slice pem, const uint8_t *leaf_spki_sha256,
                             struct pn_chain **chain, struct pn_error *err)
{
    struct pn_certificate *certificates[PN_CHAIN_MAX + 1] = {NULL};
    size_t count = 0;
    size_t offset = 0;
    enum pn_rc rc = PN_OK;

    while (rc == PN_OK && count <= PN_CHAIN_MAX) {
        rc = pn_certificate_next_pem(pem, &offset, &certificates[count], err);
        if (rc == PN_OK)
            count++;
    }
    if (rc == PN_OK || (rc == PN_NOT_FOUND && count > 0))
        rc = pn_chain_from_certificates(certificates, count, leaf_spki_sha256, chain, err);
    for (size_t i = 0; i < count; i++)
        pn_certificate_unref(certificates[i]);
    return rc;
}

struct pn_chain *pn_chain_ref(struct pn_chain *chain)
{
    atomic_fetch_add_explicit(&chain->references, 1, memory_order_relaxed);
    return chain;
}

void pn_chain_unref(struct pn_chain *chain)
{
    if (!chain)
        return;
    if (atomic_fetch_sub_explicit(&chain->references, 1, memory_order_acq_rel) != 1)
        return;
    for (size_t i = 0; i < chain->count; i++)
        pn_certificate_unref(chain->certificates[i]);
    free(chain);
}

size_t pn_chain_count(const struct pn_chain *chain)
{
    return chain->count;
}

struct pn_certificate *pn_chain_at(const struct pn_chain *chain, size_t index)
{
    return index < chain->count ? chain->certificates[index] : NULL;
}

struct pn_certificate *pn_chain_leaf(const struct pn_chain *chain)
{
    return chain->certificates[0];
}

bool pn_chain_is_complete(const struct pn_chain *chain)
{
    return chain->is_complete;
}

enum pn_rc pn_chain_pem(const struct pn_chain *chain, struct pn_buf *out)
{
    enum pn_rc rc = PN_OK;

    for (size_t i = 0; rc == PN_OK && i < chain->count; i++)
        rc = pn_certificate_pem(chain->certificates[i], out);
    return rc;
}
