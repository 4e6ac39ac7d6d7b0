/* SPDX-License-Identifier: Apache-2.0
 *
 * Programs and runs: scopes, headers, queries, rewriting, responses.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "policy/policy.h"

/* One request against the policies of up to three scopes (NULL: none at that scope). */
struct bench {
    struct pn_policy_document *documents[3];
    struct pn_policy_program *program;
    struct pn_policy_context context;
    struct pn_policy_run run;
};

static void set_up(struct bench *bench, const char *global, const char *api, const char *operation)
{
    static const enum pn_policy_scope scopes[] = {PN_SCOPE_GLOBAL, PN_SCOPE_API,
                                                  PN_SCOPE_OPERATION};
    const char *texts[] = {global, api, operation};
    struct pn_error err = {0};

    memset(bench, 0, sizeof *bench);
    for (size_t i = 0; i < 3; i++)
        if (texts[i] && pn_policy_parse(pn_slice_str(texts[i]), PN_POLICY_RAWXML, scopes[i],
                                        &bench->documents[i], &err) != PN_OK)
            fail_msg("%s", err.message);
    assert_int_equal(pn_policy_compile(
                         (const struct pn_policy_document *const[]){
                             bench->documents[0], bench->documents[1], bench->documents[2]},
                         scopes, 3, &bench->program, &err),
                     PN_OK);
    bench->context.arena = pn_arena_create(1024, 65536);
    assert_non_null(bench->context.arena);
    pn_headers_init(&bench->context.request_headers, bench->context.arena);
    pn_headers_init(&bench->context.response_headers, bench->context.arena);
    bench->context.path = PN_LIT("/orders/7");
    bench->context.query = PN_LIT("a=1&B=%41&a=2&flag");
}

static void tear_down(struct bench *bench)
{
    pn_policy_program_destroy(bench->program);
    for (size_t i = 0; i < 3; i++)
        pn_policy_document_destroy(bench->documents[i]);
    pn_arena_destroy(bench->context.arena);
}

static enum pn_policy_event run(struct bench *bench, enum pn_policy_section section)
{
    pn_policy_run_init(&bench->run, bench->program, section);
    return pn_policy_resume(&bench->run, &bench->context);
}

static void check_header(const struct pn_headers *headers, const char *name, const char *expected)
{
    char joined[256] = "";
    size_t len = 0;

    for (size_t i = 0; i < headers->count; i++)
        if (pn_slice_case_eq_str(headers->items[i].name, name))
            len += (size_t)snprintf(joined + len, sizeof joined - len, "%.*s;",
                                    PN_FMT(headers->items[i].value));
    assert_string_equal(joined, expected);
}

static void check_slice(struct pn_slice slice, const char *expected)
{
    char text[512];

    snprintf(text, sizeof text, "%.*s", PN_FMT(slice));
    assert_string_equal(text, expected);
}

#define H(value)  "<set-header name='T' exists-action='append'><value>" value "</value></set-header>"
#define IN(inner) "<policies><inbound>" inner "</inbound></policies>"

static void base_puts_each_scope_in_its_place(void **state)
{
    struct bench b;

    (void)state;
    set_up(&b, IN(H("g")), IN(H("a1") "<base/>" H("a2")), IN(H("o1") "<base/>" H("o2")));
    assert_int_equal(run(&b, PN_SECTION_INBOUND), PN_POLICY_DONE);
    check_header(&b.context.request_headers, "T", "o1;a1;g;a2;o2;");
    tear_down(&b);
}

static void section_without_base_does_not_run_its_parent(void **state)
{
    struct bench b;

    (void)state;
    set_up(&b, IN(H("g")), IN(H("a")), IN("<base/>"));
    assert_int_equal(run(&b, PN_SECTION_INBOUND), PN_POLICY_DONE);
    check_header(&b.context.request_headers, "T", "a;");
    tear_down(&b);
    set_up(&b, IN(H("g")), IN(""), IN("<base/>" H("o")));
    assert_int_equal(run(&b, PN_SECTION_INBOUND), PN_POLICY_DONE);
    check_header(&b.context.request_headers, "T", "o;");
    tear_down(&b);
}

