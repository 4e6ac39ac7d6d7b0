/* SPDX-License-Identifier: Apache-2.0
 *
 * The trusted issuers, and what their tokens prove.
 */
#include "oidc/oidc.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"
#include "base/limits.h"
#include "base/metrics.h"
#include "oidc/oidc_internal.h"

#define GROUPS_CLAIM  "groups"
#define SECRET_MAX    1024
#define PATH_TEXT_MAX 4096

enum pn_rc pn_oidc_create(struct pn_store *store, const struct pn_outbound_scope *outbound,
                          int64_t (*now_s)(void), struct pn_oidc **oidc)
{
    struct pn_oidc *made = calloc(1, sizeof *made);
    pthread_condattr_t attributes;

    if (!made)
        return PN_NOMEM;
    made->known_max = (size_t)pn_limit_value(PN_LIMIT_ISSUERS_KNOWN);
    made->known = calloc(made->known_max, sizeof *made->known);
    if (!made->known) {
        free(made);
        return PN_NOMEM;
    }
    made->store = store;
    made->outbound = outbound;
    made->now_s = now_s ? now_s : pn_clock_unix_s;
    pthread_mutex_init(&made->lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&made->fetched, &attributes);
    pthread_condattr_destroy(&attributes);
    *oidc = made;
    return PN_OK;
}

void pn_oidc_destroy(struct pn_oidc *oidc)
{
    if (!oidc)
        return;
    for (size_t i = 0; i < oidc->known_max; i++)
        oidc_facts_fini(&oidc->known[i].facts);
    free(oidc->known);
    for (size_t i = 0; i < oidc->trusted_count; i++)
        pn_secret_fini(&oidc->trusted[i].client_secret);
    pthread_cond_destroy(&oidc->fetched);
    pthread_mutex_destroy(&oidc->lock);
    free(oidc);
}

/* ---- "URL,audience=A,…" ---- */

static enum pn_rc bad(struct pn_error *err, const char *message)
{
    return pn_error_set(err, PN_INVALID, "trusted_issuer", "%s", message);
}

static bool keep(char *out, size_t size, struct pn_slice value)
{
    if (value.len == 0 || value.len >= size || memchr(value.ptr, '\0', value.len))
        return false;
    snprintf(out, size, "%.*s", PN_FMT(value));
    return true;
}

static enum pn_rc read_secret_file(struct pn_slice path, struct pn_secret *secret,
                                   struct pn_error *err)
{
    char name[PATH_TEXT_MAX];
    struct pn_slice text;
    struct pn_buf bytes;
    enum pn_rc rc;

    if (!keep(name, sizeof name, path))
        return bad(err, "client-secret-file wants the path of a file");
    pn_buf_init_secret(&bytes, SECRET_MAX);
    rc = pn_file_read(name, &bytes, err);
    text = pn_slice_trim(pn_buf_slice(&bytes));
    if (rc == PN_OK && text.len == 0)
        rc = pn_error_set(err, PN_INVALID, "trusted_issuer", "%s is empty", name);
    if (rc == PN_OK)
        rc = pn_secret_from(secret, text.ptr, text.len);
    pn_buf_fini(&bytes);
    return rc;
}

/* ---- issuers of many tenants ---- */

/* Where the segment is that stands for any tenant; NULL: there is none. */
static const char *any_tenant(const char *url, size_t *len)
{
    static const char *const words[] = {"common", "organizations", "consumers"};

    for (const char *at = strchr(url + strlen("https://"), '/'); at; at = strchr(at + 1, '/')) {
        *len = strcspn(at + 1, "/");
        for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
            if (pn_slice_eq_str(pn_slice(at + 1, *len), words[i]))
                return at + 1;
        }
    }
    return NULL;
}

