/* SPDX-License-Identifier: MIT */
#include "http/conditional.h"

#include "heads.h"

#include <stdio.h>

#define THEN   "Sun, 06 Nov 1994 08:49:37 GMT"
#define BEFORE "Sun, 06 Nov 1994 08:49:36 GMT"
#define AFTER  "Sun, 06 Nov 1994 08:49:38 GMT"

enum { THEN_SEC = 784111777, NOW_SEC = 1700000000 };

static const struct http_validators strong = { TEXT("\"a,\\\""), THEN_SEC, true };
static const struct http_validators weak = { TEXT("W/\"a,\\\""), THEN_SEC, false };
static const struct http_validators untagged = { {}, THEN_SEC, true };

struct row {
        const char *fields;
        const struct http_validators *validators;
        unsigned expected;
};

static struct http_request *request_with(const char *fields) {
        static struct http_request request;
        static char head[512];

        snprintf(head, sizeof(head), "GET / HTTP/1.1\r\nHost: a\r\n%s\r\n", fields);
        assert_int_equal(parse_text(text_of(head), &request), HTTP1_DONE);
        return &request;
}

static void check_status(const struct row *rows, size_t count) {
        for (size_t i = 0; i < count; i++) {
                unsigned status = http_condition_status(request_with(rows[i].fields),
                                                        rows[i].validators, NOW_SEC);

                if (status != rows[i].expected)
                        fail_msg("%s: %u", rows[i].fields, status);
        }
}

/* What a cache has decides between 304 and the whole; a wrong 304 shows what is stale for ever. */
static void caches_get_304_for_what_they_have(void **state) {
        static const struct row rows[] = {
                { "", &strong, 200 },
                { "If-None-Match: \"a,\\\"\r\n", &strong, 304 },
                { "If-None-Match: W/\"a,\\\"\r\n", &strong, 304 },
                { "If-None-Match: \"a,\\\"\r\n", &weak, 304 },
                { "If-None-Match: \"b\", \"c,\", W/\"a,\\\"\r\n", &strong, 304 },
                { "If-None-Match: \"b\"\r\nIf-None-Match: \"a,\\\"\r\n", &strong, 304 },
                { "If-None-Match: *\r\n", &strong, 304 },
                { "If-None-Match: *\r\n", &untagged, 304 },
                { "If-None-Match: \"b\"\r\n", &strong, 200 },
                { "If-None-Match: \"A,\\\"\r\n", &strong, 200 },
                { "If-None-Match: w/\"a,\\\"\r\n", &strong, 200 },
                { "If-None-Match: a,\\\r\n", &strong, 200 },
                { "If-None-Match: \"a,\\\r\n", &strong, 200 },
                { "If-None-Match: \"\"\r\n", &untagged, 200 },
                { "If-None-Match:\r\n", &strong, 200 },
                { "If-Modified-Since: " THEN "\r\n", &strong, 304 },
                { "If-Modified-Since: " AFTER "\r\n", &strong, 304 },
                { "If-Modified-Since: " BEFORE "\r\n", &strong, 200 },
                { "If-Modified-Since: yesterday\r\n", &strong, 200 },
                { "If-None-Match: \"b\"\r\nIf-Modified-Since: " AFTER "\r\n", &strong, 200 },
                { "If-Modified-Since: " BEFORE "\r\nIf-None-Match: *\r\n", &strong, 304 },
        };

        check_status(rows, ELEMENTS(rows));
}

/* 412 protects from acting on another version than the one seen; weak tags cannot promise that. */
static void other_versions_get_412(void **state) {
        static const struct row rows[] = {
                { "If-Match: \"a,\\\"\r\n", &strong, 200 },
                { "If-Match: \"b\",, \"a,\\\"\r\n", &strong, 200 },
                { "If-Match: *\r\n", &weak, 200 },
                { "If-Match: \"b\"\r\n", &strong, 412 },
                { "If-Match: W/\"a,\\\"\r\n", &strong, 412 },
                { "If-Match: W/\"a,\\\"\r\n", &weak, 412 },
                { "If-Match: \"a,\\\"\r\n", &weak, 412 },
                { "If-Match: \"a\"\r\n", &untagged, 412 },
                { "If-Match: garbage\r\n", &strong, 412 },
                { "If-Unmodified-Since: " THEN "\r\n", &strong, 200 },
                { "If-Unmodified-Since: " BEFORE "\r\n", &strong, 412 },
                { "If-Unmodified-Since: yesterday\r\n", &strong, 200 },
                { "If-Match: *\r\nIf-Unmodified-Since: " BEFORE "\r\n", &strong, 200 },
                { "If-Match: \"b\"\r\nIf-None-Match: *\r\n", &strong, 412 },
                { "If-Match: *\r\nIf-None-Match: \"a,\\\"\r\n", &strong, 304 },
                { "If-Unmodified-Since: " BEFORE "\r\nIf-None-Match: *\r\n", &strong, 412 },
        };

        check_status(rows, ELEMENTS(rows));
}

/* Joining a range to another version's bytes corrupts a download without a sign. */
static void ranges_hold_for_the_same_version_only(void **state) {
        static const struct row rows[] = {
                { "", &strong, true },
                { "If-Range: \"a,\\\"\r\n", &strong, true },
                { "If-Range: \"b\"\r\n", &strong, false },
                { "If-Range: W/\"a,\\\"\r\n", &strong, false },
                { "If-Range: W/\"a,\\\"\r\n", &weak, false },
                { "If-Range: \"a,\\\", \"b\"\r\n", &strong, false },
                { "If-Range: \"a\"\r\n", &untagged, false },
                { "If-Range: *\r\n", &strong, false },
                { "If-Range: " THEN "\r\n", &strong, true },
                { "If-Range: " THEN "\r\n", &weak, false },
                { "If-Range: " AFTER "\r\n", &strong, false },
                { "If-Range: " BEFORE "\r\n", &strong, false },
                { "If-Range:\r\n", &strong, false },
        };

        for (size_t i = 0; i < ELEMENTS(rows); i++)
                if (http_range_is_current(request_with(rows[i].fields), rows[i].validators,
                                          NOW_SEC) != rows[i].expected)
                        fail_msg("%s", rows[i].fields);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(caches_get_304_for_what_they_have),
                cmocka_unit_test(other_versions_get_412),
                cmocka_unit_test(ranges_hold_for_the_same_version_only),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
