/* SPDX-License-Identifier: Apache-2.0
 *
 * What a terminal can do, and text that fits into it.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "cli/internal.h"

#define WIDTH_DEFAULT 80
#define WIDTH_MIN     40
#define WIDTH_MAX     120 /* of running text: longer lines are hard to read */

bool pn_cli_has_colours(FILE *stream)
{
    const char *no_colour = getenv("NO_COLOR");
    const char *terminal = getenv("TERM");

    return isatty(fileno(stream)) && !(no_colour && *no_colour) && terminal &&
           strcmp(terminal, "dumb") != 0;
}

size_t pn_cli_terminal_width(FILE *stream)
{
    struct winsize size = {0};

    if (!isatty(fileno(stream)))
        return 0;
    if (ioctl(fileno(stream), TIOCGWINSZ, &size) != 0 || size.ws_col == 0)
        return WIDTH_DEFAULT;
    return size.ws_col;
}

static size_t text_width(FILE *stream)
{
    size_t width = pn_cli_terminal_width(stream);

    if (width == 0)
        return WIDTH_DEFAULT;
    return width < WIDTH_MIN ? WIDTH_MIN : width > WIDTH_MAX ? WIDTH_MAX : width;
}

size_t pn_cli_cells(const char *text, size_t len)
{
    size_t cells = 0;

    for (size_t i = 0; i < len; i++)
        cells += ((unsigned char)text[i] & 0xC0) != 0x80;
    return cells;
}

void pn_cli_print_wrapped(FILE *out, size_t column, size_t indent, const char *text)
{
    size_t width = text_width(out);
    bool is_first = true;

    if (column > 0 && column >= indent) {
        fputc('\n', out);
        column = 0;
    }
    while (column < indent)
        column += (size_t)fprintf(out, " ");
    while (*text) {
        size_t len = strcspn(text, " ");
        size_t cells = pn_cli_cells(text, len);

        if (!is_first && column + 1 + cells >= width) {
            fprintf(out, "\n%*s", (int)indent, "");
            column = indent;
            is_first = true;
        }
        column += cells + (is_first ? 0 : 1);
        fprintf(out, "%s%.*s", is_first ? "" : " ", (int)len, text);
        is_first = false;
        text += len;
        text += strspn(text, " ");
    }
    fputc('\n', out);
}
