/* SPDX-License-Identifier: Apache-2.0
 *
 * What the supervisor does before the first child: executables, lock, listening sockets, user,
 * and what each child is to be started with.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/encode.h"
#include "base/file.h"
#include "base/json.h"
#include "sandbox/sandbox.h"
#include "supervisor/supervisor_internal.h"

/* Descriptors that are no client's or backend's connection, for each process. */
#define OTHER_FILES 512

/* As it was started, links not followed: where an operator switches a link from one version to the
 * next, the next one is found there. */
static enum pn_rc find_own_path(char path[PATH_MAX], struct pn_error *err)
{
    const char *started = (const char *)getauxval(AT_EXECFN);
    char here[PATH_MAX];
    int len = -1;

    if (started && started[0] == '/')
        len = snprintf(path, PATH_MAX, "%s", started);
    else if (started && getcwd(here, sizeof(here)))
        len = snprintf(path, PATH_MAX, "%s/%s", here, started);
    if (len < 0 || len >= PATH_MAX || !strrchr(path, '/'))
        return pn_error_set(err, PN_IO, "no_path", "cannot tell where this executable is");
    return PN_OK;
}

enum pn_rc pn_supervisor_find_executables(struct pn_supervisor *self, struct pn_error *err)
{
    static const char *const names[] = {"postern-keyholder", "postern-gateway", "postern-control",
                                        "postern-import"};
    const char *forced = getenv("PN_LIBEXEC");
    char own[PATH_MAX];
    ssize_t len = readlink("/proc/self/exe", own, sizeof(own) - 1);
    char *slash;

    if (len < 0)
        return pn_error_from_errno(err, errno, "cannot tell where this executable is");
    own[len] = 0;
    slash = strrchr(own, '/');
    *slash = 0;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        char *path = self->paths[i];

        if (forced)
            snprintf(path, PATH_MAX, "%.2000s/%s", forced, names[i]);
        else
            snprintf(path, PATH_MAX, "%.2000s/%s", own, names[i]);
        if (!forced && access(path, X_OK) != 0)
            snprintf(path, PATH_MAX, "%.2000s/../libexec/postern/%s", own, names[i]);
        if (access(path, X_OK) != 0)
            return pn_error_from_errno(
                err, errno, "%s is missing: it belongs beside postern or in libexec/postern",
                names[i]);
    }
    return find_own_path(self->paths[PN_EXECUTABLE_SUPERVISOR], err);
}

/* What was started first stays startable, whatever is put in its place on disk. */
static enum pn_rc hold_executables(struct pn_supervisor *self, struct pn_error *err)
{
    for (size_t i = 0; i < PN_EXECUTABLE_COUNT; i++) {
        const char *path = i == PN_EXECUTABLE_SUPERVISOR ? "/proc/self/exe" : self->paths[i];

        self->executables[i] = open(path, O_PATH | O_CLOEXEC);
        if (self->executables[i] < 0)
            return pn_error_from_errno(err, errno, "cannot open %s", path);
    }
    return PN_OK;
}

/* Handed back: what we were is on disk no more, but still open. */
static void take_executables(struct pn_supervisor *self, const struct pn_hand_over *taken)
{
    for (size_t i = 0; i < PN_EXECUTABLE_COUNT; i++) {
        self->executables[i] = taken->executables[i];
        snprintf(self->paths[i], PATH_MAX, "/proc/self/fd/%d", taken->executables[i]);
    }
    memcpy(self->paths[PN_EXECUTABLE_SUPERVISOR], taken->path, PATH_MAX);
}

static enum pn_rc lock_data_dir(struct pn_supervisor *self, struct pn_error *err)
{
    char path[PATH_MAX + 8];
    char pid[32];
    enum pn_rc rc = pn_dir_make(self->options.data_dir, 0700, err);

