/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/text.h"

enum { MEDIA_TYPE_BYTES_MAX = 127 }; /* RFC 6838, 4.2 */

/*
 * The value of Content-Type for a file of this name, by what stands behind the last "." of its last
 * segment, in either case: from /etc/mime.types, or from a built-in table where there is no such
 * file or it does not know the extension; "application/octet-stream" where neither does. Types of
 * text, but text/xml, say "charset=utf-8". Valid for the life of the process.
 *
 * The first call in a process reads the file, so it may wait; then never again. Any thread.
 */
struct text media_type_of(struct text name);

/* Was the table read already, so that media_type_of() does not wait? */
bool media_types_are_read(void);

/* For tests: lines as in mime.types(5), or NULL for the built-in table. Not while others look. */
int media_types_use(const char *lines, size_t bytes);
