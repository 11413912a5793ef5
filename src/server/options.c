/* SPDX-License-Identifier: MIT */
/*
 * The command line only chooses what to do and where settings come from: each option that has a
 * setting becomes "Section.Key=Value" and is checked with all other settings, where faults are
 * collected.
 */
#include "server/options.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

#include "loop/loop.h"

enum { OPTION_LOG_LEVEL = 256, OPTION_CHECK, OPTION_PRINT_CONFIG, OPTION_BACKENDS };

/* A colon at the start: getopt() tells a missing argument from an unknown option, and is silent. */
static const char short_options[] = ":c:l:b:w:o:hV";

static const struct option long_options[] = {
        { "config", required_argument, NULL, 'c' },
        { "listen", required_argument, NULL, 'l' },
        { "backend", required_argument, NULL, 'b' },
        { "workers", required_argument, NULL, 'w' },
        { "option", required_argument, NULL, 'o' },
        { "log-level", required_argument, NULL, OPTION_LOG_LEVEL },
        { "check", no_argument, NULL, OPTION_CHECK },
        { "print-config", no_argument, NULL, OPTION_PRINT_CONFIG },
        { "backends", no_argument, NULL, OPTION_BACKENDS },
        { "help", no_argument, NULL, 'h' },
        { "version", no_argument, NULL, 'V' },
        {},
};

static const char help[] =
        "Usage: emberd [OPTION]... [DIRECTORY]\n"
        "Serve the files of DIRECTORY at http://127.0.0.1:8080/, or what a settings\n"
        "file says, on the sockets that systemd passes or on addresses of your own.\n"
        "\n"
        "  -c, --config FILE      settings; default " EMBERD_SETTINGS_FILE ",\n"
        "                         then its drop-ins FILE.d/*.conf in order of name\n"
        "  -l, --listen ADDRESS   PORT, IPV4:PORT, [IPV6]:PORT, unix:PATH or vsock:PORT;\n"
        "                         repeatable; not with sockets passed in\n"
        "  -b, --backend NAME     auto, io_uring or epoll\n"
        "  -w, --workers N|auto   how many threads serve\n"
        "  -o, --option S.K=V     set key K of section S to V, as in\n"
        "                         -o 'Site example.org.Root=/srv'; repeatable;\n"
        "                         K? only where nothing before it has set K\n"
        "      --log-level LEVEL  error, warning, notice, info (default) or debug\n"
        "      --check            read all settings, print every fault, and exit\n"
        "      --print-config     print the settings in force as a file, and exit\n"
        "      --backends         print which backends can run here, and exit\n"
        "  -h, --help             print this, and exit\n"
        "  -V, --version          print the version and what was built in, and exit\n"
        "\n"
        "Exit status: 0; 64 wrong usage; 71 the system refused; 78 wrong settings.\n"
        "See emberd(8) and emberd.conf(5).\n";

const char *options_help(void) {
        return help;
}

int options_version(struct buffer *to) {
        (void)buffer_printf(to, "emberd %s\nbackends:", EMBERD_VERSION);
        for (size_t i = 0; loop_backends[i]; i++)
                (void)buffer_printf(to, " %s", loop_backend_title(loop_backends[i]));
        (void)buffer_printf(to, "\nlibsystemd: %s\nmodules: %s\n",
                            EMBERD_HAVE_SYSTEMD ? "yes" : "no", EMBERD_MODULES);
        return to->failed ? -ENOMEM : 0;
}

void options_finish(struct options *o) {
        for (size_t i = 0; i < o->setting_count; i++)
                free(o->settings[i]);
        free(o->settings);
        *o = (struct options){};
}

/* "Server.Workers=" and "2", or all in one. */
static int add_setting(struct options *o, const char *key, const char *value) {
        _cleanup_(buffer_finish)
        struct buffer b = {};
        char **all = reallocarray(o->settings, o->setting_count + 2, sizeof(*all));

        if (!all)
                return -ENOMEM;
        o->settings = all;
        all[o->setting_count] = NULL;
        if (buffer_printf(&b, "%s%s", key, value) < 0)
                return -ENOMEM;
        all[o->setting_count] = text_dup(buffer_text(&b));
        if (!all[o->setting_count])
                return -ENOMEM;
        all[++o->setting_count] = NULL;
        return 0;
}

