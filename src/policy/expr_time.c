/* SPDX-License-Identifier: Apache-2.0
 *
 * DateTime and TimeSpan, in milliseconds; every time is UTC. Custom formats as in .NET: y M d H h m
 * s f t z, texts in quotes; standard ones: o, s, u, R, and none.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "policy/expr_internal.h"

#define SECOND     INT64_C(1000)
#define MINUTE     (60 * SECOND)
#define HOUR       (60 * MINUTE)
#define DAY        (24 * HOUR)
#define TIME_MIN   INT64_C(-62135596800000) /* 0001-01-01 */
#define TIME_MAX   INT64_C(253402300799999) /* 9999-12-31 */
#define FORMAT_MAX 64
#define TEXT_MAX   256

static int64_t floor_div(int64_t a, int64_t b)
{
    return a / b - (a % b < 0);
}

static void split(int64_t unix_ms, struct tm *tm, int *ms)
{
    time_t seconds = (time_t)floor_div(unix_ms, SECOND);

    *ms = (int)(unix_ms - (int64_t)seconds * SECOND);
    if (!gmtime_r(&seconds, tm))
        memset(tm, 0, sizeof(*tm)); /* cannot be: times are checked when they are made */
}

bool expr_is_time(int64_t unix_ms)
{
    return unix_ms >= TIME_MIN && unix_ms <= TIME_MAX;
}

static bool give(struct expr_run *run, int64_t unix_ms, struct pn_expr_value *out)
{
    if (!expr_is_time(unix_ms))
        return expr_throw(run, "ArgumentOutOfRangeException: a time is outside of the years 1 to "
                               "9999");
    *out = pn_expr_time(unix_ms);
    return true;
}

/* ---- texts */

static const char *standard_format(struct pn_slice format)
{
    if (format.len == 0)
        return "MM'/'dd'/'yyyy HH':'mm':'ss";
    if (format.len != 1)
        return NULL;
    switch (format.ptr[0]) {
    case 'o':
    case 'O':
        return "yyyy'-'MM'-'dd'T'HH':'mm':'ss'.'fffffff'Z'";
    case 's':
        return "yyyy'-'MM'-'dd'T'HH':'mm':'ss";
    case 'u':
        return "yyyy'-'MM'-'dd HH':'mm':'ss'Z'";
    case 'R':
    case 'r':
        return "ddd, dd MMM yyyy HH':'mm':'ss 'GMT'";
    case 'd':
        return "MM'/'dd'/'yyyy";
    case 't':
        return "HH':'mm";
    case 'T':
        return "HH':'mm':'ss";
    default:
        return NULL;
    }
}

static size_t put_letter(char letter, size_t times, const struct tm *tm, int ms, char *out,
                         size_t size)
{
    static const char *const days[] = {"Sunday",   "Monday", "Tuesday", "Wednesday",
                                       "Thursday", "Friday", "Saturday"};
    static const char *const months[] = {"January",   "February", "March",    "April",
                                         "May",       "June",     "July",     "August",
                                         "September", "October",  "November", "December"};
    int width = times > 1 ? 2 : 1;
    int hour = tm->tm_hour % 12 ? tm->tm_hour % 12 : 12;
    char digits[16];
    int len = 0;

    switch (letter) {
    case 'y':
        len = times <= 2 ? snprintf(out, size, "%0*d", width, (tm->tm_year + 1900) % 100)
                         : snprintf(out, size, "%04d", tm->tm_year + 1900);
        break;
    case 'M':
        len = times <= 2
                  ? snprintf(out, size, "%0*d", width, tm->tm_mon + 1)
                  : snprintf(out, size, "%.*s", times == 3 ? 3 : 20, months[tm->tm_mon % 12]);
        break;
    case 'd':
        len = times <= 2 ? snprintf(out, size, "%0*d", width, tm->tm_mday)
                         : snprintf(out, size, "%.*s", times == 3 ? 3 : 20, days[tm->tm_wday % 7]);
        break;
    case 'H':
        len = snprintf(out, size, "%0*d", width, tm->tm_hour);
        break;
    case 'h':
        len = snprintf(out, size, "%0*d", width, hour);
        break;
    case 'm':
        len = snprintf(out, size, "%0*d", width, tm->tm_min);
        break;
    case 's':
        len = snprintf(out, size, "%0*d", width, tm->tm_sec);
        break;
    case 'f':
        (void)snprintf(digits, sizeof(digits), "%03d0000", ms);
        len = snprintf(out, size, "%.*s", (int)(times > 7 ? 7 : times), digits);
        break;
    case 't':
        len = snprintf(out, size, "%.*s", times > 1 ? 2 : 1, tm->tm_hour < 12 ? "AM" : "PM");
        break;
    case 'z':
        len = snprintf(out, size, "%s", times > 2 ? "+00:00" : times == 2 ? "+00" : "+0");
        break;
    default:
        break;
    }
    return len > 0 ? (size_t)len : 0;
}

