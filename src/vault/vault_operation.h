/* SPDX-License-Identifier: Apache-2.0
 *
 * The operations of the data plane, one table: method, path, and the permission that each needs by
 * the name of Key Vault's access policies. What decides is vault_may(); that an operation asks it
 * is decided here, once, before its function runs.
 */
#pragma once

#include <stddef.h>

struct vault_call;

/* What an operation costs: the limits that throttle are per vault and class. */
enum vault_class { VAULT_CLASS_READ, VAULT_CLASS_WRITE, VAULT_CLASS_CRYPTO, VAULT_CLASS_GENERATE };
#define VAULT_CLASS_COUNT 4

struct vault_operation {
    const char *method;
    const char *path;       /* "/secrets/{name}/{version}"; fixed words without regard to case */
    const char *kind;       /* "secrets", "certificates", "keys": of the permission */
    const char *permission; /* secrets have "update" too: of roles; of policies it is "set" */
    enum vault_class class;
    void (*run)(struct vault_call *call);
};

extern const struct vault_operation vault_operations[];
extern const size_t vault_operation_count;

/* Finds the operation of the call's method and segments, fills name and version, and runs it. */
void vault_operate(struct vault_call *call);