static void absent_document_or_section_inherits(void **state)
{
    struct bench b;

    (void)state;
    set_up(&b, IN(H("g")), NULL, "<policies><outbound/></policies>");
    assert_int_equal(run(&b, PN_SECTION_INBOUND), PN_POLICY_DONE);
    check_header(&b.context.request_headers, "T", "g;");
    assert_int_equal(run(&b, PN_SECTION_BACKEND), PN_POLICY_FORWARD);
    assert_int_equal(b.run.forward.timeout_ms, 0); /* the gateway's limit holds */
    assert_int_equal(pn_policy_resume(&b.run, &b.context), PN_POLICY_DONE);
    assert_false(pn_policy_has_section(b.program, PN_SECTION_OUTBOUND));
    assert_false(pn_policy_has_section(b.program, PN_SECTION_ON_ERROR));
    tear_down(&b);
}

static void empty_backend_section_forwards_nothing(void **state)
{
    struct bench b;

    (void)state;
    set_up(&b, NULL, "<policies><backend/></policies>", NULL);
    assert_int_equal(run(&b, PN_SECTION_BACKEND), PN_POLICY_DONE);
    tear_down(&b);
    set_up(&b, "<policies><backend><base/></backend></policies>", NULL, NULL);
    assert_int_equal(run(&b, PN_SECTION_BACKEND), PN_POLICY_DONE);
    tear_down(&b);
}

static void forward_request_says_how(void **state)
{
    struct bench b;

    (void)state;
    set_up(&b, NULL, NULL,
           "<policies><backend><forward-request timeout='7' fail-on-error-status-code='true' "
           "follow-redirects='true' buffer-request-body='true'/>"
           "</backend></policies>");
    assert_int_equal(run(&b, PN_SECTION_BACKEND), PN_POLICY_FORWARD);
    assert_int_equal(b.run.forward.timeout_ms, 7000);
    assert_true(b.run.forward.fail_on_error_status_code);
    assert_true(b.run.forward.follows_redirects);
    assert_true(b.run.forward.buffers_request_body);
    tear_down(&b);
}

static void last_certificate_and_backend_win(void **state)
{
    struct bench b;

    (void)state;
    set_up(&b, IN("<authentication-certificate certificate-id='c0'/>"),
           IN("<base/><set-backend-service backend-id='b1'/><authentication-certificate "
              "thumbprint='aabbccddeeff00112233445566778899aabbccdd'/><set-backend-service "
              "base-url='https://h'/>"),
           NULL);
    assert_int_equal(run(&b, PN_SECTION_INBOUND), PN_POLICY_DONE);
    assert_null(b.context.certificate_id.ptr);
    check_slice(b.context.certificate_thumbprint, "AABBCCDDEEFF00112233445566778899AABBCCDD");
    check_slice(b.context.base_url, "https://h");
    assert_null(b.context.backend_id.ptr);
    tear_down(&b);
}

static void base_url_does_not_override_a_base_documents_backend_id(void **state)
{
    struct bench b;

    (void)state;
    set_up(&b, IN("<set-backend-service backend-id='b0'/>"),
           IN("<base/><set-backend-service base-url='https://h'/>"), NULL);
    assert_int_equal(run(&b, PN_SECTION_INBOUND), PN_POLICY_DONE);
    check_slice(b.context.backend_id, "b0");
    tear_down(&b);
    set_up(&b, IN("<set-backend-service backend-id='b0'/>"),
           IN("<base/><set-backend-service backend-id='b1'/>"), NULL);
    assert_int_equal(run(&b, PN_SECTION_INBOUND), PN_POLICY_DONE);
    check_slice(b.context.backend_id, "b1");
    tear_down(&b);
}

struct source {
    const char *token;
    char asked[PN_POLICY_TOKEN_NAME];
};

