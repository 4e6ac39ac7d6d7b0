/* SPDX-License-Identifier: Apache-2.0
 *
 * POST …/checkCertificate: what a key file is, before anybody saves it. The file goes to the
 * keyholder like an upload, and nothing of it is kept.
 */
#include <string.h>

#include "arm/arm_internal.h"
#include "base/clock.h"
#include "base/encode.h"
#include "certs/chain.h"
#include "rotation/generation.h"

static enum pn_rc chain_of(const struct pn_imported *imported, struct pn_chain **chain,
                           struct pn_error *err)
{
    struct pn_slice ders[PN_CHAIN_MAX];

    for (size_t i = 0; i < imported->chain_count; i++)
        ders[i] = pn_buf_slice(&imported->chain[i]);
    return pn_chain_from_ders(ders, imported->chain_count, chain, err);
}

static json_t *certificate_json(const struct pn_certificate *certificate)
{
    char from[PN_TIME_TEXT], to[PN_TIME_TEXT];

    pn_time_iso8601(pn_certificate_not_before(certificate), from);
    pn_time_iso8601(pn_certificate_not_after(certificate), to);
    return json_pack(
        "{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:i, s:s, s:s}", "subject",
        pn_certificate_subject(certificate), "issuer", pn_certificate_issuer(certificate),
        "thumbprint", pn_certificate_thumbprint(certificate), "serialNumber",
        pn_certificate_serial(certificate), "notBefore", from, "notAfter", to, "keyType",
        pn_key_type_name(pn_certificate_key_type(certificate)), "keyBits",
        pn_certificate_key_bits(certificate), "curve", pn_certificate_curve(certificate),
        "signatureAlgorithm", pn_certificate_signature_algorithm(certificate));
}

static json_t *chain_json(const struct pn_chain *chain)
{
    json_t *list = json_array();

    for (size_t i = 0; list && i < pn_chain_count(chain); i++) {
        if (json_array_append_new(list, certificate_json(pn_chain_at(chain, i))) != 0) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}

/** properties of an upload, and what only the doctor tells. New reference, NULL: no memory. */
static json_t *report_of(const struct pn_imported *imported, const struct pn_chain *chain,
                         struct pn_error *err)
{
    const struct pn_generation_origin origin = {.generation = 1};
    const struct pn_file_facts *facts = &imported->facts;
    json_t *report = NULL, *internal = NULL;
    json_t *file = json_pack("{s:s, s:s, s:s, s:s}", "format",
                             imported->format == PN_FILE_PEM ? "PEM" : "PKCS#12", "integrity",
                             facts->integrity, "encryption", facts->encryption, "friendlyName",
                             facts->friendly_name);
    bool is_whole = file && pn_generation_make(imported, &origin, pn_clock_unix_ms(), &report,
                                               &internal, err) == PN_OK;

    json_decref(internal);
    if (is_whole)
        is_whole = json_object_set(report, "file", file) == 0 &&
                   json_object_set_new(report, "chain", chain_json(chain)) == 0 &&
                   json_object_set_new(report, "chainComplete",
                                       json_boolean(pn_chain_is_complete(chain))) == 0;
    json_decref(file);
    if (is_whole)
        return report;
    json_decref(report);
    return NULL;
}

static void answer_report(struct arm_call *call, const struct pn_imported *imported)
{
    struct pn_error err = {0};
    struct pn_chain *chain = NULL;
    json_t *report = NULL;

    if (chain_of(imported, &chain, &err) == PN_OK)
        report = report_of(imported, chain, &err);
    pn_chain_unref(chain);
    if (report)
        arm_answer_json(call, 200, report, 0);
    else
        arm_answer_error(call, 500, "InternalServerError", "the file cannot be described");
}

void arm_certificate_check(struct arm_call *call)
{
    const struct pn_arm_services *services = &call->arm->config.services;
    struct pn_imported imported = {0};
    struct pn_error err = {0};
    struct pn_buf file;
    json_t *properties = NULL;

    if (!arm_properties(call, pn_certificate_fields, &properties))
        return;
    pn_buf_init_secret(&file, PN_IMPORT_BYTES_MAX);
    if (json_object_get(properties, "keyVault"))
        arm_answer_invalid(call, "keyVault", "Only a file can be checked: give 'data'.");
    else if (arm_certificate_file(call, properties, &file)) {
        if (services->check(services->ctx, pn_buf_slice(&file),
                            pn_json_slice(properties, "password"), &imported, &err) == PN_OK)
            answer_report(call, &imported);
        else
            arm_certificate_import_failed(call, &err);
    }
    pn_imported_fini(&imported);
    pn_buf_fini(&file);
    json_decref(properties);
}
