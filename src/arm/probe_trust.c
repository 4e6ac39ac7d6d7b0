/* SPDX-License-Identifier: Apache-2.0
 *
 * What would make a backend trust what its server has shown: for each way the whole `tls` of the
 * backend, ready for a PATCH, and what a person compares before agreeing. Trust on first use: the
 * probe cannot tell the server from somebody in between.
 *
 *   ca    the topmost certificate that was sent becomes an anchor; survives renewals below it
 *   key   the leaf's public key is pinned and what that makes needless is switched off
 *   name  the name that the certificate has is expected instead of the host's
 */
#include <string.h>

#include "arm/probe_internal.h"
#include "base/encode.h"
#include "certs/certificate.h"

static struct pn_certificate *certificate_of(const json_t *entry)
{
    struct pn_certificate *certificate = NULL;
    struct pn_error err = {0};
    struct pn_buf der;

    pn_buf_init(&der, PN_CERTIFICATE_BYTES_MAX);
    if (pn_base64_decode(pn_json_slice(entry, "der"), &der) != PN_OK ||
        pn_certificate_from_der(pn_buf_slice(&der), &certificate, &err) != PN_OK)
        certificate = NULL;
    pn_buf_fini(&der);
    return certificate;
}

/** "ab:cd:…" of the DER's SHA-256, as browsers and openssl show it. */
static json_t *fingerprint(struct pn_slice der)
{
    uint8_t digest[PN_SHA256_BYTES];
    char hex[2 * PN_SHA256_BYTES + 1];
    char text[3 * PN_SHA256_BYTES];

    pn_sha256(der, digest);
    pn_hex_upper(digest, sizeof(digest), hex);
    for (size_t i = 0; i < sizeof(digest); i++) {
        text[3 * i] = hex[2 * i];
        text[3 * i + 1] = hex[2 * i + 1];
        text[3 * i + 2] = ':';
    }
    text[sizeof(text) - 1] = '\0';
    return json_string(text);
}

static json_t *pin_of(const struct pn_certificate *certificate)
{
    struct pn_buf text;
    json_t *json = NULL;

    pn_buf_init(&text, 128);
    if (pn_base64_encode(pn_slice(pn_certificate_spki_sha256(certificate), PN_SHA256_BYTES),
                         &text) == PN_OK)
        json = pn_json_from_slice(pn_buf_slice(&text));
    pn_buf_fini(&text);
    return json;
}

/** A copy of `tls` with a `postern` to be changed. NULL: no memory. */
static json_t *copy_tls(const json_t *tls)
{
    json_t *copy = tls ? json_deep_copy(tls) : json_object();

    if (copy && !json_is_object(json_object_get(copy, "postern")) &&
        json_object_set_new(copy, "postern", json_object()) != 0) {
        json_decref(copy);
        return NULL;
    }
    return copy;
}

/** Appends `entry` (taken) to a list of tls.postern, unless it is there. */
static bool add_to(json_t *tls, const char *member, json_t *entry)
{
    json_t *postern = json_object_get(tls, "postern");
    json_t *list = json_object_get(postern, member);
    bool is_fine = entry != NULL;

    if (!list) {
        list = json_array();
        is_fine = json_object_set_new(postern, member, list) == 0 && is_fine;
    }
    for (size_t i = 0; is_fine && i < json_array_size(list); i++) {
        if (json_equal(json_array_get(list, i), entry)) {
            json_decref(entry);
            return true;
        }
    }
    return is_fine ? json_array_append_new(list, entry) == 0 : (json_decref(entry), false);
}

/** {"tls", "subject", "thumbprint", "sha256", "pin"}; takes `tls`. */
static json_t *offer(json_t *tls, const struct pn_certificate *certificate)
{
    return json_pack("{s:o, s:s, s:s, s:o, s:o}", "tls", tls, "subject",
                     pn_certificate_subject(certificate), "thumbprint",
                     pn_certificate_thumbprint(certificate), "sha256",
                     fingerprint(pn_certificate_der(certificate)), "pin", pin_of(certificate));
}

static json_t *offer_ca(const json_t *facts, const json_t *tls)
{
    const json_t *chain = json_object_get(facts, "serverChain");
    const json_t *top = json_array_get(chain, json_array_size(chain) - 1);
    struct pn_certificate *certificate = certificate_of(top);
    json_t *wanted = certificate ? copy_tls(tls) : NULL;
    json_t *json = NULL;

    if (wanted && add_to(wanted, "caCertificates", json_incref(json_object_get(top, "der"))) &&
        json_object_set_new(wanted, "validateCertificateChain", json_true()) == 0)
        json = offer(json_incref(wanted), certificate);
    json_decref(wanted);
    pn_certificate_unref(certificate);
    return json;
}

static json_t *offer_key(const json_t *facts, const json_t *tls)
{
    struct pn_certificate *leaf =
        certificate_of(json_array_get(json_object_get(facts, "serverChain"), 0));
    json_t *wanted = leaf ? copy_tls(tls) : NULL;
    json_t *json = NULL;

    if (wanted && add_to(wanted, "pins", pin_of(leaf)) &&
        json_object_set_new(wanted, "validateCertificateChain", json_false()) == 0 &&
        json_object_set_new(wanted, "validateCertificateName", json_false()) == 0) {
        (void)json_object_del(json_object_get(wanted, "postern"), "caCertificates");
        json = offer(json_incref(wanted), leaf);
    }
    json_decref(wanted);
    pn_certificate_unref(leaf);
    return json;
}

/** The first name that can be asked for. */
static const char *first_name(const struct pn_certificate *leaf)
{
    for (size_t i = 0; i < pn_certificate_san_count(leaf); i++) {
        const struct pn_san *san = pn_certificate_san(leaf, i);

        if ((san->type == PN_SAN_DNS || san->type == PN_SAN_IP) && !strchr(san->text, '*'))
            return san->text;
    }
    return NULL;
}

static json_t *offer_name(const json_t *facts, const json_t *tls)
{
    struct pn_certificate *leaf =
        certificate_of(json_array_get(json_object_get(facts, "serverChain"), 0));
    const char *name = leaf ? first_name(leaf) : NULL;
    json_t *wanted = name ? copy_tls(tls) : NULL;
    json_t *json = NULL;

    if (wanted && json_object_set_new(json_object_get(wanted, "postern"), "serverName",
                                      json_string(name)) == 0)
        json = offer(json_incref(wanted), leaf);
    if (json)
        (void)json_object_set_new(json, "serverName", json_string(name));
    json_decref(wanted);
    pn_certificate_unref(leaf);
    return json;
}

json_t *arm_probe_trust(const json_t *facts, const json_t *tls)
{
    const char *cause = pn_json_str(facts, "cause");
    json_t *json;
    bool is_unknown, is_name;

    if (!cause || strcmp(cause, "proxy_tls") == 0 || /* not the backend's certificate */
        pn_json_int(facts, "verifyError", 0) == 0 ||
        json_array_size(json_object_get(facts, "serverChain")) == 0)
        return NULL;
    is_unknown = strcmp(cause, "tls_unknown_ca") == 0;
    is_name = strcmp(cause, "tls_name_mismatch") == 0;
    json = json_pack("{s:o*, s:o*, s:o*}", "ca", is_unknown ? offer_ca(facts, tls) : NULL, "name",
                     is_name ? offer_name(facts, tls) : NULL, "key", offer_key(facts, tls));
    if (json_object_size(json) > 0)
        return json;
    json_decref(json);
    return NULL;
}
