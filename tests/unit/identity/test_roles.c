/* SPDX-License-Identifier: Apache-2.0
 *
 * Roles, assignments and the cache of tokens.
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

#include "identity/principal.h"
#include "identity/roles.h"
#include "identity/token_source.h"
#include "store/store.h"

static bool allows(const char *role, const char *action)
{
    return pn_role_allows(pn_role_find(pn_slice_str(role)), pn_slice_str(action), false);
}

static void wildcards_match_across_slashes(void **state)
{
    (void)state;
    assert_true(pn_action_matches(PN_LIT("*/read"), PN_LIT("a/b/READ")));
    assert_true(pn_action_matches(PN_LIT("a/*/write"), PN_LIT("a/b/c/write")));
    assert_true(pn_action_matches(PN_LIT("*"), PN_LIT("")));
    assert_false(pn_action_matches(PN_LIT("a/*"), PN_LIT("a")));
    assert_false(pn_action_matches(PN_LIT("*/read"), PN_LIT("a/reader")));
}

static void built_in_roles_allow_what_they_say(void **state)
{
    (void)state;
    assert_true(allows(PN_ROLE_OWNER, "Microsoft.Authorization/roleAssignments/write"));
    assert_false(allows(PN_ROLE_CONTRIBUTOR, "Microsoft.Authorization/roleAssignments/write"));
    assert_true(allows(PN_ROLE_CONTRIBUTOR, "Microsoft.ApiManagement/service/apis/write"));
    assert_true(allows(PN_ROLE_READER, "Microsoft.ApiManagement/service/apis/read"));
    assert_false(allows(PN_ROLE_READER, "Microsoft.ApiManagement/service/apis/write"));
    assert_true(
        allows(PN_ROLE_APIM_CONTRIBUTOR, "Microsoft.ApiManagement/service/certificates/delete"));
    assert_false(allows(PN_ROLE_APIM_CONTRIBUTOR, "Microsoft.KeyVault/vaults/write"));
    assert_non_null(pn_role_find(PN_LIT(
        "/subscriptions/s/providers/Microsoft.Authorization/roleDefinitions/" PN_ROLE_OWNER)));
    assert_null(pn_role_find(PN_LIT("nobody")));
}

static bool allows_data(const char *role, const char *action)
{
    return pn_role_allows(pn_role_find(pn_slice_str(role)), pn_slice_str(action), true);
}

static void data_actions_are_apart_from_actions(void **state)
{
    const struct pn_role_definition *administrator =
        pn_role_find(PN_LIT(PN_ROLE_KEY_VAULT_ACCESS_ADMINISTRATOR));

    (void)state;
    assert_true(allows_data(PN_ROLE_KEY_VAULT_SECRETS_USER,
                            "Microsoft.KeyVault/vaults/secrets/getSecret/action"));
    assert_false(allows(PN_ROLE_KEY_VAULT_SECRETS_USER,
                        "Microsoft.KeyVault/vaults/secrets/getSecret/action"));
    assert_false(allows_data(PN_ROLE_OWNER, "Microsoft.KeyVault/vaults/secrets/getSecret/action"));
    assert_false(allows_data(PN_ROLE_KEY_VAULT_SECRETS_USER,
                             "Microsoft.KeyVault/vaults/secrets/setSecret/action"));
    assert_true(pn_role_may_assign(pn_role_find(PN_LIT(PN_ROLE_OWNER)), NULL));
    assert_true(
        pn_role_may_assign(administrator, pn_role_find(PN_LIT(PN_ROLE_KEY_VAULT_SECRETS_USER))));
    assert_false(pn_role_may_assign(administrator, pn_role_find(PN_LIT(PN_ROLE_OWNER))));
    assert_false(pn_role_may_assign(administrator, NULL));
}

