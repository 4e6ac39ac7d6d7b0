/* SPDX-License-Identifier: Apache-2.0
 *
 * The broker. See house.h, and ipc/broker.h for what the children see of it.
 */
#include "supervisor/house.h"

#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/json.h"
#include "base/log.h"
#include "ipc/probe.h"
#include "ipc/protocol.h"

#define ANSWER_TIMEOUT_MS 200

/* Who may ask for what. What is not listed is denied. */
static const struct rule {
    const char *service;
    enum pn_role asker;
    enum pn_member server;
} rules[] = {
    {PN_SERVICE_SIGN, PN_ROLE_GATEWAY, PN_MEMBER_KEYHOLDER},
    {PN_SERVICE_SIGN, PN_ROLE_CONTROL, PN_MEMBER_KEYHOLDER},
    {PN_SERVICE_ADMIN, PN_ROLE_CONTROL, PN_MEMBER_KEYHOLDER},
    {PN_SERVICE_FEED, PN_ROLE_CONTROL, PN_MEMBER_GATEWAY},
    {PN_SERVICE_PROBE, PN_ROLE_CONTROL, PN_MEMBER_GATEWAY},
};

/* Answers question `id`; `fd` (or -1) goes along. False: the asker does not take its answers. */
static bool answer(struct pn_child *asker, uint16_t type, uint32_t id, const struct pn_error *err,
                   int fd)
{
    struct pn_buf frame;
    size_t start;
    enum pn_rc rc;

    pn_buf_init(&frame, 4096);
    rc = pn_frame_begin(&frame, type, id, &start);
    if (rc == PN_OK && err) {
        rc = pn_frame_u32(&frame, err->rc);
        if (rc == PN_OK)
            rc = pn_frame_str(&frame, err->code);
        if (rc == PN_OK)
            rc = pn_frame_str(&frame, err->message);
    }
    if (rc == PN_OK)
        rc = pn_frame_end(&frame, start);
    if (rc == PN_OK)
        rc = pn_channel_send(&asker->ask, pn_buf_slice(&frame), fd, ANSWER_TIMEOUT_MS);
    pn_buf_fini(&frame);
    return rc == PN_OK;
}

static bool refuse(struct pn_child *asker, uint32_t id, const struct pn_error *err)
{
    pn_log(PN_LOG_WARN, "broker_refused", "asker", PN_S(asker->spec.name), "code", PN_S(err->code),
           "message", PN_S(err->message), NULL);
    return answer(asker, PN_BROKER_REFUSED, id, err, -1);
}

/* --- imports --- */

void pn_house_tend_spare(struct pn_house *house, uint64_t now_ms)
{
    struct pn_spare *spare = &house->spare;
    struct pn_error err = {0};

    if (spare->pid != 0 || now_ms < spare->due_ms)
        return;
    if (pn_child_start_import(house->import_path, house->import_executable, house->log_level,
                              &spare->pid, &spare->fd, &err) == PN_OK)
        return;
    pn_log_error(PN_LOG_WARN, "import_not_started", &err);
    spare->pid = 0;
    spare->due_ms = now_ms + PN_SPARE_RETRY_MS;
}

void pn_house_drop_spare(struct pn_house *house)
{
    struct pn_spare *spare = &house->spare;

    if (spare->pid == 0)
        return;
    close(spare->fd);
    kill(spare->pid, SIGKILL); /* it has nothing that it could lose */
    spare->pid = 0;
    spare->due_ms = 0;
}

/* False: there is none, or it has ended. */
static bool take_spare(struct pn_house *house, struct pn_import *import, uint64_t now_ms, int *fd)
{
    struct pn_spare *spare = &house->spare;
    struct pollfd end = {.fd = spare->fd, .events = POLLIN};

    if (spare->pid == 0)
        return false;
    /* It says nothing before it is asked: anything to read is its end, or not ours to trust. */
    if (poll(&end, 1, 0) != 0) {
        pn_house_drop_spare(house);
        spare->due_ms = now_ms + PN_SPARE_RETRY_MS;
        return false;
    }
    import->pid = spare->pid;
    *fd = spare->fd;
    spare->pid = 0;
    spare->due_ms = now_ms + PN_SPARE_DELAY_MS;
    return true;
}

static enum pn_rc start_import(struct pn_house *house, uint64_t now_ms, int *fd,
                               struct pn_error *err)
{
    for (size_t i = 0; i < PN_IMPORT_PROCESSES_MAX; i++) {
        struct pn_import *free_one = &house->imports[i];

        if (free_one->pid != 0)
            continue;
        free_one->started_ms = now_ms;
        if (take_spare(house, free_one, now_ms, fd))
            return PN_OK;
        return pn_child_start_import(house->import_path, house->import_executable, house->log_level,
                                     &free_one->pid, fd, err);
    }
    return pn_error_set(err, PN_LIMIT, "too_many_imports",
                        "%d imports are under way already: try again in a moment",
                        PN_IMPORT_PROCESSES_MAX);
}

static enum pn_rc connect_to(struct pn_child *server, const char *service, enum pn_role asker,
                             int *fd, struct pn_error *err)
{
    int pair[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0)
        return pn_error_set(err, PN_UNAVAILABLE, "no_socket",
                            "the supervisor cannot make a socket pair");
    if (pn_child_push(server, service, asker, pair[1]) != PN_OK) {
        close(pair[0]);
        return pn_error_set(err, PN_UNAVAILABLE, "too_many_waiting",
                            "%s takes no connections now, and too many wait for it",
                            server->spec.name);
    }
    *fd = pair[0];
    return PN_OK;
}

