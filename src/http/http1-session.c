/* SPDX-License-Identifier: MIT */
#include "http/session.h"

#include <errno.h>

#include "base/invariant.h"
#include "http/http1-answer.h"
#include "http/http1-body.h"

/*
 * HTTP/1 on one connection: one exchange at a time, in the order of the requests (RFC 9112, 9.3.2).
 *
 * http1_drive() is the engine: it reads what lies before it (the bytes lent to feed(), or those
 * kept in `input`) as far as it can: parse a head, start its handler, hand out body bytes, copy the
 * answer to the chunk, take the next head. It stops when bytes are wanting, when the handler will
 * answer later, or when something must be sent first. What it left over is kept, and no more is
 * asked for until that is used up. feed() drives, and so do feed_end() and output(), so that kept
 * requests go on when room was made.
 *
 * Handlers are called from inside the drive alone, and from sent() and finish() for their `finish`;
 * what they call in turn leaves marks in `progress` and in the exchange, so nothing recurses.
 *
 * While an output is being sent (`sending`) the chunk and the piece belong to it: bodies are read,
 * but nothing is written, and no request is begun, since its answer could not be written.
 */

enum { HTTP1_STOP = 0, HTTP1_GO_ON = 1 };

static const struct exchange_carrier http1_carrier;

static struct http1_session *http1_of(struct http_session *s) {
        return container_of(s, struct http1_session, session);
}

static size_t kept_bytes(const struct http1_session *h) {
        return h->input.used - h->input_start;
}

static void advance(struct text *in, size_t bytes) {
        in->data += bytes;
        in->size -= bytes;
}

/* ---- what the connection is told ---- */

static uint8_t phase_of(const struct http1_session *h) {
        switch ((enum http1_reading)h->reading) {
        case HTTP1_READ_HEAD:
                if (h->exchange)
                        return HTTP_PHASE_HEAD;
                return kept_bytes(h) ? HTTP_PHASE_ANSWER : HTTP_PHASE_IDLE;
        case HTTP1_READ_BODY: return h->progress.wants_body ? HTTP_PHASE_BODY : HTTP_PHASE_ANSWER;
        case HTTP1_READ_DISCARD: return h->exchange ? HTTP_PHASE_ANSWER : HTTP_PHASE_BODY;
        case HTTP1_READ_TUNNEL:
        case HTTP1_READ_WHOLE:
        case HTTP1_READ_END: break;
        }
        return HTTP_PHASE_ANSWER;
}

/* Is what comes for the handler, when it wants any? */
static bool reads_for_handler(const struct http1_session *h) {
        return h->reading == HTTP1_READ_BODY || h->reading == HTTP1_READ_TUNNEL;
}

static bool wants_input(const struct http1_session *h) {
        if (h->reading == HTTP1_READ_END || h->ended)
                return false;
        if (kept_bytes(h))
                return h->reading == HTTP1_READ_HEAD && h->head_is_partial;
        return !reads_for_handler(h) || h->progress.wants_body;
}

static void settle(struct http1_session *h) {
        h->session.phase = phase_of(h);
        h->session.wants_input = wants_input(h);
        h->busy = false;
}

/* ---- the end of an exchange ---- */

/* Nothing more is read; what still comes from the peer is dropped. */
static void stop_reading(struct http1_session *h, bool linger) {
        h->reading = HTTP1_READ_END;
        h->closing = true;
        h->linger |= linger;
}

static void exchange_over(struct http1_session *h) {
        if (unlikely(h->reading == HTTP1_READ_TUNNEL))
                return; /* the client's direction goes on */
        exchange_end(h->exchange, 0);
        h->exchange = NULL;
        if (h->reading == HTTP1_READ_END)
                return;
        if (unlikely(h->closing))
                stop_reading(h, h->reading != HTTP1_READ_WHOLE);
        else if (likely(h->reading == HTTP1_READ_WHOLE))
                h->reading = HTTP1_READ_HEAD;
        else
                h->reading = HTTP1_READ_DISCARD;
}

