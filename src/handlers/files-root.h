/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/list.h"
#include "loop/loop.h"

#include <stdatomic.h>

struct files_cache;

/*
 * The folder that a route serves. What is in it never changes after it was made, so threads share
 * it without a lock; references are counted where a worker begins to use it, not per request.
 */
struct files_root {
        _Atomic unsigned references;
        _Atomic bool finished; /* its route is gone: workers let go of it when they come by */
        uint64_t id;           /* of the route; never used twice in a process */
        char *path;
        char **index; /* NULL-ended */
        int fd;       /* O_PATH, of what was at `path` when it was made */
        dev_t device;
        ino_t inode;
        bool local; /* no network and no daemon behind the file system, as far as one can know */
};

/* Errors: -errno of open(2), -EACCES also where the folder cannot be searched. */
int files_root_new(const char *path, char *const *index, struct files_root **ret);
struct files_root *files_root_ref(struct files_root *root);
struct files_root *files_root_unref(struct files_root *root); /* accepts NULL; gives NULL */

/*
 * A folder that requests look up names in. Replaced as a whole; who is under way keeps the old one.
 */
struct files_folder {
        unsigned references; /* of one worker */
        int fd;
        bool owned; /* `fd` is ours, not the root's */
        dev_t device;
        ino_t inode;
        bool local;
};

/* What one worker knows of a root. */
struct files_view {
        struct list link; /* cache->views, the last used first */
        unsigned references;
        struct files_cache *cache;
        struct files_root *root;
        struct files_folder *folder;
        uint64_t check_usec; /* when to look again whether it is still the one at the path */
        bool checking;
        struct loop_job job;
        struct files_folder found; /* what the job found; fd -1: nothing else than there was */
};

/*
 * The worker's view of a root, its folder at most a second old (or older for as long as a look at a
 * slow file system takes: that never holds up the caller). With a reference for the caller.
 * Errors: -ENOMEM.
 */
int files_view_get(struct files_cache *cache, struct files_root *root, struct files_view **ret);
void files_view_release(struct files_view *view);
/* Let go of the views of routes that are gone, or of all. */
void files_view_drop(struct files_cache *cache, bool all);

static inline struct files_folder *files_folder_ref(struct files_folder *f) {
        f->references++;
        return f;
}
void files_folder_release(struct files_folder *f);
