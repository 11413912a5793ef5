/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/buffer.h"
#include "control/control-path.h"
#include "ctl/ctl-options.h"

enum { CTL_ANSWER_BYTES_MAX = 4 << 20 }; /* more than emberd ever says */

/* The socket that the options and the environment name. Errors: -ENAMETOOLONG. */
int ctl_socket_path(const struct ctl_options *options, char ret[static CONTROL_PATH_BYTES]);

/*
 * Ask at the socket; all of it within `timeout_usec`. `*ret_status` is the answer's exit status,
 * `answer` its text.
 * Errors: -ENOENT, -ECONNREFUSED: nobody listens there; -EACCES; -ETIMEDOUT; -ECONNRESET: went away
 * without an answer; -EBADMSG: what came is none; -ENOMEM; -errno.
 */
int ctl_ask(const char *path, const struct ctl_options *options, uint64_t timeout_usec,
            struct buffer *answer, int *ret_status);
