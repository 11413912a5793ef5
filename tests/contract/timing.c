/* SPDX-License-Identifier: MIT */
#include "harness.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* Timers, deferred work, messages from other threads, and work given to them. */

struct tracked_timer {
        struct loop_timer timer;
        struct loop *loop;
        unsigned fired, *order, at; /* `at`: which one it was */
        uint64_t fired_usec, again_usec;
};

static void on_fired(struct loop_timer *timer) {
        struct tracked_timer *t = container_of(timer, struct tracked_timer, timer);

        assert_int_equal(starting, 0);
        assert_false(loop_timer_is_set(timer));
        t->fired++;
        t->fired_usec = loop_now_usec(t->loop);
        t->at = t->order ? (*t->order)++ : 0;
        if (t->again_usec) {
                loop_timer_set(t->loop, timer, t->fired_usec + t->again_usec);
                t->again_usec = 0;
        }
}

static struct tracked_timer timer_of(struct fixture *f, unsigned *order) {
        return (struct tracked_timer){ .timer.fired = on_fired, .loop = f->loop, .order = order };
}

/* In order, never early, and at most a tick late where nothing else is to do. */
static void timers_fire_in_order(void **state) {
        struct fixture *f = *state;
        static const unsigned delays_msec[] = { 100, 30, 600, 1, 0, 60, 540 };
        struct tracked_timer t[ELEMENTS(delays_msec)];
        uint64_t start = loop_now_usec(f->loop);
        unsigned order = 0;

        for (size_t i = 0; i < ELEMENTS(t); i++) {
                t[i] = timer_of(f, &order);
                START(loop_timer_set(f->loop, &t[i].timer, start + delays_msec[i] * USEC_PER_MSEC));
        }
        RUN_UNTIL(f, order == ELEMENTS(t));
        for (size_t i = 0; i < ELEMENTS(t); i++) {
                uint64_t due = start + delays_msec[i] * USEC_PER_MSEC;

                assert_int_equal(t[i].fired, 1);
                assert_true(t[i].fired_usec >= due);
                assert_true(t[i].fired_usec < due + 60 * USEC_PER_MSEC);
                for (size_t k = 0; k < ELEMENTS(t); k++)
                        if (delays_msec[k] + 8 < delays_msec[i])
                                assert_true(t[k].at < t[i].at);
        }
}

/* A connection that lives on moves its deadline; a turn that waits for an event honours it. */
static void timer_is_moved_and_cleared(void **state) {
        struct fixture *f = *state;
        struct tracked_timer later = timer_of(f, NULL), sooner = later, never = later,
                             again = later;
        uint64_t start = loop_now_usec(f->loop);

        loop_timer_set(f->loop, &later.timer, start + 20 * USEC_PER_MSEC);
        loop_timer_set(f->loop, &later.timer, start + 120 * USEC_PER_MSEC);
        loop_timer_set(f->loop, &sooner.timer, start + 60 * USEC_PER_SEC);
        loop_timer_set(f->loop, &sooner.timer, start + 50 * USEC_PER_MSEC);
        loop_timer_set(f->loop, &never.timer, start + 10 * USEC_PER_MSEC);
        loop_timer_clear(&never.timer);
        loop_timer_clear(&never.timer);
        again.again_usec = 40 * USEC_PER_MSEC;
        loop_timer_set(f->loop, &again.timer, start + 10 * USEC_PER_MSEC);
        while (!later.fired) /* no deadline of the caller's: the timers' own is all there is */
                assert_int_equal(loop_turn(f->loop, USEC_INFINITY), 0);
        assert_true(later.fired_usec >= start + 120 * USEC_PER_MSEC);
        assert_int_equal(sooner.fired, 1);
        assert_true(sooner.fired_usec >= start + 50 * USEC_PER_MSEC);
        assert_true(sooner.fired_usec <= later.fired_usec);
        assert_int_equal(never.fired, 0);
        assert_int_equal(again.fired, 2);
}

enum { NO_FILTERS = 77 }; /* under qemu, which emulates only the processor */

/* Runs in a process of its own, whose epoll_pwait2(2) a filter forbids. */
static int milliseconds_child(void) {
        struct sock_filter code[] = {
                BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
                BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_epoll_pwait2, 0, 1),
                BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
                BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        };
        struct sock_fprog filter = { ELEMENTS(code), code };
        struct loop *loop;
        uint64_t start, turns;

        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
            prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) < 0)
                return NO_FILTERS;
        if (fixture_loop_new(NULL, &loop) < 0)
                return 1;
        start = loop_now_usec(loop);
        while (loop_now_usec(loop) < start + 20500)
                if (loop_turn(loop, start + 20500) < 0)
                        return 2;
        turns = counter_read(&loop_counters(loop)->turns);
        return turns > 3 ? 3 : 0; /* no busy loop over the last half millisecond */
}

/* Kernels before 5.11 have no epoll_pwait2(2), and some containers forbid it. */
static void wait_in_milliseconds(void **state) {
        pid_t child;
        int status;

        if (configuration->backend != &epoll_backend)
                return;
        child = fork();
        if (child == 0)
                _exit(milliseconds_child());
        assert_int_equal(waitpid(child, &status, 0), child);
        if (WIFEXITED(status) && WEXITSTATUS(status) == NO_FILTERS)
                skip();
        assert_int_equal(status, 0);
}

