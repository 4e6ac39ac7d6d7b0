/* SPDX-License-Identifier: Apache-2.0
 *
 * Certificate policies: complete what clients leave out, describe an imported certificate, and turn
 * a policy into the keyholder's order for a certificate or a request for one.
 */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "certs/certificate.h"
#include "vault/vault_certificate.h"

#define VALIDITY_MONTHS_MAX 1200
#define LIST_MAX            64

static const struct {
    unsigned bit;
    const char *name;
} usage_names[] = {
    {PN_USAGE_DIGITAL_SIGNATURE, "digitalSignature"},
    {PN_USAGE_NON_REPUDIATION, "nonRepudiation"},
    {PN_USAGE_KEY_ENCIPHERMENT, "keyEncipherment"},
    {PN_USAGE_DATA_ENCIPHERMENT, "dataEncipherment"},
    {PN_USAGE_KEY_AGREEMENT, "keyAgreement"},
    {PN_USAGE_KEY_CERT_SIGN, "keyCertSign"},
    {PN_USAGE_CRL_SIGN, "cRLSign"},
    {PN_USAGE_ENCIPHER_ONLY, "encipherOnly"},
    {PN_USAGE_DECIPHER_ONLY, "decipherOnly"},
};
#define USAGES (sizeof usage_names / sizeof usage_names[0])

static void add_text(json_t *object, const char *member, const char *text)
{
    json_t *list = json_object_get(object, member);

    if (!list) {
        json_object_set_new(object, member, json_array());
        list = json_object_get(object, member);
    }
    json_array_append_new(list, json_string(text));
}

static json_t *describe_names(const struct pn_certificate *certificate)
{
    static const char *const members[] = {
        [PN_SAN_DNS] = "dns_names",  [PN_SAN_EMAIL] = "emails", [PN_SAN_URI] = "uris",
        [PN_SAN_IP] = "ipAddresses", [PN_SAN_UPN] = "upns",
    };
    json_t *sans = json_object();

    for (size_t i = 0; i < pn_certificate_san_count(certificate); i++) {
        const struct pn_san *san = pn_certificate_san(certificate, i);

        add_text(sans, members[san->type], san->text);
    }
    return sans;
}

static json_t *describe_x509(const struct pn_certificate *certificate)
{
    int64_t seconds =
        pn_certificate_not_after(certificate) - pn_certificate_not_before(certificate);
    unsigned usage = pn_certificate_key_usage(certificate);
    json_t *props = json_pack("{s:s, s:o, s:[], s:[], s:I, s:{s:b}}", "subject",
                              pn_certificate_subject(certificate), "sans",
                              describe_names(certificate), "ekus", "key_usage", "validity_months",
                              (json_int_t)((seconds + 15 * 86400) / (30 * 86400 + 36720)),
                              "basic_constraints", "ca", pn_certificate_is_ca(certificate));

    for (size_t i = 0; i < pn_certificate_eku_count(certificate); i++)
        add_text(props, "ekus", pn_certificate_eku(certificate, i));
    for (size_t i = 0; i < USAGES; i++) {
        if (usage & usage_names[i].bit)
            add_text(props, "key_usage", usage_names[i].name);
    }
    return props;
}

json_t *vault_policy_of(const struct vault_call *call, const struct pn_certificate *certificate,
                        const char *content_type)
{
    json_int_t now_s = (json_int_t)call->vault->now_s();
    bool is_ec = pn_certificate_key_type(certificate) == PN_KEY_EC;
    json_t *policy = json_pack(
        "{s:{s:b, s:s, s:i, s:b}, s:{s:s}, s:o, s:[{s:{s:i}, s:{s:s}}], s:{s:s}, "
        "s:{s:b, s:I, s:I}}",
        "key_props", "exportable", 1, "kty", is_ec ? "EC" : "RSA", "key_size",
        pn_certificate_key_bits(certificate), "reuse_key", 0, "secret_props", "contentType",
        content_type, "x509_props", describe_x509(certificate), "lifetime_actions", "trigger",
        "lifetime_percentage", 80, "action", "action_type", "EmailContacts", "issuer", "name",
        "Unknown", "attributes", "enabled", 1, "created", now_s, "updated", now_s);

    if (policy && is_ec && pn_certificate_curve(certificate)[0])
        json_object_set_new(json_object_get(policy, "key_props"), "crv",
                            json_string(pn_certificate_curve(certificate)));
    return policy;
}

