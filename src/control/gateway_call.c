/* SPDX-License-Identifier: Apache-2.0
 *
 * See gateway_call.h.
 */
#include "control/gateway_call.h"

#include <curl/curl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/encode.h"
#include "base/json.h"
#include "base/secret.h"

#define CONNECT_MS     5000
#define HEADERS_MAX    200
#define FIELD_LINE_MAX 16384

struct receiving {
    struct pn_buf body;
    bool is_truncated;
    json_t *headers;
    json_t *backend; /* what the gateway tells of it */
};

static atomic_uint running;

void pn_gateway_caller_init(struct pn_gateway_caller *caller, const char *gateway_url,
                            const char *ca_file)
{
    *caller = (struct pn_gateway_caller){.gateway_url = gateway_url};
    snprintf(caller->ca_file, sizeof(caller->ca_file), "%s", ca_file);
    (void)pn_secret_take_env("PN_TRACE_SECRET", caller->secret, sizeof(caller->secret));
}

static size_t on_body(char *bytes, size_t size, size_t count, void *ctx)
{
    struct receiving *to = ctx;
    size_t len = size * count, room = PN_GATEWAY_CALL_BODY_MAX - to->body.len;

    if (len > room)
        to->is_truncated = true;
    if (pn_buf_append(&to->body, bytes, len < room ? len : room) != PN_OK)
        return 0;
    return to->is_truncated ? 0 : len; /* 0 ends the transfer */
}

static size_t on_header(char *bytes, size_t size, size_t count, void *ctx)
{
    struct receiving *to = ctx;
    struct pn_slice line = pn_slice(bytes, size * count);
    struct pn_slice name = pn_slice_sub(line, 0, pn_slice_find(line, ':'));
    struct pn_slice value = pn_slice_trim(pn_slice_sub(line, name.len + 1, line.len));

    if (pn_slice_starts_with(line, PN_LIT("HTTP/"))) { /* also after a 1xx: the last one counts */
        json_array_clear(to->headers);
    } else if (name.len == line.len) {
        return size * count;
    } else if (pn_slice_case_eq_str(name, "X-Postern-Client-Certificate")) {
        json_object_set_new(to->backend, "certificateThumbprint", pn_json_from_slice(value));
    } else if (pn_slice_case_eq_str(name, "X-Postern-Backend")) {
        json_object_set_new(to->backend, "backendId", pn_json_from_slice(value));
    } else if (json_array_size(to->headers) < HEADERS_MAX) {
        json_array_append_new(to->headers,
                              json_pack("{s:s%, s:s%}", "name", name.ptr, name.len, "value",
                                        value.len ? value.ptr : "", value.len));
    }
    return size * count;
}

static struct curl_slist *make_headers(const struct pn_gateway_caller *caller,
                                       const struct pn_arm_test_call *test)
{
    struct curl_slist *list = NULL, *next;
    char line[FIELD_LINE_MAX];
    const json_t *entry;
    size_t index;

    snprintf(line, sizeof(line), "X-Postern-Trace: %s", caller->secret);
    list = curl_slist_append(NULL, line);
    json_array_foreach(test->headers, index, entry)
    {
        const char *value = pn_json_str(entry, "value");

        /* "Name;" is how an empty value is written for libcurl. */
        snprintf(line, sizeof(line), value && *value ? "%s: %s" : "%s;", pn_json_str(entry, "name"),
                 value);
        next = curl_slist_append(list, line);
        list = next ? next : list;
    }
    next = curl_slist_append(list, "Expect:");
    return next ? next : list;
}

