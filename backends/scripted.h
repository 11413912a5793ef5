/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/list.h"
#include "loop/loop-backend.h"

#include <stdio.h>

/*
 * For tests: a loop without a kernel. A world has a clock of its own, sockets in memory and the
 * other ends of their connections, peers, which the test plays. What a test or a seed dictates
 * happens, in the same order every time.
 *
 * - The world made last on this thread is the one that loops made with &scripted_backend live in.
 * - Descriptors of a world are numbers from SCRIPTED_FD_FIRST up, lowest free one first, so that
 *   one that leaks to a system call gets EBADF, and one that is used after its close meets
 *   another's.
 * - Waiting takes no time: when nothing can complete, the clock jumps to the deadline or to the
 *   next event. Each wait moves it by a microsecond, so that a loop that never waits sees time pass
 *   too.
 * - Streams behave as TCP does on Linux: a close with unread bytes resets, bytes received before a
 *   reset can be read, a reset is reported once as ECONNRESET, sending to a closed peer works once.
 * - Memory running out in here ends the test (assert).
 */
struct scripted_world;
struct scripted_peer;

enum { SCRIPTED_FD_FIRST = 1 << 20 };

/* ---- the world ---- */

struct scripted_world *scripted_world_new(uint64_t seed);
/* All loops in it freed, or assert. What is open is closed. Accepts NULL; gives NULL. */
struct scripted_world *scripted_world_free(struct scripted_world *world);
DEFINE_FREEP(struct scripted_world, scripted_world)

uint64_t scripted_now_usec(const struct scripted_world *world);
void scripted_advance(struct scripted_world *world, uint64_t usec); /* runs the events on the way */

/*
 * Something that a test lets happen at a time. It runs from within a wait, so of the loop it may
 * call loop_post() alone; it may set itself again.
 */
struct scripted_event {
        struct list link; /* private */
        uint64_t at_usec; /* private */
        void (*run)(struct scripted_event *event);
};
void scripted_event_set(struct scripted_world *world, struct scripted_event *event,
                        uint64_t at_usec);
void scripted_event_clear(struct scripted_event *event);

/* The world's own generator; what a test decides by it belongs to the seed as well. */
uint64_t scripted_random(struct scripted_world *world);
unsigned scripted_below(struct scripted_world *world, unsigned bound); /* 0 … bound-1; 0 for 0 */
bool scripted_chance(struct scripted_world *world, unsigned per_thousand);

/*
 * What happened so far as one number: each completion and each accept with its time, descriptor and
 * result. Equal seeds give equal numbers. With a `stream`, each is printed as well.
 */
uint64_t scripted_trace_hash(const struct scripted_world *world);
void scripted_trace_to(struct scripted_world *world, FILE *stream);

unsigned scripted_descriptors_open(const struct scripted_world *world);
/* Past this many, accept gives EMFILE; no bound at first. */
void scripted_descriptors_limit(struct scripted_world *world, unsigned most);

/*
 * How long a wait sleeps in real time before the clock jumps; 0 at first. For tests in which other
 * threads post to the loop, or in which it polls descriptors of the kernel's.
 */
void scripted_patience(struct scripted_world *world, uint64_t real_usec);

/* ---- sockets that the loop uses ---- */

/* Listening, with room for `backlog` connections that nobody accepted yet. Gives a descriptor. */
int scripted_listener(struct scripted_world *world, unsigned backlog);
void scripted_listener_close(struct scripted_world *world, int fd); /* what waits there is reset */
/* Where loop_connect() finds it. */
struct sockaddr_storage scripted_address(struct scripted_world *world, int listener_fd,
                                         socklen_t *ret_size);

/* A stream socket that is not connected, for loop_connect(). */
int scripted_socket(struct scripted_world *world);
/* Connected at once. Gives the loop's descriptor; the peer is freed by closing or resetting it. */
int scripted_pair(struct scripted_world *world, struct scripted_peer **ret_peer);
/* A descriptor that no loop owns (an accepted one that was refused). */
void scripted_close(struct scripted_world *world, int fd);
/* Its close will be a reset, as after SO_LINGER with a time of 0. */
void scripted_close_resets(struct scripted_world *world, int fd);

