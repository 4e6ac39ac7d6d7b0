/* SPDX-License-Identifier: Apache-2.0
 *
 * postern certificate add-all DIR: every key file of a folder. One that is refused does not stop
 * the others; the table at the end tells what became of each.
 */
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/json.h"
#include "cli/internal.h"

#define FILES_MAX 10000

struct files {
    char *names[FILES_MAX]; /* of the folder, sorted; heap */
    size_t count;
};

static bool is_key_file(const char *name)
{
    static const char *const endings[] = {".pfx", ".p12", ".pem"};
    const char *dot = strrchr(name, '.');

    for (size_t i = 0; dot && dot != name && i < sizeof endings / sizeof *endings; i++)
        if (strcasecmp(dot, endings[i]) == 0)
            return true;
    return false;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static enum pn_cli_exit list_files(const char *dir, struct files *files)
{
    DIR *folder = opendir(dir);
    const struct dirent *entry;
    enum pn_cli_exit code = PN_CLI_DONE;

    if (!folder)
        return pn_cli_fail(PN_CLI_USAGE, "%s cannot be read: %s", dir, strerror(errno));
    for (entry = readdir(folder); entry && code == PN_CLI_DONE; entry = readdir(folder)) {
        if (!is_key_file(entry->d_name))
            continue;
        if (files->count == FILES_MAX)
            code = pn_cli_fail(PN_CLI_USAGE, "%s holds more than %d key files", dir, FILES_MAX);
        else
            files->names[files->count++] = strdup(entry->d_name);
    }
    closedir(folder);
    if (code == PN_CLI_DONE && files->count == 0)
        code = pn_cli_fail(PN_CLI_USAGE, "%s holds no .pfx, .p12 or .pem file", dir);
    qsort(files->names, files->count, sizeof *files->names, compare_names);
    return code;
}

/* "My Orders.pfx" -> "My-Orders": what a certificate may be called. */
static void resource_name(const char *prefix, const char *file, char *out, size_t size)
{
    const char *dot = strrchr(file, '.');
    size_t len = (size_t)snprintf(out, size, "%s", prefix ? prefix : "");

    for (const char *at = file; at < dot && len + 1 < size; at++) {
        bool is_good = (*at >= 'a' && *at <= 'z') || (*at >= 'A' && *at <= 'Z') ||
                       (*at >= '0' && *at <= '9') || *at == '_';

        if (is_good || (len > 0 && out[len - 1] != '-'))
            out[len++] = is_good ? *at : '-';
    }
    while (len > 0 && out[len - 1] == '-')
        len--;
    out[len] = '\0';
}

/* The password of one file: NAME.pass beside it, else the one for all. A new reference. */
static enum pn_cli_exit password_of(struct pn_cli *cli, const char *path, json_t *for_all,
                                    json_t **password)
{
    const char *dot = strrchr(path, '.');
    struct pn_buf text;
    char *beside = NULL;
    FILE *there;
    enum pn_cli_exit code = PN_CLI_DONE;

    (void)cli;
    if (asprintf(&beside, "%.*s.pass", (int)(dot - path), path) < 0)
        abort();
    there = fopen(beside, "re");
    if (!there) {
        *password = json_incref(for_all);
        free(beside);
        return PN_CLI_DONE;
    }
    fclose(there);
    pn_buf_init_secret(&text, 4096);
    code = pn_cli_read_secret(beside, &text);
    if (code == PN_CLI_DONE) {
        *password = pn_json_from_slice(pn_buf_slice(&text));
        if (!*password)
            code = pn_cli_fail(PN_CLI_USAGE, "%s is no UTF-8 text", beside);
    }
    pn_buf_fini(&text);
    free(beside);
    return code;
}

/* One file; what became of it as a row of the table. PN_CLI_UNREACHABLE ends everything. */
static enum pn_cli_exit add_one(struct pn_cli *cli, const char *dir, const char *file,
                                json_t *for_all, json_t *rows)
{
    char name[96];
    char *path = NULL, *where = NULL;
    json_t *data = NULL, *password = NULL, *body = NULL, *answer = NULL;
    enum pn_cli_exit code;

    resource_name(pn_cli_value(cli, "prefix"), file, name, sizeof name);
    if (asprintf(&path, "%s/%s", dir, file) < 0)
        abort();
    where = pn_cli_path("/certificates/", name, "");
    code = pn_cli_file_base64(path, &data);
    if (code == PN_CLI_DONE)
        code = password_of(cli, path, for_all, &password);
    body = json_pack("{s:{s:o*, s:o*}}", "properties", "data", data, "password", password);
    if (code == PN_CLI_DONE) {
        pn_cli_progress_end(); /* a refusal is told on lines of its own */
        code = pn_cli_arm(cli, "PUT", where, body, &answer);
    }
    json_array_append_new(rows, json_pack("{s:s, s:s, s:s, s:O*}", "file", file, "name", name,
                                          "result", code == PN_CLI_DONE ? "added" : "refused",
                                          "properties", json_object_get(answer, "properties")));
    json_decref(answer);
    json_decref(body);
    free(where);
    free(path);
    return code;
}

static enum pn_cli_exit add_files(struct pn_cli *cli, const char *dir, const struct files *files,
                                  json_t *rows)
{
    json_t *for_all = NULL;
    enum pn_cli_exit code = pn_cli_open(cli);
    enum pn_cli_exit worst = PN_CLI_DONE;

    if (code == PN_CLI_DONE)
        code = pn_cli_password(cli, dir, &for_all);
    for (size_t i = 0; code == PN_CLI_DONE && i < files->count; i++) {
        enum pn_cli_exit one;

        pn_cli_progress(i, files->count, files->names[i]);
        one = add_one(cli, dir, files->names[i], for_all, rows);
        worst = one != PN_CLI_DONE ? one : worst;
        code = one == PN_CLI_UNREACHABLE ? one : PN_CLI_DONE;
    }
    pn_cli_progress_end();
    json_decref(for_all);
    return code == PN_CLI_DONE ? worst : code;
}

enum pn_cli_exit pn_cli_certificate_add_all(struct pn_cli *cli)
{
    static const struct pn_cli_column columns[] = {
        {"FILE", "file"},
        {"NAME", "name"},
        {"RESULT", "result"},
        {"THUMBPRINT", "properties.thumbprint"},
        {"EXPIRES", "properties.expirationDate"},
        {NULL, NULL},
    };
    struct files *files = calloc(1, sizeof *files);
    json_t *rows = json_array();
    enum pn_cli_exit code;
    enum pn_cli_exit printed = PN_CLI_DONE;

    if (!files || !rows)
        abort();
    code = list_files(cli->positionals[0], files);
    if (code == PN_CLI_DONE)
        code = add_files(cli, cli->positionals[0], files, rows);
    if (json_array_size(rows) > 0)
        printed = pn_cli_print_list(cli, rows, columns);
    for (size_t i = 0; i < files->count; i++)
        free(files->names[i]);
    free(files);
    json_decref(rows);
    return code == PN_CLI_DONE ? printed : code;
}
