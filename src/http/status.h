/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/text.h"

/* "Not Found"; for a number without a name that of its class' x00. */
struct text http_status_reason(unsigned status);

/*
 * "HTTP/1.1 404 Not Found\r\n"; a constant for statuses that have a name, else made in `scratch`.
 * `status` has three digits.
 */
enum { HTTP_STATUS_LINE_BYTES = 64 };
struct text http_status_line(unsigned status, char scratch[static HTTP_STATUS_LINE_BYTES]);
