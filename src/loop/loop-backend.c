/* SPDX-License-Identifier: MIT */
#include "loop/loop-backend.h"

#include <string.h>

/*
 * The only file that names the table which the linker binds: what does not ask for it needs no
 * backend.
 */

const struct loop_backend *loop_backend_find(const char *name) {
        for (const struct loop_backend *const *b = loop_backends; *b; b++)
                if (strcmp((*b)->name, name) == 0)
                        return *b;
        return NULL;
}

const char *loop_backend_title(const struct loop_backend *backend) {
        return backend->name;
}

int loop_backend_check(const struct loop_backend *backend, char reason[static LOOP_REASON_BYTES]) {
        reason[0] = '\0';
        return backend->check ? backend->check(reason) : 0;
}
