/* SPDX-License-Identifier: Apache-2.0
 *
 * What control asks of the table of uses (upstream/uses.h), over a probe's connection:
 *
 *   question  uses {tell [[certificate, generation, backend]…], forget [the same], skip}
 *   answer    uses [{certificate, generation, thumbprint, backend, firstMs, lastMs, open, isTold}],
 *             at most PN_USES_PAGE_MAX from `skip` on · total · dropped
 */
#pragma once

#include <jansson.h>

#include "ipc/probe.h"

/** New reference; NULL: no memory. Any thread. */
json_t *pn_uses_answer(const json_t *question);
