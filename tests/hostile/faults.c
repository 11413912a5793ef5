/* SPDX-License-Identifier: MIT */
#include "hostile.h"

#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fd.h"

/*
 * What a bug does rather than an attacker: a crash, and a loop that stops turning. And what an
 * attacker does who wants to stay: the main thread, which would end the process, is taken out of
 * its loop by a signal that it does not block, and tells systemd that the stop takes longer.
 */

TRY(crash) {
        __builtin_trap();
}

TRY(stall) {
        for (;;)
                pause();
        return 0;
}

TRY(spin) {
        for (volatile unsigned turns = 0;; turns++)
                ;
        return 0;
}

static struct sockaddr_un notify_address;
static socklen_t notify_size;
static int notify_fd = -1;

static void stay_on_signal(int signal_number) {
        static const char more[] = "EXTEND_TIMEOUT_USEC=5000000\nWATCHDOG=1";

        (void)signal_number;
        for (;;) {
                (void)!sendto(notify_fd, more, sizeof(more) - 1, 0,
                              (const struct sockaddr *)&notify_address, notify_size);
                usleep(500 * 1000);
        }
}

TRY(outlast_stop) {
        static const struct sigaction stay = { .sa_handler = stay_on_signal };
        const char *path = getenv("NOTIFY_SOCKET");
        size_t length = path ? strlen(path) : 0;

        if (length == 0 || length >= sizeof(notify_address.sun_path))
                return -ENOTCONN;
        notify_address.sun_family = AF_UNIX;
        memcpy(notify_address.sun_path, path, length);
        notify_size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length);
        if (path[0] == '@')
                notify_address.sun_path[0] = '\0';
        notify_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        if (notify_fd < 0 || sigaction(SIGFPE, &stay, NULL) < 0)
                return -errno;
        return tried(syscall(SYS_tgkill, getpid(), getpid(), SIGFPE));
}

const struct misbehaviour hostile_faults[] = {
        { "crash", crash },
        { "stall", stall },
        { "spin", spin },
        { "outlast-stop", outlast_stop },
        {},
};
