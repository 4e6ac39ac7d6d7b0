/* SPDX-License-Identifier: Apache-2.0
 *
 * What a key may sign, both sides of every border.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/encode.h"
#include "ipc/protocol.h"
#include "keyholder/rules.h"

static enum pn_rc check(enum pn_key_use use, enum pn_sign_algorithm algorithm,
                        const struct pn_buf *message)
{
    struct pn_error err = {0};

    return pn_rules_check(use, algorithm, pn_buf_slice(message), &err);
}

static void fill(struct pn_buf *out, char byte, size_t count)
{
    for (size_t i = 0; i < count; i++)
        assert_int_equal(pn_buf_append_byte(out, byte), PN_OK);
}

static void tls13(struct pn_buf *out, const char *who, size_t hash_len)
{
    pn_buf_clear(out);
    fill(out, ' ', 64);
    assert_int_equal(pn_buf_append_str(out, "TLS 1.3, "), PN_OK);
    assert_int_equal(pn_buf_append_str(out, who), PN_OK);
    assert_int_equal(pn_buf_append_str(out, " CertificateVerify"), PN_OK);
    fill(out, '\0', 1);
    fill(out, (char)0xab, hash_len);
}

static void handshake(struct pn_buf *out, char type, size_t len)
{
    fill(out, type, 1);
    fill(out, (char)(len >> 16), 1);
    fill(out, (char)(len >> 8), 1);
    fill(out, (char)len, 1);
    if (len >= 2) {
        fill(out, 3, 2);
        fill(out, 0, len - 2);
    }
}

/* The messages of a handshake as `types` names them. */
static void tls12(struct pn_buf *out, const char *types)
{
    pn_buf_clear(out);
    for (; *types; types++)
        handshake(out, *types, *types == 14 ? 0 : *types == 11 ? 20000 : 60);
}

static void keyholder_signs_what_is_a_client_handshake(void **state)
{
    struct pn_buf m;

    (void)state;
    pn_buf_init(&m, PN_SIGN_MESSAGE_BYTES_MAX);
    tls13(&m, "client", 32);
    assert_int_equal(check(PN_USE_CLIENT, PN_SIGN_RSA_PSS_SHA256, &m), PN_OK);
    tls13(&m, "client", 48);
    assert_int_equal(check(PN_USE_CLIENT, PN_SIGN_ECDSA_SHA384, &m), PN_OK);
    tls12(&m, "\x01\x02\x0b\x0c\x0d\x0e\x0b\x10");
    assert_int_equal(check(PN_USE_CLIENT, PN_SIGN_RSA_PKCS1_SHA256, &m), PN_OK);
    tls12(&m, "\x01\x02\x0b\x16\x0c\x0d\x0e\x0b\x10");
    assert_int_equal(check(PN_USE_CLIENT, PN_SIGN_ECDSA_SHA256, &m), PN_OK);
    tls12(&m, "\x01\x02\x0b\x0d\x0e\x0b\x10"); /* RSA key exchange */
    assert_int_equal(check(PN_USE_CLIENT, PN_SIGN_RSA_PKCS1_SHA256, &m), PN_OK);
    pn_buf_fini(&m);
}

static void keyholder_refuses_to_sign_what_is_not_a_client_handshake(void **state)
{
    static const char *const orders[] = {
        "\x01",
        "\x01\x02",
        "\x02\x01\x0d\x0e\x0b\x10",
        "\x01\x02\x0b\x0c\x0e\x0b\x10",         /* nobody asked for a certificate */
        "\x01\x02\x0b\x0c\x0d\x0e\x10",         /* none was sent */
        "\x01\x02\x0b\x0c\x0d\x0e\x0b",         /* it stops early */
        "\x01\x02\x0b\x0c\x0d\x0e\x0b\x10\x0f", /* it goes on */
        "\x01\x02\x0b\x0c\x0d\x0e\x0b\x10\x01",
        "\x01\x01\x02\x0b\x0c\x0d\x0e\x0b\x10",
        "\x01\x02\x0c\x0b\x0d\x0e\x0b\x10",
    };
    struct pn_buf m;

    (void)state;
    pn_buf_init(&m, PN_SIGN_MESSAGE_BYTES_MAX);
    assert_int_equal(check(PN_USE_CLIENT, PN_SIGN_RSA_PKCS1_SHA256, &m), PN_DENIED);
    for (size_t i = 0; i < sizeof(orders) / sizeof(orders[0]); i++) {
        tls12(&m, orders[i]);
        assert_int_equal(check(PN_USE_CLIENT, PN_SIGN_RSA_PKCS1_SHA256, &m), PN_DENIED);
    }
    tls12(&m, "\x01\x02\x0b\x0c\x0d\x0e\x0b\x10");
    m.ptr[4] = 2; /* the hello's version */
    assert_int_equal(check(PN_USE_CLIENT, PN_SIGN_RSA_PKCS1_SHA256, &m), PN_DENIED);
    pn_buf_clear(&m);
    fill(&m, 0x30, 400); /* the beginning of a certificate */
    assert_int_equal(check(PN_USE_CLIENT, PN_SIGN_RSA_PKCS1_SHA256, &m), PN_DENIED);
    pn_buf_fini(&m);
}

