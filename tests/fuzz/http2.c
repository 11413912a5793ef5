/* SPDX-License-Identifier: MIT */
#include "../unit/http/samples.h"
#include "fuzz.h"
#include "http2/http2-internal.h"

/*
 * Frames into a session, with handlers that do all that handlers may, and with the connection's
 * own doings between: outputs that stay unsent for a while, time that passes, the end of input.
 * What comes out must be whole frames, none of them behind the end of its stream; each exchange
 * that begins must end, and nothing may be left behind.
 *
 * Input, over and over: a type, flags, the stream, the length and so many bytes of payload. Types
 * past 0xe0 are what happens beside the frames. (HPACK's state is that of the bytes before.)
 */

enum {
        DO_GO_ON = 0xe0, /* handlers that wait do not any more */
        DO_HOLD,         /* the next output is not sent … */
        DO_SENT,         /* … until here */
        DO_PASS_TIME,
        DO_TIME_OUT,
        DO_LEAVE,
        DO_END_INPUT,
        DO_CUT, /* frames come in two pieces from here on */
        DO_RAW, /* the payload, without a frame's head */
        DO_OPEN_WINDOWS,
        STEPS_MAX = 20000,
        STREAMS_SEEN = 512,
};

extern const struct http2_module emberd_module;

static struct http_context context;
static struct samples samples;
static uint64_t now_usec;

static struct run {
        struct http_session *s;
        bool hold, unsent, over, cut, inside;
        uint8_t head[HTTP2_FRAME_HEAD_BYTES];
        unsigned head_bytes;
        uint32_t payload_left;
        bool in_block;
        bool ended[STREAMS_SEEN];
} run;

static void refuse(struct exchange *x) {
        exchange_refuse(x, 404, (struct text){});
}

static const struct exchange_handler refusing = { .name = "refusing", .start = refuse };

/* Handlers that break the rules end the process in a test build. */
static void run_route(struct http_session *s, struct exchange *x) {
        static const char *const breaking[] = { "/short", "/long", "/endless", "/twice",
                                                "/wants-twice" };

        samples_route(&samples, x);
        for (size_t i = 0; i < ELEMENTS(breaking); i++)
                if (text_equal(http_span_text(&x->request, x->request.path), text_of(breaking[i])))
                        x->handler = &refusing;
}

static void run_changed(struct http_session *s) {
        must(!run.inside);
}

/* ---- what comes out ---- */

static void frame_seen(void) {
        uint32_t id = (uint32_t)run.head[5] << 24 | (uint32_t)run.head[6] << 16 |
                      (uint32_t)run.head[7] << 8 | run.head[8];
        uint8_t type = run.head[3], flags = run.head[4];

        run.payload_left = (uint32_t)run.head[0] << 16 | (uint32_t)run.head[1] << 8 | run.head[2];
        must(run.payload_left <= HTTP2_FRAME_BYTES_MAX);
        must(type != NGHTTP2_PUSH_PROMISE && type <= NGHTTP2_CONTINUATION);
        must(run.in_block == (type == NGHTTP2_CONTINUATION));
        if (type == NGHTTP2_HEADERS || type == NGHTTP2_CONTINUATION)
                run.in_block = !(flags & NGHTTP2_FLAG_END_HEADERS);
        must(type != NGHTTP2_DATA || id);
        if (id >= STREAMS_SEEN)
                return;
        if (type == NGHTTP2_DATA || type == NGHTTP2_HEADERS) {
                must(!run.ended[id]);
                run.ended[id] = flags & NGHTTP2_FLAG_END_STREAM;
        } else if (type == NGHTTP2_RST_STREAM) {
                run.ended[id] = true;
        }
}

static void bytes_seen(const uint8_t *data, size_t size) {
        while (size) {
                size_t n = MIN(size, (size_t)run.payload_left);

                run.payload_left -= (uint32_t)n;
                data += n, size -= n;
                if (!size)
                        return;
                run.head[run.head_bytes++] = *data++, size--;
                if (run.head_bytes == sizeof(run.head)) {
                        run.head_bytes = 0;
                        frame_seen();
                }
        }
}

static void output_seen(const struct http_output *o) {
        must(o->count <= HTTP_OUTPUT_PARTS_MAX);
        for (unsigned i = 0; i < o->count; i++)
                bytes_seen(o->parts[i].iov_base, o->parts[i].iov_len);
        must(o->file_bytes <= run.payload_left);
        run.payload_left -= (uint32_t)o->file_bytes;
}

/* ---- the connection ---- */

