/* SPDX-License-Identifier: MIT */
#include "fixture.h"

static int finish(void **state) {
        fixture_finish();
        return 0;
}

/* The record layer is ours: OpenSSL must understand it in each version with each cipher. */
static void data_in_both_directions(void **state) {
        static const struct client_of all[] = {
                { .version = TLS_1_3, .suites = "TLS_AES_128_GCM_SHA256" },
                { .version = TLS_1_3, .suites = "TLS_AES_256_GCM_SHA384" },
                { .version = TLS_1_3, .suites = "TLS_CHACHA20_POLY1305_SHA256" },
                { .version = TLS_1_2, .ciphers = "ECDHE-ECDSA-AES128-GCM-SHA256" },
                { .version = TLS_1_2, .ciphers = "ECDHE-ECDSA-AES256-GCM-SHA384" },
                { .version = TLS_1_2, .ciphers = "ECDHE-ECDSA-CHACHA20-POLY1305" },
        };
        static const size_t sizes[] = { 1, 15, 16, 17, 1000, 16383, 16384, 16385, 300000 };
        static char data[300000];
        struct side s = side_simple();

        for (size_t i = 0; i < sizeof(data); i++)
                data[i] = (char)(i * 2654435761u >> 13);
        for (size_t i = 0; i < ELEMENTS(all); i++) {
                struct pair p = pair_new(&s, all[i]);

                assert_true(pair_shake(&p));
                assert_int_equal(p.stream->protocol, all[i].version);
                assert_string_equal(p.stream->site, "example.org");
                for (size_t k = 0; k < ELEMENTS(sizes); k++) {
                        pair_to_server(&p, data, sizes[k]);
                        pair_to_client(&p, data, sizes[k]);
                }
                pair_free(&p);
        }
        side_free(&s);
}

/* A network cuts where it likes, also within a header. */
static void records_split_at_every_byte(void **state) {
        struct side s = side_simple();

        for (size_t piece = 1; piece < 40; piece += piece < 10 ? 1 : 7) {
                for (int version = TLS_1_2; version <= TLS_1_3; version++) {
                        struct pair p = pair_new(&s, (struct client_of){ .version = version });
                        char data[3000];

                        p.piece_bytes = piece;
                        assert_true(pair_shake(&p));
                        memset(data, 'x', sizeof(data));
                        pair_to_server(&p, "GET / HTTP/1.1\r\n\r\n", 18);
                        pair_to_server(&p, data, sizeof(data));
                        pair_to_client(&p, data, sizeof(data));
                        pair_free(&p);
                }
        }
        side_free(&s);
}

/* A client sends its request right behind the end of the handshake: both may come in one piece. */
static void data_with_the_end_of_the_handshake(void **state) {
        struct side s = side_simple();
        struct pair p = pair_new(&s, (struct client_of){ .version = TLS_1_3 });
        struct iovec parts[TLS_OUTPUT_PARTS_MAX];
        struct text t;

        SSL_do_handshake(p.client);
        t = pair_take(&p);
        assert_int_equal(pair_feed(&p, t.data, t.size), 0);
        assert_int_equal(tls->output(p.stream, parts), 1);
        BIO_write(p.to_client, parts[0].iov_base, (int)parts[0].iov_len);
        tls->sent(p.stream);
        assert_int_equal(SSL_do_handshake(p.client), 1);
        assert_int_equal(SSL_write(p.client, "hello", 5), 5);
        assert_int_equal(SSL_write(p.client, "there", 5), 5);
        t = pair_take(&p);
        assert_int_equal(pair_feed(&p, t.data, t.size), 0);
        assert_int_equal(p.got.used, 10);
        pair_free(&p);
        side_free(&s);
}

/* Parts of one answer share records: a head and a small body must not be two. */
static void parts_share_records(void **state) {
        struct side s = side_simple();
        struct pair p = pair_new(&s, (struct client_of){});
        struct iovec iov[] = {
                { "HTTP/1.1 200 OK\r\n", 17 }, { "", 0 }, { "\r\n", 2 }, { "body", 4 }
        };
        struct iovec parts[TLS_OUTPUT_PARTS_MAX];
        char got[64];

        assert_true(pair_shake(&p));
        assert_int_equal(tls->write(p.stream, iov, 4), 23);
        assert_int_equal(tls->output(p.stream, parts), 1);
        assert_int_equal(parts[0].iov_len, 5 + 23 + 1 + 16);
        BIO_write(p.to_client, parts[0].iov_base, (int)parts[0].iov_len);
        tls->sent(p.stream);
        assert_int_equal(SSL_read(p.client, got, sizeof(got)), 23);
        assert_memory_equal(got, "HTTP/1.1 200 OK\r\n\r\nbody", 23);
        assert_int_equal(tls->write(p.stream, iov, 0), 0);
        assert_int_equal(tls->write(p.stream, iov + 1, 1), 0);
        assert_false(p.stream->has_output);
        pair_free(&p);
        side_free(&s);
}

