/* SPDX-License-Identifier: Apache-2.0
 *
 * Limits that several rooms of the control plane share. Each has an error that names it.
 */
#pragma once

#define PN_NAME_BYTES_MAX 256 /* a resource's name, the longest of all types */
#define PN_SCOPED_NAME_BYTES_MAX                                                                   \
    191 /* a certificate's id in UTF-8; in a workspace "workspaces/{w}/certificates/{id}" */
#define PN_ID_BYTES_MAX         2048 /* a whole resource id */
#define PN_ID_SEGMENTS_MAX      24   /* segments of a resource id or a management path */
#define PN_PAGE_ITEMS_MAX       100  /* $top; also the default page */
#define PN_FILTER_BYTES_MAX     2048 /* $filter */
#define PN_FILTER_TERMS_MAX     32   /* comparisons and calls in a $filter */
#define PN_VALIDATION_MAX       16   /* details in one ValidationError */
#define PN_SCHEMA_DEPTH_MAX     16   /* nesting of a document */
#define PN_MAP_MEMBERS_MAX      128  /* members of a free-form object (tags, header map) */
#define PN_HOSTNAMES_MAX        20   /* hostnameConfigurations of a service */
#define PN_CERTIFICATE_REFS_MAX 32   /* credentials.certificateIds and .certificate of a backend */
#define PN_BACKEND_VALUES_MAX   64   /* named values in the credentials of a backend */
#define PN_POOL_MEMBERS_MAX     30   /* pool.services of a backend */
#define PN_API_PRODUCTS_MAX     64   /* products that one API is in */
#define PN_BREAKER_RULES_MAX    15   /* circuitBreaker.rules of a backend; the first one counts */
#define PN_BREAKER_MATCHES_MAX  10   /* statusCodeRanges, and errorReasons, of one rule */
#define PN_TRUST_CAS_MAX        32   /* certificates in tls.postern.caCertificates of a backend */
#define PN_TRUST_PIN_TEXTS_MAX  32   /* tls.postern.pins of a backend */
#define PN_SERVICE_CAS_MAX      10   /* certificates of a service, as in API Management */
#define PN_BREAKER_TIME_MS_MAX                                                                     \
    86400000 /* interval, tripDuration and reconnect's after: one day                              \
              */

#define PN_NAMED_VALUE_CHARACTERS_MAX 4096 /* value of a named value, */
#define PN_NAMED_VALUE_BYTES_MAX      (4 * PN_NAMED_VALUE_CHARACTERS_MAX) /* and in UTF-8 */
