/* SPDX-License-Identifier: Apache-2.0
 *
 * The vault's questions. Only control asks them (pn_handle_question). The keys they bring along are
 * sealed in two domains that no kept key is in: what a client's or server's key may do is not
 * touched by them.
 */
#include <string.h>

#include "base/arena.h"
#include "ipc/frame.h"
#include "keyholder/issue.h"
#include "keyholder/server_internal.h"
#include "keyholder/vault_key.h"

#define SPEC_BYTES_MAX   (128u * 1024)
#define SEALED_BYTES_MAX (2u * PN_IMPORT_BYTES_MAX)
#define NAME_TEXT        32
#define PLACE_PREFIX     PN_LIT("vault/")

static bool read_vault_key(struct pn_slice *fields, struct pn_vault_key *key)
{
    uint8_t is_certificate;

    if (pn_frame_read_bytes(fields, &key->context) != PN_OK ||
        pn_frame_read_u8(fields, &is_certificate) != PN_OK ||
        pn_frame_read_bytes(fields, &key->sealed) != PN_OK ||
        key->context.len > PN_CONTEXT_BYTES_MAX)
        return false;
    key->is_certificate = is_certificate != 0;
    return true;
}

static bool read_context(struct pn_slice *fields, struct pn_slice *context)
{
    return pn_frame_read_bytes(fields, context) == PN_OK && context->len <= PN_CONTEXT_BYTES_MAX;
}

/* Names are short words: a longer one, or one with a NUL, is none. */
static bool read_name(struct pn_slice *fields, char name[NAME_TEXT])
{
    struct pn_slice bytes;

    if (pn_frame_read_bytes(fields, &bytes) != PN_OK || bytes.len >= NAME_TEXT ||
        (bytes.len > 0 && memchr(bytes.ptr, '\0', bytes.len)))
        return false;
    if (bytes.len > 0)
        memcpy(name, bytes.ptr, bytes.len);
    name[bytes.len] = '\0';
    return true;
}

/* The caller frees *pkey. */
static enum pn_rc open_vault_key(struct pn_session *session, const struct pn_vault_key *key,
                                 EVP_PKEY **pkey, struct pn_error *err)
{
    struct pn_bundle bundle = {0};
    enum pn_rc rc;

    if (!key->is_certificate)
        return pn_vault_key_unseal(session->server->master, key->context, key->sealed, pkey, err);
    rc = pn_bundle_unseal(session->server->master, key->context, key->sealed, &bundle, err);
    if (rc == PN_OK && EVP_PKEY_up_ref(bundle.key) == 1)
        *pkey = bundle.key;
    pn_bundle_fini(&bundle);
    return rc;
}

static enum pn_rc give_key(struct pn_session *session, EVP_PKEY *key, struct pn_slice context,
                           struct pn_buf *answer, struct pn_error *err)
{
    struct pn_buf spki, sealed;
    struct pn_key_id id;
    enum pn_rc rc;

    pn_buf_init(&spki, SPEC_BYTES_MAX);
    pn_buf_init(&sealed, SEALED_BYTES_MAX);
    rc = pn_key_id_of(key, &id, &spki, err);
    if (rc == PN_OK)
        rc = pn_vault_key_seal(key, session->server->master, context, &sealed, err);
    if (rc == PN_OK)
        rc = pn_frame_bytes(answer, pn_buf_slice(&spki));
    if (rc == PN_OK)
        rc = pn_frame_bytes(answer, pn_buf_slice(&sealed));
    pn_buf_fini(&spki);
    pn_buf_fini(&sealed);
    return rc;
}

static enum pn_rc on_generate(struct pn_session *session, struct pn_slice fields,
                              struct pn_buf *answer, struct pn_error *err)
{
    struct pn_slice context;
    char type[NAME_TEXT], curve[NAME_TEXT];
    EVP_PKEY *key = NULL;
    uint32_t bits;
    enum pn_rc rc;

    if (!read_context(&fields, &context) || !read_name(&fields, type) ||
        pn_frame_read_u32(&fields, &bits) != PN_OK || !read_name(&fields, curve) || fields.len > 0)
        return pn_question_broken(session, err);
    rc = pn_vault_key_generate(type, bits, curve, &key, err);
    if (rc == PN_OK)
        rc = give_key(session, key, context, answer, err);
    EVP_PKEY_free(key);
    return rc;
}

