/* SPDX-License-Identifier: Apache-2.0
 *
 * Schema of backends.
 */
#include "model/tables.h"

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

static const struct pn_field id_text = {
    .name = "*", .kind = PN_FIELD_STRING, .min = 1, .max = PN_ID_BYTES_MAX};
static const struct pn_field thumbprint_text = {
    .name = "*", .kind = PN_FIELD_STRING, .min = 1, .max = 100};
static const struct pn_field value_text = {
    .name = "*", .kind = PN_FIELD_STRING, .min = 0, .max = 8192};
static const struct pn_field reason_text = {
    .name = "*", .kind = PN_FIELD_STRING, .min = 1, .max = 200};
static const struct pn_field value_list = {
    .name = "*", .kind = PN_FIELD_ARRAY, .max = 32, .element = &value_text};

static const struct pn_field authorization_fields[] = {NEEDED("scheme", 1, 100),
                                                       NEEDED("parameter", 1, 300), END};

static const struct pn_field credentials_fields[] = {
    {.name = "certificateIds",
     .kind = PN_FIELD_ARRAY,
     .max = PN_CERTIFICATE_REFS_MAX,
     .element = &id_text},
    {.name = "certificate",
     .kind = PN_FIELD_ARRAY,
     .max = PN_CERTIFICATE_REFS_MAX,
     .element = &thumbprint_text},
    {.name = "query", .kind = PN_FIELD_MAP, .max = PN_MAP_MEMBERS_MAX, .element = &value_list},
    {.name = "header", .kind = PN_FIELD_MAP, .max = PN_MAP_MEMBERS_MAX, .element = &value_list},
    {.name = "authorization", .kind = PN_FIELD_OBJECT, .members = authorization_fields},
    END,
};

static const struct pn_field proxy_fields[] = {
    {.name = "url", .kind = PN_FIELD_URL, .flags = PN_FIELD_REQUIRED, .min = 1, .max = 2000},
    TEXT("username", 0, 256),
    TEXT("password", 0, 256),
    END};

/* Postern's own (docs/adr/0166-trust-of-one-backend.md). */
static const struct pn_field ca_text = {
    .name = "*", .kind = PN_FIELD_STRING, .min = 1, .max = 256 * 1024};
static const struct pn_field pin_text = {
    .name = "*", .kind = PN_FIELD_STRING, .min = 1, .max = 200};
static const char *const tls_versions[] = {"1.2", "1.3", NULL};
static const struct pn_field postern_fields[] = {
    {.name = "caCertificates",
     .kind = PN_FIELD_ARRAY,
     .max = PN_TRUST_CAS_MAX,
     .element = &ca_text},
    {.name = "pins", .kind = PN_FIELD_ARRAY, .max = PN_TRUST_PIN_TEXTS_MAX, .element = &pin_text},
    TEXT("serverName", 1, 255),
    {.name = "minimumTlsVersion", .kind = PN_FIELD_ENUM, .values = tls_versions},
    {.name = "lateAuthentication", .kind = PN_FIELD_BOOL},
    END,
};
static const struct pn_field tls_fields[] = {
    {.name = "validateCertificateChain", .kind = PN_FIELD_BOOL},
    {.name = "validateCertificateName", .kind = PN_FIELD_BOOL},
    {.name = "postern",
     .kind = PN_FIELD_OBJECT,
     .flags = PN_FIELD_STRICT,
     .members = postern_fields},
    END,
};

static const struct pn_field status_range_fields[] = {
    {.name = "min", .kind = PN_FIELD_INT, .flags = PN_FIELD_REQUIRED, .min = 200, .max = 599},
    {.name = "max", .kind = PN_FIELD_INT, .flags = PN_FIELD_REQUIRED, .min = 200, .max = 599},
    END,
};
static const struct pn_field status_range = {
    .name = "*", .kind = PN_FIELD_OBJECT, .members = status_range_fields};
