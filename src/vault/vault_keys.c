/* SPDX-License-Identifier: Apache-2.0
 *
 * Keys: create, import, get, update, rotate. The private part is made in the keyholder and rests
 * here sealed.
 */
#include <stdio.h>
#include <string.h>

#include "vault/vault_key.h"

#define SEALED_MAX   (64u * 1024)
#define EXPONENT     65537
#define SPKI_MAX     4096
#define RSA_BITS_MIN 2048

static const char *const operations[] = {"encrypt", "decrypt",   "sign",   "verify",
                                         "wrapKey", "unwrapKey", "import", NULL};

json_t *vault_key_item(const struct vault_call *call, const struct pn_store_item *item,
                       const char *name, bool with_version)
{
    const json_t *properties = json_object_get(item->body, "properties");
    json_t *tags = json_object_get(properties, "tags");
    json_t *json =
        json_pack("{s:o, s:o}", "kid",
                  vault_url(call, "keys", name, with_version ? vault_item_version(item) : NULL),
                  "attributes", vault_attributes(call, item));

    if (json && json_is_object(tags))
        json_object_set(json, "tags", tags);
    if (json && strcmp(item->type, KEY_TYPE) != 0)
        json_object_set_new(json, "managed", json_true());
    return json;
}

json_t *vault_key_bundle(const struct vault_call *call, const struct pn_store_item *item,
                         const char *name)
{
    json_t *json = vault_key_item(call, item, name, true);
    json_t *jwk = vault_key_jwk(item);

    if (!json || !jwk || json_object_set(jwk, "kid", json_object_get(json, "kid")) != 0) {
        json_decref(json);
        json_decref(jwk);
        return NULL;
    }
    json_object_del(json, "kid");
    json_object_set_new(json, "key", jwk);
    return json;
}

static enum pn_rc check_operations(const json_t *given, bool is_rsa, struct pn_error *err)
{
    json_t *entry;
    size_t index;

    if (!given || json_is_null(given))
        return PN_OK;
    if (!json_is_array(given) || json_array_size(given) > 16)
        return pn_error_set(err, PN_INVALID, "BadParameter",
                            "Property key_ops has invalid value: a list of operations");
    json_array_foreach(given, index, entry)
    {
        const char *name = json_string_value(entry);
        size_t i = 0;

        while (name && operations[i] && strcmp(operations[i], name) != 0)
            i++;
        if (!name || !operations[i] ||
            (!is_rsa && strcmp(name, "sign") != 0 && strcmp(name, "verify") != 0))
            return pn_error_set(err, PN_INVALID, "BadParameter",
                                "Property key_ops has invalid value: '%.32s' is not an operation "
                                "of this kind of key",
                                name ? name : "");
    }
    return PN_OK;
}

/* The body of a version: the public key as `spki`, the private one sealed. */
static enum pn_rc make_body(struct vault_call *call, struct pn_slice spki, struct pn_slice sealed,
                            const json_t *given, const json_t *key_ops, json_t **body,
                            struct pn_error *err)
{
    json_t *jwk = vault_jwk_of_spki(spki), *tags = json_object_get(given, "tags");
    json_t *attributes = vault_new_attributes(call);
    enum pn_rc rc = jwk && attributes ? PN_OK : PN_NOMEM;

    if (rc == PN_OK)
        rc = vault_read_attributes(json_object_get(given, "attributes"), attributes, err);
    if (rc == PN_OK)
        rc = vault_check_tags(tags, err);
    if (rc == PN_OK)
        json_object_set_new(jwk, "key_ops",
                            json_is_array(key_ops) ? json_deep_copy(key_ops)
                                                   : vault_key_default_operations(jwk));
    *body = rc == PN_OK ? json_pack("{s:s, s:{s:O, s:O}, s:{s:o, s:o}}", "name", call->name,
                                    "properties", "key", jwk, "attributes", attributes, "internal",
                                    "sealed", vault_base64(sealed), "spki", vault_base64(spki))
                        : NULL;
    if (*body && json_is_object(tags))
        json_object_set(json_object_get(*body, "properties"), "tags", tags);
    json_decref(jwk);
    json_decref(attributes);
    return rc == PN_OK && !*body ? PN_NOMEM : rc;
}

