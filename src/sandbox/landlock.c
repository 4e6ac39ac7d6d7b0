/* SPDX-License-Identifier: Apache-2.0
 *
 * Landlock by its system calls (there is no library wrapper). The numbers stand here, because the
 * headers of a distribution may be older than the kernel that runs; see
 * Documentation/userspace-api/landlock.rst.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sandbox/sandbox_internal.h"

#define FS_WRITE_FILE (1ull << 1)
#define FS_READ_FILE  (1ull << 2)
#define FS_READ_DIR   (1ull << 3)
#define FS_REFER      (1ull << 13) /* ABI 2 */
#define FS_TRUNCATE   (1ull << 14) /* ABI 3 */
#define FS_ABI_1      ((1ull << 13) - 1)
#define FS_WRITABLE   /* remove and make regular files and folders, no devices, sockets or links */ \
    (FS_WRITE_FILE | 1ull << 4 | 1ull << 5 | 1ull << 7 | 1ull << 8 | FS_REFER | FS_TRUNCATE)
#define FS_ON_A_FILE (FS_WRITE_FILE | FS_READ_FILE | FS_TRUNCATE)

#define NET_BIND_TCP               (1ull << 0) /* ABI 4 */
#define SCOPE_ABSTRACT_UNIX_SOCKET (1ull << 0) /* ABI 6 */
#define SCOPE_SIGNAL               (1ull << 1) /* ABI 6 */

#define RULE_PATH_BENEATH 1
#define CREATE_VERSION    1u

#ifndef SYS_landlock_create_ruleset
#define SYS_landlock_create_ruleset 444
#define SYS_landlock_add_rule       445
#define SYS_landlock_restrict_self  446
#endif

struct ruleset_attr {
    uint64_t handled_access_fs;
    uint64_t handled_access_net; /* ABI 4 */
    uint64_t scoped;             /* ABI 6 */
};

struct path_beneath_attr {
    uint64_t allowed_access;
    int32_t parent_fd;
} __attribute__((packed));

/* What the libraries of a role read: names, CA certificates, random numbers. Not all
 * of /etc/ssl: private keys of the machine are in it. Control's resolver
 * (glibc) reads /etc/resolv.conf again whenever that file was replaced, so it needs the folder; the
 * gateway's (c-ares) reads it once. */
static const char *const gateway_paths[] = {"/etc/ssl/certs",
                                            "/etc/ssl/cert.pem",
                                            "/etc/ssl/openssl.cnf",
                                            "/etc/pki/tls/certs",
                                            "/etc/pki/tls/cert.pem",
                                            "/etc/pki/tls/openssl.cnf",
                                            "/etc/pki/ca-trust/extracted",
                                            "/usr/lib/ssl",
                                            "/usr/share/ca-certificates",
                                            "/usr/local/share/ca-certificates",
                                            "/etc/resolv.conf",
                                            "/etc/hosts",
                                            "/etc/host.conf",
                                            "/etc/nsswitch.conf",
                                            "/etc/services",
                                            "/etc/gai.conf",
                                            "/etc/localtime",
                                            "/dev/urandom",
                                            "/dev/null",
                                            NULL};
static const char *const control_paths[] = {
    "/etc", "/usr/lib", "/usr/lib64",           "/usr/share",   "/usr/local/share",
    "/lib", "/lib64",   "/run/systemd/resolve", "/dev/urandom", "/dev/null",
    NULL};
static const char *const no_paths[] = {NULL};

static const char *const *profile_paths(enum pn_sandbox_profile profile)
{
    switch (profile) {
    case PN_SANDBOX_GATEWAY:
        return gateway_paths;
    case PN_SANDBOX_CONTROL:
        return control_paths;
    case PN_SANDBOX_KEYHOLDER:
    case PN_SANDBOX_IMPORT:
        return no_paths;
    }
    return no_paths;
}

static uint64_t fs_access_of(int abi)
{
    uint64_t access = FS_ABI_1;

    if (abi >= 2)
        access |= FS_REFER;
    if (abi >= 3)
        access |= FS_TRUNCATE;
    return access;
}

