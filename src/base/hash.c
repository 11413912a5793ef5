/* SPDX-License-Identifier: MIT */
#include "base/hash.h"

#include <pthread.h>
#include <sys/random.h>
#include <unistd.h>

static uint64_t hash_key[2];
static pthread_once_t hash_key_once = PTHREAD_ONCE_INIT;

static void hash_draw_key(void) {
        if (getrandom(hash_key, sizeof(hash_key), GRND_NONBLOCK) == (ssize_t)sizeof(hash_key))
                return;
        /* before the machine has entropy: an address and the pid are what there is to vary by */
        hash_key[0] = (uintptr_t)&hash_key ^ ((uint64_t)getpid() << 32);
        hash_key[1] = ~hash_key[0] * UINT64_C(0x9e3779b97f4a7c15);
}

static inline uint64_t rotate(uint64_t x, int bits) {
        return (x << bits) | (x >> (64 - bits));
}

static inline void sip_round(uint64_t v[4]) {
        v[0] += v[1];
        v[1] = rotate(v[1], 13) ^ v[0];
        v[0] = rotate(v[0], 32);
        v[2] += v[3];
        v[3] = rotate(v[3], 16) ^ v[2];
        v[0] += v[3];
        v[3] = rotate(v[3], 21) ^ v[0];
        v[2] += v[1];
        v[1] = rotate(v[1], 17) ^ v[2];
        v[2] = rotate(v[2], 32);
}

uint64_t hash_text(struct text t) {
        uint64_t v[4], last = (uint64_t)t.size << 56;
        size_t i;

        pthread_once(&hash_key_once, hash_draw_key);
        v[0] = hash_key[0] ^ UINT64_C(0x736f6d6570736575);
        v[1] = hash_key[1] ^ UINT64_C(0x646f72616e646f6d);
        v[2] = hash_key[0] ^ UINT64_C(0x6c7967656e657261);
        v[3] = hash_key[1] ^ UINT64_C(0x7465646279746573);
        for (i = 0; i + 8 <= t.size; i += 8) {
                uint64_t word;

                memcpy(&word, t.data + i, 8); /* the byte order only changes which hash it is */
                v[3] ^= word;
                sip_round(v);
                v[0] ^= word;
        }
        for (size_t j = 0; i + j < t.size; j++)
                last |= (uint64_t)(unsigned char)t.data[i + j] << (8 * j);
        v[3] ^= last;
        sip_round(v);
        v[0] ^= last;
        v[2] ^= 0xff;
        sip_round(v);
        sip_round(v);
        sip_round(v);
        return v[0] ^ v[1] ^ v[2] ^ v[3];
}
