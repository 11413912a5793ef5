/* SPDX-License-Identifier: MIT */
#include "server/supervisor.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/fd.h"
#include "base/log.h"
#include "systemd/notify.h"

/*
 * What happens by the clock: leaving when idle, feeding the watchdog, telling the status.
 *
 * Leaving has two phases, so that no connection is lost. First all workers stop accepting and say
 * whether anything is under way. Then this thread accepts what has arrived in between, until none
 * waits: if there was none, all leave (systemd's copy of the socket starts the next emberd); if
 * there was one, it is handed to a worker and all go on.
 *
 * The workers keep the time of their last exchange, and poke only when asked: an idle process wakes
 * once, when its time is over.
 */

/* where more come the workers, who go on, accept the rest: this thread feeds the watchdog */
enum { LAST_LOOK_ACCEPTS = 64 };

#define FAULTY_IDLE_USEC \
        (3 * USEC_PER_SEC) /* with settings that cannot be used (DESIGN: a few seconds) */
/*
 * Who asks every second whether the site is up again must not be what keeps it down: the settings
 * are read when emberd is started, so it leaves after this even when it is visited. The next
 * visitor starts it again; nobody is lost, as at any stop. A guess: each start logs the faults.
 */
#define FAULTY_STAY_USEC (10 * USEC_PER_SEC)

static uint64_t idle_limit_usec(const struct supervisor *s) {
        if (!s->sockets_were_passed)
                return 0; /* nobody would start it again */
        return s->settings_are_faulty ? FAULTY_IDLE_USEC : s->settings->idle_exit_usec;
}

static bool workers_are_busy(const struct supervisor *s) {
        for (unsigned i = 0; i < s->worker_count; i++)
                if (counter_read(&s->workers[i].figures.exchanges))
                        return true;
        return false;
}

static uint64_t last_activity_usec(const struct supervisor *s) {
        uint64_t last = 0;

        for (unsigned i = 0; i < s->worker_count; i++)
                last = MAX(last, counter_read(&s->workers[i].figures.active_usec));
        return last;
}

/* Everything has stopped accepting. Leave, or go on? */
static void idle_decide(struct supervisor *s, uint64_t now_usec) {
        struct worker_command socket = { .kind = WORKER_TAKE_SOCKET };
        /* the last activity may be after `now_usec`, which was taken before */
        bool busy = workers_are_busy(s) || now_usec < last_activity_usec(s) + idle_limit_usec(s);
        const struct listener *came_to;
        int fd;

        for (unsigned i = 0; i < s->worker_count; i++)
                busy |= atomic_load(&s->workers[i].was_busy);
        /* a reload may have said meanwhile that it is to stay */
        busy |= !idle_limit_usec(s);
        for (unsigned i = 0; i < LAST_LOOK_ACCEPTS; i++) {
                fd = listener_set_accept(s->listeners, &came_to, &socket.socket.address,
                                         &socket.socket.address_size);
                if (fd < 0)
                        break;
                socket.socket.fd = fd;
                socket.socket.tls = listener_is_tls(came_to, s->settings);
                busy = true;
                /* without memory for the command there is none to serve the connection either */
                if (!supervisor_tell(s, i % s->worker_count, &socket))
                        fd_close(fd);
        }
        if (!busy) {
                log_info("idle for %" PRIu64 " s: leaving", idle_limit_usec(s) / USEC_PER_SEC);
                supervisor_drain(s);
                return;
        }
        s->state = SUPERVISOR_RUNNING;
        supervisor_tell_all(s, &(struct worker_command){ .kind = WORKER_RESUME });
}

/* When to leave although there are visitors; USEC_INFINITY: not for that. */
static uint64_t faulty_step(struct supervisor *s, uint64_t now_usec) {
        if (!s->settings_are_faulty || !s->sockets_were_passed || s->state == SUPERVISOR_DRAINING)
                return USEC_INFINITY;
        if (!s->faulty_until_usec)
                s->faulty_until_usec = now_usec + FAULTY_STAY_USEC;
        if (now_usec < s->faulty_until_usec)
                return s->faulty_until_usec;
        log_info("leaving, so that the settings are read again at the next start");
        supervisor_drain(s);
        return USEC_INFINITY;
}

