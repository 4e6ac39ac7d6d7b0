/* SPDX-License-Identifier: Apache-2.0
 *
 * A keyholder in this process.
 */
#include "support/fake_keyholder.c"
