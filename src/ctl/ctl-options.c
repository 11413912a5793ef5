/* SPDX-License-Identifier: MIT */
#include "ctl/ctl-options.h"

#include "control/control-line.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>

/*
 * A verb is checked here as well as by emberd: who mistypes one while emberd sleeps would else be
 * told that it does not run, and nothing of the mistake.
 */

/* "+": what follows the verb is the verb's. ":": silent, and tells a missing argument. */
static const char short_options[] = "+:hV";

enum { OPTION_SOCKET = 256, OPTION_INSTANCE };

static const struct option long_options[] = {
        { "socket", required_argument, NULL, OPTION_SOCKET },
        { "instance", required_argument, NULL, OPTION_INSTANCE },
        { "help", no_argument, NULL, 'h' },
        { "version", no_argument, NULL, 'V' },
        {},
};

static const struct {
        const char *name;
        size_t arguments_max;
} verbs[] = {
        { "reload", 0 },
        { "status", 0 },
};

static const char help[] =
        "Usage: emberctl [OPTION]... VERB\n"
        "Ask the running emberd something.\n"
        "\n"
        "  reload                 read the settings again, and wait until they are in\n"
        "                         force everywhere; print what is wrong with them\n"
        "  status                 print what it does\n"
        "\n"
        "      --socket PATH      ask at this control socket\n"
        "      --instance NAME    ask emberd@NAME.service\n"
        "  -h, --help             print this, and exit\n"
        "  -V, --version          print the version, and exit\n"
        "\n"
        "Exit status: 0; 64 wrong usage; 69 emberd is not running, or does not answer;\n"
        "71 the system refused; 77 not permitted; 78 wrong settings.\n"
        "See emberctl(1).\n";

const char *ctl_options_help(void) {
        return help;
}

const char *ctl_options_version(void) {
        return "emberctl " EMBERD_VERSION "\n";
}

static int say_getopt_fault(char *const *argv, int option, char fault[static CTL_FAULT_BYTES]) {
        const char *last = argv[optind - 1];
        bool is_long = strncmp(last, "--", 2) == 0;

        if (option == ':')
                snprintf(fault, CTL_FAULT_BYTES, "option '%.80s' needs an argument", last);
        else if (is_long && optopt)
                snprintf(fault, CTL_FAULT_BYTES, "option '%.80s' takes no argument", last);
        else if (is_long)
                snprintf(fault, CTL_FAULT_BYTES, "unknown option '%.80s'", last);
        else
                snprintf(fault, CTL_FAULT_BYTES, "unknown option '-%c'", optopt);
        return -EINVAL;
}

/* What can stand in a line as one word of it. */
static bool is_word(const char *word) {
        for (const char *c = word; *c; c++)
                if ((unsigned char)*c <= ' ' || *c == 0x7f)
                        return false;
        return *word;
}

static int check_words(const struct ctl_options *o, char fault[static CTL_FAULT_BYTES]) {
        size_t bytes = 0;

        if (!o->word_count) {
                snprintf(fault, CTL_FAULT_BYTES, "say what to do: reload or status");
                return -EINVAL;
        }
        for (size_t i = 0; i < ELEMENTS(verbs); i++) {
                if (strcmp(o->words[0], verbs[i].name) != 0)
                        continue;
                if (o->word_count - 1 <= verbs[i].arguments_max)
                        goto known;
                snprintf(fault, CTL_FAULT_BYTES, "'%s' takes no argument, and '%.80s' is one",
                         o->words[0], o->words[verbs[i].arguments_max + 1]);
                return -EINVAL;
        }
        snprintf(fault, CTL_FAULT_BYTES, "'%.80s' is not known; it is reload or status",
                 o->words[0]);
        return -EINVAL;
known:
        for (size_t i = 0; i < o->word_count; i++) {
                bytes += strlen(o->words[i]) + 1;
                if (is_word(o->words[i]) && bytes <= CONTROL_LINE_BYTES_MAX)
                        continue;
                snprintf(fault, CTL_FAULT_BYTES, "argument %zu is empty, too long, or has a blank",
                         i);
                return -EINVAL;
        }
        return 0;
}

static int parse(int argc, char **argv, char fault[static CTL_FAULT_BYTES], struct ctl_options *o) {
        int option;

        optind = 0; /* glibc: begin anew, whoever used getopt() before */
        while ((option = getopt_long(argc, argv, short_options, long_options, NULL)) != -1)
                switch (option) {
                case OPTION_SOCKET: o->socket = optarg; break;
                case OPTION_INSTANCE: o->instance = optarg; break;
                case 'h': o->action = CTL_HELP; return 0;
                case 'V': o->action = CTL_VERSION; return 0;
                default: return say_getopt_fault(argv, option, fault);
                }
        o->words = argv + optind;
        o->word_count = (size_t)(argc - optind);
        if (o->socket && o->instance) {
                snprintf(fault, CTL_FAULT_BYTES, "give --socket or --instance, not both");
                return -EINVAL;
        }
        if (o->instance && !o->instance[0]) {
                snprintf(fault, CTL_FAULT_BYTES,
                         "--instance takes NAME as in emberd@NAME.service, or its address");
                return -EINVAL;
        }
        return check_words(o, fault);
}

int ctl_options_parse(int argc, char **argv, char fault[static CTL_FAULT_BYTES],
                      struct ctl_options *ret) {
        struct ctl_options o = {};
        int r = parse(argc, argv, fault, &o);

        if (r < 0) {
                size_t said = strlen(fault);

                snprintf(fault + said, CTL_FAULT_BYTES - said, "; try 'emberctl --help'");
                return r;
        }
        *ret = o;
        return 0;
}
