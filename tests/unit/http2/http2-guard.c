/* SPDX-License-Identifier: MIT */
#include "peer.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

/*
 * Floods: each is told to calm down, early enough, and holds little memory; who does much of the
 * same for a reason is left alone.
 */

enum { FLOOD = 10 * 1000, MEMORY_MAX = 256 * 1024 };

enum flood {
        FLOOD_SETTINGS,
        FLOOD_PINGS,
        FLOOD_PING_ACKS,
        FLOOD_PRIORITY,
        FLOOD_PRIORITY_UPDATES,
        FLOOD_WINDOW_UPDATES,
        FLOOD_WINDOW_UPDATES_OF_A_STREAM,
        FLOOD_EMPTY_DATA,
        FLOOD_PADDED_DATA,
        FLOOD_UNKNOWN,
        FLOOD_GOAWAYS,
        FLOOD_RESETS, /* CVE-2023-44487 */
        FLOOD_RESETS_OF_NOTHING,
        FLOOD_MADE_RESETS, /* CVE-2025-8671: we are made to reset */
        FLOOD_MALFORMED,
        FLOOD_EMPTY_HEADERS,
        FLOOD_OF_STREAMS,  /* beyond those that may be open */
        FLOOD_WINDOW_BITS, /* an answer byte for byte */
        FLOOD_KINDS,
};

static void write_flood(struct peer *p, enum flood kind, uint32_t i) {
        uint32_t id = 2 * i + 101;

        switch (kind) {
        case FLOOD_SETTINGS: peer_setting(p, NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, i); break;
        case FLOOD_PINGS: peer_ping(p, "12345678", false); break;
        case FLOOD_PING_ACKS: peer_ping(p, "12345678", true); break;
        case FLOOD_PRIORITY: peer_frame(p, NGHTTP2_PRIORITY, 0, id, "\0\0\0\0\1", 5); break;
        case FLOOD_PRIORITY_UPDATES: peer_frame(p, 0x10, 0, 0, "\0\0\0\1u=1", 7); break;
        case FLOOD_WINDOW_UPDATES: peer_window(p, 0, 1); break;
        case FLOOD_WINDOW_UPDATES_OF_A_STREAM: peer_window(p, 1, 1); break;
        case FLOOD_EMPTY_DATA: peer_data(p, 3, "", 0, false); break;
        case FLOOD_PADDED_DATA:
                peer_frame(p, NGHTTP2_DATA, NGHTTP2_FLAG_PADDED, 3, "\3\0\0\0", 4);
                break;
        case FLOOD_UNKNOWN: peer_frame(p, 0x77, 0, 0, "abc", 3); break;
        case FLOOD_GOAWAYS: peer_frame(p, NGHTTP2_GOAWAY, 0, 0, "\0\0\0\0\0\0\0\0", 8); break;
        case FLOOD_RESETS:
                peer_get(p, id, "/mute");
                peer_reset(p, id, NGHTTP2_CANCEL);
                break;
        case FLOOD_RESETS_OF_NOTHING: peer_reset(p, 1, NGHTTP2_CANCEL); break;
        case FLOOD_MADE_RESETS:
                peer_get(p, id, "/mute");
                peer_window(p, id, INT32_MAX);
                peer_window(p, id, INT32_MAX);
                break;
        case FLOOD_MALFORMED:
                peer_headers(p, id, "GET /\nconnection: close", NGHTTP2_FLAG_END_STREAM);
                break;
        case FLOOD_EMPTY_HEADERS: peer_frame(p, NGHTTP2_HEADERS, 5, id, NULL, 0); break;
        case FLOOD_OF_STREAMS: peer_get(p, id, "/mute"); break;
        case FLOOD_WINDOW_BITS: peer_window(p, 5, 1); break;
        default: fail();
        }
}

static struct peer *peer_to_flood(enum flood kind) {
        struct peer *p = kind == FLOOD_OF_STREAMS ? peer_new_silent() : peer_new();

