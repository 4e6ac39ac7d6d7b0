/* SPDX-License-Identifier: Apache-2.0
 *
 * Evidence (store/audit.h): which principal did what to which certificate, with what result; and
 * GET …/audit, POST …/audit/verify.
 *
 * What makes or deletes a certificate, or gives it a new generation, is noted in the transaction
 * that does it. What goes another way (a refresh, a refusal) is noted when it is answered; each
 * change of a generation's state is noted by the rotation room in its own transaction.
 *
 * A note has no body, no header, and no query: nothing of a key file or password can be in it.
 */
#include <string.h>

#include "arm/arm_internal.h"
#include "base/encode.h"
#include "base/log.h"
#include "store/audit.h"

#define CODE_MAX 128

static bool is_audited(const struct arm_call *call)
{
    return call->route && call->route->type == PN_TYPE_CERTIFICATE && call->id &&
           !pn_slice_eq_str(call->request->method, "GET") &&
           !pn_slice_eq_str(call->request->method, "HEAD") && call->principal.object_id[0];
}

static struct pn_slice correlation_of(const struct arm_call *call)
{
    return pn_headers_get(&call->response->headers, "x-ms-correlation-request-id");
}

/** The error's code out of an answer's body; "" when there is none. */
static void read_code(const struct arm_call *call, char out[CODE_MAX])
{
    struct pn_error err = {0};
    json_t *body = NULL;
    const char *code = NULL;

    out[0] = '\0';
    if (call->response->status < 400 ||
        pn_json_parse(pn_buf_slice(&call->response->body), &body, &err) != PN_OK)
        return;
    code = pn_json_str(json_object_get(body, "error"), "code");
    if (code)
        (void)snprintf(out, CODE_MAX, "%s", code);
    json_decref(body);
}

/** The certificate's own id: a generation's path goes on behind it. */
static struct pn_slice certificate_of(const struct arm_call *call)
{
    const char *at = strcasestr(call->id, "/certificates/");
    const char *end = at ? strchr(at + strlen("/certificates/"), '/') : NULL;

    return pn_slice(call->id, end ? (size_t)(end - call->id) : strlen(call->id));
}

/** `facts` (may be NULL, borrowed): more members. */
static json_t *entry_of(const struct arm_call *call, int status, const char *code,
                        const json_t *facts)
{
    struct pn_slice method = call->request->method;
    struct pn_slice correlation = correlation_of(call);
    struct pn_slice certificate = certificate_of(call);
    const char *operation = strrchr(call->route->pattern, '/');
    json_t *entry = json_pack(
        "{s:s, s:s%, s:s, s:s%, s:{s:s, s:s, s:s}, s:i, s:s*, s:s%, s:s}", "kind", "operation",
        "method", method.ptr, method.len, "operation",
        call->route->post && operation ? operation + 1 : "certificate", "certificate",
        certificate.ptr, certificate.len, "principal", "objectId", call->principal.object_id,
        "appId", call->principal.app_id, "address", call->request->peer ? call->request->peer : "",
        "status", status, "code", code && *code ? code : NULL, "correlationId",
        correlation.ptr ? correlation.ptr : "", correlation.len, "requestId",
        call->request->request_id);

    if (entry && facts && json_object_update_missing(entry, (json_t *)(uintptr_t)facts) != 0) {
        json_decref(entry);
        entry = NULL;
    }
    return entry;
}

enum pn_rc arm_audit_in(struct arm_call *call, struct pn_store_txn *txn, int status,
                        const json_t *properties, struct pn_error *err)
{
    json_t *facts, *entry;
    enum pn_rc rc;

    if (!is_audited(call))
        return PN_OK;
    facts = json_pack("{s:O*, s:O*}", "thumbprint", json_object_get(properties, "thumbprint"),
                      "expirationDate", json_object_get(properties, "expirationDate"));
    entry = entry_of(call, status, NULL, facts);
    rc = entry ? pn_audit_add(txn, entry, err)
               : pn_error_set(err, PN_NOMEM, "out_of_memory", "out of memory");
    call->is_noted = rc == PN_OK;
    json_decref(facts);
    json_decref(entry);
    return rc;
}

