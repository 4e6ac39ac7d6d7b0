/* SPDX-License-Identifier: Apache-2.0
 *
 * A subject as people type it -> X509_NAME.
 */
#pragma once

#include <openssl/x509.h>

#include "base/error.h"
#include "base/slice.h"

#define PN_SUBJECT_BYTES_MAX 1024u

/** "CN=name, O=\"An, org\", C=DE" or "/CN=name/O=org"; the first typed comes first. Backslash
 * escapes one character or two hex digits, '+' joins values of one RDN (RFC 4514). The caller frees
 * *name. PN_INVALID, PN_NOMEM. */
enum pn_rc pn_subject_parse(struct pn_slice text, X509_NAME **name,
                            struct pn_error *err) PN_MUST_USE;
