/* SPDX-License-Identifier: Apache-2.0
 *
 * "KIND[,name=value…]", completed by Azure's environment variables.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "azure/azure_internal.h"
#include "base/file.h"

#define IMDS_URL      "http://169.254.169.254"
#define AUTHORITY_URL "https://login.microsoftonline.com"

static const struct kind {
    const char *name;
    enum azure_kind kind;
    const char *parts; /* that it takes, by spaces */
} kinds[] = {
    {"imds", AZURE_IMDS, "url"},
    {"app-service", AZURE_APP_SERVICE, "url header-file"},
    {"workload", AZURE_WORKLOAD, "authority tenant client-id token-file"},
    {"secret", AZURE_SECRET, "authority tenant client-id secret-file"},
    {"certificate", AZURE_CERTIFICATE, "authority tenant client-id file password-file"},
};

static bool has_word(const char *words, struct pn_slice word)
{
    struct pn_slice rest = pn_slice_str(words), one;

    while (pn_slice_cut(&rest, ' ', &one)) {
        if (pn_slice_eq(one, word))
            return true;
    }
    return false;
}

static bool keep(char *out, size_t size, struct pn_slice value)
{
    if (value.len == 0 || value.len >= size)
        return false;
    snprintf(out, size, "%.*s", PN_FMT(value));
    return true;
}

static enum pn_rc read_part(struct azure_source *source, const struct kind *kind,
                            struct pn_slice name, struct pn_slice value, struct pn_error *err)
{
    const struct {
        const char *name;
        char *out;
        size_t size;
    } parts[] = {
        {"url", source->url, sizeof source->url},
        {"authority", source->authority, sizeof source->authority},
        {"tenant", source->tenant, sizeof source->tenant},
        {"client-id", source->client_id, sizeof source->client_id},
        {"header-file", source->file, sizeof source->file},
        {"token-file", source->file, sizeof source->file},
        {"secret-file", source->file, sizeof source->file},
        {"file", source->key_file, sizeof source->key_file},
        {"password-file", source->password_file, sizeof source->password_file},
    };

    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        if (!pn_slice_eq_str(name, parts[i].name) || !has_word(kind->parts, name))
            continue;
        if (parts[i].out[0] || !keep(parts[i].out, parts[i].size, value))
            return pn_error_set(err, PN_INVALID, "token_source",
                                "%s of the source %s is empty, too long or there twice",
                                parts[i].name, kind->name);
        return PN_OK;
    }
    return pn_error_set(err, PN_INVALID, "token_source", "the source %s has no part '%.*s' (%s)",
                        kind->name, PN_FMT(pn_slice_sub(name, 0, 40)), kind->parts);
}

static void from_environment(char *out, size_t size, const char *variable, const char *otherwise)
{
    const char *value = getenv(variable);

    if (!out[0])
        snprintf(out, size, "%s", value && value[0] ? value : otherwise);
}

static void complete(struct azure_source *source)
{
    if (source->kind == AZURE_IMDS) {
        from_environment(source->url, sizeof source->url, "AZURE_POD_IDENTITY_AUTHORITY_HOST",
                         IMDS_URL);
        return;
    }
    if (source->kind == AZURE_APP_SERVICE) {
        from_environment(source->url, sizeof source->url, "IDENTITY_ENDPOINT", "");
        return;
    }
    from_environment(source->authority, sizeof source->authority, "AZURE_AUTHORITY_HOST",
                     AUTHORITY_URL);
    from_environment(source->tenant, sizeof source->tenant, "AZURE_TENANT_ID", "");
    from_environment(source->client_id, sizeof source->client_id, "AZURE_CLIENT_ID", "");
    if (source->kind == AZURE_WORKLOAD)
        from_environment(source->file, sizeof source->file, "AZURE_FEDERATED_TOKEN_FILE", "");
}

enum pn_rc azure_read_file(const char *path, struct pn_buf *text, struct pn_error *err)
{
    struct pn_slice trimmed;
    enum pn_rc rc = pn_file_read(path, text, err);

    if (rc != PN_OK)
        return rc == PN_NOMEM ? rc : PN_IO;
    trimmed = pn_slice_trim(pn_buf_slice(text));
    if (trimmed.len == 0)
        return pn_error_set(err, PN_IO, "token_source", "%s is empty", path);
    pn_buf_consume(text, (size_t)(trimmed.ptr - text->ptr));
    text->len = trimmed.len;
    return PN_OK;
}

/* App Service's secret: of the file, or of the environment. */
static enum pn_rc read_header(struct azure_source *source, struct pn_error *err)
{
    const char *given = getenv("IDENTITY_HEADER");
    struct pn_buf text;
    enum pn_rc rc = PN_OK;

