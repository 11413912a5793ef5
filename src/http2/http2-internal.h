/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/buffer.h"
#include "base/list.h"
#include "http2/http2.h"

#include <errno.h>
#include <nghttp2/nghttp2.h>

/*
 * HTTP/2 from inside. nghttp2 knows frames, HPACK, windows and priorities; what is ours:
 *
 * http2-session.c  the protocol's table: in, out, phases, drain
 * http2-guard.c    looks at the frames before nghttp2 does: floods, what is not whole
 * http2-head.c     a header block to a request
 * http2-stream.c   an exchange's stream: the request's body, what handlers call, its end
 * http2-answer.c   an answer to HEADERS and DATA
 * http2-output.c   frames to what the connection sends
 * http2-memory.c   nghttp2's memory, counted
 *
 * Handlers' calls only leave marks and put their stream in `due`; http2_run_due() acts on them, at
 * the end of feed() and in output(). So nghttp2 is never called from inside itself, but for what it
 * allows in its callbacks, and nothing recurses.
 */

enum {
        HTTP2_STREAMS_MAX = 100, /* at once; the least that RFC 9113, 6.5.2 recommends */
        HTTP2_STREAM_WINDOW = 65535,
        HTTP2_CONNECTION_WINDOW = 256 * 1024, /* what bodies that nobody takes yet hold at most */
        HTTP2_OUTPUT_BYTES = 64 * 1024,       /* framed ahead: what is more urgent waits for it */
        HTTP2_CHUNKS_MAX = HTTP2_OUTPUT_BYTES / HTTP_CHUNK_BYTES,
        HTTP2_FRAME_HEAD_BYTES = 9,
        HTTP2_FRAME_BYTES_MAX = 16384,
        HTTP2_QUEUE_MAX = 256,      /* frames that wait to be sent; with more nothing is read */
        HTTP2_FIELDS_OUT_MAX = 128, /* lines of an answer's head */
        /* of nghttp2 for one session: 25 KiB when idle, 50 with 100 small requests under way; the
           rest is for 100 answers with long fields at once */
        HTTP2_MEMORY_BYTES_MAX = 4 * 1024 * 1024,
};

struct http2_memory {
        size_t used, most;
        bool failed; /* there was none, or too much was used: the session must end */
        uint32_t reserve_used, reserve_blocks;
        struct pool *pools; /* HTTP_BLOCK_POOLS, the worker's */
};

nghttp2_mem http2_memory_functions(struct http2_memory *m, struct pool *pools);

/* What a peer has spent; see http2-guard.c. */
struct http2_bucket {
        uint32_t spent;
        uint64_t at_usec;
};

struct http2_guard {
        struct http2_bucket frames, resets;
        uint8_t preface_left; /* bytes of it to come */
        uint8_t head[HTTP2_FRAME_HEAD_BYTES];
        uint8_t head_bytes;
        uint8_t continuations;  /* of the block, so far */
        bool in_block;          /* between HEADERS and the last CONTINUATION */
        uint32_t payload_left;  /* of the frame whose head is whole */
        uint32_t dropped_bytes; /* of the block's fields, as RFC 9113, 6.5.2 counts them */
};

enum http2_pseudo {
        HTTP2_METHOD,
        HTTP2_PATH,
        HTTP2_SCHEME,
        HTTP2_AUTHORITY,
        HTTP2_PROTOCOL, /* RFC 8441 */
        HTTP2_PSEUDO_COUNT,
};

/* A header block on its way to become a request. */
struct http2_head {
        struct exchange *x; /* the memory for it; NULL between two blocks */
        int32_t id;
        nghttp2_rcbuf *pseudo[HTTP2_PSEUDO_COUNT]; /* held until the request line is written */
        bool has_line;
        bool is_extended; /* CONNECT with :protocol */
        uint16_t refused;           /* a status */
        struct http_span authority; /* in the memory, of the line Host that was made of it */
        struct http_span cookie;    /* the line, so far */
        char *at;                   /* the memory, in the exchange or on the heap */
        uint32_t used, size, lines; /* `lines`: of fields */
};

