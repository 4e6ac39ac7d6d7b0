/* SPDX-License-Identifier: Apache-2.0
 *
 * What requests asked for of late: one request is like the one before, and a comparison costs less
 * than a look-up. Nothing here is a second truth. What is remembered is in the map or in the
 * snapshot's table, is given only when the whole question is the same again, and is forgotten
 * before it leaves the map, or with the pin of its snapshot.
 */
#include <stdalign.h>
#include <stddef.h>
#include <string.h>

#include "gateway/snapshot_internal.h"
#include "gateway/worker.h"

void pn_worker_forget_recent(struct pn_worker *worker)
{
    memset(worker->recent, 0, sizeof(worker->recent));
}

static struct pn_recent_client *recent_client(struct pn_worker *worker,
                                              const struct pn_trust *trust,
                                              const struct pn_tls_certificate *certificate,
                                              enum pn_alpn alpn)
{
    size_t at = ((uintptr_t)certificate ^ (uintptr_t)trust) / alignof(max_align_t) + alpn;

    return &worker->recent[at & (PN_WORKER_RECENT - 1)];
}

enum pn_rc pn_worker_tls_client(struct pn_worker *worker,
                                struct pn_tls_certificate *const *certificates, size_t count,
                                struct pn_trust *trust, enum pn_alpn alpn,
                                struct pn_tls_client **client, struct pn_error *err)
{
    const struct pn_tls_certificate *certificate = count > 0 ? certificates[0] : NULL;
    struct pn_recent_client *recent = recent_client(worker, trust, certificate, alpn);
    enum pn_rc rc;

    /* As in the map: addresses find it, and what it is for is compared. */
    if (count <= 1 && recent->client && recent->trust == trust &&
        recent->certificate == certificate && recent->alpn == alpn &&
        pn_worker_is_client_of(recent->client, trust, certificates, count)) {
        *client = recent->client;
        return PN_OK;
    }
    rc = pn_worker_find_client(worker, certificates, count, trust, alpn, client, err);
    if (rc == PN_OK && count <= 1)
        *recent = (struct pn_recent_client){trust, certificate, alpn, *client};
    return rc;
}

/** The certificate's entry, if it goes by that name alone. */
static struct pn_item *entry_of(const struct pn_snapshot *snapshot, struct pn_slice name)
{
    struct pn_item *item = pn_item_table_find(snapshot->certificates, name);

    return item && pn_slice_case_eq_str(name, item->name) ? item : NULL;
}

const struct pn_client_certificate *pn_pin_certificate(struct pn_pin *pin, struct pn_slice scope,
                                                       struct pn_slice name)
{
    size_t last = name.len > 0 ? (unsigned char)name.ptr[name.len - 1] : 0;
    struct pn_item **recent = &pin->recent[(name.len + last) & (PN_PIN_RECENT - 1)];
    const struct pn_client_certificate *certificate;

    if (scope.len == 0 && *recent && pn_slice_case_eq_str(name, (*recent)->name))
        return pn_item_use(*recent) ? (*recent)->as.certificate : NULL;
    certificate = pn_snapshot_certificate_in(pin->snapshot, scope, name);
    if (certificate && scope.len == 0)
        *recent = entry_of(pin->snapshot, name);
    return certificate;
}
