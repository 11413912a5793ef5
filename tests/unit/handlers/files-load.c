/* SPDX-License-Identifier: MIT */
#include "handlers/files-load.h"

#include "site.h"

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/fd.h"
#include "handlers/files-cache.h"
#include "handlers/files-open.h"
#include "handlers/files-root.h"
#include "http/date.h"

/*
 * What a file system does in the worst moment is played by wrapping the calls that read (the
 * linker's --wrap): the file changes between its bytes and the second look at it, or is not in
 * memory.
 */
static void (*before_read)(void);
static void (*after_read)(void);
static int at_once_error; /* of reads that must not wait */
static _Atomic unsigned waiting_reads;
static unsigned interruptions; /* of reads at once, still to come */

/* as the C library's headers name them with 64-bit offsets */
ssize_t __real_preadv64v2(int fd, const struct iovec *iov, int count, off_t offset, int flags);
ssize_t __wrap_preadv64v2(int fd, const struct iovec *iov, int count, off_t offset, int flags);
ssize_t __real_pread64(int fd, void *data, size_t size, off_t offset);
ssize_t __wrap_pread64(int fd, void *data, size_t size, off_t offset);

static void run_once(void (**hook)(void)) {
        void (*run)(void) = *hook;

        *hook = NULL;
        if (run)
                run();
}

ssize_t __wrap_preadv64v2(int fd, const struct iovec *iov, int count, off_t offset, int flags) {
        ssize_t n;

        assert(flags == RWF_NOWAIT);
        if (interruptions) {
                interruptions--;
                errno = EINTR;
                return -1;
        }
        if (at_once_error) {
                errno = at_once_error;
                return -1;
        }
        n = __real_preadv64v2(fd, iov, count, offset, flags);
        run_once(&after_read);
        return n;
}

ssize_t __wrap_pread64(int fd, void *data, size_t size, off_t offset) {
        ssize_t n;

        waiting_reads++;
        run_once(&before_read);
        n = __real_pread64(fd, data, size, offset);
        run_once(&after_read);
        return n;
}

static struct asked a;
static struct site *site;

static int open_with(void **state, unsigned threads) {
        static struct site s;
        const struct site_options options = { .threads = threads };

        site_open(&s, &options);
        *state = site = &s;
        at_once_error = 0;
        before_read = after_read = NULL;
        waiting_reads = 0;
        return 0;
}

static int setup(void **state) {
        return open_with(state, 0);
}

static int setup_one_thread(void **state) {
        return open_with(state, 1);
}

static int teardown(void **state) {
        asked_finish(&a);
        site_close(*state);
        return 0;
}

static size_t kept(void) {
        return site->worker.files->entries.count;
}

static bool is_weak(const char *etag) {
        return !strncmp(etag, "W/\"", 3);
}

/*
 * Two versions of equal size within one tick of the file system's clock look the same; the first
 * must not be served, from here or from a client's cache, when the second is there.
 */
static void rewrite_within_a_tick_is_served(void **state) {
        char etags[50][80], body[16], fields[256];

        atomic_store(&site_ahead_usec, 0);
        for (unsigned i = 0; i < ELEMENTS(etags); i++) {
                snprintf(body, sizeof(body), "v%03u", i);
                tree_write(&site->tree, "x.txt", text_of(body));
                assert_int_equal(get(site, &a, "/x.txt"), 200);
                assert_true(asked_body_is(&a, text_of(body)));
                snprintf(etags[i], sizeof(etags[i]), "%s", asked_field(&a, "ETag"));
                assert_true(is_weak(etags[i]));
        }
        assert_int_equal(kept(), 0);
        atomic_store(&site_ahead_usec, 10 * USEC_PER_SEC);
        assert_int_equal(get(site, &a, "/x.txt"), 200);
        assert_false(is_weak(asked_field(&a, "ETag")));
        assert_int_equal(kept(), 1);
        for (unsigned i = 0; i < ELEMENTS(etags); i++) {
                snprintf(fields, sizeof(fields), "If-None-Match: %.79s\r\n", etags[i]);
                assert_int_equal(ask(site, &a, "GET", "/x.txt", fields), 200);
        }
}

