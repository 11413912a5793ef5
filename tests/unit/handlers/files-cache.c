/* SPDX-License-Identifier: MIT */
#include "handlers/files-cache.h"

#include "site.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "handlers/files-open.h"

enum { SMALL_CACHE_BYTES = 20000, BIG_BYTES = 20000 };

static struct asked a;

static int open_with(void **state, size_t cache_bytes_max, unsigned threads) {
        static struct site site;
        const struct site_options options = {
                .cache_bytes_max = cache_bytes_max,
                .threads = threads,
        };

        site_open(&site, &options);
        *state = &site;
        return 0;
}

static int setup(void **state) {
        return open_with(state, 0, 0);
}

static int setup_small(void **state) {
        return open_with(state, SMALL_CACHE_BYTES, 0);
}

static int setup_with_threads(void **state) {
        return open_with(state, 0, 2);
}

static int teardown(void **state) {
        asked_finish(&a);
        site_close(*state);
        return 0;
}

static const struct files_cache *cache_of(const struct site *s) {
        return s->worker.files;
}

static unsigned descriptors_open(void) {
        DIR *folder = opendir("/proc/self/fd");
        unsigned count = 0;

        assert_non_null(folder);
        while (readdir(folder))
                count++;
        closedir(folder);
        return count;
}

static void write_numbered(struct site *s, unsigned n, size_t bytes) {
        static char data[BIG_BYTES];
        char name[32];

        memset(data, 'a' + n % 26, bytes);
        snprintf(name, sizeof(name), "f%u.txt", n);
        tree_write(&s->tree, name, (struct text){ data, bytes });
}

static unsigned get_numbered(struct site *s, unsigned n) {
        char name[32];

        snprintf(name, sizeof(name), "/f%u.txt", n);
        return get(s, &a, name);
}

static unsigned lookups;
static void count_lookup(void) {
        lookups++;
}

/* The promise of the cache: between two looks at a file, a second apart, no system call is made. */
static void file_is_looked_at_once_a_second(void **state) {
        struct site *s = *state;

        write_numbered(s, 0, 10);
        write_numbered(s, 1, 10);
        assert_int_equal(get_numbered(s, 0), 200); /* the media type is searched for once */
        lookups = 0;
        atomic_store(&site_lookup_begins, count_lookup);
        for (int i = 0; i < 100; i++)
                assert_int_equal(get_numbered(s, 1), 200);
        assert_int_equal(lookups, 1);
        site_advance(s, USEC_PER_SEC);
        for (int i = 0; i < 100; i++)
                assert_int_equal(get_numbered(s, 1), 200);
        assert_int_equal(lookups, 2);
}

/* A stale answer is an administrator who changed a page and does not see it. */
static void changes_are_seen_within_a_second(void **state) {
        struct site *s = *state;

        write_numbered(s, 1, 10);
        assert_int_equal(get_numbered(s, 1), 200);
        tree_write(&s->tree, "f1.txt", TEXT("other"));
        site_advance(s, USEC_PER_SEC);
        assert_int_equal(get_numbered(s, 1), 200);
        assert_true(asked_body_is(&a, TEXT("other")));
        assert_int_equal(unlinkat(s->tree.fd, "f1.txt", 0), 0);
        site_advance(s, USEC_PER_SEC);
        assert_int_equal(get_numbered(s, 1), 404);
        assert_int_equal(cache_of(s)->entries.count, 0);
        tree_folder(&s->tree, "f1.txt");
        assert_int_equal(get_numbered(s, 1), 301);
}

/* Whoever changed the times back, or put another inode there, changed the file. */
static void equal_size_and_time_do_not_hide_a_change(void **state) {
        struct site *s = *state;
        const struct timespec times[2] = { { 1000, 5 }, { 1000, 5 } };

        tree_write(&s->tree, "x", TEXT("one"));
        assert_int_equal(utimensat(s->tree.fd, "x", times, 0), 0);
        assert_int_equal(get(s, &a, "/x"), 200);
        tree_write(&s->tree, "y", TEXT("two"));
        assert_int_equal(utimensat(s->tree.fd, "y", times, 0), 0);
        assert_int_equal(renameat(s->tree.fd, "y", s->tree.fd, "x"), 0);
        site_advance(s, USEC_PER_SEC);
        assert_int_equal(get(s, &a, "/x"), 200);
        assert_true(asked_body_is(&a, TEXT("two")));
}

