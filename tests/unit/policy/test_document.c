/* SPDX-License-Identifier: Apache-2.0
 *
 * Policy documents: what is taken, what is refused and with which words, printing, references.
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

static enum pn_rc parse(const char *text, struct pn_policy_document **document,
                        struct pn_error *err)
{
    return pn_policy_parse(pn_slice_str(text), PN_POLICY_RAWXML, PN_SCOPE_API, document, err);
}

/* A policy with `inner` in that section. */
static void wrap(char *out, size_t size, const char *section, const char *inner)
{
    snprintf(out, size, "<policies>\n  <%s>\n    %s\n  </%s>\n</policies>", section, inner,
             section);
}

static void check_valid(const char *section, const char *inner)
{
    char text[4096];
    struct pn_policy_document *document = NULL;
    struct pn_error err = {0};

    wrap(text, sizeof text, section, inner);
    if (parse(text, &document, &err) != PN_OK)
        fail_msg("%s: %s", inner, err.message);
    pn_policy_document_destroy(document);
}

/* `reason` is a part of the message; the error is about the first element inside the section. */
static void check_invalid(const char *section, const char *inner, const char *reason)
{
    char text[4096];
    struct pn_policy_document *document = NULL;
    struct pn_error err = {0};
    enum pn_rc rc;

    wrap(text, sizeof text, section, inner);
    rc = parse(text, &document, &err);
    if (rc != PN_INVALID)
        fail_msg("%s: %s %s", inner, pn_rc_name(rc), err.message);
    assert_string_equal(err.code, "policy_invalid");
    if (!strstr(err.message, reason))
        fail_msg("%s: '%s' is not in '%s'", inner, reason, err.message);
}

static void check_printed(const char *text, const char *expected)
{
    struct pn_policy_document *document = NULL;
    struct pn_error err = {0};
    struct pn_buf out;

    pn_buf_init(&out, 65536);
    if (parse(text, &document, &err) != PN_OK)
        fail_msg("%s", err.message);
    assert_int_equal(pn_policy_print(document, PN_POLICY_RAWXML, &out), PN_OK);
    assert_string_equal(pn_buf_str(&out), expected);
    pn_policy_document_destroy(document);
    pn_buf_fini(&out);
}

#define THUMBPRINT "AABBCCDDEEFF00112233445566778899AABBCCDD"
#define HEX64      "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

static void every_statement_is_taken_where_it_belongs(void **state)
{
    static const char *const everywhere[] = {
        "<base />",
        "<base id=\"b\" />",
        "<set-header name=\"X-A\"><value>1</value><value>2</value></set-header>",
        "<set-header name=\"X-A\" exists-action=\"delete\" />",
        "<set-header name=\"X-A\" exists-action=\"Skip\" id=\"h\"><value></value></set-header>",
        "<return-response />",
        "<return-response><set-status code=\"403\" reason=\"No\" /><set-header name=\"a\"><value>b"
        "</value></set-header><set-body>text</set-body></return-response>",
        "<return-response><set-body><![CDATA[<html>&]]></set-body></return-response>",
        "<return-response><set-status code=\"@(400 + 4)\" reason=\"@(\"a\")\" /><set-header "
        "name=\"@(\"a\")\"><value>@(1)</value></set-header><set-body>@{ return 1; }</set-body>"
        "</return-response>",
        "<set-variable name=\"v\" value=\"literal\" />",
        "<set-variable name=\"v\" value=\"@(new[] {1 < 2 ? \"a\" : \"b\"})\" id=\"i\" />",
        "<choose><when condition=\"@(1 < 2 && \"a\" != \"b\")\"><set-variable name=\"v\" "
        "value=\"x\" /></when><when condition=\"false\" /><otherwise><choose><when "
        "condition=\"True\"><return-response /></when></choose></otherwise></choose>",
    };
    static const char *const sections[] = {"inbound", "backend", "outbound", "on-error"};

    (void)state;
    for (size_t i = 0; i < sizeof everywhere / sizeof *everywhere; i++)
        for (size_t j = 0; j < 4; j++)
            check_valid(sections[j], everywhere[i]);
    check_valid("inbound", "<authentication-certificate thumbprint=\"" THUMBPRINT "\" />");
    check_valid("inbound", "<authentication-certificate certificate-id=\"c 1\" id=\"x\" />");
    check_valid("inbound", "<authentication-certificate body=\"TUlJ\" password=\"p\" />");
    check_valid("inbound", "<authentication-certificate body=\"TUlJ\" />");
    check_valid("inbound", "<authentication-certificate body=\"postern:embedded:" HEX64 "\" />");
    check_valid("inbound", "<set-backend-service base-url=\"https://h.example:8443/a/b\" />");
    check_valid("backend", "<set-backend-service backend-id=\"b1\" /><forward-request />");
    check_valid("backend", "<forward-request timeout=\"60\" follow-redirects=\"false\" "
                           "buffer-request-body=\"false\" buffer-response=\"false\" "
                           "fail-on-error-status-code=\"True\" http-version=\"2or1\" "
                           "continue-timeout=\"2\" />");
    check_valid("backend", "<forward-request timeout-ms=\"1\" follow-redirects=\"true\" "
                           "buffer-request-body=\"true\" />");
    check_valid("inbound", "<set-query-parameter name=\"q\" exists-action=\"append\"><value>1"
                           "</value></set-query-parameter>");
    check_valid("inbound", "<rewrite-uri template=\"/a/{id}?x={y}\" "
                           "copy-unmatched-params=\"false\" />");
    check_valid("inbound", "<authentication-certificate certificate-id=\"@(\"c\" + 1)\" />");
    check_valid("inbound", "<authentication-certificate thumbprint=\"@(\"c\")\" />");
    check_valid("inbound", "<authentication-basic username=\"@(\"c\")\" password=\"p\" />");
    check_valid("inbound", "<set-backend-service base-url=\"@(\"https://\" + 1)\" />");
    check_valid("backend", "<set-backend-service backend-id=\"@(\"b\")\" /><forward-request "
                           "timeout=\"@(1 + 1)\" follow-redirects=\"@(1 < 2)\" />");
    check_valid("backend", "<choose><when condition=\"@(true)\"><set-backend-service "
                           "backend-id=\"b\" /><forward-request /></when><otherwise>"
                           "<forward-request timeout-ms=\"@(5)\" /></otherwise></choose>");
    check_valid("inbound", "<rewrite-uri template=\"@(\"/a?b=\" + 1)\" />");
    check_valid("inbound", "<set-method>POST</set-method>");
    check_valid("inbound", "<set-method>@(context.Request.Method)</set-method>");
    check_valid("outbound", "<set-status code=\"404\" reason=\"Gone\" />");
    check_valid("on-error", "<set-status code=\"@(500 + 3)\" reason=\"@(\"x\")\" />");
}

