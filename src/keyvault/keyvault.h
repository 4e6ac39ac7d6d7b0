/* SPDX-License-Identifier: Apache-2.0
 *
 * Client of a Key Vault over HTTPS: Azure's and the embedded one, by the same code. TLS is always
 * verified; a token is sent only to a host that the challenge's resource covers (the host ends with
 * "." + the resource's host), so that no server can talk us into handing it another one's token.
 *
 * Errors tell the layer: code vault_dns, vault_connect, vault_tls, vault_timeout, vault_token,
 * vault_challenge, vault_unauthorized (401), vault_forbidden (403), vault_not_found (404),
 * vault_throttled (429), vault_unavailable (5xx), vault_content; the message has the vault's own
 * words (cut), never a secret.
 *
 * Thread: any; each call uses a connection of its own and blocks.
 */
#pragma once

#include "base/buf.h"
#include "base/error.h"
#include "identity/token_source.h"

#define PN_KEYVAULT_RESPONSE_BYTES_MAX (256u * 1024)
#define PN_KEYVAULT_CONNECT_TIMEOUT_MS 5000
#define PN_KEYVAULT_TIMEOUT_MS         20000
#define PN_KEYVAULT_PAGES_MAX          4
#define PN_KEYVAULT_RETRY_AFTER_MAX_S  3600

/* err->code of a fetch that pn_keyvault_stop() ended: says nothing about the vault. */
#define PN_KEYVAULT_STOPPING "vault_stopping"

#define PN_KEYVAULT_HOST_TEXT    256
#define PN_KEYVAULT_NAME_TEXT    128
#define PN_KEYVAULT_VERSION_TEXT 64

/** A secret's identifier, taken apart. */
struct pn_keyvault_id {
    char origin[PN_KEYVAULT_HOST_TEXT + 32]; /* "https://host[:port]", lower case */
    char host[PN_KEYVAULT_HOST_TEXT];        /* without port and brackets */
    char name[PN_KEYVAULT_NAME_TEXT];
    char version[PN_KEYVAULT_VERSION_TEXT]; /* "": the latest one, followed */
};
/** "https://{vault}/secrets/{name}[/{version}]". `/certificates/…` is refused (PN_INVALID) with a
 *  message that names the secret identifier to use instead: the fetch is of the secret, and it
 * needs the permission for secrets. PN_MALFORMED. err->target is not set. */
enum pn_rc pn_keyvault_id_parse(struct pn_slice text, struct pn_keyvault_id *id,
                                struct pn_error *err) PN_MUST_USE;

struct pn_keyvault;
/** Texts are copied; `tokens` is borrowed until _destroy. 0 and NULL: the default. */
struct pn_outbound_scope;

struct pn_keyvault_options {
    struct pn_token_source *tokens;
    const char *ca_file; /* PEM; trusted beside the system's CAs. NULL: only those */
    unsigned connect_timeout_ms, timeout_ms;
    size_t response_bytes_max;
    const struct pn_outbound_scope *outbound; /* network rules of these connections; NULL: none */
};
/** PN_NOMEM; PN_INTERNAL (libcurl). Calls curl_global_init(). */
enum pn_rc pn_keyvault_create(const struct pn_keyvault_options *options,
                              struct pn_keyvault **keyvault, struct pn_error *err) PN_MUST_USE;
void pn_keyvault_destroy(struct pn_keyvault *keyvault);
/** The process is about to end: fetches under way and later ones fail within about a second
 *  (PN_UNAVAILABLE) instead of waiting for their timeout. Any thread. */
void pn_keyvault_stop(struct pn_keyvault *keyvault);

struct pn_keyvault_secret {
    struct pn_buf value; /* secret */
    char content_type[256];
    char version[PN_KEYVAULT_VERSION_TEXT];
};
void pn_keyvault_secret_fini(struct pn_keyvault_secret *secret);

/** GET of the secret `id` names (version "": the latest one) as `identity`. *retry_after_s (may be
 * NULL): what the vault asked for with 429 or 503, else 0. PN_UNAVAILABLE, PN_TIMEOUT, PN_DENIED,
 * PN_NOT_FOUND, PN_MALFORMED (the answer), PN_LIMIT. */
enum pn_rc pn_keyvault_get_secret(struct pn_keyvault *keyvault,
                                  const struct pn_identity_ref *identity,
                                  const struct pn_keyvault_id *id,
                                  struct pn_keyvault_secret *secret, unsigned *retry_after_s,
                                  struct pn_error *err) PN_MUST_USE;
/** The newest version's name, from the list of versions: no value travels. PN_AGAIN: the list
 * cannot tell (not allowed to list, too many pages, or two of the same second): fetch the secret
 * instead. Else as above. */
enum pn_rc pn_keyvault_newest_version(struct pn_keyvault *keyvault,
                                      const struct pn_identity_ref *identity,
                                      const struct pn_keyvault_id *id,
                                      char version[PN_KEYVAULT_VERSION_TEXT],
                                      unsigned *retry_after_s, struct pn_error *err) PN_MUST_USE;
