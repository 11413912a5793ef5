/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/buffer.h"

/* The command line of emberctl. */
enum { CTL_FAULT_BYTES = 256 };

enum ctl_action { CTL_ASK, CTL_HELP, CTL_VERSION };

struct ctl_options {
        enum ctl_action action;
        const char *socket;   /* --socket, or NULL */
        const char *instance; /* --instance, or NULL */
        char **words;         /* the verb and its arguments, within argv */
        size_t word_count;
};

/* Errors: -EINVAL, with what is wrong in `fault`. */
int ctl_options_parse(int argc, char **argv, char fault[static CTL_FAULT_BYTES],
                      struct ctl_options *ret);

const char *ctl_options_help(void);
const char *ctl_options_version(void);
