/* SPDX-License-Identifier: MIT */
/*
 * A stream is a handshake, which is OpenSSL's (tls-handshake.c), and then records, which are ours
 * (tls-records.c). What is lent to it is read where it lies; only a record that has not come whole
 * is copied, first into a small buffer, so that a peer who announces a long record has sent some of
 * it before it costs the memory of one.
 */
#include "tls/tls-internal.h"

#include <errno.h>
#include <stdlib.h>

int stream_new(struct tls_server *server, struct tls_stream **ret) {
        struct tls_stream_full *s = pool_take(&server->worker->streams);
        int r;

        if (!s)
                return -ENOMEM;
        *s = (struct tls_stream_full){
                .worker = server->worker,
                .why = "",
                .key_updates = 16,
                .record_bytes = TLS_RECORD_BYTES,
                .writes.writes = true,
        };
        r = handshake_new(server, s);
        if (r < 0) {
                pool_give(&server->worker->streams, s);
                return r;
        }
        *ret = &s->stream;
        return 0;
}

static void partial_free(struct tls_stream_full *s) {
        if (s->partial)
                pool_give(s->partial_size == TLS_PARTIAL_BYTES ? &s->worker->partials
                                                               : &s->worker->partials_small,
                          s->partial);
        s->partial = NULL;
        s->partial_bytes = s->partial_size = 0;
        s->partial_done = false;
}

static void output_free(struct tls_stream_full *s, unsigned count) {
        while (count--) {
                struct tls_block *b = s->first;

                s->first = b->next;
                if (!s->first)
                        s->last = NULL;
                s->block_count--;
                pool_give(&s->worker->blocks, b);
        }
}

void stream_free(struct tls_stream *stream) {
        struct tls_stream_full *s = stream_full(stream);
        struct tls_worker *w;

        if (!s)
                return;
        w = s->worker;
        handshake_free(s);
        partial_free(s);
        output_free(s, s->block_count);
        direction_finish(w, &s->reads);
        direction_finish(w, &s->writes);
        free((char *)s->stream.client_subject.data);
        pool_give(&w->streams, s);
}

int stream_fail(struct tls_stream_full *s, int error, const char *why) {
        if (!s->failed) {
                s->failed = error;
                s->why = why;
        }
        s->in_bytes = 0;
        return s->failed;
}

const char *stream_why(const struct tls_stream *stream) {
        return ((const struct tls_stream_full *)stream)->why;
}

int stream_feed(struct tls_stream *stream, char *ciphertext, size_t size) {
        struct tls_stream_full *s = stream_full(stream);

        if (s->failed)
                return s->failed;
        assert(!s->in_bytes);
        s->in = ciphertext;
        s->in_bytes = size;
        return s->handshake ? handshake_step(s) : 0;
}

/* Room for `size` bytes of a record, what there is of it kept. */
static bool partial_reserve(struct tls_stream_full *s, size_t size) {
        bool is_small = size <= TLS_PARTIAL_SMALL_BYTES;
        uint32_t bytes = s->partial_bytes;
        char *larger;

        if (size <= s->partial_size)
                return true;
        larger = pool_take(is_small ? &s->worker->partials_small : &s->worker->partials);
        if (!larger)
                return false;
        if (bytes)
                memcpy(larger, s->partial, bytes);
        partial_free(s);
        s->partial = larger;
        s->partial_bytes = bytes;
        s->partial_size = is_small ? TLS_PARTIAL_SMALL_BYTES : TLS_PARTIAL_BYTES;
        return true;
}

static size_t record_size(const char *header) {
        const unsigned char *h = (const unsigned char *)header;

        return TLS_HEADER_BYTES + (size_t)(h[3] << 8 | h[4]);
}

/* Move bytes from what is lent to `partial`, up to `size` there. */
static int partial_fill(struct tls_stream_full *s, size_t size) {
        size_t n = MIN(size - s->partial_bytes, s->in_bytes);

        if (!n)
                return 0;
        if (!partial_reserve(s, s->partial_bytes + n))
                return stream_fail(s, -ENOMEM, "out of memory");
        memcpy(s->partial + s->partial_bytes, s->in, n);
        s->partial_bytes += n;
        s->in += n;
        s->in_bytes -= n;
        return 0;
}