static void statement_outside_its_sections_is_refused(void **state)
{
    (void)state;
    check_invalid("outbound", "<authentication-certificate certificate-id=\"c\" />",
                  "not allowed in section 'outbound'; it is in: inbound");
    check_invalid("on-error", "<set-backend-service backend-id=\"b\" />",
                  "it is in: inbound, backend");
    check_invalid("inbound", "<forward-request />", "it is in: backend");
    check_invalid("outbound",
                  "<set-query-parameter name=\"a\"><value>1</value></set-query-parameter>",
                  "it is in: inbound, backend");
    check_invalid("backend", "<rewrite-uri template=\"/\" />", "it is in: inbound");
    check_invalid("inbound", "<base /><base />", "more than one <base />");
    check_invalid("backend", "<base /><forward-request />", "holds one policy only");
    check_invalid("backend",
                  "<choose><when condition=\"true\"><forward-request /><forward-request /></when>"
                  "</choose>",
                  "holds one policy only");
    check_invalid("inbound", "<choose><when condition=\"true\"><forward-request /></when></choose>",
                  "it is in: backend");
    check_invalid("inbound", "<choose><when condition=\"true\"><base /></when></choose>",
                  "<base /> stands in a section itself");
    check_invalid("inbound", "<choose><otherwise /></choose>", "choose takes, in this order");
    check_invalid("inbound",
                  "<choose><when condition=\"true\" /><otherwise /><when condition=\"true\" />"
                  "</choose>",
                  "choose takes, in this order");
    check_invalid("inbound", "<choose />", "choose needs at least one <when>");
    check_invalid("inbound", "<choose><when /></choose>", "'condition' is required");
    check_invalid("inbound", "<choose><when condition=\"yes\" /></choose>",
                  "must be an expression, @(…), or \"true\" or \"false\"");
    check_invalid("inbound", "<choose><otherwise condition=\"true\" /></choose>",
                  "choose takes, in this order");
    check_invalid("inbound", "<set-status code=\"200\" reason=\"x\" />",
                  "it is in: outbound, on-error");
    check_invalid("outbound", "<set-method>GET</set-method>", "it is in: inbound");
    check_invalid("inbound", "<set-method>CONNECT</set-method>", "must not be CONNECT");
    check_invalid("inbound", "<set-method />", "must be a method");
    check_invalid("inbound", "<set-variable value=\"x\" />", "'name' must have 1 to 256");
    check_invalid("inbound", "<set-variable name=\"x\" />", "'value' is required");
}

