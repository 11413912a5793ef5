/* SPDX-License-Identifier: MIT */
#include "server/supervisor.h"

#include <errno.h>
#include <malloc.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "server/privileges.h"
#include "server/sandbox.h"
#include "systemd/activation.h"
#include "systemd/notify.h"

/*
 * From nothing to serving, in the order that safety asks for: signals are blocked before any thread
 * exists, sockets are opened while there are privileges, everything else (the log, roots, rings)
 * after they are gone: what a reload opens again must not need more than is left by then.
 */

enum {
        POOL_THREADS_MAX = 16,     /* for what may block; a guess */
        FILES_RESERVED = 64,       /* descriptors that are neither connections nor cached files */
        FILES_CACHED_MAX = 512,    /* descriptors that a worker's cache of files may hold */
        FILES_UNLIMITED = 1 << 20, /* "no limit" of open files: enough for anybody */
};

static int signals_open(struct supervisor *s) {
        sigset_t set;

        sigemptyset(&set);
        sigaddset(&set, SIGTERM);
        sigaddset(&set, SIGINT);
        sigaddset(&set, SIGHUP);
        sigaddset(&set, SIGUSR1);
        if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
                return -errno;
        signal(SIGPIPE, SIG_IGN); /* sendfile(2) has no MSG_NOSIGNAL */
        /* the first process of a container gets the orphans of all others; nobody waits for them */
        if (getpid() == 1)
                signal(SIGCHLD, SIG_IGN);
        s->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
        s->poke_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        return s->signal_fd < 0 || s->poke_fd < 0 ? -errno : 0;
}

/* ---- settings and sockets ---- */

static int take_passed_sockets(struct supervisor *s) {
        struct activation_socket *sockets = NULL;
        size_t count = 0, refused = 0;
        int r = activation_take(&sockets, &count, &refused);

        if (r < 0) {
                log_error("cannot take the sockets that systemd passed: %s", strerror(-r));
                return EXIT_SYSTEM;
        }
        if (refused)
                log_warning("%zu of the descriptors passed are no listening stream sockets; they "
                            "were closed",
                            refused);
        if (count && s->start->listen_given) {
                log_error("sockets were passed in, and --listen was given: leave --listen out, or "
                          "start emberd without a socket unit");
                r = EXIT_USAGE;
        } else if (count) {
                s->sockets_were_passed = true;
                r = listener_set_new_passed(sockets, count, &s->listeners) < 0 ? EXIT_SYSTEM : 0;
        }
        activation_free(sockets, count);
        return r;
}

static bool nothing_was_asked_for(const struct supervisor *s) {
        const struct settings_sources *from = &s->start->sources;

        return !s->sockets_were_passed && !from->directory && from->file &&
               from->file_is_optional && access(from->file, F_OK) < 0 &&
               !(from->options && from->options[0]);
}

/* Faulty settings under systemd do not end in a loop of deaths: emberd answers 503 and says why. */
static int load_settings(struct supervisor *s) {
        static const struct settings_sources none = {};
        _cleanup_(buffer_finish)
        struct buffer faults = {};

        if (nothing_was_asked_for(s)) {
                log_error("nothing to serve: give a DIRECTORY, as in 'emberd .', or write %s (see "
                          "emberd.conf(5))",
                          s->start->sources.file);
                return EXIT_SETTINGS;
        }
        if (supervisor_load_settings(s, &s->settings) == 0)
                return 0;
        if (!s->sockets_were_passed)
                return EXIT_SETTINGS;
        s->settings_are_faulty = true;
        return settings_load(&none, &faults, &s->settings) < 0 ? EXIT_SETTINGS : 0;
}

static int open_listeners(struct supervisor *s) {
        char reason[LISTENER_REASON_BYTES];

        if (!s->listeners) {
                int r = listener_set_open(s->settings, NULL, reason, &s->listeners);

                if (r < 0) {
                        log_error("%s", reason);
                        return r == -EINVAL ? EXIT_SETTINGS : EXIT_SYSTEM;
                }
                if (s->settings->idle_exit_usec)
                        log_notice("IdleExitSec= has no effect: nobody passed a socket, so nobody "
                                   "would start emberd again");
        }
        return 0;
}

static int open_log(struct supervisor *s) {
        static const struct settings none = { .access_log = ACCESS_LOG_AUTO };
        int r = log_target_new(s->settings, log_is_journal(), &s->log);

        if (r == 0)
                return 0;
        supervisor_tell_log_fault(s, s->settings, r);
        if (!s->sockets_were_passed)
                return EXIT_SETTINGS;
        s->settings_are_faulty = true;
        return log_target_new(&none, log_is_journal(), &s->log) < 0 ? EXIT_SYSTEM : 0;
}

