/* SPDX-License-Identifier: Apache-2.0
 *
 * What the tests of the management API share: a real store, and fakes of everything behind the
 * services table. The fake keyholder takes files of the form "PFX:<subject>", password "secret";
 * each subject gets one key and one self-signed certificate.
 */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "arm/arm.h"

#define SUB    "11111111-2222-4333-8444-555555555555"
#define TENANT "99999999-2222-4333-8444-555555555555"
#define SERVICE                                                                                    \
    "/subscriptions/" SUB "/resourceGroups/rg1/providers/Microsoft.ApiManagement/service/apim1"
#define FAKE_KEYS_MAX 16

struct fake_key {
    char subject[32];
    struct pn_buf der;
    struct pn_key_id id;
    bool is_kept;
};

struct arm_fixture {
    char folder[64];
    char path[96];
    struct pn_store *store;
    struct pn_arm *arm;
    struct pn_arm_services services;
    struct pn_error err;

    struct fake_key keys[FAKE_KEYS_MAX];
    size_t key_count;
    enum pn_key_use imported_use; /* of the last import or fetch */
    uint64_t published;           /* the last revision that the publisher saw */
    enum pn_rc publish_rc;
    bool is_keyholder_away;
    bool is_forgetful;         /* every key is gone right after its import */
    const char *denied_action; /* the one action that is not allowed; NULL: all are */
    const char *fetch_code;    /* the vault's failure; NULL: it answers with fetch_subject */
    const char *fetch_subject;
    const char *refresh_code; /* the certificate is another one by then; NULL: it is refreshed */
    int refreshes, rescans;

    /* the last answer */
    int status;
    json_t *json;
    char etag[64];
    char header_text[2048]; /* "Name: value\n" for all */
    struct pn_buf body;
};

int arm_setup(void **state);
int arm_teardown(void **state);

/** Calls with token, api-version and the given target ("/subscriptions/…[?query]"). `body` may be
 *  NULL. `header`: "Name: value" or NULL. Returns the status. */
int arm_call(struct arm_fixture *fixture, const char *method, const char *target,
             const char *header, const char *body);
/** The same without adding token and api-version. */
int arm_call_raw(struct arm_fixture *fixture, const char *method, const char *target,
                 const char *const *headers, const char *body);
/** Text at "error/code", "properties/keyVault/lastStatus/code", "error/details/0/target"; "" when
 *  it is missing. */
const char *arm_text(const struct arm_fixture *fixture, const char *path);
json_t *arm_at(const struct arm_fixture *fixture, const char *path);
/** PUTs a PFX of that subject. */
int arm_put_certificate(struct arm_fixture *fixture, const char *name, const char *subject);
bool arm_has_key(const struct arm_fixture *fixture, const char *subject);
/** Whether the stored databases' files hold `text` anywhere. */
bool arm_is_on_disk(const struct arm_fixture *fixture, const char *text);
/** Thumbprint of the subject's certificate, from the certificate resource `name`. */
void arm_thumbprint(struct arm_fixture *fixture, const char *name, char out[64]);

#define ARM_TEST(name) cmocka_unit_test_setup_teardown(name, arm_setup, arm_teardown)
