/* SPDX-License-Identifier: MIT */
#include "ctl/ctl-ask.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "base/clock.h"
#include "base/fd.h"
#include "systemd/unit-names.h"

/*
 * One question, one answer (control/control.h), within a time that covers all of it: connecting
 * too, which waits where the queue of the socket is full.
 */

enum { PIECE_BYTES = 4096, STATUS_MAX = 255 };

/* Of bytes that a name of a unit may have: an address that is none of them is no escaped one. */
static bool is_escaped(const char *name) {
        return name[strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                 ":_.\\-")] == '\0';
}

/* The folder is named by the address as it is, units/README.md says why. */
static int instance_folder(const char *name, struct buffer *to) {
        size_t begun;
        int r = buffer_append_text(to, TEXT("/run/emberd@"));

        begun = to->used;
        if (r == 0 && is_escaped(name))
                r = unit_name_unescape(text_of(name), to);
        if (r == 0 && to->used > begun)
                return 0;
        to->used = begun;
        return r == -ENOMEM ? r : buffer_append_text(to, text_of(name));
}

int ctl_socket_path(const struct ctl_options *o, char ret[static CONTROL_PATH_BYTES]) {
        _cleanup_(buffer_finish)
        struct buffer folder = {};
        int r;

        if (o->socket) {
                if (strlen(o->socket) >= CONTROL_PATH_BYTES)
                        return -ENAMETOOLONG;
                memcpy(ret, o->socket, strlen(o->socket) + 1);
                return 0;
        }
        if (o->instance) {
                r = instance_folder(o->instance, &folder);
                return r < 0 ? r : control_path_in(buffer_text(&folder), ret);
        }
        r = control_path(getenv("RUNTIME_DIRECTORY"), ret);
        return r == -ENOENT ? control_path_in(TEXT("/run/emberd"), ret) : r;
}

static uint64_t time_left(uint64_t until_usec) {
        uint64_t now = clock_monotonic_usec();

        return until_usec > now ? until_usec - now : 0;
}

static int connect_until(const char *path, uint64_t until_usec) {
        _cleanup_(fd_closep)
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        uint64_t left = MAX(time_left(until_usec), (uint64_t)1); /* 0 is for ever */
        struct timeval wait = { .tv_sec = (time_t)(left / USEC_PER_SEC),
                                .tv_usec = (suseconds_t)(left % USEC_PER_SEC) };
        int r, connected;

        if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof(wait)) < 0)
                return -errno;
        memcpy(address.sun_path, path, strlen(path) + 1);
        do
                r = connect(fd, (struct sockaddr *)&address, sizeof(address));
        while (r < 0 && errno == EINTR);
        if (r < 0)
                return errno == EAGAIN ? -ETIMEDOUT : -errno;
        connected = fd;
        fd = -1;
        return connected;
}

/* It fits into an empty socket, so it is sent in one piece or not at all. */
static int send_line(int fd, const struct ctl_options *o) {
        _cleanup_(buffer_finish)
        struct buffer line = {};

        for (size_t i = 0; i < o->word_count; i++)
                buffer_printf(&line, "%s%c", o->words[i], i + 1 < o->word_count ? ' ' : '\n');
        if (line.failed)
                return -ENOMEM;
        if (send(fd, line.data, line.used, MSG_NOSIGNAL) < 0)
                return errno == EPIPE ? -ECONNRESET : -errno;
        return 0;
}

static int receive_all(int fd, uint64_t until_usec, struct buffer *to) {
        for (;;) {
                struct pollfd p = { .fd = fd, .events = POLLIN };
                ssize_t n;
                int r = poll(&p, 1, (int)(time_left(until_usec) / USEC_PER_MSEC));

                if (r == 0)
                        return -ETIMEDOUT;
                if (r < 0 && errno != EINTR)
                        return -errno;
                if (r < 0)
                        continue;
                if (to->used > CTL_ANSWER_BYTES_MAX)
                        return -EBADMSG;
                r = buffer_reserve(to, PIECE_BYTES);
                if (r < 0)
                        return r;
                n = recv(fd, to->data + to->used, PIECE_BYTES, MSG_DONTWAIT);
                if (n == 0)
                        return 0;
                if (n < 0 && errno != EAGAIN && errno != EINTR)
                        return -errno;
                to->used += n > 0 ? (size_t)n : 0;
        }
}

static int take_status(struct buffer *answer, int *ret) {
        struct text line = buffer_text(answer);
        uint64_t status;

        line.size = text_find(line, '\n');
        if (line.size == answer->used || text_to_u64(line, &status) < 0 || status > STATUS_MAX)
                return -EBADMSG;
        buffer_consume(answer, line.size + 1);
        *ret = (int)status;
        return 0;
}

int ctl_ask(const char *path, const struct ctl_options *options, uint64_t timeout_usec,
            struct buffer *answer, int *ret_status) {
        _cleanup_(fd_closep)
        int fd = -1;
        uint64_t until = clock_monotonic_usec() + timeout_usec;
        int r;

        fd = connect_until(path, until);
        r = fd < 0 ? fd : send_line(fd, options);
        if (r >= 0)
                r = receive_all(fd, until, answer);
        if (r >= 0 && !answer->used)
                r = -ECONNRESET;
        return r < 0 ? r : take_status(answer, ret_status);
}
