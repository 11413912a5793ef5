/* SPDX-License-Identifier: MIT */
#include "fuzz.h"
#include "tls/tls-internal.h"

#include <errno.h>

/*
 * What a peer sends who has the keys: bytes are made into records of any type, padding and length,
 * protected as they should be, and then cut anywhere. The data among them must come out as it was
 * put in, up to the first that ends the connection, and what we answer must be bounded.
 *
 * Input: a byte that chooses version, cipher and pieces; then per record its type, a byte of how
 * (low bits: zeros behind it in TLS 1.3; 0x40: a forgery; 0x80: not protected), its length, its
 * data.
 */

enum { DATA_BYTES_MAX = 65536 };

static struct tls_worker *worker;

static struct tls_stream_full *open_stream(uint8_t choice) {
        struct tls_stream_full *s = pool_take(&worker->streams);

        must(s);
        *s = (struct tls_stream_full){
                .worker = worker,
                .why = "",
                .key_updates = 16,
                .record_bytes = TLS_RECORD_BYTES,
                .suite = (choice >> 1) % TLS_SUITES,
                .stream = { .state = TLS_OPEN, .protocol = choice & 1 ? TLS_1_2 : TLS_1_3 },
                .writes.writes = true,
        };
        must(keys_expand(worker, s->suite, &s->reads) == 0);
        must(keys_expand(worker, s->suite, &s->writes) == 0);
        return s;
}

/* One record of `peer`, as ciphertext behind `to`. */
static size_t seal(struct tls_stream_full *peer, uint8_t type, uint8_t how, const uint8_t *data,
                   size_t size, char *to) {
        static uint8_t padded[TLS_RECORD_BYTES];
        struct iovec parts[TLS_OUTPUT_PARTS_MAX];
        size_t zeros = peer->stream.protocol == TLS_1_3 ? how & 0x3f : 0;
        unsigned n;

        if (zeros) { /* the type stands before them, and what is added behind counts as a zero */
                memcpy(padded, data, size);
                padded[size] = type;
                memset(padded + size + 1, 0, zeros - 1);
                must(record_write(peer, 0, padded, size + zeros) == 0);
        } else {
                must(record_write(peer, type, data, size) == 0);
        }
        n = stream_output(&peer->stream, parts);
        must(n == 1);
        memcpy(to, parts[0].iov_base, parts[0].iov_len);
        stream_sent(&peer->stream);
        if (how & 0x40)
                to[parts[0].iov_len - 1 - how % 16] ^= 0x20;
        return parts[0].iov_len;
}

struct script {
        char *wire, *data; /* what is sent, and what must come out at least and at most */
        size_t wire_bytes, data_bytes, data_bytes_certain;
};

/* All records; what follows one that may end the connection is not certain to be read. */
static void write_script(struct tls_stream_full *peer, const uint8_t *in, size_t size,
                         struct script *ret) {
        bool certain = true;

        while (size >= 3 && ret->data_bytes + 256 < DATA_BYTES_MAX) {
                uint8_t type = in[0] ? in[0] : 1, how = in[1]; /* 0 would be a zero behind it */
                size_t n = MIN((size_t)in[2], size - 3);

                if (how & 0x80) { /* not protected at all */
                        memcpy(ret->wire + ret->wire_bytes, in + 3, n);
                        ret->wire_bytes += n;
                        certain = false;
                } else {
                        ret->wire_bytes +=
                                seal(peer, type, how, in + 3, n, ret->wire + ret->wire_bytes);
                        if (how & 0x40 || type != TLS_APPLICATION_DATA || !n)
                                certain = false;
                        else
                                memcpy(ret->data + ret->data_bytes, in + 3, n);
                        if (type == TLS_APPLICATION_DATA && !(how & 0x40))
                                ret->data_bytes += n;
                        if (certain)
                                ret->data_bytes_certain = ret->data_bytes;
                        /* as a peer does who has said so */
                        if (type == TLS_HANDSHAKE_MESSAGE && n == 5 && in[3] == 24 &&
                            peer->stream.protocol == TLS_1_3)
                                must(keys_update(worker, peer->suite, &peer->writes) == 0);
                }
                in += 3 + n;
                size -= 3 + n;
        }
}

static size_t output_bytes(struct tls_stream_full *s) {
        struct iovec parts[TLS_OUTPUT_PARTS_MAX];
        size_t bytes = 0;

        for (unsigned i = 0, n = stream_output(&s->stream, parts); i < n; i++)
                bytes += parts[i].iov_len;
        stream_sent(&s->stream);
        return bytes;
}

static void read_script(struct tls_stream_full *s, const struct script *script, size_t step) {
        size_t got_bytes = 0;
        int r = 0;

        for (size_t i = 0; i < script->wire_bytes && r == 0; i += step) {
                size_t n = MIN(step, script->wire_bytes - i);
                char *copy = malloc(n);
                struct text got;

                must(copy);
                memcpy(copy, script->wire + i, n);
                r = stream_feed(&s->stream, copy, n);
                while (r == 0 && (r = stream_read(&s->stream, &got)) == 0 && got.size) {
                        must(got_bytes + got.size <= script->data_bytes);
                        if (got_bytes + got.size <= script->data_bytes_certain)
                                must(memcmp(got.data, script->data + got_bytes, got.size) == 0);
                        got_bytes += got.size;
                }
                free(copy);
        }
        must(got_bytes >= script->data_bytes_certain);
        must(r == 0 || r == -EPROTO);
        must((r < 0) == (stream_why(&s->stream)[0] != '\0'));
        must(s->block_count <= 1 && output_bytes(s) < 2048);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        static const size_t steps[] = { 1, 3, 64, 1000000 };
        static char wire[2 * DATA_BYTES_MAX + 300 * 128];
        static char plain[DATA_BYTES_MAX];
        struct script script = { .wire = wire, .data = plain };
        struct tls_stream_full *s, *peer;
        uint8_t choice = size ? data[0] : 0;

        if (!worker)
                must(worker_new(&worker) == 0);
        peer = open_stream(choice);
        s = open_stream(choice);
        if (size)
                write_script(peer, data + 1, MIN(size - 1, (size_t)4096), &script);
        read_script(s, &script, steps[choice >> 6]);
        stream_free(&s->stream);
        stream_free(&peer->stream);
        return 0;
}