/* A client that has no ETag asks by a date of whole seconds; that second must be over first. */
static void last_modified_does_not_name_the_second_under_way(void **state) {
        char fields[128];

        atomic_store(&site_ahead_usec, 0);
        tree_write(&site->tree, "x.txt", TEXT("one"));
        assert_int_equal(get(site, &a, "/x.txt"), 200);
        snprintf(fields, sizeof(fields), "If-Modified-Since: %.64s\r\n",
                 asked_field(&a, "Last-Modified"));
        tree_write(&site->tree, "x.txt", TEXT("two"));
        atomic_store(&site_ahead_usec, 10 * USEC_PER_SEC);
        assert_int_equal(ask(site, &a, "GET", "/x.txt", fields), 200);
        assert_true(asked_body_is(&a, TEXT("two")));
        snprintf(fields, sizeof(fields), "If-Modified-Since: %.64s\r\n",
                 asked_field(&a, "Last-Modified"));
        assert_int_equal(ask(site, &a, "GET", "/x.txt", fields), 304);
}

/* A clock that was wrong when a file was made must not keep the file from the cache for ever. */
static void change_in_the_far_future_counts_as_settled(void **state) {
        uint64_t now_sec = clock_real_usec() / USEC_PER_SEC + 1, modified_sec;

        tree_write(&site->tree, "x.txt", TEXT("one"));
        atomic_store(&site_ahead_usec, UINT64_C(0) - 3600 * USEC_PER_SEC);
        assert_int_equal(get(site, &a, "/x.txt"), 200);
        assert_int_equal(kept(), 1);
        assert_false(is_weak(asked_field(&a, "ETag")));
        /* no date of an answer is later than the answer (RFC 9110, 8.8.2.1) */
        assert_int_equal(
                http_date_parse(text_of(asked_field(&a, "Last-Modified")), now_sec, &modified_sec),
                0);
        assert_true(modified_sec <= now_sec - 3600);
}

static void rewrite(void) {
        tree_write(&site->tree, "x.txt", TEXT("another"));
}

static void shorten(void) {
        tree_write(&site->tree, "x.txt", TEXT("s"));
}

static void check_changed_while_read(void (*change)(void)) {
        tree_write(&site->tree, "x.txt", TEXT("original"));
        after_read = change;
        assert_int_equal(get(site, &a, "/x.txt"), 200);
        assert_int_equal(a.body.used, a.x.body_bytes);
        assert_true(is_weak(asked_field(&a, "ETag")));
        assert_int_equal(kept(), 0);
        assert_int_equal(get(site, &a, "/x.txt"), 200);
        assert_false(is_weak(asked_field(&a, "ETag")));
        assert_int_equal(kept(), 1);
        files_cache_drop(site->worker.files);
}

/* What was read while somebody wrote may be half of each version; it is not to be kept. */
static void file_that_changes_while_read_is_not_kept(void **state) {
        check_changed_while_read(rewrite);
        check_changed_while_read(shorten);
        at_once_error = EAGAIN;
        check_changed_while_read(rewrite);
        check_changed_while_read(shorten);
}

/* The answer's length is what was read, not what was promised before. */
static void file_that_shrinks_gives_what_is_left(void **state) {
        tree_write(&site->tree, "x.txt", TEXT("original"));
        at_once_error = EAGAIN;
        before_read = shorten;
        assert_int_equal(get(site, &a, "/x.txt"), 200);
        assert_true(asked_body_is(&a, TEXT("s")));
        assert_int_equal(kept(), 0);
}

/* On the loop only what is in memory is read; the rest is for the pool. */
static void cold_bytes_are_read_on_the_pool(void **state) {
        static const int errors[] = { EAGAIN, EOPNOTSUPP, EIO, ENOSYS };
        uint64_t offloaded;

        /* the first file of all may be offloaded for the table of media types */
        tree_write(&site->tree, "first", TEXT("x"));
        assert_int_equal(get(site, &a, "/first"), 200);
        for (size_t i = 0; i < ELEMENTS(errors); i++) {
                files_cache_drop(site->worker.files);
                tree_write(&site->tree, "x.txt", TEXT("bytes"));
                offloaded = site_offloaded(site);
                waiting_reads = 0;
                at_once_error = errors[i];
                assert_int_equal(get(site, &a, "/x.txt"), 200);
                assert_true(asked_body_is(&a, TEXT("bytes")));
                assert_true(site_offloaded(site) > offloaded);
                assert_true(waiting_reads > 0);
        }
}

