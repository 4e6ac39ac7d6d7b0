/* SPDX-License-Identifier: Apache-2.0
 *
 * hostnameConfigurations: what a caller may ask for, and the certificates that come along. Files go
 * to the keyholder at once, for the use "server"; neither file nor password is kept.
 */
#include "arm/hostname.h"

#include <string.h>

#include "base/clock.h"
#include "base/encode.h"
#include "rotation/generation.h"

#define MEMBER    "hostnameConfigurations"
#define LABEL_MAX 63

/* ---- what may be asked for ---- */

/** A DNS name, as a whole or with "*." in front (RFC 1123 §2.1). */
static bool is_host_name(struct pn_slice name)
{
    struct pn_slice rest = name, label = {0};

    if (pn_slice_starts_with(name, PN_LIT("*.")))
        rest = pn_slice_sub(name, 2, name.len - 2);
    if (rest.len == 0 || rest.ptr[rest.len - 1] == '.')
        return false;
    while (pn_slice_cut(&rest, '.', &label)) {
        if (label.len == 0 || label.len > LABEL_MAX || label.ptr[0] == '-' ||
            label.ptr[label.len - 1] == '-')
            return false;
        for (size_t i = 0; i < label.len; i++) {
            char c = label.ptr[i];

            if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-'))
                return false;
        }
    }
    return true;
}

/** "proxy.api.example.com"; '*' is no character of a resource's name. */
static const char *resource_id(struct arm_call *call, const char *service_id, const char *type,
                               const char *host_name)
{
    const char *lower = arm_lower(call->arena, pn_slice_str(type));
    bool is_wildcard = host_name[0] == '*';

    if (!lower)
        return NULL;
    return pn_arena_printf(call->arena, "%s/posternHostnames/%s.%s%s", service_id, lower,
                           is_wildcard ? "_" : "", host_name + (is_wildcard ? 1 : 0));
}

static void problem(struct pn_problems *problems, size_t index, const char *member,
                    const char *sentence)
{
    char target[64];

    (void)snprintf(target, sizeof(target), MEMBER "[%zu].%s", index, member);
    (void)pn_problem_add(problems, target, "%s", sentence);
}

static void check_one(const struct arm_hostnames *hostnames, const struct arm_hostname *hostname,
                      const json_t *given, size_t index, struct pn_problems *problems)
{
    const char *source = pn_json_str(given, "certificateSource");
    bool is_double = false, is_second_default = false;

    for (size_t i = 0; i < hostnames->count; i++) {
        is_double = is_double || strcmp(hostnames->items[i].id, hostname->id) == 0;
        is_second_default =
            is_second_default || (hostname->is_default && hostnames->items[i].is_default);
    }
    if (!is_host_name(pn_slice_str(hostname->host_name)))
        problem(problems, index, "hostName",
                "'hostName' must be a DNS name, as api.example.com or *.example.com.");
    if (is_double)
        problem(problems, index, "hostName", "This type and host name are given twice.");
    if (is_second_default)
        problem(problems, index, "defaultSslBinding",
                "Only one host name can have the 'defaultSslBinding'.");
    if (hostname->has_upload && hostname->key_vault_id)
        problem(problems, index, "keyVaultId",
                "Only one of 'encodedCertificate' and 'keyVaultId' may be given.");
    if (source && strcmp(source, "Managed") == 0)
        problem(problems, index, "certificateSource",
                "Managed certificates are not offered by this Postern: upload one, or name one in "
                "a key vault.");
}

