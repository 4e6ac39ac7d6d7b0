/* SPDX-License-Identifier: Apache-2.0
 *
 * The record layer against the traces of RFC 8448, against itself, and against a peer that seals
 * whatever the test wants: `struct wire` has a key schedule and an encryption of its own.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <stdlib.h>
#include <string.h>

#include "tls/record.h"

#define EMPTY_MAX 8

/* ---- a peer that may do anything */

struct wire {
    uint16_t suite;
    uint8_t secret[PN_RECORD_SECRET_MAX];
    uint64_t sequence;
};

static const struct {
    uint16_t suite;
    const char *cipher, *digest;
    size_t key_len, secret_len;
} suites[] = {
    {PN_RECORD_AES_128_GCM_SHA256, "AES-128-GCM", "SHA256", 16, 32},
    {PN_RECORD_AES_256_GCM_SHA384, "AES-256-GCM", "SHA384", 32, 48},
    {PN_RECORD_CHACHA20_POLY1305_SHA256, "ChaCha20-Poly1305", "SHA256", 32, 32},
};
#define SUITES (sizeof(suites) / sizeof(suites[0]))

static size_t suite_at(uint16_t suite)
{
    return suite - PN_RECORD_AES_128_GCM_SHA256;
}

static void expand(const struct wire *wire, const char *label, uint8_t *out, size_t len)
{
    EVP_KDF *kdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
    EVP_KDF_CTX *ctx = EVP_KDF_CTX_new(kdf);
    int mode = EVP_KDF_HKDF_MODE_EXPAND_ONLY;
    uint8_t info[64] = {0,   (uint8_t)len, (uint8_t)(6 + strlen(label)), 't', 'l', 's', '1',
                        '3', ' '};
    OSSL_PARAM params[5];

    memcpy(info + 9, label, strlen(label));
    params[0] = OSSL_PARAM_construct_int(OSSL_KDF_PARAM_MODE, &mode);
    params[1] = OSSL_PARAM_construct_utf8_string(
        OSSL_KDF_PARAM_DIGEST, (char *)(uintptr_t)suites[suite_at(wire->suite)].digest, 0);
    params[2] =
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, (void *)(uintptr_t)wire->secret,
                                          suites[suite_at(wire->suite)].secret_len);
    params[3] = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, info, 9 + strlen(label) + 1);
    params[4] = OSSL_PARAM_construct_end();
    assert_int_equal(EVP_KDF_derive(ctx, out, len, params), 1);
    EVP_KDF_CTX_free(ctx);
    EVP_KDF_free(kdf);
}

/* One record of `content`, type and `padding` zeros; a type of 0 leaves it out. */
static size_t wire_seal(struct wire *wire, uint8_t type, const void *content, size_t len,
                        size_t padding, uint8_t *out)
{
    size_t inner = len + (type ? 1 : 0) + padding, behind = inner + PN_RECORD_TAG_BYTES;
    EVP_CIPHER *cipher = EVP_CIPHER_fetch(NULL, suites[suite_at(wire->suite)].cipher, NULL);
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    uint8_t key[32], nonce[12];
    uint8_t *plain = calloc(1, inner + 1);
    int done;

    expand(wire, "key", key, suites[suite_at(wire->suite)].key_len);
    expand(wire, "iv", nonce, sizeof(nonce));
    for (int i = 0; i < 8; i++)
        nonce[4 + i] ^= (uint8_t)(wire->sequence >> (56 - 8 * i));
    wire->sequence++;
    if (len)
        memcpy(plain, content, len);
    plain[len] = type;
    out[0] = 23;
    out[1] = out[2] = 3;
    out[3] = (uint8_t)(behind >> 8);
    out[4] = (uint8_t)behind;
    assert_int_equal(EVP_EncryptInit_ex2(ctx, cipher, key, nonce, NULL), 1);
    assert_int_equal(EVP_EncryptUpdate(ctx, NULL, &done, out, 5), 1);
    assert_int_equal(EVP_EncryptUpdate(ctx, out + 5, &done, plain, (int)inner), 1);
    assert_int_equal(EVP_EncryptFinal_ex(ctx, out + 5 + inner, &done), 1);
    assert_int_equal(EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, 16, out + 5 + inner), 1);
    EVP_CIPHER_CTX_free(ctx);
    EVP_CIPHER_free(cipher);
    free(plain);
    return 5 + behind;
}

static void wire_update(struct wire *wire)
{
    uint8_t next[PN_RECORD_SECRET_MAX] = {0};

    expand(wire, "traffic upd", next, suites[suite_at(wire->suite)].secret_len);
    memcpy(wire->secret, next, sizeof(next));
    wire->sequence = 0;
}

/* ---- the one that is tested */

struct pair {
    struct pn_records *records;
    struct wire wire; /* seals what `records` opens */
    uint8_t record[PN_RECORD_BYTES_MAX + 64];
    uint8_t out[PN_RECORD_BYTES_MAX];
    struct pn_slice data;
};

