/* SPDX-License-Identifier: Apache-2.0
 *
 * hostnameConfigurations of the service: uploads, vault references, what stays, what is refused.
 */
#include "unit/arm/support.h"

#include <stdio.h>
#include <string.h>

#include "base/encode.h"

#define NAMES "properties/hostnameConfigurations/"

/** PATCHes the service with these configurations. */
static int patch(struct arm_fixture *f, const char *configurations)
{
    char body[4096];

    (void)snprintf(body, sizeof(body), "{\"properties\":{\"hostnameConfigurations\":[%s]}}",
                   configurations);
    return arm_call(f, "PATCH", SERVICE, NULL, body);
}

/** One configuration with an upload for `subject`, and more members. */
static const char *uploaded_as(char *text, size_t size, const char *type, const char *name,
                               const char *subject, const char *more)
{
    char file[64];
    struct pn_buf encoded;

    (void)snprintf(file, sizeof(file), "PFX:%s", subject);
    pn_buf_init(&encoded, 256);
    assert_int_equal(pn_base64_encode(pn_slice_str(file), &encoded), PN_OK);
    (void)snprintf(text, size,
                   "{\"type\":\"%s\",\"hostName\":\"%s\",\"encodedCertificate\":\"%.*s\","
                   "\"certificatePassword\":\"secret\"%s}",
                   type, name, (int)encoded.len, encoded.ptr, more);
    pn_buf_fini(&encoded);
    return text;
}

static const char *uploaded(char *text, size_t size, const char *name, const char *subject,
                            const char *more)
{
    return uploaded_as(text, size, "Proxy", name, subject, more);
}

static void service_shows_its_built_in_name(void **state)
{
    struct arm_fixture *f = *state;

    assert_int_equal(arm_call(f, "GET", SERVICE, NULL, NULL), 200);
    assert_string_equal(arm_text(f, NAMES "0/hostName"), "localhost");
    assert_string_equal(arm_text(f, NAMES "0/certificateSource"), "BuiltIn");
    assert_true(json_is_true(arm_at(f, NAMES "0/defaultSslBinding")));
    assert_null(arm_at(f, NAMES "1"));
}

static void uploaded_certificate_is_shown_without_its_bytes(void **state)
{
    struct arm_fixture *f = *state;
    char text[512];

    assert_int_equal(patch(f, uploaded(text, sizeof(text), "API.Example.test", "api.example.test",
                                       ",\"negotiateClientCertificate\":true,"
                                       "\"defaultSslBinding\":true")),
                     200);
    assert_int_equal(f->imported_use, PN_USE_SERVER);
    assert_string_equal(arm_text(f, NAMES "1/hostName"), "api.example.test");
    assert_string_equal(arm_text(f, NAMES "1/certificate/subject"), "CN=api.example.test");
    assert_int_equal(strlen(arm_text(f, NAMES "1/certificate/thumbprint")), 40);
    assert_int_equal(strlen(arm_text(f, NAMES "1/certificate/expiry")), 20);
    assert_string_equal(arm_text(f, NAMES "1/certificateSource"), "Custom");
    assert_string_equal(arm_text(f, NAMES "1/certificateStatus"), "Completed");
    assert_true(json_is_true(arm_at(f, NAMES "1/negotiateClientCertificate")));
    assert_true(json_is_true(arm_at(f, NAMES "1/defaultSslBinding")));
    assert_false(json_is_true(arm_at(f, NAMES "0/defaultSslBinding")));
    assert_null(arm_at(f, NAMES "1/encodedCertificate"));
    assert_null(arm_at(f, NAMES "1/certificatePassword"));
    assert_false(arm_is_on_disk(f, "UEZYOm"));
    assert_false(arm_is_on_disk(f, "\"secret\""));
    assert_int_equal(f->published, pn_store_revision(f->store));
}

static void what_is_read_can_be_written_back(void **state)
{
    struct arm_fixture *f = *state;
    char text[512], thumbprint[64];
    char *body;

    assert_int_equal(
        patch(f, uploaded(text, sizeof(text), "api.example.test", "api.example.test", "")), 200);
    (void)snprintf(thumbprint, sizeof(thumbprint), "%s",
                   arm_text(f, NAMES "1/certificate/thumbprint"));
    body = json_dumps(f->json, 0);
    assert_non_null(body);
    assert_int_equal(arm_call(f, "PUT", SERVICE, NULL, body), 200);
    free(body);
    assert_string_equal(arm_text(f, NAMES "1/certificate/thumbprint"), thumbprint);
    assert_null(arm_at(f, NAMES "2"));
    assert_true(arm_has_key(f, "api.example.test"));
}

