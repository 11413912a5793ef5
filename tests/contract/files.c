/* SPDX-License-Identifier: MIT */
#include "harness.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

/* Heads from memory with ranges of files behind them, warm, cold and shrinking. */

struct sending {
        struct loop_file_send send;
        struct tracked_socket s;
        unsigned done;
        int result;
        char head[100];
        struct iovec iov[2];
};

static void sending_done(struct loop_op *op) {
        struct sending *x = container_of(op, struct sending, send.op);

        assert_int_equal(starting, 0);
        assert_true(loop_op_is_idle(op));
        x->done++;
        x->result = op->result;
}

/* A file that goes on with the pattern after a head of 100 bytes; its name is gone at once. */
static int file_open(size_t size) {
        char name[] = "/var/tmp/emberd-contract-XXXXXX";
        int fd = mkstemp(name);
        char *data = malloc(size + 1);

        assert_true(fd >= 0 && data);
        unlink(name);
        pattern_fill(data, size, 100);
        assert_int_equal(write(fd, data, size), size);
        assert_int_equal(fsync(fd), 0);
        free(data);
        return fd;
}

static void sending_start(struct sending *x, int file, uint64_t offset, uint64_t bytes) {
        x->done = 0;
        pattern_fill(x->head, 100, 0);
        x->iov[0] = (struct iovec){ x->head, 40 };
        x->iov[1] = (struct iovec){ x->head + 40, 60 };
        x->send = (struct loop_file_send){
                .head = x->iov, .head_count = 2, .file = file, .offset = offset, .bytes = bytes
        };
        START(loop_send_file(&x->s.socket, &x->send, sending_done));
        assert_int_equal(x->done, 0);
}

/* Read up to `most` bytes; they begin with the head, then comes the file from `offset`. */
static size_t read_some(struct peer *p, size_t at, uint64_t offset, size_t most) {
        static char data[256 * 1024];
        size_t bytes = 0;

        while (bytes < most) {
                size_t until = at + bytes < 100 ? 100 - (at + bytes) : sizeof(data);
                ssize_t n = peer_recv(p, data, MIN(MIN(until, most - bytes), sizeof(data)));

                if (n <= 0)
                        break;
                assert_true(pattern_matches(data, (size_t)n,
                                            at + bytes + (at + bytes < 100 ? 0 : offset)));
                bytes += (size_t)n;
        }
        return bytes;
}

static void send_and_check(struct fixture *f, int file, uint64_t offset, size_t bytes) {
        struct sending x = {};
        size_t got = 0;
        struct peer p;

        tracked_open(f, &x.s, &p);
        sending_start(&x, file, offset, bytes);
        RUN_UNTIL_WITH(f, x.done, got += read_some(&p, got, offset, 1 << 20));
        assert_int_equal(x.result, 0);
        assert_int_equal(x.send.sent, bytes + 100);
        assert_int_equal(x.send.bytes, 0);
        RUN_UNTIL_WITH(f, got == bytes + 100, got += read_some(&p, got, offset, 1 << 20));
        assert_int_equal(x.done, 1);
        peer_close(&p);
        tracked_close(f, &x.s);
}

/* Whole files, ranges, and nothing but a head. */
static void warm_file_arrives(void **state) {
        struct fixture *f = *state;
        size_t size = 9 << 20;
        int file = file_open(size);

        send_and_check(f, file, 0, size);
        send_and_check(f, file, 1, 1);
        send_and_check(f, file, 4095, 300000);
        send_and_check(f, file, size - 10, 10);
        send_and_check(f, file, 0, 0);
        close(file);
}

/* What is not in memory is read by the pool, and the answer is the same. */
static void cold_file_arrives(void **state) {
        struct fixture *f = *state;
        size_t size = 5 << 20;
        int file = file_open(size);
        _cleanup_(offload_pool_freep)
        struct offload_pool *pool = NULL;

        for (unsigned with_pool = 0; with_pool < (f->world ? 1 : 2); with_pool++) {
                if (with_pool)
                        assert_int_equal(offload_pool_new(2, &pool), 0);
                f->loop->pool = pool;
                assert_int_equal(posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED), 0);
                send_and_check(f, file, 0, size);
                assert_int_equal(posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED), 0);
                send_and_check(f, file, 70000, 1000000);
        }
        assert_true(counter_read(&loop_counters(f->loop)->offloaded) > 0);
        close(file);
        f->loop->pool = NULL;
}

/* A folder in tmpfs is common in containers: the pool must not have to read what is in memory. */
static void file_in_tmpfs(void **state) {
        struct fixture *f = *state;
        size_t size = 1 << 20;
        int file = memfd_create("contract", MFD_CLOEXEC);
        char *data = malloc(size);

        assert_true(file >= 0 && data);
        pattern_fill(data, size, 100);
        assert_int_equal(write(file, data, size), size);
        free(data);
        send_and_check(f, file, 0, size);
        assert_int_equal(counter_read(&loop_counters(f->loop)->offloaded), 0);
        close(file);
}

/* A file that was cut short must not leave the client waiting for bytes that do not exist. */
static void shrunk_file_is_an_error(void **state) {
        struct fixture *f = *state;

        for (unsigned cold = 0; cold < 2; cold++) {
                struct sending x = {};
                int file = file_open(100000);
                size_t got = 0;
                struct peer p;

                if (cold)
                        posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED);
                tracked_open(f, &x.s, &p);
                sending_start(&x, file, 0, 200000);
                RUN_UNTIL_WITH(f, x.done, got += read_some(&p, got, 0, 1 << 20));
                assert_int_equal(x.result, -ENODATA);
                assert_int_equal(x.send.sent, 100100);
                peer_close(&p);
                tracked_close(f, &x.s);
                close(file);
        }
}

