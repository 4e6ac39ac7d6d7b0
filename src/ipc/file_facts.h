/* SPDX-License-Identifier: Apache-2.0
 *
 * What a file with a private key turned out to be, for people: told by postern-import, passed on by
 * the keyholder. Texts are valid UTF-8 without control characters once they have been read here.
 */
#pragma once

#include "base/buf.h"
#include "base/error.h"

/* Codes: chain_reordered, several_keys, unrelated_certificates, no_integrity, weak_integrity,
 * weak_encryption, not_encrypted. */
#define PN_NOTES_MAX         8
#define PN_NOTE_CODE_MAX     32
#define PN_NOTE_TEXT_MAX     256
#define PN_FRIENDLY_NAME_MAX 128 /* bytes with NUL; a longer one is cut */
#define PN_FILE_FACT_MAX     160

struct pn_note {
    char code[PN_NOTE_CODE_MAX];
    char text[PN_NOTE_TEXT_MAX]; /* a sentence: what, and what to do */
};

struct pn_file_facts {
    char friendly_name[PN_FRIENDLY_NAME_MAX]; /* of the chosen key; "": none */
    char integrity[PN_FILE_FACT_MAX];         /* "HMAC-SHA256, 2048 rounds", "none" */
    char encryption[PN_FILE_FACT_MAX]; /* "PBES2 with AES-256-CBC", "none"; several with ", " */
    struct pn_note notes[PN_NOTES_MAX];
    size_t note_count;
};

/** Adds a note; a code that is there already, and one above PN_NOTES_MAX, is left out. */
void pn_file_facts_note(struct pn_file_facts *facts, const char *code, const char *format, ...)
    PN_PRINTF(3, 4);
/** As fields of a frame. PN_NOMEM, PN_LIMIT. */
enum pn_rc pn_file_facts_put(struct pn_buf *out, const struct pn_file_facts *facts) PN_MUST_USE;
/** Takes them from the front of *fields, which nobody has to be believed: texts are cut and
 * cleaned. PN_MALFORMED. */
enum pn_rc pn_file_facts_read(struct pn_slice *fields, struct pn_file_facts *facts) PN_MUST_USE;
