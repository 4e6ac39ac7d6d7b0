/* SPDX-License-Identifier: Apache-2.0
 *
 * Adding a key vault certificate whose vault refuses the service: offers to give the identity that
 * asks exactly what it needs (Get and List on secrets, or the role for it), and does it on consent.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/json.h"
#include "cli/internal.h"

#define VAULT_VERSION "2022-07-01"
#define ROLE          "Key Vault Secrets User"

/* What the answer says about a vault that refused; NULL: it is about something else, or no grant
 * would help. */
static const json_t *hint_of(const struct pn_cli_answer *answer)
{
    const json_t *details = json_object_get(json_object_get(answer->json, "error"), "details");
    const json_t *inner = json_object_get(json_array_get(details, 0), "innererror");
    const char *code = pn_json_str(inner, "code"), *reason = pn_json_str(inner, "reason");

    if (answer->status != 400 || !code || strcmp(code, "VaultForbidden") != 0 || !reason ||
        strcmp(reason, "ForbiddenByFirewall") == 0 || !pn_json_str(inner, "vaultId") ||
        !pn_json_str(inner, "principalId"))
        return NULL;
    return inner;
}

static bool is_by_role(const json_t *hint)
{
    return strcmp(pn_json_str(hint, "permissionModel"), "Rbac") == 0;
}

/* --grant, or a person's yes. */
static bool consents(struct pn_cli *cli, const json_t *hint)
{
    const char *vault = strrchr(pn_json_str(hint, "vaultId"), '/') + 1;
    const char *what = is_by_role(hint) ? "the role " ROLE : "Get and List on secrets";
    char line[16] = "";

    if (pn_cli_flag(cli, "grant"))
        return true;
    if (!isatty(STDIN_FILENO) || !isatty(STDERR_FILENO)) {
        fprintf(stderr,
                "  The identity %s lacks %s in the vault %s: --grant gives it exactly that.\n",
                pn_json_str(hint, "principalId"), what, vault);
        return false;
    }
    fprintf(stderr, "The identity %s may not read the vault %s.\nGive it %s there? [y/N] ",
            pn_json_str(hint, "principalId"), vault, what);
    return fgets(line, sizeof line, stdin) && (line[0] == 'y' || line[0] == 'Y');
}

static enum pn_cli_exit grant(struct pn_cli *cli, const json_t *hint)
{
    const char *vault = pn_json_str(hint, "vaultId"), *principal = pn_json_str(hint, "principalId");
    json_t *body;
    char *path = NULL;
    enum pn_cli_exit code;

    if (is_by_role(hint))
        return pn_cli_assign(cli, principal, ROLE, vault, NULL);
    if (asprintf(&path, "%s/accessPolicies/add", vault) < 0)
        abort();
    body = json_pack("{s:{s:[{s:O, s:s, s:{s:[s, s]}}]}}", "properties", "accessPolicies",
                     "tenantId", json_object_get(hint, "tenantId"), "objectId", principal,
                     "permissions", "secrets", "get", "list");
    code = pn_cli_at(cli, "PUT", path, VAULT_VERSION, body, NULL);
    json_decref(body);
    free(path);
    return code;
}

enum pn_cli_exit pn_cli_certificate_put(struct pn_cli *cli, const char *path, const json_t *body,
                                        json_t **out)
{
    struct pn_cli_answer answer = {0};
    char *url = NULL, what[512];
    const json_t *hint;
    enum pn_cli_exit code = pn_cli_open(cli);

    if (code != PN_CLI_DONE)
        return code;
    if (asprintf(&url, "%s%s%s%capi-version=" PN_CLI_ARM_VERSION, cli->session.control_url,
                 pn_cli_scope_id(cli), path, strchr(path, '?') ? '&' : '?') < 0)
        abort();
    code = pn_cli_send(cli,
                       &(struct pn_cli_request){
                           .method = "PUT", .url = url, .token = cli->session.token, .json = body},
                       &answer);
    hint = code == PN_CLI_DONE ? hint_of(&answer) : NULL;
    if (code == PN_CLI_DONE && answer.status < 400) {
        *out = json_incref(answer.json);
    } else if (code == PN_CLI_DONE) {
        snprintf(what, sizeof what, "PUT %s", path);
        if (!hint || !pn_cli_flag(cli, "grant"))
            code = pn_cli_refused(&answer, what);
        if (hint && consents(cli, hint)) {
            code = grant(cli, hint);
            if (code == PN_CLI_DONE)
                code = pn_cli_arm(cli, "PUT", path, body, out);
        }
    }
    pn_cli_answer_fini(&answer);
    free(url);
    return code;
}
