/* SPDX-License-Identifier: Apache-2.0
 *
 * Makes a key and its certificate (RFC 5280).
 */
#pragma once

#include "keyholder/bundle.h"

/** `issuer_key` NULL: self-signed; else it must belong to spec->issuer_certificate, which must be a
 * CA. The chain is the new certificate, and the issuer's. PN_INVALID names the member in
 * err->target. Takes seconds for RSA 4096. */
enum pn_rc pn_issue(const struct pn_issue_spec *spec, EVP_PKEY *issuer_key,
                    struct pn_bundle *bundle, struct pn_error *err) PN_MUST_USE;

/** The same with a key that exists: it gets another reference; NULL: a new one as `spec` says. */
enum pn_rc pn_issue_for(const struct pn_issue_spec *spec, EVP_PKEY *issuer_key, EVP_PKEY *own_key,
                        struct pn_bundle *bundle, struct pn_error *err) PN_MUST_USE;

/* Shared by issue.c and extensions.c. `issuer` is the certificate itself when self-signed. */
enum pn_rc pn_issue_extensions(const struct pn_issue_spec *spec, X509 *certificate, X509 *issuer,
                               struct pn_error *err) PN_MUST_USE;
enum pn_rc pn_issue_invalid(struct pn_error *err, const char *member, const char *why);
