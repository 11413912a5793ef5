/* SPDX-License-Identifier: MIT */
#pragma once

#include "http/request.h"

/*
 * An exchange is one request with its answer. Handlers see exchanges and nothing else: not the
 * connection, not the socket, not which protocol carries them. Bytes of the request's body come when
 * the handler wants them; bytes of the answer are pulled from it when the connection has room.
 *
 * Who calls whom: the carrier (the protocol's code: HTTP/1, later HTTP/2) calls the handler's table;
 * the handler calls the exchange_*() functions, from inside its table's functions or at any later
 * time until `finish`.
 */
struct exchange;
struct http_session;

enum { EXCHANGE_LATER = 1 };
enum { EXCHANGE_STATE_BYTES = 256 };
#define EXCHANGE_LENGTH_UNKNOWN UINT64_MAX

/* A piece of an answer's body: memory, or a range of a file. It stays valid until the next pull or `finish`. */
struct exchange_piece {
        const char *data; /* memory, if not NULL … */
        int file;         /* … else a descriptor that sendfile(2) can read */
        uint64_t offset;  /* in the file */
        uint64_t bytes;
        bool last;        /* nothing follows */
};

struct exchange_handler {
        const char *name;

        /* The request's head is there. Answer now or later; called once, first. */
        void (*start)(struct exchange *x);

        /*
         * Bytes of the request's body, after exchange_want_body(); borrowed for the call. All bytes given
         * are taken. `last`: the body is whole. May be NULL for a handler that never wants it.
         */
        void (*body)(struct exchange *x, struct text data, bool last);

        /*
         * The next piece of the answer's body, at most `room_bytes` long (never 0). 0: `*ret` is set.
         * EXCHANGE_LATER: none yet, exchange_wake() will be called. -errno: the answer cannot be
         * completed, the connection breaks visibly. Not called for HEAD, 204, 304, nor with a length of 0.
         */
        int (*pull)(struct exchange *x, uint64_t room_bytes, struct exchange_piece *ret);

        /* It is over: sent, or given up (x->error). Let go of everything; called once, last. May be NULL. */
        void (*finish)(struct exchange *x);
};

/* What the protocol's code does when a handler calls the functions below. */
struct exchange_carrier {
        void (*answered)(struct exchange *x);
        void (*woken)(struct exchange *x);
        void (*want_body)(struct exchange *x);
        void (*failed)(struct exchange *x);
};

struct exchange {
        struct http_request request; /* readable until `finish` */
        const struct exchange_handler *handler;
        const struct exchange_carrier *carrier;
        struct http_session *session; /* the carrier's */
        void *owner;                  /* the server's: what routed it */
        void *worker;                 /* the handlers': struct handler_worker of this thread */
        const void *route;            /* the handler's part of the settings, which outlives the exchange */

        /* the answer, by exchange_answer() */
        uint16_t status; /* 0: not answered yet */
        bool finished;
        bool failed;
        struct text fields;   /* "Name: value\r\n" lines */
        uint64_t body_bytes;  /* length of the answer's body, or EXCHANGE_LENGTH_UNKNOWN */

        int error;            /* why it was given up: 0, or -errno (-ECONNRESET, -ETIMEDOUT, …) */
        uint64_t started_usec;
        uint64_t sent_bytes;  /* of the answer's body, handed to the connection */

        /* the carrier's own state, and the handler's (zeroed before `start`) */
        uint64_t carrier_left;
        uint8_t carrier_bits[8];
        _Alignas(16) char state[EXCHANGE_STATE_BYTES];
};

/*
 * Give the answer's status and fields, once. `fields` are whole lines ("Name: value\r\n" each) in the
 * handler's memory, valid until `finish`; never among them: Date, Server, Connection, Content-Length,
 * Transfer-Encoding, Keep-Alive: the protocol writes those. `body_bytes` as it would be for GET, also
 * when the method is HEAD (RFC 9110, 9.3.2).
 */
void exchange_answer(struct exchange *x, unsigned status, struct text fields, uint64_t body_bytes);

/*
 * Answer with a small page that says the status, with `fields` (may be empty) before it. For refusals;
 * the handler's `pull` is not called after this.
 */
void exchange_refuse(struct exchange *x, unsigned status, struct text fields);

/* `pull` gave EXCHANGE_LATER, and there is something to pull now. */
void exchange_wake(struct exchange *x);

/*
 * Ask for the next bytes of the request's body (sends 100 Continue where the client waits for it).
 * Each call brings at least one call of `body`, unless the exchange is given up.
 */
void exchange_want_body(struct exchange *x);

/* The answer cannot be completed: it breaks visibly, and `finish` is called, soon. */
void exchange_fail(struct exchange *x, int error);