    if (rc != PN_OK)
        return rc;
    snprintf(path, sizeof(path), "%s/lock", self->options.data_dir);
    self->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (self->lock_fd < 0)
        return pn_error_from_errno(err, errno, "cannot open %s", path);
    if (flock(self->lock_fd, LOCK_EX | LOCK_NB) != 0)
        return pn_error_set(
            err, PN_CONFLICT, "in_use",
            "another postern serves from %s: stop it, or choose another folder with --data",
            self->options.data_dir);
    snprintf(pid, sizeof(pid), "%ld\n", (long)getpid());
    if (ftruncate(self->lock_fd, 0) != 0 ||
        pn_fd_write_all(self->lock_fd, pn_slice_str(pid)) != PN_OK)
        return pn_error_from_errno(err, errno, "cannot write %s", path);
    return PN_OK;
}

static enum pn_rc open_listeners(struct pn_supervisor *self, const struct pn_hand_over *taken,
                                 struct pn_error *err)
{
    for (int i = 0; i < PN_LISTEN_COUNT; i++) {
        struct pn_listen_set former = taken ? taken->listen[i] : (struct pn_listen_set){.count = 0};
        enum pn_rc rc = pn_listen_open(&self->options.addresses[i], taken ? &former : NULL,
                                       &self->listen[i], err);

        if (rc != PN_OK) {
            pn_error_prefix(err, "--%s", pn_listen_names[i]);
            return rc;
        }
    }
    return PN_OK;
}

/* The soft limit is for programs that use select(). */
static void raise_file_limit(void)
{
    uint64_t clients = pn_limit_value(PN_LIMIT_CLIENT_CONNECTIONS);
    struct rlimit limit = {0};

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return;
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
        pn_log(PN_LOG_WARN, "file_limit_not_raised", "errno", PN_I(errno), NULL);
    /* Each client may hold one connection to a backend. */
    if (limit.rlim_max != RLIM_INFINITY && limit.rlim_max < 2 * clients + OTHER_FILES)
        pn_log(PN_LOG_WARN, "file_limit_too_low", "files", PN_I(limit.rlim_max),
               "client-connections", PN_I(clients), "wanted", PN_I(2 * clients + OTHER_FILES),
               "remedy",
               PN_S("raise the hard limit of open files (ulimit -Hn, LimitNOFILE=), or lower the "
                    "limit client-connections"),
               NULL);
}

/* Its files are the user's as well, so that it can remove them. */
static bool give_sockets(const struct pn_supervisor *self, const struct passwd *user)
{
    for (int i = 0; i < PN_LISTEN_COUNT; i++) {
        for (size_t k = 0; k < self->listen[i].count; k++) {
            const struct pn_listen_socket *socket = &self->listen[i].sockets[k];

            if (socket->is_unix &&
                chown(socket->text + sizeof("unix:") - 1, user->pw_uid, user->pw_gid) != 0)
                return false;
        }
    }
    return true;
}

static enum pn_rc become_user(const struct pn_supervisor *self, struct pn_error *err)
{
    const struct pn_options *options = &self->options;
    const struct passwd *user;

    if (!options->user[0])
        return PN_OK;
    if (geteuid() != 0)
        return pn_error_set(err, PN_INVALID, "usage", "--user works only when started as root");
    user = getpwnam(options->user);
    if (!user)
        return pn_error_set(err, PN_INVALID, "usage", "--user: there is no user '%s'",
                            options->user);
    if (!give_sockets(self, user) || chown(options->data_dir, user->pw_uid, user->pw_gid) != 0 ||
        initgroups(user->pw_name, user->pw_gid) != 0 || setgid(user->pw_gid) != 0 ||
        setuid(user->pw_uid) != 0)
        return pn_error_from_errno(err, errno, "cannot become the user '%s'", options->user);
    return PN_OK;
}

static void set_url(json_t *facts, const char *name, const char *scheme,
                    const struct pn_listen_set *set, const char *host)
{
    if (set->port != 0)
        json_object_set_new(facts, name, json_sprintf("%s://%s:%u", scheme, host, set->port));
}

