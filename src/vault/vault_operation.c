/* SPDX-License-Identifier: Apache-2.0
 *
 * The table of operations, and how a request finds its row.
 */
#include "vault/vault_operation.h"

#include <stdio.h>
#include <string.h>

#include "vault/vault_internal.h"
#include "vault/vault_throttle.h"

/* The first row that fits wins: fixed words stand before {name} and {version}. */
const struct vault_operation vault_operations[] = {
    {"GET", "/secrets", "secrets", "list", VAULT_CLASS_READ, vault_list_secrets},
    {"GET", "/deletedsecrets", "secrets", "list", VAULT_CLASS_READ, vault_list_deleted_secrets},
    {"GET", "/deletedsecrets/{name}", "secrets", "get", VAULT_CLASS_READ, vault_get_deleted_secret},
    {"POST", "/deletedsecrets/{name}/recover", "secrets", "recover", VAULT_CLASS_WRITE,
     vault_recover_secret},
    {"DELETE", "/deletedsecrets/{name}", "secrets", "purge", VAULT_CLASS_WRITE, vault_purge_secret},
    {"POST", "/secrets/restore", "secrets", "restore", VAULT_CLASS_WRITE, vault_restore_secret},
    {"POST", "/secrets/{name}/backup", "secrets", "backup", VAULT_CLASS_READ, vault_backup_secret},
    {"GET", "/secrets/{name}/versions", "secrets", "list", VAULT_CLASS_READ,
     vault_list_secret_versions},
    {"DELETE", "/secrets/{name}", "secrets", "delete", VAULT_CLASS_WRITE, vault_delete_secret},
    {"PUT", "/secrets/{name}", "secrets", "set", VAULT_CLASS_WRITE, vault_set_secret},
    {"GET", "/secrets/{name}", "secrets", "get", VAULT_CLASS_READ, vault_get_secret},
    {"PATCH", "/secrets/{name}", "secrets", "update", VAULT_CLASS_WRITE, vault_update_secret},
    {"GET", "/secrets/{name}/{version}", "secrets", "get", VAULT_CLASS_READ, vault_get_secret},
    {"PATCH", "/secrets/{name}/{version}", "secrets", "update", VAULT_CLASS_WRITE,
     vault_update_secret},
    {"GET", "/certificates/contacts", "certificates", "managecontacts", VAULT_CLASS_READ,
     vault_get_contacts},
    {"PUT", "/certificates/contacts", "certificates", "managecontacts", VAULT_CLASS_WRITE,
     vault_set_contacts},
    {"DELETE", "/certificates/contacts", "certificates", "managecontacts", VAULT_CLASS_WRITE,
     vault_delete_contacts},
    {"GET", "/certificates/issuers", "certificates", "listissuers", VAULT_CLASS_READ,
     vault_list_issuers},
    {"GET", "/certificates/issuers/{name}", "certificates", "getissuers", VAULT_CLASS_READ,
     vault_get_issuer},
    {"PUT", "/certificates/issuers/{name}", "certificates", "setissuers", VAULT_CLASS_WRITE,
     vault_set_issuer},
    {"PATCH", "/certificates/issuers/{name}", "certificates", "setissuers", VAULT_CLASS_WRITE,
     vault_update_issuer},
    {"DELETE", "/certificates/issuers/{name}", "certificates", "deleteissuers", VAULT_CLASS_WRITE,
     vault_delete_issuer},
    {"GET", "/certificates", "certificates", "list", VAULT_CLASS_READ, vault_list_certificates},
    {"GET", "/deletedcertificates", "certificates", "list", VAULT_CLASS_READ,
     vault_list_deleted_certificates},
    {"GET", "/deletedcertificates/{name}", "certificates", "get", VAULT_CLASS_READ,
     vault_get_deleted_certificate},
    {"POST", "/deletedcertificates/{name}/recover", "certificates", "recover", VAULT_CLASS_WRITE,
     vault_recover_certificate},
    {"DELETE", "/deletedcertificates/{name}", "certificates", "purge", VAULT_CLASS_WRITE,
     vault_purge_certificate},
    {"POST", "/certificates/restore", "certificates", "restore", VAULT_CLASS_WRITE,
     vault_restore_certificate},
    {"POST", "/certificates/{name}/backup", "certificates", "backup", VAULT_CLASS_READ,
     vault_backup_certificate},
    {"GET", "/certificates/{name}/versions", "certificates", "list", VAULT_CLASS_READ,
     vault_list_certificate_versions},
    {"DELETE", "/certificates/{name}", "certificates", "delete", VAULT_CLASS_WRITE,
     vault_delete_certificate},
    {"POST", "/certificates/{name}/create", "certificates", "create", VAULT_CLASS_GENERATE,
     vault_create_certificate},
    {"POST", "/certificates/{name}/import", "certificates", "import", VAULT_CLASS_WRITE,
     vault_import_certificate},
    {"GET", "/certificates/{name}/policy", "certificates", "get", VAULT_CLASS_READ,
     vault_get_policy},
    {"PATCH", "/certificates/{name}/policy", "certificates", "update", VAULT_CLASS_WRITE,
     vault_update_policy},
    {"GET", "/certificates/{name}/pending", "certificates", "get", VAULT_CLASS_READ,
     vault_get_pending},
    {"PATCH", "/certificates/{name}/pending", "certificates", "update", VAULT_CLASS_WRITE,
     vault_update_pending},
    {"DELETE", "/certificates/{name}/pending", "certificates", "update", VAULT_CLASS_WRITE,
     vault_delete_pending},
    {"POST", "/certificates/{name}/pending/merge", "certificates", "create", VAULT_CLASS_WRITE,
     vault_merge_certificate},
    {"GET", "/certificates/{name}", "certificates", "get", VAULT_CLASS_READ, vault_get_certificate},
    {"PATCH", "/certificates/{name}", "certificates", "update", VAULT_CLASS_WRITE,
     vault_update_certificate},
    {"GET", "/certificates/{name}/{version}", "certificates", "get", VAULT_CLASS_READ,
     vault_get_certificate},
    {"PATCH", "/certificates/{name}/{version}", "certificates", "update", VAULT_CLASS_WRITE,
     vault_update_certificate},
    {"GET", "/keys", "keys", "list", VAULT_CLASS_READ, vault_list_keys},
    {"GET", "/deletedkeys", "keys", "list", VAULT_CLASS_READ, vault_list_deleted_keys},
    {"GET", "/deletedkeys/{name}", "keys", "get", VAULT_CLASS_READ, vault_get_deleted_key},
    {"POST", "/deletedkeys/{name}/recover", "keys", "recover", VAULT_CLASS_WRITE,
     vault_recover_key},
    {"DELETE", "/deletedkeys/{name}", "keys", "purge", VAULT_CLASS_WRITE, vault_purge_key},
    {"POST", "/keys/restore", "keys", "restore", VAULT_CLASS_WRITE, vault_restore_key},
    {"POST", "/keys/{name}/backup", "keys", "backup", VAULT_CLASS_READ, vault_backup_key},
    {"GET", "/keys/{name}/versions", "keys", "list", VAULT_CLASS_READ, vault_list_key_versions},
    {"DELETE", "/keys/{name}", "keys", "delete", VAULT_CLASS_WRITE, vault_delete_key},
    {"POST", "/rng", "keys", "get", VAULT_CLASS_CRYPTO, vault_random_bytes},
    {"POST", "/keys/{name}/create", "keys", "create", VAULT_CLASS_GENERATE, vault_create_key},
    {"PUT", "/keys/{name}", "keys", "import", VAULT_CLASS_WRITE, vault_import_key},
    {"POST", "/keys/{name}/rotate", "keys", "rotate", VAULT_CLASS_GENERATE, vault_rotate_key},
    {"GET", "/keys/{name}/rotationpolicy", "keys", "getrotationpolicy", VAULT_CLASS_READ,
     vault_get_rotation_policy},
    {"PUT", "/keys/{name}/rotationpolicy", "keys", "setrotationpolicy", VAULT_CLASS_WRITE,
     vault_set_rotation_policy},
    {"POST", "/keys/{name}/encrypt", "keys", "encrypt", VAULT_CLASS_CRYPTO, vault_encrypt},
    {"POST", "/keys/{name}/decrypt", "keys", "decrypt", VAULT_CLASS_CRYPTO, vault_decrypt},
    {"POST", "/keys/{name}/wrapkey", "keys", "wrapkey", VAULT_CLASS_CRYPTO, vault_wrap_key},
    {"POST", "/keys/{name}/unwrapkey", "keys", "unwrapkey", VAULT_CLASS_CRYPTO, vault_unwrap_key},
    {"POST", "/keys/{name}/sign", "keys", "sign", VAULT_CLASS_CRYPTO, vault_sign},
    {"POST", "/keys/{name}/verify", "keys", "verify", VAULT_CLASS_CRYPTO, vault_verify},
    {"POST", "/keys/{name}/release", "keys", "release", VAULT_CLASS_CRYPTO, vault_release_key},
    {"POST", "/keys/{name}/{version}/encrypt", "keys", "encrypt", VAULT_CLASS_CRYPTO,
     vault_encrypt},
    {"POST", "/keys/{name}/{version}/decrypt", "keys", "decrypt", VAULT_CLASS_CRYPTO,
     vault_decrypt},
    {"POST", "/keys/{name}/{version}/wrapkey", "keys", "wrapkey", VAULT_CLASS_CRYPTO,
     vault_wrap_key},
    {"POST", "/keys/{name}/{version}/unwrapkey", "keys", "unwrapkey", VAULT_CLASS_CRYPTO,
     vault_unwrap_key},
    {"POST", "/keys/{name}/{version}/sign", "keys", "sign", VAULT_CLASS_CRYPTO, vault_sign},
    {"POST", "/keys/{name}/{version}/verify", "keys", "verify", VAULT_CLASS_CRYPTO, vault_verify},
    {"POST", "/keys/{name}/{version}/release", "keys", "release", VAULT_CLASS_CRYPTO,
     vault_release_key},
    {"GET", "/keys/{name}", "keys", "get", VAULT_CLASS_READ, vault_get_key},
    {"PATCH", "/keys/{name}", "keys", "update", VAULT_CLASS_WRITE, vault_update_key},
    {"GET", "/keys/{name}/{version}", "keys", "get", VAULT_CLASS_READ, vault_get_key},
    {"PATCH", "/keys/{name}/{version}", "keys", "update", VAULT_CLASS_WRITE, vault_update_key},
};
const size_t vault_operation_count = sizeof vault_operations / sizeof vault_operations[0];

