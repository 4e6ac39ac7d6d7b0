/* SPDX-License-Identifier: Apache-2.0
 *
 * What a process can still do after it entered its profile. Each try runs in a child of its own.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "sandbox/sandbox.h"

#ifdef PN_SANITIZED
#define HAS_SECCOMP false
#else
#define HAS_SECCOMP true
#endif

static char folder[] = "/tmp/postern-sandbox-XXXXXX";

static bool has_landlock(void)
{
    return syscall(444, NULL, 0, 1) >= 1;
}

/* Runs `act` in a child inside the profile; returns its wait status. `act` returns the exit code.
 */
static int inside(enum pn_sandbox_profile profile, int (*act)(void))
{
    struct pn_sandbox_path own = {.path = folder, .is_writable = true, .is_required = true};
    int status = 0;
    pid_t pid = fork();

    if (pid == 0) {
        struct pn_error err = {0};

        pn_log_setup("test", PN_LOG_ERROR);
        if (pn_sandbox_enter(profile, &own, profile == PN_SANDBOX_IMPORT ? 0 : 1, &err) != PN_OK)
            _exit(99);
        _exit(act());
    }
    assert_true(pid > 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

static void expect_exit(int status, int code)
{
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), code);
}

static int act_exec(void)
{
    execl("/bin/true", "true", (char *)NULL);
    return errno == EPERM || errno == EACCES ? 7 : 8;
}

static int act_fork(void)
{
    pid_t pid = fork();

    if (pid == 0)
        _exit(0);
    return pid < 0 && errno == EPERM ? 7 : 8;
}

static int act_socket(void)
{
    return socket(AF_INET, SOCK_STREAM, 0) < 0 && errno == EPERM ? 7 : 8;
}

static int act_bind(void)
{
    struct sockaddr_in any = {.sin_family = AF_INET};
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    if (fd < 0)
        return 9;
    return bind(fd, (struct sockaddr *)&any, sizeof(any)) < 0 && (errno == EACCES || errno == EPERM)
               ? 7
               : 8;
}

/* The kernel gives a socket that listens without an address a port of its choice. */
static int act_listen_unbound(void)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    if (fd < 0)
        return 9;
    return listen(fd, 1) < 0 && errno == EPERM ? 7 : 8;
}

static int act_unix_socket(void)
{
    return socket(AF_UNIX, SOCK_STREAM, 0) < 0 && errno == EAFNOSUPPORT &&
                   syscall(SYS_socket, 0x100000001, SOCK_STREAM, 0) < 0
               ? 7
               : 8;
}

static int act_internet_socket(void)
{
    return socket(AF_INET, SOCK_STREAM, 0) >= 0 && socket(AF_INET6, SOCK_DGRAM, 0) >= 0 ? 7 : 8;
}

static int act_limit_parent(void)
{
    struct rlimit none = {1, 1};

    return syscall(SYS_prlimit64, getppid(), RLIMIT_NOFILE, NULL, &none) < 0 && errno == EPERM ? 7
                                                                                               : 8;
}

static int act_signal_itself(void)
{
    return kill(getpid(), 0) == 0 && raise(0) == 0 ? 7 : 8;
}

static int act_abort(void)
{
    abort();
}

static int act_read_memory(void)
{
    char byte = 0;
    struct iovec ours = {&byte, 1};
    struct iovec theirs = {folder, 1};
    char path[64];

    snprintf(path, sizeof(path), "/proc/%ld/mem", (long)getppid());
    return syscall(SYS_process_vm_readv, getppid(), &ours, 1, &theirs, 1, 0) < 0 &&
                   errno == EPERM && open(path, O_RDONLY) < 0
               ? 7
               : 8;
}

static int act_ptrace(void)
{
    return ptrace(PTRACE_ATTACH, getppid(), NULL, NULL) < 0 && errno == EPERM ? 7 : 8;
}

