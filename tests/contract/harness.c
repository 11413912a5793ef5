/* SPDX-License-Identifier: MIT */
#include "harness.h"

#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"

/*
 * Peers of the kernel are non-blocking TCP sockets on the loopback; a close with SO_LINGER 0 is the
 * reset. A fixture counts the process's descriptors before and after: what a case leaks, fails it.
 */

const struct configuration *configuration;
unsigned starting;

static unsigned descriptors_count(void) {
        DIR *d = opendir("/proc/self/fd");
        unsigned n = 0;

        assert_non_null(d);
        while (readdir(d))
                n++;
        closedir(d);
        return n;
}

uint64_t real_usec(void) {
        return clock_monotonic_usec();
}

int fixture_loop_new(struct offload_pool *pool, struct loop **ret) {
        struct loop_options options = configuration->options;

        options.pool = pool;
        return loop_new(configuration->backend, &options, ret);
}

int fixture_set_up(void **state) {
        struct fixture *f = calloc(1, sizeof(*f));

        assert_non_null(f);
        f->descriptors = descriptors_count();
        f->pair_listener = -1;
        if (configuration->backend == &scripted_backend)
                f->world = scripted_world_new(1);
        f->pair_listener = listener_open(f, 1024);
        assert_int_equal(fixture_loop_new(NULL, &f->loop), 0);
        starting = 0;
        *state = f;
        return 0;
}

int fixture_tear_down(void **state) {
        struct fixture *f = *state;

        /* loop_free() asserts the same; a case that failed on its way is to be heard first */
        assert_int_equal(f->loop->sockets + f->loop->listeners, 0);
        assert_int_equal(f->loop->pending + f->loop->jobs, 0);
        f->loop = loop_free(f->loop);
        listener_close(f, f->pair_listener);
        scripted_world_free(f->world);
        assert_int_equal(descriptors_count(), f->descriptors);
        free(f);
        return 0;
}

void turn(struct fixture *f, uint64_t usec) {
        uint64_t now = configuration->backend->now(f->loop);

        assert_int_equal(loop_turn(f->loop, usec ? now + usec : 0), 0);
}

void run_for(struct fixture *f, uint64_t usec) {
        uint64_t end = configuration->backend->now(f->loop) + usec;

        while (configuration->backend->now(f->loop) < end)
                assert_int_equal(loop_turn(f->loop, end), 0);
}

/* ---- peers ---- */

int listener_open(struct fixture *f, unsigned backlog) {
        struct sockaddr_in address = { .sin_family = AF_INET,
                                       .sin_addr = { htonl(INADDR_LOOPBACK) } };
        int fd;

        if (f->world)
                return scripted_listener(f->world, backlog);
        fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        assert_true(fd >= 0);
        assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
        assert_int_equal(listen(fd, (int)backlog), 0);
        return fd;
}

void listener_close(struct fixture *f, int fd) {
        if (f->world)
                scripted_listener_close(f->world, fd);
        else
                assert_int_equal(close(fd), 0);
}

struct sockaddr_storage listener_address(struct fixture *f, int fd, socklen_t *ret_size) {
        struct sockaddr_storage address = {};

        if (f->world)
                return scripted_address(f->world, fd, ret_size);
        *ret_size = sizeof(address);
        assert_int_equal(getsockname(fd, (struct sockaddr *)&address, ret_size), 0);
        return address;
}

void peer_connect(struct fixture *f, int listener_fd, struct peer *ret) {
        struct sockaddr_storage address;
        socklen_t size;

        *ret = (struct peer){ .fd = -1 };
        if (f->world) {
                assert_int_equal(scripted_peer_connect(f->world, listener_fd, &ret->scripted), 0);
                return;
        }
        address = listener_address(f, listener_fd, &size);
        ret->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        assert_true(ret->fd >= 0);
        if (connect(ret->fd, (struct sockaddr *)&address, size) < 0)
                assert_int_equal(errno, EINPROGRESS);
}

static int accept_wait(int listener_fd) {
        struct pollfd p = { .fd = listener_fd, .events = POLLIN };
        int fd;

        assert_int_equal(poll(&p, 1, RUN_SEC_MAX * 1000), 1);
        fd = accept4(listener_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        assert_true(fd >= 0);
        return fd;
}

void peer_accept(struct fixture *f, int listener_fd, struct peer *ret) {
        *ret = (struct peer){ .fd = -1 };
        if (!f->world) {
                ret->fd = accept_wait(listener_fd);
                return;
        }
        RUN_UNTIL(f, (ret->scripted = scripted_peer_accept(f->world, listener_fd)));
}

int socket_open(struct fixture *f) {
        int fd;

        if (f->world)
                return scripted_socket(f->world);
        fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        assert_true(fd >= 0);
        return fd;
}

void descriptor_close(struct fixture *f, int fd) {
        if (f->world)
                scripted_close(f->world, fd);
        else
                assert_int_equal(close(fd), 0);
}

int pair_open(struct fixture *f, struct peer *ret_peer) {
        *ret_peer = (struct peer){ .fd = -1 };
        if (f->world)
                return scripted_pair(f->world, &ret_peer->scripted);
        peer_connect(f, f->pair_listener, ret_peer);
        return accept_wait(f->pair_listener);
}

int pair_open_unix(struct fixture *f, struct peer *ret_peer) {
        int fds[2];

        if (f->world)
                return pair_open(f, ret_peer);
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds),
                         0);
        *ret_peer = (struct peer){ .fd = fds[1] };
        return fds[0];
}

