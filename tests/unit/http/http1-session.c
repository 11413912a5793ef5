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

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(whole_requests_are_answered),
                cmocka_unit_test(requests_may_come_byte_by_byte),
                cmocka_unit_test(requests_may_be_cut_anywhere),
                cmocka_unit_test(half_closed_clients_are_answered),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
