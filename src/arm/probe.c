/* SPDX-License-Identifier: Apache-2.0
 *
 * POST …/backends/{id}/probe: why does (or does not) this backend take our certificate? The gateway
 * shakes hands as for a request, without sending one; here its answer becomes a story with a likely
 * cause and what to do.
 */
#include <string.h>
#include <strings.h>

#include "arm/arm_internal.h"
#include "base/encode.h"
#include "certs/chain.h"
#include "http/uri.h"
#include "ipc/probe.h"

#define ANSWER_GRACE_MS 3000 /* the gateway's answer may take so much longer than the probe */

/* What an operator does about a cause code of the gateway. */
static const char *fix_of(const char *cause)
{
    static const struct {
        const char *cause, *fix;
    } fixes[] = {
        {"dns_failed", "Check the host name in the backend's url, and the name servers of this "
                       "machine."},
        {"connect_refused", "Nothing listens there: check host and port of the backend's url, and "
                            "that the backend runs."},
        {"connect_unreachable",
         "There is no route to the backend: check the network of this machine."},
        {"connect_timeout", "The backend does not answer: a firewall on the way usually drops the "
                            "connection silently."},
        {"connect_failed", "Check the network between this machine and the backend."},
        {"tls_not_tls", "The backend speaks no TLS on that port: use http:// or its TLS port."},
        {"tls_unknown_ca",
         "Trust the issuer of the backend's certificate on this system, or switch "
         "tls.validateCertificateChain off for this backend while testing."},
        {"tls_name_mismatch", "Use a host name that the backend's certificate has, or switch "
                              "tls.validateCertificateName off for this backend."},
        {"tls_certificate_expired", "The backend's own certificate has expired: its operators must "
                                    "renew it."},
        {"tls_certificate_not_yet_valid",
         "The backend's own certificate is not valid yet: check the "
         "clocks of both machines."},
        {"tls_client_certificate_required", "The backend demands a client certificate: set "
                                            "credentials.certificateIds of this backend."},
        {"client_certificate_expired", "Our certificate has expired: upload a new one."},
        {"client_certificate_not_yet_valid", "Our certificate is not valid yet: check the clock of "
                                             "this machine."},
        {"client_certificate_unusable",
         "The backend accepts no signature that our key can make: use "
         "a certificate with a key of a kind in signatureSchemes."},
        {"keyholder_unavailable", "The keyholder does not answer: look at its log."},
        {"keyholder_refused", "The keyholder has no such key: upload the certificate again."},
        {"tls_closed", "The backend hung up during the handshake without a reason; many do so to a "
                       "client certificate they do not like. Look at its log."},
        {"tls_protocol", "Backend and gateway have no TLS version or cipher in common."},
    };

    for (size_t i = 0; i < sizeof(fixes) / sizeof(fixes[0]); i++) {
        if (strcmp(fixes[i].cause, cause) == 0)
            return fixes[i].fix;
    }
    return "";
}

struct probe_call {
    struct arm_call *call;
    struct pn_store_item backend, certificate;
    json_t *question;
    struct pn_chain *chain; /* of our certificate; NULL: none is sent */
};

static void probe_fini(struct probe_call *probe)
{
    pn_store_item_fini(&probe->backend);
    pn_store_item_fini(&probe->certificate);
    json_decref(probe->question);
    pn_chain_unref(probe->chain);
}

/* --- the question --- */

/** False: answered. */
static bool set_target(struct probe_call *probe)
{
    const json_t *properties = json_object_get(probe->backend.body, "properties");
    json_t *tls = json_object_get(properties, "tls");
    struct pn_error err = {0};
    struct pn_uri uri = {0};

    if (pn_uri_parse(pn_json_slice(properties, "url"), &uri, &err) != PN_OK) {
        arm_answer_invalid(probe->call, "url", "The backend has no url that can be probed.");
        return false;
    }
    if (!pn_slice_case_eq_str(uri.scheme, "https")) {
        arm_answer_invalid(probe->call, "url",
                           "Only an https:// backend has a handshake to look at.");
        return false;
    }
    if (json_object_get(properties, "proxy")) {
        arm_answer_invalid(probe->call, "proxy", "A backend behind a proxy cannot be probed.");
        return false;
    }
    probe->question = json_pack("{s:s%, s:i, s:O*}", "host", uri.host.ptr, uri.host.len, "port",
                                (int)uri.port, "tls", tls);
    if (!probe->question)
        arm_answer_error(probe->call, 500, "InternalServerError", "out of memory");
    return probe->question != NULL;
}

