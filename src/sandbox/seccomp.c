/* SPDX-License-Identifier: Apache-2.0
 *
 * System call filters by libseccomp. keyholder and import: a list of what is allowed. gateway and
 * control: a list of what is refused, because their libraries (resolvers, curl, SQLite) use much
 * and change it.
 */
#include <errno.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "sandbox/sandbox_internal.h"

/* Memory, threads, time, ends, and input/output on descriptors that are there already. */
static const char *const common_calls[] = {"read",
                                           "write",
                                           "readv",
                                           "writev",
                                           "recvmsg",
                                           "sendmsg",
                                           "recvfrom",
                                           "sendto",
                                           "poll",
                                           "ppoll",
                                           "close",
                                           "munmap",
                                           "mremap",
                                           "madvise",
                                           "mlock",
                                           "munlock",
                                           "brk",
                                           "futex",
                                           "clock_gettime",
                                           "clock_nanosleep",
                                           "nanosleep",
                                           "gettimeofday",
                                           "time",
                                           "getrandom",
                                           "getpid",
                                           "gettid",
                                           "rt_sigaction",
                                           "rt_sigprocmask",
                                           "rt_sigreturn",
                                           "sigaltstack",
                                           "tgkill",
                                           "exit",
                                           "exit_group",
                                           "restart_syscall",
                                           "sched_yield",
                                           "set_robust_list",
                                           "rseq",
                                           "getrusage",
                                           "fstat",
                                           "newfstatat",
                                           NULL};

static const char *const keyholder_calls[] = {"open",
                                              "openat",
                                              "stat",
                                              "lstat",
                                              "statx",
                                              "lseek",
                                              "pread64",
                                              "fsync",
                                              "fdatasync",
                                              "rename",
                                              "renameat",
                                              "renameat2",
                                              "unlink",
                                              "unlinkat",
                                              "mkdir",
                                              "mkdirat",
                                              "getdents64",
                                              "fcntl",
                                              "fchmod",
                                              "ftruncate",
                                              "mlock2",
                                              "munlock",
                                              "access",
                                              "faccessat",
                                              "faccessat2",
                                              "get_robust_list",
                                              "sched_getaffinity",
                                              "getppid",
                                              "getuid",
                                              "geteuid",
                                              "getgid",
                                              "getegid",
                                              "sysinfo",
                                              "umask",
                                              "shutdown",
                                              "getsockopt",
                                              "membarrier",
                                              "getcwd",
                                              "uname",
                                              "signalfd4",
                                              NULL};

/* Everything that makes processes, looks into others, changes the machine, or gets around this
 * filter. */
static const char *const refused_calls[] = {"execve",
                                            "execveat",
                                            "fork",
                                            "vfork",
                                            "ptrace",
                                            "process_vm_readv",
                                            "process_vm_writev",
                                            "process_madvise",
                                            "pidfd_getfd",
                                            "pidfd_open",
                                            "pidfd_send_signal",
                                            "process_mrelease",
                                            "tkill",
                                            "setpriority",
                                            "ioprio_set",
                                            "sched_setscheduler",
                                            "sched_setparam",
                                            "sched_setattr",
                                            "migrate_pages",
                                            "move_pages",
                                            "kcmp",
                                            "unshare",
                                            "setns",
                                            "mount",
                                            "umount",
                                            "umount2",
                                            "move_mount",
                                            "open_tree",
                                            "fsopen",
                                            "fsconfig",
                                            "fsmount",
                                            "fspick",
                                            "mount_setattr",
                                            "pivot_root",
                                            "chroot",
                                            "open_by_handle_at",
                                            "name_to_handle_at",
                                            "bpf",
                                            "perf_event_open",
                                            "userfaultfd",
                                            "io_uring_setup",
                                            "io_uring_enter",
                                            "io_uring_register",
                                            "keyctl",
                                            "add_key",
                                            "request_key",
                                            "init_module",
                                            "finit_module",
                                            "delete_module",
                                            "kexec_load",
                                            "kexec_file_load",
                                            "reboot",
                                            "swapon",
                                            "swapoff",
                                            "acct",
                                            "quotactl",
                                            "quotactl_fd",
                                            "settimeofday",
                                            "clock_settime",
                                            "clock_adjtime",
                                            "adjtimex",
                                            "sethostname",
                                            "setdomainname",
                                            "iopl",
                                            "ioperm",
                                            "modify_ldt",
                                            "personality",
                                            "syslog",
                                            "vhangup",
                                            "lookup_dcookie",
                                            "fanotify_init",
                                            "setuid",
                                            "setgid",
                                            "setreuid",
                                            "setregid",
                                            "setresuid",
                                            "setresgid",
                                            "setgroups",
                                            "capset",
                                            "mknod",
                                            "mknodat",
                                            "chown",
                                            "fchown",
                                            "lchown",
                                            "fchownat",
                                            NULL};

