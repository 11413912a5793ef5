/* SPDX-License-Identifier: MIT */
#include "base/text.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/* Numbers from the network decide how many bytes follow: none may wrap, none may have a sign. */
static void numbers_are_whole_and_bounded(void **state) {
        uint64_t n = 7;

        assert_int_equal(text_to_u64(TEXT("0"), &n), 0);
        assert_int_equal(n, 0);
        assert_int_equal(text_to_u64(TEXT("18446744073709551615"), &n), 0);
        assert_true(n == UINT64_MAX);
        assert_int_equal(text_to_u64(TEXT("18446744073709551616"), &n), -ERANGE);
        assert_int_equal(text_to_u64(TEXT("99999999999999999999999"), &n), -ERANGE);
        assert_int_equal(text_to_u64(TEXT(""), &n), -EINVAL);
        assert_int_equal(text_to_u64(TEXT("-1"), &n), -EINVAL);
        assert_int_equal(text_to_u64(TEXT("+1"), &n), -EINVAL);
        assert_int_equal(text_to_u64(TEXT("1 "), &n), -EINVAL);
        assert_true(n == UINT64_MAX);
}

/* A hint must name the nearest key, so the distance must be that of single edits. */
static void distance_counts_single_edits(void **state) {
        assert_int_equal(text_distance(TEXT("Root"), TEXT("root")), 0);
        assert_int_equal(text_distance(TEXT("Rot"), TEXT("Root")), 1);
        assert_int_equal(text_distance(TEXT(""), TEXT("Root")), 4);
        assert_int_equal(text_distance(TEXT("kitten"), TEXT("sitting")), 3);
}

/* Lists in settings and fields are cut into words by this. */
static void words_come_without_their_separators(void **state) {
        struct text rest = TEXT("  a bc\td  "), word;

        assert_true(text_next_word(&rest, " \t", &word) && text_equal(word, TEXT("a")));
        assert_true(text_next_word(&rest, " \t", &word) && text_equal(word, TEXT("bc")));
        assert_true(text_next_word(&rest, " \t", &word) && text_equal(word, TEXT("d")));
        assert_false(text_next_word(&rest, " \t", &word));
}

/* What is printed or quoted must be characters, and not what some decoder makes of broken ones. */
static void characters_have_their_bytes(void **state) {
        assert_int_equal(text_utf8_bytes(TEXT("")), 0);
        assert_int_equal(text_utf8_bytes(TEXT("ab")), 1);
        assert_int_equal(text_utf8_bytes(TEXT("\xc3\xa4x")), 2);
        assert_int_equal(text_utf8_bytes(TEXT("\xe2\x82\xac")), 3);
        assert_int_equal(text_utf8_bytes(TEXT("\xf0\x9f\x98\x80")), 4);
        assert_int_equal(text_utf8_bytes(TEXT("\x9b")), 0);
        assert_int_equal(text_utf8_bytes(TEXT("\xc0\x9b")), 0);     /* longer than it need be */
        assert_int_equal(text_utf8_bytes(TEXT("\xed\xa0\x80")), 0); /* half of a pair */
        assert_int_equal(text_utf8_bytes(TEXT("\xe2\x82")), 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(numbers_are_whole_and_bounded),
                cmocka_unit_test(distance_counts_single_edits),
                cmocka_unit_test(words_come_without_their_separators),
                cmocka_unit_test(characters_have_their_bytes),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
