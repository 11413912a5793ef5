/* SPDX-License-Identifier: MIT */
#include "backends.h"

#include <errno.h>
#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>

#include "base/clock.h"

/*
 * The plain system calls that epoll and io_uring share: what costs less as a call than as an entry
 * of a ring (IO.md, D5 and D7). None of them blocks: sockets are non-blocking, which sendfile(2)
 * alone depends on, having no flag of its own. Nor has it one against SIGPIPE, which the program
 * ignores.
 */

/* sendfile(2) takes less than 2 GiB at a time. */
enum { SEND_FILE_MAX = 0x40000000 };

int kernel_accept(struct loop *loop, int listener_fd, struct sockaddr_storage *ret_address,
                  socklen_t *ret_size) {
        int fd;

        do {
                *ret_size = sizeof(*ret_address);
                fd = accept4(listener_fd, (struct sockaddr *)ret_address, ret_size,
                             SOCK_NONBLOCK | SOCK_CLOEXEC);
        } while (fd < 0 && errno == EINTR);
        return fd < 0 ? -errno : fd;
}

ssize_t kernel_send_now(struct loop_socket *socket, const struct msghdr *message, int flags) {
        ssize_t n;

        flags |= MSG_NOSIGNAL | MSG_DONTWAIT;
        do {
                if (message->msg_iovlen == 1 && !message->msg_control)
                        n = send(socket->fd, message->msg_iov->iov_base, message->msg_iov->iov_len,
                                 flags);
                else
                        n = sendmsg(socket->fd, message, flags);
        } while (n < 0 && errno == EINTR);
        return n < 0 ? -errno : n;
}

ssize_t kernel_send_file(struct loop_socket *socket, int file, uint64_t offset, size_t bytes) {
        off_t at = (off_t)offset;
        ssize_t n;

        do
                n = sendfile(socket->fd, file, &at, MIN(bytes, (size_t)SEND_FILE_MAX));
        while (n < 0 && errno == EINTR);
        return n < 0 ? -errno : n;
}

int kernel_shutdown(struct loop_socket *socket, int how) {
        return shutdown(socket->fd, how) < 0 ? -errno : 0;
}

int64_t kernel_unsent(struct loop_socket *socket) {
        int bytes;

        return ioctl(socket->fd, SIOCOUTQ, &bytes) < 0 ? -errno : bytes;
}

uint64_t kernel_now(struct loop *loop) {
        return clock_monotonic_usec();
}
