/* SPDX-License-Identifier: MIT */
/*
 * What the module tls costs, in memory and in time, beside the SSL object of OpenSSL that others
 * keep for each connection. One thread, no sockets: build/tests/bench/tls [STREAMS].
 */
#include "tls/tls.h"

#include "base/buffer.h"

#include <malloc.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

extern const struct tls_module emberd_module;
#define tls (&emberd_module)

enum { REQUEST_BYTES = 100, ANSWER_BYTES = 1024, REQUESTS = 20000, HANDSHAKES = 400 };

static SSL_CTX *client_context, *plain_context; /* the latter: a server of OpenSSL alone */
static struct tls_worker *worker;
static struct tls_server *server;

static double now_usec(void) {
        struct timespec t;

        clock_gettime(CLOCK_MONOTONIC, &t);
        return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static void must(bool condition, const char *what) {
        if (condition)
                return;
        fprintf(stderr, "bench tls: %s\n", what);
        exit(1);
}

/* ---- a server, and OpenSSL's ---- */

static char *pem(BIO *bio) {
        char *data, *copy;
        long n = BIO_get_mem_data(bio, &data);

        copy = strndup(data, (size_t)n);
        BIO_free(bio);
        return copy;
}

static void set_up(const char *kind) {
        EVP_PKEY *key = strcmp(kind, "RSA") == 0
                                ? EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)2048)
                                : EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
        X509 *x = X509_new();
        BIO *chain = BIO_new(BIO_s_mem()), *secret = BIO_new(BIO_s_mem());
        struct tls_ticket_keys keys = { .count = 1 };
        struct buffer faults = {};

        X509_gmtime_adj(X509_getm_notBefore(x), -10);
        X509_gmtime_adj(X509_getm_notAfter(x), 86400);
        X509_set_pubkey(x, key);
        X509_sign(x, key, EVP_sha256());
        PEM_write_bio_X509(chain, x);
        PEM_write_bio_PrivateKey(secret, key, NULL, NULL, 0, NULL, NULL);
        struct tls_certificate c = { .chain = text_of(pem(chain)),
                                     .key = text_of(pem(secret)),
                                     .place = "bench",
                                     .path = "bench" };
        struct tls_site site = { .certificates = &c, .certificate_count = 1 };
        struct tls_settings settings = {
                .sites = &site, .site_count = 1, .fallback = &site, .min_protocol = TLS_1_2
        };

        must(tls->worker_new(&worker) == 0, "worker");
        must(tls->server_new(worker, &settings, &faults, &server) == 0, "server");
        tls->worker_take_keys(worker, &keys);
        buffer_finish(&faults);
        plain_context = SSL_CTX_new(TLS_server_method());
        SSL_CTX_set_session_cache_mode(plain_context, SSL_SESS_CACHE_OFF);
        SSL_CTX_set_mode(plain_context, SSL_MODE_RELEASE_BUFFERS);
        SSL_CTX_set_num_tickets(plain_context, 1);
        SSL_CTX_set_ciphersuites(plain_context, "TLS_AES_128_GCM_SHA256");
        must(SSL_CTX_use_certificate(plain_context, x) == 1 &&
                     SSL_CTX_use_PrivateKey(plain_context, key) == 1,
             "key");
        X509_free(x);
        EVP_PKEY_free(key);
        free((char *)c.chain.data);
        free((char *)c.key.data);
}

static void tear_down(void) {
        tls->server_free(server);
        tls->worker_free(worker);
        SSL_CTX_free(plain_context);
}

/* ---- one connection; the time of the server's side alone is counted ---- */

struct link {
        SSL *client, *plain;
        struct tls_stream *stream;
        BIO *in, *out, *plain_in, *plain_out;
        double usec;
};

static struct link link_new(int version, bool is_plain, SSL_SESSION *session) {
        struct link l = { .client = SSL_new(client_context) };
        double begin;

        SSL_set_min_proto_version(l.client, version);
        SSL_set_max_proto_version(l.client, version);
        if (session)
                SSL_set_session(l.client, session);
        l.in = BIO_new(BIO_s_mem());
        l.out = BIO_new(BIO_s_mem());
        SSL_set_bio(l.client, l.in, l.out);
        SSL_set_connect_state(l.client);
        begin = now_usec();
        if (is_plain) {
                l.plain = SSL_new(plain_context);
                l.plain_in = BIO_new(BIO_s_mem());
                l.plain_out = BIO_new(BIO_s_mem());
                SSL_set_bio(l.plain, l.plain_in, l.plain_out);
                SSL_set_accept_state(l.plain);
        } else {
                must(tls->stream_new(server, &l.stream) == 0, "stream");
        }
        l.usec += now_usec() - begin;
        return l;
}

static void link_free(struct link *l) {
        if (l->client)
                SSL_set_shutdown(l->client, SSL_SENT_SHUTDOWN);
        SSL_free(l->client);
        SSL_free(l->plain);
        tls->stream_free(l->stream);
}