static void assignment_covers_its_scope_and_below(void **state)
{
    const struct pn_principal me = {.object_id = "AAAA", .app_id = "app"};
    const struct pn_principal you = {.object_id = "bbbb"};
    char path[] = "/tmp/pn-roles-XXXXXX", file[64];
    struct pn_store_txn *txn = NULL;
    struct pn_store *store = NULL;
    struct pn_error err = {0};

    (void)state;
    assert_non_null(mkdtemp(path));
    snprintf(file, sizeof file, "%s/db", path);
    assert_int_equal(pn_store_open(file, &store, &err), PN_OK);
    assert_int_equal(pn_store_begin(store, &txn, &err), PN_OK);
    for (int i = 0; i < 2; i++)
        assert_int_equal(pn_role_assign(txn, "/subscriptions/S/resourceGroups/g", PN_ROLE_READER,
                                        "aaaa", "ServicePrincipal", &err),
                         PN_OK);
    assert_int_equal(pn_role_assign(txn, "/subscriptions/S", "no-role", "aaaa", "User", &err),
                     PN_INVALID);
    assert_int_equal(pn_store_commit(txn, NULL, &err), PN_OK);
    assert_int_equal(pn_authorize(store, &me, "X/read", "/subscriptions/s/resourcegroups/G", &err),
                     PN_OK);
    assert_int_equal(pn_authorize(store, &me, "X/read",
                                  "/subscriptions/S/resourceGroups/g/providers/X/y/z", &err),
                     PN_OK);
    assert_int_equal(pn_authorize(store, &me, "X/write", "/subscriptions/S/resourceGroups/g", &err),
                     PN_DENIED);
    assert_non_null(strstr(err.message, "X/write"));
    assert_int_equal(pn_authorize(store, &me, "X/read", "/subscriptions/S", &err), PN_DENIED);
    assert_int_equal(pn_authorize(store, &me, "X/read", "/subscriptions/S/resourceGroups/gg", &err),
                     PN_DENIED);
    assert_int_equal(pn_authorize(store, &you, "X/read", "/subscriptions/S/resourceGroups/g", &err),
                     PN_DENIED);
    pn_store_close(store);
    (void)unlink(file);
    (void)rmdir(path);
}

static int asked;
static bool is_down;
static int64_t clock_s = 1000;

static int64_t now_s(void)
{
    return clock_s;
}

static enum pn_rc not_mine(void *ctx, const struct pn_identity_ref *identity,
                           const struct pn_token_target *target, struct pn_secret *token,
                           int64_t *expires_s, struct pn_error *err)
{
    (void)ctx, (void)identity, (void)target, (void)token, (void)expires_s;
    return pn_error_set(err, PN_NOT_FOUND, "foreign", "not mine");
}

static enum pn_rc mine(void *ctx, const struct pn_identity_ref *identity,
                       const struct pn_token_target *target, struct pn_secret *token,
                       int64_t *expires_s, struct pn_error *err)
{
    char text[64];

    (void)ctx, (void)target;
    if (strcmp(identity->owner_id, "none") == 0 || is_down)
        return not_mine(ctx, identity, target, token, expires_s, err);
    snprintf(text, sizeof text, "%s-%d", identity->owner_id, ++asked);
    *expires_s = clock_s + 3600;
    return pn_secret_from(token, text, strlen(text));
}

static void take(struct pn_token_source *source, const char *owner, const char *expected)
{
    const struct pn_identity_ref identity = {.owner_id = owner};
    const struct pn_token_target target = {.resource = "https://v"};
    struct pn_secret token = {0};

    assert_int_equal(pn_token_source_get(source, &identity, &target, &token, NULL), PN_OK);
    assert_true(pn_slice_eq_str(pn_secret_slice(&token), expected));
    pn_secret_fini(&token);
}

static void tokens_are_kept_until_shortly_before_they_expire(void **state)
{
    const struct pn_identity_ref none = {.owner_id = "none"}, a = {.owner_id = "a"};
    const struct pn_token_target target = {.resource = "https://v"};
    struct pn_token_source *source = NULL;
    struct pn_secret token = {0};
    struct pn_error err = {0};

    (void)state;
    assert_int_equal(pn_token_source_create(now_s, &source), PN_OK);
    assert_int_equal(pn_token_source_add(source, &(struct pn_token_provider){"x", not_mine, NULL}),
                     PN_OK);
    assert_int_equal(pn_token_source_add(source, &(struct pn_token_provider){"y", mine, NULL}),
                     PN_OK);
    take(source, "a", "a-1");
    take(source, "a", "a-1");
    take(source, "b", "b-2");
    clock_s += 3600 - PN_TOKEN_RENEW_S - 1;
    take(source, "a", "a-1");
    is_down = true;
    clock_s += 1;
    take(source, "a", "a-1"); /* could not be renewed: it is good still */
    is_down = false;
    take(source, "a", "a-1"); /* and not tried again at once */
    clock_s += 60;
    take(source, "a", "a-3");
    is_down = true;
    clock_s += 3600 - PN_TOKEN_CACHE_SPARE_S - 1;
    take(source, "a", "a-3");
    clock_s += 1; /* too near its end */
    assert_int_equal(pn_token_source_get(source, &a, &target, &token, &err), PN_UNAVAILABLE);
    is_down = false;
    pn_token_source_forget(source, &a, &target);
    take(source, "a", "a-4");
    assert_int_equal(pn_token_source_get(source, &none, &target, &token, &err), PN_UNAVAILABLE);
    assert_string_equal(err.code, "no_token_provider");
    pn_token_source_destroy(source);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wildcards_match_across_slashes),
        cmocka_unit_test(built_in_roles_allow_what_they_say),
        cmocka_unit_test(data_actions_are_apart_from_actions),
        cmocka_unit_test(assignment_covers_its_scope_and_below),
        cmocka_unit_test(tokens_are_kept_until_shortly_before_they_expire),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
