/* SPDX-License-Identifier: Apache-2.0
 *
 * Secrets of a vault: identifiers, values, versions.
 */
#include "keyvault/keyvault.h"

#include <curl/curl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "fetch/fetch.h"
#include "keyvault/keyvault_internal.h"

#define PAGE_RESULTS 25

/* ---- identifiers ---- */

static void lower_copy(char *out, size_t size, const char *text)
{
    size_t i;

    for (i = 0; text[i] && i + 1 < size; i++)
        out[i] = text[i] >= 'A' && text[i] <= 'Z' ? (char)(text[i] + 32) : text[i];
    out[i] = '\0';
}

static bool is_name(struct pn_slice text, size_t max)
{
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];

        if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
              c == '-'))
            return false;
    }
    return text.len > 0 && text.len < max;
}

static enum pn_rc read_path(const char *path, struct pn_keyvault_id *id, struct pn_error *err)
{
    struct pn_slice rest = pn_slice_str(path), part, parts[4];
    size_t count = 0;

    while (count < 4 && pn_slice_cut(&rest, '/', &part)) {
        if (part.len > 0)
            parts[count++] = part;
    }
    if (count > 0 &&
        (pn_slice_case_eq_str(parts[0], "certificates") || pn_slice_case_eq_str(parts[0], "keys")))
        return pn_error_set(err, PN_INVALID, "not_a_secret_identifier",
                            "Only identifiers of secrets are accepted. The secret of a certificate "
                            "has the certificate's name: use %s/secrets/%.*s",
                            id->origin,
                            count > 1 ? (int)(parts[1].len < 127 ? parts[1].len : 127) : 6,
                            count > 1 ? parts[1].ptr : "{name}");
    if (count < 2 || count > 3 || !pn_slice_case_eq_str(parts[0], "secrets") ||
        !is_name(parts[1], sizeof id->name) ||
        (count == 3 && !is_name(parts[2], sizeof id->version)))
        return pn_error_set(err, PN_MALFORMED, "malformed_identifier",
                            "A secret identifier has the form "
                            "https://{vault}/secrets/{name}[/{version}]");
    snprintf(id->name, sizeof id->name, "%.*s", PN_FMT(parts[1]));
    if (count == 3)
        snprintf(id->version, sizeof id->version, "%.*s", PN_FMT(parts[2]));
    return PN_OK;
}

static enum pn_rc read_origin(CURLU *parts, struct pn_keyvault_id *id, struct pn_error *err)
{
    char *scheme = NULL, *host = NULL, *port = NULL, *extra = NULL;
    size_t len;
    enum pn_rc rc = PN_OK;

    if (curl_url_get(parts, CURLUPART_SCHEME, &scheme, 0) != CURLUE_OK ||
        strcmp(scheme, "https") != 0 ||
        curl_url_get(parts, CURLUPART_HOST, &host, 0) != CURLUE_OK ||
        strlen(host) >= sizeof id->host ||
        curl_url_get(parts, CURLUPART_USER, &extra, 0) == CURLUE_OK ||
        curl_url_get(parts, CURLUPART_QUERY, &extra, 0) == CURLUE_OK ||
        curl_url_get(parts, CURLUPART_FRAGMENT, &extra, 0) == CURLUE_OK) {
        rc = pn_error_set(err, PN_MALFORMED, "malformed_identifier",
                          "A secret identifier is an https URL without user, query and fragment");
        goto out;
    }
    lower_copy(id->host, sizeof id->host, host);
    if (curl_url_get(parts, CURLUPART_PORT, &port, CURLU_NO_DEFAULT_PORT) == CURLUE_OK)
        snprintf(id->origin, sizeof id->origin, "https://%s:%s", id->host, port);
    else
        snprintf(id->origin, sizeof id->origin, "https://%s", id->host);
    len = strlen(id->host);
    if (id->host[0] == '[' && id->host[len - 1] == ']') {
        memmove(id->host, id->host + 1, len - 2);
        id->host[len - 2] = '\0';
    }
out:
    curl_free(scheme);
    curl_free(host);
    curl_free(port);
    curl_free(extra);
    return rc;
}

enum pn_rc pn_keyvault_id_parse(struct pn_slice text, struct pn_keyvault_id *id,
                                struct pn_error *err)
{
    char url[URL_TEXT];
    CURLU *parts = NULL;
    char *path = NULL;
    enum pn_rc rc;

