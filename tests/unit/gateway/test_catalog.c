/* SPDX-License-Identifier: Apache-2.0
 *
 * The catalog: what a commit shares, what it refuses, who may come in, and the log of the feed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <pthread.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/x509.h>

#include "base/encode.h"
#include "gateway/feed.h"
#include "gateway/feedlog.h"
#include "gateway/snapshot_internal.h"
#include "signer/signer.h"

#define API(path)                                                                                  \
    "{\"properties\":{\"path\":\"" path                                                            \
    "\",\"serviceUrl\":\"https://b.test\",\"protocols\":[\"http\"]}}"
#define OPERATION "{\"properties\":{\"method\":\"GET\",\"urlTemplate\":\"/*\"}}"

struct fixture {
    struct pn_signer *signer;
    struct pn_catalog *catalog;
};

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    assert_int_equal(pn_signer_create(&f->signer, NULL), PN_OK);
    assert_int_equal(pn_catalog_create(f->signer, NULL, &f->catalog, NULL), PN_OK);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    pn_catalog_destroy(f->catalog);
    pn_signer_destroy(f->signer);
    free(f);
    return 0;
}

static enum pn_rc put(struct pn_catalog *catalog, const char *key, const char *type,
                      const char *json)
{
    return pn_catalog_upsert(catalog, pn_slice_str(key), pn_slice_str(type), pn_slice_str(json),
                             NULL);
}

static void load(struct pn_catalog *catalog)
{
    assert_int_equal(pn_catalog_full(catalog, PN_LIT("e1")), PN_OK);
    assert_int_equal(put(catalog, "/apis/echo", "api", API("echo")), PN_OK);
    assert_int_equal(put(catalog, "/apis/echo/operations/get", "operation", OPERATION), PN_OK);
    assert_int_equal(put(catalog, "/apis/other", "api", API("other")), PN_OK);
    assert_int_equal(pn_catalog_commit(catalog, PN_LIT("e1"), 1, NULL), PN_OK);
}

static const struct pn_api *api_at(struct pn_catalog *catalog, const char *path)
{
    struct pn_slice rest;

    return pn_snapshot_route(pn_catalog_snapshot(catalog), pn_slice_str(path), &rest);
}

static void unchanged_apis_and_tables_are_shared(void **state)
{
    struct fixture *f = *state;
    struct pn_snapshot *former;
    const struct pn_api *echo, *other;

    load(f->catalog);
    former = pn_snapshot_ref(pn_catalog_snapshot(f->catalog));
    echo = api_at(f->catalog, "/echo");
    other = api_at(f->catalog, "/other");
    assert_int_equal(
        put(f->catalog, "/backends/b1", "backend", "{\"properties\":{\"url\":\"https://b\"}}"),
        PN_OK);
    assert_int_equal(pn_catalog_commit(f->catalog, PN_LIT("e1"), 2, NULL), PN_OK);
    assert_ptr_equal(pn_catalog_snapshot(f->catalog)->routes, former->routes);
    assert_ptr_equal(pn_catalog_snapshot(f->catalog)->keys, former->keys);
    assert_ptr_not_equal(pn_catalog_snapshot(f->catalog)->backends, former->backends);
    assert_int_equal(put(f->catalog, "/apis/echo", "api", API("echo2")), PN_OK);
    assert_int_equal(pn_catalog_commit(f->catalog, PN_LIT("e1"), 3, NULL), PN_OK);
    assert_ptr_equal(api_at(f->catalog, "/other"), other);
    assert_ptr_not_equal(api_at(f->catalog, "/echo2"), echo);
    assert_null(api_at(f->catalog, "/echo"));
    pn_snapshot_unref(former);
}

static void deferred_commits_are_compiled_once_and_to_the_same(void **state)
{
    struct fixture *f = *state;
    const struct pn_snapshot *former = pn_catalog_snapshot(f->catalog);

    pn_catalog_defer(f->catalog);
    load(f->catalog);
    assert_int_equal(put(f->catalog, "/apis/echo", "api", API("echo2")), PN_OK);
    assert_int_equal(pn_catalog_commit(f->catalog, PN_LIT("e1"), 2, NULL), PN_OK);
    assert_int_equal(pn_catalog_delete(f->catalog, PN_LIT("/apis/other")), PN_OK);
    assert_int_equal(put(f->catalog, "/apis/bad", "api", API("bad")), PN_OK);
    assert_int_equal(put(f->catalog, "/apis/bad/policies/policy", "policy",
                         "{\"properties\":{\"value\":\"<nonsense/>\"}}"),
                     PN_OK);
    assert_int_equal(pn_catalog_commit(f->catalog, PN_LIT("e1"), 3, NULL), PN_OK);
    assert_ptr_equal(pn_catalog_snapshot(f->catalog), former);
    assert_int_equal(pn_catalog_compile(f->catalog, NULL), PN_OK);
    assert_int_equal(pn_catalog_revision(f->catalog), 3);
    assert_non_null(api_at(f->catalog, "/echo2"));
    assert_int_equal(api_at(f->catalog, "/echo2")->operation_count, 1);
    assert_null(api_at(f->catalog, "/echo"));
    assert_null(api_at(f->catalog, "/other"));
    assert_true(api_at(f->catalog, "/bad")->is_broken); /* fails closed, alone */
    assert_int_equal(put(f->catalog, "/apis/new", "api", API("new")), PN_OK);
    assert_int_equal(pn_catalog_commit(f->catalog, PN_LIT("e1"), 4, NULL), PN_OK);
    assert_non_null(api_at(f->catalog, "/new"));
}

/** A certificate resource with a new key; `thumbprint` is that of its certificate. */
static void make_certificate(struct pn_buf *json, char thumbprint[PN_THUMBPRINT_TEXT])
{
    EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
    X509 *x509 = X509_new();
    unsigned char *der = NULL, *spki = NULL;
    uint8_t sha256[PN_SHA256_BYTES], sha1[PN_SHA1_BYTES];
    char key_id[65];
    unsigned sha1_len = sizeof(sha1);
    int der_len, spki_len;

    assert_int_equal(X509_set_version(x509, X509_VERSION_3), 1);
    assert_non_null(X509_gmtime_adj(X509_getm_notBefore(x509), -60));
    assert_non_null(X509_gmtime_adj(X509_getm_notAfter(x509), 3600));
    assert_int_equal(X509_set_pubkey(x509, key), 1);
    assert_true(X509_sign(x509, key, EVP_sha256()) > 0);
    der_len = i2d_X509(x509, &der);
    spki_len = i2d_PUBKEY(key, &spki);
    assert_int_equal(X509_digest(x509, EVP_sha1(), sha1, &sha1_len), 1);
    pn_hex_upper(sha1, sizeof(sha1), thumbprint);
    pn_sha256(pn_slice(spki, (size_t)spki_len), sha256);
    pn_hex_lower(sha256, sizeof(sha256), key_id);
    pn_buf_clear(json);
    assert_int_equal(pn_buf_printf(json, "{\"internal\":{\"keyId\":\"%s\",\"chain\":[\"", key_id),
                     PN_OK);
    assert_int_equal(pn_base64_encode(pn_slice(der, (size_t)der_len), json), PN_OK);
    assert_int_equal(pn_buf_append_str(json, "\"]}}"), PN_OK);
    OPENSSL_free(der);
    OPENSSL_free(spki);
    X509_free(x509);
    EVP_PKEY_free(key);
}