static int drop_privileges(struct supervisor *s) {
        const char *user = s->settings->user;
        int r;

        if (geteuid() != 0) {
                if (user)
                        log_debug("User=%s has no effect: not started as root", user);
                return 0;
        }
        if (!user) {
                log_warning("running as root: set User= to a user without privileges, as in "
                            "-o Server.User=www-data");
                return 0;
        }
        r = privileges_drop(user);
        if (r < 0)
                log_error("User=%s: %s", user,
                          r == -ESRCH ? "there is no such user; create it or "
                                        "name another"
                                      : strerror(-r));
        return r == -ESRCH ? EXIT_SETTINGS : r < 0 ? EXIT_SYSTEM : 0;
}

/* Where it cannot be had emberd is less safe, and serves. */
static void enter_sandbox(void) {
        int r = sandbox_enter();

        if (r < 0)
                log_debug("programs could be executed in here, without Landlock: %s", strerror(-r));
}

/* Each worker has done the same for itself, once its ring was made. */
static void seal_sandbox(struct supervisor *s) {
        int r = sandbox_seal();

        s->sealed = r > 0;
        if (r < 0)
                log_debug("rings could still be made in here: %s", strerror(-r));
}

static int make_snapshot(struct supervisor *s) {
        _cleanup_(buffer_finish)
        struct buffer faults = {};
        int r = -EINVAL;

        if (!s->settings_are_faulty)
                r = supervisor_make_snapshot(s, s->settings, &faults, &s->snapshot);
        if (r == 0)
                return 0;
        if (!s->settings_are_faulty) {
                supervisor_tell_faults(s, &faults);
                if (!s->sockets_were_passed)
                        return EXIT_SETTINGS;
                s->settings_are_faulty = true;
        }
        if (snapshot_new_unusable(s->settings, s->worker_count, &s->snapshot) < 0)
                return EXIT_SYSTEM;
        log_error("answering 503 to everything until the settings are mended");
        return 0;
}

/* ---- the backend and the workers ---- */

static bool backend_can_run(struct supervisor *s, const struct loop_backend *backend) {
        if (loop_backend_check(backend, s->backend_reason) < 0)
                return false;
        s->backend_reason[0] = '\0';
        s->backend = backend;
        return true;
}

/* The first that can run; why one before it cannot is kept. */
static int choose_any_backend(struct supervisor *s) {
        char reason[LOOP_REASON_BYTES] = "";

        for (size_t i = 0; loop_backends[i] && !backend_can_run(s, loop_backends[i]); i++)
                memcpy(reason, s->backend_reason, sizeof(reason));
        memcpy(s->backend_reason, reason, sizeof(reason));
        if (!s->backend)
                log_error("no backend can run here: %s", s->backend_reason);
        return s->backend ? 0 : EXIT_SYSTEM;
}

static int choose_backend(struct supervisor *s) {
        const struct loop_backend *wanted = loop_backend_find(s->settings->backend);

        if (strcmp(s->settings->backend, "auto") == 0)
                return choose_any_backend(s);
        if (!wanted)
                snprintf(s->backend_reason, sizeof(s->backend_reason), "it was not built in");
        else if (backend_can_run(s, wanted))
                return 0;
        supervisor_tell_backend_fault(s, s->settings, s->backend_reason);
        if (!s->sockets_were_passed)
                return EXIT_SYSTEM;
        s->settings_are_faulty = true;
        return choose_any_backend(s);
}

/* As many workers as there are processors that this process may run on. */
static unsigned count_workers(const struct supervisor *s) {
        cpu_set_t set;

        if (s->settings_are_faulty)
                return 1;
        if (s->settings->workers)
                return s->settings->workers;
        if (sched_getaffinity(0, sizeof(set), &set) < 0)
                return 1;
        return (unsigned)MIN(MAX(CPU_COUNT(&set), 1), (int)WORKERS_MAX);
}

static unsigned conns_per_worker(const struct supervisor *s, uint64_t files_max) {
        uint64_t reserved = FILES_RESERVED + (uint64_t)s->worker_count * FILES_CACHED_MAX;
        uint64_t most;

        files_max = MIN(files_max, (uint64_t)FILES_UNLIMITED);
        most = files_max > reserved * 2 ? files_max - reserved : files_max / 2;
        if (s->settings->connections_max)
                most = MIN(most, (uint64_t)s->settings->connections_max);
        return (unsigned)MAX(most / s->worker_count, (uint64_t)1);
}

