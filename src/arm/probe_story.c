/* SPDX-License-Identifier: Apache-2.0
 *
 * What a handshake's facts mean: the certificate that was sent, the likely cause, what to do.
 */
#include <string.h>
#include <strings.h>

#include "arm/causes.h"
#include "arm/probe_internal.h"

/** Whether one of the issuers that the backend accepts issued a certificate of our chain. */
static bool is_acceptable(const struct pn_chain *chain, const json_t *issuers)
{
    const json_t *issuer;
    size_t at;

    json_array_foreach(issuers, at, issuer)
    {
        for (size_t i = 0; i < pn_chain_count(chain); i++) {
            if (strcmp(pn_certificate_issuer(pn_chain_at(chain, i)), json_string_value(issuer)) ==
                0)
                return true;
        }
    }
    return false;
}

/** The one that was sent; of one alone, that one, also if it was not. NULL: none, or not known. */
static const struct arm_candidate *shown(const struct arm_probe *probe, const json_t *facts)
{
    const char *name = pn_json_str(json_object_get(facts, "sent"), "name");

    for (size_t i = 0; name && i < probe->count; i++) {
        const char *its = pn_json_str(probe->candidates[i].item.body, "name");

        if (its && strcasecmp(its, name) == 0)
            return &probe->candidates[i];
    }
    return probe->count == 1 ? &probe->candidates[0] : NULL;
}

/** Why a certificate was refused: the best guess that the facts allow. */
static const char *guess_refusal(struct arm_probe *probe, const struct arm_candidate *candidate,
                                 const json_t *facts)
{
    const json_t *issuers = json_object_get(facts, "acceptableIssuers");
    const struct pn_certificate *last, *leaf;

    if (!candidate)
        return arm_cause_fix("tls_client_certificate_required");
    leaf = pn_chain_leaf(candidate->chain);
    last = pn_chain_at(candidate->chain, pn_chain_count(candidate->chain) - 1);
    if (json_array_size(issuers) > 0 && !is_acceptable(candidate->chain, issuers))
        return pn_arena_printf(
            probe->call->arena,
            "The backend accepts only certificates of the issuers in acceptableIssuers; ours is "
            "issued by '%s'. Have one issued by an accepted CA, or ask the backend's operators to "
            "accept this issuer.",
            pn_certificate_issuer(leaf));
    if (!pn_certificate_allows_client_auth(leaf))
        return "Our certificate is not for TLS clients (its extended key usages lack clientAuth): "
               "have one issued with it.";
    if (!pn_certificate_is_self_signed(last))
        return pn_arena_printf(probe->call->arena,
                               "The chain we send ends at an issuer that is not self-signed ('%s' "
                               "is missing): backends that know only the root need the "
                               "intermediates. Upload the file with its whole chain.",
                               pn_certificate_issuer(last));
    return arm_cause_fix("tls_client_certificate_refused");
}

static const char *fix_for(struct arm_probe *probe, const json_t *facts)
{
    const char *cause = pn_json_str(facts, "cause");

    if (!cause)
        return "";
    if (strcmp(cause, "tls_client_certificate_refused") == 0 ||
        (strcmp(cause, "tls_alert") == 0 && pn_json_bool(facts, "certificateRequested", false)))
        return guess_refusal(probe, shown(probe, facts), facts);
    return arm_cause_fix(cause);
}

static json_t *candidate_json(const struct arm_candidate *candidate)
{
    json_t *chain = json_array();
    const struct pn_certificate *leaf = pn_chain_leaf(candidate->chain);

    for (size_t i = 0; chain && i < pn_chain_count(candidate->chain); i++)
        (void)json_array_append_new(
            chain, json_string(pn_certificate_subject(pn_chain_at(candidate->chain, i))));
    return json_pack(
        "{s:s, s:I, s:s, s:s, s:o}", "id", candidate->item.id, "generation",
        (json_int_t)pn_json_int(json_object_get(candidate->item.body, "internal"), "generation", 1),
        "thumbprint", pn_certificate_thumbprint(leaf), "subject", pn_certificate_subject(leaf),
        "chain", chain);
}

static bool add_certificates(const struct arm_probe *probe, json_t *facts)
{
    const struct arm_candidate *one = shown(probe, facts);
    json_t *all = json_array();
    bool failed = !all;

    for (size_t i = 0; !failed && i < probe->count; i++)
        failed = json_array_append_new(all, candidate_json(&probe->candidates[i])) != 0;
    (void)json_object_del(facts, "sent");
    failed =
        json_object_set_new(facts, "certificate", one ? candidate_json(one) : json_null()) != 0 ||
        failed;
    failed = json_object_set(facts, "certificates", all) != 0 || failed;
    json_decref(all);
    return !failed;
}

void arm_probe_tell(struct arm_probe *probe, json_t *facts)
{
    const char *fix = fix_for(probe, facts);
    json_t *trust =
        probe->is_api ? NULL : arm_probe_trust(facts, json_object_get(probe->properties, "tls"));
    bool is_fine = json_object_set_new(facts, "fix", json_string(fix ? fix : "")) == 0 &&
                   add_certificates(probe, facts) &&
                   json_object_set_new(facts, probe->is_api ? "api" : "backend",
                                       json_string(probe->backend.id)) == 0 &&
                   (!trust || json_object_set(facts, "trust", trust) == 0);

    json_decref(trust);
    if (!is_fine) {
        json_decref(facts);
        facts = NULL;
    }
    arm_answer_json(probe->call, 200, facts, 0);
}
