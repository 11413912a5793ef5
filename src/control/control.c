/* SPDX-License-Identifier: MIT */
#include "control/control.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"

/*
 * A client is in one of three states: its line is read, its request waits for what it asked for, or
 * its answer is sent. A line and an answer have ten seconds each; a client that waits is held to no
 * time, since the wait is the server's.
 *
 * There are eight places. Who comes when all are taken gets that of the one who has taken longest
 * to send a line, if that is longer than an honest client ever takes; until then, and where all
 * have sent theirs, new ones stay in the kernel's queue. So those who only hold places delay the
 * others, by a fifth of a second for eight of them who are before in the queue, and who comes back
 * again and again with many connections can fill it. But they are in the group of emberd.
 */
enum {
        BACKLOG = 128,            /* who finds it full waits in connect(2) */
        LINE_MSEC = 10000,        /* to send a request */
        HONEST_MSEC = 200,        /* who took longer gives way: a guess, on a busy machine */
        ANSWER_MSEC = 10000,      /* to take the answer */
        ACCEPT_PAUSE_MSEC = 1000, /* when there is no descriptor for another connection */
        DRAIN_ROUNDS = 64,        /* of a line's bytes: more than a socket holds by default */
        STATUS_BYTES = 16,
};

enum client_state {
        CLIENT_SENDS_LINE,   /* -> WAITS, TAKES_ANSWER, or gone */
        CLIENT_WAITS,        /* -> TAKES_ANSWER, or gone */
        CLIENT_TAKES_ANSWER, /* -> gone */
};

struct client {
        struct control_request request;
        struct client **place; /* where `control` has it */
        enum client_state state;
        int fd;
        uint64_t deadline_usec; /* not while it waits */
        unsigned topic;
        uint64_t number;
        struct buffer answer; /* what is not sent yet */
        size_t line_bytes;
        char line[CONTROL_LINE_BYTES_MAX];
};

struct control {
        const struct control_verb *verbs;
        void *context;
        int fd;
        uint64_t accept_after_usec; /* 0: at once */
        dev_t device;               /* of the socket's file */
        ino_t inode;
        struct client *clients[CONTROL_CLIENTS_MAX];
        char path[CONTROL_PATH_BYTES];
};

/* ---- clients ---- */

static void client_free(struct client *client) {
        *client->place = NULL;
        fd_close(client->fd);
        buffer_finish(&client->answer);
        free(client);
}

/* What is behind the line is dropped: unread, it would cut the answer off (ECONNRESET). */
static void client_finish(struct client *client) {
        for (unsigned i = 0; i < DRAIN_ROUNDS; i++)
                if (recv(client->fd, client->line, sizeof(client->line), MSG_DONTWAIT) <= 0)
                        break;
        client_free(client);
}

static void client_send(struct client *client) {
        struct buffer *b = &client->answer;

        while (b->used) {
                ssize_t n = send(client->fd, b->data, b->used, MSG_DONTWAIT | MSG_NOSIGNAL);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0 && errno == EAGAIN)
                        return;
                if (n < 0)
                        break;
                buffer_consume(b, (size_t)n);
        }
        client_finish(client);
}

static void client_answer(struct client *client, int status, struct text text) {
        char line[STATUS_BYTES];
        int n = snprintf(line, sizeof(line), "%d\n", status);
        struct buffer *b = &client->answer;

        text.size = MIN(text.size, (size_t)CONTROL_ANSWER_BYTES_MAX);
        buffer_append(b, line, (size_t)n);
        buffer_append_text(b, text);
        if (text.size && text.data[text.size - 1] != '\n')
                buffer_append(b, "\n", 1);
        if (b->failed) {
                client_free(client); /* who gets no answer knows that there was none */
                return;
        }
        client->state = CLIENT_TAKES_ANSWER;
        client->deadline_usec = clock_monotonic_usec() + ANSWER_MSEC * USEC_PER_MSEC;
        client_send(client);
}

static struct client *client_of(struct control_request *request) {
        return container_of(request, struct client, request);
}

void control_answer(struct control_request *request, int status, struct text text) {
        client_answer(client_of(request), status, text);
}

void control_wait(struct control_request *request, unsigned topic, uint64_t number) {
        struct client *client = client_of(request);

        client->state = CLIENT_WAITS;
        client->topic = topic;
        client->number = number;
}

void control_answer_waiting(struct control *c, unsigned topic, uint64_t number_max, int status,
                            struct text text) {
        for (size_t i = 0; c && i < CONTROL_CLIENTS_MAX; i++) {
                struct client *client = c->clients[i];

                if (client && client->state == CLIENT_WAITS && client->topic == topic &&
                    client->number <= number_max)
                        client_answer(client, status, text);
        }
}

/* ---- requests ---- */

