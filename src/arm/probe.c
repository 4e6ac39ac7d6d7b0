/* SPDX-License-Identifier: Apache-2.0
 *
 * POST …/backends/{id}/probe, GET …/lastFailure of a backend or an API: why does (or does not) this
 * backend take our certificate? The gateway shakes hands as for a request, without sending one;
 * here its answer becomes a story with a likely cause and what to do.
 */
#include <string.h>
#include <strings.h>

#include "arm/probe_internal.h"
#include "base/encode.h"
#include "http/uri.h"

#define ANSWER_GRACE_MS 3000 /* the gateway's answer may take so much longer than the probe */

static void probe_fini(struct arm_probe *probe)
{
    pn_store_item_fini(&probe->backend);
    for (size_t i = 0; i < probe->count; i++) {
        pn_store_item_fini(&probe->candidates[i].item);
        pn_chain_unref(probe->candidates[i].chain);
    }
    json_decref(probe->properties);
    json_decref(probe->question);
}

/* --- where --- */

enum pn_rc arm_probe_target(json_t *question, const json_t *properties, struct pn_error *err)
{
    json_t *tls = json_object_get(properties, "tls");
    json_t *proxy = json_object_get(properties, "proxy");
    struct pn_uri uri = {0};

    if (pn_uri_parse(pn_json_slice(properties, "url"), &uri, err) != PN_OK)
        return pn_error_set(err, PN_INVALID, "no_url",
                            "The backend has no url that can be probed.");
    if (!pn_slice_case_eq_str(uri.scheme, "https") && !pn_slice_case_eq_str(uri.scheme, "wss"))
        return pn_error_set(err, PN_INVALID, "no_tls",
                            "Only an https:// backend has a handshake to look at.");
    if (json_object_set_new(question, "host", json_stringn(uri.host.ptr, uri.host.len)) != 0 ||
        json_object_set_new(question, "port", json_integer(uri.port)) != 0 ||
        (tls && json_object_set(question, "tls", tls) != 0) ||
        (proxy && json_object_set(question, "proxy", proxy) != 0))
        return pn_error_set(err, PN_NOMEM, "out_of_memory", "out of memory");
    return PN_OK;
}

/** Makes an empty question. False: answered. */
static bool open_properties(struct arm_probe *probe)
{
    struct pn_error err = {0};
    enum pn_rc rc = arm_backend_open(probe->call->arm, &probe->backend, &probe->properties, &err);

    probe->question = json_object();
    if (rc == PN_OK && !probe->question)
        rc = pn_error_set(&err, PN_NOMEM, "out_of_memory", "out of memory");
    if (rc != PN_OK)
        arm_answer_failure(probe->call, &err);
    return rc == PN_OK;
}

/** False: answered. */
static bool set_target(struct arm_probe *probe)
{
    struct pn_error err = {0};
    enum pn_rc rc;

    if (!open_properties(probe))
        return false;
    rc = arm_probe_target(probe->question, probe->properties, &err);
    if (rc == PN_INVALID)
        arm_answer_invalid(probe->call, "url", "%s", err.message);
    else if (rc != PN_OK)
        arm_answer_failure(probe->call, &err);
    return rc == PN_OK;
}

/* --- with which certificates --- */

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

json_t *arm_probe_certificate(const char *name, const json_t *internal)
{
    return json_pack("{s:s, s:I, s:O?, s:O?}", "name", name, "generation",
                     (json_int_t)pn_json_int(internal, "generation", 1), "keyId",
                     json_object_get(internal, "keyId"), "chain",
                     json_object_get(internal, "chain"));
}

/** Adds the certificate of that id. False: answered. */
static bool add_candidate(struct arm_probe *probe, json_t *list, const char *id)
{
    struct arm_call *call = probe->call;
    struct arm_candidate *candidate = &probe->candidates[probe->count];
    struct pn_error err = {0};
    const json_t *internal;

    if (pn_store_get(call->arm->config.store, id, &candidate->item, &err) != PN_OK) {
        if (err.rc == PN_NOT_FOUND)
            arm_answer_invalid(call, "certificateId", "Certificate with id '%s' not found.",
                               strrchr(id, '/') + 1);
        else
            arm_answer_failure(call, &err);
        return false;
    }
    probe->count++;
    internal = json_object_get(candidate->item.body, "internal");
    if (json_array_append_new(list, arm_probe_certificate(pn_json_str(candidate->item.body, "name"),
                                                          internal)) != 0 ||
        read_chain(json_object_get(internal, "chain"), &candidate->chain, &err) != PN_OK) {
        arm_answer_error(call, 500, "InternalServerError", "the certificate cannot be read");
        return false;
    }
    return true;
}

