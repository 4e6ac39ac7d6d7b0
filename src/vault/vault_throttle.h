/* SPDX-License-Identifier: Apache-2.0
 *
 * Counts the operations of each vault. Any thread.
 */
#pragma once

#include <stdbool.h>

#include "vault/vault_operation.h"

struct vault_throttle;

struct vault_throttle *vault_throttle_create(void); /* NULL: no memory */
void vault_throttle_destroy(struct vault_throttle *throttle);
/* Counts one more; false: too many, come back after *retry_after_s (at least 1). */
bool vault_throttle_passes(struct vault_throttle *throttle, const char *vault_name,
                           enum vault_class class, unsigned *retry_after_s);
