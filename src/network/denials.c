/* SPDX-License-Identifier: Apache-2.0
 *
 * See denials.h.
 */
#include "network/denials.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"

#define RULE_TEXT 96

struct pair {
    enum pn_outbound_kind kind;
    char rule[RULE_TEXT];
    uint64_t count, told; /* of these, in the log */
    uint64_t told_ms;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct pair pairs[PN_DENIALS_MAX];
static size_t pair_count;

const char *pn_outbound_kind_name(enum pn_outbound_kind kind)
{
    static const char *const names[PN_OUTBOUND_KIND_COUNT] = {
        [PN_OUTBOUND_BACKEND] = "backend", [PN_OUTBOUND_PROBE] = "probe",
        [PN_OUTBOUND_VAULT] = "vault",     [PN_OUTBOUND_AUTHORITY] = "authority",
        [PN_OUTBOUND_ISSUER] = "issuer",   [PN_OUTBOUND_WEBHOOK] = "webhook",
    };

    return names[kind];
}

/* NULL: the table is full. The last place of a kind is kept for its "other". */
static struct pair *find(struct pair *list, size_t *count, enum pn_outbound_kind kind,
                         struct pn_slice rule)
{
    size_t kept = pn_slice_eq_str(rule, "other") ? 0 : PN_OUTBOUND_KIND_COUNT;

    for (size_t i = 0; i < *count; i++) {
        if (list[i].kind == kind && pn_slice_eq_str(rule, list[i].rule))
            return &list[i];
    }
    if (*count + kept >= PN_DENIALS_MAX)
        return kept == 0 ? NULL : find(list, count, kind, PN_LIT("other"));
    list[*count] = (struct pair){.kind = kind};
    (void)snprintf(list[*count].rule, RULE_TEXT, "%.*s",
                   PN_FMT(pn_slice_sub(rule, 0, RULE_TEXT - 1)));
    return &list[(*count)++];
}

void pn_denial_note(enum pn_outbound_kind kind, const char *rule, const char *words)
{
    uint64_t now_ms = pn_clock_monotonic_ms(), untold = 0;
    struct pair *pair;

    pthread_mutex_lock(&lock);
    pair = find(pairs, &pair_count, kind, pn_slice_str(rule));
    if (pair) {
        pair->count++;
        if (pair->told == 0 || now_ms - pair->told_ms >= PN_DENIALS_PAUSE_MS) {
            untold = pair->count - pair->told;
            pair->told = pair->count;
            pair->told_ms = now_ms;
        }
    }
    pthread_mutex_unlock(&lock);
    if (untold > 0)
        pn_log(PN_LOG_WARN, "outbound_denied", "kind", PN_S(pn_outbound_kind_name(kind)), "rule",
               PN_S(rule), "count", PN_I(untold), "cause", PN_S(words), NULL);
}

void pn_denials_reset(void)
{
    pthread_mutex_lock(&lock);
    pair_count = 0;
    pthread_mutex_unlock(&lock);
}

enum pn_rc pn_denials_write(struct pn_buf *out)
{
    enum pn_rc rc = PN_OK;

    pthread_mutex_lock(&lock);
    for (size_t i = 0; rc == PN_OK && i < pair_count; i++)
        rc = pn_buf_printf(out, "%s %s %llu\n", pn_outbound_kind_name(pairs[i].kind), pairs[i].rule,
                           (unsigned long long)pairs[i].count);
    pthread_mutex_unlock(&lock);
    return rc;
}

static bool kind_from(struct pn_slice name, enum pn_outbound_kind *kind)
{
    for (int i = 0; i < PN_OUTBOUND_KIND_COUNT; i++) {
        *kind = (enum pn_outbound_kind)i;
        if (pn_slice_eq_str(name, pn_outbound_kind_name(*kind)))
            return true;
    }
    return false;
}

/* What the other process says is a peer's: nothing else may come into the metric's label. */
static bool is_rule(struct pn_slice rule)
{
    for (size_t i = 0; i < rule.len; i++) {
        char c = rule.ptr[i];

        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              c == '-' || c == '_' || c == '.'))
            return false;
    }
    return rule.len > 0 && rule.len < RULE_TEXT;
}

static void add_line(struct pair *list, size_t *count, struct pn_slice line)
{
    struct pn_slice name = {0}, rule = {0};
    enum pn_outbound_kind kind;
    struct pair *pair;
    uint64_t number;

    if (!pn_slice_cut(&line, ' ', &name) || !pn_slice_cut(&line, ' ', &rule) || !is_rule(rule) ||
        !kind_from(name, &kind) || !pn_slice_to_u64(line, UINT64_MAX, &number))
        return;
    pair = find(list, count, kind, rule);
    if (pair)
        pair->count += number;
}

enum pn_rc pn_denials_print(struct pn_slice others, struct pn_buf *out)
{
    struct pair sum[PN_DENIALS_MAX];
    struct pn_slice line = {0};
    size_t count;
    enum pn_rc rc;

    pthread_mutex_lock(&lock);
    count = pair_count;
    memcpy(sum, pairs, count * sizeof(sum[0]));
    pthread_mutex_unlock(&lock);
    while (pn_slice_cut(&others, '\n', &line))
        add_line(sum, &count, line);
    rc = pn_buf_printf(out, "# HELP postern_outbound_denied_total Connections that were not made "
                            "because a network rule, or a guarded address, denies them.\n"
                            "# TYPE postern_outbound_denied_total counter\n");
    for (size_t i = 0; rc == PN_OK && i < count; i++)
        rc = pn_buf_printf(out, "postern_outbound_denied_total{kind=\"%s\",rule=\"%s\"} %llu\n",
                           pn_outbound_kind_name(sum[i].kind), sum[i].rule,
                           (unsigned long long)sum[i].count);
    return rc;
}
