/* SPDX-License-Identifier: MIT */
#pragma once

/* Settings read from texts, for the tests of this folder; include cmocka.h first. */

#include "config/settings.h"

#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"

static char folder[] = "/tmp/emberd-settings-XXXXXX"; /* the working folder of the tests */

static int enter_folder(void **state) {
        return mkdtemp(folder) && chdir(folder) == 0 ? 0 : -1;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw) {
        return remove(path);
}

static int leave_folder(void **state) {
        return chdir("/") == 0 ? nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS) : -1;
}

static inline void write_file(const char *path, struct text data) {
        int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

        assert_true(fd >= 0);
        assert_int_equal(fd_write_all(fd, data.data, data.size), 0);
        close(fd);
}

/* Faults as one NUL-ended text; "f" is the settings file. Gives what settings_load() gave. */
static inline int load(struct text file, char **options, struct buffer *faults,
                       struct settings **ret) {
        struct settings_sources sources = { .file = "f", .options = options };
        int r;

        *ret = NULL;
        *faults = (struct buffer){};
        write_file("f", file);
        r = settings_load(&sources, faults, ret);
        assert_int_equal(buffer_append(faults, "", 1), 0);
        return r;
}

static inline struct settings *load_good(const char *file) {
        struct buffer faults;
        struct settings *s;

        assert_int_equal(load(text_of(file), NULL, &faults, &s), 0);
        assert_string_equal(faults.data, "");
        buffer_finish(&faults);
        return s;
}
