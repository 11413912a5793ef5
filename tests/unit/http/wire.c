/* SPDX-License-Identifier: MIT */
#include "wire.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

/* more would be a loop without end: no conversation of these tests needs as many */
enum { WIRE_STEPS_MAX = 100 * 1000 };

static struct wire *wire_of(struct http_session *s) {
        return container_of(container_of(s, struct http1_session, session), struct wire, http);
}

static void wire_route(struct http_session *s, struct exchange *x) {
        samples_route(&wire_of(s)->samples, x);
}

static void wire_finished(struct http_session *s, struct exchange *x) {
        buffer_printf(&wire_of(s)->log, "%.*s %.*s %u %llu;",
                      TEXT_ARGS(http_span_text(&x->request, x->request.method_name)),
                      TEXT_ARGS(http_span_text(&x->request, x->request.target)), x->status,
                      (unsigned long long)x->sent_bytes);
}

static void wire_changed(struct http_session *s) {
        struct wire *w = wire_of(s);

        assert_false(w->in_session);
        w->changes++;
        if (w->at_once)
                wire_run(w);
}

static uint64_t wire_real_usec(void) {
        return UINT64_C(784111777) * USEC_PER_SEC;
}

void wire_open(struct wire *w) {
        memset(w, 0, sizeof(*w));
        w->now_usec = 1000;
        http_context_init(&w->context, &w->now_usec);
        w->context.real_usec = wire_real_usec;
        w->context.route = wire_route;
        w->context.finished = wire_finished;
        samples_init(&w->samples);
        http1_session_init(&w->http, &w->context, wire_changed);
}

void wire_close(struct wire *w) {
        struct http_session *s = &w->http.session;

        w->in_session = true;
        s->protocol->finish(s, -ECONNRESET);
        assert_int_equal(s->open, 0);
        assert_null(w->http.input.data);
        samples_finish(&w->samples);
        http_context_finish(&w->context);
        buffer_finish(&w->out);
        buffer_finish(&w->log);
}

static void wire_take(struct wire *w, const struct http_output *output) {
        assert_true(output->count <= HTTP_OUTPUT_PARTS_MAX);
        for (unsigned i = 0; i < output->count; i++) {
                assert_true(output->parts[i].iov_len > 0);
                assert_int_equal(
                        buffer_append(&w->out, output->parts[i].iov_base, output->parts[i].iov_len),
                        0);
        }
        if (output->file_bytes) {
                assert_int_equal(buffer_reserve(&w->out, output->file_bytes), 0);
                assert_int_equal(pread(output->file, w->out.data + w->out.used, output->file_bytes,
                                       (off_t)output->file_offset),
                                 output->file_bytes);
                w->out.used += output->file_bytes;
        }
        w->outputs++;
}

static void wire_tell_sent(struct wire *w) {
        w->in_session = true;
        w->http.session.protocol->sent(&w->http.session);
        w->in_session = false;
        w->unsent = false;
}

/* One step; false: there is nothing to do. */
static bool wire_step(struct wire *w) {
        struct http_session *s = &w->http.session;
        struct http_output output;
        int r;

        w->in_session = true;
        r = s->protocol->output(s, &output);
        w->in_session = false;
        switch (r) {
        case HTTP_OUTPUT_SEND:
                wire_take(w, &output);
                w->unsent = true;
                if (w->hold_sent)
                        return false;
                wire_tell_sent(w);
                return true;
        case HTTP_OUTPUT_NONE:
                w->yields += s->yielding;
                return s->yielding || (!w->hold && samples_go_on(&w->samples));
        case HTTP_OUTPUT_SHUT:
                assert_false(w->shut);
                w->shut = true;
                return true;
        case HTTP_OUTPUT_CLOSE: w->end = WIRE_CLOSE; return false;
        case HTTP_OUTPUT_LINGER: w->end = WIRE_LINGER; return false;
        default:
                w->end = WIRE_BROKEN;
                w->error = r;
                return false;
        }
}

void wire_run(struct wire *w) {
        unsigned steps = 0;

        while (w->end == WIRE_OPEN && !w->unsent && wire_step(w))
                assert_true(++steps < WIRE_STEPS_MAX);
        assert_false(w->out.failed);
}

void wire_sent(struct wire *w) {
        assert_true(w->unsent);
        w->hold_sent = false;
        wire_tell_sent(w);
        wire_run(w);
}

void wire_feed_only(struct wire *w, struct text data) {
        struct http_session *s = &w->http.session;
        char *lent = text_dup(data); /* the sanitizer sees who keeps a pointer to it */

        w->in_session = true;
        assert_int_equal(s->protocol->feed(s, (struct text){ lent, data.size }), 0);
        w->in_session = false;
        free(lent);
}

void wire_feed(struct wire *w, struct text data) {
        if (w->end != WIRE_OPEN)
                return;
        wire_feed_only(w, data);
        wire_run(w);
}

void wire_feed_end(struct wire *w) {
        struct http_session *s = &w->http.session;

        w->in_session = true;
        assert_int_equal(s->protocol->feed_end(s), 0);
        w->in_session = false;
        wire_run(w);
}

bool wire_time_out(struct wire *w) {
        struct http_session *s = &w->http.session;
        bool told;

        w->in_session = true;
        told = s->protocol->time_out(s);
        w->in_session = false;
        if (told)
                wire_run(w);
        return told;
}

static void expand(struct buffer *b, struct wire *w, const char *expected) {
        static const char common[] = "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\nServer: emberd\r\n";

        while (*expected) {
                size_t plain = strcspn(expected, "$");

                buffer_append(b, expected, plain);
                expected += plain;
                if (strncmp(expected, "$OK", 3) == 0) {
                        buffer_printf(b, "HTTP/1.1 200 OK\r\n%s", common);
                        expected += 3;
                } else if (strncmp(expected, "$HEAD", 5) == 0) {
                        buffer_append_text(b, text_of(common));
                        expected += 5;
                } else if (*expected) {
                        char *end;
                        unsigned long n = strtoul(expected + 1, &end, 10);

                        assert_true(*end == ':');
                        buffer_append(b, w->samples.big, n);
                        expected = end + 1;
                }
        }
}

void wire_expect(struct wire *w, const char *expected) {
        struct buffer b = {};

        expand(&b, w, expected);
        buffer_append(&b, "", 1);
        buffer_append(&w->out, "", 1);
        if (b.used < 4096)
                assert_string_equal(w->out.data, b.data);
        assert_int_equal(w->out.used, b.used);
        assert_memory_equal(w->out.data, b.data, b.used);
        buffer_finish(&b);
        w->out.used = 0;
}
