/* SPDX-License-Identifier: Apache-2.0
 *
 * Schemas of APIs, operations and products.
 */
#include "model/tables.h"

#include <stdint.h>

#define TEXT(field, lowest, highest)                                                               \
    {                                                                                              \
        .name = (field), .kind = PN_FIELD_STRING, .min = (lowest), .max = (highest)                \
    }
#define NEEDED(field, lowest, highest)                                                             \
    {                                                                                              \
        .name = (field), .kind = PN_FIELD_STRING, .flags = PN_FIELD_REQUIRED, .min = (lowest),     \
        .max = (highest)                                                                           \
    }
#define END                                                                                        \
    {                                                                                              \
        .name = NULL                                                                               \
    }

#define IMPORT_CHARACTERS_MAX (4 * 1024 * 1024)

static const struct pn_field any_value = {.name = "*", .kind = PN_FIELD_ANY};
static const char *const schemes[] = {"http", "https", "ws", "wss", NULL};
static const struct pn_field scheme = {.name = "*", .kind = PN_FIELD_ENUM, .values = schemes};
static const char *const api_types[] = {"http",  "soap", "websocket", "graphql",
                                        "odata", "grpc", NULL};
static const struct pn_field key_name_fields[] = {TEXT("header", 0, 256), TEXT("query", 0, 256),
                                                  END};
static const struct pn_field contact_fields[] = {TEXT("name", 0, 300), TEXT("url", 0, 2000),
                                                 TEXT("email", 0, 300), END};
static const struct pn_field license_fields[] = {TEXT("name", 0, 300), TEXT("url", 0, 2000), END};
static const struct pn_field oauth_fields[] = {TEXT("authorizationServerId", 0, 256),
                                               TEXT("scope", 0, 2000), END};
static const char *const bearer_methods[] = {"authorizationHeader", "query", NULL};
static const struct pn_field bearer_method = {
    .name = "*", .kind = PN_FIELD_ENUM, .values = bearer_methods};
static const struct pn_field openid_fields[] = {
    TEXT("openidProviderId", 0, 256),
    {.name = "bearerTokenSendingMethods",
     .kind = PN_FIELD_ARRAY,
     .max = 2,
     .element = &bearer_method},
    END,
};
static const struct pn_field oauth = {
    .name = "*", .kind = PN_FIELD_OBJECT, .members = oauth_fields};
static const struct pn_field openid = {
    .name = "*", .kind = PN_FIELD_OBJECT, .members = openid_fields};
/* What a portal shows to developers; the gateway does not act on it. */
static const struct pn_field authentication_fields[] = {
    {.name = "oAuth2", .kind = PN_FIELD_OBJECT, .members = oauth_fields},
    {.name = "openid", .kind = PN_FIELD_OBJECT, .members = openid_fields},
    {.name = "oAuth2AuthenticationSettings", .kind = PN_FIELD_ARRAY, .max = 20, .element = &oauth},
    {.name = "openidAuthenticationSettings", .kind = PN_FIELD_ARRAY, .max = 20, .element = &openid},
    END,
};

const struct pn_field pn_api_fields[] = {
    /* An empty path is the root: allowed for one API. */
    {.name = "path", .kind = PN_FIELD_STRING, .flags = PN_FIELD_REQUIRED, .min = 0, .max = 400},
    TEXT("displayName", 1, 300),
    TEXT("description", 0, 100000),
    {.name = "serviceUrl",
     .kind = PN_FIELD_URL,
     .flags = PN_FIELD_EMPTY_IS_ABSENT | PN_FIELD_WEBSOCKET,
     .min = 1,
     .max = 2000},
    {.name = "protocols", .kind = PN_FIELD_ARRAY, .max = 4, .element = &scheme},
    {.name = "subscriptionRequired", .kind = PN_FIELD_BOOL},
    {.name = "subscriptionKeyParameterNames", .kind = PN_FIELD_OBJECT, .members = key_name_fields},
    {.name = "type", .kind = PN_FIELD_ENUM, .values = api_types},
    {.name = "apiType", .kind = PN_FIELD_ENUM, .values = api_types},
    {.name = "apiRevision",
     .kind = PN_FIELD_STRING,
     .flags = PN_FIELD_EMPTY_IS_ABSENT,
     .min = 1,
     .max = 100},
    {.name = "isCurrent", .kind = PN_FIELD_BOOL},
    TEXT("apiRevisionDescription", 0, 256),
    {.name = "apiVersion",
     .kind = PN_FIELD_STRING,
     .flags = PN_FIELD_EMPTY_IS_ABSENT,
     .min = 1,
     .max = 100},
    {.name = "apiVersionSetId",
     .kind = PN_FIELD_STRING,
     .flags = PN_FIELD_EMPTY_IS_ABSENT,
     .min = 1,
     .max = PN_ID_BYTES_MAX},
    {.name = "apiVersionSet", .kind = PN_FIELD_ANY},
    TEXT("apiVersionDescription", 0, 256),
    {.name = "authenticationSettings", .kind = PN_FIELD_OBJECT, .members = authentication_fields},
    TEXT("termsOfServiceUrl", 0, 2000),
    {.name = "contact", .kind = PN_FIELD_OBJECT, .members = contact_fields},
    {.name = "license", .kind = PN_FIELD_OBJECT, .members = license_fields},
    {.name = "sourceApiId",
     .kind = PN_FIELD_STRING,
     .flags = PN_FIELD_EMPTY_IS_ABSENT,
     .min = 1,
     .max = PN_ID_BYTES_MAX},
    TEXT("format", 1, 40),
    TEXT("value", 0, IMPORT_CHARACTERS_MAX),
    END,
};

