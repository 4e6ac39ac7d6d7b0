/* SPDX-License-Identifier: Apache-2.0
 *
 * What the tests of the management API share.
 */
#include "unit/arm/support.h"

#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/encode.h"
#include "base/file.h"
#include "base/json.h"
#include "rotation/generation.h"

#define CONTROL "https://localhost:9443"

/* ---- fakes ---- */

static enum pn_rc fake_authenticate(void *ctx, struct pn_slice token, const char *const *audiences,
                                    struct pn_principal *principal, struct pn_error *err)
{
    (void)ctx;
    assert_string_equal(audiences[0], CONTROL);
    if (pn_slice_eq_str(token, "expired"))
        return pn_error_set(err, PN_DENIED, "token_expired", "expired");
    if (!pn_slice_eq_str(token, "good"))
        return pn_error_set(err, PN_DENIED, "token_signature", "no");
    (void)snprintf(principal->object_id, sizeof(principal->object_id), "oid");
    return PN_OK;
}

static enum pn_rc fake_authorize(void *ctx, const struct pn_principal *principal,
                                 const char *action, const char *scope, struct pn_error *err)
{
    struct arm_fixture *f = ctx;

    assert_string_equal(principal->object_id, "oid");
    if (f->denied_action && strcmp(action, f->denied_action) == 0)
        return pn_error_set(err, PN_DENIED, "denied", "'oid' may not '%s' at '%s'", action, scope);
    return PN_OK;
}

static struct fake_key *make_key(struct arm_fixture *f, const char *subject)
{
    struct fake_key *key = NULL;
    EVP_PKEY *pkey = NULL;
    X509 *x509 = NULL;
    unsigned char *der = NULL;
    unsigned char *spki = NULL;
    int len = 0;

    for (size_t i = 0; i < f->key_count; i++)
        if (strcmp(f->keys[i].subject, subject) == 0)
            return &f->keys[i];
    assert_true(f->key_count < FAKE_KEYS_MAX);
    key = &f->keys[f->key_count++];
    (void)snprintf(key->subject, sizeof(key->subject), "%s", subject);
    pkey = EVP_EC_gen("P-256");
    x509 = X509_new();
    assert_non_null(pkey);
    assert_non_null(x509);
    assert_int_equal(X509_set_version(x509, 2), 1);
    assert_int_equal(ASN1_INTEGER_set(X509_get_serialNumber(x509), (long)f->key_count), 1);
    assert_non_null(X509_gmtime_adj(X509_getm_notBefore(x509), -3600));
    assert_non_null(X509_gmtime_adj(X509_getm_notAfter(x509), 86400L * 365));
    assert_int_equal(X509_set_pubkey(x509, pkey), 1);
    assert_int_equal(X509_NAME_add_entry_by_txt(X509_get_subject_name(x509), "CN", MBSTRING_ASC,
                                                (const unsigned char *)subject, -1, -1, 0),
                     1);
    assert_int_equal(X509_set_issuer_name(x509, X509_get_subject_name(x509)), 1);
    assert_true(X509_sign(x509, pkey, EVP_sha256()) > 0);
    len = i2d_X509(x509, &der);
    assert_true(len > 0);
    pn_buf_init(&key->der, 65536);
    assert_int_equal(pn_buf_append(&key->der, der, (size_t)len), PN_OK);
    len = i2d_PUBKEY(pkey, &spki);
    assert_true(len > 0);
    pn_sha256(pn_slice(spki, (size_t)len), key->id.sha256);
    OPENSSL_free(der);
    OPENSSL_free(spki);
    X509_free(x509);
    EVP_PKEY_free(pkey);
    return key;
}

static enum pn_rc fill_imported(struct arm_fixture *f, const char *subject,
                                struct pn_imported *imported)
{
    struct fake_key *key = make_key(f, subject);

    key->is_kept = true;
    imported->key = key->id;
    imported->format = PN_FILE_PKCS12;
    imported->chain_count = 1;
    pn_buf_init(&imported->chain[0], 65536);
    return pn_buf_append_slice(&imported->chain[0], pn_buf_slice(&key->der));
}

static enum pn_rc fake_import(void *ctx, enum pn_key_use use, struct pn_slice file,
                              struct pn_slice password, struct pn_imported *imported,
                              struct pn_error *err)
{
    struct arm_fixture *f = ctx;
    char subject[32];

    f->imported_use = use;
    if (f->is_keyholder_away)
        return pn_error_set(err, PN_UNAVAILABLE, "keyholder_away", "the keyholder is away");
    if (!pn_slice_starts_with(file, PN_LIT("PFX:")))
        return pn_error_set(err, PN_MALFORMED, "not_pfx", "The file is not a PFX.");
    if (!pn_slice_eq_str(password, "secret"))
        return pn_error_set(err, PN_INVALID, "wrong_password", "The password is wrong.");
    (void)snprintf(subject, sizeof(subject), "%.*s", (int)file.len - 4, file.ptr + 4);
    return fill_imported(f, subject, imported);
}

