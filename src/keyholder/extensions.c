/* SPDX-License-Identifier: Apache-2.0
 *
 * The extensions of a new certificate, each built as a structure: no text of a caller is parsed as
 * configuration.
 */
#include <arpa/inet.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/objects.h>
#include <openssl/x509v3.h>

#include "keyholder/issue.h"

static enum pn_rc failed(struct pn_error *err)
{
    return pn_error_from_openssl(err, PN_INTERNAL, "issue", "cannot make the certificate");
}

static enum pn_rc add(X509 *certificate, int nid, void *value, int is_critical,
                      struct pn_error *err)
{
    if (!value || X509_add1_ext_i2d(certificate, nid, value, is_critical, X509V3_ADD_DEFAULT) != 1)
        return failed(err);
    return PN_OK;
}

static bool is_printable_ascii(const char *text)
{
    size_t len = strlen(text);

    for (size_t i = 0; i < len; i++) {
        if (text[i] <= ' ' || text[i] > '~')
            return false;
    }
    return len > 0 && len <= 255;
}

static enum pn_rc push_name(GENERAL_NAMES *names, int type, const void *bytes, size_t len,
                            struct pn_error *err)
{
    GENERAL_NAME *name = GENERAL_NAME_new();
    ASN1_STRING *value =
        ASN1_STRING_type_new(type == GEN_IPADD ? V_ASN1_OCTET_STRING : V_ASN1_IA5STRING);

    if (!name || !value || !ASN1_STRING_set(value, bytes, (int)len)) {
        GENERAL_NAME_free(name);
        ASN1_STRING_free(value);
        return failed(err);
    }
    GENERAL_NAME_set0_value(name, type, value);
    if (!sk_GENERAL_NAME_push(names, name)) {
        GENERAL_NAME_free(name);
        return failed(err);
    }
    return PN_OK;
}

static enum pn_rc push_texts(GENERAL_NAMES *names, int type, const char *const *texts,
                             const char *member, struct pn_error *err)
{
    enum pn_rc rc = PN_OK;

    for (; texts && *texts && rc == PN_OK; texts++) {
        if (!is_printable_ascii(*texts))
            return pn_issue_invalid(err, member, "a name is empty, too long or not ASCII");
        rc = push_name(names, type, *texts, strlen(*texts), err);
    }
    return rc;
}

static enum pn_rc push_addresses(GENERAL_NAMES *names, const char *const *texts,
                                 struct pn_error *err)
{
    enum pn_rc rc = PN_OK;

    for (; texts && *texts && rc == PN_OK; texts++) {
        unsigned char bytes[16];

        if (inet_pton(AF_INET, *texts, bytes) == 1)
            rc = push_name(names, GEN_IPADD, bytes, 4, err);
        else if (inet_pton(AF_INET6, *texts, bytes) == 1)
            rc = push_name(names, GEN_IPADD, bytes, 16, err);
        else
            rc = pn_issue_invalid(err, "ip_addresses", "not an IPv4 or IPv6 address");
    }
    return rc;
}

static enum pn_rc add_names(const struct pn_issue_spec *spec, X509 *certificate,
                            struct pn_error *err)
{
    GENERAL_NAMES *names = sk_GENERAL_NAME_new_null();
    enum pn_rc rc = names ? PN_OK : failed(err);

    if (rc == PN_OK)
        rc = push_texts(names, GEN_DNS, spec->dns_names, "dns_names", err);
    if (rc == PN_OK)
        rc = push_addresses(names, spec->ip_addresses, err);
    if (rc == PN_OK)
        rc = push_texts(names, GEN_EMAIL, spec->emails, "emails", err);
    if (rc == PN_OK)
        rc = push_texts(names, GEN_URI, spec->uris, "uris", err);
    if (rc == PN_OK && sk_GENERAL_NAME_num(names) > 0)
        rc = add(certificate, NID_subject_alt_name, names, 0, err);
    GENERAL_NAMES_free(names);
    return rc;
}

static enum pn_rc add_ekus(const struct pn_issue_spec *spec, X509 *certificate,
                           struct pn_error *err)
{
    EXTENDED_KEY_USAGE *usages = sk_ASN1_OBJECT_new_null();
    enum pn_rc rc = usages ? PN_OK : failed(err);

    for (size_t i = 0; spec->ekus && spec->ekus[i] && rc == PN_OK; i++) {
        ASN1_OBJECT *oid = OBJ_txt2obj(spec->ekus[i], 1);

        if (!oid) {
            ERR_clear_error();
            rc = pn_issue_invalid(err, "ekus", "not an object identifier like 1.3.6.1.5.5.7.3.2");
        } else if (!sk_ASN1_OBJECT_push(usages, oid)) {
            ASN1_OBJECT_free(oid);
            rc = failed(err);
        }
    }
    if (rc == PN_OK && sk_ASN1_OBJECT_num(usages) > 0)
        rc = add(certificate, NID_ext_key_usage, usages, 0, err);
    sk_ASN1_OBJECT_pop_free(usages, ASN1_OBJECT_free);
    return rc;
}