/* One exchange's stream; lies in the exchange. */
struct http2_stream {
        struct list link; /* in `streams` */
        struct list due;  /* in `due` */
        struct list lent; /* in `lent`: the output under way has a piece of it */
        int32_t id;
        bool wants_body, wanted_body; /* the handler waits for bytes; it has ever asked */
        bool body_came;               /* its first byte, or 100 Continue was sent */
        bool body_ended;              /* all of it came */
        bool body_given;              /* the last bytes were given to the handler */
        bool discards;                /* nobody wants the body any more */
        bool answering;               /* the answer was begun */
        bool waits;                   /* the handler has no piece: EXCHANGE_LATER */
        bool deferred;                /* nghttp2 was told so */
        bool has_last;                /* `piece` is the last */
        bool is_answered;             /* whole; it is over when the body is, too */
        bool is_shut;                 /* a tunnel whose handler has ended its direction */
        bool is_closed;               /* nghttp2 has let go of it */
        bool is_over;                 /* to be ended when the output was sent */
        int error;                    /* … with this */
        uint64_t body_bytes;          /* that came */
        uint64_t moved_usec;          /* when the last bytes of either body moved, or were due */
        struct buffer body;           /* that nobody took yet */
};

static_assert(sizeof(struct http2_stream) <= EXCHANGE_CARRIER_BYTES, "it lies in the exchange");

/* What is gathered for the connection to send. */
struct http2_out {
        struct http_output *to; /* NULL: nothing is being gathered */
        char *chunks[HTTP2_CHUNKS_MAX];
        struct http2_stream *last; /* DATA of this stream was put in last */
        unsigned chunk_count;
        uint32_t chunk_used; /* of the last */
        size_t bytes;
        bool full;
};

enum http2_leaving {
        HTTP2_STAYS = 0,
        HTTP2_GAVE_NOTICE, /* the peer is told to open no more, those it has opened are served */
        HTTP2_LEAVES,      /* what is under way is the last */
        HTTP2_HANGS_UP,    /* not even that */
};

struct http2_session {
        struct http_session session;
        nghttp2_session *ng;
        struct http2_memory memory;
        struct list streams, due, lent;
        struct http2_head head;
        struct http2_guard guard;
        struct http2_out out;
        /* streams whose handler wants a body, that answer, that wait for the handler in that, and
           whose body still comes although they are answered */
        unsigned wanting, answering, waiting, discarding;
        int broken;           /* 0, or the -errno that output() gives next */
        uint64_t look_usec;   /* when to look for those that wait too long */
        uint64_t data_usec;   /* when DATA was sent last */
        uint64_t notice_usec; /* of GAVE_NOTICE */
        uint8_t leaving;      /* enum http2_leaving */
        bool busy;            /* in a function of the protocol: handlers' calls only leave marks */
        bool sending;         /* the last output was not sent() yet */
        bool ended;           /* the peer's side */
        bool deaf;            /* nothing that comes counts any more */
        bool refused_frame;   /* nghttp2 refused a frame: to be counted when it has returned */
};

static inline struct http2_session *http2_of(struct http_session *s) {
        return container_of(s, struct http2_session, session);
}

static inline struct exchange *exchange_of(struct http2_stream *st) {
        return container_of(st, struct exchange, carrier_state);
}

static inline struct http2_stream *http2_stream_of(struct exchange *x) {
        return (struct http2_stream *)x->carrier_state;
}

static inline uint64_t http2_now(const struct http2_session *h) {
        return *h->session.context->now_usec;
}

/* NULL where the stream is over for us. */
static inline struct http2_stream *http2_stream_by_id(struct http2_session *h, int32_t id) {
        return nghttp2_session_get_stream_user_data(h->ng, id);
}

/* To be looked at whenever nghttp2 has returned: 0, or the -errno that the session ends with. */
static inline int http2_fault(struct http2_session *h) {
        if (unlikely(h->memory.failed) && !h->broken)
                h->broken = -ENOMEM;
        return h->broken;
}

/* http2-session.c */
int http2_session_new(struct http_context *context, void (*changed)(struct http_session *s),
                      struct http_session **ret);
void http2_session_free(struct http_session *s);
/* Say why (an NGHTTP2_* error code), and close. What is under way is given up. */
void http2_hang_up(struct http2_session *h, uint32_t code);

