/* SPDX-License-Identifier: MIT */
/*
 * What no single line can be blamed for is checked here, once all is read: names that two Sites
 * want, Routes without a Site, Sites that do nothing. Then the sections become the arrays of the
 * snapshot; these are made even where there were faults, as that costs less thought than not making
 * them.
 */
#include "config/settings-draft.h"

#include <errno.h>
#include <stdlib.h>

/* never written to */
static char own_prefix[] = "/", challenge_prefix[] = "/.well-known/acme-challenge/";

static bool was_assigned(const struct section *s, const char *key) {
        return section_assigned(s, key).file;
}

#define for_each_section(d, s, k)                            \
        for (struct section *s = (d)->first; s; s = s->next) \
                if (s->kind == (k))

static int build_listeners(struct draft *d, struct settings *settings) {
        struct settings_listener *all;
        size_t count = settings->listener_count;

        for_each_section(d, s, SECTION_LISTENER) count++;
        all = arena_take(d->keep, count * sizeof(*all));
        if (!all)
                return -ENOMEM;
        count = settings->listener_count;
        if (count)
                memcpy(all, settings->listeners, count * sizeof(*all));
        for_each_section(d, s, SECTION_LISTENER) {
                const char *address = s->listener->address;

                for (size_t i = 0; i < count && address; i++)
                        if (all[i].address && strcmp(all[i].address, address) == 0)
                                draft_fault(d, section_assigned(s, "Address"),
                                            "Address=%s is taken by '%s'; remove one of them",
                                            address, all[i].name);
                if (!was_assigned(s, "TLS"))
                        s->listener->tls = strcmp(s->listener->name, "https") == 0;
                all[count++] = *s->listener;
        }
        settings->listeners = all;
        settings->listener_count = count;
        return 0;
}

/* `host` is free, or a fault was noted. Errors: -ENOMEM. */
static int claim_host(struct draft *d, struct names *hosts, const char *host, struct section *s,
                      struct settings_origin at) {
        struct section *other = names_find(hosts, text_of(host));

        if (!other)
                return names_add(hosts, text_of(host), s);
        if (other == s)
                draft_warning(d, at, "alias '%s' is given already; remove one", host);
        else
                draft_fault(d, at, "'%s' is a name of [%s] (%s) already; remove one of them", host,
                            other->title, draft_place(d, other->origin));
        return 0;
}

static int check_hosts(struct draft *d, struct names *hosts) {
        for_each_section(d, s, SECTION_SITE) {
                int r = claim_host(d, hosts, s->site->name, s, s->origin);

                if (r < 0)
                        return r;
        }
        for_each_section(d, s, SECTION_SITE) for (char **alias = s->site->aliases; *alias;
                                                  alias++) {
                int r = claim_host(d, hosts, *alias, s, section_assigned(s, "Aliases"));

                if (r < 0)
                        return r;
        }
        return 0;
}

/* The one that says so; else the one that stands alone and does not deny it. */
static void choose_default(struct draft *d) {
        struct section *chosen = NULL, *only = NULL;
        size_t count = 0;

        for_each_section(d, s, SECTION_SITE) {
                only = s;
                count++;
                if (!s->site->is_default)
                        continue;
                if (chosen)
                        draft_fault(d, section_assigned(s, "Default"),
                                    "[%s] is the default already (%s); say Default=yes once",
                                    chosen->title,
                                    draft_place(d, section_assigned(chosen, "Default")));
                chosen = s;
        }
        if (count == 1 && !was_assigned(only, "Default"))
                only->site->is_default = true;
}

/* The Site of a Route, or NULL and a fault. */
static struct section *site_of(struct draft *d, const struct names *hosts, struct section *route) {
        struct section *s = names_find(hosts, text_of(route->route->site));

        if (s && strcmp(s->site->name, route->route->site) == 0)
                return s;
        if (s)
                draft_fault(d, route->origin, "'%s' is an alias; write [Route %s %s]",
                            route->route->site, s->site->name, route->route->prefix);
        else
                draft_fault(d, route->origin, "[%s] is of a Site that is not there; add [Site %s]",
                            route->title, route->route->site);
        return NULL;
}

