/* SPDX-License-Identifier: MIT */
#include "hostile.h"

#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <linux/netlink.h>
#include <linux/vm_sockets.h>
#include <net/ethernet.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fd.h"

/*
 * Reaching others. The sockets that systemd passed, and what was accepted from them, belong to the
 * machine's network and not to the service's: `turn-…` take those for other ends, which no
 * namespace and no filter of address families sees.
 */
#define OUTSIDE   "198.51.100.7" /* the test gives it to the machine */
#define HTTP_PORT 80

enum { WAIT_MSEC = 1000 };

static struct sockaddr_in address_of(const char *host, unsigned port) {
        struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };

        inet_pton(AF_INET, host, &a.sin_addr);
        return a;
}

static int try_socket(int family, int type, int protocol) {
        int fd = socket(family, type | SOCK_CLOEXEC, protocol);

        if (fd < 0)
                return -errno;
        fd_close(fd);
        return 0;
}

static int try_connect_fd(int fd, const char *host, unsigned port) {
        struct sockaddr_in to = address_of(host, port);
        struct pollfd p = { .fd = fd, .events = POLLOUT };
        int error = 0;
        socklen_t size = sizeof(error);

        if (connect(fd, (const struct sockaddr *)&to, sizeof(to)) == 0)
                return 0;
        if (errno != EINPROGRESS)
                return -errno;
        if (poll(&p, 1, WAIT_MSEC) <= 0)
                return -ETIMEDOUT;
        if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0)
                return -errno;
        return -error;
}

static int try_connect(const char *host, unsigned port) {
        _cleanup_(fd_closep)
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

        return fd < 0 ? -errno : try_connect_fd(fd, host, port);
}

TRY(connect_loopback) {
        return try_connect("127.0.0.1", HTTP_PORT);
}

TRY(connect_outside) {
        return try_connect(OUTSIDE, HTTP_PORT);
}

TRY(ask_dns) {
        _cleanup_(fd_closep)
        int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        struct sockaddr_in to = address_of(OUTSIDE, 53);

        if (fd < 0)
                return -errno;
        return tried(sendto(fd, "?", 1, 0, (const struct sockaddr *)&to, sizeof(to)));
}

TRY(bind_port) {
        _cleanup_(fd_closep)
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        struct sockaddr_in at = address_of("0.0.0.0", 8888);

        if (fd < 0 || bind(fd, (const struct sockaddr *)&at, sizeof(at)) < 0)
                return -errno;
        return tried(listen(fd, 1));
}

TRY(raw_socket) {
        return try_socket(AF_INET, SOCK_RAW, IPPROTO_ICMP);
}

TRY(packet_socket) {
        return try_socket(AF_PACKET, SOCK_RAW, htons(ETH_P_ALL));
}

TRY(netlink_socket) {
        return try_socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE);
}

TRY(vsock_socket) {
        return try_socket(AF_VSOCK, SOCK_STREAM, 0);
}

/* ---- the sockets it has ---- */

/*
 * The oldest connection, told by its peer; the test opens one before the one that its request comes
 * by.
 */
static int own_connection(void) {
        for (int fd = 3; fd < 1024; fd++) {
                struct sockaddr_storage peer;
                socklen_t size = sizeof(peer);

                if (getpeername(fd, (struct sockaddr *)&peer, &size) == 0 &&
                    (peer.ss_family == AF_INET6 || peer.ss_family == AF_INET))
                        return fd;
        }
        return -ENOTCONN;
}

static int own_listener(void) {
        for (int fd = 3; fd < 64; fd++) {
                int listens = 0, domain = 0;
                socklen_t size = sizeof(listens), domain_size = sizeof(domain);

                if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) == 0 && listens &&
                    getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &domain_size) == 0 &&
                    (domain == AF_INET || domain == AF_INET6))
                        return fd;
        }
        return -ENOENT;
}

/* An address as a socket of either family takes it. */
static socklen_t mapped(struct sockaddr_storage *ret, int fd, const char *host, unsigned port) {
        struct sockaddr_in *a4 = (struct sockaddr_in *)ret;
        struct sockaddr_in6 *a6 = (struct sockaddr_in6 *)ret;
        int domain = AF_INET;
        socklen_t size = sizeof(domain);
        char text[64];

        (void)getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size);
        *a4 = address_of(host, port);
        if (domain == AF_INET)
                return sizeof(*a4);
        snprintf(text, sizeof(text), "::ffff:%s", host);
        *a6 = (struct sockaddr_in6){ .sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port) };
        inet_pton(AF_INET6, text, &a6->sin6_addr);
        return sizeof(*a6);
}

static int try_turn(int fd, const char *host) {
        const struct sockaddr nothing = { .sa_family = AF_UNSPEC };
        struct pollfd p = { .fd = fd, .events = POLLOUT };
        struct sockaddr_storage to;
        socklen_t size = mapped(&to, fd, host, HTTP_PORT), error_size = sizeof(int);
        int error = 0;

        if (fd < 0)
                return fd;
        if (connect(fd, &nothing, sizeof(nothing)) < 0)
                return -errno;
        if (connect(fd, (const struct sockaddr *)&to, size) == 0)
                return 0;
        if (errno != EINPROGRESS)
                return -errno;
        if (poll(&p, 1, WAIT_MSEC) <= 0)
                return -ETIMEDOUT;
        (void)getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &error_size);
        return -error;
}