static enum pn_rc fake_check(void *ctx, struct pn_slice file, struct pn_slice password,
                             struct pn_imported *imported, struct pn_error *err)
{
    return fake_import(ctx, PN_USE_CLIENT, file, password, imported, err);
}

static enum pn_rc fake_has_key(void *ctx, enum pn_key_use use, const struct pn_key_id *id,
                               struct pn_error *err)
{
    struct arm_fixture *f = ctx;

    (void)use;
    for (size_t i = 0; !f->is_forgetful && i < f->key_count; i++)
        if (f->keys[i].is_kept && memcmp(f->keys[i].id.sha256, id->sha256, 32) == 0)
            return PN_OK;
    return pn_error_set(err, PN_NOT_FOUND, "not_found", "no such key");
}

/** As the rotation room does it: unless something in the store uses it. */
static void fake_forget_unused(void *ctx, enum pn_key_use use, const struct pn_key_id *id)
{
    struct arm_fixture *f = ctx;
    struct pn_store_txn *txn = NULL;
    struct pn_store_list list;
    char hex[65];
    bool is_used = false;

    (void)use;
    pn_hex_lower(id->sha256, 32, hex);
    assert_int_equal(pn_store_begin(f->store, &txn, &f->err), PN_OK);
    assert_int_equal(pn_store_txn_list(txn, "", NULL, &list, &f->err), PN_OK);
    for (size_t i = 0; i < list.count; i++) {
        const char *used = pn_json_str(json_object_get(list.items[i].body, "internal"), "keyId");

        is_used = is_used || (used && strcmp(used, hex) == 0);
    }
    for (size_t i = 0; !is_used && i < f->key_count; i++)
        if (memcmp(f->keys[i].id.sha256, id->sha256, 32) == 0)
            f->keys[i].is_kept = false;
    pn_store_list_fini(&list);
    pn_store_rollback(txn);
}

/** "Sealing": context, a NUL, and the text with every bit turned. */
static enum pn_rc fake_seal(void *ctx, struct pn_slice context, struct pn_slice plain,
                            struct pn_buf *sealed, struct pn_error *err)
{
    struct arm_fixture *f = ctx;

    if (f->is_keyholder_away)
        return pn_error_set(err, PN_UNAVAILABLE, "keyholder_away", "the keyholder is away");
    assert_int_equal(pn_buf_append_slice(sealed, context), PN_OK);
    assert_int_equal(pn_buf_append_byte(sealed, 0), PN_OK);
    for (size_t i = 0; i < plain.len; i++)
        assert_int_equal(pn_buf_append_byte(sealed, (char)~plain.ptr[i]), PN_OK);
    return PN_OK;
}

static enum pn_rc fake_unseal(void *ctx, struct pn_slice context, struct pn_slice sealed,
                              struct pn_buf *plain, struct pn_error *err)
{
    struct arm_fixture *f = ctx;

    if (f->is_keyholder_away)
        return pn_error_set(err, PN_UNAVAILABLE, "keyholder_away", "the keyholder is away");
    if (sealed.len <= context.len || !pn_slice_starts_with(sealed, context))
        return pn_error_set(err, PN_DENIED, "denied", "another context");
    for (size_t i = context.len + 1; i < sealed.len; i++)
        assert_int_equal(pn_buf_append_byte(plain, (char)~sealed.ptr[i]), PN_OK);
    return PN_OK;
}

static enum pn_rc fake_fetch(void *ctx, const struct pn_arm_fetch *what, json_t **properties,
                             json_t **internal, struct pn_error *err)
{
    struct arm_fixture *f = ctx;
    struct pn_imported imported = {0};
    const struct pn_generation_origin origin = {
        .generation = what->generation,
        .secret_identifier = what->secret_identifier,
        .identity_client_id = what->identity_client_id,
        .secret_version = "v1",
    };
    enum pn_rc rc = PN_OK;

    assert_string_equal(what->service_id, SERVICE);
    f->imported_use = what->use;
    if (f->fetch_code)
        return pn_error_set(err, PN_DENIED, f->fetch_code, "the vault said no");
    rc = fill_imported(f, f->fetch_subject ? f->fetch_subject : "vault", &imported);
    if (rc == PN_OK)
        rc = pn_generation_make(&imported, &origin, 1700000000000, properties, internal, err);
    pn_imported_fini(&imported);
    return rc;
}

static enum pn_rc fake_refresh(void *ctx, const char *certificate_id, struct pn_error *err)
{
    struct arm_fixture *f = ctx;

