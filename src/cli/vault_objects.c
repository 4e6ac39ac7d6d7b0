/* SPDX-License-Identifier: Apache-2.0
 *
 * What secrets, certificates and keys have in common: list, show, versions, delete and back again.
 */
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "cli/vault.h"

struct kind {
    const char *words; /* of its commands */
    const char *collection;
    const struct pn_cli_column *list, *one;
};

#define DATES                                                                                      \
    {"DELETED", "deletedDate"},                                                                    \
    {                                                                                              \
        "PURGED", "scheduledPurgeDate"                                                             \
    }

static const struct pn_cli_column secret_list[] = {
    {"ID", "id"}, {"TYPE", "contentType"}, {"ENABLED", "attributes.enabled"}, {NULL, NULL}};
static const struct pn_cli_column secret_one[] = {
    {"id", "id"}, {"type", "contentType"}, {"enabled", "attributes.enabled"}, {NULL, NULL}};
static const struct pn_cli_column certificate_list[] = {
    {"ID", "id"}, {"X5T", "x5t"}, {"ENABLED", "attributes.enabled"}, {NULL, NULL}};
static const struct pn_cli_column key_list[] = {
    {"KID", "kid"}, {"MANAGED", "managed"}, {"ENABLED", "attributes.enabled"}, {NULL, NULL}};
static const struct pn_cli_column key_one[] = {{"kid", "key.kid"},
                                               {"type", "key.kty"},
                                               {"curve", "key.crv"},
                                               {"operations", "key.key_ops[]"},
                                               {"enabled", "attributes.enabled"},
                                               {NULL, NULL}};
static const struct pn_cli_column deleted_columns[] = {
    {"RECOVERY ID", "recoveryId"}, DATES, {NULL, NULL}};

static const struct kind kinds[] = {
    {"vault secret ", "secrets", secret_list, secret_one},
    {"vault certificate ", "certificates", certificate_list, vault_certificate_columns},
    {"vault key ", "keys", key_list, key_one},
};

static const struct kind *kind_of(const struct pn_cli *cli)
{
    size_t i = 0;

    while (i < 2 && strncmp(cli->command->words, kinds[i].words, strlen(kinds[i].words)) != 0)
        i++;
    return &kinds[i];
}

/* "/{prefix}{collection}/{name}{suffix}"; the caller frees it. */
static char *path_of(const struct pn_cli *cli, const char *prefix, const char *suffix)
{
    char *head = pn_cli_path("/", prefix, "");
    char *folder = NULL, *path;

    if (asprintf(&folder, "%s%s/", head, kind_of(cli)->collection) < 0)
        abort();
    path = pn_cli_path(folder, cli->positionals[0], suffix);
    free(head);
    free(folder);
    return path;
}

static enum pn_cli_exit run(struct pn_cli *cli, const char *method, const char *prefix,
                            const char *suffix, const json_t *body,
                            const struct pn_cli_column *columns)
{
    char *path = path_of(cli, prefix, suffix);
    enum pn_cli_exit code = vault_call(cli, method, path, body, columns);

    free(path);
    return code;
}

static enum pn_cli_exit list_folder(struct pn_cli *cli, const char *prefix,
                                    const struct pn_cli_column *columns)
{
    char *path = NULL;
    enum pn_cli_exit code;

    if (asprintf(&path, "/%s%s", prefix, kind_of(cli)->collection) < 0)
        abort();
    code = vault_print_list(cli, path, columns);
    free(path);
    return code;
}

enum pn_cli_exit vault_run_list(struct pn_cli *cli)
{
    return list_folder(cli, "", kind_of(cli)->list);
}

enum pn_cli_exit vault_run_deleted(struct pn_cli *cli)
{
    return list_folder(cli, "deleted", deleted_columns);
}

enum pn_cli_exit vault_run_show(struct pn_cli *cli)
{
    return run(cli, "GET", "", "/", NULL, kind_of(cli)->one);
}

enum pn_cli_exit vault_run_versions(struct pn_cli *cli)
{
    char *path = path_of(cli, "", "/versions");
    enum pn_cli_exit code = vault_print_list(cli, path, kind_of(cli)->list);

    free(path);
    return code;
}

enum pn_cli_exit vault_run_update(struct pn_cli *cli)
{
    const char *enabled = pn_cli_value(cli, "enabled");
    const char *version = pn_cli_value(cli, "version");
    bool is_on = enabled && strcmp(enabled, "true") == 0;
    char *suffix;
    json_t *body;
    enum pn_cli_exit code;

    if (!enabled || (!is_on && strcmp(enabled, "false") != 0))
        return pn_cli_usage(cli, "--enabled true or --enabled false is needed");
    suffix = pn_cli_path("/", version ? version : "", "");
    body = json_pack("{s:{s:b}}", "attributes", "enabled", is_on);
    code = run(cli, "PATCH", "", suffix, body, kind_of(cli)->one);
    json_decref(body);
    free(suffix);
    return code;
}

enum pn_cli_exit vault_run_delete(struct pn_cli *cli)
{
    return run(cli, "DELETE", "", "", NULL, deleted_columns);
}

enum pn_cli_exit vault_run_recover(struct pn_cli *cli)
{
    return run(cli, "POST", "deleted", "/recover", NULL, kind_of(cli)->one);
}

enum pn_cli_exit vault_run_purge(struct pn_cli *cli)
{
    char *path = path_of(cli, "deleted", "");
    enum pn_cli_exit code = pn_cli_vault(cli, "DELETE", path, NULL, NULL);

    free(path);
    return code;
}

enum pn_cli_exit vault_run_backup(struct pn_cli *cli)
{
    const char *file = pn_cli_value(cli, "file");
    struct pn_error err = {0};
    json_t *answer = NULL;
    char *path;
    enum pn_cli_exit code;

    if (!file)
        return pn_cli_usage(cli, "--file is needed: where the backup goes");
    path = path_of(cli, "", "/backup");
    code = pn_cli_vault(cli, "POST", path, NULL, &answer);
    if (code == PN_CLI_DONE &&
        pn_file_write_atomic(file, pn_json_slice(answer, "value"), 0600, &err) != PN_OK)
        code = pn_cli_fail(PN_CLI_USAGE, "%s", err.message);
    json_decref(answer);
    free(path);
    return code;
}

enum pn_cli_exit vault_run_restore(struct pn_cli *cli)
{
    struct pn_buf text;
    json_t *body = NULL;
    char *path = NULL;
    enum pn_cli_exit code;

    pn_buf_init_secret(&text, PN_CLI_FILE_BYTES_MAX);
    code = pn_cli_read_file(cli->positionals[0], &text);
    if (code == PN_CLI_DONE) {
        body = json_pack("{s:o}", "value", pn_json_from_slice(pn_slice_trim(pn_buf_slice(&text))));
        if (!body)
            code = pn_cli_usage(cli, "%s is no backup of a vault", cli->positionals[0]);
    }
    if (asprintf(&path, "/%s/restore", kind_of(cli)->collection) < 0)
        abort();
    if (code == PN_CLI_DONE)
        code = vault_call(cli, "POST", path, body, kind_of(cli)->one);
    json_decref(body);
    free(path);
    pn_buf_fini(&text);
    return code;
}
