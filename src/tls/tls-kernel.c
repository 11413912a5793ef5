/* SPDX-License-Identifier: MIT */
/*
 * Kernel TLS: the direction that we write is handed over, between two records, and sendfile(2) is
 * as good as in clear. Its key, nonce and count are all that the kernel needs, since no record of
 * ours is under way.
 *
 * The direction that we read stays with us. Requests are small, and what the kernel deciphers for
 * them saves nothing; a body would have to be received by recvmsg(2) with room for the type of each
 * record, and a record of another type ends every other way of receiving: alerts and KeyUpdate are
 * simpler where the keys are.
 *
 * What no kernel before 6.14 can do is to change a key. The peer may change its own as it likes;
 * but one that asks for a new key of ours (RFC 8446, 4.6.3) must not see another record of data
 * under the old one, and so is sent an alert. None does it of itself before it has received as much
 * as no connection of ours sends by the kernel: see server/conn-tls-kernel.c for the limit.
 */
#include "tls/tls-internal.h"

#include <errno.h>
#include <linux/tls.h>

/* linux/tls.h has a struct for each cipher, all with iv, key, salt and rec_seq in this order. */
static_assert(sizeof(struct tls12_crypto_info_aes_gcm_128) == 4 + 8 + 16 + 4 + 8 &&
                      sizeof(struct tls12_crypto_info_aes_gcm_256) == 4 + 8 + 32 + 4 + 8 &&
                      sizeof(struct tls12_crypto_info_chacha20_poly1305) == 4 + 12 + 32 + 0 + 8,
              "the structs have no holes");
static_assert(sizeof(struct tls12_crypto_info_aes_gcm_256) == TLS_KERNEL_KEYS_BYTES_MAX &&
                      sizeof(struct tls12_crypto_info_chacha20_poly1305) ==
                              TLS_KERNEL_KEYS_BYTES_MAX,
              "they have room");

static unsigned char *put(unsigned char *to, const void *data, size_t bytes) {
        memcpy(to, data, bytes);
        return to + bytes;
}

static unsigned char *put_number(unsigned char *to, uint64_t number) {
        for (unsigned i = 8; i--; number >>= 8)
                to[i] = (unsigned char)number;
        return to + 8;
}

ssize_t stream_kernel_keys(const struct tls_stream *stream,
                           unsigned char to[static TLS_KERNEL_KEYS_BYTES_MAX]) {
        static const uint16_t ciphers[TLS_SUITES] = {
                [TLS_AES_128] = TLS_CIPHER_AES_GCM_128,
                [TLS_AES_256] = TLS_CIPHER_AES_GCM_256,
                [TLS_CHACHA20] = TLS_CIPHER_CHACHA20_POLY1305,
        };
        const struct tls_stream_full *s = (const struct tls_stream_full *)stream;
        struct tls_crypto_info info = { stream->protocol, ciphers[s->suite] };
        size_t salt_bytes = s->suite == TLS_CHACHA20 ? 0 : 4;
        unsigned char *at = to;

        assert(!s->handshake && !s->block_count && !stream->kernel_writes);
        /* the kernel makes records of one size */
        if (s->failed || s->ended || s->record_bytes != TLS_RECORD_BYTES)
                return -EOPNOTSUPP;
        at = put(at, &info, sizeof(info));
        /* of AES-GCM in TLS 1.2 this half of the nonce stands in each record, and counts on */
        if (salt_bytes && stream->protocol == TLS_1_2)
                at = put_number(at, s->explicit_nonce);
        else
                at = put(at, s->writes.nonce + salt_bytes, TLS_NONCE_BYTES - salt_bytes);
        at = put(at, s->writes.key, cipher_key_bytes(s->suite));
        at = put(at, s->writes.nonce, salt_bytes);
        at = put_number(at, s->writes.sequence);
        return at - to;
}

void stream_kernel_writes(struct tls_stream *stream) {
        struct tls_stream_full *s = stream_full(stream);

        assert(!s->block_count);
        stream->kernel_writes = true;
        direction_finish(s->worker, &s->writes);
}