static uint64_t leave_when_idle(struct supervisor *s, uint64_t now_usec) {
        uint64_t limit = idle_limit_usec(s), due;

        if (s->state == SUPERVISOR_PAUSING && supervisor_all_did(s, s->pause_sequence))
                idle_decide(s, now_usec);
        if (s->state != SUPERVISOR_RUNNING || !limit)
                return USEC_INFINITY;
        if (workers_are_busy(s))
                return now_usec + limit; /* from the end of what is under way, at the earliest */
        due = last_activity_usec(s) + limit;
        if (now_usec < due)
                return due;
        s->state = SUPERVISOR_PAUSING;
        if (!supervisor_tell_all(s, &(struct worker_command){ .kind = WORKER_PAUSE })) {
                s->state = SUPERVISOR_RUNNING;
                supervisor_tell_all(s, &(struct worker_command){ .kind = WORKER_RESUME });
                return now_usec + limit;
        }
        s->pause_sequence = s->sequence;
        return USEC_INFINITY;
}

uint64_t supervisor_idle_step(struct supervisor *s, uint64_t now_usec) {
        uint64_t next = faulty_step(s, now_usec);

        return MIN(next, leave_when_idle(s, now_usec));
}

uint64_t supervisor_watchdog_step(struct supervisor *s, uint64_t now_usec) {
        if (!s->watchdog_usec)
                return USEC_INFINITY;
        if (now_usec < s->watchdog_next_usec)
                return s->watchdog_next_usec;
        /*
         * fed for the last round only if every loop has turned since; else it starves, as it should
         */
        if (supervisor_all_did(s, s->watchdog_sequence)) {
                (void)notify_send("WATCHDOG=1");
                if (supervisor_tell_all(s, &(struct worker_command){ .kind = WORKER_PING }))
                        s->watchdog_sequence = s->sequence;
        }
        s->watchdog_next_usec = now_usec + s->watchdog_usec / 3;
        return s->watchdog_next_usec;
}

static uint64_t requests_so_far(const struct supervisor *s) {
        uint64_t requests = 0;

        for (unsigned i = 0; i < s->worker_count; i++)
                requests += counter_read(&s->workers[i].figures.requests);
        return requests;
}

uint64_t supervisor_status_step(struct supervisor *s, uint64_t now_usec) {
        uint64_t requests, connections = 0;

        if (!s->status_wanted || s->state == SUPERVISOR_DRAINING || s->reloading)
                return USEC_INFINITY;
        if (now_usec < s->status_next_usec)
                return s->status_next_usec;
        s->status_next_usec = now_usec + USEC_PER_SEC;
        requests = requests_so_far(s);
        if (requests == s->status_requests) {
                /* nothing to tell: sleep until a worker pokes at its next request */
                atomic_store(&s->poke_on_activity, true);
                /* one that ended before it could see that */
                requests = requests_so_far(s);
                if (requests == s->status_requests)
                        return USEC_INFINITY;
                atomic_store(&s->poke_on_activity, false);
        }
        s->status_requests = requests;
        for (unsigned i = 0; i < s->worker_count; i++)
                connections += counter_read(&s->workers[i].figures.connections);
        (void)notify_send("STATUS=%s%s%" PRIu64 " requests, %" PRIu64 " connections, %s, %u "
                          "worker%s%s%s",
                          s->status_note, s->certificates_note, requests, connections,
                          loop_backend_title(s->backend), s->worker_count,
                          s->worker_count == 1 ? "" : "s",
                          s->backend_reason[0] ? "; not with io_uring: " : "", s->backend_reason);
        return s->status_next_usec;
}
