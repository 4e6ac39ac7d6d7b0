/* SPDX-License-Identifier: Apache-2.0
 *
 * The table of resource types: what each is called and which names its resources may have.
 */
#pragma once

#include "base/error.h"
#include "base/slice.h"

enum pn_type {
    PN_TYPE_SUBSCRIPTION, /* of Azure: "Microsoft.Resources/subscriptions" */
    PN_TYPE_RESOURCE_GROUP,
    PN_TYPE_SERVICE,
    PN_TYPE_WORKSPACE,
    PN_TYPE_CERTIFICATE, /* this and what follows: of the service, or of a workspace */
    PN_TYPE_BACKEND,
    PN_TYPE_NAMED_VALUE,
    PN_TYPE_FRAGMENT, /* of policies */
    PN_TYPE_API,
    PN_TYPE_OPERATION,
    PN_TYPE_POLICY, /* global scope */
    PN_TYPE_API_POLICY,
    PN_TYPE_OPERATION_POLICY,
    PN_TYPE_ACCESS, /* of API Management: ".../service/subscriptions" */
    PN_TYPE_PRODUCT,
    PN_TYPE_PRODUCT_API, /* an API is in a product: ".../products/apis" (ADR 250) */
    PN_TYPE_PRODUCT_POLICY,
    PN_TYPE_EMBEDDED, /* "postern/embedded": a certificate taken out of a policy's body= */
    PN_TYPE_TOKEN,    /* "postern/token": a managed identity's, for policies (ADR 235) */
    PN_TYPE_HOSTNAME, /* "postern/hostname": one of the service's hostnameConfigurations */
    PN_TYPE_OUTBOUND, /* "postern/outbound": network rules of the service's connections */
    PN_TYPE_COUNT
};

struct pn_type_facts {
    const char *type; /* "Microsoft.ApiManagement/service/certificates"; also in a workspace */
    const char *noun; /* "Certificate", for error texts */
    size_t name_max;
    enum pn_name_rule {
        PN_NAME_ANY,     /* length only */
        PN_NAME_CHILD,   /* ^[^*#&+:<>?]+$ */
        PN_NAME_SERVICE, /* ^[a-zA-Z](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?$ */
        PN_NAME_GROUP,   /* letters, digits, - _ . ( ), no '.' at the end */
        PN_NAME_UUID,
        PN_NAME_POLICY, /* exactly "policy" */
        PN_NAME_WORD,   /* ^[\w]+$|^[\w][\w\-]+[\w]$ */
    } name_rule;
    const char *feed; /* its type in the feed, or NULL: the gateway does not need it */
};

const struct pn_type_facts *pn_type_facts(enum pn_type type);
/** By its text, without case; false if it is none of ours. */
bool pn_type_from_text(const char *text, enum pn_type *type);
/** PN_INVALID with the rule in words; target is "name". Control bytes and broken UTF-8 never pass.
 */
enum pn_rc pn_name_check(enum pn_type type, struct pn_slice name, struct pn_error *err) PN_MUST_USE;
