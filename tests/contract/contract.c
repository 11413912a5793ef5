/* SPDX-License-Identifier: MIT */
#include "harness.h"

#include <stdio.h>
#include <sys/resource.h>

/*
 * The contract of loop.h, the same for every backend: contract CONFIGURATION runs all cases on one.
 * Exit status 77 (a skip to meson) where the backend cannot run on this machine.
 */

static const struct configuration configurations[] = {
        { "epoll-edge", &epoll_backend, { .trigger = LOOP_TRIGGER_EDGE } },
        { "epoll-level", &epoll_backend, { .trigger = LOOP_TRIGGER_LEVEL } },
        { "epoll-oneshot", &epoll_backend, { .trigger = LOOP_TRIGGER_ONESHOT } },
        { "epoll-tiny",
          &epoll_backend,
          { .buffer_bytes = 64, .buffers_min = 4, .buffers_max = 4 } },
#ifdef HAVE_IO_URING
        { "io_uring", &io_uring_backend, {} },
        { "io_uring-tiny",
          &io_uring_backend,
          { .ring_entries = 4, .buffer_bytes = 64, .buffers_min = 4, .buffers_max = 4 } },
#endif
        { "scripted", &scripted_backend, {} },
};

static int (*const groups[])(void) = {
        receiving_run, sending_run, files_run,  reading_files_run, closing_run,
        listening_run, waiting_run, timing_run, crowds_run,        sharing_run,
};

int main(int argc, char **argv) {
        char reason[LOOP_REASON_BYTES];
        struct rlimit files;
        int failed = 0;

        for (size_t i = 0; i < ELEMENTS(configurations) && argc == 2; i++)
                if (strcmp(configurations[i].name, argv[1]) == 0)
                        configuration = &configurations[i];
        if (!configuration) {
                fprintf(stderr, "usage: contract CONFIGURATION\n");
                return 64;
        }
        if (configuration->backend != &scripted_backend &&
            loop_backend_check(configuration->backend, reason) < 0) {
                fprintf(stderr, "%s cannot run here: %s\n", configuration->name, reason);
                return 77;
        }
        /* a thousand connections, both ends */
        getrlimit(RLIMIT_NOFILE, &files);
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
        for (size_t i = 0; i < ELEMENTS(groups); i++)
                failed += groups[i]();
        return failed != 0;
}
