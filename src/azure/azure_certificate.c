/* SPDX-License-Identifier: Apache-2.0
 *
 * An application's certificate: its key is the keyholder's (use token), which signs assertions
 * (RFC 7523 §3, PS256) and nothing else with it.
 */
#include <string.h>

#include "azure/azure_internal.h"
#include "base/clock.h"
#include "base/encode.h"
#include "base/file.h"
#include "base/json.h"
#include "certs/certificate.h"

#define LIFETIME_S   600
#define PART_MAX     4096
#define PASSWORD_MAX 1024

static enum pn_rc keep_digest(const uint8_t *digest, size_t len, char *out, size_t size)
{
    struct pn_buf text;
    enum pn_rc rc;

    pn_buf_init(&text, size - 1);
    rc = pn_base64url_encode(pn_slice(digest, len), &text);
    if (rc == PN_OK) {
        memcpy(out, text.ptr, text.len);
        out[text.len] = '\0';
    }
    pn_buf_fini(&text);
    return rc;
}

static enum pn_rc keep_facts(struct azure_source *source, const struct pn_imported *imported,
                             struct pn_error *err)
{
    struct pn_certificate *certificate = NULL;
    uint8_t sha1[PN_SHA1_BYTES], sha256[PN_SHA256_BYTES];
    struct pn_slice der = pn_buf_slice(&imported->chain[0]);
    enum pn_rc rc = pn_certificate_from_der(der, &certificate, err);

    if (rc == PN_OK && pn_certificate_key_type(certificate) != PN_KEY_RSA)
        rc = pn_error_set(err, PN_INVALID, "token_source",
                          "the certificate of the source must have an RSA key");
    if (rc == PN_OK && pn_certificate_not_after(certificate) < pn_clock_unix_s())
        rc = pn_error_set(err, PN_INVALID, "token_source",
                          "the certificate of the source has expired");
    pn_certificate_unref(certificate);
    if (rc != PN_OK)
        return rc;
    pn_sha1(der, sha1);
    pn_sha256(der, sha256);
    rc = keep_digest(sha1, sizeof sha1, source->sha1, sizeof source->sha1);
    if (rc == PN_OK)
        rc = keep_digest(sha256, sizeof sha256, source->sha256, sizeof source->sha256);
    source->key = imported->key;
    return rc;
}

enum pn_rc azure_take_certificate(struct azure_source *source, struct pn_error *err)
{
    struct pn_imported imported;
    struct pn_buf file, password;
    struct pn_slice given = {NULL, 0};
    enum pn_rc rc;

    memset(&imported, 0, sizeof imported);
    pn_buf_init_secret(&file, PN_IMPORT_BYTES_MAX);
    pn_buf_init_secret(&password, PASSWORD_MAX);
    rc = pn_file_read(source->key_file, &file, err);
    if (rc == PN_OK && source->password_file[0]) {
        rc = azure_read_file(source->password_file, &password, err);
        given = pn_buf_slice(&password);
    }
    if (rc == PN_OK)
        rc = pn_keyholder_import(source->keyholder, PN_USE_TOKEN, pn_buf_slice(&file), given,
                                 &imported, err);
    if (rc == PN_OK)
        rc = keep_facts(source, &imported, err);
    if (rc != PN_OK)
        pn_error_prefix(err, "%s", source->key_file);
    pn_imported_fini(&imported);
    pn_buf_fini(&file);
    pn_buf_fini(&password);
    return rc;
}

static enum pn_rc append_part(struct pn_buf *out, json_t *part)
{
    struct pn_buf text;
    enum pn_rc rc = PN_NOMEM;

    pn_buf_init_secret(&text, PART_MAX);
    if (part)
        rc = pn_json_dump(part, &text);
    if (rc == PN_OK)
        rc = pn_base64url_encode(pn_buf_slice(&text), out);
    json_decref(part);
    pn_buf_fini(&text);
    return rc;
}

enum pn_rc azure_assertion(const struct azure_source *source, const char *audience,
                           struct pn_buf *assertion, struct pn_error *err)
{
    json_int_t now_s = (json_int_t)pn_clock_unix_s();
    char id[PN_UUID_TEXT];
    struct pn_buf signature;
    enum pn_rc rc;

    pn_uuid_v4(id);
    pn_buf_init_secret(&signature, PN_SIGNATURE_BYTES_MAX);
    rc = append_part(assertion, json_pack("{s:s, s:s, s:s, s:s}", "alg", "PS256", "typ", "JWT",
                                          "x5t", source->sha1, "x5t#S256", source->sha256));
    if (rc == PN_OK)
        rc = pn_buf_append_byte(assertion, '.');
    if (rc == PN_OK)
        rc = append_part(assertion,
                         json_pack("{s:s, s:s, s:s, s:s, s:I, s:I, s:I}", "aud", audience, "iss",
                                   source->client_id, "sub", source->client_id, "jti", id, "iat",
                                   now_s, "nbf", now_s, "exp", now_s + LIFETIME_S));
    if (rc == PN_OK)
        rc = pn_keyholder_sign(source->keyholder, PN_USE_TOKEN, &source->key,
                               PN_SIGN_RSA_PSS_SHA256, pn_buf_slice(assertion), &signature, err);
    if (rc == PN_OK)
        rc = pn_buf_append_byte(assertion, '.');
    if (rc == PN_OK)
        rc = pn_base64url_encode(pn_buf_slice(&signature), assertion);
    pn_buf_fini(&signature);
    return rc;
}
