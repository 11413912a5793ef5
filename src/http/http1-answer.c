/* SPDX-License-Identifier: MIT */
#include "http/http1-answer.h"

#include <errno.h>

#include "base/invariant.h"
#include "http/status.h"

/*
 * Heads and small bodies are copied one behind another to the session's chunk, so that the answers
 * to many pipelined requests are one run of bytes; an exchange whose last byte was copied is over
 * at once. A larger piece is sent from where it lies: then its exchange stays until sent().
 *
 * What a handler's pieces say is checked against the framing before a byte of them is written: a
 * wrong frame would make the client take one answer's body for the head of the next.
 */

enum {
        /* all lines of a head but the handler's: 185 at most, 217 with the longest Upgrade */
        HEAD_FIXED_BYTES_MAX = 256,
        WAKES_MAX = 100,            /* of a handler from inside its `pull`, and no piece: a bug */
        FRAME_BYTES_MAX = 32,       /* a chunk's size line, the CRLF behind it and the last chunk */
};

static char *put(char *at, const void *bytes, size_t size) {
        memcpy(at, bytes, size);
        return at + size;
}

#define PUT(at, literal) put(at, literal, sizeof(literal) - 1)

static char *put_text(char *at, struct text t) {
        return t.size ? put(at, t.data, t.size) : at;
}

static char *put_decimal(char *at, uint64_t n) {
        char digits[20];
        char *first = digits + sizeof(digits);

        do
                *--first = (char)('0' + n % 10);
        while (n /= 10);
        return put(at, first, (size_t)(digits + sizeof(digits) - first));
}

static char *put_size_line(char *at, uint64_t n) {
        int shift = n ? (63 - __builtin_clzll(n)) / 4 * 4 : 0;

        for (; shift >= 0; shift -= 4)
                *at++ = "0123456789abcdef"[n >> shift & 15];
        return PUT(at, "\r\n");
}

static struct text chunk_end(bool last) {
        return last ? TEXT("\r\n0\r\n\r\n") : TEXT("\r\n");
}

static int chunk_take(struct http1_session *h) {
        if (h->chunk)
                return 0;
        h->chunk = pool_take(&h->session.context->chunks);
        return h->chunk ? 0 : -ENOMEM;
}

static void chunk_give(struct http1_session *h) {
        pool_give(&h->session.context->chunks, h->chunk);
        h->chunk = NULL;
        h->chunk_used = 0;
}

static size_t chunk_room(const struct http1_session *h) {
        return HTTP_CHUNK_BYTES - h->chunk_used;
}

/* ---- the head ---- */

static uint8_t framing_of(const struct exchange *x) {
        if (!exchange_has_body(x))
                return HTTP1_FRAMING_NONE;
        if (x->body_bytes != EXCHANGE_LENGTH_UNKNOWN)
                return HTTP1_FRAMING_LENGTH;
        return x->request.version_minor && !x->upgraded ? HTTP1_FRAMING_CHUNKED
                                                        : HTTP1_FRAMING_CLOSE;
}

/* Is this the last answer here? It must be said in its head. */
static bool decide_close(struct http1_session *h, struct exchange *x) {
        /* the client holds its body back until it is told to go on, which nobody will */
        bool body_held_back = h->reading != HTTP1_READ_WHOLE && x->request.expects_continue &&
                              !h->progress.body_came && !h->progress.wants_body;
        bool ours = h->session.context->draining || h->session.close_soon || body_held_back;

        if (ours)
                h->linger = true;
        if (ours || !x->request.keep_alive || h->progress.framing == HTTP1_FRAMING_CLOSE)
                h->closing = true;
        return h->closing;
}

/* RFC 9110, 15.2.2: what is spoken behind this head. */
static char *put_upgrade(const struct exchange *x, char *at) {
        at = PUT(at, "Connection: upgrade\r\nUpgrade: ");
        at = put_text(at, http_span_text(&x->request, x->request.protocol));
        return PUT(at, "\r\n");
}

