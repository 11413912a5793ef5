/* SPDX-License-Identifier: MIT */
#include "http/session.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/invariant.h"
#include "wire.h"

#define GET(path)   "GET " path " HTTP/1.1\r\nHost: a\r\n\r\n"
#define OK(length)  "$OKContent-Length: " length "\r\n"
#define HELLO       OK("5") "Etag: \"1\"\r\n\r\nhello"
#define HELLO_CLOSE "$OKConnection: close\r\nContent-Length: 5\r\nEtag: \"1\"\r\n\r\nhello"
#define REFUSED(line, fields, length)                                 \
        "HTTP/1.1 " line "\r\n$HEAD" fields "Content-Length: " length \
        "\r\nContent-Type: text/html\r\n"
#define PAGE(line) "<!DOCTYPE html>\n<title>" line "</title>\n<h1>" line "</h1>\n"
#define CLOSE      "Connection: close\r\n"

/* What a client sends, and what it must get whatever the pieces in which its bytes come. */
struct talk {
        const char *in, *out;
        enum wire_end end;
        const char *log;
};

static const struct talk talks[] = {
        // clang-format off
        /* small answers, one behind another */
        { GET("/now"), HELLO, WIRE_OPEN, "GET /now 200 5;" },
        { GET("/now") GET("/nothing") GET("/now"), HELLO OK("0") "\r\n" HELLO, WIRE_OPEN,
          "GET /now 200 5;GET /nothing 200 0;GET /now 200 5;" },
        { "\r\n" GET("/now") "\r\n\r\n" GET("/now"), HELLO HELLO, WIRE_OPEN,
          "GET /now 200 5;GET /now 200 5;" },
        /* answers that come later, and in pieces, keep the order of the requests */
        { GET("/later") GET("/now"), OK("5") "\r\nhello" HELLO, WIRE_OPEN,
          "GET /later 200 5;GET /now 200 5;" },
        { GET("/pieces") GET("/now"), OK("6") "\r\nabcdef" HELLO, WIRE_OPEN,
          "GET /pieces 200 6;GET /now 200 5;" },
        { GET("/big") GET("/now"), OK("100000") "\r\n$100000:" HELLO, WIRE_OPEN,
          "GET /big 200 100000;GET /now 200 5;" },
        { GET("/file") GET("/now"), OK("50000") "\r\n$50000:" HELLO, WIRE_OPEN,
          "GET /file 200 50000;GET /now 200 5;" },
        { GET("/mixed") GET("/now"), OK("20003") "\r\nabc$10000:$10000:" HELLO, WIRE_OPEN,
          "GET /mixed 200 20003;GET /now 200 5;" },
        /* an unknown length: chunks, or the end of the connection for HTTP/1.0 */
        { GET("/stream") GET("/now"),
          "$OKTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2710\r\n$10000:\r\nbb8\r\n$3000:\r\n"
          "3\r\nxyz\r\n0\r\n\r\n" HELLO, WIRE_OPEN, "GET /stream 200 13006;GET /now 200 5;" },
        { GET("/stream-file") GET("/now"),
          "$OKTransfer-Encoding: chunked\r\n\r\n12c\r\n$300:\r\n0\r\n\r\n" HELLO, WIRE_OPEN,
          "GET /stream-file 200 300;GET /now 200 5;" },
        { GET("/stream-nothing") GET("/now"),
          "$OKTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" HELLO, WIRE_OPEN,
          "GET /stream-nothing 200 0;GET /now 200 5;" },
        { "GET /stream HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
          "$OK" CLOSE "\r\nabc$10000:$3000:xyz", WIRE_CLOSE, "GET /stream 200 13006;" },
        { "HEAD /stream HTTP/1.1\r\nHost: a\r\n\r\n" GET("/now"), "$OK\r\n" HELLO, WIRE_OPEN,
          "HEAD /stream 200 0;GET /now 200 5;" },
        /* answers without a body (RFC 9110, 8.6 and 9.3.2) */
        { "HEAD /now HTTP/1.1\r\nHost: a\r\n\r\n" GET("/now"),
          OK("5") "Etag: \"1\"\r\n\r\n" HELLO, WIRE_OPEN, "HEAD /now 200 0;GET /now 200 5;" },
        { "HEAD /refuse HTTP/1.1\r\nHost: a\r\n\r\n" GET("/now"),
          REFUSED("404 Not Found", "", "68") "X-Why: none\r\n\r\n" HELLO, WIRE_OPEN,
          "HEAD /refuse 404 0;GET /now 200 5;" },
        { GET("/no-content") GET("/now"), "HTTP/1.1 204 No Content\r\n$HEAD\r\n" HELLO, WIRE_OPEN,
          "GET /no-content 204 0;GET /now 200 5;" },
        { GET("/not-modified") GET("/now"),
          "HTTP/1.1 304 Not Modified\r\n$HEADEtag: \"1\"\r\n\r\n" HELLO, WIRE_OPEN,
          "GET /not-modified 304 0;GET /now 200 5;" },
        /* refusals of handlers keep the connection */
        { GET("/refuse") GET("/now"),
          REFUSED("404 Not Found", "", "68") "X-Why: none\r\n\r\n" PAGE("404 Not Found") HELLO,
          WIRE_OPEN, "GET /refuse 404 68;GET /now 200 5;" },
        { GET("/refuse-later") GET("/now"),
          REFUSED("503 Service Unavailable", "", "88") "\r\n" PAGE("503 Service Unavailable") HELLO,
          WIRE_OPEN, "GET /refuse-later 503 88;GET /now 200 5;" },
        /* who closes, and how (RFC 9112, 9.3 and 9.6) */
        { "GET /now HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", HELLO_CLOSE, WIRE_CLOSE,
          "GET /now 200 5;" },
        { "GET /now HTTP/1.0\r\n\r\n", HELLO_CLOSE, WIRE_CLOSE, "GET /now 200 5;" },
        { "GET /now HTTP/1.0\r\nConnection: keep-alive\r\n\r\n" GET("/now"),
          "$OKConnection: keep-alive\r\nContent-Length: 5\r\nEtag: \"1\"\r\n\r\nhello" HELLO,
          WIRE_OPEN, "GET /now 200 5;GET /now 200 5;" },
        /* bodies nobody wants are read and dropped */
        { "POST /now HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody" GET("/now"), HELLO HELLO,
          WIRE_OPEN, "POST /now 200 5;GET /now 200 5;" },
        { "POST /later HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody" GET("/now"),
          OK("5") "\r\nhello" HELLO, WIRE_OPEN, "POST /later 200 5;GET /now 200 5;" },
        { "POST /big HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
          "4\r\nbody\r\n0\r\nX: y\r\n\r\n" GET("/now"),
          OK("100000") "\r\n$100000:" HELLO, WIRE_OPEN, "POST /big 200 100000;GET /now 200 5;" },
        /* … and those that are wanted reach the handler */
        { "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody" GET("/now"),
          OK("4") "\r\nyyyy" HELLO, WIRE_OPEN, "POST /echo 200 4;GET /now 200 5;" },
        { "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
          "3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n" GET("/now"),
          OK("5") "\r\neeeee" HELLO, WIRE_OPEN, "POST /echo 200 5;GET /now 200 5;" },
        { "POST /echo-late HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody" GET("/now"),
          OK("4") "\r\nyyyy" HELLO, WIRE_OPEN, "POST /echo-late 200 4;GET /now 200 5;" },
        { "POST /early-echo HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody" GET("/now"),
          OK("4") "\r\nseen" HELLO, WIRE_OPEN, "POST /early-echo 200 4;GET /now 200 5;" },
        { GET("/echo") GET("/now"), OK("0") "\r\n" HELLO, WIRE_OPEN,
          "GET /echo 200 0;GET /now 200 5;" },
        { "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n" GET("/now"),
          OK("0") "\r\n" HELLO, WIRE_OPEN, "POST /echo 200 0;GET /now 200 5;" },
        /* bodies that break the rules: in the handler's place, and behind its answer */
        { "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n" GET("/now"),
          REFUSED("400 Bad Request", CLOSE, "72") "\r\n" PAGE("400 Bad Request"), WIRE_LINGER,
          "POST /echo 400 72;" },
        { "POST /now HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n" GET("/now"),
          HELLO, WIRE_LINGER, "POST /now 200 5;" },
        { "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n41\r\n"
          "0123456789012345678901234567890123456789012345678901234567890123X\r\n0\r\n\r\n",
          REFUSED("413 Content Too Large", CLOSE, "84") "\r\n" PAGE("413 Content Too Large"),
          WIRE_LINGER, "POST /echo 413 84;" },
        { "POST /now HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n41\r\n"
          "0123456789012345678901234567890123456789012345678901234567890123X\r\n0\r\n\r\n",
          HELLO, WIRE_LINGER, "POST /now 200 5;" },
        { "POST /now HTTP/1.1\r\nHost: a\r\nContent-Length: 65\r\n\r\n",
          REFUSED("413 Content Too Large", CLOSE, "84") "\r\n" PAGE("413 Content Too Large"),
          WIRE_LINGER, "POST /now 413 84;" },
        /* heads that break the rules */
        { GET("/now") "GET  HTTP/1.1\r\n\r\n" GET("/now"),
          HELLO REFUSED("400 Bad Request", CLOSE, "72") "\r\n" PAGE("400 Bad Request"), WIRE_LINGER,
          "GET /now 200 5;  400 72;" },
        { "GET / HTTP/2.0\r\n\r\n", REFUSED("505 HTTP Version Not Supported", CLOSE, "102") "\r\n"
          PAGE("505 HTTP Version Not Supported"), WIRE_LINGER, "  505 102;" },
        { "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
          REFUSED("501 Not Implemented", CLOSE, "80") "\r\n" PAGE("501 Not Implemented"),
          WIRE_LINGER, "  501 80;" },
        /* what the protocol answers itself */
        { "GET /now HTTP/1.1\r\nHost: a\r\nExpect: wonders\r\n\r\n" GET("/now"),
          REFUSED("417 Expectation Failed", "", "86") "\r\n" PAGE("417 Expectation Failed") HELLO,
          WIRE_OPEN, "GET /now 417 86;GET /now 200 5;" },
        /* nobody vouches that this came by TLS (RFC 9110, 7.4) */
        { "GET https://a/now HTTP/1.1\r\nHost: a\r\n\r\n" GET("/now"),
          REFUSED("421 Misdirected Request", "", "88") "\r\n" PAGE("421 Misdirected Request") HELLO,
          WIRE_OPEN, "GET https://a/now 421 88;GET /now 200 5;" },
        { "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n" "OPTIONS /now HTTP/1.1\r\nHost: a\r\n\r\n",
          "HTTP/1.1 204 No Content\r\n$HEAD" "Allow: GET, HEAD, OPTIONS\r\n\r\n" HELLO, WIRE_OPEN,
          "OPTIONS * 204 0;OPTIONS /now 200 5;" },
        { "TRACE /now HTTP/1.1\r\nHost: a\r\n\r\n" GET("/now"),
          REFUSED("501 Not Implemented", "", "80") "\r\n" PAGE("501 Not Implemented") HELLO,
          WIRE_OPEN, "TRACE /now 501 80;GET /now 200 5;" },
        { "CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n" GET("/now"),
          REFUSED("501 Not Implemented", CLOSE, "80") "\r\n" PAGE("501 Not Implemented"),
          WIRE_LINGER, "CONNECT a:1 501 80;" },
        // clang-format on
};

