/* SPDX-License-Identifier: MIT */
#include "base/clock.h"

#include <time.h>

static uint64_t clock_usec(clockid_t id) {
        struct timespec t;

        clock_gettime(id, &t); /* cannot fail for the two clocks below */
        return (uint64_t)t.tv_sec * USEC_PER_SEC + (uint64_t)t.tv_nsec / 1000;
}

uint64_t clock_monotonic_usec(void) {
        return clock_usec(CLOCK_MONOTONIC);
}

uint64_t clock_real_usec(void) {
        return clock_usec(CLOCK_REALTIME);
}
