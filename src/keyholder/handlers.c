/* SPDX-License-Identifier: Apache-2.0
 *
 * What each question does. Reading a question is strict: a field too few or a byte too many marks
 * the session broken. Roles: see the table in docs/threat-model.md.
 */
#include <string.h>

#include "base/arena.h"
#include "base/log.h"
#include "base/metrics.h"
#include "ipc/frame.h"
#include "ipc/protocol.h"
#include "keyholder/issue.h"
#include "keyholder/rules.h"
#include "keyholder/server_internal.h"
#include "keyholder/sign.h"

#define SPEC_BYTES_MAX   (128u * 1024)
#define SEALED_BYTES_MAX (2u * PN_IMPORT_BYTES_MAX)

enum pn_rc pn_question_broken(struct pn_session *session, struct pn_error *err)
{
    session->is_broken = true;
    return pn_error_set(err, PN_MALFORMED, "malformed_request", "not a question for the keyholder");
}

static enum pn_rc denied(struct pn_error *err, const char *what)
{
    return pn_error_set(err, PN_DENIED, "role", "this process may not ask the keyholder to %s",
                        what);
}

static bool read_use(struct pn_slice *fields, enum pn_key_use *use)
{
    uint8_t number;

    if (pn_frame_read_u8(fields, &number) != PN_OK || !pn_key_use_is_valid(number))
        return false;
    *use = (enum pn_key_use)number;
    return true;
}

static bool read_key(struct pn_slice *fields, enum pn_key_use *use, struct pn_key_id *id)
{
    struct pn_slice bytes;

    if (!read_use(fields, use) || pn_frame_read_bytes(fields, &bytes) != PN_OK ||
        bytes.len != sizeof(id->sha256))
        return false;
    memcpy(id->sha256, bytes.ptr, bytes.len);
    return true;
}

/* A gateway that is captured must not be able to pose as control: only control signs with the keys
 * of its own listeners. */
static bool may_use(const struct pn_session *session, enum pn_key_use use)
{
    if (session->is_admin || use == PN_USE_CLIENT || use == PN_USE_SERVER)
        return true;
    return use == PN_USE_MANAGEMENT && session->asker == PN_ROLE_CONTROL;
}

static enum pn_rc on_sign(struct pn_session *session, struct pn_slice fields, struct pn_buf *answer,
                          struct pn_error *err)
{
    struct pn_slice message;
    struct pn_key_id id;
    struct pn_buf signature;
    enum pn_key_use use;
    uint32_t algorithm;
    EVP_PKEY *key = NULL;
    enum pn_rc rc;

    if (!read_key(&fields, &use, &id) || pn_frame_read_u32(&fields, &algorithm) != PN_OK ||
        pn_frame_read_bytes(&fields, &message) != PN_OK || fields.len > 0 ||
        algorithm > PN_SIGN_ED25519)
        return pn_question_broken(session, err);
    if (!may_use(session, use))
        return denied(err, "sign with a key of this use");
    pn_metric_add(PN_METRIC_SIGNATURES, 1);
    pn_buf_init(&signature, PN_SIGNATURE_BYTES_MAX);
    rc = pn_rules_check(use, (enum pn_sign_algorithm)algorithm, message, err);
    if (rc == PN_OK)
        rc = pn_keys_get(session->server->keys, use, &id, &key, err);
    if (rc == PN_OK)
        rc = pn_sign(key, (enum pn_sign_algorithm)algorithm, message, &signature, err);
    if (rc == PN_OK)
        rc = pn_frame_bytes(answer, pn_buf_slice(&signature));
    if (rc != PN_OK)
        pn_metric_add(PN_METRIC_SIGNATURES_FAILED, 1);
    EVP_PKEY_free(key);
    pn_buf_fini(&signature);
    return rc;
}

static enum pn_rc on_public(struct pn_session *session, struct pn_slice fields,
                            struct pn_buf *answer, struct pn_error *err)
{
    struct pn_key_id id;
    struct pn_buf spki;
    enum pn_key_use use;
    EVP_PKEY *key = NULL;
    enum pn_rc rc;

    if (!read_key(&fields, &use, &id) || fields.len > 0)
        return pn_question_broken(session, err);
    if (!may_use(session, use))
        return denied(err, "show a key of this use");
    rc = pn_keys_get(session->server->keys, use, &id, &key, err);
    if (rc != PN_OK)
        return rc;
    pn_buf_init(&spki, PN_SIGN_MESSAGE_BYTES_MAX);
    rc = pn_key_id_of(key, &id, &spki, err);
    if (rc == PN_OK)
        rc = pn_frame_bytes(answer, pn_buf_slice(&spki));
    EVP_PKEY_free(key);
    pn_buf_fini(&spki);
    return rc;
}

