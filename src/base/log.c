/* SPDX-License-Identifier: Apache-2.0
 *
 * Log lines: logfmt, one write per line.
 */
#include "base/log.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"

static const char *process_name = "postern";
static atomic_int lowest_level = PN_LOG_INFO;

struct line {
    char text[PN_LOG_LINE_MAX];
    size_t len;
    bool is_cut;
};

static const char *const level_names[] = {"debug", "info", "warn", "error"};

void pn_log_setup(const char *process, enum pn_log_level level)
{
    process_name = process;
    atomic_store_explicit(&lowest_level, (int)level, memory_order_relaxed);
}

void pn_log_set_level(enum pn_log_level level)
{
    atomic_store_explicit(&lowest_level, (int)level, memory_order_relaxed);
}

bool pn_log_level_parse(struct pn_slice text, enum pn_log_level *level)
{
    for (size_t i = 0; i < sizeof(level_names) / sizeof(level_names[0]); i++) {
        if (pn_slice_eq_str(text, level_names[i])) {
            *level = (enum pn_log_level)i;
            return true;
        }
    }
    return false;
}

const char *pn_log_level_name(enum pn_log_level level)
{
    return level_names[level];
}

bool pn_log_enabled(enum pn_log_level level)
{
    return (int)level >= atomic_load_explicit(&lowest_level, memory_order_relaxed);
}

/* Room is kept for the mark of a cut line and the line end. */
#define LINE_ROOM (PN_LOG_LINE_MAX - 16)

static void put(struct line *line, const char *bytes, size_t len)
{
    if (line->len + len > LINE_ROOM) {
        line->is_cut = true;
        return;
    }
    memcpy(line->text + line->len, bytes, len);
    line->len += len;
}

static bool needs_quotes(struct pn_slice value)
{
    for (size_t i = 0; i < value.len; i++) {
        unsigned char c = (unsigned char)value.ptr[i];

        if (c <= ' ' || c == '"' || c == '=' || c == '\\' || c == 0x7f)
            return true;
    }
    return value.len == 0;
}

static void put_quoted(struct line *line, struct pn_slice value)
{
    put(line, "\"", 1);
    for (size_t i = 0; i < value.len && !line->is_cut; i++) {
        unsigned char c = (unsigned char)value.ptr[i];
        char escape[8];

        if (c == '"' || c == '\\')
            snprintf(escape, sizeof(escape), "\\%c", c);
        else if (c < ' ' || c == 0x7f)
            snprintf(escape, sizeof(escape), "\\x%02x", c);
        else
            snprintf(escape, sizeof(escape), "%c", c);
        put(line, escape, strlen(escape));
    }
    put(line, "\"", 1);
}

static void put_pair(struct line *line, const char *key, struct pn_slice value)
{
    put(line, " ", 1);
    put(line, key, strlen(key));
    put(line, "=", 1);
    if (needs_quotes(value))
        put_quoted(line, value);
    else
        put(line, value.ptr, value.len);
}

static void start_line(struct line *line, enum pn_log_level level, const char *event)
{
    int64_t now_ms = pn_clock_unix_ms();
    char time_text[PN_TIME_TEXT];
    char stamp[64];

    pn_time_iso8601(now_ms / 1000, time_text);
    snprintf(stamp, sizeof(stamp), "ts=%.19s.%03dZ", time_text, (int)(now_ms % 1000));
    line->len = 0;
    line->is_cut = false;
    put(line, stamp, strlen(stamp));
    put_pair(line, "level", pn_slice_str(level_names[level]));
    put_pair(line, "process", pn_slice_str(process_name));
    put_pair(line, "event", pn_slice_str(event));
}

static void end_line(struct line *line)
{
    static const char mark[] = " cut=true";
    ssize_t ignored;

    if (line->is_cut) {
        memcpy(line->text + line->len, mark, sizeof(mark) - 1);
        line->len += sizeof(mark) - 1;
    }
    line->text[line->len++] = '\n';
    ignored = write(STDERR_FILENO, line->text, line->len);
    (void)ignored; /* nowhere to tell that logging failed */
}

void pn_log(enum pn_log_level level, const char *event, ...)
{
    struct line line;
    va_list args;
    const char *key;

    if (!pn_log_enabled(level))
        return;
    start_line(&line, level, event);
    va_start(args, event);
    for (key = va_arg(args, const char *); key; key = va_arg(args, const char *)) {
        const struct pn_log_value *value = va_arg(args, const struct pn_log_value *);
        char number[32];

        switch (value->kind) {
        case PN_LOG_STR:
            put_pair(&line, key, pn_slice_str(value->str));
            break;
        case PN_LOG_SLICE:
            put_pair(&line, key, value->slice);
            break;
        case PN_LOG_INT:
            snprintf(number, sizeof(number), "%lld", (long long)value->number);
            put_pair(&line, key, pn_slice_str(number));
            break;
        }
    }
    va_end(args);
    end_line(&line);
}

void pn_log_error(enum pn_log_level level, const char *event, const struct pn_error *err)
{
    pn_log(level, event, "code", PN_S(err->code), "message", PN_S(err->message), NULL);
}
