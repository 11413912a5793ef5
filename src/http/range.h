/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/text.h"

enum http_range_outcome {
        HTTP_RANGE_ONE = 0,       /* one satisfiable range */
        HTTP_RANGE_IGNORE,        /* malformed, another unit, or several: as if it were not there */
        HTTP_RANGE_UNSATISFIABLE, /* 416 */
};

/* One byte range (RFC 9110, 14.1.2) of a representation of `size` bytes. */
int http_range_parse(struct text value, uint64_t size, uint64_t *ret_first, uint64_t *ret_bytes);
