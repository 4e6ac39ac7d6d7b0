/* SPDX-License-Identifier: Apache-2.0
 *
 * Answers of the HTTPS server as bytes.
 */
#include <string.h>

#include "base/clock.h"
#include "control/server_internal.h"

enum { ECHO_BYTES_MAX = 128 };
enum { PRAGMA = 1, EXPIRES = 2 }; /* of write_common()'s list */

static const char *error_code(int status)
{
    switch (status) {
    case 408:
        return "RequestTimeout";
    case 413:
        return "RequestEntityTooLarge";
    case 414:
        return "RequestUriTooLong";
    case 417:
        return "ExpectationFailed";
    case 431:
        return "RequestHeaderFieldsTooLarge";
    case 500:
        return "InternalServerError";
    case 501:
        return "NotImplemented";
    case 503:
        return "ServerBusy";
    case 505:
        return "HttpVersionNotSupported";
    default:
        return "BadRequest";
    }
}

/* RFC 6797 §8.3 applies it to every port of the host: on localhost it would take http:// away from
 * all other servers there, the gateway's plain listener among them. */
static bool wants_strict_transport(struct pn_slice host)
{
    struct pn_slice name = pn_slice_sub(host, 0, pn_slice_find(host, ':'));

    return name.len > 0 && name.ptr[0] != '[' && !pn_slice_case_eq_str(name, "localhost") &&
           !(name.len > 10 &&
             pn_slice_case_eq_str(pn_slice_sub(name, name.len - 10, 10), ".localhost"));
}

/* Fields that every answer has, unless the handler has set them. */
static enum pn_rc write_common(struct pn_server_conn *conn, const struct pn_headers *headers)
{
    struct pn_slice client_id = {NULL, 0};
    char date[PN_TIME_TEXT];
    const struct {
        const char *name;
        struct pn_slice value;
    } fields[] = {
        {"Cache-Control", PN_LIT("no-cache")},
        {"Pragma", PN_LIT("no-cache")},
        {"Expires", PN_LIT("-1")},
        {"X-Content-Type-Options", PN_LIT("nosniff")},
        {"x-ms-request-id", pn_slice_str(conn->request_id)},
    };
    /* Pragma and Expires are for what says nothing itself: an asset that may be kept for ever must
     * not say "-1" beside it. */
    bool is_kept =
        headers && pn_slice_starts_with(pn_headers_get(headers, "Cache-Control"), PN_LIT("public"));
    enum pn_rc rc = PN_OK;

    pn_time_http_date(pn_clock_unix_s(), date);
    rc = pn_h1_write_field(&conn->out, PN_LIT("Date"), pn_slice_str(date));
    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]) && rc == PN_OK; i++) {
        if (is_kept && (i == PRAGMA || i == EXPIRES))
            continue;
        if (!headers || !pn_headers_has(headers, fields[i].name))
            rc = pn_h1_write_field(&conn->out, pn_slice_str(fields[i].name), fields[i].value);
    }
    if (rc == PN_OK && conn->head.headers.count > 0)
        client_id = pn_headers_get(&conn->head.headers, "x-ms-client-request-id");
    if (rc == PN_OK && client_id.len > 0 && client_id.len <= ECHO_BYTES_MAX &&
        (!headers || !pn_headers_has(headers, "x-ms-client-request-id")))
        rc = pn_h1_write_field(&conn->out, PN_LIT("x-ms-client-request-id"), client_id);
    if (rc == PN_OK && wants_strict_transport(conn->head.host))
        rc = pn_h1_write_field(&conn->out, PN_LIT("Strict-Transport-Security"),
                               PN_LIT("max-age=31536000; includeSubDomains"));
    return rc;
}

/* The connection's end, the body's length, and the empty line. `length` is left out for the
 * statuses that have no body (RFC 9110 §8.6), and for HEAD when the handler did not make one. */
static enum pn_rc write_ending(struct pn_server_conn *conn, int status, size_t length)
{
    bool has_length =
        status >= 200 && status != 204 && status != 304 && !(conn->is_head && length == 0);
    enum pn_rc rc = PN_OK;

    if (has_length)
        rc = pn_h1_write_content_length(&conn->out, length);
    if (rc == PN_OK && !conn->keep_alive)
        rc = pn_h1_write_field(&conn->out, PN_LIT("Connection"), PN_LIT("close"));
    else if (rc == PN_OK && conn->head.minor_version == 0)
        rc = pn_h1_write_field(&conn->out, PN_LIT("Connection"), PN_LIT("keep-alive"));
    if (rc == PN_OK)
        rc = pn_h1_write_end(&conn->out);
    return rc;
}

enum pn_rc pn_server_write_response(struct pn_server_conn *conn)
{
    const struct pn_headers *headers = &conn->response.headers;
    enum pn_rc rc = pn_h1_write_status_line(&conn->out, conn->response.status, PN_LIT(""));

    for (size_t i = 0; i < headers->count && rc == PN_OK; i++) {
        const struct pn_header *field = &headers->items[i];

        if (pn_http_is_hop_by_hop(field->name) ||
            pn_slice_case_eq_str(field->name, "Content-Length") ||
            pn_slice_case_eq_str(field->name, "Date"))
            continue; /* the server's business */
        rc = pn_h1_write_field(&conn->out, field->name, field->value);
    }
    if (rc == PN_OK)
        rc = write_common(conn, headers);
    if (rc == PN_OK)
        rc = write_ending(conn, conn->response.status, conn->response.body.len);
    return rc;
}

enum pn_rc pn_server_write_error(struct pn_server_conn *conn, int status, const char *message)
{
    char body[512];
    int len = snprintf(body, sizeof(body), "{\"error\":{\"code\":\"%s\",\"message\":\"%s.\"}}",
                       error_code(status), message);
    enum pn_rc rc = pn_h1_write_status_line(&conn->out, status, PN_LIT(""));

    if (len < 0 || (size_t)len >= sizeof(body))
        return PN_LIMIT;
    if (rc == PN_OK)
        rc = pn_h1_write_field(&conn->out, PN_LIT("Content-Type"),
                               PN_LIT("application/json; charset=utf-8"));
    if (rc == PN_OK && status == 503)
        rc = pn_h1_write_field(&conn->out, PN_LIT("Retry-After"), PN_LIT("1"));
    if (rc == PN_OK)
        rc = write_common(conn, NULL);
    if (rc == PN_OK)
        rc = write_ending(conn, status, (size_t)len);
    if (rc == PN_OK && !conn->is_head)
        rc = pn_buf_append(&conn->out, body, (size_t)len);
    return rc;
}
