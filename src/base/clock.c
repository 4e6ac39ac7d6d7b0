/* SPDX-License-Identifier: Apache-2.0
 *
 * Clocks and the written forms of time.
 */
#include "base/clock.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

static struct timespec read_clock(clockid_t id)
{
    struct timespec now = {0};

    clock_gettime(id, &now);
    return now;
}

uint64_t pn_clock_monotonic_ms(void)
{
    return pn_clock_monotonic_us() / 1000;
}

uint64_t pn_clock_monotonic_us(void)
{
    struct timespec now = read_clock(CLOCK_MONOTONIC);

    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

int64_t pn_clock_unix_s(void)
{
    return (int64_t)read_clock(CLOCK_REALTIME).tv_sec;
}

int64_t pn_clock_unix_s_of_tick(void)
{
    return (int64_t)read_clock(CLOCK_REALTIME_COARSE).tv_sec;
}

int64_t pn_clock_unix_ms(void)
{
    struct timespec now = read_clock(CLOCK_REALTIME);

    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static struct tm split(int64_t unix_s)
{
    struct tm parts = {0};
    time_t t = (time_t)unix_s;

    gmtime_r(&t, &parts);
    return parts;
}

void pn_time_iso8601(int64_t unix_s, char out[PN_TIME_TEXT])
{
    struct tm parts = split(unix_s);

    strftime(out, PN_TIME_TEXT, "%Y-%m-%dT%H:%M:%SZ", &parts);
}

void pn_time_iso8601_ticks(int64_t unix_ms, char out[PN_TIME_TEXT])
{
    struct tm parts = split(unix_ms / 1000);
    size_t len = strftime(out, PN_TIME_TEXT, "%Y-%m-%dT%H:%M:%S", &parts);

    snprintf(out + len, PN_TIME_TEXT - len, ".%03u0000Z", (unsigned)(unix_ms % 1000));
}

void pn_time_http_date(int64_t unix_s, char out[PN_TIME_TEXT])
{
    static const char *const days[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    static const char *const months[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                         "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    struct tm parts = split(unix_s);

    snprintf(out, PN_TIME_TEXT, "%s, %02u %s %04u %02u:%02u:%02u GMT", days[parts.tm_wday % 7],
             (unsigned)parts.tm_mday % 100, months[parts.tm_mon % 12],
             (unsigned)(parts.tm_year + 1900) % 10000, (unsigned)parts.tm_hour % 100,
             (unsigned)parts.tm_min % 100, (unsigned)parts.tm_sec % 100);
}

/* Exactly `digits` digits at the front; false otherwise. */
static bool take_number(struct pn_slice *text, size_t digits, int *value)
{
    uint64_t number;

    if (text->len < digits || !pn_slice_to_u64(pn_slice_sub(*text, 0, digits), 9999, &number))
        return false;
    *value = (int)number;
    *text = pn_slice_sub(*text, digits, text->len);
    return true;
}

static bool take_byte(struct pn_slice *text, char byte)
{
    if (text->len == 0 || text->ptr[0] != byte)
        return false;
    *text = pn_slice_sub(*text, 1, text->len);
    return true;
}

/* "Z", "+hh:mm" or "-hh:mm", and nothing behind it. */
static bool take_offset(struct pn_slice *text, int64_t *offset_s)
{
    int hours = 0;
    int minutes = 0;
    bool is_negative;

    *offset_s = 0;
    if (take_byte(text, 'Z') || take_byte(text, 'z'))
        return text->len == 0;
    is_negative = text->len > 0 && text->ptr[0] == '-';
    if (!take_byte(text, '+') && !take_byte(text, '-'))
        return false;
    if (!take_number(text, 2, &hours) || !take_byte(text, ':') || !take_number(text, 2, &minutes) ||
        hours > 23 || minutes > 59)
        return false;
    *offset_s = (int64_t)hours * 3600 + (int64_t)minutes * 60;
    if (is_negative)
        *offset_s = -*offset_s;
    return text->len == 0;
}

bool pn_time_parse_iso8601(struct pn_slice text, int64_t *unix_s)
{
    struct tm parts = {0};
    int64_t offset_s;
    int year;
    int month;

    if (!take_number(&text, 4, &year) || !take_byte(&text, '-') || !take_number(&text, 2, &month) ||
        !take_byte(&text, '-') || !take_number(&text, 2, &parts.tm_mday))
        return false;
    if (!take_byte(&text, 'T') && !take_byte(&text, 't') && !take_byte(&text, ' '))
        return false;
    if (!take_number(&text, 2, &parts.tm_hour) || !take_byte(&text, ':') ||
        !take_number(&text, 2, &parts.tm_min) || !take_byte(&text, ':') ||
        !take_number(&text, 2, &parts.tm_sec))
        return false;
    if (take_byte(&text, '.')) {
        size_t digits = 0;

        while (digits < text.len && text.ptr[digits] >= '0' && text.ptr[digits] <= '9')
            digits++;
        if (digits == 0)
            return false;
        text = pn_slice_sub(text, digits, text.len);
    }
    if (!take_offset(&text, &offset_s))
        return false;
    if (month < 1 || month > 12 || parts.tm_mday < 1 || parts.tm_mday > 31 || parts.tm_hour > 23 ||
        parts.tm_min > 59 || parts.tm_sec > 60)
        return false;
    parts.tm_year = year - 1900;
    parts.tm_mon = month - 1;
    *unix_s = (int64_t)timegm(&parts) - offset_s;
    return true;
}