static void give_output(struct link *l) {
        struct iovec parts[TLS_OUTPUT_PARTS_MAX];
        char data[32768];
        int n;

        if (l->stream && l->stream->has_output) {
                unsigned count = tls->output(l->stream, parts);

                for (unsigned i = 0; i < count; i++)
                        BIO_write(l->in, parts[i].iov_base, (int)parts[i].iov_len);
                tls->sent(l->stream);
        } else if (l->plain) {
                while ((n = BIO_read(l->plain_out, data, sizeof(data))) > 0)
                        BIO_write(l->in, data, n);
        }
}

static void link_turn(struct link *l) {
        static char data[32768];
        struct text got;
        double begin;
        int n;

        if (!SSL_is_init_finished(l->client))
                SSL_do_handshake(l->client);
        n = BIO_read(l->out, data, sizeof(data));
        begin = now_usec();
        if (n > 0 && l->stream) {
                n = tls->feed(l->stream, data, (size_t)n);
                must(n == 0 && tls->read(l->stream, &got) == 0, tls->why(l->stream));
        } else if (n > 0) {
                BIO_write(l->plain_in, data, n);
                SSL_do_handshake(l->plain);
        }
        l->usec += now_usec() - begin;
        give_output(l);
}

static void link_shake(struct link *l) {
        char c;

        for (int turn = 0; turn < 4; turn++)
                link_turn(l);
        must(SSL_is_init_finished(l->client), "handshake");
        (void)!SSL_read(l->client, &c, 0);
        (void)!SSL_peek(l->client, &c, 1);
}

/* ---- figures ---- */

static long resident_kib(void) {
        long pages = 0, resident = 0;
        FILE *f = fopen("/proc/self/statm", "r");

        must(f && fscanf(f, "%ld %ld", &pages, &resident) == 2, "statm");
        fclose(f);
        return resident * sysconf(_SC_PAGESIZE) / 1024;
}

/* All handshakes one after another, or all at once. */
static void memory(int version, bool is_plain, int count, bool at_once) {
        struct link *links = calloc((size_t)count, sizeof(*links));
        struct mallinfo2 before, after;
        long resident, peak;

        malloc_trim(0);
        before = mallinfo2();
        resident = resident_kib();
        for (int i = 0; i < count; i++) {
                links[i] = link_new(version, is_plain, NULL);
                if (at_once)
                        continue;
                link_shake(&links[i]);
                SSL_free(links[i].client);
                links[i].client = NULL;
        }
        for (int turn = 0; at_once && turn < 4; turn++)
                for (int i = 0; i < count; i++)
                        link_turn(&links[i]);
        peak = resident_kib();
        for (int i = 0; at_once && i < count; i++) {
                SSL_free(links[i].client);
                links[i].client = NULL;
        }
        after = mallinfo2();
        printf("  %s %s, %-15s %6.0f bytes of heap, %6.0f resident (peak %6.0f)",
               version == TLS_1_3 ? "1.3" : "1.2", is_plain ? "OpenSSL" : "ours   ",
               at_once ? "all at once:" : "one by one:",
               (double)(after.uordblks - before.uordblks) / count,
               (double)(resident_kib() - resident) * 1024 / count,
               (double)(peak - resident) * 1024 / count);
        malloc_trim(0);
        printf(", %6.0f when trimmed\n", (double)(resident_kib() - resident) * 1024 / count);
        for (int i = 0; i < count; i++)
                link_free(&links[i]);
        free(links);
}

static void requests(int version, bool is_plain, int streams) {
        static char requests_sent[REQUESTS / 8][REQUEST_BYTES + 64];
        char request[REQUEST_BYTES] = "", answer[ANSWER_BYTES] = "", data[2048];
        struct link *links = calloc((size_t)streams, sizeof(*links));
        int sizes[REQUESTS / 8], per_stream = REQUESTS / 8 / streams;
        double best = 1e9;

        for (int i = 0; i < streams; i++) {
                links[i] = link_new(version, is_plain, NULL);
                link_shake(&links[i]);
        }
        for (int round = 0; round < 8; round++) {
                double usec = 0;

                for (int i = 0; i < per_stream * streams; i++) {
                        struct link *l = &links[i % streams];

                        SSL_write(l->client, request, REQUEST_BYTES);
                        sizes[i] = BIO_read(l->out, requests_sent[i], sizeof(requests_sent[i]));
                }
                for (int i = 0; i < per_stream * streams; i++) {
                        struct link *l = &links[i % streams];
                        struct iovec iov = { answer, ANSWER_BYTES };
                        struct iovec parts[TLS_OUTPUT_PARTS_MAX];
                        struct text got;
                        double begin = now_usec();

                        if (is_plain) {
                                BIO_write(l->plain_in, requests_sent[i], sizes[i]);
                                must(SSL_read(l->plain, data, sizeof(data)) == REQUEST_BYTES,
                                     "SSL_read");
                                SSL_read(l->plain, data, sizeof(data));
                                SSL_write(l->plain, answer, ANSWER_BYTES);
                                (void)BIO_reset(l->plain_out);
                        } else {
                                tls->feed(l->stream, requests_sent[i], (size_t)sizes[i]);
                                must(tls->read(l->stream, &got) == 0 && got.size == REQUEST_BYTES,
                                     "read");
                                tls->read(l->stream, &got);
                                tls->write(l->stream, &iov, 1);
                                tls->output(l->stream, parts);
                                tls->sent(l->stream);
                        }
                        usec += now_usec() - begin;
                }
                if (usec / (per_stream * streams) < best)
                        best = usec / (per_stream * streams);
        }
        printf("  %s %s, %4d streams: %5.0f ns a request\n", version == TLS_1_3 ? "1.3" : "1.2",
               is_plain ? "OpenSSL" : "ours   ", streams, best * 1000);
        for (int i = 0; i < streams; i++)
                link_free(&links[i]);
        free(links);
}

