/* SPDX-License-Identifier: MIT */
#include "lanes.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/invariant.h"
#include "wire.h"

/*
 * That handlers never learn what carries them: the same handlers as in the tests of HTTP/1,
 * unchanged, with their exchanges side by side on one connection.
 */

enum { ROOM_BYTES = 1000, FRAMES_MAX = 1000, STEPS_MAX = 10 * 1000 };

struct frame {
        unsigned id;
        char kind[8]; /* "status", "more", "last", "broken" */
        uint64_t bytes;
};

struct street {
        struct http_context context;
        struct lanes_session lanes;
        struct samples samples;
        uint64_t now_usec;
        unsigned changes;
        struct buffer bodies[LANES_MAX];
        struct frame frames[FRAMES_MAX];
        unsigned frame_count, statuses[LANES_MAX];
        int errors[LANES_MAX];
        bool over[LANES_MAX], closed;
};

static struct street *street_of(struct http_session *s) {
        return container_of(container_of(s, struct lanes_session, session), struct street, lanes);
}

static void street_route(struct http_session *s, struct exchange *x) {
        samples_route(&street_of(s)->samples, x);
}

static void street_changed(struct http_session *s) {
        street_of(s)->changes++;
}

static void street_open(struct street *s) {
        memset(s, 0, sizeof(*s));
        http_context_init(&s->context, &s->now_usec);
        s->context.route = street_route;
        samples_init(&s->samples);
        lanes_session_init(&s->lanes, &s->context, street_changed, ROOM_BYTES);
}

static void street_close(struct street *s) {
        s->lanes.session.protocol->finish(&s->lanes.session, -ECONNRESET);
        assert_int_equal(s->lanes.session.open, 0);
        samples_finish(&s->samples);
        http_context_finish(&s->context);
        for (unsigned i = 0; i < LANES_MAX; i++)
                buffer_finish(&s->bodies[i]);
}

/* A frame as a client would read it: its line, then what the line promises. */
static void street_take(struct street *s, const struct http_output *output) {
        struct frame *f = &s->frames[s->frame_count++];
        struct buffer bytes = {};
        size_t line;
        unsigned status;
        int error;

        assert_true(s->frame_count < FRAMES_MAX);
        for (unsigned i = 0; i < output->count; i++)
                buffer_append(&bytes, output->parts[i].iov_base, output->parts[i].iov_len);
        if (output->file_bytes) {
                assert_int_equal(buffer_reserve(&bytes, output->file_bytes), 0);
                bytes.used += (size_t)pread(output->file, bytes.data + bytes.used,
                                            output->file_bytes, (off_t)output->file_offset);
        }
        buffer_append(&bytes, "", 1);
        line = text_find(buffer_text(&bytes), '\n') + 1;
        assert_int_equal(sscanf(bytes.data, "%u %7s", &f->id, f->kind), 2);
        assert_true(f->id < LANES_MAX && !s->over[f->id]);
        if (sscanf(bytes.data, "%*u status %u", &status) == 1) {
                assert_int_equal(s->statuses[f->id], 0);
                s->statuses[f->id] = status;
                s->over[f->id] = strstr(bytes.data, " last 0\n") != NULL;
        } else if (sscanf(bytes.data, "%*u broken %d", &error) == 1) {
                s->errors[f->id] = error;
                s->over[f->id] = true;
        } else {
                assert_int_equal(sscanf(bytes.data, "%*u %*s %lu", &f->bytes), 1);
                assert_true(f->bytes <= ROOM_BYTES);
                assert_int_equal(bytes.used - 1 - line, f->bytes);
                assert_true(s->statuses[f->id] > 0);
                s->over[f->id] = strcmp(f->kind, "last") == 0;
                buffer_append(&s->bodies[f->id], bytes.data + line, f->bytes);
        }
        buffer_finish(&bytes);
}

static void street_run(struct street *s) {
        struct http_session *session = &s->lanes.session;
        struct http_output output;

        for (unsigned i = 0; i < STEPS_MAX; i++) {
                int r = session->protocol->output(session, &output);

                if (r == HTTP_OUTPUT_SEND) {
                        street_take(s, &output);
                        session->protocol->sent(session);
                        continue;
                }
                s->closed = r == HTTP_OUTPUT_CLOSE;
                if (s->closed || !samples_go_on(&s->samples))
                        return;
        }
        fail_msg("it does not end");
}

static void street_feed(struct street *s, const char *lines) {
        struct http_session *session = &s->lanes.session;

        assert_int_equal(session->protocol->feed(session, text_of(lines)), 0);
        street_run(s);
}

static void expect_generated(struct street *s, unsigned id, size_t bytes) {
        assert_int_equal(s->bodies[id].used, bytes);
        assert_memory_equal(s->bodies[id].data, s->samples.big, bytes);
        assert_true(s->over[id]);
}

static void expect_body(struct street *s, unsigned id, const char *body) {
        assert_int_equal(s->bodies[id].used, strlen(body));
        if (*body)
                assert_memory_equal(s->bodies[id].data, body, strlen(body));
        assert_true(s->over[id]);
}