enum pn_rc arm_audit_removed(struct arm_call *call, struct pn_store_txn *txn,
                             const struct pn_store_item *certificate, struct pn_error *err)
{
    const json_t *properties = json_object_get(certificate->body, "properties");
    struct pn_slice id = pn_slice_str(certificate->id);
    json_t *entry = entry_of(call, 200, NULL, NULL);
    enum pn_rc rc = PN_NOMEM;

    if (entry && json_object_set_new(entry, "certificate", json_stringn(id.ptr, id.len)) == 0 &&
        json_object_set_new(entry, "operation", json_string("workspace")) == 0 &&
        json_object_set(entry, "thumbprint", json_object_get(properties, "thumbprint")) == 0)
        rc = pn_audit_add(txn, entry, err);
    else
        pn_error_set(err, rc, "out_of_memory", "out of memory");
    json_decref(entry);
    return rc;
}

json_t *arm_audit_entry(const struct arm_call *call, int status)
{
    return is_audited(call) ? entry_of(call, status, NULL, NULL) : NULL;
}

void arm_audit_answer(struct arm_call *call)
{
    char code[CODE_MAX];
    struct pn_error err = {0};
    json_t *entry;

    if (call->is_noted || !is_audited(call))
        return;
    read_code(call, code);
    entry = entry_of(call, call->response->status, code, NULL);
    if (!entry || pn_audit_add_alone(call->arm->config.store, entry, &err) != PN_OK) {
        /* What has been done cannot be undone; but it is not called done. */
        pn_log_error(PN_LOG_ERROR, "audit_not_written", &err);
        if (call->response->status < 400)
            arm_answer_error(call, 503, "AuditUnavailable",
                             "The operation was done, but the audit log could not be written.");
    }
    json_decref(entry);
}

/* ---- reading ---- */

static bool read_number(struct arm_call *call, const char *name, uint64_t max, uint64_t *value)
{
    struct pn_slice text = pn_request_query(call->request, name);

    if (text.len == 0 || (pn_slice_to_u64(text, max, value)))
        return true;
    arm_answer_invalid(call, name, "'%s' must be a whole number of at most %llu.", name,
                       (unsigned long long)max);
    return false;
}

/** These routes hang at the service itself. False: answered. */
static bool has_service(struct arm_call *call)
{
    struct pn_store_item item = {0};
    struct pn_error err = {0};
    enum pn_rc rc = pn_store_get(call->arm->config.store, call->id, &item, &err);

    pn_store_item_fini(&item);
    if (rc == PN_NOT_FOUND)
        arm_answer_not_found(call);
    else if (rc != PN_OK)
        arm_answer_failure(call, &err);
    return rc == PN_OK;
}

void arm_audit(struct arm_call *call)
{
    uint64_t after = 0, top = 100;
    struct pn_error err = {0};
    json_t *entries = NULL;
    json_t *body;
    size_t count;

    if (!has_service(call) || !read_number(call, "after", INT64_MAX, &after) ||
        !read_number(call, "$top", PN_AUDIT_PAGE_MAX, &top))
        return;
    if (call->arm->config.sync_uses)
        call->arm->config.sync_uses(call->arm->config.sync_uses_ctx);
    top = top > 0 ? top : 1;
    if (pn_audit_read(call->arm->config.store, after, top, &entries, &err) != PN_OK) {
        arm_answer_failure(call, &err);
    } else {
        count = json_array_size(entries);
        body = json_pack("{s:O, s:I}", "value", entries, "count", (json_int_t)count);
        if (body && count == top) {
            int64_t last = pn_json_int(json_array_get(entries, count - 1), "seq", 0);

            (void)json_object_set_new(body, "nextLink",
                                      json_sprintf("%.*s%.*s?after=%lld&%%24top=%llu",
                                                   PN_FMT(call->request->origin),
                                                   PN_FMT(call->request->path), (long long)last,
                                                   (unsigned long long)top));
        }
        arm_answer_json(call, 200, body, 0);
    }
    json_decref(entries);
}