static void talk_check(struct wire *w, const struct talk *t) {
        const char *log;

        wire_expect(w, t->out);
        buffer_append(&w->log, "", 1);
        log = w->log.data;
        assert_string_equal(log, t->log);
        assert_int_equal(w->end, t->end);
        assert_int_equal(w->http.session.open, 0);
        if (t->end == WIRE_OPEN) {
                assert_int_equal(w->http.session.phase, HTTP_PHASE_IDLE);
                assert_true(w->http.session.wants_input);
                assert_null(w->http.chunk);
                assert_null(w->http.exchange);
                assert_null(w->http.input.data);
        }
}

static void talk_open(struct wire *w) {
        wire_open(w);
        w->context.limits.body_bytes_max = 64;
}

/* The answers are those of the table when all comes at once. */
static void whole_requests_are_answered(void **state) {
        struct wire w;

        for (size_t i = 0; i < ELEMENTS(talks); i++) {
                talk_open(&w);
                wire_feed(&w, text_of(talks[i].in));
                talk_check(&w, &talks[i]);
                wire_close(&w);
        }
}

/* A slow client may send one byte at a time; the answer must not depend on it. */
static void requests_may_come_byte_by_byte(void **state) {
        struct wire w;

        for (size_t i = 0; i < ELEMENTS(talks); i++) {
                talk_open(&w);
                for (const char *at = talks[i].in; *at; at++)
                        wire_feed(&w, (struct text){ at, 1 });
                talk_check(&w, &talks[i]);
                wire_close(&w);
        }
}