    memset(id, 0, sizeof *id);
    if (text.len == 0 || text.len >= sizeof url || memchr(text.ptr, '\0', text.len))
        return pn_error_set(err, PN_MALFORMED, "malformed_identifier",
                            "A secret identifier has 1 to %zu characters", sizeof url - 1);
    snprintf(url, sizeof url, "%.*s", PN_FMT(text));
    parts = curl_url();
    if (!parts)
        return PN_NOMEM;
    if (curl_url_set(parts, CURLUPART_URL, url, CURLU_NON_SUPPORT_SCHEME) != CURLUE_OK)
        rc = pn_error_set(err, PN_MALFORMED, "malformed_identifier",
                          "A secret identifier is an https URL");
    else
        rc = read_origin(parts, id, err);
    if (rc == PN_OK && curl_url_get(parts, CURLUPART_PATH, &path, 0) != CURLUE_OK)
        rc = PN_NOMEM;
    if (rc == PN_OK)
        rc = read_path(path, id, err);
    curl_free(path);
    curl_url_cleanup(parts);
    return rc;
}

/* ---- life ---- */

enum pn_rc pn_keyvault_create(const struct pn_keyvault_options *options,
                              struct pn_keyvault **keyvault, struct pn_error *err)
{
    struct pn_keyvault *made;
    enum pn_rc rc = pn_fetch_setup(err);

    if (rc != PN_OK)
        return rc;
    made = calloc(1, sizeof *made);
    if (!made)
        return PN_NOMEM;
    made->tokens = options->tokens;
    made->connect_timeout_ms =
        options->connect_timeout_ms ? options->connect_timeout_ms : PN_KEYVAULT_CONNECT_TIMEOUT_MS;
    made->timeout_ms = options->timeout_ms ? options->timeout_ms : PN_KEYVAULT_TIMEOUT_MS;
    made->response_bytes_max =
        options->response_bytes_max ? options->response_bytes_max : PN_KEYVAULT_RESPONSE_BYTES_MAX;
    made->outbound = options->outbound;
    made->transport = fetch_transport;
    pthread_mutex_init(&made->lock, NULL);
    if (options->ca_file) {
        made->ca_file = strdup(options->ca_file);
        if (!made->ca_file) {
            pn_keyvault_destroy(made);
            return PN_NOMEM;
        }
    }
    *keyvault = made;
    return PN_OK;
}

void pn_keyvault_stop(struct pn_keyvault *keyvault)
{
    if (keyvault)
        atomic_store_explicit(&keyvault->is_stopping, true, memory_order_relaxed);
}

void pn_keyvault_destroy(struct pn_keyvault *keyvault)
{
    if (!keyvault)
        return;
    pthread_mutex_destroy(&keyvault->lock);
    free(keyvault->ca_file);
    free(keyvault);
}

void pn_keyvault_secret_fini(struct pn_keyvault_secret *secret)
{
    pn_buf_fini(&secret->value);
}

/* ---- secrets ---- */

static enum pn_rc content_error(const struct pn_keyvault_id *id, const char *what,
                                struct pn_error *err)
{
    return pn_error_set(err, PN_MALFORMED, "vault_content",
                        "the answer of the vault %s for the secret %s %s", id->origin, id->name,
                        what);
}

/* The version at the end of an "…/secrets/{name}/{version}" id. */
static bool version_of(const char *url, const char *name, char version[PN_KEYVAULT_VERSION_TEXT])
{
    struct pn_keyvault_id id;

    if (!url || pn_keyvault_id_parse(pn_slice_str(url), &id, NULL) != PN_OK || !id.version[0] ||
        !pn_slice_case_eq_str(pn_slice_str(id.name), name))
        return false;
    snprintf(version, PN_KEYVAULT_VERSION_TEXT, "%s", id.version);
    return true;
}

static enum pn_rc read_secret(const struct exchange *exchange, const struct pn_keyvault_id *id,
                              struct pn_keyvault_secret *secret, struct pn_error *err)
{
    json_t *json = NULL;
    struct pn_slice value;
    const char *type;
    enum pn_rc rc = pn_json_parse(pn_buf_slice(&exchange->body), &json, NULL);

    if (rc == PN_NOMEM)
        return rc;
    value = pn_json_slice(json, "value");
    type = pn_json_str(json, "contentType");
    if (rc != PN_OK || !value.ptr)
        rc = content_error(id, "is not a secret", err);
    else if (!version_of(pn_json_str(json, "id"), id->name, secret->version))
        rc = content_error(id, "has no id with a version", err);
    else if (type && strlen(type) >= sizeof secret->content_type)
        rc = content_error(id, "has a content type that is too long", err);
    else
        rc = pn_buf_append_slice(&secret->value, value);
    if (rc == PN_OK)
        snprintf(secret->content_type, sizeof secret->content_type, "%s", type ? type : "");
    json_decref(json);
    return rc;
}