/* The keyholder's own domains are not in it: what they hold cannot be asked for. */
static bool may_use_domain(const struct pn_session *session, struct pn_slice domain)
{
    return pn_slice_eq_str(domain, "feed") ||
           (session->is_admin &&
            (pn_slice_eq_str(domain, "vault") || pn_slice_eq_str(domain, "store")));
}

static enum pn_rc seal_or_unseal(struct pn_session *session, struct pn_slice fields,
                                 bool is_sealing, struct pn_buf *answer, struct pn_error *err)
{
    const struct pn_master *master = session->server->master;
    struct pn_slice domain, context, input;
    struct pn_buf output;
    enum pn_rc rc;

    if (pn_frame_read_bytes(&fields, &domain) != PN_OK ||
        pn_frame_read_bytes(&fields, &context) != PN_OK ||
        pn_frame_read_bytes(&fields, &input) != PN_OK || fields.len > 0)
        return pn_question_broken(session, err);
    if (!may_use_domain(session, domain))
        return denied(err, "seal or unseal in this domain");
    if (context.len > PN_CONTEXT_BYTES_MAX)
        return pn_error_set(err, PN_LIMIT, "too_large", "a context has at most %u bytes",
                            PN_CONTEXT_BYTES_MAX);
    pn_buf_init_secret(&output, PN_FRAME_BYTES_MAX);
    rc = is_sealing ? pn_seal(master, domain, context, input, &output)
                    : pn_unseal(master, domain, context, input, &output);
    if (rc == PN_OK)
        rc = pn_frame_bytes(answer, pn_buf_slice(&output));
    if (rc == PN_DENIED)
        pn_error_set(err, rc, "sealed",
                     "the sealed data was changed, belongs elsewhere, or was sealed by another "
                     "installation");
    else if (rc != PN_OK)
        pn_error_set(err, rc, "seal", "the data cannot be sealed or unsealed: %s", pn_rc_name(rc));
    pn_buf_fini(&output);
    return rc;
}

static enum pn_rc on_list(struct pn_session *session, struct pn_slice fields, struct pn_buf *answer,
                          struct pn_error *err)
{
    struct pn_buf ids;
    enum pn_key_use use;
    enum pn_rc rc;

    if (!read_use(&fields, &use) || fields.len > 0)
        return pn_question_broken(session, err);
    pn_buf_init(&ids, PN_KEYS_MAX * 32u);
    rc = pn_keys_list(session->server->keys, use, &ids);
    if (rc == PN_OK)
        rc = pn_frame_bytes(answer, pn_buf_slice(&ids));
    if (rc != PN_OK)
        pn_error_set(err, rc, "no_memory", "no room for the list of keys");
    pn_buf_fini(&ids);
    return rc;
}

static enum pn_rc on_forget(struct pn_session *session, struct pn_slice fields,
                            struct pn_error *err)
{
    struct pn_key_id id;
    enum pn_key_use use;

    if (!read_key(&fields, &use, &id) || fields.len > 0)
        return pn_question_broken(session, err);
    return pn_keys_forget(session->server->keys, use, &id, err);
}

static enum pn_rc on_settle(struct pn_session *session, struct pn_slice fields,
                            struct pn_error *err)
{
    struct pn_key_id id;
    enum pn_key_use use;

    if (!read_key(&fields, &use, &id) || fields.len > 0)
        return pn_question_broken(session, err);
    return pn_keys_settle(session->server->keys, use, &id, err);
}

static enum pn_rc put_imported(struct pn_buf *answer, const struct pn_bundle *bundle,
                               const struct pn_key_id *id, struct pn_slice sealed,
                               struct pn_error *err)
{
    int count = sk_X509_num(bundle->chain);
    enum pn_rc rc = pn_frame_bytes(answer, pn_slice(id->sha256, sizeof(id->sha256)));

    if (rc == PN_OK)
        rc = pn_frame_u8(answer, (uint8_t)bundle->format);
    if (rc == PN_OK)
        rc = pn_frame_u32(answer, (uint32_t)count);
    for (int i = 0; i < count && rc == PN_OK; i++) {
        unsigned char *der = NULL;
        int len = i2d_X509(sk_X509_value(bundle->chain, i), &der);

        rc = len > 0 ? pn_frame_bytes(answer, pn_slice(der, (size_t)len)) : PN_NOMEM;
        OPENSSL_free(der);
    }
    if (rc == PN_OK)
        rc = pn_frame_bytes(answer, sealed);
    if (rc == PN_OK)
        rc = pn_file_facts_put(answer, &bundle->facts);
    return rc == PN_OK ? PN_OK : pn_error_set(err, rc, "no_memory", "no room for the answer");
}

