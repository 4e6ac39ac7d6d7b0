/* SPDX-License-Identifier: Apache-2.0
 *
 * The vault's challenge: `Bearer authorization="https://…", resource="https://…"` (RFC 9110
 * §11.6.1), and whether that vault may ask for a token for that resource.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <curl/curl.h>

#include "keyvault/keyvault_internal.h"
#include "network/address.h"

#define DEFAULT_SUFFIX "/.default"

/* Cuts `key="value"` or `key=value` off the front; false at the end. */
static bool next_parameter(struct pn_slice *rest, struct pn_slice *key, struct pn_slice *value)
{
    size_t equals, end;

    while (rest->len > 0 && (rest->ptr[0] == ' ' || rest->ptr[0] == ',' || rest->ptr[0] == '\t'))
        *rest = pn_slice_sub(*rest, 1, rest->len);
    equals = pn_slice_find(*rest, '=');
    if (equals == rest->len)
        return false;
    *key = pn_slice_trim(pn_slice_sub(*rest, 0, equals));
    *rest = pn_slice_sub(*rest, equals + 1, rest->len);
    if (rest->len > 0 && rest->ptr[0] == '"') {
        *rest = pn_slice_sub(*rest, 1, rest->len);
        end = pn_slice_find(*rest, '"');
        *value = pn_slice_sub(*rest, 0, end);
    } else {
        end = pn_slice_find(*rest, ',');
        *value = pn_slice_trim(pn_slice_sub(*rest, 0, end));
    }
    *rest = pn_slice_sub(*rest, end + 1, rest->len);
    return true;
}

static bool keep_text(char out[CHALLENGE_TEXT], struct pn_slice value)
{
    if (value.len >= CHALLENGE_TEXT)
        return false;
    for (size_t i = 0; i < value.len; i++) {
        if (value.ptr[i] <= ' ' || value.ptr[i] > '~')
            return false;
    }
    snprintf(out, CHALLENGE_TEXT, "%.*s", PN_FMT(value));
    return true;
}

enum pn_rc challenge_parse(const char *text, struct challenge *challenge, struct pn_error *err)
{
    struct pn_slice rest = pn_slice_trim(pn_slice_str(text)), key, value;
    bool good = pn_slice_case_starts_with(rest, PN_LIT("Bearer "));

    challenge->resource[0] = '\0';
    challenge->authority[0] = '\0';
    rest = pn_slice_sub(rest, 7, rest.len);
    while (good && next_parameter(&rest, &key, &value)) {
        if (pn_slice_case_eq_str(key, "authorization") ||
            pn_slice_case_eq_str(key, "authorization_uri"))
            good = keep_text(challenge->authority, value);
        else if (pn_slice_case_eq_str(key, "resource"))
            good = keep_text(challenge->resource, value);
        else if (pn_slice_case_eq_str(key, "scope") && !challenge->resource[0] &&
                 pn_slice_ends_with(value, PN_LIT(DEFAULT_SUFFIX)))
            good = keep_text(challenge->resource,
                             pn_slice_sub(value, 0, value.len - strlen(DEFAULT_SUFFIX)));
    }
    if (good && challenge->resource[0])
        return PN_OK;
    return pn_error_set(err, PN_MALFORMED, "vault_challenge",
                        "the vault's answer has no challenge (WWW-Authenticate: Bearer with a "
                        "resource)");
}

struct address {
    char host[PN_KEYVAULT_HOST_TEXT];
    unsigned port;
};

static bool read_address(const char *url, struct address *address)
{
    CURLU *parts = curl_url();
    char *scheme = NULL, *host = NULL, *port = NULL;
    bool good = parts && curl_url_set(parts, CURLUPART_URL, url, 0) == CURLUE_OK &&
                curl_url_get(parts, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK &&
                curl_url_get(parts, CURLUPART_HOST, &host, 0) == CURLUE_OK &&
                curl_url_get(parts, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) == CURLUE_OK &&
                strcasecmp(scheme, "https") == 0 && strlen(host) < sizeof address->host;

    if (good) {
        snprintf(address->host, sizeof address->host, "%s", host);
        address->port = (unsigned)strtoul(port, NULL, 10);
    }
    curl_free(scheme);
    curl_free(host);
    curl_free(port);
    curl_url_cleanup(parts);
    return good;
}

enum pn_rc challenge_check(const struct challenge *challenge, const struct pn_keyvault_id *id,
                           struct pn_error *err)
{
    struct address resource, vault;
    size_t host_len, resource_len;
    bool covers = false;

    if (read_address(challenge->resource, &resource) && read_address(id->origin, &vault)) {
        host_len = strlen(vault.host);
        resource_len = strlen(resource.host);
        covers = host_len > resource_len + 1 && resource_len > 0 &&
                 strcasecmp(vault.host + host_len - resource_len, resource.host) == 0 &&
                 vault.host[host_len - resource_len - 1] == '.' && vault.port == resource.port;
        /* The bare loopback names are one vault of the embedded server, on the same port. */
        if (!covers && pn_host_is_loopback(id->host) && !strstr(id->host, ".localhost") &&
            pn_host_is_loopback(resource.host))
            covers = vault.port == resource.port;
    }
    if (covers)
        return PN_OK;
    return pn_error_set(err, PN_DENIED, "vault_challenge",
                        "the vault %s asks for a token for '%s', which is not its own domain: no "
                        "token was sent",
                        id->origin, challenge->resource);
}