/* Refused as early as it can be seen: a peer that does not speak TLS may not send more for long. */
static int check_header(struct tls_stream_full *s, const char *header) {
        uint8_t type = (uint8_t)header[0];

        if (header[1] != 3 || type > TLS_APPLICATION_DATA || type < TLS_ALERT ||
            (s->stream.protocol == TLS_1_3 && type != TLS_APPLICATION_DATA))
                return record_refuse(s, SSL_AD_UNEXPECTED_MESSAGE, "an unexpected record");
        if (record_size(header) > TLS_PARTIAL_BYTES)
                return record_refuse(s, SSL_AD_RECORD_OVERFLOW, "a record that is too long");
        return 0;
}

/* The next whole record: its size, `*ret` is it; 0: there is none; or an error. */
static int next_record(struct tls_stream_full *s, char **ret) {
        size_t size;
        int r;

        if (s->partial_done)
                partial_free(s);
        if (!s->partial && s->in_bytes >= TLS_HEADER_BYTES) {
                r = check_header(s, s->in);
                if (r < 0)
                        return r;
                size = record_size(s->in);
                if (size <= s->in_bytes) {
                        *ret = s->in;
                        s->in += size;
                        s->in_bytes -= size;
                        return (int)size;
                }
        }
        if (s->partial_bytes < TLS_HEADER_BYTES) {
                r = partial_fill(s, TLS_HEADER_BYTES);
                if (r < 0 || s->partial_bytes < TLS_HEADER_BYTES)
                        return r;
                r = check_header(s, s->partial);
                if (r < 0)
                        return r;
        }
        size = record_size(s->partial);
        r = partial_fill(s, size);
        if (r < 0 || s->partial_bytes < size)
                return r;
        s->partial_done = true;
        *ret = s->partial;
        return (int)size;
}

int stream_read(struct tls_stream *stream, struct text *ret) {
        struct tls_stream_full *s = stream_full(stream);

        *ret = (struct text){};
        if (s->failed)
                return s->failed;
        while (stream->state == TLS_OPEN) {
                char *record = NULL;
                int r = next_record(s, &record);

                if (r <= 0)
                        return r;
                r = record_take(s, (unsigned char *)record, (size_t)r, ret);
                if (r)
                        return r < 0 ? r : 0;
        }
        if (stream->state == TLS_ENDED) {
                s->in_bytes = 0;
                partial_free(s);
        }
        return 0;
}

ssize_t stream_write(struct tls_stream *stream, const struct iovec *iov, unsigned count) {
        struct tls_stream_full *s = stream_full(stream);
        ssize_t n;

        if (s->failed)
                return s->failed;
        assert(!stream->kernel_writes);
        if (s->handshake || s->ended)
                return 0;
        n = record_write_iov(s, iov, count);
        return n < 0 ? stream_fail(s, (int)n, "data cannot be enciphered") : n;
}

void stream_end(struct tls_stream *stream) {
        static const unsigned char close_notify[] = { SSL3_AL_WARNING, SSL_AD_CLOSE_NOTIFY };
        struct tls_stream_full *s = stream_full(stream);

        if (s->failed || s->handshake || s->ended)
                return;
        s->ended = true;
        /* without memory the peer sees an end that is not authenticated, as when a machine dies */
        (void)record_write(s, TLS_ALERT, close_notify, sizeof(close_notify));
}

unsigned stream_output(struct tls_stream *stream, struct iovec parts[static TLS_OUTPUT_PARTS_MAX]) {
        struct tls_stream_full *s = stream_full(stream);
        unsigned n = 0;

        assert(!s->sending_count);
        for (struct tls_block *b = s->first; b && n < TLS_OUTPUT_PARTS_MAX; b = b->next)
                parts[n++] = (struct iovec){ b->data, b->used };
        s->sending_count = (uint8_t)n;
        stream->has_output = s->block_count > n;
        return n;
}

void stream_sent(struct tls_stream *stream) {
        struct tls_stream_full *s = stream_full(stream);

        output_free(s, s->sending_count);
        s->sending_count = 0;
        s->update_waits = s->update_waits && s->block_count;
}