/* http2-guard.c */
enum http2_guard_outcome {
        HTTP2_GUARD_FEED = 0,
        HTTP2_GUARD_FLOOD, /* ENHANCE_YOUR_CALM */
};

/*
 * Take off `data` what nghttp2 may be fed in one go, which never goes beyond the end of a frame.
 */
int http2_guard_next(struct http2_session *h, struct text *data, struct text *ret);
/* nghttp2 refused a frame. False: too many. */
bool http2_guard_refused(struct http2_session *h);
/* Bytes of bodies moved, `frames` of DATA among them that we sent: who does that may talk more. */
void http2_guard_moved(struct http2_session *h, size_t bytes, unsigned frames);
/*
 * A header block; a field in it of so many bytes that nobody keeps; its end. False: too much of it.
 */
void http2_guard_block_begins(struct http2_session *h);
bool http2_guard_dropped(struct http2_session *h, size_t bytes);
bool http2_guard_block_ends(struct http2_session *h);
/* Nothing that has begun is not whole. */
bool http2_guard_is_between(const struct http2_guard *g);

/* http2-head.c */
int http2_head_begin(struct http2_session *h, int32_t id); /* Errors: -ENOMEM */
/* False: it was dropped, as the request is refused already. */
bool http2_head_add(struct http2_session *h, nghttp2_rcbuf *name, nghttp2_rcbuf *value);
/* The block is whole. 0: `*ret` is its request; else a status to refuse it with. */
int http2_head_end(struct http2_session *h, bool has_body, struct exchange **ret);
void http2_head_drop(struct http2_session *h);

/* http2-stream.c */
extern const struct exchange_carrier http2_carrier;
/* Begin what http2_head_end() gave; `refused`: by this status. */
void http2_stream_begin(struct http2_session *h, struct exchange *x, int32_t id, bool has_body,
                        unsigned refused);
void http2_stream_data(struct http2_session *h, struct http2_stream *st, struct text data);
void http2_stream_data_end(struct http2_session *h, struct http2_stream *st);
/* It is over for us; its exchange ends, at once or when its pieces were sent. */
void http2_stream_end(struct http2_session *h, struct http2_stream *st, int error);
/* The same, and the peer is told. */
void http2_stream_reset(struct http2_session *h, struct http2_stream *st, uint32_t code, int error);
/* The last frame of its answer is on its way. */
void http2_stream_answered(struct http2_session *h, struct http2_stream *st);
/* The output was sent. */
void http2_streams_sent(struct http2_session *h);
void http2_set_wanting(struct http2_session *h, struct http2_stream *st, bool wants);
void http2_set_waiting(struct http2_session *h, struct http2_stream *st, bool waits);
void http2_make_due(struct http2_session *h, struct http2_stream *st);
/* Act on the marks that handlers left. */
void http2_run_due(struct http2_session *h);
/* Give up what has waited too long. */
void http2_look_at_time(struct http2_session *h);
/* The peer sends no more, or we leave: give up what waits for it in vain. */
void http2_make_all_due(struct http2_session *h);

/* http2-answer.c */
void http2_answer_begin(struct http2_session *h, struct http2_stream *st);
void http2_answer_continue(struct http2_session *h, struct http2_stream *st);
ssize_t http2_answer_read(nghttp2_session *ng, int32_t id, uint8_t *buffer, size_t length,
                          uint32_t *flags, nghttp2_data_source *source, void *session);
int http2_answer_send(nghttp2_session *ng, nghttp2_frame *frame, const uint8_t *head, size_t length,
                      nghttp2_data_source *source, void *session);

/* http2-output.c */
bool http2_out_has_room(const struct http2_out *o);
/* `bytes` in one chunk. False: no memory. */
bool http2_out_reserve(struct http2_session *h, size_t bytes);
void http2_out_put(struct http2_session *h, const void *data, size_t size); /* was reserved */
void http2_out_lend(struct http2_session *h, const void *data, size_t size);
void http2_out_file(struct http2_session *h, int file, uint64_t offset, uint64_t bytes);
/* Gather what is to be sent. 1: `ret` is filled; 0: nothing is; -errno. */
int http2_out_gather(struct http2_session *h, struct http_output *ret);
void http2_out_release(struct http2_session *h);
