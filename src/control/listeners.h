/* SPDX-License-Identifier: Apache-2.0
 *
 * Certificates of Postern's own listeners: a private CA made at the first start, and one server
 * certificate for each of control, vault and gateway, made anew when it nears its end. The private
 * keys are in the keyholder (use ca and server); here are only chains and key ids.
 */
#pragma once

#include "control/settings.h"
#include "ipc/keyholder.h"

#define PN_LISTENER_CA_DAYS    3650
#define PN_LISTENER_DAYS       397
#define PN_LISTENER_RENEW_DAYS 60

struct pn_listener {
    struct pn_key_id key;
    size_t chain_count;
    struct pn_buf chain[2]; /* DER: the server certificate, then the CA */
};
void pn_listener_fini(struct pn_listener *listener);

/** Makes what is missing or expires within PN_LISTENER_RENEW_DAYS, stores it in the settings, and
 * writes DIR/ca.pem and DIR/tls/{control,vault,gateway}.pem. */
enum pn_rc pn_listeners_prepare(struct pn_store *store, struct pn_keyholder *keyholder,
                                struct pn_settings *settings, const char *data_dir,
                                struct pn_error *err) PN_MUST_USE;
/** Reads one of "control", "vault", "gateway" from the settings. */
enum pn_rc pn_listener_read(const struct pn_settings *settings, const char *name,
                            struct pn_listener *listener, struct pn_error *err) PN_MUST_USE;
/** {"listenerChain": [base64 DER…], "listenerKeyId": hex} of the gateway's: goes to it by the feed.
 */
json_t *pn_listener_for_gateway(const struct pn_settings *settings);
