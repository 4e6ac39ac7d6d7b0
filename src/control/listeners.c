/* SPDX-License-Identifier: Apache-2.0
 *
 * The private CA and the listeners' certificates. See listeners.h.
 *
 * In the settings: "ca": {"keyId", "certificate", "notAfter"} and
 * "listeners": {"control": {"keyId", "certificate", "notAfter"}, …}; DER as base64.
 */
#include "control/listeners.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"
#include "base/log.h"

#define DAY_S          86400
#define PEM_LINE       64
#define PEM_BYTES_MAX  65536
#define OID_SERVERAUTH "1.3.6.1.5.5.7.3.1"

void pn_listener_fini(struct pn_listener *listener)
{
    for (size_t i = 0; i < listener->chain_count; i++)
        pn_buf_fini(&listener->chain[i]);
    *listener = (struct pn_listener){0};
}

/* {"keyId", "certificate", "notAfter"} of what the keyholder made. */
static json_t *entry_from(const struct pn_imported *made, int64_t not_after)
{
    char key_id[65];
    struct pn_buf text;
    json_t *entry = NULL;

    pn_buf_init(&text, PEM_BYTES_MAX);
    pn_hex_lower(made->key.sha256, sizeof(made->key.sha256), key_id);
    if (made->chain_count > 0 && pn_base64_encode(pn_buf_slice(&made->chain[0]), &text) == PN_OK)
        entry = json_pack("{s:s, s:s%, s:I}", "keyId", key_id, "certificate", text.ptr, text.len,
                          "notAfter", (json_int_t)not_after);
    pn_buf_fini(&text);
    return entry;
}

static enum pn_rc entry_read(const json_t *entry, struct pn_key_id *key, struct pn_buf *der)
{
    if (!pn_hex_decode(pn_json_slice(entry, "keyId"), key->sha256, sizeof(key->sha256)))
        return PN_INVALID;
    return pn_base64_decode(pn_json_slice(entry, "certificate"), der);
}

static bool is_fresh(const json_t *entry, int64_t now_s)
{
    return entry &&
           pn_json_int(entry, "notAfter", 0) > now_s + (int64_t)PN_LISTENER_RENEW_DAYS * DAY_S;
}

static enum pn_rc put_entry(json_t *object, const char *name, const struct pn_imported *made,
                            int64_t not_after, struct pn_error *err)
{
    json_t *entry = entry_from(made, not_after);

    if (!entry || json_object_set_new(object, name, entry) != 0)
        return pn_error_set(err, PN_NOMEM, "no_memory", "out of memory");
    return PN_OK;
}

static enum pn_rc prepare_ca(struct pn_keyholder *keyholder, json_t *body, int64_t now_s,
                             struct pn_error *err)
{
    static const char *const usages[] = {"keyCertSign", "cRLSign", NULL};
    struct pn_issue_spec spec = {
        .key_type = "EC",
        .key_bits = 256,
        .subject = "CN=Postern private CA, O=Postern",
        .key_usages = usages,
        .is_ca = true,
        .not_before = now_s - DAY_S,
        .not_after = now_s + (int64_t)PN_LISTENER_CA_DAYS * DAY_S,
    };
    struct pn_imported made = {0};
    enum pn_rc rc;

    if (is_fresh(json_object_get(body, "ca"), now_s))
        return PN_OK;
    rc = pn_keyholder_issue(keyholder, PN_USE_CA, &spec, &made, err);
    if (rc == PN_OK)
        rc = put_entry(body, "ca", &made, spec.not_after, err);
    /* Certificates of a former CA would not verify against the new ca.pem. */
    if (rc == PN_OK)
        json_object_del(body, "listeners");
    pn_imported_fini(&made);
    return rc;
}

struct listener_names {
    const char *name;
    enum pn_key_use use;
    const char *const *dns_names;
};

static enum pn_rc prepare_listener(struct pn_keyholder *keyholder, json_t *body,
                                   const struct listener_names *names, int64_t now_s,
                                   struct pn_error *err)
{
    static const char *const addresses[] = {"127.0.0.1", "::1", NULL};
    static const char *const usages[] = {"digitalSignature", NULL};
    static const char *const ekus[] = {OID_SERVERAUTH, NULL};
    json_t *listeners = json_object_get(body, "listeners");
    struct pn_issue_spec spec = {
        .key_type = "EC",
        .key_bits = 256,
        .subject = "CN=localhost, O=Postern",
        .dns_names = names->dns_names,
        .ip_addresses = addresses,
        .ekus = ekus,
        .key_usages = usages,
        .not_before = now_s - DAY_S,
        .not_after = now_s + (int64_t)PN_LISTENER_DAYS * DAY_S,
    };
    struct pn_imported made = {0};
    struct pn_key_id ca_key;
    struct pn_buf ca;
    enum pn_rc rc;

    if (is_fresh(json_object_get(listeners, names->name), now_s))
        return PN_OK;
    pn_buf_init(&ca, PEM_BYTES_MAX);
    rc = entry_read(json_object_get(body, "ca"), &ca_key, &ca);
    if (rc != PN_OK) {
        pn_error_set(err, rc, "damaged_settings", "the private CA in the settings cannot be read");
        goto out;
    }
    spec.issuer_key = &ca_key;
    spec.issuer_certificate = pn_buf_slice(&ca);
    rc = pn_keyholder_issue(keyholder, names->use, &spec, &made, err);
    if (rc == PN_OK)
        rc = put_entry(listeners, names->name, &made, spec.not_after, err);
    if (rc == PN_OK)
        pn_log(PN_LOG_INFO, "listener_certificate_made", "listener", PN_S(names->name), NULL);
out:
    pn_imported_fini(&made);
    pn_buf_fini(&ca);
    return rc;
}