bool expr_time_text(struct expr_run *run, int64_t unix_ms, struct pn_slice format,
                    struct pn_slice *text)
{
    const char *standard = standard_format(format);
    char out[TEXT_MAX];
    size_t len = 0;
    char quote = '\0';
    struct tm tm;
    int ms;

    split(unix_ms, &tm, &ms);
    if (standard)
        format = pn_slice_str(standard);
    else if (format.len < 2 || format.len > FORMAT_MAX)
        return expr_throw(run, "FormatException: the format of a time is not known");
    for (size_t i = 0; i < format.len && len + 24 < sizeof(out);) {
        char c = format.ptr[i];
        size_t times = 1;

        if (c == '\'' || c == '"') {
            quote = quote == c ? '\0' : quote ? quote : c;
            if (quote && quote != c)
                out[len++] = c;
            i++;
        } else if (quote || !strchr("yMdHhmsftz", c)) {
            if (c == '\\' && !quote && i + 1 < format.len)
                c = format.ptr[++i];
            if (c != '%' || quote)
                out[len++] = c;
            i++;
        } else {
            while (i + times < format.len && format.ptr[i + times] == c)
                times++;
            len += put_letter(c, times, &tm, ms, out + len, sizeof(out) - len);
            i += times;
        }
    }
    return expr_dup(run, pn_slice(out, len), text);
}

bool expr_span_text(struct expr_run *run, int64_t ms, struct pn_slice *text)
{
    uint64_t rest = ms < 0 ? 0 - (uint64_t)ms : (uint64_t)ms;
    char out[TEXT_MAX];
    int len = snprintf(out, sizeof(out), "%s", ms < 0 ? "-" : "");

    if (rest >= (uint64_t)DAY)
        len += snprintf(out + len, sizeof(out) - (size_t)len, "%" PRIu64 ".", rest / DAY);
    len += snprintf(out + len, sizeof(out) - (size_t)len, "%02u:%02u:%02u",
                    (unsigned)(rest / HOUR % 24), (unsigned)(rest / MINUTE % 60),
                    (unsigned)(rest / SECOND % 60));
    if (rest % SECOND)
        len +=
            snprintf(out + len, sizeof(out) - (size_t)len, ".%03u0000", (unsigned)(rest % SECOND));
    return expr_dup(run, pn_slice(out, (size_t)len), text);
}

bool expr_time_parse(struct pn_slice text, int64_t *unix_ms)
{
    char copy[TEXT_MAX];
    struct tm tm = {0};
    int64_t seconds = 0;
    const char *end;

    text = pn_slice_trim(text);
    if (pn_time_parse_iso8601(text, &seconds)) {
        *unix_ms = seconds * SECOND;
        return true;
    }
    if (text.len == 0 || text.len >= sizeof(copy))
        return false;
    memcpy(copy, text.ptr, text.len);
    copy[text.len] = '\0';
    end = strptime(copy, "%a, %d %b %Y %H:%M:%S GMT", &tm);
    if (!end || *end) {
        tm = (struct tm){0};
        end = strptime(copy, "%Y-%m-%dT%H:%M:%S", &tm);
    }
    if (!end || *end) {
        tm = (struct tm){0};
        end = strptime(copy, "%Y-%m-%d", &tm);
    }
    if (!end || *end) {
        tm = (struct tm){0};
        end = strptime(copy, "%m/%d/%Y %H:%M:%S", &tm);
    }
    if (!end || *end)
        return false;
    *unix_ms = (int64_t)timegm(&tm) * SECOND;
    return *unix_ms >= TIME_MIN && *unix_ms <= TIME_MAX;
}

