/* SPDX-License-Identifier: Apache-2.0
 *
 * A bar on standard error while a person waits; nothing where no person looks.
 */
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "cli/internal.h"

#define BAR_CELLS 24

void pn_cli_progress(size_t done, size_t all, const char *what)
{
    struct winsize size = {0};
    size_t full = all > 0 ? done * BAR_CELLS / all : BAR_CELLS;
    char bar[BAR_CELLS + 1];
    char line[256];
    size_t width;

    if (!isatty(STDERR_FILENO))
        return;
    memset(bar, '.', BAR_CELLS);
    memset(bar, '#', full < BAR_CELLS ? full : BAR_CELLS);
    bar[BAR_CELLS] = '\0';
    snprintf(line, sizeof line, "[%s] %zu/%zu %s", bar, done, all, what);
    width = ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 1 ? size.ws_col - 1u : 79;
    if (width < strlen(line))
        line[width] = '\0';
    fprintf(stderr, "\r\x1b[K%s", line);
    fflush(stderr);
}

void pn_cli_progress_end(void)
{
    if (!isatty(STDERR_FILENO))
        return;
    fputs("\r\x1b[K", stderr);
    fflush(stderr);
}
