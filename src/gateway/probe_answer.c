/* SPDX-License-Identifier: Apache-2.0
 *
 * A probe's answer. Texts of the backend come through here: what is not UTF-8 is left out.
 */
#include "gateway/probe_answer.h"

#include <string.h>

#include "base/clock.h"
#include "base/encode.h"
#include "base/json.h"

static json_t *text_or_empty(const char *text)
{
    json_t *json = json_string(text);

    return json ? json : json_string("");
}

static json_t *certificate_json(const struct pn_certificate *certificate)
{
    char from[PN_TIME_TEXT], to[PN_TIME_TEXT];
    struct pn_buf der;
    json_t *json;

    pn_time_iso8601(pn_certificate_not_before(certificate), from);
    pn_time_iso8601(pn_certificate_not_after(certificate), to);
    pn_buf_init(&der, PN_CERTIFICATE_BYTES_MAX * 2);
    if (pn_base64_encode(pn_certificate_der(certificate), &der) != PN_OK)
        pn_buf_clear(&der);
    json = json_pack("{s:o, s:o, s:s, s:s, s:s, s:s, s:o}", "subject",
                     text_or_empty(pn_certificate_subject(certificate)), "issuer",
                     text_or_empty(pn_certificate_issuer(certificate)), "thumbprint",
                     pn_certificate_thumbprint(certificate), "notBefore", from, "notAfter", to,
                     "spkiSha256", pn_certificate_key_id(certificate), "der",
                     pn_json_from_slice(pn_buf_slice(&der)));
    pn_buf_fini(&der);
    return json;
}

static json_t *chain_json(const struct pn_tls_story *story)
{
    json_t *list = json_array();

    for (size_t i = 0; list && i < story->chain_count; i++)
        (void)json_array_append_new(list, certificate_json(story->chain[i]));
    return list;
}

static json_t *names_json(const struct pn_tls_story *story)
{
    json_t *list = json_array();

    for (size_t i = 0; list && i < story->name_count && i < PN_STORY_NAMES_MAX; i++)
        (void)json_array_append_new(list, text_or_empty(story->names[i]));
    return list;
}

static json_t *schemes_json(const struct pn_tls_story *story)
{
    json_t *list = json_array();

    for (size_t i = 0; list && i < story->scheme_count; i++)
        (void)json_array_append_new(list, json_string(story->schemes[i]));
    return list;
}

static json_t *alert_json(const struct pn_tls_report *report)
{
    if (report->stage != PN_STAGE_ALERT || report->alert < 0)
        return json_null();
    return json_pack("{s:i, s:s, s:b}", "number", report->alert, "name",
                     pn_tls_alert_name(report->alert), "late", report->is_late);
}

/** With a proxy there are two handshakes. */
static const char *stage_of(const struct pn_probe_facts *facts)
{
    return facts->cause && strcmp(facts->cause, "proxy_tls") == 0
               ? "proxy TLS"
               : pn_tls_stage_name(facts->report.stage);
}

json_t *pn_probe_answer(const struct pn_probe_facts *facts, const struct pn_tls_story *story)
{
    const struct pn_tls_report *report = &facts->report;
    json_t *json = json_pack(
        "{s:s, s:s, s:o, s:o, s:s, s:O, s:I, s:I}", "outcome", facts->cause ? "failed" : "accepted",
        "cause", facts->cause ? facts->cause : "", "sentence", text_or_empty(facts->sentence),
        "detail", text_or_empty(report->detail), "stage", stage_of(facts), "addresses",
        facts->addresses, "dnsMs", (json_int_t)facts->dns_ms, "handshakeMs",
        (json_int_t)facts->handshake_ms);
    json_t *more = json_pack(
        "{s:s, s:s, s:s, s:o, s:b, s:b, s:b, s:o, s:I, s:o, s:o, s:i, s:i}", "tlsVersion",
        report->tls_version, "cipher", report->cipher, "alpn", report->alpn, "alert",
        alert_json(report), "endedEarly", facts->has_ended_early, "certificateRequested",
        story->is_requested, "certificateSent", report->certificate_sent, "acceptableIssuers",
        names_json(story), "acceptableIssuerCount", (json_int_t)story->name_count,
        "signatureSchemes", schemes_json(story), "serverChain", chain_json(story), "verifyError",
        story->verify_error, "verifyDepth", story->verify_depth);

    if (more && facts->answer_status != 0) {
        (void)json_object_set_new(more, "answerStatus", json_integer(facts->answer_status));
        (void)json_object_set_new(more, "answerBlames", json_boolean(facts->answer_blames));
    }
    /* Of several the one that was chosen. */
    if (more && report->certificate_sent)
        (void)json_object_set_new(more, "sent",
                                  json_pack("{s:s, s:I}", "name", report->certificate_name,
                                            "generation",
                                            (json_int_t)report->certificate_generation));
    if (json && more && json_object_update(json, more) == 0) {
        json_decref(more);
        return json;
    }
    json_decref(json);
    json_decref(more);
    return NULL;
}