/* What a slow client makes a connection hold is bounded, and nothing of it is lost. */
static void output_has_an_end(void **state) {
        static char data[200000];
        struct side s = side_simple();
        struct pair p = pair_new(&s, (struct client_of){});
        struct iovec iov = { data, sizeof(data) }, parts[TLS_OUTPUT_PARTS_MAX];
        ssize_t n;

        assert_true(pair_shake(&p));
        n = tls->write(p.stream, &iov, 1);
        assert_int_equal(n, TLS_OUTPUT_PARTS_MAX * TLS_RECORD_BYTES);
        assert_int_equal(tls->write(p.stream, &iov, 1), 0);
        assert_int_equal(tls->output(p.stream, parts), TLS_OUTPUT_PARTS_MAX);
        assert_int_equal(tls->write(p.stream, &iov, 1), 0);
        tls->sent(p.stream);
        assert_true(tls->write(p.stream, &iov, 1) > 0);
        pair_free(&p);
        side_free(&s);
}

/* While output is being sent its memory is the kernel's; what follows comes behind it. */
static void output_stays_while_it_is_sent(void **state) {
        struct side s = side_simple();
        struct pair p = pair_new(&s, (struct client_of){});
        struct iovec first = { "first ", 6 }, second = { "second", 6 };
        struct iovec parts[TLS_OUTPUT_PARTS_MAX], later[TLS_OUTPUT_PARTS_MAX];
        char copy[100], got[64];
        size_t n = 0;
        int m;

        assert_true(pair_shake(&p));
        assert_int_equal(tls->write(p.stream, &first, 1), 6);
        assert_int_equal(tls->output(p.stream, parts), 1);
        assert_false(p.stream->has_output);
        memcpy(copy, parts[0].iov_base, parts[0].iov_len);
        assert_int_equal(tls->write(p.stream, &second, 1), 6);
        tls->end(p.stream);
        assert_true(p.stream->has_output);
        assert_memory_equal(copy, parts[0].iov_base, parts[0].iov_len);
        BIO_write(p.to_client, parts[0].iov_base, (int)parts[0].iov_len);
        tls->sent(p.stream);
        assert_int_equal(tls->output(p.stream, later), 1);
        BIO_write(p.to_client, later[0].iov_base, (int)later[0].iov_len);
        tls->sent(p.stream);
        assert_int_equal(tls->output(p.stream, later), 0);
        while ((m = SSL_read(p.client, got + n, (int)(sizeof(got) - n))) > 0)
                n += (size_t)m;
        assert_int_equal(n, 12);
        assert_memory_equal(got, "first second", 12);
        assert_int_equal(SSL_get_error(p.client, m), SSL_ERROR_ZERO_RETURN);
        pair_free(&p);
        side_free(&s);
}

/* close_notify is what tells an end from a connection that was cut. */
static void the_end_is_told(void **state) {
        struct side s = side_simple();

        for (int version = TLS_1_2; version <= TLS_1_3; version++) {
                struct pair p = pair_new(&s, (struct client_of){ .version = version });
                struct iovec iov = { "x", 1 };

                assert_true(pair_shake(&p));
                assert_int_equal(SSL_write(p.client, "last", 4), 4);
                assert_int_equal(SSL_shutdown(p.client), 0);
                pair_carry(&p);
                assert_int_equal(p.error, 0);
                assert_int_equal(p.got.used, 4);
                assert_int_equal(p.stream->state, TLS_ENDED);
                assert_int_equal(tls->write(p.stream, &iov, 1), 1); /* our side is open yet */
                tls->end(p.stream);
                tls->end(p.stream);
                assert_int_equal(tls->write(p.stream, &iov, 1), 0);
                pair_carry(&p);
                assert_int_equal(pair_feed(&p, "whatever", 8), 0);
                assert_int_equal(p.got.used, 4);
                assert_int_equal(SSL_shutdown(p.client), -1); /* data first */
                pair_free(&p);
        }
        side_free(&s);
}

/* A client with little memory asks for short records (RFC 6066, 4). */
static void records_are_as_short_as_asked(void **state) {
        static char data[5000];
        struct side s = side_simple();

        for (int version = TLS_1_2; version <= TLS_1_3; version++) {
                struct pair p = pair_new(
                        &s, (struct client_of){ .version = version,
                                                .fragment = TLSEXT_max_fragment_length_1024 });

                assert_true(pair_shake(&p));
                pair_to_client(&p, data, sizeof(data));
                pair_to_server(&p, data, sizeof(data));
                pair_free(&p);
        }
        side_free(&s);
}

