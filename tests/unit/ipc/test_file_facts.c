/* SPDX-License-Identifier: Apache-2.0
 *
 * Promises about what is told of a key file: it survives the way, and nothing in it can hurt.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "ipc/file_facts.h"
#include "ipc/frame.h"

static enum pn_rc there_and_back(const struct pn_file_facts *facts, struct pn_file_facts *back)
{
    struct pn_buf frame;
    struct pn_slice fields;
    enum pn_rc rc;

    pn_buf_init(&frame, 65536);
    assert_int_equal(pn_file_facts_put(&frame, facts), PN_OK);
    fields = pn_buf_slice(&frame);
    rc = pn_file_facts_read(&fields, back);
    assert_true(rc != PN_OK || fields.len == 0);
    pn_buf_fini(&frame);
    return rc;
}

static void facts_survive_the_way(void **state)
{
    struct pn_file_facts facts = {.friendly_name = "Schlüssel 🔑", .integrity = "none"};
    struct pn_file_facts back;

    (void)state;
    pn_file_facts_note(&facts, "several_keys", "the file has %d keys", 2);
    pn_file_facts_note(&facts, "several_keys", "said once");
    assert_int_equal(facts.note_count, 1);
    assert_int_equal(there_and_back(&facts, &back), PN_OK);
    assert_string_equal(back.friendly_name, "Schlüssel 🔑");
    assert_string_equal(back.notes[0].code, "several_keys");
    assert_string_equal(back.notes[0].text, "the file has 2 keys");
}

static void a_text_is_clean_utf8_when_it_has_been_read(void **state)
{
    static const char *const dirty[][2] = {
        {"a\nb\x7f", "a?b?"},    {"\xff\xfe", "??"},           {"\xc0\xaf", "??"},
        {"\xed\xa0\x80", "???"}, {"\xf4\x90\x80\x80", "????"}, {"\xe2\x82", "??"},
        {"\xc2\x85", "??"},      {"ok\xc3\xa4", "ok\xc3\xa4"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(dirty) / sizeof(dirty[0]); i++) {
        struct pn_file_facts facts = {.note_count = 0}, back;

        strncpy(facts.friendly_name, dirty[i][0], PN_FRIENDLY_NAME_MAX - 1);
        assert_int_equal(there_and_back(&facts, &back), PN_OK);
        assert_string_equal(back.friendly_name, dirty[i][1]);
    }
}

static void a_long_text_is_cut_and_a_short_frame_refused(void **state)
{
    struct pn_file_facts back;
    struct pn_slice fields;
    struct pn_buf frame;
    char text[PN_FRIENDLY_NAME_MAX * 2];

    (void)state;
    memset(text, 'x', sizeof(text));
    pn_buf_init(&frame, 65536);
    assert_int_equal(pn_frame_bytes(&frame, pn_slice(text, sizeof(text))), PN_OK);
    assert_int_equal(pn_frame_str(&frame, ""), PN_OK);
    assert_int_equal(pn_frame_str(&frame, ""), PN_OK);
    assert_int_equal(pn_frame_u32(&frame, 0), PN_OK);
    fields = pn_buf_slice(&frame);
    assert_int_equal(pn_file_facts_read(&fields, &back), PN_OK);
    assert_int_equal(strlen(back.friendly_name), PN_FRIENDLY_NAME_MAX - 1);
    for (size_t len = 0; len < frame.len; len++) {
        fields = pn_slice(frame.ptr, len);
        assert_int_equal(pn_file_facts_read(&fields, &back), PN_MALFORMED);
    }
    pn_buf_fini(&frame);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(facts_survive_the_way),
        cmocka_unit_test(a_text_is_clean_utf8_when_it_has_been_read),
        cmocka_unit_test(a_long_text_is_cut_and_a_short_frame_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
