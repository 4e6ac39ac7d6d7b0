/* SPDX-License-Identifier: Apache-2.0
 *
 * Named values and fragments: put in where they are named, with the errors that people read.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "policy/policy.h"

static const struct {
    const char *name, *value;
    bool is_secret;
} values[] = {
    {"seconds", "12", false},
    {"Cert", "c1", false},
    {"both", "c2", false},
    {"markup", "a\"b<c>&'d", false},
    {"nested", "{{seconds}}", false},
    {"password", "hunter-two-and-a-half", true},
    {"empty", "", false},
};

static enum pn_rc named_value(void *ctx, struct pn_slice name, struct pn_policy_value *value,
                              struct pn_error *err)
{
    (void)ctx;
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        if (!pn_slice_case_eq_str(name, values[i].name))
            continue;
        *value = (struct pn_policy_value){.text = pn_slice_str(values[i].value),
                                          .is_secret = values[i].is_secret};
        return PN_OK;
    }
    return pn_error_set(err, PN_NOT_FOUND, "not_found", "no");
}

static const struct {
    const char *id, *text;
} fragments[] = {
    {"plain", "<fragment><set-header name=\"x\"><value>{{seconds}}</value></set-header>"
              "<set-header name=\"y\"><value>1</value></set-header></fragment>"},
    {"outer", "<fragment><include-fragment fragment-id=\"plain\" /></fragment>"},
    {"empty", "<fragment />"},
    {"loop", "<fragment><include-fragment fragment-id=\"pool\" /></fragment>"},
    {"pool", "<fragment><include-fragment fragment-id=\"loop\" /></fragment>"},
    {"only-inbound", "<fragment><rewrite-uri template=\"/x\" /></fragment>"},
    {"cert", "<fragment><authentication-certificate certificate-id=\"{{cert}}\" /></fragment>"},
};
static char *long_text;

static enum pn_rc fragment(void *ctx, struct pn_slice id, struct pn_slice *text,
                           struct pn_error *err)
{
    (void)ctx;
    if (pn_slice_case_eq_str(id, "long")) {
        *text = pn_slice_str(long_text);
        return PN_OK;
    }
    for (size_t i = 0; i < sizeof fragments / sizeof *fragments; i++) {
        if (!pn_slice_case_eq_str(id, fragments[i].id))
            continue;
        *text = pn_slice_str(fragments[i].text);
        return PN_OK;
    }
    return pn_error_set(err, PN_NOT_FOUND, "not_found", "no");
}

static const struct pn_policy_sources sources = {.named_value = named_value, .fragment = fragment};

static enum pn_rc read_text(const char *text, bool is_fragment,
                            struct pn_policy_document **document, struct pn_error *err)
{
    const struct pn_policy_reading reading = {.format = PN_POLICY_RAWXML,
                                              .scope = PN_SCOPE_API,
                                              .is_fragment = is_fragment,
                                              .sources = &sources};

    return pn_policy_read(pn_slice_str(text), &reading, document, err);
}

/* `expected` is in the text that the gateway gets; what is printed for people is as written. */
static void check_resolved(const char *section, const char *inner, const char *expected)
{
    char text[4096];
    struct pn_policy_document *document = NULL;
    struct pn_policy_document *again = NULL;
    struct pn_error err = {0};
    struct pn_buf resolved, written;

    snprintf(text, sizeof text, "<policies><%s>%s</%s></policies>", section, inner, section);
    if (read_text(text, false, &document, &err) != PN_OK)
        fail_msg("%s: %s", inner, err.message);
    pn_buf_init(&resolved, 1 << 20);
    pn_buf_init(&written, 1 << 20);
    assert_true(pn_policy_is_resolved(document));
    assert_int_equal(pn_policy_print_resolved(document, &resolved), PN_OK);
    if (!strstr(pn_buf_str(&resolved), expected))
        fail_msg("%s is not in %s", expected, pn_buf_str(&resolved));
    assert_int_equal(pn_policy_parse_resolved(pn_buf_slice(&resolved), PN_SCOPE_API, &again, &err),
                     PN_OK);
    assert_int_equal(pn_policy_print(document, PN_POLICY_RAWXML, &written), PN_OK);
    assert_true(strstr(pn_buf_str(&written), "{{") || strstr(pn_buf_str(&written), "include-"));
    pn_buf_fini(&resolved);
    pn_buf_fini(&written);
    pn_policy_document_destroy(again);
    pn_policy_document_destroy(document);
}

