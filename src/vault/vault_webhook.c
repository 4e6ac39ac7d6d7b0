/* SPDX-License-Identifier: Apache-2.0
 *
 * The bytes to webhooks, by libcurl. Redirects are not followed, and nothing goes to link-local
 * addresses: the metadata services of clouds are there (RFC 3927, RFC 4291 §2.5.6).
 */
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#include <curl/curl.h>

#include "vault/vault_event.h"

#define URL_MAX    2048
#define TIMEOUT_MS 10000L
#define EVENTS_MAX (256u * 1024)

static bool is_loopback(const char *host)
{
    size_t len = strlen(host);

    return strcasecmp(host, "localhost") == 0 || strcmp(host, "[::1]") == 0 ||
           strncmp(host, "127.", 4) == 0 ||
           (len > 10 && strcasecmp(host + len - 10, ".localhost") == 0);
}

enum pn_rc vault_webhook_check(const char *url, struct pn_error *err)
{
    CURLU *parts = curl_url();
    char *scheme = NULL, *host = NULL, *user = NULL;
    bool is_fine =
        url && parts && strlen(url) < URL_MAX &&
        curl_url_set(parts, CURLUPART_URL, url, 0) == CURLUE_OK &&
        curl_url_get(parts, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK &&
        curl_url_get(parts, CURLUPART_HOST, &host, 0) == CURLUE_OK &&
        curl_url_get(parts, CURLUPART_USER, &user, 0) != CURLUE_OK &&
        (strcmp(scheme, "https") == 0 || (strcmp(scheme, "http") == 0 && is_loopback(host)));

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

static curl_socket_t open_socket(void *ctx, curlsocktype purpose, struct curl_sockaddr *address)
{
    const struct sockaddr *peer = (const struct sockaddr *)&address->addr;
    bool *is_refused = ctx;

    (void)purpose;
    if (peer->sa_family == AF_INET) {
        struct sockaddr_in in;

        memcpy(&in, peer, sizeof in);
        *is_refused = (ntohl(in.sin_addr.s_addr) >> 16) == 0xa9fe;
    } else if (peer->sa_family == AF_INET6) {
        struct sockaddr_in6 in6;

        memcpy(&in6, peer, sizeof in6);
        *is_refused = IN6_IS_ADDR_LINKLOCAL(&in6.sin6_addr) ||
                      (IN6_IS_ADDR_V4MAPPED(&in6.sin6_addr) && in6.sin6_addr.s6_addr[12] == 169 &&
                       in6.sin6_addr.s6_addr[13] == 254);
    }
    if (*is_refused)
        return CURL_SOCKET_BAD;
    return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
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
                        struct pn_buf *body, bool *is_refused)
{
    return curl_easy_setopt(curl, CURLOPT_URL, url) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https") == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE, (long)events.len) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_POSTFIELDS, events.ptr) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_body) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_WRITEDATA, body) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_OPENSOCKETFUNCTION, open_socket) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_OPENSOCKETDATA, is_refused) == CURLE_OK &&
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

static enum pn_rc perform(CURL *curl, bool is_stopping, const bool *is_refused, long *status,
                          struct pn_error *err)
{
    CURLcode code = curl_easy_perform(curl);

    if (code == CURLE_OK) {
        curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, status);
        return PN_OK;
    }
    if (*is_refused)
        return pn_error_set(err, PN_DENIED, "webhook",
                            "the endpoint has a link-local address: webhooks do not go there");
    if (code == CURLE_OPERATION_TIMEDOUT)
        return pn_error_set(err, PN_TIMEOUT, "webhook", "the endpoint did not answer within %ld s",
                            TIMEOUT_MS / 1000);
    return pn_error_set(err, PN_UNAVAILABLE, "webhook", "the endpoint cannot be reached: %s",
                        is_stopping ? "the vault stops" : curl_easy_strerror(code));
}

enum pn_rc vault_webhook_post(struct pn_vault *vault, const char *url, const char *kind,
                              const json_t *events, long *status, struct pn_buf *body,
                              struct pn_error *err)
{
    struct curl_slist *headers = NULL, *longer;
    CURL *curl = curl_easy_init();
    struct pn_buf text;
    bool is_refused = false;
    char line[64];
    enum pn_rc rc;

    *status = 0;
    pn_buf_init(&text, EVENTS_MAX);
    rc = curl ? pn_json_dump(events, &text) : PN_NOMEM;
    headers = curl_slist_append(NULL, "Content-Type: application/json; charset=utf-8");
    snprintf(line, sizeof line, "aeg-event-type: %s", kind);
    longer = headers ? curl_slist_append(headers, line) : NULL;
    if (rc == PN_OK &&
        (!longer || !set_options(curl, vault, url, longer, pn_buf_slice(&text), body, &is_refused)))
        rc = pn_error_set(err, PN_NOMEM, "webhook", "out of memory");
    if (rc == PN_OK)
        rc = perform(curl, vault->clock.is_stopping, &is_refused, status, err);
    curl_slist_free_all(longer ? longer : headers);
    curl_easy_cleanup(curl);
    pn_buf_fini(&text);
    return rc;
}