static enum pn_rc on_take(struct pn_session *session, struct pn_slice fields, struct pn_buf *answer,
                          struct pn_error *err)
{
    struct pn_vault_key_parts parts;
    struct pn_slice *const numbers[] = {&parts.n,  &parts.e,  &parts.d,  &parts.p, &parts.q,
                                        &parts.dp, &parts.dq, &parts.qi, &parts.x, &parts.y};
    struct pn_slice context;
    char type[NAME_TEXT], curve[NAME_TEXT];
    EVP_PKEY *key = NULL;
    bool is_fine =
        read_context(&fields, &context) && read_name(&fields, type) && read_name(&fields, curve);
    enum pn_rc rc;

    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]) && is_fine; i++)
        is_fine = pn_frame_read_bytes(&fields, numbers[i]) == PN_OK;
    if (!is_fine || fields.len > 0)
        return pn_question_broken(session, err);
    parts.type = type;
    parts.curve = curve;
    rc = pn_vault_key_build(&parts, &key, err);
    if (rc == PN_OK)
        rc = give_key(session, key, context, answer, err);
    EVP_PKEY_free(key);
    return rc;
}

static enum pn_rc on_use(struct pn_session *session, struct pn_slice fields, struct pn_buf *answer,
                         struct pn_error *err)
{
    struct pn_vault_key key;
    struct pn_slice value;
    char algorithm[NAME_TEXT];
    EVP_PKEY *pkey = NULL;
    struct pn_buf out;
    uint8_t operation;
    enum pn_rc rc;

    if (!read_vault_key(&fields, &key) || pn_frame_read_u8(&fields, &operation) != PN_OK ||
        !read_name(&fields, algorithm) || pn_frame_read_bytes(&fields, &value) != PN_OK ||
        fields.len > 0 || operation < PN_VAULT_KEY_SIGN || operation > PN_VAULT_KEY_DECRYPT)
        return pn_question_broken(session, err);
    pn_buf_init_secret(&out, PN_SIGN_MESSAGE_BYTES_MAX);
    rc = open_vault_key(session, &key, &pkey, err);
    if (rc == PN_OK)
        rc = pn_vault_key_use(pkey, (enum pn_vault_key_operation)operation, algorithm, value, &out,
                              err);
    if (rc == PN_OK)
        rc = pn_frame_bytes(answer, pn_buf_slice(&out));
    EVP_PKEY_free(pkey);
    pn_buf_fini(&out);
    return rc;
}

static enum pn_rc on_move(struct pn_session *session, struct pn_slice fields, struct pn_buf *answer,
                          struct pn_error *err)
{
    const struct pn_master *master = session->server->master;
    struct pn_bundle bundle = {0};
    struct pn_vault_key key;
    struct pn_slice context;
    EVP_PKEY *pkey = NULL;
    struct pn_buf sealed;
    enum pn_rc rc;

    if (!read_vault_key(&fields, &key) || !read_context(&fields, &context) || fields.len > 0)
        return pn_question_broken(session, err);
    if (!pn_slice_starts_with(key.context, PLACE_PREFIX) ||
        !pn_slice_starts_with(context, PLACE_PREFIX))
        return pn_error_set(err, PN_DENIED, "place", "keys move between places of a vault only");
    pn_buf_init(&sealed, SEALED_BYTES_MAX);
    if (key.is_certificate)
        rc = pn_bundle_unseal(master, key.context, key.sealed, &bundle, err);
    else
        rc = pn_vault_key_unseal(master, key.context, key.sealed, &pkey, err);
    if (rc == PN_OK && key.is_certificate)
        rc = pn_bundle_seal(&bundle, master, context, &sealed, err);
    else if (rc == PN_OK)
        rc = pn_vault_key_seal(pkey, master, context, &sealed, err);
    if (rc == PN_OK)
        rc = pn_frame_bytes(answer, pn_buf_slice(&sealed));
    pn_bundle_fini(&bundle);
    EVP_PKEY_free(pkey);
    pn_buf_fini(&sealed);
    return rc;
}

static enum pn_rc make_request(struct pn_session *session, struct pn_slice context,
                               const struct pn_issue_spec *spec, EVP_PKEY *key,
                               struct pn_buf *answer, struct pn_error *err)
{
    struct pn_buf request, sealed;
    enum pn_rc rc;

    pn_buf_init(&request, SPEC_BYTES_MAX);
    pn_buf_init(&sealed, SEALED_BYTES_MAX);
    rc = pn_vault_key_request(spec, key, &request, err);
    if (rc == PN_OK)
        rc = pn_vault_key_seal(key, session->server->master, context, &sealed, err);
    if (rc == PN_OK)
        rc = pn_frame_bytes(answer, pn_buf_slice(&request));
    if (rc == PN_OK)
        rc = pn_frame_bytes(answer, pn_buf_slice(&sealed));
    pn_buf_fini(&request);
    pn_buf_fini(&sealed);
    return rc;
}

static const char *curve_of(unsigned bits)
{
    return bits == 256 ? "P-256" : bits == 384 ? "P-384" : bits == 521 ? "P-521" : "";
}

