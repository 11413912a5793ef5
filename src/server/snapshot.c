/* SPDX-License-Identifier: MIT */
#include "server/snapshot.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/hash.h"
#include "http/target.h"
#include "server/certificates.h"

/*
 * Hosts are found by one keyed hash of the name in lower case; a wildcard "*.example.org" stands in
 * the table as ".example.org" and is asked for by cutting labels off the front, so that the longest
 * wins. Routes are compared with the resolved path, never with the path as it was sent: "/%61pi/"
 * must not slip past a route for "/api/".
 */

enum {
        HOST_BYTES_MAX = 255, /* RFC 1035, 2.3.4 */
        PATH_BYTES_MAX = HTTP_LINE_BYTES_MAX,
};

struct snapshot_host {
        struct text name; /* data NULL: free */
        const struct settings_site *site;
};

static struct snapshot_host *host_slot(const struct snapshot *s, struct text name) {
        for (size_t i = hash_text(name);; i++) {
                struct snapshot_host *host = &s->hosts[i & s->hosts_mask];

                if (!host->name.data || text_equal(host->name, name))
                        return host;
        }
}

static void host_add(struct snapshot *s, const char *name, const struct settings_site *site) {
        struct text t = text_of(name[0] == '*' ? name + 1 : name);
        struct snapshot_host *host = host_slot(s, t);

        if (!host->name.data)
                *host = (struct snapshot_host){ t, site };
}

static int hosts_fill(struct snapshot *s) {
        const struct settings *settings = s->settings;
        size_t names = 1, size = 4;

        for (size_t i = 0; i < settings->site_count; i++) {
                names++;
                for (char **alias = settings->sites[i].aliases; *alias; alias++)
                        names++;
        }
        while (size < names * 2)
                size *= 2;
        s->hosts = calloc(size, sizeof(*s->hosts));
        if (!s->hosts)
                return -ENOMEM;
        s->hosts_mask = size - 1;
        for (size_t i = 0; i < settings->site_count; i++) {
                const struct settings_site *site = &settings->sites[i];

                host_add(s, site->name, site);
                for (char **alias = site->aliases; *alias; alias++)
                        host_add(s, *alias, site);
                if (site->is_default)
                        s->default_site = site;
        }
        return 0;
}

static void route_note_site(struct handler_route *route, const struct settings_site *site,
                            const char *fields) {
        route->site = site;
        route->tls_fields = text_of(fields);
        route->client_rules = certificates_client_rules(site);
        route->site_has_rules = route->client_rules || site->tls.redirect;
}

static int routes_prepare(struct snapshot *s, struct buffer *faults) {
        const struct settings *settings = s->settings;
        char reason[HANDLER_REASON_BYTES], place[SETTINGS_PLACE_BYTES];
        size_t count = 0;
        int result = 0;

        for (size_t i = 0; i < settings->site_count; i++)
                count += settings->sites[i].route_count;
        s->routes = calloc(count + 1, sizeof(*s->routes));
        s->site_routes = calloc(settings->site_count + 1, sizeof(*s->site_routes));
        s->site_fields = calloc(settings->site_count + 1, sizeof(*s->site_fields));
        if (!s->routes || !s->site_routes || !s->site_fields)
                return -ENOMEM;
        for (size_t i = 0; i < settings->site_count; i++) {
                const struct settings_site *site = &settings->sites[i];

                s->site_routes[i] = s->route_count;
                if (site->tls.hsts &&
                    asprintf(&s->site_fields[i], "Strict-Transport-Security: %s\r\n",
                             site->tls.hsts) < 0) {
                        s->site_fields[i] = NULL;
                        return -ENOMEM;
                }
                for (size_t j = 0; j < site->route_count; j++) {
                        const struct settings_route *route = &site->routes[j];
                        int r = handler_route_prepare(&s->routes[s->route_count], route, reason);

                        s->takes_upgrade |= s->routes[s->route_count].handler->takes_upgrade;
                        route_note_site(&s->routes[s->route_count++], site, s->site_fields[i]);
                        if (r == -ENOMEM)
                                return r;
                        if (r < 0) {
                                settings_place(&route->origin, place);
                                buffer_printf(faults, "%s: %s\n", place, reason);
                                result = -EINVAL;
                        }
                }
        }
        s->has_one_route = settings->site_count == 1 && s->route_count == 1 &&
                           strcmp(settings->sites[0].routes[0].prefix, "/") == 0;
        return result;
}

static int snapshot_allocate(struct settings *settings, unsigned workers, struct snapshot **ret) {
        _cleanup_(snapshot_freep)
        struct snapshot *s = calloc(1, sizeof(*s));

        if (!s)
                return -ENOMEM;
        s->settings = settings_ref(settings);
        s->held.by = s->worker_count = workers;
        s->uses = aligned_alloc(64, workers * sizeof(*s->uses));
        if (!s->uses)
                return -ENOMEM;
        memset(s->uses, 0, workers * sizeof(*s->uses));
        *ret = take_ptr(s);
        return 0;
}