/** A full id, "/certificates/x" or a bare name. */
static bool add_named(struct arm_probe *probe, json_t *list, const char *name)
{
    const char *id;

    if (strrchr(name, '/'))
        name = strrchr(name, '/') + 1;
    id = pn_arena_printf(probe->call->arena, "%s/certificates/%s", probe->call->scope_id, name);
    if (id)
        return add_candidate(probe, list, id);
    arm_answer_error(probe->call, 500, "InternalServerError", "out of memory");
    return false;
}

/** Those of credentials.certificate; a thumbprint that no certificate has is passed over: the
 * request would fail before a handshake, and says so. */
static bool add_thumbprints(struct arm_probe *probe, json_t *list)
{
    struct arm_call *call = probe->call;
    const json_t *wanted =
        json_object_get(json_object_get(probe->properties, "credentials"), "certificate");
    const char *prefix = pn_arena_printf(call->arena, "%s/certificates/", call->scope_id);
    bool is_fine = prefix != NULL;

    if (!prefix)
        arm_answer_error(call, 500, "InternalServerError", "out of memory");
    for (size_t i = 0; is_fine && i < json_array_size(wanted); i++) {
        char thumbprint[PN_THUMBPRINT_TEXT];
        struct pn_store_list found = {0};
        struct pn_error err = {0};

        if (!pn_thumbprint_parse(pn_slice_str(json_string_value(json_array_get(wanted, i))),
                                 thumbprint))
            continue;
        if (pn_store_list_thumbprint(call->arm->config.store, prefix,
                                     pn_type_facts(PN_TYPE_CERTIFICATE)->type, thumbprint, &found,
                                     &err) != PN_OK) {
            arm_answer_failure(call, &err);
            is_fine = false;
        } else if (found.count > 0) {
            is_fine = add_candidate(probe, list, found.items[0].id);
        }
        pn_store_list_fini(&found);
    }
    return is_fine;
}

/** False: answered. */
static bool set_certificates(struct arm_probe *probe, const json_t *wish)
{
    const json_t *internal = json_object_get(probe->backend.body, "internal");
    const json_t *names = json_object_get(internal, "certificateIds");
    const char *wished = pn_json_str(wish, "certificateId");
    json_t *list = json_array();
    bool is_fine = true;

    if (wished)
        is_fine = add_named(probe, list, wished);
    for (size_t i = 0; !wished && is_fine && i < json_array_size(names); i++)
        is_fine = add_named(probe, list, json_string_value(json_array_get(names, i)));
    if (!wished && is_fine && json_array_size(names) == 0)
        is_fine = add_thumbprints(probe, list);
    if (is_fine && json_object_set(probe->question, "certificates", list) != 0) {
        arm_answer_error(probe->call, 500, "InternalServerError", "out of memory");
        is_fine = false;
    }
    json_decref(list);
    return is_fine;
}

/* --- asking --- */

/** Which certificate an API's policies chose, the answer tells. It may be gone since. False:
 *  answered. */
static bool add_sent(struct arm_probe *probe, const json_t *facts)
{
    const char *name = pn_json_str(json_object_get(facts, "sent"), "name");
    struct pn_store_item item = {0};
    struct pn_error err = {0};
    const char *id;
    json_t *list;
    bool is_fine = true;

    if (!probe->is_api || !name)
        return true;
    if (strrchr(name, '/'))
        name = strrchr(name, '/') + 1;
    id = pn_arena_printf(probe->call->arena, "%s/certificates/%s", probe->call->scope_id, name);
    if (!id || pn_store_get(probe->call->arm->config.store, id, &item, &err) != PN_OK)
        return true;
    pn_store_item_fini(&item);
    list = json_array();
    is_fine = add_candidate(probe, list, id);
    json_decref(list);
    return is_fine;
}