static void what_is_not_known_is_refused_by_name(void **state)
{
    (void)state;
    check_invalid("inbound", "<no-such />", "the policy 'no-such' is not known");
    check_invalid("inbound", "<x:base />", "the policy 'x:base' is not known");
    check_invalid("inbound", "<Base />", "the policy 'Base' is not known");
    check_invalid("inbound", "<retry />", "the policy 'retry' is not supported by this release");
    check_invalid("inbound", "<base what=\"1\" />",
                  "the attribute 'what' is not known; the element takes: id");
    check_invalid("inbound", "<rewrite-uri templat=\"/\" />",
                  "the element takes: template, copy-unmatched-params, id");
    check_invalid("inbound", "<set-backend-service backend-id=\"b\" sf-partition-key=\"1\" />",
                  "'sf-partition-key' is not supported");
    check_invalid("backend", "<forward-request continue-timeout=\"0\" />",
                  "'continue-timeout' must be a number of seconds");
    check_invalid("inbound", "text <base />", "takes no text");
    check_invalid("inbound", "<base>text</base>", "takes no text");
    check_invalid("inbound", "<base><base /></base>", "takes no elements");
}

static void bad_values_are_refused(void **state)
{
    (void)state;
    check_invalid("inbound", "<authentication-certificate />", "exactly one of");
    check_invalid("inbound",
                  "<authentication-certificate certificate-id=\"a\" thumbprint=\"" THUMBPRINT
                  "\" />",
                  "exactly one of");
    check_invalid("inbound", "<authentication-certificate certificate-id=\"a\" password=\"p\" />",
                  "goes with 'body' only");
    check_invalid("inbound", "<authentication-certificate thumbprint=\"AABB\" />", "40 hex");
    check_invalid("inbound", "<authentication-certificate certificate-id=\"a/b\" />", "name of");
    check_invalid("inbound", "<authentication-certificate certificate-id=\"\" />", "name of");
    check_invalid("inbound", "<authentication-certificate body=\"%%\" />", "base64");
    check_invalid("inbound", "<authentication-certificate body=\"postern:embedded:12\" />",
                  "64 hex digits");
    check_invalid("inbound",
                  "<authentication-certificate body=\"postern:embedded:" HEX64
                  "\" password=\"\" />",
                  "does not go with an embedded");
    check_invalid("inbound", "<set-backend-service />", "exactly one of");
    check_invalid("inbound", "<set-backend-service base-url=\"ftp://x\" />", "http://");
    check_invalid("inbound", "<set-backend-service base-url=\"https:///x\" />", "no host");
    check_invalid("inbound", "<set-backend-service base-url=\"https://u:p@h\" />", "user name");
    check_invalid("inbound", "<set-backend-service base-url=\"https://h?q=1\" />", "query");
    check_invalid("inbound", "<set-backend-service base-url=\"https://h/a b\" />", "character");
    check_invalid("backend", "<forward-request timeout=\"0\" />", "from 1 to 86400");
    check_invalid("backend", "<forward-request timeout=\"86401\" />", "from 1 to 86400");
    check_invalid("backend", "<forward-request timeout=\"-1\" />", "from 1 to");
    check_invalid("backend", "<forward-request timeout=\"1\" timeout-ms=\"1\" />", "only one");
    check_invalid("backend", "<forward-request follow-redirects=\"yes\" />", "\"true\" or");
    check_invalid("backend", "<forward-request http-version=\"3\" />", "must be \"1\"");
    check_invalid("inbound", "<set-header><value>1</value></set-header>", "'name' is required");
    check_invalid("inbound", "<set-header name=\"a b\"><value>1</value></set-header>",
                  "no header name");
    check_invalid("inbound", "<set-header name=\"content-length\"><value>1</value></set-header>",
                  "'Content-Length' belongs to the gateway");
    check_invalid("inbound", "<set-header name=\"a\" />", "at least one <value>");
    check_invalid("inbound", "<set-header name=\"a\"><v>1</v></set-header>", "only <value>");
    check_invalid("inbound", "<set-header name=\"a\" exists-action=\"x\"><value/></set-header>",
                  "exists-action");
    check_invalid("inbound", "<set-query-parameter name=\"\"><value/></set-query-parameter>",
                  "1 to 256");
    check_invalid("inbound", "<rewrite-uri />", "'template' is required");
    check_invalid("inbound", "<rewrite-uri template=\"/{a\" />", "'{'");
    check_invalid("inbound", "<rewrite-uri template=\"/a}\" />", "'}'");
    check_invalid("inbound", "<rewrite-uri template=\"https://h/\" />", "not a whole URL");
    check_invalid("inbound", "<return-response><set-status code=\"200\" /></return-response>",
                  "'reason' is required");
    check_invalid("inbound",
                  "<return-response><set-status code=\"199\" reason=\"\"/></return-response>",
                  "200 to 599");
    check_invalid("inbound",
                  "<return-response><set-status code=\"600\" reason=\"\"/></return-response>",
                  "200 to 599");
    check_invalid("inbound",
                  "<return-response><set-body/><set-status code=\"200\" "
                  "reason=\"\"/></return-response>",
                  "in this order");
    check_invalid("inbound", "<return-response><set-body template=\"liquid\"/></return-response>",
                  "'template' is not supported");
    check_invalid("inbound", "<return-response response-variable-name=\"r\"/>", "not supported");
}

