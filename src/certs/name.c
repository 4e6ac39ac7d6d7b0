/* SPDX-License-Identifier: Apache-2.0
 *
 * Distinguished names as .NET's X509Certificate2.Subject prints them, which is what API Management
 * returns: the RDN that was encoded last comes first, ", " between RDNs, " + " inside one,
 * short names of Windows ("S" for a state, "E" for e-mail), quotes only where needed.
 */
#include <stdlib.h>
#include <string.h>

#include <openssl/asn1.h>
#include <openssl/err.h>
#include <openssl/objects.h>

#include "certs/certificate_internal.h"

#define PN_NAME_TEXT_MAX (16u * 1024)

static const struct {
    const char *oid;
    const char *label;
} labels[] = {
    {"2.5.4.3", "CN"},
    {"2.5.4.4", "SN"},
    {"2.5.4.5", "SERIALNUMBER"},
    {"2.5.4.6", "C"},
    {"2.5.4.7", "L"},
    {"2.5.4.8", "S"},
    {"2.5.4.9", "STREET"},
    {"2.5.4.10", "O"},
    {"2.5.4.11", "OU"},
    {"2.5.4.12", "T"},
    {"2.5.4.13", "Description"},
    {"2.5.4.17", "PostalCode"},
    {"2.5.4.18", "POBox"},
    {"2.5.4.20", "Phone"},
    {"2.5.4.42", "G"},
    {"2.5.4.43", "I"},
    {"2.5.4.46", "dnQualifier"},
    {"1.2.840.113549.1.9.1", "E"},
    {"0.9.2342.19200300.100.1.25", "DC"},
};

static enum pn_rc append_label(const ASN1_OBJECT *object, struct pn_buf *out)
{
    char oid[128];
    int len = OBJ_obj2txt(oid, (int)sizeof oid, object, 1);

    if (len <= 0 || (size_t)len >= sizeof oid)
        return PN_MALFORMED;
    for (size_t i = 0; i < sizeof labels / sizeof *labels; i++)
        if (strcmp(labels[i].oid, oid) == 0)
            return pn_buf_printf(out, "%s=", labels[i].label);
    return pn_buf_printf(out, "OID.%s=", oid);
}

static bool is_quotable_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static bool needs_quotes(struct pn_slice value)
{
    if (value.len == 0)
        return true;
    if (is_quotable_space(value.ptr[0]) || is_quotable_space(value.ptr[value.len - 1]))
        return true;
    for (size_t i = 0; i < value.len; i++)
        if (value.ptr[i] != '\0' && strchr(",+=\"\n<>#;", value.ptr[i]))
            return true;
    return false;
}

static enum pn_rc append_quoted(struct pn_slice value, struct pn_buf *out)
{
    enum pn_rc rc = pn_buf_append_byte(out, '"');

    for (size_t i = 0; rc == PN_OK && i < value.len; i++) {
        if (value.ptr[i] == '"')
            rc = pn_buf_append_byte(out, '"');
        if (rc == PN_OK)
            rc = pn_buf_append_byte(out, value.ptr[i]);
    }
    return rc == PN_OK ? pn_buf_append_byte(out, '"') : rc;
}

/* A value that is no string is shown as its bytes, "#" and hex (RFC 4514 §2.4). */
static enum pn_rc append_hex(const ASN1_STRING *string, struct pn_buf *out)
{
    const unsigned char *bytes = ASN1_STRING_get0_data(string);
    int len = ASN1_STRING_length(string);
    enum pn_rc rc = pn_buf_append_byte(out, '#');

    for (int i = 0; rc == PN_OK && i < len; i++)
        rc = pn_buf_printf(out, "%02X", bytes[i]);
    return rc;
}

static enum pn_rc append_value(const ASN1_STRING *string, struct pn_buf *out)
{
    unsigned char *utf8 = NULL;
    int len = ASN1_STRING_to_UTF8(&utf8, string);
    enum pn_rc rc;

    if (len < 0) {
        ERR_clear_error();
        return append_hex(string, out);
    }
    /* A NUL inside a name is an old trick to look like another one (CVE-2009-2408): show the bytes.
     */
    if (memchr(utf8, '\0', (size_t)len))
        rc = append_hex(string, out);
    else if (needs_quotes(pn_slice(utf8, (size_t)len)))
        rc = append_quoted(pn_slice(utf8, (size_t)len), out);
    else
        rc = pn_buf_append(out, utf8, (size_t)len);
    OPENSSL_free(utf8);
    return rc;
}

/* Entries [first, end) form one RDN; they keep their order. */
static enum pn_rc append_rdn(const X509_NAME *name, int first, int end, struct pn_buf *out)
{
    enum pn_rc rc = out->len > 0 ? pn_buf_append_str(out, ", ") : PN_OK;

    for (int i = first; rc == PN_OK && i < end; i++) {
        const X509_NAME_ENTRY *entry = X509_NAME_get_entry(name, i);

        if (i > first)
            rc = pn_buf_append_str(out, " + ");
        if (rc == PN_OK)
            rc = append_label(X509_NAME_ENTRY_get_object(entry), out);
        if (rc == PN_OK)
            rc = append_value(X509_NAME_ENTRY_get_data(entry), out);
    }
    return rc;
}

enum pn_rc pn_name_format(const X509_NAME *name, char **text)
{
    struct pn_buf out;
    int end = X509_NAME_entry_count(name);
    enum pn_rc rc = PN_OK;

    pn_buf_init(&out, PN_NAME_TEXT_MAX);
    while (rc == PN_OK && end > 0) {
        int set = X509_NAME_ENTRY_set(X509_NAME_get_entry(name, end - 1));
        int first = end - 1;

        while (first > 0 && X509_NAME_ENTRY_set(X509_NAME_get_entry(name, first - 1)) == set)
            first--;
        rc = append_rdn(name, first, end, &out);
        end = first;
    }
    if (rc == PN_OK) {
        *text = pn_slice_dup(pn_buf_slice(&out));
        if (!*text)
            rc = PN_NOMEM;
    }
    pn_buf_fini(&out);
    return rc;
}