static void ask(struct arm_probe *probe)
{
    const struct pn_arm_services *services = &probe->call->arm->config.services;
    struct pn_error err = {0};
    struct pn_buf answer;
    json_t *facts = NULL;
    char *text = json_dumps(probe->question, JSON_COMPACT);

    pn_buf_init(&answer, PN_PROBE_BYTES_MAX);
    if (!text)
        arm_answer_error(probe->call, 500, "InternalServerError", "out of memory");
    else if (services->probe(services->ctx, pn_slice_str(text),
                             PN_PROBE_TIMEOUT_MS + ANSWER_GRACE_MS, &answer, &err) != PN_OK)
        arm_answer_failure(probe->call, &err);
    else if (pn_json_parse(pn_buf_slice(&answer), &facts, &err) != PN_OK)
        arm_answer_error(probe->call, 500, "InternalServerError", "the gateway's answer is broken");
    else if (add_sent(probe, facts))
        arm_probe_tell(probe, facts);
    else
        json_decref(facts);
    free(text);
    pn_buf_fini(&answer);
}

/** The backend of the path. NULL: answered. */
static struct arm_probe *begin(struct arm_call *call)
{
    struct arm_probe *probe = calloc(1, sizeof(*probe));
    struct pn_error err = {0};

    if (!probe) {
        arm_answer_error(call, 500, "InternalServerError", "out of memory");
        return NULL;
    }
    probe->call = call;
    if (pn_store_get(call->arm->config.store, call->id, &probe->backend, &err) == PN_OK)
        return probe;
    if (err.rc == PN_NOT_FOUND)
        arm_answer_not_found(call);
    else
        arm_answer_failure(call, &err);
    free(probe);
    return NULL;
}

static void end(struct arm_probe *probe)
{
    if (!probe)
        return;
    probe_fini(probe);
    free(probe);
}

void arm_backend_probe(struct arm_call *call)
{
    struct arm_probe *probe = NULL;
    struct pn_error err = {0};
    json_t *wish = NULL;

    if (call->request->body.len > 0 && pn_json_parse(call->request->body, &wish, &err) != PN_OK)
        arm_answer_invalid(call, "", "The body is not JSON: %s", err.message);
    else
        probe = begin(call);
    if (probe && set_target(probe) && set_certificates(probe, json_object_get(wish, "properties")))
        ask(probe);
    json_decref(wish);
    end(probe);
}

/** As the gateway knows the backend. NULL: no memory. */
static const char *gateway_name(struct arm_call *call)
{
    const char *name = arm_lower(call->arena, arm_name(call));
    const char *workspace = arm_lower(call->arena, call->workspace);

    return name && workspace && *workspace
               ? pn_arena_printf(call->arena, "workspaces/%s/backends/%s", workspace, name)
               : name;
}

/** GET …/apis/{id}/lastFailure: of those that no backend entity was behind. */
void arm_api_last_failure(struct arm_call *call)
{
    struct arm_probe *probe = arm_drop_revision(call) ? begin(call) : NULL;
    const char *key = NULL;

    if (!probe)
        return;
    probe->is_api = true;
    key = arm_lower(call->arena,
                    pn_id_relative(pn_slice_str(call->id), pn_slice_str(call->service_id)));
    probe->question = key ? json_pack("{s:s}", "lastFailureOf", key) : NULL;
    if (probe->question)
        ask(probe);
    else
        arm_answer_error(call, 500, "InternalServerError", "out of memory");
    end(probe);
}

/** GET …/backends/{id}/lastFailure: the last connection that failed, told as a probe tells it. */
void arm_backend_last_failure(struct arm_call *call)
{
    struct arm_probe *probe = begin(call);
    const char *name = probe ? gateway_name(call) : NULL;
    bool is_fine = probe && name && open_properties(probe) && set_certificates(probe, NULL);

    if (probe && !name)
        arm_answer_error(call, 500, "InternalServerError", "out of memory");
    if (is_fine && (json_object_clear(probe->question) != 0 ||
                    json_object_set_new(probe->question, "lastFailureOf", json_string(name)) != 0))
        arm_answer_error(call, 500, "InternalServerError", "out of memory");
    else if (is_fine)
        ask(probe);
    end(probe);
}
