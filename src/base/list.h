/* SPDX-License-Identifier: Apache-2.0
 *
 * Intrusive doubly linked list. The head is a pn_list that points to itself when empty; an entry
 * that is in no list points to itself too, so that removing twice is harmless.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct pn_list {
    struct pn_list *next;
    struct pn_list *prev;
};

#define PN_CONTAINER(entry, type, member) ((type *)(void *)((char *)(entry)-offsetof(type, member)))

static inline void pn_list_init(struct pn_list *list)
{
    list->next = list;
    list->prev = list;
}

static inline bool pn_list_is_empty(const struct pn_list *list)
{
    return list->next == list;
}

/** In front of `position`: with the head, at the end of the list. */
static inline void pn_list_insert_before(struct pn_list *position, struct pn_list *entry)
{
    entry->next = position;
    entry->prev = position->prev;
    position->prev->next = entry;
    position->prev = entry;
}

static inline void pn_list_push_back(struct pn_list *head, struct pn_list *entry)
{
    pn_list_insert_before(head, entry);
}

static inline void pn_list_push_front(struct pn_list *head, struct pn_list *entry)
{
    pn_list_insert_before(head->next, entry);
}

static inline void pn_list_remove(struct pn_list *entry)
{
    entry->prev->next = entry->next;
    entry->next->prev = entry->prev;
    pn_list_init(entry);
}
