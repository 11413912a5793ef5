/* SPDX-License-Identifier: MIT */
#include "server/supervisor.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "systemd/notify.h"

enum { FAULTS_BYTES_MAX = 64 * 1024 }; /* that are kept; all are logged */

/*
 * A reload builds everything that can fail (settings, roots, listeners, log) beside what is in
 * force, and only then tells the workers, in one go. Whatever was wrong is logged, and nothing has
 * changed. What the workers have let go of is freed here: snapshots, listeners and logs wait in
 * lists until the last worker has reported.
 *
 * One is at work at a time, from reading to the last worker's report. Who wants one meanwhile, by
 * a signal or over the control socket, gets the next, which all of them share: it reads the
 * settings after each of them asked. Those who wait at the control socket are answered when it is
 * over.
 */

void supervisor_forget_faults(struct supervisor *s) {
        buffer_finish(&s->faults);
        s->status_note[0] = '\0';
}

static void log_and_keep(struct supervisor *s, enum log_event event, enum log_level level,
                         struct text line) {
        log_event(event, level, "%.*s", TEXT_ARGS(line));
        if (s->faults.used < FAULTS_BYTES_MAX)
                buffer_printf(&s->faults, "%.*s\n", TEXT_ARGS(line));
}

void supervisor_tell_warnings(struct supervisor *s, const struct buffer *warnings) {
        struct text rest = buffer_text(warnings), line;

        while (text_next_word(&rest, "\n", &line))
                log_and_keep(s, LOG_EVENT_NONE, LOG_LEVEL_WARNING, line);
}

void supervisor_tell_faults(struct supervisor *s, const struct buffer *faults) {
        struct text rest = buffer_text(faults), line;
        enum log_event event = s->snapshot ? LOG_EVENT_RELOAD_FAULTY : LOG_EVENT_SETTINGS_FAULTY;

        while (text_next_word(&rest, "\n", &line)) {
                log_and_keep(s, event, LOG_LEVEL_ERROR, line);
                if (!s->status_note[0])
                        snprintf(s->status_note, sizeof(s->status_note), "Faulty settings: %.*s; ",
                                 TEXT_ARGS(line));
        }
}

void supervisor_tell_fault(struct supervisor *s, const char *format, ...) {
        _cleanup_(buffer_finish)
        struct buffer fault = {};
        va_list args;

        va_start(args, format);
        buffer_vprintf(&fault, format, args);
        va_end(args);
        supervisor_tell_faults(s, &fault);
}

void supervisor_tell_log_fault(struct supervisor *s, const struct settings *settings, int error) {
        char place[SETTINGS_PLACE_BYTES];

        if (!settings->access_log_path) { /* not opened, but out of memory */
                supervisor_tell_fault(s, "cannot log accesses: %s", strerror(-error));
                return;
        }
        settings_place(&settings->access_log_origin, place);
        supervisor_tell_fault(s,
                              "%s: AccessLog=%s cannot be opened: %s; name a file that emberd may "
                              "write",
                              place, settings->access_log_path, strerror(-error));
}

void supervisor_tell_backend_fault(struct supervisor *s, const struct settings *settings,
                                   const char *reason) {
        char place[SETTINGS_PLACE_BYTES];

        settings_place(&settings->backend_origin, place);
        supervisor_tell_fault(s, "%s: Backend=%s cannot be had: %s; set Backend=auto", place,
                              settings->backend, reason);
}

static int settings_load_and_tell(struct supervisor *s, const struct settings_sources *sources,
                                  struct settings **ret) {
        _cleanup_(buffer_finish)
        struct buffer faults = {};
        int r = settings_load(sources, &faults, ret);

        if (r == -EBADMSG)
                supervisor_tell_faults(s, &faults);
        else if (r < 0)
                supervisor_tell_fault(s, "cannot read the settings: %s", strerror(-r));
        else
                supervisor_tell_warnings(s, &faults);
        return r;
}

