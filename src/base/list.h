/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/macros.h"

/*
 * A doubly linked ring, its links embedded in the members. The head is a `struct list` of its own;
 * a member that is in no list has NULL links after list_remove(), so removing it again is allowed.
 */
struct list {
        struct list *next, *previous;
};

static inline void list_init(struct list *head) {
        head->next = head->previous = head;
}

static inline bool list_is_empty(const struct list *head) {
        return head->next == head;
}

/* Is this member in a list? (Members start zeroed.) */
static inline bool list_is_linked(const struct list *member) {
        return member->next;
}

static inline void list_insert_after(struct list *at, struct list *member) {
        member->previous = at;
        member->next = at->next;
        at->next->previous = member;
        at->next = member;
}

static inline void list_append(struct list *head, struct list *member) {
        list_insert_after(head->previous, member);
}

static inline void list_prepend(struct list *head, struct list *member) {
        list_insert_after(head, member);
}

static inline void list_remove(struct list *member) {
        if (!member->next)
                return;
        member->next->previous = member->previous;
        member->previous->next = member->next;
        member->next = member->previous = NULL;
}

#define list_for_each(cursor, head) \
        for (struct list *cursor = (head)->next; cursor != (head); cursor = cursor->next)

/* As list_for_each(), and the member under the cursor may be removed or freed. */
#define list_for_each_safe(cursor, head)                                                          \
        for (struct list *cursor = (head)->next, *cursor##_next = cursor->next; cursor != (head); \
             cursor = cursor##_next, cursor##_next = cursor->next)
