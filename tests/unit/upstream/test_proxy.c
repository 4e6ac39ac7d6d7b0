/* SPDX-License-Identifier: Apache-2.0
 *
 * What is said to a proxy, and what its answers mean.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "upstream/proxy.h"

#define ANSWER_MAX 8192

static struct pn_proxy *make(const char *url, const char *username, const char *password)
{
    struct pn_proxy *proxy = NULL;
    struct pn_error err = {.rc = PN_OK};

    assert_int_equal(pn_proxy_create(pn_slice_str(url), pn_slice_str(username),
                                     pn_slice_str(password), &proxy, &err),
                     PN_OK);
    return proxy;
}

static void request_names_the_backend_and_authenticates(void **state)
{
    static const char expected[] =
        "CONNECT b.test:8443 HTTP/1.1\r\nHost: b.test:8443\r\n"
        "Proxy-Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n\r\n";
    struct pn_proxy *proxy = make("http://Proxy.test:3128", "Aladdin", "open sesame");
    struct pn_buf out;

    (void)state;
    assert_string_equal(proxy->host, "proxy.test");
    assert_int_equal(proxy->port, 3128);
    pn_buf_init_secret(&out, 4096);
    assert_int_equal(pn_proxy_request(proxy, PN_LIT("b.test"), 8443, &out), PN_OK);
    assert_int_equal(out.len, sizeof(expected) - 1);
    assert_memory_equal(out.ptr, expected, out.len);
    pn_buf_fini(&out);
    pn_proxy_unref(proxy);

    proxy = make("http://[::1]", "", "");
    assert_string_equal(proxy->host, "::1");
    assert_int_equal(proxy->port, 80);
    pn_buf_init_secret(&out, 4096);
    assert_int_equal(pn_proxy_request(proxy, PN_LIT("::2"), 443, &out), PN_OK);
    assert_true(pn_slice_eq_str(pn_buf_slice(&out),
                                "CONNECT [::2]:443 HTTP/1.1\r\nHost: [::2]:443\r\n\r\n"));
    pn_buf_fini(&out);
    pn_proxy_unref(proxy);
}

static void a_proxy_reached_by_tls_is_another_one(void **state)
{
    struct pn_proxy *plain = make("http://p:443", "", "");
    struct pn_proxy *tls = make("https://p", "", "");

    (void)state;
    assert_false(plain->is_tls);
    assert_true(tls->is_tls);
    assert_int_equal(tls->port, 443);
    assert_false(pn_proxy_equal(plain, tls));
    pn_proxy_unref(plain);
    pn_proxy_unref(tls);
}

static void every_member_of_a_proxy_tells_it_apart(void **state)
{
    struct pn_proxy *base = make("http://p:1", "u", "p");
    struct pn_proxy *same = make("http://P:1/", "u", "p");
    struct pn_proxy *others[] = {make("http://q:1", "u", "p"), make("http://p:2", "u", "p"),
                                 make("http://p:1", "v", "p"), make("http://p:1", "u", "q"),
                                 make("http://p:1", "", "")};
    struct pn_peer_address a, b;

    (void)state;
    assert_true(pn_proxy_equal(base, same));
    assert_true(pn_proxy_equal(NULL, NULL));
    assert_false(pn_proxy_equal(base, NULL));
    pn_proxy_peer(base, 443, &a);
    pn_proxy_peer(same, 443, &b);
    assert_memory_equal(&a, &b, sizeof(a));
    pn_proxy_peer(base, 444, &b);
    assert_memory_not_equal(&a, &b, sizeof(a));
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        assert_false(pn_proxy_equal(base, others[i]));
        pn_proxy_peer(others[i], 443, &b);
        assert_memory_not_equal(&a, &b, sizeof(a));
        pn_proxy_unref(others[i]);
    }
    pn_proxy_unref(same);
    pn_proxy_unref(base);
}

static void answers_are_told_apart_also_byte_by_byte(void **state)
{
    static const struct {
        const char *text;
        enum pn_proxy_answer expected;
        int status;
    } cases[] = {
        {"HTTP/1.1 200 Connection established\r\n\r\n", PN_PROXY_OPEN, 200},
        {"HTTP/1.0 200\r\nX: y\r\n\r\n", PN_PROXY_OPEN, 200},
        {"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 x\r\n\r\n", PN_PROXY_OPEN, 204},
        {"HTTP/1.1 407 Who?\r\nProxy-Authenticate: Basic\r\n\r\n", PN_PROXY_AUTH_REQUIRED, 407},
        {"HTTP/1.1 403 No\r\n\r\nbody", PN_PROXY_REFUSED, 403},
        {"HTTP/1.1 302 Go\r\n\r\n", PN_PROXY_REFUSED, 302},
        {"HTTP/1.1 2x0 Odd\r\n\r\n", PN_PROXY_MALFORMED, 0},
        {"SSH-2.0-x\r\n", PN_PROXY_MALFORMED, 0},
        {"HTTP/2 200 x\r\n\r\n", PN_PROXY_MALFORMED, 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        enum pn_proxy_answer answer = PN_PROXY_MORE;
        int status = 0;

        for (size_t len = 0; len <= strlen(cases[i].text) && answer == PN_PROXY_MORE; len++)
            answer = pn_proxy_read(pn_slice(cases[i].text, len), ANSWER_MAX, &status);
        assert_int_equal(answer, cases[i].expected);
        if (cases[i].status)
            assert_int_equal(status, cases[i].status);
    }
}

static void bytes_behind_the_answer_and_endless_answers_are_refused(void **state)
{
    static char text[ANSWER_MAX];
    int status = 0;

    (void)state;
    assert_int_equal(pn_proxy_read(PN_LIT("HTTP/1.1 200 OK\r\n\r\nx"), ANSWER_MAX, &status),
                     PN_PROXY_MALFORMED);
    memset(text, 'a', sizeof(text));
    memcpy(text, "HTTP/1.1 200 OK\r\n", 17);
    assert_int_equal(pn_proxy_read(pn_slice(text, sizeof(text) - 1), ANSWER_MAX, &status),
                     PN_PROXY_MORE);
    assert_int_equal(pn_proxy_read(pn_slice(text, sizeof(text)), ANSWER_MAX, &status),
                     PN_PROXY_MALFORMED);
}

static void urls_that_are_no_proxy_are_refused(void **state)
{
    static const char *const urls[] = {"ftp://p", "p:1", ""};
    struct pn_error err = {.rc = PN_OK};
    struct pn_proxy *proxy = NULL;

    (void)state;
    for (size_t i = 0; i < sizeof(urls) / sizeof(urls[0]); i++)
        assert_int_not_equal(
            pn_proxy_create(pn_slice_str(urls[i]), PN_LIT(""), PN_LIT(""), &proxy, &err), PN_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(request_names_the_backend_and_authenticates),
        cmocka_unit_test(a_proxy_reached_by_tls_is_another_one),
        cmocka_unit_test(every_member_of_a_proxy_tells_it_apart),
        cmocka_unit_test(answers_are_told_apart_also_byte_by_byte),
        cmocka_unit_test(bytes_behind_the_answer_and_endless_answers_are_refused),
        cmocka_unit_test(urls_that_are_no_proxy_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
