/* SPDX-License-Identifier: MIT */
/*
 * Preloaded where valgrind counts instructions of io_uring. valgrind lets no other thread run while
 * one waits in io_uring_enter(2), so the waiting is done here, a millisecond at a time, and the
 * call itself only submits and reaps. One ring a process at a time, as with one worker.
 */
#include <dlfcn.h>
#include <errno.h>
#include <liburing.h>
#include <poll.h>

int io_uring_queue_init_params(unsigned entries, struct io_uring *ring, struct io_uring_params *p);
int io_uring_enter2(unsigned int fd, unsigned int to_submit, unsigned int min_complete,
                    unsigned int flags, sigset_t *sig, size_t sz);

static struct io_uring *waiting_ring;

int io_uring_queue_init_params(unsigned entries, struct io_uring *ring, struct io_uring_params *p) {
        int (*real)(unsigned, struct io_uring *, struct io_uring_params *) =
                dlsym(RTLD_NEXT, "io_uring_queue_init_params");
        int r = real(entries, ring, p);

        if (r == 0)
                waiting_ring = ring;
        return r;
}

int io_uring_enter2(unsigned int fd, unsigned int to_submit, unsigned int min_complete,
                    unsigned int flags, sigset_t *sig, size_t sz) {
        static int (*real)(unsigned, unsigned, unsigned, unsigned, sigset_t *, size_t);
        const struct io_uring_getevents_arg *arg = (const void *)sig;
        const struct __kernel_timespec *limit = (const void *)(unsigned long)arg->ts;
        struct io_uring_getevents_arg none = {};
        unsigned msec_left = limit ? limit->tv_sec * 1000 + limit->tv_nsec / 1000000 + 1 : ~0U;
        int r, submitted;

        if (!real)
                real = (int (*)(unsigned, unsigned, unsigned, unsigned, sigset_t *, size_t))dlsym(
                        RTLD_NEXT, "io_uring_enter2");
        submitted = real(fd, to_submit, 0, flags, (sigset_t *)&none, sizeof(none));
        if (submitted < 0 || min_complete == 0)
                return submitted;
        while (io_uring_cq_ready(waiting_ring) == 0) {
                if (msec_left-- == 0)
                        return -ETIME;
                poll(NULL, 0, 1);
                r = real(fd, 0, 0, flags, (sigset_t *)&none, sizeof(none));
                if (r < 0)
                        return r;
        }
        return submitted;
}