static void put_certificate(struct pn_catalog *catalog, const char *key, const struct pn_buf *json)
{
    assert_int_equal(pn_catalog_upsert(catalog, pn_slice_str(key), PN_LIT("certificate"),
                                       pn_buf_slice(json), NULL),
                     PN_OK);
}

static const char *thumbprint_of(struct pn_catalog *catalog, const char *name)
{
    const struct pn_client_certificate *found =
        pn_snapshot_certificate(pn_catalog_snapshot(catalog), pn_slice_str(name));

    return found ? found->thumbprint : "none";
}

static bool has_thumbprint(struct pn_catalog *catalog, const char *thumbprint)
{
    return pn_snapshot_certificate_by_thumbprint(pn_catalog_snapshot(catalog), pn_slice("", 0),
                                                 pn_slice_str(thumbprint)) != NULL;
}

static void changed_certificate_is_found_and_the_others_are_shared(void **state)
{
    struct fixture *f = *state;
    char first[PN_THUMBPRINT_TEXT], second[PN_THUMBPRINT_TEXT], third[PN_THUMBPRINT_TEXT];
    struct pn_item_table *whole;
    struct pn_buf json;

    pn_buf_init(&json, 65536);
    assert_int_equal(pn_catalog_full(f->catalog, PN_LIT("e1")), PN_OK);
    make_certificate(&json, first);
    put_certificate(f->catalog, "/certificates/c1", &json);
    make_certificate(&json, second);
    put_certificate(f->catalog, "/certificates/c2", &json);
    assert_int_equal(pn_catalog_commit(f->catalog, PN_LIT("e1"), 1, NULL), PN_OK);
    whole = pn_catalog_snapshot(f->catalog)->certificates;
    assert_null(whole->base);

    make_certificate(&json, third);
    put_certificate(f->catalog, "/certificates/c1", &json);
    assert_int_equal(pn_catalog_commit(f->catalog, PN_LIT("e1"), 2, NULL), PN_OK);
    assert_ptr_equal(pn_catalog_snapshot(f->catalog)->certificates->base, whole);
    assert_string_equal(thumbprint_of(f->catalog, "C1"), third);
    assert_string_equal(thumbprint_of(f->catalog, "c2"), second);
    assert_false(has_thumbprint(f->catalog, first));
    assert_true(has_thumbprint(f->catalog, third));

    assert_int_equal(pn_catalog_delete(f->catalog, PN_LIT("/certificates/c2")), PN_OK);
    put_certificate(f->catalog, "/certificates/c3", &json); /* the same as c1 */
    assert_int_equal(pn_catalog_commit(f->catalog, PN_LIT("e1"), 3, NULL), PN_OK);
    assert_string_equal(thumbprint_of(f->catalog, "c2"), "none");
    assert_false(has_thumbprint(f->catalog, second));
    assert_ptr_equal(pn_catalog_snapshot(f->catalog)->certificates->base, whole);
    make_certificate(&json, first);
    put_certificate(f->catalog, "/certificates/c4", &json); /* no twin: the base is still shared */
    assert_int_equal(pn_catalog_commit(f->catalog, PN_LIT("e1"), 4, NULL), PN_OK);
    assert_ptr_equal(pn_catalog_snapshot(f->catalog)->certificates->base, whole);
    assert_int_equal(pn_catalog_delete(f->catalog, PN_LIT("/certificates/c1")), PN_OK);
    assert_int_equal(pn_catalog_commit(f->catalog, PN_LIT("e1"), 5, NULL), PN_OK);
    assert_string_equal(thumbprint_of(f->catalog, "c1"), "none");
    assert_true(has_thumbprint(f->catalog, third)); /* c3 still has it */
    pn_buf_fini(&json);
}

static void a_thousand_changes_of_one_certificate_are_all_found(void **state)
{
    struct fixture *f = *state;
    char thumbprint[PN_THUMBPRINT_TEXT];
    struct pn_buf json;

    pn_buf_init(&json, 65536);
    assert_int_equal(pn_catalog_full(f->catalog, PN_LIT("e1")), PN_OK);
    assert_int_equal(pn_catalog_commit(f->catalog, PN_LIT("e1"), 1, NULL), PN_OK);
    for (uint64_t i = 0; i < 4 * PN_TABLE_CHANGES_MAX; i++) {
        make_certificate(&json, thumbprint);
        put_certificate(f->catalog, "/certificates/c1", &json);
        assert_int_equal(pn_catalog_commit(f->catalog, PN_LIT("e1"), 2 + i, NULL), PN_OK);
        assert_string_equal(thumbprint_of(f->catalog, "c1"), thumbprint);
    }
    assert_true(pn_catalog_snapshot(f->catalog)->certificates->count <= PN_TABLE_CHANGES_MAX);
    pn_buf_fini(&json);
}

static void load_deferred(struct pn_catalog *catalog, const struct pn_buf *certificate)
{
    pn_catalog_defer(catalog);
    load(catalog);
    put_certificate(catalog, "/certificates/c1", certificate);
    assert_int_equal(
        put(catalog, "/backends/b1", "backend", "{\"properties\":{\"url\":\"https://b\"}}"), PN_OK);
    assert_int_equal(put(catalog, "/backends/bad", "backend", "{\"properties\":{}}"), PN_OK);
    assert_int_equal(pn_catalog_commit(catalog, PN_LIT("e1"), 2, NULL), PN_OK);
    assert_int_equal(pn_catalog_compile(catalog, NULL), PN_OK);
}

static const struct pn_item *item_of(struct pn_catalog *catalog, const char *key)
{
    size_t position = 0;
    const struct pn_item *item = pn_catalog_next(catalog, &position);

    while (item && strcmp(item->key, key) != 0)
        item = pn_catalog_next(catalog, &position);
    assert_non_null(item);
    return item;
}

static bool is_open(struct pn_catalog *catalog, const char *key)
{
    return atomic_load(&item_of(catalog, key)->is_open);
}