/* SECTION.KEY=VALUE; whether there are such is for the settings' reader to say. */
static bool is_setting(const char *text) {
        size_t equals = strcspn(text, "=");
        const char *dot = memchr(text, '.', equals);

        return text[equals] && dot && dot > text;
}

static int take_option(struct options *o, int option, const char *argument,
                       char fault[static OPTIONS_FAULT_BYTES]) {
        switch (option) {
        case 'c':
                o->file = argument;
                o->file_given = true;
                return 0;
        case 'l': o->listen_given = true; return add_setting(o, "Server.Listen=", argument);
        case 'b': return add_setting(o, "Server.Backend=", argument);
        case 'w': return add_setting(o, "Server.Workers=", argument);
        case 'o':
                if (is_setting(argument))
                        return add_setting(o, "", argument);
                snprintf(fault, OPTIONS_FAULT_BYTES,
                         "--option takes SECTION.KEY=VALUE, and '%.80s' is not of that form",
                         argument);
                return -EINVAL;
        case OPTION_LOG_LEVEL:
                if (log_level_from_name(argument, &o->log_level) == 0)
                        return 0;
                snprintf(fault, OPTIONS_FAULT_BYTES,
                         "--log-level is error, warning, notice, info or debug, and not '%.80s'",
                         argument);
                return -EINVAL;
        case OPTION_CHECK: o->action = OPTIONS_CHECK; return 0;
        case OPTION_PRINT_CONFIG: o->action = OPTIONS_PRINT_CONFIG; return 0;
        case OPTION_BACKENDS: o->action = OPTIONS_BACKENDS; return 0;
        case 'h': o->action = OPTIONS_HELP; return 0;
        case 'V': o->action = OPTIONS_VERSION; return 0;
        }
        return -EINVAL;
}

/* What getopt_long() found wrong, when it gave '?' or ':'. */
static int say_fault(char *const *argv, int option, char fault[static OPTIONS_FAULT_BYTES]) {
        const char *last = argv[optind - 1];
        bool is_long = strncmp(last, "--", 2) == 0;

        if (option == ':')
                snprintf(fault, OPTIONS_FAULT_BYTES, "option '%.80s' needs an argument", last);
        else if (is_long && optopt)
                snprintf(fault, OPTIONS_FAULT_BYTES, "option '%.80s' takes no argument", last);
        else if (is_long)
                snprintf(fault, OPTIONS_FAULT_BYTES, "unknown option '%.80s'", last);
        else
                snprintf(fault, OPTIONS_FAULT_BYTES, "unknown option '-%c'", optopt);
        return -EINVAL;
}

static int parse(int argc, char **argv, struct options *o, char fault[static OPTIONS_FAULT_BYTES]) {
        int option, r;

        optind = 0; /* glibc: begin anew, whoever used getopt() before */
        while ((option = getopt_long(argc, argv, short_options, long_options, NULL)) != -1) {
                if (option == '?' || option == ':')
                        return say_fault(argv, option, fault);
                r = take_option(o, option, optarg, fault);
                if (r < 0)
                        return r;
        }
        if (argc - optind > 1) {
                snprintf(fault, OPTIONS_FAULT_BYTES,
                         "one DIRECTORY at most, and '%.80s' is a second one", argv[optind + 1]);
                return -EINVAL;
        }
        if (optind < argc) {
                o->directory = argv[optind];
                if (!o->file_given)
                        o->file = NULL;
        }
        if (o->directory && !o->directory[0]) {
                snprintf(fault, OPTIONS_FAULT_BYTES, "DIRECTORY is empty; name one, such as '.'");
                return -EINVAL;
        }
        return 0;
}

int options_parse(int argc, char **argv, char fault[static OPTIONS_FAULT_BYTES],
                  struct options *ret) {
        struct options o = { .file = EMBERD_SETTINGS_FILE, .log_level = LOG_LEVEL_INFO };
        int r;

        fault[0] = '\0';
        r = parse(argc, argv, &o, fault);
        if (r < 0) {
                size_t said = strlen(fault);

                snprintf(fault + said, OPTIONS_FAULT_BYTES - said, "; try 'emberd --help'");
                options_finish(&o);
                return r;
        }
        *ret = o;
        return 0;
}
