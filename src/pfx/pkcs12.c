/* SPDX-License-Identifier: Apache-2.0
 *
 * PKCS#12 (RFC 7292), DER or BER. The integrity check comes first, by itself: it tells a wrong
 * password from a file that is broken or uses what we cannot. Then every bag is looked at, so that
 * several keys, names and certificates in any order are seen as they are. OpenSSL decodes and
 * decrypts; which parts, with which form of the password and at which price is decided here.
 */
#include <limits.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/objects.h>
#include <openssl/pkcs12.h>

#include "certs/private_key.h"
#include "pfx/pfx_internal.h"

struct reader {
    struct pn_parts *parts;
    const struct pn_passwords *passwords;
    size_t form; /* the form of the password that worked last */
    bool has_mac;
    size_t bags;
    struct pn_error *err;
};

static enum pn_rc not_pfx(struct reader *reader, const char *what)
{
    return pn_error_from_openssl(reader->err, PN_MALFORMED, "not_pfx", "%s", what);
}

/* --- integrity --- */

/* The octets that the MAC is over: OpenSSL has no way to give them. */
static PKCS7 *read_content(struct pn_slice file)
{
    const unsigned char *at = (const unsigned char *)file.ptr;
    const unsigned char *end = at + file.len;
    ASN1_INTEGER *version = NULL;
    PKCS7 *content = NULL;
    long len = 0;
    int tag = 0, class = 0;

    if (ASN1_get_object(&at, &len, &tag, &class, (long)file.len) & 0x80)
        return NULL;
    version = d2i_ASN1_INTEGER(NULL, &at, end - at);
    if (version)
        content = d2i_PKCS7(NULL, &at, end - at);
    ASN1_INTEGER_free(version);
    if (content && (!PKCS7_type_is_data(content) || !content->d.data)) {
        PKCS7_free(content);
        content = NULL;
    }
    return content;
}

static enum pn_rc check_pbmac1(struct reader *reader, struct pn_slice file, const X509_ALGOR *how,
                               const ASN1_OCTET_STRING *mac)
{
    PKCS7 *content = read_content(file);
    enum pn_rc rc = PN_DENIED;
    struct pn_slice bytes;

    if (!content)
        return not_pfx(reader, "the PFX file's content cannot be read: it is broken");
    bytes = pn_slice((const char *)content->d.data->data, (size_t)content->d.data->length);
    for (size_t i = 0; rc == PN_DENIED && i < reader->passwords->count; i++) {
        reader->form = i;
        rc = pn_pbmac1_check(reader->parts, how, mac, bytes, &reader->passwords->forms[i],
                             reader->err);
    }
    PKCS7_free(content);
    return rc == PN_DENIED ? pn_pfx_wrong_password(reader->err, reader->passwords) : rc;
}

static enum pn_rc check_classic_mac(struct reader *reader, PKCS12 *p12, const ASN1_OBJECT *digest,
                                    uint64_t rounds)
{
    struct pn_opened *out = reader->parts->out;

    snprintf(out->facts.integrity, sizeof(out->facts.integrity), "HMAC-%s, %llu rounds",
             OBJ_nid2sn(OBJ_obj2nid(digest)), (unsigned long long)rounds);
    if (OBJ_obj2nid(digest) == NID_md5 || OBJ_obj2nid(digest) == NID_md2)
        pn_file_facts_note(&out->facts, "weak_integrity",
                           "the file's integrity rests on %s; export it anew",
                           OBJ_nid2sn(OBJ_obj2nid(digest)));
    for (size_t i = 0; i < reader->passwords->count; i++) {
        const struct pn_password *form = &reader->passwords->forms[i];
        enum pn_rc rc;

        if (form->only_pbes2)
            continue;
        rc = pn_pfx_charge_rounds(reader->parts, rounds, reader->err);
        if (rc != PN_OK)
            return rc;
        if (PKCS12_verify_mac(p12, form->ptr, form->len)) {
            reader->form = i;
            ERR_clear_error();
            return PN_OK;
        }
        if (pn_pfx_queue_says_unsupported())
            return pn_pfx_unsupported(reader->err, "the integrity algorithm", digest);
        ERR_clear_error();
    }
    return pn_pfx_wrong_password(reader->err, reader->passwords);
}

/* Finds the form of the password that opens the MAC. */
static enum pn_rc check_mac(struct reader *reader, PKCS12 *p12, struct pn_slice file)
{
    const ASN1_OCTET_STRING *mac = NULL;
    const ASN1_INTEGER *count = NULL;
    const X509_ALGOR *how = NULL;
    const ASN1_OBJECT *digest = NULL;
    uint64_t rounds = 1;