#ifndef PN_SANITIZED

/* A call that this architecture does not have is passed over. */
static int add(scmp_filter_ctx filter, uint32_t action, const char *name)
{
    int number = seccomp_syscall_resolve_name(name);

    return number == __NR_SCMP_ERROR ? 0 : seccomp_rule_add(filter, action, number, 0);
}

static int add_all(scmp_filter_ctx filter, uint32_t action, const char *const *names)
{
    int failed = 0;

    for (; *names && failed == 0; names++)
        failed = add(filter, action, *names);
    return failed;
}

/* Memory is either writable or executable, and nothing new becomes executable. */
static int allow_memory(scmp_filter_ctx filter)
{
    int failed = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 1,
                                  SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));

    if (failed == 0)
        failed = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 1,
                                  SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
    return failed;
}

/* Threads yes, processes no. clone3 has its flags in memory, where a filter cannot look: it "does
 * not exist", and the C library takes clone. */
static int allow_threads(scmp_filter_ctx filter)
{
    int failed = seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);

    if (failed == 0)
        failed = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1,
                                  SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, CLONE_THREAD));
    if (failed == 0)
        failed = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(prctl), 1,
                                  SCMP_A0(SCMP_CMP_EQ, PR_SET_NAME));
    return failed;
}

static int fill_allowing(scmp_filter_ctx filter, bool is_keyholder)
{
    int failed = add_all(filter, SCMP_ACT_ALLOW, common_calls);

    if (failed == 0)
        failed = allow_memory(filter);
    if (failed == 0 && is_keyholder)
        failed = add_all(filter, SCMP_ACT_ALLOW, keyholder_calls);
    if (failed == 0 && is_keyholder)
        failed = allow_threads(filter);
    return failed;
}

/* Other processes of the same user: signals, limits, affinity. Landlock knows signals from ABI 6 on
 * only. */
static int refuse_others(scmp_filter_ctx filter)
{
    static const char *const with_own_pid[] = {"kill", "tgkill", "rt_sigqueueinfo",
                                               "rt_tgsigqueueinfo", NULL};
    static const char *const with_zero[] = {"prlimit64", "sched_setaffinity", NULL};
    scmp_datum_t own = (scmp_datum_t)getpid();
    int failed = 0;

    for (size_t i = 0; with_own_pid[i] && failed == 0; i++)
        failed = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM),
                                  seccomp_syscall_resolve_name(with_own_pid[i]), 1,
                                  SCMP_A0(SCMP_CMP_NE, own));
    for (size_t i = 0; with_zero[i] && failed == 0; i++)
        failed = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM),
                                  seccomp_syscall_resolve_name(with_zero[i]), 1,
                                  SCMP_A0(SCMP_CMP_NE, 0));
    return failed;
}

/* Landlock knows neither UNIX sockets by path (the machine's daemons listen on them) nor listen(2)
 * on a socket that was never bound. Control's resolver talks to a daemon, asks the kernel for
 * addresses (and binds that socket), and curl wakes itself by a pair. */
