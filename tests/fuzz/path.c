/* SPDX-License-Identifier: MIT */
#include "fuzz.h"
#include "http/target.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/*
 * Against a resolver that keeps a list of segments, and against what a resolved path promises to
 * whoever opens files by it.
 */

enum { SEGMENTS_MAX = 32768 };

static int decode_byte(struct text *rest) {
        char digits[3] = "";
        unsigned value;

        if (rest->data[0] != '%') {
                value = (unsigned char)rest->data[0];
                rest->data++, rest->size--;
                return value ? (int)value : -EINVAL;
        }
        if (rest->size < 3 || !strchr("0123456789abcdefABCDEF", rest->data[1]) ||
            !strchr("0123456789abcdefABCDEF", rest->data[2]) || !rest->data[1] || !rest->data[2])
                return -EINVAL;
        memcpy(digits, rest->data + 1, 2);
        value = (unsigned)strtoul(digits, NULL, 16);
        rest->data += 3, rest->size -= 3;
        return value && value != '/' ? (int)value : -EINVAL;
}

/* The path as segments; the last is empty where the path names a folder. */
static int resolve_by_hand(struct text path, char *out, size_t *ret_size) {
        static struct text segments[SEGMENTS_MAX];
        size_t count = 0, size = 0;
        char *decoded = malloc(path.size + 1);
        char *at = decoded;
        bool is_folder = true;
        int r = path.size && path.data[0] == '/' ? 0 : -EINVAL;

        must(decoded && path.size < SEGMENTS_MAX);
        while (r == 0 && path.size) {
                struct text segment = { at, 0 };

                path.data++, path.size--; /* the slash */
                while (r == 0 && path.size && path.data[0] != '/') {
                        int c = decode_byte(&path);

                        if (c < 0)
                                r = c;
                        else
                                *at++ = (char)c, segment.size++;
                }
                if (r < 0)
                        break;
                is_folder = !segment.size || text_equal(segment, TEXT(".")) ||
                            text_equal(segment, TEXT(".."));
                if (text_equal(segment, TEXT("..")) && count-- == 0)
                        r = -EPERM;
                else if (!is_folder)
                        segments[count++] = segment;
        }
        for (size_t i = 0; r == 0 && i < count; i++) {
                out[size++] = '/';
                memcpy(out + size, segments[i].data, segments[i].size);
                size += segments[i].size;
        }
        if (is_folder || !count)
                out[size++] = '/';
        *ret_size = size;
        free(decoded);
        return r;
}

static void check_promises(const char *out, size_t size) {
        struct text rest = { out, size }, segment;

        must(size > 0 && out[0] == '/' && out[size] == '\0' && strlen(out) == size);
        must(!strstr(out, "//"));
        while (text_next_word(&rest, "/", &segment))
                must(!text_equal(segment, TEXT(".")) && !text_equal(segment, TEXT("..")));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        struct text path = { (const char *)data, size };
        char *out = malloc(size + 1), *expected = malloc(size + 2), *encoded, *again;
        size_t out_size, expected_size, again_size;
        int r;

        must(out && expected);
        r = http_path_resolve(path, out, &out_size);
        must(r == resolve_by_hand(path, expected, &expected_size));
        if (r == 0) {
                must(out_size == expected_size && memcmp(out, expected, out_size) == 0);
                check_promises(out, out_size);
                /* encoding it gives a path that resolves to the same */
                encoded = malloc(3 * out_size);
                must(encoded);
                path = (struct text){ encoded,
                                      http_path_encode((struct text){ out, out_size }, encoded) };
                again = malloc(path.size + 1);
                must(again);
                must(http_path_resolve(path, again, &again_size) == 0);
                must(again_size == out_size && memcmp(again, out, out_size) == 0);
                free(encoded);
                free(again);
        }
        free(out);
        free(expected);
        return 0;
}
