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

/*
 * A reload builds everything that can fail (settings, roots, listeners, log) beside what is in
 * force, and only then tells the workers, in one go. Whatever was wrong is logged, and nothing has
 * changed. What the workers have let go of is freed here: snapshots, listeners and logs wait in
 * lists until the last worker has reported.
 */

void supervisor_tell_faults(struct supervisor *s, const struct buffer *faults) {
        struct text rest = buffer_text(faults), line;

        while (text_next_word(&rest, "\n", &line)) {
                log_error("%.*s", TEXT_ARGS(line));
                if (!s->status_note[0])
                        snprintf(s->status_note, sizeof(s->status_note), "Faulty settings: %.*s; ",
                                 TEXT_ARGS(line));
        }
}

static int settings_load_and_tell(struct supervisor *s, const struct settings_sources *sources,
                                  struct settings **ret) {
        _cleanup_(buffer_finish)
        struct buffer faults = {};
        int r = settings_load(sources, &faults, ret);

        if (r == -EBADMSG)
                supervisor_tell_faults(s, &faults);
        else if (r < 0)
                log_error("cannot read the settings: %s", strerror(-r));
        else if (faults.used)
                log_warning("%.*s", TEXT_ARGS(text_trim(buffer_text(&faults))));
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
                log_error("nothing to serve: the settings name no Site; give a DIRECTORY, as in "
                          "'emberd .', or a [Site NAME] with Root=");
                return -EINVAL;
        }
        if (settings->site_count == 0) {
                /* no site is named: the page that says that emberd works, and how to go on */
                settings = settings_unref(settings);
                sources.directory = EMBERD_WELCOME_DIR;
                r = settings_load_and_tell(s, &sources, &settings);
                if (r < 0)
                        return r;
        }
        *ret = take_ptr(settings);
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

static int reload_build(struct supervisor *s, struct reloaded *new) {
        _cleanup_(buffer_finish)
        struct buffer faults = {};
        char reason[LISTENER_REASON_BYTES];
        int r = supervisor_load_settings(s, &new->settings);

        if (r < 0)
                return r;
        r = snapshot_new(new->settings, s->worker_count, &faults, &new->snapshot);
        if (r < 0) {
                supervisor_tell_faults(s, &faults);
                return r;
        }
        r = log_target_new(new->settings, log_is_journal(), &new->log);
        if (r < 0) {
                buffer_printf(&faults, "AccessLog=%s cannot be opened: %s",
                              new->settings->access_log_path, strerror(-r));
                supervisor_tell_faults(s, &faults);
                return r;
        }
        if (s->sockets_were_passed)
                return 0;
        r = listener_set_open(new->settings, s->listeners, reason, &new->listeners);
        if (r < 0) {
                buffer_printf(&faults, "%s", reason);
                supervisor_tell_faults(s, &faults);
        }
        return r;
}

static void put_log_in_force(struct supervisor *s, struct log_target *log) {
        log->held.by = s->worker_count;
        held_push(&s->old_logs, &s->log->held);
        s->log = log;
        supervisor_tell_all(s, &(struct worker_command){ .kind = WORKER_TAKE_LOG, .log = log });
}

static void put_in_force(struct supervisor *s, struct reloaded *new) {
        tell_what_needs_restart(s->settings, new->settings);
        settings_unref(s->settings);
        s->settings = take_ptr(new->settings);
        s->settings_are_faulty = false;
        s->status_note[0] = '\0';

        held_push(&s->old_snapshots, &s->snapshot->held);
        s->snapshot = take_ptr(new->snapshot);
        supervisor_tell_all(s, &(struct worker_command){ .kind = WORKER_TAKE_SNAPSHOT,
                                                         .snapshot = s->snapshot });
        put_log_in_force(s, take_ptr(new->log));
        if (!new->listeners)
                return;
        held_push(&s->old_listeners, &s->listeners->held);
        s->listeners = take_ptr(new->listeners);
        s->listeners->held.by = s->worker_count;
        supervisor_tell_all(s, &(struct worker_command){ .kind = WORKER_TAKE_LISTENERS,
                                                         .listeners = s->listeners });
}

void supervisor_reload(struct supervisor *s) {
        _cleanup_(reloaded_finish)
        struct reloaded new = {};
        int r;

        (void)notify_reloading(clock_monotonic_usec());
        s->status_note[0] = '\0';
        r = reload_build(s, &new);
        if (r < 0) {
                log_error("the settings stay as they were; mend them and reload again");
                (void)notify_send("READY=1\nSTATUS=%sthe settings before it stay in force",
                                  s->status_note);
                return;
        }
        put_in_force(s, &new);
        s->reloading = true;
        s->reload_sequence = s->sequence;
}

void supervisor_reload_step(struct supervisor *s) {
        if (!s->reloading || !supervisor_all_did(s, s->reload_sequence))
                return;
        s->reloading = false;
        s->status_requests = UINT64_MAX; /* says the status anew */
        log_info("settings reloaded");
        (void)notify_send("READY=1\nSTATUS=Settings reloaded");
}

void supervisor_reopen_log(struct supervisor *s) {
        struct log_target *log;
        int r = log_target_new(s->settings, log_is_journal(), &log);

        if (r < 0) {
                log_error("AccessLog=%s cannot be opened again: %s; writing goes on where it was",
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
