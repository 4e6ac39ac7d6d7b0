/* SPDX-License-Identifier: Apache-2.0
 *
 * Control's side of a probe.
 */
#include "ipc/probe.h"

#include "ipc/channel.h"

#define SEND_TIMEOUT_MS 2000

static enum pn_rc send_question(struct pn_channel *channel, struct pn_slice question)
{
    struct pn_buf frame;
    size_t start;
    enum pn_rc rc;

    pn_buf_init(&frame, PN_PROBE_BYTES_MAX + 64);
    rc = pn_frame_begin(&frame, PN_PROBE_ASK, 1, &start);
    if (rc == PN_OK)
        rc = pn_frame_bytes(&frame, question);
    if (rc == PN_OK)
        rc = pn_frame_end(&frame, start);
    if (rc == PN_OK)
        rc = pn_channel_send(channel, pn_buf_slice(&frame), -1, SEND_TIMEOUT_MS);
    pn_buf_fini(&frame);
    return rc;
}

enum pn_rc pn_probe_ask(struct pn_broker *broker, struct pn_slice question, int timeout_ms,
                        struct pn_buf *answer, struct pn_error *err)
{
    struct pn_channel channel;
    struct pn_frame frame;
    struct pn_slice json;
    int fd = -1;
    enum pn_rc rc = pn_broker_connect(broker, PN_SERVICE_PROBE, &fd, err);

    if (rc != PN_OK)
        return rc;
    pn_channel_init(&channel, fd);
    channel.in.max = PN_PROBE_BYTES_MAX + 64;
    rc = send_question(&channel, question);
    if (rc == PN_OK)
        rc = pn_channel_receive(&channel, &frame, NULL, timeout_ms);
    if (rc == PN_OK &&
        (frame.type != PN_PROBE_ANSWER || pn_frame_read_bytes(&frame.fields, &json) != PN_OK))
        rc = PN_MALFORMED;
    if (rc == PN_OK)
        rc = pn_buf_append_slice(answer, json);
    pn_channel_fini(&channel);
    if (rc == PN_OK)
        return PN_OK;
    return pn_error_set(err, rc == PN_TIMEOUT ? PN_TIMEOUT : PN_UNAVAILABLE, "gateway_away",
                        rc == PN_TIMEOUT ? "the gateway did not answer in time"
                                         : "the gateway is away, or too many probes are under way");
}
