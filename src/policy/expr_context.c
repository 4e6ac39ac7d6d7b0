/* SPDX-License-Identifier: Apache-2.0
 *
 * Members of `context`: what policies see and change is read from the run's context, what the
 * gateway alone knows is asked as a fact.
 */
#include <string.h>

#include "http/uri.h"
#include "policy/expr_internal.h"

static bool no_such_key(struct expr_run *run, const char *what)
{
    return expr_throw(run, pn_arena_printf(run->arena,
                                           "KeyNotFoundException: there is no such %s; use "
                                           "GetValueOrDefault, or ask ContainsKey before",
                                           what));
}

/* ---- parts that have parts */

/** run->member->result is the part's type. */
EXPR_FN(part)
{
    *out = (struct pn_expr_value){.type = run->member->result};
    return true;
}

EXPR_FN(fact)
{
    *out = expr_fact(run, (enum pn_policy_fact)run->member->number);
    return true;
}

/** A part that is null when its first fact is. */
EXPR_FN(part_with_fact)
{
    *out = expr_fact(run, (enum pn_policy_fact)run->member->number);
    if (out->type != PN_EXPR_NULL)
        *out = (struct pn_expr_value){.type = run->member->result};
    return true;
}

EXPR_FN(response)
{
    *out = (struct pn_expr_value){.type =
                                      run->context->has_response ? PN_EXPR_RESPONSE : PN_EXPR_NULL};
    return true;
}

EXPR_FN(last_error)
{
    *out = (struct pn_expr_value){.type = run->context->last_error.source ? PN_EXPR_LAST_ERROR
                                                                          : PN_EXPR_NULL};
    return true;
}

EXPR_FN(elapsed)
{
    struct pn_expr_value start = expr_fact(run, PN_FACT_TIMESTAMP);
    struct pn_expr_value now = expr_fact(run, PN_FACT_NOW);

    *out = (struct pn_expr_value){.type = PN_EXPR_SPAN, .i = 0};
    if (start.type == PN_EXPR_TIME && now.type == PN_EXPR_TIME && now.i > start.i)
        out->i = now.i - start.i;
    return true;
}

/* ---- Request, Response */

EXPR_FN(method)
{
    *out = pn_expr_string(run->context->method);
    return true;
}

EXPR_FN(headers)
{
    *out = (struct pn_expr_value){.type = PN_EXPR_HEADERS,
                                  .p = run->member->number ? &run->context->response_headers
                                                           : &run->context->request_headers};
    return true;
}

EXPR_FN(status)
{
    *out = pn_expr_int(run->context->status);
    return true;
}

EXPR_FN(reason)
{
    *out = pn_expr_string(run->context->reason);
    return true;
}

/* ---- Headers */

static size_t count_headers(const struct pn_headers *headers, struct pn_slice name, size_t *bytes)
{
    size_t found = 0;

    for (size_t i = 0; i < headers->count; i++) {
        if (!pn_slice_case_eq(headers->items[i].name, name))
            continue;
        found++;
        *bytes += headers->items[i].value.len + 1;
    }
    return found;
}

/** Values by commas (RFC 9110 §5.3); null when there is no such field. */
static bool join_headers(struct expr_run *run, const struct pn_headers *headers,
                         struct pn_slice name, struct pn_expr_value *out)
{
    size_t bytes = 0;
    size_t found = count_headers(headers, name, &bytes);
    char *joined = NULL;
    size_t len = 0;

    *out = pn_expr_null();
    if (!expr_take_steps(run, headers->count / 8))
        return false;
    if (found == 0)
        return true;
    if (found > 1) {
        joined = expr_alloc(run, bytes);
        if (!joined)
            return false;
    }
    for (size_t i = 0; i < headers->count; i++) {
        struct pn_slice value = headers->items[i].value;

        if (!pn_slice_case_eq(headers->items[i].name, name))
            continue;
        if (!joined) {
            *out = pn_expr_string(value);
            return true;
        }
        if (len > 0)
            joined[len++] = ',';
        if (value.len > 0)
            memcpy(joined + len, value.ptr, value.len);
        len += value.len;
    }
    *out = pn_expr_string(pn_slice(joined, len));
    return true;
}

