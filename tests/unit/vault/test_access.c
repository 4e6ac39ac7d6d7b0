/* SPDX-License-Identifier: Apache-2.0
 *
 * Who may do what in a vault: every permission and every built-in role against every operation, in
 * both models of permissions. What is expected stands here, not in the product's tables.
 */
#include <fnmatch.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "identity/roles.h"
#include "vault/support.h"
#include "vault/vault_operation.h"

static const char *const permissions[][2] = {
    {"secrets", "get"},
    {"secrets", "list"},
    {"secrets", "set"},
    {"secrets", "delete"},
    {"secrets", "backup"},
    {"secrets", "restore"},
    {"secrets", "recover"},
    {"secrets", "purge"},
    {"certificates", "get"},
    {"certificates", "list"},
    {"certificates", "delete"},
    {"certificates", "create"},
    {"certificates", "import"},
    {"certificates", "update"},
    {"certificates", "managecontacts"},
    {"certificates", "getissuers"},
    {"certificates", "listissuers"},
    {"certificates", "setissuers"},
    {"certificates", "deleteissuers"},
    {"certificates", "manageissuers"},
    {"certificates", "recover"},
    {"certificates", "purge"},
    {"certificates", "backup"},
    {"certificates", "restore"},
    {"keys", "get"},
    {"keys", "list"},
    {"keys", "create"},
    {"keys", "update"},
    {"keys", "import"},
    {"keys", "delete"},
    {"keys", "backup"},
    {"keys", "restore"},
    {"keys", "recover"},
    {"keys", "purge"},
    {"keys", "encrypt"},
    {"keys", "decrypt"},
    {"keys", "wrapKey"},
    {"keys", "unwrapKey"},
    {"keys", "sign"},
    {"keys", "verify"},
    {"keys", "release"},
    {"keys", "rotate"},
    {"keys", "getrotationpolicy"},
    {"keys", "setrotationpolicy"},
};
#define PERMISSIONS (sizeof permissions / sizeof permissions[0])

/* Every request of Key Vault's REST API, with the permission of an access policy and the data
 * action of Azure RBAC that it needs: written from Azure's documentation of each operation, not
 * from vault_operations, which is compared with it. */
