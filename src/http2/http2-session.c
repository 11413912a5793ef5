/* SPDX-License-Identifier: MIT */
#include "http2/http2-internal.h"

#include <errno.h>
#include <stdlib.h>

#include "base/invariant.h"

/*
 * The session's table, around nghttp2. Bytes come by feed(), frame by frame, and nghttp2 calls us
 * back for what is in them; output() asks nghttp2 for frames as long as there is room.
 *
 * Leaving (RFC 9113, 6.8) is told in two steps, so that no request is lost: first that the
 * connection is about to end, with a PING behind it. When the client has answered that, it has read
 * this and opens no stream any more; then the last one that is served is named, those that are open
 * are served, and the connection ends. A client that does not answer within a second is told the
 * last one all the same.
 */

#define NOTICE_USEC USEC_PER_SEC

static const uint8_t notice_ping[8] = "leaving";

/* ---- what the connection is told ---- */

static uint8_t phase_of(const struct http2_session *h) {
        if (!h->session.open)
                return http2_guard_is_between(&h->guard) ? HTTP_PHASE_IDLE : HTTP_PHASE_HEAD;
        if (h->wanting + h->discarding)
                return HTTP_PHASE_BODY;
        /* once output() gave nothing, who has more to give is kept from it by a window */
        return h->answering > h->waiting ? HTTP_PHASE_WINDOW : HTTP_PHASE_ANSWER;
}

static void settle(struct http2_session *h) {
        if (unlikely(h->head.x) && http2_guard_is_between(&h->guard))
                http2_head_drop(h);
        h->session.phase = phase_of(h);
        h->session.wants_input = !h->ended && !h->deaf && nghttp2_session_want_read(h->ng) &&
                                 nghttp2_session_get_outbound_queue_size(h->ng) < HTTP2_QUEUE_MAX;
        h->busy = false;
}

/* ---- leaving ---- */

void http2_hang_up(struct http2_session *h, uint32_t code) {
        if (nghttp2_session_terminate_session(h->ng, code) < 0)
                h->broken = -ENOMEM;
        h->deaf = true;
        h->leaving = HTTP2_HANGS_UP;
}

static void leave(struct http2_session *h) {
        int32_t last = nghttp2_session_get_last_proc_stream_id(h->ng);

        h->leaving = HTTP2_LEAVES;
        if (nghttp2_submit_goaway(h->ng, NGHTTP2_FLAG_NONE, last, NGHTTP2_NO_ERROR, NULL, 0) < 0)
                h->broken = -ENOMEM;
}

static void give_notice(struct http2_session *h) {
        h->leaving = HTTP2_GAVE_NOTICE;
        h->notice_usec = http2_now(h);
        http2_make_all_due(h);
        if (nghttp2_submit_shutdown_notice(h->ng) < 0 ||
            nghttp2_submit_ping(h->ng, NGHTTP2_FLAG_NONE, notice_ping) < 0)
                h->broken = -ENOMEM;
}

static void look_at_leaving(struct http2_session *h) {
        bool should = h->session.close_soon || h->session.context->draining;

        if (unlikely(should && h->leaving == HTTP2_STAYS))
                give_notice(h);
        else if (unlikely(h->leaving == HTTP2_GAVE_NOTICE &&
                          http2_now(h) >= h->notice_usec + NOTICE_USEC))
                leave(h);
}

/* ---- nghttp2 calls back ---- */

static int on_begin_headers(nghttp2_session *ng, const nghttp2_frame *frame, void *session) {
        http2_guard_block_begins(session);
        if (frame->headers.cat != NGHTTP2_HCAT_REQUEST)
                return 0;
        return http2_head_begin(session, frame->hd.stream_id) < 0
                       ? NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE
                       : 0;
}

static int on_header(nghttp2_session *ng, const nghttp2_frame *frame, nghttp2_rcbuf *name,
                     nghttp2_rcbuf *value, uint8_t flags, void *session) {
        struct http2_session *h = session;

        /* trailers are of no use to any handler */
        if (frame->headers.cat == NGHTTP2_HCAT_REQUEST && h->head.x &&
            h->head.id == frame->hd.stream_id && http2_head_add(h, name, value))
                return 0;
        if (likely(http2_guard_dropped(h, nghttp2_rcbuf_get_buf(name).len +
                                                  nghttp2_rcbuf_get_buf(value).len)))
                return 0;
        http2_hang_up(h, NGHTTP2_ENHANCE_YOUR_CALM);
        return NGHTTP2_ERR_PAUSE; /* the rest of the block is not even deciphered */
}

