/* SPDX-License-Identifier: MIT */
#include "harness.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

/* Bytes of files read into memory, at once where they are there, else by the pool. */

enum { SIZE = 300000 };

struct reading {
        struct loop_file_read read;
        unsigned done;
        char to[SIZE + 100];
};

static void reading_done(struct loop_file_read *read) {
        struct reading *r = container_of(read, struct reading, read);

        assert_int_equal(starting, 0);
        r->done++;
}

static struct reading *reading_new(int file) {
        struct reading *r = calloc(1, sizeof(*r));

        assert_non_null(r);
        r->read = (struct loop_file_read){ .file = file };
        return r;
}

static void fill(int fd) {
        char *data = malloc(SIZE);

        assert_true(fd >= 0 && data);
        pattern_fill(data, SIZE, 0);
        assert_int_equal(write(fd, data, SIZE), SIZE);
        free(data);
}

static int file_new(void) {
        char name[] = "/var/tmp/emberd-contract-XXXXXX";
        int fd = mkstemp(name);

        unlink(name);
        fill(fd);
        assert_int_equal(fsync(fd), 0);
        return fd;
}

static void ask(struct reading *r, uint64_t offset, size_t bytes) {
        r->read.offset = offset;
        r->read.bytes = bytes;
        r->read.to = r->to;
        memset(r->to, 0, sizeof(r->to));
}

static ssize_t read_by_the_pool(struct fixture *f, struct reading *r) {
        r->done = 0;
        START(loop_read_file(f->loop, &r->read, reading_done));
        assert_int_equal(r->done, 0);
        RUN_UNTIL(f, r->done);
        run_for(f, 1000);
        assert_int_equal(r->done, 1);
        return r->read.result;
}

/* As the connections do it. */
static ssize_t read_somehow(struct fixture *f, struct reading *r) {
        ssize_t n = loop_read_now(&r->read);

        return n == -EAGAIN ? read_by_the_pool(f, r) : n;
}

static void assert_reads(struct fixture *f, int file) {
        struct reading *r = reading_new(file);
        uint64_t at = 0;

        while (at < SIZE) {
                ssize_t n;

                ask(r, at, 65536);
                n = read_somehow(f, r);
                assert_true(n > 0 && n <= 65536);
                assert_true(pattern_matches(r->to, (size_t)n, at));
                assert_int_equal(r->to[n], 0);
                at += (uint64_t)n;
        }
        assert_int_equal(at, SIZE);
        for (unsigned i = 0; i < 2; i++) { /* at its end, and behind it */
                ask(r, SIZE + i * 1000, 100);
                assert_int_equal(read_somehow(f, r), 0);
        }
        ask(r, SIZE - 10, 100);
        assert_int_equal(read_by_the_pool(f, r), 10);
        free(r);
}

/* What was read a moment ago must not take the way through another thread. */
static void warm_file_is_read_at_once(void **state) {
        int file = file_new();
        struct reading *r = reading_new(file);

        ask(r, 1234, 5000);
        assert_int_equal(read_by_the_pool(*state, r), 5000); /* now it is surely warm */
        ask(r, 1234, 5000);
        assert_int_equal(loop_read_now(&r->read), 5000);
        assert_true(pattern_matches(r->to, 5000, 1234));
        free(r);
        assert_reads(*state, file);
        close(file);
}

/* What is not in the page cache comes through the pool, byte for byte the same. */
static void cold_file_is_read_by_the_pool(void **state) {
        int file = file_new();

        assert_int_equal(posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED), 0);
        assert_reads(*state, file);
        close(file);
}

/* File systems in memory do not know the question and always have the answer. */
static void file_in_memory_is_read_at_once(void **state) {
        int file = memfd_create("reading", MFD_CLOEXEC);
        struct reading *r = reading_new(file);

        fill(file);
        for (unsigned i = 0; i < 3; i++) {
                ask(r, i * 100, 1000);
                assert_int_equal(loop_read_now(&r->read), 1000);
                assert_true(pattern_matches(r->to, 1000, i * 100));
        }
        free(r);
        assert_reads(*state, file);
        close(file);
}

/* Who writes shorter what is being read gets fewer bytes, and then the end. */
static void file_that_shrank_ends(void **state) {
        int file = file_new();
        struct reading *r = reading_new(file);

        assert_int_equal(ftruncate(file, 1000), 0);
        ask(r, 500, 5000);
        assert_int_equal(read_somehow(*state, r), 500);
        ask(r, 1000, 5000);
        assert_int_equal(read_somehow(*state, r), 0);
        free(r);
        close(file);
}

/* Its errors are those of pread(2), on either way. */
static void errors_are_told(void **state) {
        int ends[2], folder = open("/", O_RDONLY | O_CLOEXEC);
        struct reading *r = reading_new(folder);

        ask(r, 0, 10);
        assert_int_equal(read_somehow(*state, r), -EISDIR);
        assert_int_equal(read_by_the_pool(*state, r), -EISDIR);
        free(r);
        assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
        r = reading_new(ends[0]);
        ask(r, 0, 10);
        assert_int_equal(read_by_the_pool(*state, r), -ESPIPE);
        free(r);
        close(ends[0]);
        close(ends[1]);
        close(folder);
}

static bool all_are_done(struct reading *all[], size_t count) {
        while (count && all[count - 1]->done)
                count--;
        return !count;
}

/* Many at once, each to its own place; a loop does not wait for any. */
static void many_are_read_at_once(void **state) {
        struct fixture *f = *state;
        int file = file_new();
        struct reading *all[20];

        for (unsigned i = 0; i < ELEMENTS(all); i++) {
                all[i] = reading_new(file);
                ask(all[i], i * 10000, 10000);
                START(loop_read_file(f->loop, &all[i]->read, reading_done));
        }
        RUN_UNTIL(f, all_are_done(all, ELEMENTS(all)));
        for (unsigned i = 0; i < ELEMENTS(all); i++) {
                assert_int_equal(all[i]->read.result, 10000);
                assert_true(pattern_matches(all[i]->to, 10000, i * 10000));
                free(all[i]);
        }
        close(file);
}

int reading_files_run(void) {
        const struct CMUnitTest tests[] = {
                CASE(warm_file_is_read_at_once),
                CASE(cold_file_is_read_by_the_pool),
                CASE(file_in_memory_is_read_at_once),
                CASE(file_that_shrank_ends),
                CASE(errors_are_told),
                CASE(many_are_read_at_once),
        };

        return cmocka_run_group_tests_name("reading-files", tests, NULL, NULL);
}
