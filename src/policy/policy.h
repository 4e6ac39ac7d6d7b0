/* SPDX-License-Identifier: Apache-2.0
 *
 * Policy documents: parse and check (control), compile and run (gateway).
 *
 * A document is a tree of statements in four sections; it is immutable after parsing and may be
 * used by many threads. A program is what the documents of all scopes become when every <base/> is
 * put in its place (global -> workspace -> API -> operation). A run walks one program for one
 * request and stops where the gateway must do something that takes time; the room itself has no
 * socket and no clock.
 *
 * Source: the policy reference of Azure API Management (elements, attributes, sections, error
 * form).
 */
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"
#include "http/headers.h"
#include "policy/value.h"

#define PN_POLICY_BYTES_MAX          (256u * 1024)
#define PN_POLICY_RESOLVED_BYTES_MAX (8u * 1024 * 1024) /* with all that it only names */
#define PN_POLICY_DEPTH_MAX          32
#define PN_POLICY_CERTIFICATES_MAX   32 /* in one certificate-ids */

enum pn_policy_format { PN_POLICY_XML, PN_POLICY_RAWXML };
enum pn_policy_scope {
    PN_SCOPE_GLOBAL,
    PN_SCOPE_WORKSPACE,
    PN_SCOPE_PRODUCT,
    PN_SCOPE_API,
    PN_SCOPE_OPERATION
};
enum pn_policy_section {
    PN_SECTION_INBOUND,
    PN_SECTION_BACKEND,
    PN_SECTION_OUTBOUND,
    PN_SECTION_ON_ERROR
};

struct pn_policy_document;

/** Parses and checks structure: known elements, attributes, sections, required attributes, literal
 *  values. PN_INVALID: err->target = element, err->message = "Error in element '<el>' on line L,
 *  column C: <reason>". PN_LIMIT: too long or too deep. PN_MALFORMED: not XML (same form of
 * message). Everything is in the text: {{…}} in it means itself. */
enum pn_rc pn_policy_parse(struct pn_slice text, enum pn_policy_format format,
                           enum pn_policy_scope scope, struct pn_policy_document **document,
                           struct pn_error *err) PN_MUST_USE;

/** A named value, as a source gives it; texts are borrowed until the parse returns. */
struct pn_policy_value {
    struct pn_slice text;
    bool is_secret; /* it is in no error text */
};
/** Where a document gets from what it only names: "{{name}}" in attributes and texts, and
 *  <include-fragment fragment-id="…" />. Each answers PN_NOT_FOUND when there is none. */
struct pn_policy_sources {
    void *ctx;
    enum pn_rc (*named_value)(void *ctx, struct pn_slice name, struct pn_policy_value *value,
                              struct pn_error *err);
    /** The text is rawxml with the root <fragment>. */
    enum pn_rc (*fragment)(void *ctx, struct pn_slice id, struct pn_slice *text,
                           struct pn_error *err);
};
struct pn_policy_reading {
    enum pn_policy_format format;
    enum pn_policy_scope scope;
    bool is_fragment; /* the root is <fragment>; what is in it may stand in any section */
    const struct pn_policy_sources *sources; /* NULL: the text is whole */
};
/** As pn_policy_parse(), with named values and fragments put in: what is checked, referred to and
 *  compiled is the result; pn_policy_print() prints what was written. PN_INVALID also: there is no
 *  such named value or fragment, or fragments include one another in a circle. PN_LIMIT also:
 * limits fragment-bytes, fragment-depth, policy-expanded-bytes. What a source answers. */
enum pn_rc pn_policy_read(struct pn_slice text, const struct pn_policy_reading *reading,
                          struct pn_policy_document **document, struct pn_error *err) PN_MUST_USE;
/** A text that pn_policy_print_resolved() made: it may be longer than what people write. */
enum pn_rc pn_policy_parse_resolved(struct pn_slice text, enum pn_policy_scope scope,
                                    struct pn_policy_document **document,
                                    struct pn_error *err) PN_MUST_USE;
/** Only well-formed, nothing put in, not checked: to print it in another format. */
enum pn_rc pn_policy_parse_unchecked(struct pn_slice text, enum pn_policy_format format,
                                     struct pn_policy_document **document,
                                     struct pn_error *err) PN_MUST_USE;