static uint8_t secrets[2][PN_RECORD_SECRET_MAX];

static struct pn_records *make(uint16_t suite, bool is_client, uint64_t key_records_max)
{
    struct pn_records *records = NULL;
    struct pn_records_spec spec = {.suite = suite,
                                   .is_client = is_client,
                                   .secret_in = secrets[is_client ? 1 : 0],
                                   .secret_out = secrets[is_client ? 0 : 1],
                                   .key_records_max = key_records_max,
                                   .empty_records_max = EMPTY_MAX};

    assert_int_equal(pn_records_create(&spec, &records), PN_OK);
    return records;
}

static void begin_with(struct pair *pair, uint16_t suite, bool is_client)
{
    memset(pair, 0, sizeof(*pair));
    for (size_t i = 0; i < PN_RECORD_SECRET_MAX; i++) {
        secrets[0][i] = (uint8_t)(i * 7 + 1);
        secrets[1][i] = (uint8_t)(i * 5 + 2);
    }
    pair->records = make(suite, is_client, 0);
    pair->wire.suite = suite;
    memcpy(pair->wire.secret, secrets[is_client ? 1 : 0], PN_RECORD_SECRET_MAX);
}

static void begin(struct pair *pair, bool is_client)
{
    begin_with(pair, PN_RECORD_AES_128_GCM_SHA256, is_client);
}

static void finish(struct pair *pair)
{
    pn_records_destroy(pair->records);
    pair->records = NULL;
}

static enum pn_rc open_bytes(struct pair *pair, size_t len)
{
    size_t whole = 0;
    enum pn_rc rc = pn_records_whole(pair->records, pn_slice(pair->record, len), &whole);

    if (rc != PN_OK)
        return rc;
    assert_int_equal(whole, len);
    return pn_records_open(pair->records, pair->record, len, pair->out, sizeof(pair->out),
                           &pair->data);
}

static enum pn_rc take(struct pair *pair, uint8_t type, const void *content, size_t len)
{
    return open_bytes(pair, wire_seal(&pair->wire, type, content, len, 0, pair->record));
}

static void assert_fault(struct pair *pair, enum pn_rc rc, enum pn_rc expected, int sent)
{
    assert_int_equal(rc, expected);
    assert_int_equal(pn_records_fault(pair->records)->sent, sent);
    assert_int_equal(pair->data.len, 0);
}

static void assert_data(struct pair *pair, const void *bytes, size_t len)
{
    assert_int_equal(pair->data.len, len);
    assert_memory_equal(pair->data.ptr, bytes, len);
}

static size_t pack(struct pn_records *records, const void *bytes, size_t len, uint8_t *out,
                   size_t cap, size_t *lead)
{
    struct iovec iov = {(void *)(uintptr_t)bytes, len};
    struct pn_record_batch batch;

    assert_int_equal(pn_records_pack(records, &iov, 1, out, cap, &batch), PN_OK);
    assert_int_equal(batch.taken, len);
    if (lead)
        *lead = batch.lead;
    return batch.len;
}

/* ---- RFC 8448, section 3 */

static size_t from_hex(const char *text, uint8_t *out)
{
    size_t len = 0;

    for (; *text; text += *text == ' ' ? 1 : 2) {
        if (*text == ' ')
            continue;
        out[len++] = (uint8_t)strtoul((char[]){text[0], text[1], '\0'}, NULL, 16);
    }
    return len;
}

#define CLIENT_SECRET                                                                              \
    "9e 40 64 6c e7 9a 7f 9d c0 5a f8 88 9b ce 65 52 87 5a fa 0b 06 df 00 87 f7 92 eb b7 c1 75 "   \
    "04 "                                                                                          \
    "a5"
#define SERVER_SECRET                                                                              \
    "a1 1a f9 f0 55 31 f8 56 ad 47 11 6b 45 a9 50 32 82 04 b4 f4 4b fb 6b 3a 4b 4f 1f 3f cb 63 "   \
    "16 "                                                                                          \
    "43"
#define CLIENT_DATA                                                                                \
    "17 03 03 00 43 a2 3f 70 54 b6 2c 94 d0 af fa fe 82 28 ba 55 cb ef ac ea 42 f9 14 aa 66 bc "   \
    "ab "                                                                                          \
    "3f 2b 98 19 a8 a5 b4 6b 39 5b d5 4a 9a 20 44 1e 2b 62 97 4e 1f 5a 62 92 a2 97 70 14 bd 1e "   \
    "3d "                                                                                          \
    "ea e6 3a ee bb 21 69 49 15 e4"