static void worker_prepare(struct supervisor *s, unsigned index, unsigned conns_max) {
        struct worker *w = &s->workers[index];

        *w = (struct worker){
                .index = index,
                .backend = s->backend,
                .options = { .trigger = s->settings->trigger,
                             .sockets_max = conns_max,
                             .pool = s->pool },
                .all = s->workers,
                .all_count = s->worker_count,
                .poke_fd = s->poke_fd,
                .poke_on_activity = &s->poke_on_activity,
                .snapshot = s->snapshot,
                .gate = &s->gate,
                .first_listeners = s->listeners,
                .first_log = s->log,
        };
        pthread_mutex_init(&w->lock, NULL);
        counter_set(&w->figures.active_usec, clock_monotonic_usec());
}

static void wait_for_poke(struct supervisor *s) {
        struct pollfd p = { .fd = s->poke_fd, .events = POLLIN };
        uint64_t pokes;

        if (poll(&p, 1, -1) > 0)
                (void)!read(s->poke_fd, &pokes, sizeof(pokes));
}

/*
 * They start beside each other. Where there is something to seal, nobody is served before all of
 * the process is: a worker that was taken over could have this thread make its ring. Elsewhere
 * each serves as soon as it has started; what it has begun it finishes even if another cannot.
 */
static int start_and_wait(struct supervisor *s) {
        int result = 0;

        for (unsigned i = 0; i < s->worker_count && result == 0; i++)
                result = worker_start(&s->workers[i]);
        for (unsigned i = 0; i < s->worker_count; i++) {
                struct worker *w = &s->workers[i];

                if (!w->thread_started)
                        break;
                while (!atomic_load(&w->started) && !atomic_load(&w->ended))
                        wait_for_poke(s);
                if (result == 0 && atomic_load(&w->ended))
                        result = w->result;
        }
        if (result == 0 && !s->sealed)
                seal_sandbox(s);
        return result;
}

static void end_workers(struct supervisor *s) {
        for (unsigned i = 0; i < s->worker_count; i++) {
                struct worker *w = &s->workers[i];

                if (!w->thread_started)
                        continue;
                if (atomic_load(&w->started))
                        supervisor_tell(s, i, &(struct worker_command){ .kind = WORKER_DRAIN });
                pthread_join(w->thread, NULL);
                w->thread_started = false;
        }
}

/* 0, or why one of them could not start; then none runs. */
static int start_workers(struct supervisor *s, unsigned conns_max) {
        int result;

        s->log->held.by = s->listeners->held.by = s->worker_count;
        for (unsigned i = 0; i < s->worker_count; i++)
                worker_prepare(s, i, conns_max);
        worker_gate_close(&s->gate, sandbox_can_seal());
        result = start_and_wait(s);
        worker_gate_open(&s->gate, result == 0);
        if (result < 0)
                end_workers(s);
        return result;
}

/*
 * As many as there can be threads (TasksMax=), unless settings ask for a number. The snapshot has
 * room for all that were meant to be.
 */
static int start_what_can_be(struct supervisor *s, uint64_t files_max) {
        for (;;) {
                int r = start_workers(s, conns_per_worker(s, files_max));

                if (r != -EAGAIN || s->settings->workers || s->worker_count == 1)
                        return r;
                log_warning("%u workers cannot be had, trying fewer: raise TasksMax=, or set "
                            "Workers=",
                            s->worker_count);
                s->worker_count /= 2;
                s->snapshot->held.by = s->worker_count;
        }
}

static void tell_workers_fault(struct supervisor *s, int error) {
        char place[SETTINGS_PLACE_BYTES];

        settings_place(&s->settings->workers_origin, place);
        supervisor_tell_fault(s, "%s: Workers=%u cannot be had: %s; raise TasksMax=, or set fewer",
                              place, s->settings->workers, strerror(-error));
}

/* Settings asked for what there is not: 503 is answered by what there is. */
static int run_one_worker(struct supervisor *s, uint64_t files_max, int error) {
        const struct loop_backend *epoll = loop_backend_find("epoll");

        s->snapshot = snapshot_free(s->snapshot);
        if (error == -EAGAIN) {
                tell_workers_fault(s, error);
        } else {
                snprintf(s->backend_reason, sizeof(s->backend_reason), "a worker's ring: %s",
                         strerror(-error));
                supervisor_tell_backend_fault(s, s->settings, s->backend_reason);
                s->backend = epoll ? epoll : s->backend;
        }
        s->settings_are_faulty = true;
        s->worker_count = 1;
        if (make_snapshot(s))
                return -ENOMEM;
        return start_workers(s, conns_per_worker(s, files_max));
}

