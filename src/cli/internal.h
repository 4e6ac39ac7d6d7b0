/* SPDX-License-Identifier: Apache-2.0
 *
 * What the files of this room share: a command's description, a running command, a session with the
 * server. A function that returns enum pn_cli_exit has told the user what went wrong already.
 */
#pragma once

#include <stdio.h>

#include <jansson.h>

#include "base/buf.h"
#include "base/error.h"
#include "cli/cli.h"

#define PN_CLI_VALUES_MAX      48 /* options given on one command line */
#define PN_CLI_POSITIONALS_MAX 4
#define PN_CLI_WORDS_MAX       3   /* of a command */
#define PN_CLI_NAMES_MAX       256 /* commands, or options of one */
#define PN_CLI_FILE_BYTES_MAX  (16u * 1024 * 1024)
#define PN_CLI_BODY_BYTES_MAX  (32u * 1024 * 1024) /* of an answer */
#define PN_CLI_ARM_VERSION     "2024-05-01"
#define PN_CLI_VAULT_VERSION   "7.4"

/* The groups; each array ends with NULL words. */
extern const struct pn_cli_command pn_cli_certificate_commands[];
extern const struct pn_cli_command pn_cli_audit_commands[];
extern const struct pn_cli_command pn_cli_api_commands[];
extern const struct pn_cli_command pn_cli_backend_commands[];
extern const struct pn_cli_command pn_cli_subscription_commands[];
extern const struct pn_cli_command pn_cli_product_commands[];
extern const struct pn_cli_command pn_cli_policy_commands[];
extern const struct pn_cli_command pn_cli_fragment_commands[];
extern const struct pn_cli_command pn_cli_named_value_commands[];
extern const struct pn_cli_command pn_cli_workspace_commands[];
extern const struct pn_cli_command pn_cli_vault_commands[];
extern const struct pn_cli_command pn_cli_identity_commands[];
extern const struct pn_cli_command pn_cli_role_commands[];
extern const struct pn_cli_command pn_cli_service_commands[];
extern const struct pn_cli_command pn_cli_demo_commands[];
extern const struct pn_cli_command pn_cli_login_commands[];
extern const struct pn_cli_command pn_cli_completion_commands[];

struct pn_cli_group {
    const char *name;  /* "certificate", the first word of its commands; NULL: they have one word */
    const char *about; /* for the manual page */
    const struct pn_cli_command *commands;
    bool is_scoped; /* they take --workspace */
};
extern const struct pn_cli_group pn_cli_groups[];          /* ended by NULL commands */
extern const struct pn_cli_option pn_cli_common_options[]; /* of every command */
extern const char *const pn_cli_environment[][2];          /* variable, meaning */

struct pn_cli_session {
    bool is_open;
    bool is_local; /* described by ready.json */
    char *control_url, *vault_url, *gateway_url, *gateway_tls_url;
    char *ca_file;
    char *tenant_id, *client_id;
    char *client_secret; /* wiped at the end, as the tokens are */
    char *token, *vault_token;
    char *service_id; /* "/subscriptions/…/service/postern" */
    char *scope_id;   /* that of --workspace, else NULL */
};

struct pn_cli {
    const struct pn_cli_command *command;
    const char *program;
    const char *positionals[PN_CLI_POSITIONALS_MAX];
    size_t positional_count;
    struct {
        const char *name, *value;
    } values[PN_CLI_VALUES_MAX];
    size_t value_count;
    bool is_json;                         /* the answer as JSON, or a part of it */
    bool is_bare;                         /* of a part: text without quotes, a line for each */
    bool is_tsv;                          /* values with tabs between them */
    const char *query;                    /* a JSON pointer, or NULL */
    const struct pn_cli_command *outside; /* see cli.h */
    struct pn_cli_session session;
};

/* ---- cli.c */

