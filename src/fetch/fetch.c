/* SPDX-License-Identifier: Apache-2.0
 *
 * Small documents by libcurl with OpenSSL. See fetch.h.
 */
#include "fetch/fetch.h"

#include <curl/curl.h>
#include <malloc.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/secret.h"
#include "network/address.h"
#include "outbound/call.h"

#define HOST_TEXT     256
#define MAX_AGE_MAX_S (7 * 86400)

static void wiping_free(void *ptr)
{
    if (ptr)
        pn_wipe(ptr, malloc_usable_size(ptr));
    free(ptr);
}

static void *wiping_realloc(void *ptr, size_t len)
{
    size_t former = ptr ? malloc_usable_size(ptr) : 0;
    void *made = malloc(len);

    if (!made)
        return NULL;
    if (ptr)
        memcpy(made, ptr, former < len ? former : len);
    wiping_free(ptr);
    return made;
}

static pthread_once_t setup_once = PTHREAD_ONCE_INIT;
static CURLcode setup_result;

static void setup(void)
{
    setup_result = curl_global_init_mem(CURL_GLOBAL_DEFAULT, malloc, wiping_free, wiping_realloc,
                                        strdup, calloc);
}

enum pn_rc pn_fetch_setup(struct pn_error *err)
{
    pthread_once(&setup_once, setup);
    if (setup_result == CURLE_OK)
        return PN_OK;
    return pn_error_set(err, PN_INTERNAL, "fetch", "libcurl cannot start: %s",
                        curl_easy_strerror(setup_result));
}

/* ---- the URL ---- */

struct place {
    char host[HOST_TEXT];         /* with port, for messages */
    char resolve[HOST_TEXT + 64]; /* for CURLOPT_RESOLVE; "": ask the resolver */
    bool is_loopback, is_https;
};

