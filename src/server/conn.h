/* SPDX-License-Identifier: MIT */
#pragma once

#include "http/session.h"
#include "loop/loop.h"

struct http2_module;
struct tls_module;
struct tls_server;

/*
 * A connection owns a socket, a protocol's session and the deadlines; the exchanges on it belong to
 * the session. Everything here runs on the worker's thread.
 */

/* The deadlines of connections, in microseconds; from the settings in force. */
struct conn_limits {
        uint64_t head_timeout_usec, body_timeout_usec, keep_alive_usec, send_timeout_usec;
        unsigned conns_max;
};

/* The connections of one worker. */
struct conn_set {
        struct loop *loop;
        struct http_context *http;
        struct conn_limits limits;
        const struct http2_module *http2; /* NULL: not spoken */
        bool http2_plain;                 /* also without TLS, by prior knowledge */
        const struct tls_module *tls;     /* NULL: no listener wants it */
        struct tls_server *tls_server;    /* for connections from now on; the snapshot's */
        bool kernel_tls;                  /* the kernel may encipher long files */
        char *room;                       /* CONN_ROOM_BYTES for what is being changed; or NULL */
        struct pool conns, outputs, tls_conns, tls_outputs;
        struct list idle; /* between requests; the longest idle first */
        struct list busy;
        unsigned count;
        bool full; /* limits.conns_max is reached and none is idle: accept no more */
        bool draining;
        counter *count_shown; /* where others read `count` */
        void (*full_changed)(struct conn_set *set);
        /* A connection is gone; its memory too. */
        void (*gone)(struct conn_set *set);
        /* A broken invariant ended a connection (base/invariant.h); `peer` is its address. */
        void (*broken)(struct conn_set *set, const char *peer);
};

void conn_set_init(struct conn_set *set, struct loop *loop, struct http_context *http);
void conn_set_finish(struct conn_set *set); /* no connection is left */
/* Can kernel_tls be set: does this kernel lose nothing of what it enciphers? */
bool conn_tls_kernel_is_sound(void);

/*
 * Serve an accepted descriptor, which is taken over also on failure; `tls` as its listener says.
 * Past limits.conns_max the longest idle connection is ended for it; while `full` the caller
 * accepts none. Errors: -ENOMEM.
 */
int conn_accept(struct conn_set *set, int fd, const struct sockaddr *address, socklen_t size,
                bool tls);

/* End the longest idle connection, to win its descriptor. False: none is idle. */
bool conn_set_evict(struct conn_set *set);

/*
 * From now on answers are the last of their connections. Connections between two requests have a
 * tenth of a second, and those that have not sent anything yet a second, for a request under way.
 */
void conn_set_drain(struct conn_set *set);

/* Give back the memory that is kept for connections to come. */
void conn_set_trim(struct conn_set *set);

/* End all connections as they are. */
void conn_set_abort(struct conn_set *set);

/* Is any exchange under way? */
bool conn_set_is_busy(const struct conn_set *set);

/* By whose rules the client was asked for a certificate (certificates.h); 0: it was not asked. */
uint64_t conn_client_rules(const struct http_session *s);

/* "192.0.2.1", "2001:db8::1", "unix", "vsock:3": the peer of the connection that carries `s`. */
enum { CONN_PEER_BYTES = 64 };
void conn_peer_name(const struct http_session *s, char out[static CONN_PEER_BYTES]);
