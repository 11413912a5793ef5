/* SPDX-License-Identifier: MIT */
#include "http2/http2-internal.h"

#include <errno.h>

#include "base/invariant.h"

/*
 * An exchange's stream. The client may send as much of a body as the stream's window allows, 64
 * KiB, before the handler takes any: that is kept here. The window is opened as it is taken, so a
 * handler that waits makes the client wait.
 *
 * The exchange is over for us with the last frame of its answer, or when either side resets the
 * stream; nghttp2 keeps the stream for a while longer, without us. Where the output under way still
 * borrows from the exchange, its end waits for sent().
 *
 * A client that sends a body may not look at the answer before it has sent all (curl 7.88 takes a
 * reset for a failure even then). So what nobody wants is read and dropped, as in HTTP/1, within
 * BodyBytesMax and BodyTimeoutSec; only where that is not worth it the stream is reset.
 *
 * A tunnel is over when both sides have ended it, the client by the last bytes that the handler
 * took: nghttp2 may have closed its stream before. None of the limits for bodies is for it.
 */

/* ---- marks ---- */

void http2_make_due(struct http2_session *h, struct http2_stream *st) {
        if (!list_is_linked(&st->due))
                list_append(&h->due, &st->due);
}

void http2_set_wanting(struct http2_session *h, struct http2_stream *st, bool wants) {
        if (likely(!exchange_of(st)->upgraded))
                h->wanting += (unsigned)wants - (unsigned)st->wants_body;
        st->wants_body = wants;
}

void http2_set_waiting(struct http2_session *h, struct http2_stream *st, bool waits) {
        h->waiting += (unsigned)waits - (unsigned)st->waits;
        st->waits = waits;
}

static void mark_failed(struct http2_session *h, struct http2_stream *st, int error) {
        struct exchange *x = exchange_of(st);

        if (!x->failed) {
                x->failed = true;
                x->error = error;
        }
        http2_make_due(h, st);
}

/* ---- the end ---- */

static void consume(struct http2_session *h, int32_t id, size_t bytes) {
        if (bytes && nghttp2_session_consume(h->ng, id, bytes) < 0)
                h->broken = -ENOMEM;
}

static void body_drop(struct http2_session *h, struct http2_stream *st) {
        consume(h, st->id, st->body.used);
        buffer_finish(&st->body);
}

void http2_stream_end(struct http2_session *h, struct http2_stream *st, int error) {
        http2_set_wanting(h, st, false);
        http2_set_waiting(h, st, false);
        h->answering -= st->answering && !st->is_answered && !st->is_shut;
        h->discarding -= st->is_answered;
        list_remove(&st->link);
        list_remove(&st->due);
        if (!st->is_closed)
                nghttp2_session_set_stream_user_data(h->ng, st->id, NULL);
        body_drop(h, st);
        st->is_over = true;
        st->error = error;
        if (!list_is_linked(&st->lent))
                exchange_end(exchange_of(st), error);
}

void http2_stream_reset(struct http2_session *h, struct http2_stream *st, uint32_t code,
                        int error) {
        if (!st->is_closed &&
            nghttp2_submit_rst_stream(h->ng, NGHTTP2_FLAG_NONE, st->id, code) < 0)
                h->broken = -ENOMEM;
        http2_stream_end(h, st, error);
}

void http2_streams_sent(struct http2_session *h) {
        list_for_each_safe(at, &h->lent) {
                struct http2_stream *st = container_of(at, struct http2_stream, lent);

                list_remove(at);
                if (st->is_over)
                        exchange_end(exchange_of(st), st->error);
        }
}

/* ---- the request's body ---- */

static void body_discard(struct http2_session *h, struct http2_stream *st) {
        st->discards = true;
        body_drop(h, st);
}

/* Is the rest of the body to be read, although the answer is whole? */
static bool rest_is_awaited(const struct http2_session *h, struct http2_stream *st) {
        const struct exchange *x = exchange_of(st);

        if (h->leaving || h->ended || x->request.method == HTTP_CONNECT ||
            x->request.protocol.size || x->status == 413 || x->status == 408)
                return false;
        /* held back until it is asked for, which nobody will */
        return st->body_came || !x->request.expects_continue;
}

