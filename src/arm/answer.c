/* SPDX-License-Identifier: Apache-2.0
 *
 * Answers: error bodies, entities, ETags and preconditions.
 */
#include "arm/arm_internal.h"
#include "arm/quirks.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/encode.h"
#include "base/log.h"

#define FIELDS_MESSAGE "One or more fields contain incorrect values:"

/** What is sent when there is no memory for anything better. */
static void answer_bare(struct arm_call *call)
{
    static const char text[] =
        "{\"error\":{\"code\":\"InternalServerError\",\"message\":\"out of memory\","
        "\"details\":null}}";

    pn_buf_clear(&call->response->body);
    call->response->status = 500;
    if (pn_response_body(call->response, 500, "application/json; charset=utf-8",
                         pn_slice(text, sizeof(text) - 1)) != PN_OK)
        pn_log(PN_LOG_ERROR, "arm_answer_failed", NULL);
}

void arm_answer_json(struct arm_call *call, int status, json_t *json, uint64_t revision)
{
    struct pn_buf text;
    char etag[ARM_ETAG_TEXT];
    enum pn_rc rc = json ? PN_OK : PN_NOMEM;

    pn_buf_init_secret(&text, call->response->body.max);
    if (rc == PN_OK)
        rc = pn_json_dump(json, &text);
    if (rc == PN_OK && revision > 0) {
        arm_etag(revision, etag);
        rc = pn_response_header(call->response, "ETag", "%s", etag);
    }
    if (rc == PN_OK)
        rc = pn_response_body(call->response, status, "application/json; charset=utf-8",
                              pn_buf_slice(&text));
    if (rc != PN_OK)
        answer_bare(call);
    pn_buf_fini(&text);
    json_decref(json);
}

void arm_answer_empty(struct arm_call *call, int status)
{
    call->response->status = status;
}

static void answer_error_with(struct arm_call *call, int status, const char *code,
                              const char *message, json_t *details)
{
    /* A message may hold what a caller sent; jansson refuses broken UTF-8, then it is left out. */
    json_t *text = json_string(message);

    if (!text)
        text = json_string("The request was refused.");
    if (!details)
        details = json_null();
    arm_answer_json(
        call, status,
        json_pack("{s:{s:s,s:o,s:o}}", "error", "code", code, "message", text, "details", details),
        0);
}

void arm_answer_error(struct arm_call *call, int status, const char *code, const char *format, ...)
{
    char message[PN_ERROR_MESSAGE_MAX * 2];
    va_list arguments;

    va_start(arguments, format);
    (void)vsnprintf(message, sizeof(message), format, arguments);
    va_end(arguments);
    answer_error_with(call, status, code, message, NULL);
}

void arm_answer_error_with(struct arm_call *call, int status, const char *code, json_t *details,
                           const char *format, ...)
{
    char message[PN_ERROR_MESSAGE_MAX * 2];
    va_list arguments;

    va_start(arguments, format);
    (void)vsnprintf(message, sizeof(message), format, arguments);
    va_end(arguments);
    answer_error_with(call, status, code, message, details);
}

static json_t *new_detail(const char *target, const char *message)
{
    json_t *target_text = json_string(target);
    json_t *message_text = json_string(message);

    if (!target_text)
        target_text = json_string("");
    if (!message_text)
        message_text = json_string("The value is not acceptable.");
    return json_pack("{s:s,s:o,s:o}", "code", "ValidationError", "target", target_text, "message",
                     message_text);
}

void arm_answer_problems(struct arm_call *call, const struct pn_problems *problems)
{
    json_t *details = json_array();

    for (size_t i = 0; details && i < problems->count; i++)
        if (json_array_append_new(
                details, new_detail(problems->items[i].target, problems->items[i].message)) != 0)
            break;
    answer_error_with(call, 400, "ValidationError", FIELDS_MESSAGE, details);
}

void arm_answer_cause(struct arm_call *call, const char *target, const char *cause,
                      const char *message)
{
    arm_answer_cause_with(call, target, json_pack("{s:s}", "code", cause), message);
}

void arm_answer_cause_with(struct arm_call *call, const char *target, json_t *inner,
                           const char *message)
{
    json_t *detail = new_detail(target, message);

    if (!detail || arm_has_quirk(call, ARM_QUIRK_NO_INNERERROR)) {
        json_decref(inner);
    } else if (json_object_set_new(detail, "innererror", inner) != 0) {
        json_decref(detail);
        detail = NULL;
    }
    answer_error_with(call, 400, "ValidationError", FIELDS_MESSAGE, json_pack("[o]", detail));
}

static void answer_detail(struct arm_call *call, const char *target, const char *message)
{
    json_t *details = json_array();

    if (details && json_array_append_new(details, new_detail(target, message)) != 0) {
        json_decref(details);
        details = NULL;
    }
    answer_error_with(call, 400, "ValidationError", FIELDS_MESSAGE, details);
}