ssize_t peer_send(struct peer *p, const void *data, size_t size) {
        ssize_t n;

        if (p->scripted)
                return scripted_peer_send(p->scripted, data, size);
        n = send(p->fd, data, size, MSG_NOSIGNAL | MSG_DONTWAIT);
        return n < 0 ? -errno : n;
}

ssize_t peer_recv(struct peer *p, void *data, size_t size) {
        ssize_t n;

        if (p->scripted)
                return scripted_peer_recv(p->scripted, data, size);
        n = recv(p->fd, data, size, MSG_DONTWAIT);
        return n < 0 ? -errno : n;
}

void peer_send_all(struct fixture *f, struct peer *p, const void *data, size_t size) {
        const char *at = data;

        while (size > 0) {
                ssize_t n = peer_send(p, at, size);

                if (n == -EAGAIN) {
                        turn(f, 1000);
                        continue;
                }
                assert_true(n > 0);
                at += n, size -= (size_t)n;
        }
}

ssize_t peer_send_message(struct peer *p, const struct msghdr *message) {
        ssize_t n;

        if (p->scripted)
                return scripted_peer_send_message(p->scripted, message);
        n = sendmsg(p->fd, message, MSG_NOSIGNAL | MSG_DONTWAIT);
        return n < 0 ? -errno : n;
}

ssize_t peer_recv_message(struct peer *p, struct msghdr *message) {
        ssize_t n;

        if (p->scripted)
                return scripted_peer_recv_message(p->scripted, message);
        n = recvmsg(p->fd, message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
        return n < 0 ? -errno : n;
}

void peer_half_close(struct peer *p) {
        if (p->scripted)
                scripted_peer_half_close(p->scripted);
        else
                assert_int_equal(shutdown(p->fd, SHUT_WR), 0);
}

void peer_close(struct peer *p) {
        if (p->scripted)
                scripted_peer_close(p->scripted);
        p->scripted = NULL;
        p->fd = fd_close(p->fd);
}

void peer_reset(struct peer *p) {
        struct linger now = { .l_onoff = 1 };

        if (p->scripted) {
                scripted_peer_reset(p->scripted);
                p->scripted = NULL;
                return;
        }
        assert_int_equal(setsockopt(p->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now)), 0);
        p->fd = fd_close(p->fd);
}

/* ---- operations ---- */

void tracked_done(struct loop_op *op) {
        struct tracked *t = container_of(op, struct tracked, op);

        assert_int_equal(starting, 0);
        assert_true(loop_op_is_idle(op));
        t->done++;
        t->result = op->result;
        if (op->kind == LOOP_RECV && op->result > 0) {
                memcpy(t->data, op->recv.data, MIN((size_t)op->result, sizeof(t->data)));
                t->bytes += (size_t)op->result;
        }
        if (t->then)
                t->then(t);
}

void tracked_open(struct fixture *f, struct tracked_socket *s, struct peer *ret_peer) {
        *s = (struct tracked_socket){};
        s->read.owner = s->write.owner = s;
        loop_socket_init(f->loop, &s->socket, pair_open(f, ret_peer));
}

void tracked_closed(struct loop_socket *socket) {
        struct tracked_socket *s = container_of(socket, struct tracked_socket, socket);

        assert_int_equal(starting, 0);
        assert_true(loop_op_is_idle(&s->read.op) && loop_op_is_idle(&s->write.op));
        s->closed++;
        if (s->then)
                s->then(s);
}

void tracked_close(struct fixture *f, struct tracked_socket *s) {
        if (!s->socket.closing)
                START(loop_close(&s->socket, tracked_closed));
        RUN_UNTIL(f, s->closed);
        assert_int_equal(s->closed, 1);
}

char pattern(uint64_t at) {
        return (char)(at * 31 + (at >> 8) * 7 + (at >> 16));
}

void pattern_fill(char *data, size_t size, uint64_t at) {
        for (size_t i = 0; i < size; i++)
                data[i] = pattern(at + i);
}

bool pattern_matches(const char *data, size_t size, uint64_t at) {
        for (size_t i = 0; i < size; i++)
                if (data[i] != pattern(at + i))
                        return false;
        return true;
}
