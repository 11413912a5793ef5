/* SPDX-License-Identifier: MIT */
#include "http/http1-parser.h"

#include "http/field-names.h"
#include "http/fields.h"
#include "http/scan.h"

/*
 * Line by line. A line is parsed at once, in the hope that it is whole, and each byte looked at
 * once: the end of a value is found by the same scan that checks its bytes. Where that fails, for
 * whatever reason, line_fault() looks whether the line has an end at all: if not, more is wanted,
 * and from then on only the new bytes are searched for the end before the line is parsed again. A
 * fault counts only once its line is whole, and lines are judged in order, so that the outcome does
 * not depend on how the head was cut. (The first byte of a request is the exception: what can begin
 * no method, as a TLS handshake, is refused on sight.)
 *
 * Strictness: where another server on the way may read the same bytes as other requests, nothing is
 * repaired. Lines end in CRLF only, although RFC 9112, 2.2 would allow a lone LF.
 */

enum { METHOD_BYTES_MAX = 32, EMPTY_LINES_MAX = 2 };

/* 0 to EMPTY_LINES_MAX: empty lines skipped, the request line is next. */
enum { PARSER_IN_FIELDS = EMPTY_LINES_MAX + 1 };

/* The head so far; by value, so that it stays in registers. */
struct input {
        const char *head, *end; /* `end` is at most where the head must end */
};

static inline struct http_span span_of(struct input in, const char *from, const char *to) {
        return (struct http_span){ (uint32_t)(from - in.head), (uint32_t)(to - from) };
}

/* Do the `size` bytes at `at` say `literal`? */
#define SAYS(in, at, literal)                                \
        ((size_t)((in).end - (at)) >= sizeof(literal) - 1 && \
         memcmp((at), (literal), sizeof(literal) - 1) == 0)

static enum http_method method_of(struct text name) {
        static const struct {
                char name[8];
                uint8_t method;
        } methods[] = {
                { "GET", HTTP_GET },         { "HEAD", HTTP_HEAD },     { "POST", HTTP_POST },
                { "PUT", HTTP_PUT },         { "DELETE", HTTP_DELETE }, { "CONNECT", HTTP_CONNECT },
                { "OPTIONS", HTTP_OPTIONS }, { "TRACE", HTTP_TRACE },   { "PATCH", HTTP_PATCH },
        };

        char padded[sizeof(methods[0].name)] = "";

        if (name.size >= sizeof(padded))
                return HTTP_METHOD_OTHER;
        memcpy(padded, name.data, name.size);
        for (size_t i = 0; i < ELEMENTS(methods); i++)
                if (memcmp(padded, methods[i].name, sizeof(padded)) == 0)
                        return methods[i].method;
        return HTTP_METHOD_OTHER;
}

/* The method and its space; `*at` is left behind them. */
static int parse_method(struct input in, const char **at, struct http_request *r) {
        const char *start = *at, *end;

        if (SAYS(in, start, "GET ")) {
                r->method = HTTP_GET;
                end = start + 3;
        } else {
                end = http_scan_class(start, in.end, HTTP_CHAR_TOKEN);
                if (end == start || end == in.end || *end != ' ')
                        return HTTP1_BAD;
                if (end - start > METHOD_BYTES_MAX)
                        return HTTP1_NOT_IMPLEMENTED;
                r->method = method_of((struct text){ start, (size_t)(end - start) });
        }
        r->method_name = span_of(in, start, end);
        *at = end + 1;
        return 0;
}

/* A host's name or address, from `at`; NULL where there is none that is valid. May be empty. */
static const char *host_end(struct input in, const char *at, const char *end) {
        const char *start = at;

        if (at < end && *at == '[') {
                at++;
                while (at < end && (http_char_is((unsigned char)*at, HTTP_CHAR_HEX) || *at == ':' ||
                                    *at == '.'))
                        at++;
                return at < end && *at == ']' && at - start > 2 ? at + 1 : NULL;
        }
        for (;;) {
                at = http_scan_host(in.head, at, end);
                if (at == end || *at != '%')
                        return at;
                if (end - at < 3 || !http_char_is((unsigned char)at[1], HTTP_CHAR_HEX) ||
                    !http_char_is((unsigned char)at[2], HTTP_CHAR_HEX))
                        return NULL;
                at += 3;
        }
}

/*
 * uri-host [ ":" port ], all of it (RFC 9110, 4.2.1 and 7.2). An empty port is allowed, an empty
 * host only where all is empty.
 */