/* A signal says nothing about the file. */
static void interrupted_reads_are_repeated(void **state) {
        tree_write(&site->tree, "x.txt", TEXT("bytes"));
        interruptions = 3;
        assert_int_equal(get(site, &a, "/x.txt"), 200);
        assert_true(asked_body_is(&a, TEXT("bytes")));
        assert_int_equal(interruptions, 0);
}

/* How many jobs it takes to look at the root's folder: none where openat2(2) does it at once. */
static unsigned jobs_a_look(void) {
        int fd = files_open_folder_at_once(".");

        fd_close(fd);
        return fd < 0;
}

/* What may ask a server or a daemon is never touched on the loop, not even by close. */
static void foreign_file_systems_are_for_the_pool(void **state) {
        struct files_root *root = site->route.prepared;
        static char big[20000];
        uint64_t offloaded;

        root->local = false;
        at_once_error = EIO;
        tree_write(&site->tree, "x.txt", TEXT("bytes"));
        tree_write(&site->tree, "big", (struct text){ big, sizeof(big) });
        offloaded = site_offloaded(site);
        assert_int_equal(get(site, &a, "/x.txt"), 200);
        offloaded += jobs_a_look();
        assert_int_equal(site_offloaded(site), offloaded + 1);
        assert_int_equal(get(site, &a, "/x.txt"), 200); /* from memory */
        assert_int_equal(site_offloaded(site), offloaded + 1);
        site_advance(site, USEC_PER_SEC);
        assert_int_equal(get(site, &a, "/x.txt"), 200); /* looked at again */
        offloaded += jobs_a_look();
        assert_int_equal(site_offloaded(site), offloaded + 2);
        assert_int_equal(get(site, &a, "/big"), 200);
        assert_int_equal(get(site, &a, "/missing"), 404);
        assert_int_equal(site_offloaded(site), offloaded + 4);
        files_cache_drop(site->worker.files);
        assert_int_equal(site_offloaded(site), offloaded + 5);
}

/* ---- a file system that hangs ---- */

static pthread_t loop_thread;
static sem_t gate;

static void wait_at_gate(void) {
        if (!pthread_equal(pthread_self(), loop_thread))
                while (sem_wait(&gate) < 0)
                        ;
}

static void open_gate(void) {
        atomic_store(&site_lookup_begins, NULL);
        for (int i = 0; i < 4; i++)
                sem_post(&gate);
}

static void hang(void) {
        struct files_root *root = site->route.prepared;

        root->local = false;
        loop_thread = pthread_self();
        assert_int_equal(sem_init(&gate, 0, 0), 0);
        atomic_store(&site_lookup_begins, wait_at_gate);
}

/* The promise: who asks a hanging file system waits, and nobody else does. */
static void hanging_file_system_stalls_no_loop(void **state) {
        static struct asked hung;

        tree_write(&site->tree, "x.txt", TEXT("bytes"));
        tree_write(&site->tree, "warm.txt", TEXT("warm"));
        assert_int_equal(get(site, &a, "/warm.txt"), 200);
        hang();
        at_once_error = EAGAIN;
        ask_begin(site, &hung, "GET", "/x.txt", NULL);
        for (int i = 0; i < 50; i++) {
                site_turn(site);
                assert_int_equal(get(site, &a, "/warm.txt"), 200);
                assert_int_equal(ask(site, &a, "OPTIONS", "/x.txt", NULL), 204);
                assert_false(hung.answered);
        }
        open_gate();
        ask_end(&hung, 100);
        assert_true(asked_body_is(&hung, TEXT("bytes")));
        asked_finish(&hung);
}

/*
 * A connection has no deadline while a handler is at work: if a hanging file system could keep it
 * for ever, it would soon have them all. What was given up is there for the next one all the same.
 */
static void nobody_waits_for_ever(void **state) {
        static struct asked early, late;

        tree_write(&site->tree, "x.txt", TEXT("bytes"));
        hang();
        ask_begin(site, &early, "GET", "/x.txt", NULL);
        site_advance(site, 29 * USEC_PER_SEC);
        ask_begin(site, &a, "GET", "/x.txt", NULL);
        assert_false(early.answered);
        site_advance(site, 2 * USEC_PER_SEC);
        assert_int_equal(early.x.status, 503);
        assert_false(a.answered);
        assert_int_equal(site->worker.files->abandoned, 0);
        ask_end(&early, 100);
        site_advance(site, 29 * USEC_PER_SEC);
        assert_int_equal(a.x.status, 503);
        assert_int_equal(site->worker.files->abandoned, 1);
        ask_end(&a, 100);
        ask_begin(site, &late, "GET", "/x.txt", NULL);
        assert_int_equal(site->worker.files->abandoned, 0);
        site_advance(site, 29 * USEC_PER_SEC);
        assert_false(late.answered);
        open_gate();
        ask_end(&late, 100);
        assert_true(asked_body_is(&late, TEXT("bytes")));
        assert_int_equal(site->worker.files->abandoned, 0);
        asked_finish(&early);
        asked_finish(&late);
}

