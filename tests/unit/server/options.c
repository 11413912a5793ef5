/* SPDX-License-Identifier: MIT */
#include "server/options.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define ARGUMENTS_MAX 16

/* Parse "emberd" with these arguments; the strings must outlive the options. */
static int parse(struct options *o, char *fault, const char *const *arguments) {
        char *argv[ARGUMENTS_MAX + 2] = { "emberd" };
        int argc = 1;

        while (arguments[argc - 1]) {
                argv[argc] = (char *)arguments[argc - 1];
                argc++;
        }
        return options_parse(argc, argv, fault, o);
}
#define PARSE(o, fault, ...) parse(o, fault, (const char *const[]){ __VA_ARGS__, NULL })

static void assert_usage(const char *expected, const char *const *arguments) {
        char fault[OPTIONS_FAULT_BYTES];
        struct options o;

        assert_int_equal(parse(&o, fault, arguments), -EINVAL);
        assert_non_null(strstr(fault, expected));
        assert_non_null(strstr(fault, "; try 'emberd --help'"));
        assert_null(strchr(fault, '\n'));
}
#define ASSERT_USAGE(expected, ...) \
        assert_usage(expected, (const char *const[]){ __VA_ARGS__, NULL })

/* Typed alone, emberd serves by the settings file that need not exist. */
static void nothing_means_the_default_file(void **state) {
        char fault[OPTIONS_FAULT_BYTES];
        struct options o;

        assert_int_equal(parse(&o, fault, (const char *const[]){ NULL }), 0);
        assert_int_equal(o.action, OPTIONS_SERVE);
        assert_string_equal(o.file, EMBERD_SETTINGS_FILE);
        assert_false(o.file_given);
        assert_false(o.listen_given);
        assert_null(o.directory);
        assert_int_equal(o.log_level, LOG_LEVEL_INFO);
        assert_int_equal(o.setting_count, 0);
        options_finish(&o);
}

/* `emberd .` must not depend on what a package put into /etc, unless it is asked for. */
static void a_directory_leaves_the_default_file_out(void **state) {
        char fault[OPTIONS_FAULT_BYTES];
        struct options o;

        assert_int_equal(PARSE(&o, fault, "."), 0);
        assert_string_equal(o.directory, ".");
        assert_null(o.file);
        options_finish(&o);
        assert_int_equal(PARSE(&o, fault, ".", "-c", "/x.conf"), 0);
        assert_string_equal(o.file, "/x.conf");
        assert_true(o.file_given);
        options_finish(&o);
}

/* What stands later wins, so the order of options is the order of the settings. */
static void options_become_settings_in_order(void **state) {
        char fault[OPTIONS_FAULT_BYTES];
        struct options o;

        assert_int_equal(PARSE(&o, fault, "-l8080", "-o", "Site example.org.Root=/srv", "--backend",
                               "epoll", "-w", "auto", "--listen=[::1]:81"),
                         0);
        assert_int_equal(o.setting_count, 5);
        assert_string_equal(o.settings[0], "Server.Listen=8080");
        assert_string_equal(o.settings[1], "Site example.org.Root=/srv");
        assert_string_equal(o.settings[2], "Server.Backend=epoll");
        assert_string_equal(o.settings[3], "Server.Workers=auto");
        assert_string_equal(o.settings[4], "Server.Listen=[::1]:81");
        assert_null(o.settings[5]);
        assert_true(o.listen_given);
        options_finish(&o);
}

/* Each of these ends without serving; a script that uses one must get that one. */
static void actions_are_told_apart(void **state) {
        static const struct {
                const char *argument;
                enum options_action action;
        } all[] = {
                { "--check", OPTIONS_CHECK },       { "--print-config", OPTIONS_PRINT_CONFIG },
                { "--backends", OPTIONS_BACKENDS }, { "-h", OPTIONS_HELP },
                { "--help", OPTIONS_HELP },         { "-V", OPTIONS_VERSION },
                { "--version", OPTIONS_VERSION },
        };
        char fault[OPTIONS_FAULT_BYTES];
        struct options o;

        for (size_t i = 0; i < ELEMENTS(all); i++) {
                assert_int_equal(PARSE(&o, fault, all[i].argument), 0);
                assert_int_equal(o.action, all[i].action);
                options_finish(&o);
        }
}

/* The log is what an administrator turns up when something is wrong: all its levels must work. */
static void log_levels_have_names(void **state) {
        char fault[OPTIONS_FAULT_BYTES];
        struct options o;

        assert_int_equal(PARSE(&o, fault, "--log-level=debug"), 0);
        assert_int_equal(o.log_level, LOG_LEVEL_DEBUG);
        options_finish(&o);
        assert_int_equal(PARSE(&o, fault, "--log-level", "error"), 0);
        assert_int_equal(o.log_level, LOG_LEVEL_ERROR);
        options_finish(&o);
}

/* Wrong usage is told in one line that names what is wrong. */
static void wrong_usage_is_named(void **state) {
        ASSERT_USAGE("unknown option '--frobnicate'", "--frobnicate");
        ASSERT_USAGE("unknown option '-x'", "-x");
        ASSERT_USAGE("unknown option '-x'", "-hx");
        ASSERT_USAGE("option '--config' needs an argument", "--config");
        ASSERT_USAGE("option '-o' needs an argument", "-o");
        ASSERT_USAGE("option '--check=yes' takes no argument", "--check=yes");
        ASSERT_USAGE("'/b' is a second one", "/a", "/b");
        ASSERT_USAGE("'loud'", "--log-level", "loud");
        ASSERT_USAGE("'Server.Workers'", "-o", "Server.Workers");
        ASSERT_USAGE("'Workers=1'", "-o", "Workers=1");
        ASSERT_USAGE("'Root=/a.b'", "-o", "Root=/a.b");
        ASSERT_USAGE("DIRECTORY is empty", "");
}

/* A folder may be called anything, "-h" too. */
static void two_dashes_end_the_options(void **state) {
        char fault[OPTIONS_FAULT_BYTES];
        struct options o;

        assert_int_equal(PARSE(&o, fault, "--", "-h"), 0);
        assert_int_equal(o.action, OPTIONS_SERVE);
        assert_string_equal(o.directory, "-h");
        options_finish(&o);
}

/* A terminal has 80 columns, and every line of the help must be whole on it. */
static void help_fits_a_terminal(void **state) {
        struct text rest = text_of(options_help()), line;

        while (text_next_word(&rest, "\n", &line))
                assert_in_range(line.size, 1, 80);
}

/* A report of a bug begins with this. */
static void version_says_what_was_built_in(void **state) {
        struct buffer b = {};

        assert_int_equal(options_version(&b), 0);
        assert_int_equal(buffer_append(&b, "", 1), 0);
        assert_non_null(strstr(b.data, "emberd " EMBERD_VERSION "\n"));
        assert_non_null(strstr(b.data, "backends: "));
        assert_non_null(strstr(b.data, "libsystemd: "));
        assert_non_null(strstr(b.data, "\nmodules: "));
        buffer_finish(&b);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(nothing_means_the_default_file),
                cmocka_unit_test(a_directory_leaves_the_default_file_out),
                cmocka_unit_test(options_become_settings_in_order),
                cmocka_unit_test(actions_are_told_apart),
                cmocka_unit_test(log_levels_have_names),
                cmocka_unit_test(wrong_usage_is_named),
                cmocka_unit_test(two_dashes_end_the_options),
                cmocka_unit_test(help_fits_a_terminal),
                cmocka_unit_test(version_says_what_was_built_in),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
