/* SPDX-License-Identifier: MIT */
#include "base/pool.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/* What is kept for reuse goes at once when memory is scarce; what somebody uses stays his. */
static void trim_frees_what_is_kept(void **state) {
        struct pool p;
        char *one, *two;

        pool_init(&p, 64, 8);
        one = pool_take(&p);
        two = pool_take(&p);
        assert_true(one && two);
        pool_give(&p, one);
        pool_trim(&p);
        assert_int_equal(p.kept, 0);
        assert_null(p.free_blocks);
        assert_int_equal(p.lent, 1);
        two[63] = 1;
        pool_give(&p, two);
        pool_trim(&p);
        pool_trim(&p);
        one = pool_take(&p);
        assert_non_null(one);
        pool_give(&p, one);
        pool_finish(&p);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(trim_frees_what_is_kept),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
