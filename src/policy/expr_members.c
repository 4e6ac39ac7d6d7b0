/* SPDX-License-Identifier: Apache-2.0
 *
 * Which member is meant: name, then the first form whose parameters the arguments are, then the
 * first that they become by conversion.
 *
 * A form's parameters are letters: b bool, i int, l long, d double, c char, s string (S: may be
 * null), o object, L string[], K char[], y byte[], g Guid, t DateTime, n TimeSpan, C
 * StringComparison, R RegexOptions, P StringSplitOptions, G Group's name or number, T the generic
 * type. '*' behind one: any number of it.
 */
#include <stdio.h>
#include <string.h>

#include "policy/expr_internal.h"

static const struct expr_member *const tables[] = {expr_context_members, expr_string_members,
                                                   expr_system_members, expr_time_members,
                                                   expr_regex_members};

#define TABLES (sizeof(tables) / sizeof(tables[0]))

static enum pn_expr_type type_of(char letter, enum pn_expr_type generic)
{
    switch (letter) {
    case 'b':
        return PN_EXPR_BOOL;
    case 'i':
        return PN_EXPR_INT;
    case 'l':
        return PN_EXPR_LONG;
    case 'd':
        return PN_EXPR_DOUBLE;
    case 'c':
        return PN_EXPR_CHAR;
    case 's':
    case 'S':
        return PN_EXPR_STRING;
    case 'L':
        return PN_EXPR_STRINGS;
    case 'K':
        return PN_EXPR_CHARS;
    case 'y':
        return PN_EXPR_BYTES;
    case 'g':
        return PN_EXPR_GUID;
    case 't':
        return PN_EXPR_TIME;
    case 'n':
        return PN_EXPR_SPAN;
    case 'C':
        return PN_EXPR_COMPARISON;
    case 'R':
        return PN_EXPR_REGEX_OPTIONS;
    case 'P':
        return PN_EXPR_SPLIT_OPTIONS;
    case 'T':
        return generic;
    default:
        return PN_EXPR_OBJECT;
    }
}

/** Of owner's own members and of those that every value has. */
static bool is_of(const struct expr_member *member, const struct expr_node *self,
                  struct pn_slice name)
{
    bool is_static = self->kind == EXPR_CLASS;

    if (!pn_slice_eq_str(name, member->name) || member->is_static != is_static)
        return false;
    return member->owner == self->type ||
           (!is_static && member->owner == PN_EXPR_OBJECT && self->type < PN_EXPR_CONTEXT &&
            self->type != PN_EXPR_NULL);
}

static const struct expr_member *next_member(const struct expr_node *self, struct pn_slice name,
                                             const struct expr_member *former)
{
    bool is_behind = former == NULL;

    for (size_t i = 0; i < TABLES; i++) {
        for (const struct expr_member *member = tables[i]; member->name; member++) {
            if (is_behind && is_of(member, self, name))
                return member;
            is_behind = is_behind || member == former;
        }
    }
    return NULL;
}

static void list_members(const struct expr_node *self, char *out, size_t size)
{
    const char *former = "";
    size_t len = 0;

    out[0] = '\0';
    for (size_t i = 0; i < TABLES; i++) {
        for (const struct expr_member *member = tables[i]; member->name; member++) {
            if (member->owner != self->type || member->is_static != (self->kind == EXPR_CLASS) ||
                strcmp(former, member->name) == 0 || member->name[0] == '[')
                continue;
            if (len + strlen(member->name) + 8 > size) {
                (void)snprintf(out + len, size - len, ", …");
                return;
            }
            len += (size_t)snprintf(out + len, size - len, "%s%s", len ? ", " : "", member->name);
            former = member->name;
        }
    }
}

static struct expr_node *no_member(struct expr_compiler *c, const struct expr_node *self,
                                   struct pn_slice name, size_t offset)
{
    char list[PN_EXPR_MESSAGE_MAX - 140];

