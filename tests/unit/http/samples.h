/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/buffer.h"
#include "http/session.h"

/*
 * Handlers that do as a row of a table says, chosen by the path of the request, for tests of what
 * carries exchanges. They know the exchange alone, so each must do the same whatever carries it.
 */

enum {
        SAMPLE_BIG_BYTES = 100 * 1000,
        SAMPLE_WIDE_BYTES = 2 * HTTP_CHUNK_BYTES, /* fields that fit into no chunk */
        SAMPLE_FILE_BYTES = 50 * 1000,
        SAMPLE_WAITING_MAX = 128,
};

/* What the handlers of one test share; its context's `route` sets it as x->worker. */
struct samples {
        char big[SAMPLE_BIG_BYTES];
        char wide_fields[SAMPLE_WIDE_BYTES];          /* "X-Wide: www…w\r\n" */
        int file;                                     /* SAMPLE_FILE_BYTES long */
        struct exchange *waiting[SAMPLE_WAITING_MAX]; /* to be gone on with by samples_go_on() */
        unsigned waiting_count;
        struct buffer
                journal; /* "PATH error=N;" for each `finish`, "PATH body=N last;" for bodies */
        bool journal_bodies;
        unsigned started, finished;
};

void samples_init(struct samples *s);
void samples_finish(struct samples *s);

/* Sets x->handler and x->worker by the path; "/unknown" and others are refused with 404. */
void samples_route(struct samples *s, struct exchange *x);

/* Those that answer later do so, those that have more to give wake. False: there were none. */
bool samples_go_on(struct samples *s);

/* The byte at `at` of all generated bodies. */
static inline char sample_byte(uint64_t at) {
        return (char)('a' + at % 23);
}