/* Each cut in two meets each state once, with more behind it than one byte. */
static void requests_may_be_cut_anywhere(void **state) {
        struct wire w;

        for (size_t i = 0; i < ELEMENTS(talks); i++) {
                struct text in = text_of(talks[i].in);

                for (size_t cut = 1; cut < in.size; cut++) {
                        talk_open(&w);
                        wire_feed(&w, (struct text){ in.data, cut });
                        wire_feed(&w, (struct text){ in.data + cut, in.size - cut });
                        talk_check(&w, &talks[i]);
                        wire_close(&w);
                }
        }
}

/* A connection may go on from inside a handler's call, up to the end of the exchange. */
static void answers_may_be_sent_from_inside_the_call(void **state) {
        struct wire w;

        for (size_t i = 0; i < ELEMENTS(talks); i++) {
                talk_open(&w);
                w.at_once = true;
                wire_feed(&w, text_of(talks[i].in));
                talk_check(&w, &talks[i]);
                wire_close(&w);
        }
}

/* A client that ends its side behind its requests still wants their answers (RFC 9112, 9.6). */
static void half_closed_clients_are_answered(void **state) {
        struct wire w;

        for (size_t i = 0; i < ELEMENTS(talks); i++) {
                struct talk t = talks[i];

                talk_open(&w);
                wire_feed_only(&w, text_of(t.in));
                wire_feed_end(&w);
                t.end = WIRE_CLOSE;
                talk_check(&w, &t);
                wire_close(&w);
        }
}