/** Takes over one configuration. False: no memory. */
static bool take_one(struct arm_call *call, struct arm_hostnames *hostnames, const json_t *given,
                     size_t index, struct pn_problems *problems)
{
    const char *source = pn_json_str(given, "certificateSource");
    struct arm_hostname *hostname = &hostnames->items[hostnames->count];

    if (source && strcmp(source, "BuiltIn") == 0) {
        hostnames->builtin_negotiates = pn_json_bool(given, "negotiateClientCertificate", false);
        return true;
    }
    memset(hostname, 0, sizeof(*hostname));
    hostname->type = pn_json_str(given, "type");
    hostname->host_name = arm_lower(call->arena, pn_json_slice(given, "hostName"));
    hostname->key_vault_id = pn_json_str(given, "keyVaultId");
    hostname->identity_client_id = pn_json_str(given, "identityClientId");
    hostname->has_upload = json_object_get(given, "encodedCertificate") != NULL;
    hostname->negotiates = pn_json_bool(given, "negotiateClientCertificate", false);
    hostname->is_default =
        strcmp(hostname->type, "Proxy") == 0 && pn_json_bool(given, "defaultSslBinding", false);
    if (hostname->host_name)
        hostname->id =
            resource_id(call, hostnames->service_id, hostname->type, hostname->host_name);
    if (!hostname->id)
        return false;
    check_one(hostnames, hostname, given, index, problems);
    hostnames->count++;
    return true;
}

/* ---- certificates ---- */

static void answer_refusal(struct arm_call *call, size_t index, const char *member,
                           struct pn_error *err)
{
    bool is_callers = err->rc == PN_MALFORMED || err->rc == PN_INVALID || err->rc == PN_LIMIT ||
                      err->rc == PN_DENIED || err->rc == PN_NOT_FOUND ||
                      err->rc == PN_UNSUPPORTED || strncmp(err->code, "vault_", 6) == 0;
    char target[64];

    if (!is_callers) {
        arm_answer_failure(call, err);
        return;
    }
    (void)snprintf(target, sizeof(target), MEMBER "[%zu].%s", index,
                   strcmp(err->code, "wrong_password") == 0 ? "certificatePassword" : member);
    arm_answer_invalid(call, target, "%s", err->message);
}

/** Keeps the key, makes the generation. */
static enum pn_rc import_file(struct arm_call *call, struct pn_slice file, const json_t *given,
                              struct arm_hostname *hostname, struct pn_error *err)
{
    const struct pn_arm_services *services = &call->arm->config.services;
    const struct pn_generation_origin origin = {.generation = 1};
    struct pn_imported imported = {0};
    enum pn_rc rc = services->import(services->ctx, PN_USE_SERVER, file,
                                     pn_json_slice(given, "certificatePassword"), &imported, err);

    if (rc == PN_OK) {
        rc = pn_generation_lint(&imported, pn_clock_unix_s(), NULL, err);
        if (rc == PN_OK)
            rc = pn_generation_check_host(&imported, hostname->host_name, pn_clock_unix_s(), err);
        if (rc == PN_OK)
            rc = pn_generation_make(&imported, &origin, pn_clock_unix_ms(), &hostname->properties,
                                    &hostname->internal, err);
        if (rc != PN_OK)
            services->forget_unused(services->ctx, PN_USE_SERVER, &imported.key);
    }
    pn_imported_fini(&imported);
    return rc;
}

static bool upload(struct arm_call *call, const json_t *given, size_t index,
                   struct arm_hostname *hostname)
{
    struct pn_error err = {0};
    struct pn_buf file;
    enum pn_rc rc;

    pn_buf_init_secret(&file, PN_IMPORT_BYTES_MAX);
    rc = pn_base64_decode(pn_json_slice(given, "encodedCertificate"), &file);
    if (rc == PN_OK && file.len > 0)
        rc = import_file(call, pn_buf_slice(&file), given, hostname, &err);
    else
        rc = pn_error_set(&err, rc == PN_NOMEM ? rc : PN_INVALID, "not_base64",
                          "'encodedCertificate' must be a PFX file of 1 to %u bytes, "
                          "base64-encoded.",
                          PN_IMPORT_BYTES_MAX);
    pn_buf_fini(&file);
    if (rc != PN_OK)
        answer_refusal(call, index, "encodedCertificate", &err);
    return rc == PN_OK;
}

static bool fetch(struct arm_call *call, const char *service_id, size_t index,
                  struct arm_hostname *hostname)
{
    const struct pn_arm_services *services = &call->arm->config.services;
    const struct pn_arm_fetch what = {
        .service_id = service_id,
        .secret_identifier = hostname->key_vault_id,
        .identity_client_id = hostname->identity_client_id,
        .generation = 1,
        .use = PN_USE_SERVER,
        .host_name = hostname->host_name,
    };
    struct pn_error err = {0};
    enum pn_rc rc =
        services->fetch(services->ctx, &what, &hostname->properties, &hostname->internal, &err);