static void replayed_resources_are_made_when_they_are_first_used(void **state)
{
    struct fixture *f = *state;
    char thumbprint[PN_THUMBPRINT_TEXT];
    struct pn_buf json;
    const struct pn_api *api;

    pn_buf_init(&json, 65536);
    make_certificate(&json, thumbprint);
    load_deferred(f->catalog, &json);
    assert_false(is_open(f->catalog, "/apis/echo"));
    assert_false(is_open(f->catalog, "/certificates/c1"));
    assert_false(is_open(f->catalog, "/backends/b1"));
    api = api_at(f->catalog, "/echo/x");
    assert_int_equal(api->operation_count, 1);
    assert_ptr_equal(api, api_at(f->catalog, "/echo/y"));
    assert_true(is_open(f->catalog, "/apis/echo"));
    assert_false(is_open(f->catalog, "/apis/other"));
    assert_true(has_thumbprint(f->catalog, thumbprint));
    assert_non_null(pn_snapshot_certificate(pn_catalog_snapshot(f->catalog), PN_LIT("c1"))->tls);
    assert_non_null(pn_snapshot_backend(pn_catalog_snapshot(f->catalog), PN_LIT("B1")));
    assert_null(pn_snapshot_backend(pn_catalog_snapshot(f->catalog), PN_LIT("bad")));
    assert_null(pn_snapshot_backend(pn_catalog_snapshot(f->catalog), PN_LIT("bad")));
    pn_buf_fini(&json);
}

#define THREADS 8

struct first_use {
    const struct pn_snapshot *snapshot;
    const struct pn_api *api;
    const struct pn_backend *backend;
    const struct pn_client_certificate *certificate;
};

static void *use_all(void *ctx)
{
    struct first_use *use = ctx;
    struct pn_slice rest;

    use->api = pn_snapshot_route(use->snapshot, PN_LIT("/echo/x"), &rest);
    use->backend = pn_snapshot_backend(use->snapshot, PN_LIT("b1"));
    use->certificate = pn_snapshot_certificate(use->snapshot, PN_LIT("c1"));
    return NULL;
}

static void threads_that_use_one_resource_at_once_get_the_same(void **state)
{
    struct fixture *f = *state;
    char thumbprint[PN_THUMBPRINT_TEXT];
    struct first_use uses[THREADS];
    pthread_t threads[THREADS];
    struct pn_buf json;

    pn_buf_init(&json, 65536);
    make_certificate(&json, thumbprint);
    load_deferred(f->catalog, &json);
    for (int i = 0; i < THREADS; i++) {
        uses[i] = (struct first_use){.snapshot = pn_catalog_snapshot(f->catalog)};
        assert_int_equal(pthread_create(&threads[i], NULL, use_all, &uses[i]), 0);
    }
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(uses[i].api->operation_count, 1);
        assert_ptr_equal(uses[i].api, uses[0].api);
        assert_non_null(uses[i].backend);
        assert_ptr_equal(uses[i].backend, uses[0].backend);
        assert_ptr_equal(uses[i].certificate->tls, uses[0].certificate->tls);
    }
    pn_buf_fini(&json);
}

static void a_change_is_checked_at_once_and_kept_open_only_where_its_predecessor_was(void **state)
{
    struct fixture *f = *state;
    struct pn_snapshot *former;
    const struct pn_api *echo;

    load(f->catalog);
    echo = api_at(f->catalog, "/echo");
    former = pn_snapshot_ref(pn_catalog_snapshot(f->catalog)); /* a request at work */
    assert_int_equal(put(f->catalog, "/apis/echo/policies/policy", "policy",
                         "{\"properties\":{\"value\":\"<nonsense/>\"}}"),
                     PN_INVALID);
    assert_int_not_equal(pn_catalog_commit(f->catalog, PN_LIT("e1"), 2, NULL), PN_OK);
    assert_int_equal(put(f->catalog, "/apis/other/operations/bad", "operation",
                         "{\"properties\":{\"method\":\"GET\",\"urlTemplate\":\"/{\"}}"),
                     PN_OK);
    assert_int_equal(pn_catalog_commit(f->catalog, PN_LIT("e1"), 2, NULL), PN_INVALID);
    for (int i = 0; i < 2; i++) {
        const char *key = i == 0 ? "/apis/other/operations/get" : "/apis/echo/operations/post";

        assert_int_equal(put(f->catalog, key, "operation", OPERATION), PN_OK);
        assert_int_equal(pn_catalog_commit(f->catalog, PN_LIT("e1"), 2 + (uint64_t)i, NULL), PN_OK);
    }
    assert_false(is_open(f->catalog, "/apis/other"));
    assert_false(is_open(f->catalog, "/apis/other/operations/get"));
    assert_true(is_open(f->catalog, "/apis/echo/operations/post"));
    assert_int_equal(api_at(f->catalog, "/other")->operation_count, 1);
    assert_int_equal(api_at(f->catalog, "/echo")->operation_count, 2);
    assert_int_equal(echo->operation_count, 1); /* the former one, as it was */
    pn_snapshot_unref(former);
    assert_int_equal(api_at(f->catalog, "/echo")->operation_count, 2);
}

/** "r7" at the path "p7", or at `path`. */
static void put_api(struct pn_catalog *catalog, int number, const char *path)
{
    char key[32], json[256], own[16];

    snprintf(own, sizeof(own), "p%d", number);
    snprintf(key, sizeof(key), "/apis/r%d", number);
    snprintf(json, sizeof(json), "{\"properties\":{\"path\":\"%s\"}}", path ? path : own);
    assert_int_equal(put(catalog, key, "api", json), PN_OK);
}

static bool leads_to(struct pn_catalog *catalog, int path, const char *api)
{
    char text[32];
    const struct pn_api *found;

    snprintf(text, sizeof(text), "/p%d/x", path);
    found = api_at(catalog, text);
    return api ? found && strcmp(found->id, api) == 0 : !found;
}

