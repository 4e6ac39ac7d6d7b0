/* SPDX-License-Identifier: Apache-2.0
 *
 * tls.postern of a backend: whom it trusts beyond what API Management can say. Refused is what
 * would not do what it says, for whoever writes it relies on it.
 */
#include <arpa/inet.h>
#include <string.h>

#include "arm/arm_internal.h"
#include "base/encode.h"
#include "certs/certificate.h"

#define PIN_TARGET  "tls.postern.pins"
#define CA_TARGET   "tls.postern.caCertificates"
#define LABEL_MAX   63
#define PEM_BEGIN   "-----BEGIN CERTIFICATE-----"
#define PEM_END     "-----END CERTIFICATE-----"
#define PEM_ANY_KEY "PRIVATE KEY-----"

/* ---- pins ---- */

static void check_pin(struct pn_problems *problems, size_t index, struct pn_slice text)
{
    struct pn_buf pin;
    char target[64];
    enum pn_rc rc;

    (void)snprintf(target, sizeof(target), PIN_TARGET "[%zu]", index);
    pn_buf_init(&pin, 1024);
    rc = pn_base64_decode(text, &pin);
    if (rc != PN_OK || pin.len != PN_SHA256_BYTES)
        pn_problem_add(problems, target,
                       "'%s' must be the base64 of a SHA-256 (44 characters) of a public key "
                       "(SubjectPublicKeyInfo, RFC 7469), without a prefix. postern backend probe "
                       "shows those of a server.",
                       target);
    pn_buf_fini(&pin);
}

static void check_pins(struct pn_problems *problems, const json_t *pins)
{
    for (size_t i = 0; i < json_array_size(pins); i++) {
        const json_t *pin = json_array_get(pins, i);

        check_pin(problems, i, pn_slice(json_string_value(pin), json_string_length(pin)));
        for (size_t k = 0; k < i; k++) {
            if (json_equal(pin, json_array_get(pins, k)))
                pn_problem_add(problems, PIN_TARGET, "A pin is given twice.");
        }
    }
}

/* ---- CA certificates ---- */

/** Appends one certificate as base64 DER, unless it is there. False: `problems` tells. */
static bool add_ca(struct pn_problems *problems, const char *target,
                   struct pn_certificate *certificate, json_t *list)
{
    struct pn_buf text;
    json_t *json = NULL;
    bool is_there = false;

    pn_buf_init(&text, PN_CERTIFICATE_BYTES_MAX * 2);
    if (pn_base64_encode(pn_certificate_der(certificate), &text) == PN_OK)
        json = pn_json_from_slice(pn_buf_slice(&text));
    pn_buf_fini(&text);
    for (size_t i = 0; json && i < json_array_size(list); i++)
        is_there = is_there || json_equal(json_array_get(list, i), json);
    if (json && (is_there || json_array_append(list, json) == 0)) {
        json_decref(json);
        return true;
    }
    json_decref(json);
    pn_problem_add(problems, target, "There is no memory for '%s'.", target);
    return false;
}

/** All certificates of a PEM text. */
static bool add_pem(struct pn_problems *problems, const char *target, struct pn_slice pem,
                    json_t *list)
{
    bool is_fine = true;
    size_t count = 0;

    for (; is_fine; count++) {
        size_t begin = pn_slice_find_slice(pem, PN_LIT(PEM_BEGIN));
        struct pn_certificate *certificate = NULL;
        struct pn_error err = {0};
        size_t end;

        if (begin >= pem.len)
            break;
        pem = pn_slice_sub(pem, begin, pem.len - begin);
        end = pn_slice_find_slice(pem, PN_LIT(PEM_END));
        end = end < pem.len ? end + sizeof(PEM_END) - 1 : pem.len;
        is_fine = pn_certificate_from_pem(pn_slice_sub(pem, 0, end), &certificate, &err) == PN_OK;
        if (is_fine)
            is_fine = add_ca(problems, target, certificate, list);
        else
            pn_problem_add(problems, target, "Certificate number %zu of '%s' cannot be read: %s",
                           count + 1, target, err.message);
        pn_certificate_unref(certificate);
        pem = pn_slice_sub(pem, end, pem.len - end);
    }
    return is_fine;
}