static const struct pn_field failure_fields[] = {
    {.name = "count", .kind = PN_FIELD_INT, .min = 1, .max = 1000000},
    {.name = "percentage", .kind = PN_FIELD_INT, .min = 1, .max = 100},
    {.name = "interval", .kind = PN_FIELD_DURATION},
    {.name = "statusCodeRanges",
     .kind = PN_FIELD_ARRAY,
     .max = PN_BREAKER_MATCHES_MAX,
     .element = &status_range},
    {.name = "errorReasons",
     .kind = PN_FIELD_ARRAY,
     .max = PN_BREAKER_MATCHES_MAX,
     .element = &reason_text},
    END,
};
static const struct pn_field breaker_rule_fields[] = {
    TEXT("name", 0, 300),
    {.name = "failureCondition", .kind = PN_FIELD_OBJECT, .members = failure_fields},
    {.name = "tripDuration", .kind = PN_FIELD_DURATION},
    {.name = "acceptRetryAfter", .kind = PN_FIELD_BOOL},
    END,
};
static const struct pn_field breaker_rule = {
    .name = "*", .kind = PN_FIELD_OBJECT, .members = breaker_rule_fields};
static const struct pn_field breaker_fields[] = {{.name = "rules",
                                                  .kind = PN_FIELD_ARRAY,
                                                  .max = PN_BREAKER_RULES_MAX,
                                                  .element = &breaker_rule},
                                                 END};

static const struct pn_field pool_service_fields[] = {
    NEEDED("id", 1, PN_ID_BYTES_MAX),
    {.name = "weight", .kind = PN_FIELD_INT, .min = 0, .max = 100},
    {.name = "priority", .kind = PN_FIELD_INT, .min = 0, .max = 100},
    END,
};
static const struct pn_field pool_service = {
    .name = "*", .kind = PN_FIELD_OBJECT, .members = pool_service_fields};
static const struct pn_field pool_fields[] = {
    {.name = "services",
     .kind = PN_FIELD_ARRAY,
     .flags = PN_FIELD_REQUIRED,
     .min = 1,
     .max = PN_POOL_MEMBERS_MAX,
     .element = &pool_service},
    END,
};

static const struct pn_field x509_name_fields[] = {
    TEXT("name", 0, 300), TEXT("issuerCertificateThumbprint", 0, 100), END};
static const struct pn_field x509_name = {
    .name = "*", .kind = PN_FIELD_OBJECT, .members = x509_name_fields};
static const struct pn_field fabric_fields[] = {
    {.name = "managementEndpoints",
     .kind = PN_FIELD_ARRAY,
     .flags = PN_FIELD_REQUIRED,
     .min = 1,
     .max = 32,
     .element = &value_text},
    TEXT("clientCertificateId", 0, PN_ID_BYTES_MAX),
    TEXT("clientCertificatethumbprint", 0, 100), /* spelt so by the service */
    {.name = "maxPartitionResolutionRetries", .kind = PN_FIELD_INT, .min = 0, .max = 100},
    {.name = "serverCertificateThumbprints",
     .kind = PN_FIELD_ARRAY,
     .max = 32,
     .element = &thumbprint_text},
    {.name = "serverX509Names", .kind = PN_FIELD_ARRAY, .max = 32, .element = &x509_name},
    END,
};
static const struct pn_field inner_fields[] = {
    {.name = "serviceFabricCluster", .kind = PN_FIELD_OBJECT, .members = fabric_fields}, END};

static const char *const protocols[] = {"http", "soap", NULL};
static const char *const backend_types[] = {"Single", "Pool", NULL};

const struct pn_field pn_reconnect_fields[] = {{.name = "after", .kind = PN_FIELD_DURATION}, END};

const struct pn_field pn_backend_fields[] = {
    {.name = "url", .kind = PN_FIELD_URL, .flags = PN_FIELD_WEBSOCKET, .min = 1, .max = 2000},
    {.name = "protocol", .kind = PN_FIELD_ENUM, .values = protocols},
    {.name = "type", .kind = PN_FIELD_ENUM, .values = backend_types},
    TEXT("title", 1, 300),
    TEXT("description", 1, 2000),
    TEXT("resourceId", 1, 2000),
    {.name = "credentials", .kind = PN_FIELD_OBJECT, .members = credentials_fields},
    {.name = "proxy", .kind = PN_FIELD_OBJECT, .members = proxy_fields},
    {.name = "tls", .kind = PN_FIELD_OBJECT, .members = tls_fields},
    {.name = "circuitBreaker", .kind = PN_FIELD_OBJECT, .members = breaker_fields},
    {.name = "pool", .kind = PN_FIELD_OBJECT, .members = pool_fields},
    {.name = "properties", .kind = PN_FIELD_OBJECT, .members = inner_fields},
    END,
};
