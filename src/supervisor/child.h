/* SPDX-License-Identifier: Apache-2.0
 *
 * One child process: how it is started, and the two sockets it is born with (ipc/broker.h).
 */
#pragma once

#include <sys/types.h>

#include "ipc/broker.h"
#include "ipc/channel.h"

#define PN_CHILD_ARGS_MAX            26
#define PN_CHILD_FDS_MAX             56
#define PN_CHILD_PENDING_MAX         256 /* connections that wait for a child that is being restarted */
#define PN_CHILD_PENDING_GATEWAY_MAX 192 /* of them for the gateway: control finds a place */

/** What a child finds at descriptor 5 and up. */
struct pn_child_fd {
    const char *name; /* of the listener */
    int fd;
    const char *proxies; /* it wants PROXY headers, from these address ranges; NULL: it does not */
};

struct pn_child_spec {
    enum pn_role role;
    const char *name; /* "gateway" */
    const char *path; /* of the executable */
    int executable;   /* a descriptor of the same; where `path` is another file, this is started; 0:
                         `path` alone */
    const char *args[PN_CHILD_ARGS_MAX]; /* NULL-ended; args[0] too */
    struct pn_child_fd fds[PN_CHILD_FDS_MAX];
    size_t fd_count;
    const char *log_level;
    const char *endpoints; /* PN_ENDPOINTS, or NULL */
    const char *webhooks;  /* PN_EVENT_WEBHOOKS, or NULL: not for every eye, as arguments are */
    const char *identity;  /* PN_IDENTITY: "setting value" lines, or NULL */
    const char *limits;    /* pn_limits_export(), or NULL */
    bool knows_trace;      /* it is given the secret of traces (gateway/trace.h) */
};

struct pn_pending {
    char service[32];
    enum pn_role asker;
    int fd;
};

struct pn_child {
    struct pn_child_spec spec;
    pid_t pid;              /* 0: not running */
    struct pn_channel ask;  /* its questions */
    struct pn_channel push; /* what we push to it */
    uint32_t ready_id;      /* READY that is still to be answered; see house.h */
    bool owes_ready;
    struct pn_pending pending[PN_CHILD_PENDING_MAX];
    size_t pending_count;
    bool is_ready;                      /* this run of it has said so */
    bool was_ready;                     /* some run of it has */
    uint64_t started_ms, restart_at_ms; /* monotonic; restart_at_ms 0: not due */
    unsigned quick_deaths;
};

/** Starts it. PN_IO. */
enum pn_rc pn_child_start(struct pn_child *child, uint64_t now_ms,
                          struct pn_error *err) PN_MUST_USE;
/** Closes its sockets; the process was reaped or will be. */
void pn_child_close(struct pn_child *child);
/** Pushes a connection, or keeps it until the child is back or takes it. Never waits. Takes `fd`.
 * PN_LIMIT: too many wait (fd is closed). */
enum pn_rc pn_child_push(struct pn_child *child, const char *service, enum pn_role asker,
                         int fd) PN_MUST_USE;
/** Pushes what waits, as far as the child takes it. */
void pn_child_flush(struct pn_child *child);
/** Tells a running child its new log level. */
void pn_child_log_level(struct pn_child *child, const char *level);
/** Starts `path` with one socket at descriptor 3 (postern-import); *fd is the other end. PN_IO. */
enum pn_rc pn_child_start_import(const char *path, int executable, const char *log_level,
                                 pid_t *pid, int *fd, struct pn_error *err) PN_MUST_USE;
