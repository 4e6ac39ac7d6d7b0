/* SPDX-License-Identifier: Apache-2.0
 *
 * properties.certificates of the service: CA certificates for all backends. "Root" are anchors
 * beside those of the system, "CertificateAuthority" complete chains. Stored are public facts (in
 * properties, as they are answered) and the certificates (in internal, for the gateway); no file
 * and no password.
 */
#include <string.h>

#include "arm/arm_internal.h"
#include "base/clock.h"
#include "base/encode.h"
#include "certs/certificate.h"

#define MEMBER ARM_SERVICE_CAS_MEMBER

/* ---- files ---- */

static bool refuse(struct arm_call *call, size_t index, const char *member, const char *sentence)
{
    char target[80];

    (void)snprintf(target, sizeof(target), MEMBER "[%zu].%s", index, member);
    arm_answer_invalid(call, target, "%s", sentence);
    return false;
}

/** A PFX: its certificate with the key, which is not kept. */
static bool open_pfx(struct arm_call *call, size_t index, const json_t *entry, struct pn_slice file,
                     struct pn_certificate **certificate)
{
    const struct pn_arm_services *services = &call->arm->config.services;
    struct pn_imported imported = {0};
    struct pn_error err = {0};
    enum pn_rc rc = services->check(services->ctx, file,
                                    pn_json_slice(entry, "certificatePassword"), &imported, &err);

    if (rc == PN_OK)
        rc = pn_certificate_from_der(pn_buf_slice(&imported.chain[0]), certificate, &err);
    pn_imported_fini(&imported);
    if (rc == PN_OK)
        return true;
    if (rc == PN_UNAVAILABLE || rc == PN_TIMEOUT || rc == PN_NOMEM) {
        arm_answer_failure(call, &err);
        return false;
    }
    if (strcmp(err.code, "no_key") == 0)
        return refuse(call, index, "encodedCertificate",
                      "The file has no private key, and none is needed: give the certificate "
                      "itself (DER or PEM), base64-encoded.");
    if (strcmp(err.code, "not_pfx") == 0)
        return refuse(call, index, "encodedCertificate",
                      "'encodedCertificate' must be a certificate (DER or PEM) or a PFX file, "
                      "base64-encoded.");
    return refuse(call, index,
                  strcmp(err.code, "wrong_password") == 0 ? "certificatePassword"
                                                          : "encodedCertificate",
                  err.message);
}

static bool open_file(struct arm_call *call, size_t index, const json_t *entry,
                      struct pn_slice file, struct pn_certificate **certificate)
{
    struct pn_error err = {0};

    if (pn_slice_find_slice(file, PN_LIT("PRIVATE KEY-----")) < file.len)
        return refuse(call, index, "encodedCertificate",
                      "The file holds a private key: give the certificate alone.");
    if (pn_slice_find_slice(file, PN_LIT("-----BEGIN ")) < file.len) {
        if (pn_certificate_from_pem(file, certificate, &err) == PN_OK)
            return true;
        return refuse(call, index, "encodedCertificate", err.message);
    }
    if (pn_certificate_from_der(file, certificate, &err) == PN_OK)
        return true;
    return open_pfx(call, index, entry, file, certificate);
}

static bool open_entry(struct arm_call *call, size_t index, const json_t *entry,
                       struct arm_service_cas *cas)
{
    struct pn_slice text = pn_json_slice(entry, "encodedCertificate");
    struct pn_buf file;
    bool is_fine;

    if (!text.ptr)
        return true; /* one that is stored */
    pn_buf_init_secret(&file, PN_IMPORT_BYTES_MAX);
    is_fine = pn_base64_decode(text, &file) == PN_OK && file.len > 0;
    if (is_fine)
        is_fine = open_file(call, index, entry, pn_buf_slice(&file), &cas->given[index]);
    else
        (void)refuse(call, index, "encodedCertificate",
                     "'encodedCertificate' must be a certificate (DER or PEM) or a PFX file of at "
                     "most 262144 bytes, base64-encoded.");
    pn_buf_fini(&file);
    return is_fine;
}

