/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/list.h"
#include "base/pool.h"
#include "tls/tls.h"

#include <openssl/evp.h>
#include <openssl/ssl.h>

/* What the files of this folder share. */

enum {
        TLS_HEADER_BYTES = 5, /* of a record: type, version 2, length 2 */
        TLS_TAG_BYTES = 16,
        TLS_NONCE_BYTES = 12,
        TLS_EXPLICIT_BYTES = 8, /* of the nonce, in each record of TLS 1.2 with AES-GCM */
        TLS_SECRET_BYTES_MAX = 48,
        TLS_KEY_BYTES_MAX = 32,
        /* around the plaintext of a record, the byte of its type in TLS 1.3 included */
        TLS_OVERHEAD_BYTES_MAX = TLS_HEADER_BYTES + TLS_EXPLICIT_BYTES + 1 + TLS_TAG_BYTES,
        /* what may surround a plaintext that is read (RFC 8446, 5.2) */
        TLS_EXPANSION_BYTES_MAX = 256,
        TLS_BLOCK_BYTES = TLS_RECORD_BYTES + TLS_OVERHEAD_BYTES_MAX,
        TLS_PARTIAL_SMALL_BYTES = 2048,
        TLS_PARTIAL_BYTES = TLS_HEADER_BYTES + TLS_RECORD_BYTES + TLS_EXPANSION_BYTES_MAX,
        TLS_SUBJECT_BYTES_MAX = 1024,
};

enum tls_content {
        TLS_CHANGE_CIPHER_SPEC = SSL3_RT_CHANGE_CIPHER_SPEC,
        TLS_ALERT = SSL3_RT_ALERT,
        TLS_HANDSHAKE_MESSAGE = SSL3_RT_HANDSHAKE,
        TLS_APPLICATION_DATA = SSL3_RT_APPLICATION_DATA,
};

/* What records are protected with. */
enum tls_suite { TLS_AES_128, TLS_AES_256, TLS_CHACHA20, TLS_SUITES };

struct tls_cipher; /* tls-cipher.c */

/* One direction of a stream: all that is needed to go on with it. */
struct tls_direction {
        uint64_t sequence;
        struct tls_cipher *cipher; /* one of the worker's, keyed for this; or NULL */
        unsigned char nonce[TLS_NONCE_BYTES];
        unsigned char key[TLS_KEY_BYTES_MAX];
        unsigned char secret[TLS_SECRET_BYTES_MAX]; /* TLS 1.3: the next keys come from it */
        bool writes;
};

/* Ciphertext to send. */
struct tls_block {
        struct tls_block *next;
        size_t used;
        unsigned char data[TLS_BLOCK_BYTES];
};

struct tls_worker {
        OSSL_LIB_CTX *library;
        struct tls_ticket_keys ticket_keys;
        EVP_CIPHER *ciphers[TLS_SUITES];
        EVP_CIPHER *ticket_cipher;
        EVP_MAC_CTX *hmac[2]; /* SHA-256, SHA-384 */
        struct list keyed;    /* of struct tls_cipher, most lately used first */
        unsigned keyed_count;
        struct pool blocks; /* of struct tls_block */
        struct pool partials, partials_small;
        struct pool streams;
        unsigned handshakes, handshakes_most; /* under way, and the most since memory was trimmed */
        uint64_t trimmed_usec;
};

struct tls_stream_full;

struct tls_handshake {
        SSL *ssl;
        struct tls_server *server;
        const struct tls_server_site *site; /* NULL until the client hello was read */
        unsigned char read_secret[TLS_SECRET_BYTES_MAX], write_secret[TLS_SECRET_BYTES_MAX];
        bool has_read_secret, has_write_secret;
        size_t taken_bytes;
        /* the records that OpenSSL has written, as they pass: see handshake_walk() */
        unsigned char head[TLS_HEADER_BYTES + TLS_EXPLICIT_BYTES];
        size_t passed, record_bytes; /* of the record under way, its header included */
        uint64_t protected_records;
        unsigned char explicit_nonce[TLS_EXPLICIT_BYTES];
};

