/* SPDX-License-Identifier: Apache-2.0
 *
 * See support.h.
 */
#include "vault/support.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "identity/roles.h"
#include "identity/token_verifier.h"
#include "support/fake_keyholder.c"

static EVP_PKEY *token_key;

static void on_change(void *ctx, const char *vault, const char *name)
{
    struct house *house = ctx;

    assert(strcmp(vault, "local") == 0 || strcmp(vault, "second") == 0);
    house->changes++;
    snprintf(house->changed_name, sizeof house->changed_name, "%s", name ? name : "");
}

static void put(struct pn_store_txn *txn, const char *id, const char *type)
{
    json_t *body = json_pack("{s:s}", "name", "x");
    enum pn_rc rc = pn_store_put(txn, id, type, body, NULL, NULL);

    assert(rc == PN_OK);
    json_decref(body);
}

static enum pn_rc furnish(struct house *house, struct pn_error *err)
{
    static const char *const all[] = {"all", NULL};
    static const char *const read[] = {"get", "list", NULL};
    struct pn_store_txn *txn = NULL;
    enum pn_rc rc = pn_store_begin(house->store, &txn, err);

    put(txn, SUBSCRIPTION, "Microsoft.Resources/subscriptions");
    put(txn, GROUP_ID, "Microsoft.Resources/resourceGroups");
    if (rc == PN_OK)
        rc = pn_role_assign(txn, SUBSCRIPTION, PN_ROLE_OWNER, ADMIN, "ServicePrincipal", err);
    if (rc == PN_OK)
        rc = pn_role_assign(txn, SUBSCRIPTION, PN_ROLE_READER, READER, "ServicePrincipal", err);
    if (rc == PN_OK)
        rc = pn_store_commit(txn, NULL, err);
    if (rc == PN_OK)
        rc = pn_vault_add(house->vault, VAULTS "/local", "local", err);
    if (rc == PN_OK)
        rc = pn_vault_grant(house->vault, VAULTS "/local", ADMIN, all, all, all, err);
    if (rc == PN_OK)
        rc = pn_vault_grant(house->vault, VAULTS "/local", READER, read, NULL, NULL, err);
    return rc;
}

int house_setup(void **state)
{
    static const char *const arm_audiences[] = {ARM_AUDIENCE, "https://management.azure.com", NULL};
    struct house *house = calloc(1, sizeof *house);
    struct pn_vault_config config = {
        .tenant_id = TENANT,
        .authority_url = ARM_AUDIENCE,
        .audience = AUDIENCE,
        .arm_audiences = arm_audiences,
        .on_change = on_change,
        .on_change_ctx = house,
    };
    struct pn_error err = {0};
    unsigned char *der = NULL;
    char file[80];
    enum pn_rc rc;
    int len;

    snprintf(house->folder, sizeof house->folder, "/tmp/pn-vault-XXXXXX");
    if (!mkdtemp(house->folder))
        return -1;
    snprintf(file, sizeof file, "%s/db", house->folder);
    token_key = EVP_RSA_gen(2048);
    len = i2d_PUBKEY(token_key, &der);
    rc = pn_store_open(file, &house->store, &err);
    if (rc == PN_OK)
        rc = pn_token_verifier_create(TENANT, NULL, &house->verifier);
    if (rc == PN_OK)
        rc = pn_token_verifier_add_key(house->verifier, "k", pn_slice(der, (size_t)len), &err);
    config.store = house->store;
    config.verifier = house->verifier;
    if (rc == PN_OK)
        rc = pn_vault_create(&config, &house->vault, &err);
    if (rc == PN_OK)
        rc = furnish(house, &err);
    OPENSSL_free(der);
    if (rc != PN_OK)
        fprintf(stderr, "%s\n", err.message);
    house->changes = 0;
    *state = house;
    return rc == PN_OK ? 0 : -1;
}

int house_teardown(void **state)
{
    struct house *house = *state;
    char file[80];

    pn_vault_destroy(house->vault);
    pn_token_verifier_destroy(house->verifier);
    pn_store_close(house->store);
    snprintf(file, sizeof file, "%s/db", house->folder);
    (void)unlink(file);
    (void)rmdir(house->folder);
    fake_keyholder_reset();
    EVP_PKEY_free(token_key);
    free(house);
    return 0;
}

