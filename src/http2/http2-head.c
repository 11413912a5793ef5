/* SPDX-License-Identifier: MIT */
#include "http2/http2-internal.h"

#include <errno.h>
#include <stdlib.h>

#include "http/fields.h"
#include "http/http1-parser.h"

/*
 * A header block becomes the head of an HTTP/1.1 request, as an intermediary would write it (RFC
 * 9113, 8.1 to 8.3), in the memory that the exchange has for heads, and that is parsed. So there is
 * one set of rules for what a request may be, and handlers see the very same whatever carried it.
 *
 * nghttp2 has checked the block: pseudo-fields are whole, once and first, names are small, no field
 * is about the connection. A byte that got through and would end a word or a line would make a
 * request of its own: words are checked by the parser, and what it reads must have as many lines as
 * were written.
 *
 * The pseudo-fields may come in any order, but before all others: they are held until the first of
 * those comes, and then the request line is written, and Host from :authority.
 *
 * An extended CONNECT (RFC 8441) becomes the GET that asks for the same by an upgrade.
 *
 * Crumbs of cookies are joined (8.2.3), mostly where they stand; a crumb that comes behind other
 * fields first takes the line that it belongs to along to the end.
 */

static struct text text_of_rcbuf(nghttp2_rcbuf *b) {
        nghttp2_vec v = b ? nghttp2_rcbuf_get_buf(b) : (nghttp2_vec){};

        return (struct text){ (const char *)v.base, v.len };
}

static void refuse(struct http2_head *head, unsigned status) {
        if (!head->refused)
                head->refused = (uint16_t)status;
}

/* ---- its memory ---- */

/* Room for `more` bytes. */
static bool make_room(struct http2_head *head, size_t more) {
        size_t size = MAX((size_t)head->size * 2, head->used + more);
        char *heap;

        if (likely(head->used + more <= head->size))
                return true;
        heap = realloc(head->x->head_heap, size);
        if (!heap) {
                refuse(head, 503);
                return false;
        }
        if (!head->x->head_heap)
                memcpy(heap, head->x->head_room, head->used);
        head->x->head_heap = head->at = heap;
        head->size = (uint32_t)size;
        return true;
}

static void put(struct http2_head *head, const void *data, size_t size) {
        memcpy(head->at + head->used, data, size);
        head->used += (uint32_t)size;
}

#define PUT(head, literal) put(head, literal, sizeof(literal) - 1)

static void put_text(struct http2_head *head, struct text t) {
        if (t.size)
                put(head, t.data, t.size);
}

/* May `more` bytes be added? If not, it is refused. */
static bool fits(struct http2_session *h, size_t more) {
        struct http2_head *head = &h->head;

        if (head->used + more + 2 > h->session.context->limits.head_bytes_max) {
                refuse(head, head->has_line ? HTTP1_HEAD_TOO_LARGE : HTTP1_LINE_TOO_LONG);
                return false;
        }
        return make_room(head, more + 2);
}

static void release_pseudo(struct http2_head *head) {
        for (unsigned i = 0; i < HTTP2_PSEUDO_COUNT; i++)
                if (head->pseudo[i]) {
                        nghttp2_rcbuf_decref(head->pseudo[i]);
                        head->pseudo[i] = NULL;
                }
}

/* ---- the lines ---- */

static void add_line(struct http2_session *h, struct text name, struct text value) {
        struct http2_head *head = &h->head;

        if (head->lines == HTTP_FIELDS_MAX)
                refuse(head, HTTP1_HEAD_TOO_LARGE); /* the parser would say so, of all of them */
        if (head->refused || !fits(h, name.size + value.size + 4))
                return;
        put_text(head, name);
        PUT(head, ": ");
        put_text(head, value);
        PUT(head, "\r\n");
        head->lines++;
}

/* An absolute target could name another host than :authority; the parser would take it. */
static bool target_is_sound(const struct http2_head *head, bool is_connect, struct text target) {
        if (!target.size)
                return false;
        if (unlikely(is_connect))
                return !head->pseudo[HTTP2_PATH] && !head->pseudo[HTTP2_SCHEME];
        return target.data[0] == '/' || text_equal(target, TEXT("*"));
}