#define V "00000000000000000000000000000000"
static const struct request {
    const char *method, *path, *kind, *permission, *action;
} requests[] = {
    {"GET", "/secrets", "secrets", "list", "secrets/readMetadata/action"},
    {"GET", "/secrets/thing", "secrets", "get", "secrets/getSecret/action"},
    {"GET", "/secrets/thing/" V, "secrets", "get", "secrets/getSecret/action"},
    {"GET", "/secrets/thing/versions", "secrets", "list", "secrets/readMetadata/action"},
    {"PUT", "/secrets/thing", "secrets", "set", "secrets/setSecret/action"},
    {"PATCH", "/secrets/thing", "secrets", "set", "secrets/update/action"},
    {"PATCH", "/secrets/thing/" V, "secrets", "set", "secrets/update/action"},
    {"DELETE", "/secrets/thing", "secrets", "delete", "secrets/delete"},
    {"POST", "/secrets/thing/backup", "secrets", "backup", "secrets/backup/action"},
    {"POST", "/secrets/restore", "secrets", "restore", "secrets/restore/action"},
    {"GET", "/deletedsecrets", "secrets", "list", "secrets/readMetadata/action"},
    {"GET", "/deletedsecrets/thing", "secrets", "get", "secrets/getSecret/action"},
    {"POST", "/deletedsecrets/thing/recover", "secrets", "recover", "secrets/recover/action"},
    {"DELETE", "/deletedsecrets/thing", "secrets", "purge", "secrets/purge/action"},
    {"GET", "/certificates", "certificates", "list", "certificates/read"},
    {"GET", "/certificates/thing", "certificates", "get", "certificates/read"},
    {"GET", "/certificates/thing/" V, "certificates", "get", "certificates/read"},
    {"GET", "/certificates/thing/versions", "certificates", "list", "certificates/read"},
    {"POST", "/certificates/thing/create", "certificates", "create", "certificates/create/action"},
    {"POST", "/certificates/thing/import", "certificates", "import", "certificates/import/action"},
    {"PATCH", "/certificates/thing", "certificates", "update", "certificates/update/action"},
    {"PATCH", "/certificates/thing/" V, "certificates", "update", "certificates/update/action"},
    {"GET", "/certificates/thing/policy", "certificates", "get", "certificates/read"},
    {"PATCH", "/certificates/thing/policy", "certificates", "update", "certificates/update/action"},
    {"GET", "/certificates/thing/pending", "certificates", "get", "certificates/read"},
    {"PATCH", "/certificates/thing/pending", "certificates", "update",
     "certificates/update/action"},
    {"DELETE", "/certificates/thing/pending", "certificates", "update",
     "certificates/update/action"},
    {"POST", "/certificates/thing/pending/merge", "certificates", "create",
     "certificates/create/action"},
    {"DELETE", "/certificates/thing", "certificates", "delete", "certificates/delete"},
    {"POST", "/certificates/thing/backup", "certificates", "backup", "certificates/backup/action"},
    {"POST", "/certificates/restore", "certificates", "restore", "certificates/restore/action"},
    {"GET", "/deletedcertificates", "certificates", "list", "certificates/read"},
    {"GET", "/deletedcertificates/thing", "certificates", "get", "certificates/read"},
    {"POST", "/deletedcertificates/thing/recover", "certificates", "recover",
     "certificates/recover/action"},
    {"DELETE", "/deletedcertificates/thing", "certificates", "purge", "certificates/purge/action"},
    {"GET", "/certificates/contacts", "certificates", "managecontacts",
     "certificatecontacts/write"},
    {"PUT", "/certificates/contacts", "certificates", "managecontacts",
     "certificatecontacts/write"},
    {"DELETE", "/certificates/contacts", "certificates", "managecontacts",
     "certificatecontacts/write"},
    {"GET", "/certificates/issuers", "certificates", "listissuers", "certificatecas/read"},
    {"GET", "/certificates/issuers/thing", "certificates", "getissuers", "certificatecas/read"},
    {"PUT", "/certificates/issuers/thing", "certificates", "setissuers", "certificatecas/write"},
    {"PATCH", "/certificates/issuers/thing", "certificates", "setissuers", "certificatecas/write"},
    {"DELETE", "/certificates/issuers/thing", "certificates", "deleteissuers",
     "certificatecas/delete"},
    {"GET", "/keys", "keys", "list", "keys/read"},
    {"GET", "/keys/thing", "keys", "get", "keys/read"},
    {"GET", "/keys/thing/" V, "keys", "get", "keys/read"},
    {"GET", "/keys/thing/versions", "keys", "list", "keys/read"},
    {"POST", "/keys/thing/create", "keys", "create", "keys/create/action"},
    {"PUT", "/keys/thing", "keys", "import", "keys/import/action"},
    {"PATCH", "/keys/thing", "keys", "update", "keys/update/action"},
    {"PATCH", "/keys/thing/" V, "keys", "update", "keys/update/action"},
    {"DELETE", "/keys/thing", "keys", "delete", "keys/delete"},
    {"POST", "/keys/thing/backup", "keys", "backup", "keys/backup/action"},
    {"POST", "/keys/restore", "keys", "restore", "keys/restore/action"},
    {"GET", "/deletedkeys", "keys", "list", "keys/read"},
    {"GET", "/deletedkeys/thing", "keys", "get", "keys/read"},
    {"POST", "/deletedkeys/thing/recover", "keys", "recover", "keys/recover/action"},
    {"DELETE", "/deletedkeys/thing", "keys", "purge", "keys/purge/action"},
    {"POST", "/keys/thing/encrypt", "keys", "encrypt", "keys/encrypt/action"},
    {"POST", "/keys/thing/decrypt", "keys", "decrypt", "keys/decrypt/action"},
    {"POST", "/keys/thing/wrapkey", "keys", "wrapKey", "keys/wrap/action"},
    {"POST", "/keys/thing/unwrapkey", "keys", "unwrapKey", "keys/unwrap/action"},
    {"POST", "/keys/thing/sign", "keys", "sign", "keys/sign/action"},
    {"POST", "/keys/thing/verify", "keys", "verify", "keys/verify/action"},
    {"POST", "/keys/thing/release", "keys", "release", "keys/release/action"},
    {"POST", "/keys/thing/" V "/encrypt", "keys", "encrypt", "keys/encrypt/action"},
    {"POST", "/keys/thing/" V "/decrypt", "keys", "decrypt", "keys/decrypt/action"},
    {"POST", "/keys/thing/" V "/wrapkey", "keys", "wrapKey", "keys/wrap/action"},
    {"POST", "/keys/thing/" V "/unwrapkey", "keys", "unwrapKey", "keys/unwrap/action"},
    {"POST", "/keys/thing/" V "/sign", "keys", "sign", "keys/sign/action"},
    {"POST", "/keys/thing/" V "/verify", "keys", "verify", "keys/verify/action"},
    {"POST", "/keys/thing/" V "/release", "keys", "release", "keys/release/action"},
    {"POST", "/keys/thing/rotate", "keys", "rotate", "keys/rotate/action"},
    {"GET", "/keys/thing/rotationpolicy", "keys", "getrotationpolicy", "keyrotationpolicies/read"},
    {"PUT", "/keys/thing/rotationpolicy", "keys", "setrotationpolicy", "keyrotationpolicies/write"},
    /* Key Vault has it for managed HSMs only: here it is for whoever may read keys. */
    {"POST", "/rng", "keys", "get", "keys/read"},
};
#define REQUESTS (sizeof requests / sizeof requests[0])

