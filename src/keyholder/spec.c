/* SPDX-License-Identifier: Apache-2.0
 *
 * Reads an issue specification (ipc/protocol.h) off a frame.
 */
#include <string.h>

#include "base/arena.h"
#include "ipc/frame.h"
#include "ipc/protocol.h"
#include "keyholder/server_internal.h"

/* A text with a NUL inside would be cut: two readers would disagree about it. */
static enum pn_rc read_text(struct pn_slice *fields, struct pn_arena *arena, const char **text)
{
    struct pn_slice bytes;

    if (pn_frame_read_bytes(fields, &bytes) != PN_OK ||
        (bytes.len > 0 && memchr(bytes.ptr, '\0', bytes.len)))
        return PN_MALFORMED;
    *text = pn_arena_strdup(arena, bytes);
    return *text ? PN_OK : PN_NOMEM;
}

static enum pn_rc read_list(struct pn_slice *fields, struct pn_arena *arena,
                            const char *const **list)
{
    const char **texts;
    uint32_t count;
    enum pn_rc rc = PN_OK;

    if (pn_frame_read_u32(fields, &count) != PN_OK)
        return PN_MALFORMED;
    if (count > PN_SPEC_NAMES_MAX)
        return PN_LIMIT;
    texts = pn_arena_zalloc(arena, (count + 1) * sizeof(*texts));
    if (!texts)
        return PN_NOMEM;
    for (uint32_t i = 0; i < count && rc == PN_OK; i++)
        rc = read_text(fields, arena, &texts[i]);
    *list = texts;
    return rc;
}

static enum pn_rc read_lists(struct pn_slice *fields, struct pn_arena *arena,
                             struct pn_issue_spec *spec)
{
    const char *const **lists[] = {&spec->dns_names, &spec->ip_addresses, &spec->emails,
                                   &spec->uris,      &spec->ekus,         &spec->key_usages};
    enum pn_rc rc = PN_OK;

    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]) && rc == PN_OK; i++)
        rc = read_list(fields, arena, lists[i]);
    return rc;
}

enum pn_rc pn_spec_read(struct pn_slice *fields, struct pn_arena *arena, struct pn_key_id *issuer,
                        struct pn_issue_spec *spec)
{
    struct pn_slice issuer_id;
    uint64_t not_before, not_after;
    uint32_t key_bits;
    uint8_t is_ca, is_private, has_issuer;
    enum pn_rc rc;

    *spec = (struct pn_issue_spec){0};
    rc = read_text(fields, arena, &spec->key_type);
    if (rc == PN_OK)
        rc = pn_frame_read_u32(fields, &key_bits);
    if (rc == PN_OK)
        rc = read_text(fields, arena, &spec->subject);
    if (rc == PN_OK)
        rc = read_lists(fields, arena, spec);
    if (rc != PN_OK)
        return rc;
    if (pn_frame_read_u8(fields, &is_ca) != PN_OK ||
        pn_frame_read_u8(fields, &is_private) != PN_OK ||
        pn_frame_read_u64(fields, &not_before) != PN_OK ||
        pn_frame_read_u64(fields, &not_after) != PN_OK ||
        pn_frame_read_u8(fields, &has_issuer) != PN_OK ||
        pn_frame_read_bytes(fields, &issuer_id) != PN_OK ||
        pn_frame_read_bytes(fields, &spec->issuer_certificate) != PN_OK)
        return PN_MALFORMED;
    if (issuer_id.len != (has_issuer ? sizeof(issuer->sha256) : 0))
        return PN_MALFORMED;
    if (has_issuer) {
        memcpy(issuer->sha256, issuer_id.ptr, issuer_id.len);
        spec->issuer_key = issuer;
    }
    spec->key_bits = key_bits;
    spec->is_ca = is_ca != 0;
    spec->is_private = is_private != 0;
    spec->not_before = (int64_t)not_before;
    spec->not_after = (int64_t)not_after;
    return PN_OK;
}