/* All at the same time, each whole: memory, files, pieces that come later, unknown lengths. */
static void exchanges_run_side_by_side(void **state) {
        struct street s;

        street_open(&s);
        street_feed(&s, "1 GET /big\n2 GET /file\n3 GET /pieces\n4 GET /now\n5 GET /later\n"
                        "6 GET /stream\n7 HEAD /big\n8 GET /refuse\n9 GET /no-content\n");
        expect_generated(&s, 1, SAMPLE_BIG_BYTES);
        expect_generated(&s, 2, SAMPLE_FILE_BYTES);
        expect_body(&s, 3, "abcdef");
        expect_body(&s, 4, "hello");
        expect_body(&s, 5, "hello");
        assert_int_equal(s.bodies[6].used, 3 + 10000 + 3000 + 3);
        expect_body(&s, 7, "");
        expect_body(&s, 8,
                    "<!DOCTYPE html>\n<title>404 Not Found</title>\n"
                    "<h1>404 Not Found</h1>\n");
        expect_body(&s, 9, "");
        assert_int_equal(s.statuses[8], 404);
        assert_int_equal(s.statuses[9], 204);
        assert_true(s.changes > 0);
        street_close(&s);
}

/* Has an exchange other than that of frame `at` more to give behind it? */
static bool others_follow(const struct street *s, unsigned at) {
        for (unsigned i = at + 1; i < s->frame_count; i++)
                if (s->frames[i].id != s->frames[at].id)
                        return true;
        return false;
}

/* None waits for another's end: two pieces of one follow each other only when all else is done. */
static void pieces_take_turns(void **state) {
        unsigned end_of_now = 0;
        struct street s;

        street_open(&s);
        street_feed(&s, "1 GET /big\n2 GET /file\n3 GET /now\n");
        assert_true(s.frame_count > 150);
        for (unsigned i = 0; i < s.frame_count; i++) {
                if (s.frames[i].id == 3)
                        end_of_now = i;
                if (i > 0 && s.frames[i].id == s.frames[i - 1].id)
                        assert_false(others_follow(&s, i));
        }
        assert_true(end_of_now < 6);
        street_close(&s);
}

/* Bodies of requests are mixed as answers are; each handler gets its own. */
static void bodies_are_told_apart(void **state) {
        struct street s;

        street_open(&s);
        street_feed(&s, "1 POST /echo\n2 POST /echo-late\n1 + ab\n2 + wxyz\n");
        street_feed(&s, "2 .\n1 + c\n");
        expect_body(&s, 2, "zzzz");
        assert_false(s.over[1]);
        street_feed(&s, "3 GET /now\n1 .\n");
        expect_body(&s, 1, "ccc");
        expect_body(&s, 3, "hello");
        street_close(&s);
}

/* Where HTTP/1 has to end the connection, the others here do not notice. */
static void a_failure_is_one_exchanges_own(void **state) {
        struct street s;

        invariant_set_fatal(false);
        street_open(&s);
        street_feed(&s, "1 GET /big\n2 GET /fails-midway\n3 GET /short\n4 GET /twice\n"
                        "5 GET /fails-at-once\n6 GET /file\n");
        expect_generated(&s, 1, SAMPLE_BIG_BYTES);
        expect_generated(&s, 6, SAMPLE_FILE_BYTES);
        assert_int_equal(s.errors[2], -EIO);
        assert_int_equal(s.errors[3], -EBADMSG);
        assert_int_equal(s.errors[4], -EBADMSG);
        assert_int_equal(s.errors[5], -ENXIO);
        assert_int_equal(s.bodies[2].used, 2);
        street_close(&s);
        invariant_set_fatal(true);
}

/* The end of a connection ends all of its exchanges, at any point. */
static void all_end_with_their_connection(void **state) {
        struct street s;

        street_open(&s);
        street_feed(&s, "1 GET /mute\n2 POST /echo\n3 GET /mute\n");
        assert_int_equal(s.lanes.session.open, 3);
        s.lanes.session.protocol->feed_end(&s.lanes.session);
        street_run(&s);
        assert_false(s.closed);
        street_close(&s);
}

/* The body of an HTTP/1 answer with a known length: what is behind the empty line. */
static struct text body_of_answer(struct buffer *out) {
        for (size_t i = 0; i + 4 <= out->used; i++)
                if (memcmp(out->data + i, "\r\n\r\n", 4) == 0)
                        return (struct text){ out->data + i + 4, out->used - i - 4 };
        return (struct text){};
}

/* The proof in one line: over both carriers each handler gives the same bytes. */
static void both_carriers_give_the_same(void **state) {
        static const char *const paths[] = { "/now",    "/nothing",      "/later",
                                             "/pieces", "/big",          "/file",
                                             "/mixed",  "/refuse-later", "/unknown" };
        struct street s;
        struct wire w;

        for (size_t i = 0; i < ELEMENTS(paths); i++) {
                struct buffer request = {};

                street_open(&s);
                buffer_printf(&request, "1 GET %s\n", paths[i]);
                street_feed(&s, request.data);
                buffer_finish(&request);
                wire_open(&w);
                buffer_printf(&request, "GET %s HTTP/1.1\r\nHost: a\r\n\r\n", paths[i]);
                wire_feed(&w, buffer_text(&request));
                buffer_finish(&request);
                assert_true(text_equal(body_of_answer(&w.out), buffer_text(&s.bodies[1])));
                wire_close(&w);
                street_close(&s);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(exchanges_run_side_by_side),
                cmocka_unit_test(pieces_take_turns),
                cmocka_unit_test(bodies_are_told_apart),
                cmocka_unit_test(a_failure_is_one_exchanges_own),
                cmocka_unit_test(all_end_with_their_connection),
                cmocka_unit_test(both_carriers_give_the_same),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
