/* SPDX-License-Identifier: Apache-2.0
 *
 * The portal's files: read once, before control locks itself in, and served from memory by a fixed
 * table of paths, so that no path of a request ever reaches a file system. Beside FILE lie FILE.br
 * and FILE.gz, made by the build. What is in /assets has its hash in its name and may be kept for
 * ever; the page itself may not, and gets a fresh nonce for the styles that its scripts make.
 *
 * Immutable after pn_portal_load(); then any thread. See docs/adr/0185-portal.md.
 */
#pragma once

#include <stdbool.h>

#include "base/error.h"
#include "http/message.h"

#define PN_PORTAL_FILES_MAX      256
#define PN_PORTAL_FILE_BYTES_MAX (8u * 1024 * 1024)

struct pn_portal;

/** Finds the folder beside the executable (build/portal, or PREFIX/share/postern/portal) and reads
 *  it; `dir` not NULL: that folder. PN_NOT_FOUND: it is not installed, *portal is NULL. PN_LIMIT,
 *  PN_IO, PN_NOMEM. */
enum pn_rc pn_portal_load(const char *dir, struct pn_portal **portal,
                          struct pn_error *err) PN_MUST_USE;
void pn_portal_destroy(struct pn_portal *portal);
/** Answers GET and HEAD of a file of the portal, and of its pages (/, /portal/…, /signin…: all are
 *  index.html) for who accepts text/html. False: it is nothing of the portal's, and nothing was
 *  answered. `portal` may be NULL. */
bool pn_portal_handle(const struct pn_portal *portal, const struct pn_request *request,
                      struct pn_response *response);
