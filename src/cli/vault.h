/* SPDX-License-Identifier: Apache-2.0
 *
 * What the files of "postern vault" share; vault.c has the table of commands.
 */
#pragma once

#include "base/json.h"
#include "cli/internal.h"

extern const struct pn_cli_column vault_certificate_columns[];

/* One call; its answer printed. */
enum pn_cli_exit vault_call(struct pn_cli *cli, const char *method, const char *path,
                            const json_t *body, const struct pn_cli_column *columns);
enum pn_cli_exit vault_print_list(struct pn_cli *cli, const char *path,
                                  const struct pn_cli_column *columns);

/* vault_objects.c: of a secret, a certificate or a key, whichever the command's words name */
enum pn_cli_exit vault_run_list(struct pn_cli *cli);
enum pn_cli_exit vault_run_show(struct pn_cli *cli);
enum pn_cli_exit vault_run_versions(struct pn_cli *cli);
enum pn_cli_exit vault_run_update(struct pn_cli *cli);
enum pn_cli_exit vault_run_delete(struct pn_cli *cli);
enum pn_cli_exit vault_run_deleted(struct pn_cli *cli);
enum pn_cli_exit vault_run_recover(struct pn_cli *cli);
enum pn_cli_exit vault_run_purge(struct pn_cli *cli);
enum pn_cli_exit vault_run_backup(struct pn_cli *cli);
enum pn_cli_exit vault_run_restore(struct pn_cli *cli);

/* vault_reseal.c */
enum pn_cli_exit vault_run_reseal(struct pn_cli *cli);

/* vault_manage.c: keys, requests, issuers, contacts */
enum pn_cli_exit vault_run_key_create(struct pn_cli *cli);
enum pn_cli_exit vault_run_key_import(struct pn_cli *cli);
enum pn_cli_exit vault_run_key_rotate(struct pn_cli *cli);
enum pn_cli_exit vault_run_request(struct pn_cli *cli);
enum pn_cli_exit vault_run_merge(struct pn_cli *cli);
enum pn_cli_exit vault_run_issuer_add(struct pn_cli *cli);
enum pn_cli_exit vault_run_issuer_list(struct pn_cli *cli);
enum pn_cli_exit vault_run_issuer_show(struct pn_cli *cli);
enum pn_cli_exit vault_run_issuer_delete(struct pn_cli *cli);
enum pn_cli_exit vault_run_contact_add(struct pn_cli *cli);
enum pn_cli_exit vault_run_contact_list(struct pn_cli *cli);
enum pn_cli_exit vault_run_contact_clear(struct pn_cli *cli);
