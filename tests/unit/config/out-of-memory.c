/* SPDX-License-Identifier: MIT */
/*
 * The linker puts the functions below before malloc() and its kind, so that each allocation of a
 * load can be made to fail in its turn.
 */
#include "config/settings.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "settings-fixture.h"

static long allocations_left = -1; /* negative: no end to them */

static bool may_allocate(void) {
        if (allocations_left < 0)
                return true;
        return allocations_left-- > 0 || (allocations_left = 0);
}

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *data, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *data, size_t size);

void *__wrap_malloc(size_t size) {
        return may_allocate() ? __real_malloc(size) : NULL;
}
void *__wrap_calloc(size_t count, size_t size) {
        return may_allocate() ? __real_calloc(count, size) : NULL;
}
void *__wrap_realloc(void *data, size_t size) {
        return may_allocate() ? __real_realloc(data, size) : NULL;
}

/* With n allocations: -ENOMEM and nothing leaked, or the outcome that there is with enough. */
static void fail_each_in_turn(const char *file, int expected) {
        char *options[] = { "Server.Workers=2", "Site z.org.Root=/z", NULL };
        struct settings_sources sources = { .file = "f", .directory = "d", .options = options };
        int r = -ENOMEM;

        write_file("f", text_of(file));
        for (long n = 0; r == -ENOMEM; n++) {
                struct settings *s = NULL;
                struct buffer faults = {}, text = {};

                assert_true(n < 10000);
                allocations_left = n;
                r = settings_load(&sources, &faults, &s);
                if (r == 0)
                        r = settings_print(s, &text);
                allocations_left = -1;
                settings_unref(s);
                buffer_finish(&faults);
                buffer_finish(&text);
        }
        assert_int_equal(r, expected);
}

/* A reload when memory is short must keep the old settings, so no failure may crash or leak. */
static void each_allocation_may_fail(void **state) {
        struct buffer b = {};

        buffer_printf(&b, "[Server]\nListen=80 81 82 83\nAccessLog=/x\\\ny\n[Listener a]\n"
                          "Address=90\n");
        for (int i = 0; i < 100; i++)
                buffer_printf(&b,
                              "[Site s%d.org]\nRoot=/srv/%d\nAliases=a%d.org b%d.org\n"
                              "[Route s%d.org /x]\nReturn=404 text\n"
                              "[Route s%d.org /y]\nRedirect=301 /z\n",
                              i, i, i, i, i, i);
        assert_int_equal(buffer_append(&b, "", 1), 0);
        fail_each_in_turn(b.data, 0);
        buffer_finish(&b);
}

/* Faults are text on the heap as well. */
static void each_allocation_of_a_fault_may_fail(void **state) {
        fail_each_in_turn("[Server]\nDrainSec=900d\nRoot=/\nWorkrs=1\n[Site a.org]\n[Site b.org]\n"
                          "Aliases=a.org\n",
                          -EBADMSG);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(each_allocation_may_fail),
                cmocka_unit_test(each_allocation_of_a_fault_may_fail),
        };

        return cmocka_run_group_tests(tests, enter_folder, leave_folder);
}