static void answer_key(struct vault_call *call, const char *version, json_t *body)
{
    struct pn_store_item item = {.type = (char *)(uintptr_t)KEY_TYPE, .body = body};
    char id[OBJECT_ID_TEXT];

    vault_version_id(call, KIND_KEY, version, id);
    item.id = id;
    vault_answer_json(call, 200, vault_key_bundle(call, &item, call->name));
}

struct key_wish {
    const char *type, *curve;
    unsigned bits;
};

/* What the request asks for, with the defaults of Key Vault. PN_INVALID, PN_UNSUPPORTED. */
static enum pn_rc read_wish(const json_t *given, struct key_wish *wish, struct pn_error *err)
{
    const char *type = pn_json_str(given, "kty");
    int64_t bits = pn_json_int(given, "key_size", 0);
    int64_t exponent = pn_json_int(given, "public_exponent", EXPONENT);
    const json_t *exportable = json_object_get(json_object_get(given, "attributes"), "exportable");

    *wish = (struct key_wish){.type = type, .curve = "", .bits = RSA_BITS_MIN};
    if (!type || (strcmp(type, "RSA") != 0 && strcmp(type, "EC") != 0))
        return pn_error_set(err, PN_INVALID, "BadParameter",
                            "Property kty has invalid value: this vault makes RSA and EC keys (no "
                            "HSM, no oct)");
    if (json_is_true(exportable) || json_is_object(json_object_get(given, "release_policy")))
        return pn_error_set(err, PN_UNSUPPORTED, "BadParameter",
                            "This vault's keys are never exported: leave out release_policy and "
                            "attributes.exportable");
    if (strcmp(type, "EC") == 0) {
        wish->curve = pn_json_str(given, "crv");
        if (!wish->curve)
            wish->curve = bits == 384 ? "P-384" : bits == 521 ? "P-521" : "P-256";
        return PN_OK;
    }
    if (exponent != EXPONENT && exponent != 0)
        return pn_error_set(err, PN_UNSUPPORTED, "BadParameter",
                            "Property public_exponent has invalid value: this vault uses 65537");
    if (bits != 0 && bits != 2048 && bits != 3072 && bits != 4096)
        return pn_error_set(err, PN_INVALID, "BadParameter",
                            "Property key_size has invalid value: 2048, 3072 or 4096");
    if (bits != 0)
        wish->bits = (unsigned)bits;
    return PN_OK;
}

/* Generates, stores; *body is the stored version. */
static enum pn_rc generate(struct vault_call *call, const struct key_wish *wish,
                           const json_t *given, const json_t *key_ops, const char *expected,
                           char version[VERSION_TEXT], json_t **body, struct pn_error *err)
{
    struct vault_addition addition = {.kind = KIND_KEY, .version = version, .expected = expected};
    char id[OBJECT_ID_TEXT];
    struct pn_buf spki, sealed;
    enum pn_rc rc;

    pn_buf_init(&spki, SPKI_MAX);
    pn_buf_init(&sealed, SEALED_MAX);
    vault_new_version(version);
    vault_version_id(call, KIND_KEY, version, id);
    rc = pn_keyholder_vault_generate(call->vault->keyholder, vault_context(id), wish->type,
                                     wish->bits, wish->curve, &spki, &sealed, err);
    if (rc == PN_OK)
        rc = make_body(call, pn_buf_slice(&spki), pn_buf_slice(&sealed), given, key_ops, body, err);
    addition.body = *body;
    if (rc == PN_OK)
        rc = vault_add_version(call, &addition, err);
    pn_buf_fini(&spki);
    pn_buf_fini(&sealed);
    return rc;
}

