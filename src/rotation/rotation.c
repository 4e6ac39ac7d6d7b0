/* SPDX-License-Identifier: Apache-2.0
 *
 * The life of the follower, what wakes it, and the refresh that a person asks for.
 */
#include "rotation/rotation.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/json.h"
#include "rotation/rotation_internal.h"
#include "store/store.h"

#define REFRESH_TRIES 3

enum pn_rc pn_rotation_create(const struct pn_rotation_config *config,
                              struct pn_rotation **rotation, struct pn_error *err)
{
    struct pn_rotation *made = calloc(1, sizeof *made);
    pthread_condattr_t attributes;

    if (made)
        made->notices = calloc(NOTICES_MAX, sizeof(*made->notices));
    if (!made || !made->notices) {
        free(made);
        return pn_error_set(err, PN_NOMEM, "rotation", "out of memory");
    }
    made->config = *config;
    made->interval_s = config->interval_s ? config->interval_s : PN_ROTATION_INTERVAL_S;
    made->now_ms = config->now_ms ? config->now_ms : pn_clock_unix_ms;
    made->mono_ms = config->mono_ms ? config->mono_ms : pn_clock_monotonic_ms;
    pthread_mutex_init(&made->lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&made->wake, &attributes);
    pthread_condattr_destroy(&attributes);
    *rotation = made;
    return PN_OK;
}

void pn_rotation_set_values(struct pn_rotation *rotation, pn_value_fn apply, void *ctx)
{
    rotation->config.apply_value = apply;
    rotation->config.apply_value_ctx = ctx;
}

enum pn_rc pn_rotation_start(struct pn_rotation *rotation, struct pn_error *err)
{
    int failed = pthread_create(&rotation->thread, NULL, rotation_thread, rotation);

    if (failed)
        return pn_error_from_errno(err, failed, "cannot start the rotation thread");
    rotation->has_thread = true;
    return PN_OK;
}

void pn_rotation_destroy(struct pn_rotation *rotation)
{
    if (!rotation)
        return;
    pthread_mutex_lock(&rotation->lock);
    rotation->is_stopping = true;
    pthread_cond_signal(&rotation->wake);
    pthread_mutex_unlock(&rotation->lock);
    if (rotation->has_thread)
        pthread_join(rotation->thread, NULL);
    rotation_drop_followed(rotation);
    pthread_cond_destroy(&rotation->wake);
    pthread_mutex_destroy(&rotation->lock);
    free(rotation->notices);
    free(rotation);
}

static void note(struct pn_rotation *rotation, const struct notice *notice)
{
    bool is_known = false;

    pthread_mutex_lock(&rotation->lock);
    for (size_t i = 0; i < rotation->notice_count && !is_known; i++)
        is_known = memcmp(&rotation->notices[i], notice, sizeof(*notice)) == 0;
    if (!is_known && rotation->notice_count == NOTICES_MAX)
        rotation->notices_overflowed = true;
    else if (!is_known)
        rotation->notices[rotation->notice_count++] = *notice;
    pthread_cond_signal(&rotation->wake);
    pthread_mutex_unlock(&rotation->lock);
}

void pn_rotation_notify(struct pn_rotation *rotation, const char *vault, const char *name)
{
    struct notice notice = {0};

    snprintf(notice.vault, sizeof notice.vault, "%s", vault);
    snprintf(notice.name, sizeof notice.name, "%s", name ? name : "");
    note(rotation, &notice);
}

void pn_rotation_notify_object(struct pn_rotation *rotation, const struct pn_keyvault_id *id)
{
    struct notice notice = {0};

    snprintf(notice.origin, sizeof notice.origin, "%s", id->origin);
    snprintf(notice.name, sizeof notice.name, "%s", id->name);
    note(rotation, &notice);
}

void pn_rotation_rescan(struct pn_rotation *rotation)
{
    pthread_mutex_lock(&rotation->lock);
    rotation->needs_scan = true;
    pthread_cond_signal(&rotation->wake);
    pthread_mutex_unlock(&rotation->lock);
}

/* What a refresh needs to know of a stored certificate; heap texts. */
struct reference {
    char *id, *service_id, *identifier, *client_id;
};

static void reference_fini(struct reference *reference)
{
    free(reference->id);
    free(reference->service_id);
    free(reference->identifier);
    free(reference->client_id);
}

static enum pn_rc reference_load(struct pn_rotation *rotation, const char *certificate_id,
                                 struct reference *reference, struct pn_error *err)
{
    struct pn_store_item item = {0};
    struct pn_slice service;
    const json_t *key_vault;
    const char *identifier, *client_id;
    enum pn_rc rc = pn_store_get(rotation->config.store, certificate_id, &item, err);

    if (rc != PN_OK)
        return rc;
    key_vault = json_object_get(json_object_get(item.body, "properties"), "keyVault");
    identifier = pn_json_str(key_vault, "secretIdentifier");
    client_id = pn_json_str(key_vault, "identityClientId");
    service = pn_slice_str(item.id);
    for (int slashes = 0; service.len > 0 && slashes < 2; service.len--)
        slashes += service.ptr[service.len - 1] == '/';
    if (!identifier) {
        rc = pn_error_set(err, PN_INVALID, "not_key_vault",
                          "the certificate does not come from a key vault: there is nothing to "
                          "refresh");
    } else {
        reference->id = strdup(item.id);
        reference->service_id = pn_slice_dup(service);
        reference->identifier = strdup(identifier);
        reference->client_id = strdup(client_id ? client_id : "");
        if (!reference->id || !reference->service_id || !reference->identifier ||
            !reference->client_id)
            rc = PN_NOMEM;
    }
    pn_store_item_fini(&item);
    return rc;
}

enum pn_rc pn_rotation_refresh(struct pn_rotation *rotation, const char *certificate_id,
                               struct pn_error *err)
{
    struct reference reference = {0};
    enum pn_rc rc = reference_load(rotation, certificate_id, &reference, err);

    for (int i = 0; rc == PN_OK && i < REFRESH_TRIES; i++) {
        struct pn_fetched fetched;
        struct pn_error failure = {0};
        enum pn_rc fetch_rc = pn_rotation_fetch_certificate(
            rotation, PN_USE_CLIENT, reference.service_id, reference.identifier,
            reference.client_id, &fetched, &failure);

        if (fetch_rc != PN_OK && failure.rc == PN_OK)
            pn_error_set(&failure, fetch_rc, "internal", "the fetch failed: %s",
                         pn_rc_name(fetch_rc));
        rc = rotation_apply(rotation, reference.id, reference.identifier,
                            fetch_rc == PN_OK ? &fetched : NULL, &failure, true, err);
        if (fetch_rc == PN_OK) { /* nobody may have taken it: deleted or replaced meanwhile */
            pn_rotation_forget_unused(rotation, PN_USE_CLIENT, &fetched.imported.key);
            pn_fetched_fini(&fetched);
        }
        if (rc != PN_AGAIN)
            break;
        rc = i + 1 < REFRESH_TRIES ? PN_OK
                                   : pn_error_set(err, PN_UNAVAILABLE, "keyholder_unavailable",
                                                  "other requests changed the certificate, or had "
                                                  "its key forgotten, whenever it was fetched");
    }
    reference_fini(&reference);
    return rc;
}