    if (rc == PN_OK)
        return true;
    if (strcmp(err.code, "identity_not_enabled") == 0)
        arm_answer_error(call, 400, "InvalidOperation", "%s", err.message);
    else
        answer_refusal(call, index, "keyVaultId", &err);
    return false;
}

/** Whether what is stored comes from the same place: then it stays, and nothing has to be fetched.
 */
static bool is_same_source(const struct pn_store_item *stored, const struct arm_hostname *hostname)
{
    const json_t *vault = json_object_get(json_object_get(stored->body, "properties"), "keyVault");
    const char *client_id = hostname->identity_client_id ? hostname->identity_client_id : "";
    const char *stored_client_id = pn_json_str(vault, "identityClientId");

    if (!hostname->key_vault_id || !vault)
        return !hostname->key_vault_id && !vault;
    return pn_slice_eq_str(pn_json_slice(vault, "secretIdentifier"), hostname->key_vault_id) &&
           strcmp(stored_client_id ? stored_client_id : "", client_id) == 0;
}

/** Gives it a certificate, unless it has one that stays. False: answered. */
static bool find_certificate(struct arm_call *call, const struct arm_hostnames *hostnames,
                             const json_t *given, size_t index, struct arm_hostname *hostname)
{
    struct pn_store_item stored = {0};
    struct pn_error err = {0};
    bool stays = false;

    if (hostname->has_upload)
        return upload(call, given, index, hostname);
    if (pn_store_get(call->arm->config.store, hostname->id, &stored, &err) == PN_OK)
        stays = is_same_source(&stored, hostname);
    pn_store_item_fini(&stored);
    if (stays)
        return true;
    if (err.rc != PN_OK && err.rc != PN_NOT_FOUND) {
        arm_answer_failure(call, &err);
        return false;
    }
    if (hostname->key_vault_id)
        return fetch(call, hostnames->service_id, index, hostname);
    err.rc = PN_INVALID;
    (void)snprintf(err.message, sizeof(err.message),
                   "The host name '%s' has no certificate yet: give 'encodedCertificate' (a PFX, "
                   "base64-encoded) with its 'certificatePassword', or 'keyVaultId'.",
                   hostname->host_name);
    answer_refusal(call, index, "encodedCertificate", &err);
    return false;
}

bool arm_hostnames_prepare(struct arm_call *call, const char *service_id, bool is_whole,
                           struct arm_hostnames *hostnames)
{
    const json_t *given = json_object_get(json_object_get(call->body, "properties"), MEMBER);
    const json_t *list;
    struct pn_problems problems = {0};
    enum pn_rc rc = PN_OK;
    size_t wanted[PN_HOSTNAMES_MAX] = {0};
    bool is_fine = true;

    memset(hostnames, 0, sizeof(*hostnames));
    hostnames->is_given = is_whole || given;
    hostnames->service_id = service_id;
    if (!given || json_is_null(given))
        return true;
    rc = pn_schema_apply(pn_hostnames_fields, json_object_get(call->body, "properties"),
                         &hostnames->checked, &problems);
    list = json_object_get(hostnames->checked, MEMBER);
    for (size_t i = 0; rc == PN_OK && i < json_array_size(list); i++) {
        wanted[hostnames->count] = i;
        if (!take_one(call, hostnames, json_array_get(list, i), i, &problems))
            rc = PN_NOMEM;
    }
    if (rc == PN_INVALID || problems.count > 0)
        arm_answer_problems(call, &problems);
    else if (rc != PN_OK)
        arm_answer_error(call, 500, "InternalServerError", "out of memory");
    is_fine = rc == PN_OK && problems.count == 0;
    for (size_t i = 0; is_fine && i < hostnames->count; i++)
        is_fine = find_certificate(call, hostnames, json_array_get(list, wanted[i]), wanted[i],
                                   &hostnames->items[i]);
    if (!is_fine)
        arm_hostnames_end(call, hostnames);
    return is_fine;
}
