/* SPDX-License-Identifier: Apache-2.0
 *
 * Applications in the store, and their secrets: salted PBKDF2-HMAC-SHA-256 (RFC 8018 §5.2). Wrong
 * secrets are counted for each application and peer; too many, and no secret is looked at for a
 * while.
 */
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <stdio.h>
#include <string.h>

#include "authority/authority_internal.h"
#include "base/clock.h"
#include "base/encode.h"
#include "base/log.h"
#include "certs/certificate.h"
#include "store/store.h"

#define HASH_BYTES       32
#define SALT_BYTES       16
#define HASH_ITERATIONS  100000
#define ITERATIONS_MAX   10000000
#define SECRET_BYTES_MAX 1024
#define TEXT_MAX         (96u * 1024)

void client_fini(struct client *client)
{
    json_decref(client->body);
    memset(client, 0, sizeof *client);
}

enum pn_rc authority_client_get(struct pn_authority *authority, const char *client_id,
                                struct client *client, struct pn_error *err)
{
    char id[sizeof CLIENT_PREFIX + PN_UUID_TEXT];
    struct pn_store_item item = {0};
    const json_t *properties;
    enum pn_rc rc;

    memset(client, 0, sizeof *client);
    if (!pn_is_uuid(pn_slice_str(client_id)))
        return pn_error_set(err, PN_NOT_FOUND, "unauthorized_client", "no such application");
    snprintf(id, sizeof id, CLIENT_PREFIX "%s", client_id);
    rc = pn_store_get(authority->store, id, &item, err);
    if (rc != PN_OK)
        return rc;
    properties = json_object_get(item.body, "properties");
    snprintf(client->client_id, sizeof client->client_id, "%s",
             pn_json_str(properties, "clientId") ? pn_json_str(properties, "clientId") : client_id);
    snprintf(client->object_id, sizeof client->object_id, "%s",
             pn_json_str(properties, "objectId") ? pn_json_str(properties, "objectId") : "");
    client->body = json_incref(item.body);
    pn_store_item_fini(&item);
    return PN_OK;
}

static enum pn_rc hash_secret(struct pn_slice secret, struct pn_slice salt, unsigned iterations,
                              uint8_t hash[HASH_BYTES], struct pn_error *err)
{
    char digest[] = "SHA256";
    unsigned char *secret_bytes = (unsigned char *)(uintptr_t)secret.ptr;
    unsigned char *salt_bytes = (unsigned char *)(uintptr_t)salt.ptr;
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_PASSWORD, secret_bytes, secret.len),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SALT, salt_bytes, salt.len),
        OSSL_PARAM_construct_uint(OSSL_KDF_PARAM_ITER, &iterations),
        OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, digest, 0),
        OSSL_PARAM_construct_end(),
    };
    EVP_KDF *kdf = EVP_KDF_fetch(NULL, "PBKDF2", NULL);
    EVP_KDF_CTX *ctx = kdf ? EVP_KDF_CTX_new(kdf) : NULL;
    enum pn_rc rc = PN_OK;

    if (!ctx || EVP_KDF_derive(ctx, hash, HASH_BYTES, params) != 1)
        rc = pn_error_from_openssl(err, PN_INTERNAL, "server_error", "cannot hash a secret");
    EVP_KDF_CTX_free(ctx);
    EVP_KDF_free(kdf);
    return rc;
}

static uint64_t failure_key(const struct client *client, const char *peer)
{
    return pn_slice_case_hash(pn_slice_str(client->client_id)) ^ (authority_peer_hash(peer) * 31);
}

/* PN_DENIED: it is another secret. */
static enum pn_rc compare(const json_t *entry, struct pn_slice secret, struct pn_error *err)
{
    int64_t iterations = pn_json_int(entry, "iterations", 0);
    uint8_t hash[HASH_BYTES];
    struct pn_buf salt, wanted;
    enum pn_rc rc;

    pn_buf_init(&salt, 256);
    pn_buf_init(&wanted, 256);
    rc = pn_base64_decode(pn_json_slice(entry, "salt"), &salt);
    if (rc == PN_OK)
        rc = pn_base64_decode(pn_json_slice(entry, "hash"), &wanted);
    if (rc != PN_OK || iterations < 1 || iterations > ITERATIONS_MAX) {
        rc = pn_error_set(err, PN_INTERNAL, "server_error", "a stored secret hash is broken");
        goto out;
    }
    rc = hash_secret(secret, pn_buf_slice(&salt), (unsigned)iterations, hash, err);
    if (rc == PN_OK && !pn_equal_constant_time(pn_slice(hash, sizeof hash), pn_buf_slice(&wanted)))
        rc = PN_DENIED;
out:
    pn_wipe(hash, sizeof hash);
    pn_buf_fini(&salt);
    pn_buf_fini(&wanted);
    return rc;
}

