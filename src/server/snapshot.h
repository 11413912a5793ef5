/* SPDX-License-Identifier: MIT */
#pragma once

#include "handlers/handler.h"
#include "server/held.h"

/*
 * The settings made ready for use: roots opened, hosts in a table. Immutable once made, shared by
 * all workers. A reload makes a whole new one; exchanges under way keep theirs.
 */
enum { WORKERS_MAX = 1024 };

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
        size_t *site_routes;                      /* per site, the index of its first route */
        bool has_one_route;                       /* one site, one route: nothing to compare */

        struct snapshot_uses *uses; /* per worker */
};

/*
 * Errors: -EINVAL: a route cannot be made ready; a line "FILE:LINE: why" for each stands in
 * `faults`; -ENOMEM. Takes its own reference to `settings`.
 */
int snapshot_new(struct settings *settings, unsigned workers, struct buffer *faults,
                 struct snapshot **ret);

/* What answers 503 to everything, for settings that cannot be used. Errors: -ENOMEM. */
int snapshot_new_unusable(struct settings *settings, unsigned workers, struct snapshot **ret);

struct snapshot *snapshot_free(struct snapshot *s); /* nobody holds it; accepts NULL */
DEFINE_FREEP(struct snapshot, snapshot)

/* The route for a request; NULL: no site answers for its host. */
const struct handler_route *snapshot_route(const struct snapshot *s,
                                           const struct http_request *request);
