/* SPDX-License-Identifier: MIT */
#include "peer.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

/* more would be a loop without end: no conversation of these tests needs as many */
enum { STEPS_MAX = 1000 * 1000, BLOCK_BYTES_MAX = 256 * 1024 };

extern const struct http2_module emberd_module;

static struct peer *the_peer; /* tests have one at a time */

/* ---- its life ---- */

static void peer_route(struct http_session *s, struct exchange *x) {
        samples_route(&the_peer->samples, x);
}

static void peer_finished(struct http_session *s, struct exchange *x) {
        buffer_printf(&the_peer->log, "%.*s %.*s %u %llu;",
                      TEXT_ARGS(http_span_text(&x->request, x->request.method_name)),
                      TEXT_ARGS(http_span_text(&x->request, x->request.target)), x->status,
                      (unsigned long long)x->sent_bytes);
        the_peer->bugs += x->error == -EBADMSG;
}

static void peer_changed(struct http_session *s) {
        assert_false(the_peer->in_session);
        the_peer->changes++;
        if (the_peer->at_once)
                peer_run(the_peer);
}

static uint64_t peer_real_usec(void) {
        return UINT64_C(784111777) * USEC_PER_SEC;
}

static struct peer *peer_make(bool takes_upgrade) {
        struct peer *p = test_calloc(1, sizeof(*p));

        the_peer = p;
        p->now_usec = 1000;
        memset(p->settings, 0xff, sizeof(p->settings));
        http_context_init(&p->context, &p->now_usec);
        p->context.real_usec = peer_real_usec;
        p->context.route = peer_route;
        p->context.finished = peer_finished;
        p->context.takes_upgrade = takes_upgrade;
        samples_init(&p->samples);
        assert_int_equal(nghttp2_hd_inflate_new(&p->inflater), 0);
        assert_int_equal(nghttp2_hd_deflate_new(&p->deflater, 4096), 0);
        if (emberd_module.session_new(&p->context, peer_changed, &p->session) < 0)
                p->session = NULL;
        else
                p->h = http2_of(p->session);
        return p;
}

static struct peer *greeted(struct peer *p) {
        assert_non_null(p->session);
        peer_preface(p);
        peer_frame(p, NGHTTP2_SETTINGS, 0, 0, NULL, 0);
        peer_frame(p, NGHTTP2_SETTINGS, NGHTTP2_FLAG_ACK, 0, NULL, 0);
        peer_go(p);
        return p;
}

struct peer *peer_new_silent(void) {
        return peer_make(false);
}

struct peer *peer_new(void) {
        return greeted(peer_make(false));
}

struct peer *peer_new_for_tunnels(bool greet) {
        return greet ? greeted(peer_make(true)) : peer_make(true);
}

void peer_free(struct peer *p) {
        if (p->session) {
                p->in_session = true;
                p->session->protocol->finish(p->session, -ECONNRESET);
                assert_int_equal(p->session->open, 0);
                assert_int_equal(p->h->wanting + p->h->waiting, 0);
                assert_int_equal(p->h->answering + p->h->discarding, 0);
                emberd_module.session_free(p->session);
        }
        samples_finish(&p->samples);
        http_context_finish(&p->context);
        nghttp2_hd_inflate_del(p->inflater);
        nghttp2_hd_deflate_del(p->deflater);
        buffer_finish(&p->in);
        buffer_finish(&p->out);
        buffer_finish(&p->log);
        for (unsigned i = 0; i < PEER_STREAMS_MAX; i++) {
                buffer_finish(&p->streams[i].fields);
                buffer_finish(&p->streams[i].body);
        }
        test_free(p);
        the_peer = NULL;
}

/* ---- writing ---- */

static void put_32(uint8_t *to, uint32_t n) {
        for (unsigned i = 0; i < 4; i++)
                to[i] = (uint8_t)(n >> (24 - 8 * i));
}

static uint32_t get_32(const char *at) {
        const uint8_t *b = (const uint8_t *)at;

        return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
}

void peer_frame(struct peer *p, uint8_t type, uint8_t flags, uint32_t id, const void *data,
                size_t size) {
        uint8_t head[9] = { (uint8_t)(size >> 16), (uint8_t)(size >> 8), (uint8_t)size, type,
                            flags };

        put_32(head + 5, id);
        assert_int_equal(buffer_append(&p->out, head, sizeof(head)), 0);
        assert_int_equal(buffer_append(&p->out, data, size), 0);
}