bool oidc_of_tenant(const char *url, const char *tenant, char out[PN_OIDC_URL_MAX])
{
    size_t len = 0;
    const char *at = any_tenant(url, &len);
    int written;

    if (!at)
        return false;
    written = snprintf(out, PN_OIDC_URL_MAX, "%.*s%s%s", (int)(at - url), url, tenant, at + len);
    return written > 0 && written < PN_OIDC_URL_MAX;
}

bool pn_oidc_says(const struct pn_trusted_issuer *issuer, struct pn_slice iss)
{
    char url[PN_OIDC_URL_MAX];

    if (issuer->tenant_count == 0)
        return iss.ptr && pn_slice_eq_str(iss, issuer->url);
    for (size_t i = 0; iss.ptr && i < issuer->tenant_count; i++) {
        if (oidc_of_tenant(issuer->url, issuer->tenants[i], url) && pn_slice_eq_str(iss, url))
            return true;
    }
    return false;
}

static enum pn_rc read_tenant(struct pn_trusted_issuer *issuer, struct pn_slice value,
                              struct pn_error *err)
{
    char *out;

    if (issuer->tenant_count >= pn_limit_value(PN_LIMIT_ISSUER_AUDIENCES)) {
        pn_limit_hit(PN_LIMIT_ISSUER_AUDIENCES);
        return pn_error_set(err, PN_LIMIT, "trusted_issuer",
                            "an issuer has at most %d tenants (limit issuer-audiences)",
                            (int)pn_limit_value(PN_LIMIT_ISSUER_AUDIENCES));
    }
    if (!pn_is_uuid(value))
        return bad(err, "tenant wants the UUID of a tenant");
    out = issuer->tenants[issuer->tenant_count++];
    for (size_t i = 0; i < value.len; i++) /* tokens have it in lower case */
        out[i] =
            value.ptr[i] >= 'A' && value.ptr[i] <= 'F' ? (char)(value.ptr[i] + 32) : value.ptr[i];
    out[value.len] = '\0';
    return PN_OK;
}

/* An issuer of many tenants needs the list of those that may come in, and only such a one has it.
 */
static enum pn_rc check_tenants(const struct pn_trusted_issuer *issuer, struct pn_error *err)
{
    size_t len = 0;
    const char *any = any_tenant(issuer->url, &len);

    if (any && issuer->tenant_count == 0)
        return pn_error_set(
            err, PN_INVALID, "trusted_issuer",
            "'%.*s' stands for every tenant: name those that may come in by "
            "tenant=UUID, or give one tenant's own URL (the UUID instead of '%.*s')",
            (int)len, any, (int)len, any);
    if (!any && issuer->tenant_count > 0)
        return bad(err, "tenant=… goes with a URL that has 'common', 'organizations' or "
                        "'consumers' in the tenant's place");
    return PN_OK;
}

static enum pn_rc read_part(struct pn_trusted_issuer *issuer, struct pn_slice name,
                            struct pn_slice value, struct pn_error *err)
{
    if (pn_slice_eq_str(name, "audience")) {
        if (issuer->audience_count >= pn_limit_value(PN_LIMIT_ISSUER_AUDIENCES)) {
            pn_limit_hit(PN_LIMIT_ISSUER_AUDIENCES);
            return pn_error_set(err, PN_LIMIT, "trusted_issuer",
                                "an issuer has at most %d audiences (limit issuer-audiences)",
                                (int)pn_limit_value(PN_LIMIT_ISSUER_AUDIENCES));
        }
        return keep(issuer->audiences[issuer->audience_count++], PN_OIDC_URL_MAX, value)
                   ? PN_OK
                   : bad(err, "audience wants a text below 512 bytes");
    }
    if (pn_slice_eq_str(name, "name"))
        return keep(issuer->name, sizeof issuer->name, value)
                   ? PN_OK
                   : bad(err, "name wants a text below 64 bytes");
    if (pn_slice_eq_str(name, "client-id"))
        return keep(issuer->client_id, sizeof issuer->client_id, value)
                   ? PN_OK
                   : bad(err, "client-id wants a text below 512 bytes");
    if (pn_slice_eq_str(name, "groups"))
        return keep(issuer->groups_claim, sizeof issuer->groups_claim, value)
                   ? PN_OK
                   : bad(err, "groups wants the name of a claim");
    if (pn_slice_eq_str(name, "principal")) {
        issuer->by_oid = pn_slice_eq_str(value, "oid");
        return issuer->by_oid || pn_slice_eq_str(value, "sub")
                   ? PN_OK
                   : bad(err, "principal is oid or sub");
    }
    if (pn_slice_eq_str(name, "tenant"))
        return read_tenant(issuer, value, err);
    if (pn_slice_eq_str(name, "client-secret-file"))
        return issuer->client_secret.len > 0 ? bad(err, "client-secret-file is there twice")
                                             : read_secret_file(value, &issuer->client_secret, err);
    return pn_error_set(
        err, PN_INVALID, "trusted_issuer",
        "'%.*s' is none of audience, tenant, name, principal, groups, client-id and "
        "client-secret-file",
        PN_FMT(pn_slice_sub(name, 0, 40)));
}

