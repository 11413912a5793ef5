/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/text.h"

/*
 * A request is one line, "VERB [ARGUMENT…]\n", words parted by a space; no byte of it is a control
 * byte. What is behind the line is not looked at.
 */
enum {
        CONTROL_LINE_BYTES_MAX = 4096, /* with the newline */
        CONTROL_WORDS_MAX = 8,         /* the verb is one of them */
};

/* What control_line_read() gives beside 0. */
enum control_line_result {
        CONTROL_LINE_MORE = 1,  /* the line has no end yet */
        CONTROL_LINE_TOO_LONG,  /* nor will it have one within CONTROL_LINE_BYTES_MAX */
        CONTROL_LINE_BAD_BYTE,  /* a control byte */
        CONTROL_LINE_NO_WORD,   /* empty, or blank */
        CONTROL_LINE_MANY_WORDS /* more than CONTROL_WORDS_MAX */
};

/* The words of the line that `data` begins with; they point into it. */
int control_line_read(struct text data, struct text ret_words[static CONTROL_WORDS_MAX],
                      size_t *ret_count);

/* A sentence for each but CONTROL_LINE_MORE. */
const char *control_line_fault(enum control_line_result result);
