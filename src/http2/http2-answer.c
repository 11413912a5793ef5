/* SPDX-License-Identifier: MIT */
#include "http2/http2-internal.h"

#include <errno.h>

#include "base/invariant.h"
#include "http/date.h"

/*
 * An answer is submitted to nghttp2 when the handler has given its head; the lines are those of
 * HTTP/1, whose names nghttp2 makes small, and it copies all. Its body is asked for when nghttp2
 * has chosen the stream: by urgency, by what the windows allow.
 *
 * While the stream is in our lists nghttp2 may ask for its body; from stream_end() on it does not,
 * because the stream was reset or is closed by then.
 *
 * A handler gives a piece that may be far longer than a frame: it is cut into frames, over many
 * outputs. As soon as an output has borrowed from it, the next can only be asked for when that
 * output was sent, since a piece is valid until then.
 */

enum {
        WAKES_MAX = 100, /* of a handler from inside its `pull`, and no piece: a bug */
        /* with its head a frame fills one record of TLS; a longer one would begin a second */
        LENT_BYTES_MAX = HTTP2_FRAME_BYTES_MAX - HTTP2_FRAME_HEAD_BYTES,
};

/* ---- the head ---- */

struct lines {
        nghttp2_nv nv[HTTP2_FIELDS_OUT_MAX];
        size_t count;
        bool too_many;
};

static void add(struct lines *l, struct text name, struct text value, uint8_t flags) {
        if (l->count == HTTP2_FIELDS_OUT_MAX) {
                l->too_many = true;
                return;
        }
        l->nv[l->count++] = (nghttp2_nv){
                .name = (uint8_t *)name.data,
                .namelen = name.size,
                .value = (uint8_t *)value.data,
                .valuelen = value.size,
                .flags = flags,
        };
}

/* With a name that need be neither made small nor copied. */
static void add_constant(struct lines *l, struct text name, struct text value) {
        add(l, name, value, NGHTTP2_NV_FLAG_NO_COPY_NAME);
}

/* The names that nearly all answers have, ready-made; others are made small by nghttp2. */
static void add_named(struct lines *l, struct text name, struct text value) {
        static const struct {
                char name[20];
                uint8_t size;
                struct text small;
        } known[] = {
                { "Content-Type", 12, TEXT("content-type") },
                { "Last-Modified", 13, TEXT("last-modified") },
                { "ETag", 4, TEXT("etag") },
                { "Accept-Ranges", 13, TEXT("accept-ranges") },
        };

        for (unsigned i = 0; i < ELEMENTS(known); i++)
                if (name.size == known[i].size &&
                    memcmp(name.data, known[i].name, name.size) == 0) {
                        add_constant(l, known[i].small, value);
                        return;
                }
        add(l, name, value, 0);
}

/* "Name: value\r\n" lines. */
static void add_lines(struct lines *l, struct text text) {
        const char *at = text.data, *end = at + text.size;

        while (at < end) {
                const char *next = memchr(at, '\n', (size_t)(end - at));
                const char *stop = next ? next : end;
                const char *colon = memchr(at, ':', (size_t)(stop - at)), *value = colon;

                if (likely(value)) {
                        do
                                value++;
                        while (value < stop && *value == ' ');
                        while (stop > value && (stop[-1] == '\r' || stop[-1] == ' '))
                                stop--;
                        add_named(l, (struct text){ at, (size_t)(colon - at) },
                                  (struct text){ value, (size_t)(stop - value) });
                }
                at = next ? next + 1 : end;
        }
}

/* Those that all answers have, as HTTP/1 writes them. */
static void add_common(struct lines *l, struct http_context *context) {
        const char *lines = http_context_lines(context).data;
        const char *server = lines + HTTP_LINES_DATE + HTTP_DATE_BYTES + sizeof("\r\nServer:");

        add_constant(l, TEXT("date"), (struct text){ lines + HTTP_LINES_DATE, HTTP_DATE_BYTES });
        add_constant(l, TEXT("server"),
                     (struct text){ server, (size_t)(lines + HTTP_LINES_BYTES - 2 - server) });
}

static struct text decimal(char digits[static 20], uint64_t n) {
        char *first = digits + 20;

        do
                *--first = (char)('0' + n % 10);
        while (n /= 10);
        return (struct text){ first, (size_t)(digits + 20 - first) };
}

void http2_answer_begin(struct http2_session *h, struct http2_stream *st) {
        struct exchange *x = exchange_of(st);
        nghttp2_data_provider body = { .source.ptr = st, .read_callback = http2_answer_read };
        char status[20], length[20];
        struct lines l;
        int r;

        l.count = 0;
        l.too_many = false;
        add_constant(&l, TEXT(":status"), decimal(status, x->status));
        add_common(&l, h->session.context);
        if (x->status != 204 && x->status != 304 && x->body_bytes != EXCHANGE_LENGTH_UNKNOWN)
                add_constant(&l, TEXT("content-length"), decimal(length, x->body_bytes));
        add_lines(&l, x->route_fields);
        add_lines(&l, x->page_fields);
        add_lines(&l, x->fields);
        st->answering = true;
        st->moved_usec = http2_now(h);
        h->answering++;
        x->piece.bytes = 0;
        r = l.too_many ? -E2BIG
                       : nghttp2_submit_response(h->ng, st->id, l.nv, l.count,
                                                 exchange_has_body(x) ? &body : NULL);
        if (r)
                http2_stream_reset(h, st, NGHTTP2_INTERNAL_ERROR, r == -E2BIG ? r : -ENOMEM);
}

