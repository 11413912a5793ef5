/* SPDX-License-Identifier: MIT */
#include "io-uring-faults.h"

#include <errno.h>
#include <liburing.h>

/*
 * Between the backend and liburing, put there by the linker. Faults come in a fixed pseudorandom
 * order, so that a run can be repeated.
 */

int __real_io_uring_enter2(unsigned fd, unsigned submit, unsigned wait, unsigned flags,
                           sigset_t *argument, size_t argument_bytes);
int __wrap_io_uring_enter2(unsigned fd, unsigned submit, unsigned wait, unsigned flags,
                           sigset_t *argument, size_t argument_bytes);

static bool faults_on;
static unsigned seed;

void io_uring_faults_set(bool on) {
        faults_on = on;
        seed = 3;
}

int __wrap_io_uring_enter2(unsigned fd, unsigned submit, unsigned wait, unsigned flags,
                           sigset_t *argument, size_t argument_bytes) {
        if (faults_on) {
                seed = seed * 1103515245U + 12345U;
                switch ((seed >> 8) % 7) {
                case 0: return -EAGAIN;
                case 1: return -EBUSY;
                case 2: return -EINTR;
                case 3:
                        /* as the kernel: with submissions left over it does not wait */
                        if (submit > 1)
                                return __real_io_uring_enter2(fd, 1, 0, flags, argument,
                                                              argument_bytes);
                }
        }
        return __real_io_uring_enter2(fd, submit, wait, flags, argument, argument_bytes);
}
