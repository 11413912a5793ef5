/* SPDX-License-Identifier: MIT */
#include "http2/http2-internal.h"

#include <stdatomic.h>
#include <stdlib.h>

/*
 * What nghttp2 allocates for one session is counted. Where it becomes more than a session may have,
 * or there is no memory, the session is marked, and ended as soon as nghttp2 has returned: whatever
 * a peer may find to make it grow ends its own connection, and nothing else.
 *
 * It is not told of either before: nghttp2 1.52 frees the item of a stream twice when the queue
 * behind it cannot grow (nghttp2_submit_data() leaves it attached). So where malloc() gives nothing
 * it gets memory out of a reserve, which one session has at a time.
 *
 * Each block has its size before it. Small ones come from the worker's pools: a request takes six.
 */

enum {
        BEFORE_BYTES = 16, /* keeps what follows aligned as malloc() aligns */
        RESERVE_BYTES = 64 * 1024,
};

static _Alignas(BEFORE_BYTES) char reserve[RESERVE_BYTES];
static _Atomic(struct http2_memory *) reserve_owner;

static bool is_of_reserve(const char *block) {
        return (uintptr_t)block - (uintptr_t)reserve < sizeof(reserve);
}

/* The next piece; pieces are not used again before all are given back. */
static char *reserve_take(struct http2_memory *m, size_t size) {
        struct http2_memory *nobody = NULL;
        char *block;

        size = (size + BEFORE_BYTES - 1) & ~(size_t)(BEFORE_BYTES - 1);
        m->failed = true;
        if (atomic_load(&reserve_owner) != m &&
            !atomic_compare_exchange_strong(&reserve_owner, &nobody, m))
                return NULL;
        if (size > RESERVE_BYTES - m->reserve_used)
                return NULL;
        block = reserve + m->reserve_used;
        m->reserve_used += (uint32_t)size;
        m->reserve_blocks++;
        return block;
}

static void reserve_give(struct http2_memory *m) {
        if (--m->reserve_blocks)
                return;
        m->reserve_used = 0;
        atomic_store(&reserve_owner, NULL);
}

static size_t size_of(const char *block) {
        size_t size;

        memcpy(&size, block, sizeof(size));
        return size;
}

/* The pool that has blocks for so many bytes; NULL: they are too many. */
static struct pool *pool_of(struct http2_memory *m, size_t size) {
        size_t units = (size + BEFORE_BYTES - 1) / HTTP_BLOCK_BYTES;
        unsigned i = units ? 64 - (unsigned)__builtin_clzll(units) : 0;

        return i < HTTP_BLOCK_POOLS ? &m->pools[i] : NULL;
}

static void block_free(struct http2_memory *m, char *block) {
        struct pool *pool = pool_of(m, size_of(block));

        if (unlikely(is_of_reserve(block)))
                reserve_give(m);
        else if (likely(pool))
                pool_give(pool, block);
        else
                free(block);
}

static char *block_grow(struct http2_memory *m, char *old, size_t size) {
        struct pool *pool = pool_of(m, size);
        char *block;

        if (old && pool && pool == pool_of(m, size_of(old)) && !is_of_reserve(old))
                return old;
        block = likely(pool) ? pool_take(pool) : malloc(size + BEFORE_BYTES);
        if (unlikely(!block))
                block = reserve_take(m, size + BEFORE_BYTES);
        if (block && old) {
                memcpy(block, old, MIN(size, size_of(old)) + BEFORE_BYTES);
                block_free(m, old);
        }
        return block;
}

static void *memory_realloc(void *old, size_t size, void *memory) {
        struct http2_memory *m = memory;
        char *block = old ? (char *)old - BEFORE_BYTES : NULL;
        size_t had = block ? size_of(block) : 0;

        block = block_grow(m, block, size);
        if (!block)
                return NULL;
        memcpy(block, &size, sizeof(size));
        m->used += size - had;
        m->most = MAX(m->most, m->used);
        m->failed |= m->used > HTTP2_MEMORY_BYTES_MAX;
        return block + BEFORE_BYTES;
}

static void *memory_malloc(size_t size, void *memory) {
        return memory_realloc(NULL, size, memory);
}

static void *memory_calloc(size_t count, size_t size, void *memory) {
        void *block;

        if (__builtin_mul_overflow(count, size, &size))
                return NULL;
        block = memory_realloc(NULL, size, memory);
        if (block)
                memset(block, 0, size);
        return block;
}

static void memory_free(void *block, void *memory) {
        struct http2_memory *m = memory;

        if (!block)
                return;
        m->used -= size_of((char *)block - BEFORE_BYTES);
        block_free(m, (char *)block - BEFORE_BYTES);
}

nghttp2_mem http2_memory_functions(struct http2_memory *m, struct pool *pools) {
        m->pools = pools;
        return (nghttp2_mem){
                .mem_user_data = m,
                .malloc = memory_malloc,
                .free = memory_free,
                .calloc = memory_calloc,
                .realloc = memory_realloc,
        };
}
