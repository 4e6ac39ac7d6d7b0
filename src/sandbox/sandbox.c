/* SPDX-License-Identifier: Apache-2.0
 *
 * Hardening of the process itself, and the order of the walls.
 */
#include "sandbox/sandbox.h"

#include <errno.h>
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/log.h"
#include "sandbox/sandbox_internal.h"

enum pn_rc pn_sandbox_harden(struct pn_error *err)
{
    struct rlimit none = {0, 0};

    if (setrlimit(RLIMIT_CORE, &none) != 0)
        return pn_error_from_errno(err, errno, "cannot forbid core dumps");
#ifndef PN_SANITIZED /* the leak checker attaches to its own process */
    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0)
        return pn_error_from_errno(err, errno, "cannot make the process undumpable");
#endif
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        return pn_error_from_errno(err, errno, "cannot set no_new_privs");
    return PN_OK;
}

/* Root without capabilities is a user who owns root's files. Passing by file modes stays: the data
 * folder may belong to somebody else, and Landlock bounds what can be reached. The keyholder may go
 * on locking its memory above the limit. */
static enum pn_rc drop_capabilities(enum pn_sandbox_profile profile, struct pn_error *err)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct sets[_LINUX_CAPABILITY_U32S_3] = {0};

    if (geteuid() != 0)
        return PN_OK;
    if (syscall(SYS_capget, &header, sets) != 0)
        return pn_error_from_errno(err, errno, "cannot read capabilities");
    sets[0].permitted &=
        1u << CAP_DAC_OVERRIDE | (profile == PN_SANDBOX_KEYHOLDER ? 1u << CAP_IPC_LOCK : 0u);
    sets[0].effective = sets[0].permitted;
    sets[0].inheritable = 0;
    sets[1] = (struct __user_cap_data_struct){0};
    if (syscall(SYS_capset, &header, sets) != 0)
        return pn_error_from_errno(err, errno, "cannot give up capabilities");
    return PN_OK;
}

static const char *profile_name(enum pn_sandbox_profile profile)
{
    switch (profile) {
    case PN_SANDBOX_KEYHOLDER:
        return "keyholder";
    case PN_SANDBOX_IMPORT:
        return "import";
    case PN_SANDBOX_GATEWAY:
        return "gateway";
    case PN_SANDBOX_CONTROL:
        return "control";
    }
    return "unknown";
}

enum pn_rc pn_sandbox_enter(enum pn_sandbox_profile profile, const struct pn_sandbox_path *paths,
                            size_t count, struct pn_error *err)
{
    int landlock_abi = 0;
    bool has_seccomp;
    enum pn_rc rc = pn_sandbox_harden(err);

    if (rc == PN_OK)
        rc = drop_capabilities(profile, err);
    if (rc == PN_OK)
        rc = pn_landlock_apply(profile, paths, count, &landlock_abi, err);
    if (rc != PN_OK)
        return rc;
    rc = pn_seccomp_apply(profile, err);
    has_seccomp = rc == PN_OK;
    if (rc != PN_OK && rc != PN_UNSUPPORTED)
        return rc;
    pn_log(landlock_abi > 0 && has_seccomp ? PN_LOG_INFO : PN_LOG_WARN, "sandbox", "profile",
           PN_S(profile_name(profile)), "no_new_privs", PN_S("on"), "core_bytes_max", PN_I(0),
           "seccomp", PN_S(has_seccomp ? "on" : "off"), "landlock_abi", PN_I(landlock_abi), NULL);
    return PN_OK;
}
