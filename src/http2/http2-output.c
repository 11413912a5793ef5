/* SPDX-License-Identifier: MIT */
#include "http2/http2-internal.h"

#include <errno.h>

/*
 * What the connection sends next: heads of frames and small pieces of bodies are copied one behind
 * another to chunks, larger pieces are sent from where they lie, and a range of a file is the last.
 * It ends there, or when it is large enough: what becomes urgent meanwhile has not to wait long.
 */

/* The parts that one frame may take: its head, what is lent, and a chunk that begins anew. */
enum { PARTS_SPARE = 3 };

bool http2_out_has_room(const struct http2_out *o) {
        return !o->full && o->bytes < HTTP2_OUTPUT_BYTES &&
               o->to->count + PARTS_SPARE <= HTTP_OUTPUT_PARTS_MAX;
}

static void *chunk_end(const struct http2_out *o) {
        return o->chunks[o->chunk_count - 1] + o->chunk_used;
}

bool http2_out_reserve(struct http2_session *h, size_t bytes) {
        struct http2_out *o = &h->out;
        char *chunk;

        assert(bytes <= HTTP_CHUNK_BYTES);
        if (o->chunk_count && bytes <= HTTP_CHUNK_BYTES - o->chunk_used)
                return true;
        if (o->chunk_count == HTTP2_CHUNKS_MAX)
                return false;
        chunk = pool_take(&h->session.context->chunks);
        if (!chunk)
                return false;
        o->chunks[o->chunk_count++] = chunk;
        o->chunk_used = 0;
        return true;
}

void http2_out_put(struct http2_session *h, const void *data, size_t size) {
        struct http2_out *o = &h->out;
        struct iovec *last = o->to->parts + o->to->count - 1;
        char *to = chunk_end(o);

        memcpy(to, data, size);
        if (o->to->count && (char *)last->iov_base + last->iov_len == to)
                last->iov_len += size;
        else
                o->to->parts[o->to->count++] = (struct iovec){ to, size };
        o->chunk_used += (uint32_t)size;
        o->bytes += size;
}

void http2_out_lend(struct http2_session *h, const void *data, size_t size) {
        struct http2_out *o = &h->out;

        o->to->parts[o->to->count++] = (struct iovec){ (void *)data, size };
        o->bytes += size;
}

void http2_out_file(struct http2_session *h, int file, uint64_t offset, uint64_t bytes) {
        struct http2_out *o = &h->out;

        o->to->file = file;
        o->to->file_offset = offset;
        o->to->file_bytes = bytes;
        o->bytes += bytes;
        o->full = true;
}

void http2_out_release(struct http2_session *h) {
        while (h->out.chunk_count)
                pool_give(&h->session.context->chunks, h->out.chunks[--h->out.chunk_count]);
        h->out = (struct http2_out){};
}

/* A frame other than DATA, which lies in nghttp2's memory until it is asked for the next. */
static void take_frame(struct http2_session *h, const uint8_t *data, size_t size) {
        if (size <= HTTP_CHUNK_BYTES && http2_out_reserve(h, size)) {
                http2_out_put(h, data, size);
                return;
        }
        http2_out_lend(h, data, size);
        h->out.full = true;
}

int http2_out_gather(struct http2_session *h, struct http_output *ret) {
        struct http2_out *o = &h->out;
        const uint8_t *data;
        ssize_t n = 1;

        *o = (struct http2_out){ .to = ret };
        ret->count = 0;
        ret->file = -1;
        ret->file_offset = ret->file_bytes = 0;
        while (n > 0 && http2_out_has_room(o) && !http2_fault(h)) {
                n = nghttp2_session_mem_send(h->ng, &data);
                if (n > 0)
                        take_frame(h, data, (size_t)n);
        }
        o->to = NULL;
        if (n < 0 && !h->broken)
                h->broken = -ENOMEM; /* else a callback has said why */
        if (ret->count || ret->file_bytes)
                return 1; /* what came before a break is given out first */
        http2_out_release(h);
        return http2_fault(h);
}