static enum pn_rc read_url(const struct pn_fetch_request *request, struct place *place,
                           struct pn_error *err)
{
    CURLU *parts = curl_url();
    char *scheme = NULL, *host = NULL, *port = NULL, *user = NULL;
    bool good = parts && strlen(request->url) <= PN_FETCH_URL_MAX &&
                curl_url_set(parts, CURLUPART_URL, request->url, 0) == CURLUE_OK &&
                curl_url_get(parts, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK &&
                curl_url_get(parts, CURLUPART_HOST, &host, 0) == CURLUE_OK &&
                curl_url_get(parts, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) == CURLUE_OK &&
                curl_url_get(parts, CURLUPART_USER, &user, 0) != CURLUE_OK &&
                strlen(host) + strlen(port) + 2 <= HOST_TEXT;
    struct pn_address unused;

    *place = (struct place){.is_https = false};
    if (good) {
        place->is_https = strcmp(scheme, "https") == 0;
        snprintf(place->host, sizeof place->host, "%s:%s", host, port);
        place->is_loopback = pn_host_is_loopback(host);
        /* RFC 6761 §6.3: no resolver is asked for a name. */
        if (place->is_loopback && !pn_address_parse(pn_slice_str(host), &unused))
            snprintf(place->resolve, sizeof place->resolve, "%s:%s:127.0.0.1,[::1]", host, port);
        good = place->is_https || (request->is_local && strcmp(scheme, "http") == 0);
    }
    curl_free(scheme);
    curl_free(host);
    curl_free(port);
    curl_free(user);
    curl_url_cleanup(parts);
    return good ? PN_OK
                : pn_error_set(err, PN_INVALID, "fetch_url", "an %s URL is wanted, without user",
                               request->is_local ? "http or https" : "https");
}

/* ---- callbacks ---- */

struct transfer {
    const struct pn_fetch_request *request;
    struct pn_fetch_answer *answer;
};

static size_t on_body(char *bytes, size_t size, size_t count, void *ctx)
{
    struct pn_fetch_answer *answer = ((struct transfer *)ctx)->answer;

    return pn_buf_append(&answer->body, bytes, size * count) == PN_OK ? size * count : 0;
}

/* max-age of a Cache-Control value (RFC 9111 §5.2.2.1); no-store and no-cache are 0. */
static void read_cache_control(struct pn_slice value, struct pn_fetch_answer *answer)
{
    struct pn_slice part;
    uint64_t seconds;

    while (pn_slice_cut(&value, ',', &part)) {
        part = pn_slice_trim(part);
        if (pn_slice_case_eq_str(part, "no-store") || pn_slice_case_eq_str(part, "no-cache"))
            answer->max_age_s = 0;
        else if (pn_slice_case_starts_with(part, PN_LIT("max-age=")) && answer->max_age_s != 0 &&
                 pn_slice_to_u64(pn_slice_sub(part, 8, part.len), UINT32_MAX, &seconds))
            answer->max_age_s = (int64_t)(seconds < MAX_AGE_MAX_S ? seconds : MAX_AGE_MAX_S);
    }
}

static bool is_kept(const struct pn_fetch_request *request, struct pn_slice name,
                    struct pn_slice value)
{
    return request->kept_header && pn_slice_case_eq_str(name, request->kept_header) &&
           (!request->kept_prefix ||
            pn_slice_case_starts_with(value, pn_slice_str(request->kept_prefix)));
}

static size_t on_header(char *bytes, size_t size, size_t count, void *ctx)
{
    const struct transfer *transfer = ctx;
    struct pn_fetch_answer *answer = transfer->answer;
    struct pn_slice line = pn_slice_trim(pn_slice(bytes, size * count));
    size_t colon = pn_slice_find(line, ':');
    struct pn_slice value = pn_slice_trim(pn_slice_sub(line, colon + 1, line.len));
    uint64_t seconds;

    line.len = colon;
    if (is_kept(transfer->request, line, value))
        (void)snprintf(answer->kept, sizeof answer->kept, "%.*s", PN_FMT(value));
    if (pn_slice_case_eq_str(line, "Cache-Control"))
        read_cache_control(value, answer);
    else if (pn_slice_case_eq_str(line, "Retry-After") &&
             pn_slice_to_u64(value, UINT32_MAX, &seconds))
        answer->retry_after_s =
            seconds < PN_FETCH_RETRY_AFTER_MAX_S ? (unsigned)seconds : PN_FETCH_RETRY_AFTER_MAX_S;
    return size * count;
}

/* Asked about once a second while nothing moves; not 0 ends the transfer. */
static int on_progress(void *ctx, curl_off_t down_total, curl_off_t down, curl_off_t up_total,
                       curl_off_t up)
{
    const struct transfer *transfer = ctx;

    (void)down_total, (void)down, (void)up_total, (void)up;
    return atomic_load_explicit(transfer->request->is_stopping, memory_order_relaxed) ? 1 : 0;
}

/* Besides ca_file: the system's authorities, as the gateway has them. */
static CURLcode on_ssl_ctx(CURL *curl, void *ssl_ctx, void *ctx)
{
    (void)curl;
    (void)ctx;
    SSL_CTX_set_options(ssl_ctx, SSL_OP_CLEANSE_PLAINTEXT);
    return SSL_CTX_set_default_verify_paths(ssl_ctx) == 1 ? CURLE_OK : CURLE_SSL_CACERT_BADFILE;
}

/* ---- the exchange ---- */

#define SET(curl, option, value)                                                                   \
    do {                                                                                           \
        if (code == CURLE_OK)                                                                      \
            code = curl_easy_setopt(curl, option, value);                                          \
    } while (0)

static CURLcode configure(CURL *curl, const struct place *place, struct transfer *transfer)
{
    const struct pn_fetch_request *request = transfer->request;
    CURLcode code = CURLE_OK;

    SET(curl, CURLOPT_URL, request->url);
    SET(curl, CURLOPT_PROTOCOLS_STR, place->is_https ? "https" : "http");
    SET(curl, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    SET(curl, CURLOPT_FOLLOWLOCATION, 0L);
    SET(curl, CURLOPT_NOSIGNAL, 1L);
    SET(curl, CURLOPT_SSL_VERIFYPEER, 1L);
    SET(curl, CURLOPT_SSL_VERIFYHOST, 2L);
    SET(curl, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    SET(curl, CURLOPT_CAINFO, request->ca_file);
    SET(curl, CURLOPT_CAPATH, NULL);
    SET(curl, CURLOPT_SSL_CTX_FUNCTION, on_ssl_ctx);
    SET(curl, CURLOPT_CONNECTTIMEOUT_MS,
        (long)(request->connect_timeout_ms ? request->connect_timeout_ms
                                           : PN_FETCH_CONNECT_TIMEOUT_MS));
    SET(curl, CURLOPT_TIMEOUT_MS,
        (long)(request->timeout_ms ? request->timeout_ms : PN_FETCH_TIMEOUT_MS));
    SET(curl, CURLOPT_USERAGENT, "postern/" PN_VERSION);
    SET(curl, CURLOPT_WRITEFUNCTION, on_body);
    SET(curl, CURLOPT_WRITEDATA, transfer);
    SET(curl, CURLOPT_HEADERFUNCTION, on_header);
    SET(curl, CURLOPT_HEADERDATA, transfer);
    if (request->is_stopping) {
        SET(curl, CURLOPT_NOPROGRESS, 0L);
        SET(curl, CURLOPT_XFERINFOFUNCTION, on_progress);
        SET(curl, CURLOPT_XFERINFODATA, transfer);
    }
    if (place->is_loopback || request->is_local) /* a proxy is for the world outside */
        SET(curl, CURLOPT_PROXY, "");
    if (request->form.ptr) {
        SET(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->form.len);
        SET(curl, CURLOPT_POSTFIELDS, request->form.ptr);
    }
    return code;
}

static enum pn_rc tell_failure(CURLcode code, const char *detail, const struct place *place,
                               struct pn_error *err)
{
    const char *name = "fetch_connect";
    enum pn_rc rc = PN_UNAVAILABLE;

    if (code == CURLE_COULDNT_RESOLVE_HOST) {
        name = "fetch_dns";
    } else if (code == CURLE_SSL_CONNECT_ERROR || code == CURLE_PEER_FAILED_VERIFICATION ||
               code == CURLE_SSL_CACERT_BADFILE || code == CURLE_SSL_CIPHER ||
               code == CURLE_SSL_ISSUER_ERROR) {
        name = "fetch_tls";
    } else if (code == CURLE_OPERATION_TIMEDOUT) {
        name = "fetch_timeout";
        rc = PN_TIMEOUT;
    } else if (code == CURLE_WRITE_ERROR) {
        name = "fetch_limit";
        rc = PN_LIMIT;
        detail = "it answered more than is allowed";
    } else if (code == CURLE_ABORTED_BY_CALLBACK) {
        return pn_error_set(err, PN_UNAVAILABLE, "fetch_stopped",
                            "Postern is stopping: the fetch was given up");
    } else if (code == CURLE_OUT_OF_MEMORY) {
        return PN_NOMEM;
    }
    return pn_error_set(err, rc, name, "%s: %s", place->host,
                        detail[0] ? detail : curl_easy_strerror(code));
}

static struct curl_slist *make_headers(const struct pn_fetch_request *request)
{
    struct curl_slist *list = curl_slist_append(NULL, "Accept: application/json");

    for (size_t i = 0; list && request->headers && request->headers[i]; i++) {
        struct curl_slist *longer = curl_slist_append(list, request->headers[i]);

        if (!longer)
            curl_slist_free_all(list);
        list = longer;
    }
    return list;
}

enum pn_rc pn_fetch(const struct pn_fetch_request *request, struct pn_fetch_answer *answer,
                    struct pn_error *err)
{
    const struct pn_outbound_spec spec = {.scope = request->outbound,
                                          .url = request->url,
                                          .service = request->service,
                                          .kind = request->kind,
                                          .allows_guarded = request->is_local};
    struct transfer transfer = {.request = request, .answer = answer};
    char detail[CURL_ERROR_SIZE] = "";
    struct curl_slist *headers = NULL, *resolve = NULL;
    struct pn_outbound_call outbound = {0};
    struct place place;
    CURLcode code;
    CURL *curl = NULL;
    long status = 0;
    enum pn_rc rc;

    memset(answer, 0, sizeof *answer);
    answer->max_age_s = -1;
    pn_buf_init_secret(&answer->body, request->bytes_max ? request->bytes_max : PN_FETCH_BYTES_MAX);
    rc = pn_fetch_setup(err);
    if (rc == PN_OK)
        rc = read_url(request, &place, err);
    if (rc != PN_OK)
        return rc;
    curl = curl_easy_init();
    headers = make_headers(request);
    code = curl && headers ? configure(curl, &place, &transfer) : CURLE_OUT_OF_MEMORY;
    if (place.resolve[0])
        resolve = curl_slist_append(NULL, place.resolve);
    if (resolve)
        SET(curl, CURLOPT_RESOLVE, resolve);
    SET(curl, CURLOPT_HTTPHEADER, headers);
    SET(curl, CURLOPT_ERRORBUFFER, detail);
    if (code == CURLE_OK)
        code = pn_outbound_call_begin(&outbound, &spec, curl);
    if (code == CURLE_OK)
        code = curl_easy_perform(curl);
    if (code == CURLE_OK)
        code = curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
    answer->status = (int)status;
    curl_easy_cleanup(curl);
    curl_slist_free_all(headers);
    curl_slist_free_all(resolve);
    if (pn_outbound_call_was_denied(&outbound, code))
        rc = pn_error_set(err, PN_UNAVAILABLE, outbound.denied.code, "%s: %s", place.host,
                          outbound.denied.message);
    else if (code != CURLE_OK)
        rc = tell_failure(code, detail, &place, err);
    pn_outbound_call_end(&outbound);
    return rc;
}

void pn_fetch_answer_fini(struct pn_fetch_answer *answer)
{
    pn_buf_fini(&answer->body);
}
