/* SPDX-License-Identifier: Apache-2.0
 *
 * Compile: the documents of all scopes become four flat lists of steps, every <base /> replaced by
 * the parent scope's section.
 *
 * A section that a document leaves out altogether is inherited, as if it held <base /> (at the
 * global scope: as the default document has it). A present but empty section runs nothing. So
 * leaving out <inbound> can never drop a check that an outer scope makes.
 */
#include <assert.h>
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

static const struct pn_policy_statement goto_statement = {
    .kind = PN_STATEMENT_GOTO,
    .element = "choose",
};
static const struct pn_policy_statement unless_statement = {
    .kind = PN_STATEMENT_UNLESS,
    .element = "choose",
};

static enum pn_rc emit_choose(struct compiler *c, enum pn_policy_section section,
                              const struct pn_policy_node *choose, enum pn_policy_scope scope);

static enum pn_rc emit_branch(struct compiler *c, enum pn_policy_section section,
                              const struct pn_policy_node *branch, enum pn_policy_scope scope)
{
    enum pn_rc rc = PN_OK;

    for (struct pn_policy_node *node = pn_policy_element(branch->first_child); rc == PN_OK && node;
         node = pn_policy_element(node->next))
        rc = node->statement->kind == PN_STATEMENT_CHOOSE
                 ? emit_choose(c, section, node, scope)
                 : emit(c, section, node->statement, scope);
    return rc;
}

/* Each branch: unless it holds, go to the next one; its statements; go to the end. The steps that
 * go to the end are chained by their targets until the end is known. Recursion: as deep as the
 * document (PN_POLICY_DEPTH_MAX). */
static enum pn_rc emit_choose(struct compiler *c, enum pn_policy_section section,
                              const struct pn_policy_node *choose, enum pn_policy_scope scope)
{
    size_t chain = SIZE_MAX;
    size_t *count = &c->program->sections[section].count;
    struct pn_policy_step *steps = NULL;
    enum pn_rc rc = PN_OK;

    for (struct pn_policy_node *branch = pn_policy_element(choose->first_child);
         rc == PN_OK && branch; branch = pn_policy_element(branch->next)) {
        size_t unless = *count;

        rc = emit(c, section, &unless_statement, scope);
        if (rc == PN_OK)
            rc = emit_branch(c, section, branch, scope);
        if (rc == PN_OK)
            rc = emit(c, section, &goto_statement, scope);
        if (rc != PN_OK)
            return rc;
        steps = c->program->sections[section].steps;
        assert(steps); /* something was put in */
        steps[unless].condition = branch->branch;
        steps[unless].target = *count;
        steps[*count - 1].target = chain;
        chain = *count - 1;
    }
    while (steps && chain != SIZE_MAX) {
        size_t next = steps[chain].target;

        steps[chain].target = *count;
        chain = next;
    }
    return rc;
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
        if (node->statement->kind == PN_STATEMENT_CHOOSE)
            rc = emit_choose(c, section, node, c->scopes[depth - 1]);
        else if (node->statement->kind != PN_STATEMENT_BASE)
            rc = emit(c, section, node->statement, c->scopes[depth - 1]);
        else if (c->scopes[depth - 1] != PN_SCOPE_GLOBAL) /* above global there is nothing */
            rc = expand(c, section, depth - 1);
    }
    return rc;
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
    *result = c.program;
    return PN_OK;
}

/* --- what can be told without a request --- */

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
        way->depends || statement->certificate.id_expr || statement->certificate.thumbprint_expr;
}

static void take_step(struct pn_policy_way *way, const struct pn_policy_step *step)
{
    const struct pn_policy_statement *statement = step->statement;

    if (statement->kind == PN_STATEMENT_CERTIFICATE) {
        take_certificate(way, step);
    } else if (statement->kind == PN_STATEMENT_BACKEND) {
        if (statement->backend.base_url.ptr && way->backend_id.ptr &&
            way->backend_scope < step->scope)
            return; /* as in a run */
        way->base_url = statement->backend.base_url;
        way->backend_id = statement->backend.backend_id;
        way->backend_scope = step->scope;
        way->depends = way->depends || statement->backend.url_expr || statement->backend.id_expr;
    } else if (statement->kind == PN_STATEMENT_FORWARD) {
        way->sends_nothing = false;
    }
}

/** A branch, of which nobody knows whether it is taken: it may say where the request goes or as
 *  whom, or answer it. */
static void take_branch(struct pn_policy_way *way, const struct pn_policy_step *steps, size_t from,
                        size_t to)
{
    for (size_t i = from; i < to; i++) {
        enum pn_policy_kind kind = steps[i].statement->kind;

        if (kind == PN_STATEMENT_FORWARD)
            way->sends_nothing = false;
        if (kind == PN_STATEMENT_CERTIFICATE || kind == PN_STATEMENT_BACKEND ||
            kind == PN_STATEMENT_FORWARD || kind == PN_STATEMENT_RESPONSE)
            way->depends = true;
    }
}

void pn_policy_program_way(const struct pn_policy_program *program, struct pn_policy_way *way)
{
    static const enum pn_policy_section order[] = {PN_SECTION_INBOUND, PN_SECTION_BACKEND};

    *way = (struct pn_policy_way){.sends_nothing = true, .certificate_scope = PN_SCOPE_GLOBAL};
    for (size_t i = 0; i < sizeof order / sizeof *order; i++) {
        for (size_t k = 0; k < program->sections[order[i]].count; k++) {
            const struct pn_policy_step *step = &program->sections[order[i]].steps[k];

            if (step->statement->kind == PN_STATEMENT_UNLESS) {
                take_branch(way, program->sections[order[i]].steps, k, step->target);
                k = step->target - 1; /* behind it */
                continue;
            }
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
