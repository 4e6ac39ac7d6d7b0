/* SPDX-License-Identifier: Apache-2.0
 *
 * Inside the management API: one call, from its route to its answer. A call lives on the stack of
 * pn_arm_handle; its texts are in the request's arena. A handler answers exactly once, by one of
 * the arm_answer_* functions or by a helper that says it has answered (they return false).
 */
#pragma once

#include <pthread.h>

#include "arm/arm.h"
#include "base/json.h"
#include "model/id.h"
#include "model/name.h"
#include "model/schema.h"
#include "model/tables.h"
#include "policy/policy.h"

struct pn_arm {
    struct pn_arm_config config;
    pthread_mutex_t since_lock;
    json_t *since; /* network_since.c's; by service */
};

#define ARM_NAMES_MAX     8
#define ARM_ETAG_TEXT     16 /* base64 of 8 bytes, two quotes, NUL */
#define ARM_RETRY_AFTER_S 1

struct arm_call;
struct arm_filter;
struct arm_order;
struct arm_renewal;
struct arm_sources;
typedef void (*arm_handler_fn)(struct arm_call *call);

/** One address: fixed segments in canonical casing, '*' for a name. */
struct arm_route {
    const char *pattern;
    enum pn_type type;
    const char *action; /* read and write are appended; with .post it is the whole action */
    arm_handler_fn get, put, patch, remove, post;
    bool is_extension;   /* of ours, docs/openapi/postern.json: needs no api-version */
    bool in_workspace;   /* also below a workspace: "workspaces/" then stands in the action, too */
    bool is_association; /* its PUT has no body: all that it says is in the address */
};

struct arm_call {
    struct pn_arm *arm;
    const struct pn_request *request;
    struct pn_response *response;
    struct pn_arena *arena;
    const struct arm_route *route;
    struct pn_principal principal;
    struct pn_slice names[ARM_NAMES_MAX]; /* what the '*' of the route stand for */
    size_t name_count;
    struct pn_slice workspace; /* its name, which is not among names; empty: the service itself */
    const char *id; /* canonical id of the addressed resource, or of the collection's owner */
    const char *service_id;       /* canonical id of the service, or NULL */
    const char *scope_id;         /* of the workspace, or of the service: what names are meant in */
    const char *parent_id;        /* of the API or operation above, once arm_parent found it */
    const char *parent_noun;      /* "API", "Operation" */
    struct pn_store_item service; /* loaded when service_id is set */
    json_t *body;                 /* the parsed body, an object; NULL when there was none */
    struct pn_store_txn *view_txn; /* for a view of what is not committed yet; NULL: none */
    bool is_collection;            /* the pattern ends with a fixed segment */
    bool wants_rawxml;             /* of policies: the form in which values are answered */
    bool is_noted;                 /* in the audit log, by a transaction */
    json_t *dropped_keys; /* internals of embedded certificates that were deleted; may be NULL */
    json_t *imported;     /* operations of a description (import.c); NULL: none was given */
    struct arm_renewal *renewal; /* of those that name what is put; may be NULL */
    bool wants_again;            /* nothing was stored: something has to be got first */
    /** Called by arm_store_and_answer after the put, before the commit; may be NULL. PN_EXISTS: it
     *  has answered. */
    enum pn_rc (*before_commit)(struct arm_call *call, struct pn_store_txn *txn,
                                struct pn_error *err);
};

/* arm.c */
/** The last name of the route. */
struct pn_slice arm_name(const struct arm_call *call);
/** Answers that the workspace of the path is not there. */
void arm_answer_no_workspace(struct arm_call *call);

/* routes.c */
/** Finds the route of the path; fills call->route, names, is_collection. False: there is none. */
bool arm_route_find(struct arm_call *call, const struct pn_slice *segments, size_t count);
/** Builds call->id from the route and the names. PN_NOMEM, PN_LIMIT. */
enum pn_rc arm_route_id(struct arm_call *call) PN_MUST_USE;
arm_handler_fn arm_route_handler(const struct arm_call *call);
/** "GET, HEAD, PUT": what the route has. */
const char *arm_route_allowed(const struct arm_call *call);

/* caller.c: who calls, and may they; false: answered */
/** The action as it is in the call's scope (in the arena; NULL: no memory). */
const char *arm_scoped_action(const struct arm_call *call, const char *action);
bool arm_authenticate(struct arm_call *call);
bool arm_authorize(struct arm_call *call);

/* answer.c */
void arm_answer_error(struct arm_call *call, int status, const char *code, const char *format, ...)
    PN_PRINTF(4, 5);
/** The same with details (taken; NULL: none). */
void arm_answer_error_with(struct arm_call *call, int status, const char *code, json_t *details,
                           const char *format, ...) PN_PRINTF(5, 6);
