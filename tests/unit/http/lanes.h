/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/buffer.h"
#include "http/session.h"

/*
 * A protocol for tests alone, which carries several exchanges side by side on one connection: what
 * HTTP/2 will do, without its framing. Handlers that work here unchanged do not know their carrier.
 *
 * In, a line each:   ID METHOD PATH     a request; ID is a number                    ID + TEXT
 * bytes of its body                    ID .               the end of its body; requests other than
 * POST have none Out, frames:       ID status STATUS SIZE\n<SIZE bytes of fields>
 * ID more SIZE\n<bytes of the body>       also "last", behind which nothing comes
 * ID broken ERROR\n                       the exchange failed, and no other
 *
 * Each lane that has something gives one frame in its turn, of at most `room_bytes`.
 */
enum { LANES_MAX = 16, LANE_LINE_BYTES_MAX = 1024 };

struct lane {
        struct exchange *exchange; /* NULL: free */
        unsigned id;
        struct buffer body;
        bool body_ended, body_given, wants_body;
        bool head_sent, waits, is_over;
};

struct lanes_session {
        struct http_session session;
        struct lane lanes[LANES_MAX];
        struct lane *sending;
        struct buffer input;
        char frame[LANE_LINE_BYTES_MAX];
        uint64_t room_bytes;
        unsigned next; /* the lane whose turn it is */
        bool busy, ended;
};

void lanes_session_init(struct lanes_session *l, struct http_context *context,
                        void (*changed)(struct http_session *s), uint64_t room_bytes);
