/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/text.h"

/*
 * A request as it was parsed. All text is kept as spans, offsets into the bytes of the head, so
 * that the head may be moved to other memory by changing one pointer.
 */
enum {
        HTTP_FIELDS_MAX = 100,   /* field lines in one head; past it 431 */
        HTTP_LINE_BYTES_MAX = 8192, /* the request line with its CRLF; past it 414 (RFC 9112, 3) */
        HTTP_PROTOCOL_BYTES_MAX = 64, /* a longer name is none that we would say back */
};

enum http_method {
        HTTP_METHOD_OTHER, /* a token that we do not know */
        HTTP_GET,
        HTTP_HEAD,
        HTTP_POST,
        HTTP_PUT,
        HTTP_DELETE,
        HTTP_CONNECT,
        HTTP_OPTIONS,
        HTTP_TRACE,
        HTTP_PATCH,
};

/* Fields that we look at; found without comparing names again. */
enum http_field_id {
        HTTP_FIELD_OTHER,
        HTTP_HOST,
        HTTP_CONNECTION,
        HTTP_CONTENT_LENGTH,
        HTTP_TRANSFER_ENCODING,
        HTTP_EXPECT,
        HTTP_UPGRADE,
        HTTP_IF_MATCH,
        HTTP_IF_NONE_MATCH,
        HTTP_IF_MODIFIED_SINCE,
        HTTP_IF_UNMODIFIED_SINCE,
        HTTP_IF_RANGE,
        HTTP_RANGE,
        HTTP_ACCEPT,
        HTTP_ACCEPT_ENCODING,
        HTTP_REFERER,
        HTTP_USER_AGENT,
        HTTP_FIELD_IDS,
};

struct http_span {
        uint32_t offset, size;
};

struct http_field {
        struct http_span name, value; /* the value without white space at its ends */
        uint8_t id;                   /* enum http_field_id */
};

/*
 * A Content-Length of 0 is HTTP_BODY_NONE: nothing follows. CHUNKED is any body whose length is not
 * known before its end.
 */
enum http_body_kind { HTTP_BODY_NONE, HTTP_BODY_LENGTH, HTTP_BODY_CHUNKED };

struct http_request {
        const char *head;    /* what the spans are offsets into */
        uint32_t head_bytes; /* with the empty line that ends it */

        uint8_t method;        /* enum http_method */
        uint8_t version_major; /* 1 or 2 */
        uint8_t version_minor; /* of HTTP/1.x: 0 or 1; of HTTP/2: 0 */
        uint8_t body_kind;     /* enum http_body_kind */
        bool keep_alive;       /* what the client asked for (RFC 9112, 9.3) */
        bool expects_continue; /* Expect: 100-continue, HTTP/1.1 only */
        bool expects_other;    /* an expectation we do not know: 417 */
        bool wants_tls;        /* an absolute target of scheme https */
        struct http_span method_name, target; /* as sent */
        struct http_span path;  /* from its "/"; "*" for OPTIONS *; as sent, not decoded; empty for
                                   CONNECT; a lone "/" where an absolute target has none */
        struct http_span query; /* behind "?", without it; size 0 where there is none */
        struct http_span host;  /* of an absolute target or CONNECT, else of Host; without port, an
                                   IPv6 address with its brackets; may be empty */
        /*
         * What the client wants to speak from here on ("websocket"): an upgrade of HTTP/1.1 (RFC
         * 9110, 7.8), or an extended CONNECT of HTTP/2 (RFC 8441), which is seen here as the GET
         * that HTTP/1.1 asks with. Empty: nothing else, or none of it may be granted. Such a
         * request has no body.
         */
        struct http_span protocol;
        uint64_t body_bytes;    /* HTTP_BODY_LENGTH: Content-Length */

        uint16_t field_count;
        uint32_t repeated; /* 1 << id: there is more than one field line with that id */
        uint8_t first[HTTP_FIELD_IDS]; /* index + 1 of the first field with that id; 0: absent */
        struct http_field fields[HTTP_FIELDS_MAX];
};

static inline struct text http_span_text(const struct http_request *r, struct http_span s) {
        return (struct text){ r->head + s.offset, s.size };
}

/* The value of the first field with this id; data is NULL where there is none. */
static inline struct text http_request_field(const struct http_request *r, enum http_field_id id) {
        unsigned at = r->first[id];

        return at ? http_span_text(r, r->fields[at - 1].value) : (struct text){};
}
