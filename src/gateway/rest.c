/* SPDX-License-Identifier: Apache-2.0
 *
 * See rest.h.
 */
#include "gateway/rest.h"

#define WINDOW_US   4000 /* over so long it is judged */
#define BUSY_PART   3    /* busy: for a third of that, or more */
#define AT_ONCE     4    /* so many requests are being served at a time, or more */
#define SERVED_PART 2    /* a rest is a half of what requests take, or less */
#define SHORTEST_US 60   /* a shorter rest costs more than it spares */

static unsigned length_of(const struct pn_rest *rest, uint64_t window_us)
{
    uint64_t length_us;

    if (rest->busy_us * BUSY_PART < window_us || rest->served_us < AT_ONCE * window_us)
        return 0;
    length_us = rest->served_us / rest->served / SERVED_PART;
    if (length_us > rest->most_us)
        length_us = rest->most_us;
    return length_us < SHORTEST_US ? 0 : (unsigned)length_us;
}

unsigned pn_rest_after(struct pn_rest *rest, uint64_t began_us, uint64_t end_us)
{
    rest->busy_us += end_us - began_us;
    if (end_us - rest->since_us >= WINDOW_US) {
        rest->length_us = length_of(rest, end_us - rest->since_us);
        rest->since_us = end_us;
        rest->busy_us = rest->served_us = 0;
        rest->served = 0;
    }
    return rest->length_us;
}