bool arm_service_cas_prepare(struct arm_call *call, struct arm_service_cas *cas)
{
    const json_t *list = json_object_get(json_object_get(call->body, "properties"), MEMBER);

    memset(cas, 0, sizeof(*cas));
    for (size_t i = 0; i < json_array_size(list) && i < PN_SERVICE_CAS_MAX; i++) {
        if (!open_entry(call, i, json_array_get(list, i), cas)) {
            arm_service_cas_end(cas);
            return false;
        }
    }
    return true;
}

void arm_service_cas_end(struct arm_service_cas *cas)
{
    for (size_t i = 0; i < PN_SERVICE_CAS_MAX; i++) {
        pn_certificate_unref(cas->given[i]);
        cas->given[i] = NULL;
    }
}

/* ---- what is stored ---- */

static json_t *facts_json(const char *store, const struct pn_certificate *certificate)
{
    char expiry[PN_TIME_TEXT];

    pn_time_iso8601(pn_certificate_not_after(certificate), expiry);
    return json_pack("{s:s, s:{s:s, s:s, s:s}}", "storeName", store, "certificate", "expiry",
                     expiry, "thumbprint", pn_certificate_thumbprint(certificate), "subject",
                     pn_certificate_subject(certificate));
}

static json_t *der_json(const char *store, const struct pn_certificate *certificate)
{
    struct pn_buf text;
    json_t *json = NULL;

    pn_buf_init(&text, PN_CERTIFICATE_BYTES_MAX * 2);
    if (pn_base64_encode(pn_certificate_der(certificate), &text) == PN_OK)
        json =
            json_pack("{s:s, s:o}", "store", store, "der", pn_json_from_slice(pn_buf_slice(&text)));
    pn_buf_fini(&text);
    return json;
}

/** The stored one with that thumbprint, of whichever store; NULL: there is none. */
static struct pn_certificate *find_stored(const struct pn_store_item *former, struct pn_slice text)
{
    const json_t *list =
        json_object_get(json_object_get(former->body, "internal"), "caCertificates");
    struct pn_certificate *found = NULL;
    char thumbprint[PN_THUMBPRINT_TEXT];

    if (!text.ptr || !pn_thumbprint_parse(text, thumbprint))
        return NULL;
    for (size_t i = 0; !found && i < json_array_size(list); i++) {
        struct pn_error err = {0};
        struct pn_buf der;

        pn_buf_init(&der, PN_CERTIFICATE_BYTES_MAX);
        if (pn_base64_decode(pn_json_slice(json_array_get(list, i), "der"), &der) != PN_OK ||
            pn_certificate_from_der(pn_buf_slice(&der), &found, &err) != PN_OK)
            found = NULL;
        pn_buf_fini(&der);
        if (found && strcmp(pn_certificate_thumbprint(found), thumbprint) != 0) {
            pn_certificate_unref(found);
            found = NULL;
        }
    }
    return found;
}

bool arm_service_cas_set(const struct arm_service_cas *cas, const struct pn_store_item *former,
                         json_t *properties, json_t *internal, struct pn_problems *problems)
{
    const json_t *list = json_object_get(properties, MEMBER);
    json_t *facts = json_array();
    json_t *ders = json_array();
    bool failed = !facts || !ders;

    for (size_t i = 0; !failed && i < json_array_size(list); i++) {
        const json_t *entry = json_array_get(list, i);
        const char *store = pn_json_str(entry, "storeName");
        struct pn_certificate *certificate =
            cas->given[i] ? pn_certificate_ref(cas->given[i])
                          : find_stored(former, pn_json_slice(json_object_get(entry, "certificate"),
                                                              "thumbprint"));
        char target[64];

        (void)snprintf(target, sizeof(target), MEMBER "[%zu].encodedCertificate", i);
        if (!certificate)
            pn_problem_add(problems, target,
                           "'%s' is required: the service has no such certificate yet.", target);
        else
            failed = json_array_append_new(facts, facts_json(store, certificate)) != 0 ||
                     json_array_append_new(ders, der_json(store, certificate)) != 0;
        pn_certificate_unref(certificate);
    }
    (void)json_object_del(properties, MEMBER);
    (void)json_object_del(internal, "caCertificates");
    if (!failed && json_array_size(facts) > 0)
        failed = json_object_set(properties, MEMBER, facts) != 0 ||
                 json_object_set(internal, "caCertificates", ders) != 0;
    json_decref(facts);
    json_decref(ders);
    return !failed;
}
