/* SPDX-License-Identifier: MIT */
#include "ctl/ctl-options.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define PARSE(...) parse((char *[]){ (char *)"emberctl", __VA_ARGS__, NULL })

static struct ctl_options o;
static char fault[CTL_FAULT_BYTES];

static int parse(char **argv) {
        int argc = 0;

        while (argv[argc])
                argc++;
        o = (struct ctl_options){};
        return ctl_options_parse(argc, argv, fault, &o);
}

/* A verb, and where to ask. */
static void verbs(void **state) {
        assert_int_equal(PARSE("reload"), 0);
        assert_int_equal(o.action, CTL_ASK);
        assert_int_equal(o.word_count, 1);
        assert_string_equal(o.words[0], "reload");
        assert_int_equal(PARSE("--socket", "/a", "status"), 0);
        assert_string_equal(o.socket, "/a");
        assert_int_equal(PARSE("--instance=127.0.0.1:80", "status"), 0);
        assert_string_equal(o.instance, "127.0.0.1:80");
        assert_int_equal(PARSE("-h"), 0);
        assert_int_equal(o.action, CTL_HELP);
        assert_int_equal(PARSE("--version"), 0);
        assert_int_equal(o.action, CTL_VERSION);
}

static void assert_fault(int r, const char *what) {
        assert_int_equal(r, -EINVAL);
        if (!strstr(fault, what) || !strstr(fault, "emberctl --help"))
                fail_msg("'%s' does not say '%s'", fault, what);
}

/* Each mistake is named, before anybody is asked. */
static void faults(void **state) {
        assert_fault(parse((char *[]){ (char *)"emberctl", NULL }), "reload or status");
        assert_fault(PARSE("relaod"), "'relaod' is not known");
        assert_fault(PARSE("reload", "now"), "'now' is one");
        assert_fault(PARSE(""), "is not known");
        assert_fault(PARSE("-x", "reload"), "unknown option '-x'");
        assert_fault(PARSE("--sock-et", "reload"), "unknown option '--sock-et'");
        assert_fault(PARSE("--socket"), "needs an argument");
        assert_fault(PARSE("--help=x"), "takes no argument");
        assert_fault(PARSE("--socket=/a", "--instance=b", "reload"), "not both");
        assert_fault(PARSE("--instance=", "reload"), "--instance takes");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(verbs),
                cmocka_unit_test(faults),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
