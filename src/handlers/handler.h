/* SPDX-License-Identifier: MIT */
#pragma once

#include "config/settings.h"
#include "http/exchange.h"
#include "loop/loop.h"

/* What the handlers of one worker share; x->worker. */
struct files_cache;
struct handler_worker {
        struct loop *loop;
        struct files_cache *files;
        uint64_t (*real_usec)(void); /* clock_real_usec() but in tests */
};

/*
 * A route made ready for use: its settings, and what its handler keeps (an open root). Made once a
 * snapshot by the server, used by every worker, so what changes in it must be safe between threads.
 */
struct handler_route {
        const struct exchange_handler *handler;
        const struct settings_route *settings;
        const struct settings_site *site; /* the server's; NULL: of none */
        uint64_t client_rules; /* the server's: whose certificates the Site asks for; 0: none */
        bool site_has_rules;   /* the server's: not all that come in clear are served */
        struct text tls_fields; /* the server's: lines of all answers that go by TLS */
        void *prepared;         /* the handler's own */
};

/* x->route */
static inline const struct handler_route *handler_route_of(const struct exchange *x) {
        return x->route;
}
static inline struct handler_worker *handler_worker_of(const struct exchange *x) {
        return x->worker;
}

/*
 * Make a route ready. Errors: -errno, with what is wrong and what to do in `reason` ("Root=/srv/x:
 * No such file or directory; create it or name another folder").
 */
enum { HANDLER_REASON_BYTES = 512 };
int handler_route_prepare(struct handler_route *route, const struct settings_route *settings,
                          char reason[static HANDLER_REASON_BYTES]);
void handler_route_finish(struct handler_route *route);

/* files.c: GET and HEAD of files beneath a root */
extern const struct exchange_handler files_handler;
int files_cache_new(struct loop *loop, size_t bytes_max, struct files_cache **ret);
/* No exchange under way. Accepts NULL; gives NULL. */
struct files_cache *files_cache_free(struct files_cache *cache);
/* Forget all files but those in use, and the roots of routes that are finished: after a reload. */
void files_cache_drop(struct files_cache *cache);

/* to-https.c: RedirectToHTTPS= */
extern const struct exchange_handler to_https_handler;

/* fixed.c: Redirect= and Return= */
extern const struct exchange_handler redirect_handler;
extern const struct exchange_handler return_handler;