/** The id of the certificate that the backend would be shown, or NULL. */
static const char *certificate_of(struct probe_call *probe, const json_t *wish)
{
    struct arm_call *call = probe->call;
    const json_t *internal = json_object_get(probe->backend.body, "internal");
    const json_t *names = json_object_get(internal, "certificateIds");
    const char *name = pn_json_str(wish, "certificateId");

    if (!name)
        name = json_string_value(json_array_get(names, 0));
    if (!name)
        return NULL;
    if (strrchr(name, '/'))
        name = strrchr(name, '/') + 1;
    return pn_arena_printf(call->arena, "%s/certificates/%s", call->service_id, name);
}

static enum pn_rc read_chain(const json_t *list, struct pn_chain **chain, struct pn_error *err)
{
    struct pn_slice ders[PN_CHAIN_MAX];
    struct pn_buf bytes[PN_CHAIN_MAX];
    size_t count = 0;
    enum pn_rc rc = PN_OK;

    for (size_t i = 0; i < PN_CHAIN_MAX; i++)
        pn_buf_init(&bytes[i], PN_CERTIFICATE_BYTES_MAX);
    for (; rc == PN_OK && count < json_array_size(list) && count < PN_CHAIN_MAX; count++) {
        const json_t *entry = json_array_get(list, count);

        rc = pn_base64_decode(pn_slice(json_string_value(entry), json_string_length(entry)),
                              &bytes[count]);
        ders[count] = pn_buf_slice(&bytes[count]);
    }
    if (rc == PN_OK)
        rc = pn_chain_from_ders(ders, count, chain, err);
    for (size_t i = 0; i < PN_CHAIN_MAX; i++)
        pn_buf_fini(&bytes[i]);
    return rc;
}

/** False: answered. */
static bool set_certificate(struct probe_call *probe, const json_t *wish)
{
    struct arm_call *call = probe->call;
    const char *id = certificate_of(probe, wish);
    struct pn_error err = {0};
    const json_t *internal;
    json_t *certificate;

    if (!id)
        return true;
    if (pn_store_get(call->arm->config.store, id, &probe->certificate, &err) != PN_OK) {
        if (err.rc == PN_NOT_FOUND)
            arm_answer_invalid(call, "certificateId", "Certificate with id '%s' not found.",
                               strrchr(id, '/') + 1);
        else
            arm_answer_failure(call, &err);
        return false;
    }
    internal = json_object_get(probe->certificate.body, "internal");
    certificate =
        json_pack("{s:s, s:I, s:O?, s:O?}", "name", pn_json_str(probe->certificate.body, "name"),
                  "generation", (json_int_t)pn_json_int(internal, "generation", 1), "keyId",
                  json_object_get(internal, "keyId"), "chain", json_object_get(internal, "chain"));
    if (!certificate ||
        json_object_set_new(probe->question, "certificates", json_pack("[o]", certificate)) != 0 ||
        read_chain(json_object_get(internal, "chain"), &probe->chain, &err) != PN_OK) {
        arm_answer_error(call, 500, "InternalServerError", "the certificate cannot be read");
        return false;
    }
    return true;
}

/* --- the story --- */

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

