/* SPDX-License-Identifier: MIT */
#include "peer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "http/fields.h"

/*
 * What a header block makes for a request. A handler that looks at it is put before the samples, so
 * that tests see the request as handlers do.
 */

static struct {
        struct exchange copy;
        char head[64 * 1024];
        unsigned count;
} seen;

static void look(struct exchange *x) {
        assert_true(x->request.head_bytes <= sizeof(seen.head));
        seen.copy.request = x->request;
        memcpy(seen.head, x->request.head, x->request.head_bytes);
        seen.copy.request.head = seen.head;
        seen.count++;
        exchange_answer(x, 204, (struct text){}, 0);
}

static const struct exchange_handler looking = { .name = "looking", .start = look };

static void look_route(struct http_session *s, struct exchange *x) {
        x->handler = &looking;
}

static struct peer *peer_that_looks(void) {
        struct peer *p = peer_new();

        p->context.route = look_route;
        seen.count = 0;
        return p;
}

static void assert_span(struct http_span span, const char *expected) {
        struct text t = http_span_text(&seen.copy.request, span);

        assert_int_equal(t.size, strlen(expected));
        assert_memory_equal(t.data, expected, t.size);
}

/* The request is what HTTP/1 would have made of the same; only its version tells. */
static void request_is_that_of_http1(void **state) {
        struct peer *p = peer_that_looks();
        const struct http_request *r = &seen.copy.request;

        peer_headers(p, 1,
                     ":scheme: http\n:path: /a%20b/c?d=e&f\n:method: PUT\n"
                     ":authority: Example.ORG:8080\n"
                     "user-agent: test\nif-none-match: \"a\"\nif-none-match: \"b\"\n"
                     "x-empty:\ncontent-length: 3\nte: trailers\n",
                     0);
        peer_data(p, 1, "abc", 3, true);
        peer_go(p);
        assert_int_equal(seen.count, 1);
        assert_int_equal(r->version_major, 2);
        assert_int_equal(r->version_minor, 0);
        assert_int_equal(r->method, HTTP_PUT);
        assert_span(r->method_name, "PUT");
        assert_span(r->target, "/a%20b/c?d=e&f");
        assert_span(r->path, "/a%20b/c");
        assert_span(r->query, "d=e&f");
        assert_span(r->host, "Example.ORG");
        assert_int_equal(r->body_kind, HTTP_BODY_LENGTH);
        assert_int_equal(r->body_bytes, 3);
        assert_true(r->repeated & 1u << HTTP_IF_NONE_MATCH);
        assert_int_equal(r->field_count, 7);
        assert_span(r->fields[r->first[HTTP_HOST] - 1].value, "Example.ORG:8080");
        assert_span(r->fields[r->first[HTTP_USER_AGENT] - 1].value, "test");
        assert_false(r->wants_tls);
        peer_free(p);
}

/* What kind of body follows, HTTP/2 says by END_STREAM. */
static void kinds_of_bodies(void **state) {
        static const struct {
                const char *fields;
                bool ends;
                uint8_t kind;
        } all[] = {
                { "GET /", true, HTTP_BODY_NONE },
                { "POST /\ncontent-length: 0", true, HTTP_BODY_NONE },
                { "POST /\ncontent-length: 0", false, HTTP_BODY_NONE },
                { "POST /", false, HTTP_BODY_CHUNKED },
                { "POST /\ncontent-length: 9", false, HTTP_BODY_LENGTH },
        };
        struct peer *p = peer_that_looks();

        for (unsigned i = 0; i < ELEMENTS(all); i++) {
                peer_headers(p, 2 * i + 1, all[i].fields,
                             all[i].ends ? NGHTTP2_FLAG_END_STREAM : 0);
                peer_go(p);
                assert_int_equal(seen.count, i + 1);
                assert_int_equal(seen.copy.request.body_kind, all[i].kind);
        }
        peer_free(p);
}

