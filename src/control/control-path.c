/* SPDX-License-Identifier: MIT */
#include "control/control-path.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>

/*
 * systemd parts the directories by ":" and does not escape one that belongs to a name, and an
 * instance is named by its address: /run/emberd@127.0.0.1:8080. What is a directory as a whole is
 * therefore taken as a whole.
 */

static const char socket_name[] = "/control.sock";

static bool is_directory(const char *path) {
        struct stat st;

        return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

int control_path_in(struct text directory, char ret[static CONTROL_PATH_BYTES]) {
        if (directory.size > CONTROL_PATH_BYTES - sizeof(socket_name))
                return -ENAMETOOLONG;
        snprintf(ret, CONTROL_PATH_BYTES, "%.*s%s", TEXT_ARGS(directory), socket_name);
        return 0;
}

int control_path(const char *runtime_directory, char ret[static CONTROL_PATH_BYTES]) {
        struct text rest = text_of(runtime_directory), first;

        if (!text_next_word(&rest, ":", &first))
                return -ENOENT;
        if (is_directory(runtime_directory))
                first = text_of(runtime_directory);
        return control_path_in(first, ret);
}
