/* SPDX-License-Identifier: Apache-2.0
 *
 * See listen_value.h.
 */
#include "supervisor/listen_value.h"

#include <stdio.h>
#include <string.h>

#include "base/cidr.h"

#define MODE_DEFAULT 0660
/* Who a proxy may be where nobody says so: this machine. */
#define TRUSTED_DEFAULT "127.0.0.0/8 ::1/128"

/* Options of the value that is being read. */
struct options {
    bool wants_proxy;
    char trusted[PN_LISTEN_TRUSTED_TEXT];
    bool has_mode;
    unsigned mode;
};

static enum pn_rc add_trusted(struct options *options, struct pn_slice range, struct pn_error *err)
{
    size_t len = strlen(options->trusted);
    struct pn_cidr parsed;
    enum pn_rc rc = pn_cidr_parse(range, &parsed, err);

    if (rc != PN_OK) {
        pn_error_prefix(err, "trusted");
        return rc;
    }
    if (len + range.len + 2 > sizeof(options->trusted))
        return pn_error_set(err, PN_LIMIT, "address", "the list of trusted addresses is too long");
    snprintf(options->trusted + len, sizeof(options->trusted) - len, "%s%.*s", len > 0 ? " " : "",
             PN_FMT(range));
    return PN_OK;
}

static enum pn_rc read_mode(struct options *options, struct pn_slice text, struct pn_error *err)
{
    unsigned mode = 0;

    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] < '0' || text.ptr[i] > '7' || text.len > 4)
            text.len = 0;
        else
            mode = mode * 8 + (unsigned)(text.ptr[i] - '0');
    }
    if (text.len < 3 || mode > 0777)
        return pn_error_set(err, PN_INVALID, "address", "a socket's mode is written like 0660");
    options->has_mode = true;
    options->mode = mode;
    return PN_OK;
}

static enum pn_rc add_address(struct pn_listen_value *value, struct pn_slice text,
                              struct pn_error *err)
{
    struct pn_slice prefix = PN_LIT("unix:");
    struct pn_listen_address *address = &value->addresses[value->count];

    if (value->count == PN_LISTEN_ADDRESSES_MAX)
        return pn_error_set(err, PN_LIMIT, "address", "a listener has at most %d addresses",
                            PN_LISTEN_ADDRESSES_MAX);
    if (text.len >= sizeof(address->text))
        return pn_error_set(err, PN_LIMIT, "address", "'%.60s…': the address is too long",
                            text.ptr);
    *address = (struct pn_listen_address){.is_unix = pn_slice_starts_with(text, prefix)};
    memcpy(address->text, text.ptr, text.len);
    if (address->is_unix && (text.len <= prefix.len || text.ptr[prefix.len] != '/' ||
                             text.len - prefix.len >= PN_LISTEN_PATH_MAX))
        return pn_error_set(err, PN_INVALID, "address",
                            "'%s': a Unix socket is written unix:/PATH, with a path below %d bytes",
                            address->text, PN_LISTEN_PATH_MAX);
    value->count++;
    return PN_OK;
}

static enum pn_rc read_item(struct pn_listen_value *value, struct options *options,
                            struct pn_slice item, struct pn_error *err)
{
    struct pn_slice trusted = PN_LIT("trusted=");
    struct pn_slice mode = PN_LIT("mode=");

    if (pn_slice_eq_str(item, "proxy")) {
        options->wants_proxy = true;
        return PN_OK;
    }
    if (pn_slice_starts_with(item, trusted))
        return add_trusted(options, pn_slice_sub(item, trusted.len, item.len), err);
    if (pn_slice_starts_with(item, mode))
        return read_mode(options, pn_slice_sub(item, mode.len, item.len), err);
    if (pn_slice_find(item, ':') == item.len)
        return pn_error_set(err, PN_INVALID, "address",
                            "'%.*s' is neither an address (HOST:PORT, unix:/PATH, none) nor an "
                            "option (proxy, trusted=RANGE, mode=0660)",
                            PN_FMT(pn_slice_sub(item, 0, 60)));
    return add_address(value, item, err);
}

/* The options hold for the addresses from `first` on. */
static enum pn_rc apply_options(struct pn_listen_value *value, size_t first,
                                const struct options *options, bool for_clients,
                                struct pn_error *err)
{
    bool has_unix = false;

    if (first == value->count)
        return pn_error_set(err, PN_INVALID, "address", "there are options, but no address");
    if (options->trusted[0] && !options->wants_proxy)
        return pn_error_set(err, PN_INVALID, "address",
                            "trusted=… says who may send a PROXY header: it needs 'proxy'");
    for (size_t i = first; i < value->count; i++) {
        struct pn_listen_address *address = &value->addresses[i];

        has_unix = has_unix || address->is_unix;
        address->wants_proxy = options->wants_proxy;
        snprintf(address->trusted, sizeof(address->trusted), "%s",
                 options->trusted[0] ? options->trusted : TRUSTED_DEFAULT);
        address->mode = options->has_mode ? options->mode : MODE_DEFAULT;
    }
    if (options->has_mode && !has_unix)
        return pn_error_set(err, PN_INVALID, "address", "mode=… is for Unix sockets only");
    if (!for_clients && (has_unix || options->wants_proxy))
        return pn_error_set(err, PN_INVALID, "address",
                            "Unix sockets and PROXY headers are for the gateway's listeners only");
    return PN_OK;
}

enum pn_rc pn_listen_value_parse(const char *text, bool for_clients, struct pn_listen_value *value,
                                 struct pn_error *err)
{
    struct pn_slice rest = pn_slice_str(text);
    struct pn_slice one;
    enum pn_rc rc = PN_OK;

    *value = (struct pn_listen_value){.count = 0};
    if (for_clients && strcmp(text, "none") == 0)
        return PN_OK;
    while (rc == PN_OK && pn_slice_cut(&rest, ' ', &one)) {
        struct options options = {.wants_proxy = false};
        size_t first = value->count;
        struct pn_slice item;

        while (rc == PN_OK && pn_slice_cut(&one, ',', &item))
            rc = read_item(value, &options, item, err);
        if (rc == PN_OK)
            rc = apply_options(value, first, &options, for_clients, err);
    }
    if (rc == PN_OK && value->count == 0)
        rc = pn_error_set(err, PN_INVALID, "address", "the address is empty");
    return rc;
}

static bool is_local(const struct pn_listen_address *address)
{
    struct pn_slice text = pn_slice_str(address->text);
    const char *colon = strrchr(address->text, ':');
    struct pn_slice host = pn_slice_sub(text, 0, colon ? (size_t)(colon - address->text) : 0);

    return address->is_unix || pn_slice_case_eq_str(host, "localhost") ||
           pn_slice_eq_str(host, "[::1]") || pn_slice_eq_str(host, "169.254.169.254") ||
           (pn_slice_starts_with(host, PN_LIT("127.")) &&
            strspn(address->text, "0123456789.") == host.len);
}

enum pn_rc pn_listen_value_parse_local(const char *text, struct pn_listen_value *value,
                                       struct pn_error *err)
{
    enum pn_rc rc = pn_listen_value_parse(text, true, value, err);

    for (size_t i = 0; rc == PN_OK && i < value->count; i++) {
        if (value->addresses[i].wants_proxy || !is_local(&value->addresses[i]))
            rc = pn_error_set(err, PN_INVALID, "address",
                              "'%s': only loopback addresses, 169.254.169.254 and Unix sockets, "
                              "without proxy: whoever reaches it gets tokens",
                              value->addresses[i].text);
    }
    return rc;
}
