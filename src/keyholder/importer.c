/* SPDX-License-Identifier: Apache-2.0
 *
 * The keyholder's side of an import: a fresh postern-import gets file and password, and gives back
 * key and chain, which are checked here once more. A slow one is cut off by closing; the supervisor
 * ends it.
 */
#include <string.h>
#include <time.h>

#include "ipc/channel.h"
#include "ipc/protocol.h"
#include "keyholder/server_internal.h"

#define ANSWER_TIMEOUT_MS 12000 /* less than the asker's PN_IMPORT_TIMEOUT_MS */

static enum pn_rc wait_turn(struct pn_keyholder_server *server, struct pn_error *err)
{
    struct timespec until;
    bool is_late = false;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += PN_IMPORT_WAIT_MS / 1000;
    pthread_mutex_lock(&server->lock);
    while (server->imports >= PN_IMPORTS_MAX && !is_late)
        is_late = pthread_cond_timedwait(&server->import_ended, &server->lock, &until) != 0;
    if (!is_late)
        server->imports++;
    pthread_mutex_unlock(&server->lock);
    if (is_late)
        return pn_error_set(err, PN_LIMIT, "busy", "%u files are being opened already; try again",
                            PN_IMPORTS_MAX);
    return PN_OK;
}

static void end_turn(struct pn_keyholder_server *server)
{
    pthread_mutex_lock(&server->lock);
    server->imports--;
    pthread_cond_signal(&server->import_ended);
    pthread_mutex_unlock(&server->lock);
}

static enum pn_rc send_file(struct pn_channel *channel, struct pn_slice file,
                            struct pn_slice password)
{
    struct pn_buf frame;
    size_t start;
    enum pn_rc rc;

    pn_buf_init_secret(&frame, PN_IMPORT_BYTES_MAX + PN_PASSWORD_BYTES_MAX + 64);
    rc = pn_frame_begin(&frame, PN_IMPORT_OPEN, 1, &start);
    if (rc == PN_OK)
        rc = pn_frame_u8(&frame, password.ptr != NULL);
    if (rc == PN_OK)
        rc = pn_frame_bytes(&frame, password);
    if (rc == PN_OK)
        rc = pn_frame_bytes(&frame, file);
    if (rc == PN_OK)
        rc = pn_frame_end(&frame, start);
    if (rc == PN_OK)
        rc = pn_channel_send(channel, pn_buf_slice(&frame), -1, ANSWER_TIMEOUT_MS);
    pn_buf_fini(&frame);
    return rc;
}

static enum pn_rc no_answer(struct pn_error *err)
{
    return pn_error_set(
        err, PN_MALFORMED, "not_pfx",
        "the file could not be opened: its parser gave no answer (it ran out of time "
        "or memory, or broke on the file)");
}

static enum pn_rc read_failure(struct pn_slice fields, struct pn_error *err)
{
    struct pn_slice code, message;
    char text[PN_ERROR_CODE_MAX] = "";
    uint32_t rc;

    if (pn_frame_read_u32(&fields, &rc) != PN_OK || pn_frame_read_bytes(&fields, &code) != PN_OK ||
        pn_frame_read_bytes(&fields, &message) != PN_OK || rc == PN_OK || rc > PN_INTERNAL ||
        code.len == 0 || code.len >= sizeof(text))
        return no_answer(err);
    memcpy(text, code.ptr, code.len);
    return pn_error_set(err, (enum pn_rc)rc, text, "%.*s", PN_FMT(message));
}

static enum pn_rc read_opened(struct pn_slice fields, struct pn_bundle *bundle,
                              struct pn_error *err)
{
    struct pn_slice pkcs8, chain[PN_CHAIN_MAX];
    struct pn_file_facts facts;
    enum pn_rc rc;
    uint8_t format;
    uint32_t count = 0;
    bool is_fine = pn_frame_read_u8(&fields, &format) == PN_OK &&
                   (format == PN_FILE_PKCS12 || format == PN_FILE_PEM) &&
                   pn_frame_read_bytes(&fields, &pkcs8) == PN_OK &&
                   pn_frame_read_u32(&fields, &count) == PN_OK && count <= PN_CHAIN_MAX;

    for (uint32_t i = 0; i < count && is_fine; i++)
        is_fine = pn_frame_read_bytes(&fields, &chain[i]) == PN_OK;
    is_fine = is_fine && pn_file_facts_read(&fields, &facts) == PN_OK && fields.len == 0;
    if (!is_fine)
        return no_answer(err);
    rc = pn_bundle_make(format, pkcs8, chain, count, bundle, err);
    if (rc == PN_OK)
        bundle->facts = facts;
    return rc;
}

static enum pn_rc ask(struct pn_channel *channel, struct pn_slice file, struct pn_slice password,
                      struct pn_bundle *bundle, struct pn_error *err)
{
    struct pn_frame answer;

    channel->in.max = 2u * PN_IMPORT_BYTES_MAX;
    if (send_file(channel, file, password) != PN_OK ||
        pn_channel_receive(channel, &answer, NULL, ANSWER_TIMEOUT_MS) != PN_OK)
        return no_answer(err);
    if (answer.type == PN_IMPORT_OPENED)
        return read_opened(answer.fields, bundle, err);
    return answer.type == PN_IMPORT_FAILED ? read_failure(answer.fields, err) : no_answer(err);
}

enum pn_rc pn_importer_open(struct pn_keyholder_server *server, struct pn_slice file,
                            struct pn_slice password, struct pn_bundle *bundle,
                            struct pn_error *err)
{
    struct pn_channel channel;
    enum pn_rc rc;
    int fd;

    if (file.len > PN_IMPORT_BYTES_MAX)
        return pn_error_set(err, PN_LIMIT, "too_large", "the file is larger than %u bytes",
                            PN_IMPORT_BYTES_MAX);
    if (password.len > PN_PASSWORD_BYTES_MAX)
        return pn_error_set(err, PN_DENIED, "wrong_password",
                            "the password is longer than %u bytes", PN_PASSWORD_BYTES_MAX);
    rc = wait_turn(server, err);
    if (rc != PN_OK)
        return rc;
    rc = server->connect(server->connect_ctx, PN_SERVICE_IMPORT, &fd, err);
    if (rc == PN_OK) {
        pn_channel_init(&channel, fd);
        rc = ask(&channel, file, password, bundle, err);
        pn_channel_fini(&channel);
    }
    end_turn(server);
    return rc;
}
