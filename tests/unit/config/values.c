/* SPDX-License-Identifier: MIT */
#include "config/values.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static void assert_time(const char *text, uint64_t expected) {
        uint64_t usec = 0;

        assert_int_equal(value_time(text_of(text), &usec), 0);
        assert_true(usec == expected);
}

/* Administrators know these forms from unit files, and expect the same times. */
static void times_as_in_systemd(void **state) {
        assert_time("0", 0);
        assert_time("90", 90 * USEC_PER_SEC);
        assert_time("1.5", 1500 * USEC_PER_MSEC);
        assert_time("500ms", 500 * USEC_PER_MSEC);
        assert_time("5min", 300 * USEC_PER_SEC);
        assert_time("5 min", 300 * USEC_PER_SEC);
        assert_time("1h 30s", 3630 * USEC_PER_SEC);
        assert_time("1h30s", 3630 * USEC_PER_SEC);
        assert_time("2d", 172800 * USEC_PER_SEC);
        assert_time("1w", 604800 * USEC_PER_SEC);
        assert_time("0.25ms", 250);
        assert_time("7us", 7);
}

/* A time that is not understood must never become another one. */
static void broken_times_are_refused(void **state) {
        static const char *const bad[] = { "",      "s",   "-1",  "+1",       "1x",   "1.s", ".5",
                                           "1 h x", "1,5", "1e3", "infinity", "1..5", "0x10" };
        uint64_t usec = 7;

        for (size_t i = 0; i < ELEMENTS(bad); i++)
                assert_int_equal(value_time(text_of(bad[i]), &usec), -EINVAL);
        assert_int_equal(value_time(TEXT("99999999999999999999"), &usec), -ERANGE);
        assert_int_equal(value_time(TEXT("18446744073709551615"), &usec), -ERANGE);
        assert_int_equal(value_time(TEXT("18446744073709551615us 1us"), &usec), -ERANGE);
        assert_true(usec == 7);
}

/* Sizes are powers of 1024, as everywhere in systemd. */
static void sizes_take_units(void **state) {
        uint64_t n = 0;

        assert_int_equal(value_bytes(TEXT("0"), &n), 0);
        assert_true(n == 0);
        assert_int_equal(value_bytes(TEXT("4096"), &n), 0);
        assert_true(n == 4096);
        assert_int_equal(value_bytes(TEXT("16K"), &n), 0);
        assert_true(n == 16384);
        assert_int_equal(value_bytes(TEXT("3G"), &n), 0);
        assert_true(n == UINT64_C(3) << 30);
        assert_int_equal(value_bytes(TEXT("17179869184G"), &n), -ERANGE);
        assert_int_equal(value_bytes(TEXT("K"), &n), -EINVAL);
        assert_int_equal(value_bytes(TEXT("1 K"), &n), -EINVAL);
        assert_int_equal(value_bytes(TEXT("1k"), &n), -EINVAL);
        assert_int_equal(value_bytes(TEXT("-1"), &n), -EINVAL);
        assert_int_equal(value_bytes(TEXT(""), &n), -EINVAL);
}

/* --print-config must give what is read again as the same value. */
static void times_and_sizes_are_printed_as_they_are_read(void **state) {
        static const uint64_t numbers[] = { 0,    1,       999,     1000,    1024,
                                            1536, 1000000, 1500000, 1 << 20, UINT64_C(5) << 30 };

        for (size_t i = 0; i < ELEMENTS(numbers); i++) {
                struct buffer time = {}, bytes = {};
                uint64_t n = 1;

                assert_int_equal(value_time_print(numbers[i], &time), 0);
                assert_int_equal(value_time(buffer_text(&time), &n), 0);
                assert_true(n == numbers[i]);
                assert_int_equal(value_bytes_print(numbers[i], &bytes), 0);
                assert_int_equal(value_bytes(buffer_text(&bytes), &n), 0);
                assert_true(n == numbers[i]);
                buffer_finish(&time);
                buffer_finish(&bytes);
        }
}

/* A wrong address would otherwise be told by the kernel, in words that help nobody. */
static void addresses_have_five_forms(void **state) {
        static const char *const good[] = { "1",        "65535",        "127.0.0.1:80",
                                            "[::]:443", "[::1]:8080",   "unix:/run/x.sock",
                                            "vsock:80", "0.0.0.0:8080", "vsock:4294967294" };
        static const char *const bad[] = { "",
                                           "0",
                                           "65536",
                                           "http",
                                           "80 ",
                                           ":80",
                                           "::1:80",
                                           "[::1]",
                                           "[::1]:",
                                           "[]:80",
                                           "1.2.3:80",
                                           "[1.2.3.4]:80",
                                           "unix:",
                                           "unix:/",
                                           "unix:x",
                                           "vsock:",
                                           "vsock:0",
                                           "vsock:-1",
                                           "vsock:4294967295",
                                           "localhost:80",
                                           "1.2.3.4:0",
                                           "1.2.3.4:99999",
                                           "-80",
                                           "80:",
                                           "[::1]x:80",
                                           "unix:@x" };
        char path[6 + UNIX_PATH_BYTES_MAX + 1];

        for (size_t i = 0; i < ELEMENTS(good); i++)
                assert_null(value_address_fault(text_of(good[i])));
        for (size_t i = 0; i < ELEMENTS(bad); i++)
                assert_non_null(value_address_fault(text_of(bad[i])));
        memset(path, 'x', sizeof(path));
        memcpy(path, "unix:/", 6);
        assert_null(value_address_fault((struct text){ path, 5 + UNIX_PATH_BYTES_MAX }));
        assert_non_null(value_address_fault((struct text){ path, 5 + UNIX_PATH_BYTES_MAX + 1 }));
}

