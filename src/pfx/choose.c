/* SPDX-License-Identifier: Apache-2.0
 *
 * Which of the file's keys is meant, its certificate, and the issuers in their order.
 */
#include <stdio.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/x509v3.h>

#include "base/secret.h"
#include "pfx/pfx_internal.h"

enum pn_rc pn_parts_add_key(struct pn_parts *parts, EVP_PKEY *key, const char *name,
                            struct pn_error *err)
{
    if (parts->key_count == PN_PFX_KEYS_MAX) {
        EVP_PKEY_free(key);
        return pn_error_set(err, PN_LIMIT, "too_many_keys",
                            "the file has more than %d private keys: export the one you need alone",
                            PN_PFX_KEYS_MAX);
    }
    parts->keys[parts->key_count].key = key;
    snprintf(parts->keys[parts->key_count].name, PN_FRIENDLY_NAME_MAX, "%s", name);
    parts->key_count++;
    return PN_OK;
}

enum pn_rc pn_parts_add_certificate(struct pn_parts *parts, X509 *certificate, struct pn_error *err)
{
    for (int i = 0; i < sk_X509_num(parts->certificates); i++) {
        if (X509_cmp(sk_X509_value(parts->certificates, i), certificate) == 0) {
            X509_free(certificate); /* exporters put the same one twice */
            return PN_OK;
        }
    }
    if (sk_X509_num(parts->certificates) >= PN_PFX_CERTIFICATES_MAX) {
        X509_free(certificate);
        return pn_error_set(err, PN_LIMIT, "too_many_certificates",
                            "the file has more than %d certificates", PN_PFX_CERTIFICATES_MAX);
    }
    if (!sk_X509_push(parts->certificates, certificate)) {
        X509_free(certificate);
        return pn_pfx_no_memory(err);
    }
    return PN_OK;
}

/* --- the key --- */

static enum pn_rc check_key(const EVP_PKEY *key, struct pn_error *err)
{
    int type = EVP_PKEY_get_base_id(key);
    int bits = EVP_PKEY_get_bits(key);
    char group[32] = "";

    if (type == EVP_PKEY_ED25519)
        return PN_OK;
    if (type == EVP_PKEY_EC) {
        if (EVP_PKEY_get_group_name(key, group, sizeof(group), NULL) &&
            (strcmp(group, "prime256v1") == 0 || strcmp(group, "secp384r1") == 0 ||
             strcmp(group, "secp521r1") == 0))
            return PN_OK;
        ERR_clear_error();
        return pn_error_set(err, PN_UNSUPPORTED, "unsupported_algorithm",
                            "the private key's curve is not supported; use P-256, P-384 or P-521");
    }
    if (type != EVP_PKEY_RSA && type != EVP_PKEY_RSA_PSS)
        return pn_error_set(err, PN_UNSUPPORTED, "unsupported_algorithm",
                            "the private key's algorithm is not supported; use RSA, EC or Ed25519");
    if (bits < (int)PN_RSA_BITS_MIN || bits > (int)PN_RSA_BITS_MAX)
        return pn_error_set(err, PN_UNSUPPORTED, "unsupported_algorithm",
                            "the RSA key has %d bits; %u to %u are supported", bits,
                            PN_RSA_BITS_MIN, PN_RSA_BITS_MAX);
    return PN_OK;
}

/* How well a certificate fits what it is wanted for: a TLS client's. */
static int fitness(X509 *certificate)
{
    int score = 1;

    if (X509_check_ca(certificate) == 0)
        score += 1;
    if (X509_check_purpose(certificate, X509_PURPOSE_SSL_CLIENT, 0) == 1)
        score += 2;
    return score;
}

/* The best certificate of `key`, or NULL. Of equal ones the first. */
static X509 *find_certificate(const struct pn_parts *parts, const EVP_PKEY *key, int *best)
{
    X509 *found = NULL;

    *best = 0;
    for (int i = 0; i < sk_X509_num(parts->certificates); i++) {
        X509 *certificate = sk_X509_value(parts->certificates, i);
        int score;

        if (X509_check_private_key(certificate, key) != 1)
            continue;
        score = fitness(certificate);
        if (score > *best) {
            *best = score;
            found = certificate;
        }
    }
    ERR_clear_error(); /* one entry for each certificate that did not match */
    return found;
}

struct choice {
    const struct pn_found_key *key;
    X509 *leaf;
};

/* The first of the keys that fit best. When none can be used, err says why of the first. */
static enum pn_rc choose_key(const struct pn_parts *parts, struct choice *choice,
                             struct pn_error *err)
{
    struct pn_error reason = {0};
    enum pn_rc rc = PN_OK;
    int best = 0;

    for (size_t i = 0; i < parts->key_count; i++) {
        int score = 0;
        X509 *leaf = find_certificate(parts, parts->keys[i].key, &score);
        enum pn_rc usable =
            leaf ? check_key(parts->keys[i].key, &reason)
                 : pn_error_set(&reason, PN_INVALID, "key_mismatch",
                                "none of the file's certificates belongs to its private key");

        if (usable != PN_OK && rc == PN_OK) {
            rc = usable;
            *err = reason;
        }
        if (usable == PN_OK && score > best) {
            best = score;
            choice->key = &parts->keys[i];
            choice->leaf = leaf;
        }
    }
    return choice->key ? PN_OK : rc;
}

