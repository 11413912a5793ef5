/* SPDX-License-Identifier: MIT */
#include "base/buffer.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "server/certificates.h"
#include "server/check.h"
#include "server/modules.h"
#include "server/options.h"
#include "server/supervisor.h"
#include "systemd/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/*
 * main() -> supervisor_run() -> worker_run() -> loop_run() -> the backend's wait(): the way from
 * here to where the program waits for its visitors. What only prints and exits is in this file.
 */

static int print(struct text t) {
        int r = fd_write_all(STDOUT_FILENO, t.data, t.size);

        if (r < 0)
                log_error("cannot write to standard output: %s", strerror(-r));
        return r < 0 ? EXIT_SYSTEM : 0;
}

static void log_lines(struct text rest) {
        struct text line;

        while (text_next_word(&rest, "\n", &line))
                (void)!dprintf(STDERR_FILENO, "%.*s\n", TEXT_ARGS(line));
}

/*
 * Where a standard descriptor is closed, the next socket would get its number, and messages would
 * go to a client. This takes its place; it can be neither read nor written, and needs no /dev.
 */
static void fill_standard_descriptors(void) {
        int fd;

        do {
                fd = open("/", O_PATH | O_CLOEXEC);
        } while (fd >= 0 && fd <= STDERR_FILENO);
        fd_close(fd);
}

static struct settings_sources sources_of(const struct options *o) {
        return (struct settings_sources){
                .file = o->file,
                .file_is_optional = !o->file_given,
                .directory = o->directory,
                .options = o->settings,
        };
}

/* When they end: for whoever asks for a check, on standard output; what ends soon is a remark. */
static int print_certificates(const struct snapshot *s) {
        _cleanup_(buffer_finish)
        struct buffer text = {};
        _cleanup_(buffer_finish)
        struct buffer warnings = {};

        if (!s->tls)
                return 0;
        certificates_describe(s->certificates, s->tls, "certificate ", &text);
        certificates_warn(s->certificates, s->tls, (int64_t)(clock_real_usec() / USEC_PER_SEC),
                          &warnings);
        log_lines(buffer_text(&warnings));
        return text.failed ? EXIT_SYSTEM : print(buffer_text(&text));
}

/* Reads the settings as they would be served; every fault found is printed. */
static int load(const struct options *o, bool checks, struct settings **ret) {
        _cleanup_(buffer_finish)
        struct buffer faults = {};
        _cleanup_(settings_unrefp)
        struct settings *settings = NULL;
        _cleanup_(modules_close)
        struct modules modules = { .for_snapshots.only_checked = true };
        _cleanup_(snapshot_freep) /* before the modules it was made with */
        struct snapshot *snapshot = NULL;
        struct settings_sources sources = sources_of(o);
        int r = settings_load(&sources, &faults, &settings);

        if (r >= 0)
                r = modules_open(&modules, 1, settings, &faults);
        if (r >= 0)
                r = snapshot_new(settings, 1, &modules.for_snapshots, &faults, &snapshot);
        log_lines(buffer_text(&faults));
        if (r < 0) {
                if (!faults.used)
                        log_error("cannot read the settings: %s", strerror(-r));
                return EXIT_SETTINGS;
        }
        *ret = take_ptr(settings);
        return checks ? print_certificates(snapshot) : 0;
}

static int check(const struct options *o) {
        _cleanup_(buffer_finish)
        struct buffer faults = {};
        _cleanup_(settings_unrefp)
        struct settings *settings = NULL;
        struct check_query query = { .root = "" };
        unsigned count = 0;
        int status = load(o, true, &settings);

        if (status)
                return status;
        query.settings = settings;
        /* with --listen it is started by hand, where no socket is passed */
        query.settings_file = o->listen_given ? NULL : o->file;
        if (check_machine(&query, &faults, &count) < 0) {
                log_error("cannot check the settings: out of memory");
                return EXIT_SYSTEM;
        }
        log_lines(buffer_text(&faults));
        return count ? EXIT_SETTINGS : 0;
}

static int print_config(const struct options *o) {
        _cleanup_(buffer_finish)
        struct buffer text = {};
        _cleanup_(settings_unrefp)
        struct settings *settings = NULL;
        int status = load(o, false, &settings);

        if (status)
                return status;
        return settings_print(settings, &text) < 0 ? EXIT_SYSTEM : print(buffer_text(&text));
}

static int print_backends(void) {
        _cleanup_(buffer_finish)
        struct buffer text = {};
        char reason[LOOP_REASON_BYTES];

        for (size_t i = 0; loop_backends[i]; i++) {
                int r = loop_backend_check(loop_backends[i], reason);

                buffer_printf(&text, "%-10s %s\n", loop_backend_title(loop_backends[i]),
                              r < 0 ? reason : "can run here");
        }
        return text.failed ? EXIT_SYSTEM : print(buffer_text(&text));
}

static int print_version(void) {
        _cleanup_(buffer_finish)
        struct buffer text = {};

        return options_version(&text) < 0 ? EXIT_SYSTEM : print(buffer_text(&text));
}

static int serve(const struct options *o) {
        struct supervisor_start start = {
                .sources = sources_of(o),
                .listen_given = o->listen_given,
        };

        return supervisor_run(&start);
}

static int run(const struct options *o) {
        switch (o->action) {
        case OPTIONS_HELP: return print(text_of(options_help()));
        case OPTIONS_VERSION: return print_version();
        case OPTIONS_BACKENDS: return print_backends();
        case OPTIONS_CHECK: return check(o);
        case OPTIONS_PRINT_CONFIG: return print_config(o);
        case OPTIONS_SERVE: break;
        }
        return serve(o);
}

int main(int argc, char **argv) {
        char fault[OPTIONS_FAULT_BYTES];
        struct options options;
        int r, status;

        fill_standard_descriptors();
        log_init();
        log_set_journal(journal_send_event);
        r = options_parse(argc, argv, fault, &options);
        if (r < 0) {
                log_error("%s", r == -EINVAL ? fault : strerror(-r));
                return r == -EINVAL ? EXIT_USAGE : EXIT_SYSTEM;
        }
        log_set_level(options.log_level);
        status = run(&options);
        options_finish(&options);
        return status;
}