static void header_values_never_hold_line_ends(void **state)
{
    (void)state;
    check_invalid("inbound", "<set-header name=\"a\"><value>b&#13;&#10;c: d</value></set-header>",
                  "line ends");
    check_invalid("inbound", "<set-header name=\"a\"><value>b\n  c</value></set-header>",
                  "line ends");
    check_invalid("inbound", "<set-header name=\"a&#10;b\"><value>c</value></set-header>",
                  "no header name");
    check_invalid("inbound",
                  "<return-response><set-status code=\"200\" reason=\"a&#13;b\"/>"
                  "</return-response>",
                  "one line");
}

static void check_place(const char *text, enum pn_policy_format format, const char *message)
{
    struct pn_policy_document *document = NULL;
    struct pn_error err = {0};

    assert_int_equal(pn_policy_parse(pn_slice_str(text), format, PN_SCOPE_API, &document, &err),
                     PN_INVALID);
    if (strncmp(err.message, message, strlen(message)) != 0)
        fail_msg("%s: not \"%s\" but \"%s\"", text, message, err.message);
}

#define RAW(text, message) check_place(text, PN_POLICY_RAWXML, "Error in element " message)
#define XML(text, message) check_place(text, PN_POLICY_XML, "Error in element " message)
#define TOP                "<policies><inbound>\r\n"
#define END                "</inbound></policies>"

static void faults_in_expressions_have_their_place(void **state)
{
    (void)state;
    RAW(TOP "<set-header name=\"a\"><value>@(foo)</value></set-header>" END,
        "'value' on line 2, column 31: policy expression: the name 'foo' is not known");
    RAW(TOP "<set-header name=\"a\"><value><!-- \xC3\xA9 -->\r\n  @(1 +\r\n \"<\xC3\xA9\" + foo)"
            "</value></set-header>" END,
        "'value' on line 4, column 9: policy expression: the name 'foo'");
    XML(TOP "<set-header name=\"a\"><value>\n@(&quot;&lt;&#233;&#x20AC;&quot; + foo)</value>"
            "</set-header>" END,
        "'value' on line 3, column 36: policy expression: the name 'foo'");
    XML(TOP "<rewrite-uri  copy-unmatched-params='true' template = ' @(1 &lt; foo)' />" END,
        "'rewrite-uri' on line 2, column 66: policy expression: the name 'foo'");
    RAW(TOP "<set-variable name=\"x\" value=\"@(\"<\" + \n\t\"a\" + foo)\" />" END,
        "'set-variable' on line 3, column 8: policy expression: the name 'foo'");
    RAW(TOP "<choose><when condition=\"@(context.Request.Headers[\"a\"] > 1)\"/></choose>" END,
        "'when' on line 2, column 57: policy expression: '>' is not possible between string[] and "
        "int");
    RAW(TOP "<set-header name=\"@(1)\"><value><![CDATA[@(foo)]]></value></set-header>" END,
        "'value' on line 2, column 43: policy expression: the name 'foo'");
    RAW(TOP "<set-variable name=\"v\" value=\"@(1)x\" />" END,
        "'set-variable' on line 2, column 35: policy expression: the expression ends before");
    RAW(TOP "<authentication-managed-identity resource=\"@(1)\" />" END,
        "'authentication-managed-identity' on line 2, column 2: the attribute 'resource' cannot be "
        "a policy expression");
    RAW(TOP "<set-header name=\"a\" exists-action=\"@(1)\"><value>1</value></set-header>" END,
        "'set-header' on line 2, column 2: the attribute 'exists-action' cannot be a policy");
}

static void check_both(const char *given, enum pn_policy_format format, const char *raw,
                       const char *xml)
{
    struct pn_policy_document *document = NULL;
    struct pn_error err = {0};
    struct pn_buf out;

    if (pn_policy_parse(pn_slice_str(given), format, PN_SCOPE_API, &document, &err) != PN_OK)
        fail_msg("%s", err.message);
    pn_buf_init(&out, 65536);
    assert_int_equal(pn_policy_print(document, PN_POLICY_RAWXML, &out), PN_OK);
    assert_string_equal(pn_buf_str(&out), raw);
    pn_buf_clear(&out);
    assert_int_equal(pn_policy_print(document, PN_POLICY_XML, &out), PN_OK);
    assert_string_equal(pn_buf_str(&out), xml);
    pn_buf_fini(&out);
    pn_policy_document_destroy(document);
}

