/* SPDX-License-Identifier: MIT */
#include "http/exchange.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/buffer.h"
#include "base/invariant.h"
#include "http/session.h"

/* A carrier that counts what it is told, and a handler that counts its ends. */
struct bench {
        struct http_context context;
        struct http_session session;
        struct exchange *x;
        uint64_t now_usec;
        unsigned answered, woken, wanted, failed, finished, handler_finished;
};

static struct bench *bench_of(struct exchange *x) {
        return container_of(x->session, struct bench, session);
}

static void count_answered(struct exchange *x) {
        bench_of(x)->answered++;
}
static void count_woken(struct exchange *x) {
        bench_of(x)->woken++;
}
static void count_wanted(struct exchange *x) {
        bench_of(x)->wanted++;
}
static void count_failed(struct exchange *x) {
        bench_of(x)->failed++;
}

static const struct exchange_carrier carrier = {
        .answered = count_answered,
        .woken = count_woken,
        .want_body = count_wanted,
        .failed = count_failed,
};

static void handler_start(struct exchange *x) {
        for (size_t i = 0; i < sizeof(x->state); i++)
                assert_int_equal(x->state[i], 0);
        memset(x->state, 'x', sizeof(x->state));
}

static void handler_body(struct exchange *x, struct text data, bool last) {}

/* Calls that it must not make, so that each is found to be one. */
static void handler_finish(struct exchange *x) {
        bench_of(x)->handler_finished++;
        exchange_answer(x, 200, (struct text){}, 0);
        exchange_refuse(x, 500, (struct text){});
        exchange_wake(x);
        exchange_want_body(x);
        exchange_fail(x, -EIO);
}

static const struct exchange_handler handler = {
        .name = "bench",
        .start = handler_start,
        .body = handler_body,
        .finish = handler_finish,
};

static void bench_finished(struct http_session *s, struct exchange *x) {
        bench_of(x)->finished++;
}

static void bench_open(struct bench *b) {
        *b = (struct bench){ .now_usec = 7 };
        http_context_init(&b->context, &b->now_usec);
        b->context.finished = bench_finished;
        b->session.context = &b->context;
        b->x = exchange_new(&b->session, &carrier);
        assert_non_null(b->x);
        b->x->request.head = "";
        b->x->request.head_bytes = 0;
        b->x->request.method = HTTP_GET;
        exchange_begin(b->x);
        b->x->handler = &handler;
        exchange_start(b->x);
}

/* Misuse is about to come: in test builds it would abort. */
static void bench_close(struct bench *b) {
        invariant_set_fatal(false);
        exchange_end(b->x, 0);
        invariant_set_fatal(true);
        assert_int_equal(b->session.open, 0);
        http_context_finish(&b->context);
}

/* Logs count each exchange once, and its handler lets go once. */
static void an_exchange_ends_once(void **state) {
        struct bench b;

        bench_open(&b);
        assert_int_equal(b.session.open, 1);
        assert_int_equal(b.session.requests, 1);
        assert_int_equal(b.x->started_usec, 7);
        exchange_answer(b.x, 200, TEXT("A: b\r\n"), 3);
        assert_int_equal(b.answered, 1);
        bench_close(&b);
        assert_int_equal(b.finished, 1);
        assert_int_equal(b.handler_finished, 1);
}

/* A handler that goes on behind its end does no harm: none of its calls reaches the carrier. */
static void calls_behind_the_end_are_ignored(void **state) {
        struct bench b;

        bench_open(&b);
        bench_close(&b);
        assert_int_equal(b.answered + b.woken + b.wanted + b.failed, 0);
}

/* A second answer would be taken for that of the next request. */
static void a_second_answer_fails_the_exchange(void **state) {
        struct bench b;

        bench_open(&b);
        exchange_answer(b.x, 200, (struct text){}, 3);
        invariant_set_fatal(false);
        exchange_answer(b.x, 404, (struct text){}, 4);
        assert_int_equal(b.failed, 1);
        assert_int_equal(b.x->status, 200);
        assert_int_equal(b.x->error, -EBADMSG);
        exchange_refuse(b.x, 500, (struct text){});
        assert_false(b.x->refused);
        bench_close(&b);
}

/* Informational statuses are the protocol's; a line without an end would swallow the next one. */
static void answers_must_be_well_formed(void **state) {
        static const unsigned statuses[] = { 0, 100, 199, 600, 65736 };
        struct bench b;

        for (size_t i = 0; i < ELEMENTS(statuses); i++) {
                bench_open(&b);
                invariant_set_fatal(false);
                exchange_answer(b.x, statuses[i], (struct text){}, 0);
                assert_true(b.x->failed);
                assert_int_equal(b.x->status, 0);
                bench_close(&b);
        }
        bench_open(&b);
        invariant_set_fatal(false);
        exchange_answer(b.x, 200, TEXT("A: b"), 0);
        assert_true(b.x->failed);
        bench_close(&b);
}