/*
 * Which of them is not compared with the connection: a proxy that ends TLS says "https" on a
 * connection in clear (RFC 9110, 7.4: a trusted gateway), and what hangs on TLS asks the session.
 */
static bool scheme_is_known(const struct http2_head *head) {
        struct text scheme = text_of_rcbuf(head->pseudo[HTTP2_SCHEME]);

        return text_equal_nocase(scheme, TEXT("https")) || text_equal_nocase(scheme, TEXT("http"));
}

/* nghttp2 has seen that it is CONNECT; the method of the request is GET from here on. */
static void take_protocol(struct http2_head *head, struct text protocol, struct text *method) {
        if (!text_equal(*method, TEXT("CONNECT")))
                refuse(head, HTTP1_BAD);
        else if (!http_is_protocol(protocol))
                refuse(head, 501);
        head->is_extended = true;
        *method = TEXT("GET");
}

static void put_request_line(struct http2_session *h) {
        struct http2_head *head = &h->head;
        struct text method = text_of_rcbuf(head->pseudo[HTTP2_METHOD]);
        struct text authority = text_of_rcbuf(head->pseudo[HTTP2_AUTHORITY]);
        struct text protocol = text_of_rcbuf(head->pseudo[HTTP2_PROTOCOL]), target;
        bool is_connect;

        if (unlikely(head->pseudo[HTTP2_PROTOCOL]))
                take_protocol(head, protocol, &method);
        is_connect = text_equal(method, TEXT("CONNECT"));
        target = is_connect ? authority : text_of_rcbuf(head->pseudo[HTTP2_PATH]);
        if (head->refused || !method.size || !target_is_sound(head, is_connect, target) ||
            !(is_connect || scheme_is_known(head)))
                refuse(head, HTTP1_BAD); /* if it is not yet */
        else if (fits(h, method.size + target.size + 12)) {
                put_text(head, method);
                PUT(head, " ");
                put_text(head, target);
                PUT(head, " HTTP/1.1\r\n");
        }
        head->has_line = true;
        if (!head->refused && authority.size) {
                add_line(h, TEXT("host"), authority);
                head->authority = (struct http_span){ (uint32_t)(head->used - 2 - authority.size),
                                                      (uint32_t)authority.size };
        }
        if (!head->refused && head->is_extended) {
                add_line(h, TEXT("upgrade"), protocol);
                add_line(h, TEXT("connection"), TEXT("upgrade"));
        }
        release_pseudo(head);
}

/* RFC 9113, 8.3.1: both may be there, and then they must agree. */
static void add_host(struct http2_session *h, struct text value) {
        struct http2_head *head = &h->head;
        struct text authority = { head->at + head->authority.offset, head->authority.size };

        if (!authority.size)
                add_line(h, TEXT("host"), value);
        else if (!text_equal_nocase(authority, value))
                refuse(head, HTTP1_BAD);
}

static void add_cookie(struct http2_session *h, struct text value) {
        struct http2_head *head = &h->head;
        struct http_span *line = &head->cookie;
        uint32_t behind = line->offset + line->size;

        if (!line->size) {
                line->offset = head->used;
                add_line(h, TEXT("cookie"), value);
                line->size = head->used - line->offset;
                return;
        }
        if (behind != head->used) { /* to the end with it */
                if (!make_room(head, line->size))
                        return;
                memcpy(head->at + head->used, head->at + line->offset, line->size);
                memmove(head->at + line->offset, head->at + behind, head->used - line->offset);
                line->offset = head->used - line->size;
        }
        if (!fits(h, value.size + 2))
                return;
        head->used -= 2;
        PUT(head, "; ");
        put_text(head, value);
        PUT(head, "\r\n");
        line->size = head->used - line->offset;
}

#define NAME_IS(name, literal, which) \
        (memcmp((name), (literal), sizeof(literal) - 1) == 0 ? (which) : HTTP2_PSEUDO_COUNT)

