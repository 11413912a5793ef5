/* SPDX-License-Identifier: MIT */
#include "systemd/activation.h"

#include "base/fd.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#ifdef HAVE_SYSTEMD
#define SD_JOURNAL_SUPPRESS_LOCATION
#include <systemd/sd-daemon.h>
#include <systemd/sd-journal.h>

static void names_free(char ***names) {
        for (char **name = *names; name && *name; name++)
                free(*name);
        free(*names);
}

/* A listening stream socket, of whatever family, made ready for a loop. */
static int socket_prepare(int fd) {
        int r = sd_is_socket(fd, AF_UNSPEC, SOCK_STREAM, 1);

        if (r <= 0)
                return r < 0 ? r : -ENOTSOCK;
        r = fd_set_cloexec(fd);
        return r < 0 ? r : fd_set_nonblocking(fd);
}

int activation_take(struct activation_socket **ret, size_t *ret_count, size_t *ret_refused) {
        _cleanup_(names_free)
        char **names = NULL;
        struct activation_socket *sockets;
        size_t count = 0, refused = 0;
        int n = sd_listen_fds_with_names(1, &names);

        if (n < 0)
                return n;
        sockets = calloc((size_t)n + 1, sizeof(*sockets));
        if (!sockets)
                return -ENOMEM;
        for (int i = 0; i < n; i++) {
                int fd = SD_LISTEN_FDS_START + i;

                if (socket_prepare(fd) < 0) {
                        fd_close(fd);
                        refused++;
                        continue;
                }
                sockets[count].name = strdup(names && names[i] ? names[i] : "unknown");
                sockets[count].fd = fd;
                if (!sockets[count++].name) {
                        activation_free(sockets, count);
                        return -ENOMEM;
                }
        }
        *ret = sockets;
        *ret_count = count;
        *ret_refused = refused;
        return 0;
}

int journal_write_line(const char *line, size_t size) {
        char message[8 + 4096] = "MESSAGE=";
        struct iovec parts[] = {
                { message, 8 + MIN(size, sizeof(message) - 8) },
                { (char *)"PRIORITY=6", 10 },
                { (char *)"SYSLOG_IDENTIFIER=emberd", 24 },
        };

        memcpy(message + 8, line, parts[0].iov_len - 8);
        return sd_journal_sendv(parts, ELEMENTS(parts));
}
#else
int activation_take(struct activation_socket **ret, size_t *ret_count, size_t *ret_refused) {
        *ret = NULL;
        *ret_count = *ret_refused = 0;
        return 0;
}

int journal_write_line(const char *line, size_t size) {
        return -EOPNOTSUPP;
}
#endif

void activation_free(struct activation_socket *sockets, size_t count) {
        for (size_t i = 0; i < count; i++)
                free(sockets[i].name);
        free(sockets);
}
