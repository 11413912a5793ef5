/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/text.h"

/*
 * Memory that is freed all at once: what belongs to one snapshot of the settings. Zeroed memory is
 * an empty arena.
 */
struct arena_piece;
struct arena {
        struct arena_piece *pieces;
        size_t used, size; /* bytes of the newest piece */
};

void arena_finish(struct arena *a);

/* Zeroed, aligned for any type; lives until arena_finish(). NULL without memory. */
void *arena_take(struct arena *a, size_t size);
char *arena_text(struct arena *a, struct text t); /* a NUL-ended copy */
