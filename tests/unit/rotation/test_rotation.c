/* SPDX-License-Identifier: Apache-2.0
 *
 * Rotation over a real store, a keyholder in this process, and a vault that answers from a script.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/encode.h"
#include "base/json.h"
#include "keyvault/keyvault_internal.h"
#include "rotation/generation.h"
#include "rotation/generations.h"
#include "rotation/rotation_internal.h"
#include "store/store.h"
#include "support/fake_keyholder.h"

#define SERVICE                                                                                    \
    "/subscriptions/s/resourceGroups/g/providers/Microsoft.ApiManagement/service/postern"
#define C1     SERVICE "/certificates/c1"
#define C2     SERVICE "/certificates/c2"
#define SECRET "https://local.vault.localhost:9444/secrets/cert"
#define V1     "00000000000000000000000000000001"
#define V2     "00000000000000000000000000000002"
#define V3     "00000000000000000000000000000003"
#define CHALLENGE                                                                                  \
    "Bearer authorization=\"https://localhost:9443/t\", resource=\"https://vault.localhost:9444\""

static char folder[64];
static struct pn_store *store;
static struct pn_token_source *tokens;
static struct pn_keyvault *keyvault;
static struct pn_rotation *rotation;
static uint64_t mono = 1000000, published;
static unsigned fetches, lists;
static struct {
    int status;
    const char *version;
    struct pn_buf value; /* of the secret */
} vault;

static void (*meanwhile)(void); /* while the secret is fetched, once */

static const char *vault_words; /* of the error it answers; NULL: none */

static uint64_t mono_ms(void)
{
    return mono;
}

#define NOW_MS 1800000000123
static int64_t later_ms; /* since NOW_MS */

static int64_t now_ms(void)
{
    return NOW_MS + later_ms;
}

static enum pn_rc give(void *ctx, const struct pn_identity_ref *identity,
                       const struct pn_token_target *target, struct pn_secret *token,
                       int64_t *expires_s, struct pn_error *err)
{
    (void)ctx, (void)target, (void)err;
    assert_string_equal(identity->owner_id, SERVICE);
    *expires_s = INT64_MAX;
    return pn_secret_from(token, "token", 5);
}

static enum pn_rc answer(struct pn_keyvault *unused, const char *url, const struct pn_secret *token,
                         struct exchange *exchange, struct pn_error *err)
{
    enum pn_rc rc;

    (void)unused, (void)err;
    exchange->status = token ? vault.status : 401;
    if (!token) {
        snprintf(exchange->challenge, sizeof exchange->challenge, "%s", CHALLENGE);
        return PN_OK;
    }
    if (vault_words)
        return pn_buf_printf(&exchange->body, "{\"error\":{\"code\":\"%s\"}}", vault_words);
    if (strstr(url, "/versions?")) {
        lists++;
        return pn_buf_printf(&exchange->body,
                             "{\"value\":[{\"id\":\"" SECRET
                             "/%s\",\"attributes\":{\"created\":1}}]}",
                             vault.version);
    }
    fetches++;
    rc = pn_buf_printf(
        &exchange->body,
        "{\"value\":\"%.*s\",\"contentType\":\"application/x-pkcs12\",\"id\":\"" SECRET "/%s\"}",
        (int)vault.value.len, vault.value.ptr, vault.version);
    if (meanwhile) {
        void (*act)(void) = meanwhile;

        meanwhile = NULL;
        act();
    }
    return rc;
}

static enum pn_rc publish(void *ctx, uint64_t revision, struct pn_error *err)
{
    (void)ctx, (void)err;
    published = revision;
    return PN_OK;
}

static void offer(const char *version)
{
    struct pn_buf file;

    pn_buf_init(&file, 65536);
    fake_make_file("CN=rotated", false, NULL, &file);
    pn_buf_clear(&vault.value);
    assert_int_equal(pn_base64_encode(pn_buf_slice(&file), &vault.value), PN_OK);
    vault.version = version;
    vault.status = 200;
    pn_buf_fini(&file);
}