static void expressions_are_raw_in_rawxml_and_escaped_in_xml(void **state)
{
    static const char raw[] =
        "<policies>\r\n    <inbound>\r\n"
        "        <set-variable name=\"v\" value=\"@(1 < 2 &&\r\n \"a'\" != \"b\")\" />\r\n"
        "        <set-header name=\"a\" exists-action=\"override\">\r\n"
        "            <value>@{ if (1 < 2)\r\n { return \"&\"; } return '\"'; }</value>\r\n"
        "            <value>a @(b) &lt;</value>\r\n"
        "        </set-header>\r\n"
        "        <set-variable name=\"w\" value=\" @(1 &lt; 2)\" />\r\n"
        "        <set-method>@(1 > 2 ? \"A\" : \"B\")</set-method>\r\n"
        "    </inbound>\r\n</policies>";
    static const char xml[] =
        "<policies>\r\n    <inbound>\r\n"
        "        <set-variable name=\"v\" value=\"@(1 &lt; 2 &amp;&amp;&#xA; &quot;a'&quot; != "
        "&quot;b&quot;)\" />\r\n"
        "        <set-header name=\"a\" exists-action=\"override\">\r\n"
        "            <value>@{ if (1 &lt; 2)\r\n { return \"&amp;\"; } return '\"'; }</value>\r\n"
        "            <value>a @(b) &lt;</value>\r\n"
        "        </set-header>\r\n"
        "        <set-variable name=\"w\" value=\" @(1 &lt; 2)\" />\r\n"
        "        <set-method>@(1 &gt; 2 ? \"A\" : \"B\")</set-method>\r\n"
        "    </inbound>\r\n</policies>";

    (void)state;
    check_both(raw, PN_POLICY_RAWXML, raw, xml);
    check_both(xml, PN_POLICY_XML, raw, xml);
}

static void errors_name_element_line_and_column(void **state)
{
    static const struct {
        const char *text, *target, *message;
        enum pn_rc rc;
    } cases[] = {
        {"<policies>\n  <inbound>\n    <nope />\n  </inbound>\n</policies>", "nope",
         "Error in element 'nope' on line 3, column 6: the policy 'nope' is not known", PN_INVALID},
        {"<policies>\n<inbound/>\n<inbound/></policies>", "inbound",
         "Error in element 'inbound' on line 3, column 2: the section 'inbound' occurs twice",
         PN_INVALID},
        {"<policies><bound/></policies>", "bound",
         "Error in element 'bound' on line 1, column 12: the section 'bound' is not known; the "
         "sections are: inbound, backend, outbound, on-error",
         PN_INVALID},
        {"<fragment/>", "fragment",
         "Error in element 'fragment' on line 1, column 2: the document must start with "
         "<policies>; a fragment is put under policyFragments",
         PN_INVALID},
        {"", "policies",
         "Error in element 'policies' on line 1, column 1: there is no <policies> "
         "element",
         PN_MALFORMED},
        {"<!DOCTYPE a [<!ENTITY b \"c\">]><policies/>", "policies",
         "Error in element 'policies' on line 1, column 1: a document type declaration is not "
         "allowed in a policy",
         PN_MALFORMED},
        {"<policies><?php ?></policies>", "policies",
         "Error in element 'policies' on line 1, column 11: a processing instruction is not "
         "allowed in a policy",
         PN_MALFORMED},
        {"<policies>\n <inbound a=\"@(1 + (2)\" /></policies>", "inbound",
         "Error in element 'inbound' on line 2, column 14: the policy expression that starts here "
         "has no end: a bracket, a quote or a comment in it is not closed",
         PN_MALFORMED},
        {"<policies", "policies",
         "Error in element 'policies' on line 1, column 1: the start tag has no '>'", PN_MALFORMED},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct pn_policy_document *document = NULL;
        struct pn_error err = {0};

        assert_int_equal(parse(cases[i].text, &document, &err), cases[i].rc);
        assert_string_equal(err.message, cases[i].message);
        assert_string_equal(err.target, cases[i].target);
    }
}

static void broken_xml_is_refused_with_its_line(void **state)
{
    static const struct {
        const char *text, *place;
    } cases[] = {
        {"<policies>\n<inbound>\n</policies>", "on line 3, column "},
        {"<policies>\n<inbound a='1' a='2'/></policies>", "on line 2, column "},
        {"<policies>&nbsp;</policies>", "on line 1, column "},
        {"<policies>\n\n<a & b/></policies>", "on line 3, column "},
        {"<policies/><policies/>", "on line 1, column "},
        {"<policies>\n<inbound><set-header name=\"@(a < b)\" /></inbound>\n</x>",
         "on line 3, column "},
        {"\xFF\xFE<policies/>", "on line 1, column "},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct pn_policy_document *document = NULL;
        struct pn_error err = {0};

        assert_int_equal(parse(cases[i].text, &document, &err), PN_MALFORMED);
        if (!strstr(err.message, cases[i].place))
            fail_msg("%s", err.message);
    }
}

