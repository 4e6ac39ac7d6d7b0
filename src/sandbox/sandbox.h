/* SPDX-License-Identifier: Apache-2.0
 *
 * A process gives up what its role does not need. Two steps, both by the process itself:
 *
 *   pn_sandbox_harden()  first line of main: no cores, not dumpable, no_new_privs
 *   pn_sandbox_enter()   after set-up (files of libraries opened, libraries loaded), BEFORE the
 * first thread is made: Landlock rules hold for the calling thread and those it makes later
 *
 * What the kernel lacks is left out and said in the log line `event=sandbox`; what it has but
 * refuses is an error. docs/threat-model.md tells what each profile gives. A sanitized build runs
 * without seccomp.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

enum pn_sandbox_profile {
    PN_SANDBOX_KEYHOLDER, /* only listed system calls: no network, no exec, no executable memory */
    PN_SANDBOX_IMPORT,    /* a short list; anything else kills the process; no file at all */
    PN_SANDBOX_GATEWAY,   /* no exec, fork, ptrace, other processes' memory, namespaces, modules,
                             io_uring, … */
    PN_SANDBOX_CONTROL,   /* the same */
};

/** A file or a folder with all below it. One that does not exist is skipped, unless is_required. */
struct pn_sandbox_path {
    const char *path;
    bool is_writable;
    bool is_required;
};

/** Core limit 0, not dumpable, no_new_privs. PN_IO. */
enum pn_rc pn_sandbox_harden(struct pn_error *err) PN_MUST_USE;
/** Allows the `count` paths besides what the profile's libraries need (name resolution, CA
 * certificates, random numbers; see profile_paths in landlock.c), and nothing else in the file
 * system. PN_IO: the kernel refused. */
enum pn_rc pn_sandbox_enter(enum pn_sandbox_profile profile, const struct pn_sandbox_path *paths,
                            size_t count, struct pn_error *err) PN_MUST_USE;
