/* SPDX-License-Identifier: MIT */
#include "http/date.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <time.h>

#include <cmocka.h>

enum { NOW_SEC = 1700000000 }; /* in November 2023 */

/* The C library knows the calendar too: both must agree, over leap years and centuries. */
static void dates_agree_with_the_c_library(void **state) {
        char ours[HTTP_DATE_BYTES + 1], theirs[64];
        uint64_t sec, step = 86400 * 29 + 7919;

        for (uint64_t at = 0; at < UINT64_C(253402300800); at += step) {
                time_t t = (time_t)at;
                struct tm tm;

                assert_non_null(gmtime_r(&t, &tm));
                strftime(theirs, sizeof(theirs), "%a, %d %b %Y %H:%M:%S GMT", &tm);
                http_date_format(at, ours);
                assert_string_equal(ours, theirs);
                assert_int_equal(http_date_parse(text_of(ours), NOW_SEC, &sec), 0);
                assert_true(sec == at);
        }
}

/* A file's time may be anything that fits in 64 bits; a date has four digits for the year. */
static void years_of_five_digits_are_not_written(void **state) {
        char out[HTTP_DATE_BYTES + 1];

        http_date_format(UINT64_MAX, out);
        assert_string_equal(out, "Fri, 31 Dec 9999 23:59:59 GMT");
        http_date_format(UINT64_C(253402300799), out);
        assert_string_equal(out, "Fri, 31 Dec 9999 23:59:59 GMT");
}

/* Recipients must read all three forms (RFC 9110, 5.6.7); old clients send the old ones. */
static void three_forms_are_read(void **state) {
        static const char *const forms[] = {
                "Sun, 06 Nov 1994 08:49:37 GMT",
                "Sunday, 06-Nov-94 08:49:37 GMT",
                "Sun Nov  6 08:49:37 1994",
        };
        uint64_t sec;

        for (size_t i = 0; i < ELEMENTS(forms); i++) {
                sec = 0;
                assert_int_equal(http_date_parse(text_of(forms[i]), NOW_SEC, &sec), 0);
                assert_int_equal(sec, 784111777);
        }
        assert_int_equal(http_date_parse(TEXT("Wed Nov 16 08:49:37 1994"), NOW_SEC, &sec), 0);
        assert_int_equal(sec, 784111777 + 10 * 86400);
}

/* A year that seems to be over 50 years ahead is the last one with these digits. */
static void two_digits_of_a_year_find_their_century(void **state) {
        uint64_t sec, expected;

        assert_int_equal(http_date_parse(TEXT("Friday, 01-Jan-73 00:00:00 GMT"), NOW_SEC, &sec), 0);
        assert_int_equal(http_date_parse(TEXT("Sun, 01 Jan 2073 00:00:00 GMT"), NOW_SEC, &expected),
                         0);
        assert_true(sec == expected);
        assert_int_equal(http_date_parse(TEXT("Friday, 01-Jan-74 00:00:00 GMT"), NOW_SEC, &sec), 0);
        assert_int_equal(sec, 4 * 365 * 86400 + 86400);
}

/* What is no date must not become one: a condition with it is ignored instead. */
static void what_is_no_date_is_refused(void **state) {
        static const char *const texts[] = {
                "",
                "0",
                "Sun, 06 Nov 1994 08:49:37",
                "Sun, 06 Nov 1994 08:49:37 UTC",
                "Sun, 06 Nov 1994 08:49:37 GMT ",
                "Sun, 6 Nov 1994 08:49:37 GMT",
                "Sun, 06 nov 1994 08:49:37 GMT",
                "Son, 06 Nov 1994 08:49:37 GMT",
                "Sun, 00 Nov 1994 08:49:37 GMT",
                "Sun, 31 Nov 1994 08:49:37 GMT",
                "Sun, 29 Feb 1900 08:49:37 GMT",
                "Sun, 29 Feb 2023 08:49:37 GMT",
                "Sun, 06 Nov 1994 24:00:00 GMT",
                "Sun, 06 Nov 1994 08:60:37 GMT",
                "Sun, 06 Nov 1994 08:49:61 GMT",
                "Sun, 06 Nov 1969 08:49:37 GMT",
                "Sun, 06 Nov 0000 08:49:37 GMT",
                "Sunday, 06-Nov-1994 08:49:37 GMT",
                "Sun, 06-Nov-94 08:49:37 GMT",
                "Sun Nov 6 08:49:37 1994",
        };
        uint64_t sec = 5;

        for (size_t i = 0; i < ELEMENTS(texts); i++)
                if (http_date_parse(text_of(texts[i]), NOW_SEC, &sec) != -EINVAL)
                        fail_msg("\"%s\" was taken for a date", texts[i]);
        assert_int_equal(sec, 5);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(dates_agree_with_the_c_library),
                cmocka_unit_test(years_of_five_digits_are_not_written),
                cmocka_unit_test(three_forms_are_read),
                cmocka_unit_test(two_digits_of_a_year_find_their_century),
                cmocka_unit_test(what_is_no_date_is_refused),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
