/* SPDX-License-Identifier: MIT */
#include "site.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "handlers/files-cache.h"
#include "handlers/files-open.h"

/* Allocations of the code under test are counted by wrapping them; the chosen one fails. */
static unsigned allocations, failing;

void *__real_malloc(size_t bytes);
void *__wrap_malloc(size_t bytes);
void *__real_calloc(size_t count, size_t bytes);
void *__wrap_calloc(size_t count, size_t bytes);
void *__real_realloc(void *old, size_t bytes);
void *__wrap_realloc(void *old, size_t bytes);

static bool is_refused(void) {
        return ++allocations == failing;
}

void *__wrap_malloc(size_t bytes) {
        return is_refused() ? NULL : __real_malloc(bytes);
}

void *__wrap_calloc(size_t count, size_t bytes) {
        return is_refused() ? NULL : __real_calloc(count, bytes);
}

void *__wrap_realloc(void *old, size_t bytes) {
        return is_refused() ? NULL : __real_realloc(old, bytes);
}

static void fail_none(void) {
        failing = 0;
}

static void fail_nth(unsigned nth) {
        allocations = 0;
        failing = nth;
}

static struct asked a;

static int open_site(void **state, bool openat2) {
        static struct site s;

        files_open_allow_openat2(openat2);
        fail_none();
        site_open(&s, NULL);
        tree_write(&s.tree, "x.txt", TEXT("bytes"));
        tree_folder(&s.tree, "folder");
        tree_link(&s.tree, "folder/../x.txt", "link");
        *state = &s;
        return 0;
}

static int setup(void **state) {
        return open_site(state, true);
}

static int setup_without_openat2(void **state) {
        return open_site(state, false);
}

static int teardown(void **state) {
        fail_none();
        asked_finish(&a);
        site_close(*state);
        files_open_allow_openat2(true);
        return 0;
}

/* Begin with nothing kept, as after a reload, and with the nth allocation failing. */
static unsigned ask_failing(struct site *s, const char *target, const char *fields, unsigned nth) {
        fail_none();
        files_cache_drop(s->worker.files);
        site_reload(s);
        asked_finish(&a);
        fail_nth(nth);
        ask_begin(s, &a, "GET", target, fields);
        for (unsigned i = 0; i < 100 && !a.answered; i++)
                site_turn(s);
        fail_none();
        ask_end(&a, 100);
        return a.x.status;
}

/* Memory that runs out costs the request that needed it, and nothing else. */
static void each_allocation_may_fail(void **state) {
        static const char *const rows[][2] = {
                { "/x.txt", NULL },
                { "/link", NULL },
                { "/folder", NULL },
                { "/missing", NULL },
                { "/x.txt", "Range: bytes=1-2\r\n" },
        };
        static const unsigned expected[] = { 200, 200, 301, 404, 206 };

        for (size_t i = 0; i < ELEMENTS(rows); i++) {
                unsigned refused = 0;

                for (unsigned nth = 1; nth < 30; nth++) {
                        unsigned status = ask_failing(*state, rows[i][0], rows[i][1], nth);

                        refused += status == 503;
                        if (status != 503 && status != expected[i])
                                fail_msg("%s, allocation %u: %u", rows[i][0], nth, status);
                }
                assert_true(refused > 0);
                assert_int_equal(ask_failing(*state, rows[i][0], rows[i][1], 0), expected[i]);
        }
}

/* Settings are read by the main thread; what fails there is told, not fatal. */
static void routes_and_caches_may_fail(void **state) {
        struct site *s = *state;
        struct handler_route route;
        struct files_cache *cache;
        char reason[HANDLER_REASON_BYTES];

        for (unsigned nth = 1; nth < 10; nth++) {
                int r;

                fail_nth(nth);
                r = handler_route_prepare(&route, &s->settings, reason);
                fail_none();
                assert_true(r == 0 || r == -ENOMEM);
                assert_true(r == 0 || strstr(reason, "Cannot allocate memory"));
                handler_route_finish(&route);
        }
        fail_nth(1);
        assert_int_equal(files_cache_new(s->loop, 1000, &cache), -ENOMEM);
        fail_none();
        assert_null(files_cache_free(NULL));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(each_allocation_may_fail, setup, teardown),
                { "each_allocation_may_fail without openat2", each_allocation_may_fail,
                  setup_without_openat2, teardown, NULL },
                cmocka_unit_test_setup_teardown(routes_and_caches_may_fail, setup, teardown),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
