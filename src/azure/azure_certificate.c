/* SPDX-License-Identifier: Apache-2.0
 *
 * An application's certificate: its key is the keyholder's (use token), which signs assertions
 * (RFC 7523 §3, PS256) and nothing else with it. The file may be replaced: that is looked for
 * before each assertion.
 */
#include <string.h>

#include "azure/azure_internal.h"
#include "base/clock.h"
#include "base/encode.h"
#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
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
    char text1[sizeof source->sha1], text256[sizeof source->sha256];
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
    rc = keep_digest(sha1, sizeof sha1, text1, sizeof text1);
    if (rc == PN_OK)
        rc = keep_digest(sha256, sizeof sha256, text256, sizeof text256);
    if (rc != PN_OK)
        return rc;
    memcpy(source->sha1, text1, sizeof text1); /* all or nothing */
    memcpy(source->sha256, text256, sizeof text256);
    source->key = imported->key;
    source->has_key = true;
    return PN_OK;
}

static enum pn_rc take(struct azure_source *source, struct pn_error *err)
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

/* True: the file is another one than `seen`, which then is it. */
static bool has_changed(const char *path, struct azure_seen *seen)
{
    struct azure_seen now;
    struct stat facts;
    bool is_same;

    memset(&now, 0, sizeof now);
    if (path[0] && stat(path, &facts) == 0)
        now = (struct azure_seen){.modified = facts.st_mtim,
                                  .changed = facts.st_ctim,
                                  .inode = facts.st_ino,
                                  .size = facts.st_size};
    is_same = now.inode == seen->inode && now.size == seen->size &&
              now.modified.tv_sec == seen->modified.tv_sec &&
              now.modified.tv_nsec == seen->modified.tv_nsec &&
              now.changed.tv_sec == seen->changed.tv_sec &&
              now.changed.tv_nsec == seen->changed.tv_nsec;
    *seen = now;
    return !is_same;
}

/* The former key is of no use any more; where it cannot be forgotten it only lies there. */
static void forget(struct azure_source *source, const struct pn_key_id *former)
{
    struct pn_error err = {0};

    if (memcmp(former, &source->key, sizeof *former) != 0 &&
        pn_keyholder_forget(source->keyholder, PN_USE_TOKEN, former, &err) != PN_OK)
        pn_log_error(PN_LOG_WARN, "token_source_key_left", &err);
}

enum pn_rc azure_take_certificate(struct azure_source *source, struct pn_error *err)
{
    /* Before it is read: what is written meanwhile is seen the next time. Both, always. */
    bool is_new = has_changed(source->key_file, &source->key_seen);
    struct pn_key_id former = source->key;
    struct pn_error why = {0};
    char sha256[sizeof source->sha256];
    enum pn_rc rc;

    is_new = has_changed(source->password_file, &source->password_seen) || is_new;
    if (!source->has_key)
        return take(source, err);
    if (!is_new)
        return PN_OK;
    memcpy(sha256, source->sha256, sizeof sha256);
    rc = take(source, &why);
    if (rc != PN_OK) {
        pn_log(PN_LOG_WARN, "token_source_certificate_kept", "source", PN_S(source->name), "file",
               PN_S(source->key_file), "cause", PN_S(why.message), NULL);
        return rc == PN_NOMEM ? rc : PN_OK;
    }
    forget(source, &former);
    if (strcmp(sha256, source->sha256) != 0)
        pn_log(PN_LOG_INFO, "token_source_certificate_taken", "source", PN_S(source->name), "file",
               PN_S(source->key_file), NULL);
    return PN_OK;
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

static enum pn_rc sign(const struct azure_source *source, const char *audience,
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

enum pn_rc azure_assertion(struct azure_source *source, const char *audience,
                           struct pn_buf *assertion, struct pn_error *err)
{
    enum pn_rc rc;

    pthread_mutex_lock(&source->lock);
    rc = azure_take_certificate(source, err);
    if (rc == PN_OK)
        rc = sign(source, audience, assertion, err);
    pthread_mutex_unlock(&source->lock);
    return rc;
}
