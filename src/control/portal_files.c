/* SPDX-License-Identifier: Apache-2.0
 *
 * Reads the portal's files into its table. See portal.h.
 */
#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/encode.h"
#include "base/file.h"
#include "control/portal_internal.h"

static const struct {
    const char *ending, *type;
} types[] = {
    {".html", "text/html; charset=utf-8"},
    {".js", "text/javascript; charset=utf-8"},
    {".css", "text/css; charset=utf-8"},
    {".svg", "image/svg+xml"},
    {".png", "image/png"},
    {".woff2", "font/woff2"},
    {".json", "application/json"},
    {".txt", "text/plain; charset=utf-8"},
};

/* NULL: nothing that the portal serves by this name (the compressed twins are read beside it). */
static const char *type_of(const char *name)
{
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        if (pn_slice_ends_with(pn_slice_str(name), pn_slice_str(types[i].ending)))
            return types[i].type;
    }
    return NULL;
}

static enum pn_rc read_twin(const char *path, const char *ending, struct pn_buf *out,
                            struct pn_error *err)
{
    char name[PATH_MAX];
    enum pn_rc rc;

    snprintf(name, sizeof(name), "%.4000s%s", path, ending);
    pn_buf_init(out, PN_PORTAL_FILE_BYTES_MAX);
    rc = pn_file_read(name, out, err);
    return rc == PN_NOT_FOUND ? PN_OK : rc;
}

static enum pn_rc read_one(struct pn_portal *portal, const char *folder, const char *below,
                           const char *name, struct pn_error *err)
{
    struct portal_file *file = &portal->files[portal->count];
    char path[PATH_MAX];
    enum pn_rc rc;

    if (portal->count == PN_PORTAL_FILES_MAX || strlen(below) + strlen(name) >= PORTAL_PATH_TEXT)
        return pn_error_set(err, PN_LIMIT, "portal_files",
                            "%s has more than %d files, or a name that is too long", folder,
                            PN_PORTAL_FILES_MAX);
    snprintf(file->path, sizeof(file->path), "%.60s%.128s", below, name);
    snprintf(path, sizeof(path), "%.3800s%.191s", folder, file->path);
    file->type = type_of(name);
    file->is_hashed = strcmp(below, "/assets/") == 0;
    pn_buf_init(&file->plain, PN_PORTAL_FILE_BYTES_MAX);
    portal->count++;
    rc = pn_file_read(path, &file->plain, err);
    if (rc == PN_OK)
        rc = read_twin(path, ".gz", &file->gzip, err);
    if (rc == PN_OK)
        rc = read_twin(path, ".br", &file->brotli, err);
    pn_sha256_hex(pn_buf_slice(&file->plain), file->hash);
    return rc;
}

static enum pn_rc read_folder(struct pn_portal *portal, const char *folder, const char *below,
                              struct pn_error *err)
{
    char path[PATH_MAX];
    const struct dirent *entry;
    enum pn_rc rc = PN_OK;
    DIR *dir;

    snprintf(path, sizeof(path), "%.4000s%s", folder, below);
    dir = opendir(path);
    if (!dir)
        return pn_error_set(err, PN_NOT_FOUND, "no_portal", "there is no folder %s", path);
    for (entry = readdir(dir); entry && rc == PN_OK; entry = readdir(dir)) {
        if (entry->d_name[0] != '.' && type_of(entry->d_name))
            rc = read_one(portal, folder, below, entry->d_name, err);
    }
    closedir(dir);
    return rc;
}

/* Beside the executable: build/bin/ has build/portal; PREFIX/libexec/postern/ has
 * PREFIX/share/postern/portal. */
static bool find_folder(char folder[PATH_MAX])
{
    static const char *const places[] = {"../portal", "../../share/postern/portal"};
    char self[PATH_MAX], page[PATH_MAX];
    ssize_t len = readlink("/proc/self/exe", self, sizeof(self) - 1);
    char *slash;

    self[len > 0 ? len : 0] = '\0';
    slash = strrchr(self, '/');
    if (!slash)
        return false;
    *slash = '\0';
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        snprintf(folder, PATH_MAX, "%.4000s/%s", self, places[i]);
        snprintf(page, sizeof(page), "%.4060s" PORTAL_PAGE, folder);
        if (access(page, R_OK) == 0)
            return true;
    }
    return false;
}

enum pn_rc pn_portal_load(const char *dir, struct pn_portal **portal, struct pn_error *err)
{
    char folder[PATH_MAX];
    struct pn_portal *made = NULL;
    enum pn_rc rc;

    *portal = NULL;
    snprintf(folder, sizeof(folder), "%.4000s", dir ? dir : "");
    if (!dir && !find_folder(folder))
        return pn_error_set(err, PN_NOT_FOUND, "no_portal", "the portal is not installed");
    made = calloc(1, sizeof(*made));
    if (made)
        made->files = calloc(PN_PORTAL_FILES_MAX, sizeof(*made->files));
    if (!made || !made->files) {
        pn_portal_destroy(made);
        return pn_error_set(err, PN_NOMEM, "no_memory", "out of memory");
    }
    rc = read_folder(made, folder, "/", err);
    if (rc == PN_OK)
        rc = read_folder(made, folder, "/assets/", err);
    for (size_t i = 0; rc == PN_OK && i < made->count; i++) {
        if (strcmp(made->files[i].path, PORTAL_PAGE) == 0)
            made->page = &made->files[i];
    }
    if (rc == PN_OK && !made->page)
        rc = pn_error_set(err, PN_NOT_FOUND, "no_portal", "%s has no index.html", folder);
    if (rc != PN_OK) {
        pn_portal_destroy(made);
        return rc;
    }
    *portal = made;
    return PN_OK;
}

void pn_portal_destroy(struct pn_portal *portal)
{
    if (!portal)
        return;
    for (size_t i = 0; portal->files && i < portal->count; i++) {
        pn_buf_fini(&portal->files[i].plain);
        pn_buf_fini(&portal->files[i].gzip);
        pn_buf_fini(&portal->files[i].brotli);
    }
    free(portal->files);
    free(portal);
}