void http2_stream_answered(struct http2_session *h, struct http2_stream *st) {
        http2_guard_moved(h, 0, 1);
        if (unlikely(exchange_of(st)->upgraded && !st->body_given)) {
                st->is_shut = true;
                h->answering--;
                return;
        }
        if (unlikely(!st->body_ended && !rest_is_awaited(h, st))) {
                /* it is of no use to anybody (RFC 9113, 8.1) */
                http2_stream_reset(h, st, NGHTTP2_NO_ERROR, 0);
                return;
        }
        st->is_answered = true; /* where the body has ended, nghttp2 closes the stream next */
        h->answering--;
        h->discarding++;
        if (unlikely(!st->body_ended)) {
                http2_set_wanting(h, st, false);
                body_discard(h, st);
                st->moved_usec = http2_now(h);
        }
}

static void body_broke(struct http2_session *h, struct http2_stream *st, unsigned status,
                       int error) {
        struct exchange *x = exchange_of(st);

        http2_set_wanting(h, st, false);
        body_discard(h, st);
        if (x->status == 0) {
                exchange_take_over(x, error);
                exchange_refuse(x, status, (struct text){});
        } else if (st->wanted_body) {
                mark_failed(h, st, error);
        }
}

static void body_give(struct http2_session *h, struct http2_stream *st, struct text data,
                      bool last) {
        struct exchange *x = exchange_of(st);

        http2_set_wanting(h, st, false);
        st->body_given = last;
        consume(h, st->id, data.size);
        x->handler->body(x, data, last);
}

void http2_stream_data(struct http2_session *h, struct http2_stream *st, struct text data) {
        struct exchange *x = exchange_of(st);

        st->body_came = true;
        st->body_bytes += data.size;
        if (st->is_answered) {
                consume(h, st->id, data.size);
                if (st->body_bytes > h->session.context->limits.body_bytes_max)
                        http2_stream_reset(h, st, NGHTTP2_NO_ERROR, 0);
                return;
        }
        st->moved_usec = http2_now(h);
        if (st->discards || x->failed) {
                consume(h, st->id, data.size);
        } else if (st->body_bytes > h->session.context->limits.body_bytes_max &&
                   !x->request.protocol.size) {
                consume(h, st->id, data.size);
                body_broke(h, st, 413, -EMSGSIZE);
        } else if (st->wants_body && !st->body.used) {
                body_give(h, st, data, false);
        } else if (buffer_append_text(&st->body, data) < 0) {
                consume(h, st->id, data.size);
                mark_failed(h, st, -ENOMEM);
        }
}

void http2_stream_data_end(struct http2_session *h, struct http2_stream *st) {
        st->body_ended = true;
        if (st->is_answered)
                http2_stream_end(h, st, 0);
        else
                http2_make_due(h, st);
}

/* What was kept, as long as the handler wants it. */
static void body_give_kept(struct http2_session *h, struct http2_stream *st) {
        struct exchange *x = exchange_of(st);

        while (st->wants_body && !x->failed && (st->body.used || st->body_ended)) {
                struct buffer kept = st->body;

                st->body = (struct buffer){};
                body_give(h, st, buffer_text(&kept), st->body_ended);
                buffer_finish(&kept);
        }
        if ((st->wants_body || (x->upgraded && !st->body_ended)) && h->ended)
                mark_failed(h, st, -ECONNRESET);
}

/* ---- what is due ---- */

/* Does the client wait to be told to send the body that the handler wants? */
static bool invitation_is_due(struct http2_stream *st) {
        return st->wants_body && !st->body_came && !st->body_ended &&
               exchange_of(st)->request.expects_continue;
}

static void stream_go_on(struct http2_session *h, struct http2_stream *st) {
        struct exchange *x = exchange_of(st);

        if (st->is_answered) {
                if (h->ended || h->leaving)
                        http2_stream_reset(h, st, NGHTTP2_NO_ERROR, 0);
                return;
        }
        if (!x->failed)
                body_give_kept(h, st);
        if (x->failed) { /* a tunnel that breaks: RFC 8441, 5 */
                http2_stream_reset(h, st, x->upgraded ? NGHTTP2_CANCEL : NGHTTP2_INTERNAL_ERROR,
                                   x->error);
                return;
        }
        if (st->is_shut && st->body_given) {
                http2_stream_end(h, st, 0);
                return;
        }
        if (st->deferred && !st->waits) {
                st->deferred = false;
                if (nghttp2_session_resume_data(h->ng, st->id) == NGHTTP2_ERR_NOMEM)
                        h->broken = -ENOMEM;
        }
        if (x->status && !st->answering) {
                if (!st->wanted_body && !x->upgraded)
                        body_discard(h, st);
                http2_answer_begin(h, st);
        } else if (!x->status && invitation_is_due(st)) {
                http2_answer_continue(h, st);
        }
}

