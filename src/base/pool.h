/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/macros.h"

/*
 * Blocks of one size for one thread, kept for reuse so that a steady load allocates nothing.
 * Blocks come as they were left, not zeroed.
 */
struct pool {
        void *free_blocks;
        size_t block_bytes;
        unsigned kept, kept_max; /* blocks in `free_blocks`, and how many are kept at most */
        unsigned lent;
};

void pool_init(struct pool *p, size_t block_bytes, unsigned kept_max);
void pool_finish(struct pool *p); /* all blocks must have been given back */

/* Free the blocks that are kept for reuse; those that are lent stay. */
void pool_trim(struct pool *p);

void *pool_take(struct pool *p); /* NULL without memory */
void pool_give(struct pool *p, void *block);