static enum pn_rc read_issuer(struct pn_trusted_issuer *issuer, struct pn_slice text,
                              struct pn_error *err)
{
    struct pn_slice part = {NULL, 0};
    enum pn_rc rc = PN_OK;

    if (!pn_slice_cut(&text, ',', &part) || !pn_slice_starts_with(part, PN_LIT("https://")) ||
        pn_slice_find(part, ' ') < part.len || pn_slice_find(part, '#') < part.len ||
        pn_slice_find(part, '?') < part.len || !keep(issuer->url, sizeof issuer->url, part))
        return bad(err, "it begins with the issuer's https URL, as its tokens have it (iss)");
    snprintf(issuer->groups_claim, sizeof issuer->groups_claim, GROUPS_CLAIM);
    while (rc == PN_OK && pn_slice_cut(&text, ',', &part)) {
        size_t equals = pn_slice_find(part, '=');

        rc = read_part(issuer, pn_slice_sub(part, 0, equals),
                       pn_slice_sub(part, equals + 1, part.len), err);
    }
    if (rc == PN_OK)
        rc = check_tenants(issuer, err);
    if (rc != PN_OK)
        return rc;
    if (issuer->audience_count == 0 && !issuer->client_id[0])
        return bad(err, "it needs audience=… (who its access tokens are for), client-id=… (people "
                        "sign in to the portal by it), or both");
    if (issuer->client_secret.len > 0 && !issuer->client_id[0])
        return bad(err, "client-secret-file goes with client-id");
    if (!issuer->name[0]) {
        struct pn_slice host = pn_slice_sub(pn_slice_str(issuer->url), 8, strlen(issuer->url));

        host = pn_slice_sub(host, 0, pn_slice_find(host, '/'));
        snprintf(issuer->name, sizeof issuer->name, "%.*s",
                 PN_FMT(pn_slice_sub(host, 0, sizeof issuer->name - 1)));
    }
    return PN_OK;
}

const struct pn_trusted_issuer *oidc_trusted_at(const struct pn_oidc *oidc, const char *url)
{
    for (size_t i = 0; i < oidc->trusted_count; i++) {
        if (strcmp(url, oidc->trusted[i].url) == 0)
            return &oidc->trusted[i];
    }
    return NULL;
}

/* Whose tokens say `iss`. */
static const struct pn_trusted_issuer *find(const struct pn_oidc *oidc, struct pn_slice iss)
{
    for (size_t i = 0; iss.ptr && i < oidc->trusted_count; i++) {
        if (pn_oidc_says(&oidc->trusted[i], iss))
            return &oidc->trusted[i];
    }
    return NULL;
}