/** Why a certificate was refused: the best guess that the facts allow. */
static const char *guess_refusal(struct probe_call *probe, const json_t *facts)
{
    const json_t *issuers = json_object_get(facts, "acceptableIssuers");
    const struct pn_certificate *last;

    if (!probe->chain)
        return fix_of("tls_client_certificate_required");
    last = pn_chain_at(probe->chain, pn_chain_count(probe->chain) - 1);
    if (json_array_size(issuers) > 0 && !is_acceptable(probe->chain, issuers))
        return pn_arena_printf(
            probe->call->arena,
            "The backend accepts only certificates of the issuers in acceptableIssuers; ours is "
            "issued by '%s'. Have one issued by an accepted CA, or ask the backend's operators to "
            "accept this issuer.",
            pn_certificate_issuer(pn_chain_leaf(probe->chain)));
    if (!pn_certificate_allows_client_auth(pn_chain_leaf(probe->chain)))
        return "Our certificate is not for TLS clients (its extended key usages lack clientAuth): "
               "have one issued with it.";
    if (!pn_certificate_is_self_signed(last))
        return pn_arena_printf(probe->call->arena,
                               "The chain we send ends at an issuer that is not self-signed ('%s' "
                               "is missing): backends that know only the root need the "
                               "intermediates. Upload the file with its whole chain.",
                               pn_certificate_issuer(last));
    return "The backend knows our issuer, or does not say whom it accepts, and refuses this "
           "certificate: ask its operators whether subject and thumbprint are allowed.";
}

static json_t *sent_json(const struct probe_call *probe)
{
    json_t *chain = json_array();
    const struct pn_certificate *leaf;

    if (!probe->chain)
        return json_null();
    leaf = pn_chain_leaf(probe->chain);
    for (size_t i = 0; chain && i < pn_chain_count(probe->chain); i++)
        (void)json_array_append_new(
            chain, json_string(pn_certificate_subject(pn_chain_at(probe->chain, i))));
    return json_pack("{s:s, s:I, s:s, s:s, s:o}", "id", probe->certificate.id, "generation",
                     (json_int_t)pn_json_int(json_object_get(probe->certificate.body, "internal"),
                                             "generation", 1),
                     "thumbprint", pn_certificate_thumbprint(leaf), "subject",
                     pn_certificate_subject(leaf), "chain", chain);
}

static void answer_story(struct probe_call *probe, struct pn_slice text)
{
    json_t *facts = NULL;
    const char *cause, *fix;
    struct pn_error err = {0};

    if (pn_json_parse(text, &facts, &err) != PN_OK) {
        arm_answer_error(probe->call, 500, "InternalServerError", "the gateway's answer is broken");
        return;
    }
    cause = pn_json_str(facts, "cause");
    fix = cause && (strcmp(cause, "tls_client_certificate_refused") == 0 ||
                    strcmp(cause, "tls_alert") == 0)
              ? guess_refusal(probe, facts)
              : fix_of(cause ? cause : "");
    if (json_object_set_new(facts, "fix", json_string(fix ? fix : "")) != 0 ||
        json_object_set_new(facts, "certificate", sent_json(probe)) != 0 ||
        json_object_set_new(facts, "backend", json_string(probe->backend.id)) != 0) {
        json_decref(facts);
        facts = NULL;
    }
    arm_answer_json(probe->call, 200, facts, 0);
}

static void ask(struct probe_call *probe)
{
    const struct pn_arm_services *services = &probe->call->arm->config.services;
    struct pn_error err = {0};
    struct pn_buf answer;
    char *text = json_dumps(probe->question, JSON_COMPACT);

    pn_buf_init(&answer, PN_PROBE_BYTES_MAX);
    if (!text)
        arm_answer_error(probe->call, 500, "InternalServerError", "out of memory");
    else if (services->probe(services->ctx, pn_slice_str(text),
                             PN_PROBE_TIMEOUT_MS + ANSWER_GRACE_MS, &answer, &err) == PN_OK)
        answer_story(probe, pn_buf_slice(&answer));
    else
        arm_answer_failure(probe->call, &err);
    free(text);
    pn_buf_fini(&answer);
}

void arm_backend_probe(struct arm_call *call)
{
    struct probe_call probe = {.call = call};
    struct pn_error err = {0};
    json_t *wish = NULL;

    if (call->request->body.len > 0 && pn_json_parse(call->request->body, &wish, &err) != PN_OK) {
        arm_answer_invalid(call, "", "The body is not JSON: %s", err.message);
        return;
    }
    if (pn_store_get(call->arm->config.store, call->id, &probe.backend, &err) != PN_OK) {
        if (err.rc == PN_NOT_FOUND)
            arm_answer_not_found(call);
        else
            arm_answer_failure(call, &err);
    } else if (set_target(&probe) && set_certificate(&probe, json_object_get(wish, "properties"))) {
        ask(&probe);
    }
    json_decref(wish);
    probe_fini(&probe);
}
