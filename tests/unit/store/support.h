/* SPDX-License-Identifier: Apache-2.0
 *
 * What the store's tests share: a database in a folder of its own, removed at the end.
 */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "store/store.h"

struct store_fixture {
    char folder[64];
    char path[96];
    struct pn_store *store;
    struct pn_error err;
};

int store_setup(void **state);
int store_teardown(void **state);
void store_reopen(struct store_fixture *fixture);
/** Puts {"n": value} in a transaction of its own; returns its revision. */
uint64_t store_put_number(struct store_fixture *fixture, const char *id, const char *type,
                          int value);
void store_delete_one(struct store_fixture *fixture, const char *id);
/** The "n" of the stored document, or -1 when there is none. */
int store_number(struct pn_store *store, const char *id);