static int setup(void **state)
{
    struct pn_token_provider provider = {"test", give, NULL};
    struct pn_keyvault_options options = {0};
    struct pn_rotation_config config = {
        .publisher = {publish, NULL}, .now_ms = now_ms, .mono_ms = mono_ms};
    char file[80];

    (void)state;
    snprintf(folder, sizeof folder, "/tmp/pn-rotation-XXXXXX");
    assert_non_null(mkdtemp(folder));
    snprintf(file, sizeof file, "%s/db", folder);
    assert_int_equal(pn_store_open(file, &store, NULL), PN_OK);
    assert_int_equal(pn_token_source_create(NULL, &tokens), PN_OK);
    assert_int_equal(pn_token_source_add(tokens, &provider), PN_OK);
    options.tokens = tokens;
    assert_int_equal(pn_keyvault_create(&options, &keyvault, NULL), PN_OK);
    keyvault->transport = answer;
    config.store = store;
    config.keyvault = keyvault;
    assert_int_equal(pn_rotation_create(&config, &rotation, NULL), PN_OK);
    pn_buf_init(&vault.value, 65536);
    offer(V1);
    published = fetches = lists = 0;
    return 0;
}

static int teardown(void **state)
{
    char file[80];

    (void)state;
    pn_rotation_destroy(rotation);
    pn_keyvault_destroy(keyvault);
    pn_token_source_destroy(tokens);
    pn_store_close(store);
    snprintf(file, sizeof file, "%s/db", folder);
    (void)unlink(file);
    (void)rmdir(folder);
    pn_buf_fini(&vault.value);
    fake_keyholder_reset();
    return 0;
}

/* As the REST API does for a PUT with keyVault. */
static void put_certificate(const char *id, const char *identifier)
{
    struct pn_generation_origin origin = {.generation = 1, .secret_identifier = identifier};
    struct pn_store_txn *txn = NULL;
    struct pn_fetched fetched;
    struct pn_error err = {0};
    json_t *properties, *internal, *body;

    assert_int_equal(pn_rotation_fetch_certificate(rotation, PN_USE_CLIENT, SERVICE, identifier,
                                                   NULL, &fetched, &err),
                     PN_OK);
    origin.secret_version = fetched.version;
    assert_int_equal(
        pn_generation_make(&fetched.imported, &origin, now_ms(), &properties, &internal, &err),
        PN_OK);
    body = json_pack("{s:s, s:o, s:o}", "name", strrchr(id, '/') + 1, "properties", properties,
                     "internal", internal);
    assert_int_equal(pn_store_begin(store, &txn, &err), PN_OK);
    assert_int_equal(pn_store_put(txn, id, CERTIFICATE_TYPE, body, NULL, &err), PN_OK);
    assert_int_equal(pn_store_commit(txn, NULL, &err), PN_OK);
    json_decref(body);
    pn_fetched_fini(&fetched);
}

static void expect(const char *id, int64_t generation, const char *version, const char *status)
{
    struct pn_store_item item = {0};
    const json_t *internal, *last;

    assert_int_equal(pn_store_get(store, id, &item, NULL), PN_OK);
    internal = json_object_get(item.body, "internal");
    last = json_object_get(json_object_get(json_object_get(item.body, "properties"), "keyVault"),
                           "lastStatus");
    assert_int_equal(pn_json_int(internal, "generation", 0), generation);
    assert_string_equal(pn_json_str(internal, "secretVersion"), version);
    assert_string_equal(pn_json_str(last, "code"), status);
    assert_string_equal(pn_json_str(last, "timeStampUtc"), "2027-01-15T08:00:00.1230000Z");
    pn_store_item_fini(&item);
}

static void turn_later(void)
{
    mono += 2ull * PN_ROTATION_INTERVAL_S * 1000;
    (void)rotation_turn(rotation);
}

static void new_version_becomes_the_next_generation(void **state)
{
    (void)state;
    put_certificate(C1, SECRET);
    (void)rotation_turn(rotation);
    expect(C1, 1, V1, "Success");
    offer(V2);
    turn_later();
    expect(C1, 2, V2, "Success");
    assert_int_equal(published, pn_store_revision(store));
    /* The former key is kept while it drains, for a way back, and forgotten then. */
    assert_int_equal(fake_keyholder_count(PN_USE_CLIENT), 2);
    later_ms = PN_ROTATION_DRAIN_MS + 1;
    turn_later();
    later_ms = 0;
    assert_int_equal(fake_keyholder_count(PN_USE_CLIENT), 1);
}

