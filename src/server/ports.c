/* SPDX-License-Identifier: MIT */
#include "server/ports.h"

#include <arpa/inet.h>
#include <stdarg.h>
#include <stdio.h>

/*
 * A passed socket finds its [Listener NAME] by its FileDescriptorName=, so names decide. Addresses
 * are compared to say what was probably meant, and for Listen=, which has no name. They are brought
 * into one form first: systemd and the settings write them in different ways.
 */

enum { ADDRESS_KEY_BYTES = 256 };

struct comparison {
        const struct ports_query *query;
        struct buffer *to;
        unsigned faults;
        bool name_is_missing; /* of a listener that is nothing without its name */
};

/* ---- addresses ---- */

static bool port_key(struct text port, const char *prefix, char out[static ADDRESS_KEY_BYTES]) {
        uint64_t n;

        if (text_to_u64(port, &n) < 0 || n > UINT32_MAX)
                return false;
        snprintf(out, ADDRESS_KEY_BYTES, "%s:%u", prefix, (unsigned)n);
        return true;
}

/* "vsock:PORT" of the settings; "vsock:CID:PORT" of systemd, where no CID means any. */
static bool vsock_key(struct text t, char out[static ADDRESS_KEY_BYTES]) {
        size_t colon = text_find(t, ':');
        struct text cid = { t.data, colon };

        if (colon == t.size)
                return port_key(t, "vsock", out);
        t = (struct text){ t.data + colon + 1, t.size - colon - 1 };
        if (cid.size && !text_equal(cid, TEXT("4294967295"))) {
                snprintf(out, ADDRESS_KEY_BYTES, "vsock:%.*s:%.*s", TEXT_ARGS(cid), TEXT_ARGS(t));
                return true;
        }
        return port_key(t, "vsock", out);
}

/*
 * One form for both ways to write an address; a port alone is that of all addresses, as is that of
 * [::], by default. False: it is no address of a stream.
 */
static bool address_key(const char *address, char out[static ADDRESS_KEY_BYTES]) {
        struct text t = text_of(address), host, port;
        unsigned char bytes[sizeof(struct in6_addr)];
        char name[INET6_ADDRSTRLEN + 1], normal[INET6_ADDRSTRLEN], prefix[INET6_ADDRSTRLEN + 3];
        size_t colon = t.size;
        bool v6 = address[0] == '[';

        if (address[0] == '/' || address[0] == '@')
                return snprintf(out, ADDRESS_KEY_BYTES, "unix:%s", address) < ADDRESS_KEY_BYTES;
        if (text_starts_with(t, TEXT("unix:")))
                return snprintf(out, ADDRESS_KEY_BYTES, "%s", address) < ADDRESS_KEY_BYTES;
        if (text_starts_with(t, TEXT("vsock:")))
                return vsock_key((struct text){ address + 6, t.size - 6 }, out);
        if (text_starts_with(t, TEXT("vsock-stream:")))
                return vsock_key((struct text){ address + 13, t.size - 13 }, out);
        while (colon > 0 && address[colon - 1] != ':')
                colon--;
        if (colon == 0)
                return port_key(t, "[::]", out);
        port = (struct text){ address + colon, t.size - colon };
        host = (struct text){ address + v6, colon - 1 - 2 * v6 };
        if (host.size >= sizeof(name) || (v6 && (colon < 3 || address[colon - 2] != ']')))
                return false;
        snprintf(name, sizeof(name), "%.*s", TEXT_ARGS(host));
        if (inet_pton(v6 ? AF_INET6 : AF_INET, name, bytes) != 1 ||
            !inet_ntop(v6 ? AF_INET6 : AF_INET, bytes, normal, sizeof(normal)))
                return false;
        snprintf(prefix, sizeof(prefix), v6 ? "[%s]" : "%s", normal);
        return port_key(port, prefix, out);
}

static bool same_address(const char *a, const char *b) {
        char x[ADDRESS_KEY_BYTES], y[ADDRESS_KEY_BYTES];

        return address_key(a, x) && address_key(b, y) && strcmp(x, y) == 0;
}

static bool listens_at(const struct socket_unit *s, const char *address) {
        for (size_t i = 0; i < s->stream_count; i++)
                if (same_address(s->streams[i].address, address))
                        return true;
        return false;
}

/* ---- finding ---- */

/* Of Listen=, which has no name but its address. */
static bool is_nameless(const struct settings_listener *l) {
        return l->address && strcmp(l->name, l->address) == 0;
}

static const struct socket_unit *find_named(const struct comparison *c, const char *name,
                                            bool enabled) {
        const struct socket_units *units = c->query->units;

        for (size_t i = 0; i < units->count; i++)
                if (units->all[i].enabled == enabled && strcmp(units->all[i].fd_name, name) == 0)
                        return &units->all[i];
        return NULL;
}

