/* SPDX-License-Identifier: MIT */
#include "server/worker.h"

#include <stdlib.h>
#include <string.h>

/*
 * Who wins a connection is left to chance (io_uring's loops race for it) or to order (epoll's stand
 * in a queue), and both can favour one worker for a while. So a connection that comes to a worker
 * which has clearly more of them than another is passed on to that one, unless it is stuck in a
 * turn: nobody must wait behind it.
 */

enum { SURPLUS_LEAST = 4 }; /* connections more than the other has; fewer are not worth the way */
#define STUCK_USEC UINT64_C(5000) /* a turn is meant to end after 2 ms (LOOP_TURN_USEC) */

static bool worker_has_time(struct worker *w, uint64_t now_usec) {
        uint64_t since = UINT64_MAX;

        if (!atomic_load(&w->started) || atomic_load(&w->ended))
                return false;
        /* one that leaves frees its loop, and is `closing` before */
        pthread_mutex_lock(&w->lock);
        if (!w->closing)
                since = loop_turning_since_usec(w->loop);
        pthread_mutex_unlock(&w->lock);
        return since != UINT64_MAX && (!since || now_usec < since + STUCK_USEC);
}

/* Its connections, those that have been passed to it and not taken yet among them. */
static uint64_t worker_load(struct worker *w) {
        return counter_read(&w->figures.connections) + atomic_load(&w->incoming);
}

/* NULL: none has clearly fewer. */
static struct worker *worker_with_fewest(struct worker *w) {
        uint64_t ours = worker_load(w), least = ours;
        struct worker *fewest = NULL;

        for (unsigned i = 0; i < w->all_count; i++) {
                struct worker *other = &w->all[i];
                uint64_t theirs = worker_load(other);

                /* the lock is last: where there is no surplus nobody takes one */
                if (theirs + SURPLUS_LEAST > ours || theirs >= least ||
                    !worker_has_time(other, loop_now_usec(w->loop)))
                        continue;
                fewest = other;
                least = theirs;
        }
        return fewest;
}

bool worker_pass_on(struct worker *worker, int fd, const struct sockaddr *address, socklen_t size,
                    bool tls) {
        struct worker *to = worker_with_fewest(worker);
        struct worker_command *command;

        if (!to)
                return false;
        command = calloc(1, sizeof(*command));
        if (!command)
                return false;
        command->kind = WORKER_TAKE_SOCKET;
        command->socket.fd = fd;
        command->socket.tls = tls;
        command->socket.address_size = MIN(size, (socklen_t)sizeof(command->socket.address));
        memcpy(&command->socket.address, address, command->socket.address_size);
        atomic_fetch_add(&to->incoming, 1);
        if (worker_send(to, command))
                return true;
        atomic_fetch_sub(&to->incoming, 1);
        free(command);
        return false;
}