static bool name_is_valid(struct pn_slice name)
{
    if (name.len == 0 || name.len > PN_VAULT_NAME_MAX)
        return false;
    for (size_t i = 0; i < name.len; i++) {
        char c = name.ptr[i];

        if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
              c == '-'))
            return false;
    }
    return true;
}

static bool version_is_valid(struct pn_slice version)
{
    uint8_t bytes[16];

    return pn_hex_decode(version, bytes, sizeof bytes);
}

void vault_lower(char *out, struct pn_slice text)
{
    for (size_t i = 0; i < text.len; i++)
        out[i] = text.ptr[i] >= 'A' && text.ptr[i] <= 'Z' ? (char)(text.ptr[i] + 32) : text.ptr[i];
    out[text.len] = '\0';
}

static const struct vault_kind_facts *vault_kind_named(const char *collection)
{
    for (int i = KIND_SECRET; i < KIND_KEY; i++) {
        if (strcmp(vault_kinds[i].collection, collection) == 0)
            return &vault_kinds[i];
    }
    return &vault_kinds[KIND_KEY];
}

/* Whether the segments are of this path. {version} is anything here: a wrong one is told later. */
static bool path_fits(const struct vault_call *call, const char *path)
{
    struct pn_slice rest = pn_slice_str(path + 1);

    for (size_t i = 0; i < call->segment_count; i++) {
        size_t end = pn_slice_find(rest, '/');
        struct pn_slice word = pn_slice_sub(rest, 0, end);

        if (word.len == 0 || (word.ptr[0] != '{' && !pn_slice_case_eq(word, call->segments[i])))
            return false;
        rest = pn_slice_sub(rest, end + 1, rest.len);
    }
    return rest.len == 0;
}