static void answer_known_verbs(const struct control *c, struct client *client, struct text verb) {
        _cleanup_(buffer_finish)
        struct buffer text = {};

        buffer_printf(&text, "'%.*s' is not known here; known are:", (int)MIN(verb.size, 64U),
                      verb.data);
        for (const struct control_verb *v = c->verbs; v->name; v++)
                buffer_printf(&text, " %s", v->name);
        client_answer(client, CONTROL_USAGE, buffer_text(&text));
}

static void client_run(const struct control *c, struct client *client) {
        struct text verb = client->request.words[0];

        for (const struct control_verb *v = c->verbs; v->name; v++) {
                if (!text_equal(verb, text_of(v->name)))
                        continue;
                if (client->request.word_count > v->arguments_max + 1)
                        client_answer(client, CONTROL_USAGE, TEXT("too many arguments"));
                else
                        v->run(c->context, &client->request);
                return;
        }
        answer_known_verbs(c, client, verb);
}

static void client_read(const struct control *c, struct client *client) {
        struct control_request *request = &client->request;
        ssize_t n = recv(client->fd, client->line + client->line_bytes,
                         sizeof(client->line) - client->line_bytes, MSG_DONTWAIT);
        int r;

        if (n < 0 && (errno == EAGAIN || errno == EINTR))
                return;
        if (n <= 0) {
                client_free(client); /* gone, with half a line at most */
                return;
        }
        client->line_bytes += (size_t)n;
        r = control_line_read((struct text){ client->line, client->line_bytes }, request->words,
                              &request->word_count);
        if (r == CONTROL_LINE_MORE)
                return;
        if (r > 0)
                client_answer(client, CONTROL_USAGE, text_of(control_line_fault(r)));
        else
                client_run(c, client);
}

/* ---- accepting ---- */

/* Of those whose line is not complete, the one who came first. */
static struct client *slowest_sender(const struct control *c) {
        struct client *slowest = NULL;

        for (size_t i = 0; i < CONTROL_CLIENTS_MAX; i++) {
                struct client *client = c->clients[i];

                if (client && client->state == CLIENT_SENDS_LINE &&
                    (!slowest || client->deadline_usec < slowest->deadline_usec))
                        slowest = client;
        }
        return slowest;
}

static struct client **free_place(struct control *c) {
        for (size_t i = 0; i < CONTROL_CLIENTS_MAX; i++)
                if (!c->clients[i])
                        return &c->clients[i];
        return NULL;
}

/* When a newcomer can be let in: 0 at once, USEC_INFINITY when somebody was answered. */
static uint64_t room_usec(const struct control *c) {
        const struct client *slowest = slowest_sender(c);

        if (free_place((struct control *)c))
                return 0;
        return slowest ? slowest->deadline_usec - (LINE_MSEC - HONEST_MSEC) * USEC_PER_MSEC
                       : USEC_INFINITY;
}

static bool has_room(const struct control *c) {
        return room_usec(c) <= clock_monotonic_usec();
}

static int client_new(struct control *c, int fd, struct client **ret) {
        struct ucred peer = {};
        socklen_t size = sizeof(peer);
        struct client *client, **place = free_place(c);

        if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0)
                return -errno;
        if (!place) {
                client = slowest_sender(c);
                place = client->place;
                client_free(client);
        }
        client = malloc(sizeof(*client));
        if (!client)
                return -ENOMEM;
        *client = (struct client){
                .request = { .uid = peer.uid, .pid = peer.pid },
                .place = place,
                .fd = fd,
                .deadline_usec = clock_monotonic_usec() + LINE_MSEC * USEC_PER_MSEC,
        };
        *ret = *place = client;
        return 0;
}

