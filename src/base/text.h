/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/macros.h"

#include <string.h>

/*
 * A borrowed run of bytes; not ended by a NUL, and may hold any byte. `data` may be NULL if empty.
 */
struct text {
        const char *data;
        size_t size;
};

#define TEXT(literal) ((struct text){ (literal), sizeof(literal) - 1 })

/* For printf("%.*s"). */
#define TEXT_ARGS(t) (int)(t).size, (t).data

static inline struct text text_of(const char *string) {
        return (struct text){ string, string ? strlen(string) : 0 };
}

static inline char ascii_lower(char c) {
        return c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c;
}

static inline bool ascii_is_digit(char c) {
        return c >= '0' && c <= '9';
}

static inline bool text_equal(struct text a, struct text b) {
        return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

/* ASCII letters compare equal in either case, all other bytes as they are. */
bool text_equal_nocase(struct text a, struct text b);

bool text_starts_with(struct text t, struct text prefix);
bool text_ends_with(struct text t, struct text suffix);

/* The first place of `c`, or `t.size`. */
size_t text_find(struct text t, char c);

/* Without the spaces and tabs at both ends. */
struct text text_trim(struct text t);

/*
 * Take the next word off `*rest`: bytes in `separators` are skipped, then `*ret_word` is what
 * stands before the next of them, which stays in `*rest`. False when nothing but separators was
 * left.
 */
bool text_next_word(struct text *rest, const char *separators, struct text *ret_word);

/* A whole decimal number without sign. Errors: -EINVAL (not one), -ERANGE (past 2^64-1). */
int text_to_u64(struct text t, uint64_t *ret);

/* How many bytes the character at the start of `t` takes, or 0 where it is none (RFC 3629, 4). */
size_t text_utf8_bytes(struct text t);

/* A NUL-ended copy on the heap, owned by the caller; NULL without memory. */
char *text_dup(struct text t);

/*
 * How many edits (insert, remove, replace one byte) lead from `a` to `b`, letters in either case
 * equal; both at most 64 bytes, longer ones count as unlike: 64. To name what a typo meant.
 */
unsigned text_distance(struct text a, struct text b);