    (void)certificate_id;
    f->refreshes++;
    if (f->refresh_code)
        return pn_error_set(err, PN_NOT_FOUND, f->refresh_code, "it was changed meanwhile");
    return PN_OK;
}

static void fake_rescan(void *ctx)
{
    struct arm_fixture *f = ctx;

    f->rescans++;
}

static enum pn_rc fake_publish(void *ctx, uint64_t revision, struct pn_error *err)
{
    struct arm_fixture *f = ctx;

    f->published = revision;
    if (f->publish_rc != PN_OK)
        return pn_error_set(err, f->publish_rc, "gateway_away", "the gateway is away");
    return PN_OK;
}

/* ---- set-up ---- */

static void first_start(struct arm_fixture *f)
{
    const struct pn_arm_first first = {
        .tenant_id = TENANT,
        .subscription_id = SUB,
        .resource_group = "rg1",
        .service_name = "apim1",
        .location = "local",
        .principal_id = "aaaaaaaa-2222-4333-8444-555555555555",
        .client_id = "bbbbbbbb-2222-4333-8444-555555555555",
    };
    struct pn_store_txn *txn = NULL;

    assert_int_equal(pn_store_begin(f->store, &txn, &f->err), PN_OK);
    assert_int_equal(pn_arm_first_start(txn, &f->services, &first, &f->err), PN_OK);
    assert_int_equal(pn_store_commit(txn, NULL, &f->err), PN_OK);
}

int arm_setup(void **state)
{
    static const char *const audiences[] = {CONTROL, NULL};
    struct arm_fixture *f = calloc(1, sizeof(*f));
    struct pn_arm_config config = {0};

    assert_non_null(f);
    (void)snprintf(f->folder, sizeof(f->folder), "/tmp/pn-arm-XXXXXX");
    assert_non_null(mkdtemp(f->folder));
    (void)snprintf(f->path, sizeof(f->path), "%s/postern.db", f->folder);
    assert_int_equal(pn_store_open(f->path, &f->store, &f->err), PN_OK);
    f->services = (struct pn_arm_services){
        .ctx = f,
        .authenticate = fake_authenticate,
        .authorize = fake_authorize,
        .import = fake_import,
        .import_soon = fake_import,
        .check = fake_check,
        .has_key = fake_has_key,
        .forget_unused = fake_forget_unused,
        .seal = fake_seal,
        .unseal = fake_unseal,
        .fetch = fake_fetch,
        .refresh = fake_refresh,
        .rescan = fake_rescan,
    };
    config = (struct pn_arm_config){
        .store = f->store,
        .publisher = {.publish = fake_publish, .ctx = f},
        .services = f->services,
        .tenant_id = TENANT,
        .subscription_id = SUB,
        .control_url = CONTROL,
        .gateway_url = "http://localhost:8080",
        .audiences = audiences,
    };
    assert_int_equal(pn_arm_create(&config, &f->arm, &f->err), PN_OK);
    first_start(f);
    *state = f;
    return 0;
}

int arm_teardown(void **state)
{
    struct arm_fixture *f = *state;
    const char *const endings[] = {"", "-wal", "-shm"};
    char path[128];

    pn_arm_destroy(f->arm);
    pn_store_close(f->store);
    for (size_t i = 0; i < f->key_count; i++)
        pn_buf_fini(&f->keys[i].der);
    for (size_t i = 0; i < 3; i++) {
        (void)snprintf(path, sizeof(path), "%s%s", f->path, endings[i]);
        (void)unlink(path);
    }
    (void)rmdir(f->folder);
    json_decref(f->json);
    pn_buf_fini(&f->body);
    free(f);
    return 0;
}

/* ---- calls ---- */

static void keep_answer(struct arm_fixture *f, const struct pn_response *response)
{
    struct pn_slice etag = pn_headers_get(&response->headers, "ETag");
    size_t len = 0;

    json_decref(f->json);
    f->json = NULL;
    f->status = response->status;
    (void)snprintf(f->etag, sizeof(f->etag), "%.*s", PN_FMT(etag));
    f->header_text[0] = 0;
    for (size_t i = 0; i < response->headers.count; i++)
        len += (size_t)snprintf(f->header_text + len, sizeof(f->header_text) - len, "%.*s: %.*s\n",
                                PN_FMT(response->headers.items[i].name),
                                PN_FMT(response->headers.items[i].value));
    pn_buf_fini(&f->body);
    pn_buf_init(&f->body, 16u * 1024 * 1024);
    assert_int_equal(pn_buf_append_slice(&f->body, pn_buf_slice(&response->body)), PN_OK);
    if (f->body.len > 0)
        assert_int_equal(pn_json_parse(pn_buf_slice(&f->body), &f->json, &f->err), PN_OK);
}

