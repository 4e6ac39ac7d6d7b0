/* SPDX-License-Identifier: Apache-2.0
 *
 * The keyholder as its clients see it: roles, imports, issuing, signing, sealing.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <sys/socket.h>
#include <unistd.h>

#include <openssl/pem.h>
#include <openssl/pkcs12.h>
#include <openssl/x509v3.h>

#include "ipc/channel.h"
#include "ipc/protocol.h"
#include "unit/keyholder/support.h"

struct pair {
    struct rig rig;
    struct pn_keyholder *admin, *gateway;
    pthread_t admin_thread, gateway_thread;
};

static void open_pair(struct pair *pair)
{
    memset(pair, 0, sizeof(*pair));
    rig_open(&pair->rig);
    pair->admin = rig_connect(&pair->rig, PN_SERVICE_ADMIN, PN_ROLE_CONTROL, &pair->admin_thread);
    pair->gateway =
        rig_connect(&pair->rig, PN_SERVICE_SIGN, PN_ROLE_GATEWAY, &pair->gateway_thread);
}

static void close_pair(struct pair *pair)
{
    rig_disconnect(pair->admin, pair->admin_thread);
    rig_disconnect(pair->gateway, pair->gateway_thread);
    rig_close(&pair->rig);
    rig_remove(&pair->rig);
}

static struct pn_buf handshake_message(const char *context)
{
    struct pn_buf message;

    pn_buf_init(&message, 1024);
    for (int i = 0; i < 64; i++)
        assert_int_equal(pn_buf_append_byte(&message, ' '), PN_OK);
    assert_int_equal(pn_buf_append(&message, context, strlen(context) + 1), PN_OK);
    for (int i = 0; i < 32; i++)
        assert_int_equal(pn_buf_append_byte(&message, 'h'), PN_OK);
    return message;
}

static struct pn_buf client_message(void)
{
    return handshake_message("TLS 1.3, client CertificateVerify");
}

static struct pn_buf server_message(void)
{
    return handshake_message("TLS 1.3, server CertificateVerify");
}

static X509 *read_certificate(const struct pn_buf *der)
{
    const unsigned char *at = (const unsigned char *)der->ptr;
    X509 *certificate = d2i_X509(NULL, &at, (long)der->len);

    assert_non_null(certificate);
    return certificate;
}

static bool verifies(X509 *certificate, const struct pn_buf *message,
                     const struct pn_buf *signature)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool is_good = EVP_DigestVerifyInit_ex(ctx, NULL, "SHA256", NULL, NULL,
                                           X509_get0_pubkey(certificate), NULL) == 1 &&
                   EVP_DigestVerify(ctx, (const unsigned char *)signature->ptr, signature->len,
                                    (const unsigned char *)message->ptr, message->len) == 1;

    EVP_MD_CTX_free(ctx);
    return is_good;
}

static void imported_key_signs_for_the_gateway(void **state)
{
    struct pair pair;
    struct pn_imported imported;
    struct pn_buf message = client_message();
    struct pn_buf signature, spki, ids;
    struct pn_error err = {0};
    X509 *certificate;

    (void)state;
    open_pair(&pair);
    pn_buf_init(&signature, 1024);
    pn_buf_init(&spki, 1024);
    pn_buf_init(&ids, 1024);
    assert_int_equal(pn_keyholder_import(pair.admin, PN_USE_CLIENT, PN_LIT("pfx"), PN_LIT("pw"),
                                         &imported, &err),
                     PN_OK);
    assert_int_equal(imported.chain_count, 1);
    assert_int_equal(imported.sealed.len, 0);
    assert_int_equal(pn_keyholder_sign(pair.gateway, PN_USE_CLIENT, &imported.key,
                                       PN_SIGN_ECDSA_SHA256, pn_buf_slice(&message), &signature,
                                       &err),
                     PN_OK);
    certificate = read_certificate(&imported.chain[0]);
    assert_true(verifies(certificate, &message, &signature));
    X509_free(certificate);
    assert_int_equal(pn_keyholder_public(pair.gateway, PN_USE_CLIENT, &imported.key, &spki, &err),
                     PN_OK);
    assert_true(spki.len > 64);
    assert_int_equal(pn_keyholder_list(pair.admin, PN_USE_CLIENT, &ids, &err), PN_OK);
    assert_int_equal(ids.len, 32);
    assert_memory_equal(ids.ptr, imported.key.sha256, 32);
    assert_int_equal(pn_keyholder_forget(pair.admin, PN_USE_CLIENT, &imported.key, &err), PN_OK);
    assert_int_equal(pn_keyholder_sign(pair.gateway, PN_USE_CLIENT, &imported.key,
                                       PN_SIGN_ECDSA_SHA256, pn_buf_slice(&message), &signature,
                                       &err),
                     PN_NOT_FOUND);
    pn_imported_fini(&imported);
    pn_buf_fini(&message);
    pn_buf_fini(&signature);
    pn_buf_fini(&spki);
    pn_buf_fini(&ids);
    close_pair(&pair);
}

/* It can be shown to a backend before its file is there. */
static void key_whose_file_comes_later_signs_at_once(void **state)
{
    struct pair pair;
    struct pn_imported imported;
    struct pn_buf message = client_message();
    struct pn_buf signature;
    struct pn_key_id unknown = {{0}};
    struct pn_error err = {0};
    EVP_PKEY *key = NULL;

    (void)state;
    open_pair(&pair);
    pn_buf_init(&signature, 1024);
    assert_int_equal(pn_keyholder_import_soon(pair.admin, PN_USE_CLIENT, PN_LIT("pfx"),
                                              PN_LIT("pw"), &imported, &err),
                     PN_OK);
    assert_int_equal(pn_keyholder_sign(pair.gateway, PN_USE_CLIENT, &imported.key,
                                       PN_SIGN_ECDSA_SHA256, pn_buf_slice(&message), &signature,
                                       &err),
                     PN_OK);
    assert_int_equal(pn_keyholder_settle(pair.gateway, PN_USE_CLIENT, &imported.key, &err),
                     PN_DENIED);
    assert_int_equal(pn_keyholder_settle(pair.admin, PN_USE_CLIENT, &unknown, &err), PN_NOT_FOUND);
    assert_int_equal(pn_keyholder_settle(pair.admin, PN_USE_CLIENT, &imported.key, &err), PN_OK);
    assert_int_equal(pn_keys_get(pair.rig.keys, PN_USE_CLIENT, &imported.key, &key, &err), PN_OK);
    EVP_PKEY_free(key);
    pn_imported_fini(&imported);
    pn_buf_fini(&message);
    pn_buf_fini(&signature);
    close_pair(&pair);
}