static bool find_token(void *host, struct pn_slice name, struct pn_slice *token, const char **why)
{
    struct source *source = host;

    snprintf(source->asked, sizeof source->asked, "%.*s", PN_FMT(name));
    if (!source->token) {
        *why = "it is a test";
        return false;
    }
    *token = pn_slice_str(source->token);
    return true;
}

static void credentials_replace_the_authorization_of_the_caller(void **state)
{
    struct bench bench;
    struct source source = {.token = "t.o.k"};
    char name[PN_POLICY_TOKEN_NAME];
    struct pn_slice seen;

    (void)state;
    set_up(&bench, NULL,
           "<policies><inbound><authentication-basic username=\"Aladdin\" password=\"open "
           "sesame\"/></inbound></policies>",
           NULL);
    assert_int_equal(
        pn_headers_add(&bench.context.request_headers, PN_LIT("authorization"), PN_LIT("Bearer x")),
        PN_OK);
    pn_policy_run_init(&bench.run, bench.program, PN_SECTION_INBOUND);
    assert_int_equal(pn_policy_resume(&bench.run, &bench.context), PN_POLICY_DONE);
    assert_int_equal(bench.context.request_headers.count, 1);
    check_header(&bench.context.request_headers, "Authorization",
                 "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==;"); /* RFC 7617 section 2 */
    tear_down(&bench);

    set_up(&bench, NULL,
           "<policies><inbound><authentication-managed-identity resource=\"api://a\" "
           "client-id=\"0E984725-C51C-4BF4-9960-E1C80E27ABA0\"/></inbound></policies>",
           NULL);
    bench.context.find_token = find_token;
    bench.context.host = &source;
    pn_policy_run_init(&bench.run, bench.program, PN_SECTION_INBOUND);
    assert_int_equal(pn_policy_resume(&bench.run, &bench.context), PN_POLICY_DONE);
    check_header(&bench.context.request_headers, "Authorization", "Bearer t.o.k;");
    pn_policy_token_name(PN_LIT("0e984725-c51c-4bf4-9960-e1c80e27aba0"), PN_LIT("api://a"), name);
    assert_string_equal(source.asked, name); /* a client id has no case */
    tear_down(&bench);

    source.token = NULL;
    set_up(&bench, NULL,
           "<policies><inbound><authentication-managed-identity id=\"i1\" resource=\"api://a\"/>"
           "</inbound></policies>",
           NULL);
    bench.context.find_token = find_token;
    bench.context.host = &source;
    pn_policy_run_init(&bench.run, bench.program, PN_SECTION_INBOUND);
    assert_int_equal(pn_policy_resume(&bench.run, &bench.context), PN_POLICY_FAIL);
    seen = pn_slice_str(bench.context.last_error.message);
    assert_true(pn_slice_find_slice(seen, PN_LIT("it is a test")) < seen.len);
    assert_string_equal(bench.context.last_error.code, "identity_token_missing");
    assert_int_equal(bench.context.request_headers.count, 0);
    tear_down(&bench);
}