/* Host is of use where there is no :authority, and must not contradict it. */
static void host_and_authority(void **state) {
        static const struct {
                const char *fields, *host; /* NULL: refused */
                unsigned hosts;
        } all[] = {
                { ":authority: a.example\n", "a.example", 1 },
                { "host: b.example\n", "b.example", 1 },
                { ":authority: a.example\nhost: a.example\n", "a.example", 1 },
                { ":authority: a.example\nhost: A.Example\n", "a.example", 1 },
                { ":authority: a.example:80\nx-a: 1\nhost: a.example:80\n", "a.example", 1 },
                { ":authority: a.example\nhost: b.example\n", NULL, 0 },
                { ":authority: a.example\nhost: a.example:80\n", NULL, 0 },
                { ":authority: u@a.example\n", NULL, 0 },
                { ":authority: a.example:99999\n", NULL, 0 },
                { ":authority: a.example:x\n", NULL, 0 },
                { ":authority: [::1]:80\n", "[::1]", 1 },
                { ":authority: [::1\n", NULL, 0 },
                { ":authority: a/b\n", NULL, 0 },
        };
        struct peer *p = peer_that_looks();

        for (unsigned i = 0; i < ELEMENTS(all); i++) {
                char fields[300];

                seen.count = 0;
                snprintf(fields, sizeof(fields), ":method: GET\n:scheme: http\n:path: /\n%s",
                         all[i].fields);
                peer_headers(p, 2 * i + 1, fields, NGHTTP2_FLAG_END_STREAM);
                peer_go(p);
                assert_int_equal(seen.count, all[i].host ? 1 : 0);
                if (all[i].host)
                        assert_span(seen.copy.request.host, all[i].host);
                else if (!peer_stream(p, 2 * i + 1)->reset)
                        assert_int_equal(peer_stream(p, 2 * i + 1)->status, 400);
        }
        peer_free(p);
}

/* RFC 9113, 8.2.3: handlers must not have to join crumbs. */
static void cookies_are_joined(void **state) {
        static const struct {
                const char *fields, *cookie;
                unsigned count;
        } all[] = {
                { "cookie: a=1\n", "a=1", 2 },
                { "cookie: a=1\ncookie: b=2\ncookie: c=3\n", "a=1; b=2; c=3", 2 },
                { "cookie: a=1\nx-y: 1\ncookie: b=2\n", "a=1; b=2", 3 },
                { "x-x: 0\ncookie: a=1\nx-y: 1\ncookie: b=2\nx-z: 2\ncookie: c=3\ncookie: d=4\n",
                  "a=1; b=2; c=3; d=4", 5 },
        };
        struct peer *p = peer_that_looks();

        for (unsigned i = 0; i < ELEMENTS(all); i++) {
                const struct http_request *r = &seen.copy.request;
                char fields[300];
                unsigned found = 0;

                snprintf(fields, sizeof(fields), "GET /\n%s", all[i].fields);
                peer_headers(p, 2 * i + 1, fields, NGHTTP2_FLAG_END_STREAM);
                peer_go(p);
                assert_int_equal(r->field_count, all[i].count);
                for (unsigned f = 0; f < r->field_count; f++)
                        if (text_equal(http_span_text(r, r->fields[f].name), TEXT("cookie"))) {
                                assert_span(r->fields[f].value, all[i].cookie);
                                found++;
                        }
                assert_int_equal(found, 1);
        }
        peer_free(p);
}

/* Thousands of crumbs cost no more than their bytes. */
static void cookies_in_crumbs(void **state) {
        struct peer *p = peer_that_looks();
        struct buffer fields = {};

        buffer_append(&fields, "GET /\n", 6);
        for (unsigned i = 0; i < 2000; i++)
                buffer_append(&fields, "cookie: a\n", 10);
        buffer_append(&fields, "", 1);
        peer_headers(p, 1, fields.data, NGHTTP2_FLAG_END_STREAM);
        peer_go(p);
        assert_int_equal(seen.count, 1);
        assert_int_equal(seen.copy.request.fields[1].value.size, 2000 + 2 * 1999);
        buffer_finish(&fields);
        peer_free(p);
}

#define REST ":scheme: http\n:path: /\n:authority: a\n"