/* The page of a refusal comes in pieces as any body, for carriers with little room. */
static void pages_fit_any_room(void **state) {
        struct exchange_piece piece = {};
        struct buffer page = {};
        struct bench b;

        bench_open(&b);
        exchange_refuse(b.x, 404, TEXT("A: b\r\n"));
        assert_true(text_equal(b.x->fields, TEXT("A: b\r\n")));
        assert_true(b.x->page_fields.size > 0);
        while (!piece.last) {
                assert_int_equal(exchange_pull(b.x, 10, &piece), 0);
                assert_in_range(piece.bytes, 1, 10);
                buffer_append(&page, piece.data, piece.bytes);
        }
        assert_int_equal(page.used, b.x->body_bytes);
        assert_true(text_starts_with(buffer_text(&page), TEXT("<!DOCTYPE html>\n<title>404 ")));
        buffer_finish(&page);
        bench_close(&b);
}

/* The longest page that a status can have must fit, the end of its tag too. */
static void pages_are_whole(void **state) {
        struct bench b;

        for (unsigned status = 300; status <= 599; status++) {
                bench_open(&b);
                exchange_refuse(b.x, status, (struct text){});
                assert_true(text_ends_with((struct text){ b.x->page, b.x->page_bytes },
                                           TEXT("</h1>\n")));
                bench_close(&b);
        }
}

/* A handler without `body` that asks for one, or without `pull` that has one, fails alone. */
static void what_a_handler_lacks_is_not_called(void **state) {
        static const struct exchange_handler bare = { .name = "bare" };
        struct exchange_piece piece;
        struct bench b;

        bench_open(&b);
        b.x->handler = &bare;
        invariant_set_fatal(false);
        assert_int_equal(exchange_pull(b.x, 10, &piece), -EBADMSG);
        exchange_want_body(b.x);
        assert_int_equal(b.wanted, 0);
        assert_true(b.x->failed);
        bench_close(&b);
}

/* The first reason is the one that tells; what follows from it is noise. */
static void the_first_error_stays(void **state) {
        struct bench b;

        bench_open(&b);
        exchange_fail(b.x, -ENOSPC);
        exchange_fail(b.x, -EIO);
        assert_int_equal(b.x->error, -ENOSPC);
        bench_close(&b);
}

/* Taken over, the handler has heard its end, and is not called at the exchange's. */
static void a_handler_taken_over_ends_once(void **state) {
        struct bench b;

        bench_open(&b);
        invariant_set_fatal(false);
        exchange_take_over(b.x, -EPROTO);
        invariant_set_fatal(true);
        assert_int_equal(b.handler_finished, 1);
        assert_int_equal(b.finished, 0);
        exchange_refuse(b.x, 400, (struct text){});
        assert_int_equal(b.x->status, 400);
        assert_int_equal(b.x->error, 0);
        bench_close(&b);
        assert_int_equal(b.handler_finished, 1);
        assert_int_equal(b.finished, 1);
}

/* Heads of either size survive what they were read from. */
static void heads_outlive_their_buffer(void **state) {
        static const uint32_t sizes[] = { 0, 1, EXCHANGE_HEAD_BYTES, EXCHANGE_HEAD_BYTES + 1 };
        struct bench b;

        for (size_t i = 0; i < ELEMENTS(sizes); i++) {
                char *lent = malloc(sizes[i] + 1);

                assert_non_null(lent);
                memset(lent, 'h', sizes[i]);
                bench_open(&b);
                b.x->request.head = lent;
                b.x->request.head_bytes = sizes[i];
                assert_int_equal(exchange_keep_head(b.x), 0);
                free(lent);
                for (uint32_t at = 0; at < sizes[i]; at++)
                        assert_int_equal(b.x->request.head[at], 'h');
                bench_close(&b);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(an_exchange_ends_once),
                cmocka_unit_test(calls_behind_the_end_are_ignored),
                cmocka_unit_test(a_second_answer_fails_the_exchange),
                cmocka_unit_test(answers_must_be_well_formed),
                cmocka_unit_test(pages_fit_any_room),
                cmocka_unit_test(pages_are_whole),
                cmocka_unit_test(what_a_handler_lacks_is_not_called),
                cmocka_unit_test(the_first_error_stays),
                cmocka_unit_test(a_handler_taken_over_ends_once),
                cmocka_unit_test(heads_outlive_their_buffer),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
