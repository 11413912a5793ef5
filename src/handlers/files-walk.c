/* SPDX-License-Identifier: MIT */
#include "handlers/files-open.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/fd.h"

/*
 * A walk beneath a root, one component at a time, each opened with O_NOFOLLOW relative to the
 * folder before it, so that the kernel follows no link for us. `rest` is what is still to be
 * walked; a link puts its target in front of it. `done` holds the names of the folders from the
 * root to where we are, none of them a link.
 *
 * ".." is the trap: openat(folder, "..") leads out of the root if somebody moves `folder` out of it
 * in that moment. So ".." takes the last name off `done` and walks down from the root again, by
 * names that were no links a moment ago and may not be links now.
 *
 * What openat2(2) does in the same place is copied, errors included, and a test compares the two:
 * 40 links at most, absolute targets refused, "." and ".." need search permission in the folder
 * they stand in, a "/" behind the last name wants a folder, and a link in a folder like /tmp is
 * followed only if its owner is ours or the folder's (fs.protected_symlinks, as every distribution
 * sets it).
 */
enum {
        LINKS_MAX = 40,    /* the kernel's MAXSYMLINKS */
        STEPS_MAX = 20000, /* folders opened in one walk: links full of ".." ask for millions */
        FOLDER_FLAGS = O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC,
};

struct walk {
        int root;
        int at; /* the folder we are in; -1: the root itself */
        struct buffer rest, done;
        unsigned links, steps;
};

static int walk_folder(const struct walk *w) {
        return w->at >= 0 ? w->at : w->root;
}

static void walk_finish(struct walk *w) {
        buffer_finish(&w->rest);
        buffer_finish(&w->done);
        w->at = fd_close(w->at);
}

static int walk_openat(struct walk *w, int folder, const char *name, int flags) {
        int fd;

        if (++w->steps > STEPS_MAX)
                return -ELOOP;
        fd = openat(folder, name, flags);
        return fd < 0 ? -errno : fd;
}

/* Go down from the root by the names in `done`. */
static int walk_again(struct walk *w) {
        char name[NAME_MAX + 1];
        struct text left = buffer_text(&w->done);

        w->at = fd_close(w->at);
        while (left.size) {
                size_t n = text_find(left, '/');
                int fd;

                assert(n < sizeof(name)); /* it was opened before */
                memcpy(name, left.data, n);
                name[n] = '\0';
                fd = walk_openat(w, walk_folder(w), name, FOLDER_FLAGS);
                if (fd < 0)
                        return fd;
                fd_close(w->at);
                w->at = fd;
                left = (struct text){ left.data + n + 1, left.size - n - 1 };
        }
        return 0;
}

/* "." and "..": the kernel asks for search permission in the folder they stand in. */
static int walk_dots(struct walk *w, bool up) {
        struct text done;
        int fd = walk_openat(w, walk_folder(w), ".", FOLDER_FLAGS);

        if (fd < 0)
                return fd;
        fd_close(fd);
        if (!up)
                return 0;
        if (!w->done.used)
                return -EXDEV; /* above the root */
        done = (struct text){ w->done.data, w->done.used - 1 };
        while (done.size && done.data[done.size - 1] != '/')
                done.size--;
        w->done.used = done.size;
        return walk_again(w);
}

/* fs.protected_symlinks, see proc_sys_fs(5). */
static bool walk_may_follow(const struct walk *w, const struct stat *link) {
        struct stat folder;

        if (link->st_uid == geteuid())
                return true;
        if (fstat(walk_folder(w), &folder) < 0)
                return false;
        return (folder.st_mode & (S_ISVTX | S_IWOTH)) != (S_ISVTX | S_IWOTH) ||
               folder.st_uid == link->st_uid;
}

/*
 * `name` could not be opened as what we wanted: if it is a link, its target is put before the rest
 * and 0 is given, else `error`.
 */
