/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/text.h"

/* Close a descriptor if there is one; errno is kept. Gives -1, for `fd = fd_close(fd)`. */
int fd_close(int fd);

static inline void fd_closep(int *fd) {
        *fd = fd_close(*fd);
}

/* Errors: -errno of fcntl(2). */
int fd_set_nonblocking(int fd);
int fd_set_cloexec(int fd);

/*
 * Read a whole file into fresh memory, NUL-ended (the NUL is not counted), owned by the caller.
 * Errors: -EFBIG past `bytes_max`, -EISDIR, -ENOMEM, -errno of open(2) and read(2).
 */
int fd_read_file(const char *path, size_t bytes_max, char **ret_data, size_t *ret_bytes);

/* Write all, waiting as long as it takes. Errors: -errno of write(2). */
int fd_write_all(int fd, const void *data, size_t size);
