/* SPDX-License-Identifier: Apache-2.0
 *
 * A growing byte buffer with a maximum. A "secret" one is wiped when it grows, shrinks or ends.
 */
#pragma once

#include "base/rc.h"
#include "base/slice.h"

struct pn_buf {
    char *ptr;
    size_t len;
    size_t cap;
    size_t max;     /* bytes; growing above fails with PN_LIMIT */
    bool is_secret; /* old bytes are wiped whenever they are let go */
};

void pn_buf_init(struct pn_buf *buf, size_t max);
void pn_buf_init_secret(struct pn_buf *buf, size_t max);
/** Frees (and wipes a secret one); a zeroed buffer is fine. The buffer may be used again after. */
void pn_buf_fini(struct pn_buf *buf);
/** Forgets the content, keeps the memory (wiped when secret). */
void pn_buf_clear(struct pn_buf *buf);
/** What pn_buf_reserve() does when there is too little room. */
enum pn_rc pn_buf_grow(struct pn_buf *buf, size_t more) PN_MUST_USE;
/** Room for `more` further bytes. PN_LIMIT above max, PN_NOMEM. */
static inline PN_MUST_USE enum pn_rc pn_buf_reserve(struct pn_buf *buf, size_t more)
{
    if (more <= buf->cap - buf->len && buf->len + more <= buf->max)
        return PN_OK;
    return pn_buf_grow(buf, more);
}
/** Appends. PN_LIMIT, PN_NOMEM: nothing was appended. */
enum pn_rc pn_buf_append(struct pn_buf *buf, const void *bytes, size_t len) PN_MUST_USE;
enum pn_rc pn_buf_append_slice(struct pn_buf *buf, struct pn_slice slice) PN_MUST_USE;
enum pn_rc pn_buf_append_str(struct pn_buf *buf, const char *text) PN_MUST_USE;
enum pn_rc pn_buf_append_byte(struct pn_buf *buf, char byte) PN_MUST_USE;
enum pn_rc pn_buf_printf(struct pn_buf *buf, const char *format, ...) PN_PRINTF(2, 3) PN_MUST_USE;
/** Drops the first `len` bytes (all, when there are fewer). */
void pn_buf_consume(struct pn_buf *buf, size_t len);
/** Borrowed until the next change. */
struct pn_slice pn_buf_slice(const struct pn_buf *buf);
/** NUL-terminates (the NUL is not counted in len) and returns the text, or NULL: PN_LIMIT/NOMEM. */
char *pn_buf_str(struct pn_buf *buf);