/* The exchange cannot be completed: all that its connection can do is to end visibly. */
static void exchange_broke(struct http1_session *h) {
        h->broken = h->exchange->error ? h->exchange->error : -EIO;
        exchange_end(h->exchange, 0);
        h->exchange = NULL;
        stop_reading(h, false);
}

static void mark_failed(struct exchange *x, int error) {
        if (!x->failed) {
                x->failed = true;
                x->error = error;
        }
}

/* ---- bodies ---- */

static void body_broke(struct http1_session *h, unsigned status) {
        int error = status == HTTP1_BODY_TOO_LARGE   ? -EMSGSIZE
                    : status == HTTP1_BODY_TIMED_OUT ? -ETIMEDOUT
                                                     : -EPROTO;
        struct exchange *x = h->exchange;

        stop_reading(h, true);
        if (!x)
                return;
        h->progress.wants_body = false;
        if (x->status == 0) {
                exchange_take_over(x, error);
                exchange_refuse(x, status, (struct text){});
        } else if (h->progress.wanted_body) {
                mark_failed(x, error);
        }
}

/* Hand the body's bytes to the handler, as long as it wants any. */
static void body_read(struct http1_session *h, struct text *in) {
        struct exchange *x = h->exchange;

        while (h->progress.wants_body && h->reading == HTTP1_READ_BODY && in->size && !x->failed) {
                struct text data;
                int r = http1_body_take(h, in, &data);

                if (r > HTTP1_BODY_LAST) {
                        body_broke(h, (unsigned)r);
                        return;
                }
                if (r == HTTP1_BODY_LAST)
                        h->reading = HTTP1_READ_WHOLE;
                if (data.size || r == HTTP1_BODY_LAST)
                        http1_body_give(h, data, r == HTTP1_BODY_LAST);
        }
        if (h->reading == HTTP1_READ_TUNNEL)
                http1_tunnel_read(h, in);
        else if (h->progress.wants_body && h->reading == HTTP1_READ_WHOLE && !x->failed)
                http1_body_give(h, (struct text){}, true); /* there is none */
        if (h->progress.wants_body && h->reading == HTTP1_READ_BODY && h->ended)
                mark_failed(x, -ECONNRESET);
}

/* Nobody wants the rest of the body, or nobody could be asked any more. */
static void body_discard(struct http1_session *h, struct text *in) {
        while (h->reading == HTTP1_READ_DISCARD && in->size) {
                struct text data;
                int r = http1_body_take(h, in, &data);

                if (r > HTTP1_BODY_LAST)
                        body_broke(h, (unsigned)r);
                else if (r == HTTP1_BODY_LAST)
                        h->reading = h->exchange ? HTTP1_READ_WHOLE : HTTP1_READ_HEAD;
        }
        if (h->reading == HTTP1_READ_DISCARD && h->ended)
                stop_reading(h, false);
}

/* Does the client wait to be told to send the body that the handler wants? */
static bool invitation_is_due(const struct http1_session *h) {
        return h->progress.wants_body && !h->progress.body_came &&
               h->exchange->request.expects_continue && h->reading == HTTP1_READ_BODY &&
               h->progress.writing == HTTP1_WRITE_HEAD;
}

static int body_invite(struct http1_session *h) {
        if (!invitation_is_due(h) || h->sending || !http1_chunk_has_room(h))
                return 0;
        h->progress.body_came = true;
        return http1_answer_continue(h);
}

/* ---- requests ---- */

/* False: the handler has to answer. */
static bool answer_ourselves(struct http1_session *h, struct exchange *x) {
        unsigned status = exchange_answer_ourselves(x);

        /* a body that is too large to be read; what follows CONNECT may be meant for the far end */
        if (status == 413 || (status == 501 && x->request.method == HTTP_CONNECT))
                stop_reading(h, true);
        return status;
}

static bool is_plain(const struct http_request *request) {
        return (request->method == HTTP_GET || request->method == HTTP_HEAD) &&
               request->body_kind == HTTP_BODY_NONE &&
               !(request->expects_other | request->wants_tls | !!request->protocol.size);
}

