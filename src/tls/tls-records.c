/* SPDX-License-Identifier: MIT */
/*
 * The record layer of an open stream, TLS 1.3 (RFC 8446, 5) and 1.2 (RFC 5246, 6.2; RFC 5288, RFC
 * 7905). OpenSSL has one, too, and it is what a handshake runs on; but it cannot be had without the
 * SSL object, 14 KiB a connection in OpenSSL 3.0 and 28 in 3.5, and it spends as much on a small
 * record as enciphering does. What is left to do once the handshake is over is little: the framing,
 * the nonce, four kinds of content. Kernel TLS has drawn the line at the same place. All
 * cryptography is OpenSSL's.
 *
 * What a peer may send when the handshake is over: data, close_notify and other alerts, and in TLS
 * 1.3 KeyUpdate. All else ends the connection, renegotiation in TLS 1.2 included.
 *
 * Once the kernel writes (tls-kernel.c) one message at most is ours to send, an alert.
 */
#include "tls/tls-internal.h"

#include <errno.h>

enum {
        UPDATE_AFTER_RECORDS = 1 << 24, /* below 2^24.5, the limit of AES-GCM (RFC 8446, 5.5) */
        IDLE_RECORDS_MAX = 32,          /* in a row that bring nothing; OpenSSL's number */
        KEY_UPDATES_MAX = 16,           /* that a peer may make at once, and one more for each */
        KEY_UPDATE_DATA_BYTES = 16384,  /* of so much data: 16 KiB is a full record */
        GATHER_BYTES_MAX = 4096, /* below, a copy costs less than enciphering in several pieces */
        EXTRA_BYTES_MAX = 13,    /* sequence 8, header 5 */
};

/* ---- output ---- */

unsigned char *output_room(struct tls_stream_full *s, size_t bytes) {
        struct tls_block *b = s->last;

        assert(bytes <= TLS_BLOCK_BYTES);
        if (s->block_count > s->sending_count && b->used + bytes <= sizeof(b->data))
                return b->data + b->used;
        if (s->block_count == UINT8_MAX)
                return NULL;
        b = pool_take(&s->worker->blocks);
        if (!b)
                return NULL;
        b->next = NULL;
        b->used = 0;
        if (s->last)
                s->last->next = b;
        else
                s->first = b;
        s->last = b;
        s->block_count++;
        return b->data;
}

static void output_used(struct tls_stream_full *s, size_t bytes) {
        s->last->used += bytes;
        s->stream.has_output = true;
}

int output_append(struct tls_stream_full *s, const void *data, size_t bytes) {
        const char *from = data;

        while (bytes) {
                size_t n = MIN(bytes, (size_t)TLS_RECORD_BYTES);
                unsigned char *to = output_room(s, n);

                if (!to)
                        return -ENOMEM;
                memcpy(to, from, n);
                output_used(s, n);
                from += n;
                bytes -= n;
        }
        return 0;
}

/* ---- framing ---- */

static bool has_explicit_nonce(const struct tls_stream_full *s) {
        return s->stream.protocol == TLS_1_2 && s->suite != TLS_CHACHA20;
}

static void put_number(unsigned char *to, uint64_t number, unsigned bytes) {
        while (bytes--) {
                to[bytes] = (unsigned char)number;
                number >>= 8;
        }
}

/* The nonce counts records (RFC 8446, 5.3; RFC 7905, 2), or stands in them (RFC 5288, 3). */
static void frame_nonce(const struct tls_direction *d, const unsigned char *explicit_nonce,
                        struct tls_frame *f) {
        memcpy(f->nonce, d->nonce, sizeof(f->nonce));
        if (explicit_nonce) {
                memcpy(f->nonce + 4, explicit_nonce, TLS_EXPLICIT_BYTES);
                return;
        }
        for (unsigned i = 0; i < 8; i++)
                f->nonce[4 + i] ^= (unsigned char)(d->sequence >> (56 - 8 * i));
}

