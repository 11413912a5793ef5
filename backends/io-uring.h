/* SPDX-License-Identifier: MIT */
#pragma once

#include <liburing.h>

#include "loop/loop-backend.h"

/* Private to io-uring*.c: one ring, the door to the kernel. What goes in is for io-uring.c. */

/* Younger than liburing 2.3 (kernel 6.15): a waiting ring does not count as waiting for a disk. */
#ifndef IORING_ENTER_NO_IOWAIT
#define IORING_ENTER_NO_IOWAIT (1U << 7)
#endif
#ifndef IORING_FEAT_NO_IOWAIT
#define IORING_FEAT_NO_IOWAIT (1U << 17)
#endif

enum { RING_BUFFER_GROUP = 0, RING_BUFFERS_MAX = 32768 };

struct ring {
        struct io_uring uring; /* liburing's: setting up, mapping, tearing down */
        int enter_fd;          /* the registered descriptor's index */
        unsigned enter_flags;
        struct io_uring_buf_ring *buffers;    /* receive buffers that the kernel may take */
        unsigned buffers_mask, buffers_added; /* added: not yet shown to the kernel */
        size_t buffers_bytes;
};

/*
 * Make a ring of the calling thread with only what is needed allowed (see io-uring-ring.c).
 * Units:   `entries` of the submission queue, `completions` of the other, room for `buffers`.
 * Errors:  -errno, and in `ret_step` what was tried, for a person.
 */
int ring_open(struct ring *r, unsigned entries, unsigned completions, unsigned buffers,
              const char **ret_step);
void ring_close(struct ring *r); /* also of a zeroed or half-made ring */

/* A zeroed submission; NULL when the queue is full and the kernel takes none just now. */
struct io_uring_sqe *ring_sqe(struct ring *r);

/* Which of the queue's slots a submission stands in. */
static inline unsigned ring_slot(const struct ring *r, const struct io_uring_sqe *sqe) {
        return (unsigned)(sqe - r->uring.sq.sqes);
}

/* Lend a buffer to the kernel, from the next ring_enter() on. */
static inline void ring_buffer_add(struct ring *r, uint32_t id, char *data, uint32_t bytes) {
        io_uring_buf_ring_add(r->buffers, data, bytes, (unsigned short)id, (int)r->buffers_mask,
                              (int)r->buffers_added++);
}

/*
 * Hand over what is queued and let completions come, waiting for `wait` of them at most
 * `timeout_usec` (USEC_INFINITY: without end).
 * Errors: -errno as the kernel gave it, -ETIME, -EINTR, -EAGAIN and -EBUSY among them.
 */
int ring_enter(struct ring *r, unsigned wait, uint64_t timeout_usec);

/* Submit nothing, wait for a completion at most `timeout_usec`. Errors: as ring_enter(). */
int ring_pause(struct ring *r, uint64_t timeout_usec);

/* io-uring-check.c: see loop_backend_check(). */
int ring_check(char reason[static LOOP_REASON_BYTES]);
