/* SPDX-License-Identifier: Apache-2.0
 *
 * Checks access tokens (RFC 7519, RFC 9068 §4): signature, issuer, audience, times.
 *
 * The issuer has the origin that the client used to reach the authority, which may be any name of
 * this host; what counts is that one of our keys signed it and that it names our tenant.
 */
#include "identity/token_verifier.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/encode.h"
#include "base/json.h"
#include "identity/jwk.h"
#include "identity/jwt.h"

#define KID_TEXT 128

struct token_key {
    char kid[KID_TEXT];
    EVP_PKEY *key;
};

struct pn_token_verifier {
    char tenant_id[64];
    int64_t (*now_s)(void);
    struct token_key keys[PN_TOKEN_KEYS_MAX];
    size_t key_count;
    pn_foreign_token_fn verify_foreign; /* NULL: only ours */
    void *foreign_ctx;
};

enum pn_rc pn_token_verifier_create(const char *tenant_id, int64_t (*now_s)(void),
                                    struct pn_token_verifier **verifier)
{
    struct pn_token_verifier *made = calloc(1, sizeof *made);

    if (!made)
        return PN_NOMEM;
    snprintf(made->tenant_id, sizeof made->tenant_id, "%s", tenant_id);
    made->now_s = now_s ? now_s : pn_clock_unix_s;
    *verifier = made;
    return PN_OK;
}

void pn_token_verifier_destroy(struct pn_token_verifier *verifier)
{
    if (!verifier)
        return;
    for (size_t i = 0; i < verifier->key_count; i++)
        EVP_PKEY_free(verifier->keys[i].key);
    free(verifier);
}

void pn_token_verifier_set_foreign(struct pn_token_verifier *verifier, pn_foreign_token_fn verify,
                                   void *ctx)
{
    verifier->verify_foreign = verify;
    verifier->foreign_ctx = ctx;
}

/* Takes `key`. */
static enum pn_rc add_key(struct pn_token_verifier *verifier, const char *kid, EVP_PKEY *key,
                          struct pn_error *err)
{
    struct token_key *slot;
    enum pn_rc rc;

    if (!EVP_PKEY_is_a(key, "RSA") || EVP_PKEY_get_bits(key) < PN_JWK_RSA_BITS_MIN)
        rc = pn_error_set(err, PN_UNSUPPORTED, "token_key",
                          "a token key must be RSA of %d bits or more", PN_JWK_RSA_BITS_MIN);
    else if (verifier->key_count == PN_TOKEN_KEYS_MAX)
        rc = pn_error_set(err, PN_LIMIT, "token_key", "more than %d token keys", PN_TOKEN_KEYS_MAX);
    else if (strlen(kid) >= KID_TEXT)
        rc = pn_error_set(err, PN_LIMIT, "token_key", "a key's kid is longer than %d bytes",
                          KID_TEXT);
    else
        rc = PN_OK;
    if (rc != PN_OK) {
        EVP_PKEY_free(key);
        return rc;
    }
    slot = &verifier->keys[verifier->key_count++];
    snprintf(slot->kid, sizeof slot->kid, "%s", kid);
    slot->key = key;
    return PN_OK;
}

enum pn_rc pn_token_verifier_add_key(struct pn_token_verifier *verifier, const char *kid,
                                     struct pn_slice spki, struct pn_error *err)
{
    EVP_PKEY *key = pn_public_key_from_spki(spki);

    if (!key)
        return pn_error_set(err, PN_MALFORMED, "token_key", "a token key is not a public key");
    return add_key(verifier, kid, key, err);
}

enum pn_rc pn_token_verifier_add_jwks(struct pn_token_verifier *verifier, struct pn_slice jwks,
                                      struct pn_error *err)
{
    json_t *document = NULL;
    json_t *jwk;
    size_t index;
    enum pn_rc rc = pn_json_parse(jwks, &document, err);

    if (rc != PN_OK)
        return rc;
    json_array_foreach(json_object_get(document, "keys"), index, jwk)
    {
        const char *kty = pn_json_str(jwk, "kty");
        const char *kid = pn_json_str(jwk, "kid");
        const char *use = pn_json_str(jwk, "use");
        EVP_PKEY *key;

        if (!kty || strcmp(kty, "RSA") != 0 || !kid || (use && strcmp(use, "sig") != 0))
            continue;
        key = pn_jwk_key(jwk);
        rc = key ? add_key(verifier, kid, key, err)
                 : pn_error_set(err, PN_MALFORMED, "token_key", "key %zu of the JWKS is broken",
                                index);
        if (rc != PN_OK)
            break;
    }
    json_decref(document);
    return rc;
}

struct pn_slice pn_bearer_token(struct pn_slice authorization)
{
    struct pn_slice none = {NULL, 0};
    struct pn_slice value = pn_slice_trim(authorization);
    struct pn_slice token;

    if (!pn_slice_case_starts_with(value, PN_LIT("Bearer ")))
        return none;
    token = pn_slice_trim(pn_slice_sub(value, 7, value.len));
    return token.len > 0 ? token : none;
}

static enum pn_rc check_signature(const struct pn_token_verifier *verifier,
                                  const struct pn_jwt *jwt, struct pn_error *err)
{
    const char *kid = pn_json_str(jwt->header, "kid");

    for (size_t i = 0; kid && i < verifier->key_count; i++) {
        if (strcmp(verifier->keys[i].kid, kid) != 0)
            continue;
        if (pn_jwt_verify(jwt, verifier->keys[i].key, PN_JWT_RS256, err) == PN_OK)
            return PN_OK;
        return PN_DENIED;
    }
    return pn_error_set(err, PN_DENIED, "token_signature",
                        "the token is not signed by a key of this authority");
}

