/* SPDX-License-Identifier: MIT */
#include "control/control-path.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

/* systemd gives a list when a unit has several folders; the socket is in the first. */
static void first_of_the_list(void **state) {
        char path[CONTROL_PATH_BYTES];

        assert_int_equal(control_path("/run/a", path), 0);
        assert_string_equal(path, "/run/a/control.sock");
        assert_int_equal(control_path("/run/a:/run/b", path), 0);
        assert_string_equal(path, "/run/a/control.sock");
        assert_int_equal(control_path(NULL, path), -ENOENT);
        assert_int_equal(control_path("", path), -ENOENT);
        assert_int_equal(control_path("::", path), -ENOENT);
}

/* An instance named by an address has ":" in its folder, which systemd does not escape. */
static void colon_in_a_name(void **state) {
        char folder[] = "/tmp/emberd-control-XXXXXX", name[64], path[CONTROL_PATH_BYTES],
             expected[CONTROL_PATH_BYTES];

        assert_non_null(mkdtemp(folder));
        snprintf(name, sizeof(name), "%s/a:b", folder);
        assert_int_equal(mkdir(name, 0700), 0);
        snprintf(expected, sizeof(expected), "%s/control.sock", name);
        assert_int_equal(control_path(name, path), 0);
        assert_string_equal(path, expected);
        rmdir(name);
        snprintf(expected, sizeof(expected), "%s/a/control.sock", folder);
        assert_int_equal(control_path(name, path), 0);
        assert_string_equal(path, expected);
        rmdir(folder);
}

/* The kernel's limit of a socket's path is short; a cut one would be another's. */
static void too_long(void **state) {
        char folder[CONTROL_PATH_BYTES + 8], path[CONTROL_PATH_BYTES];
        size_t most = CONTROL_PATH_BYTES - sizeof("/control.sock");

        memset(folder, 'x', sizeof(folder));
        folder[0] = '/';
        assert_int_equal(control_path_in((struct text){ folder, most }, path), 0);
        assert_int_equal(strlen(path), CONTROL_PATH_BYTES - 1);
        assert_int_equal(control_path_in((struct text){ folder, most + 1 }, path), -ENAMETOOLONG);
        folder[most + 1] = '\0';
        assert_int_equal(control_path(folder, path), -ENAMETOOLONG);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(first_of_the_list),
                cmocka_unit_test(colon_in_a_name),
                cmocka_unit_test(too_long),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
