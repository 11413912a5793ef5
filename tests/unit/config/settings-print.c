/* SPDX-License-Identifier: MIT */
#include "config/settings.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "settings-fixture.h"

static char *print(const struct settings *s) {
        struct buffer b = {};

        assert_int_equal(settings_print(s, &b), 0);
        assert_int_equal(buffer_append(&b, "", 1), 0);
        return b.data;
}

static void assert_same_text(const char *a, const char *b) {
        if (a && b)
                assert_string_equal(a, b);
        else
                assert_true(!a && !b);
}

static void assert_same_list(char *const *a, char *const *b) {
        do
                assert_same_text(*a, *b);
        while (*a++ && *b++);
}

static void assert_same_site(const struct settings_site *a, const struct settings_site *b) {
        assert_string_equal(a->name, b->name);
        assert_same_list(a->aliases, b->aliases);
        assert_int_equal(a->is_default, b->is_default);
        assert_int_equal(a->route_count, b->route_count);
        for (size_t i = 0; i < a->route_count; i++) {
                const struct settings_route *x = &a->routes[i], *y = &b->routes[i];

                assert_string_equal(x->prefix, y->prefix);
                assert_int_equal(x->handler, y->handler);
                assert_same_text(x->root, y->root);
                assert_same_list(x->index, y->index);
                assert_int_equal(x->status, y->status);
                assert_same_text(x->target, y->target);
        }
}

static void assert_same(const struct settings *a, const struct settings *b) {
        assert_string_equal(a->backend, b->backend);
        assert_int_equal(a->trigger, b->trigger);
        assert_int_equal(a->workers, b->workers);
        assert_same_text(a->user, b->user);
        assert_true(a->idle_exit_usec == b->idle_exit_usec && a->drain_usec == b->drain_usec);
        assert_int_equal(a->access_log, b->access_log);
        assert_same_text(a->access_log_path, b->access_log_path);
        assert_true(a->head_bytes_max == b->head_bytes_max);
        assert_true(a->body_bytes_max == b->body_bytes_max);
        assert_true(a->head_timeout_usec == b->head_timeout_usec);
        assert_true(a->body_timeout_usec == b->body_timeout_usec);
        assert_true(a->keep_alive_usec == b->keep_alive_usec);
        assert_true(a->send_timeout_usec == b->send_timeout_usec);
        assert_int_equal(a->connections_max, b->connections_max);
        assert_int_equal(a->listener_count, b->listener_count);
        for (size_t i = 0; i < a->listener_count; i++) {
                assert_string_equal(a->listeners[i].name, b->listeners[i].name);
                assert_same_text(a->listeners[i].address, b->listeners[i].address);
        }
        assert_int_equal(a->site_count, b->site_count);
        for (size_t i = 0; i < a->site_count; i++)
                assert_same_site(&a->sites[i], &b->sites[i]);
}

static void assert_round_trip(const char *file) {
        struct settings *a = load_good(file), *b;
        char *first = print(a), *second;

        b = load_good(first);
        assert_same(a, b);
        second = print(b);
        assert_string_equal(first, second);
        settings_unref(a);
        settings_unref(b);
        free(first);
        free(second);
}

/* --print-config is used to make a settings file: it must mean the same. */
static void what_is_printed_gives_the_same_settings(void **state) {
        assert_round_trip("");
        assert_round_trip("[Server]\nBackend=epoll\nEpollTrigger=level\nWorkers=2\nUser=www-data\n"
                          "IdleExitSec=1500ms\nDrainSec=7\nAccessLog=/var/log/x y\n"
                          "HeadBytesMax=1025\nBodyBytesMax=0\nKeepAliveSec=10500us\n"
                          "ConnectionsMax=5\nListen=80 [::]:443 unix:/run/x vsock:1\n"
                          "[Listener http]\n[Listener b]\nAddress=127.0.0.1:99\n");
        assert_round_trip("[Server]\nAccessLog=off\n[Site a.org]\nRoot=/srv/a b\nIndex=\n"
                          "Aliases=*.a.org b.org\n[Route a.org /x y/]\nReturn=200 a  = # b\n"
                          "[Route a.org /r]\nRedirect=308 https://x.org/?a=b\n"
                          "[Site c.org]\nRoot=/c\nIndex=i j\n[Route c.org /]\nReturn=503\n"
                          "[Route c.org /k/]\nRoot=/k\\\\\n[Route c.org /l/]\nRoot=/l\nIndex=m\n"
                          "[Site [2001:db8::1]]\nRoot=/v6\n");
}

/* Lines have a limit, so a long list goes on in further ones. */
static void long_lists_are_printed_in_lines(void **state) {
        struct buffer b = {};

        buffer_printf(&b, "[Site a.org]\nRoot=/a\n");
        for (int i = 0; i < 4000; i++)
                buffer_printf(&b, "Aliases=a-name-of-some-length-%d.example.org\n", i);
        assert_int_equal(buffer_append(&b, "", 1), 0);
        assert_round_trip(b.data);
        buffer_finish(&b);
}

/* Everything is said, so that the file does not depend on the defaults of a version. */
static void defaults_are_printed_too(void **state) {
        struct settings *s = load_good("");
        char *text = print(s);

        for (size_t i = 0; settings_row_at(i); i++) {
                const struct settings_row *row = settings_row_at(i);
                char line[128];

                if (strcmp(row->section, "Server") != 0)
                        continue;
                snprintf(line, sizeof(line), "\n%s=%s\n", row->key, row->initial);
                assert_non_null(strstr(text, line));
        }
        settings_unref(s);
        free(text);
}

/* The manual is made from these rows: none may be empty, and a sentence ends in a full stop. */
static void rows_are_whole(void **state) {
        for (size_t i = 0; settings_row_at(i); i++) {
                const struct settings_row *row = settings_row_at(i);

                assert_true(row->key[0] && row->form[0] && row->section[0]);
                assert_true(text_ends_with(text_of(row->meaning), TEXT(".")));
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(what_is_printed_gives_the_same_settings),
                cmocka_unit_test(long_lists_are_printed_in_lines),
                cmocka_unit_test(defaults_are_printed_too),
                cmocka_unit_test(rows_are_whole),
        };

        return cmocka_run_group_tests(tests, enter_folder, leave_folder);
}
