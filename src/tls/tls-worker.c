/* SPDX-License-Identifier: MIT */
/*
 * What the streams of one worker share. Its own OSSL_LIB_CTX keeps it from the locks that all
 * threads of a process take otherwise; all algorithms are fetched once, since fetching is slow in
 * OpenSSL 3.0.
 *
 * OpenSSL's own configuration file is not read: what is served is said in one place, and a provider
 * that some other program needs has no business here.
 */
#include "tls/tls-internal.h"

#include <errno.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/rand.h>
#include <pthread.h>
#include <stdlib.h>

enum {
        BLOCKS_KEPT = 64,   /* as many streams may have something to send without an allocation */
        PARTIALS_KEPT = 16, /* as many may have a part of a long record */
        PARTIALS_SMALL_KEPT = 64,
        STREAMS_KEPT = 64,
};

static void library_begin(void) {
        /* the process may end while others still use it, and the kernel is quicker */
        OPENSSL_init_ssl(OPENSSL_INIT_NO_LOAD_CONFIG | OPENSSL_INIT_NO_ATEXIT, NULL);
}

void tls_begin(void) {
        static pthread_once_t once = PTHREAD_ONCE_INIT;

        pthread_once(&once, library_begin);
}

static int fetch_hmac(struct tls_worker *w) {
        static const char *const digests[] = { "SHA256", "SHA384" };
        EVP_MAC *mac = EVP_MAC_fetch(w->library, "HMAC", NULL);

        for (size_t i = 0; mac && i < ELEMENTS(w->hmac); i++) {
                OSSL_PARAM digest[] = {
                        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, (char *)digests[i],
                                                         0),
                        OSSL_PARAM_construct_end(),
                };

                w->hmac[i] = EVP_MAC_CTX_new(mac);
                if (!w->hmac[i] || EVP_MAC_CTX_set_params(w->hmac[i], digest) != 1) {
                        EVP_MAC_free(mac);
                        return -EIO;
                }
        }
        EVP_MAC_free(mac); /* the contexts hold it */
        return mac ? 0 : -EIO;
}

static int fetch(struct tls_worker *w) {
        static const char *const names[TLS_SUITES] = { "AES-128-GCM", "AES-256-GCM",
                                                       "ChaCha20-Poly1305" };

        for (size_t i = 0; i < TLS_SUITES; i++) {
                w->ciphers[i] = EVP_CIPHER_fetch(w->library, names[i], NULL);
                if (!w->ciphers[i])
                        return -EIO;
        }
        w->ticket_cipher = EVP_CIPHER_fetch(w->library, "AES-256-CBC", NULL);
        return w->ticket_cipher ? fetch_hmac(w) : -EIO;
}

/*
 * The first context fetches all algorithms there are. Where that fails for want of memory, OpenSSL
 * 3.0 remembers for ever that there are none: better here than in a reload.
 */
static int fetch_all(struct tls_worker *w) {
        SSL_CTX *c = SSL_CTX_new_ex(w->library, NULL, TLS_server_method());

        SSL_CTX_free(c);
        return c ? fetch(w) : -EIO;
}

int worker_new(struct tls_worker **ret) {
        _cleanup_(worker_freep)
        struct tls_worker *w = calloc(1, sizeof(*w));
        int r;

        if (!w)
                return -ENOMEM;
        list_init(&w->keyed);
        pool_init(&w->blocks, sizeof(struct tls_block), BLOCKS_KEPT);
        pool_init(&w->partials, TLS_PARTIAL_BYTES, PARTIALS_KEPT);
        pool_init(&w->partials_small, TLS_PARTIAL_SMALL_BYTES, PARTIALS_SMALL_KEPT);
        pool_init(&w->streams, sizeof(struct tls_stream_full), STREAMS_KEPT);
        tls_begin();
        w->library = OSSL_LIB_CTX_new();
        if (!w->library)
                return -ENOMEM;
        r = fetch_all(w);
        ERR_clear_error();
        if (r < 0)
                return r;
        *ret = take_ptr(w);
        return 0;
}

struct tls_worker *worker_free(struct tls_worker *w) {
        if (!w)
                return NULL;
        ciphers_finish(w);
        pool_finish(&w->blocks);
        pool_finish(&w->partials);
        pool_finish(&w->partials_small);
        pool_finish(&w->streams);
        for (size_t i = 0; i < ELEMENTS(w->hmac); i++)
                EVP_MAC_CTX_free(w->hmac[i]);
        for (size_t i = 0; i < TLS_SUITES; i++)
                EVP_CIPHER_free(w->ciphers[i]);
        EVP_CIPHER_free(w->ticket_cipher);
        OSSL_LIB_CTX_free(w->library);
        OPENSSL_cleanse(&w->ticket_keys, sizeof(w->ticket_keys));
        free(w);
        return NULL;
}

void worker_take_keys(struct tls_worker *w, const struct tls_ticket_keys *keys) {
        assert(keys->count <= TLS_TICKET_KEYS);
        w->ticket_keys = *keys;
}

/* A ticket's key: 16 bytes of name, 32 for AES-256-CBC, 32 for HMAC-SHA-256 (RFC 5077, 4). */
enum { KEY_NAME_BYTES = 16, KEY_CIPHER_BYTES = 32, KEY_MAC_BYTES = 32 };
_Static_assert(KEY_NAME_BYTES + KEY_CIPHER_BYTES + KEY_MAC_BYTES == TLS_TICKET_KEY_BYTES,
               "a ticket's key");

static int key_at(const struct tls_worker *w, const unsigned char *name) {
        for (unsigned i = 0; i < w->ticket_keys.count; i++)
                if (memcmp(w->ticket_keys.keys[i], name, KEY_NAME_BYTES) == 0)
                        return (int)i;
        return -1;
}

/*
 * OpenSSL's callback: sets up cipher and MAC to make a ticket, or to take one with the key that it
 * names. 1: done; 2: done, and the client should have a new one; 0: no such key; -1: broken.
 */
int worker_ticket_key(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher,
                      EVP_MAC_CTX *mac, int makes) {
        const struct tls_stream_full *s = SSL_get_app_data(ssl);
        const struct tls_worker *w = s->worker;
        int i = makes ? (w->ticket_keys.count ? 0 : -1) : key_at(w, name);
        const unsigned char *key;

        if (i < 0)
                return 0;
        key = w->ticket_keys.keys[i];
        if (makes) {
                memcpy(name, key, KEY_NAME_BYTES);
                if (RAND_bytes_ex(w->library, iv, 16, 0) != 1)
                        return -1;
        }
        OSSL_PARAM params[] = {
                OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY,
                                                  (void *)(key + KEY_NAME_BYTES + KEY_CIPHER_BYTES),
                                                  KEY_MAC_BYTES),
                OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, (char *)"SHA256", 0),
                OSSL_PARAM_construct_end(),
        };
        if (EVP_CipherInit_ex2(cipher, w->ticket_cipher, key + KEY_NAME_BYTES, iv, makes, NULL) !=
                    1 ||
            EVP_MAC_CTX_set_params(mac, params) != 1)
                return -1;
        return i > 0 ? 2 : 1;
}
