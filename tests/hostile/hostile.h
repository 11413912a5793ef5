/* SPDX-License-Identifier: MIT */
#pragma once

#include <errno.h>

#include "handlers/misbehave.h"

/*
 * What a taken-over emberd might do. Each try undoes what it did, as far as it can be undone, and
 * is harmless where it succeeds: the same tries are made where nothing stops them. Where the kernel
 * asks for permission first, what it says next about a senseless argument counts as done.
 */
#define TRY(name) static int name(struct loop *loop, char note[static MISBEHAVIOUR_NOTE_BYTES])

/* What a system call gave, as a result. */
static inline int tried(long r) {
        return r < 0 ? -errno : 0;
}

/* The same, where `senseless` means that it was permitted. */
static inline int tried_senseless(long r, int senseless) {
        return r < 0 && errno != senseless ? -errno : 0;
}

/* The one number in this file, which the test puts there: the process of another instance. */
#define SIBLING_FILE   "/etc/emberd/sibling"
#define SIBLING_KEY    "/etc/emberd/sibling-key.pem" /* for root and the user of that instance */
#define SIBLING_SOCKET "/run/emberd@8080/control.sock"
int sibling_pid(void); /* -errno where there is none */

extern const struct misbehaviour hostile_code[], hostile_faults[], hostile_files[],
        hostile_kernel[], hostile_network[], hostile_processes[], hostile_rings[];
