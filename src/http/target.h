/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/text.h"

/*
 * Decode the path of a request target and resolve it (RFC 3986, 5.2.4 and 6.2.2): percent-encoding
 * undone, "." and empty segments dropped, ".." taken back. The result begins with "/", holds no
 * segment "." or "..", ends in "/" where the path names a folder ("/a/", "/a/.", "/a/b/.."), and is
 * NUL-ended in `out`, which has room for `path.size + 1` bytes.
 * Errors: -EINVAL: not beginning with "/", a broken escape, a NUL or an encoded slash (%2F) in it;
 * -EPERM: ".." leads above the root.
 */
int http_path_resolve(struct text path, char *out, size_t *ret_size);

/*
 * Percent-encode `path` for a Location field: gives the bytes written to `out`, at most 3 a byte;
 * "/" stays, so a path that begins with two (none that was resolved does) would name a host.
 */
size_t http_path_encode(struct text path, char *out);
