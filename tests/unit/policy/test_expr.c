/* SPDX-License-Identifier: Apache-2.0
 *
 * Expressions: what they give, what they refuse and where, what they may take.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/limits.h"
#include "policy/expr.h"
#include "policy/policy.h"

#define ARENA_MAX (4u << 20)

static void find_fact(void *host, enum pn_policy_fact fact, struct pn_expr_value *value)
{
    static const char *const texts[] = {
        [PN_FACT_SCHEME] = "https",
        [PN_FACT_HOST] = "gateway.example",
        [PN_FACT_PATH] = "/shop/orders/7",
        [PN_FACT_QUERY] = "a=1&b=two%20words&A=3&flag",
        [PN_FACT_BASE_URL] = "http://backend.example:8080/v1",
        [PN_FACT_IP_ADDRESS] = "192.0.2.1",
        [PN_FACT_API_ID] = "shop",
        [PN_FACT_API_NAME] = "Shop",
        [PN_FACT_API_PATH] = "shop",
        [PN_FACT_OPERATION_ID] = "get-order",
        [PN_FACT_OPERATION_METHOD] = "GET",
        [PN_FACT_SERVICE_NAME] = "postern",
        [PN_FACT_CERTIFICATE_THUMBPRINT] = "AABBCC",
        [PN_FACT_CERTIFICATE_SUBJECT] = "CN=client, O=Example",
        [PN_FACT_CERTIFICATE_ISSUER] = "CN=ca",
        [PN_FACT_CERTIFICATE_NOT_AFTER] = NULL,
    };

    (void)host;
    if (fact == PN_FACT_PORT)
        *value = pn_expr_int(8443);
    else if (fact == PN_FACT_NOW)
        *value = pn_expr_time(1700000005250); /* 2023-11-14T22:13:25.250Z */
    else if (fact == PN_FACT_TIMESTAMP)
        *value = pn_expr_time(1700000005000);
    else if (fact == PN_FACT_CERTIFICATE_NOT_AFTER)
        *value = pn_expr_time(1800000000000);
    else if (fact == PN_FACT_REQUEST_ID)
        *value = (struct pn_expr_value){.type = PN_EXPR_GUID,
                                        .s = PN_LIT("01234567-89ab-cdef-0123-456789abcdef")};
    else if ((size_t)fact < sizeof(texts) / sizeof(texts[0]) && texts[fact])
        *value = pn_expr_text(texts[fact]);
}

struct bench {
    struct pn_expr_home home;
    struct pn_policy_context context;
    struct pn_header parameters[1];
    struct pn_policy_variable variables[4];
};

static void add_variable(struct bench *b, size_t i, const char *name, struct pn_expr_value value)
{
    b->variables[i] = (struct pn_policy_variable){
        .name = pn_slice_str(name), .value = value, .next = b->context.variables};
    b->context.variables = &b->variables[i];
}

static void set_up(struct bench *b)
{
    struct pn_policy_context *context = &b->context;

    memset(b, 0, sizeof(*b));
    b->home.arena = pn_arena_create(4096, 64u << 20);
    context->arena = pn_arena_create(4096, ARENA_MAX);
    assert_non_null(b->home.arena);
    assert_non_null(context->arena);
    pn_headers_init(&context->request_headers, context->arena);
    pn_headers_init(&context->response_headers, context->arena);
    assert_int_equal(pn_headers_add(&context->request_headers, PN_LIT("X-Tenant"), PN_LIT("Blue")),
                     PN_OK);
    assert_int_equal(pn_headers_add(&context->request_headers, PN_LIT("Via"), PN_LIT("a")), PN_OK);
    assert_int_equal(pn_headers_add(&context->request_headers, PN_LIT("via"), PN_LIT("b")), PN_OK);
    assert_int_equal(pn_headers_add(&context->request_headers, PN_LIT("Authorization"),
                                    PN_LIT("Basic YWxpY2U6czpw")),
                     PN_OK);
    context->method = PN_LIT("GET");
    context->path = PN_LIT("/orders/7");
    context->query = PN_LIT("a=1&b=two%20words&A=3&flag");
    b->parameters[0] = (struct pn_header){.name = PN_LIT("*id"), .value = PN_LIT("7")};
    context->template_parameters = b->parameters;
    context->template_parameter_count = 1;
    context->find_fact = find_fact;
    add_variable(b, 0, "text", pn_expr_string(PN_LIT("abc")));
    add_variable(b, 1, "number", pn_expr_int(42));
    add_variable(b, 2, "yes", pn_expr_bool(true));
    add_variable(b, 3, "none", pn_expr_null());
}

static void tear_down(struct bench *b)
{
    pn_expr_home_fini(&b->home);
    pn_arena_destroy(b->home.arena);
    pn_arena_destroy(b->context.arena);
}

static struct pn_expr *compile(struct bench *b, const char *text, enum pn_expr_want want)
{
    struct pn_expr *expr = NULL;
    struct pn_expr_fault fault;

    if (pn_expr_compile(&b->home, pn_slice_str(text), want, &expr, &fault) != PN_OK)
        fail_msg("%s: %s (at %zu)", text, fault.message, fault.offset);
    return expr;
}

static void check(struct bench *b, const char *text, const char *expected)
{
    struct pn_expr *expr = compile(b, text, PN_EXPR_WANT_TEXT);
    struct pn_expr_result result;
    char got[1024];

    if (pn_expr_run(expr, &b->context, &result) != PN_OK)
        fail_msg("%s: %s", text, result.why);
    snprintf(got, sizeof(got), "%.*s", PN_FMT(result.value.s));
    if (strcmp(got, expected) != 0)
        fail_msg("%s gives \"%s\", not \"%s\"", text, got, expected);
}

static void check_all(const char *const (*cases)[2], size_t count)
{
    struct bench b;

    set_up(&b);
    for (size_t i = 0; i < count; i++)
        check(&b, cases[i][0], cases[i][1]);
    tear_down(&b);
}

#define CHECK_ALL(cases) check_all(cases, sizeof(cases) / sizeof((cases)[0]))