static enum pn_rc allow(int ruleset, const struct pn_sandbox_path *path, uint64_t handled,
                        struct pn_error *err)
{
    struct path_beneath_attr rule = {0};
    struct stat status;
    int cause;
    int fd = open(path->path, O_PATH | O_CLOEXEC);

    if (fd < 0 && !path->is_required)
        return PN_OK;
    if (fd < 0)
        return pn_error_from_errno(err, errno, "cannot open %s", path->path);
    rule.parent_fd = fd;
    rule.allowed_access = FS_READ_FILE | FS_READ_DIR;
    if (path->is_writable)
        rule.allowed_access |= FS_WRITABLE;
    if (fstat(fd, &status) != 0 || !S_ISDIR(status.st_mode))
        rule.allowed_access &= FS_ON_A_FILE;
    rule.allowed_access &= handled;
    cause = syscall(SYS_landlock_add_rule, ruleset, RULE_PATH_BENEATH, &rule, 0) == 0 ? 0 : errno;
    close(fd);
    if (cause != 0)
        return pn_error_from_errno(err, cause, "cannot allow %s", path->path);
    return PN_OK;
}

static enum pn_rc allow_libraries(int ruleset, enum pn_sandbox_profile profile, uint64_t handled,
                                  struct pn_error *err)
{
    const char *const *fixed = profile_paths(profile);
    const char *chosen[] = {getenv("SSL_CERT_FILE"), getenv("SSL_CERT_DIR"),
                            getenv("OPENSSL_CONF")};
    bool reads_certificates = profile == PN_SANDBOX_GATEWAY || profile == PN_SANDBOX_CONTROL;
    enum pn_rc rc = PN_OK;

    for (; *fixed && rc == PN_OK; fixed++)
        rc = allow(ruleset, &(struct pn_sandbox_path){.path = *fixed}, handled, err);
    for (size_t i = 0; i < sizeof(chosen) / sizeof(chosen[0]) && rc == PN_OK; i++) {
        if (reads_certificates && chosen[i])
            rc = allow(ruleset, &(struct pn_sandbox_path){.path = chosen[i]}, handled, err);
    }
#ifdef PN_SANITIZED /* reads its own maps and symbols when it reports */
    if (rc == PN_OK)
        rc = allow(ruleset, &(struct pn_sandbox_path){.path = "/proc"}, handled, err);
    if (rc == PN_OK)
        rc = allow(ruleset, &(struct pn_sandbox_path){.path = "/proc/self/exe"}, handled, err);
#endif
    return rc;
}

enum pn_rc pn_landlock_apply(enum pn_sandbox_profile profile, const struct pn_sandbox_path *paths,
                             size_t count, int *abi, struct pn_error *err)
{
    long version = syscall(SYS_landlock_create_ruleset, NULL, 0, CREATE_VERSION);
    struct ruleset_attr attr = {0};
    size_t attr_len = sizeof(attr.handled_access_fs);
    enum pn_rc rc;
    int ruleset;

    *abi = 0;
    if (version < 1) /* ENOSYS, EOPNOTSUPP: not in this kernel, or not switched on */
        return PN_OK;
    attr.handled_access_fs = fs_access_of((int)version);
    if (version >= 4) {
        attr.handled_access_net = NET_BIND_TCP;
        attr_len = sizeof(attr.handled_access_fs) + sizeof(attr.handled_access_net);
    }
    if (version >= 6) {
        attr.scoped = SCOPE_SIGNAL | SCOPE_ABSTRACT_UNIX_SOCKET;
        attr_len = sizeof(attr);
    }
    ruleset = (int)syscall(SYS_landlock_create_ruleset, &attr, attr_len, 0);
    if (ruleset < 0)
        return pn_error_from_errno(err, errno, "cannot make a Landlock ruleset");
    rc = allow_libraries(ruleset, profile, attr.handled_access_fs, err);
    for (size_t i = 0; i < count && rc == PN_OK; i++)
        rc = allow(ruleset, &paths[i], attr.handled_access_fs, err);
    if (rc == PN_OK && syscall(SYS_landlock_restrict_self, ruleset, 0) != 0)
        rc = pn_error_from_errno(err, errno, "cannot enter the Landlock ruleset");
    if (rc == PN_OK)
        *abi = (int)version;
    close(ruleset);
    return rc;
}
