/* SPDX-License-Identifier: MIT */
#include "http/target.h"

#include "http/scan.h"

#include <errno.h>

/*
 * Decoding comes first and dots are resolved on what was decoded, so that "%2e%2e" is the same as
 * ".." here as it is for whoever reads the result. One pass: at the end of each segment it is seen
 * what the segment was, and it may be dropped or take its parent with it.
 */

/*
 * The segment from `start` to `used` is complete; where the next one begins, -EPERM above the root.
 */
static int64_t close_segment(const char *out, size_t start, size_t used) {
        size_t size = used - start;

        if (size == 1 && out[start] == '.')
                return (int64_t)start;
        if (size == 2 && out[start] == '.' && out[start + 1] == '.') {
                if (start == 1)
                        return -EPERM;
                start--; /* its slash, which was written before */
                while (out[start - 1] != '/')
                        start--;
                return (int64_t)start;
        }
        return (int64_t)used;
}

/* The byte that the escape at `at` stands for, or -EINVAL. */
static int decode_escape(const char *at, const char *end) {
        int value = 0;

        if (end - at < 3)
                return -EINVAL;
        for (int i = 1; i <= 2; i++) {
                if (!http_char_is((unsigned char)at[i], HTTP_CHAR_HEX))
                        return -EINVAL;
                value = value * 16 +
                        (ascii_is_digit(at[i]) ? at[i] - '0' : ascii_lower(at[i]) - 'a' + 10);
        }
        return value == '/' ? -EINVAL : value;
}

int http_path_resolve(struct text path, char *out, size_t *ret_size) {
        const char *at = path.data, *end = at + path.size;
        size_t used = 1, start = 1; /* bytes written, and where the segment under way begins */
        int64_t next;

        if (!path.size || *at != '/')
                return -EINVAL;
        *out = '/';
        for (at++; at < end; at++) {
                int c = (unsigned char)*at;

                if (c == '/') {
                        next = close_segment(out, start, used);
                        if (next < 0)
                                return (int)next;
                        /* what is left of it needs a slash, unless nothing is */
                        if ((size_t)next == used && used > start)
                                out[used++] = '/';
                        else
                                used = (size_t)next;
                        start = used;
                        continue;
                }
                if (c == '%') {
                        c = decode_escape(at, end);
                        if (c < 0)
                                return c;
                        at += 2;
                }
                if (c == '\0')
                        return -EINVAL;
                out[used++] = (char)c;
        }
        next = close_segment(out, start, used);
        if (next < 0)
                return (int)next;
        out[next] = '\0';
        *ret_size = (size_t)next;
        return 0;
}

size_t http_path_encode(struct text path, char *out) {
        static const char digits[] = "0123456789ABCDEF";
        size_t used = 0;

        for (size_t i = 0; i < path.size; i++) {
                unsigned char c = (unsigned char)path.data[i];

                if (http_char_is(c, HTTP_CHAR_PATH)) {
                        out[used++] = (char)c;
                        continue;
                }
                out[used++] = '%';
                out[used++] = digits[c >> 4];
                out[used++] = digits[c & 15];
        }
        return used;
}
