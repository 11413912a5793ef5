/* SPDX-License-Identifier: MIT */
/*
 * Streams in memory: two ends, each with a queue of the bytes that came to it. The rules are those
 * of TCP on Linux where a server can tell the difference: received bytes outlive a reset unless the
 * odds say that they do not (other systems drop them, and so does a network that loses the segments
 * before the RST), the end of the stream hides a later error from recv, an error is reported once
 * and then is EPIPE or the end.
 */
#include "scripted-world.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

enum { WINDOW_DEFAULT = 1 << 20 };

/* ---- queues ---- */

static void queue_append(struct scripted_queue *q, const void *data, size_t size) {
        if (q->start > 0 && q->start + q->used + size > q->size) {
                memmove(q->data, q->data + q->start, q->used);
                q->start = 0;
        }
        if (q->used + size > q->size) {
                size_t bigger = MAX(2 * q->size, q->used + size);

                q->data = realloc(q->data, bigger);
                assert(q->data);
                q->size = bigger;
        }
        if (size > 0)
                memcpy(q->data + q->start + q->used, data, size);
        q->used += size;
}

static void queue_take(struct scripted_queue *q, void *data, size_t size) {
        assert(size <= q->used);
        if (size > 0)
                memcpy(data, q->data + q->start, size);
        q->start += size;
        q->used -= size;
        if (q->used == 0)
                q->start = 0;
}

/* ---- descriptors under way ---- */

static struct scripted_rights *rights_first(const struct scripted_peer *end) {
        if (list_is_empty(&end->rights))
                return NULL;
        return container_of(end->rights.next, struct scripted_rights, link);
}

static void rights_free(struct scripted_rights *rights) {
        for (unsigned i = 0; i < rights->count; i++)
                close(rights->fds[i]);
        list_remove(&rights->link);
        free(rights);
}

/* Duplicates what SCM_RIGHTS names, to go with the next byte to `to`. */
static int rights_send(struct scripted_peer *to, const struct msghdr *message) {
        /* CMSG_NXTHDR() reads from, and never writes to, the message */
        struct msghdr *m = (struct msghdr *)message;

        for (struct cmsghdr *c = m->msg_control ? CMSG_FIRSTHDR(m) : NULL; c;
             c = CMSG_NXTHDR(m, c)) {
                struct scripted_rights *rights;
                size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);

                if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS || count == 0)
                        continue;
                if (count > SCRIPTED_RIGHTS_MAX)
                        return -EINVAL;
                rights = calloc(1, sizeof(*rights));
                assert(rights);
                rights->position = to->received;
                list_append(&to->rights, &rights->link);
                for (; rights->count < count; rights->count++) {
                        int fd;

                        memcpy(&fd, CMSG_DATA(c) + rights->count * sizeof(fd), sizeof(fd));
                        fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
                        if (fd < 0) {
                                int error = errno;

                                rights_free(rights);
                                return -error;
                        }
                        rights->fds[rights->count] = fd;
                }
        }
        return 0;
}

/* Hands over the descriptors, as many as there is room for; the others are closed (MSG_CTRUNC). */
static void rights_receive(struct scripted_rights *rights, struct msghdr *message) {
        size_t room = message->msg_control ? message->msg_controllen : 0;
        unsigned fit = 0;

        while (fit < rights->count && CMSG_SPACE((fit + 1) * sizeof(int)) <= room)
                fit++;
        message->msg_controllen = 0;
        if (fit < rights->count)
                message->msg_flags |= MSG_CTRUNC;
        if (fit > 0) {
                struct cmsghdr *c = message->msg_control;

                *c = (struct cmsghdr){ .cmsg_len = CMSG_LEN(fit * sizeof(int)),
                                       .cmsg_level = SOL_SOCKET,
                                       .cmsg_type = SCM_RIGHTS };
                memcpy(CMSG_DATA(c), rights->fds, fit * sizeof(int));
                message->msg_controllen = CMSG_SPACE(fit * sizeof(int));
        }
        rights->count -= fit;
        memmove(rights->fds, rights->fds + fit, rights->count * sizeof(int));
        rights_free(rights);
}

/* ---- ends ---- */

struct scripted_peer *scripted_end_new(struct scripted_world *world) {
        struct scripted_peer *end = calloc(1, sizeof(*end));

