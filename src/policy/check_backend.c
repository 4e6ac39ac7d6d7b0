/* SPDX-License-Identifier: Apache-2.0
 *
 * The statements about where a request goes and as whom: authentication-certificate,
 * set-backend-service, forward-request.
 */
#include <assert.h>
#include <string.h>

#include "base/encode.h"
#include "policy/internal.h"

#define RESOURCE_NAME_MAX 80
#define BASE_URL_MAX      2000

/* Resource names: ^[^*#&+:<>?]+$, 1..80; also no '/', which ends a segment of an id. */
bool pn_policy_is_resource_name(struct pn_slice name)
{
    if (name.len == 0 || name.len > RESOURCE_NAME_MAX)
        return false;
    for (size_t i = 0; i < name.len; i++)
        if ((unsigned char)name.ptr[i] < 0x20 || strchr("*#&+:<>?/", name.ptr[i]))
            return false;
    return true;
}

/* Drops what copying a fingerprint out of a dialog or a tool brings along: spaces, colons, U+200E.
 */
struct pn_slice pn_policy_thumbprint(struct pn_arena *arena, struct pn_slice text)
{
    char hex[41];
    size_t len = 0;

    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];

        if (c == ' ' || c == '\t' || c == ':')
            continue;
        if (text.len - i >= 3 && memcmp(text.ptr + i, "\xE2\x80\x8E", 3) == 0) {
            i += 2;
            continue;
        }
        if (c >= 'a' && c <= 'f')
            c = (char)(c - 'a' + 'A');
        if (!((c >= '0' && c <= '9') || (c >= 'A' && c <= 'F')) || len == 40)
            return (struct pn_slice){0};
        hex[len++] = c;
    }
    return len == 40 ? pn_arena_dup(arena, pn_slice(hex, 40)) : (struct pn_slice){0};
}

static bool is_base64(struct pn_slice text)
{
    struct pn_buf bytes;
    enum pn_rc rc;
    bool is_good;

    pn_buf_init_secret(&bytes, PN_POLICY_BYTES_MAX);
    rc = pn_base64_decode(text, &bytes);
    is_good = rc == PN_OK && bytes.len > 0;
    pn_buf_fini(&bytes);
    return is_good;
}

static enum pn_rc check_body(struct pn_policy_check *check, const struct pn_policy_node *node,
                             struct pn_policy_statement *statement)
{
    struct pn_slice body = pn_slice_trim(pn_policy_attribute(node, "body"));
    struct pn_slice password = pn_policy_attribute(node, "password");
    struct pn_slice prefix = pn_slice_str(PN_POLICY_EMBEDDED_PREFIX);
    uint8_t id[32];

    if (pn_slice_starts_with(body, prefix)) {
        struct pn_slice hex = pn_slice_sub(body, prefix.len, body.len);

        if (!pn_hex_decode(hex, id, sizeof id))
            return pn_policy_node_error(check->err, node,
                                        "the attribute 'body' names no embedded certificate: "
                                        "\"%s\" must be followed by 64 hex digits",
                                        PN_POLICY_EMBEDDED_PREFIX);
        if (password.ptr)
            return pn_policy_node_error(check->err, node,
                                        "the attribute 'password' does not go with an embedded "
                                        "certificate, which was opened already");
        statement->certificate.embedded = hex;
        return PN_OK;
    }
    if (!is_base64(body))
        return pn_policy_node_error(check->err, node,
                                    "the attribute 'body' must be a PFX file in base64");
    statement->certificate.body = body;
    statement->certificate.password = password;
    return PN_OK;
}

/* "c1, c2": at least one name, each once. */
static enum pn_rc check_ids(struct pn_policy_check *check, const struct pn_policy_node *node,
                            struct pn_slice list, struct pn_policy_statement *statement)
{
    struct pn_slice *ids =
        pn_arena_zalloc(check->arena, PN_POLICY_CERTIFICATES_MAX * sizeof(ids[0]));
    struct pn_slice rest = list;
    struct pn_slice name = {0};
    size_t count = 0;

