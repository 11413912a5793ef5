/* SPDX-License-Identifier: MIT */
#pragma once

#include "samples.h"

/*
 * An HTTP/1 session without a network: bytes go in, what it would send is collected, and its
 * handlers go on whenever there is nothing else to do. The clock stands at 784111777 (RFC 9110,
 * 5.6.7).
 */
enum wire_end { WIRE_OPEN, WIRE_CLOSE, WIRE_LINGER, WIRE_BROKEN };

struct wire {
        struct http_context context;
        struct http1_session http;
        struct samples samples;
        struct buffer out,
                log; /* `log`: "METHOD TARGET STATUS BYTES;" for each exchange that is over */
        uint64_t now_usec;
        enum wire_end end;
        int error; /* WIRE_BROKEN: why */
        unsigned outputs, changes, yields;
        bool in_session; /* `changed` must not be called */
        bool hold;       /* leave handlers that wait waiting */
        bool at_once;    /* `changed` runs the session, from inside the handler's call */
        bool hold_sent;  /* leave the next output unsent: wire_sent() */
        bool unsent;
        bool shut; /* its side of a tunnel */
};

void wire_open(struct wire *w);
void wire_close(struct wire *w); /* by finish(-ECONNRESET), and all memory must be given back */

void wire_feed(struct wire *w, struct text data); /* then wire_run() */
void wire_feed_only(struct wire *w, struct text data);
void wire_feed_end(struct wire *w);
bool wire_time_out(struct wire *w); /* what time_out() gave; then wire_run() if true */
void wire_run(struct wire *w);  /* until it has nothing to do */
void wire_sent(struct wire *w); /* what was held; then wire_run() */

/*
 * Compare what was sent so far, and forget it. In `expected` "$OK" and "$HEAD" are the lines that
 * begin answers, with and without the status, and "$N:" is the first N bytes of all large bodies.
 */
void wire_expect(struct wire *w, const char *expected);