static void changed_apis_and_backends_are_found_and_the_others_are_shared(void **state)
{
    struct fixture *f = *state;
    struct pn_route_list *whole;
    struct pn_error err = {0};
    uint64_t revision = 1;
    char name[32];

    assert_int_equal(pn_catalog_full(f->catalog, PN_LIT("e1")), PN_OK);
    for (int i = 0; i < 1000; i++)
        put_api(f->catalog, i, NULL);
    assert_int_equal(pn_catalog_commit(f->catalog, PN_LIT("e1"), revision++, NULL), PN_OK);
    whole = pn_catalog_snapshot(f->catalog)->routes;
    assert_null(whole->base);
    put_api(f->catalog, 7, "p5000"); /* moves */
    assert_int_equal(pn_catalog_delete(f->catalog, PN_LIT("/apis/r8")), PN_OK);
    put_api(f->catalog, 1001, "p8"); /* takes the place */
    assert_int_equal(pn_catalog_commit(f->catalog, PN_LIT("e1"), revision++, NULL), PN_OK);
    assert_ptr_equal(pn_catalog_snapshot(f->catalog)->routes->base, whole);
    assert_true(leads_to(f->catalog, 7, NULL) && leads_to(f->catalog, 5000, "r7"));
    assert_true(leads_to(f->catalog, 8, "r1001") && leads_to(f->catalog, 9, "r9"));
    put_api(f->catalog, 1002, "p9");
    assert_int_equal(pn_catalog_commit(f->catalog, PN_LIT("e1"), revision, &err), PN_EXISTS);
    assert_non_null(strstr(err.message, "r1002"));
    assert_true(leads_to(f->catalog, 9, "r9"));
    for (int i = 0; i < 4 * PN_TABLE_CHANGES_MAX; i++) {
        put_api(f->catalog, 7, i % 2 == 0 ? "p7" : "p5000");
        snprintf(name, sizeof(name), "/backends/b%d", i % 10);
        assert_int_equal(put(f->catalog, name, "backend",
                             i % 3 == 0 ? "{\"properties\":{\"url\":\"https://b\"}}"
                                        : "{\"properties\":{\"url\":\"http://b\"}}"),
                         PN_OK);
        assert_int_equal(pn_catalog_commit(f->catalog, PN_LIT("e1"), revision++, NULL), PN_OK);
        assert_true(leads_to(f->catalog, i % 2 == 0 ? 7 : 5000, "r7"));
        assert_true(leads_to(f->catalog, i % 2 == 0 ? 5000 : 7, NULL));
        assert_int_equal(pn_snapshot_backend(pn_catalog_snapshot(f->catalog),
                                             pn_slice_str(name + strlen("/backends/")))
                             ->target.is_tls,
                         i % 3 == 0);
    }
    assert_true(pn_catalog_snapshot(f->catalog)->backends->count <= PN_TABLE_CHANGES_MAX);
}

static void refused_commit_keeps_the_former_snapshot(void **state)
{
    struct fixture *f = *state;
    struct pn_snapshot *former;
    struct pn_error err = {0};

    load(f->catalog);
    former = pn_catalog_snapshot(f->catalog);
    assert_int_equal(put(f->catalog, "/apis/echo", "api", API("moved")), PN_OK);
    assert_int_equal(put(f->catalog, "/apis/new", "api", API("other")), PN_OK);
    assert_int_equal(pn_catalog_delete(f->catalog, PN_LIT("/apis/echo/operations/get")), PN_OK);
    assert_int_equal(pn_catalog_commit(f->catalog, PN_LIT("e1"), 2, &err), PN_EXISTS);
    assert_ptr_equal(pn_catalog_snapshot(f->catalog), former);
    assert_int_equal(pn_catalog_count(f->catalog), 3);
    assert_non_null(api_at(f->catalog, "/echo"));
    assert_int_equal(put(f->catalog, "/backends/b", "backend", "{\"properties\":{\"url\":\"x\"}}"),
                     PN_MALFORMED);
    assert_int_not_equal(pn_catalog_commit(f->catalog, PN_LIT("e1"), 2, &err), PN_OK);
    assert_non_null(strstr(err.message, "/backends/b"));
    assert_int_equal(pn_catalog_commit(f->catalog, PN_LIT("e1"), 2, &err), PN_OK);
    assert_int_equal(pn_catalog_commit(f->catalog, PN_LIT("e2"), 3, &err), PN_CONFLICT);
}

static void full_configuration_deletes_the_rest_and_keeps_the_same(void **state)
{
    struct fixture *f = *state;
    const struct pn_api *other;

    load(f->catalog);
    other = api_at(f->catalog, "/other");
    assert_int_equal(pn_catalog_full(f->catalog, PN_LIT("e2")), PN_OK);
    assert_int_equal(put(f->catalog, "/apis/other", "api", API("other")), PN_OK);
    assert_int_equal(pn_catalog_commit(f->catalog, PN_LIT("e2"), 9, NULL), PN_OK);
    assert_ptr_equal(api_at(f->catalog, "/other"), other);
    assert_null(api_at(f->catalog, "/echo"));
    assert_string_equal(pn_catalog_epoch(f->catalog), "e2");
}

static void broken_policy_in_a_full_configuration_closes_its_api_only(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(pn_catalog_full(f->catalog, PN_LIT("e1")), PN_OK);
    assert_int_equal(put(f->catalog, "/apis/echo", "api", API("echo")), PN_OK);
    assert_int_equal(put(f->catalog, "/apis/other", "api", API("other")), PN_OK);
    assert_int_equal(put(f->catalog, "/apis/echo/policies/policy", "policy",
                         "{\"properties\":{\"value\":\"<policies><inbound><nonsense/></inbound>"
                         "</policies>\",\"format\":\"rawxml\"}}"),
                     PN_OK);
    assert_int_equal(pn_catalog_commit(f->catalog, PN_LIT("e1"), 1, NULL), PN_OK);
    assert_true(api_at(f->catalog, "/echo")->is_broken);
    assert_false(api_at(f->catalog, "/other")->is_broken);
}

static void subscription(struct pn_catalog *catalog, const char *name, const char *key,
                         const char *scope, const char *state)
{
    char hex[65], id[64], json[512];

    pn_sha256_hex(pn_slice_str(key), hex);
    snprintf(id, sizeof(id), "/subscriptions/%s", name);
    snprintf(json, sizeof(json),
             "{\"properties\":{\"state\":\"%s\"},\"internal\":{\"scope\":\"%s\","
             "\"primaryKeySha256\":\"%s\"}}",
             state, scope, hex);
    assert_int_equal(put(catalog, id, "subscription", json), PN_OK);
}

static void key_opens_its_scope_while_active(void **state)
{
    struct fixture *f = *state;
    const struct pn_snapshot *snapshot;
    const struct pn_api *echo, *other;

    load(f->catalog);
    subscription(f->catalog, "s1", "one", "/apis/echo", "active");
    subscription(f->catalog, "s2", "all", "/", "active");
    subscription(f->catalog, "s3", "apis", "/apis", "active");
    subscription(f->catalog, "s4", "asleep", "/", "suspended");
    assert_int_equal(pn_catalog_commit(f->catalog, PN_LIT("e1"), 2, NULL), PN_OK);
    snapshot = pn_catalog_snapshot(f->catalog);
    echo = api_at(f->catalog, "/echo");
    other = api_at(f->catalog, "/other");
    assert_int_equal(pn_snapshot_check_key(snapshot, echo, PN_LIT("one"), NULL), PN_OK);
    assert_int_equal(pn_snapshot_check_key(snapshot, other, PN_LIT("one"), NULL), PN_DENIED);
    assert_int_equal(pn_snapshot_check_key(snapshot, other, PN_LIT("all"), NULL), PN_OK);
    assert_int_equal(pn_snapshot_check_key(snapshot, other, PN_LIT("apis"), NULL), PN_OK);
    assert_int_equal(pn_snapshot_check_key(snapshot, echo, PN_LIT("asleep"), NULL), PN_DENIED);
    assert_int_equal(pn_snapshot_check_key(snapshot, echo, PN_LIT("nobody"), NULL), PN_DENIED);
    assert_int_equal(pn_snapshot_check_key(snapshot, echo, PN_LIT(""), NULL), PN_DENIED);
}

