/* SPDX-License-Identifier: Apache-2.0
 *
 * What a file asks us to compute: the price of its key derivations, and the integrity check of
 * RFC 9579, which this OpenSSL does not have.
 */
#include <string.h>

#include <openssl/err.h>
#include <openssl/hmac.h>
#include <openssl/objects.h>
#include <openssl/x509.h>

#include "pfx/pfx_internal.h"

static enum pn_rc malformed(struct pn_error *err)
{
    ERR_clear_error();
    return pn_error_set(err, PN_MALFORMED, "not_pfx",
                        "the file's encryption parameters cannot be read: it is broken");
}

enum pn_rc pn_pfx_charge_rounds(struct pn_parts *parts, uint64_t rounds, struct pn_error *err)
{
    if (rounds > PN_PFX_ROUNDS_MAX || parts->rounds > PN_PFX_ROUNDS_MAX - rounds)
        return pn_error_set(err, PN_LIMIT, "too_many_iterations",
                            "opening the file costs more than %llu rounds of key derivation; "
                            "export it again with fewer iterations",
                            (unsigned long long)PN_PFX_ROUNDS_MAX);
    parts->rounds += rounds;
    return PN_OK;
}

static enum pn_rc charge_integer(struct pn_parts *parts, const ASN1_INTEGER *count,
                                 struct pn_error *err)
{
    uint64_t rounds = 0;

    if (!count || !ASN1_INTEGER_get_uint64(&rounds, count) || rounds == 0)
        return malformed(err);
    return pn_pfx_charge_rounds(parts, rounds, err);
}

static void *unpack(const X509_ALGOR *algorithm, const ASN1_ITEM *item)
{
    const void *value = NULL;
    int type = V_ASN1_UNDEF;

    X509_ALGOR_get0(NULL, &type, &value, algorithm);
    return type == V_ASN1_SEQUENCE ? ASN1_item_unpack(value, item) : NULL;
}

static int algorithm_nid(const X509_ALGOR *algorithm)
{
    const ASN1_OBJECT *object = NULL;

    X509_ALGOR_get0(&object, NULL, NULL, algorithm);
    return OBJ_obj2nid(object);
}

/* Of RFC 7914: N times r blocks of 128 bytes, p times. One block costs about as much as a round. */
static enum pn_rc charge_scrypt(struct pn_parts *parts, const X509_ALGOR *function,
                                struct pn_error *err)
{
    SCRYPT_PARAMS *scrypt = unpack(function, ASN1_ITEM_rptr(SCRYPT_PARAMS));
    uint64_t n = 0, r = 0, p = 0;
    bool is_fine = scrypt && ASN1_INTEGER_get_uint64(&n, scrypt->costParameter) &&
                   ASN1_INTEGER_get_uint64(&r, scrypt->blockSize) &&
                   ASN1_INTEGER_get_uint64(&p, scrypt->parallelizationParameter);

    SCRYPT_PARAMS_free(scrypt);
    if (!is_fine || n == 0 || r == 0 || p == 0)
        return malformed(err);
    if (n > PN_PFX_ROUNDS_MAX || r > PN_PFX_ROUNDS_MAX / n || p > PN_PFX_ROUNDS_MAX / (n * r))
        return pn_pfx_charge_rounds(parts, UINT64_MAX, err);
    return pn_pfx_charge_rounds(parts, n * r * p, err);
}

static enum pn_rc charge_function(struct pn_parts *parts, const X509_ALGOR *function,
                                  struct pn_error *err)
{
    PBKDF2PARAM *pbkdf2;
    enum pn_rc rc;

    if (algorithm_nid(function) == NID_id_scrypt)
        return charge_scrypt(parts, function, err);
    if (algorithm_nid(function) != NID_id_pbkdf2)
        return PN_OK; /* OpenSSL will say that it does not have it */
    pbkdf2 = unpack(function, ASN1_ITEM_rptr(PBKDF2PARAM));
    rc = pbkdf2 ? charge_integer(parts, pbkdf2->iter, err) : malformed(err);
    PBKDF2PARAM_free(pbkdf2);
    return rc;
}

