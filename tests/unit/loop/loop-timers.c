/* SPDX-License-Identifier: MIT */
#include "loop/loop-backend.h"

#include <stdlib.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static struct loop_wheel wheel;
static uint64_t now_usec;
static unsigned fired_count;

struct item {
        struct loop_timer timer;
        uint64_t fired_usec;
        unsigned fired;
        struct item *other; /* cleared, or set again, when this one fires */
        uint64_t other_usec;
};

static void on_fired(struct loop_timer *timer) {
        struct item *i = container_of(timer, struct item, timer);

        assert_true(now_usec >= timer->deadline_usec);
        i->fired++;
        i->fired_usec = now_usec;
        fired_count++;
        if (i->other && i->other_usec)
                loop_wheel_set(&wheel, &i->other->timer, i->other_usec);
        else if (i->other)
                loop_timer_clear(&i->other->timer);
}

static struct item item_new(void) {
        return (struct item){ .timer.fired = on_fired };
}

static void wheel_begin(uint64_t start_usec) {
        now_usec = start_usec;
        fired_count = 0;
        loop_wheel_init(&wheel, now_usec);
}

/* Go to where the wheel wants to be looked at, as a loop does; gives the number of wakes. */
static unsigned run_until(uint64_t end_usec) {
        unsigned wakes = 0;

        for (;;) {
                uint64_t next = loop_wheel_next_usec(&wheel);

                if (next > end_usec)
                        break;
                now_usec = MAX(now_usec, next);
                loop_wheel_run(&wheel, now_usec);
                assert_true(++wakes < 100000);
        }
        now_usec = MAX(now_usec, end_usec);
        loop_wheel_run(&wheel, now_usec);
        return wakes;
}

/* The promise: never early and at most a tick late, at every distance and from every start. */
static void every_distance_is_on_time(void **state) {
        static const uint64_t starts[] = { 0,
                                           7999,
                                           8000,
                                           UINT64_C(64) * 8000 - 1,
                                           UINT64_C(4096) * 8000 - 1,
                                           UINT64_C(16777216) * 8000 - 5,
                                           UINT64_C(1) << 50 };

        for (size_t s = 0; s < ELEMENTS(starts); s++) {
                for (uint64_t distance = 0; distance < UINT64_C(400) * 3600 * USEC_PER_SEC;
                     distance = distance * 5 / 4 + 777) {
                        struct item i = item_new();

                        wheel_begin(starts[s]);
                        loop_wheel_set(&wheel, &i.timer, now_usec + distance);
                        run_until(starts[s] + distance + LOOP_TICK_USEC);
                        assert_int_equal(i.fired, 1);
                        assert_true(i.fired_usec >= starts[s] + distance);
                        assert_true(i.fired_usec < starts[s] + distance + LOOP_TICK_USEC);
                }
        }
}

/* Many at random, moved and cleared at random, against the plain truth of each one's deadline. */
static void random_timers_keep_their_deadlines(void **state) {
        enum { COUNT = 500, STEPS = 20000 };
        static struct item items[COUNT];
        unsigned seed = 7;

        wheel_begin(123456789);
        for (unsigned i = 0; i < COUNT; i++)
                items[i] = item_new();
        for (unsigned step = 0; step < STEPS; step++) {
                struct item *i = &items[(unsigned)rand_r(&seed) % COUNT];
                uint64_t far = UINT64_C(1) << (unsigned)rand_r(&seed) % 32;

                if (rand_r(&seed) % 8 == 0)
                        loop_timer_clear(&i->timer);
                else
                        loop_wheel_set(&wheel, &i->timer, now_usec + (unsigned)rand_r(&seed) % far);
                now_usec += (unsigned)rand_r(&seed) % 20000;
                loop_wheel_run(&wheel, now_usec);
                for (unsigned k = 0; k < COUNT; k++) {
                        struct item *c = &items[k];

                        if (loop_timer_is_set(&c->timer))
                                assert_true(c->timer.deadline_usec + LOOP_TICK_USEC > now_usec);
                }
        }
        for (unsigned i = 0; i < COUNT; i++)
                loop_timer_clear(&items[i].timer);
        assert_true(loop_wheel_next_usec(&wheel) == USEC_INFINITY);
}

/*
 * A kept-alive connection moves its deadline with every request: the wheel may not wake for each.
 */
static void moving_later_costs_no_wakes(void **state) {
        struct item i = item_new();
        unsigned wakes = 0;

        wheel_begin(1000000);
        for (unsigned n = 0; n < 1000; n++) {
                loop_wheel_set(&wheel, &i.timer, now_usec + 75 * USEC_PER_SEC);
                wakes += run_until(now_usec + 20 * USEC_PER_MSEC);
        }
        assert_int_equal(i.fired, 0);
        assert_true(wakes < 5);
        wakes = run_until(now_usec + 80 * USEC_PER_SEC);
        assert_int_equal(i.fired, 1);
        assert_true(wakes <= 8);
}

/* Owners free themselves in `fired`, and clear or set others that are due at the same tick. */
static void others_are_cleared_and_set_from_fired(void **state) {
        struct item a = item_new(), b = item_new(), c = item_new(), d = item_new();

        wheel_begin(1000000);
        a.other = &b;
        c.other = &d;
        c.other_usec = 1;
        loop_wheel_set(&wheel, &a.timer, now_usec + 100);
        loop_wheel_set(&wheel, &b.timer, now_usec + 100);
        loop_wheel_set(&wheel, &c.timer, now_usec + 100);
        run_until(now_usec + 20000);
        assert_int_equal(a.fired, 1);
        assert_int_equal(b.fired, 0);
        assert_int_equal(c.fired, 1);
        assert_int_equal(d.fired, 1);
}

/* Ten thousand clients that time out together may not stop a loop for all of them. */
static void one_run_fires_a_bounded_number(void **state) {
        enum { COUNT = 1000 };
        static struct item items[COUNT];

        wheel_begin(5000000);
        for (unsigned i = 0; i < COUNT; i++) {
                items[i] = item_new();
                loop_wheel_set(&wheel, &items[i].timer, now_usec + 10000);
        }
        now_usec += 100000;
        for (unsigned n = 1; n <= 3; n++) {
                loop_wheel_run(&wheel, now_usec);
                assert_int_equal(fired_count, n * LOOP_TIMERS_MAX);
                assert_true(loop_wheel_next_usec(&wheel) <= now_usec);
        }
        loop_wheel_run(&wheel, now_usec);
        assert_int_equal(fired_count, COUNT);
        for (unsigned i = 0; i < COUNT; i++)
                assert_int_equal(items[i].fired, 1);
        assert_true(loop_wheel_next_usec(&wheel) == USEC_INFINITY);
}

/* "Never" is a deadline too. */
static void infinity_never_comes(void **state) {
        struct item i = item_new();

        wheel_begin(1000000);
        loop_wheel_set(&wheel, &i.timer, USEC_INFINITY);
        run_until(now_usec + UINT64_C(1000) * 3600 * USEC_PER_SEC);
        assert_int_equal(i.fired, 0);
        assert_true(loop_timer_is_set(&i.timer));
        loop_timer_clear(&i.timer);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(every_distance_is_on_time),
                cmocka_unit_test(random_timers_keep_their_deadlines),
                cmocka_unit_test(moving_later_costs_no_wakes),
                cmocka_unit_test(others_are_cleared_and_set_from_fired),
                cmocka_unit_test(one_run_fires_a_bounded_number),
                cmocka_unit_test(infinity_never_comes),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