static void refused_imports_say_why_and_keep_nothing(void **state)
{
    struct pair pair;
    struct pn_imported imported;
    struct pn_error err = {0};

    (void)state;
    open_pair(&pair);
    assert_int_equal(pn_keyholder_import(pair.admin, PN_USE_CLIENT, PN_LIT("bad"), PN_LIT("pw"),
                                         &imported, &err),
                     PN_DENIED);
    assert_string_equal(err.code, "wrong_password");
    assert_int_equal(pn_keyholder_import(pair.admin, PN_USE_CLIENT, PN_LIT("mute"), PN_LIT("pw"),
                                         &imported, &err),
                     PN_MALFORMED);
    assert_string_equal(err.code, "not_pfx");
    assert_int_equal(pn_keyholder_import(pair.admin, PN_USE_CLIENT, PN_LIT("mismatch"),
                                         PN_LIT("pw"), &imported, &err),
                     PN_INVALID);
    assert_string_equal(err.code, "key_mismatch");
    assert_int_equal(pn_keys_count(pair.rig.keys), 0);
    close_pair(&pair);
}

static void gateway_never_signs_as_one_of_controls_listeners(void **state)
{
    struct pair pair;
    struct pn_keyholder *control;
    pthread_t control_thread;
    struct pn_imported issued;
    struct pn_buf message = server_message();
    struct pn_buf signature;
    struct pn_error err = {0};
    const struct pn_issue_spec spec = {.key_type = "EC",
                                       .key_bits = 256,
                                       .subject = "CN=localhost",
                                       .not_before = 1,
                                       .not_after = INT64_C(4000000000)};

    (void)state;
    open_pair(&pair);
    control = rig_connect(&pair.rig, PN_SERVICE_SIGN, PN_ROLE_CONTROL, &control_thread);
    pn_buf_init(&signature, 1024);
    assert_int_equal(pn_keyholder_issue(pair.admin, PN_USE_MANAGEMENT, &spec, &issued, &err),
                     PN_OK);
    assert_int_equal(pn_keyholder_sign(pair.gateway, PN_USE_MANAGEMENT, &issued.key,
                                       PN_SIGN_ECDSA_SHA256, pn_buf_slice(&message), &signature,
                                       &err),
                     PN_DENIED);
    assert_int_equal(pn_keyholder_sign(pair.gateway, PN_USE_SERVER, &issued.key,
                                       PN_SIGN_ECDSA_SHA256, pn_buf_slice(&message), &signature,
                                       &err),
                     PN_NOT_FOUND);
    assert_int_equal(pn_keyholder_sign(control, PN_USE_MANAGEMENT, &issued.key,
                                       PN_SIGN_ECDSA_SHA256, pn_buf_slice(&message), &signature,
                                       &err),
                     PN_OK);
    pn_imported_fini(&issued);
    pn_buf_fini(&message);
    pn_buf_fini(&signature);
    rig_disconnect(control, control_thread);
    close_pair(&pair);
}

