/* SPDX-License-Identifier: MIT */
#include "systemd/pressure.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fd.h"

/*
 * A regular file is one of the kernel (Pressure Stall Information): what is written to it sets the
 * threshold, and it is never read. A FIFO or a socket is for tests and for managers other than
 * systemd: whatever arrives means pressure, and is thrown away.
 */
enum {
        THRESHOLD_BYTES_MAX = 4096, /* the kernel takes a line of some 40 */
        DRAIN_READS_MAX = 16,       /* at a time; what is left makes another event */
};

static int base64_value(char c) {
        static const char digits[] =
                "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        const char *at = c ? strchr(digits, c) : NULL;

        return at ? (int)(at - digits) : -1;
}

/* RFC 4648, 4, with its padding. Errors: -EINVAL. */
static int base64_decode(struct text t, char out[static THRESHOLD_BYTES_MAX], size_t *ret_size) {
        size_t n = 0;

        if (t.size % 4 || t.size / 4 * 3 > THRESHOLD_BYTES_MAX)
                return -EINVAL;
        for (size_t i = 0; i < t.size; i += 4) {
                const char *c = t.data + i;
                bool last = i + 4 == t.size;
                unsigned padding = last && c[3] == '=' ? 1 + (c[2] == '=') : 0;
                unsigned bits = 0;

                for (unsigned k = 0; k < 4; k++) {
                        int value = k < 4 - padding ? base64_value(c[k]) : 0;

                        if (value < 0)
                                return -EINVAL;
                        bits = bits << 6 | (unsigned)value;
                }
                for (unsigned k = 0; k < 3 - padding; k++)
                        out[n++] = (char)(bits >> (16 - 8 * k));
        }
        *ret_size = n;
        return 0;
}

static int connect_to(const char *path) {
        _cleanup_(fd_closep)
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        struct sockaddr_un a = { .sun_family = AF_UNIX };
        int taken;

        if (fd < 0)
                return -errno;
        if (strlen(path) >= sizeof(a.sun_path))
                return -ENAMETOOLONG;
        strcpy(a.sun_path, path);
        if (connect(fd, (const struct sockaddr *)&a, sizeof(a)) < 0)
                return -errno;
        taken = fd;
        fd = -1;
        return taken;
}

/* True: there may be more. */
static bool drain(struct pressure *p) {
        char thrown_away[4096];

        for (int i = 0; i < DRAIN_READS_MAX; i++) {
                ssize_t n = read(p->fd, thrown_away, sizeof(thrown_away));

                if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
                        pressure_close(p);
                        return false;
                }
                if (n < 0)
                        return false;
        }
        return true;
}

static int open_path(struct pressure *p, const char *path) {
        struct stat st;

        if (stat(path, &st) < 0)
                return -errno;
        p->events = S_ISREG(st.st_mode) ? POLLPRI : POLLIN;
        if (S_ISSOCK(st.st_mode))
                p->fd = connect_to(path);
        else if (S_ISREG(st.st_mode) || S_ISFIFO(st.st_mode))
                /* a FIFO too: without a writer of its own it would be at its end again and again */
                p->fd = open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
        else
                return -EINVAL;
        if (p->fd < 0)
                return S_ISSOCK(st.st_mode) ? p->fd : -errno;
        return 0;
}

static int write_threshold(struct pressure *p, struct text threshold) {
        char data[THRESHOLD_BYTES_MAX];
        size_t size;
        ssize_t n;
        int r = base64_decode(threshold, data, &size);

        if (r < 0)
                return r;
        n = write(p->fd, data, size); /* in one piece, or the kernel takes it for two */
        if (n < 0)
                return -errno;
        if ((size_t)n < size)
                return -EIO;
        if (p->events == POLLIN)
                (void)drain(p); /* from a FIFO our own bytes would come back as pressure */
        return 0;
}

int pressure_open(struct pressure *p) {
        const char *path = getenv("MEMORY_PRESSURE_WATCH");
        const char *threshold = getenv("MEMORY_PRESSURE_WRITE");
        int r;

        *p = (struct pressure){ .fd = -1 };
        if (!path || !path[0] || strcmp(path, "/dev/null") == 0)
                return 0;
        if (path[0] != '/')
                return -EINVAL;
        r = open_path(p, path);
        if (r == 0 && threshold && threshold[0])
                r = write_threshold(p, text_of(threshold));
        if (r < 0)
                pressure_close(p);
        return r;
}

void pressure_close(struct pressure *p) {
        p->fd = fd_close(p->fd);
}

bool pressure_take(struct pressure *p, short revents) {
        bool scarce = revents & p->events;

        if (p->fd < 0 || !revents)
                return false;
        if (scarce && p->events == POLLIN)
                (void)drain(p);
        else if (!scarce || (revents & (POLLERR | POLLNVAL)))
                pressure_close(p); /* the cgroup is gone, or the other end */
        return scarce;
}
