/* SPDX-License-Identifier: Apache-2.0
 *
 * Fetch, open, check: from a secret's identifier to a key that the keyholder keeps.
 */
#include <string.h>

#include "base/clock.h"
#include "base/encode.h"
#include "base/log.h"
#include "rotation/generation.h"
#include "rotation/rotation_internal.h"
#include "store/store.h"

static const struct {
    const char *error_code;
    const char *status_code;
} status_codes[] = {
    {"vault_dns", "VaultDnsError"},
    {"network_rule", "NetworkRuleDenied"},
    {"address_guarded", "AddressGuarded"},
    {"vault_connect", "VaultConnectError"},
    {"vault_tls", "VaultTlsError"},
    {"vault_timeout", "VaultTimeout"},
    {"vault_token", "VaultTokenError"},
    {"vault_challenge", "VaultChallengeError"},
    {"vault_unauthorized", "VaultUnauthorized"},
    {"vault_forbidden", "VaultForbidden"},
    {"vault_not_found", "VaultNotFound"},
    {"vault_throttled", "VaultThrottled"},
    {"vault_unavailable", "VaultUnavailable"},
    {"vault_content", "VaultContentError"},
    {"identity_not_enabled", "IdentityNotEnabled"},
    {"keyholder_unavailable", "KeyholderUnavailable"},
};

const char *pn_rotation_status_code(const struct pn_error *err)
{
    for (size_t i = 0; i < sizeof status_codes / sizeof status_codes[0]; i++) {
        if (strcmp(err->code, status_codes[i].error_code) == 0)
            return status_codes[i].status_code;
    }
    switch ((int)err->rc) {
    case PN_MALFORMED:
    case PN_INVALID:
    case PN_UNSUPPORTED:
    case PN_LIMIT:
        return "CertificateRefused";
    case PN_UNAVAILABLE:
    case PN_TIMEOUT:
        return "KeyholderUnavailable";
    default:
        return "InternalError";
    }
}

void pn_fetched_fini(struct pn_fetched *fetched)
{
    pn_imported_fini(&fetched->imported);
    memset(fetched, 0, sizeof *fetched);
}

/* A secret's value is base64 of a PFX, or PEM text; sniffed, as people put either under any type.
 */
static enum pn_rc decode_value(const struct pn_keyvault_secret *secret, struct pn_buf *file,
                               struct pn_error *err)
{
    struct pn_slice value = pn_buf_slice(&secret->value);
    enum pn_rc rc;

    if (pn_slice_find_slice(value, PN_LIT("-----BEGIN ")) < value.len)
        return pn_buf_append_slice(file, value);
    rc = pn_base64_decode(value, file);
    if (rc == PN_OK && file->len > 0)
        return PN_OK;
    if (rc == PN_NOMEM)
        return rc;
    return pn_error_set(
        err, PN_INVALID, "not_pfx",
        "the secret (content type '%s') is neither base64 of a PKCS#12 file nor PEM "
        "text with a private key and its certificate",
        secret->content_type[0] ? secret->content_type : "none");
}

static enum pn_rc import_secret(struct pn_rotation *rotation, enum pn_key_use use,
                                const struct pn_keyvault_secret *secret,
                                struct pn_imported *imported, struct pn_error *err)
{
    struct pn_slice no_password = {NULL, 0};
    struct pn_buf file, warnings;
    enum pn_rc rc;

    pn_buf_init_secret(&file, PN_IMPORT_BYTES_MAX);
    pn_buf_init(&warnings, 8192);
    rc = decode_value(secret, &file, err);
    if (rc == PN_OK)
        rc = pn_keyholder_import(rotation->config.keyholder, use, pn_buf_slice(&file), no_password,
                                 imported, err);
    if (rc == PN_OK) {
        rc = pn_generation_lint(imported, rotation->now_ms() / 1000,
                                use == PN_USE_CLIENT ? &warnings : NULL, err);
        if (rc == PN_OK && warnings.len > 0)
            pn_log(PN_LOG_WARN, "certificate_warnings", "text",
                   PN_SL(pn_slice_trim(pn_buf_slice(&warnings))), NULL);
        if (rc != PN_OK) {
            pn_rotation_forget_unused(rotation, use, &imported->key);
            pn_imported_fini(imported);
        }
    }
    pn_buf_fini(&file);
    pn_buf_fini(&warnings);
    return rc;
}

enum pn_rc pn_rotation_fetch_certificate(struct pn_rotation *rotation, enum pn_key_use use,
                                         const char *service_id, const char *secret_identifier,
                                         const char *identity_client_id, struct pn_fetched *fetched,
                                         struct pn_error *err)
{
    struct pn_identity_ref identity = {.owner_id = service_id, .client_id = identity_client_id};
    struct pn_keyvault_secret secret;
    enum pn_rc rc;

    memset(fetched, 0, sizeof *fetched);
    fetched->use = use;
    fetched->since = pn_store_revision(rotation->config.store);
    rc = pn_keyvault_id_parse(pn_slice_str(secret_identifier), &fetched->id, err);
    if (rc != PN_OK) {
        (void)pn_error_target(err, "keyVault.secretIdentifier");
        return rc;
    }
    rc = pn_keyvault_get_secret(rotation->config.keyvault, &identity, &fetched->id, &secret, NULL,
                                err);
    if (rc != PN_OK)
        return rc;
    memcpy(fetched->version, secret.version, sizeof fetched->version);
    rc = import_secret(rotation, use, &secret, &fetched->imported, err);
    if (rc != PN_OK)
        pn_error_prefix(err, "secret %s/secrets/%s/%s", fetched->id.origin, fetched->id.name,
                        secret.version);
    pn_keyvault_secret_fini(&secret);
    return rc;
}

/* What can stand in a policy: UTF-8 without NUL. */
static bool is_text(struct pn_slice value)
{
    json_t *text = json_stringn(value.ptr, value.len);
    bool is_good = text && pn_slice_find(value, '\0') == value.len;

    json_decref(text);
    return is_good;
}

enum pn_rc pn_rotation_fetch_value(struct pn_rotation *rotation, const char *service_id,
                                   const char *secret_identifier, const char *identity_client_id,
                                   struct pn_buf *value, char *version, struct pn_error *err)
{
    struct pn_identity_ref identity = {.owner_id = service_id, .client_id = identity_client_id};
    struct pn_keyvault_secret secret;
    struct pn_keyvault_id id;
    struct pn_slice text;
    enum pn_rc rc = pn_keyvault_id_parse(pn_slice_str(secret_identifier), &id, err);

    if (rc != PN_OK) {
        (void)pn_error_target(err, "keyVault.secretIdentifier");
        return rc;
    }
    rc = pn_keyvault_get_secret(rotation->config.keyvault, &identity, &id, &secret, NULL, err);
    if (rc != PN_OK)
        return rc;
    text = pn_buf_slice(&secret.value);
    if (text.len == 0 || !is_text(text) || pn_buf_append_slice(value, text) != PN_OK)
        rc = pn_error_set(err, PN_INVALID, "vault_content",
                          "the secret %s/secrets/%s/%s cannot be a named value: it must be text of "
                          "1 to %zu bytes",
                          id.origin, id.name, secret.version, value->max);
    memcpy(version, secret.version, PN_KEYVAULT_VERSION_TEXT);
    pn_keyvault_secret_fini(&secret);
    return rc;
}
