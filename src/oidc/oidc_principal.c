/* SPDX-License-Identifier: Apache-2.0
 *
 * Who a foreign token's claims are, here.
 *
 * Invariant: never one of our own principals. An id is either derived from the issuer and what it
 * says, so that no two issuers can mean the same one and nobody can choose it; or, with
 * principal=oid, the issuer's own UUID, which is refused where the local directory has it.
 */
#include <stdio.h>
#include <string.h>

#include "base/encode.h"
#include "base/json.h"
#include "oidc/oidc_internal.h"

#define SUBJECT_MAX 255 /* OpenID Connect Core §2 */
#define TEXT_MAX    (PN_OIDC_URL_MAX + SUBJECT_MAX + 64)

/* RFC 9562 §5.8: a UUID of version 8 from issuer, kind and name. */
static bool derive(const char *issuer, const char *kind, struct pn_slice name,
                   char out[PN_UUID_TEXT])
{
    uint8_t hash[PN_SHA256_BYTES];
    struct pn_buf text;
    char hex[33];
    bool good;

    pn_buf_init(&text, TEXT_MAX);
    good = pn_buf_printf(&text, "postern/%s\n%s\n", kind, issuer) == PN_OK &&
           pn_buf_append_slice(&text, name) == PN_OK;
    if (good) {
        pn_sha256(pn_buf_slice(&text), hash);
        hash[6] = (uint8_t)((hash[6] & 0x0f) | 0x80);
        hash[8] = (uint8_t)((hash[8] & 0x3f) | 0x80);
        pn_hex_lower(hash, 16, hex);
        snprintf(out, PN_UUID_TEXT, "%.8s-%.4s-%.4s-%.4s-%.12s", hex, hex + 8, hex + 12, hex + 16,
                 hex + 20);
    }
    pn_buf_fini(&text);
    return good;
}

/* PN_NOT_FOUND: nobody of ours has it. */
static enum pn_rc own_id(struct pn_oidc *oidc, struct pn_slice id, char out[PN_UUID_TEXT],
                         struct pn_error *err)
{
    enum pn_rc rc;

    if (!pn_is_uuid(id))
        return PN_DENIED;
    rc = pn_principal_find(oidc->store, id, err);
    if (rc == PN_NOT_FOUND)
        snprintf(out, PN_UUID_TEXT, "%.*s", PN_FMT(id));
    return rc == PN_OK ? PN_DENIED : rc;
}

static enum pn_rc map_groups(struct pn_oidc *oidc, const struct pn_trusted_issuer *issuer,
                             const char *iss, const json_t *groups, struct pn_principal *principal,
                             struct pn_error *err)
{
    json_t *group;
    size_t index;

    json_array_foreach(groups, index, group)
    {
        struct pn_slice name = pn_slice(json_string_value(group), json_string_length(group));
        char *out;
        enum pn_rc rc;

        if (principal->group_count == PN_PRINCIPAL_GROUPS_MAX)
            break;
        out = principal->groups[principal->group_count];
        if (!name.ptr || name.len == 0 || name.len > SUBJECT_MAX)
            continue;
        if (!issuer->by_oid) {
            principal->group_count += derive(iss, "group", name, out) ? 1 : 0;
            continue;
        }
        rc = own_id(oidc, name, out, err);
        if (rc == PN_NOT_FOUND)
            principal->group_count++;
        else if (rc != PN_DENIED)
            return rc;
    }
    return PN_OK;
}

enum pn_rc oidc_map(struct pn_oidc *oidc, const struct pn_trusted_issuer *issuer,
                    const json_t *claims, struct pn_principal *principal, struct pn_error *err)
{
    struct pn_slice subject = pn_json_slice(claims, issuer->by_oid ? "oid" : "sub");
    const char *iss = pn_json_str(claims, "iss"); /* of many tenants the one that it is of */
    char id[PN_UUID_TEXT] = "";
    enum pn_rc rc = PN_NOT_FOUND;

    memset(principal, 0, sizeof *principal);
    if (!iss || !pn_oidc_says(issuer, pn_slice_str(iss)))
        return pn_error_set(err, PN_DENIED, "token_issuer", "the token is not one of %s",
                            issuer->url);
    if (subject.len == 0 || subject.len > SUBJECT_MAX)
        return pn_error_set(err, PN_DENIED, "token_malformed", "the token of %s has no claim '%s'",
                            issuer->url, issuer->by_oid ? "oid" : "sub");
    if (issuer->by_oid)
        rc = own_id(oidc, subject, id, err);
    else if (!derive(iss, "principal", subject, id))
        return PN_NOMEM;
    if (rc == PN_DENIED)
        return pn_error_set(err, PN_DENIED, "token_principal",
                            "the token's oid is no UUID, or that of a principal of this tenant");
    if (rc != PN_NOT_FOUND)
        return rc;
    snprintf(principal->object_id, sizeof principal->object_id, "%s", id);
    snprintf(principal->issuer, sizeof principal->issuer, "%.255s", iss);
    return map_groups(oidc, issuer, iss, json_object_get(claims, issuer->groups_claim), principal,
                      err);
}
