/* SPDX-License-Identifier: MIT */
#include "server/listeners.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/vm_sockets.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "systemd/activation.h"

enum {
        BACKLOG = 4096,                 /* the kernel caps it by net.core.somaxconn */
        NOTSENT_BYTES_MAX = 128 * 1024, /* unsent bytes kept in the kernel: little, so that what
                                           is sent next can still be chosen (DESIGN) */
};

union address {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
        struct sockaddr_un un;
        struct sockaddr_vm vm;
        struct sockaddr_storage storage;
};

/* Accepted sockets inherit both, so that they cost no system call a connection. */
static void listener_set_options(int fd) {
        int one = 1, notsent = NOTSENT_BYTES_MAX;

        /* fails for what is not TCP, which needs neither */
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &notsent, sizeof(notsent));
}

static struct listener *listener_unref(struct listener *l) {
        if (!l || --l->references > 0)
                return NULL;
        fd_close(l->fd);
        if (l->path)
                (void)unlink(l->path);
        free(l->path);
        free(l->name);
        free(l->address);
        free(l);
        return NULL;
}

static const struct settings_listener *listener_section(const struct listener *l,
                                                        const struct settings *settings) {
        for (size_t i = 0; i < settings->listener_count; i++)
                if (strcmp(settings->listeners[i].name, l->name) == 0)
                        return &settings->listeners[i];
        return NULL;
}

bool listener_has_section(const struct listener *l, const struct settings *settings) {
        return listener_section(l, settings);
}

bool listener_is_tls(const struct listener *l, const struct settings *settings) {
        const struct settings_listener *section = listener_section(l, settings);

        return section ? section->tls : strcmp(l->name, "https") == 0;
}

struct listener_set *listener_set_free(struct listener_set *set) {
        if (!set)
                return NULL;
        for (size_t i = 0; i < set->count; i++)
                listener_unref(set->listeners[i]);
        free(set->listeners);
        free(set);
        return NULL;
}

static int listener_set_allocate(size_t count, struct listener_set **ret) {
        struct listener_set *set = calloc(1, sizeof(*set));

        if (set)
                set->listeners = calloc(count + 1, sizeof(*set->listeners));
        if (!set || !set->listeners) {
                free(set);
                return -ENOMEM;
        }
        *ret = set;
        return 0;
}

static int listener_new(int fd, const char *name, const char *address, struct listener **ret) {
        struct listener *l = calloc(1, sizeof(*l));

        if (!l)
                return -ENOMEM;
        l->references = 1;
        l->fd = -1;
        l->name = strdup(name);
        l->address = address ? strdup(address) : NULL;
        if (!l->name || (address && !l->address)) {
                listener_unref(l);
                return -ENOMEM;
        }
        l->fd = fd;
        listener_set_options(fd);
        *ret = l;
        return 0;
}

int listener_set_new_passed(const struct activation_socket *sockets, size_t count,
                            struct listener_set **ret) {
        _cleanup_(listener_set_freep)
        struct listener_set *set = NULL;
        int r = listener_set_allocate(count, &set);

        if (r < 0)
                return r;
        for (size_t i = 0; i < count; i++) {
                r = listener_new(sockets[i].fd, sockets[i].name, NULL, &set->listeners[i]);
                if (r < 0)
                        return r;
                set->count++;
        }
        *ret = take_ptr(set);
        return 0;
}

/* ---- opening ---- */

static int port_parse(const char *text, unsigned long max, unsigned *ret) {
        uint64_t port;

        if (text_to_u64(text_of(text), &port) < 0 || port > max)
                return -EINVAL;
        *ret = (unsigned)port;
        return 0;
}