int supervisor_load_settings(struct supervisor *s, struct settings **ret) {
        _cleanup_(settings_unrefp)
        struct settings *settings = NULL;
        struct settings_sources sources = s->start->sources;
        int r = settings_load_and_tell(s, &sources, &settings);

        if (r < 0)
                return r;
        if (settings->site_count == 0 && !s->sockets_were_passed &&
            access(EMBERD_WELCOME_DIR, F_OK) < 0) {
                supervisor_tell_fault(s, "nothing to serve: the settings name no Site; give a "
                                         "DIRECTORY, as in 'emberd .', or a [Site NAME] with "
                                         "Root=");
                return -EINVAL;
        }
        if (settings->site_count == 0) {
                /* no site is named: the page that says that emberd works, and how to go on */
                settings = settings_unref(settings);
                supervisor_forget_faults(s); /* warnings, which are given once more */
                sources.directory = EMBERD_WELCOME_DIR;
                r = settings_load_and_tell(s, &sources, &settings);
                if (r < 0)
                        return r;
        }
        *ret = take_ptr(settings);
        return 0;
}

int supervisor_make_snapshot(struct supervisor *s, struct settings *settings, struct buffer *faults,
                             struct snapshot **ret) {
        int r = modules_open(&s->modules, s->worker_count, settings, faults);

        if (r == 0)
                r = snapshot_new(settings, s->worker_count, &s->modules.for_snapshots, faults, ret);
        if (r < 0)
                return r;
        supervisor_tell_warnings(s, faults);
        s->keys_wanted = true; /* as soon as it is in force */
        s->dates_next_usec = 0;
        return 0;
}

/* What only a new process can change. */
static void tell_what_needs_restart(const struct settings *old, const struct settings *new) {
        if (strcmp(old->backend, new->backend) != 0 || old->trigger != new->trigger ||
            old->workers != new->workers || old->connections_max != new->connections_max)
                log_notice("Backend=, EpollTrigger=, Workers= and ConnectionsMax= take effect when "
                           "emberd is started again");
}

struct reloaded {
        struct settings *settings;
        struct snapshot *snapshot;
        struct listener_set *listeners; /* NULL: those in force stay */
        struct log_target *log;
};

static void reloaded_finish(struct reloaded *r) {
        snapshot_free(r->snapshot);
        listener_set_free(r->listeners);
        log_target_free(r->log);
        settings_unref(r->settings);
}

/*
 * Backend= takes effect when emberd is started again, and must not be found out only then. Where
 * no ring can be made any more, what the start found out is all that is known.
 */
static int check_backend(struct supervisor *s, const struct settings *settings) {
        const struct loop_backend *wanted = loop_backend_find(settings->backend);
        char reason[LOOP_REASON_BYTES] = "it was not built in";

        if (strcmp(settings->backend, "auto") == 0 || wanted == s->backend)
                return 0;
        if (wanted && s->sealed)
                memcpy(reason, s->backend_reason, sizeof(reason));
        else if (wanted && loop_backend_check(wanted, reason) == 0)
                return 0;
        if (!reason[0])
                return 0;
        supervisor_tell_backend_fault(s, settings, reason);
        return -EINVAL;
}

static int reload_build(struct supervisor *s, struct reloaded *new) {
        _cleanup_(buffer_finish)
        struct buffer faults = {};
        char reason[LISTENER_REASON_BYTES];
        int r = supervisor_load_settings(s, &new->settings);

        if (r >= 0)
                r = check_backend(s, new->settings);
        if (r < 0)
                return r;
        r = supervisor_make_snapshot(s, new->settings, &faults, &new->snapshot);
        if (r < 0) {
                supervisor_tell_faults(s, &faults);
                return r;
        }
        r = log_target_new(new->settings, log_is_journal(), &new->log);
        if (r < 0) {
                supervisor_tell_log_fault(s, new->settings, r);
                return r;
        }
        if (s->sockets_were_passed)
                return 0;
        r = listener_set_open(new->settings, s->listeners, reason, &new->listeners);
        if (r < 0)
                supervisor_tell_fault(s, "%s", reason);
        return r;
}

/* Each false: a worker was not told, for lack of memory. */
static bool put_log_in_force(struct supervisor *s, struct log_target *log) {
        log->held.by = s->worker_count;
        held_push(&s->old_logs, &s->log->held);
        s->log = log;
        return supervisor_tell_all(s,
                                   &(struct worker_command){ .kind = WORKER_TAKE_LOG, .log = log });
}