static void patch_without_the_member_leaves_them(void **state)
{
    struct arm_fixture *f = *state;
    char text[512];

    assert_int_equal(
        patch(f, uploaded(text, sizeof(text), "api.example.test", "api.example.test", "")), 200);
    assert_int_equal(
        arm_call(f, "PATCH", SERVICE, NULL, "{\"properties\":{\"publisherName\":\"new\"}}"), 200);
    assert_string_equal(arm_text(f, NAMES "1/hostName"), "api.example.test");
}

static void removed_name_lets_its_key_be_forgotten(void **state)
{
    struct arm_fixture *f = *state;
    char one[512], two[512], both[1100];

    (void)snprintf(both, sizeof(both), "%s,%s",
                   uploaded(one, sizeof(one), "b.example.test", "b.example.test", ""),
                   uploaded(two, sizeof(two), "a.example.test", "a.example.test", ""));
    assert_int_equal(patch(f, both), 200);
    assert_string_equal(arm_text(f, NAMES "1/hostName"), "b.example.test"); /* their order */
    assert_string_equal(arm_text(f, NAMES "2/hostName"), "a.example.test");
    assert_int_equal(patch(f, "{\"type\":\"Proxy\",\"hostName\":\"a.example.test\"}"), 200);
    assert_string_equal(arm_text(f, NAMES "1/hostName"), "a.example.test");
    assert_null(arm_at(f, NAMES "2"));
    assert_false(arm_has_key(f, "b.example.test"));
    assert_true(arm_has_key(f, "a.example.test"));
    assert_int_equal(
        arm_call(f, "PATCH", SERVICE, NULL, "{\"properties\":{\"hostnameConfigurations\":null}}"),
        200);
    assert_null(arm_at(f, NAMES "1"));
    assert_false(arm_has_key(f, "a.example.test"));
}

static void certificate_from_a_vault_is_fetched_once_and_followed(void **state)
{
    static const char from_vault[] = "{\"type\":\"Proxy\",\"hostName\":\"v.example.test\","
                                     "\"keyVaultId\":\"https://local.vault.localhost/secrets/s\"}";
    struct arm_fixture *f = *state;
    int rescans = f->rescans;

    f->fetch_subject = "v.example.test";
    assert_int_equal(patch(f, from_vault), 200);
    assert_int_equal(f->imported_use, PN_USE_SERVER);
    assert_string_equal(arm_text(f, NAMES "1/certificateSource"), "KeyVault");
    assert_string_equal(arm_text(f, NAMES "1/keyVaultId"),
                        "https://local.vault.localhost/secrets/s");
    assert_string_equal(arm_text(f, NAMES "1/lastStatus/code"), "Success");
    assert_true(f->rescans > rescans);
    /* The same again asks the vault nothing: it may be away. */
    f->fetch_code = "vault_forbidden";
    assert_int_equal(patch(f, from_vault), 200);
    assert_string_equal(arm_text(f, NAMES "1/certificateStatus"), "Completed");
    assert_int_equal(patch(f, "{\"type\":\"Proxy\",\"hostName\":\"v.example.test\","
                              "\"keyVaultId\":\"https://local.vault.localhost/secrets/t\"}"),
                     400);
    assert_string_equal(arm_text(f, "error/details/0/target"),
                        "hostnameConfigurations[0].keyVaultId");
}

