/* SPDX-License-Identifier: Apache-2.0
 *
 * Who may do what in a vault: every permission and every built-in role against every operation, in
 * both models of permissions.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

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

/* What a role gives, in the words of the permissions: "secrets:get,list certificates:*". By hand,
 * from Azure's documentation, so that the table of data actions is not compared with itself. */
static const struct {
    const char *role, *gives;
} roles[] = {
    {"Key Vault Administrator", "secrets:* certificates:* keys:*"},
    {"Key Vault Certificate User", "certificates:get,list secrets:get,list keys:get,list"},
    {"Key Vault Certificates Officer", "certificates:*"},
    {"Key Vault Secrets User", "secrets:get,list"},
    {"Key Vault Secrets Officer", "secrets:*"},
    {"Key Vault Crypto User",
     "keys:get,list,update,backup,encrypt,decrypt,wrapkey,unwrapkey,sign,verify"},
    {"Key Vault Crypto Officer", "keys:*"},
    {"Key Vault Crypto Service Encryption User", "keys:get,list,wrapkey,unwrapkey"},
    {"Key Vault Crypto Service Release User", "keys:release"},
    {"Key Vault Reader", "secrets:list certificates:get,list,getissuers,listissuers "
                         "keys:get,list,getrotationpolicy"},
    {"Key Vault Contributor", ""},
    {"Owner", ""},
    {"Contributor", ""},
    {"Reader", ""},
};

/* The operation's path with a name and a version; a body that is refused after the rights. */
static void run(struct house *house, const struct vault_operation *operation, struct answer *answer)
{
    char path[256];
    const char *rest = operation->path;
    size_t len = 0;

    while (*rest) {
        const char *word = NULL;

        if (strncmp(rest, "{name}", 6) == 0)
            word = "thing";
        else if (*rest == '{')
            word = "00000000000000000000000000000000";
        len += (size_t)snprintf(path + len, sizeof path - len, word ? "%s" : "%.1s",
                                word ? word : rest);
        rest = word ? strchr(rest, '}') + 1 : rest + 1;
    }
    ask(house, NOBODY, operation->method, path, VERSION,
        strcmp(operation->method, "GET") == 0 ? NULL : "{}", NULL, answer);
}

static void expect(struct house *house, const struct vault_operation *operation, const char *who,
                   bool allowed, const char *inner)
{
    struct answer answer;
    bool is_denied;

    run(house, operation, &answer);
    is_denied = answer.response.status == 403 && strcmp(inner_code(&answer), inner) == 0;
    if (is_denied == allowed || answer.response.status == 401)
        fail_msg("%s: %s %s (%s %s): %d %.*s", who, operation->method, operation->path,
                 operation->kind, operation->permission, answer.response.status,
                 (int)answer.response.body.len, answer.response.body.ptr);
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
        for (size_t o = 0; o < vault_operation_count; o++) {
            const struct vault_operation *operation = &vault_operations[o];
            bool is_same_kind = strcmp(operation->kind, kind) == 0;
            bool allowed = is_same_kind && strcasecmp(operation->permission, permission) == 0;

            if (is_same_kind && strcmp(permission, "manageissuers") == 0)
                allowed = is_issuers(operation->permission);
            if (is_same_kind || o % 7 == p % 7) /* of the other kinds a sample */
                expect(house, operation, permission, allowed, "ForbiddenByPolicy");
        }
    }
}

static void every_operation_is_of_a_permission_that_exists(void **state)
{
    (void)state;
    for (size_t o = 0; o < vault_operation_count; o++) {
        bool found = false;

        for (size_t p = 0; p < PERMISSIONS && !found; p++)
            found = strcmp(permissions[p][0], vault_operations[o].kind) == 0 &&
                    strcasecmp(permissions[p][1], vault_operations[o].permission) == 0;
        assert_true(found);
    }
}

static bool gives(const char *what, const char *kind, const char *permission)
{
    struct pn_slice rest = pn_slice_str(what), part, word;

    while (pn_slice_cut(&rest, ' ', &part)) {
        size_t colon = pn_slice_find(part, ':');
        struct pn_slice list = pn_slice_sub(part, colon + 1, part.len);

        if (!pn_slice_eq_str(pn_slice_sub(part, 0, colon), kind))
            continue;
        while (pn_slice_cut(&list, ',', &word)) {
            if (pn_slice_eq_str(word, "*") || pn_slice_case_eq_str(word, permission))
                return true;
        }
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
        for (size_t o = 0; o < vault_operation_count; o++)
            expect(house, &vault_operations[o], roles[r].role,
                   gives(roles[r].gives, vault_operations[o].kind, vault_operations[o].permission),
                   "ForbiddenByRbac");
    }
}

static void roles_do_nothing_in_a_vault_with_access_policies(void **state)
{
    struct house *house = *state;

    give_role(house, SUBSCRIPTION, "Key Vault Administrator");
    for (size_t o = 0; o < vault_operation_count; o++)
        expect(house, &vault_operations[o], "role", false, "ForbiddenByPolicy");
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

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, house_setup, house_teardown)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_operation_is_of_a_permission_that_exists),
        TEST(each_permission_allows_its_operations_and_no_other),
        TEST(each_role_allows_its_operations_and_no_other),
        TEST(roles_do_nothing_in_a_vault_with_access_policies),
        TEST(a_role_at_a_secret_reaches_that_secret_only),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