static bool add_text(struct pn_problems *problems, size_t index, struct pn_slice text, json_t *list)
{
    struct pn_certificate *certificate = NULL;
    struct pn_error err = {0};
    struct pn_buf der;
    char target[64];
    bool is_fine = false;

    (void)snprintf(target, sizeof(target), CA_TARGET "[%zu]", index);
    if (pn_slice_find_slice(text, PN_LIT(PEM_ANY_KEY)) < text.len) {
        pn_problem_add(problems, target,
                       "'%s' holds a private key: give the certificate alone, and take that key "
                       "for known to others.",
                       target);
        return false;
    }
    if (pn_slice_find_slice(text, PN_LIT(PEM_BEGIN)) < text.len)
        return add_pem(problems, target, text, list);
    pn_buf_init(&der, PN_CERTIFICATE_BYTES_MAX);
    if (pn_base64_decode(text, &der) == PN_OK &&
        pn_certificate_from_der(pn_buf_slice(&der), &certificate, &err) == PN_OK)
        is_fine = add_ca(problems, target, certificate, list);
    else
        pn_problem_add(problems, target,
                       "'%s' must be an X.509 certificate: PEM text, or DER in base64.", target);
    pn_certificate_unref(certificate);
    pn_buf_fini(&der);
    return is_fine;
}

/** Each certificate becomes an entry of its own, in base64 DER. */
static void normalize_cas(struct pn_problems *problems, json_t *postern)
{
    json_t *given = json_object_get(postern, "caCertificates");
    json_t *list = json_array();
    bool is_fine = list != NULL;

    for (size_t i = 0; is_fine && i < json_array_size(given); i++) {
        const json_t *entry = json_array_get(given, i);

        is_fine = add_text(problems, i,
                           pn_slice(json_string_value(entry), json_string_length(entry)), list);
    }
    if (is_fine && json_array_size(given) > 0 && json_array_size(list) == 0)
        pn_problem_add(problems, CA_TARGET, "There is no certificate in '" CA_TARGET "'.");
    if (is_fine && json_array_size(list) > PN_TRUST_CAS_MAX)
        pn_problem_add(problems, CA_TARGET, "'" CA_TARGET "' has at most %d certificates.",
                       PN_TRUST_CAS_MAX);
    if (is_fine && json_object_set(postern, "caCertificates", list) != 0)
        pn_problem_add(problems, CA_TARGET, "There is no memory for '" CA_TARGET "'.");
    json_decref(list);
}

/* ---- the name ---- */

/** A DNS name without wildcard (RFC 1123 §2.1, and '_', which servers have too). */
static bool is_dns_name(struct pn_slice name)
{
    struct pn_slice rest = name, label = {0};

    if (name.len == 0 || name.ptr[name.len - 1] == '.')
        return false;
    while (pn_slice_cut(&rest, '.', &label)) {
        if (label.len == 0 || label.len > LABEL_MAX || label.ptr[0] == '-' ||
            label.ptr[label.len - 1] == '-')
            return false;
        for (size_t i = 0; i < label.len; i++) {
            char c = label.ptr[i];

            if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                  c == '-' || c == '_'))
                return false;
        }
    }
    return true;
}

static bool is_server_name(const char *name)
{
    unsigned char ip[16];

    return inet_pton(AF_INET, name, ip) == 1 || inet_pton(AF_INET6, name, ip) == 1 ||
           is_dns_name(pn_slice_str(name));
}

/* ---- all of it ---- */

static void check_sense(struct pn_problems *problems, const json_t *properties,
                        const json_t *postern)
{
    const json_t *tls = json_object_get(properties, "tls");
    const char *type = pn_json_str(properties, "type");
    struct pn_slice url = pn_json_slice(properties, "url");

    if (type && strcmp(type, "Pool") == 0)
        pn_problem_add(problems, "tls.postern",
                       "A pool opens no connections: set 'tls.postern' on its members.");
    else if (url.len > 0 && !pn_slice_case_starts_with(url, PN_LIT("https:")) &&
             !pn_slice_case_starts_with(url, PN_LIT("wss:")))
        pn_problem_add(problems, "tls.postern",
                       "'tls.postern' is about TLS, and 'url' is not https://.");
    if (!pn_json_bool(tls, "validateCertificateChain", true) &&
        json_array_size(json_object_get(postern, "caCertificates")) > 0)
        pn_problem_add(problems, CA_TARGET,
                       "With 'validateCertificateChain' off, 'caCertificates' would not be looked "
                       "at: switch it on, or give 'pins'.");
}

void arm_backend_trust(struct pn_problems *problems, json_t *properties)
{
    json_t *tls = json_object_get(properties, "tls");
    json_t *postern = json_object_get(tls, "postern");
    const char *name = pn_json_str(postern, "serverName");

    if (!postern)
        return;
    if (json_object_size(postern) == 0) {
        (void)json_object_del(tls, "postern");
        return;
    }
    check_sense(problems, properties, postern);
    check_pins(problems, json_object_get(postern, "pins"));
    if (json_object_get(postern, "caCertificates"))
        normalize_cas(problems, postern);
    if (name && !is_server_name(name))
        pn_problem_add(problems, "tls.postern.serverName",
                       "'tls.postern.serverName' must be a host name or an IP address.");
}