static int refuse_sockets(scmp_filter_ctx filter, bool is_gateway)
{
    static const char *const of_gateway[] = {"bind", "socketpair", NULL};
    int failed = add(filter, SCMP_ACT_ERRNO(EPERM), "listen");

    if (failed == 0 && is_gateway)
        failed = add_all(filter, SCMP_ACT_ERRNO(EPERM), of_gateway);
    for (unsigned family = 0; family < AF_MAX && failed == 0; family++) {
        if (family == AF_INET || family == AF_INET6 ||
            (!is_gateway && (family == AF_UNIX || family == AF_NETLINK)))
            continue;
        failed = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EAFNOSUPPORT), SCMP_SYS(socket), 1,
                                  SCMP_A0(SCMP_CMP_EQ, family));
    }
    /* The kernel takes the low half of the argument, a filter sees all of it. */
    if (failed == 0)
        failed = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EAFNOSUPPORT), SCMP_SYS(socket), 1,
                                  SCMP_A0(SCMP_CMP_GE, AF_MAX));
    return failed;
}

static int fill_refusing(scmp_filter_ctx filter, bool is_gateway)
{
    static const int refused_prctl[] = {PR_SET_DUMPABLE, PR_SET_PTRACER};
    int failed = add_all(filter, SCMP_ACT_ERRNO(EPERM), refused_calls);

    if (failed == 0)
        failed = refuse_others(filter);
    if (failed == 0)
        failed = refuse_sockets(filter, is_gateway);

    if (failed == 0)
        failed = seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
    if (failed == 0)
        failed = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(clone), 1,
                                  SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, 0));
    if (failed == 0)
        failed = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(ioctl), 1,
                                  SCMP_A1(SCMP_CMP_MASKED_EQ, 0xffffffffu, TIOCSTI));
    for (size_t i = 0; i < sizeof(refused_prctl) / sizeof(refused_prctl[0]) && failed == 0; i++)
        failed = seccomp_rule_add(
            filter, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(prctl), 1,
            SCMP_A0(SCMP_CMP_MASKED_EQ, 0xffffffffu, (scmp_datum_t)refused_prctl[i]));
    return failed;
}

enum pn_rc pn_seccomp_apply(enum pn_sandbox_profile profile, struct pn_error *err)
{
    scmp_filter_ctx filter = NULL;
    int failed = 0;

    switch (profile) {
    case PN_SANDBOX_KEYHOLDER:
        filter = seccomp_init(SCMP_ACT_ERRNO(EPERM));
        failed = filter ? fill_allowing(filter, true) : -ENOMEM;
        break;
    case PN_SANDBOX_IMPORT:
        filter = seccomp_init(SCMP_ACT_KILL_PROCESS);
        failed = filter ? fill_allowing(filter, false) : -ENOMEM;
        break;
    case PN_SANDBOX_GATEWAY:
    case PN_SANDBOX_CONTROL:
        filter = seccomp_init(SCMP_ACT_ALLOW);
        failed = filter ? fill_refusing(filter, profile == PN_SANDBOX_GATEWAY) : -ENOMEM;
        break;
    }
    if (failed == 0)
        failed = seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1);
    if (failed == 0)
        failed = seccomp_load(filter);
    seccomp_release(filter);
    if (failed == 0)
        return PN_OK;
    if (failed == -EINVAL || failed == -ENOSYS) { /* a kernel without filters */
        pn_error_from_errno(err, -failed, "this kernel has no seccomp filters");
        return PN_UNSUPPORTED;
    }
    return pn_error_from_errno(err, -failed, "cannot load the seccomp filter");
}

#else

enum pn_rc pn_seccomp_apply(enum pn_sandbox_profile profile, struct pn_error *err)
{
    (void)profile;
    (void)common_calls;
    (void)keyholder_calls;
    (void)refused_calls;
    return pn_error_set(err, PN_UNSUPPORTED, "sanitized",
                        "a sanitized build needs system calls that a filter refuses");
}

#endif