static void check_refused(const char *section, const char *inner, const char *reason)
{
    char text[4096];
    struct pn_policy_document *document = NULL;
    struct pn_error err = {0};

    snprintf(text, sizeof text, "<policies>\n<%s>\n%s</%s></policies>", section, inner, section);
    assert_int_not_equal(read_text(text, false, &document, &err), PN_OK);
    if (!strstr(err.message, reason))
        fail_msg("'%s' is not in '%s'", reason, err.message);
}

static void named_values_are_put_in_and_kept_as_written(void **state)
{
    (void)state;
    check_resolved("backend", "<forward-request timeout=\"{{seconds}}\" />", "timeout=\"12\"");
    check_resolved("inbound",
                   "<set-header name=\"a\"><value>x{{SECONDS}}y{{cert}}</value></set-header>",
                   "<value>x12yc1</value>");
    check_resolved("inbound", "<set-header name=\"a\"><value>{{markup}}</value></set-header>",
                   "<value>a\"b&lt;c&gt;&amp;'d</value>");
    check_resolved("inbound",
                   "<set-query-parameter name=\"a\"><value>{{empty}}</value>"
                   "</set-query-parameter>",
                   "<value");
    /* A value is not looked through for further names. */
    check_resolved("inbound", "<set-header name=\"a\"><value>{{nested}}</value></set-header>",
                   "<value>{{seconds}}</value>");
}

static void unknown_names_are_refused_with_their_place(void **state)
{
    (void)state;
    check_refused("inbound", "<set-header name=\"a\"><value>{{nobody}}</value></set-header>",
                  "Cannot find a property 'nobody'");
    check_refused("inbound", "<set-backend-service backend-id=\"x-{{nobody}}\" />",
                  "Error in element 'set-backend-service' on line 3, column 2: Cannot find");
    check_refused("inbound", "<set-header name=\"a\"><value>{{n v}}</value></set-header>",
                  "'{{n v}}' names no named value");
    check_refused("inbound", "<include-fragment fragment-id=\"nobody\" />",
                  "Policy fragment with id 'nobody' could not be found.");
}

static void a_secret_is_in_no_error(void **state)
{
    struct pn_policy_document *document = NULL;
    struct pn_error err = {0};

    (void)state;
    assert_int_equal(
        read_text("<policies><inbound><set-header name=\"a\"><value>{{password}}</value>"
                  "</set-header></inbound></policies>",
                  false, &document, &err),
        PN_OK);
    pn_error_set(&err, PN_INVALID, "x",
                 "Error in element 'a' on line 1, column 2: Certificate with id "
                 "'hunter-two-and-a-half' could not be found.");
    pn_policy_hide_secrets(document, &err);
    assert_string_equal(err.message, "Error in element 'a' on line 1, column 2: it is not valid "
                                     "with the values of its secret named values");
    pn_error_set(&err, PN_INVALID, "x", "Error in element 'a' on line 1, column 2: no '%s'",
                 "two-a");
    pn_policy_hide_secrets(document, &err);
    assert_null(strstr(err.message, "two-a"));
    pn_error_set(&err, PN_INVALID, "x", "Error in element 'a' on line 1, column 2: %s",
                 "must be so");
    pn_policy_hide_secrets(document, &err);
    assert_non_null(strstr(err.message, "must be so"));
    pn_policy_document_destroy(document);
}

static void fragments_are_put_in(void **state)
{
    (void)state;
    check_resolved("inbound",
                   "<base /><include-fragment fragment-id=\"plain\" /><rewrite-uri "
                   "template=\"/z\" />",
                   "<value>12</value>");
    check_resolved("inbound", "<include-fragment fragment-id=\"Outer\" />", "name=\"y\"");
    check_resolved("inbound", "<base /><include-fragment fragment-id=\"empty\" />", "<base />");
    check_resolved("outbound", "<include-fragment fragment-id=\"empty\" /><base />", "<base />");
}