/* --- workspaces --- */

static const struct pn_client_certificate *in_scope(struct pn_catalog *catalog, const char *scope,
                                                    const char *name)
{
    return pn_snapshot_certificate_in(pn_catalog_snapshot(catalog), pn_slice_str(scope),
                                      pn_slice_str(name));
}

static bool has_print(struct pn_catalog *catalog, const char *scope, const char *thumbprint)
{
    return pn_snapshot_certificate_by_thumbprint(pn_catalog_snapshot(catalog), pn_slice_str(scope),
                                                 pn_slice_str(thumbprint)) != NULL;
}

static void one_name_in_three_scopes_is_three_certificates(void **state)
{
    static const char *const scopes[] = {"", "workspaces/w1", "workspaces/w2"};
    static const char *const keys[] = {"/certificates/c1", "/workspaces/w1/certificates/c1",
                                       "/workspaces/w2/certificates/c1"};
    struct fixture *f = *state;
    char prints[3][PN_THUMBPRINT_TEXT];
    struct pn_buf json;

    load(f->catalog);
    pn_buf_init(&json, 1 << 16);
    for (size_t i = 0; i < 3; i++) {
        make_certificate(&json, prints[i]);
        put_certificate(f->catalog, keys[i], &json);
    }
    assert_int_equal(pn_catalog_commit(f->catalog, PN_LIT("e1"), 2, NULL), PN_OK);
    for (size_t i = 0; i < 3; i++) {
        const struct pn_client_certificate *found = in_scope(f->catalog, scopes[i], "C1");

        assert_non_null(found);
        assert_string_equal(found->thumbprint, prints[i]);
        for (size_t k = 0; k < 3; k++)
            assert_true(has_print(f->catalog, scopes[k], prints[i]) == (i == k));
        for (size_t k = 0; k < i; k++)
            assert_string_not_equal(
                pn_tls_certificate_name(found->tls),
                pn_tls_certificate_name(in_scope(f->catalog, scopes[k], "c1")->tls));
    }
    pn_buf_fini(&json);
}

static void no_name_leads_out_of_its_scope(void **state)
{
    struct fixture *f = *state;
    const struct pn_snapshot *snapshot;
    char print[PN_THUMBPRINT_TEXT];
    struct pn_buf json;

    load(f->catalog);
    pn_buf_init(&json, 1 << 16);
    make_certificate(&json, print);
    put_certificate(f->catalog, "/workspaces/w1/certificates/c1", &json);
    make_certificate(&json, print);
    put_certificate(f->catalog, "/workspaces/w1/posternembedded/abc", &json);
    assert_int_equal(put(f->catalog, "/workspaces/w1/backends/b1", "backend",
                         "{\"properties\":{\"url\":\"https://b\"}}"),
                     PN_OK);
    assert_int_equal(pn_catalog_commit(f->catalog, PN_LIT("e1"), 2, NULL), PN_OK);
    snapshot = pn_catalog_snapshot(f->catalog);
    assert_non_null(in_scope(f->catalog, "workspaces/w1", "c1"));
    assert_null(in_scope(f->catalog, "", "workspaces/w1/certificates/c1"));
    assert_null(in_scope(f->catalog, "workspaces/w2", "../w1/certificates/c1"));
    assert_null(in_scope(f->catalog, "", "c1"));
    assert_null(in_scope(f->catalog, "workspaces/w2", "c1"));
    assert_non_null(pn_snapshot_backend_in(snapshot, PN_LIT("workspaces/w1"), PN_LIT("b1")));
    assert_null(pn_snapshot_backend_in(snapshot, PN_LIT(""), PN_LIT("b1")));
    assert_null(pn_snapshot_backend_in(snapshot, PN_LIT(""), PN_LIT("workspaces/w1/backends/b1")));
    assert_non_null(
        pn_snapshot_certificate_embedded(snapshot, PN_LIT("workspaces/w1"), PN_LIT("abc")));
    assert_null(pn_snapshot_certificate_embedded(snapshot, PN_LIT(""), PN_LIT("abc")));
    assert_null(pn_snapshot_certificate_embedded(snapshot, PN_LIT("workspaces/w2"), PN_LIT("abc")));
    assert_null(pn_snapshot_certificate_embedded(snapshot, PN_LIT(""),
                                                 PN_LIT("workspaces/w1/posternembedded/abc")));
    pn_buf_fini(&json);
}

#define WITH_HEADER(name)                                                                          \
    "{\"properties\":{\"format\":\"rawxml\",\"value\":\"<policies><inbound><base/><set-header "    \
    "name='" name "'><value>1</value></set-header></inbound></policies>\"}}"

/** The names of the headers that the program's inbound policies set. */
static void check_program(const struct pn_policy_program *program, const char *expected)
{
    struct pn_arena *arena = pn_arena_create(4096, 1 << 20);
    struct pn_policy_context context = {.arena = arena};
    struct pn_policy_run run;
    char names[64] = "";

    pn_headers_init(&context.request_headers, arena);
    pn_policy_run_init(&run, program, PN_SECTION_INBOUND);
    assert_int_equal(pn_policy_resume(&run, &context), PN_POLICY_DONE);
    for (size_t i = 0; i < context.request_headers.count; i++)
        snprintf(names + strlen(names), sizeof(names) - strlen(names), "%.*s",
                 PN_FMT(context.request_headers.items[i].name));
    assert_string_equal(names, expected);
    pn_arena_destroy(arena);
}

static void check_headers(struct pn_catalog *catalog, const char *path, const char *expected)
{
    check_program(api_at(catalog, path)->program, expected);
}