        p->hold = true;
        if (kind == FLOOD_OF_STREAMS) { /* without an ACK of our settings they are but refused */
                peer_preface(p);
                peer_frame(p, NGHTTP2_SETTINGS, 0, 0, NULL, 0);
        }
        peer_setting(p, NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 0);
        peer_get(p, 1, "/mute");
        peer_headers(p, 3, "POST /echo", 0);
        peer_get(p, 5, "/big");
        peer_go(p);
        return p;
}

/* Each ends the connection, whether what we answer is taken or not. */
static void floods_end_the_connection(void **state) {
        for (enum flood kind = 0; kind < FLOOD_KINDS; kind++)
                for (int taken = 0; taken <= 1; taken++) {
                        struct peer *p = peer_to_flood(kind);
                        unsigned i = 0;

                        if (!taken)
                                p->hold_sent = true;
                        for (; i < FLOOD && p->end == PEER_OPEN && p->session->wants_input; i++) {
                                write_flood(p, kind, i % (2 * PEER_STREAMS_MAX / 2 - 60));
                                peer_go(p);
                        }
                        if (i == FLOOD || p->h->memory.most > MEMORY_MAX)
                                print_error("kind %d: %u, %zu bytes\n", kind, i, p->h->memory.most);
                        assert_true(i < FLOOD);
                        assert_true(p->h->memory.most < MEMORY_MAX);
                        if (!taken && p->unsent)
                                peer_sent(p);
                        if (taken && !peer_was_hung_up_on(p, NGHTTP2_ENHANCE_YOUR_CALM))
                                print_error("kind %d: %u, end %d\n", kind, i, p->end);
                        if (taken)
                                assert_true(peer_was_hung_up_on(p, NGHTTP2_ENHANCE_YOUR_CALM));
                        peer_free(p);
                }
}

/* A block that goes on and on (CVE-2024-27316), with bytes, without, and with what expands. */
static void continuation_floods(void **state) {
        static char bomb[16000];

        for (unsigned kind = 0; kind < 3; kind++) {
                struct peer *p = peer_new();
                unsigned i = 0;

                memset(bomb, kind == 2 ? 0xbe : 0x82, sizeof(bomb)); /* 0xbe: the table's first */
                if (kind == 2) {
                        char fields[5000];

                        memset(fields, 'a', sizeof(fields));
                        memcpy(fields, "GET /mute\nx-bomb: ", 18);
                        fields[2900] = '\0';
                        peer_headers(p, 1, fields, NGHTTP2_FLAG_END_STREAM);
                }
                peer_frame(p, NGHTTP2_HEADERS, 0, 3,
                           "\x82\x84\x86\x01\x01"
                           "a",
                           6);
                peer_go(p);
                for (; i < 1000 && p->end == PEER_OPEN; i++) {
                        peer_frame(p, NGHTTP2_CONTINUATION, 0, 3, bomb, kind ? sizeof(bomb) : 0);
                        peer_go(p);
                }
                assert_true(i < 20);
                assert_true(p->h->memory.most < MEMORY_MAX);
                assert_true(peer_was_hung_up_on(p, NGHTTP2_ENHANCE_YOUR_CALM));
                peer_free(p);
        }
}

/* A client with a field of 2,900 bytes in HPACK's table. */
static struct peer *peer_with_bomb(void) {
        struct peer *p = peer_new();
        static char fields[5000];

        memset(fields, 'a', sizeof(fields));
        memcpy(fields, "GET /mute\nx-bomb: ", 18);
        fields[2900] = '\0';
        peer_headers(p, 1, fields, NGHTTP2_FLAG_END_STREAM);
        return p;
}

