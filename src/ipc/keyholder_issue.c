/* SPDX-License-Identifier: Apache-2.0
 *
 * Client of the keyholder: questions whose answer is a key with its certificates.
 */
#include <string.h>

#include "ipc/keyholder_internal.h"
#include "ipc/keyholder_vault.h"
#include "ipc/protocol.h"

#define SEALED_BYTES_MAX (2u * PN_IMPORT_BYTES_MAX)

void pn_imported_fini(struct pn_imported *imported)
{
    if (!imported)
        return;
    for (size_t i = 0; i < PN_CHAIN_MAX; i++)
        pn_buf_fini(&imported->chain[i]);
    pn_buf_fini(&imported->sealed);
    imported->chain_count = 0;
}

static enum pn_rc read_imported(struct pn_slice fields, void *ctx)
{
    struct pn_imported *out = ctx;
    struct pn_slice bytes;
    uint8_t format;
    uint32_t count;

    if (pn_frame_read_bytes(&fields, &bytes) != PN_OK || bytes.len != sizeof(out->key.sha256) ||
        pn_frame_read_u8(&fields, &format) != PN_OK ||
        pn_frame_read_u32(&fields, &count) != PN_OK || count < 1 || count > PN_CHAIN_MAX ||
        (format != PN_FILE_PKCS12 && format != PN_FILE_PEM))
        return PN_MALFORMED;
    memcpy(out->key.sha256, bytes.ptr, bytes.len);
    out->format = format;
    for (uint32_t i = 0; i < count; i++) {
        enum pn_rc rc = pn_frame_read_bytes(&fields, &bytes);

        if (rc == PN_OK)
            rc = pn_buf_append_slice(&out->chain[i], bytes);
        if (rc != PN_OK)
            return rc;
        out->chain_count = i + 1;
    }
    if (pn_frame_read_bytes(&fields, &bytes) != PN_OK ||
        pn_file_facts_read(&fields, &out->facts) != PN_OK)
        return PN_MALFORMED;
    return pn_buf_append_slice(&out->sealed, bytes);
}

/* Ends the question; *out is filled, or empty when it fails. */
enum pn_rc pn_keyholder_ask_imported(struct pn_keyholder *kh, struct pn_question *question,
                                     int timeout_ms, struct pn_imported *out, struct pn_error *err)
{
    enum pn_rc rc;

    memset(out, 0, sizeof(*out));
    for (size_t i = 0; i < PN_CHAIN_MAX; i++)
        pn_buf_init(&out->chain[i], PN_IMPORT_BYTES_MAX);
    pn_buf_init(&out->sealed, SEALED_BYTES_MAX);
    rc = pn_keyholder_ask(kh, question, timeout_ms, read_imported, out, err);
    if (rc != PN_OK)
        pn_imported_fini(out);
    pn_question_fini(question);
    return rc;
}

/* "password · file" of both imports. */
static void put_file(struct pn_question *question, struct pn_slice file, struct pn_slice password)
{
    pn_question_u8(question, password.ptr != NULL);
    pn_question_bytes(question, password);
    pn_question_bytes(question, file);
}

static enum pn_rc import(struct pn_keyholder *kh, enum pn_keyholder_frame type, enum pn_key_use use,
                         struct pn_slice file, struct pn_slice password, struct pn_imported *out,
                         struct pn_error *err)
{
    struct pn_question question;

    pn_question_init(&question, type);
    pn_question_u8(&question, (uint8_t)use);
    put_file(&question, file, password);
    return pn_keyholder_ask_imported(kh, &question, PN_IMPORT_TIMEOUT_MS, out, err);
}

enum pn_rc pn_keyholder_import(struct pn_keyholder *kh, enum pn_key_use use, struct pn_slice file,
                               struct pn_slice password, struct pn_imported *out,
                               struct pn_error *err)
{
    return import(kh, PN_KEYHOLDER_IMPORT, use, file, password, out, err);
}

enum pn_rc pn_keyholder_import_soon(struct pn_keyholder *kh, enum pn_key_use use,
                                    struct pn_slice file, struct pn_slice password,
                                    struct pn_imported *out, struct pn_error *err)
{
    return import(kh, PN_KEYHOLDER_IMPORT_SOON, use, file, password, out, err);
}

enum pn_rc pn_keyholder_check(struct pn_keyholder *kh, struct pn_slice file,
                              struct pn_slice password, struct pn_imported *out,
                              struct pn_error *err)
{
    struct pn_question question;

    pn_question_init(&question, PN_KEYHOLDER_CHECK);
    put_file(&question, file, password);
    return pn_keyholder_ask_imported(kh, &question, PN_IMPORT_TIMEOUT_MS, out, err);
}

enum pn_rc pn_keyholder_import_sealed(struct pn_keyholder *kh, struct pn_slice context,
                                      struct pn_slice file, struct pn_slice password,
                                      bool is_private, struct pn_imported *out,
                                      struct pn_error *err)
{
    struct pn_question question;

    pn_question_init(&question, PN_KEYHOLDER_IMPORT_SEALED);
    pn_question_bytes(&question, context);
    pn_question_u8(&question, is_private);
    put_file(&question, file, password);
    return pn_keyholder_ask_imported(kh, &question, PN_IMPORT_TIMEOUT_MS, out, err);
}

static void put_list(struct pn_question *question, const char *const *texts)
{
    uint32_t count = 0;

    while (texts && texts[count])
        count++;
    pn_question_u32(question, count);
    for (uint32_t i = 0; i < count; i++)
        pn_question_str(question, texts[i]);
}

void pn_question_spec(struct pn_question *question, const struct pn_issue_spec *spec)
{
    pn_question_str(question, spec->key_type);
    pn_question_u32(question, spec->key_bits);
    pn_question_str(question, spec->subject);
    put_list(question, spec->dns_names);
    put_list(question, spec->ip_addresses);
    put_list(question, spec->emails);
    put_list(question, spec->uris);
    put_list(question, spec->ekus);
    put_list(question, spec->key_usages);
    pn_question_u8(question, spec->is_ca);
    pn_question_u8(question, spec->is_private);
    pn_question_u64(question, (uint64_t)spec->not_before);
    pn_question_u64(question, (uint64_t)spec->not_after);
    pn_question_u8(question, spec->issuer_key != NULL);
    if (spec->issuer_key)
        pn_question_id(question, spec->issuer_key);
    else
        pn_question_bytes(question, (struct pn_slice){0});
    pn_question_bytes(question, spec->issuer_certificate);
}

enum pn_rc pn_keyholder_issue(struct pn_keyholder *kh, enum pn_key_use use,
                              const struct pn_issue_spec *spec, struct pn_imported *out,
                              struct pn_error *err)
{
    struct pn_question question;

    pn_question_init(&question, PN_KEYHOLDER_ISSUE);
    pn_question_u8(&question, (uint8_t)use);
    pn_question_spec(&question, spec);
    return pn_keyholder_ask_imported(kh, &question, PN_ISSUE_TIMEOUT_MS, out, err);
}

enum pn_rc pn_keyholder_issue_sealed(struct pn_keyholder *kh, struct pn_slice context,
                                     const struct pn_issue_spec *spec,
                                     const struct pn_vault_key *reuse, struct pn_imported *out,
                                     struct pn_error *err)
{
    struct pn_question question;

    pn_question_init(&question, PN_KEYHOLDER_ISSUE_SEALED);
    pn_question_bytes(&question, context);
    pn_question_reuse(&question, reuse);
    pn_question_spec(&question, spec);
    return pn_keyholder_ask_imported(kh, &question, PN_ISSUE_TIMEOUT_MS, out, err);
}