static void fragments_that_do_not_fit_are_refused(void **state)
{
    struct pn_policy_document *document = NULL;
    struct pn_error err = {0};

    (void)state;
    check_refused("outbound", "<include-fragment fragment-id=\"only-inbound\" />",
                  "in the policy fragment 'only-inbound': the policy is not allowed in section");
    check_refused("inbound", "<include-fragment fragment-id=\"loop\" />", "would include itself");
    check_refused("inbound", "<include-fragment />", "'fragment-id' is required");
    check_refused("inbound", "<include-fragment fragment-id=\"plain\"><base /></include-fragment>",
                  "takes no elements");
    assert_int_equal(read_text("<fragment><base /></fragment>", true, &document, &err), PN_INVALID);
    assert_non_null(strstr(err.message, "may not contain <base />"));
    assert_int_equal(read_text("<policies />", true, &document, &err), PN_INVALID);
    assert_non_null(strstr(err.message, "must start with <fragment>"));
    assert_int_equal(read_text("<fragment><nope /></fragment>", true, &document, &err), PN_INVALID);
    assert_int_equal(read_text("<fragment><rewrite-uri template=\"/\" /><forward-request />"
                               "</fragment>",
                               true, &document, &err),
                     PN_OK);
    pn_policy_document_destroy(document);
}

static void what_is_put_in_has_limits(void **state)
{
    struct pn_policy_document *document = NULL;
    struct pn_error err = {0};
    struct pn_buf text;

    (void)state;
    long_text = malloc(32 * 1024);
    assert_non_null(long_text);
    snprintf(long_text, 32 * 1024, "<fragment><!--%*s--></fragment>", 32000, "");
    pn_buf_init(&text, 64 * 1024);
    assert_int_equal(pn_buf_printf(&text, "<policies><inbound>"), PN_OK);
    for (int i = 0; i < 40; i++)
        assert_int_equal(pn_buf_printf(&text, "<include-fragment fragment-id=\"long\" />"), PN_OK);
    assert_int_equal(pn_buf_printf(&text, "</inbound></policies>"), PN_OK);
    assert_int_equal(read_text(pn_buf_str(&text), false, &document, &err), PN_LIMIT);
    assert_non_null(strstr(err.message, "policy-expanded-bytes"));
    pn_buf_fini(&text);
    free(long_text);
}

struct seen {
    char text[512];
    const struct pn_policy_document *document;
};

static enum pn_rc on_reference(void *ctx, const struct pn_policy_reference *reference,
                               struct pn_error *err)
{
    struct seen *seen = ctx;
    size_t len = strlen(seen->text);
    struct pn_slice value = pn_policy_reference_value(seen->document, reference);

    (void)err;
    snprintf(seen->text + len, sizeof seen->text - len, "%d:%.*s:%s:%.*s ", (int)reference->kind,
             PN_FMT(reference->name), reference->fragment ? reference->fragment : "",
             PN_FMT(value));
    return PN_OK;
}

static void references_tell_through_what_they_are_made(void **state)
{
    struct pn_policy_document *document = NULL;
    struct pn_error err = {0};
    struct seen seen = {0};
    char expected[512];

    (void)state;
    assert_int_equal(
        read_text(
            "<policies><inbound><authentication-certificate certificate-ids=\"x, {{both}}\" />"
            "<include-fragment fragment-id=\"cert\" /><set-backend-service "
            "backend-id=\"b{{cert}}\" /></inbound></policies>",
            false, &document, &err),
        PN_OK);
    seen.document = document;
    assert_int_equal(pn_policy_references(document, on_reference, &seen, &err), PN_OK);
    snprintf(expected, sizeof expected,
             "%d:both:: %d:cert:: %d:cert:: %d:x:: %d:c2::both %d:c1:cert: %d:bc1:: ",
             PN_POLICY_NAMED_VALUE, PN_POLICY_FRAGMENT, PN_POLICY_NAMED_VALUE,
             PN_POLICY_CERTIFICATE_ID, PN_POLICY_CERTIFICATE_ID, PN_POLICY_CERTIFICATE_ID,
             PN_POLICY_BACKEND_ID);
    assert_string_equal(seen.text, expected);
    pn_policy_document_destroy(document);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(named_values_are_put_in_and_kept_as_written),
        cmocka_unit_test(unknown_names_are_refused_with_their_place),
        cmocka_unit_test(a_secret_is_in_no_error),
        cmocka_unit_test(fragments_are_put_in),
        cmocka_unit_test(fragments_that_do_not_fit_are_refused),
        cmocka_unit_test(what_is_put_in_has_limits),
        cmocka_unit_test(references_tell_through_what_they_are_made),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