    pn_buf_init_secret(&text, AZURE_SECRET_MAX);
    if (source->file[0])
        rc = azure_read_file(source->file, &text, err);
    else if (given && given[0])
        rc = pn_buf_append_str(&text, given);
    else
        rc = pn_error_set(err, PN_INVALID, "token_source",
                          "the source app-service needs header-file=FILE or the environment "
                          "variable IDENTITY_HEADER");
    if (rc == PN_OK)
        rc = pn_secret_from(&source->header, text.ptr, text.len);
    pn_buf_fini(&text);
    return rc;
}

/* A file's folder, because mounted files are replaced by links; never one that holds more than
 * that. */
static enum pn_rc find_folder(const struct azure_source *source, const char *file,
                              char folder[PATH_MAX], struct pn_error *err)
{
    const char *slash = strrchr(file, '/');

    if (file[0] != '/' || slash == file || strstr(file, "/../"))
        return pn_error_set(err, PN_INVALID, "token_source",
                            "the file of the source %s must have an absolute path, in a folder of "
                            "its own",
                            source->name);
    snprintf(folder, PATH_MAX, "%.*s", (int)(slash - file), file);
    return PN_OK;
}

static enum pn_rc need(const struct azure_source *source, const char *text, const char *part,
                       const char *variable, struct pn_error *err)
{
    if (text[0])
        return PN_OK;
    return pn_error_set(err, PN_INVALID, "token_source", "the source %s needs %s=…%s%s",
                        source->name, part, variable ? " or the environment variable " : "",
                        variable ? variable : "");
}

static bool is_tenant(const char *text)
{
    return text[0] && strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                   "-.") == strlen(text);
}

static enum pn_rc check_application(struct azure_source *source, struct pn_error *err)
{
    size_t len = strlen(source->authority);
    enum pn_rc rc = need(source, source->tenant, "tenant", "AZURE_TENANT_ID", err);

    while (len > 0 && source->authority[len - 1] == '/')
        source->authority[--len] = '\0';
    if (rc == PN_OK)
        rc = need(source, source->client_id, "client-id", "AZURE_CLIENT_ID", err);
    if (rc == PN_OK && strncmp(source->authority, "https://", 8) != 0)
        rc = pn_error_set(err, PN_INVALID, "token_source",
                          "the authority of the source %s must be an https URL", source->name);
    if (rc == PN_OK && !is_tenant(source->tenant))
        rc = pn_error_set(err, PN_INVALID, "token_source",
                          "the tenant of the source %s must be an id or a name", source->name);
    return rc;
}

enum pn_rc azure_read(struct azure_source *source, struct pn_slice text, struct pn_error *err)
{
    const struct kind *kind = NULL;
    struct pn_slice part = {NULL, 0};
    enum pn_rc rc = PN_OK;

    (void)pn_slice_cut(&text, ',', &part);
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        if (pn_slice_eq_str(part, kinds[i].name))
            kind = &kinds[i];
    }
    if (!kind)
        return pn_error_set(err, PN_INVALID, "token_source",
                            "'%.*s' is none of embedded, imds, app-service, workload, secret and "
                            "certificate",
                            PN_FMT(pn_slice_sub(part, 0, 40)));
    source->kind = kind->kind;
    source->name = kind->name;
    while (rc == PN_OK && pn_slice_cut(&text, ',', &part)) {
        size_t equals = pn_slice_find(part, '=');

        rc = read_part(source, kind, pn_slice_sub(part, 0, equals),
                       pn_slice_sub(part, equals + 1, part.len), err);
    }
    if (rc != PN_OK)
        return rc;
    complete(source);
    switch (source->kind) {
    case AZURE_IMDS:
        return need(source, source->url, "url", NULL, err);
    case AZURE_APP_SERVICE:
        rc = need(source, source->url, "url", "IDENTITY_ENDPOINT", err);
        return rc == PN_OK ? read_header(source, err) : rc;
    case AZURE_WORKLOAD:
        rc = need(source, source->file, "token-file", "AZURE_FEDERATED_TOKEN_FILE", err);
        break;
    case AZURE_SECRET:
        rc = need(source, source->file, "secret-file", NULL, err);
        break;
    case AZURE_CERTIFICATE:
        rc = need(source, source->key_file, "file", NULL, err);
        if (rc == PN_OK)
            rc = find_folder(source, source->key_file, source->folders[0], err);
        if (rc == PN_OK && source->password_file[0])
            rc = find_folder(source, source->password_file, source->folders[1], err);
        return rc == PN_OK ? check_application(source, err) : rc;
    }
    if (rc == PN_OK)
        rc = find_folder(source, source->file, source->folders[0], err);
    return rc == PN_OK ? check_application(source, err) : rc;
}