/* A block that names that field so often, as a request's head or as its trailers. */
static void write_bomb(struct peer *p, uint32_t id, size_t times, bool trailers) {
        static char bomb[16000];
        size_t head = trailers ? 0 : 6;

        memset(bomb, 0xbe, sizeof(bomb));
        if (!trailers)
                memcpy(bomb,
                       "\x82\x84\x86\x01\x01"
                       "a",
                       head);
        peer_frame(p, NGHTTP2_HEADERS, 5, id, bomb, head + times);
        peer_go(p);
}

/* An HPACK bomb in one block: far more than the head may have is not kept, nor deciphered. */
static void hpack_bomb(void **state) {
        for (int trailers = 0; trailers <= 1; trailers++) {
                struct peer *p = peer_with_bomb();

                if (trailers)
                        peer_headers(p, 3, "POST /mute", 0);
                write_bomb(p, 3, 15000, trailers);
                assert_true(peer_was_hung_up_on(p, NGHTTP2_ENHANCE_YOUR_CALM));
                assert_true(p->h->guard.dropped_bytes < 150 * 1024);
                assert_true(p->h->memory.most < MEMORY_MAX);
                peer_free(p);
        }
}

/* Small ones are refused one by one, but not without an end. */
static void small_hpack_bombs(void **state) {
        struct peer *p = peer_with_bomb();
        unsigned i = 0;

        write_bomb(p, 3, 20, false);
        assert_int_equal(peer_stream(p, 3)->status, 431);
        for (; i < 1000 && p->end == PEER_OPEN; i++)
                write_bomb(p, 5 + 2 * i, 20, false);
        assert_in_range(i, 10, 60);
        assert_true(peer_was_hung_up_on(p, NGHTTP2_ENHANCE_YOUR_CALM));
        assert_true(p->h->memory.most < MEMORY_MAX);
        peer_free(p);
}

/* A client that has gathered too many cookies is told so, and may go on without them. */
static void cookies_without_measure(void **state) {
        struct peer *p = peer_new();
        struct buffer fields = {};
        char line[200];

        memset(line, 'c', sizeof(line));
        memcpy(line, "cookie: ", 8);
        line[sizeof(line) - 1] = '\n';
        buffer_printf(&fields, "GET /now\n");
        for (unsigned i = 0; i < 300; i++)
                buffer_append(&fields, line, sizeof(line));
        buffer_append(&fields, "", 1);
        peer_headers(p, 1, fields.data, NGHTTP2_FLAG_END_STREAM);
        peer_get(p, 3, "/now");
        peer_go(p);
        assert_int_equal(peer_stream(p, 1)->status, 431);
        assert_int_equal(peer_stream(p, 3)->status, 200);
        assert_int_equal(p->end, PEER_OPEN);
        buffer_finish(&fields);
        peer_free(p);
}

/* A head that changes the table's size over and over is bounded by its own bytes. */
static void table_sizes(void **state) {
        struct peer *p = peer_new();

        for (unsigned i = 0; i < 100; i++)
                peer_setting(p, NGHTTP2_SETTINGS_HEADER_TABLE_SIZE, i % 2 ? 0 : UINT32_MAX);
        peer_get(p, 1, "/now");
        peer_go(p);
        assert_int_equal(peer_stream(p, 1)->status, 200);
        assert_true(p->h->memory.most < MEMORY_MAX);
        peer_free(p);
}

/* Many SETTINGS in one frame are too many, too. */
static void settings_in_one_frame(void **state) {
        struct peer *p = peer_new();
        static char many[6 * 2000];

        peer_frame(p, NGHTTP2_SETTINGS, 0, 0, many, sizeof(many));
        peer_go(p);
        assert_true(peer_was_hung_up_on(p, NGHTTP2_ENHANCE_YOUR_CALM));
        peer_free(p);
}

