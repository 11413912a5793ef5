/* SPDX-License-Identifier: MIT */
#include "base/buffer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum { BUFFER_BYTES_MIN = 64 }; /* the first allocation; a guess, most texts here are short */

void buffer_finish(struct buffer *b) {
        free(b->data);
        *b = (struct buffer){};
}

int buffer_reserve(struct buffer *b, size_t more) {
        size_t want, size = MAX(b->size, (size_t)BUFFER_BYTES_MIN);
        char *data;

        if (__builtin_add_overflow(b->used, more, &want) || want > SIZE_MAX / 2)
                goto out_of_memory;
        if (want <= b->size)
                return 0;
        while (size < want)
                size *= 2;
        data = realloc(b->data, size);
        if (!data)
                goto out_of_memory;
        b->data = data;
        b->size = size;
        return 0;

out_of_memory:
        b->failed = true;
        return -ENOMEM;
}

int buffer_append(struct buffer *b, const void *data, size_t size) {
        int r = buffer_reserve(b, size);

        if (r < 0)
                return r;
        if (size)
                memcpy(b->data + b->used, data, size);
        b->used += size;
        return 0;
}

int buffer_append_text(struct buffer *b, struct text t) {
        return buffer_append(b, t.data, t.size);
}

int buffer_vprintf(struct buffer *b, const char *format, va_list args) {
        va_list again;
        int n, r;

        va_copy(again, args);
        n = vsnprintf(NULL, 0, format, again);
        va_end(again);
        if (n < 0)
                return -EINVAL;
        r = buffer_reserve(b, (size_t)n + 1);
        if (r < 0)
                return r;
        vsnprintf(b->data + b->used, (size_t)n + 1, format, args);
        b->used += n;
        return 0;
}

int buffer_printf(struct buffer *b, const char *format, ...) {
        va_list args;
        int r;

        va_start(args, format);
        r = buffer_vprintf(b, format, args);
        va_end(args);
        return r;
}

void buffer_consume(struct buffer *b, size_t size) {
        assert(size <= b->used);
        b->used -= size;
        if (b->used && size)
                memmove(b->data, b->data + size, b->used);
}