    if (!ids)
        return pn_error_set(check->err, PN_NOMEM, "out_of_memory", "out of memory");
    while (pn_slice_cut(&rest, ',', &name)) {
        bool is_double = false;

        name = pn_slice_trim(name);
        for (size_t i = 0; i < count; i++)
            is_double = is_double || pn_slice_case_eq(ids[i], name);
        if (count == PN_POLICY_CERTIFICATES_MAX || is_double || !pn_policy_is_resource_name(name))
            return pn_policy_node_error(
                check->err, node,
                "the attribute 'certificate-ids' must be the names of 1 to %d certificates, by "
                "commas, each once: 1 to %d characters, none of * # & + : < > ? /",
                PN_POLICY_CERTIFICATES_MAX, RESOURCE_NAME_MAX);
        ids[count++] = name;
    }
    if (count == 0)
        return pn_policy_node_error(check->err, node,
                                    "the attribute 'certificate-ids' names no certificate");
    statement->certificate.certificate_ids = ids;
    statement->certificate.certificate_id_count = count;
    return PN_OK;
}

enum pn_rc pn_policy_check_certificate(struct pn_policy_check *check, struct pn_policy_node *node,
                                       struct pn_policy_statement *statement)
{
    static const char *const known[] = {"thumbprint", "certificate-id", "certificate-ids",
                                        "body",       "password",       NULL};
    static const char *const mixed[] = {"thumbprint", "certificate-id", NULL};
    struct pn_policy_operand operand;
    struct pn_slice thumbprint = pn_policy_attribute(node, "thumbprint");
    struct pn_slice id = pn_policy_attribute(node, "certificate-id");
    struct pn_slice ids = pn_policy_attribute(node, "certificate-ids");
    struct pn_slice body = pn_policy_attribute(node, "body");
    enum pn_rc rc = pn_policy_check_mixed(check, node, known, mixed, NULL, true);

    if (rc == PN_OK)
        rc = pn_policy_check_no_text(check, node);
    if (rc == PN_OK)
        rc = pn_policy_check_no_children(check, node);
    if (rc != PN_OK)
        return rc;
    if ((thumbprint.ptr != NULL) + (id.ptr != NULL) + (ids.ptr != NULL) + (body.ptr != NULL) != 1)
        return pn_policy_node_error(check->err, node,
                                    "exactly one of the attributes 'thumbprint', 'certificate-id', "
                                    "'certificate-ids' and 'body' is required");
    if (!body.ptr && pn_policy_attribute(node, "password").ptr)
        return pn_policy_node_error(check->err, node,
                                    "the attribute 'password' goes with 'body' only");
    if (body.ptr)
        return check_body(check, node, statement);
    if (ids.ptr)
        return check_ids(check, node, ids, statement);
    rc = pn_policy_check_operand(check, node, id.ptr ? "certificate-id" : "thumbprint",
                                 PN_EXPR_WANT_TEXT, &operand);
    if (rc != PN_OK)
        return rc;
    if (operand.expr) {
        statement->certificate.id_expr = id.ptr ? operand.expr : NULL;
        statement->certificate.thumbprint_expr = id.ptr ? NULL : operand.expr;
        return PN_OK;
    }
    if (id.ptr) {
        if (!pn_policy_is_resource_name(id))
            return pn_policy_node_error(
                check->err, node,
                "the attribute 'certificate-id' must be the name of a "
                "certificate: 1 to %d characters, none of * # & + : < > ? /",
                RESOURCE_NAME_MAX);
        statement->certificate.certificate_id = id;
        return PN_OK;
    }
    statement->certificate.thumbprint = pn_policy_thumbprint(check->arena, thumbprint);
    if (!statement->certificate.thumbprint.ptr)
        return pn_policy_node_error(check->err, node,
                                    "the attribute 'thumbprint' must be a SHA-1 thumbprint of 40 "
                                    "hex digits");
    return PN_OK;
}

