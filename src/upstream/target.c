/* SPDX-License-Identifier: Apache-2.0
 *
 * Base URLs of backends.
 */
#include <string.h>

#include "http/uri.h"
#include "upstream/target.h"

enum pn_rc pn_target_parse(struct pn_slice url, struct pn_target *target, struct pn_error *err)
{
    struct pn_uri uri;
    enum pn_rc rc = pn_uri_parse(url, &uri, err);

    if (rc != PN_OK)
        return rc;
    memset(target, 0, sizeof(*target));
    if (pn_slice_case_eq_str(uri.scheme, "https") || pn_slice_case_eq_str(uri.scheme, "wss"))
        target->is_tls = true;
    else if (!pn_slice_case_eq_str(uri.scheme, "http") && !pn_slice_case_eq_str(uri.scheme, "ws"))
        return pn_error_set(err, PN_INVALID, "unsupported_scheme",
                            "the backend's URL must start with http://, https://, ws:// or wss://");
    if (uri.host.len == 0 || uri.host.len > PN_TARGET_HOST_MAX)
        return pn_error_set(err, PN_INVALID, "invalid_host",
                            "the backend's URL has no usable host");
    target->is_ipv6 = uri.is_ipv6;
    target->host = uri.host;
    target->port = uri.port;
    target->authority = uri.authority;
    target->path = uri.path;
    target->query = uri.query;
    return PN_OK;
}

enum pn_rc pn_target_request(const struct pn_target *target, struct pn_slice path,
                             struct pn_slice query, struct pn_arena *arena, struct pn_slice *out)
{
    struct pn_slice joined_path = path;
    struct pn_slice joined_query = query;
    enum pn_rc rc = PN_OK;
    char *text;

    if (target->path.len > 0 && !pn_slice_eq_str(target->path, "/"))
        rc = pn_path_join(target->path, path, arena, &joined_path);
    if (rc == PN_OK && target->query.len > 0)
        rc = pn_query_join(target->query, query, arena, &joined_query);
    if (rc != PN_OK)
        return rc;
    if (joined_path.len == 0)
        joined_path = PN_LIT("/");
    if (joined_query.len == 0) {
        *out = joined_path;
        return PN_OK;
    }
    text = pn_arena_alloc(arena, joined_path.len + 1 + joined_query.len);
    if (!text)
        return PN_NOMEM;
    memcpy(text, joined_path.ptr, joined_path.len);
    text[joined_path.len] = '?';
    memcpy(text + joined_path.len + 1, joined_query.ptr, joined_query.len);
    *out = pn_slice(text, joined_path.len + 1 + joined_query.len);
    return PN_OK;
}
