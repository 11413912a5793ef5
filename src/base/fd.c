/* SPDX-License-Identifier: MIT */
#include "base/fd.h"

#include "base/buffer.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

enum { READ_PIECE_BYTES = 4096 };

int fd_close(int fd) {
        int saved = errno;

        if (fd >= 0)
                close(fd);
        errno = saved;
        return -1;
}

int fd_set_nonblocking(int fd) {
        int flags = fcntl(fd, F_GETFL);

        if (flags < 0)
                return -errno;
        if (!(flags & O_NONBLOCK) && fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
                return -errno;
        return 0;
}

int fd_set_cloexec(int fd) {
        int flags = fcntl(fd, F_GETFD);

        if (flags < 0 || fcntl(fd, F_SETFD, flags | FD_CLOEXEC) < 0)
                return -errno;
        return 0;
}

int fd_read_file(const char *path, size_t bytes_max, char **ret_data, size_t *ret_bytes) {
        _cleanup_(fd_closep)
        int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
        _cleanup_(buffer_finish)
        struct buffer b = {};
        ssize_t n;
        int r;

        if (fd < 0)
                return -errno;
        do {
                r = buffer_reserve(&b, READ_PIECE_BYTES + 1);
                if (r < 0)
                        return r;
                n = read(fd, b.data + b.used, READ_PIECE_BYTES);
                if (n < 0 && errno != EINTR)
                        return -errno;
                b.used += n > 0 ? (size_t)n : 0;
                if (b.used > bytes_max)
                        return -EFBIG;
        } while (n != 0);
        b.data[b.used] = '\0';
        *ret_bytes = b.used;
        *ret_data = take_ptr(b.data);
        return 0;
}

int fd_write_all(int fd, const void *data, size_t size) {
        const char *at = data;

        while (size > 0) {
                ssize_t n = write(fd, at, size);

                if (n < 0 && errno == EAGAIN) {
                        struct pollfd p = { .fd = fd, .events = POLLOUT };

                        poll(&p, 1, -1);
                        continue;
                }
                if (n < 0 && errno != EINTR)
                        return -errno;
                if (n > 0)
                        at += n, size -= (size_t)n;
        }
        return 0;
}
