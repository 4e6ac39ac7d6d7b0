/* SPDX-License-Identifier: Apache-2.0
 *
 * An issuer's two documents: OpenID Connect Discovery 1.0 §4, and its JWKS (RFC 7517 §5).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/limits.h"
#include "fetch/fetch.h"
#include "identity/jwk.h"
#include "oidc/oidc_internal.h"

#define WELL_KNOWN  "/.well-known/openid-configuration"
#define LIFETIME_MS 3600000 /* when the issuer says nothing */

void oidc_facts_fini(struct issuer_facts *facts)
{
    for (size_t i = 0; i < facts->key_count; i++)
        EVP_PKEY_free(facts->keys[i].key);
    free(facts->keys);
    memset(facts, 0, sizeof *facts);
}

static enum pn_rc get_json(const struct pn_outbound_scope *outbound, const char *url, json_t **json,
                           int64_t *max_age_s, struct pn_error *err)
{
    const struct pn_fetch_request request = {.url = url,
                                             .outbound = outbound,
                                             .service = PN_TAG_ACTIVE_DIRECTORY,
                                             .kind = PN_OUTBOUND_ISSUER};
    struct pn_fetch_answer answer;
    enum pn_rc rc = pn_fetch(&request, &answer, err);

    if (rc == PN_OK && answer.status != 200)
        rc = pn_error_set(err, PN_UNAVAILABLE, "issuer_answer", "%s answered %d", url,
                          answer.status);
    if (rc == PN_OK) {
        rc = pn_json_parse(pn_buf_slice(&answer.body), json, NULL);
        if (rc != PN_OK || !json_is_object(*json))
            rc = pn_error_set(err, PN_MALFORMED, "issuer_answer", "%s is not a JSON object", url);
    }
    *max_age_s = answer.max_age_s;
    pn_fetch_answer_fini(&answer);
    return rc;
}

static bool copy_url(const json_t *document, const char *member, char out[PN_OIDC_URL_MAX])
{
    struct pn_slice text = pn_json_slice(document, member);

    if (!pn_slice_starts_with(text, PN_LIT("https://")) || text.len >= PN_OIDC_URL_MAX ||
        memchr(text.ptr, '\0', text.len))
        return false;
    snprintf(out, PN_OIDC_URL_MAX, "%.*s", PN_FMT(text));
    return true;
}

/* Discovery §3: left out means client_secret_basic. */
static bool takes_basic(const json_t *document)
{
    const json_t *methods = json_object_get(document, "token_endpoint_auth_methods_supported");
    json_t *method;
    size_t index;

    json_array_foreach(methods, index, method)
    {
        const char *name = json_string_value(method);

        if (name && strcmp(name, "client_secret_basic") == 0)
            return true;
    }
    return !json_is_array(methods);
}

/* §4.3: the document must be that of the issuer that was asked for. */
static enum pn_rc read_discovery(const json_t *document, const char *url,
                                 struct issuer_facts *facts, char jwks[PN_OIDC_URL_MAX],
                                 struct pn_error *err)
{
    struct pn_slice issuer = pn_json_slice(document, "issuer");
    char template[PN_OIDC_URL_MAX];

    if (!facts->has_tenants && pn_slice_find_slice(issuer, PN_LIT(TENANT_HOLE)) < issuer.len)
        return pn_error_set(err, PN_MALFORMED, "issuer_answer",
                            "%s speaks for many tenants (its issuer is a template): use the URL of "
                            "one tenant, or as a trusted issuer tenant=UUID for each",
                            url);
    if (facts->has_tenants && oidc_of_tenant(url, TENANT_HOLE, template))
        url = template;
    if (!pn_slice_eq_str(issuer, url))
        return pn_error_set(err, PN_MALFORMED, "issuer_answer",
                            "the discovery document of %s names another issuer", url);
    if (!copy_url(document, "jwks_uri", jwks))
        return pn_error_set(err, PN_MALFORMED, "issuer_answer",
                            "the discovery document of %s has no https jwks_uri", url);
    (void)copy_url(document, "authorization_endpoint", facts->authorization_endpoint);
    (void)copy_url(document, "token_endpoint", facts->token_endpoint);
    facts->takes_basic = takes_basic(document);
    return PN_OK;
}