void http2_run_due(struct http2_session *h) {
        while (!list_is_empty(&h->due)) {
                struct list *first = h->due.next;

                list_remove(first);
                stream_go_on(h, container_of(first, struct http2_stream, due));
        }
}

void http2_make_all_due(struct http2_session *h) {
        list_for_each(at, &h->streams)
                http2_make_due(h, container_of(at, struct http2_stream, link));
}

/* ---- time ---- */

/* Does the answer wait for the client to open a window, for longer than it may? */
static bool window_waits(struct http2_session *h, const struct http2_stream *st, uint64_t now) {
        uint64_t timeout = h->session.context->limits.send_timeout_usec;

        if (!st->answering || st->is_answered || st->is_shut || st->waits ||
            now < st->moved_usec + timeout)
                return false;
        if (nghttp2_session_get_stream_remote_window_size(h->ng, st->id) <= 0)
                return true;
        /* all wait for the connection's; while some get on, others but have their turn later */
        return nghttp2_session_get_remote_window_size(h->ng) <= 0 && now >= h->data_usec + timeout;
}

/* Is the body due that the handler waits for? Not while others hold the connection's window. */
static bool body_waits(struct http2_session *h, struct http2_stream *st, uint64_t now) {
        return (st->wants_body || st->is_answered) && !exchange_of(st)->upgraded &&
               now >= st->moved_usec + h->session.context->limits.body_timeout_usec &&
               nghttp2_session_get_local_window_size(h->ng) > 0;
}

void http2_look_at_time(struct http2_session *h) {
        uint64_t now = http2_now(h);

        if (likely(now < h->look_usec))
                return;
        h->look_usec = now + USEC_PER_SEC;
        list_for_each_safe(at, &h->streams) {
                struct http2_stream *st = container_of(at, struct http2_stream, link);

                if (!body_waits(h, st, now) && !window_waits(h, st, now))
                        continue;
                if (st->is_answered)
                        http2_stream_reset(h, st, NGHTTP2_NO_ERROR, 0);
                else if (st->wants_body)
                        body_broke(h, st, 408, -ETIMEDOUT);
                else
                        http2_stream_reset(h, st, NGHTTP2_CANCEL, -ETIMEDOUT);
        }
}

/* ---- what handlers call ---- */

static void handler_called(struct exchange *x) {
        struct http2_session *h = http2_of(x->session);
        struct http2_stream *st = http2_stream_of(x);

        if (st->is_over || st->is_answered)
                return;
        http2_make_due(h, st);
        if (!h->busy)
                h->session.changed(&h->session);
}

static void handler_woke(struct exchange *x) {
        struct http2_stream *st = http2_stream_of(x);

        if (!st->is_over)
                http2_set_waiting(http2_of(x->session), st, false);
        handler_called(x);
}

static void handler_wants_body(struct exchange *x) {
        struct http2_session *h = http2_of(x->session);
        struct http2_stream *st = http2_stream_of(x);

        if (st->is_over)
                return;
        if (!invariant(!st->body_given && !st->discards)) {
                mark_failed(h, st, -EBADMSG);
        } else {
                http2_set_wanting(h, st, true);
                st->wanted_body = true;
                st->moved_usec = http2_now(h);
        }
        handler_called(x);
}

const struct exchange_carrier http2_carrier = {
        .answered = handler_called,
        .upgraded = handler_called,
        .woken = handler_woke,
        .want_body = handler_wants_body,
        .failed = handler_called,
};

/* ---- the beginning ---- */

void http2_stream_begin(struct http2_session *h, struct exchange *x, int32_t id, bool has_body,
                        unsigned refused) {
        struct http2_stream *st = http2_stream_of(x);

        *st = (struct http2_stream){
                .id = id,
                .body_ended = !has_body,
                .moved_usec = http2_now(h),
        };
        list_append(&h->streams, &st->link);
        nghttp2_session_set_stream_user_data(h->ng, id, st);
        if (refused) {
                st->discards = true;
                exchange_refuse_unparsed(x, refused);
                return;
        }
        exchange_begin(x);
        h->session.context->route(&h->session, x);
        if (!exchange_answer_ourselves(x))
                exchange_start(x);
}
