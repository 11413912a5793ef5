/* SPDX-License-Identifier: MIT */
#pragma once

#include "http/session.h"

/* The bytes of a request's body (RFC 9112, 6), for http1-session.c: how many belong to it. */

enum http1_body_outcome {
        HTTP1_BODY_BYTES = 0, /* more of it is to come */
        HTTP1_BODY_LAST = 1,  /* it is whole */
        HTTP1_BODY_BAD = 400, /* statuses to refuse with */
        HTTP1_BODY_TIMED_OUT = 408,
        HTTP1_BODY_TOO_LARGE = 413,
};

/* A request with a body was parsed. */
void http1_body_begin(struct http1_session *h, const struct http_request *request);

/*
 * Take what `in` has of the body, the next run of it into `*ret` (which may be empty). Gives an
 * http1_body_outcome; behind BODY_BAD and BODY_TOO_LARGE nothing can be read any more.
 */
int http1_body_take(struct http1_session *h, struct text *in, struct text *ret);

/* Hand bytes to the handler, which has asked for them. */
void http1_body_give(struct http1_session *h, struct text data, bool last);

/*
 * Of a tunnel: is there something for the handler? Not before the client was told that it is one.
 * Hand it on, as it is, as long as the handler asks; that the client ended its side is the last.
 */
bool http1_tunnel_has_some(const struct http1_session *h, const struct text *in);
void http1_tunnel_read(struct http1_session *h, struct text *in);