/* What is no request is refused as in HTTP/1, or its stream is reset (RFC 9113, 8.1.1). */
static void what_is_no_request(void **state) {
        static const struct {
                const char *fields;
                unsigned status; /* 0: reset with PROTOCOL_ERROR */
        } all[] = {
                { ":method: GET\n:path: /\n:authority: a\n", 0 },      /* no scheme */
                { ":method: GET\n:scheme: http\n:authority: a\n", 0 }, /* no path */
                { REST, 0 },                                           /* no method */
                { ":method: GET\n:scheme: http\n:path: /\n", 0 },      /* no host */
                { ":method: GET\n:method: GET\n" REST, 0 },
                { ":method: GET\n" REST ":path: /b\n", 0 },
                { ":method: GET\nx-a: b\n" REST, 0 }, /* pseudo behind */
                { ":method: GET\n" REST ":status: 200\n", 0 },
                { ":method: GET\n" REST ":unknown: 1\n", 0 },
                { ":method: GET\n" REST "X-Upper: 1\n", 0 },
                { ":method: GET\n" REST "x y: 1\n", 0 },
                { ":method: GET\n" REST "x-a: b\rc\n", 0 },
                { ":method: GET\n" REST "x-a: b\x01\n", 0 },
                { ":method: GET\n" REST "x-a:  leading\n", 0 },
                { ":method: GET\n" REST "x-a: trailing \n", 0 },
                { ":method: GET\n" REST "connection: close\n", 0 },
                { ":method: GET\n" REST "keep-alive: 1\n", 0 },
                { ":method: GET\n" REST "proxy-connection: close\n", 0 },
                { ":method: GET\n" REST "transfer-encoding: chunked\n", 0 },
                { ":method: GET\n" REST "upgrade: h2c\n", 0 },
                { ":method: GET\n" REST "te: gzip\n", 0 },
                { ":method: GET\n" REST "content-length: 1\n", 0 }, /* but none comes */
                { ":method: GET\n" REST "content-length: x\n", 0 },
                { ":method: GET\n" REST "content-length: 1\ncontent-length: 1\n", 0 },
                { ":method: G T\n" REST, 0 },
                { ":method: GET\n:scheme: http\n:path: \n:authority: a\n", 0 },
                { ":method: GET\n:scheme: http\n:path: a\n:authority: a\n", 0 },
                { ":method: GET\n:scheme: http\n:path: /a b\n:authority: a\n", 0 },
                { ":method: GET\n:scheme: http\n:path: *\n:authority: a\n", 0 },
                { ":method: GET\n:scheme: http\n:path: http://b/\n:authority: a\n", 0 },
                { ":method: CONNECT\n" REST, 0 },
                { ":method: CONNECT\n:protocol: websocket\n" REST, 0 },
                { ":method: CONNECT\n:authority: a\n", 400 }, /* no port */
                { ":method: GET\n:scheme: ftp\n:path: /\n:authority: a\n", 400 },
                { ":method: GET\n:scheme: http\n:path: /#a\n:authority: a\n", 400 },
                { ":method: AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n" REST, 501 },
        };
        struct peer *p = peer_that_looks();

        for (unsigned i = 0; i < ELEMENTS(all); i++) {
                struct peer_stream *s = peer_stream(p, 2 * i + 1);

                peer_headers(p, 2 * i + 1, all[i].fields, NGHTTP2_FLAG_END_STREAM);
                peer_go(p);
                if (p->end != PEER_OPEN || seen.count || s->reset != !all[i].status ||
                    s->status != all[i].status)
                        print_error("%u: %s", i, all[i].fields);
                assert_int_equal(p->end, PEER_OPEN);
                assert_int_equal(seen.count, 0);
                assert_int_equal(s->status, all[i].status);
                assert_int_equal(s->reset, !all[i].status);
                if (s->reset)
                        assert_int_equal(s->code, NGHTTP2_PROTOCOL_ERROR);
        }
        assert_int_equal(p->session->open, 0);
        peer_free(p);
}

static void append_big_field(struct buffer *b, unsigned size) {
        buffer_printf(b, "x-big: ");
        for (unsigned i = 0; i < size; i++)
                buffer_append(b, "b", 1);
        buffer_append(b, "\n", 1);
}

/* HeadBytesMax and the number of fields hold as in HTTP/1, and the connection goes on. */
static void heads_too_large(void **state) {
        static const struct {
                unsigned fields, bytes, status;
        } all[] = {
                { 1, 3000, 204 }, { 1, 16000, 204 }, { 1, 17000, 431 }, { 5, 4000, 431 },
                { 99, 1, 204 },   { 100, 1, 431 },   { 1500, 1, 431 },  { 20, 60000, 431 },
        };

        for (unsigned i = 0; i < ELEMENTS(all); i++) {
                struct peer *p = peer_that_looks();
                struct buffer b = {};

                buffer_printf(&b, "GET /\n");
                for (unsigned f = 0; f < all[i].fields && b.used < 120000; f++)
                        append_big_field(&b, all[i].bytes);
                buffer_append(&b, "", 1);
                peer_headers(p, 1, b.data, NGHTTP2_FLAG_END_STREAM);
                peer_go(p);
                assert_int_equal(peer_stream(p, 1)->status, all[i].status);
                assert_int_equal(seen.count, all[i].status == 204);
                peer_get(p, 3, "/");
                peer_go(p);
                assert_int_equal(peer_stream(p, 3)->status, 204);
                buffer_finish(&b);
                peer_free(p);
        }
}