EXPR_FN(header_or_default)
{
    if (!join_headers(run, self->p, args[0].s, out))
        return false;
    if (out->type == PN_EXPR_NULL && count > 1)
        *out = args[1];
    return true;
}

EXPR_FN(has_header)
{
    size_t bytes = 0;

    *out = pn_expr_bool(count_headers(self->p, args[0].s, &bytes) > 0);
    return expr_take_steps(run, ((const struct pn_headers *)self->p)->count / 8);
}

EXPR_FN(header_at)
{
    const struct pn_headers *headers = self->p;
    size_t bytes = 0;
    size_t found = count_headers(headers, args[0].s, &bytes);
    struct pn_slice *items;
    size_t at = 0;

    if (found == 0)
        return no_such_key(run, "header");
    items = expr_alloc(run, found * sizeof(*items));
    if (!items)
        return false;
    for (size_t i = 0; i < headers->count; i++) {
        if (!pn_slice_case_eq(headers->items[i].name, args[0].s))
            continue;
        items[at] = headers->items[i].value;
        if (!items[at].ptr)
            items[at].ptr = "";
        at++;
    }
    *out = (struct pn_expr_value){.type = PN_EXPR_STRINGS, .list = {items, found}};
    return true;
}

/* ---- URLs: OriginalUrl as the client sent it, Url as the backend gets it */

static const struct pn_slice original_url[1], current_url[1];

EXPR_FN(url)
{
    *out = (struct pn_expr_value){.type = PN_EXPR_URL};
    out->list.items = run->member->number ? original_url : current_url;
    return true;
}

static bool is_original(const struct pn_expr_value *self)
{
    return self->list.items == original_url;
}

/** The base of the current one: "https://host:port/path". False: there is none. */
static bool base_of(struct expr_run *run, struct pn_uri *uri)
{
    struct pn_expr_value base = expr_fact(run, PN_FACT_BASE_URL);

    if (run->context->base_url.ptr)
        base = pn_expr_string(run->context->base_url);
    return base.type == PN_EXPR_STRING && pn_uri_parse(base.s, uri, NULL) == PN_OK;
}

enum url_part { URL_SCHEME, URL_HOST, URL_PORT };

EXPR_FN(url_part)
{
    static const enum pn_policy_fact facts[] = {PN_FACT_SCHEME, PN_FACT_HOST, PN_FACT_PORT};
    struct pn_uri uri;

    if (is_original(self) || !base_of(run, &uri)) {
        *out = expr_fact(run, facts[run->member->number]);
        return true;
    }
    switch ((enum url_part)run->member->number) {
    case URL_SCHEME:
        *out = pn_expr_string(uri.scheme);
        return true;
    case URL_HOST:
        *out = pn_expr_string(uri.host);
        return true;
    case URL_PORT:
        *out = pn_expr_int(uri.port);
        return true;
    }
    return false;
}

static bool path_of(struct expr_run *run, const struct pn_expr_value *self, struct pn_slice *path)
{
    struct pn_expr_value value;
    struct pn_uri uri;

    *path = run->context->path;
    if (is_original(self)) {
        value = expr_fact(run, PN_FACT_PATH);
        if (value.type == PN_EXPR_STRING)
            *path = value.s;
        return true;
    }
    if (!base_of(run, &uri) || uri.path.len == 0)
        return true;
    return pn_path_join(uri.path, run->context->path, run->arena, path) == PN_OK ||
           expr_throw(run, "out of memory");
}

EXPR_FN(url_path)
{
    *out = pn_expr_string(pn_slice("", 0));
    return path_of(run, self, &out->s);
}

static struct pn_slice query_of(const struct expr_run *run, const struct pn_expr_value *self)
{
    struct pn_expr_value value;

    if (!is_original(self))
        return run->context->query;
    value = expr_fact(run, PN_FACT_QUERY);
    return value.type == PN_EXPR_STRING ? value.s : pn_slice("", 0);
}

/** With its '?', as .NET has it; empty when there is none. */
EXPR_FN(query_string)
{
    struct pn_slice query = query_of(run, self);
    char *text;

    *out = pn_expr_string(pn_slice("", 0));
    if (query.len == 0)
        return true;
    text = expr_alloc(run, query.len + 1);
    if (!text)
        return false;
    text[0] = '?';
    memcpy(text + 1, query.ptr, query.len);
    out->s = pn_slice(text, query.len + 1);
    return true;
}