static bool is_empty(const json_t *value)
{
    return !value || json_is_null(value) || (json_is_object(value) && json_object_size(value) == 0);
}

enum pn_rc vault_policy_merge(json_t *policy, const json_t *given, struct pn_error *err)
{
    const char *member;
    json_t *value;

    json_object_foreach((json_t *)(uintptr_t)given, member, value)
    {
        json_t *own = json_object_get(policy, member);

        if (is_empty(value) || strcmp(member, "id") == 0)
            continue;
        if (json_is_object(own) && json_is_object(value)) {
            enum pn_rc rc = vault_policy_merge(own, value, err);

            if (rc != PN_OK)
                return rc;
        } else if (json_is_object(own) || (json_is_boolean(own) && !json_is_boolean(value))) {
            return pn_error_set(err, PN_INVALID, "BadParameter",
                                "Property policy.%.64s has invalid value: %s is expected", member,
                                json_is_object(own) ? "an object" : "true or false");
        } else if (json_object_set_new(policy, member, json_deep_copy(value)) != 0) {
            return PN_NOMEM;
        }
    }
    return PN_OK;
}

static enum pn_rc check_key(json_t *key, struct pn_error *err)
{
    const char *kty = pn_json_str(key, "kty");
    const char *curve = pn_json_str(key, "crv");
    int64_t size = pn_json_int(key, "key_size", 0);

    if (kty && strcmp(kty, "EC") == 0) {
        if (!curve)
            curve = size == 384 ? "P-384" : size == 521 ? "P-521" : "P-256";
        if (strcmp(curve, "P-256") != 0 && strcmp(curve, "P-384") != 0 &&
            strcmp(curve, "P-521") != 0)
            return pn_error_set(err, PN_INVALID, "BadParameter",
                                "Property policy.key_props.crv has invalid value: P-256, P-384 or "
                                "P-521");
        size = curve[2] == '2' ? 256 : curve[2] == '3' ? 384 : 521;
        if (!json_object_get(key, "crv"))
            json_object_set_new(key, "crv", json_string(curve));
        json_object_set_new(key, "key_size", json_integer((json_int_t)size));
        return PN_OK;
    }
    if (!kty || strcmp(kty, "RSA") != 0)
        return pn_error_set(err, PN_INVALID, "BadParameter",
                            "Property policy.key_props.kty has invalid value: this vault makes RSA "
                            "and EC keys (no HSM)");
    if (size == 0)
        json_object_set_new(key, "key_size", json_integer(2048));
    else if (size != 2048 && size != 3072 && size != 4096)
        return pn_error_set(err, PN_INVALID, "BadParameter",
                            "Property policy.key_props.key_size has invalid value: 2048, 3072 or "
                            "4096");
    return PN_OK;
}

/* A trigger that the new certificate meets at once would renew without end. */
static bool check_actions(const json_t *actions, int64_t months)
{
    json_t *entry;
    size_t index;

    if (actions && !json_is_null(actions) && !json_is_array(actions))
        return false;
    json_array_foreach(actions, index, entry)
    {
        const json_t *trigger = json_object_get(entry, "trigger");
        struct pn_slice type = pn_json_slice(json_object_get(entry, "action"), "action_type");
        int64_t percentage = pn_json_int(trigger, "lifetime_percentage", 0);
        int64_t days = pn_json_int(trigger, "days_before_expiry", 0);

        if ((!pn_slice_eq_str(type, "AutoRenew") && !pn_slice_eq_str(type, "EmailContacts")) ||
            (percentage != 0) == (days != 0) || percentage < 0 || percentage > 99 || days < 0 ||
            days > 27 * months)
            return false;
    }
    return true;
}

/* Whether it begins as a distinguished name does, "CN=" (RFC 4514 section 3): the keyholder reads
 * the rest, but only when the next version is made. */
