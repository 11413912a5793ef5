/* SPDX-License-Identifier: MIT */
#include "ctl/ctl-lines.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void assert_lines(struct text answer, const char *prefix, const char *expected) {
        _cleanup_(buffer_finish)
        struct buffer out = {};

        assert_int_equal(ctl_lines(answer, prefix, &out), 0);
        assert_int_equal(buffer_append(&out, "", 1), 0);
        assert_string_equal(out.data, expected);
}

/* Each line gets its priority for the journal, the last one too if it has no end. */
static void lines(void **state) {
        assert_lines(TEXT("one\ntwo\tx\n"), "", "one\ntwo\tx\n");
        assert_lines(TEXT("one\ntwo"), "<3>", "<3>one\n<3>two\n");
        assert_lines(TEXT(""), "<3>", "");
}

/* A file's name must not be able to retitle the terminal of whoever asks. */
static void nothing_steers_a_terminal(void **state) {
        assert_lines(TEXT("a\033[2Jb\r\177"), "", "a\\x1b[2Jb\\x0d\\x7f\n");
        assert_lines(TEXT("a\x9b"
                          "2Jb"),
                     "", "a\\x9b2Jb\n");
        assert_lines(TEXT("\xc2\x9b"
                          "2J \xc2\x80 \xc2\x9f"),
                     "", "\\xc2\\x9b2J \\xc2\\x80 \\xc2\\x9f\n");
        assert_lines(TEXT("\xc0\x9b \xc2"), "", "\\xc0\\x9b \\xc2\n");
}

/* Names in any language stay readable. */
static void characters_stay(void **state) {
        assert_lines(TEXT("/srv/\xc3\xa4\xc2\xa0\xe2\x82\xac\xf0\x9f\x98\x80"), "",
                     "/srv/\xc3\xa4\xc2\xa0\xe2\x82\xac\xf0\x9f\x98\x80\n");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(lines),
                cmocka_unit_test(nothing_steers_a_terminal),
                cmocka_unit_test(characters_stay),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
