/* SPDX-License-Identifier: MIT */
#include "http/chunked.h"
#include "fuzz.h"
#include "http/fields.h"

#include <string.h>

/*
 * Against a decoder that has the whole body before it and reads it line by line, as one would by
 * hand; and bodies that come whole against bodies that come in pieces.
 */

struct decoded {
        int outcome;
        size_t used;
        char *payload;
        size_t payload_bytes;
};

static struct decoded decode_in_pieces(struct text input, size_t piece_bytes) {
        struct decoded d = { .outcome = CHUNKED_DATA, .payload = malloc(input.size + 1) };
        struct chunked c = {};

        must(d.payload);
        while (d.outcome == CHUNKED_DATA && d.used < input.size) {
                struct text piece = { input.data + d.used, MIN(piece_bytes, input.size - d.used) };
                struct text data;
                size_t used;

                d.outcome = chunked_feed(&c, piece, &used, &data);
                must(used <= piece.size && (used > 0 || d.outcome != CHUNKED_DATA));
                must(!data.size ||
                     (data.data >= piece.data && data.data + data.size <= piece.data + used));
                if (data.size)
                        memcpy(d.payload + d.payload_bytes, data.data, data.size);
                d.payload_bytes += data.size;
                d.used += used;
        }
        return d;
}

/* Take the first line off `rest`, without its CRLF; false where it is not whole and clean. */
static bool take_line(struct text *rest, size_t bytes_max, struct text *ret_line) {
        size_t cr = text_find(*rest, '\r');

        if (cr + 1 >= rest->size || rest->data[cr + 1] != '\n' || cr + 2 > bytes_max)
                return false;
        for (size_t i = 0; i < cr; i++) {
                unsigned char c = (unsigned char)rest->data[i];

                if ((c < 0x20 && c != '\t') || c == 0x7f)
                        return false;
        }
        *ret_line = (struct text){ rest->data, cr };
        rest->data += cr + 2;
        rest->size -= cr + 2;
        return true;
}

/* The size that a chunk's line says; false where it is not one. */
static bool read_size(struct text line, uint64_t *ret) {
        char digits[17], *end;
        size_t count = 0;

        while (count < line.size && count < 16 && line.data[count] &&
               strchr("0123456789abcdefABCDEF", line.data[count]))
                count++;
        memcpy(digits, line.data, count);
        digits[count] = '\0';
        *ret = strtoull(digits, &end, 16);
        if (!count)
                return false;
        line.data += count;
        line.size -= count;
        return !line.size || text_trim(line).data[0] == ';';
}

static bool is_trailer(struct text line) {
        size_t colon = text_find(line, ':');

        return colon < line.size && http_is_token((struct text){ line.data, colon });
}

/* Is a whole body there, how long is it, and what is its payload? */
static bool decode_by_hand(struct text input, char *payload, struct decoded *ret) {
        struct text rest = input, line, trailer;
        uint64_t bytes;

        *ret = (struct decoded){ .outcome = CHUNKED_END, .payload = payload };
        for (;;) {
                if (!take_line(&rest, CHUNKED_LINE_BYTES_MAX, &line) || !read_size(line, &bytes))
                        return false;
                if (!bytes)
                        break;
                if (bytes > rest.size || rest.size - bytes < 2 ||
                    memcmp(rest.data + bytes, "\r\n", 2) != 0)
                        return false;
                memcpy(payload + ret->payload_bytes, rest.data, bytes);
                ret->payload_bytes += bytes;
                rest.data += bytes + 2;
                rest.size -= bytes + 2;
        }
        trailer = rest;
        do {
                if (!take_line(&rest, SIZE_MAX, &line) || (line.size && !is_trailer(line)))
                        return false;
        } while (line.size);
        ret->used = input.size - rest.size;
        return trailer.size - rest.size <= CHUNKED_TRAILER_BYTES_MAX;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        struct text input = { (const char *)data, size };
        struct decoded whole = decode_in_pieces(input, size), expected;
        char *payload = malloc(size + 1);
        bool ends;

        must(payload);
        ends = decode_by_hand(input, payload, &expected);
        must(ends == (whole.outcome == CHUNKED_END));
        if (ends) {
                must(whole.used == expected.used);
                must(whole.payload_bytes == expected.payload_bytes);
                must(memcmp(whole.payload, payload, whole.payload_bytes) == 0);
        }
        for (size_t step = 1; step <= 7; step += 3) {
                struct decoded pieces = decode_in_pieces(input, step);

                must(pieces.outcome == whole.outcome && pieces.used == whole.used);
                must(pieces.payload_bytes == whole.payload_bytes);
                must(memcmp(pieces.payload, whole.payload, whole.payload_bytes) == 0);
                free(pieces.payload);
        }
        free(payload);
        free(whole.payload);
        return 0;
}
