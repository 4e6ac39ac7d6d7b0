/* SPDX-License-Identifier: Apache-2.0
 *
 * Whole files.
 */
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/encode.h"

enum pn_rc pn_file_read(const char *path, struct pn_buf *out, struct pn_error *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    enum pn_rc rc = PN_OK;

    if (fd < 0) {
        int cause = errno;

        pn_error_from_errno(err, cause, "cannot open %s", path);
        if (cause == ENOENT && err)
            err->rc = PN_NOT_FOUND;
        return cause == ENOENT ? PN_NOT_FOUND : PN_IO;
    }
    for (;;) {
        ssize_t got;

        rc = pn_buf_reserve(out, out->max - out->len < 16384 ? out->max - out->len : 16384);
        if (rc != PN_OK)
            break;
        if (out->cap == out->len || out->len == out->max) {
            char probe;

            got = read(fd, &probe, 1);
            if (got > 0)
                rc = pn_error_set(err, PN_LIMIT, "too_large", "%s is larger than %zu bytes", path,
                                  out->max);
            break;
        }
        got = read(fd, out->ptr + out->len, (out->cap < out->max ? out->cap : out->max) - out->len);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            rc = pn_error_from_errno(err, errno, "cannot read %s", path);
        if (got <= 0)
            break;
        out->len += (size_t)got;
    }
    close(fd);
    return rc;
}

enum pn_rc pn_fd_write_all(int fd, struct pn_slice bytes)
{
    while (bytes.len > 0) {
        ssize_t put = write(fd, bytes.ptr, bytes.len);

        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return PN_IO;
        bytes = pn_slice_sub(bytes, (size_t)put, bytes.len);
    }
    return PN_OK;
}

/* After a rename the folder itself must reach the disk. */
static int sync_folder_of(const char *path)
{
    char folder[PATH_MAX];
    const char *slash = strrchr(path, '/');
    int fd;
    int result;

    if (slash == path)
        snprintf(folder, sizeof(folder), "/");
    else if (slash)
        snprintf(folder, sizeof(folder), "%.*s", (int)(slash - path), path);
    else
        snprintf(folder, sizeof(folder), ".");
    fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    result = fsync(fd);
    close(fd);
    return result;
}

enum pn_rc pn_file_write_atomic(const char *path, struct pn_slice bytes, mode_t mode,
                                struct pn_error *err)
{
    char temporary[PATH_MAX];
    uint8_t nonce[6];
    char suffix[13];
    int fd;

    pn_random(nonce, sizeof(nonce));
    pn_hex_lower(nonce, sizeof(nonce), suffix);
    if ((size_t)snprintf(temporary, sizeof(temporary), "%s.%s.tmp", path, suffix) >=
        sizeof(temporary))
        return pn_error_from_errno(err, ENAMETOOLONG, "cannot write %s", path);
    fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    if (fd < 0)
        return pn_error_from_errno(err, errno, "cannot create %s", temporary);
    if (fchmod(fd, mode) != 0 || pn_fd_write_all(fd, bytes) != PN_OK || fsync(fd) != 0) {
        pn_error_from_errno(err, errno, "cannot write %s", temporary);
        close(fd);
        unlink(temporary);
        return PN_IO;
    }
    close(fd);
    if (rename(temporary, path) != 0) {
        pn_error_from_errno(err, errno, "cannot rename %s to %s", temporary, path);
        unlink(temporary);
        return PN_IO;
    }
    if (sync_folder_of(path) != 0)
        return pn_error_from_errno(err, errno, "cannot sync the folder of %s", path);
    return PN_OK;
}

enum pn_rc pn_dir_make(const char *path, mode_t mode, struct pn_error *err)
{
    char partial[PATH_MAX];
    size_t len = strlen(path);

    if (len == 0 || len >= sizeof(partial))
        return pn_error_from_errno(err, ENAMETOOLONG, "cannot make the folder %s", path);
    memcpy(partial, path, len + 1);
    for (size_t i = 1; i <= len; i++) {
        if (partial[i] != '/' && partial[i] != 0)
            continue;
        partial[i] = 0;
        if (mkdir(partial, mode) != 0 && errno != EEXIST)
            return pn_error_from_errno(err, errno, "cannot make the folder %s", partial);
        partial[i] = path[i];
    }
    return PN_OK;
}
