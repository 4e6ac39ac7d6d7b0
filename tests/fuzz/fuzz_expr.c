/* SPDX-License-Identifier: Apache-2.0
 *
 * Fuzzes policy expressions. First byte: what is wanted. Checked: a refusal says why and where;
 * what was accepted runs within its limits, a failure says why; running it again gives the same.
 */
#include <stdint.h>
#include <stdlib.h>

#include "policy/expr.h"
#include "policy/policy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds)
{
    if (!holds)
        abort();
}

static void find_fact(void *host, enum pn_policy_fact fact, struct pn_expr_value *value)
{
    (void)host;
    if (fact == PN_FACT_NOW || fact == PN_FACT_TIMESTAMP)
        *value = pn_expr_time(1700000000000);
    else if (fact == PN_FACT_PORT)
        *value = pn_expr_int(443);
    else if (fact == PN_FACT_BASE_URL)
        *value = pn_expr_text("https://b.example/v1");
    else if (fact < PN_FACT_SUBSCRIPTION_ID)
        *value = pn_expr_text("\xF0\x9F\x98\x80x\xFF");
}

static void on_literal(void *ctx, struct pn_slice literal)
{
    (void)ctx;
    must(literal.len == 0 || literal.ptr);
}

static void run(const struct pn_expr *expr)
{
    struct pn_policy_context context = {.method = PN_LIT("GET"),
                                        .path = PN_LIT("/a"),
                                        .query = PN_LIT("a=1&b=%41"),
                                        .find_fact = find_fact};
    struct pn_policy_variable variable = {.name = PN_LIT("v"),
                                          .value = pn_expr_string(PN_LIT("\xC3\xA9text"))};
    struct pn_expr_result result;
    enum pn_rc rc;

    context.arena = pn_arena_create(4096, 1u << 20);
    must(context.arena != NULL);
    pn_headers_init(&context.request_headers, context.arena);
    pn_headers_init(&context.response_headers, context.arena);
    must(pn_headers_add(&context.request_headers, PN_LIT("h"), PN_LIT("Basic YTpi")) == PN_OK);
    context.variables = &variable;
    context.has_response = true;
    for (int i = 0; i < 2; i++) {
        rc = pn_expr_run(expr, &context, &result);
        must(rc == PN_OK || rc == PN_INVALID || rc == PN_LIMIT || rc == PN_NOMEM);
        must(rc == PN_OK || (result.why && *result.why));
    }
    pn_arena_destroy(context.arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct pn_expr_home home = {0};
    struct pn_expr *expr = NULL;
    struct pn_expr_fault fault;
    enum pn_rc rc;

    if (size < 1)
        return 0;
    home.arena = pn_arena_create(4096, 64u << 20);
    must(home.arena != NULL);
    rc = pn_expr_compile(&home, pn_slice(data + 1, size - 1), (enum pn_expr_want)(data[0] & 3),
                         &expr, &fault);
    if (rc == PN_OK) {
        (void)pn_expr_literals(expr, on_literal, NULL);
        run(expr);
    } else {
        must(rc == PN_NOMEM || (fault.message[0] != '\0' && fault.offset <= size - 1));
    }
    pn_expr_home_fini(&home);
    pn_arena_destroy(home.arena);
    return 0;
}