#define SERVER_DATA                                                                                \
    "17 03 03 00 43 2e 93 7e 11 ef 4a c7 40 e5 38 ad 36 00 5f c4 a4 69 32 fc 32 25 d0 5f 82 aa "   \
    "1b "                                                                                          \
    "36 e3 0e fa f9 7d 90 e6 df fc 60 2d cb 50 1a 59 a8 fc c4 9c 4b f2 e5 f0 a2 1c 00 47 c2 ab "   \
    "f3 "                                                                                          \
    "32 54 0d d0 32 e1 67 c2 95 5d"
#define CLIENT_ALERT "17 03 03 00 13 c9 87 27 60 65 56 66 b7 4d 7f f1 15 3e fd 6d b6 d0 b0 e3"
#define SERVER_ALERT "17 03 03 00 13 b5 8f d6 71 66 eb f5 99 d2 47 20 cf be 7e fa 7a 88 64 a9"

static void records_of_the_published_trace_are_opened_and_made(void **state)
{
    uint8_t client_secret[48], server_secret[48], data[50], record[128], out[128], expected[128];
    size_t len, made;

    (void)state;
    from_hex(CLIENT_SECRET, client_secret);
    from_hex(SERVER_SECRET, server_secret);
    for (size_t i = 0; i < sizeof(data); i++)
        data[i] = (uint8_t)i;
    for (int is_client = 0; is_client < 2; is_client++) {
        struct pn_records *records = NULL;
        struct pn_slice content;
        /* The server's first record of application keys was its ticket. */
        struct pn_records_spec spec = {.suite = PN_RECORD_AES_128_GCM_SHA256,
                                       .is_client = is_client,
                                       .secret_in = is_client ? server_secret : client_secret,
                                       .secret_out = is_client ? client_secret : server_secret,
                                       .sequence_in = is_client ? 1 : 0,
                                       .sequence_out = is_client ? 0 : 1};

        assert_int_equal(pn_records_create(&spec, &records), PN_OK);
        len = from_hex(is_client ? SERVER_DATA : CLIENT_DATA, record);
        assert_int_equal(pn_records_open(records, record, len, out, sizeof(out), &content), PN_OK);
        assert_int_equal(content.len, sizeof(data));
        assert_memory_equal(content.ptr, data, sizeof(data));
        len = from_hex(is_client ? SERVER_ALERT : CLIENT_ALERT, record);
        assert_int_equal(pn_records_open(records, record, len, out, sizeof(out), &content), PN_EOF);

        made = pack(records, data, sizeof(data), out, sizeof(out), NULL);
        assert_int_equal(made, from_hex(is_client ? CLIENT_DATA : SERVER_DATA, expected));
        assert_memory_equal(out, expected, made);
        assert_int_equal(pn_records_alert(records, PN_ALERT_CLOSE_NOTIFY, out), PN_OK);
        (void)from_hex(is_client ? CLIENT_ALERT : SERVER_ALERT, expected);
        assert_memory_equal(out, expected, PN_RECORD_ALERT_BYTES);
        pn_records_destroy(records);
    }
}

/* ---- data */

static void fill(uint8_t *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++)
        bytes[i] = (uint8_t)(i * 31 + i / 251);
}

/* Opens everything that `writer` has sealed; returns the bytes of content. */
static size_t open_stream(struct pn_records *reader, uint8_t *bytes, size_t len, uint8_t *out)
{
    size_t at = 0, got = 0, whole = 0;

    while (at < len) {
        uint8_t inner[PN_RECORD_BYTES_MAX];
        struct pn_slice data;

        assert_int_equal(pn_records_whole(reader, pn_slice(bytes + at, len - at), &whole), PN_OK);
        assert_int_equal(pn_records_open(reader, bytes + at, whole, inner, sizeof(inner), &data),
                         PN_OK);
        memcpy(out + got, data.ptr, data.len);
        got += data.len;
        at += whole;
    }
    return got;
}

static void data_of_any_length_passes_with_every_suite(void **state)
{
    static const size_t lengths[] = {1, 2, 100, 2048, 2049, 4096, 16383, 16384, 16385, 40000};
    static uint8_t data[40000], sealed[50000], got[40000];

    (void)state;
    fill(data, sizeof(data));
    for (size_t s = 0; s < SUITES; s++) {
        struct pn_records *client = make(suites[s].suite, true, 0);
        struct pn_records *server = make(suites[s].suite, false, 0);

        for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
            size_t n = lengths[i];
            struct iovec iov[] = {{data, n / 3}, {data, 0}, {data + n / 3, n - n / 3}, {data, 0}};
            struct pn_record_batch batch;

            assert_int_equal(pn_records_pack(client, iov, 4, sealed, sizeof(sealed), &batch),
                             PN_OK);
            assert_int_equal(batch.taken, n);
            assert_int_equal(batch.len, n + (n + 16383) / 16384 * PN_RECORD_OVERHEAD);
            assert_int_equal(open_stream(server, sealed, batch.len, got), n);
            assert_memory_equal(got, data, n);
            /* back, and after a rest */
            pn_records_rest(client);
            pn_records_rest(server);
            assert_int_equal(open_stream(client, sealed,
                                         pack(server, data, n, sealed, sizeof(sealed), NULL), got),
                             n);
            assert_memory_equal(got, data, n);
        }
        pn_records_destroy(client);
        pn_records_destroy(server);
    }
}