/* What is authenticated besides: in TLS 1.3 the header, in 1.2 the count and the header as it would
   be of the plaintext. */
static void frame_extra(const struct tls_stream_full *s, const struct tls_direction *d,
                        const unsigned char *header, size_t plain_bytes,
                        unsigned char room[static EXTRA_BYTES_MAX], struct tls_frame *f) {
        f->extra = header;
        f->extra_bytes = TLS_HEADER_BYTES;
        if (s->stream.protocol == TLS_1_3)
                return;
        put_number(room, d->sequence, 8);
        memcpy(room + 8, header, 3);
        put_number(room + 11, plain_bytes, 2);
        f->extra = room;
        f->extra_bytes = EXTRA_BYTES_MAX;
}

/* ---- writing ---- */

struct record {
        unsigned char *header, *body; /* the body: what is enciphered */
        size_t bytes;                 /* of all */
};

static int record_begin(struct tls_stream_full *s, enum tls_content type, size_t size,
                        struct record *ret) {
        bool has_explicit = has_explicit_nonce(s);
        size_t inner = size + (s->stream.protocol == TLS_1_3);
        size_t explicit_bytes = has_explicit ? TLS_EXPLICIT_BYTES : 0;
        size_t all = TLS_HEADER_BYTES + explicit_bytes + inner + TLS_TAG_BYTES;
        unsigned char *h = output_room(s, all);

        if (!h)
                return -ENOMEM;
        h[0] = s->stream.protocol == TLS_1_3 ? TLS_APPLICATION_DATA : type;
        h[1] = 3;
        h[2] = 3;
        put_number(h + 3, all - TLS_HEADER_BYTES, 2);
        if (has_explicit)
                put_number(h + TLS_HEADER_BYTES, s->explicit_nonce, TLS_EXPLICIT_BYTES);
        *ret = (struct record){ h, h + TLS_HEADER_BYTES + explicit_bytes, all };
        return 0;
}

static int record_finish(struct tls_stream_full *s, enum tls_content type, const struct record *r,
                         const void *data, size_t size) {
        unsigned char extra[EXTRA_BYTES_MAX];
        struct tls_frame f;
        int e;

        frame_nonce(&s->writes, has_explicit_nonce(s) ? r->header + TLS_HEADER_BYTES : NULL, &f);
        frame_extra(s, &s->writes, r->header, size, extra, &f);
        e = cipher_seal(s->worker, &s->writes, s->suite, &f, data, size,
                        s->stream.protocol == TLS_1_3 ? (int)type : -1, r->body);
        if (e < 0)
                return e;
        s->writes.sequence++;
        s->explicit_nonce++;
        output_used(s, r->bytes);
        return 0;
}

int record_write(struct tls_stream_full *s, enum tls_content type, const void *data, size_t size) {
        struct record r;
        int e;

        if (s->stream.kernel_writes) {
                assert(!s->block_count);
                s->stream.output_type = type;
                return output_append(s, data, size);
        }
        e = record_begin(s, type, size, &r);
        return e < 0 ? e : record_finish(s, type, &r, data, size);
}

/* Where reading in an iovec has come to. */
struct source {
        const struct iovec *iov;
        unsigned count;
        size_t offset;
};

static void source_skip(struct source *from, size_t bytes) {
        from->offset += bytes;
        while (from->count && from->offset >= from->iov->iov_len) {
                from->offset -= from->iov->iov_len;
                from->iov++;
                from->count--;
        }
}

static void source_copy(struct source *from, unsigned char *to, size_t bytes) {
        while (bytes) {
                size_t n = MIN(bytes, from->iov->iov_len - from->offset);

                memcpy(to, (const char *)from->iov->iov_base + from->offset, n);
                to += n;
                bytes -= n;
                source_skip(from, n);
        }
}