/* Keys must be exchanged in the order in which records come, in both directions. */
static void keys_are_updated(void **state) {
        static const char *const suites[] = { "TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384" };
        struct side s = side_simple();

        for (size_t i = 0; i < ELEMENTS(suites); i++) {
                struct pair p = pair_new(&s, (struct client_of){ .suites = suites[i] });

                assert_true(pair_shake(&p));
                for (int turn = 0; turn < 5; turn++) {
                        assert_int_equal(
                                SSL_key_update(p.client, turn % 2 ? SSL_KEY_UPDATE_REQUESTED
                                                                  : SSL_KEY_UPDATE_NOT_REQUESTED),
                                1);
                        pair_to_server(&p, "hello", 5);
                        pair_to_client(&p, "there", 5);
                }
                pair_free(&p);
        }
        side_free(&s);
}

/* Each costs us more than it costs the peer; as many as one likes would be a flood. */
static void floods_of_key_updates_end(void **state) {
        struct side s = side_simple();
        struct pair p = pair_new(&s, (struct client_of){ .version = TLS_1_3 });
        int turn;

        assert_true(pair_shake(&p));
        for (turn = 0; turn < 1000 && p.error == 0; turn++) {
                SSL_key_update(p.client, SSL_KEY_UPDATE_REQUESTED);
                assert_int_equal(SSL_write(p.client, "x", 1), 1);
                pair_carry(&p);
        }
        assert_int_equal(p.error, -EPROTO);
        assert_true(turn < 50);
        assert_string_equal(tls->why(p.stream), "too many KeyUpdate messages");
        pair_free(&p);
        side_free(&s);
}

/* A client of TLS 1.2 that asks for new keys is told no, and cannot make us work for it. */
static void renegotiation_is_refused(void **state) {
        struct side s = side_simple();
        struct pair p = pair_new(&s, (struct client_of){ .version = TLS_1_2 });
        char c;

        assert_true(pair_shake(&p));
        assert_int_equal(SSL_renegotiate(p.client), 1);
        SSL_do_handshake(p.client);
        pair_carry(&p);
        assert_int_equal(p.error, -EPROTO);
        (void)!SSL_read(p.client, &c, 1);
        assert_int_equal(p.alert, SSL_AD_NO_RENEGOTIATION);
        pair_free(&p);
        side_free(&s);
}

/* Nothing that was changed on its way, or comes twice, or in another order, is taken. */
static void forgeries_are_refused(void **state) {
        struct side s = side_simple();

        for (int version = TLS_1_2; version <= TLS_1_3; version++) {
                for (int way = 0; way < 4; way++) {
                        struct pair p = pair_new(&s, (struct client_of){ .version = version });
                        struct text t;
                        char copy[200];

                        assert_true(pair_shake(&p));
                        assert_int_equal(SSL_write(p.client, "hello", 5), 5);
                        t = pair_take(&p);
                        memcpy(copy, t.data, t.size);
                        if (way == 0)
                                copy[t.size - 1] ^= 1; /* the tag */
                        else if (way == 1)
                                copy[t.size - 18] ^= 1; /* what is enciphered */
                        else if (way == 2)
                                copy[2] ^= 1; /* the header */
                        else
                                assert_int_equal(pair_feed(&p, copy, t.size), 0); /* and again */
                        assert_int_equal(pair_feed(&p, copy, t.size), -EPROTO);
                        assert_int_equal(p.got.used, way == 3 ? 5 : 0);
                        assert_int_equal(tls->feed(p.stream, copy, t.size), -EPROTO);
                        assert_true(p.stream->has_output);
                        pair_carry(&p);
                        (void)!SSL_read(p.client, copy, 1);
                        assert_int_equal(p.alert, SSL_AD_BAD_RECORD_MAC);
                        pair_free(&p);
                }
        }
        side_free(&s);
}

/* What is not protected is not from the peer, once the handshake is over. */
static void bytes_in_the_clear_are_refused(void **state) {
        static const char *const all[] = {
                "\x14\3\3\0\1\1",        /* change_cipher_spec */
                "\x15\3\3\0\2\2\x28",    /* an alert */
                "\x17\3\3\0\5hello",     /* data, without a tag */
                "\x17\3\3\0\0GET /\r\n", /* nothing */
                "\x17\3\3\xff\xffhello", /* far too much */
                "GET / HTTP/1.1\r\n\r\n",
        };
        static const size_t sizes[] = { 6, 7, 10, 12, 10, 18 };
        struct side s = side_simple();

        for (int version = TLS_1_2; version <= TLS_1_3; version++)
                for (size_t i = 0; i < ELEMENTS(all); i++) {
                        struct pair p = pair_new(&s, (struct client_of){ .version = version });

                        assert_true(pair_shake(&p));
                        p.piece_bytes = i % 2;
                        assert_int_equal(pair_feed(&p, all[i], sizes[i]), -EPROTO);
                        pair_free(&p);
                }
        side_free(&s);
}

