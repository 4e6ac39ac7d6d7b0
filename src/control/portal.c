/* SPDX-License-Identifier: Apache-2.0
 *
 * Answers of the portal. See portal.h; the files are read by portal_files.c.
 */
#include <stdio.h>
#include <string.h>

#include "base/encode.h"
#include "control/portal_internal.h"

#define NONCE_BYTES 18
#define NONCE_TEXT  32
#define NONCE_MARK  "__CSP_NONCE__"
#define PAGE_MAX    (64u * 1024)
#define FOR_EVER    "public, max-age=31536000, immutable"
#define HTML        "text/html; charset=utf-8"
#define PERMISSIONS "camera=(), geolocation=(), microphone=(), payment=(), usb=()"
#define NOT_FOUND   "there is no such file of the portal; reload the page\n"

/* Styles: Fluent makes style elements while it runs; they carry the nonce of the page that the
 * server handed out. Scripts: files of this origin, nothing else. */
#define POLICY_BEGIN                                                                               \
    "default-src 'none'; script-src 'self'; connect-src 'self'; img-src 'self' data:; "            \
    "font-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'self'; "                  \
    "frame-ancestors 'none'; style-src 'self' 'nonce-"

static const struct portal_file *find(const struct pn_portal *portal, struct pn_slice path)
{
    for (size_t i = 0; i < portal->count; i++) {
        if (pn_slice_eq_str(path, portal->files[i].path))
            return &portal->files[i];
    }
    return NULL;
}

/* A coding named with a q of 0 is one that is not wanted (RFC 9110 §12.4.2). */
static bool accepts(const struct pn_request *request, const char *field, const char *wanted)
{
    struct pn_slice rest = pn_headers_get(&request->headers, field);
    struct pn_slice part;

    while (pn_slice_cut(&rest, ',', &part)) {
        struct pn_slice name = pn_slice_sub(part, 0, pn_slice_find(part, ';'));
        struct pn_slice weight = pn_slice_trim(pn_slice_sub(part, name.len + 1, part.len));

        if (!pn_slice_case_eq_str(pn_slice_trim(name), wanted))
            continue;
        return !pn_slice_eq_str(weight, "q=0") && !pn_slice_starts_with(weight, PN_LIT("q=0.0"));
    }
    return false;
}

static enum pn_rc add_common(struct pn_response *response)
{
    static const struct {
        const char *name, *value;
    } fields[] = {
        {"Referrer-Policy", "no-referrer"},
        {"Cross-Origin-Opener-Policy", "same-origin"},
        {"Cross-Origin-Resource-Policy", "same-origin"},
        {"X-Frame-Options", "DENY"},
        {"Permissions-Policy", PERMISSIONS},
    };
    enum pn_rc rc = PN_OK;

    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]) && rc == PN_OK; i++)
        rc = pn_response_header(response, fields[i].name, "%s", fields[i].value);
    return rc;
}

static enum pn_rc answer_file(const struct portal_file *file, const struct pn_request *request,
                              struct pn_response *response)
{
    const struct pn_buf *body = &file->plain;
    const char *coding = NULL;
    char etag[64];
    enum pn_rc rc = add_common(response);

    if (file->brotli.len > 0 && accepts(request, "Accept-Encoding", "br")) {
        body = &file->brotli;
        coding = "br";
    } else if (file->gzip.len > 0 && accepts(request, "Accept-Encoding", "gzip")) {
        body = &file->gzip;
        coding = "gzip";
    }
    snprintf(etag, sizeof(etag), "\"%.24s%s%s\"", file->hash, coding ? "-" : "",
             coding ? coding : "");
    if (rc == PN_OK)
        rc = pn_response_header(response, "Cache-Control", "%s",
                                file->is_hashed ? FOR_EVER : "no-cache");
    if (rc == PN_OK)
        rc = pn_response_header(response, "ETag", "%s", etag);
    if (rc == PN_OK)
        rc = pn_response_header(response, "Vary", "Accept-Encoding");
    if (rc == PN_OK && coding)
        rc = pn_response_header(response, "Content-Encoding", "%s", coding);
    if (rc == PN_OK && pn_slice_eq_str(pn_headers_get(&request->headers, "If-None-Match"), etag)) {
        response->status = 304;
        return PN_OK;
    }
    if (rc != PN_OK)
        return rc;
    return pn_response_body(response, 200, file->type, pn_buf_slice(body));
}

/* The page has the nonce at every place of the mark. */
static enum pn_rc answer_page(const struct portal_file *page, struct pn_response *response)
{
    uint8_t random[NONCE_BYTES];
    struct pn_buf nonce, text;
    struct pn_slice rest = pn_buf_slice(&page->plain);
    enum pn_rc rc = add_common(response);

    pn_random(random, sizeof(random));
    pn_buf_init(&nonce, NONCE_TEXT);
    pn_buf_init(&text, PAGE_MAX);
    if (rc == PN_OK)
        rc = pn_base64url_encode(pn_slice(random, sizeof(random)), &nonce);
    while (rc == PN_OK && rest.len > 0) {
        size_t at = pn_slice_find_slice(rest, PN_LIT(NONCE_MARK));

        rc = pn_buf_append_slice(&text, pn_slice_sub(rest, 0, at));
        if (rc == PN_OK && at < rest.len)
            rc = pn_buf_append_slice(&text, pn_buf_slice(&nonce));
        rest = pn_slice_sub(rest, at + (at < rest.len ? strlen(NONCE_MARK) : 0), rest.len);
    }
    if (rc == PN_OK)
        rc = pn_response_header(response, "Content-Security-Policy", POLICY_BEGIN "%.*s'",
                                PN_FMT(pn_buf_slice(&nonce)));
    if (rc == PN_OK)
        rc = pn_response_header(response, "Cache-Control", "no-store");
    if (rc == PN_OK)
        rc = pn_response_body(response, 200, HTML, pn_buf_slice(&text));
    pn_buf_fini(&nonce);
    pn_buf_fini(&text);
    return rc;
}

static bool is_below(struct pn_slice path, const char *folder)
{
    size_t len = strlen(folder);

    return pn_slice_starts_with(path, pn_slice_str(folder)) &&
           (path.len == len || path.ptr[len] == '/');
}

static bool is_page(struct pn_slice path)
{
    return pn_slice_eq_str(path, "/") || is_below(path, "/portal") || is_below(path, "/signin");
}

bool pn_portal_handle(const struct pn_portal *portal, const struct pn_request *request,
                      struct pn_response *response)
{
    bool is_get =
        pn_slice_eq_str(request->method, "GET") || pn_slice_eq_str(request->method, "HEAD");
    const struct portal_file *file;
    enum pn_rc rc = PN_OK;

    if (!portal || !is_get)
        return false;
    file = find(portal, request->path);
    if (file && !pn_slice_eq_str(request->path, PORTAL_PAGE)) {
        rc = answer_file(file, request, response);
    } else if (is_page(request->path) && accepts(request, "Accept", "text/html")) {
        rc = answer_page(portal->page, response);
    } else if (is_below(request->path, "/assets")) {
        rc = pn_response_body(response, 404, "text/plain; charset=utf-8", PN_LIT(NOT_FOUND));
    } else {
        return false;
    }
    if (rc != PN_OK)
        response->status = 500;
    return true;
}
