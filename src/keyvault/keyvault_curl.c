/* SPDX-License-Identifier: Apache-2.0
 *
 * The bytes: libcurl with OpenSSL. Answers hold keys on their way to the keyholder, so whatever
 * libcurl frees is wiped, and OpenSSL cleanses the plaintext it has handed over.
 */
#include <arpa/inet.h>
#include <curl/curl.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "keyvault/keyvault_internal.h"
#include "outbound/call.h"

#define BEARER_PREFIX "Authorization: Bearer "

bool host_is_loopback(const char *host)
{
    size_t len = strlen(host);

    return strcasecmp(host, "localhost") == 0 || strcmp(host, "::1") == 0 ||
           (len > 10 && strcasecmp(host + len - 10, ".localhost") == 0) ||
           strncmp(host, "127.", 4) == 0;
}

static size_t on_body(char *bytes, size_t size, size_t count, void *ctx)
{
    struct exchange *exchange = ctx;

    return pn_buf_append(&exchange->body, bytes, size * count) == PN_OK ? size * count : 0;
}

static size_t on_header(char *bytes, size_t size, size_t count, void *ctx)
{
    struct exchange *exchange = ctx;
    struct pn_slice line = pn_slice_trim(pn_slice(bytes, size * count));
    struct pn_slice value;
    uint64_t seconds;
    size_t colon = pn_slice_find(line, ':');

    value = pn_slice_trim(pn_slice_sub(line, colon + 1, line.len));
    line.len = colon;
    if (pn_slice_case_eq_str(line, "WWW-Authenticate") &&
        pn_slice_case_starts_with(value, PN_LIT("Bearer")))
        snprintf(exchange->challenge, sizeof exchange->challenge, "%.*s", PN_FMT(value));
    else if (pn_slice_case_eq_str(line, "Retry-After") &&
             pn_slice_to_u64(value, UINT32_MAX, &seconds))
        exchange->retry_after_s = seconds < PN_KEYVAULT_RETRY_AFTER_MAX_S
                                      ? (unsigned)seconds
                                      : PN_KEYVAULT_RETRY_AFTER_MAX_S;
    return size * count;
}

static CURLcode on_ssl_ctx(CURL *curl, void *ssl_ctx, void *ctx)
{
    (void)curl;
    (void)ctx;
    SSL_CTX_set_options(ssl_ctx, SSL_OP_CLEANSE_PLAINTEXT);
    /* Besides ca_file: the system's authorities, as the gateway has them. */
    return SSL_CTX_set_default_verify_paths(ssl_ctx) == 1 ? CURLE_OK : CURLE_SSL_CACERT_BADFILE;
}

/* Loopback names need no resolver: "host:port:addresses" for CURLOPT_RESOLVE; NULL: nothing to say.
 */
static struct curl_slist *loopback_entry(const char *url, bool *is_loopback)
{
    char entry[PN_KEYVAULT_HOST_TEXT + 64];
    struct curl_slist *list = NULL;
    CURLU *parts = curl_url();
    char *host = NULL, *port = NULL;
    struct in_addr unused;

    *is_loopback = false;
    if (parts && curl_url_set(parts, CURLUPART_URL, url, 0) == CURLUE_OK &&
        curl_url_get(parts, CURLUPART_HOST, &host, 0) == CURLUE_OK &&
        curl_url_get(parts, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) == CURLUE_OK) {
        *is_loopback = host_is_loopback(host) || strcmp(host, "[::1]") == 0;
        if (*is_loopback && host[0] != '[' && inet_pton(AF_INET, host, &unused) != 1) {
            snprintf(entry, sizeof entry, "%s:%s:127.0.0.1,[::1]", host, port);
            list = curl_slist_append(NULL, entry);
        }
    }
    curl_free(host);
    curl_free(port);
    curl_url_cleanup(parts);
    return list;
}

static struct curl_slist *make_headers(const struct pn_secret *token)
{
    struct curl_slist *list = curl_slist_append(NULL, "Accept: application/json"), *longer = NULL;
    struct pn_buf line;

    if (!list || !token)
        return list;
    pn_buf_init_secret(&line, sizeof BEARER_PREFIX + token->len + 1);
    if (pn_buf_append_str(&line, BEARER_PREFIX) == PN_OK &&
        pn_buf_append_slice(&line, pn_secret_slice(token)) == PN_OK && pn_buf_str(&line))
        longer = curl_slist_append(list, line.ptr);
    pn_buf_fini(&line);
    if (longer)
        return longer;
    curl_slist_free_all(list);
    return NULL;
}

static enum pn_rc tell_failure(CURLcode code, const char *detail, const char *url,
                               struct pn_error *err)
{
    const char *name = "vault_connect";
    enum pn_rc rc = PN_UNAVAILABLE;
    size_t host_len = strcspn(url + 8, "/");