/* ---- peers ---- */

/* A peer connects: it appears in the listener's queue. Errors: -EAGAIN when that is full. */
int scripted_peer_connect(struct scripted_world *world, int listener_fd,
                          struct scripted_peer **ret_peer);
/*
 * The peer of the oldest connection that waits at the listener (made by loop_connect()), or NULL.
 */
struct scripted_peer *scripted_peer_accept(struct scripted_world *world, int listener_fd);

/* Bytes taken, as far as the other side has room. Errors: -EAGAIN, -EPIPE, -ECONNRESET. */
ssize_t scripted_peer_send(struct scripted_peer *peer, const void *data, size_t size);
/* Bytes; 0 at the end. Errors: -EAGAIN, -ECONNRESET. */
ssize_t scripted_peer_recv(struct scripted_peer *peer, void *data, size_t size);
/* With control data: descriptors of the kernel's in SCM_RIGHTS are duplicated on the way. */
ssize_t scripted_peer_send_message(struct scripted_peer *peer, const struct msghdr *message);
ssize_t scripted_peer_recv_message(struct scripted_peer *peer, struct msghdr *message);

size_t scripted_peer_waiting(const struct scripted_peer *peer); /* bytes that recv would find */
bool scripted_peer_ended(const struct scripted_peer *peer); /* the end, or a reset, has arrived */

/* How many bytes wait for the peer, or for the loop's side, before a send to it blocks (1 MiB). */
void scripted_peer_window(struct scripted_peer *peer, size_t bytes);
void scripted_peer_server_window(struct scripted_peer *peer, size_t bytes);

void scripted_peer_half_close(struct scripted_peer *peer); /* sends no more, receives on */
void scripted_peer_close(struct scripted_peer *peer);      /* and frees */
void scripted_peer_reset(struct scripted_peer *peer);      /* and frees */

/*
 * The network resets the connection, at once or when so many bytes went to or came from the peer.
 */
void scripted_peer_break(struct scripted_peer *peer);
void scripted_peer_break_at(struct scripted_peer *peer, uint64_t to_peer, uint64_t from_peer);

/* ---- faults ---- */

enum scripted_kind { /* beside enum loop_op_kind: the calls that are no operation */
                     SCRIPTED_ACCEPT = 32,
                     SCRIPTED_SEND_NOW,
                     SCRIPTED_SEND_FILE,
                     SCRIPTED_KINDS,
};

enum scripted_fault {
        SCRIPTED_RESULT, /* ends with `value` (-errno) in place of doing anything */
        SCRIPTED_CLAMP,  /* moves at most `value` bytes at a time */
        SCRIPTED_DELAY,  /* ends `value` microseconds after it could have; operations only */
        SCRIPTED_STARVE, /* LOOP_RECV: no buffer can be lent for `value` microseconds */
        SCRIPTED_RESET,  /* the connection is reset when it begins */
};

/*
 * The `nth` operation of this kind from here on (1: the next) meets a fault; 0: each one does,
 * until scripted_faults_clear().
 */
void scripted_fault(struct scripted_world *world, unsigned kind, unsigned nth,
                    enum scripted_fault fault, int64_t value);
void scripted_faults_clear(struct scripted_world *world);

/* Faults by the seed: how many of 1,000 operations meet each. All 0 at first. */
struct scripted_odds {
        unsigned short_recv, short_send; /* a random part of what could be moved */
        unsigned delay;                  /* by up to delay_usec_max */
        unsigned shuffle;                /* a wait gives what completed in a random order */
        unsigned reset;                  /* an operation on a socket meets a reset */
        unsigned starve;                 /* a receive has no buffer for up to delay_usec_max */
        unsigned accept_fails;           /* with EMFILE */
        unsigned refuse_now;  /* send_now and send_file give EAGAIN though there is room */
        unsigned cancel_late; /* a cancelled operation that can complete does */
        unsigned reset_drops; /* a reset takes what was received and not read with it */
        uint64_t delay_usec_max;
};
void scripted_odds_set(struct scripted_world *world, const struct scripted_odds *odds);