static void unchanged_secret_is_not_fetched_and_nothing_is_written(void **state)
{
    uint64_t revision;

    (void)state;
    put_certificate(C1, SECRET);
    revision = pn_store_revision(store);
    (void)rotation_turn(rotation);
    for (int i = 0; i < 3; i++)
        turn_later();
    assert_int_equal(lists, 3);
    assert_int_equal(fetches, 1);
    assert_int_equal(pn_store_revision(store), revision);
    assert_int_equal(published, 0);
}

static void certificates_of_one_object_share_one_poll(void **state)
{
    (void)state;
    put_certificate(C1, SECRET);
    put_certificate(C2, SECRET);
    (void)rotation_turn(rotation);
    offer(V2);
    fetches = 0;
    turn_later();
    assert_int_equal(lists, 1);
    assert_int_equal(fetches, 1);
    expect(C1, 2, V2, "Success");
    expect(C2, 2, V2, "Success");
}

/* ---- what is changed while its secret is fetched */

/* As a PUT does: C1 is of another source now; NULL: uploaded. */
static void repoint(const char *identifier)
{
    struct pn_store_txn *txn = NULL;
    struct pn_store_item item = {0};
    json_t *properties, *vault_of_it;

    assert_int_equal(pn_store_begin(store, &txn, NULL), PN_OK);
    assert_int_equal(pn_store_txn_get(txn, C1, &item, NULL), PN_OK);
    properties = json_object_get(item.body, "properties");
    vault_of_it = json_object_get(properties, "keyVault");
    if (identifier)
        json_object_set_new(vault_of_it, "secretIdentifier", json_string(identifier));
    else
        json_object_del(properties, "keyVault");
    assert_int_equal(pn_store_put(txn, item.id, item.type, item.body, NULL, NULL), PN_OK);
    assert_int_equal(pn_store_commit(txn, NULL, NULL), PN_OK);
    pn_store_item_fini(&item);
}

static void to_another_secret(void)
{
    repoint("https://local.vault.localhost:9444/secrets/other");
}

static void to_a_pinned_version(void)
{
    repoint(SECRET "/" V1);
}

static void to_an_upload(void)
{
    repoint(NULL);
}

static void what_was_fetched_is_of_no_use_to_what_names_another_source_by_then(void **state)
{
    static void (*const changes[])(void) = {to_another_secret, to_a_pinned_version, to_an_upload};

    (void)state;
    for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
        uint64_t revision;

        offer(V1);
        put_certificate(C1, SECRET);
        pn_rotation_rescan(rotation);
        (void)rotation_turn(rotation);
        offer(V2);
        meanwhile = changes[i];
        revision = pn_store_revision(store);
        turn_later();
        assert_null(meanwhile);
        assert_int_equal(pn_store_revision(store), revision + 1); /* by the change alone */
        assert_int_equal(fake_keyholder_count(PN_USE_CLIENT), i + 1);
    }
}

static void refresh_to_a_newer_one(void)
{
    struct pn_error err = {0};

    offer(V3);
    assert_int_equal(pn_rotation_refresh(rotation, C1, &err), PN_OK);
    expect(C1, 2, V3, "Success");
}

/* A refresh that was answered is live: what somebody had fetched before does not undo it. */
static void what_was_fetched_before_a_refresh_does_not_undo_it(void **state)
{
    (void)state;
    put_certificate(C1, SECRET);
    (void)rotation_turn(rotation);
    offer(V2);
    meanwhile = refresh_to_a_newer_one;
    turn_later();
    assert_null(meanwhile);
    expect(C1, 2, V3, "Success");
}

static void refresh_once_more(void)
{
    struct pn_error err = {0};

    offer(V3);
    assert_int_equal(pn_rotation_refresh(rotation, C1, &err), PN_OK);
}

