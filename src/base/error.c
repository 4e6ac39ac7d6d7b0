/* SPDX-License-Identifier: Apache-2.0
 *
 * Filling struct pn_error.
 */
#include "base/error.h"

#include <openssl/err.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Cuts at `max` bytes without leaving half a UTF-8 sequence. */
static void cut_utf8(char *text, size_t max)
{
    size_t len = strnlen(text, max);
    size_t start = len;

    if (len < max - 1)
        return;
    while (start > 0 && ((unsigned char)text[start - 1] & 0xc0) == 0x80)
        start--;
    if (start > 0 && ((unsigned char)text[start - 1] & 0x80) != 0)
        start--;
    text[start] = 0;
}

static void copy_text(char *out, size_t max, const char *text)
{
    snprintf(out, max, "%s", text ? text : "");
    cut_utf8(out, max);
}

static void append_text(char *out, size_t max, const char *text)
{
    size_t len = strlen(out);

    if (len + 1 < max)
        snprintf(out + len, max - len, "%s", text);
    cut_utf8(out, max);
}

static void fill(struct pn_error *err, enum pn_rc rc, const char *code, const char *format,
                 va_list args)
{
    err->rc = rc;
    err->target[0] = 0;
    copy_text(err->code, sizeof(err->code), code);
    vsnprintf(err->message, sizeof(err->message), format, args);
    cut_utf8(err->message, sizeof(err->message));
}

enum pn_rc pn_error_set(struct pn_error *err, enum pn_rc rc, const char *code, const char *format,
                        ...)
{
    va_list args;

    if (!err)
        return rc;
    va_start(args, format);
    fill(err, rc, code, format, args);
    va_end(args);
    return rc;
}

enum pn_rc pn_error_target(struct pn_error *err, const char *target)
{
    if (!err)
        return PN_INTERNAL;
    copy_text(err->target, sizeof(err->target), target);
    return err->rc;
}

void pn_error_prefix(struct pn_error *err, const char *format, ...)
{
    char former[PN_ERROR_MESSAGE_MAX];
    va_list args;

    if (!err)
        return;
    copy_text(former, sizeof(former), err->message);
    va_start(args, format);
    vsnprintf(err->message, sizeof(err->message), format, args);
    va_end(args);
    append_text(err->message, sizeof(err->message), ": ");
    append_text(err->message, sizeof(err->message), former);
}

enum pn_rc pn_error_from_errno(struct pn_error *err, int error_number, const char *format, ...)
{
    char reason[128];
    va_list args;

    if (!err)
        return PN_IO;
    va_start(args, format);
    fill(err, PN_IO, "io", format, args);
    va_end(args);
    append_text(err->message, sizeof(err->message), ": ");
    append_text(err->message, sizeof(err->message),
                strerror_r(error_number, reason, sizeof(reason)));
    return PN_IO;
}

enum pn_rc pn_error_from_openssl(struct pn_error *err, enum pn_rc rc, const char *code,
                                 const char *format, ...)
{
    va_list args;
    unsigned long number;

    if (!err) {
        ERR_clear_error();
        return rc;
    }
    va_start(args, format);
    fill(err, rc, code, format, args);
    va_end(args);
    for (number = ERR_get_error(); number != 0; number = ERR_get_error()) {
        const char *reason = ERR_reason_error_string(number);

        if (!reason || strstr(err->message, reason))
            continue;
        append_text(err->message, sizeof(err->message), ": ");
        append_text(err->message, sizeof(err->message), reason);
    }
    return rc;
}