static bool is_name(struct pn_slice subject)
{
    size_t end = pn_slice_find(subject, '=');

    subject = pn_slice_trim(pn_slice_sub(subject, 0, end < subject.len ? end : 0));
    for (size_t i = 0; i < subject.len; i++) {
        char c = subject.ptr[i];

        if (!((c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
              c == '.' || c == '-'))
            return false;
    }
    return subject.len > 0;
}

static enum pn_rc check_policy(json_t *policy, struct pn_error *err)
{
    const json_t *x509 = json_object_get(policy, "x509_props");
    const char *content = pn_json_str(json_object_get(policy, "secret_props"), "contentType");
    const char *issuer = pn_json_str(json_object_get(policy, "issuer"), "name");
    int64_t months = pn_json_int(x509, "validity_months", 0);
    struct pn_slice subject = pn_json_slice(x509, "subject");

    if (!content || (strcmp(content, CONTENT_PKCS12) != 0 && strcmp(content, CONTENT_PEM) != 0))
        return pn_error_set(
            err, PN_INVALID, "BadParameter",
            "Property policy.secret_props.contentType has invalid value: " CONTENT_PKCS12
            " or " CONTENT_PEM);
    if (!issuer || !issuer[0])
        return pn_error_set(err, PN_INVALID, "BadParameter",
                            "Property policy.issuer.name has invalid value: Self, Unknown or the "
                            "name of an issuer of this vault");
    if (subject.len == 0 && is_empty(json_object_get(x509, "sans")))
        return pn_error_set(
            err, PN_INVALID, "BadParameter",
            "Property policy.x509_props needs a subject or subject alternative names");
    if (subject.len > 0 && !is_name(subject))
        return pn_error_set(err, PN_INVALID, "BadParameter",
                            "Property policy.x509_props.subject has invalid value: a "
                            "distinguished name such as CN=orders.example.com");
    if (months < 1 || months > VALIDITY_MONTHS_MAX)
        return pn_error_set(err, PN_INVALID, "BadParameter",
                            "Property policy.x509_props.validity_months has invalid value: 1 to %d",
                            VALIDITY_MONTHS_MAX);
    if (json_array_size(json_object_get(json_object_get(x509, "sans"), "upns")) > 0)
        return pn_error_set(err, PN_UNSUPPORTED, "BadParameter",
                            "Property policy.x509_props.sans.upns is not offered by this vault");
    if (!check_actions(json_object_get(policy, "lifetime_actions"), months))
        return pn_error_set(err, PN_INVALID, "BadParameter",
                            "Property policy.lifetime_actions has invalid value: actions "
                            "AutoRenew or EmailContacts, at a lifetime_percentage of 1 to 99 or "
                            "days_before_expiry of 1 to %lld (27 for each month of validity)",
                            (long long)(27 * months));
    return check_key(json_object_get(policy, "key_props"), err);
}

enum pn_rc vault_policy_change(json_t *policy, const json_t *given, struct pn_error *err)
{
    enum pn_rc rc = vault_policy_merge(policy, given, err);

    return rc == PN_OK ? check_policy(policy, err) : rc;
}

enum pn_rc vault_policy_complete(const struct vault_call *call, const json_t *given,
                                 json_t **policy, struct pn_error *err)
{
    json_int_t now_s = (json_int_t)call->vault->now_s();
    const char *kty = pn_json_str(json_object_get(given, "key_props"), "kty");
    bool is_ec = kty && strcmp(kty, "EC") == 0;
    json_t *made = json_pack(
        "{s:{s:b, s:s, s:b}, s:{s:s}, s:{s:s, s:{}, s:[s,s], s:[s], s:i, s:{s:b}}, "
        "s:[{s:{s:i}, s:{s:s}}], s:{s:s}, s:{s:b, s:I, s:I}}",
        "key_props", "exportable", 1, "kty", "RSA", "reuse_key", 0, "secret_props", "contentType",
        CONTENT_PKCS12, "x509_props", "subject", "", "sans", "ekus", "1.3.6.1.5.5.7.3.1",
        "1.3.6.1.5.5.7.3.2", "key_usage", "digitalSignature", "validity_months", 12,
        "basic_constraints", "ca", 0, "lifetime_actions", "trigger", "lifetime_percentage", 80,
        "action", "action_type", "AutoRenew", "issuer", "name", "Self", "attributes", "enabled", 1,
        "created", now_s, "updated", now_s);
    enum pn_rc rc;

    if (!made)
        return PN_NOMEM;
    if (!is_ec)
        add_text(json_object_get(made, "x509_props"), "key_usage", "keyEncipherment");
    /* Our own CA is there for clients. */
    if (vault_source_of(given) == SOURCE_AUTHORITY)
        json_object_set_new(json_object_get(made, "x509_props"), "ekus",
                            json_pack("[s]", "1.3.6.1.5.5.7.3.2"));
    rc = json_is_object(given)
             ? vault_policy_merge(made, given, err)
             : pn_error_set(err, PN_INVALID, "BadParameter", "Property policy must be an object");
    if (rc == PN_OK)
        rc = check_policy(made, err);
    if (rc == PN_OK)
        *policy = made;
    else
        json_decref(made);
    return rc;
}

/* The texts of a list, NULL-ended; false: not a list of texts, or too long. */
static bool texts(const json_t *list, const char *out[LIST_MAX + 1])
{
    json_t *entry;
    size_t index;

    out[0] = NULL;
    if (is_empty(list))
        return true;
    if (!json_is_array(list) || json_array_size(list) > LIST_MAX)
        return false;
    json_array_foreach(list, index, entry)
    {
        if (!json_is_string(entry))
            return false;
        out[index] = json_string_value(entry);
    }
    out[json_array_size(list)] = NULL;
    return true;
}

static int64_t months_later(int64_t from_s, int64_t months)
{
    time_t from = (time_t)from_s;
    struct tm date;

    gmtime_r(&from, &date);
    date.tm_mon += (int)months; /* timegm normalises */
    return (int64_t)timegm(&date);
}

/* Lists of texts that a specification borrows. */
struct names {
    const char *dns[LIST_MAX + 1], *emails[LIST_MAX + 1], *uris[LIST_MAX + 1], *ips[LIST_MAX + 1];
    const char *ekus[LIST_MAX + 1], *usages[LIST_MAX + 1];
};

static enum pn_rc make_spec(struct vault_call *call, const json_t *policy, struct names *names,
                            struct pn_issue_spec *spec, struct pn_error *err)
{
    const json_t *x509 = json_object_get(policy, "x509_props");
    const json_t *sans = json_object_get(x509, "sans");
    const json_t *key = json_object_get(policy, "key_props");
    int64_t now_s = call->vault->now_s();

    *spec = (struct pn_issue_spec){
        .key_type = pn_json_str(key, "kty"),
        .key_bits = (unsigned)pn_json_int(key, "key_size", 2048),
        .subject = pn_json_str(x509, "subject"),
        .dns_names = names->dns,
        .ip_addresses = names->ips,
        .emails = names->emails,
        .uris = names->uris,
        .ekus = names->ekus,
        .key_usages = names->usages,
        .is_private = !pn_json_bool(key, "exportable", true),
        .is_ca = pn_json_bool(json_object_get(x509, "basic_constraints"), "ca", false),
        .not_before = now_s - 600, /* clocks differ */
        .not_after = months_later(now_s, pn_json_int(x509, "validity_months", 12)),
    };
    if (!texts(json_object_get(sans, "dns_names"), names->dns) ||
        !texts(json_object_get(sans, "emails"), names->emails) ||
        !texts(json_object_get(sans, "uris"), names->uris) ||
        !texts(json_object_get(sans, "ipAddresses"), names->ips) ||
        !texts(json_object_get(x509, "ekus"), names->ekus) ||
        !texts(json_object_get(x509, "key_usage"), names->usages))
        return pn_error_set(
            err, PN_INVALID, "BadParameter",
            "Property policy.x509_props has a list that is not one of at most %d texts", LIST_MAX);
    return PN_OK;
}

enum pn_rc vault_policy_issue(struct vault_call *call, const json_t *policy,
                              struct pn_slice context, const struct pn_vault_key *reuse,
                              struct pn_imported *made, struct pn_error *err)
{
    const char *issuer = pn_json_str(json_object_get(policy, "issuer"), "name");
    struct pn_issue_spec spec;
    struct pn_key_id key;
    struct names names;
    struct pn_buf authority;
    enum pn_rc rc = make_spec(call, policy, &names, &spec, err);

    pn_buf_init(&authority, PN_IMPORT_BYTES_MAX);
    if (rc == PN_OK && vault_source_of(policy) == SOURCE_AUTHORITY) {
        rc = vault_issuer_authority(call, issuer, &key, &authority, err);
        spec.issuer_key = &key;
        spec.issuer_certificate = pn_buf_slice(&authority);
    }
    if (rc == PN_OK)
        rc = pn_keyholder_issue_sealed(call->vault->keyholder, context, &spec, reuse, made, err);
    pn_buf_fini(&authority);
    return rc;
}

enum pn_rc vault_policy_request(struct vault_call *call, const json_t *policy,
                                struct pn_slice context, const struct pn_vault_key *reuse,
                                struct pn_buf *request, struct pn_buf *sealed, struct pn_error *err)
{
    struct pn_issue_spec spec;
    struct names names;
    enum pn_rc rc = make_spec(call, policy, &names, &spec, err);

    if (rc == PN_OK)
        rc = pn_keyholder_vault_request(call->vault->keyholder, context, &spec, reuse, request,
                                        sealed, err);
    return rc;
}
