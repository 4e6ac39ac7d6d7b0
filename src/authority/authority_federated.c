/* SPDX-License-Identifier: Apache-2.0
 *
 * Workload identity federation: a client assertion (RFC 7523 §3) that another issuer made. Who it
 * stands for is said by federated credentials: of an application (internal.federated), or of a
 * user-assigned identity (its child resources federatedIdentityCredentials). Issuer, subject and
 * audience are compared to the byte; only then the issuer's keys are fetched, from the credential's
 * issuer and never from where the assertion says.
 *
 * Unlike an application's own assertion it is not bound to a peer: a workload shows the same token
 * from wherever it runs, until it expires.
 */
#include <stdio.h>
#include <string.h>

#include "authority/authority_internal.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/metrics.h"
#include "identity/jwt.h"
#include "oidc/oidc.h"
#include "store/store.h"

#define IDENTITY_TYPE   "Microsoft.ManagedIdentity/userAssignedIdentities"
#define CREDENTIAL_TYPE IDENTITY_TYPE "/federatedIdentityCredentials"
#define AUDIENCES_MAX   10

static size_t token_max(void)
{
    return (size_t)pn_limit_value(PN_LIMIT_FOREIGN_TOKEN_BYTES);
}

void workload_fini(struct workload *workload)
{
    json_decref(workload->credentials);
    memset(workload, 0, sizeof *workload);
}

static enum pn_rc read_credentials(struct pn_authority *authority, struct workload *workload,
                                   struct pn_error *err)
{
    char prefix[sizeof workload->managed_by + 64];
    struct pn_store_list list = {0};
    enum pn_rc rc;

    workload->credentials = json_array();
    snprintf(prefix, sizeof prefix, "%s/federatedIdentityCredentials/", workload->managed_by);
    rc = pn_store_list(authority->store, prefix, CREDENTIAL_TYPE, &list, err);
    for (size_t i = 0; rc == PN_OK && i < list.count; i++) {
        if (json_array_append(workload->credentials,
                              json_object_get(list.items[i].body, "properties")) != 0)
            rc = PN_NOMEM;
    }
    pn_store_list_fini(&list);
    return rc;
}

enum pn_rc authority_workload_get(struct pn_authority *authority, const char *client_id,
                                  struct workload *workload, struct pn_error *err)
{
    struct pn_store_list list = {0};
    bool is_found = false;
    enum pn_rc rc;

    memset(workload, 0, sizeof *workload);
    rc = pn_store_list(authority->store, "/subscriptions/", IDENTITY_TYPE, &list, err);
    for (size_t i = 0; rc == PN_OK && !is_found && i < list.count; i++) {
        const json_t *properties = json_object_get(list.items[i].body, "properties");
        const char *client = pn_json_str(properties, "clientId");
        const char *principal = pn_json_str(properties, "principalId");

        if (!client || !principal || !pn_slice_case_eq_str(pn_slice_str(client), client_id) ||
            strlen(list.items[i].id) >= sizeof workload->managed_by)
            continue;
        is_found = true;
        snprintf(workload->client_id, sizeof workload->client_id, "%s", client);
        snprintf(workload->object_id, sizeof workload->object_id, "%s", principal);
        snprintf(workload->managed_by, sizeof workload->managed_by, "%s", list.items[i].id);
    }
    pn_store_list_fini(&list);
    if (rc != PN_OK)
        return rc;
    return is_found ? read_credentials(authority, workload, err) : PN_NOT_FOUND;
}

static enum pn_rc refuse(struct pn_error *err, const char *aadsts, const char *message)
{
    pn_error_set(err, PN_DENIED, "invalid_client", "%s", message);
    (void)pn_error_target(err, aadsts);
    return PN_DENIED;
}

static bool has_audience(const json_t *credential, const json_t *claims)
{
    const char *audiences[AUDIENCES_MAX];
    size_t count = 0, index;
    json_t *audience;

    json_array_foreach(json_object_get(credential, "audiences"), index, audience)
    {
        if (json_string_value(audience) && count < AUDIENCES_MAX)
            audiences[count++] = json_string_value(audience);
    }
    return pn_oidc_has_audience(claims, audiences, count);
}

