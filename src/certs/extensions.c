/* SPDX-License-Identifier: Apache-2.0
 *
 * Extended key usages and subject alternative names (RFC 5280 §4.2.1.12, §4.2.1.6) as texts.
 */
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/objects.h>
#include <openssl/x509v3.h>

#include "certs/certificate_internal.h"

#define OID_ANY_EKU     "2.5.29.37.0"
#define OID_SERVER_AUTH "1.3.6.1.5.5.7.3.1"
#define OID_CLIENT_AUTH "1.3.6.1.5.5.7.3.2"

static enum pn_rc no_memory(struct pn_error *err)
{
    return pn_error_set(err, PN_NOMEM, "out_of_memory", "out of memory");
}

static bool has_eku(const struct pn_certificate *certificate, const char *oid)
{
    for (size_t i = 0; certificate->ekus && i < certificate->eku_count; i++)
        if (strcmp(certificate->ekus[i], oid) == 0)
            return true;
    return false;
}

static enum pn_rc read_ekus(struct pn_certificate *certificate, struct pn_error *err)
{
    int critical = -1;
    EXTENDED_KEY_USAGE *list =
        X509_get_ext_d2i(certificate->x509, NID_ext_key_usage, &critical, NULL);
    int count = list ? sk_ASN1_OBJECT_num(list) : 0;
    enum pn_rc rc = PN_OK;

    if (!list && critical >= 0)
        return pn_error_from_openssl(err, PN_MALFORMED, "not_a_certificate",
                                     "the extended key usage extension is broken");
    if (critical == -2) /* twice in one certificate */
        return pn_error_set(err, PN_MALFORMED, "not_a_certificate",
                            "the extended key usage extension occurs twice");
    if (count > PN_CERTIFICATE_EKUS_MAX) {
        rc = pn_error_set(err, PN_LIMIT, "too_many_ekus", "more than %d extended key usages",
                          PN_CERTIFICATE_EKUS_MAX);
        goto out;
    }
    if (count > 0) {
        certificate->ekus = calloc((size_t)count, sizeof *certificate->ekus);
        if (!certificate->ekus)
            rc = no_memory(err);
    }
    for (int i = 0; certificate->ekus && i < count && rc == PN_OK; i++) {
        char oid[128];
        int len = OBJ_obj2txt(oid, (int)sizeof oid, sk_ASN1_OBJECT_value(list, i), 1);

        if (len <= 0 || (size_t)len >= sizeof oid)
            continue;
        certificate->ekus[certificate->eku_count] = pn_slice_dup(pn_slice_str(oid));
        if (!certificate->ekus[certificate->eku_count])
            rc = no_memory(err);
        else
            certificate->eku_count++;
    }
    certificate->allows_client_auth =
        !list || has_eku(certificate, OID_CLIENT_AUTH) || has_eku(certificate, OID_ANY_EKU);
    certificate->allows_server_auth =
        !list || has_eku(certificate, OID_SERVER_AUTH) || has_eku(certificate, OID_ANY_EKU);
out:
    sk_ASN1_OBJECT_pop_free(list, ASN1_OBJECT_free);
    return rc;
}

static struct pn_slice string_of(const ASN1_STRING *string)
{
    return pn_slice(ASN1_STRING_get0_data(string), (size_t)ASN1_STRING_length(string));
}

static bool address_text(const ASN1_OCTET_STRING *address, char out[INET6_ADDRSTRLEN])
{
    struct pn_slice bytes = string_of(address);

    if (bytes.len == 4)
        return inet_ntop(AF_INET, bytes.ptr, out, INET6_ADDRSTRLEN) != NULL;
    if (bytes.len == 16)
        return inet_ntop(AF_INET6, bytes.ptr, out, INET6_ADDRSTRLEN) != NULL;
    return false;
}

/* Windows' user principal name is an otherName with a UTF8String inside. */
static bool upn_of(const OTHERNAME *other, struct pn_slice *text)
{
    char oid[64];

    OBJ_obj2txt(oid, (int)sizeof oid, other->type_id, 1);
    if (strcmp(oid, "1.3.6.1.4.1.311.20.2.3") != 0 || !other->value ||
        other->value->type != V_ASN1_UTF8STRING)
        return false;
    *text = string_of(other->value->value.utf8string);
    return true;
}

/* false: a kind of name that is not kept. */
static bool describe(const GENERAL_NAME *name, enum pn_san_type *type, struct pn_slice *text,
                     char address[INET6_ADDRSTRLEN])
{
    switch (name->type) {
    case GEN_DNS:
        *type = PN_SAN_DNS;
        *text = string_of(name->d.dNSName);
        return true;
    case GEN_EMAIL:
        *type = PN_SAN_EMAIL;
        *text = string_of(name->d.rfc822Name);
        return true;
    case GEN_URI:
        *type = PN_SAN_URI;
        *text = string_of(name->d.uniformResourceIdentifier);
        return true;
    case GEN_IPADD:
        *type = PN_SAN_IP;
        if (!address_text(name->d.iPAddress, address))
            return false;
        *text = pn_slice_str(address);
        return true;
    case GEN_OTHERNAME:
        *type = PN_SAN_UPN;
        return upn_of(name->d.otherName, text);
    default:
        return false;
    }
}

static enum pn_rc keep_name(struct pn_certificate *certificate, const GENERAL_NAME *name,
                            struct pn_error *err)
{
    char address[INET6_ADDRSTRLEN];
    enum pn_san_type type;
    struct pn_slice text;
    char *copy;

    if (!certificate->sans || !certificate->san_texts || !describe(name, &type, &text, address))
        return PN_OK;
    if (text.len == 0 || memchr(text.ptr, '\0', text.len)) /* "good.example\0.evil.example" */
        return PN_OK;
    copy = pn_slice_dup(text);
    if (!copy)
        return no_memory(err);
    certificate->san_texts[certificate->san_count] = copy;
    certificate->sans[certificate->san_count].type = type;
    certificate->sans[certificate->san_count].text = copy;
    certificate->san_count++;
    return PN_OK;
}

static enum pn_rc read_sans(struct pn_certificate *certificate, struct pn_error *err)
{
    int critical = -1;
    GENERAL_NAMES *names =
        X509_get_ext_d2i(certificate->x509, NID_subject_alt_name, &critical, NULL);
    int count = names ? sk_GENERAL_NAME_num(names) : 0;
    enum pn_rc rc = PN_OK;

    if (!names && critical != -1)
        return pn_error_from_openssl(err, PN_MALFORMED, "not_a_certificate",
                                     "the subject alternative name extension is broken");
    if (count > PN_CERTIFICATE_NAMES_MAX) {
        rc = pn_error_set(err, PN_LIMIT, "too_many_names", "more than %d alternative names",
                          PN_CERTIFICATE_NAMES_MAX);
        goto out;
    }
    if (count > 0) {
        certificate->sans = calloc((size_t)count, sizeof *certificate->sans);
        certificate->san_texts = calloc((size_t)count, sizeof *certificate->san_texts);
        if (!certificate->sans || !certificate->san_texts) {
            rc = no_memory(err);
            goto out;
        }
    }
    for (int i = 0; certificate->sans && i < count && rc == PN_OK; i++)
        rc = keep_name(certificate, sk_GENERAL_NAME_value(names, i), err);
out:
    GENERAL_NAMES_free(names);
    return rc;
}

enum pn_rc pn_certificate_read_names(struct pn_certificate *certificate, struct pn_error *err)
{
    enum pn_rc rc = read_ekus(certificate, err);

    if (rc == PN_OK)
        rc = read_sans(certificate, err);
    ERR_clear_error();
    return rc;
}
