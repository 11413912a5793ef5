/* SPDX-License-Identifier: MIT */
#include "io-uring.h"

#include <errno.h>
#include <sys/mman.h>

/*
 * How a ring is made, and the one system call that it costs in a turn.
 *
 * The ring is for one thread (SINGLE_ISSUER) and runs completions only when that thread enters
 * (DEFER_TASKRUN): nothing interrupts the program, and nothing completes unless it enters with
 * GETEVENTS. Both need kernel 6.1, which is the floor. The ring is made disabled, then gets all it
 * will ever have (buffer ring, registered descriptor), then is restricted to the operations and
 * flags that io-uring.c uses, then is enabled. A ring does not ask a sandbox's seccomp filter about
 * what it carries, so the restrictions are what keeps a hijacked worker from opening files through
 * it; where they cannot be had, that is a reason to run on epoll. One registration stays allowed:
 * to give back the ring's descriptor when it ends.
 *
 * liburing sets up and maps; queueing and entering are done here, because its functions of version
 * 2.3 cannot say NO_IOWAIT. They are a store and a system call. Two functions that it declares,
 * io_uring_register_restrictions() and io_uring_enable_rings(), its library does not export, hence
 * io_uring_register().
 */

static const struct io_uring_restriction ring_restrictions[] = {
        { .opcode = IORING_RESTRICTION_SQE_OP, .sqe_op = IORING_OP_RECV },
        { .opcode = IORING_RESTRICTION_SQE_OP, .sqe_op = IORING_OP_RECVMSG },
        { .opcode = IORING_RESTRICTION_SQE_OP, .sqe_op = IORING_OP_SEND },
        { .opcode = IORING_RESTRICTION_SQE_OP, .sqe_op = IORING_OP_SENDMSG },
        { .opcode = IORING_RESTRICTION_SQE_OP, .sqe_op = IORING_OP_CONNECT },
        { .opcode = IORING_RESTRICTION_SQE_OP, .sqe_op = IORING_OP_POLL_ADD },
        { .opcode = IORING_RESTRICTION_SQE_OP, .sqe_op = IORING_OP_ASYNC_CANCEL },
        /* without it a receive into a lent buffer gets EACCES */
        { .opcode = IORING_RESTRICTION_SQE_FLAGS_ALLOWED, .sqe_flags = IOSQE_BUFFER_SELECT },
        { .opcode = IORING_RESTRICTION_REGISTER_OP, .register_op = IORING_UNREGISTER_RING_FDS },
};

/* Errors: -EOPNOTSUPP where the kernel lacks one of them. */
static int ring_check_features(const struct ring *r) {
        const unsigned needed = IORING_FEAT_NODROP | IORING_FEAT_SUBMIT_STABLE |
                                IORING_FEAT_FAST_POLL | IORING_FEAT_EXT_ARG | IORING_FEAT_CQE_SKIP |
                                IORING_FEAT_RSRC_TAGS | IORING_FEAT_POLL_32BITS;

        return (r->uring.features & needed) == needed ? 0 : -EOPNOTSUPP;
}