static void the_older_of_two_refreshes_ends_with_what_the_newer_one_found(void **state)
{
    struct pn_error err = {0};

    (void)state;
    put_certificate(C1, SECRET);
    offer(V2);
    meanwhile = refresh_once_more;
    assert_int_equal(pn_rotation_refresh(rotation, C1, &err), PN_OK);
    assert_null(meanwhile);
    expect(C1, 2, V3, "Success");
}

/* ---- what the backends say */

static bool backends_refuse;

static enum pn_rc show(void *ctx, const char *certificate_id, const json_t *internal,
                       json_t **verdicts, struct pn_error *err)
{
    bool is_new = pn_json_int(internal, "generation", 0) != 1;

    (void)ctx, (void)certificate_id;
    *verdicts = json_array();
    /* A generation that is not numbered yet is a new one. */
    return backends_refuse && (is_new || !json_object_get(internal, "secretVersion") ||
                               strcmp(pn_json_str(internal, "secretVersion"), V1) != 0)
               ? pn_error_set(err, PN_DENIED, "refused", "b1 refuses it")
               : PN_OK;
}

static uint64_t number_of(const char *state)
{
    struct pn_store_item item = {0};
    uint64_t number;

    assert_int_equal(pn_store_get(store, C1, &item, NULL), PN_OK);
    number = (uint64_t)pn_json_int(pn_generations_find(item.body, state), "number", 0);
    pn_store_item_fini(&item);
    return number;
}

static void many_rotations_within_one_drain_leave_no_keys_and_lose_none(void **state)
{
    char version[PN_KEYVAULT_VERSION_TEXT];
    struct pn_error err = {0};

    (void)state;
    backends_refuse = false;
    pn_rotation_set_preflight(rotation, show, NULL);
    put_certificate(C1, SECRET);
    (void)rotation_turn(rotation);
    for (unsigned i = 0; i < 2 * PN_GENERATIONS_KEPT_MAX; i++) {
        snprintf(version, sizeof version, "%032x", 100 + i);
        offer(version);
        turn_later();
    }
    expect(C1, 1 + 2 * PN_GENERATIONS_KEPT_MAX, version, "Success");
    assert_true(fake_keyholder_count(PN_USE_CLIENT) <= PN_GENERATIONS_KEPT_MAX);
    /* One that waits has its key, however many drain before it. */
    backends_refuse = true;
    offer(V2);
    turn_later();
    expect(C1, 1 + 2 * PN_GENERATIONS_KEPT_MAX, version, "CertificateRefused");
    assert_int_equal(pn_rotation_promote(rotation, C1, number_of("staged"), true, &err), PN_OK);
    expect(C1, 2 + 2 * PN_GENERATIONS_KEPT_MAX, V2, "Success");
}

static void what_waits_no_longer_leaves_no_key(void **state)
{
    (void)state;
    backends_refuse = true;
    pn_rotation_set_preflight(rotation, show, NULL);
    put_certificate(C1, SECRET);
    (void)rotation_turn(rotation);
    offer(V2);
    turn_later();
    offer(V3);
    turn_later();
    expect(C1, 1, V1, "CertificateRefused");
    assert_int_equal(fake_keyholder_count(PN_USE_CLIENT), 2);
}

static void refused_generation_is_rolled_back_unless_it_was_forced(void **state)
{
    struct pn_error err = {0};

    (void)state;
    backends_refuse = false;
    pn_rotation_set_preflight(rotation, show, NULL);
    put_certificate(C1, SECRET);
    (void)rotation_turn(rotation);
    offer(V2);
    turn_later();
    expect(C1, 2, V2, "Success");
    (void)rotation_turn(rotation); /* the promotion woke the follower */
    backends_refuse = true;
    vault.status = 503; /* it stays out of this */
    mono += PN_ROTATION_CANARY_EVERY_MS;
    (void)rotation_turn(rotation);
    assert_int_equal(number_of("current"), 1);
    assert_int_equal(pn_rotation_promote(rotation, C1, 2, true, &err), PN_OK);
    for (int i = 0; i < 3; i++) {
        mono += PN_ROTATION_CANARY_EVERY_MS;
        (void)rotation_turn(rotation);
    }
    assert_int_equal(number_of("current"), 2);
}