static void gateway_may_only_sign_and_seal_its_feed(void **state)
{
    struct pair pair;
    struct pn_imported imported;
    const struct pn_issue_spec spec = rig_spec();
    struct pn_key_id id = {{0}};
    struct pn_buf out;
    struct pn_error err = {0};

    (void)state;
    open_pair(&pair);
    pn_buf_init_secret(&out, 4096);
    assert_int_equal(pn_keyholder_import(pair.gateway, PN_USE_CLIENT, PN_LIT("pfx"), PN_LIT("pw"),
                                         &imported, &err),
                     PN_DENIED);
    assert_int_equal(pn_keyholder_issue(pair.gateway, PN_USE_CLIENT, &spec, &imported, &err),
                     PN_DENIED);
    assert_int_equal(
        pn_keyholder_export_sealed(pair.gateway, PN_LIT("c"), PN_LIT("x"), PN_FILE_PEM, &out, &err),
        PN_DENIED);
    assert_int_equal(pn_keyholder_list(pair.gateway, PN_USE_CLIENT, &out, &err), PN_DENIED);
    assert_int_equal(pn_keyholder_forget(pair.gateway, PN_USE_CLIENT, &id, &err), PN_DENIED);
    assert_int_equal(pn_keyholder_sign(pair.gateway, PN_USE_TOKEN, &id, PN_SIGN_RSA_PKCS1_SHA256,
                                       PN_LIT("e30.e30"), &out, &err),
                     PN_DENIED);
    assert_int_equal(pn_keyholder_public(pair.gateway, PN_USE_CA, &id, &out, &err), PN_DENIED);
    assert_int_equal(pn_keyholder_seal(pair.gateway, "store", PN_LIT("c"), PN_LIT("x"), &out, &err),
                     PN_DENIED);
    assert_int_equal(pn_keyholder_seal(pair.gateway, "feed", PN_LIT("c"), PN_LIT("x"), &out, &err),
                     PN_OK);
    pn_buf_fini(&out);
    close_pair(&pair);
}

static void the_keyholders_own_domains_cannot_be_asked_for(void **state)
{
    static const char *const domains[] = {"key", "blob", "check", ""};
    struct pair pair;
    struct pn_buf out;
    struct pn_error err = {0};

    (void)state;
    open_pair(&pair);
    pn_buf_init_secret(&out, 4096);
    for (size_t i = 0; i < sizeof(domains) / sizeof(domains[0]); i++) {
        assert_int_equal(
            pn_keyholder_seal(pair.admin, domains[i], PN_LIT("c"), PN_LIT("x"), &out, &err),
            PN_DENIED);
        assert_int_equal(
            pn_keyholder_unseal(pair.admin, domains[i], PN_LIT("c"), PN_LIT("x"), &out, &err),
            PN_DENIED);
    }
    pn_buf_fini(&out);
    close_pair(&pair);
}