void vault_create_key(struct vault_call *call)
{
    json_t *given = vault_read_body(call), *body = NULL;
    char version[VERSION_TEXT];
    struct pn_error err = {0};
    struct key_wish wish;
    const json_t *key_ops;
    enum pn_rc rc;

    if (!given)
        return;
    key_ops = json_object_get(given, "key_ops");
    rc = read_wish(given, &wish, &err);
    if (rc == PN_OK)
        rc = check_operations(key_ops, strcmp(wish.type, "RSA") == 0, &err);
    if (rc == PN_OK)
        rc = generate(call, &wish, given, key_ops, NULL, version, &body, &err);
    if (rc == PN_OK)
        answer_key(call, version, body);
    else
        vault_answer_add_failure(call, KIND_KEY, rc, &err);
    json_decref(body);
    json_decref(given);
}

/* The JWK of the request becomes a version. */
static enum pn_rc import_key(struct vault_call *call, const json_t *given,
                             char version[VERSION_TEXT], json_t **body, struct pn_error *err)
{
    const json_t *jwk = json_object_get(given, "key");
    const json_t *key_ops = json_object_get(jwk, "key_ops");
    struct vault_addition addition = {.kind = KIND_KEY, .version = version};
    struct vault_key_numbers numbers;
    char id[OBJECT_ID_TEXT];
    struct pn_buf spki, sealed;
    enum pn_rc rc;

    if (!json_is_object(jwk))
        return pn_error_set(err, PN_INVALID, "BadParameter",
                            "Property key has invalid value: it must be a JSON Web Key");
    if (json_is_true(pn_json_get_nocase(given, "hsm")))
        return pn_error_set(err, PN_UNSUPPORTED, "BadParameter",
                            "Property hsm has invalid value: this vault has no HSM");
    pn_buf_init(&spki, SPKI_MAX);
    pn_buf_init(&sealed, SEALED_MAX);
    vault_new_version(version);
    vault_version_id(call, KIND_KEY, version, id);
    rc = vault_key_numbers_read(jwk, &numbers, err);
    if (rc == PN_OK)
        rc = check_operations(key_ops, strcmp(numbers.parts.type, "RSA") == 0, err);
    if (rc == PN_OK)
        rc = pn_keyholder_vault_take(call->vault->keyholder, vault_context(id), &numbers.parts,
                                     &spki, &sealed, err);
    if (rc == PN_INVALID && strcmp(err->code, "vault_key") == 0)
        pn_error_prefix(err, "Property key has invalid value");
    if (rc == PN_OK)
        rc = make_body(call, pn_buf_slice(&spki), pn_buf_slice(&sealed), given, key_ops, body, err);
    addition.body = *body;
    if (rc == PN_OK)
        rc = vault_add_version(call, &addition, err);
    vault_key_numbers_fini(&numbers);
    pn_buf_fini(&spki);
    pn_buf_fini(&sealed);
    return rc;
}

void vault_import_key(struct vault_call *call)
{
    json_t *given = vault_read_body(call), *body = NULL;
    char version[VERSION_TEXT];
    struct pn_error err = {0};
    enum pn_rc rc;

    if (!given)
        return;
    rc = import_key(call, given, version, &body, &err);
    if (rc == PN_OK)
        answer_key(call, version, body);
    else
        vault_answer_add_failure(call, KIND_KEY, rc, &err);
    json_decref(body);
    json_decref(given);
}

void vault_get_key(struct vault_call *call)
{
    struct pn_store_item head = {0}, item = {0};
    struct pn_error err = {0};
    enum pn_rc rc = vault_find(call, KIND_KEY, &head, &item, &err);

    if (rc == PN_OK)
        vault_answer_json(call, 200, vault_key_bundle(call, &item, pn_json_str(head.body, "name")));
    else
        vault_answer_find_failure(call, KIND_KEY, rc, &err);
    pn_store_item_fini(&head);
    pn_store_item_fini(&item);
}

static void answer_managed(struct vault_call *call)
{
    vault_answer_error(call->response, 403, "Forbidden", "ManagedKey",
                       "The key %s belongs to the certificate of that name: change the "
                       "certificate.",
                       call->name);
}

