/* SPDX-License-Identifier: Apache-2.0
 *
 * What the first start made and every later start reads: ids, the private CA of Postern's own
 * listeners, and their certificates (public parts). One resource of the store, "/postern/settings".
 *
 * Every step of the first start does only what is missing, and the mark that it is complete comes
 * last: a kill in the middle is repaired by the next start.
 */
#pragma once

#include <jansson.h>

#include "base/encode.h"
#include "base/error.h"

#define PN_SETTINGS_ID   "/postern/settings"
#define PN_SETTINGS_TYPE "postern/settings"

struct pn_store;

struct pn_settings {
    json_t *body; /* the stored document */
    /* Borrowed from body. */
    const char *tenant_id, *subscription_id, *resource_group, *service_name, *location;
    const char *service_principal_id, *service_client_id; /* the system-assigned identity */
    const char *admin_client_id, *admin_object_id;
    bool is_complete; /* the first start has been done to its end */
};

/** Reads the settings, or makes new ids and stores them. What the store says; PN_NOMEM. */
enum pn_rc pn_settings_load(struct pn_store *store, struct pn_settings *settings,
                            struct pn_error *err) PN_MUST_USE;
/** Stores the body as it is now. */
enum pn_rc pn_settings_save(struct pn_store *store, struct pn_settings *settings,
                            struct pn_error *err) PN_MUST_USE;
void pn_settings_fini(struct pn_settings *settings);
