/* SPDX-License-Identifier: MIT */
#include "peer.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

/*
 * Each allocation of a session fails once, in turn. Nothing may be lost but what it was for: one
 * request, or the connection.
 */

extern const struct http2_module emberd_module;

static const bool *watched; /* allocations count while this is true */
static long left = -1;      /* allocations until one fails; < 0: none does */

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *old, size_t size);

static bool fails(void) {
        return watched && *watched && left >= 0 && left-- == 0;
}

void *__wrap_malloc(size_t size) {
        return fails() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size) {
        return fails() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *old, size_t size) {
        return fails() ? NULL : __real_realloc(old, size);
}

static void write_conversation(struct peer *p) {
        static char body[3000], fields[3100];

        peer_preface(p);
        peer_setting(p, NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 200000);
        peer_window(p, 0, 200000);
        peer_get(p, 1, "/now");
        memset(body, 'a', sizeof(body));
        memset(fields, 'b', sizeof(fields) - 1);
        memcpy(fields, "POST /echo-late\nx-big: ", 23);
        peer_headers(p, 3, fields, 0);
        peer_data(p, 3, body, sizeof(body), false);
        peer_data(p, 3, body, sizeof(body), true);
        peer_get(p, 5, "/big");
        peer_get(p, 7, "/file");
        peer_get(p, 9, "/refuse-later");
        peer_frame(p, 0x10, 0, 0,
                   "\0\0\0\xd"
                   "u=1",
                   7);
        peer_get(p, 11, "/pieces");
        peer_get(p, 13, "/wide");
        peer_headers(p, 15, "POST /echo\nexpect: 100-continue\ncookie: a\ncookie: b", 0);
        peer_headers(p, 17, "POST /now", 0);
        peer_get(p, 19, "/fails-midway");
        peer_headers(p, 21,
                     ":method: CONNECT\n:protocol: websocket\n:scheme: http\n"
                     ":path: /tunnel-slow\n:authority: a",
                     0);
        peer_data(p, 21, body, sizeof(body), false);
        peer_data(p, 21, body, sizeof(body), true);
        peer_ping(p, "12345678", false);
}

/* The conversation; true: it was had without a failure. */
static bool talk(long until) {
        struct peer *p = peer_new_for_tunnels(false);
        bool failed;

        watched = &p->in_session;
        left = until;
        write_conversation(p);
        peer_go(p);
        peer_data(p, 15, "abc", 3, true);
        peer_reset(p, 13, NGHTTP2_CANCEL);
        peer_go(p);
        p->session->close_soon = true;
        peer_run(p);
        peer_ping(p, (const char *)p->last_ping, true);
        peer_go(p);
        failed = left < 0;
        left = -1;
        if (p->end == PEER_BROKEN)
                assert_int_equal(p->error, -ENOMEM);
        watched = NULL;
        peer_free(p);
        return !failed;
}

static void every_allocation_fails_once(void **state) {
        long n = 0;

        while (n < 10000 && !talk(n))
                n++;
        assert_in_range(n, 50, 9999);
}

/* From some point on, there is none at all. */
static void no_more_memory(void **state) {
        for (long n = 0; n < 200; n += 3) {
                struct peer *p = peer_new_for_tunnels(false);

                watched = &p->in_session;
                left = n;
                write_conversation(p);
                peer_feed(p, buffer_text(&p->out));
                for (unsigned i = 0; i < 10 && p->end == PEER_OPEN; i++) {
                        left = 0;
                        p->hold_sent = true;
                        peer_run(p);
                        if (p->unsent)
                                peer_sent(p);
                }
                left = -1;
                watched = NULL;
                peer_free(p);
        }
}

/* Without memory for a session there is none, and nothing is left of it. */
static void no_session(void **state) {
        bool yes = true;
        bool made = false;

        for (long n = 0; n < 100 && !made; n++) {
                struct peer *p;

                watched = &yes;
                left = -1;
                p = peer_new_silent();
                p->in_session = true;
                p->session->protocol->finish(p->session, 0);
                emberd_module.session_free(p->session);
                left = n;
                made = emberd_module.session_new(&p->context, NULL, &p->session) == 0;
                watched = NULL;
                if (made)
                        p->h = http2_of(p->session);
                else
                        p->session = NULL;
                peer_free(p);
        }
        assert_true(made);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(every_allocation_fails_once),
                cmocka_unit_test(no_more_memory),
                cmocka_unit_test(no_session),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
