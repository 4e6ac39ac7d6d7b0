/* SPDX-License-Identifier: Apache-2.0
 *
 * Client assertions (RFC 7523 §3): a JWT that the application signed with its certificate's key.
 *
 * Replay: MSAL for Node sends one assertion for several tokens until it expires, so an assertion
 * is no one-time thing. It is bound to the peer that showed it first, and a jti to its bytes: shown
 * by another peer, or the jti on other bytes, is a replay.
 */
#include <limits.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "authority/authority_internal.h"
#include "base/encode.h"
#include "base/log.h"
#include "identity/jwt.h"

#define ASSERTION_BYTES_MAX (32u * 1024) /* with sendCertificateChain it has an x5c */
#define DIGEST_MAX          64

static enum pn_rc refuse(struct pn_error *err, const char *aadsts, const char *message)
{
    pn_error_set(err, PN_DENIED, "invalid_client", "%s", message);
    return err ? (pn_error_target(err, aadsts), PN_DENIED) : PN_DENIED;
}

static bool digest_is(const json_t *header, const char *member, const char *hex, size_t bytes)
{
    struct pn_buf decoded;
    uint8_t wanted[DIGEST_MAX];
    bool same;

    if (!hex || !pn_hex_decode(pn_slice_str(hex), wanted, bytes))
        return false;
    pn_buf_init(&decoded, DIGEST_MAX);
    same = pn_base64url_decode(pn_json_slice(header, member), &decoded) == PN_OK &&
           decoded.len == bytes && memcmp(decoded.ptr, wanted, bytes) == 0;
    pn_buf_fini(&decoded);
    return same;
}

/* The application's certificate that x5t#S256 or x5t names, or NULL. */
static const json_t *find_certificate(const struct client *client, const json_t *header)
{
    const json_t *list = json_object_get(json_object_get(client->body, "internal"), "certificates");
    bool has_sha256 = json_object_get(header, "x5t#S256") != NULL;
    json_t *entry;
    size_t index;

    json_array_foreach(list, index, entry)
    {
        if (has_sha256
                ? digest_is(header, "x5t#S256", pn_json_str(entry, "sha256"), PN_SHA256_BYTES)
                : digest_is(header, "x5t", pn_json_str(entry, "sha1"), PN_SHA1_BYTES))
            return entry;
    }
    return NULL;
}

static enum pn_rc check_signature(const struct client *client, const struct pn_jwt *jwt,
                                  int64_t now_s, struct pn_error *err)
{
    const json_t *certificate = find_certificate(client, jwt->header);
    EVP_PKEY *key = NULL;
    struct pn_buf spki;
    enum pn_rc rc;

    if (!certificate)
        return refuse(err, "700027",
                      "Client assertion failed signature validation. The certificate that x5t or "
                      "x5t#S256 names is not registered for this application.");
    if (now_s > pn_json_int(certificate, "notAfter", 0))
        return refuse(err, "700027",
                      "Client assertion failed signature validation. The application's "
                      "certificate has expired.");
    pn_buf_init(&spki, 8192);
    rc = pn_base64_decode(pn_json_slice(certificate, "publicKey"), &spki);
    if (rc == PN_OK)
        key = pn_public_key_from_spki(pn_buf_slice(&spki));
    rc = key ? pn_jwt_verify(jwt, key, PN_JWT_RS256 | PN_JWT_PS256, NULL) : PN_INTERNAL;
    EVP_PKEY_free(key);
    pn_buf_fini(&spki);
    if (rc == PN_DENIED || rc == PN_UNSUPPORTED)
        return refuse(
            err, "700027",
            "Client assertion failed signature validation. It must be signed with RS256 or "
            "PS256 by the certificate's key.");
    return rc;
}

static enum pn_rc check_dates(const json_t *claims, int64_t now_s, int64_t *exp,
                              struct pn_error *err)
{
    int64_t nbf;