/** 400 ValidationError with these details. */
void arm_answer_problems(struct arm_call *call, const struct pn_problems *problems);
/** 400 ValidationError with one detail. */
void arm_answer_invalid(struct arm_call *call, const char *target, const char *format, ...)
    PN_PRINTF(3, 4);
/** The same, with the cause's code as details[0].innererror.code: for programs and tests. */
void arm_answer_cause(struct arm_call *call, const char *target, const char *cause,
                      const char *message);
/** The same with a whole innererror (taken): {"code", …}. */
void arm_answer_cause_with(struct arm_call *call, const char *target, json_t *inner,
                           const char *message);
/** vault_hint.c: the vault of `key_vault` (checked properties.keyVault) refused the service's
 *  identity: the cause says what a grant needs. */
void arm_answer_vault_forbidden(struct arm_call *call, const json_t *key_vault,
                                const struct pn_error *err);
/** By err->rc: PN_INVALID and PN_MALFORMED are ValidationErrors about err->target. */
void arm_answer_failure(struct arm_call *call, const struct pn_error *err);
/** Takes `json`; NULL counts as out of memory. `revision` 0: no ETag. */
void arm_answer_json(struct arm_call *call, int status, json_t *json, uint64_t revision);
void arm_answer_empty(struct arm_call *call, int status);
/** 404 for the addressed resource. */
void arm_answer_not_found(struct arm_call *call);
void arm_etag(uint64_t revision, char out[ARM_ETAG_TEXT]);
/** If-Match and If-None-Match against `item` (NULL: there is none). False: answered 412. */
bool arm_precondition(struct arm_call *call, const struct pn_store_item *item);
bool arm_precondition_revision(struct arm_call *call, bool exists, uint64_t revision);

/* entity.c: what all types have in common */
/** The ARM type of what is stored as `kind` under `id`: in a workspace it says so. New reference.
 */
json_t *arm_type(const char *id, const char *kind);
/** {id, name, type, properties}: new reference. `properties` is taken; NULL gives NULL. */
json_t *arm_entity(const struct pn_store_item *item, json_t *properties);
/** A type's view of a stored item; NULL with err filled. */
typedef json_t *(*arm_view_fn)(struct arm_call *call, const struct pn_store_item *item,
                               struct pn_error *err);
/** The view of types whose stored properties are what GET returns. */
json_t *arm_view_plain(struct arm_call *call, const struct pn_store_item *item,
                       struct pn_error *err);
void arm_get_with(struct arm_call *call, arm_view_fn view);
/** Checks body.properties; false: answered. *properties is a new reference. */
bool arm_properties(struct arm_call *call, const struct pn_field *fields, json_t **properties);
/** Begins a transaction and reads the addressed item (item->id NULL when it is missing) with its
 *  preconditions; looks again whether the parent is there. False: answered, nothing is open. */
bool arm_begin(struct arm_call *call, struct pn_store_txn **txn, struct pn_store_item *item);
/** Stores `properties` (takes the reference) over `former`, ends `txn` and answers. */
typedef void (*arm_store_fn)(struct arm_call *call, struct pn_store_txn *txn,
                             const struct pn_store_item *former, json_t *properties);
/** The properties of a stored item as a caller may have given them: a new reference. */
typedef enum pn_rc (*arm_open_fn)(struct pn_arm *arm, const struct pn_store_item *item,
                                  json_t **properties, struct pn_error *err);
/** An arm_open_fn's work for a type whose secrets are sealed in internal.sealed: `join` puts them
 *  back into a copy of the properties (false: no memory). PN_NOMEM; what the keyholder says. */
enum pn_rc arm_open_sealed(struct pn_arm *arm, const struct pn_store_item *item,
                           bool (*join)(json_t *properties, json_t *secrets), json_t **properties,
                           struct pn_error *err) PN_MUST_USE;
/** PUT: checks body.properties and hands them to `store`. */
void arm_put(struct arm_call *call, const struct pn_field *fields, arm_store_fn store);
/** PATCH: merges body.properties into the stored ones, checks the result, and hands it to `store`.
 *  `open` NULL: the stored properties have nothing sealed. */
void arm_patch(struct arm_call *call, const struct pn_field *fields, arm_open_fn open,
               arm_store_fn store);
/** Commits, then waits for the gateway. False: answered. */
bool arm_commit(struct arm_call *call, struct pn_store_txn *txn, uint64_t *revision);
/** Waits until the gateway uses `revision`. False: answered. */
bool arm_publish(struct arm_call *call, uint64_t revision);
/** Puts {"name", "properties", "internal"} and commits; answers 201 or 200 with `view`. Takes
 *  properties and internal (NULL: none); ends the transaction. True: it was stored and is live. */
bool arm_store_and_answer(struct arm_call *call, struct pn_store_txn *txn,
                          const struct pn_store_item *former, json_t *properties, json_t *internal,
                          const char *const *references, arm_view_fn view);
