/* SPDX-License-Identifier: MIT */
#include "server/supervisor.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "server/certificates.h"

/*
 * What is asked over the control socket, as one row a verb. A verb that reads answers at once; one
 * that takes the workers' time waits on a topic of its own, and whoever sees that it is done
 * answers all who wait (reload.c).
 */

static void log_request(const struct control_request *request, enum log_level level) {
        log_write(level, "control socket: %.*s, asked for by user %u, process %d",
                  TEXT_ARGS(request->words[0]), (unsigned)request->uid, (int)request->pid);
}

/* Not begun here: those who ask while one is at work share the next. */
static void run_reload(void *context, struct control_request *request) {
        struct supervisor *s = context;

        log_request(request, LOG_LEVEL_INFO);
        control_wait(request, CONTROL_TOPIC_RELOAD, s->reload_number + 1);
        s->reload_wanted = true;
}

static const char *state_name(const struct supervisor *s) {
        if (s->state == SUPERVISOR_DRAINING)
                return "leaving, when the requests under way are answered";
        return s->settings_are_faulty ? "answering 503, because the settings are faulty"
                                      : "serving";
}

static void describe(const struct supervisor *s, struct buffer *to) {
        const char *file = s->start->sources.file;
        uint64_t requests = 0, connections = 0;

        for (unsigned i = 0; i < s->worker_count; i++) {
                requests += counter_read(&s->workers[i].figures.requests);
                connections += counter_read(&s->workers[i].figures.connections);
        }
        buffer_printf(to, "state: %s\n", state_name(s));
        buffer_printf(to, "backend: %s%s%s\n", loop_backend_title(s->backend),
                      s->backend_reason[0] ? "; not with io_uring: " : "", s->backend_reason);
        buffer_printf(to, "workers: %u\n", s->worker_count);
        buffer_printf(to, "connections: %" PRIu64 "\n", connections);
        buffer_printf(to, "requests: %" PRIu64 "\n", requests);
        buffer_printf(to, "settings: %s\n", file ? file : "none but the command line");
        if (s->snapshot->tls)
                certificates_describe(s->snapshot->certificates, s->snapshot->tls,
                                      "certificate: ", to);
}

static void run_status(void *context, struct control_request *request) {
        const struct supervisor *s = context;
        struct text faults = buffer_text(&s->faults), line;
        _cleanup_(buffer_finish)
        struct buffer text = {};

        log_request(request, LOG_LEVEL_DEBUG);
        describe(s, &text);
        while (text_next_word(&faults, "\n", &line))
                buffer_printf(&text, "fault: %.*s\n", TEXT_ARGS(line));
        if (text.failed)
                control_answer(request, EXIT_SYSTEM, TEXT("out of memory"));
        else
                control_answer(request, 0, buffer_text(&text));
}

static const struct control_verb verbs[] = {
        { "reload", 0, run_reload },
        { "status", 0, run_status },
        {},
};

void supervisor_open_control(struct supervisor *s) {
        char path[CONTROL_PATH_BYTES];
        const char *folder = getenv("RUNTIME_DIRECTORY");
        int r = control_path(folder, path);

        if (r == -ENOENT)
                return; /* nobody made a folder for it */
        if (r == 0)
                r = control_open(path, verbs, s, &s->control);
        if (r == -EADDRINUSE)
                log_error("%s: another emberd listens there; this one goes on without a control "
                          "socket",
                          path);
        else if (r < 0)
                log_warning("no control socket in RUNTIME_DIRECTORY=%s: %s; serving goes on "
                            "without it",
                            folder, strerror(-r));
}
