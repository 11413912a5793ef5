/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/macros.h"

/*
 * What emberd tells systemd (sd_notify(3)). Without NOTIFY_SOCKET, or built without libsystemd, all
 * of these do nothing. Call them from one thread.
 */
bool notify_is_wanted(void);

/* One datagram of "NAME=value" lines. Errors: -errno of the socket. */
int notify_send(const char *format, ...) _printf_(1, 2);

/* RELOADING=1 with MONOTONIC_USEC in the same datagram; without it systemd waits for ever. */
int notify_reloading(uint64_t monotonic_usec);

/* How often WATCHDOG=1 must be sent at least; 0: no watchdog for this process. */
uint64_t notify_watchdog_usec(void);