static void workspaces_policy_stands_between_global_and_api(void **state)
{
    struct fixture *f = *state;

    load(f->catalog);
    assert_int_equal(put(f->catalog, "/workspaces/w1/apis/a", "api", API("a")), PN_OK);
    assert_int_equal(put(f->catalog, "/workspaces/w2/apis/a", "api", API("b")), PN_OK);
    assert_int_equal(
        put(f->catalog, "/workspaces/w1/apis/a/policies/policy", "policy", WITH_HEADER("A")),
        PN_OK);
    assert_int_equal(put(f->catalog, "/policies/policy", "policy", WITH_HEADER("G")), PN_OK);
    assert_int_equal(pn_catalog_commit(f->catalog, PN_LIT("e1"), 2, NULL), PN_OK);
    check_headers(f->catalog, "/a", "GA");
    assert_int_equal(put(f->catalog, "/workspaces/w1/policies/policy", "policy", WITH_HEADER("W")),
                     PN_OK);
    assert_int_equal(pn_catalog_commit(f->catalog, PN_LIT("e1"), 3, NULL), PN_OK);
    check_headers(f->catalog, "/a", "GWA");
    check_headers(f->catalog, "/b", "G");
    check_headers(f->catalog, "/echo", "G");
    assert_int_equal(pn_catalog_delete(f->catalog, PN_LIT("/workspaces/w1/policies/policy")),
                     PN_OK);
    assert_int_equal(pn_catalog_commit(f->catalog, PN_LIT("e1"), 4, NULL), PN_OK);
    check_headers(f->catalog, "/a", "GA");
}

static void a_workspaces_key_opens_its_apis_only(void **state)
{
    struct fixture *f = *state;
    const struct pn_snapshot *snapshot;
    const struct pn_api *a, *b, *echo;

    load(f->catalog);
    assert_int_equal(put(f->catalog, "/workspaces/w1/apis/a", "api", API("a")), PN_OK);
    assert_int_equal(put(f->catalog, "/workspaces/w12/apis/b", "api", API("b")), PN_OK);
    subscription(f->catalog, "s1", "w1", "/workspaces/w1/apis", "active");
    subscription(f->catalog, "s2", "apis", "/apis", "active");
    subscription(f->catalog, "s3", "all", "/", "active");
    assert_int_equal(pn_catalog_commit(f->catalog, PN_LIT("e1"), 2, NULL), PN_OK);
    snapshot = pn_catalog_snapshot(f->catalog);
    a = api_at(f->catalog, "/a");
    b = api_at(f->catalog, "/b");
    echo = api_at(f->catalog, "/echo");
    assert_int_equal(pn_snapshot_check_key(snapshot, a, PN_LIT("w1"), NULL), PN_OK);
    assert_int_equal(pn_snapshot_check_key(snapshot, b, PN_LIT("w1"), NULL), PN_DENIED);
    assert_int_equal(pn_snapshot_check_key(snapshot, echo, PN_LIT("w1"), NULL), PN_DENIED);
    assert_int_equal(pn_snapshot_check_key(snapshot, a, PN_LIT("apis"), NULL), PN_DENIED);
    assert_int_equal(pn_snapshot_check_key(snapshot, a, PN_LIT("all"), NULL), PN_OK);
}

/* --- products --- */

#define PRODUCT(open) "{\"properties\":{\"displayName\":\"P\",\"subscriptionRequired\":" open "}}"
#define LINK          "{\"properties\":{},\"internal\":{}}"

/** The names of the headers that a call of the product's (NULL: of none) gets from its program. */
static void check_product_headers(struct pn_catalog *catalog, const char *path, const char *key,
                                  const char *expected)
{
    const struct pn_api *api = api_at(catalog, path);
    const struct pn_product *product = key ? pn_api_product(api, key) : NULL;

    assert_true(!key || product);
    check_program(pn_api_program(api, &api->operations[0], product), expected);
}

static void a_products_policy_stands_between_global_and_api_for_its_calls(void **state)
{
    struct fixture *f = *state;
    const struct pn_policy_program *program;
    const struct pn_api *other;

    load(f->catalog);
    assert_int_equal(put(f->catalog, "/policies/policy", "policy", WITH_HEADER("G")), PN_OK);
    assert_int_equal(put(f->catalog, "/apis/echo/policies/policy", "policy", WITH_HEADER("A")),
                     PN_OK);
    assert_int_equal(put(f->catalog, "/products/gold", "product", PRODUCT("true")), PN_OK);
    assert_int_equal(put(f->catalog, "/products/open", "product", PRODUCT("false")), PN_OK);
    assert_int_equal(put(f->catalog, "/products/gold/apis/echo", "productapi", LINK), PN_OK);
    assert_int_equal(put(f->catalog, "/products/open/apis/echo", "productapi", LINK), PN_OK);
    assert_int_equal(pn_catalog_commit(f->catalog, PN_LIT("e1"), 2, NULL), PN_OK);
    check_product_headers(f->catalog, "/echo", "/products/gold", "GA");
    assert_int_equal(api_at(f->catalog, "/echo")->product_count, 2);
    assert_string_equal(api_at(f->catalog, "/echo")->open_product->id, "open");
    /* Nobody has a policy: nothing is made beside the API's own. */
    assert_null(api_at(f->catalog, "/echo")->products[0].programs);
    other = api_at(f->catalog, "/other");
    assert_int_equal(put(f->catalog, "/products/gold/policies/policy", "policy", WITH_HEADER("P")),
                     PN_OK);
    assert_int_equal(pn_catalog_commit(f->catalog, PN_LIT("e1"), 3, NULL), PN_OK);
    check_product_headers(f->catalog, "/echo", "/products/gold", "GPA");
    check_product_headers(f->catalog, "/echo", "/products/open", "GA");
    check_product_headers(f->catalog, "/echo", NULL, "GA");
    assert_ptr_equal(api_at(f->catalog, "/other"), other); /* is in none: as it was */
    program =
        pn_api_program(api_at(f->catalog, "/echo"), &api_at(f->catalog, "/echo")->operations[0],
                       pn_api_product(api_at(f->catalog, "/echo"), "/products/gold"));
    assert_ptr_equal(program,
                     pn_api_program(api_at(f->catalog, "/echo"),
                                    &api_at(f->catalog, "/echo")->operations[0],
                                    pn_api_product(api_at(f->catalog, "/echo"), "/products/GOLD")));
    assert_int_equal(
        put(f->catalog, "/apis/echo/operations/get/policies/policy", "policy", WITH_HEADER("O")),
        PN_OK);
    assert_int_equal(pn_catalog_commit(f->catalog, PN_LIT("e1"), 4, NULL), PN_OK);
    check_product_headers(f->catalog, "/echo", "/products/gold", "GPAO");
    assert_int_equal(pn_catalog_delete(f->catalog, PN_LIT("/products/gold/policies/policy")),
                     PN_OK);
    assert_int_equal(pn_catalog_commit(f->catalog, PN_LIT("e1"), 5, NULL), PN_OK);
    check_product_headers(f->catalog, "/echo", "/products/gold", "GAO");
    assert_int_equal(pn_catalog_delete(f->catalog, PN_LIT("/products/gold/apis/echo")), PN_OK);
    assert_int_equal(pn_catalog_delete(f->catalog, PN_LIT("/products/gold")), PN_OK);
    assert_int_equal(pn_catalog_commit(f->catalog, PN_LIT("e1"), 6, NULL), PN_OK);
    assert_null(pn_api_product(api_at(f->catalog, "/echo"), "/products/gold"));
}

