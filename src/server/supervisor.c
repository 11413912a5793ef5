/* SPDX-License-Identifier: MIT */
#include "server/supervisor.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "systemd/notify.h"

enum {
        /* for the workers to end everything at a second TERM; then the process ends */
        ABORT_MSEC = 2000,
        /* how much time systemd is asked for, and how often, so that who is stuck gets no more */
        EXTEND_SEC = 20,
        EXTEND_EVERY_SEC = 5,
};

/* ---- leaving ---- */

void supervisor_drain(struct supervisor *s) {
        if (s->state == SUPERVISOR_DRAINING)
                return;
        s->state = SUPERVISOR_DRAINING;
        s->drain_until_usec = clock_monotonic_usec() + s->settings->drain_usec;
        (void)notify_send("STOPPING=1\nSTATUS=Finishing the requests under way");
        supervisor_tell_all(s, &(struct worker_command){ .kind = WORKER_DRAIN });
        /* closed when the workers have let go: nobody new is let in to wait for nothing */
        held_push(&s->old_listeners, &s->listeners->held);
        s->listeners = NULL;
}

static void supervisor_abort(struct supervisor *s, const char *why) {
        if (s->aborted) {
                log_warning("ended at once: the workers did not");
                _exit(s->exit_status);
        }
        log_notice("%s", why);
        s->aborted = true;
        s->drain_until_usec = clock_monotonic_usec() + ABORT_MSEC * USEC_PER_MSEC;
        supervisor_tell_all(s, &(struct worker_command){ .kind = WORKER_ABORT });
}

static bool supervisor_has_ended(const struct supervisor *s) {
        for (unsigned i = 0; i < s->worker_count; i++)
                if (!atomic_load(&s->workers[i].ended))
                        return false;
        return true;
}

/* A worker ends on its own only when its loop is broken: then all of the process is. */
static void supervisor_look_at_workers(struct supervisor *s) {
        for (unsigned i = 0; i < s->worker_count; i++) {
                struct worker *w = &s->workers[i];

                if (!atomic_load(&w->ended) || w->result == 0 || s->exit_status)
                        continue;
                log_event(LOG_EVENT_LOOP_BROKEN, LOG_LEVEL_ERROR,
                          "worker %u's loop broke: %s; emberd ends, to be started again", i,
                          strerror(-w->result));
                (void)notify_send("ERRNO=%d\nSTATUS=A worker's loop broke: %s", -w->result,
                                  strerror(-w->result));
                s->exit_status = EXIT_SYSTEM;
                supervisor_drain(s);
        }
}

/* ---- signals ---- */

static void supervisor_take_signal(struct supervisor *s) {
        struct signalfd_siginfo info;

        if (read(s->signal_fd, &info, sizeof(info)) != (ssize_t)sizeof(info))
                return;
        switch (info.ssi_signo) {
        case SIGTERM:
        case SIGINT:
                if (s->state == SUPERVISOR_DRAINING) {
                        supervisor_abort(s, "told again to stop: ending all connections");
                        break;
                }
                log_info("told to stop: finishing the requests under way");
                supervisor_drain(s);
                break;
        case SIGHUP: s->reload_wanted = true; break;
        case SIGUSR1: supervisor_reopen_log(s); break;
        }
}

/* ---- the loop ---- */

/* DrainSec= may be longer than TimeoutStopSec=, which ends what is under way without a word. */
static uint64_t supervisor_ask_for_time(struct supervisor *s, uint64_t now_usec) {
        if (!notify_is_wanted())
                return USEC_INFINITY;
        if (now_usec < s->extend_next_usec)
                return s->extend_next_usec;
        (void)notify_send("EXTEND_TIMEOUT_USEC=%" PRIu64, EXTEND_SEC * USEC_PER_SEC);
        s->extend_next_usec = now_usec + EXTEND_EVERY_SEC * USEC_PER_SEC;
        return s->extend_next_usec;
}

static uint64_t supervisor_drain_step(struct supervisor *s, uint64_t now_usec) {
        if (s->state != SUPERVISOR_DRAINING)
                return USEC_INFINITY;
        if (now_usec < s->drain_until_usec)
                return MIN(s->drain_until_usec, supervisor_ask_for_time(s, now_usec));
        supervisor_abort(s, "DrainSec is over: ending the connections that are left");
        return s->drain_until_usec;
}

static uint64_t supervisor_steps(struct supervisor *s) {
        uint64_t now = clock_monotonic_usec(), next;

        supervisor_look_at_workers(s);
        supervisor_reload_step(s);
        supervisor_let_go(s);
        next = supervisor_drain_step(s, now);
        next = MIN(next, supervisor_idle_step(s, now));
        next = MIN(next, supervisor_watchdog_step(s, now));
        next = MIN(next, supervisor_certificates_step(s, now));
        next = MIN(next, supervisor_status_step(s, now));
        next = MIN(next, supervisor_pressure_step(s, now));
        next = MIN(next, control_step(s->control, now));
        return next;
}

static void supervisor_wait(struct supervisor *s, uint64_t until_usec) {
        struct pollfd fds[3 + CONTROL_POLL_MAX] = {
                { .fd = s->signal_fd, .events = POLLIN },
                { .fd = s->poke_fd, .events = POLLIN },
        };
        uint64_t now = clock_monotonic_usec(), left = until_usec > now ? until_usec - now : 0;
        struct timespec timeout = { .tv_sec = (time_t)(left / USEC_PER_SEC),
                                    .tv_nsec = (long)(left % USEC_PER_SEC) * 1000 };
        uint64_t pokes;

        fds[2] = supervisor_pressure_poll(s, now);
        control_poll(s->control, fds + 3);
        if (ppoll(fds, ELEMENTS(fds), until_usec == USEC_INFINITY ? NULL : &timeout, NULL) <= 0)
                return;
        if (fds[1].revents)
                (void)!read(s->poke_fd, &pokes, sizeof(pokes));
        if (fds[0].revents)
                supervisor_take_signal(s);
        supervisor_take_pressure(s, fds[2].revents, now);
        control_take(s->control, fds + 3);
}

static void supervisor_serve(struct supervisor *s) {
        while (!supervisor_has_ended(s))
                supervisor_wait(s, supervisor_steps(s));
        supervisor_look_at_workers(s);
        supervisor_reload_step(s); /* who still waits for one is told */
}

int supervisor_run(const struct supervisor_start *start) {
        struct supervisor s = { .start = start,
                                .signal_fd = -1,
                                .poke_fd = -1,
                                .pressure.fd = -1,
                                .gate.lock = PTHREAD_MUTEX_INITIALIZER };

        s.exit_status = supervisor_open(&s);
        if (s.exit_status == 0)
                supervisor_serve(&s);
        supervisor_close(&s);
        return s.exit_status;
}