static void what_has_no_room_is_not_taken(void **state)
{
    static uint8_t data[40000], sealed[20000], got[40000];
    struct pn_records *client = make(PN_RECORD_AES_128_GCM_SHA256, true, 0);
    struct pn_records *server = make(PN_RECORD_AES_128_GCM_SHA256, false, 0);
    struct iovec iov = {data, sizeof(data)};
    struct pn_record_batch batch;

    (void)state;
    fill(data, sizeof(data));
    assert_int_equal(pn_records_pack(client, &iov, 1, sealed, sizeof(sealed), &batch), PN_OK);
    assert_int_equal(batch.taken, sizeof(sealed) - 2 * PN_RECORD_OVERHEAD);
    assert_int_equal(batch.len, sizeof(sealed));
    assert_int_equal(open_stream(server, sealed, batch.len, got), batch.taken);
    assert_memory_equal(got, data, batch.taken);
    iov.iov_len = 0;
    assert_int_equal(pn_records_pack(client, &iov, 1, sealed, sizeof(sealed), &batch), PN_OK);
    assert_int_equal(batch.len, 0);
    pn_records_destroy(client);
    pn_records_destroy(server);
}

static void record_that_does_not_fit_is_opened_in_its_place(void **state)
{
    struct pair pair;
    size_t len;

    (void)state;
    begin(&pair, true);
    len = wire_seal(&pair.wire, 23, "hello", 5, 100, pair.record);
    assert_int_equal(pn_records_open(pair.records, pair.record, len, pair.out, 5, &pair.data),
                     PN_OK);
    assert_data(&pair, "hello", 5);
    assert_ptr_equal(pair.data.ptr, pair.record + PN_RECORD_HEADER_BYTES);
    assert_false(pn_records_fits(len, 105));
    assert_true(pn_records_fits(len, 106));
    finish(&pair);
}

static void record_is_whole_with_its_last_byte(void **state)
{
    struct pair pair;
    size_t len, whole;

    (void)state;
    begin(&pair, true);
    len = wire_seal(&pair.wire, 23, "hello", 5, 0, pair.record);
    for (size_t i = 0; i < len; i++)
        assert_int_equal(pn_records_whole(pair.records, pn_slice(pair.record, i), &whole),
                         PN_AGAIN);
    for (size_t more = 0; more < 3; more++) {
        assert_int_equal(pn_records_whole(pair.records, pn_slice(pair.record, len + more), &whole),
                         PN_OK);
        assert_int_equal(whole, len);
    }
    assert_int_equal(open_bytes(&pair, len), PN_OK);
    assert_data(&pair, "hello", 5);
    finish(&pair);
}

static void every_changed_bit_is_seen(void **state)
{
    (void)state;
    for (size_t s = 0; s < SUITES; s++) {
        for (size_t bit = 0; bit < 8 * (PN_RECORD_SEALED(5)); bit++) {
            struct pair pair;
            size_t len, whole = 0;
            enum pn_rc rc;

            begin_with(&pair, suites[s].suite, false);
            len = wire_seal(&pair.wire, 23, "hello", 5, 0, pair.record);
            pair.record[bit / 8] ^= (uint8_t)(1 << bit % 8);
            rc = pn_records_whole(pair.records, pn_slice(pair.record, sizeof(pair.record)), &whole);
            if (rc == PN_OK) {
                assert_true(bit / 8 != 0);
                rc = pn_records_open(pair.records, pair.record, whole, pair.out, sizeof(pair.out),
                                     &pair.data);
                assert_fault(&pair, rc, PN_MALFORMED, PN_ALERT_BAD_RECORD_MAC);
                for (size_t i = 0; i < len && whole == len && i < 6; i++)
                    assert_int_equal(pair.out[i], 0); /* nothing of it is left */
            } else {
                assert_int_equal(rc, PN_MALFORMED);
                assert_in_range(bit / 8, 0, 4);
            }
            /* It stays so. */
            assert_int_equal(take(&pair, 23, "more", 4), PN_MALFORMED);
            finish(&pair);
        }
    }
}

