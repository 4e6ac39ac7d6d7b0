/* SPDX-License-Identifier: Apache-2.0
 *
 * What the files about certificates share.
 */
#pragma once

#include "ipc/keyholder_vault.h"
#include "vault/vault_internal.h"

struct pn_certificate;

/* vault_certificates.c */
/* The stored body of a version. `given` may have attributes and tags. PN_INVALID, PN_NOMEM. */
enum pn_rc vault_certificate_body(struct vault_call *call, const struct pn_imported *imported,
                                  const struct pn_certificate *leaf, const json_t *policy,
                                  const json_t *given, json_t **body,
                                  struct pn_error *err) PN_MUST_USE;
/* Reads the object anew and answers its bundle. */
void vault_answer_certificate(struct vault_call *call, int status);
/* The head of the certificate, also of one that is still being made. False: answered. */
bool vault_find_certificate(struct vault_call *call, struct pn_store_item *head);

/* vault_certificate_create.c */
/* A new version as the policy says, stored if `former` is still the latest one. */
enum pn_rc vault_certificate_renew(struct vault_call *call, const json_t *head,
                                   const struct pn_store_item *former,
                                   struct pn_error *err) PN_MUST_USE;

/* vault_issuers.c */
/* Where a policy's certificates come from. */
enum vault_source { SOURCE_SELF, SOURCE_UNKNOWN, SOURCE_AUTHORITY };
enum vault_source vault_source_of(const json_t *policy);
/* The issuer that a policy names (if it names one) exists and makes certificates. PN_INVALID. */
enum pn_rc vault_issuer_check(struct vault_call *call, const json_t *policy,
                              struct pn_error *err) PN_MUST_USE;
/* Our own private CA: its key and certificate (DER, appended). PN_INVALID. */
enum pn_rc vault_issuer_authority(struct vault_call *call, const char *name, struct pn_key_id *key,
                                  struct pn_buf *certificate, struct pn_error *err) PN_MUST_USE;
