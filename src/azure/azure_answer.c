/* SPDX-License-Identifier: Apache-2.0
 *
 * Answers with a token (RFC 6749 §5.1) or an error (§5.2), of Azure's services.
 */
#include <stdio.h>
#include <string.h>

#include "azure/azure_internal.h"
#include "base/clock.h"
#include "base/json.h"
#include "fetch/fetch.h"

#define WORDS_MAX    200
#define LIFETIME_MAX (24 * 3600)

/* A number that may be a text. */
static int64_t number_of(const json_t *json, const char *member)
{
    struct pn_slice text = pn_json_slice(json, member);
    uint64_t number;

    if (text.ptr)
        return pn_slice_to_u64(text, INT32_MAX * 4ull, &number) ? (int64_t)number : 0;
    return pn_json_int(json, member, 0);
}

/* "invalid_client: AADSTS7000215: Invalid client secret …": printable, cut. Azure's errors have no
 * secrets in them. */
static void words_of(const json_t *json, char out[WORDS_MAX])
{
    const char *code = pn_json_str(json, "error");
    const char *text = pn_json_str(json, "error_description");

    if (!text)
        text = pn_json_str(json, "message");
    snprintf(out, WORDS_MAX, "%s%s%s", code ? code : "", code && text ? ": " : "",
             text ? text : "");
    for (char *at = out; *at; at++) {
        if ((unsigned char)*at < ' ' || *at == 0x7f)
            *at = ' ';
    }
}

enum pn_rc azure_take_token(const struct azure_source *source, const struct pn_fetch_answer *answer,
                            struct pn_secret *token, int64_t *expires_s, struct pn_error *err)
{
    int64_t now_s = pn_clock_unix_s(), lifetime_s;
    char words[WORDS_MAX] = "";
    json_t *json = NULL;
    struct pn_slice text;
    enum pn_rc rc = pn_json_parse(pn_buf_slice(&answer->body), &json, NULL);

    if (rc == PN_NOMEM)
        return rc;
    text = pn_json_slice(json, "access_token");
    if (rc != PN_OK || answer->status != 200 || text.len == 0) {
        words_of(json, words);
        rc = pn_error_set(err, PN_NOT_FOUND, "token_refused", "it answered %d%s%s", answer->status,
                          words[0] ? ": " : "", words);
    } else {
        rc = pn_secret_from(token, text.ptr, text.len);
        lifetime_s = number_of(json, "expires_on") - now_s;
        if (lifetime_s <= 0)
            lifetime_s = number_of(json, "expires_in");
        if (lifetime_s > LIFETIME_MAX)
            lifetime_s = LIFETIME_MAX;
        *expires_s = lifetime_s > 0 ? now_s + lifetime_s : 0;
    }
    (void)source;
    json_decref(json);
    return rc;
}
