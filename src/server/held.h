/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/macros.h"

#include <stdatomic.h>

/*
 * What the supervisor makes and the workers hold: replaced by a reload, freed when the last worker
 * has let go. The first member of each such object.
 */
struct held {
        struct held *next;   /* the supervisor's list of those that were replaced */
        _Atomic unsigned by; /* workers that have not let go yet */
};

static inline void held_let_go(struct held *h) {
        atomic_fetch_sub(&h->by, 1);
}

static inline void held_push(struct held **list, struct held *h) {
        h->next = *list;
        *list = h;
}

/* The workers are gone, and with them what they held. */
static inline void held_by_none(struct held *list) {
        for (; list; list = list->next)
                atomic_store(&list->by, 0);
}

/* Take one that nobody holds any more off the list; NULL: there is none. */
static inline void *held_take_free(struct held **list) {
        for (struct held **at = list; *at; at = &(*at)->next)
                if (!atomic_load(&(*at)->by)) {
                        struct held *h = *at;

                        *at = h->next;
                        return h;
                }
        return NULL;
}
