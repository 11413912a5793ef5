/* SPDX-License-Identifier: MIT */
#pragma once

#include "http/request.h"

/*
 * Reads the head of an HTTP/1 request (RFC 9112), without I/O. The head must lie in one piece: give
 * the parser all of its bytes so far each time; it remembers how far it has looked, so that a head
 * that comes one byte at a time is not read anew for each byte. The bytes may move between calls.
 *
 * Outcomes are statuses to refuse with, so that their origin is in one place. After a refusal the
 * framing is lost: answer, then close. What comes first in the head decides, however it was cut.
 *
 * Lines end in CRLF. A lone LF, which RFC 9112, 2.2 would let us take for a line's end, is refused:
 * who sends it to a server of today wants two servers to disagree about where a request ends.
 */
enum http1_outcome {
        HTTP1_DONE = 0,
        HTTP1_MORE = 1,  /* feed on */
        HTTP1_BAD = 400, /* RFC 9112, 2.2, 3.2, 5.1, 6.3: answer and close */
        HTTP1_LINE_TOO_LONG = 414,
        HTTP1_HEAD_TOO_LARGE = 431,  /* in bytes or in number of fields */
        HTTP1_NOT_IMPLEMENTED = 501, /* a transfer coding under chunked that is not known (RFC 9112,
                                        6.1), a method of more than 32 bytes (RFC 9112, 3) */
        HTTP1_VERSION = 505,
};

struct http1_parser {
        uint32_t scanned;    /* bytes looked at for the end of a line */
        uint32_t line_start; /* where the line under way begins */
        uint8_t state;
};

/* A zeroed parser is ready; zero it again for the next head. */

/*
 * Parse `size` bytes, the head so far, which may be followed by other bytes.
 * On HTTP1_DONE `request` is whole and request->head_bytes tells where the body begins. Empty lines
 * before the request line are skipped, at most two (RFC 9112, 2.2), and count as part of the head.
 * A line is refused once it is whole or too long, but for a first byte that can begin no method (as
 * of a TLS handshake), which is refused on sight. `head_bytes_max` is the most the head may have.
 * `request` needs no initialisation before the first call, and must stay the same for one head;
 * after a refusal nothing in it counts.
 */
int http1_parse_head(struct http1_parser *parser, const char *head, size_t size,
                     size_t head_bytes_max, struct http_request *request);
