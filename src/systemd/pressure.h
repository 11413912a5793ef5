/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/macros.h"

/*
 * Memory pressure, as systemd offers it to a service (systemd.io/PRESSURE; systemd 254 and later):
 * a descriptor that poll(2) finds ready whenever memory becomes scarce.
 */
struct pressure {
        int fd; /* -1: there is nothing to watch */
        short events;
};

/*
 * Open what MEMORY_PRESSURE_WATCH and MEMORY_PRESSURE_WRITE name; with neither, or where they say
 * that it is not wanted, `fd` is -1. Errors: -EINVAL: they do not make sense; -errno of what could
 * not be opened or written; `fd` is -1 then too.
 */
int pressure_open(struct pressure *p);
void pressure_close(struct pressure *p);

/* What poll(2) found. True: memory is scarce. Closes what has come to its end. */
bool pressure_take(struct pressure *p, short revents);