static const struct socket_unit *find_at(const struct comparison *c, const char *address) {
        const struct socket_units *units = c->query->units;

        for (size_t i = 0; i < units->count && address; i++)
                if (units->all[i].enabled && listens_at(&units->all[i], address))
                        return &units->all[i];
        return NULL;
}

/* A [Listener] that goes by this name; NULL: none does. */
static const struct settings_listener *find_listener(const struct comparison *c, const char *name) {
        const struct settings *s = c->query->settings;

        for (size_t i = 0; i < s->listener_count; i++)
                if (!is_nameless(&s->listeners[i]) && strcmp(s->listeners[i].name, name) == 0)
                        return &s->listeners[i];
        return NULL;
}

static const struct socket_unit *any_enabled(const struct comparison *c) {
        const struct socket_unit *http = find_named(c, "http", true);
        const struct socket_units *units = c->query->units;

        for (size_t i = 0; i < units->count && !http; i++)
                if (units->all[i].enabled)
                        return &units->all[i];
        return http;
}

/* ---- saying ---- */

static void say(struct comparison *c, const struct settings_origin *at, bool is_fault,
                const char *format, ...) _printf_(4, 5);
static void say(struct comparison *c, const struct settings_origin *at, bool is_fault,
                const char *format, ...) {
        char place[SETTINGS_PLACE_BYTES];
        va_list args;

        c->faults += is_fault;
        settings_place(at, place);
        (void)buffer_printf(c->to, "%s: %s", place, is_fault ? "" : "warning: ");
        va_start(args, format);
        (void)buffer_vprintf(c->to, format, args);
        va_end(args);
        (void)buffer_append(c->to, "\n", 1);
}

/* As ListenStream= writes what the settings write. */
static void print_stream(struct comparison *c, const char *address) {
        const char *path = strncmp(address, "unix:", 5) == 0 ? address + 5 : NULL;
        const char *port = strncmp(address, "vsock:", 6) == 0 ? address + 6 : NULL;

        (void)buffer_printf(c->to, "    ListenStream=%s%s\n", port ? "vsock::" : "",
                            path   ? path
                            : port ? port
                                   : address);
}

/* "emberd-api.socket" for [Listener api] of emberd.service. */
static void new_unit_name(const char *service, const char *name, char *out, size_t size) {
        size_t n = (size_t)snprintf(out, size, "%.*s-%s.socket",
                                    (int)(strlen(service) - strlen(".service")), service, name);

        for (size_t i = 0; i < MIN(n, size - 1); i++)
                if (!ascii_is_digit(out[i]) && !strchr("-_.", out[i]) &&
                    !(ascii_lower(out[i]) >= 'a' && ascii_lower(out[i]) <= 'z'))
                        out[i] = '-';
}

static void say_new_unit(struct comparison *c, const struct settings_listener *l, bool is_fault) {
        const char *service = any_enabled(c)->service;
        char unit[UNIT_NAME_BYTES_MAX * 2 + 16];

        new_unit_name(service, l->name, unit, sizeof(unit));
        say(c, &l->origin, is_fault,
            "[Listener %s] has no socket: none that is enabled for %s has this "
            "FileDescriptorName=; write one with 'systemctl edit --force --full %s', tie the "
            "service to it with 'systemctl edit %s', and 'systemctl enable --now %s':",
            l->name, service, unit, service, unit);
        (void)buffer_printf(c->to, "    # %s\n    [Socket]\n", unit);
        print_stream(c, l->address ? l->address : "ADDRESS");
        (void)buffer_printf(c->to,
                            "    FileDescriptorName=%s\n    Service=%s\n    BindIPv6Only=both\n"
                            "    [Install]\n    WantedBy=sockets.target\n"
                            "    # %s\n    [Unit]\n    PartOf=%s\n",
                            l->name, service, service, unit);
}

static void say_missing(struct comparison *c, const struct settings_listener *l) {
        const struct socket_unit *there = find_at(c, l->address);
        const struct socket_unit *disabled = find_named(c, l->name, false);
        bool is_fault = !l->address || c->query->booted;

        if (there && !find_listener(c, there->fd_name)) {
                say(c, &l->origin, is_fault,
                    "[Listener %s] has no socket: %s listens on %s, but its FileDescriptorName= is "
                    "%s; put in by 'systemctl edit %s', and restart it:",
                    l->name, there->unit->name, l->address, there->fd_name, there->unit->name);
                (void)buffer_printf(c->to, "    [Socket]\n    FileDescriptorName=%s\n", l->name);
        } else if (disabled) {
                say(c, &l->origin, is_fault,
                    "[Listener %s] has no socket: %s is not enabled; 'systemctl enable --now %s'",
                    l->name, disabled->unit->name, disabled->unit->name);
        } else {
                c->name_is_missing |= !l->address;
                say_new_unit(c, l, is_fault);
        }
}