/* An index that appears goes before one that was there. */
static void index_is_chosen_anew(void **state) {
        static char *index[] = { "first.html", "sub", "second.html", NULL };
        struct site *s = *state;

        s->settings.index = index;
        site_reload(s);
        tree_folder(&s->tree, "sub");
        tree_write(&s->tree, "second.html", TEXT("2"));
        assert_int_equal(get(s, &a, "/"), 200);
        assert_true(asked_body_is(&a, TEXT("2")));
        tree_write(&s->tree, "first.html", TEXT("1"));
        site_advance(s, USEC_PER_SEC);
        assert_int_equal(get(s, &a, "/"), 200);
        assert_true(asked_body_is(&a, TEXT("1")));
}

/* Who is being sent a file gets the one that it was told the length of. */
static void answer_under_way_keeps_its_version(void **state) {
        struct site *s = *state;
        static struct asked slow;

        write_numbered(s, 1, 10);
        ask_begin(s, &slow, "GET", "/f1.txt", NULL);
        while (!slow.answered)
                site_turn(s);
        tree_write(&s->tree, "f1.txt", TEXT("other bytes"));
        site_advance(s, USEC_PER_SEC);
        assert_int_equal(get_numbered(s, 1), 200);
        assert_true(asked_body_is(&a, TEXT("other bytes")));
        files_cache_drop(s->worker.files);
        ask_end(&slow, 4);
        assert_true(asked_body_is(&slow, TEXT("bbbbbbbbbb")));
        asked_finish(&slow);
        assert_int_equal(cache_of(s)->entries.count, 0);
        assert_int_equal(cache_of(s)->bytes, 0);
}

/* The memory that the cache may take is a promise to the machine, whatever is asked for. */
static void memory_stays_within_its_bound(void **state) {
        struct site *s = *state;

        for (unsigned i = 0; i < 60; i++)
                write_numbered(s, i, 100 + 137 * i % 5000);
        for (unsigned round = 0; round < 5; round++)
                for (unsigned i = 0; i < 60; i++) {
                        unsigned n = i * (7 + round) % 60;

                        assert_int_equal(get_numbered(s, n), 200);
                        assert_int_equal(a.body.used, 100 + 137 * n % 5000);
                        assert_true(cache_of(s)->bytes <= SMALL_CACHE_BYTES);
                        assert_true(cache_of(s)->entries.count > 0);
                }
}

/* What is asked for often stays, or one walk through a site would empty the cache of its best. */
static void often_used_files_stay(void **state) {
        struct site *s = *state;

        for (unsigned i = 0; i < 60; i++)
                write_numbered(s, i, 1000);
        assert_int_equal(get_numbered(s, 0), 200);
        atomic_store(&site_lookup_begins, count_lookup);
        lookups = 0;
        for (unsigned i = 1; i < 60; i++) {
                assert_int_equal(get_numbered(s, i), 200);
                assert_int_equal(get_numbered(s, 0), 200);
        }
        assert_int_equal(lookups, 59);
}

/* What is being sent cannot be freed: then others are not kept, and the bound still holds. */
static void files_in_use_count(void **state) {
        static struct asked slow[30];
        struct site *s = *state;
        char name[32];

        for (unsigned i = 0; i < ELEMENTS(slow); i++) {
                write_numbered(s, i, 1000);
                snprintf(name, sizeof(name), "/f%u.txt", i);
                ask_begin(s, &slow[i], "GET", name, NULL);
                assert_true(cache_of(s)->bytes <= SMALL_CACHE_BYTES);
        }
        for (unsigned i = 0; i < ELEMENTS(slow); i++) {
                ask_end(&slow[i], 100);
                assert_int_equal(slow[i].body.used, 1000);
                asked_finish(&slow[i]);
        }
        files_cache_drop(s->worker.files);
        assert_int_equal(cache_of(s)->bytes, 0);
}

/* Descriptors are few: kept ones are bounded, and given back when nobody asks any more. */
static void open_files_are_bounded_and_given_back(void **state) {
        struct site *s = *state;
        unsigned before;

        write_numbered(s, 0, BIG_BYTES);
        for (unsigned i = 1; i < 200; i++)
                write_numbered(s, i, BIG_BYTES);
        before = descriptors_open();
        for (unsigned i = 0; i < 200; i++)
                assert_int_equal(get_numbered(s, i), 200);
        assert_int_equal(cache_of(s)->file_count, cache_of(s)->file_count_max);
        assert_int_equal(descriptors_open(), before + cache_of(s)->file_count_max);
        site_advance(s, 11 * USEC_PER_SEC);
        site_turn(s);
        assert_int_equal(get_numbered(s, 199), 200); /* used since the first sweep */
        site_advance(s, 11 * USEC_PER_SEC);
        site_turn(s);
        site_advance(s, 11 * USEC_PER_SEC);
        site_turn(s);
        assert_int_equal(cache_of(s)->file_count, 0);
        assert_int_equal(descriptors_open(), before);
}