static void control_accept(struct control *c) {
        /* no more at once than there are places: the thread has other things to do */
        for (unsigned i = 0; i < CONTROL_CLIENTS_MAX && has_room(c); i++) {
                int fd = accept4(c->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
                struct client *client = NULL;

                if (fd < 0 && (errno == EINTR || errno == ECONNABORTED))
                        continue;
                if (fd < 0 && errno != EAGAIN)
                        c->accept_after_usec =
                                clock_monotonic_usec() + ACCEPT_PAUSE_MSEC * USEC_PER_MSEC;
                if (fd < 0)
                        return;
                if (client_new(c, fd, &client) < 0)
                        fd_close(fd);
                else
                        client_read(c, client); /* most have sent their line by now */
        }
}

/* ---- the thread's turn ---- */

static short client_events(const struct client *client) {
        switch (client->state) {
        case CLIENT_SENDS_LINE: return POLLIN;
        case CLIENT_TAKES_ANSWER: return POLLOUT;
        case CLIENT_WAITS: break;
        }
        return 0; /* POLLHUP, when it is gone, needs no asking */
}

void control_poll(const struct control *c, struct pollfd fds[static CONTROL_POLL_MAX]) {
        for (size_t i = 0; i < CONTROL_POLL_MAX; i++)
                fds[i] = (struct pollfd){ .fd = -1 };
        if (!c)
                return;
        for (size_t i = 0; i < CONTROL_CLIENTS_MAX; i++)
                if (c->clients[i])
                        fds[i] = (struct pollfd){ .fd = c->clients[i]->fd,
                                                  .events = client_events(c->clients[i]) };
        if (!c->accept_after_usec && has_room(c))
                fds[CONTROL_CLIENTS_MAX] = (struct pollfd){ .fd = c->fd, .events = POLLIN };
}

void control_take(struct control *c, const struct pollfd fds[static CONTROL_POLL_MAX]) {
        if (!c)
                return;
        for (size_t i = 0; i < CONTROL_CLIENTS_MAX; i++) {
                struct client *client = c->clients[i];

                /* a place may have got another client since it was polled */
                if (!client || client->fd != fds[i].fd || !fds[i].revents)
                        continue;
                if (client->state == CLIENT_SENDS_LINE)
                        client_read(c, client);
                else if (client->state == CLIENT_TAKES_ANSWER)
                        client_send(client);
                else
                        client_free(client);
        }
        if (fds[CONTROL_CLIENTS_MAX].revents)
                control_accept(c);
}

uint64_t control_step(struct control *c, uint64_t now_usec) {
        uint64_t next = USEC_INFINITY;

        if (!c)
                return next;
        for (size_t i = 0; i < CONTROL_CLIENTS_MAX; i++) {
                struct client *client = c->clients[i];

                if (!client || client->state == CLIENT_WAITS)
                        continue;
                if (now_usec >= client->deadline_usec)
                        client_free(client);
                else
                        next = MIN(next, client->deadline_usec);
        }
        /* where there is room the listening socket is polled */
        if (room_usec(c) > now_usec)
                next = MIN(next, room_usec(c));
        if (now_usec >= c->accept_after_usec)
                c->accept_after_usec = 0;
        return c->accept_after_usec ? MIN(next, c->accept_after_usec) : next;
}

/* ---- the socket ---- */

static int socket_open(const char *path, struct sockaddr_un *ret) {
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

        *ret = (struct sockaddr_un){ .sun_family = AF_UNIX };
        memcpy(ret->sun_path, path, strlen(path) + 1);
        return fd < 0 ? -errno : fd;
}

/* A process that was killed leaves its socket behind; one that listens is not to be robbed. */
static int remove_stale(const char *path) {
        _cleanup_(fd_closep)
        int fd = -1;
        struct sockaddr_un address;
        struct stat st;

        if (lstat(path, &st) < 0)
                return errno == ENOENT ? 0 : -errno;
        if (!S_ISSOCK(st.st_mode))
                return -ENOTSOCK;
        fd = socket_open(path, &address);
        if (fd < 0)
                return fd;
        if (connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0 || errno == EAGAIN)
                return -EADDRINUSE;
        if (errno == ENOENT)
                return 0;
        if (errno != ECONNREFUSED)
                return -errno;
        return unlink(path) < 0 && errno != ENOENT ? -errno : 0;
}

static int listen_at(struct control *c) {
        struct sockaddr_un address;
        struct stat st;

        c->fd = socket_open(c->path, &address);
        if (c->fd < 0)
                return c->fd;
        if (bind(c->fd, (struct sockaddr *)&address, sizeof(address)) < 0)
                return -errno;
        /* nobody is let in before listen(2), whatever the umask said */
        if (lstat(c->path, &st) < 0)
                return -errno;
        c->device = st.st_dev;
        c->inode = st.st_ino;
        return chmod(c->path, 0660) < 0 || listen(c->fd, BACKLOG) < 0 ? -errno : 0;
}

int control_open(const char *path, const struct control_verb *verbs, void *context,
                 struct control **ret) {
        struct control *c;
        int r;

        if (strlen(path) >= sizeof(c->path))
                return -ENAMETOOLONG;
        r = remove_stale(path);
        if (r < 0)
                return r;
        c = calloc(1, sizeof(*c));
        if (!c)
                return -ENOMEM;
        c->verbs = verbs;
        c->context = context;
        memcpy(c->path, path, strlen(path) + 1);
        r = listen_at(c);
        if (r < 0) {
                control_close(c);
                return r;
        }
        *ret = c;
        return 0;
}

struct control *control_close(struct control *c) {
        struct stat st;

        if (!c)
                return NULL;
        for (size_t i = 0; i < CONTROL_CLIENTS_MAX; i++)
                if (c->clients[i])
                        client_free(c->clients[i]);
        if (c->inode && lstat(c->path, &st) == 0 && st.st_dev == c->device && st.st_ino == c->inode)
                (void)unlink(c->path);
        fd_close(c->fd);
        free(c);
        return NULL;
}
