/* SPDX-License-Identifier: MIT */
#include "deny-filter.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/*
 * deny SYSTEM_CALL[:ERROR][,…] -- COMMAND [ARGUMENT…]
 *
 * Runs COMMAND in a world where those system calls are forbidden, as in a container: what does
 * emberd do when it cannot have io_uring? Ends with 125 when that world cannot be made.
 */
int main(int argc, char **argv) {
        if (argc < 4 || strcmp(argv[2], "--") != 0) {
                fprintf(stderr, "usage: %s SYSTEM_CALL[:ERROR][,...] -- COMMAND [ARGUMENT...]\n",
                        argv[0]);
                return 125;
        }
        int r = deny_system_calls(argv[1]);
        if (r < 0) {
                fprintf(stderr, "deny: %s: %s\n", argv[1], strerror(-r));
                return 125;
        }
        execvp(argv[3], argv + 3);
        fprintf(stderr, "deny: %s: %s\n", argv[3], strerror(errno));
        return errno == ENOENT ? 127 : 126;
}
