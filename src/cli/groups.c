/* SPDX-License-Identifier: Apache-2.0
 *
 * The tables of commands, as one; help, completion and manual pages are made from them.
 */
#include <string.h>

#include "base/nearest.h"
#include "cli/internal.h"

const struct pn_cli_group pn_cli_groups[] = {
    {"certificate", "certificates that are presented to backends", pn_cli_certificate_commands,
     true},
    {"audit", "who changed which certificate, and what served which backend", pn_cli_audit_commands,
     false},
    {"api", "APIs and their operations", pn_cli_api_commands, true},
    {"backend", "backends: address, certificates, checks", pn_cli_backend_commands, true},
    {"product", "APIs that are offered together", pn_cli_product_commands, true},
    {"subscription", "keys with which callers open APIs", pn_cli_subscription_commands, true},
    {"policy", "policy documents", pn_cli_policy_commands, true},
    {"fragment", "statements that policies include", pn_cli_fragment_commands, true},
    {"named-value", "texts that policies and backends name", pn_cli_named_value_commands, true},
    {"workspace", "teams with resources of their own", pn_cli_workspace_commands, false},
    {"vault", "the embedded key vault, or another one", pn_cli_vault_commands, false},
    {"identity", "applications and people that may log in", pn_cli_identity_commands, false},
    {"role", "who may do what", pn_cli_role_commands, false},
    {NULL, "the service", pn_cli_login_commands, false},
    {NULL, "the service", pn_cli_service_commands, false},
    {NULL, "try it", pn_cli_demo_commands, false},
    {NULL, "shells", pn_cli_completion_commands, false},
    {NULL, NULL, NULL, false},
};

const struct pn_cli_option pn_cli_common_options[] = {
    {"data", "DIR", "folder of the local service, where ready.json is"},
    {"output", "json|table|tsv", "how to print (default table); -o for short"},
    {"query", "POINTER", "print only this part of the answer (JSON pointer, * for every member)"},
    {"help", NULL, "this text; -h for short"},
    {NULL, NULL, NULL},
};

const struct pn_cli_option *pn_cli_group_options(const struct pn_cli_command *command)
{
    static const struct pn_cli_option scoped[] = {
        {"workspace", "NAME", "of this workspace (default: the service's own)"},
        {NULL, NULL, NULL},
    };

    for (const struct pn_cli_group *group = pn_cli_groups; group->commands; group++)
        if (group->is_scoped && pn_cli_starts_with_words(command->words, group->name))
            return scoped;
    return NULL;
}

bool pn_cli_starts_with_words(const char *text, const char *words)
{
    size_t len = strlen(words);

    return len == 0 || (strncmp(text, words, len) == 0 && (text[len] == ' ' || text[len] == '\0'));
}

const struct pn_cli_command *pn_cli_next(const struct pn_cli_command *after)
{
    for (const struct pn_cli_group *group = pn_cli_groups; group->commands; group++) {
        for (const struct pn_cli_command *command = group->commands; command->words; command++) {
            if (!after)
                return command;
            if (after == command)
                after = NULL;
        }
    }
    return NULL;
}

bool pn_cli_has_command(const char *name)
{
    if (strcmp(name, "help") == 0 || strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0)
        return true;
    for (const struct pn_cli_command *at = pn_cli_next(NULL); at; at = pn_cli_next(at))
        if (pn_cli_starts_with_words(at->words, name))
            return true;
    return false;
}

const char *pn_cli_nearest_command(const char *words, const char *within)
{
    const char *names[PN_CLI_NAMES_MAX];
    size_t count = 0;

    for (const struct pn_cli_command *at = pn_cli_next(NULL); at && count < PN_CLI_NAMES_MAX;
         at = pn_cli_next(at))
        if (!within || pn_cli_starts_with_words(at->words, within))
            names[count++] = at->words;
    return pn_nearest_of(pn_slice_str(words), names, count);
}

int pn_cli_word_count(const char *words)
{
    int count = 1;

    for (; *words; words++)
        count += *words == ' ';
    return count;
}

const char *pn_cli_nearest_option(const struct pn_cli_command *command, const char *name)
{
    const struct pn_cli_option *const lists[] = {command->options, pn_cli_group_options(command),
                                                 pn_cli_common_options};
    const char *names[PN_CLI_NAMES_MAX];
    size_t count = 0;

    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
        for (const struct pn_cli_option *at = lists[i]; at && at->name && count < PN_CLI_NAMES_MAX;
             at++)
            names[count++] = at->name;
    return pn_nearest_of(pn_slice_str(name), names, count);
}