/* What nghttp2 would ignore makes a request malformed (RFC 9113, 8.2.1). */
static int on_invalid_header(nghttp2_session *ng, const nghttp2_frame *frame, nghttp2_rcbuf *name,
                             nghttp2_rcbuf *value, uint8_t flags, void *session) {
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
}

static void on_headers(struct http2_session *h, const nghttp2_frame *frame) {
        bool ends = frame->hd.flags & NGHTTP2_FLAG_END_STREAM;
        struct exchange *x;
        int refused;

        if (!http2_guard_block_ends(h))
                http2_hang_up(h, NGHTTP2_ENHANCE_YOUR_CALM);
        if (frame->headers.cat != NGHTTP2_HCAT_REQUEST || !h->head.x ||
            h->head.id != frame->hd.stream_id)
                return;
        refused = http2_head_end(h, !ends, &x);
        http2_stream_begin(h, x, frame->hd.stream_id, !ends, (unsigned)refused);
}

static int on_frame_recv(nghttp2_session *ng, const nghttp2_frame *frame, void *session) {
        struct http2_session *h = session;
        struct http2_stream *st;

        switch (frame->hd.type) {
        case NGHTTP2_HEADERS: on_headers(h, frame); break;
        case NGHTTP2_DATA: break;
        case NGHTTP2_PING:
                if (frame->hd.flags & NGHTTP2_FLAG_ACK && h->leaving == HTTP2_GAVE_NOTICE &&
                    memcmp(frame->ping.opaque_data, notice_ping, sizeof(notice_ping)) == 0)
                        leave(h);
                return 0;
        default: return 0;
        }
        if (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) {
                st = http2_stream_by_id(h, frame->hd.stream_id);
                if (st && !st->body_ended)
                        http2_stream_data_end(h, st);
        }
        return 0;
}

static int on_invalid_frame(nghttp2_session *ng, const nghttp2_frame *frame, int error,
                            void *session) {
        struct http2_session *h = session;

        h->refused_frame = true;
        /* it ends the connection; nothing behind it may be fed any more (CVE-2026-27135) */
        if (frame->hd.stream_id == 0)
                h->deaf = true;
        return 0;
}

static int on_data_chunk(nghttp2_session *ng, uint8_t flags, int32_t id, const uint8_t *data,
                         size_t size, void *session) {
        struct http2_session *h = session;
        struct http2_stream *st = http2_stream_by_id(h, id);

        http2_guard_moved(h, size, 0);
        if (st)
                http2_stream_data(h, st, (struct text){ (const char *)data, size });
        else if (nghttp2_session_consume(ng, id, size) < 0)
                h->broken = -ENOMEM;
        return 0;
}

static int on_stream_close(nghttp2_session *ng, int32_t id, uint32_t code, void *session) {
        struct http2_stream *st = http2_stream_by_id(session, id);

        if (st) {
                st->is_closed = true;
                /* both directions of a tunnel have ended, the handler has not taken all of one */
                if (!(st->is_shut && st->body_ended && code == NGHTTP2_NO_ERROR))
                        http2_stream_end(session, st, st->is_answered ? 0 : -ECONNRESET);
        }
        return 0;
}

static int on_frame_send(nghttp2_session *ng, const nghttp2_frame *frame, void *session) {
        struct http2_session *h = session;
        struct http2_stream *st = NULL;

        if (!(frame->hd.flags & NGHTTP2_FLAG_END_STREAM))
                return 0;
        if (frame->hd.type == NGHTTP2_DATA)
                st = h->out.last;
        else if (frame->hd.type == NGHTTP2_HEADERS)
                st = http2_stream_by_id(h, frame->hd.stream_id);
        if (st)
                http2_stream_answered(h, st);
        return 0;
}

static int on_frame_not_send(nghttp2_session *ng, const nghttp2_frame *frame, int error,
                             void *session) {
        struct http2_stream *st = http2_stream_by_id(session, frame->hd.stream_id);

        if (frame->hd.type == NGHTTP2_HEADERS && st)
                http2_stream_reset(session, st, NGHTTP2_INTERNAL_ERROR, -E2BIG);
        return 0;
}

