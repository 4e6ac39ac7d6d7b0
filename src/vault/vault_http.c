/* SPDX-License-Identifier: Apache-2.0
 *
 * The door of the data plane: challenge, token, vault, then the path.
 */
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "vault/vault_internal.h"
#include "vault/vault_operation.h"

static enum pn_rc add_challenge(const struct pn_vault *vault, struct pn_response *response)
{
    /* Comma and space between, no other member: some clients split on either. */
    return pn_response_header(response, "WWW-Authenticate",
                              "Bearer authorization=\"%s/%s\", resource=\"%s\"",
                              vault->authority_url, vault->tenant_id, vault->audience);
}

static void answer_unauthorized(const struct pn_vault *vault, struct pn_response *response,
                                const char *message)
{
    if (add_challenge(vault, response) == PN_OK)
        vault_answer_error(response, 401, "Unauthorized", NULL, "%s", message);
    else
        response->status = 500;
}

/* What Key Vault says where it is known; else the verifier's own words. */
static void answer_bad_token(const struct vault_call *call, const struct pn_error *err)
{
    const struct pn_vault *vault = call->vault;
    char message[PN_ERROR_MESSAGE_MAX + 64];

    pn_log(PN_LOG_WARN, "vault_unauthorized", "code", PN_S(err->code), "peer",
           PN_S(call->request->peer ? call->request->peer : ""), NULL);
    if (strcmp(err->code, "token_audience") == 0)
        snprintf(message, sizeof message, "AKV10022: %s", err->message);
    else if (strcmp(err->code, "token_issuer") == 0)
        snprintf(message, sizeof message, "AKV10032: Invalid issuer: %s.", err->message);
    else
        snprintf(message, sizeof message, "The bearer token is refused: %s.", err->message);
    answer_unauthorized(vault, call->response, message);
}

/* False: answered (401). */
static bool authenticate(struct vault_call *call)
{
    struct pn_slice token =
        pn_bearer_token(pn_headers_get(&call->request->headers, "Authorization"));
    const char *const audiences[] = {call->vault->audience, "https://vault.azure.net",
                                     "cfa8b339-82a2-471a-a3c9-0fc0be7a4093", NULL};
    struct pn_error err = {0};
    enum pn_rc rc;

    if (!token.ptr) {
        answer_unauthorized(call->vault, call->response,
                            "AKV10000: Request is missing a Bearer or PoP token.");
        return false;
    }
    rc = pn_token_verify(call->vault->verifier, token, audiences, &call->principal, &err);
    if (rc == PN_OK)
        return true;
    if (rc == PN_DENIED)
        answer_bad_token(call, &err);
    else /* the keys of another issuer cannot be had now: the token may be good */
        vault_answer_failure(call, rc, &err);
    return false;
}

static struct pn_slice host_without_port(struct pn_slice host)
{
    if (host.len > 0 && host.ptr[0] == '[') {
        size_t end = pn_slice_find(host, ']');

        return pn_slice_sub(host, 1, end > 0 ? end - 1 : 0);
    }
    return pn_slice_sub(host, 0, pn_slice_find(host, ':'));
}

/* "{name}.vault.localhost" -> name; localhost and loopback addresses -> "local"; else "". */
static void name_vault(struct vault_call *call)
{
    struct pn_slice host = host_without_port(call->request->host);
    size_t suffix_len = strlen(call->vault->suffix_host);
    struct pn_slice label = {NULL, 0};

    if (host.len > 0 && host.ptr[host.len - 1] == '.')
        host.len--;
    if (host.len > suffix_len + 1 && host.ptr[host.len - suffix_len - 1] == '.' &&
        pn_slice_case_eq_str(pn_slice_sub(host, host.len - suffix_len, suffix_len),
                             call->vault->suffix_host))
        label = pn_slice_sub(host, 0, host.len - suffix_len - 1);
    else if (pn_slice_case_eq_str(host, "localhost") || pn_slice_eq_str(host, "::1") ||
             pn_slice_starts_with(host, PN_LIT("127.")))
        label = PN_LIT(PN_VAULT_DEFAULT_NAME);
    call->vault_name[0] = '\0';
    if (label.len == 0 || label.len >= VAULT_NAME_TEXT || !vault_name_is_valid(label))
        return;
    for (size_t i = 0; i < label.len; i++)
        call->vault_name[i] =
            label.ptr[i] >= 'A' && label.ptr[i] <= 'Z' ? (char)(label.ptr[i] + 32) : label.ptr[i];
    call->vault_name[label.len] = '\0';
}

