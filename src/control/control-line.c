/* SPDX-License-Identifier: MIT */
#include "control/control-line.h"

/* Takes bytes and gives words; no input or output here, so that it is tested without a socket. */

static bool is_control_byte(char c) {
        return (unsigned char)c < 0x20 || c == 0x7f;
}

int control_line_read(struct text data, struct text ret_words[static CONTROL_WORDS_MAX],
                      size_t *ret_count) {
        size_t end = text_find(data, '\n'), count = 0;
        struct text line = { data.data, end }, words[CONTROL_WORDS_MAX], word;

        for (size_t i = 0; i < end; i++)
                if (is_control_byte(data.data[i]))
                        return CONTROL_LINE_BAD_BYTE;
        if (end >= CONTROL_LINE_BYTES_MAX)
                return CONTROL_LINE_TOO_LONG;
        if (end == data.size)
                return CONTROL_LINE_MORE;
        while (text_next_word(&line, " ", &word)) {
                if (count == CONTROL_WORDS_MAX)
                        return CONTROL_LINE_MANY_WORDS;
                words[count++] = word;
        }
        if (!count)
                return CONTROL_LINE_NO_WORD;
        memcpy(ret_words, words, count * sizeof(*words));
        *ret_count = count;
        return 0;
}

const char *control_line_fault(enum control_line_result result) {
        switch (result) {
        case CONTROL_LINE_TOO_LONG: return "a request is a line of at most 4096 bytes";
        case CONTROL_LINE_BAD_BYTE: return "a request has no control bytes in it";
        case CONTROL_LINE_NO_WORD: return "a request names a verb";
        case CONTROL_LINE_MANY_WORDS: return "a request is a verb and at most 7 arguments";
        case CONTROL_LINE_MORE: break;
        }
        return "a request is a whole line";
}
