/* SPDX-License-Identifier: MIT */
#include "http2/http2-internal.h"

#include <stdlib.h>
#include <string.h>

/*
 * What nghttp2 allocates for one session is counted, and no more than a limit is given: whatever a
 * peer may find to make it grow ends its own connection, and nothing else. Each block has its size
 * before it.
 */

enum { BEFORE_BYTES = 16 }; /* keeps what follows aligned as malloc() aligns */

static void *memory_take(void *old, size_t size, struct http2_memory *m) {
        size_t had = 0;
        char *block = NULL;

        if (old) {
                block = (char *)old - BEFORE_BYTES;
                memcpy(&had, block, sizeof(had));
        }
        if (size > HTTP2_MEMORY_BYTES_MAX || m->used - had + size > HTTP2_MEMORY_BYTES_MAX)
                return NULL;
        block = realloc(block, size + BEFORE_BYTES);
        if (!block)
                return NULL;
        memcpy(block, &size, sizeof(size));
        m->used += size - had;
        m->most = MAX(m->most, m->used);
        return block + BEFORE_BYTES;
}

static void *memory_malloc(size_t size, void *m) {
        return memory_take(NULL, size, m);
}

static void *memory_calloc(size_t count, size_t size, void *m) {
        void *block;

        if (size && count > HTTP2_MEMORY_BYTES_MAX / size)
                return NULL;
        block = memory_take(NULL, count * size, m);
        if (block)
                memset(block, 0, count * size);
        return block;
}

static void *memory_realloc(void *block, size_t size, void *m) {
        return memory_take(block, size, m);
}

static void memory_free(void *block, void *memory) {
        struct http2_memory *m = memory;
        size_t size;

        if (!block)
                return;
        memcpy(&size, (char *)block - BEFORE_BYTES, sizeof(size));
        m->used -= size;
        free((char *)block - BEFORE_BYTES);
}

nghttp2_mem http2_memory_functions(struct http2_memory *m) {
        return (nghttp2_mem){
                .mem_user_data = m,
                .malloc = memory_malloc,
                .free = memory_free,
                .calloc = memory_calloc,
                .realloc = memory_realloc,
        };
}
