/* SPDX-License-Identifier: Apache-2.0
 *
 * An application at a token endpoint (RFC 6749 §4.4) with its secret, its certificate, or a token
 * of its cluster.
 */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "azure/azure_internal.h"
#include "base/encode.h"
#include "fetch/fetch.h"

#define ASSERTION_TYPE "urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer"
#define FORM_MAX       (96u * 1024)

static enum pn_rc add(struct pn_buf *form, const char *name, struct pn_slice value)
{
    enum pn_rc rc = pn_buf_printf(form, "&%s=", name);

    return rc == PN_OK ? pn_percent_encode(value, form) : rc;
}

/* What the application proves itself with. Files are read each time: they are replaced. */
static enum pn_rc add_proof(struct azure_source *source, const char *url, struct pn_buf *form,
                            struct pn_error *err)
{
    struct pn_buf proof;
    enum pn_rc rc;

    pn_buf_init_secret(&proof, AZURE_SECRET_MAX);
    if (source->kind == AZURE_CERTIFICATE)
        rc = azure_assertion(source, url, &proof, err);
    else
        rc = azure_read_file(source->file, &proof, err);
    if (rc == PN_OK && source->kind == AZURE_SECRET) {
        rc = add(form, "client_secret", pn_buf_slice(&proof));
    } else if (rc == PN_OK) {
        rc = pn_buf_append_str(form, "&client_assertion_type=" ASSERTION_TYPE);
        if (rc == PN_OK)
            rc = add(form, "client_assertion", pn_buf_slice(&proof));
    }
    pn_buf_fini(&proof);
    return rc;
}

static enum pn_rc make_form(struct azure_source *source, const char *url, const char *resource,
                            struct pn_buf *form, struct pn_error *err)
{
    enum pn_rc rc = pn_buf_append_str(form, "grant_type=client_credentials");

    if (rc == PN_OK)
        rc = add(form, "client_id", pn_slice_str(source->client_id));
    if (rc == PN_OK)
        rc = add(form, "scope", pn_slice_str(resource));
    if (rc == PN_OK)
        rc = pn_buf_append_str(form, "%2F.default");
    return rc == PN_OK ? add_proof(source, url, form, err) : rc;
}

enum pn_rc azure_application(struct azure_source *source, const struct pn_identity_ref *identity,
                             const struct pn_token_target *target, struct pn_secret *token,
                             int64_t *expires_s, struct pn_error *err)
{
    char url[2 * AZURE_TEXT_MAX + 32];
    struct pn_fetch_request request = {.url = url,
                                       .outbound = source->outbound,
                                       .service = PN_TAG_ACTIVE_DIRECTORY,
                                       .kind = PN_OUTBOUND_AUTHORITY};
    struct pn_fetch_answer answer = {.status = 0};
    struct pn_buf form;
    enum pn_rc rc;

    if (identity->client_id && identity->client_id[0] &&
        strcasecmp(identity->client_id, source->client_id) != 0)
        return pn_error_set(err, PN_NOT_FOUND, "other_identity", "it is %s, not %s",
                            source->client_id, identity->client_id);
    snprintf(url, sizeof url, "%s/%s/oauth2/v2.0/token", source->authority, source->tenant);
    pn_buf_init_secret(&form, FORM_MAX);
    rc = make_form(source, url, target->resource, &form, err);
    request.form = pn_buf_slice(&form);
    if (rc == PN_OK) {
        rc = pn_fetch(&request, &answer, err);
        if (rc == PN_OK)
            rc = azure_take_token(source, &answer, token, expires_s, err);
        pn_fetch_answer_fini(&answer);
    }
    pn_buf_fini(&form);
    return rc == PN_OK || rc == PN_NOMEM ? rc : PN_NOT_FOUND;
}