static void literals_and_operators(void **state)
{
    static const char *const cases[][2] = {
        {"@(1)", "1"},
        {"@( 1 + 2 * 3 )", "7"},
        {"@((1 + 2) * 3)", "9"},
        {"@(7 / 2)", "3"},
        {"@(-7 / 2)", "-3"},
        {"@(-7 % 3)", "-1"},
        {"@(7 / 2.0)", "3.5"},
        {"@(1 - 2 - 3)", "-4"},
        {"@(0.1 + 0.2)", "0.30000000000000004"},
        {"@(1e21)", "1E+21"},
        {"@(0x1F)", "31"},
        {"@(2147483647 + 1)", "-2147483648"},
        {"@(-2147483648 / -1)", "2147483648"}, /* 2147483648 is a long, with its sign as well */
        {"@(2147483647L + 1)", "2147483648"},
        {"@(3000000000)", "3000000000"},
        {"@(9223372036854775807 + 1)", "-9223372036854775808"},
        {"@(-(-9223372036854775807 - 1))", "-9223372036854775808"},
        {"@(1_000)", "1000"},
        {"@(true)", "True"},
        {"@(!true || false)", "False"},
        {"@(1 < 2 && 2 <= 2 && 3 > 2 && 3 >= 3)", "True"},
        {"@(1 == 1.0)", "True"},
        {"@(\"a\" == \"a\")", "True"},
        {"@(\"a\" != \"A\")", "True"},
        {"@('a' == 'a')", "True"},
        {"@('a' + 1)", "98"},
        {"@(\"a\" + 'b' + 1 + true + null)", "ab1True"},
        {"@(1 + 2 + \"a\" + 1 + 2)", "3a12"},
        {"@(\"a\" + (1 + 2))", "a3"},
        {"@(true ? \"x\" : \"y\")", "x"},
        {"@(false ? 1 : true ? 2 : 3)", "2"},
        {"@(1 == 2 ? 1 : 2.5)", "2.5"},
        {"@(null ?? \"d\")", "d"},
        {"@((string)null ?? null ?? \"d\")", "d"},
        {"@(null)", ""},
        {"@(\"\")", ""},
        {"@(\"q\\\"\\\\\\n\\t\\u20AC\\x41\")", "q\"\\\n\t\xE2\x82\xAC"
                                               "A"},
        {"@(\"\\uD83D\\uDE00\")", "\xF0\x9F\x98\x80"},
        {"@(@\"c:\\new \"\"x\"\"\")", "c:\\new \"x\""},
        {"@($\"a{1 + 1}b{\"c\"}{{}}\")", "a2bc{}"},
        {"@($\"{5,3}|{5,-3}|{5:D3}|{255:X}\")", "  5|5  |005|FF"},
        {"@($@\"\\{1}\"\"\")", "\\1\""},
        {"@($\"{(true ? $\"<{1}>\" : \"\")}\")", "<1>"},
        {"@(/* one */ 1 // two\n + 1)", "2"},
        {"@((int)2.9 + (int)'a')", "99"},
        {"@((long)5 + (double)1)", "6"},
        {"@((object)\"x\" as string)", "x"},
        {"@((object)\"x\" is string)", "True"},
        {"@((object)1 is string)", "False"},
        {"@(((object)1 as string) ?? \"no\")", "no"},
        {"@(-1)", "-1"},
        {"@(- 1.5)", "-1.5"},
        {"@(+1)", "1"},
        {"@(1.0)", "1"},
        {"@(System.String.Concat(\"a\", 1))", "a1"},
    };

    (void)state;
    CHECK_ALL(cases);
}