/* Keeps the key, then answers. Ends the bundle. */
static enum pn_rc keep(struct pn_session *session, enum pn_key_use use, bool is_soon,
                       struct pn_bundle *bundle, struct pn_buf *answer, struct pn_error *err)
{
    struct pn_key_id id;
    enum pn_rc rc = (is_soon ? pn_keys_add_soon : pn_keys_add)(session->server->keys, use,
                                                               bundle->key, &id, err);

    if (rc == PN_OK)
        rc = put_imported(answer, bundle, &id, (struct pn_slice){0}, err);
    pn_bundle_fini(bundle);
    return rc;
}

enum pn_rc pn_give_sealed(struct pn_session *session, struct pn_slice context,
                          struct pn_bundle *bundle, struct pn_buf *answer, struct pn_error *err)
{
    struct pn_key_id id;
    struct pn_buf sealed;
    enum pn_rc rc = pn_key_id_of(bundle->key, &id, NULL, err);

    pn_buf_init(&sealed, SEALED_BYTES_MAX);
    if (rc == PN_OK)
        rc = pn_bundle_seal(bundle, session->server->master, context, &sealed, err);
    if (rc == PN_OK)
        rc = put_imported(answer, bundle, &id, pn_buf_slice(&sealed), err);
    pn_buf_fini(&sealed);
    pn_bundle_fini(bundle);
    return rc;
}

/* What the file is; its key goes nowhere. Ends the bundle. */
static enum pn_rc tell(struct pn_bundle *bundle, struct pn_buf *answer, struct pn_error *err)
{
    struct pn_key_id id;
    enum pn_rc rc = pn_key_id_of(bundle->key, &id, NULL, err);

    if (rc == PN_OK)
        rc = put_imported(answer, bundle, &id, (struct pn_slice){0}, err);
    pn_bundle_fini(bundle);
    return rc;
}

static enum pn_rc on_import(struct pn_session *session, uint16_t type, struct pn_slice fields,
                            struct pn_buf *answer, struct pn_error *err)
{
    struct pn_slice context = {0}, password, file;
    struct pn_bundle bundle = {0};
    enum pn_key_use use = PN_USE_CLIENT;
    uint8_t has_password, is_private = 0;
    bool is_fine = true;
    enum pn_rc rc;

    if (type == PN_KEYHOLDER_IMPORT || type == PN_KEYHOLDER_IMPORT_SOON)
        is_fine = read_use(&fields, &use);
    else if (type == PN_KEYHOLDER_IMPORT_SEALED)
        is_fine = pn_frame_read_bytes(&fields, &context) == PN_OK &&
                  pn_frame_read_u8(&fields, &is_private) == PN_OK;
    if (!is_fine || pn_frame_read_u8(&fields, &has_password) != PN_OK ||
        pn_frame_read_bytes(&fields, &password) != PN_OK ||
        pn_frame_read_bytes(&fields, &file) != PN_OK || fields.len > 0 ||
        context.len > PN_CONTEXT_BYTES_MAX)
        return pn_question_broken(session, err);
    if (!has_password)
        password = (struct pn_slice){0};
    rc = pn_importer_open(session->server, file, password, &bundle, err);
    if (rc != PN_OK)
        return rc;
    bundle.is_private = is_private != 0;
    if (type == PN_KEYHOLDER_CHECK)
        return tell(&bundle, answer, err);
    if (type == PN_KEYHOLDER_IMPORT_SEALED)
        return pn_give_sealed(session, context, &bundle, answer, err);
    return keep(session, use, type == PN_KEYHOLDER_IMPORT_SOON, &bundle, answer, err);
}

static enum pn_rc on_export(struct pn_session *session, struct pn_slice fields,
                            struct pn_buf *answer, struct pn_error *err)
{
    struct pn_slice context, sealed;
    struct pn_bundle bundle = {0};
    struct pn_buf file;
    uint8_t format;
    enum pn_rc rc;

    if (pn_frame_read_bytes(&fields, &context) != PN_OK ||
        pn_frame_read_u8(&fields, &format) != PN_OK ||
        pn_frame_read_bytes(&fields, &sealed) != PN_OK || fields.len > 0)
        return pn_question_broken(session, err);
    rc = pn_bundle_unseal(session->server->master, context, sealed, &bundle, err);
    if (rc != PN_OK)
        return rc;
    pn_buf_init_secret(&file, SEALED_BYTES_MAX);
    rc = pn_bundle_export(&bundle, format, &file, err);
    if (rc == PN_OK) {
        rc = pn_frame_bytes(answer, pn_buf_slice(&file));
        if (rc != PN_OK)
            pn_error_set(err, rc, "no_memory", "no room for the exported file");
    }
    pn_buf_fini(&file);
    pn_bundle_fini(&bundle);
    return rc;
}

