/* SPDX-License-Identifier: MIT */
#include "site.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "backends.h"
#include "base/clock.h"
#include "http/http1-parser.h"

enum { TURNS_MAX = 20000, TURN_USEC = 500 };

_Atomic uint64_t site_ahead_usec;
void (*_Atomic site_lookup_begins)(void);

static uint64_t real_usec(void) {
        void (*begins)(void) = atomic_load(&site_lookup_begins);

        if (begins)
                begins();
        return clock_real_usec() + atomic_load(&site_ahead_usec);
}

/* ---- the site ---- */

static void route_open(struct site *s) {
        char reason[HANDLER_REASON_BYTES];

        assert(handler_route_prepare(&s->route, &s->settings, reason) == 0);
}

void site_open(struct site *s, const struct site_options *options) {
        static const struct site_options defaults;
        static char *index[] = { "index.html", NULL };
        struct loop_options loop_options = {};

        options = options ?: &defaults;
        atomic_store(&site_ahead_usec, 3600 * USEC_PER_SEC);
        atomic_store(&site_lookup_begins, NULL);
        *s = (struct site){};
        tree_make(&s->tree);
        s->world = scripted_world_new(1);
        scripted_patience(s->world, 1000);
        if (options->threads)
                assert(offload_pool_new(options->threads, &s->pool) == 0);
        loop_options.pool = s->pool;
        assert(loop_new(&scripted_backend, &loop_options, &s->loop) == 0);
        s->worker = (struct handler_worker){ .loop = s->loop, .real_usec = real_usec };
        assert(files_cache_new(s->loop, options->cache_bytes_max ?: 1 << 20, &s->worker.files) ==
               0);
        s->settings = (struct settings_route){
                .prefix = (char *)(options->prefix ?: "/"),
                .handler = HANDLER_FILES,
                .root = s->tree.path,
                .index = (char **)(options->index ?: index),
        };
        route_open(s);
}

void site_reload(struct site *s) {
        handler_route_finish(&s->route);
        route_open(s);
}

void site_turn(struct site *s) {
        assert(loop_turn(s->loop, loop_now_usec(s->loop) + TURN_USEC) >= 0);
}

void site_close(struct site *s) {
        handler_route_finish(&s->route);
        for (unsigned i = 0; !loop_is_quiet(s->loop); i++) {
                assert(i < TURNS_MAX);
                site_turn(s);
        }
        s->worker.files = files_cache_free(s->worker.files);
        s->loop = loop_free(s->loop);
        s->pool = offload_pool_free(s->pool);
        s->world = scripted_world_free(s->world);
        tree_remove(&s->tree);
}

void site_advance(struct site *s, uint64_t usec) {
        scripted_advance(s->world, usec);
        assert(loop_turn(s->loop, 0) >= 0);
}

uint64_t site_offloaded(struct site *s) {
        return counter_read(&loop_counters(s->loop)->offloaded);
}

/* ---- the carrier ---- */

static void carrier_answered(struct exchange *x) {
        struct asked *a = container_of(x, struct asked, x);

        assert(!a->answered);
        a->answered = true;
}

static void carrier_nothing(struct exchange *x) {}

static const struct exchange_carrier carrier = {
        .answered = carrier_answered,
        .woken = carrier_nothing,
        .want_body = carrier_nothing,
        .failed = carrier_nothing,
};

void asked_finish(struct asked *a) {
        buffer_finish(&a->fields);
        buffer_finish(&a->body);
}

void ask_begin(struct site *s, struct asked *a, const char *method, const char *target,
               const char *fields) {
        struct http1_parser parser = {};
        int n;

        asked_finish(a);
        *a = (struct asked){ .site = s, .x = { .carrier = &carrier } };
        n = snprintf(a->head, sizeof(a->head), "%s %s HTTP/1.1\r\nHost: a\r\n%s\r\n", method,
                     target, fields ?: "");
        assert(n > 0 && (size_t)n < sizeof(a->head));
        assert(http1_parse_head(&parser, a->head, (size_t)n, sizeof(a->head), &a->x.request) == 0);
        a->x.request.head = a->head;
        a->x.handler = s->route.handler;
        a->x.route = &s->route;
        a->x.worker = &s->worker;
        exchange_start(&a->x);
}

static void finish(struct asked *a, int error) {
        a->x.error = error;
        a->x.finished = true;
        if (a->x.handler->finish)
                a->x.handler->finish(&a->x);
        a->done = true;
}

void ask_give_up(struct asked *a) {
        finish(a, -ECONNRESET);
}

static void take_piece(struct asked *a, const struct exchange_piece *p) {
        a->pieces++;
        if (p->data) {
                assert(buffer_append(&a->body, p->data, p->bytes) == 0);
                return;
        }
        a->file_pieces++;
        assert(buffer_reserve(&a->body, p->bytes) == 0);
        assert(pread(p->file, a->body.data + a->body.used, p->bytes, (off_t)p->offset) ==
               (ssize_t)p->bytes);
        a->body.used += p->bytes;
}

void ask_end(struct asked *a, uint64_t room_bytes) {
        struct exchange_piece piece = {};

        for (unsigned i = 0; !a->answered; i++) {
                assert(i < TURNS_MAX);
                site_turn(a->site);
        }
        assert(buffer_append_text(&a->fields, a->x.fields) == 0);
        assert(buffer_append_text(&a->fields, a->x.page_fields) == 0);
        while (exchange_has_body(&a->x) && !piece.last) {
                assert(exchange_pull(&a->x, room_bytes, &piece) == 0);
                take_piece(a, &piece);
        }
        if (exchange_has_body(&a->x))
                assert(a->body.used == a->x.body_bytes);
        finish(a, 0);
}

unsigned ask(struct site *s, struct asked *a, const char *method, const char *target,
             const char *fields) {
        ask_begin(s, a, method, target, fields);
        ask_end(a, UINT64_MAX);
        return a->x.status;
}

unsigned get(struct site *s, struct asked *a, const char *target) {
        return ask(s, a, "GET", target, NULL);
}

bool asked_body_is(const struct asked *a, struct text body) {
        return text_equal(buffer_text(&a->body), body);
}

const char *asked_field(const struct asked *a, const char *name) {
        static char value[16384];
        struct text rest = buffer_text(&a->fields), line, label;

        while (text_next_word(&rest, "\r\n", &line)) {
                size_t colon = text_find(line, ':');

                label = (struct text){ line.data, colon };
                if (colon == line.size || !text_equal_nocase(label, text_of(name)))
                        continue;
                line = text_trim((struct text){ line.data + colon + 1, line.size - colon - 1 });
                assert(line.size < sizeof(value));
                memcpy(value, line.data, line.size);
                value[line.size] = '\0';
                return value;
        }
        return "";
}
