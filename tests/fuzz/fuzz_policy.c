/* SPDX-License-Identifier: Apache-2.0
 *
 * Fuzzes policy documents. First byte: scope and format. Checked: a refusal says why; what was
 * accepted is printed, read again, and prints the same; it compiles.
 */
#include <stdint.h>
#include <stdlib.h>

#include "policy/policy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds)
{
    if (!holds)
        abort();
}

static enum pn_rc on_reference(void *ctx, const struct pn_policy_reference *reference,
                               struct pn_error *err)
{
    (void)err;
    must(reference->element && reference->line > 0);
    (*(size_t *)ctx)++;
    return PN_OK;
}

static void try_program(const struct pn_policy_document *document, enum pn_policy_scope scope)
{
    struct pn_policy_program *program = NULL;
    struct pn_error err;

    if (pn_policy_compile(&document, &scope, 1, &program, &err) == PN_OK)
        pn_policy_program_destroy(program);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct pn_policy_document *first = NULL;
    struct pn_policy_document *second = NULL;
    enum pn_policy_format format;
    enum pn_policy_scope scope;
    struct pn_error err = {0};
    struct pn_buf a;
    struct pn_buf b;
    size_t references = 0;

    if (size < 1)
        return 0;
    format = (data[0] & 1) != 0 ? PN_POLICY_XML : PN_POLICY_RAWXML;
    scope = (enum pn_policy_scope)(data[0] >> 1 & 3);
    if (pn_policy_parse(pn_slice(data + 1, size - 1), format, scope, &first, &err) != PN_OK) {
        must(err.message[0] != '\0');
        return 0;
    }
    pn_buf_init(&a, 1u << 24);
    pn_buf_init(&b, 1u << 24);
    must(pn_policy_print(first, format, &a) == PN_OK);
    must(pn_policy_references(first, on_reference, &references, &err) == PN_OK);
    try_program(first, scope);
    /* Printing may add bytes; only what is still within the limit can be read again. */
    if (a.len <= PN_POLICY_BYTES_MAX) {
        must(pn_policy_parse(pn_buf_slice(&a), format, scope, &second, &err) == PN_OK);
        must(pn_policy_print(second, format, &b) == PN_OK);
        must(pn_slice_eq(pn_buf_slice(&a), pn_buf_slice(&b)));
    }
    pn_policy_document_destroy(first);
    pn_policy_document_destroy(second);
    pn_buf_fini(&a);
    pn_buf_fini(&b);
    return 0;
}