/* ---- in ---- */

static int feed_frame(struct http2_session *h, struct text frame) {
        ssize_t n = nghttp2_session_mem_recv(h->ng, (const uint8_t *)frame.data, frame.size);

        if (unlikely(http2_fault(h)))
                return h->broken;
        if (n < 0) {
                h->deaf = true;
                return n == NGHTTP2_ERR_NOMEM ? -ENOMEM : -EPROTO;
        }
        if (h->refused_frame) {
                h->refused_frame = false;
                if (!http2_guard_refused(h) && h->leaving != HTTP2_HANGS_UP)
                        http2_hang_up(h, NGHTTP2_ENHANCE_YOUR_CALM);
        }
        return 0;
}

static int http2_feed(struct http_session *s, struct text data) {
        struct http2_session *h = http2_of(s);
        int r = 0;

        h->busy = true;
        while (data.size && !h->deaf && r == 0) {
                struct text frame;

                if (http2_guard_next(h, &data, &frame) == HTTP2_GUARD_FLOOD)
                        http2_hang_up(h, NGHTTP2_ENHANCE_YOUR_CALM);
                else
                        r = feed_frame(h, frame);
        }
        if (r == 0) {
                http2_run_due(h);
                http2_look_at_time(h);
                r = http2_fault(h);
        }
        settle(h);
        return r;
}

static int http2_feed_end(struct http_session *s) {
        struct http2_session *h = http2_of(s);

        h->busy = true;
        h->ended = true;
        http2_make_all_due(h);
        http2_run_due(h);
        settle(h);
        return http2_fault(h);
}

static int http2_time_out(struct http_session *s) {
        struct http2_session *h = http2_of(s);

        if (h->leaving == HTTP2_HANGS_UP || h->ended || h->sending)
                return HTTP_TIME_OUT_CLOSE;
        h->busy = true;
        if (s->open) {
                h->look_usec = 0;
                http2_look_at_time(h);
                http2_run_due(h);
                settle(h);
                return HTTP_TIME_OUT_GO_ON;
        }
        http2_hang_up(h, NGHTTP2_NO_ERROR);
        settle(h);
        return HTTP_TIME_OUT_ANSWERED;
}

/* ---- out ---- */

static int nothing_to_send(struct http2_session *h) {
        /* who ended their side can open no window any more */
        if (h->ended && (!h->session.open || phase_of(h) == HTTP_PHASE_WINDOW))
                return HTTP_OUTPUT_CLOSE;
        if (nghttp2_session_want_read(h->ng) || nghttp2_session_want_write(h->ng))
                return HTTP_OUTPUT_NONE;
        return h->ended ? HTTP_OUTPUT_CLOSE : HTTP_OUTPUT_LINGER;
}

static int http2_output(struct http_session *s, struct http_output *ret) {
        struct http2_session *h = http2_of(s);
        int r = HTTP_OUTPUT_NONE;

        if (h->sending)
                return HTTP_OUTPUT_NONE;
        h->busy = true;
        look_at_leaving(h);
        http2_look_at_time(h);
        do {
                http2_run_due(h);
                r = http2_fault(h) ? h->broken : http2_out_gather(h, ret);
        } while (r == 0 && !list_is_empty(&h->due));
        if (r > 0)
                h->sending = true;
        else if (r == 0)
                r = nothing_to_send(h);
        settle(h);
        return r > 0 && h->sending ? HTTP_OUTPUT_SEND : r;
}

static void http2_sent(struct http_session *s) {
        struct http2_session *h = http2_of(s);

        if (!invariant(h->sending))
                return;
        h->busy = true;
        h->sending = false;
        http2_streams_sent(h);
        http2_out_release(h);
        settle(h);
}

static void http2_finish(struct http_session *s, int error) {
        struct http2_session *h = http2_of(s);

        h->busy = true;
        http2_streams_sent(h);
        list_for_each_safe(at, &h->streams)
                http2_stream_end(h, container_of(at, struct http2_stream, link), error);
        http2_head_drop(h);
        http2_out_release(h);
        nghttp2_session_del(h->ng);
        h->ng = NULL;
        assert(h->memory.used == 0);
        s->phase = HTTP_PHASE_IDLE;
        s->wants_input = false;
}

