/* SPDX-License-Identifier: MIT */
#include "hostile.h"

#include <stdio.h>

const struct misbehaviour *const misbehaviours[] = {
        hostile_faults, hostile_files, hostile_network, hostile_processes,
        hostile_kernel, hostile_code,
#ifdef HAVE_IO_URING
        hostile_rings,
#endif
        NULL,
};

int sibling_pid(void) {
        FILE *file = fopen(SIBLING_FILE, "re");
        int pid = -1;

        if (!file)
                return -errno;
        if (fscanf(file, "%d", &pid) != 1)
                pid = -ENODATA;
        fclose(file);
        return pid;
}
