/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/buffer.h"

/*
 * Reader of settings files in systemd's form (systemd.syntax(7)): "[Section argument…]",
 * "Key=Value", comments that begin with "#" or ";" at the start of a line, and lines continued by a
 * backslash at their end, which becomes a space; comments between such lines are left out. Knows
 * nothing of what sections and keys mean. Takes any bytes.
 */
enum {
        INI_LINE_BYTES_MAX = 65536, /* with all that continues it */
        INI_FILE_BYTES_MAX = 4 << 20,
};

struct ini {
        struct text rest; /* private from here on */
        unsigned line;
        struct buffer joined;
};

enum ini_kind { INI_END, INI_SECTION, INI_ASSIGNMENT, INI_FAULT };

struct ini_item {
        enum ini_kind kind;
        unsigned line;     /* the first, where several make one */
        struct text name;  /* SECTION: what stands between the brackets; ASSIGNMENT: the key */
        struct text value; /* ASSIGNMENT: without spaces at its ends */
        const char *fault; /* FAULT: what is wrong and what to do */
};

/* `data` is borrowed until ini_finish(). */
void ini_init(struct ini *ini, struct text data);
void ini_finish(struct ini *ini);

/*
 * The next item that is not empty and not a comment; its texts are valid until the next call. After
 * a fault reading goes on with the next line. Errors: -ENOMEM.
 */
int ini_next(struct ini *ini, struct ini_item *ret);

/*
 * What makes these bytes unfit to stand in a line of a settings file, or NULL: NUL and other
 * control characters, broken UTF-8.
 */
const char *ini_fault_of_text(struct text t);