/* Clients that ask it and hang up leave work that cannot be stopped: so much, and no more. */
static void abandoned_loads_are_bounded(void **state) {
        char target[32];
        unsigned refused = 0;

        tree_write(&site->tree, "first", TEXT("x"));
        hang();
        ask_begin(site, &a, "GET", "/first", NULL);
        ask_give_up(&a);
        for (unsigned i = 0; i < 1100; i++) {
                snprintf(target, sizeof(target), "/missing-%u", i);
                ask_begin(site, &a, "GET", target, NULL);
                refused += a.answered && a.x.status == 503;
                ask_give_up(&a);
        }
        assert_int_equal(refused, 1100 - 1023);
        assert_int_equal(site->worker.files->abandoned, 1024);
        open_gate();
        for (int i = 0; i < 2000 && site->worker.files->jobs; i++)
                site_turn(site);
        assert_int_equal(site->worker.files->abandoned, 0);
        assert_int_equal(get(site, &a, "/first"), 200);
}

/* The route goes (a reload) while the pool looks for its files: nothing may be missing there. */
static void route_may_go_while_a_load_runs(void **state) {
        tree_write(&site->tree, "x.txt", TEXT("bytes"));
        hang();
        ask_begin(site, &a, "GET", "/x.txt", NULL);
        ask_give_up(&a);
        site_reload(site);
        files_cache_drop(site->worker.files);
        open_gate();
        for (int i = 0; i < 2000 && site->worker.files->jobs; i++)
                site_turn(site);
        assert_int_equal(site->worker.files->jobs, 0);
        assert_int_equal(get(site, &a, "/x.txt"), 200);
}

/* A worker ends while the pool still works for it. */
static void cache_may_go_while_a_load_runs(void **state) {
        static char big[20000];

        tree_write(&site->tree, "big", (struct text){ big, sizeof(big) });
        hang();
        ask_begin(site, &a, "GET", "/big", NULL);
        ask_give_up(&a);
        files_cache_free(site->worker.files);
        open_gate();
        for (int i = 0; i < 2000 && !loop_is_quiet(site->loop); i++)
                site_turn(site);
        assert_true(loop_is_quiet(site->loop));
        assert_int_equal(files_cache_new(site->loop, 1 << 20, &site->worker.files), 0);
        assert_int_equal(get(site, &a, "/big"), 200);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(rewrite_within_a_tick_is_served, setup, teardown),
                cmocka_unit_test_setup_teardown(last_modified_does_not_name_the_second_under_way,
                                                setup, teardown),
                cmocka_unit_test_setup_teardown(change_in_the_far_future_counts_as_settled, setup,
                                                teardown),
                cmocka_unit_test_setup_teardown(file_that_changes_while_read_is_not_kept, setup,
                                                teardown),
                cmocka_unit_test_setup_teardown(file_that_shrinks_gives_what_is_left, setup,
                                                teardown),
                cmocka_unit_test_setup_teardown(cold_bytes_are_read_on_the_pool, setup, teardown),
                cmocka_unit_test_setup_teardown(interrupted_reads_are_repeated, setup, teardown),
                cmocka_unit_test_setup_teardown(foreign_file_systems_are_for_the_pool, setup,
                                                teardown),
                cmocka_unit_test_setup_teardown(hanging_file_system_stalls_no_loop,
                                                setup_one_thread, teardown),
                cmocka_unit_test_setup_teardown(nobody_waits_for_ever, setup_one_thread, teardown),
                cmocka_unit_test_setup_teardown(abandoned_loads_are_bounded, setup_one_thread,
                                                teardown),
                cmocka_unit_test_setup_teardown(route_may_go_while_a_load_runs, setup_one_thread,
                                                teardown),
                cmocka_unit_test_setup_teardown(cache_may_go_while_a_load_runs, setup_one_thread,
                                                teardown),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