/* The forms of --listen (DESIGN): PORT, IPV4:PORT, [IPV6]:PORT, unix:PATH, vsock:PORT. */
static int address_parse(const char *text, union address *a, socklen_t *ret_size) {
        char host[INET6_ADDRSTRLEN + 2];
        const char *colon = strrchr(text, ':');
        unsigned port;

        *a = (union address){};
        if (strncmp(text, "unix:", 5) == 0) {
                if (strlen(text + 5) >= sizeof(a->un.sun_path) || !text[5])
                        return -ENAMETOOLONG;
                a->un.sun_family = AF_UNIX;
                strcpy(a->un.sun_path, text + 5);
                *ret_size = sizeof(a->un);
                return 0;
        }
        if (strncmp(text, "vsock:", 6) == 0) {
                if (port_parse(text + 6, UINT32_MAX, &port) < 0)
                        return -EINVAL;
                a->vm = (struct sockaddr_vm){ .svm_family = AF_VSOCK,
                                              .svm_port = port,
                                              .svm_cid = VMADDR_CID_ANY };
                *ret_size = sizeof(a->vm);
                return 0;
        }
        if (port_parse(colon ? colon + 1 : text, UINT16_MAX, &port) < 0)
                return -EINVAL;
        if (!colon) {
                a->v6 = (struct sockaddr_in6){ .sin6_family = AF_INET6,
                                               .sin6_port = htons((uint16_t)port) };
                *ret_size = sizeof(a->v6);
                return 0;
        }
        if ((size_t)(colon - text) >= sizeof(host))
                return -EINVAL;
        memcpy(host, text, (size_t)(colon - text));
        host[colon - text] = '\0';
        if (host[0] == '[' && host[strlen(host) - 1] == ']') {
                host[strlen(host) - 1] = '\0';
                a->v6.sin6_family = AF_INET6;
                a->v6.sin6_port = htons((uint16_t)port);
                *ret_size = sizeof(a->v6);
                return inet_pton(AF_INET6, host + 1, &a->v6.sin6_addr) == 1 ? 0 : -EINVAL;
        }
        a->v4.sin_family = AF_INET;
        a->v4.sin_port = htons((uint16_t)port);
        *ret_size = sizeof(a->v4);
        return inet_pton(AF_INET, host, &a->v4.sin_addr) == 1 ? 0 : -EINVAL;
}

/*
 * A socket file that nobody listens on any more is in the way; one in use, or any other file,
 * stays.
 */
static void remove_stale_socket(const union address *a) {
        _cleanup_(fd_closep)
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        struct stat st;

        if (fd < 0 || lstat(a->un.sun_path, &st) < 0 || !S_ISSOCK(st.st_mode))
                return;
        if (connect(fd, &a->any, sizeof(a->un)) < 0 && errno == ECONNREFUSED)
                (void)unlink(a->un.sun_path);
}

