/* SPDX-License-Identifier: MIT */
#pragma once

#include "http/http1-parser.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

/* Heads for tests: parsed from memory of just their size, so that ASan sees a read past the end. */

enum { TEST_HEAD_BYTES_MAX = 16384 };

static inline char *head_copy(struct text head, size_t size) {
        char *copy = malloc(size ? size : 1);

        assert_non_null(copy);
        if (size)
                memcpy(copy, head.data, size);
        return copy;
}

static inline bool span_equal(struct http_span a, struct http_span b) {
        return a.offset == b.offset && a.size == b.size;
}

static inline void assert_same_request(const struct http_request *a, const struct http_request *b) {
        assert_int_equal(a->head_bytes, b->head_bytes);
        assert_int_equal(a->method, b->method);
        assert_int_equal(a->version_major, b->version_major);
        assert_int_equal(a->version_minor, b->version_minor);
        assert_int_equal(a->body_kind, b->body_kind);
        assert_int_equal(a->keep_alive, b->keep_alive);
        assert_int_equal(a->expects_continue, b->expects_continue);
        assert_int_equal(a->expects_other, b->expects_other);
        assert_true(span_equal(a->method_name, b->method_name));
        assert_true(span_equal(a->target, b->target));
        assert_true(span_equal(a->path, b->path));
        assert_true(span_equal(a->query, b->query));
        assert_true(span_equal(a->host, b->host));
        assert_true(a->body_bytes == b->body_bytes);
        assert_int_equal(a->field_count, b->field_count);
        assert_memory_equal(a->first, b->first, sizeof(a->first));
        for (unsigned i = 0; i < a->field_count; i++) {
                assert_true(span_equal(a->fields[i].name, b->fields[i].name));
                assert_true(span_equal(a->fields[i].value, b->fields[i].value));
                assert_int_equal(a->fields[i].id, b->fields[i].id);
        }
}

/* Feed prefixes that grow by `step` bytes, from `first`, each at another place in memory. */
static inline int parse_growing(struct text head, size_t first, size_t step, size_t head_bytes_max,
                                struct http_request *r) {
        struct http1_parser parser = {};
        int outcome = HTTP1_MORE;

        memset(r, 0xa5, sizeof(*r));
        for (size_t size = first; outcome == HTTP1_MORE; size = MIN(size + step, head.size)) {
                char *copy = head_copy(head, size);

                outcome = http1_parse_head(&parser, copy, size, head_bytes_max, r);
                r->head = head.data;
                free(copy);
                if (size == head.size)
                        break;
        }
        return outcome;
}

/*
 * The outcome for a head, the same however it is cut: whole, a byte at a time, in three bytes at a
 * time, and in two at every place.
 */
static inline int parse_every_way(struct text head, size_t head_bytes_max, struct http_request *r) {
        static struct http_request other;
        int outcome = parse_growing(head, head.size, 1, head_bytes_max, r);
        size_t pace = head.size > 512 ? head.size / 64 : 1; /* long ones in some places only */

        for (size_t step = 1; step <= 3; step += 2) {
                assert_int_equal(parse_growing(head, 0, step, head_bytes_max, &other), outcome);
                if (outcome == HTTP1_DONE)
                        assert_same_request(r, &other);
        }
        for (size_t cut = 1; cut < head.size; cut += pace) {
                assert_int_equal(parse_growing(head, cut, head.size, head_bytes_max, &other),
                                 outcome);
                if (outcome == HTTP1_DONE)
                        assert_same_request(r, &other);
        }
        return outcome;
}

static inline int parse_text(struct text head, struct http_request *r) {
        return parse_every_way(head, TEST_HEAD_BYTES_MAX, r);
}

static inline void assert_span(const struct http_request *r, struct http_span s, const char *text) {
        assert_int_equal(s.size, strlen(text));
        assert_memory_equal(r->head + s.offset, text, s.size);
}