static int walk_link(struct walk *w, const char *name, int error) {
        char target[PATH_MAX];
        struct stat st;
        ssize_t n;
        int r;

        if (fstatat(walk_folder(w), name, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return -errno;
        if (!S_ISLNK(st.st_mode))
                return error;
        if (w->links++ >= LINKS_MAX)
                return -ELOOP;
        if (!walk_may_follow(w, &st))
                return -EACCES;
        n = readlinkat(walk_folder(w), name, target, sizeof(target));
        if (n < 0)
                return errno == EINVAL ? error : -errno;
        if (n == 0)
                return -ENOENT;
        if (n == sizeof(target))
                return -ENAMETOOLONG;
        if (target[0] == '/')
                return -EXDEV;
        r = buffer_reserve(&w->rest, (size_t)n);
        if (r < 0)
                return r;
        memmove(w->rest.data + n, w->rest.data, w->rest.used);
        memcpy(w->rest.data, target, (size_t)n);
        w->rest.used += (size_t)n;
        return 0;
}

static int walk_down(struct walk *w, const char *name) {
        int fd = walk_openat(w, walk_folder(w), name, FOLDER_FLAGS), r;

        if (fd == -ENOTDIR || fd == -ELOOP)
                return walk_link(w, name, -ENOTDIR);
        if (fd < 0)
                return fd;
        r = buffer_printf(&w->done, "%s/", name);
        if (r < 0) {
                fd_close(fd);
                return r;
        }
        fd_close(w->at);
        w->at = fd;
        return 0;
}

/*
 * Take the first name off `rest`, with the slashes behind it, which stay where nothing else
 * follows: `*ret_last` no name follows, `*ret_slash` but a slash does.
 */
static int walk_next(struct walk *w, char name[static NAME_MAX + 1], bool *ret_last,
                     bool *ret_slash) {
        struct text rest = buffer_text(&w->rest);
        size_t n = text_find(rest, '/'), end = n;

        if (n > NAME_MAX) {
                int r = walk_dots(w, false);

                return r < 0 ? r : -ENAMETOOLONG;
        }
        memcpy(name, rest.data, n);
        name[n] = '\0';
        while (end < rest.size && rest.data[end] == '/')
                end++;
        *ret_last = end == rest.size;
        *ret_slash = end > n;
        /* a link takes this name's place, and what it stands before keeps its slash */
        buffer_consume(&w->rest, *ret_last ? n : MAX(end, (size_t)1) - 1);
        return 0;
}

static void walk_skip_slashes(struct walk *w) {
        size_t n = 0;

        while (n < w->rest.used && w->rest.data[n] == '/')
                n++;
        buffer_consume(&w->rest, n);
}

/* The last name. A descriptor, or -EINPROGRESS: it was a link, go on. */
static int walk_last(struct walk *w, const char *name, bool slash, int flags) {
        int error = slash || (flags & O_DIRECTORY) ? -ENOTDIR : -ELOOP, fd, r;
        struct stat st;

        fd = walk_openat(w, walk_folder(w), name, flags | (slash ? O_DIRECTORY : 0) | O_NOFOLLOW);
        if (fd >= 0 && (flags & O_PATH) && !fstat(fd, &st) && S_ISLNK(st.st_mode)) {
                fd_close(fd); /* O_PATH opens the link itself */
                fd = error;
        }
        if (fd != -ELOOP && fd != -ENOTDIR)
                return fd;
        r = walk_link(w, name, fd);
        return r < 0 ? r : -EINPROGRESS;
}

static int walk_step(struct walk *w, int flags) {
        char name[NAME_MAX + 1];
        bool last, slash;
        int r = walk_next(w, name, &last, &slash);

        if (r < 0)
                return r;
        if (!strcmp(name, ".") || !strcmp(name, ".."))
                r = walk_dots(w, name[1] == '.');
        else if (last)
                return walk_last(w, name, slash, flags);
        else
                r = walk_down(w, name);
        if (r < 0)
                return r;
        walk_skip_slashes(w);
        /* nothing left: "." or ".." stood at the end */
        return w->rest.used ? -EINPROGRESS : walk_openat(w, walk_folder(w), ".", flags);
}

int files_open_walk(int root, const char *path, int flags) {
        _cleanup_(walk_finish)
        struct walk w = { .root = root, .at = -1 };
        int r;

        if (!*path)
                return -ENOENT;
        if (strlen(path) >= PATH_MAX)
                return -ENAMETOOLONG;
        if (*path == '/')
                return -EXDEV;
        r = buffer_append(&w.rest, path, strlen(path));
        if (r < 0)
                return r;
        flags |= O_CLOEXEC | O_NOCTTY | O_NONBLOCK;
        do {
                r = walk_step(&w, flags);
        } while (r == -EINPROGRESS); /* STEPS_MAX and LINKS_MAX bound it */
        return r;
}
