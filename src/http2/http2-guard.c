/* SPDX-License-Identifier: MIT */
#include "http2/http2-internal.h"

/*
 * Frames are looked at one by one before nghttp2 gets them. This tells what is not whole (for the
 * deadlines) and what each costs us beside what it is good for: a peer that talks much and asks
 * little is told to calm down and hung up on.
 *
 * Costs fill a bucket, which drains with time, and with what is useful: bytes of bodies in either
 * direction, DATA that we sent (an eager client answers each with two WINDOW_UPDATE), answers.
 * Streams that the client resets, or makes us reset, have a bucket of their own: each had a handler
 * begin for nothing (CVE-2023-44487, CVE-2025-8671).
 *
 * A byte of a header block may stand for a field of 4 KiB in HPACK's table, which nghttp2 looks at
 * byte for byte, again each time: 16 KiB of them take 10 ms. So what is dropped of a block, because
 * it is more than a head may have or because it is trailers, costs by what it is deciphered, and a
 * block of which far too much is dropped is not read to its end.
 *
 * The sizes are guesses on the generous side: a browser that leaves a page resets at most the 100
 * streams that are open, twice in a row if its reader is in a hurry, and the busiest of honest
 * clients was seen to spend 15 (nghttp with its PRIORITY frames) before its first request. What
 * remains to a peer that keeps within them costs little: 200 cheap frames a second take some 60 us.
 * A window of 1 KiB is honest, in a small device: nghttp2 opens it again by the half, with two
 * frames for 512 bytes, which pay for themselves.
 */

enum {
        FRAMES_MAX = 2000,
        FRAMES_PER_SEC = 200,
        RESETS_MAX = 200,
        RESETS_PER_SEC = 100,
        COST_REFUSED = 20,
        BYTES_PER_FRAME = 256, /* of bodies pay for a frame of cost 1 */
        FRAMES_PER_DATA = 2,
        PADDING_MAX = 256,
        CONTINUATIONS_MAX = 8, /* of one block; nghttp2 would break off without a word */
        DROPPED_MAX = 64 * 1024, /* of one block; the cookies of a careless site are less */
        DROPPED_PER_FRAME = 1024,
        FIELD_BYTES = 32, /* that a field counts beside its own: RFC 9113, 6.5.2 */
};

enum { TYPE_PRIORITY_UPDATE = 0x10 };

static bool bucket_add(struct http2_bucket *b, uint64_t now_usec, uint32_t cost, uint32_t max,
                       uint32_t per_sec) {
        uint64_t drained = (now_usec - b->at_usec) * per_sec / USEC_PER_SEC;

        if (drained) {
                b->spent -= (uint32_t)MIN(drained, (uint64_t)b->spent);
                b->at_usec = now_usec;
        }
        b->spent += cost;
        return b->spent <= max;
}

static bool spend(struct http2_session *h, uint32_t cost) {
        return !cost ||
               bucket_add(&h->guard.frames, http2_now(h), cost, FRAMES_MAX, FRAMES_PER_SEC);
}

static bool spend_reset(struct http2_session *h) {
        return bucket_add(&h->guard.resets, http2_now(h), 1, RESETS_MAX, RESETS_PER_SEC);
}

bool http2_guard_refused(struct http2_session *h) {
        return spend(h, COST_REFUSED) && spend_reset(h);
}

void http2_guard_moved(struct http2_session *h, size_t bytes, unsigned frames) {
        struct http2_bucket *b = &h->guard.frames;
        size_t worth = bytes / BYTES_PER_FRAME + (size_t)frames * FRAMES_PER_DATA;

        if (unlikely(b->spent))
                b->spent -= (uint32_t)MIN((size_t)b->spent, worth);
}

void http2_guard_block_begins(struct http2_session *h) {
        h->guard.dropped_bytes = 0;
}

