/* SPDX-License-Identifier: MIT */
#include "http/range.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

struct row {
        const char *value;
        uint64_t size;
        int outcome;
        uint64_t first, bytes;
};

static void check(const struct row *rows, size_t count) {
        for (size_t i = 0; i < count; i++) {
                uint64_t first = 0, bytes = 0;
                int outcome =
                        http_range_parse(text_of(rows[i].value), rows[i].size, &first, &bytes);

                if (outcome != rows[i].outcome || first != rows[i].first || bytes != rows[i].bytes)
                        fail_msg("%s of %llu: %d, %llu + %llu", rows[i].value,
                                 (unsigned long long)rows[i].size, outcome,
                                 (unsigned long long)first, (unsigned long long)bytes);
        }
}

/* Players and resumed downloads depend on the exact bytes. */
static void one_range_is_read(void **state) {
        static const struct row rows[] = {
                { "bytes=0-0", 100, HTTP_RANGE_ONE, 0, 1 },
                { "bytes=10-19", 100, HTTP_RANGE_ONE, 10, 10 },
                { "bytes=99-", 100, HTTP_RANGE_ONE, 99, 1 },
                { "bytes=0-", 100, HTTP_RANGE_ONE, 0, 100 },
                { "bytes=50-1000", 100, HTTP_RANGE_ONE, 50, 50 },
                { "bytes=-1", 100, HTTP_RANGE_ONE, 99, 1 },
                { "bytes=-100", 100, HTTP_RANGE_ONE, 0, 100 },
                { "bytes=-1000", 100, HTTP_RANGE_ONE, 0, 100 },
                { "BYTES=1-2", 100, HTTP_RANGE_ONE, 1, 2 },
                { "bytes= 1-2 ,", 100, HTTP_RANGE_ONE, 1, 2 },
                { "bytes=0-99999999999999999999999", 100, HTTP_RANGE_ONE, 0, 100 },
                { "bytes=-99999999999999999999999", 100, HTTP_RANGE_ONE, 0, 100 },
                { "bytes=0-18446744073709551615", UINT64_MAX, HTTP_RANGE_ONE, 0, UINT64_MAX },
        };

        check(rows, ELEMENTS(rows));
}

/* 416 is for ranges that are well-formed and lie behind the end, for nothing else. */
static void ranges_behind_the_end_are_unsatisfiable(void **state) {
        static const struct row rows[] = {
                { "bytes=100-", 100, HTTP_RANGE_UNSATISFIABLE },
                { "bytes=100-200", 100, HTTP_RANGE_UNSATISFIABLE },
                { "bytes=-0", 100, HTTP_RANGE_UNSATISFIABLE },
                { "bytes=0-", 0, HTTP_RANGE_UNSATISFIABLE },
                { "bytes=99999999999999999999999-", 100, HTTP_RANGE_UNSATISFIABLE },
        };

        check(rows, ELEMENTS(rows));
}

/* What is malformed or would have one file sent many times is taken as if it were not there. */
static void all_else_is_ignored(void **state) {
        static const struct row rows[] = {
                { "", 100, HTTP_RANGE_IGNORE },
                { "bytes", 100, HTTP_RANGE_IGNORE },
                { "bytes=", 100, HTTP_RANGE_IGNORE },
                { "bytes=-", 100, HTTP_RANGE_IGNORE },
                { "bytes=5", 100, HTTP_RANGE_IGNORE },
                { "bytes=2-1", 100, HTTP_RANGE_IGNORE },
                { "bytes=0-1,3-4", 100, HTTP_RANGE_IGNORE },
                { "bytes=0-,0-,0-", 100, HTTP_RANGE_IGNORE },
                { "bytes=a-1", 100, HTTP_RANGE_IGNORE },
                { "bytes=0-b", 100, HTTP_RANGE_IGNORE },
                { "bytes=0--1", 100, HTTP_RANGE_IGNORE },
                { "bytes=0 - 1", 100, HTTP_RANGE_IGNORE },
                { "bytes =0-1", 100, HTTP_RANGE_IGNORE },
                { "lines=0-1", 100, HTTP_RANGE_IGNORE },
                { "bytes=-5", 0, HTTP_RANGE_IGNORE },
        };

        check(rows, ELEMENTS(rows));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(one_range_is_read),
                cmocka_unit_test(ranges_behind_the_end_are_unsatisfiable),
                cmocka_unit_test(all_else_is_ignored),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
