/* SPDX-License-Identifier: MIT */
#include "systemd/unit-names.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "systemd/unit-files.h"

/* A name becomes part of a path, so what is no name of a unit must not get that far. */
static void valid_names(void **state) {
        char longest[UNIT_NAME_BYTES_MAX + 2];

        assert_true(unit_name_is_valid("emberd.socket"));
        assert_true(unit_name_is_valid("emberd@.socket"));
        assert_true(unit_name_is_valid("emberd@127.0.0.1:8081.socket"));
        assert_true(unit_name_is_valid("emberd@run-x\\x2dy.socket"));
        assert_true(unit_name_is_valid("-.mount"));
        assert_false(unit_name_is_valid(""));
        assert_false(unit_name_is_valid("emberd"));
        assert_false(unit_name_is_valid("emberd."));
        assert_false(unit_name_is_valid(".socket"));
        assert_false(unit_name_is_valid("@a.socket"));
        assert_false(unit_name_is_valid("../x.socket"));
        assert_false(unit_name_is_valid("a b.socket"));
        assert_false(unit_name_is_valid("a\n.socket"));
        assert_false(unit_name_is_valid("a.b@c"));
        memset(longest, 'a', sizeof(longest));
        strcpy(longest + sizeof(longest) - 8, ".socket");
        assert_false(unit_name_is_valid(longest));
        assert_true(unit_name_is_valid(longest + 1));
}

static void templates(void **state) {
        char out[UNIT_NAME_BYTES_MAX + 1];

        assert_true(unit_name_is_template("a@.socket"));
        assert_false(unit_name_is_template("a@b.socket"));
        assert_false(unit_name_is_template("a.socket"));
        assert_true(unit_name_template("a@b@c.d.socket", out));
        assert_string_equal(out, "a@.socket");
        assert_false(unit_name_template("a@.socket", out));
        assert_false(unit_name_template("a.socket", out));
}

static void assert_wider(const char *name, const char *expected) {
        char all[1024] = "", one[UNIT_NAME_BYTES_MAX + 1];

        for (unsigned n = 0; unit_name_wider(name, n, one); n++) {
                strcat(all, one);
                strcat(all, " ");
        }
        assert_string_equal(all, expected);
}

/* Drop-ins of a whole family of units stand in folders of wider names (systemd.unit(5)). */
static void wider_names(void **state) {
        assert_wider("a.socket", "a.socket ");
        assert_wider("a-b-c.socket", "a-b-c.socket a-b-.socket a-.socket ");
        assert_wider("a-b@i-j.socket", "a-b@i-j.socket a-b@.socket a-@i-j.socket a-@.socket ");
        assert_wider("a-b@.socket", "a-b@.socket a-@.socket ");
        assert_wider("-.mount", "-.mount ");
}

static void assert_expands(const char *name, char specifier, const char *expected) {
        _cleanup_(buffer_finish)
        struct buffer b = {};

        if (!expected) {
                assert_int_equal(unit_name_specifier(name, specifier, &b), -EINVAL);
                return;
        }
        assert_int_equal(unit_name_specifier(name, specifier, &b), 0);
        assert_int_equal(buffer_append(&b, "", 1), 0);
        assert_string_equal(b.data, expected);
}

/* What instances are for: their port, address or path stands in their name. */
static void specifiers(void **state) {
        assert_expands("emberd@8080.socket", 'i', "8080");
        assert_expands("emberd@8080.socket", 'I', "8080");
        assert_expands("emberd@-run-a\\x2db.socket", 'i', "-run-a\\x2db");
        assert_expands("emberd@-run-a\\x2db.socket", 'I', "/run/a-b");
        assert_expands("emberd@run-x.socket", 'f', "/run/x");
        assert_expands("emberd.socket", 'i', "");
        assert_expands("a-b@c.socket", 'p', "a-b");
        assert_expands("a-b@c.socket", 'P', "a/b");
        assert_expands("a-b@c.socket", 'j', "b");
        assert_expands("a-b@c.socket", 'n', "a-b@c.socket");
        assert_expands("a-b@c.socket", 'N', "a-b@c");
        assert_expands("a.socket", '%', "%");
        assert_expands("a.socket", 't', "/run");
        assert_expands("a.socket", 'L', "/var/log");
        assert_expands("a.socket", 'b', NULL);
        assert_expands("a.socket", '\0', NULL);
        assert_expands("a@\\x0a.socket", 'I', NULL);
        assert_expands("a@\\xzz.socket", 'I', NULL);
        assert_expands("a@\\x2.socket", 'I', NULL);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(valid_names),
                cmocka_unit_test(templates),
                cmocka_unit_test(wider_names),
                cmocka_unit_test(specifiers),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