/* Pipelined requests for small files are one write of one part: that is what makes them cheap. */
static void small_answers_become_one_part(void **state) {
        struct buffer expected = {};
        struct http_output output;
        struct wire w;

        wire_open(&w);
        for (unsigned i = 0; i < 16; i++) {
                buffer_append_text(&expected, text_of(GET("/now")));
                assert_int_equal(expected.used, (i + 1) * strlen(GET("/now")));
        }
        wire_feed_only(&w, buffer_text(&expected));
        assert_int_equal(w.samples.finished, 16);
        assert_null(w.http.exchange);
        assert_null(w.http.input.data);
        assert_int_equal(w.http.session.protocol->output(&w.http.session, &output),
                         HTTP_OUTPUT_SEND);
        assert_int_equal(output.count, 1);
        assert_int_equal(output.file_bytes, 0);
        w.http.session.protocol->sent(&w.http.session);
        assert_null(w.http.chunk);
        buffer_finish(&expected);
        wire_close(&w);
}

static void many_requests(const char *request, const char *answer, unsigned count, size_t cut,
                          unsigned yields) {
        struct buffer in = {}, expected = {};
        struct wire w;

        wire_open(&w);
        for (unsigned i = 0; i < count; i++) {
                buffer_append_text(&in, text_of(request));
                buffer_append_text(&expected, text_of(answer));
        }
        buffer_append(&expected, "", 1);
        for (size_t at = 0; at < in.used; at += cut)
                wire_feed(&w, (struct text){ in.data + at, MIN(cut, in.used - at) });
        wire_expect(&w, expected.data);
        assert_int_equal(w.samples.finished, count);
        assert_int_equal(w.http.session.requests, count);
        assert_true(w.yields >= yields);
        assert_false(w.http.session.yielding);
        assert_int_equal(w.http.session.phase, HTTP_PHASE_IDLE);
        assert_null(w.http.input.data);
        buffer_finish(&in);
        buffer_finish(&expected);
        wire_close(&w);
}

/* A thousand requests in one write are answered in order, with turns for others between. */
static void a_thousand_requests_in_one_go(void **state) {
        many_requests(GET("/now"), HELLO, 1000, SIZE_MAX, 999 / HTTP_REQUESTS_MAX);
        many_requests(GET("/now"), HELLO, 1000, 1000, 0);
        many_requests(GET("/later"), OK("5") "\r\nhello", 1000, SIZE_MAX, 0);
        many_requests("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody",
                      OK("4") "\r\nyyyy", 1000, SIZE_MAX, 999 / HTTP_REQUESTS_MAX);
}

/* Answers that fill the chunk go on in the next: a piece at the edge must not be cut or lost. */
static void answers_may_exceed_the_chunk(void **state) {
        struct wire w;

        wire_open(&w);
        for (unsigned n = 1; n < 12; n++) {
                for (unsigned i = 0; i < n; i++)
                        wire_feed_only(&w, text_of(GET("/copied")));
                wire_run(&w);
                for (unsigned i = 0; i < n; i++) {
                        struct text head = TEXT("HTTP/1.1 200 OK\r\n");
                        size_t whole = w.out.used / n;

                        assert_memory_equal(w.out.data + i * whole, head.data, head.size);
                        assert_memory_equal(w.out.data + (i + 1) * whole - 4096, w.samples.big,
                                            4096);
                }
                w.out.used = 0;
        }
        wire_close(&w);
}

/* Fields longer than the chunk are sent from the handler's memory, in their place in the head. */
static void fields_may_exceed_the_chunk(void **state) {
        struct text wide;
        struct wire w;
        size_t at;

        wire_open(&w);
        wire_feed(&w, text_of(GET("/now") GET("/wide") GET("/now")));
        wide = (struct text){ w.samples.wide_fields, sizeof(w.samples.wide_fields) };
        for (at = 0; w.out.used - at > wide.size; at++)
                if (memcmp(w.out.data + at, wide.data, wide.size) == 0)
                        break;
        assert_true(w.out.used - at > wide.size);
        memmove(w.out.data + at, w.out.data + at + wide.size, w.out.used - at - wide.size);
        w.out.used -= wide.size;
        wire_expect(&w, HELLO OK("5") "\r\nhello" HELLO);
        wire_close(&w);
}

/* The client holds its body back until a handler wants it, and is told once (RFC 9110, 10.1.1). */
static void continue_is_sent_when_the_body_is_wanted(void **state) {
        static const char head[] = "POST /echo-late HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n"
                                   "Expect: 100-continue\r\n\r\n";
        struct wire w;

        wire_open(&w);
        w.hold = true;
        wire_feed(&w, text_of(head));
        wire_expect(&w, "");
        assert_int_equal(w.http.session.phase, HTTP_PHASE_ANSWER);
        assert_false(w.http.session.wants_input); /* back pressure: nobody wants the body yet */
        samples_go_on(&w.samples);
        assert_int_equal(w.changes, 1);
        assert_int_equal(w.http.session.phase, HTTP_PHASE_BODY);
        assert_true(w.http.session.wants_input);
        wire_run(&w);
        wire_expect(&w, "HTTP/1.1 100 Continue\r\n\r\n");
        wire_feed(&w, TEXT("bo"));
        wire_expect(&w, "");
        wire_feed(&w, TEXT("dy"));
        wire_expect(&w, OK("4") "\r\nyyyy");
        assert_int_equal(w.end, WIRE_OPEN);
        wire_close(&w);
}