/** The option's last value ("" for a flag), or NULL. */
const char *pn_cli_value(const struct pn_cli *cli, const char *name);
bool pn_cli_flag(const struct pn_cli *cli, const char *name);
/** The option's value number `index` (it may be given several times), or NULL. */
const char *pn_cli_value_at(const struct pn_cli *cli, const char *name, size_t index);
/** "postern: <message>" on standard error; returns `code`. */
enum pn_cli_exit pn_cli_fail(enum pn_cli_exit code, const char *format, ...) PN_PRINTF(2, 3);
/** As above, with a hint at --help. */
enum pn_cli_exit pn_cli_usage(const struct pn_cli *cli, const char *format, ...) PN_PRINTF(2, 3);

/* ---- groups.c */

/** The command behind `after` over all groups, NULL at the end; `after` NULL: the first. */
const struct pn_cli_command *pn_cli_next(const struct pn_cli_command *after);
/** The options of all commands of its group; NULL: there are none. */
const struct pn_cli_option *pn_cli_group_options(const struct pn_cli_command *command);
/** Whether `words` are the first words of `text`. */
bool pn_cli_starts_with_words(const char *text, const char *words);
/** How many words there are, with one blank between them. */
int pn_cli_word_count(const char *words);
/** What was meant, perhaps; NULL: nothing is near. `within`: of the commands that begin so only;
 *  NULL: of all. */
const char *pn_cli_nearest_command(const char *words, const char *within);
const char *pn_cli_nearest_option(const struct pn_cli_command *command, const char *name);

/* ---- help.c */

/** What there is, by groups; a screen or two. */
void pn_cli_print_general_help(FILE *out, const struct pn_cli_command *outside);
/** A line for each command. */
void pn_cli_print_all_commands(FILE *out);
void pn_cli_print_group_help(FILE *out, const char *words);
void pn_cli_print_command_help(const struct pn_cli_command *command);

/* ---- session.c */

/** Finds the server and logs in: POSTERN_URL and POSTERN_TOKEN, or ready.json. Once per command. */
enum pn_cli_exit pn_cli_open(struct pn_cli *cli) PN_MUST_USE;
/** What paths of resources are below: the service's id, or the workspace's. Of an open session. */
const char *pn_cli_scope_id(struct pn_cli *cli);
/** Finds the server, without a token. */
enum pn_cli_exit pn_cli_locate(struct pn_cli *cli) PN_MUST_USE;
/** A heap string; NULL for NULL. */
char *pn_cli_without_slash(const char *url);
/** A token for the vault, by its challenge. */
enum pn_cli_exit pn_cli_open_vault(struct pn_cli *cli) PN_MUST_USE;
void pn_cli_close(struct pn_cli *cli);
/** DIR of --data, else the default; a heap string, NULL: out of memory. */
char *pn_cli_data_dir(const struct pn_cli *cli);
/** Reads DIR/ready.json into the session. PN_NOT_FOUND, PN_MALFORMED, … */
enum pn_rc pn_cli_read_ready(struct pn_cli *cli, const char *dir, struct pn_error *err) PN_MUST_USE;

/* ---- request.c */

struct pn_cli_answer {
    long status;
    json_t *json;       /* NULL: no JSON */
    struct pn_buf body; /* secret */
    char *challenge;    /* WWW-Authenticate */
};
struct pn_cli_request {
    const char *method; /* NULL: GET */
    const char *url;
    const char *token;  /* or NULL */
    const json_t *json; /* body, or NULL */
    const char *form;   /* body as a form, or NULL */
    const char *header; /* one more header, or NULL */
    bool is_elsewhere;  /* not Postern: trusts what the system trusts (SSL_CERT_FILE) */
};
/** PN_CLI_DONE for every answer, whatever its status; PN_CLI_UNREACHABLE otherwise (was told).
 *  The caller ends *answer in both cases. */
enum pn_cli_exit pn_cli_send(struct pn_cli *cli, const struct pn_cli_request *request,
                             struct pn_cli_answer *answer) PN_MUST_USE;
