/* SPDX-License-Identifier: Apache-2.0
 *
 * The fuzzer of how bodies flow through the HTTP/2 engine, for a second: always the same moves.
 */
#include "../../fuzz/fuzz_h2_moves.c"
#include "http/support.h"

enum { RUNS = 1000, MOVE_BYTES = 600 };

static uint32_t next_random(uint32_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 17;
    *state ^= *state << 5;
    return *state;
}

static void bodies_flow_whatever_happens(void **state)
{
    uint8_t moves[MOVE_BYTES];

    (void)state;
    for (uint32_t run = 1; run <= RUNS; run++) {
        uint32_t seed = run * 2654435761u;
        size_t len = next_random(&seed) % MOVE_BYTES;

        for (size_t i = 0; i < len; i++)
            moves[i] = (uint8_t)(next_random(&seed) >> 8);
        assert_int_equal(LLVMFuzzerTestOneInput(moves, len), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(bodies_flow_whatever_happens)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