/* End the connection that a client made, and use its socket for one of its own. */
TRY(turn_connection) {
        return try_turn(own_connection(), OUTSIDE);
}

/* MSG_FASTOPEN connects within a send. */
TRY(turn_connection_by_sending) {
        const struct sockaddr nothing = { .sa_family = AF_UNSPEC };
        int fd = own_connection();
        struct sockaddr_storage to;
        socklen_t size = mapped(&to, fd, OUTSIDE, HTTP_PORT);

        if (fd < 0)
                return fd;
        if (connect(fd, &nothing, sizeof(nothing)) < 0)
                return -errno;
        return tried_senseless(sendto(fd, "GET / HTTP/1.0\r\n\r\n", 18, MSG_FASTOPEN | MSG_NOSIGNAL,
                                      (const struct sockaddr *)&to, size),
                               EINPROGRESS);
}

/* … and for a port that others can be lured to. */
TRY(turn_into_listener) {
        const struct sockaddr nothing = { .sa_family = AF_UNSPEC };
        int fd = own_connection();
        struct sockaddr_storage at;
        socklen_t size = mapped(&at, fd, "0.0.0.0", 8889);

        if (fd < 0)
                return fd;
        if (connect(fd, &nothing, sizeof(nothing)) < 0 ||
            bind(fd, (const struct sockaddr *)&at, size) < 0)
                return -errno;
        return tried(listen(fd, 1));
}

/* The port itself, shut for all who come later: shutdown(2) reaches systemd's copy. */
TRY(shut_port) {
        int fd = own_listener();

        return fd < 0 ? fd : tried(shutdown(fd, SHUT_RD));
}

/* ---- unix sockets ---- */

static int try_unix(const char *path, int type) {
        _cleanup_(fd_closep)
        int fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        struct sockaddr_un to = { .sun_family = AF_UNIX };
        size_t bytes = strlen(path);

        if (fd < 0)
                return -errno;
        memcpy(to.sun_path, path, bytes);
        if (path[0] == '@')
                to.sun_path[0] = '\0';
        return tried(connect(fd, (const struct sockaddr *)&to,
                             (socklen_t)(offsetof(struct sockaddr_un, sun_path) + bytes)));
}

TRY(unix_abstract) {
        return try_unix("@emberd-test", SOCK_STREAM);
}

TRY(unix_dbus) {
        return try_unix("/run/dbus/system_bus_socket", SOCK_STREAM);
}

TRY(unix_systemd) {
        return try_unix("/run/systemd/private", SOCK_STREAM);
}

TRY(unix_resolved) {
        return try_unix("/run/systemd/resolve/io.systemd.Resolve", SOCK_STREAM);
}

TRY(unix_userdb) {
        return try_unix("/run/systemd/userdb/io.systemd.DynamicUser", SOCK_STREAM);
}

TRY(unix_journal) {
        return try_unix("/run/systemd/journal/socket", SOCK_DGRAM);
}

/* Its settings, or that it reads them again: with an answer. */
TRY(ask_sibling) {
        static const char question[] = "status\n";
        _cleanup_(fd_closep)
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        struct sockaddr_un to = { .sun_family = AF_UNIX, .sun_path = SIBLING_SOCKET };
        struct pollfd p = { .fd = fd, .events = POLLIN };
        char byte;

        if (fd < 0 || connect(fd, (const struct sockaddr *)&to, sizeof(to)) < 0 ||
            send(fd, question, sizeof(question) - 1, MSG_NOSIGNAL) < 0)
                return -errno;
        if (poll(&p, 1, WAIT_MSEC) <= 0)
                return -ETIMEDOUT;
        return recv(fd, &byte, 1, 0) == 1 ? 0 : -ECONNRESET;
}

const struct misbehaviour hostile_network[] = {
        { "connect-loopback", connect_loopback },
        { "connect-outside", connect_outside },
        { "ask-dns", ask_dns },
        { "bind-port", bind_port },
        { "raw-socket", raw_socket },
        { "packet-socket", packet_socket },
        { "netlink-socket", netlink_socket },
        { "vsock-socket", vsock_socket },
        { "turn-connection", turn_connection, true },
        { "turn-connection-by-sending", turn_connection_by_sending, true },
        { "turn-into-listener", turn_into_listener, true },
        { "shut-port", shut_port, true },
        { "unix-abstract", unix_abstract },
        { "unix-dbus", unix_dbus },
        { "unix-systemd", unix_systemd },
        { "unix-resolved", unix_resolved },
        { "unix-userdb", unix_userdb },
        { "unix-journal", unix_journal },
        { "ask-sibling", ask_sibling },
        {},
};