static void strings(void **state)
{
    static const char *const cases[][2] = {
        {"@(\"abc\".Length)", "3"},
        {"@(\"\xE2\x82\xAC\xF0\x9F\x98\x80\".Length)", "3"},
        {"@(\"AbC\".ToLower() + \"AbC\".ToUpperInvariant())", "abcABC"},
        {"@(\"  a b \".Trim() + \"|\" + \" a \".TrimStart() + \"|\" + \" a \".TrimEnd())",
         "a b|a | a"},
        {"@(\"//a/\".Trim('/'))", "a"},
        {"@(\"//a/\".TrimStart('/', 'a'))", ""},
        {"@(\"xyabcyx\".Trim(new[] {'x', 'y'}))", "abc"},
        {"@(\"abc\".Contains(\"b\"))", "True"},
        {"@(\"abc\".Contains(\"B\"))", "False"},
        {"@(\"abc\".Contains(\"B\", StringComparison.OrdinalIgnoreCase))", "True"},
        {"@(\"abc\".Contains(\"\"))", "True"},
        {"@(\"\".Contains(\"\"))", "True"},
        {"@(\"abc\".StartsWith(\"ab\") && \"abc\".EndsWith(\"bc\"))", "True"},
        {"@(\"abc\".StartsWith(\"abcd\"))", "False"},
        {"@(\"abc\".EndsWith(\"BC\", StringComparison.OrdinalIgnoreCase))", "True"},
        {"@(\"abc\".Equals(\"ABC\"))", "False"},
        {"@(\"abc\".Equals(\"ABC\", StringComparison.OrdinalIgnoreCase))", "True"},
        {"@(\"abc\".Equals(null))", "False"},
        {"@(string.Equals(null, null))", "True"},
        {"@(\"a.b.c\".Replace(\".\", \"::\"))", "a::b::c"},
        {"@(\"aaa\".Replace(\"aa\", \"b\"))", "ba"},
        {"@(\"abc\".Replace('a', 'x'))", "xbc"},
        {"@(\"abc\".Replace(\"b\", null))", "ac"},
        {"@(\"abcdef\".Substring(2))", "cdef"},
        {"@(\"abcdef\".Substring(1, 3))", "bcd"},
        {"@(\"abc\".Substring(3))", ""},
        {"@(\"\xE2\x82\xAC"
         "bc\".Substring(1))",
         "bc"},
        {"@(\"abcabc\".IndexOf(\"ca\") + \",\" + \"abcabc\".IndexOf('x'))", "2,-1"},
        {"@(\"abcabc\".IndexOf(\"a\", 1))", "3"},
        {"@(\"abcabc\".IndexOf(\"BC\", StringComparison.OrdinalIgnoreCase))", "1"},
        {"@(\"abcabc\".LastIndexOf(\"b\"))", "4"},
        {"@(\"a,b,,c\".Split(',').Length)", "4"},
        {"@(\"a,b,,c\".Split(',')[1])", "b"},
        {"@(\"a,b;c\".Split(',', ';')[2])", "c"},
        {"@(\"a,b,,c\".Split(new char[] {','}, StringSplitOptions.RemoveEmptyEntries).Length)",
         "3"},
        {"@(\"a--b\".Split(new string[] {\"--\"}, StringSplitOptions.None)[1])", "b"},
        {"@(\"\".Split(',').Length)", "1"},
        {"@(\"a b\".Split()[1])", "b"},
        {"@(string.Join(\"+\", \"a,b\".Split(',')))", "a+b"},
        {"@(string.Join(\"+\", 1, \"b\", true))", "1+b+True"},
        {"@(string.Concat(\"a\", \"b\", 1))", "ab1"},
        {"@(string.Format(\"{0}-{1:D2}-{0,3}|{{}}\", \"x\", 5))", "x-05-  x|{}"},
        {"@(string.IsNullOrEmpty(\"\") && string.IsNullOrEmpty(null))", "True"},
        {"@(string.IsNullOrWhiteSpace(\" \\t\"))", "True"},
        {"@(String.Empty)", ""},
        {"@(\"7\".PadLeft(3, '0') + \"|\" + \"7\".PadRight(3) + \"|\")", "007|7  |"},
        {"@(\"abc\"[1])", "b"},
        {"@(\"abc\".Remove(1))", "a"},
        {"@(\"abc\".Remove(1, 1))", "ac"},
        {"@(\"x\".ToString())", "x"},
        {"@(\"a,b\".Split(',').Contains(\"b\"))", "True"},
        {"@(\"a,b\".Split(',').First() + \"a,b\".Split(',').Last())", "ab"},
        {"@(new[] {\"a\", \"b\"}.Length)", "2"},
        {"@(context.Request.Headers.GetValueOrDefault(\"Authorization\", \"\").AsBasic().UserId)",
         "alice"},
        {"@(context.Request.Headers.GetValueOrDefault(\"Authorization\", "
         "\"\").AsBasic()?.Password)",
         "s:p"},
        {"@(\"Bearer x\".AsBasic() == null)", "True"},
    };

    (void)state;
    CHECK_ALL(cases);
}

static void system_classes(void **state)
{
    static const char *const cases[][2] = {
        {"@(int.Parse(\" -12 \") + 1)", "-11"},
        {"@(Int32.Parse(\"2147483647\"))", "2147483647"},
        {"@(long.Parse(\"9223372036854775807\"))", "9223372036854775807"},
        {"@(double.Parse(\"1.5\") * 2)", "3"},
        {"@(bool.Parse(\"TRUE\"))", "True"},
        {"@(Convert.ToInt32(\"5\") + Convert.ToInt32(2.5) + Convert.ToInt32(true))", "8"},
        {"@(Convert.ToBoolean(\"false\"))", "False"},
        {"@(Convert.ToString(1))", "1"},
        {"@(Convert.ToBase64String(Encoding.UTF8.GetBytes(\"a:b\")))", "YTpi"},
        {"@(System.Text.Encoding.UTF8.GetString(Convert.FromBase64String(\"YTpi\")))", "a:b"},
        {"@(Encoding.ASCII.GetString(Encoding.ASCII.GetBytes(\"\xE2\x82\xACx\")))", "?x"},
        {"@(Uri.EscapeDataString(\"a b/\xC3\xA9\"))", "a%20b%2F%C3%A9"},
        {"@(Uri.UnescapeDataString(\"a%20b+\"))", "a b+"},
        {"@(System.Net.WebUtility.UrlDecode(\"a+b\"))", "a b"},
        {"@(Guid.NewGuid().ToString().Length)", "36"},
        {"@(Guid.NewGuid() == Guid.NewGuid())", "False"},
        {"@(Guid.Empty.ToString(\"N\"))", "00000000000000000000000000000000"},
        {"@(Guid.Parse(\"01234567-89AB-cdef-0123-456789abcdef\").ToString())",
         "01234567-89ab-cdef-0123-456789abcdef"},
        {"@(Math.Min(1, 2) + Math.Max(1, 2.5) + Math.Abs(-3))", "6.5"},
        {"@(Math.Round(2.5) + Math.Ceiling(1.2) + Math.Floor(1.8))", "5"},
        {"@(5.ToString())", "5"},
        {"@(DateTime.UtcNow.ToString(\"o\"))", "2023-11-14T22:13:25.2500000Z"},
        {"@(DateTime.UtcNow.ToString(\"R\"))", "Tue, 14 Nov 2023 22:13:25 GMT"},
        {"@(DateTime.UtcNow.AddDays(1).ToString(\"yyyy-MM-dd HH:mm:ss.fff\"))",
         "2023-11-15 22:13:25.250"},
        {"@($\"{DateTime.UtcNow:yyyyMMdd}\")", "20231114"},
        {"@(DateTime.UtcNow)", "11/14/2023 22:13:25"},
        {"@(DateTime.UtcNow.AddMonths(3).ToString(\"yyyy-MM-dd\"))", "2024-02-14"},
        {"@(DateTime.Parse(\"2024-02-29\").AddYears(1).Day)", "28"},
        {"@((DateTime.UtcNow - DateTime.Parse(\"2023-11-14T22:13:20Z\")).TotalSeconds)", "5.25"},
        {"@(DateTime.UtcNow > DateTime.MinValue)", "True"},
        {"@(DateTimeOffset.UtcNow.ToUnixTimeSeconds())", "1700000005"},
        {"@(TimeSpan.FromMinutes(90))", "01:30:00"},
        {"@((DateTime.Today + TimeSpan.FromHours(1)).Hour)", "1"},
        {"@(DateTime.UtcNow.Ticks)", "638355968052500000"},
        {"@(Regex.IsMatch(\"abc123\", \"^[a-z]+\\\\d{3}$\"))", "True"},
        {"@(Regex.IsMatch(\"ABC\", @\"^a\"))", "False"},
        {"@(Regex.IsMatch(\"ABC\", \"^a\", RegexOptions.IgnoreCase | RegexOptions.Compiled))",
         "True"},
        {"@(Regex.Match(\"key=value\", \"=(?<v>.*)\").Groups[\"v\"].Value)", "value"},
        {"@(Regex.Match(\"key=value\", \"(k)(x)?\").Groups[2].Success)", "False"},
        {"@(Regex.Match(\"key\", \"x\").Value + \"!\")", "!"},
        {"@(Regex.Match(\"key\", \"x\").Groups[1].Value + \"!\")", "!"},
        {"@(Regex.Replace(\"a1b22\", \"[0-9]+\", \"<$0>\"))", "a<1>b<22>"},
        {"@(Regex.Replace(\"aaaaaaaaaa\", \"a\", \"0123456789012345678901234567890\").Length)",
         "310"},
    };

    (void)state;
    CHECK_ALL(cases);
}