/* ---- its life ---- */

static const struct http_protocol http2_protocol = {
        .name = "HTTP/2",
        .feed = http2_feed,
        .feed_end = http2_feed_end,
        .time_out = http2_time_out,
        .output = http2_output,
        .sent = http2_sent,
        .finish = http2_finish,
};

static void set_callbacks(nghttp2_session_callbacks *c) {
        nghttp2_session_callbacks_set_on_begin_headers_callback(c, on_begin_headers);
        nghttp2_session_callbacks_set_on_header_callback2(c, on_header);
        nghttp2_session_callbacks_set_on_invalid_header_callback2(c, on_invalid_header);
        nghttp2_session_callbacks_set_on_frame_recv_callback(c, on_frame_recv);
        nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(c, on_invalid_frame);
        nghttp2_session_callbacks_set_on_data_chunk_recv_callback(c, on_data_chunk);
        nghttp2_session_callbacks_set_on_stream_close_callback(c, on_stream_close);
        nghttp2_session_callbacks_set_on_frame_send_callback(c, on_frame_send);
        nghttp2_session_callbacks_set_on_frame_not_send_callback(c, on_frame_not_send);
        nghttp2_session_callbacks_set_send_data_callback(c, http2_answer_send);
}

static void set_options(nghttp2_option *o) {
        nghttp2_option_set_no_auto_window_update(o, 1);
        nghttp2_option_set_no_closed_streams(o, 1);
        nghttp2_option_set_builtin_recv_extension_type(o, NGHTTP2_PRIORITY_UPDATE);
}

static int open_nghttp2(struct http2_session *h, struct http_context *context) {
        nghttp2_mem memory = http2_memory_functions(&h->memory, context->blocks);
        nghttp2_session_callbacks *callbacks = NULL;
        nghttp2_option *options = NULL;
        int r = nghttp2_session_callbacks_new(&callbacks);

        if (r == 0)
                r = nghttp2_option_new(&options);
        if (r == 0) {
                set_callbacks(callbacks);
                set_options(options);
                r = nghttp2_session_server_new3(&h->ng, callbacks, h, options, &memory);
        }
        nghttp2_option_del(options);
        nghttp2_session_callbacks_del(callbacks);
        return r ? -ENOMEM : 0;
}

/*
 * What we announce; the last only where a handler may take it: without it clients use HTTP/1.1,
 * which costs a connection and otherwise would come to the same. nghttp2 refuses what was not
 * announced.
 */
static int say_hello(struct http2_session *h) {
        const nghttp2_settings_entry settings[] = {
                { NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, HTTP2_STREAMS_MAX },
                { NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE,
                  (uint32_t)h->session.context->limits.head_bytes_max },
                { NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1 },
                { NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL, 1 },
        };
        size_t count = ELEMENTS(settings) - !h->session.context->takes_upgrade;

        if (nghttp2_submit_settings(h->ng, NGHTTP2_FLAG_NONE, settings, count) < 0 ||
            nghttp2_session_set_local_window_size(h->ng, NGHTTP2_FLAG_NONE, 0,
                                                  HTTP2_CONNECTION_WINDOW) < 0)
                return -ENOMEM;
        return 0;
}

void http2_session_free(struct http_session *s) {
        struct http2_session *h = http2_of(s);

        if (h->ng)
                nghttp2_session_del(h->ng);
        free(h);
}

int http2_session_new(struct http_context *context, void (*changed)(struct http_session *s),
                      struct http_session **ret) {
        struct http2_session *h = calloc(1, sizeof(*h));

        if (!h)
                return -ENOMEM;
        h->session = (struct http_session){
                .protocol = &http2_protocol,
                .context = context,
                .changed = changed,
                .phase = HTTP_PHASE_IDLE,
                .wants_input = true,
        };
        h->guard.preface_left = HTTP2_PREFACE_BYTES;
        list_init(&h->streams);
        list_init(&h->due);
        list_init(&h->lent);
        if (open_nghttp2(h, context) < 0 || say_hello(h) < 0 || http2_fault(h)) {
                http2_session_free(&h->session);
                return -ENOMEM;
        }
        *ret = &h->session;
        return 0;
}