    reader->has_mac = PKCS12_mac_present(p12) != 0;
    if (!reader->has_mac) {
        struct pn_opened *out = reader->parts->out;

        snprintf(out->facts.integrity, sizeof(out->facts.integrity), "none");
        pn_file_facts_note(&out->facts, "no_integrity",
                           "the file has no integrity check: a change of it would not be noticed");
        return PN_OK;
    }
    PKCS12_get0_mac(&mac, &how, NULL, &count, p12);
    X509_ALGOR_get0(&digest, NULL, NULL, how);
    if (OBJ_obj2nid(digest) == NID_pbmac1)
        return check_pbmac1(reader, file, how, mac);
    if (!EVP_get_digestbyobj(digest))
        return pn_pfx_unsupported(reader->err, "the integrity algorithm", digest);
    if (count && !ASN1_INTEGER_get_uint64(&rounds, count))
        return not_pfx(reader, "the PFX file's iteration count cannot be read: it is broken");
    return check_classic_mac(reader, p12, digest, rounds);
}

/* --- decrypting --- */

/* Something that is encrypted: a key or a content. `open` gives NULL when it does not work so. */
struct sealed {
    const X509_ALGOR *algorithm;
    void *object;
    void *(*open)(void *object, const struct pn_password *password);
};

static enum pn_rc cannot_open(struct reader *reader, const struct sealed *sealed)
{
    const ASN1_OBJECT *algorithm = NULL;

    X509_ALGOR_get0(&algorithm, NULL, NULL, sealed->algorithm);
    if (!reader->has_mac)
        return pn_pfx_wrong_password(reader->err, reader->passwords);
    ERR_clear_error();
    return pn_error_set(reader->err, PN_MALFORMED, "not_pfx",
                        "the PFX file's password is right but a part of its content does not open "
                        "with it: the file is broken, or its parts have different passwords");
}

static enum pn_rc open_sealed(struct reader *reader, const struct sealed *sealed, void **opened)
{
    const ASN1_OBJECT *name = NULL;

    X509_ALGOR_get0(&name, NULL, NULL, sealed->algorithm);
    for (size_t i = 0; i < reader->passwords->count; i++) {
        /* first the one that worked before, then the others */
        size_t form = (reader->form + i) % reader->passwords->count;
        enum pn_rc rc;

        if (reader->passwords->forms[form].only_pbes2 && OBJ_obj2nid(name) != NID_pbes2)
            continue;
        rc = pn_pfx_charge(reader->parts, sealed->algorithm, reader->err);
        if (rc != PN_OK)
            return rc;
        *opened = sealed->open(sealed->object, &reader->passwords->forms[form]);
        if (*opened) {
            reader->form = form;
            ERR_clear_error();
            return PN_OK;
        }
        if (pn_pfx_queue_says_unsupported())
            return pn_pfx_unsupported(reader->err, "the encryption", name);
        ERR_clear_error();
    }
    return cannot_open(reader, sealed);
}

static void *open_content(void *object, const struct pn_password *password)
{
    return PKCS12_unpack_p7encdata(object, password->ptr, password->len);
}

static void *open_key(void *object, const struct pn_password *password)
{
    return PKCS8_decrypt(object, password->ptr, password->len);
}

/* --- bags --- */

static void friendly_name(PKCS12_SAFEBAG *bag, char out[PN_FRIENDLY_NAME_MAX])
{
    char *name = PKCS12_get_friendlyname(bag);
    size_t len = name ? strlen(name) : 0;

    if (len >= PN_FRIENDLY_NAME_MAX) { /* not within a character */
        for (len = PN_FRIENDLY_NAME_MAX - 1; len > 0 && ((uint8_t)name[len] & 0xc0) == 0x80;)
            len--;
    }
    if (len > 0)
        memcpy(out, name, len);
    out[len] = '\0';
    OPENSSL_free(name);
}

static enum pn_rc take_info(struct reader *reader, PKCS12_SAFEBAG *bag,
                            const PKCS8_PRIV_KEY_INFO *info)
{
    char name[PN_FRIENDLY_NAME_MAX];
    EVP_PKEY *key = pn_private_key_decode(info);

    if (!key && pn_pfx_queue_says_unsupported()) {
        ERR_clear_error();
        reader->parts->strange_keys++;
        return PN_OK;
    }
    if (!key)
        return not_pfx(reader, "a private key in the PFX file is broken");
    friendly_name(bag, name);
    return pn_parts_add_key(reader->parts, key, name, reader->err);
}

static enum pn_rc take_shrouded_key(struct reader *reader, PKCS12_SAFEBAG *bag)
{
    const X509_SIG *encrypted = PKCS12_SAFEBAG_get0_pkcs8(bag);
    struct sealed sealed = {.object = (void *)(uintptr_t)encrypted, .open = open_key};
    void *info = NULL;
    enum pn_rc rc;

    X509_SIG_get0(encrypted, &sealed.algorithm, NULL);
    pn_pfx_note_encryption(reader->parts, sealed.algorithm);
    rc = open_sealed(reader, &sealed, &info);
    if (rc == PN_OK)
        rc = take_info(reader, bag, info);
    PKCS8_PRIV_KEY_INFO_free(info);
    return rc;
}

static enum pn_rc take_certificate(struct reader *reader, PKCS12_SAFEBAG *bag)
{
    X509 *certificate;