static void what_context_says(void **state)
{
    static const char *const cases[][2] = {
        {"@(context.Request.Method)", "GET"},
        {"@(context.Request.IpAddress)", "192.0.2.1"},
        {"@(context.Request.Headers.GetValueOrDefault(\"x-tenant\", \"none\"))", "Blue"},
        {"@(context.Request.Headers.GetValueOrDefault(\"x-none\", \"none\"))", "none"},
        {"@(context.Request.Headers.GetValueOrDefault(\"x-none\"))", ""},
        {"@(context.Request.Headers.GetValueOrDefault(\"Via\", \"\"))", "a,b"},
        {"@(context.Request.Headers[\"Via\"][1])", "b"},
        {"@(context.Request.Headers[\"Via\"].Length)", "2"},
        {"@(context.Request.Headers.ContainsKey(\"VIA\"))", "True"},
        {"@(context.Request.OriginalUrl.Host + context.Request.OriginalUrl.Path)",
         "gateway.example/shop/orders/7"},
        {"@(context.Request.OriginalUrl.ToString())",
         "https://gateway.example:8443/shop/orders/7?a=1&b=two%20words&A=3&flag"},
        {"@(context.Request.Url.Scheme + context.Request.Url.Port + context.Request.Url.Path)",
         "http8080/v1/orders/7"},
        {"@(context.Request.Url.Query.GetValueOrDefault(\"b\", \"\"))", "two words"},
        {"@(context.Request.Url.Query.GetValueOrDefault(\"a\"))", "1,3"},
        {"@(context.Request.Url.Query[\"a\"][1])", "3"},
        {"@(context.Request.Url.Query.ContainsKey(\"flag\"))", "True"},
        {"@(context.Request.Url.QueryString)", "?a=1&b=two%20words&A=3&flag"},
        {"@(context.Request.MatchedParameters[\"id\"])", "7"},
        {"@(context.Request.MatchedParameters.GetValueOrDefault(\"x\", \"d\"))", "d"},
        {"@(context.Request.MatchedParameters.ContainsKey(\"id\"))", "True"},
        {"@(context.Request.Certificate == null)", "False"},
        {"@(context.Request.Certificate.Thumbprint)", "AABBCC"},
        {"@(context.Request.Certificate.SubjectName.Name)", "CN=client, O=Example"},
        {"@(context.Request.Certificate?.Issuer)", "CN=ca"},
        {"@(context.Request.Certificate.NotAfter > DateTime.UtcNow)", "True"},
        {"@((string)context.Variables[\"text\"])", "abc"},
        {"@(((string)context.Variables[\"text\"]).Length)", "3"},
        {"@((int)context.Variables[\"number\"] + 1)", "43"},
        {"@(context.Variables[\"number\"])", "42"},
        {"@(context.Variables[\"number\"].ToString() + \"!\")", "42!"},
        {"@(context.Variables.GetValueOrDefault<int>(\"number\") + 1)", "43"},
        {"@(context.Variables.GetValueOrDefault<int>(\"x\", 7))", "7"},
        {"@(context.Variables.GetValueOrDefault<int>(\"x\"))", "0"},
        {"@(context.Variables.GetValueOrDefault<string>(\"x\", \"d\"))", "d"},
        {"@(context.Variables.GetValueOrDefault(\"x\", \"d\"))", "d"},
        {"@(context.Variables.GetValueOrDefault<bool>(\"yes\") ? 1 : 2)", "1"},
        {"@(context.Variables.GetValueOrDefault<System.String>(\"text\"))", "abc"},
        {"@(context.Variables.ContainsKey(\"text\"))", "True"},
        {"@(context.Variables[\"none\"] == null)", "True"},
        {"@(context.Api.Id + context.Api.Name + context.Operation.Id)", "shopShopget-order"},
        {"@(context.Subscription == null && context.Product == null)", "True"},
        {"@(context.Subscription?.Id ?? \"anonymous\")", "anonymous"},
        {"@(context.Subscription?.Id?.Length > 3)", "False"},
        {"@(context.Subscription?.Id.Contains(\"a\") == true)", "False"},
        {"@(context.Subscription?.Id.Length ?? 0.5)", "0.5"},
        {"@(context.Subscription?.Id.Substring(context.Api?.Id.Length ?? 1) == null)", "True"},
        {"@(context.Deployment.ServiceName)", "postern"},
        {"@(context.RequestId)", "01234567-89ab-cdef-0123-456789abcdef"},
        {"@(context.RequestId.ToString(\"N\"))", "0123456789abcdef0123456789abcdef"},
        {"@(context.Elapsed.TotalMilliseconds)", "250"},
        {"@(context.Response == null && context.LastError == null)", "True"},
        {"@(context.LastError?.Reason)", ""},
    };

    (void)state;
    CHECK_ALL(cases);
}

