/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/macros.h"

/*
 * Open what lies beneath a folder, and nothing else, whatever symbolic links are in the way: as
 * openat2(2) with RESOLVE_BENEATH and RESOLVE_NO_MAGICLINKS, or, where that is forbidden or
 * unknown, by a walk that gives the same results.
 *
 * `root` is a descriptor of the folder (O_PATH will do); `path` is relative to it, not empty, and
 * may come from a stranger. `flags` as for open(2), without O_CREAT and its like; O_CLOEXEC,
 * O_NOCTTY and O_NONBLOCK are added, so that no FIFO holds us up.
 */
enum files_open_way {
        FILES_OPEN_WAITING, /* may wait for a disk or a network: for the pool only */
        /*
         * Only what is in the kernel's memory, and only on the file system of `root`; where that
         * does not settle it, -EAGAIN. Does not wait if that file system is a local one.
         */
        FILES_OPEN_AT_ONCE,
};

/*
 * Gives a descriptor. Errors: -EAGAIN (AT_ONCE: ask again with WAITING; WAITING: the tree changes
 * too fast, or a lease is on the file), -EXDEV or -ELOOP where the path leads out, else -errno of
 * open(2).
 */
int files_open_beneath(int root, const char *path, int flags, enum files_open_way way);

/* The walk by component, for where openat2(2) cannot be had; WAITING. */
int files_open_walk(int root, const char *path, int flags);

/*
 * Can `path`, absolute, be looked up without waiting? Gives a descriptor for O_PATH of a folder.
 * Errors: -EAGAIN: not at once; else -errno.
 */
int files_open_folder_at_once(const char *path);

/* For tests: whether openat2(2) is used where it can be had. Process-wide. */
void files_open_allow_openat2(bool allow);