static void record_comes_once_and_in_its_order(void **state)
{
    struct pair pair;
    uint8_t first[64];
    size_t len;

    (void)state;
    begin(&pair, true);
    len = wire_seal(&pair.wire, 23, "first", 5, 0, first);
    memcpy(pair.record, first, len);
    assert_int_equal(open_bytes(&pair, len), PN_OK);
    memcpy(pair.record, first, len); /* again */
    assert_fault(&pair, open_bytes(&pair, len), PN_MALFORMED, PN_ALERT_BAD_RECORD_MAC);
    finish(&pair);

    begin(&pair, true);
    (void)wire_seal(&pair.wire, 23, "first", 5, 0, pair.record); /* lost */
    assert_fault(&pair, take(&pair, 23, "second", 6), PN_MALFORMED, PN_ALERT_BAD_RECORD_MAC);
    finish(&pair);
}

static void padding_is_taken_off(void **state)
{
    static const size_t paddings[] = {0, 1, 255, 16000, 16379};
    struct pair pair;

    (void)state;
    begin(&pair, true);
    for (size_t i = 0; i < 5; i++) {
        size_t len = wire_seal(&pair.wire, 23, "he\0lo\0", 6 - (i == 4), paddings[i], pair.record);

        assert_int_equal(open_bytes(&pair, len), PN_OK);
        assert_data(&pair, "he\0lo\0", 6 - (i == 4)); /* zeros of the content stay */
    }
    assert_fault(&pair, open_bytes(&pair, wire_seal(&pair.wire, 0, NULL, 0, 20, pair.record)),
                 PN_MALFORMED, PN_ALERT_UNEXPECTED_MESSAGE);
    finish(&pair);
}

static void length_has_its_limit(void **state)
{
    static uint8_t zeros[17000];
    struct pair pair;
    size_t len;

    (void)state;
    begin(&pair, true);
    assert_int_equal(take(&pair, 23, zeros, PN_RECORD_PLAIN_MAX), PN_OK);
    assert_int_equal(pair.data.len, PN_RECORD_PLAIN_MAX);
    assert_fault(&pair, take(&pair, 23, zeros, PN_RECORD_PLAIN_MAX + 1), PN_MALFORMED,
                 PN_ALERT_RECORD_OVERFLOW);
    finish(&pair);

    begin(&pair, true); /* padding counts */
    len = wire_seal(&pair.wire, 23, "x", 1, PN_RECORD_PLAIN_MAX, pair.record);
    assert_fault(&pair, open_bytes(&pair, len), PN_MALFORMED, PN_ALERT_RECORD_OVERFLOW);
    finish(&pair);

    begin(&pair, true); /* refused before it has come */
    memcpy(pair.record, "\x17\x03\x03\x41\x01", 5);
    assert_fault(&pair, pn_records_whole(pair.records, pn_slice(pair.record, 5), &len),
                 PN_MALFORMED, PN_ALERT_RECORD_OVERFLOW);
    finish(&pair);

    for (uint8_t behind = 0; behind <= PN_RECORD_TAG_BYTES; behind++) {
        begin(&pair, true);
        memcpy(pair.record, "\x17\x03\x03\x00", 4);
        pair.record[4] = behind;
        assert_fault(&pair, pn_records_whole(pair.records, pn_slice(pair.record, 5), &len),
                     PN_MALFORMED, PN_ALERT_BAD_RECORD_MAC);
        finish(&pair);
    }
}

static void only_encrypted_records_may_come(void **state)
{
    static const uint8_t types[] = {0, 20, 21, 22, 24, 128, 'G'};

    (void)state;
    for (size_t i = 0; i < sizeof(types); i++) {
        struct pair pair;
        size_t len;

        begin(&pair, true);
        assert_int_equal(take(&pair, 23, "x", 1), PN_OK);
        pair.data.len = 0;
        memcpy(pair.record, "?\x03\x03\x00\x02\x01\x00", 7); /* a plain close_notify is none */
        pair.record[0] = types[i];
        assert_fault(&pair, pn_records_whole(pair.records, pn_slice(pair.record, 1), &len),
                     PN_MALFORMED, PN_ALERT_UNEXPECTED_MESSAGE);
        finish(&pair);
    }
}

static void unknown_types_are_refused(void **state)
{
    static const uint8_t types[] = {1, 20, 24, 255};

    (void)state;
    for (size_t i = 0; i < sizeof(types); i++) {
        struct pair pair;

        begin(&pair, i % 2);
        assert_fault(&pair, take(&pair, types[i], "\x01", 1), PN_MALFORMED,
                     PN_ALERT_UNEXPECTED_MESSAGE);
        finish(&pair);
    }
}

/* ---- alerts */