/* Records without data cost us a turn each; OpenSSL's client makes none, so they come as alerts. */
static void floods_of_empty_records_end(void **state) {
        struct side s = side_simple();
        struct pair p = pair_new(&s, (struct client_of){ .version = TLS_1_3 });
        int turn;

        assert_true(pair_shake(&p));
        for (turn = 0; turn < 1000 && p.error == 0; turn++) {
                SSL_key_update(p.client, SSL_KEY_UPDATE_NOT_REQUESTED);
                SSL_do_handshake(p.client);
                pair_carry(&p);
        }
        assert_int_equal(p.error, -EPROTO);
        assert_true(turn < 50);
        pair_free(&p);
        side_free(&s);
}

/* A connection may break at any moment: nothing may leak, whatever had come. */
static void a_stream_may_go_at_any_point(void **state) {
        struct side s = side_simple();

        for (int version = TLS_1_2; version <= TLS_1_3; version++)
                for (size_t most = 0;; most += 97) {
                        struct pair p = pair_new(&s, (struct client_of){ .version = version });
                        size_t given = 0;
                        bool was_open;

                        SSL_set_app_data(p.client, &p);
                        for (int turn = 0; turn < 5; turn++) {
                                struct iovec parts[TLS_OUTPUT_PARTS_MAX];
                                struct text t;

                                if (turn < 3)
                                        SSL_do_handshake(p.client);
                                else
                                        (void)!SSL_write(p.client, "hello", 5);
                                t = pair_take(&p);
                                t.size = MIN(t.size, most - given);
                                given += t.size;
                                if (t.size)
                                        assert_int_equal(pair_feed(&p, t.data, t.size), 0);
                                if (given == most || !p.stream->has_output)
                                        continue;
                                for (unsigned i = 0, n = tls->output(p.stream, parts); i < n; i++)
                                        BIO_write(p.to_client, parts[i].iov_base,
                                                  (int)parts[i].iov_len);
                                tls->sent(p.stream);
                        }
                        was_open = p.stream->state == TLS_OPEN && p.got.used;
                        pair_free(&p);
                        if (was_open)
                                break;
                        assert_true(most < 10000);
                }
        side_free(&s);
}

/* More streams than a worker has keyed ciphers: they take them from each other, and go on. */
static void ciphers_are_shared(void **state) {
        enum { STREAMS = 550 };
        static struct pair pairs[STREAMS];
        struct side s = side_simple();

        for (int i = 0; i < STREAMS; i++) {
                pairs[i] = pair_new(&s,
                                    (struct client_of){
                                            .version = i % 5 ? TLS_1_3 : TLS_1_2,
                                            .suites = i % 3 ? NULL : "TLS_CHACHA20_POLY1305_SHA256",
                                    });
                assert_true(pair_shake(&pairs[i]));
        }
        for (int turn = 0; turn < 3; turn++)
                for (int i = 0; i < STREAMS; i++) {
                        pair_to_server(&pairs[i], "request", 7);
                        pair_to_client(&pairs[i], "answer", 6);
                }
        for (int i = 0; i < STREAMS; i++)
                pair_free(&pairs[i]);
        side_free(&s);
}

/* A reload frees the old server while connections of it go on, in the handshake, too. */
static void streams_outlive_their_server(void **state) {
        struct side s = side_simple();
        struct pair open = pair_new(&s, (struct client_of){});
        struct pair begun = pair_new(&s, (struct client_of){});

        assert_true(pair_shake(&open));
        s.server = tls->server_free(s.server);
        assert_true(pair_shake(&begun));
        pair_to_server(&open, "hello", 5);
        pair_to_client(&begun, "there", 5);
        pair_free(&open);
        pair_free(&begun);
        side_free(&s);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(data_in_both_directions),
                cmocka_unit_test(records_split_at_every_byte),
                cmocka_unit_test(data_with_the_end_of_the_handshake),
                cmocka_unit_test(parts_share_records),
                cmocka_unit_test(output_has_an_end),
                cmocka_unit_test(output_stays_while_it_is_sent),
                cmocka_unit_test(the_end_is_told),
                cmocka_unit_test(records_are_as_short_as_asked),
                cmocka_unit_test(keys_are_updated),
                cmocka_unit_test(floods_of_key_updates_end),
                cmocka_unit_test(renegotiation_is_refused),
                cmocka_unit_test(forgeries_are_refused),
                cmocka_unit_test(bytes_in_the_clear_are_refused),
                cmocka_unit_test(floods_of_empty_records_end),
                cmocka_unit_test(a_stream_may_go_at_any_point),
                cmocka_unit_test(ciphers_are_shared),
                cmocka_unit_test(streams_outlive_their_server),
        };

        return cmocka_run_group_tests(tests, NULL, finish);
}
