/* SPDX-License-Identifier: Apache-2.0
 *
 * One password, in the forms that programs have turned it into bytes. A file says nothing of that:
 * RFC 7292 wants UTF-16 for its own derivation and leaves PBES2 open; OpenSSL before 1.1 widened
 * the terminal's bytes, NSS gave UTF-16 to PBES2 as well, and an empty password is not the same as
 * none. The forms are tried in order; each try is paid from the file's budget of rounds.
 */
#pragma once

#include "base/secret.h"

#define PN_PASSWORD_FORMS_MAX 5

struct pn_password {
    const char *ptr; /* NULL: no password at all */
    int len;
    bool only_pbes2; /* raw UTF-16: no input for the derivation of PKCS#12 itself */
};

struct pn_passwords {
    struct pn_secret memory;
    struct pn_password forms[PN_PASSWORD_FORMS_MAX];
    size_t count;   /* at least 1; the usual one is first */
    bool was_given; /* not empty */
};

/** `text.ptr` NULL: none was given. PN_NOMEM. */
enum pn_rc pn_passwords_init(struct pn_passwords *passwords, struct pn_slice text) PN_MUST_USE;
void pn_passwords_fini(struct pn_passwords *passwords);