static void a_role_that_the_table_does_not_name_gets_no_answer(void **state)
{
    struct pair pair;
    struct pn_keyholder *kh;
    struct pn_buf out;
    struct pn_error err = {0};
    pthread_t thread;

    (void)state;
    open_pair(&pair);
    pn_buf_init(&out, 4096);
    kh = rig_connect(&pair.rig, PN_SERVICE_ADMIN, PN_ROLE_GATEWAY, &thread);
    assert_int_equal(pn_keyholder_list(kh, PN_USE_CLIENT, &out, &err), PN_UNAVAILABLE);
    rig_disconnect(kh, thread);
    kh = rig_connect(&pair.rig, PN_SERVICE_SIGN, PN_ROLE_IMPORT, &thread);
    assert_int_equal(pn_keyholder_list(kh, PN_USE_CLIENT, &out, &err), PN_UNAVAILABLE);
    rig_disconnect(kh, thread);
    pn_buf_fini(&out);
    close_pair(&pair);
}

static void a_frame_that_is_no_question_ends_only_its_connection(void **state)
{
    struct pair pair;
    struct pn_buf frame, out;
    struct pn_error err = {0};

    (void)state;
    open_pair(&pair);
    pn_buf_init(&out, 4096);
    pn_buf_init(&frame, 4096);
    for (uint16_t type = PN_KEYHOLDER_SIGN; type <= PN_KEYHOLDER_ISSUE_SEALED + 1; type++) {
        struct pn_channel channel;
        struct pn_frame answer;
        pthread_t thread;
        struct pn_keyholder *kh;
        size_t start;
        int ends[2];

        pn_buf_clear(&frame);
        assert_int_equal(pn_frame_begin(&frame, type, 1, &start), PN_OK);
        assert_int_equal(pn_frame_u8(&frame, 0xff), PN_OK);
        assert_int_equal(pn_frame_end(&frame, start), PN_OK);
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
        pn_channel_init(&channel, ends[0]);
        assert_int_equal(pn_channel_send(&channel, pn_buf_slice(&frame), -1, 100), PN_OK);
        pn_keyholder_server_serve(pair.rig.server, ends[1], PN_SERVICE_ADMIN, PN_ROLE_CONTROL);
        assert_int_equal(pn_channel_receive(&channel, &answer, NULL, 100), PN_EOF);
        pn_channel_fini(&channel);
        kh = rig_connect(&pair.rig, PN_SERVICE_ADMIN, PN_ROLE_CONTROL, &thread);
        assert_int_equal(pn_keyholder_list(kh, PN_USE_CLIENT, &out, &err), PN_OK);
        rig_disconnect(kh, thread);
    }
    pn_buf_fini(&frame);
    pn_buf_fini(&out);
    close_pair(&pair);
}

/* A gateway that speaks by hand what a client would not. */
struct raw {
    struct rig *rig;
    pthread_t thread;
    int ours, theirs;
};

static void *serve_raw(void *arg)
{
    struct raw *raw = arg;

    pn_keyholder_server_serve(raw->rig->server, raw->theirs, PN_SERVICE_SIGN, PN_ROLE_GATEWAY);
    return NULL;
}

