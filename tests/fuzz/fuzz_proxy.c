/* SPDX-License-Identifier: Apache-2.0
 *
 * Fuzzes the reader of PROXY headers. Checked: a header that is read in pieces is the same as when
 * it is read at once, nothing is decided before it is whole, and what is behind it never matters.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/proxy_protocol.h"

#define BYTES_MAX 1024

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds)
{
    if (!holds)
        abort();
}

/* From an exact copy: one byte too far is seen. */
static enum pn_rc parse(const uint8_t *data, size_t size, struct pn_proxy_header *header)
{
    const char *cause = NULL;
    char *copy = malloc(size > 0 ? size : 1);
    enum pn_rc rc;

    must(copy != NULL);
    memcpy(copy, data, size);
    rc = pn_proxy_header_parse(pn_slice(copy, size), BYTES_MAX, header, &cause);
    must((rc == PN_MALFORMED) == (cause != NULL));
    free(copy);
    return rc;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct pn_proxy_header whole, piece;
    enum pn_rc rc = parse(data, size, &whole);
    size_t end = rc == PN_OK ? whole.len : size;

    must(rc == PN_OK || rc == PN_AGAIN || rc == PN_LIMIT || rc == PN_MALFORMED);
    must(rc != PN_OK || (whole.len <= size && whole.len <= BYTES_MAX));
    for (size_t i = 0; i < end && i < 2 * BYTES_MAX; i++) {
        enum pn_rc early = parse(data, i, &piece);

        must(early != PN_OK);
        must(early == PN_AGAIN || (rc != PN_OK && rc != PN_AGAIN));
    }
    if (rc == PN_OK) {
        must(parse(data, whole.len, &piece) == PN_OK);
        must(memcmp(&piece, &whole, sizeof(whole)) == 0);
    }
    return 0;
}