static int ring_register_buffers(struct ring *r, unsigned count) {
        unsigned entries = 1;

        while (entries < count)
                entries *= 2;
        r->buffers_bytes = entries * sizeof(struct io_uring_buf);
        r->buffers = mmap(NULL, r->buffers_bytes, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (r->buffers == MAP_FAILED) {
                r->buffers = NULL;
                return -errno;
        }
        if (madvise(r->buffers, r->buffers_bytes, MADV_DONTFORK) < 0)
                return -errno;
        io_uring_buf_ring_init(r->buffers);
        r->buffers_mask = entries - 1;

        struct io_uring_buf_reg reg = {
                .ring_addr = (uintptr_t)r->buffers,
                .ring_entries = entries,
                .bgid = RING_BUFFER_GROUP,
        };
        return io_uring_register_buf_ring(&r->uring, &reg, 0);
}

static int ring_register_fd(struct ring *r) {
        int n = io_uring_register_ring_fd(&r->uring);
        if (n < 0)
                return n;
        if (n != 1)
                return -EOPNOTSUPP;
        r->enter_fd = r->uring.enter_ring_fd;
        r->enter_flags =
                IORING_ENTER_GETEVENTS | IORING_ENTER_EXT_ARG | IORING_ENTER_REGISTERED_RING;
        if (r->uring.features & IORING_FEAT_NO_IOWAIT)
                r->enter_flags |= IORING_ENTER_NO_IOWAIT;
        return 0;
}

/* The array says which slot comes next; ours always go in order. Some rings have none. */
static void ring_fill_array(struct ring *r) {
        struct io_uring_sq *sq = &r->uring.sq;

        if (!sq->array)
                return;
        for (unsigned i = 0; i < sq->ring_entries; i++)
                sq->array[i] = i;
}

int ring_open(struct ring *r, unsigned entries, unsigned completions, unsigned buffers,
              const char **ret_step) {
        struct io_uring_params params = {
                .flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
                         IORING_SETUP_SUBMIT_ALL | IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP |
                         IORING_SETUP_R_DISABLED,
                .cq_entries = completions,
        };

        *r = (struct ring){ .uring.ring_fd = -1 };
        const char *step = "io_uring_setup";
        int error = io_uring_queue_init_params(entries, &r->uring, &params);
        if (error < 0)
                r->uring.ring_fd = -1;
        if (error >= 0) {
                step = "io_uring_setup's features";
                error = ring_check_features(r);
        }
        if (error >= 0) {
                step = "madvise(MADV_DONTFORK)";
                error = io_uring_ring_dontfork(&r->uring);
        }
        if (error >= 0) {
                step = "io_uring_register of a buffer ring";
                error = ring_register_buffers(r, buffers);
        }
        if (error >= 0) {
                step = "io_uring_register of the ring's descriptor";
                error = ring_register_fd(r);
        }
        if (error >= 0) {
                step = "io_uring_register of restrictions";
                error = io_uring_register((unsigned)r->uring.ring_fd, IORING_REGISTER_RESTRICTIONS,
                                          ring_restrictions, ELEMENTS(ring_restrictions));
        }
        if (error >= 0) {
                step = "io_uring_register to enable the ring";
                error = io_uring_register((unsigned)r->uring.ring_fd, IORING_REGISTER_ENABLE_RINGS,
                                          NULL, 0);
        }
        if (error < 0) {
                ring_close(r);
                *ret_step = step;
                return error;
        }
        ring_fill_array(r);
        return 0;
}

void ring_close(struct ring *r) {
        if (r->uring.ring_fd >= 0 && r->uring.sq.sqes)
                io_uring_queue_exit(&r->uring);
        if (r->buffers)
                munmap(r->buffers, r->buffers_bytes);
        *r = (struct ring){ .uring.ring_fd = -1 };
}

static bool ring_is_full(const struct ring *r) {
        const struct io_uring_sq *sq = &r->uring.sq;

        return sq->sqe_tail - io_uring_smp_load_acquire(sq->khead) == sq->ring_entries;
}

struct io_uring_sqe *ring_sqe(struct ring *r) {
        struct io_uring_sq *sq = &r->uring.sq;

        if (unlikely(ring_is_full(r))) {
                /* an error that matters will come again from the turn's own ring_enter() */
                (void)ring_enter(r, 0, 0);
                if (ring_is_full(r))
                        return NULL;
        }
        struct io_uring_sqe *sqe = &sq->sqes[sq->sqe_tail++ & sq->ring_mask];
        *sqe = (struct io_uring_sqe){ 0 };
        return sqe;
}

static int ring_call(struct ring *r, unsigned submit, unsigned wait, uint64_t timeout_usec) {
        struct __kernel_timespec timeout = {
                .tv_sec = (long long)(timeout_usec / USEC_PER_SEC),
                .tv_nsec = (long long)(timeout_usec % USEC_PER_SEC) * 1000,
        };
        struct io_uring_getevents_arg arg = {
                .ts = wait > 0 && timeout_usec != USEC_INFINITY ? (uintptr_t)&timeout : 0,
        };

        return io_uring_enter2((unsigned)r->enter_fd, submit, wait, r->enter_flags,
                               (sigset_t *)&arg, sizeof(arg));
}

int ring_enter(struct ring *r, unsigned wait, uint64_t timeout_usec) {
        struct io_uring_sq *sq = &r->uring.sq;

        if (r->buffers_added > 0) {
                io_uring_buf_ring_advance(r->buffers, (int)r->buffers_added);
                r->buffers_added = 0;
        }
        io_uring_smp_store_release(sq->ktail, sq->sqe_tail);
        sq->sqe_head = sq->sqe_tail; /* liburing 2.3 counts what it has yet to show */
        return ring_call(r, sq->sqe_tail - io_uring_smp_load_acquire(sq->khead), wait,
                         timeout_usec);
}

int ring_pause(struct ring *r, uint64_t timeout_usec) {
        return ring_call(r, 0, timeout_usec > 0, timeout_usec);
}
