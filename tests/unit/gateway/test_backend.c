/* SPDX-License-Identifier: Apache-2.0
 *
 * Backend entities as the gateway reads them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "gateway/backend.h"

struct fixture {
    json_t *properties, *internal;
    struct pn_backend backend;
    struct pn_error err;
};

static enum pn_rc read_backend(struct fixture *f, const char *properties, const char *internal)
{
    memset(f, 0, sizeof(*f));
    assert_int_equal(pn_json_parse(pn_slice_str(properties), &f->properties, &f->err), PN_OK);
    assert_int_equal(pn_json_parse(pn_slice_str(internal), &f->internal, &f->err), PN_OK);
    f->backend.name = "b";
    return pn_backend_read(&f->backend, f->properties, f->internal, &f->err);
}

static void end(struct fixture *f)
{
    pn_backend_fini(&f->backend);
    json_decref(f->properties);
    json_decref(f->internal);
}

#define RULE(count, trip)                                                                          \
    "{\"url\":\"https://"                                                                          \
    "b\",\"circuitBreaker\":{\"rules\":[{\"failureCondition\":{\"count\":" count                   \
    ",\"interval\":\"PT1H\",\"statusCodeRanges\":[{\"min\":500,\"max\":599}],"                     \
    "\"errorReasons\":[\"Timeout\"]},\"tripDuration\":\"" trip "\"}]}}"

static void single_backend_has_target_proxy_and_breaker(void **state)
{
    struct fixture f;

    (void)state;
    assert_int_equal(read_backend(&f, RULE("3", "PT30S"), "{\"reconnectAtMs\":5}"), PN_OK);
    assert_int_equal(f.backend.member_count, 0);
    assert_true(f.backend.target.is_tls && f.backend.wish.check_chain && f.backend.wish.check_name);
    assert_int_equal(f.backend.reconnect_at_ms, 5);
    assert_null(f.backend.proxy);
    assert_int_equal(pn_breaker_rule(f.backend.breaker)->count, 3);
    assert_int_equal(pn_breaker_rule(f.backend.breaker)->interval_ms, 3600000);
    assert_int_equal(pn_breaker_rule(f.backend.breaker)->trip_ms, 30000);
    assert_int_equal(f.backend.match->range_count, 1);
    assert_string_equal(f.backend.match->reasons[0], "Timeout");
    end(&f);
    assert_int_equal(
        read_backend(&f, "{\"url\":\"http://b\",\"proxy\":{\"url\":\"http://p:3128\"}}", "{}"),
        PN_OK);
    assert_int_equal(f.backend.proxy->port, 3128);
    assert_null(f.backend.breaker);
    end(&f);
    assert_int_equal(
        read_backend(&f, "{\"url\":\"http://b\",\"proxy\":{\"url\":\"socks5://p\"}}", "{}"),
        PN_INVALID);
    end(&f);
}

static void pool_needs_no_url_and_takes_its_members_names(void **state)
{
    static const char *const services =
        "{\"type\":\"pool\",\"pool\":{\"services\":[{\"id\":\"/backends/A\",\"weight\":3},"
        "{\"id\":\"/backends/B\",\"priority\":2,\"weight\":0}]}}";
    struct fixture f;

    (void)state;
    assert_int_equal(read_backend(&f, services, "{\"members\":[\"a\",\"b\"]}"), PN_OK);
    assert_int_equal(f.backend.member_count, 2);
    assert_string_equal(f.backend.members[0].name, "a");
    assert_int_equal(f.backend.members[0].weight, 3);
    assert_int_equal(f.backend.members[0].priority, 0);
    assert_int_equal(f.backend.members[1].weight, 0);
    assert_int_equal(f.backend.members[1].priority, 2);
    end(&f);
    assert_int_equal(read_backend(&f, "{\"type\":\"Pool\"}", "{}"), PN_INVALID);
    end(&f);
}

static void breaker_is_kept_while_its_rule_is_the_same(void **state)
{
    struct fixture former, same, other;

    (void)state;
    assert_int_equal(read_backend(&former, RULE("1", "PT30S"), "{}"), PN_OK);
    assert_true(pn_breaker_failure(former.backend.breaker, PN_BREAKER_CLOSED, 1000, 0));
    assert_int_equal(read_backend(&same, RULE("1", "PT30S"), "{\"x\":1}"), PN_OK);
    assert_int_equal(read_backend(&other, RULE("1", "PT31S"), "{}"), PN_OK);
    pn_backend_adopt(&same.backend, &former.backend);
    pn_backend_adopt(&other.backend, &former.backend);
    end(&former);
    assert_true(pn_breaker_wait_ms(same.backend.breaker, 1000) > 0);
    assert_int_equal(pn_breaker_wait_ms(other.backend.breaker, 1000), 0);
    end(&same);
    end(&other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(single_backend_has_target_proxy_and_breaker),
        cmocka_unit_test(pool_needs_no_url_and_takes_its_members_names),
        cmocka_unit_test(breaker_is_kept_while_its_rule_is_the_same),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