EXPR_FN(query)
{
    *out = (struct pn_expr_value){.type = PN_EXPR_QUERY, .s = query_of(run, self)};
    return true;
}

EXPR_FN(url_text)
{
    struct pn_expr_value scheme = pn_expr_null(), host = scheme, port = scheme, query = scheme;
    struct pn_slice path;
    const char *text;

    run->member = &(const struct expr_member){.number = URL_SCHEME};
    (void)url_part(run, self, args, count, &scheme);
    run->member = &(const struct expr_member){.number = URL_HOST};
    (void)url_part(run, self, args, count, &host);
    run->member = &(const struct expr_member){.number = URL_PORT};
    (void)url_part(run, self, args, count, &port);
    if (!path_of(run, self, &path) || !query_string(run, self, args, count, &query) ||
        !expr_take_steps(run, path.len / 64))
        return false;
    if (scheme.type != PN_EXPR_STRING || host.type != PN_EXPR_STRING)
        return expr_throw(run, "the URL is not known");
    text = pn_arena_printf(run->arena, "%.*s://%.*s", PN_FMT(scheme.s), PN_FMT(host.s));
    if (text && port.type == PN_EXPR_INT &&
        port.i != (pn_slice_case_eq_str(scheme.s, "https") ? 443 : 80))
        text = pn_arena_printf(run->arena, "%s:%d", text, (int)port.i);
    if (text)
        text = pn_arena_printf(run->arena, "%s%.*s%.*s", text, PN_FMT(path), PN_FMT(query.s));
    if (!text)
        return expr_alloc(run, run->bytes_left + 1) != NULL;
    *out = pn_expr_text(text);
    return true;
}

/* ---- Query */

static bool decode(struct expr_run *run, struct pn_slice raw, struct pn_slice *text)
{
    enum pn_rc rc = pn_uri_decode(raw, true, run->arena, text);

    if (rc == PN_MALFORMED)
        *text = raw; /* a broken escape stands for itself */
    if (rc != PN_OK && rc != PN_MALFORMED)
        return expr_throw(run, "out of memory");
    if (!text->ptr)
        *text = pn_slice("", 0);
    return expr_take_steps(run, raw.len / 64);
}

static bool find_parameters(struct expr_run *run, struct pn_slice query, struct pn_slice name,
                            struct pn_slice *items, size_t *count)
{
    struct pn_slice raw_name, raw_value, text;

    *count = 0;
    while (pn_query_next(&query, &raw_name, &raw_value)) {
        if (!expr_take_steps(run, 1) || !decode(run, raw_name, &text))
            return false;
        if (!pn_slice_case_eq(text, name))
            continue;
        if (items && !decode(run, raw_value, &items[*count]))
            return false;
        ++*count;
    }
    return true;
}

EXPR_FN(query_at)
{
    struct pn_slice *items;
    size_t found;

    if (!find_parameters(run, self->s, args[0].s, NULL, &found))
        return false;
    if (found == 0)
        return no_such_key(run, "query parameter");
    items = expr_alloc(run, found * sizeof(*items));
    if (!items || !find_parameters(run, self->s, args[0].s, items, &found))
        return false;
    *out = (struct pn_expr_value){.type = PN_EXPR_STRINGS, .list = {items, found}};
    return true;
}

EXPR_FN(has_query)
{
    size_t found;

    if (!find_parameters(run, self->s, args[0].s, NULL, &found))
        return false;
    *out = pn_expr_bool(found > 0);
    return true;
}

EXPR_FN(query_or_default)
{
    struct pn_expr_value list = pn_expr_null();
    size_t bytes = 0, len = 0, found;
    char *joined;

    *out = count > 1 ? args[1] : pn_expr_null();
    if (!find_parameters(run, self->s, args[0].s, NULL, &found))
        return false;
    if (found == 0)
        return true;
    if (!query_at(run, self, args, 1, &list))
        return false;
    for (size_t i = 0; i < found; i++)
        bytes += list.list.items[i].len + 1;
    joined = expr_alloc(run, bytes);
    if (!joined)
        return false;
    for (size_t i = 0; i < found; i++) {
        if (i > 0)
            joined[len++] = ',';
        if (list.list.items[i].len > 0)
            memcpy(joined + len, list.list.items[i].ptr, list.list.items[i].len);
        len += list.list.items[i].len;
    }
    *out = pn_expr_string(pn_slice(joined, len));
    return true;
}

