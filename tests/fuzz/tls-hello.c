/* SPDX-License-Identifier: MIT */
#include "fuzz.h"
#include "tls/tls.h"

#include "base/buffer.h"

#include <errno.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>

/*
 * The first bytes of a connection, before either side has any key: what a client hello chooses is
 * all made from bytes of a stranger. Whole or in pieces, they must lead to the same.
 */

extern const struct tls_module emberd_module;
#define tls (&emberd_module)

static struct tls_server *server;
static BIO *chain, *secret; /* kept for as long as the program runs */

static struct text pem_text(BIO *bio) {
        struct text t;
        char *data;

        t.size = (size_t)BIO_get_mem_data(bio, &data);
        t.data = data;
        return t;
}

static void set_up(void) {
        EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
        X509 *x = X509_new();
        char *names[] = { "example.org", "*.example.org", NULL };
        struct tls_certificate c = { .place = "fuzz", .path = "fuzz" };
        struct tls_site site = { .certificates = &c, .certificate_count = 1, .names = names };
        struct tls_settings settings = {
                .sites = &site, .site_count = 1, .min_protocol = TLS_1_2, .http2 = true
        };
        struct tls_ticket_keys keys = { .count = 1 };
        struct tls_worker *worker;
        struct buffer faults = {};

        chain = BIO_new(BIO_s_mem());
        secret = BIO_new(BIO_s_mem());
        must(key && x && chain && secret);
        X509_gmtime_adj(X509_getm_notBefore(x), -10);
        X509_gmtime_adj(X509_getm_notAfter(x), 86400);
        X509_set_pubkey(x, key);
        must(X509_sign(x, key, EVP_sha256()) > 0 && PEM_write_bio_X509(chain, x) == 1 &&
             PEM_write_bio_PrivateKey(secret, key, NULL, NULL, 0, NULL, NULL) == 1);
        c.chain = pem_text(chain);
        c.key = pem_text(secret);
        must(tls->worker_new(&worker) == 0);
        must(tls->server_new(worker, &settings, &faults, &server) == 0);
        tls->worker_take_keys(worker, &keys);
        X509_free(x);
        EVP_PKEY_free(key);
}

/* 0: it waits for more; else the error. `*ret_bytes`: of output. */
static int run(const uint8_t *data, size_t size, size_t step, size_t *ret_bytes) {
        struct iovec parts[TLS_OUTPUT_PARTS_MAX];
        struct tls_stream *s;
        struct text got;
        int r = 0;

        must(tls->stream_new(server, &s) == 0);
        *ret_bytes = 0;
        for (size_t i = 0; i < size && r == 0; i += step) {
                size_t n = MIN(step, size - i);
                char *copy = malloc(n);

                must(copy);
                memcpy(copy, data + i, n);
                r = tls->feed(s, copy, n);
                if (r == 0)
                        r = tls->read(s, &got);
                must(r || got.size == 0);
                free(copy);
        }
        must(s->state == TLS_HANDSHAKE); /* nobody can finish it without a key */
        must(r == 0 || r == -EPROTO);
        must((r < 0) == (tls->why(s)[0] != '\0'));
        for (unsigned i = 0, n = tls->output(s, parts); i < n; i++)
                *ret_bytes += parts[i].iov_len;
        must(!s->has_output && *ret_bytes < 16384);
        tls->sent(s);
        tls->stream_free(s);
        return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        size_t whole_bytes, bytes;
        int whole;

        if (!server)
                set_up();
        whole = run(data, size, size ? size : 1, &whole_bytes);
        must(run(data, size, 1 + size / 3, &bytes) == whole);
        must(bytes == 0 || whole_bytes != 0);
        return 0;
}