/* Whose body has already come waits for nothing. */
static void continue_is_not_sent_behind_the_body(void **state) {
        struct wire w;

        wire_open(&w);
        wire_feed(&w, text_of("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n"
                              "Expect: 100-continue\r\n\r\nbo"));
        wire_expect(&w, "");
        wire_feed(&w, TEXT("dy"));
        wire_expect(&w, OK("4") "\r\nyyyy");
        wire_feed(&w, text_of("POST /now HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n"
                              "Expect: 100-continue\r\n\r\nbo"));
        wire_expect(&w, HELLO);
        wire_feed(&w, TEXT("dy" GET("/now")));
        wire_expect(&w, HELLO);
        wire_close(&w);
}

/*
 * A final answer without the body it holds back: whether the client sends it after all cannot be
 * known, so the connection ends (RFC 9110, 10.1.1).
 */
static void a_body_held_back_ends_the_connection(void **state) {
        struct wire w;

        wire_open(&w);
        wire_feed(&w, text_of("POST /now HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n"
                              "Expect: 100-continue\r\n\r\n"));
        wire_expect(&w, HELLO_CLOSE);
        assert_int_equal(w.end, WIRE_LINGER);
        wire_close(&w);
}

/* An answer goes out while the body is still coming: both directions move. */
static void a_body_may_be_read_while_answering(void **state) {
        struct wire w;

        wire_open(&w);
        wire_feed(&w, text_of("POST /early-echo HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n"
                              "Expect: 100-continue\r\n\r\n"));
        wire_expect(&w, "HTTP/1.1 100 Continue\r\n\r\n" OK("4") "\r\n");
        assert_int_equal(w.http.session.phase, HTTP_PHASE_BODY);
        w.hold_sent = true;
        wire_feed(&w, TEXT("bo"));
        wire_feed(&w, TEXT("dy"));
        wire_sent(&w);
        wire_expect(&w, "seen");
        wire_close(&w);
}

/* What cannot be begun yet is kept, and no more is taken: a client cannot fill our memory. */
static void requests_behind_one_under_way_are_kept(void **state) {
        struct wire w;

        wire_open(&w);
        w.hold = true;
        wire_feed(&w, text_of(GET("/later")));
        assert_int_equal(w.http.session.phase, HTTP_PHASE_ANSWER);
        assert_int_equal(w.http.session.open, 1);
        assert_true(w.http.session.wants_input);
        wire_feed(&w, text_of(GET("/now")));
        assert_false(w.http.session.wants_input);
        wire_expect(&w, "");
        w.hold = false;
        wire_run(&w);
        wire_expect(&w, OK("5") "\r\nhello" HELLO);
        assert_true(w.http.session.wants_input);
        assert_int_equal(w.http.session.phase, HTTP_PHASE_IDLE);
        wire_close(&w);
}

/* While an output is on its way its memory must stay as it is, whatever comes. */
static void nothing_is_written_while_sending(void **state) {
        struct wire w;

        wire_open(&w);
        w.hold_sent = true;
        wire_feed(&w, text_of(GET("/now")));
        wire_expect(&w, HELLO);
        assert_true(w.http.session.wants_input);
        wire_feed_only(&w, text_of(GET("/now") GET("/now")));
        assert_int_equal(w.samples.started, 1);
        assert_false(w.http.session.wants_input);
        wire_sent(&w);
        wire_expect(&w, HELLO HELLO);
        wire_close(&w);
}

/* The deadline of a head runs from its first byte; before that the connection is but idle. */
static void phases_follow_the_head(void **state) {
        struct wire w;

        wire_open(&w);
        assert_int_equal(w.http.session.phase, HTTP_PHASE_IDLE);
        assert_true(w.http.session.wants_input);
        wire_feed(&w, TEXT("G"));
        assert_int_equal(w.http.session.phase, HTTP_PHASE_HEAD);
        assert_true(w.http.session.wants_input);
        assert_int_equal(w.http.session.requests, 0);
        wire_feed(&w, TEXT("ET /now HTTP/1.1\r\nHost: a\r\n\r\nG"));
        assert_int_equal(w.http.session.phase, HTTP_PHASE_HEAD);
        assert_int_equal(w.http.session.requests, 1);
        wire_close(&w);
}