/* --- the chain --- */

static enum pn_rc put_certificate(X509 *certificate, struct pn_opened *out, struct pn_error *err)
{
    unsigned char *der = NULL;
    int len;
    enum pn_rc rc = PN_NOMEM;

    if (out->chain_count == PN_CHAIN_MAX)
        return pn_error_set(err, PN_LIMIT, "too_many_certificates",
                            "the certificate's chain is longer than %d", PN_CHAIN_MAX);
    len = i2d_X509(certificate, &der);
    if (len > 0)
        rc = pn_buf_append(&out->chain[out->chain_count], der, (size_t)len);
    OPENSSL_free(der);
    if (rc != PN_OK)
        return pn_pfx_no_memory(err);
    out->chain_count++;
    return PN_OK;
}

/* Where the issuer of `certificate` is among those not yet used, or -1. */
static int find_issuer(STACK_OF(X509) * certificates, const bool *is_used, X509 *certificate)
{
    if (X509_check_issued(certificate, certificate) == X509_V_OK)
        return -1;
    for (int i = 0; i < sk_X509_num(certificates); i++) {
        X509 *other = sk_X509_value(certificates, i);

        if (!is_used[i] && X509_check_issued(other, certificate) == X509_V_OK &&
            X509_verify(certificate, X509_get0_pubkey(other)) == 1)
            return i;
    }
    return -1;
}

/* The leaf, then each issuer. Says so when the file had them in another order, or more. */
static enum pn_rc put_chain(const struct pn_parts *parts, X509 *leaf, struct pn_error *err)
{
    bool is_used[PN_PFX_CERTIFICATES_MAX] = {false};
    struct pn_opened *out = parts->out;
    int count = sk_X509_num(parts->certificates);
    int at = sk_X509_find(parts->certificates, leaf);
    int last = -1;
    bool is_ordered = true;
    enum pn_rc rc = PN_OK;

    while (rc == PN_OK && at >= 0) {
        X509 *next = sk_X509_value(parts->certificates, at);

        is_used[at] = true;
        is_ordered = is_ordered && at > last;
        last = at;
        rc = put_certificate(next, out, err);
        at = find_issuer(parts->certificates, is_used, next);
    }
    ERR_clear_error();
    if (!is_ordered)
        pn_file_facts_note(
            &out->facts, "chain_reordered",
            "the file's certificates were not in the order leaf, issuer, its issuer; "
            "they are used in that order");
    if (rc == PN_OK && (size_t)count > out->chain_count)
        pn_file_facts_note(
            &out->facts, "unrelated_certificates",
            "%zu of the file's %d certificates do not belong to the chain and were left "
            "out",
            (size_t)count - out->chain_count, count);
    return rc;
}

static enum pn_rc put_key(const EVP_PKEY *key, struct pn_opened *out, struct pn_error *err)
{
    PKCS8_PRIV_KEY_INFO *info = EVP_PKEY2PKCS8(key);
    unsigned char *der = NULL;
    int len = info ? i2d_PKCS8_PRIV_KEY_INFO(info, &der) : 0;
    enum pn_rc rc = PN_NOMEM;

    if (len > 0) {
        rc = pn_buf_append(&out->pkcs8, der, (size_t)len);
        pn_wipe(der, (size_t)len);
    }
    OPENSSL_free(der);
    PKCS8_PRIV_KEY_INFO_free(info);
    return rc == PN_OK ? PN_OK : pn_pfx_no_memory(err);
}

static void note_keys(const struct pn_parts *parts, const struct choice *choice)
{
    const char *name = choice->key->name;

    if (parts->key_count + parts->strange_keys < 2)
        return;
    pn_file_facts_note(
        &parts->out->facts, "several_keys",
        "the file has %zu private keys; %s%s%s is used: export the one you need alone if "
        "that is not the one you mean",
        parts->key_count + parts->strange_keys,
        name[0] ? "the one named '"
                : "the first "
                  "with a certificate for a TLS client",
        name, name[0] ? "'" : "");
}

enum pn_rc pn_parts_choose(struct pn_parts *parts, struct pn_error *err)
{
    struct choice choice = {0};
    enum pn_rc rc;

    if (parts->key_count == 0 && parts->strange_keys > 0)
        return pn_error_set(err, PN_UNSUPPORTED, "unsupported_algorithm",
                            "the private key's algorithm is not supported; use RSA, EC or Ed25519");
    if (parts->key_count == 0)
        return pn_error_set(err, PN_INVALID, "no_key",
                            "the file has no private key: export it together with its key");
    if (sk_X509_num(parts->certificates) <= 0)
        return pn_error_set(err, PN_INVALID, "no_certificate", "the file has no certificate");
    rc = choose_key(parts, &choice, err);
    if (rc == PN_OK && !choice.key)
        rc = pn_error_set(err, PN_INTERNAL, "internal", "no key of the file was chosen");
    if (rc != PN_OK || !choice.key)
        return rc;
    snprintf(parts->out->facts.friendly_name, PN_FRIENDLY_NAME_MAX, "%s", choice.key->name);
    note_keys(parts, &choice);
    rc = put_chain(parts, choice.leaf, err);
    return rc == PN_OK ? put_key(choice.key->key, parts->out, err) : rc;
}
