/* SPDX-License-Identifier: MIT */
#include "tree.h"

#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"

/* assert() is kept in all builds here (b_ndebug=false) */

void tree_make(struct tree *t) {
        const char *folder = getenv("TMPDIR") ?: "/tmp";

        assert(snprintf(t->path, sizeof(t->path), "%.400s/tree-XXXXXX", folder) > 0);
        assert(mkdtemp(t->path));
        t->fd = open(t->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert(t->fd >= 0);
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *at) {
        return remove(path);
}

void tree_remove(struct tree *t) {
        t->fd = fd_close(t->fd);
        assert(nftw(t->path, remove_one, 16, FTW_DEPTH | FTW_PHYS) == 0);
}

void tree_folder(const struct tree *t, const char *path) {
        assert(mkdirat(t->fd, path, 0755) == 0);
}

void tree_write(const struct tree *t, const char *path, struct text bytes) {
        int fd = openat(t->fd, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

        assert(fd >= 0);
        assert(fd_write_all(fd, bytes.data, bytes.size) == 0);
        fd_close(fd);
}

void tree_link(const struct tree *t, const char *target, const char *path) {
        assert(symlinkat(target, t->fd, path) == 0);
}