static void versioned_identifier_is_pinned(void **state)
{
    (void)state;
    put_certificate(C1, SECRET "/" V1);
    offer(V2);
    (void)rotation_turn(rotation);
    turn_later();
    expect(C1, 1, V1, "Success");
    assert_int_equal(lists, 0);
}

static void failure_keeps_the_good_certificate_and_says_why(void **state)
{
    uint64_t revision;

    (void)state;
    put_certificate(C1, SECRET);
    (void)rotation_turn(rotation);
    vault.status = 404;
    turn_later();
    expect(C1, 1, V1, "VaultNotFound");
    assert_int_equal(published, 0);
    revision = pn_store_revision(store);
    mono += 2ull * PN_ROTATION_BACKOFF_MAX_S * 1000;
    (void)rotation_turn(rotation);
    assert_int_equal(pn_store_revision(store), revision);
    vault.status = 200;
    mono += 2ull * PN_ROTATION_BACKOFF_MAX_S * 1000;
    (void)rotation_turn(rotation);
    expect(C1, 1, V1, "Success");
    assert_int_equal(fake_keyholder_count(PN_USE_CLIENT),
                     2); /* the fake keeps what it imports twice */
}

static void bad_new_certificate_never_takes_over(void **state)
{
    (void)state;
    put_certificate(C1, SECRET);
    (void)rotation_turn(rotation);
    vault.version = V2;
    pn_buf_clear(&vault.value);
    assert_int_equal(pn_buf_append_str(&vault.value, "AAAA"), PN_OK);
    turn_later();
    expect(C1, 1, V1, "CertificateRefused");
    assert_int_equal(published, 0);
}

static void notice_of_the_embedded_vault_is_followed_at_once(void **state)
{
    (void)state;
    put_certificate(C1, SECRET);
    (void)rotation_turn(rotation);
    offer(V2);
    pn_rotation_notify(rotation, "local", "other");
    pn_rotation_notify(rotation, "second", "cert");
    (void)rotation_turn(rotation);
    expect(C1, 1, V1, "Success");
    pn_rotation_notify(rotation, "local", "CERT");
    (void)rotation_turn(rotation);
    expect(C1, 2, V2, "Success");
}

static void object_that_others_changed_is_looked_at_soon(void **state)
{
    struct pn_error err = {0};

    (void)state;
    put_certificate(C1, SECRET);
    (void)rotation_turn(rotation);
    turn_later();
    /* a refresh fetches V2, and the vault tells of V3 before V2 is stored: the notice finds nothing
     */
    offer(V2);
    assert_int_equal(pn_rotation_refresh(rotation, C1, &err), PN_OK);
    offer(V3);
    (void)rotation_turn(rotation);
    expect(C1, 2, V2, "Success");
    mono += FIRST_POLL_DELAY_MS;
    (void)rotation_turn(rotation);
    expect(C1, 3, V3, "Success");
}

static void words_of_a_vault_that_are_cut_inside_a_character_are_told(void **state)
{
    char words[2 * 250 + 1] = "";

    (void)state;
    for (size_t i = 0; i + 1 < sizeof words; i += 2)
        memcpy(words + i, "\xc3\xa9", 3);
    put_certificate(C1, SECRET);
    (void)rotation_turn(rotation);
    vault.status = 404;
    vault_words = words;
    turn_later();
    vault_words = NULL;
    expect(C1, 1, V1, "VaultNotFound");
}

static void failures_back_off(void **state)
{
    uint64_t next = 0;

    (void)state;
    put_certificate(C1, SECRET);
    (void)rotation_turn(rotation);
    vault.status = 503;
    for (int i = 0; i < 12; i++) {
        mono += 2ull * PN_ROTATION_BACKOFF_MAX_S * 1000;
        next = rotation_turn(rotation);
    }
    assert_int_equal(lists, 12);
    expect(C1, 1, V1, "VaultUnavailable");
    assert_int_equal(next, mono + 60000); /* only the look at the store is that soon */
    mono += (uint64_t)PN_ROTATION_BACKOFF_MAX_S * 1000 * 8 / 10;
    (void)rotation_turn(rotation);
    assert_int_equal(lists, 12);
}

