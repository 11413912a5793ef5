/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/macros.h"

/*
 * Messages for the administrator, one line each, to standard error: "emberd: text" by hand,
 * "<6>text" when standard error is the journal (sd-daemon(3)). Whole lines, from any thread.
 * Only server/ and main.c call this; everything below returns its errors (STYLE).
 * Bytes that could break a line or a terminal are written as \xNN.
 */
enum log_level {
        LOG_LEVEL_ERROR = 3,
        LOG_LEVEL_WARNING,
        LOG_LEVEL_NOTICE,
        LOG_LEVEL_INFO,
        LOG_LEVEL_DEBUG
};

/* Finds out where standard error goes (JOURNAL_STREAM); call once at start. */
void log_init(void);
bool log_is_journal(void);
void log_set_level(enum log_level most);
bool log_wants(enum log_level level);

/* "error", "warning", "notice", "info", "debug". Errors: -EINVAL. */
int log_level_from_name(const char *name, enum log_level *ret);

void log_write(enum log_level level, const char *format, ...) _printf_(2, 3);

#define log_error(...)   log_write(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warning(...) log_write(LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_notice(...)  log_write(LOG_LEVEL_NOTICE, __VA_ARGS__)
#define log_info(...)    log_write(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...)                                           \
        do {                                                     \
                if (log_wants(LOG_LEVEL_DEBUG))                  \
                        log_write(LOG_LEVEL_DEBUG, __VA_ARGS__); \
        } while (0)