static void set_addresses(json_t *facts, const char *name, const struct pn_listen_set *set)
{
    json_t *list = json_array();

    for (size_t i = 0; i < set->count; i++) {
        char text[PN_LISTEN_ADDRESS_MAX];

        pn_listen_address_print(&set->sockets[i], text);
        json_array_append_new(list, json_string(text));
    }
    json_object_set_new(facts, name, list);
}

static enum pn_rc make_endpoints(struct pn_supervisor *self, struct pn_error *err)
{
    const struct pn_listen_set *gateway = &self->listen[PN_LISTEN_GATEWAY];
    const struct pn_listen_set *gateway_tls = &self->listen[PN_LISTEN_GATEWAY_TLS];
    const struct pn_listen_set *control = &self->listen[PN_LISTEN_CONTROL];
    /* Clients that try ::1 first find the gateway either way; an address spares them the choice. */
    const char *host = strcmp(gateway->host, "localhost") == 0 ? "127.0.0.1" : gateway->host;
    json_t *facts = json_object();

    self->house.facts = facts;
    if (!facts)
        return pn_error_set(err, PN_NOMEM, "no_memory", "out of memory");
    set_url(facts, "gatewayUrl", "http", gateway, host);
    set_url(facts, "gatewayTlsUrl", "https", gateway_tls, gateway_tls->host);
    set_url(facts, "controlUrl", "https", control, control->host);
    set_url(facts, "vaultUrl", "https", &self->listen[PN_LISTEN_VAULT], "local.vault.localhost");
    if (self->listen[PN_LISTEN_IDENTITY].port != 0)
        json_object_set_new(
            facts, "identityEndpointUrl",
            json_sprintf("http://%s:%u",
                         strcmp(self->listen[PN_LISTEN_IDENTITY].host, "localhost") == 0
                             ? "127.0.0.1"
                             : self->listen[PN_LISTEN_IDENTITY].host,
                         self->listen[PN_LISTEN_IDENTITY].port));
    set_addresses(facts, "gatewayAddresses", gateway);
    set_addresses(facts, "gatewayTlsAddresses", gateway_tls);
    self->endpoints = json_dumps(facts, JSON_COMPACT);
    return self->endpoints ? PN_OK : pn_error_set(err, PN_NOMEM, "no_memory", "out of memory");
}

static void give_listener(struct pn_supervisor *self, enum pn_member member, enum pn_listen which)
{
    struct pn_child_spec *spec = &self->house.members[member].spec;

    for (size_t i = 0; i < self->listen[which].count; i++) {
        const struct pn_listen_socket *socket = &self->listen[which].sockets[i];

        spec->fds[spec->fd_count++] = (struct pn_child_fd){
            pn_listen_names[which], socket->fd, socket->wants_proxy ? socket->trusted : NULL};
    }
}

/* The lists of control's settings, a line "setting value" for each value. */
static enum pn_rc export_texts(struct pn_supervisor *self, struct pn_error *err)
{
    static const char *const names[PN_TEXTS_COUNT] = {"endpoint-identity", "trusted-issuer",
                                                      "token-source"};
    enum pn_rc rc = PN_OK;

    pn_buf_init(&self->identity, (size_t)PN_TEXTS_COUNT * 2 * PN_OPTION_TEXTS_BYTES);
    for (size_t i = 0; i < PN_TEXTS_COUNT; i++) {
        struct pn_slice rest = pn_slice_str(self->options.texts[i]);
        struct pn_slice line;

        while (rc == PN_OK && pn_slice_cut(&rest, '\n', &line)) {
            if (line.len > 0)
                rc = pn_buf_printf(&self->identity, "%s %.*s\n", names[i], PN_FMT(line));
        }
    }
    return rc == PN_OK ? PN_OK : pn_error_set(err, PN_NOMEM, "no_memory", "out of memory");
}