static void headers_change_the_message_of_their_section(void **state)
{
    static const char policy[] =
        "<policies><inbound><set-header name='x-a'><value>1</value><value>2</value></set-header>"
        "<set-header name='X-B' exists-action='skip'><value>no</value></set-header>"
        "<set-header name='X-C' exists-action='skip'><value>yes</value></set-header>"
        "<set-header name='X-D' exists-action='delete'/></inbound>"
        "<backend><set-header name='X-E'><value>5</value></set-header></backend>"
        "<outbound><set-header name='X-A'><value>out</value></set-header></outbound>"
        "<on-error><set-header name='X-F'><value>err</value></set-header></on-error></policies>";
    struct bench b;
    struct pn_headers *request = &b.context.request_headers;

    (void)state;
    set_up(&b, NULL, policy, NULL);
    assert_int_equal(pn_headers_add(request, PN_LIT("X-A"), PN_LIT("old")), PN_OK);
    assert_int_equal(pn_headers_add(request, PN_LIT("x-b"), PN_LIT("old")), PN_OK);
    assert_int_equal(pn_headers_add(request, PN_LIT("X-d"), PN_LIT("old")), PN_OK);
    assert_int_equal(run(&b, PN_SECTION_INBOUND), PN_POLICY_DONE);
    check_header(request, "X-A", "1;2;");
    check_header(request, "X-B", "old;");
    check_header(request, "X-C", "yes;");
    check_header(request, "X-D", "");
    assert_int_equal(run(&b, PN_SECTION_BACKEND), PN_POLICY_DONE);
    check_header(request, "X-E", "5;");
    assert_int_equal(run(&b, PN_SECTION_OUTBOUND), PN_POLICY_DONE);
    assert_int_equal(run(&b, PN_SECTION_ON_ERROR), PN_POLICY_DONE);
    check_header(request, "X-A", "1;2;");
    check_header(&b.context.response_headers, "X-A", "out;");
    check_header(&b.context.response_headers, "X-F", "err;");
    tear_down(&b);
}

static void return_response_ends_the_section_with_a_clean_response(void **state)
{
    struct bench b;

    (void)state;
    set_up(
        &b, NULL,
        "<policies><outbound><return-response><set-status code='418' reason='Teapot'/>"
        "<set-header name='X'><value>1</value></set-header><set-body>{&quot;a&quot;:1}</set-body>"
        "</return-response>" H("never") "</outbound></policies>",
        NULL);
    assert_int_equal(pn_headers_add(&b.context.response_headers, PN_LIT("Set-Cookie"), PN_LIT("s")),
                     PN_OK);
    assert_int_equal(run(&b, PN_SECTION_OUTBOUND), PN_POLICY_RESPOND);
    assert_true(b.context.has_response);
    assert_int_equal(b.context.status, 418);
    check_slice(b.context.reason, "Teapot");
    assert_int_equal(b.context.response_headers.count, 1);
    assert_true(b.context.has_response_body);
    check_slice(b.context.response_body, "{\"a\":1}");
    tear_down(&b);
    set_up(&b, NULL, IN("<return-response/>"), NULL);
    assert_int_equal(run(&b, PN_SECTION_INBOUND), PN_POLICY_RESPOND);
    assert_int_equal(b.context.status, 200);
    assert_true(b.context.has_response_body);
    assert_int_equal(b.context.response_body.len, 0);
    tear_down(&b);
}

static void check_query(const char *policy, const char *expected)
{
    struct bench b;

    set_up(&b, NULL, policy, NULL);
    assert_int_equal(run(&b, PN_SECTION_INBOUND), PN_POLICY_DONE);
    check_slice(b.context.query, expected);
    tear_down(&b);
}

#define Q(name, action, values)                                                                    \
    IN("<set-query-parameter name='" name "' exists-action='" action "'>" values                   \
       "</set-query-parameter>")

static void query_parameters_that_are_not_touched_keep_their_bytes(void **state)
{
    (void)state;
    check_query(Q("A", "override", "<value>x y</value>"), "B=%41&flag&A=x%20y");
    check_query(Q("a", "append", "<value>3&amp;4</value><value>5</value>"),
                "a=1&B=%41&a=2&flag&a=3%264&a=5");
    check_query(Q("b", "skip", "<value>no</value>"), "a=1&B=%41&a=2&flag");
    check_query(Q("c", "skip", "<value>yes</value>"), "a=1&B=%41&a=2&flag&c=yes");
    check_query(Q("a", "delete", ""), "B=%41&flag");
    check_query(Q("FLAG", "delete", ""), "a=1&B=%41&a=2");
    check_query(Q("fla", "delete", ""), "a=1&B=%41&a=2&flag");
}

