/* SPDX-License-Identifier: MIT */
#include "systemd/journal.h"

#include <errno.h>
#include <stdio.h>
#include <sys/uio.h>
#include <unistd.h>

#ifdef HAVE_SYSTEMD
#define SD_JOURNAL_SUPPRESS_LOCATION
#include <systemd/sd-journal.h>
#endif

#define JOURNAL_SOCKET "/run/systemd/journal/socket"

/* Never to be changed: who looks for them in old journals, or alerts on them, has them too. */
static const char *const message_ids[LOG_EVENT_COUNT] = {
        [LOG_EVENT_SETTINGS_FAULTY] = "38ee82b1b1ca4af0b06c1e252b1cb400",
        [LOG_EVENT_RELOAD_FAULTY] = "39506dbf47244271b1871a0b41ad3258",
        [LOG_EVENT_ACCESS_LOG] = "751d0b725ce041e999da8ebfbdbfb797",
        [LOG_EVENT_LOOP_BROKEN] = "29fb34025a2d4aadbd0a0a987dddb08c",
        [LOG_EVENT_FILES_SCARCE] = "d8699402f27b43a78934cc362b631399",
        [LOG_EVENT_LISTENER_BROKEN] = "a5bcb6273177443dac734e7cc95e54b0",
        [LOG_EVENT_BUG] = "6f37f92da1de4db39625ab57bc88e5fe",
        [LOG_EVENT_CERTIFICATE_ENDS] = "5b6f733dc67944fd8f77d12361f904fb",
};

const char *journal_message_id(enum log_event event) {
        assert(event > LOG_EVENT_NONE && event < LOG_EVENT_COUNT);
        return message_ids[event];
}

bool journal_config_place(struct text line, struct text *ret_file, struct text *ret_line) {
        if (!line.size || line.data[0] != '/')
                return false;
        for (size_t i = 1; i < line.size; i++) {
                size_t end = i + 1;

                if (line.data[i] != ':')
                        continue;
                while (end < line.size && ascii_is_digit(line.data[end]))
                        end++;
                if (end == i + 1 || end + 1 >= line.size || line.data[end] != ':' ||
                    line.data[end + 1] != ' ')
                        continue;
                *ret_file = (struct text){ line.data, i };
                *ret_line = (struct text){ line.data + i + 1, end - i - 1 };
                return true;
        }
        return false;
}

#ifdef HAVE_SYSTEMD
enum { FIELD_BYTES_MAX = 4096, FIELDS_MAX = 6 };

struct fields {
        struct iovec parts[FIELDS_MAX];
        size_t count;
        char bytes[2 * FIELD_BYTES_MAX];
        size_t used;
};

/* "NAME=value"; what has no room is left out. */
static void add_field(struct fields *f, const char *name, struct text value) {
        size_t left = sizeof(f->bytes) - f->used;
        int n = snprintf(f->bytes + f->used, left, "%s=%.*s", name, TEXT_ARGS(value));

        if (n < 0 || (size_t)n >= left || f->count == FIELDS_MAX)
                return;
        f->parts[f->count++] = (struct iovec){ f->bytes + f->used, (size_t)n };
        f->used += (size_t)n;
}

int journal_send_event(enum log_event event, enum log_level level, struct text line) {
        struct fields f = {};
        struct text file, line_number;
        char priority[2] = { (char)('0' + level), '\0' };

        /* where it is not there, sd_journal_sendv(3) drops the message and says nothing */
        if (access(JOURNAL_SOCKET, W_OK) < 0)
                return -errno;
        line.size = MIN(line.size, (size_t)FIELD_BYTES_MAX);
        add_field(&f, "MESSAGE", line);
        add_field(&f, "MESSAGE_ID", text_of(journal_message_id(event)));
        add_field(&f, "PRIORITY", text_of(priority));
        add_field(&f, "SYSLOG_IDENTIFIER", TEXT("emberd"));
        if (journal_config_place(line, &file, &line_number)) {
                add_field(&f, "CONFIG_FILE", file);
                add_field(&f, "CONFIG_LINE", line_number);
        }
        return sd_journal_sendv(f.parts, (int)f.count);
}
#else
int journal_send_event(enum log_event event, enum log_level level, struct text line) {
        return -EOPNOTSUPP;
}
#endif
