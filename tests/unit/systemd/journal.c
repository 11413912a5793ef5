/* SPDX-License-Identifier: MIT */
#include "systemd/journal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/fd.h"

/* An identifier without a text explains nothing, and a text without one is never shown. */
static void catalog_has_every_event(void **state) {
        char *catalog;
        size_t size, entries = 0;

        assert_int_equal(fd_read_file(CATALOG, 1 << 20, &catalog, &size), 0);
        for (char *at = catalog; (at = strstr(at, "\n-- ")); at++)
                entries++;
        for (enum log_event e = LOG_EVENT_NONE + 1; e < LOG_EVENT_COUNT; e++) {
                const char *id = journal_message_id(e);
                char line[64];

                assert_int_equal(strlen(id), 32);
                assert_int_equal(strspn(id, "0123456789abcdef"), 32);
                snprintf(line, sizeof(line), "\n-- %s\nSubject: ", id);
                assert_non_null(strstr(catalog, line));
        }
        assert_int_equal(entries, LOG_EVENT_COUNT - 1);
        free(catalog);
}

static void config_place(void **state) {
        static const struct {
                const char *line, *file, *number;
        } rows[] = {
                { "/etc/e.conf:7: unknown key", "/etc/e.conf", "7" },
                { "/a:b:12: c:3: d", "/a:b", "12" },
                { "/a:1:2: x", "/a:1", "2" },
                { "/a:12", NULL, NULL },
                { "/a:12:", NULL, NULL },
                { "/a: 12: x", NULL, NULL },
                { "/a:: x", NULL, NULL },
                { "command line: x:1: y", NULL, NULL },
                { "/", NULL, NULL },
                { "", NULL, NULL },
        };

        for (size_t i = 0; i < ELEMENTS(rows); i++) {
                struct text file, number;
                bool found = journal_config_place(text_of(rows[i].line), &file, &number);

                assert_int_equal(found, !!rows[i].file);
                if (!found)
                        continue;
                assert_true(text_equal(file, text_of(rows[i].file)));
                assert_true(text_equal(number, text_of(rows[i].number)));
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(catalog_has_every_event),
                cmocka_unit_test(config_place),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