/* The credential's issuer, or NULL: none of them is for this token. */
static const char *match(const json_t *credentials, const json_t *claims)
{
    struct pn_slice issuer = pn_json_slice(claims, "iss");
    struct pn_slice subject = pn_json_slice(claims, "sub");
    json_t *credential;
    size_t index;

    json_array_foreach(credentials, index, credential)
    {
        if (issuer.len > 0 && subject.len > 0 &&
            pn_slice_eq(pn_json_slice(credential, "issuer"), issuer) &&
            pn_slice_eq(pn_json_slice(credential, "subject"), subject) &&
            has_audience(credential, claims))
            return pn_json_str(credential, "issuer");
    }
    return NULL;
}

static enum pn_rc check_dates(const json_t *claims, int64_t now_s, struct pn_error *err)
{
    int64_t exp = 0;

    if (pn_jwt_check_times(claims, now_s, NULL) != PN_OK)
        return refuse(err, "700024",
                      "Client assertion is not within its valid time range: it has expired, or is "
                      "not valid yet.");
    if (!pn_jwt_date(claims, "exp", &exp) || exp - now_s > PN_ASSERTION_LIFETIME_MAX_S)
        return refuse(err, "700024",
                      "Client assertion is not within its valid time range: it is valid for more "
                      "than 24 hours.");
    return PN_OK;
}

static enum pn_rc check(struct pn_authority *authority, const json_t *credentials,
                        const struct pn_jwt *jwt, struct pn_error *err)
{
    const char *issuer = match(credentials, jwt->claims);
    enum pn_rc rc;

    if (!issuer)
        return refuse(err, "70021",
                      "No matching federated identity record found for presented assertion: a "
                      "federated credential of this identity must have exactly its issuer, subject "
                      "and audience.");
    rc = check_dates(jwt->claims, authority->now_s(), err);
    if (rc == PN_OK)
        rc = pn_oidc_check_signature(authority->oidc, issuer, jwt, err);
    if (rc == PN_DENIED && err && strcmp(err->code, "invalid_client") != 0)
        return refuse(err, "700027",
                      "Client assertion failed signature validation with the keys of its issuer.");
    return rc;
}

bool authority_is_federated(const struct client *client, struct pn_slice assertion)
{
    const json_t *list = json_object_get(json_object_get(client->body, "internal"), "federated");
    struct pn_jwt jwt;
    bool is_foreign;

    if (json_array_size(list) == 0)
        return false;
    is_foreign = pn_jwt_parse(assertion, token_max(), &jwt, NULL) == PN_OK &&
                 !pn_slice_case_eq_str(pn_json_slice(jwt.claims, "iss"), client->client_id);
    pn_jwt_fini(&jwt);
    return is_foreign;
}

enum pn_rc authority_check_federated(struct pn_authority *authority, const char *client_id,
                                     const json_t *credentials, struct pn_slice assertion,
                                     const char *peer, struct pn_error *err)
{
    struct pn_jwt jwt;
    enum pn_rc rc = pn_jwt_parse(assertion, token_max(), &jwt, err);

    if (rc == PN_LIMIT)
        pn_limit_hit(PN_LIMIT_FOREIGN_TOKEN_BYTES);
    if (rc == PN_MALFORMED || rc == PN_LIMIT)
        rc = refuse(err, "50027",
                    "Invalid JWT token: the client assertion is malformed, or longer than the "
                    "limit foreign-token-bytes.");
    if (rc == PN_OK && !authority->oidc)
        rc = PN_UNAVAILABLE;
    if (rc == PN_OK)
        rc = check(authority, credentials, &jwt, err);
    if (rc != PN_OK) {
        pn_metric_add(PN_METRIC_FOREIGN_TOKENS_REFUSED, 1);
        pn_log(PN_LOG_WARN, "token_refused", "reason", PN_S("bad_federated_assertion"), "code",
               PN_S(err && err->target[0] ? err->target
                    : err                 ? err->code
                                          : ""),
               "client", PN_S(client_id), "peer", PN_S(peer ? peer : ""), NULL);
    }
    pn_jwt_fini(&jwt);
    return rc;
}
