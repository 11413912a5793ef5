/* SPDX-License-Identifier: MIT */
#include "lanes.h"

#include <errno.h>
#include <stdio.h>

#include "base/invariant.h"

static const struct exchange_carrier lanes_carrier;

static struct lanes_session *lanes_of(struct http_session *s) {
        return container_of(s, struct lanes_session, session);
}

static struct lane *lane_by_id(struct lanes_session *l, unsigned id) {
        for (unsigned i = 0; i < LANES_MAX; i++)
                if (l->lanes[i].exchange && l->lanes[i].id == id)
                        return &l->lanes[i];
        return NULL;
}

static struct lane *lane_free_one(struct lanes_session *l) {
        for (unsigned i = 0; i < LANES_MAX; i++)
                if (!l->lanes[i].exchange)
                        return &l->lanes[i];
        return NULL;
}

static void lane_end(struct lane *lane, int error) {
        exchange_end(lane->exchange, error);
        lane->exchange = NULL;
        buffer_finish(&lane->body);
}

/* ---- in ---- */

static enum http_method method_of(struct text name) {
        if (text_equal(name, TEXT("GET")))
                return HTTP_GET;
        if (text_equal(name, TEXT("HEAD")))
                return HTTP_HEAD;
        return text_equal(name, TEXT("POST")) ? HTTP_POST : HTTP_METHOD_OTHER;
}

/* The head is laid out in the exchange itself, as a protocol that decodes its fields would do. */
static void request_make(struct exchange *x, struct text method, struct text path) {
        struct http_request *r = &x->request;

        memset(r, 0, offsetof(struct http_request, fields));
        memcpy(x->head_room, method.data, method.size);
        memcpy(x->head_room + method.size, path.data, path.size);
        r->head = x->head_room;
        r->head_bytes = (uint32_t)(method.size + path.size);
        r->method = (uint8_t)method_of(method);
        r->method_name = (struct http_span){ 0, (uint32_t)method.size };
        r->target = r->path = (struct http_span){ (uint32_t)method.size, (uint32_t)path.size };
        r->body_kind = r->method == HTTP_POST ? HTTP_BODY_CHUNKED : HTTP_BODY_NONE;
}

static int request_begin(struct lanes_session *l, unsigned id, struct text method,
                         struct text path) {
        struct lane *lane = lane_free_one(l);
        struct exchange *x;

        if (!lane || lane_by_id(l, id))
                return -EPROTO;
        x = exchange_new(&l->session, &lanes_carrier);
        if (!x)
                return -ENOMEM;
        *lane = (struct lane){ .exchange = x, .id = id };
        x->carrier_data = lane;
        request_make(x, method, path);
        lane->body_ended = x->request.body_kind == HTTP_BODY_NONE;
        exchange_begin(x);
        l->session.context->route(&l->session, x);
        exchange_start(x);
        return 0;
}

static int line_take(struct lanes_session *l, struct text line) {
        struct text id_text, verb;
        struct lane *lane;
        uint64_t id;

        if (!text_next_word(&line, " ", &id_text) || text_to_u64(id_text, &id) < 0 ||
            !text_next_word(&line, " ", &verb))
                return -EPROTO;
        line = text_trim(line);
        lane = lane_by_id(l, (unsigned)id);
        if (text_equal(verb, TEXT("+")))
                return lane ? buffer_append_text(&lane->body, line) : 0;
        if (text_equal(verb, TEXT("."))) {
                if (lane)
                        lane->body_ended = true;
                return 0;
        }
        return request_begin(l, (unsigned)id, verb, line);
}

static int lanes_feed(struct http_session *s, struct text data) {
        struct lanes_session *l = lanes_of(s);
        int r = buffer_append_text(&l->input, data);
        size_t end;

        l->busy = true;
        while (r == 0 && (end = text_find(buffer_text(&l->input), '\n')) < l->input.used) {
                r = end < LANE_LINE_BYTES_MAX ? line_take(l, (struct text){ l->input.data, end })
                                              : -EPROTO;
                buffer_consume(&l->input, end + 1);
        }
        l->busy = false;
        return r;
}

static int lanes_feed_end(struct http_session *s) {
        lanes_of(s)->ended = true;
        s->wants_input = false;
        return 0;
}

/* Lanes have no deadlines. */
static int lanes_time_out(struct http_session *s) {
        return HTTP_TIME_OUT_CLOSE;
}

static void body_give(struct lane *lane) {
        while (lane->wants_body && !lane->exchange->failed &&
               (lane->body.used || lane->body_ended)) {
                struct buffer body = lane->body;

                lane->body = (struct buffer){};
                lane->wants_body = false;
                lane->body_given = lane->body_ended;
                lane->exchange->handler->body(lane->exchange, buffer_text(&body), lane->body_given);
                buffer_finish(&body);
        }
}

/* ---- out ---- */

static int frame_send(struct lanes_session *l, struct lane *lane, int size,
                      const struct exchange_piece *piece, struct http_output *ret) {
        ret->parts[0] = (struct iovec){ l->frame, (size_t)size };
        ret->count = 1;
        ret->file = -1;
        ret->file_bytes = 0;
        if (piece && piece->data && piece->bytes) {
                ret->parts[ret->count++] = (struct iovec){ (void *)piece->data, piece->bytes };
        } else if (piece && piece->bytes) {
                ret->file = piece->file;
                ret->file_offset = piece->offset;
                ret->file_bytes = piece->bytes;
        }
        l->sending = lane;
        l->next = (unsigned)(lane - l->lanes) + 1;
        return HTTP_OUTPUT_SEND;
}