static void alerts_end_the_connection(void **state)
{
    struct pair pair;

    (void)state;
    begin(&pair, true);
    assert_int_equal(take(&pair, 23, "x", 1), PN_OK);
    assert_fault(&pair, take(&pair, 21, "\x01\x00", 2), PN_EOF, PN_ALERT_NONE);
    assert_int_equal(take(&pair, 23, "x", 1), PN_EOF); /* what comes behind counts for nothing */
    assert_true(pack(pair.records, "x", 1, pair.out, sizeof(pair.out), NULL) > 0);
    finish(&pair);

    begin(&pair, false);
    assert_int_equal(take(&pair, 21, "\x01\x5a", 2), PN_OK); /* user_canceled */
    assert_fault(&pair, take(&pair, 21, "\x02\x00", 2), PN_EOF, PN_ALERT_NONE);
    finish(&pair);

    for (int level = 0; level < 3; level++) { /* the level counts for nothing (§6) */
        uint8_t bytes[2] = {(uint8_t)level, 46};

        begin(&pair, true);
        assert_fault(&pair, take(&pair, 21, bytes, 2), PN_DENIED, PN_ALERT_NONE);
        assert_int_equal(pn_records_fault(pair.records)->received, 46);
        assert_int_equal(take(&pair, 23, "x", 1), PN_DENIED);
        finish(&pair);
    }
    for (size_t len = 0; len < 5; len++) {
        if (len == 2)
            continue;
        begin(&pair, true);
        assert_fault(&pair, take(&pair, 21, "\x01\x00\x01\x00", len), PN_MALFORMED,
                     PN_ALERT_DECODE_ERROR);
        finish(&pair);
    }
}

static void nothing_follows_our_alert(void **state)
{
    struct pn_records *client = make(PN_RECORD_AES_256_GCM_SHA384, true, 0);
    struct pn_records *server = make(PN_RECORD_AES_256_GCM_SHA384, false, 0);
    uint8_t alert[PN_RECORD_ALERT_BYTES], out[100];
    struct iovec iov = {out, 1};
    struct pn_record_batch batch;
    struct pn_slice data;

    (void)state;
    assert_int_equal(pn_records_alert(client, PN_ALERT_BAD_RECORD_MAC, alert), PN_OK);
    assert_int_equal(pn_records_open(server, alert, sizeof(alert), out, sizeof(out), &data),
                     PN_DENIED);
    assert_int_equal(pn_records_fault(server)->received, PN_ALERT_BAD_RECORD_MAC);
    assert_int_equal(pn_records_alert(client, PN_ALERT_CLOSE_NOTIFY, alert), PN_INTERNAL);
    assert_int_equal(pn_records_pack(client, &iov, 1, out, sizeof(out), &batch), PN_INTERNAL);
    pn_records_destroy(client);
    pn_records_destroy(server);
}

/* ---- KeyUpdate */

#define KEY_UPDATE(request) "\x18\x00\x00\x01" request

static void peer_may_replace_its_key(void **state)
{
    (void)state;
    for (size_t s = 0; s < SUITES; s++) {
        struct pair pair;
        size_t lead = 1;

        begin_with(&pair, suites[s].suite, s % 2);
        for (int i = 0; i < 3; i++) {
            assert_int_equal(take(&pair, 23, "before", 6), PN_OK);
            assert_int_equal(take(&pair, 22, KEY_UPDATE("\0"), 5), PN_OK);
            wire_update(&pair.wire);
            assert_int_equal(take(&pair, 23, "behind", 6), PN_OK);
            assert_data(&pair, "behind", 6);
        }
        (void)pack(pair.records, "x", 1, pair.out, sizeof(pair.out), &lead);
        assert_int_equal(lead, 0); /* it did not ask for ours */
        assert_int_equal(take(&pair, 22, KEY_UPDATE("\0"), 5), PN_OK);
        assert_fault(&pair, take(&pair, 23, "old key", 7), PN_MALFORMED, PN_ALERT_BAD_RECORD_MAC);
        finish(&pair);
    }
}

static void peer_that_asks_for_our_next_key_gets_it_before_the_next_data(void **state)
{
    struct pn_records *client = make(PN_RECORD_AES_128_GCM_SHA256, true, 0);
    struct pair server;
    uint8_t sealed[200], got[100];
    size_t len, lead = 0;

    (void)state;
    begin(&server, false);
    for (int i = 0; i < 5; i++) { /* asked five times while we are silent: one answer */
        assert_int_equal(take(&server, 22, KEY_UPDATE("\1"), 5), PN_OK);
        wire_update(&server.wire);
    }
    len = pack(server.records, "answer", 6, sealed, sizeof(sealed), &lead);
    assert_int_equal(lead, PN_RECORD_UPDATE_BYTES);
    assert_int_equal(len, PN_RECORD_UPDATE_BYTES + PN_RECORD_SEALED(6));
    assert_int_equal(open_stream(client, sealed, len, got), 6);
    len = pack(server.records, "more", 4, sealed, sizeof(sealed), &lead);
    assert_int_equal(lead, 0);
    assert_int_equal(open_stream(client, sealed, len, got), 4);
    assert_memory_equal(got, "more", 4);
    pn_records_destroy(client);
    finish(&server);
}