/* ---- DateTime */

EXPR_FN(now)
{
    struct pn_expr_value fact = expr_fact(run, PN_FACT_NOW);

    if (fact.type != PN_EXPR_TIME)
        return expr_throw(run, "there is no clock");
    return give(run, run->member->number ? floor_div(fact.i, DAY) * DAY : fact.i, out);
}

EXPR_FN(border)
{
    *out = pn_expr_time(run->member->number ? TIME_MAX : TIME_MIN);
    return true;
}

EXPR_FN(parse_time)
{
    *out = pn_expr_time(0);
    return expr_time_parse(args[0].s, &out->i) ||
           expr_throw(run, "FormatException: a text is no time that is read here");
}

/** Units of run->member->number milliseconds. */
static bool scale(struct expr_run *run, double times, int64_t *ms)
{
    double result = times * (double)run->member->number;

    if (!(result > -1e17 && result < 1e17))
        return expr_throw(run, "OverflowException: a time is too long");
    *ms = (int64_t)(result + (result < 0 ? -0.5 : 0.5));
    return true;
}

EXPR_FN(add)
{
    int64_t ms = 0;

    return scale(run, args[0].d, &ms) && give(run, self->i + ms, out);
}

EXPR_FN(add_span)
{
    int64_t sign = run->member->number;

    if (args[0].i > TIME_MAX || args[0].i < -TIME_MAX)
        return give(run, INT64_MAX, out);
    return give(run, self->i + sign * args[0].i, out);
}

EXPR_FN(subtract_time)
{
    *out = (struct pn_expr_value){.type = PN_EXPR_SPAN, .i = self->i - args[0].i};
    return true;
}

EXPR_FN(add_months)
{
    static const int lengths[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    int64_t months = args[0].i * run->member->number;
    struct tm tm;
    int ms, length, year;
    int64_t total;

    split(self->i, &tm, &ms);
    if (months < -120000 || months > 120000)
        return give(run, INT64_MAX, out);
    total = (int64_t)(tm.tm_year + 1900) * 12 + tm.tm_mon + months;
    if (total < 12 || total >= 120000)
        return give(run, INT64_MAX, out);
    year = (int)(total / 12);
    tm.tm_year = year - 1900;
    tm.tm_mon = (int)(total % 12);
    length = lengths[tm.tm_mon];
    if (tm.tm_mon == 1 && (year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)))
        length = 29;
    if (tm.tm_mday > length)
        tm.tm_mday = length;
    return give(run, (int64_t)timegm(&tm) * SECOND + ms, out);
}

enum part { YEAR, MONTH, DAY_OF_MONTH, HOURS, MINUTES, SECONDS, MILLISECONDS, DAY_OF_YEAR };

EXPR_FN(part_of_time)
{
    struct tm tm;
    int ms;

    split(self->i, &tm, &ms);
    switch ((enum part)run->member->number) {
    case YEAR:
        *out = pn_expr_int(tm.tm_year + 1900);
        return true;
    case MONTH:
        *out = pn_expr_int(tm.tm_mon + 1);
        return true;
    case DAY_OF_MONTH:
        *out = pn_expr_int(tm.tm_mday);
        return true;
    case HOURS:
        *out = pn_expr_int(tm.tm_hour);
        return true;
    case MINUTES:
        *out = pn_expr_int(tm.tm_min);
        return true;
    case SECONDS:
        *out = pn_expr_int(tm.tm_sec);
        return true;
    case MILLISECONDS:
        *out = pn_expr_int(ms);
        return true;
    case DAY_OF_YEAR:
        *out = pn_expr_int(tm.tm_yday + 1);
        return true;
    }
    return false;
}

EXPR_FN(date_of)
{
    return give(run, floor_div(self->i, DAY) * DAY, out);
}

EXPR_FN(ticks_of)
{
    *out = (struct pn_expr_value){.type = PN_EXPR_LONG, .i = (self->i - TIME_MIN) * 10000};
    return true;
}

EXPR_FN(unix_time)
{
    *out =
        (struct pn_expr_value){.type = PN_EXPR_LONG, .i = floor_div(self->i, run->member->number)};
    return true;
}