static void make_token(const char *oid, const char *audience, struct pn_buf *header)
{
    const char *head = "{\"alg\":\"RS256\",\"kid\":\"k\"}";
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    unsigned char bytes[512];
    size_t len = sizeof bytes, start = 7;
    char claims[512];
    enum pn_rc rc;

    snprintf(claims, sizeof claims,
             "{\"aud\":\"%s\",\"iss\":\"https://localhost:9443/" TENANT "/\",\"exp\":%lld,"
             "\"oid\":\"%s\",\"appid\":\"app\",\"tid\":\"" TENANT "\"}",
             audience, (long long)time(NULL) + 600, oid);
    rc = pn_buf_append_str(header, "Bearer ");
    assert(rc == PN_OK);
    rc = pn_base64url_encode(pn_slice_str(head), header);
    assert(rc == PN_OK);
    rc = pn_buf_append_byte(header, '.');
    assert(rc == PN_OK);
    rc = pn_base64url_encode(pn_slice_str(claims), header);
    assert(rc == PN_OK);
    EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, token_key);
    EVP_DigestSign(ctx, bytes, &len, (const unsigned char *)header->ptr + start,
                   header->len - start);
    EVP_MD_CTX_free(ctx);
    rc = pn_buf_append_byte(header, '.');
    assert(rc == PN_OK);
    rc = pn_base64url_encode(pn_slice(bytes, len), header);
    assert(rc == PN_OK);
}

static void send(struct house *house, const char *oid, const char *audience, const char *method,
                 const char *path, const char *query, const char *body, const char *host,
                 bool is_arm, struct answer *answer)
{
    struct pn_request request = {
        .arena = pn_arena_create(4096, 4 << 20),
        .method = pn_slice_str(method),
        .path = pn_slice_str(path),
        .query = pn_slice_str(query),
        .body = pn_slice_str(body),
        .host = pn_slice_str(host),
        .peer = "127.0.0.1",
        .request_id = "00000000-0000-4000-8000-000000000000",
    };
    struct pn_buf token;
    enum pn_rc rc = PN_OK;

    memset(answer, 0, sizeof *answer);
    answer->arena = request.arena;
    request.origin = pn_slice_str(pn_arena_printf(request.arena, "https://%s", host));
    pn_headers_init(&request.headers, request.arena);
    pn_buf_init(&token, 8192);
    if (oid) {
        make_token(oid, audience, &token);
        rc = pn_headers_add(&request.headers, PN_LIT("Authorization"), pn_buf_slice(&token));
    }
    assert(rc == PN_OK);
    pn_response_init(&answer->response, request.arena, 4 << 20);
    if (is_arm)
        pn_vault_handle_arm(house->vault, &request, &answer->response);
    else
        pn_vault_handle(house->vault, &request, &answer->response);
    (void)!pn_json_parse(pn_buf_slice(&answer->response.body), &answer->json, NULL);
    pn_buf_fini(&token);
}

void ask(struct house *house, const char *oid, const char *method, const char *path,
         const char *query, const char *body, const char *host, struct answer *answer)
{
    send(house, oid, AUDIENCE, method, path, query, body,
         host ? host : "local.vault.localhost:9444", false, answer);
}

void ask_with_audience(struct house *house, const char *audience, const char *path,
                       struct answer *answer)
{
    send(house, ADMIN, audience, "GET", path, VERSION, NULL, "local.vault.localhost:9444", false,
         answer);
}

void ask_arm(struct house *house, const char *oid, const char *method, const char *path,
             const char *body, struct answer *answer)
{
    send(house, oid, ARM_AUDIENCE, method, path, "api-version=2022-07-01", body, "localhost:9443",
         true, answer);
}

void answer_fini(struct answer *answer)
{
    json_decref(answer->json);
    pn_response_fini(&answer->response);
    pn_arena_destroy(answer->arena);
}

const char *error_code(const struct answer *answer)
{
    const char *code = pn_json_str(json_object_get(answer->json, "error"), "code");

    return code ? code : "";
}

const char *inner_code(const struct answer *answer)
{
    const char *code =
        pn_json_str(json_object_get(json_object_get(answer->json, "error"), "innererror"), "code");

    return code ? code : "";
}
