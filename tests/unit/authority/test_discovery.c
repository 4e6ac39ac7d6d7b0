/* SPDX-License-Identifier: Apache-2.0
 *
 * Discovery documents, keys, and the tokens of managed identities.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "authority/support.h"

static void expect_document(struct house *house, const char *path, const char *issuer,
                            const char *token, const char *keys)
{
    struct answer answer, jwks;

    ask(house, "GET", path, "", NULL, NULL, NULL, &answer);
    assert_int_equal(answer.response.status, 200);
    assert_string_equal(pn_json_str(answer.json, "issuer"), issuer);
    assert_string_equal(pn_json_str(answer.json, "token_endpoint"), token);
    assert_non_null(pn_json_str(answer.json, "authorization_endpoint"));
    assert_string_equal(pn_json_str(answer.json, "jwks_uri"), keys);
    ask(house, "GET", keys + strlen(ORIGIN), "", NULL, NULL, NULL, &jwks);
    assert_int_equal(jwks.response.status, 200);
    assert_int_equal(json_array_size(json_object_get(jwks.json, "keys")), 1);
    answer_fini(&jwks);
    answer_fini(&answer);
}

static void each_authority_describes_itself_on_the_callers_origin(void **state)
{
    struct house *house = *state;
    expect_document(house, "/" TENANT "/v2.0/.well-known/openid-configuration",
                    ORIGIN "/" TENANT "/v2.0", ORIGIN "/" TENANT "/oauth2/v2.0/token",
                    ORIGIN "/" TENANT "/discovery/v2.0/keys");
    expect_document(house, "/common/.well-known/openid-configuration", ORIGIN "/" TENANT "/",
                    ORIGIN "/" TENANT "/oauth2/token", ORIGIN "/" TENANT "/discovery/keys");
    expect_document(house, "/adfs/.well-known/openid-configuration/", ORIGIN "/adfs",
                    ORIGIN "/adfs/oauth2/token", ORIGIN "/adfs/discovery/keys");
}

static void published_keys_verify_the_tokens(void **state)
{
    struct house *house = *state;
    const char *const audiences[] = {ORIGIN, NULL};
    struct pn_authority_grant grant = {
        .audience = ORIGIN, .client_id = "c", .object_id = "o", .version = 2};
    struct pn_token_verifier *verifier = NULL;
    struct pn_principal principal;
    struct answer jwks;
    struct pn_buf token;
    int64_t expires_s;

    ask(house, "GET", "/" TENANT "/discovery/v2.0/keys", "", NULL, NULL, NULL, &jwks);
    assert_int_equal(pn_token_verifier_create(TENANT, NULL, &verifier), PN_OK);
    assert_int_equal(pn_token_verifier_add_jwks(verifier, pn_buf_slice(&jwks.response.body), NULL),
                     PN_OK);
    house_now_s = (int64_t)time(NULL);
    pn_buf_init_secret(&token, PN_TOKEN_BYTES_MAX);
    assert_int_equal(pn_authority_mint(house->authority, &grant, &token, &expires_s, NULL), PN_OK);
    assert_int_equal(pn_token_verify(verifier, pn_buf_slice(&token), audiences, &principal, NULL),
                     PN_OK);
    assert_string_equal(principal.object_id, "o");
    assert_string_equal(principal.app_id, "c");
    pn_buf_fini(&token);
    pn_token_verifier_destroy(verifier);
    answer_fini(&jwks);
}

static void keys_survive_a_restart_and_are_renewed_when_old(void **state)
{
    struct house *house = *state;
    struct pn_authority_config config = {.store = house->store,
                                         .tenant_id = TENANT,
                                         .control_url = ORIGIN,
                                         .vault_audience = VAULT_AUDIENCE};
    struct pn_authority *again = NULL;

    assert_int_equal(fake_keyholder_count(PN_USE_TOKEN), 1);
    assert_int_equal(pn_authority_create(&config, &again, NULL), PN_OK);
    assert_int_equal(fake_keyholder_count(PN_USE_TOKEN), 1);
    pn_authority_destroy(again);
}

static void metadata_serves_the_command_line(void **state)
{
    struct house *house = *state;
    struct answer answer;

    ask(house, "GET", "/metadata/endpoints", "api-version=2015-01-01", NULL, NULL, NULL, &answer);
    assert_string_equal(
        pn_json_str(json_object_get(answer.json, "authentication"), "loginEndpoint"),
        ORIGIN "/adfs");
    answer_fini(&answer);
    ask(house, "GET", "/metadata/endpoints", "api-version=2022-09-01", NULL, NULL, NULL, &answer);
    assert_string_equal(pn_json_str(json_object_get(answer.json, "suffixes"), "keyVaultDns"),
                        "vault.localhost:9444");
    answer_fini(&answer);
    ask(house, "GET", "/no/such/thing", "", NULL, NULL, NULL, &answer);
    assert_int_equal(answer.response.status, 404);
    answer_fini(&answer);
}

static void put_service(struct house *house, const char *type)
{
    struct pn_store_txn *txn = NULL;
    json_t *body = json_pack("{s:s, s:{s:s, s:s}, s:{s:{s:s, s:s}}}", "name", "postern", "identity",
                             "type", type, "principalId", "pppp", "internal", "systemAssigned",
                             "principalId", "pppp", "clientId", "cccc");

    assert_int_equal(pn_store_begin(house->store, &txn, NULL), PN_OK);
    assert_int_equal(pn_store_put(txn, "/subscriptions/s/x", "service", body, NULL, NULL), PN_OK);
    assert_int_equal(pn_store_commit(txn, NULL, NULL), PN_OK);
    json_decref(body);
}

static void managed_identity_gets_tokens_for_our_vault_only(void **state)
{
    struct house *house = *state;
    struct pn_token_provider provider = pn_authority_provider(house->authority);
    struct pn_identity_ref identity = {.owner_id = "/subscriptions/s/x"};
    struct pn_token_target vault = {.resource = VAULT_AUDIENCE};
    struct pn_token_target azure = {.resource = "https://vault.azure.net"};
    const char *const audiences[] = {VAULT_AUDIENCE, NULL};
    struct pn_principal principal;
    struct pn_secret token = {0};
    struct pn_error err = {0};
    int64_t expires_s = 0;

    put_service(house, "SystemAssigned, UserAssigned");
    assert_int_equal(provider.get(provider.ctx, &identity, &vault, &token, &expires_s, &err),
                     PN_OK);
    assert_int_equal(pn_token_verify(pn_authority_verifier(house->authority),
                                     pn_secret_slice(&token), audiences, &principal, &err),
                     PN_OK);
    assert_string_equal(principal.object_id, "pppp");
    assert_string_equal(principal.app_id, "cccc");
    assert_int_equal(expires_s, 0); /* nobody keeps it: "None" below is obeyed at once */
    pn_secret_fini(&token);
    assert_int_equal(provider.get(provider.ctx, &identity, &azure, &token, &expires_s, &err),
                     PN_NOT_FOUND);
    put_service(house, "None");
    assert_int_equal(provider.get(provider.ctx, &identity, &vault, &token, &expires_s, &err),
                     PN_INVALID);
    assert_string_equal(err.code, "identity_not_enabled");
    identity.client_id = "user";
    assert_int_equal(provider.get(provider.ctx, &identity, &vault, &token, &expires_s, &err),
                     PN_INVALID);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, house_setup, house_teardown)
    const struct CMUnitTest tests[] = {
        TEST(each_authority_describes_itself_on_the_callers_origin),
        TEST(published_keys_verify_the_tokens),
        TEST(keys_survive_a_restart_and_are_renewed_when_old),
        TEST(metadata_serves_the_command_line),
        TEST(managed_identity_gets_tokens_for_our_vault_only),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
