/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/text.h"

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

/*
 * What an administrator must act on. In the journal such a line carries the MESSAGE_ID= by which
 * its catalog explains what to do (units/emberd.catalog; systemd/journal.c has the identifiers).
 */
enum log_event {
        LOG_EVENT_NONE,
        LOG_EVENT_SETTINGS_FAULTY, /* at start */
        LOG_EVENT_RELOAD_FAULTY,   /* the settings before it stay in force */
        LOG_EVENT_ACCESS_LOG,      /* cannot be opened again, or written */
        LOG_EVENT_LOOP_BROKEN,
        LOG_EVENT_FILES_SCARCE, /* no descriptors or memory for more connections */
        LOG_EVENT_LISTENER_BROKEN,
        LOG_EVENT_BUG,
        LOG_EVENT_CERTIFICATE_ENDS, /* soon, or has */
        LOG_EVENT_COUNT,
};

/*
 * How events reach the journal; base/ knows nothing of systemd. Without it, and where it gives an
 * error, and where standard error is not the journal, an event is a line like any other.
 */
void log_set_journal(int (*send)(enum log_event event, enum log_level level, struct text line));

void log_write(enum log_level level, const char *format, ...) _printf_(2, 3);
void log_event(enum log_event event, enum log_level level, const char *format, ...) _printf_(3, 4);

#define log_error(...)   log_write(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warning(...) log_write(LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_notice(...)  log_write(LOG_LEVEL_NOTICE, __VA_ARGS__)
#define log_info(...)    log_write(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...)                                           \
        do {                                                     \
                if (log_wants(LOG_LEVEL_DEBUG))                  \
                        log_write(LOG_LEVEL_DEBUG, __VA_ARGS__); \
        } while (0)
