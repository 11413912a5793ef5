/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/text.h"

enum { HTTP_DATE_BYTES = 29 };

/*
 * An IMF-fixdate (RFC 9110, 5.6.7), NUL-ended, without locale or time zone. What lies past
 * the year 9999 is written as its last second.
 */
void http_date_format(uint64_t real_sec, char out[static HTTP_DATE_BYTES + 1]);

/*
 * Any of the three forms of RFC 9110, 5.6.7; `now_sec` settles the century of two-digit years.
 * Errors: -EINVAL.
 */
int http_date_parse(struct text t, uint64_t now_sec, uint64_t *ret_sec);