static int act_read_other_file(void)
{
    return open("/etc/passwd", O_RDONLY) < 0 && errno == EACCES ? 7 : 8;
}

static int act_write_own_file(void)
{
    char path[64];
    int fd;

    snprintf(path, sizeof(path), "%s/file", folder);
    fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (fd < 0 || write(fd, "x", 1) != 1 || fsync(fd) != 0)
        return 8;
    close(fd);
    return unlink(path) == 0 ? 7 : 9;
}

static void *nothing(void *arg)
{
    return arg;
}

static int act_thread(void)
{
    pthread_t thread;

    return pthread_create(&thread, NULL, nothing, NULL) == 0 && pthread_join(thread, NULL) == 0 ? 7
                                                                                                : 8;
}

static int act_executable_memory(void)
{
    void *got =
        mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    return got == MAP_FAILED && errno == EPERM ? 7 : 8;
}

static int act_hardened(void)
{
    struct rlimit core;

    return prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 && getrlimit(RLIMIT_CORE, &core) == 0 &&
                   core.rlim_max == 0
               ? 7
               : 8;
}

static int act_dumpable_again(void)
{
    return prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) < 0 && errno == EPERM &&
                   syscall(SYS_prctl, 0x100000000 + PR_SET_DUMPABLE, 1, 0, 0, 0) < 0
               ? 7
               : 8;
}

static int act_kill_parent(void)
{
    return kill(getppid(), 0) < 0 && errno == EPERM ? 7 : 8;
}

static int act_nothing(void)
{
    return 7;
}

static void every_profile_hardens_the_process_and_lets_it_end(void **state)
{
    (void)state;
    for (int profile = PN_SANDBOX_KEYHOLDER; profile <= PN_SANDBOX_CONTROL; profile++)
        expect_exit(inside((enum pn_sandbox_profile)profile, act_nothing), 7);
    expect_exit(inside(PN_SANDBOX_GATEWAY, act_hardened), 7);
    expect_exit(inside(PN_SANDBOX_CONTROL, act_hardened), 7);
}

static void no_process_starts_another_program(void **state)
{
    (void)state;
    if (!HAS_SECCOMP && !has_landlock())
        skip();
    expect_exit(inside(PN_SANDBOX_KEYHOLDER, act_exec), 7);
    expect_exit(inside(PN_SANDBOX_GATEWAY, act_exec), 7);
    expect_exit(inside(PN_SANDBOX_CONTROL, act_exec), 7);
}

static void no_process_forks_or_debugs_another(void **state)
{
    static const enum pn_sandbox_profile profiles[] = {PN_SANDBOX_KEYHOLDER, PN_SANDBOX_GATEWAY,
                                                       PN_SANDBOX_CONTROL};

    (void)state;
    if (!HAS_SECCOMP)
        skip();
    for (size_t i = 0; i < 3; i++) {
        expect_exit(inside(profiles[i], act_fork), 7);
        expect_exit(inside(profiles[i], act_ptrace), 7);
        expect_exit(inside(profiles[i], act_dumpable_again), 7);
    }
}

static void threads_still_work(void **state)
{
    (void)state;
    expect_exit(inside(PN_SANDBOX_KEYHOLDER, act_thread), 7);
    expect_exit(inside(PN_SANDBOX_GATEWAY, act_thread), 7);
    expect_exit(inside(PN_SANDBOX_CONTROL, act_thread), 7);
}

static void keyholder_has_no_network_and_no_executable_memory(void **state)
{
    (void)state;
    if (!HAS_SECCOMP)
        skip();
    expect_exit(inside(PN_SANDBOX_KEYHOLDER, act_socket), 7);
    expect_exit(inside(PN_SANDBOX_KEYHOLDER, act_executable_memory), 7);
}

