/* SPDX-License-Identifier: MIT */
#pragma once

#include "scripted.h"

/* What the scripted*.c share; tests include scripted.h alone. */

/* Bytes under way to one end: appended at the back, taken at the front. */
struct scripted_queue {
        char *data;
        size_t start, used, size;
};

/* Descriptors that travel with the byte at `position` of an end's input. */
enum { SCRIPTED_RIGHTS_MAX = 8 };
struct scripted_rights {
        struct list link;
        uint64_t position;
        int fds[SCRIPTED_RIGHTS_MAX];
        unsigned count;
};

/*
 * One end of a stream; the loop's (fd >= 0), a listener's (waiting), or a peer that the test holds.
 */
struct scripted_peer {
        struct scripted_world *world;
        struct list link;            /* all ends of the world, or a listener's queue */
        struct scripted_peer *other; /* NULL: not connected, or the other end is gone */
        int fd;
        bool connected;
        bool input_ended, output_ended; /* FIN came; FIN was sent */
        bool input_shut;                /* SHUT_RD of our own */
        bool reset, close_resets;
        int error;     /* what the next call reports, once */
        size_t window; /* most bytes in `input` */
        struct scripted_queue input;
        uint64_t received, break_at; /* bytes that ever entered `input`; where the network resets */
        struct list rights;
        struct sockaddr_in address; /* of this end */
};

struct scripted_listening {
        int fd;
        unsigned backlog, waiting;
        struct list queue; /* ends that nobody accepted yet */
        struct sockaddr_in address;
};

struct scripted_descriptor {
        struct scripted_peer *end;
        struct scripted_listening *listening;
};

/* A planned fault; `count` operations of its kind are still to go by. */
struct scripted_planned {
        unsigned kind, count;
        bool each;
        enum scripted_fault fault;
        int64_t value;
};

enum { SCRIPTED_PLANNED_MAX = 64 };

struct scripted_world {
        uint64_t seed, random[2], now_usec, patience_usec, trace_hash;
        FILE *trace;
        struct scripted_odds odds;
        struct scripted_planned plan[SCRIPTED_PLANNED_MAX];
        unsigned planned;
        struct list events, ends;
        struct scripted_descriptor *descriptors;
        unsigned descriptors_size, descriptors_open, descriptors_max;
        unsigned loops, port_next;
};

/* What the plan and the odds decided for one operation. */
struct scripted_fate {
        bool forced;  /* ends with `result` */
        bool starved; /* the delay is one of lent buffers */
        bool reset;
        int result;
        size_t clamp; /* SIZE_MAX: none */
        uint64_t delay_usec;
};

/* scripted-world.c */
struct scripted_world *scripted_world_current(void);
struct scripted_fate scripted_fate(struct scripted_world *world, unsigned kind);
void scripted_trace(struct scripted_world *world, const char *what, int fd, int64_t result);
bool scripted_events_run(struct scripted_world *world); /* those that are due; true: any */
uint64_t scripted_event_next_usec(const struct scripted_world *world); /* USEC_INFINITY: none */
int scripted_fd_take(struct scripted_world *world, struct scripted_peer *end,
                     struct scripted_listening *listening);
void scripted_fd_give(struct scripted_world *world, int fd);
struct scripted_peer *scripted_end_of(struct scripted_world *world, int fd); /* or NULL */
struct scripted_listening *scripted_listening_of(struct scripted_world *world, int fd);

/* scripted-stream.c: what both sides of a stream can do. Results: -errno. */
struct scripted_peer *scripted_end_new(struct scripted_world *world);
void scripted_end_free(struct scripted_peer *end);
void scripted_end_close(struct scripted_peer *end, bool reset);
void scripted_end_shutdown(struct scripted_peer *end, int how);
void scripted_end_break(struct scripted_peer *end);
void scripted_end_join(struct scripted_peer *a, struct scripted_peer *b);
size_t scripted_end_room(const struct scripted_peer *end); /* for bytes sent by it */
ssize_t scripted_end_send(struct scripted_peer *end, const struct msghdr *message, size_t most);
ssize_t scripted_end_recv(struct scripted_peer *end, struct msghdr *message, size_t most);
ssize_t scripted_end_recv_bytes(struct scripted_peer *end, void *data, size_t size);
uint32_t scripted_end_events(const struct scripted_peer *end); /* poll(2)'s */

/* scripted-peer.c: a listener's queue. Errors: -EAGAIN when it is full; NULL when it is empty. */
int scripted_listening_join(struct scripted_listening *l, struct scripted_peer *end);
struct scripted_peer *scripted_listening_take(struct scripted_listening *l);

/* scripted-perform.c: an operation against the world. */
enum scripted_outcome { SCRIPTED_BLOCKED, SCRIPTED_MOVED, SCRIPTED_DONE };
bool scripted_can_perform(struct scripted_world *world, struct loop_op *op);
enum scripted_outcome scripted_perform(struct loop *loop, struct scripted_world *world,
                                       struct loop_op *op, size_t clamp, int *ret_result);
