/* SPDX-License-Identifier: MIT */
/* What a test does with its ends of the connections, and how it makes those of the loop. */
#include "scripted-world.h"

#include <errno.h>
#include <stdlib.h>

static struct scripted_peer *end_at(struct scripted_world *world, struct scripted_peer *end) {
        end->fd = scripted_fd_take(world, end, NULL);
        assert(end->fd >= 0); /* the test's own limit leaves no room for what the test makes */
        return end;
}

int scripted_listener(struct scripted_world *world, unsigned backlog) {
        struct scripted_listening *l = calloc(1, sizeof(*l));

        assert(l);
        l->backlog = backlog;
        list_init(&l->queue);
        l->address = (struct sockaddr_in){ .sin_family = AF_INET,
                                           .sin_port = htons(world->port_next++),
                                           .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
        l->fd = scripted_fd_take(world, NULL, l);
        assert(l->fd >= 0);
        return l->fd;
}

void scripted_listener_close(struct scripted_world *world, int fd) {
        struct scripted_listening *l = scripted_listening_of(world, fd);

        assert(l);
        while (!list_is_empty(&l->queue)) {
                struct list *first = l->queue.next;

                scripted_end_close(container_of(first, struct scripted_peer, link), true);
        }
        scripted_fd_give(world, fd);
        free(l);
}

struct sockaddr_storage scripted_address(struct scripted_world *world, int listener_fd,
                                         socklen_t *ret_size) {
        struct scripted_listening *l = scripted_listening_of(world, listener_fd);
        struct sockaddr_storage address = {};

        assert(l);
        memcpy(&address, &l->address, sizeof(l->address));
        *ret_size = sizeof(l->address);
        return address;
}

int scripted_socket(struct scripted_world *world) {
        return end_at(world, scripted_end_new(world))->fd;
}

int scripted_pair(struct scripted_world *world, struct scripted_peer **ret_peer) {
        struct scripted_peer *end = end_at(world, scripted_end_new(world));

        *ret_peer = scripted_end_new(world);
        scripted_end_join(end, *ret_peer);
        return end->fd;
}

void scripted_close(struct scripted_world *world, int fd) {
        struct scripted_peer *end = scripted_end_of(world, fd);

        assert(end);
        scripted_end_close(end, false);
}

void scripted_close_resets(struct scripted_world *world, int fd) {
        struct scripted_peer *end = scripted_end_of(world, fd);

        if (end)
                end->close_resets = true;
}

int scripted_listening_join(struct scripted_listening *l, struct scripted_peer *end) {
        struct scripted_peer *waiting;

        if (l->waiting >= l->backlog)
                return -EAGAIN;
        waiting = scripted_end_new(end->world);
        scripted_end_join(waiting, end);
        list_remove(&waiting->link);
        list_append(&l->queue, &waiting->link);
        l->waiting++;
        return 0;
}

struct scripted_peer *scripted_listening_take(struct scripted_listening *l) {
        struct scripted_peer *end;

        if (list_is_empty(&l->queue))
                return NULL;
        end = container_of(l->queue.next, struct scripted_peer, link);
        list_remove(&end->link);
        list_append(&end->world->ends, &end->link);
        l->waiting--;
        return end;
}

int scripted_peer_connect(struct scripted_world *world, int listener_fd,
                          struct scripted_peer **ret_peer) {
        struct scripted_listening *l = scripted_listening_of(world, listener_fd);
        struct scripted_peer *peer;
        int r;

        if (!l)
                return -ECONNREFUSED;
        peer = scripted_end_new(world);
        r = scripted_listening_join(l, peer);
        if (r < 0) {
                scripted_end_free(peer);
                return r;
        }
        *ret_peer = peer;
        return 0;
}

struct scripted_peer *scripted_peer_accept(struct scripted_world *world, int listener_fd) {
        struct scripted_listening *l = scripted_listening_of(world, listener_fd);

        assert(l);
        return scripted_listening_take(l);
}

ssize_t scripted_peer_send(struct scripted_peer *peer, const void *data, size_t size) {
        struct iovec iov = { (void *)data, size };
        struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1 };

        return scripted_end_send(peer, &message, SIZE_MAX);
}

ssize_t scripted_peer_recv(struct scripted_peer *peer, void *data, size_t size) {
        return scripted_end_recv_bytes(peer, data, size);
}

ssize_t scripted_peer_send_message(struct scripted_peer *peer, const struct msghdr *message) {
        return scripted_end_send(peer, message, SIZE_MAX);
}

ssize_t scripted_peer_recv_message(struct scripted_peer *peer, struct msghdr *message) {
        return scripted_end_recv(peer, message, SIZE_MAX);
}

size_t scripted_peer_waiting(const struct scripted_peer *peer) {
        return peer->input.used;
}

bool scripted_peer_ended(const struct scripted_peer *peer) {
        return peer->input_ended || peer->reset;
}

void scripted_peer_window(struct scripted_peer *peer, size_t bytes) {
        peer->window = bytes;
}

void scripted_peer_server_window(struct scripted_peer *peer, size_t bytes) {
        if (peer->other)
                peer->other->window = bytes;
}

void scripted_peer_half_close(struct scripted_peer *peer) {
        scripted_end_shutdown(peer, SHUT_WR);
}

void scripted_peer_close(struct scripted_peer *peer) {
        scripted_end_close(peer, false);
}

void scripted_peer_reset(struct scripted_peer *peer) {
        scripted_end_close(peer, true);
}

void scripted_peer_break(struct scripted_peer *peer) {
        scripted_end_break(peer);
}

void scripted_peer_break_at(struct scripted_peer *peer, uint64_t to_peer, uint64_t from_peer) {
        peer->break_at = to_peer;
        if (peer->other)
                peer->other->break_at = from_peer;
        if (peer->received >= to_peer || (peer->other && peer->other->received >= from_peer))
                scripted_end_break(peer);
}