/* A head that is still partial holds no more memory than its limit and what came last. */
static void heads_are_bounded(void **state) {
        struct wire w;

        wire_open(&w);
        w.context.limits.head_bytes_max = 1000;
        wire_feed(&w, TEXT("GET / HTTP/1.1\r\nHost: a\r\nX: "));
        for (unsigned i = 0; i < 2000 && w.end == WIRE_OPEN; i++) {
                wire_feed(&w, TEXT("x"));
                assert_true(w.http.input.used <= 1001);
        }
        wire_expect(&w, REFUSED("431 Request Header Fields Too Large", CLOSE,
                                "112") "\r\n" PAGE("431 Request Header Fields Too Large"));
        assert_int_equal(w.end, WIRE_LINGER);
        wire_close(&w);
}

/* A head longer than an exchange has room for stays readable as long as the exchange lives. */
static void long_heads_are_kept(void **state) {
        struct buffer in = {};
        struct wire w;

        buffer_printf(&in, "GET /later HTTP/1.1\r\nHost: a\r\nX: ");
        while (in.used < 10000)
                buffer_printf(&in, "x");
        buffer_printf(&in, "\r\n\r\n");
        wire_open(&w);
        wire_feed(&w, buffer_text(&in));
        wire_expect(&w, OK("5") "\r\nhello");
        buffer_append(&w.log, "", 1);
        assert_string_equal(w.log.data, "GET /later 200 5;");
        buffer_finish(&in);
        wire_close(&w);
}

/* While draining, each answer says that it is the last, and the connection ends behind it. */
static void draining_closes_behind_the_answer(void **state) {
        struct wire w;

        wire_open(&w);
        w.context.draining = true;
        wire_feed(&w, text_of(GET("/now") GET("/now")));
        wire_expect(&w, HELLO_CLOSE);
        assert_int_equal(w.end, WIRE_LINGER);
        wire_close(&w);

        wire_open(&w);
        w.hold = true;
        wire_feed(&w, text_of(GET("/later")));
        w.http.session.close_soon = true;
        w.hold = false;
        wire_run(&w);
        wire_expect(&w, "$OK" CLOSE "Content-Length: 5\r\n\r\nhello");
        assert_int_equal(w.end, WIRE_LINGER);
        wire_close(&w);

        wire_open(&w);
        wire_feed(&w, text_of(GET("/now")));
        wire_expect(&w, HELLO);
        w.http.session.close_soon = true; /* the answer before could not say so */
        wire_run(&w);
        assert_int_equal(w.end, WIRE_LINGER);
        wire_close(&w);
}

struct breach {
        const char *path, *out;
        int error;
        bool is_ours; /* a bug of the handler */
};

static const struct breach breaches[] = {
        { "/fails-midway", OK("10") "\r\nab", -EIO, false },
        { "/fails-at-once", "", -ENXIO, false },
        { "/short", OK("10") "\r\n", -EBADMSG, true },
        { "/long", OK("1") "\r\n", -EBADMSG, true },
        { "/endless", "$OKTransfer-Encoding: chunked\r\n\r\n", -EBADMSG, true },
        { "/twice", "", -EBADMSG, true },
        { "/wants-twice", "", -EBADMSG, true },
};

/*
 * An answer that cannot be completed must not look complete: the connection breaks, behind the
 * answers before it, and what follows is not answered. Nor does a handler's bug end the process.
 */
static void failures_break_the_connection(void **state) {
        struct wire w;

        for (size_t i = 0; i < ELEMENTS(breaches); i++) {
                const struct breach *b = &breaches[i];
                struct buffer in = {}, out = {}, journal = {};

                invariant_set_fatal(!b->is_ours);
                wire_open(&w);
                buffer_printf(&in, GET("/now") "GET %s HTTP/1.1\r\nHost: a\r\n\r\n" GET("/now"),
                              b->path);
                wire_feed(&w, buffer_text(&in));
                buffer_printf(&out, HELLO "%s", b->out);
                wire_expect(&w, out.data);
                assert_int_equal(w.end, WIRE_BROKEN);
                assert_int_equal(w.error, b->error);
                assert_int_equal(w.http.session.open, 0);
                buffer_printf(&journal, "/now error=0;%s error=%d;", b->path, b->error);
                buffer_append(&w.samples.journal, "", 1);
                assert_string_equal(w.samples.journal.data, journal.data);
                buffer_finish(&in);
                buffer_finish(&out);
                buffer_finish(&journal);
                wire_close(&w);
        }
        invariant_set_fatal(true);
}

/* What a handler gave to be sent stays in use until it was sent, also when it fails meanwhile. */
static void failures_wait_for_what_is_being_sent(void **state) {
        struct wire w;

        wire_open(&w);
        w.hold_sent = true;
        wire_feed(&w, text_of(GET("/big")));
        assert_true(w.unsent);
        exchange_fail(w.http.exchange, -EIO);
        assert_int_equal(w.changes, 1);
        assert_int_equal(w.samples.finished, 0);
        wire_sent(&w);
        assert_int_equal(w.samples.finished, 1);
        assert_int_equal(w.end, WIRE_BROKEN);
        assert_int_equal(w.error, -EIO);
        wire_close(&w);
}

