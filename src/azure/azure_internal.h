/* SPDX-License-Identifier: Apache-2.0
 *
 * What the files of this room share.
 */
#pragma once

#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>

#include "azure/azure.h"

#define AZURE_TEXT_MAX   512
#define AZURE_SECRET_MAX (32u * 1024)

enum azure_kind { AZURE_IMDS, AZURE_APP_SERVICE, AZURE_WORKLOAD, AZURE_SECRET, AZURE_CERTIFICATE };

/* What a file was when it was read; another one has other numbers. */
struct azure_seen {
    struct timespec modified, changed;
    ino_t inode;
    off_t size;
};

struct azure_source {
    enum azure_kind kind;
    const char *name; /* static */
    struct pn_keyholder *keyholder;
    const struct pn_outbound_scope *outbound;
    char url[AZURE_TEXT_MAX];       /* imds, app-service */
    char authority[AZURE_TEXT_MAX]; /* the others: "https://login.microsoftonline.com" */
    char tenant[AZURE_TEXT_MAX];
    char client_id[AZURE_TEXT_MAX];
    char file[PATH_MAX];                              /* of the token, the secret, or the header */
    char folders[2][PATH_MAX];                        /* of what is read later; "": none */
    char key_file[PATH_MAX], password_file[PATH_MAX]; /* certificate */
    struct pn_secret header;                          /* app-service: IDENTITY_HEADER */
    pthread_mutex_t lock;                             /* guards the certificate, which follows: */
    struct azure_seen key_seen, password_seen;
    struct pn_key_id key;
    bool has_key;
    char sha1[64], sha256[64];    /* of the certificate, base64url */
    _Atomic int64_t silent_until; /* imds: it did not answer; not asked before (Unix time) */
};

struct pn_azure {
    struct pn_keyholder *keyholder;
    const struct pn_outbound_scope *outbound;
    struct azure_source sources[PN_AZURE_SOURCES_MAX];
    size_t count;
};

/* azure_options.c */
enum pn_rc azure_read(struct azure_source *source, struct pn_slice text,
                      struct pn_error *err) PN_MUST_USE;
/* A small file without the white space around it, into a secret buffer. */
enum pn_rc azure_read_file(const char *path, struct pn_buf *text, struct pn_error *err) PN_MUST_USE;

/* azure_managed.c: IMDS and App Service. azure_application.c: the others. As get of a provider. */
enum pn_rc azure_managed(struct azure_source *source, const struct pn_identity_ref *identity,
                         const struct pn_token_target *target, struct pn_secret *token,
                         int64_t *expires_s, struct pn_error *err) PN_MUST_USE;
enum pn_rc azure_application(struct azure_source *source, const struct pn_identity_ref *identity,
                             const struct pn_token_target *target, struct pn_secret *token,
                             int64_t *expires_s, struct pn_error *err) PN_MUST_USE;

/* azure_certificate.c */
/* Gives the key to the keyholder, again when its files have changed. A file that is no good leaves
 * the former one in use (logged); PN_OK then. The first time: PN_INVALID, PN_IO, or what the
 * keyholder says. */
enum pn_rc azure_take_certificate(struct azure_source *source, struct pn_error *err) PN_MUST_USE;
/* A client assertion (RFC 7523 §3) for `audience`, into a secret buffer. */
enum pn_rc azure_assertion(struct azure_source *source, const char *audience,
                           struct pn_buf *assertion, struct pn_error *err) PN_MUST_USE;

/* azure_answer.c: the token of a token endpoint's or metadata service's answer. PN_NOT_FOUND: it is
 * none; err has its own words. */
struct pn_fetch_answer;
enum pn_rc azure_take_token(const struct azure_source *source, const struct pn_fetch_answer *answer,
                            struct pn_secret *token, int64_t *expires_s,
                            struct pn_error *err) PN_MUST_USE;