void peer_preface(struct peer *p) {
        assert_int_equal(buffer_append(&p->out, HTTP2_PREFACE, HTTP2_PREFACE_BYTES), 0);
}

static size_t field_of(struct text line, nghttp2_nv *nv) {
        /* the first byte may be the colon of a pseudo-field */
        size_t colon = 1 + text_find((struct text){ line.data + 1, line.size - 1 }, ':');
        struct text value = { line.data + colon + 1, line.size - colon - 1 };

        if (value.size && value.data[0] == ' ')
                value.data++, value.size--;
        *nv = (nghttp2_nv){
                .name = (uint8_t *)line.data,
                .namelen = colon,
                .value = (uint8_t *)value.data,
                .valuelen = value.size,
                .flags = NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE,
        };
        return 1;
}

void peer_headers(struct peer *p, uint32_t id, const char *fields, uint8_t flags) {
        struct text rest = text_of(fields), line;
        static uint8_t block[BLOCK_BYTES_MAX];
        static nghttp2_nv nv[20000];
        size_t count = 0, at = 0, space;
        char pseudo[4][200];
        ssize_t n;

        while (text_next_word(&rest, "\n", &line)) {
                if (count == 0 && line.data[0] != ':' &&
                    (space = text_find(line, ' ')) < line.size &&
                    text_find(line, ':') == line.size) {
                        snprintf(pseudo[0], 200, ":method: %.*s", (int)space, line.data);
                        snprintf(pseudo[1], 200, ":path: %.*s", (int)(line.size - space - 1),
                                 line.data + space + 1);
                        snprintf(pseudo[2], 200, ":scheme: http");
                        snprintf(pseudo[3], 200, ":authority: localhost");
                        for (unsigned i = 0; i < 4; i++)
                                count += field_of(text_of(pseudo[i]), &nv[count]);
                        continue;
                }
                count += field_of(line, &nv[count]);
        }
        n = nghttp2_hd_deflate_hd(p->deflater, block, sizeof(block), nv, count);
        assert_true(n >= 0);
        do {
                size_t size = MIN((size_t)n - at, (size_t)16384);
                bool last = at + size == (size_t)n;

                peer_frame(p, at ? NGHTTP2_CONTINUATION : NGHTTP2_HEADERS,
                           (uint8_t)((last ? NGHTTP2_FLAG_END_HEADERS : 0) | (at ? 0 : flags)), id,
                           block + at, size);
                at += size;
        } while (at < (size_t)n);
}

void peer_get(struct peer *p, uint32_t id, const char *path) {
        char line[200];

        snprintf(line, sizeof(line), "GET %s", path);
        peer_headers(p, id, line, NGHTTP2_FLAG_END_STREAM);
}

void peer_data(struct peer *p, uint32_t id, const void *data, size_t size, bool last) {
        peer_frame(p, NGHTTP2_DATA, last ? NGHTTP2_FLAG_END_STREAM : 0, id, data, size);
}

void peer_window(struct peer *p, uint32_t id, uint32_t increment) {
        uint8_t b[4];

        put_32(b, increment);
        peer_frame(p, NGHTTP2_WINDOW_UPDATE, 0, id, b, sizeof(b));
}

void peer_setting(struct peer *p, uint16_t id, uint32_t value) {
        uint8_t b[6] = { (uint8_t)(id >> 8), (uint8_t)id };

        put_32(b + 2, value);
        peer_frame(p, NGHTTP2_SETTINGS, 0, 0, b, sizeof(b));
}

void peer_reset(struct peer *p, uint32_t id, uint32_t code) {
        uint8_t b[4];

        put_32(b, code);
        peer_frame(p, NGHTTP2_RST_STREAM, 0, id, b, sizeof(b));
}

void peer_ping(struct peer *p, const char *eight, bool ack) {
        peer_frame(p, NGHTTP2_PING, ack ? NGHTTP2_FLAG_ACK : 0, 0, eight, 8);
}

/* ---- reading ---- */