/* A reader that stalls, and goes on; and one that goes away. */
static void stalled_reader_of_a_file(void **state) {
        struct fixture *f = *state;
        size_t size = 24 << 20, got = 0;
        int file = file_open(size);
        struct sending x = {};
        struct peer p;

        /* the program ignores it (main.c): sendfile(2) has no flag against it */
        signal(SIGPIPE, SIG_IGN);
        tracked_open(f, &x.s, &p);
        sending_start(&x, file, 0, size);
        run_for(f, 30 * USEC_PER_MSEC);
        assert_int_equal(x.done, 0);
        assert_true(x.send.sent > 100 && x.send.sent < size);
        RUN_UNTIL_WITH(f, x.done, got += read_some(&p, got, 0, 2 << 20));
        assert_int_equal(x.result, 0);
        RUN_UNTIL_WITH(f, got == size + 100, got += read_some(&p, got, 0, 2 << 20));

        sending_start(&x, file, 0, size);
        run_for(f, 30 * USEC_PER_MSEC);
        assert_int_equal(x.done, 0);
        peer_reset(&p);
        RUN_UNTIL(f, x.done);
        assert_true(x.result == -ECONNRESET || x.result == -EPIPE);
        tracked_close(f, &x.s);
        close(file);
        signal(SIGPIPE, SIG_DFL);
}

/*
 * Cancelled or closed wherever it stands: waiting for room, between two quanta, reading a cold
 * file.
 */
static void file_send_is_cancelled(void **state) {
        struct fixture *f = *state;
        size_t size = 24 << 20;
        int file = file_open(size);

        for (unsigned i = 0; i < 12; i++) {
                struct sending x = {};
                struct peer p;

                if (i % 3 == 2)
                        posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED);
                tracked_open(f, &x.s, &p);
                sending_start(&x, file, 0, size);
                if (i % 3 == 1)
                        run_for(f, 20 * USEC_PER_MSEC);
                if (i % 2) {
                        START(loop_cancel(f->loop, &x.send.op));
                        RUN_UNTIL(f, x.done);
                }
                tracked_close(f, &x.s);
                assert_int_equal(x.done, 1);
                assert_int_equal(x.result, -ECANCELED);
                peer_close(&p);
        }
        close(file);
}

/* A head that does not fit into the socket at once goes whole before the file. */
static void big_head_and_a_file(void **state) {
        struct fixture *f = *state;
        size_t size = 8 << 20, got = 0;
        char *head = malloc(size), *data = malloc(size);
        int file = file_open(1000); /* its pattern begins at 100 */
        struct sending x = {};
        struct peer p;

        assert_true(head && data);
        pattern_fill(head, size, 0);
        tracked_open(f, &x.s, &p);
        x.iov[0] = (struct iovec){ head, size / 2 };
        x.iov[1] = (struct iovec){ head + size / 2, size / 2 };
        x.send = (struct loop_file_send){
                .head = x.iov, .head_count = 2, .file = file, .bytes = 1000
        };
        START(loop_send_file(&x.s.socket, &x.send, sending_done));
        run_for(f, 10 * USEC_PER_MSEC);
        assert_int_equal(x.done, 0);
        while (got < size + 1000) {
                ssize_t n = peer_recv(&p, data, MIN(size, got < size ? size - got : size));

                if (n <= 0) {
                        turn(f, 1000);
                        continue;
                }
                assert_true(pattern_matches(data, (size_t)n, got < size ? got : got - size + 100));
                got += (size_t)n;
        }
        RUN_UNTIL(f, x.done);
        assert_int_equal(x.result, 0);
        assert_int_equal(x.send.sent, size + 1000);
        free(head);
        free(data);
        peer_close(&p);
        tracked_close(f, &x.s);
        close(file);
}

/* A descriptor that sendfile(2) cannot read from is read by the pool. */
static void file_without_sendfile(void **state) {
        struct fixture *f = *state;
        struct sending x = {};
        int file = open("/proc/self/stat", O_RDONLY | O_CLOEXEC);
        char data[4096];
        size_t got = 0;
        struct peer p;

        assert_true(file >= 0);
        tracked_open(f, &x.s, &p);
        sending_start(&x, file, 0, 20);
        while (got < 120) {
                ssize_t n = peer_recv(&p, data + got, sizeof(data) - got);

                if (n <= 0)
                        turn(f, 1000);
                else
                        got += (size_t)n;
        }
        RUN_UNTIL(f, x.done);
        assert_int_equal(x.result, 0);
        assert_true(atoi(data + 100) == getpid());
        peer_close(&p);
        tracked_close(f, &x.s);
        close(file);
}

int files_run(void) {
        const struct CMUnitTest tests[] = {
                CASE(warm_file_arrives),
                CASE(cold_file_arrives),
                CASE(file_in_tmpfs),
                CASE(shrunk_file_is_an_error),
                CASE(stalled_reader_of_a_file),
                CASE(file_send_is_cancelled),
                CASE(file_without_sendfile),
                CASE(big_head_and_a_file),
        };

        return cmocka_run_group_tests_name("files", tests, NULL, NULL);
}
