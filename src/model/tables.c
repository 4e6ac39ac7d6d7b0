/* SPDX-License-Identifier: Apache-2.0
 *
 * Schemas of certificates, policies, subscriptions, the service and resource groups.
 * Backends are in tables_backend.c, APIs and operations in tables_api.c.
 */
#include "model/tables.h"

#define TEXT(field, lowest, highest)                                                               \
    {                                                                                              \
        .name = (field), .kind = PN_FIELD_STRING, .min = (lowest), .max = (highest)                \
    }
#define END                                                                                        \
    {                                                                                              \
        .name = NULL                                                                               \
    }

/* 256 KiB of PFX in base64, with line breaks; the keyholder's own limit answers first. */
#define DATA_CHARACTERS_MAX   (512 * 1024)
#define PASSWORD_LENGTH_MAX   1024
#define POLICY_CHARACTERS_MAX (1024 * 1024) /* the policy room's limit answers first */

const struct pn_field pn_workspace_fields[] = {
    {.name = "displayName",
     .kind = PN_FIELD_STRING,
     .flags = PN_FIELD_REQUIRED,
     .min = 1,
     .max = 300},
    TEXT("description", 0, 10000),
    END,
};

static const struct pn_field key_vault_fields[] = {
    {.name = "secretIdentifier",
     .kind = PN_FIELD_STRING,
     .flags = PN_FIELD_REQUIRED,
     .min = 1,
     .max = 2000},
    {.name = "identityClientId",
     .kind = PN_FIELD_STRING,
     .flags = PN_FIELD_EMPTY_IS_ABSENT,
     .min = 1,
     .max = 100},
    END,
};

const struct pn_field pn_certificate_fields[] = {
    {.name = "data",
     .kind = PN_FIELD_STRING,
     .flags = PN_FIELD_EMPTY_IS_ABSENT,
     .min = 1,
     .max = DATA_CHARACTERS_MAX},
    TEXT("password", 0, PASSWORD_LENGTH_MAX),
    {.name = "keyVault", .kind = PN_FIELD_OBJECT, .members = key_vault_fields},
    END,
};

static const char *const policy_formats[] = {"xml", "rawxml", "xml-link", "rawxml-link", NULL};

const struct pn_field pn_policy_fields[] = {
    {.name = "value",
     .kind = PN_FIELD_STRING,
     .flags = PN_FIELD_REQUIRED,
     .min = 1,
     .max = POLICY_CHARACTERS_MAX},
    {.name = "format", .kind = PN_FIELD_ENUM, .values = policy_formats},
    END,
};

static const char *const fragment_formats[] = {"xml", "rawxml", NULL};

const struct pn_field pn_fragment_fields[] = {
    {.name = "value",
     .kind = PN_FIELD_STRING,
     .flags = PN_FIELD_REQUIRED,
     .min = 1,
     .max = POLICY_CHARACTERS_MAX},
    {.name = "format", .kind = PN_FIELD_ENUM, .values = fragment_formats},
    TEXT("description", 0, 1000),
    END,
};

static const struct pn_field named_value_tag = {
    .name = "*", .kind = PN_FIELD_STRING, .min = 1, .max = 160};

const struct pn_field pn_named_value_fields[] = {
    {.name = "displayName",
     .kind = PN_FIELD_STRING,
     .flags = PN_FIELD_REQUIRED,
     .min = 1,
     .max = 256},
    TEXT("value", 1, PN_NAMED_VALUE_CHARACTERS_MAX),
    {.name = "secret", .kind = PN_FIELD_BOOL},
    {.name = "tags", .kind = PN_FIELD_ARRAY, .max = 32, .element = &named_value_tag},
    {.name = "keyVault", .kind = PN_FIELD_OBJECT, .members = key_vault_fields},
    END,
};

static const char *const access_states[] = {"suspended", "active",    "expired", "submitted",
                                            "rejected",  "cancelled", NULL};

