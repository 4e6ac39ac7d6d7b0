/* SPDX-License-Identifier: Apache-2.0
 *
 * What portal.c (answers) and portal_files.c (reading) share.
 */
#pragma once

#include "base/buf.h"
#include "control/portal.h"

#define PORTAL_PAGE      "/index.html"
#define PORTAL_PATH_TEXT 192

struct portal_file {
    char path[PORTAL_PATH_TEXT];       /* as in a request: "/assets/index-4f3a.js" */
    const char *type;                  /* of the content; static */
    bool is_hashed;                    /* the name changes with the content */
    char hash[65];                     /* SHA-256 of the plain bytes */
    struct pn_buf plain, gzip, brotli; /* the last two may be empty */
};

struct pn_portal {
    struct portal_file *files;
    size_t count;
    const struct portal_file *page; /* index.html */
};
