/* SPDX-License-Identifier: Apache-2.0
 *
 * The growing byte buffer.
 */
#include "base/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/secret.h"

#define FIRST_CAPACITY 256

void pn_buf_init(struct pn_buf *buf, size_t max)
{
    *buf = (struct pn_buf){.max = max < SIZE_MAX / 2 ? max : SIZE_MAX / 2};
}

void pn_buf_init_secret(struct pn_buf *buf, size_t max)
{
    pn_buf_init(buf, max);
    buf->is_secret = true;
}

static void release(struct pn_buf *buf)
{
    if (buf->is_secret)
        pn_wipe(buf->ptr, buf->cap);
    free(buf->ptr);
}

void pn_buf_fini(struct pn_buf *buf)
{
    release(buf);
    buf->ptr = NULL;
    buf->len = 0;
    buf->cap = 0;
}

void pn_buf_clear(struct pn_buf *buf)
{
    if (buf->is_secret)
        pn_wipe(buf->ptr, buf->len);
    buf->len = 0;
}

enum pn_rc pn_buf_grow(struct pn_buf *buf, size_t more)
{
    size_t need;
    size_t cap;
    char *grown;

    if (more > buf->max || buf->len > buf->max - more)
        return PN_LIMIT;
    need = buf->len + more;
    if (need <= buf->cap)
        return PN_OK;
    cap = buf->cap > 0 ? buf->cap : FIRST_CAPACITY;
    while (cap < need)
        cap = cap > SIZE_MAX / 2 ? need : cap * 2;
    /* A secret must not stay behind in the block that realloc frees. */
    grown = malloc(cap);
    if (!grown)
        return PN_NOMEM;
    if (buf->len > 0)
        memcpy(grown, buf->ptr, buf->len);
    release(buf);
    buf->ptr = grown;
    buf->cap = cap;
    return PN_OK;
}

enum pn_rc pn_buf_append(struct pn_buf *buf, const void *bytes, size_t len)
{
    enum pn_rc rc = pn_buf_reserve(buf, len);

    if (rc != PN_OK)
        return rc;
    if (len > 0)
        memcpy(buf->ptr + buf->len, bytes, len);
    buf->len += len;
    return PN_OK;
}

enum pn_rc pn_buf_append_slice(struct pn_buf *buf, struct pn_slice slice)
{
    return pn_buf_append(buf, slice.ptr, slice.len);
}

enum pn_rc pn_buf_append_str(struct pn_buf *buf, const char *text)
{
    return pn_buf_append(buf, text, strlen(text));
}

enum pn_rc pn_buf_append_byte(struct pn_buf *buf, char byte)
{
    return pn_buf_append(buf, &byte, 1);
}

enum pn_rc pn_buf_printf(struct pn_buf *buf, const char *format, ...)
{
    va_list args;
    int len;
    enum pn_rc rc;

    va_start(args, format);
    len = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (len < 0)
        return PN_INTERNAL;
    if (buf->max < (size_t)len || buf->len > buf->max - (size_t)len)
        return PN_LIMIT;
    /* vsnprintf needs room for a NUL that is not kept: it may lie one above the maximum. */
    buf->max++;
    rc = pn_buf_reserve(buf, (size_t)len + 1);
    buf->max--;
    if (rc != PN_OK)
        return rc;
    va_start(args, format);
    vsnprintf(buf->ptr + buf->len, (size_t)len + 1, format, args);
    va_end(args);
    buf->len += (size_t)len;
    return PN_OK;
}

void pn_buf_consume(struct pn_buf *buf, size_t len)
{
    size_t left;

    if (len >= buf->len) {
        pn_buf_clear(buf);
        return;
    }
    left = buf->len - len;
    if (len > 0)
        memmove(buf->ptr, buf->ptr + len, left);
    if (buf->is_secret)
        pn_wipe(buf->ptr + left, len);
    buf->len = left;
}

struct pn_slice pn_buf_slice(const struct pn_buf *buf)
{
    return pn_slice(buf->ptr, buf->len);
}

char *pn_buf_str(struct pn_buf *buf)
{
    enum pn_rc rc;

    buf->max++;
    rc = pn_buf_reserve(buf, 1);
    buf->max--;
    if (rc != PN_OK)
        return NULL;
    buf->ptr[buf->len] = 0;
    return buf->ptr;
}