void arm_answer_invalid(struct arm_call *call, const char *target, const char *format, ...)
{
    char message[PN_ERROR_MESSAGE_MAX];
    va_list arguments;

    va_start(arguments, format);
    (void)vsnprintf(message, sizeof(message), format, arguments);
    va_end(arguments);
    answer_detail(call, target, message);
}

static void answer_later(struct arm_call *call, const char *message)
{
    if (pn_response_header(call->response, "Retry-After", "%d", ARM_RETRY_AFTER_S) != PN_OK)
        pn_log(PN_LOG_WARN, "arm_header_dropped", "header", PN_S("Retry-After"), NULL);
    answer_error_with(call, 503, "ServiceUnavailable", message, NULL);
}

void arm_answer_failure(struct arm_call *call, const struct pn_error *err)
{
    switch (err->rc) {
    case PN_INVALID:
    case PN_MALFORMED:
    case PN_LIMIT:
    case PN_UNSUPPORTED:
        answer_detail(call, err->target, err->message);
        return;
    case PN_DENIED:
        answer_error_with(
            call, 403,
            strcmp(err->code, "LinkedAuthorizationFailed") == 0 ? err->code : "AuthorizationFailed",
            err->message, NULL);
        return;
    case PN_NOT_FOUND:
        answer_error_with(call, 404, "ResourceNotFound", err->message, NULL);
        return;
    case PN_EXISTS:
    case PN_CONFLICT:
        answer_error_with(call, 409, "Conflict", err->message, NULL);
        return;
    case PN_AGAIN:
    case PN_UNAVAILABLE:
    case PN_TIMEOUT:
        answer_later(call, err->message);
        return;
    case PN_OK:
    case PN_EOF:
    case PN_NOMEM:
    case PN_IO:
    case PN_INTERNAL:
        pn_log_error(PN_LOG_ERROR, "arm_internal_error", err);
        answer_error_with(call, 500, "InternalServerError", err->message, NULL);
        return;
    }
}

void arm_answer_not_found(struct arm_call *call)
{
    const struct pn_type_facts *facts = pn_type_facts(call->route->type);

    if (facts->name_rule == PN_NAME_POLICY) {
        arm_answer_error(call, 404, "ResourceNotFound", "Policy not found.");
        return;
    }
    arm_answer_error(call, 404, "ResourceNotFound", "%s not found.", facts->noun);
}

void arm_etag(uint64_t revision, char out[ARM_ETAG_TEXT])
{
    unsigned char bytes[8];
    struct pn_buf text;

    for (size_t i = 0; i < 8; i++)
        bytes[i] = (unsigned char)(revision >> (8 * (7 - i)));
    pn_buf_init(&text, ARM_ETAG_TEXT);
    if (pn_base64_encode(pn_slice(bytes, 8), &text) == PN_OK)
        (void)snprintf(out, ARM_ETAG_TEXT, "\"%.*s\"", PN_FMT(pn_buf_slice(&text)));
    else
        (void)snprintf(out, ARM_ETAG_TEXT, "\"\"");
    pn_buf_fini(&text);
}

/** Whether a list of entity tags (RFC 9110 §13.1.1) holds `etag`; a weak mark is overlooked. */
static bool list_holds(struct pn_slice list, const char *etag)
{
    struct pn_slice entry = {0};

    while (pn_slice_cut(&list, ',', &entry)) {
        entry = pn_slice_trim(entry);
        if (pn_slice_eq_str(entry, "*"))
            return true;
        if (pn_slice_starts_with(entry, PN_LIT("W/")))
            entry = pn_slice_sub(entry, 2, entry.len - 2);
        if (pn_slice_eq_str(entry, etag))
            return true;
        /* az prints the tag without its quotes, so people send it back that way */
        if (entry.len + 2 == strlen(etag) && memcmp(entry.ptr, etag + 1, entry.len) == 0)
            return true;
    }
    return false;
}

bool arm_precondition_revision(struct arm_call *call, bool exists, uint64_t revision)
{
    struct pn_slice if_match = pn_slice_trim(pn_headers_get(&call->request->headers, "If-Match"));
    struct pn_slice if_none =
        pn_slice_trim(pn_headers_get(&call->request->headers, "If-None-Match"));
    char etag[ARM_ETAG_TEXT];

    arm_etag(revision, etag);
    /* "If-Match: *" on a PUT of something new creates it, as the service does. */
    if (if_match.len > 0 && !pn_slice_eq_str(if_match, "*") &&
        (!exists || !list_holds(if_match, etag))) {
        arm_answer_error(call, 412, "PreconditionFailed",
                         "Resource was modified since last retrieval.");
        return false;
    }
    if (if_none.len > 0 && exists && !pn_slice_eq_str(call->request->method, "GET") &&
        !pn_slice_eq_str(call->request->method, "HEAD") && list_holds(if_none, etag)) {
        arm_answer_error(call, 412, "PreconditionFailed",
                         "Resource already exists and the request asked for a new one.");
        return false;
    }
    return true;
}

bool arm_precondition(struct arm_call *call, const struct pn_store_item *item)
{
    return arm_precondition_revision(call, item && item->id, item ? item->revision : 0);
}