/* The next record, of `size` bytes: where they lie if that is one place, else by way of a copy. */
static int write_data(struct tls_stream_full *s, struct source *from, size_t size) {
        const void *data = (const char *)from->iov->iov_base + from->offset;
        bool in_one = from->iov->iov_len - from->offset >= size;
        struct record r;
        int e = record_begin(s, TLS_APPLICATION_DATA, size, &r);

        if (e < 0)
                return e;
        if (in_one && size > GATHER_BYTES_MAX) {
                source_skip(from, size);
                return record_finish(s, TLS_APPLICATION_DATA, &r, data, size);
        }
        source_copy(from, r.body, size);
        return record_finish(s, TLS_APPLICATION_DATA, &r, r.body, size);
}

static int update_write_keys(struct tls_stream_full *s) {
        static const unsigned char message[] = { SSL3_MT_KEY_UPDATE, 0, 0, 1, 0 };
        int r = record_write(s, TLS_HANDSHAKE_MESSAGE, message, sizeof(message));

        s->update_waits = true;
        return r < 0 ? r : keys_update(s->worker, s->suite, &s->writes);
}

static bool has_room(const struct tls_stream_full *s, size_t size) {
        return s->block_count < TLS_OUTPUT_PARTS_MAX ||
               (s->block_count > s->sending_count &&
                s->last->used + size + TLS_OVERHEAD_BYTES_MAX <= sizeof(s->last->data));
}

ssize_t record_write_iov(struct tls_stream_full *s, const struct iovec *iov, unsigned count) {
        struct source from = { iov, count, 0 };
        size_t left = 0, done = 0;

        for (unsigned i = 0; i < count; i++)
                left += iov[i].iov_len;
        source_skip(&from, 0);
        while (left) {
                size_t size = MIN(left, (size_t)s->record_bytes);
                int r;

                if (!has_room(s, size))
                        break;
                if (s->writes.sequence >= UPDATE_AFTER_RECORDS && s->stream.protocol == TLS_1_3) {
                        r = update_write_keys(s);
                        if (r < 0)
                                return r;
                }
                r = write_data(s, &from, size);
                if (r < 0)
                        return r;
                done += size;
                left -= size;
        }
        return (ssize_t)done;
}

int record_refuse(struct tls_stream_full *s, unsigned alert, const char *why) {
        unsigned char message[] = { SSL3_AL_FATAL, (unsigned char)alert };

        if (!s->ended)
                (void)record_write(s, TLS_ALERT, message, sizeof(message)); /* they close anyway */
        s->ended = true;
        return stream_fail(s, -EPROTO, why);
}

/* ---- reading ---- */

static int take_alert(struct tls_stream_full *s, const unsigned char *data, size_t size) {
        if (size != 2)
                return record_refuse(s, SSL_AD_DECODE_ERROR, "an alert is not of two bytes");
        if (data[1] == SSL_AD_CLOSE_NOTIFY) {
                s->stream.state = TLS_ENDED;
                return 0;
        }
        if (data[1] == SSL_AD_USER_CANCELLED ||
            (s->stream.protocol == TLS_1_2 && data[0] == SSL3_AL_WARNING))
                return 0;
        s->ended = true; /* nothing may follow a fatal alert, of either side */
        return stream_fail(s, -EPROTO, SSL_alert_desc_string_long(data[1]));
}