enum pn_rc pn_keyvault_get_secret(struct pn_keyvault *keyvault,
                                  const struct pn_identity_ref *identity,
                                  const struct pn_keyvault_id *id,
                                  struct pn_keyvault_secret *secret, unsigned *retry_after_s,
                                  struct pn_error *err)
{
    struct exchange exchange;
    char url[URL_TEXT];
    enum pn_rc rc;

    memset(secret, 0, sizeof *secret);
    pn_buf_init_secret(&secret->value, keyvault->response_bytes_max);
    exchange_init(keyvault, &exchange);
    snprintf(url, sizeof url, "%s/secrets/%s/%s?api-version=" API_VERSION, id->origin, id->name,
             id->version);
    rc = keyvault_get(keyvault, identity, id, url, &exchange, err);
    if (rc == PN_OK)
        rc = read_secret(&exchange, id, secret, err);
    if (retry_after_s)
        *retry_after_s = exchange.retry_after_s;
    if (rc != PN_OK)
        pn_keyvault_secret_fini(secret);
    exchange_fini(&exchange);
    return rc;
}

/* ---- versions ---- */

struct newest {
    int64_t created_s;
    bool is_tie;
    char version[PN_KEYVAULT_VERSION_TEXT];
};

static void look_at(const json_t *item, const char *name, struct newest *newest)
{
    int64_t created_s = pn_json_int(json_object_get(item, "attributes"), "created", -1);
    char version[PN_KEYVAULT_VERSION_TEXT];

    if (created_s < newest->created_s || !version_of(pn_json_str(item, "id"), name, version))
        return;
    newest->is_tie = created_s == newest->created_s;
    newest->created_s = created_s;
    snprintf(newest->version, sizeof newest->version, "%s", version);
}

/* Reads one page; `url` becomes the next one's, or "". */
static enum pn_rc read_page(const struct exchange *exchange, const struct pn_keyvault_id *id,
                            struct newest *newest, char url[URL_TEXT], struct pn_error *err)
{
    size_t origin_len = strlen(id->origin), index;
    json_t *json = NULL, *item;
    const char *next;
    enum pn_rc rc = pn_json_parse(pn_buf_slice(&exchange->body), &json, NULL);

    if (rc == PN_NOMEM)
        return rc;
    if (rc != PN_OK || !json_is_array(json_object_get(json, "value"))) {
        json_decref(json);
        return content_error(id, "is not a list of versions", err);
    }
    json_array_foreach(json_object_get(json, "value"), index, item)
    {
        look_at(item, id->name, newest);
    }
    next = pn_json_str(json, "nextLink");
    url[0] = '\0';
    rc = PN_OK;
    /* The token goes to this vault only, whatever the link says. */
    if (next && next[0]) {
        if (strncmp(next, id->origin, origin_len) != 0 || next[origin_len] != '/' ||
            strlen(next) >= URL_TEXT)
            rc = content_error(id, "has a link to another server", err);
        else
            memcpy(url, next, strlen(next) + 1);
    }
    json_decref(json);
    return rc;
}

enum pn_rc pn_keyvault_newest_version(struct pn_keyvault *keyvault,
                                      const struct pn_identity_ref *identity,
                                      const struct pn_keyvault_id *id,
                                      char version[PN_KEYVAULT_VERSION_TEXT],
                                      unsigned *retry_after_s, struct pn_error *err)
{
    struct newest newest = {.created_s = -1};
    struct exchange exchange;
    char url[URL_TEXT];
    enum pn_rc rc = PN_OK;

    if (retry_after_s)
        *retry_after_s = 0;
    snprintf(url, sizeof url, "%s/secrets/%s/versions?api-version=" API_VERSION "&maxresults=%d",
             id->origin, id->name, PAGE_RESULTS);
    for (int page = 0; rc == PN_OK && url[0] && page < PN_KEYVAULT_PAGES_MAX; page++) {
        exchange_init(keyvault, &exchange);
        rc = keyvault_get(keyvault, identity, id, url, &exchange, err);
        if (retry_after_s)
            *retry_after_s = exchange.retry_after_s;
        if (rc == PN_OK)
            rc = read_page(&exchange, id, &newest, url, err);
        else if (rc == PN_DENIED && exchange.status == 403)
            rc = PN_AGAIN; /* not allowed to list: get may still be */
        exchange_fini(&exchange);
    }
    if (rc != PN_OK)
        return rc;
    if (url[0] || newest.is_tie || !newest.version[0])
        return PN_AGAIN;
    memcpy(version, newest.version, sizeof newest.version);
    return PN_OK;
}