/* … as does that of a request line. */
static void target_too_long(void **state) {
        struct peer *p = peer_that_looks();
        static char fields[20000];

        for (unsigned i = 0; i < 3; i++) {
                static const unsigned sizes[] = { 8000, 8200, 17000 };
                struct buffer b = { .data = NULL };

                buffer_printf(&b, ":method: GET\n:scheme: http\n:authority: a\n:path: /");
                memset(fields, 'a', sizes[i]);
                buffer_append(&b, fields, sizes[i]);
                buffer_append(&b, "", 1);
                peer_headers(p, 2 * i + 1, b.data, NGHTTP2_FLAG_END_STREAM);
                peer_go(p);
                assert_int_equal(peer_stream(p, 2 * i + 1)->status, i ? 414 : 204);
                buffer_finish(&b);
        }
        peer_free(p);
}

/* A small limit is a limit, too. */
static void head_bytes_max(void **state) {
        struct peer *p = peer_that_looks();

        p->context.limits.head_bytes_max = 200;
        peer_headers(p, 1, "GET /\nx-a: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
                     NGHTTP2_FLAG_END_STREAM);
        peer_headers(p, 3,
                     "GET /\nx-a: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
                     "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
                     "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
                     NGHTTP2_FLAG_END_STREAM);
        peer_headers(p, 5,
                     "GET /\nx-a: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\n"
                     "cookie: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\nx-b: c\n"
                     "cookie: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
                     NGHTTP2_FLAG_END_STREAM);
        peer_go(p);
        assert_int_equal(peer_stream(p, 1)->status, 204);
        assert_int_equal(peer_stream(p, 3)->status, 431);
        assert_int_equal(peer_stream(p, 5)->status, 431);
        peer_free(p);
}

/* A block that is not whole is a head that is not whole: it has its time, and then no more. */
static void block_that_never_ends(void **state) {
        struct peer *p = peer_that_looks();

        peer_headers(p, 1, "GET /", NGHTTP2_FLAG_END_STREAM);
        p->out.data[4] = NGHTTP2_FLAG_END_STREAM; /* no END_HEADERS */
        peer_go(p);
        assert_int_equal(p->session->phase, HTTP_PHASE_HEAD);
        assert_int_equal(p->session->protocol->time_out(p->session), HTTP_TIME_OUT_ANSWERED);
        peer_run(p);
        assert_true(peer_was_hung_up_on(p, NGHTTP2_NO_ERROR));
        peer_free(p);

        p = peer_that_looks();
        peer_feed(p, TEXT("\0")); /* a frame's head */
        assert_int_equal(p->session->phase, HTTP_PHASE_HEAD);
        peer_free(p);
}

/* Nothing but the block's own CONTINUATION may come inside of a block (RFC 9113, 4.3). */
static void block_is_interrupted(void **state) {
        struct peer *p = peer_that_looks();

        peer_headers(p, 1, "GET /", NGHTTP2_FLAG_END_STREAM);
        p->out.data[4] = NGHTTP2_FLAG_END_STREAM;
        peer_ping(p, "12345678", false);
        peer_go(p);
        assert_true(peer_was_hung_up_on(p, NGHTTP2_PROTOCOL_ERROR));
        assert_int_equal(seen.count, 0);
        peer_free(p);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(request_is_that_of_http1), cmocka_unit_test(kinds_of_bodies),
                cmocka_unit_test(host_and_authority),       cmocka_unit_test(cookies_are_joined),
                cmocka_unit_test(cookies_in_crumbs),        cmocka_unit_test(what_is_no_request),
                cmocka_unit_test(heads_too_large),          cmocka_unit_test(target_too_long),
                cmocka_unit_test(head_bytes_max),           cmocka_unit_test(block_that_never_ends),
                cmocka_unit_test(block_is_interrupted),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