static int run_workers(struct supervisor *s, uint64_t files_max) {
        const struct loop_backend *epoll = loop_backend_find("epoll");
        bool any_backend = strcmp(s->settings->backend, "auto") == 0;
        int r;

        s->workers = aligned_alloc(64, (s->worker_count * sizeof(*s->workers) + 63) / 64 * 64);
        if (!s->workers) {
                log_error("cannot start: out of memory");
                return EXIT_SYSTEM;
        }
        /* a heap for each, which the pool's threads share: heaps of their own would outlive them */
        (void)mallopt(M_ARENA_MAX, (int)s->worker_count);
        r = start_what_can_be(s, files_max);
        /* EAGAIN is a thread that cannot be had, with any backend */
        if (r < 0 && r != -EAGAIN && epoll && s->backend != epoll && any_backend) {
                /* one backend for the whole process, never a mixture (DESIGN) */
                snprintf(s->backend_reason, sizeof(s->backend_reason), "a worker's ring: %s",
                         strerror(-r));
                s->backend = epoll;
                r = start_what_can_be(s, files_max);
        }
        if (s->sockets_were_passed && !s->settings_are_faulty &&
            (r == -EAGAIN ? s->settings->workers > 0 : r < 0 && !any_backend))
                r = run_one_worker(s, files_max, r);
        if (r < 0) {
                log_error("cannot start %u workers on %s: %s%s", s->worker_count,
                          loop_backend_title(s->backend), strerror(-r),
                          r == -EAGAIN ? "; raise TasksMax=, or set Workers= to fewer" : "");
                s->worker_count = 0;
                return EXIT_SYSTEM;
        }
        return 0;
}

static void tell_ready(struct supervisor *s) {
        char bound[LISTENER_ADDRESS_BYTES];

        for (size_t i = 0; i < s->listeners->count; i++) {
                const struct listener *l = s->listeners->listeners[i];
                bool has_name = !l->address || strcmp(l->name, l->address) != 0;

                listener_bound_name(l->fd, bound);
                log_info(has_name ? "listening on %s (%s)" : "listening on %s", bound, l->name);
        }
        log_info("serving with %s and %u worker%s%s%s", loop_backend_title(s->backend),
                 s->worker_count, s->worker_count == 1 ? "" : "s",
                 s->backend_reason[0] ? "; not with io_uring: " : "", s->backend_reason);
        s->status_wanted = notify_is_wanted();
        s->status_requests = UINT64_MAX;
        s->status_next_usec = clock_monotonic_usec() + USEC_PER_SEC;
        s->watchdog_usec = notify_watchdog_usec();
        (void)notify_send("READY=1\nSTATUS=%s%s with %s%s%s", s->status_note,
                          s->settings_are_faulty ? "Answering 503" : "Ready",
                          loop_backend_title(s->backend),
                          s->backend_reason[0] ? "; not with io_uring: " : "", s->backend_reason);
}

int supervisor_open(struct supervisor *s) {
        uint64_t files_max = privileges_raise_files();
        int status;

        if (signals_open(s) < 0 || offload_pool_new(POOL_THREADS_MAX, &s->pool) < 0) {
                log_error("cannot start: %s", strerror(errno));
                return EXIT_SYSTEM;
        }
        status = take_passed_sockets(s);
        if (!status)
                status = load_settings(s);
        if (!status)
                status = open_listeners(s);
        if (!status)
                status = drop_privileges(s);
        if (status)
                return status;
        enter_sandbox();
        status = open_log(s);
        if (!status)
                status = choose_backend(s);
        if (status)
                return status;
        s->worker_count = count_workers(s);
        status = make_snapshot(s);
        if (!status) {
                /* before the first answer, after which somebody may ask there for the next thing */
                supervisor_open_control(s);
                status = run_workers(s, files_max);
        }
        if (status) {
                s->worker_count = 0;
                return status;
        }
        supervisor_open_pressure(s);
        tell_ready(s);
        return 0;
}

void supervisor_close(struct supervisor *s) {
        for (unsigned i = 0; i < s->worker_count; i++)
                pthread_join(s->workers[i].thread, NULL);
        s->control = control_close(s->control);
        pressure_close(&s->pressure);
        s->pool = offload_pool_free(s->pool);
        free(s->workers);
        held_by_none(s->old_snapshots);
        held_by_none(s->old_listeners);
        held_by_none(s->old_logs);
        supervisor_let_go(s);
        snapshot_free(s->snapshot);
        listener_set_free(s->listeners);
        log_target_free(s->log);
        settings_unref(s->settings);
        modules_close(&s->modules);
        buffer_finish(&s->faults);
        fd_close(s->signal_fd);
        fd_close(s->poke_fd);
}
