/* SPDX-License-Identifier: Apache-2.0
 *
 * Where tokens for Azure's key vaults come from, each a pn_token_provider of identity/:
 *
 *   imds          the instance metadata service of a virtual machine, or another Postern's endpoint
 *   app-service   IDENTITY_ENDPOINT of App Service, Functions and Container Apps
 *   workload      a token file of a cluster, shown to the authority (federated credential)
 *   secret        an application and its secret, from a file
 *   certificate   an application and its certificate; the keyholder signs the assertion
 *
 * The authority that a secret or an assertion goes to is the configured one, never the one that a
 * vault's challenge names: a vault could have itself sent another one's proof (docs/adr/0071).
 * What a source cannot do now is PN_NOT_FOUND with its reason, so that the next one is asked.
 *
 * Thread: _create and _add at start, before the sandbox; providers from any thread, they block.
 */
#pragma once

#include "identity/token_source.h"
#include "ipc/keyholder.h"

#define PN_AZURE_SOURCES_MAX 8
#define PN_AZURE_FOLDERS_MAX (2 * PN_AZURE_SOURCES_MAX)

struct pn_azure;

struct pn_outbound_scope;
/** `keyholder` and `outbound` (network rules of these connections; may be NULL) are borrowed.
 *  PN_NOMEM. */
enum pn_rc pn_azure_create(struct pn_keyholder *keyholder, const struct pn_outbound_scope *outbound,
                           struct pn_azure **azure) PN_MUST_USE;
void pn_azure_destroy(struct pn_azure *azure);
/** Adds a source: "KIND[,name=value…]" as docs/operating.md has it; reads files, and has the
 * keyholder take a certificate's key. What is not said comes from Azure's environment variables.
 *  PN_INVALID, PN_LIMIT, PN_IO, or what the keyholder says. */
enum pn_rc pn_azure_add(struct pn_azure *azure, struct pn_slice text,
                        struct pn_error *err) PN_MUST_USE;
/** The provider of the i-th source; false: there are no more. It lives as long as `azure`. */
bool pn_azure_provider(struct pn_azure *azure, size_t i, struct pn_token_provider *provider);
/** The i-th of PN_AZURE_FOLDERS_MAX folders that are read from later (a workload's token, a
 * secret's or certificate's file, its password's, which may be replaced), or NULL. */
const char *pn_azure_folder(const struct pn_azure *azure, size_t i);
