/* SPDX-License-Identifier: Apache-2.0
 *
 * Shared by the parts of the keyholder's client: keyholder.c (connection, simple questions),
 * keyholder_issue.c (imports and issuing: long fields), keyholder_vault.c (the vault's keys).
 */
#pragma once

#include "ipc/channel.h"
#include "ipc/keyholder.h"

/** A question that is being built. `rc` keeps the first failure, so that one check at the end is
 * enough. */
struct pn_question {
    struct pn_buf frame; /* secret */
    size_t start;
    enum pn_rc rc;
};

void pn_question_init(struct pn_question *question, uint16_t type);
void pn_question_fini(struct pn_question *question);
void pn_question_u8(struct pn_question *question, uint8_t value);
void pn_question_u32(struct pn_question *question, uint32_t value);
void pn_question_u64(struct pn_question *question, uint64_t value);
void pn_question_bytes(struct pn_question *question, struct pn_slice bytes);
void pn_question_str(struct pn_question *question, const char *text);
void pn_question_id(struct pn_question *question, const struct pn_key_id *key);

void pn_question_spec(struct pn_question *question, const struct pn_issue_spec *spec);
/** "u8 reuses · vkey"; `reuse` may be NULL. */
struct pn_vault_key;
void pn_question_reuse(struct pn_question *question, const struct pn_vault_key *reuse);

/* RSA 4096 takes a second on a busy machine, sometimes several. */
#define PN_ISSUE_TIMEOUT_MS 30000

/** Called with the fields of a good answer, while the connection is still held. */
typedef enum pn_rc (*pn_answer_fn)(struct pn_slice fields, void *ctx);

/** Sends, waits, reads; connects anew and asks once more when the keyholder went away meanwhile.
 *  An error answer is put into `err`. `on_answer` may be NULL (no fields wanted). */
enum pn_rc pn_keyholder_ask(struct pn_keyholder *kh, struct pn_question *question, int timeout_ms,
                            pn_answer_fn on_answer, void *ctx, struct pn_error *err) PN_MUST_USE;
/** Ends the question; *out is filled, or empty when it fails. */
enum pn_rc pn_keyholder_ask_imported(struct pn_keyholder *kh, struct pn_question *question,
                                     int timeout_ms, struct pn_imported *out,
                                     struct pn_error *err) PN_MUST_USE;
