/* SPDX-License-Identifier: Apache-2.0
 *
 * See hand_over.h.
 */
#include "supervisor/hand_over.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"

/* ---- writing ---- */

static json_t *sockets_of(const struct pn_listen_set *sets)
{
    json_t *list = json_array();

    for (int i = 0; i < PN_LISTEN_COUNT; i++) {
        for (size_t k = 0; k < sets[i].count; k++) {
            const struct pn_listen_socket *socket = &sets[i].sockets[k];

            json_array_append_new(list, json_pack("{s:s, s:s, s:i, s:b}", "listener",
                                                  pn_listen_names[i], "address", socket->text, "fd",
                                                  socket->fd, "unix", (int)socket->is_unix));
        }
    }
    return list;
}

static json_t *members_of(const struct pn_hand_over *state)
{
    json_t *list = json_array();

    for (size_t i = 0; i < PN_MEMBER_COUNT; i++) {
        const struct pn_hand_over_member *member = &state->members[i];

        json_array_append_new(list, json_pack("{s:i, s:i, s:i}", "pid", (int)member->pid, "ask",
                                              member->ask, "push", member->push));
    }
    return list;
}

static json_t *files_of(const struct pn_hand_over *state)
{
    json_t *list = json_array();

    for (size_t i = 0; i < PN_HAND_OVER_FILES; i++)
        json_array_append_new(list, json_integer(state->executables[i]));
    return list;
}

enum pn_rc pn_hand_over_write(const struct pn_hand_over *state, int *fd, struct pn_error *err)
{
    json_t *json =
        json_pack("{s:i, s:i, s:s, s:o, s:o, s:o, s:O?, s:s?}", "format", PN_HAND_OVER_FORMAT,
                  "lock", state->lock_fd, "path", state->path, "executables", files_of(state),
                  "members", members_of(state), "sockets", sockets_of(state->listen), "facts",
                  state->facts, "config", state->config);
    char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;
    enum pn_rc rc = PN_OK;

    json_decref(json);
    if (!text)
        return pn_error_set(err, PN_NOMEM, "no_memory", "out of memory");
    *fd = memfd_create("postern-hand-over", 0);
    if (*fd < 0 || pn_fd_write_all(*fd, pn_slice_str(text)) != PN_OK) {
        rc = pn_error_from_errno(err, errno, "cannot write what is to be handed over");
        if (*fd >= 0)
            close(*fd);
    }
    free(text);
    return rc;
}

/* ---- reading ---- */

static int int_of(const json_t *object, const char *name, int otherwise)
{
    const json_t *value = json_object_get(object, name);

    return json_is_integer(value) ? (int)json_integer_value(value) : otherwise;
}

static int listener_of(const char *name)
{
    for (int i = 0; name && i < PN_LISTEN_COUNT; i++) {
        if (strcmp(name, pn_listen_names[i]) == 0)
            return i;
    }
    return -1;
}

static void read_sockets(const json_t *list, struct pn_hand_over *state)
{
    size_t i;
    json_t *one;

    json_array_foreach(list, i, one)
    {
        int which = listener_of(pn_json_str(one, "listener"));
        const char *address = pn_json_str(one, "address");
        struct pn_listen_set *set = which >= 0 ? &state->listen[which] : NULL;
        struct pn_listen_socket *socket;

        if (!set || !address || set->count == PN_LISTEN_FDS_MAX)
            continue;
        socket = &set->sockets[set->count++];
        socket->fd = int_of(one, "fd", -1);
        socket->is_unix = json_is_true(json_object_get(one, "unix"));
        snprintf(socket->text, sizeof(socket->text), "%s", address);
    }
}

static void read_members(const json_t *list, struct pn_hand_over *state)
{
    for (size_t i = 0; i < PN_MEMBER_COUNT; i++) {
        const json_t *one = json_array_get(list, i);
        struct pn_hand_over_member *member = &state->members[i];

        member->pid = (pid_t)int_of(one, "pid", 0);
        member->ask = int_of(one, "ask", -1);
        member->push = int_of(one, "push", -1);
    }
}

static void read_files(const json_t *list, struct pn_hand_over *state)
{
    for (size_t i = 0; i < PN_HAND_OVER_FILES; i++) {
        const json_t *one = json_array_get(list, i);

        state->executables[i] = json_is_integer(one) ? (int)json_integer_value(one) : -1;
    }
}

static enum pn_rc read_text(int fd, struct pn_buf *text, struct pn_error *err)
{
    ssize_t n = 1;

    while (n > 0) {
        enum pn_rc rc = pn_buf_reserve(text, 4096);

        if (rc != PN_OK)
            return pn_error_set(err, rc, "hand_over", "what was handed over is too long");
        n = pread(fd, text->ptr + text->len, 4096, (off_t)text->len);
        if (n < 0)
            return pn_error_from_errno(err, errno, "cannot read what was handed over");
        text->len += (size_t)n;
    }
    return PN_OK;
}

enum pn_rc pn_hand_over_read(int fd, struct pn_hand_over *state, struct pn_error *err)
{
    const char *path;
    json_t *json = NULL;
    struct pn_buf text;
    enum pn_rc rc;

    *state = (struct pn_hand_over){.state_fd = fd, .lock_fd = -1};
    pn_buf_init(&text, PN_HAND_OVER_BYTES_MAX);
    rc = read_text(fd, &text, err);
    if (rc == PN_OK)
        rc = pn_json_parse(pn_buf_slice(&text), &json, err);
    pn_buf_fini(&text);
    if (rc == PN_OK && int_of(json, "format", 0) != PN_HAND_OVER_FORMAT)
        rc = pn_error_set(err, PN_INVALID, "hand_over",
                          "the running version hands over in format %d, this one takes %d: stop "
                          "it and start this one",
                          int_of(json, "format", 0), PN_HAND_OVER_FORMAT);
    if (rc == PN_OK) {
        path = pn_json_str(json, "path");
        snprintf(state->path, sizeof(state->path), "%s", path ? path : "");
        state->lock_fd = int_of(json, "lock", -1);
        read_files(json_object_get(json, "executables"), state);
        read_members(json_object_get(json, "members"), state);
        read_sockets(json_object_get(json, "sockets"), state);
        state->facts = json_incref(json_object_get(json, "facts"));
        state->config = pn_json_str(json, "config");
        state->json = json_incref(json);
    }
    json_decref(json);
    return rc;
}

/* ---- descriptors ---- */

static void keep_one(int fd, bool keeps)
{
    if (fd >= 0)
        (void)!fcntl(fd, F_SETFD, keeps ? 0 : FD_CLOEXEC);
}

void pn_hand_over_keep(const struct pn_hand_over *state, bool keeps)
{
    keep_one(state->state_fd, keeps);
    keep_one(state->lock_fd, keeps);
    for (size_t i = 0; i < PN_HAND_OVER_FILES; i++)
        keep_one(state->executables[i], keeps);
    for (size_t i = 0; i < PN_MEMBER_COUNT; i++) {
        keep_one(state->members[i].ask, keeps);
        keep_one(state->members[i].push, keeps);
    }
    for (size_t i = 0; i < PN_LISTEN_COUNT; i++) {
        for (size_t k = 0; k < state->listen[i].count; k++)
            keep_one(state->listen[i].sockets[k].fd, keeps);
    }
}

void pn_hand_over_fini(struct pn_hand_over *state)
{
    json_decref(state->facts);
    state->facts = NULL;
    json_decref(state->json);
    state->json = NULL;
    state->config = NULL;
    if (state->state_fd >= 0)
        close(state->state_fd);
    state->state_fd = -1;
}