static enum http2_pseudo pseudo_of(struct text name) {
        switch (name.size) {
        case 5: return NAME_IS(name.data, ":path", HTTP2_PATH);
        case 7:
                if (name.data[1] == 'm')
                        return NAME_IS(name.data, ":method", HTTP2_METHOD);
                return NAME_IS(name.data, ":scheme", HTTP2_SCHEME);
        case 9: return NAME_IS(name.data, ":protocol", HTTP2_PROTOCOL);
        case 10: return NAME_IS(name.data, ":authority", HTTP2_AUTHORITY);
        default: return HTTP2_PSEUDO_COUNT;
        }
}

static void add_pseudo(struct http2_head *head, struct text name, nghttp2_rcbuf *value) {
        enum http2_pseudo which = pseudo_of(name);

        if (which == HTTP2_PSEUDO_COUNT || head->pseudo[which] || head->has_line) {
                refuse(head, HTTP1_BAD);
                return;
        }
        nghttp2_rcbuf_incref(value);
        head->pseudo[which] = value;
}

bool http2_head_add(struct http2_session *h, nghttp2_rcbuf *name, nghttp2_rcbuf *value) {
        struct http2_head *head = &h->head;
        struct text n = text_of_rcbuf(name), v = text_of_rcbuf(value);

        if (head->refused)
                return false;
        if (n.size && n.data[0] == ':') {
                add_pseudo(head, n, value);
                return true;
        }
        if (!head->has_line)
                put_request_line(h);
        if (head->refused)
                return false;
        if (text_equal(n, TEXT("host")))
                add_host(h, v);
        else if (text_equal(n, TEXT("cookie")))
                add_cookie(h, v);
        else
                add_line(h, n, v);
        return true;
}

/* ---- its life ---- */

int http2_head_begin(struct http2_session *h, int32_t id) {
        struct exchange *x = h->head.x;

        if (!x)
                x = exchange_new(&h->session, &http2_carrier);
        if (!x)
                return -ENOMEM;
        release_pseudo(&h->head);
        h->head = (struct http2_head){ .x = x, .id = id };
        h->head.at = x->head_heap ? x->head_heap : x->head_room;
        h->head.size = sizeof(x->head_room);
        x->started_usec = http2_now(h);
        return 0;
}

/* What the fields have said together, and what HTTP/2 says otherwise than HTTP/1.1. */
static void take_over(struct http2_head *head, bool has_body, struct http_request *r) {
        r->version_major = 2;
        r->version_minor = 0;
        r->keep_alive = true;
        r->wants_tls = false;
        if (head->is_extended)
                return;
        r->protocol = (struct http_span){};
        if (!has_body) {
                r->body_kind = HTTP_BODY_NONE;
                r->body_bytes = 0;
        } else if (!r->first[HTTP_CONTENT_LENGTH]) {
                r->body_kind = HTTP_BODY_CHUNKED;
        }
}

int http2_head_end(struct http2_session *h, bool has_body, struct exchange **ret) {
        struct http2_head *head = &h->head;
        struct http1_parser parser = {};
        int r;

        if (!head->has_line)
                put_request_line(h);
        *ret = take_ptr(head->x);
        if (head->refused)
                return head->refused;
        PUT(head, "\r\n");
        r = http1_parse_head(&parser, head->at, head->used,
                             h->session.context->limits.head_bytes_max, &(*ret)->request);
        if (r != HTTP1_DONE)
                return r == HTTP1_MORE ? HTTP1_BAD : r;
        if ((*ret)->request.field_count != head->lines || (*ret)->request.head_bytes != head->used)
                return HTTP1_BAD;
        if (head->is_extended && !(*ret)->request.protocol.size)
                return HTTP1_BAD; /* it has a length */
        take_over(head, has_body, &(*ret)->request);
        return 0;
}

void http2_head_drop(struct http2_session *h) {
        release_pseudo(&h->head);
        h->head.x = exchange_free(h->head.x);
}