/* Entra ID says of each key of its many tenants whose tokens it signs: a template, or one. False:
 * it is not for us. */
static bool copy_key_issuer(const json_t *jwk, char out[PN_OIDC_URL_MAX])
{
    struct pn_slice text = pn_json_slice(jwk, "issuer");

    if (json_object_get(jwk, "issuer") && (text.len == 0 || text.len >= PN_OIDC_URL_MAX))
        return false;
    snprintf(out, PN_OIDC_URL_MAX, "%.*s", PN_FMT(text));
    return true;
}

static enum pn_rc read_keys(const json_t *document, struct issuer_facts *facts)
{
    size_t max = (size_t)pn_limit_value(PN_LIMIT_ISSUER_KEYS), index;
    json_t *jwk;

    facts->keys = calloc(max, sizeof *facts->keys);
    if (!facts->keys)
        return PN_NOMEM;
    json_array_foreach(json_object_get(document, "keys"), index, jwk)
    {
        struct issuer_key *slot;
        const char *kid = pn_json_str(jwk, "kid");
        const char *alg = pn_json_str(jwk, "alg");

        if (facts->key_count == max) {
            pn_limit_hit(PN_LIMIT_ISSUER_KEYS);
            break;
        }
        slot = &facts->keys[facts->key_count];
        if ((facts->has_tenants && !copy_key_issuer(jwk, slot->issuer)) ||
            (kid && strlen(kid) >= sizeof slot->kid) || (alg && strlen(alg) >= sizeof slot->alg))
            continue;
        slot->key = pn_jwk_key(jwk);
        if (!slot->key)
            continue;
        snprintf(slot->kid, sizeof slot->kid, "%s", kid ? kid : "");
        snprintf(slot->alg, sizeof slot->alg, "%s", alg ? alg : "");
        facts->key_count++;
    }
    return PN_OK;
}

static uint64_t lifetime_of(int64_t max_age_s)
{
    uint64_t min = pn_limit_value(PN_LIMIT_ISSUER_LIFETIME_MIN);
    uint64_t max = pn_limit_value(PN_LIMIT_ISSUER_LIFETIME_MAX);
    uint64_t said = max_age_s < 0                  ? LIFETIME_MS
                    : max_age_s > INT64_MAX / 1000 ? max
                                                   : (uint64_t)max_age_s * 1000;

    if (said > max)
        said = max;
    return said > min ? said : min;
}

enum pn_rc oidc_fetch_facts(const struct pn_outbound_scope *outbound, const char *url,
                            bool has_tenants, struct issuer_facts *facts, struct pn_error *err)
{
    char address[PN_OIDC_URL_MAX + sizeof WELL_KNOWN], jwks[PN_OIDC_URL_MAX];
    size_t len = strlen(url);
    json_t *discovery = NULL, *keys = NULL;
    int64_t unused, max_age_s = -1;
    enum pn_rc rc;

    *facts = (struct issuer_facts){.has_tenants = has_tenants};
    if (len > 0 && url[len - 1] == '/')
        len--;
    snprintf(address, sizeof address, "%.*s" WELL_KNOWN, (int)len, url);
    rc = get_json(outbound, address, &discovery, &unused, err);
    if (rc == PN_OK)
        rc = read_discovery(discovery, url, facts, jwks, err);
    if (rc == PN_OK)
        rc = get_json(outbound, jwks, &keys, &max_age_s, err);
    if (rc == PN_OK)
        rc = read_keys(keys, facts);
    if (rc == PN_OK && facts->key_count == 0)
        rc = pn_error_set(err, PN_MALFORMED, "issuer_answer",
                          "%s has no key for signatures that is RSA (2048 to 8192 bits) or P-256",
                          jwks);
    facts->lifetime_ms = lifetime_of(max_age_s);
    json_decref(discovery);
    json_decref(keys);
    if (rc != PN_OK)
        oidc_facts_fini(facts);
    return rc;
}