static void a_products_key_opens_what_is_in_it_only(void **state)
{
    struct fixture *f = *state;
    const struct pn_subscription *who = NULL;
    const struct pn_snapshot *snapshot;

    load(f->catalog);
    assert_int_equal(put(f->catalog, "/workspaces/w1/apis/echo", "api", API("inner")), PN_OK);
    assert_int_equal(put(f->catalog, "/workspaces/w1/products/gold", "product", PRODUCT("true")),
                     PN_OK);
    assert_int_equal(put(f->catalog, "/workspaces/w1/products/gold/apis/echo", "productapi", LINK),
                     PN_OK);
    assert_int_equal(put(f->catalog, "/products/gold", "product", PRODUCT("true")), PN_OK);
    assert_int_equal(put(f->catalog, "/products/gold/apis/other", "productapi", LINK), PN_OK);
    subscription(f->catalog, "s1", "gold", "/products/gold", "active");
    subscription(f->catalog, "s2", "inner", "/workspaces/w1/products/gold", "active");
    subscription(f->catalog, "s3", "gone", "/products/gone", "active");
    subscription(f->catalog, "s4", "asleep", "/products/gold", "submitted");
    assert_int_equal(pn_catalog_commit(f->catalog, PN_LIT("e1"), 2, NULL), PN_OK);
    snapshot = pn_catalog_snapshot(f->catalog);
    for (size_t i = 0; i < 3; i++) {
        static const char *const paths[] = {"/echo", "/other", "/inner"};
        static const char *const opened_by[] = {"", "gold", "inner"};
        static const char *const keys[] = {"gold", "inner", "gone", "asleep"};
        const struct pn_api *api = api_at(f->catalog, paths[i]);

        for (size_t k = 0; k < 4; k++)
            assert_int_equal(pn_snapshot_check_key(snapshot, api, pn_slice_str(keys[k]), &who),
                             strcmp(keys[k], opened_by[i]) == 0 ? PN_OK : PN_DENIED);
    }
    assert_true(who->is_of_product);
}

static void a_product_that_cannot_be_used_opens_nothing(void **state)
{
    struct fixture *f = *state;
    const struct pn_api *echo;

    assert_int_equal(pn_catalog_full(f->catalog, PN_LIT("e1")), PN_OK);
    assert_int_equal(put(f->catalog, "/apis/echo", "api", API("echo")), PN_OK);
    assert_int_equal(put(f->catalog, "/products/bad", "product", "{}"), PN_OK);
    assert_int_equal(put(f->catalog, "/products/bad/apis/echo", "productapi", LINK), PN_OK);
    assert_int_equal(put(f->catalog, "/products/none/apis/echo", "productapi", LINK), PN_OK);
    assert_int_equal(put(f->catalog, "/products/odd", "product", PRODUCT("true")), PN_OK);
    assert_int_equal(put(f->catalog, "/products/odd/apis/echo", "productapi", LINK), PN_OK);
    assert_int_equal(put(f->catalog, "/products/odd/policies/policy", "policy",
                         "{\"properties\":{\"value\":\"<policies><inbound><teleport /></inbound>"
                         "</policies>\"}}"),
                     PN_OK);
    assert_int_equal(pn_catalog_commit(f->catalog, PN_LIT("e1"), 1, NULL), PN_OK);
    echo = api_at(f->catalog, "/echo");
    assert_false(echo->is_broken);
    assert_int_equal(echo->product_count, 1);
    assert_true(pn_api_product(echo, "/products/odd")->is_broken);
}

/* --- the log --- */

/** Stands for the keyholder: the context is put in front, and every byte is flipped. */
static enum pn_rc fake_seal(void *ctx, struct pn_slice context, struct pn_slice plain,
                            struct pn_buf *sealed, struct pn_error *err)
{
    (void)ctx;
    (void)err;
    assert_int_equal(pn_buf_append_slice(sealed, context), PN_OK);
    for (size_t i = 0; i < plain.len; i++)
        assert_int_equal(pn_buf_append_byte(sealed, (char)(plain.ptr[i] ^ 0x55)), PN_OK);
    return PN_OK;
}

static enum pn_rc fake_unseal(void *ctx, struct pn_slice context, struct pn_slice sealed,
                              struct pn_buf *plain, struct pn_error *err)
{
    (void)ctx;
    if (!pn_slice_starts_with(sealed, context))
        return pn_error_set(err, PN_DENIED, "sealed_changed", "not this record");
    for (size_t i = context.len; i < sealed.len; i++)
        assert_int_equal(pn_buf_append_byte(plain, (char)(sealed.ptr[i] ^ 0x55)), PN_OK);
    return PN_OK;
}

static const struct pn_feed_seal fake = {fake_seal, fake_unseal, NULL};

static enum pn_rc on_frames(void *ctx, struct pn_slice frames)
{
    struct pn_feed *feed = ctx;
    bool is_committed = false;

    while (frames.len > 0) {
        enum pn_feed_event event;
        struct pn_frame frame;
        size_t used;

        assert_int_equal(pn_frame_parse(frames, &frame, &used), PN_OK);
        assert_int_equal(pn_feed_frame(feed, &frame, pn_slice_sub(frames, 0, used), &event), PN_OK);
        is_committed = event == PN_FEED_COMMITTED;
        frames = pn_slice_sub(frames, used, frames.len - used);
    }
    return is_committed ? PN_EOF : PN_OK;
}

static size_t replay(struct fixture *f, const char *path, enum pn_rc expected, uint64_t *revision)
{
    struct pn_catalog *catalog = NULL;
    struct pn_feed_log *log = NULL;
    struct pn_feed feed;
    size_t count;

    assert_int_equal(pn_catalog_create(f->signer, NULL, &catalog, NULL), PN_OK);
    assert_int_equal(pn_feed_log_create(path, &fake, &log, NULL), PN_OK);
    pn_feed_init(&feed, catalog, false);
    assert_int_equal(pn_feed_log_replay(log, on_frames, &feed, NULL), expected);
    pn_feed_fini(&feed);
    pn_feed_log_destroy(log);
    count = pn_catalog_count(catalog);
    *revision = pn_catalog_revision(catalog);
    pn_catalog_destroy(catalog);
    return count;
}

