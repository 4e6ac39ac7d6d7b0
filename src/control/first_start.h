/* SPDX-License-Identifier: Apache-2.0
 *
 * What exists when Postern is started for the first time: a subscription, a resource group, one
 * service with a system-assigned identity, one vault that this identity may read, and an
 * administrator.
 */
#pragma once

#include "arm/arm.h"
#include "control/settings.h"

struct pn_authority;
struct pn_vault;

struct pn_first_start {
    struct pn_store *store;
    struct pn_arm_services *services;
    struct pn_authority *authority;
    struct pn_vault *vault;
    const char *data_dir;
};

/** Does what is missing; the administrator's secret goes to DIR/admin.secret (mode 0600) and
 * nowhere else. Each later start only renews what the gateway must know (its listener's
 * certificate). What the rooms say. */
enum pn_rc pn_first_start_run(const struct pn_first_start *parts, struct pn_settings *settings,
                              struct pn_error *err) PN_MUST_USE;