    if (!pn_jwt_date(claims, "exp", exp) || now_s >= *exp + PN_TOKEN_SKEW_S)
        return refuse(err, "700024",
                      "Client assertion is not within its valid time range: it has expired.");
    if (*exp - now_s > PN_ASSERTION_LIFETIME_MAX_S)
        return refuse(err, "700024",
                      "Client assertion is not within its valid time range: it is valid for more "
                      "than 24 hours.");
    if (json_object_get(claims, "nbf") &&
        (!pn_jwt_date(claims, "nbf", &nbf) || now_s + PN_TOKEN_SKEW_S < nbf))
        return refuse(err, "700024",
                      "Client assertion is not within its valid time range: it is not valid yet.");
    return PN_OK;
}

/* The host of "https://host:port". */
static struct pn_slice host_of(struct pn_slice origin)
{
    struct pn_slice host = pn_slice_sub(origin, strlen("https://"), origin.len);

    if (host.len > 0 && host.ptr[0] == '[')
        return pn_slice_sub(host, 0, pn_slice_find(host, ']') + 1);
    return pn_slice_sub(host, 0, pn_slice_find(host, ':'));
}

/* A host that this server knows for itself, whatever the request's Host says: loopback, that of the
 * configured address, and this machine's name. */
static bool is_own_host(const struct pn_authority *authority, struct pn_slice origin)
{
    struct pn_slice host = host_of(origin);
    char name[HOST_NAME_MAX + 1] = "";

    if (gethostname(name, sizeof name) != 0)
        name[0] = '\0';
    name[sizeof name - 1] = '\0';
    return pn_slice_case_eq_str(host, "localhost") ||
           pn_slice_ends_with(host, PN_LIT(".localhost")) || pn_slice_eq_str(host, "127.0.0.1") ||
           pn_slice_eq_str(host, "[::1]") || (name[0] && pn_slice_case_eq_str(host, name)) ||
           pn_slice_case_eq(host, host_of(pn_slice_str(authority->control_url)));
}

/* The audience says where the client meant to show the assertion. The request's Host alone proves
 * nothing: who was shown one at https://evil.example/adfs/oauth2/token would show it here with that
 * Host. So it must be a host that is ours, or the path must have this tenant's id, which no other
 * authority has a reason to have. */
static bool is_token_endpoint(const struct pn_authority *authority, struct pn_slice url,
                              struct pn_slice origin)
{
    struct pn_slice rest, tenant;
    size_t slash;

    if (!pn_slice_case_starts_with(url, origin))
        return false;
    rest = pn_slice_sub(url, origin.len, url.len);
    if (rest.len == 0 || rest.ptr[0] != '/')
        return false;
    rest = pn_slice_sub(rest, 1, rest.len);
    slash = pn_slice_find(rest, '/');
    tenant = pn_slice_sub(rest, 0, slash);
    rest = pn_slice_sub(rest, slash, rest.len);
    return (pn_slice_case_eq_str(tenant, authority->tenant_id) ||
            ((pn_slice_case_eq_str(tenant, "adfs") || authority_is_tenant(authority, tenant)) &&
             is_own_host(authority, origin))) &&
           (pn_slice_case_eq_str(rest, "/oauth2/v2.0/token") ||
            pn_slice_case_eq_str(rest, "/oauth2/token"));
}

static enum pn_rc check_names(const struct pn_authority *authority, const struct client *client,
                              const json_t *claims, struct pn_slice origin, struct pn_error *err)
{
    const json_t *aud = json_object_get(claims, "aud");
    struct pn_slice url = pn_slice(json_string_value(aud), json_string_length(aud));

    if (!pn_slice_case_eq_str(pn_json_slice(claims, "iss"), client->client_id) ||
        !pn_slice_case_eq_str(pn_json_slice(claims, "sub"), client->client_id))
        return refuse(
            err, "700021",
            "Client assertion application identifier doesn't match 'client_id' parameter: "
            "iss and sub must both be the client id.");
    if (json_is_array(aud) && json_array_size(aud) == 1)
        url = pn_slice(json_string_value(json_array_get(aud, 0)),
                       json_string_length(json_array_get(aud, 0)));
    if (!is_token_endpoint(authority, url, origin))
        return refuse(err, "700023",
                      "Client assertion audience claim does not match the token endpoint that was "
                      "called. Under a name that this server does not know for its own (a proxy's) "
                      "use the authority with the tenant's id instead of 'adfs' or 'common'.");
    return PN_OK;
}

