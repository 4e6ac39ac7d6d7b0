/* SPDX-License-Identifier: Apache-2.0
 *
 * Secrets of the stored documents: sealed by the keyholder, bound to the id they belong to.
 */
#include "arm/arm_internal.h"

#include <string.h>

#include "base/encode.h"

#define SEALED_BYTES_MAX (1024u * 1024)

char *arm_lower(struct pn_arena *arena, struct pn_slice text)
{
    char *lower = pn_arena_strdup(arena, text);

    for (char *c = lower; c && *c; c++)
        if (*c >= 'A' && *c <= 'Z')
            *c = (char)(*c - 'A' + 'a');
    return lower;
}

/** The id in lower case; ids are at most PN_ID_BYTES_MAX long. */
static struct pn_slice context_of(const char *id, char context[PN_ID_BYTES_MAX + 1])
{
    size_t len = strnlen(id, PN_ID_BYTES_MAX);

    for (size_t i = 0; i < len; i++)
        context[i] = id[i] >= 'A' && id[i] <= 'Z' ? (char)(id[i] - 'A' + 'a') : id[i];
    context[len] = 0;
    return pn_slice(context, len);
}

enum pn_rc arm_seal(const struct pn_arm_services *services, const char *id, const json_t *plain,
                    json_t **sealed, struct pn_error *err)
{
    char context[PN_ID_BYTES_MAX + 1];
    struct pn_buf text;
    struct pn_buf bytes;
    struct pn_buf base64;
    enum pn_rc rc = PN_OK;

    pn_buf_init_secret(&text, SEALED_BYTES_MAX);
    pn_buf_init(&bytes, SEALED_BYTES_MAX);
    pn_buf_init(&base64, SEALED_BYTES_MAX * 2);
    rc = pn_json_dump(plain, &text);
    if (rc != PN_OK) {
        rc = pn_error_set(err, rc, "sealing_failed", "The secrets are too large to be stored.");
        goto out;
    }
    rc = services->seal(services->ctx, context_of(id, context), pn_buf_slice(&text), &bytes, err);
    if (rc != PN_OK)
        goto out;
    rc = pn_base64_encode(pn_buf_slice(&bytes), &base64);
    if (rc == PN_OK) {
        *sealed = json_stringn(base64.ptr, base64.len);
        if (!*sealed)
            rc = PN_NOMEM;
    }
    if (rc != PN_OK)
        pn_error_set(err, rc, "sealing_failed", "out of memory");
out:
    pn_buf_fini(&text);
    pn_buf_fini(&bytes);
    pn_buf_fini(&base64);
    return rc;
}

enum pn_rc arm_unseal(const struct pn_arm_services *services, const char *id, const char *sealed,
                      json_t **plain, struct pn_error *err)
{
    char context[PN_ID_BYTES_MAX + 1];
    struct pn_buf bytes;
    struct pn_buf text;
    enum pn_rc rc = PN_OK;

    pn_buf_init(&bytes, SEALED_BYTES_MAX);
    pn_buf_init_secret(&text, SEALED_BYTES_MAX);
    rc = pn_base64_decode(pn_slice_str(sealed), &bytes);
    if (rc != PN_OK) {
        rc = pn_error_set(err, PN_INTERNAL, "unsealing_failed", "'%s' is damaged", id);
        goto out;
    }
    rc = services->unseal(services->ctx, context_of(id, context), pn_buf_slice(&bytes), &text, err);
    if (rc == PN_DENIED) /* not the caller's fault, so not a 403 */
        rc = pn_error_set(err, PN_INTERNAL, "unsealing_failed",
                          "the secrets of '%s' were sealed by another keyholder", id);
    if (rc != PN_OK)
        goto out;
    rc = pn_json_parse(pn_buf_slice(&text), plain, err);
    if (rc == PN_MALFORMED)
        rc = pn_error_set(err, PN_INTERNAL, "unsealing_failed", "'%s' is damaged", id);
out:
    pn_buf_fini(&bytes);
    pn_buf_fini(&text);
    return rc;
}
