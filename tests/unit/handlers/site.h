/* SPDX-License-Identifier: MIT */
#pragma once

#include "tree.h"

#include "base/buffer.h"
#include "handlers/handler.h"
#include "scripted.h"

/*
 * One route with one worker on a scripted loop, and a carrier that asks it. The loop's clock is the
 * world's; the real clock is the machine's plus `site_ahead_usec`, so that files made a moment ago
 * can be long settled. What goes wrong in here ends the test.
 */
struct site {
        struct tree tree;
        struct scripted_world *world;
        struct offload_pool *pool; /* NULL: what is offloaded runs on the loop */
        struct loop *loop;
        struct handler_worker worker;
        struct settings_route settings;
        struct handler_route route;
};

struct site_options {
        const char *prefix;     /* default "/" */
        char *const *index;     /* default index.html */
        size_t cache_bytes_max; /* default 1 MiB; 1 is as good as none */
        unsigned threads;       /* of a pool; 0: none */
};

void site_open(struct site *s, const struct site_options *options);
void site_close(struct site *s);
/* The server reads its settings again: another route of the same sort takes over. */
void site_reload(struct site *s);
void site_turn(struct site *s); /* one turn of the loop, which does not wait long */
void site_advance(struct site *s, uint64_t usec); /* the loop's clock goes on */
uint64_t site_offloaded(struct site *s);

/* How far the real clock is ahead of the machine's; an hour at first. */
extern _Atomic uint64_t site_ahead_usec;
/* Called when a lookup begins, on the thread it runs on; NULL: nothing. */
extern void (*_Atomic site_lookup_begins)(void);

/* ---- one request ---- */

struct asked {
        struct exchange x;
        struct site *site;
        char head[16384];
        struct buffer fields, body;
        unsigned pieces, file_pieces;
        bool answered, done;
};

/* Begin: the handler's `start` has run. `fields` are lines, or NULL. */
void ask_begin(struct site *s, struct asked *a, const char *method, const char *target,
               const char *fields);
/* Wait for the answer, take its body in pieces of at most `room_bytes`, end it. */
void ask_end(struct asked *a, uint64_t room_bytes);
void ask_give_up(struct asked *a); /* the client has gone */
void asked_finish(struct asked *a);

/* All of it; the status. The answer is in `a` until the next call with it. */
unsigned ask(struct site *s, struct asked *a, const char *method, const char *target,
             const char *fields);
unsigned get(struct site *s, struct asked *a, const char *target);

bool asked_body_is(const struct asked *a, struct text body);
/* The value of a field of the answer, NUL-ended, until the next call; "" if there is none. */
const char *asked_field(const struct asked *a, const char *name);
