/* SPDX-License-Identifier: Apache-2.0
 *
 * The bytes to webhooks, by libcurl. Redirects are not followed, and nothing goes to
 * addresses that only this machine may ask (outbound/call.h).
 */
#include <stdio.h>
#include <string.h>

#include <curl/curl.h>

#include "network/address.h"
#include "outbound/call.h"
#include "vault/vault_event.h"

#define URL_MAX    2048
#define TIMEOUT_MS 10000L
#define EVENTS_MAX (256u * 1024)

enum pn_rc vault_webhook_check(const char *url, struct pn_error *err)
{
    CURLU *parts = curl_url();
    char *scheme = NULL, *host = NULL, *user = NULL;
    bool is_fine = url && parts && strlen(url) < URL_MAX &&
                   curl_url_set(parts, CURLUPART_URL, url, 0) == CURLUE_OK &&
                   curl_url_get(parts, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK &&
                   curl_url_get(parts, CURLUPART_HOST, &host, 0) == CURLUE_OK &&
                   curl_url_get(parts, CURLUPART_USER, &user, 0) != CURLUE_OK &&
                   (strcmp(scheme, "https") == 0 ||
                    (strcmp(scheme, "http") == 0 && pn_host_is_loopback(host)));

    curl_free(scheme);
    curl_free(host);
    curl_free(user);
    curl_url_cleanup(parts);
    if (is_fine)
        return PN_OK;
    return pn_error_set(err, PN_INVALID, "InvalidRequest",
                        "properties.destination.properties.endpointUrl must be an https URL of at "
                        "most %d characters, without a user (http only to this machine)",
                        URL_MAX - 1);
}

static size_t on_body(char *bytes, size_t size, size_t count, void *ctx)
{
    /* More than there is room for is of no interest. */
    if (ctx)
        (void)!pn_buf_append(ctx, bytes, size * count);
    return size * count;
}

static int on_progress(void *ctx, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
    struct pn_vault *vault = ctx;

    (void)a, (void)b, (void)c, (void)d;
    return vault->clock.is_stopping ? 1 : 0;
}

static bool set_options(CURL *curl, struct pn_vault *vault, const char *url,
                        const struct curl_slist *headers, struct pn_slice events,
                        struct pn_buf *body)
{
    return curl_easy_setopt(curl, CURLOPT_URL, url) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https") == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE, (long)events.len) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_POSTFIELDS, events.ptr) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_body) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_WRITEDATA, body) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, on_progress) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_XFERINFODATA, vault) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_PROXY, "") == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, TIMEOUT_MS) == CURLE_OK &&
           (vault->ca_file[0] == '\0' ||
            (curl_easy_setopt(curl, CURLOPT_CAINFO, vault->ca_file) == CURLE_OK &&
             curl_easy_setopt(curl, CURLOPT_CAPATH, "/etc/ssl/certs") == CURLE_OK));
}

static enum pn_rc tell_failure(CURLcode code, bool is_stopping,
                               const struct pn_outbound_call *outbound, struct pn_error *err)
{
    if (pn_outbound_call_was_denied(outbound, code))
        return pn_error_set(err, PN_DENIED, "webhook", "%s", outbound->denied.message);
    if (code == CURLE_OPERATION_TIMEDOUT)
        return pn_error_set(err, PN_TIMEOUT, "webhook", "the endpoint did not answer within %ld s",
                            TIMEOUT_MS / 1000);
    return pn_error_set(err, PN_UNAVAILABLE, "webhook", "the endpoint cannot be reached: %s",
                        is_stopping ? "the vault stops" : curl_easy_strerror(code));
}

/* Who may write subscriptions must not reach what only this machine may ask. Rules about the
 * service's subnet are not about the vault, which is no part of it. */
static enum pn_rc perform(CURL *curl, const struct pn_vault *vault, const char *url, long *status,
                          struct pn_error *err)
{
    const struct pn_outbound_spec spec = {.url = url, .kind = PN_OUTBOUND_WEBHOOK};
    struct pn_outbound_call outbound = {0};
    CURLcode code = pn_outbound_call_begin(&outbound, &spec, curl);
    enum pn_rc rc = PN_OK;

    if (code == CURLE_OK)
        code = curl_easy_perform(curl);
    if (code == CURLE_OK)
        curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, status);
    else
        rc = tell_failure(code, vault->clock.is_stopping, &outbound, err);
    pn_outbound_call_end(&outbound);
    return rc;
}

enum pn_rc vault_webhook_post(struct pn_vault *vault, const char *url, const char *kind,
                              const json_t *events, long *status, struct pn_buf *body,
                              struct pn_error *err)
{
    struct curl_slist *headers = NULL, *longer;
    CURL *curl = curl_easy_init();
    struct pn_buf text;
    char line[64];
    enum pn_rc rc;

    *status = 0;
    pn_buf_init(&text, EVENTS_MAX);
    rc = curl ? pn_json_dump(events, &text) : PN_NOMEM;
    headers = curl_slist_append(NULL, "Content-Type: application/json; charset=utf-8");
    snprintf(line, sizeof line, "aeg-event-type: %s", kind);
    longer = headers ? curl_slist_append(headers, line) : NULL;
    if (rc == PN_OK &&
        (!longer || !set_options(curl, vault, url, longer, pn_buf_slice(&text), body)))
        rc = pn_error_set(err, PN_NOMEM, "webhook", "out of memory");
    if (rc == PN_OK)
        rc = perform(curl, vault, url, status, err);
    curl_slist_free_all(longer ? longer : headers);
    curl_easy_cleanup(curl);
    pn_buf_fini(&text);
    return rc;
}
