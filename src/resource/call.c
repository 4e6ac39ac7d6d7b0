/* SPDX-License-Identifier: Apache-2.0
 *
 * From the request to a proved caller, and back. See call.h.
 */
#include "resource/call.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "identity/token_verifier.h"

#define OLDEST_API_VERSION "2014-04-01"

static bool challenge(struct pn_resource_call *call, const char *code, const char *description)
{
    const struct pn_resource_plane *plane = call->plane;

    if (pn_response_header(call->response, "WWW-Authenticate",
                           "Bearer authorization_uri=\"%s/%s\", error=\"invalid_token\", "
                           "error_description=\"%s\"",
                           plane->control_url, plane->tenant_id, description) == PN_OK)
        pn_resource_error(call, 401, code, "%s", description);
    else
        call->response->status = 500;
    return false;
}

static bool authenticate(struct pn_resource_call *call)
{
    struct pn_slice token =
        pn_bearer_token(pn_headers_get(&call->request->headers, "Authorization"));
    struct pn_token_refusal refusal;
    struct pn_error err = {0};
    enum pn_rc rc;

    if (!token.ptr)
        return challenge(call, "AuthenticationFailed",
                         "Authentication failed. The 'Authorization' header is missing or holds "
                         "no Bearer token.");
    rc = pn_token_verify(call->plane->verifier, token, call->plane->audiences, &call->principal,
                         &err);
    if (rc == PN_OK)
        return true;
    if (rc != PN_DENIED) {
        pn_resource_failure(call, rc, &err);
        return false;
    }
    pn_log(PN_LOG_WARN, "management_unauthorized", "code", PN_S(err.code), NULL);
    refusal = pn_token_refusal_of(&err);
    return challenge(call, refusal.arm_code, refusal.description);
}

static bool check_version(struct pn_resource_call *call)
{
    struct pn_slice version = pn_request_query(call->request, "api-version");
    static const char form[] = "dddd-dd-dd";
    bool is_dated = version.len >= 10 && version.len <= 32;

    if (version.len == 0) {
        pn_resource_error(call, 400, "MissingApiVersionParameter",
                          "The api-version query parameter (?api-version=) is required for all "
                          "requests.");
        return false;
    }
    for (size_t i = 0; is_dated && i < 10; i++) {
        bool is_digit = version.ptr[i] >= '0' && version.ptr[i] <= '9';

        is_dated = form[i] == 'd' ? is_digit : version.ptr[i] == '-';
    }
    if (is_dated && pn_slice_compare(version, PN_LIT(OLDEST_API_VERSION)) >= 0)
        return true;
    pn_resource_error(call, 400, "InvalidApiVersionParameter",
                      "The api-version is invalid. Dated versions from " OLDEST_API_VERSION
                      " on are supported.");
    return false;
}

bool pn_resource_begin(struct pn_resource_call *call)
{
    if (pn_response_header(call->response, "Cache-Control", "no-cache") != PN_OK) {
        call->response->status = 500;
        return false;
    }
    if (!authenticate(call))
        return false;
    if (pn_request_segments(call->request, call->segments, PN_RESOURCE_SEGMENTS_MAX,
                            &call->segment_count) != PN_OK) {
        pn_resource_error(call, 400, "InvalidRequestUri",
                          "The path is malformed or has more than %d segments.",
                          PN_RESOURCE_SEGMENTS_MAX);
        return false;
    }
    return check_version(call);
}

bool pn_resource_may(struct pn_resource_call *call, const char *action, const char *scope)
{
    struct pn_error err = {0};
    enum pn_rc rc = pn_authorize(call->plane->store, &call->principal, action, scope, &err);

    if (rc == PN_OK)
        return true;
    pn_resource_failure(call, rc, &err);
    return false;
}

bool pn_resource_is(const struct pn_resource_call *call, const char *method)
{
    return pn_slice_eq_str(call->request->method, method);
}

bool pn_resource_reads(const struct pn_resource_call *call)
{
    return pn_resource_is(call, "GET") || pn_resource_is(call, "HEAD");
}

