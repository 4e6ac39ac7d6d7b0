/* SPDX-License-Identifier: Apache-2.0
 *
 * When certificates expire: what is in the store, as a short list, remembered as long as the store
 * has not changed. Any thread.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/error.h"

struct pn_store;
struct pn_forecast;

#define PN_FORECAST_NAME_MAX    257
#define PN_FORECAST_METRICS_MAX 500  /* certificates with a line of their own at /metrics */
#define PN_FORECAST_FRESH_MS    5000 /* a list is not read again sooner */
#define PN_THRESHOLDS_MAX       8
#define PN_THRESHOLD_DAYS_MAX   3650

/** Days before the end at which something is told, descending. */
struct pn_thresholds {
    unsigned days[PN_THRESHOLDS_MAX];
    size_t count;
};
/** "30,14,7,1", in any order. PN_INVALID. */
enum pn_rc pn_thresholds_parse(const char *text, struct pn_thresholds *thresholds,
                               struct pn_error *err) PN_MUST_USE;
#define PN_THRESHOLDS_DEFAULT "30,14,7,1"

struct pn_expiry {
    char *id;                        /* heap */
    char name[PN_FORECAST_NAME_MAX]; /* of the certificate, or the host name */
    bool is_host;                    /* of a host name of the listener */
    uint64_t generation;             /* the current one */
    int64_t expires_s;               /* Unix time; notAfter */
};
struct pn_expiries {
    struct pn_expiry *items; /* the one that ends first comes first */
    size_t count;
};
void pn_expiries_fini(struct pn_expiries *expiries);
/** Whole days that are left, rounded down; below 0: it has expired. */
int64_t pn_expiry_days(int64_t expires_s, int64_t now_s);
/** The tightest threshold that is reached: PN_THRESHOLD_NONE, PN_THRESHOLD_EXPIRED, or its days. */
int pn_thresholds_reached(const struct pn_thresholds *thresholds, int64_t expires_s, int64_t now_s);
#define PN_THRESHOLD_NONE    (-1)
#define PN_THRESHOLD_EXPIRED 0

/** PN_NOMEM. `store` is borrowed. */
enum pn_rc pn_forecast_create(struct pn_store *store, const struct pn_thresholds *thresholds,
                              struct pn_forecast **forecast) PN_MUST_USE;
void pn_forecast_destroy(struct pn_forecast *forecast);
/** All certificates, those of host names too, read now. What the store says. */
enum pn_rc pn_forecast_read(struct pn_forecast *forecast, struct pn_expiries *expiries,
                            struct pn_error *err) PN_MUST_USE;
/** Prometheus lines: postern_certificate_expiry_days{certificate,generation} of those that end
 * first ({host,generation} of a host name of the listener), and
 * postern_certificates_expiring{within_days} of all. PN_LIMIT, PN_NOMEM; what the store says. */
enum pn_rc pn_forecast_print(struct pn_forecast *forecast, int64_t now_s,
                             struct pn_buf *out) PN_MUST_USE;