static int socket_open(const union address *a, socklen_t size, bool any_family) {
        _cleanup_(fd_closep)
        int fd = -1;
        int one = 1, zero = 0;

        fd = socket(a->any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        if (fd < 0)
                return -errno;
        if (a->any.sa_family == AF_INET || a->any.sa_family == AF_INET6)
                (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
        if (a->any.sa_family == AF_INET6)
                (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, any_family ? &zero : &one,
                                 sizeof(int));
        if (a->any.sa_family == AF_UNIX)
                remove_stale_socket(a);
        if (bind(fd, &a->any, size) < 0 || listen(fd, BACKLOG) < 0)
                return -errno;
        int taken = fd;
        fd = -1;
        return taken;
}

static const char *open_cure(int error) {
        switch (error) {
        case -EADDRINUSE:
                return "another program listens there: stop it, or choose another address "
                       "(-l, Listen=)";
        case -EACCES:
                return "ports below 1024 and foreign folders need privileges: start as root "
                       "with User=, or let systemd pass the socket";
        case -EADDRNOTAVAIL: return "this machine does not have that address";
        case -EAFNOSUPPORT: return "this machine does not speak that family of addresses";
        case -EINVAL: return "write PORT, IPV4:PORT, [IPV6]:PORT, unix:PATH or vsock:PORT";
        case -ENOENT: return "its folder does not exist: create it";
        default: return "see bind(2)";
        }
}

/* A bare port means every address: IPv6 with IPv4 mapped, or IPv4 where the kernel has no IPv6. */
static int listener_open(const struct settings_listener *wanted, struct listener **ret) {
        _cleanup_(fd_closep)
        int fd = -1;
        union address a;
        socklen_t size;
        int r = address_parse(wanted->address, &a, &size);

        if (r < 0)
                return r;
        bool any = !strchr(wanted->address, ':') ||
                   (a.any.sa_family == AF_INET6 && IN6_IS_ADDR_UNSPECIFIED(&a.v6.sin6_addr));
        fd = socket_open(&a, size, any);
        if (fd == -EAFNOSUPPORT && !strchr(wanted->address, ':')) {
                in_port_t port = a.v6.sin6_port;

                a.v4 = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = port };
                fd = socket_open(&a, sizeof(a.v4), false);
        }
        if (fd < 0)
                return fd;
        r = listener_new(fd, wanted->name, wanted->address, ret);
        if (r < 0)
                return r;
        fd = -1;
        if (a.any.sa_family == AF_UNIX) {
                (*ret)->path = strdup(a.un.sun_path);
                /* whoever may reach the folder may connect; folders are how access is limited */
                (void)chmod(a.un.sun_path, 0666);
        }
        return 0;
}

static struct listener *listener_find(const struct listener_set *set, const char *address) {
        for (size_t i = 0; set && i < set->count; i++)
                if (set->listeners[i]->address && strcmp(set->listeners[i]->address, address) == 0)
                        return set->listeners[i];
        return NULL;
}

/* From `old` if it has the address, else opened. */
static int listener_get(const struct settings_listener *wanted, const struct listener_set *old,
                        char reason[static LISTENER_REASON_BYTES], struct listener **ret) {
        char place[SETTINGS_PLACE_BYTES];
        int r;

        *ret = listener_find(old, wanted->address);
        if (*ret) {
                (*ret)->references++;
                return 0;
        }
        r = listener_open(wanted, ret);
        if (r < 0) {
                settings_place(&wanted->origin, place);
                snprintf(reason, LISTENER_REASON_BYTES, "%s: cannot listen on %s: %s; %s", place,
                         wanted->address, strerror(-r), open_cure(r));
        }
        return r;
}

int listener_set_open(const struct settings *settings, const struct listener_set *old,
                      char reason[static LISTENER_REASON_BYTES], struct listener_set **ret) {
        static char address[] = "127.0.0.1:8080"; /* never written to */
        static const struct settings_listener by_default = { .name = address,
                                                             .address = address,
                                                             .origin = { "default", 0 } };
        _cleanup_(listener_set_freep)
        struct listener_set *set = NULL;
        int r = listener_set_allocate(settings->listener_count + 1, &set);

        snprintf(reason, LISTENER_REASON_BYTES, "cannot listen: out of memory");
        for (size_t i = 0; r == 0 && i < settings->listener_count; i++) {
                const struct settings_listener *wanted = &settings->listeners[i];

                if (!wanted->address)
                        continue; /* only where systemd passes a socket of that name */
                r = listener_get(wanted, old, reason, &set->listeners[set->count]);
                set->count += r == 0;
        }
        if (r == 0 && set->count == 0) {
                r = listener_get(&by_default, old, reason, &set->listeners[0]);
                set->count = r == 0;
        }
        if (r < 0)
                return r;
        *ret = take_ptr(set);
        return 0;
}

void listener_bound_name(int fd, char out[static LISTENER_ADDRESS_BYTES]) {
        union address a = {};
        socklen_t size = sizeof(a);
        char host[INET6_ADDRSTRLEN] = "";

        if (getsockname(fd, &a.any, &size) < 0)
                a.any.sa_family = AF_UNSPEC;
        switch (a.any.sa_family) {
        case AF_INET:
                inet_ntop(AF_INET, &a.v4.sin_addr, host, sizeof(host));
                snprintf(out, LISTENER_ADDRESS_BYTES, "%s:%u", host, ntohs(a.v4.sin_port));
                break;
        case AF_INET6:
                inet_ntop(AF_INET6, &a.v6.sin6_addr, host, sizeof(host));
                snprintf(out, LISTENER_ADDRESS_BYTES, "[%s]:%u", host, ntohs(a.v6.sin6_port));
                break;
        case AF_UNIX: snprintf(out, LISTENER_ADDRESS_BYTES, "unix:%s", a.un.sun_path); break;
        case AF_VSOCK: snprintf(out, LISTENER_ADDRESS_BYTES, "vsock:%u", a.vm.svm_port); break;
        default: snprintf(out, LISTENER_ADDRESS_BYTES, "descriptor %d", fd);
        }
}

int listener_set_accept(const struct listener_set *set, const struct listener **ret_listener,
                        struct sockaddr_storage *ret_address, socklen_t *ret_size) {
        for (size_t i = 0; i < set->count; i++) {
                int fd;

                *ret_size = sizeof(*ret_address);
                fd = accept4(set->listeners[i]->fd, (struct sockaddr *)ret_address, ret_size,
                             SOCK_NONBLOCK | SOCK_CLOEXEC);
                if (fd < 0)
                        continue;
                *ret_listener = set->listeners[i];
                return fd;
        }
        return -EAGAIN;
}