struct peer_stream *peer_stream(struct peer *p, uint32_t id) {
        assert_true(id / 2 < PEER_STREAMS_MAX);
        return &p->streams[id / 2];
}

static void read_headers(struct peer *p, struct peer_stream *s, const uint8_t *data, size_t size,
                         bool last) {
        unsigned status = 0;
        nghttp2_nv nv;
        int flags = 0;

        for (;;) {
                ssize_t n = nghttp2_hd_inflate_hd2(p->inflater, &nv, &flags, data, size, last);

                assert_true(n >= 0);
                data += n;
                size -= (size_t)n;
                if (!(flags & NGHTTP2_HD_INFLATE_EMIT))
                        break;
                if (nv.namelen == 7 && memcmp(nv.name, ":status", 7) == 0) {
                        status = (unsigned)atoi((const char *)nv.value);
                        continue;
                }
                for (size_t i = 0; i < nv.namelen; i++)
                        assert_false(nv.name[i] >= 'A' && nv.name[i] <= 'Z');
                buffer_printf(&s->fields, "%.*s: %.*s\n", (int)nv.namelen, nv.name,
                              (int)nv.valuelen, nv.value);
        }
        assert_int_equal(size, 0);
        if (last)
                nghttp2_hd_inflate_end_headers(p->inflater);
        if (status == 100)
                s->invited++;
        else if (status)
                s->status = status;
}

static void read_settings(struct peer *p, const struct peer_frame *f, const char *data) {
        if (f->flags & NGHTTP2_FLAG_ACK) {
                p->settings_acks++;
                return;
        }
        for (uint32_t at = 0; at + 6 <= f->bytes; at += 6) {
                unsigned id = (unsigned)(uint8_t)data[at] << 8 | (uint8_t)data[at + 1];

                assert_true(id < ELEMENTS(p->settings));
                p->settings[id] = get_32(data + at + 2);
        }
}

static void read_frame(struct peer *p, struct peer_frame *f, const char *data) {
        struct peer_stream *s = f->id ? peer_stream(p, f->id) : NULL;

        switch (f->type) {
        case NGHTTP2_DATA:
                assert_non_null(s);
                assert_false(s->ended);
                assert_int_equal(buffer_append(&s->body, data, f->bytes), 0);
                break;
        case NGHTTP2_HEADERS:
        case NGHTTP2_CONTINUATION:
                assert_non_null(s);
                read_headers(p, s, (const uint8_t *)data, f->bytes,
                             f->flags & NGHTTP2_FLAG_END_HEADERS);
                break;
        case NGHTTP2_RST_STREAM:
                f->code = get_32(data);
                assert_non_null(s);
                assert_false(s->reset);
                s->reset = true;
                s->code = f->code;
                break;
        case NGHTTP2_SETTINGS: read_settings(p, f, data); break;
        case NGHTTP2_PING:
                if (f->flags & NGHTTP2_FLAG_ACK)
                        p->pings_acks++;
                else
                        memcpy(p->last_ping, data, 8);
                break;
        case NGHTTP2_GOAWAY:
                f->last = get_32(data);
                f->code = get_32(data + 4);
                break;
        case NGHTTP2_WINDOW_UPDATE: f->code = get_32(data); break;
        default: fail_msg("a frame of type %u", f->type);
        }
        if (s && (f->type == NGHTTP2_DATA || f->type == NGHTTP2_HEADERS) &&
            f->flags & NGHTTP2_FLAG_END_STREAM)
                s->ended = true;
}

static void read_frames(struct peer *p) {
        size_t at = 0;

        while (p->in.used - at >= 9) {
                const char *b = p->in.data + at;
                struct peer_frame f = {
                        .bytes = get_32(b) >> 8,
                        .type = (uint8_t)b[3],
                        .flags = (uint8_t)b[4],
                        .id = get_32(b + 5),
                };

                assert_true(f.bytes <= 16384);
                if (p->in.used - at < 9 + f.bytes)
                        break;
                read_frame(p, &f, b + 9);
                if (p->frame_count < PEER_FRAMES_MAX)
                        p->frames[p->frame_count++] = f;
                at += 9 + f.bytes;
        }
        buffer_consume(&p->in, at);
}

/* ---- running ---- */