/** Whether something was put in. */
bool pn_policy_is_resolved(const struct pn_policy_document *document);
/** What was put in is in it (rawxml): the gateway's text. */
enum pn_rc pn_policy_print_resolved(const struct pn_policy_document *document,
                                    struct pn_buf *out) PN_MUST_USE;
/** Takes secret values that were put in out of the message of an error about the document. */
void pn_policy_hide_secrets(const struct pn_policy_document *document, struct pn_error *err);
/** Whether the reference's name comes whole from one named value: its name as written, else empty.
 */
struct pn_policy_reference;
struct pn_slice pn_policy_reference_value(const struct pn_policy_document *document,
                                          const struct pn_policy_reference *reference);

/** The next "{{name}}" in `text` at or behind `from`. *start: of the braces, *end: behind them. */
bool pn_policy_find_named_value(struct pn_slice text, size_t from, size_t *start, size_t *end,
                                struct pn_slice *name);
void pn_policy_document_destroy(struct pn_policy_document *document);
/** The canonical text, CRLF lines, comments kept. */
enum pn_rc pn_policy_print(const struct pn_policy_document *document, enum pn_policy_format format,
                           struct pn_buf *out) PN_MUST_USE;
/** The default document of a scope (a static text, rawxml). */
const char *pn_policy_default(enum pn_policy_scope scope);

enum pn_policy_reference_kind {
    PN_POLICY_CERTIFICATE_ID,         /* authentication-certificate certificate-id="c1", or each of
                                         certificate-ids="c1, c2" */
    PN_POLICY_CERTIFICATE_THUMBPRINT, /* … thumbprint="ABCD…" */
    PN_POLICY_CERTIFICATE_BODY,       /* … body="base64 PFX" password="…" */
    PN_POLICY_CERTIFICATE_EMBEDDED, /* … a body that was already taken in: name is its id, below */
    PN_POLICY_BACKEND_ID,           /* set-backend-service backend-id="b1" */
    PN_POLICY_IDENTITY_TOKEN, /* authentication-managed-identity: name is pn_policy_token_name's */
    PN_POLICY_NAMED_VALUE,    /* {{name}} */
    PN_POLICY_FRAGMENT,       /* include-fragment fragment-id="f1" */
    PN_POLICY_CERTIFICATE_LITERAL, /* a literal in an expression that gives a certificate-id or
                                      thumbprint, or in a variable that such a one may read */
    PN_POLICY_CERTIFICATE_ANY,     /* such an expression's literals do not tell: no name */
    PN_POLICY_BACKEND_LITERAL,     /* the same of backend-id */
    PN_POLICY_BACKEND_ANY,
};
struct pn_policy_reference {
    enum pn_policy_reference_kind kind;
    struct pn_slice name;      /* id, thumbprint, or the body's base64 text */
    struct pn_slice password;  /* of a body; may be empty */
    struct pn_slice resource;  /* of a token: what it is for, */
    struct pn_slice client_id; /* and whose; empty: the system-assigned identity's */
    const char *element;
    int line, column;
    void *node;           /* for pn_policy_embed; the same for all that one statement names */
    const char *fragment; /* the included fragment in which it is; NULL: in the document itself */
    bool is_of_several;   /* one of certificate-ids, which API Management does not have */
    bool is_certain;      /* of a literal: what the expression gives is one of its literals */
};
/** Calls back for each reference, in document order; stops at the first answer other than
 *  PN_OK and returns it. */
typedef enum pn_rc (*pn_policy_reference_fn)(void *ctx, const struct pn_policy_reference *reference,
                                             struct pn_error *err);
enum pn_rc pn_policy_references(const struct pn_policy_document *document,
                                pn_policy_reference_fn on_reference, void *ctx,
                                struct pn_error *err) PN_MUST_USE;
/** Fills err with the reference's error form at that place. Returns PN_INVALID. */
enum pn_rc pn_policy_reference_error(const struct pn_policy_reference *reference,
                                     struct pn_error *err, const char *format, ...) PN_PRINTF(3, 4);
/** Replaces body and password (wiping them) by body="postern:embedded:<id>" without password: the
 *  key then is in the keyholder only, and reading the policy back and writing it again works.
 *  Only while the document is not shared. PN_NOMEM. */
