/* SPDX-License-Identifier: MIT */
#pragma once

#include "http/session.h"

/* Between http1-session.c, which reads requests, and http1-answer.c, which writes answers. */

/* 0 is the first: an idle session is mostly zeros. */
enum http1_reading {
        HTTP1_READ_HEAD = 0, /* of the next request; `exchange` is but the parser's memory */
        HTTP1_READ_BODY,     /* belongs to the handler, when it wants it */
        HTTP1_READ_TUNNEL,   /* the same, and goes on until the client ends its side */
        HTTP1_READ_DISCARD,  /* a body that nobody wants */
        HTTP1_READ_WHOLE,    /* the request is whole, its exchange under way */
        HTTP1_READ_END,      /* nothing more is read */
};

enum http1_writing {
        HTTP1_WRITE_HEAD = 0,
        HTTP1_WRITE_FIELDS, /* those too long for the chunk: to be sent from the handler's memory */
        HTTP1_WRITE_BODY,   /* the handler is asked for pieces */
        HTTP1_WRITE_PIECE,  /* one is to be sent from where it lies */
        HTTP1_WRITE_BEHIND, /* what frames a chunk at its end is due */
        HTTP1_WRITE_DONE,
};

enum http1_framing {
        HTTP1_FRAMING_NONE = 0, /* no body (RFC 9112, 6.3, rule 1) */
        HTTP1_FRAMING_LENGTH,
        HTTP1_FRAMING_CHUNKED,
        HTTP1_FRAMING_CLOSE, /* the end of the connection is the end of the body */
};

/* Less room than this in the chunk, and no head is begun. */
enum { HTTP1_HEAD_ROOM = 512 };

static inline bool http1_chunk_has_room(const struct http1_session *h) {
        return h->chunk_used <= HTTP_CHUNK_BYTES - HTTP1_HEAD_ROOM;
}

/*
 * Write as much of the answer as is there and has room; nothing may be in the course of being sent.
 * progress.writing tells how far it got. A failure of the handler marks the exchange as failed.
 * Errors: -ENOMEM.
 */
int http1_answer_write(struct http1_session *h, struct exchange *x);

/* 100 Continue. The chunk must have room. Errors: -ENOMEM. */
int http1_answer_continue(struct http1_session *h);

/* Fill `ret` with what is to be sent. False: nothing is. */
bool http1_answer_output(struct http1_session *h, struct http_output *ret);

/* What http1_answer_output() gave has been sent. */
void http1_answer_sent(struct http1_session *h);
