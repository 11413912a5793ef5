/* SPDX-License-Identifier: MIT */
#include "loop/loop.h"

#include <errno.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "loop/loop-internal.h"

/*
 * Reading a file's bytes into memory, for who must change them before they are sent. What is in the
 * page cache is read at once; what is not, by the pool.
 */

bool loop_file_is_in_memory(int file) {
        struct statfs fs;

        return fstatfs(file, &fs) == 0 && (fs.f_type == TMPFS_MAGIC || fs.f_type == RAMFS_MAGIC);
}

static ssize_t read_some(struct loop_file_read *r, int flags) {
        struct iovec iov = { r->to, r->bytes };
        ssize_t n;

        do
                n = preadv2(r->file, &iov, 1, (off_t)r->offset, flags);
        while (n < 0 && errno == EINTR);
        return n < 0 ? -errno : n;
}

ssize_t loop_read_now(struct loop_file_read *r) {
        ssize_t n;

        if (r->always_cold)
                return -EAGAIN;
        n = read_some(r, r->always_warm ? 0 : RWF_NOWAIT);
        if (n != -EOPNOTSUPP && n != -ENOSYS && n != -EINVAL)
                return n;
        r->always_warm = loop_file_is_in_memory(r->file);
        r->always_cold = !r->always_warm;
        return r->always_warm ? read_some(r, 0) : -EAGAIN;
}

static void read_work(struct loop_job *job) {
        struct loop_file_read *r = container_of(job, struct loop_file_read, job);

        r->result = read_some(r, 0);
}

static void read_done(struct loop_job *job) {
        struct loop_file_read *r = container_of(job, struct loop_file_read, job);

        r->done(r);
}

void loop_read_file(struct loop *loop, struct loop_file_read *r,
                    void (*done)(struct loop_file_read *r)) {
        r->done = done;
        loop_offload(loop, &r->job, read_work, read_done);
}
