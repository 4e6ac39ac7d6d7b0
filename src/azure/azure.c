/* SPDX-License-Identifier: Apache-2.0
 *
 * The sources in their order.
 */
#include "azure/azure.h"

#include <stdlib.h>

#include "azure/azure_internal.h"

enum pn_rc pn_azure_create(struct pn_keyholder *keyholder, const struct pn_outbound_scope *outbound,
                           struct pn_azure **azure)
{
    struct pn_azure *made = calloc(1, sizeof *made);

    if (!made)
        return PN_NOMEM;
    made->keyholder = keyholder;
    made->outbound = outbound;
    *azure = made;
    return PN_OK;
}

void pn_azure_destroy(struct pn_azure *azure)
{
    if (!azure)
        return;
    for (size_t i = 0; i < azure->count; i++) {
        pn_secret_fini(&azure->sources[i].header);
        pthread_mutex_destroy(&azure->sources[i].lock);
    }
    free(azure);
}

enum pn_rc pn_azure_add(struct pn_azure *azure, struct pn_slice text, struct pn_error *err)
{
    struct azure_source *source = &azure->sources[azure->count];
    enum pn_rc rc;

    if (azure->count == PN_AZURE_SOURCES_MAX)
        return pn_error_set(err, PN_LIMIT, "token_source", "there are at most %d token sources",
                            PN_AZURE_SOURCES_MAX);
    source->keyholder = azure->keyholder;
    source->outbound = azure->outbound;
    rc = azure_read(source, text, err);
    if (rc == PN_OK && source->kind == AZURE_CERTIFICATE)
        rc = azure_take_certificate(source, err);
    if (rc == PN_OK && pthread_mutex_init(&source->lock, NULL) != 0)
        rc = PN_NOMEM;
    if (rc == PN_OK)
        azure->count++;
    else
        pn_secret_fini(&source->header);
    return rc;
}

static enum pn_rc get(void *ctx, const struct pn_identity_ref *identity,
                      const struct pn_token_target *target, struct pn_secret *token,
                      int64_t *expires_s, struct pn_error *err)
{
    struct azure_source *source = ctx;

    return source->kind == AZURE_IMDS || source->kind == AZURE_APP_SERVICE
               ? azure_managed(source, identity, target, token, expires_s, err)
               : azure_application(source, identity, target, token, expires_s, err);
}

bool pn_azure_provider(struct pn_azure *azure, size_t i, struct pn_token_provider *provider)
{
    if (!azure || i >= azure->count)
        return false;
    *provider = (struct pn_token_provider){
        .name = azure->sources[i].name, .get = get, .ctx = &azure->sources[i]};
    return true;
}

const char *pn_azure_folder(const struct pn_azure *azure, size_t i)
{
    const char *folder = azure && i / 2 < azure->count ? azure->sources[i / 2].folders[i % 2] : "";

    return folder[0] ? folder : NULL;
}