/* A context a worker, all made of the same bytes. */
static int tls_prepare(struct snapshot *s, const struct snapshot_modules *modules,
                       struct buffer *faults) {
        int r;

        if (!modules)
                return 0;
        s->http2 = s->settings->http2 == HTTP2_NO ? NULL : modules->http2;
        if (!modules->tls || !certificates_wanted(s->settings))
                return 0;
        r = certificates_read(s->settings, modules->only_checked, faults, &s->certificates);
        if (r < 0)
                return r;
        s->certificates->settings.http2 = s->http2 != NULL;
        s->tls_servers = calloc(s->worker_count, sizeof(*s->tls_servers));
        if (!s->tls_servers)
                return -ENOMEM;
        s->tls = modules->tls;
        s->tls_workers = modules->tls_workers;
        for (unsigned i = 0; r == 0 && i < s->worker_count; i++) {
                _cleanup_(buffer_finish)
                struct buffer again = {}; /* the first one has said it all */

                r = s->tls->server_new(modules->tls_workers[i], &s->certificates->settings,
                                       i ? &again : faults, &s->tls_servers[i]);
        }
        return r;
}

void snapshot_let_go_of_tls(struct snapshot *s, unsigned worker) {
        if (s->tls_servers && s->tls_servers[worker])
                s->tls_servers[worker] = s->tls->server_free(s->tls_servers[worker]);
}

int snapshot_new(struct settings *settings, unsigned workers,
                 const struct snapshot_modules *modules, struct buffer *faults,
                 struct snapshot **ret) {
        _cleanup_(snapshot_freep)
        struct snapshot *s = NULL;
        int r = snapshot_allocate(settings, workers, &s);

        if (r < 0)
                return r;
        r = hosts_fill(s);
        if (r < 0)
                return r;
        r = routes_prepare(s, faults);
        if (r != -ENOMEM) {
                int t = tls_prepare(s, modules, faults);

                if (t < 0)
                        r = t == -EBADMSG ? -EINVAL : t;
        }
        if (r < 0)
                return r;
        *ret = take_ptr(s);
        return 0;
}

int snapshot_new_unusable(struct settings *settings, unsigned workers, struct snapshot **ret) {
        static const struct settings_route unusable = {
                .prefix = (char *)"/",
                .handler = HANDLER_RETURN,
                .status = 503,
                .target = (char *)"The settings of this server are faulty; its log says where.\n",
        };
        _cleanup_(snapshot_freep)
        struct snapshot *s = NULL;
        char reason[HANDLER_REASON_BYTES];
        int r = snapshot_allocate(settings, workers, &s);

        if (r < 0)
                return r;
        s->routes = calloc(1, sizeof(*s->routes));
        if (!s->routes)
                return -ENOMEM;
        s->route_count = 1;
        r = handler_route_prepare(s->routes, &unusable, reason);
        if (r < 0)
                return r;
        s->has_one_route = true;
        *ret = take_ptr(s);
        return 0;
}

struct snapshot *snapshot_free(struct snapshot *s) {
        if (!s)
                return NULL;
        for (size_t i = 0; i < s->route_count; i++)
                handler_route_finish(&s->routes[i]);
        free(s->routes);
        for (size_t i = 0; s->site_fields && i < s->settings->site_count; i++)
                free(s->site_fields[i]);
        free(s->site_fields);
        free(s->site_routes);
        free(s->hosts);
        free(s->uses);
        for (unsigned i = 0; i < s->worker_count; i++)
                snapshot_let_go_of_tls(s, i);
        free(s->tls_servers);
        certificates_free(s->certificates);
        settings_unref(s->settings);
        free(s);
        return NULL;
}

static const struct settings_site *site_of(const struct snapshot *s, struct text host) {
        char lower[HOST_BYTES_MAX];
        struct text name = { lower, host.size };
        struct snapshot_host *found;

        if (name.size && host.data[name.size - 1] == '.')
                name.size--; /* "example.org." is the same name, written in full */
        if (!name.size || name.size > sizeof(lower))
                return s->default_site;
        for (size_t i = 0; i < name.size; i++)
                lower[i] = ascii_lower(host.data[i]);
        found = host_slot(s, name);
        while (!found->name.data && name.size) {
                size_t dot = text_find((struct text){ name.data + 1, name.size - 1 }, '.') + 1;

                name = (struct text){ name.data + dot, name.size - dot };
                if (name.size)
                        found = host_slot(s, name);
        }
        return found->name.data ? found->site : s->default_site;
}

/* By whole segments: "/img" and "/img/" both match "/img" and "/img/a", neither matches "/imgs". */
static bool prefix_matches(struct text prefix, struct text path) {
        if (prefix.data[prefix.size - 1] == '/')
                prefix.size--;
        return text_starts_with(path, prefix) &&
               (path.size == prefix.size || path.data[prefix.size] == '/');
}

const struct handler_route *snapshot_route(const struct snapshot *s,
                                           const struct http_request *request) {
        char resolved[PATH_BYTES_MAX + 1];
        const struct settings_site *site;
        const struct handler_route *first;
        struct text path = http_span_text(request, request->path);
        size_t size;

        if (likely(s->has_one_route))
                return s->routes;
        site = site_of(s, http_span_text(request, request->host));
        if (!site || !site->route_count)
                return NULL;
        first = &s->routes[s->site_routes[site - s->settings->sites]];
        /* a path that cannot be resolved is refused by whichever handler gets it */
        if (path.size > PATH_BYTES_MAX || http_path_resolve(path, resolved, &size) < 0)
                return first + site->route_count - 1;
        for (size_t i = 0; i < site->route_count; i++)
                if (prefix_matches(text_of(site->routes[i].prefix),
                                   (struct text){ resolved, size }))
                        return first + i;
        return NULL;
}
