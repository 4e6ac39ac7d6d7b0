/* SPDX-License-Identifier: Apache-2.0
 *
 * The statements about the Authorization header: authentication-basic,
 * authentication-managed-identity.
 */
#include <string.h>

#include "base/encode.h"
#include "policy/internal.h"

#define USERNAME_BYTES_MAX  1024
#define PASSWORD_BYTES_MAX  4096
#define RESOURCE_BYTES_MAX  1024u
#define VARIABLE_LENGTH_MAX 256u

/* RFC 7617 section 2: no control characters, and no colon in the name. */
static bool has_control(struct pn_slice text)
{
    for (size_t i = 0; i < text.len; i++)
        if ((unsigned char)text.ptr[i] < 0x20 || text.ptr[i] == 0x7F)
            return true;
    return false;
}

static enum pn_rc no_content(struct pn_policy_check *check, const struct pn_policy_node *node)
{
    enum pn_rc rc = pn_policy_check_no_text(check, node);

    return rc == PN_OK ? pn_policy_check_no_children(check, node) : rc;
}

/** "Basic " and base64 of name:password, in the document's arena, which is wiped at its end. */
static enum pn_rc make_authorization(struct pn_policy_check *check, struct pn_slice username,
                                     struct pn_slice password, struct pn_slice *value)
{
    struct pn_buf text;
    enum pn_rc rc;

    pn_buf_init_secret(&text, (size_t)2 * (USERNAME_BYTES_MAX + PASSWORD_BYTES_MAX));
    rc = pn_basic_credentials(username, password, &text);
    if (rc == PN_OK) {
        *value = pn_arena_dup(check->arena, pn_buf_slice(&text));
        if (!value->ptr)
            rc = PN_NOMEM;
    }
    pn_buf_fini(&text);
    return rc == PN_OK ? rc : pn_error_set(check->err, PN_NOMEM, "out_of_memory", "out of memory");
}

#define TEXT(number)  TEXT_(number)
#define TEXT_(number) #number

const char *pn_policy_user_problem(struct pn_slice username)
{
    if (username.len > 0 && username.len <= USERNAME_BYTES_MAX && !has_control(username) &&
        pn_slice_find(username, ':') == username.len)
        return NULL;
    return "must have 1 to " TEXT(USERNAME_BYTES_MAX) " characters, without ':' and control "
                                                      "characters";
}

const char *pn_policy_password_problem(struct pn_slice password)
{
    if (password.len <= PASSWORD_BYTES_MAX && !has_control(password))
        return NULL;
    return "must have at most " TEXT(PASSWORD_BYTES_MAX) " characters, without control characters";
}

enum pn_rc pn_policy_check_basic(struct pn_policy_check *check, struct pn_policy_node *node,
                                 struct pn_policy_statement *statement)
{
    static const char *const known[] = {"username", "password", NULL};
    struct pn_policy_operand *user = &statement->basic.username;
    struct pn_policy_operand *secret = &statement->basic.password;
    struct pn_slice username = pn_policy_attribute(node, "username");
    struct pn_slice password = pn_policy_attribute(node, "password");
    const char *problem;
    enum pn_rc rc = pn_policy_check_mixed(check, node, known, known, NULL, true);

    if (rc == PN_OK)
        rc = no_content(check, node);
    if (rc == PN_OK)
        rc = pn_policy_check_operand(check, node, "username", PN_EXPR_WANT_TEXT, user);
    if (rc == PN_OK)
        rc = pn_policy_check_operand(check, node, "password", PN_EXPR_WANT_TEXT, secret);
    if (rc != PN_OK)
        return rc;
    if (!username.ptr || !password.ptr)
        return pn_policy_node_error(check->err, node, "the attribute '%s' is required",
                                    username.ptr ? "password" : "username");
    problem = user->expr ? NULL : pn_policy_user_problem(username);
    if (problem)
        return pn_policy_node_error(check->err, node, "the attribute 'username' %s", problem);
    problem = secret->expr ? NULL : pn_policy_password_problem(password);
    if (problem)
        return pn_policy_node_error(check->err, node, "the attribute 'password' %s", problem);
    if (user->expr || secret->expr)
        return PN_OK; /* the header is made for each request */
    return make_authorization(check, username, password, &statement->basic.authorization);
}

