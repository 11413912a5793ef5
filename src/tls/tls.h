/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/module.h"
#include "base/text.h"

#include <sys/uio.h>

struct buffer;

/*
 * Ciphertext to plaintext and back. Does no I/O: the connection gives what its socket received and
 * takes what is to be sent. All that the core knows of TLS is this header; the code is the module
 * "tls", on OpenSSL.
 *
 * Who owns what: a worker has one tls_worker (an OSSL_LIB_CTX of its own: OpenSSL 3.0 collapses on
 * its locks when threads share one). A snapshot has one tls_server a worker, made of the same
 * sources. A connection has one tls_stream. But for making them (which the supervisor's thread does
 * for all) everything belongs to the worker's thread.
 */
struct tls_worker;
struct tls_server;

/* ---- what to serve with ---- */

/*
 * A certificate with its chain and key, as bytes: they are read once, and every worker makes its
 * own of them.
 */
struct tls_certificate {
        struct text chain; /* PEM: the certificate, then those that signed it */
        struct text key;   /* PEM, not encrypted */
        struct text ocsp;  /* DER: an OCSP response to staple; empty: none */
        const char *place; /* "FILE:LINE" of the setting, and */
        const char *path;  /* the file, for messages */
        const char *key_place, *key_path; /* the same of the key; NULL: it is in that file */
};

/*
 * One that is given must be good in either case: an invalid one ends the handshake with the alert
 * that says why. OPTIONAL lets clients in that have none, REQUIRED does not.
 */
enum tls_client_certificate { TLS_CLIENT_NO, TLS_CLIENT_OPTIONAL, TLS_CLIENT_REQUIRED };

/*
 * Names that share certificates: a Site. Several certificates of one kind of key may stand beside
 * each other: the one that names the host asked for is chosen, exactly rather than by a wildcard,
 * the first where they are alike. A site without any is as if it were not there.
 */
struct tls_site {
        const struct tls_certificate *certificates;
        size_t certificate_count;
        char **names; /* hosts in lower case, "*.example.org" among them; NULL-ended */
        enum tls_client_certificate client_certificate;
        struct text client_ca; /* PEM: each that stands there is trusted; empty: none */
        const char *client_ca_place, *client_ca_path;
        const void *owner; /* given back as tls_stream.site */
};

/* TLS 1.2 and 1.3; the numbers are those on the wire (RFC 8446, 4.2.1). */
enum { TLS_1_2 = 0x0303, TLS_1_3 = 0x0304 };

struct tls_settings {
        const struct tls_site *sites;
        size_t site_count;
        const struct tls_site *fallback; /* one of `sites`, for names that none has, and for
                                            clients that name none; NULL: they are refused */
        unsigned min_protocol;           /* TLS_1_2, TLS_1_3 */
        const char *ciphers; /* of TLS 1.2, as ciphers(1), those with AES-GCM or ChaCha20-Poly1305
                                are used; NULL: ours */
        const char *ciphers_place; /* "FILE:LINE" */
        bool http2;                /* offer "h2" before "http/1.1" by ALPN */
};

/* A ticket is taken for so long; keys that change twice in it are shared by three. */
enum { TLS_TICKET_LIFETIME_SEC = 12 * 60 * 60 };

/*
 * Keys of session tickets, shared by all workers and replaced as time goes by. Index 0 is the one
 * that new tickets are made with; tickets of the others are still taken, and renewed.
 */
enum { TLS_TICKET_KEYS = 3, TLS_TICKET_KEY_BYTES = 80 };
struct tls_ticket_keys {
        unsigned char keys[TLS_TICKET_KEYS][TLS_TICKET_KEY_BYTES]; /* name 16, cipher 32, MAC 32 */
        unsigned count;
};

/* What a person wants to know of a certificate. */
enum { TLS_NAMES_BYTES = 256 };
struct tls_certificate_info {
        int64_t not_before_sec, not_after_sec; /* of the one in the chain that ends first; Unix */
        char names[TLS_NAMES_BYTES];           /* "example.org, *.example.org", cut */
        char key_type[32];                     /* "RSA 2048", "EC P-256", "ED25519" */
};

/* ---- one connection ---- */

enum tls_state {
        TLS_HANDSHAKE, /* neither side has sent what counts */
        TLS_OPEN,
        TLS_ENDED, /* the peer's close_notify came: nothing more will be read */
};

/* The most plaintext of a record (RFC 8446, 5.1); how much may wait to be sent, in such. */
enum { TLS_RECORD_BYTES = 16384, TLS_OUTPUT_PARTS_MAX = 4 };

/* The longest of linux/tls.h's structs tls12_crypto_info_*. */
enum { TLS_KERNEL_KEYS_BYTES_MAX = 56 };

