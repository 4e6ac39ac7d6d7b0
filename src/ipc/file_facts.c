/* SPDX-License-Identifier: Apache-2.0
 *
 * Facts about a file as fields of a frame.
 */
#include "ipc/file_facts.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "ipc/frame.h"

void pn_file_facts_note(struct pn_file_facts *facts, const char *code, const char *format, ...)
{
    struct pn_note *note;
    va_list args;

    for (size_t i = 0; i < facts->note_count; i++) {
        if (strcmp(facts->notes[i].code, code) == 0)
            return;
    }
    if (facts->note_count == PN_NOTES_MAX)
        return;
    note = &facts->notes[facts->note_count++];
    snprintf(note->code, sizeof(note->code), "%s", code);
    va_start(args, format);
    vsnprintf(note->text, sizeof(note->text), format, args);
    va_end(args);
}

enum pn_rc pn_file_facts_put(struct pn_buf *out, const struct pn_file_facts *facts)
{
    enum pn_rc rc = pn_frame_str(out, facts->friendly_name);

    if (rc == PN_OK)
        rc = pn_frame_str(out, facts->integrity);
    if (rc == PN_OK)
        rc = pn_frame_str(out, facts->encryption);
    if (rc == PN_OK)
        rc = pn_frame_u32(out, (uint32_t)facts->note_count);
    for (size_t i = 0; rc == PN_OK && i < facts->note_count; i++) {
        rc = pn_frame_str(out, facts->notes[i].code);
        if (rc == PN_OK)
            rc = pn_frame_str(out, facts->notes[i].text);
    }
    return rc;
}

/** Bytes of the UTF-8 character at the front of `text`, 0 when there is none. */
static size_t character(struct pn_slice text)
{
    uint8_t first = (uint8_t)text.ptr[0];
    size_t len = first < 0x80 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;

    if (first < 0x20 || first == 0x7f || (first >= 0x80 && first < 0xc2) || first > 0xf4 ||
        text.len < len)
        return 0;
    for (size_t i = 1; i < len; i++) {
        if (((uint8_t)text.ptr[i] & 0xc0) != 0x80)
            return 0;
    }
    /* too long a form, half of a pair, beyond Unicode; controls of Latin-1 */
    if ((first == 0xe0 && (uint8_t)text.ptr[1] < 0xa0) ||
        (first == 0xed && (uint8_t)text.ptr[1] >= 0xa0) ||
        (first == 0xf0 && (uint8_t)text.ptr[1] < 0x90) ||
        (first == 0xf4 && (uint8_t)text.ptr[1] >= 0x90) ||
        (first == 0xc2 && (uint8_t)text.ptr[1] < 0xa0))
        return 0;
    return len;
}

static enum pn_rc read_text(struct pn_slice *fields, char *out, size_t size)
{
    struct pn_slice text;
    size_t len = 0;

    if (pn_frame_read_bytes(fields, &text) != PN_OK)
        return PN_MALFORMED;
    while (text.len > 0) {
        size_t taken = character(text);

        if (len + (taken ? taken : 1) >= size)
            break;
        if (taken)
            memcpy(out + len, text.ptr, taken);
        else
            out[len] = '?';
        len += taken ? taken : 1;
        text = pn_slice_sub(text, taken ? taken : 1, text.len);
    }
    out[len] = '\0';
    return PN_OK;
}

enum pn_rc pn_file_facts_read(struct pn_slice *fields, struct pn_file_facts *facts)
{
    uint32_t count = 0;

    memset(facts, 0, sizeof(*facts));
    if (read_text(fields, facts->friendly_name, sizeof(facts->friendly_name)) != PN_OK ||
        read_text(fields, facts->integrity, sizeof(facts->integrity)) != PN_OK ||
        read_text(fields, facts->encryption, sizeof(facts->encryption)) != PN_OK ||
        pn_frame_read_u32(fields, &count) != PN_OK || count > PN_NOTES_MAX)
        return PN_MALFORMED;
    for (uint32_t i = 0; i < count; i++) {
        struct pn_note *note = &facts->notes[i];

        if (read_text(fields, note->code, sizeof(note->code)) != PN_OK ||
            read_text(fields, note->text, sizeof(note->text)) != PN_OK)
            return PN_MALFORMED;
        facts->note_count = i + 1;
    }
    return PN_OK;
}
