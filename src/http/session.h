/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/pool.h"
#include "http/exchange.h"

#include <sys/uio.h>

/*
 * Between a connection, which does the I/O, and a protocol, which does none: bytes in, bytes out.
 * HTTP/1 is http1-session.c; what carries several exchanges at once (HTTP/2) fits the same table.
 */

struct http_limits {
        size_t head_bytes_max;   /* HeadBytesMax */
        uint64_t body_bytes_max; /* BodyBytesMax */
        /* BodyTimeoutSec and SendTimeoutSec, for one exchange of several that are under way */
        uint64_t body_timeout_usec, send_timeout_usec;
};

enum {
        HTTP_CHUNK_BYTES = 16384, /* heads and small bodies are gathered in a chunk of this size */
        HTTP_COPY_BYTES_MAX = 4096, /* a piece up to this is copied there, a longer one borrowed */
        HTTP_OUTPUT_PARTS_MAX = 16, /* HTTP/1 has 4 at most */
        HTTP_BLOCK_BYTES = 128,
        HTTP_BLOCK_POOLS = 4,
        HTTP_REQUESTS_MAX = 64, /* of one connection in one turn, then others have theirs */
};

/* "HTTP/1.1 200 OK", Date and Server, a line each; where the latter two and the date begin. */
enum { HTTP_LINES_BYTES = 70, HTTP_LINES_COMMON = 17, HTTP_LINES_DATE = 23 };

/* What one worker's sessions share. */
struct http_context {
        struct pool exchanges;            /* of struct exchange */
        struct pool chunks;               /* of HTTP_CHUNK_BYTES */
        /* what a protocol's library allocates: of HTTP_BLOCK_BYTES, and twice as many each */
        struct pool blocks[HTTP_BLOCK_POOLS];
        const uint64_t *now_usec;         /* monotonic: the loop's */
        uint64_t (*real_usec)(void);      /* for Date; clock_real_usec() but in tests */
        uint64_t date_until_usec;         /* of now_usec: when `lines` must be made again */
        char lines[HTTP_LINES_BYTES + 1]; /* how most answers begin, ready-made */
        struct http_limits limits;
        bool draining; /* answers say Connection: close */
        bool takes_upgrade; /* some handler does: see exchange.h */

        /*
         * Find the handler for a request: sets x->handler, x->route, x->worker, x->owner. Must
         * succeed. The path may be "*" or empty (OPTIONS *, CONNECT); the protocol answers these
         * itself.
         */
        void (*route)(struct http_session *s, struct exchange *x);
        /*
         * An exchange is over; called after its handler's `finish`, for logs and figures: the
         * answer's `fields` are gone, all else is as it was. Also called for what could not be
         * parsed and was refused, which was not routed; see exchange.h.
         */
        void (*finished)(struct http_session *s, struct exchange *x);
};

void http_context_init(struct http_context *c, const uint64_t *now_usec);
void http_context_finish(struct http_context *c);
/* Free what is kept for reuse. */
void http_context_trim(struct http_context *c);
/* `lines`, with the current Date, which is made at most once a second. */
struct text http_context_lines(struct http_context *c);

/* What the connection waits for; it chooses the deadline by this. */
enum http_phase {
        HTTP_PHASE_IDLE,   /* no request has begun: KeepAliveSec, before the first HeadTimeoutSec */
        HTTP_PHASE_HEAD,   /* in a head: HeadTimeoutSec from its first byte */
        HTTP_PHASE_BODY,   /* for a body's bytes, wanted or to be discarded: BodyTimeoutSec */
        HTTP_PHASE_ANSWER, /* a handler is at work, or output() has to be called first */
        HTTP_PHASE_WINDOW, /* for the peer to allow more bytes of answers: SendTimeoutSec */
};

/* Bytes to send: the parts, then a range of a file. They stay until http_session_sent(). */
struct http_output {
        struct iovec parts[HTTP_OUTPUT_PARTS_MAX];
        unsigned count;
        int file; /* if file_bytes > 0 */
        uint64_t file_offset, file_bytes;
};

enum http_output_outcome {
        HTTP_OUTPUT_NONE = 0, /* nothing to send for the moment */
        HTTP_OUTPUT_SEND,     /* `*ret` is filled */
        HTTP_OUTPUT_CLOSE,    /* all was sent: close */
        HTTP_OUTPUT_SHUT,     /* all was sent: shut down our side; what comes is still for us */
        HTTP_OUTPUT_LINGER,   /* all was sent: shut down our side, drop what still comes, then close
                                 (RFC 9112, 9.6) */
};

