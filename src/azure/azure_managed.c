/* SPDX-License-Identifier: Apache-2.0
 *
 * Managed identities of where Postern runs: IMDS (2018-02-01) and App Service (2019-08-01).
 */
#include <stdio.h>
#include <string.h>

#include "azure/azure_internal.h"
#include "base/clock.h"
#include "base/encode.h"
#include "fetch/fetch.h"

#define IMDS_PATH          "/metadata/identity/oauth2/token?api-version=2018-02-01"
#define APP_SERVICE_QUERY  "api-version=2019-08-01"
#define CONNECT_TIMEOUT_MS 1000 /* where there is none, nothing answers at all */
#define TIMEOUT_MS         10000
#define SILENT_S           60
#define HEADER_MAX         2048

static enum pn_rc make_url(const struct azure_source *source,
                           const struct pn_identity_ref *identity,
                           const struct pn_token_target *target, struct pn_buf *url)
{
    size_t len = strlen(source->url);
    enum pn_rc rc;

    while (len > 0 && source->url[len - 1] == '/')
        len--;
    if (source->kind == AZURE_IMDS)
        rc = pn_buf_printf(url, "%.*s" IMDS_PATH "&resource=", (int)len, source->url);
    else
        rc = pn_buf_printf(url, "%s%c" APP_SERVICE_QUERY "&resource=", source->url,
                           strchr(source->url, '?') ? '&' : '?');
    if (rc == PN_OK)
        rc = pn_percent_encode(pn_slice_str(target->resource), url);
    if (rc == PN_OK && identity->client_id && identity->client_id[0]) {
        rc = pn_buf_append_str(url, "&client_id=");
        if (rc == PN_OK)
            rc = pn_percent_encode(pn_slice_str(identity->client_id), url);
    }
    return rc;
}

static enum pn_rc make_header(const struct azure_source *source, struct pn_buf *header)
{
    enum pn_rc rc;

    if (source->kind == AZURE_IMDS)
        return pn_buf_append_str(header, "Metadata: true");
    rc = pn_buf_append_str(header, "X-IDENTITY-HEADER: ");
    return rc == PN_OK ? pn_buf_append_slice(header, pn_secret_slice(&source->header)) : rc;
}

/* What did not answer is not waited for again at once: a vault with many certificates would wait
 * for each. */
static bool is_silent(struct azure_source *source)
{
    return atomic_load(&source->silent_until) > pn_clock_unix_s();
}

enum pn_rc azure_managed(struct azure_source *source, const struct pn_identity_ref *identity,
                         const struct pn_token_target *target, struct pn_secret *token,
                         int64_t *expires_s, struct pn_error *err)
{
    const char *headers[2] = {NULL, NULL};
    struct pn_fetch_request request = {.headers = headers,
                                       .is_local = true,
                                       .kind = PN_OUTBOUND_AUTHORITY,
                                       .timeout_ms = TIMEOUT_MS,
                                       .connect_timeout_ms = CONNECT_TIMEOUT_MS};
    struct pn_fetch_answer answer = {.status = 0};
    struct pn_buf url, header;
    enum pn_rc rc;

    if (is_silent(source))
        return pn_error_set(err, PN_NOT_FOUND, "no_answer", "%s did not answer a moment ago",
                            source->url);
    pn_buf_init(&url, PN_FETCH_URL_MAX);
    pn_buf_init_secret(&header, HEADER_MAX);
    rc = make_url(source, identity, target, &url);
    if (rc == PN_OK)
        rc = make_header(source, &header);
    request.url = pn_buf_str(&url);
    headers[0] = pn_buf_str(&header);
    if (rc == PN_OK && request.url && headers[0]) {
        rc = pn_fetch(&request, &answer, err);
        if (rc == PN_OK)
            rc = azure_take_token(source, &answer, token, expires_s, err);
        else if (rc != PN_NOMEM) {
            atomic_store(&source->silent_until, pn_clock_unix_s() + SILENT_S);
            rc = PN_NOT_FOUND;
        }
        pn_fetch_answer_fini(&answer);
    } else if (rc == PN_LIMIT) {
        rc = pn_error_set(err, PN_NOT_FOUND, "url", "the URL would be too long");
    }
    pn_buf_fini(&url);
    pn_buf_fini(&header);
    return rc;
}
