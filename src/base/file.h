/* SPDX-License-Identifier: Apache-2.0
 *
 * Small files, whole: read with a limit, written so that a crash leaves the old or the new one.
 */
#pragma once

#include <sys/types.h>

#include "base/buf.h"
#include "base/error.h"

/** PN_NOT_FOUND, PN_LIMIT (larger than out->max), PN_IO, PN_NOMEM. */
enum pn_rc pn_file_read(const char *path, struct pn_buf *out, struct pn_error *err) PN_MUST_USE;
/** Temporary file beside it, fsync, rename, fsync of the folder. PN_IO. */
enum pn_rc pn_file_write_atomic(const char *path, struct pn_slice bytes, mode_t mode,
                                struct pn_error *err) PN_MUST_USE;
/** Like mkdir -p; an existing folder is fine. PN_IO. */
enum pn_rc pn_dir_make(const char *path, mode_t mode, struct pn_error *err) PN_MUST_USE;
/** All bytes, restarting after signals. PN_IO (errno is kept). */
enum pn_rc pn_fd_write_all(int fd, struct pn_slice bytes) PN_MUST_USE;
