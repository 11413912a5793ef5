/* SPDX-License-Identifier: MIT */
#include "http/chunked.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

/* Feed `input` in pieces of `step` bytes; gives the outcome, the payload, and the bytes taken. */
static int decode(struct text input, size_t step, char *payload, size_t *ret_payload,
                  size_t *ret_taken) {
        struct chunked c = {};
        size_t taken = 0, payload_bytes = 0, used;
        int outcome = CHUNKED_DATA;

        while (outcome == CHUNKED_DATA && taken < input.size) {
                struct text piece = { input.data + taken, MIN(step, input.size - taken) }, data;

                outcome = chunked_feed(&c, piece, &used, &data);
                assert_true(used <= piece.size && data.size <= used);
                assert_true(used > 0 || outcome != CHUNKED_DATA);
                if (data.size)
                        memcpy(payload + payload_bytes, data.data, data.size);
                payload_bytes += data.size;
                taken += used;
        }
        *ret_payload = payload_bytes;
        *ret_taken = taken;
        return outcome;
}

static int outcome_of(struct text input) {
        static char payload[16384];
        size_t payload_bytes, taken;
        int outcome = decode(input, input.size, payload, &payload_bytes, &taken);

        for (size_t step = 1; step < 5; step++)
                assert_int_equal(decode(input, step, payload, &payload_bytes, &taken), outcome);
        return outcome;
}

/* The network cuts where it likes; the payload and the place of its end must not depend on it. */
static void the_payload_is_the_same_however_it_is_cut(void **state) {
        struct text input = TEXT("5\r\nhello\r\n1b ; a=\"b\"\r\n, world of chunks and bytes\r\n"
                                 "000\r\nA: b\r\nC:\td\r\n\r\nGET /");
        char payload[64];
        size_t payload_bytes, taken;

        for (size_t step = 1; step <= input.size; step++) {
                assert_int_equal(decode(input, step, payload, &payload_bytes, &taken), CHUNKED_END);
                assert_int_equal(payload_bytes, 32);
                assert_memory_equal(payload, "hello, world of chunks and bytes", 32);
                assert_int_equal(input.size - taken, 5);
        }
}

/* Each of these is read as another length by some server: refused, so that ours decides nothing. */
static void what_smuggles_is_refused(void **state) {
        static const struct text cases[] = {
                TEXT("\r\n"),
                TEXT("5\nhello\r\n"),
                TEXT("5\r\nhello\n"),
                TEXT("5\r\nhelloX"),
                TEXT("5\r\nhello\rX"),
                TEXT("5 \r\n"),
                TEXT("5\t\r\n"),
                TEXT(" 5\r\n"),
                TEXT("5\rX"),
                TEXT("+5\r\n"),
                TEXT("-5\r\n"),
                TEXT("0x5\r\n"),
                TEXT("5h\r\n"),
                TEXT("5,5\r\n"),
                TEXT("5;a\nb\r\n"),
                TEXT("5;a\rb\r\n"),
                TEXT("5;a\0b\r\n"),
                TEXT("5 a\r\n"),
                TEXT(";a\r\n"),
                TEXT("00000000000000005\r\n"),
                TEXT("10000000000000000\r\n"),
                TEXT("0\r\n\n"),
                TEXT("0\n\r\n"),
                TEXT("0\r\n\rX"),
                TEXT("0\r\nA : b\r\n\r\n"),
                TEXT("0\r\n: b\r\n\r\n"),
                TEXT("0\r\nA\r\n\r\n"),
                TEXT("0\r\n A: b\r\n\r\n"),
                TEXT("0\r\nA: b\r\n c\r\n\r\n"),
                TEXT("0\r\nA: b\nC: d\r\n\r\n"),
                TEXT("0\r\nA: b\rc\r\n\r\n"),
                TEXT("0\r\nA: \x01\r\n\r\n"),
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++)
                if (outcome_of(cases[i]) != CHUNKED_BAD)
                        fail_msg("%.*s was taken", TEXT_ARGS(cases[i]));
}

/* Sizes fill 64 bits; no sum or shift may wrap. */
static void the_largest_size_is_read(void **state) {
        struct chunked c = {};
        struct text data;
        size_t used;

        assert_int_equal(chunked_feed(&c, TEXT("ffffFFFFffffFFFF\r\nab"), &used, &data),
                         CHUNKED_DATA);
        assert_int_equal(used, 20);
        assert_int_equal(data.size, 2);
        assert_true(c.left == UINT64_MAX - 2);
}

/* A line or a trailer without an end must not be read for ever. */
static void lines_and_trailers_are_bounded(void **state) {
        static char input[CHUNKED_TRAILER_BYTES_MAX + 64];
        size_t fixed = strlen("5;\r\n");

        for (size_t over = 0; over <= 1; over++) {
                memset(input, 'a', sizeof(input));
                memcpy(input, "5;", 2);
                strcpy(input + CHUNKED_LINE_BYTES_MAX - fixed + over + 2, "\r\nhello\r\n0\r\n\r\n");
                assert_int_equal(outcome_of(text_of(input)), over ? CHUNKED_BAD : CHUNKED_END);
        }
        for (size_t over = 0; over <= 1; over++) {
                memset(input, 'a', sizeof(input));
                memcpy(input, "0\r\nA:", 5);
                strcpy(input + 5 + CHUNKED_TRAILER_BYTES_MAX - 6 + over, "\r\n\r\n");
                assert_int_equal(outcome_of(text_of(input)), over ? CHUNKED_BAD : CHUNKED_END);
        }
}

/* The bound is on a line, not on how many there are: long uploads have many chunks. */
static void many_chunks_do_not_add_up_to_a_long_line(void **state) {
        struct chunked c = {};
        struct text data;
        size_t used;

        for (int i = 0; i < CHUNKED_LINE_BYTES_MAX; i++) {
                struct text input = TEXT("1;a=b\r\nx\r\n");

                while (input.size) {
                        assert_int_equal(chunked_feed(&c, input, &used, &data), CHUNKED_DATA);
                        input.data += used;
                        input.size -= used;
                }
        }
}

/* What was decided stays decided, so that a caller who asks again does no harm. */
static void an_end_stays_an_end(void **state) {
        struct chunked c = {};
        struct text data;
        size_t used;

        assert_int_equal(chunked_feed(&c, TEXT("0\r\n\r\n"), &used, &data), CHUNKED_END);
        assert_int_equal(chunked_feed(&c, TEXT("1\r\n"), &used, &data), CHUNKED_END);
        assert_int_equal(used, 0);
        c = (struct chunked){};
        assert_int_equal(chunked_feed(&c, TEXT("x"), &used, &data), CHUNKED_BAD);
        assert_int_equal(chunked_feed(&c, TEXT("1\r\n"), &used, &data), CHUNKED_BAD);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(the_payload_is_the_same_however_it_is_cut),
                cmocka_unit_test(what_smuggles_is_refused),
                cmocka_unit_test(the_largest_size_is_read),
                cmocka_unit_test(lines_and_trailers_are_bounded),
                cmocka_unit_test(many_chunks_do_not_add_up_to_a_long_line),
                cmocka_unit_test(an_end_stays_an_end),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