static void digest_half(struct pn_slice bytes, uint8_t out[16])
{
    uint8_t digest[PN_SHA256_BYTES];

    pn_sha256(bytes, digest);
    memcpy(out, digest, 16);
}

/* Names the assertion: of client and jti, or of its signature when it has no jti. PN_NOMEM. */
static enum pn_rc name_assertion(const struct client *client, const struct pn_jwt *jwt,
                                 struct used_assertion *name)
{
    struct pn_slice jti = pn_json_slice(jwt->claims, "jti");
    struct pn_buf text;
    enum pn_rc rc;

    digest_half(pn_slice(jwt->signature, jwt->signature_len), name->content);
    if (jti.len == 0) {
        memcpy(name->id, name->content, sizeof name->id);
        return PN_OK;
    }
    pn_buf_init(&text, ASSERTION_BYTES_MAX + 128);
    rc = pn_buf_printf(&text, "%s\n", client->client_id);
    if (rc == PN_OK)
        rc = pn_buf_append_slice(&text, jti);
    if (rc == PN_OK)
        digest_half(pn_buf_slice(&text), name->id);
    pn_buf_fini(&text);
    return rc;
}

static enum pn_rc remember(struct pn_authority *authority, const struct used_assertion *name,
                           struct pn_error *err)
{
    int64_t now_s = authority->now_s();
    struct used_assertion *free_entry = NULL;
    enum pn_rc rc = PN_OK;
    bool found = false;

    pthread_mutex_lock(&authority->lock);
    for (size_t i = 0; !found && i < PN_ASSERTION_REPLAY_MAX; i++) {
        struct used_assertion *entry = &authority->used[i];

        if (entry->forget_s <= now_s) {
            free_entry = free_entry ? free_entry : entry;
            continue;
        }
        found = memcmp(entry->id, name->id, sizeof name->id) == 0;
        if (found && (entry->peer != name->peer ||
                      memcmp(entry->content, name->content, sizeof name->content) != 0))
            rc = PN_DENIED;
    }
    if (!found && free_entry)
        *free_entry = *name;
    else if (!found)
        rc = PN_LIMIT;
    pthread_mutex_unlock(&authority->lock);
    if (rc == PN_DENIED)
        return refuse(err, "700024",
                      "Client assertion was used before: its jti is already known from "
                      "another sender or with other content.");
    if (rc == PN_LIMIT)
        return pn_error_set(err, rc, "temporarily_unavailable",
                            "Too many client assertions are in use. Try again later.");
    return PN_OK;
}

enum pn_rc authority_check_assertion(struct pn_authority *authority, const struct client *client,
                                     struct pn_slice assertion, struct pn_slice origin,
                                     const char *peer, struct pn_error *err)
{
    struct used_assertion name = {.peer = authority_peer_hash(peer)};
    int64_t now_s = authority->now_s(), exp = 0;
    struct pn_jwt jwt;
    enum pn_rc rc = pn_jwt_parse(assertion, ASSERTION_BYTES_MAX, &jwt, err);

    if (rc == PN_MALFORMED || rc == PN_LIMIT)
        rc = refuse(err, "50027", "Invalid JWT token: the client assertion is malformed.");
    if (rc == PN_OK)
        rc = check_signature(client, &jwt, now_s, err);
    if (rc == PN_OK)
        rc = check_names(authority, client, jwt.claims, origin, err);
    if (rc == PN_OK)
        rc = check_dates(jwt.claims, now_s, &exp, err);
    if (rc == PN_OK)
        rc = name_assertion(client, &jwt, &name);
    name.forget_s = exp + PN_TOKEN_SKEW_S;
    if (rc == PN_OK)
        rc = remember(authority, &name, err);
    if (rc == PN_DENIED)
        pn_log(PN_LOG_WARN, "token_refused", "reason", PN_S("bad_assertion"), "code",
               PN_S(err ? err->target : ""), "client", PN_S(client->client_id), "peer",
               PN_S(peer ? peer : ""), NULL);
    pn_jwt_fini(&jwt);
    return rc;
}