/** Deletes everything of that type below `prefix`. PN_IO … */
enum pn_rc arm_delete_below(struct pn_store_txn *txn, const char *prefix, const char *type,
                            struct pn_error *err) PN_MUST_USE;
/** What goes with a deleted item, by its "internal". */
typedef enum pn_rc (*arm_dropped_fn)(struct arm_call *call, const json_t *internal,
                                     struct pn_error *err);
/** Deletes what of that type below `prefix` (NULL: there was no memory for it) nobody refers to.
 *  `dropped` may be NULL. PN_NOMEM, PN_IO … */
enum pn_rc arm_delete_unused(struct pn_store_txn *txn, const char *prefix, const char *type,
                             arm_dropped_fn dropped, struct arm_call *call,
                             struct pn_error *err) PN_MUST_USE;
/** arm_begin() of a DELETE. False: answered, with 204 when the item is not there. */
bool arm_begin_delete(struct arm_call *call, struct pn_store_txn **txn, struct pn_store_item *item);
/** DELETE of a type without children of its own. *item: as it was when it was deleted; the
 * caller's, in any case. False: answered; the answer to true is the caller's. */
bool arm_delete_item(struct arm_call *call, struct pn_store_item *item);
/** The same, answered. */
void arm_delete(struct arm_call *call);
/** Whether the resource above the addressed one exists; takes over its casing. False: answered. */
bool arm_parent(struct arm_call *call, size_t names_up);

/** Takes ";rev=1" off the API's name in names[3] and the id; another revision: false, answered. */
bool arm_drop_revision(struct arm_call *call);

/* in_use.c */
/** What a literal thumbprint is referenced as, beside the certificate that has it now: the
 *  certificate that has it later is in use too. NULL: no memory. */
const char *arm_thumbprint_reference(struct arm_call *call, const char *thumbprint);
/** Refuses (false: answered, the transaction is over) while others reference the addressed item. */
bool arm_refuse_while_used(struct arm_call *call, struct pn_store_txn *txn);

/* usage.c */
#define ARM_USERS_MAX          10000 /* entries of one answer; above, it says that there are more */
#define ARM_DETAILED_USERS_MAX 100   /* named by the refusal to delete */
#define ARM_BY_PRODUCT         "product" /* an API that is in a product whose policy does */
#define ARM_BY_SECRET          "sameSecret"
#define ARM_BY_CERTIFICATE     "sameCertificate"
#define ARM_BY_EXPRESSION      "expression" /* whose literals do not tell which one it names */
struct arm_usage_wish {
    size_t max;           /* entries */
    bool with_thumbprint; /* of a certificate: also those that name its thumbprint */
    bool with_listeners;  /* of a certificate: also host names that show the same one */
    bool with_any;        /* also expressions that may name any */
};
struct arm_usage {
    json_t *list; /* [{id, name, type, via, by, dynamic}], those that are nearer first; the
                     caller's. "dynamic": true only of those that only expressions lead to */
    bool is_cut;  /* there are more */
};
/** Who uses the item, directly or through others. On failure the list is NULL. PN_NOMEM; what the
 * store says. */
enum pn_rc arm_usage_in(struct pn_store_txn *txn, struct pn_arena *arena, const char *scope_id,
                        const struct pn_store_item *item, const struct arm_usage_wish *wish,
                        struct arm_usage *usage, struct pn_error *err) PN_MUST_USE;

/* policy_literals.c */
/* What an expression names has a second reference beside the one to the item itself; one whose
 * literals do not tell refers to any of a kind. In the arena; NULL: no memory. */
#define ARM_CERTIFICATES "certificates"
#define ARM_BACKENDS     "backends"
const char *arm_dynamic_reference(struct pn_arena *arena, const char *scope_id, const char *id);
const char *arm_dynamic_any(struct pn_arena *arena, const char *scope_id, const char *kind);
#define ARM_LITERAL_MAX 8 /* certificates with one thumbprint that a literal refers to */
struct pn_policy_reference;
struct arm_literal {
    const char *kind; /* ARM_CERTIFICATES, ARM_BACKENDS */
    const struct pn_policy_reference *reference;
    const char *ids[ARM_LITERAL_MAX]; /* of what it names; NULL among them: no memory */
    size_t count;
    const char *thumbprint; /* the reference to it, if it is one */
};
/** PN_NOMEM; what the store says. */
enum pn_rc arm_literal_find(struct arm_call *call, struct pn_store_txn *txn,
                            struct arm_literal *literal, struct pn_error *err) PN_MUST_USE;

/* linked_access.c */
/** Whether the caller may use the certificates among `references` (NULL-ended). False: answered;
 * the caller rolls back. */
bool arm_check_linked_access(struct arm_call *call, const char *const *references);

