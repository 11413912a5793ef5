/* SPDX-License-Identifier: MIT */
/*
 * Pieces of memory in a list, each filled from its start. A snapshot of settings is made of some
 * hundred small strings and arrays that all die together; one owner for them leaves no path on
 * which one is forgotten.
 */
#include "config/arena.h"

#include <stdalign.h>
#include <stdlib.h>

enum { PIECE_BYTES = 4096 - 64 }; /* a page, less what malloc and the head need */

struct arena_piece {
        struct arena_piece *next;
        alignas(max_align_t) char bytes[];
};

void arena_finish(struct arena *a) {
        while (a->pieces) {
                struct arena_piece *p = a->pieces;

                a->pieces = p->next;
                free(p);
        }
        *a = (struct arena){};
}

void *arena_take(struct arena *a, size_t size) {
        size_t aligned;
        void *taken;

        if (__builtin_add_overflow(size, alignof(max_align_t) - 1, &aligned))
                return NULL;
        aligned &= ~(alignof(max_align_t) - 1);
        if (aligned > a->size - a->used) {
                size_t bytes = MAX(aligned, (size_t)PIECE_BYTES);
                struct arena_piece *p = NULL;

                if (bytes <= PTRDIFF_MAX - sizeof(*p))
                        p = calloc(1, sizeof(*p) + bytes);
                if (!p)
                        return NULL;
                p->next = a->pieces;
                a->pieces = p;
                a->used = 0;
                a->size = bytes;
        }
        taken = a->pieces->bytes + a->used;
        a->used += aligned;
        return taken;
}

char *arena_text(struct arena *a, struct text t) {
        char *copy = arena_take(a, t.size + 1);

        if (copy && t.size)
                memcpy(copy, t.data, t.size);
        return copy;
}