enum pn_rc pn_pfx_charge(struct pn_parts *parts, const X509_ALGOR *algorithm, struct pn_error *err)
{
    enum pn_rc rc;

    if (algorithm_nid(algorithm) == NID_pbes2) {
        PBE2PARAM *pbes2 = unpack(algorithm, ASN1_ITEM_rptr(PBE2PARAM));

        rc = pbes2 ? charge_function(parts, pbes2->keyfunc, err) : malformed(err);
        PBE2PARAM_free(pbes2);
    } else {
        PBEPARAM *pbes1 = unpack(algorithm, ASN1_ITEM_rptr(PBEPARAM));

        rc = pbes1 ? charge_integer(parts, pbes1->iter, err) : PN_OK; /* not one of PBES1 */
        PBEPARAM_free(pbes1);
    }
    ERR_clear_error();
    return rc;
}

/* --- for people --- */

static bool is_weak(int nid)
{
    return nid == NID_pbe_WithSHA1And40BitRC2_CBC || nid == NID_pbe_WithSHA1And40BitRC4 ||
           nid == NID_pbe_WithSHA1And128BitRC2_CBC || nid == NID_pbe_WithSHA1And128BitRC4 ||
           nid == NID_pbe_WithSHA1And2_Key_TripleDES_CBC ||
           nid == NID_pbe_WithSHA1And3_Key_TripleDES_CBC || nid == NID_pbeWithMD5AndDES_CBC ||
           nid == NID_pbeWithSHA1AndDES_CBC || nid == NID_pbeWithMD5AndRC2_CBC ||
           nid == NID_pbeWithSHA1AndRC2_CBC || nid == NID_pbeWithMD2AndDES_CBC ||
           nid == NID_pbeWithMD2AndRC2_CBC;
}

static void name_of(const X509_ALGOR *algorithm, char *out, size_t size)
{
    const ASN1_OBJECT *object = NULL;

    X509_ALGOR_get0(&object, NULL, NULL, algorithm);
    if (OBJ_obj2txt(out, (int)size, object, 0) <= 0)
        snprintf(out, size, "unknown");
}

static void add_fact(char *facts, const char *fact)
{
    size_t len = strlen(facts);

    if (strstr(facts, fact))
        return;
    snprintf(facts + len, PN_FILE_FACT_MAX - len, "%s%s", len > 0 ? ", " : "", fact);
}

void pn_pfx_note_encryption(struct pn_parts *parts, const X509_ALGOR *algorithm)
{
    char name[80], fact[100];
    int nid = algorithm_nid(algorithm);

    if (nid == NID_pbes2) {
        PBE2PARAM *pbes2 = unpack(algorithm, ASN1_ITEM_rptr(PBE2PARAM));

        name_of(pbes2 ? pbes2->encryption : algorithm, name, sizeof(name));
        snprintf(fact, sizeof(fact), "PBES2 with %s", name);
        PBE2PARAM_free(pbes2);
    } else {
        name_of(algorithm, name, sizeof(name));
        snprintf(fact, sizeof(fact), "%s", name);
    }
    if (is_weak(nid) && !strstr(parts->out->facts.encryption, fact))
        pn_file_facts_note(
            &parts->out->facts, "weak_encryption",
            "the file is encrypted with %s, which no longer protects a key: treat the "
            "file as a secret, and export with AES-256 next time",
            fact);
    add_fact(parts->out->facts.encryption, fact);
    ERR_clear_error();
}

/* --- PBMAC1 (RFC 9579 §4) --- */

struct pbmac1 {
    const EVP_MD *prf, *mac;
    struct pn_slice salt;
    uint64_t rounds;
    uint64_t key_len;
};

static const EVP_MD *digest_of_hmac(const X509_ALGOR *hmac)
{
    int digest = NID_undef;

    if (!hmac) /* RFC 8018's default */
        return EVP_sha1();
    if (!EVP_PBE_find(EVP_PBE_TYPE_PRF, algorithm_nid(hmac), NULL, &digest, NULL))
        return NULL;
    return EVP_get_digestbynid(digest);
}