static void assert_host(const char *text, const char *expected) {
        char host[HOST_BYTES_MAX + 1];

        assert_null(value_host(text_of(text), true, host));
        assert_string_equal(host, expected);
}

/* Names from settings are compared byte for byte with names from requests. */
static void hosts_have_one_form(void **state) {
        assert_host("Example.ORG", "example.org");
        assert_host("example.org.", "example.org");
        assert_host("*.Example.org", "*.example.org");
        assert_host("xn--bcher-kva.example", "xn--bcher-kva.example");
        assert_host("a_b.example", "a_b.example");
        assert_host("192.0.2.1", "192.0.2.1");
        assert_host("[2001:DB8:0::1]", "[2001:db8::1]");
}

/* A name that no request can have would be a Site that is never found. */
static void impossible_hosts_are_refused(void **state) {
        static const char *const bad[] = { "",
                                           ".",
                                           "..",
                                           "a..b",
                                           ".a",
                                           "a:80",
                                           "http://a",
                                           "a/b",
                                           "*",
                                           "*.",
                                           "a.*.b",
                                           "*a.example",
                                           "b\xc3\xbc.example",
                                           "a b",
                                           "[::1",
                                           "[x]",
                                           "[]",
                                           "a%b",
                                           "*.*.a" };
        char host[HOST_BYTES_MAX + 1], name[HOST_BYTES_MAX + 2];

        for (size_t i = 0; i < ELEMENTS(bad); i++)
                assert_non_null(value_host(text_of(bad[i]), true, host));
        assert_non_null(value_host(TEXT("*.example.org"), false, host));
        memset(name, 'a', sizeof(name));
        assert_null(value_host((struct text){ name, 63 }, false, host));
        assert_non_null(value_host((struct text){ name, 64 }, false, host));
        for (size_t i = 50; i < sizeof(name); i += 50)
                name[i] = '.';
        assert_null(value_host((struct text){ name, HOST_BYTES_MAX }, false, host));
        assert_non_null(value_host((struct text){ name, HOST_BYTES_MAX + 1 }, false, host));
}

/* "/srv" and "/srv/./" are one folder, and a relative one depends on where emberd was started. */
static void paths_are_absolute_and_plain(void **state) {
        char out[64];

        assert_null(value_path(TEXT("/srv//www/./x/"), out));
        assert_string_equal(out, "/srv/www/x");
        assert_null(value_path(TEXT("/"), out));
        assert_string_equal(out, "/");
        assert_null(value_path(TEXT("/./."), out));
        assert_string_equal(out, "/");
        assert_null(value_path(TEXT("/a/../b"), out)); /* may be a symbolic link: the kernel's */
        assert_string_equal(out, "/a/../b");
        assert_non_null(value_path(TEXT("srv"), out));
        assert_non_null(value_path(TEXT("./srv"), out));
        assert_non_null(value_path(TEXT(""), out));
}

/* A Route is compared with a path that is decoded and resolved. */
static void prefixes_are_as_resolved_paths(void **state) {
        assert_null(value_prefix_fault(TEXT("/")));
        assert_null(value_prefix_fault(TEXT("/api/")));
        assert_null(value_prefix_fault(TEXT("/a b/100%")));
        assert_non_null(value_prefix_fault(TEXT("")));
        assert_non_null(value_prefix_fault(TEXT("api")));
        assert_non_null(value_prefix_fault(TEXT("/a//b")));
        assert_non_null(value_prefix_fault(TEXT("/a/../b")));
        assert_non_null(value_prefix_fault(TEXT("/./b")));
        assert_non_null(value_prefix_fault(TEXT("/a?b")));
        assert_non_null(value_prefix_fault(TEXT("/a%20b")));
}

/* What goes into a Location field must be able to stand in one. */
static void locations_are_urls(void **state) {
        assert_null(value_location_fault(TEXT("https://example.org/x?y#z")));
        assert_null(value_location_fault(TEXT("/elsewhere")));
        assert_non_null(value_location_fault(TEXT("")));
        assert_non_null(value_location_fault(TEXT("example.org")));
        assert_non_null(value_location_fault(TEXT("ftp://example.org")));
        assert_non_null(value_location_fault(TEXT("/a b")));
        assert_non_null(value_location_fault(TEXT("/\xc3\xa9")));
}

/* The text behind a status may hold anything, the status is three digits alone. */
static void status_codes_have_three_digits(void **state) {
        unsigned status;
        struct text rest;

        assert_true(value_status(TEXT("404"), &status, &rest));
        assert_int_equal(status, 404);
        assert_int_equal(rest.size, 0);
        assert_true(value_status(TEXT("503  We are  down "), &status, &rest));
        assert_true(text_equal(rest, TEXT("We are  down")));
        assert_false(value_status(TEXT("4040"), &status, &rest));
        assert_false(value_status(TEXT("40"), &status, &rest));
        assert_false(value_status(TEXT("404x"), &status, &rest));
        assert_false(value_status(TEXT(""), &status, &rest));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(times_as_in_systemd),
                cmocka_unit_test(broken_times_are_refused),
                cmocka_unit_test(sizes_take_units),
                cmocka_unit_test(times_and_sizes_are_printed_as_they_are_read),
                cmocka_unit_test(addresses_have_five_forms),
                cmocka_unit_test(hosts_have_one_form),
                cmocka_unit_test(impossible_hosts_are_refused),
                cmocka_unit_test(paths_are_absolute_and_plain),
                cmocka_unit_test(prefixes_are_as_resolved_paths),
                cmocka_unit_test(locations_are_urls),
                cmocka_unit_test(status_codes_have_three_digits),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
