/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/text.h"

/* A table from names to what has them. Zeroed memory is an empty one. Keys are borrowed. */
struct names_slot;
struct names {
        struct names_slot *slots;
        size_t used, size;
};

void names_finish(struct names *n);
void *names_find(const struct names *n, struct text name); /* NULL: not there */

/* `name` must not be there yet, `value` not be NULL. Errors: -ENOMEM. */
int names_add(struct names *n, struct text name, void *value);