static void answer(struct pn_resource_call *call, int status, const json_t *json)
{
    struct pn_response *response = call->response;
    struct pn_buf text;
    enum pn_rc rc = PN_NOMEM;

    pn_buf_init(&text, response->body.max);
    if (json)
        rc = pn_json_dump(json, &text);
    if (rc == PN_OK)
        rc = pn_response_body(response, status, "application/json; charset=utf-8",
                              pn_buf_slice(&text));
    if (rc != PN_OK) {
        pn_buf_clear(&response->body);
        response->status = 500;
    }
    pn_buf_fini(&text);
}

void pn_resource_json(struct pn_resource_call *call, int status, json_t *json)
{
    answer(call, status, json);
    json_decref(json);
}

void pn_resource_list(struct pn_resource_call *call, json_t *items)
{
    pn_resource_json(call, 200, json_pack("{s:o}", "value", items));
}

static void answer_error(struct pn_resource_call *call, int status, const char *code,
                         const char *message)
{
    /* A message may hold what a caller sent; jansson refuses broken UTF-8, then it is left out. */
    json_t *text = json_string(message);

    if (!text)
        text = json_string("The request was refused.");
    pn_resource_json(call, status,
                     json_pack("{s:{s:s, s:o}}", "error", "code", code, "message", text));
}

void pn_resource_error(struct pn_resource_call *call, int status, const char *code,
                       const char *format, ...)
{
    char message[PN_ERROR_MESSAGE_MAX * 2];
    va_list arguments;

    va_start(arguments, format);
    (void)vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    answer_error(call, status, code, message);
}

void pn_resource_wrong_method(struct pn_resource_call *call, const char *allowed)
{
    if (pn_response_header(call->response, "Allow", "%s", allowed) == PN_OK)
        pn_resource_error(call, 405, "MethodNotAllowed",
                          "The method is not supported here; these are: %s.", allowed);
    else
        call->response->status = 500;
}

void pn_resource_failure(struct pn_resource_call *call, enum pn_rc rc, const struct pn_error *err)
{
    const char *message = err->message[0] ? err->message : pn_rc_name(rc);

    switch (rc) {
    case PN_INVALID:
    case PN_MALFORMED:
    case PN_LIMIT:
    case PN_UNSUPPORTED:
        answer_error(call, 400, err->code[0] ? err->code : "BadRequest", message);
        return;
    case PN_DENIED:
        answer_error(call, 403,
                     strcmp(err->code, "LinkedAuthorizationFailed") == 0 ? err->code
                                                                         : "AuthorizationFailed",
                     message);
        return;
    case PN_NOT_FOUND:
        answer_error(call, 404, "ResourceNotFound", message);
        return;
    case PN_EXISTS:
    case PN_CONFLICT:
        answer_error(call, 409, err->code[0] ? err->code : "Conflict", message);
        return;
    case PN_AGAIN:
    case PN_UNAVAILABLE:
    case PN_TIMEOUT:
        if (pn_response_header(call->response, "Retry-After", "1") != PN_OK)
            pn_log(PN_LOG_WARN, "header_dropped", "header", PN_S("Retry-After"), NULL);
        answer_error(call, 503, "ServiceUnavailable",
                     "The service cannot answer right now. Try again.");
        return;
    case PN_OK:
    case PN_EOF:
    case PN_NOMEM:
    case PN_IO:
    case PN_INTERNAL:
        pn_log_error(PN_LOG_ERROR, "management_failed", err);
        answer_error(call, 500, "InternalServerError",
                     "The service failed to answer; its log names the cause.");
        return;
    }
}

json_t *pn_resource_body(struct pn_resource_call *call)
{
    struct pn_slice text = pn_slice_trim(call->request->body);
    struct pn_error err = {0};
    json_t *body = NULL;

    /* A byte order mark is not JSON, but editors on Windows write one. */
    if (pn_slice_starts_with(text, PN_LIT("\xef\xbb\xbf")))
        text = pn_slice_sub(text, 3, text.len - 3);
    if (text.len == 0) {
        pn_resource_error(call, 400, "InvalidRequestContent",
                          "The request content was empty; a JSON object is expected.");
        return NULL;
    }
    if (pn_json_parse(text, &body, &err) != PN_OK) {
        pn_resource_error(call, 400, "InvalidRequestContent",
                          "The request content was invalid and could not be deserialized: %s",
                          err.message);
        return NULL;
    }
    if (!json_is_object(body)) {
        pn_resource_error(call, 400, "InvalidRequestContent",
                          "The request content must be a JSON object.");
        json_decref(body);
        return NULL;
    }
    return body;
}
