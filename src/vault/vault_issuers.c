/* SPDX-License-Identifier: Apache-2.0
 *
 * Issuers and contacts. The provider "PosternCA" is our own private CA: its key is made in the
 * keyholder, for certificates and nothing else, and never leaves it. Issuers of other providers are
 * kept as they are given, for clients that manage them; certificates by them are requested with
 * "Unknown" and merged.
 */
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "vault/vault_certificate.h"

#define PROVIDER_OWN      "PosternCA"
#define PROVIDER_TEXT_MAX 64
#define CA_YEARS          10
#define YEAR_S            31557600 /* 365.25 days */
#define SEALED_MAX        4096
#define PASSWORD_MAX      256
#define CONTACTS_MAX      64
#define CONTACT_TEXT_MAX  256
#define DETAILS_BYTES_MAX (16u * 1024)

enum vault_source vault_source_of(const json_t *policy)
{
    struct pn_slice name = pn_json_slice(json_object_get(policy, "issuer"), "name");

    if (name.len == 0 || pn_slice_case_eq_str(name, "Self"))
        return SOURCE_SELF;
    return pn_slice_case_eq_str(name, "Unknown") ? SOURCE_UNKNOWN : SOURCE_AUTHORITY;
}

static enum pn_rc issuer_id(const struct vault_call *call, struct pn_slice name,
                            char id[OBJECT_ID_TEXT])
{
    if (name.len == 0 || name.len > PN_VAULT_NAME_MAX || pn_slice_find(name, '/') < name.len)
        return PN_NOT_FOUND;
    snprintf(id, OBJECT_ID_TEXT, "/vault/%s/issuers/%.*s", call->vault_name, PN_FMT(name));
    return PN_OK;
}

static enum pn_rc find_issuer(struct vault_call *call, const char *name, struct pn_store_item *item,
                              struct pn_error *err)
{
    char id[OBJECT_ID_TEXT];
    enum pn_rc rc = issuer_id(call, pn_slice_str(name), id);

    return rc == PN_OK ? pn_store_get(call->vault->store, id, item, err) : rc;
}

enum pn_rc vault_issuer_authority(struct vault_call *call, const char *name, struct pn_key_id *key,
                                  struct pn_buf *certificate, struct pn_error *err)
{
    struct pn_store_item item = {0};
    const json_t *internal, *attributes;
    enum pn_rc rc = find_issuer(call, name, &item, err);

    internal = json_object_get(item.body, "internal");
    attributes = json_object_get(json_object_get(item.body, "properties"), "attributes");
    if (rc == PN_NOT_FOUND)
        rc = pn_error_set(err, PN_INVALID, "BadParameter",
                          "Property policy.issuer.name has invalid value: this vault has no issuer "
                          "'%.127s'",
                          name);
    else if (rc == PN_OK && !json_object_get(internal, "keyId"))
        rc = pn_error_set(err, PN_INVALID, "BadParameter",
                          "Property policy.issuer.name has invalid value: the provider of '%.127s' "
                          "cannot be reached from this vault. Use the issuer Unknown, have the "
                          "request signed and merge the certificate; or make an issuer of the "
                          "provider " PROVIDER_OWN,
                          name);
    else if (rc == PN_OK && !pn_json_bool(attributes, "enabled", true))
        rc = pn_error_set(err, PN_INVALID, "BadParameter", "The issuer '%.127s' is disabled", name);
    if (rc == PN_OK &&
        !pn_hex_decode(pn_json_slice(internal, "keyId"), key->sha256, sizeof key->sha256))
        rc = pn_error_set(err, PN_INTERNAL, "issuer", "'%s' is damaged", item.id);
    if (rc == PN_OK)
        rc = pn_base64_decode(
            pn_json_slice(json_object_get(json_object_get(item.body, "properties"), "ca"), "cer"),
            certificate);
    pn_store_item_fini(&item);
    return rc;
}

enum pn_rc vault_issuer_check(struct vault_call *call, const json_t *policy, struct pn_error *err)
{
    const char *name = pn_json_str(json_object_get(policy, "issuer"), "name");
    struct pn_buf certificate;
    struct pn_key_id key;
    enum pn_rc rc;

    if (vault_source_of(policy) != SOURCE_AUTHORITY)
        return PN_OK;
    pn_buf_init(&certificate, PN_IMPORT_BYTES_MAX);
    rc = vault_issuer_authority(call, name, &key, &certificate, err);
    pn_buf_fini(&certificate);
    return rc;
}

