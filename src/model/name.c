/* SPDX-License-Identifier: Apache-2.0
 *
 * The table of resource types and the rules for their names.
 */
#include "model/name.h"

#include <string.h>
#include <strings.h>

#include "base/encode.h"
#include "model/text.h"

#define SERVICE "Microsoft.ApiManagement/service"

static const struct pn_type_facts types[PN_TYPE_COUNT] = {
    [PN_TYPE_SUBSCRIPTION] = {"Microsoft.Resources/subscriptions", "Subscription", 36, PN_NAME_UUID,
                              NULL},
    [PN_TYPE_RESOURCE_GROUP] = {"Microsoft.Resources/resourceGroups", "Resource group", 90,
                                PN_NAME_GROUP, NULL},
    [PN_TYPE_SERVICE] = {SERVICE, "Service", 50, PN_NAME_SERVICE, "service"},
    [PN_TYPE_WORKSPACE] = {SERVICE "/workspaces", "Workspace", 80, PN_NAME_CHILD, NULL},
    [PN_TYPE_CERTIFICATE] = {SERVICE "/certificates", "Certificate", 80, PN_NAME_CHILD,
                             "certificate"},
    [PN_TYPE_BACKEND] = {SERVICE "/backends", "Backend", 80, PN_NAME_ANY, "backend"},
    [PN_TYPE_NAMED_VALUE] = {SERVICE "/namedValues", "Named value", 256, PN_NAME_CHILD, NULL},
    [PN_TYPE_FRAGMENT] = {SERVICE "/policyFragments", "Policy Fragment", 80, PN_NAME_WORD, NULL},
    [PN_TYPE_API] = {SERVICE "/apis", "API", 256, PN_NAME_CHILD, "api"},
    [PN_TYPE_OPERATION] = {SERVICE "/apis/operations", "Operation", 80, PN_NAME_CHILD, "operation"},
    [PN_TYPE_POLICY] = {SERVICE "/policies", "Policy", 6, PN_NAME_POLICY, "policy"},
    [PN_TYPE_API_POLICY] = {SERVICE "/apis/policies", "Policy", 6, PN_NAME_POLICY, "policy"},
    [PN_TYPE_OPERATION_POLICY] = {SERVICE "/apis/operations/policies", "Policy", 6, PN_NAME_POLICY,
                                  "policy"},
    [PN_TYPE_ACCESS] = {SERVICE "/subscriptions", "Subscription", 256, PN_NAME_CHILD,
                        "subscription"},
    [PN_TYPE_PRODUCT] = {SERVICE "/products", "Product", 256, PN_NAME_CHILD, "product"},
    [PN_TYPE_PRODUCT_API] = {SERVICE "/products/apis", "API", 256, PN_NAME_CHILD, "productapi"},
    [PN_TYPE_PRODUCT_POLICY] = {SERVICE "/products/policies", "Policy", 6, PN_NAME_POLICY,
                                "policy"},
    [PN_TYPE_EMBEDDED] = {"postern/embedded", "Embedded certificate", 64, PN_NAME_CHILD,
                          "certificate"},
    [PN_TYPE_TOKEN] = {"postern/token", "Identity token", 32, PN_NAME_CHILD, "token"},
    [PN_TYPE_HOSTNAME] = {"postern/hostname", "Host name", 280, PN_NAME_CHILD, "hostname"},
    [PN_TYPE_OUTBOUND] = {"postern/outbound", "Outbound rules", 80, PN_NAME_CHILD, "outbound"},
};

const struct pn_type_facts *pn_type_facts(enum pn_type type)
{
    return &types[type];
}

bool pn_type_from_text(const char *text, enum pn_type *type)
{
    for (size_t i = 0; i < PN_TYPE_COUNT; i++) {
        if (strcasecmp(types[i].type, text) == 0) {
            *type = (enum pn_type)i;
            return true;
        }
    }
    return false;
}

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_letter_or_digit(char c)
{
    return is_letter(c) || (c >= '0' && c <= '9');
}

static bool is_service_name(struct pn_slice name)
{
    if (!is_letter(name.ptr[0]) || !is_letter_or_digit(name.ptr[name.len - 1]))
        return false;
    for (size_t i = 0; i < name.len; i++)
        if (!is_letter_or_digit(name.ptr[i]) && name.ptr[i] != '-')
            return false;
    return true;
}

static bool is_group_name(struct pn_slice name)
{
    for (size_t i = 0; i < name.len; i++)
        if (!is_letter_or_digit(name.ptr[i]) && !memchr("-_.()", name.ptr[i], 5))
            return false;
    return name.ptr[name.len - 1] != '.';
}

static bool is_child_name(struct pn_slice name)
{
    for (size_t i = 0; i < name.len; i++)
        if (memchr("*#&+:<>?", name.ptr[i], 8))
            return false;
    return true;
}

/* A '-' only between others. */
static bool is_word(struct pn_slice name)
{
    for (size_t i = 0; i < name.len; i++) {
        bool is_inner = i > 0 && i + 1 < name.len;

        if (!is_letter_or_digit(name.ptr[i]) && name.ptr[i] != '_' &&
            !(is_inner && name.ptr[i] == '-'))
            return false;
    }
    return true;
}

static const char *broken_rule(enum pn_name_rule rule, struct pn_slice name)
{
    switch (rule) {
    case PN_NAME_ANY:
        return NULL;
    case PN_NAME_CHILD:
        return is_child_name(name) ? NULL : "must not contain any of * # & + : < > ?";
    case PN_NAME_SERVICE:
        return is_service_name(name) ? NULL
                                     : "must start with a letter, end with a letter or a digit, "
                                       "and contain only letters, digits and hyphens";
    case PN_NAME_GROUP:
        return is_group_name(name) ? NULL
                                   : "may contain only letters, digits, - _ . ( ), and must not "
                                     "end with a period";
    case PN_NAME_UUID:
        return pn_is_uuid(name) ? NULL : "must be a UUID";
    case PN_NAME_WORD:
        return is_word(name) ? NULL
                             : "may contain only letters, digits, underscores, and hyphens between "
                               "them";
    case PN_NAME_POLICY:
        return pn_slice_case_eq_str(name, "policy") ? NULL : "must be 'policy'";
    }
    return NULL;
}

enum pn_rc pn_name_check(enum pn_type type, struct pn_slice name, struct pn_error *err)
{
    const struct pn_type_facts *facts = &types[type];
    size_t length = 0;
    const char *broken = NULL;

    if (!pn_text_length(name, &length) || pn_text_has_control(name)) {
        pn_error_set(err, PN_INVALID, "invalid_name",
                     "The name of a %s must be valid UTF-8 without control characters.",
                     facts->noun);
        return pn_error_target(err, "name");
    }
    if (length < 1 || length > facts->name_max) {
        pn_error_set(err, PN_INVALID, "invalid_name",
                     "The name of a %s must have 1 to %zu characters.", facts->noun,
                     facts->name_max);
        return pn_error_target(err, "name");
    }
    broken = broken_rule(facts->name_rule, name);
    if (broken) {
        pn_error_set(err, PN_INVALID, "invalid_name", "The name of a %s %s.", facts->noun, broken);
        return pn_error_target(err, "name");
    }
    return PN_OK;
}