void pn_cli_answer_fini(struct pn_cli_answer *answer);
/** Tells what the server refused: code, message, details. Returns PN_CLI_REFUSED. */
enum pn_cli_exit pn_cli_refused(const struct pn_cli_answer *answer, const char *what);
/** A management call at `path` (below the service, "/certificates/c1"; may have a query). Opens the
 *  session; an answer of 400 and above is told and becomes PN_CLI_REFUSED. `out` (may be NULL)
 *  takes the answer's JSON, which the caller gives back; NULL when there is none. */
enum pn_cli_exit pn_cli_arm(struct pn_cli *cli, const char *method, const char *path,
                            const json_t *body, json_t **out) PN_MUST_USE;
/** The same at a path below the origin of the management API, with that api-version (NULL: none).
 */
enum pn_cli_exit pn_cli_at(struct pn_cli *cli, const char *method, const char *path,
                           const char *version, const json_t *body, json_t **out) PN_MUST_USE;
/** The same for the vault's data plane: "/secrets/s1". */
enum pn_cli_exit pn_cli_vault(struct pn_cli *cli, const char *method, const char *path,
                              const json_t *body, json_t **out) PN_MUST_USE;
/** Every page of a list: an array, the caller's. */
enum pn_cli_exit pn_cli_arm_list(struct pn_cli *cli, const char *path, json_t **items) PN_MUST_USE;
enum pn_cli_exit pn_cli_vault_list(struct pn_cli *cli, const char *path,
                                   json_t **items) PN_MUST_USE;
/** "<prefix><name, percent-encoded><suffix>" as a heap string. Ends the process when out of memory.
 */
char *pn_cli_path(const char *prefix, const char *name, const char *suffix);

/* ---- service.c */

/** A link that signs in to the portal: {"url", "expiresInSeconds"}, the caller's. */
enum pn_cli_exit pn_cli_portal_link(struct pn_cli *cli, json_t **out) PN_MUST_USE;

/* ---- user.c: local accounts, of the group identity */

/* federated.c */
extern const struct pn_cli_option pn_cli_federated_options[];
enum pn_cli_exit pn_cli_run_federated_add(struct pn_cli *cli);
enum pn_cli_exit pn_cli_run_federated_list(struct pn_cli *cli);
enum pn_cli_exit pn_cli_run_federated_remove(struct pn_cli *cli);
extern const struct pn_cli_option pn_cli_user_add_options[], pn_cli_user_password_options[];
enum pn_cli_exit pn_cli_run_user_add(struct pn_cli *cli);
enum pn_cli_exit pn_cli_run_user_list(struct pn_cli *cli);
enum pn_cli_exit pn_cli_run_user_password(struct pn_cli *cli);
enum pn_cli_exit pn_cli_run_user_remove(struct pn_cli *cli);

/* ---- output.c */

/** Takes --output and --query. */
enum pn_cli_exit pn_cli_read_form(struct pn_cli *cli) PN_MUST_USE;
/** Whether a person reads: no JSON, no TSV, no query. What is printed besides the answer itself
 * goes by this. */
bool pn_cli_is_table(const struct pn_cli *cli);
/** An answer as JSON, or the part of it that --query names. */
enum pn_cli_exit pn_cli_print_answer(const struct pn_cli *cli, const json_t *json);

/* ---- terminal.c */

/** Whether `stream` is a terminal that may have colours (NO_COLOR, TERM=dumb). */
bool pn_cli_has_colours(FILE *stream);
/** Cells of a line; 0: `stream` is no terminal. */
size_t pn_cli_terminal_width(FILE *stream);
/** Cells that UTF-8 text takes, if none of its characters is a wide one. */
size_t pn_cli_cells(const char *text, size_t len);
/** Running text from `indent` on, wrapped at the terminal's width (no terminal: 80), with a line
 * end. `column`: how much of the line is written already; when that leaves no blank before
 *  `indent`, on a new line. */
void pn_cli_print_wrapped(FILE *out, size_t column, size_t indent, const char *text);

/* ---- table.c */

