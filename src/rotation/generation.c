/* SPDX-License-Identifier: Apache-2.0
 *
 * Generations as JSON, and what they are checked for.
 */
#include "rotation/generation.h"

#include <string.h>

#include "base/clock.h"
#include "base/encode.h"
#include "base/json.h"
#include "certs/lint.h"
#include "ipc/keyholder.h"

#define DER_TEXT_MAX (2u * PN_CERTIFICATE_BYTES_MAX)

static enum pn_rc chain_of(const struct pn_imported *imported, struct pn_chain **chain,
                           struct pn_error *err)
{
    struct pn_slice ders[PN_CHAIN_MAX];
    enum pn_rc rc;

    if (imported->chain_count == 0 || imported->chain_count > PN_CHAIN_MAX)
        return pn_error_set(err, PN_INVALID, "no_certificate",
                            "there is no certificate beside the private key");
    for (size_t i = 0; i < imported->chain_count; i++)
        ders[i] = pn_buf_slice(&imported->chain[i]);
    rc = pn_chain_from_ders(ders, imported->chain_count, chain, err);
    if (rc == PN_OK || rc == PN_NOMEM)
        return rc;
    return pn_error_set(err, PN_INVALID, "malformed_certificate",
                        "a certificate of the chain cannot be read");
}

/** The chain, whose leaf's key is the imported one. */
static enum pn_rc fitting_chain_of(const struct pn_imported *imported, struct pn_chain **out,
                                   struct pn_error *err)
{
    struct pn_chain *chain = NULL;
    enum pn_rc rc = chain_of(imported, &chain, err);

    if (rc != PN_OK)
        return rc;
    if (memcmp(pn_certificate_spki_sha256(pn_chain_leaf(chain)), imported->key.sha256,
               sizeof imported->key.sha256) != 0) {
        pn_chain_unref(chain);
        return pn_error_set(err, PN_INVALID, "key_mismatch",
                            "the private key does not belong to the certificate");
    }
    *out = chain;
    return PN_OK;
}

enum pn_rc pn_generation_lint(const struct pn_imported *imported, int64_t now_s,
                              struct pn_buf *warnings, struct pn_error *err)
{
    struct pn_chain *chain = NULL;
    struct pn_lint_report report;
    enum pn_rc rc = fitting_chain_of(imported, &chain, err);

    if (rc != PN_OK)
        return rc;
    pn_lint_client_chain(chain, now_s, &report);
    for (size_t i = 0; warnings && rc == PN_OK && i < report.count; i++)
        rc = pn_buf_printf(warnings, "%s\n", report.findings[i].message);
    pn_chain_unref(chain);
    return rc;
}

enum pn_rc pn_generation_check_host(const struct pn_imported *imported, const char *host,
                                    int64_t now_s, struct pn_error *err)
{
    struct pn_chain *chain = NULL;
    const struct pn_certificate *leaf;
    char time[PN_TIME_TEXT];
    enum pn_rc rc = chain_of(imported, &chain, err);

    if (rc != PN_OK)
        return rc;
    leaf = pn_chain_leaf(chain);
    if (pn_certificate_not_after(leaf) < now_s) {
        pn_time_iso8601(pn_certificate_not_after(leaf), time);
        rc = pn_error_set(err, PN_INVALID, "certificate_expired",
                          "The certificate expired at %s: no client would accept it.", time);
    } else if (pn_certificate_not_before(leaf) > now_s) {
        pn_time_iso8601(pn_certificate_not_before(leaf), time);
        rc = pn_error_set(err, PN_INVALID, "certificate_not_yet_valid",
                          "The certificate is valid from %s only.", time);
    } else if (!pn_certificate_allows_server_auth(leaf)) {
        rc = pn_error_set(err, PN_INVALID, "certificate_purpose",
                          "The certificate is not for servers: its extended key usage has no "
                          "serverAuth.");
    } else if (!host || !pn_certificate_names_host(leaf, host)) {
        rc = pn_error_set(err, PN_INVALID, "certificate_name",
                          "The certificate (%.200s) is not for the host name '%s'.",
                          pn_certificate_subject(leaf), host ? host : "");
    }
    pn_chain_unref(chain);
    return rc;
}

static json_t *chain_json(const struct pn_imported *imported)
{
    json_t *list = json_array();
    struct pn_buf text;

    pn_buf_init(&text, DER_TEXT_MAX);
    for (size_t i = 0; list && i < imported->chain_count; i++) {
        pn_buf_clear(&text);
        if (pn_base64_encode(pn_buf_slice(&imported->chain[i]), &text) != PN_OK ||
            json_array_append_new(list, pn_json_from_slice(pn_buf_slice(&text))) != 0) {
            json_decref(list);
            list = NULL;
        }
    }
    pn_buf_fini(&text);
    return list;
}