/* audit.c */
/** Notes a change of a certificate in the transaction that makes it; nothing for other types. What
 * the store says, PN_NOMEM. */
enum pn_rc arm_audit_in(struct arm_call *call, struct pn_store_txn *txn, int status,
                        const json_t *properties, struct pn_error *err) PN_MUST_USE;
/** What arm_audit_in() would note, for a transaction of another room: a new reference. NULL:
 * nothing is noted of this call, or no memory (then arm_audit_answer() does it). */
json_t *arm_audit_entry(const struct arm_call *call, int status);
/** Notes in the transaction that a certificate goes with what it is in. */
enum pn_rc arm_audit_removed(struct arm_call *call, struct pn_store_txn *txn,
                             const struct pn_store_item *certificate,
                             struct pn_error *err) PN_MUST_USE;
/** Notes what was answered, unless that is noted. */
void arm_audit_answer(struct arm_call *call);

/* list.c */
/** Pages and filters what is stored of `type` below call->id + suffix. `fields`: what $filter may
 * name, NULL-ended. */
struct arm_list_rule {
    const char *prefix; /* ids start with it; NULL: there was no memory for it, which is answered */
    const char *type;
    const char *const *fields;
    arm_view_fn view;
    bool (*keep)(const struct arm_call *call, const struct pn_store_item *item); /* may be NULL */
    bool are_facts; /* `fields` are shown as they are stored; of arm_view_plain() they are anyway */
    bool is_followed; /* only what follows a key vault */
};
void arm_list(struct arm_call *call, const struct arm_list_rule *rule);

/* list_facts.c */
/** Whether a list can be filtered and sorted by what the store keeps of each resource. */
bool arm_list_has_facts(const struct arm_list_rule *rule);
/** The page's views into `value` (an empty array), how many there are in all into *count; only the
 *  page's documents are read. `filter` may be NULL. */
enum pn_rc arm_list_by_facts(struct arm_call *call, const struct arm_list_rule *rule,
                             const struct arm_filter *filter, const struct arm_order *order,
                             uint64_t skip, uint64_t top, json_t *value, uint64_t *count,
                             struct pn_error *err) PN_MUST_USE;

/* order.c */
struct arm_order {
    const char *field; /* NULL: none was asked for */
    bool is_descending;
};
/** "field", "field asc", "field desc"; empty: none. PN_INVALID: err tells where. */
enum pn_rc arm_order_parse(struct pn_slice text, const char *const *fields, struct arm_order *order,
                           struct pn_error *err) PN_MUST_USE;
/** Sorts the views of *value, and leaves the page's part in it. PN_NOMEM: *value is as it was. */
enum pn_rc arm_order_cut(const struct arm_order *order, uint64_t skip, uint64_t top, json_t **value,
                         struct pn_error *err) PN_MUST_USE;

/* filter.c */
/** The field's text in a view ("name", or a member of properties); false: it is missing. */
bool arm_field_text(const json_t *entity, const char *field, struct pn_slice *value);
struct arm_filter;
/** PN_INVALID: err tells where. The filter is in the arena. */
enum pn_rc arm_filter_parse(struct pn_arena *arena, struct pn_slice text, const char *const *fields,
                            struct arm_filter **filter, struct pn_error *err) PN_MUST_USE;
/** `entity`: a view. */
bool arm_filter_matches(const struct arm_filter *filter, const json_t *entity);

/* backend.c */
/** The stored properties with the sealed secrets back in their places: new reference. */
enum pn_rc arm_backend_open(struct pn_arm *arm, const struct pn_store_item *item,
                            json_t **properties, struct pn_error *err) PN_MUST_USE;
/** The same with named values put in: for the gateway. */
enum pn_rc arm_backend_open_resolved(struct pn_arm *arm, const struct pn_store_item *item,
                                     json_t **properties, struct pn_error *err) PN_MUST_USE;
/** Puts the named values that its credentials name into `body` (a copy of the stored one) anew. */
enum pn_rc arm_backend_renew(struct arm_sources *sources, const struct pn_store_item *item,
                             json_t *body, struct pn_error *err) PN_MUST_USE;

/* backend_check.c */
/** What the schema cannot say. Adds to `problems`. */
void arm_backend_check(struct pn_problems *problems, const json_t *properties);

/* backend_trust.c */
/** tls.postern: checks it, and writes its certificates as they are stored. Adds to `problems`. */
void arm_backend_trust(struct pn_problems *problems, json_t *properties);

/* service_cas.c */
#define ARM_SERVICE_CAS_MEMBER "certificates"
/** What the files in properties.certificates of the body hold. */
struct arm_service_cas {
    struct pn_certificate *given[PN_SERVICE_CAS_MAX]; /* by their place; NULL: no file there */
};
/** Opens the files; before the transaction, for a PFX goes to the keyholder. False: answered, and
 *  nothing is to be ended. */
