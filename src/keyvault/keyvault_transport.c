/* SPDX-License-Identifier: Apache-2.0
 *
 * The bytes: one fetch (fetch/fetch.h) in the words of this room.
 */
#include <stdio.h>
#include <string.h>

#include "fetch/fetch.h"
#include "keyvault/keyvault_internal.h"

#define BEARER_PREFIX "Authorization: Bearer "

static enum pn_rc make_header(const struct pn_secret *token, struct pn_buf *line)
{
    enum pn_rc rc = pn_buf_append_str(line, BEARER_PREFIX);

    return rc == PN_OK ? pn_buf_append_slice(line, pn_secret_slice(token)) : rc;
}

static enum pn_rc tell_failure(enum pn_rc rc, struct pn_error *err)
{
    static const struct {
        const char *fetch, *code;
        enum pn_rc rc;
    } codes[] = {
        {"fetch_dns", "vault_dns", PN_UNAVAILABLE},
        {"fetch_connect", "vault_connect", PN_UNAVAILABLE},
        {"fetch_tls", "vault_tls", PN_UNAVAILABLE},
        {"fetch_timeout", "vault_timeout", PN_TIMEOUT},
        {"fetch_limit", "vault_content", PN_LIMIT},
        {"fetch_stopped", PN_KEYVAULT_STOPPING, PN_UNAVAILABLE},
        {"network_rule", "network_rule", PN_DENIED},
        {"address_guarded", "address_guarded", PN_DENIED},
    };

    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++) {
        if (strcmp(err->code, codes[i].fetch) == 0) {
            (void)snprintf(err->code, sizeof err->code, "%s", codes[i].code);
            err->rc = codes[i].rc;
            return codes[i].rc;
        }
    }
    return rc;
}

enum pn_rc fetch_transport(struct pn_keyvault *keyvault, const char *url,
                           const struct pn_secret *token, struct exchange *exchange,
                           struct pn_error *err)
{
    const char *headers[2] = {NULL, NULL};
    const struct pn_fetch_request request = {.url = url,
                                             .headers = headers,
                                             .ca_file = keyvault->ca_file,
                                             .kept_header = "WWW-Authenticate",
                                             .kept_prefix = "Bearer",
                                             .is_stopping = &keyvault->is_stopping,
                                             .bytes_max = keyvault->response_bytes_max,
                                             .outbound = keyvault->outbound,
                                             .service = PN_TAG_KEY_VAULT,
                                             .kind = PN_OUTBOUND_VAULT,
                                             .timeout_ms = keyvault->timeout_ms,
                                             .connect_timeout_ms = keyvault->connect_timeout_ms};
    struct pn_fetch_answer answer = {.status = 0};
    struct pn_error unseen = {0};
    struct pn_buf line;
    enum pn_rc rc = PN_OK;

    err = err ? err : &unseen;
    pn_buf_init_secret(&line, sizeof BEARER_PREFIX + (token ? token->len : 0) + 1);
    if (token) {
        rc = make_header(token, &line);
        headers[0] = rc == PN_OK ? pn_buf_str(&line) : NULL;
        if (!headers[0])
            rc = PN_NOMEM;
    }
    if (rc == PN_OK) {
        rc = pn_fetch(&request, &answer, err);
        if (rc == PN_OK)
            rc = pn_buf_append_slice(&exchange->body, pn_buf_slice(&answer.body));
        else
            rc = tell_failure(rc, err);
        exchange->status = answer.status;
        exchange->retry_after_s = answer.retry_after_s;
        (void)snprintf(exchange->challenge, sizeof exchange->challenge, "%s", answer.kept);
        pn_fetch_answer_fini(&answer);
    }
    pn_buf_fini(&line);
    return rc;
}