static void key_update_may_come_in_pieces_and_nothing_behind_it(void **state)
{
    struct pair pair;

    (void)state;
    begin(&pair, true);
    for (size_t i = 0; i < 5; i++)
        assert_int_equal(take(&pair, 22, KEY_UPDATE("\0") + i, 1), PN_OK);
    wire_update(&pair.wire);
    assert_int_equal(take(&pair, 23, "x", 1), PN_OK);
    assert_fault(&pair, (pair.data.len = 0, take(&pair, 22, KEY_UPDATE("\0") "\x18", 6)),
                 PN_MALFORMED, PN_ALERT_UNEXPECTED_MESSAGE);
    finish(&pair);

    begin(&pair, true);
    assert_fault(&pair, take(&pair, 22, KEY_UPDATE("\2"), 5), PN_MALFORMED,
                 PN_ALERT_ILLEGAL_PARAMETER);
    finish(&pair);
    begin(&pair, true);
    assert_fault(&pair, take(&pair, 22, "\x18\x00\x00\x02\x00\x00", 6), PN_MALFORMED,
                 PN_ALERT_DECODE_ERROR);
    finish(&pair);
    begin(&pair, true);
    assert_fault(&pair, take(&pair, 22, "\x18\x00\x00\x00", 4), PN_MALFORMED,
                 PN_ALERT_DECODE_ERROR);
    finish(&pair);
}

static void keys_are_replaced_before_they_are_worn(void **state)
{
    struct pn_records *client = make(PN_RECORD_AES_128_GCM_SHA256, true, 8);
    struct pn_records *server = make(PN_RECORD_AES_128_GCM_SHA256, false, 0);
    uint8_t sealed[200], got[100];
    size_t lead = 0, updates = 0, answers = 0;

    (void)state;
    for (int i = 0; i < 100; i++) {
        size_t len = pack(client, "data", 4, sealed, sizeof(sealed), &lead);

        updates += lead > 0;
        assert_int_equal(open_stream(server, sealed, len, got), 4);
        /* The server does not count, but is asked: what it sends is protected by few keys, too. */
        len = pack(server, "back", 4, sealed, sizeof(sealed), &lead);
        answers += lead > 0;
        assert_int_equal(open_stream(client, sealed, len, got), 4);
    }
    assert_in_range(updates, 100 / 8 - 1, 100 / 8 + 1);
    assert_in_range(answers, 5, updates);
    pn_records_destroy(client);
    pn_records_destroy(server);
}

static void batch_ends_before_a_key_is_replaced(void **state)
{
    struct pn_records *client = make(PN_RECORD_AES_128_GCM_SHA256, true, 2);
    struct pn_records *server = make(PN_RECORD_AES_128_GCM_SHA256, false, 0);
    static uint8_t data[70000], sealed[80000], got[70000];
    size_t at = 0;

    (void)state;
    fill(data, sizeof(data));
    for (int round = 0; at < sizeof(data); round++) {
        struct iovec iov = {data + at, sizeof(data) - at};
        struct pn_record_batch batch;

        assert_int_equal(pn_records_pack(client, &iov, 1, sealed, sizeof(sealed), &batch), PN_OK);
        assert_int_equal(batch.lead, round > 0 ? PN_RECORD_UPDATE_BYTES : 0);
        assert_in_range(batch.taken, 1, 2 * PN_RECORD_PLAIN_MAX);
        assert_int_equal(open_stream(server, sealed, batch.len, got + at), batch.taken);
        at += batch.taken;
    }
    assert_memory_equal(got, data, sizeof(data));
    pn_records_destroy(client);
    pn_records_destroy(server);
}

/* ---- other messages */

static void client_reads_over_tickets(void **state)
{
    static const size_t pieces[] = {76, 100, 302, 303, 304, 305, 607};
    static uint8_t tickets[2 * (4 + 300)];
    struct pair pair;

    (void)state;
    for (int i = 0; i < 2; i++)
        memcpy(tickets + i * 304, "\x04\x00\x01\x2c", 4);
    for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
        begin(&pair, true);
        for (size_t at = 0; at < sizeof(tickets); at += pieces[i]) {
            size_t left = sizeof(tickets) - at;

            assert_int_equal(take(&pair, 22, tickets + at, left < pieces[i] ? left : pieces[i]),
                             PN_OK);
            assert_int_equal(pair.data.len, 0);
        }
        assert_int_equal(take(&pair, 23, "x", 1), PN_OK);
        assert_data(&pair, "x", 1);
        finish(&pair);
    }
    begin(&pair, true);
    assert_int_equal(take(&pair, 22, tickets, sizeof(tickets)), PN_OK);
    assert_int_equal(take(&pair, 22, "\x04\x00\x00\x00", 4), PN_OK);
    assert_int_equal(take(&pair, 23, "data", 4), PN_OK);
    assert_data(&pair, "data", 4);
    finish(&pair);

    begin(&pair, true); /* within one, nothing else may come */
    assert_int_equal(take(&pair, 22, tickets, 100), PN_OK);
    assert_fault(&pair, take(&pair, 23, "data", 4), PN_MALFORMED, PN_ALERT_UNEXPECTED_MESSAGE);
    finish(&pair);
    begin(&pair, true);
    assert_fault(&pair, take(&pair, 22, "\x04\x02\x02\x00", 4), PN_MALFORMED,
                 PN_ALERT_DECODE_ERROR);
    finish(&pair);
    begin(&pair, true);
    assert_fault(&pair, take(&pair, 22, "", 0), PN_MALFORMED, PN_ALERT_UNEXPECTED_MESSAGE);
    finish(&pair);
    begin(&pair, false); /* a server gets none */
    assert_fault(&pair, take(&pair, 22, tickets, 304), PN_MALFORMED, PN_ALERT_UNEXPECTED_MESSAGE);
    finish(&pair);
}

