/* SPDX-License-Identifier: Apache-2.0
 *
 * What a worker remembers of late is never a second truth (promises 1, 3 and 5): the whole question
 * is compared, places that questions share mix nothing up, and nothing is remembered longer than it
 * is in the map or in the snapshot. A real worker, without sockets and without a thread of its own.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <openssl/evp.h>
#include <openssl/x509.h>

#include "base/encode.h"
#include "base/map.h"
#include "gateway/snapshot_internal.h"
#include "gateway/worker.h"
#include "signer/signer.h"

#define CERTIFICATES 24 /* more than there are places */
#define ALPNS        4

static struct {
    struct pn_signer *signer;
    struct pn_catalog *catalog;
    struct pn_loop *main_loop;
    struct pn_worker *worker;
    struct pn_trust *trusts[3]; /* the last one is equal to the first, at another place */
    uint64_t revision;
    unsigned switched;
} lab;

/* A certificate resource with a new key. */
static void put_certificate(const char *key, uint64_t generation)
{
    EVP_PKEY *pkey = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
    X509 *x509 = X509_new();
    unsigned char *der = NULL, *spki = NULL;
    uint8_t sha256[PN_SHA256_BYTES];
    char key_id[2 * PN_SHA256_BYTES + 1];
    struct pn_error err = {0};
    struct pn_buf json;
    int der_len, spki_len;

    pn_buf_init(&json, 65536);
    assert_int_equal(X509_set_version(x509, X509_VERSION_3), 1);
    assert_non_null(X509_gmtime_adj(X509_getm_notBefore(x509), -60));
    assert_non_null(X509_gmtime_adj(X509_getm_notAfter(x509), 3600));
    assert_int_equal(X509_set_pubkey(x509, pkey), 1);
    assert_true(X509_sign(x509, pkey, EVP_sha256()) > 0);
    der_len = i2d_X509(x509, &der);
    spki_len = i2d_PUBKEY(pkey, &spki);
    pn_sha256(pn_slice(spki, (size_t)spki_len), sha256);
    pn_hex_lower(sha256, sizeof(sha256), key_id);
    assert_int_equal(pn_buf_printf(&json,
                                   "{\"internal\":{\"generation\":%llu,\"keyId\":\"%s\","
                                   "\"chain\":[\"",
                                   (unsigned long long)generation, key_id),
                     PN_OK);
    assert_int_equal(pn_base64_encode(pn_slice(der, (size_t)der_len), &json), PN_OK);
    assert_int_equal(pn_buf_append_str(&json, "\"]}}"), PN_OK);
    if (pn_catalog_upsert(lab.catalog, pn_slice_str(key), PN_LIT("certificate"),
                          pn_buf_slice(&json), &err) != PN_OK)
        fail_msg("%s", err.message);
    pn_buf_fini(&json);
    OPENSSL_free(der);
    OPENSSL_free(spki);
    X509_free(x509);
    EVP_PKEY_free(pkey);
}

static void put_numbered(unsigned number, uint64_t generation)
{
    char key[40];

    snprintf(key, sizeof(key), "/certificates/c%u", number);
    put_certificate(key, generation);
}

static void commit(void)
{
    struct pn_error err = {0};

    if (pn_catalog_commit(lab.catalog, PN_LIT("e1"), ++lab.revision, &err) != PN_OK)
        fail_msg("%s", err.message);
}

static void on_released(void *ctx, struct pn_snapshot *snapshot)
{
    (void)ctx;
    pn_snapshot_unref(snapshot);
}

static void on_switched(void *ctx)
{
    (void)ctx;
    lab.switched++;
}

/* The worker goes over to the catalog's newest snapshot. */
static void switch_over(void)
{
    unsigned before = lab.switched;

    assert_int_equal(pn_worker_use(lab.worker, pn_snapshot_ref(pn_catalog_snapshot(lab.catalog))),
                     PN_OK);
    while (lab.switched == before) {
        assert_int_equal(pn_loop_turn(lab.worker->loop, 0, NULL), PN_OK);
        assert_int_equal(pn_loop_turn(lab.main_loop, 0, NULL), PN_OK);
    }
}