static void raw_open(struct raw *raw, struct rig *rig)
{
    int pair[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    *raw = (struct raw){.rig = rig, .ours = pair[0], .theirs = pair[1]};
    assert_int_equal(pthread_create(&raw->thread, NULL, serve_raw, raw), 0);
}

/* Large questions that a captured gateway begins and never ends use up its own turns only. */
static void large_questions_of_the_gateway_wait_for_each_other_only(void **state)
{
    static const char large_head[] = {0, (char)0xf0, 0, 0};
    struct raw begun[PN_GATEWAY_LARGE_MAX + 2];
    struct pn_buf plain, sealed;
    struct pn_error err = {0};
    struct pair pair;

    (void)state;
    open_pair(&pair);
    for (size_t i = 0; i < sizeof(begun) / sizeof(begun[0]); i++) {
        raw_open(&begun[i], &pair.rig);
        assert_int_equal(write(begun[i].ours, large_head, sizeof(large_head)), sizeof(large_head));
    }
    pn_buf_init(&plain, PN_FRAME_BYTES_MAX);
    pn_buf_init(&sealed, PN_FRAME_BYTES_MAX);
    assert_int_equal(pn_buf_append_str(&plain, "small"), PN_OK);
    assert_int_equal(
        pn_keyholder_seal(pair.gateway, "feed", PN_LIT("c"), pn_buf_slice(&plain), &sealed, &err),
        PN_OK);
    assert_int_equal(pn_buf_reserve(&plain, 2u * 1024 * 1024), PN_OK);
    memset(plain.ptr, 'x', 2u * 1024 * 1024);
    plain.len = 2u * 1024 * 1024;
    pn_buf_clear(&sealed);
    assert_int_equal(
        pn_keyholder_seal(pair.admin, "store", PN_LIT("c"), pn_buf_slice(&plain), &sealed, &err),
        PN_OK);
    for (size_t i = 0; i < sizeof(begun) / sizeof(begun[0]); i++)
        close(begun[i].ours);
    for (size_t i = 0; i < sizeof(begun) / sizeof(begun[0]); i++)
        assert_int_equal(pthread_join(begun[i].thread, NULL), 0);
    /* The turns are free again. */
    pn_buf_clear(&sealed);
    assert_int_equal(
        pn_keyholder_seal(pair.gateway, "feed", PN_LIT("c"), pn_buf_slice(&plain), &sealed, &err),
        PN_OK);
    pn_buf_clear(&plain);
    assert_int_equal(
        pn_keyholder_unseal(pair.gateway, "feed", PN_LIT("c"), pn_buf_slice(&sealed), &plain, &err),
        PN_OK);
    assert_int_equal(plain.len, 2u * 1024 * 1024);
    pn_buf_fini(&plain);
    pn_buf_fini(&sealed);
    close_pair(&pair);
}

static void issued_certificate_says_what_was_asked_for(void **state)
{
    struct pair pair;
    struct pn_imported ca, leaf;
    const char *const dns[] = {"localhost", "*.vault.localhost", NULL};
    const char *const ips[] = {"127.0.0.1", "::1", NULL};
    const char *const ekus[] = {"1.3.6.1.5.5.7.3.1", NULL};
    const char *const usages[] = {"digitalSignature", NULL};
    struct pn_issue_spec spec = rig_spec();
    struct pn_error err = {0};
    X509 *issuer, *certificate;

    (void)state;
    open_pair(&pair);
    spec.subject = "CN=Test CA, O=\"An, organization\"";
    spec.is_ca = true;
    assert_int_equal(pn_keyholder_issue(pair.admin, PN_USE_CA, &spec, &ca, &err), PN_OK);
    spec = rig_spec();
    spec.dns_names = dns;
    spec.ip_addresses = ips;
    spec.ekus = ekus;
    spec.key_usages = usages;
    spec.issuer_key = &ca.key;
    spec.issuer_certificate = pn_buf_slice(&ca.chain[0]);
    assert_int_equal(pn_keyholder_issue(pair.admin, PN_USE_SERVER, &spec, &leaf, &err), PN_OK);
    assert_int_equal(leaf.chain_count, 2);
    issuer = read_certificate(&ca.chain[0]);
    certificate = read_certificate(&leaf.chain[0]);
    assert_int_equal(X509_check_ca(issuer), 1);
    assert_int_equal(X509_verify(certificate, X509_get0_pubkey(issuer)), 1);
    assert_int_equal(X509_check_issued(issuer, certificate), X509_V_OK);
    assert_int_equal(X509_check_host(certificate, "a.vault.localhost", 0, 0, NULL), 1);
    assert_int_equal(X509_check_ip_asc(certificate, "::1", 0), 1);
    assert_int_equal(X509_get_extended_key_usage(certificate), XKU_SSL_SERVER);
    assert_int_equal(X509_get_key_usage(certificate), KU_DIGITAL_SIGNATURE);
    assert_int_equal(X509_check_ca(certificate), 0);
    assert_non_null(X509_get0_authority_key_id(certificate));
    assert_int_equal(ASN1_INTEGER_get(X509_get0_serialNumber(certificate)), -1); /* too long */
    X509_free(issuer);
    X509_free(certificate);
    pn_imported_fini(&leaf);
    spec.issuer_certificate = PN_LIT("none");
    assert_int_equal(pn_keyholder_issue(pair.admin, PN_USE_SERVER, &spec, &leaf, &err), PN_INVALID);
    assert_string_equal(err.target, "issuer_certificate");
    pn_imported_fini(&ca);
    close_pair(&pair);
}

static void an_unacceptable_specification_names_its_member(void **state)
{
    const char *const bad[] = {"not an address", NULL};
    const char *const space[] = {"with space", NULL};
    struct pair pair;
    struct pn_imported out;
    struct pn_error err = {0};
    struct {
        struct pn_issue_spec spec;
        const char *target;
    } cases[] = {{rig_spec(), "key_type"},  {rig_spec(), "key_bits"},     {rig_spec(), "subject"},
                 {rig_spec(), "not_after"}, {rig_spec(), "ip_addresses"}, {rig_spec(), "dns_names"},
                 {rig_spec(), "ekus"},      {rig_spec(), "key_usages"},   {rig_spec(), "subject"}};

    (void)state;
    open_pair(&pair);
    cases[0].spec.key_type = "DSA";
    cases[1].spec.key_bits = 255;
    cases[2].spec.subject = "nothing";
    cases[3].spec.not_after = cases[3].spec.not_before;
    cases[4].spec.ip_addresses = bad;
    cases[5].spec.dns_names = space;
    cases[6].spec.ekus = bad;
    cases[7].spec.key_usages = bad;
    cases[8].spec.subject = "CN=\"open";
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(pn_keyholder_issue(pair.admin, PN_USE_CLIENT, &cases[i].spec, &out, &err),
                         PN_INVALID);
        assert_string_equal(err.target, cases[i].target);
    }
    assert_int_equal(pn_keys_count(pair.rig.keys), 0);
    close_pair(&pair);
}