static void describe_members(struct pn_supervisor *self)
{
    static const enum pn_role roles[] = {PN_ROLE_KEYHOLDER, PN_ROLE_GATEWAY, PN_ROLE_CONTROL};
    static const char *const names[] = {"keyholder", "gateway", "control"};
    static const char *const programs[] = {"postern-keyholder", "postern-gateway",
                                           "postern-control"};
    const struct pn_options *options = &self->options;
    const char **args;

    for (size_t i = 0; i < PN_MEMBER_COUNT; i++) {
        struct pn_child *child = &self->house.members[i];

        pn_channel_init(&child->ask, -1);
        pn_channel_init(&child->push, -1);
        child->spec = (struct pn_child_spec){
            .role = roles[i],
            .name = names[i],
            .path = self->paths[i],
            .executable = self->executables[i],
            .args = {programs[i], "--data", options->data_dir},
            .log_level = pn_log_level_name(options->log_level),
            .limits = pn_buf_str(&self->limits),
        };
    }
    give_listener(self, PN_MEMBER_GATEWAY, PN_LISTEN_GATEWAY);
    give_listener(self, PN_MEMBER_GATEWAY, PN_LISTEN_GATEWAY_TLS);
    give_listener(self, PN_MEMBER_CONTROL, PN_LISTEN_CONTROL);
    give_listener(self, PN_MEMBER_CONTROL, PN_LISTEN_VAULT);
    give_listener(self, PN_MEMBER_CONTROL, PN_LISTEN_IDENTITY);
    self->house.members[PN_MEMBER_CONTROL].spec.endpoints = self->endpoints;
    self->house.members[PN_MEMBER_CONTROL].spec.knows_trace = true;
    self->house.members[PN_MEMBER_GATEWAY].spec.knows_trace = true;
    self->house.import_path = self->paths[PN_EXECUTABLE_IMPORT];
    self->house.import_executable = self->executables[PN_EXECUTABLE_IMPORT];
    self->house.log_level = pn_log_level_name(options->log_level);
    if (options->master_key[0]) {
        args = self->house.members[PN_MEMBER_KEYHOLDER].spec.args + 3;
        *args++ = "--master-key";
        *args = options->master_key;
    }
    args = self->house.members[PN_MEMBER_GATEWAY].spec.args + 3;
    if (options->threads > 0) {
        snprintf(self->threads, sizeof(self->threads), "%u", options->threads);
        *args++ = "--threads";
        *args++ = self->threads;
    }
    if (options->dns_servers[0] != '\0') {
        *args++ = "--dns-servers";
        *args++ = options->dns_servers;
    }
    if (options->link_local_backends[0] != '\0') {
        *args++ = "--link-local-backends";
        *args++ = options->link_local_backends;
    }
    if (options->x_forwarded[0] != '\0') {
        *args++ = "--x-forwarded";
        *args++ = options->x_forwarded;
    }
    if (options->forwarded[0] != '\0') {
        *args++ = "--forwarded";
        *args++ = options->forwarded;
    }
    if (options->tls_records[0] != '\0') {
        *args++ = "--tls-records";
        *args++ = options->tls_records;
    }
    args = self->house.members[PN_MEMBER_CONTROL].spec.args + 3;
    if (options->control_workers > 0) {
        snprintf(self->workers, sizeof(self->workers), "%u", options->control_workers);
        *args++ = "--workers";
        *args++ = self->workers;
    }
    if (options->rotation_interval_s > 0) {
        snprintf(self->interval, sizeof(self->interval), "%u", options->rotation_interval_s);
        *args++ = "--rotation-interval";
        *args++ = self->interval;
    }
    if (options->expiry_days[0] != '\0') {
        *args++ = "--expiry-days";
        *args++ = options->expiry_days;
    }
    if (options->compatibility[0] != '\0') {
        *args++ = "--compatibility";
        *args++ = options->compatibility;
    }
    if (options->linked_access[0] != '\0') {
        *args++ = "--linked-access-check";
        *args++ = options->linked_access;
    }
    if (self->identity.len > 0)
        self->house.members[PN_MEMBER_CONTROL].spec.identity = pn_buf_str(&self->identity);
    if (options->webhooks[0] != '\0')
        self->house.members[PN_MEMBER_CONTROL].spec.webhooks = options->webhooks;
}

