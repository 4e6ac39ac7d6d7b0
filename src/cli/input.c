/* SPDX-License-Identifier: Apache-2.0
 *
 * Files and passwords.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "base/encode.h"
#include "base/file.h"
#include "base/json.h"
#include "cli/internal.h"

#define PASSWORD_BYTES_MAX 4096

static enum pn_cli_exit read_standard_input(struct pn_buf *out)
{
    char chunk[65536];

    for (;;) {
        ssize_t got = read(STDIN_FILENO, chunk, sizeof chunk);

        if (got == 0)
            return PN_CLI_DONE;
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return pn_cli_fail(PN_CLI_USAGE, "standard input cannot be read: %s", strerror(errno));
        if (pn_buf_append(out, chunk, (size_t)got) != PN_OK)
            return pn_cli_fail(PN_CLI_USAGE, "standard input holds more than %zu bytes", out->max);
    }
}

enum pn_cli_exit pn_cli_read_file(const char *path, struct pn_buf *out)
{
    struct pn_error err = {0};

    if (strcmp(path, "-") == 0)
        return read_standard_input(out);
    if (pn_file_read(path, out, &err) != PN_OK)
        return pn_cli_fail(PN_CLI_USAGE, "%s", err.message);
    return PN_CLI_DONE;
}

enum pn_cli_exit pn_cli_read_secret(const char *path, struct pn_buf *out)
{
    enum pn_cli_exit code = pn_cli_read_file(path, out);

    while (out->len > 0 && (out->ptr[out->len - 1] == '\n' || out->ptr[out->len - 1] == '\r'))
        out->len--;
    return code;
}

enum pn_cli_exit pn_cli_file_base64(const char *path, json_t **out)
{
    struct pn_buf bytes;
    struct pn_buf text;
    enum pn_cli_exit code;

    pn_buf_init_secret(&bytes, PN_CLI_FILE_BYTES_MAX);
    pn_buf_init_secret(&text, 2 * PN_CLI_FILE_BYTES_MAX);
    code = pn_cli_read_file(path, &bytes);
    if (code == PN_CLI_DONE) {
        *out = pn_base64_encode(pn_buf_slice(&bytes), &text) == PN_OK
                   ? pn_json_from_slice(pn_buf_slice(&text))
                   : NULL;
        if (!*out)
            code = pn_cli_fail(PN_CLI_USAGE, "out of memory");
    }
    pn_buf_fini(&bytes);
    pn_buf_fini(&text);
    return code;
}

bool pn_cli_prompt(const char *question, struct pn_buf *out)
{
    struct termios before;
    struct termios silent;
    int c = EOF;

    if (!isatty(STDIN_FILENO) || tcgetattr(STDIN_FILENO, &before) != 0)
        return false;
    silent = before;
    silent.c_lflag &= ~(tcflag_t)ECHO;
    fputs(question, stderr);
    (void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &silent);
    for (c = getchar(); c != EOF && c != '\n'; c = getchar())
        if (pn_buf_append_byte(out, (char)c) != PN_OK)
            break;
    (void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &before);
    fputc('\n', stderr);
    return true;
}

enum pn_cli_exit pn_cli_password(struct pn_cli *cli, const char *about, json_t **out)
{
    const char *file = pn_cli_value(cli, "password-file");
    const char *variable = getenv("POSTERN_PFX_PASSWORD");
    struct pn_buf password;
    char question[512];
    enum pn_cli_exit code = PN_CLI_DONE;

    pn_buf_init_secret(&password, PASSWORD_BYTES_MAX);
    if (file) {
        code = pn_cli_read_secret(file, &password);
    } else if (variable) {
        if (pn_buf_append_str(&password, variable) != PN_OK)
            code = pn_cli_fail(PN_CLI_USAGE, "POSTERN_PFX_PASSWORD is longer than %d bytes",
                               PASSWORD_BYTES_MAX);
    } else {
        snprintf(question, sizeof question, "Password of %.400s (empty for none): ", about);
        (void)pn_cli_prompt(question, &password);
    }
    if (code == PN_CLI_DONE) {
        *out = pn_json_from_slice(pn_buf_slice(&password));
        if (!*out)
            code = pn_cli_fail(PN_CLI_USAGE, "the password is no UTF-8 text");
    }
    pn_buf_fini(&password);
    return code;
}
