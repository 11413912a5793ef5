/* SPDX-License-Identifier: MIT */
#include "loop/loop-backend.h"

#include <errno.h>
#include <stdlib.h>

/*
 * Receive buffers in slabs: slab 0 holds `first_count`, each further one as many as all before it
 * together, so that the slab of an id is found by a count of leading zeros. Memory that no buffer
 * has used yet costs nothing, because slabs come zeroed from the kernel and buffers are lent last
 * in, first out.
 */

static uint32_t slab_start(const struct loop_buffers *b, unsigned slab) {
        return slab == 0 ? 0 : b->first_count << (slab - 1);
}

static unsigned slab_of(const struct loop_buffers *b, uint32_t id) {
        uint32_t times = id / b->first_count;

        return times == 0 ? 0 : 32 - (unsigned)__builtin_clz(times);
}

static int slab_add(struct loop_buffers *b, unsigned slab, uint32_t count) {
        char *data = calloc(count, b->buffer_bytes);
        uint32_t *ids;

        if (!data)
                return -ENOMEM;
        ids = reallocarray(b->free_ids, b->count + count, sizeof(*ids));
        if (!ids) {
                free(data);
                return -ENOMEM;
        }
        b->free_ids = ids;
        b->slabs[slab] = data;
        /* the lowest on top */
        for (uint32_t i = count; i > 0; i--)
                b->free_ids[b->free_count++] = b->count + i - 1;
        b->count += count;
        return 0;
}

int loop_buffers_init(struct loop_buffers *b, const struct loop_options *options) {
        assert(options->buffers_min > 0 && options->buffers_max >= options->buffers_min);
        assert(options->buffers_max <= UINT32_MAX / 4 && options->buffer_bytes > 0);
        *b = (struct loop_buffers){
                .buffer_bytes = options->buffer_bytes,
                .count_max = options->buffers_max,
                .first_count = options->buffers_min,
        };
        return slab_add(b, 0, b->first_count);
}

void loop_buffers_finish(struct loop_buffers *b) {
        for (unsigned i = 0; i < ELEMENTS(b->slabs); i++)
                free(b->slabs[i]);
        free(b->free_ids);
        *b = (struct loop_buffers){};
}

char *loop_buffer_data(struct loop_buffers *b, uint32_t id) {
        unsigned slab = slab_of(b, id);

        assert(id < b->count);
        return b->slabs[slab] + (size_t)(id - slab_start(b, slab)) * b->buffer_bytes;
}

int loop_buffers_grow(struct loop_buffers *b) {
        unsigned slab = slab_of(b, b->count);

        if (b->count >= b->count_max || slab >= ELEMENTS(b->slabs))
                return -ENOBUFS;
        return slab_add(b, slab, MIN(b->count, b->count_max - b->count));
}

int loop_buffers_take(struct loop_buffers *b, uint32_t *ret_id) {
        if (b->free_count == 0 && loop_buffers_grow(b) < 0)
                return -ENOBUFS;
        *ret_id = b->free_ids[--b->free_count];
        return 0;
}

void loop_buffers_give(struct loop_buffers *b, uint32_t id) {
        assert(id < b->count && b->free_count < b->count);
        b->free_ids[b->free_count++] = id;
}