static struct settings_route files_route(char *prefix, char *root, char **index,
                                         struct settings_origin origin) {
        return (struct settings_route){
                .prefix = prefix,
                .handler = HANDLER_FILES,
                .root = root,
                .index = index,
                .origin = origin,
        };
}

static struct settings_route fixed_route(const struct section *s, enum settings_handler handler) {
        bool redirects = handler == HANDLER_REDIRECT;
        const struct fixed_answer *answer = redirects ? &s->route->redirect : &s->route->answer;

        return (struct settings_route){
                .prefix = s->route->prefix,
                .handler = handler,
                .index = draft_no_names,
                .status = answer->status,
                .target = answer->text,
                .origin = section_assigned(s, redirects ? "Redirect" : "Return"),
        };
}

#ifdef EMBERD_TEST_BUILD
static struct settings_route test_route(const struct section *s, enum settings_handler handler) {
        return (struct settings_route){
                .prefix = s->route->prefix,
                .handler = handler,
                .index = draft_no_names,
                .origin = s->origin,
        };
}
#endif

/* False: a fault was noted. */
static bool build_route(struct draft *d, const struct section *site, const struct section *s,
                        struct settings_route *ret) {
        const struct route_values *route = s->route;
        unsigned said = !!route->root + !!route->redirect.status + !!route->answer.status +
                        route->misbehave + route->echo;
        bool has_index = was_assigned(s, "Index");

        if (said > 1) {
                draft_fault(d, s->origin,
                            "[%s] says more than one of Root=, Redirect= and Return=; "
                            "leave one",
                            s->title);
                return false;
        }
        if (said && !route->root && has_index) {
                draft_fault(d, section_assigned(s, "Index"),
                            "Index= without files to serve; remove it from [%s]", s->title);
                return false;
        }
        if (!said) {
                draft_fault(d, s->origin,
                            "[%s] does nothing; give it Root=, Redirect= or Return=", s->title);
                return false;
        }
        if (route->redirect.status)
                *ret = fixed_route(s, HANDLER_REDIRECT);
        else if (route->answer.status)
                *ret = fixed_route(s, HANDLER_RETURN);
#ifdef EMBERD_TEST_BUILD
        else if (route->misbehave || route->echo)
                *ret = test_route(s, route->echo ? HANDLER_ECHO : HANDLER_MISBEHAVE);
#endif
        else
                *ret = files_route(route->prefix, route->root,
                                   has_index ? route->index : site->site->index,
                                   section_assigned(s, "Root"));
        return true;
}

static int compare_routes(const void *a, const void *b) {
        const struct settings_route *x = a, *y = b;
        size_t m = strlen(x->prefix), n = strlen(y->prefix);

        return m != n ? (m < n) - (m > n) : strcmp(x->prefix, y->prefix);
}

static size_t files_count(const struct settings_file *files) {
        size_t count = 0;

        while (files[count].path)
                count++;
        return count;
}

static void check_tls(struct draft *d, const struct section *s) {
        const struct settings_tls *tls = &s->site->tls;
        size_t certificates = files_count(tls->certificates), keys = files_count(tls->keys),
               ocsp = files_count(tls->ocsp);

        if (keys && keys != certificates)
                draft_fault(d, tls->keys[MIN(keys - 1, certificates)].origin,
                            "[%s] has %zu Certificate= and %zu Key=; write them in pairs, or no "
                            "Key= where the key is in the file of its certificate",
                            s->title, certificates, keys);
        if (ocsp > certificates)
                draft_fault(d, tls->ocsp[certificates].origin,
                            "[%s] has more OCSPResponse= than Certificate=; remove it", s->title);
        if (!certificates && tls->redirect)
                draft_warning(d, section_assigned(s, "RedirectToHTTPS"),
                              "RedirectToHTTPS=yes, but [%s] has no Certificate=", s->title);
        if (tls->client_certificate != CLIENT_CERTIFICATE_NO && !certificates)
                draft_fault(d, section_assigned(s, "ClientCertificate"),
                            "clients of [%s] cannot be asked for a certificate where it has none; "
                            "add Certificate=",
                            s->title);
        else if (tls->client_certificate != CLIENT_CERTIFICATE_NO && !tls->client_ca.path)
                draft_fault(d, section_assigned(s, "ClientCertificate"),
                            "no certificate can be good without ClientCA=; add it to [%s]",
                            s->title);
        if (tls->client_certificate == CLIENT_CERTIFICATE_NO && tls->client_ca.path)
                draft_warning(d, section_assigned(s, "ClientCA"),
                              "ClientCA= without ClientCertificate=optional or required: nobody "
                              "is asked for one");
}

