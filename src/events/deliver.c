/* SPDX-License-Identifier: Apache-2.0
 *
 * One POST to one webhook, by libcurl. Redirects are not followed; the answer's body is not read
 * further than one buffer.
 */
#include <arpa/inet.h>
#include <curl/curl.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/log.h"
#include "events/events_internal.h"
#include "network/address.h"
#include "outbound/call.h"

#define SYSTEM_CA_PATH "/etc/ssl/certs"

bool webhook_origin(const char *url, char *out, size_t size, bool *is_loopback, bool *is_https)
{
    CURLU *parts = curl_url();
    char *scheme = NULL, *host = NULL, *port = NULL;
    bool is_url = parts && curl_url_set(parts, CURLUPART_URL, url, 0) == CURLUE_OK &&
                  curl_url_get(parts, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK &&
                  curl_url_get(parts, CURLUPART_HOST, &host, 0) == CURLUE_OK &&
                  curl_url_get(parts, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) == CURLUE_OK;

    if (is_url) {
        *is_https = strcasecmp(scheme, "https") == 0;
        is_url = *is_https || strcasecmp(scheme, "http") == 0;
        *is_loopback = pn_host_is_loopback(host);
        (void)snprintf(out, size, "%s://%.250s:%s", scheme, host, port);
    }
    curl_free(scheme);
    curl_free(host);
    curl_free(port);
    curl_url_cleanup(parts);
    return is_url;
}

static size_t on_body(char *bytes, size_t size, size_t count, void *ctx)
{
    size_t *left = ctx;

    (void)bytes;
    if (size * count > *left) /* enough: the status is what counts */
        return 0;
    *left -= size * count;
    return size * count;
}

static size_t on_header(char *bytes, size_t size, size_t count, void *ctx)
{
    static const char name[] = "retry-after:";
    struct pn_slice line = pn_slice(bytes, size * count);
    uint64_t seconds;

    if (pn_slice_case_starts_with(line, pn_slice_str(name)) &&
        pn_slice_to_u64(
            pn_slice_trim(pn_slice_sub(line, sizeof(name) - 1, line.len - (sizeof(name) - 1))),
            PN_WEBHOOK_RETRY_MAX_MS / 1000, &seconds))
        *(uint64_t *)ctx = seconds * 1000;
    return size * count;
}

static int on_progress(void *ctx, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
    const struct pn_events *events = ctx;

    (void)a, (void)b, (void)c, (void)d;
    return atomic_load(&events->is_stopping) ? 1 : 0;
}

#define SET(curl, option, value)                                                                   \
    do {                                                                                           \
        if (code == CURLE_OK)                                                                      \
            code = curl_easy_setopt(curl, option, value);                                          \
    } while (0)

static CURLcode perform(struct pn_events *events, CURL *curl, const struct hook *hook,
                        struct pn_slice body, const struct curl_slist *headers,
                        struct pn_outbound_call *outbound, uint64_t *retry_after_ms)
{
    /* The operator names his webhooks when he starts the service: any address is meant. */
    const struct pn_outbound_spec spec = {.scope = events->config.outbound,
                                          .url = hook->url,
                                          .service = PN_TAG_NONE,
                                          .kind = PN_OUTBOUND_WEBHOOK,
                                          .allows_guarded = true};
    char shown[300];
    bool is_loopback = false, is_https = false;
    size_t left = 65536;
    CURLcode code = CURLE_OK;

    SET(curl, CURLOPT_URL, hook->url);
    SET(curl, CURLOPT_PROTOCOLS_STR, "https,http");
    SET(curl, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    SET(curl, CURLOPT_FOLLOWLOCATION, 0L);
    SET(curl, CURLOPT_NOSIGNAL, 1L);
    SET(curl, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    SET(curl, CURLOPT_TIMEOUT_MS, (long)PN_WEBHOOK_TIMEOUT_MS);
    SET(curl, CURLOPT_NOPROGRESS, 0L);
    SET(curl, CURLOPT_XFERINFOFUNCTION, on_progress);
    SET(curl, CURLOPT_XFERINFODATA, events);
    SET(curl, CURLOPT_USERAGENT, "postern/" PN_VERSION);
    SET(curl, CURLOPT_WRITEFUNCTION, on_body);
    SET(curl, CURLOPT_WRITEDATA, &left);
    SET(curl, CURLOPT_HEADERFUNCTION, on_header);
    SET(curl, CURLOPT_HEADERDATA, retry_after_ms);
    SET(curl, CURLOPT_HTTPHEADER, headers);
    SET(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body.len);
    SET(curl, CURLOPT_POSTFIELDS, body.ptr);
    if (events->config.ca_file) {
        SET(curl, CURLOPT_CAINFO, events->config.ca_file);
        SET(curl, CURLOPT_CAPATH, SYSTEM_CA_PATH);
    }
    if (webhook_origin(hook->url, shown, sizeof(shown), &is_loopback, &is_https) && is_loopback)
        SET(curl, CURLOPT_PROXY, ""); /* one of the environment is for the world outside */
    if (code == CURLE_OK)
        code = pn_outbound_call_begin(outbound, &spec, curl);
    return code == CURLE_OK ? curl_easy_perform(curl) : code;
}

enum delivery webhook_post(struct pn_events *events, const struct hook *hook, struct pn_slice body,
                           uint64_t *retry_after_ms)
{
    struct curl_slist *headers =
        curl_slist_append(NULL, "Content-Type: application/cloudevents+json; charset=utf-8");
    CURL *curl = curl_easy_init();
    CURLcode code = curl && headers ? CURLE_OK : CURLE_OUT_OF_MEMORY;
    struct pn_outbound_call outbound = {0};
    long status = 0;

    *retry_after_ms = 0;
    if (code == CURLE_OK)
        code = perform(events, curl, hook, body, headers, &outbound, retry_after_ms);
    /* An answer that is longer than we read is an answer. */
    if (curl && (code == CURLE_OK || code == CURLE_WRITE_ERROR))
        (void)curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_cleanup(curl);
    curl_slist_free_all(headers);
    pn_outbound_call_end(&outbound);
    if (status >= 200 && status <= 299)
        return DELIVERY_DONE;
    if (!atomic_load(&events->is_stopping))
        pn_log(PN_LOG_WARN, "webhook_failed", "webhook", PN_S(hook->shown), "status", PN_I(status),
               "cause",
               PN_S(status               ? "the receiver refused it"
                    : outbound.denied.rc ? outbound.denied.message
                                         : curl_easy_strerror(code)),
               NULL);
    return status == 410 ? DELIVERY_GONE : DELIVERY_AGAIN;
}