static int set_up(void **state)
{
    struct pn_worker_spec spec = {.on_released = on_released, .on_switched = on_switched};
    struct pn_error err = {0};

    (void)state;
    memset(&lab, 0, sizeof(lab));
    assert_int_equal(pn_signer_create(&lab.signer, NULL), PN_OK);
    assert_int_equal(pn_catalog_create(lab.signer, NULL, &lab.catalog, NULL), PN_OK);
    assert_int_equal(pn_loop_create(&lab.main_loop, NULL), PN_OK);
    assert_int_equal(pn_catalog_full(lab.catalog, PN_LIT("e1")), PN_OK);
    for (unsigned i = 0; i < CERTIFICATES; i++)
        put_numbered(i, 1);
    commit();
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(pn_trust_create(NULL, false, i == 1, &lab.trusts[i], &err), PN_OK);
    spec.main_loop = lab.main_loop;
    spec.signer = lab.signer;
    spec.snapshot = pn_snapshot_ref(pn_catalog_snapshot(lab.catalog));
    if (pn_worker_create(&spec, &lab.worker, &err) != PN_OK)
        fail_msg("%s", err.message);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    pn_worker_destroy(lab.worker);
    assert_int_equal(pn_loop_turn(lab.main_loop, 0, NULL), PN_OK);
    for (size_t i = 0; i < 3; i++)
        pn_trust_unref(lab.trusts[i]);
    pn_loop_destroy(lab.main_loop);
    pn_catalog_destroy(lab.catalog);
    pn_signer_destroy(lab.signer);
    return 0;
}

static struct pn_tls_certificate *certificate(unsigned number)
{
    const struct pn_client_certificate *found;
    char name[16];

    snprintf(name, sizeof(name), "c%u", number);
    found = pn_pin_certificate(lab.worker->pin, pn_slice("", 0), pn_slice_str(name));
    assert_non_null(found);
    assert_string_equal(pn_tls_certificate_name(found->tls), name);
    return found->tls;
}

static struct pn_tls_client *ask(struct pn_tls_certificate *const *certificates, size_t count,
                                 struct pn_trust *trust, enum pn_alpn alpn)
{
    struct pn_tls_client *client = NULL;
    struct pn_error err = {0};

    if (pn_worker_tls_client(lab.worker, certificates, count, trust, alpn, &client, &err) != PN_OK)
        fail_msg("%s", err.message);
    return client;
}

static bool is_remembered(const struct pn_tls_client *client)
{
    for (size_t i = 0; i < PN_WORKER_RECENT; i++) {
        if (lab.worker->recent[i].client == client)
            return true;
    }
    return false;
}

/* Each entry is of its own place, and what it says is what its context is for. */
static void check_recent(void)
{
    for (size_t i = 0; i < PN_WORKER_RECENT; i++) {
        const struct pn_recent_client *recent = &lab.worker->recent[i];
        size_t count;
        struct pn_tls_certificate *const *its;

        if (!recent->client)
            continue;
        its = pn_tls_client_certificates(recent->client, &count);
        assert_int_equal(count, recent->certificate ? 1 : 0);
        assert_int_equal(pn_tls_client_alpn(recent->client), recent->alpn);
        assert_memory_equal(pn_trust_id(pn_tls_client_trust(recent->client)),
                            pn_trust_id(recent->trust), sizeof(struct pn_trust_id));
        if (recent->certificate)
            assert_true(pn_tls_certificate_equal(its[0], recent->certificate));
    }
}

static void each_question_gets_its_own_context_also_where_places_are_shared(void **state)
{
    (void)state;
    /* Again and again, each time in another order: every place is taken from every other one. */
    for (unsigned round = 0; round < 5; round++) {
        for (unsigned i = 0; i < CERTIFICATES * ALPNS * 2; i++) {
            unsigned question = (i * (round * 2 + 1)) % (CERTIFICATES * ALPNS * 2);
            unsigned number = question % CERTIFICATES;
            enum pn_alpn alpn = (enum pn_alpn)(question / CERTIFICATES % ALPNS);
            struct pn_trust *trust = lab.trusts[question / CERTIFICATES / ALPNS];
            struct pn_tls_certificate *wanted = number > 0 ? certificate(number) : NULL;
            struct pn_tls_client *client = ask(&wanted, wanted ? 1 : 0, trust, alpn);
            size_t count;
            struct pn_tls_certificate *const *its = pn_tls_client_certificates(client, &count);

            assert_int_equal(pn_tls_client_alpn(client), alpn);
            assert_memory_equal(pn_trust_id(pn_tls_client_trust(client)), pn_trust_id(trust),
                                sizeof(struct pn_trust_id));
            assert_int_equal(count, wanted ? 1 : 0);
            if (wanted)
                assert_true(pn_tls_certificate_equal(its[0], wanted));
            assert_ptr_equal(ask(&wanted, wanted ? 1 : 0, trust, alpn), client);
            assert_true(is_remembered(client));
            check_recent();
        }
    }
}

