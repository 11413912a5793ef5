/* SPDX-License-Identifier: MIT */
/*
 * The linker puts the functions below before malloc() and its kind, so that each allocation can be
 * made to fail in its turn.
 */
#include "systemd/socket-units.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "units-fixture.h"

static long allocations_left = -1; /* negative: no end to them */

static bool may_allocate(void) {
        if (allocations_left < 0)
                return true;
        return allocations_left-- > 0 || (allocations_left = 0);
}

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *data, size_t size);
void *__real_reallocarray(void *data, size_t count, size_t size);
char *__real_strdup(const char *string);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *data, size_t size);
void *__wrap_reallocarray(void *data, size_t count, size_t size);
char *__wrap_strdup(const char *string);

void *__wrap_malloc(size_t size) {
        return may_allocate() ? __real_malloc(size) : NULL;
}
void *__wrap_calloc(size_t count, size_t size) {
        return may_allocate() ? __real_calloc(count, size) : NULL;
}
void *__wrap_realloc(void *data, size_t size) {
        return may_allocate() ? __real_realloc(data, size) : NULL;
}
void *__wrap_reallocarray(void *data, size_t count, size_t size) {
        return may_allocate() ? __real_reallocarray(data, count, size) : NULL;
}
char *__wrap_strdup(const char *string) {
        return may_allocate() ? __real_strdup(string) : NULL;
}

/* With n allocations: -ENOMEM and nothing leaked, or all sockets that there are with enough. */
static void each_allocation_may_fail(void **state) {
        struct socket_query query = { root, "/f", "/f" };
        int r = -ENOMEM;

        put(USR "a@.service", "[Unit]\nRequires=a@%i.socket\n"
                              "[Service]\nExecStart=/usr/sbin/emberd\n");
        put(USR "a@.socket", "[Socket]\nListenStream=%I\nListenStream=/run/%N\nListenStream=1\n");
        put(ETC "a@.socket.d/1.conf", "[Socket]\nListenStream=2\\\n\nFileDescriptorName=x\n");
        put_link(ETC "sockets.target.wants/a@80.socket", "a@.socket");
        put_link(ETC "sockets.target.wants/a@81.socket", "a@.socket");
        put(USR "b.socket", "[Socket]\nListenStream=3\nService=a@80.service\n");
        put_link(USR "c.socket", "b.socket");
        for (long n = 0; r == -ENOMEM; n++) {
                struct socket_units units;

                assert_true(n < 10000);
                allocations_left = n;
                r = socket_units_read(&query, &units);
                allocations_left = -1;
                if (r == 0) {
                        assert_int_equal(units.count, 3);
                        assert_int_equal(units.enabled_count, 2);
                        assert_int_equal(units.service_count, 2);
                }
                socket_units_finish(&units);
        }
        assert_int_equal(r, 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(each_allocation_may_fail, make_root, remove_root),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
