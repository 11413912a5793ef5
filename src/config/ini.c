/* SPDX-License-Identifier: MIT */
/*
 * A cursor over the bytes of a file. Lines that a backslash continues are copied together into one
 * buffer; all others are handed out where they stand. What a line holds is checked before it is
 * taken apart, so that no later code meets control characters or broken UTF-8 in a name or value.
 */
#include "config/ini.h"

#include <errno.h>

void ini_init(struct ini *ini, struct text data) {
        *ini = (struct ini){ .rest = data };
        if (text_starts_with(data,
                             TEXT("\xef\xbb\xbf"))) /* a byte order mark, as Windows writes it */
                ini->rest = (struct text){ data.data + 3, data.size - 3 };
}

void ini_finish(struct ini *ini) {
        buffer_finish(&ini->joined);
}

const char *ini_fault_of_text(struct text t) {
        while (t.size) {
                unsigned char c = t.data[0];
                size_t n = text_utf8_bytes(t);

                if (c == '\0')
                        return "a NUL byte; this is not a text file, or a damaged one";
                if ((c < 0x20 && c != '\t') || c == 0x7f)
                        return "a control character; remove it";
                if (n == 0)
                        return "bytes that are not UTF-8; save the file as UTF-8";
                t.data += n, t.size -= n;
        }
        return NULL;
}

/* One line as the file has it, without its end. False at the end of the file. */
static bool take_line(struct ini *ini, struct text *ret) {
        size_t n = text_find(ini->rest, '\n');
        struct text line = { ini->rest.data, n };

        if (!ini->rest.size)
                return false;
        if (n < ini->rest.size)
                n++;
        ini->rest.data += n, ini->rest.size -= n;
        if (line.size && line.data[line.size - 1] == '\r')
                line.size--;
        ini->line++;
        *ret = line;
        return true;
}

static bool is_comment(struct text line) {
        struct text t = text_trim(line);

        return t.size && (t.data[0] == '#' || t.data[0] == ';');
}

/* An odd number of backslashes at the end continues the line; an even one is meant as it stands. */
static bool is_continued(struct text line) {
        size_t n = 0;

        while (n < line.size && line.data[line.size - 1 - n] == '\\')
                n++;
        return n % 2 == 1;
}

/* A line with all that continues it. True, false at the end of the file, or -ENOMEM. */
static int take_joined(struct ini *ini, struct text *ret, unsigned *ret_line) {
        struct text line;

        do
                if (!take_line(ini, &line))
                        return false;
        while (is_comment(line));
        *ret_line = ini->line;
        *ret = line;
        if (!is_continued(line))
                return true;

        ini->joined.used = 0;
        for (;;) {
                bool more = is_continued(line);
                int r = 0;

                /* bytes past the limit are a fault already: there is no use in keeping them */
                if (ini->joined.used <= INI_LINE_BYTES_MAX)
                        r = buffer_append(&ini->joined, line.data, line.size - more);
                if (r >= 0 && more)
                        r = buffer_append(&ini->joined, " ", 1);
                if (r < 0)
                        return r;
                if (!more)
                        break;
                do
                        if (!take_line(ini, &line))
                                goto end;
                while (is_comment(line));
        }
end:
        *ret = buffer_text(&ini->joined);
        return true;
}

static void split(struct text line, struct ini_item *item) {
        size_t equals = text_find(line, '=');

        if (line.data[0] == '[') {
                item->kind = INI_SECTION;
                if (line.data[line.size - 1] == ']')
                        item->name = text_trim((struct text){ line.data + 1, line.size - 2 });
                else
                        item->fault = "a section without its ']'; write [Section]";
                if (!item->fault && !item->name.size)
                        item->fault = "a section without a name; write [Section]";
        } else {
                item->kind = INI_ASSIGNMENT;
                item->name = text_trim((struct text){ line.data, equals });
                if (equals == line.size)
                        item->fault =
                                "a line without '='; write Key=Value, or '#' before a comment";
                else if (!item->name.size)
                        item->fault = "nothing before the '='; write Key=Value";
                else
                        item->value = text_trim(
                                (struct text){ line.data + equals + 1, line.size - equals - 1 });
        }
        if (item->fault)
                item->kind = INI_FAULT;
}

int ini_next(struct ini *ini, struct ini_item *ret) {
        struct ini_item item = {};
        struct text line;
        int r;

        do {
                r = take_joined(ini, &line, &item.line);
                if (r < 0)
                        return r;
                if (r == 0) {
                        *ret = (struct ini_item){ .kind = INI_END };
                        return 0;
                }
                item.fault = line.size > INI_LINE_BYTES_MAX
                                     ? "a line of more than 64 KiB; shorten it"
                                     : ini_fault_of_text(line);
                line = text_trim(line);
        } while (!item.fault && !line.size);
        if (item.fault)
                item.kind = INI_FAULT;
        else
                split(line, &item);
        *ret = item;
        return 0;
}