static void statements(void **state)
{
    static const char *const cases[][2] = {
        {"@{ return 1; }", "1"},
        {"@{ var x = 1; x = x + 1; return x; }", "2"},
        {"@{ string x; if (true) { x = \"a\"; } else { x = \"b\"; } return x; }", "a"},
        {"@{ if (false) return 1; else if (true) return 2; else return 3; }", "2"},
        {"@{ if (true) { return \"in\"; } return \"out\"; }", "in"},
        {"@{ var n = 0; foreach (var s in \"1,2,3\".Split(',')) { n += int.Parse(s); } return n; }",
         "6"},
        {"@{ foreach (var s in \"a,b,c\".Split(',')) { if (s == \"b\") return s; } return null; }",
         "b"},
        {"@{ var n = 0; foreach (string s in new[] {\"a\", \"b\", \"c\"}) { if (s == \"a\") "
         "continue; "
         "n++; if (s == \"b\") break; } return n; }",
         "1"},
        {"@{ { var x = 1; } { var x = 2; return x; } }", "2"},
        {"@{ string s = \"a\"; s += 1; s += 'b'; return s; }", "a1b"},
        {"@{ int i = 5; i--; i -= 2; return i; }", "2"},
        {"@{ long l = 1; double d = l; return d / 2; }", "0.5"},
        {"@{ object o = 1; return (int)o + 1; }", "2"},
        {"@{ string[] parts = \"a/b\".Split('/'); return parts[1]; }", "b"},
        {"@{ byte[] raw = Convert.FromBase64String(\"YQ==\"); return raw.Length; }", "1"},
        {"@{ DateTime t = DateTime.UtcNow; Guid g = Guid.Empty; return t.Year; }", "2023"},
        {"@{ ; return \"}\"; }", "}"},
    };

    (void)state;
    CHECK_ALL(cases);
}

/* ---- refusals */

static void check_refused(struct bench *b, const char *text, enum pn_expr_want want,
                          const char *reason, const char *at)
{
    struct pn_expr *expr = NULL;
    struct pn_expr_fault fault;

    if (pn_expr_compile(&b->home, pn_slice_str(text), want, &expr, &fault) != PN_INVALID)
        fail_msg("%s is taken", text);
    if (!strstr(fault.message, reason))
        fail_msg("%s: \"%s\" does not say \"%s\"", text, fault.message, reason);
    if (at && fault.offset != (size_t)(strstr(text, at) - text))
        fail_msg("%s: at %zu, not at \"%s\"", text, fault.offset, at);
}

