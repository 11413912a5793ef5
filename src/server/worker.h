/* SPDX-License-Identifier: MIT */
#pragma once

#include "server/access-log.h"
#include "server/conn.h"
#include "server/snapshot.h"
#include "tls/tls.h"

#include <pthread.h>

/*
 * A worker: one thread with its own loop, backend, connections, timers and caches. Everything in it
 * belongs to its thread, but for what is marked; the supervisor speaks to it by worker_send().
 */
enum worker_command_kind {
        WORKER_TAKE_SNAPSHOT,  /* use these settings from the next request on */
        WORKER_TAKE_LISTENERS, /* accept from these, and no others */
        WORKER_TAKE_SOCKET,    /* serve this accepted descriptor */
        WORKER_PAUSE,          /* stop accepting, and say whether anything is under way */
        WORKER_RESUME,         /* accept again */
        WORKER_DRAIN,       /* stop accepting, end what is idle, finish what is under way, leave */
        WORKER_ABORT,       /* end every connection, leave */
        WORKER_TAKE_LOG,    /* write the access log there */
        WORKER_PING,        /* show that the loop turns */
        WORKER_DROP_CACHES, /* let go of all memory that nobody uses */
        WORKER_TAKE_KEYS, /* of session tickets */
};

/* Listening sockets, shared by the workers; made and freed by the supervisor (listeners.h). */
struct listener_set;
struct log_target;

/*
 * Behind it the workers of a process wait, each with its ring, until the supervisor lets them serve
 * or calls them off. Zeroed memory but for the lock.
 */
struct worker_gate {
        pthread_mutex_t lock; /* the supervisor's as long as the gate is shut */
        bool shut;            /* set before there are threads */
        bool called_off;      /* under the lock */
};

/* Without `all_wait` each goes through at once. */
void worker_gate_close(struct worker_gate *gate, bool all_wait);
void worker_gate_open(struct worker_gate *gate, bool to_serve);

struct worker_figures {
        counter requests;    /* exchanges that are over */
        counter connections; /* open ones */
        counter exchanges;   /* open ones */
        counter active_usec; /* when an exchange was last begun or ended; monotonic */
        counter log_dropped; /* lines of the access log that found no room */
};

struct worker {
        unsigned index;
        pthread_t thread;
        pthread_mutex_t lock;      /* of `closing`, for commands that cross its end */
        bool closing;              /* takes no more commands */
        _Atomic unsigned incoming; /* sockets that other workers passed on, not taken yet */
        bool thread_started;       /* the supervisor's */
        struct loop *loop; /* made by the thread; read by others after `started` is posted */
        const struct loop_backend *backend;
        struct loop_options options;
        int result; /* why the thread ended: 0 or -errno; read after joining */

        struct http_context http;
        struct handler_worker handlers;
        struct snapshot *snapshot; /* the one for the next request */
        struct worker_gate *gate; /* NULL: none */
        /* to begin with, so that no command has to cross over before the first visitor is served */
        struct listener_set *first_listeners;
        struct log_target *first_log;
        struct access_log log;
        struct conn_set conns;
        struct worker_listeners *listeners; /* accepting from these; NULL: none */
        unsigned listening;                 /* groups of listeners that the loop still knows */
        bool draining, paused;
        uint64_t trouble_told_usec; /* when a lack of descriptors was last logged */
        struct worker *all;         /* the workers of this process, itself among them */
        unsigned all_count;

        struct worker_figures figures;

        /* set by the thread, read by the supervisor after it was poked */
        _Atomic uint64_t done_sequence; /* the last command that was carried out */
        atomic_bool started, ended;
        atomic_bool was_busy; /* the answer to WORKER_PAUSE */

        /* the supervisor's door bell */
        int poke_fd; /* an eventfd; borrowed */
        atomic_bool
                *poke_on_activity; /* the supervisor sleeps and wants to hear of the next request */
};

struct worker_command {
        struct loop_message message;
        struct worker *worker;
        enum worker_command_kind kind;
        uint64_t sequence; /* of the supervisor's commands; 0: another worker's */
        union {
                struct snapshot *snapshot;
                struct listener_set *listeners;
                struct log_target *log;
                struct tls_ticket_keys keys;
                struct {
                        int fd;
                        bool tls;
                        socklen_t address_size;
                        struct sockaddr_storage address;
                } socket;
        };
};

/*
 * Start the thread; it makes its loop, sets `started` and pokes, or ends with `result`.
 * The worker's zeroed memory has index, all, all_count, backend, options, poke_fd, poke_on_activity
 * and snapshot set, gate if there is one, and first_listeners and first_log unless they come as
 * commands.
 * Errors: -errno of pthread_create(3).
 */
int worker_start(struct worker *worker);

/*
 * balance.c: give an accepted descriptor to a worker that has clearly fewer connections. False:
 * there is none, or no memory; the caller keeps the descriptor. On the thread of `worker`.
 */
bool worker_pass_on(struct worker *worker, int fd, const struct sockaddr *address, socklen_t size,
                    bool tls);

/*
 * Hand over a command, which is on the heap and becomes the worker's. False: it has left already.
 */
bool worker_send(struct worker *worker, struct worker_command *command);

static inline struct worker *worker_of_context(struct http_context *context) {
        return container_of(context, struct worker, http);
}