static enum pn_rc append_pem(struct pn_slice base64, struct pn_buf *out)
{
    enum pn_rc rc = pn_buf_append_str(out, "-----BEGIN CERTIFICATE-----\n");

    for (size_t at = 0; at < base64.len && rc == PN_OK; at += PEM_LINE)
        rc = pn_buf_printf(out, "%.*s\n", PN_FMT(pn_slice_sub(base64, at, PEM_LINE)));
    return rc == PN_OK ? pn_buf_append_str(out, "-----END CERTIFICATE-----\n") : rc;
}

static enum pn_rc write_pem(const char *path, const json_t *first, const json_t *second,
                            struct pn_error *err)
{
    struct pn_buf text;
    enum pn_rc rc;

    pn_buf_init(&text, PEM_BYTES_MAX);
    rc = append_pem(pn_json_slice(first, "certificate"), &text);
    if (rc == PN_OK && second)
        rc = append_pem(pn_json_slice(second, "certificate"), &text);
    if (rc == PN_OK)
        rc = pn_file_write_atomic(path, pn_buf_slice(&text), 0644, err);
    else
        pn_error_set(err, rc, "no_memory", "cannot write %s", path);
    pn_buf_fini(&text);
    return rc;
}

static enum pn_rc write_files(const json_t *body, const char *data_dir, struct pn_error *err)
{
    static const char *const names[] = {"control", "vault", "gateway"};
    const json_t *ca = json_object_get(body, "ca");
    char path[PATH_MAX];
    enum pn_rc rc;

    snprintf(path, sizeof(path), "%s/tls", data_dir);
    rc = pn_dir_make(path, 0755, err);
    snprintf(path, sizeof(path), "%s/ca.pem", data_dir);
    if (rc == PN_OK)
        rc = write_pem(path, ca, NULL, err);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]) && rc == PN_OK; i++) {
        snprintf(path, sizeof(path), "%s/tls/%s.pem", data_dir, names[i]);
        rc =
            write_pem(path, json_object_get(json_object_get(body, "listeners"), names[i]), ca, err);
    }
    return rc;
}

enum pn_rc pn_listeners_prepare(struct pn_store *store, struct pn_keyholder *keyholder,
                                struct pn_settings *settings, const char *data_dir,
                                struct pn_error *err)
{
    char host[HOST_NAME_MAX + 1] = "localhost";
    const char *const own[] = {"localhost", host, NULL};
    const char *const of_vault[] = {"localhost", "vault.localhost", "*.vault.localhost", host,
                                    NULL};
    const struct listener_names all[] = {{"control", PN_USE_MANAGEMENT, own},
                                         {"vault", PN_USE_MANAGEMENT, of_vault},
                                         {"gateway", PN_USE_SERVER, own}};
    int64_t now_s = pn_clock_unix_s();
    json_t *before = json_deep_copy(settings->body);
    enum pn_rc rc = before ? PN_OK : PN_NOMEM;

    if (gethostname(host, sizeof(host)) != 0)
        snprintf(host, sizeof(host), "localhost");
    host[sizeof(host) - 1] = 0;
    if (rc == PN_OK)
        rc = prepare_ca(keyholder, settings->body, now_s, err);
    if (rc == PN_OK && !json_object_get(settings->body, "listeners"))
        rc =
            json_object_set_new(settings->body, "listeners", json_object()) == 0 ? PN_OK : PN_NOMEM;
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]) && rc == PN_OK; i++)
        rc = prepare_listener(keyholder, settings->body, &all[i], now_s, err);
    if (rc == PN_OK && !json_equal(before, settings->body))
        rc = pn_settings_save(store, settings, err);
    if (rc == PN_OK)
        rc = write_files(settings->body, data_dir, err);
    json_decref(before);
    return rc;
}

enum pn_rc pn_listener_read(const struct pn_settings *settings, const char *name,
                            struct pn_listener *listener, struct pn_error *err)
{
    const json_t *entry = json_object_get(json_object_get(settings->body, "listeners"), name);
    const json_t *ca = json_object_get(settings->body, "ca");
    struct pn_key_id ca_key;
    enum pn_rc rc;

    *listener = (struct pn_listener){.chain_count = 2};
    pn_buf_init(&listener->chain[0], PEM_BYTES_MAX);
    pn_buf_init(&listener->chain[1], PEM_BYTES_MAX);
    rc = entry_read(entry, &listener->key, &listener->chain[0]);
    if (rc == PN_OK)
        rc = entry_read(ca, &ca_key, &listener->chain[1]);
    if (rc != PN_OK) {
        pn_listener_fini(listener);
        return pn_error_set(err, rc, "damaged_settings",
                            "the certificate of the %s listener cannot be read", name);
    }
    return PN_OK;
}

json_t *pn_listener_for_gateway(const struct pn_settings *settings)
{
    const json_t *entry = json_object_get(json_object_get(settings->body, "listeners"), "gateway");

    return json_pack("{s:[O, O], s:O}", "listenerChain", json_object_get(entry, "certificate"),
                     json_object_get(json_object_get(settings->body, "ca"), "certificate"),
                     "listenerKeyId", json_object_get(entry, "keyId"));
}