static void defer_again(struct tracked *t) {
        if (t->done < 5)
                loop_defer(t->owner, &t->op, tracked_done);
}

/* Work cut into pieces runs soon, and never inside the call. */
static void deferred_work_runs(void **state) {
        struct fixture *f = *state;
        struct tracked t = { .then = defer_again, .owner = f->loop };

        START(loop_defer(f->loop, &t.op, tracked_done));
        assert_int_equal(t.done, 0);
        for (unsigned i = 0; t.done < 5; i++) {
                assert_true(i < 10);
                assert_int_equal(loop_turn(f->loop, USEC_INFINITY), 0);
        }
}

enum { THREADS = 8, MESSAGES = 5000 };

struct poster {
        struct loop *loop;
        pthread_t thread;
        unsigned run, wrong_order;
        struct numbered {
                struct loop_message message;
                struct poster *poster;
                unsigned number;
        } messages[MESSAGES];
};

static void on_message(struct loop_message *message) {
        struct numbered *m = container_of(message, struct numbered, message);

        m->poster->wrong_order += m->poster->run != m->number;
        m->poster->run++;
}

static void *post_all(void *data) {
        struct poster *p = data;

        for (unsigned i = 0; i < MESSAGES; i++) {
                p->messages[i] = (struct numbered){ { .run = on_message }, p, i };
                loop_post(p->loop, &p->messages[i].message);
                if (i % 97 == 0)
                        usleep(50);
        }
        return NULL;
}

/*
 * Each message runs once, each thread's in its order, and none waits for an event that never comes.
 */
static void messages_from_eight_threads(void **state) {
        struct fixture *f = *state;
        struct poster *p = calloc(THREADS, sizeof(*p));
        unsigned run = 0;

        assert_non_null(p);
        if (f->world)
                scripted_patience(f->world, 1000);
        for (unsigned i = 0; i < THREADS; i++) {
                p[i].loop = f->loop;
                assert_int_equal(pthread_create(&p[i].thread, NULL, post_all, &p[i]), 0);
        }
        while (run < THREADS * MESSAGES) {
                assert_int_equal(loop_turn(f->loop, USEC_INFINITY), 0);
                run = 0;
                for (unsigned i = 0; i < THREADS; i++)
                        run += p[i].run;
        }
        for (unsigned i = 0; i < THREADS; i++) {
                pthread_join(p[i].thread, NULL);
                assert_int_equal(p[i].wrong_order, 0);
        }
        free(p);
}

static void *stop_soon(void *data) {
        usleep(20000);
        loop_stop(data);
        return NULL;
}

/* loop_run() ends when another thread says so, also where nothing else ever happens. */
static void stop_from_another_thread(void **state) {
        struct fixture *f = *state;
        pthread_t thread;

        if (f->world)
                scripted_patience(f->world, 100000);
        assert_int_equal(pthread_create(&thread, NULL, stop_soon, f->loop), 0);
        assert_int_equal(loop_run(f->loop), 0);
        pthread_join(thread, NULL);
        /* and again, said before it runs */
        loop_stop(f->loop);
        assert_int_equal(loop_run(f->loop), 0);
}

enum { JOBS = 200 };

struct tracked_job {
        struct loop_job job;
        pthread_t loop_thread;
        unsigned worked, done;
        bool elsewhere;
};

static void job_work(struct loop_job *job) {
        struct tracked_job *j = container_of(job, struct tracked_job, job);

        j->worked++;
        j->elsewhere = !pthread_equal(pthread_self(), j->loop_thread);
        usleep(200);
}

static void job_done(struct loop_job *job) {
        struct tracked_job *j = container_of(job, struct tracked_job, job);

        assert_int_equal(starting, 0);
        assert_true(pthread_equal(pthread_self(), j->loop_thread));
        assert_int_equal(j->worked, 1);
        j->done++;
}

/* What may block runs elsewhere and comes back; without a pool it runs here, but later. */
static void work_is_offloaded(void **state) {
        struct fixture *f = *state;
        static struct tracked_job jobs[JOBS];
        struct offload_pool *pool = NULL;

        if (f->world)
                scripted_patience(f->world, 1000);
        for (unsigned with_pool = 0; with_pool < 2; with_pool++) {
                if (with_pool)
                        assert_int_equal(offload_pool_new(4, &pool), 0);
                f->loop->pool = pool;
                for (unsigned i = 0; i < JOBS; i++) {
                        jobs[i] = (struct tracked_job){ .loop_thread = pthread_self() };
                        START(loop_offload(f->loop, &jobs[i].job, job_work, job_done));
                        assert_int_equal(jobs[i].done, 0);
                }
                for (unsigned i = 0; i < JOBS; i++) {
                        RUN_UNTIL(f, jobs[i].done);
                        assert_int_equal(jobs[i].done, 1);
                        assert_int_equal(jobs[i].elsewhere, with_pool);
                }
        }
        f->loop->pool = NULL;
        offload_pool_free(pool);
}

int timing_run(void) {
        const struct CMUnitTest tests[] = {
                CASE(timers_fire_in_order),        CASE(timer_is_moved_and_cleared),
                CASE(wait_in_milliseconds),        CASE(deferred_work_runs),
                CASE(messages_from_eight_threads), CASE(stop_from_another_thread),
                CASE(work_is_offloaded),
        };

        return cmocka_run_group_tests_name("timing", tests, NULL, NULL);
}