/* A head was parsed: its request begins. */
static void request_begin(struct http1_session *h, struct exchange *x) {
        h->reading = HTTP1_READ_WHOLE;
        if (unlikely(x->request.body_kind != HTTP_BODY_NONE)) {
                h->reading = HTTP1_READ_BODY;
                http1_body_begin(h, &x->request);
        }
        exchange_begin(x);
        h->session.context->route(&h->session, x);
        if (likely(is_plain(&x->request)) || !answer_ourselves(h, x))
                exchange_start(x);
}

/* What came is no request: answer, as far as that is possible, and hang up. */
static void request_refuse(struct http1_session *h, struct exchange *x, unsigned status) {
        h->progress = (struct http1_progress){ .head_kept = true };
        stop_reading(h, true);
        exchange_refuse_unparsed(x, status);
}

static void head_is_wanting(struct http1_session *h, bool partial) {
        h->head_is_partial = partial;
        if (!h->ended)
                return;
        h->exchange = exchange_free(h->exchange);
        stop_reading(h, false);
}

/* HTTP1_GO_ON: an exchange is under way. */
static int head_read(struct http1_session *h, struct text *in) {
        struct http_context *context = h->session.context;
        int r;

        h->head_is_partial = false;
        if (in->size == 0) {
                head_is_wanting(h, false);
                return HTTP1_STOP;
        }
        if (h->sending || h->broken || !http1_chunk_has_room(h))
                return HTTP1_STOP;
        if (unlikely(h->burst >= HTTP_REQUESTS_MAX)) {
                h->session.yielding = true;
                return HTTP1_STOP;
        }
        if (!h->exchange) {
                h->exchange = exchange_new(&h->session, &http1_carrier);
                if (!h->exchange)
                        return -ENOMEM;
                h->parser = (struct http1_parser){};
        }
        r = http1_parse_head(&h->parser, in->data, in->size, context->limits.head_bytes_max,
                             &h->exchange->request);
        if (r == HTTP1_MORE) {
                head_is_wanting(h, true);
                return HTTP1_STOP;
        }
        h->burst++;
        if (likely(r == HTTP1_DONE)) {
                h->progress = (struct http1_progress){};
                advance(in, h->exchange->request.head_bytes);
                request_begin(h, h->exchange);
        } else {
                request_refuse(h, h->exchange, (unsigned)r);
        }
        return HTTP1_GO_ON;
}

/* ---- the engine ---- */

/* Can the handler's wish for body bytes be fulfilled at once? */
static bool body_is_there(const struct http1_session *h, const struct text *in) {
        return h->progress.wants_body &&
               (h->reading == HTTP1_READ_WHOLE || (h->reading == HTTP1_READ_BODY && in->size) ||
                http1_tunnel_has_some(h, in));
}

/* Go on with the exchange under way. HTTP1_GO_ON: it is over, and the next may begin. */
static int exchange_go_on(struct http1_session *h, struct text *in) {
        struct exchange *x = h->exchange;
        int r;

        do {
                if (unlikely(h->reading == HTTP1_READ_BODY)) {
                        h->progress.body_came |= in->size > 0;
                        if (x->status && !h->progress.wanted_body)
                                h->reading = HTTP1_READ_DISCARD;
                }
                if (unlikely(h->progress.wants_body)) {
                        r = body_invite(h);
                        if (r < 0)
                                return r;
                        body_read(h, in);
                }
                if (x->failed && !h->sending) {
                        exchange_broke(h);
                        return HTTP1_STOP;
                }
                if (x->status && !h->sending && !invitation_is_due(h)) {
                        r = http1_answer_write(h, x);
                        if (r < 0)
                                return r;
                        if (h->progress.writing == HTTP1_WRITE_DONE) {
                                exchange_over(h);
                                return HTTP1_GO_ON;
                        }
                }
        } while (x->failed ? !h->sending : body_is_there(h, in));
        return HTTP1_STOP;
}