bool arm_service_cas_prepare(struct arm_call *call, struct arm_service_cas *cas);
/** Puts the facts into `properties` and what the gateway needs into `internal`. What has no file
 *  must be stored: clients write back what they have read. Adds to `problems`. False: no memory. */
bool arm_service_cas_set(const struct arm_service_cas *cas, const struct pn_store_item *former,
                         json_t *properties, json_t *internal, struct pn_problems *problems);
void arm_service_cas_end(struct arm_service_cas *cas);

/* backend_references.c */
#define ARM_BACKEND_REFERENCES_MAX                                                                 \
    (2 * PN_CERTIFICATE_REFS_MAX + PN_POOL_MEMBERS_MAX + PN_BACKEND_VALUES_MAX)
struct arm_backend_references {
    const char *ids[ARM_BACKEND_REFERENCES_MAX + 1]; /* NULL-ended; in the arena */
    size_t count;
    json_t *certificate_names; /* lower case, for internal; the caller's reference */
    json_t *member_names;      /* the same of a pool's members, in their order */
};
/** In the transaction: checks every reference. False: answered; the caller rolls back. */
bool arm_backend_refer(struct arm_call *call, struct pn_store_txn *txn, const json_t *properties,
                       struct arm_backend_references *references);

/* backend_values.c */
/** `secrets` {header, query, authorization}: puts {"resolved"} with what names named values into
 * it, or takes it out. Adds to `references` unless it is NULL. PN_INVALID: there is no such value,
 * or the result cannot be sent; err names the place, no value. */
enum pn_rc arm_backend_values(struct arm_sources *sources, json_t *secrets,
                              struct arm_backend_references *references,
                              struct pn_error *err) PN_MUST_USE;

/* policy_references.c */
/** Deletes the embedded certificates that no policy uses any more; remembers their keys in the
 * call. */
enum pn_rc arm_policy_drop_embedded(struct arm_call *call, struct pn_store_txn *txn,
                                    struct pn_error *err) PN_MUST_USE;
/** Remembers the keys of a certificate that is deleted. PN_NOMEM. */
enum pn_rc arm_drop_keys(struct arm_call *call, const json_t *internal,
                         struct pn_error *err) PN_MUST_USE;
/** After the commit: lets the keyholder forget those keys. */
void arm_policy_forget_dropped(struct arm_call *call);
/** What the policy's literal references need: certificates and backends must exist, bodies are
 *  imported and embedded. */
struct arm_policy_work;
/** Imports each body= into the keyholder and replaces it in the document; gets tokens. *work also
 *  on failure, unless there was no memory. May block. */
enum pn_rc arm_policy_import_in(struct arm_call *call, struct pn_policy_document *document,
                                struct arm_policy_work **work, struct pn_error *err) PN_MUST_USE;
/** Code of PN_UNAVAILABLE: arm_policy_import_in() has to come before. */
#define ARM_TOKEN_FORGOTTEN "token_forgotten"
/** Ids, each list NULL-ended and in the arena. */
struct arm_policy_refers {
    const char *const *ids; /* what the document itself names, fragments and named values too */
    const char *const *included; /* certificates that included fragments name */
    json_t *through; /* [{certificate, namedValue}]: those of `ids` that a named value names */
};
/** In the transaction: checks every reference, puts new embedded certificates. `work` may be NULL.
 *  refers->through is to be freed in either case. */
enum pn_rc arm_policy_refer_in(struct arm_call *call, struct pn_store_txn *txn,
                               struct arm_sources *sources,
                               const struct pn_policy_document *document,
                               struct arm_policy_work *work, struct arm_policy_refers *refers,
                               struct pn_error *err) PN_MUST_USE;
/** Lets the keyholder forget imported keys that are not in use. NULL is fine. */
void arm_policy_work_end(struct arm_call *call, struct arm_policy_work *work);

/* tokens.c: tokens of managed identities for policies, kept as resources (ADR 235) */
/** "{service}/posternTokens/{name}" in the arena; NULL: no memory. */
const char *arm_token_id(struct pn_arena *arena, const char *service_id, struct pn_slice name);
/** Gets one and makes the document that is stored: also when it could not be got, then with the
 *  reason. A new reference. PN_NOMEM, and what sealing answers. */
enum pn_rc arm_token_make(const struct pn_arm_services *services, const char *id,
                          const struct pn_arm_token_wish *wish, json_t **body,
                          struct pn_error *err) PN_MUST_USE;
/** As the feed has it. */
enum pn_rc arm_token_open(struct pn_arm *arm, const struct pn_store_item *item, json_t **internal,
                          struct pn_error *err) PN_MUST_USE;
/** Deletes those that no policy uses any more. */
enum pn_rc arm_tokens_drop(struct arm_call *call, struct pn_store_txn *txn,
                           struct pn_error *err) PN_MUST_USE;
