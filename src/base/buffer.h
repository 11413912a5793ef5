/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/text.h"

#include <stdarg.h>

/*
 * Bytes on the heap that grow as they are appended to. Zeroed memory is an empty buffer. After a
 * failed append the buffer is as it was, and `failed` stays set, so that a caller who writes many
 * pieces may check once at the end.
 */
struct buffer {
        char *data;
        size_t used, size;
        bool failed; /* an append found no memory */
};

void buffer_finish(struct buffer *b); /* frees the bytes; `b` is empty again */

/* Room for `more` bytes behind `used`. Errors: -ENOMEM. */
int buffer_reserve(struct buffer *b, size_t more);
int buffer_append(struct buffer *b, const void *data, size_t size);
int buffer_append_text(struct buffer *b, struct text t);
int buffer_printf(struct buffer *b, const char *format, ...) _printf_(2, 3);
int buffer_vprintf(struct buffer *b, const char *format, va_list args) _printf_(2, 0);

/* Drop `size` bytes at the front. */
void buffer_consume(struct buffer *b, size_t size);

static inline struct text buffer_text(const struct buffer *b) {
        return (struct text){ b->data, b->used };
}