static enum pn_rc watch_signals(struct pn_supervisor *self, struct pn_error *err)
{
    sigset_t signals;

    signal(SIGPIPE, SIG_IGN);
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGHUP);
    sigaddset(&signals, SIGUSR2);
    sigaddset(&signals, SIGCHLD);
    if (sigprocmask(SIG_BLOCK, &signals, NULL) != 0)
        return pn_error_from_errno(err, errno, "cannot block signals");
    self->signal_fd = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
    return self->signal_fd >= 0 ? PN_OK : pn_error_from_errno(err, errno, "cannot watch signals");
}

static enum pn_rc export_limits(struct pn_supervisor *self, struct pn_error *err)
{
    enum pn_rc rc = pn_limits_export(self->options.limits, &self->limits);

    if (rc != PN_OK || !pn_buf_str(&self->limits))
        return pn_error_set(err, PN_NOMEM, "no_memory", "out of memory");
    memcpy(pn_limit_values, self->options.limits, sizeof(self->options.limits));
    return PN_OK;
}

/* What the supervisor before us has done already, if there was one. */
static enum pn_rc claim(struct pn_supervisor *self, const struct pn_hand_over *taken,
                        struct pn_error *err)
{
    enum pn_rc rc;

    if (taken) {
        self->lock_fd = taken->lock_fd;
        return open_listeners(self, taken, err);
    }
    rc = lock_data_dir(self, err);
    if (rc == PN_OK)
        rc = open_listeners(self, NULL, err);
    return rc == PN_OK ? become_user(self, err) : rc;
}

/* For control's test console to prove itself to the gateway. It stays over an upgrade: the process
 * and its environment are the same. */
static enum pn_rc make_trace_secret(struct pn_error *err)
{
    char text[PN_UUID_TEXT];

    pn_uuid_v4(text);
    if (setenv("PN_TRACE_SECRET", text, 0) != 0)
        return pn_error_set(err, PN_NOMEM, "no_memory", "out of memory");
    return PN_OK;
}

enum pn_rc pn_supervisor_prepare(struct pn_supervisor *self, const struct pn_hand_over *taken,
                                 struct pn_error *err)
{
    enum pn_rc rc = PN_OK;

    if (taken && getenv(PN_HAND_OVER_FAILED_ENV)) {
        take_executables(self, taken);
    } else {
        rc = pn_supervisor_find_executables(self, err);
        if (rc == PN_OK && taken) /* not by which name an anonymous descriptor was executed */
            memcpy(self->paths[PN_EXECUTABLE_SUPERVISOR], taken->path, PATH_MAX);
        if (rc == PN_OK)
            rc = hold_executables(self, err);
    }
    if (rc == PN_OK)
        rc = make_trace_secret(err);
    if (rc == PN_OK)
        rc = export_limits(self, err);
    if (rc == PN_OK)
        rc = export_texts(self, err);
    if (rc == PN_OK)
        rc = claim(self, taken, err);
    if (rc == PN_OK)
        rc = pn_sandbox_harden(err);
    if (rc == PN_OK)
        rc = make_endpoints(self, err);
    if (rc == PN_OK)
        rc = watch_signals(self, err);
    if (rc != PN_OK)
        return rc;
    raise_file_limit();
    snprintf(self->ready_file, sizeof(self->ready_file), "%.4000s/ready.json",
             self->options.data_dir);
    if (!taken)
        unlink(self->ready_file); /* of a supervisor that was killed */
    describe_members(self);
    return PN_OK;
}
