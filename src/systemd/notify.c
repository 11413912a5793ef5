/* SPDX-License-Identifier: MIT */
#include "systemd/notify.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef HAVE_SYSTEMD
#include <systemd/sd-daemon.h>
#endif

enum { MESSAGE_BYTES_MAX = 1024 }; /* our longest is a STATUS= line; a longer text is cut */

bool notify_is_wanted(void) {
#ifdef HAVE_SYSTEMD
        return getenv("NOTIFY_SOCKET");
#else
        return false;
#endif
}

int notify_send(const char *format, ...) {
        char message[MESSAGE_BYTES_MAX];
        va_list args;

        if (!notify_is_wanted())
                return 0;
        va_start(args, format);
        vsnprintf(message, sizeof(message), format, args);
        va_end(args);
#ifdef HAVE_SYSTEMD
        int r = sd_notify(0, message);

        return r < 0 ? r : 0;
#else
        return 0;
#endif
}

int notify_reloading(uint64_t monotonic_usec) {
        return notify_send("RELOADING=1\nMONOTONIC_USEC=%" PRIu64, monotonic_usec);
}

uint64_t notify_watchdog_usec(void) {
        uint64_t usec = 0;

#ifdef HAVE_SYSTEMD
        if (sd_watchdog_enabled(0, &usec) <= 0)
                usec = 0;
#endif
        return usec;
}
