/* SPDX-License-Identifier: Apache-2.0
 *
 * See forecast.h.
 */
#include "events/forecast.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "store/store.h"

#define CERTIFICATE_TYPE "Microsoft.ApiManagement/service/certificates"
#define HOSTNAME_TYPE    "postern/hostname"
#define DAY_S            86400

struct pn_forecast {
    struct pn_store *store;
    struct pn_thresholds thresholds;
    pthread_mutex_t lock;
    /* guarded by lock: what is remembered for pn_forecast_print */
    struct pn_expiries known;
    uint64_t revision, read_ms;
    bool is_known;
};

/* ---- thresholds ---- */

static int descending(const void *a, const void *b)
{
    unsigned x = *(const unsigned *)a, y = *(const unsigned *)b;

    return (x < y) - (x > y);
}

enum pn_rc pn_thresholds_parse(const char *text, struct pn_thresholds *thresholds,
                               struct pn_error *err)
{
    struct pn_slice rest = pn_slice_str(text);
    struct pn_slice part = {0};
    uint64_t days = 0;

    memset(thresholds, 0, sizeof(*thresholds));
    while (pn_slice_cut(&rest, ',', &part)) {
        if (thresholds->count == PN_THRESHOLDS_MAX ||
            !pn_slice_to_u64(part, PN_THRESHOLD_DAYS_MAX, &days) || days == 0)
            return pn_error_set(err, PN_INVALID, "thresholds",
                                "1 to %d numbers of days from 1 to %d, by commas",
                                PN_THRESHOLDS_MAX, PN_THRESHOLD_DAYS_MAX);
        thresholds->days[thresholds->count++] = (unsigned)days;
    }
    if (thresholds->count == 0 || text[strlen(text) - 1] == ',')
        return pn_error_set(err, PN_INVALID, "thresholds", "there is no number of days");
    qsort(thresholds->days, thresholds->count, sizeof(thresholds->days[0]), descending);
    return PN_OK;
}

int64_t pn_expiry_days(int64_t expires_s, int64_t now_s)
{
    int64_t left_s = expires_s - now_s;

    return left_s >= 0 ? left_s / DAY_S : -1 - (-left_s - 1) / DAY_S;
}

int pn_thresholds_reached(const struct pn_thresholds *thresholds, int64_t expires_s, int64_t now_s)
{
    int reached = PN_THRESHOLD_NONE;

    if (expires_s < now_s)
        return PN_THRESHOLD_EXPIRED;
    for (size_t i = 0; i < thresholds->count; i++) {
        if (expires_s - now_s <= (int64_t)thresholds->days[i] * DAY_S)
            reached = (int)thresholds->days[i];
    }
    return reached;
}

/* ---- the list ---- */

void pn_expiries_fini(struct pn_expiries *expiries)
{
    for (size_t i = 0; i < expiries->count; i++)
        free(expiries->items[i].id);
    free(expiries->items);
    *expiries = (struct pn_expiries){0};
}

static int earlier(const void *a, const void *b)
{
    const struct pn_expiry *x = a, *y = b;

    if (x->expires_s != y->expires_s)
        return (x->expires_s > y->expires_s) - (x->expires_s < y->expires_s);
    return strcmp(x->id, y->id);
}

/** What has an end, behind those that are there. PN_NOMEM. */
static enum pn_rc add_all(struct pn_expiries *expiries, const struct pn_store_list *list,
                          bool is_host)
{
    struct pn_expiry *items =
        reallocarray(expiries->items, expiries->count + list->count + 1, sizeof(*items));

    if (!items)
        return PN_NOMEM;
    expiries->items = items;
    for (size_t i = 0; i < list->count; i++) {
        const struct pn_store_item *item = &list->items[i];
        const json_t *properties = json_object_get(item->body, "properties");
        const char *name = is_host ? pn_json_str(properties, "hostName") : strrchr(item->id, '/');
        struct pn_expiry *expiry = &items[expiries->count];

        *expiry = (struct pn_expiry){.is_host = is_host};
        if (!name ||
            !pn_time_parse_iso8601(pn_json_slice(properties, "expirationDate"), &expiry->expires_s))
            continue;
        expiry->id = strdup(item->id);
        if (!expiry->id)
            return PN_NOMEM;
        snprintf(expiry->name, sizeof(expiry->name), "%s", is_host ? name : name + 1);
        expiry->generation =
            (uint64_t)pn_json_int(json_object_get(item->body, "internal"), "generation", 1);
        expiries->count++;
    }
    return PN_OK;
}

enum pn_rc pn_forecast_read(struct pn_forecast *forecast, struct pn_expiries *expiries,
                            struct pn_error *err)
{
    static const char *const types[] = {CERTIFICATE_TYPE, HOSTNAME_TYPE};
    enum pn_rc rc = PN_OK;

    *expiries = (struct pn_expiries){0};
    for (size_t i = 0; rc == PN_OK && i < sizeof(types) / sizeof(types[0]); i++) {
        struct pn_store_list list = {0};

        rc = pn_store_list(forecast->store, "/subscriptions/", types[i], &list, err);
        if (rc == PN_OK && add_all(expiries, &list, i == 1) != PN_OK)
            rc = pn_error_set(err, PN_NOMEM, "out_of_memory", "out of memory");
        pn_store_list_fini(&list);
    }
    if (rc == PN_OK && expiries->count > 0)
        qsort(expiries->items, expiries->count, sizeof(*expiries->items), earlier);
    if (rc != PN_OK)
        pn_expiries_fini(expiries);
    return rc;
}

