/* SPDX-License-Identifier: MIT */
#pragma once

#include "handlers/handler.h"
#include "server/held.h"

/*
 * The settings made ready for use: roots opened, hosts in a table. Immutable once made, shared by
 * all workers. A reload makes a whole new one; exchanges under way keep theirs.
 */
enum { WORKERS_MAX = 1024 };

struct certificates;
struct http2_module;
struct tls_module;
struct tls_server;
struct tls_worker;

/* What snapshots are made with besides settings; the supervisor's, for as long as it runs. */
struct snapshot_modules {
        const struct tls_module *tls;     /* NULL: not opened */
        struct tls_worker **tls_workers;  /* of each worker */
        const struct http2_module *http2; /* NULL: not opened */
        bool only_checked; /* nobody is served: what only the service is given may be missing */
};

/* One a worker, a cache line each: the worker counts its own exchanges, without sharing. */
struct snapshot_uses {
        _Alignas(64) unsigned exchanges; /* the worker's thread alone */
};

struct snapshot {
        struct held held;
        struct settings *settings;
        struct handler_route *routes; /* of all sites, in the order of the sites' own */
        size_t route_count;
        struct snapshot_host *hosts; /* open addressing, a power of two; by name in lower case */
        size_t hosts_mask;
        const struct settings_site *default_site; /* NULL: hosts that no site names get 404 */
        char **site_fields;  /* per site, what its answers by TLS say of it; NULL: nothing */
        size_t *site_routes; /* per site, the index of its first route */
        bool has_one_route;  /* one site, one route: nothing to compare */
        bool takes_upgrade;  /* some route's handler does */

        struct snapshot_uses *uses; /* per worker */

        /* TLS, where any Site has a certificate; else NULL */
        const struct tls_module *tls;
        struct certificates *certificates;
        struct tls_worker **tls_workers;
        struct tls_server **tls_servers; /* per worker, which lets go of its own */
        unsigned worker_count;
        const struct http2_module *http2; /* NULL: not spoken */
};

/*
 * Errors: -EINVAL: a route cannot be made ready; a line "FILE:LINE: why" for each stands in
 * `faults`; warnings too, also with 0; -ENOMEM. Takes its own reference to `settings`.
 */
int snapshot_new(struct settings *settings, unsigned workers,
                 const struct snapshot_modules *modules, struct buffer *faults,
                 struct snapshot **ret);

/* What answers 503 to everything, for settings that cannot be used. Errors: -ENOMEM. */
int snapshot_new_unusable(struct settings *settings, unsigned workers, struct snapshot **ret);

/* This worker makes no new connection with it. On its thread, or when that has ended. */
void snapshot_let_go_of_tls(struct snapshot *s, unsigned worker);

struct snapshot *snapshot_free(struct snapshot *s); /* nobody holds it; accepts NULL */
DEFINE_FREEP(struct snapshot, snapshot)

/* The route for a request; NULL: no site answers for its host. */
const struct handler_route *snapshot_route(const struct snapshot *s,
                                           const struct http_request *request);