/* An absolute http(s) URL with a host, without user, query and fragment (RFC 3986 §3). */
const char *pn_policy_url_problem(struct pn_slice url)
{
    struct pn_slice rest;
    size_t host_len;

    if (url.len > BASE_URL_MAX)
        return "is longer than 2000 characters";
    if (pn_slice_case_starts_with(url, PN_LIT("https://")))
        rest = pn_slice_sub(url, 8, url.len);
    else if (pn_slice_case_starts_with(url, PN_LIT("http://")))
        rest = pn_slice_sub(url, 7, url.len);
    else
        return "must be a URL that starts with http:// or https://";
    for (size_t i = 0; i < rest.len; i++) {
        unsigned char c = (unsigned char)rest.ptr[i];

        if (c <= 0x20 || c >= 0x7F || strchr("\"<>\\^`{|}", (char)c))
            return "holds a character that a URL cannot have; percent-encode it";
    }
    if (pn_slice_find(rest, '?') < rest.len || pn_slice_find(rest, '#') < rest.len)
        return "must not have a query or a fragment; use set-query-parameter";
    host_len = pn_slice_find(rest, '/');
    if (pn_slice_find(pn_slice_sub(rest, 0, host_len), '@') < host_len)
        return "must not hold a user name or password";
    if (host_len == 0 || rest.ptr[0] == ':')
        return "names no host";
    return NULL;
}

enum pn_rc pn_policy_check_backend(struct pn_policy_check *check, struct pn_policy_node *node,
                                   struct pn_policy_statement *statement)
{
    static const char *const known[] = {"base-url", "backend-id", NULL};
    struct pn_policy_operand operand;
    static const char *const unsupported[] = {
        "sf-resolve-condition", "sf-service-instance-name", "sf-partition-key",
        "sf-listener-name",     "sf-replica-type",          "dapr-app-id",
        "dapr-method",          "dapr-namespace",           NULL};
    struct pn_slice url = pn_policy_attribute(node, "base-url");
    struct pn_slice id = pn_policy_attribute(node, "backend-id");
    const char *problem;
    enum pn_rc rc = pn_policy_check_mixed(check, node, known, known, unsupported, true);

    if (rc == PN_OK)
        rc = pn_policy_check_no_text(check, node);
    if (rc == PN_OK)
        rc = pn_policy_check_no_children(check, node);
    if (rc != PN_OK)
        return rc;
    if ((url.ptr != NULL) + (id.ptr != NULL) != 1)
        return pn_policy_node_error(
            check->err, node,
            "exactly one of the attributes 'base-url' and 'backend-id' is required");
    rc = pn_policy_check_operand(check, node, id.ptr ? "backend-id" : "base-url", PN_EXPR_WANT_TEXT,
                                 &operand);
    if (rc != PN_OK)
        return rc;
    if (operand.expr) {
        statement->backend.id_expr = id.ptr ? operand.expr : NULL;
        statement->backend.url_expr = id.ptr ? NULL : operand.expr;
        return PN_OK;
    }
    if (id.ptr && !pn_policy_is_resource_name(id))
        return pn_policy_node_error(check->err, node,
                                    "the attribute 'backend-id' must be the name of a backend: 1 "
                                    "to %d characters, none of * # & + : < > ? /",
                                    RESOURCE_NAME_MAX);
    if (url.ptr) {
        url = pn_slice_trim(url);
        problem = pn_policy_url_problem(url);
        if (problem)
            return pn_policy_node_error(check->err, node, "the attribute 'base-url' %s", problem);
    }
    statement->backend.base_url = url;
    statement->backend.backend_id = id;
    return PN_OK;
}

/** An attribute of seconds or milliseconds. `expr`: NULL where it must be a literal. */
static enum pn_rc check_number(struct pn_policy_check *check, const struct pn_policy_node *node,
                               const char *name, uint64_t unit_ms, uint64_t *time_ms,
                               const struct pn_expr **expr)
{
    struct pn_slice text = pn_policy_attribute(node, name);
    uint64_t max = PN_POLICY_TIMEOUT_S_MAX * UINT64_C(1000) / unit_ms;
    struct pn_policy_operand operand = {0};
    uint64_t value;
    enum pn_rc rc = PN_OK;

    assert(time_ms);
    if (!text.ptr)
        return PN_OK;
    if (expr) {
        rc = pn_policy_check_operand(check, node, name, PN_EXPR_WANT_NUMBER, &operand);
        *expr = operand.expr;
    }
    if (rc != PN_OK || operand.expr)
        return rc;
    if (!pn_slice_to_u64(pn_slice_trim(text), max, &value) || value == 0)
        return pn_policy_node_error(
            check->err, node, "the attribute '%s' must be a number of %s from 1 to %llu", name,
            unit_ms == 1 ? "milliseconds" : "seconds", (unsigned long long)max);
    *time_ms = value * unit_ms;
    return PN_OK;
}