/* Read `in` as far as possible; what is left in it then has to be kept. */
static int http1_drive(struct http1_session *h, struct text *in) {
        struct exchange *x;
        int r = HTTP1_GO_ON;

        while (r == HTTP1_GO_ON) {
                if (h->reading == HTTP1_READ_HEAD) {
                        r = head_read(h, in);
                        if (r != HTTP1_GO_ON)
                                break;
                }
                if (h->exchange)
                        r = exchange_go_on(h, in);
                if (h->reading == HTTP1_READ_DISCARD)
                        body_discard(h, in);
                /* the handler may have ended its side of a tunnel, and want more */
                if (r == HTTP1_GO_ON && h->reading != HTTP1_READ_HEAD && !body_is_there(h, in))
                        break;
        }
        x = h->exchange;
        if (r >= 0 && x && h->reading != HTTP1_READ_HEAD && !h->progress.head_kept) {
                h->progress.head_kept = true; /* what it lies in goes away */
                r = exchange_keep_head(x);
        }
        if (h->reading == HTTP1_READ_END && in->size) {
                h->linger = true; /* more of it may be on its way */
                advance(in, in->size);
        }
        return MIN(r, 0);
}

static int drive_kept(struct http1_session *h) {
        size_t kept = kept_bytes(h);
        struct text in = { "", 0 };
        int r;

        if (likely(!kept && !h->exchange && h->reading == HTTP1_READ_HEAD && !h->ended))
                return 0; /* between two requests */
        if (kept)
                in = (struct text){ h->input.data + h->input_start, kept };
        r = http1_drive(h, &in);
        h->input_start = h->input.used - in.size;
        if (in.size == 0 && h->input.size) { /* an idle connection holds no memory */
                buffer_finish(&h->input);
                h->input_start = 0;
        }
        return r;
}

/* ---- the protocol's table ---- */

static int http1_feed(struct http_session *s, struct text data) {
        struct http1_session *h = http1_of(s);
        int r;

        h->busy = true;
        if (kept_bytes(h)) {
                buffer_consume(&h->input, h->input_start);
                h->input_start = 0;
                r = buffer_append_text(&h->input, data);
                if (r == 0)
                        r = drive_kept(h);
        } else {
                r = http1_drive(h, &data);
                if (r == 0 && data.size)
                        r = buffer_append_text(&h->input, data);
        }
        settle(h);
        return r;
}

static int http1_feed_end(struct http_session *s) {
        struct http1_session *h = http1_of(s);
        int r;

        h->busy = true;
        h->ended = true;
        r = drive_kept(h);
        settle(h);
        return r;
}

static int http1_time_out(struct http_session *s) {
        struct http1_session *h = http1_of(s);

        if (!h->exchange || h->exchange->status || h->sending)
                return HTTP_TIME_OUT_CLOSE;
        h->busy = true;
        if (h->reading == HTTP1_READ_HEAD)
                request_refuse(h, h->exchange, 408);
        else
                body_broke(h, HTTP1_BODY_TIMED_OUT);
        settle(h);
        return HTTP_TIME_OUT_ANSWERED;
}

/* After a burst of requests other connections have a turn: one NONE is given out between. */
static bool must_yield(struct http1_session *h) {
        if (!h->session.yielding || h->chunk_used)
                return false;
        h->yielded = !h->yielded;
        if (h->yielded)
                return true;
        h->session.yielding = false;
        h->burst = 0;
        return false;
}

static int next_output(struct http1_session *h, struct http_output *ret) {
        if (h->sending)
                return HTTP_OUTPUT_NONE;
        if (http1_answer_output(h, ret)) {
                h->sending = true;
                return HTTP_OUTPUT_SEND;
        }
        if (h->broken)
                return h->broken;
        if (h->exchange && (h->reading != HTTP1_READ_TUNNEL || h->shut ||
                            h->progress.writing != HTTP1_WRITE_DONE))
                return HTTP_OUTPUT_NONE;
        if (h->exchange) {
                h->shut = true;
                return HTTP_OUTPUT_SHUT;
        }
        if (h->reading == HTTP1_READ_END)
                return h->linger && !h->ended ? HTTP_OUTPUT_LINGER : HTTP_OUTPUT_CLOSE;
        if (h->session.close_soon && h->reading == HTTP1_READ_HEAD && !kept_bytes(h) &&
            h->session.requests) {
                stop_reading(h, true);
                return HTTP_OUTPUT_LINGER;
        }
        return HTTP_OUTPUT_NONE;
}

