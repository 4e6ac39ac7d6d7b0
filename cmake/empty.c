/* SPDX-License-Identifier: Apache-2.0
 *
 * A translation unit for rooms that have headers only. */
typedef int pn_empty;