static void a_transcript_with_one_byte_too_few_or_too_many_is_refused(void **state)
{
    struct pn_buf m;
    struct pn_error err = {0};

    (void)state;
    pn_buf_init(&m, PN_SIGN_MESSAGE_BYTES_MAX);
    pn_buf_clear(&m);
    for (const char *type = "\x01\x02\x0d\x0e\x0b\x10"; *type; type++)
        handshake(&m, *type, 40);
    assert_int_equal(check(PN_USE_CLIENT, PN_SIGN_RSA_PKCS1_SHA256, &m), PN_OK);
    for (size_t len = 0; len < m.len; len++)
        assert_int_equal(
            pn_rules_check(PN_USE_CLIENT, PN_SIGN_RSA_PKCS1_SHA256, pn_slice(m.ptr, len), &err),
            PN_DENIED);
    fill(&m, 0, 1);
    assert_int_equal(check(PN_USE_CLIENT, PN_SIGN_RSA_PKCS1_SHA256, &m), PN_DENIED);
    pn_buf_fini(&m);
}

static void a_tls13_message_is_refused_when_any_part_differs(void **state)
{
    struct pn_buf m;

    (void)state;
    pn_buf_init(&m, 1024);
    for (size_t hash_len = 0; hash_len < 70; hash_len++) {
        bool is_hash = hash_len == 32 || hash_len == 48 || hash_len == 64;

        tls13(&m, "client", hash_len);
        assert_int_equal(check(PN_USE_CLIENT, PN_SIGN_ECDSA_SHA256, &m),
                         is_hash ? PN_OK : PN_DENIED);
    }
    for (size_t i = 0; i < 64 + 33 + 1; i++) {
        tls13(&m, "client", 32);
        m.ptr[i] ^= 1;
        assert_int_equal(check(PN_USE_CLIENT, PN_SIGN_ECDSA_SHA256, &m), PN_DENIED);
    }
    tls13(&m, "client", 32);
    assert_int_equal(check(PN_USE_CLIENT, PN_SIGN_RSA_PKCS1_SHA256, &m), PN_DENIED);
    assert_int_equal(check(PN_USE_CLIENT, PN_SIGN_ECDSA_SHA1, &m), PN_DENIED);
    pn_buf_fini(&m);
}

static void client_key_never_signs_a_servers_handshake_nor_the_other_way(void **state)
{
    struct pn_buf m;

    (void)state;
    pn_buf_init(&m, PN_SIGN_MESSAGE_BYTES_MAX);
    tls13(&m, "server", 32);
    assert_int_equal(check(PN_USE_SERVER, PN_SIGN_ECDSA_SHA256, &m), PN_OK);
    assert_int_equal(check(PN_USE_CLIENT, PN_SIGN_ECDSA_SHA256, &m), PN_DENIED);
    tls13(&m, "client", 32);
    assert_int_equal(check(PN_USE_SERVER, PN_SIGN_ECDSA_SHA256, &m), PN_DENIED);
    tls12(&m, "\x01\x02\x0b\x0c\x0d\x0e\x0b\x10");
    assert_int_equal(check(PN_USE_SERVER, PN_SIGN_RSA_PKCS1_SHA256, &m), PN_DENIED);
    pn_buf_fini(&m);
}

static void server_key_signs_only_named_curve_parameters(void **state)
{
    static const struct {
        unsigned group;
        size_t point;
        enum pn_rc rc;
    } cases[] = {{23, 65, PN_OK},     {24, 97, PN_OK},     {25, 133, PN_OK},
                 {29, 32, PN_OK},     {30, 56, PN_OK},     {23, 64, PN_DENIED},
                 {29, 33, PN_DENIED}, {22, 65, PN_DENIED}, {256, 65, PN_DENIED}};
    struct pn_buf m;

    (void)state;
    pn_buf_init(&m, 1024);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        pn_buf_clear(&m);
        fill(&m, 0x30, 64);
        fill(&m, 3, 1);
        fill(&m, (char)(cases[i].group >> 8), 1);
        fill(&m, (char)cases[i].group, 1);
        fill(&m, (char)cases[i].point, 1);
        fill(&m, 4, cases[i].point);
        assert_int_equal(check(PN_USE_SERVER, PN_SIGN_RSA_PKCS1_SHA256, &m), cases[i].rc);
        assert_int_equal(check(PN_USE_CLIENT, PN_SIGN_RSA_PKCS1_SHA256, &m), PN_DENIED);
        fill(&m, 0, 1);
        assert_int_equal(check(PN_USE_SERVER, PN_SIGN_RSA_PKCS1_SHA256, &m), PN_DENIED);
    }
    pn_buf_fini(&m);
}