/* --- issuers --- */

static void answer_no_issuer(struct vault_call *call)
{
    vault_answer_error(call->response, 404, "IssuerNotFound", NULL, "Issuer not found: %s.",
                       call->name);
}

static json_t *issuer_bundle(const struct vault_call *call, const json_t *body)
{
    static const char *const members[] = {"provider",   "credentials", "org_details",
                                          "attributes", "ca",          NULL};
    const json_t *properties = json_object_get(body, "properties");
    json_t *json = json_pack(
        "{s:o}", "id", vault_url(call, "certificates/issuers", pn_json_str(body, "name"), NULL));

    for (size_t i = 0; json && members[i]; i++) {
        if (json_object_get(properties, members[i]))
            json_object_set(json, members[i], json_object_get(properties, members[i]));
    }
    return json;
}

static json_t *issuer_item(const struct vault_call *call, const struct pn_store_item *item,
                           const char *name, bool with_version)
{
    (void)with_version;
    return json_pack("{s:o, s:O*}", "id", vault_url(call, "certificates/issuers", name, NULL),
                     "provider",
                     json_object_get(json_object_get(item->body, "properties"), "provider"));
}

void vault_list_issuers(struct vault_call *call)
{
    char prefix[OBJECT_ID_TEXT];

    snprintf(prefix, sizeof prefix, "/vault/%s/issuers/", call->vault_name);
    vault_list_rows(call, prefix, ISSUER_TYPE, "certificates/issuers", issuer_item);
}

void vault_get_issuer(struct vault_call *call)
{
    struct pn_store_item item = {0};
    struct pn_error err = {0};
    enum pn_rc rc = find_issuer(call, call->name, &item, &err);

    if (rc == PN_OK)
        vault_answer_json(call, 200, issuer_bundle(call, item.body));
    else if (rc == PN_NOT_FOUND)
        answer_no_issuer(call);
    else
        vault_answer_failure(call, rc, &err);
    pn_store_item_fini(&item);
}

/* A new private CA. The key is kept by the keyholder before this returns. */
static enum pn_rc make_authority(struct vault_call *call, json_t *body, struct pn_error *err)
{
    static const char *const usages[] = {"keyCertSign", "cRLSign", NULL};
    int64_t now_s = call->vault->now_s();
    struct pn_issue_spec spec = {
        .key_type = "EC",
        .key_bits = 256,
        .key_usages = usages,
        .is_ca = true,
        .not_before = now_s - 600,
        .not_after = now_s + (int64_t)CA_YEARS * YEAR_S,
    };
    char subject[2 * NAME_TEXT], hex[65];
    struct pn_imported made;
    json_t *ca;
    enum pn_rc rc;

    snprintf(subject, sizeof subject, "CN=%s, O=%s, OU=Postern private CA", call->name,
             call->vault_name);
    spec.subject = subject;
    rc = pn_keyholder_issue(call->vault->keyholder, PN_USE_CA, &spec, &made, err);
    if (rc != PN_OK)
        return rc;
    pn_hex_lower(made.key.sha256, sizeof made.key.sha256, hex);
    ca = json_pack("{s:o, s:I, s:I}", "cer", vault_base64(pn_buf_slice(&made.chain[0])), "nbf",
                   (json_int_t)spec.not_before, "exp", (json_int_t)spec.not_after);
    if (!ca || json_object_set_new(json_object_get(body, "properties"), "ca", ca) != 0 ||
        json_object_set_new(json_object_get(body, "internal"), "keyId", json_string(hex)) != 0)
        rc = PN_NOMEM;
    pn_imported_fini(&made);
    return rc;
}

/* The password of an account goes in sealed and is shown to nobody. */
static enum pn_rc take_credentials(struct vault_call *call, const json_t *given, json_t *body,
                                   struct pn_error *err)
{
    const json_t *credentials = json_object_get(given, "credentials");
    struct pn_slice password = pn_json_slice(credentials, "pwd");
    const json_t *account = json_object_get(credentials, "account_id");
    char id[OBJECT_ID_TEXT];
    struct pn_buf sealed;
    enum pn_rc rc;

