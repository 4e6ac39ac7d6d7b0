/* SPDX-License-Identifier: Apache-2.0
 *
 * Forms of a password. All of them live in one piece of locked memory.
 */
#include "pfx/password.h"

#include <string.h>

/** One code point of valid UTF-8 at *at, which moves behind it; UINT32_MAX: not UTF-8. */
static uint32_t next_code_point(struct pn_slice text, size_t *at)
{
    static const uint32_t least[] = {0, 0x80, 0x800, 0x10000};
    uint8_t first = (uint8_t)text.ptr[*at];
    size_t more = first < 0x80 ? 0 : first < 0xe0 ? 1 : first < 0xf0 ? 2 : 3;
    uint32_t point = first < 0x80 ? first : first & (0x3fu >> more);

    if ((first >= 0x80 && first < 0xc2) || first > 0xf4 || text.len - *at <= more)
        return UINT32_MAX;
    for (size_t i = 1; i <= more; i++) {
        uint8_t next = (uint8_t)text.ptr[*at + i];

        if ((next & 0xc0) != 0x80)
            return UINT32_MAX;
        point = point << 6 | (next & 0x3fu);
    }
    if (point < least[more] || point > 0x10ffff || (point >= 0xd800 && point < 0xe000))
        return UINT32_MAX;
    *at += more + 1;
    return point;
}

struct place {
    struct pn_passwords *passwords;
    char *at;
};

static void add(struct place *place, const char *begin, bool only_pbes2)
{
    struct pn_passwords *passwords = place->passwords;

    passwords->forms[passwords->count++] = (struct pn_password){
        .ptr = begin, .len = (int)(place->at - begin), .only_pbes2 = only_pbes2};
    *place->at++ = '\0';
}

/** Each byte taken for a character of Latin-1: OpenSSL before 1.1, given UTF-8 by its terminal. */
static void add_widened(struct place *place, struct pn_slice text)
{
    char *begin = place->at;

    for (size_t i = 0; i < text.len; i++) {
        uint8_t byte = (uint8_t)text.ptr[i];

        if (byte >= 0x80)
            *place->at++ = (char)(0xc0 | byte >> 6);
        *place->at++ = (char)(byte < 0x80 ? byte : 0x80 | (byte & 0x3f));
    }
    add(place, begin, false);
}

/** One byte for each character: a terminal of Latin-1. */
static void add_latin1(struct place *place, struct pn_slice text)
{
    char *begin = place->at;
    size_t at = 0;

    while (at < text.len) {
        uint32_t point = next_code_point(text, &at);

        if (point > 0xff) {
            place->at = begin;
            return;
        }
        *place->at++ = (char)point;
    }
    add(place, begin, false);
}

/** UTF-16, big-endian, with its final NUL: what RFC 7292 derives from, given to PBES2 as it is. */
static void add_utf16(struct place *place, struct pn_slice text)
{
    char *begin = place->at;
    size_t at = 0;

    while (at < text.len) {
        uint32_t point = next_code_point(text, &at);
        uint32_t units[2] = {point, 0};
        size_t count = 1;

        if (point > 0xffff) {
            units[0] = 0xd800 + ((point - 0x10000) >> 10);
            units[1] = 0xdc00 + ((point - 0x10000) & 0x3ff);
            count = 2;
        }
        for (size_t i = 0; i < count; i++) {
            *place->at++ = (char)(units[i] >> 8);
            *place->at++ = (char)(units[i] & 0xff);
        }
    }
    *place->at++ = '\0';
    *place->at++ = '\0';
    add(place, begin, true);
}

static bool is_ascii(struct pn_slice text)
{
    for (size_t i = 0; i < text.len; i++) {
        if ((uint8_t)text.ptr[i] >= 0x80)
            return false;
    }
    return true;
}

static bool is_utf8(struct pn_slice text)
{
    for (size_t at = 0; at < text.len;) {
        if (next_code_point(text, &at) == UINT32_MAX)
            return false;
    }
    return true;
}

enum pn_rc pn_passwords_init(struct pn_passwords *passwords, struct pn_slice text)
{
    struct place place = {.passwords = passwords};

    *passwords = (struct pn_passwords){.was_given = text.len > 0};
    if (text.len == 0) { /* programs mean either */
        passwords->forms[0] = (struct pn_password){.ptr = NULL};
        passwords->forms[1] = (struct pn_password){.ptr = ""};
        passwords->count = 2;
        return PN_OK;
    }
    /* as it is, widened (twice as long), Latin-1, UTF-16 (twice), and their ends */
    if (pn_secret_init(&passwords->memory, text.len * 6 + 16) != PN_OK)
        return PN_NOMEM;
    place.at = (char *)passwords->memory.ptr;
    memcpy(place.at, text.ptr, text.len);
    place.at += text.len;
    add(&place, (char *)passwords->memory.ptr, false);
    if (!is_ascii(text)) {
        add_widened(&place, text);
        if (is_utf8(text))
            add_latin1(&place, text);
    }
    if (is_utf8(text))
        add_utf16(&place, text);
    return PN_OK;
}

void pn_passwords_fini(struct pn_passwords *passwords)
{
    pn_secret_fini(&passwords->memory);
    *passwords = (struct pn_passwords){0};
}