enum pn_rc pn_forecast_create(struct pn_store *store, const struct pn_thresholds *thresholds,
                              struct pn_forecast **forecast)
{
    struct pn_forecast *made = calloc(1, sizeof(*made));

    if (!made)
        return PN_NOMEM;
    made->store = store;
    made->thresholds = *thresholds;
    pthread_mutex_init(&made->lock, NULL);
    *forecast = made;
    return PN_OK;
}

void pn_forecast_destroy(struct pn_forecast *forecast)
{
    if (!forecast)
        return;
    pn_expiries_fini(&forecast->known);
    pthread_mutex_destroy(&forecast->lock);
    free(forecast);
}

/* ---- metrics ---- */

/* With the lock. */
static enum pn_rc refresh(struct pn_forecast *forecast)
{
    uint64_t revision = pn_store_revision(forecast->store);
    uint64_t now_ms = pn_clock_monotonic_ms();
    struct pn_expiries expiries = {0};
    struct pn_error err = {0};
    enum pn_rc rc;

    if (forecast->is_known &&
        (forecast->revision == revision || now_ms - forecast->read_ms < PN_FORECAST_FRESH_MS))
        return PN_OK;
    rc = pn_forecast_read(forecast, &expiries, &err);
    if (rc != PN_OK)
        return rc;
    pn_expiries_fini(&forecast->known);
    forecast->known = expiries;
    forecast->revision = revision;
    forecast->read_ms = now_ms;
    forecast->is_known = true;
    return PN_OK;
}

/* A label's value: backslash, quote and line feed are escaped; other control bytes are not in
 * names. */
static enum pn_rc print_label(struct pn_buf *out, const char *text)
{
    enum pn_rc rc = PN_OK;

    for (; *text && rc == PN_OK; text++) {
        if (*text == '\\' || *text == '"')
            rc = pn_buf_printf(out, "\\%c", *text);
        else if (*text == '\n')
            rc = pn_buf_printf(out, "\\n");
        else
            rc = pn_buf_append(out, text, 1);
    }
    return rc;
}

/* The same name may be in several. */
static enum pn_rc print_workspace(struct pn_buf *out, const char *id)
{
    const char *at = strcasestr(id, "/workspaces/");
    size_t len = at ? strcspn(at + strlen("/workspaces/"), "/") : 0;
    char name[PN_FORECAST_NAME_MAX];
    enum pn_rc rc;

    if (len == 0)
        return PN_OK;
    snprintf(name, sizeof(name), "%.*s", (int)len, at + strlen("/workspaces/"));
    rc = pn_buf_printf(out, "\",workspace=\"");
    return rc == PN_OK ? print_label(out, name) : rc;
}

static enum pn_rc print_days(const struct pn_expiries *known, int64_t now_s, struct pn_buf *out)
{
    enum pn_rc rc = pn_buf_printf(
        out,
        "# HELP postern_certificate_expiry_days Days until the current generation of a "
        "certificate, or of a listener's (host), expires; below 0: it has. Of the %d that end "
        "first.\n"
        "# TYPE postern_certificate_expiry_days gauge\n",
        PN_FORECAST_METRICS_MAX);

    for (size_t i = 0; rc == PN_OK && i < known->count && i < PN_FORECAST_METRICS_MAX; i++) {
        const struct pn_expiry *expiry = &known->items[i];

        rc = pn_buf_printf(out, "postern_certificate_expiry_days{%s=\"",
                           expiry->is_host ? "host" : "certificate");
        if (rc == PN_OK)
            rc = print_label(out, expiry->name);
        if (rc == PN_OK)
            rc = print_workspace(out, expiry->id);
        if (rc == PN_OK)
            rc = pn_buf_printf(out, "\",generation=\"%llu\"} %.3f\n",
                               (unsigned long long)expiry->generation,
                               (double)(expiry->expires_s - now_s) / DAY_S);
    }
    return rc;
}

static size_t count_within(const struct pn_expiries *known, int64_t until_s)
{
    size_t count = 0;

    while (count < known->count && known->items[count].expires_s <= until_s)
        count++;
    return count;
}

enum pn_rc pn_forecast_print(struct pn_forecast *forecast, int64_t now_s, struct pn_buf *out)
{
    enum pn_rc rc;

    pthread_mutex_lock(&forecast->lock);
    rc = refresh(forecast);
    if (rc == PN_OK)
        rc = print_days(&forecast->known, now_s, out);
    if (rc == PN_OK)
        rc = pn_buf_printf(out,
                           "# HELP postern_certificates_expiring Certificates that have expired "
                           "(within_days=\"0\") or will within so many days.\n"
                           "# TYPE postern_certificates_expiring gauge\n"
                           "postern_certificates_expiring{within_days=\"0\"} %zu\n",
                           count_within(&forecast->known, now_s - 1));
    for (size_t i = forecast->thresholds.count; rc == PN_OK && i-- > 0;)
        rc = pn_buf_printf(
            out, "postern_certificates_expiring{within_days=\"%u\"} %zu\n",
            forecast->thresholds.days[i],
            count_within(&forecast->known, now_s + (int64_t)forecast->thresholds.days[i] * DAY_S));
    pthread_mutex_unlock(&forecast->lock);
    return rc;
}