static void messages_of_a_handshake_are_refused(void **state)
{
    (void)state;
    for (int type = 0; type < 256; type++) {
        uint8_t message[5] = {(uint8_t)type, 0, 0, 1, 0};

        for (int is_client = 0; is_client < 2; is_client++) {
            struct pair pair;

            if (type == 24 || (type == 4 && is_client))
                continue;
            begin(&pair, is_client);
            assert_fault(&pair, take(&pair, 22, message, 5), PN_MALFORMED,
                         type == 13 && is_client ? PN_ALERT_HANDSHAKE_FAILURE
                                                 : PN_ALERT_UNEXPECTED_MESSAGE);
            assert_int_equal(pn_records_fault(pair.records)->is_request, type == 13 && is_client);
            finish(&pair);
        }
    }
}

static void records_without_data_are_bounded_in_a_row(void **state)
{
    struct pair pair;

    (void)state;
    for (int kind = 0; kind < 3; kind++) {
        begin(&pair, true);
        for (int round = 0; round < 3; round++) {
            for (int i = 0; i < EMPTY_MAX; i++) {
                if (kind == 0) {
                    assert_int_equal(take(&pair, 23, "", 0), PN_OK);
                } else if (kind == 1) {
                    assert_int_equal(take(&pair, 22, KEY_UPDATE("\1"), 5), PN_OK);
                    wire_update(&pair.wire);
                } else {
                    assert_int_equal(take(&pair, 21, "\x01\x5a", 2), PN_OK);
                }
                assert_int_equal(pair.data.len, 0);
            }
            assert_int_equal(take(&pair, 23, "x", 1), PN_OK);
        }
        for (int i = 0; i < EMPTY_MAX; i++)
            assert_int_equal(take(&pair, 23, "", 0), PN_OK);
        assert_fault(&pair, take(&pair, 23, "", 0), PN_LIMIT, PN_ALERT_UNEXPECTED_MESSAGE);
        finish(&pair);
    }
}

static void unknown_suites_are_refused(void **state)
{
    struct pn_records_spec spec = {
        .suite = 0x1304, .secret_in = secrets[0], .secret_out = secrets[1]};
    struct pn_records *records = NULL;

    (void)state;
    assert_int_equal(pn_records_create(&spec, &records), PN_UNSUPPORTED);
    assert_null(records);
    assert_int_equal(pn_records_secret_len(0x1304), 0);
    assert_int_equal(pn_records_secret_len(PN_RECORD_AES_256_GCM_SHA384), 48);
    pn_records_destroy(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(records_of_the_published_trace_are_opened_and_made),
        cmocka_unit_test(data_of_any_length_passes_with_every_suite),
        cmocka_unit_test(what_has_no_room_is_not_taken),
        cmocka_unit_test(record_that_does_not_fit_is_opened_in_its_place),
        cmocka_unit_test(record_is_whole_with_its_last_byte),
        cmocka_unit_test(every_changed_bit_is_seen),
        cmocka_unit_test(record_comes_once_and_in_its_order),
        cmocka_unit_test(padding_is_taken_off),
        cmocka_unit_test(length_has_its_limit),
        cmocka_unit_test(only_encrypted_records_may_come),
        cmocka_unit_test(unknown_types_are_refused),
        cmocka_unit_test(alerts_end_the_connection),
        cmocka_unit_test(nothing_follows_our_alert),
        cmocka_unit_test(peer_may_replace_its_key),
        cmocka_unit_test(peer_that_asks_for_our_next_key_gets_it_before_the_next_data),
        cmocka_unit_test(key_update_may_come_in_pieces_and_nothing_behind_it),
        cmocka_unit_test(keys_are_replaced_before_they_are_worn),
        cmocka_unit_test(batch_ends_before_a_key_is_replaced),
        cmocka_unit_test(client_reads_over_tickets),
        cmocka_unit_test(messages_of_a_handshake_are_refused),
        cmocka_unit_test(records_without_data_are_bounded_in_a_row),
        cmocka_unit_test(unknown_suites_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
