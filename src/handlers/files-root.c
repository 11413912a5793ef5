/* SPDX-License-Identifier: MIT */
#include "handlers/files-root.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/text.h"
#include "handlers/files-cache.h"
#include "handlers/files-open.h"

/*
 * A root is opened once, when the settings are read, and lookups go by its descriptor. But sites
 * are deployed by renaming a folder, or by switching a link that the path goes through; the
 * descriptor would then serve the old tree for ever. So each worker looks at the path again, at
 * most once a second and only while requests ask for more than the cache holds: at once where the
 * kernel has the answer in memory, else on the pool, and requests go on with the old folder
 * meanwhile. A path that leads nowhere (between two renames) leaves the old folder in place.
 */
enum {
        CHECK_USEC = 1000000,
        VIEWS_MAX = 256, /* roots that a worker remembers; a guess, most sites have one or two */
};

/*
 * File systems that answer from this machine's memory and disks. On all others opening a file or
 * asking for its attributes may wait for a server or a daemon, so it is never done on a loop.
 * overlayfs counts as local, because it is below every container; what lies under it is not told.
 */
static bool folder_is_local(int fd) {
        static const uint32_t local[] = {
                EXT4_SUPER_MAGIC,  XFS_SUPER_MAGIC,   BTRFS_SUPER_MAGIC,     TMPFS_MAGIC,
                RAMFS_MAGIC,       F2FS_SUPER_MAGIC,  SQUASHFS_MAGIC,        EROFS_SUPER_MAGIC_V1,
                MSDOS_SUPER_MAGIC, ISOFS_SUPER_MAGIC, OVERLAYFS_SUPER_MAGIC, 0x2fc12fc1, /* ZFS */
                0xca451a4e, /* bcachefs */
                0x2011bab0, /* exFAT */
        };
        struct statfs st;

        if (fstatfs(fd, &st) < 0)
                return false;
        for (size_t i = 0; i < ELEMENTS(local); i++)
                if ((uint32_t)st.f_type == local[i])
                        return true;
        return false;
}

/* Waits. Gives what lies at `path` as an O_PATH descriptor. */
static int folder_open(const char *path, struct files_folder *ret) {
        _cleanup_(fd_closep)
        int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
        struct stat st;

        if (fd < 0 || fstat(fd, &st) < 0)
                return -errno;
        *ret = (struct files_folder){
                .fd = fd,
                .owned = true,
                .device = st.st_dev,
                .inode = st.st_ino,
                .local = folder_is_local(fd),
        };
        fd = -1;
        return 0;
}

/* ---- the root, shared by all workers ---- */

static char **strings_copy(char *const *strings) {
        size_t count = 0;
        char **copy;

        while (strings && strings[count])
                count++;
        copy = calloc(count + 1, sizeof(*copy));
        for (size_t i = 0; copy && i < count; i++) {
                copy[i] = text_dup(text_of(strings[i]));
                if (copy[i])
                        continue;
                while (i > 0)
                        free(copy[--i]);
                free(copy);
                return NULL;
        }
        return copy;
}

struct files_root *files_root_ref(struct files_root *root) {
        atomic_fetch_add_explicit(&root->references, 1, memory_order_relaxed);
        return root;
}

struct files_root *files_root_unref(struct files_root *root) {
        if (!root || atomic_fetch_sub_explicit(&root->references, 1, memory_order_acq_rel) > 1)
                return NULL;
        fd_close(root->fd);
        for (char **name = root->index; name && *name; name++)
                free(*name);
        free(root->index);
        free(root->path);
        free(root);
        return NULL;
}

static void files_root_unrefp(struct files_root **root) {
        files_root_unref(*root);
}

int files_root_new(const char *path, char *const *index, struct files_root **ret) {
        static _Atomic uint64_t last_id;
        _cleanup_(files_root_unrefp)
        struct files_root *root = calloc(1, sizeof(*root));
        struct files_folder folder = {};
        int r;

        if (!root)
                return -ENOMEM;
        root->references = 1;
        root->fd = -1;
        root->id = atomic_fetch_add_explicit(&last_id, 1, memory_order_relaxed) + 1;
        root->path = text_dup(text_of(path));
        root->index = strings_copy(index);
        if (!root->path || !root->index)
                return -ENOMEM;
        r = folder_open(path, &folder);
        if (r < 0)
                return r;
        root->fd = folder.fd;
        root->device = folder.device;
        root->inode = folder.inode;
        root->local = folder.local;
        if (faccessat(root->fd, ".", X_OK, AT_EACCESS) < 0)
                return -errno;
        *ret = take_ptr(root);
        return 0;
}

