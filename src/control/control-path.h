/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/text.h"

#include <sys/un.h>

/* A path that fits into an address, with its NUL. */
enum { CONTROL_PATH_BYTES = sizeof(((struct sockaddr_un *)0)->sun_path) };

/*
 * The control socket in the first directory of `runtime_directory`, which is what systemd puts into
 * $RUNTIME_DIRECTORY: a list parted by ":" (systemd.exec(5)).
 * Errors: -ENOENT: NULL, or no directory in it; -ENAMETOOLONG.
 */
int control_path(const char *runtime_directory, char ret[static CONTROL_PATH_BYTES]);

/* `directory`, then "/control.sock". Errors: -ENAMETOOLONG. */
int control_path_in(struct text directory, char ret[static CONTROL_PATH_BYTES]);