int arm_call_raw(struct arm_fixture *f, const char *method, const char *target,
                 const char *const *headers, const char *body)
{
    struct pn_arena *arena = pn_arena_create(4096, 64u * 1024 * 1024);
    struct pn_slice whole = pn_slice_str(target);
    size_t mark = pn_slice_find(whole, '?');
    struct pn_request request = {
        .arena = arena,
        .method = pn_slice_str(method),
        .path = pn_slice_sub(whole, 0, mark),
        .query = mark < whole.len ? pn_slice_sub(whole, mark + 1, whole.len - mark - 1)
                                  : (struct pn_slice){0},
        .body = pn_slice_str(body),
        .host = PN_LIT("localhost:9443"),
        .origin = PN_LIT(CONTROL),
        .peer = "127.0.0.1",
        .request_id = "cccccccc-2222-4333-8444-555555555555",
    };
    struct pn_response response;

    assert_non_null(arena);
    pn_headers_init(&request.headers, arena);
    for (size_t i = 0; headers && headers[i]; i++) {
        struct pn_slice header = pn_slice_str(headers[i]);
        size_t colon = pn_slice_find(header, ':');

        assert_int_equal(
            pn_headers_add(&request.headers, pn_slice_sub(header, 0, colon),
                           pn_slice_trim(pn_slice_sub(header, colon + 1, header.len - colon - 1))),
            PN_OK);
    }
    pn_response_init(&response, arena, 16u * 1024 * 1024);
    pn_arm_handle(f->arm, &request, &response);
    keep_answer(f, &response);
    pn_response_fini(&response);
    pn_arena_destroy(arena);
    return f->status;
}

int arm_call(struct arm_fixture *f, const char *method, const char *target, const char *header,
             const char *body)
{
    const char *const headers[] = {"Authorization: Bearer good", header, NULL};
    char whole[4096];

    (void)snprintf(whole, sizeof(whole), "%s%sapi-version=2024-05-01", target,
                   strchr(target, '?') ? "&" : "?");
    return arm_call_raw(f, method, whole, headers, body);
}

json_t *arm_at(const struct arm_fixture *f, const char *path)
{
    struct pn_slice rest = pn_slice_str(path);
    struct pn_slice part = {0};
    json_t *at = f->json;

    while (at && pn_slice_cut(&rest, '/', &part)) {
        uint64_t index = 0;
        char name[64];

        (void)snprintf(name, sizeof(name), "%.*s", PN_FMT(part));
        if (json_is_array(at) && pn_slice_to_u64(part, 1000, &index))
            at = json_array_get(at, index);
        else
            at = json_object_get(at, name);
    }
    return at;
}

const char *arm_text(const struct arm_fixture *f, const char *path)
{
    const char *text = json_string_value(arm_at(f, path));

    return text ? text : "";
}

int arm_put_certificate(struct arm_fixture *f, const char *name, const char *subject)
{
    char target[256];
    char file[64];
    char body[512];
    struct pn_buf base64;

    (void)snprintf(file, sizeof(file), "PFX:%s", subject);
    pn_buf_init(&base64, 256);
    assert_int_equal(pn_base64_encode(pn_slice_str(file), &base64), PN_OK);
    (void)snprintf(body, sizeof(body),
                   "{\"properties\":{\"data\":\"%.*s\",\"password\":\"secret\"}}",
                   PN_FMT(pn_buf_slice(&base64)));
    (void)snprintf(target, sizeof(target), SERVICE "/certificates/%s", name);
    pn_buf_fini(&base64);
    return arm_call(f, "PUT", target, NULL, body);
}

bool arm_has_key(const struct arm_fixture *f, const char *subject)
{
    for (size_t i = 0; i < f->key_count; i++)
        if (strcmp(f->keys[i].subject, subject) == 0)
            return f->keys[i].is_kept;
    return false;
}

bool arm_is_on_disk(const struct arm_fixture *f, const char *text)
{
    const char *const endings[] = {"", "-wal"};
    bool is_found = false;

    for (size_t i = 0; i < 2; i++) {
        char path[128];
        struct pn_buf bytes;

        (void)snprintf(path, sizeof(path), "%s%s", f->path, endings[i]);
        pn_buf_init(&bytes, 64u * 1024 * 1024);
        assert_int_equal(pn_file_read(path, &bytes, NULL), PN_OK);
        is_found =
            is_found || pn_slice_find_slice(pn_buf_slice(&bytes), pn_slice_str(text)) < bytes.len;
        pn_buf_fini(&bytes);
    }
    return is_found;
}

void arm_thumbprint(struct arm_fixture *f, const char *name, char out[64])
{
    char target[256];

    (void)snprintf(target, sizeof(target), SERVICE "/certificates/%s", name);
    assert_int_equal(arm_call(f, "GET", target, NULL, NULL), 200);
    (void)snprintf(out, 64, "%s", arm_text(f, "properties/thumbprint"));
    assert_int_equal(strlen(out), 40);
}
