/* SPDX-License-Identifier: MIT */
#include "loop/loop-backend.h"

#include <errno.h>
#include <stdlib.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static struct loop_buffers buffers_of(unsigned least, unsigned most, unsigned bytes) {
        struct loop_options options = {
                .buffers_min = least,
                .buffers_max = most,
                .buffer_bytes = bytes,
        };
        struct loop_buffers b;

        assert_int_equal(loop_buffers_init(&b, &options), 0);
        return b;
}

/* Ids run over slabs of growing size: every buffer must have memory of its own. */
static void buffers_do_not_overlap(void **state) {
        static const unsigned firsts[] = { 1, 3, 4, 32 };

        for (size_t f = 0; f < ELEMENTS(firsts); f++) {
                struct loop_buffers b = buffers_of(firsts[f], 1000, 64);
                uint32_t id, count = 0;

                while (loop_buffers_take(&b, &id) == 0) {
                        assert_true(id < 1000);
                        memset(loop_buffer_data(&b, id), (int)id, 64);
                        count++;
                }
                assert_int_equal(count, 1000);
                assert_int_equal(b.count, 1000);
                for (id = 0; id < count; id++)
                        for (unsigned i = 0; i < 64; i++)
                                assert_int_equal(loop_buffer_data(&b, id)[i], (char)id);
                for (id = 0; id < count; id++)
                        loop_buffers_give(&b, id);
                loop_buffers_finish(&b);
        }
}

/* The bound is one, and a full pool says so without allocating. */
static void bound_is_kept(void **state) {
        struct loop_buffers b = buffers_of(4, 4, 64);
        uint32_t ids[4], id;

        for (unsigned i = 0; i < 4; i++)
                assert_int_equal(loop_buffers_take(&b, &ids[i]), 0);
        assert_int_equal(loop_buffers_take(&b, &id), -ENOBUFS);
        assert_int_equal(loop_buffers_grow(&b), -ENOBUFS);
        loop_buffers_give(&b, ids[2]);
        assert_int_equal(loop_buffers_take(&b, &id), 0);
        assert_int_equal(id, ids[2]);
        loop_buffers_finish(&b);
}

/* Warm memory is used again before cold: a quiet server touches one buffer only. */
static void last_given_is_taken_first(void **state) {
        struct loop_buffers b = buffers_of(32, 64, 64);
        uint32_t a, c;

        assert_int_equal(loop_buffers_take(&b, &a), 0);
        assert_int_equal(a, 0);
        assert_int_equal(loop_buffers_take(&b, &c), 0);
        loop_buffers_give(&b, c);
        loop_buffers_give(&b, a);
        assert_int_equal(loop_buffers_take(&b, &c), 0);
        assert_int_equal(c, a);
        loop_buffers_finish(&b);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(buffers_do_not_overlap),
                cmocka_unit_test(bound_is_kept),
                cmocka_unit_test(last_given_is_taken_first),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