static void sealed_key_is_exported_only_in_its_context_as_pfx_and_pem(void **state)
{
    struct pair pair;
    struct pn_imported made;
    const struct pn_issue_spec spec = rig_spec();
    struct pn_buf file;
    struct pn_error err = {0};
    const unsigned char *at;
    PKCS12 *p12;
    EVP_PKEY *key = NULL;
    X509 *certificate = NULL;

    (void)state;
    open_pair(&pair);
    pn_buf_init_secret(&file, 64 * 1024);
    assert_int_equal(pn_keyholder_issue_sealed(pair.admin, PN_LIT("v/1"), &spec, NULL, &made, &err),
                     PN_OK);
    assert_int_equal(pn_keys_count(pair.rig.keys), 0);
    assert_int_equal(pn_keyholder_export_sealed(pair.admin, PN_LIT("v/2"),
                                                pn_buf_slice(&made.sealed), PN_FILE_PEM, &file,
                                                &err),
                     PN_DENIED);
    assert_int_equal(pn_keyholder_export_sealed(pair.admin, PN_LIT("v/1"),
                                                pn_buf_slice(&made.sealed), PN_FILE_PEM, &file,
                                                &err),
                     PN_OK);
    assert_true(pn_slice_starts_with(pn_buf_slice(&file), PN_LIT("-----BEGIN PRIVATE KEY-----")));
    pn_buf_clear(&file);
    assert_int_equal(pn_keyholder_export_sealed(pair.admin, PN_LIT("v/1"),
                                                pn_buf_slice(&made.sealed), PN_FILE_PKCS12, &file,
                                                &err),
                     PN_OK);
    at = (const unsigned char *)file.ptr;
    p12 = d2i_PKCS12(NULL, &at, (long)file.len);
    assert_non_null(p12);
    assert_int_equal(PKCS12_parse(p12, "", &key, &certificate, NULL), 1);
    assert_int_equal(X509_check_private_key(certificate, key), 1);
    PKCS12_free(p12);
    EVP_PKEY_free(key);
    X509_free(certificate);
    pn_buf_fini(&file);
    pn_imported_fini(&made);
    close_pair(&pair);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(imported_key_signs_for_the_gateway),
        cmocka_unit_test(key_whose_file_comes_later_signs_at_once),
        cmocka_unit_test(refused_imports_say_why_and_keep_nothing),
        cmocka_unit_test(gateway_never_signs_as_one_of_controls_listeners),
        cmocka_unit_test(gateway_may_only_sign_and_seal_its_feed),
        cmocka_unit_test(the_keyholders_own_domains_cannot_be_asked_for),
        cmocka_unit_test(a_role_that_the_table_does_not_name_gets_no_answer),
        cmocka_unit_test(a_frame_that_is_no_question_ends_only_its_connection),
        cmocka_unit_test(large_questions_of_the_gateway_wait_for_each_other_only),
        cmocka_unit_test(issued_certificate_says_what_was_asked_for),
        cmocka_unit_test(an_unacceptable_specification_names_its_member),
        cmocka_unit_test(sealed_key_is_exported_only_in_its_context_as_pfx_and_pem),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