static int parse_authority(struct input in, const char *at, const char *end, bool *ret_has_port,
                           struct http_span *ret_host) {
        const char *behind = host_end(in, at, end);
        unsigned port = 0;

        if (!behind)
                return HTTP1_BAD;
        *ret_host = span_of(in, at, behind);
        *ret_has_port = end - behind > 1;
        if (behind == end)
                return 0;
        if (*behind != ':' || behind == at || end - behind > 6)
                return HTTP1_BAD;
        for (at = behind + 1; at < end; at++) {
                if (!ascii_is_digit(*at))
                        return HTTP1_BAD;
                port = port * 10 + (unsigned)(*at - '0');
        }
        return port > UINT16_MAX ? HTTP1_BAD : 0;
}

/* http://HOST/PATH?QUERY; `end` is the end of the target, `question` its "?" or the end. */
static int parse_absolute(struct input in, const char *at, const char *question, const char *end,
                          struct http_request *r) {
        struct text target = { at, (size_t)(end - at) };
        struct text http = TEXT("http://"), https = TEXT("https://");
        const char *path;
        bool has_port;

        if (target.size > http.size && text_equal_nocase((struct text){ at, http.size }, http)) {
                at += http.size;
        } else if (target.size > https.size &&
                   text_equal_nocase((struct text){ at, https.size }, https)) {
                at += https.size;
                r->wants_tls = true;
        } else {
                return HTTP1_BAD;
        }
        path = at + text_find((struct text){ at, (size_t)(question - at) }, '/');
        if (parse_authority(in, at, path, &has_port, &r->host) || !r->host.size)
                return HTTP1_BAD;
        /* without a path it is "/" (RFC 9110, 4.2.3): the one before the host serves as its span */
        r->path = path < question ? span_of(in, path, question) : span_of(in, at - 1, at);
        return 0;
}

/* The target and its space (RFC 9112, 3.2); `*at` is left behind them. */
static int parse_target(struct input in, const char **at, struct http_request *r) {
        const char *start = *at;
        const char *question = http_scan_path(in.head, start, in.end), *end = question;
        bool has_port;

        if (end < in.end && *end == '?') {
                end = http_scan_query(in.head, end + 1, in.end);
                r->query = span_of(in, question + 1, end);
        } else
                r->query = (struct http_span){};
        if (end == start || end == in.end || *end != ' ')
                return HTTP1_BAD;
        r->target = span_of(in, start, end);
        r->host = (struct http_span){};
        r->wants_tls = false;
        *at = end + 1;
        if (unlikely(r->method == HTTP_CONNECT)) {
                r->path = (struct http_span){};
                if (question != end || parse_authority(in, start, end, &has_port, &r->host) ||
                    !has_port)
                        return HTTP1_BAD;
                return 0;
        }
        if (likely(*start == '/')) {
                r->path = span_of(in, start, question);
                return 0;
        }
        if (*start == '*') {
                r->path = r->target;
                return r->method == HTTP_OPTIONS && end - start == 1 ? 0 : HTTP1_BAD;
        }
        return parse_absolute(in, start, question, end, r);
}

/* HTTP-version and CRLF. */
static int parse_version(struct input in, const char **at, struct http_request *r) {
        const char *v = *at;

        r->version_major = 1;
        if (likely(SAYS(in, v, "HTTP/1.1\r\n"))) {
                r->version_minor = 1;
        } else {
                if (in.end - v < 10 || !SAYS(in, v, "HTTP/") || !ascii_is_digit(v[5]) ||
                    v[6] != '.' || !ascii_is_digit(v[7]) || v[8] != '\r' || v[9] != '\n')
                        return HTTP1_BAD;
                if (v[5] != '1')
                        return HTTP1_VERSION;
                r->version_minor =
                        v[7] > '0'; /* a higher minor is served as ours (RFC 9110, 2.5) */
        }
        *at = v + 10;
        return 0;
}

static int parse_request_line(struct input in, const char **at, struct http_request *r) {
        const char *start = *at;
        int outcome = parse_method(in, at, r);

        if (!outcome)
                outcome = parse_target(in, at, r);
        if (!outcome)
                outcome = parse_version(in, at, r);
        if (!outcome && *at - start > HTTP_LINE_BYTES_MAX)
                outcome = HTTP1_LINE_TOO_LONG;
        r->field_count = 0;
        r->repeated = 0;
        memset(r->first, 0, sizeof(r->first));
        return outcome;
}