enum pn_rc pn_generation_set_status(json_t *properties, const char *code, const char *message,
                                    int64_t now_ms)
{
    char time[PN_TIME_TEXT];
    json_t *status;

    pn_time_iso8601_ticks(now_ms, time);
    status = json_pack("{s:s, s:s}", "code", code, "timeStampUtc", time);
    if (status && message && message[0] &&
        json_object_set_new(status, "message", json_string(message)) != 0) {
        json_decref(status);
        return PN_NOMEM;
    }
    return json_object_set_new(json_object_get(properties, "keyVault"), "lastStatus", status) == 0
               ? PN_OK
               : PN_NOMEM;
}

static bool add_warning(json_t *list, const char *code, const char *message)
{
    json_t *text = json_string(message);

    if (!text) /* what is quoted in it is not UTF-8 */
        text = json_string("");
    return json_array_append_new(list, json_pack("{s:s, s:o}", "code", code, "message", text)) == 0;
}

/** What was odd about the file, and what a careful person says of its certificate. */
static json_t *warnings_json(const struct pn_imported *imported, const struct pn_chain *chain,
                             int64_t now_s)
{
    json_t *list = json_array();
    struct pn_lint_report report;
    bool is_fine = list != NULL;

    pn_lint_client_chain(chain, now_s, &report);
    for (size_t i = 0; is_fine && i < report.count; i++)
        is_fine = add_warning(list, pn_lint_code_name(report.findings[i].code),
                              report.findings[i].message);
    for (size_t i = 0; is_fine && i < imported->facts.note_count; i++)
        is_fine = add_warning(list, imported->facts.notes[i].code, imported->facts.notes[i].text);
    if (is_fine)
        return list;
    json_decref(list);
    return NULL;
}

enum pn_rc pn_generation_set_refused(json_t *body, const char *message, int64_t now_ms)
{
    return pn_generation_set_status(json_object_get(body, "properties"), "CertificateRefused",
                                    message, now_ms);
}

bool pn_generation_is_same_source(const json_t *vault, const json_t *other)
{
    return pn_slice_eq(pn_json_slice(vault, "secretIdentifier"),
                       pn_json_slice(other, "secretIdentifier")) &&
           pn_slice_eq(pn_json_slice(vault, "identityClientId"),
                       pn_json_slice(other, "identityClientId"));
}

static enum pn_rc add_key_vault(json_t *properties, json_t *internal,
                                const struct pn_generation_origin *origin, int64_t now_ms)
{
    json_t *key_vault = json_pack("{s:s}", "secretIdentifier", origin->secret_identifier);
    const char *version = origin->secret_version ? origin->secret_version : "";

    if (!key_vault || json_object_set_new(properties, "keyVault", key_vault) != 0)
        return PN_NOMEM;
    if (origin->identity_client_id && origin->identity_client_id[0] &&
        json_object_set_new(key_vault, "identityClientId",
                            json_string(origin->identity_client_id)) != 0)
        return PN_NOMEM;
    if (json_object_set_new(internal, "secretVersion", json_string(version)) != 0)
        return PN_NOMEM;
    return pn_generation_set_status(properties, "Success", NULL, now_ms);
}

enum pn_rc pn_generation_make(const struct pn_imported *imported,
                              const struct pn_generation_origin *origin, int64_t now_ms,
                              json_t **properties, json_t **internal, struct pn_error *err)
{
    bool is_vault = origin->secret_identifier != NULL;
    char not_after[PN_TIME_TEXT], key_id[65];
    struct pn_chain *chain = NULL;
    const struct pn_certificate *leaf;
    json_t *made = NULL, *kept = NULL;
    enum pn_rc rc = fitting_chain_of(imported, &chain, err);

    if (rc != PN_OK)
        return rc;
    leaf = pn_chain_leaf(chain);
    pn_time_iso8601(pn_certificate_not_after(leaf), not_after);
    pn_hex_lower(imported->key.sha256, sizeof imported->key.sha256, key_id);
    made = json_pack("{s:s, s:s, s:s, s:o}", "subject", pn_certificate_subject(leaf), "thumbprint",
                     pn_certificate_thumbprint(leaf), "expirationDate", not_after, "warnings",
                     warnings_json(imported, chain, now_ms / 1000));
    kept =
        json_pack("{s:I, s:s, s:o, s:s}", "generation", (json_int_t)origin->generation, "keyId",
                  key_id, "chain", chain_json(imported), "source", is_vault ? "keyVault" : "pfx");
    rc = made && kept ? PN_OK : PN_NOMEM;
    if (rc == PN_OK && is_vault)
        rc = add_key_vault(made, kept, origin, now_ms);
    pn_chain_unref(chain);
    if (rc != PN_OK) {
        json_decref(made);
        json_decref(kept);
        return rc;
    }
    *properties = made;
    *internal = kept;
    return PN_OK;
}