static char *put_head(struct http1_session *h, struct exchange *x, char *at) {
        struct text lines = http_context_lines(h->session.context);

        if (likely(x->status == 200)) {
                at = put(at, lines.data, HTTP_LINES_BYTES);
        } else {
                char scratch[HTTP_STATUS_LINE_BYTES];

                at = put_text(at, http_status_line(x->status, scratch));
                at = put(at, lines.data + HTTP_LINES_COMMON, HTTP_LINES_BYTES - HTTP_LINES_COMMON);
        }
        if (unlikely(decide_close(h, x)))
                at = x->upgraded ? put_upgrade(x, at) : PUT(at, "Connection: close\r\n");
        else if (unlikely(x->request.version_minor == 0))
                at = PUT(at, "Connection: keep-alive\r\n");
        if (h->progress.framing == HTTP1_FRAMING_CHUNKED) {
                at = PUT(at, "Transfer-Encoding: chunked\r\n");
        } else if (x->status != 204 && x->status != 304 &&
                   x->body_bytes != EXCHANGE_LENGTH_UNKNOWN) {
                at = PUT(at, "Content-Length: ");
                at = put_decimal(at, x->body_bytes);
                at = PUT(at, "\r\n");
        }
        at = put_text(at, x->route_fields);
        return put_text(at, x->page_fields);
}

static int write_head(struct http1_session *h, struct exchange *x) {
        size_t need = HEAD_FIXED_BYTES_MAX + x->route_fields.size + x->page_fields.size +
                      x->fields.size;
        char *at;
        int r;

        if (unlikely(need > chunk_room(h)) && h->chunk_used)
                return 0; /* again when the chunk was sent */
        r = chunk_take(h);
        if (r < 0)
                return r;
        h->progress.framing = framing_of(x);
        h->session.ends_by_close = h->progress.framing == HTTP1_FRAMING_CLOSE;
        at = put_head(h, x, h->chunk + h->chunk_used);
        if (unlikely(need > chunk_room(h))) {
                h->progress.writing = HTTP1_WRITE_FIELDS;
        } else {
                at = put_text(at, x->fields);
                at = PUT(at, "\r\n");
                h->progress.writing = h->progress.framing == HTTP1_FRAMING_NONE ? HTTP1_WRITE_DONE
                                                                                : HTTP1_WRITE_BODY;
        }
        h->chunk_used = (uint32_t)(at - h->chunk);
        return 0;
}

int http1_answer_continue(struct http1_session *h) {
        int r = chunk_take(h);

        if (r < 0)
                return r;
        h->chunk_used = (uint32_t)(PUT(h->chunk + h->chunk_used, "HTTP/1.1 100 Continue\r\n\r\n") -
                                   h->chunk);
        return 0;
}

/* ---- the body ---- */

/* Copy the piece to the chunk, or note it to be sent from where it lies. */
static void take_piece(struct http1_session *h, struct exchange *x,
                       const struct exchange_piece *piece) {
        bool chunked = h->progress.framing == HTTP1_FRAMING_CHUNKED;
        char *at = h->chunk + h->chunk_used;

        x->sent_bytes += piece->bytes;
        if (chunked)
                at = put_size_line(at, piece->bytes);
        if (piece->bytes == 0) {
                if (chunked)
                        at = PUT(at, "\r\n");
        } else if (piece->data && piece->bytes <= HTTP_COPY_BYTES_MAX &&
                   piece->bytes + FRAME_BYTES_MAX <= chunk_room(h)) {
                at = put(at, piece->data, piece->bytes);
                if (chunked)
                        at = put_text(at, chunk_end(piece->last));
        } else {
                x->piece = *piece;
                h->progress.writing = HTTP1_WRITE_PIECE;
        }
        if (h->progress.writing == HTTP1_WRITE_BODY && piece->last)
                h->progress.writing = HTTP1_WRITE_DONE;
        h->chunk_used = (uint32_t)(at - h->chunk);
}