/* ---- MatchedParameters */

static const struct pn_header *find_matched(const struct expr_run *run, struct pn_slice name)
{
    const struct pn_policy_context *context = run->context;

    for (size_t i = 0; i < context->template_parameter_count; i++) {
        struct pn_slice own = context->template_parameters[i].name;

        if (own.len > 0 && own.ptr[0] == '*')
            own = pn_slice_sub(own, 1, own.len);
        if (pn_slice_case_eq(own, name))
            return &context->template_parameters[i];
    }
    return NULL;
}

EXPR_FN(matched_at)
{
    const struct pn_header *parameter = find_matched(run, args[0].s);

    if (!parameter)
        return no_such_key(run, "parameter of the operation's URL template");
    *out = pn_expr_string(parameter->value);
    return true;
}

EXPR_FN(matched_or_default)
{
    const struct pn_header *parameter = find_matched(run, args[0].s);

    *out = parameter ? pn_expr_string(parameter->value) : count > 1 ? args[1] : pn_expr_null();
    return true;
}

EXPR_FN(has_matched)
{
    *out = pn_expr_bool(find_matched(run, args[0].s) != NULL);
    return true;
}

/* ---- Variables */

static const struct pn_policy_variable *find_variable(struct expr_run *run, struct pn_slice name)
{
    const struct pn_policy_variable *variable = run->context->variables;

    while (variable && !pn_slice_eq(variable->name, name)) {
        variable = variable->next;
        if (!expr_take_steps(run, 1))
            return NULL;
    }
    return variable;
}

EXPR_FN(variable_at)
{
    const struct pn_policy_variable *variable = find_variable(run, args[0].s);

    if (run->rc != PN_OK)
        return false;
    if (!variable)
        return no_such_key(run, "variable");
    *out = variable->value;
    return true;
}

static struct pn_expr_value default_of(enum pn_expr_type type)
{
    if (expr_is_reference(type))
        return pn_expr_null();
    if (type == PN_EXPR_GUID)
        return (struct pn_expr_value){.type = type,
                                      .s = PN_LIT("00000000-0000-0000-0000-000000000000")};
    return (struct pn_expr_value){.type = type};
}

/** <T>: what is there must be a T, as in C#. */
EXPR_FN(variable_or_default)
{
    enum pn_expr_type type = run->node->call.generic;
    const struct pn_policy_variable *variable = find_variable(run, args[0].s);

    if (run->rc != PN_OK)
        return false;
    if (variable)
        return expr_convert(run, &variable->value, type, out);
    *out = count > 1 ? args[1] : default_of(type);
    return true;
}

EXPR_FN(has_variable)
{
    *out = pn_expr_bool(find_variable(run, args[0].s) != NULL);
    return run->rc == PN_OK;
}

/* ---- LastError */

enum error_part { ERROR_SOURCE, ERROR_REASON, ERROR_MESSAGE, ERROR_SCOPE, ERROR_SECTION };

EXPR_FN(error_part)
{
    const struct pn_policy_context *context = run->context;

    switch ((enum error_part)run->member->number) {
    case ERROR_SOURCE:
        *out = pn_expr_text(context->last_error.source);
        return true;
    case ERROR_REASON:
        *out = pn_expr_text(context->last_error.reason);
        return true;
    case ERROR_MESSAGE:
        *out = pn_expr_text(context->last_error.message);
        return true;
    case ERROR_SCOPE:
        *out = pn_expr_text(context->last_error.scope);
        return true;
    case ERROR_SECTION:
        *out = pn_expr_text(context->last_error.section);
        return true;
    }
    return false;
}

EXPR_FN(error_policy)
{
    *out = run->context->last_error.policy_id.ptr
               ? pn_expr_string(run->context->last_error.policy_id)
               : pn_expr_null();
    return true;
}

/* ---- Certificate */