/* Out of descriptors: what is kept only for speed is given back before anybody is refused. */
static void kept_files_yield_to_requests(void **state) {
        struct site *s = *state;
        struct rlimit before, tight;
        int next;

        for (unsigned i = 0; i < 4; i++)
                write_numbered(s, i, BIG_BYTES);
        for (unsigned i = 0; i < 3; i++)
                assert_int_equal(get_numbered(s, i), 200);
        assert_int_equal(cache_of(s)->file_count, 3);
        assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
        next = dup(s->tree.fd); /* the lowest that is free */
        close(next);
        tight = (struct rlimit){ (rlim_t)next, before.rlim_max };
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &tight), 0);
        assert_int_equal(get_numbered(s, 3), 200);
        assert_int_equal(cache_of(s)->file_count, 1);
        files_cache_drop(s->worker.files);
        tight.rlim_cur = 3; /* none is free, and none is kept */
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &tight), 0);
        assert_int_equal(get_numbered(s, 2), 503);
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
        assert_int_equal(get_numbered(s, 2), 200);
}

/* Without openat2(2) every lookup is on the pool, and finds there that the descriptors are out. */
static void kept_files_yield_to_lookups_on_the_pool(void **state) {
        files_open_allow_openat2(false);
        kept_files_yield_to_requests(state);
        files_open_allow_openat2(true);
}

/* A reload gives each route another identity: nothing of the old one may answer for it. */
static void routes_do_not_share_entries(void **state) {
        static char *index[] = { "other.html", NULL };
        struct site *s = *state;

        tree_write(&s->tree, "index.html", TEXT("index"));
        tree_write(&s->tree, "other.html", TEXT("other"));
        assert_int_equal(get(s, &a, "/"), 200);
        s->settings.index = index;
        site_reload(s);
        assert_int_equal(get(s, &a, "/"), 200);
        assert_true(asked_body_is(&a, TEXT("other")));
}

/* Many ask for one file that is not there yet: one look is enough, and each gets its answer. */
static void one_load_serves_all_who_wait(void **state) {
        static struct asked waiting[20];
        struct site *s = *state;

        write_numbered(s, 1, 300);
        files_open_allow_openat2(false); /* all lookups are offloaded */
        lookups = 0;
        atomic_store(&site_lookup_begins, count_lookup);
        for (unsigned i = 0; i < ELEMENTS(waiting); i++)
                ask_begin(s, &waiting[i], "GET", "/f1.txt", NULL);
        assert_int_equal(cache_of(s)->loads.count, 1);
        ask_give_up(&waiting[0]);
        ask_give_up(&waiting[7]);
        ask_begin(s, &a, "GET", "/f2.txt", NULL); /* another, which nobody waits for … */
        ask_give_up(&a);
        assert_int_equal(cache_of(s)->abandoned, 1);
        ask_begin(s, &a, "GET", "/f2.txt", NULL); /* … and then somebody does */
        assert_int_equal(cache_of(s)->abandoned, 0);
        ask_end(&a, 1000);
        assert_int_equal(a.x.status, 404);
        for (unsigned i = 0; i < ELEMENTS(waiting); i++) {
                if (i != 0 && i != 7)
                        ask_end(&waiting[i], 1000);
                asked_finish(&waiting[i]);
        }
        assert_int_equal(lookups, 1);
        assert_int_equal(cache_of(s)->loads.count, 0);
        assert_int_equal(cache_of(s)->abandoned, 0);
        files_open_allow_openat2(true);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(file_is_looked_at_once_a_second, setup, teardown),
                cmocka_unit_test_setup_teardown(changes_are_seen_within_a_second, setup, teardown),
                cmocka_unit_test_setup_teardown(equal_size_and_time_do_not_hide_a_change, setup,
                                                teardown),
                cmocka_unit_test_setup_teardown(index_is_chosen_anew, setup, teardown),
                cmocka_unit_test_setup_teardown(answer_under_way_keeps_its_version, setup,
                                                teardown),
                cmocka_unit_test_setup_teardown(memory_stays_within_its_bound, setup_small,
                                                teardown),
                cmocka_unit_test_setup_teardown(often_used_files_stay, setup_small, teardown),
                cmocka_unit_test_setup_teardown(files_in_use_count, setup_small, teardown),
                cmocka_unit_test_setup_teardown(open_files_are_bounded_and_given_back, setup,
                                                teardown),
                cmocka_unit_test_setup_teardown(kept_files_yield_to_requests, setup, teardown),
                cmocka_unit_test_setup_teardown(kept_files_yield_to_lookups_on_the_pool, setup,
                                                teardown),
                cmocka_unit_test_setup_teardown(routes_do_not_share_entries, setup, teardown),
                cmocka_unit_test_setup_teardown(one_load_serves_all_who_wait, setup_with_threads,
                                                teardown),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
