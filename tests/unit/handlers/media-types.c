/* SPDX-License-Identifier: MIT */
#include "handlers/media-types.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void assert_type(const char *name, const char *type) {
        struct text found = media_type_of(text_of(name));

        if (!text_equal(found, text_of(type)))
                fail_msg("%s is %.*s, not %s", name, TEXT_ARGS(found), type);
}

/* Each test begins with the built-in table alone. */
static int forget_system_table(void **state) {
        media_type_of(TEXT("x")); /* the system's is read once, here */
        return media_types_use(NULL, 0);
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
        assert_true(media_types_are_read());
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

        assert_int_equal(media_types_use(lines, sizeof(lines) - 1), 0);
        assert_type("a.html", "application/xhtml+xml");
        assert_type("a.xht", "application/xhtml+xml");
        assert_type("a.css", "text/css; charset=utf-8");
        assert_type("a.xml", "text/xml");
        assert_type("a.ctl", "application/octet-stream");
        assert_type("a.non", "application/octet-stream");
        assert_type("a.up", "text/x-Upper; charset=utf-8");
        assert_type("a.json", "application/json");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup(built_in_table_knows_the_web, forget_system_table),
                cmocka_unit_test_setup(odd_names_have_a_type, forget_system_table),
                cmocka_unit_test_setup(system_table_goes_first, forget_system_table),
        };
        int failed = cmocka_run_group_tests(tests, NULL, NULL);

        media_types_use(NULL, 0);
        return failed;
}