static void every_cut_of_a_document_is_refused_cleanly(void **state)
{
    static const char text[] =
        "<?xml version=\"1.0\" encoding=\"utf-16\"?><!-- c --><policies><inbound><base/>"
        "<set-header name='a' exists-action=\"append\"><value>b &amp; c</value><!-- d --></"
        "set-header><return-response><set-body><![CDATA[x]]></set-body></return-response>"
        "</inbound></policies>";
    struct pn_policy_document *document = NULL;
    struct pn_error err = {0};

    (void)state;
    assert_int_equal(parse(text, &document, &err), PN_OK);
    pn_policy_document_destroy(document);
    for (size_t len = 0; len < sizeof text - 1; len++) {
        char *cut = malloc(len + 1); /* exact size: a read behind the end is seen */

        assert_non_null(cut);
        memcpy(cut, text, len);
        document = NULL;
        assert_int_equal(
            pn_policy_parse(pn_slice(cut, len), PN_POLICY_RAWXML, PN_SCOPE_API, &document, &err),
            PN_MALFORMED);
        free(cut);
    }
}

static void limits_hold_on_both_sides(void **state)
{
    struct pn_policy_document *document = NULL;
    struct pn_error err = {0};
    char *text = malloc(PN_POLICY_BYTES_MAX + 2);
    char deep[1024] = "<policies>";

    (void)state;
    assert_non_null(text);
    memset(text, ' ', PN_POLICY_BYTES_MAX + 1);
    memcpy(text, "<policies/>", 11);
    assert_int_equal(pn_policy_parse(pn_slice(text, PN_POLICY_BYTES_MAX), PN_POLICY_XML,
                                     PN_SCOPE_API, &document, &err),
                     PN_OK);
    pn_policy_document_destroy(document);
    assert_int_equal(pn_policy_parse(pn_slice(text, PN_POLICY_BYTES_MAX + 1), PN_POLICY_XML,
                                     PN_SCOPE_API, &document, &err),
                     PN_LIMIT);
    free(text);
    for (int i = 1; i < PN_POLICY_DEPTH_MAX; i++)
        memcpy(deep + strlen(deep), "<a>", 4);
    assert_int_equal(parse(deep, &document, &err), PN_MALFORMED); /* not closed */
    memcpy(deep + strlen(deep), "<a>", 4);
    assert_int_equal(parse(deep, &document, &err), PN_LIMIT);
    assert_non_null(strstr(err.message, "nested more than 32 deep"));
}

/* Counting lines from the top for each element would take minutes here. */
static void document_of_many_elements_is_read_in_linear_time(void **state)
{
    struct pn_policy_document *document = NULL;
    struct pn_error err = {0};
    struct pn_buf text;

    (void)state;
    pn_buf_init(&text, PN_POLICY_BYTES_MAX);
    assert_int_equal(pn_buf_append_str(&text, "<policies><inbound>"), PN_OK);
    while (text.len < PN_POLICY_BYTES_MAX - 64)
        assert_int_equal(pn_buf_append_str(&text, "\n<return-response/>"), PN_OK);
    assert_int_equal(pn_buf_append_str(&text, "\n <nope/></inbound></policies>"), PN_OK);
    assert_int_equal(
        pn_policy_parse(pn_buf_slice(&text), PN_POLICY_XML, PN_SCOPE_API, &document, &err),
        PN_INVALID);
    if (!strstr(err.message, "'nope' on line ") || !strstr(err.message, ", column 3:"))
        fail_msg("%s", err.message);
    pn_buf_fini(&text);
}

static void printing_is_canonical_and_stable(void **state)
{
    static const char expected[] = "<!-- top -->\r\n"
                                   "<policies>\r\n"
                                   "    <inbound>\r\n"
                                   "        <!-- two\r\n lines -->\r\n"
                                   "        <base />\r\n"
                                   "        <set-header name=\"X\" exists-action=\"override\">\r\n"
                                   "            <value>a &amp; &lt;b&gt; \"c\"</value>\r\n"
                                   "            <value />\r\n"
                                   "        </set-header>\r\n"
                                   "    </inbound>\r\n"
                                   "    <backend>\r\n"
                                   "        <forward-request timeout=\"5\" />\r\n"
                                   "    </backend>\r\n"
                                   "    <outbound />\r\n"
                                   "    <on-error>\r\n"
                                   "        <return-response>\r\n"
                                   "            <set-body>\r\n  line &amp;\r\n</set-body>\r\n"
                                   "        </return-response>\r\n"
                                   "    </on-error>\r\n"
                                   "</policies>";

    (void)state;
    check_printed("<?xml version='1.0'?><!-- top --><policies><inbound><!-- two\n lines --><base/>"
                  "<set-header name='X' exists-action='override'><value>a &amp; &lt;b> &quot;c\""
                  "</value><value></value></set-header></inbound><backend><forward-request "
                  "timeout = \"5\"/></backend><outbound></outbound><on-error><return-response>"
                  "<set-body>\n  line &#38;\n</set-body></return-response></on-error></policies>",
                  expected);
    check_printed(expected, expected);
    check_printed(pn_policy_default(PN_SCOPE_API), pn_policy_default(PN_SCOPE_API));
    check_printed(pn_policy_default(PN_SCOPE_GLOBAL), pn_policy_default(PN_SCOPE_GLOBAL));
}