const struct pn_field pn_access_fields[] = {
    {.name = "scope",
     .kind = PN_FIELD_STRING,
     .flags = PN_FIELD_REQUIRED,
     .min = 1,
     .max = PN_ID_BYTES_MAX},
    {.name = "displayName",
     .kind = PN_FIELD_STRING,
     .flags = PN_FIELD_REQUIRED,
     .min = 1,
     .max = 100},
    {.name = "ownerId",
     .kind = PN_FIELD_STRING,
     .flags = PN_FIELD_EMPTY_IS_ABSENT,
     .min = 1,
     .max = PN_ID_BYTES_MAX},
    {.name = "primaryKey",
     .kind = PN_FIELD_STRING,
     .flags = PN_FIELD_EMPTY_IS_ABSENT,
     .min = 1,
     .max = 256},
    {.name = "secondaryKey",
     .kind = PN_FIELD_STRING,
     .flags = PN_FIELD_EMPTY_IS_ABSENT,
     .min = 1,
     .max = 256},
    {.name = "state", .kind = PN_FIELD_ENUM, .values = access_states},
    TEXT("stateComment", 0, 1000),
    {.name = "allowTracing", .kind = PN_FIELD_BOOL},
    END,
};

static const struct pn_field map_text = {
    .name = "*", .kind = PN_FIELD_STRING, .min = 0, .max = 4096};
static const struct pn_field tag_text = {
    .name = "*", .kind = PN_FIELD_STRING, .min = 0, .max = 256};
static const struct pn_field any_value = {.name = "*", .kind = PN_FIELD_ANY};

static const char *const hostname_types[] = {
    "Proxy", "Portal", "Management", "Scm", "DeveloperPortal", "ConfigurationApi", NULL};
static const char *const certificate_sources[] = {"Managed", "KeyVault", "Custom", "BuiltIn", NULL};
static const struct pn_field hostname_fields[] = {
    {.name = "type", .kind = PN_FIELD_ENUM, .flags = PN_FIELD_REQUIRED, .values = hostname_types},
    {.name = "hostName", .kind = PN_FIELD_STRING, .flags = PN_FIELD_REQUIRED, .min = 1, .max = 253},
    {.name = "keyVaultId",
     .kind = PN_FIELD_STRING,
     .flags = PN_FIELD_EMPTY_IS_ABSENT,
     .min = 1,
     .max = 2000},
    {.name = "identityClientId",
     .kind = PN_FIELD_STRING,
     .flags = PN_FIELD_EMPTY_IS_ABSENT,
     .min = 1,
     .max = 100},
    {.name = "encodedCertificate",
     .kind = PN_FIELD_STRING,
     .flags = PN_FIELD_EMPTY_IS_ABSENT,
     .min = 1,
     .max = DATA_CHARACTERS_MAX},
    TEXT("certificatePassword", 0, PASSWORD_LENGTH_MAX),
    {.name = "defaultSslBinding", .kind = PN_FIELD_BOOL},
    {.name = "negotiateClientCertificate", .kind = PN_FIELD_BOOL},
    {.name = "certificateSource", .kind = PN_FIELD_ENUM, .values = certificate_sources},
    END,
};
static const struct pn_field hostname_configuration = {
    .name = "*", .kind = PN_FIELD_OBJECT, .members = hostname_fields};
const struct pn_field pn_hostnames_fields[] = {
    {.name = "hostnameConfigurations",
     .kind = PN_FIELD_ARRAY,
     .max = PN_HOSTNAMES_MAX,
     .element = &hostname_configuration},
    END,
};

static const char *const network_types[] = {"None", "External", "Internal", NULL};
static const struct pn_field network_fields[] = {
    TEXT("subnetResourceId", 1, 2048),
    TEXT("vnetid", 0, 100),
    TEXT("subnetname", 0, 100),
    END,
};
static const char *const public_access[] = {"Enabled", "Disabled", NULL};
static const struct pn_field version_constraint_fields[] = {TEXT("minApiVersion", 0, 40), END};