/* The socket decides where to listen; an Address= that says otherwise misleads who reads it. */
static void compare_address(struct comparison *c, const struct settings_listener *l,
                            const struct socket_unit *s) {
        const struct socket_units *units = c->query->units;

        for (size_t i = 0; i < units->count; i++)
                if (units->all[i].enabled && strcmp(units->all[i].fd_name, l->name) == 0 &&
                    listens_at(&units->all[i], l->address))
                        return;
        say(c, &l->origin, false,
            "Address=%s of [Listener %s] has no effect: %s listens on %s; change one of them, the "
            "socket by 'systemctl edit %s':",
            l->address, l->name, s->unit->name, s->stream_count ? s->streams[0].address : "nothing",
            s->unit->name);
        (void)buffer_printf(c->to, "    [Socket]\n%s",
                            s->stream_count == 1 ? "    ListenStream=\n" : "");
        print_stream(c, l->address);
}

static void compare_listener(struct comparison *c, const struct settings_listener *l) {
        const struct socket_unit *s = find_named(c, l->name, true);

        if (is_nameless(l)) {
                s = any_enabled(c);
                if (find_at(c, l->address))
                        return;
                say(c, &l->origin, false,
                    "Listen=%s has no effect where systemd passes sockets, and none that is "
                    "enabled for %s listens there; put in by 'systemctl edit %s':",
                    l->address, s->service, s->unit->name);
                (void)buffer_printf(c->to, "    [Socket]\n");
                print_stream(c, l->address);
        } else if (!s) {
                say_missing(c, l);
        } else if (l->address) {
                compare_address(c, l, s);
        }
}

/* ---- sockets ---- */

static bool has_certificates(const struct settings *settings) {
        for (size_t i = 0; i < settings->site_count; i++)
                if (settings->sites[i].tls.certificates[0].path)
                        return true;
        return false;
}

static bool has_named_listeners(const struct settings *s) {
        for (size_t i = 0; i < s->listener_count; i++)
                if (!is_nameless(&s->listeners[i]))
                        return true;
        return false;
}

/*
 * All passed sockets are served, so settings without any [Listener] are whole. Then only "https"
 * without a certificate is told, which promises what it does not keep; and "http" is told only
 * where it may be the one that a listener misses.
 */
static bool needs_listener(const struct comparison *c, const struct socket_unit *s) {
        const struct settings *settings = c->query->settings;

        if (find_listener(c, s->fd_name))
                return false;
        for (size_t i = 0; i < settings->listener_count; i++)
                if (settings->listeners[i].address && listens_at(s, settings->listeners[i].address))
                        return false; /* used by Listen=, or told already */
        if (strcmp(s->fd_name, "http") == 0)
                return c->name_is_missing;
        if (strcmp(s->fd_name, "https") == 0)
                return !has_certificates(settings);
        return has_named_listeners(settings);
}

static void compare_socket(struct comparison *c, const struct socket_unit *s) {
        struct settings_origin at = { s->unit->file, 0 };

        if (!needs_listener(c, s))
                return;
        if (s->stream_count)
                at = (struct settings_origin){ s->streams[0].file, s->streams[0].line };
        if (strcmp(s->fd_name, "https") == 0) {
                say(c, &at, false,
                    "%s passes a socket for TLS, and no Site has a Certificate=: connections to it "
                    "are closed; add Certificate=, or 'systemctl disable --now %s'",
                    s->unit->name, s->unit->name);
                return;
        }
        say(c, &at, false,
            "%s passes a socket that no [Listener %s] uses; 'systemctl disable --now %s', or "
            "write into %s.d/%s.conf:",
            s->unit->name, s->fd_name, s->unit->name, c->query->settings_file, s->fd_name);
        (void)buffer_printf(c->to, "    [Listener %s]\n", s->fd_name);
}

unsigned ports_compare(const struct ports_query *query, struct buffer *to) {
        struct comparison c = { .query = query, .to = to };

        if (!query->units->enabled_count)
                return 0;
        for (size_t i = 0; i < query->settings->listener_count; i++)
                compare_listener(&c, &query->settings->listeners[i]);
        for (size_t i = 0; i < query->units->count; i++)
                if (query->units->all[i].enabled)
                        compare_socket(&c, &query->units->all[i]);
        return c.faults;
}
