/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/buffer.h"

/*
 * The lines of an answer, each behind `prefix`, in which no byte steers a terminal: control
 * characters, those of ISO 6429 above 127 too, and bytes that are no character become \xNN.
 * Errors: -ENOMEM.
 */
int ctl_lines(struct text answer, const char *prefix, struct buffer *to);
