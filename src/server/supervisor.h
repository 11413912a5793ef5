/* SPDX-License-Identifier: MIT */
#pragma once

#include "control/control.h"
#include "server/listeners.h"
#include "server/modules.h"
#include "server/worker.h"
#include "systemd/pressure.h"

/*
 * The main thread. It owns the signals, what is said to systemd, the settings and the listening
 * sockets; the workers do all the serving. It sleeps in poll(2) until a signal, a worker's poke on
 * its eventfd, or the next of its own times.
 */
enum {
        EXIT_USAGE = 64,    /* sysexits.h EX_USAGE */
        EXIT_SYSTEM = 71,   /* EX_OSERR: the system refused */
        EXIT_SETTINGS = 78, /* EX_CONFIG */
};

struct supervisor_start {
        struct settings_sources sources;
        bool listen_given; /* --listen was, which goes with no passed socket */
};

/* Serve until told to leave. Gives the exit status; what went wrong was logged. */
int supervisor_run(const struct supervisor_start *start);

/* ---- for the files of the supervisor alone ---- */

enum supervisor_state {
        SUPERVISOR_RUNNING,
        /* idle for long enough: the workers have been asked to stop accepting */
        SUPERVISOR_PAUSING,
        SUPERVISOR_DRAINING,
};

struct supervisor {
        const struct supervisor_start *start;
        enum supervisor_state state;
        int exit_status;

        struct settings *settings;
        struct snapshot *snapshot;
        struct listener_set *listeners;
        struct log_target *log;
        struct modules modules;
        uint64_t keys_next_usec;     /* when tickets get a new key; 0: never yet */
        bool keys_wanted;            /* workers that had no TLS before do not know them */
        uint64_t dates_next_usec;    /* when certificates are looked at again; 0: not yet */
        char certificates_note[128]; /* for the status: which ends soon; empty if none does */
        struct held *old_snapshots, *old_listeners, *old_logs; /* replaced, and not yet let go of */
        bool sockets_were_passed;                              /* by systemd */
        bool settings_are_faulty;                              /* answers 503, leaves soon */
        uint64_t faulty_until_usec;                            /* to leave by then, whoever comes */

        const struct loop_backend *backend;
        char backend_reason
                [LOOP_REASON_BYTES]; /* why not the better one; empty if it is the best */
        bool sealed; /* no ring can be made any more (sandbox.h) */
        struct worker_gate gate;
        struct offload_pool *pool;
        struct worker *workers;
        unsigned worker_count;
        uint64_t sequence; /* of the last command sent */

        int signal_fd, poke_fd;
        atomic_bool poke_on_activity;

        struct control *control; /* NULL: there is no control socket */
        struct buffer faults;    /* and warnings, of the settings last read; a line each */

        bool reload_wanted;     /* begins when the one at work, if any, is done */
        bool reloading;         /* one is at work: READY=1 is owed when `reload_sequence` is done */
        bool reload_was_lost;   /* by a worker: there was no memory to tell it */
        uint64_t reload_number; /* of those that have begun, the last */
        uint64_t reload_sequence;
        uint64_t pause_sequence;
        uint64_t drain_until_usec;
        uint64_t extend_next_usec; /* when systemd is asked for more time to drain */
        bool aborted;

        struct pressure pressure;
        uint64_t pressure_pause_until_usec, pressure_told_usec;
        bool pressure_is_on; /* the workers drop their caches: `pressure_sequence` */
        uint64_t pressure_sequence;

        uint64_t watchdog_usec; /* how often to feed it; 0: none */
        uint64_t watchdog_next_usec, watchdog_sequence;
        bool status_wanted;
        uint64_t status_next_usec; /* no earlier than this: one message a second */
        uint64_t status_requests;  /* as of the last message */
        char status_note[256];     /* what a reload found wrong; empty if nothing */
};

/* What those wait for whom the control socket keeps waiting (control.h). */
enum supervisor_control_topic {
        CONTROL_TOPIC_RELOAD, /* with the number of a reload */
};

/* startup.c: everything until the workers serve. An exit status, 0 when serving. */
int supervisor_open(struct supervisor *s);
void supervisor_close(struct supervisor *s);

/*
 * commands.c: to one worker or all; what finds no memory is logged and tried by its caller again.
 */
bool supervisor_tell_all(struct supervisor *s, const struct worker_command *command);
bool supervisor_tell(struct supervisor *s, unsigned worker, const struct worker_command *command);
bool supervisor_all_did(const struct supervisor *s, uint64_t sequence);

/* control-requests.c: listen on the control socket if there is a folder for it. Logs why not. */
void supervisor_open_control(struct supervisor *s);

/* reload.c: end the reload that is in force everywhere; begin the one that is wanted. */
void supervisor_reload_step(struct supervisor *s);
void supervisor_reopen_log(struct supervisor *s);
/* A line each: logged, and told to those who ask for a reload or the status. */
void supervisor_tell_warnings(struct supervisor *s, const struct buffer *warnings);
void supervisor_let_go(struct supervisor *s); /* free what no worker holds any more */
/* Read the settings, with the welcome page where they name no site. Faults are logged. -errno. */
int supervisor_load_settings(struct supervisor *s, struct settings **ret);
/* With the modules that it needs, opened. Warnings are logged. Errors: as snapshot_new(). */
int supervisor_make_snapshot(struct supervisor *s, struct settings *settings, struct buffer *faults,
                             struct snapshot **ret);
/* Log each fault, a line each, and keep them; the first one becomes the status. */
void supervisor_tell_faults(struct supervisor *s, const struct buffer *faults);
void supervisor_tell_fault(struct supervisor *s, const char *format, ...) _printf_(2, 3);
void supervisor_tell_log_fault(struct supervisor *s, const struct settings *settings, int error);
void supervisor_tell_backend_fault(struct supervisor *s, const struct settings *settings,
                                   const char *reason);
void supervisor_forget_faults(struct supervisor *s);

/* idle.c: each gives when it wants to be called again (monotonic), USEC_INFINITY for never. */
uint64_t supervisor_idle_step(struct supervisor *s, uint64_t now_usec);
uint64_t supervisor_watchdog_step(struct supervisor *s, uint64_t now_usec);
/* certificates-watch.c: keys of session tickets are renewed, certificates that end are told of */
uint64_t supervisor_certificates_step(struct supervisor *s, uint64_t now_usec);
uint64_t supervisor_status_step(struct supervisor *s, uint64_t now_usec);

/* pressure.c: drop caches when memory is scarce */
void supervisor_open_pressure(struct supervisor *s);
struct pollfd supervisor_pressure_poll(const struct supervisor *s, uint64_t now_usec);
void supervisor_take_pressure(struct supervisor *s, short revents, uint64_t now_usec);
uint64_t supervisor_pressure_step(struct supervisor *s, uint64_t now_usec);

void supervisor_drain(struct supervisor *s);