static void what_is_wrong_is_refused_with_its_place(void **state)
{
    static const struct {
        const char *text, *reason, *at;
    } cases[] = {
        {"@(1 + )", "a value is expected here", ")"},
        {"@(1 2)", "')' is expected here", "2)"},
        {"@(1) x", "the expression ends before this", "x"},
        {"@(1;)", "holds one expression", ";)"},
        {"@(foo)", "the name 'foo' is not known here", "foo"},
        {"@(1 + true)", "'+' is not possible between int and bool", "+"},
        {"@(\"a\" - 1)", "'-' is not possible between string and int", "-"},
        {"@(\"a\" < \"b\")", "'<' is not possible between string and string", "<"},
        {"@(\"a\" == 1)", "'==' is not possible between string and int", "=="},
        {"@(1 == null)", "this is a int, which is never null", "1"},
        {"@(1 ?? 2)", "never null", "?\?"},
        {"@(1 ? 2 : 3)", "the condition before '?' must be a bool, this is a int", "1"},
        {"@(true ? 1 : \"a\")", "must give values of one type", "?"},
        {"@(!1)", "must be a bool", "1"},
        {"@(-\"a\")", "needs a number", "-"},
        {"@(context.Variables[\"a\"] == \"x\")", "does not take an object: cast it", "=="},
        {"@(context.Variables[\"a\"] + 1)", "does not take an object", "+"},
        {"@(context.Variables[\"a\"].Length)", "cast it first", "Length"},
        {"@(context.Request.Foo)",
         "'Foo' is not available in this release; context.Request has "
         "here: Method",
         "Foo"},
        {"@(context.Request.Body.As<string>())", "'Body' is not available", "Body"},
        {"@(context.User.Id)", "'User' is not available", "User"},
        {"@(\"a\".Reverse())", "'Reverse' is not available", "Reverse"},
        {"@(\"a\".Length())", "no method", "Length"},
        {"@(\"a\".ToLower)", "is a method", "ToLower"},
        {"@(\"a\".Substring(\"x\"))", "does not take (string); it takes (int) or (int, int)",
         "Substring"},
        {"@(int.Parse(1))", "does not take (int)", "Parse"},
        {"@((JObject)context.Variables[\"x\"])", "'JObject' is not available in this release",
         "JObject"},
        {"@(Newtonsoft.Json.Linq.JObject.Parse(\"\"))",
         "'JObject' is not available in this release", "JObject"},
        {"@(new JObject())", "'JObject' is not available", "JObject"},
        {"@(new Foo())", "'new Foo' is not available", "Foo"},
        {"@(context.Variables.GetValueOrDefault<JObject>(\"a\"))", "'JObject' is not available",
         "<"},
        {"@(context.Variables.GetValueOrDefault(\"a\"))", "say of which type", "GetValueOrDefault"},
        {"@(context.Variables.GetValueOrDefault<int>(\"a\", \"b\"))", "does not take",
         "GetValueOrDefault"},
        {"@((string)1)", "cannot be cast to string; use .ToString()", "(string)"},
        {"@((int)\"1\")", "use int.Parse", "(int)"},
        {"@(\"a\".Split(',').Select(x => x))", "lambdas", "x =>"},
        {"@(x => 1)", "lambdas", "x"},
        {"@(\"a\".Split(',').Select(1))", "'Select' is not available", "Select"},
        {"@(\"a\" => 1)", "lambdas", "=>"},
        {"@(\"a\" = 1)", "to compare write '=='", "= 1"},
        {"@(\"a)", "no closing quote", "\"a"},
        {"@(\"a\n\")", "no closing quote", "\"a"},
        {"@(@\"a)", "no closing quote", "@\"a"},
        {"@(\"\\q\")", "the escape is not known", "\\q"},
        {"@(\"\\ud800\")", "no character", "\\ud800"},
        {"@('ab')", "one character", "'ab'"},
        {"@('')", "one character", "''"},
        {"@($\"{\")", "", NULL},
        {"@($\"}\")", "written '}}'", "}"},
        {"@(1.5m)", "the number is not one", "1.5m"},
        {"@(99999999999999999999)", "larger than a long", "9"},
        {"@(1 # 2)", "the character '#'", "#"},
        {"@(/* x)", "the comment that starts here has no end", "/*"},
        {"@(context.Request.Certificate?.NotAfter < )", "a value is expected", NULL},
        {"@(context.Subscription?.Id.Length + 1)", "may be null", "+"},
        {"@(string)", "the result must be a text", "string"},
        {"@(context)", "the result must be a text here", "context"},
        {"@(\"a\".Split(','))", "use string.Join", NULL},
        {"@(Regex.IsMatch(\"a\", \"(\"))", "the regular expression is not one", "\"(\""},
        {"@(Regex.IsMatch(\"a\", context.Request.Method))", "must be a literal", NULL},
        {"@(typeof(string))", "'typeof' is not available", "typeof"},
        {"@(int.TryParse(\"1\", out var x))", "use Parse", "out"},
        {"@(\"a\".Equals(out x))", "'out' and 'ref'", "out"},
        {"@{ return 1 }", "';' is expected here", "}"},
        {"@{ if (true) return 1; }", "not every way", NULL},
        {"@{ foreach (var x in \"\".Split(',')) return 1; }", "not every way", NULL},
        {"@{ }", "not every way", NULL},
        {"@{ return 1; return 2; }", "never reached", "return 2"},
        {"@{ var x; return 1; }", "'var' needs a value", "x"},
        {"@{ var x = null; return 1; }", "this has none", "null"},
        {"@{ var x = 1; var x = 2; return x; }", "already", "x = 2"},
        {"@{ var x = 1; { var x = 2; } return x; }", "already", "x = 2"},
        {"@{ int x = \"a\"; return x; }", "must be a int, this is a string", "\"a\""},
        {"@{ var x = 1; x = \"a\"; return x; }", "must be a int", "\"a\""},
        {"@{ y = 1; return y; }", "a statement is expected here", "y"},
        {"@{ \"a\".ToLower(); return 1; }", "a statement is expected", NULL},
        {"@{ var x = 1; x; return 1; }", "this does nothing", "x;"},
        {"@{ if (1) return 1; return 2; }", "the condition of 'if' must be a bool", "1"},
        {"@{ while (true) { } return 1; }", "'while' is not available", "while"},
        {"@{ for (int i = 0; i < 1; i++) { } return 1; }", "'for' is not available", "for"},
        {"@{ try { return 1; } catch { return 2; } }", "'try' is not available", "try"},
        {"@{ JObject x = null; return 1; }", "'JObject' is not available", "JObject"},
        {"@{ Dictionary<string, string> x = null; return 1; }", "'Dictionary' is not available",
         "Dictionary"},
        {"@{ foreach (var c in \"abc\") { } return 1; }", "goes through a string[] or char[]",
         "\"abc\""},
        {"@{ break; return 1; }", "no loop", NULL},
        {"@{ return; }", "'return' needs a value", ";"},
        {"@{ return 1;", "'}' is expected at the end", NULL},
        {"@(", "ends where a value is expected", NULL},
        {"@{", "'}' is expected at the end", NULL},
    };
    struct bench b;

    (void)state;
    set_up(&b);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        check_refused(&b, cases[i].text, PN_EXPR_WANT_TEXT, cases[i].reason, cases[i].at);
    check_refused(&b, "@(1)", PN_EXPR_WANT_BOOL, "the result must be a bool here, this is a int",
                  "1");
    check_refused(&b, "@(context.Subscription?.Id.Contains(\"a\"))", PN_EXPR_WANT_BOOL,
                  "this may be null", NULL);
    check_refused(&b, "@(true)", PN_EXPR_WANT_NUMBER, "must be a number", "true");
    check_refused(&b, "@(context.Request)", PN_EXPR_WANT_ANY, "a variable can hold", NULL);
    check_refused(&b, "literal", PN_EXPR_WANT_TEXT, "begins with", NULL);
    tear_down(&b);
}

static void every_cut_of_an_expression_is_refused(void **state)
{
    static const char *const texts[] = {
        "@(context.Request.Headers.GetValueOrDefault(\"a\", @\"b\\\") == \"c\\n\" ? "
        "$\"x{1,3:D2}y\" : "
        "Regex.Replace((string)context.Variables[\"v\"], \"a|b\", \"c\"))",
        "@{ var x = new[] {\"a\", \"b\"}; foreach (var s in x) { if (s == \"b\") { return s; } } "
        "/* c */ return context.Subscription?.Id ?? 'c'.ToString(); }"};
    struct bench b;

    (void)state;
    set_up(&b);
    for (size_t i = 0; i < 2; i++) {
        size_t len = strlen(texts[i]);

        (void)compile(&b, texts[i], PN_EXPR_WANT_TEXT);
        for (size_t cut = 0; cut < len; cut++) {
            char *copy = malloc(cut + 1); /* so that a sanitizer sees what is read behind it */
            struct pn_expr *expr = NULL;
            struct pn_expr_fault fault;

            assert_non_null(copy);
            memcpy(copy, texts[i], cut);
            assert_int_equal(
                pn_expr_compile(&b.home, pn_slice(copy, cut), PN_EXPR_WANT_TEXT, &expr, &fault),
                PN_INVALID);
            assert_true(fault.message[0] != '\0');
            assert_true(fault.offset <= cut);
            free(copy);
        }
    }
    tear_down(&b);
}

/* ---- faults */

