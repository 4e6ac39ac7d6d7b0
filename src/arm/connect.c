/* SPDX-License-Identifier: Apache-2.0
 *
 * The real services of the REST API: authority, roles, keyholder, rotation.
 */
#include "arm/arm.h"
#include "base/clock.h"
#include "ipc/probe.h"
#include "rotation/generation.h"
#include "rotation/rotation.h"

#define SEAL_DOMAIN "store"

static enum pn_rc authenticate(void *ctx, struct pn_slice token, const char *const *audiences,
                               struct pn_principal *principal, struct pn_error *err)
{
    struct pn_arm_connection *connection = ctx;

    return pn_token_verify(connection->verifier, token, audiences, principal, err);
}

static enum pn_rc authorize(void *ctx, const struct pn_principal *principal, const char *action,
                            const char *scope, struct pn_error *err)
{
    struct pn_arm_connection *connection = ctx;

    return pn_authorize(connection->store, principal, action, scope, err);
}

static enum pn_rc import(void *ctx, enum pn_key_use use, struct pn_slice file,
                         struct pn_slice password, struct pn_imported *imported,
                         struct pn_error *err)
{
    struct pn_arm_connection *connection = ctx;

    return pn_keyholder_import(connection->keyholder, use, file, password, imported, err);
}

static enum pn_rc import_soon(void *ctx, enum pn_key_use use, struct pn_slice file,
                              struct pn_slice password, struct pn_imported *imported,
                              struct pn_error *err)
{
    struct pn_arm_connection *connection = ctx;

    return pn_keyholder_import_soon(connection->keyholder, use, file, password, imported, err);
}

static enum pn_rc check(void *ctx, struct pn_slice file, struct pn_slice password,
                        struct pn_imported *imported, struct pn_error *err)
{
    struct pn_arm_connection *connection = ctx;

    return pn_keyholder_check(connection->keyholder, file, password, imported, err);
}

static enum pn_rc has_key(void *ctx, enum pn_key_use use, const struct pn_key_id *key,
                          struct pn_error *err)
{
    struct pn_arm_connection *connection = ctx;

    return pn_keyholder_settle(connection->keyholder, use, key, err);
}

static void forget_unused(void *ctx, enum pn_key_use use, const struct pn_key_id *key)
{
    struct pn_arm_connection *connection = ctx;

    pn_rotation_forget_unused(connection->rotation, use, key);
}

static enum pn_rc seal(void *ctx, struct pn_slice context, struct pn_slice plain,
                       struct pn_buf *sealed, struct pn_error *err)
{
    struct pn_arm_connection *connection = ctx;

    return pn_keyholder_seal(connection->keyholder, SEAL_DOMAIN, context, plain, sealed, err);
}

static enum pn_rc unseal(void *ctx, struct pn_slice context, struct pn_slice sealed,
                         struct pn_buf *plain, struct pn_error *err)
{
    struct pn_arm_connection *connection = ctx;

    return pn_keyholder_unseal(connection->keyholder, SEAL_DOMAIN, context, sealed, plain, err);
}

static enum pn_rc fetch(void *ctx, const struct pn_arm_fetch *what, json_t **properties,
                        json_t **internal, struct pn_error *err)
{
    struct pn_arm_connection *connection = ctx;
    struct pn_fetched fetched = {0};
    enum pn_rc rc = pn_rotation_fetch_certificate(connection->rotation, what->use, what->service_id,
                                                  what->secret_identifier, what->identity_client_id,
                                                  &fetched, err);

    if (rc == PN_OK) {
        const struct pn_generation_origin origin = {
            .generation = what->generation,
            .secret_identifier = what->secret_identifier,
            .identity_client_id = what->identity_client_id,
            .secret_version = fetched.version,
        };

        if (what->use == PN_USE_SERVER)
            rc = pn_generation_check_host(&fetched.imported, what->host_name, pn_clock_unix_s(),
                                          err);
        if (rc == PN_OK)
            rc = pn_generation_make(&fetched.imported, &origin, pn_clock_unix_ms(), properties,
                                    internal, err);
        if (rc != PN_OK)
            pn_rotation_forget_unused(connection->rotation, what->use, &fetched.imported.key);
    }
    pn_fetched_fini(&fetched);
    return rc;
}

static enum pn_rc fetch_value(void *ctx, const char *service_id, const char *secret_identifier,
                              const char *identity_client_id, struct pn_buf *value, char *version,
                              struct pn_error *err)
{
    struct pn_arm_connection *connection = ctx;

    return pn_rotation_fetch_value(connection->rotation, service_id, secret_identifier,
                                   identity_client_id, value, version, err);
}

static enum pn_rc refresh(void *ctx, const char *certificate_id, struct pn_error *err)
{
    struct pn_arm_connection *connection = ctx;

    return pn_rotation_refresh(connection->rotation, certificate_id, err);
}

static void rescan(void *ctx)
{
    struct pn_arm_connection *connection = ctx;

    pn_rotation_rescan(connection->rotation);
}

static enum pn_rc offer(void *ctx, const char *certificate_id, const struct pn_rotation_offer *what,
                        uint64_t *number, struct pn_error *err)
{
    struct pn_arm_connection *connection = ctx;

    return pn_rotation_offer(connection->rotation, certificate_id, what, number, err);
}

static enum pn_rc promote(void *ctx, const char *certificate_id, uint64_t number, bool force,
                          struct pn_error *err)
{
    struct pn_arm_connection *connection = ctx;

    return pn_rotation_promote(connection->rotation, certificate_id, number, force, err);
}

static enum pn_rc probe(void *ctx, struct pn_slice question, int timeout_ms, struct pn_buf *answer,
                        struct pn_error *err)
{
    struct pn_arm_connection *connection = ctx;

    return pn_probe_ask(connection->broker, question, timeout_ms, answer, err);
}

void pn_arm_connect(struct pn_arm_services *services, struct pn_arm_connection *ctx)
{
    *services = (struct pn_arm_services){
        .ctx = ctx,
        .authenticate = authenticate,
        .authorize = authorize,
        .import = import,
        .import_soon = import_soon,
        .check = check,
        .has_key = has_key,
        .forget_unused = forget_unused,
        .seal = seal,
        .unseal = unseal,
        .fetch = fetch,
        .fetch_value = fetch_value,
        .refresh = refresh,
        .rescan = rescan,
        .probe = probe,
        .offer = offer,
        .promote = promote,
    };
}