bool http2_guard_dropped(struct http2_session *h, size_t bytes) {
        h->guard.dropped_bytes += (uint32_t)MIN(bytes, (size_t)DROPPED_MAX) + FIELD_BYTES;
        return h->guard.dropped_bytes <= DROPPED_MAX;
}

bool http2_guard_block_ends(struct http2_session *h) {
        return spend(h, h->guard.dropped_bytes / DROPPED_PER_FRAME);
}

static uint32_t cost_of(uint8_t type, uint8_t flags, uint32_t bytes) {
        switch (type) {
        case NGHTTP2_DATA:
                if (flags & NGHTTP2_FLAG_PADDED && bytes <= PADDING_MAX)
                        return 1; /* it may be nothing else */
                return bytes || flags & NGHTTP2_FLAG_END_STREAM ? 0 : 10;
        case NGHTTP2_HEADERS: return 0; /* as many as may be open, or are reset */
        case NGHTTP2_PRIORITY:
        case NGHTTP2_WINDOW_UPDATE:
        case TYPE_PRIORITY_UPDATE: return 1;
        case NGHTTP2_RST_STREAM: return 0; /* see above */
        case NGHTTP2_PING:
        case NGHTTP2_CONTINUATION: return 2;
        default: return 10; /* SETTINGS, GOAWAY, what nobody knows */
        }
}

/* The head of a frame is whole. False: it is one too many. */
static bool frame_begins(struct http2_session *h, const uint8_t *head) {
        struct http2_guard *g = &h->guard;
        uint8_t type = head[3], flags = head[4];

        g->head_bytes = 0;
        g->payload_left = (uint32_t)head[0] << 16 | (uint32_t)head[1] << 8 | head[2];
        if (type == NGHTTP2_HEADERS || type == NGHTTP2_CONTINUATION)
                g->in_block = !(flags & NGHTTP2_FLAG_END_HEADERS);
        if (type == NGHTTP2_HEADERS)
                g->continuations = 0;
        if (type == NGHTTP2_CONTINUATION && ++g->continuations > CONTINUATIONS_MAX)
                return false;
        if (type == NGHTTP2_RST_STREAM && !spend_reset(h))
                return false;
        return spend(h, cost_of(type, flags, g->payload_left));
}

bool http2_guard_is_between(const struct http2_guard *g) {
        return !g->in_block && !g->head_bytes && !g->payload_left;
}

/* What there is of a frame's head, from `*n` on. False: the frame is one too many. */
static bool head_take(struct http2_session *h, struct text data, size_t *n) {
        const uint8_t *at = (const uint8_t *)data.data + *n;
        struct http2_guard *g = &h->guard;
        size_t more;

        if (likely(!g->head_bytes && data.size - *n >= HTTP2_FRAME_HEAD_BYTES)) {
                *n += HTTP2_FRAME_HEAD_BYTES;
                return frame_begins(h, at);
        }
        more = MIN(data.size - *n, (size_t)HTTP2_FRAME_HEAD_BYTES - g->head_bytes);
        memcpy(g->head + g->head_bytes, at, more);
        g->head_bytes += (uint8_t)more;
        *n += more;
        return g->head_bytes < HTTP2_FRAME_HEAD_BYTES || frame_begins(h, g->head);
}

int http2_guard_next(struct http2_session *h, struct text *data, struct text *ret) {
        struct http2_guard *g = &h->guard;
        size_t n = 0;

        if (unlikely(g->preface_left)) {
                n = MIN(data->size, (size_t)g->preface_left);
                g->preface_left -= (uint8_t)n;
        }
        if (likely(!g->preface_left && !g->payload_left) && !head_take(h, *data, &n))
                return HTTP2_GUARD_FLOOD;
        if (g->payload_left && !g->head_bytes) {
                size_t payload = MIN(data->size - n, (size_t)g->payload_left);

                g->payload_left -= (uint32_t)payload;
                n += payload;
        }
        *ret = (struct text){ data->data, n };
        data->data += n;
        data->size -= n;
        return HTTP2_GUARD_FEED;
}
