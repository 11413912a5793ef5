/* SPDX-License-Identifier: MIT */
#include "config/ini.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

/* One line for each item: "1:[Name]", "2:Key=Value", "3!" for a fault. */
static void assert_items(struct text data, const char *expected) {
        struct buffer b = {};
        struct ini_item item;
        struct ini ini;

        ini_init(&ini, data);
        do {
                assert_int_equal(ini_next(&ini, &item), 0);
                if (item.kind == INI_SECTION)
                        buffer_printf(&b, "%u:[%.*s]\n", item.line, TEXT_ARGS(item.name));
                else if (item.kind == INI_ASSIGNMENT)
                        buffer_printf(&b, "%u:%.*s=%.*s\n", item.line, TEXT_ARGS(item.name),
                                      TEXT_ARGS(item.value));
                else if (item.kind == INI_FAULT)
                        buffer_printf(&b, "%u!\n", item.line);
        } while (item.kind != INI_END);
        assert_int_equal(buffer_append(&b, "", 1), 0);
        assert_string_equal(b.data, expected);
        buffer_finish(&b);
        ini_finish(&ini);
}
#define ASSERT_ITEMS(data, expected) assert_items(TEXT(data), expected)

/* What every settings file is made of. */
static void sections_and_assignments(void **state) {
        ASSERT_ITEMS("[Server]\nWorkers=2\n\n[ Site  example.org ]\n  Root = /srv/a b \n",
                     "1:[Server]\n2:Workers=2\n4:[Site  example.org]\n5:Root=/srv/a b\n");
        ASSERT_ITEMS("Return=200 a=b", "1:Return=200 a=b\n");
        ASSERT_ITEMS("Listen=", "1:Listen=\n");
        ASSERT_ITEMS("", "");
        ASSERT_ITEMS("\n\n \t\n", "");
}

/* A URL's fragment, or a "# " within a text, must not be cut off. */
static void comments_only_at_the_start_of_a_line(void **state) {
        ASSERT_ITEMS("# a\n ; b=c\nk=v # not ; one\n", "3:k=v # not ; one\n");
}

/* Long lists are written on several lines; faults in them are told at the first. */
static void a_backslash_continues_a_line(void **state) {
        ASSERT_ITEMS("k=a\\\n  b \\\n# between\n; too\nc\nnext=1\n", "1:k=a   b  c\n6:next=1\n");
        ASSERT_ITEMS("k=a\\", "1:k=a\n");
        ASSERT_ITEMS("k=a\\\n", "1:k=a\n");
        ASSERT_ITEMS("k=a\\\n# end", "1:k=a\n");
}

/* A value may end in a backslash when it is doubled, as in systemd. */
static void two_backslashes_do_not_continue(void **state) {
        ASSERT_ITEMS("k=a\\\\\nl=b\n", "1:k=a\\\\\n2:l=b\n");
        ASSERT_ITEMS("k=a\\\\\\\nl=b\n", "1:k=a\\\\ l=b\n");
}

/* Files that were written on Windows are read as they were meant. */
static void windows_line_ends_and_byte_order_mark(void **state) {
        ASSERT_ITEMS("\xef\xbb\xbf[Server]\r\nk=v\r\nl=a\\\r\nb\r\n",
                     "1:[Server]\n2:k=v\n3:l=a b\n");
}

/* A faulty line is told, and those behind it are still read. */
static void faults_do_not_end_the_reading(void **state) {
        ASSERT_ITEMS("[a\nk\n=v\n[]\n[\n[ ]\n]\nx=1\n", "1!\n2!\n3!\n4!\n5!\n6!\n7!\n8:x=1\n");
}

/* Values become fields of HTTP and lines of logs: no byte may mean something there. */
static void control_characters_and_broken_utf8_are_faults(void **state) {
        ASSERT_ITEMS("a=\0\nb=\x01\nc=\x7f\nd=\x1b[0m\ne=a\rb\nf=\t1\t2\n",
                     "1!\n2!\n3!\n4!\n5!\n6:f=1\t2\n");
        ASSERT_ITEMS(
                "a=\xff\nb=\xc3\nc=\xc0\x80\nd=\xed\xa0\x80\ne=\xf5\x80\x80\x80\nf=\xe0\x80\x80\n",
                "1!\n2!\n3!\n4!\n5!\n6!\n");
        ASSERT_ITEMS("a=\xc3\xa9\xe2\x82\xac\xf0\x9f\x94\xa5\n",
                     "1:a=\xc3\xa9\xe2\x82\xac\xf0\x9f\x94\xa5\n");
}

/* The limit holds for what a line becomes, not for its pieces. */
static void long_lines_are_faults(void **state) {
        struct buffer b = {};

        for (int i = 0; i < 3; i++) {
                buffer_printf(&b, "k=");
                for (int j = 0; j < INI_LINE_BYTES_MAX / 8 - (i == 0); j++)
                        buffer_printf(&b, i == 2 && j % 1000 == 0 ? "12345678\\\n" : "12345678");
                buffer_printf(&b, "\n");
        }
        buffer_printf(&b, "x=1\n");
        assert_false(b.failed);
        {
                struct ini_item item;
                struct ini ini;

                ini_init(&ini, buffer_text(&b));
                assert_int_equal(ini_next(&ini, &item), 0);
                assert_int_equal(item.kind, INI_ASSIGNMENT);
                assert_int_equal(ini_next(&ini, &item), 0);
                assert_int_equal(item.kind, INI_FAULT);
                assert_int_equal(ini_next(&ini, &item), 0);
                assert_int_equal(item.kind, INI_FAULT);
                assert_int_equal(ini_next(&ini, &item), 0);
                assert_int_equal(item.kind, INI_ASSIGNMENT);
                ini_finish(&ini);
        }
        buffer_finish(&b);
}

/* Whatever the bytes, reading ends, and no byte outside is touched (the sanitizers watch). */
static void garbage_is_survived(void **state) {
        static const char alphabet[] = "[]=\\\n\n#; \t\r\0a\xc3\xa9\xff";

        for (unsigned seed = 1; seed <= 2000; seed++) {
                size_t size = seed % 97, items = 0;
                char *data = malloc(size + 1); /* of just this size, for the sanitizer */
                struct ini_item item;
                struct ini ini;
                unsigned random = seed;

                assert_non_null(data);
                for (size_t i = 0; i < size; i++) {
                        random = random * 1103515245 + 12345;
                        data[i] = alphabet[(random >> 16) % (sizeof(alphabet) - 1)];
                }
                data = realloc(data, size ? size : 1);
                assert_non_null(data);
                ini_init(&ini, (struct text){ data, size });
                do {
                        assert_int_equal(ini_next(&ini, &item), 0);
                        assert_true(items++ <= size);
                } while (item.kind != INI_END);
                ini_finish(&ini);
                free(data);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(sections_and_assignments),
                cmocka_unit_test(comments_only_at_the_start_of_a_line),
                cmocka_unit_test(a_backslash_continues_a_line),
                cmocka_unit_test(two_backslashes_do_not_continue),
                cmocka_unit_test(windows_line_ends_and_byte_order_mark),
                cmocka_unit_test(faults_do_not_end_the_reading),
                cmocka_unit_test(control_characters_and_broken_utf8_are_faults),
                cmocka_unit_test(long_lines_are_faults),
                cmocka_unit_test(garbage_is_survived),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