static void bad_configurations_are_refused_and_change_nothing(void **state)
{
    static const struct {
        const char *configurations, *target;
    } bad[] = {
        {"{\"hostName\":\"a.test\"}", "hostnameConfigurations[0].type"},
        {"{\"type\":\"Proxy\"}", "hostnameConfigurations[0].hostName"},
        {"{\"type\":\"Door\",\"hostName\":\"a.test\"}", "hostnameConfigurations[0].type"},
        {"{\"type\":\"Proxy\",\"hostName\":\"a..test\"}", "hostnameConfigurations[0].hostName"},
        {"{\"type\":\"Proxy\",\"hostName\":\"a.*.test\"}", "hostnameConfigurations[0].hostName"},
        {"{\"type\":\"Proxy\",\"hostName\":\"-a.test\"}", "hostnameConfigurations[0].hostName"},
        {"{\"type\":\"Proxy\",\"hostName\":\"a_b.test\"}", "hostnameConfigurations[0].hostName"},
        {"{\"type\":\"Proxy\",\"hostName\":\"*.\"}", "hostnameConfigurations[0].hostName"},
        {"{\"type\":\"Proxy\",\"hostName\":\"a.test\"}",
         "hostnameConfigurations[0].encodedCertificate"},
        {"{\"type\":\"Proxy\",\"hostName\":\"a.test\",\"certificateSource\":\"Managed\"}",
         "hostnameConfigurations[0].certificateSource"},
        {"{\"type\":\"Proxy\",\"hostName\":\"a.test\",\"encodedCertificate\":\"%%\"}",
         "hostnameConfigurations[0].encodedCertificate"},
        {"{\"type\":\"Proxy\",\"hostName\":\"a.test\",\"encodedCertificate\":\"UEZYOmE=\","
         "\"certificatePassword\":\"wrong\"}",
         "hostnameConfigurations[0].certificatePassword"},
        /* CN=a is for another name */
        {"{\"type\":\"Proxy\",\"hostName\":\"a.test\",\"encodedCertificate\":\"UEZYOmE=\","
         "\"certificatePassword\":\"secret\"}",
         "hostnameConfigurations[0].encodedCertificate"},
        {"{\"type\":\"Proxy\",\"hostName\":\"a.test\",\"encodedCertificate\":\"UEZYOmE=\","
         "\"keyVaultId\":\"https://x/secrets/y\"}",
         "hostnameConfigurations[0].keyVaultId"},
        {"{\"type\":\"Proxy\",\"hostName\":\"a.test\",\"keyVaultId\":\"x\"},"
         "{\"type\":\"Proxy\",\"hostName\":\"A.test\",\"keyVaultId\":\"x\"}",
         "hostnameConfigurations[1].hostName"},
        {"{\"type\":\"Proxy\",\"hostName\":\"a.test\",\"keyVaultId\":\"x\","
         "\"defaultSslBinding\":true},"
         "{\"type\":\"Proxy\",\"hostName\":\"b.test\",\"keyVaultId\":\"x\","
         "\"defaultSslBinding\":true}",
         "hostnameConfigurations[1].defaultSslBinding"},
    };
    struct arm_fixture *f = *state;
    uint64_t before = pn_store_revision(f->store);

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(patch(f, bad[i].configurations), 400);
        assert_string_equal(arm_text(f, "error/code"), "ValidationError");
        assert_string_equal(arm_text(f, "error/details/0/target"), bad[i].target);
    }
    assert_int_equal(pn_store_revision(f->store), before);
    assert_false(arm_has_key(f, "a")); /* was imported, and is of no use */
}

static void built_in_name_takes_the_switch_for_client_certificates(void **state)
{
    struct arm_fixture *f = *state;

    assert_int_equal(patch(f, "{\"type\":\"Proxy\",\"hostName\":\"localhost\","
                              "\"certificateSource\":\"BuiltIn\","
                              "\"negotiateClientCertificate\":true}"),
                     200);
    assert_true(json_is_true(arm_at(f, NAMES "0/negotiateClientCertificate")));
    assert_null(arm_at(f, NAMES "1"));
    assert_int_equal(patch(f, ""), 200);
    assert_false(json_is_true(arm_at(f, NAMES "0/negotiateClientCertificate")));
}

static void gateway_gets_its_own_host_names_only(void **state)
{
    struct arm_fixture *f = *state;
    struct pn_store_list list;
    char one[512], two[512], both[1100];
    size_t told = 0;

    (void)snprintf(
        both, sizeof(both), "%s,%s",
        uploaded(one, sizeof(one), "*.example.test", "*.example.test", ""),
        uploaded_as(two, sizeof(two), "DeveloperPortal", "portal.test", "portal.test", ""));
    assert_int_equal(patch(f, both), 200);
    assert_int_equal(pn_store_list(f->store, "/", "postern/hostname", &list, &f->err), PN_OK);
    for (size_t i = 0; i < list.count; i++) {
        struct pn_arm_feed_item item;

        if (pn_arm_feed_item(f->arm, &list.items[i], &item, &f->err) != PN_OK)
            continue;
        told++;
        assert_string_equal(item.key, "/posternhostnames/proxy._.example.test");
        assert_string_equal(item.type, "hostname");
        pn_arm_feed_item_fini(&item);
    }
    assert_int_equal(list.count, 2);
    assert_int_equal(told, 1);
    pn_store_list_fini(&list);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ARM_TEST(service_shows_its_built_in_name),
        ARM_TEST(uploaded_certificate_is_shown_without_its_bytes),
        ARM_TEST(what_is_read_can_be_written_back),
        ARM_TEST(patch_without_the_member_leaves_them),
        ARM_TEST(removed_name_lets_its_key_be_forgotten),
        ARM_TEST(certificate_from_a_vault_is_fetched_once_and_followed),
        ARM_TEST(bad_configurations_are_refused_and_change_nothing),
        ARM_TEST(built_in_name_takes_the_switch_for_client_certificates),
        ARM_TEST(gateway_gets_its_own_host_names_only),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