static void keyholder_reaches_its_own_folder_only(void **state)
{
    (void)state;
    expect_exit(inside(PN_SANDBOX_KEYHOLDER, act_write_own_file), 7);
    if (!has_landlock())
        skip();
    expect_exit(inside(PN_SANDBOX_KEYHOLDER, act_read_other_file), 7);
    expect_exit(inside(PN_SANDBOX_GATEWAY, act_write_own_file), 7);
    expect_exit(inside(PN_SANDBOX_GATEWAY, act_read_other_file), 7);
}

static void nobody_opens_a_listening_port_or_signals_outside(void **state)
{
    long abi = syscall(444, NULL, 0, 1);

    (void)state;
    if (abi >= 4)
        expect_exit(inside(PN_SANDBOX_GATEWAY, act_bind), 7);
    if (abi >= 6 || HAS_SECCOMP) {
        expect_exit(inside(PN_SANDBOX_GATEWAY, act_kill_parent), 7);
        expect_exit(inside(PN_SANDBOX_CONTROL, act_kill_parent), 7);
    }
    if (abi < 4)
        skip();
}

static void nobody_reaches_daemons_or_other_processes(void **state)
{
    static const enum pn_sandbox_profile profiles[] = {PN_SANDBOX_GATEWAY, PN_SANDBOX_CONTROL};

    (void)state;
    if (!HAS_SECCOMP)
        skip();
    expect_exit(inside(PN_SANDBOX_GATEWAY, act_unix_socket), 7);
    expect_exit(inside(PN_SANDBOX_GATEWAY, act_bind), 7);
    for (size_t i = 0; i < sizeof(profiles) / sizeof(profiles[0]); i++) {
        int status = inside(profiles[i], act_abort);

        assert_true(WIFSIGNALED(status));
        assert_int_equal(WTERMSIG(status), SIGABRT);
        expect_exit(inside(profiles[i], act_listen_unbound), 7);
        expect_exit(inside(profiles[i], act_limit_parent), 7);
        expect_exit(inside(profiles[i], act_read_memory), 7);
        expect_exit(inside(profiles[i], act_internet_socket), 7);
        expect_exit(inside(profiles[i], act_signal_itself), 7);
    }
}

static void import_is_killed_for_any_call_that_is_not_listed(void **state)
{
    int status;

    (void)state;
    if (!HAS_SECCOMP)
        skip();
    status = inside(PN_SANDBOX_IMPORT, act_socket);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGSYS);
    status = inside(PN_SANDBOX_IMPORT, act_read_other_file);
    assert_true(WIFSIGNALED(status));
    status = inside(PN_SANDBOX_IMPORT, act_exec);
    assert_true(WIFSIGNALED(status));
}

static void a_required_path_that_is_missing_is_an_error(void **state)
{
    struct pn_sandbox_path missing = {.path = "/nowhere/at/all", .is_required = true};
    pid_t pid = has_landlock() ? fork() : -1;
    int status;

    (void)state;
    if (pid < 0)
        skip();
    if (pid == 0) {
        struct pn_error err = {0};

        _exit(pn_sandbox_enter(PN_SANDBOX_CONTROL, &missing, 1, &err) == PN_IO ? 7 : 8);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    expect_exit(status, 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_profile_hardens_the_process_and_lets_it_end),
        cmocka_unit_test(no_process_starts_another_program),
        cmocka_unit_test(no_process_forks_or_debugs_another),
        cmocka_unit_test(threads_still_work),
        cmocka_unit_test(keyholder_has_no_network_and_no_executable_memory),
        cmocka_unit_test(keyholder_reaches_its_own_folder_only),
        cmocka_unit_test(nobody_opens_a_listening_port_or_signals_outside),
        cmocka_unit_test(nobody_reaches_daemons_or_other_processes),
        cmocka_unit_test(import_is_killed_for_any_call_that_is_not_listed),
        cmocka_unit_test(a_required_path_that_is_missing_is_an_error),
    };
    int failed;

    if (!mkdtemp(folder))
        return 1;
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    rmdir(folder);
    return failed;
}