static int write_body(struct http1_session *h, struct exchange *x) {
        unsigned woken = 0;

        while (h->progress.writing == HTTP1_WRITE_BODY && !h->progress.waits &&
               chunk_room(h) >= FRAME_BYTES_MAX) {
                struct exchange_piece piece;
                int r;

                h->progress.waits = true; /* a wake from inside the call takes it back */
                r = exchange_pull(x, EXCHANGE_PIECE_BYTES_MAX, &piece);
                if (x->failed)
                        return 0;
                if (r > 0 && (h->progress.waits || invariant(++woken < WAKES_MAX)))
                        continue;
                h->progress.waits = false;
                if (r > 0)
                        r = -EBADMSG;
                if (r < 0) {
                        x->failed = true;
                        x->error = r;
                        return 0;
                }
                r = chunk_take(h);
                if (r < 0)
                        return r;
                take_piece(h, x, &piece);
        }
        return 0;
}

static int write_behind(struct http1_session *h, struct exchange *x) {
        int r = chunk_take(h);

        if (r < 0)
                return r;
        h->chunk_used =
                (uint32_t)(put_text(h->chunk + h->chunk_used, chunk_end(x->piece.last)) - h->chunk);
        h->progress.writing = x->piece.last ? HTTP1_WRITE_DONE : HTTP1_WRITE_BODY;
        return 0;
}

int http1_answer_write(struct http1_session *h, struct exchange *x) {
        int r = 0;

        if (h->progress.writing == HTTP1_WRITE_HEAD)
                r = write_head(h, x);
        else if (h->progress.writing == HTTP1_WRITE_BEHIND)
                r = write_behind(h, x);
        if (r < 0)
                return r;
        return write_body(h, x);
}

/* ---- out ---- */

static void part_add(struct http_output *out, struct text t) {
        out->parts[out->count++] = (struct iovec){ (void *)t.data, t.size };
}

bool http1_answer_output(struct http1_session *h, struct http_output *ret) {
        const struct exchange *x = h->exchange;

        ret->count = 0;
        ret->file = -1;
        ret->file_offset = ret->file_bytes = 0;
        if (h->chunk_used)
                part_add(ret, (struct text){ h->chunk, h->chunk_used });
        if (!x)
                return ret->count;
        if (h->progress.writing == HTTP1_WRITE_FIELDS) {
                part_add(ret, x->fields);
                part_add(ret, TEXT("\r\n"));
        } else if (h->progress.writing == HTTP1_WRITE_PIECE && x->piece.data) {
                part_add(ret, (struct text){ x->piece.data, x->piece.bytes });
                if (h->progress.framing == HTTP1_FRAMING_CHUNKED)
                        part_add(ret, chunk_end(x->piece.last));
        } else if (h->progress.writing == HTTP1_WRITE_PIECE) {
                ret->file = x->piece.file;
                ret->file_offset = x->piece.offset;
                ret->file_bytes = x->piece.bytes;
        }
        return ret->count || ret->file_bytes;
}

void http1_answer_sent(struct http1_session *h) {
        const struct exchange *x = h->exchange;
        struct http1_progress *p = &h->progress;

        if (h->chunk)
                chunk_give(h);
        if (!x)
                return;
        if (p->writing == HTTP1_WRITE_FIELDS)
                p->writing = p->framing == HTTP1_FRAMING_NONE ? HTTP1_WRITE_DONE : HTTP1_WRITE_BODY;
        else if (p->writing == HTTP1_WRITE_PIECE && !x->piece.data &&
                 p->framing == HTTP1_FRAMING_CHUNKED)
                p->writing = HTTP1_WRITE_BEHIND;
        else if (p->writing == HTTP1_WRITE_PIECE)
                p->writing = x->piece.last ? HTTP1_WRITE_DONE : HTTP1_WRITE_BODY;
}
