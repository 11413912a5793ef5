/* SPDX-License-Identifier: MIT */
#include "base/text.h"

#include <errno.h>
#include <stdlib.h>

enum { DISTANCE_BYTES_MAX = 64 };

bool text_equal_nocase(struct text a, struct text b) {
        if (a.size != b.size)
                return false;
        for (size_t i = 0; i < a.size; i++)
                if (ascii_lower(a.data[i]) != ascii_lower(b.data[i]))
                        return false;
        return true;
}

bool text_starts_with(struct text t, struct text prefix) {
        return t.size >= prefix.size && text_equal((struct text){ t.data, prefix.size }, prefix);
}

bool text_ends_with(struct text t, struct text suffix) {
        return t.size >= suffix.size &&
               text_equal((struct text){ t.data + t.size - suffix.size, suffix.size }, suffix);
}

size_t text_find(struct text t, char c) {
        const char *at = t.size ? memchr(t.data, c, t.size) : NULL;

        return at ? (size_t)(at - t.data) : t.size;
}

struct text text_trim(struct text t) {
        while (t.size && (t.data[0] == ' ' || t.data[0] == '\t'))
                t.data++, t.size--;
        while (t.size && (t.data[t.size - 1] == ' ' || t.data[t.size - 1] == '\t'))
                t.size--;
        return t;
}

static bool is_one_of(char c, const char *set) {
        return c && strchr(set, c);
}

bool text_next_word(struct text *rest, const char *separators, struct text *ret_word) {
        struct text t = *rest;
        size_t n = 0;

        while (t.size && is_one_of(t.data[0], separators))
                t.data++, t.size--;
        if (!t.size) {
                *rest = t;
                return false;
        }
        while (n < t.size && !is_one_of(t.data[n], separators))
                n++;
        *ret_word = (struct text){ t.data, n };
        *rest = (struct text){ t.data + n, t.size - n };
        return true;
}

int text_to_u64(struct text t, uint64_t *ret) {
        uint64_t value = 0;

        if (!t.size)
                return -EINVAL;
        for (size_t i = 0; i < t.size; i++)
                if (!ascii_is_digit(t.data[i]))
                        return -EINVAL;
        for (size_t i = 0; i < t.size; i++)
                if (__builtin_mul_overflow(value, 10, &value) ||
                    __builtin_add_overflow(value, t.data[i] - '0', &value))
                        return -ERANGE;
        *ret = value;
        return 0;
}

size_t text_utf8_bytes(struct text t) {
        const unsigned char *c = (const unsigned char *)t.data;
        size_t n = !t.size       ? 0
                   : c[0] < 0x80 ? 1
                   : c[0] < 0xc2 ? 0
                   : c[0] < 0xe0 ? 2
                   : c[0] < 0xf0 ? 3
                                 : 4;

        if (n == 0 || c[0] > 0xf4 || t.size < n)
                return 0;
        for (size_t i = 1; i < n; i++)
                if ((c[i] & 0xc0) != 0x80)
                        return 0;
        if ((c[0] == 0xe0 && c[1] < 0xa0) || (c[0] == 0xed && c[1] > 0x9f) ||
            (c[0] == 0xf0 && c[1] < 0x90) || (c[0] == 0xf4 && c[1] > 0x8f))
                return 0;
        return n;
}

char *text_dup(struct text t) {
        char *copy = malloc(t.size + 1);

        if (!copy)
                return NULL;
        if (t.size)
                memcpy(copy, t.data, t.size);
        copy[t.size] = '\0';
        return copy;
}

unsigned text_distance(struct text a, struct text b) {
        unsigned row[DISTANCE_BYTES_MAX + 1];

        if (a.size > DISTANCE_BYTES_MAX || b.size > DISTANCE_BYTES_MAX)
                return DISTANCE_BYTES_MAX;
        for (size_t j = 0; j <= b.size; j++)
                row[j] = j;
        for (size_t i = 1; i <= a.size; i++) {
                unsigned diagonal = row[0];

                row[0] = i;
                for (size_t j = 1; j <= b.size; j++) {
                        bool same = ascii_lower(a.data[i - 1]) == ascii_lower(b.data[j - 1]);
                        unsigned replaced = diagonal + !same;
                        unsigned shorter = MIN(row[j], row[j - 1]);

                        diagonal = row[j];
                        row[j] = MIN(replaced, shorter + 1);
                }
        }
        return row[b.size];
}