static void check_fault(struct bench *b, const char *text, enum pn_rc rc, const char *why)
{
    struct pn_expr *expr = compile(b, text, PN_EXPR_WANT_TEXT);
    struct pn_expr_result result;

    if (pn_expr_run(expr, &b->context, &result) != rc)
        fail_msg("%s does not fail as it should: %s", text, result.why ? result.why : "");
    if (!strstr(result.why, why))
        fail_msg("%s: \"%s\" does not say \"%s\"", text, result.why, why);
}

static void what_throws_in_csharp_fails(void **state)
{
    static const char *const cases[][2] = {
        {"@(1 / (1 - 1))", "DivideByZeroException"},
        {"@(1 % (1 - 1))", "DivideByZeroException"},
        {"@(context.Response.StatusCode)",
         "NullReferenceException: what stands before 'StatusCode'"},
        {"@(context.LastError.Reason)", "NullReferenceException"},
        {"@(((string)context.Variables[\"none\"]).Length)", "NullReferenceException"},
        {"@((int)context.Variables[\"text\"])", "InvalidCastException: a string is cast to int"},
        {"@((int)context.Variables[\"none\"])", "NullReferenceException: null is cast to int"},
        {"@(context.Variables[\"unknown\"])", "KeyNotFoundException: there is no such variable"},
        {"@(context.Variables.GetValueOrDefault<int>(\"text\"))", "InvalidCastException"},
        {"@(context.Request.Headers[\"x-none\"][0])", "KeyNotFoundException"},
        {"@(context.Request.Url.Query[\"zzz\"][0])", "KeyNotFoundException"},
        {"@(context.Request.MatchedParameters[\"zzz\"])", "KeyNotFoundException"},
        {"@(\"a\".Split(',')[1])", "IndexOutOfRangeException"},
        {"@(\"a\".Split(',')[-1])", "IndexOutOfRangeException"},
        {"@(\"abc\".Substring(4))", "ArgumentOutOfRangeException"},
        {"@(\"abc\".Substring(1, 3))", "ArgumentOutOfRangeException"},
        {"@(\"abc\".Substring(-1))", "ArgumentOutOfRangeException"},
        {"@(\"abc\".Substring(2147483647, 2147483647))", "ArgumentOutOfRangeException"},
        {"@(\"\xF0\x9F\x98\x80\".Substring(1))", "cut in two"},
        {"@(\"abc\"[3])", "IndexOutOfRangeException"},
        {"@(\"abc\".Replace(\"\", \"x\"))", "ArgumentException"},
        {"@(\"abc\".Contains((string)context.Variables[\"none\"]))", "ArgumentNullException"},
        {"@(int.Parse(\"x\"))", "FormatException"},
        {"@(int.Parse(\"2147483648\"))", "FormatException"},
        {"@(Convert.FromBase64String(\"***\").Length)", "FormatException"},
        {"@(Guid.Parse(\"x\"))", "FormatException"},
        {"@(DateTime.Parse(\"yesterday\"))", "FormatException"},
        {"@(DateTime.UtcNow.AddYears(9000))", "outside of the years"},
        {"@(DateTime.MaxValue + TimeSpan.FromDays(1))", "outside of the years"},
        {"@(string.Format(\"{1}\", 1))", "FormatException"},
        {"@(Math.Abs(-2147483647 - 1))", "OverflowException"},
        {"@(new string[] {}.First())", "InvalidOperationException"},
    };
    struct bench b;

    (void)state;
    set_up(&b);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        check_fault(&b, cases[i][0], PN_INVALID, cases[i][1]);
    tear_down(&b);
}

static void steps_and_bytes_are_bounded(void **state)
{
    static const char loop[] = "@{ var n = 0; var l = \"0123456789\".PadLeft(40, ',').Split(','); "
                               "foreach (var a in l) { foreach (var b in l) { foreach (var c in l) "
                               "{ n++; } } } return n; }";
    struct bench b;
    int64_t steps = pn_limit_hits(PN_LIMIT_EXPRESSION_STEPS);
    int64_t bytes = pn_limit_hits(PN_LIMIT_EXPRESSION_BYTES);
    int64_t regex = pn_limit_hits(PN_LIMIT_EXPRESSION_REGEX_STEPS);

    (void)state;
    set_up(&b);
    check_fault(&b, loop, PN_LIMIT, "expression-steps");
    assert_int_equal(pn_limit_hits(PN_LIMIT_EXPRESSION_STEPS), steps + 1);
    check_fault(&b, "@(\"x\".PadLeft(2147483647))", PN_LIMIT, "expression-bytes");
    check_fault(&b,
                "@{ var s = \"0123456789\"; foreach (var x in \",,,,,,,,,,,,,,,,,,,,\".Split(',')) "
                "{ s += s; } return s; }",
                PN_LIMIT, "expression-bytes");
    check_fault(
        &b, "@(Encoding.UTF8.GetString(Convert.FromBase64String(\"QUFB\".PadLeft(300000, 'A'))))",
        PN_LIMIT, "expression-bytes");
    assert_int_equal(pn_limit_hits(PN_LIMIT_EXPRESSION_BYTES), bytes + 3);
    check_fault(&b, "@(Regex.IsMatch(\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab\", \"^(a+)+$\"))",
                PN_LIMIT, "expression-regex-steps");
    assert_int_equal(pn_limit_hits(PN_LIMIT_EXPRESSION_REGEX_STEPS), regex + 1);
    /* A long text is searched, but not as often as one likes. */
    check_fault(
        &b,
        "@{ var s = \"x\".PadLeft(100000); var n = 0; "
        "foreach (var a in \",,,,,,,,,,,,,,,,,,,,\".Split(',')) { if (s.Contains(\"y\")) { n++; } "
        "} return n; }",
        PN_LIMIT, "expression-steps");
    check(&b, "@(\"x\".PadLeft(100000).Length)", "100000"); /* a run begins anew */
    tear_down(&b);
}

static void memory_of_the_request_is_the_last_limit(void **state)
{
    struct bench b;
    struct pn_expr *expr;
    struct pn_expr_result result;
    enum pn_rc rc = PN_OK;

    (void)state;
    set_up(&b);
    expr = compile(&b, "@(\"x\".PadLeft(200000) + 1)", PN_EXPR_WANT_TEXT);
    for (int i = 0; rc == PN_OK && i < 100; i++)
        rc = pn_expr_run(expr, &b.context, &result);
    assert_true(rc == PN_LIMIT || rc == PN_NOMEM);
    tear_down(&b);
}