static void peer_take(struct peer *p, const struct http_output *o) {
        assert_true(o->count <= HTTP_OUTPUT_PARTS_MAX);
        for (unsigned i = 0; i < o->count; i++) {
                assert_true(o->parts[i].iov_len > 0);
                assert_int_equal(buffer_append(&p->in, o->parts[i].iov_base, o->parts[i].iov_len),
                                 0);
        }
        if (o->file_bytes) {
                assert_int_equal(buffer_reserve(&p->in, o->file_bytes), 0);
                assert_int_equal(pread(o->file, p->in.data + p->in.used, o->file_bytes,
                                       (off_t)o->file_offset),
                                 o->file_bytes);
                p->in.used += o->file_bytes;
        }
        p->outputs++;
        read_frames(p);
}

static void tell_sent(struct peer *p) {
        p->in_session = true;
        p->session->protocol->sent(p->session);
        p->in_session = false;
        p->unsent = false;
}

/* One step; false: there is nothing to do. */
static bool peer_step(struct peer *p) {
        struct http_output output;
        int r;

        p->in_session = true;
        r = p->session->protocol->output(p->session, &output);
        p->in_session = false;
        switch (r) {
        case HTTP_OUTPUT_SEND:
                peer_take(p, &output);
                p->unsent = true;
                if (p->hold_sent)
                        return false;
                tell_sent(p);
                return true;
        case HTTP_OUTPUT_NONE: return !p->hold && samples_go_on(&p->samples);
        case HTTP_OUTPUT_CLOSE: p->end = PEER_CLOSE; return false;
        case HTTP_OUTPUT_LINGER: p->end = PEER_LINGER; return false;
        default:
                p->end = PEER_BROKEN;
                p->error = r;
                return false;
        }
}

void peer_run(struct peer *p) {
        unsigned steps = 0;

        while (p->end == PEER_OPEN && !p->unsent && peer_step(p))
                assert_true(++steps < STEPS_MAX);
}

void peer_sent(struct peer *p) {
        assert_true(p->unsent);
        p->hold_sent = false;
        tell_sent(p);
        peer_run(p);
}

void peer_feed(struct peer *p, struct text data) {
        char *lent;
        int r;

        if (p->end != PEER_OPEN)
                return;
        lent = test_malloc(data.size ? data.size : 1); /* the sanitizer sees who keeps it */
        if (data.size)
                memcpy(lent, data.data, data.size);
        p->in_session = true;
        r = p->session->protocol->feed(p->session, (struct text){ lent, data.size });
        p->in_session = false;
        test_free(lent);
        if (r < 0) {
                p->end = PEER_BROKEN;
                p->error = r;
        }
}

void peer_go(struct peer *p) {
        peer_feed(p, buffer_text(&p->out));
        p->out.used = 0;
        peer_run(p);
}

void peer_end_input(struct peer *p) {
        p->in_session = true;
        assert_int_equal(p->session->protocol->feed_end(p->session), 0);
        p->in_session = false;
        peer_run(p);
}

/* ---- what came ---- */

const char *peer_field(struct peer *p, uint32_t id, const char *name) {
        struct text rest = buffer_text(&peer_stream(p, id)->fields), line;
        static char value[40000];
        size_t n = strlen(name);

        while (text_next_word(&rest, "\n", &line))
                if (line.size > n + 1 && memcmp(line.data, name, n) == 0 && line.data[n] == ':') {
                        snprintf(value, sizeof(value), "%.*s", (int)(line.size - n - 2),
                                 line.data + n + 2);
                        return value;
                }
        return NULL;
}

const struct peer_frame *peer_last(struct peer *p, uint8_t type) {
        for (unsigned i = p->frame_count; i-- > 0;)
                if (p->frames[i].type == type)
                        return &p->frames[i];
        return NULL;
}

unsigned peer_count(struct peer *p, uint8_t type) {
        unsigned count = 0;

        for (unsigned i = 0; i < p->frame_count; i++)
                count += p->frames[i].type == type;
        return count;
}

bool peer_was_hung_up_on(struct peer *p, uint32_t code) {
        const struct peer_frame *f = peer_last(p, NGHTTP2_GOAWAY);

        return p->end != PEER_OPEN && f && f->code == code;
}