/* The field line at `at`; gives where the next line begins, or NULL: malformed, or not whole. */
static inline const char *parse_field(const char *head, const char *at, const char *end,
                                      struct http_field *field) {
        const char *colon = http_scan_name(head, at, end), *value, *next;

        if (colon == at || colon == end || *colon != ':')
                return NULL; /* white space before the colon, and folded lines too */
        field->name = (struct http_span){ (uint32_t)(at - head), (uint32_t)(colon - at) };
        field->id = (uint8_t)http_field_id_find(at, (size_t)(colon - at));
        value = colon + 1;
        next = http_scan_value(head, value, end);
        if (end - next < 2 || memcmp(next, "\r\n", 2) != 0)
                return NULL;
        at = next + 2;
        /* of what a value may hold, only the white space is not above the space */
        while (value < next && (unsigned char)*value <= ' ')
                value++;
        while (value < next && (unsigned char)next[-1] <= ' ')
                next--;
        field->value = (struct http_span){ (uint32_t)(value - head), (uint32_t)(next - value) };
        return at;
}

/* All field lines that are whole and well-formed; gives where the first other line begins. */
static const char *parse_fields(const char *head, const char *at, const char *end,
                                struct http_request *r) {
        unsigned count = r->field_count;

        while (count < HTTP_FIELDS_MAX) {
                const char *next = parse_field(head, at, end, &r->fields[count]);
                unsigned id;

                if (!next)
                        break;
                at = next;
                id = r->fields[count++].id;
                if (!id)
                        continue;
                if (r->first[id])
                        r->repeated |= 1u << id;
                else
                        r->first[id] = (uint8_t)count;
        }
        r->field_count = (uint16_t)count;
        return at;
}

/* RFC 9112, 3.2: one and valid, though a host in the target has precedence. */
static int check_host(struct input in, struct http_request *r) {
        struct http_span host;
        struct text value;
        bool has_port;

        if (!r->first[HTTP_HOST])
                return r->version_minor ? HTTP1_BAD : 0;
        if (r->repeated & 1u << HTTP_HOST)
                return HTTP1_BAD; /* even if both say the same */
        value = http_request_field(r, HTTP_HOST);
        if (parse_authority(in, value.data, value.data + value.size, &has_port, &host))
                return HTTP1_BAD;
        if (!r->host.size)
                r->host = host;
        return 0;
}

/* RFC 9112, 6.1 and 6.3: what is not surely framed is refused. */
static int check_transfer_encoding(struct http_request *r) {
        bool is_chunked = false, is_known = true;
        struct text value, coding;
        unsigned at = 0;

        if (!r->version_minor || r->first[HTTP_CONTENT_LENGTH])
                return HTTP1_BAD;
        while (http_request_next(r, HTTP_TRANSFER_ENCODING, &at, &value))
                while (http_list_next(&value, &coding)) {
                        if (is_chunked)
                                return HTTP1_BAD; /* chunked must be the last, and once */
                        is_chunked = text_equal_nocase(coding, TEXT("chunked"));
                        is_known &= is_chunked;
                }
        if (!is_chunked)
                return HTTP1_BAD; /* it has no end that can be told */
        r->body_kind = HTTP_BODY_CHUNKED;
        return is_known ? 0 : HTTP1_NOT_IMPLEMENTED;
}

static int check_content_length(struct http_request *r) {
        uint64_t bytes;

        /* a second one is refused even if it says the same; past 2^63 files have no offsets */
        if (r->repeated & 1u << HTTP_CONTENT_LENGTH ||
            text_to_u64(http_request_field(r, HTTP_CONTENT_LENGTH), &bytes) || bytes > INT64_MAX)
                return HTTP1_BAD;
        r->body_bytes = bytes;
        r->body_kind = bytes ? HTTP_BODY_LENGTH : HTTP_BODY_NONE;
        return 0;
}

/* RFC 9112, 9.3 */
static void read_connection(struct http_request *r) {
        if (!(r->repeated & 1u << HTTP_CONNECTION) &&
            text_equal(http_request_field(r, HTTP_CONNECTION), TEXT("keep-alive")))
                r->keep_alive = true; /* what browsers send */
        else if (http_request_lists(r, HTTP_CONNECTION, TEXT("close")))
                r->keep_alive = false;
        else if (!r->version_minor)
                r->keep_alive = http_request_lists(r, HTTP_CONNECTION, TEXT("keep-alive"));
}

static void read_expect(struct http_request *r) {
        struct text value, expectation;
        unsigned at = 0;

        while (http_request_next(r, HTTP_EXPECT, &at, &value))
                while (http_list_next(&value, &expectation))
                        if (text_equal_nocase(expectation, TEXT("100-continue")))
                                r->expects_continue = true;
                        else
                                r->expects_other = true;
}

/*
 * RFC 9110, 7.8: only of HTTP/1.1, and only where Connection says so. The protocol that the client
 * likes best is taken; with a body the request would have to be read first, so it is none.
 */