struct tls_stream_full {
        struct tls_stream stream; /* the first: they are cast into each other */
        struct tls_worker *worker;
        struct tls_handshake *handshake; /* NULL once it is over */
        const char *why;
        int failed; /* -errno; 0 */
        uint8_t suite;
        bool ended;            /* close_notify or a fatal alert was made, or came */
        bool partial_done;     /* what `partial` has was read */
        bool update_waits;     /* a KeyUpdate of ours has not been sent yet */
        uint8_t idle_records;  /* in a row that brought no data */
        uint8_t key_updates;   /* that the peer may still make */
        uint16_t record_bytes; /* most plaintext of a record that we make */
        uint8_t block_count, sending_count;
        uint32_t data_bytes; /* received since key_updates grew */
        char *in;            /* lent by feed() */
        size_t in_bytes;
        char *partial; /* a record, or what there is of it */
        uint32_t partial_bytes, partial_size;
        struct tls_block *first, *last; /* of the output, those being sent first */
        struct tls_direction reads, writes;
        uint64_t explicit_nonce; /* TLS 1.2 with AES-GCM: of the next record */
};

static inline struct tls_stream_full *stream_full(struct tls_stream *s) {
        return (struct tls_stream_full *)s;
}

/* ---- tls-worker.c ---- */

void tls_begin(void); /* the library itself, once a process */
int worker_new(struct tls_worker **ret);
struct tls_worker *worker_free(struct tls_worker *w);
void worker_take_keys(struct tls_worker *w, const struct tls_ticket_keys *keys);
int worker_ticket_key(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher,
                      EVP_MAC_CTX *mac, int makes);

/* ---- tls-cipher.c: protection of records ---- */

void ciphers_finish(struct tls_worker *w);
size_t cipher_key_bytes(enum tls_suite suite);
void direction_finish(struct tls_worker *w, struct tls_direction *d);
/* The key has changed. */
void direction_forget_cipher(struct tls_worker *w, struct tls_direction *d);

/* What one record is protected with beside the key. */
struct tls_frame {
        unsigned char nonce[TLS_NONCE_BYTES];
        const unsigned char *extra; /* authenticated, not enciphered */
        int extra_bytes;
};

/*
 * Encipher `size` bytes and then, where `type` is not negative, that one byte; the tag follows.
 * `to` may be `from`. Errors: -ENOMEM, -EIO.
 */
int cipher_seal(struct tls_worker *w, struct tls_direction *d, enum tls_suite suite,
                const struct tls_frame *frame, const void *from, size_t size, int type,
                unsigned char *to);
/* Decipher where it lies; the tag stands behind. Errors: -EBADMSG (a forgery), -ENOMEM, -EIO. */
int cipher_open(struct tls_worker *w, struct tls_direction *d, enum tls_suite suite,
                const struct tls_frame *frame, unsigned char *data, size_t size);

/* ---- tls-keys.c: from secrets to keys ---- */

size_t suite_secret_bytes(enum tls_suite suite, bool sha384);
/* TLS 1.3: `d->secret` is set; makes key and nonce of it. Errors: -EIO. */
int keys_expand(struct tls_worker *w, enum tls_suite suite, struct tls_direction *d);
/* TLS 1.3: the secret that follows (RFC 8446, 7.2), its key, and the count from 0. */
int keys_update(struct tls_worker *w, enum tls_suite suite, struct tls_direction *d);
/* TLS 1.2: both directions from the master secret and the hellos (RFC 5246, 6.3). */
int keys_from_master(struct tls_worker *w, enum tls_suite suite, bool sha384, SSL *ssl,
                     struct tls_direction *reads, struct tls_direction *writes);

/* ---- tls-handshake.c ---- */

int handshake_new(struct tls_server *server, struct tls_stream_full *s);
void handshake_free(struct tls_stream_full *s);
int handshake_step(struct tls_stream_full *s); /* 0, also where it waits; errors as feed() */
void handshake_message(int writes, int version, int type, const void *data, size_t size, SSL *ssl,
                       void *unused);

/* ---- tls-records.c ---- */

/* Room for `bytes` at the end of the output, or NULL. */
unsigned char *output_room(struct tls_stream_full *s, size_t bytes);
/* Ciphertext ready-made. */
int output_append(struct tls_stream_full *s, const void *data, size_t bytes);
/* A record of `size` bytes of one piece. Errors: -ENOMEM, -EIO. */
int record_write(struct tls_stream_full *s, enum tls_content type, const void *data, size_t size);
ssize_t record_write_iov(struct tls_stream_full *s, const struct iovec *iov, unsigned count);
/* End with an alert (RFC 8446, 6.2), -EPROTO. */
int record_refuse(struct tls_stream_full *s, unsigned alert, const char *why);
/* Take one record that was read. 1: `*ret` has data; 0: it was for us. Errors: as feed(). */
int record_take(struct tls_stream_full *s, unsigned char *record, size_t size, struct text *ret);

/* ---- tls-certificate.c ---- */

struct tls_loaded {
        X509 *leaf;
        STACK_OF(X509) * rest; /* what signed it, in order */
        EVP_PKEY *key;
};