/* ---- a worker's view of it ---- */

void files_folder_release(struct files_folder *f) {
        assert(f->references > 0);
        if (--f->references > 0)
                return;
        if (f->owned)
                fd_close(f->fd); /* O_PATH: the file system does not hear of it */
        free(f);
}

/*
 * Is the folder at the path the one we have? 1 yes, 0 no, -errno: not known, -EAGAIN: not at once.
 */
static int view_compare(const struct files_view *view) {
        _cleanup_(fd_closep)
        int fd = files_open_folder_at_once(view->root->path);
        struct statx st;

        if (fd < 0)
                return fd;
        if (statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_INO, &st) < 0)
                return -errno;
        return makedev(st.stx_dev_major, st.stx_dev_minor) == view->folder->device &&
               st.stx_ino == view->folder->inode;
}

static void view_job_work(struct loop_job *job) {
        struct files_view *view = container_of(job, struct files_view, job);
        /* the loop leaves the folder as it is while `checking` */
        const struct files_folder *known = view->folder;
        struct files_folder found;

        view->found.fd = -1;
        if (folder_open(view->root->path, &found) < 0)
                return;
        if (found.device == known->device && found.inode == known->inode)
                fd_close(found.fd);
        else
                view->found = found;
}

static void view_job_done(struct loop_job *job) {
        struct files_view *view = container_of(job, struct files_view, job);
        struct files_cache *cache = view->cache;

        view->checking = false;
        view->check_usec = loop_now_usec(cache->loop) + CHECK_USEC;
        if (view->found.fd >= 0) {
                struct files_folder *folder = malloc(sizeof(*folder));

                if (folder) {
                        *folder = view->found;
                        folder->references = 1;
                        files_folder_release(view->folder);
                        view->folder = folder;
                } else {
                        fd_close(view->found.fd); /* seen again in a second */
                }
        }
        files_view_release(view);
        files_cache_job_done(cache);
}

static void view_check(struct files_view *view, uint64_t now_usec) {
        if (view->checking || now_usec < view->check_usec)
                return;
        if (view_compare(view) == 1) {
                view->check_usec = now_usec + CHECK_USEC;
                return;
        }
        view->checking = true;
        view->references++;
        files_cache_job_start(view->cache, &view->job, view_job_work, view_job_done);
}

static struct files_view *view_new(struct files_cache *cache, struct files_root *root) {
        struct files_view *view = calloc(1, sizeof(*view));
        struct files_folder *folder = calloc(1, sizeof(*folder));

        if (!view || !folder) {
                free(view);
                free(folder);
                return NULL;
        }
        *folder = (struct files_folder){
                .references = 1,
                .fd = root->fd,
                .device = root->device,
                .inode = root->inode,
                .local = root->local,
        };
        view->references = 1; /* the list's */
        view->cache = cache;
        view->root = files_root_ref(root);
        view->folder = folder;
        return view;
}

void files_view_release(struct files_view *view) {
        assert(view->references > 0);
        if (--view->references > 0)
                return;
        files_folder_release(view->folder);
        files_root_unref(view->root);
        free(view);
}

static void view_forget(struct files_view *view) {
        list_remove(&view->link);
        view->cache->view_count--;
        files_view_release(view);
}

void files_view_drop(struct files_cache *cache, bool all) {
        list_for_each_safe(at, &cache->views) {
                struct files_view *view = container_of(at, struct files_view, link);

                if (all || atomic_load_explicit(&view->root->finished, memory_order_relaxed))
                        view_forget(view);
        }
}

int files_view_get(struct files_cache *cache, struct files_root *root, struct files_view **ret) {
        struct files_view *view = NULL;

        list_for_each(at, &cache->views) {
                struct files_view *seen = container_of(at, struct files_view, link);

                if (seen->root == root) {
                        view = seen;
                        break;
                }
        }
        if (!view) {
                files_view_drop(cache, false);
                if (cache->view_count >= VIEWS_MAX)
                        view_forget(container_of(cache->views.previous, struct files_view, link));
                view = view_new(cache, root);
                if (!view)
                        return -ENOMEM;
                cache->view_count++;
        }
        list_remove(&view->link);
        list_prepend(&cache->views, &view->link);
        view_check(view, loop_now_usec(cache->loop));
        view->references++;
        *ret = view;
        return 0;
}
