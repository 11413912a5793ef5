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
