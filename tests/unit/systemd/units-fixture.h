/* SPDX-License-Identifier: MIT */
#pragma once

/* A folder that stands for "/", with unit files in it; include cmocka.h first. */

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"

static char root[] = "/tmp/emberd-units-XXXXXX";

#define ETC "/etc/systemd/system/"
#define RUN "/run/systemd/system/"
#define USR "/usr/lib/systemd/system/"

static int make_root(void **state) {
        strcpy(root + sizeof(root) - 7, "XXXXXX");
        return mkdtemp(root) ? 0 : -1;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw) {
        return remove(path);
}

static int remove_root(void **state) {
        return nftw(root, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

/* The path below the root, whose folders are there from then on; overwritten by the next call. */
static inline const char *in_root(const char *path) {
        static char all[4096];

        snprintf(all, sizeof(all), "%s%s", root, path);
        for (char *slash = strchr(all + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
                *slash = '\0';
                assert_true(mkdir(all, 0755) == 0 || errno == EEXIST);
                *slash = '/';
        }
        return all;
}

static inline void put_bytes(const char *path, const char *data, size_t size) {
        int fd = open(in_root(path), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

        assert_true(fd >= 0);
        assert_int_equal(fd_write_all(fd, data, size), 0);
        close(fd);
}

static inline void put(const char *path, const char *text) {
        put_bytes(path, text, strlen(text));
}

static inline void put_link(const char *path, const char *target) {
        assert_int_equal(symlink(target, in_root(path)), 0);
}