    if (code == CURLE_COULDNT_RESOLVE_HOST)
        name = "vault_dns";
    else if (code == CURLE_SSL_CONNECT_ERROR || code == CURLE_PEER_FAILED_VERIFICATION ||
             code == CURLE_SSL_CACERT_BADFILE || code == CURLE_SSL_CIPHER ||
             code == CURLE_SSL_ISSUER_ERROR)
        name = "vault_tls";
    else if (code == CURLE_OPERATION_TIMEDOUT) {
        name = "vault_timeout";
        rc = PN_TIMEOUT;
    } else if (code == CURLE_WRITE_ERROR) {
        return pn_error_set(err, PN_LIMIT, "vault_content", "%.*s answered more than is allowed",
                            (int)host_len, url + 8);
    } else if (code == CURLE_ABORTED_BY_CALLBACK) {
        return pn_error_set(err, PN_UNAVAILABLE, PN_KEYVAULT_STOPPING,
                            "Postern is stopping: the fetch was given up");
    } else if (code == CURLE_OUT_OF_MEMORY) {
        return PN_NOMEM;
    }
    return pn_error_set(err, rc, name, "%.*s: %s", (int)host_len, url + 8,
                        detail[0] ? detail : curl_easy_strerror(code));
}

/* Asked about once a second while nothing moves; not 0 ends the transfer. */
static int on_progress(void *ctx, curl_off_t down_total, curl_off_t down, curl_off_t up_total,
                       curl_off_t up)
{
    struct pn_keyvault *keyvault = ctx;

    (void)down_total;
    (void)down;
    (void)up_total;
    (void)up;
    return atomic_load_explicit(&keyvault->is_stopping, memory_order_relaxed) ? 1 : 0;
}

/* CURLcode of one option; the macro of curl_easy_setopt checks types. */
#define SET(curl, option, value)                                                                   \
    do {                                                                                           \
        if (code == CURLE_OK)                                                                      \
            code = curl_easy_setopt(curl, option, value);                                          \
    } while (0)

static CURLcode configure(CURL *curl, struct pn_keyvault *keyvault, const char *url,
                          struct exchange *exchange)
{
    CURLcode code = CURLE_OK;

    SET(curl, CURLOPT_URL, url);
    SET(curl, CURLOPT_PROTOCOLS_STR, "https");
    SET(curl, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    SET(curl, CURLOPT_FOLLOWLOCATION, 0L);
    SET(curl, CURLOPT_NOSIGNAL, 1L);
    SET(curl, CURLOPT_SSL_VERIFYPEER, 1L);
    SET(curl, CURLOPT_SSL_VERIFYHOST, 2L);
    SET(curl, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    SET(curl, CURLOPT_SSL_CTX_FUNCTION, on_ssl_ctx);
    SET(curl, CURLOPT_CONNECTTIMEOUT_MS, (long)keyvault->connect_timeout_ms);
    SET(curl, CURLOPT_TIMEOUT_MS, (long)keyvault->timeout_ms);
    SET(curl, CURLOPT_NOPROGRESS, 0L);
    SET(curl, CURLOPT_XFERINFOFUNCTION, on_progress);
    SET(curl, CURLOPT_XFERINFODATA, keyvault);
    SET(curl, CURLOPT_USERAGENT, "postern/" PN_VERSION);
    SET(curl, CURLOPT_WRITEFUNCTION, on_body);
    SET(curl, CURLOPT_WRITEDATA, exchange);
    SET(curl, CURLOPT_HEADERFUNCTION, on_header);
    SET(curl, CURLOPT_HEADERDATA, exchange);
    SET(curl, CURLOPT_CAPATH, NULL);
    SET(curl, CURLOPT_CAINFO, keyvault->ca_file);
    return code;
}

enum pn_rc curl_transport(struct pn_keyvault *keyvault, const char *url,
                          const struct pn_secret *token, struct exchange *exchange,
                          struct pn_error *err)
{
    char detail[CURL_ERROR_SIZE] = "";
    bool is_loopback = false;
    struct curl_slist *resolve = loopback_entry(url, &is_loopback);
    struct curl_slist *headers = make_headers(token);
    CURL *curl = curl_easy_init();
    CURLcode code = curl && headers ? CURLE_OK : CURLE_OUT_OF_MEMORY;
    struct pn_outbound_call outbound = {0};
    long status = 0;

    if (code == CURLE_OK)
        code = configure(curl, keyvault, url, exchange);
    SET(curl, CURLOPT_ERRORBUFFER, detail);
    SET(curl, CURLOPT_HTTPHEADER, headers);
    if (resolve)
        SET(curl, CURLOPT_RESOLVE, resolve);
    if (is_loopback) /* a proxy of the environment is for the world outside */
        SET(curl, CURLOPT_PROXY, "");
    if (code == CURLE_OK)
        code = pn_outbound_call_begin(&outbound, keyvault->outbound, curl, url, PN_TAG_KEY_VAULT);
    if (code == CURLE_OK)
        code = curl_easy_perform(curl);
    if (code == CURLE_OK)
        code = curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
    exchange->status = (int)status;
    curl_easy_cleanup(curl);
    curl_slist_free_all(headers);
    curl_slist_free_all(resolve);
    pn_outbound_call_end(&outbound);
    if (code == CURLE_COULDNT_CONNECT && outbound.denied.rc == PN_DENIED) {
        if (err) {
            *err = outbound.denied;
            pn_error_prefix(err, "%.*s", (int)strcspn(url + 8, "/"), url + 8);
        }
        return PN_DENIED;
    }
    return code == CURLE_OK ? PN_OK : tell_failure(code, detail, url, err);
}