/* Position of `part` ("{name}") in the path, or -1. */
static int position_of(const char *path, const char *part)
{
    struct pn_slice rest = pn_slice_str(path + 1);
    int position = 0;

    while (rest.len > 0) {
        size_t end = pn_slice_find(rest, '/');

        if (pn_slice_eq_str(pn_slice_sub(rest, 0, end), part))
            return position;
        rest = pn_slice_sub(rest, end + 1, rest.len);
        position++;
    }
    return -1;
}

/* These words stand for other things in the path of a certificate. */
static bool is_reserved(const struct vault_operation *operation, struct pn_slice name)
{
    return pn_slice_starts_with(pn_slice_str(operation->path), PN_LIT("/certificates/{name}")) &&
           (pn_slice_case_eq_str(name, "issuers") || pn_slice_case_eq_str(name, "contacts") ||
            pn_slice_case_eq_str(name, "restore"));
}

/* Name and version of the path. False: answered. */
static bool read_path(struct vault_call *call, const struct vault_operation *operation)
{
    int name_at = position_of(operation->path, "{name}");
    int version_at = position_of(operation->path, "{version}");

    if (name_at >= 0) {
        struct pn_slice name = call->segments[name_at];

        if (!name_is_valid(name) || is_reserved(operation, name)) {
            vault_answer_error(call->response, 400, "BadParameter", NULL,
                               "The request URI contains an invalid name: it must match "
                               "^[0-9a-zA-Z-]+$ and have at most %d characters.",
                               PN_VAULT_NAME_MAX);
            return false;
        }
        snprintf(call->name, sizeof call->name, "%.*s", PN_FMT(name));
        vault_lower(call->key, name);
    }
    if (version_at < 0)
        return true;
    if (!version_is_valid(call->segments[version_at])) { /* no such version can exist */
        vault_answer_error(call->response, 404, vault_kind_named(operation->kind)->not_found, NULL,
                           "The version in the request URI was not found: a version is 32 "
                           "hexadecimal digits.");
        return false;
    }
    vault_lower(call->version, call->segments[version_at]);
    return true;
}

