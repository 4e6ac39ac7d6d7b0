/* SPDX-License-Identifier: Apache-2.0
 *
 * Distinguished names as text: RFC 4514 §3 with quotes (RFC 2253 §4), and OpenSSL's slashed form.
 */
#include "keyholder/subject.h"

#include <string.h>
#include <strings.h>

#include <openssl/err.h>
#include <openssl/objects.h>

#include "base/encode.h"

#define TYPE_MAX 64

struct reader {
    struct pn_slice rest;
    char separator;  /* ',' or '/' */
    bool joins_last; /* the value before ended with '+' */
    char value[PN_SUBJECT_BYTES_MAX];
    size_t value_len;
};

static enum pn_rc invalid(struct pn_error *err, const char *why)
{
    pn_error_set(err, PN_INVALID, "subject",
                 "the subject is not like \"CN=name, O=organization\": %s", why);
    return pn_error_target(err, "subject");
}

static int type_nid(struct pn_slice type)
{
    static const struct {
        const char *name;
        int nid;
    } others[] = {{"E", NID_pkcs9_emailAddress}, {"S", NID_stateOrProvinceName},
                  {"STREET", NID_streetAddress}, {"SERIALNUMBER", NID_serialNumber},
                  {"G", NID_givenName},          {"T", NID_title}};
    char name[TYPE_MAX];
    size_t len = type.len;

    if (len == 0 || len >= sizeof(name))
        return NID_undef;
    for (size_t i = 0; i < len; i++)
        name[i] = (char)(type.ptr[i] >= 'a' && type.ptr[i] <= 'z' ? type.ptr[i] - 32 : type.ptr[i]);
    name[len] = '\0';
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        if (strcmp(name, others[i].name) == 0)
            return others[i].nid;
    }
    if (OBJ_sn2nid(name) != NID_undef) /* CN, O, OU, C, L, ST, DC, … */
        return OBJ_sn2nid(name);
    memcpy(name, type.ptr, len);
    return OBJ_txt2nid(name); /* commonName, 2.5.4.3, UID */
}

static char next(struct reader *reader)
{
    char c = reader->rest.ptr[0];

    reader->rest = pn_slice_sub(reader->rest, 1, reader->rest.len);
    return c;
}

static bool put(struct reader *reader, char c)
{
    if (reader->value_len == sizeof(reader->value))
        return false;
    reader->value[reader->value_len++] = c;
    return true;
}

/* After a backslash: two hex digits are a byte, anything else is itself. */
static bool read_escape(struct reader *reader)
{
    uint8_t byte;

    if (reader->rest.len == 0)
        return false;
    if (reader->rest.len >= 2 && pn_hex_decode(pn_slice_sub(reader->rest, 0, 2), &byte, 1)) {
        reader->rest = pn_slice_sub(reader->rest, 2, reader->rest.len);
        return put(reader, (char)byte);
    }
    return put(reader, next(reader));
}

/* The value up to the separator, without the spaces around it. */
static bool read_value(struct reader *reader)
{
    bool in_quotes = false;
    size_t keep = 0; /* escaped and quoted characters are no trailing space */

    reader->value_len = 0;
    reader->joins_last = false;
    while (reader->rest.len > 0) {
        char c = next(reader);

        if (c == '\\') {
            if (!read_escape(reader))
                return false;
            keep = reader->value_len;
        } else if (c == '"' && reader->separator == ',') {
            in_quotes = !in_quotes;
            keep = reader->value_len;
        } else if (!in_quotes && (c == reader->separator || c == '+')) {
            reader->joins_last = c == '+';
            break;
        } else if (c != ' ' || in_quotes || reader->value_len > 0) {
            if (!put(reader, c))
                return false;
        }
        if (c != ' ')
            keep = reader->value_len;
    }
    reader->value_len = keep > reader->value_len ? reader->value_len : keep;
    return !in_quotes;
}

static enum pn_rc read_part(struct reader *reader, X509_NAME *name, struct pn_error *err)
{
    size_t equals = pn_slice_find(reader->rest, '=');
    int nid = type_nid(pn_slice_trim(pn_slice_sub(reader->rest, 0, equals)));
    bool joins = reader->joins_last;

    if (equals >= reader->rest.len)
        return invalid(err, "a part has no '='");
    if (nid == NID_undef)
        return invalid(err, "a part's type is not known");
    reader->rest = pn_slice_sub(reader->rest, equals + 1, reader->rest.len);
    if (!read_value(reader))
        return invalid(err, "a value's quotes or escapes do not end");
    if (reader->value_len == 0)
        return invalid(err, "a value is empty");
    if (!X509_NAME_add_entry_by_NID(name, nid, MBSTRING_UTF8, (unsigned char *)reader->value,
                                    (int)reader->value_len, -1, joins ? -1 : 0)) {
        ERR_clear_error();
        return invalid(err, "a value is too long or has characters that its type does not allow");
    }
    return PN_OK;
}

enum pn_rc pn_subject_parse(struct pn_slice text, X509_NAME **name, struct pn_error *err)
{
    struct reader reader = {.rest = pn_slice_trim(text), .separator = ','};
    X509_NAME *made;
    enum pn_rc rc = PN_OK;

    if (reader.rest.len == 0)
        return invalid(err, "it is empty");
    if (reader.rest.len > PN_SUBJECT_BYTES_MAX)
        return invalid(err, "it is too long");
    if (reader.rest.ptr[0] == '/') {
        reader.separator = '/';
        next(&reader);
    }
    made = X509_NAME_new();
    if (!made)
        return pn_error_set(err, PN_NOMEM, "no_memory", "out of memory");
    while (rc == PN_OK && (reader.rest.len > 0 || reader.joins_last))
        rc = read_part(&reader, made, err);
    if (rc != PN_OK)
        X509_NAME_free(made);
    else
        *name = made;
    return rc;
}
