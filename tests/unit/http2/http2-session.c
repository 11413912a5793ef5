/* SPDX-License-Identifier: MIT */
#include "peer.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/invariant.h"

/* What we announce is what a client may rely on, and what protects us. */
static void settings_are_announced(void **state) {
        struct peer *p = peer_new();

        assert_int_equal(p->settings[NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS], 100);
        assert_int_equal(p->settings[NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE], 16384);
        assert_int_equal(p->settings[NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES], 1);
        assert_true(p->settings[NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL] == UINT64_MAX);
        assert_int_equal(p->frames[0].type, NGHTTP2_SETTINGS);
        assert_int_equal(p->settings_acks, 1);
        assert_int_equal(p->session->phase, HTTP_PHASE_IDLE);
        assert_true(p->session->wants_input);
        peer_free(p);
}

/* The plainest request: what HTTP/1 would say, in small letters. */
static void answer_has_the_common_fields(void **state) {
        struct peer *p = peer_new();

        peer_get(p, 1, "/now");
        peer_go(p);
        assert_int_equal(peer_stream(p, 1)->status, 200);
        assert_string_equal(peer_field(p, 1, "date"), "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_string_equal(peer_field(p, 1, "server"), "emberd");
        assert_string_equal(peer_field(p, 1, "content-length"), "5");
        assert_string_equal(peer_field(p, 1, "etag"), "\"1\"");
        assert_memory_equal(peer_stream(p, 1)->body.data, "hello", 5);
        assert_true(peer_stream(p, 1)->ended);
        assert_false(peer_stream(p, 1)->reset);
        assert_int_equal(p->session->requests, 1);
        assert_int_equal(p->session->phase, HTTP_PHASE_IDLE);
        assert_memory_equal(p->log.data, "GET /now 200 5;", p->log.used);
        peer_free(p);
}

static const struct {
        const char *path;
        unsigned status;
        int64_t length; /* what Content-Length says; -1: nothing */
        size_t bytes;
} answers[] = {
        { "/now", 200, 5, 5 },
        { "/nothing", 200, 0, 0 },
        { "/no-content", 204, -1, 0 },
        { "/not-modified", 304, -1, 0 },
        { "/later", 200, 5, 5 },
        { "/pieces", 200, 6, 6 },
        { "/big", 200, SAMPLE_BIG_BYTES, SAMPLE_BIG_BYTES },
        { "/file", 200, SAMPLE_FILE_BYTES, SAMPLE_FILE_BYTES },
        { "/mixed", 200, 20003, 20003 },
        { "/stream", 200, -1, 13006 },
        { "/stream-file", 200, -1, 300 },
        { "/refuse", 404, 68, 68 },
        { "/refuse-later", 503, 88, 88 },
        { "/wide", 200, 5, 5 },
        { "/copied", 200, 4096, 4096 },
        { "/unknown", 404, 68, 68 },
};

static void check_answer(struct peer *p, uint32_t id, unsigned which, bool is_head) {
        struct peer_stream *s = peer_stream(p, id);
        const char *length = peer_field(p, id, "content-length");

        assert_int_equal(s->status, answers[which].status);
        assert_true(s->ended);
        assert_int_equal(s->body.used, is_head ? 0 : answers[which].bytes);
        if (answers[which].length < 0)
                assert_null(length);
        else
                assert_int_equal(strtoll(length, NULL, 10), answers[which].length);
}

static void open_windows(struct peer *p) {
        peer_setting(p, NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 1 << 30);
        peer_window(p, 0, 1 << 30);
        peer_go(p);
}

/* Handlers do not know what carries them: each kind of answer comes as HTTP/1 would give it. */
static void all_kinds_of_answers(void **state) {
        struct peer *p = peer_new();

        open_windows(p);
        for (unsigned i = 0; i < ELEMENTS(answers); i++) {
                peer_get(p, 2 * i + 1, answers[i].path);
                peer_go(p);
                check_answer(p, 2 * i + 1, i, false);
        }
        assert_int_equal(p->end, PEER_OPEN);
        peer_free(p);
}

/* … and HEAD is answered with the fields of GET alone. */
static void head_has_no_body(void **state) {
        struct peer *p = peer_new();

        for (unsigned i = 0; i < ELEMENTS(answers); i++) {
                char line[100];

                snprintf(line, sizeof(line), "HEAD %s", answers[i].path);
                peer_headers(p, 2 * i + 1, line, NGHTTP2_FLAG_END_STREAM);
                peer_go(p);
                check_answer(p, 2 * i + 1, i, true);
        }
        assert_int_equal(peer_count(p, NGHTTP2_DATA), 0);
        peer_free(p);
}

/* What is sent is what the handler gave, however it is cut into frames and outputs. */
static void bodies_are_right(void **state) {
        struct peer *p = peer_new();
        struct peer_stream *s = peer_stream(p, 1);

        open_windows(p);
        peer_get(p, 1, "/mixed");
        peer_go(p);
        assert_memory_equal(s->body.data, "abc", 3);
        assert_memory_equal(s->body.data + 3, p->samples.big, 10000);
        assert_memory_equal(s->body.data + 10003, p->samples.big, 10000);
        s = peer_stream(p, 3);
        peer_get(p, 3, "/big");
        peer_go(p);
        assert_memory_equal(s->body.data, p->samples.big, SAMPLE_BIG_BYTES);
        s = peer_stream(p, 5);
        peer_get(p, 5, "/file");
        peer_go(p);
        assert_memory_equal(s->body.data, p->samples.big, SAMPLE_FILE_BYTES);
        peer_free(p);
}

/* All at once: the streams are independent of each other. */
static void answers_side_by_side(void **state) {
        struct peer *p = peer_new();

        open_windows(p);
        for (unsigned round = 0; round < 4; round++)
                for (unsigned i = 0; i < ELEMENTS(answers); i++)
                        peer_get(p, 2 * (round * ELEMENTS(answers) + i) + 1, answers[i].path);
        peer_go(p);
        for (unsigned round = 0; round < 4; round++)
                for (unsigned i = 0; i < ELEMENTS(answers); i++)
                        check_answer(p, 2 * (round * ELEMENTS(answers) + i) + 1, i, false);
        peer_free(p);
}

/* As many as we announce are served together; one more is refused, and may be tried again. */
static void hundred_streams(void **state) {
        struct peer *p = peer_new();

        p->hold = true;
        for (unsigned i = 0; i < 101; i++)
                peer_get(p, 2 * i + 1, "/later");
        peer_go(p);
        assert_int_equal(p->session->open, 100);
        assert_true(peer_was_hung_up_on(p, NGHTTP2_PROTOCOL_ERROR));
        peer_free(p);

        p = peer_new_silent(); /* one that has not acknowledged our settings */
        p->hold = true;
        peer_preface(p);
        peer_frame(p, NGHTTP2_SETTINGS, 0, 0, NULL, 0);
        for (unsigned i = 0; i < 101; i++)
                peer_get(p, 2 * i + 1, "/later");
        peer_go(p);
        assert_int_equal(p->session->open, 100);
        assert_int_equal(p->end, PEER_OPEN);
        assert_true(peer_stream(p, 201)->reset);
        assert_int_equal(peer_stream(p, 201)->code, NGHTTP2_REFUSED_STREAM);
        for (unsigned i = 0; i < 100; i += SAMPLE_WAITING_MAX) {
                p->hold = false;
                peer_run(p);
        }
        for (unsigned i = 0; i < 100; i++)
                assert_int_equal(peer_stream(p, 2 * i + 1)->status, 200);
        peer_free(p);
}

/* One exchange that fails breaks its stream, visibly, and no other. */
static void failures_stay_alone(void **state) {
        static const char *const failing[] = { "/fails-midway", "/fails-at-once", "/short",
                                               "/long",         "/endless",       "/twice" };
        struct peer *p = peer_new();

        invariant_set_fatal(false);
        for (unsigned i = 0; i < ELEMENTS(failing); i++) {
                peer_get(p, 4 * i + 1, failing[i]);
                peer_get(p, 4 * i + 3, "/pieces");
        }
        peer_go(p);
        for (unsigned i = 0; i < ELEMENTS(failing); i++) {
                assert_true(peer_stream(p, 4 * i + 1)->reset);
                assert_int_equal(peer_stream(p, 4 * i + 1)->code, NGHTTP2_INTERNAL_ERROR);
                assert_false(peer_stream(p, 4 * i + 1)->ended);
                assert_true(peer_stream(p, 4 * i + 3)->ended);
                assert_memory_equal(peer_stream(p, 4 * i + 3)->body.data, "abcdef", 6);
        }
        assert_non_null(strstr(p->samples.journal.data, "/fails-midway error=-5;"));
        assert_non_null(strstr(p->samples.journal.data, "/fails-at-once error=-6;"));
        assert_int_equal(p->end, PEER_OPEN);
        invariant_set_fatal(true);
        peer_free(p);
}

/* What the protocol answers itself is the same as in HTTP/1. */
static void protocol_answers(void **state) {
        struct peer *p = peer_new();

        peer_headers(p, 1, "OPTIONS *", NGHTTP2_FLAG_END_STREAM);
        peer_headers(p, 3, "TRACE /now", NGHTTP2_FLAG_END_STREAM);
        peer_headers(p, 5, ":method: CONNECT\n:authority: a.example:443\n", 0);
        peer_headers(p, 7, ":method: GET\n:scheme: https\n:path: /now\n:authority: a\n",
                     NGHTTP2_FLAG_END_STREAM);
        peer_headers(p, 9, "GET /now\nexpect: tea", NGHTTP2_FLAG_END_STREAM);
        peer_go(p);
        assert_int_equal(peer_stream(p, 1)->status, 204);
        assert_string_equal(peer_field(p, 1, "allow"), "GET, HEAD, OPTIONS");
        assert_int_equal(peer_stream(p, 3)->status, 501);
        assert_int_equal(peer_stream(p, 5)->status, 501);
        assert_true(peer_stream(p, 5)->reset); /* nothing is tunnelled */
        assert_int_equal(peer_stream(p, 7)->status, 200); /* a proxy may have ended TLS */
        assert_int_equal(peer_stream(p, 9)->status, 417);
        p->session->tls = true;
        peer_headers(p, 11, ":method: GET\n:scheme: https\n:path: /now\n:authority: a\n",
                     NGHTTP2_FLAG_END_STREAM);
        peer_go(p);
        assert_int_equal(peer_stream(p, 11)->status, 200);
        peer_free(p);
}

/* A handler may go on at any time, also while nobody calls the session. */
static void handlers_go_on_from_outside(void **state) {
        for (int at_once = 0; at_once <= 1; at_once++) {
                struct peer *p = peer_new();

                p->hold = true;
                peer_get(p, 1, "/later");
                peer_get(p, 3, "/pieces");
                peer_headers(p, 5, "POST /echo-late", 0);
                peer_data(p, 5, "xyz", 3, true);
                peer_go(p);
                assert_int_equal(p->session->phase, HTTP_PHASE_ANSWER);
                assert_int_equal(p->changes, 0);
                p->at_once = at_once;
                assert_true(samples_go_on(&p->samples));
                assert_true(p->changes > 0);
                p->hold = false;
                peer_run(p);
                assert_true(peer_stream(p, 1)->ended);
                assert_true(peer_stream(p, 3)->ended);
                assert_memory_equal(peer_stream(p, 5)->body.data, "zzz", 3);
                peer_free(p);
        }
}

/* A client that goes away, or takes back what it asked for, at every point. */
static void resets_at_every_point(void **state) {
        static const char *const paths[] = { "/mute",   "/later",  "/big",  "/file",
                                             "/stream", "/pieces", "/wide", "/now" };

        for (unsigned i = 0; i < ELEMENTS(paths); i++)
                for (unsigned outputs = 0; outputs < 6; outputs++) {
                        struct peer *p = peer_new();

                        p->hold = p->hold_sent = true;
                        peer_get(p, 1, paths[i]);
                        peer_go(p);
                        for (unsigned n = 0; n < outputs && p->unsent; n++) {
                                peer_sent(p);
                                p->hold_sent = true;
                                peer_run(p);
                        }
                        peer_reset(p, 1, NGHTTP2_CANCEL);
                        peer_go(p);
                        if (p->unsent)
                                peer_sent(p);
                        p->hold_sent = p->hold = false;
                        peer_run(p);
                        assert_int_equal(p->session->open, 0);
                        assert_int_equal(p->samples.started, p->samples.finished);
                        peer_get(p, 3, "/now");
                        peer_window(p, 0, 1 << 20);
                        peer_go(p);
                        assert_true(peer_stream(p, 3)->ended);
                        peer_free(p);
                }
}

/* The connection may end at any point, too; peer_free() ends it. */
static void ends_at_every_point(void **state) {
        for (unsigned outputs = 0; outputs < 10; outputs++) {
                struct peer *p = peer_new();

                p->hold = p->hold_sent = true;
                for (unsigned i = 0; i < ELEMENTS(answers); i++)
                        peer_get(p, 2 * i + 1, answers[i].path);
                peer_headers(p, 101, "POST /echo", 0);
                peer_data(p, 101, "x", 1, false);
                peer_go(p);
                for (unsigned n = 0; n < outputs && p->unsent; n++) {
                        peer_sent(p);
                        p->hold_sent = true;
                        peer_run(p);
                }
                peer_free(p);
        }
}

static void write_conversation(struct peer *p) {
        peer_preface(p);
        peer_setting(p, NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 200000);
        peer_window(p, 0, 200000);
        peer_frame(p, NGHTTP2_SETTINGS, NGHTTP2_FLAG_ACK, 0, NULL, 0);
        peer_get(p, 1, "/now");
        peer_headers(p, 3, "POST /echo\ncontent-length: 4\ncookie: a=1\ncookie: b=2", 0);
        peer_ping(p, "12345678", false);
        peer_data(p, 3, "ab", 2, false);
        peer_data(p, 3, "cd", 2, false);
        peer_headers(p, 3, "x-trailer: 1", NGHTTP2_FLAG_END_STREAM);
        peer_frame(p, 0x55, 0, 0, "unknown", 7);
        peer_get(p, 5, "/pieces");
        peer_frame(p, NGHTTP2_PRIORITY, 0, 5, "\0\0\0\0\1", 5);
        peer_frame(p, 0x10, 0, 0, "\0\0\0\5u=1", 7);
        peer_get(p, 7, "/mute");
        peer_reset(p, 7, NGHTTP2_CANCEL);
}

static void check_conversation(struct peer *p) {
        assert_int_equal(p->end, PEER_OPEN);
        assert_memory_equal(peer_stream(p, 1)->body.data, "hello", 5);
        assert_memory_equal(peer_stream(p, 3)->body.data, "dddd", 4);
        assert_memory_equal(peer_stream(p, 5)->body.data, "abcdef", 6);
        assert_true(peer_stream(p, 5)->ended);
        assert_int_equal(peer_stream(p, 7)->status, 0);
        assert_int_equal(p->pings_acks, 1);
        assert_int_equal(p->session->open, 0);
        assert_int_equal(p->session->phase, HTTP_PHASE_IDLE);
}

/* A network may cut what comes anywhere; the outcome must not depend on it. */
static void every_split_of_input(void **state) {
        size_t size = 1;

        for (size_t cut = 0; cut < size; cut++) {
                struct peer *p = peer_new_silent();

                write_conversation(p);
                size = p->out.used;
                peer_feed(p, (struct text){ p->out.data, cut });
                peer_run(p);
                peer_feed(p, (struct text){ p->out.data + cut, size - cut });
                peer_run(p);
                check_conversation(p);
                peer_free(p);
        }
        for (size_t step = 1; step < 24; step++) {
                struct peer *p = peer_new_silent();

                write_conversation(p);
                for (size_t at = 0; at < size; at += step) {
                        peer_feed(p, (struct text){ p->out.data + at, MIN(step, size - at) });
                        peer_run(p);
                }
                check_conversation(p);
                peer_free(p);
        }
}

/* What is not HTTP/2 at all is not answered in HTTP/2. */
static void no_preface(void **state) {
        struct peer *p = peer_new_silent();

        peer_feed(p, TEXT("GET / HTTP/1.1\r\nHost: a\r\n\r\n"));
        assert_int_equal(p->end, PEER_BROKEN);
        peer_free(p);
        p = peer_new_silent();
        peer_preface(p);
        peer_ping(p, "12345678", false); /* SETTINGS must be first */
        peer_go(p);
        assert_true(peer_was_hung_up_on(p, NGHTTP2_PROTOCOL_ERROR));
        peer_free(p);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(settings_are_announced),
                cmocka_unit_test(answer_has_the_common_fields),
                cmocka_unit_test(all_kinds_of_answers),
                cmocka_unit_test(head_has_no_body),
                cmocka_unit_test(bodies_are_right),
                cmocka_unit_test(answers_side_by_side),
                cmocka_unit_test(hundred_streams),
                cmocka_unit_test(failures_stay_alone),
                cmocka_unit_test(protocol_answers),
                cmocka_unit_test(handlers_go_on_from_outside),
                cmocka_unit_test(resets_at_every_point),
                cmocka_unit_test(ends_at_every_point),
                cmocka_unit_test(every_split_of_input),
                cmocka_unit_test(no_preface),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