static const struct pn_field value_text = {
    .name = "*", .kind = PN_FIELD_STRING, .min = 0, .max = 2000};
static const struct pn_field parameter_fields[] = {
    NEEDED("name", 1, 300),
    NEEDED("type", 1, 100),
    TEXT("description", 0, 10000),
    TEXT("defaultValue", 0, 10000),
    {.name = "required", .kind = PN_FIELD_BOOL},
    {.name = "values", .kind = PN_FIELD_ARRAY, .max = 1000, .element = &value_text},
    TEXT("schemaId", 0, 300),
    TEXT("typeName", 0, 300),
    {.name = "examples", .kind = PN_FIELD_ANY},
    END,
};
static const struct pn_field parameter = {
    .name = "*", .kind = PN_FIELD_OBJECT, .members = parameter_fields};
static const struct pn_field representation_fields[] = {
    NEEDED("contentType", 1, 300),
    TEXT("schemaId", 0, 300),
    TEXT("typeName", 0, 300),
    {.name = "formParameters", .kind = PN_FIELD_ARRAY, .max = 200, .element = &parameter},
    {.name = "examples", .kind = PN_FIELD_MAP, .max = PN_MAP_MEMBERS_MAX, .element = &any_value},
    END,
};
static const struct pn_field representation = {
    .name = "*", .kind = PN_FIELD_OBJECT, .members = representation_fields};
static const struct pn_field request_fields[] = {
    TEXT("description", 0, 10000),
    {.name = "queryParameters", .kind = PN_FIELD_ARRAY, .max = 200, .element = &parameter},
    {.name = "headers", .kind = PN_FIELD_ARRAY, .max = 200, .element = &parameter},
    {.name = "representations", .kind = PN_FIELD_ARRAY, .max = 50, .element = &representation},
    END,
};
static const struct pn_field response_fields[] = {
    {.name = "statusCode",
     .kind = PN_FIELD_INT,
     .flags = PN_FIELD_REQUIRED,
     .min = 100,
     .max = 599},
    TEXT("description", 0, 10000),
    {.name = "representations", .kind = PN_FIELD_ARRAY, .max = 50, .element = &representation},
    {.name = "headers", .kind = PN_FIELD_ARRAY, .max = 200, .element = &parameter},
    END,
};
static const struct pn_field response = {
    .name = "*", .kind = PN_FIELD_OBJECT, .members = response_fields};

const struct pn_field pn_operation_fields[] = {
    NEEDED("displayName", 1, 300),
    NEEDED("method", 1, 32),
    NEEDED("urlTemplate", 1, 1000),
    {.name = "templateParameters", .kind = PN_FIELD_ARRAY, .max = 100, .element = &parameter},
    TEXT("description", 0, 1000),
    {.name = "request", .kind = PN_FIELD_OBJECT, .members = request_fields},
    {.name = "responses", .kind = PN_FIELD_ARRAY, .max = 100, .element = &response},
    {.name = "policies",
     .kind = PN_FIELD_STRING,
     .flags = PN_FIELD_EMPTY_IS_ABSENT,
     .min = 1,
     .max = IMPORT_CHARACTERS_MAX},
    END,
};

static const char *const product_states[] = {"notPublished", "published", NULL};

const struct pn_field pn_product_fields[] = {
    NEEDED("displayName", 1, 300),
    TEXT("description", 0, 1000),
    TEXT("terms", 0, 100000),
    {.name = "subscriptionRequired", .kind = PN_FIELD_BOOL},
    {.name = "approvalRequired", .kind = PN_FIELD_BOOL},
    {.name = "subscriptionsLimit", .kind = PN_FIELD_INT, .min = 0, .max = INT32_MAX},
    {.name = "state", .kind = PN_FIELD_ENUM, .values = product_states},
    END,
};

const struct pn_field pn_product_link_fields[] = {
    NEEDED("apiId", 1, PN_ID_BYTES_MAX),
    END,
};
