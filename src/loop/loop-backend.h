/* SPDX-License-Identifier: MIT */
#pragma once

#include "loop/loop.h"

#include <pthread.h>

/*
 * For those who implement a backend (users include loop.h alone). The table is the only door to the
 * kernel's I/O on sockets: the scripted backend has a world of its own behind it.
 *
 * What the common code does before it calls `submit`: the operation is pending, stands in its
 * socket's `read` or `write`, its result is 0. The backend ends it by one loop_complete(), from
 * inside any of its functions or later. What a backend may rely on: one read-side and one
 * write-side operation a socket at most; memory of a pending operation stays.
 *
 * A LOOP_RECV that completes with a positive result has recv.data and recv.id of a buffer taken
 * from loop->buffers; the common code takes it back when `done` has returned. With any other result
 * the backend has kept or given back the buffer itself. LOOP_LISTEN completes with the events (> 0)
 * when a connection may be waiting; op is the member `op` of its struct loop_listener. LOOP_CONNECT
 * may complete with -EAGAIN, which the common code makes -EBUSY.
 *
 * No function of the table is ever called from inside another one, and no callback of a user runs
 * inside wait(): so what an event points to stays alive for the whole of a wait.
 */
struct loop_backend {
        const char *name;

        /* Can it run here? See loop_backend_check(). */
        int (*check)(char reason[static LOOP_REASON_BYTES]);

        /* Make and end the backend's state (loop->backend_data). Errors: -errno. */
        int (*open)(struct loop *loop, const struct loop_options *options);
        void (*finish)(struct loop *loop);

        /*
         * Hand over what was submitted, wait until `deadline_usec` (0: do not wait) or the first
         * event or wake, and complete what is done; at most LOOP_EVENTS_MAX events. It does not
         * wait if its own work has made loop->ready_first not NULL. Errors: -errno; -EINTR and
         * -ETIME are none.
         */
        int (*wait)(struct loop *loop, uint64_t deadline_usec);

        void (*submit)(struct loop *loop, struct loop_op *op);

        /* `op` is CANCELING. It must complete in the end, whichever way. */
        void (*cancel)(struct loop *loop, struct loop_op *op);

        /* Forget and close the descriptor; no operation of the socket is under way. */
        void (*close)(struct loop *loop, struct loop_socket *socket);

        /*
         * Forget a listener whose operation has ended; it may be submitted again. Its descriptor
         * stays open.
         */
        void (*unlisten)(struct loop *loop, struct loop_listener *listener);

        /*
         * A lent buffer is free again; called in place of loop_buffers_give() (io_uring gives it
         * back to the kernel). NULL: loop_buffers_give() is all there is to do.
         */
        void (*buffer_free)(struct loop *loop, uint32_t id);

        /* Wake a wait from another thread. */
        void (*wake)(struct loop *loop);

        /* Non-blocking system calls on the way; -errno, -EAGAIN included. */
        int (*accept)(struct loop *loop, int listener_fd, struct sockaddr_storage *ret_address,
                      socklen_t *ret_size);
        ssize_t (*send_now)(struct loop_socket *socket, const struct msghdr *message, int flags);
        ssize_t (*send_file)(struct loop_socket *socket, int file, uint64_t offset, size_t bytes);
        int (*shutdown)(struct loop_socket *socket, int how);
        int64_t (*unsent)(struct loop_socket *socket);
        uint64_t (*now)(struct loop *loop); /* monotonic, microseconds */
};

enum {
        LOOP_EVENTS_MAX = 256,   /* completions taken in a turn; bounds what one wait can bring */
        LOOP_ACCEPTS_MAX = 64,   /* accepts of a listener in a turn (IO.md 2.8) */
        LOOP_ROUNDS_MAX = 4,     /* times the ready list is run before the next wait */
        LOOP_MESSAGES_MAX = 256, /* posted messages run in a turn */
        LOOP_TIMERS_MAX = 256,   /* timers fired in a turn */
        LOOP_TURN_USEC = 2000,   /* then the kernel is asked again: an accept waits no longer */
};

/* Receive buffers of one size in slabs that grow; loop-buffers.c. Ids run from 0. */
struct loop_buffers {
        uint32_t buffer_bytes, count, count_max;
        uint32_t *free_ids; /* a stack, last in first out: warm ones are used again */
        uint32_t free_count;
        char *slabs[16]; /* slab 0 has buffers_min buffers, each further one doubles the count */
        uint32_t first_count;
};

int loop_buffers_init(struct loop_buffers *b, const struct loop_options *options);
void loop_buffers_finish(struct loop_buffers *b);
char *loop_buffer_data(struct loop_buffers *b, uint32_t id);
/*
 * Twice as many, up to the bound. Errors: -ENOBUFS at the bound, -ENOMEM. New ids are on the free
 * stack.
 */
int loop_buffers_grow(struct loop_buffers *b);
/* Take one, growing if need be. Errors: -ENOBUFS. */
int loop_buffers_take(struct loop_buffers *b, uint32_t *ret_id);
void loop_buffers_give(struct loop_buffers *b, uint32_t id);

/*
 * What one timer wheel needs; loop-timers.c. 8 ms a tick, 4 levels of 64 slots; what lies further
 * ahead than 36 hours waits in the last slot and is put in again.
 */
enum { LOOP_WHEEL_LEVELS = 4, LOOP_WHEEL_SLOTS = 64, LOOP_TICK_USEC = 8000 };
struct loop_wheel {
        uint64_t now_tick;
        uint64_t occupied[LOOP_WHEEL_LEVELS]; /* a bit a slot; may be set for an empty one */
        struct list slots[LOOP_WHEEL_LEVELS][LOOP_WHEEL_SLOTS];
};
void loop_wheel_init(struct loop_wheel *w, uint64_t now_usec);
void loop_wheel_set(struct loop_wheel *w, struct loop_timer *timer, uint64_t deadline_usec);
uint64_t loop_wheel_next_usec(struct loop_wheel *w); /* when to look again; USEC_INFINITY: never */
/* Calls `fired`, LOOP_TIMERS_MAX times at most. */
void loop_wheel_run(struct loop_wheel *w, uint64_t now_usec);

struct loop {
        const struct loop_backend *backend;
        void *backend_data;
        uint64_t now_usec;
        counter turning_since_usec; /* loop_turning_since_usec() */
        pthread_t thread;                          /* the one that may use it */
        struct loop_op *ready_first, **ready_last; /* completed, `done` not yet run */
        struct loop_socket *closed_first;          /* no operation left, `closed` not yet run */
        struct loop_socket **closed_last;
        struct loop_buffers buffers;
        struct loop_wheel wheel;
        struct offload_pool *pool;
        _Atomic(struct loop_message *) posted; /* pushed by any thread, taken whole by the loop */
        struct loop_message *messages;         /* taken and in order, not yet run */
        atomic_uint posting;                   /* threads inside loop_post() or loop_stop() */
        atomic_bool wake_sent, stop;
        unsigned sockets, listeners, jobs, pending; /* alive; all zero when the loop is freed */
        struct loop_counters counters;
};

/* Put `op` on the ready list with this result. From the backend, once an operation. */
void loop_complete(struct loop *loop, struct loop_op *op, int result);
