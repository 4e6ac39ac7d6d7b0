/* SPDX-License-Identifier: Apache-2.0
 *
 * Shared by supervisor.c, setup.c and upgrade.c only.
 */
#pragma once

#include "supervisor/hand_over.h"
#include "supervisor/house.h"
#include "supervisor/listen.h"
#include "supervisor/options.h"

/* Executables that the supervisor holds open, so that it can start what it was installed with also
 * after another version has taken their place on disk. */
enum pn_executable {
    PN_EXECUTABLE_KEYHOLDER = PN_MEMBER_KEYHOLDER,
    PN_EXECUTABLE_GATEWAY = PN_MEMBER_GATEWAY,
    PN_EXECUTABLE_CONTROL = PN_MEMBER_CONTROL,
    PN_EXECUTABLE_IMPORT,
    PN_EXECUTABLE_SUPERVISOR,
    PN_EXECUTABLE_COUNT
};

/*   NONE ──SIGUSR2──▶ CHECKING ──exec──▶ STARTING ──all ready──▶ DRAINING ──former gone──▶ NONE
 *    ▲                   │ refused         │ a part failed
 *    └───────────────────┴──── exec back ──┘                                                     */
enum pn_upgrade {
    PN_UPGRADE_NONE,
    PN_UPGRADE_CHECKING, /* the new executable is asked whether it would serve */
    PN_UPGRADE_STARTING, /* we are the new one; the former gateway still serves */
    PN_UPGRADE_DRAINING, /* the former gateway finishes what it has */
};

struct pn_supervisor {
    int argc;
    char **argv;
    struct pn_options options;
    struct pn_listen_set listen[PN_LISTEN_COUNT];
    struct pn_buf identity; /* PN_IDENTITY of control */
    struct pn_house house;
    char paths[PN_EXECUTABLE_COUNT][PATH_MAX];
    int executables[PN_EXECUTABLE_COUNT]; /* descriptors, -1: none */
    char threads[16], workers[16], interval[16];
    char *endpoints;      /* JSON text */
    struct pn_buf limits; /* those that are not the default, for the children */
    char ready_file[PATH_MAX];
    char *sign_in_url; /* of the portal, until it is printed; wiped */
    int signal_fd;
    int lock_fd;
    bool was_announced;
    bool is_stopping;
    size_t stop_step;
    uint64_t stop_since_ms;
    int status;

    enum pn_upgrade upgrade;
    uint64_t upgrade_since_ms, former_stop_ms; /* 0: it was not told to stop */
    pid_t check_pid;
    struct pn_house former;    /* from STARTING on: the children of the supervisor before us */
    struct pn_hand_over taken; /* what it left us */
};

/* setup.c */

/** Everything before the first child. `taken` (NULL: none): descriptors of the supervisor before
 *  us. */
enum pn_rc pn_supervisor_prepare(struct pn_supervisor *self, const struct pn_hand_over *taken,
                                 struct pn_error *err) PN_MUST_USE;
/** The executables are there; fills in paths. */
enum pn_rc pn_supervisor_find_executables(struct pn_supervisor *self,
                                          struct pn_error *err) PN_MUST_USE;

/* supervisor.c */

void pn_supervisor_stop(struct pn_supervisor *self, const char *cause, int status);

/* upgrade.c */

/** SIGUSR2: begins an upgrade, or says why not. */
void pn_upgrade_begin(struct pn_supervisor *self, uint64_t now_ms);
/** A process that ended. True: it was part of the upgrade. */
bool pn_upgrade_reap(struct pn_supervisor *self, pid_t pid, int wait_status);
/** What is due: starts the next step, ends what takes too long. */
void pn_upgrade_tend(struct pn_supervisor *self, uint64_t now_ms);
/** Reads what the supervisor before us left, when there was one. PN_NOT_FOUND: none. */
enum pn_rc pn_upgrade_take(struct pn_supervisor *self, struct pn_error *err) PN_MUST_USE;
/** Its children are ours from here on. */
void pn_upgrade_adopt(struct pn_supervisor *self);
/** Gives everything back to the supervisor before us: does not return unless that is impossible. */
void pn_upgrade_roll_back(struct pn_supervisor *self, const char *cause);
/** Children may be started: the former control has ended. */
bool pn_upgrade_may_start(const struct pn_supervisor *self);
/** Stopping: ends what is left of the former children. True: they are gone. */
bool pn_upgrade_stop(struct pn_supervisor *self, uint64_t now_ms);
