/* SPDX-License-Identifier: Apache-2.0
 *
 * What a supervisor leaves to the executable that it makes itself into (upgrade.c): which
 * descriptors are what, and which processes are its children. JSON in an anonymous file, found by
 * PN_HAND_OVER="<descriptor of the file>:<descriptor of the former executable>". A later version
 * ignores members that it does not know; `format` changes when that would not do.
 */
#pragma once

#include <limits.h>
#include <sys/types.h>

#include "supervisor/house.h"
#include "supervisor/listen.h"
#include "supervisor/options.h"

#define PN_HAND_OVER_ENV        "PN_HAND_OVER"
#define PN_HAND_OVER_FAILED_ENV "PN_HAND_OVER_FAILED" /* handed back, for this reason */
#define PN_HAND_OVER_FORMAT     1
#define PN_HAND_OVER_BYTES_MAX  (256u * 1024)
#define PN_HAND_OVER_FILES      5 /* executables: as enum pn_executable */

struct pn_hand_over_member {
    pid_t pid; /* 0: it does not run */
    int ask, push;
};

struct pn_hand_over {
    int state_fd; /* -1: nothing was handed over */
    int lock_fd;
    int executables[PN_HAND_OVER_FILES];
    char path[PATH_MAX]; /* of the supervisor's executable, as it was started first */
    struct pn_hand_over_member members[PN_MEMBER_COUNT];
    struct pn_listen_set listen[PN_LISTEN_COUNT];
    json_t *facts;      /* what ready.json said; owned by who has read it */
    const char *config; /* text of the configuration file that it serves by, or NULL; in `json` */
    json_t *json;       /* owned */
};

/** A new anonymous file with `state`; *fd is the caller's and is kept over exec. PN_IO, PN_NOMEM.
 */
enum pn_rc pn_hand_over_write(const struct pn_hand_over *state, int *fd,
                              struct pn_error *err) PN_MUST_USE;
/** Reads it again; from its start, so that it can be read by the next one too. PN_INVALID: it is of
 *  another format. PN_IO, PN_MALFORMED. */
enum pn_rc pn_hand_over_read(int fd, struct pn_hand_over *state, struct pn_error *err) PN_MUST_USE;
/** Every descriptor in it is kept over exec, or not. */
void pn_hand_over_keep(const struct pn_hand_over *state, bool keeps);
void pn_hand_over_fini(struct pn_hand_over *state);