/* The data actions of Azure's built-in roles, from its documentation. */
static const struct {
    const char *role;
    const char *actions[12];
} roles[] = {
    {"Key Vault Administrator", {"*"}},
    {"Key Vault Certificate User",
     {"certificates/read", "secrets/getSecret/action", "secrets/readMetadata/action", "keys/read"}},
    {"Key Vault Certificates Officer",
     {"certificatecas/*", "certificates/*", "certificatecontacts/write"}},
    {"Key Vault Secrets User", {"secrets/getSecret/action", "secrets/readMetadata/action"}},
    {"Key Vault Secrets Officer", {"secrets/*"}},
    {"Key Vault Crypto User",
     {"keys/read", "keys/update/action", "keys/backup/action", "keys/encrypt/action",
      "keys/decrypt/action", "keys/wrap/action", "keys/unwrap/action", "keys/sign/action",
      "keys/verify/action"}},
    {"Key Vault Crypto Officer", {"keys/*", "keyrotationpolicies/*"}},
    {"Key Vault Crypto Service Encryption User",
     {"keys/read", "keys/wrap/action", "keys/unwrap/action"}},
    {"Key Vault Crypto Service Release User", {"keys/release/action"}},
    {"Key Vault Reader", {"*/read", "secrets/readMetadata/action"}},
    {"Key Vault Contributor", {NULL}},
    {"Key Vault Data Access Administrator", {NULL}},
    {"User Access Administrator", {NULL}},
    {"Owner", {NULL}},
    {"Contributor", {NULL}},
    {"Reader", {NULL}},
};

/* A body that is refused after the rights. */
static void run(struct house *house, const struct request *request, struct answer *answer)
{
    ask(house, NOBODY, request->method, request->path, VERSION,
        strcmp(request->method, "GET") == 0 ? NULL : "{}", NULL, answer);
}

/* Whether the refusal names what is needed, in the words of its model. */
static bool names_need(const struct answer *answer, const struct request *request, bool by_role)
{
    const char *message = pn_json_str(json_object_get(answer->json, "error"), "message");
    char wanted[160];

    if (by_role)
        snprintf(wanted, sizeof wanted, "Action: 'Microsoft.KeyVault/vaults/%s'\r\n",
                 request->action);
    else
        snprintf(wanted, sizeof wanted, "does not have %s %s permission", request->kind,
                 request->permission);
    return message && strcasestr(message, wanted);
}

static void expect(struct house *house, const struct request *request, const char *who,
                   bool allowed, bool by_role)
{
    struct answer answer;
    bool is_denied;

    run(house, request, &answer);
    is_denied = answer.response.status == 403 &&
                strcmp(inner_code(&answer), by_role ? "ForbiddenByRbac" : "ForbiddenByPolicy") == 0;
    if (is_denied == allowed || answer.response.status == 401 || answer.response.status == 405 ||
        (is_denied && !names_need(&answer, request, by_role)))
        fail_msg("%s: %s %s (%s %s): %d %.*s", who, request->method, request->path, request->kind,
                 request->permission, answer.response.status, (int)answer.response.body.len,
                 answer.response.body.ptr);
    answer_fini(&answer);
}