static int broken_send(struct lanes_session *l, struct lane *lane, struct http_output *ret) {
        int n = snprintf(l->frame, sizeof(l->frame), "%u broken %d\n", lane->id,
                         lane->exchange->error);

        lane->is_over = true;
        return frame_send(l, lane, n, NULL, ret);
}

static int head_send(struct lanes_session *l, struct lane *lane, struct http_output *ret) {
        struct exchange *x = lane->exchange;
        size_t fields_bytes = x->fields.size + x->page_fields.size;
        int n = snprintf(l->frame, sizeof(l->frame), "%u status %u %zu\n%.*s%.*s", lane->id,
                         x->status, fields_bytes, TEXT_ARGS(x->fields), TEXT_ARGS(x->page_fields));

        lane->head_sent = true;
        if (!exchange_has_body(x)) {
                n += snprintf(l->frame + n, sizeof(l->frame) - (size_t)n, "%u last 0\n", lane->id);
                lane->is_over = true;
        }
        return frame_send(l, lane, n, NULL, ret);
}

/* HTTP_OUTPUT_NONE: the handler has none, or has failed. */
static int piece_send(struct lanes_session *l, struct lane *lane, struct http_output *ret) {
        struct exchange *x = lane->exchange;
        int n, r;

        lane->waits = true;
        r = exchange_pull(x, l->room_bytes, &x->piece);
        if (r > 0)
                return HTTP_OUTPUT_NONE;
        lane->waits = false;
        if (r < 0) {
                x->failed = true;
                x->error = r;
                return HTTP_OUTPUT_NONE;
        }
        x->sent_bytes += x->piece.bytes;
        lane->is_over = x->piece.last;
        n = snprintf(l->frame, sizeof(l->frame), "%u %s %llu\n", lane->id,
                     x->piece.last ? "last" : "more", (unsigned long long)x->piece.bytes);
        return frame_send(l, lane, n, &x->piece, ret);
}

static int lane_output(struct lanes_session *l, struct lane *lane, struct http_output *ret) {
        int r = HTTP_OUTPUT_NONE;

        body_give(lane);
        if (!lane->exchange->failed && lane->exchange->status && !lane->head_sent)
                return head_send(l, lane, ret);
        if (!lane->exchange->failed && lane->head_sent && !lane->waits)
                r = piece_send(l, lane, ret);
        return lane->exchange->failed ? broken_send(l, lane, ret) : r;
}

static int lanes_output(struct http_session *s, struct http_output *ret) {
        struct lanes_session *l = lanes_of(s);
        int r = HTTP_OUTPUT_NONE;

        assert(!l->sending);
        l->busy = true;
        for (unsigned i = 0; i < LANES_MAX && r == HTTP_OUTPUT_NONE; i++) {
                struct lane *lane = &l->lanes[(l->next + i) % LANES_MAX];

                if (lane->exchange)
                        r = lane_output(l, lane, ret);
        }
        l->busy = false;
        s->phase = s->open ? HTTP_PHASE_ANSWER : HTTP_PHASE_IDLE;
        return r == HTTP_OUTPUT_NONE && l->ended && !s->open ? HTTP_OUTPUT_CLOSE : r;
}

static void lanes_sent(struct http_session *s) {
        struct lanes_session *l = lanes_of(s);
        struct lane *lane = l->sending;

        l->busy = true;
        l->sending = NULL;
        if (lane->is_over)
                lane_end(lane, 0);
        l->busy = false;
}

static void lanes_finish(struct http_session *s, int error) {
        struct lanes_session *l = lanes_of(s);

        l->busy = true;
        for (unsigned i = 0; i < LANES_MAX; i++)
                if (l->lanes[i].exchange)
                        lane_end(&l->lanes[i], error);
        buffer_finish(&l->input);
}

/* ---- what handlers call ---- */

static void handler_called(struct exchange *x) {
        if (!lanes_of(x->session)->busy)
                x->session->changed(x->session);
}

static void handler_woke(struct exchange *x) {
        struct lane *lane = x->carrier_data;

        lane->waits = false;
        handler_called(x);
}

static void handler_wants_body(struct exchange *x) {
        struct lane *lane = x->carrier_data;

        if (!invariant(!lane->body_given)) {
                x->failed = true;
                x->error = -EBADMSG;
        }
        lane->wants_body = true;
        handler_called(x);
}

static const struct exchange_carrier lanes_carrier = {
        .answered = handler_called,
        .woken = handler_woke,
        .want_body = handler_wants_body,
        .failed = handler_called,
};

static const struct http_protocol lanes_protocol = {
        .name = "lanes",
        .feed = lanes_feed,
        .feed_end = lanes_feed_end,
        .time_out = lanes_time_out,
        .output = lanes_output,
        .sent = lanes_sent,
        .finish = lanes_finish,
};

void lanes_session_init(struct lanes_session *l, struct http_context *context,
                        void (*changed)(struct http_session *s), uint64_t room_bytes) {
        *l = (struct lanes_session){
                .session = {
                        .protocol = &lanes_protocol,
                        .context = context,
                        .changed = changed,
                        .wants_input = true,
                },
                .room_bytes = room_bytes,
        };
}