void pn_policy_token_name(struct pn_slice client_id, struct pn_slice resource,
                          char name[PN_POLICY_TOKEN_NAME])
{
    char text[128 + RESOURCE_BYTES_MAX];
    char hash[65];
    size_t id_len = client_id.ptr ? client_id.len : 0;
    size_t len = 0;

    /* Client ids have no case; a resource is taken as it is written. */
    for (size_t i = 0; i < id_len && i < 100; i++) {
        char c = client_id.ptr[i];

        text[len++] = c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
    }
    text[len++] = '\n';
    if (resource.len > RESOURCE_BYTES_MAX)
        resource.len = RESOURCE_BYTES_MAX;
    memcpy(text + len, resource.ptr, resource.len);
    pn_sha256_hex(pn_slice(text, len + resource.len), hash);
    memcpy(name, hash, PN_POLICY_TOKEN_NAME - 1);
    name[PN_POLICY_TOKEN_NAME - 1] = '\0';
}

static bool is_resource(struct pn_slice text)
{
    for (size_t i = 0; i < text.len; i++)
        if ((unsigned char)text.ptr[i] <= 0x20 || (unsigned char)text.ptr[i] >= 0x7F)
            return false;
    return text.len > 0 && text.len <= RESOURCE_BYTES_MAX;
}

enum pn_rc pn_policy_check_identity(struct pn_policy_check *check, struct pn_policy_node *node,
                                    struct pn_policy_statement *statement)
{
    static const char *const known[] = {"resource", "client-id", "output-token-variable-name",
                                        "ignore-error", NULL};
    struct pn_slice resource = pn_slice_trim(pn_policy_attribute(node, "resource"));
    struct pn_slice client_id = pn_policy_attribute(node, "client-id");
    struct pn_slice variable = pn_policy_attribute(node, "output-token-variable-name");
    char name[PN_POLICY_TOKEN_NAME];
    enum pn_rc rc = pn_policy_check_attributes(check, node, known, NULL, true);

    if (rc == PN_OK)
        rc = no_content(check, node);
    if (rc == PN_OK)
        rc = pn_policy_check_bool(check, node, "ignore-error", &statement->identity.ignores_error);
    if (rc != PN_OK)
        return rc;
    if (!is_resource(resource))
        return pn_policy_node_error(check->err, node,
                                    "the attribute 'resource' is required: the application id URI "
                                    "of the API that the token is for, such as "
                                    "https://vault.azure.net, of at most %u characters",
                                    RESOURCE_BYTES_MAX);
    if (client_id.ptr && !pn_is_uuid(client_id))
        return pn_policy_node_error(check->err, node,
                                    "the attribute 'client-id' must be the client id (a UUID) of a "
                                    "user-assigned identity; without it the system-assigned one is "
                                    "meant");
    if (variable.ptr && (variable.len == 0 || variable.len > VARIABLE_LENGTH_MAX))
        return pn_policy_node_error(
            check->err, node,
            "the attribute 'output-token-variable-name' must have 1 to %u characters",
            VARIABLE_LENGTH_MAX);
    pn_policy_token_name(client_id, resource, name);
    statement->identity.resource = resource;
    statement->identity.client_id = client_id;
    statement->identity.variable = variable;
    statement->identity.token = pn_arena_dup(check->arena, pn_slice_str(name));
    if (!statement->identity.token.ptr)
        return pn_error_set(check->err, PN_NOMEM, "out_of_memory", "out of memory");
    return PN_OK;
}