static enum pn_rc on_request(struct pn_session *session, struct pn_slice fields,
                             struct pn_buf *answer, struct pn_error *err)
{
    struct pn_arena *arena = pn_arena_create(4096, SPEC_BYTES_MAX);
    struct pn_issue_spec spec;
    struct pn_vault_key reuse;
    struct pn_key_id issuer;
    struct pn_slice context;
    EVP_PKEY *key = NULL;
    uint8_t reuses;
    enum pn_rc rc = PN_MALFORMED;

    if (!arena)
        return pn_error_set(err, PN_NOMEM, "no_memory", "out of memory");
    if (read_context(&fields, &context) && pn_frame_read_u8(&fields, &reuses) == PN_OK &&
        read_vault_key(&fields, &reuse))
        rc = pn_spec_read(&fields, arena, &issuer, &spec);
    if (rc == PN_MALFORMED || fields.len > 0) {
        rc = pn_question_broken(session, err);
        goto out;
    }
    if (rc != PN_OK) {
        pn_error_set(err, rc, "too_large", "the certificate's specification is too long");
        goto out;
    }
    rc = reuses ? open_vault_key(session, &reuse, &key, err)
                : pn_vault_key_generate(spec.key_type, spec.key_bits, curve_of(spec.key_bits), &key,
                                        err);
    if (rc == PN_OK)
        rc = make_request(session, context, &spec, key, answer, err);
out:
    EVP_PKEY_free(key);
    pn_arena_destroy(arena);
    return rc;
}

/* A bundle of that key and the certificates, as if it had been imported. */
static enum pn_rc join(EVP_PKEY *key, int format, const struct pn_slice *chain, size_t count,
                       struct pn_bundle *bundle, struct pn_error *err)
{
    struct pn_buf pkcs8;
    enum pn_rc rc;

    pn_buf_init_secret(&pkcs8, PN_IMPORT_BYTES_MAX);
    rc = pn_key_to_pkcs8(key, &pkcs8, err);
    if (rc == PN_OK)
        rc = pn_bundle_make(format, pn_buf_slice(&pkcs8), chain, count, bundle, err);
    pn_buf_fini(&pkcs8);
    return rc;
}

static enum pn_rc on_merge(struct pn_session *session, struct pn_slice fields,
                           struct pn_buf *answer, struct pn_error *err)
{
    struct pn_slice chain[PN_CHAIN_MAX], context;
    struct pn_bundle bundle = {0};
    struct pn_vault_key key;
    EVP_PKEY *pkey = NULL;
    uint8_t format, is_private;
    uint32_t count;
    bool is_fine = read_vault_key(&fields, &key) && read_context(&fields, &context) &&
                   pn_frame_read_u8(&fields, &format) == PN_OK &&
                   pn_frame_read_u8(&fields, &is_private) == PN_OK &&
                   pn_frame_read_u32(&fields, &count) == PN_OK && count <= PN_CHAIN_MAX;
    enum pn_rc rc;

    for (uint32_t i = 0; is_fine && i < count; i++)
        is_fine = pn_frame_read_bytes(&fields, &chain[i]) == PN_OK;
    if (!is_fine || fields.len > 0)
        return pn_question_broken(session, err);
    rc = open_vault_key(session, &key, &pkey, err);
    if (rc == PN_OK)
        rc = join(pkey, format, chain, count, &bundle, err);
    EVP_PKEY_free(pkey);
    if (rc != PN_OK)
        return rc;
    bundle.is_private = is_private != 0;
    return pn_give_sealed(session, context, &bundle, answer, err);
}

/* Reads "u8 reuses · vkey": *key stays NULL when it reuses none. */
enum pn_rc pn_reuse_read(struct pn_session *session, struct pn_slice *fields, EVP_PKEY **key,
                         struct pn_error *err)
{
    struct pn_vault_key reuse;
    uint8_t reuses;

    if (pn_frame_read_u8(fields, &reuses) != PN_OK || !read_vault_key(fields, &reuse))
        return pn_question_broken(session, err);
    return reuses ? open_vault_key(session, &reuse, key, err) : PN_OK;
}

enum pn_rc pn_handle_vault_question(struct pn_session *session, const struct pn_frame *question,
                                    struct pn_buf *answer, struct pn_error *err)
{
    struct pn_slice fields = question->fields;

    switch (question->type) {
    case PN_KEYHOLDER_VAULT_GENERATE:
        return on_generate(session, fields, answer, err);
    case PN_KEYHOLDER_VAULT_TAKE:
        return on_take(session, fields, answer, err);
    case PN_KEYHOLDER_VAULT_USE:
        return on_use(session, fields, answer, err);
    case PN_KEYHOLDER_VAULT_MOVE:
        return on_move(session, fields, answer, err);
    case PN_KEYHOLDER_VAULT_REQUEST:
        return on_request(session, fields, answer, err);
    case PN_KEYHOLDER_VAULT_MERGE:
        return on_merge(session, fields, answer, err);
    default:
        return pn_question_broken(session, err);
    }
}