static void references_in_attributes_become_their_characters(void **state)
{
    static const char expected[] =
        "<policies>\r\n"
        "    <inbound>\r\n"
        "        <rewrite-uri template=\"/a?b=1&amp;c=2&amp;d='3'\" />\r\n"
        "    </inbound>\r\n"
        "</policies>";

    (void)state;
    check_printed("<policies><inbound><rewrite-uri "
                  "template='/a?b=1&amp;c=2&#38;d=&apos;3&#x27;'/></inbound></policies>",
                  expected);
    check_printed(expected, expected);
}

struct seen {
    size_t count;
    struct pn_policy_reference all[8];
};

static enum pn_rc on_reference(void *ctx, const struct pn_policy_reference *reference,
                               struct pn_error *err)
{
    struct seen *seen = ctx;

    (void)err;
    assert_in_range(seen->count, 0, 7);
    seen->all[seen->count++] = *reference;
    return PN_OK;
}

static void long_documents_are_read_to_their_end(void **state)
{
    static const char line[] = "        <set-header name=\"X\" exists-action=\"append\">\r\n"
                               "            <value>a &amp; b</value>\r\n        </set-header>\r\n";

    (void)state;
    for (size_t count = 1; count <= 1024; count *= 2) {
        struct pn_policy_document *document = NULL;
        struct pn_error err = {0};
        struct pn_buf text;
        struct pn_buf printed;

        pn_buf_init(&text, PN_POLICY_BYTES_MAX);
        pn_buf_init(&printed, 2 * PN_POLICY_BYTES_MAX);
        assert_int_equal(pn_buf_append_str(&text, "<policies>\r\n    <inbound>\r\n"), PN_OK);
        for (size_t i = 0; i < count; i++)
            assert_int_equal(pn_buf_append_str(&text, line), PN_OK);
        assert_int_equal(pn_buf_append_str(&text, "    </inbound>\r\n</policies>"), PN_OK);
        if (parse(pn_buf_str(&text), &document, &err) != PN_OK)
            fail_msg("%zu statements: %s", count, err.message);
        assert_int_equal(pn_policy_print(document, PN_POLICY_RAWXML, &printed), PN_OK);
        assert_true(printed.len >= text.len);
        pn_policy_document_destroy(document);
        pn_buf_fini(&text);
        pn_buf_fini(&printed);
    }
}

static void references_come_in_order_with_their_place(void **state)
{
    struct pn_policy_document *document = NULL;
    struct pn_error err = {0};
    struct seen seen = {0};

    (void)state;
    assert_int_equal(
        parse("<policies><inbound>\n<authentication-certificate thumbprint=\"aa bb cc dd ee ff 00 "
              "11 22 33 44 55 66 77 88 99 aa bb cc dd\" />\n"
              "<authentication-certificate certificate-id=\"c1\" />\n"
              "<set-backend-service base-url=\"http://h\" />\n"
              "<set-backend-service backend-id=\"b1\" /></inbound></policies>",
              &document, &err),
        PN_OK);
    assert_int_equal(pn_policy_references(document, on_reference, &seen, &err), PN_OK);
    assert_int_equal(seen.count, 3);
    assert_int_equal(seen.all[0].kind, PN_POLICY_CERTIFICATE_THUMBPRINT);
    assert_true(pn_slice_eq_str(seen.all[0].name, THUMBPRINT));
    assert_int_equal(seen.all[1].kind, PN_POLICY_CERTIFICATE_ID);
    assert_int_equal(seen.all[1].line, 3);
    assert_int_equal(seen.all[2].kind, PN_POLICY_BACKEND_ID);
    assert_true(pn_slice_eq_str(seen.all[2].name, "b1"));
    assert_int_equal(
        pn_policy_reference_error(&seen.all[1], &err, "certificate '%s' not found", "c1"),
        PN_INVALID);
    assert_string_equal(err.message, "Error in element 'authentication-certificate' on line 3, "
                                     "column 2: certificate 'c1' not found");
    assert_string_equal(err.target, "authentication-certificate");
    pn_policy_document_destroy(document);
}

