/* SPDX-License-Identifier: MIT */
/* One operation against the world: whether it could do something, and doing it. */
#include "scripted-world.h"

#include <errno.h>
#include <poll.h>

static struct scripted_peer *op_end(struct scripted_world *world, const struct loop_op *op) {
        struct scripted_peer *end = scripted_end_of(world, op->socket->fd);

        assert(end); /* an operation on a descriptor that is not open */
        return end;
}

/* What poll(2) would say of any descriptor, the kernel's own included. */
static uint32_t poll_events(struct scripted_world *world, int fd, uint32_t wanted) {
        struct scripted_listening *l = scripted_listening_of(world, fd);
        struct scripted_peer *end = scripted_end_of(world, fd);
        struct pollfd real = { .fd = fd, .events = (short)wanted };

        if (l)
                return list_is_empty(&l->queue) ? 0 : wanted & POLLIN;
        if (end)
                return scripted_end_events(end) & (wanted | POLLERR | POLLHUP);
        return poll(&real, 1, 0) > 0 ? (uint32_t)real.revents : 0;
}

static struct scripted_listening *find_listener(struct scripted_world *world,
                                                const struct sockaddr *address) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)address;

        for (unsigned i = 0; address->sa_family == AF_INET && i < world->descriptors_size; i++) {
                struct scripted_listening *l = world->descriptors[i].listening;

                if (l && l->address.sin_port == in->sin_port)
                        return l;
        }
        return NULL;
}

bool scripted_can_perform(struct scripted_world *world, struct loop_op *op) {
        struct scripted_listening *l;

        switch (op->kind) {
        case LOOP_RECV:
        case LOOP_RECV_INTO:
        case LOOP_RECV_MESSAGE:
                return scripted_end_events(op_end(world, op)) & (POLLIN | POLLERR | POLLHUP);
        case LOOP_SEND:
        case LOOP_SEND_MESSAGE:
                return scripted_end_events(op_end(world, op)) & (POLLOUT | POLLERR | POLLHUP);
        case LOOP_CONNECT:
                l = find_listener(world, op->connect.address);
                return !l || l->waiting < l->backlog;
        default:
                return poll_events(world, op->socket ? op->socket->fd : op->poll.fd,
                                   op->poll.events);
        }
}

static size_t short_by_odds(struct scripted_world *world, unsigned odds, size_t bytes) {
        if (bytes > 1 && scripted_chance(world, odds))
                return 1 + scripted_below(world, (unsigned)MIN(bytes, (size_t)INT32_MAX));
        return bytes;
}

static int perform_recv(struct loop *loop, struct scripted_peer *end, struct loop_op *op,
                        size_t clamp) {
        struct scripted_world *world = end->world;
        uint32_t id;
        char *data;
        ssize_t n;

        clamp = MIN(clamp, short_by_odds(world, world->odds.short_recv, end->input.used));
        if (op->kind == LOOP_RECV_MESSAGE)
                return (int)scripted_end_recv(end, op->message.message, clamp);
        if (op->kind == LOOP_RECV_INTO)
                return (int)scripted_end_recv_bytes(end, op->recv.data, MIN(op->recv.size, clamp));
        op->recv.data = NULL;
        if (end->input.used == 0) /* the end, or an error: a buffer would not be used */
                return (int)scripted_end_recv_bytes(end, NULL, 0);
        if (loop_buffers_take(&loop->buffers, &id) < 0) {
                counter_add(&loop->counters.starved, 1);
                return -EAGAIN;
        }
        data = loop_buffer_data(&loop->buffers, id);
        n = scripted_end_recv_bytes(end, data, MIN(loop->buffers.buffer_bytes, clamp));
        assert(n > 0);
        op->recv.data = data;
        op->recv.id = id;
        return (int)n;
}

/* Drop what was sent from the parts. True when nothing is left. */
static bool parts_used_up(struct iovec **parts, size_t *count, size_t bytes) {
        while (*count > 0 && bytes >= (*parts)->iov_len) {
                bytes -= (*parts)->iov_len;
                (*parts)++;
                (*count)--;
        }
        if (*count > 0) {
                (*parts)->iov_base = (char *)(*parts)->iov_base + bytes;
                (*parts)->iov_len -= bytes;
        }
        return *count == 0;
}

static enum scripted_outcome perform_send(struct scripted_peer *end, struct loop_op *op,
                                          size_t clamp, int *ret_result) {
        struct scripted_world *world = end->world;
        struct msghdr plain = {}, *message = &plain;
        size_t count;
        ssize_t n;
        bool all;

        if (op->kind == LOOP_SEND) {
                plain.msg_iov = op->send.iov;
                plain.msg_iovlen = op->send.count;
        } else
                message = op->message.message;
        clamp = MIN(clamp, short_by_odds(world, world->odds.short_send, scripted_end_room(end)));
        n = scripted_end_send(end, message, clamp);
        if (n == -EAGAIN)
                return SCRIPTED_BLOCKED;
        if (n < 0) {
                *ret_result = (int)n;
                return SCRIPTED_DONE;
        }
        count = message->msg_iovlen;
        all = parts_used_up(&message->msg_iov, &count, (size_t)n);
        message->msg_iovlen = count;
        if (op->kind == LOOP_SEND) {
                op->send.iov = message->msg_iov;
                op->send.count = (uint32_t)count;
                op->send.taken += (size_t)n;
        } else {
                op->message.taken += (size_t)n;
                if (n > 0) { /* the control data has gone with the first bytes */
                        message->msg_control = NULL;
                        message->msg_controllen = 0;
                }
        }
        *ret_result = 0;
        return all ? SCRIPTED_DONE : SCRIPTED_MOVED;
}

static int perform_connect(struct scripted_world *world, struct loop_op *op) {
        struct scripted_listening *l = find_listener(world, op->connect.address);
        struct scripted_peer *end = op_end(world, op);

        if (end->connected)
                return -EISCONN;
        return l ? scripted_listening_join(l, end) : -ECONNREFUSED;
}

enum scripted_outcome scripted_perform(struct loop *loop, struct scripted_world *world,
                                       struct loop_op *op, size_t clamp, int *ret_result) {
        switch (op->kind) {
        case LOOP_SEND:
        case LOOP_SEND_MESSAGE: return perform_send(op_end(world, op), op, clamp, ret_result);
        case LOOP_RECV:
        case LOOP_RECV_INTO:
        case LOOP_RECV_MESSAGE:
                *ret_result = perform_recv(loop, op_end(world, op), op, clamp);
                break;
        case LOOP_CONNECT: *ret_result = perform_connect(world, op); break;
        default:
                *ret_result = (int)poll_events(world, op->socket ? op->socket->fd : op->poll.fd,
                                               op->poll.events);
                if (*ret_result == 0)
                        return SCRIPTED_BLOCKED;
        }
        return *ret_result == -EAGAIN ? SCRIPTED_BLOCKED : SCRIPTED_DONE;
}
