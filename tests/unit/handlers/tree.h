/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/text.h"

#include <stdint.h>

/* A folder of a test's own. All paths are relative to it; what goes wrong in here ends the test. */
struct tree {
        char path[512];
        int fd; /* O_RDONLY | O_DIRECTORY */
};

void tree_make(struct tree *t);
void tree_remove(struct tree *t); /* with all that is in it */

void tree_folder(const struct tree *t, const char *path);
void tree_write(const struct tree *t, const char *path, struct text bytes); /* made or rewritten */
void tree_link(const struct tree *t, const char *target, const char *path);
