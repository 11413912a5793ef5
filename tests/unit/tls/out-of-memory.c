/* SPDX-License-Identifier: MIT */
/*
 * Each allocation fails in its turn: those of OpenSSL by its own hooks, ours by the linker's. A
 * connection that finds no memory must end, and nothing may leak.
 */
#include "fixture.h"

#include <stdlib.h>

static long allocations_left = -1; /* negative: no end to them */

static bool may_allocate(void) {
        if (allocations_left < 0)
                return true;
        return allocations_left-- > 0 || (allocations_left = 0);
}

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);

void *__wrap_malloc(size_t size) {
        return may_allocate() ? __real_malloc(size) : NULL;
}
void *__wrap_calloc(size_t count, size_t size) {
        return may_allocate() ? __real_calloc(count, size) : NULL;
}

static void *openssl_malloc(size_t size, const char *file, int line) {
        return size && may_allocate() ? __real_malloc(size) : NULL;
}

static void *openssl_realloc(void *data, size_t size, const char *file, int line) {
        return may_allocate() ? realloc(data, size) : NULL;
}

static void openssl_free(void *data, const char *file, int line) {
        free(data);
}

static int finish(void **state) {
        fixture_finish();
        return 0;
}

/* The calls of the server side alone may fail; those of the client and the test may not. */
static int feed_sparingly(struct pair *p, struct text t, long n) {
        struct text got;
        int r;

        allocations_left = n;
        r = tls->feed(p->stream, (char *)t.data, t.size);
        while (r == 0 && (r = tls->read(p->stream, &got)) == 0 && got.size)
                continue;
        if (r == 0) {
                struct iovec iov = { (char *)"answer", 6 };
                ssize_t m = tls->write(p->stream, &iov, 1);

                r = m < 0 ? (int)m : 0;
        }
        allocations_left = -1;
        return r;
}

/* The handshake takes the most memory of all, and is where an attacker would look for its end. */
static void handshakes_may_find_no_memory(void **state) {
        struct side s = side_simple();
        struct tls_ticket_keys keys = ticket_keys(9, 1);
        long n;

        side_take_keys(&s, &keys);
        for (int version = TLS_1_2; version <= TLS_1_3; version++) {
                struct pair first = pair_new(&s, (struct client_of){ .version = version });
                bool opened = false;

                /* what OpenSSL cannot fetch for want of memory it takes for absent, ever after */
                assert_true(pair_shake(&first));
                pair_free(&first);

                for (n = 0; !opened; n += n < 40 ? 1 : 7) {
                        struct pair p = pair_new(&s, (struct client_of){ .version = version });
                        int r = 0;

                        assert_true(n < 5000);
                        SSL_set_app_data(p.client, &p);
                        for (int turn = 0; turn < 3 && r == 0; turn++) {
                                struct iovec parts[TLS_OUTPUT_PARTS_MAX];
                                struct text t;

                                SSL_do_handshake(p.client);
                                if (turn == 2)
                                        (void)!SSL_write(p.client, "request", 7);
                                t = pair_take(&p);
                                if (!t.size)
                                        continue;
                                r = feed_sparingly(&p, t, n);
                                for (unsigned i = 0, c = tls->output(p.stream, parts); i < c; i++)
                                        BIO_write(p.to_client, parts[i].iov_base,
                                                  (int)parts[i].iov_len);
                                tls->sent(p.stream);
                        }
                        assert_true(r == 0 || r == -ENOMEM || r == -EPROTO || r == -EIO);
                        if (r < 0)
                                assert_true(strlen(tls->why(p.stream)) > 0);
                        opened = r == 0 && p.stream->state == TLS_OPEN;
                        pair_free(&p);
                        fixture_forget();
                }
        }
        side_free(&s);
}

/* A reload when memory is short must keep what there was. */
static void servers_may_find_no_memory(void **state) {
        struct made m = make((struct made_of){ .kind = "EC", .names = "DNS:a" });
        struct tls_certificate c = as_certificate(&m);
        char *names[] = { "a.org", "*.b.org", NULL };
        struct tls_site site = {
                .certificates = &c,
                .certificate_count = 1,
                .names = names,
                .client_certificate = TLS_CLIENT_OPTIONAL,
                .client_ca = c.chain,
                .client_ca_place = "x:1",
                .client_ca_path = "y",
        };
        struct tls_settings settings = {
                .sites = &site, .site_count = 1, .fallback = &site, .min_protocol = TLS_1_2
        };
        struct tls_worker *w = NULL;
        int r = -ENOMEM;

        assert_int_equal(tls->worker_new(&w), 0);
        for (long n = 0; r < 0; n += n < 100 ? 1 : 13) {
                struct tls_server *server = NULL;
                struct buffer faults = {};

                assert_true(n < 50000);
                allocations_left = n;
                r = tls->server_new(w, &settings, &faults, &server);
                allocations_left = -1;
                assert_true((r == 0) == (server != NULL));
                buffer_finish(&faults);
                tls->server_free(server);
        }
        tls->worker_free(w);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(handshakes_may_find_no_memory),
                cmocka_unit_test(servers_may_find_no_memory),
        };

        if (CRYPTO_set_mem_functions(openssl_malloc, openssl_realloc, openssl_free) != 1)
                return 1;
        return cmocka_run_group_tests(tests, NULL, finish);
}
