/* SPDX-License-Identifier: MIT */
#pragma once

#include "http/request.h"

/*
 * An exchange is one request with its answer. Handlers see exchanges and nothing else: not the
 * connection, not the socket, not which protocol carries them. Bytes of the request's body come
 * when the handler wants them; bytes of the answer are pulled from it when the connection has room.
 *
 * Who calls whom: the carrier (the protocol's code: HTTP/1, later HTTP/2) calls the handler's
 * table; the handler calls the exchange_*() functions, from inside its table's functions or at any
 * later time until `finish`.
 */
struct exchange;
struct http_session;

enum { EXCHANGE_LATER = 1 };
enum { EXCHANGE_PIECE_BYTES_MAX = 1 << 30 }; /* carriers ask for no more at once */
enum { EXCHANGE_STATE_BYTES = 256, EXCHANGE_CARRIER_BYTES = 160 };
#define EXCHANGE_LENGTH_UNKNOWN UINT64_MAX

/*
 * A piece of an answer's body: memory, or a range of a file. It stays valid until the next pull or
 * `finish`.
 */
struct exchange_piece {
        const char *data; /* memory, if not NULL … */
        int file;         /* … else a descriptor that sendfile(2) can read */
        uint64_t offset;  /* in the file */
        uint64_t bytes;
        bool last; /* nothing follows */
};

struct exchange_handler {
        const char *name;
        /*
         * Requests that want another protocol (request.protocol) come with that, and may be
         * accepted by exchange_accept_upgrade(). For others it is taken out of an upgrade of
         * HTTP/1.1, which is served as if it was not there; an extended CONNECT gets 501.
         */
        bool takes_upgrade;

        /*
         * The request's head is there. Answer now or later; called once, first. Pointers into the
         * head end with this call, since it may be moved then; spans hold until `finish`.
         */
        void (*start)(struct exchange *x);

        /*
         * Bytes of the request's body, after exchange_want_body(); borrowed for the call. All bytes
         * given are taken. `last`: the body is whole. May be NULL for a handler that never wants
         * it.
         */
        void (*body)(struct exchange *x, struct text data, bool last);

        /*
         * The next piece of the answer's body, at most `room_bytes` long (never 0). 0: `*ret` is
         * set. EXCHANGE_LATER: none yet, exchange_wake() will be called. -errno: the answer cannot
         * be completed, the connection breaks visibly. Not called for HEAD, 204, 304, nor with a
         * length of 0.
         */
        int (*pull)(struct exchange *x, uint64_t room_bytes, struct exchange_piece *ret);

        /*
         * It is over: sent, or given up (x->error). Let go of everything; called once, last. May be
         * NULL.
         */
        void (*finish)(struct exchange *x);
};

/* What the protocol's code does when a handler calls the functions below. */
struct exchange_carrier {
        void (*answered)(struct exchange *x);
        void (*upgraded)(struct exchange *x); /* instead of that */
        void (*woken)(struct exchange *x);
        void (*want_body)(struct exchange *x);
        void (*failed)(struct exchange *x);
};

enum {
        EXCHANGE_HEAD_BYTES = 2048, /* a longer head is kept on the heap; a guess: few are */
        EXCHANGE_PAGE_BYTES = 256,
};

struct exchange {
        /*
         * Readable until `finish`. Its head may move when `start` returns: see there.
         * Where the protocol refused what it could not parse (`finished` of http_context sees
         * that), it is empty: method HTTP_METHOD_OTHER, all spans of size 0, no fields.
         */
        struct http_request request;
        const struct exchange_handler *handler;
        const struct exchange_carrier *carrier;
        struct http_session *session; /* the carrier's */
        void *owner;                  /* the server's: what routed it; NULL if it was not parsed */
        void *worker;                 /* the handlers': struct handler_worker of this thread */
        const void *route; /* the handler's part of the settings, which outlives the exchange */

        /* the answer, by exchange_answer() */
        uint16_t status; /* 0: not answered yet */
        bool started;    /* the handler knows of it, and its `finish` is due */
        bool finished;   /* `finish` was or is being called: no exchange_*() call may follow */
        bool failed;     /* to be given up with `error` */
        bool refused;    /* the answer's body is `page` */
        bool upgraded;   /* it is a tunnel */
        uint8_t page_bytes;
        struct text fields;      /* "Name: value\r\n" lines */
        struct text route_fields; /* lines that all answers of its route have; the server's */
        struct text page_fields; /* the same for what describes `page`; a constant, mostly empty */
        uint64_t body_bytes;     /* length of the answer's body, or EXCHANGE_LENGTH_UNKNOWN */
        uint64_t body_left;      /* of it, not pulled yet; the same where that is unknown */

        int error; /* why it was given up: 0, or -errno (-ECONNRESET, -ETIMEDOUT, …) */
        uint64_t started_usec; /* when the head's first byte came; monotonic */
        uint64_t sent_bytes;   /* of the answer's body, handed to the connection */

        /* the carrier's own; `carrier_state` comes as it was left, not zeroed */
        void *carrier_data;
        struct exchange_piece piece; /* being sent from where it lies */
        _Alignas(16) char carrier_state[EXCHANGE_CARRIER_BYTES];
        char *head_heap;             /* the head, where `head_room` is too small for it */