static enum pn_rc derive_and_compare(const struct pbmac1 *how, const ASN1_OCTET_STRING *mac,
                                     struct pn_slice content, const struct pn_password *password,
                                     struct pn_error *err)
{
    unsigned char key[EVP_MAX_MD_SIZE], value[EVP_MAX_MD_SIZE];
    unsigned value_len = 0;
    bool is_done = PKCS5_PBKDF2_HMAC(password->ptr ? password->ptr : "", password->len,
                                     (const unsigned char *)how->salt.ptr, (int)how->salt.len,
                                     (int)how->rounds, how->prf, (int)how->key_len, key) &&
                   HMAC(how->mac, key, (int)how->key_len, (const unsigned char *)content.ptr,
                        content.len, value, &value_len);
    struct pn_slice ours = pn_slice((const char *)value, value_len);
    struct pn_slice theirs =
        pn_slice((const char *)ASN1_STRING_get0_data(mac), (size_t)ASN1_STRING_length(mac));

    pn_wipe(key, sizeof(key));
    if (!is_done)
        return pn_pfx_no_memory(err);
    return pn_equal_constant_time(ours, theirs) ? PN_OK : PN_DENIED;
}

static enum pn_rc read_pbkdf2(const PBKDF2PARAM *pbkdf2, struct pbmac1 *how, struct pn_error *err)
{
    if (!pbkdf2 || !pbkdf2->salt || pbkdf2->salt->type != V_ASN1_OCTET_STRING ||
        !pbkdf2->keylength || !ASN1_INTEGER_get_uint64(&how->rounds, pbkdf2->iter) ||
        !ASN1_INTEGER_get_uint64(&how->key_len, pbkdf2->keylength))
        return malformed(err);
    /* A short key makes the check weak enough to be forged: at least 20 bytes (RFC 9579 §5). */
    if (how->key_len < 20 || how->key_len > EVP_MAX_MD_SIZE || how->rounds == 0)
        return malformed(err);
    how->salt = pn_slice((const char *)pbkdf2->salt->value.octet_string->data,
                         (size_t)pbkdf2->salt->value.octet_string->length);
    how->prf = digest_of_hmac(pbkdf2->prf);
    return PN_OK;
}

enum pn_rc pn_pbmac1_check(struct pn_parts *parts, const X509_ALGOR *algorithm,
                           const ASN1_OCTET_STRING *mac, struct pn_slice content,
                           const struct pn_password *password, struct pn_error *err)
{
    PBE2PARAM *outer = unpack(algorithm, ASN1_ITEM_rptr(PBE2PARAM)); /* has the same shape */
    PBKDF2PARAM *pbkdf2 = NULL;
    struct pbmac1 how = {0};
    enum pn_rc rc = PN_OK;

    if (!outer)
        return malformed(err);
    if (algorithm_nid(outer->keyfunc) != NID_id_pbkdf2)
        rc = pn_pfx_unsupported(err, "the integrity algorithm PBMAC1 with",
                                outer->keyfunc->algorithm);
    if (rc == PN_OK) {
        pbkdf2 = unpack(outer->keyfunc, ASN1_ITEM_rptr(PBKDF2PARAM));
        rc = read_pbkdf2(pbkdf2, &how, err);
    }
    if (rc == PN_OK) {
        how.mac = digest_of_hmac(outer->encryption);
        if (!how.mac || !how.prf)
            rc = pn_pfx_unsupported(err, "the integrity algorithm PBMAC1 with",
                                    outer->encryption->algorithm);
    }
    if (rc == PN_OK)
        rc = pn_pfx_charge_rounds(parts, how.rounds, err);
    if (rc == PN_OK) {
        snprintf(parts->out->facts.integrity, sizeof(parts->out->facts.integrity),
                 "PBMAC1 with HMAC-%s, %llu rounds", EVP_MD_get0_name(how.mac),
                 (unsigned long long)how.rounds);
        rc = derive_and_compare(&how, mac, content, password, err);
    }
    PBKDF2PARAM_free(pbkdf2);
    PBE2PARAM_free(outer);
    ERR_clear_error();
    return rc;
}
