/* SPDX-License-Identifier: Apache-2.0
 *
 * Shared by server.c (connections), handlers.c (what each question does) and importer.c.
 */
#pragma once

#include <pthread.h>

#include "keyholder/bundle.h"
#include "keyholder/server.h"

/* So many at once, the others wait. */
struct pn_turns {
    pthread_cond_t ended;
    unsigned taken, max;
};

struct pn_keyholder_server {
    const struct pn_master *master;
    struct pn_keys *keys;
    pn_connect_fn connect;
    void *connect_ctx;
    pthread_mutex_t lock; /* of the counts */
    pthread_cond_t import_ended;
    unsigned connections, gateway_connections, imports;
    struct pn_turns large, working; /* of the gateway */
};

struct pn_session {
    struct pn_keyholder_server *server;
    bool is_admin; /* service keyholder.admin */
    enum pn_role asker;
    bool is_broken; /* the peer sent what is no question: close */
};

/** Appends the fields of the answer to *answer. Otherwise err is the answer (unless is_broken). */
enum pn_rc pn_handle_question(struct pn_session *session, const struct pn_frame *question,
                              struct pn_buf *answer, struct pn_error *err) PN_MUST_USE;
/** Has a fresh postern-import open the file; waits its turn. */
enum pn_rc pn_importer_open(struct pn_keyholder_server *server, struct pn_slice file,
                            struct pn_slice password, struct pn_bundle *bundle,
                            struct pn_error *err) PN_MUST_USE;
/** Reads an issue specification off *fields. Texts live in `arena`. PN_MALFORMED, PN_LIMIT,
 * PN_NOMEM. */
struct pn_arena;
enum pn_rc pn_spec_read(struct pn_slice *fields, struct pn_arena *arena, struct pn_key_id *issuer,
                        struct pn_issue_spec *spec) PN_MUST_USE;

/* handlers.c; vault_handlers.c has the questions of the vault */
/** Marks the session: what it sent is no question. */
enum pn_rc pn_question_broken(struct pn_session *session, struct pn_error *err);
/** Answers the bundle sealed to `context`. Ends the bundle. */
enum pn_rc pn_give_sealed(struct pn_session *session, struct pn_slice context,
                          struct pn_bundle *bundle, struct pn_buf *answer,
                          struct pn_error *err) PN_MUST_USE;
enum pn_rc pn_handle_vault_question(struct pn_session *session, const struct pn_frame *question,
                                    struct pn_buf *answer, struct pn_error *err) PN_MUST_USE;
/** Reads which key a new certificate is for off *fields: *key stays NULL for a new one, else the
 * caller frees it. */
enum pn_rc pn_reuse_read(struct pn_session *session, struct pn_slice *fields, EVP_PKEY **key,
                         struct pn_error *err) PN_MUST_USE;