static void token_key_never_signs_a_handshake(void **state)
{
    struct pn_buf m;

    (void)state;
    pn_buf_init(&m, PN_SIGN_MESSAGE_BYTES_MAX);
    tls13(&m, "client", 32);
    assert_int_equal(check(PN_USE_TOKEN, PN_SIGN_RSA_PSS_SHA256, &m), PN_DENIED);
    tls13(&m, "server", 32);
    assert_int_equal(check(PN_USE_TOKEN, PN_SIGN_RSA_PSS_SHA256, &m), PN_DENIED);
    tls12(&m, "\x01\x02\x0b\x0c\x0d\x0e\x0b\x10");
    assert_int_equal(check(PN_USE_TOKEN, PN_SIGN_RSA_PKCS1_SHA256, &m), PN_DENIED);
    pn_buf_fini(&m);
}

static enum pn_rc token(const char *header, const char *rest, enum pn_sign_algorithm algorithm)
{
    struct pn_buf m;
    enum pn_rc rc;

    pn_buf_init(&m, 64 * 1024);
    assert_int_equal(pn_base64url_encode(pn_slice_str(header), &m), PN_OK);
    assert_int_equal(pn_buf_append_str(&m, rest), PN_OK);
    rc = check(PN_USE_TOKEN, algorithm, &m);
    pn_buf_fini(&m);
    return rc;
}

static void token_key_signs_only_a_jws_of_its_algorithm(void **state)
{
    const char *header = "{\"alg\":\"RS256\",\"typ\":\"JWT\"}";

    (void)state;
    assert_int_equal(token(header, ".e30", PN_SIGN_RSA_PKCS1_SHA256), PN_OK);
    assert_int_equal(token(header, ".e30", PN_SIGN_RSA_PSS_SHA256), PN_DENIED);
    assert_int_equal(token("{\"alg\":\"none\"}", ".e30", PN_SIGN_RSA_PKCS1_SHA256), PN_DENIED);
    assert_int_equal(token("{\"typ\":\"JWT\"}", ".e30", PN_SIGN_RSA_PKCS1_SHA256), PN_DENIED);
    assert_int_equal(token("[\"RS256\"]", ".e30", PN_SIGN_RSA_PKCS1_SHA256), PN_DENIED);
    assert_int_equal(token("no json", ".e30", PN_SIGN_RSA_PKCS1_SHA256), PN_DENIED);
    assert_int_equal(token(header, "", PN_SIGN_RSA_PKCS1_SHA256), PN_DENIED);
    assert_int_equal(token(header, ".", PN_SIGN_RSA_PKCS1_SHA256), PN_DENIED);
    assert_int_equal(token(header, ".e30.e30", PN_SIGN_RSA_PKCS1_SHA256), PN_DENIED);
    assert_int_equal(token(header, ".e 30", PN_SIGN_RSA_PKCS1_SHA256), PN_DENIED);
    assert_int_equal(token("", ".e30", PN_SIGN_RSA_PKCS1_SHA256), PN_DENIED);
}

static void ca_key_never_signs_what_comes_from_outside(void **state)
{
    struct pn_buf m;

    (void)state;
    pn_buf_init(&m, PN_SIGN_MESSAGE_BYTES_MAX);
    tls13(&m, "client", 32);
    assert_int_equal(check(PN_USE_CA, PN_SIGN_RSA_PSS_SHA256, &m), PN_DENIED);
    pn_buf_clear(&m);
    fill(&m, 0x30, 300);
    assert_int_equal(check(PN_USE_CA, PN_SIGN_RSA_PKCS1_SHA256, &m), PN_DENIED);
    pn_buf_fini(&m);
}

static void a_message_above_the_limit_is_refused(void **state)
{
    struct pn_buf m;

    (void)state;
    pn_buf_init(&m, PN_SIGN_MESSAGE_BYTES_MAX + 1);
    assert_int_equal(pn_buf_reserve(&m, PN_SIGN_MESSAGE_BYTES_MAX + 1), PN_OK);
    memset(m.ptr, 0, PN_SIGN_MESSAGE_BYTES_MAX + 1);
    m.len = PN_SIGN_MESSAGE_BYTES_MAX;
    assert_int_equal(check(PN_USE_CLIENT, PN_SIGN_RSA_PKCS1_SHA256, &m), PN_DENIED);
    m.len++;
    assert_int_equal(check(PN_USE_CLIENT, PN_SIGN_RSA_PKCS1_SHA256, &m), PN_LIMIT);
    pn_buf_fini(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keyholder_signs_what_is_a_client_handshake),
        cmocka_unit_test(keyholder_refuses_to_sign_what_is_not_a_client_handshake),
        cmocka_unit_test(a_transcript_with_one_byte_too_few_or_too_many_is_refused),
        cmocka_unit_test(a_tls13_message_is_refused_when_any_part_differs),
        cmocka_unit_test(client_key_never_signs_a_servers_handshake_nor_the_other_way),
        cmocka_unit_test(server_key_signs_only_named_curve_parameters),
        cmocka_unit_test(token_key_never_signs_a_handshake),
        cmocka_unit_test(token_key_signs_only_a_jws_of_its_algorithm),
        cmocka_unit_test(ca_key_never_signs_what_comes_from_outside),
        cmocka_unit_test(a_message_above_the_limit_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
