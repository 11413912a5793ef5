/* SPDX-License-Identifier: MIT */
#pragma once

#include "server/conn.h"

#include <linux/vm_sockets.h>

/*
 * A connection from inside, for conn.c (its life and its deadlines), conn-io.c (bytes of the
 * socket) and conn-tls.c (what lies between those and the session, where there is TLS).
 *
 * After every event (bytes came, bytes were taken, a handler answered, time is up) a connection
 * goes through conn_advance(): send what the session has, receive if it wants bytes, set the one
 * deadline. Receiving and sending are under way at the same time, so that a kept-alive request
 * costs one turn.
 *
 * A connection that waits between two requests holds no buffer, no exchange and no output: they
 * come from the worker's pools when needed. It stands in the list `idle`, else in `busy`.
 *
 * States: OPEN -> LINGER (our side is shut down, what comes is dropped; RFC 9112, 9.6) -> CLOSING.
 */
enum conn_state { CONN_OPEN, CONN_LINGER, CONN_CLOSING };

#define LAST_WORD_USEC USEC_PER_SEC /* for a 408 or an alert to be taken */

/* What is being sent. */
struct conn_output {
        struct http_output out;
        struct loop_file_send send; /* its `op` serves for sends from memory and for yielding too */
        struct conn *conn;
        bool by_file_send; /* send.sent is how far it has got, else send.op.send.taken */
        /* at the last look, to tell a slow reader from one that has stopped */
        int64_t progress_seen;
};

struct conn {
        struct loop_socket socket;
        struct loop_op receive;
        struct loop_timer deadline;
        struct list link;
        struct conn_set *set;
        struct conn_output *output;   /* NULL: nothing is being sent */
        struct http_session *session; /* of `http`, or of another protocol's own memory */
        struct conn_tls *tls;         /* NULL: plain text */
        struct http1_session http;
        uint32_t lingered_bytes;
        int error; /* what the session is told when all is over */
        uint8_t state;
        uint8_t phase; /* of the session, when the deadline was set */
        bool input_ended, is_idle, something_came;
        bool timed_out;        /* it is told so, as the last thing */
        bool yielding, closed; /* closed while yielding: freed when the yield is over */
        bool may_be_http2;     /* nothing has come but the first bytes of its preface: */
        uint8_t preface_bytes; /* so many */
        uint8_t address_size;
        union {
                struct sockaddr any;
                struct sockaddr_in v4;
                struct sockaddr_in6 v6;
                struct sockaddr_vm vm;
        } address;
};

/* conn.c */
/* What it does when all is sent that can be: wait for bytes, for a time. */
void conn_wait(struct conn *c);
void conn_close(struct conn *c, int error);
/* The session gave up: a bug of ours if it says so, else the peer's fault or a lack of memory. */
void conn_break(struct conn *c, int error);
void conn_free(struct conn *c);
void conn_linger(struct conn *c);
/* Go on in the protocol that was agreed on. Errors: -errno, the connection is to be ended. */
int conn_take_http2(struct conn *c);

static inline void conn_set_deadline(struct conn *c, uint64_t from_now_usec) {
        loop_timer_set(c->set->loop, &c->deadline, loop_now_usec(c->set->loop) + from_now_usec);
}

/* conn-io.c */
void conn_advance(struct conn *c);
void conn_receive(struct conn *c);
void conn_output_init(struct conn *c, struct conn_output *o);
void conn_output_free(struct conn *c);
/* Between two requests, before it is closed, say what protocols have to say then. */
void conn_say_goodbye(struct conn *c);
/* The session's part of it, if it has one: GOAWAY (RFC 9113, 6.8). */
bool conn_last_word(struct conn *c, struct http_output *ret);
/* Act on an outcome of output() other than HTTP_OUTPUT_SEND. False: it goes no further. */
bool conn_do_outcome(struct conn *c, int outcome);

/* conn-tls.c */
enum { CONN_ROOM_BYTES = 64 * 1024 };
void conn_tls_set_init(struct conn_set *set);
void conn_tls_set_finish(struct conn_set *set);
int conn_tls_begin(struct conn *c); /* Errors: -ENOMEM */
void conn_tls_free(struct conn *c);
bool conn_tls_is_shaking_hands(const struct conn *c);
/* conn_say_goodbye() with close_notify (RFC 8446, 6.1). */
void conn_tls_say_goodbye(struct conn *c);
/* Ciphertext that came; it is deciphered where it lies. Errors: as feed(). */
int conn_tls_take(struct conn *c, char *data, size_t size);
bool conn_tls_send_more(struct conn *c);
void conn_tls_output_free(struct conn *c);
