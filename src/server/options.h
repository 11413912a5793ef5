/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/buffer.h"
#include "base/log.h"

/* The command line. Strings are argv's, or belong to these options. */
enum options_action {
        OPTIONS_SERVE,
        OPTIONS_CHECK,        /* --check: read all settings, print every fault */
        OPTIONS_PRINT_CONFIG, /* --print-config */
        OPTIONS_BACKENDS,     /* --backends */
        OPTIONS_HELP,
        OPTIONS_VERSION,
};

struct options {
        enum options_action action; /* the last one given */
        const char *file;  /* --config, else the default one; NULL: DIRECTORY without --config */
        bool file_given;   /* --config was; the default file need not exist */
        bool listen_given; /* --listen was, which goes with no passed socket */
        const char *directory; /* NULL: none was named */
        enum log_level log_level;
        char **settings; /* "Section.Key=Value" in order, NULL-ended: settings_sources.options */
        size_t setting_count;
};

enum { OPTIONS_FAULT_BYTES = 256 };

/*
 * Read the command line. `*ret` needs options_finish() after success only.
 * Errors: -EINVAL: wrong usage, said in `fault` as one line without its end (exit status 64);
 * -ENOMEM.
 */
int options_parse(int argc, char **argv, char fault[static OPTIONS_FAULT_BYTES],
                  struct options *ret);
void options_finish(struct options *o);

/* What --help and --version print. Errors: -ENOMEM. */
const char *options_help(void);
int options_version(struct buffer *to);
