/* SPDX-License-Identifier: Apache-2.0
 *
 * What the store's tests share.
 */
#include "unit/store/support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int store_setup(void **state)
{
    struct store_fixture *fixture = calloc(1, sizeof(*fixture));

    assert_non_null(fixture);
    (void)snprintf(fixture->folder, sizeof(fixture->folder), "/tmp/pn-store-XXXXXX");
    assert_non_null(mkdtemp(fixture->folder));
    (void)snprintf(fixture->path, sizeof(fixture->path), "%s/postern.db", fixture->folder);
    assert_int_equal(pn_store_open(fixture->path, &fixture->store, &fixture->err), PN_OK);
    *state = fixture;
    return 0;
}

int store_teardown(void **state)
{
    struct store_fixture *fixture = *state;
    const char *const endings[] = {"", "-wal", "-shm"};
    char path[128];

    pn_store_close(fixture->store);
    for (size_t i = 0; i < 3; i++) {
        (void)snprintf(path, sizeof(path), "%s%s", fixture->path, endings[i]);
        (void)unlink(path);
    }
    (void)rmdir(fixture->folder);
    free(fixture);
    return 0;
}

void store_reopen(struct store_fixture *fixture)
{
    pn_store_close(fixture->store);
    fixture->store = NULL;
    assert_int_equal(pn_store_open(fixture->path, &fixture->store, &fixture->err), PN_OK);
}

uint64_t store_put_number(struct store_fixture *fixture, const char *id, const char *type,
                          int value)
{
    struct pn_store_txn *txn = NULL;
    json_t *body = json_pack("{s:i}", "n", value);
    uint64_t revision = 0;

    assert_int_equal(pn_store_begin(fixture->store, &txn, &fixture->err), PN_OK);
    assert_int_equal(pn_store_put(txn, id, type, body, NULL, &fixture->err), PN_OK);
    assert_int_equal(pn_store_commit(txn, &revision, &fixture->err), PN_OK);
    json_decref(body);
    return revision;
}

void store_delete_one(struct store_fixture *fixture, const char *id)
{
    struct pn_store_txn *txn = NULL;

    assert_int_equal(pn_store_begin(fixture->store, &txn, &fixture->err), PN_OK);
    assert_int_equal(pn_store_delete(txn, id, &fixture->err), PN_OK);
    assert_int_equal(pn_store_commit(txn, NULL, &fixture->err), PN_OK);
}

int store_number(struct pn_store *store, const char *id)
{
    struct pn_store_item item;
    int number = -1;

    if (pn_store_get(store, id, &item, NULL) != PN_OK)
        return -1;
    number = (int)json_integer_value(json_object_get(item.body, "n"));
    pn_store_item_fini(&item);
    return number;
}