    if (PKCS12_SAFEBAG_get_bag_nid(bag) != NID_x509Certificate)
        return PN_OK; /* SDSI: nobody has ever seen one */
    certificate = PKCS12_SAFEBAG_get1_cert(bag);
    if (!certificate)
        return not_pfx(reader, "a certificate in the PFX file is broken");
    return pn_parts_add_certificate(reader->parts, certificate, reader->err);
}

static enum pn_rc take_bags(struct reader *reader, const STACK_OF(PKCS12_SAFEBAG) * bags,
                            unsigned depth);

static enum pn_rc take_bag(struct reader *reader, PKCS12_SAFEBAG *bag, unsigned depth)
{
    if (++reader->bags > PN_PFX_BAGS_MAX)
        return pn_error_set(reader->err, PN_LIMIT, "too_large",
                            "the PFX file has more than %d parts", PN_PFX_BAGS_MAX);
    switch (PKCS12_SAFEBAG_get_nid(bag)) {
    case NID_keyBag:
        pn_file_facts_note(
            &reader->parts->out->facts, "not_encrypted",
            "the private key is in the file without encryption: treat it as a secret");
        return take_info(reader, bag, PKCS12_SAFEBAG_get0_p8inf(bag));
    case NID_pkcs8ShroudedKeyBag:
        return take_shrouded_key(reader, bag);
    case NID_certBag:
        return take_certificate(reader, bag);
    case NID_safeContentsBag:
        if (depth == PN_PFX_DEPTH_MAX)
            return pn_error_set(reader->err, PN_LIMIT, "too_deep",
                                "the PFX file nests its parts more than %d deep", PN_PFX_DEPTH_MAX);
        return take_bags(reader, PKCS12_SAFEBAG_get0_safes(bag), depth + 1);
    default: /* revocation lists, secrets of others */
        return PN_OK;
    }
}

static enum pn_rc take_bags(struct reader *reader, const STACK_OF(PKCS12_SAFEBAG) * bags,
                            unsigned depth)
{
    enum pn_rc rc = PN_OK;

    for (int i = 0; rc == PN_OK && i < sk_PKCS12_SAFEBAG_num(bags); i++)
        rc = take_bag(reader, sk_PKCS12_SAFEBAG_value(bags, i), depth);
    return rc;
}

/* --- contents --- */

static enum pn_rc take_content(struct reader *reader, PKCS7 *content)
{
    STACK_OF(PKCS12_SAFEBAG) *bags = NULL;
    int kind = OBJ_obj2nid(content->type);
    enum pn_rc rc = PN_OK;

    if (kind == NID_pkcs7_data) {
        bags = PKCS12_unpack_p7data(content);
    } else if (kind == NID_pkcs7_encrypted && content->d.encrypted) {
        struct sealed sealed = {.algorithm = content->d.encrypted->enc_data->algorithm,
                                .object = content,
                                .open = open_content};
        void *opened = NULL;

        pn_pfx_note_encryption(reader->parts, sealed.algorithm);
        rc = open_sealed(reader, &sealed, &opened);
        bags = opened;
    } else {
        return pn_pfx_unsupported(reader->err, "a protection by public keys:", content->type);
    }
    if (rc == PN_OK)
        rc = bags ? take_bags(reader, bags, 1)
                  : not_pfx(reader, "a part of the PFX file cannot be read: it is broken");
    sk_PKCS12_SAFEBAG_pop_free(bags, PKCS12_SAFEBAG_free);
    return rc;
}

static enum pn_rc take_contents(struct reader *reader, PKCS12 *p12)
{
    STACK_OF(PKCS7) *contents = PKCS12_unpack_authsafes(p12);
    struct pn_opened *out = reader->parts->out;
    enum pn_rc rc = contents ? PN_OK : not_pfx(reader, "the PFX file's content cannot be read");

    for (int i = 0; rc == PN_OK && i < sk_PKCS7_num(contents); i++)
        rc = take_content(reader, sk_PKCS7_value(contents, i));
    sk_PKCS7_pop_free(contents, PKCS7_free);
    if (!out->facts.encryption[0])
        snprintf(out->facts.encryption, sizeof(out->facts.encryption), "none");
    return rc;
}

enum pn_rc pn_pkcs12_read(struct pn_slice file, const struct pn_passwords *passwords,
                          struct pn_parts *parts, struct pn_error *err)
{
    const unsigned char *at = (const unsigned char *)file.ptr;
    PKCS12 *p12 = file.len <= LONG_MAX ? d2i_PKCS12(NULL, &at, (long)file.len) : NULL;
    struct reader reader = {.parts = parts, .passwords = passwords, .err = err};
    enum pn_rc rc;

    if (!p12)
        return not_pfx(&reader, "the data is neither a PKCS#12 (PFX) file nor PEM");
    rc = check_mac(&reader, p12, file);
    if (rc == PN_OK)
        rc = take_contents(&reader, p12);
    PKCS12_free(p12);
    return rc;
}