/* Only who knows it learns that it is over. */
static enum pn_rc refuse_expired(const struct client *client, struct pn_error *err)
{
    pn_error_set(err, PN_DENIED, "invalid_client",
                 "The provided client secret keys for app '%s' are expired. Make a new one "
                 "(postern identity rotate-secret %s).",
                 client->client_id, client->client_id);
    (void)pn_error_target(err, "7000222");
    return PN_DENIED;
}

enum pn_rc authority_check_secret(struct pn_authority *authority, const struct client *client,
                                  struct pn_slice secret, const char *peer, struct pn_error *err)
{
    const json_t *secrets = json_object_get(json_object_get(client->body, "internal"), "secrets");
    uint64_t key = failure_key(client, peer);
    enum pn_rc rc = PN_DENIED;
    size_t index;
    json_t *entry;

    if (authority_is_limited(authority, key, PN_SECRET_FAILURES_MAX))
        return pn_error_set(
            err, PN_LIMIT, "temporarily_unavailable",
            "Too many wrong secrets were sent for this application. Wait %d seconds.",
            PN_SECRET_FAILURE_WINDOW_S);
    if (secret.len > 0 && secret.len <= SECRET_BYTES_MAX) {
        json_array_foreach(secrets, index, entry)
        {
            int64_t not_after_s = pn_json_int(entry, "notAfter", 0);

            rc = compare(entry, secret, err);
            if (rc == PN_OK && not_after_s > 0 && authority->now_s() >= not_after_s)
                return refuse_expired(client, err);
            if (rc != PN_DENIED)
                return rc;
        }
    }
    authority_count_failure(authority, key);
    pn_log(PN_LOG_WARN, "token_refused", "reason", PN_S("wrong_secret"), "client",
           PN_S(client->client_id), "peer", PN_S(peer ? peer : ""), NULL);
    return pn_error_set(
        err, PN_DENIED, "invalid_client",
        "Invalid client secret provided. Ensure the secret being sent in the request "
        "is the client secret value, not the client secret ID, for a secret added "
        "to app '%s'.",
        client->client_id);
}

enum pn_rc authority_secret_add(json_t *internal, const struct authority_secret *given,
                                int64_t now_s, struct pn_error *err)
{
    struct pn_slice secret = given->text;
    json_t *secrets = json_object_get(internal, "secrets");
    uint8_t salt[SALT_BYTES], hash[HASH_BYTES];
    struct pn_buf salt_text, hash_text;
    char key_id[PN_UUID_TEXT];
    enum pn_rc rc;

    if (secret.len > SECRET_BYTES_MAX)
        return pn_error_set(err, PN_LIMIT, "secret", "a client secret has at most %d bytes",
                            SECRET_BYTES_MAX);
    if (json_array_size(secrets) >= PN_CLIENT_SECRETS_MAX)
        return pn_error_set(err, PN_LIMIT, "secret", "an application has at most %d secrets",
                            PN_CLIENT_SECRETS_MAX);
    pn_buf_init(&salt_text, 256);
    pn_buf_init(&hash_text, 256);
    pn_uuid_v4(key_id);
    pn_random(salt, sizeof salt);
    rc = hash_secret(secret, pn_slice(salt, sizeof salt), HASH_ITERATIONS, hash, err);
    if (rc == PN_OK)
        rc = pn_base64_encode(pn_slice(salt, sizeof salt), &salt_text);
    if (rc == PN_OK)
        rc = pn_base64_encode(pn_slice(hash, sizeof hash), &hash_text);
    if (rc == PN_OK &&
        json_array_append_new(
            secrets,
            json_pack("{s:s, s:s, s:s%, s:s%, s:i, s:I, s:I, s:s*, s:s%}", "keyId", key_id,
                      "algorithm", "PBKDF2-SHA256", "salt", salt_text.ptr, salt_text.len, "hash",
                      hash_text.ptr, hash_text.len, "iterations", HASH_ITERATIONS, "createdOn",
                      (json_int_t)now_s, "notAfter", (json_int_t)given->not_after_s, "displayName",
                      given->display_name, "hint", secret.ptr,
                      given->not_after_s > 0 ? (size_t)3 : (size_t)0)) != 0)
        rc = PN_NOMEM;
    pn_buf_fini(&salt_text);
    pn_buf_fini(&hash_text);
    return rc;
}

enum pn_rc authority_certificate_add(json_t *certificates, struct pn_slice der, int64_t now_s,
                                     struct pn_error *err)
{
    struct pn_certificate *certificate = NULL;
    char key_id[PN_UUID_TEXT], sha256[65];
    struct pn_buf spki;
    enum pn_rc rc;

