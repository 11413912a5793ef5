/* SPDX-License-Identifier: MIT */
#include "control/control-line.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static int read_line(struct text data, struct text *words, size_t *count) {
        return control_line_read(data, words, count);
}

static int result_of(struct text data) {
        struct text words[CONTROL_WORDS_MAX];
        size_t count;

        return read_line(data, words, &count);
}

/* The words are what stands between spaces, and what follows the line is not looked at. */
static void words_of_a_line(void **state) {
        struct text words[CONTROL_WORDS_MAX];
        size_t count = 0;

        assert_int_equal(read_line(TEXT("  purge  /a b=\xc3\xa4 \n\001rest\n"), words, &count), 0);
        assert_int_equal(count, 3);
        assert_true(text_equal(words[0], TEXT("purge")));
        assert_true(text_equal(words[1], TEXT("/a")));
        assert_true(text_equal(words[2], TEXT("b=\xc3\xa4")));
        assert_int_equal(read_line(TEXT("a b c d e f g h\n"), words, &count), 0);
        assert_int_equal(count, CONTROL_WORDS_MAX);
}

/* A slow client may send one byte at a time; the outcome must not depend on it. */
static void line_at_every_byte(void **state) {
        struct text line = TEXT("reload now\n");

        for (size_t i = 0; i < line.size; i++)
                assert_int_equal(result_of((struct text){ line.data, i }), CONTROL_LINE_MORE);
        assert_int_equal(result_of(line), 0);
}

/* What is no request is refused by name, not taken for another. */
static void refused(void **state) {
        assert_int_equal(result_of(TEXT("\n")), CONTROL_LINE_NO_WORD);
        assert_int_equal(result_of(TEXT("    \n")), CONTROL_LINE_NO_WORD);
        assert_int_equal(result_of(TEXT("a b c d e f g h i\n")), CONTROL_LINE_MANY_WORDS);
        assert_int_equal(result_of(TEXT("reload\r\n")), CONTROL_LINE_BAD_BYTE);
        assert_int_equal(result_of(TEXT("re\tload")), CONTROL_LINE_BAD_BYTE);
        assert_int_equal(result_of(TEXT("re\0load\n")), CONTROL_LINE_BAD_BYTE);
        assert_int_equal(result_of(TEXT("reload\x7f\n")), CONTROL_LINE_BAD_BYTE);
        for (int r = CONTROL_LINE_MORE; r <= CONTROL_LINE_MANY_WORDS; r++)
                assert_true(strlen(control_line_fault(r)) > 10);
}

/* The limit counts the newline; a byte more can only be refused, for there is no room for it. */
static void longest_line(void **state) {
        static char line[CONTROL_LINE_BYTES_MAX + 1];

        memset(line, 'x', sizeof(line));
        line[CONTROL_LINE_BYTES_MAX - 1] = '\n';
        assert_int_equal(result_of((struct text){ line, CONTROL_LINE_BYTES_MAX }), 0);
        assert_int_equal(result_of((struct text){ line, CONTROL_LINE_BYTES_MAX - 1 }),
                         CONTROL_LINE_MORE);
        line[CONTROL_LINE_BYTES_MAX - 1] = 'x';
        line[CONTROL_LINE_BYTES_MAX] = '\n';
        assert_int_equal(result_of((struct text){ line, CONTROL_LINE_BYTES_MAX }),
                         CONTROL_LINE_TOO_LONG);
        assert_int_equal(result_of((struct text){ line, sizeof(line) }), CONTROL_LINE_TOO_LONG);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(words_of_a_line),
                cmocka_unit_test(line_at_every_byte),
                cmocka_unit_test(refused),
                cmocka_unit_test(longest_line),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
