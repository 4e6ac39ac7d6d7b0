/* SPDX-License-Identifier: Apache-2.0
 *
 * Fuzzes URIs, paths and queries. Checked: a normalised path stays as it is when normalised again,
 * has no dot segments and no backslash; a removed parameter is gone; a set one is found once.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "http/uri.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds)
{
    if (!holds)
        abort();
}

static void try_path(struct pn_slice text, struct pn_arena *arena)
{
    struct pn_slice out;
    struct pn_slice again;
    struct pn_slice rest;
    struct pn_slice segment;

    if (pn_path_normalise(text, arena, &out) != PN_OK)
        return;
    must(out.len > 0 && out.ptr[0] == '/');
    must(pn_slice_find(out, '\\') == out.len);
    must(pn_path_normalise(out, arena, &again) == PN_OK && pn_slice_eq(out, again));
    rest = out;
    while (pn_slice_cut(&rest, '/', &segment))
        must(!pn_slice_eq_str(segment, ".") && !pn_slice_eq_str(segment, ".."));
    for (unsigned reading = 0; reading <= 63; reading++) {
        must(pn_path_read_as(out, reading, arena, &again) == PN_OK);
        must(pn_slice_eq(out, again) || (reading & pn_path_readings(out)) != 0);
        must(!pn_path_has_dots(again));
    }
    must(pn_path_join(PN_LIT("/base/"), out, arena, &again) == PN_OK);
    must(pn_slice_starts_with(again, PN_LIT("/base")));
}

static void try_query(struct pn_slice name, struct pn_slice query, struct pn_arena *arena)
{
    struct pn_slice out;
    struct pn_slice value;
    struct pn_slice decoded;

    must(pn_query_remove(query, name, arena, &out) == PN_OK);
    must(!pn_query_find(out, name, false, NULL));
    must(pn_query_set(query, name, PN_LIT("v&=%"), arena, &out) == PN_OK);
    if (name.len > 0) {
        must(pn_query_find(out, name, false, &value));
        must(pn_uri_decode(value, true, arena, &decoded) == PN_OK);
        must(pn_slice_eq_str(decoded, "v&=%"));
    }
    must(pn_query_remove(out, name, arena, &out) == PN_OK);
    must(!pn_query_find(out, name, false, NULL));
    must(pn_uri_encode(query, arena, &out) == PN_OK);
    must(pn_uri_decode(out, true, arena, &decoded) == PN_OK && pn_slice_eq(decoded, query));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct pn_arena *arena = pn_arena_create(4096, 1u << 24);
    struct pn_slice text;
    struct pn_uri uri;
    struct pn_slice host;
    uint16_t port = 0;
    struct pn_error err;
    size_t name_len = 0;

    must(arena != NULL);
    text = pn_slice(data, size);
    if (pn_uri_parse(text, &uri, &err) == PN_OK) {
        must(uri.host.len > 0 && pn_host_name_is_valid(uri.host));
        must(!uri.has_port || uri.port > 0);
        must(pn_uri_parse_host(uri.authority, &host, &port, NULL) == PN_OK);
    }
    if (pn_uri_parse_host(text, &host, &port, NULL) == PN_OK)
        must(pn_host_name_is_valid(host));
    try_path(text, arena);
    if (size > 0) {
        name_len = data[0] % 8;
        if (name_len > size - 1)
            name_len = size - 1;
        try_query(pn_slice(data + 1, name_len), pn_slice(data + 1 + name_len, size - 1 - name_len),
                  arena);
    }
    pn_arena_destroy(arena);
    return 0;
}