enum pn_rc pn_policy_embed(struct pn_policy_document *document,
                           const struct pn_policy_reference *reference, const char *id) PN_MUST_USE;

/** Whether a password stands in it (authentication-basic): such a document is sealed at rest. */
bool pn_policy_has_secret(const struct pn_policy_document *document);

#define PN_POLICY_TOKEN_NAME 33 /* with NUL */
/** What a token of this identity for this resource is called: hex digits of a hash of both. */
void pn_policy_token_name(struct pn_slice client_id, struct pn_slice resource,
                          char name[PN_POLICY_TOKEN_NAME]);

/** Finds the token of that name (pn_policy_token_name). False: there is none that can be used; *why
 *  is a sentence, static or in the context's arena. Never blocks. */
typedef bool (*pn_policy_token_fn)(void *host, struct pn_slice name, struct pn_slice *token,
                                   const char **why);
/** context.Variables, in the context's arena; later ones come first. */
struct pn_policy_variable {
    struct pn_slice name;
    struct pn_expr_value value;
    struct pn_policy_variable *next;
};

/* What an expression may ask and the context does not hold: texts where nothing else is said. */
enum pn_policy_fact {
    PN_FACT_SCHEME, /* of the URL as the client sent it: "https" */
    PN_FACT_HOST,
    PN_FACT_PORT, /* int */
    PN_FACT_PATH, /* raw */
    PN_FACT_QUERY,
    PN_FACT_BASE_URL, /* of the backend as it is set now; null: none */
    PN_FACT_IP_ADDRESS,
    PN_FACT_REQUEST_ID, /* Guid */
    PN_FACT_TIMESTAMP,  /* DateTime: when the request began */
    PN_FACT_NOW,        /* DateTime */
    PN_FACT_API_ID,
    PN_FACT_API_NAME,
    PN_FACT_API_PATH,
    PN_FACT_API_REVISION,
    PN_FACT_API_VERSION,
    PN_FACT_OPERATION_ID,
    PN_FACT_OPERATION_NAME,
    PN_FACT_OPERATION_METHOD,
    PN_FACT_OPERATION_TEMPLATE,
    PN_FACT_PRODUCT_ID, /* null: the request came by none */
    PN_FACT_PRODUCT_NAME,
    PN_FACT_SUBSCRIPTION_ID, /* null: without a key */
    PN_FACT_SUBSCRIPTION_NAME,
    PN_FACT_SUBSCRIPTION_KEY,
    PN_FACT_SERVICE_NAME,
    PN_FACT_REGION,
    PN_FACT_GATEWAY_ID,
    PN_FACT_CERTIFICATE_THUMBPRINT, /* the client's; null: it showed none */
    PN_FACT_CERTIFICATE_SUBJECT,
    PN_FACT_CERTIFICATE_ISSUER,
    PN_FACT_CERTIFICATE_SERIAL,
    PN_FACT_CERTIFICATE_NOT_BEFORE, /* DateTime */
    PN_FACT_CERTIFICATE_NOT_AFTER,
};
/** Fills *value, which is null, in the context's arena; leaves it where there is no such thing.
 *  Never blocks. */
typedef void (*pn_policy_fact_fn)(void *host, enum pn_policy_fact fact,
                                  struct pn_expr_value *value);

struct pn_policy_program;

/** `documents`: outermost scope first; NULL entries are skipped (then that scope is its default).
 *  The program keeps references on the documents' content: destroy programs first. PN_NOMEM. */
enum pn_rc pn_policy_compile(const struct pn_policy_document *const *documents,
                             const enum pn_policy_scope *scopes, size_t count,
                             struct pn_policy_program **program, struct pn_error *err) PN_MUST_USE;
void pn_policy_program_destroy(struct pn_policy_program *program);

/** Where a program sends requests and as whom, as far as that is written in it: what a run would
 *  leave in the context of the same names. Slices are the documents'. */
struct pn_policy_way {
    bool sends_nothing;       /* it answers by itself, or has no forward-request */
    bool depends;             /* on the request or on a named value: not known here */
    struct pn_slice base_url; /* at most one of the two is set; neither: serviceUrl */
    struct pn_slice backend_id;
    enum pn_policy_scope backend_scope;
    struct pn_slice certificate_id; /* at most one of the four is set; none: no certificate */
    const struct pn_slice *certificate_ids;
    size_t certificate_id_count;
    struct pn_slice certificate_thumbprint;
    struct pn_slice certificate_embedded;
    enum pn_policy_scope certificate_scope; /* of the document that names the certificate */
};
void pn_policy_program_way(const struct pn_policy_program *program, struct pn_policy_way *way);

