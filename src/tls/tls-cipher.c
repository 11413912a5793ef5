/* SPDX-License-Identifier: MIT */
/*
 * Protection of records by an AEAD (RFC 5116). A cipher that has a key is a kilobyte in OpenSSL,
 * and most streams are idle most of the time: a worker has a limited number of keyed ciphers, and a
 * stream that comes back takes the one that was used longest ago and gives it its key, which costs
 * less than enciphering a kilobyte.
 */
#include "tls/tls-internal.h"

#include <errno.h>
#include <stdlib.h>

/* Two for each of so many streams that are busy at once; more than these share them. */
enum { CIPHERS_MAX = 1024 };

struct tls_cipher {
        struct list link;            /* in worker.keyed */
        struct tls_direction *owner; /* whose key it has; NULL: nobody's */
        EVP_CIPHER_CTX *context;
        uint8_t suite;
};

size_t cipher_key_bytes(enum tls_suite suite) {
        return suite == TLS_AES_128 ? 16 : 32;
}

void ciphers_finish(struct tls_worker *w) {
        list_for_each_safe(link, &w->keyed) {
                struct tls_cipher *c = container_of(link, struct tls_cipher, link);

                assert(!c->owner);
                EVP_CIPHER_CTX_free(c->context);
                free(c);
        }
}

void direction_forget_cipher(struct tls_worker *w, struct tls_direction *d) {
        struct tls_cipher *c = take_ptr(d->cipher);

        if (!c)
                return;
        c->owner = NULL; /* the key stays in it until the next comes: it is in use again soon */
        list_remove(&c->link);
        list_append(&w->keyed, &c->link);
}

void direction_finish(struct tls_worker *w, struct tls_direction *d) {
        direction_forget_cipher(w, d);
        OPENSSL_cleanse(d, sizeof(*d));
}

/* One that nobody uses, or the one that was used longest ago. */
static struct tls_cipher *cipher_take(struct tls_worker *w) {
        struct tls_cipher *c;

        if (!list_is_empty(&w->keyed)) {
                c = container_of(w->keyed.previous, struct tls_cipher, link);
                if (!c->owner || w->keyed_count >= CIPHERS_MAX) {
                        if (c->owner)
                                c->owner->cipher = NULL;
                        c->owner = NULL;
                        return c;
                }
        }
        c = calloc(1, sizeof(*c));
        if (!c)
                return NULL;
        c->context = EVP_CIPHER_CTX_new();
        if (!c->context) {
                free(c);
                return NULL;
        }
        c->suite = TLS_SUITES;
        list_append(&w->keyed, &c->link);
        w->keyed_count++;
        return c;
}

/* The cipher of `d`, set to begin a record; NULL without memory. */
static EVP_CIPHER_CTX *cipher_begin(struct tls_worker *w, struct tls_direction *d,
                                    enum tls_suite suite, const unsigned char *nonce) {
        struct tls_cipher *c = d->cipher;
        int r;

        if (likely(c)) {
                r = EVP_CipherInit_ex2(c->context, NULL, NULL, nonce, d->writes, NULL);
        } else {
                c = cipher_take(w);
                if (!c)
                        return NULL;
                /* naming the cipher again would make it anew */
                r = EVP_CipherInit_ex2(c->context, c->suite == suite ? NULL : w->ciphers[suite],
                                       d->key, nonce, d->writes, NULL);
                c->suite = r == 1 ? suite : TLS_SUITES;
                c->owner = d;
                d->cipher = c;
        }
        if (w->keyed.next != &c->link) {
                list_remove(&c->link);
                list_prepend(&w->keyed, &c->link);
        }
        if (r == 1)
                return c->context;
        direction_forget_cipher(w, d);
        return NULL;
}

int cipher_seal(struct tls_worker *w, struct tls_direction *d, enum tls_suite suite,
                const struct tls_frame *frame, const void *from, size_t size, int type,
                unsigned char *to) {
        EVP_CIPHER_CTX *c = cipher_begin(w, d, suite, frame->nonce);
        unsigned char last = (unsigned char)type;
        int n;

        if (!c)
                return -ENOMEM;
        if (EVP_CipherUpdate(c, NULL, &n, frame->extra, frame->extra_bytes) != 1)
                return -EIO;
        if (size && EVP_CipherUpdate(c, to, &n, from, (int)size) != 1)
                return -EIO;
        to += size;
        if (type >= 0 && EVP_CipherUpdate(c, to++, &n, &last, 1) != 1)
                return -EIO;
        if (EVP_CipherFinal_ex(c, to, &n) != 1 ||
            EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_GET_TAG, TLS_TAG_BYTES, to) != 1)
                return -EIO;
        return 0;
}

int cipher_open(struct tls_worker *w, struct tls_direction *d, enum tls_suite suite,
                const struct tls_frame *frame, unsigned char *data, size_t size) {
        EVP_CIPHER_CTX *c = cipher_begin(w, d, suite, frame->nonce);
        int n;

        if (!c)
                return -ENOMEM;
        if (EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_SET_TAG, TLS_TAG_BYTES, data + size) != 1 ||
            EVP_CipherUpdate(c, NULL, &n, frame->extra, frame->extra_bytes) != 1)
                return -EIO;
        if (size && EVP_CipherUpdate(c, data, &n, data, (int)size) != 1)
                return -EBADMSG;
        return EVP_CipherFinal_ex(c, data + size, &n) == 1 ? 0 : -EBADMSG;
}
