/* SPDX-License-Identifier: Apache-2.0
 *
 * postern-import: opens one PFX or PEM file for the keyholder and ends. Started by the supervisor
 * for each import, with its only connection on descriptor 3. It has no files, no network, 256 MB
 * and 10 seconds.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "ipc/channel.h"
#include "ipc/protocol.h"
#include "pfx/pfx.h"
#include "sandbox/sandbox.h"

#include <openssl/crypto.h>

#define MEMORY_BYTES_MAX (256u * 1024 * 1024)
#define CPU_SECONDS_MAX  10
#define SECURE_HEAP      (256u * 1024)
#define AHEAD_MS         50 /* for its question: it was started ahead */
#define END_LATER_MS     20

static enum pn_rc set_limit(int resource, rlim_t value, struct pn_error *err)
{
    struct rlimit limit = {value, value};

    if (setrlimit((__rlimit_resource_t)resource, &limit) != 0)
        return pn_error_from_errno(err, errno, "cannot set limit %d", resource);
    return PN_OK;
}

static enum pn_rc set_up(struct pn_pfx_library *library, const struct pn_channel *channel,
                         struct pn_error *err)
{
    enum pn_rc rc = pn_sandbox_harden(err);

    OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG | OPENSSL_INIT_LOAD_CRYPTO_STRINGS, NULL);
    CRYPTO_secure_malloc_init(SECURE_HEAP, 32);
    if (rc == PN_OK)
        rc = pn_pfx_init(library, err);
    /* Started ahead of its file. It reads nothing from outside yet, and needs random bytes. */
    if (rc == PN_OK && pn_channel_wait(channel, 0) == PN_TIMEOUT)
        pn_pfx_prepare();
#ifndef PN_SANITIZED /* which reserves terabytes of address space */
    if (rc == PN_OK)
        rc = set_limit(RLIMIT_AS, MEMORY_BYTES_MAX, err);
#endif
    if (rc == PN_OK)
        rc = set_limit(RLIMIT_CPU, CPU_SECONDS_MAX, err);
    if (rc == PN_OK)
        rc = pn_sandbox_enter(PN_SANDBOX_IMPORT, NULL, 0, err);
    return rc;
}

/* Waits for the question. The end of a process takes a millisecond of a core, which the answer's
 * way may need: one that was started ahead, of which there is one at a time, ends a little later.
 */
static bool waits_long(const struct pn_channel *channel)
{
    uint64_t since_ms = pn_clock_monotonic_ms();

    (void)!pn_channel_wait(channel, -1);
    return pn_clock_monotonic_ms() - since_ms >= AHEAD_MS;
}

int main(void)
{
    struct pn_pfx_library library = {0};
    struct pn_error err = {0};
    struct pn_channel channel;
    enum pn_log_level level = PN_LOG_WARN;
    bool was_ahead;
    enum pn_rc rc;

    /* One line for each import about its sandbox is too much at level info. */
    (void)pn_log_level_parse(pn_slice_str(getenv(PN_LOG_LEVEL_ENV)), &level);
    pn_log_setup("import", level == PN_LOG_INFO ? PN_LOG_WARN : level);
    pn_channel_init(&channel, PN_IMPORT_FD);
    rc = set_up(&library, &channel, &err);
    if (rc != PN_OK) {
        pn_log_error(PN_LOG_ERROR, "import_not_started", &err);
        return EXIT_FAILURE;
    }
    was_ahead = waits_long(&channel);
    rc = pn_pfx_serve_one(&channel);
    pn_channel_fini(&channel);
    if (was_ahead)
        (void)poll(NULL, 0, END_LATER_MS);
    pn_pfx_fini(&library);
    return rc == PN_OK ? EXIT_SUCCESS : EXIT_FAILURE;
}
