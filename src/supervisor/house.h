/* SPDX-License-Identifier: Apache-2.0
 *
 * All children together, and who may talk to whom.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>

#include "supervisor/child.h"

enum pn_member { PN_MEMBER_KEYHOLDER, PN_MEMBER_GATEWAY, PN_MEMBER_CONTROL, PN_MEMBER_COUNT };

#define PN_IMPORT_PROCESSES_MAX 8     /* at a time; above: PN_LIMIT to the keyholder */
#define PN_IMPORT_LIFETIME_MS   30000 /* then it is killed */

#define PN_SPARE_DELAY_MS 100  /* after one was taken, until the next is started */
#define PN_SPARE_RETRY_MS 5000 /* after one ended by itself */

struct pn_import {
    pid_t pid; /* 0: free */
    uint64_t started_ms;
};

/** An import process that was started ahead of its file: it has nothing yet, is used once, and is
 * then followed by a new one. */
struct pn_spare {
    pid_t pid; /* 0: none */
    int fd;    /* our end of its only connection */
    uint64_t due_ms;
};

struct pn_house {
    struct pn_child members[PN_MEMBER_COUNT]; /* in the order of their start */
    struct pn_import imports[PN_IMPORT_PROCESSES_MAX];
    struct pn_spare spare;
    const char *import_path;
    int import_executable; /* as pn_child_spec.executable */
    bool holds_control;    /* control is not told that it may serve: pn_house_release_control() */
    const char *log_level;
    json_t *facts; /* what the members told with READY, merged */
};

/** Reads and answers what `asker` asks on its descriptor 3. False: it broke the protocol or hung
 * up. */
bool pn_house_answer(struct pn_house *house, struct pn_child *asker, uint64_t now_ms);
/** Ends imports that take too long. */
void pn_house_check_imports(struct pn_house *house, uint64_t now_ms);
/** Starts the next import process ahead when it is time. */
void pn_house_tend_spare(struct pn_house *house, uint64_t now_ms);
/** Ends it, if there is one; the next is due at once. */
void pn_house_drop_spare(struct pn_house *house);
/** True when `pid` was an import. */
bool pn_house_reap_import(struct pn_house *house, pid_t pid, uint64_t now_ms);
/** Answers what READY of control was held back. */
void pn_house_release_control(struct pn_house *house);
bool pn_house_is_ready(const struct pn_house *house);
