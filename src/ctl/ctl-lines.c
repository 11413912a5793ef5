/* SPDX-License-Identifier: MIT */
#include "ctl/ctl-lines.h"

#include <errno.h>

/*
 * What is answered quotes settings, and they quote whoever wrote them. A terminal takes U+009B, or
 * the byte 9B alone, for what begins a sequence, just like ESC [.
 */

/* How many bytes at the start of `t` may be shown as they are. */
static size_t harmless_bytes(struct text t) {
        const unsigned char *c = (const unsigned char *)t.data;

        if ((c[0] < 0x20 && c[0] != '\t') || c[0] == 0x7f)
                return 0;
        if (c[0] == 0xc2 && t.size > 1 && c[1] < 0xa0) /* U+0080 to U+009F */
                return 0;
        return text_utf8_bytes(t);
}

int ctl_lines(struct text answer, const char *prefix, struct buffer *to) {
        struct text line;

        while (text_next_word(&answer, "\n", &line)) {
                buffer_printf(to, "%s", prefix);
                while (line.size) {
                        size_t n = harmless_bytes(line);

                        if (n)
                                buffer_append(to, line.data, n);
                        else
                                buffer_printf(to, "\\x%02x", (unsigned char)line.data[0]);
                        n = MAX(n, (size_t)1);
                        line.data += n, line.size -= n;
                }
                buffer_append(to, "\n", 1);
        }
        return to->failed ? -ENOMEM : 0;
}
