/* SPDX-License-Identifier: MIT */
/*
 * From the secrets that a handshake leaves to the keys of records. Both versions need no more than
 * HMAC: the expansion of HKDF is one for what is no longer than its digest, as all is that is asked
 * for here, and the PRF of TLS 1.2 is a chain of them. OpenSSL's own functions for it look the
 * digest up by its name at each call.
 */
#include "tls/tls-internal.h"

#include <errno.h>

enum { DIGEST_BYTES_MAX = 48, RANDOM_BYTES = 32, MASTER_BYTES = 48 };

/* HMAC over the parts; `to` has room for the digest. */
static int hmac(struct tls_worker *w, bool sha384, const void *key, size_t key_bytes,
                const struct text *parts, size_t count, unsigned char to[static DIGEST_BYTES_MAX]) {
        EVP_MAC_CTX *c = w->hmac[sha384];
        size_t n;

        if (EVP_MAC_init(c, key, key_bytes, NULL) != 1)
                return -EIO;
        for (size_t i = 0; i < count; i++)
                if (EVP_MAC_update(c, (const unsigned char *)parts[i].data, parts[i].size) != 1)
                        return -EIO;
        return EVP_MAC_final(c, to, &n, DIGEST_BYTES_MAX) == 1 ? 0 : -EIO;
}

/* HKDF-Expand-Label (RFC 8446, 7.1) without a context, of at most a digest's length. */
static int expand_label(struct tls_worker *w, enum tls_suite suite, const unsigned char *secret,
                        const char *label, unsigned char *to, size_t size) {
        unsigned char digest[DIGEST_BYTES_MAX], info[32];
        bool sha384 = suite == TLS_AES_256;
        size_t label_bytes = strlen(label), secret_bytes = sha384 ? 48 : 32, n = 0;
        int r;

        info[n++] = 0;
        info[n++] = (unsigned char)size;
        info[n++] = (unsigned char)(6 + label_bytes);
        memcpy(info + n, "tls13 ", 6);
        memcpy(info + n + 6, label, label_bytes);
        n += 6 + label_bytes;
        info[n++] = 0; /* no context */
        info[n++] = 1; /* the first block of the expansion */
        r = hmac(w, sha384, secret, secret_bytes, &(struct text){ (char *)info, n }, 1, digest);
        if (r == 0)
                memcpy(to, digest, size);
        OPENSSL_cleanse(digest, sizeof(digest));
        return r;
}

int keys_expand(struct tls_worker *w, enum tls_suite suite, struct tls_direction *d) {
        int r = expand_label(w, suite, d->secret, "key", d->key, cipher_key_bytes(suite));

        return r < 0 ? r : expand_label(w, suite, d->secret, "iv", d->nonce, sizeof(d->nonce));
}

int keys_update(struct tls_worker *w, enum tls_suite suite, struct tls_direction *d) {
        unsigned char next[TLS_SECRET_BYTES_MAX];
        int r = expand_label(w, suite, d->secret, "traffic upd", next,
                             suite == TLS_AES_256 ? 48 : 32);

        if (r < 0)
                return r;
        memcpy(d->secret, next, sizeof(next));
        OPENSSL_cleanse(next, sizeof(next));
        direction_forget_cipher(w, d);
        d->sequence = 0;
        return keys_expand(w, suite, d);
}

/* P_hash (RFC 5246, 5) of the master secret, with the label and the randoms as its seed. */
static int key_block(struct tls_worker *w, bool sha384, const unsigned char *master,
                     const unsigned char *randoms, unsigned char *to, size_t size) {
        static const struct text label = TEXT("key expansion");
        struct text seed = { (const char *)randoms, 2 * RANDOM_BYTES };
        unsigned char a[DIGEST_BYTES_MAX], block[DIGEST_BYTES_MAX];
        size_t digest_bytes = sha384 ? 48 : 32;
        int r = hmac(w, sha384, master, MASTER_BYTES, (struct text[]){ label, seed }, 2, a);

        while (r == 0 && size) {
                struct text last = { (const char *)a, digest_bytes };
                size_t n = MIN(size, digest_bytes);

                r = hmac(w, sha384, master, MASTER_BYTES, (struct text[]){ last, label, seed }, 3,
                         block);
                memcpy(to, block, n);
                to += n;
                size -= n;
                if (r == 0 && size)
                        r = hmac(w, sha384, master, MASTER_BYTES, &last, 1, a);
        }
        OPENSSL_cleanse(a, sizeof(a));
        OPENSSL_cleanse(block, sizeof(block));
        return r;
}

int keys_from_master(struct tls_worker *w, enum tls_suite suite, bool sha384, SSL *ssl,
                     struct tls_direction *reads, struct tls_direction *writes) {
        unsigned char master[MASTER_BYTES], randoms[2 * RANDOM_BYTES];
        unsigned char block[2 * (TLS_KEY_BYTES_MAX + TLS_NONCE_BYTES)], *at = block;
        size_t key_bytes = cipher_key_bytes(suite);
        size_t nonce_bytes = suite == TLS_CHACHA20 ? TLS_NONCE_BYTES : 4;
        int r = -EIO;

        if (SSL_SESSION_get_master_key(SSL_get0_session(ssl), master, sizeof(master)) ==
                    sizeof(master) &&
            SSL_get_server_random(ssl, randoms, RANDOM_BYTES) == RANDOM_BYTES &&
            SSL_get_client_random(ssl, randoms + RANDOM_BYTES, RANDOM_BYTES) == RANDOM_BYTES)
                r = key_block(w, sha384, master, randoms, block, 2 * (key_bytes + nonce_bytes));
        if (r == 0) {
                memcpy(reads->key, at, key_bytes);
                memcpy(writes->key, at += key_bytes, key_bytes);
                memcpy(reads->nonce, at += key_bytes, nonce_bytes);
                memcpy(writes->nonce, at += nonce_bytes, nonce_bytes);
        }
        OPENSSL_cleanse(master, sizeof(master));
        OPENSSL_cleanse(block, sizeof(block));
        return r;
}