/* A connection may end at any moment; each handler learns it, with the reason. */
static void exchanges_end_with_their_connection(void **state) {
        struct wire w;

        wire_open(&w);
        w.hold = true;
        wire_feed(&w, text_of(GET("/later") GET("/now")));
        w.http.session.protocol->finish(&w.http.session, -ETIMEDOUT);
        buffer_append(&w.samples.journal, "", 1);
        assert_string_equal(w.samples.journal.data, "/later error=-110;");
        buffer_append(&w.log, "", 1);
        assert_string_equal(w.log.data, "GET /later 0 0;");
        wire_close(&w);
}

/* Each cut of a conversation, with the end of the connection there: nothing may be left behind. */
static void connections_may_end_anywhere(void **state) {
        struct wire w;

        for (size_t i = 0; i < ELEMENTS(talks); i++) {
                struct text in = text_of(talks[i].in);

                for (size_t cut = 1; cut < in.size; cut++) {
                        talk_open(&w);
                        wire_feed(&w, (struct text){ in.data, cut });
                        w.hold = true;
                        if (w.end == WIRE_OPEN)
                                wire_feed_only(&w, (struct text){ in.data + cut, in.size - cut });
                        wire_close(&w);
                }
        }
}

enum { RANDOM_RUNS = 3000, RANDOM_TALKS = 6 };

static unsigned random_below(uint64_t *seed, unsigned most) {
        *seed = *seed * UINT64_C(6364136223846793005) + 1442695040888963407u;
        return (unsigned)(*seed >> 33) % most;
}

/* One conversation in random pieces, while outputs and handlers take their time. */
static void random_run(struct wire *w, uint64_t *seed, struct text in) {
        size_t at = 0;

        while (at < in.size) {
                size_t n = 1 + random_below(seed, random_below(seed, 4) ? 40 : 2000);
                bool wanted = w->http.session.wants_input;

                n = MIN(n, in.size - at);
                w->hold = random_below(seed, 2);
                if (!w->unsent)
                        w->hold_sent = random_below(seed, 2);
                if (wanted || random_below(seed, 4) == 0) {
                        wire_feed(w, (struct text){ in.data + at, n });
                        at += n;
                }
                if (w->unsent && random_below(seed, 2))
                        wire_sent(w);
                else if (!w->hold)
                        wire_run(w);
                else if (!wanted)
                        samples_go_on(&w->samples);
        }
        w->hold = w->hold_sent = false;
        if (w->unsent)
                wire_sent(w);
        wire_run(w);
}

/* The same answers in the same order, whichever of reading, sending and handling is slow. */
static void any_order_of_events_gives_the_same(void **state) {
        for (uint64_t run = 0; run < RANDOM_RUNS; run++) {
                struct buffer in = {}, out = {};
                uint64_t seed = run;
                struct wire w;

                for (unsigned i = 0; i < RANDOM_TALKS; i++) {
                        const struct talk *t = &talks[random_below(&seed, ELEMENTS(talks))];

                        if (t->end != WIRE_OPEN)
                                continue;
                        buffer_append_text(&in, text_of(t->in));
                        buffer_append_text(&out, text_of(t->out));
                }
                buffer_append(&out, "", 1);
                talk_open(&w);
                random_run(&w, &seed, buffer_text(&in));
                wire_expect(&w, out.data);
                assert_int_equal(w.end, WIRE_OPEN);
                assert_int_equal(w.http.session.phase, HTTP_PHASE_IDLE);
                assert_null(w.http.chunk);
                wire_close(&w);
                buffer_finish(&in);
                buffer_finish(&out);
        }
}

/* A request that the peer's end cut off is not answered, and those before it are. */
static void half_requests_are_dropped(void **state) {
        struct wire w;

        wire_open(&w);
        wire_feed_only(&w, text_of(GET("/now") "GET /now HTT"));
        wire_feed_end(&w);
        wire_expect(&w, HELLO);
        assert_int_equal(w.end, WIRE_CLOSE);
        assert_int_equal(w.samples.started, 1);
        wire_close(&w);

        wire_open(&w);
        wire_feed_only(&w, text_of(GET("/now") "POST /echo HTTP/1.1\r\nHost: a\r\n"
                                               "Content-Length: 4\r\n\r\nbod"));
        wire_feed_end(&w);
        wire_expect(&w, HELLO);
        assert_int_equal(w.end, WIRE_BROKEN);
        assert_int_equal(w.error, -ECONNRESET);
        wire_close(&w);
}

/* A peer that ends its side while the handler is at work gets its answer, then the close. */
static void the_end_of_input_does_not_end_the_answer(void **state) {
        struct wire w;

        wire_open(&w);
        w.hold = true;
        wire_feed(&w, text_of(GET("/pieces")));
        wire_feed_end(&w);
        assert_int_equal(w.end, WIRE_OPEN);
        assert_false(w.http.session.wants_input);
        w.hold = false;
        wire_run(&w);
        wire_expect(&w, OK("6") "\r\nabcdef");
        assert_int_equal(w.end, WIRE_CLOSE);
        wire_close(&w);
}

