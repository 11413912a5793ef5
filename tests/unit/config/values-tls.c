/* SPDX-License-Identifier: MIT */
#include "config/values.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void assert_hsts(const char *text, const char *expected, const char *printed) {
        _cleanup_(buffer_finish)
        struct buffer again = {};
        char out[HSTS_BYTES_MAX], twice[HSTS_BYTES_MAX];

        assert_null(value_hsts(text_of(text), out));
        assert_string_equal(out, expected);
        assert_int_equal(value_hsts_print(out, &again), 0);
        assert_true(text_equal(buffer_text(&again), text_of(printed)));
        assert_null(value_hsts(buffer_text(&again), twice));
        assert_string_equal(twice, expected);
}

/* What goes into every answer is as RFC 6797, 6.1 writes it, and is read again as it is printed. */
static void hsts_is_a_time_and_two_words(void **state) {
        assert_hsts("365d", "max-age=31536000", "31536000");
        assert_hsts("0", "max-age=0", "0");
        assert_hsts("1d 12h", "max-age=129600", "129600");
        assert_hsts("1h includeSubDomains", "max-age=3600; includeSubDomains",
                    "3600 includeSubDomains");
        assert_hsts("730d\tINCLUDESUBDOMAINS  preload",
                    "max-age=63072000; includeSubDomains; preload",
                    "63072000 includeSubDomains preload");
        assert_hsts("1d preload", "max-age=86400; preload", "86400 preload");
        assert_hsts("3650d includeSubDomains preload",
                    "max-age=315360000; includeSubDomains; preload",
                    "315360000 includeSubDomains preload");
}

/* A browser keeps what it was told for as long as it was told: mistakes must not get there. */
static void broken_hsts_is_refused(void **state) {
        static const char *const bad[] = {
                "",
                "includeSubDomains",
                "preload",
                "1d subdomains",
                "includeSubDomains 1d",
                "1d x",
                "-1",
                "11y",
                "1d; preload",
                "99999999999999999999",
                "1 2 3x",
        };
        char out[HSTS_BYTES_MAX];

        for (size_t i = 0; i < ELEMENTS(bad); i++)
                assert_non_null(value_hsts(text_of(bad[i]), out));
}

/* A path, or a name below the folder that systemd gives: never out of it. */
static void files_are_paths_or_credentials(void **state) {
        static const char *const bad[] = {
                "",
                "relative.pem",
                "credential",
                "credential:",
                "credential:a/b",
                "credential:../a",
                "credential:.",
                "credential:..",
                "credential:/etc/shadow",
                "Credential:a",
        };
        char out[1024], name[300];

        assert_null(value_file(TEXT("/etc/emberd/a.pem"), out));
        assert_string_equal(out, "/etc/emberd/a.pem");
        assert_null(value_file(TEXT("credential:example.org.key"), out));
        assert_string_equal(out, "credential:example.org.key");
        for (size_t i = 0; i < ELEMENTS(bad); i++)
                assert_non_null(value_file(text_of(bad[i]), out));
        memset(name, 'a', sizeof(name));
        memcpy(name, "credential:", 11);
        assert_null(value_file((struct text){ name, 11 + 255 }, out));
        assert_int_equal(strlen(out), 11 + 255);
        assert_non_null(value_file((struct text){ name, 11 + 256 }, out));
}

/* Whether there is such a cipher is OpenSSL's to know; what can be none is told at once. */
static void ciphers_are_a_list_of_names(void **state) {
        assert_null(value_ciphers_fault(TEXT("ECDHE-ECDSA-AES128-GCM-SHA256:HIGH:!aNULL")));
        assert_null(value_ciphers_fault(TEXT("ALL:@SECLEVEL=2:+AES")));
        assert_non_null(value_ciphers_fault(TEXT("A B")));
        assert_non_null(value_ciphers_fault(TEXT("A,B")));
        assert_non_null(value_ciphers_fault(TEXT("A;B")));
        assert_non_null(value_ciphers_fault(TEXT("\xc3\xa9")));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(hsts_is_a_time_and_two_words),
                cmocka_unit_test(broken_hsts_is_refused),
                cmocka_unit_test(files_are_paths_or_credentials),
                cmocka_unit_test(ciphers_are_a_list_of_names),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