/* Whether some token would be of both. */
static bool overlaps(const struct pn_oidc *oidc, const struct pn_trusted_issuer *issuer)
{
    char url[PN_OIDC_URL_MAX];

    if (oidc_trusted_at(oidc, issuer->url) || find(oidc, pn_slice_str(issuer->url)))
        return true;
    for (size_t i = 0; i < issuer->tenant_count; i++) {
        if (oidc_of_tenant(issuer->url, issuer->tenants[i], url) && find(oidc, pn_slice_str(url)))
            return true;
    }
    return false;
}

enum pn_rc pn_oidc_trust(struct pn_oidc *oidc, struct pn_slice text, struct pn_error *err)
{
    struct pn_trusted_issuer issuer = {.by_oid = false};
    enum pn_rc rc;

    if (oidc->trusted_count >= pn_limit_value(PN_LIMIT_TRUSTED_ISSUERS)) {
        pn_limit_hit(PN_LIMIT_TRUSTED_ISSUERS);
        return pn_error_set(err, PN_LIMIT, "trusted_issuer",
                            "there are at most %d trusted issuers (limit trusted-issuers)",
                            (int)pn_limit_value(PN_LIMIT_TRUSTED_ISSUERS));
    }
    rc = read_issuer(&issuer, text, err);
    if (rc == PN_OK && overlaps(oidc, &issuer))
        rc = bad(err, "this issuer is there twice");
    if (rc != PN_OK) {
        pn_secret_fini(&issuer.client_secret);
        return rc;
    }
    oidc->trusted[oidc->trusted_count++] = issuer;
    return PN_OK;
}

const struct pn_trusted_issuer *pn_oidc_trusted(const struct pn_oidc *oidc, size_t i)
{
    return oidc && i < oidc->trusted_count ? &oidc->trusted[i] : NULL;
}

/* ---- tokens ---- */

bool pn_oidc_has_audience(const json_t *claims, const char *const *audiences, size_t count)
{
    const json_t *aud = json_object_get(claims, "aud");
    size_t listed = json_is_array(aud) ? json_array_size(aud) : 1;

    for (size_t i = 0; i < listed; i++) {
        const json_t *one = json_is_array(aud) ? json_array_get(aud, i) : aud;
        struct pn_slice text = pn_slice(json_string_value(one), json_string_length(one));

        for (size_t k = 0; text.ptr && k < count; k++) {
            if (audiences[k] && pn_slice_eq_str(text, audiences[k]))
                return true;
        }
    }
    return false;
}

enum pn_rc pn_oidc_foreign_token(void *ctx, const struct pn_jwt *jwt,
                                 struct pn_principal *principal, struct pn_error *err)
{
    struct pn_oidc *oidc = ctx;
    const struct pn_trusted_issuer *issuer = find(oidc, pn_json_slice(jwt->claims, "iss"));
    const char *audiences[PN_OIDC_AUDIENCES_MAX] = {NULL};
    enum pn_rc rc;

    if (!issuer)
        return PN_NOT_FOUND;
    for (size_t i = 0; i < issuer->audience_count; i++)
        audiences[i] = issuer->audiences[i];
    rc = pn_oidc_check_signature(oidc, issuer->url, jwt, err);
    if (rc == PN_OK)
        rc = pn_jwt_check_times(jwt->claims, oidc->now_s(), err);
    if (rc == PN_OK && !pn_oidc_has_audience(jwt->claims, audiences, issuer->audience_count))
        rc = pn_error_set(err, PN_DENIED, "token_audience",
                          "the token of %s is not for an audience that goes with that issuer",
                          issuer->url);
    if (rc == PN_OK)
        rc = oidc_map(oidc, issuer, jwt->claims, principal, err);
    if (rc == PN_DENIED)
        pn_metric_add(PN_METRIC_FOREIGN_TOKENS_REFUSED, 1);
    return rc == PN_NOT_FOUND ? PN_DENIED : rc; /* PN_NOT_FOUND would be: one of ours */
}
