/* SPDX-License-Identifier: Apache-2.0
 *
 * See upgrade_command.h.
 */
#include "supervisor/upgrade_command.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"
#include "supervisor/options.h"

#define WAIT_MS  120000
#define PAUSE_MS 50

enum { DONE = 0, REFUSED = 1, USAGE = 2, UNREACHABLE = 3 };

static void print_help(void)
{
    puts("usage: postern upgrade [--data DIR] [--config FILE]\n\n"
         "Has the Postern that serves from DIR hand over to the executables that are installed "
         "now, with its\nconfiguration file as it is now. Requests under way are finished, no "
         "connection is refused. If the\nnew version cannot start, the former one goes on.\n\n"
         "example:\n  postern upgrade --data /var/lib/postern");
}

/* The supervisor holds a lock on the file with its pid. 0: nobody does. */
static pid_t find_supervisor(const char *data_dir)
{
    char path[PATH_MAX + 8], text[32] = "";
    uint64_t pid = 0;
    int fd;
    ssize_t len;

    snprintf(path, sizeof(path), "%.4000s/lock", data_dir);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    len = read(fd, text, sizeof(text) - 1);
    if (flock(fd, LOCK_SH | LOCK_NB) == 0 || errno != EWOULDBLOCK || len <= 0 ||
        !pn_slice_to_u64(pn_slice_trim(pn_slice(text, (size_t)len)), INT_MAX, &pid))
        pid = 0;
    close(fd);
    return (pid_t)pid;
}

static json_t *read_report(const char *data_dir)
{
    char path[PATH_MAX + 16];
    json_t *json = NULL;
    struct pn_buf text;

    snprintf(path, sizeof(path), "%.4000s/upgrade.json", data_dir);
    pn_buf_init(&text, 65536);
    if (pn_file_read(path, &text, NULL) != PN_OK ||
        pn_json_parse(pn_buf_slice(&text), &json, NULL) != PN_OK)
        json = NULL;
    pn_buf_fini(&text);
    return json;
}

static bool is_final(const json_t *report, const json_t *before)
{
    const char *state = report ? pn_json_str(report, "state") : NULL;

    return state && strcmp(state, "running") != 0 && !json_equal(report, before);
}

static int tell(const json_t *report)
{
    const char *state = pn_json_str(report, "state");
    const char *message = pn_json_str(report, "message");
    const char *version = pn_json_str(report, "version");

    if (strcmp(state, "done") == 0) {
        printf("%s: %s\n", version ? version : "", message ? message : "done");
        return DONE;
    }
    fprintf(stderr, "postern upgrade: %s: %s\n", state, message ? message : "");
    return REFUSED;
}

static int await_report(const char *data_dir, const json_t *before)
{
    const struct timespec pause = {.tv_nsec = PAUSE_MS * 1000000L};
    uint64_t end_ms = pn_clock_monotonic_ms() + WAIT_MS;

    while (pn_clock_monotonic_ms() < end_ms) {
        json_t *report = read_report(data_dir);
        int status = is_final(report, before) ? tell(report) : -1;

        json_decref(report);
        if (status >= 0)
            return status;
        nanosleep(&pause, NULL);
    }
    fprintf(stderr,
            "postern upgrade: no outcome within %d s; the log of postern serve tells more\n",
            WAIT_MS / 1000);
    return REFUSED;
}

int pn_upgrade_main(int argc, char **argv)
{
    struct pn_options options = {.config_text = NULL};
    struct pn_error err = {0};
    enum pn_rc rc;
    json_t *before;
    pid_t pid;
    int status;

    if (argc > 1 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)) {
        print_help();
        return DONE;
    }
    rc = pn_options_read(argc, argv, &options, &err);
    pn_options_fini(&options);
    if (rc != PN_OK) {
        fprintf(stderr, "postern upgrade: %s\n", err.message);
        return rc == PN_EOF ? DONE : USAGE;
    }
    pid = find_supervisor(options.data_dir);
    if (pid <= 0) {
        fprintf(stderr, "postern upgrade: nobody serves from %s\n", options.data_dir);
        return UNREACHABLE;
    }
    before = read_report(options.data_dir);
    if (kill(pid, SIGUSR2) != 0) {
        fprintf(stderr, "postern upgrade: process %ld cannot be signalled: %s\n", (long)pid,
                strerror(errno));
        status = UNREACHABLE;
    } else {
        status = await_report(options.data_dir, before);
    }
    json_decref(before);
    return status;
}
