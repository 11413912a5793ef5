/* SPDX-License-Identifier: MIT */
#include "handlers/media-types.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static void assert_type(const char *name, const char *type) {
        char found[MEDIA_TYPE_BYTES_MAX + 1];

        for (int i = 0; i < 2; i++) { /* searched for, and remembered */
                assert_int_equal(media_type_of(text_of(name), i == 0, found), 0);
                if (strcmp(found, type) != 0)
                        fail_msg("%s is %s, not %s", name, found, type);
        }
}

/* Each test begins with the built-in table alone. */
static int forget_system_table(void **state) {
        media_types_use(TEXT("\n"));
        return 0;
}

/* A machine without /etc/mime.types must still show pages as pages. */
static void built_in_table_knows_the_web(void **state) {
        assert_type("index.html", "text/html; charset=utf-8");
        assert_type("/a.b/style.css", "text/css; charset=utf-8");
        assert_type("app.js", "text/javascript; charset=utf-8");
        assert_type("data.json", "application/json");
        assert_type("x.svg", "image/svg+xml");
        assert_type("a.7z", "application/x-7z-compressed"); /* the first and the last row */
        assert_type("a.zst", "application/zstd");
        assert_type("a.woff2", "font/woff2");
}

/* Names come from strangers: odd ones must give a type too, and not read past their end. */
static void odd_names_have_a_type(void **state) {
        static const char *const names[] = {
                "",
                ".",
                "..",
                "/",
                "a/",
                "README",
                ".html",
                "/a/.html",
                "a.",
                "a.b/c",
                "a.html/",
                "x.\xff\xff",
                "x.aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        };

        for (size_t i = 0; i < ELEMENTS(names); i++)
                assert_type(names[i], "application/octet-stream");
        assert_type("a.tar.GZ", "application/gzip");
        assert_type("PHOTO.JPG", "image/jpeg");
}

/* The administrator's table decides; what it does not name is still known. */
static void system_table_goes_first(void **state) {
        static const char lines[] = "# text/none html\n"
                                    "\n"
                                    "application/xhtml+xml\thtml xht # css\r\n"
                                    "text/x-late html\n"
                                    "text/xml   xml\n"
                                    "text/x-own; charset=latin1 own\n"
                                    "text/bad\x01type ctl\n"
                                    "nonsense non\n"
                                    "text/x-Upper UP\n"
                                    "application/empty";

        media_types_use(TEXT(lines));
        assert_type("a.html", "application/xhtml+xml");
        assert_type("a.xht", "application/xhtml+xml");
        assert_type("a.css", "text/css; charset=utf-8");
        assert_type("a.xml", "text/xml");
        assert_type("a.ctl", "application/octet-stream");
        assert_type("a.non", "application/octet-stream");
        assert_type("a.up", "text/x-Upper; charset=utf-8");
        assert_type("a.json", "application/json");
}

/* A page, its style and its pictures do not wait for a thread; made-up extensions do. */
static void few_are_searched_at_once(void **state) {
        char type[MEDIA_TYPE_BYTES_MAX + 1], name[32];
        unsigned at_once = 0;

        media_types_use(TEXT("text/x-own html\n"));
        assert_int_equal(media_type_of(TEXT("a.html"), false, type), 0);
        assert_string_equal(type, "text/x-own; charset=utf-8");
        for (unsigned i = 0; i < 100; i++) {
                snprintf(name, sizeof(name), "a.e%u", i);
                at_once += media_type_of(text_of(name), false, type) == 0;
        }
        assert_in_range(at_once, 1, 20);
        assert_int_equal(media_type_of(TEXT("a.unheard"), false, type), -EAGAIN);
        assert_int_equal(media_type_of(TEXT("none"), false, type), 0);
        assert_type("a.unheard", MEDIA_TYPE_UNKNOWN);
        assert_int_equal(media_type_of(TEXT("b.UNHEARD"), false, type), 0);
}

/* The real file, which may be there and in memory, or not: what is said at once is what is so. */
static void at_once_is_the_same(void **state) {
        char at_once[MEDIA_TYPE_BYTES_MAX + 1], type[MEDIA_TYPE_BYTES_MAX + 1];
        int r = media_type_of(TEXT("a.png"), false, at_once);

        if (r == -EAGAIN)
                skip();
        assert_int_equal(r, 0);
        media_types_use((struct text){});
        assert_int_equal(media_type_of(TEXT("a.png"), true, type), 0);
        assert_string_equal(at_once, type);
}

/* Whoever may upload files may make up extensions: the table does not grow, answers stay right. */
static void more_extensions_than_room(void **state) {
        char name[32];

        for (unsigned i = 0; i < 2000; i++) {
                char type[MEDIA_TYPE_BYTES_MAX + 1];

                snprintf(name, sizeof(name), "a.e%u", i);
                assert_int_equal(media_type_of(text_of(name), true, type), 0);
                assert_string_equal(type, MEDIA_TYPE_UNKNOWN);
        }
        for (unsigned i = 0; i < 10; i++) {
                char type[MEDIA_TYPE_BYTES_MAX + 1];

                assert_int_equal(media_type_of(TEXT("a.html"), true, type), 0);
                assert_string_equal(type, "text/html; charset=utf-8");
        }
}

static void *ask_for_all(void *data) {
        char name[32], type[MEDIA_TYPE_BYTES_MAX + 1];

        for (unsigned i = 0; i < 3000; i++) {
                snprintf(name, sizeof(name), "a.%s%u", i % 3 ? "e" : "html", i % 3 ? i % 50 : 0);
                if (media_type_of(text_of(name), true, type) < 0 ||
                    strcmp(type, i % 3 ? MEDIA_TYPE_UNKNOWN : "text/x-zero; charset=utf-8") != 0)
                        return data;
        }
        return NULL;
}

/* All workers and the pool's threads share what is remembered, without a lock. */
static void threads_share_what_is_remembered(void **state) {
        pthread_t threads[4];
        void *wrong = NULL;

        media_types_use(TEXT("text/x-zero html0\n"));
        for (size_t i = 0; i < ELEMENTS(threads); i++)
                assert_int_equal(pthread_create(&threads[i], NULL, ask_for_all, threads), 0);
        for (size_t i = 0; i < ELEMENTS(threads); i++) {
                assert_int_equal(pthread_join(threads[i], &wrong), 0);
                assert_null(wrong);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup(built_in_table_knows_the_web, forget_system_table),
                cmocka_unit_test_setup(odd_names_have_a_type, forget_system_table),
                cmocka_unit_test_setup(system_table_goes_first, forget_system_table),
                cmocka_unit_test_setup(few_are_searched_at_once, forget_system_table),
                cmocka_unit_test_setup(at_once_is_the_same, forget_system_table),
                cmocka_unit_test_setup(more_extensions_than_room, forget_system_table),
                cmocka_unit_test_setup(threads_share_what_is_remembered, forget_system_table),
        };
        int failed = cmocka_run_group_tests(tests, NULL, NULL);

        media_types_use((struct text){});
        return failed;
}