static enum pn_rc issue(struct pn_session *session, const struct pn_issue_spec *spec,
                        EVP_PKEY *own_key, struct pn_bundle *bundle, struct pn_error *err)
{
    EVP_PKEY *issuer_key = NULL;
    enum pn_rc rc = PN_OK;

    if (spec->issuer_key)
        rc = pn_keys_get(session->server->keys, PN_USE_CA, spec->issuer_key, &issuer_key, err);
    if (rc == PN_OK)
        rc = pn_issue_for(spec, issuer_key, own_key, bundle, err);
    EVP_PKEY_free(issuer_key);
    return rc;
}

static enum pn_rc on_issue(struct pn_session *session, struct pn_slice fields, bool is_kept,
                           struct pn_buf *answer, struct pn_error *err)
{
    struct pn_arena *arena = pn_arena_create(4096, SPEC_BYTES_MAX);
    struct pn_slice context = {0};
    struct pn_issue_spec spec;
    struct pn_key_id issuer;
    struct pn_bundle bundle = {0};
    enum pn_key_use use = PN_USE_CLIENT;
    EVP_PKEY *own_key = NULL;
    bool is_fine =
        is_kept ? read_use(&fields, &use) : pn_frame_read_bytes(&fields, &context) == PN_OK;
    enum pn_rc rc;

    if (!arena)
        return pn_error_set(err, PN_NOMEM, "no_memory", "out of memory");
    if (is_fine && !is_kept) {
        rc = pn_reuse_read(session, &fields, &own_key, err);
        if (rc != PN_OK) {
            pn_arena_destroy(arena);
            return rc;
        }
    }
    rc = is_fine ? pn_spec_read(&fields, arena, &issuer, &spec) : PN_MALFORMED;
    if (rc == PN_MALFORMED || fields.len > 0 || context.len > PN_CONTEXT_BYTES_MAX)
        rc = pn_question_broken(session, err);
    else if (rc != PN_OK)
        pn_error_set(err, rc, "too_large", "the certificate's specification is too long");
    else
        rc = issue(session, &spec, own_key, &bundle, err);
    if (rc == PN_OK)
        rc = is_kept ? keep(session, use, false, &bundle, answer, err)
                     : pn_give_sealed(session, context, &bundle, answer, err);
    EVP_PKEY_free(own_key);
    pn_arena_destroy(arena);
    return rc;
}

static enum pn_rc admin_question(struct pn_session *session, const struct pn_frame *question,
                                 struct pn_buf *answer, struct pn_error *err)
{
    struct pn_slice fields = question->fields;

    if (!session->is_admin)
        return denied(err, "manage keys");
    switch (question->type) {
    case PN_KEYHOLDER_LIST:
        return on_list(session, fields, answer, err);
    case PN_KEYHOLDER_FORGET:
        return on_forget(session, fields, err);
    case PN_KEYHOLDER_SETTLE:
        return on_settle(session, fields, err);
    case PN_KEYHOLDER_IMPORT:
    case PN_KEYHOLDER_IMPORT_SOON:
    case PN_KEYHOLDER_IMPORT_SEALED:
    case PN_KEYHOLDER_CHECK:
        return on_import(session, question->type, fields, answer, err);
    case PN_KEYHOLDER_EXPORT_SEALED:
        return on_export(session, fields, answer, err);
    case PN_KEYHOLDER_ISSUE:
    case PN_KEYHOLDER_ISSUE_SEALED:
        return on_issue(session, fields, question->type == PN_KEYHOLDER_ISSUE, answer, err);
    default:
        return pn_handle_vault_question(session, question, answer, err);
    }
}

enum pn_rc pn_handle_question(struct pn_session *session, const struct pn_frame *question,
                              struct pn_buf *answer, struct pn_error *err)
{
    struct pn_slice fields = question->fields;

    switch (question->type) {
    case PN_KEYHOLDER_SIGN:
        return on_sign(session, fields, answer, err);
    case PN_KEYHOLDER_PUBLIC:
        return on_public(session, fields, answer, err);
    case PN_KEYHOLDER_SEAL:
    case PN_KEYHOLDER_UNSEAL:
        return seal_or_unseal(session, fields, question->type == PN_KEYHOLDER_SEAL, answer, err);
    default:
        return admin_question(session, question, answer, err);
    }
}