    name = pn_slice_sub(name, 0, 60);
    if (self->type == PN_EXPR_OBJECT && self->kind != EXPR_CLASS) {
        expr_fail(&c->lexer, offset,
                  "'%.*s' of an object: cast it first, as in ((string)…).%.*s; an object has "
                  "ToString only",
                  PN_FMT(name), PN_FMT(name));
        return NULL;
    }
    list_members(self, list, sizeof(list));
    if (pn_slice_eq_str(name, "[]"))
        expr_fail(&c->lexer, offset, "%s has no […]", expr_type_name(self->type));
    else
        expr_fail(&c->lexer, offset, "'%.*s' is not available in this release; %s has here: %s",
                  PN_FMT(name), expr_type_name(self->type), list[0] ? list : "nothing");
    return NULL;
}

/** What may be null may have members of its own type only behind "?.". */
static bool check_self(struct expr_compiler *c, const struct expr_node *self, struct pn_slice name)
{
    if (self->type == PN_EXPR_NULL) {
        expr_fail(&c->lexer, self->offset, "null has no members");
        return false;
    }
    if (!self->is_nullable)
        return true;
    expr_fail(&c->lexer, self->offset, "this %s may be null: say what then, as in (… ?\? …).%.*s",
              expr_type_name(self->type), PN_FMT(pn_slice_sub(name, 0, EXPR_NAME_MAX)));
    return false;
}

static struct expr_node *make(struct expr_compiler *c, struct expr_node *self,
                              const struct expr_member *member, enum pn_expr_type generic,
                              struct expr_node *const *list, size_t count, size_t offset)
{
    enum pn_expr_type result = member->result == PN_EXPR_NULL ? generic : member->result;
    struct expr_node *node =
        expr_node(c, EXPR_CALL, result, offset, self->kind == EXPR_CLASS ? NULL : self, NULL, NULL);

    if (!node)
        return NULL;
    node->call.member = member;
    node->call.generic = generic;
    if (!expr_set_list(c, node, list, count))
        return NULL;
    if (member->owner == PN_EXPR_CLASS_REGEX && !expr_regex_compile(c, node))
        return NULL;
    return node;
}

struct expr_node *expr_property(struct expr_compiler *c, struct expr_node *self,
                                struct pn_slice name, size_t offset)
{
    const struct expr_member *member = next_member(self, name, NULL);
    struct expr_node *node;
    struct pn_expr_value value;

    if (!check_self(c, self, name))
        return NULL;
    if (!member)
        return no_member(c, self, name, offset);
    if (member->args) {
        expr_fail(&c->lexer, offset, "'%s' is a method: it is called with (…)", member->name);
        return NULL;
    }
    if (!member->fn) { /* of an enumeration: its number is the row's */
        node = expr_node(c, EXPR_VALUE, member->result, offset, NULL, NULL, NULL);
        value = (struct pn_expr_value){.type = member->result, .i = member->number};
        if (node)
            node->value = value;
        return node;
    }
    return make(c, self, member, PN_EXPR_NULL, NULL, 0, offset);
}

/* ---- forms */

static bool is_exactly(const struct expr_node *node, enum pn_expr_type type)
{
    return node->type == type && node->kind != EXPR_CLASS && !node->is_nullable;
}

/** Whether the arguments fit; `exactly`: without conversion. */
static bool fits(const struct expr_member *member, enum pn_expr_type generic,
                 struct expr_node *const *list, size_t count, bool exactly)
{
    const char *letter = member->args;

    for (size_t i = 0; i < count; i++) {
        enum pn_expr_type type;

        if (*letter == '\0')
            return false;
        type = type_of(*letter, generic == PN_EXPR_NULL ? list[i]->type : generic);
        if (*letter == 'T' && list[i]->type == PN_EXPR_NULL)
            type = generic == PN_EXPR_NULL ? PN_EXPR_OBJECT : generic;
        if (exactly ? !is_exactly(list[i], type) : !expr_converts(list[i], type)) {
            if (letter[1] != '*')
                return false;
            letter += 2; /* none of it, or no more */
            i--;
            continue;
        }
        if (letter[1] != '*')
            letter++;
    }
    return *letter == '\0' || (letter[1] == '*' && letter[2] == '\0');
}

