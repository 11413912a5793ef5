/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/macros.h"

/* Sockets that systemd passed (sd_listen_fds_with_names(3)). */
struct activation_socket {
        int fd;
        char *name; /* its FileDescriptorName; "unknown" where systemd says so */
};

/*
 * Take the sockets over: the descriptors are close-on-exec and non-blocking from here on, and the
 * environment variables are gone. The array and the names belong to the caller (activation_free());
 * so do the descriptors, which that does not close.
 * `*ret_refused`: descriptors that are no listening stream sockets; they are closed.
 * Errors: -ENOMEM, -errno.
 */
int activation_take(struct activation_socket **ret, size_t *ret_count, size_t *ret_refused);
void activation_free(struct activation_socket *sockets, size_t count);

/* A line of plain text into the journal, with the priority "info". Errors: -errno, -EOPNOTSUPP. */
int journal_write_line(const char *line, size_t size);
