/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/text.h"

/*
 * Decodes the chunked coding (RFC 9112, 7.1), without I/O, from pieces of any size. Strict: sizes
 * are 1 to 16 hexadecimal digits, lines end in CRLF; chunk extensions are skipped and bounded (by
 * line), trailer fields are checked for form, bounded, and dropped.
 */
enum { CHUNKED_LINE_BYTES_MAX = 4096, CHUNKED_TRAILER_BYTES_MAX = 8192 };

enum chunked_outcome {
        CHUNKED_DATA = 0, /* `*ret_data` has payload, perhaps empty; call again with what is left */
        CHUNKED_END = 1,  /* the body is whole; what is left belongs to the next request */
        CHUNKED_BAD = 2,  /* malformed or beyond a bound: 400 and close */
};

struct chunked {
        uint64_t left; /* payload bytes left of the chunk under way */
        uint32_t line_bytes, trailer_bytes;
        uint8_t state, digits;
};

/* A zeroed decoder is ready. */

/*
 * Take bytes from `input`; `*ret_used` of them are done with, among them the payload `*ret_data`
 * (which points into `input`). With CHUNKED_DATA and all of the input used, feed on.
 */
int chunked_feed(struct chunked *c, struct text input, size_t *ret_used, struct text *ret_data);