/* While a client does not take what we have for it, what it says is not even read. */
static void who_never_reads_is_not_heard(void **state) {
        struct peer *p = peer_new();
        unsigned i = 0;

        p->hold_sent = true;
        peer_get(p, 1, "/now");
        peer_go(p);
        assert_true(p->unsent);
        for (; i < 1000 && p->session->wants_input; i++) {
                peer_ping(p, "12345678", false);
                peer_go(p);
        }
        assert_in_range(i, 200, 300);
        assert_int_equal(p->end, PEER_OPEN);
        peer_sent(p);
        assert_true(p->session->wants_input);
        assert_int_equal(p->pings_acks, i);
        peer_free(p);
}

/* An honest client: many requests, a PING now and then, windows opened as bytes come. */
static void honest_clients_are_left_alone(void **state) {
        struct peer *p = peer_new();
        uint32_t id = 1;

        peer_setting(p, NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 1 << 20);
        peer_window(p, 0, 1 << 20);
        for (unsigned second = 0; second < 100; second++) {
                for (unsigned i = 0; i < 10; i++, id += 2) {
                        peer_get(p, id, i == 0 ? "/big" : "/copied");
                        peer_go(p);
                        assert_true(peer_stream(p, id)->ended);
                        /* an eager one acknowledges each frame, to stream and connection */
                        for (unsigned bytes = 0; bytes < peer_stream(p, id)->body.used;
                             bytes += 4096) {
                                peer_window(p, id, 4096);
                                peer_window(p, 0, 4096);
                        }
                }
                for (unsigned i = 0; i < 10; i++)
                        peer_ping(p, "12345678", false);
                peer_go(p);
                assert_int_equal(p->end, PEER_OPEN);
                p->now_usec += USEC_PER_SEC / 10;
        }
        peer_free(p);
}

/* A reader who leaves pages again and again resets all that is open, each time. */
static void browsing_in_a_hurry(void **state) {
        struct peer *p = peer_new();
        uint32_t id = 1;

        p->hold = true;
        for (unsigned page = 0; page < 10; page++) {
                for (unsigned i = 0; i < 100; i++)
                        peer_get(p, id + 2 * i, "/mute");
                peer_go(p);
                for (unsigned i = 0; i < 100; i++, id += 2)
                        peer_reset(p, id, NGHTTP2_CANCEL);
                peer_go(p);
                assert_int_equal(p->end, PEER_OPEN);
                assert_int_equal(p->session->open, 0);
                p->now_usec += USEC_PER_SEC;
        }
        peer_free(p);
}

/* What all of it may hold: nothing but small requests, and answers with long fields. */
static void memory_of_a_session(void **state) {
        struct peer *p = peer_new();
        size_t idle = p->h->memory.used;

        assert_true(idle < 32 * 1024);
        p->hold = true;
        for (unsigned i = 0; i < 100; i++)
                peer_get(p, 2 * i + 1, "/later");
        peer_go(p);
        print_message("idle: %zu bytes, with 100 requests: %zu\n", idle, p->h->memory.most);
        assert_true(p->h->memory.most < 128 * 1024);
        peer_free(p);

        p = peer_new();
        p->hold_sent = true;
        for (unsigned i = 0; i < 100; i++)
                peer_get(p, 2 * i + 1, "/wide");
        peer_go(p);
        p->hold_sent = false;
        peer_sent(p);
        for (unsigned i = 0; i < 100; i++)
                assert_true(peer_stream(p, 2 * i + 1)->ended);
        print_message("with 100 answers of 32 KiB fields: %zu\n", p->h->memory.most);
        peer_free(p);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(floods_end_the_connection),
                cmocka_unit_test(continuation_floods),
                cmocka_unit_test(hpack_bomb),
                cmocka_unit_test(small_hpack_bombs),
                cmocka_unit_test(cookies_without_measure),
                cmocka_unit_test(table_sizes),
                cmocka_unit_test(settings_in_one_frame),
                cmocka_unit_test(who_never_reads_is_not_heard),
                cmocka_unit_test(honest_clients_are_left_alone),
                cmocka_unit_test(browsing_in_a_hurry),
                cmocka_unit_test(memory_of_a_session),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