/** The request as policies see and change it. All memory is in `arena`. The gateway fills it before
 *  inbound and reads it when it forwards and when it answers. */
struct pn_policy_context {
    struct pn_arena *arena;

    /* the request to the backend */
    struct pn_slice method;
    struct pn_slice path;  /* below the backend's URL, starts with '/'; raw (percent-encoded) */
    struct pn_slice query; /* raw, without '?' */
    struct pn_headers request_headers;
    const struct pn_header *template_parameters; /* name -> decoded value of {x} in urlTemplate */
    size_t template_parameter_count; /* a wildcard {*x} is named "*x": its slashes are kept */
    const struct pn_slice *template_query_names; /* "a" of urlTemplate "/get?a={b}"; may be none */
    size_t template_query_name_count;

    /* where it goes: at most one of base_url and backend_id is set (ptr != NULL) */
    struct pn_slice base_url;
    struct pn_slice backend_id;
    /* which certificate: at most one is set; the last authentication-certificate wins */
    struct pn_slice certificate_id;
    const struct pn_slice *certificate_ids; /* the handshake chooses among them */
    size_t certificate_id_count;
    struct pn_slice certificate_thumbprint;
    struct pn_slice certificate_embedded;
    /* the documents that named them: the global one means what is the service's own, also when it
     * runs for an API of a workspace */
    enum pn_policy_scope backend_scope, certificate_scope;

    pn_policy_token_fn find_token; /* NULL: there are none */
    pn_policy_fact_fn find_fact;   /* NULL: nothing is known */
    void *host;                    /* find_token's and find_fact's */
    struct pn_policy_variable *variables;

    /* the answer: from the backend, or made by return-response */
    bool has_response;
    int status;
    struct pn_slice reason;
    struct pn_headers response_headers;
    bool has_response_body; /* then response_body replaces the backend's */
    struct pn_slice response_body;

    /* on-error */
    struct {
        const char *source, *reason, *message, *scope, *section;
        const char *code; /* for the log: docs/causes.md */
        struct pn_slice policy_id;
    } last_error;
};

enum pn_policy_event {
    PN_POLICY_DONE,    /* the section is over */
    PN_POLICY_RESPOND, /* return-response: answer what the context holds; outbound does not run */
    PN_POLICY_FORWARD, /* forward-request: send it, then resume */
    PN_POLICY_FAIL,    /* a statement failed: context->last_error is set; run on-error */
};
/** forward-request http-version. */
enum pn_policy_http_version {
    PN_POLICY_HTTP_DEFAULT, /* not said: "1", for a gRPC API "2" */
    PN_POLICY_HTTP_1,
    PN_POLICY_HTTP_2_OR_1, /* what TLS negotiates; without TLS HTTP/1.1 */
    PN_POLICY_HTTP_2,      /* without TLS by prior knowledge */
};
struct pn_policy_forward {
    uint64_t timeout_ms;          /* 0: not said */
    uint64_t continue_timeout_ms; /* 0: not said */
    enum pn_policy_http_version http_version;
    bool fail_on_error_status_code;
    bool follows_redirects;
    bool buffers_request_body; /* it is taken whole before it is sent */
};
/** One section of one request; lives in the caller's request. */
struct pn_policy_run {
    const struct pn_policy_program *program;
    enum pn_policy_section section;
    size_t position;
    struct pn_policy_forward forward; /* filled with PN_POLICY_FORWARD */
};
void pn_policy_run_init(struct pn_policy_run *run, const struct pn_policy_program *program,
                        enum pn_policy_section section);
/** Runs until the next event. After PN_POLICY_FORWARD, call again when the answer's head is there.
 */
enum pn_policy_event pn_policy_resume(struct pn_policy_run *run, struct pn_policy_context *context);
/** Whether the section has anything to run (so that the gateway can skip it). */
bool pn_policy_has_section(const struct pn_policy_program *program, enum pn_policy_section section);