static int take_handshake(struct tls_stream_full *s, const unsigned char *data, size_t size) {
        int r;

        if (s->stream.protocol == TLS_1_2)
                return record_refuse(s, SSL_AD_NO_RENEGOTIATION, "renegotiation is not allowed");
        if (size != 5 || data[0] != SSL3_MT_KEY_UPDATE || memcmp(data + 1, "\0\0\1", 3) != 0)
                return record_refuse(s, SSL_AD_UNEXPECTED_MESSAGE,
                                     "an unexpected handshake message");
        if (data[4] > 1)
                return record_refuse(s, SSL_AD_ILLEGAL_PARAMETER,
                                     "a KeyUpdate that asks for what does not exist");
        if (!s->key_updates)
                return record_refuse(s, SSL_AD_UNEXPECTED_MESSAGE, "too many KeyUpdate messages");
        if (data[4] && s->stream.kernel_writes && !s->ended)
                return record_refuse(s, SSL_AD_INTERNAL_ERROR,
                                     "the kernel has keys that cannot be updated");
        s->key_updates--;
        r = keys_update(s->worker, s->suite, &s->reads);
        /* one answer may stand for many: a peer who does not read cannot make them pile up */
        if (r == 0 && data[4] && !s->ended && !s->update_waits)
                r = update_write_keys(s);
        return r < 0 ? stream_fail(s, r, "keys cannot be updated") : 0;
}

static void take_data(struct tls_stream_full *s, size_t size) {
        s->idle_records = 0;
        s->data_bytes += size;
        if (s->data_bytes < KEY_UPDATE_DATA_BYTES)
                return;
        s->data_bytes = 0;
        if (s->key_updates < KEY_UPDATES_MAX)
                s->key_updates++;
}

/* TLS 1.3: the type stands at the end, before any number of zeros. */
static int inner_type(const unsigned char *data, size_t *size) {
        size_t n = *size;

        while (n && !data[n - 1])
                n--;
        if (!n)
                return 0;
        *size = n - 1;
        return data[n - 1];
}

/* Decipher; `*data` and `*size` become what was within. The type, or an error. */
static int record_open(struct tls_stream_full *s, unsigned char *header, unsigned char **data,
                       size_t *size) {
        unsigned char extra[EXTRA_BYTES_MAX], *body = header + TLS_HEADER_BYTES;
        size_t explicit_bytes = has_explicit_nonce(s) ? TLS_EXPLICIT_BYTES : 0;
        size_t bytes = *size - TLS_HEADER_BYTES;
        struct tls_frame f;
        int type = header[0], r;

        if (bytes < explicit_bytes + TLS_TAG_BYTES)
                return record_refuse(s, SSL_AD_BAD_RECORD_MAC, "a record that is too short");
        bytes -= explicit_bytes + TLS_TAG_BYTES;
        if (bytes > TLS_RECORD_BYTES + (s->stream.protocol == TLS_1_3))
                return record_refuse(s, SSL_AD_RECORD_OVERFLOW, "a record that is too long");
        frame_nonce(&s->reads, explicit_bytes ? body : NULL, &f);
        frame_extra(s, &s->reads, header, bytes, extra, &f);
        body += explicit_bytes;
        r = cipher_open(s->worker, &s->reads, s->suite, &f, body, bytes);
        if (r == -EBADMSG)
                return record_refuse(s, SSL_AD_BAD_RECORD_MAC, "a record that was tampered with");
        if (r < 0)
                return stream_fail(s, r, "a record cannot be deciphered");
        s->reads.sequence++;
        *data = body;
        *size = bytes;
        return s->stream.protocol == TLS_1_3 ? inner_type(body, size) : type;
}

int record_take(struct tls_stream_full *s, unsigned char *record, size_t size, struct text *ret) {
        unsigned char *data = NULL;
        int type;

        type = record_open(s, record, &data, &size);
        if (type < 0)
                return type;
        if (type == TLS_APPLICATION_DATA && size) {
                take_data(s, size);
                *ret = (struct text){ (char *)data, size };
                return 1;
        }
        if (++s->idle_records > IDLE_RECORDS_MAX)
                return record_refuse(s, SSL_AD_UNEXPECTED_MESSAGE, "too many records without data");
        switch (type) {
        case TLS_APPLICATION_DATA: return 0;
        case TLS_ALERT: return take_alert(s, data, size);
        case TLS_HANDSHAKE_MESSAGE: return take_handshake(s, data, size);
        default:
                return record_refuse(s, SSL_AD_UNEXPECTED_MESSAGE,
                                     "a record of an unexpected type");
        }
}
