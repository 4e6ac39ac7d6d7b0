/* SPDX-License-Identifier: Apache-2.0
 *
 * The parts of `postern demo`: throw-away certificates, child processes.
 */
#pragma once

#include <sys/types.h>

#include "base/buf.h"
#include "base/encode.h"
#include "base/error.h"

/* ---- demo_pki.c */

struct evp_pkey_st;
struct x509_st;

struct pn_demo_identity {
    struct evp_pkey_st *key;
    struct x509_st *certificate;
    char thumbprint[2 * PN_SHA1_BYTES + 1];
};
enum pn_demo_use { PN_DEMO_CA, PN_DEMO_SERVER, PN_DEMO_CLIENT };

/** A key and a certificate for 90 days, issued by `ca` (NULL: self-signed). `is_rsa`: RSA-2048,
 * else P-256. PN_INTERNAL. */
enum pn_rc pn_demo_issue(struct pn_demo_identity *identity, const struct pn_demo_identity *ca,
                         enum pn_demo_use use, const char *common_name, bool is_rsa,
                         struct pn_error *err) PN_MUST_USE;
void pn_demo_identity_fini(struct pn_demo_identity *identity);
/** PKCS#12 of key, certificate and CA in base64, appended. PN_INTERNAL, PN_LIMIT. */
enum pn_rc pn_demo_pfx(const struct pn_demo_identity *identity, const struct pn_demo_identity *ca,
                       const char *password, struct pn_buf *base64,
                       struct pn_error *err) PN_MUST_USE;
/** PEM files in `dir`: <name>.pem and, with_key, <name>.key (0600). PN_INTERNAL, PN_IO. */
enum pn_rc pn_demo_write(const struct pn_demo_identity *identity, const char *dir, const char *name,
                         bool with_key, struct pn_error *err) PN_MUST_USE;

/* ---- demo_process.c */

/** Path of an executable beside this one, as a heap string; NULL: out of memory. */
char *pn_demo_sibling(const char *name);
/** This executable. */
char *pn_demo_self(void);
/** Starts it in a process group of its own (Ctrl-C reaches only us) that ends with us. `quiet`: its
 *  standard output goes nowhere. -1 with err. */
pid_t pn_demo_start(char *const *argv, bool is_quiet, struct pn_error *err);
/** Whether it still runs; otherwise *status is filled and it is reaped. */
bool pn_demo_is_running(pid_t pid, int *status);
/** SIGTERM, then SIGKILL after `patience_ms`. Reaps. pid <= 0 does nothing. */
void pn_demo_stop(pid_t pid, unsigned patience_ms);
/** Whether host localhost can listen on that port, on both IP versions where there are both. */
bool pn_demo_port_is_free(int port);
void pn_demo_sleep_ms(unsigned ms);
