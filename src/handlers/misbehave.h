/* SPDX-License-Identifier: MIT */
#pragma once

#include "handlers/handler.h"

/*
 * Test builds only: Misbehave=yes makes a route that does what a taken-over emberd might, so that
 * tests can show what the sandbox stops, and that a stall and a crash are survived. What can be
 * tried is in tests/hostile, which is bound by the linker as the backends are.
 */
enum { MISBEHAVIOUR_NOTE_BYTES = 120 };

struct misbehaviour {
        const char *name;
        /*
         * Try it, on the worker's thread. 0: it was done; -errno: it was denied. `note` may say
         * more, in a line of text.
         */
        int (*run)(struct loop *loop, char note[static MISBEHAVIOUR_NOTE_BYTES]);
        /*
         * What it does is for good, or shuts out the rest of the process: it is done in a child,
         * which has the same sandbox, no other thread, and no loop (NULL).
         */
        bool in_child;
};

/* One group of them ends with a row without a name; the groups with NULL. */
extern const struct misbehaviour *const misbehaviours[];

extern const struct exchange_handler misbehave_handler;
int misbehave_route_prepare(struct handler_route *route, char reason[static HANDLER_REASON_BYTES]);
