/* SPDX-License-Identifier: Apache-2.0
 *
 * In the control executable every heap block is wiped when it is freed, whoever allocated it
 * (jansson, libcurl, OpenSSL, SQLite, libxml2, ourselves): a PFX and its password pass through many
 * hands on their way to the keyholder, and none of them may leave a copy behind.
 */
#pragma once

#include <stdbool.h>

/** True where free() and realloc() of this process wipe; false in builds with sanitizers, which
 * bring an allocator of their own. It frees a block of its own and looks. Calling it from main() is
 * also what makes the linker take the replaced functions out of the library. */
bool pn_wipe_alloc_is_active(void);