    if (json_array_size(certificates) >= PN_CLIENT_CERTIFICATES_MAX)
        return pn_error_set(err, PN_LIMIT, "certificate",
                            "an application has at most %d certificates",
                            PN_CLIENT_CERTIFICATES_MAX);
    rc = pn_certificate_from_der(der, &certificate, err);
    if (rc != PN_OK)
        return rc;
    pn_buf_init(&spki, TEXT_MAX);
    if (pn_certificate_key_type(certificate) != PN_KEY_RSA) {
        rc = pn_error_set(err, PN_INVALID, "certificate",
                          "the certificate of an application must have an RSA key");
        goto out;
    }
    pn_uuid_v4(key_id);
    pn_sha256_hex(der, sha256);
    rc = pn_base64_encode(pn_certificate_spki(certificate), &spki);
    if (rc == PN_OK &&
        json_array_append_new(certificates,
                              json_pack("{s:s, s:s, s:s, s:s%, s:I, s:I}", "keyId", key_id, "sha1",
                                        pn_certificate_thumbprint(certificate), "sha256", sha256,
                                        "publicKey", spki.ptr, spki.len, "notAfter",
                                        (json_int_t)pn_certificate_not_after(certificate),
                                        "createdOn", (json_int_t)now_s)) != 0)
        rc = PN_NOMEM;
out:
    pn_buf_fini(&spki);
    pn_certificate_unref(certificate);
    return rc;
}

static json_t *new_body(const struct pn_authority_client *client, const char *client_id)
{
    char object_id[PN_UUID_TEXT];

    pn_uuid_v4(object_id);
    return json_pack("{s:s, s:{s:s, s:s, s:s}, s:{s:[], s:[]}}", "name", client_id, "properties",
                     "clientId", client_id, "objectId",
                     client->object_id ? client->object_id : object_id, "displayName",
                     client->display_name ? client->display_name : client_id, "internal", "secrets",
                     "certificates");
}

static enum pn_rc change_client(struct pn_authority *authority, struct pn_store_txn *txn,
                                const struct pn_authority_client *client, const char *client_id,
                                char object_id[PN_UUID_TEXT], struct pn_error *err)
{
    char id[sizeof CLIENT_PREFIX + PN_UUID_TEXT];
    struct pn_store_item item = {0};
    json_t *body, *internal;
    enum pn_rc rc;

    snprintf(id, sizeof id, CLIENT_PREFIX "%s", client_id);
    rc = pn_store_txn_get(txn, id, &item, err);
    if (rc != PN_OK && rc != PN_NOT_FOUND)
        return rc;
    body = rc == PN_OK ? json_deep_copy(item.body) : new_body(client, client_id);
    pn_store_item_fini(&item);
    if (!body)
        return PN_NOMEM;
    internal = json_object_get(body, "internal");
    rc = PN_OK;
    if (client->secret.len > 0)
        rc = authority_secret_add(internal, &(struct authority_secret){.text = client->secret},
                                  authority->now_s(), err);
    if (rc == PN_OK && client->certificate_der.len > 0)
        rc = authority_certificate_add(json_object_get(internal, "certificates"),
                                       client->certificate_der, authority->now_s(), err);
    if (rc == PN_OK && object_id)
        snprintf(object_id, PN_UUID_TEXT, "%s",
                 pn_json_str(json_object_get(body, "properties"), "objectId"));
    if (rc == PN_OK)
        rc = pn_store_put(txn, id, CLIENT_TYPE, body, NULL, err);
    json_decref(body);
    return rc;
}

enum pn_rc pn_authority_add_client(struct pn_authority *authority,
                                   const struct pn_authority_client *client,
                                   char client_id[PN_UUID_TEXT], char object_id[PN_UUID_TEXT],
                                   struct pn_error *err)
{
    struct pn_store_txn *txn = NULL;
    char chosen[PN_UUID_TEXT];
    enum pn_rc rc;

    if (client->secret.len == 0 && client->certificate_der.len == 0)
        return pn_error_set(err, PN_INVALID, "client",
                            "an application needs a secret or a certificate");
    if ((client->client_id && !pn_is_uuid(pn_slice_str(client->client_id))) ||
        (client->object_id && !pn_is_uuid(pn_slice_str(client->object_id))))
        return pn_error_set(err, PN_INVALID, "client", "client id and object id must be UUIDs");
    pn_uuid_v4(chosen);
    if (client->client_id)
        snprintf(chosen, sizeof chosen, "%s", client->client_id);
    rc = pn_store_begin(authority->store, &txn, err);
    if (rc != PN_OK)
        return rc;
    rc = change_client(authority, txn, client, chosen, object_id, err);
    if (rc != PN_OK) {
        pn_store_rollback(txn);
        return rc;
    }
    if (client_id)
        memcpy(client_id, chosen, sizeof chosen);
    return pn_store_commit(txn, NULL, err);
}