#define TIMED_OUT REFUSED("408 Request Timeout", CLOSE, "80") "\r\n" PAGE("408 Request Timeout")

/*
 * RFC 9110, 15.5.9: who began a request and did not end it is told so, behind the answers before.
 */
static void a_request_that_takes_too_long_is_told_so(void **state) {
        static const char *const heads[] = { "G", GET("/now") "GET /now HTTP/1.1\r\nHo", "\r\n",
                                             "POST /echo HTTP/1.1\r\nHost: a\r\n"
                                             "Content-Length: 4\r\n\r\nbo" };
        struct wire w;

        for (size_t i = 0; i < ELEMENTS(heads); i++) {
                wire_open(&w);
                wire_feed(&w, text_of(heads[i]));
                assert_int_equal(w.end, WIRE_OPEN);
                assert_true(wire_time_out(&w));
                wire_expect(&w, i == 1 ? HELLO TIMED_OUT : TIMED_OUT);
                assert_int_equal(w.end, WIRE_LINGER);
                assert_int_equal(w.http.session.open, 0);
                assert_null(w.http.input.data);
                wire_close(&w);
        }
        wire_open(&w);
        wire_feed(&w, text_of(heads[3]));
        assert_true(wire_time_out(&w));
        buffer_append(&w.samples.journal, "", 1);
        assert_string_equal(w.samples.journal.data, "/echo error=-110;");
        wire_close(&w);
}

/* Who asked for nothing, or has an answer already, gets no other. */
static void silence_is_not_answered(void **state) {
        struct wire w;

        wire_open(&w);
        assert_false(wire_time_out(&w));
        wire_feed(&w, text_of(GET("/now")));
        assert_false(wire_time_out(&w));
        wire_feed(&w, text_of("POST /now HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbo"));
        assert_int_equal(w.http.session.phase, HTTP_PHASE_BODY);
        assert_false(wire_time_out(&w));
        wire_expect(&w, HELLO HELLO);
        wire_close(&w);
}

/* The Date is made once a second, at the second's edge: not for each answer, and never late. */
static void the_date_follows_the_clock(void **state) {
        struct wire w;

        wire_open(&w);
        w.context.limits.head_bytes_max = 1000;
        wire_feed(&w, text_of(GET("/now")));
        wire_expect(&w, HELLO);
        assert_int_equal(w.context.date_until_usec, 1000 + USEC_PER_SEC);
        w.now_usec = w.context.date_until_usec - 1;
        wire_feed(&w, text_of(GET("/now")));
        assert_int_equal(w.context.date_until_usec, 1000 + USEC_PER_SEC);
        w.now_usec++;
        wire_feed(&w, text_of(GET("/now")));
        assert_int_equal(w.context.date_until_usec, 1000 + 2 * USEC_PER_SEC);
        wire_close(&w);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(whole_requests_are_answered),
                cmocka_unit_test(requests_may_come_byte_by_byte),
                cmocka_unit_test(requests_may_be_cut_anywhere),
                cmocka_unit_test(answers_may_be_sent_from_inside_the_call),
                cmocka_unit_test(half_closed_clients_are_answered),
                cmocka_unit_test(small_answers_become_one_part),
                cmocka_unit_test(a_thousand_requests_in_one_go),
                cmocka_unit_test(answers_may_exceed_the_chunk),
                cmocka_unit_test(fields_may_exceed_the_chunk),
                cmocka_unit_test(continue_is_sent_when_the_body_is_wanted),
                cmocka_unit_test(continue_is_not_sent_behind_the_body),
                cmocka_unit_test(a_body_held_back_ends_the_connection),
                cmocka_unit_test(a_body_may_be_read_while_answering),
                cmocka_unit_test(requests_behind_one_under_way_are_kept),
                cmocka_unit_test(nothing_is_written_while_sending),
                cmocka_unit_test(phases_follow_the_head),
                cmocka_unit_test(heads_are_bounded),
                cmocka_unit_test(long_heads_are_kept),
                cmocka_unit_test(draining_closes_behind_the_answer),
                cmocka_unit_test(failures_break_the_connection),
                cmocka_unit_test(failures_wait_for_what_is_being_sent),
                cmocka_unit_test(exchanges_end_with_their_connection),
                cmocka_unit_test(connections_may_end_anywhere),
                cmocka_unit_test(any_order_of_events_gives_the_same),
                cmocka_unit_test(half_requests_are_dropped),
                cmocka_unit_test(the_end_of_input_does_not_end_the_answer),
                cmocka_unit_test(a_request_that_takes_too_long_is_told_so),
                cmocka_unit_test(silence_is_not_answered),
                cmocka_unit_test(the_date_follows_the_clock),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
