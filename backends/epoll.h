/* SPDX-License-Identifier: MIT */
#pragma once

#include "backends.h"

#include <sys/epoll.h>

/* Private to epoll.c (registration and events) and epoll-try.c (the calls). */

/* loop_socket.registered */
enum {
        ADDED = 1,
        WATCHED_IN = 2, /* asked for */
        WATCHED_OUT = 4,
        WATCHED_END = 8,
        TRIED = 16, /* the first receive has been tried */
};

/* loop_socket.ready: what the last event or call said */
enum { READY_IN = 1, READY_OUT = 2 };

/* loop_op.flags */
enum { ON_AGAIN = 1 /* stands on the list `again` */ };

struct epoll {
        int fd, wake_fd;
        enum loop_trigger trigger;
        bool no_pwait2; /* an old kernel or a filter: milliseconds have to do */
        struct loop_op *again_first, **again_last; /* to be tried in the next wait */
        struct epoll_event events[LOOP_EVENTS_MAX];
};

static inline struct epoll *epoll_of(struct loop *loop) {
        return loop->backend_data;
}

/*
 * epoll.c: let the operation's socket have an event for what it waits for; completes it on failure.
 */
void epoll_watch(struct loop *loop, struct loop_op *op);
unsigned epoll_watched_for(const struct loop_op *op);
/* Put `op` on the list of what is tried in the next wait. */
void epoll_try_later(struct loop *loop, struct loop_op *op);

/* epoll-try.c: begin an operation of a socket, or go on after an event or from the list. */
void epoll_start(struct loop *loop, struct loop_op *op);
void epoll_try(struct loop *loop, struct loop_op *op);
ssize_t epoll_send_now(struct loop_socket *socket, const struct msghdr *message, int flags);
ssize_t epoll_send_file(struct loop_socket *socket, int file, uint64_t offset, size_t bytes);