enum http_time_out_outcome {
        HTTP_TIME_OUT_CLOSE = 0, /* nobody is to be told: the answer has begun, or no request has */
        HTTP_TIME_OUT_ANSWERED,  /* output() gives the last that there is to say, then closes */
        HTTP_TIME_OUT_GO_ON,     /* what waited too long was given up; others are under way */
};

struct http_protocol {
        const char *name; /* "HTTP/1" */

        /*
         * Bytes that came. All are taken (copied where they must outlive the call) or the session
         * is broken. 0, or -errno (-ENOMEM): the connection ends at once. Not after feed_end().
         */
        int (*feed)(struct http_session *s, struct text data);

        /*
         * The peer ended its side. The session decides what becomes of a request under way; after
         * it, output() tells when to close. 0, or -errno as feed().
         */
        int (*feed_end)(struct http_session *s);

        /*
         * Time is up in any phase but ANSWER, while nothing is being sent. Where it can be said, a
         * request that is not whole is answered with 408 (RFC 9110, 15.5.9). An
         * http_time_out_outcome.
         */
        int (*time_out)(struct http_session *s);

        /*
         * What to send next; not before the last output was sent(). An http_output_outcome, or
         * -errno: the connection breaks at once, and visibly, since an answer may end where it
         * looks whole (-EBADMSG: a bug of ours, see base/invariant.h; else what ended the
         * exchange). What came before the break was given out first.
         */
        int (*output)(struct http_session *s, struct http_output *ret);
        void (*sent)(struct http_session *s); /* the last output was taken whole */

        /*
         * Finish all exchanges under way with `error`, free all but `s` itself. Only when nothing
         * is being sent any more: the memory of an output goes to the next who needs some.
         */
        void (*finish)(struct http_session *s, int error);
};

struct http_session {
        const struct http_protocol *protocol;
        struct http_context *context;
        void *connection; /* the server's, untouched */
        /*
         * Something changed from outside of feed/output/sent (a handler answered later): the
         * connection asks output() again, soon, and looks at `phase` and `wants_input`. Never
         * called from within feed(), feed_end(), output(), sent().
         */
        void (*changed)(struct http_session *s);
        uint8_t phase;    /* enum http_phase */
        bool wants_input; /* receive and feed; false: leave bytes in the kernel (back pressure) */
        bool yielding; /* stopped at HTTP_REQUESTS_MAX: if output() gave NONE, call it next turn */
        bool tls;          /* set by the connection: nobody else reads along */
        bool close_soon;   /* set by the connection (drain): answer what is under way, then close */
        /* an answer under way ends where the connection does: cut short, reset it */
        bool ends_by_close;
        uint32_t requests; /* exchanges begun on this connection */
        unsigned open;     /* exchanges under way */
};

/* ---- HTTP/1 ---- */

#include "base/buffer.h"
#include "http/chunked.h"
#include "http/http1-parser.h"

struct http1_session {
        struct http_session session;
        struct exchange *exchange; /* under way or being parsed; from the pool, NULL when idle */
        char *chunk; /* heads and small bodies to send; from the pool, NULL when idle */
        uint32_t chunk_used;
        int broken;          /* 0, or the -errno that output() gives when all before it was sent */
        struct buffer input; /* kept: a head that is not whole, what follows a request under way */
        size_t input_start;  /* in `input`: what is before it was used */
        struct chunked chunked;
        uint64_t body_left; /* bytes of the body to come; chunked: that may come */
        struct http1_parser parser;
        uint16_t burst;  /* requests begun since the last yield or output */
        uint8_t reading; /* enum http1_reading */
        bool body_is_chunked;
        bool busy;            /* in a function of the protocol: handlers' calls only leave marks */
        bool sending;         /* the last output was not sent() yet: chunk and piece must stay */
        bool ended;           /* the peer's side */
        bool closing;         /* no request is read after the one under way */
        bool linger;          /* the peer may be sending what nobody will read */
        bool head_is_partial; /* all kept input was parsed, and more is needed */
        bool yielded;         /* NONE was given for `yielding` */
        bool shut;            /* our side of a tunnel has ended, and SHUT was given */
        struct http1_progress {               /* of the exchange under way, zeroed for each */
                uint8_t writing;              /* enum http1_writing */
                uint8_t framing;              /* enum http1_framing */
                bool wants_body, wanted_body; /* the handler waits for bytes; it has ever asked */
                bool body_given;              /* the last bytes were given to the handler */
                bool body_came;               /* its first byte, or 100 Continue was sent */
                bool head_kept;
                bool waits; /* the handler gave EXCHANGE_LATER, and did not wake it since */
        } progress;
};

/* Ready for the first byte. Allocates nothing. */
void http1_session_init(struct http1_session *s, struct http_context *context,
                        void (*changed)(struct http_session *s));