static void set_policy(struct house *house, const char *kind, const char *permission)
{
    struct answer answer;
    char body[512];

    snprintf(body, sizeof body,
             "{\"properties\":{\"accessPolicies\":[{\"tenantId\":\"" TENANT
             "\",\"objectId\":\"" NOBODY "\",\"permissions\":{\"%s\":[\"%s\"]}}]}}",
             kind, permission);
    ask_arm(house, ADMIN, "PUT", VAULTS "/local/accessPolicies/replace", body, &answer);
    assert_int_equal(answer.response.status, 200);
    answer_fini(&answer);
}

static void use_roles(struct house *house)
{
    struct answer answer;

    ask_arm(house, ADMIN, "PATCH", VAULTS "/local",
            "{\"properties\":{\"enableRbacAuthorization\":true}}", &answer);
    assert_int_equal(answer.response.status, 200);
    answer_fini(&answer);
}

static bool is_issuers(const char *permission)
{
    size_t len = strlen(permission);

    return len > 7 && strcmp(permission + len - 7, "issuers") == 0;
}

static void each_permission_allows_its_operations_and_no_other(void **state)
{
    struct house *house = *state;

    for (size_t p = 0; p < PERMISSIONS; p++) {
        const char *kind = permissions[p][0], *permission = permissions[p][1];

        set_policy(house, kind, permission);
        for (size_t r = 0; r < REQUESTS; r++) {
            const struct request *request = &requests[r];
            bool is_same_kind = strcmp(request->kind, kind) == 0;
            bool allowed = is_same_kind && strcmp(request->permission, permission) == 0;

            if (is_same_kind && strcmp(permission, "manageissuers") == 0)
                allowed = is_issuers(request->permission);
            expect(house, request, permission, allowed, false);
        }
    }
}

static void all_of_a_kind_allows_that_kind_and_no_other(void **state)
{
    static const char *const kinds[] = {"secrets", "certificates", "keys", "storage"};
    struct house *house = *state;

    for (size_t k = 0; k < 4; k++) {
        set_policy(house, kinds[k], "all");
        for (size_t r = 0; r < REQUESTS; r++)
            expect(house, &requests[r], kinds[k], strcmp(requests[r].kind, kinds[k]) == 0, false);
    }
}

/* Whether `path` ("/secrets/thing") is of `form` ("/secrets/{name}"). */
static bool is_of(const char *path, const char *form)
{
    while (*form) {
        const char *word = strncmp(form, "{name}", 6) == 0 ? "thing" : *form == '{' ? V : NULL;

        if (word ? strncmp(path, word, strlen(word)) != 0 : *path != *form)
            return false;
        path += word ? strlen(word) : 1;
        form = word ? strchr(form, '}') + 1 : form + 1;
    }
    return *path == '\0';
}

static void every_operation_of_the_vault_is_in_the_table_above(void **state)
{
    (void)state;
    for (size_t o = 0; o < vault_operation_count; o++) {
        bool found = false;

        for (size_t r = 0; r < REQUESTS && !found; r++)
            found = strcmp(requests[r].method, vault_operations[o].method) == 0 &&
                    is_of(requests[r].path, vault_operations[o].path);
        if (!found)
            fail_msg("%s %s", vault_operations[o].method, vault_operations[o].path);
    }
    assert_int_equal(vault_operation_count, REQUESTS);
}

static bool gives(const char *const *patterns, const char *action)
{
    for (; *patterns; patterns++) {
        if (fnmatch(*patterns, action, 0) == 0)
            return true;
    }
    return false;
}

static const char *role_id(const char *name)
{
    size_t count = 0;
    const struct pn_role_definition *all = pn_roles(&count);

    for (size_t i = 0; i < count; i++) {
        if (strcmp(all[i].name, name) == 0)
            return all[i].id;
    }
    fail_msg("no role %s", name);
    return NULL;
}

/* The only role of NOBODY, at `scope`. */
static void give_role(struct house *house, const char *scope, const char *role)
{
    struct pn_store_list list = {0};
    struct pn_store_txn *txn = NULL;
    struct pn_error err = {0};

    assert_int_equal(pn_store_begin(house->store, &txn, &err), PN_OK);
    assert_int_equal(
        pn_store_txn_list(txn, "/subscriptions/", PN_ROLE_ASSIGNMENT_TYPE, &list, &err), PN_OK);
    for (size_t i = 0; i < list.count; i++) {
        const json_t *properties = json_object_get(list.items[i].body, "properties");

        if (strcmp(pn_json_str(properties, "principalId"), NOBODY) == 0)
            assert_int_equal(pn_store_delete(txn, list.items[i].id, &err), PN_OK);
    }
    pn_store_list_fini(&list);
    if (role)
        assert_int_equal(
            pn_role_assign(txn, scope, role_id(role), NOBODY, "ServicePrincipal", &err), PN_OK);
    assert_int_equal(pn_store_commit(txn, NULL, &err), PN_OK);
}

