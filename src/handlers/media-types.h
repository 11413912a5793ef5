/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/text.h"

#define MEDIA_TYPE_UNKNOWN "application/octet-stream"

enum { MEDIA_TYPE_BYTES_MAX = 127 }; /* of what is given, with its charset */

/*
 * The value of Content-Type for a file of this name, by what stands behind the last "." of its last
 * segment, in either case: from /etc/mime.types, or from a built-in table where there is no such
 * file or it does not know the extension; MEDIA_TYPE_UNKNOWN where neither does. Types of text, but
 * text/xml, say "charset=utf-8". NUL-ended. Any thread.
 *
 * The first call for an extension reads the file, and later ones as a rule do not. Errors: -EAGAIN:
 * it might wait for a disk or take its time too often, and `may_wait` is false.
 */
int media_type_of(struct text name, bool may_wait, char out[static MEDIA_TYPE_BYTES_MAX + 1]);

/*
 * For tests: forget all, and take `lines` (borrowed) for the system's file; the file itself if
 * lines.data is NULL. Not while others look.
 */
void media_types_use(struct text lines);