static void sent(void) {
        run.unsent = false;
        run.inside = true;
        run.s->protocol->sent(run.s);
        run.inside = false;
}

static void advance(void) {
        unsigned steps = 0;

        while (!run.over && !run.unsent) {
                struct http_output output;
                int r;

                run.inside = true;
                r = run.s->protocol->output(run.s, &output);
                run.inside = false;
                must(steps++ < STEPS_MAX);
                if (r == HTTP_OUTPUT_NONE)
                        return;
                if (r != HTTP_OUTPUT_SEND) {
                        run.over = true;
                        return;
                }
                output_seen(&output);
                run.unsent = true;
                if (run.hold)
                        return;
                sent();
        }
}

static void feed(const uint8_t *data, size_t size) {
        uint8_t *lent;
        int r;

        if (run.over || !run.s->wants_input || !size)
                return;
        lent = malloc(size);
        must(lent);
        memcpy(lent, data, size);
        run.inside = true;
        r = run.s->protocol->feed(run.s, (struct text){ (char *)lent, size });
        run.inside = false;
        free(lent);
        run.over |= r < 0;
        advance();
}

static void frame(uint8_t type, uint8_t flags, uint8_t id, const uint8_t *data, size_t size) {
        uint8_t whole[HTTP2_FRAME_HEAD_BYTES + 255] = {
                [2] = (uint8_t)size, [3] = type, [4] = flags, [8] = id
        };
        size_t cut = run.cut ? (size + id) % (size + HTTP2_FRAME_HEAD_BYTES) : 0;

        memcpy(whole + HTTP2_FRAME_HEAD_BYTES, data, size);
        feed(whole, cut);
        feed(whole + cut, size + HTTP2_FRAME_HEAD_BYTES - cut);
}

static void time_out(void) {
        if (run.over || run.unsent || run.s->phase == HTTP_PHASE_ANSWER)
                return;
        run.over = run.s->protocol->time_out(run.s) == HTTP_TIME_OUT_CLOSE;
}

static void end_input(void) {
        run.inside = true;
        if (!run.over && run.s->wants_input)
                run.over = run.s->protocol->feed_end(run.s) < 0;
        run.inside = false;
}

static void open_windows(void) {
        frame(NGHTTP2_SETTINGS, 0, 0, (const uint8_t *)"\0\4\1\0\0\0", 6);
        frame(NGHTTP2_WINDOW_UPDATE, 0, 0, (const uint8_t *)"\1\0\0\0", 4);
}

static void take_step(const uint8_t *in, const uint8_t *data, size_t size) {
        switch (in[0]) {
        case DO_GO_ON: samples_go_on(&samples); break;
        case DO_HOLD: run.hold = true; break;
        case DO_SENT:
                run.hold = false;
                if (run.unsent)
                        sent();
                break;
        case DO_PASS_TIME: now_usec += (uint64_t)in[1] * USEC_PER_SEC; break;
        case DO_TIME_OUT: time_out(); break;
        case DO_LEAVE: run.s->close_soon = true; break;
        case DO_END_INPUT: end_input(); break;
        case DO_CUT: run.cut = true; break;
        case DO_RAW: feed(data, size); break;
        case DO_OPEN_WINDOWS: open_windows(); break;
        default: frame(in[0], in[1], in[2], data, size);
        }
        advance();
}

/* ---- a run ---- */

static void begin(void) {
        static bool is_ready;

        if (!is_ready) {
                http_context_init(&context, &now_usec);
                context.route = run_route;
                context.takes_upgrade = true;
                samples_init(&samples);
                is_ready = true;
        }
        samples.journal.used = 0;
        run = (struct run){};
        must(emberd_module.session_new(&context, run_changed, &run.s) == 0);
        feed((const uint8_t *)HTTP2_PREFACE, HTTP2_PREFACE_BYTES);
        frame(NGHTTP2_SETTINGS, 0, 0, (const uint8_t *)"", 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        begin();
        while (size >= 4 && !run.over) {
                size_t n = MIN((size_t)data[3], size - 4);

                take_step(data, data + 4, n);
                data += 4 + n;
                size -= 4 + n;
        }
        must(http2_of(run.s)->memory.most < HTTP2_MEMORY_BYTES_MAX);
        run.inside = true;
        if (run.unsent)
                run.s->protocol->sent(run.s);
        run.s->protocol->finish(run.s, -1);
        must(run.s->open == 0 && samples.started == samples.finished);
        must(context.exchanges.lent == 0 && context.chunks.lent == 0);
        emberd_module.session_free(run.s);
        return 0;
}
