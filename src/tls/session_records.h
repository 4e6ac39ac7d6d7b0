/* SPDX-License-Identifier: Apache-2.0
 *
 * A stream whose records are ours: the socket's bytes through the record layer. For session.c and
 * session_io.c only; the functions are those of session.h with the same names.
 */
#pragma once

#include "tls/session_internal.h"

struct pn_stream_records;

/** Takes the connection over from OpenSSL, if it can be; otherwise nothing is changed. */
void pn_stream_records_take(struct pn_stream *stream);
void pn_stream_records_free(struct pn_stream_records *io);

enum pn_rc pn_stream_records_read(struct pn_stream *stream, void *buf, size_t cap,
                                  size_t *len) PN_MUST_USE;
enum pn_rc pn_stream_records_writev(struct pn_stream *stream, const struct iovec *iov, int count,
                                    size_t *written) PN_MUST_USE;
bool pn_stream_records_has_pending(const struct pn_stream_records *io);
/** close_notify, if it can be sent now. */
void pn_stream_records_close(struct pn_stream *stream);
void pn_stream_records_trim(struct pn_stream_records *io);