static int http1_output(struct http_session *s, struct http_output *ret) {
        struct http1_session *h = http1_of(s);
        int r;

        h->busy = true;
        if (must_yield(h)) {
                r = HTTP_OUTPUT_NONE;
        } else {
                r = drive_kept(h);
                if (r == 0)
                        r = next_output(h, ret);
        }
        settle(h);
        return r;
}

static void http1_sent(struct http_session *s) {
        struct http1_session *h = http1_of(s);

        if (!invariant(h->sending))
                return;
        h->busy = true;
        h->sending = false;
        if (!s->yielding)
                h->burst = 0;
        http1_answer_sent(h);
        if (h->exchange && h->reading != HTTP1_READ_HEAD) {
                if (h->exchange->failed)
                        exchange_broke(h);
                else if (h->progress.writing == HTTP1_WRITE_DONE)
                        exchange_over(h);
        }
        settle(h);
}

static void http1_finish(struct http_session *s, int error) {
        struct http1_session *h = http1_of(s);

        h->busy = true;
        if (h->exchange && h->reading == HTTP1_READ_HEAD)
                exchange_free(h->exchange);
        else if (h->exchange)
                exchange_end(h->exchange, error);
        h->exchange = NULL;
        pool_give(&s->context->chunks, h->chunk);
        h->chunk = NULL;
        h->chunk_used = 0;
        buffer_finish(&h->input);
        h->input_start = 0;
        stop_reading(h, false);
        settle(h);
}

/* ---- what handlers call ---- */

static void handler_called(struct exchange *x) {
        struct http1_session *h = http1_of(x->session);

        if (h->busy)
                return;
        settle(h);
        x->session->changed(x->session);
}

static void handler_woke(struct exchange *x) {
        http1_of(x->session)->progress.waits = false;
        handler_called(x);
}

/* From here on what comes is not HTTP any more. */
static void handler_upgraded(struct exchange *x) {
        struct http1_session *h = http1_of(x->session);

        if (invariant(h->reading == HTTP1_READ_WHOLE)) {
                h->reading = HTTP1_READ_TUNNEL;
                h->closing = true;
        } else {
                mark_failed(x, -EBADMSG);
        }
        handler_called(x);
}

/* output(), which would give out what was kept, is not called before all is sent. */
static void give_kept(struct http1_session *h) {
        int r;

        h->busy = true;
        r = drive_kept(h);
        if (r < 0)
                mark_failed(h->exchange, r); /* it is not over while anything is being sent */
        h->busy = false;
}

static void handler_wants_body(struct exchange *x) {
        struct http1_session *h = http1_of(x->session);

        if (!invariant(!h->progress.body_given && h->reading != HTTP1_READ_DISCARD))
                mark_failed(x, -EBADMSG);
        h->progress.wants_body = h->progress.wanted_body = true;
        if (h->sending && !h->busy)
                give_kept(h);
        handler_called(x);
}

static const struct exchange_carrier http1_carrier = {
        .answered = handler_called,
        .upgraded = handler_upgraded,
        .woken = handler_woke,
        .want_body = handler_wants_body,
        .failed = handler_called,
};

static const struct http_protocol http1_protocol = {
        .name = "HTTP/1",
        .feed = http1_feed,
        .feed_end = http1_feed_end,
        .time_out = http1_time_out,
        .output = http1_output,
        .sent = http1_sent,
        .finish = http1_finish,
};

void http1_session_init(struct http1_session *s, struct http_context *context,
                        void (*changed)(struct http_session *s)) {
        *s = (struct http1_session){
                .session = {
                        .protocol = &http1_protocol,
                        .context = context,
                        .changed = changed,
                        .phase = HTTP_PHASE_IDLE,
                        .wants_input = true,
                },
        };
}
