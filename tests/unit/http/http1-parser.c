/* SPDX-License-Identifier: MIT */
#include "heads.h"

#include <stdio.h>

struct case_ {
        const char *why;
        struct text head;
        int outcome;
};

#define ROW(why, head, outcome) \
        { why, { head, sizeof(head) - 1 }, outcome }
#define H "GET / HTTP/1.1\r\nHost: a\r\n"
#define P "POST / HTTP/1.1\r\nHost: a\r\n"

static struct http_request request;

static void check(const struct case_ *cases, size_t count) {
        for (size_t i = 0; i < count; i++) {
                int outcome = parse_text(cases[i].head, &request);

                if (outcome != cases[i].outcome)
                        fail_msg("%s: %d, not %d", cases[i].why, outcome, cases[i].outcome);
        }
}

/* Two servers that frame a request differently let a client smuggle one past the first. */
static void ambiguous_framing_is_refused(void **state) {
        static const struct case_ cases[] = {
                ROW("both", P "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
                ROW("both, other order",
                    P "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n", 400),
                ROW("two lengths", P "Content-Length: 4\r\nContent-Length: 5\r\n\r\n", 400),
                ROW("two equal lengths", P "Content-Length: 4\r\nContent-Length: 4\r\n\r\n", 400),
                ROW("a list of lengths", P "Content-Length: 4, 4\r\n\r\n", 400),
                ROW("no length", P "Content-Length:\r\n\r\n", 400),
                ROW("signed", P "Content-Length: +4\r\n\r\n", 400),
                ROW("negative", P "Content-Length: -4\r\n\r\n", 400),
                ROW("hexadecimal", P "Content-Length: 0x4\r\n\r\n", 400),
                ROW("with space inside", P "Content-Length: 4 4\r\n\r\n", 400),
                ROW("with a fraction", P "Content-Length: 4.0\r\n\r\n", 400),
                ROW("2^64", P "Content-Length: 18446744073709551616\r\n\r\n", 400),
                ROW("2^63", P "Content-Length: 9223372036854775808\r\n\r\n", 400),
                ROW("2^63 - 1", P "Content-Length: 9223372036854775807\r\n\r\n", 0),
                ROW("chunked in HTTP/1.0", "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
                    400),
                ROW("chunked twice", P "Transfer-Encoding: chunked, chunked\r\n\r\n", 400),
                ROW("chunked in two lines",
                    P "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
                ROW("chunked not last", P "Transfer-Encoding: chunked, gzip\r\n\r\n", 400),
                ROW("chunked, then identity",
                    P "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n", 400),
                ROW("no end that can be told", P "Transfer-Encoding: gzip\r\n\r\n", 400),
                ROW("identity", P "Transfer-Encoding: identity\r\n\r\n", 400),
                ROW("none", P "Transfer-Encoding:\r\n\r\n", 400),
                ROW("commas only", P "Transfer-Encoding: ,\r\n\r\n", 400),
                ROW("almost chunked", P "Transfer-Encoding: xchunked\r\n\r\n", 400),
                ROW("with a parameter", P "Transfer-Encoding: chunked;a=b\r\n\r\n", 400),
                ROW("quoted", P "Transfer-Encoding: \"chunked\"\r\n\r\n", 400),
                ROW("vertical tab", P "Transfer-Encoding: \vchunked\r\n\r\n", 400),
                ROW("unknown below chunked", P "Transfer-Encoding: gzip, chunked\r\n\r\n", 501),
                ROW("chunked", P "Transfer-Encoding: chunked\r\n\r\n", 0),
                ROW("CHUNKED", P "transfer-ENCODING: \t CHUNKED \r\n\r\n", 0),
        };

        check(cases, ELEMENTS(cases));
}

/* Whoever reads a broken line otherwise than we do sees other fields: nothing is repaired. */
static void malformed_fields_are_refused(void **state) {
        static const struct case_ cases[] = {
                ROW("space before the colon", H "A : b\r\n\r\n", 400),
                ROW("tab before the colon", H "Content-Length\t: 4\r\n\r\n", 400),
                ROW("folded", H "A: b\r\n c\r\n\r\n", 400),
                ROW("folded with a tab", H "A: b\r\n\tc: d\r\n\r\n", 400),
                ROW("folded before the first field", "GET / HTTP/1.1\r\n Host: a\r\n\r\n", 400),
                ROW("no name", H ": b\r\n\r\n", 400),
                ROW("no colon", H "Abcdefghijklmnopqrstuvwxyz\r\n\r\n", 400),
                ROW("a name with a slash", H "a/b: c\r\n\r\n", 400),
                ROW("a name with a NUL", H "a\0b: c\r\n\r\n", 400),
                ROW("a name past ASCII", H "a\xc3\xa9: c\r\n\r\n", 400),
                ROW("bare CR in a value", H "A: b\rc\r\n\r\n", 400),
                ROW("CR CR LF", H "A: b\r\r\n\r\n", 400),
                ROW("NUL in a value", H "A: b\0c\r\n\r\n", 400),
                ROW("a control in a value",
                    H "A: b\x01"
                      "c\r\n\r\n",
                    400),
                ROW("DEL in a value", H "A: b\x7f\r\n\r\n", 400),
                ROW("a lone LF behind a field", H "A: b\n\r\n", 400),
                ROW("a lone LF as the last line", H "A: b\r\n\n", 400),
                ROW("a lone LF behind the request line", "GET / HTTP/1.1\nHost: a\r\n\r\n", 400),
                ROW("CR before the last CRLF", H "\r\r\n", 400),
                ROW("a tab in a value", H "A: b\tc\r\n\r\n", 0),
                ROW("a value past ASCII", H "A: \xc3\xa9\xff\r\n\r\n", 0),
                ROW("an empty value", H "A:\r\n\r\n", 0),
                ROW("a value of white space", H "A: \t \r\n\r\n", 0),
                ROW("all of a token", H "!#$%&'*+-.^_`|~09azAZ: c\r\n\r\n", 0),
        };

        check(cases, ELEMENTS(cases));
}

/* Who is asked for must be beyond doubt: a cache and a router that differ poison each other. */
static void hosts_are_one_and_valid(void **state) {
#define HOST(value) "GET / HTTP/1.1\r\nHost: " value "\r\n\r\n"
        static const struct case_ cases[] = {
                ROW("none", "GET / HTTP/1.1\r\n\r\n", 400),
                ROW("none in HTTP/1.0", "GET / HTTP/1.0\r\n\r\n", 0),
                ROW("two", H "Host: b\r\n\r\n", 400),
                ROW("two equal", H "host: a\r\n\r\n", 400),
                ROW("two in HTTP/1.0", "GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n", 400),
                ROW("user information", HOST("me@example.org"), 400),
                ROW("a space", HOST("a b"), 400),
                ROW("two in one", HOST("a, b"), 400),
                ROW("a slash", HOST("a/b"), 400),
                ROW("port with a letter", HOST("a:8o"), 400),
                ROW("port past 16 bits", HOST("a:65536"), 400),
                ROW("port with a sign", HOST("a:+1"), 400),
                ROW("long port", HOST("a:000080"), 400),
                ROW("two ports", HOST("a:1:2"), 400),
                ROW("port alone", HOST(":80"), 400),
                ROW("bracket left open", HOST("[::1"), 400),
                ROW("nothing in brackets", HOST("[]"), 400),
                ROW("a name in brackets", HOST("[example]"), 400),
                ROW("text behind the bracket", HOST("[::1]a"), 400),
                ROW("address without brackets", HOST("::1"), 400),
                ROW("a broken escape", HOST("a%2"), 400),
                ROW("a quoted name", HOST("\"a\""), 400),
                ROW("past ASCII", HOST("\xc3\xa9"), 400),
                ROW("in the target, invalid here", "GET http://b/ HTTP/1.1\r\nHost: a b\r\n\r\n",
                    400),
                ROW("empty", HOST(""), 0),
                ROW("port 65535", HOST("a:65535"), 0),
                ROW("an empty port", HOST("a:"), 0),
                ROW("IPv6 with a port", HOST("[2001:db8::1]:80"), 0),
                ROW("escape", HOST("a%20b"), 0),
                ROW("underscore", HOST("a_b.example-1.org."), 0),
        };

        check(cases, ELEMENTS(cases));
        assert_int_equal(parse_text(TEXT(HOST("[2001:db8::1]:80")), &request), 0);
        assert_span(&request, request.host, "[2001:db8::1]");
        assert_int_equal(parse_text(TEXT(HOST("example.org:8080")), &request), 0);
        assert_span(&request, request.host, "example.org");
        assert_int_equal(parse_text(TEXT(HOST("")), &request), 0);
        assert_span(&request, request.host, "");
}

/* The first line says what is asked; anything that is not one of its forms may be an attack. */
static void malformed_request_lines_are_refused(void **state) {
#define LINE(line) line "\r\nHost: a\r\n\r\n"
        static const struct case_ cases[] = {
                ROW("no version", LINE("GET /"), 400),
                ROW("no target", LINE("GET HTTP/1.1"), 400),
                ROW("two spaces", LINE("GET  / HTTP/1.1"), 400),
                ROW("two spaces behind the target", LINE("GET /  HTTP/1.1"), 400),
                ROW("a tab", LINE("GET\t/ HTTP/1.1"), 400),
                ROW("a space at the end", LINE("GET / HTTP/1.1 "), 400),
                ROW("a space at the start", LINE(" GET / HTTP/1.1"), 400),
                ROW("small letters", LINE("GET / http/1.1"), 400),
                ROW("no minor", LINE("GET / HTTP/1"), 400),
                ROW("no digit", LINE("GET / HTTP/1.x"), 400),
                ROW("two digits", LINE("GET / HTTP/1.10"), 400),
                ROW("two digits before", LINE("GET / HTTP/11.1"), 400),
                ROW("HTTP/2.0", LINE("GET / HTTP/2.0"), 505),
                ROW("HTTP/0.9", LINE("GET / HTTP/0.9"), 505),
                ROW("HTTP/1.9 is served as 1.1", LINE("GET / HTTP/1.9"), 0),
                ROW("method with a bracket", LINE("GE[T / HTTP/1.1"), 400),
                ROW("method past ASCII", LINE("G\xc3\xa9T / HTTP/1.1"), 400),
                ROW("unknown method", LINE("BREW / HTTP/1.1"), 0),
                ROW("method of 32 bytes", LINE("ABCDEFGHIJKLMNOPQRSTUVWXYZ012345 / HTTP/1.1"), 0),
                ROW("method of 33 bytes", LINE("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456 / HTTP/1.1"),
                    501),
                ROW("TLS", "\x16\x03\x01\x02", 400),
                ROW("binary", "\x00", 400),
                ROW("a lone LF first", "\n" LINE("GET / HTTP/1.1"), 400),
                ROW("two empty lines first", "\r\n\r\n" LINE("GET / HTTP/1.1"), 0),
                ROW("three empty lines first", "\r\n\r\n\r\n" LINE("GET / HTTP/1.1"), 400),
                ROW("a CR first", "\rGET / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
                ROW("half a head", "GET / HTTP/1.1\r\nHost: a\r\n", HTTP1_MORE),
                ROW("nothing", "", HTTP1_MORE),
        };

        check(cases, ELEMENTS(cases));
}

/* RFC 9112, 3.2: each form belongs to its methods; what is not plain ASCII came from no browser. */
static void targets_have_the_forms_of_their_methods(void **state) {
        static const struct case_ cases[] = {
                ROW("relative", LINE("GET index.html HTTP/1.1"), 400),
                ROW("asterisk for GET", LINE("GET * HTTP/1.1"), 400),
                ROW("asterisk and more", LINE("OPTIONS *a HTTP/1.1"), 400),
                ROW("asterisk and query", LINE("OPTIONS *?a HTTP/1.1"), 400),
                ROW("asterisk", LINE("OPTIONS * HTTP/1.1"), 0),
                ROW("authority for GET", LINE("GET a:80 HTTP/1.1"), 400),
                ROW("origin for CONNECT", LINE("CONNECT / HTTP/1.1"), 400),
                ROW("no port for CONNECT", LINE("CONNECT a HTTP/1.1"), 400),
                ROW("empty port for CONNECT", LINE("CONNECT a: HTTP/1.1"), 400),
                ROW("query for CONNECT", LINE("CONNECT a:80?b HTTP/1.1"), 400),
                ROW("CONNECT", LINE("CONNECT a:80 HTTP/1.1"), 0),
                ROW("another scheme", LINE("GET ftp://a/ HTTP/1.1"), 400),
                ROW("no host", LINE("GET http:///a HTTP/1.1"), 400),
                ROW("nothing behind the scheme", LINE("GET http:// HTTP/1.1"), 400),
                ROW("a query for a host", LINE("GET http://?a HTTP/1.1"), 400),
                ROW("user information", LINE("GET http://me@a/ HTTP/1.1"), 400),
                ROW("a bad port", LINE("GET http://a:b/ HTTP/1.1"), 400),
                ROW("a fragment", LINE("GET /a#b HTTP/1.1"), 400),
                ROW("a fragment in the query", LINE("GET /?a#b HTTP/1.1"), 400),
                ROW("a control", LINE("GET /a\x01 HTTP/1.1"), 400),
                ROW("a NUL", LINE("GET /a\0b HTTP/1.1"), 400),
                ROW("a CR", LINE("GET /a\rb HTTP/1.1"), 400),
                ROW("DEL", LINE("GET /a\x7f HTTP/1.1"), 400),
                ROW("past ASCII", LINE("GET /\xc3\xa9 HTTP/1.1"), 400),
                ROW("past ASCII in the query", LINE("GET /?\xff HTTP/1.1"), 400),
        };

        check(cases, ELEMENTS(cases));
}

/* The parts of a target are what handlers route and look up by. */
static void targets_are_taken_apart(void **state) {
        static const struct {
                const char *line, *path, *query, *host;
        } rows[] = {
                { "GET /a/b?c=d?e", "/a/b", "c=d?e", "a" },
                { "GET /?", "/", "", "a" },
                { "GET /0123456789abcdef0123456789?x", "/0123456789abcdef0123456789", "x", "a" },
                { "GET http://Example.org:80/p?q", "/p", "q", "Example.org" },
                { "GET HTTPS://[::1]?q/r", "/", "q/r", "[::1]" },
                { "GET http://b", "/", "", "b" },
                { "GET http://b?c/d@e", "/", "c/d@e", "b" },
                { "OPTIONS *", "*", "", "a" },
                { "CONNECT b:443", "", "", "b" },
        };
        char head[128];

        for (size_t i = 0; i < ELEMENTS(rows); i++) {
                snprintf(head, sizeof(head), "%s HTTP/1.1\r\nHost: a\r\n\r\n", rows[i].line);
                assert_int_equal(parse_text(text_of(head), &request), 0);
                assert_span(&request, request.path, rows[i].path);
                assert_span(&request, request.query, rows[i].query);
                assert_span(&request, request.host, rows[i].host);
                assert_int_equal(request.wants_tls, strncmp(rows[i].line, "GET HTTPS:", 10) == 0);
        }
}

/* Whole heads of clients that exist, with every field where it belongs. */
static void a_browsers_head_is_read_whole(void **state) {
        static const char head[] = "POST /form?x=1 HTTP/1.1\r\n"
                                   "Host: example.org\r\n"
                                   "Connection: keep-alive\r\n"
                                   "sec-ch-ua: \"Chromium\";v=\"118\", \"Not=A?Brand\";v=\"99\"\r\n"
                                   "Upgrade-Insecure-Requests: 1\r\n"
                                   "User-Agent: Mozilla/5.0 (X11; Linux x86_64)  \r\n"
                                   "Accept:text/html\r\n"
                                   "Accept-Encoding: gzip, deflate, br\r\n"
                                   "If-None-Match: \"a\"\r\n"
                                   "Content-Length: 12\r\n\r\nrest";

        assert_int_equal(parse_text(TEXT(head), &request), 0);
        assert_int_equal(request.head_bytes, sizeof(head) - 1 - 4);
        assert_int_equal(request.method, HTTP_POST);
        assert_span(&request, request.method_name, "POST");
        assert_span(&request, request.target, "/form?x=1");
        assert_int_equal(request.body_kind, HTTP_BODY_LENGTH);
        assert_int_equal(request.body_bytes, 12);
        assert_int_equal(request.field_count, 9);
        assert_true(request.keep_alive);
        assert_true(text_equal(http_request_field(&request, HTTP_USER_AGENT),
                               TEXT("Mozilla/5.0 (X11; Linux x86_64)")));
        assert_true(text_equal(http_request_field(&request, HTTP_ACCEPT), TEXT("text/html")));
        assert_true(text_equal(http_request_field(&request, HTTP_IF_NONE_MATCH), TEXT("\"a\"")));
        assert_null(http_request_field(&request, HTTP_RANGE).data);
        assert_int_equal(request.fields[2].id, HTTP_FIELD_OTHER);
        assert_span(&request, request.fields[2].name, "sec-ch-ua");
}

/* Every method that has a number must get it, and only in capitals (RFC 9110, 9.1). */
static void methods_are_known_by_name(void **state) {
        static const struct {
                const char *name;
                int method;
        } rows[] = {
                { "GET", HTTP_GET },          { "HEAD", HTTP_HEAD },
                { "POST", HTTP_POST },        { "PUT", HTTP_PUT },
                { "DELETE", HTTP_DELETE },    { "OPTIONS", HTTP_OPTIONS },
                { "TRACE", HTTP_TRACE },      { "PATCH", HTTP_PATCH },
                { "get", HTTP_METHOD_OTHER }, { "GETS", HTTP_METHOD_OTHER },
        };
        char head[64];

        for (size_t i = 0; i < ELEMENTS(rows); i++) {
                snprintf(head, sizeof(head), "%s / HTTP/1.1\r\nHost: a\r\n\r\n", rows[i].name);
                assert_int_equal(parse_text(text_of(head), &request), 0);
                assert_int_equal(request.method, rows[i].method);
        }
}

/* RFC 9112, 9.3: close wins, HTTP/1.0 must ask; a wrong answer breaks or holds connections. */
static void persistence_is_what_the_client_asked_for(void **state) {
        static const struct {
                const char *version, *fields;
                bool keep_alive;
        } rows[] = {
                { "1.1", "", true },
                { "1.1", "Connection: close\r\n", false },
                { "1.1", "Connection: upgrade , CLOSE\r\n", false },
                { "1.1", "Connection: keep-alive\r\nConnection: close\r\n", false },
                { "1.1", "Connection: closed\r\n", true },
                { "1.0", "", false },
                { "1.0", "Connection: Keep-Alive\r\n", true },
                { "1.0", "Connection: close, keep-alive\r\n", false },
                { "1.0", "Connection: x\r\nConnection: ,keep-alive,\r\n", true },
        };
        char head[128];

        for (size_t i = 0; i < ELEMENTS(rows); i++) {
                snprintf(head, sizeof(head), "GET / HTTP/%s\r\nHost: a\r\n%s\r\n", rows[i].version,
                         rows[i].fields);
                assert_int_equal(parse_text(text_of(head), &request), 0);
                assert_int_equal(request.keep_alive, rows[i].keep_alive);
        }
}

/* A client that waits for 100 must get it; HTTP/1.0 must not (RFC 9110, 10.1.1). */
static void expectations_are_told_apart(void **state) {
        assert_int_equal(parse_text(TEXT(P "Expect: 100-Continue\r\n\r\n"), &request), 0);
        assert_true(request.expects_continue && !request.expects_other);
        assert_int_equal(parse_text(TEXT(P "Expect: 100-continue, x\r\n\r\n"), &request), 0);
        assert_true(request.expects_continue && request.expects_other);
        assert_int_equal(
                parse_text(TEXT("POST / HTTP/1.0\r\nExpect: 100-continue\r\n\r\n"), &request), 0);
        assert_true(!request.expects_continue && !request.expects_other);
        assert_int_equal(parse_text(TEXT(H "\r\n"), &request), 0);
        assert_true(!request.expects_continue && !request.expects_other);
}

/* Nothing waits for a body of no bytes. */
static void a_length_of_zero_is_no_body(void **state) {
        assert_int_equal(parse_text(TEXT(P "Content-Length: 0\r\n\r\n"), &request), 0);
        assert_int_equal(request.body_kind, HTTP_BODY_NONE);
        assert_int_equal(parse_text(TEXT(P "Transfer-Encoding: chunked\r\n\r\n"), &request), 0);
        assert_int_equal(request.body_kind, HTTP_BODY_CHUNKED);
        assert_int_equal(parse_text(TEXT(H "\r\n"), &request), 0);
        assert_int_equal(request.body_kind, HTTP_BODY_NONE);
}

/* A request line of the limit passes, one byte more does not, and no end is waited for. */
static void request_lines_are_bounded(void **state) {
        static char head[HTTP_LINE_BYTES_MAX + 64];
        size_t fixed = strlen("GET / HTTP/1.1\r\n");

        for (size_t over = 0; over <= 1; over++) {
                size_t fill = HTTP_LINE_BYTES_MAX - fixed + over;

                memset(head, 'a', sizeof(head));
                memcpy(head, "GET /", 5);
                strcpy(head + 5 + fill, " HTTP/1.1\r\nHost: a\r\n\r\n");
                assert_int_equal(parse_every_way(text_of(head), TEST_HEAD_BYTES_MAX, &request),
                                 over ? HTTP1_LINE_TOO_LONG : HTTP1_DONE);
        }
        memset(head, 'a', sizeof(head));
        assert_int_equal(parse_text((struct text){ head, HTTP_LINE_BYTES_MAX - 1 }, &request),
                         HTTP1_MORE);
        assert_int_equal(parse_text((struct text){ head, HTTP_LINE_BYTES_MAX }, &request),
                         HTTP1_LINE_TOO_LONG);
        assert_int_equal(parse_every_way((struct text){ head, 100 }, 100, &request),
                         HTTP1_LINE_TOO_LONG);
}

/* The head's limit holds to the byte, whether the rest has come or not. */
static void heads_are_bounded_in_bytes(void **state) {
        struct text head = TEXT(H "A: 0123456789\r\n\r\nbody");
        size_t size = head.size - 4;

        assert_int_equal(parse_every_way(head, size, &request), HTTP1_DONE);
        assert_int_equal(parse_every_way(head, size - 1, &request), HTTP1_HEAD_TOO_LARGE);
        assert_int_equal(parse_every_way(head, size - 2, &request), HTTP1_HEAD_TOO_LARGE);
        assert_int_equal(parse_every_way(head, size - 5, &request), HTTP1_HEAD_TOO_LARGE);
        head.size = 30;
        assert_int_equal(parse_every_way(head, 31, &request), HTTP1_MORE);
        assert_int_equal(parse_every_way(head, 30, &request), HTTP1_HEAD_TOO_LARGE);
}

/* The array of fields has so many places and no more. */
static void fields_are_bounded_in_number(void **state) {
        char head[4096] = "GET / HTTP/1.1\r\nHost: a\r\n";

        for (int i = 1; i < HTTP_FIELDS_MAX; i++)
                strcat(head, "A: b\r\n");
        strcat(head, "\r\n");
        assert_int_equal(parse_text(text_of(head), &request), HTTP1_DONE);
        assert_int_equal(request.field_count, HTTP_FIELDS_MAX);
        strcpy(head + strlen(head) - 2, "A: b\r\n\r\n");
        assert_int_equal(parse_text(text_of(head), &request), HTTP1_HEAD_TOO_LARGE);
}

/* A reload may lower the limit below what has been looked at already. */
static void a_limit_may_shrink_between_calls(void **state) {
        struct http1_parser parser = {};
        char head[] = "GET /0123456789";

        assert_int_equal(http1_parse_head(&parser, head, 15, 100, &request), HTTP1_MORE);
        assert_int_equal(http1_parse_head(&parser, head, 15, 10, &request), HTTP1_HEAD_TOO_LARGE);
        /* the same between two lines, where nothing was looked at in vain */
        parser = (struct http1_parser){};
        assert_int_equal(http1_parse_head(&parser, H, 25, 100, &request), HTTP1_MORE);
        assert_int_equal(http1_parse_head(&parser, H "\r\n", 27, 10, &request),
                         HTTP1_HEAD_TOO_LARGE);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(ambiguous_framing_is_refused),
                cmocka_unit_test(malformed_fields_are_refused),
                cmocka_unit_test(hosts_are_one_and_valid),
                cmocka_unit_test(malformed_request_lines_are_refused),
                cmocka_unit_test(targets_have_the_forms_of_their_methods),
                cmocka_unit_test(targets_are_taken_apart),
                cmocka_unit_test(a_browsers_head_is_read_whole),
                cmocka_unit_test(methods_are_known_by_name),
                cmocka_unit_test(persistence_is_what_the_client_asked_for),
                cmocka_unit_test(expectations_are_told_apart),
                cmocka_unit_test(a_length_of_zero_is_no_body),
                cmocka_unit_test(request_lines_are_bounded),
                cmocka_unit_test(heads_are_bounded_in_bytes),
                cmocka_unit_test(fields_are_bounded_in_number),
                cmocka_unit_test(a_limit_may_shrink_between_calls),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
