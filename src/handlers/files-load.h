/* SPDX-License-Identifier: MIT */
#pragma once

#include "handlers/files-entry.h"
#include "handlers/files-open.h"

/*
 * Find a file, look at it and, if it is small, read it: all system calls of a request for a file.
 * Touches nothing but its own struct, so it runs on the loop or on the pool alike.
 */
enum files_load_outcome {
        FILES_LOADED = 0, /* `entry` is set, without references */
        FILES_UNCHANGED,  /* the file is the one that `known` tells of */
        FILES_IS_FOLDER,  /* the path without a "/" at its end names a folder */
};

struct files_lookup {
        /* what to look for; all borrowed */
        int root;           /* descriptor of the folder */
        dev_t local_device; /* device of a local file system whose files never wait; 0: none */
        enum files_open_way way;
        const char *path;   /* below the root, NUL-ended; empty or with "/" at its end: a folder */
        char *const *index; /* names to try in a folder, NULL-ended */
        uint64_t (*real_usec)(void);
        const struct files_identity *known; /* or NULL */
        struct text key;                    /* of the entry to make */
        uint64_t route;

        struct files_entry *entry; /* what was found */
};

/*
 * A files_load_outcome. Errors: -EAGAIN (AT_ONCE only): it may wait; else -errno, -ENOENT for what
 * is no file.
 */
int files_load(struct files_lookup *l);