static void each_role_allows_its_operations_and_no_other(void **state)
{
    static const char *const scopes[] = {VAULTS "/local", SUBSCRIPTION};
    struct house *house = *state;

    set_policy(house, "secrets", "all"); /* does nothing in this model */
    use_roles(house);
    for (size_t r = 0; r < sizeof roles / sizeof roles[0]; r++) {
        give_role(house, scopes[r % 2], roles[r].role);
        for (size_t o = 0; o < REQUESTS; o++)
            expect(house, &requests[o], roles[r].role, gives(roles[r].actions, requests[o].action),
                   true);
    }
}

static void roles_do_nothing_in_a_vault_with_access_policies(void **state)
{
    struct house *house = *state;

    give_role(house, SUBSCRIPTION, "Key Vault Administrator");
    for (size_t r = 0; r < REQUESTS; r++)
        expect(house, &requests[r], "role", false, false);
}

static void a_role_at_a_secret_reaches_that_secret_only(void **state)
{
    struct house *house = *state;
    struct answer answer;

    use_roles(house);
    give_role(house, VAULTS "/local/secrets/thing", "Key Vault Secrets User");
    ask(house, NOBODY, "GET", "/secrets/THING", VERSION, NULL, NULL, &answer);
    assert_int_equal(answer.response.status, 404);
    answer_fini(&answer);
    ask(house, NOBODY, "GET", "/secrets/other", VERSION, NULL, NULL, &answer);
    assert_int_equal(answer.response.status, 403);
    assert_non_null(strstr(pn_json_str(json_object_get(answer.json, "error"), "message"),
                           "Action: 'Microsoft.KeyVault/vaults/secrets/getSecret/action'\r\n"
                           "Resource: '/subscriptions/22222222-2222-4222-8222-222222222222/"
                           "resourcegroups/postern/providers/microsoft.keyvault/vaults/local/"
                           "secrets/other'\r\nAssignment: (not found)\r\n"));
    answer_fini(&answer);
    ask(house, NOBODY, "GET", "/secrets", VERSION, NULL, NULL, &answer);
    assert_int_equal(answer.response.status, 403);
    answer_fini(&answer);
    give_role(house, VAULTS, NULL);
    ask(house, NOBODY, "GET", "/secrets/thing", VERSION, NULL, NULL, &answer);
    assert_int_equal(answer.response.status, 403);
    answer_fini(&answer);
}

/* Issuers are the vault's, not one certificate's, even where a certificate has the same name. */
static void a_role_at_a_certificate_reaches_no_issuer_of_its_name(void **state)
{
    struct house *house = *state;
    struct answer answer;

    use_roles(house);
    give_role(house, VAULTS "/local/certificates/thing", "Key Vault Certificates Officer");
    for (size_t r = 0; r < REQUESTS; r++) {
        bool is_at_it = strcmp(requests[r].kind, "certificates") == 0 &&
                        strstr(requests[r].path, "certificates/thing") &&
                        strncmp(requests[r].action, "certificates/", 13) == 0;

        expect(house, &requests[r], "officer of one", is_at_it, true);
    }
    ask(house, NOBODY, "PUT", "/certificates/issuers/thing", VERSION, "{\"provider\":\"Postern\"}",
        NULL, &answer);
    assert_int_equal(answer.response.status, 403);
    answer_fini(&answer);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, house_setup, house_teardown)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_operation_of_the_vault_is_in_the_table_above),
        TEST(each_permission_allows_its_operations_and_no_other),
        TEST(all_of_a_kind_allows_that_kind_and_no_other),
        TEST(each_role_allows_its_operations_and_no_other),
        TEST(roles_do_nothing_in_a_vault_with_access_policies),
        TEST(a_role_at_a_secret_reaches_that_secret_only),
        TEST(a_role_at_a_certificate_reaches_no_issuer_of_its_name),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
