/* SPDX-License-Identifier: MIT */
#pragma once

#include "http/request.h"

/* What the selected representation can be recognised by. */
struct http_validators {
        struct text etag;      /* with its quotes, W/ before them if weak; empty: none */
        uint64_t modified_sec; /* Last-Modified */
        bool modified_is_strong; /* RFC 9110, 8.8.2.2: changed long enough ago */
};

/*
 * Evaluate If-Match, If-Unmodified-Since, If-None-Match, If-Modified-Since in the order of
 * RFC 9110, 13.2.2, for a representation that exists, and GET or HEAD.
 * Gives 200 (perform the method), 304 or 412.
 */
unsigned http_condition_status(const struct http_request *r, const struct http_validators *v,
                               uint64_t now_sec);

/* If-Range (RFC 9110, 13.1.5): true where Range may be honoured, also where no If-Range is. */
bool http_range_is_current(const struct http_request *r, const struct http_validators *v,
                           uint64_t now_sec);