/** Holds the log against a number and hash that were kept elsewhere: an older copy of the whole
 * data folder has not got that entry, or has another one there. */
static enum pn_rc hold_against(struct arm_call *call, const json_t *anchor, json_t *report,
                               struct pn_error *err)
{
    int64_t seq = pn_json_int(anchor, "seq", 0);
    struct pn_slice hash = pn_json_slice(anchor, "hash");
    const char *problem = NULL;
    json_t *entries = NULL;
    const json_t *entry;
    enum pn_rc rc = pn_audit_read(call->arm->config.store, (uint64_t)seq - 1, 1, &entries, err);

    entry = json_array_get(entries, 0);
    if (rc == PN_OK && pn_json_int(entry, "seq", -1) != seq)
        problem = seq < pn_json_int(report, "first", 0)
                      ? "the log no longer reaches back to the anchor: keep a newer one"
                      : "the anchor's entry is not in the log: it was put back to an older state";
    else if (rc == PN_OK && !pn_slice_case_eq(pn_json_slice(entry, "hash"), hash))
        problem = "another entry is in the anchor's place: the log was put back to an older state "
                  "and went on from there, or is another one";
    json_decref(entries);
    if (problem && (json_object_set_new(report, "valid", json_false()) != 0 ||
                    json_object_set_new(report, "problem", json_string(problem)) != 0 ||
                    json_object_set_new(report, "at", json_integer(seq)) != 0))
        rc = pn_error_set(err, PN_NOMEM, "out_of_memory", "out of memory");
    return rc;
}

/** {"properties": {"anchor": {seq, hash}}}, or nothing. False: answered. */
static bool read_anchor(struct arm_call *call, json_t **body, const json_t **anchor)
{
    struct pn_error err = {0};
    uint8_t hash[32];

    *anchor = NULL;
    if (call->request->body.len == 0)
        return true;
    if (pn_json_parse(call->request->body, body, &err) != PN_OK) {
        arm_answer_invalid(call, "", "The body is not JSON: %s", err.message);
        return false;
    }
    *anchor = json_object_get(json_object_get(*body, "properties"), "anchor");
    if (!*anchor || (pn_json_int(*anchor, "seq", 0) > 0 &&
                     pn_hex_decode(pn_json_slice(*anchor, "hash"), hash, sizeof(hash))))
        return true;
    arm_answer_invalid(call, "anchor",
                       "'anchor' must have the number (seq) and the hash (64 hex digits) of an "
                       "entry.");
    return false;
}

void arm_audit_verify(struct arm_call *call)
{
    struct pn_error err = {0};
    const json_t *anchor = NULL;
    json_t *body = NULL;
    json_t *report = NULL;
    enum pn_rc rc;

    if (has_service(call) && read_anchor(call, &body, &anchor)) {
        rc = pn_audit_verify(call->arm->config.store, &report, &err);
        if (rc == PN_OK && anchor && pn_json_bool(report, "valid", false))
            rc = hold_against(call, anchor, report, &err);
        if (rc == PN_OK)
            arm_answer_json(call, 200, json_incref(report), 0);
        else
            arm_answer_failure(call, &err);
    }
    json_decref(report);
    json_decref(body);
}

void arm_events(struct arm_call *call)
{
    const struct pn_arm_config *config = &call->arm->config;
    struct pn_error err = {0};
    json_t *view = NULL;
    enum pn_rc rc = PN_OK;

    if (!has_service(call))
        return;
    if (config->events)
        rc = config->events(config->events_ctx, &view, &err);
    else
        view = json_array();
    if (rc == PN_OK)
        arm_answer_json(
            call, 200,
            json_pack("{s:O, s:I}", "value", view, "count", (json_int_t)json_array_size(view)), 0);
    else
        arm_answer_failure(call, &err);
    json_decref(view);
}
