/* SPDX-License-Identifier: Apache-2.0
 *
 * Answers of the data plane.
 */
#include <stdarg.h>
#include <stdio.h>

#include "base/log.h"
#include "vault/vault_internal.h"

static void answer(struct pn_response *response, int status, const json_t *json)
{
    enum pn_rc rc = PN_NOMEM;

    pn_buf_clear(&response->body);
    if (json)
        rc = pn_json_dump(json, &response->body);
    if (rc == PN_OK)
        rc = pn_response_header(response, "Content-Type", "application/json; charset=utf-8");
    response->status = rc == PN_OK ? status : 500;
    if (rc != PN_OK)
        pn_buf_clear(&response->body);
}

void vault_answer_json(struct vault_call *call, int status, json_t *json)
{
    answer(call->response, status, json);
    json_decref(json);
}

void vault_answer_error(struct pn_response *response, int status, const char *code,
                        const char *inner, const char *format, ...)
{
    char message[PN_ERROR_MESSAGE_MAX + 512];
    json_t *json;
    va_list args;

    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
    va_end(args);
    json = json_pack("{s:{s:s, s:s}}", "error", "code", code, "message", message);
    if (json && inner)
        json_object_set_new(json_object_get(json, "error"), "innererror",
                            json_pack("{s:s}", "code", inner));
    answer(response, status, json);
    json_decref(json);
}

void vault_answer_failure(struct vault_call *call, enum pn_rc rc, const struct pn_error *err)
{
    struct pn_response *response = call->response;
    const char *message = err && err->message[0] ? err->message : pn_rc_name(rc);

    if (rc == PN_INVALID || rc == PN_MALFORMED || rc == PN_LIMIT) {
        vault_answer_error(response, 400, "BadParameter", NULL, "%s", message);
        return;
    }
    if (rc == PN_UNSUPPORTED) {
        vault_answer_error(response, 400, "BadParameter", "NotSupported", "%s", message);
        return;
    }
    if (err)
        pn_log_error(PN_LOG_ERROR, "vault_failed", err);
    if (rc == PN_UNAVAILABLE || rc == PN_TIMEOUT)
        vault_answer_error(response, 503, "ServiceUnavailable", NULL,
                           "The vault cannot answer right now. Try again.");
    else
        vault_answer_error(response, 500, "InternalServerError", NULL,
                           "The vault failed to answer; its log names the cause.");
}

json_t *vault_read_body(struct vault_call *call)
{
    struct pn_error err = {0};
    json_t *body = NULL;

    if (call->request->body.len == 0) {
        vault_answer_error(call->response, 400, "BadParameter", NULL, "The request has no body.");
        return NULL;
    }
    if (pn_json_parse(call->request->body, &body, &err) != PN_OK) {
        vault_answer_error(call->response, 400, "BadParameter", NULL, "The request's body: %s",
                           err.message);
        return NULL;
    }
    if (!json_is_object(body)) {
        vault_answer_error(call->response, 400, "BadParameter", NULL,
                           "The request's body is not a JSON object.");
        json_decref(body);
        return NULL;
    }
    return body;
}