/* False: answered (404, or a failure of the store). */
static bool open_vault(struct vault_call *call)
{
    struct pn_error err = {0};
    const char *location;
    enum pn_rc rc = PN_NOT_FOUND;

    name_vault(call);
    if (call->vault_name[0])
        rc = vault_resource(call->vault, call->vault_name, &call->item, &err);
    if (rc == PN_NOT_FOUND) {
        vault_answer_error(
            call->response, 404, "VaultNotFound", NULL,
            "There is no key vault for the host '%.*s'. A vault named NAME answers at "
            "https://NAME.%s.",
            PN_FMT(pn_slice_sub(call->request->host, 0, 255)), call->vault->suffix);
        return false;
    }
    if (rc != PN_OK) {
        vault_answer_failure(call, rc, &err);
        return false;
    }
    location = pn_json_str(call->item.body, "location");
    snprintf(call->location, sizeof call->location, "%s", location ? location : "local");
    call->access_policies =
        json_object_get(json_object_get(call->item.body, "properties"), "accessPolicies");
    return true;
}

/* "7.4", "7.6-preview.2", "2016-10-01", "2025-07-01-preview": any that looks like one. */
static bool api_version_is_valid(struct pn_slice version)
{
    bool is_old = version.len >= 3 && pn_slice_starts_with(version, PN_LIT("7."));
    bool is_date = version.len >= 10 && version.ptr[4] == '-' && version.ptr[7] == '-';

    for (size_t i = 0; i < version.len; i++) {
        char c = version.ptr[i];

        if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || c == '.' || c == '-'))
            return false;
        if (is_date && i < 10 && i != 4 && i != 7 && (c < '0' || c > '9'))
            return false;
    }
    return version.len <= 40 && (is_old || is_date);
}

static void route(struct vault_call *call)
{
    struct pn_slice version = pn_request_query(call->request, "api-version");

    if (pn_request_segments(call->request, call->segments, SEGMENTS_MAX, &call->segment_count) !=
        PN_OK) {
        vault_answer_error(call->response, 400, "BadParameter", NULL,
                           "The request URI has a broken escape or too many parts.");
        return;
    }
    if (!version.ptr || !api_version_is_valid(version)) {
        vault_answer_error(call->response, 400, "BadParameter", NULL,
                           version.ptr ? "The specified version (%.*s) is not recognized. Consider "
                                         "using the latest supported version (2025-07-01)."
                                       : "api-version must be specified%.*s",
                           PN_FMT(pn_slice_sub(version, 0, 40)));
        return;
    }
    vault_operate(call);
}

void pn_vault_handle(struct pn_vault *vault, const struct pn_request *request,
                     struct pn_response *response)
{
    struct vault_call call = {
        .vault = vault, .request = request, .response = response, .origin = request->origin};

    if (pn_response_header(response, "Cache-Control", "no-cache, no-store") != PN_OK ||
        pn_response_header(response, "Pragma", "no-cache") != PN_OK ||
        pn_response_header(response, "x-ms-keyvault-service-version", "1.9.0.0") != PN_OK ||
        pn_response_header(response, "X-Content-Type-Options", "nosniff") != PN_OK) {
        response->status = 500;
        return;
    }
    if (authenticate(&call) && open_vault(&call) && vault_firewall_lets(&call))
        route(&call);
    pn_store_item_fini(&call.item);
}