static void refresh_fetches_now_and_tells_the_outcome(void **state)
{
    struct pn_error err = {0};

    (void)state;
    put_certificate(C1, SECRET);
    offer(V2);
    assert_int_equal(pn_rotation_refresh(rotation, C1, &err), PN_OK);
    expect(C1, 2, V2, "Success");
    vault.status = 403;
    assert_int_equal(pn_rotation_refresh(rotation, C1, &err), PN_OK);
    expect(C1, 2, V2, "VaultForbidden");
    assert_int_equal(pn_rotation_refresh(rotation, C2, &err), PN_NOT_FOUND);
}

static void fetch_names_the_field_of_a_bad_identifier(void **state)
{
    struct pn_fetched fetched;
    struct pn_error err = {0};

    (void)state;
    assert_int_equal(pn_rotation_fetch_certificate(
                         rotation, PN_USE_CLIENT, SERVICE,
                         "https://local.vault.localhost:9444/certificates/c", "", &fetched, &err),
                     PN_INVALID);
    assert_string_equal(err.target, "keyVault.secretIdentifier");
    fake_keyholder_is_away = true;
    assert_int_equal(
        pn_rotation_fetch_certificate(rotation, PN_USE_CLIENT, SERVICE, SECRET, "", &fetched, &err),
        PN_UNAVAILABLE);
    fake_keyholder_is_away = false;
    assert_string_equal(pn_rotation_status_code(&err), "KeyholderUnavailable");
}

static void key_in_use_is_not_forgotten(void **state)
{
    struct pn_store_item item = {0};
    struct pn_key_id key;

    (void)state;
    put_certificate(C1, SECRET);
    assert_int_equal(pn_store_get(store, C1, &item, NULL), PN_OK);
    assert_true(pn_hex_decode(pn_json_slice(json_object_get(item.body, "internal"), "keyId"),
                              key.sha256, sizeof key.sha256));
    pn_store_item_fini(&item);
    pn_rotation_forget_unused(rotation, PN_USE_CLIENT, &key);
    assert_int_equal(fake_keyholder_count(PN_USE_CLIENT), 1);
}

static void mismatched_key_is_refused(void **state)
{
    struct pn_fetched fetched;
    struct pn_error err = {0};

    (void)state;
    assert_int_equal(pn_rotation_fetch_certificate(rotation, PN_USE_CLIENT, SERVICE, SECRET, NULL,
                                                   &fetched, &err),
                     PN_OK);
    assert_int_equal(pn_generation_lint(&fetched.imported, 1800000000, NULL, &err), PN_OK);
    fetched.imported.key.sha256[0] ^= 1;
    assert_int_equal(pn_generation_lint(&fetched.imported, 1800000000, NULL, &err), PN_INVALID);
    assert_string_equal(err.code, "key_mismatch");
    pn_fetched_fini(&fetched);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(new_version_becomes_the_next_generation),
        TEST(unchanged_secret_is_not_fetched_and_nothing_is_written),
        TEST(what_was_fetched_is_of_no_use_to_what_names_another_source_by_then),
        TEST(what_was_fetched_before_a_refresh_does_not_undo_it),
        TEST(the_older_of_two_refreshes_ends_with_what_the_newer_one_found),
        TEST(certificates_of_one_object_share_one_poll),
        TEST(many_rotations_within_one_drain_leave_no_keys_and_lose_none),
        TEST(what_waits_no_longer_leaves_no_key),
        TEST(refused_generation_is_rolled_back_unless_it_was_forced),
        TEST(versioned_identifier_is_pinned),
        TEST(failure_keeps_the_good_certificate_and_says_why),
        TEST(bad_new_certificate_never_takes_over),
        TEST(notice_of_the_embedded_vault_is_followed_at_once),
        TEST(object_that_others_changed_is_looked_at_soon),
        TEST(words_of_a_vault_that_are_cut_inside_a_character_are_told),
        TEST(failures_back_off),
        TEST(refresh_fetches_now_and_tells_the_outcome),
        TEST(fetch_names_the_field_of_a_bad_identifier),
        TEST(key_in_use_is_not_forgotten),
        TEST(mismatched_key_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