/** Whether the token is good for longer than a renewal takes. */
bool arm_token_is_good(const struct pn_store_item *item);

/* policy.c */
/** The stored rawxml as xml text: a new reference. */
json_t *arm_policy_as_xml(struct pn_slice rawxml, struct pn_error *err);
/** Reads ?format= into the call. False: answered. */
bool arm_policy_format(struct arm_call *call);
/** PUT of a policy or fragment with these checked properties; `kept` (NULL, or names ended by NULL)
 *  are stored beside value and format. Answers. */
void arm_document_put(struct arm_call *call, const json_t *given, const char *const *kept,
                      arm_view_fn view_fn);
enum pn_rc arm_document_before_commit(struct arm_call *call, struct pn_store_txn *txn,
                                      struct pn_error *err);

/* policy_document.c */
enum pn_policy_scope arm_policy_scope(const char *type, const char *id);
/** A policy of any scope; not a fragment. */
bool arm_is_policy(const char *type);
/** With what it names put in, as the sources' transaction has it. */
enum pn_rc arm_policy_read(struct arm_sources *sources, const char *type, const char *id,
                           struct pn_slice text, enum pn_policy_format format,
                           struct pn_policy_document **document, struct pn_error *err) PN_MUST_USE;
/** The same before there is a transaction. */
enum pn_rc arm_policy_read_given(struct arm_call *call, const char *type, struct pn_slice text,
                                 enum pn_policy_format format, struct pn_policy_document **document,
                                 struct pn_error *err) PN_MUST_USE;
/** {"value", "format"} as they are stored: a new reference. NULL: no memory. */
json_t *arm_policy_canonical(const struct pn_policy_document *document);
/** *internal (a new reference, or NULL): what is sealed, and by which named values certificates are
 *  named. Takes a value with a password out of `properties`. */
enum pn_rc arm_policy_keep(struct arm_call *call, const char *type, const char *id,
                           const struct pn_policy_document *document, json_t *through,
                           json_t *properties, json_t **internal, struct pn_error *err) PN_MUST_USE;
/** The properties with the document that was sealed because it has a password. */
enum pn_rc arm_policy_open(struct pn_arm *arm, const struct pn_store_item *item,
                           json_t **properties, struct pn_error *err) PN_MUST_USE;
/** The same with what it names put in. */
enum pn_rc arm_policy_open_resolved(struct pn_arm *arm, const struct pn_store_item *item,
                                    json_t **properties, struct pn_error *err) PN_MUST_USE;

/* sources.c */
struct arm_known_value;
struct arm_sources {
    struct arm_call *call;        /* its scope is where names are looked for */
    struct pn_store_txn *txn;     /* NULL: the sources begin one of their own when they need it, */
    struct pn_store_txn *own_txn; /* which nothing is written in */
    struct pn_policy_sources policy;
    struct pn_arena *arena; /* secret */
    struct arm_known_value *known;
};
/** PN_NOMEM. fini in either case. */
enum pn_rc arm_sources_init(struct arm_sources *sources, struct arm_call *call,
                            struct pn_store_txn *txn, struct pn_error *err) PN_MUST_USE;
void arm_sources_fini(struct arm_sources *sources);
/** What the named value with that display name references, and nobody else: it is found by that.
 *  NULL: no memory. */
const char *arm_named_value_reference(struct pn_arena *arena, const char *scope_id,
                                      struct pn_slice display_name);
/** By its display name; both texts live as long as the sources. PN_NOT_FOUND; what unsealing says.
 */
enum pn_rc arm_named_value_find(struct arm_sources *sources, struct pn_slice name,
                                struct pn_policy_value *value, const char **id,
                                struct pn_error *err) PN_MUST_USE;
typedef enum pn_rc (*arm_on_value_fn)(void *ctx, const char *id, struct pn_error *err);
/** Appends the text to `out` with named values put in; on_value (may be NULL) is told of each.
 *  PN_INVALID: there is no such one; PN_LIMIT: of the buffer. */
enum pn_rc arm_put_values(struct arm_sources *sources, struct pn_slice text, struct pn_buf *out,
                          arm_on_value_fn on_value, void *ctx, struct pn_error *err) PN_MUST_USE;

/* named_value.c */
/** The properties with the value, also a sealed one. */
enum pn_rc arm_named_value_open(struct pn_arm *arm, const struct pn_store_item *item,
                                json_t **properties, struct pn_error *err) PN_MUST_USE;

