/* SPDX-License-Identifier: Apache-2.0
 *
 * Fuzzes the JSON reader. Checked: what was accepted is printed, read again, and is the same.
 */
#include <stdint.h>
#include <stdlib.h>

#include "base/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds)
{
    if (!holds)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    json_t *first = NULL;
    json_t *second = NULL;
    struct pn_error err;
    struct pn_buf text;

    if (pn_json_parse(pn_slice(data, size), &first, &err) != PN_OK)
        return 0;
    pn_buf_init(&text, 1u << 24);
    must(pn_json_dump(first, &text) == PN_OK);
    must(pn_json_parse(pn_buf_slice(&text), &second, &err) == PN_OK);
    must(json_equal(first, second) == 1);
    json_decref(first);
    json_decref(second);
    pn_buf_fini(&text);
    return 0;
}
