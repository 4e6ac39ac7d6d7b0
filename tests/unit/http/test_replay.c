/* SPDX-License-Identifier: Apache-2.0
 *
 * Promises of bodies that can be read again.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/list.h"
#include "http/replay.h"

#define BODY "0123456789abcdefghij"

/* Gives BODY in pieces of `step`, each only after it was asked for; then the end, or a failure. */
struct drip {
    struct pn_source source;
    size_t step, at, ready;
    enum pn_rc end;
    size_t used;
};

static struct drip *drip_of(struct pn_source *source)
{
    return PN_CONTAINER(source, struct drip, source);
}

static enum pn_rc drip_next(struct pn_source *source)
{
    struct drip *drip = drip_of(source);

    if (drip->at < drip->ready) {
        source->held = pn_slice(BODY + drip->at, drip->ready - drip->at);
        drip->at = drip->ready;
        return PN_OK;
    }
    return drip->at == strlen(BODY) && drip->end == PN_EOF ? PN_EOF : PN_AGAIN;
}

static enum pn_rc drip_read(struct pn_source *source)
{
    struct drip *drip = drip_of(source);

    if (drip->at == strlen(BODY))
        return drip->end;
    drip->ready += drip->step;
    if (drip->ready > strlen(BODY))
        drip->ready = strlen(BODY);
    return PN_OK;
}

static void drip_used(struct pn_source *source, size_t len)
{
    drip_of(source)->used += len;
}

static const struct pn_source_ops drip_ops = {
    .next = drip_next, .read = drip_read, .used = drip_used};

static void set_up(struct drip *drip, struct pn_replay *replay, size_t step, size_t kept_max)
{
    *drip = (struct drip){.step = step, .end = PN_EOF};
    pn_source_init(&drip->source, &drip_ops, false);
    pn_replay_init(replay, &drip->source, kept_max);
}

/** Reads up to `max` bytes, `bite` at a time. */
static size_t take(struct pn_source *source, char *out, size_t max, size_t bite)
{
    size_t len = 0;

    while (len < max) {
        enum pn_rc rc = pn_source_peek(source);
        size_t part;

        if (rc == PN_AGAIN)
            rc = pn_source_read(source);
        if (rc == PN_EOF)
            return len;
        assert_int_equal(rc, PN_OK);
        part = source->held.len < bite ? source->held.len : bite;
        part = part < max - len ? part : max - len;
        if (part > 0)
            memcpy(out + len, source->held.ptr, part);
        pn_source_use(source, part);
        len += part;
    }
    return len;
}

static void what_was_kept_is_read_again_from_any_point(void **state)
{
    (void)state;
    for (size_t step = 1; step <= sizeof(BODY); step++) {
        for (size_t first = 0; first <= strlen(BODY); first++) {
            for (size_t bite = 1; bite <= 8; bite += 3) {
                struct pn_replay replay;
                struct drip drip;
                char got[64];

                set_up(&drip, &replay, step, strlen(BODY));
                assert_int_equal(take(&replay.source, got, first, bite), first);
                assert_true(pn_source_can_rewind(&replay.source));
                pn_source_rewind(&replay.source);
                assert_int_equal(take(&replay.source, got, sizeof(got), bite), strlen(BODY));
                assert_memory_equal(got, BODY, strlen(BODY));
                assert_true(pn_source_is_done(&replay.source));
                assert_int_equal(drip.used, strlen(BODY));
                pn_source_rewind(&replay.source);
                assert_false(pn_source_is_done(&replay.source));
                pn_replay_settle(&replay);
                assert_int_equal(take(&replay.source, got, sizeof(got), bite), strlen(BODY));
                assert_memory_equal(got, BODY, strlen(BODY));
                pn_replay_fini(&replay);
            }
        }
    }
}

static void above_the_limit_it_only_passes(void **state)
{
    (void)state;
    for (size_t max = 0; max < strlen(BODY); max++) {
        for (size_t step = 1; step <= sizeof(BODY); step++) {
            struct pn_replay replay;
            struct drip drip;
            char got[64];

            set_up(&drip, &replay, step, max);
            assert_int_equal(take(&replay.source, got, sizeof(got), 3), strlen(BODY));
            assert_memory_equal(got, BODY, strlen(BODY));
            assert_false(pn_source_can_rewind(&replay.source));
            assert_int_equal(drip.used, strlen(BODY));
            assert_null(replay.kept.ptr);
            pn_replay_fini(&replay);
        }
    }
}

static void settled_in_the_middle_it_loses_nothing(void **state)
{
    (void)state;
    for (size_t at = 0; at <= strlen(BODY); at++) {
        struct pn_replay replay;
        struct drip drip;
        char got[64];

        set_up(&drip, &replay, 7, strlen(BODY));
        assert_int_equal(take(&replay.source, got, at, 2), at);
        pn_replay_settle(&replay);
        assert_int_equal(take(&replay.source, got + at, sizeof(got) - at, 2), strlen(BODY) - at);
        assert_memory_equal(got, BODY, strlen(BODY));
        pn_replay_fini(&replay);
    }
}

static void filled_it_is_whole_or_says_why_not(void **state)
{
    struct pn_replay replay;
    struct drip drip;
    char got[64];

    (void)state;
    set_up(&drip, &replay, 6, strlen(BODY));
    assert_int_equal(pn_replay_fill(&replay), PN_EOF);
    assert_int_equal(replay.kept.len, strlen(BODY));
    assert_int_equal(take(&replay.source, got, sizeof(got), 5), strlen(BODY));
    assert_memory_equal(got, BODY, strlen(BODY));
    pn_replay_fini(&replay);

    set_up(&drip, &replay, 6, strlen(BODY) - 1);
    assert_int_equal(pn_replay_fill(&replay), PN_LIMIT);
    pn_replay_fini(&replay);

    set_up(&drip, &replay, 6, 100);
    drip.end = PN_IO;
    assert_int_equal(pn_replay_fill(&replay), PN_IO);
    drip.end = PN_AGAIN;
    assert_int_equal(pn_replay_fill(&replay), PN_AGAIN);
    drip.end = PN_EOF;
    assert_int_equal(pn_replay_fill(&replay), PN_EOF);
    pn_replay_fini(&replay);
}

static void a_body_that_is_none_has_ended(void **state)
{
    struct pn_source nothing;
    struct pn_replay replay;

    (void)state;
    pn_source_init_memory(&nothing, pn_slice("", 0));
    pn_replay_init(&replay, &nothing, 10);
    assert_true(pn_source_is_done(&replay.source));
    pn_source_rewind(&replay.source);
    assert_true(pn_source_is_done(&replay.source));
    pn_replay_fini(&replay);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_kept_is_read_again_from_any_point),
        cmocka_unit_test(above_the_limit_it_only_passes),
        cmocka_unit_test(settled_in_the_middle_it_loses_nothing),
        cmocka_unit_test(filled_it_is_whole_or_says_why_not),
        cmocka_unit_test(a_body_that_is_none_has_ended),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