void loaded_finish(struct tls_loaded *l);
/* Faults and warnings go to `faults`. Errors: -EBADMSG, -ENOMEM. */
int certificate_load(OSSL_LIB_CTX *library, const struct tls_certificate *c, struct buffer *faults,
                     struct tls_loaded *ret);
int certificate_inspect(const struct tls_certificate *c, struct buffer *fault,
                        struct tls_certificate_info *ret);
/* The certificates of a PEM text. Errors: -EBADMSG, with a fault. */
int certificates_read(OSSL_LIB_CTX *library, struct text pem, const char *place, const char *path,
                      struct buffer *faults, STACK_OF(X509) * *ret);

/* ---- tls-staple.c ---- */

struct tls_staple {
        unsigned char *data; /* NULL: none */
        size_t size;
        int64_t until_sec; /* nextUpdate; INT64_MAX: it does not say */
};

/* What cannot be used is a warning in `faults`, and no staple. Errors: -ENOMEM. */
int staple_load(const struct tls_certificate *c, X509 *leaf, struct buffer *faults,
                struct tls_staple *ret);
int staple_answer(SSL *ssl, void *unused);

/* ---- tls-names.c ---- */

/* Names to sites, exact or by the longest wildcard. Zeroed memory has none. */
struct tls_names {
        struct tls_name *slots;
        size_t mask;
};

/* `names` is NULL-ended. The first who takes a name keeps it. Errors: -ENOMEM. */
int names_init(struct tls_names *n, size_t count);
int names_add(struct tls_names *n, const char *name, const void *value);
const void *names_find(const struct tls_names *n, struct text host);
void names_finish(struct tls_names *n);
/*
 * The host of a server_name extension (RFC 6066, 3), in lower case, without a dot at the end.
 * Empty: there is none, or none that can be a name. `to` holds it.
 */
enum { TLS_HOST_BYTES_MAX = 255 };
struct text names_from_extension(const unsigned char *data, size_t size,
                                 char to[static TLS_HOST_BYTES_MAX]);

/* ---- tls-server.c ---- */

struct tls_server_certificate {
        struct tls_loaded loaded;
        struct tls_staple staple;
};

struct tls_server_site {
        SSL_CTX *context;
        const void *owner;
        struct tls_server_certificate *certificates;
        size_t certificate_count;
        bool chooses; /* there are several of one kind */
        enum tls_client_certificate client_certificate;
        unsigned char id[32];
};

struct tls_server {
        struct tls_worker *worker;
        unsigned references; /* its owner's, and one for each handshake */
        SSL_CTX *context;    /* of no site: where each handshake begins */
        struct tls_server_site *sites;
        size_t site_count;
        const struct tls_server_site *fallback;
        struct tls_names names;
        bool http2;
};

int server_new(struct tls_worker *w, const struct tls_settings *settings, struct buffer *faults,
               struct tls_server **ret);
struct tls_server *server_free(struct tls_server *s);
int server_choose(SSL *ssl, int *alert, void *server); /* the site, by the client hello */
int server_choose_protocol(SSL *ssl, const unsigned char **ret, unsigned char *ret_bytes,
                           const unsigned char *offered, unsigned offered_bytes, void *unused);
DEFINE_FREEP(struct tls_server, server)
DEFINE_FREEP(struct tls_worker, worker)

/* ---- tls-context.c ---- */

/* What all contexts of a server have alike. Errors: -EBADMSG, -ENOMEM, -EIO. */
int context_new(struct tls_worker *w, const struct tls_settings *settings, struct buffer *faults,
                SSL_CTX **ret);

/* ---- tls-stream.c ---- */

int stream_new(struct tls_server *server, struct tls_stream **ret);
void stream_free(struct tls_stream *stream);
int stream_feed(struct tls_stream *stream, char *ciphertext, size_t size);
int stream_read(struct tls_stream *stream, struct text *ret);
ssize_t stream_write(struct tls_stream *stream, const struct iovec *iov, unsigned count);
void stream_end(struct tls_stream *stream);
unsigned stream_output(struct tls_stream *stream, struct iovec parts[static TLS_OUTPUT_PARTS_MAX]);
void stream_sent(struct tls_stream *stream);
const char *stream_why(const struct tls_stream *stream);
/* Nothing goes on. */
int stream_fail(struct tls_stream_full *s, int error, const char *why);

/* ---- tls-kernel.c ---- */

ssize_t stream_kernel_keys(const struct tls_stream *stream,
                           unsigned char to[static TLS_KERNEL_KEYS_BYTES_MAX]);
void stream_kernel_writes(struct tls_stream *stream);