static enum pn_rc find_and_connect(struct pn_house *house, const struct pn_child *asker,
                                   struct pn_slice service, uint64_t now_ms, int *fd,
                                   struct pn_error *err)
{
    if (pn_slice_eq_str(service, PN_SERVICE_IMPORT) && asker->spec.role == PN_ROLE_KEYHOLDER)
        return start_import(house, now_ms, fd, err);
    for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
        if (pn_slice_eq_str(service, rules[i].service) && rules[i].asker == asker->spec.role)
            return connect_to(&house->members[rules[i].server], rules[i].service, asker->spec.role,
                              fd, err);
    }
    return pn_error_set(err, PN_DENIED, "not_allowed", "%s may not connect to %.*s",
                        asker->spec.name, PN_FMT(pn_slice_sub(service, 0, PN_SERVICE_NAME_MAX)));
}

static bool on_connect(struct pn_house *house, struct pn_child *asker, uint32_t id,
                       struct pn_slice service, uint64_t now_ms)
{
    struct pn_error err = {0};
    int fd = -1;
    bool is_fine;

    if (find_and_connect(house, asker, service, now_ms, &fd, &err) != PN_OK)
        return refuse(asker, id, &err);
    is_fine = answer(asker, PN_BROKER_CONNECTED, id, NULL, fd);
    close(fd);
    return is_fine;
}

static bool on_ready(struct pn_house *house, struct pn_child *asker, uint32_t id,
                     struct pn_slice facts)
{
    struct pn_error err = {0};
    json_t *json = NULL;

    /* The commands send the administrator's secret where ready.json says. */
    if (facts.len > 0 && asker->spec.role != PN_ROLE_CONTROL) {
        pn_error_set(&err, PN_DENIED, "not_allowed", "%s has no facts to tell", asker->spec.name);
        return refuse(asker, id, &err);
    }
    if (facts.len > PN_READY_BYTES_MAX) {
        pn_error_set(&err, PN_LIMIT, "too_large", "facts have at most %u bytes",
                     PN_READY_BYTES_MAX);
        return refuse(asker, id, &err);
    }
    if (facts.len > 0 && pn_json_parse(facts, &json, &err) != PN_OK)
        return refuse(asker, id, &err);
    if (json && json_object_update(house->facts, json) != 0)
        pn_log(PN_LOG_WARN, "ready_facts_ignored", "child", PN_S(asker->spec.name), NULL);
    json_decref(json);
    asker->is_ready = true;
    asker->was_ready = true;
    if (house->holds_control && asker->spec.role == PN_ROLE_CONTROL) {
        asker->owes_ready = true;
        asker->ready_id = id;
        return true;
    }
    return answer(asker, PN_BROKER_READY_OK, id, NULL, -1);
}

bool pn_house_answer(struct pn_house *house, struct pn_child *asker, uint64_t now_ms)
{
    struct pn_frame frame;
    struct pn_slice text;

    /* Our children write whole frames; one that sends half of one is broken or captured. */
    if (pn_channel_receive(&asker->ask, &frame, NULL, ANSWER_TIMEOUT_MS) != PN_OK)
        return false;
    if (pn_frame_read_bytes(&frame.fields, &text) != PN_OK)
        return false;
    if (frame.type == PN_BROKER_CONNECT)
        return on_connect(house, asker, frame.id, text, now_ms);
    if (frame.type == PN_BROKER_READY)
        return on_ready(house, asker, frame.id, text);
    return false;
}

void pn_house_check_imports(struct pn_house *house, uint64_t now_ms)
{
    for (size_t i = 0; i < PN_IMPORT_PROCESSES_MAX; i++) {
        struct pn_import *import = &house->imports[i];

        if (import->pid == 0 || now_ms - import->started_ms < PN_IMPORT_LIFETIME_MS)
            continue;
        pn_log(PN_LOG_WARN, "import_killed", "pid", PN_I(import->pid), "cause",
               PN_S("it took too long"), NULL);
        kill(import->pid, SIGKILL);
        import->started_ms = now_ms;
    }
}

bool pn_house_reap_import(struct pn_house *house, pid_t pid, uint64_t now_ms)
{
    if (pid == house->spare.pid) {
        close(house->spare.fd);
        house->spare.pid = 0;
        house->spare.due_ms = now_ms + PN_SPARE_RETRY_MS;
        return true;
    }
    for (size_t i = 0; i < PN_IMPORT_PROCESSES_MAX; i++) {
        if (house->imports[i].pid == pid) {
            house->imports[i].pid = 0;
            return true;
        }
    }
    return false;
}

void pn_house_release_control(struct pn_house *house)
{
    struct pn_child *control = &house->members[PN_MEMBER_CONTROL];

    house->holds_control = false;
    if (!control->owes_ready)
        return;
    control->owes_ready = false;
    if (!answer(control, PN_BROKER_READY_OK, control->ready_id, NULL, -1))
        pn_log(PN_LOG_WARN, "ready_not_answered", "child", PN_S(control->spec.name), NULL);
}

bool pn_house_is_ready(const struct pn_house *house)
{
    for (size_t i = 0; i < PN_MEMBER_COUNT; i++) {
        if (!house->members[i].is_ready)
            return false;
    }
    return true;
}
