/* SPDX-License-Identifier: Apache-2.0
 *
 * What postern-import does with its one connection.
 */
#include "ipc/channel.h"
#include "ipc/protocol.h"
#include "pfx/pfx.h"

#define ANSWER_TIMEOUT_MS 5000

static enum pn_rc put_opened(struct pn_buf *out, const struct pn_opened *opened)
{
    enum pn_rc rc = pn_frame_u8(out, (uint8_t)opened->format);

    if (rc == PN_OK)
        rc = pn_frame_bytes(out, pn_buf_slice(&opened->pkcs8));
    if (rc == PN_OK)
        rc = pn_frame_u32(out, (uint32_t)opened->chain_count);
    for (size_t i = 0; i < opened->chain_count && rc == PN_OK; i++)
        rc = pn_frame_bytes(out, pn_buf_slice(&opened->chain[i]));
    return rc == PN_OK ? pn_file_facts_put(out, &opened->facts) : rc;
}

static enum pn_rc put_failure(struct pn_buf *out, const struct pn_error *err)
{
    enum pn_rc rc = pn_frame_u32(out, (uint32_t)err->rc);

    if (rc == PN_OK)
        rc = pn_frame_str(out, err->code);
    if (rc == PN_OK)
        rc = pn_frame_str(out, err->message);
    return rc;
}

static enum pn_rc open_file(const struct pn_frame *question, struct pn_opened *opened,
                            struct pn_error *err)
{
    struct pn_slice fields = question->fields;
    struct pn_slice password, file;
    uint8_t has_password;

    if (question->type != PN_IMPORT_OPEN || pn_frame_read_u8(&fields, &has_password) != PN_OK ||
        pn_frame_read_bytes(&fields, &password) != PN_OK ||
        pn_frame_read_bytes(&fields, &file) != PN_OK || fields.len > 0)
        return pn_error_set(err, PN_MALFORMED, "malformed_request", "not a question for an import");
    if (!has_password)
        password = (struct pn_slice){0};
    return pn_pfx_open(file, password, opened, err);
}

enum pn_rc pn_pfx_serve_one(struct pn_channel *channel)
{
    struct pn_opened opened = {0};
    struct pn_error err = {0};
    struct pn_frame question;
    struct pn_buf answer;
    size_t start;
    bool is_open;
    enum pn_rc rc;

    pn_buf_init_secret(&answer, PN_FRAME_BYTES_MAX);
    /* It may have been started ahead of its file. */
    rc = pn_channel_wait(channel, -1);
    if (rc == PN_OK)
        rc = pn_channel_receive(channel, &question, NULL, PN_IMPORT_TIMEOUT_MS);
    if (rc != PN_OK) {
        pn_buf_fini(&answer);
        return rc;
    }
    is_open = open_file(&question, &opened, &err) == PN_OK;
    rc =
        pn_frame_begin(&answer, is_open ? PN_IMPORT_OPENED : PN_IMPORT_FAILED, question.id, &start);
    if (rc == PN_OK)
        rc = is_open ? put_opened(&answer, &opened) : put_failure(&answer, &err);
    if (rc == PN_OK)
        rc = pn_frame_end(&answer, start);
    if (rc == PN_OK)
        rc = pn_channel_send(channel, pn_buf_slice(&answer), -1, ANSWER_TIMEOUT_MS);
    pn_opened_fini(&opened);
    pn_buf_fini(&answer);
    return rc;
}