static size_t put(char *out, const char *text)
{
    size_t len = strlen(text);

    memcpy(out, text, len + 1);
    return len;
}

static void nesting_is_bounded(void **state)
{
    static const char *const openers[] = {
        "(", "!", "- ", "true ? 1 : ", "\"a\" + (", "null ?? ", "(string)"};
    struct bench b;
    char *text = malloc(400000);

    (void)state;
    assert_non_null(text);
    set_up(&b);
    for (size_t i = 0; i < sizeof(openers) / sizeof(openers[0]); i++) {
        size_t len = put(text, "@(");
        struct pn_expr *expr = NULL;
        struct pn_expr_fault fault;

        for (int n = 0; n < 20000; n++)
            len += put(text + len, openers[i]);
        assert_int_equal(
            pn_expr_compile(&b.home, pn_slice(text, len), PN_EXPR_WANT_TEXT, &expr, &fault),
            PN_INVALID);
        assert_non_null(strstr(fault.message, "nested more than"));
    }
    free(text);
    tear_down(&b);
}

static void long_sums_and_texts(void **state)
{
    struct bench b;
    char *text = malloc(100000);
    struct pn_expr *expr = NULL;
    struct pn_expr_fault fault;
    struct pn_expr_result result;
    size_t len;

    (void)state;
    assert_non_null(text);
    set_up(&b);
    /* Texts in a row are one operation, sums are as many as they have signs. */
    len = put(text, "@(\"\"");
    for (int n = 0; n < 1000; n++)
        len += put(text + len, " + \"x\"");
    len += put(text + len, ")");
    assert_int_equal(
        pn_expr_compile(&b.home, pn_slice(text, len), PN_EXPR_WANT_TEXT, &expr, &fault), PN_OK);
    assert_int_equal(pn_expr_run(expr, &b.context, &result), PN_OK);
    assert_int_equal(result.value.s.len, 1000);
    for (int terms = 99; terms <= 101; terms++) {
        len = put(text, "@(1");
        for (int n = 0; n < terms; n++)
            len += put(text + len, " + 1");
        len += put(text + len, ")");
        assert_int_equal(
            pn_expr_compile(&b.home, pn_slice(text, len), PN_EXPR_WANT_TEXT, &expr, &fault),
            terms == 99 ? PN_OK : PN_INVALID);
    }
    assert_non_null(strstr(fault.message, "more than 100 operations"));
    free(text);
    tear_down(&b);
}

/* ---- literals */

static void on_literal(void *ctx, struct pn_slice literal)
{
    char *all = ctx;
    size_t len = strlen(all);

    snprintf(all + len, 200 - len, "%.*s;", PN_FMT(literal));
}

static void literals_tell_what_an_expression_may_name(void **state)
{
    static const struct {
        const char *text, *literals;
        bool are_all;
    } cases[] = {
        {"@(context.Request.Method == \"GET\" ? \"a\" : \"b\")", "a;b;", true},
        {"@{ if (context.Api.Id == \"x\") { return \"a\"; } return null; }", "a;", true},
        {"@(null ?? \"a\")", "a;", true},
        {"@((string)context.Variables[\"v\"])", "v;", false},
        {"@(\"a\" + context.Api.Id)", "a;", false},
        {"@{ var x = \"a\"; return x; }", "a;", false},
        {"@(context.Request.Method == \"GET\" ? \"a\" : context.Api.Id)", "a;GET;", false},
    };
    struct bench b;

    (void)state;
    set_up(&b);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct pn_expr *expr = compile(&b, cases[i].text, PN_EXPR_WANT_TEXT);
        char all[200] = "";

        assert_int_equal(pn_expr_literals(expr, on_literal, all), cases[i].are_all);
        assert_string_equal(all, cases[i].literals);
    }
    tear_down(&b);
}

static void wanted_types_are_given(void **state)
{
    struct bench b;
    struct pn_expr_result result;

    (void)state;
    set_up(&b);
    assert_int_equal(pn_expr_run(compile(&b, "@(context.Variables[\"yes\"])", PN_EXPR_WANT_BOOL),
                                 &b.context, &result),
                     PN_OK);
    assert_true(result.value.type == PN_EXPR_BOOL && result.value.b);
    assert_int_equal(pn_expr_run(compile(&b, "@(context.Variables[\"text\"])", PN_EXPR_WANT_BOOL),
                                 &b.context, &result),
                     PN_INVALID);
    assert_int_equal(
        pn_expr_run(compile(&b, "@(\" 404 \")", PN_EXPR_WANT_NUMBER), &b.context, &result), PN_OK);
    assert_int_equal(result.value.i, 404);
    assert_int_equal(pn_expr_run(compile(&b, "@(\"x\")", PN_EXPR_WANT_NUMBER), &b.context, &result),
                     PN_INVALID);
    assert_int_equal(pn_expr_run(compile(&b, "@(1 + 1)", PN_EXPR_WANT_ANY), &b.context, &result),
                     PN_OK);
    assert_int_equal(result.value.type, PN_EXPR_INT);
    tear_down(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(literals_and_operators),
        cmocka_unit_test(strings),
        cmocka_unit_test(system_classes),
        cmocka_unit_test(what_context_says),
        cmocka_unit_test(statements),
        cmocka_unit_test(what_is_wrong_is_refused_with_its_place),
        cmocka_unit_test(every_cut_of_an_expression_is_refused),
        cmocka_unit_test(what_throws_in_csharp_fails),
        cmocka_unit_test(steps_and_bytes_are_bounded),
        cmocka_unit_test(memory_of_the_request_is_the_last_limit),
        cmocka_unit_test(nesting_is_bounded),
        cmocka_unit_test(long_sums_and_texts),
        cmocka_unit_test(literals_tell_what_an_expression_may_name),
        cmocka_unit_test(wanted_types_are_given),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
