/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/buffer.h"
#include "config/names.h"

/*
 * Unit files as systemd would read them (systemd.unit(5)), without asking it: a unit with all its
 * drop-ins. Takes any bytes; what is no text, no regular file or too large is left out, as systemd
 * itself goes on without what it cannot read. `root` stands before each path: "" but in tests.
 */
enum {
        UNIT_NAME_BYTES_MAX = 255,
        UNIT_FILE_BYTES_MAX = 1 << 20,
};

struct unit_line {
        const char *section, *key, *value; /* the value as written: see unit_expand() */
        const char *file;
        unsigned line;
};

struct unit {
        const char *name; /* "emberd@8080.socket"; of an alias the name that it stands for */
        const char *file; /* without drop-ins */
        const struct unit_line *lines; /* in the order in which they count */
        size_t count;
};

/*
 * Read one unit. Errors: -ENOENT; -ERFKILL: it is masked; -EINVAL: no name of a unit; -errno of a
 * file that cannot be read; -ENOMEM.
 */
int unit_load(const char *root, const char *name, struct unit **ret);
struct unit *unit_free(struct unit *unit); /* accepts NULL */
DEFINE_FREEP(struct unit, unit)

/* The line that says what a key with one value has; NULL: none does, or the last one is empty. */
const struct unit_line *unit_find(const struct unit *unit, const char *section, const char *key);

/*
 * `value` with its specifiers replaced ("%i", "%%" …). Errors: -EINVAL: one that is not known here;
 * -ENOMEM.
 */
int unit_expand(const struct unit *unit, struct text value, struct buffer *to);

/*
 * All names of units that end in `suffix` (".socket"), with `seen` called once for each: those that
 * have a file, and those that a link in a folder "*.wants" or "*.requires" enables. Instances are
 * known by such links alone. Errors: what `seen` gave; -ENOMEM; -E2BIG: more than are credible.
 */
int unit_names(const char *root, struct text suffix,
               int (*seen)(const char *name, bool enabled, void *data), void *data);