    if (!json_is_object(credentials))
        return PN_OK;
    if (password.len > PASSWORD_MAX || json_string_length(account) > PASSWORD_MAX)
        return pn_error_set(err, PN_INVALID, "BadParameter",
                            "Property credentials has invalid value: texts of at most %d bytes",
                            PASSWORD_MAX);
    if (json_is_string(account) &&
        json_object_set_new(json_object_get(body, "properties"), "credentials",
                            json_pack("{s:O}", "account_id", account)) != 0)
        return PN_NOMEM;
    if (password.len == 0)
        return PN_OK;
    rc = issuer_id(call, pn_slice_str(call->name), id);
    pn_buf_init(&sealed, SEALED_MAX);
    if (rc == PN_OK)
        rc = pn_keyholder_seal(call->vault->keyholder, "vault", vault_context(id), password,
                               &sealed, err);
    if (rc == PN_OK && json_object_set_new(json_object_get(body, "internal"), "sealed",
                                           vault_base64(pn_buf_slice(&sealed))) != 0)
        rc = PN_NOMEM;
    pn_buf_fini(&sealed);
    return rc;
}

static enum pn_rc fill_issuer(struct vault_call *call, const json_t *given, json_t *body,
                              struct pn_error *err)
{
    json_t *properties = json_object_get(body, "properties");
    json_t *attributes = json_object_get(properties, "attributes");
    json_t *details = json_object_get(given, "org_details");
    enum pn_rc rc = PN_OK;

    if (details && !json_is_null(details)) {
        size_t size = json_dumpb(details, NULL, 0, JSON_COMPACT);

        if (!json_is_object(details) || size > DETAILS_BYTES_MAX)
            return pn_error_set(err, PN_INVALID, "BadParameter",
                                "Property org_details has invalid value: an object of at most %u "
                                "bytes",
                                DETAILS_BYTES_MAX);
        rc = json_object_set(properties, "org_details", details) == 0 ? PN_OK : PN_NOMEM;
    }
    if (rc == PN_OK)
        rc = vault_read_attributes(json_object_get(given, "attributes"), attributes, err);
    if (rc == PN_OK)
        rc = take_credentials(call, given, body, err);
    if (rc == PN_OK && json_object_set_new(attributes, "updated",
                                           json_integer((json_int_t)call->vault->now_s())) != 0)
        rc = PN_NOMEM;
    return rc;
}

/* Another provider in the place of our CA would take its key out of use unseen. */
static enum pn_rc check_provider(const json_t *given, const json_t *body, bool is_new,
                                 struct pn_error *err)
{
    struct pn_slice provider = pn_json_slice(given, "provider");
    struct pn_slice former = pn_json_slice(json_object_get(body, "properties"), "provider");

    if (provider.len == 0 ? is_new : provider.len > PROVIDER_TEXT_MAX)
        return pn_error_set(err, PN_INVALID, "BadParameter",
                            "Property provider has invalid value: " PROVIDER_OWN
                            " (a private CA of this vault) or the name of another provider");
    if (!is_new && provider.len > 0 && !pn_slice_eq(provider, former) &&
        (pn_slice_eq_str(provider, PROVIDER_OWN) || pn_slice_eq_str(former, PROVIDER_OWN)))
        return pn_error_set(err, PN_INVALID, "BadParameter",
                            "Property provider has invalid value: a private CA does not become "
                            "another provider's issuer, nor the reverse; delete the issuer first");
    return PN_OK;
}

static enum pn_rc store_issuer(struct vault_call *call, const char *id, json_t *body,
                               struct pn_error *err)
{
    struct pn_store_txn *txn = NULL;
    enum pn_rc rc = pn_store_begin(call->vault->store, &txn, err);

    if (rc != PN_OK)
        return rc;
    rc = vault_check_there(call, txn, err);
    if (rc == PN_OK)
        rc = pn_store_put(txn, id, ISSUER_TYPE, body, NULL, err);
    if (rc == PN_OK)
        return pn_store_commit(txn, NULL, err);
    pn_store_rollback(txn);
    return rc;
}

