/* SPDX-License-Identifier: Apache-2.0
 *
 * Client of the keyholder: the vault's keys.
 */
#include "ipc/keyholder_vault.h"

#include "ipc/keyholder_internal.h"
#include "ipc/protocol.h"

#define USE_TIMEOUT_MS 5000

struct two {
    struct pn_buf *first, *second;
};

static enum pn_rc append_bytes(struct pn_slice fields, void *ctx)
{
    struct pn_slice bytes;
    enum pn_rc rc = pn_frame_read_bytes(&fields, &bytes);

    return rc == PN_OK ? pn_buf_append_slice(ctx, bytes) : rc;
}

static enum pn_rc append_two(struct pn_slice fields, void *ctx)
{
    struct two *two = ctx;
    struct pn_slice first, second;
    enum pn_rc rc = pn_frame_read_bytes(&fields, &first);

    if (rc == PN_OK)
        rc = pn_frame_read_bytes(&fields, &second);
    if (rc == PN_OK)
        rc = pn_buf_append_slice(two->first, first);
    return rc == PN_OK ? pn_buf_append_slice(two->second, second) : rc;
}

static void put_key(struct pn_question *question, const struct pn_vault_key *key)
{
    pn_question_bytes(question, key->context);
    pn_question_u8(question, key->is_certificate);
    pn_question_bytes(question, key->sealed);
}

void pn_question_reuse(struct pn_question *question, const struct pn_vault_key *reuse)
{
    static const struct pn_vault_key none;

    pn_question_u8(question, reuse != NULL);
    put_key(question, reuse ? reuse : &none);
}

static enum pn_rc ask_two(struct pn_keyholder *kh, struct pn_question *question, int timeout_ms,
                          struct pn_buf *first, struct pn_buf *second, struct pn_error *err)
{
    struct two two = {first, second};
    enum pn_rc rc = pn_keyholder_ask(kh, question, timeout_ms, append_two, &two, err);

    pn_question_fini(question);
    return rc;
}

enum pn_rc pn_keyholder_vault_generate(struct pn_keyholder *kh, struct pn_slice context,
                                       const char *type, unsigned bits, const char *curve,
                                       struct pn_buf *spki, struct pn_buf *sealed,
                                       struct pn_error *err)
{
    struct pn_question question;

    pn_question_init(&question, PN_KEYHOLDER_VAULT_GENERATE);
    pn_question_bytes(&question, context);
    pn_question_str(&question, type);
    pn_question_u32(&question, bits);
    pn_question_str(&question, curve);
    return ask_two(kh, &question, PN_ISSUE_TIMEOUT_MS, spki, sealed, err);
}

enum pn_rc pn_keyholder_vault_take(struct pn_keyholder *kh, struct pn_slice context,
                                   const struct pn_vault_key_parts *parts, struct pn_buf *spki,
                                   struct pn_buf *sealed, struct pn_error *err)
{
    const struct pn_slice numbers[] = {parts->n,  parts->e,  parts->d,  parts->p, parts->q,
                                       parts->dp, parts->dq, parts->qi, parts->x, parts->y};
    struct pn_question question;

    pn_question_init(&question, PN_KEYHOLDER_VAULT_TAKE);
    pn_question_bytes(&question, context);
    pn_question_str(&question, parts->type);
    pn_question_str(&question, parts->curve);
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
        pn_question_bytes(&question, numbers[i]);
    return ask_two(kh, &question, USE_TIMEOUT_MS, spki, sealed, err);
}

enum pn_rc pn_keyholder_vault_use(struct pn_keyholder *kh, const struct pn_vault_key *key,
                                  enum pn_vault_key_operation operation, const char *algorithm,
                                  struct pn_slice value, struct pn_buf *out, struct pn_error *err)
{
    struct pn_question question;
    enum pn_rc rc;

    pn_question_init(&question, PN_KEYHOLDER_VAULT_USE);
    put_key(&question, key);
    pn_question_u8(&question, (uint8_t)operation);
    pn_question_str(&question, algorithm);
    pn_question_bytes(&question, value);
    rc = pn_keyholder_ask(kh, &question, USE_TIMEOUT_MS, append_bytes, out, err);
    pn_question_fini(&question);
    return rc;
}

enum pn_rc pn_keyholder_vault_move(struct pn_keyholder *kh, const struct pn_vault_key *key,
                                   struct pn_slice context, struct pn_buf *sealed,
                                   struct pn_error *err)
{
    struct pn_question question;
    enum pn_rc rc;

    pn_question_init(&question, PN_KEYHOLDER_VAULT_MOVE);
    put_key(&question, key);
    pn_question_bytes(&question, context);
    rc = pn_keyholder_ask(kh, &question, USE_TIMEOUT_MS, append_bytes, sealed, err);
    pn_question_fini(&question);
    return rc;
}

enum pn_rc pn_keyholder_vault_request(struct pn_keyholder *kh, struct pn_slice context,
                                      const struct pn_issue_spec *spec,
                                      const struct pn_vault_key *reuse, struct pn_buf *request,
                                      struct pn_buf *sealed, struct pn_error *err)
{
    struct pn_question question;

    pn_question_init(&question, PN_KEYHOLDER_VAULT_REQUEST);
    pn_question_bytes(&question, context);
    pn_question_reuse(&question, reuse);
    pn_question_spec(&question, spec);
    return ask_two(kh, &question, PN_ISSUE_TIMEOUT_MS, request, sealed, err);
}

enum pn_rc pn_keyholder_vault_merge(struct pn_keyholder *kh, const struct pn_vault_key *key,
                                    struct pn_slice context, int format, bool is_private,
                                    const struct pn_slice *chain, size_t count,
                                    struct pn_imported *out, struct pn_error *err)
{
    struct pn_question question;

    pn_question_init(&question, PN_KEYHOLDER_VAULT_MERGE);
    put_key(&question, key);
    pn_question_bytes(&question, context);
    pn_question_u8(&question, (uint8_t)format);
    pn_question_u8(&question, is_private);
    pn_question_u32(&question, (uint32_t)count);
    for (size_t i = 0; i < count; i++)
        pn_question_bytes(&question, chain[i]);
    return pn_keyholder_ask_imported(kh, &question, PN_IMPORT_TIMEOUT_MS, out, err);
}