static json_t *take_answer(CURL *curl, const struct receiving *got)
{
    curl_off_t connect_us = 0, first_us = 0, total_us = 0;
    long status = 0;
    json_t *text = json_stringn(got->body.len ? got->body.ptr : "", got->body.len);
    bool is_text = text != NULL;
    struct pn_buf encoded;
    json_t *answer;

    if (!is_text) { /* no UTF-8 */
        pn_buf_init(&encoded, 2u * PN_GATEWAY_CALL_BODY_MAX);
        if (pn_base64_encode(pn_buf_slice(&got->body), &encoded) == PN_OK)
            text = pn_json_from_slice(pn_buf_slice(&encoded));
        pn_buf_fini(&encoded);
    }
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_getinfo(curl, CURLINFO_CONNECT_TIME_T, &connect_us);
    curl_easy_getinfo(curl, CURLINFO_STARTTRANSFER_TIME_T, &first_us);
    curl_easy_getinfo(curl, CURLINFO_TOTAL_TIME_T, &total_us);
    answer = json_pack("{s:i, s:O, s:o, s:b, s:b, s:O, s:{s:f, s:f, s:f}}", "status", (int)status,
                       "headers", got->headers, "body", text, "bodyIsBase64", !is_text,
                       "bodyIsTruncated", got->is_truncated, "backend", got->backend, "timing",
                       "connectMs", (double)connect_us / 1000.0, "firstByteMs",
                       (double)first_us / 1000.0, "totalMs", (double)total_us / 1000.0);
    return answer;
}

static enum pn_rc transfer(const struct pn_gateway_caller *caller,
                           const struct pn_arm_test_call *test, struct receiving *got,
                           json_t **answer, struct pn_error *err)
{
    char problem[CURL_ERROR_SIZE] = "", *url = NULL;
    struct curl_slist *headers = make_headers(caller, test);
    CURL *curl = curl_easy_init();
    enum pn_rc rc = PN_NOMEM;
    CURLcode code;

    if (!curl || !headers || asprintf(&url, "%s%s", caller->gateway_url, test->path) < 0)
        goto out;
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_PATH_AS_IS, 1L);
    curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, test->method);
    curl_easy_setopt(curl, CURLOPT_NOBODY, strcmp(test->method, "HEAD") == 0 ? 1L : 0L);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(curl, CURLOPT_PROXY, "");
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_MS);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)PN_GATEWAY_CALL_MS);
    curl_easy_setopt(curl, CURLOPT_CAINFO, caller->ca_file);
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, problem);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, got);
    curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(curl, CURLOPT_HEADERDATA, got);
    if (test->body.len > 0) {
        curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)test->body.len);
        curl_easy_setopt(curl, CURLOPT_POSTFIELDS, test->body.ptr);
    }
    code = curl_easy_perform(curl);
    if (code != CURLE_OK && !got->is_truncated) {
        rc = pn_error_set(err, code == CURLE_OPERATION_TIMEDOUT ? PN_TIMEOUT : PN_UNAVAILABLE,
                          "gateway_unreachable", "The gateway at %s did not answer: %s",
                          caller->gateway_url, problem[0] ? problem : curl_easy_strerror(code));
        goto out;
    }
    *answer = take_answer(curl, got);
    if (*answer)
        rc = PN_OK;
out:
    if (rc == PN_NOMEM)
        pn_error_set(err, rc, "no_memory", "out of memory");
    curl_slist_free_all(headers);
    curl_easy_cleanup(curl);
    free(url);
    return rc;
}

enum pn_rc pn_gateway_call(void *ctx, const struct pn_arm_test_call *test, json_t **answer,
                           struct pn_error *err)
{
    const struct pn_gateway_caller *caller = ctx;
    struct receiving got = {.headers = json_array(), .backend = json_object()};
    enum pn_rc rc = PN_NOMEM;

    *answer = NULL;
    pn_buf_init_secret(&got.body, PN_GATEWAY_CALL_BODY_MAX);
    if (atomic_fetch_add(&running, 1) >= PN_GATEWAY_CALLS_MAX)
        rc = pn_error_set(err, PN_LIMIT, "test_calls",
                          "%d test calls are under way already: try again in a moment.",
                          PN_GATEWAY_CALLS_MAX);
    else if (!caller->gateway_url[0])
        rc = pn_error_set(err, PN_UNSUPPORTED, "no_gateway_url",
                          "The gateway listens at Unix sockets only: the console cannot call it.");
    else if (got.headers && got.backend)
        rc = transfer(caller, test, &got, answer, err);
    atomic_fetch_sub(&running, 1);
    pn_buf_fini(&got.body);
    json_decref(got.headers);
    json_decref(got.backend);
    return rc;
}
