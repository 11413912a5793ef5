/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Forbid this thread and its children system calls, for good, as the filters of containers and
 * sandboxes do. `names`: "io_uring_setup:ENOSYS,io_uring_enter"; without a name of an error, EPERM.
 * Errors: -EINVAL an unknown name; -errno.
 */
int deny_system_calls(const char *names);