static void large(int version, bool is_plain) {
        static char data[65536];
        struct link l = link_new(version, is_plain, NULL);
        double begin, best = 1e9;

        link_shake(&l);
        for (int i = 0; i < 200; i++) {
                struct iovec iov = { data, sizeof(data) }, parts[TLS_OUTPUT_PARTS_MAX];

                begin = now_usec();
                if (is_plain) {
                        SSL_write(l.plain, data, sizeof(data));
                        (void)BIO_reset(l.plain_out);
                } else {
                        must(tls->write(l.stream, &iov, 1) == sizeof(data), "write");
                        tls->output(l.stream, parts);
                        tls->sent(l.stream);
                }
                if (now_usec() - begin < best)
                        best = now_usec() - begin;
        }
        printf("  %s %s: 64 KiB in %5.1f us, %4.1f GB/s\n", version == TLS_1_3 ? "1.3" : "1.2",
               is_plain ? "OpenSSL" : "ours   ", best, sizeof(data) / best / 1e3);
        link_free(&l);
}

static int by_size(const void *a, const void *b) {
        double x = *(const double *)a, y = *(const double *)b;

        return x < y ? -1 : x > y;
}

static void handshakes(const char *kind, int version, bool is_plain, bool resumes) {
        static double usec[HANDSHAKES];
        SSL_SESSION *session = NULL;

        for (int i = -2; i < HANDSHAKES; i++) {
                struct link l = link_new(version, is_plain, session);

                link_shake(&l);
                if (resumes && !session)
                        session = SSL_get1_session(l.client);
                else if (resumes)
                        must(SSL_session_reused(l.client), "resumption");
                if (i >= 0)
                        usec[i] = l.usec;
                link_free(&l);
        }
        qsort(usec, HANDSHAKES, sizeof(usec[0]), by_size);
        printf("  %s %-3s %s, %s: %4.0f us, %5.0f a second\n", version == TLS_1_3 ? "1.3" : "1.2",
               kind, is_plain ? "OpenSSL" : "ours   ", resumes ? "resumed" : "full   ",
               usec[HANDSHAKES / 4], 1e6 / usec[HANDSHAKES / 4]);
        SSL_SESSION_free(session);
}

int main(int argc, char **argv) {
        int streams = argc > 1 ? atoi(argv[1]) : 5000;

        must(streams > 0, "usage: tls [STREAMS [handshakes]]");
        client_context = SSL_CTX_new(TLS_client_method());
        SSL_CTX_set_session_cache_mode(client_context, SSL_SESS_CACHE_OFF);
        SSL_CTX_set1_groups_list(client_context, "X25519:P-256");
        set_up("EC");
        if (argc > 2) { /* for a profiler */
                for (int i = 0; i < streams / HANDSHAKES; i++)
                        handshakes("EC", TLS_1_3, false, false);
                return 0;
        }
        printf("%s, %s\nidle streams, %d:\n", tls->module.library, OpenSSL_version(OPENSSL_VERSION),
               streams);
        requests(TLS_1_3, false, 1); /* what is made once is made */
        for (int version = TLS_1_2; version <= TLS_1_3; version++)
                for (int plain = 0; plain <= 1; plain++)
                        for (int at_once = 0; at_once <= 1; at_once++)
                                memory(version, plain, streams, at_once);
        printf("%d bytes to read, %d to write:\n", REQUEST_BYTES, ANSWER_BYTES);
        for (int version = TLS_1_2; version <= TLS_1_3; version++)
                for (int plain = 0; plain <= 1; plain++)
                        for (int n = 1; n <= 1000; n *= n == 1 ? 64 : 10)
                                requests(version, plain, n);
        printf("long answers:\n");
        for (int version = TLS_1_2; version <= TLS_1_3; version++)
                for (int plain = 0; plain <= 1; plain++)
                        large(version, plain);
        printf("handshakes, the server's side:\n");
        for (int rsa = 0; rsa <= 1; rsa++) {
                if (rsa) {
                        tear_down();
                        set_up("RSA");
                }
                for (int version = TLS_1_2; version <= TLS_1_3; version++)
                        for (int resumes = 0; resumes <= 1; resumes++)
                                for (int plain = 0; plain <= 1; plain++)
                                        handshakes(rsa ? "RSA" : "EC", version, plain, resumes);
        }
        tear_down();
        SSL_CTX_free(client_context);
        return 0;
}
