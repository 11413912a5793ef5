/* SPDX-License-Identifier: MIT */
#pragma once

#include "loop/loop-backend.h"

/* The tables at the end of epoll.c, io-uring.c and scripted.c. */
extern const struct loop_backend epoll_backend;
extern const struct loop_backend io_uring_backend;
extern const struct loop_backend scripted_backend;

/* kernel.c: plain system calls that the backends of the kernel share. Results: -errno. */
int kernel_accept(struct loop *loop, int listener_fd, struct sockaddr_storage *ret_address,
                  socklen_t *ret_size);
ssize_t kernel_send_now(struct loop_socket *socket, const struct msghdr *message, int flags);
ssize_t kernel_send_file(struct loop_socket *socket, int file, uint64_t offset, size_t bytes);
int kernel_shutdown(struct loop_socket *socket, int how);
int64_t kernel_unsent(struct loop_socket *socket);
uint64_t kernel_now(struct loop *loop);
