/* SPDX-License-Identifier: MIT */
#include "backends.h"

/*
 * The backends that this program was built with, best first (DESIGN: Backend=auto takes the first
 * that can run).
 */
const struct loop_backend *const loop_backends[] = {
#ifdef HAVE_IO_URING
        &io_uring_backend,
#endif
#ifdef HAVE_EPOLL
        &epoll_backend,
#endif
        NULL,
};
