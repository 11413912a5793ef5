/* SPDX-License-Identifier: MIT */
#include "server/supervisor.h"

#include <stdlib.h>

#include "base/log.h"

/* A command is on the heap, one for each worker, so that no worker's pace holds up another's. */

bool supervisor_tell(struct supervisor *s, unsigned worker, const struct worker_command *command) {
        struct worker_command *copy;

        copy = malloc(sizeof(*copy));
        if (!copy) {
                log_error("a command for worker %u was lost: out of memory", worker);
                return false;
        }
        *copy = *command;
        copy->sequence = s->sequence;
        if (worker_send(&s->workers[worker], copy))
                return true;
        free(copy);
        return false;
}

bool supervisor_tell_all(struct supervisor *s, const struct worker_command *command) {
        bool all = true;

        s->sequence++;
        for (unsigned i = 0; i < s->worker_count; i++)
                all &= supervisor_tell(s, i, command);
        return all;
}

bool supervisor_all_did(const struct supervisor *s, uint64_t sequence) {
        for (unsigned i = 0; i < s->worker_count; i++)
                if (!atomic_load(&s->workers[i].ended) &&
                    atomic_load(&s->workers[i].done_sequence) < sequence)
                        return false;
        return true;
}