static void expressions_tell_what_they_may_name(void **state)
{
    static const struct {
        enum pn_policy_reference_kind kind;
        const char *name;
        bool is_certain;
    } expected[] = {
        {PN_POLICY_CERTIFICATE_LITERAL, "c1", true}, {PN_POLICY_CERTIFICATE_LITERAL, "c2", true},
        {PN_POLICY_BACKEND_LITERAL, "b1", false},    {PN_POLICY_BACKEND_LITERAL, "x", false},
        {PN_POLICY_BACKEND_ANY, "", false},
    };
    struct pn_policy_document *document = NULL;
    struct pn_error err = {0};
    struct seen seen = {0};

    (void)state;
    assert_int_equal(
        parse("<policies><inbound><choose><when condition=\"true\"><authentication-certificate "
              "certificate-id='@(context.Request.Method == \"GET\" ? \"c1\" : \"c2\")'/></when>"
              "<otherwise><set-variable name='x' value='b1'/></otherwise></choose>"
              "<set-backend-service backend-id='@((string)context.Variables[\"x\"])'/>"
              "</inbound></policies>",
              &document, &err),
        PN_OK);
    assert_int_equal(pn_policy_references(document, on_reference, &seen, &err), PN_OK);
    assert_int_equal(seen.count, sizeof expected / sizeof *expected);
    for (size_t i = 0; i < seen.count; i++) {
        char name[80];

        snprintf(name, sizeof name, "%.*s", PN_FMT(seen.all[i].name));
        assert_int_equal(seen.all[i].kind, expected[i].kind);
        assert_string_equal(name, expected[i].name);
        assert_int_equal(seen.all[i].is_certain, expected[i].is_certain);
    }
    pn_policy_document_destroy(document);
}

static void embedded_body_leaves_no_password_behind(void **state)
{
    static const char expected[] =
        "<policies>\r\n"
        "    <inbound>\r\n"
        "        <authentication-certificate id=\"x\" body=\"postern:embedded:" HEX64 "\" />\r\n"
        "    </inbound>\r\n"
        "</policies>";
    struct pn_policy_document *document = NULL;
    struct pn_error err = {0};
    struct seen seen = {0};
    struct pn_slice password;
    struct pn_buf out;

    (void)state;
    pn_buf_init(&out, 65536);
    assert_int_equal(parse("<policies><inbound><authentication-certificate id=\"x\" body=\"TUlJ\" "
                           "password=\"a&lt;b\" /></inbound></policies>",
                           &document, &err),
                     PN_OK);
    assert_int_equal(pn_policy_references(document, on_reference, &seen, &err), PN_OK);
    assert_int_equal(seen.all[0].kind, PN_POLICY_CERTIFICATE_BODY);
    assert_true(pn_slice_eq_str(seen.all[0].name, "TUlJ"));
    password = seen.all[0].password;
    assert_true(pn_slice_eq_str(password, "a<b"));
    assert_int_equal(pn_policy_embed(document, &seen.all[0], HEX64), PN_OK);
    assert_true(pn_slice_eq(password, pn_slice("\0\0\0", 3)));
    assert_int_equal(pn_policy_print(document, PN_POLICY_XML, &out), PN_OK);
    assert_string_equal(pn_buf_str(&out), expected);
    assert_int_equal(pn_policy_references(document, on_reference, &seen, &err), PN_OK);
    assert_int_equal(seen.all[1].kind, PN_POLICY_CERTIFICATE_EMBEDDED);
    assert_true(pn_slice_eq_str(seen.all[1].name, HEX64));
    check_printed(expected, expected);
    pn_policy_document_destroy(document);
    pn_buf_fini(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_statement_is_taken_where_it_belongs),
        cmocka_unit_test(statement_outside_its_sections_is_refused),
        cmocka_unit_test(what_is_not_known_is_refused_by_name),
        cmocka_unit_test(bad_values_are_refused),
        cmocka_unit_test(header_values_never_hold_line_ends),
        cmocka_unit_test(faults_in_expressions_have_their_place),
        cmocka_unit_test(expressions_are_raw_in_rawxml_and_escaped_in_xml),
        cmocka_unit_test(expressions_tell_what_they_may_name),
        cmocka_unit_test(errors_name_element_line_and_column),
        cmocka_unit_test(broken_xml_is_refused_with_its_line),
        cmocka_unit_test(every_cut_of_a_document_is_refused_cleanly),
        cmocka_unit_test(limits_hold_on_both_sides),
        cmocka_unit_test(document_of_many_elements_is_read_in_linear_time),
        cmocka_unit_test(printing_is_canonical_and_stable),
        cmocka_unit_test(long_documents_are_read_to_their_end),
        cmocka_unit_test(references_in_attributes_become_their_characters),
        cmocka_unit_test(references_come_in_order_with_their_place),
        cmocka_unit_test(embedded_body_leaves_no_password_behind),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