/* ---- TimeSpan */

EXPR_FN(span_of)
{
    *out = (struct pn_expr_value){.type = PN_EXPR_SPAN};
    return scale(run, args[0].d, &out->i);
}

EXPR_FN(total_of)
{
    *out = (struct pn_expr_value){.type = PN_EXPR_DOUBLE,
                                  .d = (double)self->i / (double)run->member->number};
    return true;
}

EXPR_FN(part_of_span)
{
    static const int64_t units[] = {DAY, HOUR, MINUTE, SECOND, 1};
    static const int64_t wraps[] = {INT64_MAX, 24, 60, 60, 1000};

    *out = pn_expr_int(self->i / units[run->member->number] % wraps[run->member->number]);
    return true;
}

#define T PN_EXPR_TIME
#define N PN_EXPR_SPAN
#define I PN_EXPR_INT
#define D PN_EXPR_DOUBLE
#define O PN_EXPR_CLASS_OFFSET

const struct expr_member expr_time_members[] = {
    {T, "UtcNow", NULL, T, now, true, 0},
    {T, "Now", NULL, T, now, true, 0},
    {T, "Today", NULL, T, now, true, 1},
    {O, "UtcNow", NULL, T, now, true, 0},
    {O, "Now", NULL, T, now, true, 0},
    {T, "MinValue", NULL, T, border, true, 0},
    {T, "MaxValue", NULL, T, border, true, 1},
    {T, "Parse", "s", T, parse_time, true, 0},
    {T, "AddDays", "d", T, add, false, DAY},
    {T, "AddHours", "d", T, add, false, HOUR},
    {T, "AddMinutes", "d", T, add, false, MINUTE},
    {T, "AddSeconds", "d", T, add, false, SECOND},
    {T, "AddMilliseconds", "d", T, add, false, 1},
    {T, "AddMonths", "i", T, add_months, false, 1},
    {T, "AddYears", "i", T, add_months, false, 12},
    {T, "Add", "n", T, add_span, false, 1},
    {T, "Subtract", "n", T, add_span, false, -1},
    {T, "Subtract", "t", N, subtract_time, false, 0},
    {T, "Year", NULL, I, part_of_time, false, YEAR},
    {T, "Month", NULL, I, part_of_time, false, MONTH},
    {T, "Day", NULL, I, part_of_time, false, DAY_OF_MONTH},
    {T, "Hour", NULL, I, part_of_time, false, HOURS},
    {T, "Minute", NULL, I, part_of_time, false, MINUTES},
    {T, "Second", NULL, I, part_of_time, false, SECONDS},
    {T, "Millisecond", NULL, I, part_of_time, false, MILLISECONDS},
    {T, "DayOfYear", NULL, I, part_of_time, false, DAY_OF_YEAR},
    {T, "Date", NULL, T, date_of, false, 0},
    {T, "Ticks", NULL, PN_EXPR_LONG, ticks_of, false, 0},
    {T, "ToUnixTimeSeconds", "", PN_EXPR_LONG, unix_time, false, SECOND},
    {T, "ToUnixTimeMilliseconds", "", PN_EXPR_LONG, unix_time, false, 1},
    {N, "FromDays", "d", N, span_of, true, DAY},
    {N, "FromHours", "d", N, span_of, true, HOUR},
    {N, "FromMinutes", "d", N, span_of, true, MINUTE},
    {N, "FromSeconds", "d", N, span_of, true, SECOND},
    {N, "FromMilliseconds", "d", N, span_of, true, 1},
    {N, "TotalDays", NULL, D, total_of, false, DAY},
    {N, "TotalHours", NULL, D, total_of, false, HOUR},
    {N, "TotalMinutes", NULL, D, total_of, false, MINUTE},
    {N, "TotalSeconds", NULL, D, total_of, false, SECOND},
    {N, "TotalMilliseconds", NULL, D, total_of, false, 1},
    {N, "Days", NULL, I, part_of_span, false, 0},
    {N, "Hours", NULL, I, part_of_span, false, 1},
    {N, "Minutes", NULL, I, part_of_span, false, 2},
    {N, "Seconds", NULL, I, part_of_span, false, 3},
    {N, "Milliseconds", NULL, I, part_of_span, false, 4},
    {.name = NULL},
};