/* PUT and PATCH. */
static void change_issuer(struct vault_call *call, bool may_be_new)
{
    json_t *given = vault_read_body(call), *body = NULL;
    json_int_t now_s = (json_int_t)call->vault->now_s();
    struct pn_store_item item = {0};
    struct pn_error err = {0};
    char id[OBJECT_ID_TEXT];
    bool is_new;
    enum pn_rc rc;

    if (!given)
        return;
    rc = issuer_id(call, pn_slice_str(call->name), id);
    if (rc == PN_OK)
        rc = pn_store_get(call->vault->store, id, &item, &err);
    is_new = rc == PN_NOT_FOUND;
    if (is_new && may_be_new)
        rc = PN_OK;
    if (pn_slice_case_eq_str(pn_slice_str(call->name), "Self") ||
        pn_slice_case_eq_str(pn_slice_str(call->name), "Unknown"))
        rc = pn_error_set(&err, PN_INVALID, "BadParameter",
                          "The names Self and Unknown have a meaning of their own");
    if (rc == PN_OK) {
        body = is_new ? json_pack("{s:s, s:{s:{s:b, s:I, s:I}}, s:{}}", "name", call->name,
                                  "properties", "attributes", "enabled", 1, "created", now_s,
                                  "updated", now_s, "internal")
                      : json_incref(item.body);
        rc = body ? check_provider(given, body, is_new, &err) : PN_NOMEM;
    }
    if (rc == PN_OK && pn_json_slice(given, "provider").len > 0)
        json_object_set(json_object_get(body, "properties"), "provider",
                        json_object_get(given, "provider"));
    if (rc == PN_OK)
        rc = fill_issuer(call, given, body, &err);
    if (rc == PN_OK && is_new && pn_slice_eq_str(pn_json_slice(given, "provider"), PROVIDER_OWN))
        rc = make_authority(call, body, &err);
    if (rc == PN_OK)
        rc = store_issuer(call, id, body, &err);
    if (rc == PN_OK)
        vault_answer_json(call, 200, issuer_bundle(call, body));
    else if (rc == PN_NOT_FOUND)
        answer_no_issuer(call);
    else
        vault_answer_add_failure(call, KIND_CERTIFICATE, rc, &err);
    json_decref(body);
    json_decref(given);
    pn_store_item_fini(&item);
}

void vault_set_issuer(struct vault_call *call)
{
    change_issuer(call, true);
}

void vault_update_issuer(struct vault_call *call)
{
    change_issuer(call, false);
}

/* Deletes it unless certificates are made by it. */
static enum pn_rc erase_issuer(struct vault_call *call, struct pn_store_item *item,
                               struct pn_error *err)
{
    struct pn_store_list users = {0};
    struct pn_store_txn *txn = NULL;
    char id[OBJECT_ID_TEXT];
    enum pn_rc rc = issuer_id(call, pn_slice_str(call->name), id);

    if (rc == PN_OK)
        rc = pn_store_begin(call->vault->store, &txn, err);
    if (rc != PN_OK)
        return rc;
    rc = pn_store_txn_get(txn, id, item, err);
    if (rc == PN_OK)
        rc = pn_store_users(txn, id, &users, err);
    if (rc == PN_OK && users.count > 0)
        rc =
            pn_error_set(err, PN_CONFLICT, "in_use",
                         "The issuer %s is in use: %zu certificates of this vault, '%.127s' first, "
                         "are made by it. Change their policies or delete them.",
                         call->name, users.count, vault_item_version(&users.items[0]));
    if (rc == PN_OK)
        rc = pn_store_erase(txn, id, err);
    if (rc == PN_OK)
        rc = pn_store_commit(txn, NULL, err);
    else
        pn_store_rollback(txn);
    pn_store_list_fini(&users);
    return rc;
}

void vault_delete_issuer(struct vault_call *call)
{
    struct pn_store_item item = {0};
    struct pn_error err = {0};
    struct pn_key_id key;
    enum pn_rc rc = erase_issuer(call, &item, &err);

    if (rc == PN_OK &&
        pn_hex_decode(pn_json_slice(json_object_get(item.body, "internal"), "keyId"), key.sha256,
                      sizeof key.sha256) &&
        pn_keyholder_forget(call->vault->keyholder, PN_USE_CA, &key, &err) != PN_OK)
        pn_log_error(PN_LOG_WARN, "vault_issuer_key_not_forgotten", &err);
    if (rc == PN_OK)
        vault_answer_json(call, 200, issuer_bundle(call, item.body));
    else if (rc == PN_NOT_FOUND)
        answer_no_issuer(call);
    else if (rc == PN_CONFLICT)
        vault_answer_error(call->response, 409, "Conflict", NULL, "%s", err.message);
    else
        vault_answer_failure(call, rc, &err);
    pn_store_item_fini(&item);
}

/* --- contacts --- */

static void contacts_id(const struct vault_call *call, char id[OBJECT_ID_TEXT])
{
    snprintf(id, OBJECT_ID_TEXT, "/vault/%s/contacts", call->vault_name);
}

