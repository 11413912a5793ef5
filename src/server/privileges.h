/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/macros.h"

/*
 * Become `user` for good, with its groups and without any capability; before any thread is started.
 * Errors: -ESRCH: no such user; -errno of the system calls.
 */
int privileges_drop(const char *user);

/* Raise the soft limit of open files to the hard one; gives the limit in force. */
uint64_t privileges_raise_files(void);