/* dependents.c */
#define ARM_RENEWAL_WORKS_MAX 64
struct arm_renewal {
    struct {
        const char *id;
        struct arm_policy_work *work;
    } works[ARM_RENEWAL_WORKS_MAX];
    size_t count;
    const char *wanted; /* this policy needs arm_renewal_prepare(), then all of it once more */
    struct pn_policy_document *document; /* the policy's */
    const char *refused_by;              /* the one that could not bear the change */
};
/** Makes all that name `id`, directly or through fragments, anew; what is changed is in the
 *  transaction. PN_INVALID: one of them would not be valid, err says which and where. PN_EXISTS:
 * the call is answered (linked access). state->wanted set: roll back, prepare, and come again. */
enum pn_rc arm_renew_users(struct arm_call *call, struct pn_store_txn *txn, const char *id,
                           struct arm_renewal *state, struct pn_error *err) PN_MUST_USE;
/** Gets what state->wanted needs; without a transaction. */
enum pn_rc arm_renewal_prepare(struct arm_call *call, struct arm_renewal *state,
                               struct pn_error *err) PN_MUST_USE;
void arm_renewal_end(struct arm_call *call, struct arm_renewal *state);

/* access.c */
/** "/" , "/apis", "/apis/echo" or "/products/gold" in lower case, from what a caller may give; NULL
 * in the arena's place: not acceptable, err tells. */
const char *arm_access_scope(struct pn_arena *arena, const char *scope_id, const char *scope,
                             struct pn_error *err);
/** Fills internal with key hashes and sealed keys. NULL keys are made. */
enum pn_rc arm_access_seal(const struct pn_arm_services *services, const char *id,
                           const char *primary, const char *secondary, json_t *internal,
                           struct pn_error *err) PN_MUST_USE;

/* product.c */
/** Whether calls of its APIs need no key. */
bool arm_product_is_open(const json_t *properties);

/* product_api.c: which APIs are in which products (ADR 250) */
/** Another open product that the API is in: its name in *name (in the arena), else NULL. What the
 *  store says, PN_NOMEM. */
enum pn_rc arm_product_other_open(struct arm_call *call, struct pn_store_txn *txn,
                                  const char *api_id, const char *product_id, const char **name,
                                  struct pn_error *err) PN_MUST_USE;
/** The API that a stored link is of: its id; borrowed. NULL: it is no link. */
const char *arm_product_link_api(const struct pn_store_item *link);

/* seal.c */
/** Seals JSON as base64 text, bound to the id in lower case. */
enum pn_rc arm_seal(const struct pn_arm_services *services, const char *id, const json_t *plain,
                    json_t **sealed, struct pn_error *err) PN_MUST_USE;
enum pn_rc arm_unseal(const struct pn_arm_services *services, const char *id, const char *sealed,
                      json_t **plain, struct pn_error *err) PN_MUST_USE;
/** An ASCII lower-case copy in the arena. */
char *arm_lower(struct pn_arena *arena, struct pn_slice text);

/* gateway_rules.c: what the gateway's own parsers take, said before a change is stored: the gateway
 * refuses a whole commit for one item that it cannot read. */
void arm_check_backend_url(struct pn_problems *problems, const char *target, struct pn_slice url);
void arm_check_url_template(struct pn_problems *problems, struct pn_slice url_template);

/* operation.c */
/** Normalizes and checks one operation's properties. `shape` gets its template with "{}" for each
 *  parameter. PN_NOMEM; what is wrong goes to `problems`. */
enum pn_rc arm_operation_check(struct pn_problems *problems, json_t *properties,
                               struct pn_buf *shape) PN_MUST_USE;

/* import.c */
/** `format` and `value`: takes them out of `properties`, adds what the description says of the API,
 *  and keeps its operations in call->imported for arm_import_store, a call->before_commit. */
void arm_import_read(struct arm_call *call, struct pn_problems *problems, json_t *properties);
enum pn_rc arm_import_store(struct arm_call *call, struct pn_store_txn *txn,
                            struct pn_error *err) PN_MUST_USE;

/* websocket.c */
bool arm_is_websocket(const json_t *properties);
/** What an API of type websocket must be; and that the type stays what it was. */
void arm_websocket_check(struct pn_problems *problems, const json_t *properties,
                         const struct pn_store_item *former);
/** Before the commit of such an API: its operation, unless it is there. */
enum pn_rc arm_websocket_add_handshake(struct arm_call *call, struct pn_store_txn *txn,
                                       struct pn_error *err) PN_MUST_USE;
/** The API above is one: its operation stays as it is. True: answered. */
bool arm_websocket_keeps_operations(struct arm_call *call);