void vault_update_key(struct vault_call *call)
{
    struct pn_store_item head = {0}, item = {0};
    struct vault_change change = {.kind = KIND_KEY};
    struct pn_error err = {0};
    json_t *given = vault_read_body(call), *body = NULL;
    enum pn_rc rc;

    if (!given)
        return;
    rc = vault_find(call, KIND_KEY, &head, &item, &err);
    if (rc != PN_OK) {
        vault_answer_find_failure(call, KIND_KEY, rc, &err);
    } else if (strcmp(item.type, KEY_TYPE) != 0) {
        answer_managed(call);
    } else {
        const json_t *jwk = json_object_get(json_object_get(item.body, "properties"), "key");

        rc = check_operations(json_object_get(given, "key_ops"),
                              pn_slice_eq_str(pn_json_slice(jwk, "kty"), "RSA"), &err);
        change.version = vault_item_version(&item);
        change.given = given;
        if (rc == PN_OK)
            rc = vault_change(call, &change, NULL, &body, &err);
        if (rc == PN_OK) {
            snprintf(call->name, sizeof call->name, "%s", pn_json_str(head.body, "name"));
            answer_key(call, change.version, body);
        } else {
            vault_answer_failure(call, rc, &err);
        }
    }
    json_decref(body);
    json_decref(given);
    pn_store_item_fini(&head);
    pn_store_item_fini(&item);
}

void vault_list_keys(struct vault_call *call)
{
    vault_list_objects(call, KIND_KEY, vault_key_item);
}

void vault_list_key_versions(struct vault_call *call)
{
    vault_list_versions(call, KIND_KEY, vault_key_item);
}

/* --- rotation --- */

static enum pn_rc renew(struct vault_call *call, const json_t *head,
                        const struct pn_store_item *former, char version[VERSION_TEXT],
                        json_t **body, struct pn_error *err)
{
    const json_t *properties = json_object_get(former->body, "properties");
    const json_t *jwk = json_object_get(properties, "key");
    const json_t *rotation = json_object_get(json_object_get(head, "properties"), "rotation");
    const char *expiry = pn_json_str(json_object_get(rotation, "attributes"), "expiryTime");
    int64_t now_s = call->vault->now_s();
    struct pn_slice n = pn_json_slice(jwk, "n");
    struct key_wish wish = {
        .type = pn_json_str(jwk, "kty"),
        .curve = pn_json_str(jwk, "crv"),
        .bits = n.len > 600   ? 4096
                : n.len > 450 ? 3072
                              : 2048, /* base64url of the modulus */
    };
    json_t *given =
        json_pack("{s:{}, s:O*}", "attributes", "tags", json_object_get(properties, "tags"));
    enum pn_rc rc;

    if (!given)
        return PN_NOMEM;
    if (!wish.curve)
        wish.curve = "";
    if (expiry)
        json_object_set_new(json_object_get(given, "attributes"), "exp",
                            json_integer((json_int_t)vault_after_duration(now_s, expiry, false)));
    rc = generate(call, &wish, given, json_object_get(jwk, "key_ops"), vault_item_version(former),
                  version, body, err);
    json_decref(given);
    return rc;
}

enum pn_rc vault_key_renew(struct vault_call *call, const json_t *head,
                           const struct pn_store_item *former, struct pn_error *err)
{
    char version[VERSION_TEXT];
    json_t *body = NULL;
    enum pn_rc rc = renew(call, head, former, version, &body, err);

    json_decref(body);
    return rc;
}

void vault_rotate_key(struct vault_call *call)
{
    struct pn_store_item head = {0}, item = {0};
    struct pn_error err = {0};
    char version[VERSION_TEXT];
    json_t *body = NULL;
    enum pn_rc rc = vault_find(call, KIND_KEY, &head, &item, &err);

    if (rc != PN_OK) {
        vault_answer_find_failure(call, KIND_KEY, rc, &err);
    } else if (strcmp(item.type, KEY_TYPE) != 0) {
        answer_managed(call);
    } else {
        snprintf(call->name, sizeof call->name, "%s", pn_json_str(head.body, "name"));
        rc = renew(call, head.body, &item, version, &body, &err);
        if (rc == PN_OK)
            answer_key(call, version, body);
        else
            vault_answer_add_failure(call, KIND_KEY, rc, &err);
    }
    json_decref(body);
    pn_store_item_fini(&head);
    pn_store_item_fini(&item);
}