static void query_names_match_after_decoding(void **state)
{
    struct bench b;

    (void)state;
    set_up(&b, NULL, Q("a b", "delete", ""), NULL);
    b.context.query = PN_LIT("a+b=1&a%20b=2&A%20B&a%2=3&%");
    assert_int_equal(run(&b, PN_SECTION_INBOUND), PN_POLICY_DONE);
    check_slice(b.context.query, "a%2=3&%");
    tear_down(&b);
}

static void rewrite_puts_parameters_into_path_and_query(void **state)
{
    const struct pn_header parameters[] = {{.name = PN_LIT("id"), .value = PN_LIT("a/b c")},
                                           {.name = PN_LIT("*rest"), .value = PN_LIT("x/y z")}};
    const struct pn_slice names[] = {{"a", 1}};
    struct bench b;

    (void)state;
    set_up(&b, NULL, IN("<rewrite-uri template='v2/{id}/{rest}/end?key={id}'/>"), NULL);
    b.context.template_parameters = parameters;
    b.context.template_parameter_count = 2;
    b.context.template_query_names = names;
    b.context.template_query_name_count = 1;
    assert_int_equal(run(&b, PN_SECTION_INBOUND), PN_POLICY_DONE);
    check_slice(b.context.path, "/v2/a%2Fb%20c/x/y%20z/end");
    check_slice(b.context.query, "key=a%2Fb%20c&B=%41&flag");
    tear_down(&b);
    set_up(&b, NULL, IN("<rewrite-uri template='/x' copy-unmatched-params='false'/>"), NULL);
    assert_int_equal(run(&b, PN_SECTION_INBOUND), PN_POLICY_DONE);
    check_slice(b.context.path, "/x");
    check_slice(b.context.query, "");
    tear_down(&b);
}

/* As the router gives them: a wildcard's value is a piece of the path, others are decoded. */
static void rewrite_keeps_the_escapes_of_a_wildcard(void **state)
{
    const struct pn_header parameters[] = {
        {.name = PN_LIT("id"), .value = PN_LIT("a%20b")},
        {.name = PN_LIT("*rest"), .value = PN_LIT("x%2Fy/z%20%;")}};
    struct bench b;

    (void)state;
    set_up(&b, NULL, IN("<rewrite-uri template='/v2/{id}/{rest}?key={rest}'/>"), NULL);
    b.context.template_parameters = parameters;
    b.context.template_parameter_count = 2;
    assert_int_equal(run(&b, PN_SECTION_INBOUND), PN_POLICY_DONE);
    check_slice(b.context.path, "/v2/a%2520b/x%2Fy/z%20%25%3B");
    check_slice(pn_slice_sub(b.context.query, 0, 24), "key=x%2Fy%2Fz%20%25%3B&a");
    tear_down(&b);
}