        /* the handler's, zeroed before `start` */
        _Alignas(16) char state[EXCHANGE_STATE_BYTES];

        char page[EXCHANGE_PAGE_BYTES];
        char head_room[EXCHANGE_HEAD_BYTES];
};

/*
 * Give the answer's status (200 to 599) and fields, once. `fields` are whole lines ("Name:
 * value\r\n" each) in the handler's memory, valid until `finish`; never among them: Date, Server,
 * Connection, Content-Length, Transfer-Encoding, Keep-Alive: the protocol writes those.
 * `body_bytes` as it would be for GET, also when the method is HEAD (RFC 9110, 9.3.2). The pieces
 * must add up to it: `body_bytes` are sent, the piece that completes them is the last also without
 * saying so; more or less of them breaks the connection. 204 and 304 have no body whatever
 * `body_bytes` says.
 *
 * Called from outside of the handler's functions, this and those below may bring the whole rest, up
 * to `finish`, before they return: nothing of the exchange may be touched behind the call.
 *
 * Calling this twice, or any of these functions in or after `finish`, is a bug (base/invariant.h),
 * which ends the exchange alone.
 */
void exchange_answer(struct exchange *x, unsigned status, struct text fields, uint64_t body_bytes);

/*
 * Answer with a small page that says the status, with `fields` (may be empty) before it. For
 * refusals; the handler's `pull` is not called after this.
 */
void exchange_refuse(struct exchange *x, unsigned status, struct text fields);

/*
 * Instead of an answer: speak request.protocol from here on (101 by HTTP/1.1, 200 by HTTP/2), with
 * `fields` as above (neither Upgrade, which is the protocol's to write, too). What the client sends
 * comes by exchange_want_body() and `body`, which may not be asked for before this, what the
 * handler sends goes by `pull`; both at once, without a limit. `last` is the client's end of its
 * direction, a last piece the handler's. The exchange is over when both have ended: a handler that
 * has ended its own goes on asking for the client's, or gives all up by exchange_fail().
 *
 * A silent tunnel is nobody's fault: neither BodyTimeoutSec nor KeepAliveSec is for it, only
 * SendTimeoutSec for bytes that the client does not take. How long to wait is the handler's.
 */
void exchange_accept_upgrade(struct exchange *x, struct text fields);

/* `pull` gave EXCHANGE_LATER, and there is something to pull now. */
void exchange_wake(struct exchange *x);

/*
 * Ask for the next bytes of the request's body (sends 100 Continue where the client waits for it).
 * Each call brings one call of `body`, from outside of the handler's functions, unless the exchange
 * is given up; a request without a body brings one of no bytes that is the last. Not after the
 * last. A handler that answers without having asked leaves the body to be read and dropped: asking
 * later is a bug. A body that is malformed or beyond the limit ends the handler's part before it
 * answered: `finish` comes with x->error -EPROTO or -EMSGSIZE, and the protocol answers in its
 * place.
 */
void exchange_want_body(struct exchange *x);

/*
 * The answer cannot be completed: it breaks visibly, and `finish` is called, soon: what is being
 * sent from the handler's memory or file stays needed until then. `error` is a -errno.
 */
void exchange_fail(struct exchange *x, int error);

/* ---- for carriers ---- */

/*
 * From the pool of the session's context; NULL without memory. Request and `state` are as they
 * were.
 */
struct exchange *exchange_new(struct http_session *s, const struct exchange_carrier *carrier);
struct exchange *exchange_free(
        struct exchange *x); /* one that was not begun, or is over; accepts NULL */

/* The request is there: count it. Its handler's `start` follows, or a refusal. */
void exchange_begin(struct exchange *x);
void exchange_start(struct exchange *x);

/*
 * Answer what the protocol answers itself, not a handler; drop a wish for another protocol that the
 * handler does not take. 0: nothing was answered, it is for the
 * handler; else the status. For a request that was begun and routed, before `start`.
 */
unsigned exchange_answer_ourselves(struct exchange *x);

/* What came is no request, so there is none: begin it all the same, and refuse it. */
void exchange_refuse_unparsed(struct exchange *x, unsigned status);

/* It is over: tell the context and the handler, free it. `error`: 0, or why it is given up. */
void exchange_end(struct exchange *x, int error);

/*
 * Answer in the handler's place: its `finish` is called with `error` if it was started, and no
 * other function of it any more. The exchange goes on, for exchange_answer() or exchange_refuse().
 */
void exchange_take_over(struct exchange *x, int error);

/* Move the head to memory that lives as long as the exchange. Errors: -ENOMEM. */
int exchange_keep_head(struct exchange *x);

/*
 * The next piece, as exchange_handler.pull, of at most `room_bytes` and of what is left. The one
 * that completes the promised length is the last, whether or not the handler says so. Bytes handed
 * on are to be counted in x->sent_bytes. Errors: also -EBADMSG, for a piece that cannot be.
 */
int exchange_pull(struct exchange *x, uint64_t room_bytes, struct exchange_piece *ret);

/* Does this answer have a body, and will its bytes be asked for? */
bool exchange_has_body(const struct exchange *x);