/* RFC 5280 §4.2.1.3: the names are the bits. */
static int usage_bit(const char *name)
{
    static const char *const names[] = {"digitalSignature", "nonRepudiation", "keyEncipherment",
                                        "dataEncipherment", "keyAgreement",   "keyCertSign",
                                        "cRLSign",          "encipherOnly",   "decipherOnly"};

    for (int i = 0; i < 9; i++) {
        if (strcmp(name, names[i]) == 0)
            return i;
    }
    return strcmp(name, "contentCommitment") == 0 ? 1 : -1;
}

static enum pn_rc add_usages(const struct pn_issue_spec *spec, X509 *certificate,
                             struct pn_error *err)
{
    static const char *const ca_usages[] = {"keyCertSign", "cRLSign", NULL};
    const char *const *names = spec->key_usages;
    ASN1_BIT_STRING *bits;
    enum pn_rc rc = PN_OK;

    if (!names || !*names)
        names = spec->is_ca ? ca_usages : NULL;
    if (!names)
        return PN_OK;
    bits = ASN1_BIT_STRING_new();
    if (!bits)
        return failed(err);
    for (; *names && rc == PN_OK; names++) {
        int bit = usage_bit(*names);

        if (bit < 0)
            rc = pn_issue_invalid(err, "key_usages", "not a key usage like digitalSignature");
        else if (ASN1_BIT_STRING_set_bit(bits, bit, 1) != 1)
            rc = failed(err);
    }
    if (rc == PN_OK)
        rc = add(certificate, NID_key_usage, bits, 1, err);
    ASN1_BIT_STRING_free(bits);
    return rc;
}

static enum pn_rc add_constraints(bool is_ca, X509 *certificate, struct pn_error *err)
{
    BASIC_CONSTRAINTS *constraints = BASIC_CONSTRAINTS_new();
    enum pn_rc rc;

    if (!constraints)
        return failed(err);
    constraints->ca = is_ca ? 0xff : 0;
    rc = add(certificate, NID_basic_constraints, constraints, 1, err);
    BASIC_CONSTRAINTS_free(constraints);
    return rc;
}

/* RFC 5280 §4.2.1.2, method 1; the issuer's is taken as it stands in its certificate. */
static enum pn_rc add_key_ids(X509 *certificate, X509 *issuer, struct pn_error *err)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned digest_len = 0;
    ASN1_OCTET_STRING *subject_id = ASN1_OCTET_STRING_new();
    AUTHORITY_KEYID *authority = AUTHORITY_KEYID_new();
    const ASN1_OCTET_STRING *issuer_id;
    enum pn_rc rc = PN_INTERNAL;

    if (!subject_id || !authority ||
        X509_pubkey_digest(certificate, EVP_sha1(), digest, &digest_len) != 1 ||
        ASN1_OCTET_STRING_set(subject_id, digest, (int)digest_len) != 1) {
        rc = failed(err);
        goto out;
    }
    rc = add(certificate, NID_subject_key_identifier, subject_id, 0, err);
    if (rc != PN_OK)
        goto out;
    issuer_id = X509_get0_subject_key_id(issuer);
    if (issuer != certificate && issuer_id)
        authority->keyid = ASN1_OCTET_STRING_dup(issuer_id);
    else if (X509_pubkey_digest(issuer, EVP_sha1(), digest, &digest_len) == 1)
        authority->keyid = ASN1_OCTET_STRING_new();
    if (!authority->keyid) {
        rc = failed(err);
    } else if (authority->keyid->length == 0 &&
               ASN1_OCTET_STRING_set(authority->keyid, digest, (int)digest_len) != 1) {
        rc = failed(err);
    } else {
        rc = add(certificate, NID_authority_key_identifier, authority, 0, err);
    }
out:
    ASN1_OCTET_STRING_free(subject_id);
    AUTHORITY_KEYID_free(authority);
    return rc;
}

enum pn_rc pn_issue_extensions(const struct pn_issue_spec *spec, X509 *certificate, X509 *issuer,
                               struct pn_error *err)
{
    enum pn_rc rc = add_constraints(spec->is_ca, certificate, err);

    if (rc == PN_OK)
        rc = add_usages(spec, certificate, err);
    if (rc == PN_OK)
        rc = add_ekus(spec, certificate, err);
    if (rc == PN_OK)
        rc = add_names(spec, certificate, err);
    if (rc == PN_OK)
        rc = add_key_ids(certificate, issuer, err);
    return rc;
}