/* Of several certificates a context is in the map alone: one place has room for one. */
static void several_certificates_are_no_question_of_one(void **state)
{
    struct pn_tls_certificate *both[] = {certificate(1), certificate(2)};
    struct pn_tls_client *one, *two;

    (void)state;
    two = ask(both, 2, lab.trusts[0], PN_ALPN_HTTP11);
    assert_false(is_remembered(two));
    one = ask(both, 1, lab.trusts[0], PN_ALPN_HTTP11);
    assert_ptr_not_equal(one, two);
    assert_ptr_equal(ask(both, 2, lab.trusts[0], PN_ALPN_HTTP11), two);
    assert_ptr_equal(ask(both, 1, lab.trusts[0], PN_ALPN_HTTP11), one);
    check_recent();
}

/* Addresses find an entry. What lies at an address may have been freed, and another one made there:
 * only what the context is for counts. */
static void an_entry_that_lies_about_its_context_is_not_believed(void **state)
{
    struct pn_tls_certificate *mine = certificate(1), *other = certificate(2);
    struct pn_tls_client *of_mine = ask(&mine, 1, lab.trusts[0], PN_ALPN_HTTP11);
    struct pn_tls_client *of_other = ask(&other, 1, lab.trusts[0], PN_ALPN_HTTP11);
    struct pn_tls_client *checked = ask(&mine, 1, lab.trusts[1], PN_ALPN_HTTP11);

    (void)state;
    for (size_t i = 0; i < PN_WORKER_RECENT; i++) /* wherever it is looked for */
        lab.worker->recent[i] =
            (struct pn_recent_client){lab.trusts[0], mine, PN_ALPN_HTTP11, of_other};
    assert_ptr_equal(ask(&mine, 1, lab.trusts[0], PN_ALPN_HTTP11), of_mine);
    for (size_t i = 0; i < PN_WORKER_RECENT; i++)
        lab.worker->recent[i] =
            (struct pn_recent_client){lab.trusts[1], mine, PN_ALPN_HTTP11, of_mine};
    assert_ptr_equal(ask(&mine, 1, lab.trusts[1], PN_ALPN_HTTP11), checked);
    for (size_t i = 0; i < PN_WORKER_RECENT; i++)
        lab.worker->recent[i] = (struct pn_recent_client){lab.trusts[0], mine, PN_ALPN_H2,
                                                          ask(&mine, 1, lab.trusts[0], PN_ALPN_H2)};
    assert_ptr_equal(ask(&mine, 1, lab.trusts[0], PN_ALPN_HTTP11), of_mine);
    for (size_t i = 0; i < PN_WORKER_RECENT; i++)
        lab.worker->recent[i] =
            (struct pn_recent_client){lab.trusts[0], NULL, PN_ALPN_HTTP11, of_mine};
    assert_ptr_not_equal(ask(NULL, 0, lab.trusts[0], PN_ALPN_HTTP11), of_mine);
}

static void equal_policies_at_two_places_have_one_context(void **state)
{
    struct pn_tls_certificate *mine = certificate(1);

    (void)state;
    assert_ptr_equal(ask(&mine, 1, lab.trusts[0], PN_ALPN_HTTP11),
                     ask(&mine, 1, lab.trusts[2], PN_ALPN_HTTP11));
    assert_ptr_not_equal(ask(&mine, 1, lab.trusts[0], PN_ALPN_HTTP11),
                         ask(&mine, 1, lab.trusts[1], PN_ALPN_HTTP11));
    check_recent();
}

/* What it was asked for with policies of no backend is given up at the next change; the sanitizers
 * see whether anything of it is touched after that. */
static void a_context_is_forgotten_before_it_leaves_the_map(void **state)
{
    struct pn_tls_certificate *wanted = certificate(1);
    const struct pn_tls_client *former = ask(&wanted, 1, lab.trusts[0], PN_ALPN_HTTP11);
    size_t count;
    struct pn_tls_certificate *const *its;
    struct pn_tls_client *client;

    (void)state;
    assert_true(is_remembered(former));
    put_numbered(1, 2);
    commit();
    switch_over();
    assert_int_equal(pn_map_count(lab.worker->tls_map), 0);
    for (size_t i = 0; i < PN_WORKER_RECENT; i++)
        assert_null(lab.worker->recent[i].client);
    wanted = certificate(1);
    client = ask(&wanted, 1, lab.trusts[0], PN_ALPN_HTTP11);
    its = pn_tls_client_certificates(client, &count);
    assert_int_equal(count, 1);
    assert_true(pn_tls_certificate_equal(its[0], wanted));
}

/* ---- certificates by name */