static bool put_in_force(struct supervisor *s, struct reloaded *new) {
        bool all_told;

        tell_what_needs_restart(s->settings, new->settings);
        settings_unref(s->settings);
        s->settings = take_ptr(new->settings);
        s->settings_are_faulty = false;
        s->faulty_until_usec = 0;

        held_push(&s->old_snapshots, &s->snapshot->held);
        s->snapshot = take_ptr(new->snapshot);
        all_told = supervisor_tell_all(s, &(struct worker_command){ .kind = WORKER_TAKE_SNAPSHOT,
                                                                    .snapshot = s->snapshot });
        all_told &= put_log_in_force(s, take_ptr(new->log));
        if (!new->listeners)
                return all_told;
        held_push(&s->old_listeners, &s->listeners->held);
        s->listeners = take_ptr(new->listeners);
        s->listeners->held.by = s->worker_count;
        all_told &= supervisor_tell_all(s, &(struct worker_command){ .kind = WORKER_TAKE_LISTENERS,
                                                                     .listeners = s->listeners });
        return all_told;
}

static void answer_reload(struct supervisor *s, uint64_t number, int status, struct text text) {
        control_answer_waiting(s->control, CONTROL_TOPIC_RELOAD, number, status, text);
}

static void reload_failed(struct supervisor *s, int error) {
        _cleanup_(buffer_finish)
        struct buffer text = {};
        const char *stays = s->settings_are_faulty
                                    ? "answering 503 to everything goes on; mend the settings and "
                                      "reload again"
                                    : "the settings stay as they were; mend them and reload again";

        if (!s->faults.used)
                supervisor_tell_fault(s, "cannot take the settings: %s", strerror(-error));
        log_error("%s", stays);
        /* systemd hears of it before systemctl does, so that its status is the one to be seen */
        (void)notify_send("READY=1\nSTATUS=%s%s", s->status_note,
                          s->settings_are_faulty ? "answering 503"
                                                 : "the settings before it stay in force");
        buffer_append_text(&text, buffer_text(&s->faults));
        buffer_printf(&text, "%s\n", stays);
        answer_reload(s, s->reload_number, error == -ENOMEM ? EXIT_SYSTEM : EXIT_SETTINGS,
                      buffer_text(&text));
}

static void reload_begin(struct supervisor *s) {
        _cleanup_(reloaded_finish)
        struct reloaded new = {};
        int r;

        s->reload_number++;
        (void)notify_reloading(clock_monotonic_usec());
        supervisor_forget_faults(s);
        r = reload_build(s, &new);
        if (r < 0) {
                reload_failed(s, r);
                return;
        }
        s->reload_was_lost = !put_in_force(s, &new);
        s->reloading = true;
        s->reload_sequence = s->sequence;
}

static void reload_end(struct supervisor *s) {
        s->reloading = false;
        s->status_requests = UINT64_MAX; /* says the status anew */
        log_info("settings reloaded");
        if (s->state != SUPERVISOR_DRAINING) /* STOPPING=1 is the last word */
                (void)notify_send("READY=1\nSTATUS=Settings reloaded");
        if (s->reload_was_lost)
                answer_reload(s, s->reload_number, EXIT_SYSTEM,
                              TEXT("not in force everywhere: out of memory; reload again"));
        else
                answer_reload(s, s->reload_number, 0, buffer_text(&s->faults)); /* warnings */
}

void supervisor_reload_step(struct supervisor *s) {
        if (s->reloading && !supervisor_all_did(s, s->reload_sequence))
                return;
        if (s->reloading)
                reload_end(s);
        if (!s->reload_wanted)
                return;
        s->reload_wanted = false;
        if (s->state != SUPERVISOR_DRAINING)
                reload_begin(s);
        else
                answer_reload(s, UINT64_MAX, CONTROL_UNAVAILABLE,
                              TEXT("emberd is leaving; the next start reads the settings"));
}

void supervisor_reopen_log(struct supervisor *s) {
        struct log_target *log;
        int r = log_target_new(s->settings, log_is_journal(), &log);

        if (r < 0) {
                log_event(LOG_EVENT_ACCESS_LOG, LOG_LEVEL_ERROR,
                          "AccessLog=%s cannot be opened again: %s; writing goes on where it was",
                          s->settings->access_log_path, strerror(-r));
                return;
        }
        put_log_in_force(s, log);
}

void supervisor_let_go(struct supervisor *s) {
        void *old;

        while ((old = held_take_free(&s->old_snapshots)))
                snapshot_free(old);
        while ((old = held_take_free(&s->old_listeners)))
                listener_set_free(old);
        while ((old = held_take_free(&s->old_logs)))
                log_target_free(old);
}
