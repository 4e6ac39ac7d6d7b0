/* SPDX-License-Identifier: Apache-2.0
 *
 * Resource ids: parse, format, compare.
 */
#include "model/id.h"

#include <string.h>

static const char *const known_segments[] = {
    "subscriptions",
    "resourceGroups",
    "providers",
    "Microsoft.ApiManagement",
    "Microsoft.KeyVault",
    "Microsoft.Authorization",
    "Microsoft.ManagedIdentity",
    "Microsoft.Network",
    "Microsoft.Resources",
    "service",
    "certificates",
    "backends",
    "apis",
    "operations",
    "policies",
    "products",
    "apiLinks",
    "namedValues",
    "policyFragments",
    "workspaces",
    "gateways",
    "vaults",
    "userAssignedIdentities",
    "federatedIdentityCredentials",
    "virtualNetworks",
    "networkSecurityGroups",
    "roleAssignments",
    "roleDefinitions",
    "posternEmbedded",
    "posternHostnames",
    "posternOutbound",
    "checkNameAvailability",
    "listSecrets",
    "regeneratePrimaryKey",
    "regenerateSecondaryKey",
    "refreshSecret",
    "tenants",
};

struct pn_slice pn_id_canonical(struct pn_slice segment)
{
    for (size_t i = 0; i < sizeof(known_segments) / sizeof(known_segments[0]); i++)
        if (pn_slice_case_eq_str(segment, known_segments[i]))
            return pn_slice_str(known_segments[i]);
    return segment;
}

static enum pn_rc malformed(struct pn_error *err, struct pn_slice text)
{
    struct pn_slice shown = pn_slice_sub(text, 0, 200);

    return pn_error_set(err, PN_MALFORMED, "invalid_id",
                        "'%.*s' is not a resource id: "
                        "/subscriptions/{id}/resourceGroups/{name}/providers/{namespace}/{type}/"
                        "{name} is expected",
                        PN_FMT(shown));
}

/** Cuts "{type}/{name}" off `rest`. */
static bool cut_pair(struct pn_slice *rest, struct pn_slice *type, struct pn_slice *name)
{
    return pn_slice_cut(rest, '/', type) && type->len > 0 && pn_slice_cut(rest, '/', name) &&
           name->len > 0;
}

static enum pn_rc parse_parts(struct pn_slice text, struct pn_slice rest, struct pn_id *id,
                              struct pn_error *err)
{
    while (rest.len > 0) {
        struct pn_id_part *part = NULL;

        if (id->part_count == PN_ID_PARTS_MAX)
            return pn_error_set(err, PN_LIMIT, "id_too_long",
                                "a resource id has at most %d types and names", PN_ID_PARTS_MAX);
        part = &id->parts[id->part_count];
        if (!cut_pair(&rest, &part->type, &part->name))
            return malformed(err, text);
        part->type = pn_id_canonical(part->type);
        id->part_count++;
    }
    return PN_OK;
}

enum pn_rc pn_id_parse(struct pn_slice text, struct pn_id *id, struct pn_error *err)
{
    struct pn_slice rest = text;
    struct pn_slice type = {0};
    struct pn_slice name = {0};

    memset(id, 0, sizeof(*id));
    if (text.len > PN_ID_BYTES_MAX)
        return pn_error_set(err, PN_LIMIT, "id_too_long", "a resource id has at most %d bytes",
                            PN_ID_BYTES_MAX);
    if (rest.len < 2 || rest.ptr[0] != '/')
        return malformed(err, text);
    rest = pn_slice_sub(rest, 1, rest.len - 1);
    if (!cut_pair(&rest, &type, &name) || !pn_slice_case_eq_str(type, "subscriptions"))
        return malformed(err, text);
    id->subscription = name;
    if (rest.len == 0)
        return PN_OK;
    if (!cut_pair(&rest, &type, &name))
        return malformed(err, text);
    if (pn_slice_case_eq_str(type, "resourceGroups")) {
        id->resource_group = name;
        if (rest.len == 0)
            return PN_OK;
        if (!cut_pair(&rest, &type, &name))
            return malformed(err, text);
    }
    if (!pn_slice_case_eq_str(type, "providers"))
        return malformed(err, text);
    id->provider = pn_id_canonical(name);
    return parse_parts(text, rest, id, err);
}

static enum pn_rc append_pair(struct pn_buf *out, const char *type, struct pn_slice name)
{
    return pn_buf_printf(out, "/%s/%.*s", type, PN_FMT(name));
}

enum pn_rc pn_id_format(const struct pn_id *id, size_t parts, struct pn_buf *out)
{
    enum pn_rc rc = append_pair(out, "subscriptions", id->subscription);

    if (rc == PN_OK && id->resource_group.ptr)
        rc = append_pair(out, "resourceGroups", id->resource_group);
    if (rc == PN_OK && id->provider.ptr)
        rc = append_pair(out, "providers", id->provider);
    for (size_t i = 0; rc == PN_OK && i < parts && i < id->part_count; i++)
        rc = pn_buf_printf(out, "/%.*s/%.*s", PN_FMT(id->parts[i].type), PN_FMT(id->parts[i].name));
    return rc;
}

enum pn_rc pn_id_type(const struct pn_id *id, struct pn_buf *out)
{
    enum pn_rc rc = pn_buf_append_slice(out, id->provider);

    for (size_t i = 0; rc == PN_OK && i < id->part_count; i++)
        rc = pn_buf_printf(out, "/%.*s", PN_FMT(id->parts[i].type));
    return rc;
}

struct pn_slice pn_id_name(const struct pn_id *id)
{
    return id->part_count > 0 ? id->parts[id->part_count - 1].name : (struct pn_slice){0};
}

bool pn_id_is_below(struct pn_slice id, struct pn_slice ancestor)
{
    if (!pn_slice_case_starts_with(id, ancestor))
        return false;
    return id.len == ancestor.len || id.ptr[ancestor.len] == '/';
}

struct pn_slice pn_id_relative(struct pn_slice id, struct pn_slice ancestor)
{
    if (!pn_id_is_below(id, ancestor))
        return (struct pn_slice){0};
    return pn_slice_sub(id, ancestor.len, id.len - ancestor.len);
}