static void append_delete(struct pn_feed_log *log, const char *key, uint64_t revision)
{
    struct pn_buf out;
    size_t start;

    pn_buf_init(&out, 4096);
    assert_int_equal(pn_frame_begin(&out, PN_FEED_DELETE, 0, &start), PN_OK);
    assert_int_equal(pn_frame_str(&out, key), PN_OK);
    assert_int_equal(pn_frame_end(&out, start), PN_OK);
    assert_int_equal(pn_frame_begin(&out, PN_FEED_COMMIT, 0, &start), PN_OK);
    assert_int_equal(pn_frame_str(&out, "e1"), PN_OK);
    assert_int_equal(pn_frame_u64(&out, revision), PN_OK);
    assert_int_equal(pn_frame_end(&out, start), PN_OK);
    assert_int_equal(pn_feed_log_append(log, pn_buf_slice(&out), NULL), PN_OK);
    pn_buf_fini(&out);
}

static void log_replays_what_was_committed_and_cuts_a_torn_tail(void **state)
{
    struct fixture *f = *state;
    char folder[] = "/tmp/pn_feedlog_XXXXXX";
    char path[64];
    struct pn_feed_log *log = NULL;
    struct pn_buf whole;
    struct stat facts;
    uint64_t revision;
    off_t whole_size;

    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof(path), "%s/feed.log", folder);
    assert_int_equal(replay(f, path, PN_OK, &revision), 0);
    load(f->catalog);
    pn_buf_init(&whole, 1 << 20);
    assert_int_equal(pn_feed_write_catalog(&whole, f->catalog), PN_OK);
    assert_int_equal(pn_feed_log_create(path, &fake, &log, NULL), PN_OK);
    assert_true(pn_feed_log_wants_rewrite(log));
    assert_int_equal(pn_feed_log_rewrite_begin(log, NULL), PN_OK);
    assert_int_equal(pn_feed_log_append(log, pn_buf_slice(&whole), NULL), PN_OK);
    assert_int_equal(pn_feed_log_rewrite_end(log, NULL), PN_OK);
    assert_int_equal(stat(path, &facts), 0);
    whole_size = facts.st_size;
    append_delete(log, "/apis/other", 2);
    assert_int_equal(stat(path, &facts), 0);
    pn_feed_log_destroy(log);
    assert_int_equal(replay(f, path, PN_OK, &revision), 2);
    assert_int_equal(revision, 2);
    assert_int_equal(truncate(path, facts.st_size - 1), 0);
    assert_int_equal(replay(f, path, PN_OK, &revision), 3);
    assert_int_equal(revision, 1);
    assert_int_equal(stat(path, &facts), 0);
    assert_int_equal(facts.st_size, whole_size);
    pn_buf_fini(&whole);
    unlink(path);
    rmdir(folder);
}

static void change_byte(const char *path, long at, char *byte)
{
    FILE *file = fopen(path, "r+");
    char now;

    assert_non_null(file);
    assert_int_equal(fseek(file, at, SEEK_SET), 0);
    assert_int_equal(fread(&now, 1, 1, file), 1);
    *byte = *byte ? *byte : (char)(now ^ 1);
    assert_int_equal(fseek(file, at, SEEK_SET), 0);
    assert_int_equal(fwrite(byte, 1, 1, file), 1);
    assert_int_equal(fclose(file), 0);
    *byte = now;
}

/** Also the places of records and the sealed key are bound: each byte of the file counts. */
static void log_with_any_byte_changed_is_not_replayed_from_there_on(void **state)
{
    struct fixture *f = *state;
    char folder[] = "/tmp/pn_feedlog_XXXXXX";
    char path[64];
    struct pn_feed_log *log = NULL;
    struct pn_buf whole;
    struct stat facts;
    uint64_t revision;
    off_t first_size;

    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof(path), "%s/feed.log", folder);
    load(f->catalog);
    pn_buf_init(&whole, 1 << 20);
    assert_int_equal(pn_feed_write_catalog(&whole, f->catalog), PN_OK);
    assert_int_equal(pn_feed_log_create(path, &fake, &log, NULL), PN_OK);
    assert_int_equal(pn_feed_log_rewrite_begin(log, NULL), PN_OK);
    assert_int_equal(pn_feed_log_append(log, pn_buf_slice(&whole), NULL), PN_OK);
    assert_int_equal(pn_feed_log_rewrite_end(log, NULL), PN_OK);
    assert_int_equal(stat(path, &facts), 0);
    first_size = facts.st_size;
    append_delete(log, "/apis/other", 2);
    pn_feed_log_destroy(log);
    assert_int_equal(stat(path, &facts), 0);
    for (long at = 0; at < facts.st_size; at += at < 60 ? 1 : 7) {
        struct pn_catalog *catalog = NULL;
        struct pn_feed feed;
        char byte = 0;

        change_byte(path, at, &byte);
        assert_int_equal(pn_catalog_create(f->signer, NULL, &catalog, NULL), PN_OK);
        assert_int_equal(pn_feed_log_create(path, &fake, &log, NULL), PN_OK);
        pn_feed_init(&feed, catalog, false);
        (void)!pn_feed_log_replay(log, on_frames, &feed, NULL);
        revision = pn_catalog_revision(catalog);
        pn_feed_fini(&feed);
        pn_feed_log_destroy(log);
        pn_catalog_destroy(catalog);
        assert_int_equal(revision, at < first_size ? 0 : 1);
        if (stat(path, &facts) == 0 && facts.st_size == first_size)
            break; /* a changed length looks like a torn tail, which was cut off */
        change_byte(path, at, &byte);
    }
    pn_buf_fini(&whole);
    unlink(path);
    rmdir(folder);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(unchanged_apis_and_tables_are_shared),
        TEST(changed_certificate_is_found_and_the_others_are_shared),
        TEST(a_thousand_changes_of_one_certificate_are_all_found),
        TEST(deferred_commits_are_compiled_once_and_to_the_same),
        TEST(replayed_resources_are_made_when_they_are_first_used),
        TEST(threads_that_use_one_resource_at_once_get_the_same),
        TEST(a_change_is_checked_at_once_and_kept_open_only_where_its_predecessor_was),
        TEST(changed_apis_and_backends_are_found_and_the_others_are_shared),
        TEST(refused_commit_keeps_the_former_snapshot),
        TEST(full_configuration_deletes_the_rest_and_keeps_the_same),
        TEST(broken_policy_in_a_full_configuration_closes_its_api_only),
        TEST(key_opens_its_scope_while_active),
        TEST(one_name_in_three_scopes_is_three_certificates),
        TEST(no_name_leads_out_of_its_scope),
        TEST(workspaces_policy_stands_between_global_and_api),
        TEST(a_products_policy_stands_between_global_and_api_for_its_calls),
        TEST(a_products_key_opens_what_is_in_it_only),
        TEST(a_product_that_cannot_be_used_opens_nothing),
        TEST(a_workspaces_key_opens_its_apis_only),
        TEST(log_replays_what_was_committed_and_cuts_a_torn_tail),
        TEST(log_with_any_byte_changed_is_not_replayed_from_there_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
