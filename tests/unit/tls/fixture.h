/* SPDX-License-Identifier: MIT */
#pragma once

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "base/buffer.h"
#include "tls/tls.h"

#include <openssl/ssl.h>

/* The table that a program finds in the module; here it is linked. */
extern const struct tls_module emberd_module;
#define tls (&emberd_module)

/* ---- certificates, made as they are needed; all are freed by fixture_finish() ---- */

struct made {
        X509 *certificate;
        EVP_PKEY *key;
        const char *chain_pem, *key_pem;
};

struct made_of {
        const char *kind;          /* "EC" (P-256), "RSA" (2048), "ED25519" */
        const char *names;         /* "DNS:a,DNS:b"; NULL: none */
        const char *subject;       /* CN; NULL: "test" */
        const struct made *issuer; /* NULL: signs itself */
        bool is_authority;
        long from_sec, until_sec; /* from now; 0: valid */
};

struct made make(struct made_of of);
struct tls_certificate as_certificate(const struct made *m);
const char *keep(const void *data, size_t size); /* freed at the end, NUL-ended */
const char *pem_of(X509 *x);
/* Free what pair_take() has kept, and all else that keep() has, but certificates' texts. */
void fixture_forget(void);
void fixture_finish(void);

/* ---- a server side ---- */

/* One worker with one server; `settings` and its sites need not outlive the call. */
struct side {
        struct tls_worker *worker;
        struct tls_server *server;
};
struct side side_new(const struct tls_settings *settings);
void side_free(struct side *s);
void side_take_keys(struct side *s, const struct tls_ticket_keys *keys);
struct tls_ticket_keys ticket_keys(unsigned char first, unsigned count);
/* The most usual: one site "example.org", which is the fallback, with an EC certificate. */
struct side side_simple(void);

/* ---- a client, which is OpenSSL, and what goes between ---- */

struct pair {
        SSL *client;
        BIO *to_client, *from_client;
        struct tls_stream *stream;
        int error;          /* of the server side */
        size_t piece_bytes; /* at most so many bytes a feed(); 0: all */
        struct buffer got;  /* what the server side has read */
        size_t sent_bytes;  /* of ciphertext by the server side */
        unsigned alert;     /* the last that the client was sent; 0: none */
};

struct client_of {
        int version;         /* TLS_1_2, TLS_1_3; 0: any */
        const char *name;    /* server_name; NULL: none */
        const char *ciphers; /* of TLS 1.2 */
        const char *suites;  /* of TLS 1.3 */
        const char *signatures;
        const char *groups;
        const char *alpn; /* as on the wire */
        const struct made *certificate;
        SSL_SESSION *session;
        bool wants_staple;
        int fragment; /* TLSEXT_max_fragment_length_* */
};

struct pair pair_new(struct side *s, struct client_of of);
void pair_free(struct pair *p);
/* Carry bytes in both directions until none are left. True: both sides are open. */
bool pair_shake(struct pair *p);
void pair_carry(struct pair *p);
/* Give the server side bytes as they are; what it reads goes to `got`. */
int pair_feed(struct pair *p, const void *data, size_t size);
/* The client writes, the server reads it. */
void pair_to_server(struct pair *p, const void *data, size_t size);
/* The server writes, the client reads the same. */
void pair_to_client(struct pair *p, const void *data, size_t size);
/* A session that can be resumed; of TLS 1.3 once the ticket came. */
SSL_SESSION *pair_session(struct pair *p);
/* The ciphertext that the client has written and not yet sent; kept. */
struct text pair_take(struct pair *p);
