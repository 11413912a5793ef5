/* SPDX-License-Identifier: MIT */
#include "base/pool.h"

#include <stdlib.h>
#include <string.h>

#if defined(__SANITIZE_ADDRESS__)
enum { POOL_KEEPS = 0 }; /* every block goes back to the heap, so that its misuse is seen */
#else
enum { POOL_KEEPS = 1 };
#endif

void pool_init(struct pool *p, size_t block_bytes, unsigned kept_max) {
        *p = (struct pool){
                .block_bytes = MAX(block_bytes, sizeof(void *)),
                .kept_max = kept_max * POOL_KEEPS,
        };
}

void pool_finish(struct pool *p) {
        assert(p->lent == 0);
        pool_trim(p);
}

void pool_trim(struct pool *p) {
        while (p->free_blocks) {
                void *block = p->free_blocks;

                memcpy(&p->free_blocks, block, sizeof(void *));
                free(block);
        }
        p->kept = 0;
}

void *pool_take(struct pool *p) {
        void *block = p->free_blocks;

        if (block) {
                memcpy(&p->free_blocks, block, sizeof(void *));
                p->kept--;
        } else {
                block = malloc(p->block_bytes);
                if (!block)
                        return NULL;
        }
        p->lent++;
        return block;
}

void pool_give(struct pool *p, void *block) {
        if (!block)
                return;
        assert(p->lent > 0);
        p->lent--;
        if (p->kept >= p->kept_max) {
                free(block);
                return;
        }
        memcpy(block, &p->free_blocks, sizeof(void *));
        p->free_blocks = block;
        p->kept++;
}