EXPR_FN(name_of)
{
    *out = expr_fact(run, (enum pn_policy_fact)run->member->number);
    if (out->type == PN_EXPR_STRING)
        out->type = PN_EXPR_NAME;
    return true;
}

EXPR_FN(name_text)
{
    *out = pn_expr_string(self->s);
    return true;
}

#define C  PN_EXPR_CONTEXT
#define RQ PN_EXPR_REQUEST
#define RS PN_EXPR_RESPONSE
#define H  PN_EXPR_HEADERS
#define U  PN_EXPR_URL
#define Q  PN_EXPR_QUERY
#define M  PN_EXPR_PARAMETERS
#define V  PN_EXPR_VARIABLES
#define E  PN_EXPR_LAST_ERROR
#define X  PN_EXPR_CERTIFICATE
#define S  PN_EXPR_STRING
#define B  PN_EXPR_BOOL
#define I  PN_EXPR_INT
#define T  PN_EXPR_TIME

const struct expr_member expr_context_members[] = {
    {C, "Request", NULL, RQ, part, false, 0},
    {C, "Response", NULL, RS, response, false, 0},
    {C, "Variables", NULL, V, part, false, 0},
    {C, "Api", NULL, PN_EXPR_API, part_with_fact, false, PN_FACT_API_ID},
    {C, "Operation", NULL, PN_EXPR_OPERATION, part_with_fact, false, PN_FACT_OPERATION_ID},
    {C, "Product", NULL, PN_EXPR_PRODUCT, part_with_fact, false, PN_FACT_PRODUCT_ID},
    {C, "Subscription", NULL, PN_EXPR_SUBSCRIPTION, part_with_fact, false, PN_FACT_SUBSCRIPTION_ID},
    {C, "Deployment", NULL, PN_EXPR_DEPLOYMENT, part, false, 0},
    {C, "LastError", NULL, E, last_error, false, 0},
    {C, "RequestId", NULL, PN_EXPR_GUID, fact, false, PN_FACT_REQUEST_ID},
    {C, "Timestamp", NULL, T, fact, false, PN_FACT_TIMESTAMP},
    {C, "Elapsed", NULL, PN_EXPR_SPAN, elapsed, false, 0},

    {RQ, "Method", NULL, S, method, false, 0},
    {RQ, "IpAddress", NULL, S, fact, false, PN_FACT_IP_ADDRESS},
    {RQ, "Headers", NULL, H, headers, false, 0},
    {RQ, "Url", NULL, U, url, false, 0},
    {RQ, "OriginalUrl", NULL, U, url, false, 1},
    {RQ, "MatchedParameters", NULL, M, part, false, 0},
    {RQ, "Certificate", NULL, X, part_with_fact, false, PN_FACT_CERTIFICATE_THUMBPRINT},
    {RS, "StatusCode", NULL, I, status, false, 0},
    {RS, "StatusReason", NULL, S, reason, false, 0},
    {RS, "Headers", NULL, H, headers, false, 1},

    {H, "GetValueOrDefault", "s", S, header_or_default, false, 0},
    {H, "GetValueOrDefault", "sS", S, header_or_default, false, 0},
    {H, "ContainsKey", "s", B, has_header, false, 0},
    {H, "[]", "s", PN_EXPR_STRINGS, header_at, false, 0},

    {U, "Scheme", NULL, S, url_part, false, URL_SCHEME},
    {U, "Host", NULL, S, url_part, false, URL_HOST},
    {U, "Port", NULL, I, url_part, false, URL_PORT},
    {U, "Path", NULL, S, url_path, false, 0},
    {U, "Query", NULL, Q, query, false, 0},
    {U, "QueryString", NULL, S, query_string, false, 0},
    {U, "ToString", "", S, url_text, false, 0},

    {Q, "GetValueOrDefault", "s", S, query_or_default, false, 0},
    {Q, "GetValueOrDefault", "sS", S, query_or_default, false, 0},
    {Q, "ContainsKey", "s", B, has_query, false, 0},
    {Q, "[]", "s", PN_EXPR_STRINGS, query_at, false, 0},

    {M, "GetValueOrDefault", "s", S, matched_or_default, false, 0},
    {M, "GetValueOrDefault", "sS", S, matched_or_default, false, 0},
    {M, "ContainsKey", "s", B, has_matched, false, 0},
    {M, "[]", "s", S, matched_at, false, 0},

    {V, "GetValueOrDefault", "s", PN_EXPR_NULL, variable_or_default, false, 0},
    {V, "GetValueOrDefault", "sT", PN_EXPR_NULL, variable_or_default, false, 0},
    {V, "ContainsKey", "s", B, has_variable, false, 0},
    {V, "[]", "s", PN_EXPR_OBJECT, variable_at, false, 0},

    {PN_EXPR_API, "Id", NULL, S, fact, false, PN_FACT_API_ID},
    {PN_EXPR_API, "Name", NULL, S, fact, false, PN_FACT_API_NAME},
    {PN_EXPR_API, "Path", NULL, S, fact, false, PN_FACT_API_PATH},
    {PN_EXPR_API, "Revision", NULL, S, fact, false, PN_FACT_API_REVISION},
    {PN_EXPR_API, "Version", NULL, S, fact, false, PN_FACT_API_VERSION},
    {PN_EXPR_OPERATION, "Id", NULL, S, fact, false, PN_FACT_OPERATION_ID},
    {PN_EXPR_OPERATION, "Name", NULL, S, fact, false, PN_FACT_OPERATION_NAME},
    {PN_EXPR_OPERATION, "Method", NULL, S, fact, false, PN_FACT_OPERATION_METHOD},
    {PN_EXPR_OPERATION, "UrlTemplate", NULL, S, fact, false, PN_FACT_OPERATION_TEMPLATE},
    {PN_EXPR_PRODUCT, "Id", NULL, S, fact, false, PN_FACT_PRODUCT_ID},
    {PN_EXPR_PRODUCT, "Name", NULL, S, fact, false, PN_FACT_PRODUCT_NAME},
    {PN_EXPR_SUBSCRIPTION, "Id", NULL, S, fact, false, PN_FACT_SUBSCRIPTION_ID},
    {PN_EXPR_SUBSCRIPTION, "Name", NULL, S, fact, false, PN_FACT_SUBSCRIPTION_NAME},
    {PN_EXPR_SUBSCRIPTION, "Key", NULL, S, fact, false, PN_FACT_SUBSCRIPTION_KEY},
    {PN_EXPR_DEPLOYMENT, "ServiceName", NULL, S, fact, false, PN_FACT_SERVICE_NAME},
    {PN_EXPR_DEPLOYMENT, "Region", NULL, S, fact, false, PN_FACT_REGION},
    {PN_EXPR_DEPLOYMENT, "GatewayId", NULL, S, fact, false, PN_FACT_GATEWAY_ID},

    {E, "Source", NULL, S, error_part, false, ERROR_SOURCE},
    {E, "Reason", NULL, S, error_part, false, ERROR_REASON},
    {E, "Message", NULL, S, error_part, false, ERROR_MESSAGE},
    {E, "Scope", NULL, S, error_part, false, ERROR_SCOPE},
    {E, "Section", NULL, S, error_part, false, ERROR_SECTION},
    {E, "PolicyId", NULL, S, error_policy, false, 0},

    {X, "Thumbprint", NULL, S, fact, false, PN_FACT_CERTIFICATE_THUMBPRINT},
    {X, "Subject", NULL, S, fact, false, PN_FACT_CERTIFICATE_SUBJECT},
    {X, "Issuer", NULL, S, fact, false, PN_FACT_CERTIFICATE_ISSUER},
    {X, "SerialNumber", NULL, S, fact, false, PN_FACT_CERTIFICATE_SERIAL},
    {X, "NotBefore", NULL, T, fact, false, PN_FACT_CERTIFICATE_NOT_BEFORE},
    {X, "NotAfter", NULL, T, fact, false, PN_FACT_CERTIFICATE_NOT_AFTER},
    {X, "SubjectName", NULL, PN_EXPR_NAME, name_of, false, PN_FACT_CERTIFICATE_SUBJECT},
    {X, "IssuerName", NULL, PN_EXPR_NAME, name_of, false, PN_FACT_CERTIFICATE_ISSUER},
    {PN_EXPR_NAME, "Name", NULL, S, name_text, false, 0},
    {.name = NULL},
};
