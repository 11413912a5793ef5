/* SPDX-License-Identifier: MIT */
#include "server/listeners.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/* Whether clients come by TLS: the section's word, and without a section that of the name. */

static struct settings *load(char **options) {
        _cleanup_(buffer_finish)
        struct buffer faults = {};
        struct settings_sources sources = { .options = options };
        struct settings *s = NULL;

        assert_int_equal(settings_load(&sources, &faults, &s), 0);
        return s;
}

static void assert_tls(char **options, const char *name, bool has_section, bool tls) {
        _cleanup_(settings_unrefp)
        struct settings *s = load(options);
        struct listener l = { .name = (char *)name };

        assert_int_equal(listener_has_section(&l, s), has_section);
        assert_int_equal(listener_is_tls(&l, s), tls);
}

/* What systemd calls "https" is meant for TLS; nothing else is without a word. */
static void the_name_decides_without_a_section(void **state) {
        char *none[] = { NULL };

        assert_tls(none, "https", false, true);
        assert_tls(none, "http", false, false);
        assert_tls(none, "https2", false, false);
        assert_tls(none, "HTTPS", false, false);
        assert_tls(none, "443", false, false);
}

/* A section says it, also of names that mean something else by themselves. */
static void the_section_decides(void **state) {
        char *options[] = {
                (char *)"Site a.Root=/",
                (char *)"Site a.Certificate=/a.pem",
                (char *)"Listener https.TLS=no",
                (char *)"Listener http.TLS=yes",
                (char *)"Listener api.Address=8443",
                NULL,
        };

        assert_tls(options, "https", true, false);
        assert_tls(options, "http", true, true);
        assert_tls(options, "api", true, false);
        assert_tls(options, "other", false, false);
}

/* A section that says something else leaves it to the name. */
static void a_section_without_a_word(void **state) {
        char *options[] = { (char *)"Listener https.Address=8443",
                            (char *)"Listener http.Address=8080", NULL };

        assert_tls(options, "https", true, true);
        assert_tls(options, "http", true, false);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(the_name_decides_without_a_section),
                cmocka_unit_test(the_section_decides),
                cmocka_unit_test(a_section_without_a_word),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
