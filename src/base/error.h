/* SPDX-License-Identifier: Apache-2.0
 *
 * What went wrong, for a person: a code, a sentence, and the cause. Lives on the caller's stack,
 * owns nothing. Never put a secret, a password or a byte of a PFX into it.
 */
#pragma once

#include "base/rc.h"

#define PN_ERROR_CODE_MAX    64
#define PN_ERROR_MESSAGE_MAX 1024
#define PN_ERROR_TARGET_MAX  128

struct pn_error {
    enum pn_rc rc;
    char code[PN_ERROR_CODE_MAX];       /* stable name for programs, e.g. "wrong_password" */
    char target[PN_ERROR_TARGET_MAX];   /* the field or element it is about; may be empty */
    char message[PN_ERROR_MESSAGE_MAX]; /* a sentence: what was wrong, where, what to do */
};

/** No error yet. Where a request passes, instead of zeroing 1.2 KB by an initialiser. */
static inline void pn_error_clear(struct pn_error *err)
{
    err->rc = PN_OK;
    err->code[0] = err->target[0] = err->message[0] = 0;
}

/** Fills `err` (NULL is allowed) and returns `rc`, so that one can `return pn_error_set(...)`.
 *  A text longer than the limit is cut at a UTF-8 border. */
enum pn_rc pn_error_set(struct pn_error *err, enum pn_rc rc, const char *code, const char *format,
                        ...) PN_PRINTF(4, 5);
/** Names the field the error is about; returns err->rc (or PN_INTERNAL when err is NULL). */
enum pn_rc pn_error_target(struct pn_error *err, const char *target);
/** Puts "<context>: " before the message that is there. */
void pn_error_prefix(struct pn_error *err, const char *format, ...) PN_PRINTF(2, 3);
/** Appends ": <strerror(error_number)>". */
enum pn_rc pn_error_from_errno(struct pn_error *err, int error_number, const char *format, ...)
    PN_PRINTF(3, 4);
/** Appends the reason texts of OpenSSL's error queue, innermost first, and clears the queue. */
enum pn_rc pn_error_from_openssl(struct pn_error *err, enum pn_rc rc, const char *code,
                                 const char *format, ...) PN_PRINTF(4, 5);