static void answer_contacts(struct vault_call *call, const json_t *body)
{
    vault_answer_json(call, 200,
                      json_pack("{s:o, s:O}", "id",
                                vault_url(call, "certificates", "contacts", NULL), "contacts",
                                json_object_get(json_object_get(body, "properties"), "contacts")));
}

static void answer_no_contacts(struct vault_call *call)
{
    vault_answer_error(call->response, 404, "ContactsNotFound", NULL,
                       "There are no contacts in this key vault.");
}

void vault_get_contacts(struct vault_call *call)
{
    struct pn_store_item item = {0};
    struct pn_error err = {0};
    char id[OBJECT_ID_TEXT];
    enum pn_rc rc;

    contacts_id(call, id);
    rc = pn_store_get(call->vault->store, id, &item, &err);
    if (rc == PN_OK)
        answer_contacts(call, item.body);
    else if (rc == PN_NOT_FOUND)
        answer_no_contacts(call);
    else
        vault_answer_failure(call, rc, &err);
    pn_store_item_fini(&item);
}

static enum pn_rc read_contacts(const json_t *given, json_t **body, struct pn_error *err)
{
    static const char *const members[] = {"email", "name", "phone"};
    const json_t *contacts = json_object_get(given, "contacts");
    json_t *list, *contact;
    size_t index;

    if (!json_is_array(contacts) || json_array_size(contacts) == 0 ||
        json_array_size(contacts) > CONTACTS_MAX)
        return pn_error_set(err, PN_INVALID, "BadParameter",
                            "Property contacts has invalid value: a list of 1 to %d contacts",
                            CONTACTS_MAX);
    list = json_array();
    json_array_foreach(contacts, index, contact)
    {
        json_t *kept = json_object();
        bool is_fine = pn_json_slice(contact, "email").len > 0;

        for (size_t i = 0; i < 3; i++) {
            json_t *text = json_object_get(contact, members[i]);

            if (!text || json_is_null(text))
                continue;
            is_fine =
                is_fine && json_is_string(text) && json_string_length(text) <= CONTACT_TEXT_MAX;
            json_object_set(kept, members[i], text);
        }
        json_array_append_new(list, kept);
        if (!is_fine) {
            json_decref(list);
            return pn_error_set(
                err, PN_INVALID, "BadParameter",
                "Property contacts[%zu] has invalid value: an email, and a name and "
                "a phone if wanted, of at most %d characters",
                index, CONTACT_TEXT_MAX);
        }
    }
    *body = json_pack("{s:s, s:{s:o}}", "name", "contacts", "properties", "contacts", list);
    return *body ? PN_OK : PN_NOMEM;
}

void vault_set_contacts(struct vault_call *call)
{
    json_t *given = vault_read_body(call), *body = NULL;
    struct pn_store_txn *txn = NULL;
    struct pn_error err = {0};
    char id[OBJECT_ID_TEXT];
    enum pn_rc rc;

    if (!given)
        return;
    contacts_id(call, id);
    rc = read_contacts(given, &body, &err);
    if (rc == PN_OK)
        rc = pn_store_begin(call->vault->store, &txn, &err);
    if (rc == PN_OK) {
        rc = vault_check_there(call, txn, &err);
        if (rc == PN_OK)
            rc = pn_store_put(txn, id, CONTACTS_TYPE, body, NULL, &err);
        if (rc == PN_OK)
            rc = pn_store_commit(txn, NULL, &err);
        else
            pn_store_rollback(txn);
    }
    if (rc == PN_OK)
        answer_contacts(call, body);
    else
        vault_answer_add_failure(call, KIND_CERTIFICATE, rc, &err);
    json_decref(body);
    json_decref(given);
}

void vault_delete_contacts(struct vault_call *call)
{
    struct pn_store_item item = {0};
    struct pn_store_txn *txn = NULL;
    struct pn_error err = {0};
    char id[OBJECT_ID_TEXT];
    enum pn_rc rc = pn_store_begin(call->vault->store, &txn, &err);

    contacts_id(call, id);
    if (rc == PN_OK) {
        rc = pn_store_txn_get(txn, id, &item, &err);
        if (rc == PN_OK)
            rc = pn_store_erase(txn, id, &err);
        if (rc == PN_OK)
            rc = pn_store_commit(txn, NULL, &err);
        else
            pn_store_rollback(txn);
    }
    if (rc == PN_OK)
        answer_contacts(call, item.body);
    else if (rc == PN_NOT_FOUND)
        answer_no_contacts(call);
    else
        vault_answer_failure(call, rc, &err);
    pn_store_item_fini(&item);
}