/* However a value gets into it, and however often it was encoded. */
static void rewrite_never_makes_a_path_that_climbs_or_that_is_none(void **state)
{
    static const struct {
        const char *template, *value, *message;
    } cases[] = {
        {"/to/{id}", "..", "dot segment"},
        {"/to/.{id}", ".", "dot segment"},
        {"/to/%2e{id}", ".", "dot segment"},
        {"@(\"/to/\" + context.Request.MatchedParameters[\"id\"])", "%2e%2e", "dot segment"},
        {"@(\"/to/\" + context.Request.MatchedParameters[\"id\"])", "%2E.%2fx", "dot segment"},
        {"@(\"/to/\" + context.Request.MatchedParameters[\"id\"])", "a/..;b/x", "dot segment"},
        {"@(\"/to/\" + context.Request.MatchedParameters[\"id\"])", "a%00", "no escape"},
        {"@(\"/to/\" + context.Request.MatchedParameters[\"id\"])", "100%", "no escape"},
        {"@(\"/to/\" + context.Request.MatchedParameters[\"id\"])", "%u002e", "no escape"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct pn_header parameter = {.name = PN_LIT("id"),
                                            .value = pn_slice_str(cases[i].value)};
        char text[1024];
        struct bench b;

        snprintf(text, sizeof text,
                 "<policies><inbound><rewrite-uri template='%s'/></inbound></policies>",
                 cases[i].template);
        set_up(&b, NULL, text, NULL);
        b.context.template_parameters = &parameter;
        b.context.template_parameter_count = 1;
        assert_int_equal(run(&b, PN_SECTION_INBOUND), PN_POLICY_FAIL);
        assert_string_equal(b.context.last_error.reason, "TemplateParameterInvalid");
        if (!strstr(b.context.last_error.message, cases[i].message))
            fail_msg("%s %s: %s", cases[i].template, cases[i].value, b.context.last_error.message);
        check_slice(b.context.path, "/orders/7");
        tear_down(&b);
    }
}

static void rewrite_with_an_unknown_parameter_fails_with_its_place(void **state)
{
    struct bench b;

    (void)state;
    set_up(&b, NULL, IN("<rewrite-uri template='/{nope}' id='r1'/>"), NULL);
    assert_int_equal(run(&b, PN_SECTION_INBOUND), PN_POLICY_FAIL);
    assert_string_equal(b.context.last_error.source, "rewrite-uri");
    assert_string_equal(b.context.last_error.reason, "TemplateParameterNotFound");
    assert_string_equal(b.context.last_error.scope, "api");
    assert_string_equal(b.context.last_error.section, "inbound");
    check_slice(b.context.last_error.policy_id, "r1");
    assert_non_null(strstr(b.context.last_error.message, "'nope'"));
    check_slice(b.context.path, "/orders/7");
    tear_down(&b);
}

static void request_without_memory_fails_and_does_not_crash(void **state)
{
    struct bench b;

    (void)state;
    set_up(&b, NULL, Q("a", "append", "<value>1</value>"), NULL);
    while (pn_arena_alloc(b.context.arena, 512))
        ;
    while (pn_arena_alloc(b.context.arena, 1))
        ;
    assert_int_equal(run(&b, PN_SECTION_INBOUND), PN_POLICY_FAIL);
    assert_string_equal(b.context.last_error.reason, "OutOfMemory");
    tear_down(&b);
}

static struct pn_policy_way way_of(struct bench *bench)
{
    struct pn_policy_way way;

    pn_policy_program_way(bench->program, &way);
    tear_down(bench); /* slices are compared by their length, or not at all */
    return way;
}

#define CERTIFICATE(id) "<authentication-certificate certificate-id='" id "'/>"

static void way_of_a_program_is_known_without_a_request(void **state)
{
    struct pn_policy_way way;
    struct bench b;

    (void)state;
    set_up(&b, NULL, NULL, NULL);
    way = way_of(&b);
    assert_false(way.sends_nothing || way.depends || way.base_url.ptr || way.backend_id.ptr ||
                 way.certificate_id.ptr);

    set_up(&b,
           "<policies><inbound>" CERTIFICATE("outer") "</inbound><backend><forward-request/>"
                                                      "</backend></policies>",
           IN(CERTIFICATE("own") "<base/>"), NULL);
    pn_policy_program_way(b.program, &way);
    check_slice(way.certificate_id, "outer");
    assert_int_equal(way.certificate_scope, PN_SCOPE_GLOBAL);
    tear_down(&b);

    set_up(&b, NULL,
           IN("<base/>" CERTIFICATE(
               "a") "<authentication-certificate "
                    "certificate-ids='b, c'/><set-backend-service base-url='http://u'/>"),
           NULL);
    pn_policy_program_way(b.program, &way);
    assert_null(way.certificate_id.ptr);
    assert_int_equal(way.certificate_id_count, 2);
    check_slice(way.certificate_ids[1], "c");
    check_slice(way.base_url, "http://u");
    assert_int_equal(way.certificate_scope, PN_SCOPE_API);
    tear_down(&b);

    set_up(&b, NULL, "<policies><backend/></policies>", NULL);
    assert_true(way_of(&b).sends_nothing);
    set_up(&b, NULL, IN("<return-response><set-status code='200' reason='OK'/></return-response>"),
           NULL);
    assert_true(way_of(&b).sends_nothing);
}

#define WHEN(condition, inner) "<when condition=\"" condition "\">" inner "</when>"

static void choose_takes_one_branch_and_goes_on_behind_it(void **state)
{
    static const char *const expected[] = {"one;after;", "two;after;", "inner;after;", "after;"};
    struct bench b;

    (void)state;
    for (int i = 0; i < 4; i++) {
        char path[] = "/0";

        set_up(&b, NULL,
               IN("<choose>" WHEN("@(context.Request.Url.Path == \"/0\")", H("one")) WHEN(
                   "@(context.Request.Url.Path == \"/1\")",
                   H("two")) "<otherwise><choose>" WHEN("@(context.Request.Url.Path == \"/2\")",
                                                        H("inner")) "</choose></otherwise></"
                                                                    "choose>" H("after")),
               NULL);
        path[1] = (char)('0' + i);
        b.context.path = pn_slice_str(path);
        assert_int_equal(run(&b, PN_SECTION_INBOUND), PN_POLICY_DONE);
        check_header(&b.context.request_headers, "T", expected[i]);
        tear_down(&b);
    }
}

static void branch_ends_the_run_or_forwards(void **state)
{
    struct bench b;

    (void)state;
    set_up(&b, NULL,
           "<policies><inbound><choose>" WHEN(
               "true",
               "<return-response/>") "</choose></inbound>"
                                     "<backend><choose>" WHEN(
                                         "false",
                                         "<forward-request timeout='1'/>") "<otherwise><forward-"
                                                                           "request timeout=\"@(2 "
                                                                           "+ 3)\" "
                                                                           "follow-redirects=\"@(1 "
                                                                           "< 2)\"/>"
                                                                           "</otherwise></choose></"
                                                                           "backend></policies>",
           NULL);
    assert_int_equal(run(&b, PN_SECTION_INBOUND), PN_POLICY_RESPOND);
    assert_int_equal(run(&b, PN_SECTION_BACKEND), PN_POLICY_FORWARD);
    assert_int_equal(b.run.forward.timeout_ms, 5000);
    assert_true(b.run.forward.follows_redirects);
    assert_int_equal(pn_policy_resume(&b.run, &b.context), PN_POLICY_DONE);
    tear_down(&b);
}

static void variables_keep_their_type_and_their_last_value(void **state)
{
    struct bench b;

    (void)state;
    set_up(&b, NULL,
           IN("<set-variable name='n' value='@(40)'/>"
              "<set-variable name='n' value='@((int)context.Variables[\"n\"] + 2)'/>"
              "<set-variable name='s' value='literal'/>"),
           NULL);
    assert_int_equal(run(&b, PN_SECTION_INBOUND), PN_POLICY_DONE);
    check_slice(b.context.variables->name, "s");
    check_slice(b.context.variables->value.s, "literal");
    check_slice(b.context.variables->next->name, "n");
    assert_int_equal(b.context.variables->next->value.type, PN_EXPR_INT);
    assert_int_equal(b.context.variables->next->value.i, 42);
    assert_null(b.context.variables->next->next);
    tear_down(&b);
}

/* What an expression gives is held to the rules of a literal, and nothing is changed before. */
static void values_that_may_not_be_fail_the_request(void **state)
{
    static const struct {
        const char *inner, *message;
    } cases[] = {
        {"<set-header name='T'><value>@(\"a\\nb: c\")</value></set-header>",
         "The value of a header"},
        {"<set-header name='@(\"Content-Length\")'><value>1</value></set-header>",
         "names a header that belongs to the gateway"},
        {"<set-header name='@(\"a b\")'><value>1</value></set-header>", "is no header name"},
        {"<set-query-parameter name='@(\"\")'><value>1</value></set-query-parameter>", "The name"},
        {"<authentication-certificate certificate-id='@(\"a/b\")'/>",
         "is not the name of a certificate"},
        {"<authentication-certificate certificate-id='@(\"\")'/>",
         "is not the name of a certificate"},
        {"<authentication-certificate thumbprint='@(\"AB\")'/>", "is not a SHA-1 thumbprint"},
        {"<set-backend-service base-url='@(\"ftp://x\")'/>", "What base-url gives"},
        {"<set-backend-service base-url='@(\"http://x/a/%2e%2e/b\")'/>", "dot segment"},
        {"<set-backend-service base-url='@(\"http://x/a/..\")'/>", "dot segment"},
        {"<set-backend-service base-url='@(\"http://x/a%/b\")'/>", "no escape"},
        {"<set-backend-service backend-id='@((string)null)'/>", "is not the name of a backend"},
        {"<rewrite-uri template='@(\"https://x/\")'/>", "What template gives"},
        {"<set-method>@(\"CONNECT\")</set-method>", "must not be CONNECT"},
        {"<authentication-basic username='@(\"a:b\")' password='p'/>", "The user name"},
        {"<return-response><set-status code='@(99)' reason='x'/></return-response>",
         "The status code is out of its range"},
        {"<return-response><set-status code='@(200)' reason='@(\"a\\nb\")'/></return-response>",
         "The reason"},
        {"<choose><when condition='@(context.Variables[\"x\"])'/></choose>",
         "KeyNotFoundException"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[1024];
        struct bench b;

        snprintf(text, sizeof text,
                 "<policies><inbound><authentication-certificate certificate-id='before'/>%s"
                 "</inbound></policies>",
                 cases[i].inner);
        set_up(&b, NULL, text, NULL);
        assert_int_equal(run(&b, PN_SECTION_INBOUND), PN_POLICY_FAIL);
        assert_string_equal(b.context.last_error.reason, "ExpressionValueEvaluationFailure");
        assert_string_equal(b.context.last_error.code, "expression_failed");
        if (!strstr(b.context.last_error.message, cases[i].message))
            fail_msg("%s: %s", cases[i].inner, b.context.last_error.message);
        assert_false(b.context.has_response);
        check_header(&b.context.request_headers, "T", "");
        check_slice(b.context.certificate_id, "before"); /* the request goes nowhere with it */
        tear_down(&b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(base_puts_each_scope_in_its_place),
        cmocka_unit_test(section_without_base_does_not_run_its_parent),
        cmocka_unit_test(absent_document_or_section_inherits),
        cmocka_unit_test(empty_backend_section_forwards_nothing),
        cmocka_unit_test(forward_request_says_how),
        cmocka_unit_test(last_certificate_and_backend_win),
        cmocka_unit_test(base_url_does_not_override_a_base_documents_backend_id),
        cmocka_unit_test(credentials_replace_the_authorization_of_the_caller),
        cmocka_unit_test(headers_change_the_message_of_their_section),
        cmocka_unit_test(return_response_ends_the_section_with_a_clean_response),
        cmocka_unit_test(query_parameters_that_are_not_touched_keep_their_bytes),
        cmocka_unit_test(query_names_match_after_decoding),
        cmocka_unit_test(rewrite_puts_parameters_into_path_and_query),
        cmocka_unit_test(rewrite_keeps_the_escapes_of_a_wildcard),
        cmocka_unit_test(rewrite_never_makes_a_path_that_climbs_or_that_is_none),
        cmocka_unit_test(rewrite_with_an_unknown_parameter_fails_with_its_place),
        cmocka_unit_test(request_without_memory_fails_and_does_not_crash),
        cmocka_unit_test(way_of_a_program_is_known_without_a_request),
        cmocka_unit_test(choose_takes_one_branch_and_goes_on_behind_it),
        cmocka_unit_test(branch_ends_the_run_or_forwards),
        cmocka_unit_test(variables_keep_their_type_and_their_last_value),
        cmocka_unit_test(values_that_may_not_be_fail_the_request),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
