/* SPDX-License-Identifier: Apache-2.0
 *
 * What resources of all types here have in common: lists by subscription, by resource group and
 * below a parent; GET, PUT, PATCH and DELETE of one, with rights, references and children.
 *
 * In the store: the resource's id, its type, body {"name", "location"?, "tags"?, "properties"}.
 */
#pragma once

#include "resource/resource_internal.h"

struct tracked_call;

struct tracked_type {
    const char *type;  /* "Microsoft.ManagedIdentity/userAssignedIdentities" */
    const char *child; /* "federatedIdentityCredentials": below it; NULL: top type */
    size_t name_min, name_max;
    const char *in_use_code; /* of a delete that is refused; NULL: "ResourceInUse" */
    const char *name_more;   /* what a name may have beside letters and digits */
    bool has_patch;
    /** The properties to store from those given over the former ones (NULL: it is new). Every error
     * of pn_resource_failure. */
    enum pn_rc (*make)(const struct tracked_call *call, const json_t *given, const json_t *former,
                       json_t **properties, struct pn_error *err);
    /** Inside the transaction, before the commit; may be NULL. */
    enum pn_rc (*check)(const struct tracked_call *call, struct pn_store_txn *txn,
                        const json_t *properties, struct pn_error *err);
    /** Ids that the resource uses, NULL-ended, in the arena; NULL: none. */
    const char *const *(*references)(const struct tracked_call *call, const json_t *properties);
    /** Changes the answer in place; may be NULL. */
    void (*view)(const struct pn_resource_call *call, const struct pn_store_item *item,
                 json_t *answer);
    /** Inside the transaction, before it is deleted: PN_CONFLICT keeps it; may be NULL. */
    enum pn_rc (*may_go)(struct pn_store_txn *txn, const struct pn_store_item *item,
                         struct pn_error *err);
    /** Inside the transaction of a write or delete, when it is done and before the commit; what it
     * writes is in force at the gateway before the call is answered. May be NULL. */
    enum pn_rc (*settle)(const struct pn_resource_call *call, struct pn_store_txn *txn,
                         struct pn_error *err);
    /** Told after each commit; may be NULL. */
    void (*changed)(const struct pn_resource_call *call);
};

struct tracked_call {
    struct pn_resource_call *base;
    const struct tracked_type *type;
    char id[PN_RESOURCE_ID_TEXT];     /* of the resource; of a list: its collection's owner */
    char parent[PN_RESOURCE_ID_TEXT]; /* of a child */
    struct pn_slice name;             /* ptr NULL: a list */
};

/** Answers a call of this type; `path->rest` is type[/name[/child[/name]]]. */
void tracked_handle(struct pn_resource_call *call, const struct resource_path *path,
                    const struct tracked_type *type);
/** {id, name, type, location?, tags?, properties}; NULL: no memory. */
json_t *tracked_json(const struct pn_store_item *item);
/** "a, b and c": who uses `id`; PN_CONFLICT if there is anybody, with `code`. */
/** Ends the transaction of a write that went well so far (`rc`), or takes it back: settle, commit,
 * publish. */
enum pn_rc tracked_finish(const struct pn_resource_call *call, const struct tracked_type *type,
                          struct pn_store_txn *txn, enum pn_rc rc,
                          struct pn_error *err) PN_MUST_USE;
enum pn_rc tracked_refuse_used(struct pn_store_txn *txn, const char *id, const char *code,
                               struct pn_error *err) PN_MUST_USE;
bool tracked_name_is_valid(struct pn_slice name, const struct tracked_type *type);
