/* SPDX-License-Identifier: Apache-2.0
 *
 * Blocking frames over a UNIX stream socket, with deadlines and descriptor passing.
 */
#include "ipc/channel.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"

void pn_channel_init(struct pn_channel *channel, int fd)
{
    *channel = (struct pn_channel){.fd = fd, .next_id = 1};
    pn_buf_init_secret(&channel->in, PN_FRAME_BYTES_MAX);
}

static void channel_close(struct pn_channel *channel)
{
    if (channel->fd >= 0)
        close(channel->fd);
    channel->fd = -1;
}

void pn_channel_fini(struct pn_channel *channel)
{
    channel_close(channel);
    pn_buf_fini(&channel->in);
}

/* A deadline of 0 is "never". */
static uint64_t deadline_after(int timeout_ms)
{
    return timeout_ms < 0 ? 0 : pn_clock_monotonic_ms() + (uint64_t)timeout_ms;
}

static enum pn_rc wait_for(int fd, short events, uint64_t deadline_ms)
{
    for (;;) {
        struct pollfd waiting = {.fd = fd, .events = events};
        int timeout_ms = -1;
        int got;

        if (deadline_ms > 0) {
            uint64_t now = pn_clock_monotonic_ms();

            timeout_ms = now >= deadline_ms ? 0 : (int)(deadline_ms - now);
        }
        got = poll(&waiting, 1, timeout_ms);
        if (got > 0)
            return PN_OK;
        if (got == 0)
            return PN_TIMEOUT;
        if (errno != EINTR)
            return PN_IO;
    }
}

union control {
    char bytes[CMSG_SPACE(sizeof(int))];
    struct cmsghdr align;
};

static void attach_fd(struct msghdr *message, union control *control, int fd)
{
    struct cmsghdr *header;

    memset(control, 0, sizeof(*control));
    message->msg_control = control->bytes;
    message->msg_controllen = sizeof(control->bytes);
    header = CMSG_FIRSTHDR(message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(header), &fd, sizeof(int));
}

enum pn_rc pn_channel_send(struct pn_channel *channel, struct pn_slice frame, int pass_fd,
                           int timeout_ms)
{
    uint64_t deadline_ms = deadline_after(timeout_ms);
    enum pn_rc rc = PN_OK;

    if (channel->fd < 0)
        return PN_UNAVAILABLE;
    while (frame.len > 0 && rc == PN_OK) {
        union control control;
        struct iovec part = {.iov_base = (void *)(uintptr_t)frame.ptr, .iov_len = frame.len};
        struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
        ssize_t sent;

        if (pass_fd >= 0)
            attach_fd(&message, &control, pass_fd);
        sent = sendmsg(channel->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent >= 0) {
            pass_fd = -1;
            frame = pn_slice_sub(frame, (size_t)sent, frame.len);
        } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
            rc = wait_for(channel->fd, POLLOUT, deadline_ms);
        } else if (errno != EINTR) {
            rc = PN_UNAVAILABLE;
        }
    }
    if (rc != PN_OK)
        channel_close(channel);
    return rc == PN_OK || rc == PN_TIMEOUT ? rc : PN_UNAVAILABLE;
}

/* Takes the descriptors out of a received message: the first one goes to *passed_fd if that is free
 * and wanted, all others are closed. False when the peer sent more than fits or more than one. */
static bool collect_fds(struct msghdr *message, int *passed_fd)
{
    bool is_fine = !(message->msg_flags & MSG_CTRUNC);

    for (struct cmsghdr *header = CMSG_FIRSTHDR(message); header;
         header = CMSG_NXTHDR(message, header)) {
        size_t count;

        if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS)
            continue;
        count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < count; i++) {
            int fd;

            memcpy(&fd, CMSG_DATA(header) + i * sizeof(int), sizeof(int));
            if (*passed_fd < 0) {
                *passed_fd = fd;
            } else {
                close(fd);
                is_fine = false;
            }
        }
    }
    return is_fine;
}

/* Appends exactly `len` bytes to channel->in. */
static enum pn_rc read_exactly(struct pn_channel *channel, size_t len, int *passed_fd,
                               uint64_t deadline_ms)
{
    enum pn_rc rc = pn_buf_reserve(&channel->in, len);

    while (len > 0 && rc == PN_OK) {
        union control control;
        struct iovec part = {.iov_base = channel->in.ptr + channel->in.len, .iov_len = len};
        struct msghdr message = {.msg_iov = &part,
                                 .msg_iovlen = 1,
                                 .msg_control = control.bytes,
                                 .msg_controllen = sizeof(control.bytes)};
        ssize_t got = recvmsg(channel->fd, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);

        if (got >= 0 && !collect_fds(&message, passed_fd))
            rc = PN_MALFORMED;
        else if (got == 0)
            rc = channel->in.len == 0 ? PN_EOF : PN_MALFORMED;
        else if (got > 0)
            len -= (size_t)got;
        else if (errno == EAGAIN || errno == EWOULDBLOCK)
            rc = wait_for(channel->fd, POLLIN, deadline_ms);
        else if (errno != EINTR)
            rc = PN_EOF;
        if (got > 0)
            channel->in.len += (size_t)got;
    }
    return rc;
}

enum pn_rc pn_channel_wait(const struct pn_channel *channel, int timeout_ms)
{
    if (channel->fd < 0)
        return PN_EOF;
    return wait_for(channel->fd, POLLIN, deadline_after(timeout_ms));
}

enum pn_rc pn_channel_receive(struct pn_channel *channel, struct pn_frame *frame, int *passed_fd,
                              int timeout_ms)
{
    uint64_t deadline_ms = deadline_after(timeout_ms);
    int came_along = -1;
    size_t whole;
    enum pn_rc rc;

    if (passed_fd)
        *passed_fd = -1;
    if (channel->fd < 0)
        return PN_EOF;
    pn_buf_clear(&channel->in);
    rc = read_exactly(channel, PN_FRAME_HEAD, &came_along, deadline_ms);
    if (rc == PN_OK) {
        rc = pn_frame_parse(pn_buf_slice(&channel->in), frame, &whole);
        if (rc == PN_AGAIN) {
            rc = read_exactly(channel, whole - PN_FRAME_HEAD, &came_along, deadline_ms);
            if (rc == PN_OK)
                rc = pn_frame_parse(pn_buf_slice(&channel->in), frame, &whole);
        }
    }
    if (rc == PN_OK && passed_fd) {
        *passed_fd = came_along;
        return PN_OK;
    }
    if (came_along >= 0)
        close(came_along);
    if (rc != PN_OK)
        channel_close(channel);
    return rc;
}