static bool coerce_all(struct expr_compiler *c, const struct expr_member *member,
                       enum pn_expr_type generic, struct expr_node **list, size_t count)
{
    const char *letter = member->args;

    for (size_t i = 0; i < count; i++) {
        enum pn_expr_type type = type_of(*letter, generic);

        if (!expr_converts(list[i], type)) {
            letter += 2;
            i--;
            continue;
        }
        list[i] = expr_coerce(c, list[i], type, "the argument");
        if (!list[i])
            return false;
        if (letter[1] != '*')
            letter++;
    }
    return true;
}

static void put_form(const struct expr_member *member, char *out, size_t size)
{
    size_t len = (size_t)snprintf(out, size, "(");

    for (const char *letter = member->args; *letter && len < size; letter++) {
        if (*letter == '*')
            len += (size_t)snprintf(out + len, size - len, "…");
        else
            len += (size_t)snprintf(
                out + len, size - len, "%s%s", letter > member->args ? ", " : "",
                *letter == 'T' ? "T" : expr_type_name(type_of(*letter, PN_EXPR_NULL)));
    }
    if (len < size)
        (void)snprintf(out + len, size - len, ")");
}

static struct expr_node *no_form(struct expr_compiler *c, const struct expr_node *self,
                                 struct pn_slice name, struct expr_node *const *list, size_t count,
                                 size_t offset)
{
    char given[80] = "";
    char forms[100] = "";
    size_t len = 0;
    size_t forms_len = 0;

    for (size_t i = 0; i < count && len < sizeof(given); i++)
        len += (size_t)snprintf(given + len, sizeof(given) - len, "%s%s", i ? ", " : "",
                                list[i]->kind == EXPR_CLASS ? "a type"
                                                            : expr_type_name(list[i]->type));
    for (const struct expr_member *member = next_member(self, name, NULL);
         member && forms_len + 40 < sizeof(forms); member = next_member(self, name, member)) {
        char form[64];

        if (!member->args)
            continue;
        put_form(member, form, sizeof(form));
        forms_len += (size_t)snprintf(forms + forms_len, sizeof(forms) - forms_len, "%s%s",
                                      forms_len ? " or " : "", form);
    }
    expr_fail(&c->lexer, offset, "'%.*s' does not take (%s); it takes %s",
              PN_FMT(pn_slice_sub(name, 0, 60)), given, forms);
    return NULL;
}

static const struct expr_member *find_form(const struct expr_node *self, struct pn_slice name,
                                           enum pn_expr_type generic, struct expr_node *const *list,
                                           size_t count)
{
    for (int exactly = 1; exactly >= 0; exactly--) {
        for (const struct expr_member *member = next_member(self, name, NULL); member;
             member = next_member(self, name, member)) {
            bool is_generic = member->result == PN_EXPR_NULL;

            if (member->args && (is_generic || generic == PN_EXPR_NULL) &&
                fits(member, generic, list, count, exactly))
                return member;
        }
    }
    return NULL;
}

struct expr_node *expr_call(struct expr_compiler *c, struct expr_node *self, struct pn_slice name,
                            enum pn_expr_type generic, struct expr_node **list, size_t count,
                            size_t offset)
{
    const struct expr_member *member;

    if (!check_self(c, self, name))
        return NULL;
    if (!next_member(self, name, NULL))
        return no_member(c, self, name, offset);
    member = find_form(self, name, generic, list, count);
    if (!member) {
        member = next_member(self, name, NULL);
        if (!member->args) {
            expr_fail(&c->lexer, offset, "'%s' is no method: it is written without ()",
                      member->name);
            return NULL;
        }
        return no_form(c, self, name, list, count, offset);
    }
    if (member->result == PN_EXPR_NULL && generic == PN_EXPR_NULL) { /* T is what the default is */
        generic = count > 1 ? list[count - 1]->type : PN_EXPR_NULL;
        if (generic == PN_EXPR_NULL) {
            expr_fail(&c->lexer, offset, "say of which type it is: %s<string>(…)", member->name);
            return NULL;
        }
    }
    if (!coerce_all(c, member, generic, list, count))
        return NULL;
    return make(c, self, member, generic, list, count, offset);
}