/* the handlers */
void arm_tenants(struct arm_call *call);
void arm_subscriptions(struct arm_call *call);
void arm_subscription_get(struct arm_call *call);
void arm_resources(struct arm_call *call);
void arm_groups(struct arm_call *call);
void arm_group_get(struct arm_call *call);
void arm_group_put(struct arm_call *call);
void arm_services_list(struct arm_call *call);
void arm_service_get(struct arm_call *call);
void arm_service_put(struct arm_call *call);
void arm_service_patch(struct arm_call *call);
void arm_check_name(struct arm_call *call);
void arm_network_status(struct arm_call *call);
void arm_network_status_at(struct arm_call *call);
void arm_workspaces(struct arm_call *call);
void arm_workspace_get(struct arm_call *call);
void arm_workspace_put(struct arm_call *call);
void arm_workspace_patch(struct arm_call *call);
void arm_workspace_delete(struct arm_call *call);
void arm_certificates(struct arm_call *call);
void arm_certificate_get(struct arm_call *call);
void arm_certificate_put(struct arm_call *call);
void arm_certificate_delete(struct arm_call *call);
void arm_certificate_refresh(struct arm_call *call);
void arm_certificate_check(struct arm_call *call);
void arm_certificate_usage(struct arm_call *call);
void arm_audit(struct arm_call *call);
void arm_events(struct arm_call *call);
void arm_audit_verify(struct arm_call *call);
void arm_generations(struct arm_call *call);
void arm_rotations(struct arm_call *call);
void arm_generation_promote(struct arm_call *call);
/** 409: it was refused by a backend and stays staged. */
void arm_answer_refused_generation(struct arm_call *call, uint64_t number,
                                   const struct pn_error *err);
/** Answers what a vault, or the identity that reads it, said. `vault`: the checked keyVault. */
void arm_answer_fetch_failed(struct arm_call *call, const json_t *vault, enum pn_rc rc,
                             const struct pn_error *err);
/** For lists: the last fetch from its vault failed. */
bool arm_is_refresh_failed(const struct arm_call *call, const struct pn_store_item *item);
/** The file that properties.data holds, into a secret buffer of PN_IMPORT_BYTES_MAX. False:
 * answered. */
bool arm_certificate_file(struct arm_call *call, const json_t *properties, struct pn_buf *file);
/** Answers what the keyholder said about a file. */
void arm_certificate_import_failed(struct arm_call *call, struct pn_error *err);
void arm_backends(struct arm_call *call);
void arm_backend_probe(struct arm_call *call);
void arm_backend_last_failure(struct arm_call *call);
void arm_api_last_failure(struct arm_call *call);
void arm_backend_get(struct arm_call *call);
void arm_backend_put(struct arm_call *call);
void arm_backend_patch(struct arm_call *call);
void arm_backend_reconnect(struct arm_call *call);
void arm_apis(struct arm_call *call);
void arm_api_get(struct arm_call *call);
void arm_api_put(struct arm_call *call);
void arm_api_patch(struct arm_call *call);
void arm_api_delete(struct arm_call *call);
void arm_api_test(struct arm_call *call);
void arm_operations(struct arm_call *call);
void arm_operation_get(struct arm_call *call);
void arm_operation_put(struct arm_call *call);
void arm_operation_patch(struct arm_call *call);
void arm_operation_delete(struct arm_call *call);
void arm_products(struct arm_call *call);
void arm_product_get(struct arm_call *call);
void arm_product_put(struct arm_call *call);
void arm_product_patch(struct arm_call *call);
void arm_product_delete(struct arm_call *call);
void arm_product_accesses(struct arm_call *call);
void arm_api_products(struct arm_call *call);
void arm_product_apis(struct arm_call *call);
void arm_product_api_get(struct arm_call *call);
void arm_product_api_put(struct arm_call *call);
void arm_product_api_delete(struct arm_call *call);
void arm_product_links(struct arm_call *call);
void arm_product_link_get(struct arm_call *call);
void arm_product_link_put(struct arm_call *call);
void arm_product_link_delete(struct arm_call *call);
void arm_named_values(struct arm_call *call);
void arm_named_value_get(struct arm_call *call);
void arm_named_value_put(struct arm_call *call);
void arm_named_value_patch(struct arm_call *call);
void arm_named_value_delete(struct arm_call *call);
void arm_named_value_secret(struct arm_call *call);
void arm_named_value_refresh(struct arm_call *call);
void arm_fragments(struct arm_call *call);
void arm_fragment_get(struct arm_call *call);
void arm_fragment_put(struct arm_call *call);
void arm_fragment_delete(struct arm_call *call);
void arm_fragment_references(struct arm_call *call);
void arm_policies(struct arm_call *call);
void arm_policy_get(struct arm_call *call);
void arm_policy_put(struct arm_call *call);
void arm_policy_delete(struct arm_call *call);
void arm_accesses(struct arm_call *call);
void arm_access_get(struct arm_call *call);
void arm_access_put(struct arm_call *call);
void arm_access_patch(struct arm_call *call);
void arm_access_delete(struct arm_call *call);
void arm_access_secrets(struct arm_call *call);
void arm_access_new_primary(struct arm_call *call);
void arm_access_new_secondary(struct arm_call *call);