static const char *const ca_stores[] = {"CertificateAuthority", "Root", NULL};
static const struct pn_field ca_facts[] = {TEXT("thumbprint", 1, 100), END};
static const struct pn_field service_ca_fields[] = {
    TEXT("encodedCertificate", 1, 512 * 1024),
    TEXT("certificatePassword", 0, 1024),
    {.name = "storeName", .kind = PN_FIELD_ENUM, .flags = PN_FIELD_REQUIRED, .values = ca_stores},
    {.name = "certificate", .kind = PN_FIELD_OBJECT, .members = ca_facts},
    END,
};
static const struct pn_field service_ca = {
    .name = "*", .kind = PN_FIELD_OBJECT, .members = service_ca_fields};

const struct pn_field pn_service_fields[] = {
    {.name = "publisherEmail",
     .kind = PN_FIELD_STRING,
     .flags = PN_FIELD_REQUIRED,
     .min = 1,
     .max = 100},
    {.name = "publisherName",
     .kind = PN_FIELD_STRING,
     .flags = PN_FIELD_REQUIRED,
     .min = 1,
     .max = 100},
    TEXT("notificationSenderEmail", 0, 100),
    {.name = "virtualNetworkType", .kind = PN_FIELD_ENUM, .values = network_types},
    {.name = "virtualNetworkConfiguration", .kind = PN_FIELD_OBJECT, .members = network_fields},
    {.name = "publicNetworkAccess", .kind = PN_FIELD_ENUM, .values = public_access},
    {.name = "customProperties",
     .kind = PN_FIELD_MAP,
     .max = PN_MAP_MEMBERS_MAX,
     .element = &map_text},
    {.name = "enableClientCertificate", .kind = PN_FIELD_BOOL},
    {.name = "disableGateway", .kind = PN_FIELD_BOOL},
    {.name = "apiVersionConstraint", .kind = PN_FIELD_OBJECT, .members = version_constraint_fields},
    {.name = "certificates",
     .kind = PN_FIELD_ARRAY,
     .max = PN_SERVICE_CAS_MAX,
     .element = &service_ca},
    {.name = "additionalLocations", .kind = PN_FIELD_ARRAY, .max = 10, .element = &any_value},
    END,
};

static const char *const sku_names[] = {"Developer", "Basic",       "Standard",
                                        "Premium",   "Consumption", "Isolated",
                                        "BasicV2",   "StandardV2",  NULL};
static const struct pn_field sku_fields[] = {
    {.name = "name", .kind = PN_FIELD_ENUM, .flags = PN_FIELD_REQUIRED, .values = sku_names},
    {.name = "capacity", .kind = PN_FIELD_INT, .min = 0, .max = 100},
    END,
};
static const char *const identity_types[] = {"None",
                                             "SystemAssigned",
                                             "UserAssigned",
                                             "SystemAssigned, UserAssigned",
                                             "SystemAssigned,UserAssigned",
                                             NULL};
static const struct pn_field identity_fields[] = {
    {.name = "type", .kind = PN_FIELD_ENUM, .flags = PN_FIELD_REQUIRED, .values = identity_types},
    {.name = "userAssignedIdentities",
     .kind = PN_FIELD_MAP,
     .max = PN_MAP_MEMBERS_MAX,
     .element = &any_value},
    END,
};

const struct pn_field pn_service_top_fields[] = {
    {.name = "location", .kind = PN_FIELD_STRING, .flags = PN_FIELD_REQUIRED, .min = 1, .max = 90},
    {.name = "sku", .kind = PN_FIELD_OBJECT, .flags = PN_FIELD_REQUIRED, .members = sku_fields},
    {.name = "tags", .kind = PN_FIELD_MAP, .max = 50, .element = &tag_text},
    {.name = "identity", .kind = PN_FIELD_OBJECT, .members = identity_fields},
    END,
};

const struct pn_field pn_group_fields[] = {
    {.name = "location", .kind = PN_FIELD_STRING, .flags = PN_FIELD_REQUIRED, .min = 1, .max = 90},
    {.name = "tags", .kind = PN_FIELD_MAP, .max = 50, .element = &tag_text},
    END,
};
