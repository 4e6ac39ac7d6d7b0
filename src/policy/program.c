/* SPDX-License-Identifier: Apache-2.0
 *
 * Compile: the documents of all scopes become four flat lists of steps, every <base /> replaced by
 * the parent scope's section.
 *
 * A section that a document leaves out altogether is inherited, as if it held <base /> (at the
 * global scope: as the default document has it). A present but empty section runs nothing. So
 * leaving out <inbound> can never drop a check that an outer scope makes.
 */
#include <stdlib.h>

#include "policy/internal.h"

#define SCOPES_MAX 8

struct compiler {
    const struct pn_policy_document *const *documents;
    const enum pn_policy_scope *scopes;
    size_t count;
    struct pn_policy_program *program;
    struct pn_error *err;
};

/* What the global scope does when nobody says otherwise. */
static const struct pn_policy_statement default_forward = {
    .kind = PN_STATEMENT_FORWARD,
    .element = "forward-request",
};

static enum pn_rc emit(struct compiler *c, enum pn_policy_section section,
                       const struct pn_policy_statement *statement, enum pn_policy_scope scope)
{
    struct pn_policy_step *steps = c->program->sections[section].steps;
    size_t count = c->program->sections[section].count;
    size_t capacity = c->program->sections[section].capacity;

    if (count == capacity) {
        capacity = capacity ? capacity * 2 : 8;
        steps = realloc(steps, capacity * sizeof *steps);
        if (!steps)
            return pn_error_set(c->err, PN_NOMEM, "out_of_memory", "out of memory");
        c->program->sections[section].steps = steps;
        c->program->sections[section].capacity = capacity;
    }
    steps[count] = (struct pn_policy_step){.statement = statement, .scope = scope};
    c->program->sections[section].count++;
    return PN_OK;
}

/* Emits the section as the first `depth` documents make it. Recursion: at most SCOPES_MAX deep. */
static enum pn_rc expand(struct compiler *c, enum pn_policy_section section, size_t depth)
{
    const struct pn_policy_document *document;
    enum pn_rc rc = PN_OK;

    if (depth == 0)
        return section == PN_SECTION_BACKEND ? emit(c, section, &default_forward, PN_SCOPE_GLOBAL)
                                             : PN_OK;
    document = c->documents[depth - 1];
    if (!document || !document->sections[section])
        return expand(c, section, depth - 1);
    for (struct pn_policy_node *node = pn_policy_element(document->sections[section]->first_child);
         rc == PN_OK && node; node = pn_policy_element(node->next)) {
        if (node->statement->kind != PN_STATEMENT_BASE)
            rc = emit(c, section, node->statement, c->scopes[depth - 1]);
        else if (c->scopes[depth - 1] != PN_SCOPE_GLOBAL) /* above global there is nothing */
            rc = expand(c, section, depth - 1);
    }
    return rc;
}

/* "A base document's backend-id can be overridden only by another backend-id, not by base-url"
 *: such a base-url is left out here, as nothing at run time can change it. */
static void drop_overridden_urls(struct pn_policy_program *program)
{
    static const enum pn_policy_section order[] = {PN_SECTION_INBOUND, PN_SECTION_BACKEND};
    bool has_id = false;
    enum pn_policy_scope id_scope = PN_SCOPE_GLOBAL;

    for (size_t i = 0; i < sizeof order / sizeof *order; i++) {
        struct pn_policy_step *steps = program->sections[order[i]].steps;
        size_t kept = 0;

        for (size_t j = 0; j < program->sections[order[i]].count; j++) {
            const struct pn_policy_statement *statement = steps[j].statement;
            bool is_backend = statement->kind == PN_STATEMENT_BACKEND;

            if (is_backend && statement->backend.base_url.ptr && has_id &&
                id_scope < steps[j].scope)
                continue;
            if (is_backend) {
                has_id = statement->backend.backend_id.ptr != NULL;
                id_scope = steps[j].scope;
            }
            steps[kept++] = steps[j];
        }
        program->sections[order[i]].count = kept;
    }
}

enum pn_rc pn_policy_compile(const struct pn_policy_document *const *documents,
                             const enum pn_policy_scope *scopes, size_t count,
                             struct pn_policy_program **result, struct pn_error *err)
{
    struct compiler c = {.documents = documents, .scopes = scopes, .count = count, .err = err};
    enum pn_rc rc = PN_OK;

    if (count > SCOPES_MAX)
        return pn_error_set(err, PN_LIMIT, "too_many_scopes", "%zu policy scopes; at most %d",
                            count, SCOPES_MAX);
    c.program = calloc(1, sizeof *c.program);
    if (!c.program)
        return pn_error_set(err, PN_NOMEM, "out_of_memory", "out of memory");
    for (size_t i = 0; rc == PN_OK && i < PN_POLICY_SECTIONS; i++)
        rc = expand(&c, (enum pn_policy_section)i, count);
    if (rc != PN_OK) {
        pn_policy_program_destroy(c.program);
        return rc;
    }
    drop_overridden_urls(c.program);
    *result = c.program;
    return PN_OK;
}

/* --- what can be told without a request --- */

static bool is_open(struct pn_slice text)
{
    return pn_policy_is_expression(text) || pn_slice_find_slice(text, PN_LIT("{{")) < text.len;
}

static void take_certificate(struct pn_policy_way *way, const struct pn_policy_step *step)
{
    const struct pn_policy_statement *statement = step->statement;

    way->certificate_id = statement->certificate.certificate_id;
    way->certificate_ids = statement->certificate.certificate_ids;
    way->certificate_id_count = statement->certificate.certificate_id_count;
    way->certificate_thumbprint = statement->certificate.thumbprint;
    way->certificate_embedded = statement->certificate.embedded;
    way->certificate_scope = step->scope;
    way->depends =
        way->depends || is_open(way->certificate_id) || is_open(way->certificate_thumbprint);
}

static void take_step(struct pn_policy_way *way, const struct pn_policy_step *step)
{
    const struct pn_policy_statement *statement = step->statement;

    if (statement->kind == PN_STATEMENT_CERTIFICATE) {
        take_certificate(way, step);
    } else if (statement->kind == PN_STATEMENT_BACKEND) {
        way->base_url = statement->backend.base_url;
        way->backend_id = statement->backend.backend_id;
        way->depends = way->depends || is_open(way->base_url) || is_open(way->backend_id);
    } else if (statement->kind == PN_STATEMENT_FORWARD) {
        way->sends_nothing = false;
    }
}

void pn_policy_program_way(const struct pn_policy_program *program, struct pn_policy_way *way)
{
    static const enum pn_policy_section order[] = {PN_SECTION_INBOUND, PN_SECTION_BACKEND};

    *way = (struct pn_policy_way){.sends_nothing = true, .certificate_scope = PN_SCOPE_GLOBAL};
    for (size_t i = 0; i < sizeof order / sizeof *order; i++) {
        for (size_t k = 0; k < program->sections[order[i]].count; k++) {
            const struct pn_policy_step *step = &program->sections[order[i]].steps[k];

            if (step->statement->kind == PN_STATEMENT_RESPONSE)
                return;
            take_step(way, step);
        }
    }
}

void pn_policy_program_destroy(struct pn_policy_program *program)
{
    if (!program)
        return;
    for (size_t i = 0; i < PN_POLICY_SECTIONS; i++)
        free(program->sections[i].steps);
    free(program);
}

bool pn_policy_has_section(const struct pn_policy_program *program, enum pn_policy_section section)
{
    return program->sections[section].count > 0;
}