/* The array of Sites, each with room for its routes. */
static int build_sites(struct draft *d, const struct names *hosts, struct settings *settings) {
        size_t count = 0;

        for_each_section(d, s, SECTION_SITE) count++;
        settings->sites = arena_take(d->keep, count * sizeof(*settings->sites));
        if (!settings->sites)
                return -ENOMEM;
        for_each_section(d, s, SECTION_ROUTE) {
                struct section *site = site_of(d, hosts, s);

                if (site)
                        site->route_count++;
        }
        for_each_section(d, s, SECTION_SITE) {
                struct settings_site *site = &settings->sites[settings->site_count++];

                *site = (struct settings_site){
                        .name = s->site->name,
                        .aliases = s->site->aliases,
                        .is_default = s->site->is_default,
                        .tls = s->site->tls,
                        .origin = s->origin,
                };
                check_tls(d, s);
                if (!s->route_count && !s->site->root)
                        draft_fault(d, s->origin,
                                    "[%s] does nothing; give it Root=, or a [Route %s /]", s->title,
                                    s->site->name);
                /* two more than its Routes: the Site's own keys make "/" and that of Challenge= */
                site->routes = arena_take(d->keep, (s->route_count + 2) * sizeof(*site->routes));
                if (!site->routes)
                        return -ENOMEM;
                s->built = site;
        }
        return 0;
}

static void build_routes(struct draft *d, const struct names *hosts) {
        for_each_section(d, s, SECTION_ROUTE) {
                struct section *site = names_find(hosts, text_of(s->route->site));
                struct settings_route route;

                if (site && strcmp(site->site->name, s->route->site) == 0 &&
                    build_route(d, site, s, &route))
                        site->built->routes[site->built->route_count++] = route;
        }
        for_each_section(d, s, SECTION_SITE) {
                struct settings_site *site = s->built;
                bool has_own = false; /* a Route "/" takes over from the Site */

                for (size_t i = 0; i < site->route_count; i++)
                        has_own = has_own || strcmp(site->routes[i].prefix, "/") == 0;
                if (s->site->root && !has_own)
                        site->routes[site->route_count++] =
                                files_route(own_prefix, s->site->root, s->site->index,
                                            section_assigned(s, "Root"));
                if (s->site->challenge) {
                        struct settings_route *route = &site->routes[site->route_count++];

                        *route = files_route(challenge_prefix, s->site->challenge, draft_no_names,
                                             section_assigned(s, "Challenge"));
                        route->is_challenge = true;
                }
                qsort(site->routes, site->route_count, sizeof(*site->routes), compare_routes);
        }
}

/* Those without a section are the socket "https" that systemd may pass: told when it does. */
static void check_listeners(struct draft *d, const struct settings *settings) {
        for (size_t i = 0; i < settings->site_count; i++)
                if (settings->sites[i].tls.certificates[0].path)
                        return;
        for_each_section(d, s, SECTION_LISTENER) {
                if (s->listener->tls)
                        draft_warning(
                                d, s->origin,
                                "[%s] is for TLS, and no Site has a Certificate=: connections "
                                "to it are closed",
                                s->title);
        }
}

int draft_build(struct draft *d, struct settings *settings) {
        _cleanup_(names_finish)
        struct names hosts = {};
        int r;

        choose_default(d);
        settings->ciphers_origin = section_assigned(d->server, "Ciphers");
        settings->http2_origin = section_assigned(d->server, "HTTP2");
        settings->backend_origin = section_assigned(d->server, "Backend");
        settings->workers_origin = section_assigned(d->server, "Workers");
        settings->user_origin = section_assigned(d->server, "User");
        settings->access_log_origin = section_assigned(d->server, "AccessLog");
        r = build_listeners(d, settings);
        if (r == 0)
                r = check_hosts(d, &hosts);
        if (r == 0)
                r = build_sites(d, &hosts, settings);
        if (r < 0)
                return r;
        build_routes(d, &hosts);
        check_listeners(d, settings);
        return 0;
}
