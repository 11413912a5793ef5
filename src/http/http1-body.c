/* SPDX-License-Identifier: MIT */
#include "http/http1-body.h"

#include "http/http1-answer.h"

/*
 * A body by length needs a count, one by chunks a decoder; both are bounded, the first by its
 * Content-Length (which was compared with the limit before), the second as it comes.
 */

void http1_body_begin(struct http1_session *h, const struct http_request *request) {
        h->body_is_chunked = request->body_kind == HTTP_BODY_CHUNKED;
        h->body_left = request->body_bytes;
        if (h->body_is_chunked) {
                h->chunked = (struct chunked){};
                h->body_left = h->session.context->limits.body_bytes_max;
        }
}

int http1_body_take(struct http1_session *h, struct text *in, struct text *ret) {
        size_t used;
        int r;

        if (h->body_is_chunked) {
                r = chunked_feed(&h->chunked, *in, &used, ret);
        } else {
                used = MIN((uint64_t)in->size, h->body_left);
                *ret = (struct text){ in->data, used };
                r = used == h->body_left ? CHUNKED_END : CHUNKED_DATA;
        }
        in->data += used;
        in->size -= used;
        if (r == CHUNKED_BAD)
                return HTTP1_BODY_BAD;
        if (ret->size > h->body_left)
                return HTTP1_BODY_TOO_LARGE;
        h->body_left -= ret->size;
        return r == CHUNKED_END ? HTTP1_BODY_LAST : HTTP1_BODY_BYTES;
}

void http1_body_give(struct http1_session *h, struct text data, bool last) {
        h->progress.wants_body = false;
        h->progress.body_given = last;
        h->exchange->handler->body(h->exchange, data, last);
}

bool http1_tunnel_has_some(const struct http1_session *h, const struct text *in) {
        return h->reading == HTTP1_READ_TUNNEL && h->progress.writing != HTTP1_WRITE_HEAD &&
               (in->size || h->ended);
}

void http1_tunnel_read(struct http1_session *h, struct text *in) {
        while (h->progress.wants_body && http1_tunnel_has_some(h, in) && !h->exchange->failed) {
                struct text data = *in;

                in->data += in->size;
                in->size = 0;
                if (h->ended)
                        h->reading = HTTP1_READ_WHOLE;
                http1_body_give(h, data, h->ended);
        }
}
