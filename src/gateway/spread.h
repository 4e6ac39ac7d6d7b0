/* SPDX-License-Identifier: Apache-2.0
 *
 * How many client connections each worker has, and which one should serve the next: counts that all
 * workers share, touched once when a connection comes and once when it goes.
 *
 * The kernel wakes the same worker again and again while it has time. Connections that stay would
 * all be his: he sheds at his share of open-requests while the others have nothing to do.
 *
 * A worker that has drained is closed: nobody gives it a connection any more. Any thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct pn_spread;

/** For `workers`, and at most `connections` of all of them. NULL: no memory. */
struct pn_spread *pn_spread_create(unsigned workers, size_t connections);
void pn_spread_destroy(struct pn_spread *spread);
/** One more, that `self` has accepted: counted for `*worker`, which serves it: `self`, or with
 *  `may_give` the one that has clearly fewer. False, and nothing is counted: there are as many as
 *  there may be. */
bool pn_spread_enter(struct pn_spread *spread, unsigned self, bool may_give, unsigned *worker);
/** What was counted for `from` is for `to` now, which is not closed. */
void pn_spread_move(struct pn_spread *spread, unsigned from, unsigned to);
/** One that was counted for `worker` has gone. */
void pn_spread_leave(struct pn_spread *spread, unsigned worker);
/** True: `worker` has none, also none on its way to it, and gets none any more. */
bool pn_spread_close(struct pn_spread *spread, unsigned worker);
