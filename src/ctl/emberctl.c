/* SPDX-License-Identifier: MIT */
#include "base/fd.h"
#include "base/log.h"
#include "ctl/ctl-ask.h"
#include "ctl/ctl-lines.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

/*
 * Asks the running emberd over its control socket. Also what `systemctl reload` runs, so that it
 * waits for the new settings and fails with them: then standard error is the journal.
 */

enum {
        WAIT_SEC = 60, /* a guess: reading settings takes milliseconds, a stalled disk does not */

        /* sysexits.h */
        EXIT_USAGE = 64,
        EXIT_UNAVAILABLE = 69,
        EXIT_SYSTEM = 71,
        EXIT_PERMISSION = 77,
};

static void say(const char *what, const char *path) {
        dprintf(STDERR_FILENO, "%semberctl: %s%s%s\n", log_is_journal() ? "<3>" : "", what,
                path ? ": " : "", path ? path : "");
}

static int print(int fd, struct text text) {
        int r = fd_write_all(fd, text.data, text.size);

        if (r < 0)
                say("cannot write the answer", strerror(-r));
        return r < 0 ? EXIT_SYSTEM : 0;
}

/* With their priority for the journal. */
static int print_lines(int fd, struct text text, const char *prefix) {
        _cleanup_(buffer_finish)
        struct buffer out = {};

        if (ctl_lines(text, prefix, &out) < 0) {
                say("out of memory", NULL);
                return EXIT_SYSTEM;
        }
        return print(fd, buffer_text(&out));
}

static int say_why_not(int error, const char *path) {
        switch (error) {
        case -ENOENT: /* removed, the service may well run without */
                say("emberd does not answer: it is not running (it starts with the next visitor, "
                    "and reads its settings then), or its control socket was removed (then "
                    "restart it); there is no",
                    path);
                return EXIT_UNAVAILABLE;
        case -ECONNREFUSED:
                say("emberd does not answer: it is not running (it starts with the next visitor, "
                    "and reads its settings then); nobody listens at",
                    path);
                return EXIT_UNAVAILABLE;
        case -ECONNRESET: say("emberd went away without an answer", path); return EXIT_UNAVAILABLE;
        case -ETIMEDOUT: say("emberd did not answer within 60 s", path); return EXIT_UNAVAILABLE;
        case -EBADMSG:
                say("who listens there gave no answer that emberctl knows", path);
                return EXIT_UNAVAILABLE;
        case -EACCES:
        case -EPERM:
                say("not permitted: only root and the group of emberd may ask", path);
                return EXIT_PERMISSION;
        }
        say(strerror(-error), path);
        return EXIT_SYSTEM;
}

static int ask(const struct ctl_options *options) {
        _cleanup_(buffer_finish)
        struct buffer answer = {};
        char path[CONTROL_PATH_BYTES];
        int status, r = ctl_socket_path(options, path);

        if (r < 0) {
                say("the path of the control socket cannot be used", strerror(-r));
                return EXIT_USAGE;
        }
        r = ctl_ask(path, options, WAIT_SEC * USEC_PER_SEC, &answer, &status);
        if (r < 0)
                return say_why_not(r, path);
        if (status == 0)
                return print_lines(STDOUT_FILENO, buffer_text(&answer), "");
        (void)print_lines(STDERR_FILENO, buffer_text(&answer), log_is_journal() ? "<3>" : "");
        return status;
}

int main(int argc, char **argv) {
        char fault[CTL_FAULT_BYTES];
        struct ctl_options options;

        log_init();
        if (ctl_options_parse(argc, argv, fault, &options) < 0) {
                say(fault, NULL);
                return EXIT_USAGE;
        }
        switch (options.action) {
        case CTL_HELP: return print(STDOUT_FILENO, text_of(ctl_options_help()));
        case CTL_VERSION: return print(STDOUT_FILENO, text_of(ctl_options_version()));
        case CTL_ASK: break;
        }
        return ask(&options);
}
