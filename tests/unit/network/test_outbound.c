/* SPDX-License-Identifier: Apache-2.0
 *
 * Network rules of outgoing connections.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/json.h"
#include "network/outbound.h"

#define RULE(name, priority, access, protocol, source, to, ports)                                  \
    "{\"name\":\"" name "\",\"properties\":{\"priority\":" #priority ",\"access\":\"" access       \
    "\",\"direction\":\"Outbound\",\"protocol\":\"" protocol                                       \
    "\",\"sourceAddressPrefix\":\"" source                                                         \
    "\",\"sourcePortRange\":\"*\",\"destinationAddressPrefix\":\"" to                              \
    "\",\"destinationPortRange\":\"" ports "\"}}"

static struct pn_outbound *rules_of(const char *rules)
{
    char text[8192];
    struct pn_outbound *made = NULL;
    struct pn_error err = {0};
    json_t *document = NULL;

    (void)snprintf(text, sizeof text,
                   "{\"group\":\"/x/nsg1\",\"subnetPrefixes\":[\"10.1.0.0/24\"],"
                   "\"networkPrefixes\":[\"10.1.0.0/16\",\"fd00:1::/32\"],\"rules\":[%s],\"tags\":"
                   "{\"AzureKeyVault\":[{\"host\":\"vault.localhost\",\"port\":9444,"
                   "\"addresses\":[\"127.0.0.0/8\",\"::1\"]}]}}",
                   rules);
    assert_int_equal(pn_json_parse(pn_slice_str(text), &document, &err), PN_OK);
    assert_int_equal(pn_outbound_compile(document, &made, &err), PN_OK);
    json_decref(document);
    return made;
}

static const char *judge(const struct pn_outbound *rules, const char *host, const char *address,
                         uint16_t port)
{
    struct pn_outbound_target target = {.host = pn_slice_str(host), .port = port};
    struct pn_outbound_verdict verdict;
    static char words[128];

    (void)pn_address_parse(pn_slice_str(address), &target.address);
    verdict = pn_outbound_judge(rules, &target);
    (void)snprintf(words, sizeof words, "%s %s", verdict.is_allowed ? "Allow" : "Deny",
                   verdict.rule ? verdict.rule : "-");
    return words;
}

static void default_rules(void **state)
{
    struct pn_outbound *rules = rules_of("");
    static const struct {
        const char *address, *verdict;
    } cases[] = {
        {"10.1.2.3", "Allow AllowVnetOutBound"},
        {"fd00:1::5", "Allow AllowVnetOutBound"},
        {"127.0.0.1", "Allow AllowVnetOutBound"},
        {"::1", "Allow AllowVnetOutBound"},
        {"10.2.2.3", "Deny DenyAllOutBound"},
        {"192.168.1.1", "Deny DenyAllOutBound"},
        {"172.16.0.1", "Deny DenyAllOutBound"},
        {"172.32.0.1", "Allow AllowInternetOutBound"},
        {"100.64.0.1", "Deny DenyAllOutBound"},
        {"fd00:2::1", "Deny DenyAllOutBound"},
        {"169.254.1.1", "Deny DenyAllOutBound"},
        {"8.8.8.8", "Allow AllowInternetOutBound"},
        {"::ffff:10.2.2.3", "Deny DenyAllOutBound"},
        {"2001:db8::1", "Allow AllowInternetOutBound"},
        {"::ffff:8.8.8.8", "Allow AllowInternetOutBound"},
        {"fe80::1", "Deny DenyAllOutBound"},
        {"", "Deny -"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_string_equal(judge(rules, "", cases[i].address, 443), cases[i].verdict);
    pn_outbound_unref(rules);
    assert_string_equal(judge(NULL, "", "10.2.2.3", 443), "Allow -");
}

static void the_first_rule_by_priority_decides(void **state)
{
    struct pn_outbound *rules = rules_of(RULE("late", 300, "Deny", "*", "*", "*", "*") "," RULE(
        "early", 100, "Allow", "Tcp", "*", "10.9.0.0/16",
        "8000-8002") "," RULE("udp", 101, "Allow", "Udp", "*", "*", "*"));

    (void)state;
    assert_string_equal(judge(rules, "", "10.9.1.1", 8000), "Allow early");
    assert_string_equal(judge(rules, "", "10.9.1.1", 8002), "Allow early");
    assert_string_equal(judge(rules, "", "10.9.1.1", 8003), "Deny late");
    assert_string_equal(judge(rules, "", "10.9.1.1", 7999), "Deny late");
    assert_string_equal(judge(rules, "", "10.10.1.1", 8000), "Deny late");
    assert_string_equal(judge(rules, "", "127.0.0.1", 1), "Deny late");
    pn_outbound_unref(rules);
}

static void a_tag_is_host_names_and_own_places(void **state)
{
    struct pn_outbound *rules =
        rules_of(RULE("kv", 100, "Deny", "Tcp", "*", "AzureKeyVault",
                      "*") "," RULE("st", 101, "Deny", "Tcp", "*", "storage", "443"));

    (void)state;
    assert_string_equal(judge(rules, "a.vault.azure.net", "8.8.8.8", 443), "Deny kv");
    assert_string_equal(judge(rules, "A.VAULT.azure.NET.", "8.8.8.8", 443), "Deny kv");
    assert_string_equal(judge(rules, "xvault.azure.net", "8.8.8.8", 443),
                        "Allow AllowInternetOutBound");
    assert_string_equal(judge(rules, "vault.azure.net.example", "8.8.8.8", 443),
                        "Allow AllowInternetOutBound");
    assert_string_equal(judge(rules, "local.vault.localhost", "127.0.0.1", 9444), "Deny kv");
    assert_string_equal(judge(rules, "other.name", "127.0.0.1", 9444), "Deny kv");
    assert_string_equal(judge(rules, "other.name", "::1", 9444), "Deny kv");
    assert_string_equal(judge(rules, "local.vault.localhost", "127.0.0.1", 9445),
                        "Allow AllowVnetOutBound");
    assert_string_equal(judge(rules, "a.blob.core.windows.net", "8.8.8.8", 443), "Deny st");
    assert_string_equal(judge(rules, "a.blob.core.windows.net", "8.8.8.8", 80),
                        "Allow AllowInternetOutBound");
    pn_outbound_unref(rules);
}

static void a_source_that_has_a_part_of_the_subnet(void **state)
{
    struct pn_outbound *denied = rules_of(RULE("r", 100, "Deny", "*", "10.1.0.128/25", "*", "*"));
    struct pn_outbound *allowed = rules_of(RULE("r", 100, "Allow", "*", "10.1.0.128/25", "*", "*"));
    struct pn_outbound *whole = rules_of(RULE("r", 100, "Allow", "*", "10.1.0.0/23", "*", "*"));
    struct pn_outbound *other = rules_of(RULE("r", 100, "Deny", "*", "10.1.1.0/24", "*", "*"));

    (void)state;
    assert_string_equal(judge(denied, "", "10.7.0.1", 1), "Deny r");
    assert_string_equal(judge(allowed, "", "10.7.0.1", 1), "Deny DenyAllOutBound");
    assert_string_equal(judge(whole, "", "10.7.0.1", 1), "Allow r");
    assert_string_equal(judge(other, "", "10.1.0.1", 1), "Allow AllowVnetOutBound");
    pn_outbound_unref(denied);
    pn_outbound_unref(allowed);
    pn_outbound_unref(whole);
    pn_outbound_unref(other);
}

static void rules_that_cannot_be_used_refuse_everything(void **state)
{
    struct pn_outbound *rules = pn_outbound_refuse_all();
    struct pn_outbound_target target = {.port = 443};
    struct pn_outbound_verdict verdict;
    struct pn_outbound *made = NULL;
    struct pn_error err = {0};
    json_t *document = json_pack("{s:[{s:s, s:{s:s}}]}", "rules", "name", "x", "properties",
                                 "direction", "Outbound");
    char words[256];

    (void)state;
    assert_int_equal(pn_outbound_compile(document, &made, &err), PN_INVALID);
    assert_null(made);
    json_decref(document);
    assert_string_equal(judge(rules, "", "127.0.0.1", 443), "Deny -");
    (void)pn_address_parse(PN_LIT("2001:db8::1"), &target.address);
    verdict = pn_outbound_judge(rules, &target);
    pn_outbound_explain(rules, &target, &verdict, words, sizeof words);
    assert_non_null(strstr(words, "[2001:db8::1]:443"));
    pn_outbound_unref(rules);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(default_rules),
        cmocka_unit_test(the_first_rule_by_priority_decides),
        cmocka_unit_test(a_tag_is_host_names_and_own_places),
        cmocka_unit_test(a_source_that_has_a_part_of_the_subnet),
        cmocka_unit_test(rules_that_cannot_be_used_refuse_everything),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