static enum pn_rc check_issuer(const struct pn_token_verifier *verifier, const char *issuer,
                               const char *tenant, struct pn_error *err)
{
    struct pn_slice rest = pn_slice_str(issuer);
    size_t slash;

    if (!issuer || !tenant || !pn_slice_starts_with(rest, PN_LIT("https://")))
        goto refuse;
    rest = pn_slice_sub(rest, 8, rest.len);
    slash = pn_slice_find(rest, '/');
    rest = pn_slice_sub(rest, slash + 1, rest.len);
    if (!pn_slice_case_eq_str(pn_slice_str(tenant), verifier->tenant_id))
        goto refuse;
    if (pn_slice_ends_with(rest, PN_LIT("/v2.0")))
        rest.len -= 5;
    else if (pn_slice_ends_with(rest, PN_LIT("/")))
        rest.len -= 1;
    if (pn_slice_case_eq_str(rest, verifier->tenant_id))
        return PN_OK;
refuse:
    return pn_error_set(err, PN_DENIED, "token_issuer",
                        "the token is not issued by the authority of tenant %s",
                        verifier->tenant_id);
}

/* The claim may be a text or a list of texts (RFC 7519 §4.1.3). */
static enum pn_rc check_audience(const json_t *aud, const char *const *audiences,
                                 struct pn_error *err)
{
    struct pn_slice text = {json_string_value(aud), json_string_length(aud)};

    if (json_is_array(aud) && json_array_size(aud) == 1)
        text = (struct pn_slice){json_string_value(json_array_get(aud, 0)),
                                 json_string_length(json_array_get(aud, 0))};
    if (!text.ptr || text.len == 0)
        return pn_error_set(err, PN_DENIED, "token_audience", "the token has no audience");
    if (text.ptr[text.len - 1] == '/')
        text.len--;
    for (size_t i = 0; audiences[i]; i++) {
        struct pn_slice wanted = pn_slice_str(audiences[i]);

        if (wanted.len > 0 && wanted.ptr[wanted.len - 1] == '/')
            wanted.len--;
        if (pn_slice_case_eq(text, wanted))
            return PN_OK;
    }
    return pn_error_set(err, PN_DENIED, "token_audience",
                        "Invalid audience. Expected %s, found: %.*s.", audiences[0],
                        (int)(text.len < 200 ? text.len : 200), text.ptr);
}

static bool copy_claim(const json_t *claims, const char *claim, char *out, size_t size)
{
    const char *text = pn_json_str(claims, claim);

    out[0] = '\0';
    if (!text || strlen(text) >= size)
        return false;
    memcpy(out, text, strlen(text) + 1);
    return true;
}

static void copy_groups(const json_t *groups, struct pn_principal *principal)
{
    json_t *group;
    size_t index;

    json_array_foreach(groups, index, group)
    {
        size_t len = json_string_length(group);

        if (principal->group_count == PN_PRINCIPAL_GROUPS_MAX)
            break;
        if (len > 0 && len < sizeof principal->groups[0])
            memcpy(principal->groups[principal->group_count++], json_string_value(group), len + 1);
    }
}

enum pn_rc pn_token_verify(struct pn_token_verifier *verifier, struct pn_slice token,
                           const char *const *audiences, struct pn_principal *principal,
                           struct pn_error *err)
{
    struct pn_jwt jwt;
    enum pn_rc rc = pn_jwt_parse(token, PN_TOKEN_BYTES_MAX, &jwt, err);

    memset(principal, 0, sizeof *principal);
    if (rc == PN_NOMEM)
        goto out;
    if (rc != PN_OK) {
        rc = PN_DENIED;
        goto out;
    }
    if (verifier->verify_foreign) {
        rc = verifier->verify_foreign(verifier->foreign_ctx, &jwt, principal, err);
        if (rc != PN_NOT_FOUND) {
            principal->managed_by[0] = '\0'; /* whatever it said: not a resource of ours */
            goto out;
        }
    }
    rc = check_signature(verifier, &jwt, err);
    if (rc == PN_OK)
        rc = pn_jwt_check_times(jwt.claims, verifier->now_s(), err);
    if (rc == PN_OK)
        rc = check_issuer(verifier, pn_json_str(jwt.claims, "iss"), pn_json_str(jwt.claims, "tid"),
                          err);
    if (rc == PN_OK)
        rc = check_audience(json_object_get(jwt.claims, "aud"), audiences, err);
    if (rc != PN_OK)
        goto out;
    if (!copy_claim(jwt.claims, "oid", principal->object_id, sizeof principal->object_id) ||
        !copy_claim(jwt.claims, "tid", principal->tenant_id, sizeof principal->tenant_id) ||
        !copy_claim(jwt.claims, "iss", principal->issuer, sizeof principal->issuer)) {
        rc = pn_error_set(err, PN_DENIED, "token_malformed", "the token names no principal");
        goto out;
    }
    if (!copy_claim(jwt.claims, "appid", principal->app_id, sizeof principal->app_id))
        (void)copy_claim(jwt.claims, "azp", principal->app_id, sizeof principal->app_id);
    (void)copy_claim(jwt.claims, "xms_mirid", principal->managed_by, sizeof principal->managed_by);
    copy_groups(json_object_get(jwt.claims, "groups"), principal);
out:
    if (err && rc != PN_OK)
        err->rc = rc;
    pn_jwt_fini(&jwt);
    return rc;
}
