/* SPDX-License-Identifier: MIT */
#include "http/range.h"

#include "http/fields.h"

#include <errno.h>

/*
 * A server may ignore Range whenever it likes (RFC 9110, 14.2), so all that is unusual is ignored:
 * several ranges (which would want multipart/byteranges, and are a way to make a server send one
 * file many times over), other units, and what is malformed.
 */

/* A position, or UINT64_MAX where it is too large to tell. False: no number. */
static bool read_position(struct text t, uint64_t *ret) {
        int r = text_to_u64(t, ret);

        if (r == -ERANGE)
                *ret = UINT64_MAX;
        return r != -EINVAL;
}

static int suffix_range(uint64_t suffix, uint64_t size, uint64_t *ret_first, uint64_t *ret_bytes) {
        if (!suffix)
                return HTTP_RANGE_UNSATISFIABLE;
        if (!size)
                return HTTP_RANGE_IGNORE; /* all of nothing: no Content-Range could say so */
        *ret_bytes = MIN(suffix, size);
        *ret_first = size - *ret_bytes;
        return HTTP_RANGE_ONE;
}

int http_range_parse(struct text value, uint64_t size, uint64_t *ret_first, uint64_t *ret_bytes) {
        struct text unit = TEXT("bytes="), range, more;
        uint64_t first, last = UINT64_MAX;
        size_t dash;

        if (value.size < unit.size ||
            !text_equal_nocase((struct text){ value.data, unit.size }, unit))
                return HTTP_RANGE_IGNORE;
        value.data += unit.size;
        value.size -= unit.size;
        if (!http_list_next(&value, &range) || http_list_next(&value, &more))
                return HTTP_RANGE_IGNORE;
        dash = text_find(range, '-');
        if (dash == range.size)
                return HTTP_RANGE_IGNORE;
        more = (struct text){ range.data + dash + 1, range.size - dash - 1 };
        range.size = dash;
        if (more.size && !read_position(more, &last))
                return HTTP_RANGE_IGNORE;
        if (!range.size)
                return more.size ? suffix_range(last, size, ret_first, ret_bytes)
                                 : HTTP_RANGE_IGNORE;
        if (!read_position(range, &first) || first > last)
                return HTTP_RANGE_IGNORE;
        if (first >= size)
                return HTTP_RANGE_UNSATISFIABLE;
        *ret_first = first;
        *ret_bytes = MIN(last, size - 1) - first + 1;
        return HTTP_RANGE_ONE;
}
