/* SPDX-License-Identifier: MIT */
#include "base/log.h"

#include "base/text.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LINE_BYTES_MAX = 2048 }; /* a longer message is cut; the journal's own limit is 48 KiB */

static enum log_level log_most = LOG_LEVEL_INFO;
static bool log_to_journal;
static int (*log_send)(enum log_event event, enum log_level level, struct text line);

static const char *const level_names[] = {
        [LOG_LEVEL_ERROR] = "error", [LOG_LEVEL_WARNING] = "warning", [LOG_LEVEL_NOTICE] = "notice",
        [LOG_LEVEL_INFO] = "info",   [LOG_LEVEL_DEBUG] = "debug",
};

void log_init(void) {
        const char *stream = getenv("JOURNAL_STREAM");
        unsigned long long device, inode;
        struct stat st;

        /* JOURNAL_STREAM is inherited by whatever a service starts: it counts only for the very
         * descriptor it names (systemd.exec(5)) */
        log_to_journal = stream && sscanf(stream, "%llu:%llu", &device, &inode) == 2 &&
                         fstat(STDERR_FILENO, &st) == 0 && st.st_dev == device &&
                         st.st_ino == inode;
}

bool log_is_journal(void) {
        return log_to_journal;
}

void log_set_journal(int (*send)(enum log_event event, enum log_level level, struct text line)) {
        log_send = send;
}

void log_set_level(enum log_level most) {
        log_most = most;
}

bool log_wants(enum log_level level) {
        return level <= log_most;
}

int log_level_from_name(const char *name, enum log_level *ret) {
        for (size_t i = LOG_LEVEL_ERROR; i < ELEMENTS(level_names); i++)
                if (strcmp(level_names[i], name) == 0) {
                        *ret = i;
                        return 0;
                }
        return -EINVAL;
}

/* Control bytes become \xNN; bytes above 127 stay, since names in UTF-8 must stay readable. */
static size_t escape_into(char *to, size_t size, const char *from) {
        size_t n = 0;

        for (; *from && n + 5 < size; from++) {
                unsigned char c = (unsigned char)*from;

                if (c < 0x20 || c == 0x7f)
                        n += (size_t)snprintf(to + n, size - n, "\\x%02x", c);
                else
                        to[n++] = (char)c;
        }
        return n;
}

static void write_line(enum log_event event, enum log_level level, const char *format, va_list args)
        _printf_(3, 0);
static void write_line(enum log_event event, enum log_level level, const char *format,
                       va_list args) {
        char text[LINE_BYTES_MAX], line[LINE_BYTES_MAX + 16];
        int n;

        vsnprintf(text, sizeof(text), format, args);
        if (event && log_to_journal && log_send) {
                n = (int)escape_into(line, sizeof(line), text);
                if (log_send(event, level, (struct text){ line, (size_t)n }) == 0)
                        return;
        }
        if (log_to_journal)
                n = snprintf(line, sizeof(line), "<%d>", level);
        else
                n = snprintf(line, sizeof(line), "emberd: ");
        n += (int)escape_into(line + n, sizeof(line) - (size_t)n - 1, text);
        line[n++] = '\n';
        /*
         * one write, so that lines of several threads do not mix; nobody is left to tell of a
         * failure
         */
        (void)!write(STDERR_FILENO, line, (size_t)n);
}

void log_write(enum log_level level, const char *format, ...) {
        int saved = errno;
        va_list args;

        if (!log_wants(level))
                return;
        va_start(args, format);
        write_line(LOG_EVENT_NONE, level, format, args);
        va_end(args);
        errno = saved;
}

void log_event(enum log_event event, enum log_level level, const char *format, ...) {
        int saved = errno;
        va_list args;

        if (!log_wants(level))
                return;
        va_start(args, format);
        write_line(event, level, format, args);
        va_end(args);
        errno = saved;
}