void http2_answer_continue(struct http2_session *h, struct http2_stream *st) {
        struct lines l = { .count = 0 };

        st->body_came = true;
        add_constant(&l, TEXT(":status"), TEXT("100"));
        if (nghttp2_submit_headers(h->ng, NGHTTP2_FLAG_NONE, st->id, NULL, l.nv, l.count, NULL) < 0)
                http2_stream_reset(h, st, NGHTTP2_INTERNAL_ERROR, -ENOMEM);
}

/* ---- the body ---- */

/* The next piece, to x->piece. EXCHANGE_LATER, or -errno: the exchange failed. */
static int pull(struct http2_session *h, struct http2_stream *st, struct exchange *x) {
        unsigned woken = 0;
        int r;

        do {
                http2_set_waiting(h, st, true); /* a wake from inside the call takes it back */
                r = exchange_pull(x, EXCHANGE_PIECE_BYTES_MAX, &x->piece);
                if (x->failed)
                        return x->error;
                if (r > 0 && st->waits)
                        return r;
        } while (r > 0 && invariant(++woken < WAKES_MAX));
        http2_set_waiting(h, st, false);
        if (r > 0)
                return -EBADMSG;
        st->has_last = x->piece.last;
        return r;
}

/* What of the piece fits into the next frame. False: none of it into this output. */
static bool frame_fits(struct http2_session *h, const struct exchange_piece *piece, size_t length,
                       size_t *ret) {
        size_t n = (size_t)MIN(piece->bytes, (uint64_t)length);
        bool copied = piece->data && n <= HTTP_COPY_BYTES_MAX;

        if (!copied)
                n = MIN(n, (size_t)LENT_BYTES_MAX);
        if (!http2_out_reserve(h, HTTP2_FRAME_HEAD_BYTES + (copied ? n : 0))) {
                h->out.full = true;
                return false;
        }
        *ret = n;
        return true;
}

ssize_t http2_answer_read(nghttp2_session *ng, int32_t id, uint8_t *buffer, size_t length,
                          uint32_t *flags, nghttp2_data_source *source, void *session) {
        struct http2_session *h = session;
        struct http2_stream *st = source->ptr;
        struct exchange *x = exchange_of(st);
        size_t n;

        if (!http2_out_has_room(&h->out) || (!x->piece.bytes && list_is_linked(&st->lent))) {
                h->out.full = true;
                return NGHTTP2_ERR_PAUSE;
        }
        if (!x->piece.bytes) {
                int r = pull(h, st, x);

                if (r > 0) {
                        st->deferred = true;
                        return NGHTTP2_ERR_DEFERRED;
                }
                if (r < 0) { /* nghttp2 resets the stream */
                        http2_stream_end(h, st, r);
                        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
                }
        }
        if (!frame_fits(h, &x->piece, length, &n)) {
                if (h->out.bytes)
                        return NGHTTP2_ERR_PAUSE;
                h->broken = -ENOMEM;
                return NGHTTP2_ERR_CALLBACK_FAILURE;
        }
        *flags = NGHTTP2_DATA_FLAG_NO_COPY;
        if (st->has_last && n == x->piece.bytes)
                *flags |= NGHTTP2_DATA_FLAG_EOF;
        return (ssize_t)n;
}

/* The window is what ended this frame, not its size: who opens it by bits pays for that. */
static bool window_was_short(struct http2_session *h, int32_t id, size_t length) {
        int32_t window = MIN(nghttp2_session_get_stream_remote_window_size(h->ng, id),
                             nghttp2_session_get_remote_window_size(h->ng));

        return window <= (int32_t)length;
}

int http2_answer_send(nghttp2_session *ng, nghttp2_frame *frame, const uint8_t *head, size_t length,
                      nghttp2_data_source *source, void *session) {
        struct http2_session *h = session;
        struct http2_stream *st = source->ptr;
        struct exchange *x = exchange_of(st);
        struct exchange_piece *piece = &x->piece;

        h->out.last = st;
        http2_out_put(h, head, HTTP2_FRAME_HEAD_BYTES);
        if (length && piece->data && length <= HTTP_COPY_BYTES_MAX) {
                http2_out_put(h, piece->data, length);
        } else if (length) {
                if (piece->data)
                        http2_out_lend(h, piece->data, length);
                else
                        http2_out_file(h, piece->file, piece->offset, length);
                if (!list_is_linked(&st->lent))
                        list_append(&h->lent, &st->lent);
        }
        if (piece->data)
                piece->data += length;
        else
                piece->offset += length;
        piece->bytes -= length;
        x->sent_bytes += length;
        st->moved_usec = h->data_usec = http2_now(h);
        if (unlikely(h->guard.frames.spent))
                http2_guard_moved(h, length, !window_was_short(h, st->id, length));
        return 0;
}
