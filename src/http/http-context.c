/* SPDX-License-Identifier: MIT */
#include "http/session.h"

#include "base/clock.h"
#include "http/date.h"

/*
 * What one worker's sessions share. Nearly all answers begin with the same bytes for a whole
 * second, so these are kept ready-made: an answer copies them at once.
 */

enum {
        EXCHANGES_KEPT =
                256, /* blocks kept when not in use; guesses, about 1 MiB and 4 MiB at most */
        CHUNKS_KEPT = 256,
        BLOCKS_KEPT = 256, /* of each size; 480 KiB at most, as five connections of HTTP/2 need */
};

static const char lines_template[HTTP_LINES_BYTES + 1] =
        "HTTP/1.1 200 OK\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\nServer: emberd\r\n";

void http_context_init(struct http_context *c, const uint64_t *now_usec) {
        *c = (struct http_context){
                .now_usec = now_usec,
                .real_usec = clock_real_usec,
                .limits = { .head_bytes_max = 16384,
                            .body_bytes_max = 1024 * 1024,
                            .body_timeout_usec = 60 * USEC_PER_SEC,
                            .send_timeout_usec = 60 * USEC_PER_SEC },
        };
        memcpy(c->lines, lines_template, sizeof(c->lines));
        pool_init(&c->exchanges, sizeof(struct exchange), EXCHANGES_KEPT);
        pool_init(&c->chunks, HTTP_CHUNK_BYTES, CHUNKS_KEPT);
        for (unsigned i = 0; i < HTTP_BLOCK_POOLS; i++)
                pool_init(&c->blocks[i], (size_t)HTTP_BLOCK_BYTES << i, BLOCKS_KEPT);
}

void http_context_finish(struct http_context *c) {
        pool_finish(&c->exchanges);
        pool_finish(&c->chunks);
        for (unsigned i = 0; i < HTTP_BLOCK_POOLS; i++)
                pool_finish(&c->blocks[i]);
}

void http_context_trim(struct http_context *c) {
        pool_trim(&c->exchanges);
        pool_trim(&c->chunks);
        for (unsigned i = 0; i < HTTP_BLOCK_POOLS; i++)
                pool_trim(&c->blocks[i]);
}

static void lines_make(struct http_context *c) {
        uint64_t real_usec = c->real_usec();
        char date[HTTP_DATE_BYTES + 1];

        http_date_format(real_usec / USEC_PER_SEC, date);
        memcpy(c->lines + HTTP_LINES_DATE, date, HTTP_DATE_BYTES);
        /* at least 1 us ahead, so that the clock is not read again for the same instant */
        c->date_until_usec = *c->now_usec + USEC_PER_SEC - real_usec % USEC_PER_SEC;
}

struct text http_context_lines(struct http_context *c) {
        if (unlikely(*c->now_usec >= c->date_until_usec))
                lines_make(c);
        return (struct text){ c->lines, HTTP_LINES_BYTES };
}