/*
 * The part that the connection looks at, read-only for it. The rest follows in memory.
 *
 * A stream that is open and has nothing to send holds as little as can be: no buffer, nothing of
 * OpenSSL's, only its keys.
 */
struct tls_stream {
        uint8_t state;              /* enum tls_state */
        bool http2;                 /* "h2" was agreed on */
        bool has_output;            /* output() gives something */
        bool resumed;               /* by a ticket */
        bool plain_http;            /* feed() failed since the peer does not speak TLS, but HTTP */
        bool kernel_writes;         /* kernel_writes() was called */
        uint8_t output_type;        /* the content type of output(), once the kernel writes */
        uint16_t protocol;          /* TLS_1_2, TLS_1_3; 0 in the handshake */
        const void *site;           /* tls_site.owner that its name chose; NULL in the handshake */
        struct text client_subject; /* of a verified client certificate (RFC 4514); else empty */
};

struct tls_module {
        struct module module;

        /* NULL in `*ret` never comes with 0. Errors: -ENOMEM, -EIO (OpenSSL cannot be used). */
        int (*worker_new)(struct tls_worker **ret);
        /* No server and no stream is left, and its thread has ended. */
        struct tls_worker *(*worker_free)(struct tls_worker *w);

        /* From now on tickets are made and taken by these; copied. Without any there are none. */
        void (*worker_take_keys)(struct tls_worker *w, const struct tls_ticket_keys *keys);

        /* Errors: -EBADMSG, with a line "FILE:LINE: what\n" for each fault in `faults`; -ENOMEM. */
        int (*server_new)(struct tls_worker *w, const struct tls_settings *settings,
                          struct buffer *faults, struct tls_server **ret);
        /* Streams of it live on: they keep what they need. */
        struct tls_server *(*server_free)(struct tls_server *s);

        /* Errors: -EBADMSG, with what is wrong in `fault`. */
        int (*inspect)(const struct tls_certificate *certificate, struct buffer *fault,
                       struct tls_certificate_info *ret);

        /* Errors: -ENOMEM. */
        int (*stream_new)(struct tls_server *server, struct tls_stream **ret);
        void (*stream_free)(struct tls_stream *s); /* at any time */

        /*
         * Ciphertext that came: lent, and deciphered where it lies, until read() has given nothing.
         * Goes on with the handshake, may leave output. Not again before that read(). Errors:
         * -EPROTO (what `why` tells; an alert may stand in the output, to be sent before closing),
         * -ENOMEM. After an error nothing more is taken, and each call gives it again.
         */
        int (*feed)(struct tls_stream *s, char *ciphertext, size_t size);

        /*
         * Deciphered bytes: the next run of them, which stays until the next call of read() or
         * feed(). An empty one: none for now (what is not a whole record has been copied), or the
         * peer has ended (TLS_ENDED). May leave output. Errors: as feed().
         */
        int (*read)(struct tls_stream *s, struct text *ret);

        /*
         * Encipher the bytes of `iov`, as many as fit the output: gives their number, which is 0
         * when it is full, and until the stream is open. Records hold as much as they can; the
         * parts of one call share them. Errors: -ENOMEM, -EIO, and as feed().
         */
        ssize_t (*write)(struct tls_stream *s, const struct iovec *iov, unsigned count);

        /* Say that nothing more will be sent: close_notify is added to the output, once. */
        void (*end)(struct tls_stream *s);

        /*
         * Ciphertext to send, in order; the parts stay until sent(), also when feed(), write() or
         * end() add more behind them, which is output of the next call. The number of parts; 0:
         * none.
         */
        unsigned (*output)(struct tls_stream *s, struct iovec parts[static TLS_OUTPUT_PARTS_MAX]);
        void (*sent)(struct tls_stream *s); /* all of the last output() */

        /*
         * What setsockopt(2) wants for TLS_TX, with which the kernel takes over where the last
         * record ended; to be erased. Only when the stream is open and all its output was sent.
         * Gives its size. Errors: -EOPNOTSUPP: it is none for the kernel.
         */
        ssize_t (*kernel_keys)(const struct tls_stream *s,
                               unsigned char to[static TLS_KERNEL_KEYS_BYTES_MAX]);
        /*
         * The kernel has taken them: data goes to it as it is, without write(). What end() and
         * failures leave in the output is then one message in clear, to be sent as a record of type
         * `output_type`. A peer that asks for new keys is refused from now on.
         */
        void (*kernel_writes)(struct tls_stream *s);

        /* Why a call failed, for a person; a constant. "" where none did. */
        const char *(*why)(const struct tls_stream *s);
};