        assert(end);
        end->world = world;
        end->fd = -1;
        end->window = WINDOW_DEFAULT;
        end->break_at = UINT64_MAX;
        end->address = (struct sockaddr_in){ .sin_family = AF_INET,
                                             .sin_port = htons(world->port_next++),
                                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
        list_init(&end->rights);
        list_append(&world->ends, &end->link);
        return end;
}

void scripted_end_join(struct scripted_peer *a, struct scripted_peer *b) {
        a->other = b;
        b->other = a;
        a->connected = b->connected = true;
}

void scripted_end_free(struct scripted_peer *end) {
        assert(!end->other);
        if (end->fd >= 0)
                scripted_fd_give(end->world, end->fd);
        while (rights_first(end))
                rights_free(rights_first(end));
        list_remove(&end->link);
        free(end->input.data);
        free(end);
}

/* A reset arrives at this end. */
static void end_meet_reset(struct scripted_peer *end) {
        end->reset = true;
        end->error = end->input_ended ? EPIPE : ECONNRESET;
        if (scripted_chance(end->world, end->world->odds.reset_drops))
                end->input.start = end->input.used = 0;
        if (end->other)
                end->other->other = NULL;
        end->other = NULL;
}

void scripted_end_break(struct scripted_peer *end) {
        struct scripted_peer *other = end->other;

        if (!end->connected || end->reset)
                return;
        scripted_trace(end->world, "break", end->fd >= 0 || !other ? end->fd : other->fd, 0);
        if (other)
                end_meet_reset(other);
        end_meet_reset(end);
}

void scripted_end_close(struct scripted_peer *end, bool reset) {
        struct scripted_peer *other = end->other;

        /* unread bytes: RFC 9293, 3.10.4; what lingering closes avoid */
        reset |= end->close_resets || end->input.used > 0;
        end->other = NULL;
        if (other) {
                other->other = NULL;
                if (reset)
                        end_meet_reset(other);
                else
                        other->input_ended = true;
        }
        scripted_end_free(end);
}

void scripted_end_shutdown(struct scripted_peer *end, int how) {
        if (how != SHUT_RD) {
                end->output_ended = true;
                if (end->other)
                        end->other->input_ended = true;
        }
        if (how != SHUT_WR)
                end->input_shut = true;
}

size_t scripted_end_room(const struct scripted_peer *end) {
        const struct scripted_peer *to = end->other;

        if (!to)
                return SIZE_MAX;
        return to->input.used < to->window ? to->window - to->input.used : 0;
}

uint32_t scripted_end_events(const struct scripted_peer *end) {
        uint32_t events = 0;

        if (!end->connected)
                return POLLOUT | POLLHUP;
        if (end->input.used > 0 || end->input_ended || end->input_shut || end->reset)
                events |= POLLIN;
        if (end->input_ended || end->input_shut || end->reset)
                events |= POLLRDHUP;
        if (end->output_ended || end->reset || scripted_end_room(end) > 0)
                events |= POLLOUT;
        if (end->error)
                events |= POLLERR;
        if (end->reset || (end->input_ended && end->output_ended))
                events |= POLLHUP;
        return events;
}

static int error_take(struct scripted_peer *end) {
        int error = end->error;

        end->error = 0;
        return error;
}

static size_t message_bytes(const struct msghdr *message) {
        size_t bytes = 0;

        for (size_t i = 0; i < message->msg_iovlen; i++)
                bytes += message->msg_iov[i].iov_len;
        return bytes;
}

ssize_t scripted_end_send(struct scripted_peer *end, const struct msghdr *message, size_t most) {
        struct scripted_peer *to = end->other;
        size_t bytes = MIN(message_bytes(message), most), left;

        if (end->error)
                return -error_take(end);
        if (end->reset || end->output_ended)
                return -EPIPE;
        if (!end->connected)
                return -ENOTCONN;
        if (!to) { /* it has closed: the bytes leave, and a reset comes back */
                end_meet_reset(end);
                return (ssize_t)bytes;
        }
        if (message_bytes(message) > 0 && scripted_end_room(end) == 0)
                return -EAGAIN;
        bytes = MIN(bytes, scripted_end_room(end));
        bytes = MIN(bytes, to->break_at - to->received);
        if (bytes > 0) {
                int r = rights_send(to, message);

                if (r < 0)
                        return r;
        }
        left = bytes;
        for (size_t i = 0; i < message->msg_iovlen && left > 0; i++) {
                size_t part = MIN(left, message->msg_iov[i].iov_len);

                queue_append(&to->input, message->msg_iov[i].iov_base, part);
                left -= part;
        }
        to->received += bytes;
        if (to->received >= to->break_at)
                scripted_end_break(end);
        return (ssize_t)bytes;
}

ssize_t scripted_end_recv(struct scripted_peer *end, struct msghdr *message, size_t most) {
        size_t control = message->msg_controllen, bytes, left;
        struct scripted_rights *rights = rights_first(end);
        uint64_t taken = end->received - end->input.used; /* position of the next byte */

        message->msg_controllen = 0;
        message->msg_flags = 0;
        if (end->input.used == 0) {
                if (end->input_ended || end->input_shut)
                        return 0;
                if (end->error)
                        return -error_take(end);
                if (end->reset)
                        return 0;
                message->msg_controllen = control;
                return end->connected ? -EAGAIN : -ENOTCONN;
        }
        if (rights && rights->position == taken && message_bytes(message) > 0) {
                message->msg_controllen = control;
                rights_receive(rights, message);
                rights = rights_first(end);
        }
        bytes = MIN(message_bytes(message), most);
        bytes = MIN(bytes, end->input.used);
        if (rights) /* as on a Unix socket, one call does not reach past the next control data */
                bytes = MIN(bytes, rights->position - taken);
        left = bytes;
        for (size_t i = 0; i < message->msg_iovlen && left > 0; i++) {
                size_t part = MIN(left, message->msg_iov[i].iov_len);

                queue_take(&end->input, message->msg_iov[i].iov_base, part);
                left -= part;
        }
        return (ssize_t)bytes;
}

ssize_t scripted_end_recv_bytes(struct scripted_peer *end, void *data, size_t size) {
        struct iovec iov = { data, size };
        struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1 };

        return scripted_end_recv(end, &message, size);
}