static void a_new_snapshot_begins_with_no_certificate_that_is_remembered(void **state)
{
    struct pn_pin *former = pn_worker_pin(lab.worker);
    struct pn_tls_certificate *first = certificate(1), *second;
    const struct pn_client_certificate *of_former;

    (void)state;
    put_numbered(1, 2);
    commit();
    switch_over();
    for (size_t i = 0; i < PN_PIN_RECENT; i++)
        assert_null(lab.worker->pin->recent[i]);
    second = certificate(1);
    assert_false(pn_tls_certificate_equal(first, second));
    /* A request that began before goes on with what it began with. */
    of_former = pn_pin_certificate(former, pn_slice("", 0), PN_LIT("c1"));
    assert_ptr_equal(of_former->tls, first);
    assert_ptr_equal(certificate(1), second);
    pn_worker_unpin(lab.worker, former);
    assert_int_equal(pn_loop_turn(lab.main_loop, 0, NULL), PN_OK);
    assert_ptr_equal(certificate(1), second);
}

static void a_deleted_certificate_is_found_no_more(void **state)
{
    (void)state;
    (void)certificate(1);
    assert_int_equal(pn_catalog_delete(lab.catalog, PN_LIT("/certificates/c1")), PN_OK);
    commit();
    switch_over();
    assert_null(pn_pin_certificate(lab.worker->pin, pn_slice("", 0), PN_LIT("c1")));
    assert_null(pn_pin_certificate(lab.worker->pin, pn_slice("", 0), PN_LIT("C1")));
}

/* One place for many names: by their lengths and last characters. And one name in two scopes. */
static void names_that_share_a_place_and_scopes_are_told_apart(void **state)
{
    static const struct {
        const char *key, *scope, *name;
    } all[] = {
        {"/certificates/aa1", "", "aa1"},
        {"/certificates/ba1", "", "ba1"},
        {"/certificates/ab1", "", "ab1"},
        {"/workspaces/w1/certificates/aa1", "workspaces/w1", "aa1"},
        {"/workspaces/w2/certificates/aa1", "workspaces/w2", "aa1"},
    };
    enum { COUNT = sizeof(all) / sizeof(all[0]) };
    const struct pn_client_certificate *found[COUNT];

    (void)state;
    for (size_t i = 0; i < COUNT; i++)
        put_certificate(all[i].key, 1);
    commit();
    switch_over();
    for (size_t i = 0; i < COUNT; i++) {
        found[i] = pn_pin_certificate(lab.worker->pin, pn_slice_str(all[i].scope),
                                      pn_slice_str(all[i].name));
        assert_non_null(found[i]);
        for (size_t k = 0; k < i; k++)
            assert_ptr_not_equal(found[i], found[k]);
    }
    for (size_t i = 0; i < COUNT * COUNT; i++) {
        size_t k = i / COUNT, m = i % COUNT;

        assert_ptr_equal(pn_pin_certificate(lab.worker->pin, pn_slice_str(all[k].scope),
                                            pn_slice_str(all[k].name)),
                         found[k]);
        assert_ptr_equal(pn_pin_certificate(lab.worker->pin, pn_slice_str(all[m].scope),
                                            pn_slice_str(all[m].name)),
                         found[m]);
    }
    assert_ptr_equal(pn_pin_certificate(lab.worker->pin, pn_slice("", 0), PN_LIT("AA1")), found[0]);
    assert_null(pn_pin_certificate(lab.worker->pin, PN_LIT("workspaces/w3"), PN_LIT("aa1")));
    assert_null(pn_pin_certificate(lab.worker->pin, pn_slice("", 0), PN_LIT("")));
}

/* Tables find a certificate by it as well; as a name it means nothing, remembered or not. */
static void a_thumbprint_is_no_name(void **state)
{
    const struct pn_client_certificate *found =
        pn_pin_certificate(lab.worker->pin, pn_slice("", 0), PN_LIT("c1"));

    (void)state;
    for (int i = 0; i < 2; i++)
        assert_null(
            pn_pin_certificate(lab.worker->pin, pn_slice("", 0), pn_slice_str(found->print_key)));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(each_question_gets_its_own_context_also_where_places_are_shared),
        TEST(several_certificates_are_no_question_of_one),
        TEST(an_entry_that_lies_about_its_context_is_not_believed),
        TEST(equal_policies_at_two_places_have_one_context),
        TEST(a_context_is_forgotten_before_it_leaves_the_map),
        TEST(a_new_snapshot_begins_with_no_certificate_that_is_remembered),
        TEST(a_deleted_certificate_is_found_no_more),
        TEST(names_that_share_a_place_and_scopes_are_told_apart),
        TEST(a_thumbprint_is_no_name),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
