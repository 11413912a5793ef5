/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/log.h"

/*
 * For log_set_journal(): a line with the fields MESSAGE_ID=, PRIORITY=, and CONFIG_FILE= and
 * CONFIG_LINE= where it begins with "/FILE:LINE: ", by the journal's own protocol, as standard
 * error carries no fields. Errors: -EOPNOTSUPP; -errno: the journal's socket cannot be reached.
 */
int journal_send_event(enum log_event event, enum log_level level, struct text line);

/* 32 hexadecimal digits. */
const char *journal_message_id(enum log_event event);

/* The place that a line begins with: "/FILE:LINE: what". False: it begins with none. */
bool journal_config_place(struct text line, struct text *ret_file, struct text *ret_line);