static enum pn_rc check_times(struct pn_policy_check *check, const struct pn_policy_node *node,
                              struct pn_policy_statement *statement)
{
    struct pn_policy_forward *forward = &statement->forward.how;
    enum pn_rc rc;

    if (pn_policy_attribute(node, "timeout").ptr && pn_policy_attribute(node, "timeout-ms").ptr)
        return pn_policy_node_error(
            check->err, node, "only one of the attributes 'timeout' and 'timeout-ms' may be given");
    rc = check_number(check, node, "timeout", 1000, &forward->timeout_ms,
                      &statement->forward.timeout);
    if (rc == PN_OK)
        rc = check_number(check, node, "timeout-ms", 1, &forward->timeout_ms,
                          &statement->forward.timeout_ms);
    if (rc == PN_OK)
        rc = check_number(check, node, "continue-timeout", 1000, &forward->continue_timeout_ms,
                          NULL);
    return rc;
}

static enum pn_rc check_version(struct pn_policy_check *check, const struct pn_policy_node *node,
                                enum pn_policy_http_version *result)
{
    static const struct {
        const char *text;
        enum pn_policy_http_version version;
    } versions[] = {
        {"1", PN_POLICY_HTTP_1}, {"2or1", PN_POLICY_HTTP_2_OR_1}, {"2", PN_POLICY_HTTP_2}};
    struct pn_slice text = pn_policy_attribute(node, "http-version");

    assert(result);
    *result = PN_POLICY_HTTP_DEFAULT;
    if (!text.ptr)
        return PN_OK;
    for (size_t i = 0; i < sizeof(versions) / sizeof(versions[0]); i++) {
        if (pn_slice_eq_str(text, versions[i].text)) {
            *result = versions[i].version;
            return PN_OK;
        }
    }
    return pn_policy_node_error(check->err, node,
                                "the attribute 'http-version' must be \"1\", \"2or1\" or \"2\"");
}

enum pn_rc pn_policy_check_forward(struct pn_policy_check *check, struct pn_policy_node *node,
                                   struct pn_policy_statement *statement)
{
    static const char *const known[] = {"timeout",
                                        "timeout-ms",
                                        "continue-timeout",
                                        "follow-redirects",
                                        "buffer-request-body",
                                        "buffer-response",
                                        "http-version",
                                        "fail-on-error-status-code",
                                        NULL};
    static const char *const mixed[] = {"timeout", "timeout-ms", "follow-redirects", NULL};
    struct pn_policy_forward *forward = &statement->forward.how;
    struct pn_policy_operand follows = {0};
    bool buffers_response = true;
    enum pn_rc rc = pn_policy_check_mixed(check, node, known, mixed, NULL, true);

    if (rc == PN_OK)
        rc = pn_policy_check_no_text(check, node);
    if (rc == PN_OK)
        rc = pn_policy_check_no_children(check, node);
    if (rc == PN_OK)
        rc = check_times(check, node, statement);
    if (rc == PN_OK)
        rc = check_version(check, node, &forward->http_version);
    if (rc == PN_OK && pn_policy_attribute(node, "follow-redirects").ptr)
        rc = pn_policy_check_operand(check, node, "follow-redirects", PN_EXPR_WANT_BOOL, &follows);
    statement->forward.follows_redirects = follows.expr;
    if (rc == PN_OK && !follows.expr)
        rc = pn_policy_check_bool(check, node, "follow-redirects", &forward->follows_redirects);
    if (rc == PN_OK) /* the gateway streams both ways; either value is honoured by that */
        rc = pn_policy_check_bool(check, node, "buffer-response", &buffers_response);
    if (rc == PN_OK)
        rc = pn_policy_check_bool(check, node, "buffer-request-body",
                                  &forward->buffers_request_body);
    if (rc == PN_OK)
        rc = pn_policy_check_bool(check, node, "fail-on-error-status-code",
                                  &forward->fail_on_error_status_code);
    return rc;
}
