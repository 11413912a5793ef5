/* SPDX-License-Identifier: MIT */
#include "http/status.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/* The line is cut into its parts by fixed offsets; every status must come out of it right. */
static void lines_and_reasons_agree(void **state) {
        char scratch[HTTP_STATUS_LINE_BYTES];

        for (unsigned status = 100; status <= 999; status++) {
                struct text line = http_status_line(status, scratch);
                struct text reason = http_status_reason(status);
                uint64_t number;

                assert_true(line.size < HTTP_STATUS_LINE_BYTES);
                assert_true(text_starts_with(line, TEXT("HTTP/1.1 ")));
                assert_int_equal(text_to_u64((struct text){ line.data + 9, 3 }, &number), 0);
                assert_int_equal(number, status);
                assert_true(text_ends_with(line, TEXT("\r\n")));
                assert_true(reason.size > 0 && reason.size == line.size - 15);
                assert_memory_equal(line.data + 13, reason.data, reason.size);
        }
}

/* Clients treat an unknown status as the first of its class (RFC 9110, 15); its reason says so. */
static void nameless_statuses_have_their_class_reason(void **state) {
        char scratch[HTTP_STATUS_LINE_BYTES];

        assert_true(text_equal(http_status_reason(404), TEXT("Not Found")));
        assert_true(text_equal(http_status_reason(499), TEXT("Bad Request")));
        assert_true(text_equal(http_status_line(299, scratch), TEXT("HTTP/1.1 299 OK\r\n")));
        assert_true(text_equal(http_status_line(431, scratch),
                               TEXT("HTTP/1.1 431 Request Header Fields Too Large\r\n")));
        assert_true(text_equal(http_status_reason(777), TEXT("Internal Server Error")));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(lines_and_reasons_agree),
                cmocka_unit_test(nameless_statuses_have_their_class_reason),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
