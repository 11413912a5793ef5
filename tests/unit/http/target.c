/* SPDX-License-Identifier: MIT */
#include "http/target.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

/* In memory of just the size that the contract asks for, so that ASan sees one byte too many. */
static int resolve(struct text path, char **ret_out, size_t *ret_size) {
        char *out = malloc(path.size + 1);
        int r = http_path_resolve(path, out, ret_size);

        if (r < 0)
                free(out);
        else
                *ret_out = out;
        return r;
}

/* One file has one path here, whatever way it was written; and a folder is told by its slash. */
static void paths_are_resolved_to_one_form(void **state) {
        static const struct {
                const char *path, *resolved;
        } rows[] = {
                { "/", "/" },
                { "/a", "/a" },
                { "/a/", "/a/" },
                { "/.", "/" },
                { "/./", "/" },
                { "//", "/" },
                { "//a//b//", "/a/b/" },
                { "/a/.", "/a/" },
                { "/a/..", "/" },
                { "/a/../", "/" },
                { "/a/b/..", "/a/" },
                { "/a/b/../c", "/a/c" },
                { "/a/b/c/../../d", "/a/d" },
                { "/a/./b/./", "/a/b/" },
                { "/a//../b", "/b" },
                { "/...", "/..." },
                { "/..a/.b/c.", "/..a/.b/c." },
                { "/%61%2e%2E", "/a.." },
                { "/a/%2e%2e/b", "/b" },
                { "/a/.%2e/b", "/b" },
                { "/a/%2e/b", "/a/b" },
                { "/%25%32%66", "/%2f" },
                { "/a%20b%3F%23", "/a b?#" },
                { "/%C3%A9", "/\xc3\xa9" },
                { "/a\\..\\b", "/a\\..\\b" },
                { "/a;b=c/d", "/a;b=c/d" },
        };

        for (size_t i = 0; i < ELEMENTS(rows); i++) {
                size_t size;
                char *out = NULL;

                assert_int_equal(resolve(text_of(rows[i].path), &out, &size), 0);
                assert_string_equal(out, rows[i].resolved);
                assert_int_equal(size, strlen(out));
                free(out);
        }
}

/* Above the root there is nothing that anyone may ask for, not even on the way down again. */
static void nothing_leads_above_the_root(void **state) {
        static const char *const paths[] = {
                "/..",       "/../",    "/../a",  "/a/../..", "/a/../../a",
                "/%2e%2e/a", "/./../a", "//../a", "/.%2e",    "/a/b/../../../c",
        };
        size_t size = 77;
        char *out;

        for (size_t i = 0; i < ELEMENTS(paths); i++)
                assert_int_equal(resolve(text_of(paths[i]), &out, &size), -EPERM);
        assert_int_equal(size, 77);
}

/* An encoded slash or a NUL would mean one thing to the router and another to the kernel. */
static void what_two_readers_read_differently_is_refused(void **state) {
        static const struct text paths[] = {
                TEXT(""),      TEXT("a"),      TEXT("*"),     TEXT("/%"),     TEXT("/%4"),
                TEXT("/%4x"),  TEXT("/%x4"),   TEXT("/%2f"),  TEXT("/a%2Fb"), TEXT("/%00"),
                TEXT("/a\0b"), TEXT("/a%00b"), TEXT("/%%34"), TEXT("/% 4"),   TEXT("/%+4"),
        };
        size_t size;
        char *out;

        for (size_t i = 0; i < ELEMENTS(paths); i++)
                assert_int_equal(resolve(paths[i], &out, &size), -EINVAL);
}

/* A Location field made from a file's name must lead back to that file, and end no line. */
static void encoding_undoes_decoding(void **state) {
        struct text name = TEXT("/a b/\xc3\xa9%?#\r\n\"<>;=/c-d_e.f~");
        char encoded[128], *out = NULL;
        size_t size = http_path_encode(name, encoded), resolved;

        encoded[size] = '\0';
        assert_string_equal(encoded, "/a%20b/%C3%A9%25%3F%23%0D%0A%22%3C%3E;=/c-d_e.f~");
        assert_int_equal(resolve((struct text){ encoded, size }, &out, &resolved), 0);
        assert_true(text_equal((struct text){ out, resolved }, name));
        free(out);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(paths_are_resolved_to_one_form),
                cmocka_unit_test(nothing_leads_above_the_root),
                cmocka_unit_test(what_two_readers_read_differently_is_refused),
                cmocka_unit_test(encoding_undoes_decoding),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
