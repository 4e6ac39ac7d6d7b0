/* SPDX-License-Identifier: Apache-2.0
 *
 * The timer wheel. An entry's level is the highest 6-bit digit in which its deadline differs from
 * the wheel's time, its slot that digit of the deadline: so every entry of a lower level is due
 * before any of a higher one, and a slot of a higher level is spread over the lower ones when its
 * time begins.
 */
#include "loop/timer.h"

#include <assert.h>

#define DIGIT_BITS 6u

void pn_timer_init(struct pn_timer *timer, pn_timer_fn on_fire, void *ctx)
{
    *timer = (struct pn_timer){.on_fire = on_fire, .ctx = ctx};
    pn_list_init(&timer->entry);
}

bool pn_timer_is_armed(const struct pn_timer *timer)
{
    return timer->deadline_ms != 0;
}

void pn_timer_wheel_init(struct pn_timer_wheel *wheel, uint64_t now_ms)
{
    wheel->now_ms = now_ms;
    for (unsigned level = 0; level < PN_TIMER_LEVELS; level++) {
        wheel->occupied[level] = 0;
        for (unsigned slot = 0; slot < PN_TIMER_SLOTS; slot++)
            pn_list_init(&wheel->slots[level][slot]);
    }
}

static void wheel_queue(struct pn_timer_wheel *wheel, struct pn_timer *timer)
{
    uint64_t differing = (wheel->now_ms ^ timer->deadline_ms) | (PN_TIMER_SLOTS - 1);
    unsigned level = (63u - (unsigned)__builtin_clzll(differing)) / DIGIT_BITS;
    unsigned slot;

    if (level >= PN_TIMER_LEVELS)
        level = PN_TIMER_LEVELS - 1; /* the clock passes a multiple of 64^6 before the deadline */
    slot = (unsigned)(timer->deadline_ms >> (DIGIT_BITS * level)) & (PN_TIMER_SLOTS - 1);
    pn_list_push_back(&wheel->slots[level][slot], &timer->entry);
    wheel->occupied[level] |= UINT64_C(1) << slot;
    timer->slot = (uint16_t)(level * PN_TIMER_SLOTS + slot);
    timer->queued_ms = timer->deadline_ms;
}

static void wheel_unqueue(struct pn_timer_wheel *wheel, struct pn_timer *timer)
{
    unsigned level = timer->slot / PN_TIMER_SLOTS;
    unsigned slot = timer->slot % PN_TIMER_SLOTS;

    pn_list_remove(&timer->entry);
    timer->queued_ms = 0;
    if (pn_list_is_empty(&wheel->slots[level][slot]))
        wheel->occupied[level] &= ~(UINT64_C(1) << slot);
}

void pn_timer_wheel_arm(struct pn_timer_wheel *wheel, struct pn_timer *timer, uint64_t deadline_ms)
{
    assert(timer->on_fire);
    if (deadline_ms <= wheel->now_ms)
        deadline_ms = wheel->now_ms + 1;
    if (deadline_ms - wheel->now_ms > PN_TIMER_DELAY_MAX_MS)
        deadline_ms = wheel->now_ms + PN_TIMER_DELAY_MAX_MS;
    timer->deadline_ms = deadline_ms;
    if (timer->queued_ms && timer->queued_ms <= deadline_ms)
        return; /* found to be later when its slot comes round */
    if (timer->queued_ms)
        wheel_unqueue(wheel, timer);
    wheel_queue(wheel, timer);
}

void pn_timer_wheel_disarm(struct pn_timer_wheel *wheel, struct pn_timer *timer)
{
    timer->deadline_ms = 0;
    if (timer->queued_ms)
        wheel_unqueue(wheel, timer);
}

/* The earliest slot with an entry and the time at which it begins. */
static bool wheel_next(const struct pn_timer_wheel *wheel, unsigned *level_out, unsigned *slot_out,
                       uint64_t *begin_ms)
{
    for (unsigned level = 0; level < PN_TIMER_LEVELS; level++) {
        unsigned shift = DIGIT_BITS * level;
        unsigned now_slot = (unsigned)(wheel->now_ms >> shift) & (PN_TIMER_SLOTS - 1);
        uint64_t occupied = wheel->occupied[level];
        uint64_t rotated, level_begin;
        unsigned slot;

        if (!occupied)
            continue;
        rotated = now_slot ? (occupied >> now_slot) | (occupied << (64 - now_slot)) : occupied;
        slot = ((unsigned)__builtin_ctzll(rotated) + now_slot) & (PN_TIMER_SLOTS - 1);
        level_begin = wheel->now_ms & ~((UINT64_C(1) << (shift + DIGIT_BITS)) - 1);
        *begin_ms = level_begin + ((uint64_t)slot << shift);
        if (*begin_ms <= wheel->now_ms)
            *begin_ms += UINT64_C(1) << (shift + DIGIT_BITS); /* the highest level goes round */
        *level_out = level;
        *slot_out = slot;
        return true;
    }
    return false;
}

static void slot_run(struct pn_timer_wheel *wheel, unsigned level, unsigned slot)
{
    struct pn_list *head = &wheel->slots[level][slot];
    struct pn_list due;

    /* Callbacks may queue into the very slot that is being emptied. */
    pn_list_init(&due);
    pn_list_insert_before(head, &due);
    pn_list_remove(head);
    pn_list_init(head);
    wheel->occupied[level] &= ~(UINT64_C(1) << slot);
    while (!pn_list_is_empty(&due)) {
        struct pn_timer *timer = PN_CONTAINER(due.next, struct pn_timer, entry);

        pn_list_remove(&timer->entry);
        timer->queued_ms = 0;
        if (timer->deadline_ms > wheel->now_ms) {
            wheel_queue(wheel, timer);
            continue;
        }
        timer->deadline_ms = 0;
        timer->on_fire(timer);
    }
}

void pn_timer_wheel_run(struct pn_timer_wheel *wheel, uint64_t now_ms)
{
    unsigned level, slot;
    uint64_t begin_ms;

    while (wheel_next(wheel, &level, &slot, &begin_ms) && begin_ms <= now_ms) {
        wheel->now_ms = begin_ms;
        slot_run(wheel, level, slot);
    }
    if (now_ms > wheel->now_ms)
        wheel->now_ms = now_ms;
}

uint64_t pn_timer_wheel_next_ms(const struct pn_timer_wheel *wheel)
{
    unsigned level, slot;
    uint64_t begin_ms;

    if (!wheel_next(wheel, &level, &slot, &begin_ms))
        return UINT64_MAX;
    return begin_ms - wheel->now_ms;
}