static void read_upgrade(struct http_request *r) {
        struct text value = http_request_field(r, HTTP_UPGRADE), protocol;

        if (!r->version_minor || r->method != HTTP_GET || r->body_kind != HTTP_BODY_NONE ||
            !http_request_lists(r, HTTP_CONNECTION, TEXT("upgrade")) ||
            !http_list_next(&value, &protocol) || !http_is_protocol(protocol))
                return;
        r->protocol.offset = (uint32_t)(protocol.data - r->head);
        r->protocol.size = (uint32_t)protocol.size;
}

/* The empty line has been read: what the fields say together. */
static int finish_head(struct input in, struct http_request *r) {
        int outcome;

        r->head = in.head;
        r->body_kind = HTTP_BODY_NONE;
        r->body_bytes = 0;
        r->protocol = (struct http_span){};
        r->keep_alive = r->version_minor > 0;
        r->expects_continue = r->expects_other = false;
        outcome = check_host(in, r);
        if (!outcome && r->first[HTTP_TRANSFER_ENCODING])
                outcome = check_transfer_encoding(r);
        else if (!outcome && r->first[HTTP_CONTENT_LENGTH])
                outcome = check_content_length(r);
        if (outcome)
                return outcome;
        if (r->first[HTTP_CONNECTION])
                read_connection(r);
        if (r->first[HTTP_EXPECT] && r->version_minor)
                read_expect(r); /* HTTP/1.0 knows no expectations (RFC 9110, 10.1.1) */
        if (unlikely(r->first[HTTP_UPGRADE]))
                read_upgrade(r);
        return 0;
}

/* The line at `line` cannot be read to its end; why? */
static int line_fault(struct http1_parser *p, struct input in, bool is_full, const char *line,
                      int outcome) {
        const char *lf = memchr(line, '\n', (size_t)(in.end - line));
        bool in_fields = p->state == PARSER_IN_FIELDS;

        if (!in_fields && (lf ? lf : in.end) - line >= HTTP_LINE_BYTES_MAX)
                return HTTP1_LINE_TOO_LONG;
        if (lf)
                return outcome;
        if (is_full)
                return in_fields ? HTTP1_HEAD_TOO_LARGE : HTTP1_LINE_TOO_LONG;
        p->line_start = (uint32_t)(line - in.head);
        p->scanned = (uint32_t)(in.end - in.head);
        return HTTP1_MORE;
}

/* The lines up to the request line, and it. */
static int parse_start(struct http1_parser *p, struct input in, bool is_full, const char **at,
                       struct http_request *r) {
        const char *line;
        int outcome;

        while (*at < in.end && **at == '\r') {
                if (!SAYS(in, *at, "\r\n") || p->state == EMPTY_LINES_MAX)
                        return line_fault(p, in, is_full, *at, HTTP1_BAD);
                *at += 2;
                p->state++;
        }
        if (*at < in.end && !http_char_is((unsigned char)**at, HTTP_CHAR_TOKEN))
                return HTTP1_BAD;
        line = *at;
        outcome = parse_request_line(in, at, r);
        if (outcome)
                return line_fault(p, in, is_full, line, outcome);
        p->state = PARSER_IN_FIELDS;
        return 0;
}

int http1_parse_head(struct http1_parser *parser, const char *head, size_t size,
                     size_t head_bytes_max, struct http_request *request) {
        struct input in = { head, head + MIN(size, head_bytes_max) };
        bool is_full = size >= head_bytes_max;
        const char *at = head + parser->line_start;
        int outcome;

        assert(size >= parser->scanned && head_bytes_max <= UINT32_MAX);
        if (unlikely(parser->scanned > head_bytes_max))
                return HTTP1_HEAD_TOO_LARGE; /* the limit shrank between two calls */
        if (parser->scanned > parser->line_start) {
                const char *from = head + parser->scanned;

                if (!memchr(from, '\n', (size_t)(in.end - from)))
                        return line_fault(parser, in, is_full, at, HTTP1_MORE);
        }
        if (parser->state != PARSER_IN_FIELDS) {
                outcome = parse_start(parser, in, is_full, &at, request);
                if (outcome)
                        return outcome;
        }
        at = parse_fields(head, at, in.end, request);
        if (!SAYS(in, at, "\r\n")) {
                if (request->field_count == HTTP_FIELDS_MAX && at < in.end && *at != '\r')
                        return HTTP1_HEAD_TOO_LARGE;
                return line_fault(parser, in, is_full, at, HTTP1_BAD);
        }
        request->head_bytes = (uint32_t)(at + 2 - head);
        return finish_head(in, request);
}