/* False: answered (429). */
static bool passes(struct vault_call *call, enum vault_class class)
{
    unsigned retry_after_s = 0;

    if (vault_throttle_passes(call->vault->throttle, call->vault_name, class, &retry_after_s))
        return true;
    if (pn_response_header(call->response, "Retry-After", "%u", retry_after_s) == PN_OK)
        vault_answer_error(call->response, 429, "Throttled", NULL,
                           "Request was not processed because too many requests were received. "
                           "Reason: VaultRequestTypeLimitReached");
    else
        call->response->status = 500;
    return false;
}

void vault_operate(struct vault_call *call)
{
    bool is_known = false;

    for (size_t i = 0; i < vault_operation_count; i++) {
        const struct vault_operation *operation = &vault_operations[i];

        if (!path_fits(call, operation->path))
            continue;
        is_known = true;
        if (!pn_slice_eq_str(call->request->method, operation->method))
            continue;
        if (!read_path(call, operation) || !vault_may(call, operation->kind, operation->permission))
            return;
        if (passes(call, operation->class))
            operation->run(call);
        return;
    }
    if (is_known)
        vault_answer_error(call->response, 405, "MethodNotAllowed", NULL,
                           "Method %.*s is not allowed on this path.",
                           PN_FMT(pn_slice_sub(call->request->method, 0, 32)));
    else
        vault_answer_error(call->response, 404, "NotFound", NULL,
                           "There is nothing at this path: this vault has /secrets, /certificates "
                           "and /keys.");
}