struct pn_cli_column {
    const char *title;
    const char
        *path; /* members by dots, "properties.keyVault.secretIdentifier"; "[]" joins arrays */
};
/** An array as a table or as JSON, one object as its members in lines or as JSON. */
enum pn_cli_exit pn_cli_print_list(const struct pn_cli *cli, const json_t *items,
                                   const struct pn_cli_column *columns);
/** Every page of the list at `path`, as pn_cli_arm_list() and pn_cli_print_list(). */
enum pn_cli_exit pn_cli_show_list(struct pn_cli *cli, const char *path,
                                  const struct pn_cli_column *columns);
enum pn_cli_exit pn_cli_print_one(const struct pn_cli *cli, const json_t *item,
                                  const struct pn_cli_column *columns);
/** The text at a path, in a buffer that the next call overwrites; "" when missing. */
const char *pn_cli_text_at(const json_t *item, const char *path, char *buf, size_t size);

/* ---- input.c */

/** A whole file, "-" is standard input. `out` is initialized by the caller. */
enum pn_cli_exit pn_cli_read_file(const char *path, struct pn_buf *out) PN_MUST_USE;
/** The same of a file that holds one secret: without the line end that editors put behind it and
 *  nobody means. */
enum pn_cli_exit pn_cli_read_secret(const char *path, struct pn_buf *out) PN_MUST_USE;
/** A heap copy; NULL gives NULL. Never fails: without memory the process ends. */
char *pn_cli_copy(const char *text);
/** As base64 into a JSON string. */
enum pn_cli_exit pn_cli_file_base64(const char *path, json_t **out) PN_MUST_USE;
/** A password: --password-file FILE (or "-"), POSTERN_PFX_PASSWORD, a prompt when standard input is
 * a terminal, else none. Never from the command line, where other users see it. */
enum pn_cli_exit pn_cli_password(struct pn_cli *cli, const char *about, json_t **out) PN_MUST_USE;
/** Asks without echo. false: no terminal. */
bool pn_cli_prompt(const char *question, struct pn_buf *out);

/* ---- manual.c */

/** Writes DIR/postern-NAME.1 for each group, for each command without one, and for those outside.
 */
enum pn_cli_exit pn_cli_write_manual(const struct pn_cli *cli, const char *dir) PN_MUST_USE;

/* ---- progress.c */

/** Draws "[####....] done/all what" over the last one, on a terminal only. */
void pn_cli_progress(size_t done, size_t all, const char *what);
/** Wipes it. */
void pn_cli_progress_end(void);

/* ---- certificate_bulk.c */

enum pn_cli_exit pn_cli_certificate_add_all(struct pn_cli *cli);

/* ---- backend_probe.c */

/** A line about the last connection that failed, from GET `path`; nothing when there was none, it
 * cannot be told, or the output is JSON. */
void pn_cli_print_last_failure(struct pn_cli *cli, const char *path);
enum pn_cli_exit pn_cli_run_probe(struct pn_cli *cli);
extern const struct pn_cli_option pn_cli_probe_options[];

/* ---- login.c */

/** Takes what "postern login" kept, if it is there. PN_CLI_USAGE: it has ended, or is damaged. */
enum pn_cli_exit pn_cli_read_login(struct pn_cli *cli, bool *is_there) PN_MUST_USE;

/* ---- certificate_grant.c */

/** PUT of a certificate; offers the grant when its vault refuses the service. */
enum pn_cli_exit pn_cli_certificate_put(struct pn_cli *cli, const char *path, const json_t *body,
                                        json_t **out) PN_MUST_USE;

/* ---- role.c */

/** Gives a role at `scope` ("": the subscription) to a principal. Was told when it fails. */
enum pn_cli_exit pn_cli_assign(struct pn_cli *cli, const char *principal, const char *role,
                               const char *scope, json_t **out) PN_MUST_USE;

/* ---- backend_properties.c */

extern const struct pn_cli_option pn_cli_backend_options[];
/** What the options say, as `properties`; what they do not say is left out. The caller's. */
enum pn_cli_exit pn_cli_backend_properties(struct pn_cli *cli, json_t **out) PN_MUST_USE;
